/* What the checksum of an expert's weights must be, from the hash that makes them.
 *
 * Computed once for each (layer, expert) and kept. Not the weights. One thread. */
#ifndef EEP_GPU_COORDINATOR_EXPERT_SUMS_H
#define EEP_GPU_COORDINATOR_EXPERT_SUMS_H

#include "gpu/wire.h"

G_BEGIN_DECLS

/* A table for eep_expert_sum(); g_hash_table_unref(). */
GHashTable *eep_expert_sums_new(void);

guint64 eep_expert_sum(GHashTable *sums, const EepWireModel *model, guint layer, guint expert);

G_END_DECLS

#endif
