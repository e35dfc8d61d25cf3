#include "core/resize/coordinator.h"

#include <string.h>

#include "core/resize/resize_machine.h"

/* The states of one resize, as its coordinator sees it:
 *
 *                            +------ NOTHING_KEPT -------+
 *                            v                           |
 *      +----------------> IDLE                           |
 *      |                    | REQUEST                    |
 *      |                    v                            |
 *      |                PREPARING                    PREPARED
 *      |                    | ALL_READY               |     ^
 *      |                    v                 REQUEST |     | DRAIN_TIMED_OUT
 *      |                DRAINING <--------------------+     |
 *      |                    |     +-------------------------+
 *      |                    | DRAINED
 *      |                    v
 *      |                 PAUSING
 *      |                    | ALL_PAUSED
 *      |                    v
 *      |                STOPPING           every state from PREPARING to
 *      |                    | ALL_STOPPED  SETTLING but PREPARED and DRAINING:
 *      |                    v                FAILURE, DEADLINE --> STUCK
 *      |               COMMITTING
 *      |                    | ALL_COMMITTED
 *      |                    v
 *      |                RESUMING
 *      |                    | ALL_RESUMED
 *      |                    v
 *      +-- ALL_SETTLED - SETTLING
 *
 *   IDLE -> PREPARING           [eep_resize_request, eep_resize_start_next]
 *   PREPARING -> DRAINING       [check_answers]
 *   PREPARED -> DRAINING        [eep_resize_request, eep_resize_start_next]
 *   PREPARED -> IDLE            [enter_prepared]
 *   DRAINING -> PAUSING         [enter_draining, eep_coordinator_poll_drain]
 *   DRAINING -> PREPARED        [eep_resize_timer]
 *   PAUSING -> STOPPING         [check_answers]
 *   STOPPING -> COMMITTING      [check_answers]
 *   COMMITTING -> RESUMING      [check_answers]
 *   RESUMING -> SETTLING        [check_answers]
 *   SETTLING -> IDLE            [check_answers]
 *   any of these -> STUCK       [eep_coordinator_hear, eep_resize_timer]
 *
 * A stage in which nobody has a row is left as soon as it is entered: `restart` neither prepares
 * nor pauses, `g2.1` does not stop. What holds, and eep_resize_check() asserts:
 *
 *  IDLE        * Nobody has a role; there is no target group, no row has begun, no timer is armed,
 *                no note is under way; every engine is SERVING and a member of the group.
 *              * New requests are admitted, steps may begin.
 *  PREPARING   * The serving group is the old one; requests are admitted, steps may begin.
 *              * No row of a later stage has begun.
 *  PREPARED    * As PREPARING, and no note is under way: vLLM keeps what a resize has prepared when
 *                its drain times out, and takes it up again when the same size is asked for.
 *  DRAINING    * New requests get 503; nobody has been told to pause; steps may begin.
 *  PAUSING     * New requests get 503; the serving group is the old one; no row runs.
 *  STOPPING    * New requests get 503; the serving group is the old one.
 *  COMMITTING  * New requests get 503; no step may begin.
 *  RESUMING    * New requests get 503; the serving group is the target.
 *  SETTLING    * The serving group is the target; requests are admitted, steps may begin.
 *              * No row runs that blocks forwards.
 *  STUCK       * The outcome has been told. Whatever was refused or blocked stays so, and every
 *                further request is refused: vLLM's behaviour, which has no way back.
 */

const char *const eep_coordinator_state_names[] = {
    [EEP_COORDINATOR_IDLE] = "idle",
    [EEP_COORDINATOR_PREPARING] = "preparing",
    [EEP_COORDINATOR_PREPARED] = "prepared",
    [EEP_COORDINATOR_DRAINING] = "draining",
    [EEP_COORDINATOR_PAUSING] = "pausing",
    [EEP_COORDINATOR_STOPPING] = "stopping",
    [EEP_COORDINATOR_COMMITTING] = "committing",
    [EEP_COORDINATOR_RESUMING] = "resuming",
    [EEP_COORDINATOR_SETTLING] = "settling",
    [EEP_COORDINATOR_STUCK] = "stuck",
};
G_STATIC_ASSERT(G_N_ELEMENTS(eep_coordinator_state_names) == EEP_COORDINATOR_STATE_COUNT);

const char *const eep_coordinator_event_names[] = {
    [EEP_COORDINATOR_REQUEST] = "request",
    [EEP_COORDINATOR_ALL_READY] = "all_ready",
    [EEP_COORDINATOR_DRAINED] = "drained",
    [EEP_COORDINATOR_DRAIN_TIMED_OUT] = "drain_timed_out",
    [EEP_COORDINATOR_NOTHING_KEPT] = "nothing_kept",
    [EEP_COORDINATOR_ALL_PAUSED] = "all_paused",
    [EEP_COORDINATOR_ALL_STOPPED] = "all_stopped",
    [EEP_COORDINATOR_ALL_COMMITTED] = "all_committed",
    [EEP_COORDINATOR_ALL_RESUMED] = "all_resumed",
    [EEP_COORDINATOR_ALL_SETTLED] = "all_settled",
    [EEP_COORDINATOR_FAILURE] = "failure",
    [EEP_COORDINATOR_DEADLINE] = "deadline",
};
G_STATIC_ASSERT(G_N_ELEMENTS(eep_coordinator_event_names) == EEP_COORDINATOR_EVENT_COUNT);

/* Next state + 1, so that 0, what is not listed, is no transition. */
#define TO(state)   (EEP_COORDINATOR_##state + 1)
#define FAILS_STUCK [EEP_COORDINATOR_FAILURE] = TO(STUCK), [EEP_COORDINATOR_DEADLINE] = TO(STUCK)

static const guint8 table[EEP_COORDINATOR_STATE_COUNT][EEP_COORDINATOR_EVENT_COUNT] = {
    [EEP_COORDINATOR_IDLE] = {[EEP_COORDINATOR_REQUEST] = TO(PREPARING)},
    [EEP_COORDINATOR_PREPARING] = {[EEP_COORDINATOR_ALL_READY] = TO(DRAINING), FAILS_STUCK},
    [EEP_COORDINATOR_PREPARED] =
        {[EEP_COORDINATOR_REQUEST] = TO(DRAINING), [EEP_COORDINATOR_NOTHING_KEPT] = TO(IDLE)},
    [EEP_COORDINATOR_DRAINING] =
        {[EEP_COORDINATOR_DRAINED] = TO(PAUSING), [EEP_COORDINATOR_DRAIN_TIMED_OUT] = TO(PREPARED)},
    [EEP_COORDINATOR_PAUSING] = {[EEP_COORDINATOR_ALL_PAUSED] = TO(STOPPING), FAILS_STUCK},
    [EEP_COORDINATOR_STOPPING] = {[EEP_COORDINATOR_ALL_STOPPED] = TO(COMMITTING), FAILS_STUCK},
    [EEP_COORDINATOR_COMMITTING] = {[EEP_COORDINATOR_ALL_COMMITTED] = TO(RESUMING), FAILS_STUCK},
    [EEP_COORDINATOR_RESUMING] = {[EEP_COORDINATOR_ALL_RESUMED] = TO(SETTLING), FAILS_STUCK},
    [EEP_COORDINATOR_SETTLING] = {[EEP_COORDINATOR_ALL_SETTLED] = TO(IDLE), FAILS_STUCK},
};

EepCoordinatorState eep_coordinator_next(EepCoordinatorState state, EepCoordinatorEvent event)
{
    guint8 next = table[state][event];

    return next == 0 ? EEP_COORDINATOR_STATE_COUNT : (EepCoordinatorState)(next - 1);
}

#define NOTHING EEP_NOTE_COUNT

/* What a state asks of each role, and what it waits to hear. */
typedef struct {
    gboolean waits;
    EepStage stage;   /* only who has rows in it takes part; COUNT: everybody */
    guint8 ask[3];    /* EepNoteWord, by role: staying, new, removing */
    guint8 answer[3]; /* likewise */
    EepCoordinatorEvent when_all;
    EepResizeWait wait;
} Wait;

static const Wait waits[EEP_COORDINATOR_STATE_COUNT] = {
    [EEP_COORDINATOR_PREPARING] = {TRUE,
                                   EEP_STAGE_PREPARE,
                                   {EEP_NOTE_PREPARE, EEP_NOTE_PREPARE, EEP_NOTE_PREPARE},
                                   {EEP_NOTE_READY, EEP_NOTE_READY, EEP_NOTE_READY},
                                   EEP_COORDINATOR_ALL_READY,
                                   EEP_WAIT_PREPARE},
    [EEP_COORDINATOR_PAUSING] = {TRUE,
                                 EEP_STAGE_COUNT,
                                 {EEP_NOTE_PAUSE_KEEP, NOTHING, EEP_NOTE_PAUSE_ABORT},
                                 {EEP_NOTE_PAUSED, NOTHING, EEP_NOTE_PAUSED},
                                 EEP_COORDINATOR_ALL_PAUSED,
                                 EEP_WAIT_PAUSE},
    [EEP_COORDINATOR_STOPPING] = {TRUE,
                                  EEP_STAGE_STOP,
                                  {NOTHING, NOTHING, EEP_NOTE_STOP},
                                  {NOTHING, NOTHING, EEP_NOTE_GONE},
                                  EEP_COORDINATOR_ALL_STOPPED,
                                  EEP_WAIT_STOP},
    [EEP_COORDINATOR_COMMITTING] = {TRUE,
                                    EEP_STAGE_COMMIT,
                                    {EEP_NOTE_COMMIT, EEP_NOTE_COMMIT, EEP_NOTE_COMMIT},
                                    {EEP_NOTE_COMMITTED, EEP_NOTE_COMMITTED, NOTHING},
                                    EEP_COORDINATOR_ALL_COMMITTED,
                                    EEP_WAIT_COMMIT},
    [EEP_COORDINATOR_RESUMING] = {TRUE,
                                  EEP_STAGE_RESUME,
                                  {EEP_NOTE_RESUME, EEP_NOTE_RESUME, NOTHING},
                                  {EEP_NOTE_RESUMED, EEP_NOTE_RESUMED, NOTHING},
                                  EEP_COORDINATOR_ALL_RESUMED,
                                  EEP_WAIT_RESUME},
    [EEP_COORDINATOR_SETTLING] = {TRUE,
                                  EEP_STAGE_COUNT,
                                  {NOTHING, NOTHING, NOTHING},
                                  {EEP_NOTE_SETTLED, EEP_NOTE_SETTLED, EEP_NOTE_GONE},
                                  EEP_COORDINATOR_ALL_SETTLED,
                                  EEP_WAIT_SETTLE},
};

static guint role_index(EepWho role)
{
    return role == EEP_WHO_STAYING ? 0 : role == EEP_WHO_NEW ? 1 : 2;
}

static gboolean takes_part(const EepResize *resize, EepCoordinatorState state, EepWho role)
{
    EepStage stage = waits[state].stage;

    if (role == EEP_WHO_NOBODY)
        return FALSE;
    if (state == EEP_COORDINATOR_PAUSING)
        return resize->generation->pauses;
    return stage == EEP_STAGE_COUNT || eep_resize_has_rows(resize, role, stage);
}

/* Leaves the state once everybody it waits for has answered, be it nobody. */
static void check_answers(EepResize *resize)
{
    const EepControl *control = resize->control;
    EepCoordinatorState state = control->coordinator.state;

    if (!waits[state].waits)
        return;
    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepWho role = eep_control_member(control, slot)->role;
        guint8 answer = waits[state].answer[role_index(role)];

        if (answer != NOTHING && !(*eep_control_heard(control, slot) & 1u << answer) &&
            takes_part(resize, state, role))
            return;
    }
    eep_coordinator_handle(resize, waits[state].when_all);
}

static void ask_all(EepResize *resize)
{
    EepControl *control = resize->control;
    EepCoordinatorState state = control->coordinator.state;
    EepTime deadline = resize->params.deadline[waits[state].wait];
    g_autofree guint *slots = g_new(guint, control->n_slots);
    guint n = eep_control_order(control, slots);

    if (deadline != EEP_TIME_NEVER)
        eep_resize_arm(resize, EEP_RESIZE_TIMER_WAIT, deadline);
    for (guint i = 0; i < n; i++) {
        EepWho role = eep_control_member(control, slots[i])->role;
        guint8 ask = waits[state].ask[role_index(role)];

        if (takes_part(resize, state, role) && ask != NOTHING)
            eep_resize_send(resize, slots[i], (EepNoteWord)ask);
    }
    check_answers(resize);
}

static void set_refusing(EepResize *resize, gboolean is_refusing)
{
    resize->control->coordinator.is_refusing = is_refusing;
    resize->host->set_refusing(resize->host_self, is_refusing);
    eep_resize_record_set_rejecting(&resize->record, is_refusing, eep_resize_now(resize));
}

static void set_use_of_members(EepResize *resize, EepGpuUse use)
{
    const EepGroup *serving = eep_control_serving(resize->control);

    for (guint rank = 0; rank < serving->n_engines; rank++)
        resize->host->set_gpu_use(resize->host_self, eep_group_worker(serving, rank), use);
}

static void set_leaving_routable(EepResize *resize, gboolean is_routable)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++) {
        const EepMember *member = eep_control_member(resize->control, slot);

        if (member->role == EEP_WHO_REMOVING && member->is_member)
            resize->host->set_routable(resize->host_self, member->worker, is_routable);
    }
}

/* Launches the target's new engines if it is in this stage that they are launched. */
static void launch_engines(EepResize *resize, EepStage stage)
{
    EepControl *control = resize->control;
    EepGroup *target = eep_control_target(control);
    const EepGenerationPlan *plan = eep_resize_plan(resize);
    g_autofree EepWorkerId *workers = g_new(EepWorkerId, control->capacity);
    guint n = target->n_engines;
    gboolean launches = FALSE;

    for (guint i = 0; i < plan->n_rows; i++)
        launches |= plan->rows[i].act == EEP_ACT_PHASE && plan->rows[i].kind == EEP_PHASE_LAUNCH &&
                    plan->rows[i].stage == stage;
    if (!launches)
        return;
    for (guint rank = 0; rank < n; rank++)
        workers[rank] = eep_group_worker(target, rank);
    for (; n < control->coordinator.to; n++) {
        workers[n] = resize->host->launch_engine(resize->host_self, n);
        g_assert(workers[n] != 0);
        eep_control_take_slot(control, workers[n], EEP_WHO_NEW);
        resize->host->set_gpu_use(resize->host_self, workers[n], EEP_GPU_PREPARING);
    }
    eep_group_set(target, target->epoch, n, workers);
}

/* Fixes the roster: the highest ranks leave, nobody who stays changes its rank. */
static void assign_roles(EepResize *resize)
{
    EepControl *control = resize->control;
    const EepGroup *serving = eep_control_serving(control);
    guint n_staying = MIN(control->coordinator.from, control->coordinator.to);

    if (resize->generation->replaces_all)
        n_staying = 0;
    for (guint rank = 0; rank < serving->n_engines; rank++) {
        guint slot = eep_control_find(control, eep_group_worker(serving, rank));

        eep_control_member(control, slot)->role =
            rank < n_staying ? EEP_WHO_STAYING : EEP_WHO_REMOVING;
    }
    eep_group_set(eep_control_target(control), serving->epoch + 1, n_staying, serving->workers);
}

/* Forgets the resize; the group that serves is all that is left of it. */
static void clear_resize(EepResize *resize)
{
    EepControl *control = resize->control;

    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepMember *member = eep_control_member(control, slot);
        EepParticipant *participant = eep_control_participant(control, slot);

        if (member->worker == 0)
            continue;
        if (!member->is_member) {
            eep_control_free_slot(control, slot);
            continue;
        }
        member->role = EEP_WHO_NOBODY;
        participant->entered = participant->done = 0;
        *eep_control_heard(control, slot) = 0;
    }
    memset(control->rows, 0, sizeof control->rows);
    eep_group_set(eep_control_target(control), 0, 0, NULL);
    control->coordinator.from = control->coordinator.to = 0;
    control->coordinator.is_up = FALSE;
}

static void enter_idle(EepResize *resize, EepCoordinatorEvent cause)
{
    resize->host->set_eplb_suspended(resize->host_self, FALSE);
    clear_resize(resize);
    if (cause == EEP_COORDINATOR_ALL_SETTLED)
        eep_resize_tell_end(resize, EEP_OUTCOME_COMPLETE, "");
    eep_resize_start_next(resize);
}

static void enter_preparing(EepResize *resize, EepCoordinatorEvent cause)
{
    resize->control->coordinator.serial++;
    resize->host->span_began(resize->host_self, &resize->record, "prepare");
    assign_roles(resize);
    launch_engines(resize, EEP_STAGE_PREPARE);
    ask_all(resize);
}

static void enter_prepared(EepResize *resize, EepCoordinatorEvent cause)
{
    g_autofree char *reason = NULL;
    gboolean is_anything_kept = FALSE;

    reason = g_strdup_printf("Scale failed due to request drain timeout after %" G_GINT64_FORMAT
                             " seconds",
                             resize->params.drain_timeout / EEP_NS_PER_S);
    set_refusing(resize, FALSE);
    set_leaving_routable(resize, TRUE);
    resize->host->set_eplb_suspended(resize->host_self, FALSE);
    set_use_of_members(resize, EEP_GPU_SERVING);
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        is_anything_kept |= *eep_control_heard(resize->control, slot) != 0;
    eep_resize_tell_end(resize, EEP_OUTCOME_FAILED, reason);
    if (!is_anything_kept)
        eep_coordinator_handle(resize, EEP_COORDINATOR_NOTHING_KEPT);
    else
        eep_resize_start_next(resize);
}

static void enter_draining(EepResize *resize, EepCoordinatorEvent cause)
{
    EepTime now = eep_resize_now(resize);

    set_refusing(resize, TRUE);
    resize->record.commit = now;
    resize->host->span_began(resize->host_self, &resize->record, "commit");
    set_leaving_routable(resize, FALSE);
    resize->host->set_eplb_suspended(resize->host_self, TRUE);
    if (!resize->params.drain_requests || !resize->host->has_requests(resize->host_self, 0)) {
        eep_coordinator_handle(resize, EEP_COORDINATOR_DRAINED);
        return;
    }
    set_use_of_members(resize, EEP_GPU_DRAINING);
    eep_resize_begin_span(resize, "drain", EEP_WHO_NOBODY, FALSE);
    eep_resize_arm(resize, EEP_RESIZE_TIMER_DRAIN_END, resize->params.drain_timeout);
    eep_resize_arm(resize, EEP_RESIZE_TIMER_DRAIN_POLL, resize->params.drain_poll);
}

static void leave_draining(EepResize *resize)
{
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_DRAIN_END);
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_DRAIN_POLL);
}

static void enter_pausing(EepResize *resize, EepCoordinatorEvent cause)
{
    if (resize->generation->pauses)
        eep_resize_begin_span(resize, "pause", EEP_WHO_OLD, TRUE);
    ask_all(resize);
}

static void enter_stopping(EepResize *resize, EepCoordinatorEvent cause)
{
    ask_all(resize);
}

static void enter_committing(EepResize *resize, EepCoordinatorEvent cause)
{
    launch_engines(resize, EEP_STAGE_COMMIT);
    ask_all(resize);
}

static void enter_resuming(EepResize *resize, EepCoordinatorEvent cause)
{
    ask_all(resize);
}

static void enter_settling(EepResize *resize, EepCoordinatorEvent cause)
{
    set_refusing(resize, FALSE);
    resize->record.serving = eep_resize_now(resize);
    resize->host->span_began(resize->host_self, &resize->record, "settle");
    ask_all(resize);
}

static void enter_stuck(EepResize *resize, EepCoordinatorEvent cause)
{
    eep_resize_tell_end(resize, EEP_OUTCOME_FAILED,
                        cause == EEP_COORDINATOR_DEADLINE ? "a wait of the resize ran out of time"
                                                          : "a phase of the resize failed");
    eep_resize_start_next(resize);
}

static void (*const enter[EEP_COORDINATOR_STATE_COUNT])(EepResize *, EepCoordinatorEvent) = {
    [EEP_COORDINATOR_IDLE] = enter_idle,
    [EEP_COORDINATOR_PREPARING] = enter_preparing,
    [EEP_COORDINATOR_PREPARED] = enter_prepared,
    [EEP_COORDINATOR_DRAINING] = enter_draining,
    [EEP_COORDINATOR_PAUSING] = enter_pausing,
    [EEP_COORDINATOR_STOPPING] = enter_stopping,
    [EEP_COORDINATOR_COMMITTING] = enter_committing,
    [EEP_COORDINATOR_RESUMING] = enter_resuming,
    [EEP_COORDINATOR_SETTLING] = enter_settling,
    [EEP_COORDINATOR_STUCK] = enter_stuck,
};

gboolean eep_coordinator_handle(EepResize *resize, EepCoordinatorEvent event)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    EepCoordinatorState from = coordinator->state, to = eep_coordinator_next(from, event);
    EepResizeChange change;

    if (to == EEP_COORDINATOR_STATE_COUNT)
        return FALSE;
    change = (EepResizeChange){.machine = "coordinator",
                               .from = eep_coordinator_state_names[from],
                               .to = eep_coordinator_state_names[to],
                               .cause = eep_coordinator_event_names[event]};
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_WAIT);
    eep_resize_end_span(resize);
    if (from == EEP_COORDINATOR_DRAINING)
        leave_draining(resize);
    coordinator->state = to;
    resize->host->changed(resize->host_self, &change);
    enter[to](resize, event);
    return TRUE;
}

void eep_coordinator_hear(EepResize *resize, guint slot, EepNoteWord word)
{
    *eep_control_heard(resize->control, slot) |= 1u << word;
    if (word == EEP_NOTE_FAILED)
        eep_coordinator_handle(resize, EEP_COORDINATOR_FAILURE);
    else
        check_answers(resize);
}

void eep_coordinator_poll_drain(EepResize *resize)
{
    if (resize->host->has_requests(resize->host_self, 0))
        eep_resize_arm(resize, EEP_RESIZE_TIMER_DRAIN_POLL, resize->params.drain_poll);
    else
        eep_coordinator_handle(resize, EEP_COORDINATOR_DRAINED);
}
