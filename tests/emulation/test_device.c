/* gpu/worker/device.h on the emulation: sorts of errors, memory that is counted, waits that end. */
#include "gpu/worker/device.h"
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"

#define S_NS G_GINT64_CONSTANT(1000000000)

static EepDevice *open_first(void)
{
    GError *error = NULL;
    EepDevice *device = eep_device_open(0, &error);
    ck_assert_msg(device != NULL, "%s", error != NULL ? error->message : "no message");
    return device;
}

static EepStream make_stream(EepDevice *device)
{
    EepStream stream = NULL;
    ck_assert(eep_device_make_stream(device, TRUE, &stream, NULL));
    return stream;
}

START_TEST(facts_are_the_devices)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(EepDevice) device = eep_device_open(2, &error);
    ck_assert_ptr_null(error);
    const EepDeviceFacts *facts = eep_device_facts(device);
    ck_assert(facts->is_emulated);
    ck_assert_ptr_nonnull(strstr(facts->name, "emulated"));
    ck_assert_str_eq(facts->bus_id, "0000:E2:00.0");
    ck_assert_uint_eq(facts->index, 2);
    ck_assert_uint_eq(facts->cc_major, 9);
    ck_assert_uint_eq(facts->memory_bytes, (guint64)4 << 30);
    ck_assert_int_eq(facts->runtime_version, 13000);
    ck_assert_int_eq(facts->driver_version, 13000);
    ck_assert_uint_eq(eep_device_count(NULL), 8);
}
END_TEST

START_TEST(no_gpu_says_what_to_do)
{
    g_autoptr(GError) error = NULL;
    g_setenv("EEP_EMULATED_DEVICES", "0", TRUE);
    ck_assert_uint_eq(eep_device_count(&error), 0);
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE));
    ck_assert_ptr_nonnull(strstr(error->message, "no NVIDIA driver is loaded"));
    ck_assert_ptr_nonnull(strstr(error->message, "--device emulated"));
    g_clear_error(&error);
    ck_assert_ptr_null(eep_device_open(0, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE));
}
END_TEST

START_TEST(a_hidden_gpu_is_told)
{
    g_autoptr(GError) error = NULL;
    g_setenv("EEP_EMULATED_FAIL", "1:100", TRUE);
    ck_assert_uint_eq(eep_device_count(&error), 0);
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE));
    ck_assert_ptr_nonnull(strstr(error->message, "cudaErrorNoDevice"));
    ck_assert_ptr_nonnull(strstr(error->message, "CUDA_VISIBLE_DEVICES"));
}
END_TEST

START_TEST(too_few_gpus_are_counted)
{
    g_autoptr(GError) error = NULL;
    g_setenv("EEP_EMULATED_DEVICES", "2", TRUE);
    ck_assert_ptr_null(eep_device_open(2, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE));
    ck_assert_ptr_nonnull(
        strstr(error->message, "GPU 2 was asked for, but there are 2 here, counted from 0: start"));
}
END_TEST

START_TEST(memory_is_zeroed_and_counted)
{
    g_autoptr(EepDevice) device = open_first();
    guint8 host[1000];
    memset(host, 1, sizeof(host));
    guint8 *memory = eep_device_alloc(device, sizeof(host), NULL);
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq(eep_device_used(device), 1000);
    gpointer other = eep_device_alloc(device, 24, NULL);
    ck_assert_uint_eq(eep_device_used(device), 1024);
    EepStream stream = make_stream(device);
    kit_download(host, memory, sizeof(host), stream);
    for (guint i = 0; i < sizeof(host); i++)
        ck_assert_uint_eq(host[i], 0);
    eep_device_free(device, memory);
    ck_assert_uint_eq(eep_device_used(device), 24);
    eep_device_free(device, NULL);
    eep_device_free(device, other);
    ck_assert_uint_eq(eep_device_used(device), 0);
    eep_device_drop_stream(device, stream);
}
END_TEST

START_TEST(out_of_memory_can_be_tried_again)
{
    g_autoptr(GError) error = NULL;
    g_setenv("EEP_EMULATED_MEMORY", "1M", TRUE);
    g_autoptr(EepDevice) device = open_first();
    gpointer most = eep_device_alloc(device, 900 << 10, NULL);
    ck_assert_ptr_nonnull(most);
    ck_assert_ptr_null(eep_device_alloc(device, 200 << 10, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY));
    ck_assert_ptr_nonnull(strstr(error->message, "204800 bytes"));
    ck_assert_ptr_nonnull(strstr(error->message, "cudaErrorMemoryAllocation"));
    ck_assert_ptr_nonnull(strstr(error->message, "device.c"));
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* told is forgotten */
    eep_device_free(device, most);
    gpointer now = eep_device_alloc(device, 100 << 10, NULL);
    ck_assert_ptr_nonnull(now);
}
END_TEST

START_TEST(waits_end)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(EepDevice) device = open_first();
    EepStream stream = make_stream(device);
    gint is_open = 0, stop = 0;
    ck_assert(eep_device_wait(device, stream, 0, NULL, NULL)); /* nothing to wait for */
    kit_gate(stream, &is_open);
    gint64 start = g_get_monotonic_time();
    ck_assert(!eep_device_wait(device, stream, S_NS / 20, NULL, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT));
    ck_assert_int_ge(g_get_monotonic_time() - start, 50000);
    ck_assert_int_lt(g_get_monotonic_time() - start, 5000000);
    g_clear_error(&error);
    stop = 1;
    ck_assert(!eep_device_wait(device, stream, 100 * S_NS, &stop, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED));
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* "not ready" is nobody's error */
    g_atomic_int_set(&is_open, 1);
    ck_assert(eep_device_wait(device, stream, 20 * S_NS, NULL, NULL));
    eep_device_drop_stream(device, stream);
}
END_TEST

START_TEST(a_broken_device_is_told_apart)
{
    g_autoptr(GError) error = NULL;
    g_setenv("EEP_EMULATED_DIE", "3", TRUE);
    g_autoptr(EepDevice) device = open_first();
    EepStream stream = make_stream(device);
    guint8 *memory = eep_device_alloc(device, 64, NULL); /* operation 1 clears it */
    ck_assert_ptr_nonnull(memory);
    kit_catch_reports();
    kit_ok(cudaMemsetAsync(memory, 1, 64, stream));
    ck_assert(eep_device_wait(device, stream, 20 * S_NS, NULL, NULL));
    kit_ok(cudaMemsetAsync(memory, 2, 64, stream));
    ck_assert(!eep_device_wait(device, stream, 20 * S_NS, NULL, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE));
    g_clear_error(&error);
    ck_assert_ptr_null(eep_device_alloc(device, 64, &error));
    ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE));
    ck_assert(kit_reported("EEP_EMULATED_DIE: dies at operation 3, cudaMemsetAsync"));
}
END_TEST

START_TEST(statuses_are_sorted)
{
    static const struct {
        gboolean (*check)(int status, const char *call, const char *file, int line, GError **error);
        int status;
        EepDeviceError sort;
        const char *name;
    } cases[] = {
        {eep_device_check_cublas, 3, EEP_DEVICE_ERROR_RETRY, "CUBLAS_STATUS_ALLOC_FAILED"},
        {eep_device_check_cublas, 15, EEP_DEVICE_ERROR_RETRY, "CUBLAS_STATUS_NOT_SUPPORTED"},
        {eep_device_check_cublas, 13, EEP_DEVICE_ERROR_DEVICE, "CUBLAS_STATUS_EXECUTION_FAILED"},
        {eep_device_check_cublas, 77, EEP_DEVICE_ERROR_DEVICE, "unknown status"},
        {eep_device_check_nccl, 6, EEP_DEVICE_ERROR_GROUP, "ncclRemoteError"},
        {eep_device_check_nccl, 1, EEP_DEVICE_ERROR_GROUP, "ncclUnhandledCudaError"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert(!cases[i].check(cases[i].status, "someCall(with, arguments)", "/a/b/file.c", 12,
                                  &error));
        ck_assert(g_error_matches(error, EEP_DEVICE_ERROR, (int)cases[i].sort));
        g_autofree char *text = g_strdup_printf("someCall() failed: %s (%d) at file.c:12",
                                                cases[i].name, cases[i].status);
        ck_assert_str_eq(error->message, text);
    }
    ck_assert(eep_device_check_cublas(0, "f()", "file.c", 1, NULL));
    ck_assert(eep_device_check_nccl(0, "f()", "file.c", 1, NULL));
    ck_assert(eep_device_check_nccl(7, "f()", "file.c", 1, NULL));
}
END_TEST

START_TEST(several_share_a_device)
{
    g_autoptr(EepDevice) a = open_first();
    g_autoptr(EepDevice) b = open_first();
    ck_assert_ptr_nonnull(eep_device_alloc(a, 100, NULL));
    ck_assert_uint_eq(eep_device_used(a), 100);
    ck_assert_uint_eq(eep_device_used(b), 0);
}
END_TEST

/* Every call that a short life makes, each failing once: an error that is told, or a result. */
START_TEST(each_call_may_fail)
{
    g_autofree char *which = g_strdup_printf("%d", _i);
    g_setenv("EEP_EMULATED_FAIL", which, TRUE);
    kit_catch_reports();
    g_autoptr(GError) error = NULL;
    g_autoptr(EepDevice) device = eep_device_open(0, &error);
    EepStream stream = NULL;
    gboolean is_good = device != NULL && eep_device_use(device, &error) &&
                       eep_device_make_stream(device, TRUE, &stream, &error);
    gpointer memory = is_good ? eep_device_alloc(device, 100, &error) : NULL;
    is_good = is_good && memory != NULL && eep_device_wait(device, stream, S_NS, NULL, &error);
    gboolean has_failed = kit_reported("EEP_EMULATED_FAIL: call");
    ck_assert_int_eq(is_good, error == NULL);
    ck_assert_int_eq(is_good, !has_failed);
    /* 11 calls take or start something. */
    ck_assert_int_eq(has_failed, _i <= 11);
    if (device != NULL && memory == NULL)
        ck_assert_uint_eq(eep_device_used(device), 0);
    if (stream != NULL)
        eep_device_drop_stream(device, stream);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *tcase = tcase_create("device");
    tcase_add_test(tcase, facts_are_the_devices);
    tcase_add_test(tcase, no_gpu_says_what_to_do);
    tcase_add_test(tcase, a_hidden_gpu_is_told);
    tcase_add_test(tcase, too_few_gpus_are_counted);
    tcase_add_test(tcase, memory_is_zeroed_and_counted);
    tcase_add_test(tcase, out_of_memory_can_be_tried_again);
    tcase_add_test(tcase, waits_end);
    tcase_add_test(tcase, a_broken_device_is_told_apart);
    tcase_add_test(tcase, statuses_are_sorted);
    tcase_add_test(tcase, several_share_a_device);
    tcase_add_loop_test(tcase, each_call_may_fail, 1, 15);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
