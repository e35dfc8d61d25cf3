#include "core/loop/loop.h"

#include "core/loop/event_queue.h"
#include "core/loop/journal.h"

typedef struct {
    EepFilter filter;
    gpointer self;
} FilterEntry;

struct EepLoop {
    EepClock *clock;
    EepHandler handler;
    gpointer handler_self;
    const EepChooserOps *chooser; /* nullable */
    gpointer chooser_self;
    EepJournal *journal; /* nullable */
    EepInboxTake inbox;  /* nullable */
    gpointer inbox_self;
    FilterEntry *filters;
    guint n_filters;
    EepEventQueue *queue;
    EepTime now;
    gboolean is_replay, is_stopped;
    guint64 n_dispatched;
    EepEvent replayed; /* replay: the journal's next event, if has_replayed */
    gboolean has_replayed;
};

EepLoop *eep_loop_new(EepClock *clock, EepHandler handler, gpointer handler_self,
                      const EepChooserOps *chooser, gpointer chooser_self, EepJournal *journal)
{
    g_return_val_if_fail(clock != NULL && handler != NULL, NULL);
    EepLoop *loop = g_new0(EepLoop, 1);
    loop->clock = clock;
    loop->handler = handler;
    loop->handler_self = handler_self;
    loop->chooser = chooser;
    loop->chooser_self = chooser_self;
    loop->journal = journal;
    loop->is_replay = journal != NULL && eep_journal_is_replay(journal);
    loop->queue = eep_event_queue_new();
    return loop;
}

void eep_loop_free(EepLoop *loop)
{
    if (loop == NULL)
        return;
    eep_event_queue_free(loop->queue);
    g_free(loop->filters);
    g_free(loop);
}

EepTime eep_loop_now(const EepLoop *loop)
{
    return loop->now;
}

EepHandle eep_loop_schedule(EepLoop *loop, EepTime at, const EepEvent *event)
{
    if (G_UNLIKELY(at == EEP_TIME_NEVER)) {
        if (event->blob != NULL)
            g_bytes_unref(event->blob);
        return 0;
    }
    g_return_val_if_fail(at >= loop->now, 0);
    EepEvent queued = *event;
    queued.time = at;
    return eep_event_queue_push(loop->queue, &queued);
}

gboolean eep_loop_reschedule(EepLoop *loop, EepHandle handle, EepTime at)
{
    if (at == EEP_TIME_NEVER)
        return eep_event_queue_remove(loop->queue, handle);
    g_return_val_if_fail(at >= loop->now, FALSE);
    return eep_event_queue_move(loop->queue, handle, at);
}

void eep_loop_set_inbox(EepLoop *loop, EepInboxTake take, gpointer self)
{
    loop->inbox = take;
    loop->inbox_self = self;
}

void eep_loop_add_filter(EepLoop *loop, EepFilter filter, gpointer self)
{
    g_return_if_fail(filter != NULL);
    loop->filters = g_renew(FilterEntry, loop->filters, loop->n_filters + 1);
    loop->filters[loop->n_filters++] = (FilterEntry){filter, self};
}

EepTime eep_loop_horizon(const EepLoop *loop)
{
    return loop->clock->ops->foresees ? eep_event_queue_first_time(loop->queue) : loop->now;
}

EepTime eep_loop_next_time(const EepLoop *loop)
{
    return eep_event_queue_first_time(loop->queue);
}

void eep_loop_record_action(EepLoop *loop, guint32 kind, guint64 x, guint64 y)
{
    if (loop->journal != NULL)
        eep_journal_action(loop->journal, kind, x, y);
}

void eep_loop_stop(EepLoop *loop)
{
    loop->is_stopped = TRUE;
}

gboolean eep_loop_is_stopped(const EepLoop *loop)
{
    return loop->is_stopped;
}

guint64 eep_loop_n_dispatched(const EepLoop *loop)
{
    return loop->n_dispatched;
}

static void take_posted(EepLoop *loop)
{
    EepEvent event;
    while (loop->inbox(loop->inbox_self, &event)) {
        /* The loop may lag behind its clock, never run ahead of it but by a choice just made. */
        event.time = MAX(loop->now, loop->clock->ops->now(loop->clock));
        eep_event_queue_push(loop->queue, &event);
    }
}

/* FALSE: a filter kept the event, whose blob is taken care of. A delayed event remembers in `flags`
 * how many filters it has passed. */
static gboolean pass_filters(EepLoop *loop, EepEvent *event)
{
    guint i = event->flags;
    event->flags = 0;
    for (; i < loop->n_filters; i++) {
        switch (loop->filters[i].filter(loop->filters[i].self, event)) {
        case EEP_FILTER_PASS:
            continue;
        case EEP_FILTER_DROP:
            g_clear_pointer(&event->blob, g_bytes_unref);
            return FALSE;
        case EEP_FILTER_DELAY:
            g_assert(event->time >= loop->now);
            event->flags = (guint16)(i + 1);
            eep_event_queue_push(loop->queue, event);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean dispatch(EepLoop *loop, const EepEvent *event, GError **error)
{
    loop->n_dispatched++;
    gboolean is_ok = loop->handler(loop->handler_self, event, error);
    if (loop->journal == NULL)
        return is_ok;
    /* The event that broke the run belongs into the journal too; its own error says more than a
     * sink's. */
    return eep_journal_event(loop->journal, event, is_ok ? error : NULL) && is_ok;
}

static void choose(EepLoop *loop, EepEvent *ret_event)
{
    if (loop->chooser == NULL) {
        eep_event_queue_pop(loop->queue, ret_event);
        return;
    }
    guint n_enabled;
    const EepEvent *const *enabled = eep_event_queue_list_first(loop->queue, &n_enabled);
    guint index = n_enabled > 1 ? loop->chooser->choose(loop->chooser_self, enabled, n_enabled) : 0;
    g_assert(index < n_enabled);
    eep_event_queue_take(loop->queue, enabled[index], ret_event);
}

static gboolean run_queue(EepLoop *loop, EepTime until, GError **error)
{
    const EepClockOps *clock = loop->clock->ops;
    gboolean may_be_posted = loop->inbox != NULL && !clock->foresees;

    while (!loop->is_stopped) {
        if (loop->inbox != NULL)
            take_posted(loop);
        EepTime next = eep_event_queue_first_time(loop->queue);
        gboolean is_due = next <= until && next != EEP_TIME_NEVER;
        if (!is_due && !may_be_posted)
            return TRUE;
        EepWake wake = clock->wait_until(loop->clock, is_due ? next : until);
        if (wake == EEP_WAKE_POSTED)
            continue;
        if (loop->inbox != NULL)
            take_posted(loop);
        next = eep_event_queue_first_time(loop->queue);
        if (wake == EEP_WAKE_END || next > until || next == EEP_TIME_NEVER)
            return TRUE;

        EepEvent event;
        choose(loop, &event);
        g_assert(event.time >= loop->now);
        loop->now = event.time;
        if (loop->n_filters > 0 && event.kind == EEP_EVENT_OP_DONE && !pass_filters(loop, &event))
            continue;
        gboolean is_ok = dispatch(loop, &event, error);
        if (event.blob != NULL)
            g_bytes_unref(event.blob);
        if (!is_ok)
            return FALSE;
    }
    return TRUE;
}

/* Sequence numbers are left out: events of other threads, which a replay does not queue, may have
 * taken some of the source's. */
static gboolean is_same(const EepEvent *x, const EepEvent *y)
{
    return x->time == y->time && x->event_class == y->event_class && x->source == y->source &&
           x->kind == y->kind && x->a == y->a && x->b == y->b && x->c == y->c;
}

static void drop_queued(EepLoop *loop, const EepEvent *queued)
{
    EepEvent dropped;
    eep_event_queue_take(loop->queue, queued, &dropped);
    if (dropped.blob != NULL)
        g_bytes_unref(dropped.blob);
}

/* Drops the queued equal of a replayed event, if there is one (completions and posted events have
 * none unless a backend takes part), and completions that the recording says never came. */
static gboolean match_queued(EepLoop *loop, const EepEvent *event, GError **error)
{
    const EepEvent *first;
    while ((first = eep_event_queue_first(loop->queue)) != NULL && first->time < event->time) {
        if (first->event_class != EEP_CLASS_BACKEND) {
            g_set_error(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_DIVERGED,
                        "replay: at %" G_GINT64_FORMAT " ns the run has an event %s of source %#x "
                        "(event %" G_GUINT64_FORMAT " of the run) that the recording does not have",
                        first->time, eep_event_names[first->kind], first->source,
                        loop->n_dispatched);
            return FALSE;
        }
        drop_queued(loop, first);
    }
    if (first == NULL || first->time > event->time)
        return TRUE;
    if (is_same(first, event)) {
        drop_queued(loop, first);
        return TRUE;
    }
    guint n_first;
    const EepEvent *const *list = eep_event_queue_list_first(loop->queue, &n_first);
    for (guint i = 1; i < n_first; i++)
        if (is_same(list[i], event)) {
            drop_queued(loop, list[i]);
            break;
        }
    return TRUE;
}

static gboolean run_replay(EepLoop *loop, EepTime until, GError **error)
{
    while (!loop->is_stopped) {
        if (!loop->has_replayed) {
            if (!eep_journal_next(loop->journal, &loop->replayed))
                return TRUE;
            loop->has_replayed = TRUE;
        }
        if (loop->replayed.time > until)
            return TRUE;
        EepWake wake = loop->clock->ops->wait_until(loop->clock, loop->replayed.time);
        if (wake == EEP_WAKE_END)
            return TRUE;
        if (wake == EEP_WAKE_POSTED)
            continue;
        if (!match_queued(loop, &loop->replayed, error))
            return FALSE;
        loop->has_replayed = FALSE;
        loop->now = loop->replayed.time;
        if (!dispatch(loop, &loop->replayed, error))
            return FALSE;
    }
    return TRUE;
}

gboolean eep_loop_run(EepLoop *loop, EepTime until, GError **error)
{
    g_return_val_if_fail(loop != NULL, FALSE);
    return loop->is_replay ? run_replay(loop, until, error) : run_queue(loop, until, error);
}
