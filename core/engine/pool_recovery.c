/* What a pool does about engines that it has found to be lost: it takes their requests, has the
 * resize machine recover, calls in a spare; or it gives up. */
#include "core/engine/pool_fault.h"

#include <string.h>

/* Who asks, and what the id of a resize that brings spares ends in. */
#define BY_RECOVERY    "recovery"
#define REPLACE_SUFFIX "-replace"

#define EXITED   "the deployment has exited"
#define NO_SPARE "shrunk: no spare was left"
#define NO_JOIN  "shrunk: no spare joined in three tries"
#define IN_VAIN  "exited: three restarts in a row, and no request completed"
#define NO_HELP  "exited: three retries in a row, and no request completed"
#define ANEW     "restarted: no engine is known that the others could do without"

/* Calls for the spares that are to take a lost engine's place; restarts in a row that were of no
 * use. */
#define MAX_CALLS    3
#define MAX_RESTARTS 3

static EepTime now_of(const EepPool *pool)
{
    return eep_loop_now(pool->services->loop);
}

static EepTrouble *nth_trouble(const EepPool *pool, guint i)
{
    return g_ptr_array_index(pool->faults->troubles, i);
}

static EepRecovery mode_of(const EepPool *pool)
{
    return (EepRecovery)pool->options.fault_tolerance.recovery;
}

/* Everybody's requests are lost, not only those of the dead. */
static gboolean loses_all(EepRecovery mode)
{
    return mode == EEP_RECOVERY_RESTART || mode == EEP_RECOVERY_RETRY;
}

/* -- requests of lost engines ----------------------------------------------------------------- */

/* Takes the engine's requests off it, in the order in which they would have gone on. */
static void to_limbo(EepPool *pool, const EepTrouble *trouble, EepEngine *engine)
{
    EepRequest *request;

    while ((request = engine->departing.head) != NULL || (request = engine->running.head) != NULL ||
           (request = engine->waiting.head) != NULL) {
        gboolean was_running = request->state != EEP_REQUEST_WAITING;

        if (request->flags & EEP_REQUEST_FLAG_SEATED)
            eep_pool_migrate_forget(pool, request);
        eep_engine_remove(engine, request);
        request->n_retries++;
        if (was_running)
            request->flags |= EEP_REQUEST_FLAG_RETRIED;
        request->limbo_by = (guint32)trouble->serial;
        eep_request_queue_push_tail(&pool->faults->limbo, request);
    }
}

/* Whether any trouble is. */
static gboolean is_in(const EepPool *pool, EepTroubleState state)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++)
        if (nth_trouble(pool, i)->state == state)
            return TRUE;
    return FALSE;
}

static gboolean has_routable(const EepPool *pool)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->is_routable)
            return TRUE;
    return FALSE;
}

/* Back to the engines that there are; whom no queue takes is aborted. */
static void leave_limbo(EepPool *pool)
{
    EepRequestQueue waiting = pool->faults->limbo;
    EepRequest *request;

    if (!has_routable(pool))
        return;
    pool->faults->limbo = (EepRequestQueue){NULL, NULL, 0};
    while ((request = waiting.head) != NULL) {
        eep_request_queue_remove(&waiting, request);
        if (eep_pool_can_hold(pool, request) && eep_pool_requeue(pool, request))
            nth_trouble(pool, request->limbo_by - 1)->incident.n_retried++;
        else
            eep_request_queue_push_tail(&pool->faults->limbo, request);
    }
    eep_pool_fault_end_limbo(pool);
}

static void lose_requests(EepPool *pool, EepTrouble *trouble, EepEngine *engine)
{
    if (pool->options.fault_tolerance.in_flight == EEP_IN_FLIGHT_RETRY) {
        eep_pool_fault_lose_kv(trouble, engine);
        to_limbo(pool, trouble, engine);
    } else {
        eep_pool_fault_abort_requests(pool, trouble, engine);
    }
}

/* -- giving up -------------------------------------------------------------------------------- */

void eep_pool_fault_refuse(EepPool *pool, guint new_data_parallel_size, const char *id,
                           const char *by)
{
    EepResizeRecord record;

    eep_resize_record_init(&record, pool->id, id, by, now_of(pool));
    record.generation = pool->generation->name;
    record.to = new_data_parallel_size;
    record.outcome = EEP_OUTCOME_REFUSED;
    g_strlcpy(record.reason, EXITED, sizeof record.reason);
    eep_pool_tell_resize(pool, &record);
}

static void retire_all(EepPool *pool, GPtrArray *engines, EepTrouble *cause)
{
    while (engines->len > 0) {
        EepEngine *engine = g_ptr_array_index(engines, engines->len - 1);

        eep_pool_migrate_lost(pool, engine);
        g_ptr_array_steal_index(engines, engines->len - 1);
        eep_pool_fault_abort_requests(pool, cause, engine);
        eep_pool_retire_engine(pool, engine);
    }
}

void eep_pool_exit(EepPool *pool, EepTrouble *cause)
{
    EepObserver *observer = pool->services->observer;
    EepPoolFaults *faults = pool->faults;

    if (pool->has_exited)
        return;
    pool->has_exited = TRUE;
    faults->exited_by = cause;
    eep_pool_hold(pool);
    eep_pool_abort_steps(pool);
    eep_pool_fault_abort_phases(pool);
    eep_pool_fault_abort_move(pool);
    if (pool->eplb != NULL)
        eep_pool_eplb_drain(pool);
    eep_pool_resize_stop(pool);
    eep_resize_give_up(pool->resize, EXITED);
    eep_pool_stop_drawing_faults(pool);
    eep_trouble_tell(pool, cause, "deployment_exited", cause->incident.note);
    for (guint i = 0; i < pool->n_engines; i++)
        g_ptr_array_add(pool->leaving, pool->engines[i]);
    pool->n_engines = pool->n_silent = 0;
    retire_all(pool, pool->leaving, cause);
    retire_all(pool, pool->joining, cause);
    eep_pool_fault_end_limbo(pool);
    eep_pool_fault_bill_spares(pool, faults->n_warm);
    faults->n_spares = faults->n_claimed = faults->n_warm = 0;
    eep_pool_reserve_finish(pool);
    eep_pool_fault_placed(pool);
    for (guint i = 0; i < faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (!eep_trouble_is_lossy(trouble) && trouble->state != EEP_TROUBLE_PHASE &&
            trouble->state != EEP_TROUBLE_STUCK)
            continue;
        eep_trouble_set_state(pool, trouble, EEP_TROUBLE_EXITED);
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
    }
    eep_pool_fault_placed(pool);
    observer->ops->size_changed(observer, now_of(pool), pool->id, 0);
}

/* -- recovering ------------------------------------------------------------------------------- */

static guint n_alive(const EepPool *pool)
{
    guint n = 0;

    for (guint i = 0; i < pool->n_engines; i++)
        n += !pool->engines[i]->is_lost;
    return n;
}

/* The hang is taken to be over once its communicators are built anew. */
static void heal(EepPool *pool, EepWorkerId worker)
{
    EepFaultInjector *injector = pool->services->injector;
    EepEngine *engine = eep_pool_find_engine(pool, worker);

    if (engine == NULL)
        return;
    engine->is_dead = engine->is_lost = FALSE;
    engine->is_routable = TRUE;
    eep_pool_set_gpu_use(pool, engine, EEP_GPU_STALLED);
    if (injector != NULL)
        injector->ops->heal_worker(injector, worker);
    eep_resize_worker_healed(pool->resize, worker);
}

/* From here on nobody reckons with the lost engines. */
static void cut_off(EepPool *pool, EepTrouble *trouble)
{
    if (trouble->hits_members) {
        eep_pool_abort_steps(pool);
        eep_pool_fault_abort_move(pool);
        if (pool->eplb != NULL && !pool->reshuffle.aim.for_resize)
            eep_pool_eplb_drain(pool);
    }
    for (guint i = 0; i < trouble->workers->len; i++) {
        EepWorkerId worker = g_array_index(trouble->workers, EepWorkerId, i);
        EepEngine *engine = eep_pool_find_engine(pool, worker);

        pool->n_silent--;
        if (engine == NULL)
            continue;
        engine->is_lost = TRUE;
        engine->is_routable = FALSE;
        eep_pool_migrate_lost(pool, engine);
        lose_requests(pool, trouble, engine);
    }
}

static void tell_machine(EepPool *pool, EepTrouble *trouble)
{
    gboolean heals =
        mode_of(pool) == EEP_RECOVERY_RETRY && trouble->fault.kind == EEP_FAULT_KIND_HANG;

    for (guint i = 0; i < trouble->workers->len; i++) {
        EepWorkerId worker = g_array_index(trouble->workers, EepWorkerId, i);

        if (eep_pool_find_engine(pool, worker) == NULL)
            continue;
        eep_resize_worker_lost(pool->resize, worker);
        if (heals)
            heal(pool, worker);
    }
}

/* A recovery takes care of it from now on. */
static void begin_recovering(EepPool *pool, EepTrouble *trouble, EepRecovery mode)
{
    EepTime deadline = pool->options.fault_tolerance.deadline;

    eep_trouble_set_state(pool, trouble, EEP_TROUBLE_RECOVERING);
    trouble->recovery_begun = now_of(pool);
    trouble->incident.recovery_by = eep_recovery_names[mode];
    if (deadline > 0)
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_DEADLINE,
                              eep_time_after(now_of(pool), deadline));
}

/* Has the machine recover, with no step in flight and the losses told to it. */
static void begin_recovery(EepPool *pool, EepTrouble *trouble, EepRecovery mode)
{
    begin_recovering(pool, trouble, mode);
    eep_resize_recover(pool->resize, mode, trouble->incident.id);
    if (!loses_all(mode))
        leave_limbo(pool);
    eep_pool_fault_placed(pool);
}

/* A restart needs nobody who is left, and the GPUs of dead processes are free again; a process that
 * is gone comes back with no retry. */
static gboolean can_help(const EepPool *pool, const EepTrouble *trouble, EepRecovery mode)
{
    if (mode == EEP_RECOVERY_RESTART)
        return TRUE;
    if (mode == EEP_RECOVERY_RETRY)
        return trouble->fault.kind != EEP_FAULT_KIND_FAIL;
    return n_alive(pool) > 0;
}

/* It was asked for by call_spares(). */
static gboolean is_replacement(const EepResizeRecord *record)
{
    return strcmp(record->by, BY_RECOVERY) == 0 && g_str_has_suffix(record->id, REPLACE_SUFFIX);
}

static gboolean is_recovery(const EepResizeRecord *record)
{
    return strcmp(record->by, BY_RECOVERY) == 0 && !is_replacement(record);
}

/* What breaks every new engine alike would be met again by each that a restart launches, and what
 * breaks steps by those that have rebuilt their groups. */
static gboolean may_begin(EepPool *pool, EepTrouble *trouble, EepRecovery mode)
{
    gboolean is_retry = mode == EEP_RECOVERY_RETRY && trouble->is_of_steps;

    if ((mode != EEP_RECOVERY_RESTART && !is_retry) || pool->faults->n_restarts < MAX_RESTARTS) {
        pool->faults->n_restarts += is_retry;
        return TRUE;
    }
    trouble->incident.note = is_retry ? NO_HELP : IN_VAIN;
    return FALSE;
}

/* A group that served and was not asked for anything has not failed at it. */
static void forgive_idle(EepPool *pool)
{
    if (eep_resize_record(pool->resize) == NULL && pool->faults->limbo.head == NULL &&
        !eep_pool_has_requests(pool, 0))
        pool->faults->n_restarts = 0;
}

void eep_pool_fault_launches(EepPool *pool)
{
    const EepResizeRecord *record = eep_resize_record(pool->resize);

    /* Of the recoveries only a restart launches: all engines, in one go. */
    if (record == NULL || !is_recovery(record) || record->accepted == pool->faults->restarted)
        return;
    pool->faults->restarted = record->accepted;
    pool->faults->n_restarts++;
}

/* Where the resize had ended old engines already, only a restart brings them back. */
static void recover_from_stuck(EepPool *pool, EepTrouble *trouble)
{
    gboolean are_gone = pool->n_engines < eep_resize_group(pool->resize)->n_engines;
    EepRecovery mode = pool->n_engines == 0 || (are_gone && mode_of(pool) == EEP_RECOVERY_RETRY)
                           ? EEP_RECOVERY_RESTART
                           : mode_of(pool);

    if (!may_begin(pool, trouble, mode)) {
        eep_pool_exit(pool, trouble);
        return;
    }
    eep_pool_abort_steps(pool);
    for (guint i = 0; i < pool->n_engines && loses_all(mode); i++)
        lose_requests(pool, trouble, pool->engines[i]);
    begin_recovery(pool, trouble, mode);
    eep_pool_follow_wants(pool);
}

void eep_pool_watch_stuck(EepPool *pool, EepTrouble *trouble)
{
    EepTime watchdog = pool->options.fault_tolerance.detect[EEP_DETECT_WATCHDOG];
    gboolean is_frozen = eep_resize_is_frozen(pool->resize);

    if (is_frozen && trouble->timer == 0 && watchdog > 0)
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_FROZEN,
                              eep_time_after(now_of(pool), watchdog));
    else if (!is_frozen && trouble->timer != 0)
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
}

/* The resize that the fault hit is stuck, or was until a recovery began that somebody else had
 * asked for. The size at which it got stuck is as good as the one before. */
static void leave_stuck(EepPool *pool, EepTrouble *trouble)
{
    if (pool->n_engines > 0)
        trouble->n_before = MIN(trouble->n_before, pool->n_engines);
    if (mode_of(pool) == EEP_RECOVERY_NONE) {
        eep_trouble_set_state(pool, trouble, EEP_TROUBLE_STUCK);
        eep_pool_watch_stuck(pool, trouble);
    } else if (eep_resize_is_stuck(pool->resize)) {
        recover_from_stuck(pool, trouble);
    } else {
        begin_recovering(pool, trouble, mode_of(pool));
    }
}

/* An engine that is no member yet, or is ended by the resize that runs, is that one's to do
 * without, or to fail with. Where others have failed it before the loss was noticed, nothing else
 * will recover from it; where none runs there is nothing to wait for. */
static void leave_to_resize(EepPool *pool, EepTrouble *trouble)
{
    eep_trouble_set_state(pool, trouble, EEP_TROUBLE_JOINER);
    tell_machine(pool, trouble);
    if (trouble->state == EEP_TROUBLE_OVER || eep_resize_record(pool->resize) != NULL ||
        pool->faults->ended->len > 0)
        return;
    if (eep_resize_is_stuck(pool->resize)) {
        leave_stuck(pool, trouble);
        return;
    }
    trouble->incident.degraded = 0;
    eep_trouble_end(pool, trouble, "recovered");
}

static gboolean are_ended_anyway(const EepPool *pool, const EepTrouble *trouble)
{
    for (guint i = 0; i < trouble->workers->len; i++)
        if (eep_resize_ends_anyway(pool->resize, g_array_index(trouble->workers, EepWorkerId, i)))
            return TRUE;
    return FALSE;
}

/* Modes that go on without the lost have nobody to drop where the whole group is broken. */
static EepRecovery mode_for(EepPool *pool, EepTrouble *trouble)
{
    EepRecovery mode = mode_of(pool);

    if (!trouble->is_of_steps || mode == EEP_RECOVERY_NONE || loses_all(mode))
        return mode;
    trouble->incident.note = ANEW;
    return EEP_RECOVERY_RESTART;
}

void eep_pool_recover(EepPool *pool, EepTrouble *trouble)
{
    EepRecovery mode = mode_for(pool, trouble);

    if (mode == EEP_RECOVERY_NONE) {
        eep_pool_exit(pool, trouble);
        return;
    }
    if (!trouble->is_of_steps)
        forgive_idle(pool);
    cut_off(pool, trouble);
    if (!trouble->hits_members || are_ended_anyway(pool, trouble)) {
        leave_to_resize(pool, trouble);
        eep_pool_follow_wants(pool);
        return;
    }
    if (!can_help(pool, trouble, mode) || !may_begin(pool, trouble, mode)) {
        eep_pool_exit(pool, trouble);
        return;
    }
    for (guint i = 0; i < pool->n_engines && loses_all(mode); i++)
        lose_requests(pool, trouble, pool->engines[i]);
    tell_machine(pool, trouble);
    begin_recovery(pool, trouble, mode);
    eep_pool_follow_wants(pool);
}

/* -- what resizes come to --------------------------------------------------------------------- */

/* The oldest that the resize that runs is to recover from; NULL: it is none. */
static EepTrouble *recovered_now(const EepPool *pool)
{
    const EepResizeRecord *record = eep_resize_record(pool->resize);

    for (guint i = 0; i < pool->faults->troubles->len; i++)
        if (record != NULL && is_recovery(record) &&
            nth_trouble(pool, i)->state == EEP_TROUBLE_RECOVERING)
            return nth_trouble(pool, i);
    return NULL;
}

guint eep_pool_fault_stop(EepPool *pool, EepEngine *engine, EepReason reason)
{
    EepTrouble *trouble = recovered_now(pool);
    guint n = eep_engine_n_requests(engine);

    if (trouble == NULL)
        return eep_pool_end_requests(pool, engine, EEP_FATE_ABORTED, reason);
    lose_requests(pool, trouble, engine);
    return pool->options.fault_tolerance.in_flight == EEP_IN_FLIGHT_RETRY ? 0 : n;
}

void eep_pool_recovery_is_due(EepPool *pool, EepTrouble *trouble)
{
    const EepResizeRecord *record = eep_resize_record(pool->resize);

    if (trouble->state == EEP_TROUBLE_RECOVERING &&
        (record == NULL || !is_recovery(record) || record->serving == EEP_TIME_NEVER))
        eep_pool_exit(pool, trouble);
}

static gboolean wants_spare(const EepTrouble *trouble)
{
    return trouble->state == EEP_TROUBLE_BELOW && trouble->n_calls < MAX_CALLS;
}

/* Nobody will take the place of what it lost. */
static void note_shrunk(EepPool *pool, EepTrouble *trouble, const char *event, const char *why)
{
    if (*trouble->incident.note != '\0')
        return;
    trouble->incident.note = why;
    eep_trouble_tell(pool, trouble, event, why);
}

/* Asks for the engines that are missing, as far as there are spares. */
static void call_spares(EepPool *pool)
{
    EepPoolFaults *faults = pool->faults;
    EepTrouble *last = NULL;
    guint n_before = 0, n_missing;
    g_autofree char *id = NULL;

    /* What is still to be lost and what is on its way will have been counted when those end. */
    if (mode_of(pool) != EEP_RECOVERY_REPLACE || is_in(pool, EEP_TROUBLE_RECOVERING) ||
        is_in(pool, EEP_TROUBLE_REPLACING))
        return;
    for (guint i = 0; i < faults->troubles->len; i++)
        if (wants_spare(nth_trouble(pool, i))) {
            last = nth_trouble(pool, i);
            n_before = MAX(n_before, last->n_before);
        }
    n_missing = n_before > pool->n_engines ? n_before - pool->n_engines : 0;
    faults->n_claimed = MIN(faults->n_spares, n_missing);
    for (guint i = 0; i < faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (faults->n_claimed < n_missing && wants_spare(trouble))
            note_shrunk(pool, trouble, "no_spare_left", NO_SPARE);
        if (faults->n_claimed > 0 && wants_spare(trouble)) {
            trouble->state = EEP_TROUBLE_REPLACING;
            trouble->n_calls++;
        }
    }
    if (faults->n_claimed == 0)
        return;
    id = g_strconcat(last->incident.id, REPLACE_SUFFIX, NULL);
    eep_pool_scale(pool, pool->n_engines + faults->n_claimed, id, BY_RECOVERY);
}

static void recovery_completed(EepPool *pool, const EepResizeRecord *record)
{
    EepTime end = MAX(record->serving, pool->faults->whole_since);

    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state != EEP_TROUBLE_RECOVERING || trouble->recovery_begun > record->accepted)
            continue;
        if (pool->n_missing == 0)
            trouble->incident.recovery = end - trouble->incident.at;
        trouble->state = EEP_TROUBLE_BELOW;
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
        eep_trouble_tell(pool, trouble, "fault_recovered", record->generation);
    }
    call_spares(pool);
}

/* A resize that was running when the fault hit it. */
static gboolean was_hit(const EepResizeRecord *record, const EepTrouble *trouble)
{
    return (trouble->state == EEP_TROUBLE_JOINER || trouble->state == EEP_TROUBLE_PHASE) &&
           record->accepted <= trouble->incident.at;
}

/* Where there is a way back, the loss of an engine that a restart ends or launches is a loss like
 * any other, and leave_stuck() begins anew for it. */
static gboolean is_begun_anew(const EepPool *pool, const EepResizeRecord *record)
{
    for (guint i = 0; i < pool->faults->troubles->len && pool->generation->rolls_back; i++)
        if (nth_trouble(pool, i)->state == EEP_TROUBLE_JOINER &&
            was_hit(record, nth_trouble(pool, i)))
            return TRUE;
    return FALSE;
}

/* Another recovery runs, or is on its way, when a later loss has made it begin anew. */
static void recovery_failed(EepPool *pool, const EepResizeRecord *record)
{
    const EepResizeRecord *running = eep_resize_record(pool->resize);
    EepTrouble *left = NULL;

    if ((running != NULL && is_recovery(running)) || is_begun_anew(pool, record))
        return;
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state != EEP_TROUBLE_RECOVERING)
            continue;
        if (record->accepted != EEP_TIME_NEVER && trouble->recovery_begun > record->accepted)
            return;
        left = trouble;
    }
    if (left != NULL)
        eep_pool_exit(pool, left);
}

static gboolean is_undone(const EepResizeRecord *record)
{
    return record->outcome == EEP_OUTCOME_COMPLETE || record->outcome == EEP_OUTCOME_ROLLED_BACK;
}

/* All of the group is back, and its experts. */
static gboolean is_good(const EepPool *pool, const EepTrouble *trouble)
{
    return trouble->state == EEP_TROUBLE_BELOW && pool->n_engines >= trouble->n_before &&
           pool->n_missing == 0;
}

static void end_good(EepPool *pool, EepTrouble *trouble, EepTime since)
{
    trouble->incident.degraded = since - trouble->incident.at;
    eep_trouble_end(pool, trouble, "recovered");
}

/* The replacement was asked for in this trouble's name. */
static gboolean asked_for(const EepTrouble *trouble, const EepResizeRecord *record)
{
    return g_str_has_prefix(record->id, trouble->incident.id) &&
           strcmp(record->id + strlen(trouble->incident.id), REPLACE_SUFFIX) == 0;
}

/* What a replacement, or somebody else's resize, makes of those that are below their size. */
static void count_in(EepPool *pool, EepTrouble *trouble, const EepResizeRecord *record)
{
    gboolean is_complete = record->outcome == EEP_OUTCOME_COMPLETE;

    if (trouble->state == EEP_TROUBLE_REPLACING && is_replacement(record)) {
        trouble->state = EEP_TROUBLE_BELOW;
        if (asked_for(trouble, record))
            trouble->incident.n_migrated += record->n_migrated;
        if (!is_complete && trouble->n_calls == MAX_CALLS)
            note_shrunk(pool, trouble, "no_spare_joined", NO_JOIN);
    } else if (trouble->state == EEP_TROUBLE_BELOW && is_complete &&
               strcmp(record->by, BY_RECOVERY) != 0) {
        trouble->n_before = MIN(trouble->n_before, record->to); /* more is not wanted any more */
    }
}

/* Those that only waited for this resize to end, and those that its size makes good. */
static void end_troubles(EepPool *pool, const EepResizeRecord *record)
{
    EepTime since = record->outcome == EEP_OUTCOME_COMPLETE ? record->serving : now_of(pool);

    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);
        EepIncident *incident = &trouble->incident;

        count_in(pool, trouble, record);
        if (was_hit(record, trouble) && !is_undone(record)) {
            leave_stuck(pool, trouble);
        } else if (was_hit(record, trouble)) {
            incident->degraded = 0;
            incident->recovery = now_of(pool) - incident->at;
            eep_trouble_end(pool, trouble, "recovered");
        } else if (is_good(pool, trouble)) {
            end_good(pool, trouble, MAX(since, pool->faults->whole_since));
        }
    }
}

void eep_pool_fault_settle_soon(EepPool *pool)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_CONTROL, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_TIMER,
                      .a = pool->id,
                      .c = EEP_FAULT_TIMER_SETTLE};

    eep_loop_schedule(pool->services->loop, now_of(pool), &event);
}

void eep_pool_fault_resize_ended(EepPool *pool, const EepResizeRecord *record)
{
    EepPoolFaults *faults = pool->faults;

    if (faults->troubles->len == 0 || pool->has_exited)
        return;
    if (record->accepted != EEP_TIME_NEVER)
        eep_pool_fault_end_acts(pool);
    if (faults->ended->len == 0)
        eep_pool_fault_settle_soon(pool);
    g_array_append_val(faults->ended, *record);
}

void eep_pool_fault_settle(EepPool *pool)
{
    EepPoolFaults *faults = pool->faults;
    g_autoptr(GArray) ended = faults->ended;

    faults->ended = g_array_new(FALSE, FALSE, sizeof(EepResizeRecord));
    for (guint i = 0; i < ended->len && !pool->has_exited; i++) {
        const EepResizeRecord *record = &g_array_index(ended, EepResizeRecord, i);

        if (is_recovery(record) && record->outcome == EEP_OUTCOME_COMPLETE)
            recovery_completed(pool, record);
        else if (is_recovery(record))
            recovery_failed(pool, record);
        if (!pool->has_exited)
            end_troubles(pool, record);
        if (is_replacement(record)) {
            faults->n_claimed = 0;
            if (is_undone(record) && eep_resize_record(pool->resize) == NULL)
                call_spares(pool);
        }
    }
    for (guint i = 0; i < faults->troubles->len && !pool->has_exited; i++)
        if (is_good(pool, nth_trouble(pool, i)) && pool->n_holds == 0)
            end_good(pool, nth_trouble(pool, i), now_of(pool));
    if (!is_in(pool, EEP_TROUBLE_RECOVERING))
        leave_limbo(pool);
}
