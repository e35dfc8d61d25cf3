/* Balance cost: what the routed experts of a step take under a placement, at mean loads.
 *
 * For weighing one placement against another, in one pass over the map: every rank takes the sum of
 * its slots' mean costs, a layer its busiest rank, a step the sum over layers. Not the expectation
 * of the busiest rank, which also counts the luck of single draws (expert_load.h), and not the
 * all-to-all. Pure, any thread. */
#ifndef EEP_SIM_BALANCE_COST_H
#define EEP_SIM_BALANCE_COST_H

#include "core/eplb/placement.h"
#include "sim/slot_cost.h"

G_BEGIN_DECLS

/* Mean cost of a slot that n tokens reach on average, their number being Poisson's: its weights are
 * read only when any token comes, which has the probability 1 - exp(-n); the roofline is taken at
 * the mean. Seconds. */
double eep_balance_cost_slot(const EepSlotCost *cost, double n);

/* Seconds of a step. load [n_layers][n_experts]: tokens of each expert in n_steps > 0 steps
 * together; an expert's are split evenly over its replicas. */
double eep_balance_cost_seconds(const EepSlotCost *cost, const EepPlacement *placement,
                                const double *load, double n_steps);

G_END_DECLS

#endif
