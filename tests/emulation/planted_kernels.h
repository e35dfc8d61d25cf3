/* Kernels for the emulation's tests; each launcher gives the status of the launch. */
#ifndef EEP_TESTS_EMULATION_PLANTED_KERNELS_H
#define EEP_TESTS_EMULATION_PLANTED_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- right ones -- */

/* out[i] of each thread of the grid, i counting x, y, z of block and grid: its indices, folded. */
cudaError_t planted_indices(uint64_t *out, dim3 grid, dim3 block, cudaStream_t stream);
uint64_t planted_fold(const uint32_t thread[3], const uint32_t block[3]);
/* out[b] = sum of the block's 256 values, by a tree in dynamic shared memory. */
cudaError_t planted_block_sums(const uint32_t *in, uint64_t *out, uint32_t n_blocks,
                               cudaStream_t stream);
/* Each block of n <= 256 values turned round, through static shared memory. */
cudaError_t planted_reverse(uint32_t *values, uint32_t n, uint32_t n_blocks, cudaStream_t stream);
/* The four shuffles of lane values, 4 x 32 a warp, and ballot, any, all. */
cudaError_t planted_shuffles(const float *in, float *out, int width, cudaStream_t stream);
cudaError_t planted_votes(const int32_t *in, uint32_t *out, uint32_t n_threads,
                          cudaStream_t stream);
/* The halves of a warp sum apart from each other, in different turns of a loop. */
cudaError_t planted_half_warps(const uint32_t *in, uint32_t *out, cudaStream_t stream);
cudaError_t planted_count(uint32_t *counter, uint64_t *wide, uint32_t n_blocks,
                          cudaStream_t stream);
/* order[ticket] = thread, in the order in which a block's threads run. */
cudaError_t planted_order(uint32_t *ticket, uint32_t *order, uint32_t n, cudaStream_t stream);
cudaError_t planted_add(float *values, double add, uint32_t n, cudaStream_t stream);
cudaError_t planted_scale(float *values, float by, uint32_t n, cudaStream_t stream);

/* -- wrong ones -- */

cudaError_t planted_barrier_for_some(uint32_t *out, cudaStream_t stream); /* the others end */
cudaError_t planted_two_barriers(uint32_t *out, cudaStream_t stream);     /* by branch */
cudaError_t planted_absent_lane(uint32_t *out, cudaStream_t stream);
cudaError_t planted_barrier_and_warp(uint32_t *out, cudaStream_t stream);
cudaError_t planted_write_at(uint32_t *out, int64_t at, cudaStream_t stream);
cudaError_t planted_divide(uint32_t *out, uint32_t by, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
