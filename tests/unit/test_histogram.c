/* core/histogram.h against the sorted, expanded sample. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/histogram.h"
#include "core/rng.h"

static int compare(const void *a, const void *b)
{
    EepTime x = *(const EepTime *)a, y = *(const EepTime *)b;
    return (x > y) - (x < y);
}

static double sorted_quantile(const EepTime *sorted, gsize n, double q)
{
    double position = q * (double)(n - 1);
    gsize rank = (gsize)position, next = MIN(rank + 1, n - 1);
    return (double)sorted[rank] + (position - (double)rank) * (double)(sorted[next] - sorted[rank]);
}

static double quantile(const EepHistogram *histogram, double q)
{
    double value = -1.0;
    ck_assert(eep_histogram_quantile(histogram, q, &value));
    return value;
}

START_TEST(buckets_are_contiguous_and_fine)
{
    for (EepTime v = 0; v < 2048; v++)
        ck_assert_uint_eq(eep_histogram_bucket(v), v);
    ck_assert_uint_eq(eep_histogram_bucket(2048), 2048);
    ck_assert_uint_eq(eep_histogram_bucket(2049), 2048);
    ck_assert_uint_eq(eep_histogram_bucket(2050), 2049);
    ck_assert_uint_eq(eep_histogram_bucket(G_MAXINT64), EEP_HISTOGRAM_BUCKETS - 1);
    for (int bit = 11; bit < 63; bit++) {
        EepTime power = (EepTime)1 << bit;
        ck_assert_uint_eq(eep_histogram_bucket(power), eep_histogram_bucket(power - 1) + 1);
        ck_assert_uint_eq(eep_histogram_bucket(power + (power >> 10)),
                          eep_histogram_bucket(power) + 1);
    }
}
END_TEST

START_TEST(empty_has_nothing)
{
    g_auto(EepHistogram) histogram;
    double untouched = 7.0;
    eep_histogram_init(&histogram);
    eep_histogram_add(&histogram, 5, 0);
    ck_assert_uint_eq(histogram.count, 0);
    ck_assert(!eep_histogram_quantile(&histogram, 0.5, &untouched));
    ck_assert(!eep_histogram_moments(&histogram, &untouched, &untouched));
    ck_assert_double_eq(untouched, 7.0);
}
END_TEST

/* The sample 10 10 10 20 40: numpy.percentile gives 10, 12.5 at q = 0.5625, 20 at 0.75, 32 at 0.9.
 */
START_TEST(small_values_by_hand)
{
    g_auto(EepHistogram) histogram;
    double mean, std;
    eep_histogram_init(&histogram);
    eep_histogram_add(&histogram, 40, 1);
    eep_histogram_add(&histogram, 10, 2);
    eep_histogram_add(&histogram, 20, 1);
    eep_histogram_add(&histogram, 10, 1);
    ck_assert_uint_eq(histogram.count, 5);
    ck_assert_int_eq(histogram.min, 10);
    ck_assert_int_eq(histogram.max, 40);
    ck_assert_double_eq(quantile(&histogram, 0.0), 10.0);
    ck_assert_double_eq(quantile(&histogram, 0.5), 10.0);
    ck_assert_double_eq(quantile(&histogram, 0.5625), 12.5);
    ck_assert_double_eq(quantile(&histogram, 0.75), 20.0);
    ck_assert_double_eq_tol(quantile(&histogram, 0.9), 32.0, 1e-12);
    ck_assert_double_eq(quantile(&histogram, 1.0), 40.0);
    ck_assert(eep_histogram_moments(&histogram, &mean, &std));
    ck_assert_double_eq(mean, 18.0);
    /* deviations -8 -8 -8 2 22: 680 / 5 */
    ck_assert_double_eq_tol(std, sqrt(136.0), 1e-12);
}
END_TEST

START_TEST(one_value_is_exact)
{
    g_auto(EepHistogram) histogram;
    double mean, std;
    eep_histogram_init(&histogram);
    for (int i = 0; i < 1000; i++)
        eep_histogram_add(&histogram, 31415926, 512);
    for (double q = 0.0; q <= 1.0; q += 0.125)
        ck_assert_double_eq(quantile(&histogram, q), 31415926.0);
    ck_assert(eep_histogram_moments(&histogram, &mean, &std));
    ck_assert_double_eq(mean, 31415926.0);
    ck_assert_double_eq(std, 0.0);
}
END_TEST

START_TEST(matches_the_sorted_sample)
{
    enum { N = 20000 };
    g_autofree EepTime *values = g_new(EepTime, N);
    g_auto(EepHistogram) whole, half, other;
    double sum = 0.0, squares = 0.0, mean, std;
    EepRng rng;
    eep_rng_init(&rng, 1, "histogram");
    eep_histogram_init(&whole);
    eep_histogram_init(&half);
    eep_histogram_init(&other);
    for (gsize i = 0; i < N;) {
        EepTime value = eep_time_from_seconds(0.03 * eep_rng_gamma(&rng, 0.7));
        guint64 weight = 1 + eep_rng_below(&rng, 9);
        weight = MIN(weight, N - i);
        eep_histogram_add(&whole, value, weight);
        eep_histogram_add(i % 2 ? &half : &other, value, weight);
        for (; weight > 0; weight--)
            values[i++] = value;
    }
    qsort(values, N, sizeof *values, compare);
    for (gsize i = 0; i < N; i++)
        sum += (double)values[i];
    for (gsize i = 0; i < N; i++)
        squares += ((double)values[i] - sum / N) * ((double)values[i] - sum / N);

    ck_assert_uint_eq(whole.count, N);
    ck_assert_int_eq(whole.min, values[0]);
    ck_assert_int_eq(whole.max, values[N - 1]);
    ck_assert(eep_histogram_moments(&whole, &mean, &std));
    ck_assert_double_eq(mean, sum / N);
    ck_assert_double_le(fabs(std / sqrt(squares / N) - 1.0), 1e-9);
    for (double q = 0.0; q <= 1.0; q += 1.0 / 1024) {
        double exact = sorted_quantile(values, N, q);
        ck_assert_double_le(fabs(quantile(&whole, q) - exact), exact * 0x1p-11);
    }

    eep_histogram_merge(&half, &other);
    ck_assert_uint_eq(half.count, whole.count);
    ck_assert(half.sum == whole.sum);
    ck_assert_mem_eq(half.buckets, whole.buckets, EEP_HISTOGRAM_BUCKETS * sizeof(guint64));
    for (double q = 0.0; q <= 1.0; q += 0.125)
        ck_assert_double_eq(quantile(&half, q), quantile(&whole, q));
}
END_TEST

START_TEST(extremes_do_not_overflow)
{
    g_auto(EepHistogram) histogram;
    double mean;
    eep_histogram_init(&histogram);
    eep_histogram_add(&histogram, G_MAXINT64, (guint64)1 << 62);
    eep_histogram_add(&histogram, 0, (guint64)1 << 62);
    ck_assert(eep_histogram_moments(&histogram, &mean, NULL));
    ck_assert_double_eq(mean, 0x1p62);
    ck_assert_double_eq(quantile(&histogram, 0.25), 0.0);
    ck_assert_double_eq(quantile(&histogram, 1.0), 0x1p63);
}
END_TEST

START_TEST(reset_and_merge_of_empty)
{
    g_auto(EepHistogram) a, b;
    eep_histogram_init(&a);
    eep_histogram_init(&b);
    eep_histogram_add(&a, 100, 3);
    eep_histogram_add(&a, 5000000, 3);
    eep_histogram_merge(&a, &b);
    ck_assert_uint_eq(a.count, 6);
    eep_histogram_merge(&b, &a);
    ck_assert_int_eq(b.min, 100);
    ck_assert_int_eq(b.max, 5000000);
    eep_histogram_reset(&a);
    ck_assert_uint_eq(a.count, 0);
    for (gsize i = 0; i < EEP_HISTOGRAM_BUCKETS; i++)
        ck_assert_uint_eq(a.buckets[i], 0);
    eep_histogram_add(&a, 7, 1);
    ck_assert_double_eq(quantile(&a, 0.5), 7.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("histogram");
    tcase_add_test(tcase, buckets_are_contiguous_and_fine);
    tcase_add_test(tcase, empty_has_nothing);
    tcase_add_test(tcase, small_values_by_hand);
    tcase_add_test(tcase, one_value_is_exact);
    tcase_add_test(tcase, matches_the_sorted_sample);
    tcase_add_test(tcase, extremes_do_not_overflow);
    tcase_add_test(tcase, reset_and_merge_of_empty);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
