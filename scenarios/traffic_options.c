#include "scenarios/traffic_options.h"

#include <stddef.h>

#define AT(field) offsetof(EepTrafficOptions, field)

#define LONGEST 1e18 /* ns; 31 years */

#define LENGTH_OPTIONS(name, what)                                                                 \
    {"synthetic." #name ".constant",                                                               \
     EEP_OPTION_INT,                                                                               \
     AT(synthetic.name.constant),                                                                  \
     "0",                                                                                          \
     0,                                                                                            \
     1e9,                                                                                          \
     NULL,                                                                                         \
     NULL,                                                                                         \
     "tokens of every " what "; " #name ": N means the same"},                                     \
        {"synthetic." #name ".lognormal.p50",                                                      \
         EEP_OPTION_DOUBLE,                                                                        \
         AT(synthetic.name.p50),                                                                   \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "median tokens of " what "s"},                                                            \
        {"synthetic." #name ".lognormal.p99",                                                      \
         EEP_OPTION_DOUBLE,                                                                        \
         AT(synthetic.name.p99),                                                                   \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "99th percentile of the same"},                                                           \
        {"synthetic." #name ".uniform.min",                                                        \
         EEP_OPTION_INT,                                                                           \
         AT(synthetic.name.uniform_min),                                                           \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "fewest tokens of " what "s, all numbers alike"},                                         \
        {"synthetic." #name ".uniform.max",                                                        \
         EEP_OPTION_INT,                                                                           \
         AT(synthetic.name.uniform_max),                                                           \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "most tokens of the same"},                                                               \
        {"synthetic." #name ".exponential.mean",                                                   \
         EEP_OPTION_DOUBLE,                                                                        \
         AT(synthetic.name.mean),                                                                  \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "mean tokens of " what "s"},                                                              \
        {"synthetic." #name ".min",                                                                \
         EEP_OPTION_INT,                                                                           \
         AT(synthetic.name.min),                                                                   \
         "0",                                                                                      \
         0,                                                                                        \
         1e9,                                                                                      \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "a lower draw becomes this; 0: no bound"},                                                \
    {                                                                                              \
        "synthetic." #name ".max", EEP_OPTION_INT, AT(synthetic.name.max), "0", 0, 1e9, NULL,      \
            NULL, "a higher draw becomes this; 0: no bound"                                        \
    }

static const EepOption options[] = {
    {"trace.path", EEP_OPTION_PATH, AT(trace.path), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "recorded traffic, plain or gzip; relative to the file that says it"},
    {"trace.format", EEP_OPTION_WORD, AT(trace.format), "auto", EEP_NO_BOUNDS,
     "auto|azure|mooncake", NULL, "format of the trace; auto: told by its first line"},
    {"trace.rate_scale", EEP_OPTION_DOUBLE, AT(trace.rate_scale), "1", 1e-6, 1e9, NULL, NULL,
     "20: twenty times the rate, times are divided by it"},
    {"trace.until", EEP_OPTION_TIME, AT(trace.until), "0s", 0, LONGEST, NULL, NULL,
     "leave out what arrives at or after it, after scaling; 0s: nothing"},
    {"trace.on_error", EEP_OPTION_WORD, AT(trace.on_error), "fail", EEP_NO_BOUNDS, "fail|skip",
     NULL, "what to do with a bad row"},
    {"trace.limit", EEP_OPTION_INT, AT(trace.limit), "0", 0, 1e15, NULL, NULL,
     "requests at most; 0: all"},
    {"trace.spread_batches", EEP_OPTION_TIME, AT(trace.spread_batches), "0s", 0, 1e15, NULL, NULL,
     "spread requests of one time over this time; 0s: leave them"},
    {"synthetic.arrivals", EEP_OPTION_WORD, AT(synthetic.arrivals), "poisson", EEP_NO_BOUNDS,
     "poisson|gamma|constant", NULL, "law of the gaps between arrivals"},
    {"synthetic.rate", EEP_OPTION_RATE, AT(synthetic.rate), "0/s", 0, 1e9, NULL, NULL,
     "mean arrivals; with a ramp at its start"},
    {"synthetic.burstiness", EEP_OPTION_DOUBLE, AT(synthetic.burstiness), "1", 1e-3, 1e6, NULL,
     "--burstiness", "shape of gamma gaps: 1 is poisson, below it burstier"},
    {"synthetic.ramp", EEP_OPTION_WORD, AT(synthetic.ramp), "none", EEP_NO_BOUNDS,
     "none|linear|exponential", "--ramp-up-strategy", "how the rate goes to end_rate"},
    {"synthetic.end_rate", EEP_OPTION_RATE, AT(synthetic.end_rate), "0/s", 0, 1e9, NULL,
     "--ramp-up-end-rps", "mean arrivals at the end of a ramp"},
    {"synthetic.duration", EEP_OPTION_TIME, AT(synthetic.duration), "0s", 0, LONGEST, NULL, NULL,
     "length of the traffic; 0s: until `requests`"},
    {"synthetic.requests", EEP_OPTION_INT, AT(synthetic.requests), "0", 0, 1e12, NULL,
     "--num-prompts", "requests at most; 0: until `duration`"},
    LENGTH_OPTIONS(input_tokens, "prompt"),
    LENGTH_OPTIONS(output_tokens, "output"),
    {"synthetic.prefix.groups", EEP_OPTION_INT, AT(synthetic.prefix.groups), "0", 0, 1e6, NULL,
     NULL, "groups of prompts that begin alike; 0: none"},
    {"synthetic.prefix.tokens", EEP_OPTION_INT, AT(synthetic.prefix.tokens), "0", 0, 1e9, NULL,
     NULL, "tokens that a group's prompts share, before those of input_tokens"},
    {"synthetic.prefix.zipf_exponent", EEP_OPTION_DOUBLE, AT(synthetic.prefix.zipf_exponent), "0",
     0, 10, NULL, NULL, "popularity of groups; 0: all alike"},
    {"synthetic.priority", EEP_OPTION_INT, AT(synthetic.priority), "0", -2147483648.0, 2147483647,
     NULL, NULL,
     "of synthetic.priority_share of the requests, 0 of the others; smaller is more urgent"},
    {"synthetic.priority_share", EEP_OPTION_DOUBLE, AT(synthetic.priority_share), "1", 0, 1, NULL,
     NULL, "share of the requests that have synthetic.priority, drawn at random"},
    {"retry.attempts", EEP_OPTION_INT, AT(retry.attempts), "1", 1, 1000, NULL, NULL,
     "submissions of one request at most; 1: a refused one (503, full queues) is not tried again"},
    {"retry.backoff", EEP_OPTION_TIME, AT(retry.backoff), "1s", 0, 1e15, NULL, NULL,
     "wait before the second attempt; each further one waits twice as long"},
    {"retry.jitter", EEP_OPTION_DOUBLE, AT(retry.jitter), "0", 0, 1, NULL, NULL,
     "share of the wait that is drawn at random, either way"},
};

const EepOptionTable eep_traffic_options = {"traffic", sizeof(EepTrafficOptions), options,
                                            G_N_ELEMENTS(options)};

static const EepOption step_options[] = {
    {"at", EEP_OPTION_TIME, offsetof(EepRateStep, at), "0s", 0, LONGEST, NULL, NULL,
     "when the rate begins; the first is 0s, then rising"},
    {"rate", EEP_OPTION_RATE, offsetof(EepRateStep, rate), "0/s", 0, 1e9, NULL, NULL,
     "mean arrivals from then on"},
};

const EepOptionTable eep_rate_step_options = {"traffic.synthetic.piecewise[]", sizeof(EepRateStep),
                                              step_options, G_N_ELEMENTS(step_options)};

EepLengthForm eep_length_options_form(const EepLengthOptions *lengths)
{
    gboolean given[] = {
        [EEP_LENGTHS_CONSTANT] = lengths->constant > 0,
        [EEP_LENGTHS_UNIFORM] = lengths->uniform_max > 0,
        [EEP_LENGTHS_LOGNORMAL] = lengths->p50 > 0.0,
        [EEP_LENGTHS_EXPONENTIAL] = lengths->mean > 0.0,
    };
    EepLengthForm form = EEP_LENGTHS_NONE;
    for (guint i = 0; i < G_N_ELEMENTS(given); i++)
        if (given[i]) {
            if (form != EEP_LENGTHS_NONE)
                return EEP_LENGTHS_NONE;
            form = (EepLengthForm)i;
        }
    return form;
}
