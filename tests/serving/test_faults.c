/* Faults in whole pools: when they are noticed, what they cost, what becomes of requests and GPUs.
 * Steps of 10 ns; four engines, a request every 25 ns. */
#include "tests/serving/fault_kit.h"

static EepTime gpu_time(const KitRun *run)
{
    EepTime sum = 0;

    for (guint i = 0; i < EEP_GPU_USE_COUNT; i++)
        sum += run->gpu_time[i];
    return sum;
}

/* -- detection -------------------------------------------------------------------------------- */

/* The earliest way of looking that applies is the one that counts. */
START_TEST(the_earliest_detection_counts)
{
    static const struct {
        EepFaultKind kind;
        EepRecovery recovery;
        gboolean can_mask;
        EepTime detect[EEP_DETECT_COUNT], detection;
        const char *by;
    } cases[] = {
        {EEP_FAULT_KIND_FAIL, EEP_RECOVERY_RETRY, TRUE, {50, 80, 60, 500}, 50, "process_exit"},
        {EEP_FAULT_KIND_HANG, EEP_RECOVERY_RETRY, TRUE, {50, 80, 60, 500}, 60, "all2all_timeout"},
        {EEP_FAULT_KIND_HANG, EEP_RECOVERY_RETRY, FALSE, {50, 80, 60, 500}, 80, "heartbeat"},
        {EEP_FAULT_KIND_HANG, EEP_RECOVERY_RETRY, TRUE, {50, 0, 0, 500}, 500, "watchdog"},
        {EEP_FAULT_KIND_FAIL, EEP_RECOVERY_RETRY, TRUE, {0, 0, 700, 500}, 500, "watchdog"},
        {EEP_FAULT_KIND_FAIL, EEP_RECOVERY_RETRY, TRUE, {70, 70, 70, 70}, 70, "process_exit"},
        /* Without fault tolerance there is the watchdog and nothing else. */
        {EEP_FAULT_KIND_FAIL, EEP_RECOVERY_NONE, TRUE, {50, 80, 60, 500}, 500, "watchdog"},
        {EEP_FAULT_KIND_HANG, EEP_RECOVERY_NONE, TRUE, {50, 80, 60, 500}, 500, "watchdog"},
    };

    events[0].fault.kind = cases[_i].kind;
    config.options.fault_tolerance.recovery = cases[_i].recovery;
    config.shape.can_mask = cases[_i].can_mask;
    memcpy(config.options.fault_tolerance.detect, cases[_i].detect, sizeof cases[_i].detect);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_str_eq(incident->id, "death");
    ck_assert_str_eq(incident->fault, eep_fault_names[cases[_i].kind]);
    ck_assert_int_eq(incident->at, AT);
    ck_assert_int_eq(incident->detection, cases[_i].detection);
    ck_assert_str_eq(incident->detected_by, cases[_i].by);
    ck_assert_uint_eq(incident->n_engines, 1);
}
END_TEST

/* In a pool without work the clocks of those who wait start with the first step. */
START_TEST(an_idle_pool_waits_for_nobody)
{
    EepTime begin = 5000;

    config.costs.idle_steps_are_free = TRUE;
    config.shape.can_mask = TRUE;
    config.options.fault_tolerance.recovery = _i == 0 ? EEP_RECOVERY_NONE : EEP_RECOVERY_RETRY;
    set_detection(0, 0, _i == 0 ? 0 : 40, 300);
    requests[0].arrival = begin;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 1);

    ck_assert_int_eq(only_incident(run)->detection, begin + (_i == 0 ? 300 : 40) - AT);
    ck_assert_int_eq(run->results[0].finish, begin + (_i == 0 ? 300 : 40));
}
END_TEST

/* Nobody looks: what was in the pool stays in it, and the run ends. */
START_TEST(what_nobody_notices_stays)
{
    guint n_completed;

    set_detection(1, 1, 1, 0);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    n_completed = count_fates(run, EEP_FATE_COMPLETED);
    ck_assert_uint_eq(n_completed + count_fates(run, EEP_FATE_UNFINISHED), MAX_ARRIVE);
    ck_assert_uint_gt(n_completed, 0);
    ck_assert_str_eq(only_incident(run)->outcome, "unrecovered");
    ck_assert_int_eq(only_incident(run)->detection, EEP_TIME_NEVER);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_DEAD], run->end - AT);
    /* The others have stood still since the step in which it died. */
    ck_assert_int_eq(run->gpu_time[EEP_GPU_STALLED], 3 * (run->end - AT));
    kit_assert_conserved(run, requests, "unnoticed");
}
END_TEST

/* -- none ------------------------------------------------------------------------------------- */

/* The watchdog ends it all: requests are aborted, GPUs given back, whoever comes later is turned
 * away, again and again. */
START_TEST(without_recovery_it_exits)
{
    const EepTime exit = AT + 500;
    guint n_aborted = 0;

    set_detection(1, 1, 1, 500);
    config.deployment.retry_attempts = (guint)_i;
    config.deployment.retry_backoff = 10;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (requests[i].arrival >= exit) {
            ck_assert_str_eq(eep_reason_names[result->reason], "unavailable");
            ck_assert_int_eq(result->fate, EEP_FATE_REJECTED);
            ck_assert_uint_eq(result->attempts, (guint)_i);
            ck_assert_int_eq(result->finish, requests[i].arrival + 10 * ((1 << (_i - 1)) - 1));
        } else if (result->fate == EEP_FATE_ABORTED) {
            n_aborted++;
            ck_assert_str_eq(eep_reason_names[result->reason], "fault");
            ck_assert_uint_eq(result->attempts, (guint)_i);
            ck_assert_int_eq(result->finish, exit + 10 * ((1 << (_i - 1)) - 1));
        } else {
            ck_assert_int_eq(result->fate, EEP_FATE_COMPLETED);
            ck_assert_int_lt(result->finish, AT);
        }
    }
    ck_assert_uint_gt(n_aborted, 10);
    ck_assert_uint_eq(incident->n_lost, n_aborted + incident->n_lost_rejected);
    ck_assert_uint_eq(incident->n_lost_rejected, count_fates(run, EEP_FATE_REJECTED));
    ck_assert_str_eq(incident->outcome, "exited");
    ck_assert_int_eq(incident->recovery, EEP_TIME_NEVER);
    ck_assert_int_eq(incident->degraded, run->end - AT);
    ck_assert_uint_eq(kit_nth(run->sizes, KitSize, run->sizes->len - 1)->n_engines, 0);
    ck_assert_int_eq(kit_nth(run->sizes, KitSize, run->sizes->len - 1)->at, exit);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_SERVING], 4 * AT);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_DEAD], exit - AT);
    ck_assert_int_eq(gpu_time(run), 4 * exit);
    kit_assert_conserved(run, requests, "exit");
}
END_TEST

/* Who asks it to scale after that is told why not; a resize that ran has failed. */
START_TEST(an_exited_deployment_does_not_scale)
{
    set_detection(0, 0, 0, 50);
    config.deployment.n_events = 3;
    events[1] = (EepOperatorEvent){.id = "running", .at = 1000, .new_data_parallel_size = 6};
    events[2] = (EepOperatorEvent){.id = "late", .at = 2000, .new_data_parallel_size = 3};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *running = kit_nth(run->resizes, EepResizeRecord, 0),
                          *late = kit_nth(run->resizes, EepResizeRecord, 1);

    ck_assert_uint_eq(run->resizes->len, 2);
    ck_assert_str_eq(running->id, "running");
    ck_assert_str_eq(eep_outcome_names[running->outcome], "failed");
    ck_assert_str_eq(late->id, "late");
    ck_assert_str_eq(eep_outcome_names[late->outcome], "refused");
    ck_assert_str_eq(late->reason, "the deployment has exited");
    ck_assert_str_eq(only_incident(run)->outcome, "exited");
    kit_assert_conserved(run, requests, "exited");
}
END_TEST

/* All that a node holds dies at once, as one incident: GPUs 2 and 3 are those of engine 1. */
START_TEST(a_node_takes_its_engines_along)
{
    config.options.tensor_parallel_size = 2;
    config.shape.gpus_per_node = 2 + 2 * (guint)_i;
    config.shape.max_engines = 8;
    events[0].fault.target = EEP_FAULT_OF_NODE;
    set_detection(0, 0, 0, 100);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(only_incident(run)->n_engines, _i == 0 ? 1 : 2);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_DEAD], (_i == 0 ? 1 : 2) * 2 * 100);
}
END_TEST

/* A rank that is not there cannot break. */
START_TEST(nobody_is_hit)
{
    events[0].fault.index = 4;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->incidents->len, 0);
    ck_assert(strstr(run->decisions->str, "fault_without_target") != NULL);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
}
END_TEST

/* -- slow ranks ------------------------------------------------------------------------------- */

/* Steps that begin in the spell take twice as long, three times where two spells meet. */
START_TEST(a_slow_rank_slows_everybody)
{
    config.keeps_steps = TRUE;
    config.deployment.n_events = 2;
    events[0].fault =
        (EepFault){.kind = EEP_FAULT_KIND_SLOW, .index = 2, .factor = 2.0, .duration = 400};
    events[1] = (EepOperatorEvent){
        .kind = EEP_OPERATOR_FAULT,
        .id = "worse",
        .at = AT + 200,
        .fault = {.kind = EEP_FAULT_KIND_SLOW, .index = 2, .factor = 1.5, .duration = 400}};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    for (guint i = 0; i < run->steps->len; i++) {
        const EepStepRecord *step = kit_nth(run->steps, EepStepRecord, i);
        gboolean is_2 = step->begin >= AT && step->begin < AT + 400;
        gboolean is_15 = step->begin >= AT + 200 && step->begin < AT + 600;

        ck_assert_int_eq(step->end - step->begin, is_2 && is_15 ? 30 : is_2 ? 20 : is_15 ? 15 : 10);
    }
    ck_assert_uint_eq(run->incidents->len, 2);
    for (guint i = 0; i < 2; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);

        ck_assert_str_eq(incident->outcome, "ended");
        ck_assert_str_eq(incident->detected_by, "");
        ck_assert_int_eq(incident->detection, EEP_TIME_NEVER);
        ck_assert_int_eq(incident->degraded, 400);
        ck_assert_uint_eq(incident->n_lost + incident->n_engines, 0);
    }
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    kit_assert_conserved(run, requests, "slow");
}
END_TEST

/* -- during, cancel --------------------------------------------------------------------------- */

static EepTime phase_start(const EepResizeRecord *record, const char *name)
{
    for (guint i = 0; i < record->n_phases; i++)
        if (strcmp(record->phases[i].name, name) == 0)
            return record->phases[i].start;
    return EEP_TIME_NEVER;
}

/* An event waits for its resize's phase, and happens once. */
START_TEST(during_a_phase)
{
    static const char *const phases[] = {"prepare", "standby_groups", "commit", "warm_up",
                                         "settle"};
    EepTime begins;

    config.deployment.n_events = 3;
    events[0].id = "spell";
    events[0].fault = (EepFault){.kind = EEP_FAULT_KIND_SLOW, .factor = 1.0, .duration = 1};
    events[0].during_resize = "grow";
    events[0].during_phase = phases[_i];
    events[0].after = 7;
    events[1] = (EepOperatorEvent){.id = "grow", .at = 900, .new_data_parallel_size = 6};
    events[2] = (EepOperatorEvent){.id = "other", .at = 200, .new_data_parallel_size = 5};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *grow = kit_nth(run->resizes, EepResizeRecord, 1);

    ck_assert_str_eq(grow->id, "grow");
    ck_assert_str_eq(eep_outcome_names[grow->outcome], "complete");
    begins = _i == 0   ? grow->accepted
             : _i == 2 ? grow->commit
             : _i == 4 ? grow->serving
                       : phase_start(grow, phases[_i]);
    ck_assert_int_eq(only_incident(run)->at, begins + 7);
}
END_TEST

/* Waiting in vain is told at the end. */
START_TEST(never_reached)
{
    static const char *const resizes[] = {"shrink", "none"}, *const phases[] = {"launch", "commit"};

    config.deployment.n_events = 2;
    events[0].during_resize = resizes[_i];
    events[0].during_phase = phases[_i];
    events[1] = (EepOperatorEvent){.id = "shrink", .at = 900, .new_data_parallel_size = 3};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->incidents->len, 0);
    ck_assert(g_str_has_suffix(run->decisions->str, "event_not_reached "));
}
END_TEST

/* -- drawn ------------------------------------------------------------------------------------ */

static guint n_drawn(guint64 seed, EepTime mtbf)
{
    guint n = 0;

    config.deployment.n_events = 0;
    config.deployment.seed = seed;
    config.options.fault_tolerance.mtbf = mtbf;
    config.options.fault_tolerance.recovery = EEP_RECOVERY_NONE;
    set_detection(0, 0, 0, 1);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    n = run->incidents->len;
    for (guint i = 0; i < n; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);
        g_autofree char *id = g_strdup_printf("mtbf-%u", i + 1);

        ck_assert_str_eq(incident->id, id);
        ck_assert_str_eq(incident->fault, "fail");
    }
    kit_assert_conserved(run, requests, "drawn");
    ck_assert_int_lt(run->end, 20000);
    return n;
}

/* Four GPUs in use for 5000 ns and a mean time between failures of 20000 ns each: the first failure
 * comes before the end in 1 - 1/e of the runs, the same ones each time. */
START_TEST(failures_are_drawn)
{
    guint n = 0, again = 0;

    for (guint64 seed = 0; seed < 400; seed++)
        n += n_drawn(seed, 20000) > 0;
    for (guint64 seed = 0; seed < 400; seed++)
        again += n_drawn(seed, 20000) > 0;
    ck_assert_uint_eq(n, again);
    /* 253 +- 5 standard deviations of 9.6; traffic lasts a little longer than its last arrival. */
    ck_assert_uint_ge(n, 205);
    ck_assert_uint_le(n, 305);
    ck_assert_uint_eq(n_drawn(1, 1000000000000000), 0);
}
END_TEST

/* -- replay ----------------------------------------------------------------------------------- */

static gboolean append(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    g_byte_array_append(self, bytes, (guint)n_bytes);
    return TRUE;
}

static char *describe(const KitRun *run)
{
    GString *text = g_string_new(run->decisions->str);

    for (guint i = 0; i < run->n_requests; i++) {
        const KitResult *r = &run->results[i];

        g_string_append_printf(text, "\n%u %u %u %u %u %u %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                               i, r->fate, r->reason, r->attempts, r->retries, r->worker,
                               r->first_token, r->finish);
    }
    for (guint i = 0; i < run->incidents->len; i++) {
        const EepIncident *t = kit_nth(run->incidents, EepIncident, i);

        g_string_append_printf(text,
                               "\n%s %s %s %s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT
                               " %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %.17g",
                               t->id, t->fault, t->detected_by, t->outcome, t->at, t->detection,
                               t->recovery, t->n_lost, t->experts_missing_s);
    }
    return g_string_free(text, FALSE);
}

/* The same run from its journal alone, without a backend and with nobody who breaks anything. */
static void assert_replays(void)
{
    GByteArray *array = g_byte_array_new();
    g_autoptr(EepJournal) recording = eep_journal_new_recording(append, array, "{}");
    g_autoptr(EepJournal) journal = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *recorded = NULL, *replayed = NULL;

    config.journal = recording;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    ck_assert(eep_journal_flush(recording, NULL));
    bytes = g_byte_array_free_to_bytes(array);
    config.journal = journal = eep_journal_new_replay(bytes, NULL, NULL);
    ck_assert_ptr_nonnull(journal);
    g_autoptr(KitRun) again = kit_must_run(&config, requests, MAX_ARRIVE);
    recorded = describe(run);
    replayed = describe(again);
    ck_assert_str_eq(recorded, replayed);
    config.journal = NULL;
}

START_TEST(faults_are_replayed)
{
    static const EepFaultKind kinds[] = {EEP_FAULT_KIND_FAIL,       EEP_FAULT_KIND_HANG,
                                         EEP_FAULT_KIND_SLOW,       EEP_FAULT_KIND_PHASE_FAIL,
                                         EEP_FAULT_KIND_PHASE_HANG, EEP_FAULT_KIND_SLOW,
                                         EEP_FAULT_KIND_PHASE_FAIL, EEP_FAULT_KIND_PHASE_HANG};

    config.deployment.n_events = 3;
    config.deployment.retry_attempts = 3;
    config.deployment.retry_backoff = 30;
    config.deployment.retry_jitter = 0.5;
    config.options.fault_tolerance.mtbf = _i == 5 ? 30000 : 0;
    events[0].fault.kind = kinds[_i];
    events[0].fault.factor = 3.0;
    events[0].fault.duration = 500;
    events[0].fault.phase = _i < 6 ? EEP_PHASE_STANDBY_GROUPS : EEP_BREAKABLE_RESHUFFLE;
    events[1] = (EepOperatorEvent){.id = "grow", .at = 1500, .new_data_parallel_size = 6};
    events[2] = (EepOperatorEvent){.id = "late",
                                   .during_resize = "grow",
                                   .during_phase = "commit",
                                   .kind = EEP_OPERATOR_FAULT,
                                   .fault = events[0].fault};
    set_detection(0, 0, 0, 250);
    assert_replays();
}
END_TEST

/* -- phases ----------------------------------------------------------------------------------- */

/* The nth phase of its kind that begins breaks; vLLM's group is stuck, until the recovery. */
START_TEST(a_phase_breaks)
{
    gboolean hangs = _i == 1;

    config.deployment.n_events = 3;
    config.costs.phase[EEP_PHASE_LAUNCH] = 300;
    set_detection(0, 0, 0, 150);
    config.options.fault_tolerance.recovery = EEP_RECOVERY_SHRINK;
    events[0].at = 10;
    events[0].fault =
        (EepFault){.kind = hangs ? EEP_FAULT_KIND_PHASE_HANG : EEP_FAULT_KIND_PHASE_FAIL,
                   .phase = EEP_PHASE_STANDBY_GROUPS,
                   .nth = 2};
    events[1] = (EepOperatorEvent){.id = "first", .at = 200, .new_data_parallel_size = 5};
    events[2] = (EepOperatorEvent){.id = "second", .at = 2500, .new_data_parallel_size = 6};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *second = kit_nth(run->resizes, EepResizeRecord, 1);
    const EepResizeRecord *recovery = kit_nth(run->resizes, EepResizeRecord, 2);
    const EepIncident *incident = only_incident(run);

    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "complete");
    ck_assert_str_eq(eep_outcome_names[second->outcome], "failed");
    ck_assert_int_eq(incident->at, phase_start(second, "standby_groups"));
    ck_assert_str_eq(incident->fault, hangs ? "phase_hang" : "phase_fail");
    ck_assert_str_eq(incident->detected_by, hangs ? "watchdog" : "completion");
    ck_assert_int_eq(incident->detection,
                     hangs ? 150 : config.costs.phase[EEP_PHASE_STANDBY_GROUPS]);
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_str_eq(incident->recovery_by, "shrink");
    ck_assert_int_eq(incident->degraded, recovery->serving - incident->at);
    ck_assert_str_eq(recovery->id, "death");
    ck_assert_int_eq(recovery->accepted, incident->at + incident->detection);
    ck_assert_uint_eq(recovery->to, 5);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("faults");

    tcase_add_checked_fixture(tcase, fault_kit_setup, fault_kit_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_earliest_detection_counts, 0, 8);
    tcase_add_loop_test(tcase, an_idle_pool_waits_for_nobody, 0, 2);
    tcase_add_test(tcase, what_nobody_notices_stays);
    tcase_add_loop_test(tcase, without_recovery_it_exits, 1, 4);
    tcase_add_test(tcase, an_exited_deployment_does_not_scale);
    tcase_add_loop_test(tcase, a_node_takes_its_engines_along, 0, 2);
    tcase_add_test(tcase, nobody_is_hit);
    tcase_add_test(tcase, a_slow_rank_slows_everybody);
    tcase_add_loop_test(tcase, during_a_phase, 0, 5);
    tcase_add_loop_test(tcase, never_reached, 0, 2);
    tcase_add_test(tcase, failures_are_drawn);
    tcase_add_loop_test(tcase, faults_are_replayed, 0, 8);
    tcase_add_loop_test(tcase, a_phase_breaks, 0, 2);
    return kit_main("faults", tcase);
}
