/* EepBackend: the seam between the core and whatever executes steps: the simulator or real workers.
 *
 * One ops table, called on the loop thread only; no function blocks, none returns a result: refusal
 * is an event, so that the journal is complete. Every operation has an id and **ends exactly
 * once**, on every path, as an EEP_EVENT_OP_DONE event that carries an EepCompletion. Phases and
 * moves complete once per worker (worker != 0), then once whole (worker 0); steps once for the
 * pool, in order, but that refusals (at once and whole) and aborted steps that had not begun may
 * overtake. After the end of an abort no completion of its scope, as it was when the abort was
 * submitted, follows. An abort of what has begun may break its group: steps of that epoch then end
 * group_broken or timed_out until phases have made the group anew. Not a transport and not a cost
 * model. Arguments live until the call returns. Unsupported operations are the eep_backend_no_*
 * stubs, never NULL, and query_caps tells. */
#ifndef EEP_CORE_LOOP_BACKEND_H
#define EEP_CORE_LOOP_BACKEND_H

#include "core/loop/event.h"
#include "core/loop/loop.h"

G_BEGIN_DECLS

typedef struct EepBackend EepBackend;
typedef struct EepPlacement EepPlacement; /* core/eplb/placement.h */

typedef enum {
    EEP_OP_STEP,
    EEP_OP_PHASE,
    EEP_OP_MOVE_EXPERTS,
    EEP_OP_MOVE_KV,
    EEP_OP_READ_LOAD,
    EEP_OP_ABORT,
    EEP_OP_COUNT,
} EepOpKind;

extern const char *const eep_op_names[EEP_OP_COUNT];

/* How an operation ended; the widest thing broken grows downwards. */
typedef enum {
    EEP_DONE_OK,
    EEP_DONE_REFUSED,
    EEP_DONE_ABORTED,
    EEP_DONE_TIMED_OUT,
    EEP_DONE_WORKER_LOST,
    EEP_DONE_GROUP_BROKEN,
    EEP_DONE_COUNT,
} EepDone;

extern const char *const eep_done_names[EEP_DONE_COUNT];

typedef struct {
    EepOpId id;
    EepPoolId pool;
    EepEpoch epoch;
    EepTime deadline; /* EEP_TIME_NEVER: none; armed by the loop's owner, not by the backend */
} EepOp;

/* One engine's share of a step: aggregates only, no request crosses the seam. */
typedef struct {
    EepWorkerId engine;
    guint32 n_decodes; /* requests that decode one token */
    guint32 n_prefill_chunks;
    guint32 n_prefill_tokens;
    gint64 decode_context_tokens; /* sum over decodes of the KV length read, new token included */
    gint64
        prefill_query_key_pairs; /* sum over chunks of q*c + q(q+1)/2; c = tokens computed before */
} EepEngineWork;

/* Tokens of one request class (core/skew.h) in a step, all engines. */
typedef struct {
    guint32 n_decodes, n_prefill_tokens;
} EepClassTokens;

typedef struct {
    EepOp op;
    guint n_engines;
    const EepEngineWork *work;     /* [n_engines], by rank of the epoch */
    const EepPlacement *placement; /* nullable: no experts; per-layer versions inside; lives until
                                      the step has ended */
    guint64 first_step;            /* the pool's forward counter */
    guint32 max_steps; /* >= 1; more: the same batch with decodes growing by one a step */
    EepTime horizon;   /* stop at the first boundary at or after it */
    gboolean is_dummy; /* no engine has work (end of a wave, pause) */
    guint n_classes;   /* request classes; of one (or 0) `work` says all */
    const EepClassTokens *classes; /* [n_classes], sums over `work`; NULL with one class */
} EepStepPlan;

/* A piece of a resize, a start or a recovery that takes time on workers; its kinds are listed in
 * resize/phase.h. */
typedef struct {
    EepOp op;
    guint32 kind;
    guint n_workers;
    const EepWorkerId *workers;
    guint n_ranks_old, n_ranks_new; /* EP sizes before and after */
    gint64 bytes;                   /* to move or load, per receiving worker; 0: none */
    guint n_receivers;              /* workers that receive `bytes` */
    EepEpoch target_epoch;
    guint n_members;            /* engines of the target group that exist by now */
    const EepWorkerId *members; /* [n_members], by rank */
} EepPhase;

typedef struct {
    guint32 from_rank, to_rank; /* ranks of op.epoch (for a scale-up, of the wider group) */
    guint32 layer, expert, to_slot;
    guint32 round; /* transfers of one round go at once; the next begins when all have ended */
} EepTransfer;

/* As from_rank: no rank holds it, it is loaded from the receiver's disk. */
#define EEP_TRANSFER_FROM_DISK G_MAXUINT32
/* Likewise, from the memory of the receiver's host. */
#define EEP_TRANSFER_FROM_HOST (G_MAXUINT32 - 1)

typedef struct {
    EepOp op;
    gboolean is_kv;
    guint32 layer; /* experts: the layer whose rows move */
    guint32 new_version;
    guint n_transfers;
    const EepTransfer *transfers;
    gint64 bytes_each;
    const gint64 *bytes;     /* nullable [n_transfers]: instead of bytes_each */
    guint n_copies;          /* experts that the busiest rank copies within its memory */
    guint64 n_planned_slots; /* slots (of all layers) whose placement is computed while serving
                                waits for this move; 0: nobody waits for that */
    guint n_ranks;
    guint n_engines;
    const EepWorkerId *engines; /* [n_engines] whose the ranks are, n_ranks / n_engines each; 0:
                                   nobody's. NULL: as in the last step */
    EepPoolId to_pool;
} EepMove;

typedef struct {
    EepOpId op; /* 0: any; wins over the others */
    EepPoolId pool;
    EepEpoch epoch;
    EepWorkerId worker;
} EepScope;

/* What a read_load that ended OK brings, as the event's blob. */
typedef struct {
    guint64 version;   /* equal for loads that are proportional to each other, in the sum of the
                          windows and in each that has any; 0: unknown */
    guint64 n_windows; /* as asked for */
    double tokens[];   /* [n_windows][n_layers][n_experts], in order of time */
} EepLoadReport;

/* Begin of window i of n, and the end of window i - 1, for the steps [from, to): all of
 * (to - from) / n steps, rounded down, but the last, which takes the rest. */
static inline guint64 eep_load_window_begin(guint64 from_step, guint64 to_step, guint n, guint i)
{
    return i < n ? from_step + (to_step - from_step) / n * i : to_step;
}

/* Payload of EEP_EVENT_OP_DONE: a = id, b = kind | done << 8 | worker << 32, c = epoch | n_steps
 * << 32. blob: for a read_load that ended OK, an EepLoadReport; for a
 * failure, EepWorkerId[] suspects; for a leap of more than one step, EepTime[n_steps] step ends. */
typedef struct {
    EepOpId id;
    EepOpKind kind;
    EepDone done;
    EepWorkerId worker;
    EepEpoch epoch;
    guint32 n_steps; /* whole steps that happened; the others did not happen at all */
} EepCompletion;

/* The event's source is the worker, or the pool for worker 0; its flags belong to the loop. The
 * event takes over `blob` (nullable), as eep_loop_schedule() takes over the event's. */
void eep_completion_to_event(const EepCompletion *completion, EepPoolId pool, GBytes *blob,
                             EepEvent *ret_event);
void eep_completion_from_event(const EepEvent *event, EepCompletion *ret_completion);

typedef struct {
    gsize size;
    guint32 max_steps_in_flight, max_ranks;
    gboolean can_leap, can_mask, can_abort_step, moves_during_step, moves_kv, phases_during_step;
    gboolean launches_spares; /* a warm spare has a launch, too: nobody runs without one */
} EepBackendCaps;

typedef struct {
    gsize size;
    const char *name;
    /* life */
    void (*attach)(EepBackend *self, EepLoop *loop);
    void (*query_caps)(const EepBackend *self, EepBackendCaps *ret_caps);
    void (*free)(EepBackend *self); /* with work outstanding: ends it, waits a bounded time */
    /* work */
    void (*submit_step)(EepBackend *self,
                        const EepStepPlan *plan); /* in order; begins when the one before ended */
    void (*start_phase)(EepBackend *self, const EepPhase *phase);
    void (*move)(EepBackend *self, const EepMove *move);
    /* Tokens of each expert in the steps [from_step, to_step), cut into n_windows >= 1 pieces of
     * time (eep_load_window_begin()). Steps that were not recorded count as none. */
    void (*read_load)(EepBackend *self, const EepOp *op, guint64 from_step, guint64 to_step,
                      guint n_windows);
    /* stop */
    void (*abort)(EepBackend *self, const EepOp *op, const EepScope *scope);
} EepBackendOps;

struct EepBackend {
    const EepBackendOps *ops;
    EepLoop *loop; /* set by attach */
};

/* Stubs for what a backend does not support: they end the operation as EEP_DONE_REFUSED at `now`.
 */
void eep_backend_no_start_phase(EepBackend *self, const EepPhase *phase);
void eep_backend_no_move(EepBackend *self, const EepMove *move);
void eep_backend_no_read_load(EepBackend *self, const EepOp *op, guint64 from_step, guint64 to_step,
                              guint n_windows);
void eep_backend_no_abort(EepBackend *self, const EepOp *op, const EepScope *scope);

/* For backends: ends the whole operation at `now` with no steps and no blob, in the calling order.
 */
void eep_backend_end(EepBackend *self, const EepOp *op, EepOpKind kind, EepDone done);

/* Does nothing with NULL. */
void eep_backend_free(EepBackend *backend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepBackend, eep_backend_free)

G_END_DECLS

#endif
