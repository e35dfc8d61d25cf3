/* Attention of one layer on one rank, TP split over heads.
 *
 *   kernels + projections (GEMM) + decode + prefill
 *   decode  = max(KV bytes / HBM rate, score FLOPs / rate), a cached token
 *   prefill = score FLOPs / rate, a query-key pair
 *
 * MLA decodes in the latent space (absorbed): 2 (2 kv_lora + rope) FLOPs a head and pair, KV row of
 * kv_lora + rope values, on each TP rank whole. It prefills unabsorbed: 2 (nope + rope + v). GQA:
 * 4 head_dim either way, KV row of 2 ceil(kv_heads / tp) head_dim values. Window layers see at most
 * window_tokens a query; linear layers read and write a state of fixed size.
 * Source: DeepSeek-V2 (arXiv 2405.04434), section 2.1; measured MLA modules in docs/costs.md. */
#include "sim/cost.h"

#define MLA_KERNELS    15 /* measured modules: 37 to 60 us above their weights, at 3 us each */
#define GQA_KERNELS    8
#define LINEAR_KERNELS 8

double eep_cost_attention_params(const EepCostContext *context)
{
    const EepModel *m = context->model;
    const double tp = context->options->tensor_parallel_size;
    if (m->attention == EEP_ATTENTION_MLA) {
        double query = m->n_heads * (double)(m->qk_nope_head_dim + m->qk_rope_head_dim);
        double kv = m->n_heads * (double)(m->qk_nope_head_dim + m->v_head_dim);
        double split = kv * m->kv_lora_rank + (double)m->n_heads * m->v_head_dim * m->hidden_size;
        double whole = (double)m->hidden_size * (m->kv_lora_rank + m->qk_rope_head_dim);
        if (m->q_lora_rank > 0) {
            whole += (double)m->hidden_size * m->q_lora_rank;
            split += m->q_lora_rank * query;
        } else {
            split += m->hidden_size * query;
        }
        return whole + split / tp;
    }
    double query = (double)m->n_heads * m->head_dim / tp;
    double kv = ceil(m->n_kv_heads / tp) * m->head_dim;
    return m->hidden_size * (2.0 * query + 2.0 * kv);
}

/* Seconds a cached token and a query-key pair of one full layer. */
static void score_seconds(const EepCostContext *context, double *ret_context, double *ret_pair)
{
    const EepModel *m = context->model;
    const double tp = context->options->tensor_parallel_size;
    const double heads = ceil(m->n_heads / tp);
    const double rate = context->hardware->bf16_flops * context->hardware->attention_efficiency;
    double row, decode_flops, prefill_flops;
    if (m->attention == EEP_ATTENTION_MLA) {
        row = m->kv_lora_rank + m->qk_rope_head_dim;
        decode_flops = heads * 2.0 * (2.0 * m->kv_lora_rank + m->qk_rope_head_dim);
        prefill_flops =
            heads * 2.0 * (m->qk_nope_head_dim + m->qk_rope_head_dim + (double)m->v_head_dim);
    } else {
        row = 2.0 * ceil(m->n_kv_heads / tp) * m->head_dim;
        decode_flops = prefill_flops = heads * 4.0 * m->head_dim;
    }
    *ret_context = fmax(row * m->kv_bytes_per_value / eep_cost_hbm_rate(context->hardware),
                        decode_flops / rate);
    *ret_pair = prefill_flops / rate;
}

void eep_attention_cost_init(EepAttentionCost *ret_cost, const EepCostContext *context)
{
    const EepModel *m = context->model;
    const double tp = context->options->tensor_parallel_size;
    const double kernel = eep_time_to_seconds(context->hardware->kernel_latency);
    const double linear = m->n_linear_layers, window = m->n_window_layers;
    const double softmax = m->n_layers - linear; /* full and window layers */
    const double kernels =
        softmax * (m->attention == EEP_ATTENTION_MLA ? MLA_KERNELS : GQA_KERNELS) +
        linear * LINEAR_KERNELS;
    const double params =
        softmax * eep_cost_attention_params(context) + linear * (m->linear_params / tp);
    double per_context, per_pair;
    score_seconds(context, &per_context, &per_pair);
    double fixed = eep_cost_gemm_seconds(context, params, 0.0);
    *ret_cost = (EepAttentionCost){
        .fixed_s = kernels * kernel + fixed,
        .per_row_s = eep_cost_gemm_seconds(context, params, 1.0) - fixed,
        .per_context_s = (softmax - window) * per_context,
        .per_window_s = window * per_context,
        .per_decode_s =
            linear * 2.0 * m->linear_state_bytes / tp / eep_cost_hbm_rate(context->hardware),
        .per_pair_s = (softmax - window) * per_pair,
        .per_window_pair_s = window * per_pair,
        .window = m->window_tokens,
    };
}

static double attention_seconds(const EepCostContext *context, const EepCostWork *work)
{
    EepAttentionCost cost;
    eep_attention_cost_init(&cost, context);
    double all = cost.fixed_s + work->rows * cost.per_row_s +
                 eep_attention_cost_kv(&cost, work->decodes, work->decode_context_tokens,
                                       work->prefill_tokens, work->prefill_query_key_pairs);
    return all / context->model->n_layers;
}

const EepCostOps eep_cost_attention = {
    .size = sizeof(EepCostOps),
    .name = "attention",
    .per = "layer",
    .formula = "kernels + GEMM(projections) + max(KV bytes / HBM, decode FLOPs / rate) + "
               "prefill FLOPs / rate",
    .source = "DeepSeek-V2, arXiv 2405.04434; measured MLA modules on H100, H200, B200, GB200",
    .seconds = attention_seconds,
};
