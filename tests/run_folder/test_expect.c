/* cli/expect.h: comparisons as scenarios write them. */
#include <check.h>
#include <stdlib.h>

#include "cli/expect.h"

static const char summary[] =
    "{\"slo_attainment\": 0.979, \"gpu_hours\": 9.83, \"completed\": 12, \"p99_ttft_ms\": null,"
    " \"interrupted\": false, \"name\": \"a b\", \"rejected\": {\"total\": 3, \"scaling_503\": 2},"
    " \"slo\": {\"target\": 0.99},"
    " \"resizes\": [{\"id\": \"\", \"outcome\": \"failed\", \"total_s\": 4.5},"
    "               {\"id\": \"grow\", \"outcome\": \"rolled_back\", \"total_s\": null}],"
    " \"incidents\": [{\"id\": \"death\", \"recovery_s\": 12.5, \"recovery_by\": \"shrink\","
    "                  \"detected_by\": null, \"lost\": 2}]}";

typedef struct {
    const char *expression, *value;
    gboolean is_met;
} Case;

static const Case judged[] = {
    {"slo_attainment >= 0.99", "0.979", FALSE},
    {"slo_attainment<0.99", "0.979", TRUE},
    {"  gpu_hours  <=  12 ", "9.83", TRUE},
    {"gpu_hours <= 9.83", "9.83", TRUE},
    {"gpu_hours < 9.83", "9.83", FALSE},
    {"gpu_hours > 9.83", "9.83", FALSE},
    {"completed == 12", "12", TRUE},
    {"completed == 12.0", "12", TRUE},
    {"completed != 12", "12", FALSE},
    {"completed >= 1e1", "12", TRUE},
    {"rejected.scaling_503 == 2", "2", TRUE},
    {"rejected == 3", "3", TRUE},
    {"slo.target > -1", "0.99", TRUE},
    {"interrupted == false", "false", TRUE},
    {"interrupted != true", "false", TRUE},
    {"name == a b", "a b", TRUE},
    {"name == \"a b\"", "a b", TRUE},
    {"name != 'a b'", "a b", FALSE},
    {"resizes.grow.outcome == rolled_back", "rolled_back", TRUE},
    {"resizes.grow.outcome == complete", "rolled_back", FALSE},
    {"resizes.0.outcome == failed", "failed", TRUE},
    {"resizes.0.total_s <= 4.5", "4.5", TRUE},
    {"resizes.1.total_s < 100", "-", FALSE},
    {"resizes.grow.total_s != complete", "-", FALSE},
    {"p99_ttft_ms < 1000", "-", FALSE},
    {"p99_ttft_ms > 1000", "-", FALSE},
    {"p99_ttft_ms == null", "-", TRUE},
    {"p99_ttft_ms != null", "-", FALSE},
    {"completed != null", "12", TRUE},
    {"completed == null", "12", FALSE},
    {"resizes.shrink.outcome == complete", "-", FALSE},
    {"resizes.shrink.outcome != complete", "-", FALSE},
    {"resizes.7.outcome == null", "-", TRUE},
    {"incidents.x.lost == 0", "-", FALSE},
    {"incidents.death.lost <= 2", "2", TRUE},
    {"incidents.death.recovery_s < 12", "12.5", FALSE},
    {"incidents.death.recovery_by == shrink", "shrink", TRUE},
    {"incidents.death.recovery_by != shrink", "shrink", FALSE},
    {"incidents.death.detected_by == watchdog", "-", FALSE},
};

START_TEST(judges)
{
    for (guint i = 0; i < G_N_ELEMENTS(judged); i++) {
        const char *const expressions[] = {judged[i].expression, NULL};
        GError *error = NULL;
        gboolean all_met;
        GPtrArray *list = eep_expect_judge(expressions, summary, &all_met, &error);
        ck_assert_msg(list != NULL, "%s", error ? error->message : "");
        ck_assert_uint_eq(list->len, 1);
        const EepExpectation *expectation = g_ptr_array_index(list, 0);
        ck_assert_str_eq(expectation->expression, judged[i].expression);
        ck_assert_msg(expectation->is_met == judged[i].is_met, "%s", judged[i].expression);
        ck_assert_str_eq(expectation->value, judged[i].value);
        ck_assert_int_eq(all_met, judged[i].is_met);
        g_ptr_array_free(list, TRUE);
    }
}
END_TEST

START_TEST(all_or_not)
{
    const char *const expressions[] = {"completed == 12", "completed == 13", "completed < 99",
                                       NULL};
    gboolean all_met = TRUE;
    g_autoptr(GPtrArray) list = eep_expect_judge(expressions, summary, &all_met, NULL);
    g_autoptr(GPtrArray) none = eep_expect_judge(NULL, summary, &all_met, NULL);

    ck_assert_uint_eq(list->len, 3);
    ck_assert_uint_eq(none->len, 0);
    ck_assert(all_met);
    g_autoptr(GPtrArray) again = eep_expect_judge(expressions, summary, &all_met, NULL);
    ck_assert(!all_met);
    ck_assert(again != NULL);
}
END_TEST

START_TEST(refuses)
{
    const struct {
        const char *expression, *message;
    } refused[] = {
        {"completed", "is no comparison"},
        {"completed =< 3", "is no comparison"},
        {"completed === 3", "is no comparison"},
        {"completed >=", "is no comparison"},
        {">= 3", "is no comparison"},
        {"", "is no comparison"},
        {"complete >= 3", "summary.json has no complete: there is slo_attainment, gpu_hours"},
        {"completed.total == 0", "there is nothing"},
        {"resizes == 2", "is no single figure"},
        {"slo == 2", "compare one of its members: target"},
        {"completed >= 3s", "completed is a number: compare it with a number, without a unit"},
        {"name > b", "name is a word"},
        {"completed == nan", "is a number"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        const char *const expressions[] = {refused[i].expression, NULL};
        GError *error = NULL;
        gboolean all_met;
        ck_assert(eep_expect_judge(expressions, summary, &all_met, &error) == NULL);
        ck_assert(error->domain == EEP_OPTION_ERROR);
        ck_assert_msg(strstr(error->message, refused[i].message) != NULL, "%s", error->message);
        g_error_free(error);
    }
}
END_TEST

/* Before the run: keys are those that summaries have; ids are the scenario's affair. */
START_TEST(checks_beforehand)
{
    const char *const right[] = {"slo_attainment >= 0.99",
                                 "gpu_hours <= 12",
                                 "lost_requests == 0",
                                 "degraded_tokens == 0",
                                 "migrated >= 1",
                                 "retried < 5",
                                 "incidents.death.recovery_s < 40",
                                 "incidents.death.recovery_by == shrink",
                                 "incidents.death.detected_by != watchdog",
                                 "incidents.death.lost_kv_tokens == 0",
                                 "incidents.death.outcome == recovered",
                                 "resizes.grow.outcome == rolled_back",
                                 "resizes.grow.dip_tokens < 1000",
                                 "resizes.grow.recover_s != null",
                                 "rejected.too_long == 0",
                                 "rejected == 0",
                                 "gpu_hours_by_use.dead < 1",
                                 "max_itl_ms < 1e4",
                                 "p99_ttft_ms != null",
                                 "resizes.0.generation == g2.1"};
    const char *const wrong[] = {"slo_attainmen >= 0.99",
                                 "incidents.death.recovery < 40",
                                 "resizes.grow == 1",
                                 "completed 3",
                                 "sha256 == 1",
                                 "resizes.grow.outcome < complete",
                                 "completed >= many",
                                 "p99_ttft_ms < 2s",
                                 "incidents.death.recovery_s == fast",
                                 "notes.0 == x"};

    for (guint i = 0; i < G_N_ELEMENTS(right); i++) {
        GError *error = NULL;
        ck_assert_msg(eep_expect_check(right[i], &error), "%s", error ? error->message : "");
    }
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!eep_expect_check(wrong[i], &error), "%s", wrong[i]);
        ck_assert(error->domain == EEP_OPTION_ERROR);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expect");
    TCase *tcase = tcase_create("expect");
    tcase_add_test(tcase, judges);
    tcase_add_test(tcase, all_or_not);
    tcase_add_test(tcase, refuses);
    tcase_add_test(tcase, checks_beforehand);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
