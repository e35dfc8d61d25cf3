#include "gpu/emulation/emulated_parts.h"
#include <time.h>

static void unref(cudaEvent_t event)
{
    if (g_atomic_ref_count_dec(&event->refs))
        g_free(event);
}

static cudaError_t check_event(EepEmulatedRuntime *runtime, cudaEvent_t event)
{
    return g_hash_table_contains(runtime->events, event) ? cudaSuccess
                                                         : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaEventCreateWithFlags", cudaErrorMemoryAllocation);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    cudaEvent_t made = g_new0(struct CUevent_st, 1);
    g_atomic_ref_count_init(&made->refs);
    made->flags = flags;
    made->device = eep_emulated_current_device();
    g_mutex_lock(&runtime->lock);
    g_hash_table_add(runtime->events, made);
    g_mutex_unlock(&runtime->lock);
    *event = made;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaEventDestroy", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    if (!g_hash_table_remove(runtime->events, event))
        status = cudaErrorInvalidResourceHandle;
    g_mutex_unlock(&runtime->lock);
    if (status == cudaSuccess)
        unref(event);
    return eep_emulated_leave(status);
}

/* A version of an event: one record of it. */
typedef struct {
    cudaEvent_t event;
    guint64 version;
} Version;

static Version *version_new(cudaEvent_t event)
{
    Version *version = g_new(Version, 1);
    *version = (Version){event, event->n_recorded};
    g_atomic_ref_count_inc(&event->refs);
    return version;
}

static void version_free(gpointer data)
{
    Version *version = data;
    unref(version->event);
    g_free(version);
}

static void run_record(gpointer data)
{
    const Version *version = data;
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    g_mutex_lock(&runtime->lock);
    if (version->event->n_done < version->version) {
        version->event->n_done = version->version;
        version->event->done_ns = now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
    }
    g_cond_broadcast(&runtime->changed);
    g_mutex_unlock(&runtime->lock);
}

static void run_wait(gpointer data)
{
    const Version *version = data;
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    int device = eep_emulated_running_stream()->device;
    g_mutex_lock(&runtime->lock);
    while (version->event->n_done < version->version &&
           runtime->devices[device].error == cudaSuccess)
        g_cond_wait(&runtime->changed, &runtime->lock);
    g_mutex_unlock(&runtime->lock);
}

static cudaError_t record(EepEmulatedRuntime *runtime, cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t status = check_event(runtime, event);
    if (status == cudaSuccess)
        status = eep_emulated_check_stream(runtime, stream, "cudaEventRecord");
    if (status != cudaSuccess)
        return status;
    event->captured = stream->graph;
    event->device = stream->device;
    if (stream->graph != NULL)
        return cudaSuccess;
    event->n_recorded++;
    eep_emulated_append(runtime, stream,
                        eep_emulated_operation_new("cudaEventRecord", run_record,
                                                   version_new(event), version_free));
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaEventRecord", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = record(runtime, event, stream);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

/* A wait that would cross into a capture, or fork it, breaks it. */
static cudaError_t wait_in_capture(cudaStream_t stream, cudaEvent_t event)
{
    if (event->captured != NULL && event->captured == stream->graph)
        return cudaSuccess; /* the capture is one line: it waits already */
    eep_emulated_report("cudaStreamWaitEvent: crosses the border of a capture; forks of a capture "
                        "are not emulated");
    stream->is_broken = stream->graph != NULL;
    return cudaErrorStreamCaptureIsolation;
}

static cudaError_t wait_event(EepEmulatedRuntime *runtime, cudaStream_t stream, cudaEvent_t event)
{
    cudaError_t status = check_event(runtime, event);
    if (status == cudaSuccess)
        status = eep_emulated_check_stream(runtime, stream, "cudaStreamWaitEvent");
    if (status != cudaSuccess)
        return status;
    if (stream->graph != NULL || event->captured != NULL)
        return wait_in_capture(stream, event);
    if (event->n_done < event->n_recorded)
        eep_emulated_append(runtime, stream,
                            eep_emulated_operation_new("cudaStreamWaitEvent", run_wait,
                                                       version_new(event), version_free));
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamWaitEvent", cudaErrorUnknown);
    if (status == cudaSuccess && flags != 0)
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = wait_event(runtime, stream, event);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

static cudaError_t query(EepEmulatedRuntime *runtime, cudaEvent_t event)
{
    cudaError_t status = check_event(runtime, event);
    if (status != cudaSuccess)
        return status;
    if (event->captured != NULL)
        return cudaErrorCapturedEvent;
    status = eep_emulated_check_unsafe(runtime, "cudaEventQuery");
    if (status == cudaSuccess)
        status = runtime->devices[event->device].error;
    if (status != cudaSuccess)
        return status;
    return event->n_done < event->n_recorded ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaEventQuery", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = query(runtime, event);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

static cudaError_t elapsed(EepEmulatedRuntime *runtime, cudaEvent_t start, cudaEvent_t end,
                           float *ret_ms)
{
    cudaEvent_t events[] = {start, end};
    for (guint i = 0; i < G_N_ELEMENTS(events); i++) {
        cudaError_t status = query(runtime, events[i]);
        if (status != cudaSuccess)
            return status;
        if (events[i]->n_recorded == 0 || (events[i]->flags & cudaEventDisableTiming) != 0)
            return cudaErrorInvalidResourceHandle;
    }
    *ret_ms = (float)((double)(end->done_ns - start->done_ns) * 1e-6);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaEventElapsedTime", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = elapsed(runtime, start, end, ms);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}
