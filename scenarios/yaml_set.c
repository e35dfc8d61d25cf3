#include "scenarios/yaml.h"

#include <string.h>

/* "a.b[0].c" as NULL-terminated parts {"a", "b", "0", "c"}; NULL when a part is empty. */
static char **split_path(const char *path)
{
    GString *plain = g_string_new(NULL);
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '[')
            g_string_append_c(plain, '.');
        else if (*at != ']')
            g_string_append_c(plain, *at);
    }
    char **parts = g_strsplit(plain->str, ".", EEP_YAML_MAX_DEPTH + 1);
    g_string_free(plain, TRUE);
    gboolean good = parts[0] != NULL && g_strv_length(parts) <= EEP_YAML_MAX_DEPTH;
    for (char **part = parts; good && *part != NULL; part++)
        good = **part != '\0';
    if (!good)
        g_clear_pointer(&parts, g_strfreev);
    return parts;
}

static gboolean parse_index(const char *text, guint *ret)
{
    guint64 index;
    if (!g_ascii_string_to_unsigned(text, 10, 0, EEP_YAML_MAX_NODES, &index, NULL))
        return FALSE;
    *ret = (guint)index;
    return TRUE;
}

static EepYaml *child(const EepYaml *node, const char *part)
{
    guint index;
    if (node->kind == EEP_YAML_MAP)
        return eep_yaml_find(node, part);
    if (node->kind == EEP_YAML_LIST && parse_index(part, &index) && index < node->items->len)
        return node->items->pdata[index];
    return NULL;
}

EepYaml *eep_yaml_find_path(const EepYaml *root, const char *path)
{
    g_auto(GStrv) parts = split_path(path);
    if (parts == NULL)
        return NULL;
    const EepYaml *node = root;
    for (char **part = parts; node != NULL && *part != NULL; part++)
        node = child(node, *part);
    return (EepYaml *)node;
}

static void mark(EepYaml *node, const char *assignment)
{
    g_free(node->set);
    node->set = g_strdup(assignment);
    node->line = node->column = 0;
    for (guint i = 0; node->keys != NULL && i < node->keys->len; i++)
        mark(node->keys->pdata[i], assignment);
    for (guint i = 0; node->items != NULL && i < node->items->len; i++)
        mark(node->items->pdata[i], assignment);
}

/* Puts `value` (taken over; NULL removes) at `part` of `node`. */
static gboolean put_at(EepYaml *node, const char *part, EepYaml *value, GError **error)
{
    guint index;
    if (node->kind == EEP_YAML_MAP) {
        if (value == NULL)
            eep_yaml_remove(node, part);
        else
            eep_yaml_put(node, part, value);
        return TRUE;
    }
    if (node->kind == EEP_YAML_SCALAR || !parse_index(part, &index) || index > node->items->len ||
        (value == NULL && index == node->items->len)) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_UNKNOWN,
                    node->kind == EEP_YAML_SCALAR
                        ? "\"%s\" is below a value that is no map: a key of a map"
                        : "\"%s\" is no element of the list: 0 to its length",
                    part);
        eep_yaml_free(value);
        return FALSE;
    }
    if (value == NULL) {
        g_ptr_array_remove_index(node->items, index);
    } else if (index == node->items->len) {
        g_ptr_array_add(node->items, value);
    } else {
        eep_yaml_free(node->items->pdata[index]);
        node->items->pdata[index] = value;
    }
    return TRUE;
}

static gboolean apply(EepYaml *root, char **parts, EepYaml *value, const char *assignment,
                      GError **error)
{
    EepYaml *node = root;
    for (; parts[1] != NULL; parts++) {
        EepYaml *next = child(node, parts[0]);
        if (next == NULL || eep_yaml_is_null(next)) {
            if (value == NULL)
                return TRUE;
            next = eep_yaml_new_map();
            next->set = g_strdup(assignment);
            if (!put_at(node, parts[0], next, error)) {
                eep_yaml_free(value);
                return FALSE;
            }
        }
        node = next;
    }
    return put_at(node, parts[0], value, error);
}

/* The value's own messages speak of a file; this says the override instead. */
static EepYaml *parse_value(const char *text, GError **error)
{
    g_autofree char *wrapped = g_strconcat("v: ", text, "\n", NULL);
    g_autoptr(GError) problem = NULL;
    g_autoptr(EepYamlDocument) value = NULL;
    if (strpbrk(text, "\r\n") == NULL)
        value = eep_yaml_parse("", wrapped, -1, &problem);
    if (value == NULL || value->root->items->len != 1) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                    "the value is not YAML in one line: as in a file; try {KEY: VALUE} or [A, B]");
        return NULL;
    }
    return g_ptr_array_steal_index(value->root->items, 0);
}

gboolean eep_yaml_set(EepYamlDocument *document, const char *assignment, GError **error)
{
    EepYaml place = {.set = (char *)assignment};
    const char *equals = strchr(assignment, '=');
    GError *cause = NULL;

    if (!g_utf8_validate(assignment, -1, NULL))
        return eep_yaml_fail(document, NULL, EEP_OPTION_ERROR_SYNTAX, error,
                             "--set: the text is not UTF-8: UTF-8");
    if (equals == NULL || equals == assignment)
        return eep_yaml_fail(document, &place, EEP_OPTION_ERROR_SYNTAX, error,
                             "there is no KEY=VALUE: a key, = and a value; try slo.ttft=2s");
    g_autofree char *path = g_strndup(assignment, (gsize)(equals - assignment));
    g_auto(GStrv) parts = split_path(path);
    if (parts == NULL)
        return eep_yaml_fail(document, &place, EEP_OPTION_ERROR_SYNTAX, error,
                             "\"%s\" is no key: names with dots between; try events[0].at", path);
    EepYaml *value = parse_value(equals + 1, &cause);
    if (value == NULL)
        return eep_yaml_fail_with(document, &place, cause, error);
    if (eep_yaml_is_null(value))
        g_clear_pointer(&value, eep_yaml_free);
    else
        mark(value, assignment);
    if (!apply(document->root, parts, value, assignment, &cause))
        return eep_yaml_fail_with(document, &place, cause, error);
    return TRUE;
}
