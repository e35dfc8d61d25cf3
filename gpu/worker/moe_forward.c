#include "gpu/worker/moe_internal.h"

gboolean eep_moe_settle(EepMoe *moe, gint64 wait_ns, const gint *stop, GError **error)
{
    if (moe->is_unsettled && !eep_device_wait(moe->device, moe->stream, wait_ns, stop, error))
        return FALSE;
    moe->is_unsettled = FALSE;
    return TRUE;
}

static gboolean step_is_sound(const EepMoe *moe, const EepComm *comm, const EepWireStep *step,
                              GError **error)
{
    guint64 n_tokens = (guint64)step->n_decodes + step->n_prefill_tokens;
    if (n_tokens > moe->shape.max_tokens) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "step %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                    " tokens for this rank; there is memory for %u",
                    step->step, n_tokens, moe->shape.max_tokens);
        return FALSE;
    }
    for (guint i = 0; i < moe->shape.n_layers; i++) {
        const EepMoeLayer *layer = &moe->layers[i];
        if (layer->n_ranks == comm->n_ranks && layer->rank == comm->rank)
            continue;
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "step %" G_GUINT64_FORMAT " is for rank %u of %u, but the map of layer %u is "
                    "for rank %u of %u (0: there is none yet)",
                    step->step, comm->rank, comm->n_ranks, i, layer->rank, layer->n_ranks);
        return FALSE;
    }
    return TRUE;
}

static gboolean upload(EepMoe *moe, gpointer to, gconstpointer from, gsize bytes, GError **error)
{
    return EEP_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, moe->stream), error);
}

static gboolean upload_tables(EepMoe *moe, GError **error)
{
    gsize words = 2 * (gsize)moe->shape.n_experts + 1 + moe->max_slots;
    for (guint i = 0; i < moe->shape.n_layers; i++) {
        EepMoeLayer *layer = &moe->layers[i];
        if (!layer->is_changed)
            continue;
        if (!upload(moe, layer->tables, layer->pinned_tables, 4 * words, error))
            return FALSE;
        layer->is_changed = FALSE;
    }
    return TRUE;
}

static gsize load_bytes(const EepMoe *moe)
{
    return sizeof(guint32) * moe->shape.n_layers * moe->shape.n_experts;
}

static gboolean begin(EepMoe *moe, const EepComm *comm, const EepWireStep *step, guint n_rows,
                      GError **error)
{
    *moe->pinned.facts = (EepStepFacts){
        .seed = moe->shape.seed,
        .step = step->step,
        .rank = comm->rank,
        .n_rows = n_rows,
        .n_probes = EEP_WIRE_N_PROBES,
    };
    return upload(moe, moe->at.facts, moe->pinned.facts, sizeof(EepStepFacts), error) &&
           upload_tables(moe, error) &&
           EEP_CUDA(cudaMemsetAsync(moe->at.load, 0, load_bytes(moe), moe->stream), error) &&
           EEP_CUDA(eep_kernel_input(moe->at.facts, moe->at.x, n_rows, moe->shape.hidden,
                                     moe->pitch, moe->stream),
                    error);
}

/* The experts' outputs by their gates onto h, in the order of k: the next layer's input. */
static gboolean merge_experts(EepMoe *moe, guint layer, guint n_rows, GError **error)
{
    EepMergeArgs args = {
        .facts = moe->at.facts,
        .layer = layer,
        .n_experts = moe->shape.n_experts,
        .top_k = moe->shape.top_k,
        .max_rows = n_rows,
        .hidden = moe->shape.hidden,
        .pitch = moe->pitch,
        .base = moe->at.h,
        .added = moe->at.sent,
        .positions = moe->at.positions,
        .values = moe->at.values,
        .sums = moe->at.sums,
        .rows = moe->at.x,
    };
    return EEP_CUDA(eep_kernel_merge(&args, moe->stream), error);
}

typedef struct {
    EepComm *comm;
    const EepWireStep *step;
    guint n_rows;
    gint64 wait_ns;
    const gint *stop;
    guint *ret_suspect;
    guint64 n_dropped;
} Forward;

static gboolean run_layer(EepMoe *moe, guint layer, Forward *forward, GError **error)
{
    const EepMoeLayer *l = &moe->layers[layer];
    gboolean is_replayed;
    if (!eep_moe_layer_context(moe, layer, forward->step, error) ||
        !eep_moe_graph_replay(moe, layer, forward->n_rows, &is_replayed, error) ||
        !(is_replayed || eep_moe_layer_local(moe, layer, forward->n_rows, error)) ||
        !eep_moe_exchange(moe, layer, forward->comm, forward->wait_ns, forward->stop,
                          forward->ret_suspect, error))
        return FALSE;
    forward->n_dropped += (guint64)forward->n_rows * moe->shape.top_k;
    for (guint slot = 0; slot < l->n_slots; slot++)
        forward->n_dropped -= moe->pinned.matrix[(gsize)l->rank * l->n_slots + slot];
    return merge_experts(moe, layer, forward->n_rows, error);
}

static gboolean end(EepMoe *moe, Forward *forward, EepMoeResult *ret_result, GError **error)
{
    gsize probe_bytes = 2 * (gsize)EEP_WIRE_N_PROBES * moe->pitch;
    if (!EEP_CUDA(cudaMemcpyAsync(moe->pinned.probes, moe->at.x, probe_bytes,
                                  cudaMemcpyDeviceToHost, moe->stream),
                  error) ||
        !EEP_CUDA(cudaMemcpyAsync(moe->pinned.load, moe->at.load, load_bytes(moe),
                                  cudaMemcpyDeviceToHost, moe->stream),
                  error) ||
        !forward->comm->ops->wait(forward->comm, moe->stream, forward->wait_ns, forward->stop,
                                  forward->ret_suspect, error))
        return FALSE;
    if (forward->n_rows > EEP_WIRE_N_PROBES) /* a warm-up has no step of its own */
        eep_moe_load_record(moe, forward->step->step);
    ret_result->n_dropped = forward->n_dropped;
    ret_result->probe_hash =
        eep_probe_result(moe->pinned.probes, moe->shape.hidden, moe->pitch, ret_result->probe);
    for (guint i = 0; i < moe->shape.n_layers; i++)
        if (moe->layers[i].lacks_probe)
            ret_result->probe_hash = 0;
    return TRUE;
}

gboolean eep_moe_forward(EepMoe *moe, EepComm *comm, const EepWireStep *step, gint64 wait_ns,
                         const gint *stop, EepMoeResult *ret_result, guint *ret_suspect,
                         GError **error)
{
    *ret_result = (EepMoeResult){0};
    *ret_suspect = EEP_RANK_NONE;
    if (moe->shape.n_layers == 0)
        return TRUE;
    if (!step_is_sound(moe, comm, step, error) || !eep_moe_settle(moe, wait_ns, stop, error))
        return FALSE;
    Forward forward = {
        .comm = comm,
        .step = step,
        .n_rows = EEP_WIRE_N_PROBES + step->n_decodes + step->n_prefill_tokens,
        .wait_ns = wait_ns,
        .stop = stop,
        .ret_suspect = ret_suspect,
    };
    moe->is_unsettled = TRUE;
    if (!eep_moe_graph_prepare(moe, forward.n_rows, error) ||
        !begin(moe, comm, step, forward.n_rows, error))
        return FALSE;
    for (guint layer = 0; layer < moe->shape.n_layers; layer++)
        if (!run_layer(moe, layer, &forward, error))
            return FALSE;
    if (!end(moe, &forward, ret_result, error))
        return FALSE;
    moe->is_unsettled = FALSE;
    return TRUE;
}
