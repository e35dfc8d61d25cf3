#include "cli/run_folder.h"

#include "cli/output_file.h"
#include "cli/run_rows.h"
#include "cli/run_trace.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* In the order in which they get their names. */
enum { REQUESTS, EVENTS, TRACE, TIMELINE, SCENARIO, WALLCLOCK, SUMMARY, FILE_COUNT };

static const char *const file_names[FILE_COUNT] = {
    "requests.csv",  "events.jsonl",   "trace.json",  "timeline.csv",
    "scenario.yaml", "wallclock.json", "summary.json"};

struct EepRunFolder {
    EepObserver base;
    EepRunFolderOptions options;
    char *path;
    char *link_target; /* what runs/latest is to hold; NULL: no link */
    gboolean is_made;  /* by this run */
    gboolean is_finished;
    int lock; /* the open folder, which is locked while the run writes; -1: none */
    EepOutputFile *files[FILE_COUNT];
};

#define LATEST "runs/latest"

static const char *pool_name(EepRunFolder *folder, EepPoolId pool, char number[16])
{
    return eep_run_pool_name(folder->options.pools, folder->options.n_pools, pool, number);
}

static void folder_request_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    EepRunFolder *folder = (EepRunFolder *)self;
    char number[16];
    const char *pool = pool_name(folder, request->pool, number);

    eep_run_rows_add_request(eep_output_file_text(folder->files[REQUESTS]), request, pool, now);
    eep_output_file_added(folder->files[REQUESTS]);
    if (folder->options.events < EEP_OUTPUT_REQUESTS)
        return;
    eep_run_rows_add_request_event(eep_output_file_text(folder->files[EVENTS]), request, pool, now);
    eep_output_file_added(folder->files[EVENTS]);
}

static void folder_step(EepObserver *self, const EepStepRecord *step)
{
    EepRunFolder *folder = (EepRunFolder *)self;
    char number[16];

    if (folder->options.events < EEP_OUTPUT_STEPS)
        return;
    eep_run_rows_add_step_event(eep_output_file_text(folder->files[EVENTS]), step,
                                pool_name(folder, step->pool, number));
    eep_output_file_added(folder->files[EVENTS]);
    eep_run_trace_add_step(eep_output_file_text(folder->files[TRACE]), step);
    eep_output_file_added(folder->files[TRACE]);
}

static void folder_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                            const EepFact *facts, guint n_facts)
{
    EepRunFolder *folder = (EepRunFolder *)self;
    char number[16];

    eep_run_rows_add_decision(eep_output_file_text(folder->files[EVENTS]), now,
                              pool_name(folder, pool, number), what, facts, n_facts);
    eep_output_file_added(folder->files[EVENTS]);
}

/* The last `n` facts, which say what the plan is worth, are left out where that is not known. */
static guint n_known(guint n_facts, guint n, const EepEplbWorth *worth)
{
    return worth->is_known ? n_facts : n_facts - n;
}

static void folder_rearranged(EepObserver *self, EepTime now, const EepRearrangement *moved)
{
    const EepFact facts[] = {EEP_FACT_S("trigger", moved->trigger),
                             EEP_FACT_I("experts_moved", moved->n_experts_moved),
                             EEP_FACT_I("bytes_moved", moved->bytes_moved),
                             EEP_FACT_I("bytes_intra_node", moved->bytes_intra_node),
                             EEP_FACT_I("bytes_inter_node", moved->bytes_inter_node),
                             EEP_FACT_D("balancedness_before", moved->balancedness_before),
                             EEP_FACT_D("balancedness_after", moved->balancedness_after),
                             EEP_FACT_T("stalled_ns", moved->stalled),
                             EEP_FACT_D("predicted_saved_s", moved->worth.saved_s),
                             EEP_FACT_D("cost_s", moved->worth.cost_s)};

    folder_decision(self, now, moved->pool, "eplb_rearranged", facts,
                    n_known(G_N_ELEMENTS(facts), 2, &moved->worth));
}

static void folder_kept(EepObserver *self, EepTime now, const EepEplbKept *kept)
{
    const EepFact facts[] = {EEP_FACT_S("trigger", kept->trigger),
                             EEP_FACT_S("reason", kept->reason),
                             EEP_FACT_D("balancedness", kept->balancedness),
                             EEP_FACT_D("predicted_saved_s", kept->worth.saved_s),
                             EEP_FACT_D("cost_s", kept->worth.cost_s)};

    folder_decision(self, now, kept->pool, "eplb_kept", facts,
                    n_known(G_N_ELEMENTS(facts), 2, &kept->worth));
}

/* -- which folder ------------------------------------------------------------------------------ */

static gboolean is_ours(const char *name)
{
    for (guint i = 0; i < FILE_COUNT; i++) {
        g_autofree char *hidden = eep_output_file_hidden_name(file_names[i]);
        if (strcmp(name, hidden) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Empty, left by a run that was killed, or an earlier run's. */
static gboolean may_replace(const char *path, GError **error)
{
    g_autofree char *summary = g_build_filename(path, file_names[SUMMARY], NULL);
    g_autofree char *scenario = g_build_filename(path, file_names[SCENARIO], NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    if (dir == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR,
                    "%s: %s: give a new or an empty folder with --out", path,
                    g_file_test(path, G_FILE_TEST_IS_DIR)   ? "is a folder that cannot be read"
                    : g_file_test(path, G_FILE_TEST_EXISTS) ? "is no folder"
                                                            : "is a link to nothing");
        return FALSE;
    }
    if (g_file_test(summary, G_FILE_TEST_IS_REGULAR) &&
        g_file_test(scenario, G_FILE_TEST_IS_REGULAR))
        return TRUE;
    while ((name = g_dir_read_name(dir)) != NULL) {
        if (is_ours(name))
            continue;
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                    "%s: is not empty and holds no earlier run (\"%s\" is in it): give a new or an "
                    "empty folder with --out",
                    path, name);
        return FALSE;
    }
    return TRUE;
}

static gboolean make(EepRunFolder *folder, const char *path, gboolean *ret_exists, GError **error)
{
    *ret_exists = FALSE;
    if (g_mkdir(path, 0777) == 0) {
        folder->path = g_strdup(path);
        folder->is_made = TRUE;
        return TRUE;
    }
    int number = errno;
    *ret_exists = number == EEXIST;
    g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE,
                "%s: the run folder cannot be made: %s", path, g_strerror(number));
    return FALSE;
}

static gboolean choose_given(EepRunFolder *folder, const char *out, GError **error)
{
    gboolean exists;
    GError *reason = NULL;

    if (*out == '\0') {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "--out: the folder's name is empty");
        return FALSE;
    }
    g_autofree char *parent = g_path_get_dirname(out);
    if (g_mkdir_with_parents(parent, 0777) != 0) {
        int number = errno;
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE,
                    "%s: the folder cannot be made: %s", parent, g_strerror(number));
        return FALSE;
    }
    if (make(folder, out, &exists, &reason))
        return TRUE;
    if (!exists) {
        g_propagate_error(error, reason);
        return FALSE;
    }
    g_error_free(reason);
    if (!may_replace(out, error))
        return FALSE;
    folder->path = g_strdup(out);
    return TRUE;
}

/* Two runs at once in one folder would mix their files. Where locks are not to be had, the user's
 * care must do. */
static gboolean lock(EepRunFolder *folder, GError **error)
{
    folder->lock = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->lock < 0 || flock(folder->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return TRUE;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                "%s: another run is writing into it: give another folder with --out, or wait",
                folder->path);
    return FALSE;
}

/* A name that is one component of a path and no hidden file. */
static char *tame(const char *name)
{
    GString *tamed = g_string_new(NULL);

    for (const char *c = name; *c != '\0'; c++)
        g_string_append_c(tamed, g_ascii_isalnum(*c) || strchr("._-", *c) != NULL ? *c : '-');
    if (tamed->len == 0)
        g_string_append(tamed, "run");
    if (tamed->str[0] == '.')
        tamed->str[0] = '-';
    return g_string_free(tamed, FALSE);
}

static gboolean choose_next(EepRunFolder *folder, const char *name, GError **error)
{
    g_autofree char *tamed = tame(name);

    if (g_mkdir_with_parents("runs", 0777) != 0) {
        int number = errno;
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE,
                    "runs: the folder of run folders cannot be made: %s", g_strerror(number));
        return FALSE;
    }
    for (guint n = 1;; n++) {
        g_autofree char *target = n == 1 ? g_strdup(tamed) : g_strdup_printf("%s-%u", tamed, n);
        g_autofree char *path = g_build_filename("runs", target, NULL);
        GError *reason = NULL;
        gboolean exists;
        if (strcmp(path, LATEST) == 0)
            continue;
        if (make(folder, path, &exists, &reason)) {
            folder->link_target = g_steal_pointer(&target);
            return TRUE;
        }
        if (!exists) {
            g_propagate_error(error, reason);
            return FALSE;
        }
        g_error_free(reason);
    }
}

/* -- its life ---------------------------------------------------------------------------------- */

EepRunFolder *eep_run_folder_open(const char *out, const char *name,
                                  const EepRunFolderOptions *options, GError **error)
{
    static EepObserverOps ops;
    g_autoptr(EepRunFolder) folder = g_new0(EepRunFolder, 1);

    ops = eep_observer_none;
    ops.name = "run folder";
    ops.request_ended = folder_request_ended;
    ops.step = folder_step;
    ops.decision = folder_decision;
    ops.rearranged = folder_rearranged;
    ops.kept = folder_kept;
    folder->base.ops = &ops;
    folder->options = *options;
    folder->lock = -1;
    if (out != NULL ? !choose_given(folder, out, error) : !choose_next(folder, name, error))
        return NULL;
    if (!lock(folder, error))
        return NULL;
    for (guint i = 0; i < FILE_COUNT; i++) {
        folder->files[i] = eep_output_file_open(folder->path, file_names[i], error);
        if (folder->files[i] == NULL)
            return NULL;
    }
    eep_text_add_string(eep_output_file_text(folder->files[REQUESTS]),
                        eep_run_rows_requests_header);
    eep_run_trace_begin(eep_output_file_text(folder->files[TRACE]));
    return g_steal_pointer(&folder);
}

void eep_run_folder_free(EepRunFolder *folder)
{
    if (folder == NULL)
        return;
    for (guint i = 0; i < FILE_COUNT; i++)
        eep_output_file_free(folder->files[i]);
    /* Fails, as it should, when anybody else has put something there. */
    if (folder->is_made && !folder->is_finished)
        g_rmdir(folder->path);
    if (folder->lock >= 0)
        close(folder->lock);
    g_free(folder->path);
    g_free(folder->link_target);
    g_free(folder);
}

EepObserver *eep_run_folder_observer(EepRunFolder *folder)
{
    return &folder->base;
}

void eep_run_folder_flush(EepRunFolder *folder)
{
    eep_output_file_flush(folder->files[EVENTS]);
}

const char *eep_run_folder_path(const EepRunFolder *folder)
{
    return folder->path;
}

gboolean eep_run_folder_has_link(const EepRunFolder *folder)
{
    return folder->link_target != NULL;
}

/* -- its end ----------------------------------------------------------------------------------- */

static void write_wallclock(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts)
{
    const EepWallclock *clock = &facts->wallclock;
    const EepMetricsReport *report = eep_metrics_report(metrics);
    double requests = (double)(report->window.submitted + report->outside.submitted);
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(clock->started_unix_s);
    g_autofree char *started = date != NULL ? g_date_time_format_iso8601(date) : NULL;
    gboolean timed = clock->wall_s > 0.0;
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "started", started);
    eep_json_add_string(&json, "host", clock->host);
    eep_json_add_string(&json, "folder", clock->folder);
    eep_json_add_double(&json, "wall_s", clock->wall_s, 6);
    eep_json_add_uint(&json, "events", clock->n_events);
    if (timed) {
        eep_json_add_double(&json, "speedup", eep_time_to_seconds(report->end) / clock->wall_s, 6);
        eep_json_add_double(&json, "requests_per_s", requests / clock->wall_s, 6);
        eep_json_add_double(&json, "steps_per_s", (double)report->steps / clock->wall_s, 6);
        eep_json_add_double(&json, "events_per_s", (double)clock->n_events / clock->wall_s, 6);
    }
    eep_json_add_int(&json, "peak_rss_bytes", clock->peak_rss_bytes);
    eep_json_add_double(&json, "lag_s", clock->lag_s, 6);
    if (clock->write_workers != NULL)
        clock->write_workers(clock->workers, &json);
    eep_json_end_object(&json);
}

/* Through a second name, so that there is always a link. An earlier folder or file of that name is
 * the user's and stays. */
static gboolean link_latest(const char *target)
{
    const char *fresh = LATEST ".partial";

    if (g_file_test(LATEST, G_FILE_TEST_EXISTS) && !g_file_test(LATEST, G_FILE_TEST_IS_SYMLINK))
        return FALSE;
    g_unlink(fresh);
    if (symlink(target, fresh) != 0)
        return FALSE;
    if (g_rename(fresh, LATEST) == 0)
        return TRUE;
    g_unlink(fresh);
    return FALSE;
}

static gboolean name_files(EepRunFolder *folder, GError **error)
{
    g_autofree char *summary = g_build_filename(folder->path, file_names[SUMMARY], NULL);

    /* From here to the last name the folder holds no whole run. */
    if (g_unlink(summary) != 0 && errno != ENOENT) {
        int number = errno;
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot be replaced: %s",
                    summary, g_strerror(number));
        return FALSE;
    }
    for (guint i = 0; i < FILE_COUNT; i++) {
        if (eep_output_file_publish(folder->files[i], error))
            continue;
        while (i-- > 0) { /* whole files of a run that is not */
            g_autofree char *path = g_build_filename(folder->path, file_names[i], NULL);
            g_unlink(path);
        }
        return FALSE;
    }
    return TRUE;
}

gboolean eep_run_folder_finish(EepRunFolder *folder, const EepMetrics *metrics,
                               const EepRunFacts *facts, const EepSummary *summary, GError **error)
{
    EepText *texts[FILE_COUNT];

    g_return_val_if_fail(!folder->is_finished, FALSE);
    for (guint i = 0; i < FILE_COUNT; i++)
        texts[i] = eep_output_file_text(folder->files[i]);
    eep_run_rows_add_timeline(texts[TIMELINE], metrics, folder->options.pools,
                              folder->options.n_pools);
    eep_run_trace_end(texts[TRACE], metrics, facts);
    eep_text_add_string(texts[SCENARIO], facts->scenario);
    write_wallclock(texts[WALLCLOCK], metrics, facts);
    eep_text_add_string(texts[SUMMARY], summary->json);
    for (guint i = 0; i < FILE_COUNT; i++)
        if (!eep_output_file_close(folder->files[i], error))
            return FALSE;
    if (!name_files(folder, error))
        return FALSE;
    folder->is_finished = TRUE;
    if (folder->link_target != NULL && !link_latest(folder->link_target))
        g_clear_pointer(&folder->link_target, g_free);
    return TRUE;
}
