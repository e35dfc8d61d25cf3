/* The backend seam (core/loop/backend.h) under virtual time: operations end when the predictor says
 * they would.
 *
 * Steps of a pool run one after another, two in flight; the second begins when the first ends.
 * Phases end on each worker, then whole; moves, whose workers are not named, end whole, and those
 * of one pool share its links by taking turns. A load read gives the counts of the window's steps
 * (expected ones, or those drawn in the sampled mode). An abort ends everything in its scope at
 * once; a worker's scope covers its phases and the steps of its engine. No leaps. Loop thread only;
 * owned by its maker. */
#ifndef EEP_SIM_BACKEND_SIM_H
#define EEP_SIM_BACKEND_SIM_H

#include "core/fault.h"
#include "core/predictor.h"

G_BEGIN_DECLS

/* Borrows `predictor` (of eep_sim_predictor_new()) for life; it serves every pool without one of
 * its own. */
EepBackend *eep_sim_backend_new(EepPredictor *predictor);

/* Gives pool `pool` a predictor of its own, borrowed; before its first operation. */
void eep_sim_backend_set_predictor(EepBackend *backend, EepPoolId pool, EepPredictor *predictor);

/* What breaks parts of the simulated cluster; it lives as long as the backend. stop_worker only
 * once that is attached.
 *
 * A stopped worker's part of a phase never ends, the others' do; steps and moves that it takes part
 * in, and all moves queued behind these, hang. What hangs does so until it is aborted, whatever
 * heals. What goes on when a worker or a link becomes slow, or itself again, takes longer for that
 * time only; background work counts from the next step on. A slow link slows whatever is exchanged
 * over it, for all who take part. A phase that fails does so at its usual time, on all its workers,
 * as EEP_DONE_TIMED_OUT. Which rank a worker has is known from the move itself, else from the last
 * step and from the phases of those who join. */
EepFaultInjector *eep_sim_backend_injector(EepBackend *backend);

G_END_DECLS

#endif
