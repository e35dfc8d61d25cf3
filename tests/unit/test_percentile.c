/* core/percentile.h: numpy's figures by hand, and selection against sorting. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/percentile.h"
#include "core/rng.h"

static int compare(const void *a, const void *b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

/* numpy.percentile([15, 20, 35, 40, 50], [0, 25, 40, 50, 90, 100]) = 15, 20, 29, 35, 46, 50 */
START_TEST(by_hand)
{
    gint64 values[] = {40, 15, 50, 20, 35};
    const double q[] = {0.9, 0.0, 0.4, 0.25, 1.0, 0.5};
    double got[6];
    ck_assert(eep_percentile_select(values, 5, q, 6, got));
    ck_assert_double_eq_tol(got[0], 46.0, 1e-12);
    ck_assert_double_eq(got[1], 15.0);
    ck_assert_double_eq_tol(got[2], 29.0, 1e-12);
    ck_assert_double_eq(got[3], 20.0);
    ck_assert_double_eq(got[4], 50.0);
    ck_assert_double_eq(got[5], 35.0);
}
END_TEST

START_TEST(one_and_none)
{
    gint64 value = -3;
    const double q[] = {0.0, 0.37, 1.0};
    double got[3] = {9, 9, 9};
    ck_assert(!eep_percentile_select(&value, 0, q, 3, got));
    ck_assert_double_eq(got[0], 9.0);
    ck_assert(eep_percentile_select(&value, 1, q, 0, got));
    ck_assert(eep_percentile_select(&value, 1, q, 3, got));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(got[i], -3.0);
}
END_TEST

static void fill(gint64 *values, gsize n, int pattern, EepRng *rng)
{
    for (gsize i = 0; i < n; i++) {
        switch (pattern) {
        case 0:
            values[i] = (gint64)eep_rng_next(rng) >> 12;
            break;
        case 1:
            values[i] = (gint64)eep_rng_below(rng, 4);
            break;
        case 2:
            values[i] = (gint64)i;
            break;
        case 3:
            values[i] = -(gint64)i;
            break;
        case 4:
            values[i] = 5;
            break;
        case 5: /* organ pipe */
            values[i] = (gint64)MIN(i, n - i);
            break;
        default: /* saw */
            values[i] = (gint64)(i % 17);
        }
    }
}

START_TEST(agrees_with_sorting)
{
    static const gsize sizes[] = {2, 3, 24, 25, 26, 100, 1000, 30001};
    const double q[] = {0.5, 0.9, 0.99, 0.0, 1.0, 0.001, 0.3333, 0.999, 0.5};
    EepRng rng;
    eep_rng_init(&rng, 4, "percentile");
    for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++) {
        for (int pattern = 0; pattern < 7; pattern++) {
            gsize n = sizes[s];
            g_autofree gint64 *values = g_new(gint64, n);
            fill(values, n, pattern, &rng);
            g_autofree gint64 *sorted = g_memdup2(values, n * sizeof *values);
            double got[G_N_ELEMENTS(q)];
            qsort(sorted, n, sizeof *sorted, compare);
            ck_assert(eep_percentile_select(values, n, q, G_N_ELEMENTS(q), got));
            for (gsize i = 0; i < G_N_ELEMENTS(q); i++) {
                double position = q[i] * (double)(n - 1), rank = floor(position);
                double a = (double)sorted[(gsize)rank];
                double b = (double)sorted[MIN((gsize)rank + 1, n - 1)];
                double exact = a + (position - rank) * (b - a);
                ck_assert_double_eq_tol(got[i], exact, (fabs(a) + fabs(b) + 1.0) * 1e-15);
            }
            qsort(values, n, sizeof *values, compare);
            ck_assert_mem_eq(values, sorted, n * sizeof *values);
        }
    }
}
END_TEST

/* Interleaved up and down runs, which mislead pivots; a quadratic selection would take minutes
 * here. */
START_TEST(bad_orders_stay_fast)
{
    enum { N = 1000000 };
    g_autofree gint64 *values = g_new(gint64, N);
    const double q[] = {0.5, 0.9, 0.99};
    double got[3];
    for (gsize i = 0; i < N; i++)
        values[i] = i % 2 ? (gint64)i : (gint64)(N - i) * (i % 3 ? 1 : -1);
    gint64 start = g_get_monotonic_time();
    ck_assert(eep_percentile_select(values, N, q, 3, got));
    ck_assert_int_lt(g_get_monotonic_time() - start, 5000000);
    ck_assert_double_le(got[0], got[1]);
    ck_assert_double_le(got[1], got[2]);
}
END_TEST

/* numpy.std([2, 4, 4, 4, 5, 5, 7, 9]) = 2; with ddof=1 sqrt(32 / 7) */
START_TEST(moments_by_hand)
{
    const gint64 values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    double mean = 0, std = 0;
    ck_assert(eep_percentile_moments(values, 8, 0, &mean, &std));
    ck_assert_double_eq(mean, 5.0);
    ck_assert_double_eq(std, 2.0);
    ck_assert(eep_percentile_moments(values, 8, 1, NULL, &std));
    ck_assert_double_eq(std, sqrt(32.0 / 7.0));
    ck_assert(!eep_percentile_moments(values, 0, 0, &mean, &std));
    ck_assert(!eep_percentile_moments(values, 1, 1, &mean, &std));
    ck_assert(eep_percentile_moments(values, 1, 0, &mean, &std));
    ck_assert_double_eq(std, 0.0);
    const gint64 large[] = {G_MAXINT64, G_MAXINT64};
    ck_assert(eep_percentile_moments(large, 2, 0, &mean, NULL));
    ck_assert_double_eq(mean, 0x1p63);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("percentile");
    TCase *tcase = tcase_create("percentile");
    tcase_add_test(tcase, by_hand);
    tcase_add_test(tcase, one_and_none);
    tcase_add_test(tcase, agrees_with_sorting);
    tcase_add_test(tcase, bad_orders_stay_fast);
    tcase_add_test(tcase, moments_by_hand);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
