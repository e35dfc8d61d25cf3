#include "core/eplb/trigger.h"

const char *const eep_eplb_trigger_names[EEP_EPLB_TRIGGER_COUNT] = {
    [EEP_EPLB_TRIGGER_INTERVAL] = "interval",
    [EEP_EPLB_TRIGGER_IMBALANCE] = "imbalance",
    [EEP_EPLB_TRIGGER_COST_BENEFIT] = "cost_benefit",
};

void eep_eplb_trigger_init(EepEplbTrigger *trigger, EepEplbTriggerKind kind, double threshold,
                           guint n_windows)
{
    g_return_if_fail(kind < EEP_EPLB_TRIGGER_COUNT && n_windows >= 1);
    *trigger = (EepEplbTrigger){.kind = kind, .threshold = threshold, .n_windows = n_windows};
}

gboolean eep_eplb_trigger_wants_plan(EepEplbTrigger *trigger, double balancedness)
{
    if (trigger->kind != EEP_EPLB_TRIGGER_IMBALANCE)
        return TRUE;
    trigger->n_low = balancedness < trigger->threshold ? trigger->n_low + 1 : 0;
    return trigger->n_low >= trigger->n_windows;
}

gboolean eep_eplb_trigger_accepts(const EepEplbTrigger *trigger, double saved_s, double n_steps,
                                  double cost_s)
{
    return trigger->kind != EEP_EPLB_TRIGGER_COST_BENEFIT || saved_s * n_steps > cost_s;
}

void eep_eplb_trigger_reset(EepEplbTrigger *trigger)
{
    trigger->n_low = 0;
}
