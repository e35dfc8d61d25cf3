/* The emulated NCCL tells its caller what real NCCL would only punish. One rank, no transport. */
#include <check.h>
#include <nccl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/ranks.h"
#include "tests/transport/settle.h"

static ncclComm_t make_comm(int n_ranks, int rank, ncclResult_t wanted)
{
    ncclComm_t comm = NULL;
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ck_assert_int_eq(ncclGetUniqueId(&id), ncclSuccess);
    ck_assert_int_eq(ncclCommInitRankConfig(&comm, n_ranks, id, rank, &config), ncclInProgress);
    if (wanted != ncclInProgress)
        ck_assert(settle(comm, wanted));
    return comm;
}

/* Memory and a stream, on a device that is never closed: the process ends. */
static gpointer memory;
static cudaStream_t stream;

static void set_up(void)
{
    ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
    ck_assert_int_eq(cudaMalloc(&memory, 4096), cudaSuccess);
    ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
}

START_TEST(version_and_names)
{
    int version = 0;
    ck_assert_int_eq(ncclGetVersion(&version), ncclSuccess);
    ck_assert_int_eq(version, 22809);
    ck_assert(strstr(ncclGetErrorString(ncclRemoteError), "remote") != NULL);
}
END_TEST

START_TEST(calls_are_in_progress_until_looked_at)
{
    ncclComm_t comm = make_comm(1, 0, ncclSuccess);
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, comm, stream),
                     ncclInProgress);
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, comm, stream),
                     ncclInvalidArgument);
    ck_assert(strstr(ncclGetLastError(comm), "ncclCommGetAsyncError") != NULL);
    ck_assert(settle(comm, ncclSuccess));
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, comm, stream),
                     ncclInProgress);
    ck_assert(settle(comm, ncclSuccess));
    ck_assert_int_eq(ncclCommFinalize(comm), ncclInProgress);
    ck_assert(settle(comm, ncclSuccess));
    ck_assert_int_eq(ncclCommDestroy(comm), ncclSuccess);
}
END_TEST

START_TEST(nothing_goes_on_after_its_end)
{
    ncclComm_t comm = make_comm(1, 0, ncclSuccess);
    ncclResult_t async;
    ck_assert_int_eq(ncclCommAbort(comm), ncclSuccess);
    ck_assert_int_eq(ncclCommDestroy(comm), ncclInvalidArgument);
    ck_assert_int_eq(ncclCommAbort(comm), ncclInvalidArgument);
    ck_assert_int_eq(ncclCommGetAsyncError(comm, &async), ncclInvalidArgument);
    ck_assert(strstr(ncclGetLastError(NULL), "destroyed or aborted") != NULL);
}
END_TEST

/* A join that cannot end, a revoked communicator: what is left to do with them. */
START_TEST(revoked_is_not_finalized)
{
    ncclComm_t comm = make_comm(1, 0, ncclSuccess);
    ck_assert_int_eq(ncclCommRevoke(comm, NCCL_REVOKE_DEFAULT), ncclInProgress);
    ck_assert(settle(comm, ncclSuccess));
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, comm, stream),
                     ncclInvalidUsage);
    ck_assert_int_eq(ncclCommFinalize(comm), ncclInvalidUsage);
    ck_assert(strstr(ncclGetLastError(comm), "ncclCommRevoke") != NULL);
    ck_assert_int_eq(ncclCommDestroy(comm), ncclSuccess);
    comm = make_comm(2, 0, ncclInProgress);
    ck_assert_int_eq(ncclCommAbort(comm), ncclSuccess);
}
END_TEST

/* -- two ranks in one process, as threads would be -- */

static void make_pair(ncclComm_t *ret_pair)
{
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ck_assert_int_eq(ncclGetUniqueId(&id), ncclSuccess);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(ncclCommInitRankConfig(&ret_pair[i], 2, id, i, &config), ncclInProgress);
    for (int i = 0; i < 2; i++)
        ck_assert(settle(ret_pair[i], ncclSuccess));
}

START_TEST(parent_of_an_aborting_shrink_is_only_aborted)
{
    ncclComm_t pair[2], child = NULL;
    int gone = 1;
    make_pair(pair);
    ck_assert_int_eq(ncclCommAbort(pair[1]), ncclSuccess);
    ck_assert_int_eq(ncclCommShrink(pair[0], &gone, 1, &child, NULL, NCCL_SHRINK_ABORT),
                     ncclInProgress);
    ck_assert(settle(pair[0], ncclSuccess));
    ck_assert_ptr_nonnull(child);
    ck_assert(settle(child, ncclSuccess));
    ck_assert_int_eq(ncclCommFinalize(pair[0]), ncclInvalidUsage);
    ck_assert_int_eq(ncclCommDestroy(pair[0]), ncclInvalidUsage);
    ck_assert(strstr(ncclGetLastError(pair[0]), "NCCL_SHRINK_ABORT") != NULL);
    ck_assert_int_eq(ncclCommAbort(pair[0]), ncclSuccess);
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, child, stream),
                     ncclInProgress);
    ck_assert(settle(child, ncclSuccess));
    ck_assert_int_eq(ncclCommDestroy(child), ncclSuccess);
}
END_TEST

START_TEST(another_call_is_named)
{
    ncclComm_t pair[2];
    cudaStream_t second;
    ck_assert_int_eq(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), cudaSuccess);
    make_pair(pair);
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, pair[0], stream),
                     ncclInProgress);
    gpointer other = (guint8 *)memory + 2048;
    ck_assert_int_eq(ncclBroadcast(other, other, 8, ncclUint64, 1, pair[1], second),
                     ncclInProgress);
    ncclResult_t async = ncclSuccess;
    for (int i = 0; i < 5000 && (async == ncclSuccess || async == ncclInProgress); i++) {
        ck_assert_int_eq(ncclCommGetAsyncError(pair[0], &async), ncclSuccess);
        g_usleep(1000);
    }
    ck_assert_int_eq(async, ncclInvalidUsage);
    ck_assert(strstr(ncclGetLastError(pair[0]), "ncclBroadcast") != NULL);
    ck_assert(strstr(ncclGetLastError(pair[0]), "ncclAllReduce") != NULL);
    ck_assert_int_eq(cudaStreamQuery(stream), cudaErrorNotReady); /* as a kernel would spin */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(ncclCommAbort(pair[i]), ncclSuccess);
    for (int i = 0; i < 1000 && cudaStreamQuery(stream) == cudaErrorNotReady; i++)
        g_usleep(1000);
    ck_assert_int_eq(cudaStreamQuery(stream), cudaSuccess);
}
END_TEST

/* Two ranks in one process have two devices, or one: then they are refused where that is asked for.
 */
START_TEST(bus_ids_are_compared)
{
    setenv("EEP_EMULATED_NCCL_BUS_IDS", "1", 1);
    ncclComm_t pair[2];
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ck_assert_int_eq(ncclGetUniqueId(&id), ncclSuccess);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(cudaSetDevice(_i == 0 ? i : 0), cudaSuccess);
        ck_assert_int_eq(ncclCommInitRankConfig(&pair[i], 2, id, i, &config), ncclInProgress);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert(settle(pair[i], _i == 0 ? ncclSuccess : ncclInvalidUsage));
        ck_assert(_i == 0 || strstr(ncclGetLastError(pair[i]), "Duplicate GPU detected: ranks"));
        ck_assert_int_eq(ncclCommAbort(pair[i]), ncclSuccess);
    }
}
END_TEST

/* A download to pageable memory has no deadline, so it must not wait for other ranks. */
START_TEST(a_blocking_download_does_not_wait_for_ranks)
{
    ncclComm_t pair[2];
    guint64 host = 7;
    make_pair(pair);
    ck_assert_int_eq(ncclRecv(memory, 8, ncclUint8, 1, pair[0], stream), ncclInProgress);
    ck_assert(settle(pair[0], ncclSuccess));
    ck_assert_int_eq(cudaMemcpyAsync(&host, memory, 8, cudaMemcpyDeviceToHost, stream),
                     cudaErrorInvalidValue);
    ck_assert_uint_eq(host, 7);
    ck_assert_int_eq(ncclCommAbort(pair[0]), ncclSuccess);
    for (int i = 0; i < 1000 && cudaStreamQuery(stream) == cudaErrorNotReady; i++)
        g_usleep(1000);
    ck_assert_int_eq(cudaMemcpyAsync(&host, memory, 8, cudaMemcpyDeviceToHost, stream),
                     cudaSuccess);
    ck_assert_int_eq(ncclCommAbort(pair[1]), ncclSuccess);
}
END_TEST

START_TEST(arguments_are_looked_at)
{
    ncclComm_t comm = make_comm(1, 0, ncclSuccess), none = NULL;
    ncclUniqueId id = {{0}};
    ncclConfig_t config = {0};
    guint64 host[8];
    ck_assert_int_eq(ncclCommInitRankConfig(&none, 1, id, 0, &config), ncclInvalidArgument);
    ck_assert_int_eq(ncclCommInitRankConfig(&none, 2, id, 2, NULL), ncclInvalidArgument);
    ck_assert_int_eq(ncclAllReduce(host, host, 8, ncclUint64, ncclMin, comm, stream),
                     ncclInvalidArgument);
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclBfloat16, ncclSum, comm, stream),
                     ncclInvalidArgument);
    ck_assert_int_eq(ncclSend(memory, 8, ncclUint8, 1, comm, stream), ncclInvalidArgument);
    ck_assert_int_eq(ncclSend(memory, 8, ncclUint8, 0, comm, stream), ncclInvalidUsage);
    ck_assert_int_eq(ncclGroupEnd(), ncclInvalidUsage);
    ck_assert_int_eq(ncclCommAbort(comm), ncclSuccess);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated_nccl");
    TCase *tests = tcase_create("misuse");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, version_and_names);
    tcase_add_test(tests, calls_are_in_progress_until_looked_at);
    tcase_add_test(tests, nothing_goes_on_after_its_end);
    tcase_add_test(tests, revoked_is_not_finalized);
    tcase_add_test(tests, parent_of_an_aborting_shrink_is_only_aborted);
    tcase_add_test(tests, another_call_is_named);
    tcase_add_loop_test(tests, bus_ids_are_compared, 0, 2);
    tcase_add_test(tests, a_blocking_download_does_not_wait_for_ranks);
    tcase_add_test(tests, arguments_are_looked_at);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
