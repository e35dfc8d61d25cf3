/* The split of each expert's tokens over its replicas that leaves the hottest rank the fewest.
 *
 *   minimise M   where  sum over replicas of x = tokens of the expert, x >= 0,
 *                       sum over the rank's slots of x <= M
 *
 * which is the linear programme that DeepSeek's LPLB and SGLang (eplb/lplb_solver.py) solve on the
 * GPU in every MoE layer of every batch. Here it is solved exactly: M is the largest, over sets of
 * ranks, of (tokens of the experts whose replicas all lie in the set) / (ranks in the set), so it
 * is a fraction of integers; a maximum flow in integers, scaled by the denominator, either fits
 * under M or shows a set that needs more (Dinkelbach's, also called the discrete Newton, method on
 * minimum cuts). A few rounds suffice, each of a few augmenting paths over the redundant slots.
 *
 * An object is for one shape and keeps its arrays from layer to layer. Not thread-safe; one owner.
 */
#ifndef EEP_CORE_EPLB_DISPATCH_LP_H
#define EEP_CORE_EPLB_DISPATCH_LP_H

#include <glib.h>

G_BEGIN_DECLS

#define EEP_DISPATCH_LP_MAX_RANKS 4096 /* so that scaled flows fit 64 bits */

typedef struct EepDispatchLp EepDispatchLp;

/* All > 0; at most EEP_DISPATCH_LP_MAX_RANKS ranks. */
EepDispatchLp *eep_dispatch_lp_new(guint n_experts, guint n_ranks, guint slots_per_rank);
void eep_dispatch_lp_free(EepDispatchLp *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepDispatchLp, eep_dispatch_lp_free)

/* The layer's map, phy2log[n_ranks * slots_per_rank], -1 for an empty slot. Copied. */
void eep_dispatch_lp_set_layer(EepDispatchLp *self, const gint32 *phy2log);

/* Solves for tokens[n_experts]; those of an expert without a slot count nowhere. */
void eep_dispatch_lp_solve(EepDispatchLp *self, const guint32 *tokens);

/* What follows is of the last solve. The hottest rank's tokens are numerator / denominator, in
 * lowest terms or not. */
void eep_dispatch_lp_optimum(const EepDispatchLp *self, guint64 *ret_numerator,
                             guint64 *ret_denominator);

/* Tokens of slot p times the denominator; [n_ranks * slots_per_rank]. An expert's sum to its tokens
 * times the denominator. */
const guint64 *eep_dispatch_lp_flow(const EepDispatchLp *self);

/* Share of its expert's tokens that slot p takes, [0, 1]; equal ones for an expert without tokens,
 * 0 for an empty slot. */
double eep_dispatch_lp_share(const EepDispatchLp *self, guint slot);

/* How `n` tokens of `expert` in one source's batch go to its replicas, in ascending order of slot:
 * each gets its share rounded down or up, so that rounding adds less than one token for each
 * (source, replica); together n. Where to round up is by systematic sampling: points (i + offset) /
 * n in the shares laid end to end, offset in [0, 1) in units of 2^-32. Sources with different
 * offsets round differently, so that their sum comes out near the shares without their talking. */
void eep_dispatch_lp_round(const EepDispatchLp *self, guint expert, guint32 n, guint32 offset,
                           guint32 *ret_tokens);

/* The offset of a source: golden-ratio steps, which fill [0, 1) evenly for any number of sources,
 * from a start of the expert's own. */
static inline guint32 eep_dispatch_lp_offset(guint source, guint expert)
{
    return source * 2654435769u + expert * 2246822519u;
}

G_END_DECLS

#endif
