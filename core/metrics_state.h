/* EepMetrics from the inside: what observing fills (metrics.c) and counting reads
 * (metrics_report.c). Nobody else includes it. */
#ifndef EEP_CORE_METRICS_STATE_H
#define EEP_CORE_METRICS_STATE_H

#include "core/metrics.h"

G_BEGIN_DECLS

/* A request when it ended. */
typedef struct {
    EepTime arrival, first_token, finish;
    guint32 prompt_tokens, output_tokens; /* output: produced */
    guint16 pool, n_preemptions;          /* both saturate */
    guint8 fate : 7, is_retried : 1;      /* by its client or by the server */
    guint8 reason;
    guint16 n_attempts;
} EepMetricsRequest;

#define EEP_METRICS_CHUNK 8192

struct EepMetrics {
    EepObserver base;
    EepSloOptions slo;
    EepMeasureOptions measure;
    GPtrArray *chunks; /* EepMetricsRequest [EEP_METRICS_CHUNK]; never moved, so no doubling */
    gsize n_requests;
    EepTime now; /* of the latest thing observed */
    EepHistogram gaps;
    EepStepTimes step_times;
    EepTimeline *timeline;
    EepGpuHours *gpu_hours;
    GArray *resizes;   /* EepResizeRecord */
    guint n_unserved;  /* of them whose 503s no success has followed yet */
    GArray *incidents; /* EepIncident */
    guint n_pools;
    gboolean is_finished;
    EepMetricsReport report;
    GPtrArray *rows; /* EepMetricsRow [n_rows] a pool */
    gsize n_rows;
};

/* Clients were refused, nobody was served after it, and the new size serves. */
static inline gboolean eep_metrics_is_unserved(const EepResizeRecord *record)
{
    return record->first_503 != EEP_TIME_NEVER && record->first_success_after == EEP_TIME_NEVER &&
           record->serving != EEP_TIME_NEVER;
}

static inline const EepMetricsRequest *eep_metrics_request(const EepMetrics *metrics, gsize index)
{
    const EepMetricsRequest *chunk =
        (const EepMetricsRequest *)metrics->chunks->pdata[index / EEP_METRICS_CHUNK];
    return &chunk[index % EEP_METRICS_CHUNK];
}

/* Fills `rows` (metrics_rows.c); n_rows is set. */
void eep_metrics_fill_rows(EepMetrics *metrics);

/* Time per output token; FALSE where there is none. Rounded to the nearest nanosecond. */
static inline gboolean eep_metrics_tpot(const EepMetricsRequest *request, EepTime *ret_tpot)
{
    EepTime gaps = (EepTime)request->output_tokens - 1;

    if (gaps < 1 || request->first_token == EEP_TIME_NEVER)
        return FALSE;
    EepTime length = request->finish - request->first_token;
    *ret_tpot = length / gaps + (length % gaps * 2 >= gaps);
    return TRUE;
}

G_END_DECLS

#endif
