#include "gpu/emulation/emulated_parts.h"
#include "gpu/emulation/emulated_switches.h"

static __thread cudaStream_t running_stream;

cudaStream_t eep_emulated_running_stream(void)
{
    return running_stream;
}

/* -- operations -- */

EepEmulatedOperation *eep_emulated_operation_new(const char *name, void (*run)(gpointer data),
                                                 gpointer data, GDestroyNotify data_free)
{
    EepEmulatedOperation *operation = g_new(EepEmulatedOperation, 1);
    *operation = (EepEmulatedOperation){
        .name = name,
        .run = run,
        .data = data,
        .data_free = data_free,
    };
    g_atomic_int_set(&operation->refs, 1);
    return operation;
}

void eep_emulated_operation_unref(gpointer data)
{
    EepEmulatedOperation *operation = data;
    if (!g_atomic_int_dec_and_test(&operation->refs))
        return;
    if (operation->data_free != NULL)
        operation->data_free(operation->data);
    g_free(operation);
}

/* Is it the operation that a switch names? Counts with the lock held. */
static gboolean trips(const EepEmulatedTrip *trip, guint64 *counter, int device)
{
    return trip->at != 0 && (trip->device < 0 || trip->device == device) && ++*counter == trip->at;
}

static void hang(EepEmulatedRuntime *runtime, int device)
{
    pthread_mutex_lock(&runtime->lock);
    while (runtime->devices[device].error == cudaSuccess)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

void eep_emulated_operation_run(EepEmulatedOperation *operation, cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    const EepEmulatedSwitches *switches = eep_emulated_switches();
    int device = stream->device;
    pthread_mutex_lock(&runtime->lock);
    gboolean is_dead = runtime->devices[device].error != cudaSuccess;
    gboolean dies = !is_dead && trips(&switches->die, &runtime->n_to_die, device);
    gboolean hangs = !is_dead && trips(&switches->hang, &runtime->n_to_hang, device);
    pthread_mutex_unlock(&runtime->lock);
    if (is_dead)
        return;
    if (dies) {
        cudaError_t status =
            switches->die.status != 0 ? (cudaError_t)switches->die.status : cudaErrorLaunchFailure;
        eep_emulated_fault(device, status,
                           "EEP_EMULATED_DIE: dies at operation %" G_GUINT64_FORMAT ", %s",
                           switches->die.at, operation->name);
        return;
    }
    if (hangs) {
        eep_emulated_report("EEP_EMULATED_HANG: operation %" G_GUINT64_FORMAT ", %s, never ends",
                            switches->hang.at, operation->name);
        hang(runtime, device);
        return;
    }
    guint pause = switches->latency_us;
    if (pause > 0 && switches->seed != 0)
        pause = (guint)(eep_emulated_random(&stream->random) % (pause + 1));
    if (pause > 0)
        g_usleep(pause);
    operation->run(operation->data);
}

/* -- streams -- */

static gpointer stream_main(gpointer data)
{
    cudaStream_t stream = data;
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    running_stream = stream;
    pthread_mutex_lock(&runtime->lock);
    for (;;) {
        EepEmulatedOperation *operation = g_queue_pop_head(&stream->queue);
        if (operation == NULL && stream->is_closing)
            break;
        if (operation == NULL) {
            pthread_cond_wait(&stream->work, &runtime->lock);
            continue;
        }
        pthread_mutex_unlock(&runtime->lock);
        eep_emulated_operation_run(operation, stream);
        eep_emulated_operation_unref(operation);
        pthread_mutex_lock(&runtime->lock);
        stream->n_done++;
        pthread_cond_broadcast(&runtime->changed);
    }
    g_hash_table_remove(runtime->streams, stream);
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    pthread_cond_destroy(&stream->work);
    g_free(stream);
    return NULL;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamCreate", cudaErrorMemoryAllocation);
    if (status == cudaSuccess && (flags & ~(unsigned int)cudaStreamNonBlocking) != 0)
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    cudaStream_t made = g_new0(struct CUstream_st, 1);
    made->device = eep_emulated_current_device();
    g_queue_init(&made->queue);
    pthread_cond_init(&made->work, NULL);
    pthread_mutex_lock(&runtime->lock);
    made->number = runtime->n_streams_ever++;
    made->random = eep_emulated_switches()->seed + made->number;
    g_hash_table_add(runtime->streams, made);
    pthread_mutex_unlock(&runtime->lock);
    g_thread_unref(g_thread_new("gpu-stream", stream_main, made));
    *stream = made;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t eep_emulated_check_stream(EepEmulatedRuntime *runtime, cudaStream_t stream,
                                      const char *call)
{
    if (stream == NULL || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
        eep_emulated_report("%s: the default stream is refused, name one", call);
        return cudaErrorInvalidResourceHandle;
    }
    if (!g_hash_table_contains(runtime->streams, stream) || stream->is_closing) {
        eep_emulated_report("%s: %p is no stream, or was destroyed", call, (gpointer)stream);
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->graph != NULL && stream->is_broken)
        return cudaErrorStreamCaptureInvalidated;
    return runtime->devices[stream->device].error;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamDestroy", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    pthread_mutex_lock(&runtime->lock);
    status = eep_emulated_check_stream(runtime, stream, "cudaStreamDestroy");
    if (status == cudaSuccess && stream->graph != NULL)
        status = cudaErrorStreamCaptureUnsupported;
    if (status == cudaSuccess) {
        stream->is_closing = TRUE;
        pthread_cond_signal(&stream->work);
    }
    pthread_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamQuery", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    pthread_mutex_lock(&runtime->lock);
    status = eep_emulated_check_stream(runtime, stream, "cudaStreamQuery");
    if (status == cudaSuccess && stream->graph != NULL) {
        stream->is_broken = TRUE;
        status = cudaErrorStreamCaptureUnsupported;
    }
    if (status == cudaSuccess && stream->n_done < stream->n_given)
        status = cudaErrorNotReady;
    pthread_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

void eep_emulated_append(EepEmulatedRuntime *runtime, cudaStream_t stream,
                         EepEmulatedOperation *operation)
{
    if (stream->graph != NULL) {
        g_ptr_array_add(stream->graph->operations, operation);
        return;
    }
    g_queue_push_tail(&stream->queue, operation);
    stream->n_given++;
    pthread_cond_signal(&stream->work);
}

cudaError_t eep_emulated_enqueue(cudaStream_t stream, const char *name, void (*run)(gpointer data),
                                 gpointer data, GDestroyNotify data_free)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    EepEmulatedOperation *operation = eep_emulated_operation_new(name, run, data, data_free);
    pthread_mutex_lock(&runtime->lock);
    cudaError_t status = eep_emulated_check_stream(runtime, stream, name);
    if (status == cudaSuccess)
        eep_emulated_append(runtime, stream, operation);
    pthread_mutex_unlock(&runtime->lock);
    if (status != cudaSuccess)
        eep_emulated_operation_unref(operation);
    return status;
}

void eep_emulated_waits_for_peers(cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    pthread_mutex_lock(&runtime->lock);
    if (g_hash_table_contains(runtime->streams, stream))
        stream->n_until_peers = stream->n_given;
    pthread_mutex_unlock(&runtime->lock);
}

int eep_emulated_stream_device(cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    pthread_mutex_lock(&runtime->lock);
    int device = g_hash_table_contains(runtime->streams, stream) ? stream->device : -1;
    pthread_mutex_unlock(&runtime->lock);
    return device;
}

gboolean eep_emulated_is_capturing(cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    pthread_mutex_lock(&runtime->lock);
    gboolean is_capturing =
        g_hash_table_contains(runtime->streams, stream) && stream->graph != NULL;
    pthread_mutex_unlock(&runtime->lock);
    return is_capturing;
}

void eep_emulated_await(EepEmulatedRuntime *runtime, cudaStream_t stream, guint64 n)
{
    guint number = stream->number; /* another may come to lie at its address */
    while (g_hash_table_contains(runtime->streams, stream) && stream->number == number &&
           stream->n_done < n)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
}

void eep_emulated_drain(EepEmulatedRuntime *runtime, int device)
{
    g_autoptr(GList) streams = g_hash_table_get_keys(runtime->streams);
    guint n = g_list_length(streams), i = 0;
    g_autofree guint64 *n_given = g_new(guint64, n);
    for (GList *at = streams; at != NULL; at = at->next)
        n_given[i++] = ((cudaStream_t)at->data)->n_given;
    i = 0;
    for (GList *at = streams; at != NULL; at = at->next, i++)
        if (g_hash_table_contains(runtime->streams, at->data) &&
            ((cudaStream_t)at->data)->device == device)
            eep_emulated_await(runtime, at->data, n_given[i]);
}
