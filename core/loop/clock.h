/* EepClock: the only thing that knows what waiting is.
 *
 * The loop asks it for `now` and lets it wait until a deadline or until something is posted.
 * Clocks: virtual (jumps), stepping (moves only when a test says so), replay (the journal's times);
 * real and paced clocks live in live/. `foresees` says that all future input is already queued, so
 * that a backend may leap. Owned by the caller of eep_loop_new(); loop thread only, except where a
 * clock says otherwise. */
#ifndef EEP_CORE_LOOP_CLOCK_H
#define EEP_CORE_LOOP_CLOCK_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct EepClock EepClock;

typedef enum { EEP_WAKE_DEADLINE, EEP_WAKE_POSTED, EEP_WAKE_END } EepWake;

typedef struct {
    gsize size;
    const char *name;
    gboolean foresees;
    EepTime (*now)(const EepClock *clock); /* never goes back */
    EepWake (*wait_until)(EepClock *clock, EepTime deadline);
    void (*free)(EepClock *clock);
} EepClockOps;

struct EepClock {
    const EepClockOps *ops;
};

/* Jumps to every deadline at once. */
EepClock *eep_clock_virtual_new(void);

/* Jumps like the virtual clock and foresees as the clock of the recorded run did (`foresaw`), so
 * that a replay leaps where the recording leapt and nowhere else. */
EepClock *eep_clock_replay_new(gboolean foresaw);

/* For tests: wait_until() returns EEP_WAKE_END until eep_clock_stepping_advance() has reached the
 * deadline. Does not foresee: a test may queue anything between two advances. */
EepClock *eep_clock_stepping_new(void);
/* `to` must not lie before the clock's time. */
void eep_clock_stepping_advance(EepClock *clock, EepTime to);

void eep_clock_free(EepClock *clock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepClock, eep_clock_free)

G_END_DECLS

#endif
