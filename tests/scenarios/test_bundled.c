/* Every scenario that comes with the program loads, and its effective form loads again. */
#include "tests/scenarios/scenario_kit.h"

#include "core/resize/generation.h"

static char **list_files(void)
{
    GPtrArray *names = g_ptr_array_new();
    GDir *folder = g_dir_open("scenarios", 0, NULL);
    const char *name;
    ck_assert_ptr_nonnull(folder);
    while ((name = g_dir_read_name(folder)) != NULL)
        if (g_str_has_suffix(name, ".yaml"))
            g_ptr_array_add(names, g_build_filename("scenarios", name, NULL));
    g_dir_close(folder);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

START_TEST(all_load_and_round_trip)
{
    g_auto(GStrv) files = list_files();
    ck_assert_uint_ge(g_strv_length(files), 8);
    for (char **file = files; *file != NULL; file++) {
        GError *error = NULL;
        g_autoptr(EepScenario) scenario = eep_scenario_load(*file, kit_folders, NULL, -1, &error);
        ck_assert_msg(scenario != NULL, "%s", error != NULL ? error->message : "");
        g_autofree char *base = g_path_get_basename(*file);
        g_autofree char *expected = g_strconcat(scenario->name, ".yaml", NULL);
        ck_assert_str_eq(base, expected);
        g_autofree char *written = eep_scenario_write(scenario);
        g_autoptr(EepScenario) again = kit_load(written, NULL);
        g_autofree char *twice = eep_scenario_write(again);
        ck_assert_str_eq(written, twice);
    }
}
END_TEST

START_TEST(quickstart_can_reach_16_engines_and_come_back)
{
    GError *error = NULL;
    g_autoptr(EepScenario) scenario =
        eep_scenario_load("scenarios/quickstart.yaml", kit_folders, NULL, -1, &error);
    ck_assert_msg(scenario != NULL, "%s", error != NULL ? error->message : "");
    ck_assert_int_ge(scenario->nodes * scenario->hardware.gpus_per_node, 16);
    ck_assert_uint_eq(scenario->n_events, 2);
    ck_assert_int_eq(scenario->events[0].scale_elastic_ep.new_data_parallel_size, 16);
    ck_assert_int_lt(scenario->events[1].scale_elastic_ep.new_data_parallel_size, 16);
    ck_assert_str_eq(scenario->pools[0].options.resize.generation, "g2.1");
    ck_assert(eep_scenario_check_files(scenario, &error)); /* needs no download */
}
END_TEST

/* They differ in name and generation, and in what the generation asks for. */
START_TEST(the_resizes_of_all_generations_have_the_same_traffic)
{
    static const char *const files[] = {"resize-restart", "resize-m1",  "resize-g1",    "resize-g2",
                                        "resize-g3",      "resize-eep", "resize-masked"};
    static const char *const sets[] = {"name=resize-g2.1", "deployment.resize.generation=g2.1",
                                       "deployment.all2all_backend=allgather_reducescatter",
                                       "deployment.resize.reserve=null", NULL};
    g_autofree char *path = g_strdup_printf("scenarios/%s.yaml", files[_i]);
    GError *error = NULL;
    g_autoptr(EepScenario) one =
        eep_scenario_load("scenarios/resize-g2.1.yaml", kit_folders, NULL, -1, NULL);
    g_autoptr(EepScenario) other = eep_scenario_load(path, kit_folders, sets, -1, &error);

    ck_assert_msg(other != NULL, "%s: %s", path, error != NULL ? error->message : "");
    g_autofree char *text = eep_scenario_write(one);
    g_autofree char *same = eep_scenario_write(other);
    ck_assert_str_eq(text, same);
}
END_TEST

/* The target beside the checkout has every key of recovery; the bundled one is it with less load.
 */
START_TEST(the_rank_failure_of_the_interface_loads)
{
    static const char *const path = "../shared/scenarios/rank-failure.yaml";
    GError *error = NULL;
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return;
    g_autoptr(EepScenario) target = eep_scenario_load(path, kit_folders, NULL, -1, &error);
    ck_assert_msg(target != NULL, "%s", error != NULL ? error->message : "");
    g_autoptr(EepScenario) bundled =
        eep_scenario_load("scenarios/rank-failure.yaml", kit_folders, NULL, -1, &error);
    ck_assert_msg(bundled != NULL, "%s", error != NULL ? error->message : "");
    ck_assert_mem_eq(&target->pools[0].options.fault_tolerance,
                     &bundled->pools[0].options.fault_tolerance,
                     sizeof bundled->pools[0].options.fault_tolerance);
    ck_assert_uint_eq(target->n_events, bundled->n_events);
    for (guint i = 0; i < target->n_events; i++) {
        ck_assert_int_eq(target->events[i].kind, bundled->events[i].kind);
        ck_assert_int_eq(target->events[i].earliest, bundled->events[i].earliest);
    }
    for (guint i = 0; target->expect[i] != NULL; i++)
        ck_assert_str_eq(target->expect[i], bundled->expect[i]);
}
END_TEST

/* Every generation can do the small and the large case, with the backend that all of them allow. */
START_TEST(every_generation_can_do_both_cases)
{
    static const char *const names[] = {"resize-v2-lite", "resize-v3-gb200"};
    guint n;
    const EepGeneration *generations = eep_generation_all(&n);
    for (guint i = 0; i < G_N_ELEMENTS(names) * n; i++) {
        g_autofree char *path = g_strconcat("scenarios/", names[i / n], ".yaml", NULL);
        g_autofree char *set =
            g_strconcat("deployment.resize.generation=", generations[i % n].name, NULL);
        const char *const sets[] = {set, NULL};
        GError *error = NULL;
        g_autoptr(EepScenario) scenario = eep_scenario_load(path, kit_folders, sets, -1, &error);
        ck_assert_msg(scenario != NULL, "%s", error != NULL ? error->message : "");
        ck_assert_int_eq(scenario->pools[0].memory.slots_per_rank, 16);
    }
}
END_TEST

START_TEST(traces_are_found_where_set_says)
{
    static const char *const sets[] = {
        "traffic.trace.path=../shared/traces/mooncake/conversation_trace.jsonl", NULL};
    GError *error = NULL;
    g_autoptr(EepScenario) scenario =
        eep_scenario_load("scenarios/mooncake-conversation.yaml", kit_folders, sets, -1, &error);
    ck_assert_ptr_nonnull(scenario);
    ck_assert_str_eq(scenario->traffic.trace.path,
                     "../shared/traces/mooncake/conversation_trace.jsonl");
    ck_assert_int_eq(scenario->traffic.trace.spread_batches, 3 * EEP_NS_PER_S);
    ck_assert(scenario->pools[0].options.enable_prefix_caching);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("bundled");
    tcase_add_test(tcase, all_load_and_round_trip);
    tcase_add_test(tcase, quickstart_can_reach_16_engines_and_come_back);
    tcase_add_loop_test(tcase, the_resizes_of_all_generations_have_the_same_traffic, 0, 7);
    tcase_add_test(tcase, the_rank_failure_of_the_interface_loads);
    tcase_add_test(tcase, every_generation_can_do_both_cases);
    tcase_add_test(tcase, traces_are_found_where_set_says);
    return kit_run(tcase);
}
