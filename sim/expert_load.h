/* Expected expert time: for each MoE layer, E[max over ranks of expert cost] by token total.
 *
 * The `expected` mode of the simulator. For every layer and every power of two of routed tokens,
 * once a batch of about that size has come, a table keeps the expectation of the busiest rank's
 * cost (never the cost of the mean rank), and the same of its tokens; a step reads the sum over
 * layers, interpolated within an octave. A table depends on how often a token picks each of the
 * layer's experts (EepPick) and on its row of the placement; only layers where one of them changed
 * are built again, and equal layers are built once. Its replica a token picks by the dispatch's
 * EepReplicaChoice:
 *   hash    shares from vLLM's hash of local indices, so that at one token a rank only the first
 *           replica is used
 *   random  1/n each, independently
 *   static  the part of the source ranks that take the replica
 *   others, and any with waterfill: by few draws of the layer (expert_draw.h)
 * What a step's tokens are, and so how often they pick, is said by mix_load.h. Not the random draw
 * of whole steps (expert_sample.h). Not thread-safe; one owner. */
#ifndef EEP_SIM_EXPERT_LOAD_H
#define EEP_SIM_EXPERT_LOAD_H

#include "core/eplb/placement.h"
#include "sim/replica_split.h"
#include "sim/slot_cost.h"

G_BEGIN_DECLS

#define EEP_EXPERT_LOAD_MAX_POINTS 26 /* of the grid 1, 2, 4, …: 2^25 tokens a step */

typedef struct EepExpertLoad EepExpertLoad;

/* Picks of one expert by one token, the mean over a step's tokens: n tokens pick it n * mean times,
 * with n * mean * spread of variance and that times `skew` of third central moment; none does with
 * probability none^n. */
typedef struct {
    double mean, none, spread, skew;
} EepPick;

/* Of tokens that take the expert or not, independently, with probability pi. */
static inline EepPick eep_pick_of(double pi)
{
    return (EepPick){pi, 1.0 - pi, 1.0 - pi, 1.0 - 2.0 * pi};
}

/* `max_tokens`: largest total of a step; more is extrapolated linearly. Popularity starts uniform.
 */
EepExpertLoad *eep_expert_load_new(guint n_layers, guint n_experts, guint top_k,
                                   const EepSlotCost *cost, guint64 max_tokens);
void eep_expert_load_free(EepExpertLoad *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepExpertLoad, eep_expert_load_free)

/* How tokens choose replicas, and waterfill, whose shared rows are then part of the cost. Before
 * the first update; without it vLLM's hash. */
void eep_expert_load_set_dispatch(EepExpertLoad *self, const EepExpertDispatch *dispatch);

/* picks[n_experts], whose means sum to top_k. The tables follow at the next update. */
void eep_expert_load_set_picks(EepExpertLoad *self, guint layer, const EepPick *picks);

/* The same for independent tokens that take top-k distinct experts (inclusion.h): p[n_experts] > 0
 * sums to 1. */
void eep_expert_load_set_popularity(EepExpertLoad *self, guint layer, const double *p);

/* Brings the tables up to date with `placement` (of the same layers and experts), whose ranks draw
 * from `n_sources` local batches of equal size. Returns TRUE when anything changed. Cheap when
 * placement, its generation and all picks are those of the last call: a placement is known
 * by its address and generation, so whoever compares candidates keeps them all alive meanwhile
 * (debug builds assert it). */
gboolean eep_expert_load_update(EepExpertLoad *self, const EepPlacement *placement,
                                guint n_sources);

/* The next update looks at the placement itself, whatever its address and generation. */
void eep_expert_load_forget_placement(EepExpertLoad *self);

/* Sum over layers of the expected busiest rank's cost for `tokens` routed tokens in all; seconds.
 * After an update, whose placement is still as it was. */
double eep_expert_load_seconds(EepExpertLoad *self, double tokens);

/* Expected max/mean of expert tokens over ranks, mean over layers; >= 1, and 0 for no tokens. */
double eep_expert_load_imbalance(EepExpertLoad *self, double tokens);

/* Adds the expected tokens of each logical expert to ret_load[n_layers][n_experts]. */
void eep_expert_load_add(const EepExpertLoad *self, double tokens, double *ret_load);

/* The layer's picks, [n_experts]. */
const EepPick *eep_expert_load_picks(const EepExpertLoad *self, guint layer);

G_END_DECLS

#endif
