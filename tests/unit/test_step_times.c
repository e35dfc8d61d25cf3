/* core/step_times.h: kinds and classes of steps by hand. */
#include <check.h>
#include <stdlib.h>

#include "core/step_times.h"

#define MS EEP_NS_PER_MS

static void add(EepStepTimes *times, guint n_engines, guint64 n_decodes, guint64 n_prefill_tokens,
                EepTime length)
{
    EepStepRecord step = {.begin = 7 * MS,
                          .end = 7 * MS + length,
                          .n_engines = n_engines,
                          .n_decodes = n_decodes,
                          .n_prefill_tokens = n_prefill_tokens,
                          .is_dummy = n_decodes + n_prefill_tokens == 0};

    eep_step_times_add(times, &step);
}

static void expect(const EepStepTimes *times, EepStepKind kind, guint step_class, guint64 n,
                   EepTime sum)
{
    const EepStepClass *found = &times->classes[kind][step_class];

    ck_assert_msg(found->n == n && found->sum == (EepWide)sum, "%s, class %u: %lu, %lu ns",
                  eep_step_kind_names[kind], step_class, (gulong)found->n, (gulong)found->sum);
}

START_TEST(kinds_and_classes)
{
    EepStepTimes times;

    eep_step_times_init(&times);
    add(&times, 4, 4, 0, 10 * MS);   /* one token an engine */
    add(&times, 4, 5, 0, 20 * MS);   /* rounded up to two */
    add(&times, 4, 12, 0, 30 * MS);  /* three: the class of two */
    add(&times, 4, 13, 0, 40 * MS);  /* four */
    add(&times, 4, 60, 4, 50 * MS);  /* sixteen, with a prompt */
    add(&times, 4, 0, 124, 60 * MS); /* thirty-one */
    add(&times, 4, 0, 0, 5 * MS);
    expect(&times, EEP_STEP_DECODE, 1, 1, 10 * MS);
    expect(&times, EEP_STEP_DECODE, 2, 2, 50 * MS);
    expect(&times, EEP_STEP_DECODE, 3, 1, 40 * MS);
    expect(&times, EEP_STEP_PREFILL, 5, 2, 110 * MS);
    expect(&times, EEP_STEP_DUMMY, 0, 1, 5 * MS);
    ck_assert_uint_eq(times.lengths[EEP_STEP_DECODE].count, 4);
    ck_assert_uint_eq(times.lengths[EEP_STEP_PREFILL].count, 2);
    ck_assert_uint_eq(times.lengths[EEP_STEP_DUMMY].count, 1);
    ck_assert_int_eq(times.lengths[EEP_STEP_DECODE].max, 40 * MS);
    eep_step_times_clear(&times);
}
END_TEST

START_TEST(classes_hold_every_step)
{
    EepStepTimes times;

    ck_assert_uint_eq(eep_step_class_tokens(0), 0);
    ck_assert_uint_eq(eep_step_class_tokens(1), 1);
    ck_assert_uint_eq(eep_step_class_tokens(5), 16);
    eep_step_times_init(&times);
    add(&times, 0, 3, 0, MS);                    /* of no engine: as of one */
    add(&times, 1, G_MAXUINT64 / 2, 0, MS);      /* more than any batch: the last class */
    add(&times, 1, (guint64)1 << 31, 0, 3 * MS); /* the first of the last class */
    expect(&times, EEP_STEP_DECODE, 2, 1, MS);
    expect(&times, EEP_STEP_DECODE, EEP_STEP_CLASSES - 1, 2, 4 * MS);
    eep_step_times_clear(&times);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_times");
    TCase *tcase = tcase_create("step_times");
    tcase_add_test(tcase, kinds_and_classes);
    tcase_add_test(tcase, classes_hold_every_step);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
