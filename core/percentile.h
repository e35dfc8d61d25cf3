/* Exact percentiles and moments of an array of integers, with numpy's conventions.
 *
 * Percentiles come by selection: what lies between two wanted ranks is never sorted. Not a
 * histogram (core/histogram.h), not for streams. The caller owns every array; pure functions but
 * for the order of the values, any thread. */
#ifndef EEP_CORE_PERCENTILE_H
#define EEP_CORE_PERCENTILE_H

#include <glib.h>

G_BEGIN_DECLS

/* The most quantiles of one call. */
#define EEP_PERCENTILE_MAX 32

/* Writes to ret_values[i] the q[i]-quantile (0 <= q[i] <= 1, any order, repeats allowed, n_q <=
 * EEP_PERCENTILE_MAX) of `values` [count], by linear interpolation between closest ranks (numpy's
 * default; Hyndman & Fan, "Sample quantiles in statistical packages" (1996), type 7). Reorders
 * `values`. Expected O(count log n_q), worst case O(count log count). FALSE, and nothing written,
 * if count is 0. */
gboolean eep_percentile_select(gint64 *values, gsize count, const double *q, gsize n_q,
                               double *ret_values);

/* Mean and standard deviation of `values` [count]; ddof 0 divides by count (numpy's default, what
 * vLLM's bench prints), 1 by count - 1. Either output may be NULL. The mean's sum is exact; the
 * deviation takes a second pass. FALSE, and nothing written, if count <= ddof. */
gboolean eep_percentile_moments(const gint64 *values, gsize count, guint ddof, double *ret_mean,
                                double *ret_std);

G_END_DECLS

#endif
