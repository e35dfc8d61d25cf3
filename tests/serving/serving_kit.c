#include "tests/serving/serving_kit.h"

#include <stdlib.h>
#include <string.h>

#include "core/engine/pool_internal.h"
#include "core/loop/backend_fault.h"
#include "core/loop/backend_replay.h"

#define MAX_FAULTS 4096

typedef struct {
    EepObserver base;
    EepObserverOps ops;
    KitConfig *config;
    KitRun *run;
    const EepArrival *requests;
    guint next;
    EepDeployment *deployment;
} Kit;

/* -- what is observed -- */

static Kit *kit_of(EepObserver *observer)
{
    return (Kit *)observer;
}

static void on_end(EepObserver *self, const EepRequest *request, EepTime now)
{
    Kit *kit = kit_of(self);
    KitResult *result;

    if (kit->config->ended != NULL) {
        kit->config->ended(kit->config->self, request);
        return;
    }
    result = &kit->run->results[request->id];
    *result = (KitResult){.n_ends = result->n_ends + 1,
                          .fate = (EepFate)request->fate,
                          .reason = (EepReason)request->reason,
                          .attempts = request->n_attempts,
                          .preemptions = request->n_preemptions,
                          .migrations = request->n_migrated,
                          .worker = request->worker,
                          .retries = request->n_retries,
                          .generated = request->generated,
                          .wasted_tokens = request->wasted_tokens,
                          .cached_tokens = request->cached_tokens,
                          .arrival = request->arrival,
                          .queued = request->queued,
                          .first_token = request->first_token,
                          .last_token = request->last_token,
                          .finish = request->finish,
                          .max_gap = request->max_gap};
}

static void on_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
    KitRun *run = kit_of(self)->run;

    run->n_gaps += n;
    run->gap_sum += gap * (EepTime)n;
    run->max_gap = MAX(run->max_gap, gap);
}

static void on_step(EepObserver *self, const EepStepRecord *step)
{
    Kit *kit = kit_of(self);

    kit->run->n_steps++;
    kit->run->n_dummies += step->is_dummy;
    if (kit->config->keeps_steps)
        g_array_append_val(kit->run->steps, *step);
}

static void on_size(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines)
{
    KitSize size = {now, n_engines};

    g_array_append_val(kit_of(self)->run->sizes, size);
}

static void on_gpu_time(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin,
                        EepTime end, guint n_gpus)
{
    kit_of(self)->run->gpu_time[use] += (end - begin) * n_gpus;
}

static void on_resize(EepObserver *self, const EepResizeRecord *record)
{
    g_array_append_val(kit_of(self)->run->resizes, *record);
}

static void on_incident(EepObserver *self, const EepIncident *incident)
{
    g_array_append_val(kit_of(self)->run->incidents, *incident);
}

static void on_rearranged(EepObserver *self, EepTime now, const EepRearrangement *rearrangement)
{
    KitRun *run = kit_of(self)->run;
    KitRearranged rearranged = {now, run->n_steps, rearrangement->n_experts_moved, *rearrangement};

    g_array_append_val(run->rearranged, rearranged);
}

static void on_kept(EepObserver *self, EepTime now, const EepEplbKept *eplb_kept)
{
    KitKept kept = {now, *eplb_kept};

    g_array_append_val(kit_of(self)->run->kept, kept);
}

static void on_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                        const EepFact *facts, guint n_facts)
{
    const KitConfig *config = kit_of(self)->config;

    g_string_append_printf(kit_of(self)->run->decisions, "%s ", what);
    if (config->decision != NULL)
        config->decision(config->self, now, what, facts, n_facts);
}

/* -- driving -- */

static EepWorkloadStatus next_request(gpointer self, EepArrival *ret_arrival, GError **error)
{
    Kit *kit = self;

    if (kit->next == kit->run->n_requests)
        return EEP_WORKLOAD_END;
    *ret_arrival = kit->requests[kit->next];
    ret_arrival->id = kit->next++;
    return EEP_WORKLOAD_ARRIVAL;
}

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    Kit *kit = self;
    EepPool *pool = eep_deployment_pool(kit->deployment, 0);

    if (!eep_deployment_handle(kit->deployment, event, error))
        return FALSE;
    if (kit->config->checks && !eep_pool_check(pool, error))
        return FALSE;
    if (kit->config->watch != NULL)
        kit->config->watch(kit->config->self, pool, event->time);
    return TRUE;
}

void kit_config_init(KitConfig *config)
{
    memset(config, 0, sizeof *config);
    eep_options_init(&eep_pool_options, &config->options);
    config->options.data_parallel_size = 1;
    config->options.tensor_parallel_size = 1;
    config->options.block_size = 4;
    config->options.max_num_batched_tokens = 100;
    config->options.max_num_seqs = 256;
    config->options.enable_prefix_caching = FALSE;
    config->options.async_scheduling = FALSE;
    config->options.router.policy = EEP_ROUTER_WAITING4_RUNNING;
    config->options.router.staleness = 0;
    config->shape = (EepPoolShape){.gpus_per_node = 8,
                                   .n_groups = 1,
                                   .max_engines = 8,
                                   .n_blocks = 1000,
                                   .max_model_len = G_MAXINT64,
                                   .all2all_name = "allgather_reducescatter",
                                   .is_elastic_backend = TRUE};
    config->costs = (DeskCosts){.step = 10};
    config->deployment = (EepDeploymentOptions){.seed = 1, .retry_attempts = 1};
    config->cut = EEP_TIME_NEVER;
    config->checks = TRUE;
}

void kit_config_clear(KitConfig *config)
{
    eep_options_clear(&eep_pool_options, &config->options);
}

static gboolean is_replay(const KitConfig *config)
{
    return config->journal != NULL && eep_journal_is_replay(config->journal);
}

static EepBackend *make_backend(KitConfig *config, EepFaultInjector **ret_injector)
{
    EepBackend *backend = g_steal_pointer(&config->backend);
    g_autofree EepFaultRule *rules = NULL;
    guint n;

    *ret_injector = NULL;
    if (is_replay(config)) {
        EepBackendCaps caps = {.size = sizeof caps, .max_steps_in_flight = 2};

        return eep_backend_replay_new(&caps);
    }
    if (backend == NULL) {
        backend = desk_backend_new(&config->costs);
        *ret_injector = desk_backend_injector(backend);
    }
    n = config->fail_every > 0 ? MAX_FAULTS : config->n_failing;
    if (n == 0)
        return backend;
    rules = g_new0(EepFaultRule, n);
    for (guint i = 0; i < n; i++)
        rules[i] = (EepFaultRule){.kind = EEP_OP_STEP,
                                  .nth = config->fail_every > 0 ? (i + 1) * config->fail_every
                                                                : config->fail_from + i,
                                  .action = config->fails_late ? EEP_FAULT_FAIL : EEP_FAULT_REFUSE,
                                  .done = EEP_DONE_GROUP_BROKEN};
    return eep_backend_fault_new(backend, rules, n);
}

static void set_observers(Kit *kit)
{
    kit->ops = eep_observer_none;
    kit->ops.request_ended = on_end;
    kit->ops.gaps = on_gaps;
    kit->ops.step = on_step;
    kit->ops.size_changed = on_size;
    kit->ops.gpu_time = on_gpu_time;
    kit->ops.resize_ended = on_resize;
    kit->ops.incident_ended = on_incident;
    kit->ops.rearranged = on_rearranged;
    kit->ops.kept = on_kept;
    kit->ops.decision = on_decision;
    kit->base.ops = &kit->ops;
}

static KitRun *run_new(guint n_requests)
{
    KitRun *run = g_new0(KitRun, 1);

    run->n_requests = n_requests;
    run->results = g_new0(KitResult, n_requests);
    run->steps = g_array_new(FALSE, FALSE, sizeof(EepStepRecord));
    run->sizes = g_array_new(FALSE, FALSE, sizeof(KitSize));
    run->resizes = g_array_new(FALSE, FALSE, sizeof(EepResizeRecord));
    run->incidents = g_array_new(FALSE, FALSE, sizeof(EepIncident));
    run->decisions = g_string_new("");
    run->rearranged = g_array_new(FALSE, FALSE, sizeof(KitRearranged));
    run->kept = g_array_new(FALSE, FALSE, sizeof(KitKept));
    return run;
}

void kit_run_free(KitRun *run)
{
    if (run == NULL)
        return;
    g_free(run->results);
    g_array_free(run->steps, TRUE);
    g_array_free(run->sizes, TRUE);
    g_array_free(run->resizes, TRUE);
    g_array_free(run->incidents, TRUE);
    g_string_free(run->decisions, TRUE);
    g_array_free(run->rearranged, TRUE);
    g_array_free(run->kept, TRUE);
    g_free(run);
}

/* When nobody is left, every block is free. */
static gboolean check_end(const Kit *kit, GError **error)
{
    const EepPool *pool = eep_deployment_pool(kit->deployment, 0);

    if (!eep_pool_check(pool, error))
        return FALSE;
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->kv.n_free != pool->engines[i]->kv.n_blocks) {
            g_set_error(error, EEP_POOL_ERROR, EEP_POOL_ERROR_BROKEN,
                        "engine %u: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                        " blocks are free at the end",
                        i, pool->engines[i]->kv.n_free, pool->engines[i]->kv.n_blocks);
            return FALSE;
        }
    if (eep_deployment_n_live(kit->deployment) == 0)
        return TRUE;
    g_set_error_literal(error, EEP_POOL_ERROR, EEP_POOL_ERROR_BROKEN, "requests outlive the run");
    return FALSE;
}

static gboolean drive(Kit *kit, EepLoop *loop, GError **error)
{
    const KitConfig *config = kit->config;
    EepWorkload list = {next_request, kit};
    gboolean is_cut = config->cut != EEP_TIME_NEVER;

    eep_deployment_attach(kit->deployment, loop);
    if (!eep_deployment_add_pool(kit->deployment, "main", &config->options, &config->shape,
                                 error) ||
        !eep_deployment_start(kit->deployment, config->workload != NULL ? config->workload : &list,
                              error) ||
        !eep_loop_run(loop, config->cut, error) ||
        !eep_deployment_finish(kit->deployment, is_cut, error) || !check_end(kit, error))
        return FALSE;
    eep_pool_get_counts(eep_deployment_pool(kit->deployment, 0), &kit->run->counts);
    kit->run->n_submitted = (guint)eep_deployment_n_submitted(kit->deployment);
    kit->run->end = eep_loop_now(loop);
    return TRUE;
}

KitRun *kit_run(KitConfig *config, const EepArrival *requests, guint n_requests, GError **error)
{
    g_autoptr(KitRun) run = run_new(n_requests);
    Kit kit = {.config = config, .run = run, .requests = requests};
    g_autoptr(EepClock) clock =
        is_replay(config) ? eep_clock_replay_new(TRUE) : eep_clock_virtual_new();
    EepPredictor *own = config->predictor == NULL ? desk_predictor_new(&config->costs) : NULL;
    EepFaultInjector *injector;
    EepBackend *backend = make_backend(config, &injector);
    EepLoop *loop;
    gboolean ok;

    set_observers(&kit);
    kit.deployment = eep_deployment_new(&config->deployment, backend,
                                        own != NULL ? own : config->predictor, &kit.base);
    eep_deployment_set_injector(kit.deployment, injector);
    loop = eep_loop_new(clock, handle, &kit, NULL, NULL, config->journal);
    ok = drive(&kit, loop, error);
    eep_loop_free(loop);
    eep_deployment_free(kit.deployment);
    eep_backend_free(backend);
    eep_predictor_free(own);
    return ok ? g_steal_pointer(&run) : NULL;
}

KitRun *kit_must_run(KitConfig *config, const EepArrival *requests, guint n_requests)
{
    g_autoptr(GError) error = NULL;
    KitRun *run = kit_run(config, requests, n_requests, &error);

    ck_assert_msg(run != NULL, "%s", error != NULL ? error->message : "");
    return run;
}

/* -- what holds in every run -- */

static void assert_result(const KitResult *result, const EepArrival *request, guint id,
                          const char *context)
{
    ck_assert_msg(result->n_ends == 1, "%s: request %u ended %u times", context, id,
                  result->n_ends);
    ck_assert_msg(result->fate != EEP_FATE_NONE && result->arrival == request->arrival &&
                      result->finish >= result->arrival && result->attempts >= 1,
                  "%s: request %u: fate %s, arrival %" G_GINT64_FORMAT ", finish %" G_GINT64_FORMAT,
                  context, id, eep_fate_names[result->fate], result->arrival, result->finish);
    ck_assert_msg((result->first_token != EEP_TIME_NEVER) == (result->generated > 0),
                  "%s: request %u: %u tokens", context, id, result->generated);
    switch (result->fate) {
    case EEP_FATE_COMPLETED:
        ck_assert_msg(result->generated == request->output_tokens &&
                          result->finish == result->last_token &&
                          (result->generated > 1) == (result->finish > result->first_token) &&
                          result->first_token > result->queued && result->queued >= result->arrival,
                      "%s: request %u: %u of %u tokens, first %" G_GINT64_FORMAT
                      ", last %" G_GINT64_FORMAT ", finish %" G_GINT64_FORMAT,
                      context, id, result->generated, request->output_tokens, result->first_token,
                      result->last_token, result->finish);
        break;
    case EEP_FATE_REJECTED:
        ck_assert_msg(result->reason != EEP_REASON_NONE && result->generated == 0,
                      "%s: request %u is rejected without a reason", context, id);
        break;
    default:
        ck_assert_msg(result->generated < request->output_tokens, "%s: request %u has all tokens",
                      context, id);
        break;
    }
}

void kit_assert_conserved(const KitRun *run, const EepArrival *requests, const char *context)
{
    guint64 n_gaps = 0;
    EepTime gap_sum = 0, max_gap = 0;
    gboolean has_wasted = FALSE;

    for (guint i = 0; i < run->n_submitted; i++) {
        const KitResult *result = &run->results[i];

        assert_result(result, &requests[i], i, context);
        has_wasted |= result->wasted_tokens > 0;
        if (result->generated == 0)
            continue;
        n_gaps += result->generated - 1;
        gap_sum += result->last_token - result->first_token;
        max_gap = MAX(max_gap, result->max_gap);
    }
    /* Gaps of attempts that were aborted are in no request's result. */
    if (has_wasted) {
        ck_assert_msg(n_gaps <= run->n_gaps && gap_sum <= run->gap_sum && max_gap <= run->max_gap,
                      "%s: fewer or shorter gaps than between the tokens", context);
        return;
    }
    ck_assert_msg(n_gaps == run->n_gaps,
                  "%s: %" G_GUINT64_FORMAT " gaps, %" G_GUINT64_FORMAT " by the tokens", context,
                  run->n_gaps, n_gaps);
    ck_assert_msg(gap_sum == run->gap_sum,
                  "%s: gaps of %" G_GINT64_FORMAT " ns, %" G_GINT64_FORMAT " by the tokens",
                  context, run->gap_sum, gap_sum);
    /* Of a request that is aborted while its engine stands still, steps of the others count as gaps
     * too; they are longer than its own only beside a slow rank. */
    ck_assert_msg(max_gap == run->max_gap || run->incidents->len > 0,
                  "%s: the largest gap is %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT " by requests",
                  context, run->max_gap, max_gap);
}

guint kit_count(const KitRun *run, EepFate fate, EepReason reason)
{
    guint n = 0;

    for (guint i = 0; i < run->n_requests; i++)
        n += run->results[i].fate == fate && run->results[i].reason == reason;
    return n;
}

int kit_main(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int n_failed;

    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
