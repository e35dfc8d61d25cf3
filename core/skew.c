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

gboolean eep_skew_layers_are_equal(const EepSkewOptions *options)
{
    return options->law == EEP_SKEW_UNIFORM || options->exponent == 0.0 ||
           options->layers == EEP_SKEW_LAYERS_SAME;
}

void eep_skew_popularity(const EepSkewOptions *options, guint64 seed, guint layer, guint n_experts,
                         double *ret_p)
{
    g_return_if_fail(n_experts > 0);
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
    eep_rng_init(&rng, seed, stream);
    for (guint e = n_experts - 1; e > 0; e--) {
        guint other = (guint)eep_rng_below(&rng, e + 1);
        double p = ret_p[e];
        ret_p[e] = ret_p[other];
        ret_p[other] = p;
    }
}
