#include "core/engine/request.h"

#include <check.h>
#include <stdlib.h>

#include "core/rng.h"

START_TEST(a_new_request_is_clear)
{
    g_autoptr(EepRequestTable) table = eep_request_table_new();
    guint64 hashes[] = {11, 22, 33};
    EepRequest *request = eep_request_new(table, 7, 1234, 50, 9, hashes, 3);

    hashes[1] = 0; /* they are copied */
    ck_assert_uint_eq(request->id, 7);
    ck_assert_int_eq(request->arrival, 1234);
    ck_assert_uint_eq(request->prompt_tokens, 50);
    ck_assert_uint_eq(request->output_tokens, 9);
    ck_assert_uint_eq(request->n_hashes, 3);
    ck_assert_uint_eq(request->hashes[1], 22);
    ck_assert_int_eq(request->first_token, EEP_TIME_NEVER);
    ck_assert_int_eq(request->last_token, EEP_TIME_NEVER);
    ck_assert_int_eq(request->finish, EEP_TIME_NEVER);
    ck_assert_uint_eq(request->state, EEP_REQUEST_NEW);
    ck_assert_uint_eq(request->fate, EEP_FATE_NONE);
    ck_assert_uint_eq(request->n_attempts, 0);
    ck_assert_uint_eq(eep_request_known(request), 50);
    request->generated = 4;
    ck_assert_uint_eq(eep_request_known(request), 54);
    ck_assert_uint_eq(eep_request_table_n_live(table), 1);
    eep_request_free(table, request);
    ck_assert_uint_eq(eep_request_table_n_live(table), 0);
}
END_TEST

/* Slots come back, cleared; requests that live are not moved by the table's growth. */
START_TEST(slots_are_recycled)
{
    enum { N = 5000 };
    g_autoptr(EepRequestTable) table = eep_request_table_new();
    static EepRequest *requests[N];
    const guint64 hash = 5;
    EepRequest *old;

    for (guint i = 0; i < N; i++)
        requests[i] = eep_request_new(table, i, i, i + 1, 1, &hash, 1);
    ck_assert_uint_eq(eep_request_table_n_live(table), N);
    for (guint i = 0; i < N; i++) {
        ck_assert_uint_eq(requests[i]->id, i);
        ck_assert_uint_eq(requests[i]->prompt_tokens, i + 1);
    }
    old = requests[1234];
    old->n_preemptions = 3;
    old->flags = 0xff;
    eep_request_free(table, old);
    requests[1234] = eep_request_new(table, 99999, 1, 1, 1, NULL, 0);
    ck_assert_ptr_eq(requests[1234], old);
    ck_assert_uint_eq(old->n_preemptions, 0);
    ck_assert_uint_eq(old->flags, 0);
    ck_assert_ptr_null(old->hashes);
    for (guint i = 0; i < N; i++)
        eep_request_free(table, requests[i]);
    ck_assert_uint_eq(eep_request_table_n_live(table), 0);
    for (guint i = 0; i < N; i++) /* the table does not grow again, or leaks show it */
        requests[i] = eep_request_new(table, i, i, 1, 1, &hash, 1);
    ck_assert_uint_eq(eep_request_table_n_live(table), N);
}
END_TEST

START_TEST(names)
{
    static const char *const fates[] = {"none", "completed", "rejected", "aborted", "unfinished"};
    static const char *const reasons[] = {
        "",           "too_long", "never_fits", "scaling_503", "queue_limit", "unavailable",
        "scale_down", "fault",    "client",     "timeout"};

    ck_assert_uint_eq(G_N_ELEMENTS(fates), EEP_FATE_COUNT);
    ck_assert_uint_eq(G_N_ELEMENTS(reasons), EEP_REASON_COUNT);
    for (guint i = 0; i < EEP_FATE_COUNT; i++)
        ck_assert_str_eq(eep_fate_names[i], fates[i]);
    for (guint i = 0; i < EEP_REASON_COUNT; i++)
        ck_assert_str_eq(eep_reason_names[i], reasons[i]);
}
END_TEST

static void assert_queue(const EepRequestQueue *queue, const GQueue *expected)
{
    const EepRequest *request = queue->head, *before = NULL;

    ck_assert_uint_eq(queue->n, expected->length);
    for (const GList *link = expected->head; link != NULL; link = link->next) {
        ck_assert_ptr_eq(request, link->data);
        ck_assert_ptr_eq(request->prev, before);
        before = request;
        request = request->next;
    }
    ck_assert_ptr_null(request);
    ck_assert_ptr_eq(queue->tail, before);
}

/* Every way to put in and take out, against GQueue. */
START_TEST(queues_agree_with_gqueue)
{
    enum { N = 20 };
    EepRequest requests[N] = {0};
    gboolean is_in[N] = {FALSE};
    EepRequestQueue queue = {NULL, NULL, 0};
    GQueue expected = G_QUEUE_INIT;
    EepRng rng;

    eep_rng_init(&rng, 1, "queues");
    for (guint step = 0; step < 20000; step++) {
        guint i = (guint)eep_rng_below(&rng, N);
        EepRequest *request = &requests[i];

        if (is_in[i]) {
            eep_request_queue_remove(&queue, request);
            g_queue_remove(&expected, request);
        } else if (eep_rng_below(&rng, 3) == 0) {
            eep_request_queue_push_tail(&queue, request);
            g_queue_push_tail(&expected, request);
        } else if (eep_rng_below(&rng, 2) == 0) {
            eep_request_queue_push_head(&queue, request);
            g_queue_push_head(&expected, request);
        } else {
            guint at = (guint)eep_rng_below(&rng, expected.length + 1);
            EepRequest *sibling = g_queue_peek_nth(&expected, at); /* NULL at the end */

            eep_request_queue_insert_before(&queue, sibling, request);
            g_queue_push_nth(&expected, request, (gint)at);
        }
        is_in[i] = !is_in[i];
        assert_queue(&queue, &expected);
    }
    g_queue_clear(&expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request");
    TCase *tcase = tcase_create("request");
    tcase_add_test(tcase, a_new_request_is_clear);
    tcase_add_test(tcase, slots_are_recycled);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, queues_agree_with_gqueue);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
