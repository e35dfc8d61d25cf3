#include "traces/mooncake.h"

#include <string.h>

#include <jansson.h>

gsize eep_mooncake_key_offset(const char *line, gsize length, const char *key)
{
    char quoted[32];
    int n = g_snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *found = memmem(line, length, quoted, (gsize)n);
    return found != NULL ? (gsize)(found - line) : 0;
}

typedef struct {
    EepMooncakeFields *fields;
    const char *line;
    gsize length;
    EepRowFault *fault;
} Reading;

static gboolean wrong(const Reading *reading, const char *key, const char *allowed)
{
    return eep_row_fault_set(reading->fault,
                             eep_mooncake_key_offset(reading->line, reading->length, key), allowed,
                             "%s has a wrong value", key);
}

static gboolean read_timestamp(const Reading *reading, const char *key, json_t *value)
{
    double ms = json_number_value(value);
    if (!json_is_number(value) || !(ms >= 0 && ms <= 9.2e12))
        return wrong(reading, key, EEP_MOONCAKE_TIME_ALLOWED);
    reading->fields->timestamp = json_is_integer(value) ? json_integer_value(value) * EEP_NS_PER_MS
                                                        : (EepTime)(ms * 1e6 + 0.5);
    return TRUE;
}

static gboolean read_length(const Reading *reading, const char *key, json_t *value,
                            guint64 *ret_length)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(reading, key, EEP_MOONCAKE_TOKENS_ALLOWED);
    *ret_length = (guint64)json_integer_value(value);
    return TRUE;
}

static gboolean read_input_length(const Reading *reading, const char *key, json_t *value)
{
    return read_length(reading, key, value, &reading->fields->input_length);
}

static gboolean read_output_length(const Reading *reading, const char *key, json_t *value)
{
    return read_length(reading, key, value, &reading->fields->output_length);
}

static gboolean read_hash_ids(const Reading *reading, const char *key, json_t *value)
{
    static const char allowed[] = "a list of whole numbers from 0";
    if (!json_is_array(value))
        return wrong(reading, key, allowed);
    gsize i;
    json_t *id;
    json_array_foreach(value, i, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            return wrong(reading, key, allowed);
        eep_mooncake_add_hash(reading->fields, (guint64)json_integer_value(id));
    }
    return TRUE;
}

static gboolean read_priority(const Reading *reading, const char *key, json_t *value)
{
    json_int_t priority = json_integer_value(value);
    if (!json_is_integer(value) || priority < G_MININT32 || priority > G_MAXINT32)
        return wrong(reading, key, "a whole number of 32 bits");
    reading->fields->priority = (gint32)priority;
    return TRUE;
}

static const struct {
    const char *key;
    EepMooncakeKey bit;
    gboolean (*read)(const Reading *reading, const char *key, json_t *value);
} keys[] = {
    {"timestamp", EEP_MOONCAKE_TIMESTAMP, read_timestamp},
    {"input_length", EEP_MOONCAKE_INPUT_LENGTH, read_input_length},
    {"output_length", EEP_MOONCAKE_OUTPUT_LENGTH, read_output_length},
    {"hash_ids", EEP_MOONCAKE_HASH_IDS, read_hash_ids},
    {"priority", EEP_MOONCAKE_PRIORITY, read_priority},
};

gboolean eep_mooncake_read_json(EepMooncakeFields *fields, const char *line, gsize length,
                                EepRowFault *fault)
{
    fields->found = 0;
    fields->n_hashes = 0;
    fields->priority = 0;
    json_error_t failure;
    json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &failure);
    if (root == NULL) {
        /* The excerpt shows what jansson quotes after "near". */
        char *near = strstr(failure.text, " near ");
        if (near != NULL)
            *near = '\0';
        gsize offset = failure.position > 0 ? (gsize)failure.position - 1 : 0;
        return eep_row_fault_set(fault, MIN(offset, length), "one JSON object a line",
                                 "not valid JSON: %s", failure.text);
    }
    Reading reading = {fields, line, length, fault};
    gboolean good = TRUE;
    if (!json_is_object(root))
        good = eep_row_fault_set(fault, 0, "one JSON object a line",
                                 "the line is JSON but not an object");
    for (gsize i = 0; good && i < G_N_ELEMENTS(keys); i++) {
        json_t *value = json_object_get(root, keys[i].key);
        if (value == NULL || json_is_null(value))
            continue;
        fields->found |= keys[i].bit;
        good = keys[i].read(&reading, keys[i].key, value);
    }
    json_decref(root);
    return good;
}
