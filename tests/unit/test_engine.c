/* One engine, planned and committed by hand: requests join and leave it in every state, and its
 * check finds what is wrong. Block size 4. */
#include "core/engine/engine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/scheduler.h"

static EepPoolOptions options;
static EepGapStack gaps;
static EepStepHistory history;
static EepRequestTable *table;
static EepEngine *engine;
static EepPlan plan;
static guint64 n_gaps, n_finished;

static void make_engine(guint64 n_blocks)
{
    engine = eep_engine_new(&options, n_blocks, 4, 1, &history);
}

static void setup(void)
{
    eep_options_init(&eep_pool_options, &options);
    options.block_size = 4;
    options.max_num_batched_tokens = 10;
    options.max_num_seqs = 8;
    options.enable_prefix_caching = FALSE;
    eep_gap_stack_init(&gaps);
    history = (EepStepHistory){.gaps = &gaps};
    table = eep_request_table_new();
    eep_plan_init(&plan);
    n_gaps = n_finished = 0;
}

static void teardown(void)
{
    eep_engine_free(engine);
    eep_plan_clear(&plan);
    eep_request_table_free(table);
    eep_gap_stack_clear(&gaps);
    eep_options_clear(&eep_pool_options, &options);
}

static EepRequest *add(guint64 id, guint32 prompt, guint32 output)
{
    EepRequest *request = eep_request_new(table, id, (EepTime)id, prompt, output, NULL, 0);

    eep_engine_add(engine, request);
    return request;
}

static void on_gaps(gpointer self, EepTime gap, guint64 n)
{
    n_gaps += n;
}

static void on_finished(gpointer self, EepEngine *from, EepRequest *request)
{
    ck_assert_ptr_eq(from, engine);
    n_finished++;
}

/* One step of 10 ns. */
static void step(void)
{
    static const EepSchedulerEvents events = {on_gaps, on_finished, NULL};

    eep_plan_reset(&plan, history.n_committed, 1);
    eep_scheduler_plan(engine, &plan, NULL, history.n_committed);
    history.last_end += 10;
    history.n_committed++;
    eep_gap_stack_push(&gaps, plan.step, 10);
    eep_scheduler_commit(&engine, &plan, NULL, 10, &events);
}

static void assert_ok(void)
{
    g_autoptr(GError) error = NULL;

    ck_assert_msg(eep_engine_check(engine, &error), "%s", error != NULL ? error->message : "");
}

static void assert_broken(const char *text)
{
    g_autoptr(GError) error = NULL;

    ck_assert_msg(!eep_engine_check(engine, &error), "nobody noticed: %s", text);
    ck_assert(g_error_matches(error, EEP_ENGINE_ERROR, 0));
    ck_assert_msg(strstr(error->message, text) != NULL, "%s", error->message);
}

START_TEST(a_waiting_one_is_removed)
{
    make_engine(20);
    EepRequest *a = add(1, 6, 3), *b = add(2, 6, 3);

    ck_assert(eep_engine_has_work(engine));
    ck_assert_uint_eq(a->state, EEP_REQUEST_WAITING);
    ck_assert_uint_eq(a->worker, 1);
    eep_engine_remove(engine, a);
    ck_assert_uint_eq(a->state, EEP_REQUEST_NEW);
    ck_assert_ptr_eq(engine->waiting.head, b);
    eep_engine_remove(engine, b);
    ck_assert(!eep_engine_has_work(engine));
    assert_ok();
}
END_TEST

/* 25 tokens in chunks of 10: after two steps 20 are computed in five blocks. */
START_TEST(a_partial_prefill_is_removed)
{
    make_engine(20);
    EepRequest *a = add(1, 25, 3);

    step();
    step();
    ck_assert_uint_eq(a->state, EEP_REQUEST_PREFILL);
    ck_assert_uint_eq(eep_engine_computed(engine, a), 20);
    ck_assert_uint_eq(engine->kv.n_free, 15);
    ck_assert_double_eq_tol(eep_engine_kv_usage(engine), 0.25, 1e-12);
    ck_assert_ptr_eq(engine->partial, a);
    assert_ok();
    eep_engine_remove(engine, a);
    ck_assert_ptr_null(engine->partial);
    ck_assert_uint_eq(engine->kv.n_free, 20);
    ck_assert_uint_eq(a->generated, 0);
    assert_ok();
}
END_TEST

/* After four steps of 10 ns: four tokens, the last of which is not computed yet: 8 + 3 in three
 * blocks. Its tokens so far stay with it, and it can be added again. */
START_TEST(a_decoding_one_is_removed_and_goes_on_elsewhere)
{
    make_engine(20);
    EepRequest *a = add(1, 8, 6), *b = add(2, 2, 30);

    for (guint i = 0; i < 4; i++)
        step();
    ck_assert_uint_eq(a->state, EEP_REQUEST_DECODE);
    ck_assert_uint_eq(engine->n_decodes, 2);
    ck_assert_uint_eq(eep_engine_computed(engine, a), 11);
    ck_assert_uint_eq(engine->kv.n_free, 20 - 3 - 2);
    assert_ok();
    eep_engine_remove(engine, a);
    ck_assert_uint_eq(a->generated, 4);
    ck_assert_int_eq(a->first_token, 10);
    ck_assert_int_eq(a->last_token, 40);
    ck_assert_int_eq(a->max_gap, 10);
    ck_assert_uint_eq(engine->n_decodes, 1);
    ck_assert_uint_eq(engine->kv.n_free, 20 - 2);
    assert_ok();
    step();
    eep_engine_add(engine, a);
    /* 12 known tokens at 9 a step beside b's one; then its fifth and its sixth token. */
    for (guint i = 0; i < 3; i++)
        step();
    ck_assert_uint_eq(n_finished, 1);
    ck_assert_uint_eq(a->state, EEP_REQUEST_ENDED);
    ck_assert_uint_eq(a->generated, 6);
    ck_assert_int_eq(a->max_gap, 30); /* 40 to 70 */
    ck_assert_int_eq(a->last_token, 80);
    assert_ok();
    eep_engine_remove(engine, b);
    ck_assert_uint_eq(engine->kv.n_free, 20);
    assert_ok();
}
END_TEST

/* Four blocks, two each; in the second step A needs a third and B falls. */
START_TEST(a_preempted_one_is_removed)
{
    options.max_num_batched_tokens = 100;
    make_engine(4);
    EepRequest *a = add(1, 8, 4), *b = add(2, 8, 3);

    step();
    step();
    ck_assert_uint_eq(b->state, EEP_REQUEST_WAITING);
    ck_assert_uint_eq(b->n_preemptions, 1);
    ck_assert_uint_eq(engine->n_preemptions, 1);
    ck_assert_uint_eq(b->generated, 1);
    ck_assert_uint_eq(engine->kv.n_free, 1);
    assert_ok();
    eep_engine_remove(engine, b);
    ck_assert_uint_eq(b->generated, 1);
    ck_assert_int_eq(b->last_token, 10);
    assert_ok();
    eep_engine_remove(engine, a);
    ck_assert_uint_eq(engine->kv.n_free, 4);
    assert_ok();
}
END_TEST

/* By (priority, arrival, id): smaller is more urgent. */
START_TEST(priority_orders_the_queue)
{
    static const gint32 priorities[] = {2, 0, 1, 0};
    static const guint64 order[] = {2, 4, 3, 1};
    guint i = 0;

    options.scheduling_policy = EEP_SCHEDULING_PRIORITY;
    make_engine(20);
    for (guint k = 0; k < 4; k++) {
        EepRequest *request = eep_request_new(table, k + 1, k, 4, 4, NULL, 0);

        request->priority = priorities[k];
        eep_engine_add(engine, request);
    }
    for (const EepRequest *request = engine->waiting.head; request != NULL; request = request->next)
        ck_assert_uint_eq(request->id, order[i++]);
    ck_assert_uint_eq(i, 4);
    assert_ok();
}
END_TEST

/* An engine that stands still: its requests get nothing, its step is a dummy, and the time is in
 * the gap of the first token after it. */
START_TEST(a_pause_is_in_the_gaps)
{
    make_engine(20);
    EepRequest *a = add(1, 4, 20);

    step();
    step();
    engine->pause = EEP_PAUSE_ALL;
    EepRequest *b = add(2, 4, 1);
    step();
    step();
    ck_assert(!plan.has_work);
    ck_assert_int_eq(engine->stall, 20);
    ck_assert_uint_eq(b->state, EEP_REQUEST_WAITING);
    engine->pause = EEP_PAUSE_NEW;
    step();
    ck_assert_uint_eq(b->state, EEP_REQUEST_WAITING);
    ck_assert_int_eq(engine->stall, 0);
    engine->pause = EEP_PAUSE_NONE;
    step();
    ck_assert_uint_eq(b->state, EEP_REQUEST_ENDED);
    eep_engine_remove(engine, a);
    ck_assert_uint_eq(a->generated, 4);
    ck_assert_int_eq(a->max_gap, 30);
    ck_assert_uint_eq(n_gaps, 3);
    assert_ok();
}
END_TEST

/* Everything that the running counts say is found out when it is wrong. */
START_TEST(corruption_is_found)
{
    make_engine(40);
    options.enable_prefix_caching = FALSE;
    EepRequest *a = add(1, 5, 9);

    add(2, 3, 9);
    add(3, 30, 2);
    step();
    step();
    assert_ok();
    ck_assert_uint_eq(engine->n_decodes, 2);
    ck_assert_ptr_nonnull(engine->partial);

    engine->kv.n_free++;
    assert_broken("KV blocks are not conserved");
    engine->kv.n_free -= 2;
    assert_broken("KV blocks are not conserved");
    engine->kv.n_free++;

    engine->n_decodes++;
    assert_broken("decode counts differ");
    engine->n_decodes--;
    engine->phase_count[1]++;
    assert_broken("decode counts differ");
    engine->phase_count[1]--;
    engine->context_base--;
    assert_broken("context sums differ");
    engine->context_base++;
    engine->running.n++;
    assert_broken("running list and its count differ");
    engine->running.n--;

    guint64 due = a->due;
    a->due = engine->counter;
    assert_broken("request 1 is past its last token");
    a->due = due;
    EepRequest *partial = engine->partial;
    engine->partial = NULL;
    assert_broken("a partial prefill is not the last one running");
    engine->partial = partial;
    assert_ok();
}
END_TEST

/* With prefix caching blocks may be shared; the queue of free ones must hold what n_free says. */
START_TEST(corruption_is_found_with_prefix_caching)
{
    guint64 hashes[] = {7, 8};
    EepRequest *request;

    options.enable_prefix_caching = TRUE;
    make_engine(10);
    for (guint i = 0; i < 2; i++) {
        request = eep_request_new(table, i, i, 9, 5, hashes, 2);
        eep_engine_add(engine, request);
        step();
        step();
        assert_ok();
    }
    /* The second shares the two full blocks of the first. */
    ck_assert_uint_eq(request->cached_tokens, 8);
    ck_assert_uint_eq(engine->n_hit_blocks, 2);
    ck_assert_uint_eq(engine->kv.n_free, 10 - 4);
    engine->kv.n_free--;
    assert_broken("free blocks and queue differ");
    engine->kv.n_free++;
    eep_prefix_cache_take(engine->kv.prefix, 1);
    assert_broken("free blocks and queue differ");
    eep_prefix_cache_give(engine->kv.prefix, 1);
    /* A request forgets that it shares. */
    request->n_runs = 0;
    eep_prefix_cache_take(engine->kv.prefix, 6);
    engine->kv.n_free = 0;
    assert_broken("KV blocks are not conserved");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tcase = tcase_create("engine");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_waiting_one_is_removed);
    tcase_add_test(tcase, a_partial_prefill_is_removed);
    tcase_add_test(tcase, a_decoding_one_is_removed_and_goes_on_elsewhere);
    tcase_add_test(tcase, a_preempted_one_is_removed);
    tcase_add_test(tcase, priority_orders_the_queue);
    tcase_add_test(tcase, a_pause_is_in_the_gaps);
    tcase_add_test(tcase, corruption_is_found);
    tcase_add_test(tcase, corruption_is_found_with_prefix_caching);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
