/* The CPU side of a step: scheduling, and launching the GPU's work.
 *
 *   scheduler = base + per request * requests of the largest engine
 *   launch    = one graph launch (full graph) | layers * eager launch of a layer (eager)
 *             | half of that (piecewise: attention is launched eagerly, the rest as small graphs)
 *
 * Source: vLLM's V1 engine loop and CUDA graph modes (docs/design/cuda_graphs.md there); base,
 * per-request and launch times are hardware-profile figures. The half of piecewise is assumed. */
#include "sim/cost.h"

#define PIECEWISE_SHARE 0.5

double eep_cost_scheduler_seconds(const EepCostContext *context, double requests)
{
    return eep_time_to_seconds(context->hardware->cpu_step) +
           requests * eep_time_to_seconds(context->hardware->cpu_per_request);
}

double eep_cost_launch_seconds(const EepCostContext *context, gint graph_mode)
{
    const EepHardware *hardware = context->hardware;
    double eager = context->model->n_layers * eep_time_to_seconds(hardware->cpu_eager_layer);
    switch (graph_mode) {
    case EEP_GRAPH_FULL:
        return eep_time_to_seconds(hardware->cpu_graph_launch);
    case EEP_GRAPH_PIECEWISE:
        return PIECEWISE_SHARE * eager;
    default:
        return eager;
    }
}

static double cpu_seconds(const EepCostContext *context, const EepCostWork *work)
{
    return eep_cost_scheduler_seconds(context, work->requests) +
           eep_cost_launch_seconds(context, work->graph_mode);
}

const EepCostOps eep_cost_cpu = {
    .size = sizeof(EepCostOps),
    .name = "cpu",
    .per = "step",
    .formula = "base + per request * requests + launches of the step's graph mode",
    .source = "vLLM V1 engine loop and CUDA graph modes",
    .seconds = cpu_seconds,
};
