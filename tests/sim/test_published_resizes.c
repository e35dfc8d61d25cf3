/* Generations on DeepSeek-V2-Lite and H100 against the few published figures: prints the sums of
 * their rows and what makes them up, and bounds how far off they are.
 *
 * A sum of rows, not a run: no requests, no barriers, no pause. The figures are from reports that
 * do not say which graph mode, traffic or storage they had (docs/costs.md); constants are the
 * bundled profile's, the same for all. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/resize/generation.h"
#include "scenarios/profile.h"
#include "sim/phase_cost.h"

#define MAX_ENGINES 8

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static const char *const folders[] = {"scenarios", NULL};

static void setup(void)
{
    GError *error = NULL;
    g_autoptr(EepProfile) machine =
        eep_profile_load(&eep_profile_hardware, "h100-sxm", folders, &hardware, &error);
    g_autoptr(EepProfile) shape =
        eep_profile_load(&eep_profile_model, "deepseek-v2-lite", folders, &model, &error);

    ck_assert_msg(machine != NULL && shape != NULL, "%s", error != NULL ? error->message : "");
    options = (EepPoolOptions){.tensor_parallel_size = 1,
                               .data_parallel_size = 8,
                               .all2all_backend = EEP_ALL2ALL_ALLGATHER_REDUCESCATTER,
                               .max_num_seqs = 256,
                               .max_cudagraph_capture_size = 512};
    options.eplb_config.num_redundant_experts = 64;
}

static void teardown(void)
{
    eep_options_clear(&eep_hardware_options, &hardware);
    eep_options_clear(&eep_model_options, &model);
}

/* 16 slots a rank: launched at 8 with 64 redundant experts. */
static gint64 weight_bytes(EepBytes bytes)
{
    const gint64 rest = eep_model_non_expert_bytes(&model, 1);
    const gint64 experts = 16 * eep_model_n_moe_layers(&model) * eep_model_expert_bytes(&model);

    switch (bytes) {
    case EEP_BYTES_NON_EXPERT:
        return rest;
    case EEP_BYTES_ALL_WEIGHTS:
        return rest + experts;
    case EEP_BYTES_MAP:
        return 26 * 128 * 8;
    default:
        return 0;
    }
}

static double row_seconds(const EepGenerationRow *row, guint from, guint to)
{
    static const EepWorkerId workers[MAX_ENGINES] = {1, 2, 3, 4, 5, 6, 7, 8};
    const EepCostContext context = {&model, &hardware, &options, to};
    const guint staying = MIN(from, to), fresh = to - staying, leaving = from - staying;
    const guint n = (row->who & EEP_WHO_STAYING ? staying : 0) +
                    (row->who & EEP_WHO_NEW ? fresh : 0) +
                    (row->who & EEP_WHO_REMOVING ? leaving : 0);
    const EepPhase phase = {.kind = row->kind,
                            .n_workers = n,
                            .workers = workers,
                            .n_ranks_old = from,
                            .n_ranks_new = to,
                            .bytes = weight_bytes(row->bytes),
                            .n_receivers = row->receivers == EEP_WHO_NEW        ? fresh
                                           : row->receivers == EEP_WHO_REMOVING ? leaving
                                                                                : 0};
    /* At most a rank's 16 slots of each layer arrive. */
    if (row->act == EEP_ACT_RESHUFFLE)
        return 26 * (eep_time_to_seconds(hardware.eplb_layer_overhead) +
                     16 * (double)eep_model_expert_bytes(&model) /
                         (hardware.nvlink_bytes_per_s * hardware.nvlink_efficiency));
    return row->act == EEP_ACT_PHASE ? eep_time_to_seconds(eep_phase_cost(&context, &phase, NULL))
                                     : 0.0;
}

/* All rows that the caller waits for. */
static double total(const char *name, guint from, guint to, gboolean graphs)
{
    const EepGeneration *generation = eep_generation_find(name);
    const EepGenerationPlan *plan = to > from ? &generation->up : &generation->down;
    const guint facts = EEP_WHEN_FROM_PEER | EEP_WHEN_SYNC_EPLB | EEP_WHEN_RECAPTURE |
                        (graphs ? EEP_WHEN_GRAPHS : 0);
    double sum = 0.0;

    printf("%s %u->%u %s:", name, from, to, graphs ? "graphs" : "eager");
    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];
        const gboolean is_aside = row->who == EEP_WHO_REMOVING && !row->blocks;
        if ((row->when & ~facts) != 0 || row->in_background || is_aside ||
            row->stage == EEP_STAGE_UNDO)
            continue;
        const double seconds = row_seconds(row, from, to);
        if (seconds >= 0.1)
            printf(" %s %.1f", eep_generation_row_name(row), seconds);
        sum += seconds;
    }
    printf(" = %.1f s\n", sum);
    return sum;
}

static void check_ratio(double seconds, double published, double low, double high)
{
    const double ratio = seconds / published;
    printf("    published %.0f s: %.2f of it\n", published, ratio);
    ck_assert_double_ge(ratio, low);
    ck_assert_double_le(ratio, high);
}

/* vllm #43788: about 31 s up and 7 s down, V2-Lite, 8 GPUs, sizes not said. */
START_TEST(g1)
{
    check_ratio(total("g1", 4, 8, FALSE), 31, 0.7, 1.0);
    check_ratio(total("g1", 4, 8, TRUE), 31, 0.9, 1.1);
    check_ratio(total("g1", 8, 4, FALSE), 7, 0.8, 1.3);
    check_ratio(total("g1", 8, 4, TRUE), 7, 1.4, 2.2);
}
END_TEST

/* vllm #20775: about 55 s up and 40 s down, model not said. Graph capture and compilation were
 * slower then: with what vllm #20264 measured in June 2025, 17 s and 7.5 s, both come near. */
START_TEST(m1)
{
    check_ratio(total("m1", 4, 5, TRUE), 55, 0.5, 0.7);
    check_ratio(total("m1", 5, 4, TRUE), 40, 0.35, 0.55);
    hardware.graph_capture_size = 17 * EEP_NS_PER_S / 51;
    hardware.kernel_warmup += 75 * EEP_NS_PER_S / 10;
    check_ratio(total("m1", 4, 5, TRUE), 55, 0.8, 1.1);
    check_ratio(total("m1", 5, 4, TRUE), 40, 0.75, 1.1);
}
END_TEST

/* vllm #43788 and #44994: about 4 and 3 s either way on 8 GPUs. */
START_TEST(masked)
{
    check_ratio(total("masked", 4, 8, TRUE), 3, 0.7, 1.3);
    check_ratio(total("masked", 8, 4, TRUE), 3, 0.5, 1.3);
}
END_TEST

/* vllm #53947: 2 to 3 engines on H200, committed about 33 s after the request. Its orchestrator
 * starts a pod, which is not in the rows. */
START_TEST(g2)
{
    check_ratio(total("g2.1", 2, 3, FALSE), 33, 0.7, 1.1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("published_resizes");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, g1);
    tcase_add_test(tcase, m1);
    tcase_add_test(tcase, masked);
    tcase_add_test(tcase, g2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
