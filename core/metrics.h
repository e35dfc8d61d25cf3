/* EepMetrics: an observer that turns what the core does into the numbers of summary.json.
 *
 * It keeps 40 bytes a request, one bucket an interval of the time line and nothing a step; what the
 * numbers mean is docs/metrics.md. First it observes, then eep_metrics_finish() counts, then the
 * report may be read. Not a writer of files and no judge of `expect`. Owned by its creator, who
 * frees it after the deployment; loop thread only. */
#ifndef EEP_CORE_METRICS_H
#define EEP_CORE_METRICS_H

#include "core/gpu_hours.h"
#include "core/incident.h"
#include "core/measure_options.h"
#include "core/observer.h"
#include "core/slo_options.h"
#include "core/step_times.h"
#include "core/timeline.h"

G_BEGIN_DECLS

typedef struct EepMetrics EepMetrics;

/* Below this many values there is no 99th percentile. */
#define EEP_METRICS_MIN_P99 100

/* Nanoseconds; NaN where there is no value. */
typedef struct {
    guint64 n;
    double mean, std, p50, p90, p99, max; /* std: population */
} EepLatency;

/* Requests by fate; submitted is their sum. */
typedef struct {
    guint64 submitted, completed, rejected, aborted, unfinished;
    guint64 by_reason[EEP_REASON_COUNT]; /* of those rejected and aborted */
} EepFateCounts;

/* Why a submitted request is not good: each counts once, at the first that applies. */
typedef struct {
    guint64 rejected, aborted, unfinished;
    guint64 ttft; /* completed too late to the first token, whatever its TPOT */
    guint64 tpot; /* completed, in time to the first token, too slow after it */
    guint64 both; /* those of `ttft` that were too slow after it as well */
} EepSloMisses;

/* What the metrics cannot see for themselves. */
typedef struct {
    EepTime end_of_traffic;      /* the last arrival is before it */
    EepTime end;                 /* of the run */
    guint64 n_recomputed_tokens; /* computed again after preemption, whole run */
} EepMetricsEnd;

typedef struct {
    EepTime warmup, end_of_traffic, end;
    EepTime last_end; /* of a request of the window; end_of_traffic if all ended before */
    double
        window_s; /* of [warmup, end_of_traffic); 0, no rates, where that is one instant or none */
    EepFateCounts window, outside;
    guint64 attempts, retried; /* submissions; requests that client or server tried again */
    guint64 preempted, preemptions;
    guint64 migrated; /* moves of requests off leaving engines, whole run */
    guint64 recomputed_tokens;
    EepLatency ttft, tpot, itl, e2el;
    guint64 good;
    EepSloMisses misses;
    double slo_attainment;               /* NaN when nothing was submitted */
    guint64 input_tokens, output_tokens; /* of completed requests */
    guint64 wasted_tokens;               /* produced by attempts that were aborted */
    /* Of requests that arrived after the warm-up: prompt tokens of those that an engine took, and
     * how many of them it found in its prefix cache (vLLM: prefix_cache_queries, _hits). */
    guint64 queried_tokens, cached_tokens;
    EepWide gpu_ns[EEP_GPU_USE_COUNT], gpu_total_ns; /* [0, end of traffic) */
    EepWide gpu_tail_ns;                             /* [end of traffic, end of the run] */
    EepWide gpu_window_ns;                           /* [warmup, end of traffic) */
    gint64 reshuffle_bytes, resize_bytes;            /* a resize's own reshuffle is the resize's */
    guint64 reshuffles, experts_moved;               /* all of them */
    guint64 eplb_looks, eplb_rearrangements;         /* not those of resizes */
    EepTime eplb_stalled;                            /* by them, synchronous ones */
    double balancedness, worst_minute;               /* NaN without expert work */
    guint64 steps, dummy_steps;
    EepLatency step_time[EEP_STEP_KIND_COUNT]; /* of steps that ended after the warm-up */
} EepMetricsReport;

/* One interval of one pool. NaN: no value. */
typedef struct {
    guint64 arrivals, completed, rejected, aborted;
    guint n_engines; /* at its end */
    double running, waiting, kv_usage;
    guint64 prefill_tokens, decode_tokens;
    guint64 n_ttft, n_tpot;
    double ttft_p50, ttft_p99, ttft_max; /* of first tokens delivered in it; ns */
    double tpot_p50, tpot_p99, tpot_max; /* of requests completed in it; ns */
    EepTime max_gap;                     /* of tokens delivered in it; 0: none */
    double imbalance, stalled_share;
} EepMetricsRow;

/* Options are copied. */
EepMetrics *eep_metrics_new(const EepSloOptions *slo, const EepMeasureOptions *measure);
void eep_metrics_free(EepMetrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMetrics, eep_metrics_free)

/* The metrics as an observer; valid for their life. */
EepObserver *eep_metrics_observer(EepMetrics *metrics);

/* A fault's account, complete. Copied. */
void eep_metrics_add_incident(EepMetrics *metrics, const EepIncident *incident);

/* Counts, once, when nothing more will be observed. O(requests + buckets). */
void eep_metrics_finish(EepMetrics *metrics, const EepMetricsEnd *end);

/* -- after finish; everything returned belongs to the metrics ---------------------------------- */

const EepMetricsReport *eep_metrics_report(const EepMetrics *metrics);
const EepSloOptions *eep_metrics_slo(const EepMetrics *metrics);

/* The same steps as the report's step_time, by tokens. */
const EepStepTimes *eep_metrics_step_times(const EepMetrics *metrics);

/* In the order of their ends. */
guint eep_metrics_n_resizes(const EepMetrics *metrics);
const EepResizeRecord *eep_metrics_resize(const EepMetrics *metrics, guint index);
/* Longest gap between tokens delivered by the pool while the resize ran, to the interval. */
EepTime eep_metrics_resize_max_gap(const EepMetrics *metrics, guint index);

guint eep_metrics_n_incidents(const EepMetrics *metrics);
const EepIncident *eep_metrics_incident(const EepMetrics *metrics, guint index);

guint eep_metrics_n_pools(const EepMetrics *metrics);
EepTime eep_metrics_bucket(const EepMetrics *metrics);
gsize eep_metrics_n_rows(const EepMetrics *metrics);
/* [n_rows] rows of the pool, row i of [i, i + 1) * bucket; the last one holds the run's end. */
const EepMetricsRow *eep_metrics_rows(const EepMetrics *metrics, EepPoolId pool);

/* The run cut into n_columns equal columns over all pools: arrivals and the 99th percentile of TTFT
 * (of the column's first tokens; NaN below EEP_METRICS_MIN_P99) and its largest. Arrays
 * [n_columns], each nullable. Returns a column's length. */
EepTime eep_metrics_columns(const EepMetrics *metrics, guint n_columns, guint64 *ret_arrivals,
                            double *ret_ttft_p99, double *ret_ttft_max);

G_END_DECLS

#endif
