/* EepExploreTable: the set of states that have been seen, 16 bytes each, in one open-addressing
 * table.
 *
 * An entry is the state's name with two marks in its lowest bits: it has been visited, and a state
 * at rest is reachable from it. It grows by doubling until its bytes reach the limit. No deletion.
 * One thread each. */
#ifndef EEP_SIM_EXPLORE_TABLE_H
#define EEP_SIM_EXPLORE_TABLE_H

#include "sim/explore_hash.h"

G_BEGIN_DECLS

typedef enum {
    EEP_EXPLORE_VISITED = 1,
    EEP_EXPLORE_ENDS = 2,
} EepExploreMark;

typedef struct {
    EepExploreHash *entries;
    guint64 n_entries, n_visited; /* in use; of them, marked as visited */
    guint64 mask;                 /* places - 1 */
    guint64 max_bytes;
} EepExploreTable;

void eep_explore_table_init(EepExploreTable *table, guint64 max_bytes);
void eep_explore_table_clear(EepExploreTable *table);

/* Marks the state, which need not be there. *ret_before: its marks until now, 0 if it was not.
 * FALSE when there is no room for it. */
gboolean eep_explore_table_mark(EepExploreTable *table, EepExploreHash hash, guint marks,
                                guint *ret_before);

/* Its marks, 0 if it is not there. */
guint eep_explore_table_marks(const EepExploreTable *table, EepExploreHash hash);

/* Bytes that it takes now. */
guint64 eep_explore_table_bytes(const EepExploreTable *table);

G_END_DECLS

#endif
