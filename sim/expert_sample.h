/* One drawn MoE step: every token's experts at random, counted exactly. The slow reference.
 *
 * The `sampled` mode, against which expert_load.h is judged. Each token draws top-k distinct
 * experts one after another in proportion to popularity (a pick of an expert taken already is drawn
 * again, which is the same law), and its replica as the dispatch says (replica_split.h); the
 * busiest rank of each layer is what the barrier waits for, with waterfill its shared rows
 * included. A step's draws come from (seed, step, layer, component) alone, so that the same step
 * drawn twice is the same.
 *
 * With stickiness a prefill token looks at a fresh draw beside the experts of the token before it
 * in its chunk: each expert that only the latter has stays with probability keep, and else makes
 * room for one that only the draw has. How often an expert is picked does not change by it. Decodes
 * draw afresh in each step: that a request's decodes are alike over steps concerns no single step.
 * Not thread-safe; one owner. */
#ifndef EEP_SIM_EXPERT_SAMPLE_H
#define EEP_SIM_EXPERT_SAMPLE_H

#include "core/eplb/placement.h"
#include "sim/popularity.h"
#include "sim/replica_split.h"
#include "sim/slot_cost.h"

G_BEGIN_DECLS

typedef struct EepExpertSample EepExpertSample;

typedef struct {
    double seconds;   /* sum over layers of the busiest rank's cost */
    double imbalance; /* mean over layers of max/mean expert tokens over ranks; 0 without tokens */
} EepSampledStep;

EepExpertSample *eep_expert_sample_new(guint n_layers, guint n_experts, guint top_k,
                                       const EepSlotCost *cost, guint64 seed);
void eep_expert_sample_free(EepExpertSample *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepExpertSample, eep_expert_sample_free)

/* How tokens choose replicas, and waterfill; before that, vLLM's hash. */
void eep_expert_sample_set_dispatch(EepExpertSample *self, const EepExpertDispatch *dispatch);

/* Before any popularity: components (popularity.h), of which there is 1 unless told, whether a
 * token may draw an expert twice, and the share that prefill tokens keep. */
void eep_expert_sample_set_law(EepExpertSample *self, guint n_components, gboolean with_replacement,
                               double keep);

/* p[n_experts] > 0 sums to 1, for all components or for one. */
void eep_expert_sample_set_popularity(EepExpertSample *self, guint layer, const double *p);
void eep_expert_sample_set_component(EepExpertSample *self, guint component, guint layer,
                                     const double *p);

/* In the steps drawn next so many prefill tokens follow one another in a request; up to 1: none. */
void eep_expert_sample_set_chunk(EepExpertSample *self, guint32 tokens);

/* Draws step number `step`: tokens[n_sources][n_components] of each local batch. O(layers * tokens
 * * top-k). */
void eep_expert_sample_step(EepExpertSample *self, const EepPlacement *placement, guint64 step,
                            const guint32 *tokens, guint n_sources, EepSampledStep *ret_step);

/* The busiest rank's cost and tokens in one layer of that step. */
void eep_expert_sample_layer(EepExpertSample *self, const EepPlacement *placement, guint layer,
                             guint64 step, const guint32 *tokens, guint n_sources,
                             double *ret_seconds, double *ret_max_tokens);

/* Adds the counts of each logical expert in that step to ret_load[n_layers][n_experts]; they do not
 * depend on the placement, nor on how the tokens lie over the batches. */
void eep_expert_sample_add_load(EepExpertSample *self, guint64 step, const EepTokenMix *tokens,
                                double *ret_load);

G_END_DECLS

#endif
