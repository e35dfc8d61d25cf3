/* The texts made from the tables name every key; tables themselves are sound. */
#include "tests/scenarios/scenario_kit.h"

#include "scenarios/fill.h"
#include "scenarios/reference.h"

START_TEST(every_default_is_in_bounds_and_written_as_a_file_would)
{
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++) {
        g_autofree char *base = g_malloc(section->table->size);
        eep_options_init(section->table, base);
        for (guint i = 0; i < section->table->n_options; i++) {
            const EepOption *option = &section->table->options[i];
            ck_assert_uint_gt(strlen(option->help), 5);
            ck_assert_ptr_eq(eep_options_find(section->table, option->key), option);
            g_autofree char *text = eep_option_format(option, base);
            if (text == NULL || eep_option_is_required(option))
                continue;
            GError *error = NULL;
            ck_assert_msg(eep_option_parse(option, base, text, &error), "%s: %s", option->key,
                          error != NULL ? error->message : "");
            g_autofree char *again = eep_option_format(option, base);
            ck_assert_str_eq(text, again);
        }
        eep_options_clear(section->table, base);
    }
}
END_TEST

START_TEST(every_key_is_explained)
{
    g_auto(GStrv) keys = eep_scenario_keys();
    g_autofree char *reference = eep_scenario_reference();
    ck_assert_uint_gt(g_strv_length(keys), 100);
    for (char **key = keys; *key != NULL; key++) {
        GError *error = NULL;
        g_autofree char *text = eep_scenario_explain(*key, &error);
        ck_assert_msg(text != NULL, "%s", error != NULL ? error->message : "");
        ck_assert_ptr_nonnull(strstr(text, *key));
    }
    ck_assert_ptr_nonnull(strstr(reference,
                                 "| `eplb_config.window_size` | a whole number from 1 to "
                                 "1000000000 | 1000 | --eplb-config.window_size |"));
}
END_TEST

START_TEST(explain_by_hand)
{
    static const char window[] =
        "deployment.eplb_config.window_size\n"
        "    steps whose load counts for a rebalance\n"
        "    accepts a whole number from 1 to 1000000000; default 1000; vLLM "
        "--eplb-config.window_size\n";
    static const char *const ways[] = {"window_size", "deployment.eplb_config.window_size",
                                       "deployment.pools.decode.eplb_config.window_size",
                                       "deployment.defaults.eplb_config.window_size"};
    for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *text = eep_scenario_explain(ways[i], NULL);
        ck_assert_str_eq(text, window);
    }
    g_autofree char *at = eep_scenario_explain("events[3].at", NULL);
    ck_assert_str_eq(at, "events[].at\n    when it happens; each event has this or during\n    "
                         "accepts a number of at least 0s in "
                         "ns, us, ms, s, min, h or d; default 0s\n");
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_scenario_explain("windo_size", &error));
    ck_assert_str_eq(error->message, "there is no key \"windo_size\": a section or a key of "
                                     "docs/scenario.md; try window_size");
}
END_TEST

START_TEST(the_schema_is_one_object_that_names_the_keys)
{
    g_autofree char *schema = eep_scenario_schema();
    static const char *const parts[] = {
        "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"",
        "\"new_data_parallel_size\": {",
        "\"piecewise\": {",
        "\"all2all_backend\": {",
        "\"$ref\": \"#/$defs/pool\"",
        "\"nixl_ep\"",
    };
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        ck_assert_msg(strstr(schema, parts[i]) != NULL, "no %s", parts[i]);
    gint depth = 0;
    gboolean in_string = FALSE;
    for (const char *at = schema; *at != '\0'; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            in_string = !in_string;
        else if (!in_string)
            depth += *at == '{' || *at == '[' ? 1 : *at == '}' || *at == ']' ? -1 : 0;
        ck_assert_int_ge(depth, 0);
    }
    ck_assert_int_eq(depth, 0);
}
END_TEST

START_TEST(keys_of_later_versions_are_not_keys_of_this_one)
{
    static const char *const later[] = {"autoscaler", "deployment.kv_transfer", "traffic.sessions",
                                        "events[].move_engines"};
    g_auto(GStrv) keys = eep_scenario_keys();
    for (guint i = 0; i < G_N_ELEMENTS(later); i++) {
        ck_assert_ptr_nonnull(eep_fill_later(later[i]));
        ck_assert(!g_strv_contains((const char *const *)keys, later[i]));
    }
    for (char **key = keys; *key != NULL; key++)
        ck_assert_ptr_null(eep_fill_later(*key));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("reference");
    tcase_add_test(tcase, every_default_is_in_bounds_and_written_as_a_file_would);
    tcase_add_test(tcase, every_key_is_explained);
    tcase_add_test(tcase, explain_by_hand);
    tcase_add_test(tcase, the_schema_is_one_object_that_names_the_keys);
    tcase_add_test(tcase, keys_of_later_versions_are_not_keys_of_this_one);
    return kit_run(tcase);
}
