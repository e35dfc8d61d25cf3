/* Replica choices and waterfill in the simulator: the draw against literal restatements, the
 * expectation against the draw, and what they cost.
 *
 * With --long the comparison has more shapes and draws, and prints. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/dispatch_lp.h"
#include "core/eplb/policy.h"
#include "core/rng.h"
#include "core/skew.h"
#include "sim/expert_load.h"
#include "sim/expert_sample.h"
#include "tests/sim/sim_fixture.h"

#define E 256
#define K 8

/* As in test_expert_load.c. */
static const EepSlotCost slot = {16.07e-6, 59e-9, 12e-9};
static gboolean is_long;

/* DeepSeek's placement for a Zipf load, which the tokens then follow but for a factor of e^normal
 * with deviation `stale`: what a balancer that looks at the past leaves to do. */
static EepPlacement *place(guint layers, guint ranks, guint slots, double stale, double *p)
{
    const EepSkewOptions zipf = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    g_autoptr(EepSkew) skew = eep_skew_new(&zipf, 3, layers, E, NULL, NULL, NULL);
    g_autofree double *weight = g_new(double, layers *E);
    EepRng rng;
    eep_rng_init(&rng, 11, "stale");
    for (guint l = 0; l < layers; l++) {
        double *row = p + l * E, sum = 0.0;
        eep_skew_popularity(skew, 0, 0, l, row);
        for (guint e = 0; e < E; e++) {
            weight[l * E + e] = 1e6 * row[e];
            row[e] *= exp(stale * eep_rng_normal(&rng));
            sum += row[e];
        }
        for (guint e = 0; e < E; e++)
            row[e] /= sum;
    }
    const EepEplbProblem problem = {
        .n_layers = layers,
        .n_experts = E,
        .n_replicas = ranks * slots,
        .n_groups = 1,
        .n_nodes = 1,
        .n_ranks = ranks,
        .weight = weight,
    };
    g_autofree gint32 *map = g_new(gint32, (gsize)layers * ranks * slots);
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek, &problem, map, NULL));
    EepPlacement *placement = eep_placement_new(layers, E, ranks, slots);
    for (guint l = 0; l < layers; l++)
        eep_placement_set_layer(placement, l, map + (gsize)l * ranks * slots);
    return placement;
}

/* -- a batch, literally -- */

typedef struct {
    EepPlacement *placement;
    guint32 tokens[16];
    guint32 *experts, *slots;
    guint n;
} Batch;

static void batch_init(Batch *batch, const EepExpertDispatch *dispatch, guint ranks)
{
    double p[E];
    batch->placement = place(1, ranks, E / ranks + 3, 0.3, p);
    batch->n = 0;
    for (guint s = 0; s < 16; s++)
        batch->n += batch->tokens[s] = 20 + 7 * s;
    EepRng rng;
    eep_rng_init(&rng, 2, "batch");
    batch->experts = g_new(guint32, batch->n * K);
    for (guint i = 0; i < batch->n * K; i++)
        batch->experts[i] = (guint32)(E * eep_rng_uniform(&rng) * eep_rng_uniform(&rng));
    batch->slots = g_memdup2(batch->experts, batch->n * K * sizeof(guint32));
    g_autoptr(EepReplicaSplit) split = eep_replica_split_new(dispatch);
    eep_replica_split_set_layer(split, batch->placement, 0);
    eep_replica_split_batch(split, 77, batch->tokens, 16, K, batch->slots);
}

static void batch_clear(Batch *batch)
{
    eep_placement_free(batch->placement);
    g_free(batch->experts);
    g_free(batch->slots);
}

/* Sixteen engines of one rank, or of two whose tokens alternate. */
START_TEST(test_split_is_literal)
{
    const guint choice = _i % EEP_REPLICA_COUNT, tp = _i / EEP_REPLICA_COUNT + 1;
    const EepExpertDispatch dispatch = {.choice = choice, .ranks_per_node = 8};
    Batch batch;
    batch_init(&batch, &dispatch, 16 * tp);
    const guint per_rank = batch.placement->slots_per_rank;
    guint32 sent[32][32] = {{0}}, at = 0;
    g_autofree guint32 *from = g_new0(guint32, 32 * batch.placement->n_slots);
    g_autofree guint32 *wanted = g_new0(guint32, 32 * E);
    guint32 counts[E] = {0};
    for (guint s = 0; s < 16; s++)
        for (guint t = 0; t < batch.tokens[s]; t++)
            for (guint k = 0; k < K; k++, at++) {
                const guint e = batch.experts[at], source = s * tp + t % tp;
                gint32 replicas[64];
                guint n = eep_placement_replicas(batch.placement, 0, e, replicas), j = 0, least = 0;
                guint16 fixed[32];
                while (j < n && (guint32)replicas[j] != batch.slots[at])
                    j++;
                ck_assert_uint_lt(j, n); /* a slot of that expert */
                counts[e]++;
                wanted[source * E + e]++;
                from[source * batch.placement->n_slots + batch.slots[at]]++;
                for (guint i = 1; i < n; i++)
                    if (sent[source][replicas[i] / per_rank] <
                        sent[source][replicas[least] / per_rank])
                        least = i;
                sent[source][replicas[j] / per_rank]++;
                if (choice == EEP_REPLICA_HASH)
                    ck_assert_uint_eq(j, (t * 2654435769u) % n);
                if (choice == EEP_REPLICA_RANDOM)
                    ck_assert_uint_eq(j, eep_replica_random(77, s, t, k, n));
                if (choice == EEP_REPLICA_LEAST_LOADED)
                    ck_assert_uint_eq(j, least);
                if (choice == EEP_REPLICA_STATIC) {
                    eep_replica_static(0, e, (guint32 *)replicas, n, per_rank, 16 * tp, 8, fixed);
                    ck_assert_uint_eq(j, fixed[source]);
                }
            }
    if (choice == EEP_REPLICA_LP) {
        g_autoptr(EepDispatchLp) lp = eep_dispatch_lp_new(E, 16 * tp, per_rank);
        eep_dispatch_lp_set_layer(lp, eep_placement_layer(batch.placement, 0));
        eep_dispatch_lp_solve(lp, counts);
        for (guint source = 0; source < 16 * tp; source++)
            for (guint p = 0; p < batch.placement->n_slots; p++) {
                gint32 e = eep_placement_layer(batch.placement, 0)[p];
                double share = eep_dispatch_lp_share(lp, p) * wanted[source * E + e];
                double got = from[source * batch.placement->n_slots + p];
                ck_assert(got >= floor(share - 1e-9) && got <= ceil(share + 1e-9));
            }
    }
    batch_clear(&batch);
}
END_TEST

/* Every shared row runs once, on a rank that its token visits or its own; a batch of one rank's
 * tokens shows which. */
START_TEST(test_waterfill_stays_in_reach)
{
    const EepExpertDispatch dispatch = {.waterfill = TRUE};
    Batch batch;
    batch_init(&batch, &dispatch, 16);
    double routed[16] = {0}, rows[16] = {0}, sum = 0.0;
    const guint per_rank = batch.placement->slots_per_rank;
    for (guint i = 0; i < batch.n * K; i++)
        routed[batch.slots[i] / per_rank] += 1.0;
    g_autoptr(EepReplicaSplit) split = eep_replica_split_new(&dispatch);
    eep_replica_split_set_layer(split, batch.placement, 0);
    eep_replica_split_waterfill(split, 1, batch.tokens, 16, K, batch.slots, routed, rows);
    double level = 0.0, hottest = 0.0, before = 0.0;
    for (guint r = 0; r < 16; r++) {
        sum += rows[r];
        level += (routed[r] + rows[r]) / 16;
        hottest = fmax(hottest, routed[r] + rows[r]);
        before = fmax(before, routed[r] + batch.n / 16.0);
    }
    ck_assert_double_eq(sum, batch.n);
    ck_assert_double_lt(hottest, before);
    ck_assert_double_ge(hottest, level);
    /* One token of source 3 that visits ranks 5 and 9. */
    const guint32 one[16] = {[3] = 1}, slots[2] = {5 * per_rank, 9 * per_rank};
    for (guint i = 0; i < 50; i++) {
        double row[16] = {0};
        eep_replica_split_waterfill(split, i, one, 16, 2, slots, routed, row);
        ck_assert_double_eq(row[3] + row[5] + row[9], 1.0);
    }
    batch_clear(&batch);
}
END_TEST

/* -- the two modes agree -- */

static const struct {
    guint ranks, slots;
    double stale;
} shapes[] = {{16, 18, 0.3}, {32, 9, 0.0}, {32, 9, 0.5}, {144, 2, 0.3}};

static void compare_modes(guint ranks, guint slots, double stale, const EepExpertDispatch *dispatch)
{
    const guint layers = 8;
    g_autofree double *p = g_new(double, layers *E);
    g_autoptr(EepPlacement) placement = place(layers, ranks, slots, stale, p);
    g_autoptr(EepExpertLoad) load = eep_expert_load_new(layers, E, K, &slot, ranks * 8192);
    g_autoptr(EepExpertSample) sample = eep_expert_sample_new(layers, E, K, &slot, 5);
    eep_expert_load_set_dispatch(load, dispatch);
    eep_expert_sample_set_dispatch(sample, dispatch);
    for (guint l = 0; l < layers; l++) {
        eep_expert_load_set_popularity(load, l, p + l * E);
        eep_expert_sample_set_popularity(sample, l, p + l * E);
    }
    eep_expert_load_update(load, placement, ranks);
    guint32 tokens[144];
    for (guint n = 1; n <= (is_long ? 1024u : 256u); n *= 4) {
        const guint steps = (is_long ? 6 : 1) * (n < 64 ? 160 / n : 3);
        double seconds = 0.0, imbalance = 0.0;
        for (guint r = 0; r < ranks; r++)
            tokens[r] = n;
        for (guint step = 0; step < steps; step++) {
            EepSampledStep drawn;
            eep_expert_sample_step(sample, placement, step, tokens, ranks, &drawn);
            seconds += drawn.seconds / steps;
            imbalance += drawn.imbalance / steps;
        }
        double time_error = eep_expert_load_seconds(load, (double)n * ranks) / seconds - 1.0;
        double load_error = eep_expert_load_imbalance(load, (double)n * ranks) / imbalance - 1.0;
        const char *name = eep_replica_choice_name(dispatch->choice);
        if (is_long)
            printf("EP%u stale %.1f %s%s, %4u tokens a rank: %.1f us %+.2f %%, imbalance %.3f "
                   "%+.2f %%\n",
                   ranks, stale, name, dispatch->waterfill ? " + waterfill" : "", n,
                   seconds / layers * 1e6, 100 * time_error, imbalance, 100 * load_error);
        ck_assert_msg(fabs(time_error) < 0.03, "EP%u %s, %u tokens: off by %.2f %%", ranks, name, n,
                      100 * time_error);
        /* Between powers of two the hash's pattern of local indices is not smooth: 6 %. */
        const double limit = dispatch->choice == EEP_REPLICA_HASH && ranks == 144 ? 0.06 : 0.03;
        ck_assert_msg(fabs(load_error) < limit, "EP%u %s, %u tokens: imbalance off by %.2f %%",
                      ranks, name, n, 100 * load_error);
    }
}

START_TEST(test_modes_agree)
{
    const guint shape = _i % G_N_ELEMENTS(shapes), choice = _i / G_N_ELEMENTS(shapes) % 5;
    const gboolean waterfill = _i / G_N_ELEMENTS(shapes) / 5;
    /* The quick ones: stale placements on 32 ranks, static and lp on 144 and 16. */
    if (!is_long && shape != 2 && (waterfill || shape == 1 || choice % 2 == 1 || choice == 0))
        return;
    if (!is_long && waterfill && choice != EEP_REPLICA_HASH && choice != EEP_REPLICA_LP)
        return;
    const EepExpertDispatch dispatch = {choice, 8, waterfill, 60e-9};
    compare_modes(shapes[shape].ranks, shapes[shape].slots, shapes[shape].stale, &dispatch);
}
END_TEST

/* The expected hottest rank: lp below every other choice, at every size. */
START_TEST(test_lp_is_lowest)
{
    double p[4 * E];
    g_autoptr(EepPlacement) placement = place(4, 32, 9, 0.5, p);
    double imbalance[EEP_REPLICA_COUNT][3];
    static const double sizes[] = {256, 4096, 65536};
    for (gint choice = 0; choice < EEP_REPLICA_COUNT; choice++) {
        const EepExpertDispatch dispatch = {.choice = choice, .ranks_per_node = 8};
        g_autoptr(EepExpertLoad) load = eep_expert_load_new(4, E, K, &slot, 32 * 8192);
        eep_expert_load_set_dispatch(load, &dispatch);
        for (guint l = 0; l < 4; l++)
            eep_expert_load_set_popularity(load, l, p + l * E);
        eep_expert_load_update(load, placement, 32);
        for (guint i = 0; i < 3; i++)
            imbalance[choice][i] = eep_expert_load_imbalance(load, sizes[i]);
    }
    for (gint choice = 0; choice < EEP_REPLICA_LP; choice++)
        for (guint i = 0; i < 3; i++)
            ck_assert_double_lt(imbalance[EEP_REPLICA_LP][i], imbalance[choice][i]);
}
END_TEST

/* -- what they cost -- */

START_TEST(test_cost_of_choice)
{
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, 32);
    const EepCostContext context = {&model, &hardware, &options, 32};
    const EepCostWork work = {.rows = 128};
    for (gint choice = 0; choice < EEP_REPLICA_COUNT; choice++) {
        options.eplb_config.replica_choice = choice;
        options.eplb_config.num_redundant_experts = 0; /* nothing to choose */
        ck_assert_double_eq(eep_cost_replica_choice.seconds(&context, &work), 0.0);
        options.eplb_config.num_redundant_experts = 32;
        double seconds = eep_cost_replica_choice.seconds(&context, &work);
        if (choice <= EEP_REPLICA_STATIC)
            ck_assert_double_eq(seconds, 0.0);
        else if (choice == EEP_REPLICA_LEAST_LOADED)
            ck_assert_double_eq_tol(seconds, 3e-6 + 128 * 8 * 8 / (3.35e12 * 0.8), 1e-12);
        else
            ck_assert_double_eq_tol(seconds,
                                    100e-6 + 2 * (3e-6 + 128 * 8 * 8 / (3.35e12 * 0.8)) +
                                        eep_cost_all_reduce_seconds(&hardware, 32, 1024.0),
                                    1e-12);
    }
    /* A group that shrank to as many slots as experts has no choice left; 288 / 32 = 9 slots. */
    const EepCostContext narrow = {&model, &hardware, &options, 28};
    ck_assert_double_eq(eep_cost_replica_choice.seconds(&narrow, &work), 0.0);
    /* Waterfill counts and draws; after lp the counts are known. */
    double lp = eep_cost_replica_choice.seconds(&context, &work);
    options.eplb_config.waterfill = TRUE;
    double both = eep_cost_replica_choice.seconds(&context, &work);
    options.eplb_config.replica_choice = EEP_REPLICA_HASH;
    double alone = eep_cost_replica_choice.seconds(&context, &work);
    ck_assert_double_gt(both, lp);
    ck_assert_double_gt(alone, both - lp);
    ck_assert_double_lt(both, lp + alone);
}
END_TEST

/* Under waterfill each rank reads the shared expert, and rows are counted on the busiest rank. */
START_TEST(test_cost_of_shared_rows)
{
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, 16);
    options.tensor_parallel_size = 2;
    const EepCostContext context = {&model, &hardware, &options, 32};
    const EepCostWork some = {.rows = 100}, more = {.rows = 300};
    double slope = (eep_cost_shared_expert.seconds(&context, &more) -
                    eep_cost_shared_expert.seconds(&context, &some)) /
                   200;
    options.eplb_config.waterfill = TRUE;
    ck_assert_double_eq(eep_cost_shared_expert.seconds(&context, &some),
                        eep_cost_shared_expert.seconds(&context, &more));
    /* Two ranks an engine each do half of the rows whole, instead of all rows half. */
    const EepExpertDispatch dispatch = eep_cost_dispatch(&context);
    ck_assert_double_eq_tol(dispatch.shared_row_s, 2 * slope, 1e-18);
    ck_assert(dispatch.waterfill);
    ck_assert_uint_eq(dispatch.ranks_per_node, 8);
}
END_TEST

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    Suite *suite = suite_create("dispatch_modes");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, is_long ? 900 : 60);
    tcase_add_loop_test(tcase, test_modes_agree, 0, 2 * 5 * G_N_ELEMENTS(shapes));
    if (!is_long) {
        tcase_add_loop_test(tcase, test_split_is_literal, 0, 2 * EEP_REPLICA_COUNT);
        tcase_add_test(tcase, test_waterfill_stays_in_reach);
        tcase_add_test(tcase, test_lp_is_lowest);
        tcase_add_test(tcase, test_cost_of_choice);
        tcase_add_test(tcase, test_cost_of_shared_rows);
    }
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
