#include "core/eplb/eplb.h"

#include <string.h>

#include "core/eplb/preload.h"

#define NEVER G_MAXUINT64

void eep_eplb_options_init(EepEplbOptions *options)
{
    g_return_if_fail(options != NULL);
    *options = (EepEplbOptions){.enabled = FALSE,
                                .policy = "default",
                                .window_size = 1000,
                                .step_interval = 3000,
                                .num_redundant_experts = 0,
                                .use_async = TRUE,
                                .log_balancedness = FALSE,
                                .log_balancedness_interval = 1,
                                .trigger = EEP_EPLB_TRIGGER_INTERVAL,
                                .trigger_threshold = 0.9,
                                .trigger_windows = 2};
}

static gboolean check_options(const EepEplbOptions *options, const EepEplbShape *shape,
                              GError **error)
{
    if (!shape->n_layers || !shape->n_experts || !shape->n_ranks || !shape->n_groups) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "layers (%u), experts (%u), ranks (%u) and groups (%u) must be at least 1",
                    shape->n_layers, shape->n_experts, shape->n_ranks, shape->n_groups);
        return FALSE;
    }
    if (!options->step_interval || !options->log_balancedness_interval ||
        !options->trigger_windows) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "step_interval (%u), log_balancedness_interval (%u) and trigger_windows (%u) "
                    "must be at least 1",
                    options->step_interval, options->log_balancedness_interval,
                    options->trigger_windows);
        return FALSE;
    }
    if (!options->enabled && options->num_redundant_experts > 0) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "num_redundant_experts is %u without EPLB: enable EPLB or make it 0",
                    options->num_redundant_experts);
        return FALSE;
    }
    const guint64 slots = (guint64)shape->n_experts + options->num_redundant_experts;
    if (slots > G_MAXINT32 / 2) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%" G_GUINT64_FORMAT " slots in a layer are too many: at most %d", slots,
                    G_MAXINT32 / 2);
        return FALSE;
    }
    if (options->enabled && slots % shape->n_ranks != 0) {
        const guint64 up = (slots + shape->n_ranks - 1) / shape->n_ranks * shape->n_ranks;
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u experts and %u redundant ones do not divide evenly over %u ranks: try "
                    "num_redundant_experts %" G_GUINT64_FORMAT,
                    shape->n_experts, options->num_redundant_experts, shape->n_ranks,
                    up - shape->n_experts);
        return FALSE;
    }
    return TRUE;
}

/* vLLM without EPLB: contiguous blocks, the first E mod ranks ranks one expert longer. */
static void place_linear(EepPlacement *placement)
{
    const guint E = placement->n_experts, n = placement->n_ranks, S = placement->slots_per_rank;
    g_autofree gint32 *row = g_new(gint32, placement->n_slots);
    gint32 expert = 0;
    for (guint rank = 0; rank < n; rank++) {
        const guint held = E / n + (rank < E % n);
        for (guint i = 0; i < S; i++)
            row[rank * S + i] = i < held ? expert++ : EEP_PLACEMENT_EMPTY;
    }
    for (guint layer = 0; layer < placement->n_layers; layer++)
        eep_placement_set_layer(placement, layer, row);
}

/* vLLM: one node when the ranks do not divide over the nodes (eplb_state.py, rearrange). */
static guint nodes_for(const EepEplb *eplb, guint n_ranks)
{
    const guint per_node = eplb->shape.ranks_per_node;
    if (per_node == 0)
        return 1;
    const guint n_nodes = (n_ranks - 1) / per_node + 1;
    return n_ranks % n_nodes == 0 ? n_nodes : 1;
}

static guint64 interval_of(const EepEplbOptions *options)
{
    if (options->trigger == EEP_EPLB_TRIGGER_INTERVAL)
        return options->step_interval;
    return MAX(1, options->check_interval ? options->check_interval : options->window_size);
}

static EepEplbProblem problem_for(const EepEplb *eplb, guint n_ranks)
{
    return (EepEplbProblem){.n_layers = eplb->shape.n_layers,
                            .n_experts = eplb->shape.n_experts,
                            .n_replicas = eplb->placement->slots_per_rank * n_ranks,
                            .n_groups = eplb->shape.n_groups,
                            .n_nodes = nodes_for(eplb, n_ranks),
                            .n_ranks = n_ranks,
                            .max_moves = EEP_EPLB_MOVES_AUTO};
}

/* Steps between looks, if there are any. */
static guint64 due_of(const EepEplb *eplb)
{
    return eplb->options.enabled && eplb->is_plannable ? eplb->interval : NEVER;
}

EepEplb *eep_eplb_new(const EepEplbOptions *options, const EepEplbShape *shape, GError **error)
{
    g_return_val_if_fail(options != NULL && options->policy != NULL && shape != NULL, NULL);
    const EepEplbPolicy *policy = eep_eplb_policy_find(options->policy, error);
    if (!policy || !check_options(options, shape, error))
        return NULL;

    g_autoptr(EepEplb) eplb = g_new0(EepEplb, 1);
    const guint slots = shape->n_experts + options->num_redundant_experts;
    const guint S = (slots - 1) / shape->n_ranks + 1;
    if ((guint64)S * shape->n_ranks > G_MAXINT32) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u ranks of %u slots are too many", shape->n_ranks, S);
        return NULL;
    }
    eplb->options = *options;
    eplb->options.policy = policy->name;
    eplb->shape = *shape;
    eplb->policy = policy;
    eplb->placement = eep_placement_new(shape->n_layers, shape->n_experts, shape->n_ranks, S);
    if (!options->enabled)
        place_linear(eplb->placement);
    eep_eplb_trigger_init(&eplb->trigger, options->trigger, options->trigger_threshold,
                          options->trigger_windows);
    /* vLLM starts at three quarters, so that the first rearrangement comes early. */
    eplb->interval = interval_of(options);
    eplb->counter = eplb->interval - eplb->interval / 4;
    eplb->is_plannable = TRUE;
    eplb->due_at = due_of(eplb);
    if (!eep_eplb_check_ranks(eplb, shape->n_ranks, error))
        return NULL;
    return g_steal_pointer(&eplb);
}

void eep_eplb_free(EepEplb *eplb)
{
    if (!eplb)
        return;
    eep_placement_free(eplb->placement);
    eep_placement_free(eplb->target);
    eep_migration_free(eplb->migration);
    eep_placement_free(eplb->kept);
    g_free(eplb->source);
    g_free(eplb->is_lost);
    g_free(eplb);
}

guint64 eep_eplb_steps_until_due(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, NEVER);
    if (eplb->due_at == NEVER)
        return NEVER;
    return eplb->counter + 1 >= eplb->due_at ? 1 : eplb->due_at - eplb->counter;
}

gboolean eep_eplb_recording(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, FALSE);
    return eplb->options.enabled &&
           (eplb->counter + eplb->options.window_size >= eplb->interval || eep_eplb_log_due(eplb));
}

gboolean eep_eplb_log_due(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, FALSE);
    return eplb->options.enabled && eplb->options.log_balancedness &&
           eplb->counter % eplb->options.log_balancedness_interval == 0;
}

void eep_eplb_note_step(EepEplb *eplb, guint64 step)
{
    g_return_if_fail(eplb != NULL && step >= eplb->recorded_to);
    if (!eep_eplb_recording(eplb))
        return;
    if (step != eplb->recorded_to)
        eplb->recorded_from = step;
    eplb->recorded_to = step + 1;
}

void eep_eplb_window(const EepEplb *eplb, guint64 *ret_from, guint64 *ret_to)
{
    g_return_if_fail(eplb != NULL && ret_from != NULL && ret_to != NULL);
    const guint64 to = eplb->recorded_to, window = eplb->options.window_size;
    *ret_from = MAX(eplb->recorded_from, to > window ? to - window : 0);
    *ret_to = to;
}

static void forget_target(EepEplb *eplb)
{
    g_clear_pointer(&eplb->target, eep_placement_free);
    g_clear_pointer(&eplb->migration, eep_migration_free);
    eplb->next_layer = 0;
    eplb->is_moving = eplb->is_preload = FALSE;
    eplb->due_at = due_of(eplb);
}

static void note_made(EepEplb *eplb, guint64 load_version, guint n_ranks)
{
    eplb->made_from_load = load_version;
    eplb->made_for_ranks = n_ranks;
    eplb->made_generation = eplb->placement->generation;
}

/* A policy that was stopped by the limit of moves goes on from where it came to. */
static gboolean made_already(const EepEplb *eplb, const EepEplbRequest *request)
{
    return request->load_version != 0 && request->load_version == eplb->made_from_load &&
           request->n_ranks == eplb->made_for_ranks &&
           request->n_ranks == eplb->placement->n_ranks &&
           eplb->placement->generation == eplb->made_generation &&
           (!eplb->policy->limits_moves || request->max_moves < 0);
}

/* Ranks that are to hold experts, in order, [request->n_ranks]; NULL with an error when they are
 * not as many as the request says. */
static guint *ranks_that_hold(const EepEplb *eplb, const EepEplbRequest *request, GError **error)
{
    g_autofree guint *ranks = g_new(guint, MAX(request->n_ranks, 1));
    guint n = 0;
    for (guint rank = 0; rank < eplb->placement->n_ranks; rank++) {
        const gboolean holds =
            request->ranks ? request->ranks[rank] == EEP_EPLB_RANK_HOLDS : rank < request->n_ranks;
        if (holds && n < request->n_ranks)
            ranks[n] = rank;
        n += holds;
    }
    if (n == request->n_ranks)
        return g_steal_pointer(&ranks);
    g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS,
                "cannot place experts on %u ranks: the group has %u for them, widen it first",
                request->n_ranks, n);
    return NULL;
}

/* The slots of these ranks of every layer, [L][n * S]. */
static gint32 *copy_ranks(const EepPlacement *placement, const guint *ranks, guint n)
{
    const guint S = placement->slots_per_rank;
    gint32 *map = g_new(gint32, (gsize)placement->n_layers * n * S), *to = map;
    for (guint layer = 0; layer < placement->n_layers; layer++)
        for (guint i = 0; i < n; i++, to += S)
            memcpy(to, eep_placement_layer(placement, layer) + (gsize)ranks[i] * S,
                   S * sizeof *map);
    return map;
}

/* The policy's map of these ranks in the present numbering: the slots of others are empty, and so
 * are, with `loses_unheld`, those of experts that no rank of `old` holds. */
static EepPlacement *spread_map(const EepPlacement *old, const gint32 *map, const guint *ranks,
                                guint n, gboolean loses_unheld)
{
    const guint S = old->slots_per_rank, E = old->n_experts;
    EepPlacement *target = eep_placement_copy(old);
    g_autofree gint32 *row = g_new(gint32, old->n_slots);
    for (guint slot = 0; slot < old->n_slots; slot++)
        row[slot] = EEP_PLACEMENT_EMPTY;
    for (guint layer = 0; layer < old->n_layers; layer++) {
        const gint32 *count = old->logcnt + (gsize)layer * E;
        for (guint i = 0; i < n * S; i++) {
            const gint32 expert = map[(gsize)layer * n * S + i];
            const gboolean is_gone = loses_unheld && expert >= 0 && count[expert] == 0;
            row[ranks[i / S] * S + i % S] = is_gone ? EEP_PLACEMENT_EMPTY : expert;
        }
        eep_placement_set_layer(target, layer, row);
    }
    return target;
}

/* What live ranks hold, as a copy; NULL when all do. */
static EepPlacement *without_dead(const EepPlacement *placement, const guint8 *ranks)
{
    g_autofree gint32 *source = g_new(gint32, placement->n_ranks);
    gboolean any = FALSE;
    for (guint rank = 0; rank < placement->n_ranks; rank++) {
        const gboolean is_dead = ranks && ranks[rank] == EEP_EPLB_RANK_DEAD;
        source[rank] = is_dead ? -1 : (gint32)rank;
        any |= is_dead;
    }
    if (!any)
        return NULL;
    EepPlacement *live = eep_placement_copy(placement);
    eep_placement_map_ranks(live, source, placement->n_ranks);
    return live;
}

static EepMigration *migrate(const EepEplb *eplb, const EepPlacement *old)
{
    return eep_migration_new(old, eplb->target,
                             &(EepMigrationOptions){.senders = eplb->options.senders,
                                                    .ranks_per_node = eplb->shape.ranks_per_node,
                                                    .staging_rows = eplb->options.staging_experts});
}

static gboolean refuse_while_running(const EepEplb *eplb, GError **error)
{
    if (eplb->target == NULL)
        return TRUE;
    g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_BUSY,
                "an EPLB rearrangement is under way (%u of %u layers done): drain it first",
                eplb->next_layer, eplb->shape.n_layers);
    return FALSE;
}

gboolean eep_eplb_plan(EepEplb *eplb, const EepEplbRequest *request, GError **error)
{
    g_return_val_if_fail(eplb != NULL && request != NULL && request->load != NULL, FALSE);
    if (!refuse_while_running(eplb, error))
        return FALSE;
    if (made_already(eplb, request)) {
        eplb->counter = 0;
        return TRUE;
    }
    g_autofree guint *ranks = ranks_that_hold(eplb, request, error);
    if (!ranks || !eep_eplb_check_ranks(eplb, request->n_ranks, error))
        return FALSE;

    EepEplbProblem problem = problem_for(eplb, request->n_ranks);
    g_autofree gint32 *present = copy_ranks(eplb->placement, ranks, request->n_ranks);
    g_autofree gint32 *map = g_new(gint32, (gsize)problem.n_layers * problem.n_replicas);
    problem.weight = request->load;
    problem.n_windows = request->windows ? request->n_windows : 0;
    problem.windows = request->windows;
    problem.old_phy2log = present;
    problem.max_moves = request->max_moves;
    if (!eep_eplb_place(eplb->policy, &problem, map, error))
        return FALSE;

    g_autoptr(EepPlacement) live = without_dead(eplb->placement, request->ranks);
    const EepPlacement *old = live ? live : eplb->placement;
    eplb->target = spread_map(old, map, ranks, request->n_ranks, request->loses_unheld);
    eplb->migration = migrate(eplb, old);
    eplb->target_ranks = request->n_ranks;
    eplb->target_load_version = request->load_version;
    eplb->counter = 0;
    if (!live && eplb->migration->n_changed == 0) {
        note_made(eplb, request->load_version, request->n_ranks);
        forget_target(eplb);
    }
    return TRUE;
}

gboolean eep_eplb_plan_preload(EepEplb *eplb, const double *load, const gint32 *source,
                               guint new_ranks, GError **error)
{
    g_return_val_if_fail(eplb != NULL && load != NULL && source != NULL, FALSE);
    if (!refuse_while_running(eplb, error))
        return FALSE;
    g_autoptr(EepPlacement) wide = eep_placement_copy(eplb->placement);
    g_autofree guint8 *is_new = g_new(guint8, new_ranks);
    eep_eplb_forget_preload(eplb);
    eep_placement_map_ranks(wide, source, new_ranks);
    for (guint rank = 0; rank < new_ranks; rank++)
        is_new[rank] = source[rank] < 0;
    eplb->target = eep_placement_copy(wide);
    eep_preload_fill(eplb->target, is_new, load);
    eplb->migration = migrate(eplb, wide);
    eplb->source = g_memdup2(source, new_ranks * sizeof *source);
    eplb->is_preload = TRUE;
    if (eplb->migration->n_changed == 0)
        forget_target(eplb);
    return TRUE;
}

void eep_eplb_forget_preload(EepEplb *eplb)
{
    g_return_if_fail(eplb != NULL && !eplb->is_preload);
    g_clear_pointer(&eplb->kept, eep_placement_free);
    g_clear_pointer(&eplb->source, g_free);
}

void eep_eplb_start_moves(EepEplb *eplb)
{
    g_return_if_fail(eplb != NULL && eep_eplb_has_plan(eplb));
    eplb->is_moving = TRUE;
    eplb->due_at = NEVER;
    eep_eplb_trigger_reset(&eplb->trigger);
}

void eep_eplb_drop_plan(EepEplb *eplb)
{
    g_return_if_fail(eplb != NULL && eep_eplb_has_plan(eplb));
    forget_target(eplb);
}

const EepExpertTransfer *eep_eplb_transfers(const EepEplb *eplb, guint layer, guint *ret_n)
{
    g_return_val_if_fail(eplb != NULL && eplb->migration != NULL, NULL);
    return eep_migration_layer(eplb->migration, layer, ret_n);
}

const EepMigration *eep_eplb_migration(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL && eplb->migration != NULL, NULL);
    return eplb->migration;
}

/* From now on the layer's experts without a slot are known to be. */
static void note_lost(EepEplb *eplb, guint layer)
{
    const guint E = eplb->shape.n_experts;
    if (eplb->placement->n_missing == 0) {
        g_clear_pointer(&eplb->is_lost, g_free);
        return;
    }
    if (!eplb->is_lost)
        eplb->is_lost = g_new0(guint8, (gsize)eplb->shape.n_layers * E);
    for (guint expert = 0; expert < E; expert++)
        eplb->is_lost[(gsize)layer * E + expert] =
            eplb->placement->logcnt[(gsize)layer * E + expert] == 0;
}

void eep_eplb_commit_layer(EepEplb *eplb, guint layer)
{
    g_return_if_fail(eplb != NULL && eep_eplb_running(eplb) && layer == eplb->next_layer);
    if (!eplb->is_preload) {
        eep_placement_set_layer(eplb->placement, layer, eep_placement_layer(eplb->target, layer));
        note_lost(eplb, layer);
    }
    eplb->next_layer++;
    if (eplb->next_layer < eplb->shape.n_layers)
        return;
    if (eplb->is_preload)
        eplb->kept = g_steal_pointer(&eplb->target);
    else
        note_made(eplb, eplb->target_load_version, eplb->target_ranks);
    forget_target(eplb);
}

void eep_eplb_commit_all(EepEplb *eplb)
{
    g_return_if_fail(eplb != NULL);
    while (eep_eplb_running(eplb))
        eep_eplb_commit_layer(eplb, eplb->next_layer);
}

guint eep_eplb_drain(EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, 0);
    if (!eep_eplb_running(eplb))
        return 0;
    const guint dropped = eplb->shape.n_layers - eplb->next_layer;
    forget_target(eplb);
    return dropped;
}

gboolean eep_eplb_check_ranks(const EepEplb *eplb, guint n_ranks, GError **error)
{
    g_return_val_if_fail(eplb != NULL, FALSE);
    const guint S = eplb->placement->slots_per_rank, E = eplb->shape.n_experts;
    if ((guint64)S * n_ranks < E || (guint64)S * n_ranks > G_MAXINT32) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS,
                    "%u ranks of %u slots cannot hold %u experts: minimum is %u", n_ranks, S, E,
                    (E - 1) / S + 1);
        return FALSE;
    }
    if (!eplb->options.enabled)
        return TRUE;
    /* One layer without load tells whether the policy takes the sizes. */
    EepEplbProblem problem = problem_for(eplb, n_ranks);
    g_autofree double *weight = g_new0(double, E);
    g_autofree gint32 *map = g_new(gint32, problem.n_replicas);
    problem.n_layers = 1;
    problem.weight = weight;
    return eep_eplb_place(eplb->policy, &problem, map, error);
}

/* FALSE with the first expert without a slot in `placement` that is not known as lost. */
static gboolean check_lost(const EepEplb *eplb, const EepPlacement *placement, GError **error)
{
    const gsize n = (gsize)placement->n_layers * placement->n_experts;
    gboolean is_known = eplb->is_lost != NULL;
    for (gsize i = 0; i < n && is_known; i++)
        is_known = placement->logcnt[i] > 0 || eplb->is_lost[i];
    return is_known || eep_placement_check(placement, error);
}

gboolean eep_eplb_check(const EepEplb *eplb, GError **error)
{
    g_return_val_if_fail(eplb != NULL, FALSE);
    return check_lost(eplb, eplb->placement, error);
}

/* What was preloaded for this very change goes into the new ranks' slots. */
static void take_preloaded(EepEplb *eplb, const gint32 *source, guint new_ranks)
{
    EepPlacement *placement = eplb->placement;
    const guint S = placement->slots_per_rank;
    g_autofree gint32 *row = g_new(gint32, placement->n_slots);
    if (!eplb->kept || eplb->kept->n_ranks != new_ranks ||
        memcmp(eplb->source, source, new_ranks * sizeof *source) != 0)
        return;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        const gint32 *present = eep_placement_layer(placement, layer);
        const gint32 *preloaded = eep_placement_layer(eplb->kept, layer);
        for (guint slot = 0; slot < placement->n_slots; slot++)
            row[slot] = source[slot / S] < 0 ? preloaded[slot] : present[slot];
        eep_placement_set_layer(placement, layer, row);
    }
}

gboolean eep_eplb_map_ranks(EepEplb *eplb, const gint32 *source, guint new_ranks, gboolean may_lose,
                            GError **error)
{
    g_return_val_if_fail(eplb != NULL && source != NULL && new_ranks > 0, FALSE);
    g_autoptr(GError) problem = NULL;
    if (!refuse_while_running(eplb, error))
        return FALSE;
    const gboolean is_plannable = eep_eplb_check_ranks(eplb, new_ranks, &problem);
    if (!is_plannable && !may_lose) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    g_autoptr(EepPlacement) cut = eep_placement_copy(eplb->placement);
    eep_placement_map_ranks(cut, source, new_ranks);
    if (!may_lose && !check_lost(eplb, cut, error)) {
        g_prefix_error(error,
                       "cutting the group to %u ranks before their experts moved: ", new_ranks);
        return FALSE;
    }
    const gboolean made =
        new_ranks == eplb->made_for_ranks && eplb->made_generation == eplb->placement->generation;
    eep_placement_map_ranks(eplb->placement, source, new_ranks);
    take_preloaded(eplb, source, new_ranks);
    eep_eplb_forget_preload(eplb);
    for (guint layer = 0; layer < eplb->shape.n_layers; layer++)
        note_lost(eplb, layer);
    eplb->is_plannable = is_plannable;
    eplb->due_at = due_of(eplb);
    if (made)
        note_made(eplb, eplb->made_from_load, new_ranks);
    return TRUE;
}
