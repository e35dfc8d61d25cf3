#include "scenarios/scenario_check.h"

#include "core/time.h"
#include "scenarios/fill.h"

#include <math.h>
#include <string.h>

#define D G_GINT64_FORMAT

/* Prompt tokens that one hash of a Mooncake trace stands for. */
#define MOONCAKE_HASH_TOKENS 512

/* Every request that has ended is kept until the summary: 64 B each. */
#define MAX_REQUESTS 1e8

static const EepYaml *where(const EepScenario *scenario, const char *path)
{
    g_autofree char *part = g_strdup(path);
    for (;;) {
        const EepYaml *node = eep_yaml_find_path(scenario->document->root, part);
        if (node != NULL)
            return node;
        char *dot = strrchr(part, '.');
        if (dot == NULL)
            return scenario->document->root;
        *dot = '\0';
    }
}

static gboolean fail(const EepScenario *scenario, const char *path, GError **error,
                     const char *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean fail(const EepScenario *scenario, const char *path, GError **error,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return eep_yaml_fail(scenario->document, where(scenario, path), EEP_OPTION_ERROR_BOUNDS, error,
                         "%s", text);
}

static gboolean check_lengths(const EepScenario *scenario, const char *path,
                              const EepLengthOptions *lengths, GError **error)
{
    const char *name = strrchr(path, '.') + 1;
    EepLengthForm form = eep_length_options_form(lengths);

    if (form == EEP_LENGTHS_NONE)
        return fail(scenario, path, error,
                    "\"%s\" has no law or more than one: N, {uniform: {min, max}}, {lognormal: "
                    "{p50, p99}} or {exponential: {mean}}; try {lognormal: {p50: 1000, p99: 8000}}",
                    name);
    if (form == EEP_LENGTHS_LOGNORMAL && lengths->p99 < lengths->p50)
        return fail(scenario, path, error,
                    "p99 %g is below p50 %g: at least the median; try p99: %g", lengths->p99,
                    lengths->p50, 8.0 * lengths->p50);
    if (form == EEP_LENGTHS_UNIFORM &&
        (lengths->uniform_min < 1 || lengths->uniform_min > lengths->uniform_max))
        return fail(scenario, path, error,
                    "min %" D " and max %" D " are no range: 1 <= min <= max", lengths->uniform_min,
                    lengths->uniform_max);
    if (lengths->max > 0 && lengths->min > lengths->max)
        return fail(scenario, path, error, "min %" D " is above max %" D ": min <= max",
                    lengths->min, lengths->max);
    return TRUE;
}

static gboolean check_steps(const EepScenario *scenario, GError **error)
{
    const EepRateStep *steps = scenario->rate_steps;
    gboolean any = FALSE;
    for (guint i = 0; i < scenario->n_rate_steps; i++) {
        g_autofree char *path = g_strdup_printf("traffic.synthetic.piecewise.%u.at", i);
        if (i == 0 ? steps[i].at != 0 : steps[i].at <= steps[i - 1].at)
            return fail(scenario, path, error, "%s: 0s first, then each later than the one before",
                        i == 0 ? "the first step does not begin at 0s"
                               : "the step is not later than the one before");
        any = any || steps[i].rate > 0.0;
    }
    if (!any)
        return fail(scenario, "traffic.synthetic.piecewise", error,
                    "no step has a rate: above 0/s at least once; try {at: 0s, rate: 10/s}");
    return TRUE;
}

static gboolean check_rate(const EepScenario *scenario, GError **error)
{
    const EepTrafficOptions *traffic = &scenario->traffic;
    gboolean ramp = traffic->synthetic.ramp != 0;

    if (eep_yaml_find_path(scenario->document->root, "traffic.synthetic.piecewise") != NULL) {
        if (ramp || traffic->synthetic.rate > 0.0)
            return fail(scenario, "traffic.synthetic.piecewise", error,
                        "piecewise stands beside rate or ramp: one of them");
        return check_steps(scenario, error);
    }
    if (ramp && (traffic->synthetic.duration == 0 || traffic->synthetic.end_rate <= 0.0))
        return fail(scenario, "traffic.synthetic.ramp", error,
                    "the ramp has no end: duration and end_rate");
    if (!ramp && traffic->synthetic.end_rate > 0.0)
        return fail(scenario, "traffic.synthetic.end_rate", error,
                    "end_rate without a ramp: ramp: linear or exponential");
    if (traffic->synthetic.rate <= 0.0)
        return fail(scenario, "traffic.synthetic.rate", error,
                    "the rate is 0/s: above it; try rate: 10/s");
    return TRUE;
}

/* A prefix is cached in whole blocks, whose number the cache keeps in 16 bits. */
static gboolean check_prefix(const EepScenario *scenario, GError **error)
{
    gint64 tokens = scenario->traffic.synthetic.prefix.tokens;

    if (tokens < 1)
        return fail(scenario, "traffic.synthetic.prefix", error,
                    "the prefix has no tokens: tokens of at least 1");
    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepPoolOptions *options = &scenario->pools[i].options;
        gint64 size = options->block_size;
        if (options->enable_prefix_caching && (tokens < size || tokens / size > G_MAXUINT16))
            return fail(scenario, "traffic.synthetic.prefix.tokens", error,
                        "%" D " tokens are %" D " whole blocks of %" D ": 1 to %d blocks, %" D
                        " to %" D " tokens; try %" D ", or enable_prefix_caching: false",
                        tokens, tokens / size, size, G_MAXUINT16, size, size * G_MAXUINT16,
                        tokens < size ? size : size * G_MAXUINT16);
    }
    return TRUE;
}

/* Requests that the rates and the end ask for. */
static double expected_requests(const EepScenario *scenario)
{
    const EepTrafficOptions *traffic = &scenario->traffic;
    double seconds = traffic->synthetic.duration > 0
                         ? eep_time_to_seconds(traffic->synthetic.duration)
                         : INFINITY;
    double n = 0.0;

    if (traffic->synthetic.ramp != 0)
        n = MAX(traffic->synthetic.rate, traffic->synthetic.end_rate) * seconds;
    else if (scenario->n_rate_steps == 0)
        n = traffic->synthetic.rate * seconds;
    for (guint i = 0; i < scenario->n_rate_steps; i++) {
        const EepRateStep *step = &scenario->rate_steps[i];
        double from = eep_time_to_seconds(step->at);
        double to = i + 1 < scenario->n_rate_steps ? eep_time_to_seconds(step[1].at) : seconds;
        if (step->rate > 0.0 && MIN(to, seconds) > from)
            n += step->rate * (MIN(to, seconds) - from);
    }
    return traffic->synthetic.requests > 0 ? MIN(n, (double)traffic->synthetic.requests) : n;
}

static gboolean check_amount(const EepScenario *scenario, GError **error)
{
    double n = expected_requests(scenario);

    return n <= MAX_REQUESTS ||
           fail(scenario,
                scenario->traffic.synthetic.duration > 0 ? "traffic.synthetic.duration"
                                                         : "traffic.synthetic.requests",
                error, "the traffic is %.3g requests: at most %.0g; try requests: 1000000", n,
                MAX_REQUESTS);
}

static gboolean check_synthetic(const EepScenario *scenario, GError **error)
{
    const EepTrafficOptions *traffic = &scenario->traffic;

    if (traffic->synthetic.duration == 0 && traffic->synthetic.requests == 0)
        return fail(scenario, "traffic.synthetic", error,
                    "the traffic has no end: duration or requests; try duration: 10min");
    if (traffic->synthetic.prefix.groups > 0 && !check_prefix(scenario, error))
        return FALSE;
    if (traffic->synthetic.duration > 0 && scenario->measure.warmup >= traffic->synthetic.duration)
        return fail(scenario, "measure.warmup", error,
                    "nothing arrives after the warm-up: below traffic.synthetic.duration");
    return check_rate(scenario, error) && check_amount(scenario, error) &&
           check_lengths(scenario, "traffic.synthetic.input_tokens",
                         &traffic->synthetic.input_tokens, error) &&
           check_lengths(scenario, "traffic.synthetic.output_tokens",
                         &traffic->synthetic.output_tokens, error);
}

gboolean eep_scenario_check_hashes(const EepScenario *scenario, guint32 hash_tokens, GError **error)
{
    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepPoolOptions *options = &scenario->pools[i].options;
        if (options->enable_prefix_caching && hash_tokens % options->block_size != 0)
            return eep_yaml_fail(
                scenario->document,
                eep_scenario_where(scenario, scenario->pools[i].name, "block_size"),
                EEP_OPTION_ERROR_BOUNDS, error,
                "blocks of %" D " tokens do not divide the trace's hashes of %u tokens: a divisor "
                "of %u; try block_size: 16, or enable_prefix_caching: false",
                options->block_size, hash_tokens, hash_tokens);
    }
    return TRUE;
}

static gboolean check_trace(const EepScenario *scenario, GError **error)
{
    const EepTrafficOptions *traffic = &scenario->traffic;
    const gint mooncake = 2; /* of auto|azure|mooncake; auto is checked when the file is opened */

    if (traffic->trace.format == mooncake &&
        !eep_scenario_check_hashes(scenario, MOONCAKE_HASH_TOKENS, error))
        return FALSE;
    if (traffic->trace.until > 0 && scenario->measure.warmup >= traffic->trace.until)
        return fail(scenario, "measure.warmup", error,
                    "nothing arrives after the warm-up: below traffic.trace.until");
    return TRUE;
}

gboolean eep_scenario_check_traffic(const EepScenario *scenario, GError **error)
{
    const EepYaml *root = scenario->document->root;
    gboolean trace = eep_yaml_find_path(root, "traffic.trace") != NULL;
    gboolean synthetic = eep_yaml_find_path(root, "traffic.synthetic") != NULL;

    if (trace == synthetic)
        return fail(scenario, "traffic", error,
                    trace ? where(scenario, "traffic.trace")->set != NULL
                                ? "both a trace and synthetic traffic are given: one; try "
                                  "--set traffic.synthetic=null"
                                : "both a trace and synthetic traffic are given: one; try "
                                  "--set traffic.trace=null"
                          : "no traffic is given: trace or synthetic; try traffic: {trace: "
                            "{path: FILE}}");
    if (trace && (scenario->traffic.trace.path == NULL || *scenario->traffic.trace.path == '\0'))
        return fail(scenario, "traffic.trace", error, "the trace has no path: path: FILE");
    if (scenario->run.end == EEP_RUN_CUT && scenario->run.duration == 0)
        return fail(scenario, "run", error,
                    "a run that is cut has no duration: run.duration; try {end: cut, duration: "
                    "10min}");
    if (scenario->run.end == EEP_RUN_DRAINED && scenario->run.duration > 0)
        return fail(scenario, "run.duration", error,
                    "run.duration ends a run that is cut only: end: cut");
    return trace ? check_trace(scenario, error) : check_synthetic(scenario, error);
}

static gboolean check_load_file(const EepScenario *scenario, const char *key,
                                const EepSkewLoadOptions *load, GError **error)
{
    return load->path == NULL || g_file_test(load->path, G_FILE_TEST_EXISTS) ||
           fail(scenario, key, error,
                "there is no file \"%s\": an existing file of expert loads; try --set %s=FILE",
                load->path, key);
}

gboolean eep_scenario_check_files(const EepScenario *scenario, GError **error)
{
    static const struct {
        const char *file, *place;
    } published[] = {
        {"AzureLLMInferenceTrace_conv.csv",
         "https://github.com/Azure/AzurePublicDataset (data/, CC-BY-4.0)"},
        {"AzureLLMInferenceTrace_code.csv",
         "https://github.com/Azure/AzurePublicDataset (data/, CC-BY-4.0)"},
        {"conversation_trace.jsonl",
         "https://github.com/kvcache-ai/Mooncake (FAST25-release/traces/, Apache-2.0)"},
        {"synthetic_trace.jsonl",
         "https://github.com/kvcache-ai/Mooncake (FAST25-release/traces/, Apache-2.0)"},
    };
    const char *path = scenario->traffic.trace.path;

    if (!check_load_file(scenario, "skew.load.path", &scenario->skew.load, error) ||
        !check_load_file(scenario, "skew.drift.load.path", &scenario->skew.drift.load, error))
        return FALSE;
    if (path == NULL || g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    g_autofree char *base = g_path_get_basename(path);
    for (guint i = 0; i < G_N_ELEMENTS(published); i++)
        if (strcmp(published[i].file, base) == 0)
            return fail(scenario, "traffic.trace.path", error,
                        "there is no file \"%s\": get %s from %s; try --set "
                        "traffic.trace.path=FOLDER/%s",
                        path, base, published[i].place, base);
    return fail(scenario, "traffic.trace.path", error,
                "there is no file \"%s\": an existing file; try --set traffic.trace.path=FILE",
                path);
}
