/* EepLoop: one queue, one clock, one handler; the same loop in every mode.
 *
 * Takes the next event by the chooser (default: the first in total order), sets `now`, hands the
 * event to the handler, and records both in the journal if there is one. `now` is constant while
 * one event is handled. Not a thread pool and not a scheduler of requests: it knows nothing of what
 * events mean. Everything is called on the loop's thread but eep_loop_post(). */
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

/* Picks among the enabled events, given in total order; returns an index below n. */
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
 * reference. O(log n). */
EepHandle eep_loop_schedule(EepLoop *loop, EepTime at, const EepEvent *event);

/* Moves a queued event; EEP_TIME_NEVER cancels it. FALSE when it was dispatched or cancelled
 * before. O(log n). */
gboolean eep_loop_reschedule(EepLoop *loop, EepHandle handle, EepTime at);

/* From any thread: the event is stamped and queued when the loop takes it (live clocks wake up for
 * it). */
void eep_loop_post(EepLoop *loop, const EepEvent *event);

/* The earliest queued event's time, EEP_TIME_NEVER if none; `now` when the clock does not foresee:
 * no leap then. */
EepTime eep_loop_horizon(const EepLoop *loop);

/* An action of the core, for the journal's running hash and for decorators: call at every effect on
 * the outside (submit, phase, move, note, fate). Cheap when there is no journal. */
void eep_loop_record_action(EepLoop *loop, guint32 kind, guint64 x, guint64 y);

/* Runs until the queue is empty, the next event lies beyond `until`, eep_loop_stop() was called, or
 * an error. FALSE only with an error. */
gboolean eep_loop_run(EepLoop *loop, EepTime until, GError **error);
void eep_loop_stop(EepLoop *loop);
gboolean eep_loop_is_stopped(const EepLoop *loop);

guint64 eep_loop_n_dispatched(const EepLoop *loop);

G_END_DECLS

#endif
