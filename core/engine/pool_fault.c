/* Things break, and the pool finds out. */
#include "core/engine/pool_fault.h"

static EepTime now_of(const EepPool *pool)
{
    return eep_loop_now(pool->services->loop);
}

static EepTrouble *nth_trouble(const EepPool *pool, guint i)
{
    return g_ptr_array_index(pool->faults->troubles, i);
}

/* -- troubles --------------------------------------------------------------------------------- */

gboolean eep_trouble_is_lossy(const EepTrouble *trouble)
{
    return trouble->state <= EEP_TROUBLE_BELOW;
}

static void trouble_free(gpointer data)
{
    EepTrouble *trouble = data;

    g_array_free(trouble->workers, TRUE);
    g_free(trouble);
}

EepTrouble *eep_trouble_open(EepPool *pool, const EepFault *fault, const char *id,
                             EepTroubleState state)
{
    EepTrouble *trouble = g_new0(EepTrouble, 1);
    EepIncident *incident = &trouble->incident;

    trouble->fault = *fault;
    trouble->state = state;
    trouble->workers = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    trouble->n_before = pool->n_engines;
    trouble->step_waits = trouble->collective_waits = trouble->timer_at = EEP_TIME_NEVER;
    g_strlcpy(incident->id, id, sizeof incident->id);
    incident->pool = pool->id;
    incident->fault = eep_fault_names[fault->kind];
    incident->detected_by = incident->recovery_by = incident->outcome = incident->note = "";
    incident->at = now_of(pool);
    incident->detection = incident->recovery = incident->degraded = EEP_TIME_NEVER;
    g_ptr_array_add(pool->faults->troubles, trouble);
    trouble->serial = pool->faults->troubles->len;
    pool->faults->n_lossy += eep_trouble_is_lossy(trouble);
    return trouble;
}

void eep_trouble_tell(EepPool *pool, const EepTrouble *trouble, const char *what,
                      const char *detail)
{
    EepObserver *observer = pool->services->observer;
    EepFact facts[] = {EEP_FACT_S("id", trouble->incident.id),
                       EEP_FACT_S("fault", trouble->incident.fault), EEP_FACT_S("detail", detail)};

    observer->ops->decision(observer, now_of(pool), pool->id, what, facts, G_N_ELEMENTS(facts));
}

void eep_trouble_set_timer(EepPool *pool, EepTrouble *trouble, EepFaultTimer timer, EepTime at)
{
    EepLoop *loop = pool->services->loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_CONTROL, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_TIMER,
                      .a = pool->id,
                      .b = trouble->serial,
                      .c = timer};

    if (trouble->timer != 0)
        eep_loop_reschedule(loop, trouble->timer, EEP_TIME_NEVER);
    trouble->timer = timer != EEP_FAULT_TIMER_NONE ? eep_loop_schedule(loop, at, &event) : 0;
    trouble->timer_at = trouble->timer != 0 ? at : EEP_TIME_NEVER;
}

void eep_trouble_set_state(EepPool *pool, EepTrouble *trouble, EepTroubleState state)
{
    pool->faults->n_lossy -= eep_trouble_is_lossy(trouble);
    trouble->state = state;
    pool->faults->n_lossy += eep_trouble_is_lossy(trouble);
}

void eep_trouble_end(EepPool *pool, EepTrouble *trouble, const char *outcome)
{
    eep_pool_fault_placed(pool);
    eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
    eep_trouble_set_state(pool, trouble, EEP_TROUBLE_OVER);
    trouble->incident.outcome = outcome;
    trouble->incident.degraded_tokens = (guint64)(trouble->degraded_tokens + 0.5);
    eep_trouble_tell(pool, trouble, "incident_ended", outcome);
    eep_pool_fault_placed(pool);
}

void eep_trouble_tell_missed(EepPool *pool, const EepFault *fault, const char *id)
{
    EepObserver *observer = pool->services->observer;
    EepFact facts[] = {EEP_FACT_S("id", id), EEP_FACT_S("fault", eep_fault_names[fault->kind]),
                       EEP_FACT_I("index", fault->index)};

    observer->ops->decision(observer, now_of(pool), pool->id, "fault_without_target", facts,
                            G_N_ELEMENTS(facts));
}

/* -- detection -------------------------------------------------------------------------------- */

/* When this way of looking finds the loss, as things stand. */
static EepTime found_at(const EepPool *pool, const EepTrouble *trouble, EepDetection how)
{
    const EepTime since[EEP_DETECT_COUNT] = {
        [EEP_DETECT_PROCESS_EXIT] =
            trouble->fault.kind == EEP_FAULT_KIND_FAIL ? trouble->incident.at : EEP_TIME_NEVER,
        [EEP_DETECT_HEARTBEAT] = trouble->incident.at,
        [EEP_DETECT_ALL2ALL_TIMEOUT] = pool->shape.can_mask ? trouble->step_waits : EEP_TIME_NEVER,
        [EEP_DETECT_WATCHDOG] = MIN(trouble->step_waits, trouble->collective_waits),
    };
    EepTime latency = pool->options.fault_tolerance.detect[how];

    /* Without fault tolerance nobody looks but the collectives' own watchdog. */
    if (latency == 0 ||
        (pool->options.fault_tolerance.recovery == EEP_RECOVERY_NONE && how != EEP_DETECT_WATCHDOG))
        return EEP_TIME_NEVER;
    return eep_time_after(since[how], latency);
}

static EepTime first_found(const EepPool *pool, const EepTrouble *trouble, EepDetection *ret_how)
{
    EepTime first = EEP_TIME_NEVER;

    for (EepDetection how = 0; how < EEP_DETECT_COUNT; how++) {
        EepTime at = found_at(pool, trouble, how);

        if (at < first) {
            first = at;
            *ret_how = how;
        }
    }
    return first;
}

static void arm_detection(EepPool *pool, EepTrouble *trouble)
{
    EepDetection how;
    EepTime at = first_found(pool, trouble, &how);

    if (at < trouble->timer_at)
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_DETECT, MAX(at, now_of(pool)));
}

/* Forwards stand still for somebody who will never come. */
static void set_stalled(EepPool *pool)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->gpu_use == EEP_GPU_SERVING ||
            pool->engines[i]->gpu_use == EEP_GPU_DRAINING)
            eep_pool_set_gpu_use(pool, pool->engines[i], EEP_GPU_STALLED);
}

void eep_pool_fault_step_waits(EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state != EEP_TROUBLE_SILENT || !trouble->hits_members ||
            trouble->step_waits != EEP_TIME_NEVER)
            continue;
        trouble->step_waits = now_of(pool);
        set_stalled(pool);
        arm_detection(pool, trouble);
    }
}

void eep_trouble_collective_waits(EepPool *pool, EepTrouble *trouble)
{
    if (trouble->state != EEP_TROUBLE_SILENT || trouble->collective_waits != EEP_TIME_NEVER)
        return;
    trouble->collective_waits = now_of(pool);
    arm_detection(pool, trouble);
}

void eep_pool_fault_collective_waits(EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++)
        if (nth_trouble(pool, i)->hits_members)
            eep_trouble_collective_waits(pool, nth_trouble(pool, i));
}

/* Whoever comes to a row waits there in a collective, or to begin one, for those who do not come.
 */
void eep_pool_fault_machine_acted(EepPool *pool)
{
    if (pool->faults == NULL || pool->has_exited)
        return;
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state == EEP_TROUBLE_STUCK)
            eep_pool_watch_stuck(pool, trouble);
        for (guint j = 0; j < trouble->workers->len && trouble->state == EEP_TROUBLE_SILENT; j++)
            if (eep_resize_waits_for(pool->resize, g_array_index(trouble->workers, EepWorkerId, j)))
                eep_trouble_collective_waits(pool, trouble);
    }
}

/* -- lost engines ----------------------------------------------------------------------------- */

EepEngine *eep_pool_engine_at(const EepPool *pool, guint index)
{
    GPtrArray *const others[] = {pool->joining, pool->leaving};

    if (index < pool->n_engines)
        return pool->engines[index];
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        for (guint j = 0; j < others[i]->len; j++) {
            EepEngine *engine = g_ptr_array_index(others[i], j);

            if (engine->index == index)
                return engine;
        }
    return NULL;
}

GPtrArray *eep_trouble_targets(const EepPool *pool, const EepFault *fault)
{
    guint tp = (guint)pool->options.tensor_parallel_size;
    guint gpus = MAX(1, pool->shape.gpus_per_node);
    GPtrArray *engines = g_ptr_array_new();
    guint first = fault->index, last = fault->index;

    if (fault->target == EEP_FAULT_OF_RANK) {
        first = last = fault->index / tp;
    } else if (fault->target == EEP_FAULT_OF_NODE) {
        first = fault->index * gpus / tp;
        last = ((fault->index + 1) * gpus - 1) / tp;
    }
    for (guint i = first; i <= last; i++) {
        EepEngine *engine = eep_pool_engine_at(pool, i);

        if (engine != NULL && !engine->is_dead)
            g_ptr_array_add(engines, engine);
    }
    return engines;
}

static void stop_engine(EepPool *pool, EepTrouble *trouble, EepEngine *engine)
{
    EepFaultInjector *injector = pool->services->injector;
    EepWorkerId worker = engine->worker;

    engine->is_dead = TRUE;
    eep_pool_set_gpu_use(pool, engine, EEP_GPU_DEAD);
    g_array_append_val(trouble->workers, worker);
    trouble->incident.n_engines++;
    pool->n_silent++;
    eep_loop_record_action(pool->services->loop, EEP_ACTION_FAULT, trouble->fault.kind, worker);
    if (injector != NULL && !trouble->is_of_steps)
        injector->ops->stop_worker(injector, worker, trouble->fault.kind == EEP_FAULT_KIND_FAIL);
    eep_resize_worker_stopped(pool->resize, worker);
}

static void take_away(EepPool *pool, EepTrouble *trouble, GPtrArray *engines)
{
    for (guint i = 0; i < engines->len; i++) {
        EepEngine *engine = g_ptr_array_index(engines, i);

        trouble->hits_members |=
            engine->index < pool->n_engines && pool->engines[engine->index] == engine;
        stop_engine(pool, trouble, engine);
    }
    eep_trouble_tell(pool, trouble, "fault", "");
    pool->faults->losing = trouble;
    eep_pool_fault_placed(pool);
    pool->faults->losing = NULL;
    if (eep_pool_fault_is_phase_waiting(pool, trouble))
        eep_trouble_collective_waits(pool, trouble);
    if (trouble->hits_members &&
        (pool->reshuffle.state == EEP_RESHUFFLE_MOVE || pool->migration.op != 0))
        eep_trouble_collective_waits(pool, trouble);
    if (pool->n_in_flight > 0)
        eep_pool_fault_step_waits(pool);
    arm_detection(pool, trouble);
    eep_pool_follow_wants(pool);
}

static void lose_engines(EepPool *pool, const EepFault *fault, const char *id, GPtrArray *engines)
{
    take_away(pool, eep_trouble_open(pool, fault, id, EEP_TROUBLE_SILENT), engines);
}

static void begin_loss(EepPool *pool, const EepFault *fault, const char *id)
{
    g_autoptr(GPtrArray) engines = eep_trouble_targets(pool, fault);

    if (engines->len == 0)
        eep_trouble_tell_missed(pool, fault, id);
    else
        lose_engines(pool, fault, id, engines);
}

/* -- steps that fail --------------------------------------------------------------------------- */

#define STEP_FAIL  "step_fail"
#define COMPLETION "completion"

static gboolean is_member_silent(const EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++)
        if (nth_trouble(pool, i)->state == EEP_TROUBLE_SILENT && nth_trouble(pool, i)->hits_members)
            return TRUE;
    return FALSE;
}

/* Of engines that would be told to end, and may be too broken to obey. */
static void end_processes(EepPool *pool, const EepTrouble *trouble)
{
    EepFaultInjector *injector = pool->services->injector;

    for (guint i = 0; i < trouble->workers->len && injector != NULL; i++)
        injector->ops->stop_worker(injector, g_array_index(trouble->workers, EepWorkerId, i), TRUE);
}

/* Nobody is known to be gone, and nobody can be trusted: all count as hung. Without a recovery that
 * is found as any group that stands still is. */
static void lose_group(EepPool *pool)
{
    const EepFault fault = {.kind = EEP_FAULT_KIND_HANG, .target = EEP_FAULT_OF_ENGINE};
    EepRecovery recovery = (EepRecovery)pool->options.fault_tolerance.recovery;
    EepTime watchdog = pool->options.fault_tolerance.detect[EEP_DETECT_WATCHDOG];
    g_autoptr(GPtrArray) engines = g_ptr_array_new();
    EepTrouble *trouble;
    char id[32];

    for (guint i = 0; i < pool->n_engines; i++)
        if (!pool->engines[i]->is_dead)
            g_ptr_array_add(engines, pool->engines[i]);
    g_snprintf(id, sizeof id, "found-%u", ++pool->faults->n_found);
    trouble = eep_trouble_open(pool, &fault, id, EEP_TROUBLE_SILENT);
    trouble->is_of_steps = TRUE;
    trouble->incident.fault = STEP_FAIL;
    take_away(pool, trouble, engines);
    if (recovery == EEP_RECOVERY_NONE && watchdog > 0)
        return;
    if (recovery != EEP_RECOVERY_NONE && recovery != EEP_RECOVERY_RETRY)
        end_processes(pool, trouble);
    eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
    trouble->incident.detection = 0;
    trouble->incident.detected_by = COMPLETION;
    eep_trouble_tell(pool, trouble, "fault_detected", COMPLETION);
    eep_pool_recover(pool, trouble);
}

void eep_pool_fault_steps_failed(EepPool *pool)
{
    if (!is_member_silent(pool))
        lose_group(pool);
    eep_pool_fault_step_waits(pool);
}

/* -- events ----------------------------------------------------------------------------------- */

void eep_pool_on_found_fault(EepPool *pool, EepWorkerId worker, EepFaultKind kind)
{
    EepEngine *engine = eep_pool_find_engine(pool, worker);
    g_autoptr(GPtrArray) engines = g_ptr_array_new();
    EepFault fault = {.kind = kind, .target = EEP_FAULT_OF_ENGINE};
    char id[32];

    if (pool->has_exited || engine == NULL || engine->is_dead)
        return;
    fault.index = engine->index;
    g_ptr_array_add(engines, engine);
    g_snprintf(id, sizeof id, "found-%u", ++pool->faults->n_found);
    lose_engines(pool, &fault, id, engines);
}

void eep_pool_fault(EepPool *pool, const EepFault *fault, const char *id)
{
    static void (*const begin[EEP_FAULT_KIND_COUNT])(EepPool *, const EepFault *, const char *) = {
        [EEP_FAULT_KIND_FAIL] = begin_loss,
        [EEP_FAULT_KIND_HANG] = begin_loss,
        [EEP_FAULT_KIND_SLOW] = eep_pool_fault_begin_slow,
        [EEP_FAULT_KIND_LINK] = eep_pool_fault_begin_slow,
        [EEP_FAULT_KIND_PHASE_FAIL] = eep_pool_fault_arm_phase,
        [EEP_FAULT_KIND_PHASE_HANG] = eep_pool_fault_arm_phase,
    };

    if (pool->has_exited)
        eep_trouble_tell_missed(pool, fault, id);
    else
        begin[fault->kind](pool, fault, id);
}

static void detected(EepPool *pool, EepTrouble *trouble)
{
    EepDetection how = EEP_DETECT_WATCHDOG;

    trouble->incident.detection = now_of(pool) - trouble->incident.at;
    if (trouble->state == EEP_TROUBLE_SILENT)
        first_found(pool, trouble, &how);
    trouble->incident.detected_by = eep_detection_names[how];
    eep_trouble_tell(pool, trouble, "fault_detected", eep_detection_names[how]);
    if (trouble->state == EEP_TROUBLE_SILENT)
        eep_pool_recover(pool, trouble);
    else if (pool->options.fault_tolerance.recovery == EEP_RECOVERY_NONE &&
             eep_pool_fault_is_collective(trouble->fault.phase))
        eep_pool_exit(pool, trouble);
    else
        eep_pool_fault_fail_phase(pool, trouble);
}

gboolean eep_pool_on_fault_timer(EepPool *pool, guint64 serial, guint64 timer, GError **error)
{
    EepTrouble *trouble = serial > 0 ? nth_trouble(pool, (guint)serial - 1) : NULL;

    if (trouble != NULL) {
        trouble->timer = 0;
        trouble->timer_at = EEP_TIME_NEVER;
    }
    switch ((EepFaultTimer)timer) {
    case EEP_FAULT_TIMER_DETECT:
        detected(pool, trouble);
        break;
    case EEP_FAULT_TIMER_DEADLINE:
        eep_pool_recovery_is_due(pool, trouble);
        break;
    case EEP_FAULT_TIMER_HEAL:
        eep_pool_fault_end_slow(pool, trouble);
        break;
    case EEP_FAULT_TIMER_SETTLE:
        eep_pool_fault_settle(pool);
        break;
    case EEP_FAULT_TIMER_FROZEN:
        eep_pool_exit(pool, trouble);
        break;
    case EEP_FAULT_TIMER_ACT:
        eep_pool_fault_fail_phase(pool, trouble);
        break;
    case EEP_FAULT_TIMER_NONE:
        break;
    }
    return TRUE;
}

/* -- life ------------------------------------------------------------------------------------- */

void eep_pool_fault_init(EepPool *pool)
{
    EepPoolFaults *faults = g_new0(EepPoolFaults, 1);
    guint n_others = pool->shape.max_engines - MIN(pool->shape.max_engines, pool->n_engines);

    faults->troubles = g_ptr_array_new_with_free_func(trouble_free);
    faults->phases = g_array_new(FALSE, FALSE, sizeof(EepRunningPhase));
    faults->ended = g_array_new(FALSE, FALSE, sizeof(EepResizeRecord));
    faults->launched = g_array_new(FALSE, FALSE, sizeof(EepLaunchedSpare));
    faults->restarted = EEP_TIME_NEVER;
    faults->n_spares = MIN(n_others, (guint)pool->options.fault_tolerance.spare_engines);
    if (pool->options.fault_tolerance.spare_state == EEP_SPARE_WARM)
        faults->n_warm = faults->n_spares;
    eep_rng_init(&faults->rng, pool->services->seed + pool->id, "mtbf");
    pool->faults = faults;
}

void eep_pool_fault_clear(EepPool *pool)
{
    EepPoolFaults *faults = g_steal_pointer(&pool->faults);

    if (faults == NULL)
        return;
    for (guint i = 0; i < faults->phases->len; i++)
        g_array_free(g_array_index(faults->phases, EepRunningPhase, i).workers, TRUE);
    g_array_free(faults->phases, TRUE);
    g_free(faults->taken_by);
    g_ptr_array_free(faults->troubles, TRUE);
    g_array_free(faults->ended, TRUE);
    g_array_free(faults->launched, TRUE);
    g_free(faults);
}

/* How a trouble that is still open stands at the end of the run. */
static const char *outcome_at_end(const EepPool *pool, const EepTrouble *trouble)
{
    switch (trouble->state) {
    case EEP_TROUBLE_BELOW:
    case EEP_TROUBLE_REPLACING:
        return pool->n_missing > 0 ? "degraded" : "recovered";
    case EEP_TROUBLE_SLOW:
        return "degraded";
    case EEP_TROUBLE_EXITED:
        return "exited";
    default:
        return "unrecovered";
    }
}

/* All requests have their fates. A phase that was to break and did not is no incident. */
static void tell_incidents(EepPool *pool)
{
    EepObserver *observer = pool->services->observer;

    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        const EepIncident *incident = &nth_trouble(pool, i)->incident;

        if (incident->outcome[0] != '\0')
            observer->ops->incident_ended(observer, incident);
    }
}

void eep_pool_fault_finish(EepPool *pool, EepFate fate)
{
    EepPoolFaults *faults = pool->faults;
    EepTime now = now_of(pool);

    eep_pool_stop_drawing_faults(pool);
    eep_pool_fault_bill_spares(pool, faults->n_warm);
    for (EepRequest *request; (request = faults->limbo.head) != NULL;) {
        eep_request_queue_remove(&faults->limbo, request);
        request->fate = (guint8)fate;
        request->finish = now;
        pool->services->request_ended(pool->services->self, request);
    }
    eep_pool_fault_placed(pool);
    for (guint i = 0; i < faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);
        const char *outcome = outcome_at_end(pool, trouble);

        if (trouble->state == EEP_TROUBLE_OVER)
            continue;
        if (trouble->state == EEP_TROUBLE_ARMED) {
            if (trouble->n_hits == 0)
                eep_trouble_tell(pool, trouble, "event_not_reached",
                                 eep_breakable_name(trouble->fault.phase));
            trouble->state = EEP_TROUBLE_OVER;
            continue;
        }
        trouble->incident.degraded = trouble->hits_members || trouble->state != EEP_TROUBLE_JOINER
                                         ? now - trouble->incident.at
                                         : 0;
        eep_trouble_end(pool, trouble, outcome);
    }
    tell_incidents(pool);
}

gboolean eep_pool_has_exited(const EepPool *pool)
{
    return pool->has_exited;
}

gboolean eep_pool_is_hanging(const EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTroubleState state = nth_trouble(pool, i)->state;

        if (state == EEP_TROUBLE_SILENT || state == EEP_TROUBLE_JOINER ||
            state == EEP_TROUBLE_RECOVERING || state == EEP_TROUBLE_PHASE ||
            state == EEP_TROUBLE_STUCK)
            return TRUE;
    }
    return FALSE;
}
