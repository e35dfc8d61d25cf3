#include "gpu/emulation/emulated_parts.h"

/* An instantiated graph; launches in flight hold it too. */
struct CUgraphExec_st {
    gatomicrefcount refs;
    GPtrArray *operations;
};

static void exec_unref(gpointer data)
{
    cudaGraphExec_t exec = data;
    if (!g_atomic_ref_count_dec(&exec->refs))
        return;
    g_ptr_array_unref(exec->operations);
    g_free(exec);
}

/* -- capture -- */

cudaError_t eep_emulated_check_unsafe(EepEmulatedRuntime *runtime, const char *call)
{
    cudaError_t status = cudaSuccess;
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, runtime->streams);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        cudaStream_t stream = key;
        if (stream->graph == NULL || stream->mode == cudaStreamCaptureModeRelaxed ||
            (stream->mode == cudaStreamCaptureModeThreadLocal &&
             stream->capturer != g_thread_self()))
            continue;
        eep_emulated_report("%s: not allowed while a stream is captured in %s mode", call,
                            stream->mode == cudaStreamCaptureModeGlobal ? "global"
                                                                        : "this thread's");
        stream->is_broken = TRUE;
        status = cudaErrorStreamCaptureUnsupported;
    }
    return status;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamBeginCapture", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = eep_emulated_check_stream(runtime, stream, "cudaStreamBeginCapture");
    if (status == cudaSuccess && stream->graph != NULL)
        status = cudaErrorIllegalState;
    if (status == cudaSuccess) {
        stream->graph = g_new0(struct CUgraph_st, 1);
        stream->graph->operations = g_ptr_array_new_with_free_func(eep_emulated_operation_unref);
        stream->mode = mode;
        stream->capturer = g_thread_self();
        stream->is_broken = FALSE;
    }
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

static void graph_free(cudaGraph_t graph)
{
    g_ptr_array_unref(graph->operations);
    g_free(graph);
}

static cudaError_t end_capture(EepEmulatedRuntime *runtime, cudaStream_t stream,
                               cudaGraph_t *ret_graph)
{
    *ret_graph = NULL;
    if (!g_hash_table_contains(runtime->streams, stream))
        return cudaErrorInvalidResourceHandle;
    if (stream->graph == NULL)
        return cudaErrorIllegalState;
    if (stream->mode != cudaStreamCaptureModeRelaxed && stream->capturer != g_thread_self())
        return cudaErrorStreamCaptureWrongThread;
    cudaGraph_t graph = stream->graph;
    stream->graph = NULL;
    if (stream->is_broken) {
        graph_free(graph);
        return cudaErrorStreamCaptureInvalidated;
    }
    g_hash_table_add(runtime->graphs, graph);
    *ret_graph = graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaStreamEndCapture", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = end_capture(runtime, stream, graph);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaGraphDestroy", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    gboolean is_one = g_hash_table_remove(runtime->graphs, graph);
    g_mutex_unlock(&runtime->lock);
    if (!is_one)
        return eep_emulated_leave(cudaErrorInvalidValue);
    graph_free(graph);
    return cudaSuccess;
}

/* -- launch -- */

static gpointer hold_operation(gconstpointer source, gpointer unused)
{
    EepEmulatedOperation *operation = (EepEmulatedOperation *)source;
    g_atomic_ref_count_inc(&operation->refs);
    return operation;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *graphExec, cudaGraph_t graph,
                                 unsigned long long flags)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaGraphInstantiate", cudaErrorMemoryAllocation);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    if (flags != 0 || !g_hash_table_contains(runtime->graphs, graph)) {
        status = cudaErrorInvalidValue;
    } else {
        cudaGraphExec_t exec = g_new(struct CUgraphExec_st, 1);
        g_atomic_ref_count_init(&exec->refs);
        exec->operations = g_ptr_array_copy(graph->operations, hold_operation, NULL);
        g_hash_table_add(runtime->execs, exec);
        *graphExec = exec;
    }
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

static void run_graph(gpointer data)
{
    cudaGraphExec_t exec = data;
    cudaStream_t stream = eep_emulated_running_stream();
    for (guint i = 0; i < exec->operations->len; i++)
        eep_emulated_operation_run(exec->operations->pdata[i], stream);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaGraphLaunch", cudaErrorLaunchFailure);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    status = eep_emulated_check_stream(runtime, stream, "cudaGraphLaunch");
    if (status == cudaSuccess && !g_hash_table_contains(runtime->execs, graphExec))
        status = cudaErrorInvalidValue;
    if (status == cudaSuccess) {
        g_atomic_ref_count_inc(&graphExec->refs);
        eep_emulated_append(
            runtime, stream,
            eep_emulated_operation_new("cudaGraphLaunch", run_graph, graphExec, exec_unref));
    }
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaGraphExecDestroy", cudaSuccess);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    gboolean is_one = g_hash_table_remove(runtime->execs, graphExec);
    g_mutex_unlock(&runtime->lock);
    if (!is_one)
        return eep_emulated_leave(cudaErrorInvalidValue);
    exec_unref(graphExec);
    return cudaSuccess;
}
