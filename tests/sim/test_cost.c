/* Cost models against values computed by hand from their formulas. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sim/all2all.h"
#include "sim/graph_mode.h"
#include "sim/move_cost.h"
#include "tests/sim/sim_fixture.h"

#define US 1e-6

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static EepCostContext context;

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, 16);
    context = (EepCostContext){&model, &hardware, &options, 16};
}

START_TEST(test_table_is_complete)
{
    guint n = 0;
    for (; eep_cost_models[n]; n++) {
        const EepCostOps *ops = eep_cost_models[n];
        ck_assert_uint_eq(ops->size, sizeof(EepCostOps));
        ck_assert(ops->name && ops->per && ops->formula && ops->source && ops->seconds);
        for (guint i = 0; i < n; i++)
            ck_assert_str_ne(ops->name, eep_cost_models[i]->name);
    }
    ck_assert_uint_eq(n, 11);
}
END_TEST

START_TEST(test_constant)
{
    hardware.constant_step = 20 * EEP_NS_PER_MS;
    ck_assert_double_eq_tol(eep_cost_constant.seconds(&context, NULL), 0.02, 1e-12);
}
END_TEST

/* 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168 = 187.1 M. */
START_TEST(test_mla_params)
{
    ck_assert_double_eq(eep_cost_attention_params(&context), 187105280.0);
    options.tensor_parallel_size = 8; /* heads split, latents do not */
    ck_assert_double_eq(eep_cost_attention_params(&context),
                        11010048 + 4128768 + (37748736 + 16777216 + 117440512) / 8.0);
}
END_TEST

START_TEST(test_mla_decode)
{
    EepCostWork work = {.rows = 128, .decodes = 128, .decode_context_tokens = 128 * 2048};
    double weights = 187105280.0 / (3.35e12 * 0.8);
    double gemm = 2.0 * 187105280.0 * 128 / (1979e12 * 0.5);
    /* 128 heads * 2 (2 * 512 + 64) FLOPs a cached token, above its 576 bytes */
    double scores = 128 * 2048 * 128.0 * 2 * 1088 / (989e12 * 0.7);
    ck_assert_double_gt(scores, 128 * 2048 * 576.0 / (3.35e12 * 0.8));
    ck_assert_double_eq_tol(eep_cost_attention.seconds(&context, &work),
                            15 * 3 * US + weights + gemm + scores, 1e-12);
    hardware.bf16_flops *= 100; /* now the KV read decides */
    ck_assert_double_eq_tol(eep_cost_attention.seconds(&context, &work),
                            15 * 3 * US + weights + gemm + 128 * 2048 * 576.0 / (3.35e12 * 0.8),
                            1e-12);
}
END_TEST

START_TEST(test_mla_prefill)
{
    EepCostWork none = {.rows = 1000};
    EepCostWork work = {
        .rows = 1000, .prefill_tokens = 1000, .prefill_query_key_pairs = 1000 * 1001 / 2.0};
    ck_assert_double_eq_tol(eep_cost_attention.seconds(&context, &work) -
                                eep_cost_attention.seconds(&context, &none),
                            500500.0 * 128 * 2 * (128 + 64 + 128) / (989e12 * 0.7), 1e-12);
}
END_TEST

static void make_gqa(void)
{
    model.attention = EEP_ATTENTION_GQA;
    model.n_layers = 4;
    model.n_heads = 64;
    model.n_kv_heads = 4;
    model.head_dim = 128;
    model.kv_bytes_per_value = 2;
    model.weight_bytes_per_param = 2;
    model.window_tokens = 128;
}

START_TEST(test_gqa)
{
    make_gqa();
    EepCostWork work = {.rows = 8, .decodes = 8, .decode_context_tokens = 8 * 1000};
    double params = 7168.0 * (2 * 64 * 128 + 2 * 4 * 128);
    ck_assert_double_eq(eep_cost_attention_params(&context), params);
    double expected = 8 * 3 * US + params * 2 / (3.35e12 * 0.8) +
                      2 * params * 8 / (989e12 * 0.5) /* BF16 weights, BF16 rate */ +
                      8 * 1000 * 2.0 * 4 * 128 * 2 / (3.35e12 * 0.8);
    ck_assert_double_eq_tol(eep_cost_attention.seconds(&context, &work), expected, 1e-12);
    options.tensor_parallel_size = 8; /* four KV heads on eight ranks: one each, repeated */
    ck_assert_double_eq(eep_cost_attention_params(&context), 7168.0 * (2 * 8 * 128 + 2 * 1 * 128));
}
END_TEST

START_TEST(test_window_and_linear_layers)
{
    make_gqa();
    EepAttentionCost full, mixed;
    eep_attention_cost_init(&full, &context);
    model.n_window_layers = 2;
    model.n_linear_layers = 1;
    model.linear_state_bytes = 1 << 20;
    model.linear_params = 1000000;
    eep_attention_cost_init(&mixed, &context);
    /* One full layer of four; two see 128 tokens of each decode's 1000; one reads and writes state.
     */
    double token = full.per_context_s / 4;
    double expected = 8000 * token + 2 * 8 * 128 * token + 8 * 2.0 * (1 << 20) / (3.35e12 * 0.8);
    ck_assert_double_eq_tol(eep_attention_cost_kv(&mixed, 8, 8000, 0, 0), expected, 1e-12);
    ck_assert_double_eq_tol(eep_attention_cost_kv(&mixed, 8, 800, 0, 0),
                            3 * 800 * token + 8 * 2.0 * (1 << 20) / (3.35e12 * 0.8), 1e-12);
    /* A prefill of 1000 tokens: 500,500 pairs in full, at most 128 a query in the windows. */
    double pair = full.per_pair_s / 4;
    ck_assert_double_eq_tol(eep_attention_cost_kv(&mixed, 0, 0, 1000, 500500),
                            500500 * pair + 2 * 128000 * pair, 1e-12);
}
END_TEST

START_TEST(test_experts)
{
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    double bytes = 3.0 * 7168 * 2048, hbm = 3.35e12 * 0.8;
    double activations = (7168 * 3.0 + 2048 * 10.0) / hbm;
    /* 8 experts of 4 rows: memory bound, each is read once. */
    EepCostWork work = {.active_experts = 8, .received_pairs = 32};
    ck_assert_double_eq_tol(eep_cost_experts.seconds(&context, &work),
                            7 * 3 * US + 8 * bytes / hbm + 32 * activations, 1e-12);
    /* 8 experts of 4096 rows: compute bound at the FP8 rate. */
    work.received_pairs = 8 * 4096;
    double flops = 8 * 4096 * 6.0 * 7168 * 2048 / (1979e12 * 0.75);
    ck_assert_double_eq_tol(eep_cost_experts.seconds(&context, &work),
                            7 * 3 * US + flops + 8 * 4096 * activations, 1e-12);
    model.expert_flops_scale = 1; /* weight-only quantisation: arithmetic at the BF16 rate */
    double bf16 = eep_cost_slot(&context).flops_s;
    ck_assert_double_eq_tol(bf16, 6.0 * 7168 * 2048 / (989e12 * 0.75), 1e-15);
    work.active_experts = 0;
    ck_assert_double_eq_tol(eep_cost_experts.seconds(&context, &work), 7 * 3 * US, 1e-12);
}
END_TEST

START_TEST(test_dense_shared_head)
{
    EepCostWork work = {.rows = 64, .sequences = 10};
    double hbm = 3.35e12 * 0.8, params = 3.0 * 7168 * 18432;
    ck_assert_double_eq_tol(eep_cost_dense_ffn.seconds(&context, &work),
                            12 * US + params / hbm + 2 * params * 64 / (1979e12 * 0.5), 1e-12);
    params = 3.0 * 7168 * 2048;
    ck_assert_double_eq_tol(eep_cost_shared_expert.seconds(&context, &work),
                            12 * US + params / hbm + 2 * params * 64 / (1979e12 * 0.5), 1e-12);
    model.n_shared_experts = 0;
    ck_assert_double_eq(eep_cost_shared_expert.seconds(&context, &work), 0.0);
    params = 129280.0 * 7168;
    ck_assert_double_eq_tol(eep_cost_head.seconds(&context, &work),
                            18 * US + 2 * params / hbm + 2 * params * 10 / (989e12 * 0.5) +
                                10 * 129280 * 8.0 / hbm,
                            1e-12);
}
END_TEST

START_TEST(test_router)
{
    EepCostWork work = {.rows = 100, .received_rows = 1600};
    double hbm = 3.35e12 * 0.8, gate = 7168.0 * 256;
    double expected =
        12 * US + gate * 2 / hbm + 2 * gate * 100 / (989e12 * 0.5) + 100 * 12.0 * 7168 / hbm;
    ck_assert_double_eq_tol(eep_cost_router.seconds(&context, &work),
                            expected + 1600 * 3.0 * 7168 / hbm, 1e-12);
    options.all2all_backend = EEP_ALL2ALL_NIXL_EP; /* batched: rows arrive in place */
    ck_assert_double_eq_tol(eep_cost_router.seconds(&context, &work), expected, 1e-12);
}
END_TEST

START_TEST(test_cpu)
{
    hardware.cpu_step = EEP_NS_PER_MS;
    hardware.cpu_per_request = 10 * EEP_NS_PER_US;
    hardware.cpu_graph_launch = 300 * EEP_NS_PER_US;
    hardware.cpu_eager_layer = 200 * EEP_NS_PER_US;
    EepCostWork work = {.requests = 50, .graph_mode = EEP_GRAPH_FULL};
    ck_assert_double_eq_tol(eep_cost_cpu.seconds(&context, &work), 1.8e-3, 1e-12);
    work.graph_mode = EEP_GRAPH_NONE;
    ck_assert_double_eq_tol(eep_cost_cpu.seconds(&context, &work), 1.5e-3 + 61 * 200e-6, 1e-12);
    work.graph_mode = EEP_GRAPH_PIECEWISE;
    ck_assert_double_eq_tol(eep_cost_cpu.seconds(&context, &work), 1.5e-3 + 61 * 100e-6, 1e-12);
}
END_TEST

START_TEST(test_collectives)
{
    double nvlink = 450e9 * 0.7, nic = 50e9 * 0.9;
    ck_assert_double_eq(eep_cost_all_gather_seconds(&hardware, 1, 1e9), 0.0);
    /* Small: one latency, at 0.4 of the rate. Large: 2.3 latencies, at the rate. */
    ck_assert_double_eq_tol(eep_cost_all_gather_seconds(&hardware, 8, 1e5),
                            10 * US + 7e5 / nvlink / 0.4, 1e-12);
    ck_assert_double_eq_tol(eep_cost_all_gather_seconds(&hardware, 8, 1e8), 23 * US + 7e8 / nvlink,
                            1e-12);
    /* Two nodes: each NIC brings an eighth of the other node's bytes. */
    ck_assert_double_eq_tol(eep_cost_all_gather_seconds(&hardware, 16, 1e8),
                            2.3 * 20 * US + fmax(15e8 / nvlink, 1e8 / nic), 1e-12);
    ck_assert_double_eq_tol(eep_cost_all_reduce_seconds(&hardware, 8, 1e9),
                            2.3 * 15 * US + 2 * 7 / 8.0 * 1e9 / nvlink, 1e-12);
    options.tensor_parallel_size = 8;
    EepCostWork work = {.rows = 1000};
    ck_assert_double_eq(eep_cost_allreduce.seconds(&context, &work),
                        eep_cost_all_reduce_seconds(&hardware, 8, 1000 * 7168 * 2.0));
}
END_TEST

/* -- all-to-all -- */

START_TEST(test_capabilities)
{
    for (gint i = 0; i < EEP_ALL2ALL_COUNT; i++) {
        const EepAll2all *backend = eep_all2all(i);
        ck_assert(backend->name && backend->basis && backend->source);
        ck_assert(backend->dispatch_bytes > 0 && backend->combine_bytes > 0);
        ck_assert(backend->nvlink_share[0] > 0 && backend->nic_share[1] > 0);
    }
    ck_assert_uint_eq(eep_all2all(EEP_ALL2ALL_NIXL_EP)->max_ranks, 32);
    const EepAll2all *limited = eep_all2all(EEP_ALL2ALL_DEEPEP_LOW_LATENCY);
    ck_assert_uint_eq(eep_all2all_rounds(limited, 1), 1);
    ck_assert_uint_eq(eep_all2all_rounds(limited, 256), 1);
    ck_assert_uint_eq(eep_all2all_rounds(limited, 257), 2);
    ck_assert_uint_eq(eep_all2all_rounds(limited, 8192), 32);
    ck_assert_uint_eq(eep_all2all_rounds(eep_all2all(EEP_ALL2ALL_NAIVE), 1e6), 1);
}
END_TEST

START_TEST(test_distinct_places)
{
    /* 8 draws over 2 nodes: 2 (1 - 2^-8); over 8 ranks: 8 (1 - (7/8)^8). */
    ck_assert_double_eq_tol(eep_all2all_distinct(&model, 2), 2 - 2 / 256.0, 1e-12);
    ck_assert_double_eq_tol(eep_all2all_distinct(&model, 8), 8 * (1 - pow(7 / 8.0, 8)), 1e-12);
    ck_assert_double_eq(eep_all2all_distinct(&model, 1), 1.0);
    /* Groups: 4 of 8, a group a node: at most 4 of 8 nodes. */
    model.n_group = 8;
    model.topk_group = 4;
    ck_assert_double_eq_tol(eep_all2all_distinct(&model, 8), 4 * (1 - pow(3 / 4.0, 8)), 1e-12);
    ck_assert_double_eq_tol(eep_all2all_distinct(&model, 32), 16 * (1 - pow(15 / 16.0, 8)), 1e-12);
    /* Four groups a node: both nodes are reachable but for 2 in 70 choices, 1 each. */
    double reachable = 2 * (1 - 1 / 70.0);
    ck_assert_double_eq_tol(eep_all2all_distinct(&model, 2),
                            reachable * (1 - pow(1 - 1 / reachable, 8)), 1e-12);
}
END_TEST

START_TEST(test_scatter)
{
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    EepCostWork work = {.max_rank_tokens = 128, .total_tokens = 2048, .imbalance = 1.0};
    double dispatch, combine;
    const EepAll2all *backend = eep_all2all(options.all2all_backend);
    eep_all2all_seconds(backend, &context, &work, &dispatch, &combine);
    /* 16 ranks, 8 a node: half of the 8 copies cross, FP8 with scales out, BF16 back. */
    double latency = 4 * 4 * US + 0.5 * 10 * US;
    ck_assert_double_eq_tol(dispatch, latency + 128 * 4 * 7168 * 1.03125 / (50e9 * 0.9), 1e-12);
    latency = 2.9 * 4 * US + 1.45 * 10 * US;
    ck_assert_double_eq_tol(combine, latency + 128 * 4 * 7168 * 2.0 / (50e9 * 0.9), 1e-12);
    /* The busiest receiver decides when it gets more than the largest sender sends. */
    double before = dispatch;
    work.imbalance = 1.5;
    eep_all2all_seconds(backend, &context, &work, &dispatch, NULL);
    ck_assert_double_eq_tol(dispatch - before, 64 * 4 * 7168 * 1.03125 / (50e9 * 0.9), 1e-12);
    /* One node: NVLink, seven eighths of the copies. */
    context.n_ranks = 8;
    work = (EepCostWork){.max_rank_tokens = 128, .total_tokens = 1024, .imbalance = 1.0};
    eep_all2all_seconds(backend, &context, &work, &dispatch, NULL);
    ck_assert_double_eq_tol(dispatch, 16 * US + 128 * 7 * 7168 * 1.03125 / (450e9 * 0.7 * 0.81),
                            1e-12);
    /* BF16 experts get BF16 tokens. */
    model.expert_flops_scale = 1;
    eep_all2all_seconds(backend, &context, &work, &dispatch, NULL);
    ck_assert_double_eq_tol(dispatch, 16 * US + 128 * 7 * 7168 * 2.0 / (450e9 * 0.7 * 0.81), 1e-12);
    context.n_ranks = 1;
    ck_assert_double_eq(eep_cost_all2all.seconds(&context, &work), 0.0);
}
END_TEST

START_TEST(test_node_dedup_sends_once_a_node)
{
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT;
    EepCostWork work = {.max_rank_tokens = 4096, .total_tokens = 65536, .imbalance = 1.0};
    double dispatch;
    eep_all2all_seconds(eep_all2all(options.all2all_backend), &context, &work, &dispatch, NULL);
    double nodes = 2 - 2 / 256.0;
    ck_assert_double_eq_tol(dispatch,
                            9.7 * 4 * US + 2.2 * 10 * US +
                                4096 * nodes / 2 * 7168 * 1.03125 / (50e9 * 0.9 * 0.86),
                            1e-12);
}
END_TEST

START_TEST(test_gather)
{
    EepCostWork work = {.max_rank_tokens = 100, .total_tokens = 1600, .imbalance = 3.0};
    double each = eep_cost_all_gather_seconds(&hardware, 16, 100 * 7168 * 2.0);
    ck_assert_double_eq_tol(eep_cost_all2all.seconds(&context, &work), 2 * each, 1e-12);
    double fast = eep_cost_all2all.seconds(&context, &work);
    options.all2all_backend = EEP_ALL2ALL_NAIVE;
    ck_assert_double_gt(eep_cost_all2all.seconds(&context, &work), fast);
}
END_TEST

/* DeepEP's published low-latency figures, 128 tokens, H800 with 50 GB/s NICs (its docs/legacy.md):
 * dispatch and combine in us. Not among the points that the table was fitted to. */
START_TEST(test_deepep_published)
{
    static const double published[][3] = {
        {16, 118, 195}, {32, 155, 273}, {64, 173, 314}, {128, 192, 369}, {256, 194, 360}};
    hardware.nic_efficiency = 0.94;
    hardware.nvlink_latency = 3700;
    for (guint i = 0; i < G_N_ELEMENTS(published); i++) {
        context.n_ranks = (guint)published[i][0];
        EepCostWork work = {
            .max_rank_tokens = 128, .total_tokens = 128.0 * context.n_ranks, .imbalance = 1.0};
        double dispatch, combine;
        eep_all2all_seconds(eep_all2all(EEP_ALL2ALL_DEEPEP_LOW_LATENCY), &context, &work, &dispatch,
                            &combine);
        ck_assert_double_eq_tol(dispatch / US / published[i][1], 1.0, 0.15);
        ck_assert_double_eq_tol(combine / US / published[i][2], 1.0, 0.15);
    }
}
END_TEST

/* -- graph modes -- */

START_TEST(test_capture_sizes)
{
    ck_assert_uint_eq(eep_graph_max_size(&options), 512);
    ck_assert_uint_eq(eep_graph_n_sizes(&options), 3 + 31 + 17); /* 1 2 4, 8..248, 256..512 */
    static const guint padded[][2] = {{1, 1},     {2, 2},     {3, 4},     {5, 8},     {9, 16},
                                      {241, 248}, {249, 256}, {256, 256}, {257, 272}, {500, 512}};
    for (guint i = 0; i < G_N_ELEMENTS(padded); i++)
        ck_assert_uint_eq(eep_graph_pad(padded[i][0], 512), padded[i][1]);
    options.max_cudagraph_capture_size = 250;
    ck_assert_uint_eq(eep_graph_max_size(&options), 248);
    ck_assert_uint_eq(eep_graph_n_sizes(&options), 34);
    options.max_cudagraph_capture_size = 3;
    ck_assert_uint_eq(eep_graph_max_size(&options), 2);
    ck_assert_uint_eq(eep_graph_n_sizes(&options), 2);
    options.max_cudagraph_capture_size = 5;
    ck_assert_uint_eq(eep_graph_n_sizes(&options), 3);
    options.enforce_eager = TRUE;
    ck_assert_uint_eq(eep_graph_max_size(&options), 0);
    ck_assert_uint_eq(eep_graph_n_sizes(&options), 0);
}
END_TEST

START_TEST(test_graph_modes)
{
    ck_assert_int_eq(eep_graph_mode(&options, 512, TRUE), EEP_GRAPH_FULL);
    ck_assert_int_eq(eep_graph_mode(&options, 513, TRUE), EEP_GRAPH_NONE);
    ck_assert_int_eq(eep_graph_mode(&options, 100, FALSE), EEP_GRAPH_PIECEWISE);
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT;
    ck_assert_int_eq(eep_graph_mode(&options, 100, TRUE), EEP_GRAPH_NONE);
    options.all2all_backend = EEP_ALL2ALL_NIXL_EP;
    options.enforce_eager = TRUE;
    ck_assert_int_eq(eep_graph_mode(&options, 1, TRUE), EEP_GRAPH_NONE);
}
END_TEST

START_TEST(test_micro_batch_rules)
{
    options.enable_dbo = TRUE;
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    ck_assert(eep_micro_batches(&options, 32, 32, TRUE));
    ck_assert(!eep_micro_batches(&options, 31, 32, TRUE));
    ck_assert(!eep_micro_batches(&options, 40, 80, TRUE)); /* second half of one: padding only */
    ck_assert(eep_micro_batches(&options, 41, 80, TRUE));
    ck_assert(!eep_micro_batches(&options, 511, 600, FALSE));
    ck_assert(eep_micro_batches(&options, 512, 600, FALSE));
    options.enable_elastic_ep = TRUE;
    ck_assert(!eep_micro_batches(&options, 64, 64, TRUE));
    options.enable_elastic_ep = FALSE;
    options.all2all_backend = EEP_ALL2ALL_ALLGATHER_REDUCESCATTER;
    ck_assert(!eep_micro_batches(&options, 64, 64, TRUE));
}
END_TEST

/* -- moves -- */

START_TEST(test_moves)
{
    /* Rank 0 sends two experts within its node and one across; rank 9 receives from two. */
    const EepTransfer transfers[] = {{.from_rank = 0, .to_rank = 1},
                                     {.from_rank = 0, .to_rank = 2},
                                     {.from_rank = 0, .to_rank = 9},
                                     {.from_rank = 3, .to_rank = 9}};
    EepMove move = {
        .n_transfers = 2, .transfers = transfers, .bytes_each = 44040192, .n_ranks = 16};
    ck_assert_int_eq(eep_move_cost(&context, &move, NULL),
                     eep_time_from_seconds(2 * 44040192.0 / (450e9 * 0.7) + 4 * US));
    move.n_transfers = 4;
    ck_assert_int_eq(eep_move_cost(&context, &move, NULL),
                     eep_time_from_seconds(2 * 44040192.0 / (50e9 * 0.9) + 10 * US));
    move.n_transfers = 1; /* KV to another pool's rank 1 */
    move.is_kv = TRUE;
    move.to_pool = 2;
    ck_assert_int_eq(eep_move_cost(&context, &move, NULL),
                     eep_time_from_seconds(44040192.0 / (50e9 * 0.9) + 10 * US));
    move.n_transfers = 0;
    ck_assert_int_eq(eep_move_cost(&context, &move, NULL), 0);
}
END_TEST

/* Requests have KV of different lengths: a port carries the sum of its own. */
START_TEST(test_kv_moves)
{
    const EepTransfer transfers[] = {{.from_rank = 0, .to_rank = 1},
                                     {.from_rank = 0, .to_rank = 2},
                                     {.from_rank = 3, .to_rank = 1},
                                     {.from_rank = 3, .to_rank = 9}};
    const gint64 bytes[] = {300000000, 500000000, 600000000, 70000000};
    EepMove move = {
        .is_kv = TRUE, .n_transfers = 3, .transfers = transfers, .bytes = bytes, .n_ranks = 16};
    EepTime link, whole = eep_move_cost(&context, &move, &link);
    /* Rank 1 receives 900 MB, rank 0 sends 800 MB. */
    ck_assert_int_eq(whole, eep_time_from_seconds(900e6 / (450e9 * 0.7) + 4 * US));
    ck_assert_int_eq(link, whole); /* nothing of an exchange of experts */
    move.n_transfers = 4;          /* 70 MB over the NIC take longer than 600 MB over NVLink */
    ck_assert_int_eq(
        eep_move_cost(&context, &move, NULL),
        eep_time_from_seconds(MAX(900e6 / (450e9 * 0.7), 70e6 / (50e9 * 0.9)) + 10 * US));
}
END_TEST

/* Seconds of a move of 1 GB experts, and of them those on links. */
static void assert_move(const EepMove *move, double link_s, double rest_s)
{
    EepTime link, whole = eep_move_cost(&context, move, &link);
    ck_assert_double_eq_tol(eep_time_to_seconds(link), link_s, 2e-9);
    ck_assert_double_eq_tol(eep_time_to_seconds(whole - link), rest_s, 2e-9);
}

START_TEST(test_rounds_and_the_rest_of_a_move)
{
    const double nvlink = 1e9 / (450e9 * 0.7), nic = 1e9 / (50e9 * 0.9),
                 copy = 2e9 / (3.35e12 * 0.8);
    EepTransfer transfers[] = {{.from_rank = 0, .to_rank = 1},
                               {.from_rank = 2, .to_rank = 3},
                               {.from_rank = 0, .to_rank = 9},
                               {.from_rank = 1, .to_rank = 9}};
    EepMove move = {
        .n_transfers = 4, .transfers = transfers, .bytes_each = 1000000000, .n_ranks = 16};
    /* At once, rank 9's NIC takes longest; in rounds, each waits for its own slowest port. */
    assert_move(&move, 2 * nic + 10 * US, 0.0);
    transfers[1].round = transfers[3].round = 1;
    assert_move(&move, nic + 10 * US + nic + 10 * US, 0.0);
    transfers[2].round = transfers[3].round = 2;
    assert_move(&move, nvlink + 4 * US + nvlink + 4 * US + 2 * nic + 10 * US, 0.0);
    /* Copies, the exchange's fixed cost and a plan that is waited for come on top. */
    hardware.eplb_layer_overhead = 9 * EEP_NS_PER_MS;
    hardware.eplb_plan_slot = 3 * EEP_NS_PER_US;
    move.n_transfers = 1;
    move.n_copies = 5;
    move.n_planned_slots = 1000;
    assert_move(&move, nvlink + 4 * US, 0.009 + 5 * copy + 0.003);
    /* A layer that only changes within ranks is exchanged, too; one that stays is not. */
    move.n_transfers = 0;
    assert_move(&move, 0.0, 0.009 + 5 * copy + 0.003);
    move.n_copies = 0;
    assert_move(&move, 0.0, 0.003);
    move.n_planned_slots = 0;
    assert_move(&move, 0.0, 0.0);
    /* Experts that nobody holds come from the nodes' disks; ranks 8 and 9 share one. */
    const EepTransfer lost[] = {{.from_rank = EEP_TRANSFER_FROM_DISK, .to_rank = 0},
                                {.from_rank = EEP_TRANSFER_FROM_DISK, .to_rank = 8},
                                {.from_rank = EEP_TRANSFER_FROM_DISK, .to_rank = 9}};
    move.transfers = lost;
    move.n_transfers = 3;
    assert_move(&move, 0.0, 0.009 + 2 * 0.1);
    /* What the hosts keep comes over each rank's own link. */
    const EepTransfer backed[] = {{.from_rank = EEP_TRANSFER_FROM_HOST, .to_rank = 8},
                                  {.from_rank = EEP_TRANSFER_FROM_HOST, .to_rank = 9},
                                  {.from_rank = EEP_TRANSFER_FROM_HOST, .to_rank = 9}};
    move.transfers = backed;
    hardware.pcie_bytes_per_s = hardware.disk_bytes_per_s * 4.0;
    assert_move(&move, 0.0, 0.009 + 2 * 0.1 / 4.0);
    move.transfers = lost;
    move.n_planned_slots = 1000;
    hardware.constant_step = 1;
    assert_move(&move, 0.0, 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_table_is_complete);
    tcase_add_test(tcase, test_constant);
    tcase_add_test(tcase, test_mla_params);
    tcase_add_test(tcase, test_mla_decode);
    tcase_add_test(tcase, test_mla_prefill);
    tcase_add_test(tcase, test_gqa);
    tcase_add_test(tcase, test_window_and_linear_layers);
    tcase_add_test(tcase, test_experts);
    tcase_add_test(tcase, test_dense_shared_head);
    tcase_add_test(tcase, test_router);
    tcase_add_test(tcase, test_cpu);
    tcase_add_test(tcase, test_collectives);
    tcase_add_test(tcase, test_capabilities);
    tcase_add_test(tcase, test_distinct_places);
    tcase_add_test(tcase, test_scatter);
    tcase_add_test(tcase, test_node_dedup_sends_once_a_node);
    tcase_add_test(tcase, test_gather);
    tcase_add_test(tcase, test_deepep_published);
    tcase_add_test(tcase, test_capture_sizes);
    tcase_add_test(tcase, test_graph_modes);
    tcase_add_test(tcase, test_micro_batch_rules);
    tcase_add_test(tcase, test_moves);
    tcase_add_test(tcase, test_kv_moves);
    tcase_add_test(tcase, test_rounds_and_the_rest_of_a_move);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
