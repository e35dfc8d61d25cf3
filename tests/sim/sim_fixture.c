#include "tests/sim/sim_fixture.h"

void fixture_deepseek_v3(EepModel *ret_model)
{
    *ret_model = (EepModel){
        .n_layers = 61,
        .n_dense_layers = 3,
        .moe_every = 1,
        .hidden_size = 7168,
        .dense_intermediate_size = 18432,
        .moe_intermediate_size = 2048,
        .n_routed_experts = 256,
        .n_shared_experts = 1,
        .experts_per_token = 8,
        .n_group = 1,
        .topk_group = 1,
        .attention = EEP_ATTENTION_MLA,
        .n_heads = 128,
        .q_lora_rank = 1536,
        .kv_lora_rank = 512,
        .qk_nope_head_dim = 128,
        .qk_rope_head_dim = 64,
        .v_head_dim = 128,
        .vocab_size = 129280,
        .expert_weight_bytes_per_param = 1,
        .weight_bytes_per_param = 1,
        .embedding_bytes_per_param = 2,
        .expert_flops_scale = 2,
        .kv_bytes_per_value = 1,
        .max_model_len = 131072,
    };
}

void fixture_h100(EepHardware *ret_hardware)
{
    *ret_hardware = (EepHardware){
        .gpus_per_node = 8,
        .bf16_flops = 989e12,
        .fp8_flops = 1979e12,
        .hbm_bytes_per_s = 3.35e12,
        .hbm_bytes = 80000000000,
        .nvlink_bytes_per_s = 450e9,
        .nic_bytes_per_s = 50e9,
        .gemm_efficiency = 0.5,
        .grouped_gemm_efficiency = 0.75,
        .attention_efficiency = 0.7,
        .hbm_efficiency = 0.8,
        .nvlink_efficiency = 0.7,
        .nic_efficiency = 0.9,
        .kernel_latency = 3 * EEP_NS_PER_US,
        .nvlink_latency = 4 * EEP_NS_PER_US,
        .nic_latency = 10 * EEP_NS_PER_US,
        .collective_latency = 10 * EEP_NS_PER_US,
        .process_launch = 10 * EEP_NS_PER_S,
        .cuda_context = 2 * EEP_NS_PER_S,
        .model_construct = 5 * EEP_NS_PER_S,
        .communicator_base = 1 * EEP_NS_PER_S,
        .communicator_per_rank = 100 * EEP_NS_PER_MS,
        .kernel_warmup = 3 * EEP_NS_PER_S,
        .graph_capture_size = 100 * EEP_NS_PER_MS,
        .group_destroy = 2 * EEP_NS_PER_S,
        .comm_split = 500 * EEP_NS_PER_MS,
        .disk_bytes_per_s = 10e9,
        .host_bytes_per_s = 20e9,
        .pcie_bytes_per_s = 50e9,
        .background_sm_share = 0.2,
        .background_hbm_share = 0.1,
        .background_link_share = 0.5,
        .background_host_share = 0.25,
        .control_latency = 1 * EEP_NS_PER_MS,
    };
}

void fixture_pool(EepPoolOptions *ret_options, guint engines)
{
    *ret_options = (EepPoolOptions){
        .tensor_parallel_size = 1,
        .data_parallel_size = engines,
        .enable_expert_parallel = TRUE,
        .all2all_backend = EEP_ALL2ALL_ALLGATHER_REDUCESCATTER,
        .max_num_seqs = 256,
        .max_num_batched_tokens = 8192,
        .block_size = 16,
        .async_scheduling = TRUE,
        .dbo_decode_token_threshold = 32,
        .dbo_prefill_token_threshold = 512,
        .max_cudagraph_capture_size = 512,
    };
}

void fixture_decodes(EepStepPlan *ret_plan, EepEngineWork *work, guint n, guint decodes,
                     guint context)
{
    for (guint i = 0; i < n; i++)
        work[i] = (EepEngineWork){
            .engine = i + 1,
            .n_decodes = decodes,
            .decode_context_tokens = (gint64)decodes * context,
        };
    *ret_plan = (EepStepPlan){
        .op = {.id = 1, .pool = 1, .epoch = 1, .deadline = EEP_TIME_NEVER},
        .n_engines = n,
        .work = work,
        .max_steps = 1,
        .horizon = EEP_TIME_NEVER,
    };
}

void fixture_add_prefill(EepEngineWork *work, guint tokens)
{
    work->n_prefill_chunks++;
    work->n_prefill_tokens += tokens;
    work->prefill_query_key_pairs += (gint64)tokens * (tokens + 1) / 2;
}
