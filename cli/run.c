/* eep run: runs a scenario on the simulator or on workers, writes its run folder and prints the
 * summary. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/hardware_run.h"
#include "cli/invariants.h"
#include "cli/journal_file.h"
#include "cli/run_folder.h"
#include "cli/run_notes.h"
#include "cli/scenario_facts.h"
#include "cli/simulation.h"
#include "cli/summary_screen.h"
#include "cli/traffic.h"
#include "cli/twin.h"

typedef struct {
    char **sets, *out, *backend, *device, *workers, *journal, *replay;
    gint64 seed;
    gboolean json, quiet, twin;
} Options;

/* Everything of one run, in the order in which it is made and the reverse of which it goes. */
typedef struct {
    char *path;
    EepScenario *scenario;
    EepScenarioFacts *scenario_facts;
    EepSkewRecords *skew_records;
    EepTrace *trace;
    EepRunFolder *folder;
    EepMetrics *metrics;
    EepTokenCurve *curve; /* NULL: no twin */
    EepRunNotes *notes;
    EepTwin twin;
    EepObserver *fan;
    EepJournalFile *journal;
    EepExecution *execution;  /* the hardware's, if there is one */
    EepHardwareRun *hardware; /* NULL: a simulation */
    EepHardwareOptions hardware_options;
    gint64 started_us, shown_us, flushed_us;
    gboolean shows_progress, is_on_hardware;
} Run;

/* How far behind events.jsonl may be for whoever follows a run on workers. */
#define FLUSH_US 200000

static volatile sig_atomic_t was_interrupted;

static void on_signal(int signal_number)
{
    was_interrupted = 1;
}

/* The first Ctrl-C ends the run in order, a second one at once. A file that may not grow further is
 * a write that failed. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    was_interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

static gboolean is_interrupted(void)
{
    return was_interrupted != 0;
}

static gboolean on_progress(gpointer self, EepTime now, guint64 n_submitted)
{
    Run *run = self;
    gint64 now_us = g_get_monotonic_time();

    if (run->shows_progress && now_us - run->shown_us > 200000) {
        double done = eep_time_to_seconds(now);

        run->shown_us = now_us;
        fprintf(stderr, "\r%3d:%02d of %s time, %" G_GUINT64_FORMAT " requests, %.0f x real time ",
                (int)(done / 60.0), (int)done % 60, run->is_on_hardware ? "real" : "virtual",
                n_submitted, done * 1e6 / (double)(now_us - run->started_us));
        fflush(stderr);
    }
    /* Real time may be long. */
    if (run->is_on_hardware && now_us - run->flushed_us > FLUSH_US) {
        run->flushed_us = now_us;
        eep_run_folder_flush(run->folder);
    }
    return !was_interrupted;
}

static void end_progress(Run *run)
{
    if (run->shown_us > 0)
        fprintf(stderr, "\r%79s\r", "");
}

/* One of two words; NULL is the first. FALSE: neither. */
static gboolean is_second(const char *given, const char *first, const char *second,
                          gboolean *ret_second)
{
    *ret_second = given != NULL && strcmp(given, second) == 0;
    return *ret_second || given == NULL || strcmp(given, first) == 0;
}

static gboolean check_options(Run *run, const Options *options, GError **error)
{
    gboolean is_emulated, waits;
    const char *what = NULL;

    if (!is_second(options->backend, "sim", "cuda", &run->is_on_hardware))
        what = "--backend: unknown backend: sim or cuda";
    else if (!is_second(options->device, "gpu", "emulated", &is_emulated))
        what = "--device: gpu or emulated";
    else if (!is_second(options->workers, "spawn", "wait", &waits))
        what = "--workers: spawn or wait";
    else if (!run->is_on_hardware && (options->device != NULL || options->workers != NULL))
        what = "--device and --workers: only with --backend cuda";
    else if (options->journal != NULL && options->replay != NULL)
        what = "--journal and --replay exclude each other: a replay records nothing";
    if (what != NULL) {
        g_set_error_literal(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, what);
        return FALSE;
    }
    run->hardware_options =
        (EepHardwareOptions){.device = is_emulated ? EEP_GPU_DEVICE_EMULATED : EEP_GPU_DEVICE_GPU,
                             .spawns = !waits,
                             .is_quiet = options->quiet,
                             .is_interrupted = is_interrupted};
    return TRUE;
}

/* A journal says where it was recorded, so that a replay need not be told; what it is told all the
 * same must agree. */
static gboolean open_replay(Run *run, const Options *options, GError **error)
{
    EepGpuDevice device = run->hardware_options.device;
    gboolean is_told = options->backend != NULL;

    if (options->replay == NULL)
        return TRUE;
    run->journal = eep_journal_file_open(options->replay, error);
    if (run->journal == NULL)
        return FALSE;
    g_autofree char *label = eep_journal_file_label(run->journal);
    gboolean was_on_hardware = eep_hardware_find_device(label, &run->hardware_options.device);
    if ((is_told && run->is_on_hardware != was_on_hardware) ||
        (options->device != NULL && device != run->hardware_options.device)) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s: was recorded from a run that was %s: leave --backend and --device out",
                    options->replay, label != NULL ? label : "SIMULATED");
        return FALSE;
    }
    run->is_on_hardware = was_on_hardware;
    return TRUE;
}

/* What the hardware must have before there is a run folder. */
static gboolean check_hardware(const Run *run, const Options *options, GError **error)
{
    g_autofree char *program = NULL;

    if (!run->is_on_hardware)
        return TRUE;
    if (!eep_hardware_check(run->scenario, error))
        return FALSE;
    if (options->replay != NULL || !run->hardware_options.spawns)
        return TRUE;
    program = eep_hardware_find_worker(run->hardware_options.device, error);
    return program != NULL;
}

static void fill_facts(const Run *run, EepRunFacts *ret_facts)
{
    eep_scenario_facts_fill(run->scenario_facts, ret_facts);
    if (run->is_on_hardware)
        eep_hardware_fill_facts(run->hardware_options.device, ret_facts);
}

static gboolean check_expectations(const EepScenario *scenario, GError **error)
{
    for (char **expect = scenario->expect; *expect != NULL; expect++)
        if (!eep_expect_check(*expect, error))
            return FALSE;
    return TRUE;
}

static EepScenario *load(const Run *run, const Options *options, GError **error)
{
    return eep_scenario_load(run->path, eep_data_scenario_folders(),
                             (const char *const *)options->sets, options->seed, error);
}

static gboolean open_run(Run *run, const Options *options, const char *argument, GError **error)
{
    EepRunFolderOptions folder;
    EepRunFacts facts = {0};

    if (!open_replay(run, options, error))
        return FALSE;
    run->path = eep_data_find_scenario(argument, error);
    if (run->path == NULL)
        return FALSE;
    run->scenario = load(run, options, error);
    if (run->scenario == NULL || !check_expectations(run->scenario, error) ||
        !eep_scenario_check_files(run->scenario, error) || !check_hardware(run, options, error))
        return FALSE;
    run->trace = eep_traffic_open(run->scenario, error);
    if (run->trace == NULL)
        return FALSE;
    run->skew_records = eep_skew_records_read(run->scenario, error);
    if (run->skew_records == NULL)
        return FALSE;
    run->scenario_facts = eep_scenario_facts_new(run->scenario, error);
    if (run->scenario_facts == NULL)
        return FALSE;
    fill_facts(run, &facts);
    if (options->replay != NULL && !eep_journal_file_check(run->journal, &facts, error))
        return FALSE;
    if (options->journal != NULL) {
        run->journal = eep_journal_file_create(options->journal, &facts, error);
        if (run->journal == NULL)
            return FALSE;
    }
    folder = (EepRunFolderOptions){(EepOutputEvents)run->scenario->output.events, facts.pools,
                                   facts.n_pools};
    catch_signals(); /* from here on there is a folder to finish or to take away */
    run->folder = eep_run_folder_open(options->out, run->scenario->name, &folder, error);
    return run->folder != NULL;
}

static gboolean put_together(Run *run, GError **error)
{
    EepJournal *journal = run->journal != NULL ? eep_journal_file_journal(run->journal) : NULL;

    if (run->is_on_hardware)
        run->hardware = eep_hardware_run_new(run->scenario, run->skew_records, run->trace, run->fan,
                                             journal, &run->hardware_options, error);
    else
        run->execution = eep_simulation_new(run->scenario, run->skew_records, run->trace, run->fan,
                                            journal, error);
    if (run->hardware != NULL)
        run->execution = eep_hardware_run_execution(run->hardware);
    return run->execution != NULL;
}

static gboolean execute(Run *run, gboolean *ret_interrupted, GError **error)
{
    run->metrics = eep_metrics_new(&run->scenario->slo, &run->scenario->measure);
    run->fan = eep_observer_fan_new();
    eep_observer_fan_add(run->fan, eep_metrics_observer(run->metrics));
    eep_observer_fan_add(run->fan, eep_run_folder_observer(run->folder));
    run->notes = eep_run_notes_new();
    eep_observer_fan_add(run->fan, eep_run_notes_observer(run->notes));
    if (run->scenario->run.twin) {
        run->curve = eep_token_curve_new();
        eep_observer_fan_add(run->fan, eep_token_curve_observer(run->curve));
    }
    if (!put_together(run, error))
        return FALSE;
    gboolean is_ok =
        run->hardware != NULL
            ? eep_hardware_run_run(run->hardware, on_progress, run, ret_interrupted, error)
            : eep_execution_run(run->execution, on_progress, run, ret_interrupted, error);
    /* The journal of a run that failed is the way to see it fail again. */
    return (run->journal == NULL || eep_journal_file_close(run->journal, is_ok ? error : NULL)) &&
           is_ok;
}

static void finish_metrics(Run *run)
{
    EepDeployment *deployment = eep_execution_deployment(run->execution);
    EepMetricsEnd end = {.end_of_traffic = eep_execution_end_of_traffic(run->execution),
                         .end = eep_execution_end(run->execution)};

    for (guint i = 0; i < eep_deployment_n_pools(deployment); i++) {
        EepPoolCounts counts;

        eep_pool_get_counts(eep_deployment_pool(deployment, i), &counts);
        end.n_recomputed_tokens += counts.n_recomputed_tokens;
    }
    eep_metrics_finish(run->metrics, &end);
}

/* A twin that fails takes nothing from the run but the comparison. */
static void run_twin(Run *run, const Options *options)
{
    GError *error = NULL;
    gboolean is_cut_short = FALSE;

    eep_token_curve_finish(run->curve);
    g_autoptr(EepScenario) scenario = load(run, options, &error);
    if (scenario != NULL)
        eep_twin_run(&run->twin, scenario, run->skew_records, run->metrics, run->curve, on_progress,
                     run, &is_cut_short, &error);
    if (error != NULL)
        run->twin.note = g_strdup_printf("no twin: %s", error->message);
    else if (is_cut_short)
        run->twin.note = g_strdup("no twin: it was interrupted");
    g_clear_error(&error);
}

static EepWallclock wallclock_of(const Run *run, const char *host)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (EepWallclock){.started_unix_s = g_get_real_time() / G_USEC_PER_SEC,
                          .wall_s = (double)(g_get_monotonic_time() - run->started_us) / 1e6,
                          .host = host,
                          .folder = eep_run_folder_path(run->folder),
                          .n_events = eep_execution_n_events(run->execution),
                          .peak_rss_bytes = (gint64)usage.ru_maxrss * 1024,
                          .write_workers = run->hardware != NULL ? eep_hardware_run_write : NULL,
                          .workers = run->hardware};
}

/* NULL-terminated; *ret_holds: no invariant broke but by a known flaw. */
static GPtrArray *notes_of(const Run *run, gboolean *ret_holds)
{
    GPtrArray *notes = g_ptr_array_new_with_free_func(g_free);

    *ret_holds = eep_invariants_add_notes(run->metrics, notes);
    eep_run_notes_add(run->notes, notes);
    for (guint i = 0; i < run->scenario->notes->len; i++)
        g_ptr_array_add(notes, g_strdup(run->scenario->notes->pdata[i]));
    if (eep_trace_skipped(run->trace) > 0)
        g_ptr_array_add(notes,
                        g_strdup_printf("%" G_GUINT64_FORMAT " bad rows of the trace were skipped",
                                        eep_trace_skipped(run->trace)));
    if (run->twin.note != NULL)
        g_ptr_array_add(notes, g_strdup(run->twin.note));
    if (run->is_on_hardware)
        g_ptr_array_add(notes, eep_hardware_note(run->scenario));
    g_ptr_array_add(notes, NULL);
    return notes;
}

static int report(Run *run, const Options *options, gboolean interrupted, GError **error)
{
    gboolean holds;
    g_autoptr(GPtrArray) notes = notes_of(run, &holds);
    EepRunFacts facts = {.version = EEP_VERSION,
                         .notes = (const char *const *)notes->pdata,
                         .twin = run->twin.figures,
                         .interrupted = interrupted};
    g_autoptr(EepSummary) summary = NULL;
    g_autofree char *workers =
        run->hardware != NULL ? eep_hardware_run_describe(run->hardware) : NULL;
    g_auto(EepText) text = {0};
    int status;

    fill_facts(run, &facts);
    facts.wallclock = wallclock_of(run, g_get_host_name());
    summary = eep_summary_new(run->metrics, &facts, error);
    if (summary == NULL ||
        !eep_run_folder_finish(run->folder, run->metrics, &facts, summary, error))
        return EEP_EXIT_FAILED;
    status = interrupted || was_interrupted ? EEP_EXIT_INTERRUPTED
             : !holds                       ? EEP_EXIT_FAILED
             : summary->is_expected         ? EEP_EXIT_DONE
                                            : EEP_EXIT_EXPECTATION;
    if (options->json) {
        eep_text_add_string(&text, summary->json);
    } else if (!options->quiet) {
        EepSummaryScreenPlace place = {eep_run_folder_path(run->folder),
                                       eep_run_folder_has_link(run->folder), status};

        eep_summary_screen_add(&text, run->metrics, &facts, summary, &place);
        if (eep_trace_skipped(run->trace) > 0)
            eep_command_add_line(&text, "Skipped   first: %s", eep_trace_first_skipped(run->trace));
        if (run->hardware != NULL && workers != NULL)
            eep_command_add_line(&text, "Workers   %s", workers);
        if (options->replay != NULL)
            eep_command_add_line(&text, "Replay    every decision is as in %s", options->replay);
        if (options->journal != NULL)
            eep_command_add_line(&text, "Journal   %s", options->journal);
    }
    return text.length == 0 || eep_command_print(&text) == EEP_EXIT_DONE ? status : EEP_EXIT_FAILED;
}

static void clear(Run *run)
{
    if (run->hardware != NULL)
        eep_hardware_run_free(run->hardware);
    else
        eep_execution_free(run->execution);
    eep_journal_file_free(run->journal);
    eep_observer_fan_free(run->fan);
    eep_run_folder_free(run->folder);
    eep_twin_clear(&run->twin);
    eep_token_curve_free(run->curve);
    eep_run_notes_free(run->notes);
    eep_metrics_free(run->metrics);
    eep_trace_free(run->trace);
    eep_scenario_facts_free(run->scenario_facts);
    eep_skew_records_free(run->skew_records);
    eep_scenario_free(run->scenario);
    g_free(run->path);
}

/* --twin is run.twin, so that scenario.yaml says it. */
static void add_twin(Options *options)
{
    GStrvBuilder *sets = g_strv_builder_new();

    if (options->sets != NULL)
        g_strv_builder_addv(sets, (const char **)options->sets);
    g_strv_builder_add(sets, "run.twin=true");
    g_strfreev(options->sets);
    options->sets = g_strv_builder_end(sets);
    g_strv_builder_unref(sets);
}

int eep_command_run(int argc, char **argv)
{
    Options options = {.seed = -1};
    const GOptionEntry entries[] = {
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.sets, "override one key", "KEY=VALUE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &options.out, "run folder", "DIR"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "seed instead of the scenario's", "N"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &options.backend,
         "what executes the steps; sim without", "sim|cuda"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &options.device, "what workers run on; gpu without",
         "gpu|emulated"},
        {"workers", 0, 0, G_OPTION_ARG_STRING, &options.workers,
         "start workers, or wait for them; spawn without", "spawn|wait"},
        {"journal", 0, 0, G_OPTION_ARG_FILENAME, &options.journal, "record every event", "FILE"},
        {"replay", 0, 0, G_OPTION_ARG_FILENAME, &options.replay, "run a journal again and compare",
         "FILE"},
        {"twin", 0, 0, G_OPTION_ARG_NONE, &options.twin,
         "run again with resizes that cost nothing, to say what they cost", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "print summary.json", NULL},
        {"quiet", 0, 0, G_OPTION_ARG_NONE, &options.quiet, "print nothing but errors", NULL},
        G_OPTION_ENTRY_NULL};
    Run run = {.started_us = g_get_monotonic_time()};
    GError *error = NULL;
    gboolean interrupted = FALSE;
    int status = EEP_EXIT_DONE;

    if (!eep_command_parse(entries, 1, 1, &argc, &argv, &status))
        return status;
    run.shows_progress = !options.quiet && isatty(STDERR_FILENO);
    if (options.twin)
        add_twin(&options);
    if (check_options(&run, &options, &error) && open_run(&run, &options, argv[1], &error) &&
        execute(&run, &interrupted, &error)) {
        finish_metrics(&run);
        if (run.curve != NULL && !interrupted)
            run_twin(&run, &options);
        end_progress(&run);
        if (options.replay != NULL && interrupted && !was_interrupted)
            fprintf(stderr, "%s: ends before the run does: replayed up to %.6f s\n", options.replay,
                    eep_time_to_seconds(eep_execution_end(run.execution)));
        status = report(&run, &options, interrupted, &error);
    }
    if (error != NULL)
        status = eep_command_fail(error);
    clear(&run);
    g_strfreev(options.sets);
    g_free(options.out);
    g_free(options.backend);
    g_free(options.device);
    g_free(options.workers);
    g_free(options.journal);
    g_free(options.replay);
    return status;
}
