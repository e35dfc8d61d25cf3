/* EepEplbRoll: recorded windows of load rolled through one policy and one trigger, with what the
 * cost models say that it saves and costs.
 *
 * A window stands for so many steps of so many tokens; their experts' time is
 * eep_balance_cost_seconds(). A look before a window asks the trigger, plans on the windows before
 * it, and lets the trigger decide whether the plan pays; moving then costs the layers' exchanges
 * one after the other, of which serving loses a share. Not a simulation: nothing queues, and a
 * rearrangement is done before the window that follows it. One thread. */
#ifndef EEP_CLI_EPLB_ROLL_H
#define EEP_CLI_EPLB_ROLL_H

#include "cli/eplb_input.h"
#include "core/eplb/placement.h"
#include "core/eplb/trigger.h"
#include "sim/cost.h"

G_BEGIN_DECLS

typedef struct {
    const EepEplbInput *input;     /* with sizes and at least two windows */
    const EepCostContext *context; /* the model's and the hardware's costs */
    double tokens_per_step;        /* of all ranks together */
    double steps_per_window;
    guint train;      /* windows of the past to plan on, at most */
    guint interval;   /* windows between the looks of trigger interval; how long a plan is taken to
                         last by cost_benefit */
    double threshold; /* of trigger imbalance */
    guint low_windows;
    double stall; /* share of the time of moves that serving loses: 1 = it stands still, also while
                     a plan is made */
} EepEplbRollOptions;

typedef struct {
    const EepEplbPolicy *policy;
    EepEplbTriggerKind trigger;
    char *refusal;               /* why the policy does not take the sizes; NULL: it does */
    double *balance;             /* [T], balancedness (mean over layers) of each window */
    guint64 *moved;              /* [T], experts moved before the window */
    double mean, worst;          /* balancedness over windows */
    double initial_s;            /* experts' time of all windows, had nothing been moved */
    double experts_s;            /* the same as it went */
    double cost_s;               /* lost by planning and moving */
    guint n_plans, n_rearranged; /* plans made; of them, those carried out */
    guint64 experts_moved;
} EepEplbRoll;

/* From the input's present map, else from naive. Never NULL; see refusal. */
EepEplbRoll *eep_eplb_roll_new(const EepEplbRollOptions *options, const EepEplbPolicy *policy,
                               EepEplbTriggerKind trigger);
void eep_eplb_roll_free(EepEplbRoll *replay); /* NULL is allowed */

G_END_DECLS

#endif
