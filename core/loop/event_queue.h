/* EepEventQueue: the events that have not happened yet, in total order.
 *
 * A 4-ary heap of keys over a table of events by value. A handle names the event's slot and the
 * push that filled it, so that an event is moved or removed in O(log n) without a hash table and a
 * stale handle is recognized. Gives every event its sequence number within its source. Allocates
 * only to grow. Not a loop: it knows no clock and no `now`. One thread; the queue owns the blobs of
 * its events. */
#ifndef EEP_CORE_LOOP_EVENT_QUEUE_H
#define EEP_CORE_LOOP_EVENT_QUEUE_H

#include "core/loop/event.h"

G_BEGIN_DECLS

typedef struct EepEventQueue EepEventQueue;

EepEventQueue *eep_event_queue_new(void);
void eep_event_queue_free(EepEventQueue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepEventQueue, eep_event_queue_free)

/* Copies the event in, takes over its blob reference and gives it the next number of its source
 * (the event's own `seq` is ignored). Returns the handle: never 0, never given again by this queue.
 * At most 2^24 events may wait at a time. */
guint64 eep_event_queue_push(EepEventQueue *queue, const EepEvent *event);

/* Changes the event's time; it keeps its sequence number. FALSE: the handle's event is gone. */
gboolean eep_event_queue_move(EepEventQueue *queue, guint64 handle, EepTime at);

/* Takes the event out and drops its blob. FALSE: the handle's event is gone. */
gboolean eep_event_queue_remove(EepEventQueue *queue, guint64 handle);

guint eep_event_queue_n_events(const EepEventQueue *queue);

/* Time of the first event, EEP_TIME_NEVER when there is none. */
EepTime eep_event_queue_first_time(const EepEventQueue *queue);

/* The first event, NULL when there is none. The queue's; valid until the next change. */
const EepEvent *eep_event_queue_first(const EepEventQueue *queue);

/* Takes the first event out into *ret_event, blob reference included. FALSE: empty. */
gboolean eep_event_queue_pop(EepEventQueue *queue, EepEvent *ret_event);

/* All events of the earliest instant in total order; the array and the events are the queue's,
 * valid until its next change. O(k log k) for k such events. */
const EepEvent *const *eep_event_queue_list_first(EepEventQueue *queue, guint *ret_n_events);

/* Takes out `event`, one that eep_event_queue_first() or _list_first() gave, blob included. */
void eep_event_queue_take(EepEventQueue *queue, const EepEvent *event, EepEvent *ret_event);

G_END_DECLS

#endif
