/* The inside of EepPool, for the files that make it up: pool.c (steps), pool_eplb.c, pool_resize.c
 * and pool_host.c, pool_fault.c (pool_fault.h) and their neighbours. */
#ifndef EEP_CORE_ENGINE_POOL_INTERNAL_H
#define EEP_CORE_ENGINE_POOL_INTERNAL_H

#include "core/engine/pool.h"
#include "core/engine/router.h"
#include "core/engine/scheduler.h"
#include "core/engine/seat.h"
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

/* What a rearrangement is for. */
typedef struct {
    gboolean is_sync; /* no step runs while experts move */
    gboolean for_resize;
    gboolean is_free;    /* costs nothing: all layers switch at once */
    gboolean is_preload; /* into new ranks' slots; no map switches */
    guint n_ranks;       /* that are to hold experts; of a preload: all of the wider group */
    guint8 *ranks;       /* nullable, EepEplbRank by serving rank */
    gint32 *source;      /* of a preload [n_ranks]: the serving rank that each was, or -1 */
} EepReshuffleAim;

typedef struct {
    EepReshuffleState state;
    EepOpId op; /* of the load read or of the layer's move */
    EepReshuffleAim aim;
    guint64 n_missing; /* experts without a slot before it */
    gint64 bytes, bytes_intra_node, bytes_inter_node;
    guint64 n_moved, n_restored;
    guint n_windows;   /* that were asked for */
    guint64 n_steps;   /* of all of them */
    double before;     /* balancedness, by the load it was planned on */
    double *load;      /* [L][E] */
    gboolean *is_busy; /* [L], whether the layer had any load */
    double *windows;   /* nullable [n_windows][L][E] */
    EepEplbWorth worth;
    EepTime stalled_at; /* no step has run for it since; EEP_TIME_NEVER: steps run */
} EepReshuffle;

/* What eep_pool_migrate() was asked for. */
typedef struct {
    EepWorkerId worker;   /* of the leaving engine; 0: even out */
    EepWorkerId *targets; /* owned */
    guint n_targets;
    guint64 n_requests; /* moved so far, and what they had */
    gint64 bytes;
    guint64 n_left; /* moves that evening out may still make */
} EepMigrationJob;

typedef enum {
    EEP_MIGRATION_IDLE,
    EEP_MIGRATION_COPYING, /* the batch decodes on */
    EEP_MIGRATION_STOPPED, /* it stands still */
} EepMigrationState;

/* Requests that move between engines; see pool_migrate.c. */
typedef struct {
    GArray *jobs;     /* EepMigrationJob */
    GPtrArray *seats; /* EepSeat, of the batch under way */
    EepMigrationState state;
    EepOpId op;           /* of the copy; 0: none is under way */
    gboolean has_arrived; /* the copy has; the next step boundary goes on from there */
    gboolean must_undo;   /* at the next boundary */
    gboolean moves_kv;    /* the backend does, and it works */
    gboolean is_instant;  /* generation instant: copies take no time */
    gboolean is_kicked;   /* its timer is queued */
    guint n_failures;     /* copies that failed in a row */
    gint64 batch_bytes;   /* of the batch: sent, */
    guint n_taken;        /* requests that decode on, */
    EepTime stopped_at;   /* when it stopped */
    /* A job of eep_pool_migrate() is over: eep_pool_resize_migrated() but in tests. */
    void (*ended)(EepPool *pool, EepWorkerId worker, guint64 n_requests, gint64 bytes);
} EepPoolMigration;

/* Timer of eep_pool_on_timer() that the resize machine never uses. */
#define EEP_POOL_TIMER_MIGRATE G_MAXUINT64
typedef struct EepPoolFaults EepPoolFaults; /* pool_fault.h */

struct EepPool {
    EepPoolServices *services;
    EepPoolId id;
    char *name;
    EepPoolOptions options; /* borrowed strings */
    EepPoolShape shape;
    EepPredictor *predictor;
    EepEngine **engines; /* [n_engines], by rank; serving */
    guint n_engines;
    guint64 n_blocks; /* KV blocks of each, and of those that join */
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
    guint n_failures; /* steps of this group that failed in a row */
    gboolean is_idle_free;
    /* routing */
    EepRouter *router;
    gboolean is_stats_queued, is_refusing;
    EepTime last_published;
    /* experts */
    EepEplb *eplb;
    EepReshuffle reshuffle;
    double imbalance;
    double all2all_share; /* of the step then */
    EepTime imbalance_at;
    gboolean is_eplb_suspended;
    gboolean
        is_eplb_pinned; /* experts stay where a resize puts them until it has ended: no looks */
    /* resize */
    EepResize *resize;
    const EepGeneration *generation;
    GPtrArray *joining; /* EepEngine * that do not serve yet */
    GPtrArray *leaving; /* EepEngine * that serve no more, not released yet */
    GArray *timers;     /* of the resize machine */
    EepPoolMigration migration;
    GArray *reserve;  /* EepTime: since when each engine of the reserve stands by */
    guint n_reserved; /* engines that run from the start, serving ones too; 0: no reserve */
    /* faults */
    EepPoolFaults *faults;
    guint n_silent; /* engines that are lost and nobody has noticed: what they take part in hangs */
    guint64 n_missing; /* (layer, expert) pairs without a live slot while an incident is open */
    gboolean has_exited;
    EepPoolCounts counts;
};

/* Plans at this instant if the pool may begin a step. */
void eep_pool_queue_plan(EepPool *pool);

/* While held, no step begins; pool_on_quiet() is called when none is in flight. Holds nest. */
void eep_pool_hold(EepPool *pool);
void eep_pool_release(EepPool *pool);

/* The steps in flight did not happen; the backend ends them. */
void eep_pool_abort_steps(EepPool *pool);

/* Queues a request again that was in the pool before; FALSE when every queue is full. */
gboolean eep_pool_requeue(EepPool *pool, EepRequest *request);

/* The engine is in no list any more: closes its account of GPU time, keeps its counts, frees it. */
void eep_pool_retire_engine(EepPool *pool, EepEngine *engine);

/* Creates an engine with the next worker id; it belongs to no list yet. */
EepEngine *eep_pool_make_engine(EepPool *pool);

/* The engine's GPUs do something else from now on. Who serves and gets no new request drains. */
void eep_pool_set_gpu_use(EepPool *pool, EepEngine *engine, EepGpuUse use);
/* Whether the router may choose it. */
void eep_pool_set_routable(EepPool *pool, EepEngine *engine, gboolean is_routable);

/* Ends all requests of the engine with this fate and reason; no step is in flight. Returns how
 * many. */
guint eep_pool_end_requests(EepPool *pool, EepEngine *engine, EepFate fate, EepReason reason);

/* -- pool_eplb.c -- */

/* With as many slots a rank as at launch, or, `refits`, as few as hold all experts. */
EepEplb *eep_pool_make_eplb(const EepPool *pool, guint n_ranks, gboolean refits, GError **error);

/* A step has ended. */
gboolean eep_pool_eplb_boundary(EepPool *pool, GError **error);
/* The pool has come to rest: no step will end soon. */
void eep_pool_eplb_rest(EepPool *pool);
/* No step is in flight and none may begin. */
gboolean eep_pool_eplb_quiet(EepPool *pool, GError **error);
gboolean eep_pool_eplb_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                  GError **error);
/* Takes over the aim's arrays. */
void eep_pool_eplb_start(EepPool *pool, EepReshuffleAim aim);
/* Forgets a running rearrangement's layers that have not switched. */
void eep_pool_eplb_drain(EepPool *pool);
/* The same for a resize's, and what has been preloaded; its operation ends. */
void eep_pool_eplb_stop(EepPool *pool);
void eep_pool_eplb_clear(EepPool *pool);

/* -- pool_migrate.c -- */

void eep_pool_migrate_init(EepPool *pool);
void eep_pool_migrate_clear(EepPool *pool);

/* As EepResizeHost's migrate() and stop_migration() say. The end is told by migration.ended. */
gboolean eep_pool_migrate(EepPool *pool, EepWorkerId worker, const EepGroup *target);
void eep_pool_stop_migration(EepPool *pool);

/* Requests move at step boundaries: while any are to, no step is planned ahead. */
static inline gboolean eep_pool_is_migrating(const EepPool *pool)
{
    return pool->migration.jobs->len > 0 || pool->migration.state != EEP_MIGRATION_IDLE;
}

/* A step has ended. */
void eep_pool_migrate_boundary(EepPool *pool);
void eep_pool_migrate_timer(EepPool *pool);
void eep_pool_migrate_completion(EepPool *pool, const EepCompletion *completion);

/* The request, which has EEP_REQUEST_FLAG_SEATED, has its end. */
void eep_pool_migrate_forget(EepPool *pool, const EepRequest *request);

/* The engine is dead, or goes: what it was to send stays there, what it was to receive stays where
 * it is. To be called before its requests are ended; no step is in flight if it sends or receives.
 */
void eep_pool_migrate_lost(EepPool *pool, const EepEngine *engine);

/* Counts against the engines' own. */
gboolean eep_pool_migrate_check(const EepPool *pool, GError **error);

/* -- pool_migrate_plan.c; no step in flight -- */

/* NULL: there is none. An engine that leaves is found after it has left, too. */
EepMigrationJob *eep_pool_migrate_find_job(const EepPool *pool, EepWorkerId worker);
EepEngine *eep_pool_migrate_find_engine(const EepPool *pool, EepWorkerId worker);

/* Whoever waits at a leaving engine waits elsewhere. */
void eep_pool_migrate_reroute(EepPool *pool);

/* Seats for the next batch; none: nobody is to move, or can. */
void eep_pool_migrate_plan(EepPool *pool);

/* Nothing moves, and yet the job's engine has requests: there is no room for them anywhere, or
 * nothing carries their KV. They wait at the least loaded engine, as if they had been preempted. A
 * prefill that goes on is waited for. */
void eep_pool_migrate_recompute(EepPool *pool, EepMigrationJob *job);

/* -- pool_host.c -- */

/* What the resize machine acts through; its `self` is the pool. */
extern const EepResizeHost eep_pool_resize_host;

/* Serving, joining or leaving; NULL: none. */
EepEngine *eep_pool_find_engine(EepPool *pool, EepWorkerId worker);

/* -- pool_resize.c -- */

gboolean eep_pool_resize_init(EepPool *pool, GError **error);
void eep_pool_resize_clear(EepPool *pool);
/* What the machine wants of the steps may have changed with every call into it. */
void eep_pool_follow_wants(EepPool *pool);
/* The machine's timers; after stop() none fires any more. */
void eep_pool_resize_start_timer(EepPool *pool, guint64 timer, EepTime delay);
void eep_pool_resize_cancel_timer(EepPool *pool, guint64 timer);
void eep_pool_resize_stop(EepPool *pool);
/* The operation ends as soon as it can, and tells. */
void eep_pool_abort_op(EepPool *pool, EepOpId op);
/* A step has ended, or the pool has come to rest. */
void eep_pool_resize_boundary(EepPool *pool);
/* Ends of what the machine asked for. */
void eep_pool_resize_completion(EepPool *pool, const EepCompletion *completion);
void eep_pool_resize_reshuffled(EepPool *pool, gint64 bytes_moved);
void eep_pool_resize_reshuffle_failed(EepPool *pool);
void eep_pool_resize_migrated(EepPool *pool, EepWorkerId worker, guint64 n_requests, gint64 bytes);

/* -- pool_tell.c: what the machine tells, as EepResizeHost says -- */

void eep_pool_tell_span(gpointer self, const EepResizeRecord *record, const char *name);
void eep_pool_tell_change(gpointer self, const EepResizeChange *change);
void eep_pool_tell_resize(gpointer self, const EepResizeRecord *record);
void eep_pool_tell_closed(gpointer self, const EepResizeRecord *record);

/* -- pool_reserve.c: engines that run from the start and stand by -- */

/* The generation may have none. */
void eep_pool_reserve_init(EepPool *pool, const EepGeneration *generation);
void eep_pool_reserve_clear(EepPool *pool);
/* One of the reserve joins, or a spare. */
void eep_pool_reserve_take(EepPool *pool, gboolean is_spare);
/* An engine was released: it stands by again, or is no longer of the pool: it died, or is a spare
 * again. */
void eep_pool_reserve_put(EepPool *pool, gboolean is_gone);
/* The run is over, or the deployment has exited: their account of GPU time ends. */
void eep_pool_reserve_finish(EepPool *pool);

/* -- pool_leaving.c -- */

void eep_pool_choose_leaving(const EepPool *pool, guint n, EepWorkerId *ret_workers);

G_END_DECLS

#endif
