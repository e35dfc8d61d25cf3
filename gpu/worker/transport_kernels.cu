#include "gpu/worker/transport_kernels.h"

#include "gpu/worker/launch.h"

#define THREADS    256
#define MAX_BLOCKS 512

extern "C" __global__ void __launch_bounds__(THREADS)
    eep_k_transport_sum(EepSources sources, float *out, size_t n)
{
    const size_t stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        float sum = static_cast<const float *>(sources.from[0])[i];
        for (uint32_t rank = 1; rank < sources.n; rank++) {
            sum += static_cast<const float *>(sources.from[rank])[i];
        }
        out[i] = sum;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    eep_k_transport_min(EepSources sources, uint64_t *out, size_t n)
{
    const size_t stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        uint64_t least = static_cast<const uint64_t *>(sources.from[0])[i];
        for (uint32_t rank = 1; rank < sources.n; rank++) {
            const uint64_t next = static_cast<const uint64_t *>(sources.from[rank])[i];
            least = next < least ? next : least;
        }
        out[i] = least;
    }
}

static dim3 grid_for(size_t n)
{
    const size_t n_blocks = (n + THREADS - 1) / THREADS;
    return dim3(static_cast<unsigned int>(n_blocks < MAX_BLOCKS ? n_blocks : MAX_BLOCKS));
}

cudaError_t eep_transport_sum(const EepSources *sources, void *out, size_t n, cudaStream_t stream)
{
    if (n == 0) {
        return cudaSuccess;
    }
    return eep_launch(eep_k_transport_sum, grid_for(n), dim3(THREADS), 0, stream, *sources,
                      static_cast<float *>(out), n);
}

cudaError_t eep_transport_min(const EepSources *sources, void *out, size_t n, cudaStream_t stream)
{
    if (n == 0) {
        return cudaSuccess;
    }
    return eep_launch(eep_k_transport_min, grid_for(n), dim3(THREADS), 0, stream, *sources,
                      static_cast<uint64_t *>(out), n);
}
