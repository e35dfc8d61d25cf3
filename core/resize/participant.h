/* EepParticipant: the table that every engine follows in a resize, whatever its role.
 *
 * Roles (existing, new, remaining, removing) differ in the notes they get and in the rows of the
 * generation's plan they take part in, not in the table. A participant of the serving group acts
 * only at its own step boundary, everybody else at once; the pause consensus lives here. State is
 * in EepControl. Not the engine, which does not know that it is being resized. Loop thread only. */
#ifndef EEP_CORE_RESIZE_PARTICIPANT_H
#define EEP_CORE_RESIZE_PARTICIPANT_H

#include "core/resize/control.h"
#include "core/resize/note.h"

G_BEGIN_DECLS

typedef enum {
    EEP_PARTICIPANT_ABSENT,
    EEP_PARTICIPANT_SERVING,
    EEP_PARTICIPANT_PREPARING,
    EEP_PARTICIPANT_READY,
    EEP_PARTICIPANT_PAUSING,
    EEP_PARTICIPANT_PAUSED,
    EEP_PARTICIPANT_STOPPING,
    EEP_PARTICIPANT_COMMITTING,
    EEP_PARTICIPANT_COMMITTED,
    EEP_PARTICIPANT_RESUMING,
    EEP_PARTICIPANT_SETTLING,
    EEP_PARTICIPANT_UNDOING,
    EEP_PARTICIPANT_GONE,
    EEP_PARTICIPANT_BROKEN,
    EEP_PARTICIPANT_STATE_COUNT,
} EepParticipantState;

/* The first eight are the notes of the same number. */
typedef enum {
    EEP_PARTICIPANT_PREPARE = EEP_NOTE_PREPARE,
    EEP_PARTICIPANT_PAUSE_KEEP = EEP_NOTE_PAUSE_KEEP,
    EEP_PARTICIPANT_PAUSE_ABORT = EEP_NOTE_PAUSE_ABORT,
    EEP_PARTICIPANT_STOP = EEP_NOTE_STOP,
    EEP_PARTICIPANT_COMMIT = EEP_NOTE_COMMIT,
    EEP_PARTICIPANT_RESUME = EEP_NOTE_RESUME,
    EEP_PARTICIPANT_OPEN = EEP_NOTE_OPEN,
    EEP_PARTICIPANT_CANCEL = EEP_NOTE_CANCEL,
    EEP_PARTICIPANT_CONSENSUS,  /* the check found everybody paused */
    EEP_PARTICIPANT_ROW_DONE,   /* its part of a row has ended */
    EEP_PARTICIPANT_STAGE_DONE, /* and so have all its rows of the stage */
    EEP_PARTICIPANT_EXITED,     /* the same, for one that leaves: its process has gone */
    EEP_PARTICIPANT_FAIL,       /* a row failed */
    EEP_PARTICIPANT_RESET,      /* a recovery begins: whatever went on is given up */
    EEP_PARTICIPANT_EVENT_COUNT,
} EepParticipantEvent;

extern const char *const eep_participant_state_names[EEP_PARTICIPANT_STATE_COUNT];
extern const char *const eep_participant_event_names[EEP_PARTICIPANT_EVENT_COUNT];

/* The table. EEP_PARTICIPANT_STATE_COUNT: nothing happens on this event in this state. */
EepParticipantState eep_participant_next(EepParticipantState state, EepParticipantEvent event);

/* The stage whose rows are run in this state; EEP_STAGE_COUNT: none. */
EepStage eep_participant_stage(EepParticipantState state);

typedef struct EepResize EepResize;

/* The only function that changes a participant's state; see eep_coordinator_handle(). */
gboolean eep_participant_handle(EepResize *resize, guint slot, EepParticipantEvent event);

/* Ends what requests its engine still has, as aborted by the resize. */
void eep_participant_abort_requests(EepResize *resize, guint slot);

/* Puts an event where the participant finds it at its boundary. */
static inline void eep_participant_post(EepControl *control, guint slot, EepParticipantEvent event)
{
    eep_control_participant(control, slot)->inbox |= 1u << event;
}

/* The check that ends every `consensus_cadence`-th step: an all-reduce in which every engine of the
 * group adds 1 when it wants to stand still. Only when the sum is the group's size does anybody
 * stop, and then all do. */
void eep_participants_check_pause(EepResize *resize);

G_END_DECLS

#endif
