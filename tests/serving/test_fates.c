/* What becomes of requests: routing by stale statistics, rejections, retries, a cut. */
#include <check.h>
#include <string.h>

#include "tests/serving/serving_kit.h"

#define MS EEP_NS_PER_MS

static KitConfig config;

static void setup(void)
{
    kit_config_init(&config);
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void assert_rejected(const KitResult *result, EepReason reason, guint attempts, EepTime at)
{
    ck_assert_str_eq(eep_fate_names[result->fate], "rejected");
    ck_assert_str_eq(eep_reason_names[result->reason], eep_reason_names[reason]);
    ck_assert_uint_eq(result->attempts, attempts);
    ck_assert_int_eq(result->finish, at);
    ck_assert_int_eq(result->first_token, EEP_TIME_NEVER);
}

/* Steps of 10 ms. Two long requests go to engine 0 and two of one token to engine 1, which is empty
 * at 50 ms. A router with live counts sees that; one whose statistics are 100 ms old sees what it
 * sent, two each, and takes the first engine. The snapshot of 100 ms tells it. */
START_TEST(statistics_are_as_old_as_they_are)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 50},
                             {.arrival = 1 * MS, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 2 * MS, .prompt_tokens = 4, .output_tokens = 50},
                             {.arrival = 3 * MS, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 50 * MS, .prompt_tokens = 4, .output_tokens = 30},
                             {.arrival = 99 * MS, .prompt_tokens = 4, .output_tokens = 30},
                             {.arrival = 101 * MS, .prompt_tokens = 4, .output_tokens = 30}};
    /* live: 2 against 0, then 2 against 1, then 2 against 2 (the first of equals). Stale, in units
     * of score: 8 and 8, 12 and 8; then by the snapshot of 100 ms, 3 running and 1 waiting (the
     * request of 99 ms came inside a step), engine 0 has 3, engine 1 has 4. */
    static const EepWorkerId live[] = {1, 2, 1, 2, 2, 2, 1}, stale[] = {1, 2, 1, 2, 1, 2, 1};
    config.options.data_parallel_size = 2;
    config.options.router.staleness = _i ? 100 * MS : 0;
    config.costs.step = 10 * MS;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, G_N_ELEMENTS(requests));

    for (guint i = 0; i < G_N_ELEMENTS(requests); i++)
        ck_assert_msg(run->results[i].worker == (_i ? stale : live)[i], "request %u went to %u", i,
                      run->results[i].worker);
}
END_TEST

START_TEST(what_can_never_run_is_rejected_at_once)
{
    EepArrival requests[] = {
        {.arrival = 3, .prompt_tokens = 15, .output_tokens = 6}, /* 21 tokens, at most 20 */
        {.arrival = 4, .prompt_tokens = 10, .output_tokens = 7}, /* 17 tokens, 5 blocks of 4 */
        {.arrival = 5, .prompt_tokens = 10, .output_tokens = 6}, /* 16 tokens: fits */
    };
    config.shape.max_model_len = 20;
    config.shape.n_blocks = 4;
    config.deployment.retry_attempts = 5; /* a retry could not help */
    config.deployment.retry_backoff = 100;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 3);

    assert_rejected(&run->results[0], EEP_REASON_TOO_LONG, 1, 3);
    assert_rejected(&run->results[1], EEP_REASON_NEVER_FITS, 1, 4);
    ck_assert_int_eq(run->results[2].fate, EEP_FATE_COMPLETED);
    ck_assert_int_eq(run->results[2].first_token, 15);
}
END_TEST

/* One seat, one place to wait. A runs till 1000, B waits, C finds the queue full. */
START_TEST(a_full_queue_is_tried_again_with_growing_waits)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 100},
                             {.arrival = 3, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 5, .prompt_tokens = 4, .output_tokens = 2}};
    config.options.max_num_seqs = 1;
    config.options.queue_limit = 1;
    config.deployment.retry_attempts = (guint)_i;
    config.deployment.retry_backoff = 100;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 3);

    ck_assert_int_eq(run->results[0].finish, 1000);
    ck_assert_int_eq(run->results[1].first_token, 1010);
    /* Attempts at 5, 105, 305, 705, 1505. */
    if (_i < 5) {
        static const EepTime last_attempt[] = {0, 5, 105, 305, 705};
        assert_rejected(&run->results[2], EEP_REASON_QUEUE_LIMIT, (guint)_i, last_attempt[_i]);
        return;
    }
    /* The wave that began at 0 has ended at 1280, so a step begins with the fifth attempt. TTFT
     * counts from the first. */
    ck_assert_int_eq(run->results[2].fate, EEP_FATE_COMPLETED);
    ck_assert_uint_eq(run->results[2].attempts, 5);
    ck_assert_int_eq(run->results[2].arrival, 5);
    ck_assert_int_eq(run->results[2].queued, 1505);
    ck_assert_int_eq(run->results[2].first_token, 1515);
    ck_assert_int_eq(run->results[2].finish, 1525);
}
END_TEST

/* The only wait is 1000 scaled by a factor from [0.5, 1.5]; the seed decides which. */
START_TEST(backoff_is_jittered_by_the_seed)
{
    EepArrival requests[40] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 10000}};
    EepTime first_wait = 0;
    guint n_low = 0;

    for (guint i = 1; i < G_N_ELEMENTS(requests); i++)
        requests[i] = (EepArrival){.arrival = i, .prompt_tokens = 4, .output_tokens = 1};
    config.options.max_num_seqs = 1;
    config.options.queue_limit = 1;
    config.shape.n_blocks = 10000;
    config.deployment.retry_attempts = 2;
    config.deployment.retry_backoff = 1000;
    config.deployment.retry_jitter = 0.5;
    for (guint pass = 0; pass < 3; pass++) {
        config.deployment.seed = pass < 2 ? 7 : 8;
        g_autoptr(KitRun) run = kit_must_run(&config, requests, G_N_ELEMENTS(requests));
        for (guint i = 2; i < G_N_ELEMENTS(requests); i++) {
            EepTime wait = run->results[i].finish - requests[i].arrival;

            ck_assert_int_ge(wait, 500);
            ck_assert_int_le(wait, 1500);
            n_low += pass == 0 && wait < 1000;
        }
        EepTime wait = run->results[2].finish - requests[2].arrival;
        if (pass == 0)
            first_wait = wait;
        else
            ck_assert_msg((wait == first_wait) == (pass == 1), "pass %u", pass);
    }
    ck_assert_uint_ge(n_low, 8);
    ck_assert_uint_le(n_low, 30);
}
END_TEST

/* Cut at 35: A is in its fourth step, B waits for the seat, C is in its backoff, D has not come. */
START_TEST(a_cut_leaves_requests_unfinished)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 100},
                             {.arrival = 3, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 5, .prompt_tokens = 4, .output_tokens = 2}};
    config.options.max_num_seqs = 1;
    config.options.queue_limit = 1;
    config.options.async_scheduling = _i;
    config.deployment.retry_attempts = 3;
    config.deployment.retry_backoff = 1000;
    config.cut = 35;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 3);

    for (guint i = 0; i < 3; i++)
        ck_assert_str_eq(eep_fate_names[run->results[i].fate], "unfinished");
    ck_assert_uint_eq(run->results[0].generated, 3);
    ck_assert_int_eq(run->results[0].first_token, 10);
    ck_assert_uint_eq(run->results[1].generated, 0);
    ck_assert_uint_eq(run->results[2].attempts, 1);
    kit_assert_conserved(run, requests, "cut");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("fates");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, statistics_are_as_old_as_they_are, 0, 2);
    tcase_add_test(tcase, what_can_never_run_is_rejected_at_once);
    tcase_add_loop_test(tcase, a_full_queue_is_tried_again_with_growing_waits, 1, 6);
    tcase_add_test(tcase, backoff_is_jittered_by_the_seed);
    tcase_add_loop_test(tcase, a_cut_leaves_requests_unfinished, 0, 2);
    return kit_main("fates", tcase);
}
