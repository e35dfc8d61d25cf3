#include "core/engine/scheduler.h"

#include <string.h>

/* -- preemption ------------------------------------------------------------------------------- */

/* A token of the step in flight still comes, and with it the last gap. If that step completes the
 * prefill, its chunk sees to it. */
static void close_gaps_when_known(EepEngine *engine, EepPlan *before, EepRequest *request)
{
    if (before == NULL || !before->advanced[engine->index])
        eep_engine_close_gaps(engine, request);
    else if (request->base_step < before->step)
        g_ptr_array_add(before->late, request);
}

/* Tokens held before this step's growth. */
static guint64 computed_before(const EepEngine *engine, const EepRequest *request)
{
    if (request->state != EEP_REQUEST_DECODE)
        return request->computed;
    return (guint64)request->prompt_tokens + request->generated - 1 +
           (MIN(engine->counter - 1, request->due) - request->base);
}

static void preempt(EepEngine *engine, EepPlan *plan, EepPlan *before, EepRequest *request)
{
    guint32 n_blocks = eep_kv_cache_blocks_for(&engine->kv, computed_before(engine, request));
    EepVictim victim = {.request = request,
                        .next = request->next,
                        .base = request->base,
                        .due = request->due,
                        .base_step = request->base_step,
                        .generated = request->generated,
                        .computed = request->computed,
                        .n_blocks = n_blocks,
                        .engine = engine->index,
                        .n_runs = request->n_runs,
                        .state = request->state,
                        .last_token = request->last_token,
                        .max_gap = request->max_gap};

    if (request->state == EEP_REQUEST_PREFILL) {
        engine->partial = NULL;
    } else if (!(request->flags & EEP_REQUEST_FLAG_FINISHING)) {
        eep_calendar_remove(&engine->calendar, request);
        eep_engine_stop_decoding(engine, request);
        request->generated += (guint32)(engine->counter - 1 - request->base);
        victim.was_starved = eep_engine_forget_starved(engine, request);
        if (!victim.was_starved)
            close_gaps_when_known(engine, before, request);
    }
    if (request->n_runs > 0)
        victim.runs = g_memdup2(request->runs, request->n_runs * sizeof *request->runs);
    if (request->flags & EEP_REQUEST_FLAG_GROWN) {
        request->flags &= (guint16)~EEP_REQUEST_FLAG_GROWN;
        n_blocks++;
    }
    eep_kv_cache_release(&engine->kv, request, n_blocks);
    eep_request_queue_remove(&engine->running, request);
    request->state = EEP_REQUEST_WAITING;
    request->computed = 0;
    request->blocks = 0;
    request->n_preemptions++;
    engine->n_preemptions++;
    if (engine->by_priority)
        eep_engine_add(engine, request);
    else
        eep_request_queue_push_head(&engine->waiting, request);
    engine->is_blocked = FALSE;
    g_array_append_val(plan->victims, victim);
}

static guint32 partial_chunk(const EepEngine *engine)
{
    guint32 budget = engine->max_batched_tokens - engine->n_decodes;

    return MIN(budget, eep_request_known(engine->partial) - engine->partial->computed);
}

static guint32 partial_blocks(const EepEngine *engine, guint32 n_tokens)
{
    const EepRequest *request = engine->partial;

    return eep_kv_cache_blocks_for(&engine->kv, request->computed + n_tokens) - request->blocks;
}

/* What the running pass came to. */
typedef struct {
    guint32 n_partial_tokens; /* to be scheduled for the partial prefill, whose blocks are free */
    guint32 n_grown;          /* blocks that decodes took */
    guint32 n_starved;        /* decodes passed over */
    gint64 starved_context;   /* their KV tokens */
} RunningPass;

/* FCFS: the victims are the shortest tail of the running list whose blocks let the others grow,
 * which is what going through the list in order and preempting the last one comes to. */
static void grow_fcfs(EepEngine *engine, EepPlan *plan, EepPlan *before, RunningPass *pass)
{
    const guint32 *n_growing = &engine->phase_count[engine->phase];

    while (*n_growing > engine->kv.n_free) {
        EepRequest *last = engine->running.tail;

        preempt(engine, plan, before, last);
    }
    if (engine->partial != NULL) {
        pass->n_partial_tokens = partial_chunk(engine);
        if (partial_blocks(engine, pass->n_partial_tokens) > engine->kv.n_free - *n_growing) {
            preempt(engine, plan, before, engine->partial);
            pass->n_partial_tokens = 0;
        }
    }
    pass->n_grown = *n_growing;
    eep_kv_cache_take(&engine->kv, *n_growing);
}

static EepRequest *least_urgent(const EepEngine *engine)
{
    EepRequest *worst = engine->running.head;

    for (EepRequest *request = worst->next; request != NULL; request = request->next)
        if (eep_request_compare_urgency(request, worst) > 0)
            worst = request;
    return worst;
}

/* The request keeps its place but gets no token in this step: it is as if its decoding had begun
 * one count later. */
static void starve(EepEngine *engine, EepPlan *plan, EepPlan *before, EepRequest *request)
{
    EepStarving starving = {request, !(request->flags & EEP_REQUEST_FLAG_STARVED)};

    eep_calendar_remove(&engine->calendar, request);
    eep_engine_stop_decoding(engine, request);
    request->base++;
    request->due++;
    eep_calendar_insert(&engine->calendar, request);
    eep_engine_start_decoding(engine, request);
    request->flags |= EEP_REQUEST_FLAG_PASSED;
    g_array_append_val(plan->starving, starving);
    if (!starving.is_first)
        return;
    close_gaps_when_known(engine, before, request);
    eep_engine_mark_starved(engine, request);
}

static gboolean is_decoding(const EepRequest *request)
{
    return request->state == EEP_REQUEST_DECODE && !(request->flags & EEP_REQUEST_FLAG_FINISHING);
}

/* Preempts until `n_needed` blocks are free; FALSE when that was the request itself. *next stays
 * valid. */
static gboolean make_room(EepEngine *engine, EepPlan *plan, EepPlan *before, EepRequest *request,
                          guint32 n_needed, EepRequest **next)
{
    while (n_needed > engine->kv.n_free) {
        EepRequest *victim = least_urgent(engine);
        if (victim == *next)
            *next = victim->next;
        preempt(engine, plan, before, victim);
        if (victim == request)
            return FALSE;
    }
    return TRUE;
}

/* Priority: the victim may stand before the request that needs blocks; then it gives back the block
 * it has just got and its token, though nobody's share in this step grows by it. A request that
 * falls itself ends the pass: those behind it get nothing in this step, as in vLLM. */
static void grow_by_priority(EepEngine *engine, EepPlan *plan, EepPlan *before, RunningPass *pass)
{
    gboolean goes_on = TRUE;

    for (EepRequest *request = engine->running.head, *next; request != NULL; request = next) {
        next = request->next;
        if (is_decoding(request) && !goes_on) {
            pass->n_starved++;
            pass->starved_context += (gint64)computed_before(engine, request);
            starve(engine, plan, before, request);
        } else if (is_decoding(request) && eep_engine_phase_of(engine, request) == engine->phase) {
            goes_on = make_room(engine, plan, before, request, 1, &next);
            if (goes_on) {
                eep_kv_cache_take(&engine->kv, 1);
                request->flags |= EEP_REQUEST_FLAG_GROWN;
            }
        } else if (request == engine->partial && goes_on) {
            guint32 n_tokens = partial_chunk(engine);

            if (make_room(engine, plan, before, request, partial_blocks(engine, n_tokens), &next))
                pass->n_partial_tokens = n_tokens;
        }
    }
    for (EepRequest *request = engine->running.head; request != NULL; request = request->next)
        if (request->flags & EEP_REQUEST_FLAG_GROWN) {
            request->flags &= (guint16)~EEP_REQUEST_FLAG_GROWN;
            pass->n_grown++;
        }
}

/* -- chunks and admission --------------------------------------------------------------------- */

/* Reserves `n_tokens` of the request's known ones, for which it has got its blocks. */
static void schedule_chunk(EepEngine *engine, EepPlan *plan, EepRequest *request, guint32 n_tokens,
                           guint32 n_blocks, gboolean is_admission)
{
    EepEngineWork *work = &plan->work[engine->index];
    EepChunk chunk = {.request = request,
                      .n_tokens = n_tokens,
                      .computed_before = request->computed,
                      .n_blocks = n_blocks,
                      .n_preemptions = request->n_preemptions,
                      .engine = engine->index,
                      .is_admission = is_admission};
    gint64 q = n_tokens, c = request->computed;

    request->computed += n_tokens;
    request->blocks += n_blocks;
    chunk.completes = request->computed == eep_request_known(request);
    g_array_append_val(plan->chunks, chunk);
    work->n_prefill_chunks++;
    work->n_prefill_tokens += n_tokens;
    work->prefill_query_key_pairs += q * c + q * (q + 1) / 2;
    engine->partial = chunk.completes ? NULL : request;
}

/* FALSE when the head of the waiting queue does not fit. */
static gboolean admit_head(EepEngine *engine, EepPlan *plan, guint32 *budget)
{
    EepRequest *request = engine->waiting.head;
    EepKvCache *kv = &engine->kv;
    guint32 known = eep_request_known(request), n_known_blocks = eep_kv_cache_blocks_for(kv, known);
    guint64 n_hit = 0, n_idle = 0, n_full = request->prompt_tokens / kv->block_size, n_left;
    guint32 n_tokens, n_blocks;

    if (kv->prefix != NULL)
        n_hit = eep_prefix_cache_lookup(kv->prefix, request->hashes, request->n_hashes,
                                        MIN(n_full, (known - 1) / kv->block_size), &n_idle);
    if (n_known_blocks - n_hit > kv->n_free - n_idle)
        return FALSE;
    n_left = kv->n_free - n_idle - (n_known_blocks - n_hit);
    if (engine->running.n > 0 && n_left < engine->watermark_blocks)
        return FALSE;

    eep_request_queue_remove(&engine->waiting, request);
    eep_request_queue_push_tail(&engine->running, request);
    request->state = EEP_REQUEST_PREFILL;
    request->computed = (guint32)(n_hit * kv->block_size);
    request->blocks = (guint32)n_hit;
    if (!eep_request_was_admitted(request))
        request->cached_tokens = request->computed;
    else
        engine->n_recomputed_tokens += known - request->computed;
    engine->n_hit_blocks += n_hit;
    engine->n_prompt_blocks += n_full;
    if (n_hit > 0) {
        eep_prefix_cache_acquire(kv->prefix, request, n_hit);
        kv->n_free -= n_idle;
    }
    n_tokens = MIN(*budget, known - request->computed);
    n_blocks = eep_kv_cache_blocks_for(kv, request->computed + n_tokens) - request->blocks;
    eep_kv_cache_take(kv, n_blocks);
    schedule_chunk(engine, plan, request, n_tokens, n_blocks, TRUE);
    *budget -= n_tokens;
    plan->n_admitted++;
    return TRUE;
}

static void admit_waiting(EepEngine *engine, EepPlan *plan, guint64 wave_step, guint32 budget)
{
    if (engine->is_blocked || engine->pause != EEP_PAUSE_NONE)
        return;
    if (engine->prefill_interval > 1 && wave_step % engine->prefill_interval != 0)
        return;
    while (engine->waiting.head != NULL && budget > 0 &&
           engine->running.n + engine->seats.n < engine->max_num_seqs) {
        if (!admit_head(engine, plan, &budget)) {
            engine->is_blocked = TRUE;
            return;
        }
    }
}

/* The request gets its next token in this step and decodes from the next one on, unless that is its
 * last. */
static void complete_prefill(EepEngine *engine, EepPlan *plan, EepRequest *request)
{
    request->state = EEP_REQUEST_DECODE;
    request->base = engine->counter;
    request->base_step = plan->step;
    request->generated++;
    request->due = request->base + (request->output_tokens - request->generated);
    eep_calendar_insert(&engine->calendar, request);
    eep_engine_start_decoding(engine, request);
}

/* Those whose last token is produced in this step leave the counts of the next. */
static void collect_finishing(EepEngine *engine, EepPlan *plan)
{
    EepDueList *due = eep_calendar_due(&engine->calendar, engine->counter);

    plan->finishing[engine->index] = *due;
    for (EepRequest *request = due->head; request != NULL; request = request->due_next) {
        eep_engine_stop_decoding(engine, request);
        request->flags |= EEP_REQUEST_FLAG_FINISHING;
    }
    *due = (EepDueList){NULL, NULL};
}

static gboolean is_short_of_blocks(const EepEngine *engine)
{
    guint32 n_partial = engine->partial != NULL ? partial_blocks(engine, partial_chunk(engine)) : 0;

    return engine->phase_count[engine->phase] + n_partial > engine->kv.n_free;
}

/* Those starved before this step and not again in it get a token now. */
static void resume_starved(EepEngine *engine, EepPlan *plan)
{
    for (guint i = engine->starved->len; i-- > 0;) {
        EepRequest *request = g_ptr_array_index(engine->starved, i);

        if (request->flags & EEP_REQUEST_FLAG_PASSED) {
            request->flags &= (guint16)~EEP_REQUEST_FLAG_PASSED;
        } else {
            eep_engine_forget_starved(engine, request);
            g_ptr_array_add(plan->resumed, request);
        }
    }
}

void eep_scheduler_plan(EepEngine *engine, EepPlan *plan, EepPlan *before, guint64 wave_step)
{
    EepEngineWork *work = &plan->work[engine->index];
    guint n_chunks = plan->chunks->len, n_victims = plan->victims->len;
    RunningPass pass = {0};
    guint32 budget;

    memset(work, 0, sizeof *work);
    work->engine = engine->worker;
    plan->finishing[engine->index] = (EepDueList){NULL, NULL};
    plan->advanced[engine->index] = FALSE;
    if (!eep_engine_has_work(engine))
        return;
    if (engine->pause == EEP_PAUSE_ALL) {
        if (engine->n_decodes > 0)
            plan->touched[plan->n_touched++] = engine->index;
        return;
    }
    plan->advanced[engine->index] = TRUE;
    engine->counter++;
    if (++engine->phase == engine->kv.block_size)
        engine->phase = 0;
    eep_calendar_advance(&engine->calendar, engine->counter);

    if (G_UNLIKELY(engine->by_priority) && is_short_of_blocks(engine))
        grow_by_priority(engine, plan, before, &pass);
    else
        grow_fcfs(engine, plan, before, &pass);
    if (G_UNLIKELY(engine->starved->len > 0))
        resume_starved(engine, plan);
    plan->n_grown[engine->index] = pass.n_grown;
    work->n_decodes = engine->n_decodes - pass.n_starved;
    work->decode_context_tokens =
        engine->context_base + (gint64)(engine->n_decodes * engine->counter) - pass.starved_context;
    budget = engine->max_batched_tokens - work->n_decodes;
    if (pass.n_partial_tokens > 0) {
        guint32 n_blocks = partial_blocks(engine, pass.n_partial_tokens);

        eep_kv_cache_take(&engine->kv, n_blocks);
        budget -= pass.n_partial_tokens;
        schedule_chunk(engine, plan, engine->partial, pass.n_partial_tokens, n_blocks, FALSE);
    }
    if (plan->victims->len == n_victims)
        admit_waiting(engine, plan, wave_step, budget);
    for (guint i = n_chunks; i < plan->chunks->len; i++) {
        const EepChunk *chunk = &g_array_index(plan->chunks, EepChunk, i);

        if (chunk->completes)
            complete_prefill(engine, plan, chunk->request);
    }
    if (eep_calendar_due(&engine->calendar, engine->counter)->head != NULL)
        collect_finishing(engine, plan);

    plan->n_decodes += work->n_decodes;
    plan->n_prefill_tokens += work->n_prefill_tokens;
    plan->has_work |= work->n_decodes + work->n_prefill_tokens > 0;
    if (plan->chunks->len > n_chunks || plan->finishing[engine->index].head != NULL ||
        engine->stall > 0)
        plan->touched[plan->n_touched++] = engine->index;
}

/* From the counts after planning: what this step completes decodes from the next one on, what it
 * finishes has left already. */
void eep_scheduler_count_classes(EepEngine **engines, EepPlan *plan)
{
    memset(plan->classes, 0, sizeof plan->classes);
    for (guint e = 0; e < plan->n_engines; e++) {
        if (!plan->advanced[e])
            continue;
        for (guint i = 0; i < plan->n_classes; i++)
            plan->classes[i].n_decodes += engines[e]->decodes_of_class[i];
        for (const EepRequest *request = plan->finishing[e].head; request != NULL;
             request = request->due_next)
            plan->classes[request->request_class].n_decodes++;
    }
    for (guint i = 0; i < plan->chunks->len; i++) {
        const EepChunk *chunk = &g_array_index(plan->chunks, EepChunk, i);

        plan->classes[chunk->request->request_class].n_prefill_tokens += chunk->n_tokens;
        plan->classes[chunk->request->request_class].n_decodes -= chunk->completes;
    }
    for (guint i = 0; i < plan->starving->len; i++) {
        const EepRequest *request = g_array_index(plan->starving, EepStarving, i).request;

        plan->classes[request->request_class].n_decodes--;
    }
}
