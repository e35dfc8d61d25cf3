/* Hand-computed examples of the extensions in eager.h. Step time 10, block size 4 throughout; times
 * in the comments are when a step begins. */
#include "tests/oracle/semantics_expect.h"

#define RUN(config, requests, expected)                                                            \
    expect_run(&(config), requests, G_N_ELEMENTS(requests), expected, NULL)
#define RESULTS(config, requests, expected, results)                                               \
    expect_run(&(config), requests, G_N_ELEMENTS(requests), expected, results)
#define HASHES(...)                                                                                \
    .hashes = (const guint64[]){__VA_ARGS__},                                                      \
    .n_hashes = sizeof((const guint64[]){__VA_ARGS__}) / sizeof(guint64)

static EagerConfig prefix_config(guint hash_tokens, guint64 num_blocks)
{
    EagerConfig config = expect_config();
    config.prefix_caching = TRUE;
    config.hash_tokens = hash_tokens;
    config.num_blocks = num_blocks;
    return config;
}

/* Two blocks a hash; A's 20 tokens are five blocks, the third hash has one of them inside the
 * prompt. B could find all five, but must compute a token, so it computes the fifth again,
 * anonymously. C has two tokens more and finds all five; D leaves A's chain after the first hash;
 * E's only hash has no full block in its prompt. */
START_TEST(prefix_whole_and_partial)
{
    EagerConfig config = prefix_config(8, 100);
    config.max_num_batched_tokens = 4;
    const EagerRequest requests[] = {{0, 20, 1, HASHES(1, 2, 3)},
                                     {50, 20, 1, HASHES(1, 2, 3)},
                                     {60, 22, 1, HASHES(1, 2, 3)},
                                     {70, 16, 1, HASHES(1, 9)},
                                     {90, 3, 1, HASHES(1)}};
    EagerResult results[5];
    const EagerTotals totals =
        RESULTS(config, requests,
                ((const ExpectRow[]){{50, 50}, {60, 60}, {70, 70}, {90, 90}, {100, 100}}), results);
    ck_assert_uint_eq(results[0].cached_tokens, 0);
    ck_assert_uint_eq(results[1].cached_tokens, 16);
    ck_assert_uint_eq(results[2].cached_tokens, 20);
    ck_assert_uint_eq(results[3].cached_tokens, 8);
    ck_assert_uint_eq(results[4].cached_tokens, 0);
    ck_assert_uint_eq(totals.blocks_hit, 4 + 5 + 2);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 20 + 4 + 2 + 8 + 3);
    ck_assert_uint_eq(totals.blocks_evicted, 0);
}
END_TEST

/* Tokens without a hash end the hit, even where a later prompt is the same. */
START_TEST(prefix_ends_with_the_hashes)
{
    const EagerConfig config = prefix_config(4, 100);
    const EagerRequest requests[] = {{0, 12, 1, HASHES(1)}, {10, 12, 1, HASHES(1)}};
    EagerResult results[2];
    RESULTS(config, requests, ((const ExpectRow[]){{10, 10}, {20, 20}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 4);
}
END_TEST

/* A prompt of two cached blocks: one is hit, the other is computed for the sake of its last token.
 * With one more token both are hit. */
START_TEST(prefix_last_token)
{
    EagerConfig config = prefix_config(4, 100);
    config.max_num_batched_tokens = 4;
    const EagerRequest requests[] = {
        {0, 8, 1, HASHES(1, 2)}, {20, 8, 1, HASHES(1, 2)}, {30, 9, 1, HASHES(1, 2)}};
    EagerResult results[3];
    RESULTS(config, requests, ((const ExpectRow[]){{20, 20}, {30, 30}, {40, 40}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 4);
    ck_assert_uint_eq(results[2].cached_tokens, 8);
}
END_TEST

/* Visible at the end of the computing step: B beside A finds nothing, C a step later finds both. */
START_TEST(prefix_visible_when_computed)
{
    const EagerConfig config = prefix_config(4, 100);
    const EagerRequest requests[] = {
        {0, 9, 1, HASHES(1, 2)}, {0, 9, 1, HASHES(1, 2)}, {5, 9, 1, HASHES(1, 2)}};
    EagerResult results[3];
    RESULTS(config, requests, ((const ExpectRow[]){{10, 10}, {10, 10}, {20, 20}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 0);
    ck_assert_uint_eq(results[2].cached_tokens, 8);
}
END_TEST

/* Engines do not share: round robin sends B to a cold engine and C to A's. */
START_TEST(prefix_per_engine)
{
    EagerConfig config = prefix_config(4, 100);
    config.n_engines = 2;
    const EagerRequest requests[] = {
        {0, 9, 1, HASHES(1, 2)}, {10, 9, 1, HASHES(1, 2)}, {20, 9, 1, HASHES(1, 2)}};
    EagerResult results[3];
    RESULTS(config, requests, ((const ExpectRow[]){{10, 10}, {20, 20, 0, 1}, {30, 30}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 0);
    ck_assert_uint_eq(results[2].cached_tokens, 8);
}
END_TEST

/* Blocks 0 to 3; the queue after each, front first (name of the identity or '-'):
 * A: 2- 3- 1(h2) 0(h1): the tail of a prompt goes first. B takes 2 3 1, h2 is gone: 0(h1) 2- 3- 1-.
 * C hits 0, takes 2 and 3; 2 is h2 now: 1- 3- 2(h2) 0(h1). D takes 1 3 2: 0(h1) 1- 3- 2-. E hits
 * h1. */
START_TEST(prefix_lru_tail_first)
{
    const EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {{0, 8, 1, HASHES(1, 2)},
                                     {10, 12, 1},
                                     {20, 9, 1, HASHES(1, 2)},
                                     {30, 12, 1},
                                     {40, 9, 1, HASHES(1, 2)}};
    EagerResult results[5];
    const EagerTotals totals =
        RESULTS(config, requests,
                ((const ExpectRow[]){{10, 10}, {20, 20}, {30, 30}, {40, 40}, {50, 50}}), results);
    ck_assert_uint_eq(results[2].cached_tokens, 4);
    ck_assert_uint_eq(results[4].cached_tokens, 4);
    ck_assert_uint_eq(totals.blocks_evicted, 2);
}
END_TEST

/* A hit makes a block recent: A leaves 2- 3- 1- 0(h1), B leaves 1- 0(h1) 3- 2(h2), C hits h1 and
 * takes 1: 3- 2(h2) 1- 0(h1). D takes 3 and 2, h2 is gone, h1 is not. */
START_TEST(prefix_lru_refresh)
{
    const EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {{0, 5, 1, HASHES(1)},  {10, 5, 1, HASHES(2)},
                                     {20, 5, 1, HASHES(1)}, {30, 8, 1},
                                     {40, 5, 1, HASHES(1)}, {50, 5, 1, HASHES(2)}};
    EagerResult results[6];
    const EagerTotals totals = RESULTS(
        config, requests,
        ((const ExpectRow[]){{10, 10}, {20, 20}, {30, 30}, {40, 40}, {50, 50}, {60, 60}}), results);
    ck_assert_uint_eq(results[2].cached_tokens, 4);
    ck_assert_uint_eq(results[4].cached_tokens, 4);
    ck_assert_uint_eq(results[5].cached_tokens, 0);
    ck_assert_uint_eq(totals.blocks_evicted, 1);
}
END_TEST

/* The queue as above. A leaves 2- 3- 1(h2) 0(h1). B hits h1 and computes h2's tokens into 2, which
 * stays anonymous: 3- 1(h2) 2- 0(h1). C takes 3 and 1, so D finds h1 only. */
START_TEST(prefix_newer_copy_stays_anonymous)
{
    const EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {
        {0, 8, 1, HASHES(1, 2)}, {10, 8, 1, HASHES(1, 2)}, {20, 8, 1}, {30, 9, 1, HASHES(1, 2)}};
    EagerResult results[4];
    const EagerTotals totals = RESULTS(
        config, requests, ((const ExpectRow[]){{10, 10}, {20, 20}, {30, 30}, {40, 40}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 4);
    ck_assert_uint_eq(results[3].cached_tokens, 4);
    ck_assert_uint_eq(totals.blocks_evicted, 1);
}
END_TEST

/* Nor does the copy get the identity later: B still holds it when C evicts h2 at 30, D finds h1
 * only. */
START_TEST(prefix_copy_stays_anonymous_for_good)
{
    const EagerConfig config = prefix_config(4, 5);
    const EagerRequest requests[] = {
        {0, 8, 1, HASHES(1, 2)}, {10, 8, 6, HASHES(1, 2)}, {25, 5, 1}, {40, 9, 1, HASHES(1, 2)}};
    EagerResult results[4];
    const EagerTotals totals = RESULTS(
        config, requests, ((const ExpectRow[]){{10, 10}, {20, 70}, {40, 40}, {50, 50}}), results);
    ck_assert_uint_eq(results[3].cached_tokens, 4);
    ck_assert_uint_eq(totals.blocks_evicted, 1);
}
END_TEST

/* B holds two of four blocks, the other two are C's hits: they are free but not free for C's third.
 */
START_TEST(prefix_free_hits_count_once)
{
    const EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {
        {0, 8, 1, HASHES(1, 2)}, {10, 5, 4}, {20, 12, 1, HASHES(1, 2, 3)}};
    EagerResult results[3];
    RESULTS(config, requests, ((const ExpectRow[]){{10, 10}, {20, 50}, {60, 60}}), results);
    ck_assert_uint_eq(results[2].cached_tokens, 8);
}
END_TEST

/* At 10 A holds three of four blocks; B shares two of them and needs one. Uncached it has to wait.
 */
START_TEST(prefix_shares_held_blocks)
{
    EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {{0, 8, 5, HASHES(1, 2)}, {10, 9, 1, HASHES(1, 2)}};
    RUN(config, requests, ((const ExpectRow[]){{10, 50}, {20, 20}}));
    config.prefix_caching = FALSE;
    RUN(config, requests, ((const ExpectRow[]){{10, 50}, {60, 60}}));
}
END_TEST

/* Example 7 with a hash on B's blocks: A's third block costs B its second, the first is found
 * again. */
START_TEST(prefix_after_preemption)
{
    const EagerConfig config = prefix_config(4, 4);
    const EagerRequest requests[] = {{0, 8, 4}, {0, 8, 3, HASHES(1, 2)}};
    EagerResult results[2];
    const EagerTotals totals =
        RESULTS(config, requests, ((const ExpectRow[]){{10, 40}, {10, 60, 1}}), results);
    ck_assert_uint_eq(results[1].cached_tokens, 0);
    ck_assert_uint_eq(totals.blocks_hit, 1);
    ck_assert_uint_eq(totals.blocks_evicted, 1);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 8 + 8 + 5);
}
END_TEST

static EagerConfig async_config(guint64 num_blocks)
{
    EagerConfig config = expect_config();
    config.async_scheduling = TRUE;
    config.num_blocks = num_blocks;
    return config;
}

/* Alone in the pool: example 1 to the nanosecond, and no step for the plan made at 27. */
START_TEST(async_one_request)
{
    const EagerConfig config = async_config(100);
    const EagerRequest requests[] = {{7, 5, 3}};
    const EagerTotals totals = RUN(config, requests, ((const ExpectRow[]){{17, 37}}));
    ck_assert_uint_eq(totals.n_steps, 3);
}
END_TEST

/* B comes during the step at 0, when the one at 10 is planned: it joins the one at 20, as C does,
 * which comes at 10 exactly. D joins the one at 30. */
START_TEST(async_arrival_joins_a_step_later)
{
    const EagerConfig config = async_config(100);
    const EagerRequest requests[] = {{0, 3, 5}, {5, 3, 1}, {10, 3, 1}, {11, 3, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 50}, {30, 30}, {30, 30}, {40, 40}}));
}
END_TEST

/* The plan made at 0 is empty, so B, which comes meanwhile, is planned at 10 for 10. */
START_TEST(async_empty_plan_is_dropped)
{
    const EagerConfig config = async_config(100);
    const EagerRequest requests[] = {{0, 3, 1}, {5, 3, 1}};
    const EagerTotals totals = RUN(config, requests, ((const ExpectRow[]){{10, 10}, {20, 20}}));
    ck_assert_uint_eq(totals.n_steps, 2);
}
END_TEST

/* B finishes at 20 with three of four blocks; C needs two. The step at 20 was planned at 10, so C
 * is in the one at 30, not in the one at 20 as without async scheduling. */
START_TEST(async_blocks_free_a_step_later)
{
    EagerConfig config = async_config(4);
    const EagerRequest requests[] = {{0, 1, 4}, {0, 8, 2}, {0, 8, 1}};
    const EagerTotals totals =
        RUN(config, requests, ((const ExpectRow[]){{10, 40}, {10, 20}, {40, 40}}));
    ck_assert_uint_eq(totals.n_steps, 4);
    config.async_scheduling = FALSE;
    RUN(config, requests, ((const ExpectRow[]){{10, 40}, {10, 20}, {30, 30}}));
}
END_TEST

/* At 10 the step at 20 is planned: A's ninth token needs a block, B is the last and falls, although
 * its last token comes at 20 anyway. Without async scheduling B is gone by then. */
START_TEST(async_preempts_a_finishing_request)
{
    EagerConfig config = async_config(3);
    const EagerRequest requests[] = {{0, 7, 3}, {0, 3, 2}};
    const EagerTotals totals = RUN(config, requests, ((const ExpectRow[]){{10, 30}, {10, 20, 1}}));
    ck_assert_uint_eq(totals.preemptions, 1);
    config.async_scheduling = FALSE;
    RUN(config, requests, ((const ExpectRow[]){{10, 30}, {10, 20}}));
}
END_TEST

/* As before, but B wants a third token: the second, in flight at 10, is delivered at 20 and is
 * among the five tokens that B computes at 30. */
START_TEST(async_victim_keeps_its_token)
{
    const EagerConfig config = async_config(3);
    const EagerRequest requests[] = {{0, 7, 3}, {0, 3, 3}};
    EagerResult results[2];
    const EagerTotals totals =
        RESULTS(config, requests, ((const ExpectRow[]){{10, 30}, {10, 40, 1}}), results);
    ck_assert_int_eq(results[1].max_itl, 20);
    ck_assert_uint_eq(totals.n_steps, 4);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 7 + 3 + 5);
}
END_TEST

/* B falls at the planning of the step at 10 while its prompt is being computed by the step at 0:
 * the blocks never get their identity, so B computes all of it again at 30. */
START_TEST(async_prefix_of_a_victim_stays_anonymous)
{
    EagerConfig config = async_config(4);
    config.prefix_caching = TRUE;
    config.hash_tokens = 4;
    const EagerRequest requests[] = {{0, 8, 3}, {0, 8, 2, HASHES(1, 2)}};
    const EagerTotals totals = RUN(config, requests, ((const ExpectRow[]){{10, 30}, {10, 40, 1}}));
    ck_assert_uint_eq(totals.blocks_hit, 0);
    config.async_scheduling = FALSE; /* identified at 10, one block evicted, the other hit */
    ck_assert_uint_eq(
        RUN(config, requests, ((const ExpectRow[]){{10, 30}, {10, 40, 1}})).blocks_hit, 1);
}
END_TEST

/* floor(0.6 * 4) = 2 blocks stay free beside running requests. B's one block leaves two, C's two
 * would leave one: it waits until nobody runs. D takes all four, since nobody runs. */
START_TEST(watermark_beside_running_requests)
{
    EagerConfig config = expect_config();
    config.num_blocks = 4;
    config.watermark = 0.6;
    const EagerRequest requests[] = {{0, 3, 2}, {5, 3, 1}, {20, 3, 2}, {25, 5, 1}, {100, 13, 1}};
    RUN(config, requests,
        ((const ExpectRow[]){{10, 20}, {20, 20}, {30, 40}, {50, 50}, {110, 110}}));
}
END_TEST

START_TEST(priority_orders_the_queue)
{
    EagerConfig config = expect_config();
    config.priority_policy = TRUE;
    config.max_num_seqs = 1;
    const EagerRequest requests[] = {
        {0, 3, 2, .priority = 5}, {1, 3, 1, .priority = 1}, {2, 3, 1, .priority = -1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 20}, {40, 40}, {30, 30}}));
}
END_TEST

/* At 20 A, first of the list, lacks a block and is itself the victim. That ends the pass: B gets
 * nothing in this step, as in vLLM. A's five tokens fit when B has finished at 50. */
START_TEST(priority_preempts_itself)
{
    EagerConfig config = expect_config();
    config.priority_policy = TRUE;
    config.num_blocks = 3;
    const EagerRequest requests[] = {{0, 3, 5, .priority = 9}, {5, 7, 3}};
    EagerResult results[2];
    const EagerTotals totals =
        RESULTS(config, requests, ((const ExpectRow[]){{10, 80, 1}, {20, 50}}), results);
    ck_assert_uint_eq(totals.n_steps, 8);
    ck_assert_uint_eq(totals.n_empty_steps, 1);
    ck_assert_int_eq(results[0].max_itl, 40);
    ck_assert_int_eq(results[1].max_itl, 20);
}
END_TEST

/* At 40 A (6 tokens planned, two blocks) has been scheduled when B needs a block: A falls, its
 * token goes back to the budget, and C's chunk is 4, not 3, which completes its prompt: 3 + 3 + 4.
 */
START_TEST(priority_gives_back_tokens)
{
    EagerConfig config = expect_config();
    config.priority_policy = TRUE;
    config.num_blocks = 5;
    config.max_num_batched_tokens = 5;
    const EagerRequest requests[] = {
        {0, 2, 6, .priority = 9}, {5, 2, 4}, {15, 10, 1, .priority = 5}};
    EagerResult results[3];
    const EagerTotals totals =
        RESULTS(config, requests, ((const ExpectRow[]){{10, 80, 1}, {20, 50}, {50, 50}}), results);
    ck_assert_uint_eq(totals.n_steps, 8);
    ck_assert_int_eq(results[0].max_itl, 30);
    ck_assert_uint_eq(totals.decode_tokens_computed, 3 + 3 + 1);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 2 + 2 + 10 + 6);
}
END_TEST

/* B misses step 0, may not join step 1, joins step 2. C starts the count anew. D comes during C's
 * only step: step 1 is empty, step 2 takes it. Async scheduling changes none of this. */
START_TEST(prefill_interval)
{
    EagerConfig config = expect_config();
    config.prefill_schedule_interval = 2;
    const EagerRequest requests[] = {{0, 3, 3}, {5, 3, 1}, {41, 3, 1}, {45, 3, 1}};
    const ExpectRow expected[] = {{10, 30}, {30, 30}, {51, 51}, {71, 71}};
    for (guint async = 0; async < 2; async++) {
        config.async_scheduling = async;
        const EagerTotals totals = RUN(config, requests, expected);
        ck_assert_uint_eq(totals.n_steps, 6);
        ck_assert_uint_eq(totals.n_empty_steps, 1);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("extensions");
    tcase_add_test(tcase, prefix_whole_and_partial);
    tcase_add_test(tcase, prefix_ends_with_the_hashes);
    tcase_add_test(tcase, prefix_last_token);
    tcase_add_test(tcase, prefix_visible_when_computed);
    tcase_add_test(tcase, prefix_per_engine);
    tcase_add_test(tcase, prefix_lru_tail_first);
    tcase_add_test(tcase, prefix_lru_refresh);
    tcase_add_test(tcase, prefix_newer_copy_stays_anonymous);
    tcase_add_test(tcase, prefix_copy_stays_anonymous_for_good);
    tcase_add_test(tcase, prefix_free_hits_count_once);
    tcase_add_test(tcase, prefix_shares_held_blocks);
    tcase_add_test(tcase, prefix_after_preemption);
    tcase_add_test(tcase, async_one_request);
    tcase_add_test(tcase, async_arrival_joins_a_step_later);
    tcase_add_test(tcase, async_empty_plan_is_dropped);
    tcase_add_test(tcase, async_blocks_free_a_step_later);
    tcase_add_test(tcase, async_preempts_a_finishing_request);
    tcase_add_test(tcase, async_victim_keeps_its_token);
    tcase_add_test(tcase, async_prefix_of_a_victim_stays_anonymous);
    tcase_add_test(tcase, watermark_beside_running_requests);
    tcase_add_test(tcase, priority_orders_the_queue);
    tcase_add_test(tcase, priority_preempts_itself);
    tcase_add_test(tcase, priority_gives_back_tokens);
    tcase_add_test(tcase, prefill_interval);
    return expect_main(tcase);
}
