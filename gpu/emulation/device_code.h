/* CUDA C++ for the host compiler: the words and functions that the worker's kernels use, no more.
 * Not a CUDA of its own: what is missing here a kernel must not use, or it goes here with a test.
 */
#ifndef EEP_GPU_EMULATION_DEVICE_CODE_H
#define EEP_GPU_EMULATION_DEVICE_CODE_H

#include "gpu/emulation/device_threads.h"

#ifdef __cplusplus

#include <math.h>
#include <string.h>

/* Kernels carry pragmas for nvcc (unroll). */
#pragma GCC diagnostic ignored "-Wunknown-pragmas"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__      static __thread
#define __align__(n)    __attribute__((aligned(n)))
#define __launch_bounds__(...)
#ifndef __restrict__
#define __restrict__ __restrict
#endif

#define threadIdx (eep_emulated_thread->thread)
#define blockIdx  (eep_emulated_thread->block)
#define blockDim  (eep_emulated_thread->block_dim)
#define gridDim   (eep_emulated_thread->grid_dim)
#define warpSize  EEP_EMULATED_WARP

#define __syncthreads() eep_emulated_sync_threads(__LINE__)

struct __align__(8) uint2
{
    unsigned int x, y;
};
struct __align__(16) uint4
{
    unsigned int x, y, z, w;
};
struct __align__(8) float2
{
    float x, y;
};
struct __align__(16) float4
{
    float x, y, z, w;
};

/* -- warps -- */

static inline void __syncwarp(unsigned int mask = 0xffffffffu)
{
    eep_emulated_warp(EEP_EMULATED_WARP_SYNC, mask, 0, 0);
}

static inline unsigned int __ballot_sync(unsigned int mask, int predicate)
{
    return (unsigned int)eep_emulated_warp(EEP_EMULATED_WARP_BALLOT, mask, predicate != 0, 0);
}

static inline int __any_sync(unsigned int mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}

static inline int __all_sync(unsigned int mask, int predicate)
{
    return __ballot_sync(mask, !predicate) == 0;
}

template <typename Value>
static inline Value eep_emulated_shuffle(unsigned int mask, Value value, unsigned int source)
{
    static_assert(sizeof(Value) == 4 || sizeof(Value) == 8, "shuffles take 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(value));
    bits = eep_emulated_warp(EEP_EMULATED_WARP_SHUFFLE, mask, bits, source);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

template <typename Value>
static inline Value __shfl_sync(unsigned int mask, Value value, int source, int width = warpSize)
{
    unsigned int lane = eep_emulated_thread->lane, first = lane & ~(unsigned int)(width - 1);
    return eep_emulated_shuffle(mask, value, first | ((unsigned int)source & (width - 1)));
}

template <typename Value>
static inline Value __shfl_up_sync(unsigned int mask, Value value, unsigned int delta,
                                   int width = warpSize)
{
    unsigned int lane = eep_emulated_thread->lane, first = lane & ~(unsigned int)(width - 1);
    return eep_emulated_shuffle(mask, value, lane < first + delta ? lane : lane - delta);
}

template <typename Value>
static inline Value __shfl_down_sync(unsigned int mask, Value value, unsigned int delta,
                                     int width = warpSize)
{
    unsigned int lane = eep_emulated_thread->lane, first = lane & ~(unsigned int)(width - 1);
    return eep_emulated_shuffle(mask, value, lane + delta < first + width ? lane + delta : lane);
}

template <typename Value>
static inline Value __shfl_xor_sync(unsigned int mask, Value value, int bits, int width = warpSize)
{
    unsigned int lane = eep_emulated_thread->lane, first = lane & ~(unsigned int)(width - 1);
    unsigned int source = lane ^ (unsigned int)bits;
    return eep_emulated_shuffle(mask, value, source < first + width ? source : lane);
}

/* -- atomics: on integers only, results must not depend on an order -- */

template <typename Value> static inline Value eep_emulated_add(Value *where, Value value)
{
    return __atomic_fetch_add(where, value, __ATOMIC_RELAXED);
}

static inline int atomicAdd(int *where, int value)
{
    return eep_emulated_add(where, value);
}

static inline unsigned int atomicAdd(unsigned int *where, unsigned int value)
{
    return eep_emulated_add(where, value);
}

static inline unsigned long long atomicAdd(unsigned long long *where, unsigned long long value)
{
    return eep_emulated_add(where, value);
}

static inline unsigned int atomicOr(unsigned int *where, unsigned int value)
{
    return __atomic_fetch_or(where, value, __ATOMIC_RELAXED);
}

static inline unsigned int atomicMax(unsigned int *where, unsigned int value)
{
    unsigned int seen = __atomic_load_n(where, __ATOMIC_RELAXED);
    while (seen < value &&
           !__atomic_compare_exchange_n(where, &seen, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return seen;
}

static inline void __threadfence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* -- arithmetic -- */

static inline float __uint_as_float(unsigned int bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline unsigned int __float_as_uint(float value)
{
    unsigned int bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline int __popc(unsigned int bits)
{
    return __builtin_popcount(bits);
}

static inline int __ffs(int bits)
{
    return __builtin_ffs(bits);
}

static inline int __clz(int bits)
{
    return bits == 0 ? 32 : __builtin_clz((unsigned int)bits);
}

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

static inline unsigned int __umulhi(unsigned int a, unsigned int b)
{
    return (unsigned int)(((unsigned long long)a * b) >> 32);
}

/* The rounding of each product and sum is that of the operation alone: no contraction. */
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}

static inline float __fadd_rn(float a, float b)
{
    return a + b;
}

static inline float rsqrtf(float value)
{
    return 1.0f / sqrtf(value);
}

template <typename Value> static inline Value __ldg(const Value *where)
{
    return *where;
}

template <typename Value> static inline Value min(Value a, Value b)
{
    return b < a ? b : a;
}

template <typename Value> static inline Value max(Value a, Value b)
{
    return a < b ? b : a;
}

#endif

#endif
