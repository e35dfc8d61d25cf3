#include "core/metrics_state.h"

/* A resize's record is closed when the resize is complete; the first client to be served after its
 * 503s may end only later. */
static void note_success(EepMetrics *metrics, const EepRequest *request)
{
    for (guint i = metrics->resizes->len; i-- > 0 && metrics->n_unserved > 0;) {
        EepResizeRecord *record = &g_array_index(metrics->resizes, EepResizeRecord, i);

        if (record->pool == request->pool && eep_metrics_is_unserved(record) &&
            request->queued >= record->serving) {
            record->first_success_after = request->finish;
            metrics->n_unserved--;
        }
    }
}

static void metrics_request_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    EepMetrics *metrics = (EepMetrics *)self;
    gsize at = metrics->n_requests++;

    if (at % EEP_METRICS_CHUNK == 0)
        g_ptr_array_add(metrics->chunks, g_new(EepMetricsRequest, EEP_METRICS_CHUNK));
    EepMetricsRequest *chunk = metrics->chunks->pdata[at / EEP_METRICS_CHUNK];
    gboolean completed = request->fate == EEP_FATE_COMPLETED;
    chunk[at % EEP_METRICS_CHUNK] = (EepMetricsRequest){
        .arrival = request->arrival,
        .first_token = request->first_token,
        .finish = completed ? request->finish : now,
        .prompt_tokens = request->prompt_tokens,
        .output_tokens = completed ? request->output_tokens : request->generated,
        .pool = request->pool,
        .n_preemptions = (guint16)MIN(request->n_preemptions, G_MAXUINT16),
        .fate = request->fate,
        .is_retried = request->n_attempts > 1 || request->n_retries > 0,
        .reason = request->reason,
        .n_attempts = request->n_attempts,
    };
    if (completed && metrics->n_unserved > 0)
        note_success(metrics, request);
    if (request->arrival >= metrics->measure.warmup) {
        metrics->report.cached_tokens += request->cached_tokens;
        metrics->report.wasted_tokens += request->wasted_tokens;
        metrics->report.queried_tokens += request->worker != 0 ? request->prompt_tokens : 0;
    }
    metrics->n_pools = MAX(metrics->n_pools, request->pool + 1u);
    metrics->now = MAX(metrics->now, now);
}

/* Its tokens are counted as wasted when the request ends. */
static void metrics_attempt_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    EepMetrics *metrics = (EepMetrics *)self;

    metrics->now = MAX(metrics->now, now);
}

static void metrics_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
    EepMetrics *metrics = (EepMetrics *)self;

    if (n == 0)
        return;
    if (metrics->now >= metrics->measure.warmup)
        eep_histogram_add(&metrics->gaps, MAX(gap, 0), n);
    eep_timeline_add_gap(metrics->timeline, pool, metrics->now, gap);
}

static void metrics_step(EepObserver *self, const EepStepRecord *step)
{
    EepMetrics *metrics = (EepMetrics *)self;

    eep_timeline_add_step(metrics->timeline, step);
    metrics->report.steps++;
    metrics->report.dummy_steps += step->is_dummy ? 1 : 0;
    if (step->end >= metrics->measure.warmup)
        eep_step_times_add(&metrics->step_times, step);
    metrics->now = MAX(metrics->now, step->end);
}

static void metrics_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                             const EepFact *facts, guint n_facts)
{
    EepMetrics *metrics = (EepMetrics *)self;

    metrics->now = MAX(metrics->now, now);
}

static void metrics_size_changed(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines)
{
    EepMetrics *metrics = (EepMetrics *)self;

    eep_timeline_add_size(metrics->timeline, pool, now, n_engines);
    metrics->now = MAX(metrics->now, now);
}

static void metrics_gpu_time(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin,
                             EepTime end, guint n_gpus)
{
    EepMetrics *metrics = (EepMetrics *)self;

    eep_gpu_hours_add(metrics->gpu_hours, pool, use, begin, end, n_gpus);
    metrics->n_pools = MAX(metrics->n_pools, pool + 1);
}

static void metrics_resize_ended(EepObserver *self, const EepResizeRecord *record)
{
    EepMetrics *metrics = (EepMetrics *)self;

    g_array_append_val(metrics->resizes, *record);
    metrics->n_unserved += eep_metrics_is_unserved(record);
    metrics->report.migrated += record->n_migrated;
    metrics->report.resize_bytes +=
        record->non_expert_bytes + record->expert_bytes + record->kv_bytes;
}

static void metrics_incident_ended(EepObserver *self, const EepIncident *incident)
{
    eep_metrics_add_incident((EepMetrics *)self, incident);
}

static void metrics_rearranged(EepObserver *self, EepTime now,
                               const EepRearrangement *rearrangement)
{
    EepMetrics *metrics = (EepMetrics *)self;
    EepMetricsReport *report = &metrics->report;

    report->reshuffles++;
    report->experts_moved += rearrangement->n_experts_moved;
    metrics->now = MAX(metrics->now, now);
    if (rearrangement->for_resize)
        return; /* its bytes are in the resize's record */
    report->eplb_looks++;
    report->eplb_rearrangements++;
    report->reshuffle_bytes += rearrangement->bytes_moved;
    report->eplb_stalled += rearrangement->stalled;
}

static void metrics_kept(EepObserver *self, EepTime now, const EepEplbKept *kept)
{
    EepMetrics *metrics = (EepMetrics *)self;

    metrics->report.eplb_looks++;
    metrics->now = MAX(metrics->now, now);
}

static const EepObserverOps ops = {
    .size = sizeof(EepObserverOps),
    .name = "metrics",
    .request_ended = metrics_request_ended,
    .attempt_ended = metrics_attempt_ended,
    .gaps = metrics_gaps,
    .step = metrics_step,
    .decision = metrics_decision,
    .size_changed = metrics_size_changed,
    .gpu_time = metrics_gpu_time,
    .resize_ended = metrics_resize_ended,
    .incident_ended = metrics_incident_ended,
    .rearranged = metrics_rearranged,
    .kept = metrics_kept,
};

EepMetrics *eep_metrics_new(const EepSloOptions *slo, const EepMeasureOptions *measure)
{
    g_return_val_if_fail(measure->bucket > 0, NULL);
    EepMetrics *metrics = g_new0(EepMetrics, 1);

    metrics->base.ops = &ops;
    metrics->slo = *slo;
    metrics->measure = *measure;
    metrics->chunks = g_ptr_array_new_with_free_func(g_free);
    eep_histogram_init(&metrics->gaps);
    eep_step_times_init(&metrics->step_times);
    metrics->timeline = eep_timeline_new(measure->bucket);
    metrics->gpu_hours = eep_gpu_hours_new();
    metrics->resizes = g_array_new(FALSE, FALSE, sizeof(EepResizeRecord));
    metrics->incidents = g_array_new(FALSE, FALSE, sizeof(EepIncident));
    metrics->rows = g_ptr_array_new_with_free_func(g_free);
    return metrics;
}

void eep_metrics_free(EepMetrics *metrics)
{
    if (metrics == NULL)
        return;
    g_ptr_array_free(metrics->chunks, TRUE);
    eep_histogram_clear(&metrics->gaps);
    eep_step_times_clear(&metrics->step_times);
    eep_timeline_free(metrics->timeline);
    eep_gpu_hours_free(metrics->gpu_hours);
    g_array_free(metrics->resizes, TRUE);
    g_array_free(metrics->incidents, TRUE);
    g_ptr_array_free(metrics->rows, TRUE);
    g_free(metrics);
}

EepObserver *eep_metrics_observer(EepMetrics *metrics)
{
    return &metrics->base;
}

void eep_metrics_add_incident(EepMetrics *metrics, const EepIncident *incident)
{
    guint i = metrics->incidents->len;

    /* They are told when they end; a report has them as they began. */
    while (i > 0 && g_array_index(metrics->incidents, EepIncident, i - 1).at > incident->at)
        i--;
    g_array_insert_val(metrics->incidents, i, *incident);
}

const EepSloOptions *eep_metrics_slo(const EepMetrics *metrics)
{
    return &metrics->slo;
}

const EepStepTimes *eep_metrics_step_times(const EepMetrics *metrics)
{
    return &metrics->step_times;
}

guint eep_metrics_n_resizes(const EepMetrics *metrics)
{
    return metrics->resizes->len;
}

const EepResizeRecord *eep_metrics_resize(const EepMetrics *metrics, guint index)
{
    g_return_val_if_fail(index < metrics->resizes->len, NULL);
    return &g_array_index(metrics->resizes, EepResizeRecord, index);
}

EepTime eep_metrics_resize_max_gap(const EepMetrics *metrics, guint index)
{
    const EepResizeRecord *resize = eep_metrics_resize(metrics, index);
    EepTime end = resize->complete != EEP_TIME_NEVER ? resize->complete : metrics->now;

    return eep_timeline_max_gap(metrics->timeline, resize->pool, resize->accepted, end);
}

guint eep_metrics_n_incidents(const EepMetrics *metrics)
{
    return metrics->incidents->len;
}

const EepIncident *eep_metrics_incident(const EepMetrics *metrics, guint index)
{
    g_return_val_if_fail(index < metrics->incidents->len, NULL);
    return &g_array_index(metrics->incidents, EepIncident, index);
}

EepTime eep_metrics_bucket(const EepMetrics *metrics)
{
    return metrics->measure.bucket;
}
