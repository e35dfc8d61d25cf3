#include "cli/simulation.h"

#include "scenarios/scenario_check.h"
#include "sim/all2all.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"
#include "sim/resize_memory.h"

/* Virtual time between two looks at the progress. */
#define SLICE (10 * EEP_NS_PER_S)

struct EepSimulation {
    const EepScenario *scenario;
    EepTrace *trace;
    EepSkew *skew;   /* for the classes of requests */
    guint n_classes; /* that cost differently; 1: nobody asks */
    gboolean is_replay, is_interrupted;
    EepClock *clock;
    GPtrArray *predictors; /* EepPredictor, one a pool */
    EepBackend *backend;
    EepOperatorEvent *events;
    EepDeployment *deployment;
    EepLoop *loop;
};

static EepWorkloadStatus next_arrival(gpointer self, EepArrival *ret_arrival, GError **error)
{
    EepSimulation *simulation = self;
    EepTraceRow row;

    switch (eep_trace_next(simulation->trace, &row, error)) {
    case EEP_TRACE_ROW:
        *ret_arrival = (EepArrival){.arrival = row.arrival,
                                    .id = row.row,
                                    .prompt_tokens = row.prompt_tokens,
                                    .output_tokens = row.output_tokens,
                                    .priority = row.priority,
                                    .n_hashes = row.n_hashes,
                                    .hashes = row.hashes};
        if (simulation->n_classes > 1)
            ret_arrival->request_class =
                (guint8)eep_skew_class_of(simulation->skew, row.row, row.arrival);
        return EEP_WORKLOAD_ARRIVAL;
    case EEP_TRACE_END:
        return EEP_WORKLOAD_END;
    default:
        return EEP_WORKLOAD_FAILED;
    }
}

/* The most that a deployment or an event can ask for, whatever the cluster holds. */
#define MAX_ENGINES 4096

/* GPUs that the other pools leave to this one, in engines. */
static guint max_engines(const EepScenario *scenario, const EepScenarioPool *pool)
{
    gint64 gpus = scenario->nodes * scenario->hardware.gpus_per_node;

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *other = &scenario->pools[i];

        if (other != pool)
            gpus -= eep_scenario_gpus(other, eep_scenario_most_engines(scenario, other));
    }
    return (guint)MIN(gpus / pool->options.tensor_parallel_size, MAX_ENGINES);
}

/* Per GPU, held twice while the pool is resized. */
static gint64 standby_bytes(const EepScenario *scenario, const EepPoolOptions *options)
{
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    const EepCostContext context = {
        .model = &scenario->model, .hardware = &scenario->hardware, .options = options};
    EepResizeMemory memory;

    if (generation == NULL)
        return 0;
    eep_resize_memory(&context, generation, &memory);
    return eep_resize_memory_total(&memory);
}

static EepPoolShape shape_of(const EepSimulation *simulation, const EepScenarioPool *pool,
                             EepPredictor *predictor)
{
    const EepScenario *scenario = simulation->scenario;
    const EepModel *model = &scenario->model;
    const EepHardware *hardware = &scenario->hardware;
    const EepPoolOptions *options = &pool->options;
    const EepAll2all *all2all = eep_all2all(options->all2all_backend);
    gboolean has_experts = options->enable_expert_parallel && !eep_hardware_is_constant(hardware);

    return (EepPoolShape){
        .n_moe_layers = has_experts ? (guint)eep_model_n_moe_layers(model) : 0,
        .n_experts = (guint)model->n_routed_experts,
        .n_groups = (guint)model->n_group,
        .n_classes = simulation->n_classes,
        .gpus_per_node = (guint)hardware->gpus_per_node,
        .max_engines = MAX(max_engines(scenario, pool), (guint)options->data_parallel_size),
        .n_blocks = (guint64)pool->memory.num_gpu_blocks,
        .memory = pool->memory,
        .hash_tokens = eep_trace_hash_tokens(simulation->trace),
        .max_model_len = options->max_model_len,
        .expert_bytes = eep_model_expert_bytes(model),
        .non_expert_bytes = eep_model_non_expert_bytes(model, options->tensor_parallel_size),
        .standby_bytes = standby_bytes(scenario, options),
        .kv_bytes_per_token = eep_model_kv_bytes_per_token(model, options->tensor_parallel_size),
        .kv_bytes_bounded = eep_model_bounded_state_bytes(model, options->tensor_parallel_size),
        .control_latency = hardware->control_latency,
        .predictor = predictor,
        .max_ranks = all2all->max_ranks,
        .all2all_name = all2all->name,
        .is_elastic_backend = all2all->is_elastic,
        .can_mask = all2all->can_mask,
        .can_reuse_graphs = all2all->keeps_graphs,
    };
}

static gboolean add_pools(EepSimulation *simulation, GError **error)
{
    const EepScenario *scenario = simulation->scenario;

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *pool = &scenario->pools[i];
        EepPredictor *predictor = g_ptr_array_index(simulation->predictors, i);
        EepPoolShape shape = shape_of(simulation, pool, predictor);

        eep_sim_backend_set_predictor(simulation->backend, i, predictor);
        if (!eep_deployment_add_pool(simulation->deployment, pool->name, &pool->options, &shape,
                                     error))
            return FALSE;
    }
    return TRUE;
}

static EepOperatorEvent make_event(const EepScenario *scenario, const EepEventOptions *event)
{
    EepOperatorEvent made = {
        .kind = EEP_OPERATOR_FAULT,
        .id = event->id != NULL ? event->id : "",
        .pool = (EepPoolId)eep_scenario_find_pool(scenario, event->pool),
        .at = event->at,
        .during_resize = event->during.resize,
        .during_phase = event->during.phase,
        .after = event->during.after,
    };

    if (event->kind == EEP_EVENT_SCALE_ELASTIC_EP) {
        made.kind = EEP_OPERATOR_SCALE;
        made.new_data_parallel_size = (guint)event->scale_elastic_ep.new_data_parallel_size;
    } else if (event->kind == EEP_EVENT_CANCEL) {
        made.kind = EEP_OPERATOR_CANCEL;
        made.cancels = event->cancel.resize;
    } else {
        made.fault = eep_event_fault(event);
    }
    return made;
}

static void make_events(EepSimulation *simulation)
{
    const EepScenario *scenario = simulation->scenario;

    simulation->events = g_new0(EepOperatorEvent, scenario->n_events);
    for (guint i = 0; i < scenario->n_events; i++)
        simulation->events[i] = make_event(scenario, &scenario->events[i]);
}

EepSimulation *eep_simulation_new(const EepScenario *scenario, const EepSkewRecords *records,
                                  EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                  GError **error)
{
    EepSimulation *simulation = g_new0(EepSimulation, 1);
    EepDeploymentOptions options = {.seed = (guint64)scenario->seed,
                                    .retry_attempts = (guint)scenario->traffic.retry.attempts,
                                    .retry_backoff = scenario->traffic.retry.backoff,
                                    .retry_jitter = scenario->traffic.retry.jitter,
                                    .n_events = scenario->n_events};
    EepWorkload workload = {next_arrival, simulation};

    simulation->scenario = scenario;
    simulation->trace = trace;
    simulation->skew = eep_skew_records_make_skew(records, scenario);
    simulation->n_classes =
        eep_skew_is_one_component(simulation->skew) || eep_hardware_is_constant(&scenario->hardware)
            ? 1
            : eep_skew_n_classes(simulation->skew);
    simulation->is_replay = journal != NULL && eep_journal_is_replay(journal);
    simulation->predictors = g_ptr_array_new_with_free_func((GDestroyNotify)eep_predictor_free);
    for (guint i = 0; i < scenario->n_pools; i++)
        g_ptr_array_add(simulation->predictors,
                        eep_sim_predictor_new(
                            &scenario->model, &scenario->hardware, &scenario->pools[i].options,
                            eep_skew_records_make_skew(records, scenario),
                            scenario->skew.mode == EEP_SKEW_SAMPLED, (guint64)scenario->seed));
    simulation->backend = eep_sim_backend_new(g_ptr_array_index(simulation->predictors, 0));
    make_events(simulation);
    options.events = simulation->events;
    simulation->deployment = eep_deployment_new(
        &options, simulation->backend, g_ptr_array_index(simulation->predictors, 0), observer);
    simulation->clock =
        simulation->is_replay ? eep_clock_replay_new(TRUE) : eep_clock_virtual_new();
    simulation->loop = eep_loop_new(simulation->clock, eep_deployment_handle,
                                    simulation->deployment, NULL, NULL, journal);
    eep_deployment_set_injector(simulation->deployment,
                                eep_sim_backend_injector(simulation->backend));
    eep_deployment_attach(simulation->deployment, simulation->loop);
    if (!add_pools(simulation, error) ||
        !eep_deployment_start(simulation->deployment, &workload, error)) {
        eep_simulation_free(simulation);
        return NULL;
    }
    return simulation;
}

void eep_simulation_free(EepSimulation *simulation)
{
    if (simulation == NULL)
        return;
    eep_loop_free(simulation->loop);
    eep_deployment_free(simulation->deployment);
    eep_backend_free(simulation->backend);
    g_ptr_array_free(simulation->predictors, TRUE);
    eep_clock_free(simulation->clock);
    eep_skew_free(simulation->skew);
    g_free(simulation->events);
    g_free(simulation);
}

gboolean eep_simulation_run(EepSimulation *simulation, EepSimulationProgress progress,
                            gpointer self, gboolean *ret_interrupted, GError **error)
{
    const EepRunOptions *run = &simulation->scenario->run;
    gboolean is_cut = run->end == EEP_RUN_CUT;
    EepTime end = is_cut ? run->duration : EEP_TIME_NEVER, until = 0;

    *ret_interrupted = FALSE;
    while (until < end && !*ret_interrupted) {
        EepTime next = eep_loop_horizon(simulation->loop);

        if (next == EEP_TIME_NEVER && !simulation->is_replay)
            break;
        if (!simulation->is_replay &&
            !eep_scenario_check_length(simulation->scenario, MIN(next, end), error))
            return FALSE;
        until = simulation->is_replay ? end : MIN(eep_time_after(MAX(until, next), SLICE), end);
        if (!eep_loop_run(simulation->loop, until, error) ||
            !eep_scenario_check_length(simulation->scenario, eep_loop_now(simulation->loop), error))
            return FALSE;
        *ret_interrupted = !progress(self, eep_loop_now(simulation->loop),
                                     eep_deployment_n_submitted(simulation->deployment));
    }
    /* What is still queued when a journal ends is what the recorded run did not come to. */
    if (simulation->is_replay && eep_loop_horizon(simulation->loop) <= MIN(end, EEP_TIME_NEVER - 1))
        *ret_interrupted = TRUE;
    simulation->is_interrupted = *ret_interrupted;
    return eep_deployment_finish(simulation->deployment, is_cut || *ret_interrupted, error);
}

EepDeployment *eep_simulation_deployment(const EepSimulation *simulation)
{
    return simulation->deployment;
}

EepTime eep_simulation_end(const EepSimulation *simulation)
{
    return eep_loop_now(simulation->loop);
}

EepTime eep_simulation_end_of_traffic(const EepSimulation *simulation)
{
    const EepTrafficOptions *traffic = &simulation->scenario->traffic;
    EepTime last = eep_deployment_last_arrival(simulation->deployment);

    const EepRunOptions *run = &simulation->scenario->run;
    EepTime end = last == EEP_TIME_NEVER ? 0 : last + 1;

    if (traffic->trace.path == NULL && traffic->synthetic.duration > 0)
        end = traffic->synthetic.duration;
    else if (!eep_deployment_is_exhausted(simulation->deployment))
        end = EEP_TIME_NEVER; /* it would have gone on beyond the end of the run */
    if (run->end == EEP_RUN_CUT)
        end = MIN(end, run->duration);
    if (simulation->is_interrupted)
        end = MIN(end, eep_loop_now(simulation->loop) + 1);
    return end;
}

guint64 eep_simulation_n_events(const EepSimulation *simulation)
{
    return eep_loop_n_dispatched(simulation->loop);
}
