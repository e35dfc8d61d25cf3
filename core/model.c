#include "core/model.h"

#include <math.h>
#include <stddef.h>

#define AT(field) offsetof(EepModel, field)

static const EepOption options[] = {
    {"name", EEP_OPTION_STRING, AT(name), NULL, EEP_NO_BOUNDS, NULL, NULL, "the profile's name"},
    {"n_layers", EEP_OPTION_INT, AT(n_layers), NULL, 1, 10000, NULL, NULL,
     "transformer layers in all"},
    {"n_dense_layers", EEP_OPTION_INT, AT(n_dense_layers), "0", 0, 10000, NULL, NULL,
     "first layers with a dense FFN instead of experts"},
    {"moe_every", EEP_OPTION_INT, AT(moe_every), "1", 1, 100, NULL, NULL,
     "of the other layers every so many-th is MoE, the rest dense"},
    {"hidden_size", EEP_OPTION_INT, AT(hidden_size), NULL, 1, 1000000, NULL, NULL,
     "width of a token's hidden state"},
    {"dense_intermediate_size", EEP_OPTION_INT, AT(dense_intermediate_size), "0", 0, 10000000, NULL,
     NULL, "width of a dense FFN; 0 when no layer is dense"},
    {"moe_intermediate_size", EEP_OPTION_INT, AT(moe_intermediate_size), NULL, 1, 10000000, NULL,
     NULL, "width of one routed expert"},
    {"n_routed_experts", EEP_OPTION_INT, AT(n_routed_experts), NULL, 1, 100000, NULL, NULL,
     "routed experts of a MoE layer"},
    {"n_shared_experts", EEP_OPTION_INT, AT(n_shared_experts), "0", 0, 1000, NULL, NULL,
     "always-on experts of a MoE layer, on every rank"},
    {"shared_intermediate_size", EEP_OPTION_INT, AT(shared_intermediate_size), "0", 0, 10000000,
     NULL, NULL, "width of one shared expert; 0: as the routed ones"},
    {"experts_per_token", EEP_OPTION_INT, AT(experts_per_token), NULL, 1, 1000, NULL, NULL,
     "routed experts of one token (top-k)"},
    {"n_group", EEP_OPTION_INT, AT(n_group), "1", 1, 10000, NULL, NULL, "routing groups"},
    {"topk_group", EEP_OPTION_INT, AT(topk_group), "1", 1, 10000, NULL, NULL,
     "groups that one token may use"},
    {"attention", EEP_OPTION_WORD, AT(attention), "gqa", EEP_NO_BOUNDS, "mla|gqa", NULL,
     "kind of attention"},
    {"n_heads", EEP_OPTION_INT, AT(n_heads), NULL, 1, 100000, NULL, NULL, "query heads"},
    {"n_kv_heads", EEP_OPTION_INT, AT(n_kv_heads), "0", 0, 100000, NULL, NULL,
     "key and value heads (gqa)"},
    {"head_dim", EEP_OPTION_INT, AT(head_dim), "0", 0, 100000, NULL, NULL, "width of a head (gqa)"},
    {"q_lora_rank", EEP_OPTION_INT, AT(q_lora_rank), "0", 0, 1000000, NULL, NULL,
     "width of the compressed query (mla); 0: none"},
    {"kv_lora_rank", EEP_OPTION_INT, AT(kv_lora_rank), "0", 0, 1000000, NULL, NULL,
     "width of the compressed KV (mla)"},
    {"qk_nope_head_dim", EEP_OPTION_INT, AT(qk_nope_head_dim), "0", 0, 100000, NULL, NULL,
     "part of a head without position (mla)"},
    {"qk_rope_head_dim", EEP_OPTION_INT, AT(qk_rope_head_dim), "0", 0, 100000, NULL, NULL,
     "part of a head with position (mla)"},
    {"v_head_dim", EEP_OPTION_INT, AT(v_head_dim), "0", 0, 100000, NULL, NULL,
     "width of a value head (mla)"},
    {"n_window_layers", EEP_OPTION_INT, AT(n_window_layers), "0", 0, 10000, NULL, NULL,
     "layers with sliding-window attention"},
    {"window_tokens", EEP_OPTION_INT, AT(window_tokens), "0", 0, 100000000, NULL, NULL,
     "tokens that such a layer holds at most"},
    {"n_linear_layers", EEP_OPTION_INT, AT(n_linear_layers), "0", 0, 10000, NULL, NULL,
     "layers with linear attention"},
    {"linear_state", EEP_OPTION_BYTES, AT(linear_state_bytes), "0B", 0, 1e12, NULL, NULL,
     "state of one such layer and sequence"},
    {"linear_params", EEP_OPTION_INT, AT(linear_params), "0", 0, 1e12, NULL, NULL,
     "parameters of one such layer's mixer"},
    {"vocab_size", EEP_OPTION_INT, AT(vocab_size), NULL, 1, 100000000, NULL, NULL,
     "tokens of the vocabulary"},
    {"total_params", EEP_OPTION_DOUBLE, AT(total_params), "0", 0, 1e15, NULL, NULL,
     "parameters in all, as published; for the cross-check only"},
    {"active_params", EEP_OPTION_DOUBLE, AT(active_params), "0", 0, 1e15, NULL, NULL,
     "parameters at work on one token, as published; for the cross-check only"},
    {"expert_weight_bytes_per_param", EEP_OPTION_DOUBLE, AT(expert_weight_bytes_per_param), "2",
     0.1, 8, NULL, NULL, "1 for FP8, 2 for BF16, 0.53 for MXFP4"},
    {"weight_bytes_per_param", EEP_OPTION_DOUBLE, AT(weight_bytes_per_param), "2", 0.1, 8, NULL,
     NULL, "the same for everything but routed experts and embeddings"},
    {"embedding_bytes_per_param", EEP_OPTION_DOUBLE, AT(embedding_bytes_per_param), "2", 0.1, 8,
     NULL, NULL, "the same for embedding and LM head"},
    {"expert_flops_scale", EEP_OPTION_DOUBLE, AT(expert_flops_scale), "1", 1, 4, NULL, NULL,
     "1: experts run at the GPU's BF16 rate, 2: at its FP8 rate"},
    {"kv_bytes_per_value", EEP_OPTION_DOUBLE, AT(kv_bytes_per_value), "2", 0.25, 4, NULL, NULL,
     "2 for a BF16 KV cache, 1 for FP8"},
    {"max_model_len", EEP_OPTION_INT, AT(max_model_len), NULL, 1, 100000000, NULL, NULL,
     "tokens of a request at most"},
};

const EepOptionTable eep_model_options = {"model", sizeof(EepModel), options,
                                          G_N_ELEMENTS(options)};

/* Far above any model, and low enough that sums of bytes fit 64 bits. */
#define MAX_PARAMS      1e14
#define MAX_EXPERTS     2e6 /* over all layers; each has a place in every placement */
#define MAX_TOKEN_BYTES 1e9
#define MAX_STATE_BYTES 1e15

static double kv_values(const EepModel *model, gint64 tp);
static double bounded_state(const EepModel *model, gint64 tp);
static gboolean wrong(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean wrong(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS, text);
    return FALSE;
}

#define D G_GINT64_FORMAT

/* Each figure may be in its bounds and their products beyond any machine, or 64 bits. */
static gboolean check_totals(const EepModel *model, GError **error)
{
    double params = eep_model_total_params(model);
    double kv = (double)model->n_layers * kv_values(model, 1) * model->kv_bytes_per_value;
    double state = bounded_state(model, 1);

    if (params > MAX_PARAMS)
        return wrong(error,
                     "%" D " layers of %" D " experts, hidden_size %" D
                     " and the rest make %.3g parameters: at most %.0g",
                     model->n_layers, model->n_routed_experts, model->hidden_size, params,
                     MAX_PARAMS);
    if ((double)model->n_layers * (double)model->n_routed_experts > MAX_EXPERTS)
        return wrong(error, "%" D " layers x %" D " experts are %.3g experts: at most %.0g",
                     model->n_layers, model->n_routed_experts,
                     (double)model->n_layers * (double)model->n_routed_experts, MAX_EXPERTS);
    if (kv > MAX_TOKEN_BYTES)
        return wrong(error, "a token's KV in %" D " layers takes %.3g B: at most %.0g B",
                     model->n_layers, kv, MAX_TOKEN_BYTES);
    if (state > MAX_STATE_BYTES)
        return wrong(error,
                     "a sequence's state in %" D " window and %" D
                     " linear layers takes %.3g B: at most %.0g B",
                     model->n_window_layers, model->n_linear_layers, state, MAX_STATE_BYTES);
    return TRUE;
}

gboolean eep_model_check(const EepModel *model, GError **error)
{
    if (model->n_dense_layers >= model->n_layers || eep_model_n_moe_layers(model) < 1)
        return wrong(error,
                     "no layer is MoE: n_dense_layers %" D " and moe_every %" D
                     " must leave one of n_layers %" D,
                     model->n_dense_layers, model->moe_every, model->n_layers);
    if (eep_model_n_moe_layers(model) < model->n_layers && model->dense_intermediate_size < 1)
        return wrong(error,
                     "%" D " layers are dense: dense_intermediate_size must be given for them",
                     model->n_layers - eep_model_n_moe_layers(model));
    if (model->experts_per_token > model->n_routed_experts)
        return wrong(error, "experts_per_token is %" D ": at most n_routed_experts %" D,
                     model->experts_per_token, model->n_routed_experts);
    if (model->n_routed_experts % model->n_group != 0 || model->topk_group > model->n_group)
        return wrong(error,
                     "n_group %" D " and topk_group %" D
                     ": n_group must divide n_routed_experts %" D " and be no less than topk_group",
                     model->n_group, model->topk_group, model->n_routed_experts);
    if (model->attention == EEP_ATTENTION_MLA &&
        (model->kv_lora_rank < 1 || model->qk_nope_head_dim < 1 || model->qk_rope_head_dim < 1 ||
         model->v_head_dim < 1))
        return wrong(error, "attention is mla: kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim "
                            "and v_head_dim must be given");
    if (model->attention == EEP_ATTENTION_GQA &&
        (model->head_dim < 1 || model->n_kv_heads < 1 || model->n_kv_heads > model->n_heads))
        return wrong(error,
                     "attention is gqa: head_dim and n_kv_heads, at most n_heads %" D
                     ", must be given",
                     model->n_heads);
    if (model->n_window_layers + model->n_linear_layers > model->n_layers)
        return wrong(error,
                     "n_window_layers %" D " and n_linear_layers %" D ": at most n_layers %" D,
                     model->n_window_layers, model->n_linear_layers, model->n_layers);
    if (model->n_window_layers > 0 && model->window_tokens < 1)
        return wrong(error, "n_window_layers is %" D ": window_tokens must be given",
                     model->n_window_layers);
    return check_totals(model, error);
}

gint64 eep_model_n_moe_layers(const EepModel *model)
{
    return (model->n_layers - model->n_dense_layers) / model->moe_every;
}

/* gate, up and down of a SwiGLU block. */
static double ffn_params(const EepModel *model, gint64 intermediate)
{
    return 3.0 * (double)model->hidden_size * (double)intermediate;
}

static double expert_params(const EepModel *model)
{
    return ffn_params(model, model->moe_intermediate_size);
}

gint64 eep_model_expert_bytes(const EepModel *model)
{
    return (gint64)ceil(expert_params(model) * model->expert_weight_bytes_per_param);
}

/* Parameters of one attention layer on one rank. MLA's down projections are replicated; heads are
 * split, KV heads at least one a rank. */
static double attention_params(const EepModel *model, gint64 tp)
{
    double hidden = (double)model->hidden_size, heads = (double)model->n_heads / (double)tp;
    if (model->attention == EEP_ATTENTION_GQA) {
        double kv_heads = (double)((model->n_kv_heads + tp - 1) / tp);
        return hidden * (double)model->head_dim * (2.0 * heads + 2.0 * kv_heads);
    }
    double qk = (double)(model->qk_nope_head_dim + model->qk_rope_head_dim);
    double q_rank = (double)model->q_lora_rank, kv_rank = (double)model->kv_lora_rank;
    double query = q_rank > 0.0 ? hidden * q_rank + q_rank * heads * qk : hidden * heads * qk;
    double down = hidden * (kv_rank + (double)model->qk_rope_head_dim);
    double up = kv_rank * heads * (double)(model->qk_nope_head_dim + model->v_head_dim);
    return query + down + up + heads * (double)model->v_head_dim * hidden;
}

static double shared_params(const EepModel *model)
{
    gint64 width = model->shared_intermediate_size > 0 ? model->shared_intermediate_size
                                                       : model->moe_intermediate_size;
    return (double)model->n_shared_experts * ffn_params(model, width);
}

/* Everything but routed experts and embeddings on one rank. */
static double block_params(const EepModel *model, gint64 tp)
{
    double moe_layers = (double)eep_model_n_moe_layers(model);
    double dense_layers = (double)model->n_layers - moe_layers;
    double router = (double)model->hidden_size * (double)model->n_routed_experts;
    double full = (double)(model->n_layers - model->n_linear_layers) * attention_params(model, tp);
    double linear = (double)model->n_linear_layers * (double)model->linear_params / (double)tp;
    double dense = dense_layers * ffn_params(model, model->dense_intermediate_size) / (double)tp;
    return full + linear + dense + moe_layers * (router + shared_params(model) / (double)tp);
}

static double embedding_params(const EepModel *model)
{
    return 2.0 * (double)model->vocab_size * (double)model->hidden_size;
}

double eep_model_total_params(const EepModel *model)
{
    return block_params(model, 1) + embedding_params(model) +
           (double)eep_model_n_moe_layers(model) * (double)model->n_routed_experts *
               expert_params(model);
}

double eep_model_active_params(const EepModel *model)
{
    return block_params(model, 1) + embedding_params(model) +
           (double)eep_model_n_moe_layers(model) * (double)model->experts_per_token *
               expert_params(model);
}

gint64 eep_model_non_expert_bytes(const EepModel *model, gint64 tp)
{
    return (gint64)ceil(block_params(model, tp) * model->weight_bytes_per_param +
                        embedding_params(model) / (double)tp * model->embedding_bytes_per_param);
}

/* KV values of one token in one layer on one rank. */
static double kv_values(const EepModel *model, gint64 tp)
{
    if (model->attention == EEP_ATTENTION_MLA)
        return (double)(model->kv_lora_rank + model->qk_rope_head_dim);
    return 2.0 * (double)((model->n_kv_heads + tp - 1) / tp) * (double)model->head_dim;
}

gint64 eep_model_kv_bytes_per_token(const EepModel *model, gint64 tp)
{
    gint64 layers = model->n_layers - model->n_window_layers - model->n_linear_layers;
    return (gint64)ceil((double)layers * kv_values(model, tp) * model->kv_bytes_per_value);
}

static double bounded_state(const EepModel *model, gint64 tp)
{
    double window = (double)model->n_window_layers * (double)model->window_tokens *
                    kv_values(model, tp) * model->kv_bytes_per_value;
    double linear = (double)model->n_linear_layers * (double)model->linear_state_bytes / (double)tp;
    return window + linear;
}

gint64 eep_model_bounded_state_bytes(const EepModel *model, gint64 tp)
{
    return (gint64)ceil(bounded_state(model, tp));
}
