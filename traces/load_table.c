/* Loads in tables: CSV with a line a window and layer, and raw routes of tokens. */
#include <string.h>

#include "traces/line_source.h"
#include "traces/load_format.h"
#include "traces/scan.h"

#define MAX_TABLE_CELLS ((gsize)1 << 27) /* 1 GiB of doubles */

typedef struct {
    const char *name;
    EepLineSource *source;
    const char *line;
    gsize length;
    guint n_experts;
    guint64 first_window, first_layer; /* of the first line */
    guint64 window, layer;             /* of the line before; n_lines = 0: none */
    guint n_windows, n_layers;         /* n_layers: known behind the first window */
    guint64 n_lines;
    GArray *loads; /* double */
} Table;

static gboolean fail_line(const Table *table, const char *at, GError **error, const char *format,
                          ...) G_GNUC_PRINTF(4, 5);
static gboolean fail_line(const Table *table, const char *at, GError **error, const char *format,
                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                "%s:%" G_GUINT64_FORMAT ":%" G_GSIZE_FORMAT ": %s", table->name,
                MAX(eep_line_source_number(table->source), 1), (gsize)(at - table->line) + 1, what);
    return FALSE;
}

/* FALSE at the end or with error set. */
static gboolean next_line(Table *table, GError **error)
{
    switch (eep_line_source_next(table->source, &table->line, &table->length, error)) {
    case EEP_LINE_READ:
        return TRUE;
    case EEP_LINE_TOO_LONG:
        return fail_line(table, table->line, error,
                         "the line is longer than %d bytes: a line a "
                         "window and layer is allowed",
                         EEP_LINE_MAX_BYTES);
    default:
        return FALSE;
    }
}

/* window,layer,e0,e1,... */
static gboolean read_header(Table *table, GError **error)
{
    static const char start[] = "window,layer";
    const char *at = table->line, *end = table->line + table->length;
    if (table->length < strlen(start) || strncmp(at, start, strlen(start)) != 0)
        return fail_line(table, at, error,
                         "the header is not that of loads: window,layer,e0,e1,... is allowed");
    at += strlen(start);
    while (at < end) {
        guint64 expert;
        const char *field = at;
        if (*at != ',' || *++at != 'e' || (at++, !eep_scan_u64(&at, &expert)) ||
            expert != table->n_experts)
            return fail_line(table, field, error, "column %u is not e%u: e0, e1, ... is allowed",
                             table->n_experts + 3, table->n_experts);
        table->n_experts++;
    }
    return table->n_experts > 0 ||
           fail_line(table, at, error, "no experts: e0, e1, ... is allowed");
}

/* Windows and layers rise by one, and every window has the layers of the first. */
static gboolean check_order(Table *table, guint64 window, guint64 layer, GError **error)
{
    const char *at = table->line;
    if (table->n_lines == 0) {
        table->first_window = window;
        table->first_layer = layer;
        table->n_windows = 1;
    } else if (window == table->window) {
        if (layer != table->layer + 1)
            return fail_line(table, at, error,
                             "window %" G_GUINT64_FORMAT ", layer %" G_GUINT64_FORMAT
                             ": layer %" G_GUINT64_FORMAT " comes next",
                             window, layer, table->layer + 1);
    } else {
        const guint64 n_layers = table->layer - table->first_layer + 1;
        if (table->n_windows == 1)
            table->n_layers = (guint)n_layers;
        if (n_layers != table->n_layers || window != table->window + 1 ||
            layer != table->first_layer)
            return fail_line(table, at, error,
                             "window %" G_GUINT64_FORMAT ", layer %" G_GUINT64_FORMAT
                             " behind window %" G_GUINT64_FORMAT ", layer %" G_GUINT64_FORMAT
                             ": every window has layers %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                             ", and none is left out",
                             window, layer, table->window, table->layer, table->first_layer,
                             table->first_layer + table->n_layers - 1);
        table->n_windows++;
    }
    table->window = window;
    table->layer = layer;
    table->n_lines++;
    return TRUE;
}

/* The load at *cursor, which goes behind it. */
static gboolean read_load(Table *table, const char **cursor, guint expert, GError **error)
{
    const char *at = *cursor, *end = at, *fault = "is no number";
    const char *line_end = table->line + table->length;
    guint64 whole;
    while (end < line_end && *end != ',')
        end++;
    g_autofree char *field = g_strndup(at, (gsize)MIN(end - at, 40));
    char *stop = NULL;
    double load = g_ascii_strtod(field, &stop);
    /* strtod takes blanks before and hexadecimal, which are no numbers of a table. */
    if (stop != field && stop == field + (end - at) && strpbrk(field, " \txX") == NULL)
        fault = eep_load_fault(load);
    if (eep_scan_u64(&at, &whole) && at == end && whole > (guint64)EEP_LOAD_FILE_MAX_LOAD)
        fault = "is above 2^53"; /* 2^53 + 1 would round to what is allowed */
    if (fault != NULL) {
        g_autofree char *shown = g_strescape(field, NULL);
        return fail_line(table, *cursor, error,
                         "window %" G_GUINT64_FORMAT ", layer %" G_GUINT64_FORMAT
                         ", e%u: %s %s: " EEP_LOAD_ALLOWED,
                         table->window, table->layer, expert, shown, fault);
    }
    g_array_append_val(table->loads, load);
    *cursor = end;
    return TRUE;
}

static gboolean read_row(Table *table, GError **error)
{
    const char *at = table->line, *end = table->line + table->length;
    guint64 window, layer;
    if (!eep_scan_u64(&at, &window) || *at++ != ',' || !eep_scan_u64(&at, &layer) ||
        MAX(window, layer) > G_MAXINT32)
        return fail_line(table, table->line, error,
                         "no window and layer: whole numbers from 0 are allowed");
    if (!check_order(table, window, layer, error))
        return FALSE;
    for (guint expert = 0; expert < table->n_experts; expert++) {
        if (at == end || *at != ',')
            return fail_line(table, at, error, "%u loads: %u, as in the header", expert,
                             table->n_experts);
        at++;
        if (!read_load(table, &at, expert, error))
            return FALSE;
    }
    return at == end ||
           fail_line(table, at, error, "more loads than the header's %u", table->n_experts);
}

static EepLoadRecord *read_table(Table *table, GError **error)
{
    GError *local = NULL;
    if (!next_line(table, &local)) {
        if (local == NULL)
            g_set_error(&local, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                        "%s: the file is empty: window,layer,e0,e1,... is allowed", table->name);
    } else if (read_header(table, &local)) {
        while (local == NULL && next_line(table, &local))
            if (table->length > 0)
                read_row(table, &local);
    }
    if (local == NULL && table->n_lines == 0)
        fail_line(table, table->line, &local, "there are no loads: a line a window and layer");
    const guint64 last = table->layer - table->first_layer + 1;
    if (local == NULL && table->n_windows > 1 && last != table->n_layers)
        fail_line(table, table->line, &local,
                  "the last window ends with layer %" G_GUINT64_FORMAT ": %u layers, as the others",
                  table->layer, table->n_layers);
    if (local != NULL) {
        g_propagate_error(error, local);
        return NULL;
    }
    return eep_load_record_of((const double *)(gpointer)table->loads->data, table->n_windows,
                              table->n_windows > 1 ? table->n_layers : (guint)last,
                              table->n_experts);
}

EepLoadRecord *eep_load_csv_read(const char *name, const char *text, gsize size, GError **error)
{
    Table table = {.name = name,
                   .line = "",
                   .source = eep_line_source_open_bytes(text, size),
                   .loads = g_array_new(FALSE, FALSE, sizeof(double))};
    EepLoadRecord *record = read_table(&table, error);
    g_array_unref(table.loads);
    eep_line_source_free(table.source);
    return record;
}

static gboolean check_routes(const char *name, const guint8 *ids, gsize size,
                             const EepLoadFileOptions *o, guint *ret_n_experts, GError **error)
{
    const gsize row = (gsize)o->n_layers * o->top_k;
    if (row == 0 || o->window_tokens == 0) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
                    "%s: routes are bare expert ids: layers (%u), experts a token (%u) and tokens "
                    "a window (%u) must be given, each at least 1; try --model, or --layers and "
                    "--top-k",
                    name, o->n_layers, o->top_k, o->window_tokens);
        return FALSE;
    }
    if (size == 0 || size % row != 0) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                    "%s: %" G_GSIZE_FORMAT " bytes: a multiple of %" G_GSIZE_FORMAT
                    ", %u layers of %u experts a token",
                    name, size, row, o->n_layers, o->top_k);
        return FALSE;
    }
    guint highest = 0;
    for (gsize i = 0; i < size; i++) {
        highest = MAX(highest, ids[i]);
        if (o->n_experts == 0 || ids[i] < o->n_experts)
            continue;
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                    "%s: routes[%" G_GSIZE_FORMAT "][%" G_GSIZE_FORMAT "][%" G_GSIZE_FORMAT
                    "]: expert %u: 0 to %u",
                    name, i / row, i % row / o->top_k, i % o->top_k, ids[i], o->n_experts - 1);
        return FALSE;
    }
    *ret_n_experts = o->n_experts > 0 ? o->n_experts : highest + 1;
    return TRUE;
}

EepLoadRecord *eep_load_routes_read(const char *name, const guint8 *ids, gsize size,
                                    const EepLoadFileOptions *options, GError **error)
{
    guint n_experts;
    if (!check_routes(name, ids, size, options, &n_experts, error))
        return NULL;
    const guint n_layers = options->n_layers, top_k = options->top_k;
    const gsize row = (gsize)n_layers * top_k, n_tokens = size / row;
    const gsize n_windows = MAX(n_tokens / options->window_tokens, 1);
    if (n_windows * n_layers > MAX_TABLE_CELLS / n_experts) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
                    "%s: %" G_GSIZE_FORMAT " windows of %u tokens are too many to count: longer "
                    "windows are allowed",
                    name, n_windows, options->window_tokens);
        return NULL;
    }
    EepLoadRecord *record = eep_load_record_new((guint)n_windows, n_layers, n_experts);
    const gsize counted =
        n_tokens < options->window_tokens ? n_tokens : n_windows * options->window_tokens;
    for (gsize i = 0; i < counted * row; i++) {
        const gsize window = i / row / options->window_tokens, layer = i % row / top_k;
        record->tokens[(window * n_layers + layer) * n_experts + ids[i]]++;
    }
    record->top_k = top_k;
    record->n_tokens = n_tokens;
    record->routes = g_memdup2(ids, size);
    return record;
}
