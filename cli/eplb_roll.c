#include "cli/eplb_roll.h"

#include "core/eplb/migration.h"
#include "core/eplb/score.h"
#include "sim/balance_cost.h"
#include "sim/move_cost.h"

#include <math.h>
#include <string.h>

typedef struct {
    const EepEplbRollOptions *options;
    EepEplbRoll *replay;
    EepEplbProblem problem; /* to plan on: weight is `past` */
    EepSlotCost cost;
    EepEplbTrigger trigger;
    EepPlacement *initial, *present;
    gint32 *map;  /* [L][R], of `present` */
    double *past; /* [L][E], sum of the windows planned on */
    double *step; /* [L][E], tokens of a step */
} State;

static EepPlacement *placement_of(const EepEplbProblem *p, const gint32 *map)
{
    EepPlacement *placement =
        eep_placement_new(p->n_layers, p->n_experts, p->n_ranks, p->n_replicas / p->n_ranks);
    for (guint layer = 0; layer < p->n_layers; layer++)
        eep_placement_set_layer(placement, layer, map + (gsize)layer * p->n_replicas);
    return placement;
}

/* Experts' seconds of a step whose tokens choose as `load` [L][E] has it, any unit. */
static double step_seconds(State *state, const EepPlacement *placement, const double *load)
{
    const guint E = state->problem.n_experts;
    const double choices =
        state->options->tokens_per_step * (double)state->options->context->model->experts_per_token;
    for (guint layer = 0; layer < state->problem.n_layers; layer++) {
        const double *row = load + (gsize)layer * E;
        double sum = 0.0;
        for (guint e = 0; e < E; e++)
            sum += row[e];
        for (guint e = 0; e < E; e++)
            state->step[(gsize)layer * E + e] = sum > 0.0 ? row[e] / sum * choices : 0.0;
    }
    return eep_balance_cost_seconds(&state->cost, placement, state->step, 1.0);
}

/* The layers' exchanges, one after the other. */
static double move_seconds(const State *state, const EepPlacement *target)
{
    const EepMigrationOptions migrate = {
        .ranks_per_node = (guint)state->options->context->hardware->gpus_per_node};
    g_autoptr(EepMigration) migration = eep_migration_new(state->present, target, &migrate);
    EepTime total = 0;
    for (guint layer = 0; layer < target->n_layers; layer++) {
        guint n;
        const EepExpertTransfer *from = eep_migration_layer(migration, layer, &n);
        g_autofree EepTransfer *transfers = g_new0(EepTransfer, n);
        for (guint i = 0; i < n; i++) {
            transfers[i].from_rank = (guint32)from[i].from_rank;
            transfers[i].to_rank = (guint32)from[i].to_rank;
            transfers[i].layer = layer;
            transfers[i].expert = (guint32)from[i].expert;
            transfers[i].to_slot = (guint32)from[i].to_slot;
            transfers[i].round = from[i].round;
        }
        const EepMove move = {.layer = layer,
                              .n_transfers = n,
                              .transfers = transfers,
                              .bytes_each = state->options->input->expert_bytes,
                              .n_copies = migration->max_copied[layer],
                              .n_ranks = target->n_ranks};
        total = eep_time_after(total, eep_move_cost(state->options->context, &move, NULL));
    }
    return eep_time_to_seconds(total);
}

/* A look before `window`: sets the loads to plan on; whether the trigger wants a plan. */
static gboolean wants_plan(State *state, guint window)
{
    const EepEplbRollOptions *o = state->options;
    const EepLoadRecord *record = o->input->record;
    const gsize cells = (gsize)record->n_layers * record->n_experts;
    const guint from = window > o->train ? window - o->train : 0;
    EepEplbScore score;
    /* vLLM's counter begins at three quarters of an interval: the first look comes early. */
    if (state->trigger.kind == EEP_EPLB_TRIGGER_INTERVAL && (window - 1) % o->interval != 0)
        return FALSE;
    eep_eplb_score(&state->problem, record->tokens + (window - 1) * cells, state->map, NULL,
                   &score);
    /* A window without a token says nothing of balance: the count of low looks stays, as in a run.
     */
    if (state->trigger.kind == EEP_EPLB_TRIGGER_IMBALANCE && score.balancedness_vllm == 0.0)
        return FALSE;
    if (!eep_eplb_trigger_wants_plan(&state->trigger, score.balancedness_vllm))
        return FALSE;
    eep_load_record_sum(record, from, window, state->past);
    state->problem.n_windows = window - from;
    state->problem.windows = record->tokens + from * cells;
    return TRUE;
}

/* FALSE with replay->refusal set when the policy does not take the problem. */
static gboolean rearrange(State *state, guint window)
{
    const EepEplbRollOptions *o = state->options;
    EepEplbRoll *replay = state->replay;
    const EepEplbProblem *p = &state->problem;
    const gsize n = (gsize)p->n_layers * p->n_replicas;
    g_autofree gint32 *map = g_new(gint32, n);
    g_autoptr(GError) error = NULL;
    if (!eep_eplb_input_place(o->input, p, replay->policy, map, &error)) {
        replay->refusal = g_strdup(error->message);
        return FALSE;
    }
    replay->n_plans++;
    /* Serving waits for the plan, used or not, if it waits for moves. */
    if (o->stall >= 1.0)
        replay->cost_s += (double)n * eep_time_to_seconds(o->context->hardware->eplb_plan_slot);
    g_autoptr(EepPlacement) target = placement_of(p, map);
    const double cost_s = o->stall * move_seconds(state, target);
    const double saved_s =
        step_seconds(state, state->present, state->past) - step_seconds(state, target, state->past);
    const guint64 moved = eep_eplb_count_moves(p, state->map, map, NULL);
    if (!eep_eplb_trigger_accepts(&state->trigger, saved_s, o->interval * o->steps_per_window,
                                  cost_s))
        return TRUE;
    eep_eplb_trigger_reset(&state->trigger);
    eep_placement_free(state->present);
    state->present = g_steal_pointer(&target);
    memcpy(state->map, map, n * sizeof *map);
    replay->moved[window] = moved;
    replay->experts_moved += moved;
    replay->cost_s += cost_s;
    replay->n_rearranged += moved > 0;
    return TRUE;
}

static void serve(State *state, guint window)
{
    const EepLoadRecord *record = state->options->input->record;
    const double *load = record->tokens + (gsize)window * record->n_layers * record->n_experts;
    const double n_steps = state->options->steps_per_window;
    EepEplbRoll *replay = state->replay;
    EepEplbScore score;
    eep_eplb_score(&state->problem, load, state->map, NULL, &score);
    replay->balance[window] = score.balancedness;
    replay->mean += score.balancedness / record->n_windows;
    replay->worst = fmin(replay->worst, score.balancedness);
    replay->initial_s += n_steps * step_seconds(state, state->initial, load);
    replay->experts_s += n_steps * step_seconds(state, state->present, load);
}

EepEplbRoll *eep_eplb_roll_new(const EepEplbRollOptions *options, const EepEplbPolicy *policy,
                               EepEplbTriggerKind trigger)
{
    const EepEplbProblem *p = &options->input->problem;
    const guint n_windows = options->input->record->n_windows;
    const gsize cells = (gsize)p->n_layers * p->n_experts, n = (gsize)p->n_layers * p->n_replicas;
    EepEplbRoll *replay = g_new0(EepEplbRoll, 1);
    g_autofree gint32 *map = g_new(gint32, n);
    g_autofree double *past = g_new(double, cells), *step = g_new(double, cells);
    State state = {.options = options,
                   .replay = replay,
                   .problem = *p,
                   .map = map,
                   .past = past,
                   .step = step,
                   .cost = eep_cost_slot(options->context)};

    replay->policy = policy;
    replay->trigger = trigger;
    replay->worst = 1.0;
    replay->balance = g_new0(double, n_windows);
    replay->moved = g_new0(guint64, n_windows);
    if (p->old_phy2log != NULL)
        memcpy(map, p->old_phy2log, n * sizeof *map);
    else
        eep_eplb_policy_naive.place(p, map, NULL);
    state.problem.weight = past;
    state.problem.old_phy2log = map;
    state.initial = placement_of(p, map);
    state.present = placement_of(p, map);
    eep_eplb_trigger_init(&state.trigger, trigger, options->threshold, options->low_windows);
    for (guint window = 0; window < n_windows && replay->refusal == NULL; window++) {
        if (window > 0 && wants_plan(&state, window) && !rearrange(&state, window))
            break;
        serve(&state, window);
    }
    eep_placement_free(state.initial);
    eep_placement_free(state.present);
    return replay;
}

void eep_eplb_roll_free(EepEplbRoll *replay)
{
    if (replay == NULL)
        return;
    g_free(replay->refusal);
    g_free(replay->balance);
    g_free(replay->moved);
    g_free(replay);
}
