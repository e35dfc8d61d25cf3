/* EepMetrics' time line: steps and requests brought together, interval by interval. */
#include "core/metrics_state.h"

#include "core/percentile.h"

#include <math.h>

/* What is spread over intervals: a latency with the moment at which it counts. */
typedef enum { TTFT, TPOT } Latency;

static gboolean sample(const EepMetricsRequest *request, Latency latency, EepTime *ret_at,
                       EepTime *ret_value)
{
    if (request->fate != EEP_FATE_COMPLETED || request->first_token == EEP_TIME_NEVER)
        return FALSE;
    if (latency == TTFT) {
        *ret_at = request->first_token;
        *ret_value = request->first_token - request->arrival;
        return TRUE;
    }
    *ret_at = request->finish;
    return eep_metrics_tpot(request, ret_value);
}

typedef struct {
    gint64 *values; /* of all intervals, one after another; owned */
    gsize *starts;  /* [n + 1]; owned */
} Spread;

/* Counting sort: no interval holds an array of its own. `pool` EEP_GPU_ALL_POOLS: every pool. */
static Spread spread_out(const EepMetrics *metrics, Latency latency, EepPoolId pool, EepTime bucket,
                         gsize n)
{
    Spread spread = {NULL, g_new0(gsize, n + 1)};
    EepTime at, value;

    for (guint pass = 0; pass < 2; pass++) {
        for (gsize i = 0; i < metrics->n_requests; i++) {
            const EepMetricsRequest *request = eep_metrics_request(metrics, i);
            if ((pool != EEP_GPU_ALL_POOLS && request->pool != pool) ||
                !sample(request, latency, &at, &value))
                continue;
            gsize index = MIN((gsize)(at / bucket), n - 1);
            if (pass == 0)
                spread.starts[index]++;
            else
                spread.values[--spread.starts[index]] = value;
        }
        if (pass > 0)
            break;
        /* Ends for now: the second pass fills each interval from its end. */
        for (gsize i = 1; i <= n; i++)
            spread.starts[i] += spread.starts[i - 1];
        spread.values = g_new(gint64, MAX(spread.starts[n], 1));
    }
    return spread;
}

static guint64 quantiles(Spread *spread, gsize index, double *ret_p50, double *ret_p99,
                         double *ret_max)
{
    const double q[] = {0.5, 0.99, 1.0};
    double at[G_N_ELEMENTS(q)] = {NAN, NAN, NAN};
    gsize start = spread->starts[index], n = spread->starts[index + 1] - start;

    eep_percentile_select(spread->values + start, n, q, G_N_ELEMENTS(q), at);
    *ret_p50 = at[0];
    *ret_p99 = n < EEP_METRICS_MIN_P99 ? (double)NAN : at[1];
    *ret_max = at[2];
    return n;
}

static void spread_clear(Spread *spread)
{
    g_free(spread->values);
    g_free(spread->starts);
}

static void fill_requests(const EepMetrics *metrics, EepPoolId pool, EepMetricsRow *rows)
{
    EepTime bucket = metrics->measure.bucket;
    gsize n_rows = metrics->n_rows;

    for (gsize i = 0; i < metrics->n_requests; i++) {
        const EepMetricsRequest *request = eep_metrics_request(metrics, i);
        if (request->pool != pool)
            continue;
        EepMetricsRow *arrival = &rows[MIN((gsize)(request->arrival / bucket), n_rows - 1)];
        EepMetricsRow *finish = &rows[MIN((gsize)(request->finish / bucket), n_rows - 1)];
        arrival->arrivals++;
        finish->completed += request->fate == EEP_FATE_COMPLETED;
        finish->rejected += request->fate == EEP_FATE_REJECTED;
        finish->aborted += request->fate == EEP_FATE_ABORTED;
    }
    Spread ttft = spread_out(metrics, TTFT, pool, bucket, n_rows);
    Spread tpot = spread_out(metrics, TPOT, pool, bucket, n_rows);
    for (gsize i = 0; i < n_rows; i++) {
        EepMetricsRow *row = &rows[i];
        row->n_ttft = quantiles(&ttft, i, &row->ttft_p50, &row->ttft_p99, &row->ttft_max);
        row->n_tpot = quantiles(&tpot, i, &row->tpot_p50, &row->tpot_p99, &row->tpot_max);
    }
    spread_clear(&ttft);
    spread_clear(&tpot);
}

static inline double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : (double)NAN;
}

static void fill_steps(const EepMetrics *metrics, EepPoolId pool, EepMetricsRow *rows)
{
    static const EepTimelineBucket nothing;
    EepTime bucket = metrics->measure.bucket;
    gsize n = metrics->n_rows;
    g_autofree double *all = g_new0(double, n), *stalled = g_new0(double, n);

    eep_gpu_hours_spread(metrics->gpu_hours, pool, bucket, all, stalled, n);
    for (gsize i = 0; i < n; i++) {
        const EepTimelineBucket *steps = eep_timeline_bucket(metrics->timeline, pool, i);
        EepMetricsRow *row = &rows[i];
        if (steps == NULL)
            steps = &nothing;
        row->n_engines = eep_timeline_size(metrics->timeline, pool, ((EepTime)i + 1) * bucket - 1);
        row->running = ratio(steps->running, steps->step_ns);
        row->waiting = ratio(steps->waiting, steps->step_ns);
        row->kv_usage = ratio(steps->kv_usage, steps->step_ns);
        row->prefill_tokens = steps->n_prefill_tokens;
        row->decode_tokens = steps->n_decode_tokens;
        row->max_gap = steps->max_gap;
        row->imbalance = ratio(steps->expert_load, steps->expert_tokens);
        row->stalled_share = ratio(stalled[i], all[i]);
    }
}

void eep_metrics_fill_rows(EepMetrics *metrics)
{
    metrics->n_rows = (gsize)(MAX(metrics->report.end, metrics->now) / metrics->measure.bucket) + 1;
    for (EepPoolId pool = 0; pool < metrics->n_pools; pool++) {
        EepMetricsRow *rows = g_new0(EepMetricsRow, metrics->n_rows);
        g_ptr_array_add(metrics->rows, rows);
        fill_requests(metrics, pool, rows);
        fill_steps(metrics, pool, rows);
    }
}

guint eep_metrics_n_pools(const EepMetrics *metrics)
{
    return metrics->n_pools;
}

gsize eep_metrics_n_rows(const EepMetrics *metrics)
{
    return metrics->n_rows;
}

const EepMetricsRow *eep_metrics_rows(const EepMetrics *metrics, EepPoolId pool)
{
    g_return_val_if_fail(pool < metrics->rows->len, NULL);
    return g_ptr_array_index(metrics->rows, pool);
}

EepTime eep_metrics_columns(const EepMetrics *metrics, guint n_columns, guint64 *ret_arrivals,
                            double *ret_ttft_p99, double *ret_ttft_max)
{
    EepTime end = MAX(MAX(metrics->report.end, metrics->now), 1);
    EepTime column = (end + n_columns - 1) / n_columns;
    double p50, p99, max;

    if (ret_arrivals) {
        for (guint i = 0; i < n_columns; i++)
            ret_arrivals[i] = 0;
        for (gsize i = 0; i < metrics->n_requests; i++) {
            EepTime arrival = eep_metrics_request(metrics, i)->arrival;
            ret_arrivals[MIN((guint)(arrival / column), n_columns - 1)]++;
        }
    }
    Spread ttft = spread_out(metrics, TTFT, EEP_GPU_ALL_POOLS, column, n_columns);
    for (guint i = 0; i < n_columns; i++) {
        quantiles(&ttft, i, &p50, &p99, &max);
        if (ret_ttft_p99)
            ret_ttft_p99[i] = p99;
        if (ret_ttft_max)
            ret_ttft_max[i] = max;
    }
    spread_clear(&ttft);
    return column;
}
