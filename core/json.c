#include "core/json.h"

#include <math.h>

void eep_json_init(EepJson *json, EepText *text, EepJsonStyle style)
{
    *json = (EepJson){.text = text, .style = style};
}

gboolean eep_json_is_complete(const EepJson *json)
{
    return json->depth == 0;
}

static inline guint64 level(const EepJson *json)
{
    return (guint64)1 << json->depth;
}

static void start_line(EepJson *json)
{
    if (json->style == EEP_JSON_COMPACT)
        return;
    eep_text_add_char(json->text, '\n');
    for (guint i = 0; i < json->depth; i++)
        eep_text_add_bytes(json->text, "  ", 2);
}

/* What stands before a value: comma, line and key. */
static void open_value(EepJson *json, const char *key)
{
    gboolean in_object = (json->objects & level(json)) != 0;

    g_assert(in_object == (key != NULL));
    if (json->depth > 0) {
        if (json->filled & level(json))
            eep_text_add_char(json->text, ',');
        json->filled |= level(json);
        start_line(json);
    }
    if (key) {
        eep_text_add_json_string(json->text, key);
        eep_text_add_char(json->text, ':');
        if (json->style == EEP_JSON_PRETTY)
            eep_text_add_char(json->text, ' ');
    }
}

static void close_value(EepJson *json)
{
    if (json->depth == 0)
        eep_text_add_char(json->text, '\n');
}

static void begin(EepJson *json, const char *key, gboolean is_object)
{
    open_value(json, key);
    g_assert(json->depth < EEP_JSON_MAX_DEPTH);
    json->depth++;
    json->filled &= ~level(json);
    json->objects = is_object ? json->objects | level(json) : json->objects & ~level(json);
    eep_text_add_char(json->text, is_object ? '{' : '[');
}

static void end(EepJson *json, gboolean is_object)
{
    g_assert(json->depth > 0);
    g_assert(((json->objects & level(json)) != 0) == is_object);

    gboolean filled = (json->filled & level(json)) != 0;
    json->depth--;
    if (filled)
        start_line(json);
    eep_text_add_char(json->text, is_object ? '}' : ']');
    close_value(json);
}

void eep_json_begin_object(EepJson *json, const char *key)
{
    begin(json, key, TRUE);
}

void eep_json_end_object(EepJson *json)
{
    end(json, TRUE);
}

void eep_json_begin_array(EepJson *json, const char *key)
{
    begin(json, key, FALSE);
}

void eep_json_end_array(EepJson *json)
{
    end(json, FALSE);
}

void eep_json_add_int(EepJson *json, const char *key, gint64 value)
{
    open_value(json, key);
    eep_text_add_int(json->text, value);
    close_value(json);
}

void eep_json_add_uint(EepJson *json, const char *key, guint64 value)
{
    open_value(json, key);
    eep_text_add_uint(json->text, value);
    close_value(json);
}

void eep_json_add_double(EepJson *json, const char *key, double value, guint significant_digits)
{
    if (!isfinite(value)) {
        eep_json_add_null(json, key);
        return;
    }
    open_value(json, key);
    eep_text_add_double(json->text, value, significant_digits);
    close_value(json);
}

void eep_json_add_decimal(EepJson *json, const char *key, gint64 value, guint decimals)
{
    open_value(json, key);
    eep_text_add_decimal(json->text, value, decimals);
    close_value(json);
}

void eep_json_add_string(EepJson *json, const char *key, const char *value)
{
    if (!value) {
        eep_json_add_null(json, key);
        return;
    }
    open_value(json, key);
    eep_text_add_json_string(json->text, value);
    close_value(json);
}

void eep_json_add_bool(EepJson *json, const char *key, gboolean value)
{
    open_value(json, key);
    eep_text_add_string(json->text, value ? "true" : "false");
    close_value(json);
}

void eep_json_add_null(EepJson *json, const char *key)
{
    open_value(json, key);
    eep_text_add_string(json->text, "null");
    close_value(json);
}
