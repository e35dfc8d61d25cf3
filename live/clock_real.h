/* EepClockReal: the machine's monotonic clock, counted from eep_clock_real_start().
 *
 * Waiting is where a run on real workers does its input: wait_until() sleeps in one poll over the
 * watched file descriptors, calls the watchers of those that are ready, on the loop's thread, and
 * says EEP_WAKE_POSTED afterwards, so that the loop takes what they posted. Other threads wake it
 * by eep_clock_real_wake(). Does not foresee. Before start() `now` is 0 and waiting serves the
 * watchers only. Not an event loop for anything else. */
#ifndef EEP_LIVE_CLOCK_REAL_H
#define EEP_LIVE_CLOCK_REAL_H

#include "core/loop/clock.h"

G_BEGIN_DECLS

/* Called when the descriptor is readable (or has hung up), and, if wanted, when it is writable. */
typedef void (*EepWatcher)(gpointer self, int fd, gboolean is_readable, gboolean is_writable);

EepClock *eep_clock_real_new(GError **error);

/* Time 0 is now. Once, before the first eep_loop_run(). */
void eep_clock_real_start(EepClock *clock);

/* The watcher may watch and unwatch any descriptor, its own included. Unwatch before closing. */
void eep_clock_real_watch(EepClock *clock, int fd, EepWatcher watcher, gpointer self);
void eep_clock_real_want_write(EepClock *clock, int fd, gboolean wants);
void eep_clock_real_unwatch(EepClock *clock, int fd);

/* Ends the wait in progress or the next one. Any thread, and signal handlers. */
void eep_clock_real_wake(EepClock *clock);

/* One poll outside of a loop's run, at most `timeout` long: for start-up and shut-down. */
void eep_clock_real_poll(EepClock *clock, EepTime timeout);

/* The monotonic clock itself, ns. */
gint64 eep_monotonic_ns(void);

G_END_DECLS

#endif
