/* What the kernels' files share: one flat index, one block size. Empty to C. */
#ifndef EEP_GPU_WORKER_KERNELS_COMMON_H
#define EEP_GPU_WORKER_KERNELS_COMMON_H

#include "gpu/worker/kernels.h"
#include "gpu/worker/launch.h"

#ifdef __cplusplus

#define EEP_BLOCK 256

#define EEP_KERNEL extern "C" __global__ void __launch_bounds__(EEP_BLOCK)

/* The calling thread's index among all of the launch; some are beyond what was asked for. */
#define EEP_THREAD ((uint64_t)blockIdx.x * blockDim.x + threadIdx.x)

static inline dim3 eep_grid(uint64_t n_threads)
{
    return dim3((unsigned int)((n_threads + EEP_BLOCK - 1) / EEP_BLOCK));
}

/* 8 bf16 values that move at once. */
struct __align__(16) EepVector
{
    uint16_t value[EEP_ROW_ALIGN];
};

#endif

#endif
