#include "tests/emulation/planted_kernels.h"

#include "gpu/worker/launch.h"

/* -- right ones -- */

static inline __host__ __device__ uint64_t fold(uint32_t tx, uint32_t ty, uint32_t tz, uint32_t bx,
                                                uint32_t by, uint32_t bz)
{
    return ((((tx * 31ull + ty) * 31 + tz) * 31 + bx) * 31 + by) * 31 + bz;
}

uint64_t planted_fold(const uint32_t thread[3], const uint32_t block[3])
{
    return fold(thread[0], thread[1], thread[2], block[0], block[1], block[2]);
}

extern "C" __global__ void __launch_bounds__(256) eep_k_indices(uint64_t *__restrict__ out)
{
    uint32_t block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    uint32_t thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
        fold(threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
}

cudaError_t planted_indices(uint64_t *out, dim3 grid, dim3 block, cudaStream_t stream)
{
    return eep_launch(eep_k_indices, grid, block, 0, stream, out);
}

extern "C" __global__ void __launch_bounds__(256)
    eep_k_block_sums(const uint32_t *__restrict__ in, uint64_t *__restrict__ out)
{
    EEP_SHARED(uint64_t, sums);
    sums[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
    for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = sums[0];
}

cudaError_t planted_block_sums(const uint32_t *in, uint64_t *out, uint32_t n_blocks,
                               cudaStream_t stream)
{
    return eep_launch(eep_k_block_sums, dim3(n_blocks), dim3(256), 256 * sizeof(uint64_t), stream,
                      in, out);
}

extern "C" __global__ void __launch_bounds__(256) eep_k_reverse(uint32_t *values)
{
    __shared__ uint32_t held[256];
    uint32_t *mine = values + blockIdx.x * blockDim.x;
    held[threadIdx.x] = mine[threadIdx.x];
    __syncthreads();
    mine[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}

cudaError_t planted_reverse(uint32_t *values, uint32_t n, uint32_t n_blocks, cudaStream_t stream)
{
    return eep_launch(eep_k_reverse, dim3(n_blocks), dim3(n), 0, stream, values);
}

extern "C" __global__ void __launch_bounds__(64)
    eep_k_shuffles(const float *__restrict__ in, float *__restrict__ out, int width)
{
    float value = in[threadIdx.x];
    float *mine = out + threadIdx.x * 4;
    mine[0] = __shfl_sync(0xffffffffu, value, 5, width);
    mine[1] = __shfl_up_sync(0xffffffffu, value, 3, width);
    mine[2] = __shfl_down_sync(0xffffffffu, value, 2, width);
    mine[3] = __shfl_xor_sync(0xffffffffu, value, 9, width);
}

cudaError_t planted_shuffles(const float *in, float *out, int width, cudaStream_t stream)
{
    return eep_launch(eep_k_shuffles, dim3(1), dim3(64), 0, stream, in, out, width);
}

extern "C" __global__ void __launch_bounds__(64)
    eep_k_votes(const int32_t *__restrict__ in, uint32_t *__restrict__ out)
{
    int32_t value = in[threadIdx.x];
    uint32_t *mine = out + threadIdx.x * 3;
    mine[0] = __ballot_sync(0xffffffffu, value > 0);
    mine[1] = (uint32_t)__any_sync(0xffffffffu, value > 0);
    mine[2] = (uint32_t)__all_sync(0xffffffffu, value > 0);
}

cudaError_t planted_votes(const int32_t *in, uint32_t *out, uint32_t n_threads, cudaStream_t stream)
{
    return eep_launch(eep_k_votes, dim3(1), dim3(n_threads), 0, stream, in, out);
}

extern "C" __global__ void __launch_bounds__(32)
    eep_k_half_warps(const uint32_t *__restrict__ in, uint32_t *__restrict__ out)
{
    uint32_t sum = in[threadIdx.x];
    uint32_t mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    uint32_t n_turns = threadIdx.x < 16 ? 1 : 3;
    for (uint32_t turn = 0; turn < n_turns; turn++) {
        for (int bits = 8; bits > 0; bits /= 2)
            sum += __shfl_xor_sync(mask, sum, bits);
        __syncwarp(mask);
    }
    out[threadIdx.x] = sum;
}

cudaError_t planted_half_warps(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return eep_launch(eep_k_half_warps, dim3(1), dim3(32), 0, stream, in, out);
}

extern "C" __global__ void __launch_bounds__(128)
    eep_k_count(uint32_t *__restrict__ counter, unsigned long long *__restrict__ wide)
{
    atomicAdd(counter, 1u);
    atomicAdd(wide, 1ull << 32);
    atomicMax(counter + 1, blockIdx.x * blockDim.x + threadIdx.x);
    atomicOr(counter + 2, 1u << (threadIdx.x % 32));
}

cudaError_t planted_count(uint32_t *counter, uint64_t *wide, uint32_t n_blocks, cudaStream_t stream)
{
    return eep_launch(eep_k_count, dim3(n_blocks), dim3(128), 0, stream, counter,
                      (unsigned long long *)wide);
}

extern "C" __global__ void __launch_bounds__(256)
    eep_k_order(uint32_t *__restrict__ ticket, uint32_t *__restrict__ order)
{
    order[atomicAdd(ticket, 1u)] = threadIdx.x;
    __syncthreads();
    order[atomicAdd(ticket, 1u)] = threadIdx.x;
}

cudaError_t planted_order(uint32_t *ticket, uint32_t *order, uint32_t n, cudaStream_t stream)
{
    return eep_launch(eep_k_order, dim3(1), dim3(n), 0, stream, ticket, order);
}

extern "C" __global__ void __launch_bounds__(256) eep_k_add(float *values, float add, uint32_t n)
{
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < n)
        values[at] += add;
}

cudaError_t planted_add(float *values, double add, uint32_t n, cudaStream_t stream)
{
    return eep_launch(eep_k_add, dim3((n + 255) / 256), dim3(256), 0, stream, values, add, n);
}

extern "C" __global__ void __launch_bounds__(256) eep_k_scale(float *values, float by, uint32_t n)
{
    uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < n)
        values[at] *= by;
}

cudaError_t planted_scale(float *values, float by, uint32_t n, cudaStream_t stream)
{
    return eep_launch(eep_k_scale, dim3((n + 255) / 256), dim3(256), 0, stream, values, by, n);
}

/* -- wrong ones -- */

extern "C" __global__ void __launch_bounds__(64) eep_k_barrier_for_some(uint32_t *out)
{
    if (threadIdx.x >= 48)
        return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

cudaError_t planted_barrier_for_some(uint32_t *out, cudaStream_t stream)
{
    return eep_launch(eep_k_barrier_for_some, dim3(1), dim3(64), 0, stream, out);
}

extern "C" __global__ void __launch_bounds__(64) eep_k_two_barriers(uint32_t *out)
{
    if (threadIdx.x < 32) {
        out[threadIdx.x] = 1;
        __syncthreads();
    } else {
        __syncthreads();
        out[threadIdx.x] = 1;
    }
}

cudaError_t planted_two_barriers(uint32_t *out, cudaStream_t stream)
{
    return eep_launch(eep_k_two_barriers, dim3(1), dim3(64), 0, stream, out);
}

extern "C" __global__ void __launch_bounds__(32) eep_k_absent_lane(uint32_t *out)
{
    if (threadIdx.x < 8)
        out[threadIdx.x] = __shfl_sync(0x000000ffu, threadIdx.x, 12);
}

cudaError_t planted_absent_lane(uint32_t *out, cudaStream_t stream)
{
    return eep_launch(eep_k_absent_lane, dim3(1), dim3(32), 0, stream, out);
}

extern "C" __global__ void __launch_bounds__(32) eep_k_barrier_and_warp(uint32_t *out)
{
    if (threadIdx.x == 0)
        __syncthreads();
    else
        __syncwarp(0xffffffffu);
    out[threadIdx.x] = 1;
}

cudaError_t planted_barrier_and_warp(uint32_t *out, cudaStream_t stream)
{
    return eep_launch(eep_k_barrier_and_warp, dim3(1), dim3(32), 0, stream, out);
}

extern "C" __global__ void __launch_bounds__(32) eep_k_write_at(uint32_t *out, int64_t at)
{
    if (threadIdx.x == 3)
        out[at] = 7;
}

cudaError_t planted_write_at(uint32_t *out, int64_t at, cudaStream_t stream)
{
    return eep_launch(eep_k_write_at, dim3(1), dim3(32), 0, stream, out, at);
}

extern "C" __global__ void __launch_bounds__(32) eep_k_divide(uint32_t *out, uint32_t by)
{
    out[threadIdx.x] = 1000u / by;
}

cudaError_t planted_divide(uint32_t *out, uint32_t by, cudaStream_t stream)
{
    return eep_launch(eep_k_divide, dim3(1), dim3(32), 0, stream, out, by);
}
