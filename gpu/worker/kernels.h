/* Kernels: the launchers of all kernels of the worker, in C.
 *
 * Each enqueues on `stream` and returns the launch's status; sizes of 0 launch nothing. Results do
 * not depend on how threads are scheduled: sums are of integers or in a fixed order. Rows of
 * activations are bf16, EEP_ROW_ALIGN elements at a time, padded with zeros. All pointers are to
 * device memory. Not the order of things (moe_layer.c). Any thread, one at a time a stream. */
#ifndef EEP_GPU_WORKER_KERNELS_H
#define EEP_GPU_WORKER_KERNELS_H

#include "gpu/worker/route.h"
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EEP_ROW_ALIGN     8   /* elements of a row that move at once: 16 bytes */
#define EEP_PERMUTE_CHUNK 128 /* pairs that are put in order by looking at each other */
#define EEP_NO_ROW        0xffffffffu

/* -- kernels_weights.cu -- */

cudaError_t eep_kernel_fill(uint64_t *words, uint64_t n_words, EepWeightRule rule,
                            cudaStream_t stream);
/* Adds to *sum. */
cudaError_t eep_kernel_checksum(const uint64_t *words, uint64_t n_words, uint64_t *sum,
                                cudaStream_t stream);
/* Rows of the tokens before the first layer. */
cudaError_t eep_kernel_input(const EepStepFacts *facts, uint16_t *rows, uint32_t max_rows,
                             uint32_t hidden, uint32_t pitch, cudaStream_t stream);

/* -- kernels_attention.cu -- */

/* Reads `bytes` of the cache from `offset` on, round and round; leaves sums in sink[0, n_sinks). */
cudaError_t eep_kernel_read_kv(const uint64_t *cache, uint64_t cache_words, uint64_t first_word,
                               uint64_t n_words, uint64_t *sink, uint32_t n_sinks,
                               cudaStream_t stream);

/* -- kernels_route.cu -- */

typedef struct {
    const EepStepFacts *facts;
    const int32_t *weights; /* [n_experts] log2 of popularity */
    uint32_t layer, n_experts, top_k, max_rows;
    int32_t *keys;     /* [max_rows, n_experts] */
    uint32_t *experts; /* [max_rows, top_k]: chosen, best first; EEP_NO_ROW in rows beyond */
    uint32_t *load;    /* [n_experts], added to: pairs of the batch */
} EepRouteArgs;

cudaError_t eep_kernel_route(const EepRouteArgs *args, cudaStream_t stream);

/* Which slot of which rank computes a pair: the expert's replicas take turns. */
typedef struct {
    const EepStepFacts *facts;
    const uint32_t *experts;       /* [max_rows, top_k] */
    const uint32_t *first_replica; /* [n_experts + 1] */
    const uint32_t *replicas;      /* slots, by expert */
    uint32_t top_k, max_rows;
    uint32_t *slots; /* [max_rows, top_k]; EEP_NO_ROW: nobody has the expert */
} EepReplicaArgs;

cudaError_t eep_kernel_replicas(const EepReplicaArgs *args, cudaStream_t stream);

/* -- kernels_permute.cu -- */

/* A stable sort of pairs by slot. */
typedef struct {
    const uint32_t *slots; /* [n_pairs] */
    uint32_t n_pairs, n_slots;
    uint32_t *chunk_counts; /* [n_pairs / EEP_PERMUTE_CHUNK, rounded up][n_slots] */
    uint32_t *counts;       /* [n_slots]: pairs of each */
    uint32_t *first_rows;   /* [n_slots]: how many before */
    uint32_t *positions;    /* [n_pairs]: the pair's row among all; EEP_NO_ROW */
} EepPermuteArgs;

cudaError_t eep_kernel_permute(const EepPermuteArgs *args, cudaStream_t stream);

/* to[positions[pair]] = from[pair / top_k] */
cudaError_t eep_kernel_gather_pairs(const uint32_t *positions, uint32_t n_pairs, uint32_t top_k,
                                    const uint16_t *from, uint16_t *to, uint32_t pitch,
                                    cudaStream_t stream);

/* A run of rows that lie together on both sides. */
typedef struct {
    uint32_t n_rows_before; /* in expert order, of all earlier segments */
    uint32_t first;         /* where the run begins in the order of arrival */
} EepSegment;

/* Between order of arrival and order of experts. is_back: to arrival. */
typedef struct {
    const EepSegment *segments;
    uint32_t n_segments, n_rows;
    const uint16_t *from;
    uint16_t *to;
    uint32_t pitch;
    int32_t is_back;
} EepRegroupArgs;

cudaError_t eep_kernel_regroup(const EepRegroupArgs *args, cudaStream_t stream);

/* -- kernels_expert.cu -- */

/* to[row][i] = silu(from[row][i]) * from[row][n + i] */
cudaError_t eep_kernel_swiglu(const uint16_t *from, uint32_t n_rows, uint32_t n, uint16_t *to,
                              uint32_t to_pitch, cudaStream_t stream);

/* One product of a grouped GEMM: c[rows, n] = a[rows, k] * b[n, k]^T. */
typedef struct {
    const uint16_t *a, *b;
    uint16_t *c;
    uint32_t n_rows;
    uint32_t first_row; /* of all groups before */
} EepGemmGroup;

typedef struct {
    const EepGemmGroup *groups; /* NULL: `only` */
    EepGemmGroup only;
    uint32_t n_groups, n_rows; /* rows of all groups */
    uint32_t n, k, a_pitch, b_pitch, c_pitch;
} EepGemmArgs;

/* The fall-back: a thread an element, products added in the order of k. */
cudaError_t eep_kernel_gemm(const EepGemmArgs *args, cudaStream_t stream);

/* sums[row] and `values` of base + (what is added), then rows = values over their root mean square.
 * What is added: rows of `added` themselves (attention: top_k 0), or each row's experts' outputs by
 * their gates, in order of k (combine). */
typedef struct {
    const EepStepFacts *facts;
    uint32_t layer, n_experts, top_k, max_rows, hidden, pitch;
    const uint16_t *base;      /* [max_rows][pitch] */
    const uint16_t *added;     /* nullable */
    const uint32_t *positions; /* [max_rows, top_k] rows of `added`; EEP_NO_ROW: nothing */
    float *values;             /* [max_rows][pitch] */
    uint64_t *sums;            /* [max_rows] */
    uint16_t *rows;            /* [max_rows][pitch]: the result */
} EepMergeArgs;

cudaError_t eep_kernel_merge(const EepMergeArgs *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
