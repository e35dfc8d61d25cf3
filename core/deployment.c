#include "core/deployment.h"

#include <string.h>

#include "core/rng.h"

#define LONGEST_WAIT 4e18 /* ns; 126 years, which EepTime holds */

struct EepDeployment {
    EepDeploymentOptions options;
    EepPoolServices services;
    GPtrArray *pools; /* EepPool, by id */
    EepRequestTable *requests;
    EepWorkload workload;
    EepArrival next;     /* the arrival that is queued */
    gboolean *has_begun; /* [n_events] it has happened or its time is known */
    EepRng retry_rng;
    GHashTable *retrying; /* id -> EepRequest; looked up only, never walked but at the end */
    guint64 n_submitted;
    gboolean is_exhausted;
    EepTime last_arrival, last_refusal;
};

static EepPool *pool_of(EepDeployment *deployment, guint64 id)
{
    return g_ptr_array_index(deployment->pools, id);
}

/* -- the ends of requests --------------------------------------------------------------------- */

/* The request is over; nothing of it is left after the call. */
static void bury(EepDeployment *deployment, EepRequest *request)
{
    EepObserver *observer = deployment->services.observer;
    EepTime now = eep_loop_now(deployment->services.loop);

    eep_loop_record_action(deployment->services.loop, EEP_ACTION_END_REQUEST, request->id,
                           request->fate);
    if (request->fate == EEP_FATE_COMPLETED && deployment->last_refusal != EEP_TIME_NEVER &&
        request->queued >= deployment->last_refusal)
        eep_pool_saw_success(pool_of(deployment, request->pool));
    if (request->lost_by != 0)
        eep_pool_charge_end(pool_of(deployment, request->lost_pool), request);
    observer->ops->request_ended(observer, request, now);
    eep_request_free(deployment->requests, request);
    if (deployment->is_exhausted && eep_deployment_n_live(deployment) == 0)
        for (guint i = 0; i < deployment->pools->len; i++)
            eep_pool_stop_drawing_faults(pool_of(deployment, i));
}

/* No attempt is left. A request that was admitted once is aborted, whatever became of the attempts
 * after that. */
static void give_up(EepDeployment *deployment, EepRequest *request, EepReason reason)
{
    gboolean was_admitted = request->lost_reason != EEP_REASON_NONE;

    request->fate = was_admitted ? EEP_FATE_ABORTED : EEP_FATE_REJECTED;
    request->reason = was_admitted ? request->lost_reason : (guint8)reason;
    request->finish = eep_loop_now(deployment->services.loop);
    bury(deployment, request);
}

/* -- admission and retries -------------------------------------------------------------------- */

/* Half a client's usual library: exponential backoff with jitter, counted from the refusal. FALSE
 * when no attempt is left. */
static gboolean back_off(EepDeployment *deployment, EepRequest *request)
{
    EepLoop *loop = deployment->services.loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_RETRY, 0),
                      .event_class = EEP_CLASS_WORKLOAD,
                      .kind = EEP_EVENT_RETRY,
                      .a = request->id};
    double wait;

    if (request->n_attempts >= deployment->options.retry_attempts)
        return FALSE;
    wait = (double)deployment->options.retry_backoff *
           (double)(1u << MIN(request->n_attempts - 1, 20));
    wait *= 1.0 + deployment->options.retry_jitter *
                      (2.0 * eep_rng_uniform(&deployment->retry_rng) - 1.0);
    g_hash_table_insert(deployment->retrying, GUINT_TO_POINTER(request->id), request);
    eep_loop_schedule(loop, eep_time_after(eep_loop_now(loop), (EepTime)MIN(wait, LONGEST_WAIT)),
                      &event);
    return TRUE;
}

static void refuse(EepDeployment *deployment, EepPool *pool, EepRequest *request, EepReason reason)
{
    eep_pool_blame_refusal(pool, request, reason);
    if (!back_off(deployment, request))
        give_up(deployment, request, reason);
}

/* The server dropped it, not the client. */
static gboolean is_retryable(const EepRequest *request)
{
    return request->fate == EEP_FATE_ABORTED &&
           (request->reason == EEP_REASON_SCALE_DOWN || request->reason == EEP_REASON_FAULT);
}

/* The next attempt asks for everything again: what this one delivered is of no use. */
static void forget_attempt(EepDeployment *deployment, EepRequest *request)
{
    EepObserver *observer = deployment->services.observer;

    observer->ops->attempt_ended(observer, request, eep_loop_now(deployment->services.loop));
    request->lost_reason = request->reason;
    if (request->reason != EEP_REASON_FAULT)
        request->lost_by = 0;
    request->wasted_tokens += request->generated;
    request->fate = EEP_FATE_NONE;
    request->reason = EEP_REASON_NONE;
    request->generated = 0;
    request->flags = 0;
    request->first_token = request->last_token = request->finish = EEP_TIME_NEVER;
    request->max_gap = 0;
}

static void end_request(gpointer self, EepRequest *request)
{
    if (is_retryable(request) && back_off(self, request))
        forget_attempt(self, request);
    else
        bury(self, request);
}

static gboolean takes_requests(const EepPool *pool)
{
    return !eep_pool_is_refusing(pool) && !eep_pool_has_exited(pool);
}

/* Among replicas the one with the fewest requests an engine that does not answer 503; the first of
 * equals. */
static EepPool *choose_pool(EepDeployment *deployment)
{
    EepPool *best = pool_of(deployment, 0);

    for (guint i = 1; i < deployment->pools->len; i++) {
        EepPool *pool = pool_of(deployment, i);

        if (!takes_requests(pool))
            continue;
        if (!takes_requests(best) || eep_pool_load(pool) < eep_pool_load(best))
            best = pool;
    }
    return best;
}

/* FALSE with the reason when no engine of the pool could ever hold the request. */
static gboolean can_ever_run(const EepPool *pool, const EepRequest *request, EepReason *ret_reason)
{
    const EepPoolShape *shape = eep_pool_shape(pool);
    gint64 n_tokens = (gint64)request->prompt_tokens + request->output_tokens;

    if (n_tokens > shape->max_model_len)
        *ret_reason = EEP_REASON_TOO_LONG;
    else if (!eep_pool_can_hold(pool, request))
        *ret_reason = EEP_REASON_NEVER_FITS;
    else
        return TRUE;
    return FALSE;
}

static void attempt(EepDeployment *deployment, EepRequest *request)
{
    EepPool *pool = choose_pool(deployment);
    EepReason reason;

    request->n_attempts++;
    if (!can_ever_run(pool, request, &reason)) {
        give_up(deployment, request, reason);
    } else if (eep_pool_has_exited(pool)) {
        refuse(deployment, pool, request, EEP_REASON_UNAVAILABLE);
    } else if (eep_pool_is_refusing(pool)) {
        deployment->last_refusal = eep_loop_now(deployment->services.loop);
        eep_pool_saw_rejected(pool);
        refuse(deployment, pool, request, EEP_REASON_SCALING_503);
    } else if (!eep_pool_submit(pool, request)) {
        refuse(deployment, pool, request, EEP_REASON_QUEUE_LIMIT);
    }
}

static gboolean queue_next_arrival(EepDeployment *deployment, GError **error)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_WORKLOAD, 0),
                      .event_class = EEP_CLASS_WORKLOAD,
                      .kind = EEP_EVENT_ARRIVAL};

    switch (deployment->workload.next(deployment->workload.self, &deployment->next, error)) {
    case EEP_WORKLOAD_ARRIVAL:
        event.a = deployment->next.id;
        eep_loop_schedule(deployment->services.loop, deployment->next.arrival, &event);
        return TRUE;
    case EEP_WORKLOAD_END:
        deployment->is_exhausted = TRUE;
        return TRUE;
    case EEP_WORKLOAD_FAILED:
        return FALSE;
    }
    return FALSE;
}

static gboolean on_arrival(EepDeployment *deployment, const EepEvent *event, GError **error)
{
    const EepArrival *arrival = &deployment->next;
    EepRequest *request =
        eep_request_new(deployment->requests, arrival->id, event->time, arrival->prompt_tokens,
                        arrival->output_tokens, arrival->hashes, arrival->n_hashes);

    g_assert(arrival->request_class < EEP_SKEW_MAX_CLASSES);
    request->priority = arrival->priority;
    request->request_class = arrival->request_class;
    deployment->n_submitted++;
    deployment->last_arrival = event->time;
    attempt(deployment, request);
    return queue_next_arrival(deployment, error);
}

static void on_retry(EepDeployment *deployment, const EepEvent *event)
{
    EepRequest *request = g_hash_table_lookup(deployment->retrying, GUINT_TO_POINTER(event->a));

    g_return_if_fail(request != NULL);
    g_hash_table_remove(deployment->retrying, GUINT_TO_POINTER(event->a));
    attempt(deployment, request);
}

/* -- events ----------------------------------------------------------------------------------- */

static gboolean on_completion(EepDeployment *deployment, const EepEvent *event, GError **error)
{
    const EepOperation *operation;
    EepCompletion completion;
    EepPool *pool;

    eep_completion_from_event(event, &completion);
    operation = eep_operations_find(deployment->services.operations, completion.id);
    if (operation == NULL)
        return TRUE; /* late: its operation has ended */
    pool = pool_of(deployment, operation->op.pool);
    if (!eep_operations_complete(deployment->services.operations, &completion, NULL))
        return TRUE;
    return eep_pool_on_completion(pool, &completion, event->blob, error);
}

static gboolean on_deadline(EepDeployment *deployment, const EepEvent *event, GError **error)
{
    const EepOperation *operation = eep_operations_find(deployment->services.operations, event->a);
    EepCompletion completion;
    EepPool *pool;

    if (operation == NULL)
        return TRUE;
    pool = pool_of(deployment, operation->op.pool);
    if (!eep_operations_expire(deployment->services.operations, event->a, &completion))
        return TRUE;
    return eep_pool_on_completion(pool, &completion, NULL, error);
}

/* -- what operators do, and what breaks ------------------------------------------------------- */

static void schedule_event(EepDeployment *deployment, guint index, EepTime at)
{
    gboolean is_fault = deployment->options.events[index].kind == EEP_OPERATOR_FAULT;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_SCENARIO, 0),
                      .event_class = is_fault ? EEP_CLASS_FAULT : EEP_CLASS_OPERATOR,
                      .kind = is_fault ? EEP_EVENT_FAULT : EEP_EVENT_OPERATOR,
                      .a = index};

    deployment->has_begun[index] = TRUE;
    eep_loop_schedule(deployment->services.loop, at, &event);
}

/* Events that wait for this moment of the resize; each for the first time only. */
static void on_span_began(gpointer self, EepPoolId pool, const char *id, const char *name)
{
    EepDeployment *deployment = self;
    EepTime now = eep_loop_now(deployment->services.loop);

    for (guint i = 0; i < deployment->options.n_events; i++) {
        const EepOperatorEvent *event = &deployment->options.events[i];

        if (event->during_resize != NULL && !deployment->has_begun[i] &&
            strcmp(event->during_resize, id) == 0 && strcmp(event->during_phase, name) == 0)
            schedule_event(deployment, i, eep_time_after(now, event->after));
    }
}

static void on_operator(EepDeployment *deployment, const EepEvent *event)
{
    const EepOperatorEvent *what = &deployment->options.events[event->a];
    EepPool *pool = pool_of(deployment, what->pool);

    if (what->kind == EEP_OPERATOR_CANCEL)
        eep_pool_cancel(pool, what->cancels);
    else
        eep_pool_scale(pool, what->new_data_parallel_size, what->id, "scenario");
}

static void on_fault(EepDeployment *deployment, const EepEvent *event)
{
    const EepOperatorEvent *what;

    if (event->b == EEP_POOL_FAULT_DRAWN) {
        eep_pool_on_drawn_fault(pool_of(deployment, event->a));
        return;
    }
    if (event->b == EEP_POOL_FAULT_FOUND) {
        eep_pool_on_found_fault(pool_of(deployment, event->a), (EepWorkerId)event->c,
                                (EepFaultKind)(event->c >> 32));
        return;
    }
    what = &deployment->options.events[event->a];
    eep_pool_fault(pool_of(deployment, what->pool), &what->fault, what->id);
}

/* An event that waited for a resize in vain. */
static void tell_not_reached(EepDeployment *deployment)
{
    EepObserver *observer = deployment->services.observer;

    for (guint i = 0; i < deployment->options.n_events; i++) {
        const EepOperatorEvent *event = &deployment->options.events[i];
        EepFact facts[] = {EEP_FACT_S("id", event->id), EEP_FACT_S("resize", event->during_resize),
                           EEP_FACT_S("phase", event->during_phase)};

        if (!deployment->has_begun[i])
            observer->ops->decision(observer, eep_loop_now(deployment->services.loop), event->pool,
                                    "event_not_reached", facts, G_N_ELEMENTS(facts));
    }
}

static gboolean on_timer(EepDeployment *deployment, const EepEvent *event, GError **error)
{
    EepPool *pool = pool_of(deployment, event->a);

    if (event->c != 0)
        return eep_pool_on_fault_timer(pool, event->b, event->c, error);
    eep_pool_on_timer(pool, event->b);
    return TRUE;
}

gboolean eep_deployment_handle(gpointer self, const EepEvent *event, GError **error)
{
    EepDeployment *deployment = self;

    switch ((EepEventKind)event->kind) {
    case EEP_EVENT_OP_DONE:
        return on_completion(deployment, event, error);
    case EEP_EVENT_ARRIVAL:
        return on_arrival(deployment, event, error);
    case EEP_EVENT_PLAN:
        return eep_pool_on_plan(pool_of(deployment, event->a), error);
    case EEP_EVENT_STATS:
        eep_pool_on_stats(pool_of(deployment, event->a));
        return TRUE;
    case EEP_EVENT_RETRY:
        on_retry(deployment, event);
        return TRUE;
    case EEP_EVENT_OPERATOR:
        on_operator(deployment, event);
        return TRUE;
    case EEP_EVENT_NOTE:
        eep_pool_on_note(pool_of(deployment, event->a >> 32), event);
        return TRUE;
    case EEP_EVENT_TIMER:
        return on_timer(deployment, event, error);
    case EEP_EVENT_DEADLINE:
        return on_deadline(deployment, event, error);
    case EEP_EVENT_FAULT:
        on_fault(deployment, event);
        return TRUE;
    case EEP_EVENT_NONE:
        return TRUE;
    case EEP_EVENT_COUNT:
        break;
    }
    g_set_error(error, EEP_POOL_ERROR, EEP_POOL_ERROR_BROKEN,
                "event of kind %u that nobody handles", event->kind);
    return FALSE;
}

/* -- life ------------------------------------------------------------------------------------- */

EepDeployment *eep_deployment_new(const EepDeploymentOptions *options, EepBackend *backend,
                                  EepPredictor *predictor, EepObserver *observer)
{
    EepDeployment *deployment = g_new0(EepDeployment, 1);

    deployment->options = *options;
    deployment->services = (EepPoolServices){.backend = backend,
                                             .predictor = predictor,
                                             .operations = eep_operations_new(),
                                             .observer = observer,
                                             .seed = options->seed,
                                             .next_worker = 1,
                                             .request_ended = end_request,
                                             .span_began = on_span_began,
                                             .self = deployment};
    deployment->has_begun = g_new0(gboolean, MAX(1, options->n_events));
    deployment->pools = g_ptr_array_new_with_free_func((GDestroyNotify)eep_pool_free);
    deployment->requests = eep_request_table_new();
    deployment->retrying = g_hash_table_new(NULL, NULL);
    deployment->last_arrival = deployment->last_refusal = EEP_TIME_NEVER;
    eep_rng_init(&deployment->retry_rng, options->seed, "retry");
    return deployment;
}

void eep_deployment_free(EepDeployment *deployment)
{
    if (deployment == NULL)
        return;
    g_ptr_array_free(deployment->pools, TRUE);
    eep_request_table_free(deployment->requests);
    eep_operations_free(deployment->services.operations);
    g_hash_table_destroy(deployment->retrying);
    g_free(deployment->has_begun);
    g_free(deployment);
}

void eep_deployment_attach(EepDeployment *deployment, EepLoop *loop)
{
    deployment->services.loop = loop;
    eep_operations_attach(deployment->services.operations, loop);
    deployment->services.backend->ops->attach(deployment->services.backend, loop);
}

void eep_deployment_set_injector(EepDeployment *deployment, EepFaultInjector *injector)
{
    deployment->services.injector = injector;
}

gboolean eep_deployment_add_pool(EepDeployment *deployment, const char *name,
                                 const EepPoolOptions *options, const EepPoolShape *shape,
                                 GError **error)
{
    EepPool *pool =
        eep_pool_new(&deployment->services, deployment->pools->len, name, options, shape, error);

    if (pool == NULL)
        return FALSE;
    g_ptr_array_add(deployment->pools, pool);
    return TRUE;
}

gboolean eep_deployment_start(EepDeployment *deployment, const EepWorkload *workload,
                              GError **error)
{
    deployment->workload = *workload;
    for (guint i = 0; i < deployment->options.n_events; i++)
        if (deployment->options.events[i].during_resize == NULL)
            schedule_event(deployment, i, deployment->options.events[i].at);
    if (!queue_next_arrival(deployment, error))
        return FALSE;
    for (guint i = 0; i < deployment->pools->len && !deployment->is_exhausted; i++)
        eep_pool_start_drawing_faults(pool_of(deployment, i));
    return TRUE;
}

static gint compare_ids(gconstpointer a, gconstpointer b)
{
    const EepRequest *x = *(EepRequest *const *)a, *y = *(EepRequest *const *)b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static void end_retrying(EepDeployment *deployment)
{
    g_autoptr(GPtrArray) left = g_ptr_array_new();
    GHashTableIter iter;
    gpointer waiting;

    g_hash_table_iter_init(&iter, deployment->retrying);
    while (g_hash_table_iter_next(&iter, NULL, &waiting))
        g_ptr_array_add(left, waiting);
    g_ptr_array_sort(left, compare_ids);
    for (guint i = 0; i < left->len; i++) {
        EepRequest *request = g_ptr_array_index(left, i);

        request->fate = EEP_FATE_UNFINISHED;
        request->finish = eep_loop_now(deployment->services.loop);
        end_request(deployment, request);
    }
    g_hash_table_remove_all(deployment->retrying);
}

gboolean eep_deployment_finish(EepDeployment *deployment, gboolean is_cut, GError **error)
{
    guint64 n_left = eep_deployment_n_live(deployment);
    gboolean is_hanging = FALSE;

    for (guint i = 0; i < deployment->pools->len; i++)
        is_hanging |= eep_pool_is_hanging(pool_of(deployment, i));
    end_retrying(deployment);
    for (guint i = 0; i < deployment->pools->len; i++)
        eep_pool_finish(g_ptr_array_index(deployment->pools, i), EEP_FATE_UNFINISHED);
    tell_not_reached(deployment);
    if (n_left == 0 || is_cut || is_hanging)
        return TRUE;
    g_set_error(error, EEP_POOL_ERROR, EEP_POOL_ERROR_BROKEN,
                "%" G_GUINT64_FORMAT " requests are left although nothing more can happen", n_left);
    return FALSE;
}

guint eep_deployment_n_pools(const EepDeployment *deployment)
{
    return deployment->pools->len;
}

EepPool *eep_deployment_pool(const EepDeployment *deployment, EepPoolId id)
{
    return g_ptr_array_index(deployment->pools, id);
}

EepTime eep_deployment_last_arrival(const EepDeployment *deployment)
{
    return deployment->last_arrival;
}

gboolean eep_deployment_is_exhausted(const EepDeployment *deployment)
{
    return deployment->is_exhausted;
}

guint64 eep_deployment_n_submitted(const EepDeployment *deployment)
{
    return deployment->n_submitted;
}

guint eep_deployment_n_outstanding(const EepDeployment *deployment)
{
    return eep_operations_counts(deployment->services.operations).n_outstanding;
}

guint64 eep_deployment_n_live(const EepDeployment *deployment)
{
    return eep_request_table_n_live(deployment->requests);
}
