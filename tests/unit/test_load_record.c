/* core/load_record.c. */
#include <check.h>
#include <stdlib.h>

#include "core/load_record.h"

START_TEST(new_record_is_empty)
{
    g_autoptr(EepLoadRecord) record = eep_load_record_new(3, 2, 4);
    ck_assert_uint_eq(record->n_windows, 3);
    ck_assert_uint_eq(record->n_layers, 2);
    ck_assert_uint_eq(record->n_experts, 4);
    ck_assert_uint_eq(record->top_k, 0);
    ck_assert_uint_eq(record->n_tokens, 0);
    ck_assert_ptr_null(record->routes);
    for (guint i = 0; i < 24; i++)
        ck_assert_double_eq(record->tokens[i], 0.0);
}
END_TEST

START_TEST(sums_of_every_range)
{
    enum { T = 5, L = 2, E = 3 };
    g_autoptr(EepLoadRecord) record = eep_load_record_new(T, L, E);
    double sum[L * E];
    for (guint i = 0; i < T * L * E; i++)
        record->tokens[i] = (double)(i * i % 31);
    for (guint from = 0; from <= T; from++)
        for (guint to = from; to <= T; to++) {
            for (guint i = 0; i < L * E; i++)
                sum[i] = -1.0; /* must be overwritten, also by no window at all */
            eep_load_record_sum(record, from, to, sum);
            for (guint layer = 0; layer < L; layer++)
                for (guint expert = 0; expert < E; expert++) {
                    double expected = 0.0;
                    for (guint window = from; window < to; window++)
                        expected += record->tokens[(window * L + layer) * E + expert];
                    ck_assert_double_eq(sum[layer * E + expert], expected);
                }
        }
}
END_TEST

START_TEST(free_takes_null_and_routes)
{
    eep_load_record_free(NULL);
    EepLoadRecord *record = eep_load_record_new(1, 1, 2);
    record->top_k = 1;
    record->n_tokens = 8;
    record->routes = g_new0(guint8, 8);
    eep_load_record_free(record); /* asan sees whether the routes went */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load_record");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, new_record_is_empty);
    tcase_add_test(tcase, sums_of_every_range);
    tcase_add_test(tcase, free_takes_null_and_routes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
