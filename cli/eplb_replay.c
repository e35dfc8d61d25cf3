/* eep eplb replay: recorded loads through policies and triggers; what each saves and costs. */
#include "cli/data.h"
#include "cli/eplb_commands.h"
#include "cli/eplb_picture.h"
#include "cli/eplb_roll.h"
#include "cli/human.h"
#include "cli/screen_text.h"
#include "core/json.h"
#include "scenarios/profile.h"

#include <string.h>

/* Tokens a rank in a step unless told: a decode batch of moderate size. */
#define TOKENS_PER_RANK 64

typedef struct {
    EepEplbFlags flags;
    char *policies, *triggers, *hardware, *plot;
    char *tokens, *steps, *train, *interval, *low_windows, *threshold, *stall;
    gboolean as_json;
} Options;

static void options_clear(Options *options)
{
    char *strings[] = {options->policies,  options->triggers, options->hardware,
                       options->plot,      options->tokens,   options->steps,
                       options->train,     options->interval, options->low_windows,
                       options->threshold, options->stall};
    for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    eep_eplb_flags_clear(&options->flags);
}

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, what);
    return FALSE;
}

static gboolean read_share(const char *flag, const char *text, double *ret_value, GError **error)
{
    char *end;
    if (text == NULL)
        return TRUE;
    const double value = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0.0 && value <= 1.0))
        return fail(error, "%s: %s: a number from 0 to 1 is allowed", flag, text);
    *ret_value = value;
    return TRUE;
}

static gboolean read_numbers(const Options *options, EepEplbRollOptions *replay, GError **error)
{
    gint64 tokens = (gint64)TOKENS_PER_RANK * replay->input->problem.n_ranks, steps = 1000;
    gint64 train = G_MAXINT32, interval = 3, low = 2;
    const struct {
        const char *flag, *text;
        gint64 *value;
    } counts[] = {{"--tokens-per-step", options->tokens, &tokens},
                  {"--steps-per-window", options->steps, &steps},
                  {"--train", options->train, &train},
                  {"--interval", options->interval, &interval},
                  {"--low-windows", options->low_windows, &low}};
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++)
        if (counts[i].text != NULL && !eep_eplb_flag_count(counts[i].flag, counts[i].text, 1,
                                                           G_MAXINT32, counts[i].value, error))
            return FALSE;
    replay->tokens_per_step = (double)tokens;
    replay->steps_per_window = (double)steps;
    replay->train = (guint)train;
    replay->interval = (guint)interval;
    replay->low_windows = (guint)low;
    replay->threshold = 0.9;
    replay->stall = 1.0;
    return read_share("--threshold", options->threshold, &replay->threshold, error) &&
           read_share("--stall", options->stall, &replay->stall, error);
}

/* One bit a kind; all without the flag. */
static gboolean read_triggers(const char *text, guint *ret_kinds, GError **error)
{
    *ret_kinds = (1u << EEP_EPLB_TRIGGER_COUNT) - 1;
    if (text == NULL)
        return TRUE;
    g_auto(GStrv) names = g_strsplit(text, ",", -1);
    *ret_kinds = 0;
    for (guint i = 0; names[i] != NULL; i++) {
        guint kind = 0;
        while (kind < EEP_EPLB_TRIGGER_COUNT && strcmp(names[i], eep_eplb_trigger_names[kind]) != 0)
            kind++;
        if (kind == EEP_EPLB_TRIGGER_COUNT)
            return fail(error, "--trigger: %s: interval, imbalance or cost_benefit is allowed",
                        names[i]);
        *ret_kinds |= 1u << kind;
    }
    return TRUE;
}

/* What the costs need of the input beyond what other commands do. */
static gboolean check_input(const EepEplbInput *input, GError **error)
{
    const EepEplbProblem *p = &input->problem;
    if (!input->has_model)
        return fail(error, "--model is missing: the cost of experts and moves is the model's");
    if (p->n_experts != input->model.n_routed_experts)
        return fail(error, "%s: %u experts: %" G_GINT64_FORMAT ", as model %s has", input->name,
                    p->n_experts, input->model.n_routed_experts, input->model.name);
    if (p->active != NULL)
        return fail(error, "%s: active_ranks: a replay knows no dead ranks", input->name);
    if (p->old_phy2log == NULL)
        return TRUE;
    g_autofree guint *count = g_new(guint, p->n_experts);
    for (guint layer = 0; layer < p->n_layers; layer++) {
        memset(count, 0, p->n_experts * sizeof *count);
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            const gint32 expert = p->old_phy2log[(gsize)layer * p->n_replicas + slot];
            if (expert >= 0)
                count[expert]++;
        }
        for (guint e = 0; e < p->n_experts; e++)
            if (count[e] == 0)
                return fail(error,
                            "--from: layer %u: expert %u has no slot: a replay begins with "
                            "a map that serves",
                            layer, e);
    }
    return TRUE;
}

static void add_table(EepText *text, const EepEplbRollOptions *options, const char *hardware,
                      const GPtrArray *replays)
{
    const EepEplbInput *input = options->input;
    eep_command_add_line(text, "%s: %u windows, each %g steps of %g tokens; %s on %s, %u ranks",
                         input->name, input->record->n_windows, options->steps_per_window,
                         options->tokens_per_step, input->model.name, hardware,
                         input->problem.n_ranks);
    eep_command_add_line(text, "%s",
                         "Seconds of the routed experts, against the map at the start.");
    eep_command_add_line(text, "%s", "");
    eep_command_add_line(text, "%-16s %-12s %5s %8s %10s %8s %8s %9s %8s %7s", "policy", "trigger",
                         "times", "experts", "bytes", "balance", "worst", "saved s", "cost s",
                         "net");
    for (guint i = 0; i < replays->len; i++) {
        const EepEplbRoll *r = g_ptr_array_index(replays, i);
        if (r->refusal != NULL) {
            eep_command_add_line(text, "%-16s refused: %s", r->policy->name, r->refusal);
            continue;
        }
        g_autofree char *bytes =
            eep_screen_bytes((double)r->experts_moved * (double)input->expert_bytes);
        g_autofree char *moved = eep_human_integer((gint64)r->experts_moved);
        const double saved_s = r->initial_s - r->experts_s;
        eep_command_add_line(text, "%-16s %-12s %5u %8s %10s %8.4f %8.4f %9.3f %8.3f %6.2f%%",
                             r->policy->name, eep_eplb_trigger_names[r->trigger], r->n_rearranged,
                             moved, bytes, r->mean, r->worst, saved_s, r->cost_s,
                             r->initial_s > 0.0 ? 100.0 * (saved_s - r->cost_s) / r->initial_s
                                                : 0.0);
    }
}

static void add_replay(EepJson *json, const EepEplbInput *input, const EepEplbRoll *r)
{
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "policy", r->policy->name);
    eep_json_add_string(json, "trigger", eep_eplb_trigger_names[r->trigger]);
    eep_json_add_string(json, "refused", r->refusal);
    if (r->refusal == NULL) {
        eep_json_add_uint(json, "plans", r->n_plans);
        eep_json_add_uint(json, "rearrangements", r->n_rearranged);
        eep_json_add_uint(json, "experts_moved", r->experts_moved);
        eep_json_add_uint(json, "bytes_moved", r->experts_moved * (guint64)input->expert_bytes);
        eep_json_add_double(json, "balancedness_mean", r->mean, 0);
        eep_json_add_double(json, "balancedness_worst", r->worst, 0);
        eep_json_add_double(json, "initial_s", r->initial_s, 0);
        eep_json_add_double(json, "experts_s", r->experts_s, 0);
        eep_json_add_double(json, "cost_s", r->cost_s, 0);
        eep_json_add_double(json, "net_s", r->initial_s - r->experts_s - r->cost_s, 0);
        eep_json_begin_array(json, "windows");
        for (guint window = 0; window < input->record->n_windows; window++) {
            eep_json_begin_object(json, NULL);
            eep_json_add_uint(json, "window", window);
            eep_json_add_double(json, "balancedness", r->balance[window], 0);
            eep_json_add_uint(json, "experts_moved", r->moved[window]);
            eep_json_end_object(json);
        }
        eep_json_end_array(json);
    }
    eep_json_end_object(json);
}

static void add_json(EepText *text, const EepEplbRollOptions *options, const char *hardware,
                     const GPtrArray *replays)
{
    EepJson json;
    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "model", options->input->model.name);
    eep_json_add_string(&json, "hardware", hardware);
    eep_json_add_double(&json, "tokens_per_step", options->tokens_per_step, 0);
    eep_json_add_double(&json, "steps_per_window", options->steps_per_window, 0);
    eep_json_begin_array(&json, "replays");
    for (guint i = 0; i < replays->len; i++)
        add_replay(&json, options->input, g_ptr_array_index(replays, i));
    eep_json_end_array(&json);
    eep_json_end_object(&json);
}

/* A picture a trigger, a line a policy. */
static gboolean draw(const char *folder, const EepEplbRollOptions *options,
                     const GPtrArray *replays, GError **error)
{
    g_autofree EepEplbLine *lines = g_new0(EepEplbLine, replays->len);
    g_autofree char *base = g_path_get_basename(options->input->name);
    for (guint kind = 0; kind < EEP_EPLB_TRIGGER_COUNT; kind++) {
        g_autofree char *name = g_strdup_printf("replay_%s", eep_eplb_trigger_names[kind]);
        g_autofree char *title = g_strdup_printf(
            "%s | %u slots on %u ranks | trigger %s", base, options->input->problem.n_replicas,
            options->input->problem.n_ranks, eep_eplb_trigger_names[kind]);
        guint n = 0;
        for (guint i = 0; i < replays->len; i++) {
            const EepEplbRoll *r = g_ptr_array_index(replays, i);
            if (r->trigger == kind && r->refusal == NULL)
                lines[n++] = (EepEplbLine){r->policy->name, r->balance, r->moved};
        }
        if (n > 0 && !eep_eplb_picture_windows(folder, name, title,
                                               options->input->record->n_windows, lines, n, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean replay_all(const Options *options, const EepEplbRollOptions *replay,
                           const char *hardware, EepText *text, GError **error)
{
    guint kinds, n_refused = 0;
    g_autoptr(GPtrArray) policies = eep_eplb_flag_policies("--policy", options->policies, error);
    if (policies == NULL || !read_triggers(options->triggers, &kinds, error))
        return FALSE;
    g_autoptr(GPtrArray) replays =
        g_ptr_array_new_with_free_func((GDestroyNotify)eep_eplb_roll_free);
    for (guint i = 0; i < policies->len; i++)
        for (guint kind = 0; kind < EEP_EPLB_TRIGGER_COUNT; kind++) {
            if ((kinds >> kind & 1) == 0)
                continue;
            EepEplbRoll *one =
                eep_eplb_roll_new(replay, g_ptr_array_index(policies, i), (EepEplbTriggerKind)kind);
            g_ptr_array_add(replays, one);
            n_refused += one->refusal != NULL;
        }
    if (n_refused == replays->len) {
        const EepEplbRoll *first = g_ptr_array_index(replays, 0);
        return fail(error, "%s", first->refusal);
    }
    if (options->as_json)
        add_json(text, replay, hardware, replays);
    else
        add_table(text, replay, hardware, replays);
    return options->plot == NULL || draw(options->plot, replay, replays, error);
}

static gboolean run(gconstpointer data, EepText *text, GError **error)
{
    const Options *options = data;
    g_auto(EepEplbInput) input = {0};
    EepEplbRollOptions replay = {.input = &input};
    const char *name = options->hardware != NULL ? options->hardware : "h200-sxm";
    EepHardware hardware;
    EepPoolOptions pool;
    if (!eep_eplb_input_read(&input, &options->flags, TRUE, error) ||
        !eep_eplb_input_needs_windows(&input, 2, error) || !check_input(&input, error) ||
        !read_numbers(options, &replay, error))
        return FALSE;
    g_autoptr(EepProfile) profile = eep_profile_load(&eep_profile_hardware, name,
                                                     eep_data_scenario_folders(), &hardware, error);
    if (profile == NULL)
        return FALSE;
    eep_options_init(&eep_pool_options, &pool);
    const EepCostContext context = {&input.model, &hardware, &pool, input.problem.n_ranks};
    replay.context = &context;
    const gboolean good = strcmp(profile->name, "constant-step") == 0
                              ? fail(error, "--hardware: %s has no costs of experts", name)
                              : replay_all(options, &replay, profile->name, text, error);
    eep_options_clear(&eep_pool_options, &pool);
    eep_options_clear(&eep_hardware_options, &hardware);
    return good;
}

int eep_command_eplb_replay(int argc, char **argv)
{
    Options o = {0};
    const GOptionEntry entries[] = {
        EEP_EPLB_LOAD_ENTRIES(o.flags),
        EEP_EPLB_SIZE_ENTRIES(o.flags),
        {"hardware", 0, 0, G_OPTION_ARG_STRING, &o.hardware, "profile (h200-sxm)", "NAME"},
        {"policy", 0, 0, G_OPTION_ARG_STRING, &o.policies, "names with commas; all", "LIST"},
        {"trigger", 0, 0, G_OPTION_ARG_STRING, &o.triggers,
         "interval, imbalance, cost_benefit; all", "LIST"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &o.flags.from, "the map at the start (JSON); naive",
         "OLDMAP"},
        {"tokens-per-step", 0, 0, G_OPTION_ARG_STRING, &o.tokens, "of all ranks (64 a rank)", "N"},
        {"steps-per-window", 0, 0, G_OPTION_ARG_STRING, &o.steps,
         "steps that a window stands for (1000)", "N"},
        {"train", 0, 0, G_OPTION_ARG_STRING, &o.train, "windows of the past to plan on; all", "N"},
        {"interval", 0, 0, G_OPTION_ARG_STRING, &o.interval,
         "windows between plans, or that a plan is to pay in (3)", "N"},
        {"threshold", 0, 0, G_OPTION_ARG_STRING, &o.threshold,
         "imbalance: balancedness that is low (0.9)", "X"},
        {"low-windows", 0, 0, G_OPTION_ARG_STRING, &o.low_windows,
         "imbalance: low windows in a row (2)", "N"},
        {"stall", 0, 0, G_OPTION_ARG_STRING, &o.stall,
         "share of moving time that serving loses (1)", "X"},
        {"plot", 0, 0, G_OPTION_ARG_FILENAME, &o.plot, "draw replay_TRIGGER.png and .svg there",
         "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &o.as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    int status = eep_eplb_command(entries, argc, argv, run, &o, NULL);

    options_clear(&o);
    return status;
}
