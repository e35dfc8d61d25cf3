/* The inside of the simulated backend, for the files that make it up: backend_sim.c (operations),
 * backend_load.c (load reads), backend_faults.c (what is slow or stops), link_shares.c. */
#ifndef EEP_SIM_BACKEND_SIM_INTERNAL_H
#define EEP_SIM_BACKEND_SIM_INTERNAL_H

#include "core/fault.h"
#include "sim/broken_parts.h"
#include "sim/contention.h"
#include "sim/load_runs.h"
#include "sim/predictor_sim.h"

G_BEGIN_DECLS

#define EEP_SIM_STEPS_IN_FLIGHT 2

/* A step in flight. Its event may have been dispatched already: the backend is not told. */
typedef struct {
    EepOp op;
    EepHandle handle;
    EepTime begin, end; /* end EEP_TIME_NEVER: it hangs */
    EepTime left;       /* of its own time, when the pool's links were settled last */
    double all2all;     /* fraction of its time that wants the links */
    guint64 first_step;
    guint32 n_engines;
    gboolean is_open;
    EepWorkerId *engines; /* [n_allocated], of whose first n_engines the step runs */
    guint n_allocated;
} EepSimStep;

typedef struct {
    EepPredictor *predictor;
    EepSimStep steps[EEP_SIM_STEPS_IN_FLIGHT];
    guint next;       /* slot of the next step: the older one */
    EepTime step_end; /* of the last step submitted */
    EepTime move_end;
    EepTime settled;      /* when `left` of steps and moves was brought up to date */
    EepTime loaded_until; /* no phase that loads what steps use goes on after this */
    EepLoadRuns load;     /* made with the first step */
    GArray *joined;       /* EepWorkerId, nullable: of the ranks behind those of the last step */
} EepSimPool;

/* A completion to come of an operation other than a step. */
typedef struct {
    EepOp op;
    EepOpKind kind;
    EepWorkerId worker; /* 0: whole */
    EepTime at;         /* EEP_TIME_NEVER: it hangs */
    EepHandle handle;
    EepContentionMove move; /* of a move; what is left of it, see EepSimPool.settled */
    guint n_workers;        /* of a move: those that take part, as far as known */
    EepWorkerId *workers;   /* owned */
    guint8 load;            /* of a phase: what it takes from its worker; whole: from the others */
} EepSimPending;

typedef struct EepSimBackend EepSimBackend;

typedef struct {
    EepFaultInjector base;
    EepSimBackend *backend;
} EepSimInjector;

struct EepSimBackend {
    EepBackend base;
    EepPredictor *predictor;
    GPtrArray *pools; /* EepSimPool by id, NULL where none was seen */
    GArray *pending;  /* EepSimPending, in the order of submission */
    EepBrokenParts *broken;
    gboolean is_broken; /* anything is */
    EepSimInjector injector;
};

EepSimPool *eep_sim_pool(EepSimBackend *self, EepPoolId id);

static inline EepSimPending *eep_sim_pending(const EepSimBackend *self, guint index)
{
    return &g_array_index(self->pending, EepSimPending, index);
}

static inline gboolean eep_sim_pending_is_move(const EepSimPending *pending)
{
    return pending->kind == EEP_OP_MOVE_EXPERTS || pending->kind == EEP_OP_MOVE_KV;
}

/* -- link_shares.c: links that a pool's steps and moves share -- */

gboolean eep_sim_links_are_shared(const EepSimPool *pool, EepTime now);

/* Brings what is left of steps and moves up to date; while moves go on, before anything is added
 * or taken away. */
void eep_sim_links_settle(EepSimBackend *self, EepPoolId id);

/* New ends for all that goes on, now that something was added or taken away. */
void eep_sim_links_project(EepSimBackend *self, EepPoolId id);

/* -- backend_faults.c -- */

/* The cost of a step that begins at `begin` while something is broken or loaded; cost->step is
 * EEP_TIME_NEVER when it hangs. */
void eep_sim_price_step(EepSimBackend *self, const EepStepPlan *plan, EepTime begin,
                        EepStepCost *ret_cost);

/* The same of a phase; *ret_done is how it ends. ret_each[n_workers]. */
EepTime eep_sim_price_phase(EepSimBackend *self, const EepPhase *phase, EepTime *ret_each,
                            EepDone *ret_done);

/* The same of a move; its workers are in `pending`. */
EepTime eep_sim_price_move(EepSimBackend *self, const EepMove *move, const EepSimPending *pending,
                           EepTime *ret_link);

/* Remembers who joins, for the ranks of moves; fills in who takes part in one. */
void eep_sim_note_joining(EepSimBackend *self, const EepPhase *phase);
void eep_sim_name_workers(EepSimBackend *self, const EepMove *move, EepSimPending *pending);

void eep_sim_injector_init(EepSimBackend *self);

/* -- backend_load.c -- */

/* What read_load() reports. */
GBytes *eep_sim_load_report(const EepSimPool *pool, guint64 from_step, guint64 to_step,
                            guint n_windows);

/* Remembers the step's tokens, `sum` of them. */
void eep_sim_load_add(EepSimPool *pool, const EepStepPlan *plan, guint64 sum);

G_END_DECLS

#endif
