/* Triggers through a pool. Two engines, four experts in one MoE layer, two on each rank, 0 and 1 on
 * the first; steps of 10 ns. Every step brings each expert one token, from the 60th on experts 0
 * and 1 eight and the others two, so that the first rank has 16 of 20 where 10 would do:
 * balancedness 10/16. Looks every 20 steps at the last 20, the first after five: at 50, 250, 450
 * the load is even, at 650 it is 15 even steps and 5 others, (30 + 50 tokens on each rank if
 * spread, 30 + 80 on the first): 80/110. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define N_EXPERTS 4
#define LATER     60

static const double even[N_EXPERTS] = {1, 1, 1, 1}, skewed[N_EXPERTS] = {8, 8, 2, 2};
static const double nothing[N_EXPERTS];
static const EepArrival one_request = {.prompt_tokens = 4, .output_tokens = 200};

static KitConfig config;

static void setup(void)
{
    kit_config_init(&config);
    config.options.data_parallel_size = 2;
    config.options.enable_eplb = TRUE;
    config.options.eplb_config.window_size = 20;
    config.options.eplb_config.step_interval = 100;
    config.shape.n_blocks = 10000;
    config.shape.n_moe_layers = 1;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 1000;
    config.costs.move = 1;
    config.costs.per_expert_token = 1;
    config.costs.idle_steps_are_free = TRUE;
    config.costs.n_cells = N_EXPERTS;
    config.costs.load = even;
    config.costs.later_load = skewed;
    config.costs.later_step = LATER;
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void set_trigger(EepEplbTriggerKind kind, gboolean use_async)
{
    config.options.eplb_config.trigger = kind;
    config.options.eplb_config.use_async = use_async;
}

/* What looks come to, in the order of time; those that move end at `at`. */
typedef struct {
    EepTime at;
    const char *reason; /* NULL: rearranged */
    double balancedness;
    double saved_ns, cost_ns; /* 0, 0: not asked for */
} Look;

static void assert_worth(const EepEplbWorth *worth, const Look *look)
{
    ck_assert(worth->is_known == (look->saved_ns != 0.0 || look->cost_ns != 0.0));
    ck_assert_double_eq_tol(worth->saved_s * 1e9, look->saved_ns, 1e-9);
    ck_assert_double_eq_tol(worth->cost_s * 1e9, look->cost_ns, 1e-9);
}

static void assert_looks(const KitRun *run, const Look *looks, guint n)
{
    const char *name = eep_eplb_trigger_names[config.options.eplb_config.trigger];
    guint n_kept = 0, n_moved = 0;

    for (guint i = 0; i < n; i++) {
        if (looks[i].reason == NULL) {
            ck_assert_uint_lt(n_moved, run->rearranged->len);
            const KitRearranged *moved = kit_nth(run->rearranged, KitRearranged, n_moved++);
            ck_assert_int_eq(moved->at, looks[i].at);
            ck_assert_str_eq(moved->all.trigger, name);
            ck_assert_double_eq_tol(moved->all.balancedness_before, looks[i].balancedness, 1e-12);
            assert_worth(&moved->all.worth, &looks[i]);
            continue;
        }
        ck_assert_uint_lt(n_kept, run->kept->len);
        const KitKept *kept = kit_nth(run->kept, KitKept, n_kept++);
        ck_assert_int_eq(kept->at, looks[i].at);
        ck_assert_str_eq(kept->all.reason, looks[i].reason);
        ck_assert_str_eq(kept->all.trigger, name);
        ck_assert_double_eq_tol(kept->all.balancedness, looks[i].balancedness, 1e-12);
        assert_worth(&kept->all.worth, &looks[i]);
    }
    ck_assert_uint_eq(run->kept->len, n_kept);
    ck_assert_uint_eq(run->rearranged->len, n_moved);
    ck_assert_uint_eq(run->counts.n_reshuffles, n_moved);
}

/* Uneven at 650 and 850: the second look plans. Asynchronously the layer switches with the step
 * that ends after its move. */
START_TEST(imbalance_async)
{
    static const Look looks[] = {{50, "balanced", 1},    {250, "balanced", 1},
                                 {450, "balanced", 1},   {650, "not_yet", 80.0 / 110},
                                 {860, NULL, 10.0 / 16}, {1050, "balanced", 1},
                                 {1250, "balanced", 1},  {1450, "balanced", 1},
                                 {1650, "balanced", 1},  {1850, "balanced", 1}};

    set_trigger(EEP_EPLB_TRIGGER_IMBALANCE, TRUE);
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    assert_looks(run, looks, G_N_ELEMENTS(looks));
    const EepRearrangement *moved = &kit_nth(run->rearranged, KitRearranged, 0)->all;
    ck_assert_uint_eq(moved->n_experts_moved, 2);
    ck_assert_int_eq(moved->bytes_moved, 2000);
    ck_assert_double_eq(moved->balancedness_after, 1.0);
    ck_assert_int_eq(moved->stalled, 0);
    ck_assert_int_eq(run->results[0].finish, 2000);
}
END_TEST

/* The same with serving stopped for the 25 ns of the move. */
START_TEST(imbalance_sync)
{
    static const Look looks[] = {{50, "balanced", 1},    {250, "balanced", 1},
                                 {450, "balanced", 1},   {650, "not_yet", 80.0 / 110},
                                 {875, NULL, 10.0 / 16}, {1075, "balanced", 1},
                                 {1275, "balanced", 1},  {1475, "balanced", 1},
                                 {1675, "balanced", 1},  {1875, "balanced", 1}};

    set_trigger(EEP_EPLB_TRIGGER_IMBALANCE, FALSE);
    config.costs.move = 25;
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    assert_looks(run, looks, G_N_ELEMENTS(looks));
    ck_assert_int_eq(kit_nth(run->rearranged, KitRearranged, 0)->all.stalled, 25);
    ck_assert_int_eq(run->results[0].finish, 2025);
    ck_assert_int_eq(run->results[0].max_gap, 35);
}
END_TEST

/* One low look is enough; a threshold is not below itself. Looks of their own interval, 40 steps of
 * which the last 20 are recorded: at 100, 500, 900. */
START_TEST(imbalance_by_other_rules)
{
    static const Look at_once[] = {{100, "balanced", 1},
                                   {500, "balanced", 1},
                                   {910, NULL, 10.0 / 16},
                                   {1300, "balanced", 1},
                                   {1700, "balanced", 1}};
    static const Look never[] = {{100, "balanced", 1},
                                 {500, "balanced", 1},
                                 {900, "balanced", 10.0 / 16},
                                 {1300, "balanced", 10.0 / 16},
                                 {1700, "balanced", 10.0 / 16}};

    set_trigger(EEP_EPLB_TRIGGER_IMBALANCE, TRUE);
    config.options.eplb_config.check_interval = 40;
    config.options.eplb_config.trigger_windows = 1;
    config.options.eplb_config.trigger_threshold = _i ? 10.0 / 16 : 0.7;
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    assert_looks(run, _i ? never : at_once, 5);
}
END_TEST

/* By the even load the policy has another map, worth nothing. At 650 it would save 30/20 tokens of
 * 1 ns in each of the next 100 steps, at 850 6; a move of 160 ns pays only then. */
START_TEST(cost_benefit_sync)
{
    static const Look looks[] = {{50, "not_worth_it", 1, 0, 160},
                                 {250, "not_worth_it", 1, 0, 160},
                                 {450, "not_worth_it", 1, 0, 160},
                                 {650, "not_worth_it", 80.0 / 110, 150, 160},
                                 {850 + 160, NULL, 10.0 / 16, 600, 160},
                                 {1050 + 160, "same_map", 1},
                                 {1250 + 160, "same_map", 1},
                                 {1450 + 160, "same_map", 1},
                                 {1650 + 160, "same_map", 1},
                                 {1850 + 160, "same_map", 1}};

    set_trigger(EEP_EPLB_TRIGGER_COST_BENEFIT, FALSE);
    config.costs.move = 160;
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    assert_looks(run, looks, G_N_ELEMENTS(looks));
    ck_assert_int_eq(run->results[0].finish, 2160);
}
END_TEST

/* The all-to-all is 2 of a step's 10 ns and has half of the links while experts move: a move of 735
 * ns costs a fifth of that, 147, which pays at 650. It arrives at 1385; the look that was due
 * meanwhile comes at once then, at 1390. With 755 ns it costs 151 and pays 200 ns later. */
START_TEST(cost_benefit_async)
{
    static const Look early[] = {{50, "not_worth_it", 1, 0, 147},
                                 {250, "not_worth_it", 1, 0, 147},
                                 {450, "not_worth_it", 1, 0, 147},
                                 {1390, NULL, 80.0 / 110, 150, 147},
                                 {1390, "same_map", 1},
                                 {1590, "same_map", 1},
                                 {1790, "same_map", 1},
                                 {1990, "same_map", 1}};
    static const Look late[] = {{50, "not_worth_it", 1, 0, 151},
                                {250, "not_worth_it", 1, 0, 151},
                                {450, "not_worth_it", 1, 0, 151},
                                {650, "not_worth_it", 80.0 / 110, 150, 151},
                                {1610, NULL, 10.0 / 16, 600, 151},
                                {1610, "same_map", 1},
                                {1810, "same_map", 1}};

    set_trigger(EEP_EPLB_TRIGGER_COST_BENEFIT, TRUE);
    config.costs.all2all = 2;
    config.costs.move = _i ? 755 : 735;
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    if (_i)
        assert_looks(run, late, G_N_ELEMENTS(late));
    else
        assert_looks(run, early, G_N_ELEMENTS(early));
    ck_assert_int_eq(run->results[0].finish, 2000);
}
END_TEST

/* Every step of a run whose plans are all refused is as without EPLB, and the map stays. */
START_TEST(a_refused_plan_leaves_everything)
{
    g_autofree EepArrival *requests = g_new0(EepArrival, 30);

    for (guint i = 0; i < 30; i++)
        requests[i] = (EepArrival){.arrival = i * 37, .prompt_tokens = 4 + i, .output_tokens = 60};
    config.costs.move = 100000;
    config.costs.per_decode = 1;
    config.keeps_steps = TRUE;
    config.options.async_scheduling = _i % 2;
    set_trigger(EEP_EPLB_TRIGGER_COST_BENEFIT, FALSE);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 30);
    config.options.enable_eplb = FALSE;
    g_autoptr(KitRun) plain = kit_must_run(&config, requests, 30);

    ck_assert_uint_ge(run->kept->len, 5);
    for (guint i = 0; i < run->kept->len; i++)
        ck_assert_str_eq(kit_nth(run->kept, KitKept, i)->all.reason, "not_worth_it");
    ck_assert_uint_eq(run->rearranged->len, 0);
    ck_assert_uint_eq(run->steps->len, plain->steps->len);
    for (guint i = 0; i < run->steps->len; i++)
        ck_assert_int_eq(kit_nth(run->steps, EepStepRecord, i)->end,
                         kit_nth(plain->steps, EepStepRecord, i)->end);
    for (guint i = 0; i < 30; i++)
        ck_assert_int_eq(run->results[i].finish, plain->results[i].finish);
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++)
        ck_assert_int_eq(run->gpu_time[use], plain->gpu_time[use]);
    /* The present map under the last load, as it was made: 10/16 with both ranks' own experts. */
    ck_assert_double_eq_tol(kit_nth(run->kept, KitKept, run->kept->len - 1)->all.balancedness,
                            10.0 / 16, 1e-12);
}
END_TEST

/* A window without a token decides nothing, and counts neither as low nor as even. */
START_TEST(no_load_no_decision)
{
    set_trigger(_i ? EEP_EPLB_TRIGGER_IMBALANCE : EEP_EPLB_TRIGGER_COST_BENEFIT, TRUE);
    config.costs.load = nothing;
    config.costs.later_load = _i ? skewed : NULL;
    config.costs.later_step = 85;
    g_autoptr(KitRun) run = kit_must_run(&config, &one_request, 1);
    for (guint i = 0; i < 5; i++)
        ck_assert_str_eq(kit_nth(run->kept, KitKept, i)->all.reason, "no_load");
    if (_i) {
        ck_assert_str_eq(kit_nth(run->kept, KitKept, 5)->all.reason, "not_yet");
        ck_assert_int_eq(kit_nth(run->rearranged, KitRearranged, 0)->at, 1260);
    } else {
        ck_assert_uint_eq(run->kept->len, 10);
    }
}
END_TEST

/* A resize begins its commit at 460 and is over when its own layer has moved, at 1460 + 10 or so.
 * No look comes in between, its own rearrangement asks no trigger, and looks go on 20 counted steps
 * after it. */
START_TEST(no_looks_during_a_resize)
{
    static const EepOperatorEvent up = {.at = 455, .new_data_parallel_size = 4, .id = "up"};
    EepArrival requests[] = {one_request, one_request};

    set_trigger(_i ? EEP_EPLB_TRIGGER_IMBALANCE : EEP_EPLB_TRIGGER_COST_BENEFIT, TRUE);
    config.options.enable_elastic_ep = TRUE;
    config.costs.later_load = NULL;
    config.costs.move = 1000;
    config.costs.all2all = 4;
    config.deployment.n_events = 1;
    config.deployment.events = &up;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    ck_assert_uint_eq(run->resizes->len, 1);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);
    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_uint_eq(run->rearranged->len, 1);
    const KitRearranged *moved = kit_nth(run->rearranged, KitRearranged, 0);
    ck_assert_str_eq(moved->all.trigger, "resize");
    ck_assert(moved->all.for_resize && !moved->all.worth.is_known);
    ck_assert_int_ge(moved->at, record->commit + 1000);
    guint n_before = 0;
    for (guint i = 0; i < run->kept->len; i++) {
        const KitKept *kept = kit_nth(run->kept, KitKept, i);
        ck_assert_msg(kept->at < record->commit || kept->at >= record->complete + 200,
                      "a look at %d, commit %d, complete %d", (int)kept->at, (int)record->commit,
                      (int)record->complete);
        n_before += kept->at < record->commit;
    }
    ck_assert_uint_eq(n_before, 3);
    ck_assert_uint_gt(run->kept->len, n_before);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), 2);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("triggers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, imbalance_async);
    tcase_add_test(tcase, imbalance_sync);
    tcase_add_loop_test(tcase, imbalance_by_other_rules, 0, 2);
    tcase_add_test(tcase, cost_benefit_sync);
    tcase_add_loop_test(tcase, cost_benefit_async, 0, 2);
    tcase_add_loop_test(tcase, a_refused_plan_leaves_everything, 0, 2);
    tcase_add_loop_test(tcase, no_load_no_decision, 0, 2);
    tcase_add_loop_test(tcase, no_looks_during_a_resize, 0, 2);
    return kit_main("triggers", tcase);
}
