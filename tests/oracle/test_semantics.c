/* The thirteen worked examples of docs/scheduler.md, by their numbers. */
#include "tests/oracle/semantics_expect.h"

#define RUN(config, requests, expected)                                                            \
    expect_run(&(config), requests, G_N_ELEMENTS(requests), expected, NULL)

START_TEST(example_1_one_request)
{
    const EagerConfig config = expect_config();
    const EagerRequest requests[] = {{7, 5, 3}};
    const ExpectRow expected[] = {{17, 37}};
    const EagerTotals totals = RUN(config, requests, expected);
    ck_assert_uint_eq(totals.n_steps, 3);
    ck_assert_uint_eq(totals.generated_tokens, 3);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 5);
    ck_assert_uint_eq(totals.decode_tokens_computed, 2);
    ck_assert_int_eq(totals.end, 37);
}
END_TEST

START_TEST(example_2_chunked_prefill)
{
    EagerConfig config = expect_config();
    config.max_num_batched_tokens = 10;
    const EagerRequest long_prompt[] = {{0, 25, 2}}, even[] = {{0, 20, 2}},
                       one_more[] = {{0, 21, 2}};
    RUN(config, long_prompt, ((const ExpectRow[]){{30, 40}}));
    RUN(config, even, ((const ExpectRow[]){{20, 30}}));
    RUN(config, one_more, ((const ExpectRow[]){{30, 40}}));
}
END_TEST

START_TEST(example_3_shared_budget)
{
    EagerConfig config = expect_config();
    config.max_num_batched_tokens = 10;
    const EagerRequest requests[] = {{0, 6, 2}, {0, 8, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 20}, {20, 20}}));
}
END_TEST

START_TEST(example_4_running_first)
{
    EagerConfig config = expect_config();
    config.max_num_batched_tokens = 4;
    const EagerRequest requests[] = {{0, 1, 4}, {0, 9, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 40}, {30, 30}}));
}
END_TEST

START_TEST(example_5_edges)
{
    const EagerConfig config = expect_config();
    const EagerRequest requests[] = {{0, 3, 3}, {10, 3, 1}, {11, 3, 1}, {33, 3, 1}};
    const EagerTotals totals =
        RUN(config, requests, ((const ExpectRow[]){{10, 30}, {20, 20}, {30, 30}, {43, 43}}));
    ck_assert_uint_eq(totals.n_steps, 4); /* none while idle (rule 4) */
}
END_TEST

START_TEST(example_6_lockstep)
{
    EagerConfig config = expect_config();
    config.n_engines = 2;
    const EagerRequest requests[] = {{0, 3, 5}, {4, 3, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 50, 0, 0}, {20, 20, 0, 1}}));
}
END_TEST

START_TEST(example_7_preemption_takes_the_last)
{
    EagerConfig config = expect_config();
    config.num_blocks = 4;
    const EagerRequest requests[] = {{0, 8, 4}, {0, 8, 3}};
    EagerResult results[2];
    const EagerTotals totals =
        expect_run(&config, requests, 2, (const ExpectRow[]){{10, 40}, {10, 60, 1}}, results);
    ck_assert_uint_eq(totals.preemptions, 1);
    ck_assert_uint_eq(totals.prefill_tokens_computed, 8 + 8 + 9);
    ck_assert_uint_eq(totals.decode_tokens_computed, 3 + 1);
    ck_assert_int_eq(results[0].max_itl, 10);
    ck_assert_int_eq(results[1].max_itl, 40);
}
END_TEST

START_TEST(example_8_two_victims)
{
    EagerConfig config = expect_config();
    config.num_blocks = 4;
    const EagerRequest requests[] = {{0, 4, 3}, {0, 4, 5}, {0, 4, 2}, {0, 4, 2}};
    RUN(config, requests, ((const ExpectRow[]){{10, 30}, {10, 50}, {10, 40, 1}, {10, 50, 1}}));
}
END_TEST

START_TEST(example_9_preempts_itself)
{
    EagerConfig config = expect_config();
    config.num_blocks = 4;
    const EagerRequest requests[] = {{0, 6, 4}, {0, 8, 2}, {5, 1, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 40}, {10, 50, 1}, {50, 50}}));
}
END_TEST

START_TEST(example_10_whole_prompt_must_fit)
{
    EagerConfig config = expect_config();
    config.num_blocks = 6;
    config.max_num_batched_tokens = 8;
    const EagerRequest requests[] = {{0, 8, 2}, {0, 20, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 20}, {50, 50}}));
}
END_TEST

START_TEST(example_11_preempted_in_prefill)
{
    EagerConfig config = expect_config();
    config.block_size = 1;
    config.num_blocks = 10;
    config.max_num_batched_tokens = 4;
    const EagerRequest requests[] = {{0, 2, 5}, {0, 8, 1}};
    RUN(config, requests, ((const ExpectRow[]){{10, 50}, {70, 70, 1}}));
}
END_TEST

START_TEST(example_12_rejection)
{
    EagerConfig config = expect_config();
    config.n_engines = 2;
    config.num_blocks = 4;
    const EagerRequest requests[] = {{3, 10, 7}, {7, 10, 6}, {8, 1, 1}};
    const EagerTotals totals = RUN(
        config, requests, ((const ExpectRow[]){EXPECT_REJECTED, {17, 67, 0, 0}, {27, 27, 0, 1}}));
    ck_assert_uint_eq(totals.rejected, 1);
    ck_assert_uint_eq(totals.completed, 2);
    ck_assert_uint_eq(totals.n_steps, 6);
}
END_TEST

/* The example gives the engines; the times follow: C is in the step at 10, as are D and E. */
START_TEST(example_13_waiting4_running)
{
    EagerConfig config = expect_config();
    config.n_engines = 2;
    config.router = EAGER_WAITING4_RUNNING;
    const EagerRequest requests[] = {{0, 3, 2}, {0, 3, 1}, {9, 3, 3}, {10, 3, 3}, {10, 3, 3}};
    RUN(config, requests,
        ((const ExpectRow[]){
            {10, 20, 0, 0}, {10, 10, 0, 1}, {20, 40, 0, 0}, {20, 40, 0, 1}, {20, 40, 0, 1}}));
}
END_TEST

/* At 10 engine 0 has one request running, engine 1 four. The ninth makes it 4 + 1 against 4: the
 * tenth goes to engine 1, the eleventh finds 5 and 8. */
START_TEST(rule_15_weights)
{
    EagerConfig config = expect_config();
    config.n_engines = 2;
    config.router = EAGER_WAITING4_RUNNING;
    const EagerRequest requests[] = {{0, 3, 3},  {0, 3, 3},  {0, 3, 1}, {0, 3, 3},
                                     {0, 3, 1},  {0, 3, 3},  {0, 3, 1}, {0, 3, 3},
                                     {11, 3, 1}, {12, 3, 1}, {12, 3, 1}};
    const ExpectRow expected[] = {{10, 30, 0, 0}, {10, 30, 0, 1}, {10, 10, 0, 0}, {10, 30, 0, 1},
                                  {10, 10, 0, 0}, {10, 30, 0, 1}, {10, 10, 0, 0}, {10, 30, 0, 1},
                                  {30, 30, 0, 0}, {30, 30, 0, 1}, {30, 30, 0, 0}};
    RUN(config, requests, expected);
}
END_TEST

/* Rule 9: ids break ties, arrivals order the rest, whatever the order of the rows. */
START_TEST(rows_need_not_be_sorted)
{
    EagerConfig config = expect_config();
    config.max_num_seqs = 1;
    const EagerRequest requests[] = {{5, 3, 1}, {0, 3, 1}, {5, 3, 1}};
    RUN(config, requests, ((const ExpectRow[]){{20, 20}, {10, 10}, {30, 30}}));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("semantics");
    tcase_add_test(tcase, example_1_one_request);
    tcase_add_test(tcase, example_2_chunked_prefill);
    tcase_add_test(tcase, example_3_shared_budget);
    tcase_add_test(tcase, example_4_running_first);
    tcase_add_test(tcase, example_5_edges);
    tcase_add_test(tcase, example_6_lockstep);
    tcase_add_test(tcase, example_7_preemption_takes_the_last);
    tcase_add_test(tcase, example_8_two_victims);
    tcase_add_test(tcase, example_9_preempts_itself);
    tcase_add_test(tcase, example_10_whole_prompt_must_fit);
    tcase_add_test(tcase, example_11_preempted_in_prefill);
    tcase_add_test(tcase, example_12_rejection);
    tcase_add_test(tcase, example_13_waiting4_running);
    tcase_add_test(tcase, rule_15_weights);
    tcase_add_test(tcase, rows_need_not_be_sorted);
    return expect_main(tcase);
}
