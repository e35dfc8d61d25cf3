/* Which replica a token takes, for the choices that need one layer's map alone. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/replica_choice.h"
#include "core/rng.h"

START_TEST(test_names)
{
    static const char *const words[] = {"hash", "random", "static", "least_loaded", "lp"};
    ck_assert_uint_eq(EEP_REPLICA_COUNT, G_N_ELEMENTS(words));
    for (gint i = 0; i < EEP_REPLICA_COUNT; i++)
        ck_assert_str_eq(eep_replica_choice_name(i), words[i]);
}
END_TEST

/* vLLM's values: (t * 2654435769) mod 2^32 mod count. */
START_TEST(test_hash)
{
    ck_assert_uint_eq(eep_replica_hash(0, 7), 0);
    ck_assert_uint_eq(eep_replica_hash(1, 10), 9);
    ck_assert_uint_eq(eep_replica_hash(2, 10), 2); /* 5308871538 - 2^32 = 1013904242 */
    ck_assert_uint_eq(eep_replica_hash(3, 10), 1); /* 7963307307 - 2^32 = 3668340011 */
}
END_TEST

START_TEST(test_random)
{
    const guint64 key = eep_replica_key(7, 3, 2);
    ck_assert_uint_ne(key, eep_replica_key(7, 2, 3));
    ck_assert_uint_ne(key, eep_replica_key(8, 3, 2));
    guint count[5] = {0}, equal = 0;
    for (guint source = 0; source < 20; source++)
        for (guint t = 0; t < 100; t++)
            for (guint k = 0; k < 8; k++) {
                guint replica = eep_replica_random(key, source, t, k, 5);
                ck_assert_uint_eq(replica, eep_replica_random(key, source, t, k, 5));
                equal += replica == eep_replica_random(key, source, t, k + 1, 5);
                ck_assert_uint_lt(replica, 5);
                count[replica]++;
            }
    for (guint j = 0; j < 5; j++) /* 16,000 draws: 3,200 each, sigma 51 */
        ck_assert_int_lt(abs((gint)count[j] - 3200), 5 * 51);
    ck_assert_int_lt(abs((gint)equal - 3200), 5 * 51);
}
END_TEST

/* Two nodes of two GPUs of two slots. */
START_TEST(test_static_prefers_near)
{
    guint16 replica[4];
    const guint32 spread[] = {1, 5}; /* on GPU 0 and GPU 2: one a node */
    eep_replica_static(0, 0, spread, 2, 2, 4, 2, replica);
    const guint16 near[] = {0, 0, 1, 1};
    ck_assert_mem_eq(replica, near, sizeof near);
    const guint32 three[] = {0, 2, 4}; /* GPUs 0, 1 | 2 */
    eep_replica_static(0, 0, three, 3, 2, 4, 2, replica);
    const guint16 own[] = {0, 1, 2, 2};
    ck_assert_mem_eq(replica, own, sizeof own);
    const guint32 one[] = {6};
    eep_replica_static(3, 9, one, 1, 2, 4, 2, replica);
    const guint16 only[] = {0, 0, 0, 0};
    ck_assert_mem_eq(replica, only, sizeof only);
    /* Twice on one GPU: the first slot. */
    const guint32 twice[] = {0, 1};
    eep_replica_static(0, 0, twice, 2, 2, 2, 1, replica);
    ck_assert_uint_eq(replica[0], 0);
}
END_TEST

/* All replicas on one node, or none in reach: GPUs without one are dealt out evenly. */
START_TEST(test_static_is_fair)
{
    EepRng rng;
    eep_rng_init(&rng, 1, "replica_static");
    guint begins[8] = {0};
    for (guint i = 0; i < 500; i++) {
        const guint n_ranks = 2 + (guint)eep_rng_below(&rng, 63), n = 1 + i % MIN(n_ranks, 8);
        guint32 slots[8];
        guint16 replica[65];
        for (guint j = 0; j < n; j++)
            slots[j] = 3 * j; /* on GPUs 0 .. n - 1 of one node */
        eep_replica_static(i, 2 * i, slots, n, 3, n_ranks, n_ranks, replica);
        guint dealt[8] = {0};
        for (guint r = 0; r < n_ranks; r++) {
            ck_assert_uint_lt(replica[r], n);
            if (r < n)
                ck_assert_uint_eq(replica[r], r);
            else
                dealt[replica[r]]++;
        }
        if (n < n_ranks)
            begins[replica[n]] += n == 8;
        for (guint j = 0; j < n; j++) {
            ck_assert_uint_ge(dealt[j], (n_ranks - n) / n);
            ck_assert_uint_le(dealt[j], (n_ranks - n + n - 1) / n);
        }
    }
    for (guint j = 0; j < 8; j++) /* who begins differs from expert to expert */
        ck_assert_uint_gt(begins[j], 0);
}
END_TEST

START_TEST(test_least_loaded)
{
    const guint32 ranks[] = {0, 2, 3};
    guint32 sent[4] = {0};
    ck_assert_uint_eq(eep_replica_least_loaded(sent, ranks, 3), 0);
    sent[0] = 2;
    sent[2] = 1;
    sent[3] = 1;
    ck_assert_uint_eq(eep_replica_least_loaded(sent, ranks, 3), 1);
    sent[2] = 2;
    ck_assert_uint_eq(eep_replica_least_loaded(sent, ranks, 3), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replica_choice");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_names);
    tcase_add_test(tcase, test_hash);
    tcase_add_test(tcase, test_random);
    tcase_add_test(tcase, test_static_prefers_near);
    tcase_add_test(tcase, test_static_is_fair);
    tcase_add_test(tcase, test_least_loaded);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
