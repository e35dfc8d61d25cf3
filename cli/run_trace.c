#include "cli/run_trace.h"

#include "core/json.h"

/* Tracks of a pool, in the order in which they are shown; the phases of a resize stand on those of
 * the ranks that do them, or where that is not known, or too many, of the role. Spans of one track
 * must nest, so each track has lanes for those that overlap. */
enum { TRACK_STEPS = 1, TRACK_FIRST };

static const char *const tracks[] = {"faults", "resizes",   "coordinator", "existing",
                                     "new",    "remaining", "removing",    "all"};
enum { TRACK_FAULTS, TRACK_RESIZES, TRACK_PHASES, TRACK_COUNT = G_N_ELEMENTS(tracks) };

#define MAX_LANES EEP_RESIZE_MAX_PHASES
/* Of a resize that has more, nobody could look at them one by one. */
#define MAX_RANKS  256
#define MAX_TRACKS (TRACK_COUNT + MAX_RANKS)

/* One pool's lanes: when the last span of each ends; a lane is named when it is first used. */
typedef struct {
    EepTime ends[MAX_TRACKS][MAX_LANES];
    guint n_lanes[MAX_TRACKS];
} Lanes;

static guint lane_id(guint track, guint lane)
{
    return TRACK_FIRST + track * MAX_LANES + lane;
}

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
    for (guint i = TRACK_PHASES; i < TRACK_COUNT; i++)
        if (g_strcmp0(who, tracks[i]) == 0)
            return i;
    return TRACK_PHASES;
}

/* New string. */
static char *lane_name(guint track, guint lane)
{
    g_autofree char *name = track < TRACK_COUNT ? g_strdup(tracks[track])
                                                : g_strdup_printf("rank %u", track - TRACK_COUNT);

    return lane == 0 ? g_steal_pointer(&name) : g_strdup_printf("%s (%u)", name, lane + 1);
}

/* The first lane of the track that is free at `begin`, taken until `end`; where all are taken, the
 * last. Spans must come in the order of their begins. */
static guint take_lane(EepText *text, Lanes *lanes, EepPoolId pool, guint track, EepTime begin,
                       EepTime end)
{
    guint lane = 0;

    while (lane < lanes->n_lanes[track] && lane < MAX_LANES - 1 && lanes->ends[track][lane] > begin)
        lane++;
    if (lane == lanes->n_lanes[track]) {
        g_autofree char *name = lane_name(track, lane);
        add_name(text, "thread_name", pool, lane_id(track, lane), name);
        lanes->n_lanes[track]++;
    }
    lanes->ends[track][lane] = end;
    return lane_id(track, lane);
}

/* Something to draw, so that all can be put in order. */
typedef struct {
    EepTime begin, end;
    const EepResizeRecord *resize;
    const EepResizePhase *phase; /* NULL: the resize itself */
    const EepIncident *incident; /* NULL: a resize or its phase */
    guint track;
    const char *who; /* of a phase: the role */
} Span;

static gint compare_spans(gconstpointer a, gconstpointer b)
{
    const Span *x = a, *y = b;

    return x->begin != y->begin   ? (x->begin < y->begin ? -1 : 1)
           : x->end != y->end     ? (x->end > y->end ? -1 : 1)
           : x->track != y->track ? (x->track < y->track ? -1 : 1)
                                  : 0;
}

/* Ended without being complete: its account stops there. */
static gboolean has_ended(const EepResizeRecord *resize)
{
    return resize->outcome == EEP_OUTCOME_ROLLED_BACK || resize->outcome == EEP_OUTCOME_FAILED;
}

static gboolean has_many_ranks(const EepResizeRecord *resize)
{
    for (guint i = 0; i < resize->n_ranks; i++)
        if (resize->ranks[i].first + resize->ranks[i].n > MAX_RANKS)
            return TRUE;
    return FALSE;
}

/* A span for each rank; `phase` has what they share. */
static void collect_phase(GArray *spans, const Span *phase, guint index)
{
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(EepResizePart));
    Span span = *phase;

    if (!has_many_ranks(phase->resize))
        eep_resize_record_add_parts(phase->resize, index, parts);
    if (parts->len == 0)
        g_array_append_val(spans, span);
    for (guint i = 0; i < parts->len; i++) {
        const EepResizePart *part = &g_array_index(parts, EepResizePart, i);
        span.who = part->ranks.role_name;
        span.end = part->end != EEP_TIME_NEVER ? MAX(part->end, span.begin) : phase->end;
        for (guint k = 0; k < part->ranks.n; k++) {
            span.track = TRACK_COUNT + part->ranks.first + k;
            g_array_append_val(spans, span);
        }
    }
}

static void collect_resize(GArray *spans, const EepResizeRecord *resize, EepTime run_end)
{
    Span span = {.begin = resize->accepted,
                 .end = resize->complete,
                 .resize = resize,
                 .track = TRACK_RESIZES};

    if (span.begin == EEP_TIME_NEVER) /* refused: an instant */
        span.begin = span.end = resize->requested;
    else if (span.end == EEP_TIME_NEVER)
        span.end = has_ended(resize) ? resize->counted_until : run_end;
    EepTime end = span.end;
    g_array_append_val(spans, span);
    for (guint i = 0; i < resize->n_phases; i++) {
        const EepResizePhase *phase = &resize->phases[i];
        if (phase->start == EEP_TIME_NEVER)
            continue;
        span.begin = phase->start;
        span.end = MAX(phase->end != EEP_TIME_NEVER ? phase->end : end, phase->start);
        span.phase = phase;
        span.who = phase->who;
        span.track = phase_track(phase->who);
        collect_phase(spans, &span, i);
    }
}

static void collect_incident(GArray *spans, const EepIncident *incident, EepTime run_end)
{
    Span span = {
        .begin = incident->at, .end = run_end, .incident = incident, .track = TRACK_FAULTS};

    if (incident->recovery != EEP_TIME_NEVER)
        span.end = incident->at + incident->recovery;
    else if (incident->degraded != EEP_TIME_NEVER) /* slow, or gone for good */
        span.end = incident->at + incident->degraded;
    span.end = MAX(span.end, span.begin);
    g_array_append_val(spans, span);
}

static void add_incident(EepText *text, const EepIncident *incident, guint track, EepTime end)
{
    EepJson json;
    EepTime found = incident->detection;

    open_span(&json, text, incident->pool, track, incident->fault, incident->at, end);
    eep_json_add_string(&json, "id", incident->id);
    eep_json_add_string(&json, "detected_by", incident->detected_by);
    eep_json_add_string(&json, "recovery_by", incident->recovery_by);
    eep_json_add_string(&json, "outcome", incident->outcome);
    close_span(&json);
    found = found == EEP_TIME_NEVER ? end : MIN(incident->at + found, end);
    open_span(&json, text, incident->pool, track, "undetected", incident->at, found);
    close_span(&json);
}

static void add_span(EepText *text, Lanes *lanes, const Span *span)
{
    EepPoolId pool = span->incident != NULL ? span->incident->pool : span->resize->pool;
    guint id = take_lane(text, lanes, pool, span->track, span->begin, span->end);
    EepJson json;

    if (span->incident != NULL) {
        add_incident(text, span->incident, id, span->end);
        return;
    }
    g_autofree char *name = g_strdup_printf("resize %u->%u", span->resize->from, span->resize->to);
    open_span(&json, text, pool, id, span->phase != NULL ? span->phase->name : name, span->begin,
              span->end);
    if (span->phase != NULL) {
        eep_json_add_string(&json, "who", span->who);
        eep_json_add_bool(&json, "blocks", span->phase->blocks);
    } else {
        eep_json_add_string(&json, "id", span->resize->id);
        eep_json_add_string(&json, "by", span->resize->by);
        eep_json_add_string(&json, "generation", span->resize->generation);
        eep_json_add_bool(&json, "design_study", eep_run_is_design_study(span->resize->generation));
        eep_json_add_string(&json, "outcome", eep_outcome_names[span->resize->outcome]);
    }
    close_span(&json);
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

/* What the summary says in its head: a viewer shows it beside the file. */
static void add_facts(EepText *text, const EepRunFacts *facts)
{
    EepJson json;

    eep_text_add_string(text, "\n],\"otherData\":");
    eep_json_init(&json, text, EEP_JSON_COMPACT);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "label", facts->label);
    eep_json_add_string(&json, "backend", facts->backend);
    eep_json_add_string(&json, "scenario", facts->name);
    eep_json_add_string(&json, "version", facts->version);
    close_event(&json);
    eep_text_add_string(text, "}\n");
}

void eep_run_trace_end(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts)
{
    EepTime run_end = eep_metrics_report(metrics)->end;
    char number[16];

    for (EepPoolId pool = 0; pool < eep_metrics_n_pools(metrics); pool++) {
        add_name(text, "process_name", pool, 0,
                 eep_run_pool_name(facts->pools, facts->n_pools, pool, number));
        add_name(text, "thread_name", pool, TRACK_STEPS, "steps");
        add_counters(text, metrics, pool);
    }
    g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(Span));
    g_autofree Lanes *lanes = g_new0(Lanes, eep_metrics_n_pools(metrics));
    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++)
        collect_resize(spans, eep_metrics_resize(metrics, i), run_end);
    for (guint i = 0; i < eep_metrics_n_incidents(metrics); i++)
        collect_incident(spans, eep_metrics_incident(metrics, i), run_end);
    g_array_sort(spans, compare_spans);
    for (guint i = 0; i < spans->len; i++) {
        const Span *span = &g_array_index(spans, Span, i);
        EepPoolId pool = span->incident != NULL ? span->incident->pool : span->resize->pool;
        if (pool < eep_metrics_n_pools(metrics))
            add_span(text, &lanes[pool], span);
    }
    add_facts(text, facts);
}
