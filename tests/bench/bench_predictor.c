/* Predictor: build time of the expert tables and time of a step, as JSON. */
#include <stdio.h>
#include <time.h>

#include "core/eplb/placement.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(EepModel *model, EepHardware *hardware)
{
    *model = (EepModel){
        .n_layers = 61,
        .n_dense_layers = 3,
        .moe_every = 1,
        .hidden_size = 7168,
        .dense_intermediate_size = 18432,
        .moe_intermediate_size = 2048,
        .n_routed_experts = 256,
        .n_shared_experts = 1,
        .experts_per_token = 8,
        .n_group = 8,
        .topk_group = 4,
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
    *hardware = (EepHardware){
        .gpus_per_node = 8,
        .bf16_flops = 989e12,
        .fp8_flops = 1979e12,
        .hbm_bytes_per_s = 3.35e12,
        .nvlink_bytes_per_s = 450e9,
        .nic_bytes_per_s = 50e9,
        .gemm_efficiency = 0.55,
        .grouped_gemm_efficiency = 0.78,
        .attention_efficiency = 0.72,
        .hbm_efficiency = 0.82,
        .nvlink_efficiency = 0.74,
        .nic_efficiency = 0.94,
        .kernel_latency = 3000,
        .nic_latency = 10000,
        .collective_latency = 10100,
        .cpu_step = 1000000,
        .cpu_per_request = 10000,
        .cpu_graph_launch = 300000,
        .cpu_eager_layer = 150000,
    };
}

/* Best of several: seconds to build the tables of `engines` ranks, and of a step. */
static void measure(guint engines, gboolean is_last)
{
    EepModel model;
    EepHardware hardware;
    fill(&model, &hardware);
    EepPoolOptions options = {
        .tensor_parallel_size = 1,
        .data_parallel_size = engines,
        .all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY,
        .max_num_seqs = 256,
        .max_num_batched_tokens = 8192,
        .async_scheduling = TRUE,
        .max_cudagraph_capture_size = 512,
    };
    const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    EepPlacement *placement = eep_placement_new(58, 256, engines, (255 + engines) / engines + 1);
    EepEngineWork *work = g_new0(EepEngineWork, engines);
    EepStepPlan plan = {.n_engines = engines, .work = work, .placement = placement, .max_steps = 1};
    for (guint i = 0; i < engines; i++)
        work[i] = (EepEngineWork){
            .engine = i + 1, .n_decodes = 64 + i % 3, .decode_context_tokens = 100000 + i};
    EepStepCost cost;
    double popularity = 1e9, build = 1e9, layer = 1e9, hit = 1e9, miss = 1e9;
    for (int repeat = 0; repeat < 5; repeat++) {
        double t0 = now_s();
        EepSkew *laws = eep_skew_new(&skew, 1, 58, 256, NULL, NULL, NULL);
        EepPredictor *predictor =
            eep_sim_predictor_new(&model, &hardware, &options, laws, FALSE, 1);
        double t1 = now_s();
        predictor->ops->step(predictor, &plan, &cost);
        double t2 = now_s();
        popularity = MIN(popularity, t1 - t0);
        build = MIN(build, t2 - t1);

        gint32 *row =
            g_memdup2(eep_placement_layer(placement, 7), placement->n_slots * sizeof(gint32));
        gint32 swapped = row[0];
        row[0] = row[placement->n_slots - 1];
        row[placement->n_slots - 1] = swapped;
        eep_placement_set_layer(placement, 7, row);
        g_free(row);
        t0 = now_s();
        predictor->ops->step(predictor, &plan, &cost);
        layer = MIN(layer, now_s() - t0);

        const int n = 1000000;
        gint64 sum = 0;
        t0 = now_s();
        for (int i = 0; i < n; i++) {
            work[0].decode_context_tokens++;
            predictor->ops->step(predictor, &plan, &cost);
            sum += cost.step;
        }
        hit = MIN(hit, (now_s() - t0) / n);
        t0 = now_s();
        for (int i = 0; i < n / 10; i++) {
            work[0].n_prefill_tokens = (guint32)(i % 8000); /* more totals than the memo holds */
            predictor->ops->step(predictor, &plan, &cost);
            sum += cost.step;
        }
        miss = MIN(miss, (now_s() - t0) / (n / 10));
        work[0].n_prefill_tokens = 0;
        g_assert(sum != 0);
        eep_predictor_free(predictor);
    }
    printf("    {\"engines\": %u, \"popularity_ms\": %.2f, \"build_ms\": %.2f, "
           "\"one_layer_ms\": %.3f, \"step_hit_ns\": %.1f, \"step_miss_ns\": %.1f}%s\n",
           engines, popularity * 1e3, build * 1e3, layer * 1e3, hit * 1e9, miss * 1e9,
           is_last ? "" : ",");
    g_free(work);
    eep_placement_free(placement);
}

int main(void)
{
    printf("{\"benchmark\": \"predictor\", \"model\": \"deepseek-v3\", \"results\": [\n");
    const guint engines[] = {8, 16, 32, 64, 256};
    for (guint i = 0; i < G_N_ELEMENTS(engines); i++)
        measure(engines[i], i + 1 == G_N_ELEMENTS(engines));
    printf("]}\n");
    return 0;
}
