/* EepYaml: a YAML document as a tree that remembers where each value was written.
 *
 * What scenarios and profiles need of YAML and no more: scalars, lists and maps in block or flow
 * style. Anchors, aliases, tags and several documents in a file are refused; so are duplicate keys.
 * Scalars stay text; what they mean is the option's business. Not thread-safe. Nodes belong to
 * their parent, the root to its document. */
#ifndef EEP_SCENARIOS_YAML_H
#define EEP_SCENARIOS_YAML_H

#include "core/options.h"

G_BEGIN_DECLS

#define EEP_YAML_MAX_BYTES (1024 * 1024)
#define EEP_YAML_MAX_DEPTH 32
#define EEP_YAML_MAX_NODES 50000
#define EEP_YAML_MAX_KEYS  1000 /* of one map */

typedef enum { EEP_YAML_SCALAR, EEP_YAML_LIST, EEP_YAML_MAP } EepYamlKind;

typedef struct {
    EepYamlKind kind;
    gboolean quoted;    /* scalar in quotes, so never null */
    char *text;         /* scalar; else NULL */
    GPtrArray *keys;    /* map: EepYaml scalars, parallel to items; else NULL */
    GPtrArray *items;   /* map and list: EepYaml; else NULL */
    guint line, column; /* of its first character, from 1; 0: not from a file */
    char *set;          /* "KEY=VALUE" when an override wrote it, else NULL */
} EepYaml;

typedef struct {
    char *name; /* for messages: the path as given */
    char *text;
    EepYaml *root; /* always a map */
} EepYamlDocument;

/* Parses `length` bytes. NULL with a message in the house's form (file, line, column, source line,
 * caret) on anything that is not one map. */
EepYamlDocument *eep_yaml_parse(const char *name, const char *text, gssize length, GError **error);

/* The same from a file of at most EEP_YAML_MAX_BYTES. */
EepYamlDocument *eep_yaml_load(const char *path, GError **error);

void eep_yaml_document_free(EepYamlDocument *document); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepYamlDocument, eep_yaml_document_free)

/* Applies one override "KEY=VALUE": VALUE is YAML flow syntax, KEY a path with dots, list elements
 * as "events.0" or "events[0]" (the index one past the end appends). Missing maps on the way are
 * made; the value "null" removes the key. */
gboolean eep_yaml_set(EepYamlDocument *document, const char *assignment, GError **error);

/* The value of `key` in a map, NULL when absent or when `map` is no map. */
EepYaml *eep_yaml_find(const EepYaml *map, const char *key);

/* The node at a path as in eep_yaml_set(), NULL when absent. */
EepYaml *eep_yaml_find_path(const EepYaml *root, const char *path);

/* A plain empty scalar, "null" or "~". */
gboolean eep_yaml_is_null(const EepYaml *node);

/* New nodes without a place. put() takes over `item` and replaces an earlier value; append() takes
 * over `item`. */
EepYaml *eep_yaml_new_scalar(const char *text);
EepYaml *eep_yaml_new_list(void);
EepYaml *eep_yaml_new_map(void);
void eep_yaml_put(EepYaml *map, const char *key, EepYaml *item);
void eep_yaml_append(EepYaml *list, EepYaml *item);
gboolean eep_yaml_remove(EepYaml *map, const char *key);
void eep_yaml_free(EepYaml *node); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepYaml, eep_yaml_free)

/* Sets an error in the house's form at `node` (nullable: the whole file) and returns FALSE. */
gboolean eep_yaml_fail(const EepYamlDocument *document, const EepYaml *node, EepOptionError code,
                       GError **error, const char *format, ...) G_GNUC_PRINTF(5, 6);

/* The same with the message and code of `cause`, which is freed. */
gboolean eep_yaml_fail_with(const EepYamlDocument *document, const EepYaml *node, GError *cause,
                            GError **error);

/* The map as YAML text that parses to an equal tree; maps that fit a line are written in flow
 * style. New string. */
char *eep_yaml_to_text(const EepYaml *map);

G_END_DECLS

#endif
