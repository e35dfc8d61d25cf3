/* EepCatalogue: the kinds of things that have names: what `eep list` lists and `eep show` shows.
 *
 * One row a kind, with functions that list its names and print one of them. Not the things
 * themselves. Static table; items belong to the caller. */
#ifndef EEP_CLI_CATALOGUE_H
#define EEP_CLI_CATALOGUE_H

#include "core/json.h"
#include "core/resize/generation.h"

G_BEGIN_DECLS

typedef struct {
    char *name;
    const char *kind; /* of a policy: "eplb", "router"; else NULL; static */
    char *help;       /* one line */
} EepCatalogueItem;

typedef struct {
    const char *name;   /* "models" */
    const char *what;   /* "model", for messages */
    gboolean has_files; /* a file NAME.yaml of the user's is shown like one that is bundled */
    /* The items, by name or in their table's order. New array that owns them. */
    GPtrArray *(*list)(void);
    /* Adds all that is known of the thing `name`, which list() has or which is a file, as text and,
     * in an open object, as JSON. */
    gboolean (*show)(const char *name, EepText *text, EepJson *json, GError **error);
} EepCatalogue;

/* By name; NULL with an error that proposes the nearest. */
const EepCatalogue *eep_catalogue_find(const char *name, GError **error);

/* The item's own name for a name as the user wrote it (underscores for hyphens, or the other way
 * round), a file's path as it is; NULL with an error that proposes the nearest. New string. */
char *eep_catalogue_find_item(const EepCatalogue *catalogue, const char *name, GError **error);

/* Show functions of show*.c, for the table. */
gboolean eep_show_model(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_hardware(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_generation(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_recovery(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_policy(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_all2all(const char *name, EepText *text, EepJson *json, GError **error);
gboolean eep_show_scenario(const char *name, EepText *text, EepJson *json, GError **error);

/* One line about a router policy, a word of the option router.policy; NULL for another word. */
const char *eep_catalogue_router_help(const char *word);

/* One line about a recovery. Static. */
const char *eep_catalogue_recovery_help(EepRecovery recovery);

G_END_DECLS

#endif
