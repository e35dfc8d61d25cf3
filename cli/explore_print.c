#include "cli/explore_print.h"

#include <string.h>

#include "cli/command.h"
#include "cli/human.h"
#include "core/json.h"

#define LINE_COLUMNS 100

/* What all worlds of one generation found together. */
typedef struct {
    const char *generation;
    guint n_worlds, depth;
    guint64 n_states, n_transitions, peak_bytes;
    guint64 n_outcomes[EEP_OUTCOME_COUNT], n_flawed[EEP_EXPLORE_MAX_FLAWS];
    double seconds, clash;
} Sum;

static void add_job(Sum *sum, const EepExploreJob *job)
{
    const EepExploreResult *result = &job->result;
    double n = (double)result->n_states;

    sum->n_worlds++;
    sum->n_states += result->n_states;
    sum->n_transitions += result->n_transitions;
    sum->depth = MAX(sum->depth, result->depth);
    sum->peak_bytes = MAX(sum->peak_bytes, result->peak_bytes);
    sum->seconds += job->seconds;
    /* Pairs of states, each alike by chance in the 126 bits that a name has. */
    sum->clash += n * n / 2 / 8.507059173023462e37;
    for (guint i = 0; i < EEP_OUTCOME_COUNT; i++)
        sum->n_outcomes[i] += result->n_outcomes[i];
    for (guint i = 0; i < EEP_EXPLORE_MAX_FLAWS; i++)
        sum->n_flawed[i] += result->n_flawed[i];
}

/* A Sum for each generation, in their order. */
static GArray *sum_up(const GArray *jobs)
{
    GArray *sums = g_array_new(FALSE, FALSE, sizeof(Sum));

    for (guint i = 0; i < jobs->len; i++) {
        const EepExploreJob *job = &g_array_index(jobs, EepExploreJob, i);
        const char *generation = job->setting.params.generation;

        if (!job->is_done)
            continue;
        if (sums->len == 0 ||
            strcmp(g_array_index(sums, Sum, sums->len - 1).generation, generation) != 0) {
            Sum sum = {.generation = generation};

            g_array_append_val(sums, sum);
        }
        add_job(&g_array_index(sums, Sum, sums->len - 1), job);
    }
    return sums;
}

static const EepExploreJob *first_bad(const GArray *jobs)
{
    for (guint i = 0; i < jobs->len; i++) {
        const EepExploreJob *job = &g_array_index(jobs, EepExploreJob, i);

        if (job->is_done && job->result.verdict != EEP_EXPLORE_EXHAUSTED)
            return job;
    }
    return NULL;
}

/* -- for readers -- */

static void print_line(const char *name, const Sum *sum, EepText *text)
{
    g_autofree char *states = eep_human_integer((gint64)sum->n_states);
    g_autofree char *transitions = eep_human_integer((gint64)sum->n_transitions);

    eep_command_add_line(text, "%-10s %6u %14s %14s %6u %9.1f", name, sum->n_worlds, states,
                         transitions, sum->depth, sum->seconds);
}

static void print_flaws(const Sum *sum, EepText *text)
{
    for (guint i = 0; i < eep_explore_n_flaws; i++) {
        g_autofree char *n = eep_human_integer((gint64)sum->n_flawed[i]);

        g_autofree char *what =
            g_strdup_printf("  known flaw: %s: %s", sum->generation, eep_explore_flaws[i].name);
        g_autofree char *seen = g_strdup_printf("(%s), %s states", eep_explore_flaws[i].source, n);

        if (sum->n_flawed[i] > 0)
            eep_command_add_line(text, "%s%s%s", what,
                                 strlen(what) + strlen(seen) < LINE_COLUMNS ? " " : "\n      ",
                                 seen);
    }
}

static void print_bad(const EepExploreJob *job, const EepExploreBound *bound, EepText *text)
{
    const EepExploreSetting *setting = &job->setting;
    const EepExploreResult *result = &job->result;

    eep_command_add_line(text, "%s", "");
    if (result->verdict == EEP_EXPLORE_OUT_OF_MEMORY) {
        g_autofree char *limit = eep_human_bytes((double)bound->max_bytes / bound->n_threads);

        eep_command_add_line(text,
                             "%s, %u to %u engines, %u faults: not exhausted: more than %s a world",
                             setting->params.generation, setting->n_engines, setting->target,
                             setting->n_faults, limit);
        return;
    }
    eep_command_add_line(text, "violation: %s", result->violation);
    eep_command_add_line(
        text, "%s, %u to %u engines, %u faults%s, after %u events:", setting->params.generation,
        setting->n_engines, setting->target, setting->n_faults,
        setting->params.drain_requests ? ", the pool drained first" : "", result->path->len);
    for (guint i = 0; i < result->path->len; i++)
        eep_command_add_line(text, "  %s", (char *)g_ptr_array_index(result->path, i));
}

static void print_text(const GArray *sums, const EepExploreJob *bad, const EepExploreBound *bound,
                       double seconds, EepText *text)
{
    Sum total = {0};

    eep_command_add_line(text, "%-10s %6s %14s %14s %6s %9s", "generation", "worlds", "states",
                         "transitions", "depth", "thread s");
    for (guint i = 0; i < sums->len; i++) {
        const Sum *sum = &g_array_index(sums, Sum, i);

        print_line(sum->generation, sum, text);
        print_flaws(sum, text);
        total.n_worlds += sum->n_worlds;
        total.n_states += sum->n_states;
        total.n_transitions += sum->n_transitions;
        total.depth = MAX(total.depth, sum->depth);
        total.peak_bytes = MAX(total.peak_bytes, sum->peak_bytes);
        total.seconds += sum->seconds;
        total.clash += sum->clash;
    }
    print_line("together", &total, text);
    g_autofree char *bytes = eep_human_bytes((double)total.peak_bytes);
    eep_command_add_line(text, "%.1f s on %u thread%s", seconds, bound->n_threads,
                         bound->n_threads == 1 ? "" : "s");
    eep_command_add_line(text,
                         "at most %s a world, 16 bytes a visited state; chance of a clash of "
                         "hashes %.1e",
                         bytes, total.clash);
    if (bad != NULL)
        print_bad(bad, bound, text);
    else
        eep_command_add_line(text, "exhausted: no violation");
}

/* -- JSON -- */

static void add_sum(EepJson *json, const Sum *sum)
{
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "generation", sum->generation);
    eep_json_add_uint(json, "worlds", sum->n_worlds);
    eep_json_add_uint(json, "states", sum->n_states);
    eep_json_add_uint(json, "transitions", sum->n_transitions);
    eep_json_add_uint(json, "depth", sum->depth);
    eep_json_add_double(json, "thread_seconds", sum->seconds, 4);
    eep_json_add_uint(json, "peak_bytes", sum->peak_bytes);
    eep_json_add_double(json, "clash_probability", sum->clash, 3);
    eep_json_begin_object(json, "rests");
    for (guint i = 0; i < EEP_OUTCOME_COUNT; i++)
        eep_json_add_uint(json, eep_outcome_names[i], sum->n_outcomes[i]);
    eep_json_end_object(json);
    eep_json_begin_array(json, "known_flaws");
    for (guint i = 0; i < eep_explore_n_flaws; i++) {
        if (sum->n_flawed[i] == 0)
            continue;
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "name", eep_explore_flaws[i].name);
        eep_json_add_string(json, "source", eep_explore_flaws[i].source);
        eep_json_add_uint(json, "states", sum->n_flawed[i]);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
    eep_json_end_object(json);
}

static void add_world(EepJson *json, const EepExploreJob *job)
{
    const EepExploreResult *result = &job->result;
    g_autofree char *rests = g_strdup_printf("%016" G_GINT64_MODIFIER "x", result->rests);

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "generation", job->setting.params.generation);
    eep_json_add_uint(json, "from", job->setting.n_engines);
    eep_json_add_uint(json, "to", job->setting.target);
    eep_json_add_uint(json, "faults", job->setting.n_faults);
    eep_json_add_bool(json, "drain_requests", job->setting.params.drain_requests);
    eep_json_add_bool(json, "supersede", job->setting.params.on_busy == EEP_ON_BUSY_SUPERSEDE);
    eep_json_add_uint(json, "states", result->n_states);
    eep_json_add_uint(json, "transitions", result->n_transitions);
    eep_json_add_uint(json, "depth", result->depth);
    eep_json_add_uint(json, "rests", result->n_rests);
    eep_json_add_string(json, "rests_hash", rests);
    eep_json_end_object(json);
}

static void add_bad(EepJson *json, const EepExploreJob *bad)
{
    if (bad == NULL || bad->result.path == NULL) {
        eep_json_add_null(json, "violation");
        return;
    }
    eep_json_begin_object(json, "violation");
    eep_json_add_string(json, "what", bad->result.violation);
    eep_json_add_string(json, "generation", bad->setting.params.generation);
    eep_json_add_uint(json, "from", bad->setting.n_engines);
    eep_json_add_uint(json, "to", bad->setting.target);
    eep_json_begin_array(json, "events");
    for (guint i = 0; i < bad->result.path->len; i++)
        eep_json_add_string(json, NULL, g_ptr_array_index(bad->result.path, i));
    eep_json_end_array(json);
    eep_json_end_object(json);
}

static void print_json(const GArray *jobs, const GArray *sums, const EepExploreJob *bad,
                       const EepExploreBound *bound, double seconds, EepText *text)
{
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_bool(&json, "is_exhausted", bad == NULL);
    eep_json_add_double(&json, "wall_seconds", seconds, 4);
    eep_json_add_uint(&json, "threads", bound->n_threads);
    eep_json_begin_array(&json, "generations");
    for (guint i = 0; i < sums->len; i++)
        add_sum(&json, &g_array_index(sums, Sum, i));
    eep_json_end_array(&json);
    eep_json_begin_array(&json, "worlds");
    for (guint i = 0; i < jobs->len; i++)
        if (g_array_index(jobs, EepExploreJob, i).is_done)
            add_world(&json, &g_array_index(jobs, EepExploreJob, i));
    eep_json_end_array(&json);
    add_bad(&json, bad);
    eep_json_end_object(&json);
}

const EepExploreJob *eep_explore_print(const GArray *jobs, const EepExploreBound *bound,
                                       double seconds, gboolean as_json, EepText *text)
{
    const EepExploreJob *bad = first_bad(jobs);
    g_autoptr(GArray) sums = sum_up(jobs);

    if (as_json)
        print_json(jobs, sums, bad, bound, seconds, text);
    else
        print_text(sums, bad, bound, seconds, text);
    return bad;
}

/* -- replays and plants -- */

void eep_explore_print_replay(const char *log, const char *violation, gboolean as_json,
                              EepText *text)
{
    EepJson json;
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);

    if (!as_json) {
        eep_text_add_string(text, log);
        if (violation[0] != '\0')
            eep_command_add_line(text, "violation: %s", violation);
        else
            eep_command_add_line(text, "no violation");
        return;
    }
    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "violation", violation[0] != '\0' ? violation : NULL);
    eep_json_begin_array(&json, "log");
    for (guint i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0')
            eep_json_add_string(&json, NULL, lines[i]);
    eep_json_end_array(&json);
    eep_json_end_object(&json);
}

void eep_explore_print_plants(gboolean as_json, EepText *text)
{
    guint n;
    const EepExplorePlant *plants = eep_explore_plant_all(&n);
    EepJson json;

    for (guint i = 0; i < n && !as_json; i++)
        eep_command_add_line(text, "%-20s %s (%s)", plants[i].name, plants[i].help,
                             plants[i].generation);
    if (!as_json)
        return;
    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_array(&json, NULL);
    for (guint i = 0; i < n; i++) {
        eep_json_begin_object(&json, NULL);
        eep_json_add_string(&json, "name", plants[i].name);
        eep_json_add_string(&json, "help", plants[i].help);
        eep_json_add_string(&json, "generation", plants[i].generation);
        eep_json_end_object(&json);
    }
    eep_json_end_array(&json);
}
