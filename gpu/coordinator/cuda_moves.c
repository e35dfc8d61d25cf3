/* Moves of experts and of KV: over the newest group that has all who send or receive. */
#include "gpu/coordinator/cuda_internal.h"

/* Whose the ranks of the move are; NULL: nobody knows. */
static const EepWorkerId *workers_of(const EepCudaPoolState *pool, const EepMove *move,
                                     guint *ret_n)
{
    const EepWorkerGroup *group = eep_worker_groups_find(pool->groups, move->op.epoch);

    if (move->engines != NULL) {
        *ret_n = move->n_engines;
        return move->engines;
    }
    if (pool->last_members->len > 0 && pool->last_epoch == move->op.epoch) {
        *ret_n = pool->last_members->len;
        return (const EepWorkerId *)(gconstpointer)pool->last_members->data;
    }
    *ret_n = group != NULL ? group->n_members : 0;
    return group != NULL ? group->members : NULL;
}

static void add_worker(GArray *workers, EepWorkerId worker)
{
    for (guint i = 0; i < workers->len; i++)
        if (g_array_index(workers, EepWorkerId, i) == worker)
            return;
    g_array_append_val(workers, worker);
}

/* All who send or receive; FALSE: a rank is nobody's. */
static gboolean collect(const EepMove *move, guint n_ranks, const EepWorkerId *by_rank,
                        GArray *ret_workers)
{
    for (guint i = 0; i < move->n_transfers; i++) {
        const EepTransfer *transfer = &move->transfers[i];
        gboolean is_outside = transfer->from_rank >= EEP_TRANSFER_FROM_HOST;

        if (transfer->to_rank >= n_ranks || by_rank[transfer->to_rank] == 0 ||
            (!is_outside && (transfer->from_rank >= n_ranks || by_rank[transfer->from_rank] == 0)))
            return FALSE;
        if (!is_outside)
            add_worker(ret_workers, by_rank[transfer->from_rank]);
        add_worker(ret_workers, by_rank[transfer->to_rank]);
    }
    return TRUE;
}

static gint by_round(gconstpointer x, gconstpointer y)
{
    const EepWireTransfer *first = x, *second = y;

    return first->round < second->round ? -1 : first->round > second->round;
}

/* The transfers in which one worker takes part, in the group's ranks. */
static GArray *transfers_of(const EepCudaPoolState *pool, const EepMove *move,
                            const EepWorkerGroup *group, const EepWorkerId *by_rank,
                            EepWorkerId worker)
{
    GArray *mine = g_array_new(FALSE, FALSE, sizeof(EepWireTransfer));

    for (guint i = 0; i < move->n_transfers; i++) {
        const EepTransfer *transfer = &move->transfers[i];
        gboolean is_outside = transfer->from_rank >= EEP_TRANSFER_FROM_HOST;
        EepWireTransfer wire = {
            .from = is_outside ? transfer->from_rank
                               : eep_worker_group_rank(group, by_rank[transfer->from_rank]),
            .to = eep_worker_group_rank(group, by_rank[transfer->to_rank]),
            .expert = move->is_kv ? 0 : transfer->expert,
            .slot = move->is_kv ? 0 : transfer->to_slot % pool->model.slots_per_rank,
            .round = transfer->round,
            .bytes = !move->is_kv          ? 0
                     : move->bytes != NULL ? (guint64)move->bytes[i]
                                           : (guint64)move->bytes_each};

        if (by_rank[transfer->to_rank] == worker ||
            (!is_outside && by_rank[transfer->from_rank] == worker))
            g_array_append_val(mine, wire);
    }
    g_array_sort(mine, by_round);
    return mine;
}

static void send_move(EepCudaBackend *self, const EepCudaPoolState *pool, const EepMove *move,
                      const EepWorkerGroup *group, const EepWorkerId *by_rank, GArray *workers)
{
    for (guint i = 0; i < workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, g_array_index(workers, EepWorkerId, i));
        g_autoptr(GArray) mine = NULL;
        EepWireMessage message = {.type = EEP_WIRE_MOVE};

        if (worker == NULL || worker->link == NULL)
            continue;
        mine = transfers_of(pool, move, group, by_rank, worker->id);
        message.move =
            (EepWireMove){.op = move->op.id,
                          .is_kv = move->is_kv,
                          .epoch = group->epoch,
                          .layer = move->is_kv ? 0 : move->layer,
                          .version = move->new_version,
                          .n_transfers = mine->len,
                          .transfers = (const EepWireTransfer *)(gconstpointer)mine->data};
        eep_link_send(worker->link, &message);
    }
}

/* Layers that no worker computes have no bytes to move. */
void eep_cuda_move(EepBackend *backend, const EepMove *move)
{
    EepCudaBackend *self = (EepCudaBackend *)backend;
    EepCudaPoolState *pool = eep_cuda_pool(self, move->op.pool);
    EepOpKind kind = move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS;
    g_autoptr(GArray) workers = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    const EepWorkerGroup *group = NULL;
    const EepWorkerId *by_rank = NULL;
    guint n_ranks = 0;

    if (pool != NULL)
        by_rank = workers_of(pool, move, &n_ranks);
    if (by_rank != NULL && move->to_pool == move->op.pool &&
        move->n_transfers <= EEP_WIRE_MAX_TRANSFERS && collect(move, n_ranks, by_rank, workers))
        group = eep_worker_groups_newest_with(pool->groups, workers->len,
                                              (const EepWorkerId *)(gconstpointer)workers->data);
    if (group == NULL) {
        eep_tasks_end_at_once(self->tasks, &move->op, kind, EEP_DONE_REFUSED);
    } else if (workers->len == 0 || (!move->is_kv && move->layer >= pool->model.n_layers)) {
        eep_tasks_end_at_once(self->tasks, &move->op, kind, EEP_DONE_OK);
    } else {
        eep_tasks_begin(self->tasks, &move->op, kind, workers->len,
                        (const EepWorkerId *)(gconstpointer)workers->data)
            ->target_epoch = group->epoch;
        eep_cuda_mend_group(self, pool, group->epoch, EEP_GROUP_MOVES);
        send_move(self, pool, move, group, by_rank, workers);
    }
}
