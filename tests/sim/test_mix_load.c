/* Tables of mixes: the eighths, and expected against drawn steps where kinds of tokens differ,
 * stick or pick an expert twice. With --long more steps are drawn, and the errors printed. */
#include "sim/mix_load.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "sim/expert_sample.h"

#define L 12
#define E 64
#define K 6
#define R 8

static const EepSlotCost slot = {16.07e-6, 59e-9, 12e-9};
static gboolean is_long;

static EepPopularity *popularity_of(const EepSkewOptions *options)
{
    GError *error = NULL;
    EepSkew *skew = eep_skew_new(options, 5, L, E, NULL, NULL, &error);
    ck_assert_msg(skew != NULL, "%s", skew ? "" : error->message);
    return eep_popularity_new(skew, L, E, K);
}

static EepSkewOptions law(gint kind, guint n_classes, double decode_correlation, double stickiness)
{
    return (EepSkewOptions){.law = kind,
                            .exponent = 1.0,
                            .classes = n_classes,
                            .decode_correlation = decode_correlation,
                            .stickiness = stickiness};
}

/* -- eighths -- */

static void shares_of(EepMix mix, guint n, guint *ret_shares)
{
    for (guint c = 0; c < n; c++)
        ret_shares[c] = mix >> (4 * c) & 0xF;
}

/* By definition: no shares that sum to 8 are nearer to the true ones, by the sum of squares. */
START_TEST(test_eighths_are_the_nearest)
{
    const EepSkewOptions options = law(EEP_SKEW_ZIPF, 2, 0.5, 0.0);
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    g_autoptr(EepMixLoad) mixes = eep_mix_load_new(popularity, L, E, K, &slot, 1 << 16);
    EepRng rng;
    eep_rng_init(&rng, 3, "mixes");
    for (guint i = 0; i < 2000; i++) {
        EepTokenMix tokens = {{0}};
        guint64 total = 0;
        guint shares[4], sum = 0;
        for (guint c = 0; c < 4; c++)
            total += tokens.n[c] = eep_rng_below(&rng, 3) ? eep_rng_below(&rng, 1 << i % 12) : 0;
        shares_of(eep_mix_load_mix_of(mixes, &tokens), 4, shares);
        if (total == 0) { /* dummies are decodes of class 0 */
            ck_assert_uint_eq(shares[1], 8);
            continue;
        }
        double mine = 0.0, best = G_MAXDOUBLE;
        for (guint c = 0; c < 4; c++) {
            double off = shares[c] - 8.0 * (double)tokens.n[c] / (double)total;
            mine += off * off;
            sum += shares[c];
        }
        ck_assert_uint_eq(sum, 8);
        for (guint a = 0; a <= 8; a++)
            for (guint b = 0; a + b <= 8; b++)
                for (guint c = 0; a + b + c <= 8; c++) {
                    const guint other[] = {a, b, c, 8 - a - b - c};
                    double squares = 0.0;
                    for (guint j = 0; j < 4; j++) {
                        double off = other[j] - 8.0 * (double)tokens.n[j] / (double)total;
                        squares += off * off;
                    }
                    best = fmin(best, squares);
                }
        ck_assert_double_le(mine, best + 1e-9);
    }
}
END_TEST

START_TEST(test_alike_components_are_one)
{
    const EepSkewOptions options = law(EEP_SKEW_ZIPF, 2, 1.0, 0.0);
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    g_autoptr(EepMixLoad) mixes = eep_mix_load_new(popularity, L, E, K, &slot, 1 << 16);
    const EepTokenMix prefill = {{60, 0, 20, 0}}, decode = {{0, 60, 10, 10}};
    ck_assert_uint_eq(eep_mix_load_mix_of(mixes, &prefill), 0x206);
    ck_assert_uint_eq(eep_mix_load_mix_of(mixes, &decode), 0x206);
}
END_TEST

/* -- moments against brute force -- */

/* Of the picks that the table of a mix is built from: the counts of `tokens` drawn tokens. */
static void assert_moments(const EepSkewOptions *options, const EepTokenMix *tokens,
                           double variance_tolerance)
{
    const guint n_draws = is_long ? 40000 : 8000;
    g_autoptr(EepPopularity) popularity = popularity_of(options);
    g_autoptr(EepMixLoad) mixes = eep_mix_load_new(popularity, L, E, K, &slot, 1 << 16);
    g_autoptr(EepPlacement) placement = eep_placement_new(L, E, R, E / R);
    g_autoptr(EepExpertSample) sample = eep_expert_sample_new(1, E, K, &slot, 9);
    const guint n = eep_popularity_n_components(popularity);
    double p[E], mean[E] = {0}, square[E] = {0}, none[E] = {0}, count[E];
    guint64 total = 0;
    gboolean changed;

    eep_expert_sample_set_law(sample, n, eep_popularity_with_replacement(popularity),
                              eep_popularity_keep(popularity));
    for (guint c = 0; c < n; c++) {
        eep_popularity_get(popularity, 0, c, 0, p);
        eep_expert_sample_set_component(sample, c, 0, p);
        total += tokens->n[c];
    }
    for (guint i = 0; i < n_draws; i++) {
        memset(count, 0, sizeof count);
        eep_expert_sample_add_load(sample, i, tokens, count);
        for (guint e = 0; e < E; e++) {
            mean[e] += count[e] / n_draws;
            square[e] += count[e] * count[e] / n_draws;
            none[e] += (count[e] == 0.0) / (double)n_draws;
        }
    }
    const EepExpertLoad *table =
        eep_mix_load_update(mixes, eep_mix_load_mix_of(mixes, tokens), placement, R, &changed);
    const EepPick *picks = eep_expert_load_picks(table, 0);
    double expected_sum = 0.0, variance_sum = 0.0, expected_variance_sum = 0.0;
    for (guint e = 0; e < E; e++) {
        const double m = (double)total * picks[e].mean;
        expected_sum += picks[e].mean;
        variance_sum += square[e] - mean[e] * mean[e];
        expected_variance_sum += m * picks[e].spread;
        ck_assert_msg(m < 1.0 || fabs(mean[e] / m - 1.0) < 0.06, "expert %u: %g instead of %g", e,
                      mean[e], m);
        ck_assert_msg(fabs(none[e] - pow(picks[e].none, (double)total)) < 0.03,
                      "expert %u: none with %g", e, none[e]);
    }
    ck_assert_double_eq_tol(expected_sum, K, 1e-6);
    ck_assert_msg(fabs(variance_sum / expected_variance_sum - 1.0) < variance_tolerance,
                  "variance %g instead of %g", variance_sum, expected_variance_sum);
}

START_TEST(test_moments)
{
    const EepSkewOptions two = law(EEP_SKEW_ZIPF, 1, 0.2, 0.0),
                         sticky = law(EEP_SKEW_ZIPF, 1, 1.0, 0.5),
                         both = law(EEP_SKEW_ZIPF, 2, 0.2, 0.6),
                         again = law(EEP_SKEW_NORMAL_ROUTING, 1, 1.0, 0.0),
                         again_sticky = law(EEP_SKEW_NORMAL_ROUTING, 1, 1.0, 0.6);
    assert_moments(&two, &(EepTokenMix){.n = {24, 40}}, 0.04);
    assert_moments(&sticky, &(EepTokenMix){.n = {64, 0}, .chunk = 64}, 0.06);
    assert_moments(&sticky, &(EepTokenMix){.n = {32, 32}, .chunk = 32}, 0.08);
    assert_moments(&both, &(EepTokenMix){.n = {48, 16, 32, 32}, .chunk = 40}, 0.08);
    assert_moments(&again, &(EepTokenMix){.n = {64}}, 0.04);
    assert_moments(&again_sticky, &(EepTokenMix){.n = {64, 0}, .chunk = 64}, 0.06);
}
END_TEST

/* -- steps -- */

typedef struct {
    EepPopularity *popularity;
    EepMixLoad *mixes;
    EepExpertSample *sample;
    EepPlacement *placement;
    guint n;
} World;

static void world_init(World *world, const EepSkewOptions *options)
{
    double p[E];
    world->popularity = popularity_of(options);
    world->n = eep_popularity_n_components(world->popularity);
    world->mixes = eep_mix_load_new(world->popularity, L, E, K, &slot, 1 << 16);
    world->sample = eep_expert_sample_new(L, E, K, &slot, 9);
    world->placement = eep_placement_new(L, E, R, E / R + 1);
    eep_expert_sample_set_law(world->sample, world->n,
                              eep_popularity_with_replacement(world->popularity),
                              eep_popularity_keep(world->popularity));
    for (guint c = 0; c < world->n; c++)
        for (guint l = 0; l < L; l++) {
            eep_popularity_get(world->popularity, 0, c, l, p);
            eep_expert_sample_set_component(world->sample, c, l, p);
        }
}

static void world_clear(World *world)
{
    eep_mix_load_free(world->mixes);
    eep_popularity_free(world->popularity);
    eep_expert_sample_free(world->sample);
    eep_placement_free(world->placement);
}

/* `each` tokens of each of R sources; returns the worst relative error of seconds and imbalance. */
static double error_of(World *world, const char *name, const EepTokenMix *each, guint n_steps)
{
    guint32 tokens[R][EEP_MAX_COMPONENTS], *packed = &tokens[0][0];
    EepTokenMix all = {.chunk = each->chunk};
    double total = 0.0, seconds = 0.0, imbalance = 0.0;
    gboolean changed;
    for (guint r = 0; r < R; r++)
        for (guint c = 0; c < world->n; c++) {
            packed[r * world->n + c] = (guint32)each->n[c];
            all.n[c] += each->n[c];
            total += (double)each->n[c];
        }
    eep_expert_sample_set_chunk(world->sample, each->chunk);
    for (guint step = 0; step < n_steps; step++) {
        EepSampledStep drawn;
        eep_expert_sample_step(world->sample, world->placement, step, packed, R, &drawn);
        seconds += drawn.seconds / n_steps;
        imbalance += drawn.imbalance / n_steps;
    }
    EepExpertLoad *load = eep_mix_load_update(world->mixes, eep_mix_load_mix_of(world->mixes, &all),
                                              world->placement, R, &changed);
    const double off = eep_expert_load_seconds(load, total) / seconds - 1.0;
    const double off_imbalance = eep_expert_load_imbalance(load, total) / imbalance - 1.0;
    if (is_long)
        printf("%-20s %5g tokens a rank: mean %+.2f %%, imbalance %+.2f %%\n", name, total / R,
               100 * off, 100 * off_imbalance);
    return fmax(fabs(off), fabs(off_imbalance));
}

START_TEST(test_modes_agree_on_mixes)
{
    const struct {
        const char *name;
        EepSkewOptions options;
    } rows[] = {{"prefill and decode", law(EEP_SKEW_ZIPF, 1, 0.2, 0.0)},
                {"stickiness 0.5", law(EEP_SKEW_ZIPF, 1, 1.0, 0.5)},
                {"two classes, 0.5", law(EEP_SKEW_ZIPF, 2, 0.2, 0.5)},
                {"normal_routing", law(EEP_SKEW_NORMAL_ROUTING, 1, 1.0, 0.0)}};
    World world;
    world_init(&world, &rows[_i].options);
    for (guint tokens = 8; tokens <= 512; tokens *= 4) {
        EepTokenMix each = {.chunk = tokens};
        for (guint c = 0; c < world.n; c++)
            each.n[c] = tokens / world.n;
        double error =
            error_of(&world, rows[_i].name, &each, (is_long ? 40000 : 4000) / tokens + 10);
        ck_assert_msg(error < 0.035, "%s, %u tokens: off by %.2f %%", rows[_i].name, tokens,
                      100 * error);
    }
    world_clear(&world);
}
END_TEST

/* -- what eighths cost: the tables of the mix itself, by the definition -- */

static EepPick exact_pick(const World *world, const double *share, guint layer, guint e)
{
    double mean = 0.0, variance = 0.0, third = 0.0, none = 0.0;
    for (guint c = 0; c < world->n; c++) {
        double pi = eep_popularity_picks(world->popularity, c, layer)[e];
        mean += share[c] * pi;
        variance += share[c] * pi * (1.0 - pi);
        third += share[c] * pi * (1.0 - pi) * (1.0 - 2.0 * pi);
        none += share[c] * log(1.0 - pi);
    }
    return (EepPick){mean, exp(none), variance / mean, third / variance};
}

START_TEST(test_error_of_eighths)
{
    const EepSkewOptions options = law(EEP_SKEW_ZIPF, _i ? 2 : 1, 0.2, 0.0);
    World world;
    world_init(&world, &options);
    EepRng rng;
    eep_rng_init(&rng, 4, "shares");
    double worst = 0.0, sum = 0.0;
    const guint n_mixes = is_long ? 400 : 40;
    for (guint i = 0; i < n_mixes; i++) {
        EepTokenMix tokens = {{0}};
        double share[EEP_MAX_COMPONENTS], total = 0.0;
        EepPick picks[E];
        gboolean changed;
        for (guint c = 0; c < world.n; c++)
            total += (double)(tokens.n[c] = 1 + eep_rng_below(&rng, 1000));
        for (guint c = 0; c < world.n; c++)
            share[c] = (double)tokens.n[c] / total;
        g_autoptr(EepExpertLoad) exact = eep_expert_load_new(L, E, K, &slot, 1 << 16);
        for (guint l = 0; l < L; l++) {
            for (guint e = 0; e < E; e++)
                picks[e] = exact_pick(&world, share, l, e);
            eep_expert_load_set_picks(exact, l, picks);
        }
        eep_expert_load_update(exact, world.placement, R);
        EepExpertLoad *load = eep_mix_load_update(
            world.mixes, eep_mix_load_mix_of(world.mixes, &tokens), world.placement, R, &changed);
        for (guint n = 32; n <= 4096; n *= 8) {
            double off =
                fabs(eep_expert_load_seconds(load, n) / eep_expert_load_seconds(exact, n) - 1.0);
            worst = fmax(worst, off);
            sum += off / (3 * n_mixes);
        }
    }
    if (is_long)
        printf("eighths of %u components: mean error %.2f %%, worst %.2f %%\n", world.n, 100 * sum,
               100 * worst);
    ck_assert_double_lt(sum, 0.015);
    ck_assert_double_lt(worst, 0.06);
    world_clear(&world);
}
END_TEST

/* -- tables follow -- */

START_TEST(test_tables_follow_popularity_and_placement)
{
    EepSkewOptions options = law(EEP_SKEW_ZIPF, 1, 0.2, 0.0);
    options.drift.kind = EEP_DRIFT_SHIFT;
    options.drift.at = 10 * EEP_NS_PER_S;
    options.drift.period = 10;
    World world, fresh;
    world_init(&world, &options);
    const EepMix mixes[] = {0x08, 0x80, 0x44, 0x62};
    gboolean changed;
    double before[4];
    for (guint i = 0; i < 4; i++)
        before[i] = eep_expert_load_seconds(
            eep_mix_load_update(world.mixes, mixes[i], world.placement, R, &changed), 1000);
    for (guint i = 0; i < 4; i++) { /* back to each: nothing is built again */
        EepExpertLoad *load =
            eep_mix_load_update(world.mixes, mixes[i], world.placement, R, &changed);
        ck_assert(!changed);
        ck_assert_double_eq(eep_expert_load_seconds(load, 1000), before[i]);
    }
    for (guint round = 0; round < 2; round++) {
        if (round == 0) {
            ck_assert(eep_popularity_advance(world.popularity, 11 * EEP_NS_PER_S, 10));
        } else { /* another placement at the same address, of the same generation */
            EepPlacement *other = eep_placement_new(L, E, R, E / R + 1);
            g_autofree gint32 *row =
                g_memdup2(eep_placement_layer(other, 2), other->n_slots * sizeof(gint32));
            for (guint s = 0; s < other->n_slots / 2; s += 2) { /* half of a rank and another's */
                gint32 expert = row[s];
                row[s] = row[s + other->n_slots / 2];
                row[s + other->n_slots / 2] = expert;
            }
            eep_mix_load_update(world.mixes, mixes[3], other, R, &changed);
            eep_placement_set_layer(world.placement, 2, row);
            ck_assert(!changed);
            eep_placement_free(other);
        }
        world_init(&fresh, &options);
        eep_popularity_advance(fresh.popularity, 11 * EEP_NS_PER_S, 10);
        for (guint i = 0; i < 4; i++) {
            double now = eep_expert_load_seconds(
                eep_mix_load_update(world.mixes, mixes[i], world.placement, R, &changed), 1000);
            ck_assert(changed);
            ck_assert_double_ne(now, before[i]);
            ck_assert_double_eq(
                now, eep_expert_load_seconds(
                         eep_mix_load_update(fresh.mixes, mixes[i], world.placement, R, &changed),
                         1000));
            before[i] = now;
        }
        world_clear(&fresh);
    }
    world_clear(&world);
}
END_TEST

int main(int argc, char **argv)
{
    is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    Suite *suite = suite_create("mix_load");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_eighths_are_the_nearest);
    tcase_add_test(tcase, test_alike_components_are_one);
    tcase_add_test(tcase, test_moments);
    tcase_add_loop_test(tcase, test_modes_agree_on_mixes, 0, 4);
    tcase_add_loop_test(tcase, test_error_of_eighths, 0, 2);
    tcase_add_test(tcase, test_tables_follow_popularity_and_placement);
    if (is_long)
        tcase_set_timeout(tcase, 900);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
