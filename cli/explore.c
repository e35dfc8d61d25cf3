/* eep explore: every interleaving of events around the resize machine, for small worlds. */
#include "cli/command.h"
#include "cli/eplb_commands.h"
#include "cli/explore_print.h"

#include <string.h>

#define LIMIT_BYTES (G_GUINT64_CONSTANT(4) << 30)
#define UNSET       G_MININT

typedef struct {
    char *generation, *engines, *reduction, *recovery, *plant, *replay, *out;
    int faults, threads;
    gboolean deep, list_plants, json;
} Arguments;

G_GNUC_PRINTF(2, 3)
static gboolean refuse(GError **error, const char *format, ...)
{
    va_list args;
    g_autofree char *message = NULL;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, message);
    return FALSE;
}

/* "2" or "1..3". */
static gboolean read_engines(const char *text, EepExploreBound *bound, GError **error)
{
    g_auto(GStrv) words = g_strsplit(text != NULL ? text : "", "..", -1);
    guint n = g_strv_length(words);
    guint64 sizes[2] = {1, 1};

    if (text == NULL)
        return TRUE;
    if (n < 1 || n > 2)
        return refuse(error, "--engines: %s: A..B, or the most of them", text);
    for (guint i = 0; i < n; i++)
        if (!g_ascii_string_to_unsigned(words[i], 10, 0, G_MAXUINT, &sizes[2 - n + i], NULL))
            return refuse(error, "--engines: %s: A..B, or the most of them", text);
    if (sizes[0] < 1 || sizes[1] > 4 || sizes[0] >= sizes[1])
        return refuse(error, "--engines: %s: at least 1, at most 4, and two sizes", text);
    bound->from = (guint)sizes[0];
    bound->to = (guint)sizes[1];
    return TRUE;
}

static gboolean read_recovery(const char *text, EepExploreBound *bound, GError **error)
{
    if (text == NULL)
        return TRUE;
    for (guint i = 0; i < EEP_RECOVERY_COUNT; i++)
        if (strcmp(eep_recovery_names[i], text) == 0 && i != EEP_RECOVERY_REPLACE) {
            bound->recovery = (EepRecovery)i;
            return TRUE;
        }
    return refuse(error, "--recovery: %s: none, restart, retry, shrink or mask_only", text);
}

static gboolean read_bound(const Arguments *arguments, EepExploreBound *ret_bound, GError **error)
{
    const char *generation = arguments->generation;

    *ret_bound = (EepExploreBound){.from = 1,
                                   .to = 4,
                                   .n_faults = arguments->faults != UNSET ? arguments->faults : -1,
                                   .is_deep = arguments->deep,
                                   .recovery = EEP_RECOVERY_SHRINK,
                                   .is_reduced = TRUE,
                                   .max_bytes = LIMIT_BYTES};
    if (arguments->plant != NULL) {
        ret_bound->plant = eep_explore_plant_find(arguments->plant);
        ret_bound->to = 3;
        if (ret_bound->plant == NULL)
            return refuse(error, "--plant: there is no %s: eep explore --list-plants",
                          arguments->plant);
        if (generation == NULL)
            generation = ret_bound->plant->generation;
    }
    if (generation != NULL && strcmp(generation, "all") != 0) {
        ret_bound->generation = eep_generation_find(generation);
        if (ret_bound->generation == NULL)
            return refuse(error, "--generation: there is no %s: eep list generations", generation);
    }
    if (arguments->reduction != NULL && strcmp(arguments->reduction, "none") == 0)
        ret_bound->is_reduced = FALSE;
    else if (arguments->reduction != NULL && strcmp(arguments->reduction, "full") != 0)
        return refuse(error, "--reduction: %s: none or full", arguments->reduction);
    if (arguments->faults != UNSET && (arguments->faults < 0 || arguments->faults > 4))
        return refuse(error, "--faults: %d: 0 to 4", arguments->faults);
    if (arguments->threads != UNSET && (arguments->threads < 1 || arguments->threads > 64))
        return refuse(error, "--threads: %d: 1 to 64", arguments->threads);
    ret_bound->n_threads =
        arguments->threads != UNSET ? (guint)arguments->threads : MIN(g_get_num_processors(), 4);
    return read_engines(arguments->engines, ret_bound, error) &&
           read_recovery(arguments->recovery, ret_bound, error);
}

static int explore(const Arguments *arguments)
{
    g_auto(EepText) text = {0};
    EepExploreBound bound;
    GArray *jobs;
    const EepExploreJob *bad;
    gint64 start_us = g_get_monotonic_time();
    GError *error = NULL;
    int status;

    if (!read_bound(arguments, &bound, &error))
        return eep_command_fail(error);
    jobs = eep_explore_jobs_new(&bound);
    if (!eep_explore_jobs_run(jobs, &bound, &error)) {
        eep_explore_jobs_free(jobs);
        return eep_command_fail(error);
    }
    bad = eep_explore_print(jobs, &bound, (double)(g_get_monotonic_time() - start_us) / 1e6,
                            arguments->json, &text);
    if (bad != NULL && bad->result.path != NULL && arguments->out != NULL) {
        g_autoptr(GString) path = g_string_new(NULL);
        EepText file = {0};

        eep_explore_job_write(bad, path);
        eep_text_add_string(&file, path->str);
        if (!eep_eplb_write_file(arguments->out, &file, &error)) {
            eep_text_clear(&file);
            eep_explore_jobs_free(jobs);
            return eep_command_fail(error);
        }
        eep_text_clear(&file);
    }
    status = eep_command_print(&text);
    if (status == EEP_EXIT_DONE && bad != NULL)
        status = EEP_EXIT_FAILED;
    eep_explore_jobs_free(jobs);
    return status;
}

typedef struct {
    const EepExploreJob *job;
    GPtrArray *path;
    GString *log;
    char violation[256];
    GError *error;
} Replay;

static void replay_call(gpointer data)
{
    Replay *replay = data;

    eep_explore_replay(&replay->job->setting, replay->job->plant,
                       (const char *const *)replay->path->pdata, replay->log, replay->violation,
                       &replay->error);
}

static int replay_file(const char *name, gboolean as_json)
{
    g_autofree char *content = NULL;
    g_autoptr(GString) log = g_string_new(NULL);
    g_auto(EepText) text = {0};
    EepExploreJob job;
    Replay replay = {.job = &job, .log = log};
    GError *error = NULL;
    int status;

    if (!g_file_get_contents(name, &content, NULL, &error))
        return eep_command_fail(error);
    if (!eep_explore_job_read(content, &job, &replay.path, &error))
        return eep_command_fail(error);
    eep_explore_guarded(replay_call, &replay, replay.violation);
    g_ptr_array_unref(replay.path);
    if (replay.error != NULL)
        return eep_command_fail(replay.error);
    eep_explore_print_replay(log->str, replay.violation, as_json, &text);
    status = eep_command_print(&text);
    return status == EEP_EXIT_DONE && replay.violation[0] != '\0' ? EEP_EXIT_FAILED : status;
}

static int list_plants(gboolean as_json)
{
    g_auto(EepText) text = {0};

    eep_explore_print_plants(as_json, &text);
    return eep_command_print(&text);
}

int eep_command_explore(int argc, char **argv)
{
    Arguments arguments = {.faults = UNSET, .threads = UNSET};
    const GOptionEntry entries[] = {
        {"generation", 0, 0, G_OPTION_ARG_STRING, &arguments.generation,
         "one of eep list generations; all by default", "NAME|all"},
        {"engines", 0, 0, G_OPTION_ARG_STRING, &arguments.engines,
         "all pairs of sizes from A to B; 1..4 by default", "A..B"},
        {"faults", 0, 0, G_OPTION_ARG_INT, &arguments.faults,
         "how many; 2 up to three engines and 1 at four by default", "K"},
        {"deep", 0, 0, G_OPTION_ARG_NONE, &arguments.deep, "2 faults at four engines too", NULL},
        {"recovery", 0, 0, G_OPTION_ARG_STRING, &arguments.recovery,
         "what follows a loss: none, restart, retry, shrink (default) or mask_only", "MODE"},
        {"reduction", 0, 0, G_OPTION_ARG_STRING, &arguments.reduction,
         "full (default): engines that differ in nothing are one; none: they are not", "none|full"},
        {"plant", 0, 0, G_OPTION_ARG_STRING, &arguments.plant, "explore with this bug put in",
         "BUG"},
        {"list-plants", 0, 0, G_OPTION_ARG_NONE, &arguments.list_plants, "list the bugs", NULL},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &arguments.out,
         "write the events of a violation here, for --replay", "FILE"},
        {"replay", 0, 0, G_OPTION_ARG_FILENAME, &arguments.replay,
         "let the events of a file happen, and say what the machine does", "FILE"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &arguments.threads,
         "worlds explored at a time; as many as there are processors, up to 4, by default", "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &arguments.json, "write JSON", NULL},
        G_OPTION_ENTRY_NULL};
    int status;

    if (!eep_command_parse(entries, 0, 0, &argc, &argv, &status))
        return status;
    if (arguments.list_plants)
        status = list_plants(arguments.json);
    else if (arguments.replay != NULL)
        status = replay_file(arguments.replay, arguments.json);
    else
        status = explore(&arguments);
    g_free(arguments.generation);
    g_free(arguments.engines);
    g_free(arguments.recovery);
    g_free(arguments.reduction);
    g_free(arguments.plant);
    g_free(arguments.out);
    g_free(arguments.replay);
    return status;
}
