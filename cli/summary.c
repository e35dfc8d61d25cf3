#include "cli/summary.h"

#include "core/json.h"

#include <math.h>

/* The fewest digits that read back as the same double. */
#define EXACT 0

static void add_seconds(EepJson *json, const char *key, EepTime time)
{
    if (time == EEP_TIME_NEVER)
        eep_json_add_null(json, key);
    else
        eep_json_add_double(json, key, eep_time_to_seconds(time), EXACT);
}

static void add_pool(EepJson *json, const EepRunFacts *facts, EepPoolId pool)
{
    char number[16];

    eep_json_add_string(json, "pool",
                        eep_run_pool_name(facts->pools, facts->n_pools, pool, number));
}

static void add_identity(EepJson *json, const EepRunFacts *facts)
{
    eep_json_add_int(json, "eep", 1);
    eep_json_add_string(json, "version", facts->version);
    eep_json_add_string(json, "name", facts->name);
    eep_json_add_uint(json, "seed", facts->seed);
    eep_json_add_string(json, "backend", facts->backend);
    eep_json_add_string(json, "label", facts->label);
    eep_json_add_string(json, "model", facts->model);
    eep_json_add_string(json, "hardware", facts->hardware);
    eep_json_add_bool(json, "interrupted", facts->interrupted);
    eep_json_add_bool(json, "extrapolated", facts->extrapolated);
    eep_json_begin_object(json, "sha256");
    eep_json_add_string(json, "scenario", facts->scenario_sha256);
    eep_json_add_string(json, "traffic", facts->traffic_sha256);
    eep_json_add_string(json, "trace", facts->trace_sha256);
    eep_json_add_string(json, "model", facts->model_sha256);
    eep_json_add_string(json, "hardware", facts->hardware_sha256);
    if (facts->load_sha256 != NULL)
        eep_json_add_string(json, "load", facts->load_sha256);
    if (facts->drift_load_sha256 != NULL)
        eep_json_add_string(json, "drift_load", facts->drift_load_sha256);
    eep_json_end_object(json);
}

/* {total, by reason}: the reasons from `first` to `last`, each of them whether it occurred or not.
 */
static void add_reasons(EepJson *json, const char *key, guint64 total, const guint64 *by_reason,
                        EepReason first, EepReason last)
{
    eep_json_begin_object(json, key);
    eep_json_add_uint(json, "total", total);
    for (guint reason = first; reason <= last; reason++)
        eep_json_add_uint(json, eep_reason_names[reason], by_reason[reason]);
    eep_json_end_object(json);
}

static void add_fates(EepJson *json, const EepFateCounts *counts)
{
    eep_json_add_uint(json, "submitted", counts->submitted);
    eep_json_add_uint(json, "completed", counts->completed);
    add_reasons(json, "rejected", counts->rejected, counts->by_reason, EEP_REASON_TOO_LONG,
                EEP_REASON_UNAVAILABLE);
    add_reasons(json, "aborted", counts->aborted, counts->by_reason, EEP_REASON_SCALE_DOWN,
                EEP_REASON_TIMEOUT);
    eep_json_add_uint(json, "unfinished", counts->unfinished);
}

static void add_requests(EepJson *json, const EepMetrics *metrics)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    guint64 degraded_tokens = 0;

    for (guint i = 0; i < eep_metrics_n_incidents(metrics); i++)
        degraded_tokens += eep_metrics_incident(metrics, i)->degraded_tokens;
    eep_json_add_double(json, "duration", eep_time_to_seconds(report->end), EXACT);
    add_seconds(json, "warmup_s", report->warmup);
    add_seconds(json, "end_of_traffic_s", report->end_of_traffic);
    eep_json_add_double(json, "window_s", report->window_s, EXACT);
    add_fates(json, &report->window);
    eep_json_add_uint(json, "attempts", report->attempts);
    eep_json_add_uint(json, "retried", report->retried);
    eep_json_add_uint(json, "preempted", report->preempted);
    eep_json_add_uint(json, "preemptions", report->preemptions);
    eep_json_add_uint(json, "migrated", report->migrated);
    eep_json_add_uint(json, "lost_requests", report->window.by_reason[EEP_REASON_FAULT]);
    eep_json_add_uint(json, "degraded_tokens", degraded_tokens);
    eep_json_begin_object(json, "outside_window");
    add_fates(json, &report->outside);
    eep_json_end_object(json);
}

static void add_rate(EepJson *json, const char *key, double amount, double seconds)
{
    eep_json_add_double(json, key, seconds > 0.0 ? amount / seconds : (double)NAN, EXACT);
}

static void add_slo(EepJson *json, const EepMetrics *metrics)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    const EepSloOptions *slo = eep_metrics_slo(metrics);
    const EepSloMisses *misses = &report->misses;

    eep_json_begin_object(json, "slo");
    eep_json_add_double(json, "ttft_ms", slo->ttft > 0 ? (double)slo->ttft / 1e6 : (double)NAN,
                        EXACT);
    eep_json_add_double(json, "tpot_ms", slo->tpot > 0 ? (double)slo->tpot / 1e6 : (double)NAN,
                        EXACT);
    eep_json_add_double(json, "target", slo->target > 0.0 ? slo->target : (double)NAN, EXACT);
    eep_json_end_object(json);
    eep_json_add_uint(json, "good", report->good);
    eep_json_add_double(json, "slo_attainment", report->slo_attainment, EXACT);
    eep_json_begin_object(json, "slo_missed");
    eep_json_add_uint(json, "ttft", misses->ttft);
    eep_json_add_uint(json, "tpot", misses->tpot);
    eep_json_add_uint(json, "rejected", misses->rejected);
    eep_json_add_uint(json, "aborted", misses->aborted);
    eep_json_add_uint(json, "unfinished", misses->unfinished);
    eep_json_add_uint(json, "ttft_and_tpot", misses->both);
    eep_json_end_object(json);
}

static void add_throughput(EepJson *json, const EepMetricsReport *report)
{
    double window = report->window_s, output = (double)report->output_tokens;

    add_rate(json, "request_throughput", (double)report->window.completed, window);
    add_rate(json, "request_goodput", (double)report->good, window);
    add_rate(json, "input_throughput", (double)report->input_tokens, window);
    add_rate(json, "output_throughput", output, window);
    add_rate(json, "total_token_throughput", (double)report->input_tokens + output, window);
    add_rate(json, "output_throughput_per_gpu", output,
             window > 0.0 ? (double)report->gpu_window_ns / 1e9 : 0.0);
    eep_json_add_uint(json, "total_input_tokens", report->input_tokens);
    eep_json_add_uint(json, "total_output_tokens", report->output_tokens);
    eep_json_add_uint(json, "cached_tokens", report->cached_tokens);
    eep_json_add_uint(json, "prefix_cache_queries", report->queried_tokens);
    add_rate(json, "prefix_cache_hit_rate", (double)report->cached_tokens,
             (double)report->queried_tokens);
    eep_json_add_uint(json, "recomputed_tokens", report->recomputed_tokens);
    eep_json_add_uint(json, "wasted_tokens", report->wasted_tokens);
}

/* `name` and the underscore before it are left out of the keys where it is NULL. */
static void add_latency(EepJson *json, const char *name, const EepLatency *latency)
{
    const struct {
        const char *prefix;
        double ns;
    } values[] = {{"mean", latency->mean}, {"median", latency->p50}, {"std", latency->std},
                  {"p90", latency->p90},   {"p99", latency->p99},    {"max", latency->max}};
    const char *line = name != NULL ? "_" : "";
    char key[32];

    name = name != NULL ? name : "";
    g_snprintf(key, sizeof key, "n%s%s", line, name);
    eep_json_add_uint(json, key, latency->n);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_snprintf(key, sizeof key, "%s%s%s_ms", values[i].prefix, line, name);
        eep_json_add_double(json, key, values[i].ns / 1e6, EXACT);
    }
}

static void add_step_times(EepJson *json, const EepMetrics *metrics)
{
    const EepStepTimes *times = eep_metrics_step_times(metrics);

    eep_json_begin_object(json, "step_time");
    for (guint kind = 0; kind < EEP_STEP_KIND_COUNT; kind++) {
        eep_json_begin_object(json, eep_step_kind_names[kind]);
        add_latency(json, NULL, &eep_metrics_report(metrics)->step_time[kind]);
        eep_json_begin_array(json, "by_tokens");
        for (guint i = 0; i < EEP_STEP_CLASSES; i++) {
            const EepStepClass *steps = &times->classes[kind][i];

            if (steps->n == 0)
                continue;
            eep_json_begin_object(json, NULL);
            eep_json_add_uint(json, "tokens", eep_step_class_tokens(i));
            eep_json_add_uint(json, "n", steps->n);
            eep_json_add_double(json, "mean_ms", (double)steps->sum / (double)steps->n / 1e6,
                                EXACT);
            eep_json_end_object(json);
        }
        eep_json_end_array(json);
        eep_json_end_object(json);
    }
    eep_json_end_object(json);
}

static void add_gpus(EepJson *json, const EepMetricsReport *report)
{
    double hours = eep_gpu_hours_from_ns(report->gpu_total_ns);

    eep_json_add_double(json, "gpu_hours", hours, EXACT);
    eep_json_begin_object(json, "gpu_hours_by_use");
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++)
        eep_json_add_double(json, eep_gpu_use_names[use],
                            eep_gpu_hours_from_ns(report->gpu_ns[use]), EXACT);
    eep_json_end_object(json);
    eep_json_add_double(json, "gpu_hours_tail", eep_gpu_hours_from_ns(report->gpu_tail_ns), EXACT);
    eep_json_add_double(json, "gpu_hours_per_1000_good",
                        report->good > 0 ? hours * 1000.0 / (double)report->good : (double)NAN,
                        EXACT);
}

static void add_balance(EepJson *json, const EepMetricsReport *report)
{
    eep_json_add_double(json, "balancedness", report->balancedness, EXACT);
    eep_json_add_double(json, "balancedness_worst_minute", report->worst_minute, EXACT);
    eep_json_add_uint(json, "reshuffles", report->reshuffles);
    eep_json_add_uint(json, "experts_moved", report->experts_moved);
    eep_json_add_int(json, "bytes_moved", report->reshuffle_bytes + report->resize_bytes);
    eep_json_begin_object(json, "bytes_moved_by");
    eep_json_add_int(json, "reshuffles", report->reshuffle_bytes);
    eep_json_add_int(json, "resizes", report->resize_bytes);
    eep_json_end_object(json);
    eep_json_begin_object(json, "eplb");
    eep_json_add_uint(json, "looks", report->eplb_looks);
    eep_json_add_uint(json, "rearrangements", report->eplb_rearrangements);
    eep_json_add_int(json, "bytes_moved", report->reshuffle_bytes);
    add_seconds(json, "stalled_s", report->eplb_stalled);
    eep_json_end_object(json);
    eep_json_add_uint(json, "steps", report->steps);
    eep_json_add_uint(json, "dummy_steps", report->dummy_steps);
}

static void add_ranks(EepJson *json, const EepResizeRanks *ranks)
{
    eep_json_add_string(json, "role", ranks->role_name);
    eep_json_add_uint(json, "first", ranks->first);
    eep_json_add_uint(json, "count", ranks->n);
}

/* Who did the phase, each up to its own end. */
static void add_parts(EepJson *json, const EepResizeRecord *resize, guint phase)
{
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(EepResizePart));

    eep_resize_record_add_parts(resize, phase, parts);
    eep_json_begin_array(json, "ranks");
    for (guint i = 0; i < parts->len; i++) {
        const EepResizePart *part = &g_array_index(parts, EepResizePart, i);
        eep_json_begin_object(json, NULL);
        add_ranks(json, &part->ranks);
        add_seconds(json, "end_s", part->end);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

static void add_phases(EepJson *json, const EepResizeRecord *resize)
{
    eep_json_begin_array(json, "phases");
    for (guint i = 0; i < resize->n_phases; i++) {
        const EepResizePhase *phase = &resize->phases[i];
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "name", phase->name);
        add_seconds(json, "start_s", phase->start);
        add_seconds(json, "end_s", phase->end);
        eep_json_add_string(json, "who", phase->who);
        eep_json_add_bool(json, "blocks", phase->blocks);
        add_parts(json, resize, i);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
    eep_json_begin_array(json, "ranks");
    for (guint i = 0; i < resize->n_ranks; i++) {
        eep_json_begin_object(json, NULL);
        add_ranks(json, &resize->ranks[i]);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

static void add_twin_figures(EepJson *json, const EepMetrics *metrics, const EepRunFacts *facts,
                             guint resize)
{
    EepTwinFigures twin;

    if (eep_run_twin_figures(facts, metrics, resize, &twin)) {
        eep_json_add_int(json, "dip_tokens", twin.dip_tokens);
        add_seconds(json, "recover_s", twin.recover);
    } else {
        eep_json_add_null(json, "dip_tokens");
        eep_json_add_null(json, "recover_s");
    }
}

static void add_resize(EepJson *json, const EepMetrics *metrics, const EepRunFacts *facts, guint i)
{
    const EepResizeRecord *resize = eep_metrics_resize(metrics, i);
    gboolean has_begun = resize->accepted != EEP_TIME_NEVER;

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "id", resize->id);
    add_seconds(json, "at_s", resize->requested);
    add_seconds(json, "accepted_s", resize->accepted);
    eep_json_add_string(json, "by", resize->by);
    eep_json_add_uint(json, "from", resize->from);
    eep_json_add_uint(json, "to", resize->to);
    add_pool(json, facts, resize->pool);
    eep_json_add_string(json, "generation", resize->generation);
    eep_json_add_bool(json, "design_study", eep_run_is_design_study(resize->generation));
    eep_json_add_string(json, "outcome", eep_outcome_names[resize->outcome]);
    eep_json_add_string(json, "reason", eep_resize_record_reason(resize));
    add_seconds(json, "prepare_s", eep_resize_record_prepare(resize));
    add_seconds(json, "commit_s", eep_resize_record_commit(resize));
    add_seconds(json, "settle_s", eep_resize_record_settle(resize));
    add_seconds(json, "total_s", eep_resize_record_total(resize));
    add_seconds(json, "stall_s", has_begun ? resize->stall : EEP_TIME_NEVER);
    add_seconds(json, "reject_s", has_begun ? resize->reject : EEP_TIME_NEVER);
    add_seconds(json, "downtime_s", has_begun ? resize->downtime : EEP_TIME_NEVER);
    add_seconds(json, "experts_ready_s", eep_resize_record_experts_ready(resize));
    add_seconds(json, "client_downtime_s", eep_resize_record_client_downtime(resize));
    add_phases(json, resize);
    eep_json_add_uint(json, "rejected", resize->n_rejected);
    eep_json_add_uint(json, "aborted", resize->n_aborted);
    eep_json_add_uint(json, "migrated", resize->n_migrated);
    eep_json_begin_object(json, "bytes");
    eep_json_add_int(json, "non_expert", resize->non_expert_bytes);
    eep_json_add_int(json, "expert", resize->expert_bytes);
    eep_json_add_int(json, "kv", resize->kv_bytes);
    eep_json_end_object(json);
    eep_json_add_int(json, "peak_extra_bytes", resize->peak_extra_bytes);
    EepTime gap = has_begun ? eep_metrics_resize_max_gap(metrics, i) : 0;
    eep_json_add_double(json, "max_itl_ms", gap > 0 ? (double)gap / 1e6 : (double)NAN, EXACT);
    add_twin_figures(json, metrics, facts, i);
    eep_json_end_object(json);
}

/* Null for a word that is empty. */
static void add_word(EepJson *json, const char *key, const char *word)
{
    eep_json_add_string(json, key, word != NULL && *word != '\0' ? word : NULL);
}

static void add_incident(EepJson *json, const EepIncident *incident, const EepRunFacts *facts)
{
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "id", incident->id);
    eep_json_add_string(json, "fault", incident->fault);
    add_pool(json, facts, incident->pool);
    add_seconds(json, "at_s", incident->at);
    add_word(json, "detected_by", incident->detected_by);
    add_seconds(json, "detection_s", incident->detection);
    add_word(json, "recovery_by", incident->recovery_by);
    add_seconds(json, "recovery_s", incident->recovery);
    add_seconds(json, "degraded_s", incident->degraded);
    eep_json_add_uint(json, "engines", incident->n_engines);
    eep_json_add_uint(json, "lost", incident->n_lost);
    eep_json_add_uint(json, "lost_rejected", incident->n_lost_rejected);
    eep_json_add_uint(json, "client_retried", incident->n_client_retried);
    eep_json_add_uint(json, "retried", incident->n_retried);
    eep_json_add_uint(json, "migrated", incident->n_migrated);
    eep_json_add_uint(json, "lost_kv_tokens", incident->n_lost_kv_tokens);
    eep_json_add_uint(json, "degraded_tokens", incident->degraded_tokens);
    eep_json_add_double(json, "experts_missing_s", incident->experts_missing_s, EXACT);
    eep_json_add_string(json, "outcome", incident->outcome);
    add_word(json, "note", incident->note);
    eep_json_end_object(json);
}

static void add_lists(EepJson *json, const EepRunFacts *facts, const GPtrArray *expectations)
{
    eep_json_begin_array(json, "basis");
    for (guint i = 0; i < facts->n_basis; i++) {
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "what", facts->basis[i].what);
        eep_json_add_string(json, "basis", facts->basis[i].basis);
        eep_json_add_string(json, "source", facts->basis[i].source);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
    eep_json_begin_array(json, "notes");
    for (guint i = 0; facts->notes != NULL && facts->notes[i] != NULL; i++)
        eep_json_add_string(json, NULL, facts->notes[i]);
    eep_json_end_array(json);
    eep_json_begin_array(json, "expect");
    for (guint i = 0; expectations != NULL && i < expectations->len; i++) {
        const EepExpectation *expectation = g_ptr_array_index(expectations, i);
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "expression", expectation->expression);
        eep_json_add_string(json, "value", expectation->value);
        eep_json_add_bool(json, "met", expectation->is_met);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

void eep_summary_write(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts,
                       const GPtrArray *expectations)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    add_identity(&json, facts);
    add_requests(&json, metrics);
    add_slo(&json, metrics);
    add_throughput(&json, report);
    add_latency(&json, "ttft", &report->ttft);
    add_latency(&json, "tpot", &report->tpot);
    add_latency(&json, "itl", &report->itl);
    add_latency(&json, "e2el", &report->e2el);
    add_gpus(&json, report);
    add_balance(&json, report);
    add_step_times(&json, metrics);
    eep_json_begin_array(&json, "resizes");
    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++)
        add_resize(&json, metrics, facts, i);
    eep_json_end_array(&json);
    eep_json_begin_array(&json, "incidents");
    for (guint i = 0; i < eep_metrics_n_incidents(metrics); i++)
        add_incident(&json, eep_metrics_incident(metrics, i), facts);
    eep_json_end_array(&json);
    add_lists(&json, facts, expectations);
    eep_json_end_object(&json);
}

EepSummary *eep_summary_new(const EepMetrics *metrics, const EepRunFacts *facts, GError **error)
{
    g_auto(EepText) text = {0};
    g_autoptr(EepSummary) summary = g_new0(EepSummary, 1);

    eep_text_init(&text);
    eep_summary_write(&text, metrics, facts, NULL);
    summary->expectations =
        eep_expect_judge(facts->expect, eep_text_string(&text), &summary->is_expected, error);
    if (summary->expectations == NULL)
        return NULL;
    eep_text_reset(&text);
    eep_summary_write(&text, metrics, facts, summary->expectations);
    summary->json = eep_text_steal(&text);
    return g_steal_pointer(&summary);
}

void eep_summary_free(EepSummary *summary)
{
    if (summary == NULL)
        return;
    g_free(summary->json);
    if (summary->expectations != NULL)
        g_ptr_array_free(summary->expectations, TRUE);
    g_free(summary);
}
