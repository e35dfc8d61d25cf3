/* The emulated runtime as its parts know it: what cuBLAS, NCCL and the kernels' scheduler need of
 * streams, memory and faults. The worker never includes it.
 *
 * All functions may be called on any thread. One lock guards devices, memory and streams; it is not
 * held while an operation runs. */
#ifndef EEP_GPU_EMULATION_EMULATED_RUNTIME_H
#define EEP_GPU_EMULATION_EMULATED_RUNTIME_H

#include <cuda_runtime_api.h>
#include <glib.h>

G_BEGIN_DECLS

/* "emulated GPU: ..." on stderr. */
void eep_emulated_report(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* -- faults -- */

/* Counts a call that may fail, on the calling thread's device. 0, or the status with which
 * EEP_EMULATED_FAIL lets it fail: the one named there, else `status`. cuBLAS and NCCL ask this
 * first in each call, the CUDA runtime too. */
int eep_emulated_fails(const char *call, int status);

/* The device is broken from now on: each call returns `status`, queued operations are dropped. */
void eep_emulated_fault(int device, cudaError_t status, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* cudaSuccess, or what broke the device. What waits inside an operation looks at it. */
cudaError_t eep_emulated_health(int device);

/* -- operations -- */

/* Appends an operation to a stream, or to the graph that the stream is captured into. `run` is
 * called on the stream's thread, with the device in its hands, and again each time a graph is
 * launched; what it finds wrong it tells by eep_emulated_fault(). `data` belongs to the operation,
 * also when this fails, and goes by `data_free` (nullable). */
cudaError_t eep_emulated_enqueue(cudaStream_t stream, const char *name, void (*run)(gpointer data),
                                 gpointer data, GDestroyNotify data_free);

/* What was enqueued on the stream last waits for other processes, for as long as they like. */
void eep_emulated_waits_for_peers(cudaStream_t stream);

int eep_emulated_stream_device(cudaStream_t stream); /* -1: not a stream */
gboolean eep_emulated_is_capturing(cudaStream_t stream);

/* -- memory -- */

/* Are these bytes wholly inside one allocation of `device` (or pinned memory, which devices reach)?
 * If not, says on stderr what they are, naming `user`, and returns the error that CUDA would. */
cudaError_t eep_emulated_check_memory(int device, const void *memory, gsize bytes,
                                      const char *user);

/* The device that the address is memory of; -1: pinned host memory, -2: neither. */
int eep_emulated_owner(const void *address);

G_END_DECLS

#endif
