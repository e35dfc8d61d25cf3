#include "cli/compare_runs.h"

#include "cli/compare_events.h"
#include "cli/compare_text.h"
#include "core/json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More runs beside the first are in a further table below. */
#define MAX_BESIDE 2

typedef struct {
    char *path, *label;
    json_t *summary;
} Run;

struct EepCompareRuns {
    Run *runs;
    guint n_runs;
    gboolean is_comparable;
    EepParity *parity; /* NULL: not a simulation beside a run on workers */
};

typedef struct {
    const char *key; /* path into summary.json */
    const char *name, *unit;
    double scale;     /* of what is shown */
    gboolean is_rare; /* not shown where no run has any */
} Figure;

static const Figure figures[] = {
    {"slo_attainment", "SLO attainment", "%", 100.0},
    {"request_goodput", "goodput", "req/s", 1.0},
    {"submitted", "submitted", "", 1.0},
    {"completed", "completed", "", 1.0},
    {"rejected.total", "rejected", "", 1.0},
    {"aborted.total", "aborted", "", 1.0},
    {"unfinished", "unfinished", "", 1.0},
    {"median_ttft_ms", "TTFT p50", "ms", 1.0},
    {"p99_ttft_ms", "TTFT p99", "ms", 1.0},
    {"median_tpot_ms", "TPOT p50", "ms", 1.0},
    {"p99_tpot_ms", "TPOT p99", "ms", 1.0},
    {"p99_itl_ms", "ITL p99", "ms", 1.0},
    {"max_itl_ms", "ITL max", "ms", 1.0},
    {"p99_e2el_ms", "E2EL p99", "s", 1e-3},
    {"output_throughput", "output", "tok/s", 1.0},
    {"gpu_hours", "GPU-hours", "", 1.0},
    {"gpu_hours_by_use.stalled", "  stalled", "", 1.0},
    {"gpu_hours_per_1000_good", "  per 1,000 good", "", 1.0},
    {"balancedness", "balancedness", "", 1.0},
    {"bytes_moved", "moved", "GB", 1e-9},
    {"reshuffles", "reshuffles", "", 1.0},
    {"eplb.stalled_s", "  stalled", "s", 1.0},
    {"preempted", "preempted", "", 1.0},
    {"migrated", "migrated", "", 1.0, TRUE},
    {"lost_requests", "lost by faults", "", 1.0, TRUE},
    {"degraded_tokens", "degraded tokens", "", 1.0, TRUE},
};

/* -- reading ----------------------------------------------------------------------------------- */

static const json_t *get(const json_t *summary, const char *key)
{
    g_auto(GStrv) names = g_strsplit(key, ".", -1);

    for (guint i = 0; names[i] != NULL; i++)
        summary = json_object_get(summary, names[i]);
    return summary;
}

static double number(const json_t *summary, const char *key)
{
    const json_t *value = get(summary, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static gboolean read_run(Run *run, const char *path, GError **error)
{
    json_error_t place;
    g_autofree char *file = g_file_test(path, G_FILE_TEST_IS_DIR)
                                ? g_build_filename(path, "summary.json", NULL)
                                : g_strdup(path);

    run->path = g_strdup(path);
    /* runs/latest is the name of another run. */
    g_autofree char *real = realpath(path, NULL);
    run->label = g_path_get_basename(real != NULL ? real : path);
    run->summary = json_load_file(file, 0, &place);
    if (run->summary == NULL && !g_file_test(file, G_FILE_TEST_EXISTS)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                    "%s: is no run folder: it has no summary.json", path);
        return FALSE;
    }
    if (run->summary == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%d:%d: is no summary: %s", file,
                    place.line, place.column, place.text);
        return FALSE;
    }
    if (json_integer_value(json_object_get(run->summary, "eep")) != 1) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: is no summary that this version knows: \"eep\": 1 is missing", file);
        return FALSE;
    }
    return TRUE;
}

static gboolean differ(const EepCompareRuns *compare, guint run, const char *key)
{
    return !json_equal(get(compare->runs[0].summary, key), get(compare->runs[run].summary, key));
}

/* The folder of a summary that was named itself. New string. */
static char *folder_of(const Run *run)
{
    return g_file_test(run->path, G_FILE_TEST_IS_DIR) ? g_strdup(run->path)
                                                      : g_path_get_dirname(run->path);
}

static gboolean open_parity(EepCompareRuns *compare, gboolean force, GError **error)
{
    const Run *runs = compare->runs;

    if (compare->n_runs != 2)
        return TRUE;
    json_t *const summaries[2] = {runs[0].summary, runs[1].summary};
    if (!eep_parity_applies(summaries))
        return TRUE;
    g_autofree char *first = folder_of(&runs[0]), *second = folder_of(&runs[1]);
    const char *const folders[2] = {first, second};
    compare->parity = eep_parity_new(folders, summaries, force, error);
    return compare->parity != NULL;
}

static gboolean check_traffic(EepCompareRuns *compare, gboolean force, GError **error)
{
    compare->is_comparable = TRUE;
    for (guint i = 1; i < compare->n_runs; i++) {
        gboolean seed = differ(compare, i, "seed"), traffic = differ(compare, i, "sha256.traffic");
        if (!seed && !traffic)
            continue;
        compare->is_comparable = FALSE;
        if (force)
            continue;
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s and %s cannot be compared: their %s differ%s: run one again with the "
                    "other's, or give --force",
                    compare->runs[0].path, compare->runs[i].path,
                    seed && traffic ? "seeds and traffic"
                    : seed          ? "seeds"
                                    : "traffic",
                    seed ? "" : "s");
        return FALSE;
    }
    return TRUE;
}

EepCompareRuns *eep_compare_runs_open(const char *const *paths, guint n_paths, gboolean force,
                                      GError **error)
{
    g_autoptr(EepCompareRuns) compare = g_new0(EepCompareRuns, 1);

    g_return_val_if_fail(n_paths >= 2, NULL);
    compare->runs = g_new0(Run, n_paths);
    for (guint i = 0; i < n_paths; i++) {
        compare->n_runs++;
        if (!read_run(&compare->runs[i], paths[i], error))
            return NULL;
    }
    if (!check_traffic(compare, force, error) || !open_parity(compare, force, error))
        return NULL;
    return g_steal_pointer(&compare);
}

EepParity *eep_compare_runs_parity(const EepCompareRuns *compare)
{
    return compare->parity;
}

void eep_compare_runs_free(EepCompareRuns *compare)
{
    if (compare == NULL)
        return;
    eep_parity_free(compare->parity); /* it borrows from the summaries */
    for (guint i = 0; i < compare->n_runs; i++) {
        g_free(compare->runs[i].path);
        g_free(compare->runs[i].label);
        json_decref(compare->runs[i].summary);
    }
    g_free(compare->runs);
    g_free(compare);
}

/* -- the table --------------------------------------------------------------------------------- */

/* Values of one figure, one a run, times `scale`. New array. */
static double *values_of(const EepCompareRuns *compare, const char *key, double scale)
{
    double *values = g_new0(double, compare->n_runs);

    for (guint i = 0; i < compare->n_runs; i++)
        values[i] = number(compare->runs[i].summary, key) * scale;
    return values;
}

static json_t **summaries_of(const EepCompareRuns *compare)
{
    json_t **summaries = g_new0(json_t *, compare->n_runs);

    for (guint i = 0; i < compare->n_runs; i++)
        summaries[i] = compare->runs[i].summary;
    return summaries;
}

/* Only where the runs differ in it. */
static void add_words(const EepCompareRuns *compare, EepText *text, const char *name)
{
    g_auto(GStrv) words = g_new0(char *, compare->n_runs + 1);

    for (guint i = 0; i < compare->n_runs; i++) {
        const json_t *value = get(compare->runs[i].summary, name);
        const char *word = json_string_value(value);
        words[i] = json_is_integer(value)
                       ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value))
                       : g_strdup(word != NULL ? word : "-");
    }
    eep_compare_text_add_words(text, name, (const char *const *)words, compare->n_runs, FALSE);
}

static void add_resizes(const EepCompareRuns *compare, EepText *text)
{
    static const struct {
        const char *key, *name;
    } sums[] = {{NULL, "resizes"},
                {"stall_s", "  stall s"},
                {"downtime_s", "  downtime s"},
                {"total_s", "  total s"}};
    g_autofree double *values = g_new0(double, compare->n_runs);

    for (guint row = 0; row < G_N_ELEMENTS(sums); row++) {
        for (guint i = 0; i < compare->n_runs; i++) {
            const json_t *list = json_object_get(compare->runs[i].summary, "resizes");
            values[i] = row == 0 ? (double)json_array_size(list) : 0.0;
            for (gsize r = 0; row > 0 && r < json_array_size(list); r++) {
                double part = number(json_array_get(list, r), sums[row].key);
                values[i] += isfinite(part) ? part : 0.0;
            }
        }
        eep_compare_text_add_row(text, sums[row].name, values, compare->n_runs, row == 0);
    }
}

static void add_part(const EepCompareRuns *compare, EepText *text)
{
    g_autofree const char **labels = g_new0(const char *, compare->n_runs);
    g_autofree json_t **summaries = summaries_of(compare);

    for (guint i = 0; i < compare->n_runs; i++)
        labels[i] = compare->runs[i].label;
    eep_compare_text_add_labels(text, labels, compare->n_runs);
    if (!compare->is_comparable)
        eep_text_add_string(text, "NOT THE SAME TRAFFIC OR SEED\n");
    add_words(compare, text, "seed");
    add_words(compare, text, "model");
    add_words(compare, text, "hardware");
    add_words(compare, text, "label");
    for (guint f = 0; f < G_N_ELEMENTS(figures); f++) {
        const Figure *figure = &figures[f];
        g_autofree char *name =
            g_strdup_printf("%s%s%s", figure->name, *figure->unit != '\0' ? " " : "", figure->unit);
        g_autofree double *values = values_of(compare, figure->key, figure->scale);
        if (!figure->is_rare || eep_compare_text_has_value(values, compare->n_runs))
            eep_compare_text_add_row(text, name, values, compare->n_runs, *figure->unit == '\0');
    }
    add_resizes(compare, text);
    eep_compare_events_add_table(text, summaries, compare->n_runs);
}

void eep_compare_runs_add_table(const EepCompareRuns *compare, EepText *text)
{
    for (guint first = 1; first < compare->n_runs; first += MAX_BESIDE) {
        guint n = MIN(MAX_BESIDE, compare->n_runs - first);
        Run runs[1 + MAX_BESIDE] = {compare->runs[0]}; /* borrowed */
        EepCompareRuns part = {runs, 1 + n, compare->is_comparable, NULL};

        memcpy(runs + 1, compare->runs + first, n * sizeof *runs);
        if (first > 1)
            eep_text_add_char(text, '\n');
        add_part(&part, text);
    }
    if (compare->parity != NULL)
        eep_parity_add_table(compare->parity, text);
}

/* -- JSON -------------------------------------------------------------------------------------- */

void eep_compare_runs_add_json(const EepCompareRuns *compare, EepText *text)
{
    g_autofree json_t **summaries = summaries_of(compare);
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_begin_array(&json, "runs");
    for (guint i = 0; i < compare->n_runs; i++)
        eep_json_add_string(&json, NULL, compare->runs[i].path);
    eep_json_end_array(&json);
    eep_json_add_bool(&json, "same_traffic", compare->is_comparable);
    eep_json_begin_array(&json, "figures");
    for (guint f = 0; f < G_N_ELEMENTS(figures); f++) {
        g_autofree double *values = values_of(compare, figures[f].key, 1.0);
        eep_compare_text_add_json(&json, figures[f].key, values, compare->n_runs);
    }
    eep_json_end_array(&json);
    eep_compare_events_add_json(&json, summaries, compare->n_runs);
    if (compare->parity != NULL)
        eep_parity_add_json(compare->parity, &json);
    eep_json_end_object(&json);
}
