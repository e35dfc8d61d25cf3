#include "cli/compare_runs.h"

#include "cli/screen_text.h"
#include "core/json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *path, *label;
    json_t *summary;
} Run;

struct EepCompareRuns {
    Run *runs;
    guint n_runs;
    gboolean is_comparable;
};

typedef struct {
    const char *key; /* path into summary.json */
    const char *name, *unit;
    double scale; /* of what is shown */
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
    return check_traffic(compare, force, error) ? g_steal_pointer(&compare) : NULL;
}

void eep_compare_runs_free(EepCompareRuns *compare)
{
    if (compare == NULL)
        return;
    for (guint i = 0; i < compare->n_runs; i++) {
        g_free(compare->runs[i].path);
        g_free(compare->runs[i].label);
        json_decref(compare->runs[i].summary);
    }
    g_free(compare->runs);
    g_free(compare);
}

/* -- the table --------------------------------------------------------------------------------- */

#define NAME_COLUMNS  24
#define VALUE_COLUMNS 12
#define DELTA_COLUMNS 22

/* The size of a value; a count has all its digits. */
static char *figure_of(double value, gboolean is_count)
{
    return is_count && value < 1e7 ? eep_screen_whole((guint64)value) : eep_screen_figure(value);
}

static char *signed_figure(double value, gboolean is_count)
{
    g_autofree char *figure = figure_of(fabs(value), is_count);

    return g_strdup_printf("%s%s", value > 0.0 ? "+" : value < 0.0 ? "-" : "", figure);
}

static gboolean is_whole(double value)
{
    return isfinite(value) && value == floor(value);
}

/* "+1.20 (+3.4 %)"; "=" when nothing changed, "-" when one of them has no value. */
static char *delta_text(double base, double value)
{
    if (!isfinite(base) || !isfinite(value))
        return g_strdup("-");
    /* Sums of the same parts may differ in their last bits. */
    if (fabs(value - base) <= 1e-9 * fabs(base))
        return g_strdup("=");
    g_autofree char *delta = signed_figure(value - base, is_whole(value) && is_whole(base));
    if (base == 0.0)
        return g_steal_pointer(&delta);
    g_autofree char *percent = signed_figure(100.0 * (value - base) / fabs(base), FALSE);
    return g_strdup_printf("%s (%s %%)", delta, percent);
}

static void pad(EepText *text, const char *string, int width)
{
    g_autofree char *padded = g_strdup_printf("%*.*s", width, ABS(width), string);

    eep_text_add_string(text, padded);
}

static void end_line(EepText *text)
{
    while (text->length > 0 && text->data[text->length - 1] == ' ')
        text->length--;
    eep_text_add_char(text, '\n');
}

static void add_words(const EepCompareRuns *compare, EepText *text, const char *name,
                      const char *key)
{
    gboolean any = FALSE;

    for (guint i = 1; i < compare->n_runs; i++)
        any |= differ(compare, i, key);
    if (!any)
        return;
    pad(text, name, -NAME_COLUMNS);
    for (guint i = 0; i < compare->n_runs; i++) {
        const json_t *value = get(compare->runs[i].summary, key);
        const char *word = json_string_value(value);
        g_autofree char *digits =
            json_is_integer(value)
                ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value))
                : NULL;
        pad(text, digits != NULL ? digits : word != NULL ? word : "-", VALUE_COLUMNS);
        if (i > 0)
            pad(text, "", DELTA_COLUMNS);
    }
    end_line(text);
}

static void add_resizes(const EepCompareRuns *compare, EepText *text)
{
    static const struct {
        const char *key, *name;
    } sums[] = {{"stall_s", "  stall s"}, {"downtime_s", "  downtime s"}, {"total_s", "  total s"}};

    for (guint row = 0; row <= G_N_ELEMENTS(sums); row++) {
        double base = 0.0;
        pad(text, row == 0 ? "resizes" : sums[row - 1].name, -NAME_COLUMNS);
        for (guint i = 0; i < compare->n_runs; i++) {
            const json_t *list = json_object_get(compare->runs[i].summary, "resizes");
            double value = row == 0 ? (double)json_array_size(list) : 0.0;
            for (gsize r = 0; row > 0 && r < json_array_size(list); r++) {
                double part = number(json_array_get(list, r), sums[row - 1].key);
                value += isfinite(part) ? part : 0.0;
            }
            g_autofree char *figure = figure_of(value, row == 0);
            pad(text, figure, VALUE_COLUMNS);
            if (i == 0)
                base = value;
            g_autofree char *delta = delta_text(base, value);
            if (i > 0)
                pad(text, delta, DELTA_COLUMNS);
        }
        end_line(text);
    }
}

void eep_compare_runs_add_table(const EepCompareRuns *compare, EepText *text)
{
    /* The first label may begin above the names. */
    for (guint i = 0; i < compare->n_runs; i++)
        pad(text, compare->runs[i].label,
            i == 0 ? NAME_COLUMNS + VALUE_COLUMNS : VALUE_COLUMNS + DELTA_COLUMNS);
    end_line(text);
    if (!compare->is_comparable)
        eep_text_add_string(text, "NOT THE SAME TRAFFIC OR SEED\n");
    add_words(compare, text, "seed", "seed");
    add_words(compare, text, "model", "model");
    add_words(compare, text, "hardware", "hardware");
    add_words(compare, text, "label", "label");
    for (guint f = 0; f < G_N_ELEMENTS(figures); f++) {
        const Figure *figure = &figures[f];
        g_autofree char *name =
            g_strdup_printf("%s%s%s", figure->name, *figure->unit != '\0' ? " " : "", figure->unit);
        double base = number(compare->runs[0].summary, figure->key) * figure->scale;
        pad(text, name, -NAME_COLUMNS);
        for (guint i = 0; i < compare->n_runs; i++) {
            double value = number(compare->runs[i].summary, figure->key) * figure->scale;
            g_autofree char *shown =
                figure_of(value, *figure->unit == '\0' && is_whole(value) && value >= 0.0);
            g_autofree char *delta = delta_text(base, value);
            pad(text, shown, VALUE_COLUMNS);
            if (i > 0)
                pad(text, delta, DELTA_COLUMNS);
        }
        end_line(text);
    }
    add_resizes(compare, text);
}

/* -- JSON -------------------------------------------------------------------------------------- */

void eep_compare_runs_add_json(const EepCompareRuns *compare, EepText *text)
{
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
        static const char *const members[] = {"values", "delta", "delta_percent"};
        double base = number(compare->runs[0].summary, figures[f].key);
        eep_json_begin_object(&json, NULL);
        eep_json_add_string(&json, "key", figures[f].key);
        for (guint m = 0; m < G_N_ELEMENTS(members); m++) {
            eep_json_begin_array(&json, members[m]);
            for (guint i = 0; i < compare->n_runs; i++) {
                double value = number(compare->runs[i].summary, figures[f].key);
                double delta = i > 0 ? value - base : (double)NAN;
                double percent = base != 0.0 ? 100.0 * delta / fabs(base) : (double)NAN;
                eep_json_add_double(&json, NULL, m == 0 ? value : m == 1 ? delta : percent, 0);
            }
            eep_json_end_array(&json);
        }
        eep_json_end_object(&json);
    }
    eep_json_end_array(&json);
    eep_json_end_object(&json);
}
