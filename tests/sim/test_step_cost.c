/* How pieces combine into a step: barriers, graph modes, padding, rounds, overlap, the CPU. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "sim/all2all.h"
#include "sim/predictor_sim.h"
#include "sim/step_cost.h"
#include "tests/sim/sim_fixture.h"

#define N  16
#define US 1e-6

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static EepSkewOptions skew;
static EepPlacement *placement;
static EepEngineWork work[N];
static EepStepPlan plan;

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, N);
    skew = (EepSkewOptions){EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    placement = eep_placement_new(58, 256, N, 18);
    fixture_decodes(&plan, work, N, 32, 2000);
    plan.placement = placement;
}

static void teardown(void)
{
    eep_placement_free(placement);
}

static EepStepCost cost_of(const EepStepPlan *what)
{
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              FALSE, 1);
    EepStepCost cost;
    predictor->ops->step(predictor, what, &cost);
    return cost;
}

static EepGraphMode mode_of(const EepStepPlan *what, guint *ret_rows)
{
    g_autoptr(EepStepModel) steps =
        eep_step_model_new(&model, &hardware, &options,
                           eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                        (guint)model.n_routed_experts, NULL, NULL, NULL),
                           FALSE, 1);
    return eep_step_model_graph_mode(steps, what, ret_rows);
}

/* -- the sum -- */

START_TEST(test_parts_sum_to_the_step)
{
    EepStepCost cost = cost_of(&plan);
    double sum = cost.attention_s + cost.all2all_s + cost.experts_s + cost.other_s + cost.cpu_s;
    ck_assert_int_eq(cost.step, eep_time_from_seconds(sum));
    ck_assert_double_gt(cost.imbalance, 1.0);

    /* By the models, one by one, for 32 rows, a captured size. */
    EepCostContext context = {&model, &hardware, &options, N};
    EepCostWork engine = {
        .rows = 32, .decodes = 32, .decode_context_tokens = 64000, .sequences = 32};
    ck_assert_double_eq_tol(cost.attention_s, 61 * eep_cost_attention.seconds(&context, &engine),
                            1e-9);
    EepCostWork sent = {.max_rank_tokens = 32, .total_tokens = 32 * N};
    ck_assert_double_eq_tol(cost.all2all_s, 58 * eep_cost_all2all.seconds(&context, &sent), 1e-9);
    engine.received_rows = 32 * N * cost.imbalance; /* all-gather: every rank gets every row */
    ck_assert_double_eq_tol(cost.other_s,
                            58 * (eep_cost_router.seconds(&context, &engine) +
                                  eep_cost_shared_expert.seconds(&context, &engine)) +
                                3 * eep_cost_dense_ffn.seconds(&context, &engine) +
                                eep_cost_head.seconds(&context, &engine),
                            1e-9);
}
END_TEST

START_TEST(test_repeats_and_forgets)
{
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              FALSE, 1);
    EepStepCost first, second;
    predictor->ops->step(predictor, &plan, &first);
    predictor->ops->step(predictor, &plan, &second);
    ck_assert_int_eq(first.step, second.step);
    ck_assert_double_eq(first.experts_s, second.experts_s);
    /* The memo must not outlive the placement. */
    g_autofree gint32 *row =
        g_memdup2(eep_placement_layer(placement, 0), placement->n_slots * sizeof(gint32));
    for (guint slot = 0; slot < 18; slot++)
        row[slot] = (gint32)(slot % 2); /* rank 0 has two experts, nine times each */
    for (guint e = 2; e < 18; e++)
        row[272 + e - 2] = (gint32)e; /* and the redundant slots keep the others alive */
    eep_placement_set_layer(placement, 0, row);
    predictor->ops->step(predictor, &plan, &second);
    ck_assert_double_ne(first.experts_s, second.experts_s);
    EepStepCost fresh = cost_of(&plan);
    ck_assert_double_eq(fresh.experts_s, second.experts_s);
}
END_TEST

START_TEST(test_no_placement_runs_no_experts)
{
    plan.placement = NULL;
    EepStepCost cost = cost_of(&plan);
    ck_assert_double_eq_tol(cost.experts_s, 58 * 7 * 3 * US, 1e-9);
}
END_TEST

/* -- barriers -- */

START_TEST(test_one_prefill_raises_the_step_for_all)
{
    EepStepCost quiet = cost_of(&plan);
    fixture_add_prefill(&work[5], 8000);
    EepStepCost mixed = cost_of(&plan);
    ck_assert_int_gt(mixed.step, 2 * quiet.step);
    ck_assert_double_gt(mixed.attention_s, 2 * quiet.attention_s);
    /* The same tokens spread over all engines hurt less. */
    fixture_decodes(&plan, work, N, 32, 2000);
    plan.placement = placement;
    for (guint i = 0; i < N; i++)
        fixture_add_prefill(&work[i], 500);
    EepStepCost spread = cost_of(&plan);
    ck_assert_int_lt(spread.step, mixed.step);
    ck_assert_double_lt(spread.attention_s, mixed.attention_s);
}
END_TEST

START_TEST(test_longest_context_decides)
{
    EepStepCost even = cost_of(&plan);
    work[3].decode_context_tokens *= 10;
    EepStepCost uneven = cost_of(&plan);
    ck_assert_double_gt(uneven.attention_s, even.attention_s);
    ck_assert_double_eq(uneven.experts_s, even.experts_s);
    work[9].decode_context_tokens *= 5; /* below the largest: no matter */
    ck_assert_double_eq(cost_of(&plan).attention_s, uneven.attention_s);
}
END_TEST

/* -- graph modes and padding -- */

START_TEST(test_lowest_graph_mode_of_any_rank)
{
    guint rows;
    ck_assert_int_eq(mode_of(&plan, &rows), EEP_GRAPH_FULL);
    ck_assert_uint_eq(rows, 32);
    work[0].n_decodes = 33;
    ck_assert_int_eq(mode_of(&plan, &rows), EEP_GRAPH_FULL);
    ck_assert_uint_eq(rows, 40);
    fixture_add_prefill(&work[7], 100);
    ck_assert_int_eq(mode_of(&plan, &rows), EEP_GRAPH_PIECEWISE);
    ck_assert_uint_eq(rows, 136);
    fixture_add_prefill(&work[7], 500);
    ck_assert_int_eq(mode_of(&plan, &rows), EEP_GRAPH_NONE);
    ck_assert_uint_eq(rows, 632);
    fixture_decodes(&plan, work, N, 8, 100);
    options.enforce_eager = TRUE;
    ck_assert_int_eq(mode_of(&plan, &rows), EEP_GRAPH_NONE);
}
END_TEST

/* With a graph all ranks pad to the largest: dense work and sent rows grow, KV reads and expert
 * load do not. */
START_TEST(test_padding_costs_dense_work_and_sends_only)
{
    work[0].n_decodes = 36;
    work[0].decode_context_tokens = 64000;
    EepStepCost first = cost_of(&plan);
    work[0].n_decodes = 37; /* both pad to 40 rows; one more real token */
    work[1].n_decodes = 31; /* taken from another engine */
    EepStepCost second = cost_of(&plan);
    ck_assert_double_eq(first.attention_s, second.attention_s);
    ck_assert_double_eq(first.experts_s, second.experts_s);
    ck_assert_double_eq(first.all2all_s, second.all2all_s);

    EepCostContext context = {&model, &hardware, &options, N};
    EepCostWork sent = {.max_rank_tokens = 40, .total_tokens = 40 * N};
    ck_assert_double_eq_tol(first.all2all_s, 58 * eep_cost_all2all.seconds(&context, &sent), 1e-9);

    /* Eager: each rank has its own rows, and the gather moves the real ones. */
    options.enforce_eager = TRUE;
    EepStepCost eager = cost_of(&plan);
    sent = (EepCostWork){.max_rank_tokens = 37, .total_tokens = 14 * 32 + 31 + 37};
    ck_assert_double_eq_tol(eager.all2all_s, 58 * eep_cost_all2all.seconds(&context, &sent), 1e-9);
    ck_assert_double_lt(eager.attention_s, second.attention_s);
}
END_TEST

/* -- rounds -- */

START_TEST(test_rounds_read_the_experts_again)
{
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    fixture_decodes(&plan, work, N, 256, 100);
    plan.placement = placement;
    EepStepCost one = cost_of(&plan);
    fixture_decodes(&plan, work, N, 512, 100);
    plan.placement = placement;
    EepStepCost two = cost_of(&plan);
    ck_assert_double_eq_tol(two.experts_s / one.experts_s, 2.0, 1e-9);
    ck_assert_double_eq_tol(two.all2all_s / one.all2all_s, 2.0, 1e-9);
    /* The last round is smaller, but costs its latency and reads what it needs. */
    options.enforce_eager = TRUE;
    fixture_decodes(&plan, work, N, 257, 100);
    plan.placement = placement;
    EepStepCost more = cost_of(&plan);
    ck_assert_double_gt(more.experts_s, 1.3 * one.experts_s);
    ck_assert_double_lt(more.experts_s, two.experts_s);
}
END_TEST

/* -- dual batch overlap -- */

START_TEST(test_micro_batches)
{
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    fixture_decodes(&plan, work, N, 128, 4000);
    plan.placement = placement;
    EepStepCost whole = cost_of(&plan);
    options.enable_dbo = TRUE;
    EepStepCost overlapped = cost_of(&plan);
    /* Each half reads its experts again; communication hides behind the other half's compute. */
    ck_assert_double_gt(overlapped.experts_s, 1.6 * whole.experts_s);
    ck_assert_double_lt(overlapped.all2all_s, whole.all2all_s);
    double sum = overlapped.attention_s + overlapped.all2all_s + overlapped.experts_s +
                 overlapped.other_s + overlapped.cpu_s;
    ck_assert_int_eq(overlapped.step, eep_time_from_seconds(sum));
    /* One rank below the threshold: nobody splits. */
    work[2].n_decodes = 31;
    EepStepCost unsplit = cost_of(&plan);
    ck_assert_double_lt(unsplit.experts_s, 1.01 * whole.experts_s);
    /* Not with elastic EP. */
    work[2].n_decodes = 128;
    options.enable_elastic_ep = TRUE;
    ck_assert_int_eq(cost_of(&plan).step, whole.step);
}
END_TEST

/* -- dummies -- */

START_TEST(test_dummy_step)
{
    fixture_decodes(&plan, work, N, 0, 0);
    plan.placement = placement;
    plan.is_dummy = TRUE;
    EepStepCost dummy = cost_of(&plan);
    ck_assert_double_eq(dummy.imbalance, 0.0);
    /* As one decode each, but for the KV read. */
    fixture_decodes(&plan, work, N, 1, 0);
    plan.placement = placement;
    EepStepCost single = cost_of(&plan);
    ck_assert_int_eq(dummy.step, single.step);
    ck_assert_double_gt(single.imbalance, 1.5);
}
END_TEST

START_TEST(test_constant_profile)
{
    hardware.constant_step = 7 * EEP_NS_PER_MS;
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              FALSE, 1);
    EepStepCost cost;
    predictor->ops->step(predictor, &plan, &cost);
    ck_assert_int_eq(cost.step, 7 * EEP_NS_PER_MS);
    ck_assert(predictor->ops->idle_steps_are_free(predictor));
    ck_assert_uint_ne(predictor->ops->popularity_version(predictor), 0);
}
END_TEST

/* -- the CPU -- */

START_TEST(test_scheduling_modes)
{
    double gpu = eep_time_to_seconds(cost_of(&plan).step);
    hardware.cpu_step = 2 * EEP_NS_PER_MS;
    hardware.cpu_per_request = 10 * EEP_NS_PER_US;
    hardware.cpu_graph_launch = 300 * EEP_NS_PER_US;
    ck_assert_double_gt(gpu, 2.62e-3);
    EepStepCost async = cost_of(&plan);
    ck_assert_double_eq_tol(eep_time_to_seconds(async.step), gpu, 2e-9); /* hidden */
    ck_assert_double_eq_tol(async.cpu_s, 0.0, 1e-12);
    options.async_scheduling = FALSE;
    EepStepCost sync = cost_of(&plan);
    ck_assert_double_eq_tol(eep_time_to_seconds(sync.step), gpu + 2.62e-3, 2e-9);
    ck_assert_double_eq_tol(sync.cpu_s, 2.62e-3, 1e-12);
    /* A CPU slower than the GPU shows in spite of async scheduling. */
    options.async_scheduling = TRUE;
    hardware.cpu_step = EEP_NS_PER_S;
    ck_assert_double_eq_tol(eep_time_to_seconds(cost_of(&plan).step), 1.00062, 1e-8);
    /* Eager launches overlap with the GPU, scheduling does not. */
    options.async_scheduling = FALSE;
    options.enforce_eager = TRUE;
    hardware.cpu_step = 2 * EEP_NS_PER_MS;
    hardware.cpu_eager_layer = EEP_NS_PER_MS;
    ck_assert_double_eq_tol(eep_time_to_seconds(cost_of(&plan).step), 2.32e-3 + fmax(61e-3, gpu),
                            1e-6);
}
END_TEST

/* -- tensor parallelism -- */

START_TEST(test_tensor_parallel)
{
    EepStepCost one = cost_of(&plan);
    options.tensor_parallel_size = 2;
    EepPlacement *wide = eep_placement_new(58, 256, 2 * N, 9);
    plan.placement = wide;
    EepStepCost two = cost_of(&plan);
    ck_assert_double_lt(two.attention_s, one.attention_s);
    ck_assert_double_lt(two.experts_s, one.experts_s);
    eep_placement_free(wide);
}
END_TEST

/* -- the two modes, seam to seam -- */

START_TEST(test_sampled_predictor)
{
    g_autoptr(EepPredictor) expected =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              FALSE, 1);
    g_autoptr(EepPredictor) sampled =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              TRUE, 1);
    EepStepCost cost, again;
    double sum = 0.0;
    for (guint step = 0; step < 40; step++) {
        plan.first_step = step;
        sampled->ops->step(sampled, &plan, &cost);
        sum += cost.experts_s / 40;
    }
    sampled->ops->step(sampled, &plan, &again);
    ck_assert_int_eq(cost.step, again.step); /* the same step draws the same */
    expected->ops->step(expected, &plan, &cost);
    ck_assert_double_eq_tol(cost.experts_s / sum, 1.0, 0.02);

    gsize cells = eep_sim_predictor_load_cells(expected);
    ck_assert_uint_eq(cells, 58 * 256);
    g_autofree double *load = g_new0(double, cells), *drawn = g_new0(double, cells);
    expected->ops->add_load(expected, 0, 1000, load);
    eep_sim_predictor_add_step_load(sampled, 1, 3, 2, &(EepTokenMix){.n = {500}}, drawn);
    double total = 0.0, total_drawn = 0.0;
    for (gsize i = 0; i < cells; i++) {
        total += load[i];
        total_drawn += drawn[i];
    }
    ck_assert_double_eq_tol(total, 58.0 * 8000, 1e-3);
    ck_assert_double_eq(total_drawn, 58.0 * 8000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_cost");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_parts_sum_to_the_step);
    tcase_add_test(tcase, test_repeats_and_forgets);
    tcase_add_test(tcase, test_no_placement_runs_no_experts);
    tcase_add_test(tcase, test_one_prefill_raises_the_step_for_all);
    tcase_add_test(tcase, test_longest_context_decides);
    tcase_add_test(tcase, test_lowest_graph_mode_of_any_rank);
    tcase_add_test(tcase, test_padding_costs_dense_work_and_sends_only);
    tcase_add_test(tcase, test_rounds_read_the_experts_again);
    tcase_add_test(tcase, test_micro_batches);
    tcase_add_test(tcase, test_dummy_step);
    tcase_add_test(tcase, test_constant_profile);
    tcase_add_test(tcase, test_scheduling_modes);
    tcase_add_test(tcase, test_tensor_parallel);
    tcase_add_test(tcase, test_sampled_predictor);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
