#include "core/gpu_options.h"

const char *const eep_transport_names[EEP_TRANSPORT_COUNT] = {
    [EEP_TRANSPORT_NCCL] = "nccl",
    [EEP_TRANSPORT_LOOPBACK] = "loopback",
};

#define AT(member) offsetof(EepGpuOptions, member)

static const EepOption options[] = {
    {"layers", EEP_OPTION_INT, AT(layers), "2", 0, 256, NULL, NULL,
     "MoE layers that workers compute, the first ones; 0: none, to see what the coordinator costs"},
    {"transport", EEP_OPTION_WORD, AT(transport), "nccl", EEP_NO_BOUNDS, "nccl|loopback", NULL,
     "how ranks exchange tokens: a process a rank, or all ranks in one process on one device"},
    {"listen", EEP_OPTION_STRING, AT(listen), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "HOST:PORT or unix:PATH that workers connect to; unset: a name of this host's own, with "
     "--workers wait a free port of the loopback interface"},
    {"heartbeat_interval", EEP_OPTION_TIME, AT(heartbeat_interval), "500ms", 1e6, 6e10, NULL, NULL,
     "between two heartbeats of a worker"},
    {"start_timeout", EEP_OPTION_TIME, AT(start_timeout), "2min", 1e6, 3.6e12, NULL, NULL,
     "until the first workers have joined and are ready"},
    {"wait_timeout", EEP_OPTION_TIME, AT(wait_timeout), "30s", 1e6, 3.6e12, NULL, NULL,
     "longest wait of a worker for its device or its group, which is broken then"},
    {"grace", EEP_OPTION_TIME, AT(grace), "5s", 0, 6e11, NULL, NULL,
     "for workers to end by themselves before they are killed"},
    {"emulated_memory", EEP_OPTION_BYTES, AT(emulated_memory), "1GiB", 1048576, 1e12, NULL, NULL,
     "memory of an emulated device"},
    {"check_experts", EEP_OPTION_BOOL, AT(check_experts), "true", EEP_NO_BOUNDS, NULL, NULL,
     "compare the checksum of every expert with what it must be, after every resize and at the "
     "end"},
};

const EepOptionTable eep_gpu_options = {"gpu", sizeof(EepGpuOptions), options,
                                        G_N_ELEMENTS(options)};
