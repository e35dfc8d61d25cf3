/* Requests for another size from the asking to the end: which begins, which waits, which is turned
 * away, and the account of the one that runs. */
#include <string.h>

#include "core/resize/resize_machine.h"

gboolean eep_resize_is_running(const EepResize *resize)
{
    EepCoordinatorState state = resize->control->coordinator.state;

    return state != EEP_COORDINATOR_IDLE && state != EEP_COORDINATOR_PREPARED &&
           state != EEP_COORDINATOR_STUCK;
}

gboolean eep_resize_is_stuck(const EepResize *resize)
{
    return resize->control->coordinator.state == EEP_COORDINATOR_STUCK;
}

/* -- the account of one ----------------------------------------------------------------------- */

void eep_resize_begin(EepResize *resize, const EepResizeRecord *record)
{
    EepCoordinator *coordinator = &resize->control->coordinator;

    eep_resize_close(resize);
    resize->record = *record;
    resize->record.accepted = resize->record.counted_until = eep_resize_now(resize);
    coordinator->from = record->from;
    coordinator->to = record->to;
    coordinator->is_up = record->to > record->from;
    resize->record.is_stalled = resize->control->blocked_by != 0;
    resize->record.is_rejecting = coordinator->is_refusing != 0;
    if (coordinator->state == EEP_COORDINATOR_PREPARED)
        eep_roster_book(resize);
    resize->host->told(resize->host_self, &resize->record);
    eep_coordinator_handle(resize, EEP_COORDINATOR_REQUEST);
}

void eep_resize_tell_end(EepResize *resize, EepOutcome outcome, const char *reason)
{
    EepResizeRecord *record = &resize->record;
    EepTime now = eep_resize_now(resize);

    /* What goes on beyond the end is booked up to it. */
    eep_resize_record_count(record, now);
    record->outcome = outcome;
    if (outcome == EEP_OUTCOME_COMPLETE)
        record->complete = now;
    g_strlcpy(record->reason, reason, sizeof record->reason);
    resize->host->told(resize->host_self, record);
}

void eep_resize_close(EepResize *resize)
{
    if (!eep_resize_is_stuck(resize))
        return;
    eep_resize_record_count(&resize->record, eep_resize_now(resize));
    resize->host->closed(resize->host_self, &resize->record);
}

/* -- taking up -------------------------------------------------------------------------------- */

static void init_record(EepResize *resize, EepResizeRecord *record, gint64 new_dp,
                        const EepResizeAsker *asker)
{
    eep_resize_record_init(record, resize->params.pool, asker->id, asker->by, asker->requested);
    record->generation = resize->generation->name;
    record->from = eep_control_serving(resize->control)->n_engines;
    record->to = (guint)CLAMP(new_dp, 0, (gint64)G_MAXUINT32);
}

/* Begins one resize, or tells why not. Nothing runs. */
static void take_up(EepResize *resize, gint64 new_dp, const EepResizeAsker *asker)
{
    g_autofree char *refusal = NULL;
    EepResizeRecord record;

    init_record(resize, &record, new_dp, asker);
    if (!eep_resize_is_stuck(resize) && new_dp == record.from)
        record.outcome = EEP_OUTCOME_NOOP;
    else if ((refusal = eep_rules_refusal(resize, new_dp)) != NULL)
        record.outcome = EEP_OUTCOME_REFUSED;
    if (record.outcome == EEP_OUTCOME_NONE) {
        eep_resize_begin(resize, &record);
        return;
    }
    g_strlcpy(record.reason, refusal != NULL ? refusal : "", sizeof record.reason);
    resize->host->told(resize->host_self, &record);
}

static void dismiss(EepResize *resize, gint64 new_dp, const EepResizeAsker *asker,
                    EepOutcome outcome, const char *reason)
{
    EepResizeRecord record;

    init_record(resize, &record, new_dp, asker);
    record.outcome = outcome;
    g_strlcpy(record.reason, reason, sizeof record.reason);
    resize->host->told(resize->host_self, &record);
}

/* -- the queue -------------------------------------------------------------------------------- */

/* Takes a request from the queue. */
static gint64 dequeue(EepResize *resize, guint index, EepResizeAsker *ret_asker)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    gint64 new_dp = coordinator->queue[index], *at = coordinator->queue + index;
    guint behind = --coordinator->n_queued - index;

    *ret_asker = resize->askers[index];
    memmove(at, at + 1, behind * sizeof *at);
    memmove(resize->askers + index, resize->askers + index + 1, behind * sizeof *resize->askers);
    coordinator->queue[coordinator->n_queued] = 0;
    return new_dp;
}

/* With a lost member in the group nothing but a recovery can begin. */
void eep_resize_start_next(EepResize *resize)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    EepResizeAsker asker;

    if (coordinator->recovery != EEP_RECOVERY_NONE && !eep_resize_is_running(resize))
        eep_resize_start_recovery(resize);
    while (coordinator->n_queued > 0 && !eep_resize_is_running(resize) &&
           !(resize->control->blocked_by & EEP_BLOCK_LOSS)) {
        gint64 new_dp = dequeue(resize, 0, &asker);

        take_up(resize, new_dp, &asker);
    }
}

static void dismiss_queued(EepResize *resize, EepOutcome outcome, const char *reason)
{
    EepResizeAsker asker;

    while (resize->control->coordinator.n_queued > 0) {
        gint64 new_dp = dequeue(resize, 0, &asker);

        dismiss(resize, new_dp, &asker, outcome, reason);
    }
}

static void refuse_busy(EepResize *resize, gint64 new_dp, const EepResizeAsker *asker)
{
    g_autofree char *reason = g_strdup_printf("another resize is running, and %u wait for it",
                                              resize->control->coordinator.n_queued);

    dismiss(resize, new_dp, asker, EEP_OUTCOME_REFUSED, reason);
}

void eep_resize_request(EepResize *resize, gint64 new_dp, const char *id, const char *by)
{
    EepCoordinator *coordinator = &resize->control->coordinator;
    EepResizeAsker asker = {.requested = eep_resize_now(resize)};
    gboolean is_busy =
        eep_resize_is_running(resize) || resize->control->blocked_by & EEP_BLOCK_LOSS;

    g_strlcpy(asker.id, id != NULL ? id : "", sizeof asker.id);
    g_strlcpy(asker.by, by != NULL ? by : "", sizeof asker.by);
    /* The newest wins: nobody waits any more, and what runs is taken back if it can be. */
    if (is_busy && resize->params.on_busy == EEP_ON_BUSY_SUPERSEDE)
        dismiss_queued(resize, EEP_OUTCOME_REFUSED, "superseded by a newer request");
    if (!is_busy) {
        take_up(resize, new_dp, &asker);
    } else if (resize->params.on_busy == EEP_ON_BUSY_REFUSE ||
               coordinator->n_queued == EEP_CONTROL_MAX_QUEUE) {
        refuse_busy(resize, new_dp, &asker);
    } else {
        resize->askers[coordinator->n_queued] = asker;
        coordinator->queue[coordinator->n_queued++] = new_dp;
        if (resize->params.on_busy == EEP_ON_BUSY_SUPERSEDE && eep_coordinator_can_undo(resize))
            eep_coordinator_undo(resize, EEP_UNDO_SUPERSEDED);
    }
    eep_resize_run(resize, FALSE);
}

/* -- taking back ------------------------------------------------------------------------------ */

static gboolean cancel_running(EepResize *resize)
{
    if (!eep_coordinator_can_undo(resize))
        return FALSE;
    eep_coordinator_undo(resize, EEP_UNDO_CANCEL);
    eep_resize_run(resize, FALSE);
    return TRUE;
}

static gboolean cancel_queued(EepResize *resize, const char *id)
{
    EepResizeAsker asker;
    gboolean is_any = FALSE;

    for (guint i = 0; i < resize->control->coordinator.n_queued;) {
        if (strcmp(resize->askers[i].id, id) != 0) {
            i++;
            continue;
        }
        gint64 new_dp = dequeue(resize, i, &asker);

        dismiss(resize, new_dp, &asker, EEP_OUTCOME_CANCELLED, "cancelled before it began");
        is_any = TRUE;
    }
    return is_any;
}

gboolean eep_resize_cancel(EepResize *resize, const char *id)
{
    gboolean is_queued = id != NULL && cancel_queued(resize, id);
    gboolean is_meant = id == NULL || strcmp(resize->record.id, id) == 0;

    return (is_meant && eep_resize_is_running(resize) && cancel_running(resize)) || is_queued;
}

void eep_resize_refuse_queued(EepResize *resize, const char *reason)
{
    dismiss_queued(resize, EEP_OUTCOME_REFUSED, reason);
    eep_resize_update_wants(resize);
}

void eep_resize_give_up(EepResize *resize, const char *reason)
{
    if (eep_resize_is_running(resize))
        eep_resize_tell_end(resize, EEP_OUTCOME_FAILED, reason);
    eep_resize_close(resize);
    eep_resize_refuse_queued(resize, reason);
}

void eep_resize_finish(EepResize *resize)
{
    if (eep_resize_is_running(resize))
        eep_resize_tell_end(resize, EEP_OUTCOME_UNFINISHED, "the run ended before the resize did");
    eep_resize_close(resize);
    dismiss_queued(resize, EEP_OUTCOME_UNFINISHED, "the run ended before the resize began");
}
