/* EepCudaBackend: the backend of core/loop/backend.h that drives worker processes.
 *
 * It listens, spawns workers or waits for them, shakes hands, translates the core's operations into
 * messages (gpu/wire.h) and the workers' answers into completions, which it posts to the loop's
 * mailbox. It watches over the workers: process exit, closed connection, heartbeats. A worker that
 * is lost completes nothing any more; what waits for it hangs until the core aborts it, as on any
 * backend, but whose end names it as a suspect. It also is the run's EepFaultInjector: `fail` kills
 * the process (SIGKILL), `hang` stops it (SIGSTOP), workers of other hosts are asked to do the
 * same. It checks what comes back: the probe tokens' results and, when asked, every expert's
 * checksum; a difference is a breach (eep_cuda_backend_breach()). Not a policy and not a launcher
 * of clusters. Loop thread only. */
#ifndef EEP_GPU_COORDINATOR_BACKEND_CUDA_H
#define EEP_GPU_COORDINATOR_BACKEND_CUDA_H

#include "core/fault.h"
#include "core/gpu_options.h"
#include "core/loop/backend.h"
#include "core/measurement.h"
#include "core/model.h"
#include "gpu/wire.h"
#include "live/mailbox.h"

G_BEGIN_DECLS

#define EEP_CUDA_BACKEND_ERROR (eep_cuda_backend_error_quark())
GQuark eep_cuda_backend_error_quark(void);
typedef enum {
    EEP_CUDA_BACKEND_ERROR_START,  /* the workers did not come up, or not in time */
    EEP_CUDA_BACKEND_ERROR_BREACH, /* a result is wrong */
} EepCudaBackendError;

typedef enum { EEP_GPU_DEVICE_GPU, EEP_GPU_DEVICE_EMULATED } EepGpuDevice;

/* One pool as the workers have to know it. */
typedef struct {
    const EepModel *model;
    guint n_moe_layers; /* that the core speaks of; gpu.layers of them are computed */
    guint slots_per_rank;
    guint max_tokens; /* of an engine in a step */
    guint64 kv_cache_bytes;
    guint n_engines; /* at the start: workers 1..n */
    gboolean captures_graphs;
    /* Popularity of the layer's experts at the time, [n_experts], summing to 1. */
    void (*popularity)(gpointer self, guint layer, EepTime now, double *ret_popularity);
    gpointer self;
} EepCudaPool;

typedef struct {
    const EepGpuOptions *gpu;
    EepGpuDevice device;
    gboolean spawns;            /* else workers are waited for */
    const char *worker_program; /* full path; with `spawns` */
    const char *token;          /* that workers have to show, hexadecimal; NULL: drawn */
    guint64 seed;
    EepClock *clock; /* a real one */
    EepMailbox *mailbox;
    /* A line for the user: a worker joined, was refused, said something. */
    void (*say)(gpointer self, const char *line);
    gpointer self;
} EepCudaBackendOptions;

/* Opens the listening socket. Errors: the address cannot be bound. */
EepBackend *eep_cuda_backend_new(const EepCudaBackendOptions *options, GError **error);

/* What any of them can do: for replays, which have none. */
void eep_cuda_backend_caps(EepBackendCaps *ret_caps);

/* host:port or unix:PATH that it listens on, and the token that workers have to show (hex). */
const char *eep_cuda_backend_address(const EepBackend *backend);
const char *eep_cuda_backend_token(const EepBackend *backend);

/* Brings the pool's first workers up (spawned or awaited), has them open their devices, load their
 * weights and make the group of epoch 1; returns when all are ready. Before the loop runs. Errors
 * say which worker, why, and what to do; then nothing is left running. Blocks at most
 * gpu.start_timeout. */
gboolean eep_cuda_backend_start_pool(EepBackend *backend, EepPoolId id, const EepCudaPool *pool,
                                     GError **error);

EepFaultInjector *eep_cuda_backend_injector(EepBackend *backend);

/* Has every worker tell what its experts' checksums are, if gpu.check_experts says so, and waits
 * for the answers, at most gpu.wait_timeout: after the run. */
void eep_cuda_backend_check_experts(EepBackend *backend);

/* What a check of results found to be wrong, the first of it; NULL: nothing. */
const char *eep_cuda_backend_breach(const EepBackend *backend);

/* Has the first n_ranks workers of the pool time something, before or instead of a loop's run:
 * makes the group that it needs, and waits, at most gpu.wait_timeout. ret_ns [n_samples]: of each
 * sample what the slowest rank took. Errors say who and why. */
gboolean eep_cuda_backend_measure(EepBackend *backend, EepPoolId pool,
                                  const EepMeasurement *measurement, gint64 *ret_ns,
                                  GError **error);

/* What the pool's first worker said of its device; NULL: there is none. */
const EepWireDevice *eep_cuda_backend_device(const EepBackend *backend);

/* Facts for the run folder: one of each worker ever; host: NULL of one that never came. */
typedef struct {
    EepWorkerId worker;
    EepWireDevice device;
    char *host, *gemm; /* gemm: NULL until it is ready */
    guint64 pid;
    gint64 memory_used_bytes;
} EepCudaWorkerFacts;
guint eep_cuda_backend_n_workers(const EepBackend *backend); /* that have come */
const EepCudaWorkerFacts *eep_cuda_backend_worker(const EepBackend *backend, guint index);

typedef struct {
    guint64 n_steps, n_probes, n_checksums; /* checked and right */
    guint64 n_messages_sent, n_messages_received;
    guint64 n_bytes_sent, n_bytes_received;
    guint64 n_spawned, n_lost, n_refused;
} EepCudaBackendCounts;
EepCudaBackendCounts eep_cuda_backend_counts(const EepBackend *backend);

G_END_DECLS

#endif
