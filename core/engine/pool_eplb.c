/* Rearranging experts: the pool's part of EPLB. A look reads the window's load and asks the trigger
 * whether it calls for another placement; the policy plans one, the trigger may find that it is not
 * worth its cost, and its experts move, one layer after the other: between steps while serving
 * (asynchronous, at most one layer a step), or with the forwards stopped (synchronous). eplb.h
 * decides when a look is due and what moves where. A resize asks for a rearrangement past all
 * triggers. */
#include "core/engine/pool_fault.h"
#include "core/link_share.h"

#include <string.h>

EepEplb *eep_pool_make_eplb(const EepPool *pool, guint n_ranks, gboolean refits, GError **error)
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
    if (eplb.enabled && (refits || n_ranks != n_launch_ranks)) {
        guint slots = refits ? (shape.n_experts - 1) / n_ranks + 1
                             : (shape.n_experts + eplb.num_redundant_experts) / n_launch_ranks;

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

static void clear_aim(EepReshuffleAim *aim)
{
    g_clear_pointer(&aim->ranks, g_free);
    g_clear_pointer(&aim->source, g_free);
}

void eep_pool_eplb_clear(EepPool *pool)
{
    clear_aim(&pool->reshuffle.aim);
    g_free(pool->reshuffle.load);
    g_free(pool->reshuffle.is_busy);
    g_free(pool->reshuffle.windows);
}

void eep_pool_eplb_start(EepPool *pool, EepReshuffleAim aim)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    gboolean reads_windows = eep_eplb_policy(pool->eplb)->reads_windows;
    guint64 from, to, n_parts = 1;
    EepOp op;

    eep_pool_eplb_drain(pool);
    clear_aim(&reshuffle->aim);
    eep_eplb_window(pool->eplb, &from, &to);
    if (reads_windows && to > from)
        n_parts = MIN(to - from, (guint64)pool->options.eplb_config.window_parts);
    op = eep_operations_begin(services->operations, EEP_OP_READ_LOAD, pool->id, pool->epoch, 0,
                              EEP_TIME_NEVER);
    *reshuffle = (EepReshuffle){
        .state = EEP_RESHUFFLE_READ,
        .op = op.id,
        .aim = aim,
        .n_missing = eep_eplb_placement(pool->eplb)->n_missing,
        .n_windows = (guint)n_parts,
        .n_steps = to - from,
        .load = reshuffle->load,
        .windows = reshuffle->windows,
        .is_busy = reshuffle->is_busy,
        .stalled_at = EEP_TIME_NEVER,
    };
    eep_loop_record_action(services->loop, EEP_ACTION_READ_LOAD, to, aim.n_ranks);
    services->backend->ops->read_load(services->backend, &op, from, to, reshuffle->n_windows);
}

/* Whether it holds the steps itself, not only while a resize does. */
static gboolean is_holding(const EepReshuffle *reshuffle)
{
    return reshuffle->aim.is_sync && !reshuffle->aim.for_resize &&
           reshuffle->state != EEP_RESHUFFLE_READ;
}

void eep_pool_eplb_drain(EepPool *pool)
{
    EepReshuffle *reshuffle = &pool->reshuffle;

    if (reshuffle->state == EEP_RESHUFFLE_NONE)
        return;
    eep_eplb_drain(pool->eplb);
    if (is_holding(reshuffle))
        resume_forwards(pool);
    reshuffle->state = EEP_RESHUFFLE_NONE;
}

void eep_pool_eplb_stop(EepPool *pool)
{
    const EepReshuffle *reshuffle = &pool->reshuffle;

    if (reshuffle->aim.for_resize) {
        if (reshuffle->state == EEP_RESHUFFLE_READ || reshuffle->state == EEP_RESHUFFLE_MOVE)
            eep_pool_abort_op(pool, reshuffle->op);
        eep_pool_eplb_drain(pool);
    }
    eep_eplb_forget_preload(pool->eplb);
    pool->is_eplb_pinned = FALSE;
}

/* The placement that serves when all is done. */
static const EepPlacement *placement_after(const EepPool *pool)
{
    const EepPlacement *preloaded = eep_eplb_preloaded(pool->eplb);

    return pool->reshuffle.aim.is_preload && preloaded != NULL ? preloaded
                                                               : eep_eplb_placement(pool->eplb);
}

/* The rearrangement is live in every layer (or there was nothing to do). */
static void end(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepTime now = eep_loop_now(services->loop);
    guint64 n_missing = eep_eplb_placement(pool->eplb)->n_missing;
    gboolean was_holding = is_holding(reshuffle);
    EepRearrangement rearrangement = {
        .pool = pool->id,
        .for_resize = reshuffle->aim.for_resize,
        .trigger = reshuffle->aim.for_resize ? "resize" : trigger_name(pool),
        .bytes_moved = reshuffle->bytes,
        .bytes_intra_node = reshuffle->bytes_intra_node,
        .bytes_inter_node = reshuffle->bytes_inter_node,
        .n_experts_moved = reshuffle->n_moved,
        .n_experts_restored = reshuffle->n_restored,
        .n_experts_lost = n_missing - MIN(n_missing, reshuffle->n_missing),
        .balancedness_before = reshuffle->before,
        .balancedness_after = eep_placement_balancedness(placement_after(pool), reshuffle->load),
        .worth = reshuffle->worth,
        .stalled = reshuffle->stalled_at != EEP_TIME_NEVER ? now - reshuffle->stalled_at : 0,
    };

    reshuffle->state = EEP_RESHUFFLE_NONE;
    pool->counts.n_reshuffles++;
    services->observer->ops->rearranged(services->observer, now, &rearrangement);
    if (was_holding)
        resume_forwards(pool);
    if (reshuffle->aim.for_resize)
        eep_pool_resize_reshuffled(pool, reshuffle->bytes);
}

/* Whether the ranks that are to go hold nothing any more. */
static gboolean is_off_leaving(const EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const guint8 *ranks = pool->reshuffle.aim.ranks;
    const guint S = placement->slots_per_rank;

    for (guint layer = 0; layer < placement->n_layers && ranks != NULL; layer++)
        for (guint slot = 0; slot < placement->n_slots; slot++)
            if (ranks[slot / S] != EEP_EPLB_RANK_HOLDS &&
                eep_placement_layer(placement, layer)[slot] != EEP_PLACEMENT_EMPTY)
                return FALSE;
    return TRUE;
}

/* What was planned cannot be done, or no further. The present placement stays valid; without a
 * resize the next rearrangement tries again. A resize is told that its experts are where it wants
 * them only if they are. */
static void fail(EepPool *pool, const char *reason)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepObserver *observer = pool->services->observer;
    const EepFact facts[] = {EEP_FACT_S("reason", reason)};
    gint64 bytes = reshuffle->bytes;

    observer->ops->decision(observer, eep_loop_now(pool->services->loop), pool->id,
                            "reshuffle_failed", facts, G_N_ELEMENTS(facts));
    eep_pool_eplb_drain(pool);
    if (!reshuffle->aim.for_resize)
        return;
    if (!reshuffle->aim.is_preload && is_off_leaving(pool))
        eep_pool_resize_reshuffled(pool, bytes);
    else
        eep_pool_resize_reshuffle_failed(pool);
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

/* Where what no rank holds comes from. */
static guint32 copy_outside(const EepPool *pool)
{
    return pool->options.fault_tolerance.expert_backup == EEP_BACKUP_HOST_MEMORY
               ? EEP_TRANSFER_FROM_HOST
               : EEP_TRANSFER_FROM_DISK;
}

/* The layer's move, to be released with g_free(transfers). */
static EepMove make_move(EepPool *pool, guint layer, EepOp op)
{
    guint n;
    const EepExpertTransfer *transfers = eep_eplb_transfers(pool->eplb, layer, &n);
    EepTransfer *wire = g_new(EepTransfer, n);

    for (guint i = 0; i < n; i++)
        wire[i] = (EepTransfer){
            .from_rank = transfers[i].from_rank == EEP_MIGRATION_NO_SENDER
                             ? copy_outside(pool)
                             : (guint32)transfers[i].from_rank,
            .to_rank = (guint32)transfers[i].to_rank,
            .layer = transfers[i].layer,
            .expert = (guint32)transfers[i].expert,
            .to_slot = (guint32)transfers[i].to_slot,
            .round = transfers[i].round,
        };
    return (EepMove){.op = op,
                     .layer = layer,
                     .new_version = eep_eplb_placement(pool->eplb)->version[layer] + 1,
                     .n_transfers = n,
                     .transfers = wire,
                     .bytes_each = pool->shape.expert_bytes,
                     .n_copies = eep_eplb_migration(pool->eplb)->max_copied[layer],
                     .n_ranks = eep_eplb_migration(pool->eplb)->n_ranks,
                     .to_pool = pool->id};
}

/* Who has the ranks of the move: a group that has not stepped yet is not known by its steps. */
static EepWorkerId *engines_of(const EepPool *pool, guint n)
{
    EepWorkerId *workers = g_new0(EepWorkerId, n);

    for (guint i = 0; i < n; i++) {
        const EepEngine *engine = eep_pool_engine_at(pool, i);

        workers[i] = engine != NULL ? engine->worker : 0;
    }
    return workers;
}

static void move_layer(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepReshuffle *reshuffle = &pool->reshuffle;
    guint layer = eep_eplb_next_layer(pool->eplb);
    EepMove move = make_move(pool, layer,
                             eep_operations_begin(services->operations, EEP_OP_MOVE_EXPERTS,
                                                  pool->id, pool->epoch, 0, EEP_TIME_NEVER));
    g_autofree EepWorkerId *engines = NULL;

    move.n_engines = move.n_ranks / (guint)pool->options.tensor_parallel_size;
    move.engines = engines = engines_of(pool, move.n_engines);
    if (reshuffle->aim.is_sync && layer == 0)
        move.n_planned_slots =
            (guint64)pool->shape.n_moe_layers * eep_eplb_target(pool->eplb)->n_slots;
    reshuffle->state = EEP_RESHUFFLE_MOVE;
    reshuffle->op = move.op.id;
    reshuffle->n_moved += move.n_transfers;
    reshuffle->bytes += move.n_transfers * pool->shape.expert_bytes;
    for (guint i = 0; i < move.n_transfers; i++)
        reshuffle->n_restored += move.transfers[i].from_rank >= EEP_TRANSFER_FROM_HOST;
    eep_loop_record_action(services->loop, EEP_ACTION_MOVE, layer, move.n_transfers);
    services->backend->ops->move(services->backend, &move);
    if (G_UNLIKELY(pool->n_silent > 0))
        eep_pool_fault_collective_waits(pool);
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
    if (pool->reshuffle.aim.is_sync)
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

/* The request's loads. A layer without traffic says nothing of its experts: all alike; so it is in
 * all layers without a report. Returns how many layers had traffic. */
static guint take_load(EepPool *pool, const EepLoadReport *report, EepEplbRequest *request)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    const guint n_layers = pool->shape.n_moe_layers, n_experts = pool->shape.n_experts;
    const gsize cells = (gsize)n_layers * n_experts;
    guint n_busy = 0;

    if (reshuffle->load == NULL) {
        reshuffle->load = g_new(double, cells);
        reshuffle->is_busy = g_new(gboolean, n_layers);
    }
    memset(reshuffle->load, 0, cells * sizeof *reshuffle->load);
    for (gsize i = 0; i < reshuffle->n_windows * cells && report != NULL; i++)
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
    request->load_version = n_busy == n_layers && report != NULL ? report->version : 0;
    if (eep_eplb_policy(pool->eplb)->reads_windows && report != NULL)
        take_windows(pool, report, request);
    return n_busy;
}

/* Experts that one rearrangement may move. A resize moves what it must. */
static gint64 max_moves(const EepPool *pool)
{
    gint64 bytes = pool->options.eplb_config.max_bytes_moved;

    return bytes > 0 && !pool->reshuffle.aim.for_resize ? bytes / MAX(1, pool->shape.expert_bytes)
                                                        : EEP_EPLB_MOVES_AUTO;
}

/* Why the trigger wants no plan for this load; NULL: it does. */
static const char *reason_to_keep(EepPool *pool, guint n_busy)
{
    EepEplbTrigger *trigger = eep_eplb_trigger(pool->eplb);

    if (pool->reshuffle.aim.for_resize || trigger->kind == EEP_EPLB_TRIGGER_INTERVAL)
        return NULL;
    if (n_busy == 0)
        return "no_load";
    if (eep_eplb_trigger_wants_plan(trigger, pool->reshuffle.before))
        return NULL;
    return trigger->n_low > 0 ? "not_yet" : "balanced";
}

static gboolean make_plan(EepPool *pool, const EepEplbRequest *request, GError **error)
{
    const EepReshuffleAim *aim = &pool->reshuffle.aim;

    if (aim->is_preload)
        return eep_eplb_plan_preload(pool->eplb, request->load, aim->source, aim->n_ranks, error);
    return eep_eplb_plan(pool->eplb, request, error);
}

static gboolean start_moves(EepPool *pool, GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;

    eep_eplb_start_moves(pool->eplb);
    if (reshuffle->aim.is_free) {
        while (eep_eplb_running(pool->eplb))
            eep_eplb_commit_layer(pool->eplb, eep_eplb_next_layer(pool->eplb));
        end(pool);
        return TRUE;
    }
    reshuffle->bytes_intra_node =
        eep_eplb_migration(pool->eplb)->n_intra_node * pool->shape.expert_bytes;
    reshuffle->bytes_inter_node =
        eep_eplb_migration(pool->eplb)->n_inter_node * pool->shape.expert_bytes;
    if (!reshuffle->aim.is_sync || reshuffle->aim.for_resize) {
        move_layer(pool);
        return TRUE;
    }
    reshuffle->state = EEP_RESHUFFLE_QUIESCE;
    eep_pool_hold(pool);
    return pool->n_in_flight > 0 || eep_pool_eplb_quiet(pool, error);
}

/* The load has been read, or (NULL) cannot be. */
static gboolean on_load(EepPool *pool, const EepLoadReport *report, GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    EepEplbRequest request = {.n_ranks = reshuffle->aim.n_ranks,
                              .ranks = reshuffle->aim.ranks,
                              .loses_unheld =
                                  pool->options.fault_tolerance.expert_backup == EEP_BACKUP_NONE,
                              .max_moves = max_moves(pool)};
    guint n_busy = take_load(pool, report, &request);
    g_autoptr(GError) problem = NULL;
    const char *reason;

    reshuffle->before = eep_placement_balancedness(eep_eplb_placement(pool->eplb), reshuffle->load);
    if ((reason = reason_to_keep(pool, n_busy)) != NULL) {
        keep(pool, reason);
        return TRUE;
    }
    if (!make_plan(pool, &request, &problem)) {
        if (!reshuffle->aim.for_resize) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return FALSE;
        }
        fail(pool, problem->message);
        return TRUE;
    }
    if (!eep_eplb_has_plan(pool->eplb)) {
        if (reshuffle->aim.for_resize ||
            eep_eplb_trigger(pool->eplb)->kind == EEP_EPLB_TRIGGER_INTERVAL)
            end(pool);
        else
            keep(pool, "same_map");
        return TRUE;
    }
    if (!reshuffle->aim.for_resize && !is_worth_it(pool)) {
        eep_eplb_drop_plan(pool->eplb);
        keep(pool, "not_worth_it");
        return TRUE;
    }
    return start_moves(pool, error);
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
    eep_pool_fault_placed(pool);
    if (eep_eplb_running(pool->eplb))
        move_layer(pool);
    else
        end(pool);
}

/* Whether the layer that has arrived may switch now. While steps go on it does at the end of one,
 * at most one layer a step. */
static gboolean may_switch(const EepPool *pool)
{
    const EepReshuffleAim *aim = &pool->reshuffle.aim;

    return aim->is_sync || aim->is_preload ||
           (pool->n_in_flight == 0 && (!pool->is_running || pool->n_holds > 0));
}

gboolean eep_pool_eplb_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                  GError **error)
{
    EepReshuffle *reshuffle = &pool->reshuffle;
    gboolean is_read = completion->kind == EEP_OP_READ_LOAD;

    if (reshuffle->state == EEP_RESHUFFLE_NONE || completion->id != reshuffle->op)
        return TRUE;
    if (is_read && completion->done == EEP_DONE_OK && is_report(pool, blob))
        return on_load(pool, g_bytes_get_data(blob, NULL), error);
    /* Without knowing the load a resize still moves what it must. */
    if (is_read && reshuffle->aim.for_resize && completion->done <= EEP_DONE_REFUSED)
        return on_load(pool, NULL, error);
    if (completion->done != EEP_DONE_OK || is_read)
        fail(pool, is_read ? "the load cannot be read" : eep_done_names[completion->done]);
    else if (may_switch(pool))
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

/* A resize moves experts, or has moved them to where it needs them. */
static gboolean is_taken_by_resize(const EepPool *pool)
{
    return pool->is_eplb_pinned ||
           (pool->reshuffle.aim.for_resize && pool->reshuffle.state != EEP_RESHUFFLE_NONE);
}

gboolean eep_pool_eplb_boundary(EepPool *pool, GError **error)
{
    if (pool->reshuffle.state == EEP_RESHUFFLE_ARRIVED)
        commit_layer(pool);
    if (pool->is_eplb_suspended)
        return TRUE;
    eep_eplb_note_step(pool->eplb, pool->history.n_committed - 1);
    if (eep_eplb_count_step(pool->eplb) && !is_taken_by_resize(pool))
        eep_pool_eplb_start(pool,
                            (EepReshuffleAim){.n_ranks = eep_eplb_placement(pool->eplb)->n_ranks,
                                              .is_sync = !eep_eplb_options(pool->eplb)->use_async});
    return TRUE;
}
