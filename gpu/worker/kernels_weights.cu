#include "gpu/worker/kernels_common.h"
#include "gpu/worker/route.h"

#define WORDS_A_THREAD 16

EEP_KERNEL eep_k_fill(uint64_t *words, uint64_t n_words, EepWeightRule rule)
{
    uint64_t index = EEP_THREAD;
    if (index < n_words)
        words[index] = eep_weight_word(&rule, index);
}

cudaError_t eep_kernel_fill(uint64_t *words, uint64_t n_words, EepWeightRule rule,
                            cudaStream_t stream)
{
    if (n_words == 0)
        return cudaSuccess;
    return eep_launch(eep_k_fill, eep_grid(n_words), dim3(EEP_BLOCK), 0, stream, words, n_words,
                      rule);
}

EEP_KERNEL eep_k_checksum(const uint64_t *words, uint64_t n_words, uint64_t n_threads,
                          unsigned long long *sum)
{
    uint64_t part = 0;
    if (EEP_THREAD >= n_threads)
        return;
    for (uint64_t i = EEP_THREAD; i < n_words; i += n_threads)
        part += eep_checksum_term(words[i], i);
    atomicAdd(sum, (unsigned long long)part);
}

cudaError_t eep_kernel_checksum(const uint64_t *words, uint64_t n_words, uint64_t *sum,
                                cudaStream_t stream)
{
    uint64_t n_threads = (n_words + WORDS_A_THREAD - 1) / WORDS_A_THREAD;
    if (n_words == 0)
        return cudaSuccess;
    return eep_launch(eep_k_checksum, eep_grid(n_threads), dim3(EEP_BLOCK), 0, stream, words,
                      n_words, n_threads, (unsigned long long *)sum);
}

/* A thread makes four values. */
EEP_KERNEL eep_k_input(const EepStepFacts *facts, uint64_t *rows, uint32_t max_rows,
                       uint32_t hidden, uint32_t pitch)
{
    uint32_t words = pitch / 4;
    uint64_t row = EEP_THREAD / words, word = EEP_THREAD % words;
    if (row >= max_rows || row >= facts->n_rows)
        return;
    uint64_t key = eep_token_stream(facts, EEP_MATRIX_INPUT, 0, (uint32_t)row);
    EepWeightRule rule = {key, hidden, 0};
    rows[row * words + word] = eep_weight_word(&rule, word);
}

cudaError_t eep_kernel_input(const EepStepFacts *facts, uint16_t *rows, uint32_t max_rows,
                             uint32_t hidden, uint32_t pitch, cudaStream_t stream)
{
    return eep_launch(eep_k_input, eep_grid((uint64_t)max_rows * (pitch / 4)), dim3(EEP_BLOCK), 0,
                      stream, facts, (uint64_t *)rows, max_rows, hidden, pitch);
}
