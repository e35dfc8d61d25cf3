/* Steps that fail again and again, with nobody known to be gone: the group counts as broken, and
 * what follows is the recovery's to say. Steps of 10 ns; four engines, a request every 25 ns. */
#include "tests/serving/fault_kit.h"

#define WATCHDOG 500

static void setup(void)
{
    fault_kit_setup();
    set_detection(50, 50, 50, WATCHDOG);
    config.deployment.n_events = 0;
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    config.shape.max_engines = 8;
    config.checks = TRUE;
    config.fail_from = 50;
    config.n_failing = 3;
}

/* Of two steps in flight the later one falls with the earlier, or is alone in failing. */
static void set_async(gboolean is_async)
{
    config.options.async_scheduling = is_async;
    config.n_failing = is_async ? 6 : 3;
}

/* Twice may happen. */
START_TEST(it_takes_three)
{
    config.n_failing = 2;
    config.fails_late = _i & 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->incidents->len, 0);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
}
END_TEST

/* A group that stands still, until the watchdog; where none looks nobody waits. */
START_TEST(without_a_recovery_the_watchdog_looks)
{
    EepTime watchdog = _i & 2 ? 0 : WATCHDOG, exited = 0;

    set_detection(50, 50, 50, watchdog);
    set_async(_i & 1);
    config.fails_late = _i & 4 ? TRUE : FALSE;
    config.deployment.retry_attempts = 0;
    config.keeps_steps = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_str_eq(incident->id, "found-1");
    ck_assert_str_eq(incident->fault, "step_fail");
    ck_assert_str_eq(incident->outcome, "exited");
    ck_assert_str_eq(incident->recovery_by, "");
    ck_assert_str_eq(incident->detected_by, watchdog > 0 ? "watchdog" : "completion");
    ck_assert_int_eq(incident->detection, watchdog);
    ck_assert_uint_eq(incident->n_engines, 4);
    ck_assert_uint_eq(last_size(run), 0);
    for (guint i = 0; i < run->steps->len; i++)
        ck_assert_int_le(kit_nth(run->steps, EepStepRecord, i)->end, incident->at);
    exited = incident->at + watchdog;
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate == EEP_FATE_ABORTED)
            ck_assert_int_eq(result->finish, exited);
        else if (result->fate == EEP_FATE_REJECTED)
            ck_assert_int_ge(result->arrival, exited);
        else
            ck_assert_str_eq(eep_fate_names[result->fate], "completed");
    }
    ck_assert_uint_gt(count_fates(run, EEP_FATE_COMPLETED), 0);
    ck_assert_uint_gt(count_fates(run, EEP_FATE_ABORTED), 0);
    ck_assert_uint_eq(incident->n_lost,
                      count_fates(run, EEP_FATE_ABORTED) + count_fates(run, EEP_FATE_REJECTED));
    kit_assert_conserved(run, requests, "no recovery");
}
END_TEST

static const struct {
    EepRecovery recovery;
    const char *by, *note, *vain;
} modes[] = {
#define ANEW    "restarted: no engine is known that the others could do without"
#define IN_VAIN "exited: three restarts in a row, and no request completed"
    {EEP_RECOVERY_RESTART, "restart", "", IN_VAIN},
    {EEP_RECOVERY_RETRY, "retry", "", "exited: three retries in a row, and no request completed"},
    {EEP_RECOVERY_SHRINK, "restart", ANEW, IN_VAIN},
    {EEP_RECOVERY_REPLACE, "restart", ANEW, IN_VAIN},
    {EEP_RECOVERY_MASK_ONLY, "restart", ANEW, IN_VAIN},
};

/* At once, and everybody serves again; nobody's request is lost where the server retries. */
START_TEST(each_mode_recovers)
{
    set_recovery(modes[_i / 4].recovery, EEP_IN_FLIGHT_RETRY);
    set_async(_i & 1);
    config.fails_late = _i & 2 ? TRUE : FALSE;
    config.options.fault_tolerance.spare_engines = 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_str_eq(incident->fault, "step_fail");
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_str_eq(incident->recovery_by, modes[_i / 4].by);
    ck_assert_str_eq(incident->note, modes[_i / 4].note);
    ck_assert_str_eq(incident->detected_by, "completion");
    ck_assert_int_eq(incident->detection, 0);
    ck_assert_int_gt(incident->recovery, 0);
    ck_assert_int_eq(incident->degraded, incident->recovery);
    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(kit_nth(run->resizes, EepResizeRecord, 0)->generation, modes[_i / 4].by);
    ck_assert_uint_eq(last_size(run), 4);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    ck_assert_uint_gt(incident->n_retried, 0);
    kit_assert_conserved(run, requests, modes[_i / 4].by);
}
END_TEST

/* What no recovery helps against has an end, and every request its fate. */
START_TEST(recoveries_in_vain_have_an_end)
{
    set_recovery(modes[_i / 4].recovery, _i & 1 ? EEP_IN_FLIGHT_RETRY : EEP_IN_FLIGHT_ABORT);
    config.fails_late = _i & 2 ? TRUE : FALSE;
    config.n_failing = 10000;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *last = kit_nth(run->incidents, EepIncident, run->incidents->len - 1);

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_uint_eq(run->incidents->len, 4);
    ck_assert_str_eq(last->outcome, "exited");
    ck_assert_str_eq(last->note, modes[_i / 4].vain);
    ck_assert_uint_eq(last_size(run), 0);
    kit_assert_conserved(run, requests, modes[_i / 4].by);
}
END_TEST

/* Whoever is lost, though nobody has noticed, explains that steps fail: that is recovered from. */
START_TEST(a_loss_explains_it)
{
    set_recovery(EEP_RECOVERY_SHRINK, EEP_IN_FLIGHT_RETRY);
    set_detection(2000, 0, 0, 0);
    config.deployment.n_events = 1;
    config.fail_from = 1;
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i].arrival += 1500; /* the first step comes after the death */
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_str_eq(incident->fault, "fail");
    ck_assert_int_eq(incident->detection, 2000);
    ck_assert_str_eq(incident->recovery_by, "shrink");
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_uint_eq(last_size(run), 3);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
}
END_TEST

/* Whatever a resize is at: it is undone, or goes on where it can, and nobody is lost. */
START_TEST(during_any_resize)
{
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    if ((guint)_i >= n)
        return;
    add_experts(6);
    set_generation(all[_i].name);
    config.shape.max_engines = 12;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    config.deployment.n_events = 1;
    for (guint from = 140; from < 260; from += 7)
        for (guint i = 0; i < 2 * G_N_ELEMENTS(modes); i++) {
            g_autofree char *context = g_strdup_printf(
                "%s, %s, step %u", all[_i].name, eep_recovery_names[modes[i / 2].recovery], from);
            g_autoptr(KitRun) run = NULL;

            events[0] =
                (EepOperatorEvent){.id = "it", .at = 1500, .new_data_parallel_size = i & 1 ? 6 : 3};
            set_recovery(modes[i / 2].recovery, EEP_IN_FLIGHT_RETRY);
            config.fail_from = from;
            config.fails_late = from & 1;
            run = kit_must_run(&config, requests, MAX_ARRIVE);
            for (guint j = 0; j < run->incidents->len; j++) {
                const EepIncident *incident = kit_nth(run->incidents, EepIncident, j);

                ck_assert_msg(strcmp(incident->outcome, "recovered") == 0 && incident->n_lost == 0,
                              "%s: %s", context, incident->outcome);
            }
            ck_assert_msg(run->incidents->len == 1, "%s: %u incidents", context,
                          run->incidents->len);
            ck_assert_msg(count_fates(run, EEP_FATE_COMPLETED) +
                                  kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN) ==
                              MAX_ARRIVE,
                          "%s: %u completed", context, count_fates(run, EEP_FATE_COMPLETED));
            kit_assert_conserved(run, requests, context);
        }
}
END_TEST

/* Without a recovery it ends whatever a resize is at. */
START_TEST(during_any_resize_without_a_recovery)
{
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    if ((guint)_i >= n)
        return;
    set_generation(all[_i].name);
    config.shape.max_engines = 12;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    config.deployment.n_events = 1;
    config.deployment.retry_attempts = 3;
    for (guint from = 140; from < 260; from += 3) {
        events[0] =
            (EepOperatorEvent){.id = "it", .at = 1500, .new_data_parallel_size = from & 1 ? 6 : 3};
        config.fail_from = from;
        g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

        /* The run may be over before. */
        if (run->incidents->len > 0 || from < 180) {
            ck_assert_str_eq(only_incident(run)->outcome, "exited");
            ck_assert_int_le(only_incident(run)->detection, WATCHDOG);
            ck_assert_uint_eq(last_size(run), 0);
        }
        kit_assert_conserved(run, requests, all[_i].name);
    }
}
END_TEST

static gboolean append(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    g_byte_array_append(self, bytes, (guint)n_bytes);
    return TRUE;
}

/* The same run from its journal alone, without the steps' having to fail once more. */
START_TEST(a_replay_is_the_same)
{
    g_autoptr(GByteArray) array = g_byte_array_new();
    g_autoptr(EepJournal) recording = eep_journal_new_recording(append, array, "{}");
    g_autoptr(EepJournal) journal = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (_i > 0)
        set_recovery(modes[_i - 1].recovery, EEP_IN_FLIGHT_RETRY);
    config.journal = recording;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    ck_assert(eep_journal_flush(recording, NULL));
    bytes = g_bytes_new(array->data, array->len);
    config.journal = journal = eep_journal_new_replay(bytes, NULL, NULL);
    ck_assert_ptr_nonnull(journal);
    g_autoptr(KitRun) again = kit_must_run(&config, requests, MAX_ARRIVE);
    config.journal = NULL;

    ck_assert_str_eq(run->decisions->str, again->decisions->str);
    ck_assert_mem_eq(run->results, again->results, MAX_ARRIVE * sizeof *run->results);
    ck_assert_uint_eq(run->incidents->len, again->incidents->len);
    ck_assert_str_eq(only_incident(again)->outcome, _i > 0 ? "recovered" : "exited");
    ck_assert_int_eq(run->end, again->end);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("steps_fail");

    tcase_add_checked_fixture(tcase, setup, fault_kit_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, it_takes_three, 0, 2);
    tcase_add_loop_test(tcase, without_a_recovery_the_watchdog_looks, 0, 8);
    tcase_add_loop_test(tcase, each_mode_recovers, 0, 4 * G_N_ELEMENTS(modes));
    tcase_add_loop_test(tcase, recoveries_in_vain_have_an_end, 0, 4 * G_N_ELEMENTS(modes));
    tcase_add_test(tcase, a_loss_explains_it);
    tcase_add_loop_test(tcase, during_any_resize, 0, 10);
    tcase_add_loop_test(tcase, during_any_resize_without_a_recovery, 0, 10);
    tcase_add_loop_test(tcase, a_replay_is_the_same, 0, 1 + G_N_ELEMENTS(modes));
    return kit_main("steps_fail", tcase);
}
