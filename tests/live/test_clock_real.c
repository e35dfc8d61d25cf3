/* live/clock_real.h: time passes, descriptors are served, other threads wake. */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "live/clock_real.h"

static EepClock *clock_started(void)
{
    EepClock *clock = eep_clock_real_new(NULL);

    ck_assert_ptr_nonnull(clock);
    ck_assert_int_eq(clock->ops->now(clock), 0);
    eep_clock_real_start(clock);
    return clock;
}

START_TEST(waits_until_the_deadline_and_not_much_longer)
{
    g_autoptr(EepClock) clock = clock_started();
    EepTime shortest = EEP_TIME_NEVER;

    for (int i = 0; i < 20; i++) {
        EepTime deadline = clock->ops->now(clock) + 2 * EEP_NS_PER_MS;

        ck_assert_int_eq(clock->ops->wait_until(clock, deadline), EEP_WAKE_DEADLINE);
        EepTime late = clock->ops->now(clock) - deadline;
        ck_assert_int_ge(late, 0);
        shortest = MIN(shortest, late);
    }
    /* The kernel's slack is 50 us; a busy machine may delay some waits, hardly all of them. */
    ck_assert_int_lt(shortest, EEP_NS_PER_MS);
    ck_assert_int_eq(clock->ops->wait_until(clock, 0), EEP_WAKE_DEADLINE);
    ck_assert(!clock->ops->foresees);
}
END_TEST

typedef struct {
    EepClock *clock;
    int fd, other;
    guint n_readable, n_writable;
    char last;
} Reader;

static void on_ready(gpointer self, int fd, gboolean is_readable, gboolean is_writable)
{
    Reader *reader = self;

    ck_assert_int_eq(fd, reader->fd);
    reader->n_writable += is_writable;
    if (is_writable)
        eep_clock_real_want_write(reader->clock, fd, FALSE);
    if (!is_readable)
        return;
    reader->n_readable++;
    ck_assert_int_le(read(fd, &reader->last, 1), 1);
    if (reader->other >= 0)
        eep_clock_real_unwatch(reader->clock, reader->other);
}

START_TEST(serves_descriptors_and_says_so)
{
    g_autoptr(EepClock) clock = clock_started();
    int pipe_fds[2];
    Reader reader = {.clock = clock, .other = -1};

    ck_assert_int_eq(pipe(pipe_fds), 0);
    reader.fd = pipe_fds[0];
    eep_clock_real_watch(clock, pipe_fds[0], on_ready, &reader);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    ck_assert_int_eq(clock->ops->wait_until(clock, EEP_TIME_NEVER), EEP_WAKE_POSTED);
    ck_assert_uint_eq(reader.n_readable, 1);
    ck_assert_int_eq(reader.last, 'x');
    close(pipe_fds[1]); /* a hang-up is readable too */
    ck_assert_int_eq(clock->ops->wait_until(clock, EEP_TIME_NEVER), EEP_WAKE_POSTED);
    ck_assert_uint_eq(reader.n_readable, 2);
    eep_clock_real_unwatch(clock, pipe_fds[0]);
    ck_assert_int_eq(clock->ops->wait_until(clock, clock->ops->now(clock) + 1), EEP_WAKE_DEADLINE);
    close(pipe_fds[0]);
}
END_TEST

START_TEST(tells_writable_only_when_wanted)
{
    g_autoptr(EepClock) clock = clock_started();
    int pipe_fds[2];
    Reader writer = {.clock = clock, .other = -1};

    ck_assert_int_eq(pipe(pipe_fds), 0);
    writer.fd = pipe_fds[1];
    eep_clock_real_watch(clock, pipe_fds[1], on_ready, &writer);
    eep_clock_real_poll(clock, 0);
    ck_assert_uint_eq(writer.n_writable, 0);
    eep_clock_real_want_write(clock, pipe_fds[1], TRUE);
    eep_clock_real_poll(clock, EEP_NS_PER_S);
    eep_clock_real_poll(clock, 0);
    ck_assert_uint_eq(writer.n_writable, 1);
    eep_clock_real_unwatch(clock, pipe_fds[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

/* Both are ready; whoever is served first takes the other away. */
START_TEST(serves_nobody_who_was_unwatched_meanwhile)
{
    g_autoptr(EepClock) clock = clock_started();
    int one[2], two[2];
    Reader first = {.clock = clock}, second = {.clock = clock};

    ck_assert_int_eq(pipe(one), 0);
    ck_assert_int_eq(pipe(two), 0);
    first.fd = second.other = one[0];
    second.fd = first.other = two[0];
    eep_clock_real_watch(clock, one[0], on_ready, &first);
    eep_clock_real_watch(clock, two[0], on_ready, &second);
    ck_assert_int_eq(write(one[1], "a", 1), 1);
    ck_assert_int_eq(write(two[1], "b", 1), 1);
    eep_clock_real_poll(clock, EEP_NS_PER_S);
    ck_assert_uint_eq(first.n_readable + second.n_readable, 1);
    eep_clock_real_unwatch(clock, first.n_readable > 0 ? one[0] : two[0]);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}
END_TEST

START_TEST(serves_descriptors_before_it_has_started)
{
    g_autoptr(EepClock) clock = eep_clock_real_new(NULL);
    int pipe_fds[2];
    Reader reader = {.clock = clock, .other = -1};

    ck_assert_int_eq(pipe(pipe_fds), 0);
    reader.fd = pipe_fds[0];
    eep_clock_real_watch(clock, pipe_fds[0], on_ready, &reader);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    ck_assert_int_eq(clock->ops->wait_until(clock, 5), EEP_WAKE_POSTED);
    ck_assert_uint_eq(reader.n_readable, 1);
    ck_assert_int_eq(clock->ops->now(clock), 0);
    eep_clock_real_unwatch(clock, pipe_fds[0]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

static gpointer wake_later(gpointer clock)
{
    g_usleep(20000);
    eep_clock_real_wake(clock);
    return NULL;
}

START_TEST(is_woken_by_another_thread)
{
    g_autoptr(EepClock) clock = clock_started();
    GThread *thread = g_thread_new("waker", wake_later, clock);

    ck_assert_int_eq(clock->ops->wait_until(clock, EEP_TIME_NEVER), EEP_WAKE_POSTED);
    ck_assert_int_ge(clock->ops->now(clock), 15 * EEP_NS_PER_MS);
    g_thread_join(thread);
    /* Before a wait it ends the next one, and only that. */
    eep_clock_real_wake(clock);
    ck_assert_int_eq(clock->ops->wait_until(clock, EEP_TIME_NEVER), EEP_WAKE_POSTED);
    ck_assert_int_eq(clock->ops->wait_until(clock, clock->ops->now(clock) + EEP_NS_PER_MS),
                     EEP_WAKE_DEADLINE);
}
END_TEST

/* A loop that is always behind its clock hears its descriptors nevertheless. */
START_TEST(looks_at_descriptors_although_work_is_due)
{
    g_autoptr(EepClock) clock = clock_started();
    int pipe_fds[2];
    Reader reader = {.clock = clock, .other = -1};
    EepTime until;

    ck_assert_int_eq(pipe(pipe_fds), 0);
    reader.fd = pipe_fds[0];
    eep_clock_real_watch(clock, pipe_fds[0], on_ready, &reader);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    until = clock->ops->now(clock) + EEP_NS_PER_S;
    while (reader.n_readable == 0 && clock->ops->now(clock) < until)
        clock->ops->wait_until(clock, 0);
    ck_assert_uint_eq(reader.n_readable, 1);
    eep_clock_real_unwatch(clock, pipe_fds[0]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock_real");
    TCase *tcase = tcase_create("clock_real");

    tcase_add_test(tcase, waits_until_the_deadline_and_not_much_longer);
    tcase_add_test(tcase, serves_descriptors_and_says_so);
    tcase_add_test(tcase, tells_writable_only_when_wanted);
    tcase_add_test(tcase, serves_nobody_who_was_unwatched_meanwhile);
    tcase_add_test(tcase, serves_descriptors_before_it_has_started);
    tcase_add_test(tcase, is_woken_by_another_thread);
    tcase_add_test(tcase, looks_at_descriptors_although_work_is_due);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
