#include "core/resize/participant.h"

#include "core/resize/resize_machine.h"

/* The states of one engine in a resize, whatever its role:
 *
 *        ABSENT                                 SERVING <----------------+
 *        |    | PREPARE                 PREPARE |  |  | STOP             |
 *        |    +-------> PREPARING <-------------+  |  +---> STOPPING     |
 *        |                  | STAGE_DONE           |           |         |
 *        |                  v                      |           | EXITED  |
 *        |                READY                    |           |         |
 *        |                |   | PAUSE_KEEP/_ABORT  |           |         |
 *        |                |   +----> PAUSING <-----+           |         |
 *        |                |             | CONSENSUS            |         |
 *        |         COMMIT |             v                      |         |
 *        |                |          PAUSED                    |         |
 *        | COMMIT         |             | COMMIT               |         |
 *        +----------------+------> COMMITTING -- EXITED --> GONE         |
 *                                       | STAGE_DONE          ^          |
 *                                       v                     | EXITED   |
 *                                   COMMITTED      CANCEL -> UNDOING ----+
 *                                       | RESUME                STAGE_DONE
 *                                       v                                |
 *                                   RESUMING                             |
 *                                       | STAGE_DONE                     |
 *                                       v                                |
 *                                   SETTLING --------- STAGE_DONE -------+
 *
 *   Any state that runs rows stays on ROW_DONE and OPEN, and goes to BROKEN on FAIL. CANCEL leads
 *   from every state up to COMMITTING, and from BROKEN, to UNDOING. A recovery brings what is left
 *   of the group to SERVING by RESET, and who is lost or half launched to GONE by EXITED.
 *
 *   ABSENT -> PREPARING, COMMITTING        [eep_resize_note; a new engine]
 *   SERVING -> PREPARING, PAUSING, STOPPING, COMMITTING [eep_resize_note, or the boundary after it]
 *   PREPARING -> READY                     [advance]
 *   READY -> PAUSING, COMMITTING, STOPPING [eep_resize_note, or the boundary after it]
 *   PAUSING -> PAUSED                      [eep_participants_check_pause]
 *   PAUSED -> COMMITTING                   [eep_resize_note]
 *   COMMITTING -> COMMITTED, GONE          [advance]
 *   COMMITTED -> RESUMING                  [eep_resize_note]
 *   RESUMING -> SETTLING                   [advance]
 *   SETTLING -> SERVING                    [advance]
 *   STOPPING -> GONE                       [advance]
 *   any before COMMITTED -> UNDOING        [eep_resize_note, or the boundary after it]
 *   UNDOING -> SERVING, GONE               [advance]
 *   any -> SERVING, GONE                   [eep_resize_start_recovery]
 *
 * What holds, and eep_resize_check() asserts:
 *
 *  ABSENT      * Not a member of the serving group; has entered no row.
 *  SERVING     * A member of the serving group.
 *  PREPARING   * Has entered rows of the stage `prepare` only. A member goes on serving.
 *  READY       * Has entered rows of the stage `prepare` only, and they are done.
 *  PAUSING     * A member; steps may begin, since it takes part in them, as a dummy, until all
 *                members have paused (but no step begins with a lost member).
 *  PAUSED      * No step may begin, and no member is PAUSING: they agreed together.
 *  STOPPING    * No step may begin; its role is to leave.
 *  COMMITTING  * No step may begin, if it has paused (unless it leaves: the group does not wait for
 *                its exit).
 *  COMMITTED   * No step may begin, if it has paused; it stays or is new; a member of the serving
 *                group, which is the target.
 *  RESUMING    * No step may begin until every member has cleared its pause.
 *  SETTLING    * A member of the serving group, which is the target; all its rows of earlier stages
 *                are done.
 *  UNDOING     * Has entered rows of the stage `undo` only; the serving group is the old one.
 *  GONE        * Not a member of the serving group once that is the target.
 *  BROKEN      * It has told the coordinator, and does nothing more.
 */

const char *const eep_participant_state_names[] = {
    [EEP_PARTICIPANT_ABSENT] = "absent",       [EEP_PARTICIPANT_SERVING] = "serving",
    [EEP_PARTICIPANT_PREPARING] = "preparing", [EEP_PARTICIPANT_READY] = "ready",
    [EEP_PARTICIPANT_PAUSING] = "pausing",     [EEP_PARTICIPANT_PAUSED] = "paused",
    [EEP_PARTICIPANT_STOPPING] = "stopping",   [EEP_PARTICIPANT_COMMITTING] = "committing",
    [EEP_PARTICIPANT_COMMITTED] = "committed", [EEP_PARTICIPANT_RESUMING] = "resuming",
    [EEP_PARTICIPANT_SETTLING] = "settling",   [EEP_PARTICIPANT_UNDOING] = "undoing",
    [EEP_PARTICIPANT_GONE] = "gone",           [EEP_PARTICIPANT_BROKEN] = "broken",
};
G_STATIC_ASSERT(G_N_ELEMENTS(eep_participant_state_names) == EEP_PARTICIPANT_STATE_COUNT);

const char *const eep_participant_event_names[] = {
    [EEP_PARTICIPANT_PREPARE] = "prepare",
    [EEP_PARTICIPANT_PAUSE_KEEP] = "pause_keep",
    [EEP_PARTICIPANT_PAUSE_ABORT] = "pause_abort",
    [EEP_PARTICIPANT_STOP] = "stop",
    [EEP_PARTICIPANT_COMMIT] = "commit",
    [EEP_PARTICIPANT_RESUME] = "resume",
    [EEP_PARTICIPANT_OPEN] = "open",
    [EEP_PARTICIPANT_CANCEL] = "cancel",
    [EEP_PARTICIPANT_CONSENSUS] = "consensus",
    [EEP_PARTICIPANT_ROW_DONE] = "row_done",
    [EEP_PARTICIPANT_STAGE_DONE] = "stage_done",
    [EEP_PARTICIPANT_EXITED] = "exited",
    [EEP_PARTICIPANT_FAIL] = "fail",
    [EEP_PARTICIPANT_RESET] = "reset",
};
G_STATIC_ASSERT(G_N_ELEMENTS(eep_participant_event_names) == EEP_PARTICIPANT_EVENT_COUNT);

/* Next state + 1, so that 0, what is not listed, is no transition. */
#define TO(state) (EEP_PARTICIPANT_##state + 1)
#define RUNS_ROWS(state)                                                                           \
    [EEP_PARTICIPANT_ROW_DONE] = TO(state), [EEP_PARTICIPANT_OPEN] = TO(state),                    \
    [EEP_PARTICIPANT_FAIL] = TO(BROKEN)
#define CAN_CANCEL [EEP_PARTICIPANT_CANCEL] = TO(UNDOING)
#define CAN_PAUSE                                                                                  \
    [EEP_PARTICIPANT_PAUSE_KEEP] = TO(PAUSING), [EEP_PARTICIPANT_PAUSE_ABORT] = TO(PAUSING),       \
    [EEP_PARTICIPANT_STOP] = TO(STOPPING), [EEP_PARTICIPANT_COMMIT] = TO(COMMITTING)
#define RECOVERS [EEP_PARTICIPANT_RESET] = TO(SERVING), [EEP_PARTICIPANT_EXITED] = TO(GONE)

static const guint8 table[EEP_PARTICIPANT_STATE_COUNT][EEP_PARTICIPANT_EVENT_COUNT] = {
    [EEP_PARTICIPANT_ABSENT] = {[EEP_PARTICIPANT_PREPARE] = TO(PREPARING),
                                [EEP_PARTICIPANT_COMMIT] = TO(COMMITTING),
                                CAN_CANCEL,
                                RECOVERS},
    [EEP_PARTICIPANT_SERVING] = {[EEP_PARTICIPANT_PREPARE] = TO(PREPARING),
                                 CAN_PAUSE,
                                 CAN_CANCEL,
                                 RECOVERS},
    [EEP_PARTICIPANT_PREPARING] = {[EEP_PARTICIPANT_STAGE_DONE] = TO(READY),
                                   RUNS_ROWS(PREPARING),
                                   CAN_CANCEL,
                                   RECOVERS},
    [EEP_PARTICIPANT_READY] = {CAN_PAUSE, CAN_CANCEL, RECOVERS},
    [EEP_PARTICIPANT_PAUSING] = {[EEP_PARTICIPANT_CONSENSUS] = TO(PAUSED), CAN_CANCEL, RECOVERS},
    [EEP_PARTICIPANT_PAUSED] = {[EEP_PARTICIPANT_COMMIT] = TO(COMMITTING), CAN_CANCEL, RECOVERS},
    [EEP_PARTICIPANT_STOPPING] = {RUNS_ROWS(STOPPING), RECOVERS},
    [EEP_PARTICIPANT_COMMITTING] = {[EEP_PARTICIPANT_STAGE_DONE] = TO(COMMITTED),
                                    RUNS_ROWS(COMMITTING),
                                    CAN_CANCEL,
                                    RECOVERS},
    [EEP_PARTICIPANT_COMMITTED] = {[EEP_PARTICIPANT_RESUME] = TO(RESUMING), RECOVERS},
    [EEP_PARTICIPANT_RESUMING] = {[EEP_PARTICIPANT_STAGE_DONE] = TO(SETTLING),
                                  RUNS_ROWS(RESUMING),
                                  RECOVERS},
    [EEP_PARTICIPANT_SETTLING] = {[EEP_PARTICIPANT_STAGE_DONE] = TO(SERVING),
                                  RUNS_ROWS(SETTLING),
                                  RECOVERS},
    [EEP_PARTICIPANT_UNDOING] = {[EEP_PARTICIPANT_STAGE_DONE] = TO(SERVING),
                                 [EEP_PARTICIPANT_ROW_DONE] = TO(UNDOING),
                                 RECOVERS},
    [EEP_PARTICIPANT_BROKEN] = {CAN_CANCEL, RECOVERS},
};

EepParticipantState eep_participant_next(EepParticipantState state, EepParticipantEvent event)
{
    guint8 next = table[state][event];

    return next == 0 ? EEP_PARTICIPANT_STATE_COUNT : (EepParticipantState)(next - 1);
}

EepStage eep_participant_stage(EepParticipantState state)
{
    switch (state) {
    case EEP_PARTICIPANT_PREPARING:
        return EEP_STAGE_PREPARE;
    case EEP_PARTICIPANT_STOPPING:
        return EEP_STAGE_STOP;
    case EEP_PARTICIPANT_COMMITTING:
        return EEP_STAGE_COMMIT;
    case EEP_PARTICIPANT_RESUMING:
        return EEP_STAGE_RESUME;
    case EEP_PARTICIPANT_SETTLING:
        return EEP_STAGE_SETTLE;
    case EEP_PARTICIPANT_UNDOING:
        return EEP_STAGE_UNDO;
    default:
        return EEP_STAGE_COUNT;
    }
}

/* Whether one of this role that has done its part of the stage has nothing left but to exit. */
static gboolean exits_after(EepWho role, EepStage stage)
{
    if (role == EEP_WHO_REMOVING)
        return stage == EEP_STAGE_STOP || stage == EEP_STAGE_COMMIT;
    return role == EEP_WHO_NEW && stage == EEP_STAGE_UNDO;
}

/* Goes on with the rows of its stage: enters the next one, or those in the background besides, or
 * finds that all are done. Each end of a row brings it back here. */
static void advance(EepResize *resize, guint slot)
{
    EepControl *control = resize->control;
    EepParticipant *participant = eep_control_participant(control, slot);
    EepWho role = eep_control_member(control, slot)->role;
    const EepGenerationPlan *plan = eep_resize_plan(resize);
    EepStage stage = eep_participant_stage(participant->state);
    gboolean is_waiting = FALSE;

    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];

        if (row->stage != stage || !(row->who & role) || !eep_resize_row_applies(resize, row) ||
            participant->done & 1u << i)
            continue;
        if (!(participant->entered & 1u << i))
            eep_row_enter(resize, slot, i);
        is_waiting = TRUE;
        if (!row->in_background)
            break;
    }
    if (!is_waiting)
        eep_participant_handle(resize, slot,
                               exits_after(role, stage) ? EEP_PARTICIPANT_EXITED
                                                        : EEP_PARTICIPANT_STAGE_DONE);
}

void eep_participant_abort_requests(EepResize *resize, guint slot)
{
    resize->record.n_aborted += resize->host->abort_requests(
        resize->host_self, eep_control_member(resize->control, slot)->worker, "scale_down");
}

static void enter_pausing(EepResize *resize, guint slot, gboolean aborts)
{
    EepWorkerId worker = eep_control_member(resize->control, slot)->worker;

    if (aborts)
        eep_participant_abort_requests(resize, slot);
    /* Up to here the step in flight has advanced requests. */
    if (!resize->record.is_stalled)
        eep_resize_begin_span(resize, "pause", EEP_WHO_OLD, TRUE);
    resize->host->set_pause(resize->host_self, worker, aborts ? EEP_PAUSE_NEW : EEP_PAUSE_ALL);
    resize->host->set_gpu_use(resize->host_self, worker, EEP_GPU_STALLED);
    eep_resize_set_stalled(resize, TRUE);
}

static void enter_stopping(EepResize *resize, guint slot)
{
    EepWorkerId worker = eep_control_member(resize->control, slot)->worker;

    eep_resize_block(resize, EEP_BLOCK_PAUSE);
    eep_participant_abort_requests(resize, slot);
    resize->host->set_pause(resize->host_self, worker, EEP_PAUSE_ALL);
    resize->host->set_gpu_use(resize->host_self, worker, EEP_GPU_STALLED);
}

/* After the resize, after it was undone, or because a recovery takes over. */
static void enter_serving(EepResize *resize, guint slot, EepParticipantEvent cause)
{
    EepWorkerId worker = eep_control_member(resize->control, slot)->worker;

    if (cause == EEP_PARTICIPANT_RESET)
        resize->host->set_pause(resize->host_self, worker, EEP_PAUSE_NONE);
    else
        eep_resize_send(resize, slot,
                        resize->control->coordinator.state == EEP_COORDINATOR_ROLLING_BACK
                            ? EEP_NOTE_UNDONE
                            : EEP_NOTE_SETTLED);
}

static void enter_undoing(EepResize *resize, guint slot)
{
    const EepMember *member = eep_control_member(resize->control, slot);

    if (!member->is_member)
        return;
    resize->host->set_pause(resize->host_self, member->worker, EEP_PAUSE_NONE);
    resize->host->set_gpu_use(resize->host_self, member->worker, EEP_GPU_SERVING);
}

static void enter_gone(EepResize *resize, guint slot)
{
    const EepMember *member = eep_control_member(resize->control, slot);

    resize->host->release_engine(resize->host_self, member->worker);
    if (member->role == EEP_WHO_REMOVING || member->role == EEP_WHO_NEW)
        eep_resize_send(resize, slot, EEP_NOTE_GONE);
}

/* What entering a state does, before the rows of its stage, if it has any, are begun. */
static void enter_state(EepResize *resize, guint slot, EepParticipantState state,
                        EepParticipantEvent cause)
{
    EepWorkerId worker = eep_control_member(resize->control, slot)->worker;

    switch (state) {
    case EEP_PARTICIPANT_SERVING:
        enter_serving(resize, slot, cause);
        break;
    case EEP_PARTICIPANT_READY:
        eep_resize_send(resize, slot, EEP_NOTE_READY);
        break;
    case EEP_PARTICIPANT_PAUSING:
        enter_pausing(resize, slot, cause == EEP_PARTICIPANT_PAUSE_ABORT);
        break;
    case EEP_PARTICIPANT_PAUSED:
        eep_resize_block(resize, EEP_BLOCK_PAUSE);
        eep_resize_send(resize, slot, EEP_NOTE_PAUSED);
        break;
    case EEP_PARTICIPANT_STOPPING:
        enter_stopping(resize, slot);
        break;
    case EEP_PARTICIPANT_COMMITTED:
        eep_resize_send(resize, slot, EEP_NOTE_COMMITTED);
        break;
    case EEP_PARTICIPANT_RESUMING:
        resize->host->set_pause(resize->host_self, worker, EEP_PAUSE_NONE);
        break;
    case EEP_PARTICIPANT_SETTLING:
        resize->host->set_gpu_use(resize->host_self, worker, EEP_GPU_SERVING);
        eep_resize_send(resize, slot, EEP_NOTE_RESUMED);
        break;
    case EEP_PARTICIPANT_UNDOING:
        enter_undoing(resize, slot);
        break;
    case EEP_PARTICIPANT_GONE:
        enter_gone(resize, slot);
        break;
    case EEP_PARTICIPANT_BROKEN:
        eep_resize_send(resize, slot, EEP_NOTE_FAILED);
        break;
    default:
        break;
    }
}

gboolean eep_participant_handle(EepResize *resize, guint slot, EepParticipantEvent event)
{
    EepParticipant *participant = eep_control_participant(resize->control, slot);
    EepParticipantState from = participant->state, to = eep_participant_next(from, event);
    EepResizeChange change;

    if (to == EEP_PARTICIPANT_STATE_COUNT)
        return FALSE;
    if (to != from) {
        change = (EepResizeChange){.machine = "participant",
                                   .worker = eep_control_member(resize->control, slot)->worker,
                                   .from = eep_participant_state_names[from],
                                   .to = eep_participant_state_names[to],
                                   .cause = eep_participant_event_names[event]};
        participant->state = to;
        resize->host->changed(resize->host_self, &change);
        enter_state(resize, slot, to, event);
    }
    if (event == EEP_PARTICIPANT_OPEN)
        eep_row_arrive(resize, slot);
    else if (eep_participant_stage(to) != EEP_STAGE_COUNT)
        advance(resize, slot);
    return TRUE;
}

void eep_participants_check_pause(EepResize *resize)
{
    EepControl *control = resize->control;
    const EepGroup *serving = eep_control_serving(control);
    guint n_pausing = 0;

    for (guint slot = 0; slot < control->n_slots; slot++) {
        const EepParticipant *participant = eep_control_participant(control, slot);

        n_pausing += eep_control_member(control, slot)->is_member && !participant->is_stopped &&
                     participant->state == EEP_PARTICIPANT_PAUSING;
    }
    if (n_pausing == 0 || n_pausing != serving->n_engines)
        return;
    for (guint rank = 0; rank < serving->n_engines; rank++)
        eep_participant_handle(resize, eep_control_find(control, eep_group_worker(serving, rank)),
                               EEP_PARTICIPANT_CONSENSUS);
}
