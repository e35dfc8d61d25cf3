/* Popularity by version: when it is asked, what is remembered, what loads of the past come to; and
 * tokens by component. */
#include "sim/popularity.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/inclusion.h"

#define L 3
#define E 16
#define K 2
#define S EEP_NS_PER_S

static EepSkewOptions shifting(void)
{
    EepSkewOptions options = {.law = EEP_SKEW_ZIPF, .exponent = 1.0};
    options.drift.kind = EEP_DRIFT_SHIFT;
    options.drift.at = 10 * S;
    options.drift.every = 10 * S;
    options.drift.period = 100;
    return options;
}

static EepSkewOptions classes(guint n, double decode_correlation)
{
    return (EepSkewOptions){.law = EEP_SKEW_ZIPF,
                            .exponent = 1.0,
                            .classes = n,
                            .decode_correlation = decode_correlation};
}

static EepSkew *skew_of(const EepSkewOptions *options)
{
    GError *error = NULL;
    EepSkew *skew = eep_skew_new(options, 5, L, E, NULL, NULL, &error);
    ck_assert_msg(skew != NULL, "%s", skew ? "" : error->message);
    return skew;
}

static EepPopularity *popularity_of(const EepSkewOptions *options)
{
    return eep_popularity_new(skew_of(options), L, E, K);
}

/* Literally: tokens of a time, layer by layer, as the skew itself says. */
static void add_by_hand(const EepSkewOptions *options, EepTime at, guint component, double tokens,
                        double *load)
{
    g_autoptr(EepSkew) skew = skew_of(options);
    double p[E], pi[E];
    for (guint l = 0; l < L; l++) {
        eep_skew_popularity(skew, at, component, l, p);
        eep_inclusion(p, E, K, pi);
        for (guint e = 0; e < E; e++)
            load[l * E + e] += tokens * pi[e];
    }
}

static void assert_same(const double *x, const double *y)
{
    for (guint i = 0; i < L * E; i++)
        ck_assert_double_eq_tol(x[i], y[i], 1e-9 * (1.0 + y[i]));
}

START_TEST(test_asked_every_period)
{
    const EepSkewOptions options = shifting();
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    ck_assert_uint_eq(eep_popularity_version(popularity), 1);
    ck_assert(!eep_popularity_advance(popularity, 9 * S, 0));
    /* The shift is seen with the next hundred. */
    ck_assert(!eep_popularity_advance(popularity, 11 * S, 1));
    ck_assert(!eep_popularity_advance(popularity, 11 * S, 99));
    ck_assert(eep_popularity_advance(popularity, 12 * S, 100));
    ck_assert_uint_eq(eep_popularity_version(popularity), 2);
    /* A step that was discarded comes again later and is not asked for twice. */
    ck_assert(!eep_popularity_advance(popularity, 21 * S, 100));
    ck_assert(!eep_popularity_advance(popularity, 21 * S, 199));
    /* Steps may pass over the hundred; looks stay on its grid. */
    ck_assert(eep_popularity_advance(popularity, 22 * S, 250));
    ck_assert(!eep_popularity_advance(popularity, 31 * S, 299));
    ck_assert(eep_popularity_advance(popularity, 31 * S, 300));
    ck_assert_uint_eq(eep_popularity_version(popularity), 4);
    /* Nothing new, no new version. */
    ck_assert(!eep_popularity_advance(popularity, 32 * S, 400));
    ck_assert_uint_eq(eep_popularity_version(popularity), 4);
}
END_TEST

START_TEST(test_constant_has_one_version)
{
    const EepSkewOptions options = {.law = EEP_SKEW_ZIPF, .exponent = 1.0};
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    for (guint64 step = 0; step < 100000; step += 777)
        ck_assert(!eep_popularity_advance(popularity, (EepTime)step * S, step));
    ck_assert_uint_eq(eep_popularity_version(popularity), 1);
    ck_assert_uint_eq(eep_popularity_n_components(popularity), 1);
    ck_assert(eep_popularity_is_one_law(popularity));
}
END_TEST

START_TEST(test_past_versions_load_as_they_did)
{
    const EepSkewOptions options = shifting();
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    const EepTime times[] = {0, 15 * S, 25 * S, 35 * S};
    for (guint i = 1; i < G_N_ELEMENTS(times); i++)
        ck_assert(eep_popularity_advance(popularity, times[i], 100 * i));
    double load[L * E], expected[L * E], p[E], q[E];
    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        memset(load, 0, sizeof load);
        memset(expected, 0, sizeof expected);
        eep_popularity_add_load(popularity, i + 1, &(EepTokenMix){.n = {1000}}, load);
        add_by_hand(&options, times[i], 0, 1000, expected);
        assert_same(load, expected);
    }
    /* 0 is the present one; the versions differ. */
    eep_popularity_get(popularity, 0, 0, 1, p);
    eep_popularity_get(popularity, 4, 0, 1, q);
    ck_assert_mem_eq(p, q, sizeof p);
    eep_popularity_get(popularity, 3, 0, 1, q);
    ck_assert_mem_ne(p, q, sizeof p);
}
END_TEST

/* A look at every step: 8192 versions are kept, and what is older counts as the oldest of them. */
START_TEST(test_period_of_one_step)
{
    EepSkewOptions options = {.law = EEP_SKEW_ZIPF, .exponent = 1.0};
    options.drift.kind = EEP_DRIFT_ROTATION;
    options.drift.interval = S;
    options.drift.period = 1;
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    const guint n = 9000;
    for (guint step = 1; step < n; step++)
        ck_assert(eep_popularity_advance(popularity, (EepTime)step * S, step));
    ck_assert_uint_eq(eep_popularity_version(popularity), n);
    for (guint version = n - 8191; version <= n; version += 13) {
        double load[L * E] = {0}, expected[L * E] = {0};
        eep_popularity_add_load(popularity, version, &(EepTokenMix){.n = {10}}, load);
        add_by_hand(&options, (EepTime)(version - 1) * S, 0, 10, expected);
        assert_same(load, expected);
    }
    double oldest[E], older[E];
    eep_popularity_get(popularity, n - 8191, 0, 0, oldest);
    eep_popularity_get(popularity, 5, 0, 0, older);
    ck_assert_mem_eq(oldest, older, sizeof oldest);
}
END_TEST

START_TEST(test_components_add_up)
{
    EepSkewOptions options = classes(2, 0.3);
    options.drift.kind = EEP_DRIFT_RANDOM_WALK;
    options.drift.half_life = 60 * S;
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    ck_assert_uint_eq(eep_popularity_n_components(popularity), 4);
    ck_assert(!eep_popularity_is_one_law(popularity));
    ck_assert(eep_popularity_advance(popularity, 90 * S, 1000));
    const EepTokenMix tokens = {.n = {100, 7, 0, 50}};
    for (guint version = 1; version <= 2; version++) {
        double load[L * E] = {0}, expected[L * E] = {0};
        eep_popularity_add_load(popularity, version, &tokens, load);
        for (guint c = 0; c < 4; c++)
            add_by_hand(&options, version == 1 ? 0 : 90 * S, c, (double)tokens.n[c], expected);
        assert_same(load, expected);
    }
    for (guint c = 0; c < 4; c++)
        ck_assert_uint_eq(eep_popularity_alias(popularity, c), c);
}
END_TEST

START_TEST(test_alike_components)
{
    /* Decodes as prefill: each class counts once; where tokens stick they vary otherwise. */
    EepSkewOptions options = classes(2, 1.0);
    for (guint sticks = 0; sticks < 2; sticks++) {
        options.stickiness = sticks ? 0.6 : 0.0;
        g_autoptr(EepPopularity) popularity = popularity_of(&options);
        ck_assert_uint_eq(eep_popularity_alias(popularity, 1), sticks ? 1 : 0);
        ck_assert_uint_eq(eep_popularity_alias(popularity, 3), sticks ? 3 : 2);
    }
    /* One law that sticks: prefill and decode, and loads in proportion all the same. */
    options = (EepSkewOptions){.law = EEP_SKEW_ZIPF, .exponent = 1.0, .stickiness = 0.6};
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    ck_assert_uint_eq(eep_popularity_n_components(popularity), 2);
    ck_assert(eep_popularity_is_one_law(popularity));
    ck_assert_double_gt(eep_popularity_keep(popularity), 0.3);
}
END_TEST

/* With replacement an expert has k p tokens a token, however popular it is. */
START_TEST(test_with_replacement)
{
    const EepSkewOptions options = {.law = EEP_SKEW_NORMAL_ROUTING};
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    double p[E], sum = 0.0;
    ck_assert(eep_popularity_with_replacement(popularity));
    eep_popularity_get(popularity, 0, 0, 2, p);
    for (guint e = 0; e < E; e++) {
        ck_assert_double_eq(eep_popularity_picks(popularity, 0, 2)[e], K * p[e]);
        sum += eep_popularity_picks(popularity, 0, 2)[e];
    }
    ck_assert_double_eq_tol(sum, K, 1e-9);
}
END_TEST

START_TEST(test_counts_of_a_plan)
{
    const EepSkewOptions options = classes(2, 0.3);
    g_autoptr(EepPopularity) popularity = popularity_of(&options);
    const EepEngineWork work[] = {{.n_decodes = 5, .n_prefill_chunks = 1, .n_prefill_tokens = 100},
                                  {.n_decodes = 11},
                                  {.n_decodes = 0},
                                  {.n_prefill_chunks = 2, .n_prefill_tokens = 31}};
    const EepClassTokens of[] = {{12, 31}, {4, 100}};
    EepStepPlan plan = {.n_engines = 4, .work = work, .n_classes = 2, .classes = of};
    EepTokenMix tokens;
    eep_popularity_count(popularity, &plan, &tokens);
    const guint64 expected[] = {31, 12, 100, 4};
    for (guint c = 0; c < 4; c++)
        ck_assert_uint_eq(tokens.n[c], expected[c]);

    guint32 each[4][4];
    eep_popularity_count_each(popularity, &plan, each[0]);
    for (guint c = 0; c < 4; c++)
        ck_assert_uint_eq(each[0][c] + each[1][c] + each[3][c], expected[c]);
    for (guint i = 0; i < 4; i++) {
        ck_assert_uint_eq(each[i][0] + each[i][2], work[i].n_prefill_tokens);
        ck_assert_uint_eq(each[i][1] + each[i][3], i == 2 ? 1 : work[i].n_decodes);
    }
    ck_assert_uint_eq(each[2][1], 1);
    /* Dealt out evenly: a quarter of the eleven, and of the five, up to one. */
    ck_assert_uint_ge(each[1][3], 2);
    ck_assert_uint_le(each[1][3], 3);
    ck_assert_uint_ge(each[0][3], 1);

    /* Without classes all are of the first. */
    plan.classes = NULL;
    eep_popularity_count(popularity, &plan, &tokens);
    ck_assert_uint_eq(tokens.n[0], 131);
    ck_assert_uint_eq(tokens.n[1], 16);
    ck_assert_uint_eq(tokens.n[2] + tokens.n[3], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("popularity");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_asked_every_period);
    tcase_add_test(tcase, test_constant_has_one_version);
    tcase_add_test(tcase, test_past_versions_load_as_they_did);
    tcase_add_test(tcase, test_period_of_one_step);
    tcase_add_test(tcase, test_components_add_up);
    tcase_add_test(tcase, test_alike_components);
    tcase_add_test(tcase, test_with_replacement);
    tcase_add_test(tcase, test_counts_of_a_plan);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
