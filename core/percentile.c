#include "core/percentile.h"

#include <math.h>

/* Below this an insertion sort is cheaper than another partition. */
#define SMALL 24

__extension__ typedef __int128 WideSigned;

static inline void swap(gint64 *a, gint64 *b)
{
    gint64 kept = *a;
    *a = *b;
    *b = kept;
}

static void insertion_sort(gint64 *v, gsize n)
{
    for (gsize i = 1; i < n; i++) {
        gint64 x = v[i];
        gsize j = i;
        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static void sift_down(gint64 *v, gsize root, gsize n)
{
    gint64 x = v[root];
    for (gsize child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child + 1] > v[child])
            child++;
        if (v[child] <= x)
            break;
        v[root] = v[child];
    }
    v[root] = x;
}

static void heap_sort(gint64 *v, gsize n)
{
    for (gsize i = n / 2; i-- > 0;)
        sift_down(v, i, n);
    for (gsize end = n; end-- > 1;) {
        swap(&v[0], &v[end]);
        sift_down(v, 0, end);
    }
}

static inline gint64 median3(gint64 a, gint64 b, gint64 c)
{
    if (a > b)
        swap(&a, &b);
    return c <= a ? a : c >= b ? b : c;
}

/* Tukey's ninther over the whole range. */
static gint64 choose_pivot(const gint64 *v, gsize n)
{
    gsize e = n / 8, m = n / 2;
    return median3(median3(v[0], v[e], v[2 * e]), median3(v[m - e], v[m], v[m + e]),
                   median3(v[n - 1 - 2 * e], v[n - 1 - e], v[n - 1]));
}

/* Hoare's partition by a pivot that occurs in v: afterwards v[0 .. result) <= pivot <= v[result ..
 * n), both parts not empty (both scans stop at equals, so that many equals still halve). */
static gsize partition(gint64 *v, gsize n, gint64 pivot)
{
    gsize i = 0, j = n - 1;
    for (;;) {
        while (v[i] < pivot)
            i++;
        while (v[j] > pivot)
            j--;
        if (i >= j)
            break;
        swap(&v[i++], &v[j--]);
    }
    return i > 0 ? i : 1;
}

/* Puts in place every rank of ranks[0 .. n_ranks), ascending and relative to `base`'s first
 * element, that lies in base[low .. high). Introselect: past `depth` bad partitions, a heap sort
 * bounds the time. */
static void select_ranks(gint64 *base, gsize low, gsize high, const gsize *ranks, gsize n_ranks,
                         int depth)
{
    while (n_ranks > 0 && high - low > SMALL) {
        if (depth-- == 0) {
            heap_sort(base + low, high - low);
            return;
        }
        gsize n = high - low;
        gsize middle = low + partition(base + low, n, choose_pivot(base + low, n));
        gsize below = 0;
        while (below < n_ranks && ranks[below] < middle)
            below++;
        select_ranks(base, low, middle, ranks, below, depth);
        low = middle;
        ranks += below;
        n_ranks -= below;
    }
    if (n_ranks > 0)
        insertion_sort(base + low, high - low);
}

static inline gsize rank_of(double q, gsize count, double *ret_fraction)
{
    double position = q * (double)(count - 1);
    gsize rank = MIN((gsize)position, count - 1);

    *ret_fraction = position - (double)rank;
    return rank;
}

gboolean eep_percentile_select(gint64 *values, gsize count, const double *q, gsize n_q,
                               double *ret_values)
{
    gsize ranks[2 * EEP_PERCENTILE_MAX] = {0}, n_ranks = 0;
    double fraction;

    g_return_val_if_fail(n_q <= EEP_PERCENTILE_MAX, FALSE);
    if (count == 0)
        return FALSE;

    for (gsize i = 0; i < n_q; i++) {
        g_return_val_if_fail(q[i] >= 0.0 && q[i] <= 1.0, FALSE);
        gsize rank = rank_of(q[i], count, &fraction);
        for (gsize next = 0; next < 2; next++) {
            gsize wanted = MIN(rank + next, count - 1), at = n_ranks++;
            for (; at > 0 && ranks[at - 1] > wanted; at--)
                ranks[at] = ranks[at - 1];
            ranks[at] = wanted;
        }
    }
    select_ranks(values, 0, count, ranks, n_ranks, 2 * (int)g_bit_storage(count));

    for (gsize i = 0; i < n_q; i++) {
        gsize rank = rank_of(q[i], count, &fraction);
        double a = (double)values[rank], b = (double)values[MIN(rank + 1, count - 1)];
        /* From the nearer end, as numpy's _lerp does, so that the last bits agree. */
        ret_values[i] = fraction < 0.5 ? a + (b - a) * fraction : b - (b - a) * (1.0 - fraction);
    }
    return TRUE;
}

gboolean eep_percentile_moments(const gint64 *values, gsize count, guint ddof, double *ret_mean,
                                double *ret_std)
{
    WideSigned sum = 0;
    double squares = 0.0;

    if (count <= ddof)
        return FALSE;
    for (gsize i = 0; i < count; i++)
        sum += values[i];
    double mean = (double)sum / (double)count;
    for (gsize i = 0; i < count; i++) {
        double distance = (double)values[i] - mean;
        squares += distance * distance;
    }
    if (ret_mean)
        *ret_mean = mean;
    if (ret_std)
        *ret_std = sqrt(squares / (double)(count - ddof));
    return TRUE;
}
