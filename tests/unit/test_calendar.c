#include "core/engine/calendar.h"

#include <check.h>
#include <stdlib.h>

#include "core/rng.h"

#define TURN ((guint64)EEP_CALENDAR_NEAR * EEP_CALENDAR_FAR) /* 262,144 counts */

static EepCalendar calendar;

static void setup(void)
{
    eep_calendar_init(&calendar);
}

static void teardown(void)
{
    eep_calendar_clear(&calendar);
}

static void insert(EepRequest *request, guint64 id, guint64 due)
{
    *request = (EepRequest){.id = id, .due = due};
    eep_calendar_insert(&calendar, request);
}

/* Moves to the count and takes its list away; `expected` are the ids in order, ended by 0. */
static void assert_due(guint64 counter, const guint64 *expected)
{
    EepDueList *due, list;

    eep_calendar_advance(&calendar, counter);
    due = eep_calendar_due(&calendar, counter);
    list = *due;
    *due = (EepDueList){NULL, NULL};
    for (const EepRequest *request = list.head; request != NULL; request = request->due_next) {
        ck_assert_msg(*expected == request->id, "at %" G_GUINT64_FORMAT ": %d instead of %d",
                      counter, (int)request->id, (int)*expected);
        expected++;
        ck_assert_ptr_eq(request->due_next != NULL ? request->due_next->due_prev : list.tail,
                         request);
    }
    ck_assert_msg(*expected == 0, "at %" G_GUINT64_FORMAT ": %d is missing", counter,
                  (int)*expected);
}

#define IDS(...)                                                                                   \
    (const guint64[])                                                                              \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
#define NOBODY ((const guint64[]){0})

START_TEST(lists_keep_the_order_of_insertion)
{
    EepRequest r[4];

    insert(&r[0], 1, 5);
    insert(&r[1], 2, 5);
    insert(&r[2], 3, 6);
    insert(&r[3], 4, 5);
    for (guint64 counter = 1; counter < 5; counter++)
        assert_due(counter, NOBODY);
    assert_due(5, IDS(1, 2, 4));
    assert_due(6, IDS(3));
}
END_TEST

/* The near wheel ends at 1023; what is due later is dealt out as the counter gets there. */
START_TEST(a_window_is_entered)
{
    EepRequest r[6];

    insert(&r[0], 1, 1023);
    insert(&r[1], 2, 1024);
    insert(&r[2], 3, 1025);
    insert(&r[3], 4, 2047);
    insert(&r[4], 5, 2048);
    insert(&r[5], 6, 1024);
    for (guint64 counter = 1; counter <= 2100; counter++) {
        static const guint64 at[][4] = {{1023, 1}, {1024, 2, 6}, {1025, 3}, {2047, 4}, {2048, 5}};
        const guint64 *expected = NOBODY;

        for (guint i = 0; i < G_N_ELEMENTS(at); i++)
            if (at[i][0] == counter)
                expected = &at[i][1];
        assert_due(counter, expected);
    }
}
END_TEST

/* Requests due whole turns of the far wheel apart share its bucket, and each comes when it is due.
 */
START_TEST(the_far_wheel_turns)
{
    EepRequest r[5];

    insert(&r[0], 1, 2 * TURN + 1500);
    insert(&r[1], 2, 1500);
    insert(&r[2], 3, TURN + 1500);
    insert(&r[3], 4, TURN);     /* the bucket of the present window */
    insert(&r[4], 5, TURN + 7); /* likewise */
    for (guint64 counter = 1; counter <= 2 * TURN + 2000; counter++) {
        if (counter == 1500)
            assert_due(counter, IDS(2));
        else if (counter == TURN)
            assert_due(counter, IDS(4));
        else if (counter == TURN + 7)
            assert_due(counter, IDS(5));
        else if (counter == TURN + 1500)
            assert_due(counter, IDS(3));
        else if (counter == 2 * TURN + 1500)
            assert_due(counter, IDS(1));
        else
            assert_due(counter, NOBODY);
    }
}
END_TEST

START_TEST(removal_from_anywhere)
{
    EepRequest near[4], far[4];

    for (guint i = 0; i < 4; i++) {
        insert(&near[i], 1 + i, 10);
        insert(&far[i], 11 + i, 3000);
    }
    eep_calendar_remove(&calendar, &near[0]); /* head, middle, tail */
    eep_calendar_remove(&calendar, &near[2]);
    eep_calendar_remove(&calendar, &far[3]);
    eep_calendar_remove(&calendar, &far[1]);
    for (guint64 counter = 1; counter < 10; counter++)
        assert_due(counter, NOBODY);
    assert_due(10, IDS(2, 4));
    for (guint64 counter = 11; counter < 2900; counter++)
        assert_due(counter, NOBODY);
    eep_calendar_remove(&calendar, &far[0]); /* dealt out by now */
    for (guint64 counter = 2900; counter < 3000; counter++)
        assert_due(counter, NOBODY);
    assert_due(3000, IDS(13));
    insert(&near[0], 1, 3001);
    eep_calendar_remove(&calendar, &near[0]); /* the only one */
    assert_due(3001, NOBODY);
}
END_TEST

/* A discarded step: the counter goes back by one behind the begin of a window that was entered. */
START_TEST(the_counter_may_go_back_by_one)
{
    EepRequest r[2];

    insert(&r[0], 1, 1025);
    for (guint64 counter = 1; counter <= 1024; counter++)
        assert_due(counter, NOBODY);
    eep_calendar_advance(&calendar, 1023);
    insert(&r[1], 2, 1024);
    assert_due(1024, IDS(2));
    assert_due(1025, IDS(1));
}
END_TEST

/* Random insertions and removals against a plain scan. */
START_TEST(agrees_with_a_scan)
{
    enum { N = 300 };
    static EepRequest r[N];
    static gboolean is_in[N];
    static guint64 order[N];
    guint64 serial = 0;
    EepRng rng;

    eep_rng_init(&rng, (guint64)_i, "calendar");
    for (guint64 counter = 1; counter < 20000; counter++) {
        guint i = (guint)eep_rng_below(&rng, N);
        guint64 expected[N + 1];
        guint n = 0;

        if (!is_in[i]) {
            guint64 span = eep_rng_below(&rng, 4) == 0 ? 5000 : 300;

            insert(&r[i], i + 1, counter + eep_rng_below(&rng, span));
            is_in[i] = TRUE;
            order[i] = serial++;
        } else if (eep_rng_below(&rng, 3) == 0) {
            eep_calendar_remove(&calendar, &r[i]);
            is_in[i] = FALSE;
        }
        for (guint64 last = 0;;) {
            guint best = N;

            for (guint k = 0; k < N; k++)
                if (is_in[k] && r[k].due == counter && order[k] + 1 > last &&
                    (best == N || order[k] < order[best]))
                    best = k;
            if (best == N)
                break;
            last = order[best] + 1;
            is_in[best] = FALSE;
            expected[n++] = best + 1;
        }
        expected[n] = 0;
        assert_due(counter, expected);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calendar");
    TCase *tcase = tcase_create("calendar");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lists_keep_the_order_of_insertion);
    tcase_add_test(tcase, a_window_is_entered);
    tcase_add_test(tcase, the_far_wheel_turns);
    tcase_add_test(tcase, removal_from_anywhere);
    tcase_add_test(tcase, the_counter_may_go_back_by_one);
    tcase_add_loop_test(tcase, agrees_with_a_scan, 0, 5);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
