#include "tests/contract/contract.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/contract/fake_backend.h"

static const EepWorkerId workers[] = {1, 2, 3, 4};

typedef struct {
    FakeDefect defect;
    gboolean moves_kv, is_minimal;
} Recipe;

static EepBackend *make(gpointer self)
{
    const Recipe *recipe = self;
    return recipe->is_minimal ? fake_backend_new_minimal()
                              : fake_backend_new(recipe->defect, recipe->moves_kv);
}

static gboolean run(Recipe recipe, GError **error)
{
    EepContractSubject subject = {
        .make_backend = make,
        .self = &recipe,
        .pool = 3,
        .epoch = 7,
        .n_workers = G_N_ELEMENTS(workers),
        .workers = workers,
        .limit = EEP_NS_PER_S,
    };
    return eep_contract_run(&subject, error);
}

START_TEST(good_backends_pass)
{
    const Recipe good[] = {{.moves_kv = TRUE}, {.moves_kv = FALSE}, {.is_minimal = TRUE}};
    g_autoptr(GError) error = NULL;
    gboolean is_ok = run(good[_i], &error);
    ck_assert_msg(is_ok, "%s", error != NULL ? error->message : "");
}
END_TEST

/* What the error about each defect must contain, so that each is caught for what it is. */
static const char *const expected[FAKE_DEFECT_COUNT] = {
    [FAKE_ENDS_TWICE] = "it completes after the whole operation's end",
    [FAKE_NEVER_ENDS] = "step 7 of pool 3: never ends",
    [FAKE_REORDERS_STEPS] = "submitted earlier",
    [FAKE_TAKES_TOO_MANY_STEPS] = "one step in flight too many",
    [FAKE_TAKES_TOO_MANY_RANKS] = "one rank too many",
    [FAKE_REFUSES_STEPS] = "0 step ended ok instead of 20",
    [FAKE_LEAPS_PAST_THE_HORIZON] = "leaps on after step",
    [FAKE_LEAPS_WITHOUT_ENDS] = "leaps 8 steps with 0 bytes of step ends",
    [FAKE_LEAPS_SHORT] = "stops after 7 of 8 steps before the horizon",
    [FAKE_ENDS_WITHOUT_A_STEP] = "ends ok without a step",
    [FAKE_WHOLE_BEFORE_WORKERS] = "ends ok whole without worker 4",
    [FAKE_FORGETS_A_WORKER] = "ends ok whole without worker 2",
    [FAKE_REPEATS_A_WORKER] = "worker 1 completes twice",
    [FAKE_INVENTS_A_WORKER] = "worker 4711 completes, but has no part in it",
    [FAKE_WORKER_FAILS_IN_AN_OK_PHASE] = "one of its workers did not",
    [FAKE_WRONG_EPOCH] = "completes with epoch 8 instead of 7",
    [FAKE_WRONG_KIND] = "completes as another kind",
    [FAKE_WRONG_ID] = "operation 1000001 ends, but was never submitted",
    [FAKE_MOVES_KV_ANYWAY] = "the backend should refuse it",
    [FAKE_READS_NOTHING] = "ends ok with 0 bytes for 1 windows of counts",
    [FAKE_READS_ONE_WINDOW] = "ends ok with 48 bytes for 3 windows of counts",
    [FAKE_MISCOUNTS_WINDOWS] = "brings 2 windows instead of 1",
    [FAKE_READS_NEGATIVE] = "count 3 is -1",
    [FAKE_COMPLETES_AFTER_ABORT] = "and outlives it",
    [FAKE_ABORT_FORGETS] = "and outlives it",
    [FAKE_ABORT_TAKES_ALL] = "the step that was not aborted ended aborted",
    [FAKE_BREAKS_AFTER_ABORT] = "step after the abort ended refused",
    [FAKE_IS_NOT_REPEATABLE] = "the second run differs from the first",
};

START_TEST(broken_backends_are_caught)
{
    FakeDefect defect = (FakeDefect)_i;
    g_autoptr(GError) error = NULL;
    ck_assert_msg(!run((Recipe){.defect = defect}, &error), "%s passed", fake_defect_names[defect]);
    ck_assert_msg(strstr(error->message, expected[defect]) != NULL, "%s: %s",
                  fake_defect_names[defect], error->message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("contract");
    TCase *tcase = tcase_create("contract");
    tcase_add_loop_test(tcase, good_backends_pass, 0, 3);
    tcase_add_loop_test(tcase, broken_backends_are_caught, FAKE_GOOD + 1, FAKE_DEFECT_COUNT);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
