#include "cli/calibration_run.h"

#include <stdio.h>

#include "cli/command.h"
#include "cli/hardware_run.h"
#include "core/percentile.h"
#include "live/clock_real.h"

/* For one measurement; the largest of a GPU take milliseconds a sample, communicators seconds. */
#define WAIT_TIMEOUT (120 * EEP_NS_PER_S)
#define POOL         0

typedef struct {
    const EepCalibrationWorkers *who;
    EepGpuOptions gpu;
    EepClock *clock;
    EepMailbox *mailbox;
    EepBackend *backend;
    gboolean is_over; /* what they say at the end is of no interest */
} Workers;

static void say(gpointer self, const char *line)
{
    const Workers *workers = self;

    if (!workers->is_over)
        fprintf(stderr, "eep: %s\n", line);
}

static void workers_close(Workers *workers)
{
    workers->is_over = TRUE;
    if (workers->backend != NULL)
        eep_backend_free(workers->backend);
    eep_mailbox_free(workers->mailbox);
    if (workers->clock != NULL)
        eep_clock_free(workers->clock);
    eep_options_clear(&eep_gpu_options, &workers->gpu);
}

static gboolean explain(const Workers *workers, const EepCalibrationOptions *options,
                        const char *why, GError **error)
{
    g_autofree char *needed =
        workers->who->are_waited_for
            ? g_strdup("start as many `eep worker` as there are --ranks, all on one host")
            : g_strdup_printf("%u rank%s need%s as many %s", options->n_ranks,
                              options->n_ranks == 1 ? "" : "s", options->n_ranks == 1 ? "s" : "",
                              options->is_emulated
                                  ? "emulated devices (EEP_EMULATED_DEVICES)"
                                  : "GPUs on this host: fewer --ranks, or --device emulated");

    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "calibrate: %s; %s", why,
                needed);
    return FALSE;
}

/* What is measured between ranks is taken for the links inside a host. */
static gboolean check_hosts(const Workers *workers, GError **error)
{
    const char *first = eep_cuda_backend_worker(workers->backend, 0)->host;

    for (guint i = 1; i < eep_cuda_backend_n_workers(workers->backend); i++) {
        const char *host = eep_cuda_backend_worker(workers->backend, i)->host;

        if (g_strcmp0(first, host) == 0)
            continue;
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "calibrate: ranks are on hosts %s and %s, and what is measured between ranks "
                    "would be taken for the links inside a host (nvlink_*): start all workers on "
                    "one host; figures of the network (nic_*) are not measured",
                    first, host);
        return FALSE;
    }
    return TRUE;
}

/* Workers hold no model: what is measured brings its own matrices. */
static gboolean start_workers(Workers *workers, const EepCalibrationOptions *options,
                              GError **error)
{
    EepCudaPool pool = {.model = options->model,
                        .n_moe_layers = 0,
                        .slots_per_rank = 1,
                        .max_tokens = 1,
                        .n_engines = options->n_ranks};
    g_autoptr(GError) why = NULL;

    if (workers->who->are_waited_for) {
        g_autofree char *how_many = g_strdup_printf("%u", options->n_ranks);

        eep_hardware_tell_address(
            workers->backend, options->is_emulated ? EEP_GPU_DEVICE_EMULATED : EEP_GPU_DEVICE_GPU,
            how_many, "--listen 0.0.0.0:29500");
    }
    if (!eep_cuda_backend_start_pool(workers->backend, POOL, &pool, &why))
        return explain(workers, options, why->message, error);
    return check_hosts(workers, error);
}

static gboolean workers_open(Workers *workers, const EepCalibrationOptions *options, GError **error)
{
    EepGpuDevice device = options->is_emulated ? EEP_GPU_DEVICE_EMULATED : EEP_GPU_DEVICE_GPU;
    gboolean spawns = !workers->who->are_waited_for;
    g_autofree char *program = spawns ? eep_hardware_find_worker(device, error) : NULL;
    EepCudaBackendOptions backend = {.gpu = &workers->gpu,
                                     .device = device,
                                     .spawns = spawns,
                                     .worker_program = program,
                                     .token = workers->who->token,
                                     .say = say,
                                     .self = workers};

    if (spawns && program == NULL)
        return FALSE;
    workers->gpu.layers = 0;
    workers->gpu.wait_timeout = WAIT_TIMEOUT;
    g_free(workers->gpu.listen);
    workers->gpu.listen = g_strdup(workers->who->listen);
    workers->clock = eep_clock_real_new(error);
    if (workers->clock == NULL)
        return FALSE;
    backend.clock = workers->clock;
    backend.mailbox = workers->mailbox = eep_mailbox_new(workers->clock);
    workers->backend = eep_cuda_backend_new(&backend, error);
    if (workers->backend != NULL)
        return start_workers(workers, options, error);
    if (workers->who->listen != NULL)
        g_prefix_error(error, "--listen %s: ", workers->who->listen);
    return FALSE;
}

EepCalibrationPoint eep_calibration_point(const EepMeasurement *what, GArray *samples)
{
    static const double quartiles[] = {0.25, 0.5, 0.75};
    g_autofree gint64 *sorted = g_memdup2(samples->data, samples->len * sizeof(gint64));
    double ns[G_N_ELEMENTS(quartiles)] = {0};

    eep_percentile_select(sorted, samples->len, quartiles, G_N_ELEMENTS(quartiles), ns);
    return (EepCalibrationPoint){*what, ns[1] / EEP_NS_PER_S, (ns[2] - ns[0]) / EEP_NS_PER_S};
}

static void samples_free(gpointer samples)
{
    g_array_unref(samples);
}

static gboolean measure(EepCalibrationRun *run, Workers *workers, const EepMeasurement *what,
                        GError **error)
{
    GArray *samples = g_array_sized_new(FALSE, TRUE, sizeof(gint64), what->n_samples);
    EepCalibrationPoint point;

    g_array_set_size(samples, what->n_samples);
    g_ptr_array_add(run->samples, samples);
    if (!eep_cuda_backend_measure(workers->backend, POOL, what, (gint64 *)(gpointer)samples->data,
                                  error))
        return FALSE;
    point = eep_calibration_point(what, samples);
    g_array_append_val(run->points, point);
    return TRUE;
}

static gboolean measure_all(EepCalibrationRun *run, Workers *workers,
                            const EepCalibrationOptions *options, EepCalibrationProgress progress,
                            gpointer self, GError **error)
{
    g_autoptr(GArray) plan = eep_calibration_plan(options);

    run->device = *eep_cuda_backend_device(workers->backend);
    for (guint i = 0; i < plan->len; i++) {
        const EepMeasurement *what = &g_array_index(plan, EepMeasurement, i);

        progress(self, i, plan->len, what);
        if (!measure(run, workers, what, error)) {
            g_prefix_error(error, "calibrate: ");
            return FALSE;
        }
    }
    return TRUE;
}

EepCalibrationRun *eep_calibration_run_new(const EepCalibrationOptions *options,
                                           const EepCalibrationWorkers *who,
                                           EepCalibrationProgress progress, gpointer self,
                                           GError **error)
{
    g_autoptr(EepCalibrationRun) run = g_new0(EepCalibrationRun, 1);
    Workers workers = {.who = who};
    gboolean is_good;

    run->points = g_array_new(FALSE, FALSE, sizeof(EepCalibrationPoint));
    run->samples = g_ptr_array_new_with_free_func(samples_free);
    eep_options_init(&eep_gpu_options, &workers.gpu);
    is_good = workers_open(&workers, options, error) &&
              measure_all(run, &workers, options, progress, self, error);
    workers_close(&workers);
    return is_good ? g_steal_pointer(&run) : NULL;
}

void eep_calibration_run_free(EepCalibrationRun *run)
{
    if (run == NULL)
        return;
    g_array_unref(run->points);
    g_ptr_array_unref(run->samples);
    g_free(run);
}
