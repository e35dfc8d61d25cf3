#include "cli/picture_data.h"

#include "cli/command.h"
#include "cli/csv_table.h"
#include "traces/line_source.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* About this many windows over the run. */
#define N_WINDOWS         150
#define N_LATENCY_WINDOWS 60
/* Times beyond it are not a run's; far below 2^63 ns. */
#define LARGEST 4e18

static double number_or(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void read_resizes(EepPictureData *data, const json_t *summary)
{
    gsize i;
    json_t *resize;

    json_array_foreach(json_object_get(summary, "resizes"), i, resize)
    {
        double at = number_or(resize, "at_s", NAN);
        double total = number_or(resize, "total_s", NAN);
        if (isnan(at) || isnan(total) || total <= 0.0)
            continue; /* refused, or nothing to do */
        /* A resize that failed on its way has no later parts. */
        double prepare = number_or(resize, "prepare_s", total);
        double settle = number_or(resize, "settle_s", 0.0);
        EepPictureResize parts = {at, at + prepare, at + fmax(total - settle, prepare), at + total};
        g_array_append_val(data->resizes, parts);
    }
}

/* "quickstart | deepseek-v3 | h200-sxm | SIMULATED"; the folder's name where there is none. */
static char *make_title(const json_t *summary, const char *run)
{
    static const char *const keys[] = {"name", "model", "hardware", "label"};
    GString *title = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *text = json_string_value(json_object_get(summary, keys[i]));
        if (text != NULL)
            g_string_append_printf(title, "%s%s", title->len > 0 ? " | " : "", text);
    }
    if (title->len == 0) {
        g_autofree char *folder = g_path_get_basename(run);
        g_string_append(title, folder);
    }
    return g_string_free(title, FALSE);
}

static gboolean read_summary(EepPictureData *data, const char *run, GError **error)
{
    g_autofree char *path = g_build_filename(run, "summary.json", NULL);
    json_error_t where;
    json_t *summary = json_load_file(path, 0, &where);

    if (summary == NULL || !json_is_object(summary)) {
        if (where.line > 0)
            g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s:%d:%d: %s", path,
                        where.line, where.column, where.text);
        else
            g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                        "%s: there is no such file: the summary of a folder that `eep run` wrote",
                        path);
        json_decref(summary);
        return FALSE;
    }
    const json_t *slo = json_object_get(summary, "slo");
    data->ttft_limit_ms = number_or(slo, "ttft_ms", 0.0);
    data->tpot_limit_ms = number_or(slo, "tpot_ms", 0.0);
    data->warmup_s = number_or(summary, "warmup_s", 0.0);
    data->title = make_title(summary, run);
    read_resizes(data, summary);
    g_array_unref(data->gantts);
    data->gantts = eep_picture_gantts_read(summary);
    json_decref(summary);
    return TRUE;
}

static gint64 whole_or_none(double value, double scale)
{
    return isnan(value) || value < 0.0 || value * scale > LARGEST ? -1
                                                                  : (gint64)(value * scale + 0.5);
}

static gboolean read_requests(EepPictureData *data, const char *run, GError **error)
{
    static const char *const names[] = {"arrival_ns", "first_token_ns", "finish_ns", "fate",
                                        "ttft_ms",    "tpot_ms",        "e2el_ms"};
    enum { ARRIVAL, FIRST_TOKEN, FINISH, FATE, TTFT, TPOT, E2EL };
    gint at[G_N_ELEMENTS(names)];
    g_autofree char *path = g_build_filename(run, "requests.csv", NULL);
    g_autoptr(EepCsvTable) table = eep_csv_table_open(path, error);
    GError *local = NULL;

    if (table == NULL)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (!eep_csv_table_require(table, names[i], &at[i], error))
            return FALSE;
    while (eep_csv_table_next(table, &local)) {
        const char *fate = eep_csv_table_text(table, at[FATE]);
        gboolean completed = strcmp(fate, "completed") == 0;
        EepPictureRequest request = {
            .arrival_ns = whole_or_none(eep_csv_table_number(table, at[ARRIVAL]), 1.0),
            .first_token_ns = whole_or_none(eep_csv_table_number(table, at[FIRST_TOKEN]), 1.0),
            .finish_ns = whole_or_none(eep_csv_table_number(table, at[FINISH]), 1.0),
            .ttft_us = whole_or_none(eep_csv_table_number(table, at[TTFT]), 1e3),
            .tpot_us = whole_or_none(eep_csv_table_number(table, at[TPOT]), 1e3),
            .e2el_us = whole_or_none(eep_csv_table_number(table, at[E2EL]), 1e3),
            .is_completed = completed,
            .is_lost = strcmp(fate, "rejected") == 0 || strcmp(fate, "aborted") == 0,
        };
        if (request.arrival_ns < 0)
            continue;
        if (!completed)
            request.ttft_us = request.tpot_us = request.e2el_us = -1;
        data->end_s = fmax(data->end_s, (double)MAX(request.arrival_ns, request.finish_ns) / 1e9);
        g_array_append_val(data->requests, request);
    }
    if (local == NULL)
        return TRUE;
    g_propagate_error(error, local);
    return FALSE;
}

static guint pool_index(EepPictureData *data, const char *name)
{
    guint index;

    if (g_ptr_array_find_with_equal_func(data->pools, name, g_str_equal, &index))
        return index;
    g_ptr_array_add(data->pools, g_strdup(name));
    return data->pools->len - 1;
}

static gboolean read_timeline(EepPictureData *data, const char *run, GError **error)
{
    static const char *const names[] = {"time_s",  "pool",      "engines",      "running",
                                        "waiting", "imbalance", "stalled_share"};
    enum { TIME, POOL, ENGINES, RUNNING, WAITING, IMBALANCE, STALLED };
    gint at[G_N_ELEMENTS(names)];
    g_autofree char *path = g_build_filename(run, "timeline.csv", NULL);
    g_autoptr(EepCsvTable) table = eep_csv_table_open(path, error);
    GError *local = NULL;

    if (table == NULL)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (!eep_csv_table_require(table, names[i], &at[i], error))
            return FALSE;
    while (eep_csv_table_next(table, &local)) {
        EepPictureInterval interval = {
            .begin_s = eep_csv_table_number(table, at[TIME]),
            .engines = eep_csv_table_number(table, at[ENGINES]),
            .running = eep_csv_table_number(table, at[RUNNING]),
            .waiting = eep_csv_table_number(table, at[WAITING]),
            .imbalance = eep_csv_table_number(table, at[IMBALANCE]),
            .stalled_share = eep_csv_table_number(table, at[STALLED]),
            .pool = pool_index(data, eep_csv_table_text(table, at[POOL])),
        };
        if (isnan(interval.begin_s) || interval.begin_s < 0.0 || interval.begin_s > LARGEST / 1e9)
            continue;
        data->end_s = fmax(data->end_s, interval.begin_s);
        g_array_append_val(data->intervals, interval);
    }
    if (local == NULL)
        return TRUE;
    g_propagate_error(error, local);
    return FALSE;
}

/* 1, 2 or 5 times a power of ten, in seconds from 10 ms on; at least `least`. */
static double round_window(double least)
{
    static const double steps[] = {1.0, 2.0, 5.0};
    double decade = 0.01;

    for (;; decade *= 10.0)
        for (guint i = 0; i < G_N_ELEMENTS(steps); i++)
            if (decade * steps[i] >= least)
                return decade * steps[i];
}

/* Windows average over whole intervals of the time line, or they would beat against them. */
static void choose_windows(EepPictureData *data)
{
    double bucket = 0.0, enough = 0.0;

    for (guint i = 1; i < data->intervals->len && bucket <= 0.0; i++)
        bucket = g_array_index(data->intervals, EepPictureInterval, i).begin_s -
                 g_array_index(data->intervals, EepPictureInterval, 0).begin_s;
    data->end_s = fmax(data->end_s, 0.1);
    data->window_s = round_window(data->end_s / N_WINDOWS);
    if (bucket > 0.0)
        data->window_s = bucket * ceil(data->window_s / bucket - 1e-9);
    if (data->requests->len > 0)
        enough = 1.2 * EEP_PICTURE_P99_REQUESTS * data->end_s / data->requests->len;
    data->latency_window_s =
        round_window(fmax(data->end_s / N_LATENCY_WINDOWS, fmin(enough, data->end_s / 20.0)));
}

/* Rearrangements that moved something. Runs may have no events; lines of a format that is not known
 * say nothing. */
static void read_reshuffles(EepPictureData *data, const char *run)
{
    g_autofree char *path = g_build_filename(run, "events.jsonl", NULL);
    EepLineSource *source = eep_line_source_open(path, NULL);
    const char *line;
    gsize length;

    while (source != NULL && eep_line_source_next(source, &line, &length, NULL) == EEP_LINE_READ) {
        if (memmem(line, length, "\"eplb_rearranged\"", strlen("\"eplb_rearranged\"")) == NULL)
            continue;
        json_t *event = json_loadb(line, length, 0, NULL);
        const double at_s = number_or(event, "t_ns", NAN) / 1e9;
        if (!isnan(at_s) && number_or(event, "experts_moved", 0.0) > 0.0)
            g_array_append_val(data->reshuffles, at_s);
        json_decref(event);
    }
    eep_line_source_free(source);
}

gboolean eep_picture_data_read(EepPictureData *data, const char *run, GError **error)
{
    *data = (EepPictureData){
        .resizes = g_array_new(FALSE, FALSE, sizeof(EepPictureResize)),
        .reshuffles = g_array_new(FALSE, FALSE, sizeof(double)),
        .requests = g_array_new(FALSE, FALSE, sizeof(EepPictureRequest)),
        .intervals = g_array_new(FALSE, FALSE, sizeof(EepPictureInterval)),
        .pools = g_ptr_array_new_with_free_func(g_free),
        .gantts = g_array_new(FALSE, FALSE, sizeof(EepPictureGantt)),
    };
    if (!read_summary(data, run, error) || !read_requests(data, run, error) ||
        !read_timeline(data, run, error))
        return FALSE;
    read_reshuffles(data, run);
    choose_windows(data);
    return TRUE;
}

void eep_picture_data_clear(EepPictureData *data)
{
    if (data->resizes == NULL)
        return;
    g_free(data->title);
    g_array_unref(data->resizes);
    g_array_unref(data->reshuffles);
    g_array_unref(data->requests);
    g_array_unref(data->intervals);
    g_ptr_array_unref(data->pools);
    g_array_unref(data->gantts);
    *data = (EepPictureData){0};
}
