/* EepMetrics when the run is over: what it observed becomes the report. */
#include "core/metrics_state.h"

#include "core/percentile.h"

#include <math.h>

static const EepLatency no_latency = {0, NAN, NAN, NAN, NAN, NAN, NAN};

static void summarise(gint64 *values, gsize n, EepLatency *ret_latency)
{
    const double q[] = {0.5, 0.9, 0.99, 1.0};
    double at[G_N_ELEMENTS(q)];
    EepLatency latency = no_latency;

    latency.n = n;
    if (n > 0) {
        eep_percentile_moments(values, n, 0, &latency.mean, &latency.std);
        eep_percentile_select(values, n, q, G_N_ELEMENTS(q), at);
        latency.p50 = at[0];
        latency.p90 = at[1];
        latency.p99 = n < EEP_METRICS_MIN_P99 ? NAN : at[2];
        latency.max = at[3];
    }
    *ret_latency = latency;
}

static void summarise_histogram(const EepHistogram *histogram, EepLatency *ret_latency)
{
    EepLatency latency = no_latency;

    latency.n = histogram->count;
    if (histogram->count > 0) {
        eep_histogram_moments(histogram, &latency.mean, &latency.std);
        eep_histogram_quantile(histogram, 0.5, &latency.p50);
        eep_histogram_quantile(histogram, 0.9, &latency.p90);
        if (histogram->count >= EEP_METRICS_MIN_P99)
            eep_histogram_quantile(histogram, 0.99, &latency.p99);
        latency.max = (double)histogram->max;
    }
    *ret_latency = latency;
}

/* In the order of EepFate. */
static void count_fate(EepFateCounts *counts, const EepMetricsRequest *request)
{
    guint64 *const by_fate[EEP_FATE_COUNT] = {NULL, &counts->completed, &counts->rejected,
                                              &counts->aborted, &counts->unfinished};

    g_assert(request->fate != EEP_FATE_NONE && request->fate < EEP_FATE_COUNT);
    counts->submitted++;
    ++*by_fate[request->fate];
    if (request->reason != EEP_REASON_NONE)
        counts->by_reason[request->reason]++;
}

static void judge(const EepSloOptions *slo, const EepMetricsRequest *request,
                  EepMetricsReport *report)
{
    EepSloMisses *misses = &report->misses;

    if (request->fate != EEP_FATE_COMPLETED) {
        misses->rejected += request->fate == EEP_FATE_REJECTED;
        misses->aborted += request->fate == EEP_FATE_ABORTED;
        misses->unfinished += request->fate == EEP_FATE_UNFINISHED;
        return;
    }
    gboolean is_late = slo->ttft > 0 && request->first_token != EEP_TIME_NEVER &&
                       request->first_token - request->arrival > slo->ttft;
    /* Multiplied out, so that no rounding decides. */
    gboolean is_slow = slo->tpot > 0 && request->output_tokens > 1 &&
                       request->first_token != EEP_TIME_NEVER &&
                       (EepWide)(guint64)(request->finish - request->first_token) >
                           (EepWide)(guint64)slo->tpot * (request->output_tokens - 1);
    if (is_late) {
        misses->ttft++;
        misses->both += is_slow;
    } else if (is_slow) {
        misses->tpot++;
    } else {
        report->good++;
    }
}

static inline gboolean in_window(const EepMetricsReport *report, const EepMetricsRequest *request)
{
    return request->arrival >= report->warmup && request->arrival < report->end_of_traffic;
}

static void count_requests(EepMetrics *metrics)
{
    EepMetricsReport *report = &metrics->report;

    for (gsize i = 0; i < metrics->n_requests; i++) {
        const EepMetricsRequest *request = eep_metrics_request(metrics, i);
        gboolean inside = in_window(report, request);

        count_fate(inside ? &report->window : &report->outside, request);
        if (!inside)
            continue;
        report->last_end = MAX(report->last_end, request->finish);
        report->attempts += request->n_attempts;
        report->retried += request->is_retried;
        report->preempted += request->n_preemptions > 0;
        report->preemptions += request->n_preemptions;
        judge(&metrics->slo, request, report);
        if (request->fate == EEP_FATE_COMPLETED) {
            report->input_tokens += request->prompt_tokens;
            report->output_tokens += request->output_tokens;
        } else if (request->fate == EEP_FATE_ABORTED) {
            report->wasted_tokens += request->output_tokens;
        }
    }
    guint64 submitted = report->window.submitted;
    report->slo_attainment = submitted > 0 ? (double)report->good / (double)submitted : (double)NAN;
}

/* One array serves the three latencies in turn. */
static void measure_requests(EepMetrics *metrics)
{
    EepMetricsReport *report = &metrics->report;
    g_autofree gint64 *values = g_new(gint64, MAX(report->window.completed, 1));
    EepLatency *const latencies[] = {&report->ttft, &report->e2el, &report->tpot};

    for (guint which = 0; which < G_N_ELEMENTS(latencies); which++) {
        gsize n = 0;
        for (gsize i = 0; i < metrics->n_requests; i++) {
            const EepMetricsRequest *request = eep_metrics_request(metrics, i);
            if (request->fate != EEP_FATE_COMPLETED || !in_window(report, request))
                continue;
            if (which == 1)
                values[n++] = request->finish - request->arrival;
            else if (which == 2)
                n += eep_metrics_tpot(request, &values[n]);
            else if (request->first_token != EEP_TIME_NEVER)
                values[n++] = request->first_token - request->arrival;
        }
        summarise(values, n, latencies[which]);
    }
    summarise_histogram(&metrics->gaps, &report->itl);
    for (guint kind = 0; kind < EEP_STEP_KIND_COUNT; kind++)
        summarise_histogram(&metrics->step_times.lengths[kind], &report->step_time[kind]);
}

static void count_gpus(EepMetrics *metrics)
{
    EepMetricsReport *report = &metrics->report;
    EepWide tail[EEP_GPU_USE_COUNT], window[EEP_GPU_USE_COUNT];

    eep_gpu_hours_sum(metrics->gpu_hours, EEP_GPU_ALL_POOLS, 0, report->end_of_traffic,
                      report->gpu_ns);
    eep_gpu_hours_sum(metrics->gpu_hours, EEP_GPU_ALL_POOLS, report->end_of_traffic, EEP_TIME_NEVER,
                      tail);
    eep_gpu_hours_sum(metrics->gpu_hours, EEP_GPU_ALL_POOLS, report->warmup, report->end_of_traffic,
                      window);
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++) {
        report->gpu_total_ns += report->gpu_ns[use];
        report->gpu_tail_ns += tail[use];
        report->gpu_window_ns += window[use];
    }
}

void eep_metrics_finish(EepMetrics *metrics, const EepMetricsEnd *end)
{
    EepMetricsReport *report = &metrics->report;

    g_return_if_fail(!metrics->is_finished);
    metrics->is_finished = TRUE;
    metrics->n_pools = MAX(MAX(metrics->n_pools, eep_timeline_n_pools(metrics->timeline)), 1);
    report->warmup = metrics->measure.warmup;
    report->end_of_traffic = end->end_of_traffic;
    report->end = end->end;
    report->recomputed_tokens = end->n_recomputed_tokens;
    report->last_end = end->end_of_traffic;
    if (report->end_of_traffic - report->warmup > 1)
        report->window_s = eep_time_to_seconds(report->end_of_traffic - report->warmup);
    count_requests(metrics);
    measure_requests(metrics);
    count_gpus(metrics);
    report->balancedness = report->worst_minute = (double)NAN;
    eep_timeline_balancedness(metrics->timeline, report->warmup, report->end_of_traffic,
                              &report->balancedness, &report->worst_minute);
    eep_metrics_fill_rows(metrics);
}

const EepMetricsReport *eep_metrics_report(const EepMetrics *metrics)
{
    g_return_val_if_fail(metrics->is_finished, NULL);
    return &metrics->report;
}
