#include "cli/run_trace.h"

#include "cli/run_facts.h"
#include "core/json.h"

/* Tracks of a pool; the phases of a resize stand on tracks of their own, since those of existing
 * and new engines overlap without nesting. */
enum { TRACK_STEPS = 1, TRACK_FAULTS, TRACK_RESIZES, TRACK_PHASES };

static const char *const phase_tracks[] = {"coordinator", "existing", "new",
                                           "remaining",   "removing", "all"};

void eep_run_trace_begin(EepText *text)
{
    /* Every event is preceded by a comma, so the first one is written here. */
    eep_text_add_string(text, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
                              "{\"ph\":\"M\",\"pid\":0,\"name\":\"trace\",\"args\":{}}");
}

/* Events are objects of one line; EepJson ends each with a line feed, which is taken back. */
static void open_event(EepJson *json, EepText *text, const char *phase, EepPoolId pool, guint track,
                       const char *name, EepTime at)
{
    eep_text_add_string(text, ",\n");
    eep_json_init(json, text, EEP_JSON_COMPACT);
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "ph", phase);
    eep_json_add_uint(json, "pid", pool + 1);
    eep_json_add_uint(json, "tid", track);
    eep_json_add_string(json, "name", name);
    eep_json_add_decimal(json, "ts", at, 3);
}

static void close_event(EepJson *json)
{
    eep_json_end_object(json);
    json->text->length--;
}

static void open_span(EepJson *json, EepText *text, EepPoolId pool, guint track, const char *name,
                      EepTime begin, EepTime end)
{
    open_event(json, text, "X", pool, track, name, begin);
    eep_json_add_decimal(json, "dur", MAX(end - begin, 0), 3);
    eep_json_begin_object(json, "args");
}

static void close_span(EepJson *json)
{
    eep_json_end_object(json);
    close_event(json);
}

void eep_run_trace_add_step(EepText *text, const EepStepRecord *step)
{
    EepJson json;

    open_span(&json, text, step->pool, TRACK_STEPS, step->is_dummy ? "dummy step" : "step",
              step->begin, step->end);
    eep_json_add_uint(&json, "step", step->step);
    eep_json_add_uint(&json, "decodes", step->n_decodes);
    eep_json_add_uint(&json, "prefill_tokens", step->n_prefill_tokens);
    close_span(&json);
}

static void add_name(EepText *text, const char *what, EepPoolId pool, guint track, const char *name)
{
    EepJson json;

    open_event(&json, text, "M", pool, track, what, 0);
    eep_json_begin_object(&json, "args");
    eep_json_add_string(&json, "name", name);
    eep_json_end_object(&json);
    close_event(&json);
}

static guint phase_track(const char *who)
{
    for (guint i = 0; i < G_N_ELEMENTS(phase_tracks); i++)
        if (g_strcmp0(who, phase_tracks[i]) == 0)
            return TRACK_PHASES + i;
    return TRACK_PHASES;
}

static void add_resize(EepText *text, const EepResizeRecord *resize, EepTime run_end)
{
    EepJson json;
    EepTime begin = resize->accepted, end = resize->complete;

    if (begin == EEP_TIME_NEVER) /* refused: an instant */
        begin = end = resize->requested;
    else if (end == EEP_TIME_NEVER)
        end = run_end;
    g_autofree char *name = g_strdup_printf("resize %u->%u", resize->from, resize->to);
    open_span(&json, text, resize->pool, TRACK_RESIZES, name, begin, end);
    eep_json_add_string(&json, "id", resize->id);
    eep_json_add_string(&json, "by", resize->by);
    eep_json_add_string(&json, "generation", resize->generation);
    eep_json_add_string(&json, "outcome", eep_outcome_names[resize->outcome]);
    close_span(&json);
    for (guint i = 0; i < resize->n_phases; i++) {
        const EepResizePhase *phase = &resize->phases[i];
        if (phase->start == EEP_TIME_NEVER)
            continue;
        open_span(&json, text, resize->pool, phase_track(phase->who), phase->name, phase->start,
                  phase->end != EEP_TIME_NEVER ? phase->end : end);
        eep_json_add_string(&json, "who", phase->who);
        eep_json_add_bool(&json, "blocks", phase->blocks);
        close_span(&json);
    }
}

static void add_counters(EepText *text, const EepMetrics *metrics, EepPoolId pool)
{
    const EepMetricsRow *rows = eep_metrics_rows(metrics, pool);
    EepJson json;

    for (gsize i = 0; i < eep_metrics_n_rows(metrics); i++) {
        EepTime at = (EepTime)i * eep_metrics_bucket(metrics);
        if (i == 0 || rows[i].n_engines != rows[i - 1].n_engines) {
            open_event(&json, text, "C", pool, 0, "engines", at);
            eep_json_begin_object(&json, "args");
            eep_json_add_uint(&json, "engines", rows[i].n_engines);
            eep_json_end_object(&json);
            close_event(&json);
        }
        open_event(&json, text, "C", pool, 0, "requests", at);
        eep_json_begin_object(&json, "args");
        eep_json_add_double(&json, "running", rows[i].running > 0.0 ? rows[i].running : 0.0, 6);
        eep_json_add_double(&json, "waiting", rows[i].waiting > 0.0 ? rows[i].waiting : 0.0, 6);
        eep_json_end_object(&json);
        close_event(&json);
    }
}

void eep_run_trace_end(EepText *text, const EepMetrics *metrics, const char *const *pools,
                       guint n_pools)
{
    EepTime run_end = eep_metrics_report(metrics)->end;
    char number[16];
    EepJson json;

    for (EepPoolId pool = 0; pool < eep_metrics_n_pools(metrics); pool++) {
        add_name(text, "process_name", pool, 0, eep_run_pool_name(pools, n_pools, pool, number));
        add_name(text, "thread_name", pool, TRACK_STEPS, "steps");
        add_name(text, "thread_name", pool, TRACK_FAULTS, "faults");
        add_name(text, "thread_name", pool, TRACK_RESIZES, "resizes");
        for (guint i = 0; i < G_N_ELEMENTS(phase_tracks); i++)
            add_name(text, "thread_name", pool, TRACK_PHASES + i, phase_tracks[i]);
        add_counters(text, metrics, pool);
    }
    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++)
        add_resize(text, eep_metrics_resize(metrics, i), run_end);
    for (guint i = 0; i < eep_metrics_n_incidents(metrics); i++) {
        const EepIncident *incident = eep_metrics_incident(metrics, i);
        EepTime length = incident->recovery;
        if (length == EEP_TIME_NEVER)
            length = MAX(run_end - incident->at, 0);
        open_span(&json, text, incident->pool, TRACK_FAULTS, incident->fault, incident->at,
                  incident->at + length);
        eep_json_add_string(&json, "id", incident->id);
        eep_json_add_string(&json, "outcome", incident->outcome);
        close_span(&json);
    }
    eep_text_add_string(text, "\n]}\n");
}
