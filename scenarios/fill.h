/* Filling a module's struct from a map of a document, by the module's option table.
 *
 * Every key of the map must be an option of the table or one that the caller reads itself; keys of
 * the format that this version cannot do are refused by name. Pure functions over their arguments.
 */
#ifndef EEP_SCENARIOS_FILL_H
#define EEP_SCENARIOS_FILL_H

#include "scenarios/yaml.h"

G_BEGIN_DECLS

/* Stores what `map` gives into the struct at `base`, which must be initialised; what it does not
 * give stays. `map` NULL: nothing. `also` (nullable, NULL-terminated) are keys, dotted below the
 * table's prefix, that are left to the caller. `where` is the map's place in words
 * ("deployment.pools.decode"). Relative paths become relative to the document's folder, in
 * overrides to the current one. */
gboolean eep_fill(const EepYamlDocument *document, const EepYaml *map, const char *where,
                  const EepOptionTable *table, const char *const *also, gpointer base,
                  GError **error);

/* For a key of the format that is refused for now ("events[].fail"): what to try instead, "; try …"
 * or "". NULL: it is not such a key. */
const char *eep_fill_later(const char *key);

/* `path` as `document` means it: relative to its folder, unless an override gave it. New string. */
char *eep_fill_resolve(const EepYamlDocument *document, const EepYaml *node, const char *path);

G_END_DECLS

#endif
