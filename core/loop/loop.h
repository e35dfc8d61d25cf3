/* EepLoop: one queue, one clock, one handler; the same loop in every mode.
 *
 * Takes the next event by the chooser (default: the first in total order), sets `now` to its time,
 * hands the event to the handler, and records both in the journal if there is one. `now` is
 * constant while one event is handled and never goes back. A replay journal takes the place of
 * chooser, inbox and filters: it alone says what happens next; events that the run queues are kept
 * until the journal dispatches their equal, so that the horizon stays what it was. Not a thread
 * pool and not a scheduler of requests: it knows nothing of what events mean. Everything is called
 * on the loop's thread; other threads reach it through an inbox (live/). */
#ifndef EEP_CORE_LOOP_LOOP_H
#define EEP_CORE_LOOP_LOOP_H

#include "core/loop/clock.h"
#include "core/loop/event.h"

G_BEGIN_DECLS

typedef struct EepLoop EepLoop;
typedef struct EepJournal EepJournal;

/* Handles one event. The event's blob stays the loop's; take a reference to keep it. Returns FALSE
 * with an error to stop the run (an invariant broke). */
typedef gboolean (*EepHandler)(gpointer self, const EepEvent *event, GError **error);

/* Picks among the enabled events, which are all queued events of the earliest instant, given in
 * total order; returns an index below n. Asked only when there are at least two. */
typedef struct {
    gsize size;
    const char *name;
    guint (*choose)(gpointer self, const EepEvent *const *enabled, guint n_enabled);
} EepChooserOps;

typedef guint64 EepHandle; /* of a queued event; 0 = none; never reused within a run */

/* `chooser` NULL: total order. `journal` NULL: none. Nothing is taken over but references for the
 * loop's life; free the loop first. */
EepLoop *eep_loop_new(EepClock *clock, EepHandler handler, gpointer handler_self,
                      const EepChooserOps *chooser, gpointer chooser_self, EepJournal *journal);
void eep_loop_free(EepLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepLoop, eep_loop_free)

/* Time of the event being handled; before the first, 0. */
EepTime eep_loop_now(const EepLoop *loop);

/* Queues a copy at `at` (>= now; its time, seq are filled in). Takes over the event's blob
 * reference. EEP_TIME_NEVER queues nothing and returns 0. O(log n). */
EepHandle eep_loop_schedule(EepLoop *loop, EepTime at, const EepEvent *event);

/* Moves a queued event (`at` >= now); EEP_TIME_NEVER cancels it. FALSE when it was dispatched or
 * cancelled before. O(log n). */
gboolean eep_loop_reschedule(EepLoop *loop, EepHandle handle, EepTime at);

/* Where events of other threads come from: fills in the next posted event and returns TRUE, or
 * returns FALSE when there is none. Called on the loop's thread after each wait and before each
 * choice until it says FALSE. The loop stamps the event with the clock's time, takes over its blob
 * and queues it. With an inbox and a clock that does not foresee, an empty queue does not end
 * eep_loop_run(): it waits. */
typedef gboolean (*EepInboxTake)(gpointer self, EepEvent *ret_event);
void eep_loop_set_inbox(EepLoop *loop, EepInboxTake take, gpointer self);

/* Decorators of a backend see its completions here. Each EEP_EVENT_OP_DONE passes the filters, in
 * the order in which they were added, after it was chosen and before journal and handler see it. A
 * filter may change payload and blob (it owns the blob reference while it runs). DELAY: the filter
 * has set event->time to a later time; the event is queued again and then goes on behind this
 * filter. Both DROP and DELAY keep the event from handler and journal this time. A filter may
 * schedule events. It must live as long as the loop runs. */
typedef enum { EEP_FILTER_PASS, EEP_FILTER_DROP, EEP_FILTER_DELAY } EepFilterVerdict;
typedef EepFilterVerdict (*EepFilter)(gpointer self, EepEvent *event);
void eep_loop_add_filter(EepLoop *loop, EepFilter filter, gpointer self);

/* The earliest queued event's time, EEP_TIME_NEVER if none; `now` when the clock does not foresee:
 * no leap then. */
EepTime eep_loop_horizon(const EepLoop *loop);

/* The same whatever the clock foresees: what is queued, not what may still come from outside. */
EepTime eep_loop_next_time(const EepLoop *loop);

/* An action of the core, for the journal's running hash and for decorators: call at every effect on
 * the outside (submit, phase, move, note, fate). Cheap when there is no journal. */
void eep_loop_record_action(EepLoop *loop, guint32 kind, guint64 x, guint64 y);

/* Runs until the queue (or the replayed journal) is empty, the next event lies beyond `until`, the
 * clock ends the wait, eep_loop_stop() was called, or an error. May be called again to go on, but
 * not after an error or a stop. FALSE only with an error. */
gboolean eep_loop_run(EepLoop *loop, EepTime until, GError **error);
void eep_loop_stop(EepLoop *loop);
gboolean eep_loop_is_stopped(const EepLoop *loop);

/* Events handed to the handler. */
guint64 eep_loop_n_dispatched(const EepLoop *loop);

G_END_DECLS

#endif
