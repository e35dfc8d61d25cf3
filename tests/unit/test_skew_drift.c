/* Drift, classes, decode and layers: correlations reached, and pure functions of time. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/skew.h"
#include "core/skew_drift.h"

#define E     128
#define L     40
#define MIN_S (60 * EEP_NS_PER_S)

static EepSkewOptions zipf(void)
{
    EepSkewOptions options;
    memset(&options, 0, sizeof options);
    eep_options_init(&eep_skew_options, &options);
    options.law = EEP_SKEW_ZIPF;
    return options;
}

static EepSkew *skew_of(const EepSkewOptions *options, guint64 seed)
{
    GError *error = NULL;
    EepSkew *skew = eep_skew_new(options, seed, L, E, NULL, NULL, &error);
    ck_assert_msg(skew != NULL, "%s", error != NULL ? error->message : "");
    return skew;
}

/* Scores of what has been asked for, from popularity alone: ranks become normal numbers. */
static void scores_of(const double *p, double *ret_scores)
{
    double normal[E];
    guint rank[E];
    eep_scores_normal(E, normal);
    eep_scores_rank(p, E, rank);
    for (guint e = 0; e < E; e++)
        ret_scores[e] = normal[rank[e]];
}

/* Mean over layers of the correlation of two looks; its standard error is 1 / sqrt(E L) = 0.014. */
static double correlation(const EepSkew *skew, EepTime t, guint c, EepTime u, guint d, guint shift)
{
    double sum = 0.0;
    for (guint l = 0; l < L; l++) {
        double p[E], q[E], x[E], y[E];
        eep_skew_popularity(skew, t, c, l, p);
        eep_skew_popularity(skew, u, d, (l + shift) % L, q);
        scores_of(p, x);
        scores_of(q, y);
        for (guint e = 0; e < E; e++)
            sum += x[e] * y[e] / E / L;
    }
    return sum;
}

START_TEST(fields_are_standard_normal)
{
    double normal[E], sum = 0.0, squares = 0.0;
    eep_scores_normal(E, normal);
    for (guint r = 0; r < E; r++) {
        sum += normal[r];
        squares += normal[r] * normal[r];
        ck_assert(r == 0 || normal[r] < normal[r - 1]);
    }
    ck_assert_double_eq_tol(sum, 0.0, 1e-10);
    ck_assert_double_eq_tol(squares, E, 1e-9);
    eep_scores_normal(1, normal);
    ck_assert_double_eq(normal[0], 0.0);
    guint rank[4];
    const double ties[] = {1.0, 3.0, 1.0, 3.0};
    eep_scores_rank(ties, 4, rank);
    ck_assert(rank[1] == 0 && rank[3] == 1 && rank[0] == 2 && rank[2] == 3);
}
END_TEST

START_TEST(layers_are_correlated)
{
    static const double wanted[] = {0.0, 0.3, 0.8, 1.0};
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        EepSkewOptions options = zipf();
        options.layer_correlation = wanted[i];
        g_autoptr(EepSkew) skew = skew_of(&options, 4);
        ck_assert_double_eq_tol(correlation(skew, 0, 0, 0, 0, 1), wanted[i], 0.05);
        ck_assert_double_eq_tol(correlation(skew, 0, 0, 0, 0, 7), wanted[i], 0.05);
        ck_assert_int_eq(eep_skew_layers_are_equal(skew), wanted[i] == 1.0);
    }
    EepSkewOptions full = zipf(), same = zipf();
    full.layer_correlation = 1.0;
    same.layers = EEP_SKEW_LAYERS_SAME;
    g_autoptr(EepSkew) a = skew_of(&full, 4), b = skew_of(&same, 4);
    double p[E], q[E];
    eep_skew_popularity(a, 0, 0, 3, p);
    eep_skew_popularity(b, 0, 0, 9, q);
    ck_assert(memcmp(p, q, sizeof p) == 0);
}
END_TEST

START_TEST(decode_is_correlated_with_prefill)
{
    static const double wanted[] = {0.0, 0.6, 0.9, 1.0};
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        EepSkewOptions options = zipf();
        options.decode_correlation = wanted[i];
        g_autoptr(EepSkew) skew = skew_of(&options, 9);
        ck_assert_double_eq_tol(correlation(skew, 0, 0, 0, 1, 0), wanted[i], 0.04);
        ck_assert_int_eq(eep_skew_is_one_component(skew), wanted[i] == 1.0);
    }
}
END_TEST

/* Any two classes, and at any time of a walk; prefill of one class stays what it is. */
START_TEST(classes_are_correlated)
{
    EepSkewOptions options = zipf();
    options.classes = 4;
    options.class_correlation = 0.5;
    options.decode_correlation = 0.7;
    options.drift.kind = EEP_DRIFT_RANDOM_WALK;
    g_autoptr(EepSkew) skew = skew_of(&options, 2);
    ck_assert_uint_eq(eep_skew_n_classes(skew), 4);
    ck_assert(!eep_skew_is_one_component(skew));
    for (EepTime at = 0; at < 40 * MIN_S; at += 17 * MIN_S) {
        for (guint a = 0; a < 4; a++)
            for (guint b = 0; b < a; b++)
                ck_assert_double_eq_tol(correlation(skew, at, 2 * a, at, 2 * b, 0), 0.5, 0.06);
        ck_assert_double_eq_tol(correlation(skew, at, 4, at, 5, 0), 0.7, 0.06);
        ck_assert_double_eq_tol(correlation(skew, at, 4, at, 7, 0), 0.35, 0.06);
    }
    options.class_correlation = options.decode_correlation = 1.0;
    g_autoptr(EepSkew) alike = skew_of(&options, 2);
    ck_assert(eep_skew_is_one_component(alike));
    double p[E], q[E];
    eep_skew_popularity(alike, 3 * MIN_S, 0, 1, p);
    eep_skew_popularity(alike, 3 * MIN_S, 7, 1, q);
    ck_assert(memcmp(p, q, sizeof p) == 0);
}
END_TEST

/* 2^-(h / half_life) from any time, knots or not, near and far from the start. */
START_TEST(the_walk_has_its_half_life)
{
    EepSkewOptions options = zipf();
    options.drift.kind = EEP_DRIFT_RANDOM_WALK;
    options.drift.half_life = 10 * MIN_S;
    g_autoptr(EepSkew) skew = skew_of(&options, 1);
    static const double from_min[] = {0.0, 3.3, 10.0, 47.0, 1234.5};
    static const double after_min[] = {0.05, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0};
    for (guint i = 0; i < G_N_ELEMENTS(from_min); i++)
        for (guint j = 0; j < G_N_ELEMENTS(after_min); j++) {
            EepTime from = (EepTime)(from_min[i] * MIN_S);
            EepTime to = from + (EepTime)(after_min[j] * MIN_S);
            double wanted = pow(0.5, after_min[j] / 10.0);
            double got = correlation(skew, from, 0, to, 0, 0);
            ck_assert_msg(fabs(got - wanted) < 0.045, "from %g after %g: %g, not %g", from_min[i],
                          after_min[j], got, wanted);
        }
    ck_assert(!eep_skew_is_constant(skew));
}
END_TEST

/* The start is what there is without drift; a small step of time moves little; the order of asking
 * does not matter; values stay the law's. */
START_TEST(the_walk_is_a_function_of_time)
{
    EepSkewOptions still = zipf(), options = zipf();
    options.drift.kind = EEP_DRIFT_RANDOM_WALK;
    options.drift.half_life = 10 * MIN_S;
    g_autoptr(EepSkew) none = skew_of(&still, 6), skew = skew_of(&options, 6);
    double p[E], q[E], x[E], y[E];
    eep_skew_popularity(none, 0, 0, 2, p);
    eep_skew_popularity(skew, 0, 0, 2, q);
    ck_assert(memcmp(p, q, sizeof p) == 0);

    EepScores scores;
    eep_scores_init(&scores, &options, 6, E);
    double largest = 0.0;
    /* Across knots and midpoints: steps of 1 ms about every 1/64 of the half-life. */
    for (guint i = 0; i < 150; i++) {
        EepTime at = (EepTime)i * options.drift.half_life / 64;
        eep_scores_at(&scores, &options, MAX(at - EEP_NS_PER_MS / 2, 0), 0, 2, NULL, x);
        eep_scores_at(&scores, &options, at + EEP_NS_PER_MS / 2, 0, 2, NULL, y);
        for (guint e = 0; e < E; e++)
            largest = fmax(largest, fabs(x[e] - y[e]));
    }
    ck_assert_double_lt(largest, 1e-3);
    double squares = 0.0;
    eep_scores_at(&scores, &options, 777 * EEP_NS_PER_S, 0, 2, NULL, x);
    for (guint e = 0; e < E; e++)
        squares += x[e] * x[e] / E;
    ck_assert_double_eq_tol(squares, 1.0, 0.35);
    eep_scores_clear(&scores);

    eep_skew_popularity(skew, 777 * EEP_NS_PER_S, 0, 2, p);
    for (EepTime at = 20000 * EEP_NS_PER_S; at > 0; at -= 3333 * EEP_NS_PER_S)
        eep_skew_popularity(skew, at, 0, (guint)(at % L), q);
    eep_skew_popularity(skew, 777 * EEP_NS_PER_S, 0, 2, q);
    ck_assert(memcmp(p, q, sizeof p) == 0);
    /* A permutation of the same values. */
    guint n_equal = 0;
    eep_skew_popularity(none, 0, 0, 2, q);
    for (guint e = 0; e < E; e++)
        for (guint f = 0; f < E; f++)
            n_equal += p[e] == q[f];
    ck_assert_uint_eq(n_equal, E);
    /* The last moment there is. */
    eep_skew_popularity(skew, EEP_TIME_NEVER, 0, 2, p);
}
END_TEST

START_TEST(rotation_shifts_expert_ids)
{
    EepSkewOptions options = zipf();
    options.drift.kind = EEP_DRIFT_ROTATION;
    options.drift.interval = 5 * EEP_NS_PER_S;
    g_autoptr(EepSkew) skew = skew_of(&options, 6);
    double first[E], p[E];
    eep_skew_popularity(skew, 0, 0, 1, first);
    eep_skew_popularity(skew, 5 * EEP_NS_PER_S - 1, 0, 1, p);
    ck_assert(memcmp(first, p, sizeof p) == 0);
    eep_skew_popularity(skew, 15 * EEP_NS_PER_S, 0, 1, p);
    for (guint e = 0; e < E; e++)
        ck_assert_double_eq(p[(e + 3) % E], first[e]);
    eep_skew_popularity(skew, (EepTime)E * 5 * EEP_NS_PER_S, 0, 1, p);
    ck_assert(memcmp(first, p, sizeof p) == 0);
    ck_assert(!eep_skew_is_constant(skew));
}
END_TEST

START_TEST(shifts_change_the_domain)
{
    EepSkewOptions options = zipf();
    options.drift.kind = EEP_DRIFT_SHIFT;
    options.drift.at = 100;
    options.drift.correlation = 0.6;
    g_autoptr(EepSkew) once = skew_of(&options, 6);
    ck_assert_double_eq_tol(correlation(once, 0, 0, 99, 0, 0), 1.0, 1e-9);
    ck_assert_double_eq_tol(correlation(once, 99, 0, 100, 0, 0), 0.6, 0.04);
    ck_assert_double_eq_tol(correlation(once, 100, 0, EEP_TIME_NEVER, 0, 0), 1.0, 1e-9);
    ck_assert(!eep_skew_is_constant(once));

    options.drift.every = 50;
    g_autoptr(EepSkew) often = skew_of(&options, 6);
    ck_assert_double_eq_tol(correlation(often, 100, 0, 149, 0, 0), 1.0, 1e-9);
    ck_assert_double_eq_tol(correlation(often, 149, 0, 150, 0, 0), 0.6, 0.04);
    ck_assert_double_eq_tol(correlation(often, 99, 0, 150, 0, 0), 0.36, 0.05);
    ck_assert_double_eq_tol(correlation(often, 100000, 0, 100050, 0, 0), 0.6, 0.04);
    ck_assert_double_eq_tol(correlation(often, 100000, 0, 100100, 0, 0), 0.36, 0.05);
    ck_assert_uint_eq(eep_drift_domain(&options, 99), 0);
    ck_assert_uint_eq(eep_drift_domain(&options, 100), 1);
    ck_assert_uint_eq(eep_drift_domain(&options, 200), 3);

    options.drift.correlation = 0.0;
    g_autoptr(EepSkew) abrupt = skew_of(&options, 6);
    ck_assert_double_eq_tol(correlation(abrupt, 99, 0, 100, 0, 0), 0.0, 0.05);
    options.drift.correlation = 1.0;
    g_autoptr(EepSkew) never = skew_of(&options, 6);
    ck_assert(eep_skew_is_constant(never));
    ck_assert_double_eq_tol(correlation(never, 0, 0, 1000, 0, 0), 1.0, 1e-9);
    options.drift.correlation = 0.9999; /* the longest memory there is: it ends */
    g_autoptr(EepSkew) slow = skew_of(&options, 6);
    double p[E];
    eep_skew_popularity(slow, EEP_TIME_NEVER, 0, 0, p);
}
END_TEST

/* Records before and after, and in turn with `every`. */
START_TEST(a_shift_to_a_record)
{
    g_autoptr(EepLoadRecord) a = eep_load_record_new(1, 2, 4), b = eep_load_record_new(1, 1, 4);
    const double before[] = {4, 3, 2, 1, 1, 1, 1, 7}, after[] = {1, 0, 8, 1};
    memcpy(a->tokens, before, sizeof before);
    memcpy(b->tokens, after, sizeof after);
    EepSkewOptions options = zipf();
    options.law = EEP_SKEW_RECORDED;
    options.drift.kind = EEP_DRIFT_SHIFT;
    options.drift.at = 100;
    g_autoptr(EepSkew) once = eep_skew_new(&options, 1, 2, 4, a, b, NULL);
    double p[4];
    eep_skew_popularity(once, 99, 0, 1, p);
    ck_assert_double_eq_tol(p[3], 0.7, 1e-12);
    eep_skew_popularity(once, 1000, 0, 1, p);
    ck_assert_double_eq_tol(p[2], 8 / 10.5, 1e-12);
    ck_assert_double_eq_tol(p[1], 0.5 / 10.5, 1e-12);
    ck_assert(!eep_skew_is_constant(once));
    options.drift.every = 10;
    g_autoptr(EepSkew) often = eep_skew_new(&options, 1, 2, 4, a, b, NULL);
    eep_skew_popularity(often, 105, 0, 0, p);
    ck_assert_double_eq_tol(p[2], 8 / 10.5, 1e-12);
    eep_skew_popularity(often, 110, 0, 0, p);
    ck_assert_double_eq_tol(p[0], 0.4, 1e-12);
}
END_TEST

START_TEST(requests_have_classes)
{
    EepSkewOptions options = zipf();
    options.classes = 3;
    g_autoptr(EepSkew) skew = skew_of(&options, 6), other = skew_of(&options, 7);
    guint counts[3] = {0}, differ = 0;
    for (guint64 i = 0; i < 30000; i++) {
        guint class = eep_skew_class_of(skew, i, 5);
        ck_assert_uint_lt(class, 3);
        ck_assert_uint_eq(class, eep_skew_class_of(skew, i, 99));
        counts[class]++;
        differ += class != eep_skew_class_of(other, i, 5);
    }
    for (guint c = 0; c < 3; c++) /* standard error 82 */
        ck_assert_uint_le(ABS((gint)counts[c] - 10000), 350);
    ck_assert_uint_gt(differ, 15000);
    ck_assert_double_eq(eep_skew_class_share(skew, 2, 77), 1.0 / 3.0);
    ck_assert(eep_skew_is_constant(skew));
}
END_TEST

START_TEST(the_mixture_moves)
{
    EepSkewOptions options = zipf();
    options.classes = 3;
    options.drift.kind = EEP_DRIFT_MIXTURE;
    options.drift.interval = 3000;
    g_autoptr(EepSkew) skew = skew_of(&options, 6);
    ck_assert(eep_skew_is_constant(skew)); /* each class; the shares are the traffic's */
    for (EepTime at = 0; at < 9000; at += 125) {
        double sum = 0.0;
        for (guint c = 0; c < 3; c++) {
            double share = eep_skew_class_share(skew, c, at);
            ck_assert(share >= 0.0 && share <= 1.0);
            ck_assert_double_eq_tol(share, eep_skew_class_share(skew, c, at + 3000), 1e-12);
            sum += share;
        }
        ck_assert_double_eq_tol(sum, 1.0, 1e-12);
    }
    ck_assert_double_eq(eep_skew_class_share(skew, 0, 0), 1.0);
    ck_assert_double_eq_tol(eep_skew_class_share(skew, 1, 750), 0.75, 1e-12);
    ck_assert_double_eq_tol(eep_skew_class_share(skew, 0, 2500), 0.5, 1e-12);
    guint counts[3] = {0};
    for (guint64 i = 0; i < 20000; i++)
        counts[eep_skew_class_of(skew, i, 1250)]++;
    ck_assert_uint_eq(counts[0], 0);
    ck_assert_uint_le(ABS((gint)counts[1] - 15000), 250); /* standard error 61 */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("skew_drift");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, fields_are_standard_normal);
    tcase_add_test(tcase, layers_are_correlated);
    tcase_add_test(tcase, decode_is_correlated_with_prefill);
    tcase_add_test(tcase, classes_are_correlated);
    tcase_add_test(tcase, the_walk_has_its_half_life);
    tcase_add_test(tcase, the_walk_is_a_function_of_time);
    tcase_add_test(tcase, rotation_shifts_expert_ids);
    tcase_add_test(tcase, shifts_change_the_domain);
    tcase_add_test(tcase, a_shift_to_a_record);
    tcase_add_test(tcase, requests_have_classes);
    tcase_add_test(tcase, the_mixture_moves);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
