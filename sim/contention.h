/* Contention: when steps and moves end that share the links of one pool.
 *
 * Two queues, steps and moves, each served in order. A move first does what needs no links (control
 * messages, copies), then its transfers; while these and a step go on together, both are slowed as
 * core/link_share.h says. Alone, each lasts exactly its own time. Not a queue of events: the caller
 * (backend_sim.c) runs the queues on when something is added and takes the new ends from here.
 * Pure; any thread. */
#ifndef EEP_SIM_CONTENTION_H
#define EEP_SIM_CONTENTION_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct {
    EepTime begin;  /* not before */
    EepTime left;   /* of its own time */
    double all2all; /* fraction of its time that wants the links */
    EepTime end;    /* result */
} EepContentionStep;

typedef struct {
    EepTime begin;
    EepTime local, link; /* left of its own time: first without links, then on them */
    EepTime end;         /* result */
} EepContentionMove;

/* Runs both queues over [from, until): takes off what is done and sets the end of what ends. Other
 * ends stay. until EEP_TIME_NEVER: to the end of both. */
void eep_contention_run(double share, EepContentionStep *steps, guint n_steps,
                        EepContentionMove *moves, guint n_moves, EepTime from, EepTime until);

G_END_DECLS

#endif
