#include "core/fault.h"

const char *const eep_fault_names[EEP_FAULT_KIND_COUNT] = {
    [EEP_FAULT_KIND_FAIL] = "fail",
    [EEP_FAULT_KIND_HANG] = "hang",
    [EEP_FAULT_KIND_SLOW] = "slow",
    [EEP_FAULT_KIND_LINK] = "link",
    [EEP_FAULT_KIND_PHASE_FAIL] = "phase_fail",
    [EEP_FAULT_KIND_PHASE_HANG] = "phase_hang",
};

const char *eep_breakable_name(guint breakable)
{
    static const char *const acts[EEP_BREAKABLE_COUNT - EEP_PHASE_COUNT] = {
        [EEP_BREAKABLE_RESHUFFLE - EEP_PHASE_COUNT] = "reshuffle",
        [EEP_BREAKABLE_PRELOAD - EEP_PHASE_COUNT] = "preload",
        [EEP_BREAKABLE_DRAIN - EEP_PHASE_COUNT] = "drain",
        [EEP_BREAKABLE_MIGRATE - EEP_PHASE_COUNT] = "migrate",
        [EEP_BREAKABLE_SPREAD - EEP_PHASE_COUNT] = "spread",
        [EEP_BREAKABLE_PAUSE - EEP_PHASE_COUNT] = "pause",
    };

    g_return_val_if_fail(breakable < EEP_BREAKABLE_COUNT, "");
    return breakable < EEP_PHASE_COUNT ? eep_phase_names[breakable]
                                       : acts[breakable - EEP_PHASE_COUNT];
}

const char *const eep_detection_names[EEP_DETECT_COUNT] = {
    [EEP_DETECT_PROCESS_EXIT] = "process_exit",
    [EEP_DETECT_HEARTBEAT] = "heartbeat",
    [EEP_DETECT_ALL2ALL_TIMEOUT] = "all2all_timeout",
    [EEP_DETECT_WATCHDOG] = "watchdog",
};
