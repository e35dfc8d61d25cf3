#include "core/eplb/bound.h"

#include <math.h>

#include "core/eplb/node_groups.h"
#include "core/eplb/slot_bound.h"

/* Bound of the ranks of one layer taken together, groups or not. */
static double whole_bound(const EepEplbProblem *problem, const double *weight, EepSlotBound *bound)
{
    const guint n_active = eep_eplb_problem_n_active(problem);
    eep_slot_bound_set(bound, weight, problem->n_experts, n_active,
                       problem->n_replicas / problem->n_ranks);
    return eep_slot_bound_proven(bound);
}

void eep_eplb_lower_bound(const EepEplbProblem *problem, double *ret_bound)
{
    g_return_if_fail(problem != NULL && ret_bound != NULL);
    g_autoptr(EepSlotBound) bound = eep_slot_bound_new(problem->n_experts);
    g_autoptr(EepNodeGroups) groups = eep_node_groups_new(problem);
    for (guint layer = 0; layer < problem->n_layers; layer++) {
        const double *weight = problem->weight + (gsize)layer * problem->n_experts;
        double value = whole_bound(problem, weight, bound);
        if (groups)
            value = fmax(value, eep_node_groups_bound(groups, weight));
        ret_bound[layer] = value;
    }
}
