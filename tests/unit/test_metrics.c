/* core/metrics.h: every figure by hand, and what a million requests cost. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"

#define MS EEP_NS_PER_MS
#define S  EEP_NS_PER_S

static const EepSloOptions slo = {.ttft = 100 * MS, .tpot = 10 * MS, .target = 0.9};
static const EepMeasureOptions measure = {.warmup = 10 * S, .bucket = 1 * S};
static const EepMetricsEnd at_100 = {100 * S, 110 * S, 0};

static EepMetrics *new_metrics(EepObserver **ret_observer)
{
    EepMetrics *metrics = eep_metrics_new(&slo, &measure);

    *ret_observer = eep_metrics_observer(metrics);
    return metrics;
}

/* All times in ms; first < 0: none. */
static void end_request(EepObserver *observer, EepFate fate, EepReason reason, gint64 arrival,
                        gint64 first, gint64 finish, guint32 tokens)
{
    EepRequest request = {.arrival = arrival * MS,
                          .first_token = first < 0 ? EEP_TIME_NEVER : first * MS,
                          .finish = finish * MS,
                          .prompt_tokens = 100,
                          .output_tokens = fate == EEP_FATE_COMPLETED ? tokens : 500,
                          .generated = tokens,
                          .fate = (guint8)fate,
                          .reason = (guint8)reason,
                          .n_attempts = 1};

    observer->ops->request_ended(observer, &request, finish * MS);
}

static void complete(EepObserver *observer, gint64 arrival, gint64 first, gint64 finish,
                     guint32 tokens)
{
    end_request(observer, EEP_FATE_COMPLETED, EEP_REASON_NONE, arrival, first, finish, tokens);
}

START_TEST(fates_and_misses)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);

    complete(observer, 9999, 10050, 10100, 6);     /* before the window */
    complete(observer, 100000, 100050, 100100, 6); /* after it */
    complete(observer, 10000, 10100, 10200, 11);   /* both limits met exactly: good */
    complete(observer, 20000, 20101, 20111, 2);    /* late by 1 ms, TPOT 10 */
    complete(observer, 30000, 30050, 30161, 11);   /* TPOT 11.1 */
    complete(observer, 40000, 40200, 40400, 2);    /* both missed: counts as TTFT */
    complete(observer, 50000, 50010, 50010, 1);    /* one token has no TPOT: good */
    end_request(observer, EEP_FATE_REJECTED, EEP_REASON_TOO_LONG, 60000, -1, 60000, 0);
    end_request(observer, EEP_FATE_REJECTED, EEP_REASON_SCALING_503, 60000, -1, 61000, 0);
    end_request(observer, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN, 70000, 70050, 71000, 33);
    end_request(observer, EEP_FATE_UNFINISHED, EEP_REASON_NONE, 99999, -1, 110000, 0);
    eep_metrics_finish(metrics, &at_100);

    const EepMetricsReport *report = eep_metrics_report(metrics);
    const EepFateCounts *window = &report->window;
    ck_assert_uint_eq(window->submitted, 9);
    ck_assert_uint_eq(window->completed, 5);
    ck_assert_uint_eq(window->rejected, 2);
    ck_assert_uint_eq(window->aborted, 1);
    ck_assert_uint_eq(window->unfinished, 1);
    ck_assert_uint_eq(window->by_reason[EEP_REASON_TOO_LONG], 1);
    ck_assert_uint_eq(window->by_reason[EEP_REASON_SCALING_503], 1);
    ck_assert_uint_eq(window->by_reason[EEP_REASON_SCALE_DOWN], 1);
    ck_assert_uint_eq(report->outside.submitted, 2);
    ck_assert_uint_eq(report->outside.completed, 2);
    ck_assert_uint_eq(report->good, 2);
    ck_assert_double_eq_tol(report->slo_attainment, 2.0 / 9.0, 1e-15);
    ck_assert_uint_eq(report->misses.ttft, 2);
    ck_assert_uint_eq(report->misses.both, 1);
    ck_assert_uint_eq(report->misses.tpot, 1);
    ck_assert_uint_eq(report->misses.rejected, 2);
    ck_assert_uint_eq(report->misses.aborted, 1);
    ck_assert_uint_eq(report->misses.unfinished, 1);
    ck_assert_double_eq(report->window_s, 90.0);
    ck_assert_uint_eq(report->input_tokens, 500);
    ck_assert_uint_eq(report->output_tokens, 11 + 2 + 11 + 2 + 1);
    ck_assert_uint_eq(report->wasted_tokens, 33);
}
END_TEST

START_TEST(latencies)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);

    /* TTFT 10, 20, 40 ms; E2EL 110, 120, 40; TPOT 100/3 ms rounded to ns, 25; none for one token */
    complete(observer, 20000, 20010, 20110, 4);
    complete(observer, 20000, 20020, 20120, 5);
    complete(observer, 20000, 20040, 20040, 1);
    eep_metrics_finish(metrics, &at_100);

    const EepMetricsReport *report = eep_metrics_report(metrics);
    ck_assert_uint_eq(report->ttft.n, 3);
    ck_assert_double_eq_tol(report->ttft.mean, 70e6 / 3.0, 1e-6);
    ck_assert_double_eq(report->ttft.p50, 20e6);
    ck_assert_double_eq_tol(report->ttft.p90, 36e6, 1e-6); /* 20 + 0.8 * 20 */
    ck_assert_double_eq_tol(report->ttft.std,
                            sqrt((400.0 + 1600.0 + 100.0) / 3.0 - 4900.0 / 9.0) * 1e6, 1e-3);
    ck_assert_double_eq(report->ttft.max, 40e6);
    ck_assert(isnan(report->ttft.p99));
    ck_assert_uint_eq(report->tpot.n, 2);
    ck_assert_double_eq(report->tpot.max, 33333333.0);
    ck_assert_double_eq(report->tpot.p50, (33333333.0 + 25e6) / 2.0);
    ck_assert_uint_eq(report->e2el.n, 3);
    ck_assert_double_eq(report->e2el.p50, 110e6);
    ck_assert_uint_eq(report->itl.n, 0);
    ck_assert(isnan(report->itl.p50));
}
END_TEST

/* n = 100 is enough: ranks 0..99, p99 between the values 98 and 99. */
START_TEST(p99_needs_a_hundred)
{
    for (guint n = 99; n <= 100; n++) {
        EepObserver *observer;
        g_autoptr(EepMetrics) metrics = new_metrics(&observer);
        for (guint i = 0; i < n; i++)
            complete(observer, 20000, 20000 + i, 20500, 2);
        eep_metrics_finish(metrics, &at_100);
        const EepMetricsReport *report = eep_metrics_report(metrics);
        const EepMetricsRow *row = &eep_metrics_rows(metrics, 0)[20];
        ck_assert_uint_eq(row->n_ttft, n);
        ck_assert_double_eq(row->ttft_max, (n - 1) * 1e6);
        if (n < 100) {
            ck_assert(isnan(report->ttft.p99));
            ck_assert(isnan(row->ttft_p99));
        } else {
            ck_assert_double_eq_tol(report->ttft.p99, 98.01e6, 1.0);
            ck_assert_double_eq_tol(row->ttft_p99, 98.01e6, 1.0);
        }
    }
}
END_TEST

START_TEST(no_limits_and_no_requests)
{
    const EepSloOptions none = {0};
    g_autoptr(EepMetrics) empty = eep_metrics_new(&none, &measure);
    g_autoptr(EepMetrics) some = eep_metrics_new(&none, &measure);
    const EepMetricsEnd early = {5 * S, 5 * S, 0};

    eep_metrics_finish(empty, &early);
    ck_assert(isnan(eep_metrics_report(empty)->slo_attainment));
    ck_assert_double_eq(eep_metrics_report(empty)->window_s, 0.0);
    ck_assert_uint_eq(eep_metrics_n_rows(empty), 6);
    ck_assert_uint_eq(eep_metrics_n_pools(empty), 1);

    complete(eep_metrics_observer(some), 20000, 90000, 99000, 2);
    eep_metrics_finish(some, &at_100);
    ck_assert_double_eq(eep_metrics_report(some)->slo_attainment, 1.0);
}
END_TEST

START_TEST(gaps_after_the_warmup)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    EepStepRecord step = {.begin = 9 * S, .end = 9500 * MS, .n_engines = 4};

    observer->ops->step(observer, &step);
    observer->ops->gaps(observer, 0, 7 * S, 5);
    step.end = 10 * S;
    observer->ops->step(observer, &step);
    observer->ops->gaps(observer, 0, 1000, 3);
    observer->ops->gaps(observer, 0, 2000, 1);
    eep_metrics_finish(metrics, &at_100);

    const EepMetricsReport *report = eep_metrics_report(metrics);
    ck_assert_uint_eq(report->itl.n, 4);
    ck_assert_double_eq(report->itl.mean, 1250.0);
    ck_assert_double_eq(report->itl.max, 2000.0);
    ck_assert_int_eq(eep_metrics_rows(metrics, 0)[9].max_gap, 7 * S);
    ck_assert_uint_eq(eep_metrics_rows(metrics, 0)[0].n_engines, 4);
}
END_TEST

/* 90 GPU-s serving until the end of traffic, 10 stalled, 5 reserved; 20 after it. */
START_TEST(gpu_hours_add_up)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    const EepMetricsEnd end = {50 * S, 60 * S, 0};

    observer->ops->gpu_time(observer, 0, EEP_GPU_SERVING, 0, 20 * S, 1);
    observer->ops->gpu_time(observer, 0, EEP_GPU_SERVING, 0, 20 * S, 1); /* a second engine */
    observer->ops->gpu_time(observer, 0, EEP_GPU_STALLED, 20 * S, 25 * S, 2);
    observer->ops->gpu_time(observer, 0, EEP_GPU_SERVING, 25 * S, 40 * S, 2);
    observer->ops->gpu_time(observer, 0, EEP_GPU_SERVING, 40 * S, 60 * S, 2);
    observer->ops->gpu_time(observer, 1, EEP_GPU_RESERVED, 45 * S, 50 * S, 1);
    observer->ops->gpu_time(observer, 1, EEP_GPU_DEAD, 45 * S, 45 * S, 1);
    eep_metrics_finish(metrics, &end);

    const EepMetricsReport *report = eep_metrics_report(metrics);
    ck_assert_uint_eq((guint64)report->gpu_ns[EEP_GPU_SERVING], 90 * S);
    ck_assert_uint_eq((guint64)report->gpu_ns[EEP_GPU_STALLED], 10 * S);
    ck_assert_uint_eq((guint64)report->gpu_ns[EEP_GPU_RESERVED], 5 * S);
    ck_assert_uint_eq((guint64)report->gpu_ns[EEP_GPU_DEAD], 0);
    ck_assert_uint_eq((guint64)report->gpu_total_ns, 105 * S);
    ck_assert_uint_eq((guint64)report->gpu_tail_ns, 20 * S);
    ck_assert_uint_eq((guint64)report->gpu_window_ns, 85 * S); /* 20 before 10 s */
    ck_assert_double_eq(eep_gpu_hours_from_ns(report->gpu_total_ns), 105.0 / 3600.0);

    const EepMetricsRow *rows = eep_metrics_rows(metrics, 0);
    ck_assert_double_eq(rows[19].stalled_share, 0.0);
    ck_assert_double_eq(rows[20].stalled_share, 1.0);
    ck_assert_double_eq(rows[25].stalled_share, 0.0);
    ck_assert(isnan(rows[60].stalled_share));
    ck_assert_uint_eq(eep_metrics_n_pools(metrics), 2);
}
END_TEST

/* Loads 100 x 2 and 300 x 1 in the first minute of the window, 100 x 4 in the second. */
START_TEST(balancedness_is_mean_over_max)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    const EepMetricsEnd end = {200 * S, 200 * S, 0};
    const struct {
        EepTime end;
        guint64 tokens;
        double imbalance;
    } steps[] = {{5 * S, 1000, 9.0},                                         /* in the warm-up */
                 {20 * S, 100, 2.0}, {21 * S, 300, 1.0},  {22 * S, 50, 0.0}, /* no expert work */
                 {70 * S, 100, 4.0}, {250 * S, 1000, 9.0}};                  /* in the tail */

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        EepStepRecord step = {.begin = steps[i].end - MS,
                              .end = steps[i].end,
                              .n_engines = 2,
                              .n_decodes = steps[i].tokens,
                              .imbalance = steps[i].imbalance};
        observer->ops->step(observer, &step);
    }
    eep_metrics_finish(metrics, &end);
    ck_assert_double_eq(eep_metrics_report(metrics)->balancedness, 500.0 / 900.0);
    ck_assert_double_eq(eep_metrics_report(metrics)->worst_minute, 0.25);
    ck_assert_double_eq(eep_metrics_rows(metrics, 0)[20].imbalance, 2.0);
    ck_assert(isnan(eep_metrics_rows(metrics, 0)[22].imbalance));
}
END_TEST

START_TEST(rows_weigh_by_time)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    EepStepRecord step = {.begin = 30 * S,
                          .end = 30 * S + 100 * MS,
                          .n_engines = 4,
                          .n_decodes = 8,
                          .n_running = 10,
                          .n_waiting = 0,
                          .kv_usage = 0.5};

    observer->ops->size_changed(observer, 0, 0, 4);
    observer->ops->step(observer, &step);
    step.begin = step.end;
    step.end += 300 * MS;
    step.n_running = 30;
    step.n_waiting = 4;
    step.kv_usage = 0.9;
    step.n_prefill_tokens = 64;
    observer->ops->step(observer, &step);
    observer->ops->size_changed(observer, 30999 * MS, 0, 6);
    complete(observer, 30200, 31000, 32000, 3);
    eep_metrics_finish(metrics, &at_100);

    ck_assert_uint_eq(eep_metrics_n_rows(metrics), 111);
    const EepMetricsRow *rows = eep_metrics_rows(metrics, 0);
    ck_assert_double_eq_tol(rows[30].running, 25.0, 1e-12);
    ck_assert_double_eq_tol(rows[30].waiting, 3.0, 1e-12);
    ck_assert_double_eq_tol(rows[30].kv_usage, 0.8, 1e-12);
    ck_assert_uint_eq(rows[30].prefill_tokens, 64);
    ck_assert_uint_eq(rows[30].decode_tokens, 16);
    ck_assert_uint_eq(rows[29].n_engines, 4);
    ck_assert_uint_eq(rows[30].n_engines, 6);
    ck_assert_uint_eq(rows[30].arrivals, 1);
    ck_assert_uint_eq(rows[30].n_ttft, 0);
    ck_assert_uint_eq(rows[31].n_ttft, 1);
    ck_assert_double_eq(rows[31].ttft_p50, 800e6);
    ck_assert_uint_eq(rows[31].n_tpot, 0);
    ck_assert_uint_eq(rows[32].n_tpot, 1);
    ck_assert_double_eq(rows[32].tpot_max, 500e6);
    ck_assert_uint_eq(rows[32].completed, 1);
    ck_assert(isnan(rows[31].running));

    guint64 arrivals[11];
    double max[11];
    ck_assert_int_eq(eep_metrics_columns(metrics, 11, arrivals, NULL, max), 10 * S);
    ck_assert_uint_eq(arrivals[3], 1);
    ck_assert_uint_eq(arrivals[2], 0);
    ck_assert_double_eq(max[3], 800e6);
    ck_assert(isnan(max[2]));
}
END_TEST

/* A resize's own rearrangement is in its record and must not count twice. */
START_TEST(bytes_count_once)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    EepResizeRecord record;

    const EepRearrangement first = {.bytes_moved = 1000, .n_experts_moved = 1, .stalled = 300};
    const EepRearrangement other = {
        .pool = 1, .bytes_moved = 30, .n_experts_moved = 2, .stalled = 4};
    const EepRearrangement own = {.for_resize = TRUE, .bytes_moved = 200, .n_experts_moved = 5};
    const EepEplbKept kept = {.reason = "balanced"};
    observer->ops->rearranged(observer, 15 * S, &first);
    observer->ops->rearranged(observer, 25 * S, &other); /* while another pool resizes */
    observer->ops->rearranged(observer, 25 * S, &own);
    observer->ops->kept(observer, 25 * S, &kept);
    eep_resize_record_init(&record, 0, "r", "scenario", 20 * S);
    record.accepted = 20 * S;
    record.complete = 25 * S;
    record.expert_bytes = 200;
    record.non_expert_bytes = 7;
    record.n_migrated = 4;
    observer->ops->resize_ended(observer, &record);
    eep_metrics_finish(metrics, &at_100);
    ck_assert_int_eq(eep_metrics_report(metrics)->reshuffle_bytes, 1030);
    ck_assert_int_eq(eep_metrics_report(metrics)->resize_bytes, 207);
    ck_assert_uint_eq(eep_metrics_report(metrics)->reshuffles, 3);
    ck_assert_uint_eq(eep_metrics_report(metrics)->experts_moved, 8);
    ck_assert_uint_eq(eep_metrics_report(metrics)->eplb_looks, 3);
    ck_assert_uint_eq(eep_metrics_report(metrics)->eplb_rearrangements, 2);
    ck_assert_int_eq(eep_metrics_report(metrics)->eplb_stalled, 304);
    ck_assert_uint_eq(eep_metrics_report(metrics)->migrated, 4);
    ck_assert_uint_eq(eep_metrics_n_resizes(metrics), 1);
}
END_TEST

static void serve(EepObserver *observer, EepPoolId pool, EepTime queued, EepTime finish)
{
    EepRequest request = {.arrival = queued,
                          .queued = queued,
                          .first_token = finish,
                          .finish = finish,
                          .prompt_tokens = 100,
                          .output_tokens = 1,
                          .pool = (guint16)pool,
                          .worker = 1,
                          .cached_tokens = 48,
                          .fate = EEP_FATE_COMPLETED,
                          .n_attempts = 1};

    observer->ops->request_ended(observer, &request, finish);
}

/* The first client to be served after the 503s ends after the resize. */
START_TEST(success_after_the_resize)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    EepResizeRecord record;

    eep_resize_record_init(&record, 0, "r", "scenario", 20 * S);
    record.accepted = record.commit = 20 * S;
    record.first_503 = 21 * S;
    record.serving = record.complete = 30 * S;
    observer->ops->resize_ended(observer, &record);
    serve(observer, 0, 19 * S, 31 * S); /* was in before */
    serve(observer, 1, 30 * S, 32 * S); /* by another pool */
    ck_assert_int_eq(eep_resize_record_client_downtime(eep_metrics_resize(metrics, 0)),
                     EEP_TIME_NEVER);
    serve(observer, 0, 30 * S, 33 * S);
    serve(observer, 0, 31 * S, 34 * S);
    eep_metrics_finish(metrics, &at_100);
    ck_assert_int_eq(eep_resize_record_client_downtime(eep_metrics_resize(metrics, 0)), 12 * S);
    ck_assert_uint_eq(eep_metrics_report(metrics)->queried_tokens, 400);
    ck_assert_uint_eq(eep_metrics_report(metrics)->cached_tokens, 192);
}
END_TEST

static gint64 resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (gint64)pages * 4096;
}

/* Generous in time, since machines differ; the memory bound is the design's. */
/* Incidents are kept in the order of their ends; tokens of attempts that a client repeated are
 * wasted, whatever became of the last one. */
START_TEST(incidents_and_wasted_tokens)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    EepIncident incident = {.id = "first", .fault = "fail", .outcome = "recovered", .n_lost = 2};
    EepRequest request = {.arrival = 20 * S,
                          .first_token = 21 * S,
                          .finish = 22 * S,
                          .output_tokens = 5,
                          .wasted_tokens = 7,
                          .fate = EEP_FATE_COMPLETED,
                          .n_attempts = 2};

    observer->ops->incident_ended(observer, &incident);
    g_strlcpy(incident.id, "second", sizeof incident.id);
    observer->ops->incident_ended(observer, &incident);
    observer->ops->request_ended(observer, &request, 22 * S);
    request.fate = EEP_FATE_ABORTED;
    request.reason = EEP_REASON_FAULT;
    request.generated = 3;
    observer->ops->request_ended(observer, &request, 23 * S);
    request.arrival = 1 * S; /* before the warm-up */
    request.generated = 0;
    observer->ops->request_ended(observer, &request, 24 * S);
    eep_metrics_finish(metrics, &at_100);

    ck_assert_uint_eq(eep_metrics_n_incidents(metrics), 2);
    ck_assert_str_eq(eep_metrics_incident(metrics, 0)->id, "first");
    ck_assert_str_eq(eep_metrics_incident(metrics, 1)->id, "second");
    ck_assert_uint_eq(eep_metrics_incident(metrics, 1)->n_lost, 2);
    ck_assert_uint_eq(eep_metrics_report(metrics)->wasted_tokens, 7 + 7 + 3);
    ck_assert_uint_eq(eep_metrics_report(metrics)->retried, 2);
}
END_TEST

START_TEST(a_million_requests)
{
    EepObserver *observer;
    g_autoptr(EepMetrics) metrics = new_metrics(&observer);
    gint64 before = resident_bytes(), start = g_get_monotonic_time();
    const EepMetricsEnd end = {3600 * S, 3610 * S, 0};

    for (guint i = 0; i < 1000000; i++) {
        gint64 arrival = (gint64)i * 36 / 10;
        complete(observer, arrival, arrival + i * 7919u % 3000, arrival + 4000 + i % 97, 250);
    }
    for (guint i = 0; i < 200000; i++) {
        EepStepRecord step = {.begin = (EepTime)i * 18 * MS,
                              .end = ((EepTime)i + 1) * 18 * MS,
                              .n_engines = 32,
                              .n_decodes = 1250,
                              .imbalance = 1.1};
        observer->ops->gaps(observer, 0, 18 * MS + i, 1250);
        observer->ops->step(observer, &step);
    }
    eep_metrics_finish(metrics, &end);
    double seconds = (double)(g_get_monotonic_time() - start) / 1e6;
    gint64 bytes = resident_bytes() - before;
    printf("a million requests, 250 M tokens, 200,000 steps: %.3f s, %.1f MB\n", seconds,
           (double)bytes / 1e6);
    ck_assert_uint_eq(eep_metrics_report(metrics)->itl.n, 250000000);
    ck_assert_double_lt(seconds, 5.0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_int_lt(bytes, 60000000);
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");
    tcase_add_test(tcase, fates_and_misses);
    tcase_add_test(tcase, latencies);
    tcase_add_test(tcase, p99_needs_a_hundred);
    tcase_add_test(tcase, no_limits_and_no_requests);
    tcase_add_test(tcase, gaps_after_the_warmup);
    tcase_add_test(tcase, gpu_hours_add_up);
    tcase_add_test(tcase, balancedness_is_mean_over_max);
    tcase_add_test(tcase, rows_weigh_by_time);
    tcase_add_test(tcase, bytes_count_once);
    tcase_add_test(tcase, success_after_the_resize);
    tcase_add_test(tcase, incidents_and_wasted_tokens);
    tcase_add_test(tcase, a_million_requests);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
