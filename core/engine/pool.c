#include "core/engine/pool_fault.h"

/* Steps that may fail one after another before the group counts as broken. */
#define MAX_FAILURES 3

G_DEFINE_QUARK(eep - pool - error - quark, eep_pool_error)

/* -- life ------------------------------------------------------------------------------------- */

EepEngine *eep_pool_make_engine(EepPool *pool)
{
    EepEngine *engine = eep_engine_new(&pool->options, pool->n_blocks, pool->shape.hash_tokens,
                                       pool->services->next_worker++, &pool->history);

    engine->gpu_since = eep_loop_now(pool->services->loop);
    engine->gpu_use = EEP_GPU_PREPARING;
    return engine;
}

static void start_engines(EepPool *pool)
{
    pool->n_engines = (guint)pool->options.data_parallel_size;
    pool->engines = g_new(EepEngine *, pool->shape.max_engines);
    for (guint i = 0; i < pool->n_engines; i++) {
        pool->engines[i] = eep_pool_make_engine(pool);
        pool->engines[i]->index = (guint16)i;
        pool->engines[i]->gpu_use = EEP_GPU_SERVING;
    }
    eep_router_map_engines(pool->router, NULL, pool->n_engines);
}

EepPool *eep_pool_new(EepPoolServices *services, EepPoolId id, const char *name,
                      const EepPoolOptions *options, const EepPoolShape *shape, GError **error)
{
    EepPool *pool = g_new0(EepPool, 1);

    pool->services = services;
    pool->id = id;
    pool->name = g_strdup(name);
    pool->options = *options;
    pool->shape = *shape;
    pool->predictor = shape->predictor != NULL ? shape->predictor : services->predictor;
    pool->n_blocks = shape->n_blocks;
    pool->epoch = 1;
    eep_gap_stack_init(&pool->gaps);
    pool->history.gaps = &pool->gaps;
    pool->joining = g_ptr_array_new_with_free_func((GDestroyNotify)eep_engine_free);
    pool->leaving = g_ptr_array_new_with_free_func((GDestroyNotify)eep_engine_free);
    for (guint i = 0; i < G_N_ELEMENTS(pool->steps); i++) {
        eep_plan_init(&pool->steps[i].plan);
        pool->steps[i].plan.n_classes = shape->n_classes;
    }
    pool->router = eep_router_new(options, services->seed + id);
    eep_pool_migrate_init(pool);
    pool->is_idle_free = pool->predictor->ops->idle_steps_are_free(pool->predictor);
    start_engines(pool);
    if (shape->n_moe_layers > 0) {
        pool->eplb = eep_pool_make_eplb(
            pool, pool->n_engines * (guint)options->tensor_parallel_size, FALSE, error);
        if (pool->eplb == NULL) {
            eep_pool_free(pool);
            return NULL;
        }
    }
    if (!eep_pool_resize_init(pool, error)) {
        eep_pool_free(pool);
        return NULL;
    }
    eep_pool_fault_init(pool);
    services->observer->ops->size_changed(services->observer, 0, id, pool->n_engines);
    return pool;
}

void eep_pool_free(EepPool *pool)
{
    if (pool == NULL)
        return;
    eep_pool_resize_clear(pool);
    eep_pool_migrate_clear(pool);
    eep_pool_fault_clear(pool);
    for (guint i = 0; i < pool->n_engines; i++)
        eep_engine_free(pool->engines[i]);
    g_ptr_array_free(pool->joining, TRUE);
    g_ptr_array_free(pool->leaving, TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(pool->steps); i++)
        eep_plan_clear(&pool->steps[i].plan);
    eep_router_free(pool->router);
    eep_eplb_free(pool->eplb);
    eep_gap_stack_clear(&pool->gaps);
    eep_pool_eplb_clear(pool);
    g_free(pool->engines);
    g_free(pool->name);
    g_free(pool);
}

double eep_pool_load(const EepPool *pool)
{
    guint64 n = 0;

    for (guint i = 0; i < pool->n_engines; i++)
        n += eep_engine_n_requests(pool->engines[i]);
    return (double)n / MAX(1, pool->n_engines);
}

const EepPoolShape *eep_pool_shape(const EepPool *pool)
{
    return &pool->shape;
}

gboolean eep_pool_can_hold(const EepPool *pool, const EepRequest *request)
{
    guint64 n_tokens = (guint64)request->prompt_tokens + request->output_tokens;
    guint64 block_size = (guint64)pool->options.block_size;

    return (n_tokens + block_size - 1) / block_size <= pool->n_blocks;
}

gboolean eep_pool_is_refusing(const EepPool *pool)
{
    return pool->is_refusing;
}

/* -- routing ---------------------------------------------------------------------------------- */

static void queue_stats(EepPool *pool)
{
    EepLoop *loop = pool->services->loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_STATS, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_STATS,
                      .a = pool->id};

    if (pool->is_stats_queued || pool->options.router.staleness == 0)
        return;
    pool->is_stats_queued = TRUE;
    eep_loop_schedule(
        loop, MAX(eep_loop_now(loop), pool->last_published + pool->options.router.staleness),
        &event);
}

void eep_pool_on_stats(EepPool *pool)
{
    pool->is_stats_queued = FALSE;
    pool->last_published = eep_loop_now(pool->services->loop);
    eep_router_publish(pool->router, pool->engines, pool->n_engines);
}

gboolean eep_pool_requeue(EepPool *pool, EepRequest *request)
{
    guint index = eep_router_pick(pool->router, pool->engines, pool->n_engines, request,
                                  (guint64)pool->options.queue_limit);

    if (index == EEP_ROUTER_NONE)
        return FALSE;
    eep_loop_record_action(pool->services->loop, EEP_ACTION_ROUTE, request->id, index);
    eep_engine_add(pool->engines[index], request);
    queue_stats(pool);
    pool->is_running = TRUE;
    if (pool->n_in_flight == 0)
        eep_pool_queue_plan(pool);
    return TRUE;
}

gboolean eep_pool_submit(EepPool *pool, EepRequest *request)
{
    if (!eep_pool_requeue(pool, request))
        return FALSE;
    request->pool = (guint16)pool->id;
    request->queued = eep_loop_now(pool->services->loop);
    return TRUE;
}

/* -- planning --------------------------------------------------------------------------------- */

void eep_pool_queue_plan(EepPool *pool)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_PLAN, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_PLAN,
                      .a = pool->id};

    if (pool->is_plan_queued || pool->n_holds > 0 || !(pool->is_running || pool->must_step))
        return;
    pool->is_plan_queued = TRUE;
    eep_loop_schedule(pool->services->loop, eep_loop_now(pool->services->loop), &event);
}

/* Work that a step could advance; engines that are paused whole report none, as in vLLM. */
static gboolean has_work(const EepPool *pool)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->pause != EEP_PAUSE_ALL && eep_engine_has_work(pool->engines[i]))
            return TRUE;
    return FALSE;
}

static void end_wave(EepPool *pool)
{
    pool->is_running = FALSE;
    pool->wave++;
    pool->wave_step = 0;
    pool->counts.n_waves++;
    eep_gap_stack_drop_before(&pool->gaps, pool->history.n_committed);
    if (pool->eplb != NULL)
        eep_pool_eplb_rest(pool);
}

static void submit(EepPool *pool, EepPlannedStep *step)
{
    EepPoolServices *services = pool->services;
    EepStepPlan plan = {
        .op = eep_operations_begin(services->operations, EEP_OP_STEP, pool->id, pool->epoch, 0,
                                   EEP_TIME_NEVER),
        .n_engines = pool->n_engines,
        .work = step->plan.work,
        .placement = pool->eplb != NULL ? eep_eplb_placement(pool->eplb) : NULL,
        .first_step = step->plan.step,
        .max_steps = 1,
        .horizon = EEP_TIME_NEVER,
        .is_dummy = !step->plan.has_work,
        .n_classes = step->plan.n_classes,
        .classes = step->plan.n_classes > 1 ? step->plan.classes : NULL,
    };

    step->op = plan.op.id;
    step->submitted = eep_loop_now(services->loop);
    pool->n_in_flight++;
    eep_loop_record_action(services->loop, EEP_ACTION_SUBMIT_STEP, step->plan.n_decodes,
                           step->plan.n_prefill_tokens);
    services->backend->ops->submit_step(services->backend, &plan);
    if (G_UNLIKELY(pool->n_silent > 0))
        eep_pool_fault_step_waits(pool);
}

/* Plans the step behind those in flight and submits it. FALSE when there is nothing to do: the pool
 * is idle, or nothing can be foreseen behind the step in flight. */
static gboolean plan_step(EepPool *pool)
{
    EepPlannedStep *step = &pool->steps[(pool->oldest + pool->n_in_flight) & 1];
    EepPlan *before = pool->n_in_flight > 0 ? &pool->steps[pool->oldest].plan : NULL;
    guint64 n_free = 0;

    eep_plan_reset(&step->plan, pool->history.n_committed + pool->n_in_flight, pool->n_engines);
    step->n_running = step->n_waiting = 0;
    for (guint i = 0; i < pool->n_engines; i++) {
        EepEngine *engine = pool->engines[i];

        eep_scheduler_plan(engine, &step->plan, before, pool->wave_step + pool->n_in_flight);
        step->n_running += engine->running.n;
        step->n_waiting += engine->waiting.n;
        n_free += engine->kv.n_free;
    }
    if (step->plan.n_classes > 1)
        eep_scheduler_count_classes(pool->engines, &step->plan);
    pool->has_dropped = FALSE;
    if (!step->plan.has_work) {
        if (before != NULL) {
            pool->has_dropped = TRUE;
            return FALSE;
        }
        if (pool->is_idle_free && !pool->must_step && !has_work(pool)) {
            end_wave(pool);
            return FALSE;
        }
    }
    step->kv_usage = 1.0 - (double)n_free / ((double)pool->n_blocks * pool->n_engines);
    pool->counts.n_admitted += step->plan.n_admitted;
    submit(pool, step);
    return TRUE;
}

gboolean eep_pool_on_plan(EepPool *pool, GError **error)
{
    pool->is_plan_queued = FALSE;
    if (pool->n_holds > 0 || pool->n_failures >= MAX_FAILURES)
        return TRUE;
#ifdef EEP_CHECK_INVARIANTS
    if (pool->n_in_flight == 0 && !eep_pool_check(pool, error))
        return FALSE;
#endif
    if (pool->n_in_flight == 0 && !plan_step(pool))
        return TRUE;
    /* A pool without work is not planned ahead: its dummy steps run one by one, as vLLM's do. */
    if (pool->options.async_scheduling && !eep_resize_wants_boundary(pool->resize) &&
        !eep_pool_is_migrating(pool) && pool->n_in_flight == 1 &&
        (pool->steps[pool->oldest].plan.has_work || has_work(pool)))
        plan_step(pool);
    return TRUE;
}

/* -- the end of a step ------------------------------------------------------------------------ */

static void on_gaps(gpointer self, EepTime gap, guint64 n)
{
    EepPool *pool = self;

    pool->services->observer->ops->gaps(pool->services->observer, pool->id, gap, n);
}

static void on_finished(gpointer self, EepEngine *engine, EepRequest *request)
{
    EepPool *pool = self;

    if (request->flags & EEP_REQUEST_FLAG_SEATED)
        eep_pool_migrate_forget(pool, request);
    pool->faults->n_restarts = 0;
    request->fate = EEP_FATE_COMPLETED;
    request->finish = pool->history.last_end;
    pool->services->request_ended(pool->services->self, request);
}

/* vLLM logs the balancedness of a step; here it is a line of events.jsonl. */
static void log_balancedness(EepPool *pool, EepTime now)
{
    const EepFact facts[] = {EEP_FACT_D("balancedness", 1.0 / pool->imbalance)};

    if (pool->options.enable_eplb && pool->options.eplb_config.log_balancedness &&
        pool->imbalance > 0.0)
        pool->services->observer->ops->decision(pool->services->observer, now, pool->id,
                                                "eplb_balancedness", facts, G_N_ELEMENTS(facts));
}

/* The hottest rank's share moves slowly: a look every 100 ms is enough for the time line. */
static double imbalance_of(EepPool *pool, const EepPlannedStep *step, EepTime now)
{
    EepPredictor *predictor = pool->predictor;
    EepStepPlan plan = {.n_engines = pool->n_engines,
                        .work = step->plan.work,
                        .placement = pool->eplb != NULL ? eep_eplb_placement(pool->eplb) : NULL,
                        .first_step = step->plan.step,
                        .max_steps = 1,
                        .is_dummy = !step->plan.has_work,
                        .n_classes = step->plan.n_classes,
                        .classes = step->plan.n_classes > 1 ? step->plan.classes : NULL};
    EepStepCost cost;

    if (!step->plan.has_work)
        return 0.0;
    if (pool->imbalance == 0.0 || now - pool->imbalance_at >= 100 * EEP_NS_PER_MS) {
        predictor->ops->step(predictor, &plan, &cost);
        pool->imbalance = cost.imbalance;
        pool->all2all_share =
            cost.step > 0 ? MIN(1.0, cost.all2all_s / eep_time_to_seconds(cost.step)) : 0.0;
        pool->imbalance_at = now;
        log_balancedness(pool, now);
    }
    return pool->imbalance;
}

static void observe_step(EepPool *pool, const EepPlannedStep *step, EepTime before, EepTime now)
{
    EepStepRecord record = {
        .pool = pool->id,
        .step = step->plan.step,
        .begin = MAX(before, step->submitted),
        .end = now,
        .n_engines = step->plan.n_engines,
        .is_dummy = !step->plan.has_work,
        .n_decodes = step->plan.n_decodes,
        .n_prefill_tokens = step->plan.n_prefill_tokens,
        .n_running = step->n_running,
        .n_waiting = step->n_waiting,
        .kv_usage = step->kv_usage,
        .imbalance = imbalance_of(pool, step, now),
    };

    pool->counts.n_steps++;
    pool->counts.n_dummy_steps += record.is_dummy;
    if (G_UNLIKELY(pool->n_missing > 0))
        eep_pool_fault_count_tokens(pool, record.n_decodes + record.n_prefill_tokens);
    pool->services->observer->ops->step(pool->services->observer, &record);
}

static gboolean commit_step(EepPool *pool, EepPlannedStep *step, GError **error)
{
    EepTime now = eep_loop_now(pool->services->loop), before = pool->history.last_end;
    EepSchedulerEvents events = {on_gaps, on_finished, pool};
    EepPlan *after = pool->n_in_flight == 2 ? &pool->steps[pool->oldest ^ 1].plan : NULL;

    pool->history.last_end = now;
    pool->history.n_committed = step->plan.step + 1;
    eep_gap_stack_push(&pool->gaps, step->plan.step, now - before);
    eep_scheduler_commit(pool->engines, &step->plan, after, now - before, &events);
    /* One that died on its way out may still have requests, which get no further. */
    for (guint i = 0; i < pool->leaving->len; i++)
        ((EepEngine *)g_ptr_array_index(pool->leaving, i))->stall += now - before;
    pool->oldest ^= 1;
    pool->n_in_flight--;
    pool->has_dropped = FALSE;
    pool->n_failures = 0;
    observe_step(pool, step, before, now);
    if (G_UNLIKELY(eep_pool_is_migrating(pool)))
        eep_pool_migrate_boundary(pool);

    pool->wave_step++;
    if (pool->wave_step % EEP_POOL_CHECK_STEPS == 0 && pool->n_in_flight == 0 &&
        !pool->is_idle_free && !pool->must_step && !has_work(pool))
        end_wave(pool);
    if (pool->eplb != NULL && !eep_pool_eplb_boundary(pool, error))
        return FALSE;
    eep_pool_resize_boundary(pool);
    queue_stats(pool);
    if (pool->n_in_flight == 0 && pool->n_holds > 0 && !eep_pool_eplb_quiet(pool, error))
        return FALSE;
    eep_pool_queue_plan(pool);
    return TRUE;
}

/* A plan that was dropped stands on the step in flight and falls with it. */
static void discard_dropped(EepPool *pool)
{
    if (pool->has_dropped)
        eep_scheduler_discard(pool->engines,
                              &pool->steps[(pool->oldest + pool->n_in_flight) & 1].plan);
    pool->has_dropped = FALSE;
}

/* The newest step in flight did not happen; with `must_abort` the backend does not know that yet.
 */
static void discard_newest(EepPool *pool, gboolean must_abort)
{
    EepPlannedStep *step = &pool->steps[(pool->oldest + --pool->n_in_flight) & 1];

    eep_scheduler_discard(pool->engines, &step->plan);
    pool->counts.n_discarded_steps++;
    if (must_abort)
        eep_pool_abort_op(pool, step->op);
}

void eep_pool_abort_steps(EepPool *pool)
{
    discard_dropped(pool);
    while (pool->n_in_flight > 0)
        discard_newest(pool, TRUE);
}

/* A step ended without having happened. With it falls the one planned on it; both are planned
 * again, unless that has been tried often enough: then no step begins until another group has been
 * adopted. */
static void on_failed_step(EepPool *pool, EepOpId op)
{
    gboolean is_broken = ++pool->n_failures >= MAX_FAILURES;

    if (pool->n_in_flight == 2 && pool->steps[pool->oldest ^ 1].op == op) {
        discard_newest(pool, FALSE); /* refused while the one before it runs */
        if (!is_broken)
            return;
    }
    discard_dropped(pool);
    while (pool->n_in_flight > 0)
        discard_newest(pool, pool->n_in_flight == 2 || pool->steps[pool->oldest].op != op);
    if (is_broken)
        eep_pool_fault_steps_failed(pool);
    else
        eep_pool_queue_plan(pool);
}

static gboolean is_in_flight(const EepPool *pool, EepOpId op)
{
    for (guint i = 0; i < pool->n_in_flight; i++)
        if (pool->steps[(pool->oldest + i) & 1].op == op)
            return TRUE;
    return FALSE; /* of a step discarded with the one before it */
}

gboolean eep_pool_on_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                GError **error)
{
    switch (completion->kind) {
    case EEP_OP_STEP:
        if (!is_in_flight(pool, completion->id))
            return TRUE;
        if (completion->done == EEP_DONE_OK)
            return commit_step(pool, &pool->steps[pool->oldest], error);
        on_failed_step(pool, completion->id);
        return TRUE;
    case EEP_OP_READ_LOAD:
    case EEP_OP_MOVE_EXPERTS:
        return eep_pool_eplb_completion(pool, completion, blob, error);
    case EEP_OP_PHASE:
        eep_pool_fault_phase_ended(pool, completion);
        eep_pool_resize_completion(pool, completion);
        return TRUE;
    case EEP_OP_MOVE_KV:
        eep_pool_migrate_completion(pool, completion);
        return TRUE;
    case EEP_OP_ABORT:
    case EEP_OP_COUNT:
        return TRUE;
    }
    return TRUE;
}

/* -- holds, end, account ---------------------------------------------------------------------- */

void eep_pool_hold(EepPool *pool)
{
    pool->n_holds++;
}

void eep_pool_release(EepPool *pool)
{
    g_assert(pool->n_holds > 0);
    pool->n_holds--;
    eep_pool_fault_forwards_run(pool);
    if (pool->n_in_flight == 0)
        eep_pool_queue_plan(pool);
}

guint eep_pool_end_requests(EepPool *pool, EepEngine *engine, EepFate fate, EepReason reason)
{
    EepRequest *request;
    guint n = 0;

    while ((request = engine->running.head) != NULL || (request = engine->waiting.head) != NULL ||
           (request = engine->departing.head) != NULL) {
        if (request->flags & EEP_REQUEST_FLAG_SEATED)
            eep_pool_migrate_forget(pool, request);
        eep_engine_remove(engine, request);
        request->fate = (guint8)fate;
        request->reason = (guint8)reason;
        request->finish = eep_loop_now(pool->services->loop);
        pool->services->request_ended(pool->services->self, request);
        n++;
    }
    return n;
}

void eep_pool_set_gpu_use(EepPool *pool, EepEngine *engine, EepGpuUse use)
{
    EepObserver *observer = pool->services->observer;
    EepTime now = eep_loop_now(pool->services->loop);

    if (now > engine->gpu_since)
        observer->ops->gpu_time(observer, pool->id, (EepGpuUse)engine->gpu_use, engine->gpu_since,
                                now, (guint)pool->options.tensor_parallel_size);
    /* Who gets no new request while it serves is on its way out. */
    if (use == EEP_GPU_SERVING && !engine->is_routable)
        use = EEP_GPU_DRAINING;
    engine->gpu_use = engine->is_dead ? EEP_GPU_DEAD : use;
    engine->gpu_since = now;
}

void eep_pool_set_routable(EepPool *pool, EepEngine *engine, gboolean is_routable)
{
    engine->is_routable = is_routable;
    if (engine->gpu_use == EEP_GPU_SERVING || engine->gpu_use == EEP_GPU_DRAINING)
        eep_pool_set_gpu_use(pool, engine, EEP_GPU_SERVING);
}

void eep_pool_retire_engine(EepPool *pool, EepEngine *engine)
{
    eep_pool_set_gpu_use(pool, engine, EEP_GPU_SERVING);
    pool->counts.n_preemptions += engine->n_preemptions;
    pool->counts.n_recomputed_tokens += engine->n_recomputed_tokens;
    pool->counts.n_hit_blocks += engine->n_hit_blocks;
    pool->counts.n_prompt_blocks += engine->n_prompt_blocks;
    eep_engine_free(engine);
}

void eep_pool_finish(EepPool *pool, EepFate fate)
{
    if (!pool->has_exited)
        eep_resize_finish(pool->resize);
    discard_dropped(pool);
    while (pool->n_in_flight > 0)
        eep_scheduler_discard(pool->engines,
                              &pool->steps[(pool->oldest + --pool->n_in_flight) & 1].plan);
    for (guint i = 0; i < pool->n_engines; i++) {
        eep_pool_end_requests(pool, pool->engines[i], fate, EEP_REASON_NONE);
        eep_pool_set_gpu_use(pool, pool->engines[i], EEP_GPU_SERVING);
    }
    for (guint i = 0; i < pool->joining->len; i++)
        eep_pool_set_gpu_use(pool, g_ptr_array_index(pool->joining, i), EEP_GPU_PREPARING);
    for (guint i = 0; i < pool->leaving->len; i++)
        eep_pool_set_gpu_use(pool, g_ptr_array_index(pool->leaving, i), EEP_GPU_DRAINING);
    eep_pool_reserve_finish(pool);
    eep_pool_fault_finish(pool, fate);
}

void eep_pool_get_counts(const EepPool *pool, EepPoolCounts *ret_counts)
{
    *ret_counts = pool->counts;
    for (guint i = 0; i < pool->n_engines; i++) {
        ret_counts->n_preemptions += pool->engines[i]->n_preemptions;
        ret_counts->n_recomputed_tokens += pool->engines[i]->n_recomputed_tokens;
        ret_counts->n_hit_blocks += pool->engines[i]->n_hit_blocks;
        ret_counts->n_prompt_blocks += pool->engines[i]->n_prompt_blocks;
    }
}

gboolean eep_pool_check(const EepPool *pool, GError **error)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (!eep_engine_check(pool->engines[i], error)) {
            g_prefix_error(error, "pool %s, engine %u: ", pool->name, i);
            return FALSE;
        }
    if (!eep_pool_migrate_check(pool, error))
        return FALSE;
    return pool->eplb == NULL || eep_eplb_check(pool->eplb, error);
}
