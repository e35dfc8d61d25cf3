/* EepPopularity: what the tokens of a run pick now, and what they picked before.
 *
 * The skew (core/skew.h) is a function of time; here it becomes piecewise constant: every
 * drift.period steps it is asked again, at the time at which that step is submitted, and an answer
 * that differs makes a new version. Of past versions only their times are kept, and their picks are
 * computed anew when a load of theirs is read. A component is a kind of token that picks otherwise
 * than others: request class x (prefill, decode), as in skew.h, or one for all tokens. Not a cost
 * and not a random draw. Not thread-safe; one owner. */
#ifndef EEP_SIM_POPULARITY_H
#define EEP_SIM_POPULARITY_H

#include "core/loop/backend.h"
#include "core/skew.h"

G_BEGIN_DECLS

#define EEP_MAX_COMPONENTS (2 * EEP_SKEW_MAX_CLASSES)

typedef struct EepPopularity EepPopularity;

/* The tokens of a step, or of several, by what they are. */
typedef struct {
    guint64 n[EEP_MAX_COMPONENTS]; /* by component; with one component all are n[0] */
    guint32 chunk; /* prefill tokens that follow one another in a request; 0: not of interest */
} EepTokenMix;

/* Takes over `skew`. Version 1 is that of time 0. */
EepPopularity *eep_popularity_new(EepSkew *skew, guint n_layers, guint n_experts, guint top_k);
void eep_popularity_free(EepPopularity *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepPopularity, eep_popularity_free)

guint eep_popularity_n_components(const EepPopularity *self);
guint64 eep_popularity_version(const EepPopularity *self); /* the present one; >= 1 */

/* TRUE when the load of any tokens is proportional to that of any others of the same version. */
gboolean eep_popularity_is_one_law(const EepPopularity *self);
gboolean eep_popularity_with_replacement(const EepPopularity *self);

/* Share of its experts that a prefill token keeps of the one before it in its chunk. */
double eep_popularity_keep(const EepPopularity *self);

/* Tells that step `step` begins to be costed at `now`. TRUE when popularity changed. Steps may come
 * again after they were discarded: popularity is not asked twice for them. */
gboolean eep_popularity_advance(EepPopularity *self, EepTime now, guint64 step);

/* Fills ret_p [n_experts] as of `version`, one of the last 8192 (of an older one: the oldest of
 * these); 0: the present one. */
void eep_popularity_get(const EepPopularity *self, guint64 version, guint component, guint layer,
                        double *ret_p);

/* Picks of each expert by one token, [n_experts], at present: with distinct experts a probability;
 * they sum to top_k. */
const double *eep_popularity_picks(const EepPopularity *self, guint component, guint layer);

/* The lowest component that picks now, and varies, exactly as this one does. */
guint eep_popularity_alias(const EepPopularity *self, guint component);

/* Adds the expected tokens of each expert, ret_load [n_layers][n_experts], for tokens of `version`
 * (as above) by component. */
void eep_popularity_add_load(const EepPopularity *self, guint64 version, const EepTokenMix *tokens,
                             double *ret_load);

/* The plan's tokens by component; idle engines have none. */
void eep_popularity_count(const EepPopularity *self, const EepStepPlan *plan,
                          EepTokenMix *ret_tokens);

/* The same engine by engine, ret_tokens [n_engines][n_components]; an idle engine has its dummy, a
 * decode of class 0. The plan knows the classes of the whole step: they are dealt out evenly. */
void eep_popularity_count_each(const EepPopularity *self, const EepStepPlan *plan,
                               guint32 *ret_tokens);

G_END_DECLS

#endif
