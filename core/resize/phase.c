#include "core/resize/phase.h"

const char *const eep_phase_names[EEP_PHASE_COUNT] = {
    [EEP_PHASE_LAUNCH] = "launch",
    [EEP_PHASE_STANDBY_GROUPS] = "standby_groups",
    [EEP_PHASE_WEIGHTS_FROM_PEER] = "weights_from_peer",
    [EEP_PHASE_WEIGHTS_FROM_DISK] = "weights_from_disk",
    [EEP_PHASE_KV_SYNC] = "kv_sync",
    [EEP_PHASE_MAP_BROADCAST] = "map_broadcast",
    [EEP_PHASE_SWITCH] = "switch",
    [EEP_PHASE_WARM_UP] = "warm_up",
    [EEP_PHASE_GRAPH_CAPTURE] = "graph_capture",
    [EEP_PHASE_RETIRE_GROUPS] = "retire_groups",
    [EEP_PHASE_KERNEL_WARM_UP] = "kernel_warm_up",
    [EEP_PHASE_DESTROY] = "destroy",
};

const char *const eep_phase_help[EEP_PHASE_COUNT] = {
    [EEP_PHASE_LAUNCH] = "start the process, its CUDA context and the model with dummy weights",
    [EEP_PHASE_STANDBY_GROUPS] = "build the communication groups of the new size",
    [EEP_PHASE_WEIGHTS_FROM_PEER] = "send non-expert weights from serving ranks to new ones",
    [EEP_PHASE_WEIGHTS_FROM_DISK] = "load weights from storage",
    [EEP_PHASE_KV_SYNC] = "agree on the KV-cache size",
    [EEP_PHASE_MAP_BROADCAST] = "send the expert map to the new ranks",
    [EEP_PHASE_SWITCH] = "adopt the new groups and counters",
    [EEP_PHASE_WARM_UP] = "run one forward on the new groups",
    [EEP_PHASE_GRAPH_CAPTURE] = "capture the CUDA graphs again",
    [EEP_PHASE_RETIRE_GROUPS] = "destroy the old communication groups",
    [EEP_PHASE_KERNEL_WARM_UP] = "warm up kernels of a new rank before it joins",
    [EEP_PHASE_DESTROY] = "end a leaving worker's process",
};
