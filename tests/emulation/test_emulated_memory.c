/* Device memory of the emulated runtime: how much there is, where it ends, and who may touch it. */
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"

START_TEST(there_is_so_much_and_no_more)
{
    g_setenv("EEP_EMULATED_MEMORY", "1M", TRUE);
    size_t n_free = 0, n_total = 0;
    void *big = NULL, *half = NULL;
    kit_ok(cudaMemGetInfo(&n_free, &n_total));
    ck_assert_uint_eq(n_total, 1 << 20);
    ck_assert_uint_eq(n_free, 1 << 20);
    ck_assert_int_eq(cudaMalloc(&big, (1 << 20) + 1), cudaErrorMemoryAllocation);
    ck_assert_int_eq(cudaMalloc(&big, G_MAXSIZE), cudaErrorMemoryAllocation);
    ck_assert_ptr_null(big);
    kit_ok(cudaMalloc(&half, 600 << 10));
    kit_ok(cudaMemGetInfo(&n_free, &n_total));
    ck_assert_uint_eq(n_free, 424 << 10);
    ck_assert_int_eq(cudaMalloc(&big, 600 << 10), cudaErrorMemoryAllocation);
    kit_ok(cudaFree(half)); /* not sticky */
    kit_ok(cudaMalloc(&big, 1 << 20));
    kit_ok(cudaSetDevice(1)); /* every device has its own */
    kit_ok(cudaMalloc(&half, 1 << 20));
}
END_TEST

START_TEST(fresh_memory_is_not_a_number)
{
    cudaStream_t stream = kit_stream();
    gfloat *memory = kit_device(1000), values[250];
    ck_assert_uint_eq((gsize)memory % 256, 0);
    kit_download(values, memory, sizeof(values), stream);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        ck_assert(values[i] != values[i]);
}
END_TEST

START_TEST(copies_stay_inside)
{
    cudaStream_t stream = kit_stream();
    guint8 host[64] = {0}, *memory = kit_device(50);
    kit_catch_reports();
    kit_ok(cudaMemcpyAsync(memory + 40, host, 10, cudaMemcpyHostToDevice, stream));
    ck_assert_int_eq(cudaMemcpyAsync(memory + 40, host, 11, cudaMemcpyHostToDevice, stream),
                     cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpyAsync(host, memory, 51, cudaMemcpyDeviceToHost, stream),
                     cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemsetAsync(memory + 1, 0, 50, stream), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemsetAsync(host, 0, 1, stream), cudaErrorInvalidValue);
    ck_assert(kit_reported("the destination runs over the end of its allocation"));
    ck_assert(kit_reported("the source runs over the end"));
}
END_TEST

START_TEST(memory_is_freed_once_and_for_good)
{
    cudaStream_t stream = kit_stream();
    guint8 *memory = kit_device(64), *pinned = kit_pinned(64);
    kit_ok(cudaFree(NULL));
    ck_assert_int_eq(cudaFree(memory + 8), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaFree(pinned), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaFreeHost(memory), cudaErrorInvalidValue);
    kit_ok(cudaFree(memory));
    kit_ok(cudaFreeHost(pinned));
    ck_assert_int_eq(cudaFree(memory), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemsetAsync(memory, 0, 1, stream), cudaErrorInvalidValue);
}
END_TEST

START_TEST(free_waits_for_the_device)
{
    cudaStream_t stream = kit_stream();
    guint8 *memory = kit_device(64), *other = kit_device(64);
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    for (guint i = 0; i < 100; i++)
        kit_ok(cudaMemsetAsync(memory, (int)i, 64, stream));
    kit_ok(cudaEventRecord(event, stream));
    kit_ok(cudaFree(other));
    kit_ok(cudaEventQuery(event)); /* done, without having been waited for */
}
END_TEST

START_TEST(a_free_too_early_breaks_the_device)
{
    cudaStream_t stream = kit_stream(), other = kit_stream();
    guint8 *memory = NULL;
    gint is_open = 0;
    kit_ok(cudaMallocAsync((void **)&memory, 64, other));
    kit_gate(stream, &is_open);
    kit_ok(cudaMemsetAsync(memory, 0, 64, stream));
    kit_ok(cudaFreeAsync(memory, other)); /* another stream: nothing orders the two */
    kit_ok(kit_wait(other));
    kit_catch_reports();
    g_atomic_int_set(&is_open, 1);
    ck_assert_int_eq(kit_wait(stream), cudaErrorIllegalAddress);
    ck_assert(kit_reported("the destination of a copy was freed before the stream came to it"));
    /* Sticky: whatever is asked next. */
    void *more = NULL;
    cudaEvent_t event;
    ck_assert_int_eq(cudaMalloc(&more, 1), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaEventCreateWithFlags(&event, 0), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaStreamQuery(other), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaSetDevice(0), cudaErrorIllegalAddress);
    kit_ok(cudaSetDevice(1)); /* another device is another matter */
    kit_ok(cudaMalloc(&more, 1));
}
END_TEST

START_TEST(order_of_one_stream_makes_frees_safe)
{
    cudaStream_t stream = kit_stream();
    size_t before = 0, after = 0, n_total = 0;
    kit_ok(cudaMemGetInfo(&before, &n_total));
    for (guint i = 0; i < 50; i++) {
        guint8 *memory = NULL;
        kit_ok(cudaMallocAsync((void **)&memory, 4096, stream));
        kit_ok(cudaMemsetAsync(memory, 1, 4096, stream));
        kit_ok(cudaFreeAsync(memory, stream));
    }
    kit_ok(kit_wait(stream));
    kit_ok(cudaMemGetInfo(&after, &n_total));
    ck_assert_uint_eq(before, after);
}
END_TEST

START_TEST(pointers_say_what_they_are)
{
    struct cudaPointerAttributes attributes;
    guint8 host = 0, *memory, *pinned = kit_pinned(10);
    kit_ok(cudaSetDevice(2));
    memory = kit_device(10);
    kit_ok(cudaPointerGetAttributes(&attributes, memory + 9));
    ck_assert_int_eq(attributes.type, cudaMemoryTypeDevice);
    ck_assert_int_eq(attributes.device, 2);
    kit_ok(cudaPointerGetAttributes(&attributes, memory + 10));
    ck_assert_int_eq(attributes.type, cudaMemoryTypeUnregistered);
    kit_ok(cudaPointerGetAttributes(&attributes, pinned));
    ck_assert_int_eq(attributes.type, cudaMemoryTypeHost);
    kit_ok(cudaPointerGetAttributes(&attributes, &host));
    ck_assert_int_eq(attributes.type, cudaMemoryTypeUnregistered);
}
END_TEST

START_TEST(kernels_get_device_memory_only)
{
    cudaStream_t stream = kit_stream();
    gfloat host = 1.0f;
    kit_catch_reports();
    kit_ok(planted_add(&host, 1.0, 1, stream));
    ck_assert_int_eq(kit_wait(stream), cudaErrorIllegalAddress);
    ck_assert(kit_reported("kernel eep_k_add: argument 0"));
    ck_assert_float_eq(host, 1.0f);
}
END_TEST

START_TEST(kernels_reach_pinned_memory_not_another_device)
{
    cudaStream_t stream = kit_stream();
    gfloat *pinned = kit_pinned(sizeof(gfloat)), *memory;
    *pinned = 1.0f;
    kit_ok(planted_add(pinned, 1.0, 1, stream));
    kit_ok(kit_wait(stream));
    ck_assert_float_eq(*pinned, 2.0f);
    memory = kit_device(4);
    kit_ok(cudaSetDevice(1));
    ck_assert_int_eq(planted_add(memory, 1.0, 1, stream), cudaErrorInvalidResourceHandle);
    cudaStream_t there = kit_stream();
    kit_ok(planted_add(memory, 1.0, 1, there));
    ck_assert_int_eq(kit_wait(there), cudaErrorIllegalAddress);
}
END_TEST

#if !KIT_HAS_SANITIZER
START_TEST(a_small_overrun_shows_when_memory_is_freed)
{
    cudaStream_t stream = kit_stream();
    guint32 *memory = kit_device(40);
    kit_catch_reports();
    kit_ok(planted_write_at(memory, 10, stream));
    kit_ok(kit_wait(stream));
    kit_ok(cudaFree(memory));
    ck_assert(kit_reported("something wrote behind the end of the 40 bytes"));
    ck_assert_int_eq(cudaStreamQuery(stream), cudaErrorIllegalAddress);
}
END_TEST

START_TEST(a_big_overrun_traps)
{
    cudaStream_t stream = kit_stream();
    guint32 *memory = kit_device(4096);
    kit_catch_reports();
    kit_ok(planted_write_at(memory, 1024, stream));
    ck_assert_int_eq(kit_wait(stream), cudaErrorIllegalAddress);
    ck_assert(
        kit_reported("kernel eep_k_write_at, block (0,0,0): thread (3,0,0): illegal address"));
    ck_assert_int_eq(cudaFree(memory), cudaErrorIllegalAddress);
}
END_TEST

START_TEST(a_division_by_zero_traps)
{
    cudaStream_t stream = kit_stream();
    guint32 *memory = kit_device(128), values[32];
    kit_ok(planted_divide(memory, 8, stream));
    kit_download(values, memory, sizeof(values), stream);
    ck_assert_uint_eq(values[31], 125);
    kit_catch_reports();
    kit_ok(planted_divide(memory, 0, stream));
    ck_assert_int_eq(kit_wait(stream), cudaErrorIllegalAddress);
    ck_assert(kit_reported("division by zero"));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("emulated memory");
    TCase *tcase = tcase_create("memory");
    tcase_add_test(tcase, there_is_so_much_and_no_more);
    tcase_add_test(tcase, fresh_memory_is_not_a_number);
    tcase_add_test(tcase, copies_stay_inside);
    tcase_add_test(tcase, memory_is_freed_once_and_for_good);
    tcase_add_test(tcase, free_waits_for_the_device);
    tcase_add_test(tcase, a_free_too_early_breaks_the_device);
    tcase_add_test(tcase, order_of_one_stream_makes_frees_safe);
    tcase_add_test(tcase, pointers_say_what_they_are);
    tcase_add_test(tcase, kernels_get_device_memory_only);
    tcase_add_test(tcase, kernels_reach_pinned_memory_not_another_device);
#if !KIT_HAS_SANITIZER
    tcase_add_test(tcase, a_small_overrun_shows_when_memory_is_freed);
    tcase_add_test(tcase, a_big_overrun_traps);
    tcase_add_test(tcase, a_division_by_zero_traps);
#endif
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
