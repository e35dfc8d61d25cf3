#include "core/loop/event.h"

const char *const eep_event_names[EEP_EVENT_COUNT] = {
    [EEP_EVENT_NONE] = "none",       [EEP_EVENT_FAULT] = "fault",
    [EEP_EVENT_OP_DONE] = "op_done", [EEP_EVENT_OPERATOR] = "operator",
    [EEP_EVENT_ARRIVAL] = "arrival", [EEP_EVENT_RETRY] = "retry",
    [EEP_EVENT_NOTE] = "note",       [EEP_EVENT_PLAN] = "plan",
    [EEP_EVENT_STATS] = "stats",     [EEP_EVENT_DEADLINE] = "deadline",
    [EEP_EVENT_TIMER] = "timer",
};

G_STATIC_ASSERT(EEP_EVENT_COUNT == EEP_EVENT_TIMER + 1);
G_STATIC_ASSERT(sizeof(EepEvent) == 56);
