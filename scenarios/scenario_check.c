#include "scenarios/scenario_check.h"

#include "core/eplb/policy.h"
#include "core/resize/generation.h"
#include "core/suggest.h"
#include "core/timeline.h"
#include "core/units.h"
#include "scenarios/backend_traits.h"

#include <string.h>

#define D G_GINT64_FORMAT

/* Leaves room for sums of times. */
#define LONGEST_RUN     (G_GINT64_CONSTANT(1) << 62)
#define SECONDS_OF_YEAR (365.25 * 86400.0)

static gboolean fail(const EepScenario *scenario, const EepYaml *node, GError **error,
                     const char *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean fail(const EepScenario *scenario, const EepYaml *node, GError **error,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return eep_yaml_fail(scenario->document, node, EEP_OPTION_ERROR_BOUNDS, error, "%s", text);
}

/* A name out of a list. */
static gboolean check_name(const EepScenario *scenario, const char *pool, const char *key,
                           const char *text, const char *const *names, GError **error)
{
    g_autofree char *allowed = g_strjoinv(", ", (char **)names);
    if (text != NULL && g_strv_contains(names, text))
        return TRUE;
    const char *nearest = text != NULL ? eep_suggest_nearest(text, names) : NULL;
    return fail(scenario, eep_scenario_where(scenario, pool, key), error,
                "\"%s\" is unknown: %s%s%s", text != NULL ? text : "", allowed,
                nearest != NULL ? "; try " : "", nearest != NULL ? nearest : "");
}

/* NULL-terminated; the names are static. */
static const char **generation_names(void)
{
    guint n;
    const EepGeneration *generations = eep_generation_all(&n);
    const char **names = g_new0(const char *, n + 1);
    for (guint i = 0; i < n; i++)
        names[i] = generations[i].name;
    return names;
}

static gboolean check_names(const EepScenario *scenario, EepScenarioPool *pool, GError **error)
{
    EepPoolOptions *options = &pool->options;
    g_auto(GStrv) policies = eep_eplb_policy_names();
    g_autofree const char **generations = generation_names();

    if (g_strcmp0(options->eplb_config.policy, "default") == 0) {
        g_free(options->eplb_config.policy);
        options->eplb_config.policy = g_strdup("vllm");
    }
    if (g_strcmp0(options->eplb_config.policy, "lplb") == 0)
        return fail(scenario, eep_scenario_where(scenario, pool->name, "eplb_config.policy"), error,
                    "\"lplb\" places no experts, it splits tokens over the replicas that a policy "
                    "placed: another policy; try deepseek with eplb_config.replica_choice: lp");
    if (options->role != EEP_ROLE_BOTH)
        return fail(scenario, eep_scenario_where(scenario, pool->name, "role"), error,
                    "not yet: pools of one role are not supported by this version: both");
    return check_name(scenario, pool->name, "eplb_config.policy", options->eplb_config.policy,
                      (const char *const *)policies, error) &&
           check_name(scenario, pool->name, "resize.generation", options->resize.generation,
                      generations, error);
}

static gboolean check_features(const EepScenario *scenario, const EepScenarioPool *pool,
                               GError **error)
{
    const EepPoolOptions *options = &pool->options;
    gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;
    const struct {
        gboolean broken;
        const char *key, *text;
    } rules[] = {
        {options->enable_eplb && !options->enable_expert_parallel, "enable_eplb",
         "enable_eplb needs enable_expert_parallel: enable_expert_parallel: true"},
        {!options->enable_expert_parallel && ranks > 1, "enable_expert_parallel",
         "not yet: several ranks without expert parallelism: enable_expert_parallel: true"},
        {options->enable_dbo && !eep_backend_traits(options->all2all_backend)->has_micro_batches,
         "enable_dbo",
         "enable_dbo needs a backend of DeepEP, whose calls do not block: deepep_high_throughput "
         "or deepep_low_latency; try all2all_backend: deepep_low_latency"},
        {options->eplb_config.num_redundant_experts > 0 && !options->enable_eplb,
         "eplb_config.num_redundant_experts",
         "redundant experts need enable_eplb, which places them: enable_eplb: true, or "
         "num_redundant_experts: 0"},
        {options->eplb_config.waterfill && scenario->model.n_shared_experts == 0,
         "eplb_config.waterfill",
         "waterfill spreads a shared expert's tokens, and this model has no shared expert: "
         "eplb_config.waterfill: false"},
        {options->eplb_config.waterfill && !options->enable_expert_parallel,
         "eplb_config.waterfill",
         "waterfill needs enable_expert_parallel: enable_expert_parallel: true"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++)
        if (rules[i].broken)
            return fail(scenario, eep_scenario_where(scenario, pool->name, rules[i].key), error,
                        "%s", rules[i].text);
    return TRUE;
}

/* Only policies that plan moves one by one can stop at a limit, and less than an expert is none. */
static gboolean check_moves(const EepScenario *scenario, const EepScenarioPool *pool,
                            GError **error)
{
    const EepPoolOptions *options = &pool->options;
    const EepYaml *node = eep_scenario_where(scenario, pool->name, "eplb_config.max_bytes_moved");
    gint64 expert = eep_model_expert_bytes(&scenario->model);
    gint64 limit = options->eplb_config.max_bytes_moved;

    if (limit == 0)
        return TRUE;
    if (!eep_eplb_policy_find(options->eplb_config.policy, NULL)->limits_moves)
        return fail(
            scenario, node, error,
            "%s does not limit what it moves: max_bytes_moved needs a policy that does; try "
            "eplb_config.policy: eep, or max_bytes_moved: 0B",
            options->eplb_config.policy);
    if (limit < expert)
        return fail(scenario, node, error,
                    "%" D " bytes move no expert of %s: at least %" D ", or 0 for as much as it "
                    "pays; try max_bytes_moved: 10GB",
                    limit, scenario->model.name, expert);
    return TRUE;
}

/* Redundant experts that make the division even, at or below and above what is asked. */
static gboolean check_slots(const EepScenario *scenario, const EepScenarioPool *pool,
                            GError **error)
{
    const EepPoolOptions *options = &pool->options;
    gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;
    gint64 experts = scenario->model.n_routed_experts;
    gint64 redundant = options->eplb_config.num_redundant_experts;
    gint64 rest = (experts + redundant) % ranks;
    const EepYaml *node = eep_scenario_where(scenario, pool->name,
                                             redundant > 0 ? "eplb_config.num_redundant_experts"
                                                           : "data_parallel_size");

    if (rest == 0)
        return TRUE;
    gint64 more = redundant + ranks - rest;
    g_autofree char *less =
        redundant >= rest ? g_strdup_printf("%" D " or ", redundant - rest) : g_strdup("");
    return fail(scenario, node, error,
                "%" D " experts + %" D " redundant = %" D " do not divide over %" D " x %" D
                " = %" D " ranks, %" D " are over: a multiple of %" D
                "; try num_redundant_experts: %s%" D,
                experts, redundant, experts + redundant, options->data_parallel_size,
                options->tensor_parallel_size, ranks, rest, ranks, less, more);
}

static gboolean check_limits(const EepScenario *scenario, const EepScenarioPool *pool,
                             GError **error)
{
    const EepPoolOptions *options = &pool->options;
    gint64 domain = scenario->hardware.gpus_per_node;

    if (options->tensor_parallel_size > domain || domain % options->tensor_parallel_size != 0)
        return fail(scenario, eep_scenario_where(scenario, pool->name, "tensor_parallel_size"),
                    error,
                    "an engine of %" D " GPUs does not divide a node of %" D ": a divisor of %" D,
                    options->tensor_parallel_size, domain, domain);
    if (scenario->model.n_heads % options->tensor_parallel_size != 0)
        return fail(scenario, eep_scenario_where(scenario, pool->name, "tensor_parallel_size"),
                    error, "%" D " heads do not divide over %" D " GPUs: a divisor of %" D,
                    scenario->model.n_heads, options->tensor_parallel_size,
                    scenario->model.n_heads);
    if (options->max_model_len > scenario->model.max_model_len)
        return fail(scenario, eep_scenario_where(scenario, pool->name, "max_model_len"), error,
                    "%" D " tokens are more than %s can hold: at most %" D, options->max_model_len,
                    scenario->model.name, scenario->model.max_model_len);
    return TRUE;
}

static gboolean check_memory(const EepScenario *scenario, EepScenarioPool *pool, GError **error)
{
    EepPoolOptions *options = &pool->options;
    gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;
    GError *cause = NULL;

    if (eep_hardware_is_constant(&scenario->hardware)) {
        if (options->num_gpu_blocks_override < 1)
            return fail(scenario,
                        eep_scenario_where(scenario, pool->name, "num_gpu_blocks_override"), error,
                        "constant-step has no memory to fit: num_gpu_blocks_override must say how "
                        "many KV blocks an engine has; try num_gpu_blocks_override: 10000");
        pool->memory.num_gpu_blocks = options->num_gpu_blocks_override;
        pool->memory.block_size = options->block_size;
        pool->memory.is_override = TRUE;
        pool->memory.slots_per_rank = eep_memory_slots_per_rank(&scenario->model, options);
        return TRUE;
    }
    if (!eep_memory_fit(&scenario->model, &scenario->hardware, options, ranks, &pool->memory,
                        &cause))
        return eep_yaml_fail_with(scenario->document,
                                  eep_scenario_where(scenario, pool->name, "data_parallel_size"),
                                  cause, error);
    return TRUE;
}

static gboolean check_pool(EepScenario *scenario, EepScenarioPool *pool, GError **error)
{
    EepPoolOptions *options = &pool->options;
    gint64 ranks = options->data_parallel_size * options->tensor_parallel_size;

    eep_memory_resolve_limits(&scenario->model, &scenario->hardware, options);
    return check_names(scenario, pool, error) &&
           eep_scenario_check_resizing(scenario, pool, error) &&
           check_features(scenario, pool, error) && check_moves(scenario, pool, error) &&
           check_limits(scenario, pool, error) &&
           eep_scenario_check_ranks(scenario, options, ranks,
                                    eep_scenario_where(scenario, pool->name, "data_parallel_size"),
                                    error) &&
           check_slots(scenario, pool, error) && check_memory(scenario, pool, error);
}

static gboolean check_hardware(const EepScenario *scenario, GError **error)
{
    const EepYaml *hardware = eep_yaml_find(scenario->document->root, "hardware");
    const EepYaml *step = eep_yaml_find(hardware, "step_time");
    gboolean constant = strcmp(scenario->hardware_profile->name, "constant-step") == 0;

    if (constant && !eep_hardware_is_constant(&scenario->hardware))
        return fail(scenario, step != NULL ? step : hardware, error,
                    "constant-step does not say how long a step is: step_time: TIME; try "
                    "hardware: {profile: constant-step, step_time: 20ms}");
    if (!constant && eep_hardware_is_constant(&scenario->hardware))
        return fail(scenario, step != NULL ? step : hardware, error,
                    "step_time belongs to the profile constant-step, not to %s: leave it out",
                    scenario->hardware_profile->name);
    return TRUE;
}

gboolean eep_scenario_check_expect(const char *text, GError **error)
{
    static const char *const operators[] = {"<=", ">=", "==", "!=", "<", ">", NULL};
    const char *at = text;

    while (*at == ' ')
        at++;
    const char *key = at;
    while (g_ascii_isalnum(*at) || strchr("_.-[]", *at) != NULL) {
        if (*at == '\0')
            break;
        at++;
    }
    gboolean good = at > key;
    while (*at == ' ')
        at++;
    guint operator= 0;
    while (operators[operator] != NULL && !g_str_has_prefix(at, operators[operator]))
        operator++;
    good = good && operators[operator] != NULL;
    if (good) {
        at += strlen(operators[operator]);
        while (*at == ' ')
            at++;
        good = *at != '\0' && strpbrk(at, "<>=!") == NULL;
    }
    if (!good)
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                    "\"%s\" is no comparison: KEY OPERATOR VALUE with <, <=, >, >=, == or !=; try "
                    "\"slo_attainment >= 0.99\"",
                    text);
    return good;
}

gboolean eep_scenario_check_length(const EepScenario *scenario, EepTime end, GError **error)
{
    const EepYaml *node = eep_yaml_find_path(scenario->document->root, "measure.bucket");
    EepTime bucket = scenario->measure.bucket, n_rows = end / bucket, least = EEP_NS_PER_MS;

    if (end >= LONGEST_RUN)
        return fail(scenario, eep_yaml_find_path(scenario->document->root, "traffic"), error,
                    "the run would last %.3g years of virtual time: below %.3g years; try run: "
                    "{end: cut, duration: 1d}",
                    eep_time_to_seconds(end) / SECONDS_OF_YEAR,
                    eep_time_to_seconds(LONGEST_RUN) / SECONDS_OF_YEAR);
    if (n_rows < EEP_TIMELINE_MAX_BUCKETS)
        return TRUE;
    while (end / least >= EEP_TIMELINE_MAX_BUCKETS)
        least *= 10;
    g_autofree char *tried = eep_units_format_whole(EEP_UNITS_TIME, least);
    g_autofree char *width = eep_units_format_whole(EEP_UNITS_TIME, bucket);
    return fail(scenario, node != NULL ? node : scenario->document->root, error,
                "the run reaches %.10g s, which are %" D " rows of the time line of %s each: at "
                "most %d rows; try measure.bucket: %s, or run: {end: cut, duration: 1d}",
                eep_time_to_seconds(end), n_rows, width, EEP_TIMELINE_MAX_BUCKETS, tried);
}

static gboolean check_skew(const EepScenario *scenario, GError **error)
{
    const EepYaml *root = scenario->document->root;
    const char *key;
    GError *cause = NULL;
    if (eep_skew_options_check(&scenario->skew, &key, &cause))
        return TRUE;
    g_autofree char *path = g_strconcat("skew.", key, NULL);
    const EepYaml *node = eep_yaml_find_path(root, path);
    if (node == NULL)
        node = eep_yaml_find_path(root, "skew");
    return eep_yaml_fail_with(scenario->document, node, cause, error);
}

void eep_scenario_note(EepScenario *scenario, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *note = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (g_ptr_array_find_with_equal_func(scenario->notes, note, g_str_equal, NULL))
        g_free(note);
    else
        g_ptr_array_add(scenario->notes, note);
}

gboolean eep_scenario_check(EepScenario *scenario, GError **error)
{
    GError *cause = NULL;
    if (!eep_model_check(&scenario->model, &cause))
        return eep_yaml_fail_with(scenario->document,
                                  eep_yaml_find(scenario->document->root, "model"), cause, error);
    if (!check_hardware(scenario, error))
        return FALSE;
    for (guint i = 0; i < scenario->n_pools; i++)
        if (!check_pool(scenario, &scenario->pools[i], error))
            return FALSE;
    if (!eep_scenario_check_events(scenario, error) ||
        !eep_scenario_check_traffic(scenario, error) || !check_skew(scenario, error))
        return FALSE;
    eep_scenario_note_idle_keys(scenario);
    return TRUE;
}
