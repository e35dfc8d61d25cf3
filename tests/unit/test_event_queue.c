#include <check.h>
#include <stdlib.h>

#include "core/loop/event_queue.h"

static guint64 push(EepEventQueue *queue, EepTime time, EepClass event_class, guint32 source,
                    guint64 a)
{
    EepEvent event = {.time = time,
                      .source = source,
                      .event_class = event_class,
                      .kind = EEP_EVENT_TIMER,
                      .a = a};
    return eep_event_queue_push(queue, &event);
}

static guint64 pop_a(EepEventQueue *queue)
{
    EepEvent event;
    ck_assert(eep_event_queue_pop(queue, &event));
    return event.a;
}

START_TEST(order_is_time_class_source_sequence)
{
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    push(queue, 20, EEP_CLASS_FAULT, 1, 6);
    push(queue, 10, EEP_CLASS_TIMER, 1, 5);
    push(queue, 10, EEP_CLASS_BACKEND, 7, 3);
    push(queue, 10, EEP_CLASS_BACKEND, 7, 4);
    push(queue, 10, EEP_CLASS_BACKEND, 2, 2);
    push(queue, 10, EEP_CLASS_FAULT, 9, 1);
    ck_assert_uint_eq(eep_event_queue_n_events(queue), 6);
    ck_assert_int_eq(eep_event_queue_first_time(queue), 10);
    for (guint64 a = 1; a <= 6; a++)
        ck_assert_uint_eq(pop_a(queue), a);
    ck_assert_int_eq(eep_event_queue_first_time(queue), EEP_TIME_NEVER);
    ck_assert_ptr_null(eep_event_queue_first(queue));
    EepEvent none;
    ck_assert(!eep_event_queue_pop(queue, &none));
}
END_TEST

START_TEST(sequence_counts_per_source)
{
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    guint32 far_worker = EEP_SOURCE(EEP_SOURCE_WORKER, 70000);
    guint32 pool = EEP_SOURCE(EEP_SOURCE_POOL, 0);
    push(queue, 1, EEP_CLASS_TIMER, far_worker, 0);
    push(queue, 2, EEP_CLASS_TIMER, pool, 0);
    push(queue, 3, EEP_CLASS_TIMER, far_worker, 0);
    push(queue, 4, EEP_CLASS_TIMER, EEP_SOURCE(EEP_SOURCE_WORKER, 3), 0);
    push(queue, 5, EEP_CLASS_TIMER, far_worker, 0);
    const guint64 expected[] = {0, 0, 1, 0, 2};
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        EepEvent event;
        ck_assert(eep_event_queue_pop(queue, &event));
        ck_assert_uint_eq(event.seq, expected[i]);
    }
}
END_TEST

START_TEST(handles_move_and_remove_once)
{
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    guint64 x = push(queue, 10, EEP_CLASS_TIMER, 1, 1);
    guint64 y = push(queue, 20, EEP_CLASS_TIMER, 1, 2);
    guint64 z = push(queue, 30, EEP_CLASS_TIMER, 1, 3);
    ck_assert_uint_ne(x, 0);
    ck_assert(eep_event_queue_move(queue, z, 5));
    ck_assert(eep_event_queue_move(queue, x, 40));
    ck_assert_int_eq(eep_event_queue_first(queue)->time, 5);
    ck_assert(eep_event_queue_remove(queue, y));
    ck_assert(!eep_event_queue_remove(queue, y));
    ck_assert(!eep_event_queue_move(queue, y, 1));
    ck_assert_uint_eq(pop_a(queue), 3);
    ck_assert(!eep_event_queue_move(queue, z, 1));
    guint64 reusing = push(queue, 50, EEP_CLASS_TIMER, 1, 4); /* takes z's or y's slot */
    ck_assert(reusing != x && reusing != y && reusing != z);
    ck_assert(!eep_event_queue_remove(queue, y) && !eep_event_queue_remove(queue, z));
    ck_assert(!eep_event_queue_remove(queue, 0));
    ck_assert(!eep_event_queue_remove(queue, G_MAXUINT64));
    ck_assert_uint_eq(pop_a(queue), 1);
    ck_assert_uint_eq(pop_a(queue), 4);
}
END_TEST

START_TEST(lists_and_takes_the_earliest_instant)
{
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    for (guint i = 0; i < 40; i++)
        push(queue, i % 4 == 0 ? 7 : 8 + i % 4, i % 8 == 0 ? EEP_CLASS_BACKEND : EEP_CLASS_TIMER,
             100 - i, i);
    guint n;
    const EepEvent *const *list = eep_event_queue_list_first(queue, &n);
    ck_assert_uint_eq(n, 10);
    for (guint i = 0; i < n; i++) {
        ck_assert_int_eq(list[i]->time, 7);
        if (i > 0)
            ck_assert_int_lt(eep_event_compare(list[i - 1], list[i]), 0);
    }
    /* Backend class first, and in it the smallest source: i = 32. */
    ck_assert_uint_eq(list[0]->a, 32);
    ck_assert_uint_eq(list[4]->a, 0);
    EepEvent taken;
    eep_event_queue_take(queue, list[4], &taken);
    ck_assert_uint_eq(taken.a, 0);
    eep_event_queue_list_first(queue, &n);
    ck_assert_uint_eq(n, 9);
    ck_assert_uint_eq(eep_event_queue_n_events(queue), 39);
}
END_TEST

START_TEST(owns_the_blobs)
{
    EepEventQueue *queue = eep_event_queue_new();
    GBytes *blob = g_bytes_new_static("x", 1);
    EepEvent event = {.time = 1, .source = 1, .blob = g_bytes_ref(blob)};
    guint64 handle = eep_event_queue_push(queue, &event);
    event.blob = g_bytes_ref(blob);
    eep_event_queue_push(queue, &event);
    event.blob = g_bytes_ref(blob);
    eep_event_queue_push(queue, &event);
    eep_event_queue_remove(queue, handle);
    EepEvent popped;
    eep_event_queue_pop(queue, &popped);
    ck_assert_ptr_eq(popped.blob, blob);
    g_bytes_unref(popped.blob);
    eep_event_queue_free(queue); /* drops the third */
    gsize n;
    g_free(g_bytes_unref_to_data(blob, &n)); /* copies unless the reference is the last one */
    ck_assert_uint_eq(n, 1);
}
END_TEST

typedef struct {
    EepEvent event;
    guint64 handle;
} Expected;

static int compare_expected(const void *x, const void *y)
{
    return eep_event_compare(&((const Expected *)x)->event, &((const Expected *)y)->event);
}

/* Knuth's MMIX congruential generator; its high bits. */
static guint64 draw(guint64 *state, guint64 bound)
{
    *state =
        *state * G_GUINT64_CONSTANT(6364136223846793005) + G_GUINT64_CONSTANT(1442695040888963407);
    return (*state >> 33) % bound;
}

/* Against a sorted array, with random pushes, moves, removals and pops. */
START_TEST(agrees_with_a_sorted_list)
{
    enum { MAX_EVENTS = 400, N_ROUNDS = 20000 };
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    static Expected expected[MAX_EVENTS];
    guint n = 0;
    guint64 sequences[8] = {0};
    guint64 state = 3;
    for (guint round = 0; round < N_ROUNDS; round++) {
        guint what = (guint)draw(&state, 8);
        guint which = n > 0 ? (guint)draw(&state, n) : 0;
        EepTime time = (EepTime)draw(&state, 50);
        if (what < 4 && n < MAX_EVENTS) {
            guint32 source = (guint32)draw(&state, 8);
            EepClass event_class = (EepClass)draw(&state, 5);
            Expected *added = &expected[n++];
            added->handle = push(queue, time, event_class, source, round);
            added->event = (EepEvent){.time = time,
                                      .source = source,
                                      .event_class = event_class,
                                      .seq = sequences[source]++,
                                      .a = round};
        } else if (what == 4 && n > 0) {
            ck_assert(eep_event_queue_move(queue, expected[which].handle, time));
            expected[which].event.time = time;
        } else if (what == 5 && n > 0) {
            ck_assert(eep_event_queue_remove(queue, expected[which].handle));
            expected[which] = expected[--n];
        } else if (n > 0) {
            qsort(expected, n, sizeof *expected, compare_expected);
            EepEvent event;
            ck_assert(eep_event_queue_pop(queue, &event));
            ck_assert_uint_eq(event.a, expected[0].event.a);
            ck_assert_uint_eq(event.seq, expected[0].event.seq);
            ck_assert_int_eq(event.time, expected[0].event.time);
            ck_assert(!eep_event_queue_remove(queue, expected[0].handle));
            expected[0] = expected[--n];
        }
        ck_assert_uint_eq(eep_event_queue_n_events(queue), n);
        EepTime first = EEP_TIME_NEVER;
        for (guint i = 0; i < n; i++)
            first = MIN(first, expected[i].event.time);
        ck_assert_int_eq(eep_event_queue_first_time(queue), first);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("event_queue");
    TCase *tcase = tcase_create("event_queue");
    tcase_add_test(tcase, order_is_time_class_source_sequence);
    tcase_add_test(tcase, sequence_counts_per_source);
    tcase_add_test(tcase, handles_move_and_remove_once);
    tcase_add_test(tcase, lists_and_takes_the_earliest_instant);
    tcase_add_test(tcase, owns_the_blobs);
    tcase_add_test(tcase, agrees_with_a_sorted_list);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
