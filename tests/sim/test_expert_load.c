/* Expected expert load against the sampled reference, and the tables' own rules.
 *
 * With --long the comparison draws many more steps. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/replica_choice.h"
#include "core/inclusion.h"
#include "core/rng.h"
#include "core/skew.h"
#include "sim/expert_load.h"
#include "sim/expert_sample.h"
#include "sim/max_expectation.h"

#define L 58
#define E 256
#define K 8

/* DeepSeek-V3 on H100: 44 MB at 2.74 TB/s, 88 MFLOP at 1480 TFLOP/s, 34 KB of activations. */
static const EepSlotCost slot = {16.07e-6, 59e-9, 12e-9};
static gboolean is_long;

static int compare(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

typedef struct {
    EepPlacement *placement;
    EepExpertLoad *load;
    EepExpertSample *sample;
    guint32 tokens[64];
} World;

static void world_init(World *world, const EepSkewOptions *skew, guint layers, guint ranks,
                       guint slots)
{
    world->placement = eep_placement_new(layers, E, ranks, slots);
    world->load = eep_expert_load_new(layers, E, K, &slot, ranks * 8192);
    world->sample = eep_expert_sample_new(layers, E, K, &slot, 5);
    g_autoptr(EepSkew) laws = eep_skew_new(skew, 3, layers, E, NULL, NULL, NULL);
    double p[E];
    for (guint l = 0; l < layers; l++) {
        eep_skew_popularity(laws, 0, 0, l, p);
        eep_expert_load_set_popularity(world->load, l, p);
        eep_expert_sample_set_popularity(world->sample, l, p);
    }
    eep_expert_load_update(world->load, world->placement, ranks);
}

static void world_clear(World *world)
{
    eep_placement_free(world->placement);
    eep_expert_load_free(world->load);
    eep_expert_sample_free(world->sample);
}

/* -- the two modes agree -- */

static const struct {
    guint tokens, n_steps;
} batches[] = {{1, 400}, {4, 200}, {16, 60}, {64, 16}, {100, 10}, {512, 4}};

/* The first ranks stay, new ones come behind them. */
static void resize(EepPlacement *placement, guint n_ranks)
{
    gint32 source[32];
    for (guint rank = 0; rank < n_ranks; rank++)
        source[rank] = rank < placement->n_ranks ? (gint32)rank : -1;
    eep_placement_map_ranks(placement, source, n_ranks);
}

START_TEST(test_modes_agree)
{
    const EepSkewOptions skew = {_i & 1, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    const guint ranks = _i & 2 ? 32 : 16, redundant = _i & 4 ? 1 : 0;
    World world;
    world_init(&world, &skew, L, ranks, E / ranks + redundant);
    for (guint i = 0; i < G_N_ELEMENTS(batches); i++) {
        const guint n = batches[i].n_steps * (is_long ? 12 : 1);
        g_autofree double *seconds = g_new(double, n);
        double sum = 0.0, imbalance = 0.0;
        for (guint r = 0; r < ranks; r++)
            world.tokens[r] = batches[i].tokens;
        for (guint step = 0; step < n; step++) {
            EepSampledStep drawn;
            eep_expert_sample_step(world.sample, world.placement, step, world.tokens, ranks,
                                   &drawn);
            sum += seconds[step] = drawn.seconds;
            imbalance += drawn.imbalance;
        }
        qsort(seconds, n, sizeof *seconds, compare);
        double total = (double)batches[i].tokens * ranks;
        double expected = eep_expert_load_seconds(world.load, total);
        double mean_error = expected / (sum / n) - 1.0;
        double p99_error = expected / seconds[(guint)(0.99 * (n - 1))] - 1.0;
        double imbalance_error =
            eep_expert_load_imbalance(world.load, total) / (imbalance / n) - 1.0;
        if (is_long)
            printf(
                "%s EP%u+%u, %3u tokens a rank: mean %+.2f %%, p99 %+.2f %%, imbalance %+.2f %%\n",
                _i & 1 ? "zipf 0.8" : "uniform", ranks, redundant, batches[i].tokens,
                100 * mean_error, 100 * p99_error, 100 * imbalance_error);
        ck_assert_msg(fabs(mean_error) < 0.02, "%u tokens: mean off by %.2f %%", batches[i].tokens,
                      100 * mean_error);
        ck_assert_msg(fabs(p99_error) < 0.05, "%u tokens: p99 off by %.2f %%", batches[i].tokens,
                      100 * p99_error);
        ck_assert_msg(fabs(imbalance_error) < 0.02, "%u tokens: imbalance off by %.2f %%",
                      batches[i].tokens, 100 * imbalance_error);
    }
    world_clear(&world);
}
END_TEST

/* Values that 20,000 drawn layers give, to three digits: 256 experts, top-8, EP32, uniform. */
START_TEST(test_known_imbalance)
{
    static const double known[][2] = {{1, 1.784}, {4, 1.377}, {16, 1.184}, {64, 1.091}};
    const EepSkewOptions skew = {EEP_SKEW_UNIFORM, 0.0, EEP_SKEW_LAYERS_SAME};
    World world;
    world_init(&world, &skew, 2, 32, 8);
    for (guint i = 0; i < G_N_ELEMENTS(known); i++)
        ck_assert_double_eq_tol(eep_expert_load_imbalance(world.load, known[i][0] * 32),
                                known[i][1], 0.006);
    world_clear(&world);
}
END_TEST

/* Between grid points: 3 * 2^i tokens against draws. */
START_TEST(test_interpolation)
{
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    World world;
    world_init(&world, &skew, 16, 16, 16);
    static const guint per_rank[] = {3, 6, 12, 24, 96, 384};
    for (guint i = 0; i < G_N_ELEMENTS(per_rank); i++) {
        double sum = 0.0;
        guint n = 2000 / per_rank[i] + 4;
        for (guint r = 0; r < 16; r++)
            world.tokens[r] = per_rank[i];
        for (guint step = 0; step < n; step++) {
            EepSampledStep drawn;
            eep_expert_sample_step(world.sample, world.placement, step, world.tokens, 16, &drawn);
            sum += drawn.seconds;
        }
        ck_assert_double_eq_tol(eep_expert_load_seconds(world.load, per_rank[i] * 16.0) / (sum / n),
                                1.0, 0.025);
    }
    world_clear(&world);
}
END_TEST

/* -- the maximum, not of the means -- */

START_TEST(test_max_expectation)
{
    g_autoptr(EepMaxExpectation) max = eep_max_expectation_new();
    /* E[max] of n standard normals: 1.5388 for 10, 2.2491 for 50 (order statistics tables). */
    EepMoments ranks[50];
    for (guint r = 0; r < 50; r++)
        ranks[r] = (EepMoments){100.0, 1.0, 0.0};
    ck_assert_double_eq_tol(eep_max_expectation(max, ranks, 1), 100.0, 1e-3);
    ck_assert_double_eq_tol(eep_max_expectation(max, ranks, 10), 101.5388, 2e-3);
    ck_assert_double_eq_tol(eep_max_expectation(max, ranks, 50), 102.2491, 2e-3);
    /* Exponentials: the harmonic number. Mean 1, variance 1, third 2. */
    for (guint r = 0; r < 10; r++)
        ranks[r] = (EepMoments){1.0, 1.0, 2.0};
    ck_assert_double_eq_tol(eep_max_expectation(max, ranks, 10), 2.92897, 0.03);
    /* One far above the others decides alone. */
    ranks[3] = (EepMoments){1000.0, 1.0, 0.0};
    ck_assert_double_eq_tol(eep_max_expectation(max, ranks, 10), 1000.0, 1e-3);
    /* Without randomness it is the largest mean. */
    for (guint r = 0; r < 4; r++)
        ranks[r] = (EepMoments){r, 0.0, 0.0};
    ck_assert_double_eq(eep_max_expectation(max, ranks, 4), 3.0);
}
END_TEST

START_TEST(test_max_active)
{
    /* Two ranks of two slots, all with probability 1/2: P(max = 0) = 1/16, P(max <= 1) = 9/16. */
    const double p[] = {0.5, 0.5, 0.5, 0.5};
    const guint32 slots[] = {2, 2};
    double scratch[6];
    ck_assert_double_eq_tol(eep_max_active(p, slots, 2, scratch), 15.0 / 16 + 7.0 / 16, 1e-12);
}
END_TEST

START_TEST(test_slot_cost)
{
    const EepSlotCost cost = {10.0, 2.0, 0.5};
    ck_assert_double_eq(eep_slot_cost_seconds(&cost, 0), 0.0);
    ck_assert_double_eq(eep_slot_cost_seconds(&cost, 2), 11.0);
    ck_assert_double_eq(eep_slot_cost_seconds(&cost, 100), 250.0);
    /* Against exact sums over a binomial, around the ridge at 80 of 160 trials. */
    const EepSlotCost ridge = {160.0, 2.0, 0.1};
    for (int i = 1; i <= 9; i++) {
        double p = i / 10.0, mass[161], mean = 0.0, square = 0.0;
        mass[0] = pow(1 - p, 160);
        for (int n = 1; n <= 160; n++)
            mass[n] = mass[n - 1] * (160 - n + 1) / n * p / (1 - p);
        for (int n = 0; n <= 160; n++)
            mean += mass[n] * eep_slot_cost_seconds(&ridge, n);
        for (int n = 0; n <= 160; n++)
            square += mass[n] * pow(eep_slot_cost_seconds(&ridge, n) - mean, 2);
        EepMoments moments, rest;
        const EepMoments count = {160 * p, 160 * p * (1 - p), 160 * p * (1 - p) * (1 - 2 * p)};
        eep_slot_cost_moments(&ridge, &count, mass[0], &moments, &rest);
        ck_assert_double_eq_tol(moments.mean / mean, 1.0, 1e-3);
        ck_assert_double_eq_tol(moments.variance / square, 1.0, 5e-2);
    }
}
END_TEST

START_TEST(test_inclusion)
{
    double p[E], pi[E], sum = 0.0;
    for (guint e = 0; e < E; e++)
        p[e] = 1.0 / E;
    eep_inclusion(p, E, K, pi);
    ck_assert_double_eq_tol(pi[17], (double)K / E, 1e-9);
    const EepSkewOptions zipf = {EEP_SKEW_ZIPF, 1.0, EEP_SKEW_LAYERS_SAME};
    g_autoptr(EepSkew) law = eep_skew_new(&zipf, 3, 1, E, NULL, NULL, NULL);
    eep_skew_popularity(law, 0, 0, 0, p);
    eep_inclusion(p, E, K, pi);
    for (guint e = 0; e < E; e++)
        sum += pi[e];
    ck_assert_double_eq_tol(sum, K, 1e-6);
    /* Against draws, for the experts that matter. */
    g_autoptr(EepExpertSample) sample = eep_expert_sample_new(1, E, K, &slot, 1);
    eep_expert_sample_set_popularity(sample, 0, p);
    double load[E] = {0};
    eep_expert_sample_add_load(sample, 0, &(EepTokenMix){.n = {100000}}, load);
    for (guint e = 0; e < E; e++)
        if (pi[e] > 0.05)
            ck_assert_double_eq_tol(load[e] / 100000 / pi[e], 1.0, 0.04);
    eep_inclusion(p, 4, 4, pi);
    ck_assert_double_eq(pi[3], 1.0);
}
END_TEST

/* -- tables follow what changed -- */

START_TEST(test_update_equals_fresh_build)
{
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    World world, fresh;
    world_init(&world, &skew, 4, 16, 18);
    world_init(&fresh, &skew, 4, 16, 18);
    ck_assert(!eep_expert_load_update(world.load, world.placement, 16));
    double before = eep_expert_load_seconds(world.load, 1000);

    g_autofree gint32 *row = g_memdup2(eep_placement_layer(world.placement, 2),
                                       world.placement->n_slots * sizeof(gint32));
    for (guint s = 0; s < 18; s++) { /* ranks 0 and 7 swap */
        gint32 expert = row[s];
        row[s] = row[7 * 18 + s];
        row[7 * 18 + s] = expert;
    }
    row[17] = 200; /* and a redundant slot serves another expert */
    eep_placement_set_layer(world.placement, 2, row);
    eep_placement_set_layer(fresh.placement, 2, row);
    ck_assert(eep_expert_load_update(world.load, world.placement, 16));
    double p[E];
    g_autoptr(EepSkew) other = eep_skew_new(&skew, 99, 1, E, NULL, NULL, NULL);
    eep_skew_popularity(other, 0, 0, 0, p);
    eep_expert_load_set_popularity(world.load, 1, p);
    eep_expert_load_set_popularity(fresh.load, 1, p);
    ck_assert(eep_expert_load_update(world.load, world.placement, 16));

    g_autoptr(EepExpertLoad) again = eep_expert_load_new(4, E, K, &slot, 16 * 8192);
    for (guint l = 0; l < 4; l++)
        eep_expert_load_set_picks(again, l, eep_expert_load_picks(fresh.load, l));
    eep_expert_load_update(again, fresh.placement, 16);
    for (guint tokens = 1; tokens < 200000; tokens *= 3)
        ck_assert_double_eq(eep_expert_load_seconds(world.load, tokens),
                            eep_expert_load_seconds(again, tokens));
    ck_assert_double_ne(eep_expert_load_seconds(world.load, 1000), before);
    world_clear(&world);
    world_clear(&fresh);
}
END_TEST

/* Layers that were equal are no more, and the tables are asked at new sizes after that. */
START_TEST(test_equal_layers_part)
{
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_SAME};
    World world;
    world_init(&world, &skew, 5, 16, 18);
    double p[E];
    g_autoptr(EepSkew) other = eep_skew_new(&skew, 99, 1, E, NULL, NULL, NULL);
    eep_skew_popularity(other, 0, 0, 0, p);
    for (guint round = 0; round < 4; round++) {
        const guint changed[] = {0, 2, 4, 3};
        (void)eep_expert_load_seconds(world.load, 1 << 3 * round);
        eep_expert_load_set_popularity(world.load, changed[round], p);
        eep_expert_load_update(world.load, world.placement, 16);
        g_autoptr(EepExpertLoad) fresh = eep_expert_load_new(5, E, K, &slot, 16 * 8192);
        for (guint l = 0; l < 5; l++)
            eep_expert_load_set_picks(fresh, l, eep_expert_load_picks(world.load, l));
        eep_expert_load_update(fresh, world.placement, 16);
        for (guint tokens = 1; tokens < 400000 && round == 3; tokens = 2 * tokens + 1)
            ck_assert_double_eq(eep_expert_load_seconds(world.load, tokens),
                                eep_expert_load_seconds(fresh, tokens));
        ck_assert_double_eq(eep_expert_load_seconds(world.load, 8 << 3 * round),
                            eep_expert_load_seconds(fresh, 8 << 3 * round));
    }
    world_clear(&world);
}
END_TEST

/* New ranks own no experts: their slots are empty and the others carry all. */
START_TEST(test_empty_ranks)
{
    const EepSkewOptions skew = {EEP_SKEW_UNIFORM, 0.0, EEP_SKEW_LAYERS_SAME};
    World world;
    world_init(&world, &skew, 2, 16, 16);
    double narrow = eep_expert_load_seconds(world.load, 4096);
    double balanced = eep_expert_load_imbalance(world.load, 4096);
    resize(world.placement, 24);
    ck_assert(eep_expert_load_update(world.load, world.placement, 24));
    ck_assert_double_eq_tol(eep_expert_load_seconds(world.load, 4096) / narrow, 1.0, 1e-9);
    ck_assert_double_eq_tol(eep_expert_load_imbalance(world.load, 4096) / balanced, 1.5, 1e-9);
    world_clear(&world);
}
END_TEST

/* A rank's experts are nowhere: what picks them is computed by nobody, and both modes agree on what
 * is left, whatever chooses the replicas. */
START_TEST(test_missing_experts)
{
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    const EepExpertDispatch dispatch = {.choice = _i};
    World world;
    gint32 survivors[15];
    double drawn = 0.0, imbalance = 0.0;
    world_init(&world, &skew, 4, 16, 17);
    for (gint rank = 0; rank < 15; rank++)
        survivors[rank] = rank < 5 ? rank : rank + 1;
    eep_placement_map_ranks(world.placement, survivors, 15);
    ck_assert_uint_eq(world.placement->n_missing, 4 * 17);
    eep_expert_load_forget_placement(world.load);
    eep_expert_load_set_dispatch(world.load, &dispatch);
    eep_expert_sample_set_dispatch(world.sample, &dispatch);
    eep_expert_load_update(world.load, world.placement, 15);
    for (guint r = 0; r < 15; r++)
        world.tokens[r] = 64;
    for (guint step = 0; step < 100; step++) {
        EepSampledStep sampled;
        eep_expert_sample_step(world.sample, world.placement, step, world.tokens, 15, &sampled);
        drawn += sampled.seconds / 100;
        imbalance += sampled.imbalance / 100;
    }
    ck_assert_double_eq_tol(eep_expert_load_seconds(world.load, 15 * 64) / drawn, 1.0, 0.02);
    ck_assert_double_eq_tol(eep_expert_load_imbalance(world.load, 15 * 64) / imbalance, 1.0, 0.02);
    world_clear(&world);
}
END_TEST

/* vLLM hashes the local token index: at one token a rank, only replica 0 of an expert is used. */
START_TEST(test_second_replica_idles_at_one_token_a_rank)
{
    const EepSkewOptions skew = {EEP_SKEW_UNIFORM, 0.0, EEP_SKEW_LAYERS_SAME};
    World once, twice;
    world_init(&once, &skew, 1, 16, 16);
    world_init(&twice, &skew, 1, 16, 32); /* slots 256.. repeat all experts on ranks 8 to 15 */
    double one = eep_expert_load_imbalance(twice.load, 16);
    double many = eep_expert_load_imbalance(twice.load, 16 * 512);
    ck_assert_double_gt(one, 2.0); /* half of the ranks idle, and noise */
    ck_assert_double_lt(many, 1.1);
    guint32 tokens[16];
    for (guint r = 0; r < 16; r++)
        tokens[r] = 1;
    double drawn = 0.0;
    for (guint step = 0; step < 4000; step++) {
        EepSampledStep sampled;
        eep_expert_sample_step(twice.sample, twice.placement, step, tokens, 16, &sampled);
        drawn += sampled.imbalance / 4000;
    }
    ck_assert_double_eq_tol(one / drawn, 1.0, 0.02);
    world_clear(&once);
    world_clear(&twice);
}
END_TEST

START_TEST(test_load_counts)
{
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    World world;
    world_init(&world, &skew, 3, 16, 16);
    double expected[3 * E] = {0}, drawn[3 * E] = {0}, again[3 * E] = {0}, sum = 0.0;
    eep_expert_load_add(world.load, 20000, expected);
    eep_expert_sample_add_load(world.sample, 4, &(EepTokenMix){.n = {20000}}, drawn);
    eep_expert_sample_add_load(world.sample, 4, &(EepTokenMix){.n = {20000}}, again);
    for (guint i = 0; i < 3 * E; i++) {
        sum += drawn[i];
        ck_assert_double_eq(drawn[i], again[i]);
        if (expected[i] > 1000)
            ck_assert_double_eq_tol(drawn[i] / expected[i], 1.0, 0.12);
    }
    ck_assert_double_eq(sum, 3.0 * 20000 * K);
    world_clear(&world);
}
END_TEST

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    Suite *suite = suite_create("expert_load");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, test_modes_agree, 0, 8);
    if (is_long)
        tcase_set_timeout(tcase, 900);
    if (!is_long) {
        tcase_add_test(tcase, test_known_imbalance);
        tcase_add_test(tcase, test_interpolation);
        tcase_add_test(tcase, test_max_expectation);
        tcase_add_test(tcase, test_max_active);
        tcase_add_test(tcase, test_slot_cost);
        tcase_add_test(tcase, test_inclusion);
        tcase_add_test(tcase, test_update_equals_fresh_build);
        tcase_add_test(tcase, test_equal_layers_part);
        tcase_add_test(tcase, test_empty_ranks);
        tcase_add_loop_test(tcase, test_missing_experts, 0, EEP_REPLICA_COUNT);
        tcase_add_test(tcase, test_second_replica_idles_at_one_token_a_rank);
        tcase_add_test(tcase, test_load_counts);
    }
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
