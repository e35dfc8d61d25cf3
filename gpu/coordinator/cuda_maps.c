/* Placements on their way to workers: each layer's map is sent before the first forward that needs
 * it, to each worker that does not have it yet. */
#include <string.h>

#include "gpu/coordinator/cuda_internal.h"

/* Of a map that was derived: the next forward with a placement sends the real one. */
#define DERIVED G_MAXUINT32

static void post_map(EepCudaPoolState *pool, EepCudaWorker *worker, guint rank, guint layer,
                     guint32 version, EepEpoch epoch, guint n_ranks, const gint32 *experts)
{
    guint slots = pool->model.slots_per_rank;
    guint n = n_ranks * slots;
    g_autofree guint32 *wire = g_new(guint32, n);
    EepWireMessage message = {.type = EEP_WIRE_MAP,
                              .map = {.layer = layer,
                                      .version = version,
                                      .epoch = epoch,
                                      .n_ranks = n_ranks,
                                      .may_load = !worker->has_stepped,
                                      .n_slots = n,
                                      .experts = wire}};

    for (guint i = 0; i < n; i++)
        wire[i] = experts[i] == EEP_PLACEMENT_EMPTY ? EEP_WIRE_SLOT_EMPTY : (guint32)experts[i];
    eep_link_post(worker->link, &message);
    worker->map_versions[layer] = version;
    memcpy(worker->map + (gsize)layer * slots, experts + (gsize)rank * slots,
           slots * sizeof *experts);
    pool->map_changed_at = eep_monotonic_ns();
}

void eep_cuda_post_maps(EepCudaPoolState *pool, EepCudaWorker *worker, guint rank, EepEpoch epoch,
                        const EepPlacement *placement)
{
    for (guint layer = 0; layer < pool->model.n_layers; layer++)
        if (worker->map_epoch != epoch || worker->has_old_maps ||
            worker->map_versions[layer] != placement->version[layer])
            post_map(pool, worker, rank, layer, placement->version[layer], epoch,
                     placement->n_ranks, eep_placement_layer(placement, layer));
    worker->map_epoch = epoch;
}

void eep_cuda_keep_layout(EepCudaPoolState *pool, const EepPlacement *placement)
{
    gsize row = (gsize)placement->n_ranks * pool->model.slots_per_rank;

    if (pool->layout_ranks != placement->n_ranks) {
        pool->layout_ranks = placement->n_ranks;
        pool->layout = g_renew(gint32, pool->layout, MAX(1, pool->model.n_layers * row));
    }
    for (guint layer = 0; layer < pool->model.n_layers; layer++)
        memcpy(pool->layout + layer * row, eep_placement_layer(placement, layer),
               row * sizeof *pool->layout);
}

/* vLLM's first map, which everybody has who starts with everybody else. */
static gint32 initial_expert(const EepCudaPoolState *pool, guint slot)
{
    guint n = pool->model.n_experts;

    return (gint32)(slot < n ? slot : (slot - n) % n);
}

/* What the rank's worker held in the last step's placement; whoever had no part in it holds
 * nothing yet, and where nobody had, all hold what they start with. */
static void fill_rank(const EepCudaPoolState *pool, const EepWorkerGroup *group, guint rank,
                      guint layer, gboolean is_anew, gint32 *ret_slots)
{
    guint slots = pool->model.slots_per_rank, old = EEP_RANK_NONE;

    for (guint i = 0; i < pool->last_members->len && i < pool->layout_ranks; i++)
        if (g_array_index(pool->last_members, EepWorkerId, i) == group->members[rank])
            old = i;
    for (guint s = 0; s < slots; s++)
        ret_slots[s] = is_anew ? initial_expert(pool, rank * slots + s)
                       : old == EEP_RANK_NONE
                           ? EEP_PLACEMENT_EMPTY
                           : pool->layout[((gsize)layer * pool->layout_ranks + old) * slots + s];
}

static gboolean is_anew(const EepCudaPoolState *pool, const EepWorkerGroup *group)
{
    for (guint i = 0; i < pool->last_members->len; i++)
        if (eep_worker_group_rank(group, g_array_index(pool->last_members, EepWorkerId, i)) !=
            EEP_RANK_NONE)
            return FALSE;
    return TRUE;
}

void eep_cuda_post_derived_maps(EepCudaBackend *self, EepCudaPoolState *pool,
                                const EepWorkerGroup *group)
{
    guint slots = pool->model.slots_per_rank;
    g_autofree gint32 *experts = g_new(gint32, MAX(1, (gsize)group->n_members * slots));
    gboolean anew = is_anew(pool, group);

    for (guint layer = 0; layer < pool->model.n_layers; layer++) {
        for (guint rank = 0; rank < group->n_members; rank++)
            fill_rank(pool, group, rank, layer, anew, experts + (gsize)rank * slots);
        for (guint rank = 0; rank < group->n_members; rank++) {
            EepCudaWorker *worker = eep_cuda_worker(self, group->members[rank]);

            if (worker != NULL && worker->link != NULL)
                post_map(pool, worker, rank, layer, DERIVED, group->epoch, group->n_members,
                         experts);
        }
    }
    for (guint rank = 0; rank < group->n_members; rank++) {
        EepCudaWorker *worker = eep_cuda_worker(self, group->members[rank]);

        /* What nobody has told is a guess: the first real map may load what it wants. */
        if (worker != NULL && worker->link != NULL && !anew)
            worker->map_epoch = group->epoch;
    }
}
