/* core/time.h: the one rounding from seconds to nanoseconds. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/time.h"

START_TEST(rounds_half_up)
{
    ck_assert_int_eq(eep_time_from_seconds(0.0), 0);
    ck_assert_int_eq(eep_time_from_seconds(1.0), EEP_NS_PER_S);
    ck_assert_int_eq(eep_time_from_seconds(0.001), EEP_NS_PER_MS);
    ck_assert_int_eq(eep_time_from_seconds(1.5e-6), 1500);
    ck_assert_int_eq(eep_time_from_seconds(0x1p-1 * 1e-9), 1);
    ck_assert_int_eq(eep_time_from_seconds(0.4999e-9), 0);
    ck_assert_int_eq(eep_time_from_seconds(1.4999e-9), 1);
    ck_assert_int_eq(eep_time_from_seconds(2.5001e-9), 3);
}
END_TEST

START_TEST(clamps)
{
    ck_assert_int_eq(eep_time_from_seconds(-1.0), 0);
    ck_assert_int_eq(eep_time_from_seconds(-INFINITY), 0);
    ck_assert_int_eq(eep_time_from_seconds(INFINITY), EEP_TIME_NEVER);
    ck_assert_int_eq(eep_time_from_seconds(9.3e9), EEP_TIME_NEVER);
    ck_assert_int_lt(eep_time_from_seconds(9.2e9), EEP_TIME_NEVER);
}
END_TEST

START_TEST(returns_to_seconds)
{
    ck_assert_double_eq(eep_time_to_seconds(1500000000), 1.5);
    ck_assert_double_eq(eep_time_to_seconds(-EEP_NS_PER_MS), -0.001);
    for (EepTime t = 1; t < EEP_NS_PER_S * 100000; t = t * 3 + 1)
        ck_assert_int_eq(eep_time_from_seconds(eep_time_to_seconds(t)), t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("time");
    TCase *tcase = tcase_create("time");
    tcase_add_test(tcase, rounds_half_up);
    tcase_add_test(tcase, clamps);
    tcase_add_test(tcase, returns_to_seconds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
