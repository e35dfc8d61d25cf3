/* What a kernel compiled for the host needs of the emulation: who the running thread is, barriers,
 * warp operations, and the launch itself. gpu/emulation/device_code.h and gpu/worker/launch.h turn
 * it into CUDA's names.
 *
 * The threads of a block are fibers of one host thread; one runs until it blocks or ends, so a
 * kernel without barriers never switches. Errors (a divergent barrier, a lane that is read and does
 * not take part) are told on stderr with kernel, block and thread, and make the device fail. */
#ifndef EEP_GPU_EMULATION_DEVICE_THREADS_H
#define EEP_GPU_EMULATION_DEVICE_THREADS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EEP_EMULATED_WARP 32

typedef struct {
    unsigned int x, y, z;
} EepEmulatedIndex;

/* The running thread; its state as the scheduler knows it lies behind. */
typedef struct {
    EepEmulatedIndex thread, block, block_dim, grid_dim;
    unsigned int linear, lane; /* of the thread in its block, in its warp */
    void *shared;              /* dynamic shared memory, the block's */
} EepEmulatedThread;

extern __thread EepEmulatedThread *eep_emulated_thread;

/* `line` of the call: the whole block has to come to one and the same. */
void eep_emulated_sync_threads(int line);

typedef enum {
    EEP_EMULATED_WARP_SYNC,
    EEP_EMULATED_WARP_SHUFFLE, /* the value of lane `source` */
    EEP_EMULATED_WARP_BALLOT,  /* a bit a lane whose value is not 0 */
} EepEmulatedWarpOp;

/* Waits for the lanes in `mask`, which call it alike. */
uint64_t eep_emulated_warp(EepEmulatedWarpOp op, unsigned int mask, uint64_t value,
                           unsigned int source);

/* A kernel that was called with its arguments; they are copied. */
typedef struct {
    const char *name;
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
    void (*call)(const void *arguments); /* as one thread */
    const void *arguments;
    size_t n_bytes;
    const void *const *pointers; /* those among the arguments, NULL for the others */
    unsigned int n_pointers;
} EepEmulatedLaunch;

EEP_CUDA_STATUS eep_emulated_launch(const EepEmulatedLaunch *launch);

#ifdef __cplusplus
}
#endif

#endif
