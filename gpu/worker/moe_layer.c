#include "gpu/worker/moe_internal.h"

/* attention += x * W^T for the rows, W being the layer's non-expert weights: [attention_rows][H].
 */
static gboolean project(EepMoe *moe, const guint16 *weights, guint n_columns, guint first_row,
                        guint n_rows, guint16 *to, guint to_pitch, GError **error)
{
    EepGemmShape shape = {n_columns, moe->shape.hidden, moe->pitch, moe->shape.hidden, to_pitch};
    EepGemmGroup group = {
        .a = moe->at.x + (gsize)first_row * moe->pitch,
        .b = weights,
        .c = to + (gsize)first_row * to_pitch,
        .n_rows = n_rows,
    };
    return eep_gemm_one(moe->gemm, &shape, &group, error);
}

static const guint16 *shared_weights(const EepMoe *moe, guint layer)
{
    return (const guint16 *)((const guint8 *)moe->at.shared + layer * moe->layer_bytes);
}

/* Probe tokens get a product of their own, whose shape never changes: neither does the way in which
 * cuBLAS adds. */
static gboolean attend(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    const guint16 *weights = shared_weights(moe, layer);
    if (moe->attention_rows > 0 &&
        !(project(moe, weights, moe->attention_rows, 0, EEP_WIRE_N_PROBES, moe->at.attention,
                  moe->pitch, error) &&
          project(moe, weights, moe->attention_rows, EEP_WIRE_N_PROBES,
                  max_rows - EEP_WIRE_N_PROBES, moe->at.attention, moe->pitch, error)))
        return FALSE;
    EepMergeArgs args = {
        .facts = moe->at.facts,
        .max_rows = max_rows,
        .hidden = moe->shape.hidden,
        .pitch = moe->pitch,
        .base = moe->at.x,
        .added = moe->attention_rows > 0 ? moe->at.attention : NULL,
        .values = moe->at.values,
        .sums = moe->at.sums,
        .rows = moe->at.h,
    };
    return EEP_CUDA(eep_kernel_merge(&args, moe->stream), error);
}

static gboolean route(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    const EepMoeLayer *l = &moe->layers[layer];
    const EepWireModel *shape = &moe->shape;
    const guint32 *replicas = l->tables + shape->n_experts + 1;
    EepRouteArgs args = {
        .facts = moe->at.facts,
        .weights = (const gint32 *)(replicas + moe->max_slots),
        .layer = layer,
        .n_experts = shape->n_experts,
        .top_k = shape->top_k,
        .max_rows = max_rows,
        .keys = moe->at.keys,
        .experts = moe->at.experts,
        .load = moe->at.load + (gsize)layer * shape->n_experts,
    };
    EepReplicaArgs replica_args = {
        .facts = moe->at.facts,
        .experts = moe->at.experts,
        .first_replica = l->tables,
        .replicas = replicas,
        .top_k = shape->top_k,
        .max_rows = max_rows,
        .slots = moe->at.slots,
    };
    return EEP_CUDA(eep_kernel_route(&args, moe->stream), error) &&
           EEP_CUDA(eep_kernel_replicas(&replica_args, moe->stream), error);
}

static gboolean permute(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    EepPermuteArgs args = {
        .slots = moe->at.slots,
        .n_pairs = max_rows * moe->shape.top_k,
        .n_slots = moe->layers[layer].n_slots,
        .chunk_counts = moe->at.chunk_counts,
        .counts = moe->at.counts,
        .first_rows = moe->at.first_rows,
        .positions = moe->at.positions,
    };
    return EEP_CUDA(eep_kernel_permute(&args, moe->stream), error) &&
           EEP_CUDA(eep_kernel_gather_pairs(args.positions, args.n_pairs, moe->shape.top_k,
                                            moe->at.h, moe->at.sent, moe->pitch, moe->stream),
                    error);
}

gboolean eep_moe_layer_local(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    return attend(moe, layer, max_rows, error) && route(moe, layer, max_rows, error) &&
           permute(moe, layer, max_rows, error);
}

/* Columns that the flops of the step's tokens come to, less those that attend() computes. */
static guint64 columns_left(const EepMoe *moe, const EepWireStep *step, guint n_tokens)
{
    const EepWireModel *shape = &moe->shape;
    double pairs = (double)step->decode_context_tokens + step->prefill_pairs;
    double flops = (double)n_tokens * shape->attention_flops_per_token +
                   pairs * shape->attention_flops_per_pair;
    double columns = flops / (2.0 * shape->hidden * n_tokens) - moe->attention_rows;
    return columns < 0 ? 0 : columns > (double)G_MAXUINT32 ? G_MAXUINT32 : (guint64)columns;
}

/* Tokens whose keys and values the step reads: every decode's context, and of every prefill chunk
 * what was computed before it and itself. A step tells sums over chunks, so that they are taken for
 * alike: n chunks of q tokens behind c have n q (c + (q + 1) / 2) pairs. */
static guint64 context_tokens(const EepWireStep *step)
{
    double n = step->n_prefill_chunks, tokens = step->n_prefill_tokens;
    if (n == 0 || tokens == 0)
        return step->decode_context_tokens;
    double q = tokens / n, c = (double)step->prefill_pairs / tokens - (q + 1) / 2;
    return step->decode_context_tokens + (guint64)(n * (MAX(c, 0) + q) + 0.5);
}

gboolean eep_moe_layer_context(EepMoe *moe, guint layer, const EepWireStep *step, GError **error)
{
    guint n_tokens = step->n_decodes + step->n_prefill_tokens;
    guint64 cache_words = moe->kv_bytes / 8;
    guint64 words = context_tokens(step) * moe->shape.kv_bytes_per_token / 8;
    guint64 first = cache_words == 0 ? 0 : (step->step + layer) * words % cache_words;
    if (!EEP_CUDA(eep_kernel_read_kv(moe->at.kv, cache_words, first, words, moe->at.sink,
                                     (guint)MIN(EEP_MOE_N_SINKS, words / 8 + 1), moe->stream),
                  error))
        return FALSE;
    if (n_tokens == 0 || moe->scratch_columns == 0)
        return TRUE;
    const guint16 *weights = shared_weights(moe, layer);
    for (guint64 left = columns_left(moe, step, n_tokens); left > 0;) {
        guint columns = (guint)MIN(left, moe->scratch_columns);
        if (!project(moe, weights, columns, EEP_WIRE_N_PROBES, n_tokens, moe->at.scratch,
                     moe->scratch_columns, error))
            return FALSE;
        left -= columns;
    }
    return TRUE;
}
