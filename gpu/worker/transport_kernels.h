/* Kernels of the loopback transport: they read the buffers of all ranks, which lie on one device.
 *
 * In the order of ranks from the left, so that the bits are always the same. `out` may be one of
 * the sources, as each element is read before it is written. */
#ifndef EEP_GPU_WORKER_TRANSPORT_KERNELS_H
#define EEP_GPU_WORKER_TRANSPORT_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EEP_LOOPBACK_MAX_RANKS 64

typedef struct {
    const void *from[EEP_LOOPBACK_MAX_RANKS];
    uint32_t n;
} EepSources;

/* Of floats. */
cudaError_t eep_transport_sum(const EepSources *sources, void *out, size_t n, cudaStream_t stream);
/* Of uint64_t. */
cudaError_t eep_transport_min(const EepSources *sources, void *out, size_t n, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
