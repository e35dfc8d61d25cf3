#include "gpu/worker/kernels_common.h"
#include "gpu/worker/route.h"

EEP_KERNEL eep_k_route_keys(EepRouteArgs args)
{
    uint64_t row = EEP_THREAD / args.n_experts;
    uint32_t expert = (uint32_t)(EEP_THREAD % args.n_experts);
    if (row >= args.max_rows || row >= args.facts->n_rows)
        return;
    uint64_t random = eep_hash(
        eep_token_stream(args.facts, EEP_MATRIX_ROUTER, args.layer, (uint32_t)row), expert);
    int32_t weight = row < args.facts->n_probes ? 0 : args.weights[expert];
    args.keys[row * args.n_experts + expert] = eep_route_key(weight, random);
}

/* A thread finds its expert's place among the token's; the first top_k are chosen. */
EEP_KERNEL eep_k_route_choose(EepRouteArgs args)
{
    uint64_t row = EEP_THREAD / args.n_experts;
    uint32_t expert = (uint32_t)(EEP_THREAD % args.n_experts);
    if (row >= args.max_rows)
        return;
    if (row >= args.facts->n_rows) {
        if (expert < args.top_k)
            args.experts[row * args.top_k + expert] = EEP_NO_ROW;
        return;
    }
    const int32_t *keys = args.keys + row * args.n_experts;
    uint32_t place = 0;
    for (uint32_t i = 0; i < args.n_experts && place < args.top_k; i++)
        place += eep_route_before(keys[i], i, keys[expert], expert) ? 1 : 0;
    if (place >= args.top_k)
        return;
    args.experts[row * args.top_k + place] = expert;
    if (row >= args.facts->n_probes)
        atomicAdd(args.load + expert, 1u);
}

cudaError_t eep_kernel_route(const EepRouteArgs *args, cudaStream_t stream)
{
    uint64_t n_threads = (uint64_t)args->max_rows * args->n_experts;
    cudaError_t status =
        eep_launch(eep_k_route_keys, eep_grid(n_threads), dim3(EEP_BLOCK), 0, stream, *args);
    if (status != cudaSuccess)
        return status;
    return eep_launch(eep_k_route_choose, eep_grid(n_threads), dim3(EEP_BLOCK), 0, stream, *args);
}

EEP_KERNEL eep_k_replicas(EepReplicaArgs args)
{
    uint64_t pair = EEP_THREAD;
    if (pair >= (uint64_t)args.max_rows * args.top_k)
        return;
    uint32_t expert = args.experts[pair], slot = EEP_NO_ROW;
    if (expert != EEP_NO_ROW) {
        uint32_t first = args.first_replica[expert], n = args.first_replica[expert + 1] - first;
        uint64_t turn = pair / args.top_k + args.facts->rank;
        if (n > 0)
            slot = args.replicas[first + turn % n];
    }
    args.slots[pair] = slot;
}

cudaError_t eep_kernel_replicas(const EepReplicaArgs *args, cudaStream_t stream)
{
    return eep_launch(eep_k_replicas, eep_grid((uint64_t)args->max_rows * args->top_k),
                      dim3(EEP_BLOCK), 0, stream, *args);
}
