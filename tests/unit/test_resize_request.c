/* core/resize/resize_request.c: requests that wait and are taken back, the account of a resize that
 * got stuck, and what the machine says of who is waited for. Every phase takes 1 s, a note 1 ms. */
#include <stdlib.h>

#include "core/resize/coordinator.h"
#include "tests/unit/fake_pool.h"

#define MS(n) ((n)*EEP_NS_PER_MS)
#define LIMIT 20000

/* Those behind it move up, with who asked for them. */
START_TEST(a_queued_one_is_cancelled)
{
    static const char *const ids[] = {"b", "c", "d"};
    static const gint64 sizes[] = {3, 4, 6};
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 5, "a", "test");
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
        eep_resize_request(pool.resize, sizes[i], ids[i], "test");
    ck_assert(!eep_resize_cancel(pool.resize, "nobody"));
    ck_assert_uint_eq(pool.n_ended, 0);
    /* The one that runs has no way back. */
    ck_assert(!eep_resize_cancel(pool.resize, "a"));
    ck_assert(!eep_resize_cancel(pool.resize, NULL));
    ck_assert(eep_resize_cancel(pool.resize, ids[_i]));
    ck_assert(!eep_resize_cancel(pool.resize, ids[_i]));

    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_str_eq(pool.record.id, ids[_i]);
    ck_assert_uint_eq(pool.record.to, sizes[_i]);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_CANCELLED);
    ck_assert_str_eq(eep_outcome_names[pool.record.outcome], "cancelled");
    ck_assert_int_eq(pool.record.accepted, EEP_TIME_NEVER);
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        if ((gint)i == _i)
            continue;
        while (strcmp(pool.record.id, ids[i]) != 0)
            ck_assert(fake_pool_next(&pool, NULL));
        ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
        ck_assert_uint_eq(pool.record.to, sizes[i]);
    }
    ck_assert_uint_eq(pool.n_ended, 4);
    fake_pool_clear(&pool);
}
END_TEST

static void get_stuck(FakePool *pool, const char *generation)
{
    EepResizeParams params;

    fake_params(&params, generation);
    fake_pool_init(pool, &params, 2);
    pool->fails_phase = TRUE;
    pool->failing = EEP_PHASE_SWITCH;
    eep_resize_request(pool->resize, 3, "grow", "test");
    fake_pool_run(pool, NULL, LIMIT);
    ck_assert(eep_resize_is_stuck(pool->resize) && eep_resize_is_frozen(pool->resize));
    ck_assert_int_eq(pool->record.outcome, EEP_OUTCOME_FAILED);
    ck_assert_uint_eq(pool->n_closed, 0);
    ck_assert_int_eq(pool->record.left_reject + pool->record.left_stall, 0);
    pool->now += MS(7000);
}

/* Refused and blocked until the run ends, which is 7 s after it failed. */
START_TEST(the_account_ends_with_the_run)
{
    FakePool pool;
    gboolean is_g1 = _i == 1;

    get_stuck(&pool, is_g1 ? "g1" : "g2");
    eep_resize_saw_rejected(pool.resize);
    eep_resize_finish(pool.resize);
    ck_assert_uint_eq(pool.n_closed, 1);
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_int_eq(pool.closed.left_stall, pool.now - pool.record.counted_until);
    ck_assert_int_ge(pool.closed.left_stall, MS(7000));
    ck_assert_int_eq(pool.closed.left_reject, is_g1 ? 0 : pool.closed.left_stall);
    ck_assert_int_eq(pool.closed.stall, pool.record.stall + pool.closed.left_stall);
    ck_assert_int_eq(pool.closed.reject, pool.record.reject + pool.closed.left_reject);
    ck_assert_uint_eq(pool.closed.n_rejected, 1);
    fake_pool_clear(&pool);
}
END_TEST

/* A refused request changes nothing of it; a recovery takes over, and so does giving up. */
START_TEST(the_account_ends_with_a_recovery)
{
    FakePool pool;

    get_stuck(&pool, "g2");
    eep_resize_request(pool.resize, 4, "more", "test");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_uint_eq(pool.n_closed, 0);
    pool.fails_phase = FALSE;
    if (_i == 0) {
        eep_resize_give_up(pool.resize, "it is over");
    } else {
        eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "recovery");
        ck_assert(!eep_resize_is_stuck(pool.resize));
    }
    ck_assert_uint_eq(pool.n_closed, 1);
    ck_assert_str_eq(pool.closed.id, "grow");
    ck_assert_int_eq(pool.closed.counted_until, pool.now);
    ck_assert_int_ge(pool.closed.left_reject, MS(7000));
    if (_i == 1) {
        fake_pool_run(&pool, NULL, LIMIT);
        ck_assert_str_eq(pool.record.id, "recovery");
        ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
        ck_assert_uint_eq(pool.record.to, 3);
        /* From its first moment to its resume. */
        ck_assert_int_eq(pool.record.reject, pool.record.serving - pool.record.accepted);
        ck_assert(!pool.is_refusing && !pool.is_blocked);
        eep_resize_finish(pool.resize);
        ck_assert_uint_eq(pool.n_closed, 1);
    }
    fake_pool_clear(&pool);
}
END_TEST

/* One that leaves dies where nobody meets it: it is waited for once all others have answered. */
START_TEST(the_last_to_answer_is_waited_for)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 3);
    eep_resize_request(pool.resize, 2, "shrink", "test");
    while (eep_resize_control(pool.resize)->coordinator.state != EEP_COORDINATOR_COMMITTING ||
           pool.n_adopted == 0)
        ck_assert(fake_pool_next(&pool, NULL));
    fake_pool_kill(&pool, 3);
    ck_assert(!eep_resize_waits_for(pool.resize, 3));
    for (guint i = 0; i < LIMIT && fake_pool_next(&pool, NULL); i++)
        ;
    ck_assert_int_eq(eep_resize_control(pool.resize)->coordinator.state, EEP_COORDINATOR_SETTLING);
    ck_assert(eep_resize_waits_for(pool.resize, 3));
    ck_assert(!eep_resize_waits_for(pool.resize, 1));
    eep_resize_worker_lost(pool.resize, 3);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    fake_pool_clear(&pool);
}
END_TEST

/* Where a resize has a way back a recovery has another try, and a third; then it is the end. A
 * recovery that succeeds, or another loss, gives three more. */
START_TEST(a_recovery_is_tried_again)
{
    static const struct {
        const char *generation;
        guint n_tries;
    } cases[] = {{"eep", 3}, {"g2.1", 1}};
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, cases[_i].generation);
    fake_pool_init(&pool, &params, 4);
    pool.fails_phase = TRUE;
    pool.failing = EEP_PHASE_STANDBY_GROUPS;
    for (guint round = 1; round <= 2; round++) {
        fake_pool_kill(&pool, 5 - round);
        eep_resize_worker_lost(pool.resize, 5 - round);
        eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "death");
        fake_pool_run(&pool, NULL, LIMIT);
        ck_assert_uint_eq(pool.n_ended, round * cases[_i].n_tries);
        ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
        ck_assert(eep_resize_is_stuck(pool.resize));
    }
    pool.fails_phase = FALSE;
    eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "death");
    fake_pool_run(&pool, NULL, LIMIT);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_uint_eq(eep_resize_control(pool.resize)->coordinator.attempts, 0);
    fake_pool_clear(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_request");
    TCase *tcase = tcase_create("resize_request");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(tcase, a_queued_one_is_cancelled, 0, 3);
    tcase_add_loop_test(tcase, the_account_ends_with_the_run, 0, 2);
    tcase_add_loop_test(tcase, the_account_ends_with_a_recovery, 0, 2);
    tcase_add_test(tcase, the_last_to_answer_is_waited_for);
    tcase_add_loop_test(tcase, a_recovery_is_tried_again, 0, 2);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
