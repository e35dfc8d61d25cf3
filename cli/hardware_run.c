#include "cli/hardware_run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/human.h"
#include "core/loop/backend_replay.h"
#include "gpu/wire.h"
#include "live/clock_real.h"
#include "scenarios/scenario_check.h"
#include "sim/predictor_sim.h"

/* Beyond gpu.wait_timeout, until a run in which nothing happens any more is over. */
#define EXTRA_PATIENCE (5 * EEP_NS_PER_S)
/* Of an emulated device's memory, what KV may take. */
#define KV_SHARE_OF_EMULATED 8

/* Predictors follow popularity by the steps that are told, in a replay as in the run. */
typedef struct {
    EepObserver base;
    EepHardwareRun *run;
} Follower;

typedef struct {
    EepHardwareRun *run;
    EepPoolId id;
} PoolSource;

struct EepHardwareRun {
    const EepScenario *scenario;
    EepExecution *execution;
    EepMailbox *mailbox; /* NULL: a replay */
    EepClock *clock;     /* the execution's */
    EepBackend *backend; /* the execution's; NULL: a replay */
    EepObserver *fan;
    Follower follower;
    PoolSource *sources; /* [n_pools] */
    gboolean is_quiet;
};

/* -- before anything is started -- */

G_GNUC_PRINTF(2, 3)
static gboolean refuse(GError **error, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list arguments;

    va_start(arguments, format);
    what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "--backend cuda: %s", what);
    return FALSE;
}

static guint slots_per_rank(const EepScenario *scenario, const EepPoolOptions *options)
{
    gint64 redundant = options->enable_eplb ? options->eplb_config.num_redundant_experts : 0;
    gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;

    return (guint)((scenario->model.n_routed_experts + redundant + ranks - 1) / ranks);
}

static gboolean check_pool(const EepScenario *scenario, const EepScenarioPool *pool, GError **error)
{
    const EepPoolOptions *options = &pool->options;
    gint64 engines = eep_scenario_most_engines(scenario, pool);

    if (options->tensor_parallel_size != 1)
        return refuse(error,
                      "pool %s: tensor_parallel_size is %" G_GINT64_FORMAT
                      ", and an engine is one worker on one GPU: set it to 1",
                      pool->name, options->tensor_parallel_size);
    if (!options->enable_expert_parallel)
        return refuse(error, "pool %s: set enable_expert_parallel: true", pool->name);
    if (options->resize.refit)
        return refuse(error,
                      "pool %s: resize.restart.refit changes the slots of a rank, which workers "
                      "cannot: set it to false",
                      pool->name);
    if (engines > EEP_WIRE_MAX_RANKS ||
        engines * slots_per_rank(scenario, options) > EEP_WIRE_MAX_SLOTS)
        return refuse(error,
                      "pool %s: up to %" G_GINT64_FORMAT " engines of %u slots: at most %d engines "
                      "and %d slots a layer",
                      pool->name, engines, slots_per_rank(scenario, options), EEP_WIRE_MAX_RANKS,
                      EEP_WIRE_MAX_SLOTS);
    return TRUE;
}

gboolean eep_hardware_check(const EepScenario *scenario, GError **error)
{
    const EepModel *model = &scenario->model;

    if (eep_hardware_is_constant(&scenario->hardware))
        return refuse(error, "hardware constant-step is a law of time, not a machine: choose "
                             "another profile");
    if (scenario->run.twin)
        return refuse(error, "a twin is a simulation: leave --twin and run.twin out");
    if (eep_model_n_moe_layers(model) == 0 || model->n_routed_experts > EEP_WIRE_MAX_EXPERTS ||
        model->hidden_size < 8 || model->moe_intermediate_size < 8 || model->experts_per_token > 64)
        return refuse(error,
                      "the model needs MoE layers, at most %d experts, top-64, and hidden sizes of "
                      "8 or more",
                      EEP_WIRE_MAX_EXPERTS);
    for (guint i = 0; i < scenario->n_pools; i++)
        if (!check_pool(scenario, &scenario->pools[i], error))
            return FALSE;
    return TRUE;
}

static const char *program_name(EepGpuDevice device)
{
    return device == EEP_GPU_DEVICE_EMULATED ? "eep-worker-emulated" : "eep-worker";
}

char *eep_hardware_find_worker(EepGpuDevice device, GError **error)
{
    const char *given = g_getenv("EEP_WORKER");
    const char *const folders[] = {"", "gpu"}; /* installed; in a build tree */
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = g_path_get_dirname(self != NULL ? self : ".");

    if (given != NULL && given[0] != '\0') {
        if (g_file_test(given, G_FILE_TEST_IS_EXECUTABLE))
            return g_canonicalize_filename(given, NULL);
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "EEP_WORKER=%s: is no program", given);
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(here, folders[i], program_name(device), NULL);

        if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            return g_steal_pointer(&path);
    }
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                "there is no %s beside %s: %s, or name it by EEP_WORKER", program_name(device),
                self != NULL ? self : "eep",
                device == EEP_GPU_DEVICE_GPU
                    ? "build with CUDA and NCCL (cmake -DEEP_CUDA=ON), use an emulated device "
                      "(eep run, eep calibrate: --device emulated; eep worker: --emulated)"
                    : "./quickstart builds both, or: cmake --build build/release");
    return NULL;
}

static const char *const labels[] = {
    [EEP_GPU_DEVICE_GPU] = "GPU", [EEP_GPU_DEVICE_EMULATED] = "EMULATED"};

gboolean eep_hardware_find_device(const char *label, EepGpuDevice *ret_device)
{
    for (guint i = 0; i < G_N_ELEMENTS(labels); i++)
        if (g_strcmp0(label, labels[i]) == 0) {
            *ret_device = (EepGpuDevice)i;
            return TRUE;
        }
    return FALSE;
}

void eep_hardware_fill_facts(EepGpuDevice device, EepRunFacts *ret_facts)
{
    ret_facts->backend = "cuda";
    ret_facts->label = labels[device];
}

char *eep_hardware_note(const EepScenario *scenario)
{
    gint64 n = eep_model_n_moe_layers(&scenario->model);

    return g_strdup_printf("workers compute %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                           " MoE layers over %s; bytes of phases shrink alike",
                           MIN(scenario->gpu.layers, n), n,
                           eep_transport_names[scenario->gpu.transport]);
}

/* -- popularity -- */

static void follow_step(EepObserver *observer, const EepStepRecord *step)
{
    EepHardwareRun *run = ((Follower *)observer)->run;

    eep_sim_predictor_advance(eep_execution_predictor(run->execution, step->pool), step->end,
                              step->step + 1);
}

static EepObserverOps follower_ops(void)
{
    EepObserverOps ops = eep_observer_none;

    ops.name = "popularity";
    ops.step = follow_step;
    return ops;
}

/* All kinds of tokens alike: a worker knows no classes. */
static void popularity_of(gpointer self, guint layer, EepTime now, double *ret_popularity)
{
    const PoolSource *source = self;
    const EepPopularity *popularity =
        eep_sim_predictor_popularity(eep_execution_predictor(source->run->execution, source->id));
    guint n = eep_popularity_n_components(popularity);
    guint n_experts = (guint)source->run->scenario->model.n_routed_experts;
    g_autofree double *one = g_new(double, n_experts);

    for (guint i = 0; i < n_experts; i++)
        ret_popularity[i] = 0.0;
    for (guint c = 0; c < n; c++) {
        eep_popularity_get(popularity, 0, c, layer, one);
        for (guint i = 0; i < n_experts; i++)
            ret_popularity[i] += one[i] / n;
    }
}

/* -- starting -- */

static void say(gpointer self, const char *line)
{
    const EepHardwareRun *run = self;

    if (!run->is_quiet)
        fprintf(stderr, "eep: %s\n", line);
}

static guint64 kv_bytes(const EepScenario *scenario, const EepScenarioPool *pool,
                        EepGpuDevice device)
{
    const EepModel *model = &scenario->model;
    double part =
        (double)MIN(scenario->gpu.layers, eep_model_n_moe_layers(model)) / (double)model->n_layers;
    double bytes = (double)pool->memory.num_gpu_blocks * (double)pool->options.block_size *
                   (double)eep_model_kv_bytes_per_token(model, 1) * part;

    if (device == EEP_GPU_DEVICE_EMULATED)
        bytes = MIN(bytes, (double)scenario->gpu.emulated_memory / KV_SHARE_OF_EMULATED);
    return (guint64)bytes;
}

static gboolean start_pools(EepHardwareRun *run, EepGpuDevice device, GError **error)
{
    const EepScenario *scenario = run->scenario;

    run->sources = g_new0(PoolSource, scenario->n_pools);
    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *pool = &scenario->pools[i];
        EepCudaPool started = {.model = &scenario->model,
                               .n_moe_layers = (guint)eep_model_n_moe_layers(&scenario->model),
                               .slots_per_rank = slots_per_rank(scenario, &pool->options),
                               .max_tokens = (guint)pool->options.max_num_batched_tokens,
                               .kv_cache_bytes = kv_bytes(scenario, pool, device),
                               .n_engines = (guint)pool->options.data_parallel_size,
                               .captures_graphs = !pool->options.enforce_eager,
                               .popularity = popularity_of,
                               .self = &run->sources[i]};

        run->sources[i] = (PoolSource){run, i};
        if (!eep_cuda_backend_start_pool(run->backend, i, &started, error)) {
            g_prefix_error(error, "pool %s: ", pool->name);
            return FALSE;
        }
    }
    return TRUE;
}

static guint engines_at_start(const EepScenario *scenario)
{
    guint n = 0;

    for (guint i = 0; i < scenario->n_pools; i++)
        n += (guint)scenario->pools[i].options.data_parallel_size;
    return n;
}

/* What to paste: where the coordinator listens on all of its addresses, by this host's name. */
static void tell_address(const EepHardwareRun *run, EepGpuDevice device)
{
    const char *address = eep_cuda_backend_address(run->backend);
    const char *port = g_str_has_prefix(address, "unix:") ? NULL : strrchr(address, ':');
    gboolean is_any = g_str_has_prefix(address, "0.0.0.0:") || g_str_has_prefix(address, "[::]:");
    g_autofree char *reachable =
        is_any ? g_strconcat(g_get_host_name(), port, NULL) : g_strdup(address);

    fprintf(stderr,
            "eep: waiting on %s for %u workers, a resize for more; each on a device of its own "
            "(0, 1, ...):\n"
            "  EEP_TOKEN=%s eep worker%s --connect %s --device 0\n",
            address, engines_at_start(run->scenario), eep_cuda_backend_token(run->backend),
            device == EEP_GPU_DEVICE_EMULATED ? " --emulated" : "", reachable);
}

static gboolean open_backend(EepHardwareRun *run, const EepHardwareOptions *options, GError **error)
{
    g_autofree char *program =
        options->spawns ? eep_hardware_find_worker(options->device, error) : NULL;
    EepCudaBackendOptions backend = {.gpu = &run->scenario->gpu,
                                     .device = options->device,
                                     .spawns = options->spawns,
                                     .worker_program = program,
                                     .token = g_getenv("EEP_TOKEN"),
                                     .seed = (guint64)run->scenario->seed,
                                     .say = say,
                                     .self = run};

    if (!options->spawns && run->scenario->gpu.transport == EEP_TRANSPORT_LOOPBACK)
        return refuse(error, "gpu.transport loopback has all ranks in one process, which eep run "
                             "starts itself: leave --workers wait out");
    if (options->spawns && program == NULL)
        return FALSE;
    run->clock = eep_clock_real_new(error);
    if (run->clock == NULL)
        return FALSE;
    backend.clock = run->clock;
    backend.mailbox = run->mailbox = eep_mailbox_new(run->clock);
    run->backend = eep_cuda_backend_new(&backend, error);
    if (run->backend == NULL)
        return FALSE;
    if (!options->spawns)
        tell_address(run, options->device);
    return start_pools(run, options->device, error);
}

static gboolean look_for_breach(gpointer self, GError **error)
{
    const EepHardwareRun *run = self;
    const char *breach = run->backend != NULL ? eep_cuda_backend_breach(run->backend) : NULL;

    if (breach == NULL)
        return TRUE;
    g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_BREACH,
                "a result is wrong: %s", breach);
    return FALSE;
}

static gboolean put_together(EepHardwareRun *run, EepJournal *journal, GError **error)
{
    EepBackendCaps caps;
    EepExecutionParts parts = {.observer = run->fan,
                               .journal = journal,
                               .look = look_for_breach,
                               .look_self = run,
                               .patience = run->scenario->gpu.wait_timeout + EXTRA_PATIENCE};

    if (run->backend != NULL) {
        parts.clock = run->clock;
        parts.backend = run->backend;
        parts.injector = eep_cuda_backend_injector(run->backend);
    } else {
        eep_cuda_backend_caps(&caps);
        parts.clock = eep_clock_replay_new(FALSE);
        parts.backend = eep_backend_replay_new(&caps);
    }
    return eep_execution_put_together(run->execution, &parts, error);
}

EepHardwareRun *eep_hardware_run_new(const EepScenario *scenario, const EepSkewRecords *records,
                                     EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                     const EepHardwareOptions *options, GError **error)
{
    static EepObserverOps ops;
    g_autoptr(EepHardwareRun) run = g_new0(EepHardwareRun, 1);
    gboolean is_replay = journal != NULL && eep_journal_is_replay(journal);

    ops = follower_ops();
    run->scenario = scenario;
    run->is_quiet = options->is_quiet;
    run->follower = (Follower){{&ops}, run};
    run->fan = eep_observer_fan_new();
    eep_observer_fan_add(run->fan, &run->follower.base);
    eep_observer_fan_add(run->fan, observer);
    run->execution = eep_execution_new(scenario, records, trace);
    if (!is_replay && !open_backend(run, options, error)) {
        /* Nobody has taken them over yet. */
        eep_backend_free(g_steal_pointer(&run->backend));
        if (run->clock != NULL)
            eep_clock_free(g_steal_pointer(&run->clock));
        return NULL;
    }
    if (!put_together(run, journal, error))
        return NULL;
    return g_steal_pointer(&run);
}

void eep_hardware_run_free(EepHardwareRun *run)
{
    if (run == NULL)
        return;
    eep_execution_free(run->execution);
    eep_mailbox_free(run->mailbox);
    eep_observer_fan_free(run->fan);
    g_free(run->sources);
    g_free(run);
}

EepExecution *eep_hardware_run_execution(EepHardwareRun *run)
{
    return run->execution;
}

gboolean eep_hardware_run_run(EepHardwareRun *run, EepExecutionProgress progress, gpointer self,
                              gboolean *ret_interrupted, GError **error)
{
    if (run->backend != NULL)
        eep_clock_real_start(run->clock);
    if (!eep_execution_run(run->execution, progress, self, ret_interrupted, error))
        return FALSE;
    if (run->backend != NULL && !*ret_interrupted)
        eep_cuda_backend_check_experts(run->backend);
    return look_for_breach(run, error);
}

static void write_version(EepJson *json, const char *key, guint major, guint minor)
{
    char text[32];

    g_snprintf(text, sizeof text, "%u.%u", major, minor);
    eep_json_add_string(json, key, text);
}

static void write_worker(const EepCudaWorkerFacts *facts, EepJson *json)
{
    const EepWireDevice *device = &facts->device;

    if (facts->host == NULL)
        return; /* it never came */
    eep_json_begin_object(json, NULL);
    eep_json_add_uint(json, "worker", facts->worker);
    eep_json_add_string(json, "host", facts->host);
    eep_json_add_uint(json, "pid", facts->pid);
    eep_json_add_string(json, "device", device->name);
    eep_json_add_string(json, "bus_id", device->bus_id);
    eep_json_add_bool(json, "emulated", device->is_emulated != 0);
    write_version(json, "compute_capability", device->cc_major, device->cc_minor);
    eep_json_add_uint(json, "memory_bytes", device->memory_bytes);
    eep_json_add_int(json, "memory_used_bytes", facts->memory_used_bytes);
    write_version(json, "cuda", device->runtime_version / 1000,
                  device->runtime_version % 1000 / 10);
    write_version(json, "driver", device->driver_version / 1000,
                  device->driver_version % 1000 / 10);
    write_version(json, "nccl", device->nccl_version / 10000, device->nccl_version / 100 % 100);
    eep_json_add_string(json, "grouped_gemm", facts->gemm);
    eep_json_end_object(json);
}

void eep_hardware_run_write(gconstpointer self, EepJson *json)
{
    const EepHardwareRun *run = self;
    EepCudaBackendCounts counts;

    if (run->backend == NULL)
        return;
    counts = eep_cuda_backend_counts(run->backend);
    eep_json_begin_object(json, "checked");
    eep_json_add_uint(json, "steps", counts.n_steps);
    eep_json_add_uint(json, "probes", counts.n_probes);
    eep_json_add_uint(json, "expert_checksums", counts.n_checksums);
    eep_json_end_object(json);
    eep_json_begin_array(json, "workers");
    for (guint i = 0; i < eep_cuda_backend_n_workers(run->backend); i++)
        write_worker(eep_cuda_backend_worker(run->backend, i), json);
    eep_json_end_array(json);
}

char *eep_hardware_run_describe(const EepHardwareRun *run)
{
    EepCudaBackendCounts counts;
    g_autofree char *probes = NULL, *steps = NULL, *checksums = NULL;

    if (run->backend == NULL)
        return NULL;
    counts = eep_cuda_backend_counts(run->backend);
    probes = eep_human_integer((gint64)counts.n_probes);
    steps = eep_human_integer((gint64)counts.n_steps);
    checksums = eep_human_integer((gint64)counts.n_checksums);
    return g_strdup_printf(
        "%u workers, %" G_GUINT64_FORMAT " lost; right: %s probes in %s steps, %s expert checksums",
        eep_cuda_backend_n_workers(run->backend), counts.n_lost, probes, steps, checksums);
}
