#include <stddef.h>

#include "core/skew.h"

#define AT(field) offsetof(EepSkewOptions, field)

#define LONGEST 1e18 /* ns; 31 years */

#define LOAD_ROWS(prefix, field, what)                                                             \
    {prefix ".path", EEP_OPTION_PATH, AT(field.path), NULL, EEP_NO_BOUNDS, NULL, NULL, what},      \
        {prefix ".format",                                                                         \
         EEP_OPTION_WORD,                                                                          \
         AT(field.format),                                                                         \
         "auto",                                                                                   \
         EEP_NO_BOUNDS,                                                                            \
         "auto|json|csv|routes",                                                                   \
         NULL,                                                                                     \
         "what the file is; routes: raw bytes, an expert each, [tokens][layers][top_k]"},          \
        {prefix ".top_k",                                                                          \
         EEP_OPTION_INT,                                                                           \
         AT(field.top_k),                                                                          \
         "0",                                                                                      \
         0,                                                                                        \
         1024,                                                                                     \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "experts of a token in the file; 0: as the file says, of routes as the model has"},       \
    {                                                                                              \
        prefix ".layers", EEP_OPTION_INT, AT(field.layers), "0", 0, 1e6, NULL, NULL,               \
            "MoE layers of raw routes; 0: as the model has"                                        \
    }

static const EepOption rows[] = {
    {"law", EEP_OPTION_WORD, AT(law), "uniform", EEP_NO_BOUNDS,
     "uniform|zipf|uniform_random|normal_routing|power_law|lognormal|recorded", NULL,
     "law of expert popularity"},
    {"exponent", EEP_OPTION_DOUBLE, AT(exponent), "0.8", 0.0, 4.0, NULL, NULL,
     "Zipf exponent over popularity ranks; 0 is uniform"},
    {"layers", EEP_OPTION_WORD, AT(layers), "independent", EEP_NO_BOUNDS, "independent|same", NULL,
     "whether each MoE layer has popular experts of its own"},
    {"mode", EEP_OPTION_WORD, AT(mode), "expected", EEP_NO_BOUNDS, "expected|sampled", NULL,
     "expected expert loads, or draw every token's experts (slow)"},
    {"alpha", EEP_OPTION_DOUBLE, AT(alpha), "1.01", 0.0, 8.0, NULL, NULL,
     "power_law: loads are drawn from a density x^-alpha; 0 is uniform"},
    {"spread", EEP_OPTION_DOUBLE, AT(spread), "200", 1.0, 1e9, NULL, NULL,
     "power_law: largest over smallest load that can be drawn"},
    {"sigma", EEP_OPTION_DOUBLE, AT(sigma), "0.8", 0.0, 4.0, NULL, NULL,
     "lognormal: standard deviation of the logarithm of an expert's load"},
    {"layer_correlation", EEP_OPTION_DOUBLE, AT(layer_correlation), "0", 0.0, 1.0, NULL, NULL,
     "how far two layers like the same experts; 1 is layers: same"},
    {"decode_correlation", EEP_OPTION_DOUBLE, AT(decode_correlation), "1", 0.0, 1.0, NULL, NULL,
     "how far decode likes the experts of prefill; 1: the same"},
    {"classes", EEP_OPTION_INT, AT(classes), "1", 1, EEP_SKEW_MAX_CLASSES, NULL, NULL,
     "classes of requests (tasks), each with popular experts of its own"},
    {"class_correlation", EEP_OPTION_DOUBLE, AT(class_correlation), "0.13", 0.0, 1.0, NULL, NULL,
     "how far two classes like the same experts; 1: the same"},
    {"stickiness", EEP_OPTION_DOUBLE, AT(stickiness), "0", 0.0, 0.99, NULL, NULL,
     "share of experts that consecutive tokens of a request have in common; 0: drawn anew"},
    {"drift.kind", EEP_OPTION_WORD, AT(drift.kind), "none", EEP_NO_BOUNDS,
     "none|random_walk|rotation|shift|mixture", NULL, "how popularity changes with time"},
    {"drift.period", EEP_OPTION_INT, AT(drift.period), "1000", 1, 1e9, NULL, NULL,
     "steps between two looks at it; popularity is constant in between"},
    {"drift.half_life", EEP_OPTION_TIME, AT(drift.half_life), "10min", 1e6, LONGEST, NULL, NULL,
     "random_walk: time after which the correlation with before is 1/2"},
    {"drift.interval", EEP_OPTION_TIME, AT(drift.interval), "10min", 1e6, LONGEST, NULL, NULL,
     "rotation: time until each expert takes over from the one before it; mixture: of one round of "
     "the classes"},
    {"drift.at", EEP_OPTION_TIME, AT(drift.at), "0s", 0, LONGEST, NULL, NULL,
     "shift: when the requests change to another domain; steps see it at their next look, up to a "
     "drift.period later"},
    {"drift.every", EEP_OPTION_TIME, AT(drift.every), "0s", 0, LONGEST, NULL, NULL,
     "shift: time to each further change; 0s: none"},
    {"drift.correlation", EEP_OPTION_DOUBLE, AT(drift.correlation), "0", 0.0, 1.0, NULL, NULL,
     "shift: how far a domain likes the experts of the one before it"},
    LOAD_ROWS("drift.load", drift.load,
              "shift of law recorded: file of counts that every other domain has"),
    LOAD_ROWS("load", load, "recorded: file of counts or routes"),
};

const EepOptionTable eep_skew_options = {"skew", sizeof(EepSkewOptions), rows, G_N_ELEMENTS(rows)};

static gboolean has_path(const EepSkewLoadOptions *load)
{
    return load->path != NULL && *load->path != '\0';
}

gboolean eep_skew_options_check(const EepSkewOptions *options, const char **ret_key, GError **error)
{
    const gboolean recorded = options->law == EEP_SKEW_RECORDED;
    const gboolean shift = options->drift.kind == EEP_DRIFT_SHIFT;
    const gboolean same = options->layers == EEP_SKEW_LAYERS_SAME;
    const double rho = options->layer_correlation;
    const struct {
        gboolean broken;
        const char *key, *text;
    } rules[] = {
        {recorded && !has_path(&options->load), "law",
         "law recorded has no record: skew.load.path: FILE; try skew.load.path=loads.json, or law: "
         "zipf"},
        {!recorded && has_path(&options->load), "load.path",
         "a record beside another law: law: recorded; try skew.law=recorded, or skew.load=null"},
        {recorded && same, "layers",
         "recorded layers have popular experts of their own: layers: independent"},
        {same && rho > 0.0 && rho < 1.0, "layer_correlation",
         "layers that are the same have a correlation of 1: layers: independent"},
        {options->law == EEP_SKEW_POWER_LAW && options->spread < 1.0, "spread",
         "the largest load is below the smallest: a spread of at least 1; try spread: 200"},
        {shift && options->drift.at <= 0, "drift",
         "the shift has no time: drift.at above 0s; try at: 10min"},
        {options->drift.kind == EEP_DRIFT_RANDOM_WALK && options->drift.half_life <= 0,
         "drift.half_life", "the walk has no half-life: above 0s; try half_life: 10min"},
        {(options->drift.kind == EEP_DRIFT_ROTATION || options->drift.kind == EEP_DRIFT_MIXTURE) &&
             options->drift.interval <= 0,
         "drift.interval", "the drift has no interval: above 0s; try interval: 10min"},
        {!shift && options->drift.at > 0, "drift.at",
         "a time of a shift without a shift: kind: shift; try skew.drift.at=null"},
        {!shift && options->drift.every > 0, "drift.every",
         "a time between shifts without a shift: kind: shift; try skew.drift.every=null"},
        {has_path(&options->drift.load) && !(shift && recorded), "drift.load",
         "a record to shift to without a shift between records: law: recorded and drift.kind: "
         "shift"},
        {options->drift.kind == EEP_DRIFT_MIXTURE && options->classes < 2, "drift",
         "a mixture of one class: at least 2 classes; try skew.classes=2"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (!rules[i].broken)
            continue;
        *ret_key = rules[i].key;
        g_set_error_literal(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS, rules[i].text);
        return FALSE;
    }
    return TRUE;
}
