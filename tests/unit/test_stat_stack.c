/* core/stat_stack.h against a plain scan. */
#include <check.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/stat_stack.h"

START_TEST(by_hand)
{
    g_auto(EepGapStack) stack;
    eep_gap_stack_init(&stack);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 0), 0);
    eep_gap_stack_push(&stack, 1, 50);
    eep_gap_stack_push(&stack, 2, 20);
    eep_gap_stack_push(&stack, 2, 10);
    eep_gap_stack_push(&stack, 5, 30);
    ck_assert_uint_eq(eep_gap_stack_length(&stack), 2);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 0), 50);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 1), 50);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 2), 30);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 5), 30);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 6), 0);
    eep_gap_stack_push(&stack, 6, 50);
    ck_assert_uint_eq(eep_gap_stack_length(&stack), 1);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 1), 50);
}
END_TEST

START_TEST(agrees_with_a_scan)
{
    enum { N = 3000 };
    g_auto(EepGapStack) stack;
    EepTime values[N];
    guint64 indices[N], index = 0, dropped = 0;
    EepRng rng;
    eep_gap_stack_init(&stack);
    eep_rng_init(&rng, 8, "gaps");
    for (int i = 0; i < N; i++) {
        index += eep_rng_below(&rng, 3);
        indices[i] = index;
        /* Falling on average, so that the stack grows. */
        values[i] = (EepTime)(2 * (N - i) + eep_rng_below(&rng, 200));
        eep_gap_stack_push(&stack, index, values[i]);
        if (i % 400 == 399) {
            dropped = index / 2;
            eep_gap_stack_drop_before(&stack, dropped);
        }
        for (int draw = 0; draw < 5; draw++) {
            guint64 since = dropped + eep_rng_below(&rng, index + 2 - dropped);
            EepTime expected = 0;
            for (int j = i; j >= 0 && indices[j] >= since; j--)
                expected = MAX(expected, values[j]);
            if (eep_gap_stack_max_since(&stack, since) != expected)
                ck_assert_int_eq(eep_gap_stack_max_since(&stack, since), expected);
        }
    }
}
END_TEST

START_TEST(dropping_keeps_it_small)
{
    g_auto(EepGapStack) stack;
    eep_gap_stack_init(&stack);
    for (guint64 i = 0; i < 1000000; i++) {
        eep_gap_stack_push(&stack, i, (EepTime)(1000000 - i));
        if (i >= 100)
            eep_gap_stack_drop_before(&stack, i - 99);
    }
    ck_assert_uint_eq(eep_gap_stack_length(&stack), 100);
    ck_assert_uint_le(stack.capacity, 512);
    ck_assert_int_eq(eep_gap_stack_max_since(&stack, 999950), 50);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stat_stack");
    TCase *tcase = tcase_create("stat_stack");
    tcase_add_test(tcase, by_hand);
    tcase_add_test(tcase, agrees_with_a_scan);
    tcase_add_test(tcase, dropping_keeps_it_small);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
