#include "tests/oracle/pool_run.h"

#include "core/deployment.h"
#include "core/loop/backend_fault.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"

typedef struct {
    EepObserver base;
    EepObserverOps ops;
    EagerResult *results;
    guint64 n_steps;
} Recorder;

typedef struct {
    const EagerRequest *requests;
    guint n, next;
} Source;

static EepWorkloadStatus source_next(gpointer self, EepArrival *ret_arrival, GError **error)
{
    Source *source = self;
    const EagerRequest *request = &source->requests[source->next];

    if (source->next == source->n)
        return EEP_WORKLOAD_END;
    *ret_arrival = (EepArrival){.arrival = request->arrival,
                                .id = source->next,
                                .prompt_tokens = request->prompt,
                                .output_tokens = request->output,
                                .priority = request->priority,
                                .n_hashes = request->n_hashes,
                                .hashes = request->hashes};
    source->next++;
    return EEP_WORKLOAD_ARRIVAL;
}

static void record_end(EepObserver *self, const EepRequest *request, EepTime now)
{
    EagerResult *result = &((Recorder *)self)->results[request->id];
    gboolean completed = request->fate == EEP_FATE_COMPLETED;

    *result = (EagerResult){
        .rejected = request->fate == EEP_FATE_REJECTED,
        .engine = completed ? (gint)request->worker - 1 : -1,
        .first_token = completed ? request->first_token : -1,
        .finish = completed ? request->finish : -1,
        .preemptions = request->n_preemptions,
        .cached_tokens = request->cached_tokens,
        .max_itl = request->max_gap,
    };
}

static void record_step(EepObserver *self, const EepStepRecord *step)
{
    ((Recorder *)self)->n_steps++;
}

static void options_of(const EagerConfig *config, EepPoolOptions *ret_options)
{
    eep_options_init(&eep_pool_options, ret_options);
    ret_options->data_parallel_size = config->n_engines;
    ret_options->tensor_parallel_size = 1;
    ret_options->block_size = config->block_size;
    ret_options->max_num_batched_tokens = config->max_num_batched_tokens;
    ret_options->max_num_seqs = config->max_num_seqs;
    ret_options->enable_prefix_caching = config->prefix_caching;
    ret_options->async_scheduling = config->async_scheduling;
    ret_options->watermark = config->watermark;
    ret_options->scheduling_policy =
        config->priority_policy ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    ret_options->prefill_schedule_interval = MAX(1, config->prefill_schedule_interval);
    ret_options->router.policy =
        config->router == EAGER_ROUND_ROBIN ? EEP_ROUTER_ROUND_ROBIN : EEP_ROUTER_WAITING4_RUNNING;
    ret_options->router.staleness = 0;
    ret_options->router.client_count = 1;
    ret_options->enable_eplb = FALSE;
    ret_options->enable_elastic_ep = FALSE;
}

static gboolean drive(EepDeployment *deployment, EepLoop *loop, const EagerConfig *config,
                      const EepPoolOptions *options, Source *source, GError **error)
{
    EepPoolShape shape = {.gpus_per_node = 8,
                          .max_engines = config->n_engines,
                          .n_blocks = config->num_blocks,
                          .hash_tokens = config->prefix_caching ? config->hash_tokens : 0,
                          .max_model_len = G_MAXINT64,
                          .all2all_name = "allgather_reducescatter",
                          .is_elastic_backend = TRUE};
    EepWorkload workload = {source_next, source};

    eep_deployment_attach(deployment, loop);
    return eep_deployment_add_pool(deployment, "main", options, &shape, error) &&
           eep_deployment_start(deployment, &workload, error) &&
           eep_loop_run(loop, EEP_TIME_NEVER, error) &&
           eep_deployment_finish(deployment, FALSE, error);
}

gboolean pool_run(const EagerConfig *config, const EagerRequest *requests, guint n_requests,
                  guint fail_every, EagerResult *ret_results, PoolRunTotals *ret_totals,
                  GError **error)
{
    /* Under a constant step the shape only has to be valid. */
    EepModel model = {.name = "any",
                      .n_layers = 1,
                      .moe_every = 1,
                      .hidden_size = 64,
                      .moe_intermediate_size = 64,
                      .n_routed_experts = 2,
                      .experts_per_token = 1,
                      .n_group = 1,
                      .topk_group = 1};
    EepHardware hardware = {
        .name = "constant-step", .gpus_per_node = 8, .constant_step = config->step_time};
    EepSkewOptions skew = {0};
    EepDeploymentOptions deployment_options = {.seed = 1, .retry_attempts = 1};
    Recorder recorder = {.ops = eep_observer_none, .results = ret_results};
    Source source = {requests, n_requests, 0};
    EepPoolOptions options;
    EepPoolCounts counts;
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    EepPredictor *predictor;
    EepBackend *backend;
    EepDeployment *deployment;
    EepLoop *loop;
    gboolean ok;

    options_of(config, &options);
    predictor = eep_sim_predictor_new(&model, &hardware, &options, &skew, FALSE, 1);
    backend = eep_sim_backend_new(predictor);
    if (fail_every > 0) {
        g_autofree EepFaultRule *rules = g_new0(EepFaultRule, 1000);

        for (guint i = 0; i < 1000; i++)
            rules[i] = (EepFaultRule){
                .kind = EEP_OP_STEP, .nth = (i + 1) * fail_every, .action = EEP_FAULT_REFUSE};
        backend = eep_backend_fault_new(backend, rules, 1000);
    }
    recorder.ops.request_ended = record_end;
    recorder.ops.step = record_step;
    recorder.base.ops = &recorder.ops;
    deployment = eep_deployment_new(&deployment_options, backend, predictor, &recorder.base);
    loop = eep_loop_new(clock, eep_deployment_handle, deployment, NULL, NULL, NULL);
    ok = drive(deployment, loop, config, &options, &source, error);
    if (ok) {
        eep_pool_get_counts(eep_deployment_pool(deployment, 0), &counts);
        ok = eep_pool_check(eep_deployment_pool(deployment, 0), error);
        *ret_totals = (PoolRunTotals){counts.n_preemptions, counts.n_hit_blocks, recorder.n_steps};
    }
    eep_loop_free(loop);
    eep_deployment_free(deployment);
    eep_backend_free(backend);
    eep_predictor_free(predictor);
    eep_options_clear(&eep_pool_options, &options);
    return ok;
}
