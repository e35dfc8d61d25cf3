/* core/token_curve.h: curves by hand, and what a resize costs beside its twin. */
#include <check.h>
#include <stdlib.h>

#include "core/token_curve.h"

#define MS EEP_NS_PER_MS
#define S  EEP_NS_PER_S

static void tell_step(EepTokenCurve *curve, EepPoolId pool, EepTime end, guint64 n_gaps)
{
    EepObserver *observer = eep_token_curve_observer(curve);
    const EepStepRecord step = {.pool = pool, .begin = end - MS, .end = end};

    if (n_gaps > 0)
        observer->ops->gaps(observer, pool, 10 * MS, n_gaps);
    observer->ops->step(observer, &step);
}

static void tell_end(EepTokenCurve *curve, EepTime arrival, EepTime first, guint32 asked,
                     guint32 generated, EepFate fate, EepTime now)
{
    EepObserver *observer = eep_token_curve_observer(curve);
    const EepRequest request = {.arrival = arrival,
                                .first_token = first,
                                .output_tokens = asked,
                                .generated = generated,
                                .fate = (guint8)fate};

    observer->ops->request_ended(observer, &request, now);
}

/* Two requests of 4 tokens, one aborted after 2, and one that was refused. */
START_TEST(delivered_and_backlog)
{
    g_autoptr(EepTokenCurve) curve = eep_token_curve_new();

    tell_end(curve, 30 * MS, EEP_TIME_NEVER, 7, 0, EEP_FATE_REJECTED, 40 * MS);
    tell_step(curve, 0, 100 * MS, 0);
    tell_step(curve, 0, 110 * MS, 2);
    tell_end(curve, 20 * MS, 100 * MS, 4, 2, EEP_FATE_ABORTED, 115 * MS);
    tell_step(curve, 1, 118 * MS, 0); /* another pool's */
    tell_step(curve, 0, 120 * MS, 1);
    tell_step(curve, 0, 130 * MS, 1);
    tell_end(curve, 10 * MS, 100 * MS, 4, 4, EEP_FATE_COMPLETED, 130 * MS);
    eep_token_curve_finish(curve);
    const struct {
        EepTime at_ms;
        gint64 delivered, backlog;
    } expected[] = {{5, 0, 0},   {10, 0, 4},  {25, 0, 8},  {35, 0, 15}, {40, 0, 8},
                    {99, 0, 8},  {100, 2, 6}, {110, 4, 4}, {115, 4, 2}, {119, 4, 2},
                    {120, 5, 1}, {130, 6, 0}, {9999, 6, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        EepTime at = expected[i].at_ms * MS;
        ck_assert_int_eq(eep_token_curve_at(curve, at).delivered, expected[i].delivered);
        ck_assert_int_eq(eep_token_curve_at(curve, at).backlog, expected[i].backlog);
    }
}
END_TEST

/* An attempt that is aborted after 3 tokens; the second one delivers all 4. */
START_TEST(tried_again)
{
    g_autoptr(EepTokenCurve) curve = eep_token_curve_new();
    EepObserver *observer = eep_token_curve_observer(curve);
    const EepRequest first = {
        .first_token = 10 * MS, .output_tokens = 4, .generated = 3, .fate = EEP_FATE_ABORTED};
    const EepRequest refused = {.first_token = EEP_TIME_NEVER, .output_tokens = 4};

    tell_step(curve, 0, 20 * MS, 2);
    observer->ops->attempt_ended(observer, &first, 25 * MS);
    observer->ops->attempt_ended(observer, &refused, 26 * MS);
    tell_step(curve, 0, 50 * MS, 3);
    tell_end(curve, 0, 40 * MS, 4, 4, EEP_FATE_COMPLETED, 50 * MS);
    eep_token_curve_finish(curve);
    const struct {
        EepTime at_ms;
        gint64 delivered, backlog;
    } expected[] = {{0, 0, 4}, {10, 1, 3}, {20, 3, 1}, {25, 0, 4}, {40, 1, 3}, {50, 4, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        EepTime at = expected[i].at_ms * MS;
        ck_assert_int_eq(eep_token_curve_at(curve, at).delivered, expected[i].delivered);
        ck_assert_int_eq(eep_token_curve_at(curve, at).backlog, expected[i].backlog);
    }
}
END_TEST

/* A request of `n` tokens from 0 s, one every 10 ms, that stands still from `stop` to `go`. */
static EepTokenCurve *paced(guint n, EepTime stop, EepTime go, EepTime pace_after)
{
    EepTokenCurve *curve = eep_token_curve_new();
    EepTime now = 10 * MS;

    for (guint i = 1; i < n; i++) {
        now += now >= stop ? pace_after : 10 * MS;
        if (now >= stop && now < go)
            now = go;
        tell_step(curve, 0, now, 1);
    }
    tell_end(curve, 0, 10 * MS, n, n, EEP_FATE_COMPLETED, now);
    eep_token_curve_finish(curve);
    return curve;
}

/* 1000 tokens in 10 s; the run stands still from 2 s to 4 s and then is twice as fast: 200 tokens
 * behind at 4 s, level again at 6 s. */
START_TEST(dip_and_recovery)
{
    g_autoptr(EepTokenCurve) twin = paced(1000, 100 * S, 100 * S, 10 * MS);
    g_autoptr(EepTokenCurve) run = paced(1000, 2 * S, 4 * S, 5 * MS);

    EepTwinFigures figures = eep_token_curve_compare(run, twin, 2 * S, 4 * S, EEP_TIME_NEVER);
    ck_assert_int_ge(figures.dip_tokens, 198);
    ck_assert_int_le(figures.dip_tokens, 201);
    ck_assert_int_ge(figures.recover, 3980 * MS);
    ck_assert_int_le(figures.recover, 4020 * MS);

    /* A resize that begins once all is level again, and one before anything happened. */
    figures = eep_token_curve_compare(run, twin, 6100 * MS, 6200 * MS, EEP_TIME_NEVER);
    ck_assert_int_eq(figures.dip_tokens, 0);
    ck_assert_int_eq(figures.recover, 0);
    figures = eep_token_curve_compare(run, twin, 500 * MS, 900 * MS, 2 * S);
    ck_assert_int_eq(figures.dip_tokens, 0);
    ck_assert_int_eq(figures.recover, 0);

    /* One that begins while the backlog of another is worked off adds nothing to the dip. */
    figures = eep_token_curve_compare(run, twin, 4500 * MS, 4600 * MS, EEP_TIME_NEVER);
    ck_assert_int_eq(figures.dip_tokens, 0);
    ck_assert_int_ge(figures.recover, 1480 * MS);
    ck_assert_int_le(figures.recover, 1520 * MS);
}
END_TEST

/* The same with itself, whatever is asked. */
START_TEST(equal_runs)
{
    g_autoptr(EepTokenCurve) run = paced(1000, 2 * S, 4 * S, 5 * MS);
    const EepTwinFigures figures = eep_token_curve_compare(run, run, 1 * S, 5 * S, EEP_TIME_NEVER);

    ck_assert_int_eq(figures.dip_tokens, 0);
    ck_assert_int_eq(figures.recover, 0);
}
END_TEST

/* An aborted request's tokens never come, but nobody waits for them; one that waits for ever is
 * never back. */
START_TEST(lost_tokens)
{
    g_autoptr(EepTokenCurve) twin = paced(100, 100 * S, 100 * S, 10 * MS);
    g_autoptr(EepTokenCurve) aborted = eep_token_curve_new();
    g_autoptr(EepTokenCurve) stuck = eep_token_curve_new();

    tell_step(aborted, 0, 20 * MS, 1);
    tell_end(aborted, 0, 10 * MS, 100, 2, EEP_FATE_ABORTED, 25 * MS);
    tell_end(stuck, 0, EEP_TIME_NEVER, 100, 0, EEP_FATE_UNFINISHED, 60 * S);
    tell_end(stuck, 0, EEP_TIME_NEVER, 100, 0, EEP_FATE_UNFINISHED, 60 * S);
    eep_token_curve_finish(aborted);
    eep_token_curve_finish(stuck);
    EepTwinFigures figures = eep_token_curve_compare(aborted, twin, 22 * MS, 500 * MS, 600 * MS);
    ck_assert_int_eq(figures.recover, 0);
    ck_assert_int_ge(figures.dip_tokens, 57); /* by the next resize */
    ck_assert_int_le(figures.dip_tokens, 59);
    figures = eep_token_curve_compare(stuck, twin, 0, 500 * MS, 9 * S);
    ck_assert_int_eq(figures.dip_tokens, 100);
    ck_assert_int_gt(figures.recover, 59 * S); /* at the end of the run nobody waits any more */
}
END_TEST

/* A long run has coarser intervals and the same sums; the other curve may be finer. */
START_TEST(long_runs)
{
    g_autoptr(EepTokenCurve) run = eep_token_curve_new(), twin = eep_token_curve_new();
    EepTokenCurve *const both[] = {run, twin};

    for (guint k = 0; k < 2; k++) {
        for (guint i = 1; i <= 5000; i++)
            tell_step(both[k], 0, i * S + (k == 0 && i >= 3000 ? 10 * S : 0), 3);
        tell_end(both[k], 0, 500 * MS, 15001, 15001, EEP_FATE_COMPLETED, 5010 * S);
        eep_token_curve_finish(both[k]);
    }
    ck_assert_int_eq(eep_token_curve_at(run, 1000 * S + 100 * MS).delivered, 3001);
    ck_assert_int_eq(eep_token_curve_at(run, 6000 * S).delivered, 15001);
    ck_assert_int_eq(eep_token_curve_at(run, 6000 * S).backlog, 0);
    const EepTwinFigures figures =
        eep_token_curve_compare(run, twin, 2999500 * MS, 3009 * S, EEP_TIME_NEVER);
    ck_assert_int_eq(figures.dip_tokens, 30);
    ck_assert_int_ge(figures.recover, 2010 * S); /* it stays ten seconds behind to its end */
    ck_assert_int_le(figures.recover, 2011 * S);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token_curve");
    TCase *tcase = tcase_create("token_curve");
    tcase_add_test(tcase, delivered_and_backlog);
    tcase_add_test(tcase, tried_again);
    tcase_add_test(tcase, dip_and_recovery);
    tcase_add_test(tcase, equal_runs);
    tcase_add_test(tcase, lost_tokens);
    tcase_add_test(tcase, long_runs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
