/* Cost models: how long one piece of a step takes on one rank.
 *
 * A cost model is a row of a table: a name, its formula and source in words (for `eep cost` and
 * docs/costs.md), and one pure function of the deployment (EepCostContext) and the work
 * (EepCostWork). Each lives in a short file of its own; cost_constant.c is the one to copy. They
 * know nothing of randomness (expert_load.h) and nothing of how pieces combine into a step
 * (predictor.h). Seconds are doubles here; they become EepTime once, in the predictor. Any thread,
 * nothing owned. */
#ifndef EEP_SIM_COST_H
#define EEP_SIM_COST_H

#include "core/engine/pool_options.h"
#include "core/hardware.h"
#include "core/model.h"
#include "sim/replica_split.h"
#include "sim/slot_cost.h"

G_BEGIN_DECLS

/* The deployment; all pointers borrowed. */
typedef struct {
    const EepModel *model;
    const EepHardware *hardware;
    const EepPoolOptions *options;
    guint n_ranks; /* EP size: engines * tensor-parallel size */
} EepCostContext;

/* One engine's work in a step. Counts as in EepEngineWork. */
typedef struct {
    double rows;      /* token rows that the dense kernels compute, padding included */
    double sequences; /* rows that need logits: decodes and prefill chunks */
    double decodes, decode_context_tokens;
    double prefill_tokens, prefill_query_key_pairs;
    double received_rows;   /* rows that reach this rank's experts, each counted once */
    double received_pairs;  /* and their (row, expert) pairs */
    double active_experts;  /* routed experts of this rank that get any row */
    double max_rank_tokens; /* rows that the largest rank hands to the all-to-all */
    double total_tokens;    /* rows that all ranks hand to the all-to-all */
    double imbalance;       /* max/mean of expert rows over ranks, >= 1 */
    double requests;        /* the engine's requests in this step, for the CPU */
    gint graph_mode;        /* EepGraphMode */
} EepCostWork;

typedef enum { EEP_GRAPH_NONE, EEP_GRAPH_PIECEWISE, EEP_GRAPH_FULL } EepGraphMode;

typedef struct {
    gsize size;
    const char *name;
    const char *per;     /* "layer", "MoE layer" or "step" */
    const char *formula; /* in words */
    const char *source;
    double (*seconds)(const EepCostContext *context, const EepCostWork *work);
} EepCostOps;

extern const EepCostOps eep_cost_constant, eep_cost_attention, eep_cost_dense_ffn,
    eep_cost_shared_expert, eep_cost_experts, eep_cost_router, eep_cost_head, eep_cost_cpu,
    eep_cost_allreduce, eep_cost_all2all, eep_cost_replica_choice;

/* All of them, NULL-terminated, in the order of a step. */
extern const EepCostOps *const eep_cost_models[];

/* What follows is shared by the models. */

/* Achieved rates. */
double eep_cost_hbm_rate(const EepHardware *hardware);
double eep_cost_dense_flops(const EepCostContext *context);  /* FP8 weights run at the FP8 rate */
double eep_cost_expert_flops(const EepCostContext *context); /* as expert_flops_scale says */

/* A GEMM of `params` weights on `rows` rows: weights / bandwidth + 2 * params * rows / rate. The
 * two terms add up: measured MLA modules show no overlap of them between few and hundreds of rows
 * (docs/costs.md). */
double eep_cost_gemm_seconds(const EepCostContext *context, double params, double rows);

/* Layers with a dense FFN, and the parameters of the mixer of a full-attention layer on one rank.
 */
gint64 eep_cost_n_dense_layers(const EepModel *model);
double eep_cost_attention_params(const EepCostContext *context);

/* Copying `rows` received rows into place: BF16 read, FP8 written. */
double eep_cost_router_copy_seconds(const EepCostContext *context, double rows);

/* The constants of slot_cost.h for this deployment. */
EepSlotCost eep_cost_slot(const EepCostContext *context);

/* Parameters of a layer's shared experts on one rank. Under waterfill a rank runs them whole, for a
 * share of the tokens, since they lie among its routed experts. */
double eep_cost_shared_params(const EepCostContext *context);

/* How this deployment's tokens choose replicas (cost_replica_choice.c). */
EepExpertDispatch eep_cost_dispatch(const EepCostContext *context);

/* One layer type's share of attention's KV work; see cost_attention.c. */
typedef struct {
    double fixed_s;       /* kernels and weights, all layers */
    double per_row_s;     /* projections, all layers */
    double per_context_s; /* a decode's cached token, all full layers */
    double per_window_s;  /* the same of all window layers */
    double per_decode_s;  /* linear-attention state, all linear layers */
    double per_pair_s;    /* a prefill's query-key pair, all full layers */
    double per_window_pair_s;
    double window; /* tokens */
} EepAttentionCost;

/* Coefficients of the whole model's attention; the predictor's hot loop uses them. */
void eep_attention_cost_init(EepAttentionCost *ret_cost, const EepCostContext *context);

/* Seconds of all layers for the part that depends on requests (no fixed part, no projections). */
static inline double eep_attention_cost_kv(const EepAttentionCost *cost, double decodes,
                                           double context_tokens, double prefill_tokens,
                                           double pairs)
{
    return context_tokens * cost->per_context_s +
           fmin(context_tokens, decodes * cost->window) * cost->per_window_s +
           decodes * cost->per_decode_s + pairs * cost->per_pair_s +
           fmin(pairs, prefill_tokens * cost->window) * cost->per_window_pair_s;
}

/* Collectives: seconds of an all-gather (or reduce-scatter) in which each of n ranks holds `bytes`
 * at the start (end), and of an all-reduce of `bytes`. Ranks fill nodes in order. */
double eep_cost_all_gather_seconds(const EepHardware *hardware, guint n, double bytes);
double eep_cost_all_reduce_seconds(const EepHardware *hardware, guint n, double bytes);

/* Constants of the step's CPU side, apart because launches overlap with the GPU. */
double eep_cost_scheduler_seconds(const EepCostContext *context, double requests);
double eep_cost_launch_seconds(const EepCostContext *context, gint graph_mode);

G_END_DECLS

#endif
