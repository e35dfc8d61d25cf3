#include "cli/run_rows.h"

#include "cli/run_facts.h"
#include "core/json.h"

#include <math.h>

const char eep_run_rows_requests_header[] =
    "id,arrival_ns,first_token_ns,finish_ns,prompt_tokens,output_tokens,engine,pool,attempts,"
    "preemptions,fate,reason,cached_tokens,ttft_ms,tpot_ms,e2el_ms,max_itl_ms,migrations,retries\n";

const char eep_run_rows_timeline_header[] =
    "time_s,pool,arrivals,completed,rejected,aborted,engines,running,waiting,kv_usage,"
    "prefill_tokens,decode_tokens,ttft_n,ttft_p50_ms,ttft_p99_ms,ttft_max_ms,tpot_n,tpot_p50_ms,"
    "tpot_p99_ms,tpot_max_ms,max_itl_ms,imbalance,stalled_share\n";

static inline void add_time(EepText *text, EepTime time)
{
    if (time != EEP_TIME_NEVER)
        eep_text_add_int(text, time);
    eep_text_add_char(text, ',');
}

static inline void add_uint(EepText *text, guint64 value)
{
    eep_text_add_uint(text, value);
    eep_text_add_char(text, ',');
}

/* Files count engines from 0; worker 0 is no engine. */
static inline guint32 engine_of(const EepRequest *request)
{
    return request->worker - 1;
}

void eep_run_rows_add_request(EepText *text, const EepRequest *request, const char *pool,
                              EepTime now)
{
    gboolean completed = request->fate == EEP_FATE_COMPLETED;
    gboolean has_first = request->first_token != EEP_TIME_NEVER;
    EepTime finish = completed ? request->finish : now;
    guint32 output_tokens = completed ? request->output_tokens : request->generated;

    add_uint(text, request->id);
    add_time(text, request->arrival);
    add_time(text, request->first_token);
    add_time(text, request->fate == EEP_FATE_UNFINISHED ? EEP_TIME_NEVER : finish);
    add_uint(text, request->prompt_tokens);
    add_uint(text, output_tokens);
    if (request->worker != 0)
        eep_text_add_uint(text, engine_of(request));
    eep_text_add_char(text, ',');
    eep_text_add_csv_field(text, pool);
    eep_text_add_char(text, ',');
    add_uint(text, request->n_attempts);
    add_uint(text, request->n_preemptions);
    eep_text_add_string(text, eep_fate_names[request->fate]);
    eep_text_add_char(text, ',');
    eep_text_add_string(text, eep_reason_names[request->reason]);
    eep_text_add_char(text, ',');
    add_uint(text, request->cached_tokens);
    if (has_first)
        eep_text_add_decimal(text, request->first_token - request->arrival, 6);
    eep_text_add_char(text, ',');
    if (completed && has_first && output_tokens > 1) {
        EepTime gaps = (EepTime)output_tokens - 1, length = finish - request->first_token;
        eep_text_add_decimal(text, length / gaps + (length % gaps * 2 >= gaps), 6);
    }
    eep_text_add_char(text, ',');
    if (completed)
        eep_text_add_decimal(text, finish - request->arrival, 6);
    eep_text_add_char(text, ',');
    if (has_first && output_tokens > 1)
        eep_text_add_decimal(text, request->max_gap, 6);
    eep_text_add_char(text, ',');
    add_uint(text, request->n_migrated);
    eep_text_add_uint(text, request->n_retries);
    eep_text_add_char(text, '\n');
}

static void open_event(EepJson *json, EepText *text, EepTime now, const char *pool,
                       const char *event)
{
    eep_json_init(json, text, EEP_JSON_COMPACT);
    eep_json_begin_object(json, NULL);
    eep_json_add_int(json, "t_ns", now);
    eep_json_add_string(json, "pool", pool);
    eep_json_add_string(json, "event", event);
}

void eep_run_rows_add_decision(EepText *text, EepTime now, const char *pool, const char *what,
                               const EepFact *facts, guint n_facts)
{
    EepJson json;

    open_event(&json, text, now, pool, what);
    for (guint i = 0; i < n_facts; i++) {
        const EepFact *fact = &facts[i];
        switch (fact->type) {
        case EEP_FACT_INT:
            eep_json_add_int(&json, fact->key, fact->integer);
            break;
        case EEP_FACT_DOUBLE:
            eep_json_add_double(&json, fact->key, fact->real, 0);
            break;
        case EEP_FACT_STRING:
            eep_json_add_string(&json, fact->key, fact->string);
            break;
        case EEP_FACT_TIME:
            if (fact->integer == EEP_TIME_NEVER)
                eep_json_add_null(&json, fact->key);
            else
                eep_json_add_int(&json, fact->key, fact->integer);
            break;
        case EEP_FACT_BOOL:
            eep_json_add_bool(&json, fact->key, fact->integer != 0);
            break;
        }
    }
    eep_json_end_object(&json);
}

void eep_run_rows_add_request_event(EepText *text, const EepRequest *request, const char *pool,
                                    EepTime now)
{
    EepJson json;

    open_event(&json, text, now, pool, "request_ended");
    eep_json_add_uint(&json, "id", request->id);
    eep_json_add_string(&json, "fate", eep_fate_names[request->fate]);
    if (request->reason != EEP_REASON_NONE)
        eep_json_add_string(&json, "reason", eep_reason_names[request->reason]);
    if (request->worker != 0)
        eep_json_add_uint(&json, "engine", engine_of(request));
    eep_json_add_uint(&json, "attempts", request->n_attempts);
    eep_json_end_object(&json);
}

void eep_run_rows_add_step_event(EepText *text, const EepStepRecord *step, const char *pool)
{
    EepJson json;

    open_event(&json, text, step->end, pool, "step");
    eep_json_add_uint(&json, "step", step->step);
    eep_json_add_int(&json, "begin_ns", step->begin);
    eep_json_add_uint(&json, "engines", step->n_engines);
    eep_json_add_bool(&json, "dummy", step->is_dummy);
    eep_json_add_uint(&json, "decodes", step->n_decodes);
    eep_json_add_uint(&json, "prefill_tokens", step->n_prefill_tokens);
    eep_json_add_uint(&json, "running", step->n_running);
    eep_json_add_uint(&json, "waiting", step->n_waiting);
    eep_json_add_double(&json, "kv_usage", step->kv_usage, 6);
    eep_json_add_double(&json, "imbalance", step->imbalance, 6);
    eep_json_end_object(&json);
}

/* Empty where there is no value. */
static void add_real(EepText *text, double value, guint digits)
{
    if (isfinite(value))
        eep_text_add_double(text, value, digits);
}

static void add_latency(EepText *text, guint64 n, double p50, double p99, double max)
{
    const double values[] = {p50, p99, max};

    add_uint(text, n);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        add_real(text, values[i] / 1e6, 9);
        eep_text_add_char(text, ',');
    }
}

static void add_row(EepText *text, const EepMetricsRow *row, EepTime begin, const char *pool)
{
    const double means[] = {row->running, row->waiting, row->kv_usage};
    /* Whole seconds are the usual case, and no interval is shorter than a millisecond. */
    if (begin % EEP_NS_PER_S == 0)
        eep_text_add_int(text, begin / EEP_NS_PER_S);
    else
        eep_text_add_decimal(text, begin, 9);
    eep_text_add_char(text, ',');
    eep_text_add_csv_field(text, pool);
    eep_text_add_char(text, ',');
    add_uint(text, row->arrivals);
    add_uint(text, row->completed);
    add_uint(text, row->rejected);
    add_uint(text, row->aborted);
    add_uint(text, row->n_engines);
    for (guint i = 0; i < G_N_ELEMENTS(means); i++) {
        add_real(text, means[i], 6);
        eep_text_add_char(text, ',');
    }
    add_uint(text, row->prefill_tokens);
    add_uint(text, row->decode_tokens);
    add_latency(text, row->n_ttft, row->ttft_p50, row->ttft_p99, row->ttft_max);
    add_latency(text, row->n_tpot, row->tpot_p50, row->tpot_p99, row->tpot_max);
    if (row->max_gap > 0)
        eep_text_add_decimal(text, row->max_gap, 6);
    eep_text_add_char(text, ',');
    add_real(text, row->imbalance, 6);
    eep_text_add_char(text, ',');
    add_real(text, row->stalled_share, 6);
    eep_text_add_char(text, '\n');
}

void eep_run_rows_add_timeline(EepText *text, const EepMetrics *metrics, const char *const *pools,
                               guint n_pools)
{
    char number[16];

    eep_text_add_string(text, eep_run_rows_timeline_header);
    for (gsize i = 0; i < eep_metrics_n_rows(metrics); i++)
        for (EepPoolId pool = 0; pool < eep_metrics_n_pools(metrics); pool++)
            add_row(text, &eep_metrics_rows(metrics, pool)[i],
                    (EepTime)i * eep_metrics_bucket(metrics),
                    eep_run_pool_name(pools, n_pools, pool, number));
}
