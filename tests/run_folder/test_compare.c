/* cli/compare_runs.h: deltas by hand, and runs that must not be compared. */
#include <check.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/compare_runs.h"

static char *home;

static void put(const char *name, const char *members)
{
    g_autofree char *folder = g_build_filename(home, name, NULL);
    g_autofree char *path = g_build_filename(folder, "summary.json", NULL);

    g_mkdir(folder, 0777);
    ck_assert(g_file_set_contents(path, members, -1, NULL));
}

static void enter(void)
{
    home = g_dir_make_tmp("eep-compare-XXXXXX", NULL);
    ck_assert(home != NULL && g_chdir(home) == 0);
    put("base",
        "{\"eep\": 1, \"seed\": 7, \"sha256\": {\"traffic\": \"aa\"}, \"slo_attainment\": "
        "0.5, \"eplb\": {\"stalled_s\": 0.5}, \"gpu_hours\": 10, \"completed\": 87103, "
        "\"p99_ttft_ms\": null, "
        "\"median_ttft_ms\": 200, \"model\": \"m\", \"rejected\": {\"total\": 0}, "
        "\"resizes\": [{\"id\": \"grow\", \"generation\": \"g2.1\", \"outcome\": \"complete\", "
        "\"stall_s\": 4, \"downtime_s\": 5, \"total_s\": null, \"migrated\": 0}], "
        "\"incidents\": [{\"id\": \"mtbf\", \"fault\": \"fail\", \"outcome\": \"recovered\", "
        "\"recovery_by\": \"shrink\", \"recovery_s\": 10, \"lost\": 4}, "
        "{\"id\": \"mtbf\", \"fault\": \"fail\", \"outcome\": \"recovered\", "
        "\"recovery_by\": \"shrink\", \"recovery_s\": 20, \"lost\": 0}]}");
    put("better", "{\"eep\": 1, \"seed\": 7, \"sha256\": {\"traffic\": \"aa\"}, "
                  "\"slo_attainment\": 0.75, \"eplb\": {\"stalled_s\": 0}, \"gpu_hours\": 8, "
                  "\"completed\": 87103, "
                  "\"p99_ttft_ms\": 4, \"median_ttft_ms\": 150, \"model\": \"n\", "
                  "\"rejected\": {\"total\": 3}, "
                  "\"migrated\": 12, "
                  "\"resizes\": [{\"id\": \"\", \"from\": 4, \"to\": 8, \"at_s\": 70, "
                  "\"generation\": \"eep\", \"design_study\": true, \"outcome\": \"rolled_back\", "
                  "\"stall_s\": 1, \"downtime_s\": 1}, "
                  "{\"id\": \"grow\", \"generation\": \"eep\", \"design_study\": true, "
                  "\"outcome\": \"complete\", \"stall_s\": 1.5, \"migrated\": 12, "
                  "\"dip_tokens\": 30}], "
                  "\"incidents\": [{\"id\": \"mtbf\", \"fault\": \"fail\", "
                  "\"outcome\": \"degraded\", \"recovery_by\": \"mask_only\", "
                  "\"recovery_s\": 2.5, \"lost\": 4}]}");
    put("seed", "{\"eep\": 1, \"seed\": 8, \"sha256\": {\"traffic\": \"aa\"}}");
    put("traffic", "{\"eep\": 1, \"seed\": 7, \"sha256\": {\"traffic\": \"bb\"}}");
    put("broken", "{\"eep\": 1, ");
    put("future", "{\"eep\": 2}");
}

static void leave(void)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", home);

    ck_assert_int_eq(g_chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
    g_free(home);
}

static const char *const both[] = {"base", "better"};

static const char *line_of(char **lines, const char *name)
{
    for (guint i = 0; lines[i] != NULL; i++)
        if (g_str_has_prefix(lines[i], name))
            return lines[i];
    ck_abort_msg("no line %s", name);
    return NULL;
}

START_TEST(table)
{
    g_autoptr(EepCompareRuns) compare = eep_compare_runs_open(both, 2, FALSE, NULL);
    g_auto(EepText) text = {0};

    eep_compare_runs_add_table(compare, &text);
    g_auto(GStrv) lines = g_strsplit(eep_text_string(&text), "\n", -1);
    const struct {
        const char *name, *line;
    } cases[] = {
        {"    ", "                                base                            better"},
        {"SLO", "SLO attainment %                50.0        75.0       +25 (+50.0 %)"},
        {"completed", "completed                     87,103      87,103                     ="},
        {"rejected", "rejected                           0           3                     +3"},
        {"TTFT p50", "TTFT p50 ms                      200         150       -50 (-25.0 %)"},
        {"TTFT p99", "TTFT p99 ms                        -        4.00                     -"},
        {"GPU-hours", "GPU-hours                         10           8       -2 (-20.0 %)"},
        {"model", "model                              m           n"},
        {"resizes", "resizes                         1           2          +1 (+100 %)"},
        {"  stalled s", "  stalled s 0.500 0 -0.500 (-100 %)"},
        {"  stall s", "  stall s                       4.00        2.50       -1.50 (-37.5 %)"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *line = line_of(lines, cases[i].name);
        /* Words in their order; the columns are looked at below. */
        g_auto(GStrv) got = g_regex_split_simple(" +", line, 0, 0);
        g_auto(GStrv) want = g_regex_split_simple(" +", cases[i].line, 0, 0);
        g_autofree char *got_line = g_strjoinv(" ", got), *want_line = g_strjoinv(" ", want);
        ck_assert_str_eq(got_line, want_line);
    }
    for (guint i = 0; lines[i] != NULL; i++)
        ck_assert_uint_le(strlen(lines[i]), 70);
}
END_TEST

/* By id, wherever they stand in their lists; one that a run does not have is "-". */
START_TEST(events)
{
    g_autoptr(EepCompareRuns) compare = eep_compare_runs_open(both, 2, FALSE, NULL);
    g_auto(EepText) text = {0};
    static const char expected[] =
        "resize grow                     g2.1         eep\n"
        "  outcome                   complete    complete\n"
        "  stall s                       4.00        1.50     -2.50 (-62.5 %)\n"
        "  downtime s                    5.00           -                   -\n"
        "  migrated                         0          12                 +12\n"
        "  dip tokens                       -          30                   -\n"
        "  eep is a DESIGN STUDY: nobody has measured it\n"
        "resize 4->8 01:10                  -         eep\n"
        "  outcome                          - rolled_back\n"
        "  stall s                          -        1.00                   -\n"
        "  downtime s                       -        1.00                   -\n"
        "  eep is a DESIGN STUDY: nobody has measured it\n"
        "fault mtbf                    shrink   mask_only\n"
        "  outcome                  recovered    degraded\n"
        "  recovery s                    10.0        2.50     -7.50 (-75.0 %)\n"
        "  lost                             4           4                   =\n"
        "fault mtbf (2)                shrink           -\n"
        "  outcome                  recovered           -\n"
        "  recovery s                    20.0           -                   -\n";

    eep_compare_runs_add_table(compare, &text);
    const char *begin = strstr(eep_text_string(&text), "resize grow");
    ck_assert(begin != NULL);
    ck_assert_str_eq(begin, expected);
    ck_assert(strstr(eep_text_string(&text),
                     "\nmigrated                           -          12") != NULL);
    ck_assert(strstr(eep_text_string(&text), "\nlost by faults") == NULL);
}
END_TEST

/* At most two runs stand beside the first; further ones in a table of their own, with it. */
START_TEST(many_runs)
{
    static const char *const four[] = {"base", "better", "base", "better"};
    g_autoptr(EepCompareRuns) compare = eep_compare_runs_open(four, 4, FALSE, NULL);
    g_auto(EepText) text = {0};

    eep_compare_runs_add_table(compare, &text);
    g_auto(GStrv) lines = g_strsplit(eep_text_string(&text), "\n", -1);
    guint n_tables = 0;
    for (guint i = 0; lines[i] != NULL; i++) {
        ck_assert_uint_le(strlen(lines[i]), 100);
        if (!g_str_has_prefix(lines[i], "GPU-hours"))
            continue;
        if (++n_tables == 2)
            ck_assert_str_eq(
                lines[i], "GPU-hours                         10           8        -2 (-20.0 %)");
    }
    ck_assert_uint_eq(n_tables, 2);
}
END_TEST

START_TEST(json)
{
    g_autoptr(EepCompareRuns) compare = eep_compare_runs_open(both, 2, FALSE, NULL);
    g_auto(EepText) text = {0};
    gsize i;
    json_t *figure;
    gboolean found = FALSE;

    eep_compare_runs_add_json(compare, &text);
    json_t *root = json_loads(eep_text_string(&text), 0, NULL);
    ck_assert(json_is_true(json_object_get(root, "same_traffic")));
    json_array_foreach(json_object_get(root, "figures"), i, figure)
    {
        if (strcmp(json_string_value(json_object_get(figure, "key")), "gpu_hours") != 0)
            continue;
        found = TRUE;
        json_t *delta = json_object_get(figure, "delta");
        ck_assert(json_is_null(json_array_get(delta, 0)));
        ck_assert_double_eq(json_number_value(json_array_get(delta, 1)), -2.0);
        json_t *percent = json_object_get(figure, "delta_percent");
        ck_assert_double_eq(json_number_value(json_array_get(percent, 1)), -20.0);
    }
    ck_assert(found);
    json_t *resizes = json_object_get(root, "resizes");
    json_t *incidents = json_object_get(root, "incidents");
    json_t *grow = json_array_get(resizes, 0), *second = json_array_get(incidents, 1);
    ck_assert_uint_eq(json_array_size(resizes), 2);
    ck_assert_str_eq(json_string_value(json_object_get(grow, "id")), "grow");
    json_t *generations = json_object_get(grow, "generation");
    ck_assert_str_eq(json_string_value(json_array_get(generations, 0)), "g2.1");
    ck_assert_str_eq(json_string_value(json_array_get(generations, 1)), "eep");
    json_t *stall = json_array_get(json_object_get(grow, "figures"), 1);
    ck_assert_str_eq(json_string_value(json_object_get(stall, "key")), "stall_s");
    ck_assert_double_eq(json_number_value(json_array_get(json_object_get(stall, "delta"), 1)),
                        -2.5);
    ck_assert_str_eq(json_string_value(json_object_get(second, "id")), "mtbf (2)");
    ck_assert(json_is_null(json_array_get(json_object_get(second, "outcome"), 1)));
    json_decref(root);
}
END_TEST

START_TEST(refused)
{
    const struct {
        const char *second, *message;
    } cases[] = {{"seed", "base and seed cannot be compared: their seeds differ"},
                 {"traffic", "their traffic differs"},
                 {"broken", "broken/summary.json:1:"},
                 {"future", "\"eep\": 1 is missing"},
                 {"nowhere", "nowhere: is no run folder: it has no summary.json"}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *const paths[] = {"base", cases[i].second};
        g_autoptr(GError) error = NULL;
        g_autoptr(EepCompareRuns) compare = eep_compare_runs_open(paths, 2, FALSE, &error);
        ck_assert(compare == NULL && error->domain == G_FILE_ERROR);
        ck_assert_msg(strstr(error->message, cases[i].message) != NULL, "%s", error->message);
    }
    const char *const paths[] = {"base", "seed", "traffic/summary.json"};
    g_autoptr(EepCompareRuns) forced = eep_compare_runs_open(paths, 3, TRUE, NULL);
    g_auto(EepText) text = {0};
    ck_assert(forced != NULL);
    eep_compare_runs_add_table(forced, &text);
    ck_assert(strstr(eep_text_string(&text), "NOT THE SAME TRAFFIC OR SEED\n") != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compare");
    TCase *tcase = tcase_create("compare");
    tcase_add_checked_fixture(tcase, enter, leave);
    tcase_add_test(tcase, table);
    tcase_add_test(tcase, events);
    tcase_add_test(tcase, many_runs);
    tcase_add_test(tcase, json);
    tcase_add_test(tcase, refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
