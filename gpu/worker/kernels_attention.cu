#include "gpu/worker/kernels_common.h"

EEP_KERNEL eep_k_read_kv(const uint64_t *cache, uint64_t cache_words, uint64_t first_word,
                         uint64_t n_words, uint64_t *sink, uint32_t n_sinks)
{
    uint64_t sum = 0;
    if (EEP_THREAD >= n_sinks)
        return;
    uint64_t at = (first_word + EEP_THREAD) % cache_words, stride = n_sinks % cache_words;
    for (uint64_t i = EEP_THREAD; i < n_words; i += n_sinks) {
        sum += cache[at];
        at += stride;
        at -= at >= cache_words ? cache_words : 0;
    }
    sink[EEP_THREAD] = sum;
}

cudaError_t eep_kernel_read_kv(const uint64_t *cache, uint64_t cache_words, uint64_t first_word,
                               uint64_t n_words, uint64_t *sink, uint32_t n_sinks,
                               cudaStream_t stream)
{
    if (cache_words == 0 || n_words == 0)
        return cudaSuccess;
    return eep_launch(eep_k_read_kv, eep_grid(n_sinks), dim3(EEP_BLOCK), 0, stream, cache,
                      cache_words, first_word, n_words, sink, n_sinks);
}
