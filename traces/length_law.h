/* A law for the number of tokens of a prompt or an output, and the sampler that draws from it.
 *
 * One draw of the generator a sample (uniform: nearly always), whatever the parameters. Values, no
 * ownership; a sampler belongs to one thread. The same law and stream give the same tokens
 * anywhere. */
#ifndef EEP_TRACES_LENGTH_LAW_H
#define EEP_TRACES_LENGTH_LAW_H

#include "core/rng.h"

G_BEGIN_DECLS

typedef enum {
    EEP_LENGTH_CONSTANT,    /* `value` */
    EEP_LENGTH_UNIFORM,     /* whole numbers from `min` to `max`, both included */
    EEP_LENGTH_LOGNORMAL,   /* median `p50`, 99th percentile `p99` */
    EEP_LENGTH_EXPONENTIAL, /* mean `mean` */
} EepLengthKind;

/* Words of the enum above, in its order, NULL at the end. */
extern const char *const eep_length_words[];

typedef struct {
    EepLengthKind kind;
    guint32 value;
    double p50, p99;
    double mean;
    /* Bounds, >= 1; 0 = none (not for UNIFORM). A draw beyond one becomes the bound: it is not
     * redrawn, so the median is what it was. */
    guint32 min, max;
} EepLengthLaw;

typedef struct {
    EepLengthLaw law;
    double mu, sigma; /* lognormal: of the logarithm */
    double low, high; /* bounds of a draw */
} EepLengthSampler;

/* `key` names the law in messages ("input_tokens"). FALSE with error EEP_TRACE_ERROR_OPTION if a
 * parameter is out of its range; ret_sampler is then untouched. */
gboolean eep_length_sampler_init(EepLengthSampler *ret_sampler, const EepLengthLaw *law,
                                 const char *key, GError **error);

/* One number of tokens, >= 1: the law's value rounded to the nearest whole number. */
guint32 eep_length_sampler_draw(const EepLengthSampler *sampler, EepRng *rng);

G_END_DECLS

#endif
