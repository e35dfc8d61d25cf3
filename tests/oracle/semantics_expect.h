/* Running a hand-computed case against the oracle: rows of requests, rows of expected results.
 * Header-only, for the Check programs of this folder. */
#ifndef EEP_TESTS_SEMANTICS_EXPECT_H
#define EEP_TESTS_SEMANTICS_EXPECT_H

#include <check.h>
#include <glib.h>

#include "tests/oracle/eager.h"

/* What the worked examples use unless they say otherwise: step time 10, block size 4, budget 100.
 */
static inline EagerConfig expect_config(void)
{
    return (EagerConfig){
        .n_engines = 1,
        .block_size = 4,
        .max_num_batched_tokens = 100,
        .max_num_seqs = 256,
        .num_blocks = 1000,
        .step_time = 10,
    };
}

typedef struct {
    gint64 first_token, finish;
    guint preemptions;
    gint engine;
} ExpectRow;

#define EXPECT_REJECTED ((ExpectRow){-1, -1, 0, -1})

/* Runs and compares; `ret_results` (n elements) may be NULL. */
static inline EagerTotals expect_run(const EagerConfig *config, const EagerRequest *requests,
                                     guint n, const ExpectRow *expected, EagerResult *ret_results)
{
    EagerTotals totals;
    g_autofree EagerResult *results = g_new(EagerResult, n);
    eager_run(config, requests, n, results, &totals);
    for (guint i = 0; i < n; i++) {
        ck_assert_msg(
            results[i].first_token == expected[i].first_token &&
                results[i].finish == expected[i].finish &&
                results[i].preemptions == expected[i].preemptions &&
                results[i].engine == expected[i].engine &&
                results[i].rejected == (expected[i].engine < 0),
            "request %u: first token %ld, finish %ld, preemptions %u, engine %d; expected "
            "%ld, %ld, %u, %d",
            i, (long)results[i].first_token, (long)results[i].finish, results[i].preemptions,
            results[i].engine, (long)expected[i].first_token, (long)expected[i].finish,
            expected[i].preemptions, expected[i].engine);
        if (ret_results != NULL)
            ret_results[i] = results[i];
    }
    return totals;
}

/* The usual main of a Check program. */
static inline int expect_main(TCase *tcase)
{
    Suite *suite = suite_create("oracle");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

#endif
