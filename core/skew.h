/* Skew: how popular each routed expert is, before any token is drawn.
 *
 * The scenario's `skew` section as a law over experts. A popularity is the probability with which
 * the next draw picks an expert (sums to 1); how tokens draw from it is the business of the cost
 * models (sim/expert_load.h, sim/expert_sample.h). Pure functions, any thread, nothing owned. */
#ifndef EEP_CORE_SKEW_H
#define EEP_CORE_SKEW_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum { EEP_SKEW_UNIFORM, EEP_SKEW_ZIPF } EepSkewLaw;
typedef enum { EEP_SKEW_LAYERS_INDEPENDENT, EEP_SKEW_LAYERS_SAME } EepSkewLayers;
typedef enum { EEP_SKEW_EXPECTED, EEP_SKEW_SAMPLED } EepSkewMode;

typedef struct {
    gint law;        /* EepSkewLaw */
    double exponent; /* zipf: popularity of rank r (from 1) is proportional to r^-exponent */
    gint layers;     /* EepSkewLayers */
    gint mode; /* EepSkewMode: expected loads, or every token's experts drawn (slow reference) */
} EepSkewOptions;

extern const EepOptionTable eep_skew_options; /* prefix "skew" */

/* Fills ret_p[n_experts] with the popularity of each expert of MoE layer `layer` (from 0); it sums
 * to 1 up to rounding. Which expert holds which Zipf rank is a permutation drawn from the stream
 * "skew" of `seed`: a permutation for each layer, or one for all. */
void eep_skew_popularity(const EepSkewOptions *options, guint64 seed, guint layer, guint n_experts,
                         double *ret_p);

/* TRUE when all layers have the same popularity, so that work for one serves all. */
gboolean eep_skew_layers_are_equal(const EepSkewOptions *options);

G_END_DECLS

#endif
