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

struct EepResize {
    EepResizeWants wants; /* first: the inline questions read it */
    const EepResizeHost *host;
    gpointer host_self;
    EepResizeParams params;
    const EepGeneration *generation;
    EepControl *control;
    EepResizeRecord record; /* of the resize that runs, or the last one */
    guint span;             /* index in it of the coordinator's own phase (drain, pause) */
    EepResizeAsker askers[EEP_CONTROL_MAX_QUEUE];
};

static inline EepTime eep_resize_now(const EepResize *resize)
{
    return resize->host->now(resize->host_self);
}

/* The plan of the resize that runs. */
static inline const EepGenerationPlan *eep_resize_plan(const EepResize *resize)
{
    return resize->control->coordinator.is_up ? &resize->generation->up : &resize->generation->down;
}

/* Whether a row is there under the deployment's options. */
gboolean eep_resize_row_applies(const EepResize *resize, const EepGenerationRow *row);

/* Whether a role has anything to do in a stage. */
gboolean eep_resize_has_rows(const EepResize *resize, EepWho role, EepStage stage);

/* -- resize.c -- */
void eep_resize_send(EepResize *resize, guint slot, EepNoteWord word);
void eep_resize_arm(EepResize *resize, EepResizeTimer timer, EepTime delay);
void eep_resize_disarm(EepResize *resize, EepResizeTimer timer);
void eep_resize_set_blocked(EepResize *resize, gboolean is_blocked);
void eep_resize_set_stalled(EepResize *resize, gboolean is_stalled);
void eep_resize_start_next(EepResize *resize);
/* Opens and closes a phase of the record. */
guint eep_resize_begin_phase(EepResize *resize, const char *name, EepWho who, gboolean blocks);
void eep_resize_begin_span(EepResize *resize, const char *name, EepWho who, gboolean blocks);
void eep_resize_end_span(EepResize *resize);
/* Sets the running record's outcome and tells it. */
void eep_resize_tell_end(EepResize *resize, EepOutcome outcome, const char *reason);

/* -- row.c -- */
/* The participant in `slot` has come to the row; the last to come starts it. */
void eep_row_enter(EepResize *resize, guint slot, guint index);
/* The row's work has ended for one participant, or (slot EEP_SLOT_NONE) for all. */
void eep_row_complete(EepResize *resize, guint index, guint slot);
void eep_row_fail(EepResize *resize, guint index, guint slot);
/* The row that an operation belongs to, EEP_CONTROL_MAX_ROWS if none. */
guint eep_row_of_op(const EepResize *resize, EepOpId op);
/* The reshuffle that runs, EEP_CONTROL_MAX_ROWS if none. */
guint eep_row_of_reshuffle(const EepResize *resize);

/* -- rules.c -- */
/* Why this size cannot be had now, in words, or NULL. g_free(). */
char *eep_rules_refusal(const EepResize *resize, gint64 new_dp);

G_END_DECLS

#endif
