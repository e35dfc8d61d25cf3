/* The non-expert weights on their way to new ranks, checked on both ends. */
#include "gpu/worker/worker_internal.h"

/* A tree passes weights on in pieces of this size. */
#define PIECE_BYTES (4u << 20)

static gboolean exchange(EepWorker *worker, const EepMembership *group, guint n,
                         const EepPiece *pieces, EepWorkerYield *yield, GError **error)
{
    EepStream stream = worker->streams[EEP_LANE_ASIDE];

    return n == 0 || (group->move->ops->exchange(group->move, n, pieces, stream, error) &&
                      group->move->ops->wait(group->move, stream, (gint64)worker->welcome.wait_ns,
                                             eep_lane_stop(worker->lanes[EEP_LANE_ASIDE]),
                                             &yield->suspect, error));
}

/* Who this rank has its weights from; EEP_RANK_NONE: it sends or takes no part. */
static guint sender_of(const EepWirePhase *phase, guint rank)
{
    for (guint i = 0; i < phase->n_routes; i++)
        if (phase->routes[i].to == rank)
            return phase->routes[i].from;
    return EEP_RANK_NONE;
}

static gboolean one_after_the_other(EepWorker *worker, const EepMembership *group,
                                    const EepWirePhase *phase, EepWorkerYield *yield,
                                    GError **error)
{
    gsize bytes;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    for (guint i = 0; i < phase->n_routes; i++) {
        const EepWirePeers *route = &phase->routes[i];
        gboolean sends = route->from == phase->rank;
        EepPiece piece = {sends ? route->to : route->from, sends, weights, bytes};

        if ((sends || route->to == phase->rank) &&
            !exchange(worker, group, 1, &piece, yield, error))
            return FALSE;
    }
    return TRUE;
}

/* Piece by piece: while one is received, the one before goes on to the children. */
static gboolean as_a_tree(EepWorker *worker, const EepMembership *group, const EepWirePhase *phase,
                          EepWorkerYield *yield, GError **error)
{
    gsize bytes;
    guint8 *weights = eep_moe_non_expert(worker->moe, &bytes);
    guint n_pieces = (guint)((bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    guint parent = sender_of(phase, phase->rank);
    g_autofree EepPiece *pieces = g_new(EepPiece, phase->n_routes + 1);

    for (guint turn = 0; turn <= n_pieces; turn++) {
        guint to_send = parent == EEP_RANK_NONE ? turn : turn - 1, n = 0;

        for (guint i = 0; i < phase->n_routes && to_send < n_pieces; i++)
            if (phase->routes[i].from == phase->rank)
                pieces[n++] =
                    (EepPiece){phase->routes[i].to, TRUE, weights + (gsize)to_send * PIECE_BYTES,
                               MIN(PIECE_BYTES, bytes - (gsize)to_send * PIECE_BYTES)};
        if (parent != EEP_RANK_NONE && turn < n_pieces)
            pieces[n++] = (EepPiece){parent, FALSE, weights + (gsize)turn * PIECE_BYTES,
                                     MIN(PIECE_BYTES, bytes - (gsize)turn * PIECE_BYTES)};
        if (!exchange(worker, group, n, pieces, yield, error))
            return FALSE;
    }
    return TRUE;
}

/* What does not come afterwards is not a number, so that nobody takes what lay there before for
 * what was sent. */
static gboolean clear(EepWorker *worker, GError **error)
{
    gsize bytes;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    return EEP_CUDA(cudaMemsetAsync(weights, 0xff, bytes, worker->streams[EEP_LANE_ASIDE]), error);
}

/* Every rank's checksum goes the way that its weights went. */
static gboolean compare_sums(EepWorker *worker, const EepMembership *group,
                             const EepWirePhase *phase, EepWorkerYield *yield, GError **error)
{
    EepStream stream = worker->streams[EEP_LANE_ASIDE];
    g_autofree EepPiece *pieces = g_new(EepPiece, phase->n_routes + 1);
    guint64 *on_device = worker->scratch, mine, sent;
    guint parent = sender_of(phase, phase->rank), n = 0;
    gsize bytes;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    for (guint i = 0; i < phase->n_routes; i++)
        if (phase->routes[i].from == phase->rank)
            pieces[n++] = (EepPiece){phase->routes[i].to, TRUE, on_device, sizeof mine};
    if (parent != EEP_RANK_NONE)
        pieces[n++] = (EepPiece){parent, FALSE, on_device + 1, sizeof sent};
    if (n == 0)
        return TRUE;
    if (!eep_moe_checksum(worker->moe, weights, bytes, stream, &mine, error) ||
        !EEP_CUDA(cudaMemcpyAsync(on_device, &mine, sizeof mine, cudaMemcpyHostToDevice, stream),
                  error) ||
        !exchange(worker, group, n, pieces, yield, error))
        return FALSE;
    if (parent == EEP_RANK_NONE)
        return TRUE;
    if (!EEP_CUDA(
            cudaMemcpyAsync(&sent, on_device + 1, sizeof sent, cudaMemcpyDeviceToHost, stream),
            error) ||
        !eep_device_wait(worker->device, stream, (gint64)worker->welcome.wait_ns,
                         eep_lane_stop(worker->lanes[EEP_LANE_ASIDE]), error))
        return FALSE;
    if (sent == mine)
        return TRUE;
    g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                "the non-expert weights came from rank %u with checksum %016" G_GINT64_MODIFIER
                "x, were sent with %016" G_GINT64_MODIFIER "x",
                parent, mine, sent);
    return FALSE;
}

gboolean eep_worker_send_weights(EepWorker *worker, const EepWirePhase *phase, gboolean is_tree,
                                 EepWorkerYield *yield, GError **error)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, phase->target_epoch);
    gsize bytes;

    /* Members that leave have no part in the target group. */
    if (phase->rank == EEP_RANK_NONE)
        return TRUE;
    if (group == NULL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "weights are sent in the group of epoch %u, of which this worker is no member",
                    phase->target_epoch);
        return FALSE;
    }
    eep_moe_non_expert(worker->moe, &bytes);
    if (bytes == 0)
        return TRUE;
    if (sender_of(phase, phase->rank) != EEP_RANK_NONE && !clear(worker, error))
        return FALSE;
    return (is_tree ? as_a_tree(worker, group, phase, yield, error)
                    : one_after_the_other(worker, group, phase, yield, error)) &&
           compare_sums(worker, group, phase, yield, error);
}
