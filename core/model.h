/* EepModel: the shape of a Mixture-of-Experts model, as far as time and memory depend on it.
 *
 * Facts from scenarios/models/NAME.yaml (each figure with its source there). Not weights, not a
 * graph: only sizes. Filled by the profile loader, read-only afterwards, shared freely. */
#ifndef EEP_CORE_MODEL_H
#define EEP_CORE_MODEL_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum { EEP_ATTENTION_MLA, EEP_ATTENTION_GQA } EepAttentionKind;

typedef struct {
    char *name;
    gint64 n_layers;       /* transformer layers in all */
    gint64 n_dense_layers; /* the first ones, with a dense FFN instead of experts */
    gint64 moe_every; /* 1: every layer after the dense ones is MoE; 2: every second (the others
                         dense) */
    gint64 hidden_size;
    gint64 dense_intermediate_size; /* 0 when no layer is dense */
    gint64 moe_intermediate_size;   /* of one routed expert */
    gint64 n_routed_experts;
    gint64 n_shared_experts;         /* always-on experts, replicated on every rank */
    gint64 shared_intermediate_size; /* of one shared expert; 0: as the routed ones */
    gint64 experts_per_token;        /* top-k */
    gint64 n_group, topk_group; /* routing groups and how many a token may use; 1, 1: no grouping */
    gint attention;             /* EepAttentionKind */
    gint64 n_heads, n_kv_heads, head_dim; /* GQA (n_heads also MLA) */
    gint64 q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim,
        v_head_dim; /* MLA; q_lora_rank 0: none */
    gint64 n_window_layers,
        window_tokens;         /* sliding-window layers hold at most window_tokens of KV */
    gint64 n_linear_layers;    /* linear-attention layers: state of fixed size, no KV per token */
    gint64 linear_state_bytes; /* per sequence and linear layer */
    gint64 linear_params;      /* parameters of one linear-attention layer's mixer */
    gint64 vocab_size;
    double total_params, active_params;   /* from the model card, for the cross-check only */
    double expert_weight_bytes_per_param; /* 1 for FP8, 2 for BF16, 0.53 for MXFP4 */
    double weight_bytes_per_param;        /* everything else but the embeddings */
    double embedding_bytes_per_param;     /* embedding and LM head; BF16 also in FP8 checkpoints */
    double expert_flops_scale; /* 1: experts run at the GPU's BF16 rate, 2: at its FP8 rate (see
                                  gemm cost) */
    double kv_bytes_per_value; /* 2 BF16, 1 FP8 */
    gint64 max_model_len;      /* the model's own limit */
} EepModel;

extern const EepOptionTable eep_model_options; /* the keys of a model profile; prefix "model" */

/* TRUE when the shape is consistent (top-k within the experts, layers add up, the attention's sizes
 * given); else the error says which figures do not go together. */
gboolean eep_model_check(const EepModel *model, GError **error);

/* MoE layers (those with routed experts). */
gint64 eep_model_n_moe_layers(const EepModel *model);

/* Bytes of one routed expert of one layer: 3 * hidden * moe_intermediate * bytes per parameter
 * (SwiGLU: gate, up, down). */
gint64 eep_model_expert_bytes(const EepModel *model);

/* Parameters in all and those that work on one token (top-k experts, everything else but the input
 * embedding's lookup counted whole), from the shape. Norms and biases are left out (below 0.1 %).
 */
double eep_model_total_params(const EepModel *model);
double eep_model_active_params(const EepModel *model);

/* Bytes of everything that is not a routed expert on one rank at tensor-parallel size `tp`
 * (attention, shared experts, dense layers, norms, embedding and LM head). */
gint64 eep_model_non_expert_bytes(const EepModel *model, gint64 tp);

/* KV-cache bytes of one token on one rank, counting replication: MLA keeps the whole latent on each
 * TP rank; GQA keeps ceil(kv_heads / tp) heads. Window layers and linear layers are not counted
 * here. */
gint64 eep_model_kv_bytes_per_token(const EepModel *model, gint64 tp);

/* Bounded KV bytes of one sequence: window layers at their full window plus linear state. */
gint64 eep_model_bounded_state_bytes(const EepModel *model, gint64 tp);

G_END_DECLS

#endif
