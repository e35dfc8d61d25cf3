#include "core/skew.h"

#include "core/math.h"
#include "core/rng.h"

static const EepOption skew_rows[] = {
    {"law", EEP_OPTION_WORD, G_STRUCT_OFFSET(EepSkewOptions, law), "uniform", EEP_NO_BOUNDS,
     "uniform|zipf", NULL, "law of expert popularity"},
    {"exponent", EEP_OPTION_DOUBLE, G_STRUCT_OFFSET(EepSkewOptions, exponent), "0.8", 0.0, 4.0,
     NULL, NULL, "Zipf exponent over popularity ranks; 0 is uniform"},
    {"layers", EEP_OPTION_WORD, G_STRUCT_OFFSET(EepSkewOptions, layers), "independent",
     EEP_NO_BOUNDS, "independent|same", NULL,
     "whether each MoE layer has popular experts of its own"},
    {"mode", EEP_OPTION_WORD, G_STRUCT_OFFSET(EepSkewOptions, mode), "expected", EEP_NO_BOUNDS,
     "expected|sampled", NULL, "expected expert loads, or draw every token's experts (slow)"},
};

const EepOptionTable eep_skew_options = {"skew", sizeof(EepSkewOptions), skew_rows,
                                         G_N_ELEMENTS(skew_rows)};

struct EepSkew {
    EepSkewOptions options;
    guint64 seed;
    guint n_layers, n_experts;
};

EepSkew *eep_skew_new(const EepSkewOptions *options, guint64 seed, guint n_layers, guint n_experts,
                      const EepLoadRecord *record, const EepLoadRecord *shifted, GError **error)
{
    g_return_val_if_fail(n_experts > 0, NULL);
    EepSkew *skew = g_new0(EepSkew, 1);
    skew->options = *options;
    skew->seed = seed;
    skew->n_layers = n_layers;
    skew->n_experts = n_experts;
    return skew;
}

void eep_skew_free(EepSkew *skew)
{
    g_free(skew);
}

guint eep_skew_n_classes(const EepSkew *skew)
{
    return 1;
}

gboolean eep_skew_is_one_component(const EepSkew *skew)
{
    return TRUE;
}

gboolean eep_skew_is_constant(const EepSkew *skew)
{
    return TRUE;
}

gboolean eep_skew_with_replacement(const EepSkew *skew)
{
    return FALSE;
}

double eep_skew_keep(const EepSkew *skew, guint top_k)
{
    return 0.0;
}

guint64 eep_skew_period(const EepSkew *skew)
{
    return 1000;
}

guint eep_skew_class_of(const EepSkew *skew, guint64 request, EepTime arrival)
{
    return 0;
}

gboolean eep_skew_layers_are_equal(const EepSkew *skew)
{
    const EepSkewOptions *options = &skew->options;

    return options->law == EEP_SKEW_UNIFORM || options->exponent == 0.0 ||
           options->layers == EEP_SKEW_LAYERS_SAME;
}

void eep_skew_popularity(const EepSkew *skew, EepTime at, guint component, guint layer,
                         double *ret_p)
{
    const EepSkewOptions *options = &skew->options;
    const guint n_experts = skew->n_experts;

    if (options->law == EEP_SKEW_UNIFORM || options->exponent == 0.0) {
        for (guint e = 0; e < n_experts; e++)
            ret_p[e] = 1.0 / n_experts;
        return;
    }
    double sum = 0.0;
    for (guint e = 0; e < n_experts; e++) {
        ret_p[e] = eep_pow(e + 1.0, -options->exponent);
        sum += ret_p[e];
    }
    for (guint e = 0; e < n_experts; e++)
        ret_p[e] /= sum;

    /* A layer's stream is named after it, so that a layer's popularity does not depend on how many
     * others were asked for before. */
    char stream[24];
    if (options->layers == EEP_SKEW_LAYERS_SAME)
        g_strlcpy(stream, "skew", sizeof stream);
    else
        g_snprintf(stream, sizeof stream, "skew/%u", layer);
    EepRng rng;
    eep_rng_init(&rng, skew->seed, stream);
    for (guint e = n_experts - 1; e > 0; e--) {
        guint other = (guint)eep_rng_below(&rng, e + 1);
        double p = ret_p[e];
        ret_p[e] = ret_p[other];
        ret_p[other] = p;
    }
}
