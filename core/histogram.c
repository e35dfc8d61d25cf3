#include "core/histogram.h"

#include <math.h>
#include <string.h>

void eep_histogram_init(EepHistogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->buckets = g_new0(guint64, EEP_HISTOGRAM_BUCKETS);
}

void eep_histogram_clear(EepHistogram *histogram)
{
    g_free(histogram->buckets);
    memset(histogram, 0, sizeof *histogram);
}

void eep_histogram_reset(EepHistogram *histogram)
{
    guint64 *buckets = histogram->buckets;

    /* Only the touched range: the rest are pages that were never mapped. */
    if (histogram->count > 0) {
        guint32 first = eep_histogram_bucket(histogram->min);
        guint32 last = eep_histogram_bucket(histogram->max);
        memset(buckets + first, 0, (last - first + 1) * sizeof *buckets);
    }
    memset(histogram, 0, sizeof *histogram);
    histogram->buckets = buckets;
}

void eep_histogram_merge(EepHistogram *histogram, const EepHistogram *from)
{
    if (from->count == 0)
        return;
    if (histogram->count == 0 || from->min < histogram->min)
        histogram->min = from->min;
    if (histogram->count == 0 || from->max > histogram->max)
        histogram->max = from->max;

    guint32 last = eep_histogram_bucket(from->max);
    for (guint32 i = eep_histogram_bucket(from->min); i <= last; i++)
        histogram->buckets[i] += from->buckets[i];
    histogram->count += from->count;
    histogram->sum += from->sum;
    histogram->squares += from->squares;
}

/* The value that stands for everything in the bucket. */
static double bucket_value(const EepHistogram *histogram, guint32 bucket)
{
    guint32 shift = bucket >> EEP_HISTOGRAM_SUB_BITS;

    /* The first two powers' worth of buckets are both one wide. */
    shift = shift > 0 ? shift - 1 : 0;
    guint64 low = (guint64)(bucket - (shift << EEP_HISTOGRAM_SUB_BITS)) << shift;
    double middle = (double)low + (double)(((guint64)1 << shift) - 1) * 0.5;
    return fmin(fmax(middle, (double)histogram->min), (double)histogram->max);
}

gboolean eep_histogram_quantile(const EepHistogram *histogram, double q, double *ret_ns)
{
    g_return_val_if_fail(q >= 0.0 && q <= 1.0, FALSE);

    guint64 count = histogram->count;
    if (count == 0)
        return FALSE;
    if (q == 0.0 || q == 1.0) {
        *ret_ns = (double)(q == 0.0 ? histogram->min : histogram->max);
        return TRUE;
    }

    double position = q * (double)(count - 1);
    guint64 rank = MIN((guint64)position, count - 1);
    double fraction = position - (double)rank;

    guint32 bucket = eep_histogram_bucket(histogram->min);
    guint64 passed = histogram->buckets[bucket];
    while (passed <= rank)
        passed += histogram->buckets[++bucket];
    double value = bucket_value(histogram, bucket);
    if (fraction > 0.0 && passed == rank + 1 && passed < count) {
        do
            bucket++;
        while (histogram->buckets[bucket] == 0);
        value += fraction * (bucket_value(histogram, bucket) - value);
    }
    *ret_ns = value;
    return TRUE;
}

gboolean eep_histogram_moments(const EepHistogram *histogram, double *ret_mean_ns,
                               double *ret_std_ns)
{
    if (histogram->count == 0)
        return FALSE;

    double mean = (double)histogram->sum / (double)histogram->count;
    double variance = histogram->squares / (double)histogram->count - mean * mean;
    if (ret_mean_ns)
        *ret_mean_ns = mean;
    /* One value only, added in several ways, leaves a rounding error instead of 0. */
    if (ret_std_ns)
        *ret_std_ns = histogram->min == histogram->max ? 0.0 : sqrt(fmax(variance, 0.0));
    return TRUE;
}
