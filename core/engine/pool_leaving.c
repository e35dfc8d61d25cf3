/* Which engines leave when it does not matter which: those whose leaving loses least.
 *
 * What is lost is counted in bytes that have to move, or to be made again: the KV of the requests
 * that run there, and the experts that only its ranks hold. One engine is chosen after the other,
 * since what two of them hold alone together is held alone by the second once the first is gone. Of
 * equals the highest rank leaves, so that an idle pool shrinks as vLLM's does. */
#include "core/engine/pool_internal.h"

/* KV of the requests that run, or were running when they stopped. */
static double kv_bytes(const EepPool *pool, const EepEngine *engine)
{
    double tokens = (double)engine->context_base + (double)engine->n_decodes * engine->counter;

    if (engine->partial != NULL)
        tokens += (double)eep_engine_computed(engine, engine->partial);
    return (tokens * (double)pool->shape.kv_bytes_per_token +
            (double)engine->running.n * (double)pool->shape.kv_bytes_bounded) *
           (double)pool->options.tensor_parallel_size;
}

/* Ranks that hold each expert, [L][E], of the engines that stay; a rank counts once. `seen` [E] is
 * scratch. */
typedef struct {
    const EepPlacement *placement;
    guint tp;
    guint32 *holders, *seen;
} Held;

/* Adds `by` for each expert that the engine holds in any of its slots, or (by 0) counts those that
 * nobody else does. */
static guint64 visit(Held *held, guint engine, gint by)
{
    const guint E = held->placement->n_experts, S = held->placement->slots_per_rank;
    guint64 n_alone = 0;

    for (guint layer = 0; layer < held->placement->n_layers; layer++) {
        const gint32 *row = eep_placement_layer(held->placement, layer);
        guint32 *holders = held->holders + (gsize)layer * E;

        for (guint slot = engine * held->tp * S; slot < (engine + 1) * held->tp * S; slot++) {
            if (row[slot] == EEP_PLACEMENT_EMPTY || held->seen[row[slot]] == layer + 1)
                continue;
            held->seen[row[slot]] = layer + 1;
            n_alone += by == 0 && holders[row[slot]] == 1;
            holders[row[slot]] += (guint32)by;
        }
        for (guint slot = engine * held->tp * S; slot < (engine + 1) * held->tp * S; slot++)
            if (row[slot] != EEP_PLACEMENT_EMPTY)
                held->seen[row[slot]] = 0;
    }
    return n_alone;
}

static void held_init(Held *held, const EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);

    *held = (Held){.placement = placement,
                   .tp = (guint)pool->options.tensor_parallel_size,
                   .holders = g_new0(guint32, (gsize)placement->n_layers * placement->n_experts),
                   .seen = g_new0(guint32, placement->n_experts)};
    for (guint i = 0; i < pool->n_engines; i++)
        visit(held, pool->engines[i]->index, 1);
}

void eep_pool_choose_leaving(const EepPool *pool, guint n, EepWorkerId *ret_workers)
{
    g_autofree gboolean *is_leaving = g_new0(gboolean, pool->n_engines);
    Held held = {0};

    g_return_if_fail(n < pool->n_engines);
    if (pool->eplb != NULL)
        held_init(&held, pool);
    for (guint k = 0; k < n; k++) {
        guint best = pool->n_engines;
        double least = 0.0;

        for (guint i = 0; i < pool->n_engines; i++) {
            double loss;

            if (is_leaving[i])
                continue;
            loss = kv_bytes(pool, pool->engines[i]);
            if (pool->eplb != NULL)
                loss += (double)visit(&held, pool->engines[i]->index, 0) *
                        (double)pool->shape.expert_bytes;
            if (best == pool->n_engines || loss <= least) {
                best = i;
                least = loss;
            }
        }
        is_leaving[best] = TRUE;
        ret_workers[k] = pool->engines[best]->worker;
        if (pool->eplb != NULL)
            visit(&held, pool->engines[best]->index, -1);
    }
    g_free(held.holders);
    g_free(held.seen);
}
