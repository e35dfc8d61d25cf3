/* Scores: which expert is how popular, as fields of normal numbers that are mixed and that drift.
 *
 * An expert's score is a standard normal number; the r-th highest score takes the r-th value of the
 * law (skew_law.h). A field is the n normal quantiles (r + 1/2) / n, scaled to variance 1, in an
 * order drawn from a named stream, so that fields of two names are independent and a mix a x + b y
 * with a^2 + b^2 = 1 is correlated with x by a. Layers, classes, prefill and decode are such mixes,
 * and so is time. Everything is a pure function of its arguments: no state, any thread. */
#ifndef EEP_CORE_SKEW_DRIFT_H
#define EEP_CORE_SKEW_DRIFT_H

#include "core/skew.h"

G_BEGIN_DECLS

typedef struct {
    guint64 seed;
    guint n_experts, n_classes;
    double layer_correlation, class_correlation, decode_correlation;
    double *normal; /* [n_experts], falling; owned */
} EepScores;

/* The field's numbers by rank: ret_scores [n], falling, mean 0, variance 1 (n 1: 0). */
void eep_scores_normal(guint n, double *ret_scores);

void eep_scores_init(EepScores *scores, const EepSkewOptions *options, guint64 seed,
                     guint n_experts);
void eep_scores_clear(EepScores *scores);

/* Fills ret_scores [n_experts] of a component and layer at a time >= 0, and at 0 with what there is
 * without drift. `base_rank` [n_experts], nullable, replaces the drawn order from which time
 * begins: expert e has the base_rank[e]-th highest score, from 0. Of the drifts, random_walk and
 * shift change scores; a shift counts as one only with a correlation below 1.
 *
 * random_walk is an Ornstein-Uhlenbeck process: correlation 2^-(h / half_life) between any two
 * times h apart. A chain of knots a half-life apart, each 1/2 of the one before it plus fresh
 * noise, is refined by Levy's midpoint construction down to 1/32 of it and interpolated between. */
void eep_scores_at(const EepScores *scores, const EepSkewOptions *options, EepTime at,
                   guint component, guint layer, const guint *base_rank, double *ret_scores);

/* How many shifts are over by that time. */
guint64 eep_drift_domain(const EepSkewOptions *options, EepTime at);

/* ret_rank[e]: experts with a higher score, or the same and a lower number. */
void eep_scores_rank(const double *scores, guint n_experts, guint *ret_rank);

G_END_DECLS

#endif
