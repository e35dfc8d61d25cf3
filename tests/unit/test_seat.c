/* Two engines that step together, and requests that change from one to the other with their KV.
 * Block size 4, steps of 10 ns. */
#include "core/engine/seat.h"

#include <check.h>
#include <stdlib.h>

#include "core/engine/scheduler.h"
#include "core/rng.h"

static EepPoolOptions options;
static EepGapStack gaps;
static EepStepHistory history;
static EepRequestTable *table;
static EepEngine *engines[2];
static EepPlan plan;
static guint64 n_gaps, n_finished;
static EepTime gap_sum, max_gap;
static void (*at_end)(EepRequest *request);

static void setup(void)
{
    eep_options_init(&eep_pool_options, &options);
    options.block_size = 4;
    options.max_num_batched_tokens = 100;
    options.max_num_seqs = 8;
    options.enable_prefix_caching = FALSE;
    options.watermark = 0.0;
    eep_gap_stack_init(&gaps);
    history = (EepStepHistory){.gaps = &gaps};
    table = eep_request_table_new();
    eep_plan_init(&plan);
    n_gaps = n_finished = 0;
    gap_sum = max_gap = 0;
    at_end = NULL;
}

static void make_engines(guint64 n_blocks_0, guint64 n_blocks_1)
{
    engines[0] = eep_engine_new(&options, n_blocks_0, 8, 1, &history);
    engines[1] = eep_engine_new(&options, n_blocks_1, 8, 2, &history);
    engines[1]->index = 1;
}

static void teardown(void)
{
    for (guint i = 0; i < 2; i++)
        eep_engine_free(engines[i]);
    eep_plan_clear(&plan);
    eep_request_table_free(table);
    eep_gap_stack_clear(&gaps);
    eep_options_clear(&eep_pool_options, &options);
}

static EepRequest *add(guint engine, guint64 id, guint32 prompt, guint32 output)
{
    EepRequest *request = eep_request_new(table, id, history.last_end, prompt, output, NULL, 0);

    eep_engine_add(engines[engine], request);
    return request;
}

static void on_gaps(gpointer self, EepTime gap, guint64 n)
{
    n_gaps += n;
    gap_sum += gap * (EepTime)n;
    max_gap = MAX(max_gap, gap);
}

static void on_finished(gpointer self, EepEngine *from, EepRequest *request)
{
    ck_assert_uint_eq(from->worker, request->worker);
    n_finished++;
    if (at_end != NULL)
        at_end(request);
}

static void assert_ok(void)
{
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        ck_assert_msg(eep_engine_check(engines[i], &error), "engine %u: %s", i,
                      error != NULL ? error->message : "");
    }
}

static void plan_step(void)
{
    eep_plan_reset(&plan, history.n_committed, 2);
    for (guint i = 0; i < 2; i++)
        eep_scheduler_plan(engines[i], &plan, NULL, history.n_committed);
}

static void step(void)
{
    static const EepSchedulerEvents events = {on_gaps, on_finished, NULL};

    plan_step();
    history.last_end += 10;
    history.n_committed++;
    eep_gap_stack_push(&gaps, plan.step, 10);
    eep_scheduler_commit(engines, &plan, NULL, 10, &events);
    assert_ok();
}

/* 8 + 20 tokens: first token at 10; at 30 three tokens, 10 computed, 3 blocks. It leaves then and
 * takes its seat at 50, so its fourth comes at 60, 30 after its third, and its last at 220. */
START_TEST(a_request_decodes_on_elsewhere)
{
    make_engines(20, 20);
    EepRequest *a = add(0, 1, 8, 20), *b = add(0, 2, 2, 30), *c = add(1, 3, 2, 30);
    EepSeat *seat;

    step();
    step();
    seat = eep_seat_new(engines[0], engines[1], a); /* 9 computed */
    ck_assert_ptr_nonnull(seat);
    ck_assert_uint_eq(eep_seat_n_to_copy(seat), 9);
    eep_seat_note_copied(seat);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20 - 1 - 3);
    assert_ok();
    step();
    ck_assert_uint_eq(eep_seat_n_to_copy(seat), 1);
    ck_assert(eep_seat_leave(seat));
    ck_assert_uint_eq(a->state, EEP_REQUEST_MOVING);
    ck_assert_uint_eq(a->generated, 3);
    ck_assert_int_eq(a->last_token, 30);
    ck_assert_uint_eq(eep_seat_n_to_copy(seat), 1);
    ck_assert_uint_eq(engines[0]->kv.n_free, 20 - 3 - 1);
    ck_assert_uint_eq(engines[0]->n_decodes, 1);
    ck_assert_uint_eq(eep_engine_n_requests(engines[0]), 2);
    assert_ok();
    step();
    step();
    ck_assert_uint_eq(a->generated, 3);
    eep_seat_take(seat);
    ck_assert_uint_eq(a->state, EEP_REQUEST_DECODE);
    ck_assert_uint_eq(a->worker, 2);
    ck_assert_uint_eq(a->n_migrated, 1);
    ck_assert_uint_eq(engines[0]->kv.n_free, 20 - 2);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20 - 2 - 3);
    assert_ok();
    ck_assert_uint_eq(n_gaps, 2 + 4 + 4);
    step();
    ck_assert_uint_eq(n_gaps, 3 + 5 + 5);
    ck_assert_int_eq(max_gap, 30);
    ck_assert_int_eq(a->last_token, 60);
    for (guint i = 0; i < 16; i++)
        step();
    ck_assert_uint_eq(a->state, EEP_REQUEST_ENDED);
    ck_assert_int_eq(a->last_token, 220);
    ck_assert_int_eq(a->max_gap, 30);
    ck_assert_int_eq(b->max_gap, 0);
    eep_engine_remove(engines[0], b);
    eep_engine_remove(engines[1], c);
    ck_assert_uint_eq(engines[0]->kv.n_free, 20);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20);
    assert_ok();
}
END_TEST

/* It stays: before it left nothing of it has changed, after that it has a gap. */
START_TEST(a_move_is_cancelled)
{
    make_engines(20, 20);
    EepRequest *a = add(0, 1, 8, 6);
    EepSeat *seat;

    step();
    seat = eep_seat_new(engines[0], engines[1], a);
    step();
    eep_seat_cancel(seat);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20);
    ck_assert_uint_eq(a->flags, 0);
    step();
    ck_assert_int_eq(max_gap, 10);
    seat = eep_seat_new(engines[0], engines[1], a);
    ck_assert(eep_seat_leave(seat));
    step();
    eep_seat_cancel(seat); /* at 40, three tokens */
    ck_assert_uint_eq(engines[1]->kv.n_free, 20);
    assert_ok();
    step();
    ck_assert_int_eq(max_gap, 20);
    step();
    step();
    ck_assert_uint_eq(a->state, EEP_REQUEST_ENDED);
    ck_assert_int_eq(a->last_token, 70);
    ck_assert_uint_eq(n_gaps, 5);
    ck_assert_uint_eq(a->n_migrated, 0);
    ck_assert_uint_eq(engines[0]->kv.n_free, 20);
}
END_TEST

/* Its end comes while it has a seat: running, and departing. */
START_TEST(a_request_that_moves_is_ended)
{
    make_engines(20, 20);
    EepRequest *a = add(0, 1, 8, 6), *b = add(0, 2, 8, 6);
    EepSeat *seats[2];

    step();
    seats[0] = eep_seat_new(engines[0], engines[1], a);
    seats[1] = eep_seat_new(engines[0], engines[1], b);
    ck_assert(eep_seat_leave(seats[1]));
    step();
    eep_seat_forget(seats[0]);
    eep_engine_remove(engines[0], a);
    eep_seat_forget(seats[1]);
    eep_engine_remove(engines[0], b);
    ck_assert_uint_eq(a->generated, 2);
    ck_assert_uint_eq(b->generated, 1);
    ck_assert_int_eq(b->last_token, 10);
    for (guint i = 0; i < 2; i++) {
        ck_assert_uint_eq(eep_engine_n_requests(engines[i]), 0);
        ck_assert_uint_eq(engines[i]->kv.n_free, 20);
    }
    assert_ok();
}
END_TEST

/* 9 tokens computed take 3 blocks; after four steps more it is 13 and 4. */
START_TEST(there_must_be_room)
{
    options.max_num_seqs = 2;
    make_engines(20, 4);
    EepRequest *a = add(0, 1, 8, 20), *b;
    EepSeat *seat;

    step();
    step();
    b = add(1, 2, 4, 20);
    step();
    ck_assert_uint_eq(engines[1]->kv.n_free, 3);
    step();
    ck_assert_uint_eq(engines[1]->kv.n_free, 2);
    ck_assert_ptr_null(eep_seat_new(engines[0], engines[1], a));
    ck_assert_uint_eq(a->flags, 0);
    eep_engine_remove(engines[1], b);
    seat = eep_seat_new(engines[0], engines[1], a);
    ck_assert_ptr_nonnull(seat);
    b = add(1, 3, 4, 20);
    step(); /* 12 computed; b took the last block */
    step(); /* 13 computed; b, who lacked its second one, waits */
    ck_assert_uint_eq(b->n_preemptions, 1);
    ck_assert_uint_eq(engines[1]->kv.n_free, 1);
    engines[1]->pause = EEP_PAUSE_ALL;
    eep_kv_cache_take(&engines[1]->kv, 1);
    ck_assert(!eep_seat_leave(seat));
    ck_assert_uint_eq(a->state, EEP_REQUEST_DECODE);
    eep_kv_cache_release(&engines[1]->kv, b, 1);
    ck_assert(eep_seat_leave(seat));
    ck_assert_uint_eq(engines[1]->kv.n_free, 0);
    eep_seat_take(seat);
    assert_ok();
    eep_engine_remove(engines[1], b);
    eep_engine_remove(engines[1], a);
    ck_assert_uint_eq(engines[1]->kv.n_free, 4);
    /* Two places, one of them a seat's: of two that wait one is admitted, and there is no second
     * seat. */
    engines[1]->pause = EEP_PAUSE_NONE;
    a = add(0, 4, 2, 9);
    b = add(0, 5, 2, 9);
    step();
    seat = eep_seat_new(engines[0], engines[1], a);
    ck_assert_ptr_nonnull(seat);
    add(1, 6, 2, 9);
    add(1, 7, 2, 9);
    step();
    ck_assert_uint_eq(engines[1]->running.n, 1);
    ck_assert_uint_eq(engines[1]->waiting.n, 1);
    ck_assert_ptr_null(eep_seat_new(engines[0], engines[1], b));
    eep_seat_cancel(seat);
}
END_TEST

/* The target has the prompt's first 8 tokens (one hash) cached: they are shared, not sent. */
START_TEST(what_is_cached_is_not_sent)
{
    guint64 hashes[] = {7, 8};
    EepRequest *a, *b;
    EepSeat *seat;

    options.enable_prefix_caching = TRUE;
    make_engines(20, 20);
    b = eep_request_new(table, 1, 0, 9, 30, hashes, 1);
    eep_engine_add(engines[1], b);
    step();
    a = eep_request_new(table, 2, 0, 18, 30, hashes, 2);
    eep_engine_add(engines[0], a);
    step();
    step(); /* 19 computed in 5 blocks */
    seat = eep_seat_new(engines[0], engines[1], a);
    ck_assert_uint_eq(seat->n_shared, 8);
    ck_assert_uint_eq(eep_seat_n_to_copy(seat), 11);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20 - 3 - 3);
    ck_assert(eep_seat_leave(seat));
    assert_ok();
    eep_seat_take(seat);
    ck_assert_uint_eq(engines[0]->kv.n_free, 20);
    ck_assert_uint_eq(eep_prefix_cache_n_identified(a), 2);
    assert_ok();
    eep_engine_remove(engines[1], b);
    ck_assert_uint_eq(engines[1]->kv.n_free, 20 - 5);
    assert_ok();
    /* The source still has all four blocks of the prompt for others. */
    b = eep_request_new(table, 3, 0, 18, 30, hashes, 2);
    eep_engine_add(engines[0], b);
    step();
    ck_assert_uint_eq(b->cached_tokens, 16);
    eep_engine_remove(engines[0], b);
    eep_engine_remove(engines[1], a);
    assert_ok();
}
END_TEST

START_TEST(queues_are_by_arrival)
{
    static const guint64 order[] = {2, 3, 5, 7, 9};
    guint i = 0;

    make_engines(20, 20);
    for (guint64 id = 3; id <= 7; id += 2)
        eep_engine_add(engines[0], eep_request_new(table, id, (EepTime)id, 2, 2, NULL, 0));
    eep_engine_add_by_arrival(engines[0], eep_request_new(table, 9, 9, 2, 2, NULL, 0));
    eep_engine_add_by_arrival(engines[0], eep_request_new(table, 2, 2, 2, 2, NULL, 0));
    for (const EepRequest *r = engines[0]->waiting.head; r != NULL; r = r->next)
        ck_assert_uint_eq(r->id, order[i++]);
    ck_assert_uint_eq(i, 5);
}
END_TEST

/* -- anything in any order -- */

#define N_REQUESTS 60

static EepRequest *all[N_REQUESTS];
static GPtrArray *seats;
static guint n_left;
static guint64 n_tokens;

static EepSeat *seat_of(const EepRequest *request, guint *ret_i)
{
    for (*ret_i = 0; *ret_i < seats->len; ++*ret_i)
        if (((EepSeat *)g_ptr_array_index(seats, *ret_i))->request == request)
            return g_ptr_array_index(seats, *ret_i);
    return NULL;
}

static void forget(EepRequest *request)
{
    guint i;
    EepSeat *seat = seat_of(request, &i);

    ck_assert_int_eq((request->flags & EEP_REQUEST_FLAG_SEATED) != 0, seat != NULL);
    if (seat != NULL)
        eep_seat_forget(g_ptr_array_remove_index(seats, i));
}

static void account(EepRequest *request)
{
    forget(request);
    all[request->id] = NULL;
    n_left--;
    n_tokens += request->generated;
    gap_sum -= request->generated > 0 ? request->last_token - request->first_token : 0;
    n_gaps -= request->generated > 0 ? request->generated - 1 : 0;
    ck_assert_int_ge(max_gap, request->max_gap);
    ck_assert(request->state == EEP_REQUEST_NEW || request->generated == request->output_tokens);
}

static void act(EepRng *rng, EepRequest *request)
{
    guint i, at = request->worker - 1;
    EepSeat *seat = seat_of(request, &i);

    switch (eep_rng_below(rng, 12)) {
    case 0:
        forget(request);
        eep_engine_remove(engines[at], request);
        account(request);
        return;
    case 1:
        if (seat != NULL)
            eep_seat_cancel(g_ptr_array_remove_index(seats, i));
        return;
    case 2:
        if (request->state == EEP_REQUEST_WAITING && seat == NULL) {
            eep_engine_remove(engines[at], request);
            eep_engine_add_by_arrival(engines[!at], request);
        }
        return;
    default:
        break;
    }
    if (seat == NULL && request->state == EEP_REQUEST_DECODE) {
        seat = eep_seat_new(engines[at], engines[!at], request);
        if (seat != NULL)
            g_ptr_array_add(seats, seat);
    } else if (seat != NULL && seat->has_left) {
        eep_seat_take(g_ptr_array_remove_index(seats, i));
    } else if (seat != NULL && request->state == EEP_REQUEST_DECODE) {
        eep_seat_leave(seat);
    }
}

/* A step that is planned and did not happen changes nothing that a check sees. */
static void maybe_discard(EepRng *rng)
{
    if (eep_rng_below(rng, 4) > 0)
        return;
    plan_step();
    eep_scheduler_discard(engines, &plan);
    assert_ok();
}

START_TEST(anything_in_any_order)
{
    EepRng rng;
    guint64 hashes[6];

    eep_rng_init(&rng, (guint64)_i, "seats");
    options.enable_prefix_caching = _i & 1;
    options.scheduling_policy = _i & 2 ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    options.max_num_seqs = 6;
    options.max_num_batched_tokens = 12;
    make_engines(22, 25);
    seats = g_ptr_array_new();
    n_tokens = 0;
    n_left = N_REQUESTS;
    at_end = account;
    for (guint id = 0; id < N_REQUESTS; id++) {
        guint64 first = eep_rng_below(&rng, 3);

        for (guint k = 0; k < 6; k++)
            hashes[k] = first * 10 + k;
        all[id] = eep_request_new(table, id, 0, 1 + (guint32)eep_rng_below(&rng, 45),
                                  1 + (guint32)eep_rng_below(&rng, 30), hashes, 6);
        all[id]->priority = (gint32)eep_rng_below(&rng, 3);
        all[id]->n_hashes = (guint16)((all[id]->prompt_tokens + 7) / 8);
        eep_engine_add(engines[eep_rng_below(&rng, 2)], all[id]);
    }
    for (guint n = 0; n_left > 0; n++) {
        ck_assert_uint_lt(n, 4000);
        for (guint k = (guint)eep_rng_below(&rng, 4); k > 0; k--) {
            EepRequest *request = all[eep_rng_below(&rng, N_REQUESTS)];

            if (request != NULL && (n > 3 || request->state != EEP_REQUEST_WAITING))
                act(&rng, request);
            assert_ok();
        }
        maybe_discard(&rng);
        step();
    }
    for (guint i = 0; i < 2; i++) {
        ck_assert_uint_eq(engines[i]->kv.n_free, engines[i]->kv.n_blocks);
        ck_assert_uint_eq(engines[i]->seats.n + eep_engine_n_requests(engines[i]), 0);
    }
    /* Every token but the first of a request has a gap, and they are the times between them. */
    ck_assert_uint_eq(n_gaps, 0);
    ck_assert_int_eq(gap_sum, 0);
    ck_assert_uint_gt(n_tokens, 100);
    g_ptr_array_free(seats, TRUE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seat");
    TCase *tcase = tcase_create("seat");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_request_decodes_on_elsewhere);
    tcase_add_test(tcase, a_move_is_cancelled);
    tcase_add_test(tcase, a_request_that_moves_is_ended);
    tcase_add_test(tcase, there_must_be_room);
    tcase_add_test(tcase, what_is_cached_is_not_sent);
    tcase_add_test(tcase, queues_are_by_arrival);
    tcase_add_loop_test(tcase, anything_in_any_order, 0, 200);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
