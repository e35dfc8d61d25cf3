#include "gpu/emulation/emulated_memory.h"
#include <string.h>

/* A copy, or a fill if there is no `from`. */
typedef struct {
    guint8 *to;
    const guint8 *from;
    gsize n_bytes;
    int value;
    gpointer staged;             /* `from` is this copy of it, made at the call */
    gboolean owns_from, owns_to; /* they were in an allocation at the call */
} Copy;

static void copy_free(gpointer data)
{
    Copy *copy = data;
    g_free(copy->staged);
    g_free(copy);
}

static gboolean is_there(EepEmulatedRuntime *runtime, const void *start, gsize n_bytes)
{
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, start);
    return found != NULL && eep_emulated_holds(found, start, n_bytes);
}

static void run_copy(gpointer data)
{
    const Copy *copy = data;
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    pthread_mutex_lock(&runtime->lock);
    gboolean has_from = !copy->owns_from || is_there(runtime, copy->from, copy->n_bytes);
    gboolean has_to = !copy->owns_to || is_there(runtime, copy->to, copy->n_bytes);
    pthread_mutex_unlock(&runtime->lock);
    if (!has_from || !has_to)
        eep_emulated_fault(eep_emulated_running_stream()->device, cudaErrorIllegalAddress,
                           "the %s of a copy was freed before the stream came to it",
                           has_from ? "destination" : "source");
    else if (copy->from == NULL)
        memset(copy->to, copy->value, copy->n_bytes);
    else
        memmove(copy->to, copy->from, copy->n_bytes);
}

typedef enum {
    PAGEABLE,
    PINNED,
    DEVICE,
    OUTSIDE, /* begins in an allocation and runs over its end */
} Kind;

static Kind kind_of(EepEmulatedRuntime *runtime, const void *start, gsize n_bytes)
{
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, start);
    if (found == NULL)
        return PAGEABLE;
    if (!eep_emulated_holds(found, start, n_bytes))
        return OUTSIDE;
    return found->device < 0 ? PINNED : DEVICE;
}

/* Which ends of each direction are the device's: strict, a real runtime overlooks some mistakes. */
static const struct {
    gboolean from_device, to_device;
} directions[] = {
    [cudaMemcpyHostToHost] = {FALSE, FALSE},
    [cudaMemcpyHostToDevice] = {FALSE, TRUE},
    [cudaMemcpyDeviceToHost] = {TRUE, FALSE},
    [cudaMemcpyDeviceToDevice] = {TRUE, TRUE},
};

static cudaError_t check_kinds(Kind from, Kind to, enum cudaMemcpyKind kind)
{
    if (from == OUTSIDE || to == OUTSIDE) {
        eep_emulated_report("cudaMemcpyAsync: the %s runs over the end of its allocation",
                            from == OUTSIDE ? "source" : "destination");
        return cudaErrorInvalidValue;
    }
    if (kind == cudaMemcpyDefault)
        return cudaSuccess;
    if ((guint)kind >= G_N_ELEMENTS(directions))
        return cudaErrorInvalidMemcpyDirection;
    if ((from == DEVICE) == directions[kind].from_device &&
        (to == DEVICE) == directions[kind].to_device)
        return cudaSuccess;
    eep_emulated_report("cudaMemcpyAsync: the pointers do not fit the direction %d", (int)kind);
    return cudaErrorInvalidValue;
}

/* Pageable memory: a source is read before the call returns, a destination is written before. In a
 * capture both are left to the launch. With the lock held. */
static cudaError_t give_copy(EepEmulatedRuntime *runtime, Copy *copy, enum cudaMemcpyKind kind,
                             cudaStream_t stream)
{
    Kind from = kind_of(runtime, copy->from, copy->n_bytes);
    Kind to = kind_of(runtime, copy->to, copy->n_bytes);
    cudaError_t status = check_kinds(from, to, kind);
    if (status == cudaSuccess)
        status = eep_emulated_check_stream(runtime, stream, "cudaMemcpyAsync");
    if (status == cudaSuccess && to == PAGEABLE && stream->n_done < stream->n_until_peers) {
        eep_emulated_report("cudaMemcpyAsync: a download to pageable memory returns when it is "
                            "done, and waits here without a deadline for an operation of NCCL");
        status = cudaErrorInvalidValue;
    }
    if (status != cudaSuccess) {
        copy_free(copy);
        return status;
    }
    copy->owns_from = from != PAGEABLE;
    copy->owns_to = to != PAGEABLE;
    gboolean is_captured = stream->graph != NULL;
    if (from == PAGEABLE && !is_captured)
        copy->from = copy->staged = g_memdup2(copy->from, copy->n_bytes);
    eep_emulated_append(runtime, stream,
                        eep_emulated_operation_new("cudaMemcpyAsync", run_copy, copy, copy_free));
    if (to == PAGEABLE && !is_captured)
        eep_emulated_await(runtime, stream, stream->n_given);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaMemcpyAsync", cudaErrorUnknown);
    if (status != cudaSuccess || count == 0)
        return eep_emulated_leave(status);
    Copy *copy = g_new(Copy, 1);
    *copy = (Copy){.to = dst, .from = src, .n_bytes = count};
    pthread_mutex_lock(&runtime->lock);
    status = give_copy(runtime, copy, kind, stream);
    if (status == cudaSuccess)
        status = runtime->devices[stream->device].error;
    pthread_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaMemsetAsync", cudaErrorUnknown);
    if (status != cudaSuccess || count == 0)
        return eep_emulated_leave(status);
    pthread_mutex_lock(&runtime->lock);
    if (kind_of(runtime, devPtr, count) != DEVICE) {
        eep_emulated_report("cudaMemsetAsync: not, or not wholly, inside an allocation");
        status = cudaErrorInvalidValue;
    }
    pthread_mutex_unlock(&runtime->lock);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    Copy *copy = g_new(Copy, 1);
    *copy = (Copy){.to = devPtr, .n_bytes = count, .value = value, .owns_to = TRUE};
    return eep_emulated_leave(
        eep_emulated_enqueue(stream, "cudaMemsetAsync", run_copy, copy, copy_free));
}
