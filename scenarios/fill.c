#include "scenarios/fill.h"

#include "core/suggest.h"

#include <string.h>

typedef struct {
    const EepYamlDocument *document;
    const EepOptionTable *table;
    const char *where;
    const char *const *also;
    gpointer base;
    GError **error;
} Fill;

/* Keys of the scenario format that this version refuses, and what to do instead. */
static const struct {
    const char *key, *instead;
} later_keys[] = {
    {"autoscaler", "; try events with scale_elastic_ep"},
    {"deployment.kv_transfer", ""},
    {"deployment.speculative_config",
     "; with elastic EP vLLM refuses drafters with experts (MTP) too"},
    {"traffic.sessions", "; try trace or synthetic"},
    {"traffic.closed_loop", "; try trace or synthetic"},
    {"events[].move_engines", "; try scale_elastic_ep"},
};

const char *eep_fill_later(const char *key)
{
    for (guint i = 0; i < G_N_ELEMENTS(later_keys); i++)
        if (strcmp(later_keys[i].key, key) == 0)
            return later_keys[i].instead;
    return NULL;
}

char *eep_fill_resolve(const EepYamlDocument *document, const EepYaml *node, const char *path)
{
    if (node->set != NULL || g_path_is_absolute(path))
        return g_strdup(path);
    g_autofree char *folder = g_path_get_dirname(document->name);
    return strcmp(folder, ".") == 0 ? g_strdup(path) : g_build_filename(folder, path, NULL);
}

/* Does an option or a caller's key lie below `path`? */
static gboolean is_level(const Fill *fill, const char *path)
{
    gsize length = strlen(path);
    for (guint i = 0; i < fill->table->n_options; i++) {
        const char *key = fill->table->options[i].key;
        if (strncmp(key, path, length) == 0 && key[length] == '.')
            return TRUE;
    }
    for (const char *const *key = fill->also; key != NULL && *key != NULL; key++)
        if (strncmp(*key, path, length) == 0 && (*key)[length] == '.')
            return TRUE;
    return FALSE;
}

/* The next part of `key` below `path` ("" is the top) if it lies there; new string or NULL. */
static char *part_below(const char *key, const char *path)
{
    gsize length = strlen(path);
    if (length > 0) {
        if (strncmp(key, path, length) != 0 || key[length] != '.')
            return NULL;
        key += length + 1;
    }
    return g_strndup(key, strcspn(key, "."));
}

static void add_once(GPtrArray *parts, char *part)
{
    if (part == NULL)
        return;
    for (guint i = 0; i < parts->len; i++)
        if (strcmp(parts->pdata[i], part) == 0) {
            g_free(part);
            return;
        }
    g_ptr_array_add(parts, part);
}

/* Keys that may stand below `path`, NULL-terminated. */
static GPtrArray *keys_below(const Fill *fill, const char *path)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < fill->table->n_options; i++)
        add_once(parts, part_below(fill->table->options[i].key, path));
    for (const char *const *key = fill->also; key != NULL && *key != NULL; key++)
        add_once(parts, part_below(*key, path));
    g_ptr_array_add(parts, NULL);
    return parts;
}

/* An option whose last part is `name`: the user forgot, or invented, the level above it. */
static const char *elsewhere(const Fill *fill, const char *name)
{
    for (guint i = 0; i < fill->table->n_options; i++) {
        const char *key = fill->table->options[i].key, *dot = strrchr(key, '.');
        if (dot != NULL && strcmp(dot + 1, name) == 0)
            return key;
    }
    return NULL;
}

static gboolean unknown_key(const Fill *fill, const EepYaml *key, const char *path)
{
    g_autofree char *place = *path == '\0'          ? g_strdup(fill->where)
                             : *fill->where != '\0' ? g_strconcat(fill->where, ".", path, NULL)
                                                    : g_strdup(path);
    g_autoptr(GPtrArray) allowed = keys_below(fill, path);
    const char *nearest = eep_suggest_nearest(key->text, (const char *const *)allowed->pdata);
    if (nearest == NULL)
        nearest = elsewhere(fill, key->text);
    g_autofree char *list = allowed->len <= 16
                                ? g_strjoinv(", ", (char **)allowed->pdata)
                                : g_strdup_printf("one of %u keys, eep explain %s lists them",
                                                  allowed->len - 1, fill->table->prefix);
    return eep_yaml_fail(fill->document, key, EEP_OPTION_ERROR_UNKNOWN, fill->error,
                         "unknown key \"%s\"%s%s: %s%s%s", key->text, *place != '\0' ? " in " : "",
                         place, list, nearest != NULL ? "; try " : "",
                         nearest != NULL ? nearest : "");
}

static gboolean fill_value(const Fill *fill, const EepOption *option, const EepYaml *node)
{
    g_autofree char *allowed = eep_option_allowed(option);
    const char *name =
        strrchr(option->key, '.') != NULL ? strrchr(option->key, '.') + 1 : option->key;
    if (node->kind != EEP_YAML_SCALAR)
        return eep_yaml_fail(fill->document, node, EEP_OPTION_ERROR_SYNTAX, fill->error,
                             "\"%s\" is a %s: %s", name,
                             node->kind == EEP_YAML_LIST ? "list" : "map", allowed);
    if (eep_yaml_is_null(node))
        return eep_yaml_fail(fill->document, node, EEP_OPTION_ERROR_SYNTAX, fill->error,
                             "\"%s\" has no value: %s", name, allowed);
    GError *cause = NULL;
    g_autofree char *resolved =
        option->type == EEP_OPTION_PATH ? eep_fill_resolve(fill->document, node, node->text) : NULL;
    if (!eep_option_parse(option, fill->base, resolved != NULL ? resolved : node->text, &cause))
        return eep_yaml_fail_with(fill->document, node, cause, fill->error);
    return TRUE;
}

static gboolean fill_map(const Fill *fill, const EepYaml *map, const char *path);

static gboolean fill_key(const Fill *fill, const EepYaml *key, const EepYaml *item,
                         const char *path)
{
    g_autofree char *full =
        *path != '\0' ? g_strconcat(path, ".", key->text, NULL) : g_strdup(key->text);
    if (fill->also != NULL && g_strv_contains(fill->also, full))
        return TRUE;
    g_autofree char *global = *fill->table->prefix != '\0'
                                  ? g_strconcat(fill->table->prefix, ".", full, NULL)
                                  : g_strdup(full);
    const char *instead = eep_fill_later(global);
    if (instead != NULL)
        return eep_yaml_fail(fill->document, key, EEP_OPTION_ERROR_UNKNOWN, fill->error,
                             "not yet: \"%s\" is not supported by this version: leave it out%s",
                             key->text, instead);
    const EepOption *option = eep_options_find(fill->table, full);
    if (option != NULL)
        return fill_value(fill, option, item);
    if (strchr(key->text, '.') != NULL || !is_level(fill, full))
        return unknown_key(fill, key, path);
    return fill_map(fill, item, full);
}

static gboolean fill_map(const Fill *fill, const EepYaml *map, const char *path)
{
    if (map->kind != EEP_YAML_MAP) {
        const char *name = *path != '\0' ? path : fill->where;
        g_autoptr(GPtrArray) allowed = keys_below(fill, path);
        g_autofree char *list =
            allowed->len <= 16 ? g_strjoinv(", ", (char **)allowed->pdata) : g_strdup("its keys");
        return eep_yaml_fail(fill->document, map, EEP_OPTION_ERROR_SYNTAX, fill->error,
                             "\"%s\" is a %s: a map with %s", name,
                             map->kind == EEP_YAML_LIST ? "list" : "value", list);
    }
    for (guint i = 0; i < map->items->len; i++)
        if (!fill_key(fill, map->keys->pdata[i], map->items->pdata[i], path))
            return FALSE;
    return TRUE;
}

gboolean eep_fill(const EepYamlDocument *document, const EepYaml *map, const char *where,
                  const EepOptionTable *table, const char *const *also, gpointer base,
                  GError **error)
{
    Fill fill = {document, table, where, also, base, error};
    return map == NULL || fill_map(&fill, map, "");
}
