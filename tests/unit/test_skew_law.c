/* Laws of popularity against their closed forms, and what eep_skew_new() makes of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/inclusion.h"
#include "core/skew.h"
#include "core/skew_law.h"

#define E 64

static double sum_of(const double *p, guint n)
{
    double sum = 0.0;
    for (guint e = 0; e < n; e++)
        sum += p[e];
    return sum;
}

static int falling(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

static EepSkewOptions defaults(EepSkewLaw law)
{
    EepSkewOptions options;
    memset(&options, 0, sizeof options);
    eep_options_init(&eep_skew_options, &options);
    options.law = (gint)law;
    return options;
}

static EepSkew *skew_of(const EepSkewOptions *options, guint n_layers, guint n_experts)
{
    GError *error = NULL;
    EepSkew *skew = eep_skew_new(options, 11, n_layers, n_experts, NULL, NULL, &error);
    ck_assert_msg(skew != NULL, "%s", error != NULL ? error->message : "");
    return skew;
}

/* What today's scenarios have: a pinned figure of the order that "skew/3" draws, made before there
 * was anything but laws uniform and zipf. */
START_TEST(zipf_is_what_it_was)
{
    EepSkewOptions options = defaults(EEP_SKEW_ZIPF);
    g_autoptr(EepSkew) skew = skew_of(&options, 8, E);
    double p[E], expected[E];
    eep_law_zipf(0.8, E, expected);
    /* The shuffle restated: Fisher and Yates' over the values themselves. */
    EepRng rng;
    eep_rng_init(&rng, 11, "skew/3");
    for (guint e = E - 1; e > 0; e--) {
        guint other = (guint)eep_rng_below(&rng, e + 1);
        double moved = expected[e];
        expected[e] = expected[other];
        expected[other] = moved;
    }
    eep_skew_popularity(skew, 0, 0, 3, p);
    ck_assert(memcmp(p, expected, sizeof p) == 0);
    eep_skew_popularity(skew, 12345678, 1, 3, p);
    ck_assert(memcmp(p, expected, sizeof p) == 0);
    ck_assert(eep_skew_is_one_component(skew) && eep_skew_is_constant(skew));
    ck_assert_uint_eq(eep_skew_n_classes(skew), 1);
    ck_assert_uint_eq(eep_skew_period(skew), 1000);
    ck_assert_double_eq(eep_skew_keep(skew, 6), 0.0);
}
END_TEST

/* A struct filled by hand has zeros where the table has defaults that are not. */
START_TEST(structs_by_hand)
{
    const EepSkewOptions bare = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    EepSkewOptions options = defaults(EEP_SKEW_ZIPF);
    g_autoptr(EepSkew) by_hand = skew_of(&bare, 8, E), full = skew_of(&options, 8, E);
    double p[E], q[E];
    for (guint l = 0; l < 8; l++) {
        eep_skew_popularity(by_hand, 5, 1, l, p);
        eep_skew_popularity(full, 5, 0, l, q);
        ck_assert(memcmp(p, q, sizeof p) == 0);
    }
    ck_assert(eep_skew_is_one_component(by_hand) && eep_skew_is_constant(by_hand));
    ck_assert_uint_eq(eep_skew_period(by_hand), 1000);
}
END_TEST

/* Every law sums to 1 with entries above 0, at several sizes, in every layer. */
START_TEST(every_law_is_a_distribution)
{
    static const guint sizes[] = {1, 2, 3, 8, 64, 257, 512};
    for (guint law = EEP_SKEW_UNIFORM; law < EEP_SKEW_RECORDED; law++)
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
            const guint n = sizes[i];
            EepSkewOptions options = defaults((EepSkewLaw)law);
            g_autoptr(EepSkew) skew = skew_of(&options, 3, n);
            g_autofree double *p = g_new(double, n);
            for (guint l = 0; l < 3; l++) {
                eep_skew_popularity(skew, 0, 0, l, p);
                ck_assert_double_eq_tol(sum_of(p, n), 1.0, 1e-12);
                for (guint e = 0; e < n; e++)
                    ck_assert_double_gt(p[e], 0.0);
            }
            ck_assert_int_eq(eep_skew_with_replacement(skew), law == EEP_SKEW_NORMAL_ROUTING);
        }
}
END_TEST

START_TEST(flat_laws_are_flat)
{
    for (guint i = 0; i < 6; i++) {
        EepSkewOptions options = defaults(EEP_SKEW_UNIFORM);
        if (i == 1)
            options.law = EEP_SKEW_UNIFORM_RANDOM;
        if (i == 2)
            options.law = EEP_SKEW_ZIPF, options.exponent = 0.0;
        if (i == 3)
            options.law = EEP_SKEW_POWER_LAW, options.alpha = 0.0; /* aiconfigurator: balanced */
        if (i == 4)
            options.law = EEP_SKEW_POWER_LAW, options.spread = 1.0;
        if (i == 5)
            options.law = EEP_SKEW_LOGNORMAL, options.sigma = 0.0;
        options.drift.kind = EEP_DRIFT_RANDOM_WALK; /* nothing to drift */
        options.decode_correlation = 0.3;
        options.classes = 3;
        g_autoptr(EepSkew) skew = skew_of(&options, 3, E);
        double p[E];
        eep_skew_popularity(skew, G_GINT64_CONSTANT(1) << 50, 3, 2, p);
        for (guint e = 0; e < E; e++)
            ck_assert_double_eq(p[e], 1.0 / E);
        ck_assert(eep_skew_layers_are_equal(skew));
        ck_assert(eep_skew_is_one_component(skew) && eep_skew_is_constant(skew));
    }
}
END_TEST

/* vLLM's sampler restated, a million choices. */
START_TEST(normal_routing_is_vllms)
{
    EepSkewOptions options = defaults(EEP_SKEW_NORMAL_ROUTING);
    const guint n = 48, draws = 1000000;
    g_autoptr(EepSkew) skew = skew_of(&options, 4, n);
    double p[48], again[48];
    guint counts[48] = {0};
    EepRng rng;
    eep_rng_init(&rng, 5, "choices");
    for (guint i = 0; i < draws; i++)
        counts[(guint)(n / (1.0 + exp(-eep_rng_normal(&rng))))]++;
    eep_skew_popularity(skew, 0, 0, 0, p);
    for (guint e = 0; e < n; e++) {
        double sigma = sqrt(draws * p[e] * (1.0 - p[e]));
        ck_assert_double_eq_tol(counts[e], draws * p[e], 4.5 * sigma + 1.0);
        ck_assert_double_eq(p[e], p[n - 1 - e]);
    }
    eep_skew_popularity(skew, 999, 1, 3, again);
    ck_assert(memcmp(p, again, sizeof p) == 0);
    ck_assert(eep_skew_layers_are_equal(skew));
    /* The middle in closed form: P(sigmoid(z) in [1/2, 25/48)). */
    double z = log((25.0 / 48) / (23.0 / 48));
    ck_assert_double_eq_tol(p[24], 0.5 * erf(z / sqrt(2.0)), 1e-12);
}
END_TEST

/* Quantiles against the integral of the density, and drawn values against the quantiles. */
START_TEST(power_law_is_its_density)
{
    static const double alphas[] = {0.3, 1.0, 1.01, 1.2, 2.5};
    for (guint i = 0; i < G_N_ELEMENTS(alphas); i++) {
        const double a = alphas[i], spread = 200.0, rest = 1.0 - a;
        for (double u = 0.0; u <= 1.0; u += 0.125) {
            double x = eep_law_power_quantile(a, spread, u);
            double mass =
                a == 1.0 ? log(x) / log(spread) : (pow(x, rest) - 1.0) / (pow(spread, rest) - 1.0);
            ck_assert_double_eq_tol(mass, u, 1e-10);
        }
        /* A thousand layers' mean load against the density's: E x / E 1. */
        EepSkewOptions options = defaults(EEP_SKEW_POWER_LAW);
        options.alpha = a;
        g_autoptr(EepSkew) skew = skew_of(&options, 300, 256);
        double p[256];
        double mean = a == 1.0
                          ? (spread - 1.0) / log(spread)
                          : (pow(spread, 2 - a) - 1) / (2 - a) * rest / (pow(spread, rest) - 1);
        double ratio = 0.0;
        for (guint l = 0; l < 300; l++) {
            eep_skew_popularity(skew, 0, 0, l, p);
            qsort(p, 256, sizeof *p, falling);
            ratio += p[128] / 300.0;
            ck_assert_double_le(p[0] / p[255], spread * (1.0 + 1e-9));
            ck_assert_double_gt(p[0] / p[255], 0.02 * spread);
        }
        double median = eep_law_power_quantile(a, spread, 0.5);
        ck_assert_double_eq_tol(ratio * 256, median / mean, 0.05 * median / mean);
    }
    double below = eep_law_power_quantile(1.0 - 3e-7, 200.0, 0.4);
    ck_assert_double_eq_tol(below, eep_law_power_quantile(1.0, 200.0, 0.4), 1e-4);
}
END_TEST

START_TEST(lognormal_has_its_sigma)
{
    EepSkewOptions options = defaults(EEP_SKEW_LOGNORMAL);
    options.sigma = 1.3;
    g_autoptr(EepSkew) skew = skew_of(&options, 100, 256);
    double p[256], variance = 0.0;
    for (guint l = 0; l < 100; l++) {
        double sum = 0.0, squares = 0.0;
        eep_skew_popularity(skew, 0, 0, l, p);
        for (guint e = 0; e < 256; e++) {
            sum += log(p[e]);
            squares += log(p[e]) * log(p[e]);
        }
        variance += (squares - sum * sum / 256) / 255 / 100;
    }
    ck_assert_double_eq_tol(sqrt(variance), 1.3, 0.02);
}
END_TEST

/* Counts of top-k tokens become the popularity that gives these counts again. */
START_TEST(recorded_reproduces_the_counts)
{
    double p[E], pi[E], back[E];
    eep_law_zipf(1.1, E, p);
    eep_inclusion(p, E, 6, pi);
    eep_law_recorded(pi, E, 6, back);
    for (guint e = 0; e < E; e++)
        ck_assert_double_eq_tol(back[e], p[e], 1e-9);
    eep_law_recorded(pi, E, 0, back);
    for (guint e = 0; e < E; e++)
        ck_assert_double_eq_tol(back[e], pi[e] / 6.0, 1e-10);

    const double zeros[] = {0.0, 7.5, 2.0, 0.0}, shares[] = {0.5, 0.0, 0.2, 0.3};
    eep_law_recorded(zeros, 4, 0, back);
    ck_assert_double_eq_tol(back[0], 0.5 / 10.5, 1e-12);
    ck_assert_double_eq_tol(back[1], 7.5 / 10.5, 1e-12);
    eep_law_recorded(shares, 4, 0, back);
    ck_assert_double_eq_tol(back[1], 0.1 / 1.1, 1e-12);
    const double all[] = {10.0, 0.0, 0.0, 0.0}; /* pi would be above 1 */
    eep_law_recorded(all, 4, 2, back);
    ck_assert(isfinite(back[0]) && back[0] < 1.0 && back[1] > 0.0);
}
END_TEST

START_TEST(recorded_layers)
{
    g_autoptr(EepLoadRecord) record = eep_load_record_new(2, 3, 8);
    EepSkewOptions options = defaults(EEP_SKEW_RECORDED);
    double p[8];
    for (guint i = 0; i < 2 * 3 * 8; i++)
        record->tokens[i] = 1 + (i * 7 + i / 24) % 13;
    g_autoptr(EepSkew) skew = eep_skew_new(&options, 1, 5, 8, record, NULL, NULL);
    ck_assert_ptr_nonnull(skew);
    for (guint l = 0; l < 5; l++) {
        const double *first = record->tokens + (l % 3) * 8, *second = first + 24;
        double all = sum_of(first, 8) + sum_of(second, 8);
        eep_skew_popularity(skew, 0, 0, l, p);
        for (guint e = 0; e < 8; e++)
            ck_assert_double_eq_tol(p[e], (first[e] + second[e]) / all, 1e-12);
    }
    ck_assert(!eep_skew_layers_are_equal(skew));
    ck_assert(eep_skew_is_constant(skew));
}
END_TEST

/* What a contradiction is told as: the words after the first colon say what is allowed. */
static void refused(const EepSkewOptions *options, guint n_experts, const EepLoadRecord *record,
                    const EepLoadRecord *shifted, const char *part)
{
    GError *error = NULL;
    ck_assert_ptr_null(eep_skew_new(options, 1, 2, n_experts, record, shifted, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error->message, part) != NULL, "%s", error->message);
    ck_assert_ptr_nonnull(strchr(error->message, ':'));
    g_clear_error(&error);
}

START_TEST(contradictions)
{
    g_autoptr(EepLoadRecord) record = eep_load_record_new(1, 2, 8),
                             other = eep_load_record_new(1, 2, 8);
    EepSkewOptions options = defaults(EEP_SKEW_RECORDED);
    for (guint e = 0; e < 16; e++)
        record->tokens[e] = 1.0;
    refused(&options, 8, NULL, NULL, "no record");
    options.load.path = (char *)"loads.json";
    refused(&options, 8, NULL, NULL, "no record");
    refused(&options, 256, record, NULL, "of 8 experts, the model has 256");
    refused(&options, 8, other, NULL, "layer 0 of the record of skew.load has no counts");
    record->tokens[9] = NAN;
    refused(&options, 8, record, NULL, "layer 1 of the record of skew.load has a count that is");
    record->tokens[9] = -1.0;
    refused(&options, 8, record, NULL, "layer 1");
    record->tokens[9] = 0.0;
    options.layers = EEP_SKEW_LAYERS_SAME;
    refused(&options, 8, record, NULL, "layers: independent");
    options.layers = EEP_SKEW_LAYERS_INDEPENDENT;
    options.drift.load.path = (char *)"other.json";
    refused(&options, 8, record, other, "a record to shift to");
    options.drift.kind = EEP_DRIFT_SHIFT;
    refused(&options, 8, record, other, "drift.at above 0s");
    options.drift.at = 5;
    refused(&options, 8, record, NULL, "skew.drift.load.path: FILE");
    refused(&options, 8, record, other, "of skew.drift.load has no counts");
    options = defaults(EEP_SKEW_ZIPF);
    options.load.path = (char *)"loads.json";
    refused(&options, 8, NULL, NULL, "law: recorded");
    options = defaults(EEP_SKEW_ZIPF);
    options.drift.at = 5;
    refused(&options, 8, NULL, NULL, "without a shift");
    options = defaults(EEP_SKEW_ZIPF);
    options.drift.every = 5;
    refused(&options, 8, NULL, NULL, "without a shift");
    options = defaults(EEP_SKEW_ZIPF);
    options.drift.kind = EEP_DRIFT_MIXTURE;
    refused(&options, 8, NULL, NULL, "at least 2 classes");
    options = defaults(EEP_SKEW_ZIPF);
    options.drift.half_life = options.drift.interval = 0; /* by hand: a file cannot say it */
    options.drift.kind = EEP_DRIFT_RANDOM_WALK;
    refused(&options, 8, NULL, NULL, "no half-life");
    options.drift.kind = EEP_DRIFT_ROTATION;
    refused(&options, 8, NULL, NULL, "no interval");
    options = defaults(EEP_SKEW_ZIPF);
    options.layers = EEP_SKEW_LAYERS_SAME;
    options.layer_correlation = 0.5;
    refused(&options, 8, NULL, NULL, "layers: independent");
}
END_TEST

/* Overlap by drawing tokens as the definition says: each expert of the token before is kept with
 * probability `keep`, and the others are drawn anew. */
START_TEST(stickiness_is_reached)
{
    EepSkewOptions options = defaults(EEP_SKEW_UNIFORM);
    options.stickiness = 0.28;
    g_autoptr(EepSkew) flat = skew_of(&options, 2, E);
    const double c = 6.0 / 64.0;
    ck_assert_double_eq_tol(eep_skew_keep(flat, 6), (0.28 - c) / (1.0 - c), 1e-9);

    options.law = EEP_SKEW_LOGNORMAL;
    options.sigma = 0.6;
    g_autoptr(EepSkew) skew = skew_of(&options, 20, E);
    const double keep = eep_skew_keep(skew, 6);
    ck_assert(keep > 0.05 && keep < eep_skew_keep(flat, 6));
    double shared = 0.0;
    EepRng rng;
    eep_rng_init(&rng, 3, "tokens");
    for (guint l = 0; l < 20; l++) {
        double p[E];
        guint before[6], now[6];
        eep_skew_popularity(skew, 0, 0, l, p);
        for (guint token = 0; token < 2000; token++) {
            guint n = 0;
            for (guint i = 0; i < 6 && token > 0; i++)
                if (eep_rng_uniform(&rng) < keep)
                    now[n++] = before[i];
            while (n < 6) {
                double u = eep_rng_uniform(&rng);
                guint e = 0, i = 0;
                for (; e + 1 < E && u >= p[e]; e++)
                    u -= p[e];
                for (; i < n && now[i] != e; i++)
                    ;
                if (i == n)
                    now[n++] = e;
            }
            for (guint i = 0; i < 36 && token > 0; i++)
                shared += now[i / 6] == before[i % 6];
            memcpy(before, now, sizeof now);
        }
    }
    ck_assert_double_eq_tol(shared / (20 * 1999 * 6.0), 0.28, 0.015);
    options.stickiness = 0.05; /* less than chance */
    g_autoptr(EepSkew) below = skew_of(&options, 2, E);
    ck_assert_double_eq(eep_skew_keep(below, 6), 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("skew_law");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, zipf_is_what_it_was);
    tcase_add_test(tcase, structs_by_hand);
    tcase_add_test(tcase, every_law_is_a_distribution);
    tcase_add_test(tcase, flat_laws_are_flat);
    tcase_add_test(tcase, normal_routing_is_vllms);
    tcase_add_test(tcase, power_law_is_its_density);
    tcase_add_test(tcase, lognormal_has_its_sigma);
    tcase_add_test(tcase, recorded_reproduces_the_counts);
    tcase_add_test(tcase, recorded_layers);
    tcase_add_test(tcase, contradictions);
    tcase_add_test(tcase, stickiness_is_reached);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
