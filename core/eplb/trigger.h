/* EepEplbTrigger: whether a rearrangement should happen, once the load of a window is known.
 *
 * Two questions, since the second needs a candidate placement, which is work: does this window call
 * for a plan, and is the plan worth its cost?
 *
 *   interval      always, always: vLLM's way, whose cadence alone decides (eplb.h)
 *   imbalance     balancedness below a threshold in n windows in a row; always
 *   cost_benefit  always; when the step time saved until the next window of this kind exceeds the
 *                 time lost by moving
 *
 * When windows end is the caller's business. Plain value, no clock, one owner. */
#ifndef EEP_CORE_EPLB_TRIGGER_H
#define EEP_CORE_EPLB_TRIGGER_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_EPLB_TRIGGER_INTERVAL,
    EEP_EPLB_TRIGGER_IMBALANCE,
    EEP_EPLB_TRIGGER_COST_BENEFIT,
    EEP_EPLB_TRIGGER_COUNT
} EepEplbTriggerKind;

extern const char *const eep_eplb_trigger_names[EEP_EPLB_TRIGGER_COUNT];

typedef struct {
    EepEplbTriggerKind kind;
    double threshold; /* imbalance: balancedness (vLLM's) below this counts as low */
    guint n_windows;  /* imbalance: low windows in a row, >= 1 */
    guint n_low;      /* state: low windows in a row so far */
} EepEplbTrigger;

void eep_eplb_trigger_init(EepEplbTrigger *trigger, EepEplbTriggerKind kind, double threshold,
                           guint n_windows);

/* One call a window. balancedness: of the present placement under the window's load. */
gboolean eep_eplb_trigger_wants_plan(EepEplbTrigger *trigger, double balancedness);

/* For a plan that was wanted: saved_s a step against the present placement, expected over n_steps
 * until the next chance; cost_s: time that serving loses by the moves. */
gboolean eep_eplb_trigger_accepts(const EepEplbTrigger *trigger, double saved_s, double n_steps,
                                  double cost_s);

/* A rearrangement has begun: low windows count from 0 again. */
void eep_eplb_trigger_reset(EepEplbTrigger *trigger);

G_END_DECLS

#endif
