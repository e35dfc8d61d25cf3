/* The pool as the resize machine's host: what resize_host.h asks is done to engines, router,
 * placement and backend here. What happens in the pool is handed to the machine in pool_resize.c.
 */
#include <string.h>

#include "core/engine/pool_fault.h"

static EepEngine *find_in(GPtrArray *engines, EepWorkerId worker, guint *ret_index)
{
    for (guint i = 0; i < engines->len; i++) {
        EepEngine *engine = g_ptr_array_index(engines, i);

        if (engine->worker == worker) {
            *ret_index = i;
            return engine;
        }
    }
    return NULL;
}

EepEngine *eep_pool_find_engine(EepPool *pool, EepWorkerId worker)
{
    guint unused;
    EepEngine *engine = NULL;

    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->worker == worker)
            return pool->engines[i];
    engine = find_in(pool->joining, worker, &unused);
    return engine != NULL ? engine : find_in(pool->leaving, worker, &unused);
}

/* -- questions, time and messages -- */

static EepTime host_now(gpointer self)
{
    return eep_loop_now(((EepPool *)self)->services->loop);
}

static gboolean host_is_stepping(gpointer self)
{
    return ((EepPool *)self)->n_in_flight > 0;
}

static gboolean host_has_requests(gpointer self, EepWorkerId worker)
{
    return eep_pool_has_requests(self, worker);
}

static void host_choose_leaving(gpointer self, guint n, EepWorkerId *ret_workers)
{
    eep_pool_choose_leaving(self, n, ret_workers);
}

static guint host_free_gpus(gpointer self)
{
    EepPool *pool = self;
    guint n_used =
        pool->n_engines + pool->joining->len + pool->leaving->len + eep_pool_fault_n_spares(pool);
    guint n_gpus =
        pool->n_reserved > 0 ? pool->n_reserved + pool->faults->n_spares : pool->shape.max_engines;

    return (n_gpus - MIN(n_used, n_gpus)) * (guint)pool->options.tensor_parallel_size;
}

static void host_send_note(gpointer self, const EepNote *note, EepTime delay)
{
    EepLoop *loop = ((EepPool *)self)->services->loop;
    EepEvent event;

    eep_note_to_event(note, &event);
    eep_loop_record_action(loop, EEP_ACTION_RESIZE, event.a, event.b);
    eep_loop_schedule(loop, eep_loop_now(loop) + delay, &event);
}

static void host_start_timer(gpointer self, guint64 timer, EepTime delay)
{
    eep_pool_resize_start_timer(self, timer, delay);
}

static void host_cancel_timer(gpointer self, guint64 timer)
{
    eep_pool_resize_cancel_timer(self, timer);
}

/* -- work -- */

static EepOpId host_start_phase(gpointer self, const EepResizeWork *work)
{
    EepPool *pool = self;
    EepPoolServices *services = pool->services;
    if (eep_pool_fault_phase_is_free(pool, work))
        return 0;
    EepPhase phase = {.op = eep_operations_begin(services->operations, EEP_OP_PHASE, pool->id,
                                                 work->epoch, work->n_workers, EEP_TIME_NEVER),
                      .kind = work->kind,
                      .n_workers = work->n_workers,
                      .workers = work->workers,
                      .n_ranks_old = work->n_ranks_old,
                      .n_ranks_new = work->n_ranks_new,
                      .bytes = work->bytes,
                      .n_receivers = work->n_receivers,
                      .target_epoch = work->target->epoch,
                      .n_members = work->target->n_engines,
                      .members = work->target->workers};

    eep_loop_record_action(services->loop, EEP_ACTION_PHASE, work->kind, work->n_workers);
    services->backend->ops->start_phase(services->backend, &phase);
    eep_pool_fault_phase_began(pool, &phase);
    return phase.op.id;
}

static void host_abort_op(gpointer self, EepOpId id)
{
    eep_pool_abort_op(self, id);
}

/* The serving ranks that the members of the group have, -1 for those that have none: data-parallel
 * ones with a width of 1, EP ranks with that of a member. */
static gint32 *sources(const EepPool *pool, const EepGroup *group, guint width)
{
    gint32 *source = g_new(gint32, MAX(1, group->n_engines * width));

    for (guint rank = 0; rank < group->n_engines; rank++) {
        const EepEngine *engine = NULL;

        for (guint i = 0; i < pool->n_engines && engine == NULL; i++)
            if (pool->engines[i]->worker == eep_group_worker(group, rank))
                engine = pool->engines[i];
        for (guint k = 0; k < width; k++)
            source[rank * width + k] = engine == NULL ? -1 : (gint32)(engine->index * width + k);
    }
    return source;
}

/* What becomes of each serving rank when those of the target are to hold the experts. A rank whose
 * engine has been released is as dead as one that failed. */
static guint8 *rank_uses(const EepPool *pool, const EepGroup *target, guint *ret_n_hold)
{
    guint tp = (guint)pool->options.tensor_parallel_size;
    guint n_ranks = eep_eplb_placement(pool->eplb)->n_ranks;
    guint8 *ranks = g_new(guint8, n_ranks);

    memset(ranks, EEP_EPLB_RANK_DEAD, n_ranks);
    *ret_n_hold = 0;
    for (guint i = 0; i < pool->n_engines; i++) {
        const EepEngine *engine = pool->engines[i];
        EepEplbRank use = EEP_EPLB_RANK_LEAVES;

        if (eep_group_rank(target, engine->worker) != EEP_RANK_NONE)
            use = EEP_EPLB_RANK_HOLDS;
        else if (engine->is_lost)
            use = EEP_EPLB_RANK_DEAD;
        *ret_n_hold += use == EEP_EPLB_RANK_HOLDS ? tp : 0;
        memset(ranks + engine->index * tp, (gint)use, tp);
    }
    return ranks;
}

static gboolean host_reshuffle(gpointer self, const EepGroup *target, EepReshuffleMode mode)
{
    EepPool *pool = self;
    EepReshuffleAim aim = {.is_sync = mode == EEP_RESHUFFLE_SYNC,
                           .is_free = pool->migration.is_instant,
                           .for_resize = TRUE};

    if (eep_pool_fault_is_broken(pool, mode == EEP_RESHUFFLE_PRELOAD ? EEP_BREAKABLE_PRELOAD
                                                                     : EEP_BREAKABLE_RESHUFFLE))
        return FALSE;
    if (pool->eplb == NULL)
        return TRUE;
    if (mode == EEP_RESHUFFLE_PRELOAD) {
        aim.is_preload = TRUE;
        aim.n_ranks = eep_group_n_ranks(target);
        aim.source = sources(pool, target, target->tensor_parallel_size);
    } else {
        aim.ranks = rank_uses(pool, target, &aim.n_ranks);
    }
    pool->is_eplb_pinned = aim.is_preload || aim.n_ranks < eep_eplb_placement(pool->eplb)->n_ranks;
    eep_pool_eplb_start(pool, aim);
    return FALSE;
}

static void host_stop_reshuffle(gpointer self)
{
    EepPool *pool = self;

    if (pool->eplb != NULL)
        eep_pool_eplb_stop(pool);
}

static gboolean host_migrate(gpointer self, EepWorkerId worker, const EepGroup *target)
{
    return eep_pool_migrate(self, worker, target);
}

static void host_stop_migration(gpointer self)
{
    eep_pool_stop_migration(self);
}

/* -- engines -- */

static EepWorkerId host_launch_engine(gpointer self, guint rank)
{
    EepPool *pool = self;
    EepEngine *engine = eep_pool_make_engine(pool);

    engine->index = (guint16)rank;
    g_ptr_array_add(pool->joining, engine);
    eep_pool_fault_launches(pool);
    eep_pool_reserve_take(pool, eep_pool_fault_launched(pool, engine));
    return engine->worker;
}

/* Takes the engine out of whichever list it is in. A serving one leaves only when the whole group
 * stops; the others keep their ranks until another group is adopted. */
static EepEngine *take_engine(EepPool *pool, EepWorkerId worker)
{
    guint index;
    EepEngine *engine;

    if ((engine = find_in(pool->leaving, worker, &index)) != NULL)
        return g_ptr_array_steal_index(pool->leaving, index);
    if ((engine = find_in(pool->joining, worker, &index)) != NULL)
        return g_ptr_array_steal_index(pool->joining, index);
    for (guint i = 0; i < pool->n_engines; i++) {
        if (pool->engines[i]->worker != worker)
            continue;
        engine = pool->engines[i];
        pool->n_engines--;
        memmove(&pool->engines[i], &pool->engines[i + 1],
                (pool->n_engines - i) * sizeof *pool->engines);
        break;
    }
    return engine;
}

static void host_release_engine(gpointer self, EepWorkerId worker)
{
    EepPool *pool = self;
    EepEngine *engine = take_engine(pool, worker);
    gboolean is_dead;

    g_return_if_fail(engine != NULL);
    eep_pool_migrate_lost(pool, engine);
    is_dead = engine->is_dead;
    eep_pool_reserve_put(pool, eep_pool_fault_released(pool, engine) || is_dead);
    eep_pool_fault_end_released(pool, engine);
    eep_pool_retire_engine(pool, engine);
}

static void host_set_pause(gpointer self, EepWorkerId worker, EepPause pause)
{
    EepEngine *engine = eep_pool_find_engine(self, worker);

    if (engine != NULL)
        engine->pause = (guint8)pause;
}

static void host_set_routable(gpointer self, EepWorkerId worker, gboolean is_routable)
{
    EepEngine *engine = eep_pool_find_engine(self, worker);

    if (engine != NULL)
        eep_pool_set_routable(self, engine, is_routable);
}

static guint host_abort_requests(gpointer self, EepWorkerId worker, const char *reason)
{
    EepEngine *engine = eep_pool_find_engine(self, worker);
    gboolean is_fault = strcmp(reason, eep_reason_names[EEP_REASON_FAULT]) == 0;

    if (engine == NULL)
        return 0;
    return eep_pool_fault_stop(self, engine, is_fault ? EEP_REASON_FAULT : EEP_REASON_SCALE_DOWN);
}

static void host_set_gpu_use(gpointer self, EepWorkerId worker, EepGpuUse use)
{
    EepEngine *engine = eep_pool_find_engine(self, worker);

    if (engine != NULL)
        eep_pool_set_gpu_use(self, engine, use);
}

/* -- the pool as a whole -- */

static void host_set_forwards_blocked(gpointer self, gboolean is_blocked)
{
    if (is_blocked)
        eep_pool_hold(self);
    else
        eep_pool_release(self);
}

static void host_set_refusing(gpointer self, gboolean is_refusing)
{
    ((EepPool *)self)->is_refusing = is_refusing;
}

static void host_set_eplb_suspended(gpointer self, gboolean is_suspended)
{
    EepPool *pool = self;

    pool->is_eplb_suspended = is_suspended;
    if (!is_suspended)
        pool->is_eplb_pinned = FALSE;
    else if (pool->eplb != NULL && !pool->reshuffle.aim.for_resize)
        eep_pool_eplb_drain(pool);
}

/* Moves the engine with this worker id from where it is to the serving list at `rank`. */
static void seat_engine(EepPool *pool, EepEngine **old, guint n_old, EepWorkerId worker, guint rank)
{
    EepEngine *engine = NULL;
    guint index;

    for (guint i = 0; i < n_old && engine == NULL; i++)
        if (old[i] != NULL && old[i]->worker == worker)
            engine = g_steal_pointer(&old[i]);
    if (engine == NULL && (engine = find_in(pool->joining, worker, &index)) != NULL)
        g_ptr_array_steal_index(pool->joining, index);
    g_assert(engine != NULL);
    engine->index = (guint16)rank;
    engine->is_routable = TRUE;
    pool->engines[rank] = engine;
    for (EepRequest *request = engine->running.head; request != NULL; request = request->next)
        request->engine = engine->index;
    for (EepRequest *request = engine->waiting.head; request != NULL; request = request->next)
        request->engine = engine->index;
}

/* The engines, all of them new, have other slots than those before, so other room for KV. */
static void refit_blocks(EepPool *pool)
{
    EepMemoryFit fit;

    eep_memory_fit_with_slots(&pool->shape.memory, eep_eplb_placement(pool->eplb)->slots_per_rank,
                              &fit);
    if (fit.num_gpu_blocks <= 0)
        return;
    pool->n_blocks = (guint64)fit.num_gpu_blocks;
    for (guint i = 0; i < pool->n_engines; i++)
        eep_engine_set_blocks(pool->engines[i], &pool->options, pool->n_blocks,
                              pool->shape.hash_tokens);
}

/* Everybody has loaded its experts from outside: the initial placement of this size. */
static void reset_placement(EepPool *pool, guint n_ranks, GError **error)
{
    EepEplb *fresh = eep_pool_make_eplb(pool, n_ranks, pool->options.resize.refit, error);

    if (fresh == NULL)
        return;
    /* Generations never go back, whoever keeps one. */
    eep_eplb_placement(fresh)->generation += eep_eplb_placement(pool->eplb)->generation;
    eep_eplb_free(pool->eplb);
    pool->eplb = fresh;
    if (pool->options.resize.refit)
        refit_blocks(pool);
}

static void adopt_placement(EepPool *pool, const gint32 *source, guint n_ranks,
                            EepPlacementChange change)
{
    g_autoptr(GError) error = NULL;

    if (pool->eplb == NULL)
        return;
    eep_pool_eplb_drain(pool);
    if (change == EEP_PLACEMENT_RESET)
        reset_placement(pool, n_ranks, &error);
    else
        eep_eplb_map_ranks(pool->eplb, source, n_ranks, change == EEP_PLACEMENT_MASK, &error);
    pool->is_eplb_pinned = FALSE;
    /* The coordinator has checked the size before it began, and waited for the experts to move. */
    if (error != NULL)
        g_error("pool %s: placement of %u ranks: %s", pool->name, n_ranks, error->message);
}

static void host_adopt_group(gpointer self, const EepGroup *group, EepPlacementChange change)
{
    EepPool *pool = self;
    EepObserver *observer = pool->services->observer;
    guint n_old = pool->n_engines;
    g_autofree EepEngine **old = g_memdup2(pool->engines, n_old * sizeof *pool->engines);
    g_autofree gint32 *engines = sources(pool, group, 1);
    g_autofree gint32 *ranks = sources(pool, group, group->tensor_parallel_size);

    g_assert(pool->n_in_flight == 0);
    pool->n_engines = group->n_engines;
    for (guint rank = 0; rank < group->n_engines; rank++)
        seat_engine(pool, old, n_old, eep_group_worker(group, rank), rank);
    for (guint i = 0; i < n_old; i++)
        if (old[i] != NULL) {
            g_ptr_array_add(pool->leaving, old[i]);
            eep_pool_set_gpu_use(pool, old[i], EEP_GPU_DRAINING);
        }
    pool->epoch = group->epoch;
    eep_router_map_engines(pool->router, engines, pool->n_engines);
    adopt_placement(pool, ranks, eep_group_n_ranks(group), change);
    pool->imbalance = 0.0;
    pool->n_failures = 0;
    eep_pool_fault_adopted(pool);
    observer->ops->size_changed(observer, eep_loop_now(pool->services->loop), pool->id,
                                pool->n_engines);
}

const EepResizeHost eep_pool_resize_host = {
    .size = sizeof(EepResizeHost),
    .now = host_now,
    .is_stepping = host_is_stepping,
    .has_requests = host_has_requests,
    .free_gpus = host_free_gpus,
    .choose_leaving = host_choose_leaving,
    .send_note = host_send_note,
    .start_timer = host_start_timer,
    .cancel_timer = host_cancel_timer,
    .start_phase = host_start_phase,
    .abort_op = host_abort_op,
    .reshuffle = host_reshuffle,
    .stop_reshuffle = host_stop_reshuffle,
    .migrate = host_migrate,
    .stop_migration = host_stop_migration,
    .launch_engine = host_launch_engine,
    .release_engine = host_release_engine,
    .set_pause = host_set_pause,
    .set_routable = host_set_routable,
    .abort_requests = host_abort_requests,
    .set_gpu_use = host_set_gpu_use,
    .set_forwards_blocked = host_set_forwards_blocked,
    .set_refusing = host_set_refusing,
    .set_eplb_suspended = host_set_eplb_suspended,
    .adopt_group = host_adopt_group,
    .span_began = eep_pool_tell_span,
    .changed = eep_pool_tell_change,
    .told = eep_pool_tell_resize,
    .closed = eep_pool_tell_closed,
};
