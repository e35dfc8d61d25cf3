/* Loads in JSON: `weight`, `logical_count` or `counts`, [L][E] or [T][L][E]. */
#include "traces/json_text.h"
#include "traces/load_format.h"

/* In the order in which they are looked for. */
static const char *const keys[] = {"weight", "logical_count", "counts"};

#define MAX_LEVELS 3

typedef struct {
    const char *name, *key; /* key "": the list is the whole file */
    guint n_levels;         /* 2 or 3 */
    gsize at[MAX_LEVELS], size[MAX_LEVELS];
    GArray *loads; /* double: grows with what is there, so that a ragged list costs no more */
} Reading;

static const char *const what_is_listed[2][MAX_LEVELS] = {{"layer", "load"},
                                                          {"window", "layer", "load"}};

/* "FILE: weight[3][17]: ...", of the element whose `level` indices are in reading->at. */
static gboolean fail_at(const Reading *reading, guint level, GError **error, const char *format,
                        ...) G_GNUC_PRINTF(4, 5);
static gboolean fail_at(const Reading *reading, guint level, GError **error, const char *format,
                        ...)
{
    g_autoptr(GString) path = g_string_new(reading->key);
    va_list arguments;
    for (guint i = 0; i < level; i++)
        g_string_append_printf(path, "[%" G_GSIZE_FORMAT "]", reading->at[i]);
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT, "%s: %s%s%s", reading->name,
                path->str, path->len > 0 ? ": " : "", what);
    return FALSE;
}

static gboolean add_load(Reading *reading, const json_t *value, GError **error)
{
    const double load = json_number_value(value);
    const char *fault = json_is_number(value) ? eep_load_fault(load) : "is no number";
    /* As an integer, since 2^53 + 1 would round to what is allowed. */
    if (json_is_integer(value) && json_integer_value(value) > (json_int_t)EEP_LOAD_FILE_MAX_LOAD)
        fault = "is above 2^53";
    if (fault != NULL) {
        g_autofree char *what = eep_json_text_describe(value);
        return fail_at(reading, reading->n_levels, error, "%s %s: " EEP_LOAD_ALLOWED, what, fault);
    }
    g_array_append_val(reading->loads, load);
    return TRUE;
}

static gboolean add_list(Reading *reading, const json_t *value, guint level, GError **error)
{
    const char *const *names = what_is_listed[reading->n_levels - 2];
    if (level == reading->n_levels || level == MAX_LEVELS)
        return add_load(reading, value, error);
    const gsize size = json_array_size(value);
    if (!json_is_array(value)) {
        g_autofree char *what = eep_json_text_describe(value);
        return fail_at(reading, level, error, "%s: a list with one entry a %s", what, names[level]);
    }
    if (size != reading->size[level])
        return fail_at(reading, level, error,
                       "%" G_GSIZE_FORMAT
                       " entries: as many as the lists before it, %" G_GSIZE_FORMAT,
                       size, reading->size[level]);
    for (gsize i = 0; i < size; i++) {
        reading->at[level] = i;
        if (!add_list(reading, json_array_get(value, i), level + 1, error))
            return FALSE;
    }
    return TRUE;
}

/* The sizes are those of the first element of each level. */
static gboolean find_shape(Reading *reading, const json_t *list, GError **error)
{
    guint level = 0;
    for (; level < MAX_LEVELS && json_is_array(list); level++) {
        reading->size[level] = json_array_size(list);
        if (reading->size[level] == 0)
            return fail_at(reading, level, error,
                           "the list is empty: at least one entry is allowed");
        list = json_array_get(list, 0);
    }
    if (level < 2 || json_is_array(list))
        return fail_at(reading, level, error,
                       "loads are lists in lists: [layers][experts] or "
                       "[windows][layers][experts]");
    reading->n_levels = level;
    return TRUE;
}

/* How many experts a token goes to, where the file says it. */
static gboolean read_top_k(const Reading *reading, const json_t *root, EepLoadRecord *record,
                           GError **error)
{
    static const char *const names[] = {"top_k", "topk"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        const json_t *value = json_object_get(root, names[i]);
        if (value == NULL || json_is_null(value))
            continue;
        if (!json_is_integer(value) || json_integer_value(value) < 1 ||
            json_integer_value(value) > record->n_experts) {
            g_autofree char *what = eep_json_text_describe(value);
            g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                        "%s: %s: %s: a whole number from 1 to %u, the experts", reading->name,
                        names[i], what, record->n_experts);
            return FALSE;
        }
        record->top_k = (guint)json_integer_value(value);
    }
    return TRUE;
}

static const json_t *find_list(Reading *reading, const json_t *root, GError **error)
{
    if (json_is_array(root)) {
        reading->key = "";
        return root;
    }
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        const json_t *list = json_object_get(root, keys[i]);
        reading->key = keys[i];
        if (list != NULL)
            return list;
    }
    g_autofree char *known =
        g_strjoinv(", ", (char *[]){"weight", "logical_count", "counts", NULL});
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                "%s: there are no loads: a key of %s with [layers][experts] or "
                "[windows][layers][experts]",
                reading->name, known);
    return NULL;
}

static EepLoadRecord *read_root(const char *name, const json_t *root, GError **error)
{
    Reading reading = {.name = name};
    const json_t *list = find_list(&reading, root, error);
    if (list == NULL || !find_shape(&reading, list, error))
        return NULL;
    EepLoadRecord *record = NULL;
    reading.loads = g_array_new(FALSE, FALSE, sizeof(double));
    if (add_list(&reading, list, 0, error)) {
        const gsize *size = reading.size + reading.n_levels - 2;
        record = eep_load_record_of((const double *)(gpointer)reading.loads->data,
                                    reading.n_levels == 3 ? (guint)reading.size[0] : 1,
                                    (guint)size[0], (guint)size[1]);
    }
    g_array_unref(reading.loads);
    if (record != NULL && !read_top_k(&reading, root, record, error))
        g_clear_pointer(&record, eep_load_record_free);
    return record;
}

EepLoadRecord *eep_load_json_read(const char *name, const char *text, gsize size,
                                  json_t **ret_fields, GError **error)
{
    json_t *root = eep_json_text_parse(name, text, size, error);
    if (root == NULL)
        return NULL;
    EepLoadRecord *record = read_root(name, root, error);
    if (record != NULL && ret_fields != NULL)
        *ret_fields = json_is_object(root) ? json_incref(root) : NULL;
    json_decref(root);
    return record;
}
