/* Filling weights from the hash, and checksums of what lies on the device. */
#include "gpu/worker/moe_internal.h"

gboolean eep_moe_fill(EepMoe *moe, guint layer, guint expert, gpointer memory, EepStream stream,
                      GError **error)
{
    EepExpertLayout layout;
    eep_weights_expert(moe->shape.seed, layer, expert, moe->shape.hidden, moe->shape.intermediate,
                       &layout);
    guint64 *words = memory, n_gate_up = layout.gate_up_bytes / 8;
    return EEP_CUDA(eep_kernel_fill(words, n_gate_up, layout.gate_up, stream), error) &&
           EEP_CUDA(eep_kernel_fill(words + n_gate_up, layout.bytes / 8 - n_gate_up, layout.down,
                                    stream),
                    error);
}

gpointer eep_moe_non_expert(EepMoe *moe, gsize *ret_bytes)
{
    *ret_bytes = moe->shared_bytes;
    return moe->at.shared;
}

gboolean eep_moe_fill_non_expert(EepMoe *moe, EepStream stream, GError **error)
{
    for (guint layer = 0; layer < moe->shape.n_layers; layer++) {
        guint64 *words = (guint64 *)((guint8 *)moe->at.shared + layer * moe->layer_bytes);
        EepWeightRule rule =
            eep_weights_shared(moe->shape.seed, layer, moe->shape.hidden, moe->layer_bytes);
        if (!EEP_CUDA(eep_kernel_fill(words, moe->layer_bytes / 8, rule, stream), error))
            return FALSE;
    }
    return TRUE;
}

gpointer eep_moe_kv(EepMoe *moe, gsize *ret_bytes)
{
    *ret_bytes = moe->kv_bytes;
    return moe->at.kv;
}

/* -- checksums -- */

typedef struct {
    gconstpointer memory;
    gsize bytes;
} Piece;

/* What was left half done on a stream still writes where all sums go. */
static gboolean settle_sums(EepMoe *moe, GError **error)
{
    if (moe->sums_stream &&
        !eep_device_wait(moe->device, moe->sums_stream, moe->wait_ns, NULL, error))
        return FALSE;
    moe->sums_stream = NULL;
    return TRUE;
}

static gboolean enqueue_sums(EepMoe *moe, guint n, const Piece *pieces, EepStream stream,
                             GError **error)
{
    if (!EEP_CUDA(cudaMemsetAsync(moe->at.checksums, 0, sizeof(guint64) * n, stream), error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (!EEP_CUDA(eep_kernel_checksum(pieces[i].memory, pieces[i].bytes / 8,
                                          moe->at.checksums + i, stream),
                      error))
            return FALSE;
    return EEP_CUDA(cudaMemcpyAsync(moe->pinned.checksums, moe->at.checksums, sizeof(guint64) * n,
                                    cudaMemcpyDeviceToHost, stream),
                    error);
}

/* Locked by sums_lock: there is one place on the device and one on the host for all. */
static gboolean sum_pieces(EepMoe *moe, guint n, const Piece *pieces, EepStream stream,
                           GError **error)
{
    if (!settle_sums(moe, error))
        return FALSE;
    moe->sums_stream = stream;
    return enqueue_sums(moe, n, pieces, stream, error) && settle_sums(moe, error);
}

gboolean eep_moe_checksum(EepMoe *moe, gconstpointer memory, gsize bytes, EepStream stream,
                          guint64 *ret_sum, GError **error)
{
    *ret_sum = 0;
    if (moe->shape.n_layers == 0)
        return TRUE;
    EEP_MOE_HOLD(moe->sums_lock);
    Piece piece = {memory, bytes};
    if (!sum_pieces(moe, 1, &piece, stream, error))
        return FALSE;
    *ret_sum = moe->pinned.checksums[0];
    return TRUE;
}

guint64 eep_moe_expected_checksum(const EepWireModel *shape, guint layer, guint expert)
{
    EepExpertLayout layout;
    eep_weights_expert(shape->seed, layer, expert, shape->hidden, shape->intermediate, &layout);
    return eep_weights_expert_checksum(&layout);
}

EepWireSlotSum *eep_moe_check(EepMoe *moe, EepStream stream, guint *ret_n, GError **error)
{
    guint n_all = moe->shape.n_layers * moe->shape.slots_per_rank, n = 0;
    g_autofree EepWireSlotSum *sums = g_new0(EepWireSlotSum, n_all + 1);
    g_autofree Piece *pieces = g_new0(Piece, n_all + 1);
    *ret_n = 0;
    eep_moe_lock(&moe->lock);
    for (guint layer = 0; layer < moe->shape.n_layers; layer++) {
        for (guint i = 0; i < moe->shape.slots_per_rank; i++) {
            const EepMoeSlot *slot = &moe->layers[layer].slots[i];
            if (!slot->serves)
                continue;
            sums[n] = (EepWireSlotSum){layer, i, slot->expert, 0};
            pieces[n++] = (Piece){slot->memory, moe->layout.bytes};
        }
    }
    eep_moe_unlock(&moe->lock);
    EEP_MOE_HOLD(moe->sums_lock);
    if (n > 0 && !sum_pieces(moe, n, pieces, stream, error))
        return NULL;
    for (guint i = 0; i < n; i++)
        sums[i].checksum = moe->pinned.checksums[i];
    *ret_n = n;
    return g_steal_pointer(&sums);
}
