/* What a scenario that loads holds: values, defaults, overrides, pools, and the round trip. */
#include "tests/scenarios/scenario_kit.h"

START_TEST(the_kit_holds_what_it_says)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, NULL);
    ck_assert_str_eq(scenario->name, "kit");
    ck_assert_int_eq(scenario->seed, 1);
    ck_assert_int_eq(scenario->nodes, 2);
    ck_assert_str_eq(scenario->model.name, "deepseek-v3");
    ck_assert_str_eq(scenario->hardware.name, "h200-sxm");
    ck_assert_uint_eq(scenario->n_pools, 1);
    const EepScenarioPool *pool = &scenario->pools[0];
    ck_assert_str_eq(pool->name, "main");
    ck_assert_int_eq(pool->options.data_parallel_size, 8);
    ck_assert(pool->options.enable_elastic_ep);
    ck_assert_int_eq(pool->options.all2all_backend, EEP_ALL2ALL_NIXL_EP);
    ck_assert_int_eq(pool->memory.slots_per_rank, 32);
    ck_assert_int_gt(pool->memory.num_gpu_blocks, 10000);
    ck_assert(scenario->traffic.synthetic.rate == 10.0);
    ck_assert_int_eq(scenario->traffic.synthetic.duration, 600 * EEP_NS_PER_S);
    ck_assert_int_eq(scenario->traffic.synthetic.input_tokens.constant, 1000);
    ck_assert_int_eq(eep_length_options_form(&scenario->traffic.synthetic.output_tokens),
                     EEP_LENGTHS_EXPONENTIAL);
    ck_assert_int_eq(scenario->slo.ttft, 2 * EEP_NS_PER_S);
    ck_assert_int_eq(scenario->slo.tpot, 50 * EEP_NS_PER_MS);
    ck_assert_uint_eq(scenario->n_events, 1);
    ck_assert_str_eq(scenario->events[0].id, "grow");
    ck_assert_str_eq(scenario->events[0].pool, "main");
    ck_assert_int_eq(scenario->events[0].at, 120 * EEP_NS_PER_S);
    ck_assert_int_eq(scenario->events[0].scale_elastic_ep.new_data_parallel_size, 16);
    ck_assert_ptr_null(scenario->expect[0]);
}
END_TEST

START_TEST(defaults_are_vllms)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, NULL);
    const EepPoolOptions *options = &scenario->pools[0].options;
    ck_assert_int_eq(options->max_num_seqs, 1024); /* 139.8 GiB: at least 70, below 160 */
    ck_assert_int_eq(options->max_num_batched_tokens, 8192);
    ck_assert_int_eq(options->max_model_len, 163840);
    ck_assert_int_eq(options->block_size, 16);
    ck_assert(options->gpu_memory_utilization == 0.9);
    ck_assert(options->enable_prefix_caching && options->async_scheduling);
    ck_assert(options->enable_expert_parallel);
    ck_assert_int_eq(options->router.policy, EEP_ROUTER_IN_FLIGHT_KV);
    ck_assert_int_eq(options->router.staleness, 100 * EEP_NS_PER_MS);
    ck_assert_int_eq(options->eplb_config.window_size, 1000);
    ck_assert_int_eq(options->eplb_config.step_interval, 3000);
    ck_assert(options->eplb_config.use_async);
    ck_assert_str_eq(options->eplb_config.policy, "vllm");
    ck_assert_str_eq(options->resize.generation, "g2.1");
    ck_assert_int_eq(options->resize.drain_timeout, 120 * EEP_NS_PER_S);
}
END_TEST

START_TEST(overrides_and_seed)
{
    static const char *const sets[] = {"deployment.eplb_config={policy: default}",
                                       "events[1]={at: 30s, id: early, scale_elastic_ep: "
                                       "{new_data_parallel_size: 8}}",
                                       "hardware.nodes=3",
                                       "traffic.synthetic.input_tokens=50",
                                       "model={profile: deepseek_r1, max_model_len: 4096}",
                                       "seed=3",
                                       NULL};
    GError *error = NULL;
    g_autoptr(EepScenario) scenario =
        eep_scenario_parse("kit.yaml", kit_text, -1, kit_folders, sets, 9, &error);
    ck_assert_ptr_nonnull(scenario);
    ck_assert_int_eq(scenario->seed, 9);
    ck_assert_int_eq(scenario->nodes, 3);
    ck_assert_str_eq(scenario->pools[0].options.eplb_config.policy, "vllm");
    ck_assert_int_eq(scenario->traffic.synthetic.input_tokens.constant, 50);
    ck_assert_str_eq(scenario->model.name, "deepseek-v3");
    ck_assert_int_eq(scenario->model.max_model_len, 4096);
    ck_assert_int_eq(scenario->pools[0].options.max_model_len, 4096);
    ck_assert_uint_eq(scenario->n_events, 2);
    ck_assert_str_eq(scenario->events[0].id, "early"); /* by time, not as written */
    ck_assert_str_eq(scenario->events[1].id, "grow");
}
END_TEST

START_TEST(pools_inherit_defaults)
{
    g_autofree char *text = kit_replace("  data_parallel_size: 8\n"
                                        "  enable_elastic_ep: true\n"
                                        "  enable_eplb: true\n"
                                        "  all2all_backend: nixl_ep\n",
                                        "  defaults: {data_parallel_size: 8, enable_elastic_ep: "
                                        "true, enable_eplb: true, block_size: 32}\n"
                                        "  router: {policy: round_robin}\n"
                                        "  pools:\n"
                                        "    one: {}\n"
                                        "    two: {block_size: 64, router: {staleness: 1s}}\n");
    static const char *const sets[] = {"events[0].pool=two", "hardware.nodes=3",
                                       "deployment.pools.one.max_num_seqs=7", NULL};
    g_autoptr(EepScenario) scenario = kit_load(text, sets);
    ck_assert_uint_eq(scenario->n_pools, 2);
    ck_assert_int_eq(eep_scenario_find_pool(scenario, "two"), 1);
    ck_assert_int_eq(eep_scenario_find_pool(scenario, "main"), -1);
    ck_assert_int_eq(scenario->pools[0].options.block_size, 32);
    ck_assert_int_eq(scenario->pools[0].options.max_num_seqs, 7);
    ck_assert_int_eq(scenario->pools[1].options.block_size, 64);
    ck_assert_int_eq(scenario->pools[1].options.router.policy, EEP_ROUTER_ROUND_ROBIN);
    ck_assert_int_eq(scenario->pools[1].options.router.staleness, EEP_NS_PER_S);
    ck_assert_int_eq(scenario->pools[0].options.router.staleness, 100 * EEP_NS_PER_MS);
}
END_TEST

START_TEST(nodes_are_counted_when_not_given)
{
    g_autofree char *text = kit_replace("{profile: h200-sxm, nodes: 2}", "h200-sxm");
    g_autoptr(EepScenario) scenario = kit_load(text, NULL);
    ck_assert_int_eq(scenario->nodes, 2); /* 16 engines of one GPU, 8 a node */
}
END_TEST

START_TEST(paths_are_relative_to_who_says_them)
{
    static const char *const own[] = {"traffic.synthetic=null", NULL};
    static const char *const given[] = {"traffic={trace: {path: here.csv}}", NULL};
    g_autofree char *text = kit_replace("  synthetic:", "  trace: {path: a.csv}\n  synthetic:");
    GError *error = NULL;
    g_autoptr(EepScenario) filed =
        eep_scenario_parse("some/folder/s.yaml", text, -1, kit_folders, own, -1, &error);
    ck_assert_ptr_nonnull(filed);
    ck_assert_str_eq(filed->traffic.trace.path, "some/folder/a.csv");
    g_autoptr(EepScenario) overridden =
        eep_scenario_parse("some/folder/s.yaml", text, -1, kit_folders, given, -1, &error);
    ck_assert_ptr_nonnull(overridden);
    ck_assert_str_eq(overridden->traffic.trace.path, "here.csv");
    g_autofree char *written = eep_scenario_write(filed);
    ck_assert_ptr_nonnull(strstr(written, "path: a.csv"));
    ck_assert_ptr_null(strstr(written, "some/folder"));
}
END_TEST

/* Writing, loading and writing again gives the same text; so does an odd scenario. */
START_TEST(the_round_trip_is_exact)
{
    static const char *const sets[][6] = {
        {NULL},
        {"traffic.synthetic.rate=null",
         "traffic.synthetic.piecewise=[{at: 0s, rate: 7/min}, {at: 90500us, rate: 0.1/s}]",
         "expect=[\"slo_attainment >= 0.99\", \"resizes.grow.outcome == complete\"]",
         "run={end: cut, duration: 100001ns}", NULL},
        {"model={profile: deepseek-v3, kv_bytes_per_value: 1}",
         "hardware={profile: h200-sxm, nodes: 4, cpu_step: 333us, nic_bandwidth: 800Gb/s}",
         "skew={law: zipf, exponent: 0.7}", "name=\"a: b\"",
         "deployment.gpu_memory_utilization=0.8765", NULL},
        {"skew={law: zipf, exponent: 0.8, layers: independent, decode_correlation: 0.6, drift: "
         "{kind: random_walk, half_life: 10min}}",
         NULL},
    };
    g_autoptr(EepScenario) scenario = kit_load(kit_text, sets[_i]);
    g_autofree char *written = eep_scenario_write(scenario);
    g_autoptr(EepScenario) again = kit_load(written, NULL);
    g_autofree char *twice = eep_scenario_write(again);
    ck_assert_str_eq(written, twice);
    ck_assert_mem_eq(&scenario->slo, &again->slo, sizeof scenario->slo);
    ck_assert_mem_eq(&scenario->skew, &again->skew, sizeof scenario->skew);
    ck_assert_mem_eq(&scenario->pools[0].memory, &again->pools[0].memory,
                     sizeof scenario->pools[0].memory);
    ck_assert(scenario->hardware.nic_bytes_per_s == again->hardware.nic_bytes_per_s);
    ck_assert_int_eq(scenario->hardware.cpu_step, again->hardware.cpu_step);
    ck_assert_uint_eq(scenario->n_rate_steps, again->n_rate_steps);
}
END_TEST

START_TEST(restart_needs_no_elastic_ep)
{
    static const char *const sets[] = {"deployment.enable_elastic_ep=false",
                                       "deployment.resize.generation=restart", NULL};
    g_autoptr(EepScenario) scenario = kit_load(kit_text, sets);
    ck_assert_uint_eq(scenario->n_events, 1);
}
END_TEST

START_TEST(constant_step_takes_the_given_blocks)
{
    static const char *const sets[] = {"hardware={profile: constant-step, step_time: 20ms}",
                                       "deployment.num_gpu_blocks_override=321", NULL};
    g_autoptr(EepScenario) scenario = kit_load(kit_text, sets);
    ck_assert(eep_hardware_is_constant(&scenario->hardware));
    ck_assert_int_eq(scenario->hardware.constant_step, 20 * EEP_NS_PER_MS);
    ck_assert_int_eq(scenario->pools[0].memory.num_gpu_blocks, 321);
    ck_assert_int_eq(scenario->pools[0].memory.slots_per_rank, 32);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("scenario");
    tcase_add_test(tcase, the_kit_holds_what_it_says);
    tcase_add_test(tcase, defaults_are_vllms);
    tcase_add_test(tcase, overrides_and_seed);
    tcase_add_test(tcase, pools_inherit_defaults);
    tcase_add_test(tcase, nodes_are_counted_when_not_given);
    tcase_add_test(tcase, paths_are_relative_to_who_says_them);
    tcase_add_loop_test(tcase, the_round_trip_is_exact, 0, 4);
    tcase_add_test(tcase, restart_needs_no_elastic_ep);
    tcase_add_test(tcase, constant_step_takes_the_given_blocks);
    return kit_run(tcase);
}
