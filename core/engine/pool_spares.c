/* Spares of recovery `replace`: who is left, who has been launched as one, and what they cost while
 * they wait. When they are called in is pool_recovery.c's. */
#include "core/engine/pool_fault.h"

static EepTime now_of(const EepPool *pool)
{
    return eep_loop_now(pool->services->loop);
}

guint eep_pool_fault_n_spares(const EepPool *pool)
{
    return pool->faults->n_spares - pool->faults->n_claimed;
}

void eep_pool_fault_bill_spares(EepPool *pool, guint n)
{
    EepObserver *observer = pool->services->observer;
    EepTime now = now_of(pool);

    if (n > 0 && now > 0)
        observer->ops->gpu_time(observer, pool->id, EEP_GPU_RESERVED, 0, now,
                                n * (guint)pool->options.tensor_parallel_size);
}

gboolean eep_pool_fault_launched(EepPool *pool, const EepEngine *engine)
{
    EepPoolFaults *faults = pool->faults;
    EepLaunchedSpare spare = {engine->worker, faults->n_warm > 0};

    if (faults->n_claimed == 0)
        return FALSE;
    faults->n_claimed--;
    faults->n_spares--;
    faults->n_warm -= spare.is_warm;
    eep_pool_fault_bill_spares(pool, spare.is_warm);
    g_array_append_val(faults->launched, spare);
    return TRUE;
}

static guint find_launched(const EepPool *pool, EepWorkerId worker)
{
    const GArray *launched = pool->faults->launched;
    guint i = 0;

    while (i < launched->len && g_array_index(launched, EepLaunchedSpare, i).worker != worker)
        i++;
    return i;
}

void eep_pool_fault_adopted(EepPool *pool)
{
    GArray *launched = pool->faults->launched;

    for (guint i = 0; i < pool->n_engines && launched->len > 0; i++) {
        guint at = find_launched(pool, pool->engines[i]->worker);

        if (at < launched->len)
            g_array_remove_index(launched, at);
    }
    eep_pool_fault_placed(pool);
}

gboolean eep_pool_fault_released(EepPool *pool, const EepEngine *engine)
{
    guint at = find_launched(pool, engine->worker);
    gboolean is_spare = at < pool->faults->launched->len;

    if (is_spare) {
        g_array_remove_index(pool->faults->launched, at);
        pool->faults->n_spares += !engine->is_dead;
    }
    eep_pool_fault_placed(pool);
    return is_spare;
}

gboolean eep_pool_fault_phase_is_free(const EepPool *pool, const EepResizeWork *work)
{
    const GArray *launched = pool->faults->launched;
    EepBackend *backend = pool->services->backend;
    EepBackendCaps caps;

    if (work->kind != EEP_PHASE_LAUNCH || launched->len == 0)
        return FALSE;
    backend->ops->query_caps(backend, &caps);
    if (caps.launches_spares)
        return FALSE;
    for (guint i = 0; i < work->n_workers; i++) {
        guint at = find_launched(pool, work->workers[i]);

        if (at == launched->len || !g_array_index(launched, EepLaunchedSpare, at).is_warm)
            return FALSE;
    }
    return TRUE;
}
