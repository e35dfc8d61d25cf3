/* live/mailbox.h: order, ownership, and a loop that other threads feed. */
#include <check.h>
#include <stdlib.h>

#include "live/clock_real.h"
#include "live/mailbox.h"

#define N_THREADS 4
#define N_EACH    500

START_TEST(keeps_order_and_blobs)
{
    g_autoptr(EepMailbox) mailbox = eep_mailbox_new(NULL);
    EepEvent event = {.kind = EEP_EVENT_TIMER}, taken;

    for (guint i = 0; i < 5; i++) {
        event.a = i;
        event.blob = g_bytes_new(&i, sizeof i);
        eep_mailbox_post(mailbox, &event);
    }
    for (guint i = 0; i < 3; i++) {
        ck_assert(eep_mailbox_take(mailbox, &taken));
        ck_assert_uint_eq(taken.a, i);
        ck_assert_uint_eq(*(const guint *)g_bytes_get_data(taken.blob, NULL), i);
        g_bytes_unref(taken.blob);
    }
    /* The others go with the box. */
}
END_TEST

START_TEST(is_empty_when_all_is_taken)
{
    g_autoptr(EepMailbox) mailbox = eep_mailbox_new(NULL);
    EepEvent event = {.kind = EEP_EVENT_TIMER}, taken;

    ck_assert(!eep_mailbox_take(mailbox, &taken));
    eep_mailbox_post(mailbox, &event);
    ck_assert(eep_mailbox_take(mailbox, &taken));
    ck_assert(!eep_mailbox_take(mailbox, &taken));
}
END_TEST

typedef struct {
    EepLoop *loop;
    guint64 next[N_THREADS];
    guint n;
} Counter;

static gboolean count(gpointer self, const EepEvent *event, GError **error)
{
    Counter *counter = self;

    /* Of one thread in its order; times never go back. */
    ck_assert_uint_eq(event->b, counter->next[event->a]++);
    if (++counter->n == N_THREADS * N_EACH)
        eep_loop_stop(counter->loop);
    return TRUE;
}

typedef struct {
    EepMailbox *mailbox;
    guint index;
} Poster;

static gpointer post_all(gpointer data)
{
    Poster *poster = data;

    for (guint i = 0; i < N_EACH; i++) {
        EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_WORKER, poster->index),
                          .kind = EEP_EVENT_TIMER,
                          .a = poster->index,
                          .b = i};

        eep_mailbox_post(poster->mailbox, &event);
        if (i % 50 == 0)
            g_usleep(100);
    }
    return NULL;
}

START_TEST(threads_feed_a_loop)
{
    g_autoptr(EepClock) clock = eep_clock_real_new(NULL);
    g_autoptr(EepMailbox) mailbox = eep_mailbox_new(clock);
    Counter counter = {0};
    EepLoop *loop = eep_loop_new(clock, count, &counter, NULL, NULL, NULL);
    Poster posters[N_THREADS];
    GThread *threads[N_THREADS];

    counter.loop = loop;
    eep_loop_set_inbox(loop, eep_mailbox_take, mailbox);
    eep_clock_real_start(clock);
    for (guint i = 0; i < N_THREADS; i++) {
        posters[i] = (Poster){mailbox, i};
        threads[i] = g_thread_new("poster", post_all, &posters[i]);
    }
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ck_assert_uint_eq(counter.n, N_THREADS * N_EACH);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    eep_loop_free(loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tcase = tcase_create("mailbox");

    tcase_add_test(tcase, keeps_order_and_blobs);
    tcase_add_test(tcase, is_empty_when_all_is_taken);
    tcase_add_test(tcase, threads_feed_a_loop);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
