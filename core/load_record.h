/* EepLoadRecord: recorded expert load: tokens of each expert by piece of time and layer, and, where
 * they were recorded, every token's choices.
 *
 * Values only: traces/load_file.h reads files, skew.h makes popularity of it, `eep eplb` places
 * experts by it. The fields may be read by anybody; owned by whoever made it, one thread. */
#ifndef EEP_CORE_LOAD_RECORD_H
#define EEP_CORE_LOAD_RECORD_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    guint n_windows, n_layers, n_experts; /* T, L, E; all > 0 */
    guint top_k;                          /* experts of a token; 0: unknown */
    double *tokens;                       /* [T][L][E], >= 0, in order of time */
    gsize n_tokens;                       /* of routes */
    guint8 *routes;                       /* nullable [n_tokens][L][top_k], expert ids */
} EepLoadRecord;

/* All zeros, without routes. */
EepLoadRecord *eep_load_record_new(guint n_windows, guint n_layers, guint n_experts);
void eep_load_record_free(EepLoadRecord *record); /* NULL is allowed */

/* Sum over windows [from, to); ret_tokens [L][E] is overwritten. */
void eep_load_record_sum(const EepLoadRecord *record, guint from, guint to, double *ret_tokens);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepLoadRecord, eep_load_record_free)

G_END_DECLS

#endif
