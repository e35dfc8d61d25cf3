/* The end of a planned step: scheduler.h's commit, which counts its tokens, and discard, which
 * undoes it. */
#include "core/engine/scheduler.h"

void eep_plan_init(EepPlan *plan)
{
    *plan = (EepPlan){0};
    plan->chunks = g_array_new(FALSE, FALSE, sizeof(EepChunk));
    plan->victims = g_array_new(FALSE, FALSE, sizeof(EepVictim));
    plan->late = g_ptr_array_new();
    plan->starving = g_array_new(FALSE, FALSE, sizeof(EepStarving));
    plan->resumed = g_ptr_array_new();
}

static void forget_victims(EepPlan *plan)
{
    for (guint i = 0; i < plan->victims->len; i++)
        g_free(g_array_index(plan->victims, EepVictim, i).runs);
    g_array_set_size(plan->victims, 0);
}

void eep_plan_clear(EepPlan *plan)
{
    forget_victims(plan);
    g_array_free(plan->chunks, TRUE);
    g_array_free(plan->victims, TRUE);
    g_ptr_array_free(plan->late, TRUE);
    g_array_free(plan->starving, TRUE);
    g_ptr_array_free(plan->resumed, TRUE);
    g_free(plan->work);
    g_free(plan->advanced);
    g_free(plan->n_grown);
    g_free(plan->finishing);
    g_free(plan->touched);
}

void eep_plan_reset(EepPlan *plan, guint64 step, guint n_engines)
{
    if (n_engines > plan->n_allocated) {
        plan->work = g_renew(EepEngineWork, plan->work, n_engines);
        plan->advanced = g_renew(guint8, plan->advanced, n_engines);
        plan->n_grown = g_renew(guint32, plan->n_grown, n_engines);
        plan->finishing = g_renew(EepDueList, plan->finishing, n_engines);
        plan->touched = g_renew(guint16, plan->touched, n_engines);
        plan->n_allocated = n_engines;
    }
    plan->step = step;
    plan->n_engines = n_engines;
    plan->n_touched = 0;
    plan->n_decodes = plan->n_prefill_tokens = plan->n_admitted = 0;
    plan->has_work = FALSE;
    g_array_set_size(plan->chunks, 0);
    forget_victims(plan);
    g_ptr_array_set_size(plan->late, 0);
    g_array_set_size(plan->starving, 0);
    g_ptr_array_set_size(plan->resumed, 0);
}

/* -- commit ----------------------------------------------------------------------------------- */

/* One more token of the request, not of a decode that goes on. */
static void deliver_after_prefill(EepEngine *engine, EepRequest *request,
                                  const EepSchedulerEvents *events)
{
    EepTime now = engine->history->last_end;

    if (request->first_token == EEP_TIME_NEVER) {
        request->first_token = now;
    } else {
        EepTime gap = now - request->last_token;

        request->max_gap = MAX(request->max_gap, gap);
        events->gaps(events->self, gap, 1);
    }
    request->last_token = now;
}

/* The plan behind, if it is discarded, puts its victim back as it was when it fell; a gap that has
 * ended since is not to be forgotten. */
static void tell_victim(EepPlan *after, const EepRequest *request)
{
    for (guint i = 0; after != NULL && i < after->victims->len; i++) {
        EepVictim *victim = &g_array_index(after->victims, EepVictim, i);

        if (victim->request == request)
            victim->max_gap = request->max_gap;
    }
}

static void commit_chunk(EepEngine *engine, EepPlan *after, const EepChunk *chunk,
                         const EepSchedulerEvents *events)
{
    EepRequest *request = chunk->request;
    guint64 first = chunk->computed_before, last = first + chunk->n_tokens,
            size = engine->kv.block_size;

    if (engine->kv.prefix != NULL && request->n_preemptions == chunk->n_preemptions &&
        first < request->prompt_tokens) {
        eep_prefix_cache_publish(engine->kv.prefix, request, first / size,
                                 MIN(last, request->prompt_tokens) / size);
        engine->is_blocked = FALSE;
    }
    if (!chunk->completes)
        return;
    deliver_after_prefill(engine, request, events);
    tell_victim(after, request);
}

/* The request is about to go: the plan behind, if it is discarded, neither takes its preemption
 * back nor puts another victim in front of it. */
static void forget_victim(EepPlan *after, const EepRequest *request)
{
    EepRequest *next = request->next;

    for (guint i = 0; i < after->victims->len; i++) {
        EepVictim *victim = &g_array_index(after->victims, EepVictim, i);

        if (victim->request == request) {
            next = victim->next;
            g_free(victim->runs);
            g_array_remove_index(after->victims, i);
            break;
        }
    }
    for (guint i = 0; i < after->victims->len; i++) {
        EepVictim *victim = &g_array_index(after->victims, EepVictim, i);

        if (victim->next == request)
            victim->next = next;
    }
}

/* Returns the next of the plan's finishing requests. */
static EepRequest *commit_finish(EepEngine *engine, EepPlan *after, EepRequest *request,
                                 const EepSchedulerEvents *events)
{
    EepRequest *next = request->due_next;

    if (after != NULL && after->victims->len > 0)
        forget_victim(after, request);
    request->flags &= (guint16)~EEP_REQUEST_FLAG_FINISHING;
    eep_engine_close_gaps(engine, request);
    if (request->state == EEP_REQUEST_WAITING) {
        /* Preempted while its last token was in flight: its blocks are free already. */
        eep_request_queue_remove(&engine->waiting, request);
    } else {
        eep_request_queue_remove(&engine->running, request);
        eep_kv_cache_release(&engine->kv, request,
                             eep_kv_cache_blocks_for(&engine->kv, (guint64)request->prompt_tokens +
                                                                      request->output_tokens - 1));
    }
    engine->is_blocked = FALSE;
    request->generated = request->output_tokens;
    request->state = EEP_REQUEST_ENDED;
    events->finished(events->self, engine, request);
    return next;
}

static guint64 count_resumed(const EepEngine *engine, const EepPlan *plan)
{
    guint64 n = 0;

    for (guint i = 0; i < plan->resumed->len; i++)
        n += ((const EepRequest *)g_ptr_array_index(plan->resumed, i))->engine == engine->index;
    return n;
}

/* Gaps of an engine that stood still in steps before, or does in this one; returns how many of the
 * step's decodes it has accounted for, those resumed not among them. */
static guint64 commit_stall(EepEngine *engine, const EepPlan *plan, EepTime step_gap,
                            const EepSchedulerEvents *events)
{
    guint64 n_decodes;

    if (!plan->advanced[engine->index]) {
        engine->stall += step_gap;
        return 0;
    }
    if (engine->stall == 0)
        return 0;
    n_decodes = plan->work[engine->index].n_decodes - count_resumed(engine, plan);
    eep_gap_stack_push(engine->pauses, plan->step, engine->stall + step_gap);
    if (n_decodes > 0)
        events->gaps(events->self, engine->stall + step_gap, n_decodes);
    engine->stall = 0;
    return n_decodes;
}

/* A token after steps that passed the request over; its gap spans them all. */
static void commit_resumed(EepEngine **engines, const EepPlan *plan, EepRequest *request,
                           const EepSchedulerEvents *events)
{
    EepEngine *engine = engines[request->engine];
    EepTime gap = engine->history->last_end - request->last_token;

    request->max_gap = MAX(request->max_gap, gap);
    request->last_token = engine->history->last_end;
    request->base_step = plan->step;
    events->gaps(events->self, gap, 1);
}

void eep_scheduler_commit(EepEngine **engines, EepPlan *plan, EepPlan *after, EepTime step_gap,
                          const EepSchedulerEvents *events)
{
    guint64 n_regular = plan->n_decodes;
    guint next_chunk = 0;

    for (guint t = 0; t < plan->n_touched; t++)
        n_regular -= commit_stall(engines[plan->touched[t]], plan, step_gap, events);
    n_regular -= plan->resumed->len;
    if (n_regular > 0)
        events->gaps(events->self, step_gap, n_regular);
    for (guint i = 0; i < plan->resumed->len; i++)
        commit_resumed(engines, plan, g_ptr_array_index(plan->resumed, i), events);
    for (guint i = 0; i < plan->late->len; i++) {
        EepRequest *request = g_ptr_array_index(plan->late, i);

        eep_engine_close_gaps(engines[request->engine], request);
    }
    for (guint t = 0; t < plan->n_touched; t++) {
        EepEngine *engine = engines[plan->touched[t]];

        EepRequest *finishing = plan->finishing[engine->index].head;

        /* In the order of the running list, since it decides which freed blocks are evicted first:
         * those that decoded, then those whose prefill went on. */
        while (finishing != NULL && finishing->base < finishing->due)
            finishing = commit_finish(engine, after, finishing, events);
        for (; next_chunk < plan->chunks->len; next_chunk++) {
            const EepChunk *chunk = &g_array_index(plan->chunks, EepChunk, next_chunk);

            if (chunk->engine != engine->index)
                break;
            commit_chunk(engine, after, chunk, events);
            if (finishing == chunk->request)
                finishing = commit_finish(engine, after, finishing, events);
        }
    }
}

/* -- discard ---------------------------------------------------------------------------------- */

static void give_blocks(EepEngine *engine, guint64 n)
{
    engine->kv.n_free += n;
    if (engine->kv.prefix != NULL)
        eep_prefix_cache_give(engine->kv.prefix, n);
}

/* The requests go back into the calendar in their old order; those that only joined in this step
 * leave it again with their chunk. */
static void discard_finishing(EepEngine *engine, EepPlan *plan)
{
    EepDueList *list = &plan->finishing[engine->index];

    for (EepRequest *request = list->head; request != NULL; request = request->due_next) {
        request->flags &= (guint16)~EEP_REQUEST_FLAG_FINISHING;
        eep_engine_start_decoding(engine, request);
    }
    if (list->head != NULL)
        *eep_calendar_due(&engine->calendar, engine->counter) = *list;
    *list = (EepDueList){NULL, NULL};
}

static void discard_chunk(EepEngine *engine, const EepChunk *chunk)
{
    EepRequest *request = chunk->request;

    if (chunk->completes) {
        eep_calendar_remove(&engine->calendar, request);
        eep_engine_stop_decoding(engine, request);
        request->generated--;
    }
    request->state = EEP_REQUEST_PREFILL;
    request->computed = chunk->computed_before;
    request->blocks -= chunk->n_blocks;
    give_blocks(engine, chunk->n_blocks);
    engine->partial = request;
    engine->is_blocked = FALSE;
    if (!chunk->is_admission)
        return;
    if (eep_request_was_admitted(request))
        engine->n_recomputed_tokens -= eep_request_known(request) - request->computed;
    engine->n_hit_blocks -= request->blocks;
    engine->n_prompt_blocks -= request->prompt_tokens / engine->kv.block_size;
    eep_kv_cache_release(&engine->kv, request, request->blocks);
    eep_request_queue_remove(&engine->running, request);
    eep_request_queue_push_head(&engine->waiting, request);
    request->state = EEP_REQUEST_WAITING;
    request->computed = request->blocks = 0;
    engine->partial = NULL;
}

static void discard_victim(EepEngine *engine, EepVictim *victim)
{
    EepRequest *request = victim->request;
    guint64 n_taken = victim->n_blocks;

    eep_request_queue_remove(&engine->waiting, request);
    eep_request_queue_insert_before(&engine->running, victim->next, request);
    if (engine->kv.prefix != NULL)
        n_taken = eep_prefix_cache_restore(engine->kv.prefix, request, victim->runs, victim->n_runs,
                                           victim->n_blocks);
    engine->kv.n_free -= n_taken;
    request->n_preemptions--;
    engine->n_preemptions--;
    request->state = victim->state;
    request->base = victim->base;
    request->due = victim->due;
    request->base_step = victim->base_step;
    request->generated = victim->generated;
    request->computed = victim->computed;
    request->blocks = victim->n_blocks;
    request->last_token = victim->last_token;
    request->max_gap = victim->max_gap;
    if (victim->state == EEP_REQUEST_PREFILL) {
        engine->partial = request;
    } else if (!(request->flags & EEP_REQUEST_FLAG_FINISHING)) {
        eep_calendar_insert(&engine->calendar, request);
        eep_engine_start_decoding(engine, request);
        if (victim->was_starved)
            eep_engine_mark_starved(engine, request);
    }
    engine->is_blocked = FALSE;
}

static void discard_starving(EepEngine **engines, const EepStarving *starving)
{
    EepRequest *request = starving->request;
    EepEngine *engine = engines[request->engine];

    if (starving->is_first)
        eep_engine_forget_starved(engine, request);
    eep_calendar_remove(&engine->calendar, request);
    eep_engine_stop_decoding(engine, request);
    request->base--;
    request->due--;
    eep_calendar_insert(&engine->calendar, request);
    eep_engine_start_decoding(engine, request);
}

void eep_scheduler_discard(EepEngine **engines, EepPlan *plan)
{
    for (guint t = 0; t < plan->n_touched; t++)
        discard_finishing(engines[plan->touched[t]], plan);
    for (guint i = plan->chunks->len; i-- > 0;) {
        const EepChunk *chunk = &g_array_index(plan->chunks, EepChunk, i);

        discard_chunk(engines[chunk->engine], chunk);
    }
    for (guint e = 0; e < plan->n_engines; e++)
        if (plan->advanced[e])
            give_blocks(engines[e], plan->n_grown[e]);
    for (guint i = plan->starving->len; i-- > 0;)
        discard_starving(engines, &g_array_index(plan->starving, EepStarving, i));
    for (guint i = 0; i < plan->resumed->len; i++) {
        EepRequest *request = g_ptr_array_index(plan->resumed, i);

        eep_engine_mark_starved(engines[request->engine], request);
    }
    for (guint i = plan->victims->len; i-- > 0;) {
        EepVictim *victim = &g_array_index(plan->victims, EepVictim, i);

        discard_victim(engines[victim->engine], victim);
    }
    for (guint e = 0; e < plan->n_engines; e++) {
        EepEngine *engine = engines[e];

        if (!plan->advanced[e])
            continue;
        engine->counter--;
        engine->phase = engine->phase > 0 ? engine->phase - 1 : engine->kv.block_size - 1;
    }
    eep_plan_reset(plan, plan->step, plan->n_engines);
}
