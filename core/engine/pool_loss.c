/* The account of what faults cost: experts without a live slot, for how long, and how many tokens
 * were computed without one that they chose; requests that were ended or refused, and their KV. */
#include "core/engine/pool_fault.h"

#include "core/math.h"

static EepTime now_of(const EepPool *pool)
{
    return eep_loop_now(pool->services->loop);
}

static EepTrouble *nth_trouble(const EepPool *pool, guint i)
{
    return g_ptr_array_index(pool->faults->troubles, i);
}

static EepTrouble *by_serial(const EepPool *pool, guint32 serial)
{
    return nth_trouble(pool, serial - 1);
}

/* -- experts ---------------------------------------------------------------------------------- */

typedef enum { NOWHERE, WITH_THE_LOST, LIVE } Whereabouts;

static Whereabouts rank_is(const EepPool *pool, guint rank)
{
    const EepTrouble *losing = pool->faults->losing;
    guint index = rank / (guint)pool->options.tensor_parallel_size;

    if (index >= pool->n_engines)
        return NOWHERE;
    if (!pool->engines[index]->is_dead)
        return LIVE;
    return losing != NULL && eep_workers_have(losing->workers, pool->engines[index]->worker)
               ? WITH_THE_LOST
               : NOWHERE;
}

/* Where the layer's experts are, ret_is [E]. While a restart takes engines away one by one, ranks
 * have no owner and nothing is live. */
static void locate(const EepPool *pool, guint layer, guint8 *ret_is)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const gint32 *experts = eep_placement_layer(placement, layer);
    const guint slots = placement->slots_per_rank;

    for (guint e = 0; e < placement->n_experts; e++)
        ret_is[e] = NOWHERE;
    if (pool->n_engines * (guint)pool->options.tensor_parallel_size != placement->n_ranks)
        return;
    for (guint rank = 0; rank < placement->n_ranks; rank++) {
        Whereabouts is = rank_is(pool, rank);

        for (guint s = rank * slots; s < (rank + 1) * slots; s++)
            if (experts[s] != EEP_PLACEMENT_EMPTY)
                ret_is[experts[s]] = MAX(ret_is[experts[s]], (guint8)is);
    }
}

/* What is being recovered from; a restart takes all experts away for it. */
static guint32 oldest_recovering(const EepPool *pool)
{
    for (guint i = 0; i < pool->faults->troubles->len; i++)
        if (nth_trouble(pool, i)->state == EEP_TROUBLE_RECOVERING)
            return (guint32)nth_trouble(pool, i)->serial;
    return 0;
}

static void add_missing_time(EepPool *pool)
{
    EepPoolFaults *faults = pool->faults;
    double passed = eep_time_to_seconds(now_of(pool) - faults->missing_since);

    for (guint i = 0; i < faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        trouble->incident.experts_missing_s += (double)trouble->n_missing * passed;
        trouble->n_missing = 0;
    }
    faults->missing_since = now_of(pool);
}

/* A pair is laid to the fault that took its last live replica, as long as it has none. */
static guint64 recount(EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const guint n_experts = placement->n_experts;
    EepPoolFaults *faults = pool->faults;
    g_autofree guint8 *is = g_new(guint8, n_experts);
    guint32 recovering = oldest_recovering(pool);
    guint64 n = 0;

    if (faults->taken_by == NULL)
        faults->taken_by = g_new0(guint32, (gsize)placement->n_layers * n_experts);
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        guint32 *taken_by = faults->taken_by + (gsize)layer * n_experts;

        locate(pool, layer, is);
        for (guint e = 0; e < n_experts; e++) {
            n += is[e] != LIVE;
            if (is[e] == LIVE)
                taken_by[e] = 0;
            else if (taken_by[e] == 0)
                taken_by[e] = is[e] == WITH_THE_LOST ? (guint32)faults->losing->serial : recovering;
            if (taken_by[e] != 0)
                by_serial(pool, taken_by[e])->n_missing++;
        }
    }
    return n;
}

void eep_pool_fault_placed(EepPool *pool)
{
    EepPoolFaults *faults = pool->faults;
    guint64 n_before = pool->n_missing;

    if (pool->eplb == NULL || (faults->n_lossy == 0 && n_before == 0))
        return;
    add_missing_time(pool);
    faults->is_share_known = FALSE;
    if (faults->n_lossy > 0 && !pool->has_exited) {
        pool->n_missing = recount(pool);
    } else {
        pool->n_missing = 0;
        g_clear_pointer(&faults->taken_by, g_free);
    }
    if (pool->n_missing == 0 && n_before > 0) {
        faults->whole_since = now_of(pool);
        eep_pool_fault_forwards_run(pool);
    }
}

/* Recovered in all but experts, which have come back. */
void eep_pool_fault_forwards_run(EepPool *pool)
{
    if (pool->faults->n_lossy == 0 || pool->n_missing > 0 || pool->n_holds > 0)
        return;
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);

        if ((trouble->state != EEP_TROUBLE_BELOW && trouble->state != EEP_TROUBLE_REPLACING) ||
            trouble->incident.recovery != EEP_TIME_NEVER)
            continue;
        trouble->incident.recovery = now_of(pool) - trouble->incident.at;
        eep_trouble_tell(pool, trouble, "experts_back", "");
        eep_pool_fault_settle_soon(pool);
    }
}

/* Expected share of tokens that choose in some layer an expert that this fault or an older one
 * took, the layers' choices and those of one layer taken as independent: 1 - product of (1 - q)^k,
 * k choices a layer, q the missing experts' part of its load. */
static double share_up_to(const EepPool *pool, guint64 serial, const double *load)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    const gsize n_experts = placement->n_experts;
    double whole = 1.0;

    for (gsize first = 0; first < placement->n_layers * n_experts; first += n_experts) {
        double chosen = 0.0, missing = 0.0;

        for (gsize pair = first; pair < first + n_experts; pair++) {
            guint32 taken_by = pool->faults->taken_by[pair];

            chosen += load[pair];
            missing += taken_by != 0 && taken_by <= serial ? load[pair] : 0.0;
        }
        if (missing > 0.0)
            whole *= eep_pow(1.0 - MIN(1.0, missing / chosen), chosen);
    }
    return 1.0 - whole;
}

/* A token that an older fault degrades already is not degraded twice. */
static void weigh(EepPool *pool)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);
    g_autofree double *load = g_new0(double, (gsize)placement->n_layers * placement->n_experts);
    double before = 0.0;

    pool->predictor->ops->add_load(pool->predictor, 0, 1.0, load);
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTrouble *trouble = nth_trouble(pool, i);
        double share = trouble->n_missing > 0 ? share_up_to(pool, trouble->serial, load) : before;

        trouble->degraded_share = share - before;
        before = share;
    }
}

void eep_pool_fault_count_tokens(EepPool *pool, guint64 n)
{
    EepPoolFaults *faults = pool->faults;
    guint64 version = pool->predictor->ops->popularity_version(pool->predictor);

    if (!faults->is_share_known || faults->share_version != version) {
        weigh(pool);
        faults->is_share_known = TRUE;
        faults->share_version = version;
    }
    for (guint i = 0; i < faults->troubles->len; i++)
        nth_trouble(pool, i)->degraded_tokens += (double)n * nth_trouble(pool, i)->degraded_share;
}

/* -- requests that are ended ------------------------------------------------------------------ */

void eep_pool_fault_lose_kv(EepTrouble *trouble, const EepEngine *engine)
{
    const EepRequestQueue *const queues[] = {&engine->running, &engine->departing};

    for (guint i = 0; i < G_N_ELEMENTS(queues); i++)
        for (const EepRequest *r = queues[i]->head; r != NULL; r = r->next)
            trouble->incident.n_lost_kv_tokens += eep_engine_computed(engine, r);
}

static void lay_to(const EepPool *pool, const EepTrouble *trouble, EepRequest *request)
{
    request->lost_pool = (guint16)pool->id;
    request->lost_by = (guint32)trouble->serial;
}

void eep_pool_fault_abort_requests(EepPool *pool, EepTrouble *trouble, EepEngine *engine)
{
    const EepRequestQueue *const queues[] = {&engine->running, &engine->waiting,
                                             &engine->departing};

    eep_pool_fault_lose_kv(trouble, engine);
    for (guint i = 0; i < G_N_ELEMENTS(queues); i++)
        for (EepRequest *request = queues[i]->head; request != NULL; request = request->next)
            lay_to(pool, trouble, request);
    eep_pool_end_requests(pool, engine, EEP_FATE_ABORTED, EEP_REASON_FAULT);
}

void eep_pool_fault_end_released(EepPool *pool, EepEngine *engine)
{
    for (guint i = pool->faults->troubles->len; i-- > 0 && engine->is_dead;)
        if (eep_workers_have(nth_trouble(pool, i)->workers, engine->worker)) {
            eep_pool_fault_abort_requests(pool, nth_trouble(pool, i), engine);
            return;
        }
    eep_pool_end_requests(pool, engine, EEP_FATE_ABORTED,
                          engine->is_dead ? EEP_REASON_FAULT : EEP_REASON_SCALE_DOWN);
}

void eep_pool_fault_end_limbo(EepPool *pool)
{
    EepRequestQueue *limbo = &pool->faults->limbo;

    for (EepRequest *request; (request = limbo->head) != NULL;) {
        eep_request_queue_remove(limbo, request);
        lay_to(pool, by_serial(pool, request->limbo_by), request);
        request->fate = EEP_FATE_ABORTED;
        request->reason = EEP_REASON_FAULT;
        request->finish = now_of(pool);
        pool->services->request_ended(pool->services->self, request);
    }
}

/* -- requests that are refused ---------------------------------------------------------------- */

/* What a fault explains while it is in this state: that queues are full, since the group is below
 * its size or slow; and that a resize or a recovery, which waits for it, answers 503. */
static const struct {
    gboolean fills_queues, keeps_503;
} explains[] = {
    [EEP_TROUBLE_SILENT] = {TRUE, TRUE},     [EEP_TROUBLE_JOINER] = {TRUE, TRUE},
    [EEP_TROUBLE_RECOVERING] = {TRUE, TRUE}, [EEP_TROUBLE_REPLACING] = {TRUE, TRUE},
    [EEP_TROUBLE_BELOW] = {TRUE, FALSE},     [EEP_TROUBLE_SLOW] = {TRUE, FALSE},
    [EEP_TROUBLE_PHASE] = {TRUE, TRUE},      [EEP_TROUBLE_ARMED] = {FALSE, FALSE},
    [EEP_TROUBLE_EXITED] = {FALSE, FALSE},   [EEP_TROUBLE_OVER] = {FALSE, FALSE},
};

/* The oldest that explains it; NULL: none does. */
static const EepTrouble *explanation(const EepPool *pool, EepReason reason)
{
    if (reason == EEP_REASON_UNAVAILABLE)
        return pool->faults->exited_by;
    for (guint i = 0; i < pool->faults->troubles->len; i++) {
        EepTroubleState state = nth_trouble(pool, i)->state;

        if (reason == EEP_REASON_QUEUE_LIMIT ? explains[state].fills_queues
                                             : explains[state].keeps_503)
            return nth_trouble(pool, i);
    }
    return NULL;
}

void eep_pool_blame_refusal(EepPool *pool, EepRequest *request, EepReason reason)
{
    const EepTrouble *trouble;

    /* Who was admitted once is aborted for what ended that attempt. */
    if (request->lost_reason != EEP_REASON_NONE)
        return;
    request->lost_by = 0;
    trouble = explanation(pool, reason);
    if (trouble != NULL)
        lay_to(pool, trouble, request);
}

void eep_pool_charge_end(EepPool *pool, const EepRequest *request)
{
    EepIncident *incident = &by_serial(pool, request->lost_by)->incident;
    gboolean is_aborted = request->fate == EEP_FATE_ABORTED && request->reason == EEP_REASON_FAULT;

    incident->n_client_retried += request->fate == EEP_FATE_COMPLETED;
    incident->n_lost += is_aborted || request->fate == EEP_FATE_REJECTED;
    incident->n_lost_rejected += request->fate == EEP_FATE_REJECTED;
}
