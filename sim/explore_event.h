/* EepExploreEvent: one thing that may happen next in a state of the explorer's world.
 *
 * The list of a state has two parts: what has to happen some day (deliveries, completions, ends of
 * steps, detections), in an order in which a fair world might do it, and what may happen or not
 * (faults, requests, a step more than needed). A state in which nothing has to happen is at rest.
 * Plain values, four bytes. */
#ifndef EEP_SIM_EXPLORE_EVENT_H
#define EEP_SIM_EXPLORE_EVENT_H

#include "sim/explore_world.h"

G_BEGIN_DECLS

typedef enum {
    EEP_EXPLORE_NOTE_FROM, /* a: line */
    EEP_EXPLORE_NOTE_TO,   /* a: line */
    EEP_EXPLORE_PART,      /* a: operation, b: line */
    EEP_EXPLORE_WHOLE,     /* a: operation */
    EEP_EXPLORE_RESHUFFLED,
    EEP_EXPLORE_MIGRATED, /* a: from line, b: to line */
    EEP_EXPLORE_SPREAD,
    EEP_EXPLORE_DETECT,     /* a: line */
    EEP_EXPLORE_STEP_END,   /* a: at a check of the pause */
    EEP_EXPLORE_STEP_BEGIN, /* a: */
    EEP_EXPLORE_FINISH,     /* a: line; a step ends in which its requests do */
    EEP_EXPLORE_TIMER,      /* a: index */
    EEP_EXPLORE_DEADLINE,   /* a: index; a timer that fires though what it guards goes on */
    EEP_EXPLORE_REQUEST,    /* a: size */
    EEP_EXPLORE_ANOTHER,    /* a: size; a second request */
    EEP_EXPLORE_CANCEL,
    EEP_EXPLORE_STOP,    /* a: line */
    EEP_EXPLORE_HEAL,    /* a: line */
    EEP_EXPLORE_RECOVER, /* out of a stuck resize */
    EEP_EXPLORE_FAIL,    /* a: operation, b: line */
    EEP_EXPLORE_EVENT_COUNT,
} EepExploreEventKind;

typedef struct {
    guint8 kind, a, b, pad;
} EepExploreEvent;

#define EEP_EXPLORE_MAX_EVENTS 256

/* Fills the list and returns how many; the first *ret_n_due of them have to happen some day. */
guint eep_explore_events(const EepExploreRig *rig, EepExploreEvent *ret_events, guint *ret_n_due);

/* Whether the whole pool is being drained, and whether the requests of this line's engine are
 * waited for. */
gboolean eep_explore_pool_drains(const EepExploreRig *rig);
gboolean eep_explore_is_drained(const EepExploreRig *rig, guint index);

/* Makes it happen. What goes wrong is in rig->violation. */
void eep_explore_apply(EepExploreRig *rig, EepExploreEvent event);

/* The event in words that name it among those of its state: "e2 gets commit". */
void eep_explore_event_print(const EepExploreRig *rig, EepExploreEvent event, GString *ret_text);

G_END_DECLS

#endif
