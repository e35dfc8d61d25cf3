/* Restarts after lost engines: another is lost while one runs, one after another in vain, one that
 * somebody asked for loses what it ends. Rank 1 dies at 1003 and is found dead 50 ns later. */
#include "tests/serving/fault_kit.h"

static void setup(void)
{
    fault_kit_setup();
    set_detection(50, 0, 0, 0);
}

static KitRun *restart_that_loses_another(const char *generation, EepTime at)
{
    set_generation(generation);
    set_recovery(EEP_RECOVERY_RESTART, EEP_IN_FLIGHT_RETRY);
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    config.deployment.n_events = 2;
    events[1] = events[0];
    events[1].id = "second";
    events[1].fault.index = 2;
    events[1].at = at;
    return kit_must_run(&config, requests, MAX_ARRIVE);
}

/* One that it ends, or has launched, at any time: where there is a way back it begins anew. */
START_TEST(a_restart_loses_another)
{
    g_autoptr(KitRun) run = restart_that_loses_another("eep", FOUND + 10 + 20 * _i);

    ck_assert_uint_ge(run->incidents->len, 1);
    for (guint i = 0; i < run->incidents->len; i++)
        ck_assert_msg(strcmp(kit_nth(run->incidents, EepIncident, i)->outcome, "recovered") == 0,
                      "%d: incident %u is %s", _i, i,
                      kit_nth(run->incidents, EepIncident, i)->outcome);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    ck_assert_uint_eq(last_size(run), 4);
    kit_assert_conserved(run, requests, "another");
}
END_TEST

/* Upstream the first recovery that fails is the end. */
START_TEST(a_restart_that_fails_is_the_end)
{
    EepTime launch = FOUND + config.costs.phase[EEP_PHASE_DESTROY];
    g_autoptr(KitRun) run = restart_that_loses_another("g2.1", launch + 10);

    ck_assert_uint_eq(run->incidents->len, 2);
    for (guint i = 0; i < 2; i++)
        ck_assert_str_eq(kit_nth(run->incidents, EepIncident, i)->outcome, "exited");
    kit_assert_conserved(run, requests, "the end");
}
END_TEST

static const char *const all_generations[] = {"restart", "m1", "g1",     "g2",
                                              "g2.1",    "g3", "masked", "eep"};

/* Five losses, `apart` ns each, of an engine that the restart before has launched. */
static KitRun *lose_again_and_again(const char *generation, EepTime apart, EepInFlight in_flight)
{
    set_generation(generation);
    set_recovery(EEP_RECOVERY_RESTART, in_flight);
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    config.deployment.n_events = MAX_EVENTS;
    for (guint i = 1; i < MAX_EVENTS; i++) {
        events[i] = events[0];
        events[i].id = (const char *[]){"first", "second", "third", "fourth", "fifth"}[i];
        events[i].at = AT + (EepTime)i * apart;
    }
    return kit_must_run(&config, requests, MAX_ARRIVE);
}

/* What breaks every new engine before it has completed a request: three restarts, and the end, with
 * the fate of every request told. */
START_TEST(restarts_in_vain_have_an_end)
{
    EepTime length = 50 + phases(G_N_ELEMENTS(anew), anew);
    EepInFlight in_flight = _i & 1 ? EEP_IN_FLIGHT_RETRY : EEP_IN_FLIGHT_ABORT;
    g_autoptr(KitRun) run = lose_again_and_again(all_generations[_i / 2], length + 10, in_flight);
    const EepIncident *last = kit_nth(run->incidents, EepIncident, run->incidents->len - 1);

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_uint_eq(run->incidents->len, 4);
    ck_assert_str_eq(last->outcome, "exited");
    ck_assert_str_eq(last->note, "exited: three restarts in a row, and no request completed");
    ck_assert_str_eq(kit_nth(run->incidents, EepIncident, 2)->outcome, "recovered");
    ck_assert_uint_eq(last_size(run), 0);
    ck_assert_uint_gt(count_fates(run, EEP_FATE_ABORTED), 0);
    kit_assert_conserved(run, requests, "in vain");
}
END_TEST

/* The same where each is lost while it starts, and the restart would begin anew. */
START_TEST(restarts_that_never_end_have_an_end)
{
    g_autoptr(KitRun) run = lose_again_and_again("eep", 400, EEP_IN_FLIGHT_RETRY);
    const EepIncident *last = kit_nth(run->incidents, EepIncident, run->incidents->len - 1);

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_str_eq(last->outcome, "exited");
    ck_assert_str_eq(last->note, "exited: three restarts in a row, and no request completed");
    kit_assert_conserved(run, requests, "never end");
}
END_TEST

/* Losses that are far enough apart for a request to be completed, or of which nobody takes notice,
 * are recovered from however many there are. */
START_TEST(restarts_that_serve_go_on)
{
    EepTime length = 50 + phases(G_N_ELEMENTS(anew), anew);
    gboolean is_idle = _i & 1;

    for (guint i = 0; i < MAX_ARRIVE && is_idle; i++)
        requests[i].arrival = i < MAX_ARRIVE / 2 ? i : 10000 + i;
    g_autoptr(KitRun) run = lose_again_and_again(
        all_generations[_i / 2], length + (is_idle ? 100 : 400), EEP_IN_FLIGHT_RETRY);

    ck_assert_uint_eq(run->resizes->len, MAX_EVENTS);
    for (guint i = 0; i < run->incidents->len; i++)
        ck_assert_str_eq(kit_nth(run->incidents, EepIncident, i)->outcome, "recovered");
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    kit_assert_conserved(run, requests, "go on");
}
END_TEST

/* One that it ends anyway, whichever recovery is set: the restart goes on to the other size. */
START_TEST(a_restart_loses_what_it_ends)
{
    static const EepRecovery recoveries[] = {EEP_RECOVERY_RESTART, EEP_RECOVERY_SHRINK,
                                             EEP_RECOVERY_REPLACE};

    set_generation("restart");
    set_recovery(recoveries[_i % 3], EEP_IN_FLIGHT_RETRY);
    config.shape.max_engines = 8;
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    config.deployment.n_events = 2;
    events[0].during_resize = "it";
    events[0].during_phase = "destroy";
    events[0].after = 3;
    events[1] =
        (EepOperatorEvent){.id = "it", .at = 1500, .new_data_parallel_size = _i < 3 ? 6 : 2};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "complete");
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_int_lt(incident->recovery, EEP_TIME_NEVER);
    ck_assert_uint_eq(last_size(run), _i < 3 ? 6 : 2);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED) +
                          kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN),
                      MAX_ARRIVE);
    kit_assert_conserved(run, requests, "ended anyway");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("recovery_restarts");

    tcase_add_checked_fixture(tcase, setup, fault_kit_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_restart_loses_another, 0, 50);
    tcase_add_test(tcase, a_restart_that_fails_is_the_end);
    tcase_add_loop_test(tcase, restarts_in_vain_have_an_end, 0, 2 * G_N_ELEMENTS(all_generations));
    tcase_add_test(tcase, restarts_that_never_end_have_an_end);
    tcase_add_loop_test(tcase, restarts_that_serve_go_on, 0, 2 * G_N_ELEMENTS(all_generations));
    tcase_add_loop_test(tcase, a_restart_loses_what_it_ends, 0, 6);
    return kit_main("recovery_restarts", tcase);
}
