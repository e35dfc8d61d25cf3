/* Expert popularity: laws, sums, permutations. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/skew.h"

#define E 64

static double sum_of(const double *p)
{
    double sum = 0.0;
    for (guint e = 0; e < E; e++)
        sum += p[e];
    return sum;
}

static int descending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

static void popularity(const EepSkewOptions *options, guint64 seed, guint layer, double *ret_p)
{
    g_autoptr(EepSkew) skew = eep_skew_new(options, seed, 8, E, NULL, NULL, NULL);
    eep_skew_popularity(skew, 0, 0, layer, ret_p);
}

static gboolean layers_are_equal(const EepSkewOptions *options)
{
    g_autoptr(EepSkew) skew = eep_skew_new(options, 1, 8, E, NULL, NULL, NULL);
    return eep_skew_layers_are_equal(skew);
}

START_TEST(test_uniform)
{
    double p[E];
    const EepSkewOptions flat[] = {{EEP_SKEW_UNIFORM, 1.0, 0}, {EEP_SKEW_ZIPF, 0.0, 0}};
    for (guint i = 0; i < 2; i++) {
        popularity(&flat[i], 1, 5, p);
        for (guint e = 0; e < E; e++)
            ck_assert_double_eq(p[e], 1.0 / E);
        ck_assert(layers_are_equal(&flat[i]));
    }
}
END_TEST

START_TEST(test_zipf)
{
    const EepSkewOptions zipf = {EEP_SKEW_ZIPF, 1.0, EEP_SKEW_LAYERS_INDEPENDENT};
    double p[E];
    popularity(&zipf, 1, 0, p);
    ck_assert_double_eq_tol(sum_of(p), 1.0, 1e-12);
    qsort(p, E, sizeof *p, descending);
    ck_assert_double_eq_tol(p[0] / p[1], 2.0, 1e-9);
    ck_assert_double_eq_tol(p[0] / p[9], 10.0, 1e-9);
    ck_assert_double_eq_tol(p[0], 1.0 / 4.743890903705764, 1e-9); /* harmonic number of 64 */
}
END_TEST

START_TEST(test_layers)
{
    EepSkewOptions zipf = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    double first[E], second[E], again[E];
    popularity(&zipf, 7, 3, first);
    popularity(&zipf, 7, 4, second);
    popularity(&zipf, 7, 3, again);
    ck_assert(memcmp(first, second, sizeof first) != 0);
    ck_assert(memcmp(first, again, sizeof first) == 0);
    popularity(&zipf, 8, 3, again);
    ck_assert(memcmp(first, again, sizeof first) != 0);
    ck_assert(!layers_are_equal(&zipf));

    zipf.layers = EEP_SKEW_LAYERS_SAME;
    popularity(&zipf, 7, 3, first);
    popularity(&zipf, 7, 4, second);
    ck_assert(memcmp(first, second, sizeof first) == 0);
    ck_assert(layers_are_equal(&zipf));
}
END_TEST

START_TEST(test_options)
{
    EepSkewOptions options;
    eep_options_init(&eep_skew_options, &options);
    ck_assert_int_eq(options.law, EEP_SKEW_UNIFORM);
    ck_assert_double_eq(options.exponent, 0.8);
    ck_assert_int_eq(options.layers, EEP_SKEW_LAYERS_INDEPENDENT);
    GError *error = NULL;
    ck_assert(
        eep_option_parse(eep_options_find(&eep_skew_options, "law"), &options, "zipf", &error));
    ck_assert_int_eq(options.law, EEP_SKEW_ZIPF);
    ck_assert(
        !eep_option_parse(eep_options_find(&eep_skew_options, "exponent"), &options, "-1", &error));
    g_clear_error(&error);
    eep_options_clear(&eep_skew_options, &options);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("skew");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_uniform);
    tcase_add_test(tcase, test_zipf);
    tcase_add_test(tcase, test_layers);
    tcase_add_test(tcase, test_options);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
