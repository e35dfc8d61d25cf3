#include "core/eplb/eplb.h"

#include <string.h>

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
    eplb->due_at = options->enabled ? eplb->interval : NEVER;
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
    g_free(eplb);
}

guint64 eep_eplb_steps_until_due(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, NEVER);
    if (eplb->due_at == NEVER)
        return NEVER;
    return eplb->counter + 1 >= eplb->due_at ? 1 : eplb->due_at - eplb->counter;
}

gboolean eep_eplb_count_steps(EepEplb *eplb, guint64 n)
{
    g_return_val_if_fail(eplb != NULL && n <= eep_eplb_steps_until_due(eplb), FALSE);
    if (n == 0)
        return FALSE;
    eplb->counter += n - 1;
    return eep_eplb_count_step(eplb);
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
    eplb->is_moving = FALSE;
    eplb->due_at = eplb->options.enabled ? eplb->interval : NEVER;
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

/* The first n_slots columns of every layer. */
static gint32 *copy_columns(const EepPlacement *placement, guint n_slots)
{
    gint32 *columns = g_new(gint32, (gsize)placement->n_layers * n_slots);
    for (guint layer = 0; layer < placement->n_layers; layer++)
        memcpy(columns + (gsize)layer * n_slots, eep_placement_layer(placement, layer),
               n_slots * sizeof(gint32));
    return columns;
}

/* The policy's map in the present numbering: slots of ranks that leave are empty. */
static EepPlacement *widen_map(const EepPlacement *present, const gint32 *map, guint n_slots)
{
    EepPlacement *target = eep_placement_copy(present);
    g_autofree gint32 *row = g_new(gint32, present->n_slots);
    for (guint slot = n_slots; slot < present->n_slots; slot++)
        row[slot] = EEP_PLACEMENT_EMPTY;
    for (guint layer = 0; layer < present->n_layers; layer++) {
        memcpy(row, map + (gsize)layer * n_slots, n_slots * sizeof(gint32));
        eep_placement_set_layer(target, layer, row);
    }
    return target;
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
    if (request->n_ranks > eplb->placement->n_ranks) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS,
                    "cannot place experts on %u ranks: the group has %u, widen it first",
                    request->n_ranks, eplb->placement->n_ranks);
        return FALSE;
    }
    if (!eep_eplb_check_ranks(eplb, request->n_ranks, error))
        return FALSE;

    EepEplbProblem problem = problem_for(eplb, request->n_ranks);
    g_autofree gint32 *present = copy_columns(eplb->placement, problem.n_replicas);
    g_autofree gint32 *map = g_new(gint32, (gsize)problem.n_layers * problem.n_replicas);
    problem.weight = request->load;
    problem.n_windows = request->windows ? request->n_windows : 0;
    problem.windows = request->windows;
    problem.old_phy2log = present;
    problem.max_moves = request->max_moves;
    if (!eep_eplb_place(eplb->policy, &problem, map, error))
        return FALSE;

    eplb->target = widen_map(eplb->placement, map, problem.n_replicas);
    eplb->migration =
        eep_migration_new(eplb->placement, eplb->target,
                          &(EepMigrationOptions){.senders = eplb->options.senders,
                                                 .ranks_per_node = eplb->shape.ranks_per_node,
                                                 .staging_rows = eplb->options.staging_experts});
    eplb->target_ranks = request->n_ranks;
    eplb->target_load_version = request->load_version;
    eplb->counter = 0;
    if (eplb->migration->n_changed == 0) {
        note_made(eplb, request->load_version, request->n_ranks);
        forget_target(eplb);
    }
    return TRUE;
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

void eep_eplb_commit_layer(EepEplb *eplb, guint layer)
{
    g_return_if_fail(eplb != NULL && eep_eplb_running(eplb) && layer == eplb->next_layer);
    eep_placement_set_layer(eplb->placement, layer, eep_placement_layer(eplb->target, layer));
    eplb->next_layer++;
    if (eplb->next_layer < eplb->shape.n_layers)
        return;
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

gboolean eep_eplb_widen(EepEplb *eplb, guint new_ranks, GError **error)
{
    g_return_val_if_fail(eplb != NULL && new_ranks >= eplb->placement->n_ranks, FALSE);
    if (!refuse_while_running(eplb, error) || !eep_eplb_check_ranks(eplb, new_ranks, error))
        return FALSE;
    eep_placement_resize(eplb->placement, new_ranks);
    return TRUE;
}

gboolean eep_eplb_shrink(EepEplb *eplb, guint new_ranks, GError **error)
{
    g_return_val_if_fail(eplb != NULL && new_ranks <= eplb->placement->n_ranks, FALSE);
    if (!refuse_while_running(eplb, error) || !eep_eplb_check_ranks(eplb, new_ranks, error))
        return FALSE;

    g_autoptr(EepPlacement) cut = eep_placement_copy(eplb->placement);
    eep_placement_resize(cut, new_ranks);
    if (!eep_placement_check(cut, error)) {
        g_prefix_error(error,
                       "cutting the group to %u ranks before their experts moved: ", new_ranks);
        return FALSE;
    }
    const gboolean made =
        new_ranks == eplb->made_for_ranks && eplb->made_generation == eplb->placement->generation;
    eep_placement_resize(eplb->placement, new_ranks);
    if (made)
        note_made(eplb, eplb->made_from_load, new_ranks);
    return TRUE;
}

guint eep_eplb_num_redundant(const EepEplb *eplb)
{
    g_return_val_if_fail(eplb != NULL, 0);
    return eplb->placement->n_slots - eplb->shape.n_experts;
}
