#include "traces/load_file.h"

#include <math.h>
#include <string.h>

#include "traces/load_format.h"
#include "traces/whole_file.h"

const char *const eep_load_file_format_words[] = {"auto", "json", "csv", "routes", NULL};

const char *eep_load_fault(double value)
{
    if (isnan(value))
        return "is not a number";
    if (isinf(value))
        return "is not finite";
    if (value < 0.0)
        return "is negative";
    return value > EEP_LOAD_FILE_MAX_LOAD ? "is above 2^53" : NULL;
}

EepLoadRecord *eep_load_record_of(const double *loads, guint n_windows, guint n_layers,
                                  guint n_experts)
{
    EepLoadRecord *record = eep_load_record_new(n_windows, n_layers, n_experts);
    memcpy(record->tokens, loads, (gsize)n_windows * n_layers * n_experts * sizeof *loads);
    return record;
}

/* The first byte that is no blank; NUL where there is none. */
static char first_byte(const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if (!g_ascii_isspace(text[i]))
            return text[i];
    return '\0';
}

static EepLoadFileFormat find_format(const char *name, const char *text, gsize size,
                                     EepLoadFileFormat asked)
{
    if (asked != EEP_LOAD_FILE_AUTO)
        return asked;
    if (g_str_has_suffix(name, ".u8") || g_str_has_suffix(name, ".u8.gz"))
        return EEP_LOAD_FILE_ROUTES;
    const char first = first_byte(text, size);
    /* What is neither is refused by the JSON reader unless a table could begin so. */
    return first == 'w' || first == '\xef' ? EEP_LOAD_FILE_CSV : EEP_LOAD_FILE_JSON;
}

EepLoadRecord *eep_load_file_read_bytes(const char *name, const void *data, gsize size,
                                        const EepLoadFileOptions *options, json_t **ret_fields,
                                        GError **error)
{
    static const EepLoadFileOptions usual = EEP_LOAD_FILE_OPTIONS_INIT;
    g_return_val_if_fail(name != NULL && (data != NULL || size == 0), NULL);
    if (options == NULL)
        options = &usual;
    EepLoadRecord *record = NULL;
    json_t *fields = NULL;
    switch (find_format(name, data, size, options->format)) {
    case EEP_LOAD_FILE_ROUTES:
        record = eep_load_routes_read(name, data, size, options, error);
        break;
    case EEP_LOAD_FILE_CSV:
        record = eep_load_csv_read(name, data, size, error);
        break;
    default:
        record = eep_load_json_read(name, data, size, ret_fields != NULL ? &fields : NULL, error);
    }
    if (record != NULL && ret_fields != NULL)
        *ret_fields = fields;
    return record;
}

EepLoadRecord *eep_load_file_read_fields(const char *path, const EepLoadFileOptions *options,
                                         json_t **ret_fields, GError **error)
{
    g_return_val_if_fail(path != NULL, NULL);
    gsize size;
    g_autofree char *data = eep_whole_file_read(path, &size, error);
    if (data == NULL)
        return NULL;
    g_autofree char *name = eep_whole_file_name(path);
    return eep_load_file_read_bytes(name, data, size, options, ret_fields, error);
}

EepLoadRecord *eep_load_file_read(const char *path, const EepLoadFileOptions *options,
                                  GError **error)
{
    return eep_load_file_read_fields(path, options, NULL, error);
}
