/* The non-expert weights on their way to new ranks. */
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
    guint n_pieces = (guint)((bytes + PIECE_BYTES - 1) / PIECE_BYTES), parent = EEP_RANK_NONE;
    g_autofree EepPiece *pieces = g_new(EepPiece, phase->n_routes + 1);

    for (guint i = 0; i < phase->n_routes; i++)
        if (phase->routes[i].to == phase->rank)
            parent = phase->routes[i].from;
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

gboolean eep_worker_send_weights(EepWorker *worker, const EepWirePhase *phase, gboolean is_tree,
                                 EepWorkerYield *yield, GError **error)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, phase->target_epoch);

    /* Members that leave have no part in the target group. */
    if (phase->rank == EEP_RANK_NONE)
        return TRUE;
    if (group == NULL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "weights are sent in the group of epoch %u, of which this worker is no member",
                    phase->target_epoch);
        return FALSE;
    }
    return is_tree ? as_a_tree(worker, group, phase, yield, error)
                   : one_after_the_other(worker, group, phase, yield, error);
}
