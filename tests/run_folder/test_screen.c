/* cli/summary_screen.h against screens kept beside this file, and with what does not fit. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/summary_screen.h"
#include "tests/run_folder/sample_run.h"

static char *draw(const EepMetrics *metrics, const EepRunFacts *facts,
                  const EepSummaryScreenPlace *place)
{
    GError *error = NULL;
    g_autoptr(EepSummary) summary = eep_summary_new(metrics, facts, &error);
    EepText text = {0};

    ck_assert_msg(summary != NULL, "%s", error ? error->message : "");
    eep_summary_screen_add(&text, metrics, facts, summary, place);
    return eep_text_steal(&text);
}

static void check_form(const char *screen)
{
    g_auto(GStrv) lines = g_strsplit(screen, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        ck_assert_msg(strlen(lines[i]) <= EEP_SCREEN_COLUMNS, "%s", lines[i]);
        ck_assert_msg(!g_str_has_suffix(lines[i], " "), "\"%s\"", lines[i]);
        for (const char *c = lines[i]; *c != '\0'; c++)
            ck_assert_msg(*c >= 0x20 && *c < 0x7f, "\"%s\"", lines[i]);
    }
}

/* A screen that should have changed: the test leaves the new one below the build folder. */
static void check_golden(const char *screen, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/tests/run_folder/%s", SOURCE_DIR, name);
    g_autofree char *expected = NULL;

    check_form(screen);
    g_file_get_contents(path, &expected, NULL, NULL);
    if (g_strcmp0(screen, expected) == 0)
        return;
    g_autofree char *actual = g_strdup_printf("%s/%s", BINARY_DIR, name);
    g_file_set_contents(actual, screen, -1, NULL);
    ck_abort_msg("differs from %s; the screen is in %s", path, actual);
}

START_TEST(sample_screen)
{
    const char *const expect[] = {"slo_attainment >= 0.99", "gpu_hours <= 12",
                                  "resizes.grow.outcome == complete", NULL};
    EepRunFacts facts = sample_run_facts(expect);
    g_autoptr(EepMetrics) metrics = sample_run_metrics(TRUE);
    const EepSummaryScreenPlace place = {"runs/sample", TRUE, 3};
    g_autofree char *screen = draw(metrics, &facts, &place);

    check_golden(screen, "screen_sample.txt");
}
END_TEST

/* Nothing came, nothing was resized, the user gave up. */
START_TEST(empty_screen)
{
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {60 * EEP_NS_PER_S, 60 * EEP_NS_PER_S, 0};
    EepRunFacts facts = sample_run_facts(NULL);
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    const EepSummaryScreenPlace place = {"out", FALSE, 130};

    facts.n_basis = 0;
    facts.notes = NULL;
    facts.elastic = NULL;
    facts.interrupted = TRUE;
    eep_metrics_finish(metrics, &end);
    g_autofree char *screen = draw(metrics, &facts, &place);
    check_golden(screen, "screen_empty.txt");
}
END_TEST

/* More of everything than fits, not ASCII, and several pools. */
START_TEST(crowded_screen)
{
    static const char *const pools[] = {"prefill", "decode"};
    const EepSloOptions slo = {.ttft = EEP_NS_PER_S};
    const EepMeasureOptions measure = {.bucket = 60 * EEP_NS_PER_S};
    const EepMetricsEnd end = {7200 * EEP_NS_PER_S, 7300 * EEP_NS_PER_S, G_MAXUINT32};
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    EepObserver *observer = eep_metrics_observer(metrics);
    EepRunFacts facts = sample_run_facts(NULL);
    EepRunBasis basis[40];
    const EepSummaryScreenPlace place = {"runs/a", TRUE, 0};

    for (guint i = 0; i < 20; i++) {
        EepResizeRecord record;
        EepIncident incident = {.fault = "fail",
                                .outcome = "recovered",
                                .at = i * EEP_NS_PER_S,
                                .n_lost = G_MAXUINT64 / 3};
        eep_resize_record_init(&record, i % 2, "", "a-policy-with-a-long-name", 0);
        record.from = 1024;
        record.to = 2048;
        record.generation = "eep";
        record.accepted = record.commit = 5000 * EEP_NS_PER_S;
        record.stall = record.downtime = i * 1000 * EEP_NS_PER_S;
        record.n_rejected = 123456789;
        record.outcome = EEP_OUTCOME_ROLLED_BACK;
        record.n_phases = EEP_RESIZE_MAX_PHASES;
        for (guint p = 0; p < EEP_RESIZE_MAX_PHASES; p++)
            record.phases[p] = (EepResizePhase){"a-phase", "all", 0, EEP_NS_PER_S, p % 2 == 0, 0};
        observer->ops->resize_ended(observer, &record);
        eep_metrics_add_incident(metrics, &incident);
    }
    for (guint i = 0; i < 2; i++)
        observer->ops->size_changed(observer, 0, i, 16 + i);
    for (guint i = 0; i < G_N_ELEMENTS(basis); i++)
        basis[i] = (EepRunBasis){"a figure na\xc3\xafvely thought of", "assumed", NULL};
    eep_metrics_finish(metrics, &end);
    facts.name =
        "a-scenario-whose-name-alone-is-so-very-long-that-nothing-else-can-be-shown-on-its-"
        "line-beside-it";
    facts.basis = basis;
    facts.n_basis = G_N_ELEMENTS(basis);
    facts.pools = pools;
    facts.n_pools = 2;
    facts.twin = NULL;
    g_autofree char *screen = draw(metrics, &facts, &place);
    check_form(screen);
    ck_assert(strstr(screen, "SIMULATED\n") != NULL);
    ck_assert(strstr(screen, "12 more in summary.json") != NULL);
    ck_assert(strstr(screen, "16 more in summary.json") != NULL);
    ck_assert(strstr(screen, "na?vely") != NULL);
    ck_assert(strstr(screen, "generation eep is a DESIGN STUDY: nobody has measured it") != NULL);
    ck_assert(strstr(screen, "\nfaults    X-") == NULL); /* all of them were over at once */
    ck_assert(strstr(screen, "\nfaults    X") != NULL);
    ck_assert(strstr(screen, " more\n") != NULL);
    ck_assert(strstr(screen, "\nDP pre 16 ") != NULL);
    ck_assert(strstr(screen, "\nDP dec 17 ") != NULL);
}
END_TEST

/* A recovery is a resize with a name of its own; a fault that nobody noticed never ends. */
START_TEST(recoveries)
{
    static const EepTwinFigures twin[] = {{12345678, EEP_TIME_NEVER}, {0, 0}};
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {60 * EEP_NS_PER_S, 60 * EEP_NS_PER_S, 0};
    const EepSummaryScreenPlace place = {"out", FALSE, 0};
    const EepIncident incident = {.fault = "slow",
                                  .outcome = "unrecovered",
                                  .at = 30 * EEP_NS_PER_S,
                                  .detection = EEP_TIME_NEVER,
                                  .recovery = EEP_TIME_NEVER,
                                  .degraded = EEP_TIME_NEVER};
    static const char *const generations[] = {"mask_only", "g2.1"};
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    EepObserver *observer = eep_metrics_observer(metrics);
    EepRunFacts facts = sample_run_facts(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(generations); i++) {
        EepResizeRecord record;
        eep_resize_record_init(&record, 0, "", "scenario", 10 * EEP_NS_PER_S);
        record.from = 16;
        record.to = 15;
        record.generation = generations[i];
        record.accepted = 10 * EEP_NS_PER_S;
        record.outcome = EEP_OUTCOME_COMPLETE;
        observer->ops->resize_ended(observer, &record);
    }
    eep_metrics_add_incident(metrics, &incident);
    eep_metrics_finish(metrics, &end);
    facts.twin = twin;
    g_autofree char *screen = draw(metrics, &facts, &place);
    check_form(screen);
    ck_assert(strstr(screen, "\n 1 16->15    00:10 mask_only      -") != NULL);
    ck_assert(strstr(screen, "\n 2 16->15    00:10 scenario       -") != NULL);
    ck_assert(strstr(screen, "\n 1 beside its twin: 12.3 M output tokens behind at most, backlog "
                             "never back\n") != NULL);
    ck_assert(strstr(screen, "\n 2 beside its twin: 0 output tokens") != NULL);
    ck_assert(strstr(screen, "\n 1 slow      00:30         -         -         -       0       0  "
                             "     0  unrecovered\n   slow\n") != NULL);
    ck_assert(strstr(screen, "X-----------------------------") != NULL);
    ck_assert(strstr(screen, "DESIGN STUDY") == NULL);
}
END_TEST

START_TEST(figures)
{
    const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {9.83, "9.83"},
                 {0.115, "0.115"},
                 {0.00556, "0.00556"},
                 {31, "31.0"},
                 {412.4, "412"},
                 {999.4, "999"},
                 {999.6, "1,000"},
                 {2943, "2,940"},
                 {106300, "106,000"},
                 {-9.994, "-9.99"},
                 {9.996, "10.0"},
                 {99.96, "100"},
                 {0.99951, "1.00"},
                 {NAN, "-"},
                 {INFINITY, "-"},
                 {12345678, "12,300,000"}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = eep_screen_figure(cases[i].value);
        ck_assert_str_eq(text, cases[i].text);
    }
    g_autofree char *small = eep_screen_count(9999999), *large = eep_screen_count(12345678);
    g_autofree char *clock = eep_screen_clock(3723 * EEP_NS_PER_S);
    g_autofree char *minutes = eep_screen_clock(370 * EEP_NS_PER_S + 999);
    g_autofree char *bytes = eep_screen_bytes(412.3e9);
    ck_assert_str_eq(small, "9,999,999");
    ck_assert_str_eq(large, "12.3 M");
    ck_assert_str_eq(clock, "1:02:03");
    ck_assert_str_eq(minutes, "06:10");
    ck_assert_str_eq(bytes, "412 GB");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("screen");
    TCase *tcase = tcase_create("screen");
    tcase_add_test(tcase, sample_screen);
    tcase_add_test(tcase, empty_screen);
    tcase_add_test(tcase, crowded_screen);
    tcase_add_test(tcase, recoveries);
    tcase_add_test(tcase, figures);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
