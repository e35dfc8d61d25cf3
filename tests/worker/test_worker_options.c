/* Flags and launchers' environments. */
#include <check.h>
#include <string.h>

#include "core/resize/group.h"
#include "gpu/worker/worker_options.h"

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const *variables; /* name, value, ..., NULL */

static const char *environment(const char *name)
{
    for (guint i = 0; variables != NULL && variables[i] != NULL; i += 2)
        if (strcmp(variables[i], name) == 0)
            return variables[i + 1];
    return NULL;
}

static gboolean parse(const char *const *env, const char *line, EepWorkerOptions *ret_options,
                      GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);

    variables = env;
    return eep_worker_options_parse((int)g_strv_length(words), words, environment, ret_options,
                                    error);
}

START_TEST(test_flags)
{
    EepWorkerOptions options;

    ck_assert(parse(
        NULL, "w --connect node0:4000 --token=" TOKEN " --rank 3 --device=1 --worker 9 --wait 2",
        &options, NULL));
    ck_assert_str_eq(options.connect, "node0:4000");
    ck_assert_str_eq(options.token, TOKEN);
    ck_assert_uint_eq(options.rank, 3);
    ck_assert_uint_eq(options.device, 1);
    ck_assert_uint_eq(options.worker, 9);
    ck_assert_int_eq(options.connect_ns, 2000000000);
    eep_worker_options_clear(&options);
}
END_TEST

static const struct {
    const char *env[9];
    guint32 rank;
    guint device;
} launchers[] = {
    {{"SLURM_PROCID", "5", "SLURM_LOCALID", "1"}, 5, 1},
    {{"OMPI_COMM_WORLD_RANK", "2", "OMPI_COMM_WORLD_LOCAL_RANK", "2"}, 2, 2},
    {{"PMI_RANK", "1", "MPI_LOCALRANKID", "3"}, 1, 3},
    {{"RANK", "7", "LOCAL_RANK", "0"}, 7, 0},
    {{"JOB_COMPLETION_INDEX", "4"}, 4, 0},
    /* One inside the other: the one that started the worker counts. */
    {{"SLURM_PROCID", "0", "SLURM_LOCALID", "0", "OMPI_COMM_WORLD_RANK", "3",
      "OMPI_COMM_WORLD_LOCAL_RANK", "1"},
     3,
     1},
    {{"SLURM_PROCID", "1", "SLURM_LOCALID", "0", "RANK", "6", "LOCAL_RANK", "2"}, 6, 2},
    {{"JOB_COMPLETION_INDEX", "1", "RANK", "5", "LOCAL_RANK", "1"}, 5, 1},
    {{NULL}, EEP_RANK_NONE, 0},
};

START_TEST(test_launchers)
{
    EepWorkerOptions options;

    ck_assert(parse(launchers[_i].env, "w --connect a:1 --token " TOKEN, &options, NULL));
    ck_assert_uint_eq(options.rank, launchers[_i].rank);
    ck_assert_uint_eq(options.device, launchers[_i].device);
    ck_assert(options.is_local_rank);
    eep_worker_options_clear(&options);
    /* A flag is nearer than the environment. */
    ck_assert(parse(launchers[_i].env, "w --connect a:1 --rank 6 --device 9 --token " TOKEN,
                    &options, NULL));
    ck_assert_uint_eq(options.rank, 6);
    ck_assert_uint_eq(options.device, 9);
    ck_assert(!options.is_local_rank);
    eep_worker_options_clear(&options);
}
END_TEST

START_TEST(test_address_and_token_of_the_environment)
{
    static const char *const env[] = {"MASTER_ADDR", "10.0.0.1", "MASTER_PORT", "29500",
                                      "EEP_TOKEN",   TOKEN,      NULL};
    EepWorkerOptions options;

    ck_assert(parse(env, "w", &options, NULL));
    ck_assert_str_eq(options.connect, "10.0.0.1:29500");
    ck_assert_str_eq(options.token, TOKEN);
    eep_worker_options_clear(&options);
}
END_TEST

/* srun tells from where it was called; MASTER_ADDR is nearer. */
START_TEST(test_address_of_slurm)
{
    static const char *const env[] = {
        "SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7", "MASTER_PORT", "29500", "EEP_TOKEN", TOKEN, NULL};
    static const char *const both[] = {"SLURM_LAUNCH_NODE_IPADDR",
                                       "10.0.0.7",
                                       "MASTER_ADDR",
                                       "node0",
                                       "MASTER_PORT",
                                       "29500",
                                       "EEP_TOKEN",
                                       TOKEN,
                                       NULL};
    EepWorkerOptions options;

    ck_assert(parse(env, "w", &options, NULL));
    ck_assert_str_eq(options.connect, "10.0.0.7:29500");
    eep_worker_options_clear(&options);
    ck_assert(parse(both, "w", &options, NULL));
    ck_assert_str_eq(options.connect, "node0:29500");
    eep_worker_options_clear(&options);
}
END_TEST

/* Who was spawned has a place, whatever the coordinator's environment says. */
START_TEST(test_spawned_heeds_no_launcher)
{
    static const char *const env[] = {"RANK",         "foo",  "LOCAL_RANK", "bar",
                                      "SLURM_PROCID", "2000", NULL};
    EepWorkerOptions options;

    ck_assert(parse(env, "w --connect a:1 --worker 2 --device 1 --token " TOKEN, &options, NULL));
    ck_assert_uint_eq(options.rank, EEP_RANK_NONE);
    ck_assert_uint_eq(options.device, 1);
    eep_worker_options_clear(&options);
}
END_TEST

static const struct {
    const char *env[5], *line, *says;
} wrongs[] = {
    {{NULL}, "w", "no address"},
    {{NULL}, "w --connect a:1", "no token"},
    {{NULL}, "w --connect a:1 --token 00ff", "no token of 64"},
    {{NULL}, "w --connect a:1 --token " TOKEN "00", "no token of 64"},
    {{NULL}, "w --conect a:1", "unknown flag '--conect'"},
    {{NULL}, "w --connect", "its value is missing"},
    {{NULL}, "w --connect a:1 --rank -1 --token " TOKEN, "--rank: '-1' is no whole number"},
    {{NULL}, "w --connect a:1 --rank 1024 --token " TOKEN, "from 0 to 1023"},
    {{"SLURM_PROCID", "x", NULL}, "w --connect a:1 --token " TOKEN, "SLURM_PROCID: 'x'"},
    {{"OMPI_COMM_WORLD_LOCAL_RANK", "-2", NULL}, "w --connect a:1 --token " TOKEN, "'-2'"},
    {{"MASTER_ADDR", "a", "MASTER_PORT", "http", NULL}, "w --token " TOKEN, "MASTER_PORT: 'http'"},
    {{"MASTER_ADDR", "a", "MASTER_PORT", "65536", NULL},
     "w --token " TOKEN,
     "MASTER_PORT: '65536'"},
    {{"MASTER_ADDR", "a", NULL}, "w --token " TOKEN, "no address"},
};

START_TEST(test_wrong)
{
    EepWorkerOptions options;
    GError *error = NULL;

    ck_assert(!parse(wrongs[_i].env, wrongs[_i].line, &options, &error));
    ck_assert(g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE));
    ck_assert_msg(strstr(error->message, wrongs[_i].says) != NULL, "%s", error->message);
    g_clear_error(&error);
}
END_TEST

START_TEST(test_help_needs_nothing)
{
    EepWorkerOptions options;

    ck_assert(parse(NULL, "w --help", &options, NULL));
    ck_assert(options.shows_help);
    eep_worker_options_clear(&options);
    ck_assert(parse(NULL, "w --version", &options, NULL));
    ck_assert(options.shows_version);
    eep_worker_options_clear(&options);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker options");
    TCase *flags = tcase_create("flags");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_test(flags, test_flags);
    tcase_add_loop_test(flags, test_launchers, 0, G_N_ELEMENTS(launchers));
    tcase_add_test(flags, test_address_and_token_of_the_environment);
    tcase_add_test(flags, test_address_of_slurm);
    tcase_add_test(flags, test_spawned_heeds_no_launcher);
    tcase_add_loop_test(flags, test_wrong, 0, G_N_ELEMENTS(wrongs));
    tcase_add_test(flags, test_help_needs_nothing);
    suite_add_tcase(suite, flags);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
