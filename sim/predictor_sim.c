#include "sim/predictor_sim.h"

#include "sim/balance_cost.h"
#include "sim/move_cost.h"
#include "sim/phase_cost.h"
#include "sim/step_cost.h"

#define POPULARITY_VERSION 1 /* popularity does not drift yet */

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
    eep_sim_predictor_add_step_load(predictor, version, 0, 1, tokens, ret_load);
}

static guint64 sim_popularity_version(const EepPredictor *predictor)
{
    return POPULARITY_VERSION;
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

void eep_sim_predictor_add_step_load(EepPredictor *predictor, guint64 version, guint64 first_step,
                                     guint64 n_steps, double tokens, double *ret_load)
{
    g_return_if_fail(predictor->ops == &sim_ops);
    g_return_if_fail(version == 0 || version == POPULARITY_VERSION);
    eep_step_model_add_load(((SimPredictor *)predictor)->steps, first_step, n_steps, tokens,
                            ret_load);
}

const EepPoolOptions *eep_sim_predictor_options(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, NULL);
    return ((const SimPredictor *)predictor)->context.options;
}

gboolean eep_sim_predictor_loads_are_proportional(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, FALSE);
    return !eep_step_model_is_sampled(((const SimPredictor *)predictor)->steps);
}

gsize eep_sim_predictor_load_cells(const EepPredictor *predictor)
{
    g_return_val_if_fail(predictor->ops == &sim_ops, 0);
    const EepModel *model = ((const SimPredictor *)predictor)->context.model;
    return (gsize)eep_model_n_moe_layers(model) * (gsize)model->n_routed_experts;
}
