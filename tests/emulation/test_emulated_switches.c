/* The environment's switches: each does what docs/emulation.md says, and nothing does when unset.
 */
#include "gpu/emulation/emulated_switches.h"
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"
#include <cublas_v2.h>

START_TEST(without_switches_nothing_is_odd)
{
    const EepEmulatedSwitches *switches = eep_emulated_switches();
    ck_assert_uint_eq(switches->fail.at, 0);
    ck_assert_uint_eq(switches->die.at, 0);
    ck_assert_uint_eq(switches->hang.at, 0);
    ck_assert_uint_eq(switches->latency_us, 0);
    ck_assert_uint_eq(switches->n_devices, 8);
    ck_assert_uint_eq(switches->memory_bytes, (guint64)4 << 30);
    ck_assert_uint_eq(switches->seed, 0);
}
END_TEST

START_TEST(switches_are_read)
{
    g_setenv("EEP_EMULATED_FAIL", "12:2@3", TRUE);
    g_setenv("EEP_EMULATED_DIE", "7@0", TRUE);
    g_setenv("EEP_EMULATED_HANG", "9", TRUE);
    g_setenv("EEP_EMULATED_LATENCY", "250", TRUE);
    g_setenv("EEP_EMULATED_DEVICES", "3", TRUE);
    g_setenv("EEP_EMULATED_MEMORY", "96M", TRUE);
    g_setenv("EEP_EMULATED_SEED", "18446744073709551615", TRUE);
    const EepEmulatedSwitches *switches = eep_emulated_switches();
    ck_assert_uint_eq(switches->fail.at, 12);
    ck_assert_int_eq(switches->fail.status, 2);
    ck_assert_int_eq(switches->fail.device, 3);
    ck_assert_uint_eq(switches->die.at, 7);
    ck_assert_int_eq(switches->die.status, 0);
    ck_assert_int_eq(switches->die.device, 0);
    ck_assert_uint_eq(switches->hang.at, 9);
    ck_assert_int_eq(switches->hang.device, -1);
    ck_assert_uint_eq(switches->latency_us, 250);
    ck_assert_uint_eq(switches->n_devices, 3);
    ck_assert_uint_eq(switches->memory_bytes, (guint64)96 << 20);
    ck_assert_uint_eq(switches->seed, G_MAXUINT64);
}
END_TEST

static const char *const nonsense[][2] = {
    {"EEP_EMULATED_FAIL", ""},
    {"EEP_EMULATED_FAIL", "x"},
    {"EEP_EMULATED_FAIL", "1:"},
    {"EEP_EMULATED_FAIL", "1:0"},
    {"EEP_EMULATED_FAIL", "1@64"},
    {"EEP_EMULATED_FAIL", "-1"},
    {"EEP_EMULATED_DIE", "1:719 "},
    {"EEP_EMULATED_HANG", "1@"},
    {"EEP_EMULATED_LATENCY", "1ms"},
    {"EEP_EMULATED_DEVICES", "65"},
    {"EEP_EMULATED_MEMORY", "4T"},
    {"EEP_EMULATED_MEMORY", "99999999999G"},
    {"EEP_EMULATED_MEMORY", "1Mx"},
    {"EEP_EMULATED_SEED", "0x10"},
    {"EEP_EMULATED_SEED", "18446744073709551616"},
};

/* Exits with 2: Check is told to expect that. */
START_TEST(nonsense_is_refused)
{
    g_setenv(nonsense[_i][0], nonsense[_i][1], TRUE);
    eep_emulated_switches();
}
END_TEST

START_TEST(the_nth_call_fails)
{
    g_setenv("EEP_EMULATED_FAIL", "3", TRUE);
    kit_catch_reports();
    void *memory = NULL;
    cudaStream_t stream = kit_stream();                                   /* 1 */
    kit_ok(cudaMalloc(&memory, 64));                                      /* 2 */
    kit_ok(cudaStreamQuery(stream));                                      /* asks: not counted */
    ck_assert_int_eq(cudaMalloc(&memory, 64), cudaErrorMemoryAllocation); /* 3 */
    ck_assert(kit_reported("EEP_EMULATED_FAIL: call 3, cudaMalloc(), fails with 2"));
    kit_ok(cudaMalloc(&memory, 64)); /* once */
}
END_TEST

START_TEST(a_status_can_be_named_and_cublas_counts)
{
    g_setenv("EEP_EMULATED_FAIL", "2:14", TRUE);
    cublasHandle_t handle;
    kit_ok(cudaSetDevice(0));
    ck_assert_int_eq(cublasCreate(&handle), CUBLAS_STATUS_INTERNAL_ERROR);
    ck_assert_int_eq(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}
END_TEST

START_TEST(another_devices_calls_do_not_count)
{
    g_setenv("EEP_EMULATED_FAIL", "2@1", TRUE);
    void *memory = NULL;
    for (guint i = 0; i < 5; i++)
        kit_ok(cudaMalloc(&memory, 64));
    kit_ok(cudaSetDevice(1));
    kit_ok(cudaMalloc(&memory, 64));
    ck_assert_int_eq(cudaMalloc(&memory, 64), cudaErrorMemoryAllocation);
}
END_TEST

START_TEST(a_device_dies)
{
    g_setenv("EEP_EMULATED_DIE", "2:214", TRUE);
    cudaStream_t stream = kit_stream(), other = kit_stream();
    gfloat value = 1.0f, *memory = kit_upload(&value, 4, stream); /* operation 1 */
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    gint is_open = 0;
    kit_ok(kit_wait(stream));
    kit_gate(stream, &is_open); /* operation 2, which is not run: the device is dead */
    ck_assert_int_eq(kit_wait(stream), cudaErrorECCUncorrectable);
    ck_assert_int_eq(cudaEventQuery(event), cudaErrorECCUncorrectable);
    ck_assert_int_eq(planted_add(memory, 1.0, 1, other), cudaErrorECCUncorrectable);
    ck_assert_int_eq(cudaMemcpyAsync(&value, memory, 4, cudaMemcpyDeviceToHost, other),
                     cudaErrorECCUncorrectable);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorECCUncorrectable);
}
END_TEST

START_TEST(death_frees_who_waits)
{
    g_setenv("EEP_EMULATED_HANG", "1@0", TRUE);
    cudaStream_t stream = kit_stream(), waiting = kit_stream();
    guint8 *memory = kit_device(64);
    cudaEvent_t event;
    kit_ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    kit_catch_reports();
    kit_ok(cudaMemsetAsync(memory, 0, 64, stream));
    for (guint i = 0; i < 1000 && !kit_reported("operation 1, cudaMemsetAsync, never ends"); i++)
        g_usleep(10000);
    kit_ok(cudaEventRecord(event, stream));
    kit_ok(cudaStreamWaitEvent(waiting, event, 0));
    g_usleep(50000);
    ck_assert_int_eq(cudaStreamQuery(stream), cudaErrorNotReady);
    ck_assert_int_eq(cudaStreamQuery(waiting), cudaErrorNotReady);
    eep_emulated_fault(0, cudaErrorLaunchFailure, "a test says so");
    ck_assert_int_eq(kit_wait(waiting), cudaErrorLaunchFailure);
    ck_assert_int_eq(eep_emulated_health(0), cudaErrorLaunchFailure);
    ck_assert_int_eq(eep_emulated_health(1), cudaSuccess);
}
END_TEST

START_TEST(nodes_of_a_graph_are_operations)
{
    g_setenv("EEP_EMULATED_DIE", "4", TRUE);
    cudaStream_t stream = kit_stream();
    guint8 *memory = kit_device(64);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    kit_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    for (guint i = 0; i < 5; i++)
        kit_ok(cudaMemsetAsync(memory + i, 7, 1, stream));
    kit_ok(cudaStreamEndCapture(stream, &graph));
    kit_ok(cudaGraphInstantiate(&exec, graph, 0));
    kit_catch_reports();
    kit_ok(cudaGraphLaunch(exec, stream)); /* operation 1; its nodes are 2 to 6 */
    ck_assert_int_eq(kit_wait(stream), cudaErrorLaunchFailure);
    ck_assert(kit_reported("dies at operation 4, cudaMemsetAsync"));
}
END_TEST

START_TEST(latency_slows_each_operation)
{
    g_setenv("EEP_EMULATED_LATENCY", "20000", TRUE);
    cudaStream_t stream = kit_stream();
    guint8 *memory = kit_device(64);
    gint64 start = g_get_monotonic_time();
    for (guint i = 0; i < 5; i++)
        kit_ok(cudaMemsetAsync(memory, 0, 64, stream));
    ck_assert_int_lt(g_get_monotonic_time() - start, 60000); /* not the call */
    kit_ok(kit_wait(stream));
    ck_assert_int_ge(g_get_monotonic_time() - start, 100000);
}
END_TEST

START_TEST(no_devices_at_all)
{
    g_setenv("EEP_EMULATED_DEVICES", "0", TRUE);
    int n = 77, version = -1;
    void *memory;
    cublasHandle_t handle;
    ck_assert_int_eq(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    ck_assert_int_eq(n, 77);
    ck_assert_int_eq(cudaSetDevice(0), cudaErrorNoDevice);
    ck_assert_int_eq(cudaMalloc(&memory, 1), cudaErrorNoDevice);
    ck_assert_int_eq(cublasCreate(&handle), CUBLAS_STATUS_NOT_INITIALIZED);
    kit_ok(cudaDriverGetVersion(&version));
    ck_assert_int_eq(version, 0);
    kit_ok(cudaRuntimeGetVersion(&version));
    ck_assert_int_eq(version, 13000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated switches");
    TCase *tcase = tcase_create("switches");
    tcase_add_test(tcase, without_switches_nothing_is_odd);
    tcase_add_test(tcase, switches_are_read);
    tcase_add_loop_exit_test(tcase, nonsense_is_refused, 2, 0, G_N_ELEMENTS(nonsense));
    tcase_add_test(tcase, the_nth_call_fails);
    tcase_add_test(tcase, a_status_can_be_named_and_cublas_counts);
    tcase_add_test(tcase, another_devices_calls_do_not_count);
    tcase_add_test(tcase, a_device_dies);
    tcase_add_test(tcase, death_frees_who_waits);
    tcase_add_test(tcase, nodes_of_a_graph_are_operations);
    tcase_add_test(tcase, latency_slows_each_operation);
    tcase_add_test(tcase, no_devices_at_all);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
