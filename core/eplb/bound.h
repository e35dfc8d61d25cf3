/* Lower bound: a load that the hottest rank of a layer cannot go below, whatever the map.
 *
 * Holds for every map with at most R / D slots on each of the active ranks in which every expert
 * has a slot and an expert's load is split evenly over its replicas; where groups are asked for
 * (more than one node and groups a multiple of nodes) also every group on one node, groups / nodes
 * of them each. Proven, so that hottest / bound - 1 is what a better policy could at most gain.
 * Pure, any thread. */
#ifndef EEP_CORE_EPLB_BOUND_H
#define EEP_CORE_EPLB_BOUND_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* Of the problem's weight; ret_bound [L], in the unit of the loads. The problem has passed
 * eep_eplb_problem_check(). */
void eep_eplb_lower_bound(const EepEplbProblem *problem, double *ret_bound);

G_END_DECLS

#endif
