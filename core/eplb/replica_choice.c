#include "core/eplb/replica_choice.h"

#include "core/rng.h"

const char *eep_replica_choice_name(gint choice)
{
    static const char *const names[EEP_REPLICA_COUNT] = {
        [EEP_REPLICA_HASH] = "hash",     [EEP_REPLICA_RANDOM] = "random",
        [EEP_REPLICA_STATIC] = "static", [EEP_REPLICA_LEAST_LOADED] = "least_loaded",
        [EEP_REPLICA_LP] = "lp",
    };
    g_return_val_if_fail(choice >= 0 && choice < EEP_REPLICA_COUNT, NULL);
    return names[choice];
}

static guint64 mix(guint64 value)
{
    return eep_rng_splitmix64(&value);
}

guint64 eep_replica_key(guint64 seed, guint64 step, guint layer)
{
    return mix(mix(seed ^ mix(step)) + layer);
}

guint eep_replica_random(guint64 key, guint source, guint32 local_index, guint k, guint n_replicas)
{
    guint64 bits = mix(mix(key ^ ((guint64)source << 32 | local_index)) + k);
    return (guint)((bits >> 32) * n_replicas >> 32);
}

void eep_replica_static(guint layer, guint expert, const guint32 *slots, guint n_replicas,
                        guint slots_per_rank, guint n_ranks, guint ranks_per_node,
                        guint16 *ret_replica)
{
    const guint slots_per_node = slots_per_rank * ranks_per_node;
    guint turn = (guint)(mix((guint64)layer << 32 | expert) % n_replicas);
    for (guint rank = 0; rank < n_ranks; rank++) {
        guint on_node = 0, first_on_node = 0, same_gpu = n_replicas;
        for (guint j = n_replicas; j-- > 0;) {
            if (slots[j] / slots_per_rank == rank)
                same_gpu = j;
            if (slots[j] / slots_per_node == rank / ranks_per_node) {
                on_node++;
                first_on_node = j;
            }
        }
        guint replica = first_on_node;
        if (same_gpu < n_replicas)
            replica = same_gpu;
        else if (on_node == 0 || on_node == n_replicas)
            replica = turn++ % n_replicas;
        ret_replica[rank] = (guint16)replica;
    }
}
