/* Dense and grouped GEMMs on one rank.
 *
 *   dense   = kernels + weights / HBM rate + 2 params rows / rate
 *   experts = kernels + sum over active experts of
 *             max(expert bytes / HBM rate, FLOPs / rate) + activation bytes / HBM rate
 *
 * Memory bound at small batch: each expert that any row reaches is read once, whatever its rows;
 * compute bound at large ones. An expert is a SwiGLU of three hidden x intermediate matrices, so 6
 * hidden inter FLOPs a row. Activations of a row and expert: quantised input read, output written,
 * two intermediates written and read, the product written and read; in the standard (not batched)
 * layout also permuting in and reducing out.
 * Source: DeepSeek-V3 MoE layers measured on H100, H200, B200, GB200 (docs/costs.md): 7 kernels of
 * 3 us plus expert bytes at 82 % of HBM peak (Hopper), 72 % (Blackwell). */
#include "sim/all2all.h"
#include "sim/cost.h"

#define DENSE_KERNELS  4 /* gate-up, activation, down, quantisation */
#define EXPERT_KERNELS 7

double eep_cost_hbm_rate(const EepHardware *hardware)
{
    return hardware->hbm_bytes_per_s * hardware->hbm_efficiency;
}

double eep_cost_dense_flops(const EepCostContext *context)
{
    const EepHardware *hardware = context->hardware;
    gboolean fp8 = context->model->weight_bytes_per_param <= 1.0 && hardware->fp8_flops > 0;
    return (fp8 ? hardware->fp8_flops : hardware->bf16_flops) * hardware->gemm_efficiency;
}

double eep_cost_expert_flops(const EepCostContext *context)
{
    const EepHardware *hardware = context->hardware;
    gboolean fp8 = context->model->expert_flops_scale > 1.0 && hardware->fp8_flops > 0;
    return (fp8 ? hardware->fp8_flops : hardware->bf16_flops) * hardware->grouped_gemm_efficiency;
}

double eep_cost_gemm_seconds(const EepCostContext *context, double params, double rows)
{
    return params * context->model->weight_bytes_per_param / eep_cost_hbm_rate(context->hardware) +
           2.0 * params * rows / eep_cost_dense_flops(context);
}

gint64 eep_cost_n_dense_layers(const EepModel *model)
{
    return model->n_layers - eep_model_n_moe_layers(model);
}

EepSlotCost eep_cost_slot(const EepCostContext *context)
{
    const EepModel *m = context->model;
    const double hidden = m->hidden_size, inter = m->moe_intermediate_size;
    const double input = m->expert_flops_scale > 1.0 ? 1.0 : 2.0; /* bytes of a quantised value */
    const EepAll2all *backend = eep_all2all(context->options->all2all_backend);
    double bytes = hidden * (input + 2.0) + inter * (4.0 + 4.0 + 2.0 * input);
    if (!backend->is_batched)
        bytes += hidden * (input + 2.0);
    const double hbm = eep_cost_hbm_rate(context->hardware);
    return (EepSlotCost){
        .weights_s = eep_model_expert_bytes(m) / hbm,
        .flops_s = 6.0 * hidden * inter / eep_cost_expert_flops(context),
        .activations_s = bytes / hbm,
    };
}

static double kernels(const EepCostContext *context, int n)
{
    return n * eep_time_to_seconds(context->hardware->kernel_latency);
}

static double dense_ffn_seconds(const EepCostContext *context, const EepCostWork *work)
{
    double params = 3.0 * context->model->hidden_size * context->model->dense_intermediate_size /
                    context->options->tensor_parallel_size;
    return kernels(context, DENSE_KERNELS) + eep_cost_gemm_seconds(context, params, work->rows);
}

double eep_cost_shared_params(const EepCostContext *context)
{
    const EepModel *m = context->model;
    double inter =
        m->shared_intermediate_size > 0 ? m->shared_intermediate_size : m->moe_intermediate_size;
    double params = 3.0 * m->hidden_size * inter * m->n_shared_experts;
    return context->options->eplb_config.waterfill
               ? params
               : params / context->options->tensor_parallel_size;
}

/* Under waterfill the rows are those that the busiest rank of all has, so they are counted with its
 * routed ones (expert_load.h); here is what every rank does. */
static double shared_expert_seconds(const EepCostContext *context, const EepCostWork *work)
{
    if (context->model->n_shared_experts == 0)
        return 0.0;
    const double rows = context->options->eplb_config.waterfill ? 0.0 : work->rows;
    return kernels(context, DENSE_KERNELS) +
           eep_cost_gemm_seconds(context, eep_cost_shared_params(context), rows);
}

static double experts_seconds(const EepCostContext *context, const EepCostWork *work)
{
    double fixed = kernels(context, EXPERT_KERNELS);
    if (work->active_experts <= 0)
        return fixed;
    EepSlotCost slot = eep_cost_slot(context);
    return fixed + work->active_experts *
                       eep_slot_cost_seconds(&slot, work->received_pairs / work->active_experts);
}

const EepCostOps eep_cost_dense_ffn = {
    .size = sizeof(EepCostOps),
    .name = "dense_ffn",
    .per = "dense layer",
    .formula = "kernels + weights / HBM + 6 hidden inter rows / rate",
    .source = "roofline, additive as the measured MLA projections are",
    .seconds = dense_ffn_seconds,
};
const EepCostOps eep_cost_shared_expert = {
    .size = sizeof(EepCostOps),
    .name = "shared_expert",
    .per = "MoE layer",
    .formula = "as dense_ffn, with the shared experts' width; waterfill: rows on the busiest rank",
    .source = "roofline, additive as the measured MLA projections are",
    .seconds = shared_expert_seconds,
};
const EepCostOps eep_cost_experts = {
    .size = sizeof(EepCostOps),
    .name = "experts",
    .per = "MoE layer",
    .formula = "kernels + sum over active experts of max(bytes / HBM, FLOPs / rate) + activations",
    .source = "measured DeepSeek-V3 MoE layers on H100, H200, B200, GB200",
    .seconds = experts_seconds,
};
