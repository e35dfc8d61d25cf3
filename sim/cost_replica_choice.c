/* What it costs to choose replicas, and waterfill's rank for the shared expert, in one MoE layer.
 *
 *   hash, random, static   nothing of its own: a few operations in the router's top-k kernels
 *                          (vLLM fuses the hash there; static is a look-up in a table)
 *   least_loaded           a kernel over the rank's (row, expert) pairs
 *   lp                     counting kernel + all-reduce of 4 bytes an expert over the EP group +
 *                          solver + a kernel that draws replicas
 *   waterfill              counting kernel + all-reduce of 4 bytes a rank + a kernel that draws
 *                          ranks; after lp the counts are there already
 *
 * Nothing without replicas, waterfill apart. The solver takes 100 us (DeepSeek's LPLB, README:
 * "about 100 us" in one node, longer across nodes, which the all-reduce stands for here; SGLang's
 * eplb/lplb_solver.py has the same stages). least_loaded as in SGLang's pull request 6739: blocks
 * of tokens count in shared memory side by side, so its order is only nearly that of
 * core/eplb/replica_choice.h; that it takes one kernel is assumed. SGLang's static waterfill does
 * without the all-reduce, by loads recorded before. */
#include "core/eplb/replica_choice.h"
#include "sim/cost.h"

#define SOLVER_S    100e-6
#define COUNT_BYTES 4.0 /* SGLang reduces float32 */
#define PAIR_BYTES  8.0 /* an id read and written */

/* Slots a rank are for life, so that the group's size tells whether any expert has two. */
static gboolean has_replicas(const EepCostContext *context)
{
    const EepPoolOptions *options = context->options;
    const gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;
    const gint64 slots =
        context->model->n_routed_experts + options->eplb_config.num_redundant_experts;
    return slots / ranks * context->n_ranks > context->model->n_routed_experts;
}

static double replica_choice_seconds(const EepCostContext *context, const EepCostWork *work)
{
    const EepHardware *hardware = context->hardware;
    const gboolean waterfill = context->options->eplb_config.waterfill;
    const gint choice =
        has_replicas(context) ? context->options->eplb_config.replica_choice : EEP_REPLICA_HASH;
    /* Reading or writing every pair once. */
    const double kernel =
        eep_time_to_seconds(hardware->kernel_latency) +
        work->rows * context->model->experts_per_token * PAIR_BYTES / eep_cost_hbm_rate(hardware);
    double seconds = 0.0;
    if (choice == EEP_REPLICA_LEAST_LOADED)
        seconds = kernel;
    if (choice == EEP_REPLICA_LP)
        seconds = 2.0 * kernel + SOLVER_S +
                  eep_cost_all_reduce_seconds(hardware, context->n_ranks,
                                              context->model->n_routed_experts * COUNT_BYTES);
    if (waterfill)
        seconds += kernel;
    if (waterfill && choice != EEP_REPLICA_LP)
        seconds += kernel + eep_cost_all_reduce_seconds(hardware, context->n_ranks,
                                                        context->n_ranks * COUNT_BYTES);
    return seconds;
}

EepExpertDispatch eep_cost_dispatch(const EepCostContext *context)
{
    return (EepExpertDispatch){
        .choice = context->options->eplb_config.replica_choice,
        .ranks_per_node = (guint)context->hardware->gpus_per_node,
        .waterfill = context->options->eplb_config.waterfill,
        .shared_row_s = 2.0 * eep_cost_shared_params(context) / eep_cost_dense_flops(context),
    };
}

const EepCostOps eep_cost_replica_choice = {
    .size = sizeof(EepCostOps),
    .name = "replica_choice",
    .per = "MoE layer",
    .formula = "hash, random, static: 0; least_loaded: a kernel; lp: 2 kernels + all-reduce of "
               "counts + 100 us; waterfill: 2 kernels + all-reduce of rank loads",
    .source = "LPLB's README (solver), SGLang (stages); kernels assumed",
    .seconds = replica_choice_seconds,
};
