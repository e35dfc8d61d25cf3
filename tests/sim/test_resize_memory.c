/* What a resize holds twice, generation by generation. */
#include "sim/resize_memory.h"

#include <check.h>
#include <stdlib.h>

#include "tests/sim/sim_fixture.h"

#define GROUPS ((gint64)400e6)
#define GRAPHS ((gint64)2e9)

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, 16);
    hardware.standby_group_bytes = GROUPS;
    hardware.graph_bytes = GRAPHS;
    options.eplb_config.num_redundant_experts = 32;
}

static void check(const char *generation, EepAll2allBackend backend, gint64 groups, gint64 buffers,
                  gint64 graphs)
{
    const EepCostContext context = {&model, &hardware, &options, 16};
    EepResizeMemory memory;

    options.all2all_backend = (gint)backend;
    eep_resize_memory(&context, eep_generation_find(generation), &memory);
    ck_assert_int_eq(memory.groups, groups);
    ck_assert_int_eq(memory.buffers, buffers);
    ck_assert_int_eq(memory.graphs, graphs);
    ck_assert_int_eq(eep_resize_memory_total(&memory), groups + buffers + graphs);
}

START_TEST(generations)
{
    static const EepAll2allBackend gather = EEP_ALL2ALL_ALLGATHER_REDUCESCATTER;

    /* Old engines are gone before anything new is there; reserved ranks need no new groups. */
    check("restart", gather, 0, 0, 0);
    check("masked", EEP_ALL2ALL_NIXL_EP, 0, 0, 0);
    /* Graphs are released before they are captured again, after the group is adopted. */
    check("g2", gather, GROUPS, 0, 0);
    check("g2.1", gather, GROUPS, 0, 0);
    check("g3", EEP_ALL2ALL_NIXL_EP, GROUPS, 0, 0);
    /* What can be rolled back keeps the old ones; with nixl_ep they are not captured again. */
    check("eep", gather, GROUPS, 0, GRAPHS);
    check("eep", EEP_ALL2ALL_NIXL_EP, GROUPS, 0, 0);
    options.enforce_eager = TRUE;
    check("eep", gather, GROUPS, 0, 0);
}
END_TEST

START_TEST(buffers_of_the_new_size)
{
    /* 288 experts, 256 tokens of 2 * 7168 + 4 * 56 bytes, sent and received, twice over. */
    check("g2.1", EEP_ALL2ALL_DEEPEP_LOW_LATENCY, GROUPS, G_GINT64_CONSTANT(4) * 288 * 256 * 14560,
          0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_memory");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, generations);
    tcase_add_test(tcase, buffers_of_the_new_size);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
