/* The inside of the simulated backend, for the files that make it up: backend_sim.c (operations),
 * backend_load.c (load reads), backend_faults.c (what is slow or stops), backend_retime.c (new ends
 * for what goes on when something becomes slow), link_shares.c. */
#ifndef EEP_SIM_BACKEND_SIM_INTERNAL_H
#define EEP_SIM_BACKEND_SIM_INTERNAL_H

#include "core/fault.h"
#include "core/skew.h"
#include "sim/broken_parts.h"
#include "sim/contention.h"
#include "sim/load_runs.h"
#include "sim/predictor_sim.h"

G_BEGIN_DECLS

#define EEP_SIM_STEPS_IN_FLIGHT 2

/* A step in flight. Its event may have been dispatched already: the backend is not told. */
typedef struct {
    EepStepPlan plan; /* its arrays are those below */
    EepHandle handle;
    EepTime begin, end; /* end EEP_TIME_NEVER: it hangs */
    EepTime left;       /* of its own time, when the pool's links were settled last */
    double all2all;     /* fraction of its time that wants the links */
    guint8 load;        /* of background work beside it, as when it was submitted */
    gboolean is_open;
    EepEngineWork *work; /* [n_allocated], of whose first plan.n_engines the step runs */
    guint n_allocated;
    EepClassTokens classes[EEP_SKEW_MAX_CLASSES];
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
    EepPhase *phase; /* of the whole of a phase: to price it again; owned, with its workers */
    EepMove *plan;   /* of a move, likewise, with its transfers and bytes */
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

/* Of a step's time, what it spends in the all-to-all. */
double eep_sim_all2all_fraction(const EepSimPool *pool, const EepStepPlan *plan,
                                const EepStepCost *cost);

/* Something ends earlier or later than it did, or not at all any more: links are free again once no
 * move is left, as is what phases load. */
void eep_sim_note_ends(EepSimBackend *self, EepTime now);

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

/* New ends for all that goes on, now that something was added, taken away or given another time. */
void eep_sim_links_project(EepSimBackend *self, EepPoolId id);

/* -- backend_faults.c -- */

/* What background work takes from a step that begins at `begin`. */
guint8 eep_sim_load_of_step(const EepSimBackend *self, const EepStepPlan *plan, EepTime begin);

/* The cost of a step while something is broken, or `load` beside it; cost->step is EEP_TIME_NEVER
 * when it hangs. */
void eep_sim_price_step(EepSimBackend *self, const EepStepPlan *plan, guint8 load,
                        EepStepCost *ret_cost);

/* What each worker's part of the phase takes, hanging apart. ret_each[n_workers]. */
void eep_sim_price_parts(EepSimBackend *self, const EepPhase *phase, EepTime *ret_each);

/* The phase begins: the same, and how it ends. Returns what the whole takes. */
EepTime eep_sim_price_phase(EepSimBackend *self, const EepPhase *phase, EepTime *ret_each,
                            EepDone *ret_done);

/* What the move takes, hanging apart; ret_link: of it, the part that uses links. */
EepTime eep_sim_price_move(EepSimBackend *self, const EepMove *move, EepTime *ret_link);
/* By its workers, in `pending`. */
gboolean eep_sim_move_hangs(const EepSimBackend *self, const EepSimPending *pending);

/* Whether the worker takes part in the step. */
gboolean eep_sim_step_has(const EepSimStep *step, EepWorkerId worker);

/* Remembers who joins, for the ranks of moves; fills in who takes part in one. */
void eep_sim_note_joining(EepSimBackend *self, const EepPhase *phase);
void eep_sim_name_workers(EepSimBackend *self, const EepMove *move, EepSimPending *pending);

void eep_sim_injector_init(EepSimBackend *self);

/* -- backend_retime.c -- */

typedef struct EepSimPrices EepSimPrices;

/* What all that goes on would take from begin to end, as things are now; links are settled. NULL:
 * the backend is not attached, so nothing goes on. */
EepSimPrices *eep_sim_prices_new(EepSimBackend *self);

/* Gives what goes on new ends: of each, what is left takes as much longer as it would take as a
 * whole, now against `before`. Frees `before`, which may be NULL. */
void eep_sim_retime(EepSimBackend *self, EepSimPrices *before);

/* -- backend_load.c -- */

/* What read_load() reports. */
GBytes *eep_sim_load_report(const EepSimPool *pool, guint64 from_step, guint64 to_step,
                            guint n_windows);

/* Remembers the step's tokens, `sum` of them. */
void eep_sim_load_add(EepSimPool *pool, const EepStepPlan *plan, guint64 sum);

G_END_DECLS

#endif
