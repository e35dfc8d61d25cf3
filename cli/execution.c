#include "cli/execution.h"

#include "scenarios/scenario_check.h"
#include "sim/all2all.h"
#include "sim/predictor_sim.h"
#include "sim/resize_memory.h"

/* Time between two looks at the progress, where nobody waits for it to pass. */
#define SLICE (10 * EEP_NS_PER_S)
/* The same where time passes by itself. */
#define REAL_SLICE (20 * EEP_NS_PER_MS)

struct EepExecution {
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
    EepExecutionLook look; /* nullable */
    gpointer look_self;
    EepTime patience, dispatched_at;
    guint64 n_dispatched;
};

static EepWorkloadStatus next_arrival(gpointer self, EepArrival *ret_arrival, GError **error)
{
    EepExecution *execution = self;
    EepTraceRow row;

    switch (eep_trace_next(execution->trace, &row, error)) {
    case EEP_TRACE_ROW:
        *ret_arrival = (EepArrival){.arrival = row.arrival,
                                    .id = row.row,
                                    .prompt_tokens = row.prompt_tokens,
                                    .output_tokens = row.output_tokens,
                                    .priority = row.priority,
                                    .n_hashes = row.n_hashes,
                                    .hashes = row.hashes};
        if (execution->n_classes > 1)
            ret_arrival->request_class =
                (guint8)eep_skew_class_of(execution->skew, row.row, row.arrival);
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

static EepPoolShape shape_of(const EepExecution *execution, const EepScenarioPool *pool,
                             EepPredictor *predictor)
{
    const EepScenario *scenario = execution->scenario;
    const EepModel *model = &scenario->model;
    const EepHardware *hardware = &scenario->hardware;
    const EepPoolOptions *options = &pool->options;
    const EepAll2all *all2all = eep_all2all(options->all2all_backend);
    gboolean has_experts = options->enable_expert_parallel && !eep_hardware_is_constant(hardware);

    return (EepPoolShape){
        .n_moe_layers = has_experts ? (guint)eep_model_n_moe_layers(model) : 0,
        .n_experts = (guint)model->n_routed_experts,
        .n_groups = (guint)model->n_group,
        .n_classes = execution->n_classes,
        .gpus_per_node = (guint)hardware->gpus_per_node,
        .max_engines = MAX(max_engines(scenario, pool), (guint)options->data_parallel_size),
        .n_blocks = (guint64)pool->memory.num_gpu_blocks,
        .memory = pool->memory,
        .hash_tokens = eep_trace_hash_tokens(execution->trace),
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

static gboolean add_pools(EepExecution *execution, GError **error)
{
    const EepScenario *scenario = execution->scenario;

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *pool = &scenario->pools[i];
        EepPredictor *predictor = g_ptr_array_index(execution->predictors, i);
        EepPoolShape shape = shape_of(execution, pool, predictor);

        if (!eep_deployment_add_pool(execution->deployment, pool->name, &pool->options, &shape,
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

static void make_events(EepExecution *execution)
{
    const EepScenario *scenario = execution->scenario;

    execution->events = g_new0(EepOperatorEvent, scenario->n_events);
    for (guint i = 0; i < scenario->n_events; i++)
        execution->events[i] = make_event(scenario, &scenario->events[i]);
}

EepExecution *eep_execution_new(const EepScenario *scenario, const EepSkewRecords *records,
                                EepTrace *trace)
{
    EepExecution *execution = g_new0(EepExecution, 1);

    execution->scenario = scenario;
    execution->trace = trace;
    execution->skew = eep_skew_records_make_skew(records, scenario);
    execution->n_classes =
        eep_skew_is_one_component(execution->skew) || eep_hardware_is_constant(&scenario->hardware)
            ? 1
            : eep_skew_n_classes(execution->skew);
    execution->predictors = g_ptr_array_new_with_free_func((GDestroyNotify)eep_predictor_free);
    for (guint i = 0; i < scenario->n_pools; i++)
        g_ptr_array_add(execution->predictors,
                        eep_sim_predictor_new(
                            &scenario->model, &scenario->hardware, &scenario->pools[i].options,
                            eep_skew_records_make_skew(records, scenario),
                            scenario->skew.mode == EEP_SKEW_SAMPLED, (guint64)scenario->seed));
    return execution;
}

EepPredictor *eep_execution_predictor(const EepExecution *execution, EepPoolId pool)
{
    return g_ptr_array_index(execution->predictors, pool);
}

gboolean eep_execution_put_together(EepExecution *execution, const EepExecutionParts *parts,
                                    GError **error)
{
    const EepScenario *scenario = execution->scenario;
    EepDeploymentOptions options = {.seed = (guint64)scenario->seed,
                                    .retry_attempts = (guint)scenario->traffic.retry.attempts,
                                    .retry_backoff = scenario->traffic.retry.backoff,
                                    .retry_jitter = scenario->traffic.retry.jitter,
                                    .n_events = scenario->n_events};
    EepWorkload workload = {next_arrival, execution};

    execution->clock = parts->clock;
    execution->look = parts->look;
    execution->look_self = parts->look_self;
    execution->patience = parts->patience;
    execution->backend = parts->backend;
    execution->is_replay = parts->journal != NULL && eep_journal_is_replay(parts->journal);
    make_events(execution);
    options.events = execution->events;
    execution->deployment = eep_deployment_new(
        &options, parts->backend, eep_execution_predictor(execution, 0), parts->observer);
    execution->loop = eep_loop_new(parts->clock, eep_deployment_handle, execution->deployment, NULL,
                                   NULL, parts->journal);
    eep_deployment_set_injector(execution->deployment, parts->injector);
    eep_deployment_attach(execution->deployment, execution->loop);
    return add_pools(execution, error) &&
           eep_deployment_start(execution->deployment, &workload, error);
}

void eep_execution_free(EepExecution *execution)
{
    if (execution == NULL)
        return;
    if (execution->loop != NULL)
        eep_loop_free(execution->loop);
    if (execution->deployment != NULL)
        eep_deployment_free(execution->deployment);
    eep_backend_free(execution->backend);
    g_ptr_array_free(execution->predictors, TRUE);
    if (execution->clock != NULL)
        eep_clock_free(execution->clock);
    eep_skew_free(execution->skew);
    g_free(execution->events);
    g_free(execution);
}

/* Nothing is queued, and nobody works on anything. */
static gboolean is_over(const EepExecution *execution)
{
    return eep_loop_next_time(execution->loop) == EEP_TIME_NEVER &&
           (execution->clock->ops->foresees ||
            eep_deployment_n_outstanding(execution->deployment) == 0);
}

/* Up to when the loop runs before somebody looks again. */
static EepTime next_look(const EepExecution *execution, EepTime until, EepTime end)
{
    const EepClockOps *clock = execution->clock->ops;

    if (execution->is_replay)
        return end;
    if (!clock->foresees)
        return MIN(eep_time_after(clock->now(execution->clock), REAL_SLICE), end);
    return MIN(eep_time_after(MAX(until, eep_loop_next_time(execution->loop)), SLICE), end);
}

/* Where time passes by itself, operations that nobody will ever end: the same number outstanding,
 * nothing queued and nothing dispatched for so long. */
static gboolean is_stuck(EepExecution *execution)
{
    EepTime now = execution->clock->ops->now(execution->clock);
    guint64 n = eep_loop_n_dispatched(execution->loop);

    if (execution->clock->ops->foresees || execution->is_replay || n != execution->n_dispatched ||
        eep_loop_next_time(execution->loop) != EEP_TIME_NEVER) {
        execution->n_dispatched = n;
        execution->dispatched_at = now;
        return FALSE;
    }
    return now - execution->dispatched_at > execution->patience;
}

static gboolean look(EepExecution *execution, EepExecutionProgress progress, gpointer self,
                     gboolean *ret_interrupted, GError **error)
{
    EepTime now = eep_loop_now(execution->loop);

    if (!eep_scenario_check_length(execution->scenario, now, error))
        return FALSE;
    if (execution->look != NULL && !execution->look(execution->look_self, error))
        return FALSE;
    *ret_interrupted = !progress(self, now, eep_deployment_n_submitted(execution->deployment));
    return TRUE;
}

/* Where time passes by itself, a run that is interrupted has lasted until now, whenever something
 * happened last. An event, so that a replay ends then, too. */
static gboolean run_up_to_now(EepExecution *execution, GError **error)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_MEASURE, 0),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_NONE};
    EepTime now = execution->clock->ops->now(execution->clock);

    if (execution->clock->ops->foresees || execution->is_replay)
        return TRUE;
    eep_loop_schedule(execution->loop, now, &event);
    return eep_loop_run(execution->loop, now, error);
}

gboolean eep_execution_run(EepExecution *execution, EepExecutionProgress progress, gpointer self,
                           gboolean *ret_interrupted, GError **error)
{
    const EepRunOptions *run = &execution->scenario->run;
    gboolean is_cut = run->end == EEP_RUN_CUT;
    EepTime end = is_cut ? run->duration : EEP_TIME_NEVER, until = 0;

    *ret_interrupted = FALSE;
    while (until < end && !*ret_interrupted && !is_stuck(execution)) {
        EepTime next = eep_loop_next_time(execution->loop);

        if (!execution->is_replay &&
            (is_over(execution) ||
             (next != EEP_TIME_NEVER &&
              !eep_scenario_check_length(execution->scenario, MIN(next, end), error))))
            break;
        until = next_look(execution, until, end);
        if (!eep_loop_run(execution->loop, until, error) ||
            !look(execution, progress, self, ret_interrupted, error))
            return FALSE;
    }
    if ((error != NULL && *error != NULL) || (*ret_interrupted && !run_up_to_now(execution, error)))
        return FALSE;
    /* What is still queued when a journal ends is what the recorded run did not come to. */
    if (execution->is_replay && eep_loop_next_time(execution->loop) <= MIN(end, EEP_TIME_NEVER - 1))
        *ret_interrupted = TRUE;
    execution->is_interrupted = *ret_interrupted;
    return eep_deployment_finish(execution->deployment, is_cut || *ret_interrupted, error);
}

EepDeployment *eep_execution_deployment(const EepExecution *execution)
{
    return execution->deployment;
}

EepTime eep_execution_end(const EepExecution *execution)
{
    return eep_loop_now(execution->loop);
}

EepTime eep_execution_end_of_traffic(const EepExecution *execution)
{
    const EepTrafficOptions *traffic = &execution->scenario->traffic;
    EepTime last = eep_deployment_last_arrival(execution->deployment);

    const EepRunOptions *run = &execution->scenario->run;
    EepTime end = last == EEP_TIME_NEVER ? 0 : last + 1;

    if (traffic->trace.path == NULL && traffic->synthetic.duration > 0)
        end = traffic->synthetic.duration;
    else if (!eep_deployment_is_exhausted(execution->deployment))
        end = EEP_TIME_NEVER; /* it would have gone on beyond the end of the run */
    if (run->end == EEP_RUN_CUT)
        end = MIN(end, run->duration);
    if (execution->is_interrupted)
        end = MIN(end, eep_loop_now(execution->loop) + 1);
    return end;
}

guint64 eep_execution_n_events(const EepExecution *execution)
{
    return eep_loop_n_dispatched(execution->loop);
}
