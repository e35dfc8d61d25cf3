/* EepGroup: the membership of one EP group epoch, and the only place that maps ranks to workers.
 *
 * A worker id is stable for life; a rank belongs to one epoch. An engine's data-parallel rank is
 * its index here; its EP ranks are tensor_parallel_size consecutive ones. Pointer-free and of fixed
 * capacity, so that it can live inside EepControl (control.h); eep_group_size() bytes. Not the
 * engines themselves. Plain values, no ownership. */
#ifndef EEP_CORE_RESIZE_GROUP_H
#define EEP_CORE_RESIZE_GROUP_H

#include "core/time.h"

G_BEGIN_DECLS

#define EEP_RANK_NONE G_MAXUINT32

typedef struct {
    EepEpoch epoch; /* 0: no group yet */
    guint32 capacity;
    guint32 n_engines;
    guint32 tensor_parallel_size;
    EepWorkerId workers[]; /* [capacity]; the first n_engines by data-parallel rank, the rest 0 */
} EepGroup;

/* Bytes that a group of up to `capacity` engines takes, a multiple of 8. */
gsize eep_group_size(guint capacity);

void eep_group_init(EepGroup *group, guint capacity, guint tensor_parallel_size);

/* Sets members and epoch. n_engines <= capacity; `workers` may be the group's own, or NULL for
 * none. */
void eep_group_set(EepGroup *group, EepEpoch epoch, guint n_engines, const EepWorkerId *workers);

/* Worker of a data-parallel rank below n_engines. */
static inline EepWorkerId eep_group_worker(const EepGroup *group, guint rank)
{
    g_assert(rank < group->n_engines);
    return group->workers[rank];
}

/* Data-parallel rank of a worker, EEP_RANK_NONE if it is not a member. O(engines). */
guint eep_group_rank(const EepGroup *group, EepWorkerId worker);

/* Size of the EP group: engines x tensor_parallel_size. */
static inline guint eep_group_n_ranks(const EepGroup *group)
{
    return group->n_engines * group->tensor_parallel_size;
}

/* Worker that holds an EP rank below eep_group_n_ranks(). */
static inline EepWorkerId eep_group_worker_of_ep_rank(const EepGroup *group, guint ep_rank)
{
    return eep_group_worker(group, ep_rank / group->tensor_parallel_size);
}

/* Which new engines an old one sends the non-expert weights to, one after the other: of n_new
 * engines that join n_old, sender s serves the block of n_new / n_old (the first n_new mod n_old
 * senders one more) that follows its predecessors' blocks. *ret_first counts from the first new
 * engine. Returns the length, 0 for an idle sender. 2 -> 3: rank 0 serves rank 2, rank 1 none.
 * (vLLM, vllm/distributed/elastic_ep/elastic_execute.py.) */
guint eep_group_weight_receivers(guint n_old, guint n_new, guint sender, guint *ret_first);

/* The longest of these chains: ceil(n_new / n_old). n_old > 0. */
guint eep_group_weight_chain(guint n_old, guint n_new);

G_END_DECLS

#endif
