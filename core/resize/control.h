/* EepControl: everything that a pool's resize machine decides by, in one block without pointers.
 *
 * A header and five arrays behind it, found by offset, so that the block's size follows the
 * deployment (max_engines) and the block can be copied, compared, saved and hashed. Arrays over
 * *slots* describe one engine each; a slot is taken when an engine is launched and given back when
 * the resize that removed it is over. Coordinator and participants share none of their variables:
 * the coordinator owns EepCoordinator and `heard`, each participant its EepParticipant; the roster
 * (who takes part, as what) is fixed when a resize begins. No time is in here: waiting is in the
 * timers that are armed, and a timer, like a note under way, is here only as a bit. Not an account
 * of what it cost (record.h). */
#ifndef EEP_CORE_RESIZE_CONTROL_H
#define EEP_CORE_RESIZE_CONTROL_H

#include "core/resize/generation.h"
#include "core/resize/group.h"

G_BEGIN_DECLS

#define EEP_CONTROL_MAX_ROWS  32 /* of a generation's plan: bits of EepParticipant.entered */
#define EEP_CONTROL_MAX_QUEUE 16
#define EEP_SLOT_NONE         G_MAXUINT32

typedef enum {
    EEP_RESIZE_TIMER_DRAIN_POLL,
    EEP_RESIZE_TIMER_DRAIN_END,
    EEP_RESIZE_TIMER_WAIT,    /* deadline of the coordinator's state */
    EEP_RESIZE_TIMER_BARRIER, /* first pass of a staged barrier */
    EEP_RESIZE_TIMER_LEAVING, /* leaving engines have had their time to drain */
    EEP_RESIZE_TIMER_COUNT,
} EepResizeTimer;

/* The roster's line on a slot. */
typedef struct {
    EepWorkerId worker; /* 0: the slot is free */
    guint8 role;        /* EepWho, one bit; NOBODY while no resize runs */
    guint8 is_member;   /* of the serving group */
    guint8 is_lost;     /* known to be */
    guint8 pad;
} EepMember;

/* One engine's part. */
typedef struct {
    guint32 state;                /* EepParticipantState */
    guint32 inbox;                /* bits by EepParticipantEvent, acted upon at its step boundary */
    guint32 entered, done;        /* bits by row */
    guint32 arrived;              /* likewise: at the row's staged barrier */
    guint32 notes_to, notes_from; /* under way, bits by EepNoteWord */
    guint32 is_stopped;           /* dead or hung, whoever knows: it does nothing */
} EepParticipant;

/* A staged barrier's passes. Whoever comes to it first holds its forwards for `first_pass`; if not
 * all have come by then, the others must be inside a step that waits for those: one more step for
 * all, after which they meet. (vLLM, elastic_state.py at 44e6b44a21, _staged_barrier.) */
typedef enum {
    EEP_PASS_NONE,
    EEP_PASS_FIRST,
    EEP_PASS_ONE_MORE_STEP,
    EEP_PASS_SECOND,
} EepBarrierPass;

/* A row of the plan that runs: where all who take part meet. */
typedef struct {
    EepOpId op; /* 0: not an operation, or it has ended as a whole */
    guint32 n_entered, n_done;
    guint32 phase;     /* index in the record */
    guint32 state;     /* EepRowState */
    guint32 n_arrived; /* at its staged barrier */
    guint32 pass;      /* EepBarrierPass */
} EepRow;

typedef enum {
    EEP_ROW_WAITING,
    EEP_ROW_READY, /* all have come; it stops the forwards and waits for the end of a step */
    EEP_ROW_RUNNING,
    EEP_ROW_DONE,
} EepRowState;

/* Why no step may begin. */
typedef enum {
    EEP_BLOCK_PAUSE = 1 << 0,   /* the engines have agreed to stand still, or stop */
    EEP_BLOCK_ROW = 1 << 1,     /* a row runs that stops them */
    EEP_BLOCK_BARRIER = 1 << 2, /* somebody waits at a staged barrier */
    EEP_BLOCK_LOSS = 1 << 3,    /* a member is lost */
} EepBlock;

typedef struct {
    guint32 state; /* EepCoordinatorState */
    guint32 from, to;
    guint32 is_up, is_refusing;
    guint32 scheme;   /* 0: the deployment's generation; else EepRecovery */
    guint32 recovery; /* that is to begin as soon as no resize runs; EepRecovery */
    guint32 undo;     /* EepResizeUndo: why it is rolled back */
    guint32 attempts; /* recoveries begun since the last loss or success */
    guint32 n_queued;
    gint64 queue[EEP_CONTROL_MAX_QUEUE];    /* sizes asked for while busy, oldest first */
    guint64 timers[EEP_RESIZE_TIMER_COUNT]; /* id of the armed timer, 0: none */
    guint64 serial;                         /* of the resize, from 1 */
} EepCoordinator;

struct EepControl {
    guint32 magic, size;
    guint32 capacity,
        n_slots; /* engines in a group; slots = 2 x capacity, for old and new at once */
    guint32 target_offset, roster_offset, participants_offset, heard_offset;
    guint32 blocked_by;     /* EepBlock; 0: steps may begin */
    guint32 n_dropped;      /* notes, completions and timers that came too late; not in the hash */
    guint32 slots_per_rank; /* of the serving group; 0: a dense model */
    guint64 next_timer;
    EepCoordinator coordinator;
    EepRow rows[EEP_CONTROL_MAX_ROWS];
    /* then: serving group, target group, roster, participants, heard */
};
typedef struct EepControl EepControl;

EepControl *eep_control_new(guint capacity, guint tensor_parallel_size);
void eep_control_free(EepControl *control);

static inline gpointer eep_control_at(const EepControl *control, gsize offset)
{
    return (gchar *)control + offset;
}

static inline EepGroup *eep_control_serving(const EepControl *control)
{
    return (EepGroup *)eep_control_at(control, sizeof(EepControl));
}

/* epoch 0 while no resize runs. */
static inline EepGroup *eep_control_target(const EepControl *control)
{
    return (EepGroup *)eep_control_at(control, control->target_offset);
}

static inline EepMember *eep_control_member(const EepControl *control, guint slot)
{
    return (EepMember *)eep_control_at(control, control->roster_offset) + slot;
}

static inline EepParticipant *eep_control_participant(const EepControl *control, guint slot)
{
    return (EepParticipant *)eep_control_at(control, control->participants_offset) + slot;
}

/* What the coordinator has heard of a slot in this resize, bits by EepNoteWord. */
static inline guint32 *eep_control_heard(const EepControl *control, guint slot)
{
    return (guint32 *)eep_control_at(control, control->heard_offset) + slot;
}

/* Slot of a worker, EEP_SLOT_NONE if it has none. */
guint eep_control_find(const EepControl *control, EepWorkerId worker);

/* Takes the lowest free slot. There is one, as 2 x capacity are enough for one resize. */
guint eep_control_take_slot(EepControl *control, EepWorkerId worker, EepWho role);
void eep_control_free_slot(EepControl *control, guint slot);

/* All slots in use in the order that does not depend on history: the serving group by rank, then
 * the target's others by rank, then the rest. ret_slots[n_slots]; returns how many. */
guint eep_control_order(const EepControl *control, guint *ret_slots);

/* How many engines of the roster have one of these roles. */
guint eep_control_count(const EepControl *control, EepWho roles);

/* The block as bytes, and back into a block of the same size; FALSE with EEP_RESIZE_ERROR_LOAD. */
GBytes *eep_control_save(const EepControl *control);
gboolean eep_control_load(EepControl *control, GBytes *bytes, GError **error);

/* Equal for blocks that differ only in ids, serial numbers and the past; see eep_resize_hash(). */
guint64 eep_control_hash(const EepControl *control);

/* The invariants that the tables' comments list; FALSE with EEP_RESIZE_ERROR_INVARIANT and the
 * first that does not hold. */
gboolean eep_control_check(const EepControl *control, const EepGeneration *scheme, GError **error);

G_END_DECLS

#endif
