/* Checks JSON against the part of JSON Schema that docs/schema uses: type, const, enum, minimum,
 * required, properties, additionalProperties, items. For tests only. */
#ifndef EEP_TESTS_RUN_FOLDER_SCHEMA_CHECK_H
#define EEP_TESTS_RUN_FOLDER_SCHEMA_CHECK_H

#include <glib.h>
#include <jansson.h>

G_BEGIN_DECLS

/* NULL when `value` is as `schema` says, else the first difference; new string. */
char *schema_check(json_t *schema, json_t *value);

/* The schema docs/schema/NAME.schema.json; asserts that it is there. New reference. */
json_t *schema_load(const char *name);

G_END_DECLS

#endif
