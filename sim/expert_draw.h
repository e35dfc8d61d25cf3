/* The busiest rank of a MoE layer by few draws, where its moments have no closed form.
 *
 * For least_loaded, lp and waterfill a rank's load depends on all other ranks' loads in the same
 * batch, so that sums of moments (expert_load.c) do not do. Up to 1,024 tokens (4,096 for
 * least_loaded) whole batches are drawn, as expert_sample.h does; above, each expert's tokens are
 * drawn at once from the normal approximation of their binomial law, and are then split:
 *   lp            exactly (core/eplb/dispatch_lp.h)
 *   least_loaded  as lp, plus what it had above lp at 4,096 tokens, falling on as from 2,048 (as a
 *                 power of tokens, in [1/2, 2])
 *   hash, random, static (under waterfill): binomially, by the shares handed in
 * and shared rows by waterfill's expectation, with Poisson's variance. Draws come from the layer's
 * number alone: the same layer gives the same, and batch sizes share them, so that curves are
 * smooth. Not thread-safe; one owner. */
#ifndef EEP_SIM_EXPERT_DRAW_H
#define EEP_SIM_EXPERT_DRAW_H

#include "core/eplb/placement.h"
#include "sim/expert_load.h"

G_BEGIN_DECLS

typedef struct EepExpertDraw EepExpertDraw;

/* Whether the dispatch needs draws. */
static inline gboolean eep_expert_draw_is_needed(const EepExpertDispatch *dispatch)
{
    return dispatch->waterfill || dispatch->choice == EEP_REPLICA_LEAST_LOADED ||
           dispatch->choice == EEP_REPLICA_LP;
}

EepExpertDraw *eep_expert_draw_new(guint n_layers, guint n_experts, guint top_k,
                                   const EepSlotCost *cost, const EepExpertDispatch *dispatch);
void eep_expert_draw_free(EepExpertDraw *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepExpertDraw, eep_expert_draw_free)

/* The layer that follows and how often its experts are picked, [n_experts]; borrows both until the
 * next one. Whole batches are drawn as of independent tokens that pick as often. */
void eep_expert_draw_set_layer(EepExpertDraw *self, const EepPlacement *placement, guint layer,
                               const EepPick *picks);

/* Expected cost and routed tokens of the busiest rank for `tokens` from n_sources equal batches;
 * shares[n_slots] of each expert's tokens (for hash, random and static). A layer's points are to be
 * asked in ascending order of tokens, each at most twice the one before. */
void eep_expert_draw_expect(EepExpertDraw *self, guint64 tokens, guint n_sources,
                            const double *shares, double *ret_seconds, double *ret_max_tokens);

G_END_DECLS

#endif
