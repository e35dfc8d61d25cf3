#include "sim/predictor_sim.h"

#include "sim/balance_cost.h"
#include "sim/move_cost.h"
#include "sim/phase_cost.h"
#include "sim/step_cost.h"

typedef struct {
    EepPredictor base;
    EepCostContext context;
    EepStepModel *steps;
} SimPredictor;

static void sim_step(EepPredictor *predictor, const EepStepPlan *plan, EepStepCost *ret_cost)
{
    SimPredictor *self = (SimPredictor *)predictor;
    if (eep_hardware_is_constant(self->context.hardware)) {
        *ret_cost = (EepStepCost){
            .step = self->context.hardware->constant_step,
            .other_s = eep_cost_constant.seconds(&self->context, NULL),
            .imbalance = plan->is_dummy ? 0.0 : 1.0,
        };
        return;
    }
    eep_step_model_cost(self->steps, plan, ret_cost);
}

static EepTime sim_phase(EepPredictor *predictor, const EepPhase *phase, EepTime *ret_each)
{
    return eep_phase_cost(&((SimPredictor *)predictor)->context, phase, ret_each);
}

static EepTime sim_move(EepPredictor *predictor, const EepMove *move, EepTime *ret_link)
{
    return eep_move_cost(&((SimPredictor *)predictor)->context, move, ret_link);
}

static double sim_experts(EepPredictor *predictor, const EepPlacement *placement,
                          const double *load, double n_steps)
{
    SimPredictor *self = (SimPredictor *)predictor;
    if (eep_hardware_is_constant(self->context.hardware))
        return 0.0;
    const EepSlotCost slot = eep_cost_slot(&self->context);
    return eep_balance_cost_seconds(&slot, placement, load, n_steps);
}

static void sim_add_load(EepPredictor *predictor, guint64 version, double tokens, double *ret_load)
{
    EepTokenMix mix = {{0}};
    const EepPopularity *popularity = eep_sim_predictor_popularity(predictor);
    mix.n[eep_popularity_n_components(popularity) > 1 ? eep_skew_component(0, TRUE) : 0] =
        (guint64)tokens;
    eep_sim_predictor_add_step_load(predictor, version, 0, 1, &mix, ret_load);
}

static guint64 sim_popularity_version(const EepPredictor *predictor)
{
    return eep_popularity_version(eep_sim_predictor_popularity(predictor));
}

static gboolean sim_idle_steps_are_free(const EepPredictor *predictor)
{
    return eep_hardware_is_constant(((const SimPredictor *)predictor)->context.hardware);
}

static void sim_free(EepPredictor *predictor)
{
    SimPredictor *self = (SimPredictor *)predictor;
    eep_step_model_free(self->steps);
    g_free(self);
}

static const EepPredictorOps sim_ops = {
    .size = sizeof(EepPredictorOps),
    .name = "sim",
    .step = sim_step,
    .phase = sim_phase,
    .move = sim_move,
    .experts = sim_experts,
    .add_load = sim_add_load,
    .popularity_version = sim_popularity_version,
    .idle_steps_are_free = sim_idle_steps_are_free,
    .free = sim_free,
};

EepPredictor *eep_sim_predictor_new(const EepModel *model, const EepHardware *hardware,
                                    const EepPoolOptions *options, EepSkew *skew, gboolean sampled,
                                    guint64 seed)
{
    SimPredictor *self = g_new0(SimPredictor, 1);
    self->base.ops = &sim_ops;
    self->context = (EepCostContext){
        .model = model,
        .hardware = hardware,
        .options = options,
        .n_ranks = (guint)(options->data_parallel_size * options->tensor_parallel_size),
    };
    self->steps = eep_step_model_new(model, hardware, options, skew, sampled, seed);
    return &self->base;
}

void eep_sim_predictor_advance(EepPredictor *predictor, EepTime now, guint64 step)
{
    g_return_if_fail(predictor->ops == &sim_ops);
    eep_step_model_advance(((SimPredictor *)predictor)->steps, now, step);
}

void eep_sim_predictor_slowed_step(EepPredictor *predictor, const EepStepPlan *plan,
                                   const EepStepSlowness *slowness, EepStepCost *ret_cost)
{
    g_return_if_fail(predictor->ops == &sim_ops);
    SimPredictor *self = (SimPredictor *)predictor;
    if (!eep_hardware_is_constant(self->context.hardware)) {
        eep_step_model_slowed_cost(self->steps, plan, slowness, ret_cost);
        return;
    }
    sim_step(predictor, plan, ret_cost);
    ret_cost->step = eep_time_from_seconds(eep_time_to_seconds(ret_cost->step) *
                                           eep_step_slowness_worst(slowness, plan->n_engines));
}

EepTime eep_sim_predictor_slowed_phase(EepPredictor *predictor, const EepPhase *phase, double link,
                                       EepTime *ret_each)
{
    EepCostContext context = ((SimPredictor *)predictor)->context;
    const EepHardware slow = eep_hardware_with_links(context.hardware, link);
    context.hardware = &slow;
    return eep_phase_cost(&context, phase, ret_each);
}

EepTime eep_sim_predictor_slowed_move(EepPredictor *predictor, const EepMove *move, double link,
                                      EepTime *ret_link)
{
    EepCostContext context = ((SimPredictor *)predictor)->context;
    const EepHardware slow = eep_hardware_with_links(context.hardware, link);
    context.hardware = &slow;
    return eep_move_cost(&context, move, ret_link);
}

const EepHardware *eep_sim_predictor_hardware(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, NULL);
    return ((const SimPredictor *)predictor)->context.hardware;
}

const EepPopularity *eep_sim_predictor_popularity(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, NULL);
    return eep_step_model_popularity(((const SimPredictor *)predictor)->steps);
}

void eep_sim_predictor_add_step_load(EepPredictor *predictor, guint64 version, guint64 first_step,
                                     guint64 n_steps, const EepTokenMix *tokens, double *ret_load)
{
    g_return_if_fail(predictor->ops == &sim_ops);
    eep_step_model_add_load(((SimPredictor *)predictor)->steps, version, first_step, n_steps,
                            tokens, ret_load);
}

gboolean eep_sim_predictor_loads_add_up(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, FALSE);
    return !eep_step_model_is_sampled(((const SimPredictor *)predictor)->steps);
}

const EepPoolOptions *eep_sim_predictor_options(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, NULL);
    return ((const SimPredictor *)predictor)->context.options;
}

gboolean eep_sim_predictor_loads_are_proportional(const EepPredictor *predictor)
{
    return eep_sim_predictor_loads_add_up(predictor) &&
           eep_popularity_is_one_law(eep_sim_predictor_popularity(predictor));
}

gsize eep_sim_predictor_load_cells(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, 0);
    const EepModel *model = ((const SimPredictor *)predictor)->context.model;
    return (gsize)eep_model_n_moe_layers(model) * (gsize)model->n_routed_experts;
}
