/* Transfers of experts, checked on both ends, and of KV. */
#include <string.h>

#include "gpu/worker/worker_internal.h"

/* Experts of one round that go at once. */
#define MAX_AT_ONCE 64

typedef struct {
    EepWorker *worker;
    const EepWireMove *move;
    const EepMembership *group;
    EepWorkerYield *yield;
    guint64 sums[MAX_AT_ONCE]; /* of what is sent or received, in the transfers' order */
    gpointer memory[MAX_AT_ONCE];
} Moving;

static EepStream stream_of(const Moving *moving)
{
    return moving->worker->streams[EEP_LANE_ASIDE];
}

static gboolean wait(Moving *moving, GError **error)
{
    EepComm *comm = moving->group->move;

    return comm->ops->wait(comm, stream_of(moving), (gint64)moving->worker->welcome.wait_ns,
                           eep_lane_stop(moving->worker->lanes[EEP_LANE_ASIDE]),
                           &moving->yield->suspect, error);
}

static gboolean has_peer(const EepWireTransfer *transfer)
{
    return transfer->from < EEP_WIRE_MAX_RANKS && transfer->from != transfer->to;
}

/* Where the expert is on this rank, before it goes. */
static gpointer find_held(const Moving *moving, const EepWireTransfer *transfer, GError **error)
{
    EepMoe *moe = moving->worker->moe;
    guint slot = eep_moe_find(moe, moving->move->layer, transfer->expert);
    gconstpointer held =
        slot == G_MAXUINT ? NULL : eep_moe_held(moe, moving->move->layer, slot, transfer->expert);

    if (held == NULL)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "layer %u: rank %u is to send expert %u, which it does not hold",
                    moving->move->layer, moving->group->rank, transfer->expert);
    return (gpointer)held;
}

/* Finds or makes the memory at this end; what comes from nobody is filled or copied at once. */
static gboolean prepare(Moving *moving, const EepWireTransfer *transfer, guint index,
                        GError **error)
{
    EepMoe *moe = moving->worker->moe;
    guint layer = moving->move->layer;
    gpointer source;

    if (transfer->to != moving->group->rank) {
        moving->memory[index] = find_held(moving, transfer, error);
        return moving->memory[index] != NULL &&
               eep_moe_checksum(moe, moving->memory[index], eep_moe_expert_bytes(moe),
                                stream_of(moving), &moving->sums[index], error);
    }
    moving->memory[index] = eep_moe_stage(moe, layer, transfer->slot, transfer->expert, error);
    if (moving->memory[index] == NULL || has_peer(transfer))
        return moving->memory[index] != NULL;
    if (transfer->from != moving->group->rank)
        return eep_moe_fill(moe, layer, transfer->expert, moving->memory[index], stream_of(moving),
                            error);
    source = find_held(moving, transfer, error);
    return source != NULL &&
           EEP_CUDA(cudaMemcpyAsync(moving->memory[index], source, eep_moe_expert_bytes(moe),
                                    cudaMemcpyDeviceToDevice, stream_of(moving)),
                    error);
}

/* What has come is what was sent. */
static gboolean compare(Moving *moving, const EepWireTransfer *transfers, guint n,
                        const guint64 *received, GError **error)
{
    EepMoe *moe = moving->worker->moe;

    for (guint i = 0; i < n; i++) {
        guint64 sum;

        if (transfers[i].to != moving->group->rank || !has_peer(&transfers[i]))
            continue;
        if (!eep_moe_checksum(moe, moving->memory[i], eep_moe_expert_bytes(moe), stream_of(moving),
                              &sum, error))
            return FALSE;
        if (sum == received[i])
            continue;
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "layer %u: expert %u came from rank %u with checksum %016" G_GINT64_MODIFIER
                    "x, was sent with %016" G_GINT64_MODIFIER "x",
                    moving->move->layer, transfers[i].expert, transfers[i].from, sum, received[i]);
        return FALSE;
    }
    return TRUE;
}

/* Up to MAX_AT_ONCE transfers of one round. Beside each expert goes its checksum. */
static gboolean move_experts(Moving *moving, const EepWireTransfer *transfers, guint n,
                             GError **error)
{
    gsize bytes = eep_moe_expert_bytes(moving->worker->moe);
    guint64 *device_sums = moving->worker->scratch, received[MAX_AT_ONCE];
    EepPiece pieces[2 * MAX_AT_ONCE];
    EepComm *comm = moving->group->move;
    guint n_pieces = 0;

    for (guint i = 0; i < n; i++) {
        gboolean sends = transfers[i].to != moving->group->rank;
        guint peer = sends ? transfers[i].to : transfers[i].from;

        if (!prepare(moving, &transfers[i], i, error))
            return FALSE;
        if (!has_peer(&transfers[i]))
            continue;
        pieces[n_pieces++] = (EepPiece){peer, sends, moving->memory[i], bytes};
        pieces[n_pieces++] = (EepPiece){peer, sends, device_sums + i, sizeof *device_sums};
    }
    if (!EEP_CUDA(cudaMemcpyAsync(device_sums, moving->sums, n * sizeof *device_sums,
                                  cudaMemcpyHostToDevice, stream_of(moving)),
                  error) ||
        (n_pieces > 0 && !comm->ops->exchange(comm, n_pieces, pieces, stream_of(moving), error)) ||
        !wait(moving, error) ||
        !EEP_CUDA(cudaMemcpyAsync(received, device_sums, n * sizeof *device_sums,
                                  cudaMemcpyDeviceToHost, stream_of(moving)),
                  error) ||
        !wait(moving, error))
        return FALSE;
    return compare(moving, transfers, n, received, error);
}

/* KV has no content that anybody looks at: so many bytes of the cache, as often as it takes. */
static gboolean move_kv(Moving *moving, const EepWireTransfer *transfer, GError **error)
{
    gsize cache_bytes;
    gpointer cache = eep_moe_kv(moving->worker->moe, &cache_bytes);
    gboolean sends = transfer->to != moving->group->rank;
    guint peer = sends ? transfer->to : transfer->from;
    EepComm *comm = moving->group->move;

    if (cache_bytes == 0 || !has_peer(transfer))
        return TRUE;
    for (guint64 done = 0; done < transfer->bytes; done += cache_bytes) {
        EepPiece piece = {peer, sends, cache, MIN(cache_bytes, transfer->bytes - done)};

        if (!comm->ops->exchange(comm, 1, &piece, stream_of(moving), error) || !wait(moving, error))
            return FALSE;
    }
    return TRUE;
}

gboolean eep_worker_move(EepWorker *worker, const EepWireMove *move, EepWorkerYield *yield,
                         GError **error)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, move->epoch);
    Moving moving = {.worker = worker, .move = move, .group = group, .yield = yield};
    guint n;

    if (moving.group == NULL || (!move->is_kv && move->layer >= worker->welcome.model.n_layers)) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "a move in layer %u of epoch %u, which this worker does not have", move->layer,
                    move->epoch);
        return FALSE;
    }
    for (guint begin = 0; begin < move->n_transfers; begin += n) {
        const EepWireTransfer *transfers = move->transfers + begin;

        for (n = 1; begin + n < move->n_transfers && n < (move->is_kv ? 1 : MAX_AT_ONCE) &&
                    transfers[n].round == transfers[0].round;)
            n++;
        if (move->is_kv ? !move_kv(&moving, transfers, error)
                        : !move_experts(&moving, transfers, n, error)) {
            if (!move->is_kv)
                eep_moe_unstage(worker->moe, move->layer);
            return FALSE;
        }
    }
    if (!move->is_kv)
        eep_moe_arrived(worker->moe, move->layer);
    return TRUE;
}
