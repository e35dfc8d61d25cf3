/* Starting: who is let in, who is not, what is said, and that it ends in time with nobody left. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/coordinator/coordinator_kit.h"

typedef struct {
    const char *modes, *said; /* what the user reads */
    double limit_s;
} Bad;

static const Bad bad[] = {
    {"2.wrong_token", "has no valid token", 2.0},
    {"2.version", "of the protocol (fake), this coordinator version", 2.0},
    {"2.garbage", "no message of this protocol", 2.0},
    {"2.stall", "ended within", 2.5},
    {"2.real", "has a real GPU", 2.0},
    {"*.same_gpu", "has worker", 2.0},
    {"2.die_before_ready", "worker 2 is lost", 2.0},
    {"2.anonymous", "starts its workers itself", 2.0},
    {"2.die_at_phase=standby_groups", "worker 2 is lost", 2.0},
    {"2.fail_at_phase=standby_groups", "standby_groups of epoch 1 ended group_broken: as told",
     2.0},
};

static void expect_bad(const Bad *expected)
{
    Kit *kit = kit_new(3, expected->modes);
    g_autoptr(GError) error = NULL;
    gint64 begin = eep_monotonic_ns();

    kit->gpu.start_timeout = 1500 * EEP_NS_PER_MS;
    ck_assert(!kit_start(kit, &error));
    ck_assert(g_error_matches(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START));
    g_string_append(kit->said, error->message);
    if (strcmp(expected->said, "ended within") != 0)
        ck_assert_msg(strstr(kit->said->str, expected->said) != NULL, "%s: %s", expected->modes,
                      kit->said->str);
    kit_free(kit);
    ck_assert_msg(kit_since(begin) < expected->limit_s, "%s took %.2f s", expected->modes,
                  kit_since(begin));
}

START_TEST(refuses_and_ends_in_time)
{
    expect_bad(&bad[_i]);
}
END_TEST

START_TEST(comes_up_and_goes)
{
    Kit *kit = kit_new(4, "");
    g_autoptr(GError) error = NULL;
    gint64 begin;

    ck_assert_msg(kit_start(kit, &error), "%s", error != NULL ? error->message : "");
    ck_assert_uint_eq(eep_cuda_backend_n_workers(kit->backend), 4);
    for (guint i = 0; i < 4; i++) {
        const EepCudaWorkerFacts *facts = eep_cuda_backend_worker(kit->backend, i);

        ck_assert_uint_eq(facts->worker, i + 1);
        ck_assert_str_eq(facts->host, "here");
        ck_assert(facts->device.is_emulated);
    }
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_spawned, 4);
    begin = eep_monotonic_ns();
    kit_free(kit);
    ck_assert_double_lt(kit_since(begin), 0.25); /* nobody had to be killed */
}
END_TEST

START_TEST(kills_who_does_not_leave)
{
    Kit *kit = kit_new(2, "2.never_leaves");
    gint64 begin;

    ck_assert(kit_start(kit, NULL));
    begin = eep_monotonic_ns();
    kit_free(kit);
    ck_assert_double_ge(kit_since(begin), 0.28);
    ck_assert_double_lt(kit_since(begin), 1.0);
}
END_TEST

START_TEST(listens_on_a_unix_socket)
{
    g_autofree char *folder = g_dir_make_tmp("eep-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "door", NULL);
    g_autofree char *address = g_strconcat("unix:", path, NULL);
    Kit *kit = kit_new(2, "");

    kit->gpu.listen = address;
    ck_assert(kit_start(kit, NULL));
    ck_assert_str_eq(eep_cuda_backend_address(kit->backend), address);
    ck_assert_uint_eq(strlen(eep_cuda_backend_token(kit->backend)), 64);
    kit_free(kit);
    ck_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
    rmdir(folder);
}
END_TEST

/* Unless told otherwise: no port that anybody could try, no file that could be left. */
START_TEST(listens_for_its_own_workers_alone)
{
    Kit *kit = kit_new(2, "");

    ck_assert(kit_start(kit, NULL));
    ck_assert(g_str_has_prefix(eep_cuda_backend_address(kit->backend), "unix:@"));
    ck_assert_uint_gt(strlen(eep_cuda_backend_address(kit->backend)), strlen("unix:@"));
    kit_free(kit);
}
END_TEST

START_TEST(hosts_logical_ranks_in_one_process)
{
    Kit *kit = kit_new(3, "*.same_gpu");
    EepOpId step;

    kit->gpu.transport = EEP_TRANSPORT_LOOPBACK;
    ck_assert(kit_start(kit, NULL));
    step = kit_step(kit);
    ck_assert(kit_wait(kit, 1));
    ck_assert_int_eq(kit_whole(kit, step)->done, EEP_DONE_OK);
    kit_free(kit);
}
END_TEST

START_TEST(says_why_an_address_cannot_be_listened_on)
{
    static char nowhere[] = "192.0.2.1:0", nonsense[] = "here";
    g_autoptr(GError) error = NULL;
    Kit *kit = kit_new(1, "");

    kit->gpu.listen = nowhere;
    ck_assert(!kit_start(kit, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "no such address"));
    g_clear_error(&error);
    kit->gpu.listen = nonsense;
    ck_assert(!kit_start(kit, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "HOST:PORT or unix:PATH"));
    kit_free(kit);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_start");
    TCase *tcase = tcase_create("cuda_start");

    tcase_add_loop_test(tcase, refuses_and_ends_in_time, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tcase, comes_up_and_goes);
    tcase_add_test(tcase, kills_who_does_not_leave);
    tcase_add_test(tcase, listens_on_a_unix_socket);
    tcase_add_test(tcase, listens_for_its_own_workers_alone);
    tcase_add_test(tcase, hosts_logical_ranks_in_one_process);
    tcase_add_test(tcase, says_why_an_address_cannot_be_listened_on);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
