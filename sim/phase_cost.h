/* How long the phases of a resize take; moves of experts are in move_cost.h.
 *
 * One row a phase kind (core/resize/phase.h): its formula in words and a function of the deployment
 * and the phase. All resize generations draw on this one set. Constants are hardware-profile
 * figures. Pure functions. */
#ifndef EEP_SIM_PHASE_COST_H
#define EEP_SIM_PHASE_COST_H

#include "core/loop/backend.h"
#include "core/resize/phase.h"
#include "sim/cost.h"

G_BEGIN_DECLS

typedef struct {
    EepPhaseKind kind;
    const char *formula;
    const char *source;
    /* Seconds that worker `index` of phase->workers is busy. */
    double (*seconds)(const EepCostContext *context, const EepPhase *phase, guint index);
} EepPhaseCost;

extern const EepPhaseCost eep_phase_costs[EEP_PHASE_COUNT];

/* Duration on the slowest worker; ret_each[n_workers] (nullable) each worker's own. 0 for a kind
 * out of range and under the constant-step profile. */
EepTime eep_phase_cost(const EepCostContext *context, const EepPhase *phase, EepTime *ret_each);

G_END_DECLS

#endif
