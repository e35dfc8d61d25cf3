#include "gpu/coordinator/expert_sums.h"

#include "gpu/worker/weights.h"

typedef struct {
    gint64 key; /* layer << 32 | expert */
    guint64 sum;
} Entry;

GHashTable *eep_expert_sums_new(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
}

guint64 eep_expert_sum(GHashTable *sums, const EepWireModel *model, guint layer, guint expert)
{
    gint64 key = (gint64)layer << 32 | expert;
    Entry *entry = g_hash_table_lookup(sums, &key);
    EepExpertLayout layout;

    if (entry != NULL)
        return entry->sum;
    eep_weights_expert(model->seed, layer, expert, model->hidden, model->intermediate, &layout);
    entry = g_new(Entry, 1);
    *entry = (Entry){key, eep_weights_expert_checksum(&layout)};
    g_hash_table_insert(sums, &entry->key, entry);
    return entry->sum;
}
