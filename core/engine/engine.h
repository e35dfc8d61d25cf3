/* EepEngine: one data-parallel rank: a waiting queue, a running list, and a KV cache.
 *
 * vLLM v1's continuous batching with chunked prefill, at O(1) a step plus O(1) a request that
 * changes. Three ideas make it so (docs/scheduler.md has the rules and why this agrees with them):
 *  - a request that decodes gets one token whenever the engine's progress counter goes up by one,
 * so its tokens are counter - base and nothing of it is touched until its last token is due
 * (calendar.h);
 *  - requests that need a new KV block at a step are those of one phase (counter modulo block
 * size), so KV growth is one subtraction; only when blocks run short is the running list walked;
 *  - of a running list at most one request, the last, is in the middle of its prefill.
 * A step is planned (budget and blocks reserved), then committed (tokens counted, requests
 * finished) or discarded (as if it had never been planned); with async scheduling the next step is
 * planned before this one is committed. Not a thread and not a process: those are the backend's.
 * Owned by its pool. */
#ifndef EEP_CORE_ENGINE_ENGINE_H
#define EEP_CORE_ENGINE_ENGINE_H

#include "core/engine/calendar.h"
#include "core/engine/kv_cache.h"
#include "core/engine/pool_options.h"
#include "core/loop/backend.h"
#include "core/skew.h"
#include "core/stat_stack.h"

G_BEGIN_DECLS

typedef enum {
    EEP_PAUSE_NONE,
    EEP_PAUSE_NEW, /* nobody is admitted from the waiting queue */
    EEP_PAUSE_ALL, /* no token is scheduled; the engine takes part in steps as a dummy */
} EepPause;

/* What the engines of a pool share about its committed steps. */
typedef struct {
    guint64 n_committed; /* step indices below this are committed */
    EepTime last_end;    /* when the last of them ended */
    EepGapStack *gaps;   /* (step index, its end less the end of the step before) */
} EepStepHistory;

typedef struct {
    /* Touched in every step. */
    guint64 counter;      /* steps planned in which the engine's decodes advance */
    guint32 phase;        /* counter modulo block size */
    guint32 n_decodes;    /* requests that decode in the next step */
    gint64 context_base;  /* sum over decodes of (computed at base - base): context = this +
                             n_decodes * counter */
    guint32 *phase_count; /* [block_size] decodes that need a block when counter % block_size is the
                             index */
    EepRequest *partial;  /* the request in the middle of its prefill; the last of `running` */
    EepKvCache kv;
    EepCalendar calendar;
    EepRequestQueue running, waiting;
    guint8 pause;         /* EepPause */
    gboolean is_routable; /* may get new requests */
    gboolean is_blocked;  /* the head of `waiting` did not fit, and no block was freed since */
    EepTime stall;        /* time that committed steps took in which the decodes stood still */
    GPtrArray *starved;   /* priority policy: running requests that wait for their next token longer
                             than the others */
    guint32 decodes_of_class[EEP_SKEW_MAX_CLASSES]; /* of requests; sum to n_decodes */
    /* Limits. */
    guint32 max_batched_tokens, max_num_seqs;
    guint64 watermark_blocks;
    gboolean by_priority;
    guint32 prefill_interval;
    /* Identity and account. */
    gint gpu_use; /* EepGpuUse since gpu_since */
    EepTime gpu_since;
    gboolean is_dead; /* its process is gone or hangs, known or not: its GPUs are EEP_GPU_DEAD */
    gboolean is_lost; /* that is known: it gets no request */
    guint16 index;    /* in the pool's order of engines, which is rank order */
    EepWorkerId worker;
    EepStepHistory *history; /* the pool's */
    EepGapStack
        *pauses; /* gaps of this engine alone: steps in which it stood still, like history->gaps */
    guint64 n_preemptions, n_recomputed_tokens, n_hit_blocks, n_prompt_blocks;
    /* Those that hold blocks and do not run (seat.h). */
    EepRequestQueue departing; /* requests that have stopped here; they decode on elsewhere */
    EepRequestQueue seats;     /* holders of what is kept for requests to come */
} EepEngine;

EepEngine *eep_engine_new(const EepPoolOptions *options, guint64 n_blocks, guint32 hash_tokens,
                          EepWorkerId worker, EepStepHistory *history);
void eep_engine_free(EepEngine *engine);

/* The engine, which has no request yet, has so many KV blocks. */
void eep_engine_set_blocks(EepEngine *engine, const EepPoolOptions *options, guint64 n_blocks,
                           guint32 hash_tokens);

static inline gboolean eep_engine_has_work(const EepEngine *engine)
{
    return engine->running.n + engine->waiting.n > 0;
}

/* All that are here, those that have stopped to leave too. */
static inline guint32 eep_engine_n_requests(const EepEngine *engine)
{
    return engine->running.n + engine->waiting.n + engine->departing.n;
}

/* Share of KV blocks in use, 0..1. */
static inline double eep_engine_kv_usage(const EepEngine *engine)
{
    return 1.0 - (double)engine->kv.n_free / (double)engine->kv.n_blocks;
}

/* Puts the request at its place in the waiting queue: the back, or by (priority, arrival, id). */
void eep_engine_add(EepEngine *engine, EepRequest *request);

/* As eep_engine_add() for a request that comes from another engine's queue: first come, first
 * served goes by (arrival, id) then. */
void eep_engine_add_by_arrival(EepEngine *engine, EepRequest *request);

/* Takes the request out of the engine, wherever it is, and frees its blocks; no step may be in
 * flight. Its tokens so far stay in `generated`. */
void eep_engine_remove(EepEngine *engine, EepRequest *request);

/* -- for seats: no step in flight ------------------------------------------------------------- */

/* Takes the request out of its queue; it keeps its blocks, and says in `computed` and `blocks` what
 * it has. */
void eep_engine_detach(EepEngine *engine, EepRequest *request);

/* The request, whose blocks are here and hold all known tokens but the last, decodes on here. The
 * time since its last token is a gap of its own. */
void eep_engine_attach(EepEngine *engine, EepRequest *request);

/* Whether one more may decode: there is a place in the running list and budget for its token. */
gboolean eep_engine_can_attach(const EepEngine *engine);

/* Tokens of known length computed as of the last planned step. */
guint64 eep_engine_computed(const EepEngine *engine, const EepRequest *request);

#define EEP_ENGINE_ERROR (eep_engine_error_quark()) /* an invariant broke; one code, 0 */
GQuark eep_engine_error_quark(void);

/* Counts everything anew and compares with the running counts; TRUE, or FALSE with the first
 * difference. O(requests). */
gboolean eep_engine_check(const EepEngine *engine, GError **error);

/* -- for the scheduler ------------------------------------------------------------------------ */

/* Phase at which a decoding request of this base needs its blocks. */
guint32 eep_engine_phase_of(const EepEngine *engine, const EepRequest *request);
void eep_engine_start_decoding(EepEngine *engine, EepRequest *request);
void eep_engine_stop_decoding(EepEngine *engine, EepRequest *request);

/* Ends a stretch of decoding in the account of inter-token gaps; the request's last token came with
 * the last committed step. */
void eep_engine_close_gaps(EepEngine *engine, EepRequest *request);

/* The decoding request goes without a token longer than the others; its gaps are closed until it
 * gets one. */
void eep_engine_mark_starved(EepEngine *engine, EepRequest *request);

/* TRUE when the request was among the starved; then its gaps are closed already. */
gboolean eep_engine_forget_starved(EepEngine *engine, EepRequest *request);

G_END_DECLS

#endif
