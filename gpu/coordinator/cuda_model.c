/* The scenario's model as one worker computes it: its first layers. */
#include "gpu/coordinator/cuda_internal.h"

/* Of one query-key pair in one layer: scores and values. MLA prefills unabsorbed; decodes count as
 * pairs too. */
static double flops_per_pair(const EepModel *model)
{
    if (model->attention == EEP_ATTENTION_MLA)
        return 2.0 * (double)model->n_heads *
               (double)(model->qk_nope_head_dim + model->qk_rope_head_dim + model->v_head_dim);
    return 4.0 * (double)model->n_heads * (double)model->head_dim;
}

EepWireModel eep_cuda_wire_model(const EepCudaPool *pool, const EepGpuOptions *gpu, guint64 seed)
{
    const EepModel *model = pool->model;
    gint64 n_computed = MIN(gpu->layers, (gint64)pool->n_moe_layers);
    double n_layers = (double)MAX(1, model->n_layers);
    double non_expert = (double)eep_model_non_expert_bytes(model, 1) / n_layers;

    return (EepWireModel){
        .n_layers = (guint32)n_computed,
        .n_experts = (guint32)MAX(1, model->n_routed_experts),
        .top_k = (guint32)MAX(1, model->experts_per_token),
        .hidden = (guint32)model->hidden_size,
        .intermediate = (guint32)model->moe_intermediate_size,
        .slots_per_rank = MAX(1, pool->slots_per_rank),
        .max_tokens = MAX(1, pool->max_tokens),
        .attention_flops_per_token = (guint64)(2.0 * non_expert / model->weight_bytes_per_param),
        .attention_flops_per_pair = (guint64)flops_per_pair(model),
        .kv_bytes_per_token = (guint64)((double)eep_model_kv_bytes_per_token(model, 1) / n_layers),
        .kv_cache_bytes = pool->kv_cache_bytes,
        /* Whole words, so that they can be summed up. */
        .non_expert_bytes = (guint64)(non_expert * (double)n_computed) & ~G_GUINT64_CONSTANT(7),
        .seed = seed,
    };
}
