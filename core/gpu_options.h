/* EepGpuOptions: how a scenario is run on workers, real or emulated ones.
 *
 * Plain values, filled by the loader; the simulator reads none of them. What they mean to workers
 * is in docs/hardware.md. */
#ifndef EEP_CORE_GPU_OPTIONS_H
#define EEP_CORE_GPU_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum {
    EEP_TRANSPORT_NCCL,     /* a process a rank */
    EEP_TRANSPORT_LOOPBACK, /* all ranks in one process on one device */
    EEP_TRANSPORT_COUNT,
} EepTransportKind;

extern const char *const eep_transport_names[EEP_TRANSPORT_COUNT];

typedef struct {
    gint64 layers;  /* MoE layers that workers compute, the first ones; 0: they do no work */
    gint transport; /* EepTransportKind */
    char *listen;   /* HOST:PORT or unix:PATH; NULL: the backend chooses */
    EepTime heartbeat_interval;
    EepTime start_timeout;  /* until the first workers are ready */
    EepTime wait_timeout;   /* of a worker for its device or for its group */
    EepTime grace;          /* at the end, until a worker that has not gone is killed */
    gint64 emulated_memory; /* bytes of an emulated device */
    gboolean check_experts; /* every expert's checksum, after every resize and at the end */
} EepGpuOptions;

extern const EepOptionTable eep_gpu_options; /* prefix "gpu" */

G_END_DECLS

#endif
