/* Rearranging experts: the pool's part of EPLB. A rearrangement reads the window's load, asks the
 * policy for a placement, and moves one layer after the other: between steps while serving
 * (asynchronous, at most one layer a step), or with the forwards stopped (synchronous). eplb.h
 * decides when one is due and what moves where. */
#include "core/engine/pool_internal.h"

EepEplb *eep_pool_make_eplb(const EepPool *pool, guint n_ranks, GError **error)
{
    const EepPoolOptions *options = &pool->options;
    guint n_launch_ranks = (guint)(options->data_parallel_size * options->tensor_parallel_size);
    EepEplbShape shape = {.n_layers = pool->shape.n_moe_layers,
                          .n_experts = pool->shape.n_experts,
                          .n_ranks = n_ranks,
                          .n_groups = MAX(1, pool->shape.n_groups),
                          .ranks_per_node = pool->shape.gpus_per_node};
    EepEplbOptions eplb;

    eep_eplb_options_init(&eplb);
    eplb.enabled = options->enable_eplb;
    if (options->eplb_config.policy != NULL)
        eplb.policy = options->eplb_config.policy;
    eplb.window_size = (guint)options->eplb_config.window_size;
    eplb.step_interval = (guint)options->eplb_config.step_interval;
    eplb.use_async = options->eplb_config.use_async;
    eplb.num_redundant_experts = (guint)options->eplb_config.num_redundant_experts;
    if (n_ranks != n_launch_ranks && eplb.enabled) {
        guint slots = (shape.n_experts + eplb.num_redundant_experts) / n_launch_ranks;

        eplb.num_redundant_experts = slots * n_ranks - shape.n_experts;
    }
    return eep_eplb_new(&eplb, &shape, error);
}

/* Forwards stand still for a synchronous rearrangement that no resize asked for. */
static void set_stalled(EepPool *pool, gboolean is_stalled)
{
    EepGpuUse from = is_stalled ? EEP_GPU_SERVING : EEP_GPU_STALLED;
    EepGpuUse to = is_stalled ? EEP_GPU_STALLED : EEP_GPU_SERVING;

    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->gpu_use == (gint)from)
            eep_pool_set_gpu_use(pool, pool->engines[i], to);
}

static void resume_forwards(EepPool *pool)
{
    set_stalled(pool, FALSE);
    eep_pool_release(pool);
}

void eep_pool_eplb_start(EepPool *pool, guint n_ranks, gboolean is_sync, gboolean for_resize)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    guint64 to = pool->history.n_committed + pool->n_in_flight;
    guint64 window = eep_eplb_options(pool->eplb)->window_size;
    EepOp op;

    eep_pool_eplb_drain(pool);
    op = eep_operations_begin(services->operations, EEP_OP_READ_LOAD, pool->id, pool->epoch, 0,
                              EEP_TIME_NEVER);
    reshuffle->state = EEP_RESHUFFLE_READ;
    reshuffle->op = op.id;
    reshuffle->is_sync = is_sync;
    reshuffle->for_resize = for_resize;
    reshuffle->n_ranks = n_ranks;
    reshuffle->bytes = 0;
    reshuffle->n_moved = 0;
    eep_loop_record_action(services->loop, EEP_ACTION_READ_LOAD, to, n_ranks);
    services->backend->ops->read_load(services->backend, &op, to > window ? to - window : 0, to, 1);
}

void eep_pool_eplb_drain(EepPool *pool)
{
    EepReshuffle *reshuffle = &pool->reshuffle;

    if (reshuffle->state == EEP_RESHUFFLE_NONE)
        return;
    eep_eplb_drain(pool->eplb);
    if (reshuffle->is_sync && !reshuffle->for_resize && reshuffle->state != EEP_RESHUFFLE_READ)
        resume_forwards(pool);
    reshuffle->state = EEP_RESHUFFLE_NONE;
}

/* The rearrangement is live in every layer (or there was nothing to do). */
static void end(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    gboolean was_holding =
        reshuffle->is_sync && !reshuffle->for_resize && reshuffle->state != EEP_RESHUFFLE_READ;

    reshuffle->state = EEP_RESHUFFLE_NONE;
    pool->counts.n_reshuffles++;
    services->observer->ops->rearranged(
        services->observer, eep_loop_now(services->loop), pool->id, reshuffle->bytes,
        reshuffle->n_moved, reshuffle->before,
        eep_placement_balancedness(eep_eplb_placement(pool->eplb), reshuffle->load));
    if (was_holding)
        resume_forwards(pool);
    if (reshuffle->for_resize)
        eep_pool_resize_reshuffled(pool, reshuffle->bytes);
}

static void move_layer(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    guint layer = eep_eplb_next_layer(pool->eplb), n;
    const EepExpertTransfer *transfers = eep_eplb_transfers(pool->eplb, layer, &n);
    EepMove move = {.op = eep_operations_begin(services->operations, EEP_OP_MOVE_EXPERTS, pool->id,
                                               pool->epoch, 0, EEP_TIME_NEVER),
                    .layer = layer,
                    .new_version = eep_eplb_placement(pool->eplb)->version[layer] + 1,
                    .n_transfers = n,
                    .bytes_each = pool->shape.expert_bytes,
                    .n_ranks = eep_eplb_placement(pool->eplb)->n_ranks,
                    .to_pool = pool->id};
    EepTransfer *wire = g_new(EepTransfer, n);

    for (guint i = 0; i < n; i++)
        wire[i] = (EepTransfer){(guint32)transfers[i].from_rank, (guint32)transfers[i].to_rank,
                                transfers[i].layer, (guint32)transfers[i].expert,
                                (guint32)transfers[i].to_slot};
    move.transfers = wire;
    reshuffle->state = EEP_RESHUFFLE_MOVE;
    reshuffle->op = move.op.id;
    reshuffle->n_moved += n;
    reshuffle->bytes += n * pool->shape.expert_bytes;
    eep_loop_record_action(services->loop, EEP_ACTION_MOVE, layer, n);
    services->backend->ops->move(services->backend, &move);
    g_free(wire);
}

/* A layer without traffic says nothing of its experts: all alike. */
static guint64 take_load(EepPool *pool, GBytes *blob)
{
    guint n_layers = pool->shape.n_moe_layers, n_experts = pool->shape.n_experts;
    const EepLoadReport *report = g_bytes_get_data(blob, NULL);
    guint64 version = report->version;
    double *load = pool->reshuffle.load;

    if (load == NULL)
        load = pool->reshuffle.load = g_new(double, (gsize)n_layers *n_experts);
    for (guint l = 0; l < n_layers; l++) {
        double sum = 0.0;

        for (guint e = 0; e < n_experts; e++)
            sum += load[l * n_experts + e] = report->tokens[l * n_experts + e];
        for (guint e = 0; e < n_experts && sum == 0.0; e++)
            load[l * n_experts + e] = 1.0;
        if (sum == 0.0)
            version = 0;
    }
    return version;
}

static gboolean on_load(EepPool *pool, GBytes *blob, GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    guint64 version = take_load(pool, blob);

    reshuffle->before = eep_placement_balancedness(eep_eplb_placement(pool->eplb), reshuffle->load);
    if (!eep_eplb_begin(pool->eplb, reshuffle->load, version, reshuffle->n_ranks, error))
        return FALSE;
    if (!eep_eplb_running(pool->eplb)) {
        end(pool);
        return TRUE;
    }
    if (!reshuffle->is_sync || reshuffle->for_resize) {
        move_layer(pool);
        return TRUE;
    }
    reshuffle->state = EEP_RESHUFFLE_QUIESCE;
    eep_pool_hold(pool);
    return pool->n_in_flight > 0 || eep_pool_eplb_quiet(pool, error);
}

gboolean eep_pool_eplb_quiet(EepPool *pool, GError **error)
{
    if (pool->reshuffle.state == EEP_RESHUFFLE_QUIESCE) {
        set_stalled(pool, TRUE);
        move_layer(pool);
    }
    return TRUE;
}

/* The layer's experts are where they belong: its map switches, and the next layer's move begins. */
static void commit_layer(EepPool *pool)
{
    eep_eplb_commit_layer(pool->eplb, eep_eplb_next_layer(pool->eplb));
    if (eep_eplb_running(pool->eplb))
        move_layer(pool);
    else
        end(pool);
}

gboolean eep_pool_eplb_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                  GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;

    if (reshuffle->state == EEP_RESHUFFLE_NONE || completion->id != reshuffle->op)
        return TRUE;
    if (completion->done != EEP_DONE_OK || (completion->kind == EEP_OP_READ_LOAD && blob == NULL)) {
        gboolean for_resize = reshuffle->for_resize;

        /* The old placement stays valid; the next rearrangement tries again. */
        eep_pool_eplb_drain(pool);
        if (for_resize)
            eep_pool_resize_reshuffled(pool, reshuffle->bytes);
        return TRUE;
    }
    if (completion->kind == EEP_OP_READ_LOAD)
        return on_load(pool, blob, error);
    /* While steps go on, a layer switches at the end of one, at most one layer a step. */
    if (reshuffle->is_sync || (!pool->is_running && pool->n_in_flight == 0))
        commit_layer(pool);
    else
        reshuffle->state = EEP_RESHUFFLE_ARRIVED;
    return TRUE;
}

void eep_pool_eplb_rest(EepPool *pool)
{
    if (pool->reshuffle.state == EEP_RESHUFFLE_ARRIVED)
        commit_layer(pool);
}

gboolean eep_pool_eplb_boundary(EepPool *pool, GError **error)
{
    if (pool->reshuffle.state == EEP_RESHUFFLE_ARRIVED)
        commit_layer(pool);
    if (!pool->is_eplb_suspended && eep_eplb_count_step(pool->eplb))
        eep_pool_eplb_start(pool, eep_eplb_placement(pool->eplb)->n_ranks,
                            !eep_eplb_options(pool->eplb)->use_async, FALSE);
    return TRUE;
}
