#include "cli/summary_screen.h"

#include <math.h>
#include <string.h>

#define MAX_NOTES 5

/* "name | model | machines | DP 8, all2all, generation | seed 7": as much as has room, from the
 * first and in whole parts. New string. */
static char *headline(const EepRunFacts *facts, gsize room)
{
    g_auto(GStrv) deployment = g_strsplit(facts->deployment, ", ", -1);
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    GString *line = g_string_new(facts->name);

    g_ptr_array_add(parts, g_strdup_printf(" | %s", facts->model));
    g_ptr_array_add(parts, g_strdup_printf(" | %s", facts->machines));
    for (guint i = 0; deployment[i] != NULL; i++)
        g_ptr_array_add(parts, g_strconcat(i == 0 ? " | " : ", ", deployment[i], NULL));
    g_ptr_array_add(parts, g_strdup_printf(" | seed %" G_GUINT64_FORMAT, facts->seed));
    for (guint i = 0; i < parts->len; i++) {
        const char *part = (const char *)parts->pdata[i];
        if (line->len + strlen(part) > room)
            break;
        g_string_append(line, part);
    }
    return g_string_free(line, FALSE);
}

static void add_head(EepScreenText *screen, const EepMetrics *metrics, const EepRunFacts *facts)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    g_autofree char *label =
        g_strdup_printf("%s%s", facts->label, facts->interrupted ? ", INTERRUPTED" : "");
    int room = EEP_SCREEN_COLUMNS - (int)strlen(label) - 2;
    g_autofree char *what = headline(facts, (gsize)room);
    int gap = MAX(2, MIN(10, room + 2 - (int)strlen(what)));
    g_autofree char *traffic = eep_screen_clock(report->end_of_traffic);
    g_autofree char *warmup = eep_screen_clock(report->warmup);
    g_autofree char *wall = eep_screen_figure(facts->wallclock.wall_s);

    eep_screen_print(screen, "%.*s%*s%s", room, what, gap, "", label);
    eep_screen_end_line(screen);
    eep_screen_print(screen, "%s of traffic in %s s    measured: arrivals %s-%s", traffic, wall,
                     warmup, traffic);
    if (facts->elastic != NULL)
        eep_screen_print(screen, "    elastic range %s", facts->elastic);
    eep_screen_end_line(screen);
    eep_screen_end_line(screen);
}

static void add_requests(EepScreenText *screen, const EepMetricsReport *report)
{
    const EepFateCounts *counts = &report->window;
    g_autofree char *submitted = eep_screen_whole(counts->submitted);
    g_autofree char *completed = eep_screen_whole(counts->completed);
    g_autofree char *rejected = eep_screen_whole(counts->rejected);
    g_autofree char *aborted = eep_screen_whole(counts->aborted);
    g_autofree char *unfinished = eep_screen_whole(counts->unfinished);
    g_autofree char *attempts = eep_screen_whole(report->attempts);
    g_autofree char *preempted = eep_screen_whole(report->preempted);
    g_autofree char *migrated = eep_screen_whole(report->migrated);
    g_autofree char *recomputed = eep_screen_count(report->recomputed_tokens);
    g_autofree char *share =
        eep_screen_figure(report->input_tokens > 0 ? 100.0 * (double)report->recomputed_tokens /
                                                         (double)report->input_tokens
                                                   : (double)NAN);

    eep_screen_print(screen,
                     "Requests  submitted %s = completed %s + rejected %s + aborted %s + "
                     "unfinished %s",
                     submitted, completed, rejected, aborted, unfinished);
    eep_screen_end_line(screen);
    eep_screen_print(screen,
                     "          attempts %s   preempted %s   migrated %s   "
                     "recomputed tokens %s (%s %%)",
                     attempts, preempted, migrated, recomputed, share);
    eep_screen_end_line(screen);
}

/* 97.91 %: two decimals, for 99 and 99.9 are different objectives, and 99.996 is not 100. */
static char *percentage(double share)
{
    double floored = floor(share * 1e4 + 1e-9) / 100.0;

    return isfinite(share) ? g_strdup_printf("%.2f", floored) : g_strdup("-");
}

static void add_slo(EepScreenText *screen, const EepMetrics *metrics)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    const EepSloOptions *slo = eep_metrics_slo(metrics);
    const EepSloMisses *misses = &report->misses;
    gboolean has_window = report->window_s > 0.0;
    double goodput = has_window ? (double)report->good / report->window_s : (double)NAN;
    double throughput =
        has_window ? (double)report->window.completed / report->window_s : (double)NAN;
    g_autofree char *attainment = percentage(report->slo_attainment);
    g_autofree char *good = eep_screen_figure(goodput), *all = eep_screen_figure(throughput);

    eep_screen_print(screen, "SLO       attainment %s %%", attainment);
    if (slo->target > 0.0) {
        char target[32];
        g_ascii_formatd(target, sizeof target, "%.6g", slo->target * 100.0);
        eep_screen_print(screen, "   %s, target %s %%",
                         report->slo_attainment >= slo->target ? "met" : "MISSED", target);
    } else if (slo->ttft <= 0 && slo->tpot <= 0) {
        eep_screen_print(screen, "   no limit given");
    }
    eep_screen_print(screen, "      goodput %s req/s of %s completed", good, all);
    eep_screen_end_line(screen);

    const struct {
        const char *cause;
        guint64 n;
    } causes[] = {{"TTFT", misses->ttft},
                  {"TPOT", misses->tpot},
                  {"rejected", misses->rejected},
                  {"aborted", misses->aborted},
                  {"unfinished", misses->unfinished}};
    const char *before = "          missed by: ";
    for (guint i = 0; i < G_N_ELEMENTS(causes); i++) {
        if (i == G_N_ELEMENTS(causes) - 1 && causes[i].n == 0)
            continue; /* only a run that was cut has any */
        g_autofree char *n = eep_screen_whole(causes[i].n);
        eep_screen_print(screen, "%s%s %s", before, causes[i].cause, n);
        before = " | ";
    }
    eep_screen_end_line(screen);
}

static void add_latency(EepScreenText *screen, const char *name, const char *unit,
                        double ns_per_unit, const EepLatency *latency, EepTime limit)
{
    const double values[] = {latency->mean, latency->p50, latency->p90,
                             latency->p99,  latency->max, (double)limit};
    g_autofree char *n = eep_screen_count(latency->n);

    eep_screen_print(screen, "%-5s %-2s %9s", name, unit, n);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *figure = eep_screen_figure(values[i] / ns_per_unit);
        if (i < 5)
            eep_screen_print(screen, " %9s", figure);
        else if (limit > 0)
            eep_screen_print(screen, " %8s", figure);
    }
    eep_screen_end_line(screen);
}

static void add_latencies(EepScreenText *screen, const EepMetrics *metrics)
{
    const EepMetricsReport *report = eep_metrics_report(metrics);
    const EepSloOptions *slo = eep_metrics_slo(metrics);

    eep_screen_print(screen, "%18s %9s %9s %9s %9s %9s %8s", "n", "mean", "p50", "p90", "p99",
                     "max", "limit");
    eep_screen_end_line(screen);
    add_latency(screen, "TTFT", "ms", 1e6, &report->ttft, slo->ttft);
    add_latency(screen, "TPOT", "ms", 1e6, &report->tpot, slo->tpot);
    add_latency(screen, "ITL", "ms", 1e6, &report->itl, 0);
    add_latency(screen, "E2EL", "s", 1e9, &report->e2el, 0);
}

static char *rate(double amount, double seconds)
{
    return eep_screen_figure(seconds > 0.0 ? amount / seconds : (double)NAN);
}

/* Rates are over the time in which requests came in. A deployment that then has to work off what it
 * could not serve in time did not sustain them; the rates until the last end are what it did. */
static void add_sustained(EepScreenText *screen, const EepMetricsReport *report)
{
    EepTime tail = report->last_end - report->end_of_traffic;

    if (tail <= 30 * EEP_NS_PER_S || tail <= report->end_of_traffic / 10)
        return;
    double length = eep_time_to_seconds(report->last_end - report->warmup);
    g_autofree char *in = rate((double)report->input_tokens, length);
    g_autofree char *out = rate((double)report->output_tokens, length);
    g_autofree char *late = eep_screen_clock(tail);

    eep_screen_print(screen,
                     "          OVERLOADED: %s in/s   %s out/s until the last end, %s "
                     "after the traffic's",
                     in, out, late);
    eep_screen_end_line(screen);
}

static void add_tokens(EepScreenText *screen, const EepMetricsReport *report)
{
    g_autofree char *in = rate((double)report->input_tokens, report->window_s);
    g_autofree char *out = rate((double)report->output_tokens, report->window_s);
    g_autofree char *per_gpu =
        rate((double)report->output_tokens,
             report->window_s > 0.0 ? (double)report->gpu_window_ns / 1e9 : 0.0);

    eep_screen_print(screen, "Tokens    %s in/s   %s out/s   %s out/s per GPU in use", in, out,
                     per_gpu);
    if (report->cached_tokens > 0) {
        g_autofree char *hits = eep_screen_figure(100.0 * (double)report->cached_tokens /
                                                  (double)report->queried_tokens);
        eep_screen_print(screen, "   prefix cache hits %s %%", hits);
    }
    eep_screen_end_line(screen);
    add_sustained(screen, report);
}

/* On the next line where this one has no room for it. */
static void add_or_wrap(EepScreenText *screen, const char *item)
{
    if (screen->line.length + strlen(item) > EEP_SCREEN_COLUMNS) {
        eep_screen_end_line(screen);
        eep_screen_print(screen, "%10s", "");
        item += strspn(item, " ");
    }
    eep_screen_print(screen, "%s", item);
}

static void add_gpus(EepScreenText *screen, const EepMetricsReport *report)
{
    double hours = eep_gpu_hours_from_ns(report->gpu_total_ns);
    g_autofree char *total = eep_screen_figure(hours);
    g_autofree char *per_good =
        eep_screen_figure(report->good > 0 ? hours * 1000.0 / (double)report->good : (double)NAN);
    const char *before = " = ";

    eep_screen_print(screen, "GPU-hours %s", total);
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++) {
        if (report->gpu_ns[use] == 0)
            continue;
        g_autofree char *part = eep_screen_figure(eep_gpu_hours_from_ns(report->gpu_ns[use]));
        g_autofree char *item = g_strdup_printf("%s%s %s", before, eep_gpu_use_names[use], part);
        add_or_wrap(screen, item);
        before = " + ";
    }
    g_autofree char *item = g_strdup_printf("    %s per 1,000 good", per_good);
    add_or_wrap(screen, item);
    if (report->gpu_tail_ns > 0) {
        g_autofree char *tail = eep_screen_figure(eep_gpu_hours_from_ns(report->gpu_tail_ns));
        g_autofree char *after = g_strdup_printf("    and %s after the end of traffic", tail);
        add_or_wrap(screen, after);
    }
    eep_screen_end_line(screen);
}

static void add_balance(EepScreenText *screen, const EepMetricsReport *report)
{
    g_autofree char *mean = eep_screen_figure(report->balancedness);
    g_autofree char *worst = eep_screen_figure(report->worst_minute);
    g_autofree char *bytes =
        eep_screen_bytes((double)report->reshuffle_bytes + (double)report->resize_bytes);

    eep_screen_print(screen,
                     "Balance   balancedness %s (worst minute %s)   %" G_GUINT64_FORMAT
                     " reshuffle%s, %s moved",
                     mean, worst, report->reshuffles, report->reshuffles == 1 ? "" : "s", bytes);
    if (report->eplb_stalled > 0) {
        g_autofree char *stalled = eep_screen_length(report->eplb_stalled);
        eep_screen_print(screen, ", %s stalled", stalled);
    }
    eep_screen_end_line(screen);
}

/* What a reader must know of first: measured things that are worth a word (times of an emulated
 * device), then assumed figures; each kind is named once. */
static void add_basis(EepScreenText *screen, const EepMetrics *metrics, const EepRunFacts *facts)
{
    static const char *const kinds[] = {"measured", "assumed", "derived"};
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);

    if (facts->extrapolated)
        g_ptr_array_add(items, g_strdup("EXTRAPOLATED beyond the range that was validated"));
    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++) {
        if (!eep_run_is_design_study(eep_metrics_resize(metrics, i)->generation))
            continue;
        g_ptr_array_add(items,
                        g_strdup("generation eep is a DESIGN STUDY: nobody has measured it"));
        break;
    }
    for (guint kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        const char *prefix = kinds[kind], *colon = ": ";
        for (guint i = 0; i < facts->n_basis; i++) {
            if (strcmp(facts->basis[i].basis, kinds[kind]) != 0)
                continue;
            g_ptr_array_add(items, g_strdup_printf("%s%s%s", prefix, colon, facts->basis[i].what));
            prefix = colon = "";
        }
    }
    eep_screen_add_items(screen, "Basis", " | ", (const char *const *)items->pdata, items->len, 3);
}

static void add_notes(EepScreenText *screen, const EepRunFacts *facts)
{
    guint n = facts->notes != NULL ? g_strv_length((char **)facts->notes) : 0;

    for (guint i = 0; i < MIN(n, MAX_NOTES); i++) {
        eep_screen_print(screen, "%-10s%s", i == 0 ? "Note" : "", facts->notes[i]);
        eep_screen_end_line(screen);
    }
    if (n > MAX_NOTES) {
        eep_screen_print(screen, "          %u more in summary.json", n - MAX_NOTES);
        eep_screen_end_line(screen);
    }
}

static void add_expectations(EepScreenText *screen, const EepSummary *summary, int exit_status)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_free);
    guint n = summary->expectations->len;

    for (guint i = 0; i < n; i++) {
        const EepExpectation *expectation = g_ptr_array_index(summary->expectations, i);
        g_ptr_array_add(items, g_strdup_printf("%s %s (%s)", expectation->is_met ? "PASS" : "FAIL",
                                               expectation->expression, expectation->value));
    }
    if (n > 0)
        g_ptr_array_add(items, g_strdup_printf("exit %d", exit_status));
    eep_screen_add_items(screen, "Expect", "      ", (const char *const *)items->pdata, items->len,
                         3);
}

/* The first run of the name, when this is a later one: "runs/a" for "runs/a-2", else NULL. */
static char *first_run(const char *folder)
{
    const char *dash = strrchr(folder, '-');

    if (dash == NULL || dash == folder || !g_ascii_isdigit(dash[1]) ||
        dash[1 + strspn(dash + 1, "0123456789")] != '\0')
        return NULL;
    g_autofree char *first = g_strndup(folder, (gsize)(dash - folder));
    return g_file_test(first, G_FILE_TEST_IS_DIR) ? g_steal_pointer(&first) : NULL;
}

static void add_place(EepScreenText *screen, const EepSummaryScreenPlace *place)
{
    if (place->folder == NULL)
        return;
    const char *shortest = place->has_link ? "runs/latest" : place->folder;
    g_autofree char *first = place->has_link ? first_run(place->folder) : NULL;

    eep_screen_print(screen, "Folder    %s", place->folder);
    if (place->has_link)
        eep_screen_print(screen, "   (runs/latest)");
    eep_screen_print(screen, "     plots: eep plot %s", shortest);
    eep_screen_end_line(screen);
    if (first != NULL)
        eep_screen_print(screen, "Next      eep compare %s runs/latest", first);
    else
        eep_screen_print(screen,
                         "Next      run again with --set KEY=VALUE, then: eep compare %s RUN",
                         place->folder);
    eep_screen_end_line(screen);
}

void eep_summary_screen_add(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts,
                            const EepSummary *summary, const EepSummaryScreenPlace *place)
{
    g_auto(EepScreenText) screen = {0};
    const EepMetricsReport *report = eep_metrics_report(metrics);

    eep_screen_init(&screen);
    add_head(&screen, metrics, facts);
    add_requests(&screen, report);
    add_slo(&screen, metrics);
    add_latencies(&screen, metrics);
    add_tokens(&screen, report);
    add_gpus(&screen, report);
    add_balance(&screen, report);
    eep_summary_screen_add_resizes(&screen, metrics, facts);
    eep_summary_screen_add_timeline(&screen, metrics, facts);
    eep_screen_end_line(&screen);
    add_basis(&screen, metrics, facts);
    add_notes(&screen, facts);
    add_expectations(&screen, summary, place->exit_status);
    add_place(&screen, place);
    eep_text_add_bytes(text, screen.lines.data, screen.lines.length);
}
