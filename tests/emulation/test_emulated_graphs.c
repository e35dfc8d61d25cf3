/* Graphs of the emulated runtime: what a capture records, what it forbids, what a launch repeats.
 */
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"

static void begin(cudaStream_t stream)
{
    kit_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
}

static cudaGraphExec_t finish(cudaStream_t stream)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    kit_ok(cudaStreamEndCapture(stream, &graph));
    kit_ok(cudaGraphInstantiate(&exec, graph, 0));
    kit_ok(cudaGraphDestroy(graph)); /* the instance lives on */
    return exec;
}

START_TEST(a_graph_repeats_what_was_captured)
{
    cudaStream_t stream = kit_stream(), other = kit_stream();
    gfloat *memory = kit_device(4), *pinned = kit_pinned(4), result = -1.0f;
    kit_ok(cudaMemsetAsync(memory, 0, 4, stream));
    kit_ok(kit_wait(stream));
    begin(stream);
    kit_ok(planted_add(memory, 1.0, 1, stream));
    kit_ok(planted_scale(memory, 2.0f, 1, stream));
    kit_ok(cudaMemcpyAsync(pinned, memory, 4, cudaMemcpyDeviceToHost, stream));
    cudaGraphExec_t exec = finish(stream);
    kit_download(&result, memory, 4, stream);
    ck_assert_float_eq(result, 0.0f); /* captured, not run */
    kit_ok(cudaGraphLaunch(exec, stream));
    kit_ok(cudaGraphLaunch(exec, stream));
    kit_ok(kit_wait(stream));
    ck_assert_float_eq(*pinned, 6.0f);
    kit_ok(cudaGraphLaunch(exec, other)); /* any stream */
    kit_ok(cudaGraphExecDestroy(exec));   /* in flight */
    kit_ok(kit_wait(other));
    ck_assert_float_eq(*pinned, 14.0f);
    ck_assert_int_eq(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
}
END_TEST

START_TEST(a_graph_with_nothing_in_it)
{
    cudaStream_t stream = kit_stream();
    begin(stream);
    cudaGraphExec_t exec = finish(stream);
    kit_ok(cudaGraphLaunch(exec, stream));
    kit_ok(kit_wait(stream));
    kit_ok(cudaGraphExecDestroy(exec));
}
END_TEST

START_TEST(events_inside_a_capture_stay_there)
{
    cudaStream_t stream = kit_stream(), other = kit_stream();
    cudaEvent_t event;
    gfloat *memory = kit_device(4);
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    begin(stream);
    kit_ok(cudaMemsetAsync(memory, 0, 4, stream));
    kit_ok(cudaEventRecord(event, stream));
    kit_ok(cudaStreamWaitEvent(stream, event, 0));
    ck_assert_int_eq(cudaEventQuery(event), cudaErrorCapturedEvent);
    ck_assert_int_eq(cudaStreamWaitEvent(other, event, 0), cudaErrorStreamCaptureIsolation);
    cudaGraphExec_t exec = finish(stream);
    kit_ok(cudaGraphExecDestroy(exec));
    kit_ok(cudaEventRecord(event, other)); /* a plain event again */
    kit_ok(kit_wait(other));
    kit_ok(cudaEventQuery(event));
}
END_TEST

START_TEST(waits_from_outside_break_a_capture)
{
    cudaStream_t stream = kit_stream(), other = kit_stream();
    cudaEvent_t event;
    cudaGraph_t graph;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    kit_ok(cudaEventRecord(event, other));
    begin(stream);
    ck_assert_int_eq(cudaStreamWaitEvent(stream, event, 0), cudaErrorStreamCaptureIsolation);
    ck_assert_int_eq(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    ck_assert_ptr_null(graph);
    kit_ok(kit_wait(stream)); /* an ordinary stream again */
}
END_TEST

/* Calls that a capture forbids on its thread, each to break one. */
static cudaError_t forbidden(guint which, cudaStream_t stream, cudaEvent_t event, gpointer memory)
{
    void *more = NULL;
    switch (which) {
    case 0:
        return cudaMalloc(&more, 4);
    case 1:
        return cudaFree(memory);
    case 2:
        return cudaMallocHost(&more, 4);
    case 3:
        return cudaEventQuery(event);
    case 4:
        return cudaStreamQuery(stream);
    default:
        return cudaMallocAsync(&more, 4, stream);
    }
}

START_TEST(some_calls_break_a_capture)
{
    cudaStream_t stream = kit_stream();
    cudaEvent_t event;
    cudaGraph_t graph;
    gpointer memory = kit_device(4);
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    begin(stream);
    ck_assert_int_eq(forbidden((guint)_i, stream, event, memory),
                     cudaErrorStreamCaptureUnsupported);
    ck_assert_int_eq(cudaMemsetAsync(memory, 0, 4, stream), cudaErrorStreamCaptureInvalidated);
    ck_assert_int_eq(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    kit_ok(cudaFree(memory));
}
END_TEST

typedef struct {
    gpointer memory;
    cudaError_t status;
} Elsewhere;

static gpointer malloc_elsewhere(gpointer data)
{
    Elsewhere *elsewhere = data;
    elsewhere->status = cudaMalloc(&elsewhere->memory, 4);
    return NULL;
}

static cudaError_t capture_beside_malloc(enum cudaStreamCaptureMode mode, cudaError_t *ret_end)
{
    cudaStream_t stream = kit_stream();
    cudaGraph_t graph;
    Elsewhere elsewhere = {0};
    kit_ok(cudaStreamBeginCapture(stream, mode));
    g_thread_join(g_thread_new("elsewhere", malloc_elsewhere, &elsewhere));
    *ret_end = cudaStreamEndCapture(stream, &graph);
    return elsewhere.status;
}

START_TEST(modes_say_which_threads_are_bound)
{
    cudaError_t end;
    ck_assert_int_eq(capture_beside_malloc(cudaStreamCaptureModeGlobal, &end),
                     cudaErrorStreamCaptureUnsupported);
    ck_assert_int_eq(end, cudaErrorStreamCaptureInvalidated);
    kit_ok(capture_beside_malloc(cudaStreamCaptureModeThreadLocal, &end));
    kit_ok(end);
    kit_ok(capture_beside_malloc(cudaStreamCaptureModeRelaxed, &end));
    kit_ok(end);
}
END_TEST

static gpointer end_elsewhere(gpointer stream)
{
    cudaGraph_t graph;
    return GINT_TO_POINTER((int)cudaStreamEndCapture(stream, &graph));
}

START_TEST(captures_begin_and_end_once_and_in_one_thread)
{
    cudaStream_t stream = kit_stream();
    cudaGraph_t graph;
    ck_assert_int_eq(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    begin(stream);
    ck_assert_int_eq(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed),
                     cudaErrorIllegalState);
    GThread *thread = g_thread_new("elsewhere", end_elsewhere, stream);
    ck_assert_int_eq(GPOINTER_TO_INT(g_thread_join(thread)), cudaErrorStreamCaptureWrongThread);
    cudaGraphExec_t exec = finish(stream);
    kit_ok(cudaGraphExecDestroy(exec));
    ck_assert_int_eq(cudaGraphExecDestroy(exec), cudaErrorInvalidValue);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated graphs");
    TCase *tcase = tcase_create("graphs");
    tcase_add_test(tcase, a_graph_repeats_what_was_captured);
    tcase_add_test(tcase, a_graph_with_nothing_in_it);
    tcase_add_test(tcase, events_inside_a_capture_stay_there);
    tcase_add_test(tcase, waits_from_outside_break_a_capture);
    tcase_add_loop_test(tcase, some_calls_break_a_capture, 0, 6);
    tcase_add_test(tcase, modes_say_which_threads_are_bound);
    tcase_add_test(tcase, captures_begin_and_end_once_and_in_one_thread);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
