#include "tests/run_folder/schema_check.h"

#include <string.h>

static char *check(json_t *schema, json_t *value, const char *path);

static gboolean is_type(const char *type, const json_t *value)
{
    return (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "null") == 0 && json_is_null(value));
}

static gboolean is_one_type(json_t *types, const json_t *value)
{
    gsize i;
    json_t *type;

    if (types == NULL)
        return TRUE;
    if (json_is_string(types))
        return is_type(json_string_value(types), value);
    json_array_foreach(types, i, type) if (is_type(json_string_value(type), value)) return TRUE;
    return FALSE;
}

static gboolean is_among(json_t *list, const json_t *value)
{
    gsize i;
    json_t *allowed;

    json_array_foreach(list, i, allowed) if (json_equal(allowed, value)) return TRUE;
    return FALSE;
}

static char *check_object(json_t *schema, json_t *value, const char *path)
{
    json_t *properties = json_object_get(schema, "properties"), *name, *member;
    json_t *others = json_object_get(schema, "additionalProperties");
    const char *key;
    gsize i;

    json_array_foreach(json_object_get(schema, "required"), i, name)
    {
        if (json_object_get(value, json_string_value(name)) == NULL)
            return g_strdup_printf("%s: has no \"%s\"", path, json_string_value(name));
    }
    json_object_foreach(value, key, member)
    {
        g_autofree char *at = g_strdup_printf("%s.%s", path, key);
        json_t *property = json_object_get(properties, key);
        if (property == NULL && json_is_false(others))
            return g_strdup_printf("%s: is not in the schema", at);
        char *fault = property != NULL         ? check(property, member, at)
                      : json_is_object(others) ? check(others, member, at)
                                               : NULL;
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

static char *check(json_t *schema, json_t *value, const char *path)
{
    json_t *constant = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    json_t *minimum = json_object_get(schema, "minimum"), *items = json_object_get(schema, "items");
    json_t *element;
    gsize i;

    if (!is_one_type(json_object_get(schema, "type"), value))
        return g_strdup_printf("%s: is of the wrong type", path);
    if (constant != NULL && !json_equal(constant, value))
        return g_strdup_printf("%s: is not the constant", path);
    if (list != NULL && !is_among(list, value))
        return g_strdup_printf("%s: is not one of the words", path);
    if (minimum != NULL && json_is_number(value) &&
        json_number_value(value) < json_number_value(minimum))
        return g_strdup_printf("%s: is below the minimum", path);
    if (json_is_object(value))
        return check_object(schema, value, path);
    json_array_foreach(value, i, element)
    {
        g_autofree char *at = g_strdup_printf("%s[%" G_GSIZE_FORMAT "]", path, i);
        char *fault = items != NULL ? check(items, element, at) : NULL;
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

char *schema_check(json_t *schema, json_t *value)
{
    return check(schema, value, "$");
}

json_t *schema_load(const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/docs/schema/%s.schema.json", SOURCE_DIR, name);
    json_error_t place;
    json_t *schema = json_load_file(path, 0, &place);

    if (schema == NULL)
        g_error("%s:%d: %s", path, place.line, place.text);
    return schema;
}
