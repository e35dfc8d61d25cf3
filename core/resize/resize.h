/* EepResize: the resize machine of one pool, as the pool sees it.
 *
 * Takes requests for another size, one at a time, and drives the coordinator's and the
 * participants' tables (coordinator.h, participant.h) through the phases of a generation
 * (generation.h). The pool hands in what happened; the machine answers through EepResizeHost. It
 * reads no clock and keeps all that it decides by in one block without pointers (control.h). Not a
 * policy of when to resize, and not the expert placement. Loop thread only. */
#ifndef EEP_CORE_RESIZE_RESIZE_H
#define EEP_CORE_RESIZE_RESIZE_H

#include "core/loop/backend.h"
#include "core/resize/generation.h"

G_BEGIN_DECLS

#define EEP_RESIZE_ERROR (eep_resize_error_quark())
GQuark eep_resize_error_quark(void);

typedef enum {
    EEP_RESIZE_ERROR_PARAMS,    /* eep_resize_new(): a value that cannot be */
    EEP_RESIZE_ERROR_LOAD,      /* eep_resize_load(): not a block of this machine */
    EEP_RESIZE_ERROR_INVARIANT, /* eep_resize_check() */
} EepResizeError;

typedef enum {
    EEP_ON_BUSY_QUEUE, /* vLLM: a lock around the whole call */
    EEP_ON_BUSY_SUPERSEDE,
    EEP_ON_BUSY_REFUSE,
} EepOnBusy;

typedef enum {
    EEP_WEIGHTS_FROM_PEER,
    EEP_WEIGHTS_FROM_DISK,
    EEP_WEIGHTS_FROM_CACHE, /* the node's page cache */
} EepWeightsFrom;

/* Coordinator states whose wait may have a deadline (params.deadline). */
typedef enum {
    EEP_WAIT_PREPARE,
    EEP_WAIT_PAUSE,
    EEP_WAIT_STOP,
    EEP_WAIT_COMMIT,
    EEP_WAIT_RESUME,
    EEP_WAIT_SETTLE,
    EEP_WAIT_UNDO,
    EEP_WAIT_COUNT,
} EepResizeWait;

/* Copied by eep_resize_new(); eep_resize_params_init() gives vLLM's defaults. */
typedef struct {
    EepPoolId pool;
    const char *generation; /* a name of generation.h */
    guint max_engines;      /* data-parallel sizes go up to here */
    guint tensor_parallel_size;
    guint n_experts;      /* E, logical; 0: a dense model, any size */
    guint slots_per_rank; /* S = (E + R) / EP, at the start; the same at every size but for refit */
    guint max_slots_per_rank; /* that leave room for KV; 0: any */
    guint max_ranks; /* of the all2all backend (nixl_ep: 32, VLLM_NIXL_EP_MAX_NUM_RANKS); 0: no
                        limit */
    const char *all2all_backend; /* its name, for messages; static */
    gboolean is_elastic_backend; /* that backend's groups can change while it serves */
    gboolean can_reuse_graphs;   /* its ranks can change under captured graphs (nixl_ep) */
    gboolean can_mask;           /* it can mask ranks */
    gboolean enable_elastic_ep, enable_dbo;
    gboolean use_async; /* EPLB moves layer by layer between steps */
    gboolean captures_graphs;
    EepWeightsFrom weights_from;
    EepOnBusy on_busy;
    gboolean drain_requests;
    EepTime drain_timeout, drain_poll; /* 120 s, 1 s */
    EepTime leaving_drain;             /* of EEP_ACT_DRAIN: 10 s, 0: none */
    EepTime first_pass;                /* of g1's staged barrier: 5 s */
    gboolean refit;                    /* restart chooses the fewest slots, so any size may do */
    guint consensus_cadence;           /* steps between two checks of the pause: 32 */
    EepTime control_latency;           /* of a note */
    gint64 non_expert_bytes;           /* of one engine */
    gint64 expert_bytes;       /* of all experts in one engine's slots at the start, all layers */
    gint64 map_bytes_per_slot; /* of the expert map over all layers: 8 x MoE layers */
    gint64 peak_extra_bytes;   /* per GPU: standby groups, staged buffers, while both exist */
    EepTime deadline[EEP_WAIT_COUNT]; /* EEP_TIME_NEVER: wait for ever, as vLLM does */
} EepResizeParams;

void eep_resize_params_init(EepResizeParams *params);

/* EepWhen that hold in such a deployment: its rows are those that ask for no others. */
guint eep_resize_facts(const EepResizeParams *params);

typedef struct EepResize EepResize;
typedef struct EepControl EepControl; /* control.h */

/* `host` and `host_self` must outlive the machine. NULL with EEP_RESIZE_ERROR_PARAMS. */
EepResize *eep_resize_new(const EepResizeHost *host, gpointer host_self,
                          const EepResizeParams *params, GError **error);
void eep_resize_free(EepResize *resize);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepResize, eep_resize_free)

/* The pool's first group, epoch 1, serving already; once, before anything else. The workers are the
 * deployment's; n_engines <= max_engines. */
void eep_resize_start(EepResize *resize, guint n_engines, const EepWorkerId *workers);

/* The group that serves. Valid until the next call that is not a question. */
const EepGroup *eep_resize_group(const EepResize *resize);

/* -- what happened; each may call the host's ops -- */

/* Somebody wants `new_dp` engines. What becomes of it is told by host->told(), possibly before this
 * returns: refused (too small, too big, no GPUs, backend), noop, or accepted and later ended.
 * `id` and `by` may be NULL. */
void eep_resize_request(EepResize *resize, gint64 new_dp, const char *id, const char *by);

/* Takes the resize with this id (NULL: the one that runs) back to the old size, which is told as
 * rolled back, or out of the queue, which is told as cancelled. FALSE when there is none, it has
 * gone too far, or its generation has no way back. */
gboolean eep_resize_cancel(EepResize *resize, const char *id);

void eep_resize_note(EepResize *resize, const EepNote *note);

/* Completions of other operations are ignored (FALSE). */
gboolean eep_resize_op_done(EepResize *resize, const EepCompletion *completion);

/* A step of the serving group has ended and no other is in flight; `step_counter` = steps ended
 * since the wave began (vLLM's step_counter). Needed only while eep_resize_wants_boundary(). */
void eep_resize_boundary(EepResize *resize, guint64 step_counter);

/* The reshuffle that was asked for is live in every layer (preloaded: in its slots). */
void eep_resize_reshuffled(EepResize *resize, gint64 bytes_moved);

/* It could not be done; the maps are valid, but not the target's. */
void eep_resize_reshuffle_failed(EepResize *resize);

/* What no operation does fails: the running reshuffle, preload, migration or spread has failed, the
 * drain's time is up, the pause cannot be agreed on. `act` as in rows; EEP_ACT_COUNT: the pause.
 * Nothing if none runs. */
void eep_resize_act_failed(EepResize *resize, EepAct act);

/* The migration that was asked for is over, and this is what it moved. */
void eep_resize_migrated(EepResize *resize, EepWorkerId worker, guint64 n_requests, gint64 bytes);

void eep_resize_timer(EepResize *resize, guint64 timer);

/* -- lost engines -- */

/* Physically: from now on the engine does nothing and hears nothing; nobody knows yet. */
void eep_resize_worker_stopped(EepResize *resize, EepWorkerId worker);

/* It does again, in the state it was in, as a member of the serving group. */
void eep_resize_worker_healed(EepResize *resize, EepWorkerId worker);

/* The loss has been detected, and no step is in flight. A resize that can be rolled back is; one
 * that cannot is stuck, or goes on without the engine when it has adopted the new group. No step
 * begins until eep_resize_recover(); a new engine that is not a member yet is just given up. */
void eep_resize_worker_lost(EepResize *resize, EepWorkerId worker);

/* Recovers from the losses so far, as soon as no resize runs: a resize of its own that is told like
 * any other, its generation the recovery's name. Not for NONE. No step is in flight. For REPLACE
 * the caller asks for the old size afterwards. A recovery that cannot be is told as refused. */
void eep_resize_recover(EepResize *resize, EepRecovery recovery, const char *id);

/* A client got 503; a client that asked after one did was served. For client_downtime_s. */
void eep_resize_saw_rejected(EepResize *resize);
void eep_resize_saw_success(EepResize *resize);

/* Nobody waits any more: each request of the queue is told as refused, with this reason. */
void eep_resize_refuse_queued(EepResize *resize, const char *reason);

/* Nobody is left to be resized: what runs is told as failed, what waits as refused, with this
 * reason. Nothing may follow. */
void eep_resize_give_up(EepResize *resize, const char *reason);

/* The run is over: what still runs or waits is told as unfinished. Nothing may follow. */
void eep_resize_finish(EepResize *resize);

/* -- questions, cheap enough for every step -- */

/* What the inline questions read; kept up to date by the machine. */
typedef struct {
    gboolean is_idle;        /* no resize runs, none is queued */
    gboolean wants_boundary; /* the end of the next step matters: plan single steps, one in flight
                              */
    gboolean wants_steps; /* somebody waits for the consensus: step, as dummies if nobody has work
                           */
} EepResizeWants;

static inline gboolean eep_resize_is_idle(const EepResize *resize)
{
    return ((const EepResizeWants *)resize)->is_idle;
}

static inline gboolean eep_resize_wants_boundary(const EepResize *resize)
{
    return ((const EepResizeWants *)resize)->wants_boundary;
}

static inline gboolean eep_resize_wants_steps(const EepResize *resize)
{
    return ((const EepResizeWants *)resize)->wants_steps;
}

/* The resize that runs, NULL when idle. */
const EepResizeRecord *eep_resize_record(const EepResize *resize);

/* The last one has failed between two sizes, and no recovery has begun. */
gboolean eep_resize_is_stuck(const EepResize *resize);

/* A resize that starts everything anew is about to end this engine: its loss changes nothing. */
gboolean eep_resize_ends_anyway(const EepResize *resize, EepWorkerId worker);

/* No step may begin that advances requests. */
gboolean eep_resize_is_frozen(const EepResize *resize);

/* The resize goes no further without this engine: others have come to a piece of work and wait
 * there for it, which has not; experts or requests move to or from it; or its answer is the last
 * that the coordinator waits for, but for those of others that have stopped. */
gboolean eep_resize_waits_for(const EepResize *resize, EepWorkerId worker);

/* -- the control state as a value (the explorer, tests) -- */

/* Asserts the invariants of both tables; FALSE with the first that does not hold. */
gboolean eep_resize_check(const EepResize *resize, GError **error);

/* A copy of all that decides the future. A machine with the same params that loads it acts alike,
 * given the same inputs. The record is an account and is not part of it: after loading it counts
 * from now on, and who asked is forgotten. */
GBytes *eep_resize_save(const EepResize *resize);
gboolean eep_resize_load(EepResize *resize, GBytes *block, GError **error);

/* As loading, for a caller that does so for every event: `control` was a copy of this machine's own
 * block, and of the record only the sizes are set. */
void eep_resize_set_control(EepResize *resize, const EepControl *control);

/* The same for states that cannot be told apart by what they will do: free of absolute times,
 * worker and operation ids, serial numbers. */
guint64 eep_resize_hash(const EepResize *resize);

/* Read-only; for the explorer and for printing. */
const EepControl *eep_resize_control(const EepResize *resize);

G_END_DECLS

#endif
