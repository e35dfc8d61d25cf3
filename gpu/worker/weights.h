/* Weights: what every parameter of the synthetic model is, as a function of where it stands.
 *
 * bf16 values of a counter-based hash of (seed, layer, expert, matrix, row, column): one 64-bit
 * word gives the four values that lie in it. Magnitudes follow the number of columns, so that an
 * output is about as large as its inputs. An expert is one piece of memory: gate and up (2I rows of
 * H), then down (H rows of I), each row-major and padded with zeros to EEP_WEIGHT_ALIGN. The same
 * functions run on the host and in kernels_weights.cu. Not where the weights live (moe_slots.c).
 * Pure functions. */
#ifndef EEP_GPU_WORKER_WEIGHTS_H
#define EEP_GPU_WORKER_WEIGHTS_H

#include "gpu/worker/numbers.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EEP_WEIGHT_ALIGN 256

typedef enum {
    EEP_MATRIX_GATE_UP,
    EEP_MATRIX_DOWN,
    EEP_MATRIX_SHARED, /* the layer's non-expert weights */
    EEP_MATRIX_INPUT,  /* what tokens begin with */
    EEP_MATRIX_ROUTER,
} EepMatrix;

/* A matrix as its memory words are made. */
typedef struct {
    uint64_t key;
    uint64_t n_elements; /* words beyond are zeros */
    int32_t exponent;    /* values are of magnitude [2^(exponent-3), 2^(exponent+1)) */
} EepWeightRule;

/* What the other functions are keyed by; `expert` is 0 for a matrix that belongs to none. */
EEP_BOTH uint64_t eep_weight_key(uint64_t seed, uint32_t layer, uint32_t expert, EepMatrix matrix)
{
    uint64_t key = eep_hash(seed, (uint64_t)matrix);
    return eep_hash(eep_hash(key, layer), expert);
}

EEP_BOTH uint16_t eep_weight_bf16(uint32_t random, int32_t exponent)
{
    uint32_t biased = (uint32_t)(127 + exponent) - ((random >> 7) & 3u);
    return (uint16_t)((random & 0x8000u) | (biased << 7) | (random & 0x7fu));
}

/* Memory word `index`: elements 4 * index to 4 * index + 3, the first in the lowest bits. */
EEP_BOTH uint64_t eep_weight_word(const EepWeightRule *rule, uint64_t index)
{
    uint64_t random = eep_hash(rule->key, index), word = 0;
    for (uint32_t i = 0; i < 4; i++) {
        if (4 * index + i < rule->n_elements)
            word |=
                (uint64_t)eep_weight_bf16((uint32_t)(random >> (16 * i)) & 0xffffu, rule->exponent)
                << (16 * i);
    }
    return word;
}

/* A word's part of a checksum; the sum does not depend on the order in which it is taken, but on
 * where each word lies. */
EEP_BOTH uint64_t eep_checksum_term(uint64_t word, uint64_t index)
{
    return eep_mix(word ^ eep_hash(0, index));
}

/* An expert's memory. */
typedef struct {
    uint64_t gate_up_bytes, bytes; /* down begins at gate_up_bytes; both of EEP_WEIGHT_ALIGN */
    EepWeightRule gate_up, down;
} EepExpertLayout;

void eep_weights_expert(uint64_t seed, uint32_t layer, uint32_t expert, uint32_t hidden,
                        uint32_t intermediate, EepExpertLayout *ret_layout);

/* The rule of a layer's `bytes` of non-expert weights. */
EepWeightRule eep_weights_shared(uint64_t seed, uint32_t layer, uint32_t hidden, uint64_t bytes);

/* The sum over memory on the host, and over words that were never stored. */
uint64_t eep_weights_checksum(const uint64_t *words, uint64_t n_words);
uint64_t eep_weights_expert_checksum(const EepExpertLayout *layout);

#ifdef __cplusplus
}
#endif

#endif
