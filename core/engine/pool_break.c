/* What breaks without an engine being lost: slow ranks and links, phases; and failures that are
 * drawn. */
#include <string.h>

#include "core/engine/pool_fault.h"

gboolean eep_pool_fault_is_collective(guint breakable)
{
    static const gboolean is_collective[EEP_BREAKABLE_COUNT] = {
        [EEP_PHASE_STANDBY_GROUPS] = TRUE, [EEP_PHASE_WEIGHTS_FROM_PEER] = TRUE,
        [EEP_PHASE_KV_SYNC] = TRUE,        [EEP_PHASE_MAP_BROADCAST] = TRUE,
        [EEP_PHASE_SWITCH] = TRUE,         [EEP_PHASE_WARM_UP] = TRUE,
        [EEP_PHASE_WEIGHTS_TREE] = TRUE,   [EEP_PHASE_COMM_SPLIT] = TRUE,
        [EEP_PHASE_MASK] = TRUE,           [EEP_BREAKABLE_RESHUFFLE] = TRUE,
        [EEP_BREAKABLE_PRELOAD] = TRUE,
    };

    return is_collective[breakable];
}

static EepTime now_of(const EepPool *pool)
{
    return eep_loop_now(pool->services->loop);
}

static EepTrouble *nth_trouble(const EepPool *pool, guint i)
{
    return g_ptr_array_index(pool->faults->troubles, i);
}

/* -- slow ranks and links --------------------------------------------------------------------- */

/* What all spells that last make of this worker's time, or of the node's bandwidth. */
static double factor_of(const EepPool *pool, EepFaultKind kind, EepWorkerId worker, guint node)
{
    double factor = 1.0;

    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        const EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state == EEP_TROUBLE_SLOW && trouble->fault.kind == kind &&
            (kind == EEP_FAULT_KIND_SLOW ? eep_workers_have(trouble->workers, worker)
                                         : trouble->fault.index == node))
            factor *= trouble->fault.factor;
    }
    return factor;
}

static void apply_slowness(EepPool *pool, const EepTrouble *trouble)
{
    EepFaultInjector *injector = pool->services->injector;

    if (injector == NULL)
        return;
    for (guint i = 0; i < trouble->workers->len; i++) {
        EepWorkerId worker = g_array_index(trouble->workers, EepWorkerId, i);

        injector->ops->slow_worker(injector, worker,
                                   factor_of(pool, EEP_FAULT_KIND_SLOW, worker, 0));
    }
    if (trouble->fault.kind == EEP_FAULT_KIND_LINK)
        injector->ops->set_link(injector, pool->id, trouble->fault.index,
                                factor_of(pool, EEP_FAULT_KIND_LINK, 0, trouble->fault.index));
}

void eep_pool_fault_begin_slow(EepPool *pool, const EepFault *fault, const char *id)
{
    g_autoptr(GPtrArray) engines = eep_trouble_targets(pool, fault);
    EepTrouble *trouble;

    if (fault->kind == EEP_FAULT_KIND_SLOW && engines->len == 0) {
        eep_trouble_tell_missed(pool, fault, id);
        return;
    }
    trouble = eep_trouble_open(pool, fault, id, EEP_TROUBLE_SLOW);
    for (guint i = 0; i < engines->len && fault->kind == EEP_FAULT_KIND_SLOW; i++)
        g_array_append_val(trouble->workers, ((EepEngine *)g_ptr_array_index(engines, i))->worker);
    eep_loop_record_action(pool->services->loop, EEP_ACTION_FAULT, fault->kind, fault->index);
    eep_trouble_tell(pool, trouble, "fault", "");
    apply_slowness(pool, trouble);
    eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_HEAL,
                          eep_time_after(now_of(pool), fault->duration));
}

void eep_pool_fault_end_slow(EepPool *pool, EepTrouble *trouble)
{
    trouble->state = EEP_TROUBLE_OVER;
    apply_slowness(pool, trouble);
    trouble->incident.degraded = now_of(pool) - trouble->incident.at;
    eep_trouble_end(pool, trouble, "ended");
}

/* -- phases that break ------------------------------------------------------------------------ */

void eep_pool_fault_arm_phase(EepPool *pool, const EepFault *fault, const char *id)
{
    EepFaultInjector *injector = pool->services->injector;
    EepTrouble *trouble = eep_trouble_open(pool, fault, id, EEP_TROUBLE_ARMED);

    trouble->n_left = fault->nth;
    eep_loop_record_action(pool->services->loop, EEP_ACTION_FAULT, fault->kind, fault->phase);
    if (injector != NULL && fault->phase < EEP_PHASE_COUNT)
        injector->ops->break_phase(injector, pool->id, fault->phase, fault->nth,
                                   fault->kind == EEP_FAULT_KIND_PHASE_HANG);
}

/* The incident of a phase that breaks: each opens one. */
static EepTrouble *hit(EepPool *pool, EepTrouble *armed)
{
    g_autofree char *id = NULL;

    if (armed->n_left == 0 && armed->fault.nth > 0)
        return armed;
    id = armed->n_hits++ == 0 ? g_strdup(armed->incident.id)
                              : g_strdup_printf("%s-%u", armed->incident.id, armed->n_hits);
    return eep_trouble_open(pool, &armed->fault, id, EEP_TROUBLE_PHASE);
}

/* `op` 0: an act of the machine. A hang is bounded whatever hangs: in a collective by its watchdog,
 * else by who waits for the worker, who is taken to be as patient. */
static EepTrouble *hit_phase(EepPool *pool, EepTrouble *armed, EepOpId op)
{
    EepTrouble *trouble = hit(pool, armed);
    EepTime watchdog = pool->options.fault_tolerance.detect[EEP_DETECT_WATCHDOG];

    trouble->state = EEP_TROUBLE_PHASE;
    trouble->op = op;
    trouble->incident.at = now_of(pool);
    eep_trouble_tell(pool, trouble, "fault", eep_breakable_name(trouble->fault.phase));
    if (trouble->fault.kind == EEP_FAULT_KIND_PHASE_HANG && watchdog > 0)
        eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_DETECT,
                              eep_time_after(now_of(pool), watchdog));
    return trouble;
}

/* Whether what the trouble breaks has begun. */
static gboolean is_hit(EepTrouble *trouble, guint breakable)
{
    return trouble->state == EEP_TROUBLE_ARMED && trouble->fault.phase == breakable &&
           (trouble->n_left == 0 || --trouble->n_left == 0);
}

static gboolean waits_for(const EepRunningPhase *phase, const EepTrouble *trouble)
{
    if (!eep_pool_fault_is_collective(phase->kind))
        return FALSE;
    for (guint i = 0; i < trouble->workers->len; i++)
        if (eep_workers_have(phase->workers, g_array_index(trouble->workers, EepWorkerId, i)))
            return TRUE;
    return FALSE;
}

gboolean eep_pool_fault_is_phase_waiting(const EepPool *pool, const EepTrouble *trouble)
{
    for (guint i = 0; i < pool->faults->phases->len; i++)
        if (waits_for(&g_array_index(pool->faults->phases, EepRunningPhase, i), trouble))
            return TRUE;
    return FALSE;
}

void eep_pool_fault_phase_began(EepPool *pool, const EepPhase *phase)
{
    EepRunningPhase running = {
        phase->op.id, phase->kind,
        g_array_sized_new(FALSE, FALSE, sizeof(EepWorkerId), phase->n_workers)};

    g_array_append_vals(running.workers, phase->workers, phase->n_workers);
    g_array_append_val(pool->faults->phases, running);
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state == EEP_TROUBLE_SILENT && waits_for(&running, trouble))
            eep_trouble_collective_waits(pool, trouble);
        else if (is_hit(trouble, phase->kind))
            hit_phase(pool, trouble, phase->op.id);
    }
}

/* How it was noticed that the phase had broken, unless that is known. */
static void note_broken(EepPool *pool, EepTrouble *trouble)
{
    gboolean hangs = trouble->fault.kind == EEP_FAULT_KIND_PHASE_HANG;

    if (trouble->incident.detection != EEP_TIME_NEVER)
        return;
    trouble->incident.detection = now_of(pool) - trouble->incident.at;
    trouble->incident.detected_by = hangs ? "deadline" : "completion";
    eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_NONE, EEP_TIME_NEVER);
}

static void break_act(EepPool *pool, EepBreakable act)
{
    guint n = pool->faults->troubles->len;

    for (guint i = 0; i < n; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (!is_hit(trouble, act))
            continue;
        trouble = hit_phase(pool, trouble, 0);
        pool->faults->broken_acts |= 1u << (act - EEP_PHASE_COUNT);
        if (trouble->fault.kind == EEP_FAULT_KIND_PHASE_FAIL)
            eep_trouble_set_timer(pool, trouble, EEP_FAULT_TIMER_ACT, now_of(pool));
    }
}

void eep_pool_fault_end_acts(EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if (trouble->state == EEP_TROUBLE_PHASE && trouble->fault.phase >= EEP_PHASE_COUNT)
            note_broken(pool, trouble);
    }
    pool->faults->broken_acts = 0;
}

/* Whoever goes on to one of these stages no longer waits for acts of the one before. "settle" is
 * none of them: nothing is left that hangs when it begins, and its own acts may have begun before
 * all engines have resumed. */
void eep_pool_fault_span_began(EepPool *pool, const char *name)
{
    static const char *const stages[] = {"prepare", "commit", "undo"};

    for (guint i = 0; i < G_N_ELEMENTS(stages); i++)
        if (strcmp(name, stages[i]) == 0)
            eep_pool_fault_end_acts(pool);
    for (guint act = EEP_PHASE_COUNT; act < EEP_BREAKABLE_COUNT; act++)
        if (strcmp(name, eep_breakable_name(act)) == 0) {
            pool->faults->broken_acts &= ~(1u << (act - EEP_PHASE_COUNT));
            break_act(pool, (EepBreakable)act);
        }
}

gboolean eep_pool_fault_is_broken(const EepPool *pool, EepBreakable act)
{
    return pool->faults != NULL && (pool->faults->broken_acts >> (act - EEP_PHASE_COUNT) & 1) != 0;
}

guint64 eep_pool_fault_check_step(const EepPool *pool)
{
    return eep_pool_fault_is_broken(pool, EEP_BREAKABLE_PAUSE) ? 0 : pool->wave_step;
}

gboolean eep_pool_has_requests(const EepPool *pool, EepWorkerId worker)
{
    if (eep_pool_fault_is_broken(pool, EEP_BREAKABLE_DRAIN))
        return TRUE;
    for (guint i = 0; i < pool->n_engines; i++)
        if ((worker == 0 || pool->engines[i]->worker == worker) &&
            eep_engine_n_requests(pool->engines[i]) > 0)
            return TRUE;
    return FALSE;
}

static gboolean has_failed(const EepCompletion *completion)
{
    return completion->done != EEP_DONE_OK && completion->done != EEP_DONE_ABORTED;
}

/* Somebody looks after what is broken, or will. */
static gboolean is_explained(const EepPool *pool)
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

/* A phase failed that nobody had broken: an incident like one that a scenario asks for. */
static void find_broken(EepPool *pool, const EepCompletion *completion, guint kind)
{
    EepFault fault = {.kind = EEP_FAULT_KIND_PHASE_FAIL, .phase = kind, .nth = 1};
    EepTrouble *trouble;
    char id[32];

    if (pool->has_exited)
        return;
    g_snprintf(id, sizeof id, "found-%u", ++pool->faults->n_found);
    trouble = eep_trouble_open(pool, &fault, id, EEP_TROUBLE_PHASE);
    trouble->op = completion->id;
    eep_trouble_tell(pool, trouble, "fault", eep_breakable_name(kind));
    note_broken(pool, trouble);
}

void eep_pool_fault_phase_ended(EepPool *pool, const EepCompletion *completion)
{
    GArray *phases = pool->faults->phases;
    guint kind = EEP_PHASE_COUNT;

    for (guint i = 0; i < phases->len; i++) {
        EepRunningPhase *phase = &g_array_index(phases, EepRunningPhase, i);

        if (phase->op != completion->id)
            continue;
        kind = phase->kind;
        for (guint j = 0; j < phase->workers->len; j++)
            if (g_array_index(phase->workers, EepWorkerId, j) == completion->worker)
                g_array_remove_index_fast(phase->workers, j);
        if (completion->worker == 0) {
            g_array_free(phase->workers, TRUE);
            g_array_remove_index(phases, i);
        }
        break;
    }
    for (guint i = 0; i < pool->faults->troubles->len && completion->done != EEP_DONE_OK; i++)
        if (nth_trouble(pool, i)->state == EEP_TROUBLE_PHASE &&
            nth_trouble(pool, i)->op == completion->id)
            note_broken(pool, nth_trouble(pool, i));
    /* Before the machine hears of it, which may end the resize on the first part that fails. */
    if (kind < EEP_PHASE_COUNT && has_failed(completion) && !is_explained(pool) &&
        eep_resize_record(pool->resize) != NULL)
        find_broken(pool, completion, kind);
}

void eep_pool_fault_fail_phase(EepPool *pool, EepTrouble *trouble)
{
    static const EepAct acts[EEP_BREAKABLE_COUNT - EEP_PHASE_COUNT] = {
        [EEP_BREAKABLE_RESHUFFLE - EEP_PHASE_COUNT] = EEP_ACT_RESHUFFLE,
        [EEP_BREAKABLE_PRELOAD - EEP_PHASE_COUNT] = EEP_ACT_PRELOAD,
        [EEP_BREAKABLE_DRAIN - EEP_PHASE_COUNT] = EEP_ACT_DRAIN,
        [EEP_BREAKABLE_MIGRATE - EEP_PHASE_COUNT] = EEP_ACT_MIGRATE,
        [EEP_BREAKABLE_SPREAD - EEP_PHASE_COUNT] = EEP_ACT_SPREAD,
        [EEP_BREAKABLE_PAUSE - EEP_PHASE_COUNT] = EEP_ACT_COUNT,
    };

    if (trouble->fault.phase < EEP_PHASE_COUNT) {
        eep_pool_abort_op(pool, trouble->op);
        return;
    }
    if (trouble->state == EEP_TROUBLE_PHASE)
        note_broken(pool, trouble);
    eep_resize_act_failed(pool->resize, acts[trouble->fault.phase - EEP_PHASE_COUNT]);
    eep_pool_follow_wants(pool);
}

void eep_pool_fault_abort_phases(EepPool *pool)
{
    for (guint i = 0; i < pool->faults->phases->len; i++)
        eep_pool_abort_op(pool, g_array_index(pool->faults->phases, EepRunningPhase, i).op);
}

void eep_pool_fault_abort_move(EepPool *pool)
{
    if (pool->reshuffle.state == EEP_RESHUFFLE_MOVE)
        eep_pool_abort_op(pool, pool->reshuffle.op);
}

/* -- drawn failures --------------------------------------------------------------------------- */

static guint max_ranks(const EepPool *pool)
{
    return pool->shape.max_engines * (guint)pool->options.tensor_parallel_size;
}

/* As if all GPUs of the cluster were in use; those that are not shrug it off. */
static void draw_next(EepPool *pool)
{
    EepLoop *loop = pool->services->loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_MEASURE, pool->id),
                      .event_class = EEP_CLASS_FAULT,
                      .kind = EEP_EVENT_FAULT,
                      .a = pool->id,
                      .b = EEP_POOL_FAULT_DRAWN};
    double wait = eep_rng_exponential(&pool->faults->rng) *
                  eep_time_to_seconds(pool->options.fault_tolerance.mtbf) / max_ranks(pool);

    pool->faults->draw = eep_loop_schedule(
        loop, eep_time_after(now_of(pool), MAX(1, eep_time_from_seconds(wait))), &event);
}

void eep_pool_start_drawing_faults(EepPool *pool)
{
    if (pool->options.fault_tolerance.mtbf > 0)
        draw_next(pool);
}

void eep_pool_stop_drawing_faults(EepPool *pool)
{
    if (pool->faults->draw != 0)
        eep_loop_reschedule(pool->services->loop, pool->faults->draw, EEP_TIME_NEVER);
    pool->faults->draw = 0;
}

/* Nobody to be killed, and nobody who would notice. */
static gboolean is_all_dead(const EepPool *pool)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (!pool->engines[i]->is_dead)
            return FALSE;
    return pool->n_engines > 0;
}

void eep_pool_on_drawn_fault(EepPool *pool)
{
    EepFault fault = {.kind = EEP_FAULT_KIND_FAIL, .target = EEP_FAULT_OF_RANK};
    char id[32];

    fault.index = (guint)eep_rng_below(&pool->faults->rng, max_ranks(pool));
    pool->faults->draw = 0;
    if (pool->has_exited || is_all_dead(pool))
        return;
    draw_next(pool);
    if (fault.index >= pool->n_engines * (guint)pool->options.tensor_parallel_size)
        return;
    g_snprintf(id, sizeof id, "mtbf-%u", ++pool->faults->n_drawn);
    eep_pool_fault(pool, &fault, id);
}
