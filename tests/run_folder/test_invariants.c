/* cli/invariants.h: what a failed resize has left behind is told, and is an error but where the
 * generation is known for it. */
#include <check.h>
#include <stdlib.h>

#include "cli/invariants.h"

static const struct {
    const char *generation;
    EepTime left_reject, left_stall;
    const char *broken, *flaw; /* NULL: no such line */
    gboolean holds;
} cases[] = {
    {"g2", 0, 0, NULL, NULL, TRUE},
    {"g2", 12 * EEP_NS_PER_S, 0, "invariant I8 broken: resize grow left 503 for 12.0 s",
     "known flaw of g2: 503 left after a failed commit (vllm #50778)", TRUE},
    {"g2", 0, 3 * EEP_NS_PER_S, "invariant I8 broken: resize grow left forwards blocked for 3.00 s",
     "known flaw of g2: no way back from a failed resize, later ones are refused (vllm #53947)",
     TRUE},
    {"eep", 12 * EEP_NS_PER_S, 3 * EEP_NS_PER_S,
     "invariant I8 broken: resize grow left 503 for 12.0 s, forwards blocked for 3.00 s", NULL,
     FALSE},
};

START_TEST(what_is_left)
{
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {1, 1, 0};
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    EepObserver *observer = eep_metrics_observer(metrics);
    EepResizeRecord record;

    eep_resize_record_init(&record, 0, "grow", "scenario", 0);
    record.generation = cases[_i].generation;
    record.outcome = EEP_OUTCOME_FAILED;
    record.left_reject = cases[_i].left_reject;
    record.left_stall = cases[_i].left_stall;
    observer->ops->resize_ended(observer, &record);
    eep_metrics_finish(metrics, &end);

    ck_assert_int_eq(eep_invariants_add_notes(metrics, notes), cases[_i].holds);
    ck_assert_uint_eq(notes->len, (cases[_i].broken != NULL) + (cases[_i].flaw != NULL));
    if (cases[_i].broken != NULL)
        ck_assert_str_eq(notes->pdata[0], cases[_i].broken);
    if (cases[_i].flaw != NULL)
        ck_assert_str_eq(notes->pdata[1], cases[_i].flaw);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("invariants");
    TCase *tcase = tcase_create("invariants");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(tcase, what_is_left, 0, G_N_ELEMENTS(cases));
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
