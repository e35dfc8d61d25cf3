/* The invariants of the control state; what each state promises stands above its table. */
#include "core/resize/control.h"
#include "core/resize/coordinator.h"
#include "core/resize/participant.h"
#include "core/resize/resize.h"

typedef struct {
    const EepControl *control;
    const EepGeneration *scheme;
    const EepGenerationPlan *plan;
    GError **error;
} Check;

/* EEP_SLOT_NONE: the coordinator. */
static gboolean broken(const Check *check, guint slot, const char *what)
{
    const EepControl *control = check->control;

    if (slot == EEP_SLOT_NONE)
        g_set_error(check->error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_INVARIANT,
                    "resize coordinator %s: %s",
                    eep_coordinator_state_names[control->coordinator.state], what);
    else
        g_set_error(check->error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_INVARIANT,
                    "resize participant %u %s: %s", eep_control_member(control, slot)->worker,
                    eep_participant_state_names[eep_control_participant(control, slot)->state],
                    what);
    return FALSE;
}

#define HOLDS(slot, condition, what)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return broken(check, slot, what);                                                      \
    } while (0)

/* Bits of the rows that belong to stages up to and including `stage`. */
static guint32 rows_up_to(const Check *check, EepStage stage)
{
    guint32 bits = 0;

    for (guint i = 0; i < check->plan->n_rows; i++)
        if (check->plan->rows[i].stage <= stage)
            bits |= 1u << i;
    return bits;
}

static gboolean is_adopted(const EepControl *control)
{
    return eep_control_serving(control)->epoch == eep_control_target(control)->epoch;
}

static gboolean check_rows(const Check *check)
{
    const EepControl *control = check->control;

    for (guint i = 0; i < EEP_CONTROL_MAX_ROWS; i++) {
        const EepRow *row = &control->rows[i];
        guint n_entered = 0, n_done = 0;

        for (guint slot = 0; slot < control->n_slots; slot++) {
            n_entered += eep_control_participant(control, slot)->entered >> i & 1;
            n_done += eep_control_participant(control, slot)->done >> i & 1;
        }
        HOLDS(EEP_SLOT_NONE, row->n_entered == n_entered && row->n_done == n_done,
              "a row's counts are not its participants'");
        HOLDS(EEP_SLOT_NONE, row->op == 0 || row->state != EEP_ROW_WAITING,
              "a row that has not begun has an operation");
        if (row->state == EEP_ROW_WAITING)
            continue;
        HOLDS(EEP_SLOT_NONE, i < check->plan->n_rows, "a row runs that the plan has not");
        HOLDS(EEP_SLOT_NONE, n_entered >= eep_control_count(control, check->plan->rows[i].who),
              "a row began before all who take part had come to it");
        HOLDS(EEP_SLOT_NONE, (row->state == EEP_ROW_DONE) == (n_done == n_entered),
              "a row is done before its participants are, or after");
        HOLDS(EEP_SLOT_NONE,
              row->state == EEP_ROW_READY || row->pass != EEP_PASS_FIRST || row->n_arrived > 0,
              "a barrier waits for the others, and nobody is there");
        HOLDS(EEP_SLOT_NONE,
              row->state != EEP_ROW_RUNNING || !check->plan->rows[i].blocks ||
                  control->blocked_by != 0,
              "a row that blocks forwards runs while steps may begin");
    }
    return TRUE;
}

static gboolean check_idle(const Check *check)
{
    const EepControl *control = check->control;

    HOLDS(EEP_SLOT_NONE, eep_control_target(control)->epoch == 0, "there is a target group");
    HOLDS(EEP_SLOT_NONE, !control->coordinator.is_refusing, "new requests get 503");
    HOLDS(EEP_SLOT_NONE, (control->blocked_by & ~(guint32)EEP_BLOCK_LOSS) == 0,
          "no step may begin");
    for (guint i = 0; i < EEP_RESIZE_TIMER_COUNT; i++)
        HOLDS(EEP_SLOT_NONE, control->coordinator.timers[i] == 0, "a timer is armed");
    for (guint i = 0; i < EEP_CONTROL_MAX_ROWS; i++)
        HOLDS(EEP_SLOT_NONE, control->rows[i].state == EEP_ROW_WAITING, "a row has begun");
    for (guint slot = 0; slot < control->n_slots; slot++) {
        const EepParticipant *participant = eep_control_participant(control, slot);

        if (eep_control_member(control, slot)->worker == 0)
            continue;
        if (eep_control_member(control, slot)->is_lost)
            continue;
        HOLDS(slot, participant->state == EEP_PARTICIPANT_SERVING, "not serving while idle");
        HOLDS(slot, eep_control_member(control, slot)->role == EEP_WHO_NOBODY, "has a role");
        HOLDS(slot, participant->notes_to == 0 && participant->notes_from == 0,
              "a note is under way");
    }
    return TRUE;
}

/* Whether new requests get 503 in this state. A recovery may find that they do already. */
static gboolean check_refusing(const Check *check)
{
    const EepCoordinator *coordinator = &check->control->coordinator;
    EepCoordinatorState state = coordinator->state;
    gboolean is_commit = state >= EEP_COORDINATOR_DRAINING && state <= EEP_COORDINATOR_RESUMING;
    gboolean refuses =
        (is_commit && check->scheme->refuses != EEP_REFUSES_NEVER) ||
        (state == EEP_COORDINATOR_PREPARING && check->scheme->refuses == EEP_REFUSES_WHOLE);

    if (check->scheme->is_recovery && state < EEP_COORDINATOR_SETTLING)
        return TRUE;
    HOLDS(EEP_SLOT_NONE, coordinator->is_refusing == (guint32)refuses,
          refuses ? "new requests are admitted" : "new requests get 503");
    return TRUE;
}

static gboolean check_coordinator(const Check *check)
{
    const EepControl *control = check->control;
    EepCoordinatorState state = control->coordinator.state;
    gboolean stops = check->scheme->pauses || check->scheme->replaces_all;
    gboolean is_paused = (control->blocked_by & EEP_BLOCK_PAUSE) != 0;
    guint32 prepare_rows = rows_up_to(check, EEP_STAGE_PREPARE);

    if (state == EEP_COORDINATOR_IDLE)
        return check_idle(check);
    if (state == EEP_COORDINATOR_STUCK)
        return TRUE;
    if (!check_refusing(check))
        return FALSE;
    if (state <= EEP_COORDINATOR_STOPPING || state == EEP_COORDINATOR_ROLLING_BACK)
        HOLDS(EEP_SLOT_NONE, !is_adopted(control), "the target group serves already");
    if (state == EEP_COORDINATOR_RESUMING || state == EEP_COORDINATOR_SETTLING)
        HOLDS(EEP_SLOT_NONE, is_adopted(control), "the old group still serves");
    if ((state <= EEP_COORDINATOR_DRAINING && !check->scheme->is_recovery) ||
        state == EEP_COORDINATOR_SETTLING)
        HOLDS(EEP_SLOT_NONE, !is_paused || control->blocked_by & EEP_BLOCK_LOSS,
              "no step may begin");
    if (state == EEP_COORDINATOR_COMMITTING && stops)
        HOLDS(EEP_SLOT_NONE, is_paused, "steps may begin");
    if (state <= EEP_COORDINATOR_PAUSING)
        for (guint i = 0; i < check->plan->n_rows; i++)
            HOLDS(EEP_SLOT_NONE,
                  prepare_rows & 1u << i || control->rows[i].state == EEP_ROW_WAITING,
                  "a row of a later stage has begun");
    return TRUE;
}

static gboolean check_stopped(const Check *check, guint slot, EepParticipantState state)
{
    const EepControl *control = check->control;
    const EepMember *member = eep_control_member(control, slot);
    const EepParticipant *participant = eep_control_participant(control, slot);

    HOLDS(slot,
          control->blocked_by != 0 ||
              (state == EEP_PARTICIPANT_COMMITTING && !check->scheme->pauses) ||
              (!member->is_member && control->coordinator.state == EEP_COORDINATOR_ROLLING_BACK) ||
              (state == EEP_PARTICIPANT_RESUMING && participant->done == participant->entered) ||
              (state == EEP_PARTICIPANT_COMMITTING && member->role == EEP_WHO_REMOVING),
          "steps may begin");
    if (state == EEP_PARTICIPANT_PAUSED)
        for (guint i = 0; i < control->n_slots; i++)
            HOLDS(slot, eep_control_participant(control, i)->state != EEP_PARTICIPANT_PAUSING,
                  "another member is still pausing");
    if (state == EEP_PARTICIPANT_STOPPING)
        HOLDS(slot, member->role == EEP_WHO_REMOVING, "it is not to leave");
    if (state == EEP_PARTICIPANT_COMMITTED || state == EEP_PARTICIPANT_RESUMING)
        HOLDS(slot, member->is_member && is_adopted(control), "not a member of the new group");
    return TRUE;
}

static gboolean check_participant(const Check *check, guint slot)
{
    const EepControl *control = check->control;
    const EepMember *member = eep_control_member(control, slot);
    const EepParticipant *participant = eep_control_participant(control, slot);
    guint32 prepare_rows = rows_up_to(check, EEP_STAGE_PREPARE);
    guint32 earlier_rows = rows_up_to(check, EEP_STAGE_RESUME);

    HOLDS(slot, (participant->done & ~participant->entered) == 0, "a row is done but not entered");
    HOLDS(slot,
          member->is_member ==
              (eep_group_rank(eep_control_serving(control), member->worker) != EEP_RANK_NONE),
          "the roster and the serving group disagree");
    switch ((EepParticipantState)participant->state) {
    case EEP_PARTICIPANT_ABSENT:
        HOLDS(slot, !member->is_member && participant->entered == 0, "absent, yet takes part");
        return TRUE;
    case EEP_PARTICIPANT_SERVING:
        HOLDS(slot, member->is_member, "not a member of the serving group");
        return TRUE;
    case EEP_PARTICIPANT_READY:
        HOLDS(slot, participant->done == participant->entered, "ready with a row not done");
        HOLDS(slot, (participant->entered & ~prepare_rows) == 0, "has begun a later stage");
        return TRUE;
    case EEP_PARTICIPANT_PREPARING:
        HOLDS(slot, (participant->entered & ~prepare_rows) == 0, "has begun a later stage");
        return TRUE;
    case EEP_PARTICIPANT_PAUSING:
        HOLDS(slot, member->is_member && !(control->blocked_by & EEP_BLOCK_PAUSE),
              "waits for steps that cannot begin");
        return TRUE;
    case EEP_PARTICIPANT_SETTLING:
        HOLDS(slot, member->is_member && is_adopted(control), "not a member of the new group");
        HOLDS(slot, (participant->entered & earlier_rows & ~participant->done) == 0,
              "a row of an earlier stage is not done");
        return TRUE;
    case EEP_PARTICIPANT_UNDOING:
        HOLDS(slot, !is_adopted(control), "undoes what has been adopted");
        HOLDS(slot, (participant->entered & rows_up_to(check, EEP_STAGE_SETTLE)) == 0,
              "has begun a stage while it undoes");
        return TRUE;
    case EEP_PARTICIPANT_GONE:
        HOLDS(slot, !member->is_member || control->blocked_by != 0,
              "gone, yet steps may begin with it");
        return TRUE;
    case EEP_PARTICIPANT_BROKEN:
        return TRUE;
    default:
        return check_stopped(check, slot, participant->state);
    }
}

gboolean eep_control_check(const EepControl *control, const EepGeneration *scheme, GError **error)
{
    const EepGenerationPlan *plan = control->coordinator.is_up ? &scheme->up : &scheme->down;
    const Check check = {control, scheme, plan, error};

    if (eep_control_serving(control)->epoch == 0)
        return TRUE;
    if (!check_rows(&check) || !check_coordinator(&check))
        return FALSE;
    for (guint slot = 0; slot < control->n_slots; slot++) {
        const EepMember *member = eep_control_member(control, slot);

        if (member->worker != 0 && !member->is_lost && !check_participant(&check, slot))
            return FALSE;
    }
    return TRUE;
}
