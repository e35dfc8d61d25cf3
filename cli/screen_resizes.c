/* The summary screen's resizes, faults and time line. */
#include "cli/summary_screen.h"

#include "cli/human.h"
#include "core/resize/generation.h"

#include <math.h>
#include <string.h>

#define MAX_RESIZES   8
#define MAX_ANATOMIES 3
#define MAX_INCIDENTS 4
#define COLUMNS       60

/* Who asked; of a recovery, which nobody asked for, its name. */
static const char *asked_by(const EepResizeRecord *resize)
{
    const EepGeneration *generation = eep_generation_find(resize->generation);
    gboolean is_recovery =
        generation == NULL || (generation->replaces_all && g_strcmp0(resize->by, "recovery") == 0);

    return is_recovery ? resize->generation : resize->by;
}

/* Of at most 7 characters: what is short is in ms. */
static char *short_length(EepTime length)
{
    if (length <= 0 || length >= 100 * EEP_NS_PER_MS)
        return eep_screen_length(length);
    g_autofree char *figure = eep_screen_figure((double)length / (double)EEP_NS_PER_MS);
    return g_strdup_printf("%s ms", figure);
}

static void add_resize_line(EepScreenText *screen, const EepMetrics *metrics, guint i)
{
    const EepResizeRecord *resize = eep_metrics_resize(metrics, i);
    gboolean has_begun = resize->accepted != EEP_TIME_NEVER;
    const EepTime times[] = {eep_resize_record_prepare(resize),
                             has_begun ? resize->stall : EEP_TIME_NEVER,
                             has_begun ? resize->reject : EEP_TIME_NEVER,
                             eep_resize_record_settle(resize), eep_resize_record_total(resize)};
    g_autofree char *size = g_strdup_printf("%u->%u", resize->from, resize->to);
    g_autofree char *asked = eep_screen_clock(resize->requested);
    g_autofree char *rejected = eep_screen_whole(resize->n_rejected);
    g_autofree char *aborted = eep_screen_whole(resize->n_aborted);
    EepTime longest = has_begun ? eep_metrics_resize_max_gap(metrics, i) : 0;
    g_autofree char *gap = short_length(longest > 0 ? longest : EEP_TIME_NEVER);

    eep_screen_print(screen, "%2u %-8s %6s %-9.9s", i + 1, size, asked, asked_by(resize));
    for (guint t = 0; t < G_N_ELEMENTS(times); t++) {
        g_autofree char *length = short_length(times[t]);
        eep_screen_print(screen, t == 0 ? "%7s" : " %7s", length);
    }
    eep_screen_print(screen, " %5s %5s %8s %s", rejected, aborted, gap,
                     eep_outcome_names[resize->outcome]);
    eep_screen_end_line(screen);
}

/* Where a phase stands in the anatomy: before forwards stand still, while they do, or beside and
 * after that. */
enum { BEFORE, STOPPED, AFTER, N_PARTS };

static guint part_of(const EepResizePhase *phase, EepTime stop)
{
    return phase->blocks ? STOPPED : phase->start < stop ? BEFORE : AFTER;
}

/* When forwards first stood still. */
static EepTime first_stop(const EepResizeRecord *resize)
{
    EepTime stop = EEP_TIME_NEVER;

    for (guint i = 0; i < resize->n_phases; i++)
        if (resize->phases[i].blocks && resize->phases[i].start != EEP_TIME_NEVER &&
            (stop == EEP_TIME_NEVER || resize->phases[i].start < stop))
            stop = resize->phases[i].start;
    return stop == EEP_TIME_NEVER ? G_MAXINT64 : stop;
}

/* " 2 = launch 18.0, standby 7.1 | stopped: pause 0.6, switch 0.4 | after: experts 11.2": seconds.
 * Phases that take less than 50 ms are left out. */
static gboolean add_anatomy(EepScreenText *screen, const EepResizeRecord *resize, guint number)
{
    static const char *const words[N_PARTS] = {"", "stopped: ", "after: "};
    gboolean is_first = TRUE;
    EepTime stop = first_stop(resize);

    for (guint part = 0; part < N_PARTS; part++) {
        gboolean is_new = TRUE;
        for (guint i = 0; i < resize->n_phases; i++) {
            const EepResizePhase *phase = &resize->phases[i];
            if (phase->start == EEP_TIME_NEVER || phase->end == EEP_TIME_NEVER ||
                phase->end - phase->start < 50 * EEP_NS_PER_MS || part_of(phase, stop) != part)
                continue;
            g_autofree char *item =
                g_strdup_printf("%s%s %.1f", is_new ? words[part] : "", phase->name,
                                eep_time_to_seconds(phase->end - phase->start));
            if (is_first)
                eep_screen_print(screen, "%2u = ", number);
            else
                eep_screen_print(screen, "%s", is_new ? " | " : ", ");
            if (screen->line.length + strlen(item) + 2 > EEP_SCREEN_COLUMNS) {
                eep_screen_end_line(screen);
                eep_screen_print(screen, "     ");
            }
            eep_screen_print(screen, "%s", item);
            is_first = is_new = FALSE;
        }
    }
    if (!is_first)
        eep_screen_end_line(screen);
    return !is_first;
}

static void add_bytes(EepScreenText *screen, const EepResizeRecord *resize)
{
    g_autofree char *non_expert = eep_screen_bytes((double)resize->non_expert_bytes);
    g_autofree char *expert = eep_screen_bytes((double)resize->expert_bytes);
    g_autofree char *kv = eep_screen_bytes((double)resize->kv_bytes);
    g_autofree char *peak = eep_human_bytes((double)resize->peak_extra_bytes);
    g_autofree char *ready = eep_screen_length(eep_resize_record_experts_ready(resize));

    if (resize->non_expert_bytes + resize->expert_bytes + resize->kv_bytes == 0)
        return;
    eep_screen_print(screen, "     %s non-expert + %s expert", non_expert, expert);
    if (resize->kv_bytes > 0)
        eep_screen_print(screen, " + %s KV", kv);
    eep_screen_print(screen, "    peak +%s a GPU", peak);
    g_autofree char *placed = g_strdup_printf("    all experts in place after %s", ready);
    if (screen->line.length + strlen(placed) > EEP_SCREEN_COLUMNS) {
        eep_screen_end_line(screen);
        eep_screen_print(screen, " ");
    }
    eep_screen_print(screen, "%s", placed);
    eep_screen_end_line(screen);
}

/* Why it did not come to the size that was asked for. */
static void add_reason(EepScreenText *screen, const EepResizeRecord *resize, guint number)
{
    const char *reason = eep_resize_record_reason(resize);

    if (*reason == '\0')
        return;
    eep_screen_print(screen, "%2u %s: %s", number, eep_outcome_names[resize->outcome], reason);
    eep_screen_end_line(screen);
}

/* What the same resize would not have cost. */
static void add_twin(EepScreenText *screen, const EepMetrics *metrics, const EepRunFacts *facts,
                     guint i)
{
    EepTwinFigures twin;

    if (!eep_run_twin_figures(facts, metrics, i, &twin))
        return;
    g_autofree char *dip = eep_screen_count((guint64)twin.dip_tokens);
    g_autofree char *recover = eep_screen_length(twin.recover);
    eep_screen_print(screen, "%2u beside its twin: %s output tokens behind at most, ", i + 1, dip);
    if (twin.recover == EEP_TIME_NEVER)
        eep_screen_print(screen, "backlog never back");
    else
        eep_screen_print(screen, "backlog back after %s", recover);
    eep_screen_end_line(screen);
}

static void add_incident_line(EepScreenText *screen, const EepIncident *incident, guint number)
{
    const EepTime times[] = {incident->detection, incident->recovery, incident->degraded};
    const guint64 counts[] = {incident->n_lost, incident->n_retried, incident->n_migrated};
    g_autofree char *at = eep_screen_clock(incident->at);

    eep_screen_print(screen, "%2u %-8.8s %6s", number,
                     incident->id[0] != '\0' ? incident->id : incident->fault, at);
    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *length = eep_screen_length(times[i]);
        eep_screen_print(screen, " %9s", length);
    }
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autofree char *n = eep_screen_count(counts[i]);
        eep_screen_print(screen, " %7s", n);
    }
    eep_screen_print(screen, "  %s", incident->outcome);
    eep_screen_end_line(screen);
}

/* "   fail, process_exit, shrink | experts missing 2.50 s | ...": what it was, who noticed, what
 * was done, what was lost beside requests. */
static void add_incident_detail(EepScreenText *screen, const EepIncident *incident)
{
    const char *const words[] = {incident->detected_by, incident->recovery_by};
    g_autoptr(GString) what = g_string_new(incident->fault);
    g_autofree char *missing = eep_screen_figure(incident->experts_missing_s);
    g_autofree char *degraded = eep_screen_count(incident->degraded_tokens);
    g_autofree char *kv = eep_screen_count(incident->n_lost_kv_tokens);
    g_autofree char *rejected = eep_screen_count(incident->n_lost_rejected);
    g_autofree char *retried = eep_screen_count(incident->n_client_retried);
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        if (words[i] != NULL && *words[i] != '\0')
            g_string_append_printf(what, ", %s", words[i]);
    g_ptr_array_add(items, g_strdup(what->str));
    if (incident->experts_missing_s > 0.0)
        g_ptr_array_add(items, g_strdup_printf("experts missing %s s", missing));
    if (incident->degraded_tokens > 0)
        g_ptr_array_add(items, g_strdup_printf("%s tokens degraded", degraded));
    if (incident->n_lost_rejected > 0)
        g_ptr_array_add(items, g_strdup_printf("%s lost before admission", rejected));
    if (incident->n_client_retried > 0)
        g_ptr_array_add(items, g_strdup_printf("%s completed by clients' retries", retried));
    if (incident->n_lost_kv_tokens > 0)
        g_ptr_array_add(items, g_strdup_printf("KV of %s tokens lost", kv));
    if (incident->note != NULL && *incident->note != '\0')
        g_ptr_array_add(items, g_strdup(incident->note));
    for (guint i = 0; i < items->len; i++) {
        const char *item = items->pdata[i];
        if (i > 0 && screen->line.length + strlen(item) + 3 > EEP_SCREEN_COLUMNS)
            eep_screen_end_line(screen);
        eep_screen_print(screen, "%s%s", screen->line.length == 0 ? "   " : " | ", item);
    }
    eep_screen_end_line(screen);
}

static void add_incidents(EepScreenText *screen, const EepMetrics *metrics)
{
    guint n = eep_metrics_n_incidents(metrics);

    if (n == 0)
        return;
    eep_screen_end_line(screen);
    eep_screen_print(screen, "Faults          at  detected recovered  degraded    lost retried   "
                             "moved  outcome");
    eep_screen_end_line(screen);
    for (guint i = 0; i < MIN(n, MAX_INCIDENTS); i++) {
        add_incident_line(screen, eep_metrics_incident(metrics, i), i + 1);
        add_incident_detail(screen, eep_metrics_incident(metrics, i));
    }
    if (n > MAX_INCIDENTS) {
        eep_screen_print(screen, "   %u more in summary.json", n - MAX_INCIDENTS);
        eep_screen_end_line(screen);
    }
}

/* Index of the resize that blocked longest. */
static guint worst_resize(const EepMetrics *metrics)
{
    guint worst = 0;

    for (guint i = 1; i < eep_metrics_n_resizes(metrics); i++)
        if (eep_metrics_resize(metrics, i)->downtime > eep_metrics_resize(metrics, worst)->downtime)
            worst = i;
    return worst;
}

void eep_summary_screen_add_resizes(EepScreenText *screen, const EepMetrics *metrics,
                                    const EepRunFacts *facts)
{
    guint n = eep_metrics_n_resizes(metrics);

    if (n > 0) {
        guint worst = n > MAX_ANATOMIES ? worst_resize(metrics) : 0;
        eep_screen_end_line(screen);
        eep_screen_print(screen, "Resizes      asked by       prepare   stall  reject  settle   "
                                 "total  503s abort  max ITL outcome");
        eep_screen_end_line(screen);
        for (guint i = 0; i < MIN(n, MAX_RESIZES); i++)
            add_resize_line(screen, metrics, i);
        if (n > MAX_RESIZES) {
            eep_screen_print(screen, "   %u more in summary.json", n - MAX_RESIZES);
            eep_screen_end_line(screen);
        }
        for (guint i = 0; i < MIN(n, MAX_RESIZES); i++)
            add_reason(screen, eep_metrics_resize(metrics, i), i + 1);
        for (guint i = 0; i < n; i++) {
            const EepResizeRecord *resize = eep_metrics_resize(metrics, i);
            if (i != worst && n > MAX_ANATOMIES)
                continue;
            if (add_anatomy(screen, resize, i + 1))
                add_bytes(screen, resize);
            add_twin(screen, metrics, facts, i);
        }
    }
    add_incidents(screen, metrics);
}

/* A blank for nothing, then three steps of [low, high]. */
static char glyph(double value, double low, double high)
{
    if (!isfinite(value) || (value == 0.0 && low == 0.0))
        return ' ';
    if (high <= low)
        return '.';
    double share = (value - low) / (high - low);
    return share < 1.0 / 3.0 ? '.' : share < 2.0 / 3.0 ? ':' : '#';
}

static void add_axis(EepScreenText *screen, EepTime end)
{
    gboolean in_minutes = end >= 3 * 60 * EEP_NS_PER_S;
    double length = eep_time_to_seconds(end) / (in_minutes ? 60.0 : 1.0);
    char middle[32], last[32];

    g_ascii_formatd(middle, sizeof middle, "%.3g", length / 2.0);
    g_ascii_formatd(last, sizeof last, "%.3g", length);

    eep_screen_end_line(screen);
    eep_screen_print(screen, "%-10s0%*s%*s %s", "", COLUMNS / 2, middle, COLUMNS / 2 - 1, last,
                     in_minutes ? "min" : "s");
    eep_screen_end_line(screen);
}

/* One mark a column: a fault in it, or one that is not over yet. */
static void add_fault_marks(EepScreenText *screen, const EepMetrics *metrics, EepTime column)
{
    char marks[COLUMNS + 1];

    if (eep_metrics_n_incidents(metrics) == 0)
        return;
    memset(marks, ' ', COLUMNS);
    marks[COLUMNS] = '\0';
    for (guint i = 0; i < eep_metrics_n_incidents(metrics); i++) {
        const EepIncident *incident = eep_metrics_incident(metrics, i);
        guint first = (guint)MIN(incident->at / MAX(column, 1), COLUMNS - 1), end = COLUMNS;
        EepTime length =
            incident->recovery != EEP_TIME_NEVER ? incident->recovery : incident->degraded;
        if (length != EEP_TIME_NEVER)
            end = (guint)MIN((incident->at + length) / MAX(column, 1) + 1, COLUMNS);
        for (guint k = first + 1; k < end; k++)
            if (marks[k] == ' ')
                marks[k] = '-';
        marks[first] = 'X';
    }
    eep_screen_print(screen, "faults    %s  X fault, - until it is over", marks);
    eep_screen_end_line(screen);
}

static void add_sizes(EepScreenText *screen, const EepMetrics *metrics, const EepRunFacts *facts,
                      EepTime column)
{
    char number[16], glyphs[COLUMNS + 1];

    for (EepPoolId pool = 0; pool < eep_metrics_n_pools(metrics); pool++) {
        const EepMetricsRow *rows = eep_metrics_rows(metrics, pool);
        guint sizes[COLUMNS], low = G_MAXUINT, high = 0;
        for (guint i = 0; i < COLUMNS; i++) {
            gsize row = (gsize)(((EepTime)i + 1) * column / eep_metrics_bucket(metrics));
            sizes[i] = rows[MIN(row, eep_metrics_n_rows(metrics) - 1)].n_engines;
            low = MIN(low, sizes[i]);
            high = MAX(high, sizes[i]);
        }
        for (guint i = 0; i < COLUMNS; i++)
            glyphs[i] = glyph(sizes[i], low, high);
        glyphs[COLUMNS] = '\0';
        const char *name = eep_run_pool_name(facts->pools, facts->n_pools, pool, number);
        eep_screen_print(screen, "DP %-3.3s%3u %s  %u",
                         eep_metrics_n_pools(metrics) > 1 ? name : "", low, glyphs, high);
        eep_screen_end_line(screen);
    }
}

void eep_summary_screen_add_timeline(EepScreenText *screen, const EepMetrics *metrics,
                                     const EepRunFacts *facts)
{
    guint64 arrivals[COLUMNS];
    double p99[COLUMNS], max[COLUMNS], highest = 0.0;
    char glyphs[COLUMNS + 1] = "";
    guint64 most = 0;
    guint n_p99 = 0, peak = 0;
    EepTime column = eep_metrics_columns(metrics, COLUMNS, arrivals, p99, max);

    for (guint i = 0; i < COLUMNS; i++) {
        most = MAX(most, arrivals[i]);
        n_p99 += isfinite(p99[i]);
    }
    add_axis(screen, column * COLUMNS);
    for (guint i = 0; i < COLUMNS; i++)
        glyphs[i] = glyph((double)arrivals[i], 0.0, (double)most);
    g_autofree char *rate = eep_screen_figure((double)most / eep_time_to_seconds(column));
    eep_screen_print(screen, "rate      %s  peak %s req/s", glyphs, rate);
    eep_screen_end_line(screen);
    add_sizes(screen, metrics, facts, column);
    add_fault_marks(screen, metrics, column);
    /* Columns of a small run have no 99th percentile; their largest value then says as much. */
    gboolean has_p99 = n_p99 >= COLUMNS / 4;
    const double *ttft = has_p99 ? p99 : max;
    for (guint i = 0; i < COLUMNS; i++)
        if (isfinite(ttft[i]) && ttft[i] > highest) {
            highest = ttft[i];
            peak = i;
        }
    for (guint i = 0; i < COLUMNS; i++)
        glyphs[i] = glyph(ttft[i], 0.0, highest);
    g_autofree char *worst = eep_screen_figure(highest > 0.0 ? highest / 1e9 : (double)NAN);
    g_autofree char *at = eep_screen_clock((EepTime)peak * column);
    eep_screen_print(screen, "TTFT %s  %s  %s s at %s", has_p99 ? "p99" : "max", glyphs, worst, at);
    eep_screen_end_line(screen);
}
