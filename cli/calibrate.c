/* eep calibrate: a hardware profile of the device at hand, measured. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/calibration_report.h"
#include "cli/command.h"
#include "cli/data.h"
#include "cli/output_file.h"

#define MOST_RANKS    64
#define DEFAULT_MODEL "deepseek-v2-lite"
#define DEFAULT_OUT   "calibration"
#define SAMPLES_FILE  "samples.csv"

typedef struct {
    char *device, *workers, *listen, *model, *base, *out;
    gint n_ranks;
    gboolean is_quick, as_json;
} Flags;

static void flags_clear(Flags *flags)
{
    g_free(flags->device);
    g_free(flags->workers);
    g_free(flags->listen);
    g_free(flags->model);
    g_free(flags->base);
    g_free(flags->out);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Flags, flags_clear)

G_GNUC_PRINTF(2, 3)
static gboolean refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "calibrate: %s", what);
    return FALSE;
}

/* A folder that is empty, or is not there and can be made: measuring takes minutes, and what it was
 * for has to be known before. */
static gboolean check_out(const char *out, GError **error)
{
    g_autoptr(GDir) folder = NULL;

    if (!g_file_test(out, G_FILE_TEST_EXISTS))
        return (g_mkdir_with_parents(out, 0777) == 0 && rmdir(out) == 0) ||
               refuse(error, "--out %s cannot be made: %s: take another folder", out,
                      g_strerror(errno));
    if (!g_file_test(out, G_FILE_TEST_IS_DIR))
        return refuse(error, "--out %s is no folder", out);
    folder = g_dir_open(out, 0, error);
    if (folder == NULL)
        return FALSE;
    if (g_dir_read_name(folder) != NULL)
        return refuse(error, "--out %s is not empty: take another folder, or empty it", out);
    return access(out, W_OK) == 0 ||
           refuse(error, "--out %s: %s: take another folder", out, g_strerror(errno));
}

static gboolean check_flags(const Flags *flags, GError **error)
{
    EepHardware hardware;

    if (flags->device != NULL && strcmp(flags->device, "gpu") != 0 &&
        strcmp(flags->device, "emulated") != 0)
        return refuse(error, "--device %s: gpu or emulated", flags->device);
    if (flags->workers != NULL && strcmp(flags->workers, "spawn") != 0 &&
        strcmp(flags->workers, "wait") != 0)
        return refuse(error, "--workers %s: spawn or wait", flags->workers);
    if (flags->listen != NULL && g_strcmp0(flags->workers, "wait") != 0)
        return refuse(error, "--listen is for workers that come: --workers wait");
    if (flags->n_ranks < 1 || flags->n_ranks > MOST_RANKS)
        return refuse(error, "--ranks %d: from 1 to %d, a GPU of one host each", flags->n_ranks,
                      MOST_RANKS);
    if (flags->base != NULL) {
        g_autoptr(EepProfile) base = eep_profile_load(
            &eep_profile_hardware, flags->base, eep_data_scenario_folders(), &hardware, error);

        if (base == NULL)
            return FALSE;
        eep_options_clear(&eep_hardware_options, &hardware);
        if (strcmp(base->name, "constant-step") == 0)
            return refuse(error, "--base %s is a law of time, not a machine", flags->base);
    }
    return check_out(flags->out != NULL ? flags->out : DEFAULT_OUT, error);
}

static void show_progress(gpointer self, guint index, guint n, const EepMeasurement *measurement)
{
    g_autofree char *size = eep_measurement_size(measurement);

    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Keep: %u of %u: %s, %u rank%s %s%s", index + 1, n,
                eep_measures[measurement->kind].name, measurement->n_ranks,
                measurement->n_ranks == 1 ? "" : "s", size, index + 1 == n ? "\n" : "");
}

static gboolean write_file(const char *folder, const char *name, const EepText *text,
                           GError **error)
{
    g_autoptr(EepOutputFile) file = eep_output_file_open(folder, name, error);

    if (file == NULL)
        return FALSE;
    eep_text_add_bytes(eep_output_file_text(file), text->data, text->length);
    eep_output_file_added(file);
    return eep_output_file_close(file, error) && eep_output_file_publish(file, error);
}

static gboolean write_files(const char *out, const char *profile_name, const EepCalibrationRun *run,
                            const EepCalibrationProfile *profile, GError **error)
{
    g_auto(EepText) samples = {0};
    g_auto(EepText) yaml = {0};

    if (g_mkdir_with_parents(out, 0777) != 0) {
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot be made: %s", out,
                    g_strerror(errno));
        return FALSE;
    }
    eep_calibration_add_samples(run, &samples);
    eep_calibration_profile_write(profile, &yaml);
    return write_file(out, SAMPLES_FILE, &samples, error) &&
           write_file(out, profile_name, &yaml, error);
}

/* What was written is read back as a run will read it. */
static int report(const EepCalibrationRun *run, const EepCalibrationProfile *profile,
                  const char *out, const char *profile_name, gboolean as_json)
{
    g_autofree char *path = g_build_filename(out, profile_name, NULL);
    g_autofree char *samples = g_build_filename(out, SAMPLES_FILE, NULL);
    g_auto(EepText) text = {0};
    EepHardware hardware;
    GError *error = NULL;
    EepCalibrationReport report = {run, profile, &hardware, path, samples};
    g_autoptr(EepProfile) loaded = eep_profile_load(&eep_profile_hardware, path,
                                                    eep_data_scenario_folders(), &hardware, &error);

    if (loaded == NULL)
        return eep_command_fail(error);
    if (as_json) {
        EepJson json;

        eep_json_init(&json, &text, EEP_JSON_PRETTY);
        eep_calibration_add_json(&report, &json);
    } else {
        eep_calibration_add_report(&report, &text);
    }
    eep_options_clear(&eep_hardware_options, &hardware);
    return eep_command_print(&text);
}

static int calibrate(const Flags *flags, const EepModel *model)
{
    const char *out = flags->out != NULL ? flags->out : DEFAULT_OUT;
    EepCalibrationOptions options = {
        .is_emulated = g_strcmp0(flags->device, "emulated") == 0,
        .is_quick = flags->is_quick,
        .n_ranks = (guint)flags->n_ranks,
        .model = model,
    };
    const EepCalibrationWorkers who = {g_strcmp0(flags->workers, "wait") == 0, flags->listen,
                                       g_getenv("EEP_TOKEN")};
    GError *error = NULL;
    g_autoptr(EepCalibrationRun) run =
        eep_calibration_run_new(&options, &who, show_progress, NULL, &error);
    g_autoptr(EepCalibrationProfile) profile =
        run != NULL ? eep_calibration_profile_new(run, flags->base, &error) : NULL;
    g_autofree char *file = profile != NULL ? g_strconcat(profile->name, ".yaml", NULL) : NULL;

    if (profile == NULL || !write_files(out, file, run, profile, &error))
        return eep_command_fail(error);
    return report(run, profile, out, file, flags->as_json);
}

int eep_command_calibrate(int argc, char **argv)
{
    g_auto(Flags) flags = {.n_ranks = 1};
    const GOptionEntry entries[] = {
        {"device", 0, 0, G_OPTION_ARG_STRING, &flags.device, "gpu (default) or emulated",
         "gpu|emulated"},
        {"ranks", 0, 0, G_OPTION_ARG_INT, &flags.n_ranks, "GPUs of one host; 1 without", "N"},
        {"workers", 0, 0, G_OPTION_ARG_STRING, &flags.workers,
         "spawn (default), or wait for `eep worker` on another host", "spawn|wait"},
        {"listen", 0, 0, G_OPTION_ARG_STRING, &flags.listen,
         "where workers that are waited for come to; this host alone without", "HOST:PORT"},
        {"model", 0, 0, G_OPTION_ARG_STRING, &flags.model,
         "whose matrices are multiplied; " DEFAULT_MODEL " without", "PROFILE"},
        {"base", 0, 0, G_OPTION_ARG_STRING, &flags.base,
         "where figures that are not measured come from; by the device's name without", "PROFILE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &flags.out,
         "a new or empty folder; " DEFAULT_OUT " without", "DIR"},
        {"quick", 0, 0, G_OPTION_ARG_NONE, &flags.is_quick, "fewer sizes and samples", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(EepProfile) model_profile = NULL;
    EepModel model;
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 0, 0, &argc, &argv, &status))
        return status;
    if (!check_flags(&flags, &error))
        return eep_command_fail(error);
    model_profile =
        eep_profile_load(&eep_profile_model, flags.model != NULL ? flags.model : DEFAULT_MODEL,
                         eep_data_scenario_folders(), &model, &error);
    if (model_profile == NULL)
        return eep_command_fail(error);
    status = calibrate(&flags, &model);
    eep_options_clear(&eep_model_options, &model);
    return status;
}
