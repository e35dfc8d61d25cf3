/* eep_launch(): one way to launch a kernel that nvcc and the host compiler understand, and
 * EEP_SHARED() for dynamic shared memory. For the .cu files; to C it is empty.
 *
 *     extern "C" __global__ void __launch_bounds__(256) eep_k_add(float *x, float y, uint32_t n);
 *     return eep_launch(eep_k_add, dim3(n_blocks), dim3(256), 0, stream, x, y, n);
 *
 * Arguments are converted to the kernel's parameter types and copied before it returns. The status
 * is that of the launch; what the kernel does shows later, on the stream. */
#ifndef EEP_GPU_WORKER_LAUNCH_H
#define EEP_GPU_WORKER_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef EEP_EMULATED
#include "gpu/emulation/device_code.h"
#endif

#ifdef __cplusplus

/* Keeps the arguments out of the deduction: a kernel's parameters say what they become. */
template <typename Type> struct EepSame {
    typedef Type type;
};

#ifdef EEP_EMULATED

#define EEP_SHARED(type, name) type *name = static_cast<type *>(eep_emulated_thread->shared)

template <typename Value> static inline const void *eep_launch_pointer(const Value &)
{
    return nullptr;
}

template <typename Value> static inline const void *eep_launch_pointer(Value *const &pointer)
{
    return pointer;
}

template <typename... Parameters>
static inline cudaError_t eep_launch_as(const char *name, void (*kernel)(Parameters...), dim3 grid,
                                        dim3 block, size_t shared_bytes, cudaStream_t stream,
                                        typename EepSame<Parameters>::type... arguments)
{
    auto bound = [=] { kernel(arguments...); };
    typedef decltype(bound) Bound;
    static_assert(__is_trivially_copyable(Bound), "a kernel takes plain values");
    const void *const pointers[] = {eep_launch_pointer(arguments)..., nullptr};
    EepEmulatedLaunch launch = {
        name,     grid,
        block,    shared_bytes,
        stream,   [](const void *copied) { (*static_cast<const Bound *>(copied))(); },
        &bound,   sizeof(bound),
        pointers, sizeof...(Parameters),
    };
    return eep_emulated_launch(&launch);
}

#define eep_launch(kernel, ...) eep_launch_as(#kernel, kernel, __VA_ARGS__)

#else

#define EEP_SHARED(type, name)                                                                     \
    extern __shared__ __align__(16) unsigned char eep_shared_bytes[];                              \
    type *name = reinterpret_cast<type *>(eep_shared_bytes)

template <typename... Parameters>
static inline cudaError_t eep_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                                     size_t shared_bytes, cudaStream_t stream,
                                     typename EepSame<Parameters>::type... arguments)
{
    void *pointers[] = {(void *)&arguments..., nullptr};
    return cudaLaunchKernel((const void *)kernel, grid, block, pointers, shared_bytes, stream);
}

#endif

#endif

#endif
