/* What happens in the pool is handed to its resize machine here: requests, events, timers and the
 * ends of what it asked for. What the machine asks is done in pool_host.c. */
#include <string.h>

#include "core/engine/pool_fault.h"

typedef struct {
    guint64 timer;
    EepHandle handle;
} Timer;

void eep_pool_follow_wants(EepPool *pool)
{
    pool->must_step = eep_resize_wants_steps(pool->resize);
    if (pool->n_in_flight == 0)
        eep_pool_queue_plan(pool);
    eep_pool_fault_machine_acted(pool);
}

/* -- life ------------------------------------------------------------------------------------- */

/* Without a way back nobody looks at the clock, as in vLLM. */
static void set_deadlines(const EepPoolOptions *options, EepResizeParams *params)
{
    const EepGeneration *generation = eep_generation_find(params->generation);

    if (generation == NULL || !generation->rolls_back)
        return;
    if (options->resize.prepare_deadline > 0)
        params->deadline[EEP_WAIT_PREPARE] = params->deadline[EEP_WAIT_SETTLE] =
            params->deadline[EEP_WAIT_UNDO] = options->resize.prepare_deadline;
    if (options->resize.commit_deadline > 0)
        for (guint i = EEP_WAIT_PAUSE; i <= EEP_WAIT_RESUME; i++)
            params->deadline[i] = options->resize.commit_deadline;
}

gboolean eep_pool_resize_init(EepPool *pool, GError **error)
{
    const EepPoolOptions *options = &pool->options;
    g_autofree EepWorkerId *workers = g_new(EepWorkerId, pool->n_engines);
    EepResizeParams params;

    eep_resize_params_init(&params);
    params.pool = pool->id;
    if (options->resize.generation != NULL)
        params.generation = options->resize.generation;
    pool->generation = eep_generation_find(params.generation);
    eep_pool_reserve_init(pool, pool->generation);
    params.max_engines = pool->n_reserved > 0 ? pool->n_reserved : pool->shape.max_engines;
    params.tensor_parallel_size = (guint)options->tensor_parallel_size;
    params.n_experts = pool->eplb != NULL ? pool->shape.n_experts : 0;
    params.slots_per_rank = pool->eplb != NULL ? eep_eplb_placement(pool->eplb)->slots_per_rank : 0;
    params.max_slots_per_rank =
        (guint)MIN(eep_memory_fit_max_slots(&pool->shape.memory), G_MAXUINT32);
    params.max_ranks = pool->shape.max_ranks;
    params.all2all_backend = pool->shape.all2all_name;
    params.is_elastic_backend = pool->shape.is_elastic_backend;
    params.can_mask = pool->shape.can_mask;
    params.can_reuse_graphs = pool->shape.can_reuse_graphs;
    params.enable_elastic_ep = options->enable_elastic_ep;
    params.enable_dbo = options->enable_dbo;
    params.use_async = options->eplb_config.use_async;
    params.captures_graphs = !options->enforce_eager;
    params.weights_from = (EepWeightsFrom)options->resize.weights_from;
    params.on_busy = (EepOnBusy)options->resize.on_busy;
    params.drain_requests = options->resize.drain_requests;
    params.drain_timeout = options->resize.drain_timeout;
    params.leaving_drain = options->resize.leaving_drain;
    params.refit = options->resize.refit;
    set_deadlines(options, &params);
    params.consensus_cadence = EEP_POOL_CHECK_STEPS;
    params.control_latency = pool->shape.control_latency;
    params.non_expert_bytes = pool->shape.non_expert_bytes;
    params.expert_bytes =
        pool->shape.expert_bytes * params.slots_per_rank * pool->shape.n_moe_layers;
    params.map_bytes_per_slot = 8 * (gint64)pool->shape.n_moe_layers;
    params.peak_extra_bytes = pool->shape.standby_bytes;
    pool->timers = g_array_new(FALSE, FALSE, sizeof(Timer));
    pool->resize = eep_resize_new(&eep_pool_resize_host, pool, &params, error);
    if (pool->resize == NULL)
        return FALSE;
    for (guint i = 0; i < pool->n_engines; i++)
        workers[i] = pool->engines[i]->worker;
    eep_resize_start(pool->resize, pool->n_engines, workers);
    return TRUE;
}

void eep_pool_resize_clear(EepPool *pool)
{
    g_clear_pointer(&pool->resize, eep_resize_free);
    if (pool->timers != NULL)
        g_array_free(pool->timers, TRUE);
    eep_pool_reserve_clear(pool);
}

/* -- requests --------------------------------------------------------------------------------- */

void eep_pool_scale(EepPool *pool, guint new_data_parallel_size, const char *id, const char *by)
{
    if (pool->has_exited) {
        eep_pool_fault_refuse(pool, new_data_parallel_size, id, by);
        return;
    }
    eep_resize_request(pool->resize, new_data_parallel_size, id, by);
    eep_pool_follow_wants(pool);
}

void eep_pool_cancel(EepPool *pool, const char *id)
{
    EepObserver *observer = pool->services->observer;
    gboolean is_cancelled = !pool->has_exited && eep_resize_cancel(pool->resize, id);
    EepFact facts[] = {{.key = "cancelled", .type = EEP_FACT_BOOL, .integer = is_cancelled}};

    observer->ops->decision(observer, eep_loop_now(pool->services->loop), pool->id, "resize_cancel",
                            facts, G_N_ELEMENTS(facts));
    if (!pool->has_exited)
        eep_pool_follow_wants(pool);
}

/* -- timers ----------------------------------------------------------------------------------- */

void eep_pool_resize_start_timer(EepPool *pool, guint64 timer, EepTime delay)
{
    EepLoop *loop = pool->services->loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_CONTROL, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_TIMER,
                      .a = pool->id,
                      .b = timer};
    Timer entry = {timer, eep_loop_schedule(loop, eep_loop_now(loop) + delay, &event)};

    g_array_append_val(pool->timers, entry);
}

static gboolean take_timer(EepPool *pool, guint64 timer, EepHandle *ret_handle)
{
    for (guint i = 0; i < pool->timers->len; i++) {
        const Timer *entry = &g_array_index(pool->timers, Timer, i);

        if (entry->timer == timer) {
            *ret_handle = entry->handle;
            g_array_remove_index_fast(pool->timers, i);
            return TRUE;
        }
    }
    return FALSE;
}

void eep_pool_resize_cancel_timer(EepPool *pool, guint64 timer)
{
    EepHandle handle;

    if (take_timer(pool, timer, &handle))
        eep_loop_reschedule(pool->services->loop, handle, EEP_TIME_NEVER);
}

void eep_pool_resize_stop(EepPool *pool)
{
    for (guint i = 0; i < pool->timers->len; i++)
        eep_loop_reschedule(pool->services->loop, g_array_index(pool->timers, Timer, i).handle,
                            EEP_TIME_NEVER);
    g_array_set_size(pool->timers, 0);
}

void eep_pool_on_timer(EepPool *pool, guint64 timer)
{
    EepHandle handle;

    if (pool->has_exited)
        return;
    if (timer == EEP_POOL_TIMER_MIGRATE) {
        eep_pool_migrate_timer(pool);
        return;
    }
    if (!take_timer(pool, timer, &handle))
        return;
    eep_resize_timer(pool->resize, timer);
    eep_pool_follow_wants(pool);
}

/* -- events ----------------------------------------------------------------------------------- */

void eep_pool_on_note(EepPool *pool, const EepEvent *event)
{
    EepNote note;

    if (pool->has_exited)
        return;
    eep_note_from_event(event, &note);
    eep_resize_note(pool->resize, &note);
    eep_pool_follow_wants(pool);
}

void eep_pool_resize_boundary(EepPool *pool)
{
    if (G_LIKELY(!eep_resize_wants_boundary(pool->resize)) || pool->n_in_flight > 0)
        return;
    eep_resize_boundary(pool->resize, eep_pool_fault_check_step(pool));
    eep_pool_follow_wants(pool);
}

void eep_pool_resize_completion(EepPool *pool, const EepCompletion *completion)
{
    if (pool->has_exited)
        return;
    eep_resize_op_done(pool->resize, completion);
    eep_pool_follow_wants(pool);
}

void eep_pool_resize_reshuffled(EepPool *pool, gint64 bytes_moved)
{
    eep_resize_reshuffled(pool->resize, bytes_moved);
    eep_pool_follow_wants(pool);
}

void eep_pool_resize_migrated(EepPool *pool, EepWorkerId worker, guint64 n_requests, gint64 bytes)
{
    eep_resize_migrated(pool->resize, worker, n_requests, bytes);
    eep_pool_follow_wants(pool);
}

void eep_pool_resize_reshuffle_failed(EepPool *pool)
{
    eep_resize_reshuffle_failed(pool->resize);
    eep_pool_follow_wants(pool);
}

void eep_pool_saw_rejected(EepPool *pool)
{
    eep_resize_saw_rejected(pool->resize);
}

void eep_pool_saw_success(EepPool *pool)
{
    eep_resize_saw_success(pool->resize);
}

void eep_pool_abort_op(EepPool *pool, EepOpId id)
{
    EepPoolServices *services = pool->services;
    EepScope scope = {.op = id};
    EepOp op = eep_operations_begin(services->operations, EEP_OP_ABORT, pool->id, pool->epoch, 0,
                                    EEP_TIME_NEVER);

    services->backend->ops->abort(services->backend, &op, &scope);
}
