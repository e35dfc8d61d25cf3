/* Did you mean: the nearest of some words.
 *
 * Used for unknown keys, words and profile names. Not a parser, not a spelling dictionary. Pure
 * function, any thread. */
#ifndef EEP_CORE_SUGGEST_H
#define EEP_CORE_SUGGEST_H

#include <glib.h>

G_BEGIN_DECLS

/* The word of the NULL-terminated `candidates` with the fewest edits from `word` (insert, delete,
 * replace, swap of neighbours; case and hyphen against underscore count nothing), the first on a
 * tie; NULL when none is within a third of the word's length plus one. Owned by `candidates`. */
const char *eep_suggest_nearest(const char *word, const char *const *candidates);

G_END_DECLS

#endif
