/* The inside of EepPool, for the files that make it up: pool.c (steps), pool_eplb.c, pool_resize.c.
 */
#ifndef EEP_CORE_ENGINE_POOL_INTERNAL_H
#define EEP_CORE_ENGINE_POOL_INTERNAL_H

#include "core/engine/pool.h"
#include "core/engine/router.h"
#include "core/engine/scheduler.h"
#include "core/eplb/eplb.h"
#include "core/resize/resize.h"

G_BEGIN_DECLS

typedef struct {
    EepPlan plan;
    EepOpId op;
    EepTime submitted;
    guint32 n_running, n_waiting;
    double kv_usage;
} EepPlannedStep;

/* A look at the load and the rearrangement that may come of it, until its last layer. */
typedef enum {
    EEP_RESHUFFLE_NONE,
    EEP_RESHUFFLE_READ,    /* the window's load is being read */
    EEP_RESHUFFLE_QUIESCE, /* synchronous: waiting for the steps in flight */
    EEP_RESHUFFLE_MOVE,    /* a layer's experts are on their way */
    EEP_RESHUFFLE_ARRIVED, /* asynchronous: they have arrived; the map switches at the next step
                              boundary */
} EepReshuffleState;

typedef struct {
    EepReshuffleState state;
    EepOpId op;       /* of the load read or of the layer's move */
    gboolean is_sync; /* no step runs while experts move */
    gboolean for_resize;
    guint n_ranks; /* the target's */
    gint64 bytes, bytes_intra_node, bytes_inter_node;
    guint64 n_moved;
    guint n_windows;   /* that were asked for */
    guint64 n_steps;   /* of all of them */
    double before;     /* balancedness, by the load it was planned on */
    double *load;      /* [L][E] */
    gboolean *is_busy; /* [L], whether the layer had any load */
    double *windows;   /* nullable [n_windows][L][E] */
    EepEplbWorth worth;
    EepTime stalled_at; /* no step has run for it since; EEP_TIME_NEVER: steps run */
} EepReshuffle;

struct EepPool {
    EepPoolServices *services;
    EepPoolId id;
    char *name;
    EepPoolOptions options; /* borrowed strings */
    EepPoolShape shape;
    EepPredictor *predictor;
    EepEngine **engines; /* [n_engines], by rank; serving */
    guint n_engines, n_engines_allocated;
    EepEpoch epoch;
    /* steps */
    EepStepHistory history;
    EepGapStack gaps;
    EepPlannedStep steps[2];
    guint oldest, n_in_flight;
    gboolean has_dropped; /* the slot behind those in flight holds a plan without work: it was not
                             submitted, but what it preempted stays so once the step commits */
    guint64 wave_step;    /* steps since the pool left idleness: vLLM's step_counter */
    guint64 wave;
    gboolean is_running, is_plan_queued, must_step;
    guint n_holds;    /* reasons for which no step may begin */
    guint n_failures; /* steps that failed in a row */
    gboolean is_idle_free;
    /* routing */
    EepRouter *router;
    gboolean is_stats_queued, is_refusing;
    EepTime last_published;
    guint n_routable; /* engines that get new requests: the first ones */
    /* experts */
    EepEplb *eplb;
    EepReshuffle reshuffle;
    double imbalance;
    double all2all_share; /* of the step then */
    EepTime imbalance_at;
    gboolean is_eplb_suspended;
    /* resize */
    EepResize *resize;
    GPtrArray *joining; /* EepEngine * that do not serve yet */
    GPtrArray *leaving; /* EepEngine * that serve no more, not released yet */
    GArray *timers;     /* of the resize machine */
    EepPoolCounts counts;
};

/* Plans at this instant if the pool may begin a step. */
void eep_pool_queue_plan(EepPool *pool);

/* While held, no step begins; pool_on_quiet() is called when none is in flight. Holds nest. */
void eep_pool_hold(EepPool *pool);
void eep_pool_release(EepPool *pool);

/* Creates an engine with the next worker id; it belongs to no list yet. */
EepEngine *eep_pool_make_engine(EepPool *pool);

/* The engine's GPUs do something else from now on. */
void eep_pool_set_gpu_use(EepPool *pool, EepEngine *engine, EepGpuUse use);

/* Ends all requests of the engine with this fate and reason; no step is in flight. Returns how
 * many. */
guint eep_pool_end_requests(EepPool *pool, EepEngine *engine, EepFate fate, EepReason reason);

/* -- pool_eplb.c -- */

EepEplb *eep_pool_make_eplb(const EepPool *pool, guint n_ranks, GError **error);

/* A step has ended. */
gboolean eep_pool_eplb_boundary(EepPool *pool, GError **error);
/* The pool has come to rest: no step will end soon. */
void eep_pool_eplb_rest(EepPool *pool);
/* No step is in flight and none may begin. */
gboolean eep_pool_eplb_quiet(EepPool *pool, GError **error);
gboolean eep_pool_eplb_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                  GError **error);
void eep_pool_eplb_start(EepPool *pool, guint n_ranks, gboolean is_sync, gboolean for_resize);
/* Forgets a running rearrangement's layers that have not switched. */
void eep_pool_eplb_drain(EepPool *pool);

/* -- pool_resize.c -- */

gboolean eep_pool_resize_init(EepPool *pool, GError **error);
void eep_pool_resize_clear(EepPool *pool);
/* A step has ended, or the pool has come to rest. */
void eep_pool_resize_boundary(EepPool *pool);
void eep_pool_resize_completion(EepPool *pool, const EepCompletion *completion);
void eep_pool_resize_reshuffled(EepPool *pool, gint64 bytes_moved);

G_END_DECLS

#endif
