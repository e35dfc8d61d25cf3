#include "cli/explore_worlds.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

/* -- which -- */

static guint faults_of(const EepExploreBound *bound, guint largest)
{
    if (bound->n_faults >= 0)
        return (guint)bound->n_faults;
    return largest >= 4 && !bound->is_deep ? 1 : 2;
}

static void add_job(GArray *jobs, const EepExploreBound *bound, const EepGeneration *generation,
                    guint from, guint to, gboolean drains, EepOnBusy on_busy)
{
    guint largest = MAX(from, to);
    EepExploreJob job = {.plant = bound->plant};

    /* Small worlds have room for one more than they need, as long as that is in the bound. */
    eep_explore_setting_init(&job.setting, generation->name, from, to,
                             MAX(largest, MIN(bound->to, 3)), faults_of(bound, largest));
    job.setting.recovery = bound->recovery;
    job.setting.is_reduced = bound->is_reduced;
    job.setting.params.drain_requests = drains;
    job.setting.params.on_busy = on_busy;
    g_array_append_val(jobs, job);
}

/* Generations whose commit may wait until the whole pool is drained, and need not. */
static gboolean may_drain(const EepGeneration *generation)
{
    return generation->needs_elastic && !generation->drains_all && !generation->keeps_requests;
}

static void add_generation(GArray *jobs, const EepExploreBound *bound,
                           const EepGeneration *generation)
{
    gboolean only_drains = bound->plant != NULL && bound->plant->drains;

    for (guint from = bound->from; from <= bound->to; from++)
        for (guint to = bound->from; to <= bound->to; to++) {
            if (from == to)
                continue;
            if (!only_drains)
                add_job(jobs, bound, generation, from, to, FALSE, EEP_ON_BUSY_QUEUE);
            if (!only_drains && bound->plant == NULL && generation->rolls_back)
                add_job(jobs, bound, generation, from, to, FALSE, EEP_ON_BUSY_SUPERSEDE);
            if (only_drains || (bound->plant == NULL && may_drain(generation)))
                add_job(jobs, bound, generation, from, to, TRUE, EEP_ON_BUSY_QUEUE);
        }
}

GArray *eep_explore_jobs_new(const EepExploreBound *bound)
{
    GArray *jobs = g_array_new(FALSE, FALSE, sizeof(EepExploreJob));
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    for (guint i = 0; i < n; i++)
        if (bound->generation == NULL || bound->generation == &all[i])
            add_generation(jobs, bound, &all[i]);
    return jobs;
}

void eep_explore_jobs_free(GArray *jobs)
{
    for (guint i = 0; i < jobs->len; i++)
        eep_explore_result_clear(&g_array_index(jobs, EepExploreJob, i).result);
    g_array_unref(jobs);
}

/* -- assertions that fail -- */

static __thread sigjmp_buf guard_place;
static __thread volatile sig_atomic_t is_guarded;
static __thread char guard_message[256];

/* What GLib prints before it aborts; the last line of it is kept, and told as the violation. */
static void keep_message(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    if (!is_guarded) {
        fputs(text, stderr);
        return;
    }
    for (guint i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0' && lines[i][0] != '*')
            g_strlcpy(guard_message, lines[i], sizeof guard_message);
}

/* And prints once more, for test harnesses. */
static void ignore_message(const char *text)
{
}

static void on_abort(int number)
{
    if (is_guarded)
        siglongjmp(guard_place, 1);
    signal(SIGABRT, SIG_DFL);
}

/* The machine is not used again after it: what it held is lost with it. */
static gboolean guard(void (*call)(gpointer data), gpointer data, char *ret_message)
{
    sigset_t abort_signal;

    if (sigsetjmp(guard_place, 0) != 0) {
        is_guarded = FALSE;
        g_strlcpy(ret_message, guard_message, sizeof guard_message);
        sigemptyset(&abort_signal);
        sigaddset(&abort_signal, SIGABRT);
        pthread_sigmask(SIG_UNBLOCK, &abort_signal, NULL);
        return FALSE;
    }
    is_guarded = TRUE;
    call(data);
    is_guarded = FALSE;
    return TRUE;
}

typedef struct {
    struct sigaction action;
    GPrintFunc print, printerr;
} Before;

static void begin_guarding(Before *ret_before)
{
    const struct sigaction action = {.sa_handler = on_abort};

    sigaction(SIGABRT, &action, &ret_before->action);
    ret_before->print = g_set_print_handler(ignore_message);
    ret_before->printerr = g_set_printerr_handler(keep_message);
}

static void end_guarding(const Before *before)
{
    sigaction(SIGABRT, &before->action, NULL);
    g_set_print_handler(before->print);
    g_set_printerr_handler(before->printerr);
}

gboolean eep_explore_guarded(void (*call)(gpointer data), gpointer data, char *ret_message)
{
    Before before;
    gboolean is_done;

    begin_guarding(&before);
    is_done = guard(call, data, ret_message);
    end_guarding(&before);
    return is_done;
}

/* -- side by side -- */

typedef struct {
    const EepExploreBound *bound;
    EepExploreOptions options;
    gint has_ended; /* atomic: one ended badly */
    GMutex lock;
    GError *error; /* the first, by `lock` */
} Run;

static void run_job(gpointer data, gpointer user_data)
{
    EepExploreJob *job = data;
    Run *run = user_data;
    gint64 start = g_get_monotonic_time();
    GError *error = NULL;

    if (g_atomic_int_get(&run->has_ended))
        return;
    if (!eep_explore_run(&job->setting, job->plant, &run->options, &job->result, &error)) {
        g_atomic_int_set(&run->has_ended, TRUE);
        g_mutex_lock(&run->lock);
        if (run->error == NULL)
            run->error = g_steal_pointer(&error);
        g_mutex_unlock(&run->lock);
        g_clear_error(&error);
        return;
    }
    job->is_done = TRUE;
    job->seconds = (double)(g_get_monotonic_time() - start) / 1e6;
    if (job->result.verdict != EEP_EXPLORE_EXHAUSTED)
        g_atomic_int_set(&run->has_ended, TRUE);
}

gboolean eep_explore_jobs_run(GArray *jobs, const EepExploreBound *bound, GError **error)
{
    Before before;
    Run run = {.bound = bound,
               .options = {.max_bytes = bound->max_bytes / bound->n_threads,

                           .guard = guard}};
    GThreadPool *pool;

    g_mutex_init(&run.lock);
    pool = g_thread_pool_new(run_job, &run, (gint)bound->n_threads, TRUE, error);
    if (pool == NULL)
        return FALSE;
    begin_guarding(&before);
    for (guint i = 0; i < jobs->len; i++)
        g_thread_pool_push(pool, &g_array_index(jobs, EepExploreJob, i), NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    end_guarding(&before);
    g_mutex_clear(&run.lock);
    if (run.error == NULL)
        return TRUE;
    g_propagate_error(error, run.error);
    return FALSE;
}

/* -- a file -- */

void eep_explore_job_write(const EepExploreJob *job, GString *text)
{
    const EepExploreSetting *setting = &job->setting;

    g_string_append_printf(text,
                           "@generation %s\n@engines %u\n@target %u\n@most %u\n@faults %u\n"
                           "@recovery %s\n@drain %d\n@supersede %d\n",
                           setting->params.generation, setting->n_engines, setting->target,
                           setting->max_engines, setting->n_faults,
                           eep_recovery_names[setting->recovery], setting->params.drain_requests,
                           setting->params.on_busy == EEP_ON_BUSY_SUPERSEDE);
    if (job->plant != NULL)
        g_string_append_printf(text, "@plant %s\n", job->plant->name);
    for (guint i = 0; i < job->result.path->len; i++)
        g_string_append_printf(text, "%s\n", (char *)g_ptr_array_index(job->result.path, i));
}

typedef struct {
    const char *generation, *plant;
    guint numbers[6]; /* engines, target, most, faults, drain, supersede */
    EepRecovery recovery;
} Head;

static gboolean read_head(const char *line, Head *head)
{
    static const char *const numbers[] = {"@engines ", "@target ", "@most ",
                                          "@faults ",  "@drain ",  "@supersede "};

    if (g_str_has_prefix(line, "@generation "))
        head->generation = line + strlen("@generation ");
    else if (g_str_has_prefix(line, "@plant "))
        head->plant = line + strlen("@plant ");
    else if (g_str_has_prefix(line, "@recovery ")) {
        for (guint i = 0; i < EEP_RECOVERY_COUNT; i++)
            if (strcmp(eep_recovery_names[i], line + strlen("@recovery ")) == 0) {
                head->recovery = (EepRecovery)i;
                return TRUE;
            }
        return FALSE;
    } else {
        for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
            if (g_str_has_prefix(line, numbers[i])) {
                head->numbers[i] = (guint)strtoul(line + strlen(numbers[i]), NULL, 10);
                return TRUE;
            }
        return FALSE;
    }
    return TRUE;
}

static gboolean check_head(const Head *head, GError **error)
{
    const char *wrong = NULL;

    if (head->generation == NULL || eep_generation_find(head->generation) == NULL)
        wrong = "@generation: the name of one (eep list generations)";
    else if (head->plant != NULL && eep_explore_plant_find(head->plant) == NULL)
        wrong = "@plant: the name of one (eep explore --list-plants)";
    else if (head->numbers[0] < 1 || head->numbers[0] > 4 || head->numbers[1] < 1 ||
             head->numbers[1] > 4 || head->numbers[2] > 4 || head->numbers[3] > 4 ||
             head->numbers[2] < MAX(head->numbers[0], head->numbers[1]))
        wrong = "@engines, @target, @most: 1 to 4, @faults: 0 to 4";
    else if (head->numbers[5] != 0 && !eep_generation_find(head->generation)->rolls_back)
        wrong = "@supersede: needs a generation with a way back";
    if (wrong == NULL)
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "--replay: %s", wrong);
    return FALSE;
}

gboolean eep_explore_job_read(const char *text, EepExploreJob *ret_job, GPtrArray **ret_path,
                              GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GPtrArray *path = g_ptr_array_new_with_free_func(g_free);
    Head head = {0};

    for (guint i = 0; lines[i] != NULL; i++) {
        g_strstrip(lines[i]);
        if (lines[i][0] == '\0' || lines[i][0] == '#')
            continue;
        if (lines[i][0] != '@')
            g_ptr_array_add(path, g_strdup(lines[i]));
        else if (!read_head(lines[i], &head)) {
            g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                        "--replay: line %u: %s: no such setting", i + 1, lines[i]);
            g_ptr_array_unref(path);
            return FALSE;
        }
    }
    if (!check_head(&head, error)) {
        g_ptr_array_unref(path);
        return FALSE;
    }
    g_ptr_array_add(path, NULL);
    *ret_job = (EepExploreJob){.plant = eep_explore_plant_find(head.plant)};
    eep_explore_setting_init(&ret_job->setting, eep_generation_find(head.generation)->name,
                             head.numbers[0], head.numbers[1], head.numbers[2], head.numbers[3]);
    ret_job->setting.recovery = head.recovery;
    ret_job->setting.params.drain_requests = head.numbers[4] != 0;
    if (head.numbers[5] != 0)
        ret_job->setting.params.on_busy = EEP_ON_BUSY_SUPERSEDE;
    *ret_path = path;
    return TRUE;
}
