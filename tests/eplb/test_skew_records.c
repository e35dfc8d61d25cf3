/* Fits of the recorded routes against the figures published beside them. Skips (77) where
 * ../shared/expert-load is absent. Usage: skew_records [FOLDER]. */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/inclusion.h"
#include "core/skew_fit.h"

#define FOLDER    "../shared/expert-load"
#define SKIP_CODE 77

#define L      26
#define E      64
#define K      6
#define WINDOW 512

typedef struct {
    const char *task;
    double exponent, exponent_top, gini, least, median, most;
    double balancedness[3]; /* contiguous over 8, 16, 32 ranks */
    double sigma;           /* ours */
} Published;

static const Published published[] = {
    {"intent", 0.84, 0.50, 0.41, 2.93, 3.96, 4.68, {0.70, 0.56, 0.41}, 0.93},
    {"law", 0.58, 0.38, 0.30, 1.95, 3.28, 6.87, {0.74, 0.61, 0.46}, 0.625},
};

static const char *folder = FOLDER;

static char *path_of(const char *task, const char *what)
{
    g_autofree char *name = g_strdup_printf("esft_dsv2lite_%s_%s", task, what);
    return g_build_filename(folder, name, NULL);
}

/* Windows of the routes, the last one as long as what is left. */
static EepLoadRecord *routes_of(const char *task)
{
    g_autofree char *path = path_of(task, "routes.u8");
    char *bytes;
    gsize size;
    ck_assert(g_file_get_contents(path, &bytes, &size, NULL));
    ck_assert_uint_eq(size % (L * K), 0);
    const gsize n_tokens = size / (L * K);
    EepLoadRecord *record = eep_load_record_new((guint)((n_tokens + WINDOW - 1) / WINDOW), L, E);
    record->top_k = K;
    record->n_tokens = n_tokens;
    record->routes = (guint8 *)bytes;
    for (gsize i = 0; i < size; i++)
        record->tokens[(i / (L * K) / WINDOW * L + i / K % L) * E + record->routes[i]]++;
    return record;
}

static EepSkewFit fit_of(const EepLoadRecord *record)
{
    EepSkewFit fit;
    ck_assert(eep_skew_fit(record, &fit, NULL));
    return fit;
}

START_TEST(the_routes_are_the_counts)
{
    g_autoptr(EepLoadRecord) record = routes_of(published[_i].task);
    g_autofree char *path = path_of(published[_i].task, "counts.json");
    g_autofree double *sums = g_new(double, L *E);
    json_t *root = json_load_file(path, 0, NULL), *counts = json_object_get(root, "counts");
    ck_assert_ptr_nonnull(counts);
    eep_load_record_sum(record, 0, record->n_windows, sums);
    for (guint i = 0; i < L * E; i++)
        ck_assert_double_eq(
            sums[i], json_number_value(json_array_get(json_array_get(counts, i / E), i % E)));
    json_decref(root);
}
END_TEST

START_TEST(laws_are_as_published)
{
    const Published *p = &published[_i];
    g_autoptr(EepLoadRecord) record = routes_of(p->task);
    EepSkewFit fit = fit_of(record);
    ck_assert_double_eq_tol(fit.counts_exponent, p->exponent, 0.0055);
    ck_assert_double_eq_tol(fit.counts_exponent_top, p->exponent_top, 0.0055);
    ck_assert_double_eq_tol(fit.gini, p->gini, 0.0055);
    ck_assert_double_eq_tol(fit.max_over_mean_min, p->least, 0.0055);
    ck_assert_double_eq_tol(fit.max_over_mean_median, p->median, 0.0055);
    ck_assert_double_eq_tol(fit.max_over_mean_max, p->most, 0.0055);
    ck_assert_double_eq_tol(fit.layer_correlation, 0.0, 0.03);
    /* Not published, but docs/eplb_skew.md says so. */
    ck_assert_int_eq(fit.law, EEP_SKEW_LOGNORMAL);
    ck_assert_double_eq_tol(fit.sigma, p->sigma, 0.0055);
}
END_TEST

/* Experts in blocks over 8, 16 and 32 ranks; mean over layers of mean over max rank load. */
START_TEST(blocks_are_as_unbalanced_as_published)
{
    const Published *p = &published[_i];
    g_autoptr(EepLoadRecord) record = routes_of(p->task);
    g_autofree double *sums = g_new(double, L *E);
    eep_load_record_sum(record, 0, record->n_windows, sums);
    for (guint i = 0; i < 3; i++) {
        const guint ranks = 8u << i, block = E / ranks;
        double mean = 0.0;
        for (guint l = 0; l < L; l++) {
            double all = 0.0, most = 0.0;
            for (guint r = 0; r < ranks; r++) {
                double load = 0.0;
                for (guint e = 0; e < block; e++)
                    load += sums[l * E + r * block + e];
                all += load;
                most = fmax(most, load);
            }
            mean += all / ranks / most / L;
        }
        ck_assert_double_eq_tol(mean, p->balancedness[i], 0.0055);
    }
}
END_TEST

/* Within a task popularity stays, and consecutive tokens share 26 to 30 % of their experts. */
START_TEST(tasks_do_not_drift)
{
    g_autoptr(EepLoadRecord) record = routes_of(published[_i].task);
    EepSkewFit fit = fit_of(record);
    ck_assert_uint_eq(fit.n_lags, EEP_SKEW_FIT_MAX_LAG);
    for (guint i = 0; i < fit.n_lags; i++) {
        ck_assert(fit.counts_cosine[i] > 0.945 && fit.counts_cosine[i] < 0.995);
        ck_assert_double_gt(fit.cosine[i], fit.counts_cosine[i]);
    }
    ck_assert(isinf(fit.half_life_windows) || fit.half_life_windows > 50.0);
    ck_assert(fit.stickiness > 0.255 && fit.stickiness < 0.305);
    ck_assert(fit.chance_overlap > 6.0 / 64.0 && fit.chance_overlap < 0.2);
}
END_TEST

START_TEST(tasks_differ)
{
    g_autoptr(EepLoadRecord) intent = routes_of("intent"), law = routes_of("law");
    EepSkewLikeness likeness;
    EepSkewOptions options;
    ck_assert(eep_skew_fit_likeness(intent, law, &likeness, NULL));
    ck_assert(likeness.cosine > 0.59 && likeness.cosine < 0.73);
    ck_assert(likeness.shared_top8 > 0.95 && likeness.shared_top8 < 2.15);
    eep_options_init(&eep_skew_options, &options);
    ck_assert_double_eq_tol(options.class_correlation, likeness.score_correlation, 0.005);
}
END_TEST

/* A scenario of the record has the record's loads: top-6 of the popularity gives the counts. */
START_TEST(recorded_popularity_gives_the_counts)
{
    g_autoptr(EepLoadRecord) record = routes_of(published[_i].task);
    g_autofree double *sums = g_new(double, L *E);
    EepSkewOptions options;
    memset(&options, 0, sizeof options);
    eep_options_init(&eep_skew_options, &options);
    options.law = EEP_SKEW_RECORDED;
    g_autoptr(EepSkew) skew = eep_skew_new(&options, 1, L, E, record, NULL, NULL);
    ck_assert_ptr_nonnull(skew);
    eep_load_record_sum(record, 0, record->n_windows, sums);
    for (guint l = 0; l < L; l++) {
        double p[E], pi[E];
        eep_skew_popularity(skew, 0, 0, l, p);
        eep_inclusion(p, E, K, pi);
        for (guint e = 0; e < E; e++)
            ck_assert_double_eq_tol(pi[e], sums[l * E + e] / (double)record->n_tokens, 1e-6);
    }
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        folder = argv[1];
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        printf("no %s: skipped\n", folder);
        return SKIP_CODE;
    }
    Suite *suite = suite_create("skew_records");
    TCase *tcase = tcase_create("all");
    const int n = (int)G_N_ELEMENTS(published);
    tcase_add_loop_test(tcase, the_routes_are_the_counts, 0, n);
    tcase_add_loop_test(tcase, laws_are_as_published, 0, n);
    tcase_add_loop_test(tcase, blocks_are_as_unbalanced_as_published, 0, n);
    tcase_add_loop_test(tcase, tasks_do_not_drift, 0, n);
    tcase_add_test(tcase, tasks_differ);
    tcase_add_loop_test(tcase, recorded_popularity_gives_the_counts, 0, n);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
