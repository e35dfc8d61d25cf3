/* Random numbers: xoshiro256** seeded by splitmix64 from (run seed, stream name).
 *
 * One named stream per purpose ("arrivals", "router", ...), so that adding a consumer never shifts
 * the numbers another one draws. Not GRand, not cryptographic, not thread-safe: a stream has one
 * owner. The struct is a plain value (copying it forks the stream), it owns nothing. The
 * distributions use only core/math.h, so the same stream gives the same bits on every machine.
 * Generator: Blackman & Vigna, "Scrambled linear pseudorandom number generators" (2021). */
#ifndef EEP_CORE_RNG_H
#define EEP_CORE_RNG_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    guint64 state[4];
} EepRng;

/* Starts the stream of that name. The four words are successive outputs of splitmix64 whose counter
 * starts at splitmix64's first output for `seed`, exclusive-or the FNV-1a-64 hash of the name's
 * bytes. */
void eep_rng_init(EepRng *rng, guint64 seed, const char *stream);

/* Advances the counter and returns splitmix64's next output. Steele, Lea & Flood, "Fast splittable
 * pseudorandom number generators" (2014), with Stafford's mix 13. */
guint64 eep_rng_splitmix64(guint64 *counter);

/* 64 uniform bits. */
static inline guint64 eep_rng_next(EepRng *rng)
{
    guint64 *s = rng->state;
    guint64 scrambled = s[1] * 5, shifted = s[1] << 17;

    scrambled = ((scrambled << 7) | (scrambled >> 57)) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return scrambled;
}

/* [0, 1), 53 bits; one draw. */
static inline double eep_rng_uniform(EepRng *rng)
{
    return (double)(eep_rng_next(rng) >> 11) * 0x1p-53;
}

guint64 eep_rng_below(EepRng *rng, guint64 bound); /* uniform in [0, bound), unbiased; bound > 0 */
double eep_rng_exponential(EepRng *rng);           /* mean 1; one draw */
double eep_rng_normal(EepRng *rng);                /* mean 0, variance 1; one draw */

/* Gamma distribution with scale 1: mean = variance = shape; shape > 0. Draws a varying number of
 * times. Marsaglia & Tsang, "A simple method for generating gamma variables" (2000). */
double eep_rng_gamma(EepRng *rng, double shape);

G_END_DECLS

#endif
