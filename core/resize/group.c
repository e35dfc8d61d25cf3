#include "core/resize/group.h"

#include <string.h>

gsize eep_group_size(guint capacity)
{
    return (sizeof(EepGroup) + capacity * sizeof(EepWorkerId) + 7) & ~(gsize)7;
}

void eep_group_init(EepGroup *group, guint capacity, guint tensor_parallel_size)
{
    memset(group, 0, eep_group_size(capacity));
    group->capacity = capacity;
    group->tensor_parallel_size = tensor_parallel_size;
}

void eep_group_set(EepGroup *group, EepEpoch epoch, guint n_engines, const EepWorkerId *workers)
{
    g_assert(n_engines <= group->capacity);
    group->epoch = epoch;
    group->n_engines = n_engines;
    /* `workers` may be the group's own array: shrinking keeps the lowest ranks. */
    if (n_engines > 0)
        memmove(group->workers, workers, n_engines * sizeof *workers);
    memset(group->workers + n_engines, 0, (group->capacity - n_engines) * sizeof *group->workers);
}

guint eep_group_rank(const EepGroup *group, EepWorkerId worker)
{
    for (guint rank = 0; rank < group->n_engines; rank++)
        if (group->workers[rank] == worker)
            return rank;
    return EEP_RANK_NONE;
}

guint eep_group_weight_receivers(guint n_old, guint n_new, guint sender, guint *ret_first)
{
    guint each = n_new / n_old, extra = n_new % n_old;

    g_assert(sender < n_old);
    *ret_first = sender * each + MIN(sender, extra);
    return each + (sender < extra);
}

guint eep_group_weight_chain(guint n_old, guint n_new)
{
    return (n_new + n_old - 1) / n_old;
}
