/* A small valid scenario for tests, and a main() for one test case. Header only: static data. */
#ifndef EEP_TESTS_SCENARIO_KIT_H
#define EEP_TESTS_SCENARIO_KIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/scenario.h"

static const char *const kit_folders[] = {"scenarios", NULL};

/* 16 H200 in two nodes, V3 at DP 8 with 32 slots a rank, one resize. Tests replace lines of it. */
static const char kit_text[] = "eep: 1\n"
                               "name: kit\n"
                               "model: deepseek-v3\n"
                               "hardware: {profile: h200-sxm, nodes: 2}\n"
                               "deployment:\n"
                               "  data_parallel_size: 8\n"
                               "  enable_elastic_ep: true\n"
                               "  enable_eplb: true\n"
                               "  all2all_backend: nixl_ep\n"
                               "traffic:\n"
                               "  synthetic:\n"
                               "    rate: 10/s\n"
                               "    duration: 10min\n"
                               "    input_tokens: 1000\n"
                               "    output_tokens: {exponential: {mean: 200}}\n"
                               "slo: {ttft: 2s, tpot: 50ms, target: 0.99}\n"
                               "events:\n"
                               "  - {id: grow, at: 2min, scale_elastic_ep: "
                               "{new_data_parallel_size: 16}}\n";

/* kit_text with the first `from` replaced by `to`; new string. */
static inline char *kit_replace(const char *from, const char *to)
{
    const char *at = strstr(kit_text, from);
    ck_assert_msg(at != NULL, "the kit has no \"%s\"", from);
    g_autofree char *head = g_strndup(kit_text, (gsize)(at - kit_text));
    return g_strconcat(head, to, at + strlen(from), NULL);
}

static inline EepScenario *kit_load(const char *text, const char *const *sets)
{
    GError *error = NULL;
    EepScenario *scenario = eep_scenario_parse("kit.yaml", text, -1, kit_folders, sets, -1, &error);
    ck_assert_msg(scenario != NULL, "%s", error != NULL ? error->message : "no error");
    return scenario;
}

/* The message of a text that must not load; new string. */
static inline char *kit_message(const char *text, const char *const *sets)
{
    GError *error = NULL;
    EepScenario *scenario = eep_scenario_parse("kit.yaml", text, -1, kit_folders, sets, -1, &error);
    ck_assert_msg(scenario == NULL, "it loaded:\n%s", text);
    ck_assert_ptr_nonnull(error);
    char *message = g_strdup(error->message);
    g_error_free(error);
    return message;
}

static inline int kit_run(TCase *tcase)
{
    Suite *suite = suite_create("scenarios");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
