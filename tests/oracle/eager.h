/* The oracle of the scheduler: one pool under the constant-step profile, simulated token by token.
 *
 * Written straight from the 46 rules of docs/scheduler.md (comments in eager.c name them by
 * number) and from the extensions below. It is eager on purpose: every step touches every request,
 * every KV block is an object, every look-up is a scan. It shares no code with core/, and it is not
 * a model to build upon: its only use is to be compared with the product, in every time and count.
 * A broken consequence (rules 40 to 46) or an inconsistent KV cache aborts the program.
 *
 * Single-threaded, deterministic, keeps nothing between calls.
 *
 * Extensions, all off in a zeroed configuration:
 * - prefix_caching: hash i of a request stands for prompt tokens [i * hash_tokens, (i + 1) *
 *   hash_tokens); its full blocks inside the prompt have the identities (hash, 0), (hash, 1), ...
 *   An admission shares the cached blocks of the prompt up to the first miss, at most
 *   floor((known - 1) / block_size) of them. A block becomes visible at the end of the step that
 *   computed the last token of it, if its request still holds it and no block of that identity is
 *   cached; blocks of one step are considered in the order in which their requests were scheduled.
 *   One LRU queue of free blocks: allocation pops the front; a request's blocks without another
 * user are appended anonymous ones first, then identified ones from the last to the first.
 * - async_scheduling: step n+1 is planned when step n begins, with n's tokens as if produced; if
 * that plan is empty on every engine it is dropped (preemptions stay), and planning happens at n's
 * end. A request whose last token is in flight is not scheduled, but keeps its place and its
 * blocks.
 * - watermark: admission next to running requests must leave floor(watermark * num_blocks) free.
 * - priority_policy: the waiting queue is ordered by (priority, arrival, id), smallest first, and
 * the victim of a preemption is the running request with the largest such triple. The tokens that a
 *   request wants are fixed before it preempts anyone; a request that preempts itself ends the
 *   running pass of its engine, as in vLLM's vllm/v1/core/sched/scheduler.py.
 * - prefill_schedule_interval k > 1: requests are admitted only in steps whose number modulo k is
 * 0; steps are numbered from 0 on whenever the pool leaves idleness. A pool with work whose plan is
 *   empty for that reason performs an empty step of the usual length. */
#ifndef EEP_TESTS_EAGER_H
#define EEP_TESTS_EAGER_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EAGER_ROUND_ROBIN,      /* rule 14 */
    EAGER_WAITING4_RUNNING, /* rule 15 */
} EagerRouter;

/* Every field of the first two lines is at least 1. */
typedef struct {
    guint n_engines, block_size, max_num_batched_tokens, max_num_seqs;
    guint64 num_blocks; /* usable KV blocks of one engine */
    gint64 step_time;   /* ns */
    EagerRouter router;
    gboolean async_scheduling;
    gboolean prefix_caching;
    guint hash_tokens; /* a multiple of block_size, at least 1 with prefix_caching */
    double watermark;  /* [0, 1) */
    gboolean priority_policy;
    guint prefill_schedule_interval; /* 0 and 1 mean every step */
} EagerConfig;

/* The id of a request is its index. Arrivals need not be sorted (rule 9). */
typedef struct {
    gint64 arrival;         /* ns, not negative */
    guint32 prompt, output; /* tokens, at least 1 each */
    gint32 priority;        /* smaller is more urgent */
    const guint64 *hashes;  /* borrowed; pairwise different; NULL if n_hashes is 0 */
    guint n_hashes;
} EagerRequest;

typedef struct {
    gboolean rejected;
    gint engine;                /* -1 if rejected */
    gint64 first_token, finish; /* ns; -1 if rejected */
    guint preemptions;
    guint32 cached_tokens; /* found in the prefix cache at the first admission */
    gint64 max_itl;        /* ns, largest gap between two of its tokens; 0 with one token */
} EagerResult;

typedef struct {
    guint64 n_steps;       /* begun, empty ones included */
    guint64 n_empty_steps; /* nothing scheduled on any engine */
    guint64 generated_tokens;
    guint64
        prefill_tokens_computed; /* scheduled between an admission and the next token, that token's
                                    step included: prompts, and all that is computed again */
    guint64 decode_tokens_computed; /* all other scheduled tokens */
    guint64 preemptions;
    guint64 blocks_hit;     /* shared from the cache, over all admissions */
    guint64 blocks_evicted; /* cached blocks that lost their identity to an allocation */
    guint64 completed, rejected;
    gint64 end; /* ns, end of the last step; 0 without a step */
} EagerTotals;

/* Runs `n` requests until the last accepted one has finished (rule 38). `ret_results` has n
 * elements; it and `ret_totals` are overwritten. The inputs must be within the bounds above. */
void eager_run(const EagerConfig *config, const EagerRequest *requests, guint n,
               EagerResult *ret_results, EagerTotals *ret_totals);

G_END_DECLS

#endif
