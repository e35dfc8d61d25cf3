/* The smallest cost model, to be copied: every step lasts hardware.constant_step.
 *
 * For the hardware profile `constant-step`, under which runs can be checked by hand: nothing else
 * costs anything, and an idle pool performs no steps. */
#include "sim/cost.h"

static double constant_seconds(const EepCostContext *context, const EepCostWork *work)
{
    return eep_time_to_seconds(context->hardware->constant_step);
}

const EepCostOps eep_cost_constant = {
    .size = sizeof(EepCostOps),
    .name = "constant",
    .per = "step",
    .formula = "constant_step",
    .source = "by definition (profile constant-step)",
    .seconds = constant_seconds,
};
