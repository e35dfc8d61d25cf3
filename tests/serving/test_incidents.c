/* What faults are charged with: requests, their KV, experts, time. Steps of 10 ns; four engines, a
 * request every 25 ns; rank 1 (worker 2) dies at 1003 and is found dead 50 ns later. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define MAX_ARRIVE 200
#define MAX_EVENTS 4
#define AT         1003 /* inside the step [1000, 1010) */
#define FOUND      (AT + 50)
#define N_LAYERS   2
#define N_EXPERTS  12

static KitConfig config;
static EepOperatorEvent events[MAX_EVENTS];
static EepArrival requests[MAX_ARRIVE];

static EepOperatorEvent death(const char *id, EepTime at, guint rank)
{
    return (EepOperatorEvent){.kind = EEP_OPERATOR_FAULT,
                              .id = id,
                              .at = at,
                              .fault = {.kind = EEP_FAULT_KIND_FAIL,
                                        .target = EEP_FAULT_OF_RANK,
                                        .index = rank,
                                        .duration = EEP_TIME_NEVER}};
}

static void setup(void)
{
    static const EepTime detect[EEP_DETECT_COUNT] = {50, 0, 0, 0};

    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_elastic_ep = TRUE;
    config.options.fault_tolerance.recovery = EEP_RECOVERY_SHRINK;
    config.options.fault_tolerance.in_flight = EEP_IN_FLIGHT_ABORT;
    memcpy(config.options.fault_tolerance.detect, detect, sizeof detect);
    config.shape.n_blocks = 500;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100 + i;
    config.deployment.n_events = 1;
    config.deployment.events = events;
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
    for (guint i = 0; i < MAX_EVENTS; i++)
        events[i] = (EepOperatorEvent){.id = ""};
    events[0] = death("death", AT, 1);
}

static void teardown(void)
{
    kit_config_clear(&config);
}

/* Twelve experts in two layers on four ranks: 0-3, 4-7, 8-11, 0-3. Nothing is rearranged unless a
 * resize or `interval` asks for it. */
static void add_experts(EepExpertBackup backup, gint64 interval)
{
    static double load[N_LAYERS * N_EXPERTS];

    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = 2.0 / N_EXPERTS;
    config.options.enable_eplb = TRUE;
    config.options.fault_tolerance.expert_backup = backup;
    config.options.eplb_config.num_redundant_experts = 4;
    config.options.eplb_config.step_interval = interval;
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 100;
    config.costs.n_cells = G_N_ELEMENTS(load);
    config.costs.load = load;
    config.costs.move = 30;
}

static void set_generation(const char *name)
{
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup(name);
}

static const EepIncident *incident(const KitRun *run, guint i)
{
    ck_assert_uint_gt(run->incidents->len, i);
    return kit_nth(run->incidents, EepIncident, i);
}

static guint count_fates(const KitRun *run, EepFate fate)
{
    guint n = 0;

    for (guint i = 0; i < run->n_requests; i++)
        n += run->results[i].fate == fate;
    return n;
}

static guint64 tokens_after(const KitRun *run, EepTime at)
{
    guint64 n = 0;

    for (guint i = 0; i < run->steps->len; i++) {
        const EepStepRecord *step = kit_nth(run->steps, EepStepRecord, i);

        n += step->end > at ? step->n_decodes + step->n_prefill_tokens : 0;
    }
    return n;
}

/* -- recovery_s ------------------------------------------------------------------------------- */

/* Without a backup the dead rank's experts never come back, whether survivors take over what they
 * can or not. */
START_TEST(no_recovery_without_the_experts)
{
    add_experts(EEP_BACKUP_NONE, 1000000);
    config.options.fault_tolerance.recovery =
        _i == 0 ? EEP_RECOVERY_SHRINK : EEP_RECOVERY_MASK_ONLY;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_int_eq(incident(run, 0)->recovery, EEP_TIME_NEVER);
    ck_assert_str_eq(incident(run, 0)->outcome, "degraded");
    ck_assert_uint_gt(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE / 2);
}
END_TEST

/* A later rearrangement reads them from the disk: then it is. */
START_TEST(recovered_when_the_experts_are_back)
{
    EepTime back = 0;

    add_experts(EEP_BACKUP_DISK, 200);
    config.options.eplb_config.use_async = _i == 0;
    config.options.fault_tolerance.recovery = EEP_RECOVERY_MASK_ONLY;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    for (guint i = run->rearranged->len; i-- > 0;)
        if (kit_nth(run->rearranged, KitRearranged, i)->all.n_experts_restored > 0)
            back = kit_nth(run->rearranged, KitRearranged, i)->at;
    ck_assert_int_gt(back, FOUND + 200);
    ck_assert_int_eq(incident(run, 0)->recovery, back - AT);
    ck_assert_str_eq(incident(run, 0)->outcome, "recovered");
    /* Three engines of four are left. */
    ck_assert_int_eq(incident(run, 0)->degraded, run->end - AT);
}
END_TEST

/* One that was asked for since is not below: it was wanted. */
START_TEST(a_smaller_size_that_is_wanted)
{
    config.deployment.n_events = 2;
    events[1] = (EepOperatorEvent){.id = "fewer", .at = 2500, .new_data_parallel_size = 2};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *fewer = kit_nth(run->resizes, EepResizeRecord, 1);

    ck_assert_str_eq(eep_outcome_names[fewer->outcome], "complete");
    ck_assert_int_eq(incident(run, 0)->degraded, fewer->serving - AT);
    ck_assert_str_eq(incident(run, 0)->outcome, "recovered");
}
END_TEST

/* -- experts ---------------------------------------------------------------------------------- */

static const double whole_by_four = (8.0 / 12.0) * (8.0 / 12.0) * (8.0 / 12.0) * (8.0 / 12.0);
static const double whole_by_eight = (4.0 / 12.0) * (4.0 / 12.0) * (4.0 / 12.0) * (4.0 / 12.0);

/* Each rank held four experts a layer alone: each loss has its own. Tokens that miss some of both
 * are the first one's. */
START_TEST(experts_are_laid_to_who_took_them)
{
    const EepTime second = AT + 1000;

    add_experts(EEP_BACKUP_NONE, 1000000);
    config.keeps_steps = TRUE;
    config.options.fault_tolerance.recovery = EEP_RECOVERY_MASK_ONLY;
    config.deployment.n_events = 2;
    events[1] = death("second", second, 1); /* who was rank 2 */
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    guint64 n = tokens_after(run, AT), n_second = tokens_after(run, second);

    ck_assert_double_eq_tol(incident(run, 0)->experts_missing_s * 1e9,
                            (double)(N_LAYERS * 4 * (run->end - AT)), 1e-3);
    ck_assert_double_eq_tol(incident(run, 1)->experts_missing_s * 1e9,
                            (double)(N_LAYERS * 4 * (run->end - second)), 1e-3);
    ck_assert_uint_gt(n, n_second);
    ck_assert_uint_eq(incident(run, 0)->degraded_tokens,
                      (guint64)((double)n * (1.0 - whole_by_four) + 0.5));
    ck_assert_uint_eq(incident(run, 1)->degraded_tokens,
                      (guint64)((double)n_second * (whole_by_four - whole_by_eight) + 0.5));
}
END_TEST

/* Ranks 0 and 3 held the same: the first loss takes nothing, the second takes the last replica. */
START_TEST(the_last_replica_counts)
{
    const EepTime second = AT + 1000;

    add_experts(EEP_BACKUP_NONE, 1000000);
    config.options.fault_tolerance.recovery = EEP_RECOVERY_MASK_ONLY;
    config.deployment.n_events = 2;
    events[0] = death("first", AT, 0);
    events[1] = death("second", second, 2); /* who was rank 3 */
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_double_eq(incident(run, 0)->experts_missing_s, 0.0);
    ck_assert_uint_eq(incident(run, 0)->degraded_tokens, 0);
    ck_assert_int_ge(incident(run, 0)->recovery, 50);
    ck_assert_int_lt(incident(run, 0)->recovery, 1000);
    ck_assert_double_eq_tol(incident(run, 1)->experts_missing_s * 1e9,
                            (double)(N_LAYERS * 4 * (run->end - second)), 1e-3);
    ck_assert_int_eq(incident(run, 1)->recovery, EEP_TIME_NEVER);
}
END_TEST

/* An operator's restart takes all experts away for a while, and no fault did. */
START_TEST(a_restart_that_was_asked_for_is_no_loss)
{
    add_experts(EEP_BACKUP_DISK, 1000000);
    set_generation("restart");
    config.options.fault_tolerance.recovery = EEP_RECOVERY_SHRINK;
    config.deployment.retry_attempts = 100;
    config.deployment.retry_backoff = 20;
    config.deployment.n_events = 2;
    events[0] = death("first", AT, 0); /* rank 3 has its experts */
    events[1] = (EepOperatorEvent){.id = "anew", .at = 2500, .new_data_parallel_size = 4};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *anew = kit_nth(run->resizes, EepResizeRecord, 1);

    ck_assert_str_eq(eep_outcome_names[anew->outcome], "complete");
    ck_assert_double_eq(incident(run, 0)->experts_missing_s, 0.0);
    ck_assert_int_eq(incident(run, 0)->degraded, anew->serving - AT);
    ck_assert_int_lt(incident(run, 0)->recovery, 1000);
}
END_TEST

/* -- requests --------------------------------------------------------------------------------- */

/* Their clients try again, and are served: nobody is lost. */
START_TEST(who_is_served_at_last_is_not_lost)
{
    guint n_retried = 0;

    config.deployment.retry_attempts = 5;
    config.deployment.retry_backoff = 50;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    for (guint i = 0; i < MAX_ARRIVE; i++)
        n_retried += run->results[i].attempts > 1;
    ck_assert_uint_gt(n_retried, 0);
    ck_assert_uint_eq(incident(run, 0)->n_client_retried, n_retried);
    ck_assert_uint_eq(incident(run, 0)->n_lost, 0);
    ck_assert_uint_eq(incident(run, 0)->n_retried, 0);
}
END_TEST

/* All that had KV when the watchdog ended the deployment, or a retry that is of no use did. */
START_TEST(all_kv_goes_with_the_deployment)
{
    static const EepTime watchdog[EEP_DETECT_COUNT] = {0, 0, 0, 300};
    const EepTime exit = _i == 0 ? 1000 + 300 : FOUND;
    guint64 n_tokens = 0;

    config.options.fault_tolerance.recovery = _i == 0 ? EEP_RECOVERY_NONE : EEP_RECOVERY_RETRY;
    if (_i == 0)
        memcpy(config.options.fault_tolerance.detect, watchdog, sizeof watchdog);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate != EEP_FATE_ABORTED)
            continue;
        ck_assert_int_le(result->finish, exit + 10);
        /* The last token has been produced, and its KV is the next step's. */
        n_tokens += result->generated > 0 ? requests[i].prompt_tokens + result->generated - 1 : 0;
    }
    ck_assert_uint_gt(n_tokens, 100);
    ck_assert_uint_eq(incident(run, 0)->n_lost_kv_tokens, n_tokens);
    ck_assert_str_eq(incident(run, 0)->outcome, "exited");
    ck_assert_uint_eq(incident(run, 0)->n_lost,
                      count_fates(run, EEP_FATE_ABORTED) + count_fates(run, EEP_FATE_REJECTED));
}
END_TEST

/* More than three engines can take, and short queues. Who is refused from the fault to the end of
 * what it did is laid to it: to the end of the run where the group stays small, and not after it
 * where a spare brings the size back. */
START_TEST(full_queues_are_the_faults)
{
    const gboolean has_spare = _i == 1;
    guint n_before = 0, n_during = 0, n_after = 0;

    config.options.queue_limit = 2;
    config.options.max_num_seqs = 2;
    config.options.fault_tolerance.recovery =
        has_spare ? EEP_RECOVERY_REPLACE : EEP_RECOVERY_SHRINK;
    config.options.fault_tolerance.spare_engines = has_spare;
    set_generation("eep");
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i].output_tokens = 40;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    EepTime until = AT + incident(run, 0)->degraded;

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate != EEP_FATE_REJECTED)
            continue;
        ck_assert_str_eq(eep_reason_names[result->reason], "queue_limit");
        n_before += result->finish <= AT;
        n_during += result->finish > AT && result->finish <= until;
        n_after += result->finish > until;
    }
    ck_assert_uint_gt(n_before, 0);
    ck_assert_uint_gt(n_during, 0);
    ck_assert(has_spare ? n_after > 0 : n_after == 0);
    ck_assert_uint_eq(incident(run, 0)->n_lost_rejected, n_during);
    ck_assert_uint_eq(incident(run, 0)->n_lost - n_during, count_fates(run, EEP_FATE_ABORTED));
}
END_TEST

/* A restart waits for vLLM's resize to settle; whoever comes until then is the fault's, and tried
 * again by the server if it does that. */
START_TEST(a_restart_loses_to_the_fault)
{
    const gboolean retries = _i == 1;

    set_generation("g2.1");
    config.options.fault_tolerance.recovery = EEP_RECOVERY_RESTART;
    config.options.fault_tolerance.in_flight = retries ? EEP_IN_FLIGHT_RETRY : EEP_IN_FLIGHT_ABORT;
    config.costs.phase[EEP_PHASE_RETIRE_GROUPS] = 400;
    config.deployment.n_events = 2;
    /* The new one, with which the others share no group that they leave. */
    events[0] = death("death", AT, 4);
    events[0].during_resize = "grow";
    events[0].during_phase = "retire_groups";
    events[0].after = 3;
    events[1] = (EepOperatorEvent){.id = "grow", .at = 900, .new_data_parallel_size = 5};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *restart = kit_nth(run->resizes, EepResizeRecord, 1);
    EepTime found = incident(run, 0)->at + incident(run, 0)->detection;
    guint n_late = 0, n_rejected = 0;

    ck_assert_str_eq(restart->generation, "restart");
    ck_assert_int_gt(restart->accepted, found + 100);
    for (guint i = 0; i < MAX_ARRIVE; i++)
        n_late +=
            run->results[i].arrival > found && run->results[i].arrival < restart->accepted &&
            (retries ? run->results[i].retries > 0 : run->results[i].reason == EEP_REASON_FAULT);
    ck_assert_uint_gt(n_late, 0);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN), 0);
    ck_assert(retries == (kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT) == 0));
    /* The 503s of the commit before it are the resize's own. */
    for (guint i = 0; i < MAX_ARRIVE; i++)
        n_rejected += run->results[i].fate == EEP_FATE_REJECTED &&
                      run->results[i].finish > incident(run, 0)->at;
    ck_assert_uint_eq(incident(run, 0)->n_lost, count_fates(run, EEP_FATE_ABORTED) + n_rejected);
    kit_assert_conserved(run, requests, "restart");
}
END_TEST

/* Nobody waits to leave a group with one that is known to be dead. */
START_TEST(the_dead_are_not_waited_for)
{
    set_generation("g2.1");
    config.options.fault_tolerance.recovery = EEP_RECOVERY_SHRINK;
    config.costs.phase[EEP_PHASE_RETIRE_GROUPS] = 400;
    config.deployment.n_events = 2;
    events[0] = death("death", AT, 1);
    events[0].during_resize = "grow";
    events[0].during_phase = "retire_groups";
    events[0].after = 3;
    events[1] = (EepOperatorEvent){.id = "grow", .at = 900, .new_data_parallel_size = 5};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    EepTime found = incident(run, 0)->at + incident(run, 0)->detection;

    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "complete");
    ck_assert_int_le(kit_nth(run->resizes, EepResizeRecord, 1)->accepted, found + 50);
    ck_assert_str_eq(incident(run, 0)->outcome, "recovered");
    kit_assert_conserved(run, requests, "not waited for");
}
END_TEST

/* A resize's own 503s and the requests of engines that leave are not laid to a fault from which the
 * group has recovered. */
START_TEST(a_resize_answers_for_itself)
{
    config.deployment.n_events = 2;
    events[1] = (EepOperatorEvent){.id = "fewer", .at = 2500, .new_data_parallel_size = 2};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_gt(kit_count(run, EEP_FATE_REJECTED, EEP_REASON_SCALING_503), 0);
    ck_assert_uint_gt(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN), 0);
    ck_assert_uint_eq(incident(run, 0)->n_lost, kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT));
    ck_assert_uint_eq(incident(run, 0)->n_lost_rejected, 0);
}
END_TEST

/* -- phases ----------------------------------------------------------------------------------- */

/* Each failure is an incident of its own. */
START_TEST(every_failure_opens_one)
{
    static const char *const ids[] = {"bad", "bad-2", "bad-3"};

    set_generation("eep");
    config.deployment.n_events = 4;
    events[0] = (EepOperatorEvent){
        .kind = EEP_OPERATOR_FAULT,
        .id = "bad",
        .at = 100,
        .fault = {.kind = EEP_FAULT_KIND_PHASE_FAIL, .phase = EEP_PHASE_LAUNCH, .nth = 0}};
    for (guint i = 1; i < 4; i++)
        events[i] =
            (EepOperatorEvent){.id = "grow", .at = (EepTime)i * 1200, .new_data_parallel_size = 5};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_uint_eq(run->incidents->len, 3);
    for (guint i = 0; i < 3; i++) {
        ck_assert_str_eq(incident(run, i)->id, ids[i]);
        ck_assert_str_eq(incident(run, i)->fault, "phase_fail");
        ck_assert_str_eq(incident(run, i)->detected_by, "completion");
        ck_assert_str_eq(incident(run, i)->outcome, "recovered");
        ck_assert_int_ge(incident(run, i)->at, events[i + 1].at);
        ck_assert_int_eq(incident(run, i)->detection, config.costs.phase[EEP_PHASE_LAUNCH]);
    }
    ck_assert(strstr(run->decisions->str, "event_not_reached") == NULL);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("incidents");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, no_recovery_without_the_experts, 0, 2);
    tcase_add_loop_test(tcase, recovered_when_the_experts_are_back, 0, 2);
    tcase_add_test(tcase, a_smaller_size_that_is_wanted);
    tcase_add_test(tcase, experts_are_laid_to_who_took_them);
    tcase_add_test(tcase, the_last_replica_counts);
    tcase_add_test(tcase, a_restart_that_was_asked_for_is_no_loss);
    tcase_add_test(tcase, who_is_served_at_last_is_not_lost);
    tcase_add_loop_test(tcase, all_kv_goes_with_the_deployment, 0, 2);
    tcase_add_loop_test(tcase, full_queues_are_the_faults, 0, 2);
    tcase_add_loop_test(tcase, a_restart_loses_to_the_fault, 0, 2);
    tcase_add_test(tcase, the_dead_are_not_waited_for);
    tcase_add_test(tcase, a_resize_answers_for_itself);
    tcase_add_test(tcase, every_failure_opens_one);
    return kit_main("incidents", tcase);
}
