/* Fits: records drawn token by token from known laws, drifts and stickiness give them back. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/skew_fit.h"

#define E       64
#define K       6
#define L       16
#define WINDOWS 16
#define TOKENS  1024 /* a window */

static EepSkewOptions options_of(EepSkewLaw law)
{
    EepSkewOptions options;
    memset(&options, 0, sizeof options);
    eep_options_init(&eep_skew_options, &options);
    options.law = (gint)law;
    return options;
}

/* A token of K distinct experts, each kept of `experts` with probability `keep`. */
static void draw_token(EepRng *rng, const double *p, double keep, guint8 *experts)
{
    guint8 now[K];
    guint n = 0;
    for (guint i = 0; i < K && keep > 0.0; i++)
        if (eep_rng_uniform(rng) < keep)
            now[n++] = experts[i];
    while (n < K) {
        double u = eep_rng_uniform(rng);
        guint8 e = 0;
        for (; e + 1 < E && u >= p[e]; e++)
            u -= p[e];
        if (memchr(now, e, n) == NULL)
            now[n++] = e;
    }
    memcpy(experts, now, K);
}

/* WINDOWS of TOKENS; popularity is asked for at the beginning of each window, `step` apart. */
static EepLoadRecord *draw(const EepSkewOptions *options, guint64 seed, EepTime step)
{
    g_autoptr(EepSkew) skew = eep_skew_new(options, seed, L, E, NULL, NULL, NULL);
    EepLoadRecord *record = eep_load_record_new(WINDOWS, L, E);
    const double keep = eep_skew_keep(skew, K);
    EepRng rng;
    eep_rng_init(&rng, seed, "tokens");
    record->top_k = K;
    record->n_tokens = WINDOWS * TOKENS;
    record->routes = g_new0(guint8, record->n_tokens * L * K);
    for (guint l = 0; l < L; l++) {
        guint8 experts[K] = {0, 1, 2, 3, 4, 5};
        for (guint w = 0; w < WINDOWS; w++) {
            double p[E], *row = record->tokens + ((gsize)w * L + l) * E;
            eep_skew_popularity(skew, w * step, 0, l, p);
            for (guint t = 0; t < TOKENS; t++) {
                draw_token(&rng, p, keep, experts);
                for (guint i = 0; i < K; i++)
                    row[experts[i]]++;
                memcpy(record->routes + (((gsize)w * TOKENS + t) * L + l) * K, experts, K);
            }
        }
    }
    return record;
}

static EepSkewFit fit_of(const EepLoadRecord *record)
{
    EepSkewFit fit;
    GError *error = NULL;
    gboolean fitted = eep_skew_fit(record, &fit, &error);
    ck_assert_msg(fitted, "%s", error != NULL ? error->message : "");
    return fit;
}

START_TEST(zipf_comes_back)
{
    EepSkewOptions options = options_of(EEP_SKEW_ZIPF);
    options.exponent = 0.7;
    g_autoptr(EepLoadRecord) record = draw(&options, 1, 0);
    EepSkewFit fit = fit_of(record);
    ck_assert_double_eq_tol(fit.exponent, 0.7, 0.02);
    ck_assert_double_gt(fit.exponent_r2, 0.99);
    ck_assert_double_lt(fit.zipf_misfit, 0.02);
    ck_assert_int_eq(fit.law, EEP_SKEW_ZIPF);
    /* Counts of distinct experts are flatter than the popularity that they were drawn from. */
    ck_assert_double_lt(fit.counts_exponent, 0.66);
    ck_assert_double_lt(fit.counts_exponent_top, fit.counts_exponent);
    ck_assert_double_eq_tol(fit.tokens, WINDOWS * TOKENS, 1e-9);
    ck_assert_double_eq_tol(fit.layer_correlation, 0.0, 0.05);
    /* Nothing drifts and nothing sticks. */
    ck_assert(isinf(fit.half_life_windows));
    ck_assert_double_eq_tol(fit.stickiness, fit.chance_overlap, 0.005);
    ck_assert_uint_eq(fit.n_lags, EEP_SKEW_FIT_MAX_LAG);
    for (guint i = 0; i < fit.n_lags; i++) {
        ck_assert_double_lt(fit.counts_cosine[i], 0.996);
        ck_assert_double_gt(fit.cosine[i], 0.998);
        ck_assert_double_gt(fit.score_correlation[i], 0.985);
    }
}
END_TEST

START_TEST(lognormal_comes_back)
{
    EepSkewOptions options = options_of(EEP_SKEW_LOGNORMAL);
    options.sigma = 0.8;
    options.layer_correlation = 0.4;
    g_autoptr(EepLoadRecord) record = draw(&options, 2, 0);
    EepSkewFit fit = fit_of(record);
    ck_assert_double_eq_tol(fit.sigma, 0.8, 0.05); /* 1024 loads: standard error 0.018 */
    ck_assert_int_eq(fit.law, EEP_SKEW_LOGNORMAL);
    ck_assert_double_eq_tol(fit.layer_correlation, 0.4, 0.08);

    /* One window of few tokens: sampling alone would add a tenth. */
    g_autoptr(EepLoadRecord) few = eep_load_record_new(1, L, E);
    g_autoptr(EepSkew) flat = NULL;
    options = options_of(EEP_SKEW_UNIFORM);
    flat = eep_skew_new(&options, 1, L, E, NULL, NULL, NULL);
    EepRng rng;
    eep_rng_init(&rng, 8, "few");
    few->top_k = K;
    for (guint l = 0; l < L; l++)
        for (guint t = 0; t < 300; t++) {
            guint8 experts[K];
            double p[E];
            eep_skew_popularity(flat, 0, 0, l, p);
            draw_token(&rng, p, 0.0, experts);
            for (guint i = 0; i < K; i++)
                few->tokens[l * E + experts[i]]++;
        }
    ck_assert_double_lt(fit_of(few).sigma, 0.08); /* uncorrected 0.19 */
}
END_TEST

START_TEST(power_law_comes_back)
{
    static const double alphas[] = {0.5, 1.01, 1.4};
    for (guint i = 0; i < G_N_ELEMENTS(alphas); i++) {
        EepSkewOptions options = options_of(EEP_SKEW_POWER_LAW);
        options.alpha = alphas[i];
        options.spread = 60.0;
        /* The popularity itself stands for counts without end. */
        g_autoptr(EepSkew) skew = eep_skew_new(&options, 3, 200, E, NULL, NULL, NULL);
        g_autoptr(EepLoadRecord) record = eep_load_record_new(1, 200, E);
        for (guint l = 0; l < 200; l++)
            eep_skew_popularity(skew, 0, 0, l, record->tokens + (gsize)l * E);
        EepSkewFit fit = fit_of(record);
        ck_assert_double_eq_tol(fit.alpha, alphas[i], 0.07);
        ck_assert_double_eq_tol(log(fit.spread), log(60.0), 0.12);
        ck_assert_int_eq(fit.law, EEP_SKEW_POWER_LAW);
        ck_assert_uint_eq(fit.n_lags, 0);
        ck_assert(isinf(fit.half_life_windows));
        ck_assert_double_eq(fit.chance_overlap, 0.0);
    }
}
END_TEST

START_TEST(half_life_comes_back)
{
    static const double wanted[] = {2.0, 5.0, 12.0}; /* windows */
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
        for (guint law = 0; law < 2; law++) {
            EepSkewOptions options = options_of(law ? EEP_SKEW_ZIPF : EEP_SKEW_LOGNORMAL);
            options.drift.kind = EEP_DRIFT_RANDOM_WALK;
            options.drift.half_life = (EepTime)(wanted[i] * 1e9);
            g_autoptr(EepLoadRecord) record = draw(&options, 4 + i, EEP_NS_PER_S);
            EepSkewFit fit = fit_of(record);
            ck_assert_double_eq_tol(fit.half_life_windows, wanted[i], 0.3 * wanted[i]);
            for (guint lag = 0; lag < fit.n_lags; lag++)
                ck_assert_double_eq_tol(fit.score_correlation[lag], pow(0.5, (lag + 1) / wanted[i]),
                                        0.12);
        }
}
END_TEST

START_TEST(stickiness_comes_back)
{
    EepSkewOptions options = options_of(EEP_SKEW_LOGNORMAL);
    options.sigma = 0.5;
    options.stickiness = 0.3;
    g_autoptr(EepLoadRecord) record = draw(&options, 6, 0);
    EepSkewFit fit = fit_of(record);
    ck_assert_double_eq_tol(fit.stickiness, 0.3, 0.015);
    ck_assert_double_gt(fit.chance_overlap, 6.0 / 64.0);
    ck_assert_double_lt(fit.chance_overlap, 0.14);
    /* Sticky tokens are fewer in effect; the noise is still taken out. */
    ck_assert_double_gt(fit.cosine[0], 0.997);
    ck_assert(isinf(fit.half_life_windows));
    ck_assert_double_eq_tol(fit.sigma, 0.5, 0.06);
}
END_TEST

START_TEST(likeness_is_correlation)
{
    EepSkewOptions options = options_of(EEP_SKEW_LOGNORMAL);
    options.classes = 2;
    options.class_correlation = 0.4;
    g_autoptr(EepSkew) skew = eep_skew_new(&options, 3, 60, E, NULL, NULL, NULL);
    g_autoptr(EepLoadRecord) a = eep_load_record_new(1, 60, E), b = eep_load_record_new(1, 60, E);
    for (guint l = 0; l < 60; l++) {
        eep_skew_popularity(skew, 0, 0, l, a->tokens + (gsize)l * E);
        eep_skew_popularity(skew, 0, 2, l, b->tokens + (gsize)l * E);
    }
    EepSkewLikeness likeness;
    ck_assert(eep_skew_fit_likeness(a, b, &likeness, NULL));
    ck_assert_double_eq_tol(likeness.score_correlation, 0.4, 0.05);
    ck_assert(likeness.cosine > 0.7 && likeness.cosine < 0.85);
    ck_assert(likeness.shared_top8 > 1.5 && likeness.shared_top8 < 4.0);
    ck_assert(eep_skew_fit_likeness(a, a, &likeness, NULL));
    ck_assert_double_eq_tol(likeness.score_correlation, 1.0, 1e-9);
    ck_assert_double_eq_tol(likeness.cosine, 1.0, 1e-12);
    ck_assert_double_eq_tol(likeness.shared_top8, 8.0, 1e-12);
}
END_TEST

/* By hand: Gini of 1 2 3 4 is 1/4. */
START_TEST(figures_by_hand)
{
    g_autoptr(EepLoadRecord) record = eep_load_record_new(1, 2, 4);
    const double counts[] = {1, 2, 3, 4, 1000, 500, 333, 250};
    for (guint i = 0; i < 8; i++)
        record->tokens[i] = counts[i];
    record->tokens[6] = 1000.0 / 3.0; /* no count: nothing is taken off for sampling */
    EepSkewFit fit = fit_of(record);
    ck_assert_double_eq_tol(fit.max_over_mean_min, 1.6, 1e-12);
    ck_assert_double_eq_tol(fit.max_over_mean_max, 1000.0 * 4 / (1750 + 1000.0 / 3), 1e-12);
    ck_assert_double_eq_tol(fit.max_over_mean_median, (1.6 + fit.max_over_mean_max) / 2, 1e-12);
    ck_assert_double_eq_tol(fit.counts_exponent_top, (log(4.0 / 3.0) / log(2.0) + 1.0) / 2, 1e-9);
    record->tokens[0] = record->tokens[1] = record->tokens[2] = record->tokens[3] = 5;
    const double second = (3 * 1000 + 500 - 1000.0 / 3 - 3 * 250) / (4 * (1750 + 1000.0 / 3));
    ck_assert_double_eq_tol(fit_of(record).gini, second / 2, 1e-12);
}
END_TEST

START_TEST(odd_records)
{
    GError *error = NULL;
    EepSkewFit fit;
    EepSkewLikeness likeness;
    g_autoptr(EepLoadRecord) record = eep_load_record_new(3, 2, 4);
    g_autoptr(EepLoadRecord) other = eep_load_record_new(3, 2, 5);
    ck_assert(!eep_skew_fit(record, &fit, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "layer 0 of the record has no counts"));
    g_clear_error(&error);
    ck_assert(!eep_skew_fit_likeness(record, other, &likeness, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "2 layers of 4 experts, the other 2 of 5"));
    g_clear_error(&error);
    /* One expert of each layer in one window alone. */
    record->tokens[8] = record->tokens[13] = 3;
    fit = fit_of(record);
    ck_assert_uint_eq(fit.n_lags, 0);
    ck_assert(isfinite(fit.exponent) && isfinite(fit.alpha) && isfinite(fit.sigma));
    ck_assert(isfinite(fit.gini) && isfinite(fit.spread) && isfinite(fit.lognormal_misfit));
    /* One expert in all. */
    g_autoptr(EepLoadRecord) single = eep_load_record_new(4, 1, 1);
    for (guint i = 0; i < 4; i++)
        single->tokens[i] = 7;
    single->top_k = 1;
    fit = fit_of(single);
    ck_assert(isfinite(fit.exponent) && isfinite(fit.alpha) && isfinite(fit.sigma));
    ck_assert_double_eq(fit.max_over_mean_max, 1.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("skew_fit");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, zipf_comes_back);
    tcase_add_test(tcase, lognormal_comes_back);
    tcase_add_test(tcase, power_law_comes_back);
    tcase_add_test(tcase, half_life_comes_back);
    tcase_add_test(tcase, stickiness_comes_back);
    tcase_add_test(tcase, likeness_is_correlation);
    tcase_add_test(tcase, figures_by_hand);
    tcase_add_test(tcase, odd_records);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
