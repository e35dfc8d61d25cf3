/* Engines that are lost, and the recoveries that follow. Physically an engine stops; some time
 * later somebody notices, and only then does the machine know. A recovery is a resize like any
 * other, with rows of its own, which begins with the forwards standing still. */
#include "core/resize/resize_machine.h"

static gboolean is_alive(const EepControl *control, guint slot)
{
    return eep_control_member(control, slot)->worker != 0 &&
           !eep_control_participant(control, slot)->is_stopped;
}

void eep_resize_worker_stopped(EepResize *resize, EepWorkerId worker)
{
    guint slot = eep_control_find(resize->control, worker);

    if (slot != EEP_SLOT_NONE)
        eep_control_participant(resize->control, slot)->is_stopped = TRUE;
}

void eep_resize_worker_healed(EepResize *resize, EepWorkerId worker)
{
    guint slot = eep_control_find(resize->control, worker);

    if (slot == EEP_SLOT_NONE)
        return;
    eep_control_participant(resize->control, slot)->is_stopped = FALSE;
    eep_resize_run(resize, FALSE);
}

/* Everything is being ended, to be started anew, and this one is among it. */
static gboolean is_ended_anyway(const EepResize *resize, guint slot)
{
    return resize->control->coordinator.state == EEP_COORDINATOR_STOPPING &&
           eep_resize_scheme(resize)->replaces_all &&
           eep_control_member(resize->control, slot)->role == EEP_WHO_REMOVING;
}

gboolean eep_resize_ends_anyway(const EepResize *resize, EepWorkerId worker)
{
    guint slot = eep_control_find(resize->control, worker);

    return slot != EEP_SLOT_NONE && is_ended_anyway(resize, slot);
}

/* Whether the resize can go on without it: it is leaving, or the new size serves already. */
static gboolean can_do_without(const EepResize *resize, guint slot)
{
    EepCoordinatorState state = resize->control->coordinator.state;
    EepWho role = eep_control_member(resize->control, slot)->role;

    if (state == EEP_COORDINATOR_ROLLING_BACK)
        return TRUE;
    if (role == EEP_WHO_REMOVING && state >= EEP_COORDINATOR_STOPPING &&
        !eep_control_member(resize->control, slot)->is_member)
        return TRUE;
    return eep_resize_is_adopted(resize) &&
           (state == EEP_COORDINATOR_RESUMING || state == EEP_COORDINATOR_SETTLING ||
            eep_resize_scheme(resize)->rolls_back);
}

static void lose_in_resize(EepResize *resize, guint slot)
{
    EepMember *member = eep_control_member(resize->control, slot);

    if (is_ended_anyway(resize, slot)) {
        member->role = EEP_WHO_LOST;
        eep_rows_forget(resize, slot);
        eep_participant_handle(resize, slot, EEP_PARTICIPANT_EXITED);
        eep_coordinator_check_answers(resize);
    } else if (can_do_without(resize, slot)) {
        member->role = EEP_WHO_LOST;
        eep_rows_forget(resize, slot);
        eep_coordinator_check_answers(resize);
    } else if (eep_coordinator_can_undo(resize)) {
        member->role = EEP_WHO_LOST;
        eep_coordinator_undo(resize, EEP_UNDO_LOSS);
    } else {
        eep_coordinator_handle(resize, EEP_COORDINATOR_FAILURE);
    }
}

/* What a resize that got stuck, or only prepared, has left behind: engines that are not of the
 * serving group go, and its members wait for what comes. */
static void give_up_leftovers(EepResize *resize)
{
    EepControl *control = resize->control;

    eep_rows_abort(resize);
    eep_roster_set_leaving_routable(resize, TRUE);
    for (guint slot = 0; slot < control->n_slots; slot++) {
        const EepMember *member = eep_control_member(control, slot);

        /* One that hangs, and nobody knows, finds it when it wakes. */
        if (member->worker != 0 && member->is_member && !member->is_lost &&
            eep_control_participant(control, slot)->state != EEP_PARTICIPANT_GONE)
            eep_participant_handle(resize, slot, EEP_PARTICIPANT_RESET);
    }
    eep_roster_clear(resize);
}

/* What was prepared with an engine that is lost is of no use. */
static void drop_prepared(EepResize *resize)
{
    give_up_leftovers(resize);
    eep_coordinator_handle(resize, EEP_COORDINATOR_NOTHING_KEPT);
}

void eep_resize_worker_lost(EepResize *resize, EepWorkerId worker)
{
    EepControl *control = resize->control;
    guint slot = eep_control_find(control, worker);
    EepMember *member;

    if (slot == EEP_SLOT_NONE || eep_control_member(control, slot)->is_lost)
        return;
    member = eep_control_member(control, slot);
    eep_control_participant(control, slot)->is_stopped = TRUE;
    member->is_lost = TRUE;
    control->coordinator.attempts = 0;
    if (member->is_member)
        eep_resize_block(resize, EEP_BLOCK_LOSS);
    if (eep_resize_is_running(resize))
        lose_in_resize(resize, slot);
    else if (control->coordinator.state == EEP_COORDINATOR_PREPARED)
        drop_prepared(resize);
    eep_resize_run(resize, FALSE);
}

/* Lost engines whose place is to be taken at once. */
static void bury(EepResize *resize)
{
    EepControl *control = resize->control;

    for (guint slot = 0; slot < control->n_slots; slot++)
        if (eep_control_member(control, slot)->worker != 0 &&
            eep_control_member(control, slot)->is_lost)
            eep_participant_handle(resize, slot, EEP_PARTICIPANT_EXITED);
}

/* A loss that was none, now that the engine is itself again: it gives up what it was at. What was
 * said to it meanwhile belongs to a resize that has ended without it. */
static void welcome_back(EepResize *resize)
{
    EepControl *control = resize->control;

    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepMember *member = eep_control_member(control, slot);
        EepParticipant *participant = eep_control_participant(control, slot);

        if (!is_alive(control, slot) || !member->is_lost)
            continue;
        member->is_lost = FALSE;
        participant->notes_to = participant->notes_from = 0;
        if (member->is_member && participant->state != EEP_PARTICIPANT_GONE)
            eep_participant_handle(resize, slot, EEP_PARTICIPANT_RESET);
    }
}

/* Engines of the serving group that could go on. A restart that got stuck may have ended some. */
static guint count_survivors(const EepResize *resize)
{
    const EepControl *control = resize->control;
    guint n = 0;

    for (guint slot = 0; slot < control->n_slots; slot++)
        n += eep_control_member(control, slot)->worker != 0 &&
             eep_control_member(control, slot)->is_member &&
             !eep_control_member(control, slot)->is_lost &&
             eep_control_participant(control, slot)->state != EEP_PARTICIPANT_GONE;
    return n;
}

void eep_resize_start_recovery(EepResize *resize)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    EepRecovery recovery = (EepRecovery)coordinator->recovery;
    const EepGeneration *scheme = eep_generation_of_recovery(recovery);
    g_autofree char *refusal = NULL;
    guint n_engines = eep_control_serving(resize->control)->n_engines, n_left;
    EepResizeRecord record;

    coordinator->recovery = EEP_RECOVERY_NONE;
    coordinator->attempts++;
    if (coordinator->state != EEP_COORDINATOR_IDLE)
        give_up_leftovers(resize);
    if (recovery == EEP_RECOVERY_RETRY)
        welcome_back(resize);
    n_left = count_survivors(resize);
    eep_resize_record_init(&record, resize->params.pool, resize->recovery_id, "recovery",
                           eep_resize_now(resize));
    record.generation = scheme->name;
    record.from = n_engines;
    record.to = scheme->replaces_all ? n_engines : n_left;
    refusal = eep_rules_recovery_refusal(resize, recovery, n_left);
    if (refusal != NULL) {
        record.outcome = EEP_OUTCOME_REFUSED;
        g_strlcpy(record.reason, refusal, sizeof record.reason);
        resize->host->told(resize->host_self, &record);
        return;
    }
    coordinator->scheme = recovery;
    if (scheme->replaces_all)
        bury(resize);
    eep_resize_begin(resize, &record);
}

void eep_resize_recover(EepResize *resize, EepRecovery recovery, const char *id)
{
    g_return_if_fail(eep_generation_of_recovery(recovery) != NULL);
    g_strlcpy(resize->recovery_id, id != NULL ? id : "", sizeof resize->recovery_id);
    resize->control->coordinator.recovery = recovery;
    if (eep_resize_is_running(resize))
        eep_rows_give_up(resize);
    eep_resize_start_next(resize);
    eep_resize_run(resize, FALSE);
}
