#include <check.h>
#include <stdlib.h>

#include "core/loop/operations.h"

static GArray *expired; /* EepOpId of DEADLINE events */

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    ck_assert_int_eq(event->kind, EEP_EVENT_DEADLINE);
    g_array_append_val(expired, event->a);
    return TRUE;
}

static EepClock *clock_;
static EepLoop *loop;
static EepOperations *operations;

static void set_up(void)
{
    expired = g_array_new(FALSE, FALSE, sizeof(EepOpId));
    clock_ = eep_clock_virtual_new();
    loop = eep_loop_new(clock_, handle, NULL, NULL, NULL, NULL);
    operations = eep_operations_new();
    eep_operations_attach(operations, loop);
}

static void tear_down(void)
{
    eep_operations_free(operations);
    eep_loop_free(loop);
    eep_clock_free(clock_);
    g_array_unref(expired);
}

static EepOp begin(EepPoolId pool, EepEpoch epoch, guint n_workers, EepTime timeout)
{
    return eep_operations_begin(operations, EEP_OP_PHASE, pool, epoch, n_workers, timeout);
}

static gboolean complete(EepOpId id, EepWorkerId worker, gboolean *ret_whole)
{
    EepCompletion completion = {.id = id, .kind = EEP_OP_PHASE, .worker = worker};
    return eep_operations_complete(operations, &completion, ret_whole);
}

START_TEST(workers_then_whole)
{
    EepOp op = begin(1, 2, 2, EEP_TIME_NEVER);
    ck_assert_uint_eq(op.id, 1);
    ck_assert_uint_eq(op.pool, 1);
    ck_assert_uint_eq(op.epoch, 2);
    ck_assert_int_eq(op.deadline, EEP_TIME_NEVER);
    ck_assert_int_eq(eep_loop_horizon(loop), EEP_TIME_NEVER); /* no timer */
    gboolean is_whole = TRUE;
    ck_assert(complete(op.id, 11, &is_whole) && !is_whole);
    ck_assert_uint_eq(eep_operations_find(operations, op.id)->n_workers_left, 1);
    ck_assert(complete(op.id, 12, &is_whole) && !is_whole);
    ck_assert(!complete(op.id, 13, NULL));
    ck_assert(complete(op.id, 0, &is_whole) && is_whole);
    ck_assert_ptr_null(eep_operations_find(operations, op.id));
    ck_assert(!complete(op.id, 0, NULL));
    ck_assert(!complete(0, 0, NULL));
    ck_assert(!complete(999, 0, NULL));
    EepOperationsCounts counts = eep_operations_counts(operations);
    ck_assert_uint_eq(counts.n_begun, 1);
    ck_assert_uint_eq(counts.n_ended, 1);
    ck_assert_uint_eq(counts.n_late, 4);
    ck_assert_uint_eq(counts.n_outstanding, 0);
}
END_TEST

START_TEST(deadlines)
{
    EepOp in_time = begin(1, 1, 0, 100), late = begin(1, 1, 0, 200);
    ck_assert_int_eq(late.deadline, 200);
    ck_assert_int_eq(eep_loop_horizon(loop), 100);
    ck_assert(complete(in_time.id, 0, NULL));
    ck_assert_int_eq(eep_loop_horizon(loop), 200); /* disarmed */
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ck_assert_uint_eq(expired->len, 1);
    ck_assert_uint_eq(g_array_index(expired, EepOpId, 0), late.id);
    EepCompletion completion;
    ck_assert(!eep_operations_expire(operations, in_time.id, &completion));
    ck_assert(eep_operations_expire(operations, late.id, &completion));
    ck_assert_uint_eq(completion.id, late.id);
    ck_assert_int_eq(completion.done, EEP_DONE_TIMED_OUT);
    ck_assert_int_eq(completion.kind, EEP_OP_PHASE);
    ck_assert_uint_eq(completion.epoch, 1);
    ck_assert(!eep_operations_expire(operations, late.id, &completion));
    ck_assert(!complete(late.id, 0, NULL));
    ck_assert_int_eq(begin(1, 1, 0, 50).deadline, 250);
    ck_assert_int_eq(begin(1, 1, 0, EEP_TIME_NEVER - 1).deadline, EEP_TIME_NEVER);
    EepOperationsCounts counts = eep_operations_counts(operations);
    ck_assert_uint_eq(counts.n_expired, 1);
    ck_assert_uint_eq(counts.n_late, 1);
}
END_TEST

/* Many outstanding at once, long-lived ones in between: ids stay unique and findable. */
START_TEST(table_grows_and_skips)
{
    enum { N = 3000 };
    static EepOpId ids[N];
    for (guint i = 0; i < N; i++) {
        ids[i] = begin(1, 1, 0, EEP_TIME_NEVER).id;
        if (i > 0)
            ck_assert_uint_gt(ids[i], ids[i - 1]);
        if (i % 3 != 0) {
            ck_assert(complete(ids[i], 0, NULL));
            ids[i] = 0;
        }
    }
    guint n_left = 0;
    for (guint i = 0; i < N; i++)
        if (ids[i] != 0) {
            ck_assert_uint_eq(eep_operations_find(operations, ids[i])->op.id, ids[i]);
            n_left++;
        }
    ck_assert_uint_eq(eep_operations_counts(operations).n_outstanding, n_left);
    for (guint i = 0; i < N; i++)
        if (ids[i] != 0)
            ck_assert(complete(ids[i], 0, NULL) && !complete(ids[i], 0, NULL));
    ck_assert_uint_eq(eep_operations_counts(operations).n_outstanding, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("operations");
    TCase *tcase = tcase_create("operations");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, workers_then_whole);
    tcase_add_test(tcase, deadlines);
    tcase_add_test(tcase, table_grows_and_skips);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
