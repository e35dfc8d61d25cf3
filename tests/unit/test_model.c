/* core/model.h and core/memory_fit.h by hand, for DeepSeek-V3, V2-Lite and shapes made up for one
 * term each. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory_fit.h"

/* numbers.md section 4: the published configuration. */
static EepModel v3(void)
{
    EepModel model;
    eep_options_init(&eep_model_options, &model);
    model.n_layers = 61;
    model.n_dense_layers = 3;
    model.hidden_size = 7168;
    model.dense_intermediate_size = 18432;
    model.moe_intermediate_size = 2048;
    model.n_routed_experts = 256;
    model.n_shared_experts = 1;
    model.experts_per_token = 8;
    model.n_group = 8;
    model.topk_group = 4;
    model.attention = EEP_ATTENTION_MLA;
    model.n_heads = 128;
    model.q_lora_rank = 1536;
    model.kv_lora_rank = 512;
    model.qk_nope_head_dim = 128;
    model.qk_rope_head_dim = 64;
    model.v_head_dim = 128;
    model.vocab_size = 129280;
    model.expert_weight_bytes_per_param = 1;
    model.weight_bytes_per_param = 1;
    model.max_model_len = 163840;
    return model;
}

static EepModel v2_lite(void)
{
    EepModel model = v3();
    model.n_layers = 27;
    model.n_dense_layers = 1;
    model.hidden_size = 2048;
    model.dense_intermediate_size = 10944;
    model.moe_intermediate_size = 1408;
    model.n_routed_experts = 64;
    model.n_shared_experts = 2;
    model.experts_per_token = 6;
    model.n_group = model.topk_group = 1;
    model.n_heads = 16;
    model.q_lora_rank = 0;
    model.vocab_size = 102400;
    model.expert_weight_bytes_per_param = model.weight_bytes_per_param = 2;
    return model;
}

static EepPoolOptions pool(gint64 engines)
{
    EepPoolOptions options;
    eep_options_init(&eep_pool_options, &options);
    options.data_parallel_size = engines;
    options.max_num_seqs = 256;
    options.max_num_batched_tokens = 8192;
    options.max_model_len = 4096;
    return options;
}

START_TEST(deepseek_v3_by_hand)
{
    EepModel model = v3();
    ck_assert(eep_model_check(&model, NULL));
    ck_assert_int_eq(eep_model_n_moe_layers(&model), 58);
    ck_assert_int_eq(eep_model_expert_bytes(&model), 44040192);       /* 3 * 7168 * 2048 */
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 1), 70272); /* 61 * 576 * 2 */
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 8), 70272); /* latent on every rank */
    /* attention 187105280 * 61, dense 3 * 396361728, shared 58 * 44040192, router 58 * 1835008,
     * embedding and head 2 * 129280 * 7168 in BF16 */
    gint64 attention = G_GINT64_CONSTANT(187105280) * 61;
    gint64 blocks =
        attention + 3 * G_GINT64_CONSTANT(396361728) + 58 * (G_GINT64_CONSTANT(44040192) + 1835008);
    gint64 embedding = 2 * G_GINT64_CONSTANT(129280) * 7168;
    ck_assert_int_eq(eep_model_non_expert_bytes(&model, 1), blocks + 2 * embedding);
    ck_assert(eep_model_total_params(&model) ==
              (double)(blocks + embedding + 58 * 256 * G_GINT64_CONSTANT(44040192)));
    ck_assert(eep_model_active_params(&model) ==
              (double)(blocks + embedding + 58 * 8 * G_GINT64_CONSTANT(44040192)));
}
END_TEST

START_TEST(v2_lite_by_hand)
{
    EepModel model = v2_lite();
    ck_assert_int_eq(eep_model_n_moe_layers(&model), 26);
    ck_assert_int_eq(eep_model_expert_bytes(&model), 17301504); /* 3 * 2048 * 1408 * 2 */
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 1), 27 * 576 * 2);
}
END_TEST

START_TEST(tensor_parallelism_splits_and_replicates)
{
    EepModel model = v3();
    model.n_layers = 2;
    model.n_dense_layers = 0;
    model.attention = EEP_ATTENTION_GQA;
    model.hidden_size = 1000;
    model.n_heads = 8;
    model.n_kv_heads = 2;
    model.head_dim = 10;
    model.n_shared_experts = 0;
    model.n_routed_experts = 4;
    model.n_group = model.topk_group = 1;
    model.experts_per_token = 2;
    model.vocab_size = 100;
    model.embedding_bytes_per_param = 1;
    /* a rank of 4 has 2 of 8 query heads and 1 whole KV head: 1000 * 10 * (2 * 2 + 2 * 1);
     * router 1000 * 4; embeddings 2 * 100 * 1000 / 4 */
    ck_assert_int_eq(eep_model_non_expert_bytes(&model, 4), 2 * (60000 + 4000) + 50000);
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 1), 2 * 2 * 2 * 10 * 2);
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 2), 2 * 2 * 1 * 10 * 2);
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 4), 2 * 2 * 1 * 10 * 2);
}
END_TEST

START_TEST(window_and_linear_layers_hold_a_bounded_state)
{
    EepModel model = v3();
    model.attention = EEP_ATTENTION_GQA;
    model.n_heads = 64;
    model.n_kv_heads = 8;
    model.head_dim = 64;
    model.n_layers = 36;
    model.n_window_layers = 18;
    model.window_tokens = 128;
    /* gpt-oss: 2 * 8 * 64 values of 2 B a token and layer */
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 1), 18 * 2048);
    ck_assert_int_eq(eep_model_bounded_state_bytes(&model, 1), 18 * 128 * 2048);
    model.n_linear_layers = 6;
    model.linear_state_bytes = 1000;
    ck_assert_int_eq(eep_model_kv_bytes_per_token(&model, 1), 12 * 2048);
    ck_assert_int_eq(eep_model_bounded_state_bytes(&model, 1), 18 * 128 * 2048 + 6000);
    ck_assert_int_eq(eep_model_bounded_state_bytes(&model, 2), 18 * 128 * 1024 + 3000);
}
END_TEST

START_TEST(inconsistent_shapes_are_refused)
{
    EepModel good = v3(), model;
    GError *error = NULL;
#define REFUSED(change, text)                                                                      \
    model = good;                                                                                  \
    change;                                                                                        \
    ck_assert(!eep_model_check(&model, &error));                                                   \
    ck_assert_msg(strstr(error->message, text) != NULL, "%s", error->message);                     \
    g_clear_error(&error)
    REFUSED(model.n_dense_layers = 61, "no layer is MoE");
    REFUSED(model.dense_intermediate_size = 0, "3 layers are dense");
    REFUSED(model.experts_per_token = 257, "at most n_routed_experts 256");
    REFUSED(model.n_group = 7, "n_group 7 and topk_group 4");
    REFUSED(model.kv_lora_rank = 0, "attention is mla");
    REFUSED(model.attention = EEP_ATTENTION_GQA, "attention is gqa");
    REFUSED(model.n_window_layers = 62, "at most n_layers 61");
    REFUSED(model.n_window_layers = 1, "window_tokens must be given");
#undef REFUSED
}
END_TEST

START_TEST(slots_stay_when_the_pool_is_resized)
{
    EepModel model = v3();
    EepPoolOptions options = pool(16);
    ck_assert_int_eq(eep_memory_slots_per_rank(&model, &options), 16);
    ck_assert_int_eq(eep_memory_min_data_parallel_size(&model, &options), 16);
    options.eplb_config.num_redundant_experts = 128; /* 24 slots: ceil(256 / 24) = 11 */
    ck_assert_int_eq(eep_memory_slots_per_rank(&model, &options), 24);
    ck_assert_int_eq(eep_memory_min_data_parallel_size(&model, &options), 11);
    options.tensor_parallel_size = 2; /* 32 ranks: 12 slots; an engine has 24 */
    ck_assert_int_eq(eep_memory_slots_per_rank(&model, &options), 12);
    ck_assert_int_eq(eep_memory_min_data_parallel_size(&model, &options), 11);
    eep_options_clear(&eep_pool_options, &options);
}
END_TEST

START_TEST(the_fit_by_hand)
{
    EepModel model = v3();
    EepHardware machine;
    EepMemoryFit fit, twice;
    EepPoolOptions options = pool(16);
    GError *error = NULL;

    eep_options_init(&eep_hardware_options, &machine);
    machine.hbm_bytes = G_GINT64_CONSTANT(141000000000);
    machine.reserved_bytes = 3500000000;
    machine.graph_bytes = 2000000000;
    ck_assert(eep_memory_fit(&model, &machine, &options, 16, &fit, &error));
    /* 0.9 * 141 GB */
    ck_assert_int_eq(fit.usable_bytes, G_GINT64_CONSTANT(126900000000));
    ck_assert_int_eq(fit.expert_total_bytes, 16 * 58 * G_GINT64_CONSTANT(44040192));
    /* 8192 tokens * 2 B * (12 * 7168 + 8 * (2 * 7168 + 2 * 2048)) + 256 * 129280 * 4 B */
    ck_assert_int_eq(fit.activation_bytes, G_GINT64_CONSTANT(8192) * 2 * (86016 + 8 * 18432) +
                                               G_GINT64_CONSTANT(256) * 129280 * 4);
    ck_assert_int_eq(fit.kv_bytes, fit.usable_bytes - eep_model_non_expert_bytes(&model, 1) -
                                       fit.expert_total_bytes - 2000000000 - 3500000000 -
                                       fit.activation_bytes);
    ck_assert_int_eq(fit.num_gpu_blocks, fit.kv_bytes / (70272 * 16));
    ck_assert_int_eq(fit.bounded_bytes, 0);
    ck_assert(eep_memory_fit(&model, &machine, &options, 24, &twice, &error));
    ck_assert_mem_eq(&fit, &twice, sizeof fit); /* a larger group holds no less KV */

    options.num_gpu_blocks_override = 77;
    ck_assert(eep_memory_fit(&model, &machine, &options, 16, &fit, &error));
    ck_assert_int_eq(fit.num_gpu_blocks, 77);
    options.num_gpu_blocks_override = 0;

    ck_assert(!eep_memory_fit(&model, &machine, &options, 15, &fit, &error));
    ck_assert_str_eq(error->message, "15 ranks x 16 slots hold 240 of 256 experts: every expert "
                                     "needs a slot; try 16 ranks");
    g_clear_error(&error);
    machine.hbm_bytes = G_GINT64_CONSTANT(60000000000);
    ck_assert(!eep_memory_fit(&model, &machine, &options, 16, &fit, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "experts: 16 slots x 58 MoE layers x 44.04 MB"));
    g_clear_error(&error);
    eep_options_clear(&eep_hardware_options, &machine);
    eep_options_clear(&eep_pool_options, &options);
}
END_TEST

/* Other slots make what a launch with them would. */
START_TEST(the_fit_follows_the_slots)
{
    EepModel model = v3();
    EepHardware machine;
    EepMemoryFit fit, launched, followed;
    EepPoolOptions options = pool(16), wide = pool(8);
    GError *error = NULL;

    eep_options_init(&eep_hardware_options, &machine);
    machine.hbm_bytes = G_GINT64_CONSTANT(180000000000);
    wide.eplb_config.num_redundant_experts = 0;
    options.eplb_config.num_redundant_experts = 0;
    ck_assert(eep_memory_fit(&model, &machine, &options, 16, &fit, &error));
    ck_assert(eep_memory_fit(&model, &machine, &wide, 8, &launched, &error));
    eep_memory_fit_with_slots(&fit, 32, &followed);
    ck_assert_mem_eq(&followed, &launched, sizeof followed);
    ck_assert_int_lt(followed.num_gpu_blocks, fit.num_gpu_blocks);
    eep_memory_fit_with_slots(&followed, 16, &followed);
    ck_assert_mem_eq(&followed, &fit, sizeof followed);

    const gint64 most = eep_memory_fit_max_slots(&fit);
    eep_memory_fit_with_slots(&fit, most, &followed);
    ck_assert_int_ge(followed.num_gpu_blocks, 1);
    eep_memory_fit_with_slots(&fit, most + 1, &followed);
    ck_assert_int_eq(followed.num_gpu_blocks, 0);
    /* State of sequences takes at most half of the room, so it costs no slot. */
    fit.bounded_each = 1 << 20;
    fit.max_num_seqs = 1024;
    ck_assert_int_ge(eep_memory_fit_max_slots(&fit), most - 1);
    fit.is_override = TRUE;
    ck_assert_int_eq(eep_memory_fit_max_slots(&fit), G_MAXINT64);
    eep_memory_fit_with_slots(&fit, most + 1, &followed);
    ck_assert_int_eq(followed.num_gpu_blocks, fit.num_gpu_blocks);
    eep_options_clear(&eep_hardware_options, &machine);
    eep_options_clear(&eep_pool_options, &options);
    eep_options_clear(&eep_pool_options, &wide);
}
END_TEST

START_TEST(limits_are_vllms_by_memory)
{
    static const struct {
        const char *name;
        double gib;
        gint64 seqs, tokens;
    } cases[] = {
        {"b200-sxm", 167.6, 1024, 16384}, {"h200-sxm", 139.8, 1024, 8192},
        {"h100-sxm", 79.2, 1024, 8192},   {"a100-sxm", 79.2, 256, 2048},
        {"small", 48.0, 256, 2048},
    };
    EepModel model = v3();
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        EepHardware machine;
        EepPoolOptions options;
        eep_options_init(&eep_hardware_options, &machine);
        eep_options_init(&eep_pool_options, &options);
        machine.name = g_strdup(cases[i].name);
        machine.hbm_bytes = (gint64)(cases[i].gib * 1073741824.0);
        eep_memory_resolve_limits(&model, &machine, &options);
        ck_assert_int_eq(options.max_num_seqs, cases[i].seqs);
        ck_assert_int_eq(options.max_num_batched_tokens, cases[i].tokens);
        ck_assert_int_eq(options.max_model_len, 163840);
        options.max_num_seqs = 5;
        eep_memory_resolve_limits(&model, &machine, &options);
        ck_assert_int_eq(options.max_num_seqs, 5);
        eep_options_clear(&eep_hardware_options, &machine);
        eep_options_clear(&eep_pool_options, &options);
    }
}
END_TEST

START_TEST(the_text_shows_the_arithmetic)
{
    EepMemoryFit fit = {.hbm_bytes = G_GINT64_CONSTANT(100) << 30,
                        .usable_bytes = G_GINT64_CONSTANT(90) << 30,
                        .slots_per_rank = 16,
                        .n_moe_layers = 58,
                        .expert_bytes = 44040192,
                        .non_expert_bytes = G_GINT64_CONSTANT(17) << 30,
                        .expert_total_bytes = G_GINT64_CONSTANT(38) << 30,
                        .graph_bytes = G_GINT64_CONSTANT(2) << 30,
                        .reserved_bytes = G_GINT64_CONSTANT(3) << 30,
                        .activation_bytes = G_GINT64_CONSTANT(4) << 30,
                        .bounded_bytes = G_GINT64_CONSTANT(1) << 30,
                        .bounded_seqs = 8,
                        .kv_bytes = G_GINT64_CONSTANT(25) << 30,
                        .kv_bytes_per_token = 70272,
                        .block_size = 16,
                        .num_gpu_blocks = 100};
    g_autofree char *text = eep_memory_fit_to_text(&fit);
    ck_assert_str_eq(text, "       90.00 GiB  usable of 100.00 GiB (gpu_memory_utilization)\n"
                           "  -    17.00 GiB  other weights\n"
                           "  -    38.00 GiB  experts: 16 slots x 58 MoE layers x 44.04 MB\n"
                           "  -     4.00 GiB  activations of the largest step (estimate)\n"
                           "  -     2.00 GiB  graphs\n"
                           "  -     3.00 GiB  reserved (context, NCCL, fragmentation)\n"
                           "  -     1.00 GiB  state of window and linear layers of 8 sequences\n"
                           "  =    25.00 GiB  KV cache\n"
                           "  100 blocks of 16 tokens x 70272 B = 1600 tokens an engine\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("model");
    tcase_add_test(tcase, deepseek_v3_by_hand);
    tcase_add_test(tcase, v2_lite_by_hand);
    tcase_add_test(tcase, tensor_parallelism_splits_and_replicates);
    tcase_add_test(tcase, window_and_linear_layers_hold_a_bounded_state);
    tcase_add_test(tcase, inconsistent_shapes_are_refused);
    tcase_add_test(tcase, slots_stay_when_the_pool_is_resized);
    tcase_add_test(tcase, the_fit_by_hand);
    tcase_add_test(tcase, the_fit_follows_the_slots);
    tcase_add_test(tcase, limits_are_vllms_by_memory);
    tcase_add_test(tcase, the_text_shows_the_arithmetic);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
