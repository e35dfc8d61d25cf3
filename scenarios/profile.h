/* EepProfile: a model or hardware profile read from its file, with where each figure comes from.
 *
 * A profile file is one map: the keys of the option table, each a plain value or {value, basis,
 * source}, beside kind, name, description, basis and source, the latter two for plain values. A
 * file with `alias_of` is another name of that profile. Immutable after loading; not thread-safe;
 * owned by whoever loaded it. */
#ifndef EEP_SCENARIOS_PROFILE_H
#define EEP_SCENARIOS_PROFILE_H

#include "scenarios/yaml.h"

G_BEGIN_DECLS

/* How a figure is known. MEASURED includes what the maker publishes (configuration, data sheet). */
typedef enum { EEP_BASIS_MEASURED, EEP_BASIS_DERIVED, EEP_BASIS_ASSUMED } EepBasis;

extern const char *const eep_basis_words[]; /* in that order, NULL at the end */

typedef struct {
    const char *kind;   /* "model" | "hardware", static */
    const char *folder; /* "models" | "hardware" */
    const EepOptionTable *table;
} EepProfileKind;

extern const EepProfileKind eep_profile_model, eep_profile_hardware;

typedef struct {
    char *text; /* as eep_option_format() writes it; nullable */
    EepBasis basis;
    char *source;   /* never NULL */
    gboolean given; /* FALSE: the table's default */
} EepProfileFigure;

typedef struct {
    const EepProfileKind *kind;
    char *name;        /* canonical: an alias is resolved */
    char *reference;   /* names it in a scenario: the name, or the file without its folder */
    char *description; /* one line; nullable */
    char *sha256;      /* of the file, hexadecimal */
    EepProfileFigure *figures; /* [kind->table->n_options] */
} EepProfile;

/* Loads profile `name` (lower case with hyphens; underscores are accepted), looking for
 * FOLDER/KIND/NAME.yaml in each of `folders` (NULL-terminated), or from the file itself when
 * `name` ends in ".yaml". Fills the struct at ret_base, which then owns strings (release with
 * eep_options_clear()). */
EepProfile *eep_profile_load(const EepProfileKind *kind, const char *name,
                             const char *const *folders, gpointer ret_base, GError **error);

void eep_profile_free(EepProfile *profile); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepProfile, eep_profile_free)

/* The figure of a key; NULL when the table has no such key. */
const EepProfileFigure *eep_profile_figure(const EepProfile *profile, const char *key);
EepBasis eep_profile_basis(const EepProfile *profile, const char *key);

/* Names of all profiles of a kind, aliases included, sorted. New NULL-terminated array. */
char **eep_profile_list(const EepProfileKind *kind, const char *const *folders);

G_END_DECLS

#endif
