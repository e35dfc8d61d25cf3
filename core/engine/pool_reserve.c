/* The reserve of generation `masked`: engines that run from the start of the run, masked, so that
 * the group can grow by them at once. One that stands by is billed as reserved; one that joins
 * leaves the reserve, and one that is released stands by again. They are counted, not kept: an
 * engine has a worker id and a queue only while it is in the pool. */
#include "core/engine/pool_internal.h"

void eep_pool_reserve_init(EepPool *pool, const EepGeneration *generation)
{
    guint n = (guint)MIN(pool->options.resize.reserve, G_MAXUINT32);
    guint n_others = pool->shape.max_engines - MIN(pool->shape.max_engines, pool->n_engines);
    guint n_most =
        pool->shape.max_engines - MIN(n_others, (guint)pool->options.fault_tolerance.spare_engines);

    pool->reserve = g_array_new(FALSE, FALSE, sizeof(EepTime));
    if (!generation->has_reserve)
        return;
    if (n == 0 || n > n_most)
        n = n_most;
    pool->n_reserved = MAX(n, pool->n_engines);
    for (guint i = pool->n_engines; i < pool->n_reserved; i++)
        eep_pool_reserve_put(pool, FALSE);
}

void eep_pool_reserve_clear(EepPool *pool)
{
    if (pool->reserve != NULL)
        g_array_free(pool->reserve, TRUE);
}

/* The one that has stood by for the shortest time. A spare has stood by elsewhere. */
void eep_pool_reserve_take(EepPool *pool, gboolean is_spare)
{
    EepObserver *observer = pool->services->observer;
    EepTime since, now = eep_loop_now(pool->services->loop);

    if (is_spare)
        pool->n_reserved += pool->n_reserved > 0;
    if (is_spare || pool->reserve->len == 0)
        return;
    since = g_array_index(pool->reserve, EepTime, pool->reserve->len - 1);
    g_array_set_size(pool->reserve, pool->reserve->len - 1);
    if (now > since)
        observer->ops->gpu_time(observer, pool->id, EEP_GPU_RESERVED, since, now,
                                (guint)pool->options.tensor_parallel_size);
}

void eep_pool_reserve_put(EepPool *pool, gboolean is_gone)
{
    EepTime now = eep_loop_now(pool->services->loop);

    if (pool->n_reserved > 0 && is_gone)
        pool->n_reserved--;
    else if (pool->n_reserved > 0)
        g_array_append_val(pool->reserve, now);
}

void eep_pool_reserve_finish(EepPool *pool)
{
    while (pool->reserve->len > 0)
        eep_pool_reserve_take(pool, FALSE);
}
