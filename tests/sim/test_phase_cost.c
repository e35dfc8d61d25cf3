/* Phases of a resize against figures worked out by hand, and what they take from forwards. */
#include "sim/phase_cost.h"

#include <check.h>
#include <stdlib.h>

#include "sim/phase_load.h"
#include "tests/sim/sim_fixture.h"

#define US     1e-6
#define NVLINK (450e9 * 0.7)
#define NIC    (50e9 * 0.9)
#define CHUNK  (16.0 * 1024 * 1024)

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static EepCostContext context;
static EepWorkerId workers[64];
static EepTime each[64];
static EepPhase phase;

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, 16);
    context = (EepCostContext){&model, &hardware, &options, 16};
    phase = (EepPhase){.n_workers = 24,
                       .workers = workers,
                       .n_ranks_old = 16,
                       .n_ranks_new = 24,
                       .n_receivers = 8,
                       .bytes = 17000000000};
}

static double seconds(EepPhaseKind kind)
{
    phase.kind = kind;
    return eep_time_to_seconds(eep_phase_cost(&context, &phase, each));
}

static double seconds_of(guint index)
{
    return eep_time_to_seconds(each[index]);
}

START_TEST(the_table_is_complete)
{
    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++) {
        ck_assert_uint_eq(eep_phase_costs[kind].kind, kind);
        ck_assert_uint_eq(eep_phase_loads[kind].kind, kind);
        ck_assert(eep_phase_names[kind] && eep_phase_help[kind]);
        ck_assert(eep_phase_costs[kind].formula[0] && eep_phase_costs[kind].source[0]);
    }
    ck_assert_double_eq(seconds(EEP_PHASE_COUNT), 0.0);
    hardware.constant_step = 1;
    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++)
        ck_assert_double_eq(seconds(kind), 0.0);
}
END_TEST

START_TEST(work_of_constant_length)
{
    ck_assert_double_eq_tol(seconds(EEP_PHASE_LAUNCH), 17.0, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_GRAPH_CAPTURE), 5.1, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WARM_UP), 3.0, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_KERNEL_WARM_UP), 3.0, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_RETIRE_GROUPS), 2.0, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_DESTROY), 2.0, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_SWITCH), 3e-3, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_KV_SYNC), 2e-3, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_MASK), 2e-3, 1e-9);
    phase.bytes = 450000;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_MAP_BROADCAST), 1e-3 + 450000 / NIC, 1e-9);
}
END_TEST

START_TEST(groups)
{
    /* Three communicators of 24 ranks: 1 s and 0.1 s a rank each. Two that are split: 0.5 s. */
    ck_assert_double_eq_tol(seconds(EEP_PHASE_STANDBY_GROUPS), 3 * (1 + 2.4), 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_COMM_SPLIT), 2 * (0.5 + 2.4), 1e-9);
}
END_TEST

START_TEST(weights_from_peers)
{
    /* 16 senders, 8 receivers: one each, over the NIC. */
    const double one = 17e9 / NIC + 10 * US;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_PEER), one, 1e-9);
    /* Three senders: 3, 3 and 2 receivers, one after another. */
    phase.n_ranks_old = 3;
    phase.n_workers = 11;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_PEER), 3 * one, 1e-8);
    for (guint i = 0; i < 8; i++)
        ck_assert_double_eq_tol(seconds_of(3 + i), (i % 3 + 1) * one, 1e-8);
    phase.n_receivers = 0;
    ck_assert_double_eq(seconds(EEP_PHASE_WEIGHTS_FROM_PEER), 0.0);
    ck_assert_double_eq(seconds(EEP_PHASE_WEIGHTS_TREE), 0.0);
}
END_TEST

START_TEST(weights_down_a_chain)
{
    /* One receiver a sender: as from a peer. */
    const double one = 17e9 / NIC + 10 * US, behind = CHUNK / NIC + 10 * US;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_TREE), one, 1e-9);
    ck_assert_double_eq_tol(seconds_of(0), one, 1e-9);
    /* Three receivers of one sender: each a chunk behind the one before it, instead of 3 times as
     * long; the sender is done when the first is. */
    phase.n_ranks_old = 3;
    phase.n_workers = 11;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_TREE), one + 2 * behind, 1e-8);
    ck_assert_double_eq_tol(seconds_of(0), one, 1e-8);
    for (guint i = 0; i < 8; i++)
        ck_assert_double_eq_tol(seconds_of(3 + i), one + i % 3 * behind, 1e-8);
    /* Within a node over NVLink; a worker of two GPUs has two links. */
    options.tensor_parallel_size = 2;
    phase.n_ranks_old = 2;
    phase.n_ranks_new = 8;
    phase.n_receivers = 3;
    phase.n_workers = 4;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_TREE),
                            (8.5e9 + 2 * CHUNK) / NVLINK + 3 * 4 * US, 1e-9);
}
END_TEST

START_TEST(weights_down_a_binary_tree)
{
    /* 40 receivers of one sender and little to send: five levels of two beat forty of one. */
    phase.n_ranks_old = 1;
    phase.n_ranks_new = 41;
    phase.n_workers = 41;
    phase.n_receivers = 40;
    phase.bytes = 1000000;
    const double level = 2 * 1e6 / NIC + 10 * US;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_TREE), 5 * level, 1e-9);
    ck_assert_double_eq_tol(seconds_of(0), level, 1e-9);
    static const guint places[] = {1, 2, 3, 6, 7, 14, 15, 30, 31, 40};
    static const guint levels[] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 5};
    for (guint i = 0; i < G_N_ELEMENTS(places); i++)
        ck_assert_double_eq_tol(seconds_of(places[i]), levels[i] * level, 1e-9);
    /* Much to send: the chain sends everything once, the tree twice. */
    phase.bytes = 17000000000;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_TREE),
                            (17e9 + 39 * CHUNK) / NIC + 40 * 10 * US, 1e-8);
}
END_TEST

START_TEST(weights_from_storage)
{
    /* Eight receivers share a host's disk at 10 GB/s and its page cache at 20 GB/s. */
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_DISK), 8 * 1.7, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_CACHE), 8 * 0.85, 1e-9);
    /* Hosts of four: each has half of them. */
    hardware.gpus_per_host = 4;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_DISK), 4 * 1.7, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_CACHE), 4 * 0.85, 1e-9);
    /* A single receiver is held up by its own PCIe when the host is fast. */
    phase.n_receivers = 1;
    hardware.host_bytes_per_s = 200e9;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_CACHE), 0.34, 1e-9);
    /* Pinned copies: every GPU over its own PCIe. */
    phase.n_receivers = 8;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_WEIGHTS_FROM_HOST), 0.34, 1e-9);
    ck_assert_double_eq_tol(seconds(EEP_PHASE_OFFLOAD), 0.34, 1e-9);
    options.tensor_parallel_size = 2;
    ck_assert_double_eq_tol(seconds(EEP_PHASE_OFFLOAD), 0.17, 1e-9);
}
END_TEST

/* -- what they take from forwards -- */

static guint8 on_others(EepPhaseKind kind)
{
    phase.kind = kind;
    return eep_phase_load_on_others(&hardware, &phase);
}

START_TEST(who_is_loaded)
{
    phase.kind = EEP_PHASE_WEIGHTS_TREE;
    ck_assert_uint_eq(eep_phase_load_on_worker(&phase),
                      EEP_LOAD_LINKS | EEP_LOAD_HBM | EEP_LOAD_SMS);
    phase.kind = EEP_PHASE_STANDBY_GROUPS;
    ck_assert_uint_eq(eep_phase_load_on_worker(&phase), EEP_LOAD_HOST);
    phase.kind = EEP_PHASE_COUNT;
    ck_assert_uint_eq(eep_phase_load_on_worker(&phase), 0);
    /* Ranks 16 to 23 begin a host of eight; rank 12 would share one. */
    ck_assert_uint_eq(on_others(EEP_PHASE_LAUNCH), 0);
    phase.n_ranks_old = 12;
    ck_assert_uint_eq(on_others(EEP_PHASE_LAUNCH), EEP_LOAD_HOST);
    ck_assert_uint_eq(on_others(EEP_PHASE_GRAPH_CAPTURE), 0);
    hardware.gpus_per_host = 4;
    ck_assert_uint_eq(on_others(EEP_PHASE_LAUNCH), 0);
    /* Shrinking starts nothing. */
    hardware.gpus_per_host = 0;
    phase.n_ranks_new = 8;
    ck_assert_uint_eq(on_others(EEP_PHASE_LAUNCH), 0);
}
END_TEST

static void check_slow(double background, guint8 load, double compute, double all2all, double cpu)
{
    EepStepSlowness slowness;
    eep_phase_load_slow(&hardware, background, load, &slowness);
    ck_assert_double_eq_tol(slowness.compute, compute, 1e-12);
    ck_assert_double_eq_tol(slowness.all2all, all2all, 1e-12);
    ck_assert_double_eq_tol(slowness.cpu, cpu, 1e-12);
}

START_TEST(how_much_longer)
{
    check_slow(1.0, 0, 1.0, 1.0, 1.0);
    check_slow(1.0, EEP_LOAD_HBM, 1 / 0.9, 1.0, 1.0);
    check_slow(1.0, EEP_LOAD_HBM | EEP_LOAD_SMS, 1 / 0.8, 1.0, 1.0);
    check_slow(1.0, EEP_LOAD_LINKS, 1.0, 2.0, 1.0);
    check_slow(1.0, EEP_LOAD_HOST, 1.0, 1.0, 4.0 / 3);
    check_slow(0.5, EEP_LOAD_LINKS | EEP_LOAD_HOST, 1.0, 4.0 / 3, 8.0 / 7);
    check_slow(0.0, EEP_LOAD_LINKS | EEP_LOAD_HOST | EEP_LOAD_SMS, 1.0, 1.0, 1.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phase_cost");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, the_table_is_complete);
    tcase_add_test(tcase, work_of_constant_length);
    tcase_add_test(tcase, groups);
    tcase_add_test(tcase, weights_from_peers);
    tcase_add_test(tcase, weights_down_a_chain);
    tcase_add_test(tcase, weights_down_a_binary_tree);
    tcase_add_test(tcase, weights_from_storage);
    tcase_add_test(tcase, who_is_loaded);
    tcase_add_test(tcase, how_much_longer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
