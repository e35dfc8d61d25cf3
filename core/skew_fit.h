/* EepSkewFit: what skew recorded expert loads have, in the terms of skew.h.
 *
 * A record of counts gives law, spread and correlation of layers; windows give drift; routes give
 * stickiness. What a record does not hold is left at the value that the fields name. The keys that
 * a scenario takes are fitted on popularity (the probability of one draw), which is steeper than
 * counts of tokens that take top_k distinct experts; figures named counts_... are of the counts, as
 * the field publishes them. Not a reader of files (traces/load_file.h) and not a writer of
 * scenarios. A value without pointers; pure. */
#ifndef EEP_CORE_SKEW_FIT_H
#define EEP_CORE_SKEW_FIT_H

#include "core/skew.h"

G_BEGIN_DECLS

#define EEP_SKEW_FIT_MAX_LAG 8

typedef struct {
    guint n_windows, n_layers, n_experts, top_k; /* of the record */
    double tokens;                               /* a layer; choices where top_k is 0 */

    /* As counts, all windows together; means over layers but for max_over_mean. */
    double counts_exponent; /* least squares of log count on log rank; ranks without counts apart */
    double counts_exponent_top; /* the same over the upper half of the ranks */
    double gini;
    double max_over_mean_min, max_over_mean_median, max_over_mean_max; /* over layers */

    /* Parameters of the laws, fitted layer by layer to popularity; means over layers. */
    double exponent;      /* zipf: least squares as above */
    double exponent_r2;   /* of it */
    double alpha, spread; /* power_law: maximum likelihood; the spread's mean is geometric */
    double sigma;         /* lognormal: deviation of log popularity, less what sampling adds */
    /* Share of the load that a law's values by rank put elsewhere (half the sum of absolute
     * differences), mean over layers; `law` is the one with the least. */
    double zipf_misfit, power_law_misfit, lognormal_misfit;
    EepSkewLaw law;

    double layer_correlation; /* of scores, mean over pairs of layers; 0 of one layer */

    /* Drift over windows; lag i + 1 is at [i], n_lags of them, 0 with fewer than 2 windows. Means
     * over layers and pairs of windows. Windows with less than half the tokens of the largest are
     * left out. */
    guint n_lags;
    double counts_cosine[EEP_SKEW_FIT_MAX_LAG];     /* between loads, as they are */
    double cosine[EEP_SKEW_FIT_MAX_LAG];            /* sampling noise taken out */
    double score_correlation[EEP_SKEW_FIT_MAX_LAG]; /* noise taken out */
    double half_life_windows; /* of a random walk; +inf where correlation does not fall with lag */

    /* Tokens; chance and stickiness are 0 where top_k is unknown, stickiness without routes. */
    double chance_overlap; /* share of its experts that two independent tokens have in common */
    double stickiness;     /* the same of consecutive tokens */
} EepSkewFit;

/* Refuses a record with a layer without counts (all windows together). */
gboolean eep_skew_fit(const EepLoadRecord *record, EepSkewFit *ret_fit, GError **error);

/* Two records of the same model: tasks, or before and after a shift. Means over layers. */
typedef struct {
    double cosine;            /* between loads */
    double score_correlation; /* what skew.class_correlation and drift.correlation are about */
    double shared_top8;       /* how many of the 8 most popular experts both have */
} EepSkewLikeness;

/* Refuses records of different numbers of layers or experts, or with a layer without counts. */
gboolean eep_skew_fit_likeness(const EepLoadRecord *a, const EepLoadRecord *b,
                               EepSkewLikeness *ret_likeness, GError **error);

G_END_DECLS

#endif
