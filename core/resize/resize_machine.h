/* The inside of EepResize, shared by the files that make it up and by nobody else. */
#ifndef EEP_CORE_RESIZE_RESIZE_MACHINE_H
#define EEP_CORE_RESIZE_RESIZE_MACHINE_H

#include "core/resize/control.h"
#include "core/resize/coordinator.h"
#include "core/resize/participant.h"
#include "core/resize/resize.h"

G_BEGIN_DECLS

/* Who asked, kept beside EepCoordinator.queue and shifted with it. */
typedef struct {
    char id[64], by[32];
    EepTime requested;
} EepResizeAsker;

/* An engine's place in the record. */
typedef struct {
    guint32 role; /* EepWho, one bit, as the resize began; NOBODY: it takes no part */
    guint32 rank;
} EepResizePlace;

/* Why a resize is rolled back. */
typedef enum {
    EEP_UNDO_FAILURE,
    EEP_UNDO_DEADLINE,
    EEP_UNDO_DRAIN,
    EEP_UNDO_LOSS,
    EEP_UNDO_CANCEL,
    EEP_UNDO_SUPERSEDED,
    EEP_UNDO_COUNT,
} EepResizeUndo;

struct EepResize {
    EepResizeWants wants; /* first: the inline questions read it */
    const EepResizeHost *host;
    gpointer host_self;
    EepResizeParams params;
    const EepGeneration *generation; /* the deployment's */
    char recovery_id[64];            /* of the recovery that is to begin */
    EepControl *control;
    EepResizeRecord record; /* of the resize that runs, or the last one */
    guint span;             /* index in it of the coordinator's own phase (drain, pause) */
    EepResizePlace *places; /* [n_slots] */
    EepResizeAsker askers[EEP_CONTROL_MAX_QUEUE];
};

static inline EepTime eep_resize_now(const EepResize *resize)
{
    return resize->host->now(resize->host_self);
}

/* The generation, or recovery, of the resize that runs. */
static inline const EepGeneration *eep_resize_scheme(const EepResize *resize)
{
    guint32 scheme = resize->control->coordinator.scheme;

    return scheme == 0 ? resize->generation : eep_generation_of_recovery((EepRecovery)scheme);
}

/* The plan of the resize that runs. */
static inline const EepGenerationPlan *eep_resize_plan(const EepResize *resize)
{
    const EepGeneration *scheme = eep_resize_scheme(resize);

    return resize->control->coordinator.is_up ? &scheme->up : &scheme->down;
}

static inline gboolean eep_resize_is_adopted(const EepResize *resize)
{
    return eep_control_serving(resize->control)->epoch ==
           eep_control_target(resize->control)->epoch;
}

/* Slots a rank with so many engines, as the scheme has it: a fresh start may choose the fewest. */
static inline guint eep_resize_slots_at(const EepResize *resize, const EepGeneration *scheme,
                                        gint64 n_engines)
{
    const EepResizeParams *params = &resize->params;
    gint64 ranks = n_engines * params->tensor_parallel_size;

    if (!params->refit || !scheme->replaces_all || params->n_experts == 0)
        return resize->control->slots_per_rank;
    return (guint)((params->n_experts - 1) / ranks + 1);
}

/* Whether a row is there under the deployment's options. */
gboolean eep_resize_row_applies(const EepResize *resize, const EepGenerationRow *row);

/* Whether a role has anything to do in a stage. */
gboolean eep_resize_has_rows(const EepResize *resize, EepWho role, EepStage stage);

/* -- resize.c -- */
void eep_resize_send(EepResize *resize, guint slot, EepNoteWord word);
void eep_resize_arm(EepResize *resize, EepResizeTimer timer, EepTime delay);
void eep_resize_disarm(EepResize *resize, EepResizeTimer timer);
/* Sets or clears reasons why no step may begin. */
void eep_resize_block(EepResize *resize, guint blocks);
void eep_resize_unblock(EepResize *resize, guint blocks);
void eep_resize_set_stalled(EepResize *resize, gboolean is_stalled);
/* Lets everybody act who may, at the end of every call from outside. `in_boundary`: a step of the
 * serving group has just ended. */
void eep_resize_run(EepResize *resize, gboolean in_boundary);
/* Brings up to date what the inline questions read. */
void eep_resize_update_wants(EepResize *resize);
/* Opens and closes a phase of the record. */
guint eep_resize_begin_phase(EepResize *resize, const char *name, EepWho who, gboolean blocks);
void eep_resize_begin_span(EepResize *resize, const char *name, EepWho who, gboolean blocks);
void eep_resize_end_span(EepResize *resize);

/* -- resize_request.c -- */
/* No resize runs: begins a recovery that waits, or the oldest request that does. */
void eep_resize_start_next(EepResize *resize);
/* Begins one that nothing forbids: tells it as accepted. What a stuck one has left is its own from
 * now on. */
void eep_resize_begin(EepResize *resize, const EepResizeRecord *record);
gboolean eep_resize_is_running(const EepResize *resize);
/* Sets the running record's outcome and tells it. */
void eep_resize_tell_end(EepResize *resize, EepOutcome outcome, const char *reason);
/* Tells what the stuck resize has left behind up to now, if there is one. */
void eep_resize_close(EepResize *resize);

/* -- roster.c -- */
/* Fixes who takes part, as what, and the target group as far as it is known. */
void eep_roster_assign(EepResize *resize);
/* Launches the target's new engines if their first row is in this stage. */
void eep_roster_launch(EepResize *resize, EepStage stage);
/* Books who takes part in the record, which is new. */
void eep_roster_book(EepResize *resize);
/* Books that the slot's engine has ended its part of the record's phase, or that those lost since
 * the resize began have none in one that begins. */
void eep_roster_book_end(EepResize *resize, guint slot, guint phase);
void eep_roster_book_absent(EepResize *resize, guint phase);
/* Forgets the resize; the group that serves is all that is left of it. */
void eep_roster_clear(EepResize *resize);
void eep_roster_set_use(EepResize *resize, EepGpuUse use);
void eep_roster_set_leaving_routable(EepResize *resize, gboolean is_routable);

/* -- loss.c -- */
/* Begins the recovery that waits; no resize runs. */
void eep_resize_start_recovery(EepResize *resize);

/* -- row.c -- */
/* The participant in `slot` has come to the row. */
void eep_row_enter(EepResize *resize, guint slot, guint index);
/* It has come to the staged barrier of the row that is ready. */
void eep_row_arrive(EepResize *resize, guint slot);
/* Starts what has become ready. `may_members`: it is the end of a step, or none is in flight.
 * TRUE: something has happened. */
gboolean eep_rows_start_ready(EepResize *resize, gboolean may_members, gboolean in_boundary);
/* Somebody waits at a staged barrier, and whether members inside a step may come to it. */
gboolean eep_rows_hold_members(const EepResize *resize);
void eep_rows_pass_barrier(EepResize *resize, gboolean timed_out, gboolean in_boundary);
/* Looks which leaving engines have no request left; with `is_over` they have had their time. */
gboolean eep_rows_poll_drain(EepResize *resize, gboolean is_over);
/* The row's work has ended for one participant, or (slot EEP_SLOT_NONE) for all. */
void eep_row_complete(EepResize *resize, guint index, guint slot);
void eep_row_fail(EepResize *resize, guint index, guint slot);
/* Nobody waits for the participant in any row any more. */
void eep_rows_forget(EepResize *resize, guint slot);
/* Ends what runs and may be left undone; those who take part go on. */
void eep_rows_give_up(EepResize *resize);
/* Gives up all that runs; every row is as if it had never begun. */
void eep_rows_abort(EepResize *resize);
/* The row that an operation belongs to, EEP_CONTROL_MAX_ROWS if none. */
guint eep_row_of_op(const EepResize *resize, EepOpId op);
/* The row with one of these acts (bits by EepAct) that runs, EEP_CONTROL_MAX_ROWS if none. */
guint eep_row_running(const EepResize *resize, guint acts);

/* -- rules.c -- */
/* Why this size cannot be had now, in words, or NULL. g_free(). */
char *eep_rules_refusal(const EepResize *resize, gint64 new_dp);
/* Why the recovery cannot be had with so many engines left, or NULL. */
char *eep_rules_recovery_refusal(const EepResize *resize, EepRecovery recovery, guint n_left);

G_END_DECLS

#endif
