/* Waterfill's level, its draw and its expectation. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/waterfill.h"
#include "core/rng.h"

START_TEST(test_slack)
{
    /* Routed 30, 10, 2 and 9 tokens: 51 / 3 = 17. */
    const double routed[] = {30, 10, 2};
    double slack[3];
    ck_assert_double_eq(eep_waterfill_slack(routed, 3, 9, slack), 17.0);
    ck_assert_double_eq(slack[0], 0.0);
    ck_assert_double_eq(slack[1], 7.0);
    ck_assert_double_eq(slack[2], 15.0);
    ck_assert_double_eq(eep_waterfill_slack(routed, 3, 7, slack), 17.0); /* rounded up */
}
END_TEST

START_TEST(test_rank)
{
    const double routed[] = {30, 10, 2}, slack[] = {0, 7, 15};
    const guint32 visited[] = {0, 1, 1, 0};
    /* Own rank 2 with 15, rank 1 with 7 / 1.1 once though visited twice; rank 0 never. */
    const double local = 15 / (15 + 7 / 1.1);
    ck_assert_uint_eq(eep_waterfill_rank(routed, slack, visited, 4, 2, 0.0), 2);
    ck_assert_uint_eq(eep_waterfill_rank(routed, slack, visited, 4, 2, local - 1e-9), 2);
    ck_assert_uint_eq(eep_waterfill_rank(routed, slack, visited, 4, 2, local + 1e-9), 1);
    ck_assert_uint_eq(eep_waterfill_rank(routed, slack, visited, 4, 2, 0.999999), 1);
    /* From rank 0, which has none, all goes to rank 1. */
    ck_assert_uint_eq(eep_waterfill_rank(routed, slack, visited, 4, 0, 0.0), 1);
    /* No slack in reach: stays, but for a rank that is lower by more than the bias. */
    const double full[] = {0, 0, 0}, near_load[] = {30, 28, 27}, far_load[] = {30, 28, 26};
    const guint32 both[] = {1, 2};
    ck_assert_uint_eq(eep_waterfill_rank(near_load, full, both, 1, 0, 0.5), 0);
    ck_assert_uint_eq(eep_waterfill_rank(far_load, full, both, 2, 0, 0.5), 2);
    ck_assert_uint_eq(eep_waterfill_rank(far_load, full, NULL, 0, 1, 0.5), 1);
}
END_TEST

/* Draws with independent visits against the expectation. */
START_TEST(test_expectation)
{
    enum { RANKS = 16, TOKENS = 4096 };
    EepRng rng;
    eep_rng_init(&rng, (guint64)_i, "waterfill");
    double routed[RANKS], own[RANKS], visit[RANKS], slack[RANKS], scratch[3 * RANKS], rows[RANKS];
    double drawn[RANKS] = {0}, sum = 0.0;
    for (guint r = 0; r < RANKS; r++) {
        visit[r] = 0.1 + 0.5 * eep_rng_uniform(&rng);
        routed[r] = TOKENS * visit[r] * (_i & 1 ? 1.1 : 1.0);
        own[r] = _i & 2 ? 2.0 * TOKENS / RANKS * (r & 1) : TOKENS / RANKS;
    }
    eep_waterfill_slack(routed, RANKS, TOKENS, slack);
    eep_waterfill_expect(routed, slack, own, visit, RANKS, scratch, rows);
    const guint repeats = 40;
    for (guint i = 0; i < repeats; i++)
        for (guint o = 0; o < RANKS; o++)
            for (guint t = 0; t < own[o]; t++) {
                guint32 visited[RANKS];
                guint n = 0;
                for (guint r = 0; r < RANKS; r++)
                    if (eep_rng_uniform(&rng) < visit[r])
                        visited[n++] = r;
                drawn[eep_waterfill_rank(routed, slack, visited, n, o, eep_rng_uniform(&rng))]++;
            }
    for (guint r = 0; r < RANKS; r++) {
        sum += rows[r];
        double error = rows[r] - drawn[r] / repeats;
        /* 1 % of the mean, and four sigma of the draws. */
        ck_assert_msg(fabs(error) < 0.02 * TOKENS / RANKS + 4 * sqrt(rows[r] / repeats),
                      "rank %u: %.1f rows for %.1f", r, rows[r], drawn[r] / repeats);
    }
    ck_assert_double_eq_tol(sum, TOKENS, 1e-6 * TOKENS);
}
END_TEST

/* Nothing to win: equal loads keep rows where they are on the whole; no slack keeps them all. */
START_TEST(test_degenerate)
{
    const double routed[] = {8, 8, 8, 8}, own[] = {4, 4, 4, 4}, visit[] = {.5, .5, .5, .5};
    double slack[4], scratch[12], rows[4];
    eep_waterfill_slack(routed, 4, 16, slack);
    eep_waterfill_expect(routed, slack, own, visit, 4, scratch, rows);
    for (guint r = 0; r < 4; r++)
        ck_assert_double_eq_tol(rows[r], 4.0, 1e-6);
    memset(slack, 0, sizeof slack);
    const double uneven[] = {1, 2, 3, 4};
    eep_waterfill_expect(routed, slack, uneven, visit, 4, scratch, rows);
    for (guint r = 0; r < 4; r++)
        ck_assert_double_eq(rows[r], uneven[r]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waterfill");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_slack);
    tcase_add_test(tcase, test_rank);
    tcase_add_loop_test(tcase, test_expectation, 0, 8);
    tcase_add_test(tcase, test_degenerate);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
