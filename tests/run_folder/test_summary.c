/* cli/summary.h: every key is there and of its type, and the figures of the sample run are right.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/summary.h"
#include "tests/run_folder/sample_run.h"
#include "tests/run_folder/schema_check.h"

static json_t *write_summary(const EepMetrics *metrics, const EepRunFacts *facts)
{
    GError *error = NULL;
    g_autoptr(EepSummary) summary = eep_summary_new(metrics, facts, &error);
    json_error_t place;

    ck_assert_msg(summary != NULL, "%s", error ? error->message : "");
    json_t *root = json_loads(summary->json, JSON_REJECT_DUPLICATES, &place);
    ck_assert_msg(root != NULL, "%s", place.text);
    return root;
}

static double get(json_t *root, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);

    for (guint i = 0; names[i] != NULL; i++)
        root = json_is_array(root) ? json_array_get(root, (gsize)atoi(names[i]))
                                   : json_object_get(root, names[i]);
    ck_assert_msg(json_is_number(root), "%s is no number", path);
    return json_number_value(root);
}

/* What the sample must come to. */
static const struct {
    const char *key;
    double value;
} figures[] = {
    {"duration", 122},
    {"window_s", 110},
    {"submitted", 220},
    {"completed", 218},
    {"rejected.total", 1},
    {"rejected.scaling_503", 1},
    {"aborted.scale_down", 1},
    {"unfinished", 0},
    {"outside_window.completed", 20},
    {"attempts", 222}, /* the rejected one tried three times */
    {"retried", 2},    /* by its client, by the server */
    {"preempted", 1},
    {"preemptions", 2},
    {"good", 204},
    {"slo_missed.ttft", 10},
    {"slo_missed.tpot", 4}, /* 57, 107, 157, 207; 7 came in the warm-up */
    {"slo_attainment", 204.0 / 220.0},
    {"request_throughput", 218.0 / 110.0},
    {"request_goodput", 204.0 / 110.0},
    {"total_input_tokens", 218000},
    {"total_output_tokens", 2398},
    {"wasted_tokens", 4},
    {"recomputed_tokens", 900},
    {"cached_tokens", 64 * 55},
    {"n_ttft", 218},
    {"max_ttft_ms", 5000},
    {"max_tpot_ms", 60},
    {"max_itl_ms", 4200},
    {"max_e2el_ms", 5300},
    {"gpu_hours_by_use.stalled", 64.0 / 3600.0},
    {"gpu_hours_by_use.preparing", 20.0 / 3600.0},
    {"gpu_hours_by_use.serving", (41 * 16 + 75 * 20) / 3600.0},
    {"gpu_hours", (41 * 16 + 75 * 20 + 64 + 20) / 3600.0},
    {"gpu_hours_tail", 40.0 / 3600.0},
    {"reshuffles", 2},
    {"bytes_moved_by.reshuffles", 5e9},
    {"bytes_moved_by.resizes", 495e9},
    {"eplb.looks", 2},
    {"eplb.rearrangements", 1},
    {"eplb.bytes_moved", 5e9},
    {"eplb.stalled_s", 0.125},
    {"step_time.decode.n", 0},
    {"step_time.prefill.n", 217}, /* of 236; 19 ended in the warm-up */
    {"step_time.prefill.max_ms", 500},
    {"step_time.prefill.by_tokens.0.tokens", 16}, /* 25 an engine on 20 engines */
    {"step_time.prefill.by_tokens.0.n", 154},
    {"step_time.prefill.by_tokens.1.tokens", 32}, /* 31.25, rounded up, on 16 */
    {"step_time.prefill.by_tokens.1.n", 63},
    {"step_time.prefill.by_tokens.1.mean_ms", 500},
    {"resizes.0.at_s", 40},
    {"resizes.0.prepare_s", 1},
    {"resizes.0.commit_s", 4},
    {"resizes.0.settle_s", 1.5},
    {"resizes.0.total_s", 6.5},
    {"resizes.0.stall_s", 4},
    {"resizes.0.downtime_s", 4},
    {"resizes.0.experts_ready_s", 6.5},
    {"resizes.0.client_downtime_s", 4.5},
    {"resizes.0.max_itl_ms", 4200},
    {"resizes.0.phases.3.start_s", 41.6},
    {"resizes.0.dip_tokens", 4321},
    {"resizes.0.recover_s", 9.5},
    {"degraded_tokens", 640},
    {"incidents.0.at_s", 90},
    {"incidents.0.detection_s", 0.5},
    {"incidents.0.recovery_s", 12},
    {"incidents.0.engines", 1},
    {"incidents.0.lost", 2},
    {"incidents.0.retried", 3},
    {"incidents.0.migrated", 4},
    {"incidents.0.lost_rejected", 1},
    {"incidents.0.client_retried", 7},
    {"incidents.0.lost_kv_tokens", 5500},
    {"incidents.0.degraded_tokens", 640},
    {"incidents.0.experts_missing_s", 2.5},
};

START_TEST(sample_figures)
{
    const char *const expect[] = {"completed == 218", NULL};
    EepRunFacts facts = sample_run_facts(expect);
    g_autoptr(EepMetrics) metrics = sample_run_metrics(TRUE);
    json_t *root = write_summary(metrics, &facts);

    for (guint i = 0; i < G_N_ELEMENTS(figures); i++)
        ck_assert_msg(
            fabs(get(root, figures[i].key) - figures[i].value) <= 1e-12 * fabs(figures[i].value),
            "%s is %.17g, not %.17g", figures[i].key, get(root, figures[i].key), figures[i].value);
    json_t *resize = json_array_get(json_object_get(root, "resizes"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(resize, "outcome")), "complete");
    ck_assert(json_is_false(json_object_get(resize, "design_study")));
    json_t *incident = json_array_get(json_object_get(root, "incidents"), 0);
    ck_assert(json_is_null(json_object_get(incident, "degraded_s")));
    ck_assert_str_eq(json_string_value(json_object_get(incident, "detected_by")), "process_exit");
    ck_assert_str_eq(json_string_value(json_object_get(incident, "recovery_by")), "shrink");
    json_decref(root);
}
END_TEST

/* Figures of a twin are null without one, of a resize that never began, and of a backlog that never
 * went back. */
START_TEST(twin_figures)
{
    static const EepTwinFigures lasting[] = {{7, EEP_TIME_NEVER}, {0, 0}};
    EepRunFacts facts = sample_run_facts(NULL);
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {1, 1, 0};
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    EepObserver *observer = eep_metrics_observer(metrics);
    EepResizeRecord record;

    eep_resize_record_init(&record, 0, "slow", "scenario", 0);
    record.generation = "eep";
    record.accepted = 0;
    observer->ops->resize_ended(observer, &record);
    eep_resize_record_init(&record, 0, "refused", "scenario", 0);
    record.generation = "g2.1";
    record.outcome = EEP_OUTCOME_REFUSED;
    observer->ops->resize_ended(observer, &record);
    eep_metrics_finish(metrics, &end);
    for (guint with_twin = 0; with_twin < 2; with_twin++) {
        facts.twin = with_twin ? lasting : NULL;
        json_t *root = write_summary(metrics, &facts);
        json_t *resizes = json_object_get(root, "resizes");
        json_t *slow = json_array_get(resizes, 0), *refused = json_array_get(resizes, 1);
        json_t *dip = json_object_get(slow, "dip_tokens");
        ck_assert(with_twin ? json_integer_value(dip) == 7 : json_is_null(dip));
        ck_assert(json_is_null(json_object_get(slow, "recover_s")));
        ck_assert(json_is_true(json_object_get(slow, "design_study")));
        ck_assert(json_is_null(json_object_get(refused, "dip_tokens")));
        ck_assert(json_is_null(json_object_get(refused, "recover_s")));
        json_decref(root);
    }
}
END_TEST

START_TEST(keeps_to_its_schema)
{
    const char *const expect[] = {"completed == 218", "gpu_hours < 0.1", NULL};
    EepRunFacts facts = sample_run_facts(expect);
    g_autoptr(EepMetrics) metrics = sample_run_metrics(TRUE);
    json_t *schema = schema_load("summary"), *root = write_summary(metrics, &facts);
    g_autofree char *fault = schema_check(schema, root);

    ck_assert_msg(fault == NULL, "%s", fault);
    /* The checker does find what is wrong. */
    json_object_set_new(root, "completed", json_string("218"));
    g_autofree char *wrong_type = schema_check(schema, root);
    ck_assert_str_eq(wrong_type, "$.completed: is of the wrong type");
    json_object_del(root, "completed");
    g_autofree char *missing = schema_check(schema, root);
    ck_assert_str_eq(missing, "$: has no \"completed\"");
    json_decref(root);
    json_decref(schema);
}
END_TEST

/* A run in which nothing happened has every key, and null where there is no value. */
START_TEST(empty_run)
{
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {0, 0, 0};
    EepRunFacts facts = sample_run_facts(NULL);
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);

    eep_metrics_finish(metrics, &end);
    json_t *schema = schema_load("summary"), *root = write_summary(metrics, &facts);
    g_autofree char *fault = schema_check(schema, root);
    ck_assert_msg(fault == NULL, "%s", fault);
    const char *const absent[] = {"slo_attainment", "request_throughput",
                                  "p99_ttft_ms",    "mean_itl_ms",
                                  "balancedness",   "gpu_hours_per_1000_good"};
    for (guint i = 0; i < G_N_ELEMENTS(absent); i++)
        ck_assert_msg(json_is_null(json_object_get(root, absent[i])), "%s is not null", absent[i]);
    json_decref(root);
    json_decref(schema);
}
END_TEST

/* What the host is like is in the facts, and must not be in the summary. */
START_TEST(says_nothing_of_the_host)
{
    EepRunFacts facts = sample_run_facts(NULL);
    g_autoptr(EepMetrics) metrics = sample_run_metrics(FALSE);
    g_autoptr(EepSummary) one = eep_summary_new(metrics, &facts, NULL);

    facts.wallclock = (EepWallclock){
        .started_unix_s = 1, .wall_s = 99.0, .host = "other", .folder = "/elsewhere"};
    g_autoptr(EepMetrics) again = sample_run_metrics(FALSE);
    g_autoptr(EepSummary) two = eep_summary_new(again, &facts, NULL);
    ck_assert_str_eq(one->json, two->json);
    ck_assert(strstr(one->json, "node17") == NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("summary");
    TCase *tcase = tcase_create("summary");
    tcase_add_test(tcase, sample_figures);
    tcase_add_test(tcase, keeps_to_its_schema);
    tcase_add_test(tcase, twin_figures);
    tcase_add_test(tcase, empty_run);
    tcase_add_test(tcase, says_nothing_of_the_host);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
