#include "core/json.h"
#include "scenarios/reference.h"
#include "scenarios/scenario.h"

#include <string.h>

/* A level of keys, or a key: the options of a section as the tree that a file writes. */
typedef struct Level {
    char *name;
    const EepOption *option; /* NULL: a map */
    GPtrArray *children;
} Level;

static void level_free(gpointer data)
{
    Level *level = data;
    g_free(level->name);
    g_ptr_array_unref(level->children);
    g_free(level);
}

static Level *level_child(Level *level, const char *name)
{
    for (guint i = 0; i < level->children->len; i++) {
        Level *child = level->children->pdata[i];
        if (strcmp(child->name, name) == 0)
            return child;
    }
    Level *child = g_new0(Level, 1);
    child->name = g_strdup(name);
    child->children = g_ptr_array_new_with_free_func(level_free);
    g_ptr_array_add(level->children, child);
    return child;
}

static void add_table(Level *root, const EepOptionTable *table)
{
    for (guint i = 0; i < table->n_options; i++) {
        g_auto(GStrv) parts = g_strsplit(table->options[i].key, ".", -1);
        Level *level = root;
        for (char **part = parts; *part != NULL; part++)
            level = level_child(level, *part);
        level->option = &table->options[i];
    }
}

static const char *pattern(EepOptionType type)
{
    switch (type) {
    case EEP_OPTION_TIME:
        return "^[0-9.eE+-]+ *(ns|us|ms|s|min|h|d)$";
    case EEP_OPTION_BYTES:
        return "^[0-9.eE+-]+ *([kMGT]?B|[KMGT]iB)$";
    case EEP_OPTION_BYTES_PER_S:
        return "^[0-9.eE+-]+ *([kMGT]?B|[KMGT]iB|[kMGT]b)/s$";
    default:
        return "^[0-9.eE+-]+ */(s|min|h)$";
    }
}

static void add_bounds(EepJson *json, const EepOption *option)
{
    if (option->min > option->max)
        return;
    eep_json_add_double(json, "minimum", option->min, 17);
    if (option->max < EEP_HUGE)
        eep_json_add_double(json, "maximum", option->max, 17);
}

static void add_option(EepJson *json, const EepOption *option)
{
    eep_json_add_string(json, "description", option->help);
    switch (option->type) {
    case EEP_OPTION_BOOL:
        eep_json_add_string(json, "type", "boolean");
        break;
    case EEP_OPTION_INT:
        eep_json_add_string(json, "type", "integer");
        add_bounds(json, option);
        break;
    case EEP_OPTION_DOUBLE:
        eep_json_add_string(json, "type", "number");
        add_bounds(json, option);
        break;
    case EEP_OPTION_STRING:
    case EEP_OPTION_PATH:
        eep_json_add_string(json, "type", "string");
        break;
    case EEP_OPTION_WORD: {
        g_auto(GStrv) words = g_strsplit(option->words, "|", -1);
        eep_json_begin_array(json, "enum");
        for (char **word = words; *word != NULL; word++)
            eep_json_add_string(json, NULL, *word);
        eep_json_end_array(json);
        break;
    }
    default:
        eep_json_add_string(json, "type", "string");
        eep_json_add_string(json, "pattern", pattern(option->type));
        break;
    }
}

static void add_level(EepJson *json, const char *key, const Level *level);

/* Members of an object that stands open. */
static void add_map(EepJson *json, const Level *level)
{
    eep_json_add_string(json, "type", "object");
    eep_json_add_bool(json, "additionalProperties", FALSE);
    eep_json_begin_object(json, "properties");
    for (guint i = 0; i < level->children->len; i++) {
        const Level *child = level->children->pdata[i];
        add_level(json, child->name, child);
    }
    eep_json_end_object(json);
}

/* Lists and short forms, by the name of their level. */
static const struct {
    const char *name, *short_type;
    gboolean is_list;
} shapes[] = {
    {"model", "string", FALSE},
    {"hardware", "string", FALSE},
    {"input_tokens", "integer", FALSE},
    {"output_tokens", "integer", FALSE},
    {"events", NULL, TRUE},
    {"piecewise", NULL, TRUE},
};

static void add_level(EepJson *json, const char *key, const Level *level)
{
    eep_json_begin_object(json, key);
    if (level->option != NULL) {
        add_option(json, level->option);
        eep_json_end_object(json);
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
        if (strcmp(shapes[i].name, level->name) != 0)
            continue;
        if (shapes[i].is_list) {
            eep_json_add_string(json, "type", "array");
            eep_json_begin_object(json, "items");
            add_map(json, level);
            eep_json_end_object(json);
        } else {
            eep_json_begin_array(json, "anyOf");
            eep_json_begin_object(json, NULL);
            eep_json_add_string(json, "type", shapes[i].short_type);
            eep_json_end_object(json);
            eep_json_begin_object(json, NULL);
            add_map(json, level);
            eep_json_end_object(json);
            eep_json_end_array(json);
        }
        eep_json_end_object(json);
        return;
    }
    add_map(json, level);
    eep_json_end_object(json);
}

/* One pool's keys, or pools with defaults. */
static void add_deployment(EepJson *json, const Level *pool)
{
    eep_json_begin_object(json, "deployment");
    eep_json_begin_array(json, "anyOf");
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "$ref", "#/$defs/pool");
    eep_json_end_object(json);
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "type", "object");
    eep_json_add_bool(json, "additionalProperties", FALSE);
    eep_json_begin_array(json, "required");
    eep_json_add_string(json, NULL, "pools");
    eep_json_end_array(json);
    eep_json_begin_object(json, "properties");
    eep_json_begin_object(json, "defaults");
    eep_json_add_string(json, "$ref", "#/$defs/pool");
    eep_json_end_object(json);
    eep_json_begin_object(json, "pools");
    eep_json_add_string(json, "type", "object");
    eep_json_begin_object(json, "additionalProperties");
    eep_json_add_string(json, "$ref", "#/$defs/pool");
    eep_json_end_object(json);
    eep_json_end_object(json);
    for (guint i = 0; i < pool->children->len; i++) {
        const Level *child = pool->children->pdata[i];
        if (strcmp(child->name, "router") == 0)
            add_level(json, "router", child);
    }
    eep_json_end_object(json);
    eep_json_end_object(json);
    eep_json_end_array(json);
    eep_json_end_object(json);
}

static void add_properties(EepJson *json, const Level *root)
{
    eep_json_begin_object(json, "properties");
    for (guint i = 0; i < root->children->len; i++) {
        const Level *child = root->children->pdata[i];
        if (strcmp(child->name, "deployment") == 0)
            add_deployment(json, child);
        else
            add_level(json, child->name, child);
    }
    eep_json_begin_object(json, "expect");
    eep_json_add_string(json, "type", "array");
    eep_json_begin_object(json, "items");
    eep_json_add_string(json, "type", "string");
    eep_json_end_object(json);
    eep_json_end_object(json);
    eep_json_end_object(json);
}

char *eep_scenario_schema(void)
{
    static const char *const required[] = {"eep", "model", "hardware", "deployment", "traffic"};
    Level *root = g_new0(Level, 1);
    Level *pool = NULL;
    EepText text;
    EepJson json;

    root->children = g_ptr_array_new_with_free_func(level_free);
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++) {
        Level *level = root;
        g_auto(GStrv) parts = g_strsplit(section->key, ".", -1);
        for (char **part = parts; *part != NULL; part++) {
            g_autofree char *name = g_strndup(*part, strcspn(*part, "["));
            level = level_child(level, name);
        }
        add_table(level, section->table);
        if (strcmp(section->key, "deployment") == 0)
            pool = level;
    }
    eep_text_init(&text);
    eep_json_init(&json, &text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
    eep_json_add_string(&json, "title", "eep scenario");
    eep_json_add_string(&json, "type", "object");
    eep_json_add_bool(&json, "additionalProperties", FALSE);
    eep_json_begin_array(&json, "required");
    for (guint i = 0; i < G_N_ELEMENTS(required); i++)
        eep_json_add_string(&json, NULL, required[i]);
    eep_json_end_array(&json);
    add_properties(&json, root);
    eep_json_begin_object(&json, "$defs");
    eep_json_begin_object(&json, "pool");
    add_map(&json, pool);
    eep_json_end_object(&json);
    eep_json_end_object(&json);
    eep_json_end_object(&json);
    level_free(root);
    return eep_text_steal(&text);
}
