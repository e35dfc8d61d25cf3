/* SimWorld: a simulated backend with its loop, 16 engines of one pool on two nodes, and a note of
 * every completion. One of it, in `sim_world`, for a test's fixture; options may be changed between
 * calls. Not a deployment: no scheduler runs. */
#ifndef EEP_TESTS_SIM_WORLD_H
#define EEP_TESTS_SIM_WORLD_H

#include "core/resize/phase.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"

G_BEGIN_DECLS

#define SIM_WORLD_ENGINES 16 /* the worker of rank r is r + 1 */

typedef struct {
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    EepSkewOptions skew;
    EepClock *clock;
    EepLoop *loop;
    EepPredictor *predictor;
    EepBackend *backend;
    EepFaultInjector *injector;
    EepPlacement *placement;
    GArray *ended; /* completions with their times */
    EepEngineWork work[SIM_WORLD_ENGINES];
    EepStepPlan plan;
} SimWorld;

extern SimWorld sim_world;

void world_setup(void);
void world_teardown(void);

void world_submit(EepOpId id);
EepPhase world_phase_of(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers);
void world_start_phase(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers);
EepMove world_move_of(EepOpId id, const EepTransfer *transfers, guint n);
void world_move(EepOpId id, guint from, guint to);
void world_abort_all(EepOpId id);

/* Until the last event by then; it is no later afterwards. */
void world_run(EepTime until);
void world_run_all(void);
/* Until then, and it is then. */
void world_pass_to(EepTime at);

/* When the operation's part of `worker` (0: whole) ended; EEP_TIME_NEVER: it has not. */
EepTime world_end_of(EepOpId id, EepWorkerId worker, EepDone done);

EepTime world_cost_of_step(EepStepCost *ret_cost);

G_END_DECLS

#endif
