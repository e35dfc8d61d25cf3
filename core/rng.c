#include "core/rng.h"

#include <math.h>

#include "core/math.h"

__extension__ typedef unsigned __int128 Wide;

/* Fowler, Noll & Vo; offset basis and prime: RFC 9923. */
static guint64 fnv1a64(const char *text)
{
    guint64 hash = G_GUINT64_CONSTANT(0xcbf29ce484222325);

    for (const guchar *c = (const guchar *)text; *c; c++)
        hash = (hash ^ *c) * G_GUINT64_CONSTANT(0x100000001b3);
    return hash;
}

guint64 eep_rng_splitmix64(guint64 *counter)
{
    guint64 z = (*counter += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void eep_rng_init(EepRng *rng, guint64 seed, const char *stream)
{
    g_return_if_fail(rng && stream);

    guint64 counter = eep_rng_splitmix64(&seed) ^ fnv1a64(stream);

    /* Never all zero: splitmix64 gives zero for one counter value only. */
    for (int i = 0; i < 4; i++)
        rng->state[i] = eep_rng_splitmix64(&counter);
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of a product, drawn
 * again in the few cases that would make some values likelier. */
guint64 eep_rng_below(EepRng *rng, guint64 bound)
{
    g_return_val_if_fail(bound > 0, 0);

    Wide product = (Wide)eep_rng_next(rng) * bound;
    if ((guint64)product < bound) {
        guint64 threshold = -bound % bound;
        while ((guint64)product < threshold)
            product = (Wide)eep_rng_next(rng) * bound;
    }
    return (guint64)(product >> 64);
}

/* (0, 1), symmetric about one half: 52 bits and a half, exactly. */
static double uniform_open(EepRng *rng)
{
    return ((double)(eep_rng_next(rng) >> 12) + 0.5) * 0x1p-52;
}

double eep_rng_exponential(EepRng *rng)
{
    return -eep_log(1.0 - eep_rng_uniform(rng));
}

/* By inversion, so that every number costs one draw and streams stay aligned. */
double eep_rng_normal(EepRng *rng)
{
    return eep_normal_quantile(uniform_open(rng));
}

double eep_rng_gamma(EepRng *rng, double shape)
{
    g_return_val_if_fail(shape > 0.0, 0.0);

    /* Below 1: gamma(shape) = gamma(shape + 1) * U^(1 / shape) (their section 6). */
    double boost = 1.0;
    if (shape < 1.0) {
        boost = eep_pow(uniform_open(rng), 1.0 / shape);
        shape += 1.0;
    }

    double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = eep_rng_normal(rng), v = 1.0 + c * x;
        if (v <= 0.0)
            continue;
        v = v * v * v;
        double u = uniform_open(rng), x2 = x * x;
        /* The squeeze spares most of the logarithms. */
        if (u < 1.0 - 0.0331 * x2 * x2 || eep_log(u) < 0.5 * x2 + d * (1.0 - v + eep_log(v)))
            return boost * d * v;
    }
}
