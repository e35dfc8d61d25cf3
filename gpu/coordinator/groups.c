#include "gpu/coordinator/groups.h"

struct EepWorkerGroups {
    GPtrArray *made; /* EepWorkerGroup, oldest first */
};

static void group_free(gpointer data)
{
    EepWorkerGroup *group = data;

    g_free(group->members);
    g_free(group);
}

static EepWorkerGroup *nth(const EepWorkerGroups *groups, guint i)
{
    return g_ptr_array_index(groups->made, i);
}

EepWorkerGroups *eep_worker_groups_new(void)
{
    EepWorkerGroups *groups = g_new0(EepWorkerGroups, 1);

    groups->made = g_ptr_array_new_with_free_func(group_free);
    return groups;
}

void eep_worker_groups_free(EepWorkerGroups *groups)
{
    g_ptr_array_free(groups->made, TRUE);
    g_free(groups);
}

const EepWorkerGroup *eep_worker_groups_make(EepWorkerGroups *groups, EepEpoch epoch, guint n,
                                             const EepWorkerId *members)
{
    EepWorkerGroup *group = g_new0(EepWorkerGroup, 1);

    *group = (EepWorkerGroup){
        .epoch = epoch, .n_members = n, .members = g_memdup2(members, n * sizeof *members)};
    for (guint i = 0; i < groups->made->len; i++)
        if (nth(groups, i)->epoch == epoch) {
            g_ptr_array_remove_index(groups->made, i);
            break;
        }
    g_ptr_array_add(groups->made, group);
    return group;
}

const EepWorkerGroup *eep_worker_groups_find(const EepWorkerGroups *groups, EepEpoch epoch)
{
    for (guint i = 0; i < groups->made->len; i++)
        if (nth(groups, i)->epoch == epoch)
            return nth(groups, i);
    return NULL;
}

guint eep_worker_group_rank(const EepWorkerGroup *group, EepWorkerId worker)
{
    for (guint i = 0; i < group->n_members; i++)
        if (group->members[i] == worker)
            return i;
    return EEP_RANK_NONE;
}

static gboolean has_all(const EepWorkerGroup *group, guint n, const EepWorkerId *workers)
{
    for (guint i = 0; i < n; i++)
        if (workers[i] != 0 && eep_worker_group_rank(group, workers[i]) == EEP_RANK_NONE)
            return FALSE;
    return TRUE;
}

const EepWorkerGroup *eep_worker_groups_newest_with(const EepWorkerGroups *groups, guint n,
                                                    const EepWorkerId *workers)
{
    for (guint i = groups->made->len; i > 0; i--)
        if (has_all(nth(groups, i - 1), n, workers))
            return nth(groups, i - 1);
    return NULL;
}

void eep_worker_groups_set_broken(EepWorkerGroups *groups, EepEpoch epoch, EepGroupUse use,
                                  gboolean is_broken)
{
    for (guint i = 0; i < groups->made->len; i++)
        if (nth(groups, i)->epoch == epoch) {
            nth(groups, i)->is_broken[use] = is_broken;
            nth(groups, i)->is_spent &= is_broken || use != EEP_GROUP_MOVES;
        }
}

void eep_worker_groups_spend(EepWorkerGroups *groups, EepEpoch epoch)
{
    for (guint i = 0; i < groups->made->len; i++)
        if (nth(groups, i)->epoch == epoch)
            nth(groups, i)->is_spent = TRUE;
}

void eep_worker_groups_retire(EepWorkerGroups *groups, EepEpoch kept)
{
    for (guint i = groups->made->len; i > 0; i--)
        if (nth(groups, i - 1)->epoch != kept)
            g_ptr_array_remove_index(groups->made, i - 1);
}

gboolean eep_worker_groups_others_have(const EepWorkerGroups *groups, EepEpoch kept,
                                       EepWorkerId worker)
{
    for (guint i = 0; i < groups->made->len; i++)
        if (nth(groups, i)->epoch != kept &&
            eep_worker_group_rank(nth(groups, i), worker) != EEP_RANK_NONE)
            return TRUE;
    return FALSE;
}

gboolean eep_worker_groups_have(const EepWorkerGroups *groups, EepWorkerId worker)
{
    return eep_worker_groups_others_have(groups, 0, worker);
}
