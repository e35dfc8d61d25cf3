/* core/eplb/trigger.c: when a window calls for a plan, and when a plan is worth it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/pool_options.h"
#include "core/eplb/trigger.h"
#include "core/rng.h"

/* A scenario's words are these names in this order. */
START_TEST(names_are_the_scenarios_words)
{
    g_autofree char *words = g_strdup(eep_eplb_trigger_names[0]);
    for (guint i = 1; i < EEP_EPLB_TRIGGER_COUNT; i++) {
        char *longer = g_strconcat(words, "|", eep_eplb_trigger_names[i], NULL);
        g_free(words);
        words = longer;
    }
    ck_assert_str_eq(eep_options_find(&eep_pool_options, "eplb_config.trigger")->words, words);
}
END_TEST

START_TEST(interval_never_asks)
{
    EepEplbTrigger trigger;
    eep_eplb_trigger_init(&trigger, EEP_EPLB_TRIGGER_INTERVAL, 0.5, 3);
    for (guint i = 0; i < 5; i++)
        ck_assert(eep_eplb_trigger_wants_plan(&trigger, i / 4.0));
    ck_assert(eep_eplb_trigger_accepts(&trigger, -1.0, 100, 5.0));
}
END_TEST

/* Against the rule written the slow way: the last n windows since the last rearrangement, all of
 * them, lie below the threshold. */
START_TEST(imbalance_counts_windows_in_a_row)
{
    EepRng rng;
    eep_rng_init(&rng, 7, "test");
    for (guint round = 0; round < 200; round++) {
        double window[40];
        guint n = 1 + round % 4, since = 0;
        EepEplbTrigger trigger;
        eep_eplb_trigger_init(&trigger, EEP_EPLB_TRIGGER_IMBALANCE, 0.75, n);
        for (guint i = 0; i < G_N_ELEMENTS(window); i++) {
            gboolean all_low = i + 1 - since >= n;
            window[i] = (double)eep_rng_below(&rng, 8) / 8.0; /* 0.75 itself among them */
            for (guint j = i + 1; all_low && j > i + 1 - n; j--)
                all_low = window[j - 1] < 0.75;
            gboolean wants = eep_eplb_trigger_wants_plan(&trigger, window[i]);
            ck_assert_msg(wants == all_low, "window %u, n %u", i, n);
            if (wants && eep_rng_below(&rng, 2) == 0) {
                eep_eplb_trigger_reset(&trigger);
                since = i + 1;
            }
        }
        ck_assert(eep_eplb_trigger_accepts(&trigger, 0.0, 0.0, 1e9));
    }
}
END_TEST

/* 2 ms a step over 500 steps are a second. */
START_TEST(cost_benefit_compares_seconds)
{
    EepEplbTrigger trigger;
    eep_eplb_trigger_init(&trigger, EEP_EPLB_TRIGGER_COST_BENEFIT, 0.9, 2);
    ck_assert(eep_eplb_trigger_wants_plan(&trigger, 1.0));
    ck_assert(eep_eplb_trigger_accepts(&trigger, 0.002, 500, 0.999));
    ck_assert(!eep_eplb_trigger_accepts(&trigger, 0.002, 500, 1.001));
    ck_assert(!eep_eplb_trigger_accepts(&trigger, 0.0, 500, 0.0)); /* nothing for nothing */
    ck_assert(!eep_eplb_trigger_accepts(&trigger, -0.1, 500, 0.0));
    ck_assert(eep_eplb_trigger_accepts(&trigger, 1e-9, 500, 0.0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trigger");
    TCase *tcase = tcase_create("trigger");
    tcase_add_test(tcase, names_are_the_scenarios_words);
    tcase_add_test(tcase, interval_never_asks);
    tcase_add_test(tcase, imbalance_counts_windows_in_a_row);
    tcase_add_test(tcase, cost_benefit_compares_seconds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
