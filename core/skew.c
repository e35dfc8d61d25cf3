#include "core/skew.h"

#include <math.h>
#include <string.h>

#include "core/inclusion.h"
#include "core/rng.h"
#include "core/skew_drift.h"
#include "core/skew_law.h"

#define DEFAULT_PERIOD 1000

/* What one record, or the law, says of a layer: values by rank, and with a record who has them. */
typedef struct {
    guint n_layers; /* layer l is row l mod n_layers */
    guint top_k;    /* of the record; 0: unknown */
    double *values; /* [n_layers][n_experts], falling */
    guint *rank;    /* [n_layers][n_experts]; NULL: drawn orders */
} Source;

struct EepSkew {
    EepSkewOptions options; /* its strings are not owned and not looked at */
    guint64 seed;
    guint n_layers, n_experts;
    gboolean is_fixed;      /* the law alone says everything: `source` is by expert, one row */
    Source source, shifted; /* `shifted` without values: there is none */
    EepScores scores;
};

static void source_clear(Source *source)
{
    g_free(source->values);
    g_free(source->rank);
}

static gboolean is_flat(const EepSkewOptions *options)
{
    return options->law == EEP_SKEW_UNIFORM || options->law == EEP_SKEW_UNIFORM_RANDOM ||
           (options->law == EEP_SKEW_ZIPF && options->exponent == 0.0) ||
           (options->law == EEP_SKEW_POWER_LAW &&
            (options->alpha == 0.0 || options->spread <= 1.0)) ||
           (options->law == EEP_SKEW_LOGNORMAL && options->sigma == 0.0);
}

static void fill_by_law(EepSkew *self)
{
    const EepSkewOptions *options = &self->options;
    const guint n = self->n_experts;
    const gboolean drawn = options->law == EEP_SKEW_POWER_LAW || options->law == EEP_SKEW_LOGNORMAL;
    const gboolean same = self->scores.layer_correlation >= 1.0;
    Source *source = &self->source;

    source->n_layers = drawn && !self->is_fixed && !same ? MAX(self->n_layers, 1) : 1;
    source->values = g_new(double, (gsize)source->n_layers *n);
    for (guint l = 0; l < source->n_layers; l++) {
        double *values = source->values + (gsize)l * n;
        char stream[32];
        EepRng rng;
        g_snprintf(stream, sizeof stream, "skew/values/%u", l);
        eep_rng_init(&rng, self->seed, stream);
        if (is_flat(options)) {
            for (guint e = 0; e < n; e++)
                values[e] = 1.0 / n;
        } else if (options->law == EEP_SKEW_NORMAL_ROUTING) {
            eep_law_normal_routing(n, values);
        } else if (options->law == EEP_SKEW_POWER_LAW) {
            eep_law_power(options->alpha, options->spread, n, &rng, values);
        } else if (options->law == EEP_SKEW_LOGNORMAL) {
            eep_law_lognormal(options->sigma, n, &rng, values);
        } else {
            eep_law_zipf(options->exponent, n, values);
        }
    }
}

/* `key` is the option that asked for the record. */
static gboolean fill_by_record(EepSkew *self, const EepLoadRecord *record, const char *key,
                               Source *source, GError **error)
{
    const guint n = self->n_experts;
    if (record == NULL) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                    "law recorded has no record: %s.path: FILE; try law: zipf", key);
        return FALSE;
    }
    if (record->n_experts != n) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                    "the record of %s is of %u experts, the model has %u: a record of %u; try "
                    "another %s.path, or law: zipf",
                    key, record->n_experts, n, n, key);
        return FALSE;
    }
    g_autofree double *loads = g_new(double, (gsize)record->n_layers *n);
    g_autofree double *p = g_new(double, n);
    eep_load_record_sum(record, 0, record->n_windows, loads);
    source->n_layers = record->n_layers;
    source->top_k = record->top_k;
    source->values = g_new(double, (gsize)record->n_layers *n);
    source->rank = g_new(guint, (gsize)record->n_layers * n);
    for (guint l = 0; l < record->n_layers; l++) {
        const double *row = loads + (gsize)l * n;
        guint *rank = source->rank + (gsize)l * n;
        double sum = 0.0;
        for (guint e = 0; e < n; e++)
            sum += row[e] >= 0.0 ? row[e] : NAN;
        if (!(sum > 0.0) || sum > G_MAXDOUBLE) {
            g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                        "layer %u of the record of %s has %s: finite counts of at least 0, one of "
                        "them above; try another %s.path",
                        l, key, sum == 0.0 ? "no counts" : "a count that is none", key);
            return FALSE;
        }
        eep_law_recorded(row, n, record->top_k, p);
        eep_scores_rank(p, n, rank);
        for (guint e = 0; e < n; e++)
            source->values[(gsize)l * n + rank[e]] = p[e];
    }
    return TRUE;
}

static void fill_defaults(EepSkewOptions *options)
{
    if (options->classes == 0) {
        options->classes = 1;
        options->decode_correlation = 1.0;
    }
    if (options->drift.period == 0)
        options->drift.period = DEFAULT_PERIOD;
}

EepSkew *eep_skew_new(const EepSkewOptions *options, guint64 seed, guint n_layers, guint n_experts,
                      const EepLoadRecord *record, const EepLoadRecord *shifted, GError **error)
{
    g_return_val_if_fail(n_experts > 0, NULL);
    g_return_val_if_fail(options->classes >= 0 && options->classes <= EEP_SKEW_MAX_CLASSES, NULL);
    const gboolean recorded = options->law == EEP_SKEW_RECORDED;
    EepSkewOptions checked = *options;
    const char *key;
    if (recorded && record != NULL) /* whoever hands it over need not name its file */
        checked.load.path = (char *)"record";
    if (!eep_skew_options_check(&checked, &key, error))
        return NULL;

    g_autoptr(EepSkew) self = g_new0(EepSkew, 1);
    self->options = *options;
    self->seed = seed;
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    fill_defaults(&self->options);
    self->is_fixed = is_flat(options) || options->law == EEP_SKEW_NORMAL_ROUTING;
    eep_scores_init(&self->scores, &self->options, seed, n_experts);
    if (!recorded)
        fill_by_law(self);
    else if (!fill_by_record(self, record, "skew.load", &self->source, error))
        return NULL;
    if (recorded && options->drift.kind == EEP_DRIFT_SHIFT &&
        (shifted != NULL || options->drift.load.path != NULL) &&
        !fill_by_record(self, shifted, "skew.drift.load", &self->shifted, error))
        return NULL;
    return g_steal_pointer(&self);
}

void eep_skew_free(EepSkew *skew)
{
    if (skew == NULL)
        return;
    source_clear(&skew->source);
    source_clear(&skew->shifted);
    eep_scores_clear(&skew->scores);
    g_free(skew);
}

guint eep_skew_n_classes(const EepSkew *skew)
{
    return skew->scores.n_classes;
}

gboolean eep_skew_is_one_component(const EepSkew *skew)
{
    return skew->is_fixed ||
           (skew->scores.decode_correlation >= 1.0 &&
            (skew->scores.n_classes == 1 || skew->scores.class_correlation >= 1.0));
}

gboolean eep_skew_is_constant(const EepSkew *skew)
{
    const EepSkewOptions *options = &skew->options;
    return skew->is_fixed || options->drift.kind == EEP_DRIFT_NONE ||
           options->drift.kind == EEP_DRIFT_MIXTURE ||
           (options->drift.kind == EEP_DRIFT_SHIFT && skew->shifted.values == NULL &&
            options->drift.correlation >= 1.0);
}

gboolean eep_skew_layers_are_equal(const EepSkew *skew)
{
    return skew->is_fixed || (skew->scores.layer_correlation >= 1.0 && skew->source.rank == NULL);
}

gboolean eep_skew_with_replacement(const EepSkew *skew)
{
    return skew->options.law == EEP_SKEW_NORMAL_ROUTING;
}

guint64 eep_skew_period(const EepSkew *skew)
{
    return (guint64)skew->options.drift.period;
}

void eep_skew_popularity(const EepSkew *skew, EepTime at, guint component, guint layer,
                         double *ret_p)
{
    const EepSkewOptions *options = &skew->options;
    const guint n = skew->n_experts;
    g_return_if_fail(at >= 0 && component < 2 * skew->scores.n_classes);

    if (skew->is_fixed) {
        memcpy(ret_p, skew->source.values, n * sizeof *ret_p);
        return;
    }
    EepSkewOptions between = *options;
    const Source *source = &skew->source;
    if (skew->shifted.values != NULL) { /* domains are records: nothing is drawn */
        if (eep_drift_domain(options, at) % 2 != 0)
            source = &skew->shifted;
        between.drift.kind = EEP_DRIFT_NONE;
    }
    const gsize row = (gsize)(layer % source->n_layers) * n;
    g_autofree double *scores = g_new(double, n);
    g_autofree guint *rank = g_new(guint, n);
    eep_scores_at(&skew->scores, &between, at, component, layer,
                  source->rank != NULL ? source->rank + row : NULL, scores);
    eep_scores_rank(scores, n, rank);

    guint turn = 0;
    if (options->drift.kind == EEP_DRIFT_ROTATION)
        turn = (guint)((at / options->drift.interval) % n);
    for (guint e = 0; e < n; e++)
        ret_p[(e + turn) % n] = source->values[row + rank[e]];
}

/* Share of its experts that a token has in common with an independent one. */
static double chance_overlap(const EepSkew *skew, const double *p, guint top_k)
{
    const guint n = skew->n_experts;
    g_autofree double *pi = g_new(double, n);
    double sum = 0.0;

    if (eep_skew_with_replacement(skew)) { /* a choice is among top_k others, or is not */
        for (guint e = 0; e < n; e++) {
            double none = 1.0;
            for (guint i = 0; i < top_k; i++)
                none *= 1.0 - p[e];
            sum += p[e] * (1.0 - none);
        }
        return sum;
    }
    eep_inclusion(p, n, top_k, pi);
    for (guint e = 0; e < n; e++)
        sum += pi[e] * pi[e];
    return sum / top_k;
}

double eep_skew_keep(const EepSkew *skew, guint top_k)
{
    const Source *source = &skew->source;
    double chance = 0.0;

    g_return_val_if_fail(top_k > 0 && top_k <= skew->n_experts, 0.0);
    if (skew->options.stickiness <= 0.0)
        return 0.0;
    /* Who is popular makes no difference, so that values by rank will do, at any time. */
    for (guint l = 0; l < source->n_layers; l++)
        chance += chance_overlap(skew, source->values + (gsize)l * skew->n_experts, top_k) /
                  source->n_layers;
    if (skew->options.stickiness <= chance)
        return 0.0;
    return (skew->options.stickiness - chance) / (1.0 - chance);
}

double eep_skew_class_share(const EepSkew *skew, guint request_class, EepTime at)
{
    const EepSkewOptions *options = &skew->options;
    const guint n = skew->scores.n_classes;
    g_return_val_if_fail(request_class < n, 0.0);

    if (options->drift.kind != EEP_DRIFT_MIXTURE)
        return 1.0 / n;
    /* Each class in turn has all requests at one moment of the round; from there its share falls in
     * a line to nothing at the next one's moment. */
    const EepTime interval = options->drift.interval;
    double turn = (double)(at % interval) / (double)interval * n;
    double away = fabs(turn - request_class);
    return fmax(0.0, 1.0 - fmin(away, n - away));
}

guint eep_skew_class_of(const EepSkew *skew, guint64 request, EepTime arrival)
{
    const guint n = skew->scores.n_classes;
    guint64 counter = skew->seed ^ eep_rng_splitmix64(&request);
    double rest = (double)(eep_rng_splitmix64(&counter) >> 11) * 0x1p-53;
    guint request_class = 0;

    for (; request_class + 1 < n; request_class++) {
        rest -= eep_skew_class_share(skew, request_class, arrival);
        if (rest < 0.0)
            break;
    }
    return request_class;
}
