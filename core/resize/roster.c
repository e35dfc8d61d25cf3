/* Who takes part in a resize, and as what. */
#include <string.h>

#include "core/resize/resize_machine.h"

static gboolean has_worker(const EepWorkerId *workers, guint n, EepWorkerId worker)
{
    for (guint i = 0; i < n; i++)
        if (workers[i] == worker)
            return TRUE;
    return FALSE;
}

static EepWho role_of(const EepResize *resize, const EepMember *member, guint rank,
                      const EepWorkerId *leaving, guint n_leaving)
{
    guint n_staying = resize->control->coordinator.from - n_leaving;

    guint slot = eep_control_find(resize->control, member->worker);

    if (member->is_lost ||
        eep_control_participant(resize->control, slot)->state == EEP_PARTICIPANT_GONE)
        return EEP_WHO_LOST;
    if (eep_resize_scheme(resize)->replaces_all)
        return EEP_WHO_REMOVING;
    if (leaving != NULL)
        return has_worker(leaving, n_leaving, member->worker) ? EEP_WHO_REMOVING : EEP_WHO_STAYING;
    return rank < n_staying ? EEP_WHO_STAYING : EEP_WHO_REMOVING;
}

static void set_place(EepResize *resize, guint slot, guint rank)
{
    guint32 role = eep_control_member(resize->control, slot)->role;

    resize->places[slot] = (EepResizePlace){.role = role & EEP_WHO_ALL, .rank = rank};
}

void eep_roster_book(EepResize *resize)
{
    EepControl *control = resize->control;
    g_autofree guint *slots = g_new(guint, control->n_slots);
    guint n = eep_control_order(control, slots);

    resize->record.n_ranks = 0;
    for (guint i = 0; i < n; i++) {
        const EepResizePlace *place = &resize->places[slots[i]];

        if (place->role != EEP_WHO_NOBODY)
            eep_resize_record_add_rank(
                &resize->record, place->role,
                eep_who_name((EepWho)place->role, control->coordinator.is_up), place->rank);
    }
}

void eep_roster_book_end(EepResize *resize, guint slot, guint phase)
{
    const EepResizePlace *place = &resize->places[slot];

    if (place->role != EEP_WHO_NOBODY)
        eep_resize_record_end_part(&resize->record, phase, place->role, place->rank,
                                   eep_resize_now(resize));
}

void eep_roster_book_absent(EepResize *resize, guint phase)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (eep_control_member(resize->control, slot)->role == EEP_WHO_LOST)
            eep_roster_book_end(resize, slot, phase);
}

/* The highest ranks leave, or those that the pool chooses; who stays keeps its order. */
void eep_roster_assign(EepResize *resize)
{
    EepControl *control = resize->control;
    const EepGeneration *scheme = eep_resize_scheme(resize);
    const EepGroup *serving = eep_control_serving(control);
    g_autofree EepWorkerId *staying = g_new(EepWorkerId, control->capacity);
    g_autofree EepWorkerId *leaving = NULL;
    guint from = control->coordinator.from, to = control->coordinator.to;
    guint n_leaving = scheme->is_recovery || to >= from ? 0 : from - to, n_staying = 0;

    if (scheme->chooses_leaving && n_leaving > 0) {
        leaving = g_new(EepWorkerId, n_leaving);
        resize->host->choose_leaving(resize->host_self, n_leaving, leaving);
    }
    memset(resize->places, 0, control->n_slots * sizeof *resize->places);
    for (guint rank = 0; rank < serving->n_engines; rank++) {
        EepWorkerId worker = eep_group_worker(serving, rank);
        EepMember *member = eep_control_member(control, eep_control_find(control, worker));

        member->role = (guint8)role_of(resize, member, rank, leaving, n_leaving);
        set_place(resize, eep_control_find(control, worker), rank);
        if (member->role == EEP_WHO_STAYING)
            staying[n_staying++] = worker;
    }
    eep_group_set(eep_control_target(control), serving->epoch + 1, n_staying, staying);
    eep_roster_book(resize);
}

static gboolean launches_in(const EepResize *resize, EepStage stage)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].who & EEP_WHO_NEW)
            return plan->rows[i].stage == stage;
    return FALSE;
}

void eep_roster_launch(EepResize *resize, EepStage stage)
{
    EepControl *control = resize->control;
    EepGroup *target = eep_control_target(control);
    g_autofree EepWorkerId *workers = g_new(EepWorkerId, control->capacity);
    guint n = target->n_engines;

    if (!launches_in(resize, stage))
        return;
    for (guint rank = 0; rank < n; rank++)
        workers[rank] = eep_group_worker(target, rank);
    for (; n < control->coordinator.to; n++) {
        workers[n] = resize->host->launch_engine(resize->host_self, n);
        g_assert(workers[n] != 0);
        set_place(resize, eep_control_take_slot(control, workers[n], EEP_WHO_NEW), n);
        resize->host->set_gpu_use(resize->host_self, workers[n], EEP_GPU_PREPARING);
    }
    eep_group_set(target, target->epoch, n, workers);
    eep_roster_book(resize);
}

static void forget_engine(EepResize *resize, guint slot)
{
    EepControl *control = resize->control;
    const EepMember *member = eep_control_member(control, slot);

    if (eep_control_participant(control, slot)->state != EEP_PARTICIPANT_GONE)
        resize->host->release_engine(resize->host_self, member->worker);
    eep_control_free_slot(control, slot);
}

void eep_roster_clear(EepResize *resize)
{
    EepControl *control = resize->control;

    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepMember *member = eep_control_member(control, slot);
        EepParticipant *participant = eep_control_participant(control, slot);

        if (member->worker == 0)
            continue;
        if (!member->is_member) {
            forget_engine(resize, slot);
            continue;
        }
        member->role = EEP_WHO_NOBODY;
        participant->entered = participant->done = participant->arrived = 0;
        *eep_control_heard(control, slot) = 0;
    }
    memset(control->rows, 0, sizeof control->rows);
    /* Where nobody is left who could have ended a wait. */
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_BARRIER);
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_LEAVING);
    if (control->blocked_by & EEP_BLOCK_LOSS)
        eep_resize_unblock(resize, ~(guint)EEP_BLOCK_LOSS);
    eep_group_set(eep_control_target(control), 0, 0, NULL);
    control->coordinator.from = control->coordinator.to = 0;
    control->coordinator.is_up = FALSE;
    control->coordinator.scheme = 0;
    control->coordinator.undo = 0;
}

void eep_roster_set_use(EepResize *resize, EepGpuUse use)
{
    const EepGroup *serving = eep_control_serving(resize->control);

    for (guint rank = 0; rank < serving->n_engines; rank++) {
        EepWorkerId worker = eep_group_worker(serving, rank);
        guint slot = eep_control_find(resize->control, worker);

        if (!eep_control_member(resize->control, slot)->is_lost)
            resize->host->set_gpu_use(resize->host_self, worker, use);
    }
}

void eep_roster_set_leaving_routable(EepResize *resize, gboolean is_routable)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++) {
        const EepMember *member = eep_control_member(resize->control, slot);

        if (member->role == EEP_WHO_REMOVING && member->is_member && !member->is_lost &&
            eep_control_participant(resize->control, slot)->state != EEP_PARTICIPANT_GONE)
            resize->host->set_routable(resize->host_self, member->worker, is_routable);
    }
}
