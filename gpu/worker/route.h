/* Route: which experts a token goes to, in integers, so that host and device agree.
 *
 * Top-k without replacement by popularity: an expert's key is log2(popularity) plus noise (Gumbel),
 * fixed point with EEP_ROUTE_BITS of fraction; the k largest keys win, of equal ones the lower
 * expert. The noise comes from a hash, two logarithms of it from a polynomial. Not the placement:
 * which rank holds an expert is the map's matter. Pure functions, for C and for kernels. */
#ifndef EEP_GPU_WORKER_ROUTE_H
#define EEP_GPU_WORKER_ROUTE_H

#include "gpu/worker/weights.h"

#define EEP_ROUTE_BITS  16
#define EEP_ROUTE_NEVER (-(1 << 30)) /* log2 of a popularity of 0 */

/* -log2(1 - rest / 2^33) for rest in [0, 2^32], with 32 bits of fraction, within 2e-6 of itself: a
 * polynomial of degree 7 (least squares), right at both ends. */
EEP_BOTH uint64_t eep_route_minus_log2(uint64_t rest)
{
    int64_t x = (int64_t)(rest >> 2);
    int64_t sum = 48172086;
    sum = -62084057 + ((sum * x) >> 30);
    sum = 101218133 + ((sum * x) >> 30);
    sum = 72809760 + ((sum * x) >> 30);
    sum = 262417099 + ((sum * x) >> 30);
    sum = 774267440 + ((sum * x) >> 30);
    sum = 3098166835 + ((sum * x) >> 30);
    return ((uint64_t)sum * (rest >> 1)) >> 31;
}

/* log2(value / 2^64) <= 0 with its sign turned, 32 bits of fraction; value > 0. */
EEP_BOTH uint64_t eep_route_minus_log2_of(uint64_t value)
{
    uint32_t zeros = 0;
    while (!(value >> 63)) {
        value <<= 1;
        zeros++;
    }
    /* value is (1 - rest / 2^33) * 2^64, with rest from 0 (2^64) to 2^32 (2^63). */
    uint64_t rest = (0 - value) >> 31;
    return ((uint64_t)zeros << 32) + eep_route_minus_log2(rest);
}

/* log2 of a popularity in (0, 1]; EEP_ROUTE_NEVER for anything else. */
EEP_BOTH int32_t eep_route_log2(float popularity)
{
    if (!(popularity > 0.0f) || popularity > 1.0f)
        return EEP_ROUTE_NEVER;
    /* Below 2^-40 is as good as never, and a float has 24 bits: 2^63 keeps all of them. */
    uint64_t value = (uint64_t)(popularity * 9223372036854775808.0f);
    if (value < (1ull << 23))
        return EEP_ROUTE_NEVER;
    return (1 << EEP_ROUTE_BITS) -
           (int32_t)(eep_route_minus_log2_of(value) >> (32 - EEP_ROUTE_BITS));
}

/* An expert's key: its weight, less log2 of an exponential variable drawn by `random`. */
EEP_BOTH int32_t eep_route_key(int32_t weight, uint64_t random)
{
    uint64_t drawn = eep_route_minus_log2_of(random | 1); /* up to 64 with 32 bits of fraction */
    uint64_t minus_log2 = eep_route_minus_log2_of(drawn | 1);
    return weight + (int32_t)(minus_log2 >> (32 - EEP_ROUTE_BITS));
}

/* TRUE when expert a goes before expert b. */
EEP_BOTH int eep_route_before(int32_t key_a, uint32_t a, int32_t key_b, uint32_t b)
{
    return key_a > key_b || (key_a == key_b && a < b);
}

/* What differs from step to step; kernels read it from memory, so that a captured graph can be
 * replayed. */
typedef struct {
    uint64_t seed;
    uint64_t step;
    uint32_t rank;
    uint32_t n_rows;   /* tokens in all */
    uint32_t n_probes; /* the first ones: the same on every rank, in every step */
    uint32_t unused;
} EepStepFacts;

#define EEP_ROUTE_PROBE_RANK 0xffffffffu

/* A stream of hashes for a token: `matrix` says what for. */
EEP_BOTH uint64_t eep_token_stream(const EepStepFacts *facts, EepMatrix matrix, uint32_t layer,
                                   uint32_t row)
{
    int is_probe = row < facts->n_probes;
    uint64_t key =
        eep_weight_key(facts->seed, layer, is_probe ? EEP_ROUTE_PROBE_RANK : facts->rank, matrix);
    return eep_hash(eep_hash(key, is_probe ? 0 : facts->step), row);
}

/* The weight of a token's j-th expert in the sum: 1 to 2, over about the sum of all k. Words up to
 * n_experts of the token's stream are the experts'. */
EEP_BOTH float eep_route_gate(uint64_t token, uint32_t n_experts, uint32_t j, uint32_t top_k)
{
    uint32_t random = 256u + (uint32_t)(eep_hash(token, n_experts + j) >> 56);
    return (float)random / (float)(384u * top_k);
}

#endif
