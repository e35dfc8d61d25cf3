/* LM head and sampling, once a step on one rank.
 *
 *   kernels + vocab hidden / tp * bytes / HBM rate + 2 vocab hidden / tp * sequences / rate
 *   + sequences * vocab * 8 bytes / HBM rate
 *
 * The head computes in BF16, in whatever width it is stored; sampling passes over FP32 logits
 * twice. Roofline. */
#include "sim/cost.h"

#define HEAD_KERNELS 6

static double head_seconds(const EepCostContext *context, const EepCostWork *work)
{
    const EepModel *m = context->model;
    const double hbm = eep_cost_hbm_rate(context->hardware);
    double params = (double)m->vocab_size * m->hidden_size / context->options->tensor_parallel_size;
    return HEAD_KERNELS * eep_time_to_seconds(context->hardware->kernel_latency) +
           params * m->embedding_bytes_per_param / hbm +
           2.0 * params * work->sequences /
               (context->hardware->bf16_flops * context->hardware->gemm_efficiency) +
           work->sequences * m->vocab_size * 8.0 / hbm;
}

const EepCostOps eep_cost_head = {
    .size = sizeof(EepCostOps),
    .name = "head",
    .per = "step",
    .formula =
        "kernels + weights / HBM + 2 vocab hidden sequences / rate + 8 vocab sequences / HBM",
    .source = "roofline",
    .seconds = head_seconds,
};
