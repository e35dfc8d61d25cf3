/* A counting sort without any order of its own: chunks of pairs count their slots, sums over chunks
 * and slots give each its beginning, and a pair looks at those before it in its chunk. */
#include "gpu/worker/kernels_common.h"

EEP_KERNEL eep_k_permute_count(EepPermuteArgs args)
{
    uint64_t chunk = EEP_THREAD / args.n_slots;
    uint32_t slot = (uint32_t)(EEP_THREAD % args.n_slots), count = 0;
    uint64_t begin = chunk * EEP_PERMUTE_CHUNK, end = begin + EEP_PERMUTE_CHUNK;
    if (begin >= args.n_pairs)
        return;
    end = end < args.n_pairs ? end : args.n_pairs;
    for (uint64_t i = begin; i < end; i++)
        count += args.slots[i] == slot ? 1 : 0;
    args.chunk_counts[EEP_THREAD] = count;
}

/* chunk_counts become those of all chunks before. */
EEP_KERNEL eep_k_permute_sum(EepPermuteArgs args, uint32_t n_chunks)
{
    uint64_t slot = EEP_THREAD;
    uint32_t sum = 0;
    if (slot >= args.n_slots)
        return;
    for (uint32_t i = 0; i < n_chunks; i++) {
        uint32_t *count = args.chunk_counts + (uint64_t)i * args.n_slots + slot;
        uint32_t before = sum;
        sum += *count;
        *count = before;
    }
    args.counts[slot] = sum;
}

EEP_KERNEL eep_k_permute_first(EepPermuteArgs args)
{
    uint64_t slot = EEP_THREAD;
    uint32_t sum = 0;
    if (slot >= args.n_slots)
        return;
    for (uint32_t i = 0; i < slot; i++)
        sum += args.counts[i];
    args.first_rows[slot] = sum;
}

EEP_KERNEL eep_k_permute_place(EepPermuteArgs args)
{
    uint64_t pair = EEP_THREAD;
    if (pair >= args.n_pairs)
        return;
    uint32_t slot = args.slots[pair], position = EEP_NO_ROW;
    if (slot != EEP_NO_ROW) {
        uint64_t chunk = pair / EEP_PERMUTE_CHUNK;
        position = args.first_rows[slot] + args.chunk_counts[chunk * args.n_slots + slot];
        for (uint64_t i = chunk * EEP_PERMUTE_CHUNK; i < pair; i++)
            position += args.slots[i] == slot ? 1 : 0;
    }
    args.positions[pair] = position;
}

cudaError_t eep_kernel_permute(const EepPermuteArgs *args, cudaStream_t stream)
{
    uint32_t n_chunks = (args->n_pairs + EEP_PERMUTE_CHUNK - 1) / EEP_PERMUTE_CHUNK;
    cudaError_t status;
    if (args->n_pairs == 0)
        return cudaMemsetAsync(args->counts, 0, sizeof(uint32_t) * args->n_slots, stream);
    status = eep_launch(eep_k_permute_count, eep_grid((uint64_t)n_chunks * args->n_slots),
                        dim3(EEP_BLOCK), 0, stream, *args);
    if (status == cudaSuccess)
        status = eep_launch(eep_k_permute_sum, eep_grid(args->n_slots), dim3(EEP_BLOCK), 0, stream,
                            *args, n_chunks);
    if (status == cudaSuccess)
        status = eep_launch(eep_k_permute_first, eep_grid(args->n_slots), dim3(EEP_BLOCK), 0,
                            stream, *args);
    if (status == cudaSuccess)
        status = eep_launch(eep_k_permute_place, eep_grid(args->n_pairs), dim3(EEP_BLOCK), 0,
                            stream, *args);
    return status;
}

EEP_KERNEL eep_k_gather_pairs(const uint32_t *positions, uint32_t n_pairs, uint32_t top_k,
                              const EepVector *from, EepVector *to, uint32_t n_vectors)
{
    uint64_t pair = EEP_THREAD / n_vectors, vector = EEP_THREAD % n_vectors;
    if (pair >= n_pairs || positions[pair] == EEP_NO_ROW)
        return;
    to[(uint64_t)positions[pair] * n_vectors + vector] = from[pair / top_k * n_vectors + vector];
}

cudaError_t eep_kernel_gather_pairs(const uint32_t *positions, uint32_t n_pairs, uint32_t top_k,
                                    const uint16_t *from, uint16_t *to, uint32_t pitch,
                                    cudaStream_t stream)
{
    uint32_t n_vectors = pitch / EEP_ROW_ALIGN;
    if (n_pairs == 0)
        return cudaSuccess;
    return eep_launch(eep_k_gather_pairs, eep_grid((uint64_t)n_pairs * n_vectors), dim3(EEP_BLOCK),
                      0, stream, positions, n_pairs, top_k, (const EepVector *)from,
                      (EepVector *)to, n_vectors);
}

EEP_KERNEL eep_k_regroup(EepRegroupArgs args)
{
    uint32_t n_vectors = args.pitch / EEP_ROW_ALIGN;
    uint64_t row = EEP_THREAD / n_vectors, vector = EEP_THREAD % n_vectors;
    if (row >= args.n_rows)
        return;
    /* The last segment that begins at or before the row; empty ones begin where the next does. */
    uint32_t low = 0, high = args.n_segments;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (args.segments[middle].n_rows_before <= row)
            low = middle;
        else
            high = middle;
    }
    uint64_t arrival = args.segments[low].first + (row - args.segments[low].n_rows_before);
    const EepVector *from = (const EepVector *)args.from;
    EepVector *to = (EepVector *)args.to;
    if (args.is_back)
        to[arrival * n_vectors + vector] = from[row * n_vectors + vector];
    else
        to[row * n_vectors + vector] = from[arrival * n_vectors + vector];
}

cudaError_t eep_kernel_regroup(const EepRegroupArgs *args, cudaStream_t stream)
{
    if (args->n_rows == 0)
        return cudaSuccess;
    return eep_launch(eep_k_regroup,
                      eep_grid((uint64_t)args->n_rows * (args->pitch / EEP_ROW_ALIGN)),
                      dim3(EEP_BLOCK), 0, stream, *args);
}
