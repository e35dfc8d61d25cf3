/* Score: how good a map is for a load, and what it takes to get there from another.
 *
 * Rank load = sum over the rank's slots of weight / replicas. Dead ranks (an EepEplbProblem's
 * `active`) count neither in means nor in maxima. Pure functions on plain arrays, any thread. For
 * an EepPlacement of a running pool see placement.h. */
#ifndef EEP_CORE_EPLB_SCORE_H
#define EEP_CORE_EPLB_SCORE_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

typedef struct {
    double balancedness;      /* mean over layers of mean / max rank load; a layer of zeros is 1 */
    double worst;             /* the lowest layer's */
    double balancedness_vllm; /* sum over layers of mean / sum of max; 0 without any load */
} EepEplbScore;

/* Rank loads of one layer: weight [E], phy2log [R], -1 = empty; ret_load [D]. */
void eep_eplb_rank_loads(const EepEplbProblem *problem, const double *weight, const gint32 *phy2log,
                         double *ret_load);

/* weight [L][E], which may be another load than the problem's own; phy2log [L][R] in which every
 * expert with load has a slot. ret_hottest nullable [L]: highest rank load. */
void eep_eplb_score(const EepEplbProblem *problem, const double *weight, const gint32 *phy2log,
                    double *ret_hottest, EepEplbScore *ret_score);

/* Distinct (layer, rank, expert) that phy2log has and old lacks, both [L][R]: what must travel.
 * Copies within a rank are free. ret_layer nullable [L]. */
guint64 eep_eplb_count_moves(const EepEplbProblem *problem, const gint32 *old,
                             const gint32 *phy2log, guint64 *ret_layer);

G_END_DECLS

#endif
