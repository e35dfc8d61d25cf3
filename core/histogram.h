/* EepHistogram: how often each duration occurred, weighted, in constant memory.
 *
 * For inter-token latencies, of which one step adds thousands of equal ones at once. Values are
 * non-negative EepTime; buckets are one nanosecond wide below 2048 ns and 2^-10 of their lower
 * bound or less above, over the whole range of EepTime. Count, sum, smallest and largest are exact.
 * It is not a record of the values: where exact percentiles are due, keep them and use
 * core/percentile.h.
 *
 * In place: init, then clear. The struct is visible for the sake of the inline add; touch it
 * through these functions only. Not thread-safe: a histogram has one owner. An empty histogram's
 * 432 KiB are untouched zero pages until values fall into them. */
#ifndef EEP_CORE_HISTOGRAM_H
#define EEP_CORE_HISTOGRAM_H

#include "core/time.h"

G_BEGIN_DECLS

#define EEP_HISTOGRAM_SUB_BITS 10
/* The largest EepTime has its top bit at 62. */
#define EEP_HISTOGRAM_BUCKETS                                                                      \
    (((62 - EEP_HISTOGRAM_SUB_BITS) << EEP_HISTOGRAM_SUB_BITS) + (2 << EEP_HISTOGRAM_SUB_BITS))

__extension__ typedef unsigned __int128 EepWide;

typedef struct {
    guint64 *buckets; /* owned, [EEP_HISTOGRAM_BUCKETS] weights */
    guint64 count;    /* sum of weights */
    EepWide sum;      /* ns */
    double squares;   /* ns^2 */
    EepTime min, max; /* valid while count > 0 */
} EepHistogram;

void eep_histogram_init(EepHistogram *histogram);

/* Frees what init allocated. */
void eep_histogram_clear(EepHistogram *histogram);

/* Empties it for reuse. */
void eep_histogram_reset(EepHistogram *histogram);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepHistogram, eep_histogram_clear)

/* Log-linear: a power of two's values share 2^10 buckets. Ascending in value. value >= 0 */
static inline guint32 eep_histogram_bucket(EepTime value)
{
    int shift = 63 - __builtin_clzll((guint64)value | (1u << EEP_HISTOGRAM_SUB_BITS)) -
                EEP_HISTOGRAM_SUB_BITS;
    return ((guint32)shift << EEP_HISTOGRAM_SUB_BITS) + (guint32)(value >> shift);
}

/* Counts `value` (ns, >= 0) `weight` times; nothing happens for weight 0. */
static inline void eep_histogram_add(EepHistogram *histogram, EepTime value, guint64 weight)
{
    g_assert(value >= 0);
    if (weight == 0)
        return;
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (histogram->count == 0 || value > histogram->max)
        histogram->max = value;
    histogram->buckets[eep_histogram_bucket(value)] += weight;
    histogram->count += weight;
    histogram->sum += (EepWide)(guint64)value * weight;
    histogram->squares += (double)value * (double)value * (double)weight;
}

/* Adds all that `from` counted; `from` is unchanged and may be empty. */
void eep_histogram_merge(EepHistogram *histogram, const EepHistogram *from);

/* The q-quantile, 0 <= q <= 1, in ns: numpy's default over the sample in which each value stands as
 * often as its weight says. With n = count and h = q (n - 1), it is x[floor h] + (h - floor h) *
 * (x[floor h + 1]
 * - x[floor h]), where x is a bucket's midpoint, not below the smallest nor above the largest value
 * added: exact below 2048 ns and at q = 0 and 1, else off by less than 2^-11 of itself. FALSE, and
 * nothing written, while empty. */
gboolean eep_histogram_quantile(const EepHistogram *histogram, double q, double *ret_ns);

/* Mean (exact but for one rounding) and population standard deviation (numpy's std; from running
 * squares, so only good to about 1e-6 of the mean) in ns. Either may be NULL. FALSE, and nothing
 * written, while empty. */
gboolean eep_histogram_moments(const EepHistogram *histogram, double *ret_mean_ns,
                               double *ret_std_ns);

G_END_DECLS

#endif
