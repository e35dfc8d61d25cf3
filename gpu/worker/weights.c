#include "gpu/worker/weights.h"

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + EEP_WEIGHT_ALIGN - 1) / EEP_WEIGHT_ALIGN * EEP_WEIGHT_ALIGN;
}

/* About 1 / sqrt(n_columns). */
static int32_t fan_in_exponent(uint32_t n_columns)
{
    int32_t bits = 0;
    while (bits < 31 && (n_columns >> (bits + 1)) != 0)
        bits++;
    return -((bits + 1) / 2);
}

void eep_weights_expert(uint64_t seed, uint32_t layer, uint32_t expert, uint32_t hidden,
                        uint32_t intermediate, EepExpertLayout *ret_layout)
{
    uint64_t n_down = (uint64_t)hidden * intermediate;
    ret_layout->gate_up = (EepWeightRule){
        eep_weight_key(seed, layer, expert, EEP_MATRIX_GATE_UP),
        2 * n_down,
        fan_in_exponent(hidden),
    };
    ret_layout->down = (EepWeightRule){
        eep_weight_key(seed, layer, expert, EEP_MATRIX_DOWN),
        n_down,
        fan_in_exponent(intermediate),
    };
    ret_layout->gate_up_bytes = aligned(4 * n_down);
    ret_layout->bytes = ret_layout->gate_up_bytes + aligned(2 * n_down);
}

EepWeightRule eep_weights_shared(uint64_t seed, uint32_t layer, uint32_t hidden, uint64_t bytes)
{
    return (EepWeightRule){
        eep_weight_key(seed, layer, 0, EEP_MATRIX_SHARED),
        bytes / 2,
        fan_in_exponent(hidden),
    };
}

uint64_t eep_weights_checksum(const uint64_t *words, uint64_t n_words)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_words; i++)
        sum += eep_checksum_term(words[i], i);
    return sum;
}

uint64_t eep_weights_expert_checksum(const EepExpertLayout *layout)
{
    uint64_t sum = 0, n_gate_up = layout->gate_up_bytes / 8, n_words = layout->bytes / 8;
    for (uint64_t i = 0; i < n_gate_up; i++)
        sum += eep_checksum_term(eep_weight_word(&layout->gate_up, i), i);
    for (uint64_t i = n_gate_up; i < n_words; i++)
        sum += eep_checksum_term(eep_weight_word(&layout->down, i - n_gate_up), i);
    return sum;
}
