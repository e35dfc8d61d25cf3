#include "sim/all2all.h"

/* The hops of a scatter are kernel and handshake, measured at few tokens and divided by the
 * profile's message latencies; link shares bring the profile's achievable rates (NCCL's bus
 * bandwidth) to what each library's kernels reach. FP8 values carry a 4-byte scale for each 128: 1
 * + 4/128 bytes. */
static const EepAll2all backends[EEP_ALL2ALL_COUNT] = {
    [EEP_ALL2ALL_ALLGATHER_REDUCESCATTER] =
        {
            .name = "allgather_reducescatter",
            .kind = EEP_ALL2ALL_GATHER,
            .is_graph_capturable = TRUE,
            .is_elastic = TRUE,
            .sends_padding = TRUE,
            .dispatch_bytes = 2.0,
            .combine_bytes = 2.0,
            .nvlink_share = {1.0, 1.0},
            .nic_share = {1.0, 1.0},
            .basis = "measured",
            .source = "NCCL all-gather and reduce-scatter on NVLink; across nodes derived",
        },
    [EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT] =
        {
            .name = "deepep_high_throughput",
            .kind = EEP_ALL2ALL_SCATTER,
            .dedup = EEP_DEDUP_NODE,
            .is_elastic = TRUE,
            .has_micro_batches = TRUE,
            .n_sms = 20,
            .dispatch_bytes = 1.03125,
            .combine_bytes = 2.0,
            .dispatch_hops = {9.7, 2.2},
            .combine_hops = {13.5, 3.8},
            .nvlink_share = {0.90, 1.0},
            .nic_share = {0.86, 0.71},
            .basis = "measured",
            .source = "DeepEP normal kernels, 20 SMs, H100 EP8 and EP16 (aiconfigurator)",
        },
    [EEP_ALL2ALL_DEEPEP_LOW_LATENCY] =
        {
            .name = "deepep_low_latency",
            .kind = EEP_ALL2ALL_SCATTER,
            .dedup = EEP_DEDUP_NONE,
            .max_tokens = 256,
            .is_graph_capturable = TRUE,
            .is_batched = TRUE,
            .is_elastic = TRUE,
            .can_mask = TRUE,
            .sends_padding = TRUE,
            .has_micro_batches = TRUE,
            .dispatch_bytes = 1.03125,
            .combine_bytes = 2.0,
            .dispatch_hops = {4.0, 0.5},
            .combine_hops = {2.9, 1.45},
            .nvlink_share = {0.81, 0.65},
            .nic_share = {1.0, 1.0},
            .basis = "measured",
            .source =
                "DeepEP low-latency kernels, H100 EP8 and EP16 (aiconfigurator); limit: vLLM's "
                "VLLM_MOE_DP_CHUNK_SIZE",
        },
    [EEP_ALL2ALL_NIXL_EP] =
        {
            .name = "nixl_ep",
            .kind = EEP_ALL2ALL_SCATTER,
            .dedup = EEP_DEDUP_NONE,
            .max_tokens = 256,
            .max_ranks = 32,
            .is_graph_capturable = TRUE,
            .is_batched = TRUE,
            .is_elastic = TRUE,
            .can_mask = TRUE,
            .keeps_graphs = TRUE,
            .sends_padding = TRUE,
            .dispatch_bytes = 1.03125,
            .combine_bytes = 2.0,
            .dispatch_hops = {4.0, 0.5},
            .combine_hops = {2.9, 1.45},
            .nvlink_share = {0.81, 0.65},
            .nic_share = {1.0, 1.0},
            .basis = "assumed",
            .source = "as deepep_low_latency, whose kernels it follows (nixl examples/device/ep); "
                      "buffer of 32 ranks",
        },
    [EEP_ALL2ALL_FLASHINFER_NVLINK_ONE_SIDED] =
        {
            .name = "flashinfer_nvlink_one_sided",
            .kind = EEP_ALL2ALL_SCATTER,
            .dedup = EEP_DEDUP_RANK,
            .is_graph_capturable = TRUE,
            .sends_padding = TRUE,
            .dispatch_bytes = 1.03125,
            .combine_bytes = 2.0,
            .dispatch_hops = {3.4, 1.0},
            .combine_hops = {4.7, 1.0},
            .nvlink_share = {1.31, 1.36},
            .nic_share = {1.0, 1.0},
            .basis = "measured",
            .source = "TensorRT-LLM one-sided all-to-all on GB200, EP2 to EP32 (aiconfigurator)",
        },
    [EEP_ALL2ALL_NAIVE] =
        {
            .name = "naive",
            .kind = EEP_ALL2ALL_BROADCAST,
            .is_graph_capturable = TRUE,
            .is_elastic = TRUE,
            .sends_padding = TRUE,
            .dispatch_bytes = 2.0,
            .combine_bytes = 2.0,
            .nvlink_share = {1.0, 1.0},
            .nic_share = {1.0, 1.0},
            .basis = "derived",
            .source = "one broadcast a rank and an all-reduce, from NCCL's figures",
        },
};

const EepAll2all *eep_all2all(gint backend)
{
    g_return_val_if_fail(backend >= 0 && backend < EEP_ALL2ALL_COUNT, NULL);
    return &backends[backend];
}

guint eep_all2all_rounds(const EepAll2all *backend, double max_rank_tokens)
{
    if (backend->max_tokens == 0 || max_rank_tokens <= backend->max_tokens)
        return 1;
    return (guint)ceil(max_rank_tokens / backend->max_tokens);
}
