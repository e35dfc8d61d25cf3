/* EepCoordinator: the table that takes one resize from its request to its end.
 *
 * It asks the participants for things by notes, counts their answers, and answers to its waits by
 * state. It knows stages, not phases: what is done in a stage is the generation's data and the
 * participants' business. Its state is in EepControl; its table and its one function that changes
 * state are here. Not the participants (participant.h). Loop thread only. */
#ifndef EEP_CORE_RESIZE_COORDINATOR_H
#define EEP_CORE_RESIZE_COORDINATOR_H

#include "core/resize/note.h"

G_BEGIN_DECLS

typedef enum {
    EEP_COORDINATOR_IDLE,
    EEP_COORDINATOR_PREPARING,
    EEP_COORDINATOR_PREPARED,
    EEP_COORDINATOR_DRAINING,
    EEP_COORDINATOR_PAUSING,
    EEP_COORDINATOR_STOPPING,
    EEP_COORDINATOR_COMMITTING,
    EEP_COORDINATOR_RESUMING,
    EEP_COORDINATOR_SETTLING,
    EEP_COORDINATOR_ROLLING_BACK,
    EEP_COORDINATOR_STUCK,
    EEP_COORDINATOR_STATE_COUNT,
} EepCoordinatorState;

typedef enum {
    EEP_COORDINATOR_REQUEST, /* one that no rule forbids */
    EEP_COORDINATOR_ALL_READY,
    EEP_COORDINATOR_DRAINED,
    EEP_COORDINATOR_DRAIN_TIMED_OUT,
    EEP_COORDINATOR_NOTHING_KEPT, /* no preparation outlives the failed attempt */
    EEP_COORDINATOR_ALL_PAUSED,
    EEP_COORDINATOR_ALL_STOPPED,
    EEP_COORDINATOR_ALL_COMMITTED,
    EEP_COORDINATOR_ALL_RESUMED,
    EEP_COORDINATOR_ALL_SETTLED,
    EEP_COORDINATOR_FAILURE, /* a participant's work failed, or it was lost */
    EEP_COORDINATOR_DEADLINE,
    EEP_COORDINATOR_UNDO, /* one of these, or a cancel, where there is a way back */
    EEP_COORDINATOR_ALL_UNDONE,
    EEP_COORDINATOR_EVENT_COUNT,
} EepCoordinatorEvent;

extern const char *const eep_coordinator_state_names[EEP_COORDINATOR_STATE_COUNT];
extern const char *const eep_coordinator_event_names[EEP_COORDINATOR_EVENT_COUNT];

/* The table. EEP_COORDINATOR_STATE_COUNT: nothing happens on this event in this state. */
EepCoordinatorState eep_coordinator_next(EepCoordinatorState state, EepCoordinatorEvent event);

typedef struct EepResize EepResize;

/* The only function that changes the coordinator's state: looks the event up, tells old -> new with
 * its cause, runs what entering the state does. FALSE when the table has no such transition. */
gboolean eep_coordinator_handle(EepResize *resize, EepCoordinatorEvent event);

/* Leaves the state once everybody it waits for has answered, be it nobody. To be called when fewer
 * have to answer. */
void eep_coordinator_check_answers(EepResize *resize);

/* Whether it waits for an answer of the participant in `slot`. */
gboolean eep_coordinator_awaits(const EepResize *resize, guint slot);

/* Whether the resize that runs could still be rolled back. */
gboolean eep_coordinator_can_undo(const EepResize *resize);

/* Rolls it back, which can be done; a reason of resize_machine.h. */
void eep_coordinator_undo(EepResize *resize, guint why);

/* A failure or a deadline: back where there is a way back, else stuck. */
void eep_coordinator_fail(EepResize *resize, EepCoordinatorEvent event);

/* A note from the participant in `slot` has come. */
void eep_coordinator_hear(EepResize *resize, guint slot, EepNoteWord word);

/* Its timers: looks again whether the pool is drained; time is up. */
void eep_coordinator_poll_drain(EepResize *resize);
void eep_coordinator_drain_is_over(EepResize *resize);

G_END_DECLS

#endif
