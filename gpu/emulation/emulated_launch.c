#include "gpu/emulation/device_threads.h"
#include "gpu/emulation/emulated_memory.h"
#include "gpu/emulation/emulated_switches.h"
#include "gpu/emulation/thread_block.h"

#define SHARED_BYTES_MAX (48 << 10) /* without cudaFuncSetAttribute() */

typedef struct {
    EepEmulatedLaunch launch;
    gpointer arguments;
    const void **pointers;
} Kernel;

static void kernel_free(gpointer data)
{
    Kernel *kernel = data;
    g_free(kernel->arguments);
    g_free(kernel->pointers);
    g_free(kernel);
}

/* Device memory, pinned memory, or the end of one of them, as of an empty array behind others. */
static gboolean is_reachable(EepEmulatedRuntime *runtime, const void *pointer, int device)
{
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, pointer);
    if (found == NULL)
        found = eep_emulated_find(runtime, (const guint8 *)pointer - 1);
    return found != NULL && (found->device < 0 || found->device == device);
}

/* The number of the first argument that a kernel must not follow; -1: none. */
static int find_stray(const Kernel *kernel, int device)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    int stray = -1;
    g_mutex_lock(&runtime->lock);
    for (guint i = 0; stray < 0 && i < kernel->launch.n_pointers; i++)
        if (kernel->pointers[i] != NULL && !is_reachable(runtime, kernel->pointers[i], device))
            stray = (int)i;
    g_mutex_unlock(&runtime->lock);
    return stray;
}

static void run_kernel(gpointer data)
{
    const Kernel *kernel = data;
    cudaStream_t stream = eep_emulated_running_stream();
    int stray = find_stray(kernel, stream->device);
    if (stray >= 0)
        eep_emulated_fault(stream->device, cudaErrorIllegalAddress,
                           "kernel %s: argument %d, %p, is neither memory of this device nor "
                           "pinned",
                           kernel->launch.name, stray, kernel->pointers[stray]);
    else
        eep_thread_block_run(&kernel->launch, stream->device,
                             eep_emulated_switches()->seed != 0 ? &stream->random : NULL);
}

static cudaError_t check_shape(const EepEmulatedLaunch *launch)
{
    const dim3 *grid = &launch->grid, *block = &launch->block;
    guint64 n_threads = (guint64)block->x * block->y * block->z;
    if (n_threads == 0 || n_threads > 1024 || block->x > 1024 || block->y > 1024 || block->z > 64)
        return cudaErrorInvalidConfiguration;
    if (grid->x == 0 || grid->y == 0 || grid->z == 0 || grid->x > G_MAXINT || grid->y > 65535 ||
        grid->z > 65535)
        return cudaErrorInvalidConfiguration;
    return launch->shared_bytes > SHARED_BYTES_MAX ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t eep_emulated_launch(const EepEmulatedLaunch *launch)
{
    cudaError_t status = eep_emulated_enter("cudaLaunchKernel", cudaErrorLaunchFailure);
    if (status == cudaSuccess)
        status = check_shape(launch);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    int device = eep_emulated_stream_device(launch->stream);
    if (device >= 0 && device != eep_emulated_current_device()) {
        eep_emulated_report("kernel %s: its stream is of device %d, the thread is on %d",
                            launch->name, device, eep_emulated_current_device());
        return eep_emulated_leave(cudaErrorInvalidResourceHandle);
    }
    Kernel *kernel = g_new(Kernel, 1);
    kernel->launch = *launch;
    kernel->arguments = g_memdup2(launch->arguments, launch->n_bytes);
    kernel->pointers = g_memdup2(launch->pointers, launch->n_pointers * sizeof(gpointer));
    kernel->launch.arguments = kernel->arguments;
    kernel->launch.pointers = kernel->pointers;
    return eep_emulated_leave(
        eep_emulated_enqueue(launch->stream, launch->name, run_kernel, kernel, kernel_free));
}
