/* EepMemoryFit: what a GPU of a pool holds, and how many KV blocks remain.
 *
 * vLLM's way: everything that is not KV cache is taken from gpu_memory_utilization x memory, the
 * rest becomes blocks. Sizes are of one GPU (one rank). An estimate, since activations and reserved
 * memory are; not an allocator. Plain values, pure functions, any thread. */
#ifndef EEP_CORE_MEMORY_FIT_H
#define EEP_CORE_MEMORY_FIT_H

#include "core/engine/pool_options.h"
#include "core/hardware.h"
#include "core/model.h"

G_BEGIN_DECLS

typedef struct {
    gint64 hbm_bytes, usable_bytes;                    /* usable: gpu_memory_utilization of it */
    gint64 slots_per_rank, n_moe_layers, expert_bytes; /* one slot is expert_bytes a MoE layer */
    gint64 non_expert_bytes,
        expert_total_bytes; /* weights: the rest, and slots x layers x expert */
    gint64 graph_bytes, reserved_bytes, activation_bytes;
    gint64 bounded_bytes; /* state of window and linear layers of bounded_seqs sequences */
    gint64 bounded_each, max_num_seqs;
    gint64 bounded_seqs; /* max_num_seqs, or as many as half of the room beside the weights holds */
    gint64 kv_bytes;     /* what remains for blocks */
    gint64 kv_bytes_per_token, block_bytes, block_size;
    gint64 num_gpu_blocks; /* of one engine; num_gpu_blocks_override wins */
    gboolean is_override;
} EepMemoryFit;

/* Slots of a rank: (E + num_redundant_experts) / (DP x TP at the start). They do not change when
 * the pool is resized, but by a restart that refits. The division must come out even (checked by
 * the loader). */
gint64 eep_memory_slots_per_rank(const EepModel *model, const EepPoolOptions *options);

/* Fewest engines that can hold every expert: ceil(E / (slots per rank x TP)), which is vLLM's
 * ceil(E * DP / (E + R)). */
gint64 eep_memory_min_data_parallel_size(const EepModel *model, const EepPoolOptions *options);

/* Activations of the largest step: 12 hidden states and the k copies of a token that its experts
 * work on (hidden twice, width twice) in BF16 for each of max_num_batched_tokens, and FP32 logits
 * of max_num_seqs tokens. An estimate in the place of vLLM's profiling run. */
gint64 eep_memory_activation_bytes(const EepModel *model, const EepPoolOptions *options);

/* Fits the pool with `n_ranks` EP ranks. max_num_seqs and max_num_batched_tokens must be resolved
 * (not 0). FALSE, with the arithmetic in the message, when a GPU cannot hold it, when not one block
 * remains, or when n_ranks x slots cannot hold every expert. */
gboolean eep_memory_fit(const EepModel *model, const EepHardware *hardware,
                        const EepPoolOptions *options, gint64 n_ranks, EepMemoryFit *ret,
                        GError **error);

/* The same GPU with other slots a rank, as an engine has that was started anew: what remains for
 * blocks follows. num_gpu_blocks is 0 when nothing remains. A fit without memory (constant-step) or
 * with num_gpu_blocks_override keeps its blocks. */
void eep_memory_fit_with_slots(const EepMemoryFit *fit, gint64 slots_per_rank, EepMemoryFit *ret);

/* The most slots that leave room for a block; G_MAXINT64: any. */
gint64 eep_memory_fit_max_slots(const EepMemoryFit *fit);

/* The arithmetic as text, one line a term, ends in a newline. New string. */
char *eep_memory_fit_to_text(const EepMemoryFit *fit);

/* Resolves max_num_seqs, max_num_batched_tokens and max_model_len where they are 0: vLLM's defaults
 * by GPU memory (API server): 160 GiB and more 1024 and 16384; 70 GiB and more but the A100 1024
 * and 8192; else 256 and 2048 (v1/engine/arg_utils.py, 2026-08). */
void eep_memory_resolve_limits(const EepModel *model, const EepHardware *hardware,
                               EepPoolOptions *options);

G_END_DECLS

#endif
