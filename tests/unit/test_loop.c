#include <check.h>
#include <stdlib.h>

#include "core/loop/loop.h"

/* A handler that writes down what it gets, and does what `script` says for one value of a. */
typedef struct {
    EepLoop *loop;
    guint64 seen[64];
    EepTime times[64];
    guint n;
    void (*script)(gpointer world, const EepEvent *event);
    gboolean fails;
} World;

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    ck_assert_int_eq(eep_loop_now(world->loop), event->time);
    world->times[world->n] = event->time;
    world->seen[world->n++] = event->a;
    if (world->script != NULL)
        world->script(world, event);
    if (world->fails)
        g_set_error_literal(error, g_quark_from_static_string("test"), 1, "broke");
    return !world->fails;
}

static EepHandle schedule(EepLoop *loop, EepTime at, EepEventKind kind, guint64 a)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_POOL, 0),
                      .event_class =
                          kind == EEP_EVENT_OP_DONE ? EEP_CLASS_BACKEND : EEP_CLASS_TIMER,
                      .kind = kind,
                      .a = a};
    return eep_loop_schedule(loop, at, &event);
}

static void assert_seen(const World *world, guint n, const guint64 *expected)
{
    ck_assert_uint_eq(world->n, n);
    for (guint i = 0; i < n; i++)
        ck_assert_uint_eq(world->seen[i], expected[i]);
}
#define ASSERT_SEEN(world, ...)                                                                    \
    assert_seen((world), sizeof((guint64[]){__VA_ARGS__}) / sizeof(guint64),                       \
                (const guint64[]){__VA_ARGS__})

START_TEST(runs_in_order_up_to_until)
{
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {0};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    schedule(loop, 30, EEP_EVENT_TIMER, 3);
    schedule(loop, 10, EEP_EVENT_TIMER, 1);
    EepHandle moved = schedule(loop, 99, EEP_EVENT_TIMER, 2);
    EepHandle cancelled = schedule(loop, 5, EEP_EVENT_TIMER, 9);
    ck_assert(eep_loop_reschedule(loop, moved, 20));
    ck_assert(eep_loop_reschedule(loop, cancelled, EEP_TIME_NEVER));
    ck_assert(!eep_loop_reschedule(loop, cancelled, 7));
    ck_assert_uint_eq(schedule(loop, EEP_TIME_NEVER, EEP_EVENT_TIMER, 8), 0);
    ck_assert_int_eq(eep_loop_horizon(loop), 10);

    ck_assert(eep_loop_run(loop, 20, NULL));
    ASSERT_SEEN(&world, 1, 2);
    ck_assert_int_eq(eep_loop_now(loop), 20);
    ck_assert_int_eq(eep_loop_horizon(loop), 30);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 1, 2, 3);
    ck_assert_uint_eq(eep_loop_n_dispatched(loop), 3);
    ck_assert_int_eq(eep_loop_horizon(loop), EEP_TIME_NEVER);
}
END_TEST

static void chain(gpointer self, const EepEvent *event)
{
    World *world = self;
    if (event->a < 5)
        schedule(world->loop, event->time + 7, EEP_EVENT_TIMER, event->a + 1);
    else
        eep_loop_stop(world->loop);
}

START_TEST(handler_schedules_and_stops)
{
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {.script = chain};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    schedule(loop, 0, EEP_EVENT_TIMER, 1);
    schedule(loop, 1000, EEP_EVENT_TIMER, 77);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 1, 2, 3, 4, 5);
    ck_assert_int_eq(world.times[4], 28);
    ck_assert(eep_loop_is_stopped(loop));
}
END_TEST

START_TEST(handler_error_ends_the_run)
{
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {.fails = TRUE};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    schedule(loop, 1, EEP_EVENT_TIMER, 1);
    schedule(loop, 2, EEP_EVENT_TIMER, 2);
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_loop_run(loop, EEP_TIME_NEVER, &error));
    ck_assert_str_eq(error->message, "broke");
    ASSERT_SEEN(&world, 1);
}
END_TEST

static guint choose_last(gpointer self, const EepEvent *const *enabled, guint n_enabled)
{
    (*(guint *)self)++;
    for (guint i = 1; i < n_enabled; i++)
        ck_assert_int_lt(eep_event_compare(enabled[i - 1], enabled[i]), 0);
    return n_enabled - 1;
}

START_TEST(chooser_picks_within_the_instant)
{
    static const EepChooserOps last = {sizeof last, "last", choose_last};
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {0};
    guint n_asked = 0;
    g_autoptr(EepLoop) loop = world.loop =
        eep_loop_new(clock, handle, &world, &last, &n_asked, NULL);
    for (guint64 a = 1; a <= 3; a++)
        schedule(loop, 10, EEP_EVENT_TIMER, a);
    schedule(loop, 11, EEP_EVENT_TIMER, 4);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 3, 2, 1, 4);
    ck_assert_uint_eq(n_asked, 2);
}
END_TEST

typedef struct {
    guint64 next, end;
} Inbox;

static gboolean take(gpointer self, EepEvent *ret_event)
{
    Inbox *inbox = self;
    if (inbox->next == inbox->end)
        return FALSE;
    *ret_event = (EepEvent){.source = EEP_SOURCE(EEP_SOURCE_SCENARIO, 1),
                            .event_class = EEP_CLASS_OPERATOR,
                            .kind = EEP_EVENT_OPERATOR,
                            .time = -5, /* replaced */
                            .a = inbox->next++};
    return TRUE;
}

START_TEST(stepping_clock_and_inbox)
{
    g_autoptr(EepClock) clock = eep_clock_stepping_new();
    World world = {0};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    Inbox inbox = {100, 100};
    eep_loop_set_inbox(loop, take, &inbox);
    schedule(loop, 10, EEP_EVENT_TIMER, 1);
    schedule(loop, 20, EEP_EVENT_TIMER, 2);
    ck_assert_int_eq(eep_loop_horizon(loop), 0); /* does not foresee: now */

    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ck_assert_uint_eq(world.n, 0);
    eep_clock_stepping_advance(clock, 9);
    inbox.end = 102;
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 100, 101);
    ck_assert_int_eq(world.times[0], 9);
    eep_clock_stepping_advance(clock, 15);
    inbox.end = 103;
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 100, 101, 1, 102);
    ck_assert_int_eq(world.times[2], 10);
    ck_assert_int_eq(world.times[3], 15);
    ck_assert_int_eq(eep_loop_horizon(loop), 15);
}
END_TEST

/* A live clock: the second wait is interrupted by a post, all others reach their deadline. */
typedef struct {
    EepClock base;
    EepTime now;
    guint n_waits;
    Inbox *inbox;
} LiveClock;

static EepTime live_now(const EepClock *clock)
{
    return ((const LiveClock *)clock)->now;
}

static EepWake live_wait(EepClock *clock, EepTime deadline)
{
    LiveClock *self = (LiveClock *)clock;
    if (++self->n_waits == 2) {
        self->now += 3;
        self->inbox->end++;
        return EEP_WAKE_POSTED;
    }
    self->now = MAX(self->now, deadline);
    return EEP_WAKE_DEADLINE;
}

START_TEST(waits_for_posts_until_the_end)
{
    static const EepClockOps ops = {
        .size = sizeof ops, .name = "live", .now = live_now, .wait_until = live_wait};
    Inbox inbox = {100, 100};
    LiveClock clock = {.base = {&ops}, .inbox = &inbox};
    World world = {0};
    g_autoptr(EepLoop) loop = world.loop =
        eep_loop_new(&clock.base, handle, &world, NULL, NULL, NULL);
    eep_loop_set_inbox(loop, take, &inbox);
    schedule(loop, 10, EEP_EVENT_TIMER, 1);
    schedule(loop, 60, EEP_EVENT_TIMER, 2);
    ck_assert(eep_loop_run(loop, 50, NULL));
    ASSERT_SEEN(&world, 1, 100);
    ck_assert_int_eq(world.times[1], 13);
    ck_assert_int_eq(clock.now, 50); /* the run lasts as long as was said */
    ck_assert_int_eq(eep_loop_horizon(loop), 13);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 1, 100, 2);
}
END_TEST

/* Drops a = 2, delays a = 3 by 10, adds 100 to the others. */
static EepFilterVerdict filter_first(gpointer self, EepEvent *event)
{
    (*(guint *)self)++;
    if (event->a == 2)
        return EEP_FILTER_DROP;
    if (event->a == 3) {
        event->time += 10;
        return EEP_FILTER_DELAY;
    }
    event->a += 100;
    return EEP_FILTER_PASS;
}

static EepFilterVerdict filter_second(gpointer self, EepEvent *event)
{
    (*(guint *)self)++;
    event->a += 1000;
    return EEP_FILTER_PASS;
}

START_TEST(filters_see_completions_once)
{
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {0};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    guint n_first = 0, n_second = 0;
    eep_loop_add_filter(loop, filter_first, &n_first);
    eep_loop_add_filter(loop, filter_second, &n_second);
    EepEvent with_blob = {.kind = EEP_EVENT_OP_DONE, .a = 2, .blob = g_bytes_new_static("x", 1)};
    eep_loop_schedule(loop, 2, &with_blob);
    schedule(loop, 1, EEP_EVENT_OP_DONE, 1);
    schedule(loop, 3, EEP_EVENT_OP_DONE, 3);
    schedule(loop, 4, EEP_EVENT_TIMER, 4);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ASSERT_SEEN(&world, 1101, 4, 1003);
    ck_assert_int_eq(world.times[2], 13);
    ck_assert_uint_eq(n_first, 3);
    ck_assert_uint_eq(n_second, 2);
    ck_assert_uint_eq(eep_loop_n_dispatched(loop), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop");
    TCase *tcase = tcase_create("loop");
    tcase_add_test(tcase, runs_in_order_up_to_until);
    tcase_add_test(tcase, handler_schedules_and_stops);
    tcase_add_test(tcase, handler_error_ends_the_run);
    tcase_add_test(tcase, chooser_picks_within_the_instant);
    tcase_add_test(tcase, stepping_clock_and_inbox);
    tcase_add_test(tcase, waits_for_posts_until_the_end);
    tcase_add_test(tcase, filters_see_completions_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
