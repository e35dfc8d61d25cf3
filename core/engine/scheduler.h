/* EepScheduler: plans, commits and discards the steps of engines.
 *
 * vLLM v1's rules (docs/scheduler.md numbers them): running requests first, in list order, then the
 * waiting queue in order; chunked prefill under max_num_batched_tokens; admission only if the whole
 * known prompt fits in free blocks; preemption by recompute, of the last running request (FCFS) or
 * of the least urgent one (priority). Planning reserves, committing counts; a plan is a slot that
 * all engines of a pool share. Not the step loop (pool.h). Loop thread only. */
#ifndef EEP_CORE_ENGINE_SCHEDULER_H
#define EEP_CORE_ENGINE_SCHEDULER_H

#include "core/engine/engine.h"

G_BEGIN_DECLS

/* Prompt (or recomputed) tokens scheduled in a step. */
typedef struct {
    EepRequest *request;
    guint32 n_tokens;
    guint32 computed_before;
    guint32 n_blocks;      /* taken for it, besides cache hits */
    guint32 n_preemptions; /* of the request when planned: a later preemption voids the chunk, not
                              its token */
    guint16 engine;
    gboolean is_admission, completes;
} EepChunk;

/* What is needed to undo a preemption. */
typedef struct {
    EepRequest *request;
    EepRequest *next;             /* in the running list */
    EepKvRun *runs;               /* its cached blocks, owned */
    guint64 base, due, base_step; /* the next plan may admit it again */
    guint32 generated, computed, n_blocks;
    guint16 engine, n_runs;
    guint8 state;
    gboolean was_starved;
    EepTime last_token, max_gap;
} EepVictim;

/* A decoding request that a step passes over. */
typedef struct {
    EepRequest *request;
    gboolean is_first; /* the step before gave it a token */
} EepStarving;

/* The step of one pool between planning and its end. */
typedef struct {
    guint64 step;          /* the pool's step index */
    EepEngineWork *work;   /* [n_engines] */
    guint8 *advanced;      /* [n_engines] the engine's counter went up */
    guint32 *n_grown;      /* [n_engines] blocks that decodes took */
    EepDueList *finishing; /* [n_engines] requests that get their last token */
    guint16 *touched;      /* engines with chunks, finishes or an own gap, in order */
    guint n_touched, n_engines, n_allocated;
    GArray *chunks;     /* EepChunk, by engine */
    GArray *victims;    /* EepVictim, in the order of falling */
    GArray *starving;   /* EepStarving (priority policy) */
    GPtrArray *resumed; /* starved ones that this step gives a token */
    GPtrArray *late; /* requests that the next plan preempted: their last token is in this step */
    guint64 n_decodes, n_prefill_tokens, n_admitted;
    guint n_classes;                              /* of requests; kept over resets */
    EepClassTokens classes[EEP_SKEW_MAX_CLASSES]; /* see eep_scheduler_count_classes() */
    gboolean has_work;                            /* at least one token is scheduled */
} EepPlan;

void eep_plan_init(EepPlan *plan);
void eep_plan_clear(EepPlan *plan);

/* Makes room for n engines and empties the plan. */
void eep_plan_reset(EepPlan *plan, guint64 step, guint n_engines);

/* Told during commit of the gaps between tokens and of each end. */
typedef struct {
    /* `gap` ns after its token before; n tokens at once. */
    void (*gaps)(gpointer self, EepTime gap, guint64 n);
    /* The request has all its tokens and has left the engine; it is the callee's now. */
    void (*finished)(gpointer self, EepEngine *engine, EepRequest *request);
    gpointer self;
} EepSchedulerEvents;

/* Plans the engine's part of the step. `wave_step` counts the pool's steps since it left idleness.
 */
void eep_scheduler_plan(EepEngine *engine, EepPlan *plan, EepPlan *before, guint64 wave_step);

/* Fills plan->classes with the step's tokens by class, once all engines are planned. For pools with
 * several classes only. */
void eep_scheduler_count_classes(EepEngine **engines, EepPlan *plan);

/* The step ended at history->last_end, which is already brought up to date. `after` is the plan in
 * flight behind it, NULL if none: what it would need of requests that end now is forgotten. */
void eep_scheduler_commit(EepEngine **engines, EepPlan *plan, EepPlan *after, EepTime step_gap,
                          const EepSchedulerEvents *events);

/* The step did not happen: everything is as before it was planned, but for cache recency and
 * evictions. Plans are discarded newest first. */
void eep_scheduler_discard(EepEngine **engines, EepPlan *plan);

G_END_DECLS

#endif
