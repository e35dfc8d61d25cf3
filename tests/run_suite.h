/* The end of a test's main(): runs the suite and says how it went, as an exit status. */
#ifndef EEP_TESTS_RUN_SUITE_H
#define EEP_TESTS_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

/* CK_NOFORK: all tests in this process; CK_FORK: each in one of its own. */
static inline int run_suite(Suite *suite, enum fork_status fork)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, fork);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
