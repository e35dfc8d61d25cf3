#include "core/resize/coordinator.h"

#include <string.h>

#include "core/resize/resize_machine.h"

/* The states of one resize, as its coordinator sees it:
 *
 *                            +------ NOTHING_KEPT -------+
 *                            v                           |
 *      +----------------> IDLE <------------------+      |
 *      |                    | REQUEST             |      |
 *      |                    v                     |      |
 *      |                PREPARING                 |  PREPARED
 *      |                    | ALL_READY           |  |     ^
 *      |                    v                 REQUEST|     | DRAIN_TIMED_OUT
 *      |                DRAINING <----------------|--+     |
 *      |                    |     +---------------|--------+
 *      |                    | DRAINED             |
 *      |                    v                     | ALL_UNDONE
 *      |                 PAUSING                  |
 *      |                    | ALL_PAUSED          |
 *      |                    v                     |
 *      |                STOPPING        UNDO      |
 *      |                    | ALL_STOPPED ----> ROLLING_BACK    (from PREPARING to COMMITTING)
 *      |                    v
 *      |               COMMITTING
 *      |                    | ALL_COMMITTED     every state from PREPARING to SETTLING but
 *      |                    v                   PREPARED:
 *      |                RESUMING                  FAILURE, DEADLINE --> STUCK
 *      |                    | ALL_RESUMED       STUCK -- REQUEST --> PREPARING (a recovery)
 *      |                    v
 *      +-- ALL_SETTLED - SETTLING
 *
 *   IDLE, STUCK -> PREPARING    [eep_resize_begin]
 *   PREPARED -> DRAINING        [eep_resize_begin]
 *   PREPARING -> DRAINING       [eep_coordinator_check_answers]
 *   PREPARED -> IDLE            [enter_prepared]
 *   DRAINING -> PAUSING         [enter_draining, eep_coordinator_poll_drain]
 *   DRAINING -> PREPARED        [eep_coordinator_drain_is_over]
 *   PAUSING -> STOPPING         [eep_coordinator_check_answers]
 *   STOPPING -> COMMITTING      [eep_coordinator_check_answers]
 *   COMMITTING -> RESUMING      [eep_coordinator_check_answers]
 *   RESUMING -> SETTLING        [eep_coordinator_check_answers]
 *   SETTLING -> IDLE            [eep_coordinator_check_answers]
 *   ROLLING_BACK -> IDLE        [eep_coordinator_check_answers]
 *   any of these -> STUCK, ROLLING_BACK [eep_coordinator_fail, eep_coordinator_undo]
 *
 * A stage in which nobody has a row is left as soon as it is entered: `restart` neither prepares
 * nor pauses, `g2.1` does not stop. UNDO is for generations with a way back, and until the target
 * group is adopted. When new requests get 503 is the generation's: from DRAINING to RESUMING, from
 * PREPARING on, or never. What holds besides, and eep_resize_check() asserts:
 *
 *  IDLE        * Nobody has a role; there is no target group, no row has begun, no timer is armed,
 *                no note is under way; every engine is SERVING and a member of the group.
 *              * New requests are admitted. Steps may begin, unless a member is lost.
 *  PREPARING   * The serving group is the old one. No row of a later stage has begun.
 *              * Steps may begin, unless a row stops them (g1).
 *  PREPARED    * As PREPARING, and no note is under way: vLLM keeps what a resize has prepared when
 *                its drain times out, and takes it up again when the same size is asked for.
 *  DRAINING    * Nobody has been told to pause; steps may begin.
 *  PAUSING     * The serving group is the old one; no row runs.
 *  STOPPING    * The serving group is the old one.
 *  COMMITTING  * No step may begin, where engines have paused or stopped for it.
 *  RESUMING    * The serving group is the target.
 *  SETTLING    * The serving group is the target; requests are admitted. No row runs that blocks
 *                forwards (but g1's).
 *  ROLLING_BACK * The serving group is the old one; requests are admitted; only rows that undo run.
 *  STUCK       * The outcome has been told. Whatever was refused or blocked stays so (but g1's
 *                503), and every further request is refused: vLLM's behaviour, which has no way
 *                back but a recovery.
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
    [EEP_COORDINATOR_ROLLING_BACK] = "rolling_back",
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
    [EEP_COORDINATOR_UNDO] = "undo",
    [EEP_COORDINATOR_ALL_UNDONE] = "all_undone",
};
G_STATIC_ASSERT(G_N_ELEMENTS(eep_coordinator_event_names) == EEP_COORDINATOR_EVENT_COUNT);

/* Next state + 1, so that 0, what is not listed, is no transition. */
#define TO(state)   (EEP_COORDINATOR_##state + 1)
#define FAILS_STUCK [EEP_COORDINATOR_FAILURE] = TO(STUCK), [EEP_COORDINATOR_DEADLINE] = TO(STUCK)
#define FAILS       FAILS_STUCK, [EEP_COORDINATOR_UNDO] = TO(ROLLING_BACK)

static const guint8 table[EEP_COORDINATOR_STATE_COUNT][EEP_COORDINATOR_EVENT_COUNT] = {
    [EEP_COORDINATOR_IDLE] = {[EEP_COORDINATOR_REQUEST] = TO(PREPARING)},
    [EEP_COORDINATOR_PREPARING] = {[EEP_COORDINATOR_ALL_READY] = TO(DRAINING), FAILS},
    [EEP_COORDINATOR_PREPARED] =
        {[EEP_COORDINATOR_REQUEST] = TO(DRAINING), [EEP_COORDINATOR_NOTHING_KEPT] = TO(IDLE)},
    [EEP_COORDINATOR_DRAINING] = {[EEP_COORDINATOR_DRAINED] = TO(PAUSING),
                                  [EEP_COORDINATOR_DRAIN_TIMED_OUT] = TO(PREPARED),
                                  FAILS},
    [EEP_COORDINATOR_PAUSING] = {[EEP_COORDINATOR_ALL_PAUSED] = TO(STOPPING), FAILS},
    [EEP_COORDINATOR_STOPPING] = {[EEP_COORDINATOR_ALL_STOPPED] = TO(COMMITTING), FAILS},
    [EEP_COORDINATOR_COMMITTING] = {[EEP_COORDINATOR_ALL_COMMITTED] = TO(RESUMING), FAILS},
    [EEP_COORDINATOR_RESUMING] = {[EEP_COORDINATOR_ALL_RESUMED] = TO(SETTLING), FAILS_STUCK},
    [EEP_COORDINATOR_SETTLING] = {[EEP_COORDINATOR_ALL_SETTLED] = TO(IDLE), FAILS_STUCK},
    [EEP_COORDINATOR_ROLLING_BACK] = {[EEP_COORDINATOR_ALL_UNDONE] = TO(IDLE)},
    [EEP_COORDINATOR_STUCK] = {[EEP_COORDINATOR_REQUEST] = TO(PREPARING)},
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
    [EEP_COORDINATOR_ROLLING_BACK] = {TRUE,
                                      EEP_STAGE_COUNT,
                                      {EEP_NOTE_CANCEL, EEP_NOTE_CANCEL, EEP_NOTE_CANCEL},
                                      {EEP_NOTE_UNDONE, EEP_NOTE_GONE, EEP_NOTE_UNDONE},
                                      EEP_COORDINATOR_ALL_UNDONE,
                                      EEP_WAIT_UNDO},
};

static guint role_index(EepWho role)
{
    return role == EEP_WHO_STAYING ? 0 : role == EEP_WHO_NEW ? 1 : 2;
}

static gboolean takes_part(const EepResize *resize, EepCoordinatorState state, EepWho role)
{
    EepStage stage = waits[state].stage;

    if (role == EEP_WHO_NOBODY || role == EEP_WHO_LOST)
        return FALSE;
    if (state == EEP_COORDINATOR_PAUSING)
        return eep_resize_scheme(resize)->pauses;
    return stage == EEP_STAGE_COUNT || eep_resize_has_rows(resize, role, stage);
}

gboolean eep_coordinator_awaits(const EepResize *resize, guint slot)
{
    EepCoordinatorState state = resize->control->coordinator.state;
    EepWho role = eep_control_member(resize->control, slot)->role;
    guint8 answer = waits[state].answer[role_index(role)];

    return waits[state].waits && answer != NOTHING &&
           !(*eep_control_heard(resize->control, slot) & 1u << answer) &&
           takes_part(resize, state, role);
}

void eep_coordinator_check_answers(EepResize *resize)
{
    EepCoordinatorState state = resize->control->coordinator.state;

    if (!waits[state].waits)
        return;
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (eep_coordinator_awaits(resize, slot))
            return;
    eep_coordinator_handle(resize, waits[state].when_all);
}

static void ask_all(EepResize *resize)
{
    EepControl *control = resize->control;
    EepCoordinatorState state = control->coordinator.state;
    EepTime deadline = resize->params.deadline[waits[state].wait];
    gboolean keeps = eep_resize_scheme(resize)->keeps_requests;
    gboolean is_anew = eep_resize_scheme(resize)->replaces_all;
    g_autofree guint *slots = g_new(guint, control->n_slots);
    guint n = eep_control_order(control, slots);

    /* Nothing is won by giving up a start for another one. */
    if (deadline != EEP_TIME_NEVER && !is_anew)
        eep_resize_arm(resize, EEP_RESIZE_TIMER_WAIT, deadline);
    for (guint i = 0; i < n; i++) {
        EepWho role = eep_control_member(control, slots[i])->role;
        guint8 ask = waits[state].ask[role_index(role)];

        if (ask == EEP_NOTE_PAUSE_ABORT && keeps)
            ask = EEP_NOTE_PAUSE_KEEP;
        if (takes_part(resize, state, role) && ask != NOTHING)
            eep_resize_send(resize, slots[i], (EepNoteWord)ask);
    }
    eep_coordinator_check_answers(resize);
}

static void set_refusing(EepResize *resize, gboolean is_refusing)
{
    if (resize->control->coordinator.is_refusing == (guint32)is_refusing)
        return;
    resize->control->coordinator.is_refusing = is_refusing;
    resize->host->set_refusing(resize->host_self, is_refusing);
    eep_resize_record_set_rejecting(&resize->record, is_refusing, eep_resize_now(resize));
}

static const char *const undo_reasons[] = {
    [EEP_UNDO_FAILURE] = "a phase of the resize failed",
    [EEP_UNDO_DEADLINE] = "a wait of the resize ran out of time",
    [EEP_UNDO_DRAIN] = "the requests were not drained in time",
    [EEP_UNDO_LOSS] = "an engine was lost",
    [EEP_UNDO_CANCEL] = "cancelled",
    [EEP_UNDO_SUPERSEDED] = "superseded by a newer request",
};
G_STATIC_ASSERT(G_N_ELEMENTS(undo_reasons) == EEP_UNDO_COUNT);

static void enter_idle(EepResize *resize, EepCoordinatorEvent cause)
{
    const char *reason = undo_reasons[resize->control->coordinator.undo];

    resize->control->coordinator.attempts = 0;
    resize->host->set_eplb_suspended(resize->host_self, FALSE);
    eep_roster_clear(resize);
    if (cause == EEP_COORDINATOR_ALL_SETTLED)
        eep_resize_tell_end(resize, EEP_OUTCOME_COMPLETE, "");
    else if (cause == EEP_COORDINATOR_ALL_UNDONE)
        eep_resize_tell_end(resize, EEP_OUTCOME_ROLLED_BACK, reason);
    eep_resize_start_next(resize);
}

static void enter_preparing(EepResize *resize, EepCoordinatorEvent cause)
{
    resize->control->coordinator.serial++;
    resize->host->span_began(resize->host_self, &resize->record, "prepare");
    eep_roster_assign(resize);
    if (eep_resize_scheme(resize)->refuses == EEP_REFUSES_WHOLE)
        set_refusing(resize, TRUE);
    eep_roster_launch(resize, EEP_STAGE_PREPARE);
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
    eep_roster_set_leaving_routable(resize, TRUE);
    resize->host->set_eplb_suspended(resize->host_self, FALSE);
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
    const EepGeneration *scheme = eep_resize_scheme(resize);
    gboolean drains = scheme->drains_all || (resize->params.drain_requests && !scheme->is_recovery);

    if (scheme->refuses != EEP_REFUSES_NEVER)
        set_refusing(resize, TRUE);
    resize->record.commit = eep_resize_now(resize);
    resize->host->span_began(resize->host_self, &resize->record, "commit");
    eep_roster_set_leaving_routable(resize, FALSE);
    resize->host->set_eplb_suspended(resize->host_self, TRUE);
    if (!drains || !resize->host->has_requests(resize->host_self, 0)) {
        eep_coordinator_handle(resize, EEP_COORDINATOR_DRAINED);
        return;
    }
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
    ask_all(resize);
}

static void enter_stopping(EepResize *resize, EepCoordinatorEvent cause)
{
    ask_all(resize);
}

static void enter_committing(EepResize *resize, EepCoordinatorEvent cause)
{
    /* Those that have stopped have done so already, if any was left to stop. */
    if (eep_resize_scheme(resize)->replaces_all)
        eep_resize_block(resize, EEP_BLOCK_PAUSE);
    eep_roster_launch(resize, EEP_STAGE_COMMIT);
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

static void enter_rolling_back(EepResize *resize, EepCoordinatorEvent cause)
{
    resize->record.given_up = eep_resize_now(resize);
    eep_rows_abort(resize);
    set_refusing(resize, FALSE);
    eep_roster_set_leaving_routable(resize, TRUE);
    resize->host->span_began(resize->host_self, &resize->record, "undo");
    ask_all(resize);
}

/* Those that the resize has gone on without have no other role any more. */
static EepResizeUndo why_stuck(const EepResize *resize, EepCoordinatorEvent cause)
{
    if (cause == EEP_COORDINATOR_DEADLINE)
        return EEP_UNDO_DEADLINE;
    for (guint slot = 0; slot < resize->control->n_slots; slot++) {
        const EepMember *member = eep_control_member(resize->control, slot);

        if (member->is_lost && member->role & EEP_WHO_ALL)
            return EEP_UNDO_LOSS;
    }
    return EEP_UNDO_FAILURE;
}

static void enter_stuck(EepResize *resize, EepCoordinatorEvent cause)
{
    resize->record.given_up = eep_resize_now(resize);
    if (eep_resize_scheme(resize)->clears_503)
        set_refusing(resize, FALSE);
    eep_resize_tell_end(resize, EEP_OUTCOME_FAILED, undo_reasons[why_stuck(resize, cause)]);
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
    [EEP_COORDINATOR_ROLLING_BACK] = enter_rolling_back,
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

gboolean eep_coordinator_can_undo(const EepResize *resize)
{
    return eep_coordinator_next(resize->control->coordinator.state, EEP_COORDINATOR_UNDO) !=
               EEP_COORDINATOR_STATE_COUNT &&
           eep_resize_scheme(resize)->rolls_back && !eep_resize_is_adopted(resize);
}

void eep_coordinator_undo(EepResize *resize, guint why)
{
    g_return_if_fail(eep_coordinator_can_undo(resize));
    resize->control->coordinator.undo = why;
    eep_coordinator_handle(resize, EEP_COORDINATOR_UNDO);
}

/* Where a resize has a way back, a recovery has another try. */
#define MAX_ATTEMPTS 3

void eep_coordinator_fail(EepResize *resize, EepCoordinatorEvent event)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    const EepGeneration *scheme = eep_resize_scheme(resize);

    /* Beyond the point of no return, and on the way back, the only way is on: what is left to do
     * there can be left undone. */
    if (event == EEP_COORDINATOR_DEADLINE && (scheme->rolls_back || scheme->is_recovery) &&
        (eep_resize_is_adopted(resize) || coordinator->state == EEP_COORDINATOR_ROLLING_BACK)) {
        eep_rows_give_up(resize);
        return;
    }
    if (scheme->is_recovery && resize->generation->rolls_back &&
        coordinator->attempts < MAX_ATTEMPTS)
        coordinator->recovery = coordinator->scheme;
    if (!eep_coordinator_can_undo(resize))
        eep_coordinator_handle(resize, event);
    else
        eep_coordinator_undo(resize, event == EEP_COORDINATOR_DEADLINE ? EEP_UNDO_DEADLINE
                                                                       : EEP_UNDO_FAILURE);
}

void eep_coordinator_drain_is_over(EepResize *resize)
{
    if (eep_coordinator_can_undo(resize))
        eep_coordinator_undo(resize, EEP_UNDO_DRAIN);
    else
        eep_coordinator_handle(resize, EEP_COORDINATOR_DRAIN_TIMED_OUT);
}

void eep_coordinator_hear(EepResize *resize, guint slot, EepNoteWord word)
{
    *eep_control_heard(resize->control, slot) |= 1u << word;
    if (word == EEP_NOTE_FAILED)
        eep_coordinator_fail(resize, EEP_COORDINATOR_FAILURE);
    else
        eep_coordinator_check_answers(resize);
}

void eep_coordinator_poll_drain(EepResize *resize)
{
    if (resize->host->has_requests(resize->host_self, 0))
        eep_resize_arm(resize, EEP_RESIZE_TIMER_DRAIN_POLL, resize->params.drain_poll);
    else
        eep_coordinator_handle(resize, EEP_COORDINATOR_DRAINED);
}
