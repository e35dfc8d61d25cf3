/* Random numbers: xoshiro256** seeded by splitmix64 from (run seed, stream name).
 *
 * One named stream per purpose ("arrivals", "router", ...), so that adding a consumer never shifts
 * the numbers another one draws. Not GRand, not cryptographic, not thread-safe: a stream has one
 * owner. The distributions use only core/math.h, so the same stream gives the same bits on every
 * machine. Generator: Blackman & Vigna, "Scrambled linear pseudorandom number generators" (2021).
 */
#ifndef EEP_CORE_RNG_H
#define EEP_CORE_RNG_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    guint64 state[4];
} EepRng;

void eep_rng_init(EepRng *rng, guint64 seed, const char *stream);
guint64 eep_rng_next(EepRng *rng);                 /* 64 uniform bits */
guint64 eep_rng_below(EepRng *rng, guint64 bound); /* uniform in [0, bound), unbiased; bound > 0 */
double eep_rng_uniform(EepRng *rng);               /* [0, 1), 53 bits */
double eep_rng_exponential(EepRng *rng);           /* mean 1 */
double eep_rng_normal(EepRng *rng);                /* mean 0, variance 1 */
double eep_rng_gamma(EepRng *rng, double shape);   /* mean = shape, scale 1; shape > 0 */

G_END_DECLS

#endif
