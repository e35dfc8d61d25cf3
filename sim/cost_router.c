/* Routing in one MoE layer on one rank, and the elementwise work around a layer.
 *
 *   gate GEMM + top-k + norms (kernels) + rows * elementwise bytes / HBM rate
 *   + received rows * copy bytes / HBM rate
 *
 * A layer's norms and residuals read and write the hidden state about 6 times in BF16. In the
 * standard layout every row that reaches the rank is copied once (read BF16, write FP8); the slope
 * of measured DeepSeek-V3 prefill layers over received rows is 7.8 ns on H100, 21 KB
 * (docs/costs.md). The batched layout arrives in place. */
#include "sim/all2all.h"
#include "sim/cost.h"

#define ROUTER_KERNELS 4 /* gate, top-k, two norms */

double eep_cost_router_copy_seconds(const EepCostContext *context, double rows)
{
    return rows * 3.0 * context->model->hidden_size / eep_cost_hbm_rate(context->hardware);
}

static double router_seconds(const EepCostContext *context, const EepCostWork *work)
{
    const EepModel *m = context->model;
    const double hbm = eep_cost_hbm_rate(context->hardware);
    double gate = (double)m->hidden_size * m->n_routed_experts;
    double seconds = ROUTER_KERNELS * eep_time_to_seconds(context->hardware->kernel_latency) +
                     gate * 2.0 / hbm +
                     2.0 * gate * work->rows /
                         (context->hardware->bf16_flops * context->hardware->gemm_efficiency) +
                     work->rows * 12.0 * m->hidden_size / hbm;
    if (!eep_all2all(context->options->all2all_backend)->is_batched)
        seconds += eep_cost_router_copy_seconds(context, work->received_rows);
    return seconds;
}

const EepCostOps eep_cost_router = {
    .size = sizeof(EepCostOps),
    .name = "router",
    .per = "MoE layer",
    .formula = "kernels + gate GEMM + 12 hidden rows / HBM + 3 hidden received rows / HBM",
    .source = "roofline; copy of received rows measured on DeepSeek-V3 prefill layers",
    .seconds = router_seconds,
};
