/* eep eplb compare: policies on one sequence of loads, each planning on the past and scored on the
 * window that comes next, from the map that it made itself. */
#include "cli/eplb_commands.h"
#include "cli/eplb_input.h"
#include "cli/eplb_map.h"
#include "cli/eplb_picture.h"
#include "cli/human.h"
#include "cli/screen_text.h"
#include "core/eplb/score.h"
#include "core/json.h"

#include <math.h>
#include <string.h>

typedef struct {
    EepEplbFlags flags;
    char *policies, *train, *plot;
    gboolean as_json;
} Options;

/* One policy's way through the windows. */
typedef struct {
    const EepEplbPolicy *policy;
    char *refusal;                 /* why the policy does not take the sizes; NULL: it does */
    double *balance;               /* [T], NAN where nothing was scored */
    guint64 *moved;                /* [T], experts moved before the window */
    double mean, worst, mean_vllm; /* balancedness over the windows scored */
    double gap;                    /* mean over plans and layers of hottest / bound - 1 */
    double plan_ms, longest_ms;    /* mean over plans, and the longest */
    guint64 experts_moved;
    guint n_plans;
} Course;

static void course_free(Course *course)
{
    g_free(course->refusal);
    g_free(course->balance);
    g_free(course->moved);
    g_free(course);
}

/* The loads to plan on: windows [from, to) and their sum, which is put into weight [L][E]. */
static void set_past(EepEplbProblem *problem, const EepLoadRecord *record, guint from, guint to,
                     double *weight)
{
    const gsize cells = (gsize)record->n_layers * record->n_experts;
    eep_load_record_sum(record, from, to, weight);
    problem->weight = weight;
    problem->n_windows = to - from;
    problem->windows = record->tokens + from * cells;
}

/* Mean over layers with load of hottest / bound - 1. */
static double mean_gap(const EepEplbProblem *problem, const gint32 *map)
{
    g_autofree double *hottest = g_new(double, problem->n_layers);
    g_autofree double *bound = g_new(double, problem->n_layers);
    EepEplbScore score;
    double sum = 0.0;
    eep_eplb_score(problem, problem->weight, map, hottest, &score);
    eep_eplb_map_lower_bound(problem, map, bound);
    for (guint layer = 0; layer < problem->n_layers; layer++)
        sum += bound[layer] > 0.0 ? fmax(hottest[layer] / bound[layer] - 1.0, 0.0) : 0.0;
    return sum / problem->n_layers;
}

/* FALSE with the policy's reason in course->refusal. */
static gboolean plan(const EepEplbInput *input, const EepEplbProblem *problem, Course *course,
                     gint32 *ret_map)
{
    g_autoptr(GError) error = NULL;
    const gint64 begin_us = g_get_monotonic_time();
    if (!eep_eplb_input_place(input, problem, course->policy, ret_map, &error)) {
        const char *reason = strstr(error->message, ": ");
        course->refusal = g_strdup(reason != NULL ? reason + 2 : error->message);
        return FALSE;
    }
    const double ms = (double)(g_get_monotonic_time() - begin_us) / 1e3;
    course->plan_ms += ms;
    course->longest_ms = fmax(course->longest_ms, ms);
    course->gap += mean_gap(problem, ret_map);
    course->n_plans++;
    return TRUE;
}

static Course *run_course(const EepEplbInput *input, const EepEplbPolicy *policy, guint train)
{
    const EepLoadRecord *record = input->record;
    EepEplbProblem p = input->problem;
    const gsize cells = (gsize)p.n_layers * p.n_experts, n = (gsize)p.n_layers * p.n_replicas;
    Course *course = g_new0(Course, 1);
    g_autofree double *weight = g_new(double, cells);
    g_autofree gint32 *old = g_new(gint32, n), *map = g_new(gint32, n);

    course->policy = policy;
    course->worst = 1.0;
    course->balance = g_new(double, record->n_windows);
    course->moved = g_new0(guint64, record->n_windows);
    if (p.old_phy2log != NULL)
        memcpy(old, p.old_phy2log, n * sizeof *old);
    else
        eep_eplb_policy_naive.place(&p, old, NULL);
    p.old_phy2log = old;
    course->balance[0] = NAN;
    for (guint window = 1; window < record->n_windows; window++) {
        EepEplbScore score;
        set_past(&p, record, window > train ? window - train : 0, window, weight);
        if (!plan(input, &p, course, map))
            return course;
        course->moved[window] = eep_eplb_count_moves(&p, old, map, NULL);
        course->experts_moved += course->moved[window];
        memcpy(old, map, n * sizeof *old);
        eep_eplb_score(&p, record->tokens + window * cells, map, NULL, &score);
        course->balance[window] = score.balancedness;
        course->mean += score.balancedness;
        course->mean_vllm += score.balancedness_vllm;
        course->worst = fmin(course->worst, score.balancedness);
    }
    course->mean /= course->n_plans;
    course->mean_vllm /= course->n_plans;
    course->plan_ms /= course->n_plans;
    course->gap /= course->n_plans;
    return course;
}

static void add_table(EepText *text, const EepEplbInput *input, const GPtrArray *courses)
{
    const EepEplbProblem *p = &input->problem;
    eep_command_add_line(text, "%s: %u windows of %u layers, %u experts; %u slots on %u ranks",
                         input->name, input->record->n_windows, p->n_layers, p->n_experts,
                         p->n_replicas, p->n_ranks);
    eep_command_add_line(text, "Planned on past windows, scored on the next one.%s", "");
    eep_command_add_line(text, "%s", "");
    eep_command_add_line(text, "%-18s %8s %8s %9s %10s %10s %9s %9s", "policy", "balance", "worst",
                         "gap", "experts", "bytes", "plan", "longest");
    eep_command_add_line(text, "%-18s %8s %8s %9s %10s %10s %9s %9s", "", "mean", "window",
                         "to bound", "moved", "moved", "mean ms", "ms");
    for (guint i = 0; i < courses->len; i++) {
        const Course *course = g_ptr_array_index(courses, i);
        if (course->refusal != NULL) {
            eep_command_add_line(text, "%-18s refused: %s", course->policy->name, course->refusal);
            continue;
        }
        g_autofree char *bytes =
            input->expert_bytes > 0
                ? eep_screen_bytes((double)course->experts_moved * (double)input->expert_bytes)
                : g_strdup("-");
        g_autofree char *moved = eep_human_integer((gint64)course->experts_moved);
        eep_command_add_line(text, "%-18s %8.4f %8.4f %8.2f%% %10s %10s %9.3f %9.3f",
                             course->policy->name, course->mean, course->worst, 100.0 * course->gap,
                             moved, bytes, course->plan_ms, course->longest_ms);
    }
}

static void add_course(EepJson *json, const EepEplbInput *input, const Course *course)
{
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "policy", course->policy->name);
    eep_json_add_string(json, "refused", course->refusal);
    if (course->refusal == NULL) {
        eep_json_add_double(json, "balancedness_mean", course->mean, 0);
        eep_json_add_double(json, "balancedness_worst", course->worst, 0);
        eep_json_add_double(json, "balancedness_vllm_mean", course->mean_vllm, 0);
        eep_json_add_double(json, "gap_mean", course->gap, 0);
        eep_json_add_uint(json, "experts_moved", course->experts_moved);
        if (input->expert_bytes > 0)
            eep_json_add_uint(json, "bytes_moved",
                              course->experts_moved * (guint64)input->expert_bytes);
        else
            eep_json_add_null(json, "bytes_moved");
        eep_json_add_double(json, "solve_ms_mean", course->plan_ms, 0);
        eep_json_add_double(json, "solve_ms_max", course->longest_ms, 0);
        eep_json_begin_array(json, "windows");
        for (guint window = 1; window < input->record->n_windows; window++) {
            eep_json_begin_object(json, NULL);
            eep_json_add_uint(json, "window", window);
            eep_json_add_double(json, "balancedness", course->balance[window], 0);
            eep_json_add_uint(json, "experts_moved", course->moved[window]);
            eep_json_end_object(json);
        }
        eep_json_end_array(json);
    }
    eep_json_end_object(json);
}

static gboolean draw(const char *folder, const EepEplbInput *input, const GPtrArray *courses,
                     GError **error)
{
    g_autofree EepEplbLine *lines = g_new0(EepEplbLine, courses->len);
    g_autofree char *base = g_path_get_basename(input->name);
    g_autofree char *title =
        g_strdup_printf("%s | %u slots on %u ranks | planned on the past", base,
                        input->problem.n_replicas, input->problem.n_ranks);
    guint n = 0;
    for (guint i = 0; i < courses->len; i++) {
        const Course *course = g_ptr_array_index(courses, i);
        if (course->refusal == NULL)
            lines[n++] = (EepEplbLine){course->policy->name, course->balance, course->moved};
    }
    return n == 0 || eep_eplb_picture_windows(folder, "compare", title, input->record->n_windows,
                                              lines, n, error);
}

static gboolean run(gconstpointer data, EepText *text, GError **error)
{
    const Options *options = data;
    g_auto(EepEplbInput) input = {0};
    gint64 train = G_MAXINT32;
    guint n_refused = 0;
    if (!eep_eplb_input_read(&input, &options->flags, TRUE, error) ||
        !eep_eplb_input_needs_windows(&input, 2, error) ||
        (options->train != NULL &&
         !eep_eplb_flag_count("--train", options->train, 1, G_MAXINT32, &train, error)))
        return FALSE;
    g_autoptr(GPtrArray) policies = eep_eplb_flag_policies("--policies", options->policies, error);
    if (policies == NULL)
        return FALSE;
    g_autoptr(GPtrArray) courses = g_ptr_array_new_with_free_func((GDestroyNotify)course_free);
    for (guint i = 0; i < policies->len; i++) {
        Course *course = run_course(&input, g_ptr_array_index(policies, i), (guint)train);
        g_ptr_array_add(courses, course);
        n_refused += course->refusal != NULL;
    }
    if (n_refused == courses->len) {
        const Course *first = g_ptr_array_index(courses, 0);
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s: %s: %s", input.name,
                    first->policy->name, first->refusal);
        return FALSE;
    }
    if (options->as_json) {
        EepJson json;
        eep_json_init(&json, text, EEP_JSON_PRETTY);
        eep_json_begin_object(&json, NULL);
        eep_json_begin_array(&json, "policies");
        for (guint i = 0; i < courses->len; i++)
            add_course(&json, &input, g_ptr_array_index(courses, i));
        eep_json_end_array(&json);
        eep_json_end_object(&json);
    } else {
        add_table(text, &input, courses);
    }
    return options->plot == NULL || draw(options->plot, &input, courses, error);
}

int eep_command_eplb_compare(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        EEP_EPLB_LOAD_ENTRIES(options.flags),
        EEP_EPLB_SIZE_ENTRIES(options.flags),
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &options.flags.from,
         "the map that all begin with (JSON); naive", "OLDMAP"},
        {"policies", 0, 0, G_OPTION_ARG_STRING, &options.policies, "names with commas; all",
         "LIST"},
        {"train", 0, 0, G_OPTION_ARG_STRING, &options.train,
         "windows of the past to plan on; all of them", "N"},
        {"plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot, "draw compare.png and .svg there",
         "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    int status = eep_eplb_command(entries, argc, argv, run, &options, NULL);

    g_free(options.policies);
    g_free(options.train);
    g_free(options.plot);
    eep_eplb_flags_clear(&options.flags);
    return status;
}
