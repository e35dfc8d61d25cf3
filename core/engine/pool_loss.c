/* The account of experts without a live slot: for how long, and how many tokens were computed
 * without one that they chose. */
#include "core/engine/pool_fault.h"

#include "core/math.h"

static gboolean is_live(const EepPool *pool, guint rank)
{
    guint engine = rank / (guint)pool->options.tensor_parallel_size;

    return engine < pool->n_engines && !pool->engines[engine]->is_dead;
}

/* Marks the layer's experts that a live rank holds; returns how many it does not. */
static guint mark_live(const EepPool *pool, guint layer, guint8 *ret_has)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const gint32 *experts = eep_placement_layer(placement, layer);
    guint n_missing = placement->n_experts;

    for (guint e = 0; e < placement->n_experts; e++)
        ret_has[e] = FALSE;
    for (guint rank = 0; rank < placement->n_ranks; rank++) {
        if (!is_live(pool, rank))
            continue;
        for (guint s = 0; s < placement->slots_per_rank; s++) {
            gint32 expert = experts[rank * placement->slots_per_rank + s];

            if (expert == EEP_PLACEMENT_EMPTY || ret_has[expert])
                continue;
            ret_has[expert] = TRUE;
            n_missing--;
        }
    }
    return n_missing;
}

/* While a restart takes engines away one by one, ranks have no owner and nothing is live. */
static guint64 count_missing(const EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    g_autofree guint8 *has = g_new(guint8, placement->n_experts);
    guint n_ranks = pool->n_engines * (guint)pool->options.tensor_parallel_size;
    guint64 n = 0;

    if (n_ranks != placement->n_ranks)
        return (guint64)placement->n_layers * placement->n_experts;
    for (guint layer = 0; layer < placement->n_layers; layer++)
        n += mark_live(pool, layer, has);
    return n;
}

static EepTrouble *oldest_lossy(const EepPoolFaults *faults)
{
    for (guint i = 0; i < faults->troubles->len; i++) {
        EepTrouble *trouble = g_ptr_array_index(faults->troubles, i);

        if (eep_trouble_is_lossy(trouble))
            return trouble;
    }
    return NULL;
}

void eep_pool_fault_placed(EepPool *pool)
{
    EepPoolFaults *faults = pool->faults;
    EepTime now;

    if (pool->eplb == NULL || (faults->n_lossy == 0 && faults->missing_of == NULL))
        return;
    now = eep_loop_now(pool->services->loop);
    if (faults->missing_of != NULL)
        faults->missing_of->incident.experts_missing_s +=
            (double)pool->n_missing * eep_time_to_seconds(now - faults->missing_since);
    faults->missing_of = oldest_lossy(faults);
    faults->missing_since = now;
    faults->degraded_share = -1.0;
    pool->n_missing = faults->missing_of != NULL && !pool->has_exited ? count_missing(pool) : 0;
}

/* Expected share of tokens that choose a missing expert in some layer, the layers' choices and
 * those of one layer taken as independent: 1 - product of (1 - q)^k, k choices a layer, q the
 * missing experts' part of its load. */
static double degraded_share(EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const guint n_experts = placement->n_experts;
    g_autofree double *load = g_new0(double, (gsize)placement->n_layers *n_experts);
    g_autofree guint8 *has = g_new(guint8, n_experts);
    double whole = 1.0;

    pool->predictor->ops->add_load(pool->predictor, 0, 1.0, load);
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        double chosen = 0.0, missing = 0.0;

        if (mark_live(pool, layer, has) == 0)
            continue;
        for (guint e = 0; e < n_experts; e++) {
            chosen += load[layer * n_experts + e];
            missing += has[e] ? 0.0 : load[layer * n_experts + e];
        }
        if (chosen > 0.0)
            whole *= eep_pow(1.0 - MIN(1.0, missing / chosen), chosen);
    }
    return 1.0 - whole;
}

void eep_pool_fault_count_tokens(EepPool *pool, guint64 n)
{
    EepPoolFaults *faults = pool->faults;
    guint64 version = pool->predictor->ops->popularity_version(pool->predictor);

    if (faults->missing_of == NULL)
        return;
    if (faults->degraded_share < 0.0 || faults->degraded_version != version) {
        faults->degraded_share = degraded_share(pool);
        faults->degraded_version = version;
    }
    faults->missing_of->degraded_tokens += (double)n * faults->degraded_share;
}
