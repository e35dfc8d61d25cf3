#include "gpu/worker/kernels_common.h"
#include "gpu/worker/route.h"

EEP_KERNEL eep_k_swiglu(const uint16_t *from, uint32_t n_rows, uint32_t n, uint16_t *to,
                        uint32_t to_pitch)
{
    uint64_t row = EEP_THREAD / n, i = EEP_THREAD % n;
    if (row >= n_rows)
        return;
    const uint16_t *gate = from + row * 2 * n;
    to[row * to_pitch + i] =
        eep_float_bf16(eep_swiglu(eep_bf16_float(gate[i]), eep_bf16_float(gate[n + i])));
}

cudaError_t eep_kernel_swiglu(const uint16_t *from, uint32_t n_rows, uint32_t n, uint16_t *to,
                              uint32_t to_pitch, cudaStream_t stream)
{
    if (n_rows == 0)
        return cudaSuccess;
    return eep_launch(eep_k_swiglu, eep_grid((uint64_t)n_rows * n), dim3(EEP_BLOCK), 0, stream,
                      from, n_rows, n, to, to_pitch);
}

EEP_KERNEL eep_k_gemm(EepGemmArgs args)
{
    uint64_t row = EEP_THREAD / args.n, column = EEP_THREAD % args.n;
    if (row >= args.n_rows)
        return;
    uint32_t group = 0;
    while (group + 1 < args.n_groups && args.groups[group + 1].first_row <= row)
        group++;
    const EepGemmGroup mine = args.groups ? args.groups[group] : args.only;
    row -= mine.first_row;
    const uint16_t *a = mine.a + row * args.a_pitch, *b = mine.b + column * args.b_pitch;
    float sum = 0.0f;
    for (uint32_t i = 0; i < args.k; i++)
        sum = eep_add(sum, eep_mul(eep_bf16_float(a[i]), eep_bf16_float(b[i])));
    mine.c[row * args.c_pitch + column] = eep_float_bf16(sum);
}

cudaError_t eep_kernel_gemm(const EepGemmArgs *args, cudaStream_t stream)
{
    if (args->n_rows == 0)
        return cudaSuccess;
    return eep_launch(eep_k_gemm, eep_grid((uint64_t)args->n_rows * args->n), dim3(EEP_BLOCK), 0,
                      stream, *args);
}

/* Sums of squares are kept with 20 bits of fraction: integers do not mind the order. What is too
 * large for that (or no number) is cut; it shows in the result all the same. */
#define SQUARE_ONE   1048576.0f
#define SQUARE_LIMIT 1048576.0f

static __device__ void add_scaled(float *values, const EepVector *added, float scale)
{
    for (int i = 0; i < EEP_ROW_ALIGN; i++)
        values[i] = eep_add(values[i], eep_mul(scale, eep_bf16_float(added->value[i])));
}

EEP_KERNEL eep_k_merge(EepMergeArgs args)
{
    uint32_t n_vectors = args.pitch / EEP_ROW_ALIGN;
    uint64_t row = EEP_THREAD / n_vectors, vector = EEP_THREAD % n_vectors;
    if (row >= args.max_rows || row >= args.facts->n_rows)
        return;
    const EepVector *base = (const EepVector *)args.base, *added = (const EepVector *)args.added;
    float values[EEP_ROW_ALIGN] = {};
    add_scaled(values, base + row * n_vectors + vector, 1.0f);
    if (added && args.top_k == 0)
        add_scaled(values, added + row * n_vectors + vector, 1.0f);
    uint64_t token = args.top_k == 0 ? 0
                                     : eep_token_stream(args.facts, EEP_MATRIX_ROUTER, args.layer,
                                                        (uint32_t)row);
    for (uint32_t j = 0; j < args.top_k; j++) {
        uint32_t position = args.positions[row * args.top_k + j];
        if (position != EEP_NO_ROW)
            add_scaled(values, added + (uint64_t)position * n_vectors + vector,
                       eep_route_gate(token, args.n_experts, j, args.top_k));
    }
    unsigned long long squares = 0;
    float *to = args.values + (row * n_vectors + vector) * EEP_ROW_ALIGN;
    for (int i = 0; i < EEP_ROW_ALIGN; i++) {
        float square = eep_mul(values[i], values[i]);
        squares +=
            (unsigned long long)((square < SQUARE_LIMIT ? square : SQUARE_LIMIT) * SQUARE_ONE);
        to[i] = values[i];
    }
    atomicAdd((unsigned long long *)args.sums + row, squares);
}

EEP_KERNEL eep_k_normalise(EepMergeArgs args)
{
    uint64_t row = EEP_THREAD / args.pitch;
    if (row >= args.max_rows || row >= args.facts->n_rows)
        return;
    float mean = (float)args.sums[row] / SQUARE_ONE / (float)args.hidden;
    float scale = 1.0f / sqrtf(eep_add(mean, 1e-6f));
    args.rows[EEP_THREAD] = eep_float_bf16(eep_mul(args.values[EEP_THREAD], scale));
}

cudaError_t eep_kernel_merge(const EepMergeArgs *args, cudaStream_t stream)
{
    uint64_t n_values = (uint64_t)args->max_rows * args->pitch;
    cudaError_t status = cudaMemsetAsync(args->sums, 0, sizeof(uint64_t) * args->max_rows, stream);
    if (status == cudaSuccess)
        status = eep_launch(eep_k_merge, eep_grid(n_values / EEP_ROW_ALIGN), dim3(EEP_BLOCK), 0,
                            stream, *args);
    if (status == cudaSuccess)
        status = eep_launch(eep_k_normalise, eep_grid(n_values), dim3(EEP_BLOCK), 0, stream, *args);
    return status;
}
