#include "core/resize/resize.h"

#include <string.h>

#include "core/resize/resize_machine.h"

G_DEFINE_QUARK(eep - resize - error - quark, eep_resize_error)

/* Bits of a timer's id that say which it is; the rest counts. */
#define TIMER_KIND_BITS 3
G_STATIC_ASSERT(EEP_RESIZE_TIMER_COUNT <= 1 << TIMER_KIND_BITS);
G_STATIC_ASSERT(EEP_PARTICIPANT_EVENT_COUNT <= 32 && EEP_NOTE_COUNT <= 32);

void eep_resize_params_init(EepResizeParams *params)
{
    *params = (EepResizeParams){
        .generation = "g2.1",
        .tensor_parallel_size = 1,
        .all2all_backend = "allgather_reducescatter",
        .is_elastic_backend = TRUE,
        .enable_elastic_ep = TRUE,
        .use_async = TRUE,
        .captures_graphs = TRUE,
        .drain_timeout = 120 * EEP_NS_PER_S,
        .drain_poll = EEP_NS_PER_S,
        .leaving_drain = 10 * EEP_NS_PER_S,
        .first_pass = 5 * EEP_NS_PER_S,
        .consensus_cadence = 32,
    };
    for (guint i = 0; i < EEP_WAIT_COUNT; i++)
        params->deadline[i] = EEP_TIME_NEVER;
}

static gboolean check_params(const EepResizeParams *params, GError **error)
{
    const char *wrong = NULL;

    if (eep_generation_find(params->generation) == NULL)
        wrong = "no such generation";
    else if (params->max_engines == 0 || params->max_engines > 65536)
        wrong = "max_engines: 1 to 65536";
    else if (params->tensor_parallel_size == 0)
        wrong = "tensor_parallel_size: 1 or more";
    else if (params->consensus_cadence == 0)
        wrong = "consensus_cadence: 1 or more";
    else if (params->on_busy == EEP_ON_BUSY_SUPERSEDE &&
             !eep_generation_find(params->generation)->rolls_back)
        wrong = "on_busy supersede needs a generation with a way back; queue or refuse";
    else if (params->drain_timeout <= 0 || params->drain_poll <= 0)
        wrong = "drain_timeout and drain_poll: longer than 0";
    else if (params->control_latency < 0 || params->leaving_drain < 0 || params->first_pass < 0)
        wrong = "control_latency, leaving_drain and first_pass: 0 or longer";
    if (wrong == NULL)
        return TRUE;
    g_set_error(error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_PARAMS, "resize generation %s: %s",
                params->generation != NULL ? params->generation : "(none)", wrong);
    return FALSE;
}

static gboolean has_waiting_row(const EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++) {
        EepRowState state = resize->control->rows[i].state;

        if (state == EEP_ROW_READY ||
            (state == EEP_ROW_RUNNING && plan->rows[i].act == EEP_ACT_DRAIN))
            return TRUE;
    }
    return FALSE;
}

static gboolean has_pausing(const EepResize *resize)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (eep_control_member(resize->control, slot)->is_member &&
            eep_control_participant(resize->control, slot)->state == EEP_PARTICIPANT_PAUSING)
            return TRUE;
    return FALSE;
}

void eep_resize_update_wants(EepResize *resize)
{
    const EepControl *control = resize->control;
    gboolean is_pausing = has_pausing(resize), has_mail = FALSE;

    for (guint slot = 0; slot < control->n_slots; slot++)
        has_mail |= eep_control_member(control, slot)->is_member &&
                    eep_control_participant(control, slot)->inbox != 0;
    resize->wants.is_idle = !eep_resize_is_running(resize);
    resize->wants.wants_boundary = is_pausing || has_mail || has_waiting_row(resize);
    resize->wants.wants_steps =
        (is_pausing || eep_rows_hold_members(resize)) && control->blocked_by == 0;
}

EepResize *eep_resize_new(const EepResizeHost *host, gpointer host_self,
                          const EepResizeParams *params, GError **error)
{
    EepResize *resize;

    g_return_val_if_fail(host != NULL && params != NULL, NULL);
    if (!check_params(params, error))
        return NULL;
    resize = g_new0(EepResize, 1);
    resize->host = host;
    resize->host_self = host_self;
    resize->params = *params;
    resize->generation = eep_generation_find(params->generation);
    resize->params.generation = resize->generation->name;
    resize->control = eep_control_new(params->max_engines, params->tensor_parallel_size);
    resize->control->slots_per_rank = params->slots_per_rank;
    resize->places = g_new0(EepResizePlace, resize->control->n_slots);
    resize->span = EEP_RESIZE_MAX_PHASES;
    eep_resize_record_init(&resize->record, params->pool, NULL, NULL, 0);
    eep_resize_update_wants(resize);
    return resize;
}

void eep_resize_free(EepResize *resize)
{
    if (resize == NULL)
        return;
    eep_control_free(resize->control);
    g_free(resize->places);
    g_free(resize);
}

void eep_resize_start(EepResize *resize, guint n_engines, const EepWorkerId *workers)
{
    EepControl *control = resize->control;

    g_return_if_fail(eep_control_serving(control)->epoch == 0);
    g_return_if_fail(n_engines > 0 && n_engines <= control->capacity);
    eep_group_set(eep_control_serving(control), 1, n_engines, workers);
    for (guint rank = 0; rank < n_engines; rank++) {
        guint slot = eep_control_take_slot(control, workers[rank], EEP_WHO_NOBODY);

        eep_control_member(control, slot)->is_member = TRUE;
        eep_control_participant(control, slot)->state = EEP_PARTICIPANT_SERVING;
    }
}

const EepGroup *eep_resize_group(const EepResize *resize)
{
    return eep_control_serving(resize->control);
}

/* -- for the tables -- */

void eep_resize_send(EepResize *resize, guint slot, EepNoteWord word)
{
    EepWorkerId worker = eep_control_member(resize->control, slot)->worker;
    EepParticipant *participant = eep_control_participant(resize->control, slot);
    gboolean is_down = eep_note_is_for_participant(word);
    EepNote note = {
        .word = word,
        .pool = resize->params.pool,
        .from = is_down ? 0 : worker,
        .to = is_down ? worker : 0,
        .serial = resize->control->coordinator.serial,
    };

    if (is_down)
        participant->notes_to |= 1u << word;
    else
        participant->notes_from |= 1u << word;
    resize->host->send_note(resize->host_self, &note, resize->params.control_latency);
}

void eep_resize_arm(EepResize *resize, EepResizeTimer timer, EepTime delay)
{
    EepControl *control = resize->control;
    guint64 id = control->next_timer++ << TIMER_KIND_BITS | timer;

    eep_resize_disarm(resize, timer);
    control->coordinator.timers[timer] = id;
    resize->host->start_timer(resize->host_self, id, delay);
}

void eep_resize_disarm(EepResize *resize, EepResizeTimer timer)
{
    guint64 *id = &resize->control->coordinator.timers[timer];

    if (*id != 0)
        resize->host->cancel_timer(resize->host_self, *id);
    *id = 0;
}

void eep_resize_set_stalled(EepResize *resize, gboolean is_stalled)
{
    if (resize->record.is_stalled != is_stalled)
        eep_resize_record_set_stalled(&resize->record, is_stalled, eep_resize_now(resize));
}

/* Engines that stand still for a row or for good are stalled; those that agreed to a pause have
 * been since they began to wait for the others. */
static void set_blocked_by(EepResize *resize, guint blocks)
{
    EepControl *control = resize->control;
    gboolean was_blocked = control->blocked_by != 0;

    control->blocked_by = blocks;
    if (was_blocked == (blocks != 0))
        return;
    eep_resize_set_stalled(resize, blocks != 0);
    eep_roster_set_use(resize, blocks != 0 ? EEP_GPU_STALLED : EEP_GPU_SERVING);
    resize->host->set_forwards_blocked(resize->host_self, blocks != 0);
}

void eep_resize_block(EepResize *resize, guint blocks)
{
    set_blocked_by(resize, resize->control->blocked_by | blocks);
}

void eep_resize_unblock(EepResize *resize, guint blocks)
{
    set_blocked_by(resize, resize->control->blocked_by & ~blocks);
}

/* Forwards stand still from one row that stops them to the next at the same instant. */
static void end_row_block(EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].blocks && resize->control->rows[i].state == EEP_ROW_RUNNING)
            return;
    eep_resize_unblock(resize, EEP_BLOCK_ROW);
}

guint eep_resize_begin_phase(EepResize *resize, const char *name, EepWho who, gboolean blocks)
{
    const char *who_name = eep_who_name(who, resize->control->coordinator.is_up);
    guint index = eep_resize_record_begin_phase(&resize->record, name, who_name, blocks,
                                                eep_resize_now(resize));

    if (index < EEP_RESIZE_MAX_PHASES)
        resize->record.phases[index].roles = who;
    eep_roster_book_absent(resize, index);
    resize->host->span_began(resize->host_self, &resize->record, name);
    return index;
}

void eep_resize_begin_span(EepResize *resize, const char *name, EepWho who, gboolean blocks)
{
    resize->span = eep_resize_begin_phase(resize, name, who, blocks);
}

void eep_resize_end_span(EepResize *resize)
{
    eep_resize_record_end_phase(&resize->record, resize->span, eep_resize_now(resize));
    resize->span = EEP_RESIZE_MAX_PHASES;
}

static gboolean may_act(const EepResize *resize, guint slot, gboolean may_members, gboolean is_held)
{
    const EepParticipant *participant = eep_control_participant(resize->control, slot);

    if (participant->inbox == 0 || participant->is_stopped)
        return FALSE;
    return !eep_control_member(resize->control, slot)->is_member || (may_members && !is_held);
}

/* Lets everybody act who may and has something to act upon, until nobody has. Whether a step is in
 * flight is asked once: the pool may begin one as soon as forwards are released, but the instant is
 * still the boundary before it. Members inside a forward that waits for the others do not come to
 * a barrier before that has ended. */
void eep_resize_run(EepResize *resize, gboolean in_boundary)
{
    EepControl *control = resize->control;
    gboolean may_members = in_boundary || !resize->host->is_stepping(resize->host_self);
    gboolean progressed;

    eep_rows_pass_barrier(resize, FALSE, in_boundary);
    if (may_members)
        eep_rows_poll_drain(resize, FALSE);
    do {
        gboolean is_held = eep_rows_hold_members(resize);

        progressed = FALSE;
        for (guint slot = 0; slot < control->n_slots; slot++) {
            EepParticipant *participant = eep_control_participant(control, slot);
            EepParticipantEvent event;

            if (!may_act(resize, slot, may_members, is_held))
                continue;
            event = (EepParticipantEvent)g_bit_nth_lsf(participant->inbox, -1);
            participant->inbox &= ~(1u << event);
            eep_participant_handle(resize, slot, event);
            progressed = TRUE;
        }
        progressed |= eep_rows_start_ready(resize, may_members, in_boundary);
    } while (progressed);
    end_row_block(resize);
    eep_resize_update_wants(resize);
#ifdef EEP_CHECK_INVARIANTS
    g_autoptr(GError) error = NULL;

    if (!eep_resize_check(resize, &error))
        g_error("%s", error->message);
#endif
}

/* -- what happened -- */

void eep_resize_note(EepResize *resize, const EepNote *note)
{
    EepControl *control = resize->control;
    gboolean is_down = eep_note_is_for_participant(note->word);
    EepWorkerId worker = is_down ? note->to : note->from;
    guint slot = worker != 0 ? eep_control_find(control, worker) : EEP_SLOT_NONE;
    EepParticipant *participant;
    guint32 *under_way;

    g_return_if_fail((guint)note->word < EEP_NOTE_COUNT);
    if (slot == EEP_SLOT_NONE || note->serial != control->coordinator.serial) {
        control->n_dropped++;
        return;
    }
    participant = eep_control_participant(control, slot);
    under_way = is_down ? &participant->notes_to : &participant->notes_from;
    if (!(*under_way & 1u << note->word)) {
        control->n_dropped++;
        return;
    }
    *under_way &= ~(1u << note->word);
    if (is_down)
        eep_participant_post(control, slot, (EepParticipantEvent)note->word);
    else
        eep_coordinator_hear(resize, slot, note->word);
    eep_resize_run(resize, FALSE);
}

gboolean eep_resize_op_done(EepResize *resize, const EepCompletion *completion)
{
    guint index = eep_row_of_op(resize, completion->id), slot = EEP_SLOT_NONE;

    if (index == EEP_CONTROL_MAX_ROWS)
        return FALSE;
    if (completion->worker != 0) {
        slot = eep_control_find(resize->control, completion->worker);
        if (slot == EEP_SLOT_NONE) {
            resize->control->n_dropped++;
            return TRUE;
        }
    }
    if (completion->done == EEP_DONE_OK)
        eep_row_complete(resize, index, slot);
    else
        eep_row_fail(resize, index, slot);
    eep_resize_run(resize, FALSE);
    return TRUE;
}

void eep_resize_boundary(EepResize *resize, guint64 step_counter)
{
    guint cadence =
        eep_resize_scheme(resize)->agrees_each_step ? 1 : resize->params.consensus_cadence;

    /* The check is the end of the step; notes are read after it, so that a pause first seen now
     * counts at the next check. */
    if (step_counter > 0 && step_counter % cadence == 0)
        eep_participants_check_pause(resize);
    eep_resize_run(resize, TRUE);
}

void eep_resize_reshuffled(EepResize *resize, gint64 bytes_moved)
{
    guint index = eep_row_running(resize, 1u << EEP_ACT_RESHUFFLE | 1u << EEP_ACT_PRELOAD);

    if (index == EEP_CONTROL_MAX_ROWS) {
        resize->control->n_dropped++;
        return;
    }
    resize->record.expert_bytes += bytes_moved;
    eep_row_complete(resize, index, EEP_SLOT_NONE);
    eep_resize_run(resize, FALSE);
}

void eep_resize_reshuffle_failed(EepResize *resize)
{
    guint index = eep_row_running(resize, 1u << EEP_ACT_RESHUFFLE | 1u << EEP_ACT_PRELOAD);

    if (index == EEP_CONTROL_MAX_ROWS) {
        resize->control->n_dropped++;
        return;
    }
    eep_row_fail(resize, index, EEP_SLOT_NONE);
    eep_resize_run(resize, FALSE);
}

void eep_resize_migrated(EepResize *resize, EepWorkerId worker, guint64 n_requests, gint64 bytes)
{
    guint act = worker == 0 ? EEP_ACT_SPREAD : EEP_ACT_MIGRATE;
    guint index = eep_row_running(resize, 1u << act);
    guint slot = worker == 0 ? EEP_SLOT_NONE : eep_control_find(resize->control, worker);

    if (index == EEP_CONTROL_MAX_ROWS || (worker != 0 && slot == EEP_SLOT_NONE)) {
        resize->control->n_dropped++;
        return;
    }
    resize->record.n_migrated += n_requests;
    resize->record.kv_bytes += bytes;
    eep_row_complete(resize, index, slot);
    eep_resize_run(resize, FALSE);
}

static void end_wait(EepResize *resize, EepResizeTimer kind)
{
    switch (kind) {
    case EEP_RESIZE_TIMER_DRAIN_POLL:
        eep_coordinator_poll_drain(resize);
        break;
    case EEP_RESIZE_TIMER_DRAIN_END:
        eep_coordinator_drain_is_over(resize);
        break;
    case EEP_RESIZE_TIMER_WAIT:
        eep_coordinator_fail(resize, EEP_COORDINATOR_DEADLINE);
        break;
    case EEP_RESIZE_TIMER_BARRIER:
        eep_rows_pass_barrier(resize, TRUE, FALSE);
        break;
    case EEP_RESIZE_TIMER_LEAVING:
        eep_rows_poll_drain(resize, TRUE);
        break;
    case EEP_RESIZE_TIMER_COUNT:
        g_assert_not_reached();
    }
}

void eep_resize_timer(EepResize *resize, guint64 timer)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    EepResizeTimer kind = (EepResizeTimer)(timer & ((1u << TIMER_KIND_BITS) - 1));

    if (kind >= EEP_RESIZE_TIMER_COUNT || coordinator->timers[kind] != timer) {
        resize->control->n_dropped++;
        return;
    }
    coordinator->timers[kind] = 0;
    end_wait(resize, kind);
    eep_resize_run(resize, FALSE);
}

void eep_resize_saw_rejected(EepResize *resize)
{
    eep_resize_record_saw_rejected(&resize->record, eep_resize_now(resize));
}

void eep_resize_saw_success(EepResize *resize)
{
    eep_resize_record_saw_success(&resize->record, eep_resize_now(resize));
}

gboolean eep_resize_is_frozen(const EepResize *resize)
{
    return resize->control->blocked_by != 0 || has_pausing(resize);
}

const EepResizeRecord *eep_resize_record(const EepResize *resize)
{
    return eep_resize_is_running(resize) ? &resize->record : NULL;
}

/* -- the control state as a value -- */

gboolean eep_resize_check(const EepResize *resize, GError **error)
{
    return eep_control_check(resize->control, eep_resize_scheme(resize), error);
}

GBytes *eep_resize_save(const EepResize *resize)
{
    return eep_control_save(resize->control);
}

gboolean eep_resize_load(EepResize *resize, GBytes *block, GError **error)
{
    const EepCoordinator *coordinator = &resize->control->coordinator;
    EepTime now = eep_resize_now(resize);

    if (!eep_control_load(resize->control, block, error))
        return FALSE;
    eep_resize_update_wants(resize);
    eep_resize_record_init(&resize->record, resize->params.pool, NULL, NULL, now);
    resize->record.generation = eep_resize_scheme(resize)->name;
    resize->record.from = coordinator->from;
    resize->record.to = coordinator->to;
    resize->record.is_stalled = resize->control->blocked_by != 0 || resize->wants.wants_steps;
    resize->record.is_rejecting = coordinator->is_refusing != 0;
    if (eep_resize_is_stuck(resize))
        resize->record.outcome = EEP_OUTCOME_FAILED;
    return TRUE;
}

void eep_resize_set_control(EepResize *resize, const EepControl *control)
{
    g_assert(control->magic == resize->control->magic && control->size == resize->control->size);
    memcpy(resize->control, control, control->size);
    resize->span = EEP_RESIZE_MAX_PHASES;
    resize->record.n_phases = 0;
    resize->record.from = control->coordinator.from;
    resize->record.to = control->coordinator.to;
    eep_resize_update_wants(resize);
}

guint64 eep_resize_hash(const EepResize *resize)
{
    return eep_control_hash(resize->control);
}

const EepControl *eep_resize_control(const EepResize *resize)
{
    return resize->control;
}
