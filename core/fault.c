#include "core/fault.h"

const char *const eep_fault_names[EEP_FAULT_KIND_COUNT] = {
    [EEP_FAULT_KIND_FAIL] = "fail",
    [EEP_FAULT_KIND_HANG] = "hang",
    [EEP_FAULT_KIND_SLOW] = "slow",
    [EEP_FAULT_KIND_LINK] = "link",
    [EEP_FAULT_KIND_PHASE_FAIL] = "phase_fail",
    [EEP_FAULT_KIND_PHASE_HANG] = "phase_hang",
};

const char *const eep_detection_names[EEP_DETECT_COUNT] = {
    [EEP_DETECT_PROCESS_EXIT] = "process_exit",
    [EEP_DETECT_HEARTBEAT] = "heartbeat",
    [EEP_DETECT_ALL2ALL_TIMEOUT] = "all2all_timeout",
    [EEP_DETECT_WATCHDOG] = "watchdog",
};
