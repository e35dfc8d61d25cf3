/* EepExploreFrontier: the states of one depth that wait to be expanded, each with the way to it.
 *
 * A queue of packed records: bytes of a state that are 0, most of them, take an eighth of their
 * room. What has been taken out is freed a chunk at a time. One thread each. */
#ifndef EEP_SIM_EXPLORE_FRONTIER_H
#define EEP_SIM_EXPLORE_FRONTIER_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    gsize state_size; /* a multiple of 8 */
    GQueue chunks;    /* of GByteArray, the first to be read first */
    gsize read_at;    /* in the first chunk */
    guint64 n_states, n_bytes;
} EepExploreFrontier;

void eep_explore_frontier_init(EepExploreFrontier *frontier, gsize state_size);
void eep_explore_frontier_clear(EepExploreFrontier *frontier);

/* `path` is the choice made at each event so far. */
void eep_explore_frontier_push(EepExploreFrontier *frontier, gconstpointer state,
                               const guint8 *path, guint depth);

/* FALSE when it is empty. ret_path has room for `depth` bytes. */
gboolean eep_explore_frontier_pop(EepExploreFrontier *frontier, gpointer ret_state,
                                  guint8 *ret_path, guint depth);

G_END_DECLS

#endif
