/* EepSkew: how popular each routed expert is, at any time, before any token is drawn.
 *
 * Laws, what drifts and how parts are correlated: docs/eplb_skew.md. A popularity is the
 * probability with which the next draw picks an expert (sums to 1); how tokens draw from it is the
 * business of the cost models (sim/). It is a pure function of time, component and layer: asking
 * twice, or in another order, gives the same. A component is a kind of token: request class x
 * (prefill, decode); they differ only where the options say so.
 *
 * Popularity of a run is piecewise constant: whoever advances virtual time asks again every
 * drift.period steps and counts versions; this object knows nothing of steps. Immutable once made;
 * any thread may ask. */
#ifndef EEP_CORE_SKEW_H
#define EEP_CORE_SKEW_H

#include "core/load_record.h"
#include "core/options.h"

G_BEGIN_DECLS

#define EEP_SKEW_MAX_CLASSES 4

typedef enum {
    EEP_SKEW_UNIFORM,
    EEP_SKEW_ZIPF,           /* by rank */
    EEP_SKEW_UNIFORM_RANDOM, /* vLLM's routing simulator; as uniform */
    EEP_SKEW_NORMAL_ROUTING, /* vLLM's routing simulator */
    EEP_SKEW_POWER_LAW,      /* loads drawn from a power law's density */
    EEP_SKEW_LOGNORMAL,
    EEP_SKEW_RECORDED, /* counts of an EepLoadRecord */
} EepSkewLaw;
typedef enum { EEP_SKEW_LAYERS_INDEPENDENT, EEP_SKEW_LAYERS_SAME } EepSkewLayers;
typedef enum { EEP_SKEW_EXPECTED, EEP_SKEW_SAMPLED } EepSkewMode;
typedef enum {
    EEP_DRIFT_NONE,
    EEP_DRIFT_RANDOM_WALK,
    EEP_DRIFT_ROTATION,
    EEP_DRIFT_SHIFT,
    EEP_DRIFT_MIXTURE,
} EepDriftKind;
typedef enum {
    EEP_SKEW_LOAD_AUTO,
    EEP_SKEW_LOAD_JSON,
    EEP_SKEW_LOAD_CSV,
    EEP_SKEW_LOAD_ROUTES,
} EepSkewLoadFormat;

/* A file of recorded load; who reads it is traces/load_file.h. */
typedef struct {
    char *path;    /* NULL: none */
    gint format;   /* EepSkewLoadFormat */
    gint64 top_k;  /* experts of a token, which counts and raw routes do not say; 0: unknown */
    gint64 layers; /* MoE layers of raw routes, which do not say it either; 0: unknown */
} EepSkewLoadOptions;

/* A struct that was filled by hand rather than from the table may leave all behind `layers` zero:
 * where `classes` is 0, all components are alike, and a period of 0 is the default. */
typedef struct {
    gint law;        /* EepSkewLaw */
    double exponent; /* zipf: popularity of rank r (from 1) is proportional to r^-exponent */
    gint layers;     /* EepSkewLayers */
    gint mode; /* EepSkewMode: expected loads, or every token's experts drawn (slow reference) */

    double alpha;              /* power_law: of the density x^-alpha; 0: balanced */
    double spread;             /* power_law: largest over smallest load of the density's support */
    double sigma;              /* lognormal: standard deviation of the load's logarithm */
    double layer_correlation;  /* of the scores of two layers (docs/eplb_skew.md) */
    double decode_correlation; /* of the scores of prefill and decode */
    gint64 classes;
    double class_correlation; /* of the scores of two classes */
    double stickiness; /* share of its experts that a token has in common with the one before it */
    struct {
        gint kind; /* EepDriftKind */
        gint64 period;
        EepTime half_life;       /* random_walk: the scores' correlation over it is 1/2 */
        EepTime interval;        /* rotation: until the next expert's turn; mixture: of one round */
        EepTime at;              /* shift: the first */
        EepTime every;           /* shift: between further ones; 0: none */
        double correlation;      /* shift: of the scores before and after */
        EepSkewLoadOptions load; /* shift of law recorded: the other record */
    } drift;
    EepSkewLoadOptions load; /* law recorded */
} EepSkewOptions;

extern const EepOptionTable eep_skew_options; /* prefix "skew" */

/* FALSE where options contradict each other; *ret_key is the key below "skew" that the message is
 * about, constant text, written on failure only. */
gboolean eep_skew_options_check(const EepSkewOptions *options, const char **ret_key,
                                GError **error);

typedef struct EepSkew EepSkew;

/* n_layers MoE layers of n_experts. `record`: counts of law recorded (a layer beyond the record's
 * takes record layer l mod L); `shifted`: counts after a domain shift to another record; both
 * nullable where no option asks for them, not looked at afterwards. Where a record says its top_k,
 * popularity is such that tokens of that many distinct experts reproduce the counts; otherwise it
 * is in proportion to them. Refuses a record of another number of experts, or with a layer without
 * counts, and options that contradict each other. */
EepSkew *eep_skew_new(const EepSkewOptions *options, guint64 seed, guint n_layers, guint n_experts,
                      const EepLoadRecord *record, const EepLoadRecord *shifted, GError **error);
void eep_skew_free(EepSkew *skew); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepSkew, eep_skew_free)

/* Request classes, in [1, EEP_SKEW_MAX_CLASSES]; components are 2 * class + is_decode. */
guint eep_skew_n_classes(const EepSkew *skew);

static inline guint eep_skew_component(guint request_class, gboolean is_decode)
{
    return 2 * request_class + (is_decode ? 1 : 0);
}

/* TRUE when all components always have the same popularity, so that nobody need tell them apart. */
gboolean eep_skew_is_one_component(const EepSkew *skew);

/* TRUE when popularity never changes. */
gboolean eep_skew_is_constant(const EepSkew *skew);

/* Fills ret_p [n_experts]; sums to 1 up to rounding, every entry > 0. */
void eep_skew_popularity(const EepSkew *skew, EepTime at, guint component, guint layer,
                         double *ret_p);

/* TRUE when all layers have the same popularity at any time, so that work for one serves all. */
gboolean eep_skew_layers_are_equal(const EepSkew *skew);

/* TRUE: a token may pick one expert several times (vLLM's normal_routing); FALSE: top-k distinct.
 */
gboolean eep_skew_with_replacement(const EepSkew *skew);

/* Share of its experts that a token keeps of the token before it in the same request, in [0, 1);
 * the rest is drawn anew. 0: independent tokens. Two independent tokens already share c = sum of
 * pi_e^2 / top_k of their experts (pi: how often a token picks expert e), so that skew.stickiness s
 * is reached by keeping (s - c) / (1 - c), or nothing where c is above s. c is the mean over
 * layers. */
double eep_skew_keep(const EepSkew *skew, guint top_k);

/* Steps between two looks at popularity (drift.period); >= 1. */
guint64 eep_skew_period(const EepSkew *skew);

/* The class of a request, by its number in the workload and the time of its arrival: the traffic's
 * mixture of tasks. */
guint eep_skew_class_of(const EepSkew *skew, guint64 request, EepTime arrival);

/* Share of requests that arrive at that time which are of the class; sums to 1. */
double eep_skew_class_share(const EepSkew *skew, guint request_class, EepTime at);

G_END_DECLS

#endif
