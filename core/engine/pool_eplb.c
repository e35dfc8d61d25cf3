/* Rearranging experts: the pool's part of EPLB. A look reads the window's load and asks the trigger
 * whether it calls for another placement; the policy plans one, the trigger may find that it is not
 * worth its cost, and its experts move, one layer after the other: between steps while serving
 * (asynchronous, at most one layer a step), or with the forwards stopped (synchronous). eplb.h
 * decides when a look is due and what moves where. A resize asks for a rearrangement past all
 * triggers. */
#include "core/engine/pool_internal.h"
#include "core/link_share.h"

#include <string.h>

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
    eplb.log_balancedness = options->eplb_config.log_balancedness;
    eplb.trigger = (EepEplbTriggerKind)options->eplb_config.trigger;
    eplb.trigger_threshold = options->eplb_config.trigger_threshold;
    eplb.trigger_windows = (guint)options->eplb_config.trigger_windows;
    eplb.check_interval = (guint)options->eplb_config.check_interval;
    eplb.senders = (EepSenders)options->eplb_config.senders;
    eplb.staging_experts = (guint)options->eplb_config.staging_experts;
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
    pool->reshuffle.stalled_at = is_stalled ? eep_loop_now(pool->services->loop) : EEP_TIME_NEVER;
}

static void resume_forwards(EepPool *pool)
{
    set_stalled(pool, FALSE);
    eep_pool_release(pool);
}

static const char *trigger_name(const EepPool *pool)
{
    return eep_eplb_trigger_names[pool->options.eplb_config.trigger];
}

void eep_pool_eplb_start(EepPool *pool, guint n_ranks, gboolean is_sync, gboolean for_resize)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    gboolean reads_windows = eep_eplb_policy(pool->eplb)->reads_windows;
    guint64 from, to, n_parts = 1;
    EepOp op;

    eep_pool_eplb_drain(pool);
    eep_eplb_window(pool->eplb, &from, &to);
    if (reads_windows && to > from)
        n_parts = MIN(to - from, (guint64)pool->options.eplb_config.window_parts);
    op = eep_operations_begin(services->operations, EEP_OP_READ_LOAD, pool->id, pool->epoch, 0,
                              EEP_TIME_NEVER);
    *reshuffle = (EepReshuffle){
        .state = EEP_RESHUFFLE_READ,
        .op = op.id,
        .is_sync = is_sync,
        .for_resize = for_resize,
        .n_ranks = n_ranks,
        .n_windows = (guint)n_parts,
        .n_steps = to - from,
        .load = reshuffle->load,
        .windows = reshuffle->windows,
        .is_busy = reshuffle->is_busy,
        .stalled_at = EEP_TIME_NEVER,
    };
    eep_loop_record_action(services->loop, EEP_ACTION_READ_LOAD, to, n_ranks);
    services->backend->ops->read_load(services->backend, &op, from, to, reshuffle->n_windows);
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
    EepTime now = eep_loop_now(services->loop);
    gboolean was_holding =
        reshuffle->is_sync && !reshuffle->for_resize && reshuffle->state != EEP_RESHUFFLE_READ;
    EepRearrangement rearrangement = {
        .pool = pool->id,
        .for_resize = reshuffle->for_resize,
        .trigger = reshuffle->for_resize ? "resize" : trigger_name(pool),
        .bytes_moved = reshuffle->bytes,
        .bytes_intra_node = reshuffle->bytes_intra_node,
        .bytes_inter_node = reshuffle->bytes_inter_node,
        .n_experts_moved = reshuffle->n_moved,
        .balancedness_before = reshuffle->before,
        .balancedness_after =
            eep_placement_balancedness(eep_eplb_placement(pool->eplb), reshuffle->load),
        .worth = reshuffle->worth,
        .stalled = reshuffle->stalled_at != EEP_TIME_NEVER ? now - reshuffle->stalled_at : 0,
    };

    reshuffle->state = EEP_RESHUFFLE_NONE;
    pool->counts.n_reshuffles++;
    services->observer->ops->rearranged(services->observer, now, &rearrangement);
    if (was_holding)
        resume_forwards(pool);
    if (reshuffle->for_resize)
        eep_pool_resize_reshuffled(pool, reshuffle->bytes);
}

/* The look is over and nothing has changed. */
static void keep(EepPool *pool, const char *reason)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepEplbKept kept = {.pool = pool->id,
                        .trigger = trigger_name(pool),
                        .reason = reason,
                        .balancedness = reshuffle->before,
                        .worth = reshuffle->worth};

    reshuffle->state = EEP_RESHUFFLE_NONE;
    services->observer->ops->kept(services->observer, eep_loop_now(services->loop), &kept);
}

/* -- moves -- */

/* The layer's move, to be released with g_free(transfers). */
static EepMove make_move(EepPool *pool, guint layer, EepOp op)
{
    guint n;
    const EepExpertTransfer *transfers = eep_eplb_transfers(pool->eplb, layer, &n);
    EepTransfer *wire = g_new(EepTransfer, n);

    for (guint i = 0; i < n; i++)
        wire[i] = (EepTransfer){
            (guint32)transfers[i].from_rank, (guint32)transfers[i].to_rank, transfers[i].layer,
            (guint32)transfers[i].expert,    (guint32)transfers[i].to_slot, transfers[i].round};
    return (EepMove){.op = op,
                     .layer = layer,
                     .new_version = eep_eplb_placement(pool->eplb)->version[layer] + 1,
                     .n_transfers = n,
                     .transfers = wire,
                     .bytes_each = pool->shape.expert_bytes,
                     .n_copies = eep_eplb_migration(pool->eplb)->max_copied[layer],
                     .n_ranks = eep_eplb_placement(pool->eplb)->n_ranks,
                     .to_pool = pool->id};
}

static void move_layer(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    guint layer = eep_eplb_next_layer(pool->eplb);
    EepMove move = make_move(pool, layer,
                             eep_operations_begin(services->operations, EEP_OP_MOVE_EXPERTS,
                                                  pool->id, pool->epoch, 0, EEP_TIME_NEVER));

    if (reshuffle->is_sync && layer == 0)
        move.n_planned_slots =
            (guint64)pool->shape.n_moe_layers * eep_eplb_target(pool->eplb)->n_slots;
    reshuffle->state = EEP_RESHUFFLE_MOVE;
    reshuffle->op = move.op.id;
    reshuffle->n_moved += move.n_transfers;
    reshuffle->bytes += move.n_transfers * pool->shape.expert_bytes;
    eep_loop_record_action(services->loop, EEP_ACTION_MOVE, layer, move.n_transfers);
    services->backend->ops->move(services->backend, &move);
    g_free((gpointer)move.transfers);
}

/* -- a look -- */

/* Time that serving loses by the plan's moves; the plan itself is made and paid for. Synchronously,
 * all of it. Asynchronously a step goes on, but its all-to-all, as large a part of it as of the
 * last step that was looked at, shares the links. */
static double moves_cost_s(EepPool *pool)
{
    EepOp none = {.pool = pool->id, .epoch = pool->epoch, .deadline = EEP_TIME_NEVER};
    EepTime total = 0, links = 0;

    for (guint layer = 0; layer < pool->shape.n_moe_layers; layer++) {
        EepMove move = make_move(pool, layer, none);
        EepTime link;

        total = eep_time_after(total, pool->predictor->ops->move(pool->predictor, &move, &link));
        links = eep_time_after(links, link);
        g_free((gpointer)move.transfers);
    }
    if (pool->reshuffle.is_sync)
        return eep_time_to_seconds(total);
    return eep_link_share_steps_lose_s(pool->options.eplb_config.contention, pool->all2all_share,
                                       eep_time_to_seconds(links));
}

/* Whether the plan pays, for triggers that ask. A placement is taken to last for step_interval
 * steps, after which vLLM would make another. */
static gboolean is_worth_it(EepPool *pool)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepPredictor *predictor = pool->predictor;
    const EepEplbTrigger *trigger = eep_eplb_trigger(pool->eplb);
    double n_steps = eep_eplb_options(pool->eplb)->step_interval;
    double present_s, target_s;

    if (trigger->kind != EEP_EPLB_TRIGGER_COST_BENEFIT)
        return TRUE;
    present_s = predictor->ops->experts(predictor, eep_eplb_placement(pool->eplb), reshuffle->load,
                                        (double)reshuffle->n_steps);
    target_s = predictor->ops->experts(predictor, eep_eplb_target(pool->eplb), reshuffle->load,
                                       (double)reshuffle->n_steps);
    reshuffle->worth = (EepEplbWorth){.is_known = TRUE,
                                      .saved_s = (present_s - target_s) * n_steps,
                                      .cost_s = moves_cost_s(pool)};
    return eep_eplb_trigger_accepts(trigger, present_s - target_s, n_steps,
                                    reshuffle->worth.cost_s);
}

static gboolean is_report(const EepPool *pool, GBytes *blob)
{
    gsize cells = (gsize)pool->shape.n_moe_layers * pool->shape.n_experts;

    return blob != NULL &&
           g_bytes_get_size(blob) ==
               sizeof(EepLoadReport) + pool->reshuffle.n_windows * cells * sizeof(double);
}

/* The report's pieces of time, in each of which the experts of a layer without traffic are alike.
 */
static void take_windows(EepPool *pool, const EepLoadReport *report, EepEplbRequest *request)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    const guint n_experts = pool->shape.n_experts;
    const gsize cells = (gsize)pool->shape.n_moe_layers * n_experts;

    g_free(reshuffle->windows);
    reshuffle->windows =
        g_memdup2(report->tokens, reshuffle->n_windows * cells * sizeof *report->tokens);
    request->windows = reshuffle->windows;
    request->n_windows = reshuffle->n_windows;
    for (gsize cell = 0; cell < cells; cell++) {
        gsize layer = cell / n_experts;

        for (guint w = 0; w < reshuffle->n_windows && !reshuffle->is_busy[layer]; w++)
            reshuffle->windows[w * cells + cell] = 1.0;
    }
}

/* The request's loads. A layer without traffic says nothing of its experts: all alike. Returns how
 * many layers had traffic. */
static guint take_load(EepPool *pool, GBytes *blob, EepEplbRequest *request)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    const guint n_layers = pool->shape.n_moe_layers, n_experts = pool->shape.n_experts;
    const gsize cells = (gsize)n_layers * n_experts;
    const EepLoadReport *report = g_bytes_get_data(blob, NULL);
    guint n_busy = 0;

    if (reshuffle->load == NULL) {
        reshuffle->load = g_new(double, cells);
        reshuffle->is_busy = g_new(gboolean, n_layers);
    }
    memset(reshuffle->load, 0, cells * sizeof *reshuffle->load);
    for (gsize i = 0; i < reshuffle->n_windows * cells; i++)
        reshuffle->load[i % cells] += report->tokens[i];
    for (guint l = 0; l < n_layers; l++) {
        double sum = 0.0;

        for (guint e = 0; e < n_experts; e++)
            sum += reshuffle->load[l * n_experts + e];
        reshuffle->is_busy[l] = sum > 0.0;
        n_busy += sum > 0.0;
        for (guint e = 0; e < n_experts && sum == 0.0; e++)
            reshuffle->load[l * n_experts + e] = reshuffle->n_windows;
    }
    request->load = reshuffle->load;
    request->load_version = n_busy == n_layers ? report->version : 0;
    if (eep_eplb_policy(pool->eplb)->reads_windows)
        take_windows(pool, report, request);
    return n_busy;
}

/* Experts that one rearrangement may move. A resize moves what it must. */
static gint64 max_moves(const EepPool *pool)
{
    gint64 bytes = pool->options.eplb_config.max_bytes_moved;

    return bytes > 0 && !pool->reshuffle.for_resize ? bytes / MAX(1, pool->shape.expert_bytes)
                                                    : EEP_EPLB_MOVES_AUTO;
}

/* Why the trigger wants no plan for this load; NULL: it does. */
static const char *reason_to_keep(EepPool *pool, guint n_busy)
{
    EepEplbTrigger *trigger = eep_eplb_trigger(pool->eplb);

    if (pool->reshuffle.for_resize || trigger->kind == EEP_EPLB_TRIGGER_INTERVAL)
        return NULL;
    if (n_busy == 0)
        return "no_load";
    if (eep_eplb_trigger_wants_plan(trigger, pool->reshuffle.before))
        return NULL;
    return trigger->n_low > 0 ? "not_yet" : "balanced";
}

static gboolean on_load(EepPool *pool, GBytes *blob, GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepEplbRequest request = {.n_ranks = reshuffle->n_ranks, .max_moves = max_moves(pool)};
    guint n_busy = take_load(pool, blob, &request);
    const char *reason;

    reshuffle->before = eep_placement_balancedness(eep_eplb_placement(pool->eplb), reshuffle->load);
    if ((reason = reason_to_keep(pool, n_busy)) != NULL) {
        keep(pool, reason);
        return TRUE;
    }
    if (!eep_eplb_plan(pool->eplb, &request, error))
        return FALSE;
    if (!eep_eplb_has_plan(pool->eplb)) {
        if (reshuffle->for_resize ||
            eep_eplb_trigger(pool->eplb)->kind == EEP_EPLB_TRIGGER_INTERVAL)
            end(pool);
        else
            keep(pool, "same_map");
        return TRUE;
    }
    if (!reshuffle->for_resize && !is_worth_it(pool)) {
        eep_eplb_drop_plan(pool->eplb);
        keep(pool, "not_worth_it");
        return TRUE;
    }
    eep_eplb_start_moves(pool->eplb);
    reshuffle->bytes_intra_node =
        eep_eplb_migration(pool->eplb)->n_intra_node * pool->shape.expert_bytes;
    reshuffle->bytes_inter_node =
        eep_eplb_migration(pool->eplb)->n_inter_node * pool->shape.expert_bytes;
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
    if (completion->done != EEP_DONE_OK ||
        (completion->kind == EEP_OP_READ_LOAD && !is_report(pool, blob))) {
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
    if (pool->is_eplb_suspended)
        return TRUE;
    eep_eplb_note_step(pool->eplb, pool->history.n_committed - 1);
    if (eep_eplb_count_step(pool->eplb))
        eep_pool_eplb_start(pool, eep_eplb_placement(pool->eplb)->n_ranks,
                            !eep_eplb_options(pool->eplb)->use_async, FALSE);
    return TRUE;
}
