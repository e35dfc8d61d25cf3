#include "traces/length_law.h"

#include "core/math.h"
#include "traces/trace.h"

const char *const eep_length_words[] = {"constant", "uniform", "lognormal", "exponential", NULL};

static gboolean token_count(double tokens)
{
    return tokens >= 1 && tokens <= (double)G_MAXUINT32;
}

/* What is wrong with the law and what is allowed, or NULL. */
static const char *find_fault(const EepLengthLaw *law)
{
    if (law->max != 0 && law->min > law->max)
        return "has min above max: min up to max is allowed; try leaving one out";
    switch (law->kind) {
    case EEP_LENGTH_CONSTANT:
        return law->value >= 1 ? NULL : "is 0: 1 to 4294967295 tokens is allowed; try 100";
    case EEP_LENGTH_UNIFORM:
        return law->min >= 1 ? NULL
                             : "uniform has no bounds: min of at least 1 and max is allowed; "
                               "try {min: 100, max: 1000}";
    case EEP_LENGTH_LOGNORMAL:
        return token_count(law->p50) && token_count(law->p99) && law->p50 <= law->p99
                   ? NULL
                   : "lognormal is out of range: 1 <= p50 <= p99 <= 4294967295 is allowed; "
                     "try {p50: 1000, p99: 8000}";
    case EEP_LENGTH_EXPONENTIAL:
        return token_count(law->mean) ? NULL
                                      : "exponential is out of range: a mean from 1 to 4294967295 "
                                        "is allowed; try {mean: 300}";
    }
    return "has an unknown law: constant, uniform, lognormal or exponential is allowed; try "
           "constant";
}

gboolean eep_length_sampler_init(EepLengthSampler *ret_sampler, const EepLengthLaw *law,
                                 const char *key, GError **error)
{
    g_return_val_if_fail(ret_sampler != NULL && law != NULL && key != NULL, FALSE);
    const char *fault = find_fault(law);
    if (fault == NULL && law->kind == EEP_LENGTH_UNIFORM && law->max == 0)
        fault = "uniform has no max: min and max is allowed; try {min: 100, max: 1000}";
    if (fault != NULL) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION, "synthetic.%s %s", key, fault);
        return FALSE;
    }
    *ret_sampler = (EepLengthSampler){
        .law = *law,
        .low = MAX(law->min, 1),
        .high = law->max != 0 ? law->max : G_MAXUINT32,
    };
    if (law->kind == EEP_LENGTH_LOGNORMAL) {
        ret_sampler->mu = eep_log(law->p50);
        ret_sampler->sigma = eep_log(law->p99 / law->p50) / eep_normal_quantile(0.99);
    }
    return TRUE;
}

guint32 eep_length_sampler_draw(const EepLengthSampler *sampler, EepRng *rng)
{
    const EepLengthLaw *law = &sampler->law;
    double tokens = 0;
    switch (law->kind) {
    case EEP_LENGTH_CONSTANT:
        tokens = law->value;
        break;
    case EEP_LENGTH_UNIFORM:
        return law->min + (guint32)eep_rng_below(rng, (guint64)law->max - law->min + 1);
    case EEP_LENGTH_LOGNORMAL:
        tokens = eep_exp(sampler->mu + sampler->sigma * eep_rng_normal(rng));
        break;
    case EEP_LENGTH_EXPONENTIAL:
        tokens = law->mean * eep_rng_exponential(rng);
        break;
    }
    if (tokens <= sampler->low)
        return (guint32)sampler->low;
    if (tokens >= sampler->high)
        return (guint32)sampler->high;
    return (guint32)(tokens + 0.5);
}
