#include "traces/json_text.h"

#include <string.h>

#include "traces/trace.h"

#define MAX_LEVELS    8  /* of a path, as far as it is shown */
#define MAX_KEY_BYTES 40 /* likewise of a key */

typedef struct {
    gboolean is_object;
    gsize index;           /* in a list */
    const char *key, *end; /* in an object, NULL before its first */
} Level;

/* Behind the string that begins at `at`; `end` where it does not end. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return MIN(at, end - 1) + 1;
}

static void append_key(GString *path, const char *key, const char *end)
{
    gboolean is_plain = end > key;
    for (const char *c = key; c < end; c++)
        is_plain &= g_ascii_isalnum(*c) || *c == '_';
    g_autofree char *part = g_strndup(key, (gsize)MIN(end - key, MAX_KEY_BYTES));
    g_autofree char *escaped = g_strescape(part, NULL);
    if (is_plain)
        g_string_append_printf(path, "%s%s", path->len > 0 ? "." : "", part);
    else
        g_string_append_printf(path, "[\"%s\"]", escaped);
}

char *eep_json_text_path(const char *text, gsize offset)
{
    Level levels[MAX_LEVELS] = {{0}};
    Level beyond = {0}; /* of levels that are not shown */
    gsize depth = 0;
    const char *end = text + offset, *string = NULL, *string_end = NULL;
    GString *path = g_string_new(NULL);

    for (const char *at = text; at < end;) {
        Level *level = depth == 0 || depth > MAX_LEVELS ? &beyond : &levels[depth - 1];
        if (*at == '"') {
            string = at + 1;
            at = skip_string(at, end);
            string_end = at - 1;
            continue;
        }
        if (*at == '[' || *at == '{') {
            if (depth++ < MAX_LEVELS)
                levels[depth - 1] = (Level){.is_object = *at == '{'};
        } else if ((*at == ']' || *at == '}') && depth > 0) {
            depth--;
        } else if (*at == ',') {
            level->index++;
            level->key = NULL;
        } else if (*at == ':' && string != NULL) {
            level->key = string;
            level->end = string_end;
        }
        at++;
    }
    for (gsize i = 0; i < MIN(depth, MAX_LEVELS); i++) {
        if (!levels[i].is_object)
            g_string_append_printf(path, "[%" G_GSIZE_FORMAT "]", levels[i].index);
        else if (levels[i].key != NULL)
            append_key(path, levels[i].key, levels[i].end);
    }
    if (depth > MAX_LEVELS)
        g_string_append(path, "...");
    return g_string_free(path, FALSE);
}

/* jansson's messages quote the file. */
static char *printable(const char *text)
{
    char *copy = g_strdup(text);
    for (char *c = copy; *c != '\0'; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return copy;
}

json_t *eep_json_text_parse(const char *name, const char *text, gsize size, GError **error)
{
    json_error_t failure;
    json_t *root = size == 0 ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure);
    if (root != NULL)
        return root;
    if (size == 0) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                    "%s: the file is empty: one JSON value is allowed", name);
        return NULL;
    }
    const gsize at = CLAMP(failure.position, 0, (int)MIN(size, G_MAXINT));
    g_autofree char *path = eep_json_text_path(text, at);
    g_autofree char *what = printable(failure.text);
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                "%s:%d:%d: %s%s%s: one JSON value with finite numbers is allowed", name,
                MAX(failure.line, 1), MAX(failure.column, 1), path, *path != '\0' ? ": " : "",
                what);
    return NULL;
}

char *eep_json_text_describe(const json_t *value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return g_strdup("an object");
    case JSON_ARRAY:
        return g_strdup("a list");
    case JSON_STRING:
        return g_strdup("a string");
    case JSON_INTEGER:
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return g_strdup(g_ascii_dtostr(digits, sizeof digits, json_real_value(value)));
    case JSON_TRUE:
        return g_strdup("true");
    case JSON_FALSE:
        return g_strdup("false");
    default:
        return g_strdup("null");
    }
}
