/* Streams, events and copies of the emulated runtime: what is ordered, and what is not. */
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"

START_TEST(one_stream_keeps_its_order)
{
    cudaStream_t stream = kit_stream();
    gfloat values[300], expected = 1.0f;
    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        values[i] = 1.0f;
    gfloat *memory = kit_upload(values, sizeof(values), stream);
    for (guint turn = 0; turn < 50; turn++) {
        kit_ok(planted_add(memory, turn % 3, 300, stream));
        kit_ok(planted_scale(memory, turn % 2 != 0 ? 0.5f : 1.25f, 300, stream));
        expected = (expected + (gfloat)(turn % 3)) * (turn % 2 != 0 ? 0.5f : 1.25f);
    }
    kit_download(values, memory, sizeof(values), stream);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        ck_assert_float_eq(values[i], expected);
    kit_ok(cudaStreamDestroy(stream));
}
END_TEST

START_TEST(streams_do_not_wait_for_each_other)
{
    cudaStream_t closed = kit_stream(), open = kit_stream();
    gint is_open = 0;
    kit_gate(closed, &is_open);
    gfloat *memory = kit_device(4);
    kit_ok(cudaMemsetAsync(memory, 0, 4, open));
    kit_ok(kit_wait(open));
    ck_assert_int_eq(cudaStreamQuery(closed), cudaErrorNotReady);
    g_atomic_int_set(&is_open, 1);
    kit_ok(kit_wait(closed));
}
END_TEST

START_TEST(an_event_orders_two_streams)
{
    cudaStream_t first = kit_stream(), second = kit_stream();
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    kit_ok(cudaEventQuery(event)); /* never recorded: done */
    gfloat *memory = kit_device(sizeof(gfloat)), result = 0.0f;
    gint is_open = 0;
    kit_gate(first, &is_open);
    kit_ok(cudaMemsetAsync(memory, 0, sizeof(gfloat), first));
    kit_ok(planted_add(memory, 3.0, 1, first));
    kit_ok(cudaEventRecord(event, first));
    kit_ok(cudaStreamWaitEvent(second, event, 0));
    kit_ok(planted_scale(memory, 5.0f, 1, second));
    ck_assert_int_eq(cudaEventQuery(event), cudaErrorNotReady);
    g_usleep(20000);
    ck_assert_int_eq(cudaStreamQuery(second), cudaErrorNotReady);
    g_atomic_int_set(&is_open, 1);
    kit_download(&result, memory, sizeof(result), second);
    ck_assert_float_eq(result, 15.0f);
    kit_ok(cudaEventQuery(event));
    kit_ok(cudaEventDestroy(event));
}
END_TEST

START_TEST(a_wait_is_for_the_record_before_it)
{
    cudaStream_t first = kit_stream(), second = kit_stream();
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    gint is_open = 0;
    kit_ok(cudaEventRecord(event, first));
    kit_ok(cudaStreamWaitEvent(second, event, 0));
    kit_gate(first, &is_open);
    kit_ok(cudaEventRecord(event, first)); /* a second time, behind the gate */
    kit_ok(kit_wait(second));
    ck_assert_int_eq(cudaEventQuery(event), cudaErrorNotReady);
    kit_ok(cudaEventDestroy(event)); /* the record in flight keeps it */
    g_atomic_int_set(&is_open, 1);
    kit_ok(kit_wait(first));
    ck_assert_int_eq(cudaEventRecord(event, first), cudaErrorInvalidResourceHandle);
}
END_TEST

START_TEST(events_tell_time)
{
    cudaStream_t stream = kit_stream();
    cudaEvent_t start, end, silent;
    kit_ok(cudaEventCreateWithFlags(&start, cudaEventDefault));
    kit_ok(cudaEventCreateWithFlags(&end, cudaEventDefault));
    kit_ok(cudaEventCreateWithFlags(&silent, cudaEventDisableTiming));
    gint is_open = 0;
    float ms = -1.0f;
    kit_ok(cudaEventRecord(start, stream));
    kit_gate(stream, &is_open);
    kit_ok(cudaEventRecord(end, stream));
    kit_ok(cudaEventRecord(silent, stream));
    ck_assert_int_eq(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    while (cudaEventQuery(start) == cudaErrorNotReady)
        g_usleep(100); /* the stream's thread may be late on a busy machine */
    g_usleep(30000);
    g_atomic_int_set(&is_open, 1);
    kit_ok(kit_wait(stream));
    kit_ok(cudaEventElapsedTime(&ms, start, end));
    ck_assert_float_ge(ms, 29.0f);
    ck_assert_float_lt(ms, 20000.0f);
    ck_assert_int_eq(cudaEventElapsedTime(&ms, start, silent), cudaErrorInvalidResourceHandle);
}
END_TEST

START_TEST(pinned_memory_is_read_late)
{
    cudaStream_t stream = kit_stream();
    guint32 *pinned = kit_pinned(4), *memory = kit_device(4), pageable = 1, result = 0;
    gint is_open = 0;
    *pinned = 1;
    kit_gate(stream, &is_open);
    kit_ok(cudaMemcpyAsync(memory, pinned, 4, cudaMemcpyHostToDevice, stream));
    *pinned = 2; /* too early: the copy has not begun */
    g_atomic_int_set(&is_open, 1);
    kit_download(&result, memory, 4, stream);
    ck_assert_uint_eq(result, 2);

    g_atomic_int_set(&is_open, 0);
    kit_gate(stream, &is_open);
    kit_ok(cudaMemcpyAsync(memory, &pageable, 4, cudaMemcpyHostToDevice, stream));
    pageable = 9; /* it was staged */
    g_atomic_int_set(&is_open, 1);
    kit_download(&result, memory, 4, stream);
    ck_assert_uint_eq(result, 1);
    kit_ok(cudaFreeHost(pinned));
}
END_TEST

static gpointer open_soon(gpointer is_open)
{
    g_usleep(30000);
    g_atomic_int_set((gint *)is_open, 1);
    return NULL;
}

START_TEST(downloads_to_pinned_memory_are_late_others_block)
{
    cudaStream_t stream = kit_stream();
    guint32 value = 7, pageable = 0, *memory = kit_upload(&value, 4, stream);
    guint32 *pinned = kit_pinned(4);
    *pinned = 0;
    gint is_open = 0;
    kit_gate(stream, &is_open);
    kit_ok(cudaMemcpyAsync(pinned, memory, 4, cudaMemcpyDeviceToHost, stream));
    ck_assert_uint_eq(*pinned, 0);
    GThread *opener = g_thread_new("opener", open_soon, &is_open);
    kit_download(&pageable, memory, 4, stream);
    ck_assert_int_eq(g_atomic_int_get(&is_open), 1);
    ck_assert_uint_eq(pageable, 7);
    ck_assert_uint_eq(*pinned, 7);
    g_thread_join(opener);
}
END_TEST

START_TEST(directions_must_fit)
{
    cudaStream_t stream = kit_stream();
    guint32 host = 1, *memory = kit_device(8);
    ck_assert_int_eq(cudaMemcpyAsync(memory, &host, 4, cudaMemcpyDeviceToHost, stream),
                     cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpyAsync(&host, memory, 4, cudaMemcpyDeviceToDevice, stream),
                     cudaErrorInvalidValue);
    kit_ok(cudaMemcpyAsync(memory, &host, 4, cudaMemcpyDefault, stream));
    ck_assert_int_eq(cudaMemcpyAsync(memory, &host, 4, (enum cudaMemcpyKind)9, stream),
                     cudaErrorInvalidMemcpyDirection);
    kit_ok(kit_wait(stream)); /* none of it was sticky */
}
END_TEST

START_TEST(the_default_stream_is_refused)
{
    cudaStream_t const defaults[] = {NULL, cudaStreamLegacy, cudaStreamPerThread};
    gfloat *memory = kit_device(4);
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    kit_catch_reports();
    for (guint i = 0; i < G_N_ELEMENTS(defaults); i++) {
        ck_assert_int_eq(cudaMemsetAsync(memory, 0, 4, defaults[i]),
                         cudaErrorInvalidResourceHandle);
        ck_assert_int_eq(planted_add(memory, 1.0, 1, defaults[i]), cudaErrorInvalidResourceHandle);
        ck_assert_int_eq(cudaStreamQuery(defaults[i]), cudaErrorInvalidResourceHandle);
        ck_assert_int_eq(cudaEventRecord(event, defaults[i]), cudaErrorInvalidResourceHandle);
    }
    ck_assert(kit_reported("cudaMemsetAsync: the default stream is refused"));
    ck_assert(kit_reported("eep_k_add: the default stream is refused"));
}
END_TEST

START_TEST(a_destroyed_stream_ends_its_work)
{
    cudaStream_t stream = kit_stream(), other = kit_stream();
    gint is_open = 0;
    gfloat *memory = kit_device(4), result = 1.0f;
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    kit_gate(stream, &is_open);
    kit_ok(cudaMemsetAsync(memory, 0, 4, stream));
    kit_ok(cudaEventRecord(event, stream));
    kit_ok(cudaStreamWaitEvent(other, event, 0));
    kit_ok(cudaStreamDestroy(stream)); /* returns at once */
    ck_assert_int_eq(cudaMemsetAsync(memory, 0, 4, stream), cudaErrorInvalidResourceHandle);
    g_atomic_int_set(&is_open, 1);
    kit_download(&result, memory, 4, other);
    ck_assert_float_eq(result, 0.0f);
}
END_TEST

START_TEST(last_errors_are_remembered_once)
{
    cudaStream_t stream = kit_stream();
    gint is_open = 0;
    kit_ok(cudaGetLastError());
    ck_assert_int_eq(cudaSetDevice(99), cudaErrorInvalidDevice);
    ck_assert_int_eq(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidDevice);
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
    kit_gate(stream, &is_open);
    ck_assert_int_eq(cudaStreamQuery(stream), cudaErrorNotReady);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorNotReady);
    g_atomic_int_set(&is_open, 1);
    kit_ok(kit_wait(stream));
    ck_assert_str_eq(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
    ck_assert_str_eq(cudaGetErrorName((cudaError_t)12345), "unrecognized error code");
}
END_TEST

START_TEST(devices_say_what_they_are)
{
    int n = -1, value = 0;
    char bus_id[16], other[16];
    struct cudaDeviceProp properties;
    kit_ok(cudaGetDeviceCount(&n));
    ck_assert_int_eq(n, 8);
    kit_ok(cudaGetDeviceProperties(&properties, 3));
    ck_assert_ptr_nonnull(strstr(properties.name, "emulated"));
    ck_assert_int_eq(properties.major, 9);
    kit_ok(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 3));
    ck_assert_int_eq(value, 9);
    kit_ok(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), 3));
    kit_ok(cudaDeviceGetPCIBusId(other, sizeof(other), 4));
    ck_assert_str_ne(bus_id, other);
    ck_assert_int_eq(cudaDeviceGetPCIBusId(bus_id, 5, 3), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaGetDeviceProperties(&properties, 8), cudaErrorInvalidDevice);
    kit_ok(cudaSetDevice(7));
    kit_ok(cudaGetDevice(&value));
    ck_assert_int_eq(value, 7);
}
END_TEST

static gpointer hammer(gpointer data)
{
    cudaStream_t stream = kit_stream();
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    for (guint turn = 0; turn < 200; turn++) {
        guint32 value = turn, back = 0, *memory = NULL;
        kit_ok(cudaMallocAsync((void **)&memory, 64 + turn, stream));
        kit_ok(cudaMemcpyAsync(memory, &value, 4, cudaMemcpyHostToDevice, stream));
        kit_ok(cudaEventRecord(event, stream));
        kit_ok(cudaMemcpyAsync(&back, memory, 4, cudaMemcpyDeviceToHost, stream));
        ck_assert_uint_eq(back, turn);
        kit_ok(cudaEventQuery(event));
        kit_ok(cudaFreeAsync(memory, stream));
    }
    kit_ok(cudaEventDestroy(event));
    kit_ok(cudaStreamDestroy(stream));
    return NULL;
}

START_TEST(threads_do_not_disturb_each_other)
{
    GThread *threads[4];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("hammer", hammer, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated streams");
    TCase *tcase = tcase_create("streams");
    tcase_add_test(tcase, one_stream_keeps_its_order);
    tcase_add_test(tcase, streams_do_not_wait_for_each_other);
    tcase_add_test(tcase, an_event_orders_two_streams);
    tcase_add_test(tcase, a_wait_is_for_the_record_before_it);
    tcase_add_test(tcase, events_tell_time);
    tcase_add_test(tcase, pinned_memory_is_read_late);
    tcase_add_test(tcase, downloads_to_pinned_memory_are_late_others_block);
    tcase_add_test(tcase, directions_must_fit);
    tcase_add_test(tcase, the_default_stream_is_refused);
    tcase_add_test(tcase, a_destroyed_stream_ends_its_work);
    tcase_add_test(tcase, last_errors_are_remembered_once);
    tcase_add_test(tcase, devices_say_what_they_are);
    tcase_add_test(tcase, threads_do_not_disturb_each_other);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
