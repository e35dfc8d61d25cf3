/* Phases: who has to do what, and who sends the weights to whom. */
#include <string.h>

#include "gpu/coordinator/cuda_internal.h"

static gboolean makes_group(guint kind)
{
    return kind == EEP_PHASE_STANDBY_GROUPS || kind == EEP_PHASE_COMM_SPLIT ||
           kind == EEP_PHASE_MASK;
}

/* The group of the phase's epoch, if a communicator can be made out of that for its moves. */
static const EepWorkerGroup *find_parent(const EepCudaPoolState *pool, const EepPhase *phase)
{
    const EepWorkerGroup *old = eep_worker_groups_find(pool->groups, phase->op.epoch);

    return makes_group(phase->kind) && old != NULL && phase->op.epoch != phase->target_epoch &&
                   !old->is_broken[EEP_GROUP_MOVES] && !old->is_spent
               ? old
               : NULL;
}

/* How many members the target group has of the phase's epoch, if it has all of them, by the same
 * ranks, and others behind: it may grow out of that group. */
static guint count_kept(const EepCudaPoolState *pool, const EepPhase *phase)
{
    const EepWorkerGroup *old = find_parent(pool, phase);

    if (old == NULL || old->n_members >= phase->n_members)
        return 0;
    return memcmp(old->members, phase->members, old->n_members * sizeof *old->members) == 0
               ? old->n_members
               : 0;
}

/* Who of the group of the phase's epoch is not in the target group, if that is the others in their
 * order; returns how many ranks the old one has, 0: it is not. Who stays alone joins alone. */
static guint find_left_out(const EepCudaPoolState *pool, const EepPhase *phase,
                           guint8 ret_left_out[EEP_WIRE_MAX_RANKS / 8])
{
    const EepWorkerGroup *old = find_parent(pool, phase);
    guint n_left = 0;

    memset(ret_left_out, 0, EEP_WIRE_MAX_RANKS / 8);
    if (old == NULL || phase->n_members < 2 || old->n_members <= phase->n_members)
        return 0;
    for (guint rank = 0; rank < old->n_members; rank++)
        if (n_left < phase->n_members && old->members[rank] == phase->members[n_left])
            n_left++;
        else
            ret_left_out[rank / 8] |= (guint8)(1 << rank % 8);
    return n_left == phase->n_members ? old->n_members : 0;
}

static gboolean sends_weights(guint kind)
{
    return kind == EEP_PHASE_WEIGHTS_FROM_PEER || kind == EEP_PHASE_WEIGHTS_TREE;
}

static gboolean has(guint n, const EepWorkerId *workers, EepWorkerId worker)
{
    for (guint i = 0; i < n; i++)
        if (workers[i] == worker)
            return TRUE;
    return FALSE;
}

/* The model of the workers is smaller than the scenario's: so are the bytes. */
static guint64 bytes_of(const EepCudaPoolState *pool, const EepPhase *phase)
{
    return phase->kind == EEP_PHASE_MAP_BROADCAST
               ? (guint64)MAX(phase->bytes, 0)
               : MIN((guint64)MAX(phase->bytes, 0), pool->model.non_expert_bytes);
}

/* Ranks of the target group that have the weights, then those that want them, each in order.
 * Returns how many have them. */
static guint sort_ranks(const EepWorkerGroup *target, const EepWorkerGroup *serving,
                        const EepPhase *phase, GArray *ret_ranks)
{
    guint n_have = 0;

    for (guint wants = 0; wants < 2; wants++)
        for (guint rank = 0; rank < target->n_members; rank++) {
            EepWorkerId worker = target->members[rank];
            gboolean has_them =
                serving != NULL && eep_worker_group_rank(serving, worker) != EEP_RANK_NONE;

            if (has_them == (wants == 0) && has(phase->n_workers, phase->workers, worker)) {
                g_array_append_val(ret_ranks, rank);
                n_have += has_them;
            }
        }
    return n_have;
}

/* Blocks of receivers, one sender each (vLLM's), or a tree in which receivers send on. */
static GArray *routes_of(const EepCudaPoolState *pool, const EepPhase *phase)
{
    const EepWorkerGroup *target = eep_worker_groups_find(pool->groups, phase->target_epoch);
    const EepWorkerGroup *serving = eep_worker_groups_find(pool->groups, phase->op.epoch);
    GArray *routes = g_array_new(FALSE, FALSE, sizeof(EepWirePeers));
    g_autoptr(GArray) ranks = g_array_new(FALSE, FALSE, sizeof(guint));
    guint n_have = target != NULL ? sort_ranks(target, serving, phase, ranks) : 0;
    guint n_want = ranks->len - n_have;

    for (guint i = 0; n_have > 0 && phase->kind == EEP_PHASE_WEIGHTS_TREE && i < n_want; i++) {
        EepWirePeers route = {g_array_index(ranks, guint, i),
                              g_array_index(ranks, guint, n_have + i)};

        g_array_append_val(routes, route);
    }
    for (guint i = 0; phase->kind == EEP_PHASE_WEIGHTS_FROM_PEER && i < n_have; i++) {
        guint first, n = eep_group_weight_receivers(n_have, n_want, i, &first);

        for (guint k = 0; k < n; k++) {
            EepWirePeers route = {g_array_index(ranks, guint, i),
                                  g_array_index(ranks, guint, n_have + first + k)};

            g_array_append_val(routes, route);
        }
    }
    return routes;
}

static gboolean is_gone(const EepCudaBackend *self, EepWorkerId id)
{
    const EepCudaWorker *worker = eep_cuda_worker(self, id);

    return worker == NULL || worker->state != EEP_CUDA_READY || worker->is_silent;
}

/* Whether members of the groups that are to be left do not answer any more, or are about to end:
 * nobody meets them there. */
static gboolean leaves_the_gone(const EepCudaBackend *self, const EepCudaPoolState *pool,
                                EepEpoch kept)
{
    for (guint i = 1; i < self->workers->len; i++)
        if (eep_cuda_worker(self, i) != NULL && is_gone(self, i) &&
            eep_worker_groups_others_have(pool->groups, kept, i))
            return TRUE;
    return FALSE;
}

static gboolean leaves_out_the_gone(const EepCudaBackend *self, const EepCudaPoolState *pool,
                                    const EepPhase *phase)
{
    const EepWorkerGroup *old = eep_worker_groups_find(pool->groups, phase->op.epoch);

    for (guint i = 0; i < old->n_members; i++)
        if (!has(phase->n_members, phase->members, old->members[i]) &&
            is_gone(self, old->members[i]))
            return TRUE;
    return FALSE;
}

/* To everybody who takes part and is there; the others' parts wait for whoever gives them up. */
static void send_phase(EepCudaBackend *self, const EepCudaPoolState *pool, const EepPhase *phase,
                       EepWireBreak breaks, gboolean mends_moves, gboolean shrinks)
{
    g_autoptr(GArray) routes =
        sends_weights(phase->kind) ? routes_of(pool, phase) : g_array_new(FALSE, FALSE, 1);
    EepWireMessage message = {
        .type = EEP_WIRE_PHASE,
        .phase = {.op = phase->op.id,
                  .kind = phase->kind,
                  .epoch = phase->op.epoch,
                  .target_epoch = phase->target_epoch,
                  .bytes = bytes_of(pool, phase),
                  .breaks = breaks,
                  .n_ranks = phase->n_members,
                  .has_gone = phase->kind == EEP_PHASE_RETIRE_GROUPS &&
                              leaves_the_gone(self, pool, phase->op.epoch),
                  .n_kept = count_kept(pool, phase),
                  .mends_moves = mends_moves,
                  .n_routes = routes->len,
                  .routes = (const EepWirePeers *)(gconstpointer)routes->data}};

    if (shrinks) {
        message.phase.n_old = find_left_out(pool, phase, message.phase.left_out);
        message.phase.has_gone = leaves_out_the_gone(self, pool, phase);
    }
    for (guint i = 0; i < phase->n_workers; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, phase->workers[i]);

        message.phase.rank = EEP_RANK_NONE;
        for (guint rank = 0; rank < phase->n_members; rank++)
            if (phase->members[rank] == phase->workers[i])
                message.phase.rank = rank;
        if (worker != NULL && worker->link != NULL)
            eep_link_send(worker->link, &message);
    }
}

static void launch(EepCudaBackend *self, EepCudaPoolState *pool, const EepPhase *phase,
                   EepTask *task, EepWireBreak breaks)
{
    EepOpId id = task->op.id;

    for (guint i = 0; i < phase->n_workers; i++) {
        EepWorkerId worker = phase->workers[i];
        const EepCudaWorker *known = eep_cuda_worker(self, worker);
        gboolean is_up = known != NULL && known->state == EEP_CUDA_READY;
        guint rank = EEP_RANK_NONE;
        gboolean is_started = is_up;

        for (guint k = 0; k < phase->n_members; k++)
            if (phase->members[k] == worker)
                rank = k;
        if (breaks == EEP_WIRE_BREAK_HANG)
            continue;
        if (!is_up && breaks == EEP_WIRE_BREAK_NONE)
            is_started = eep_cuda_worker_expect(self, pool, worker, rank);
        /* The last part's end is the task's. */
        task = eep_tasks_find(self->tasks, id);
        if (task != NULL && (is_up || !is_started))
            eep_tasks_end_part(self->tasks, task, worker,
                               is_up ? EEP_DONE_OK : EEP_DONE_WORKER_LOST, is_up ? 0 : worker);
    }
}

/* Whoever is told to go and is not there has gone. */
static void destroy(EepCudaBackend *self, const EepPhase *phase, EepTask *task)
{
    EepOpId id = task->op.id;

    for (guint i = 0; i < phase->n_workers; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, phase->workers[i]);

        if (worker != NULL && worker->state != EEP_CUDA_GONE) {
            eep_cuda_worker_dismiss(worker, "the group goes on without it");
            continue;
        }
        task = eep_tasks_find(self->tasks, id);
        if (task != NULL)
            eep_tasks_end_part(self->tasks, task, phase->workers[i], EEP_DONE_OK, 0);
    }
}

/* Hung processes that no group reckons with any more. */
static void clear_away(EepCudaBackend *self, const EepCudaPoolState *pool)
{
    for (guint i = 1; i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker != NULL && worker->pool == pool->id && worker->state == EEP_CUDA_READY &&
            (worker->is_silent || worker->is_broken_on_purpose) &&
            !eep_worker_groups_have(pool->groups, i))
            eep_cuda_worker_kill(worker);
    }
}

/* -- groups that shrink -- */

/* What rank 0 cannot decide alone: a member's call may fail after another's has been done. So the
 * members try, on the coordinator's account, and the core hears of it when all have ended. */
static void on_tried(gpointer user_data, const EepTask *try)
{
    EepCudaBackend *self = user_data;
    EepCudaPoolState *pool = eep_cuda_pool(self, try->op.pool);
    const EepWorkerGroup *target = eep_worker_groups_find(pool->groups, try->target_epoch);
    EepTask *task = eep_tasks_find(self->tasks, try->tries_for);
    g_autoptr(GArray) workers = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    EepPhase phase;

    /* Whose call failed has aborted it. */
    if (try->done != EEP_DONE_OK)
        eep_worker_groups_set_broken(pool->groups, try->parent, EEP_GROUP_MOVES, TRUE);
    if (task == NULL || target == NULL)
        return;
    for (guint i = 0; i < try->n_parts; i++)
        g_array_append_val(workers, try->parts[i].worker);
    if (try->done == EEP_DONE_OK) {
        eep_cuda_say(self, "the group of epoch %u shrinks out of the one before", target->epoch);
        for (guint i = 0; i < workers->len; i++)
            if ((task = eep_tasks_find(self->tasks, try->tries_for)) != NULL)
                eep_tasks_end_part(self->tasks, task, g_array_index(workers, EepWorkerId, i),
                                   EEP_DONE_OK, 0);
        return;
    }
    eep_cuda_say(self, "the group of epoch %u does not shrink: its %u workers join anew",
                 target->epoch, target->n_members);
    phase = (EepPhase){.op = task->op,
                       .kind = task->phase,
                       .n_workers = workers->len,
                       .workers = (const EepWorkerId *)(gconstpointer)workers->data,
                       .target_epoch = target->epoch,
                       .n_members = target->n_members,
                       .members = target->members};
    send_phase(self, pool, &phase, EEP_WIRE_BREAK_NONE, FALSE, FALSE);
}

/* A group that becomes smaller shrinks if it can; `task` waits for that and, if it cannot, begins.
 * Nobody waits twice for whom the scenario breaks. */
static void send_or_shrink(EepCudaBackend *self, EepCudaPoolState *pool, const EepPhase *phase,
                           EepTask *task, EepWireBreak breaks)
{
    guint8 left_out[EEP_WIRE_MAX_RANKS / 8];
    EepPhase tried = *phase;
    EepTask *try;

    if (count_kept(pool, phase) > 0)
        task->parent = phase->op.epoch;
    if (breaks != EEP_WIRE_BREAK_NONE || find_left_out(pool, phase, left_out) == 0) {
        send_phase(self, pool, phase, breaks, FALSE, FALSE);
        return;
    }
    tried.op.id = eep_tasks_own_id(self->tasks);
    try = eep_tasks_begin(self->tasks, &tried.op, EEP_OP_PHASE, phase->n_workers, phase->workers);
    try->phase = phase->kind;
    try->target_epoch = phase->target_epoch;
    try->parent = phase->op.epoch;
    try->tries_for = task->op.id;
    try->ended = on_tried;
    try->self = self;
    send_phase(self, pool, &tried, EEP_WIRE_BREAK_NONE, FALSE, TRUE);
    eep_worker_groups_spend(pool->groups, phase->op.epoch);
    /* The parent is aborted by it. */
    if (leaves_out_the_gone(self, pool, phase))
        eep_worker_groups_set_broken(pool->groups, phase->op.epoch, EEP_GROUP_MOVES, TRUE);
}

/* -- phases begin -- */

void eep_cuda_start_phase(EepBackend *backend, const EepPhase *phase)
{
    EepCudaBackend *self = (EepCudaBackend *)backend;
    EepCudaPoolState *pool = eep_cuda_pool(self, phase->op.pool);
    EepWireBreak breaks;
    EepTask *task;

    if (pool == NULL || phase->n_workers > EEP_WIRE_MAX_RANKS || phase->kind >= EEP_PHASE_COUNT) {
        eep_tasks_end_at_once(self->tasks, &phase->op, EEP_OP_PHASE, EEP_DONE_REFUSED);
        return;
    }
    breaks = eep_cuda_take_break(pool, phase->kind);
    task = eep_tasks_begin(self->tasks, &phase->op, EEP_OP_PHASE, phase->n_workers, phase->workers);
    task->phase = phase->kind;
    task->target_epoch = phase->target_epoch;
    if (phase->n_workers == 0) {
        eep_tasks_end_if_over(self->tasks, task);
        return;
    }
    if (makes_group(phase->kind))
        eep_worker_groups_make(pool->groups, phase->target_epoch, phase->n_members, phase->members);
    if (phase->kind == EEP_PHASE_WARM_UP || phase->kind == EEP_PHASE_GRAPH_CAPTURE) {
        const EepWorkerGroup *target = eep_worker_groups_find(pool->groups, phase->target_epoch);

        if (target != NULL)
            eep_cuda_post_derived_maps(self, pool, target);
    }
    if (phase->kind == EEP_PHASE_LAUNCH)
        launch(self, pool, phase, task, breaks);
    else if (phase->kind == EEP_PHASE_DESTROY)
        destroy(self, phase, task);
    else
        send_or_shrink(self, pool, phase, task, breaks);
    if (phase->kind == EEP_PHASE_RETIRE_GROUPS) {
        eep_worker_groups_retire(pool->groups, phase->op.epoch);
        clear_away(self, pool);
    }
}

void eep_cuda_own_phase(EepCudaBackend *self, EepPoolId id, EepPhaseKind kind, EepEpoch epoch,
                        GArray *members, EepTaskEnded ended, gpointer user_data)
{
    const EepWorkerId *workers = (const EepWorkerId *)(gconstpointer)members->data;
    guint n = members->len;
    EepCudaPoolState *pool = eep_cuda_pool(self, id);
    EepPhase phase = {.op = {.id = eep_tasks_own_id(self->tasks), .pool = id, .epoch = epoch},
                      .kind = kind,
                      .n_workers = n,
                      .workers = workers,
                      .n_ranks_new = n,
                      .target_epoch = epoch,
                      .n_members = n,
                      .members = workers};
    EepTask *task = eep_tasks_begin(self->tasks, &phase.op, EEP_OP_PHASE, n, workers);

    task->phase = kind;
    task->target_epoch = epoch;
    task->ended = ended;
    task->self = user_data;
    if (makes_group(kind))
        eep_worker_groups_make(pool->groups, epoch, n, workers);
    if (kind == EEP_PHASE_LAUNCH)
        launch(self, pool, &phase, task, EEP_WIRE_BREAK_NONE);
    else
        send_phase(self, pool, &phase, EEP_WIRE_BREAK_NONE, FALSE, FALSE);
}

/* -- groups over which something broke -- */

/* Which communicator of which group the task is about; FALSE: of none that is to last. */
static gboolean use_of(const EepTask *task, EepGroupUse *ret_use, EepEpoch *ret_epoch)
{
    gboolean is_step = task->kind == EEP_OP_STEP, is_phase = task->kind == EEP_OP_PHASE;
    gboolean is_forward = is_step || (is_phase && task->phase == EEP_PHASE_WARM_UP);
    gboolean is_move =
        task->kind == EEP_OP_MOVE_EXPERTS || task->kind == EEP_OP_MOVE_KV ||
        (is_phase && (task->phase == EEP_PHASE_KV_SYNC || task->phase == EEP_PHASE_MAP_BROADCAST ||
                      sends_weights(task->phase)));

    *ret_use = is_forward ? EEP_GROUP_STEPS : EEP_GROUP_MOVES;
    *ret_epoch = is_step ? task->op.epoch : task->target_epoch;
    return is_forward || is_move;
}

void eep_cuda_note_broken(EepCudaBackend *self, const EepTask *task)
{
    EepCudaPoolState *pool = eep_cuda_pool(self, task->op.pool);
    EepGroupUse use;
    EepEpoch epoch;

    if (task->parent != 0)
        eep_worker_groups_spend(pool->groups, task->parent);
    if (!use_of(task, &use, &epoch))
        return;
    eep_worker_groups_set_broken(pool->groups, epoch, use, TRUE);
    for (guint i = 0; use == EEP_GROUP_STEPS && i < task->n_parts; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, task->parts[i].worker);

        if (worker != NULL)
            worker->has_old_maps = TRUE;
    }
}

static void note_mended(gpointer user_data, const EepTask *task, EepGroupUse use)
{
    EepCudaBackend *self = user_data;
    EepCudaPoolState *pool = eep_cuda_pool(self, task->op.pool);

    if (task->done != EEP_DONE_OK)
        eep_worker_groups_set_broken(pool->groups, task->target_epoch, use, TRUE);
}

/* What did not end well is tried again before the next step, or move. */
static void on_steps_mended(gpointer user_data, const EepTask *task)
{
    note_mended(user_data, task, EEP_GROUP_STEPS);
}

static void on_moves_mended(gpointer user_data, const EepTask *task)
{
    note_mended(user_data, task, EEP_GROUP_MOVES);
}

static const EepTaskEnded on_mended[EEP_GROUP_USE_COUNT] = {on_steps_mended, on_moves_mended};

/* Without one of them the others would wait in vain; who moves is told at once that it is broken.
 */
static gboolean can_join(EepCudaBackend *self, const EepWorkerGroup *group, EepGroupUse use)
{
    for (guint i = 0; use == EEP_GROUP_MOVES && i < group->n_members; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, group->members[i]);

        if (worker == NULL || worker->link == NULL || worker->is_silent)
            return FALSE;
    }
    return TRUE;
}

/* That epoch and target are the same tells the workers that steps wait for it, or moves. */
void eep_cuda_mend_group(EepCudaBackend *self, EepCudaPoolState *pool, EepEpoch epoch,
                         EepGroupUse use)
{
    const EepWorkerGroup *group = eep_worker_groups_find(pool->groups, epoch);
    EepPhase phase;
    EepTask *task;

    if (!group->is_broken[use] || !can_join(self, group, use))
        return;
    phase =
        (EepPhase){.op = {.id = eep_tasks_own_id(self->tasks), .pool = pool->id, .epoch = epoch},
                   .kind = EEP_PHASE_STANDBY_GROUPS,
                   .n_workers = group->n_members,
                   .workers = group->members,
                   .n_ranks_new = group->n_members,
                   .target_epoch = epoch,
                   .n_members = group->n_members,
                   .members = group->members};
    task = eep_tasks_begin(self->tasks, &phase.op, EEP_OP_PHASE, group->n_members, group->members);
    eep_cuda_say(self, "a %s of epoch %u broke: its %u workers join anew",
                 use == EEP_GROUP_STEPS ? "forward" : "move", epoch, group->n_members);
    task->phase = phase.kind;
    task->target_epoch = epoch;
    task->ended = on_mended[use];
    task->self = self;
    eep_worker_groups_set_broken(pool->groups, epoch, use, FALSE);
    send_phase(self, pool, &phase, EEP_WIRE_BREAK_NONE, use == EEP_GROUP_MOVES, FALSE);
}

EepTask *eep_cuda_mending(const EepCudaBackend *self, const EepTask *task)
{
    EepGroupUse use;
    EepEpoch epoch;

    for (guint i = 0; i < eep_tasks_n(self->tasks); i++)
        if (eep_tasks_nth(self->tasks, i)->tries_for == task->op.id)
            return eep_tasks_nth(self->tasks, i);
    if (task->kind == EEP_OP_PHASE || !use_of(task, &use, &epoch))
        return NULL;
    for (guint i = 0; i < eep_tasks_n(self->tasks); i++) {
        EepTask *other = eep_tasks_nth(self->tasks, i);

        if (other->ended == on_mended[use] && other->op.pool == task->op.pool &&
            other->target_epoch == epoch)
            return other;
    }
    return NULL;
}

/* Rank 0 has made the group's two communicators: the others join by what it says. */
void eep_cuda_on_group_id(EepCudaWorker *worker, const EepWireMessage *message)
{
    EepCudaBackend *self = worker->backend;
    const EepCudaPoolState *pool = eep_cuda_pool(self, worker->pool);
    const EepWorkerGroup *group = eep_worker_groups_find(pool->groups, message->group_id.epoch);

    if (group == NULL || eep_worker_group_rank(group, worker->id) != 0)
        return;
    if (message->group_id.is_grown)
        eep_cuda_say(self, "the group of epoch %u grows out of the one before (ncclCommGrow)",
                     group->epoch);
    for (guint rank = 1; rank < group->n_members; rank++) {
        EepCudaWorker *member = eep_cuda_worker(self, group->members[rank]);

        if (member != NULL && member->link != NULL)
            eep_link_send(member->link, message);
    }
}
