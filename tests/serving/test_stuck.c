/* Resizes that get stuck between two sizes over a phase that breaks: what they leave behind, who
 * ends it and when. And resizes that wait for somebody who died unseen. */
#include "tests/serving/fault_kit.h"

#define WATCHDOG 700

static const EepGeneration *generation_of(guint i)
{
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    return &all[MIN(i, n - 1)];
}

/* Whether a resize from 4 engines has the phase. */
static gboolean has_phase(const EepGeneration *generation, guint to, guint kind)
{
    const EepGenerationPlan *plan = to > 4 ? &generation->up : &generation->down;

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].act == EEP_ACT_PHASE && plan->rows[i].kind == kind)
            return TRUE;
    return FALSE;
}

/* From 4 to `to` engines, in which the first phase of the kind breaks. */
static void break_phase(const EepGeneration *generation, guint to, EepPhaseKind phase,
                        EepFaultKind kind)
{
    set_generation(generation->name);
    set_detection(0, 0, 0, WATCHDOG);
    config.shape.max_engines = 8;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    config.options.resize.leaving_drain = 100;
    config.options.resize.prepare_deadline = config.options.resize.commit_deadline = 5000;
    config.deployment.n_events = 2;
    events[0].id = "break";
    events[0].at = 10;
    events[0].fault = (EepFault){.kind = kind, .phase = phase, .nth = 1};
    events[1] = (EepOperatorEvent){.id = "it", .at = 1500, .new_data_parallel_size = to};
}

static const EepResizeRecord *find_resize(const KitRun *run, const char *id)
{
    for (guint i = 0; i < run->resizes->len; i++)
        if (strcmp(kit_nth(run->resizes, EepResizeRecord, i)->id, id) == 0)
            return kit_nth(run->resizes, EepResizeRecord, i);
    ck_abort_msg("no resize %s", id);
    return NULL;
}

/* -- recovery none ---------------------------------------------------------------------------- */

/* A commit that fails leaves 503 behind in vLLM's generations but g1, and forwards that stand still
 * in all of them: until the watchdog, which ends everything. The account goes on up to there. */
START_TEST(a_failed_commit_is_accounted_to_its_end)
{
    static const char *const names[] = {"m1", "g1", "g2", "g2.1", "g3", "masked"};
    const EepGeneration *generation = eep_generation_find(names[_i]);
    const EepResizeRecord *record;
    const EepIncident *incident;
    EepTime exit;

    break_phase(generation, 5, _i < 5 ? EEP_PHASE_SWITCH : EEP_PHASE_COMM_SPLIT,
                EEP_FAULT_KIND_PHASE_FAIL);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    record = find_resize(run, "it");
    incident = only_incident(run);
    exit = kit_nth(run->sizes, KitSize, run->sizes->len - 1)->at;

    ck_assert_str_eq(eep_outcome_names[record->outcome], "failed");
    ck_assert_str_eq(record->reason, "a phase of the resize failed");
    ck_assert_int_eq(record->left_stall, WATCHDOG);
    ck_assert_int_eq(record->left_reject, generation->clears_503 ? 0 : WATCHDOG);
    ck_assert_int_eq(record->counted_until, exit);
    ck_assert_int_ge(record->downtime, WATCHDOG);
    ck_assert_int_ge(record->reject, record->left_reject);
    ck_assert_str_eq(incident->outcome, "exited");
    ck_assert_str_eq(incident->detected_by, "completion");
    ck_assert_int_eq(incident->degraded, run->end - incident->at);
    ck_assert_int_eq(exit, incident->at + incident->detection + WATCHDOG);
    ck_assert_uint_eq(last_size(run), 0);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_REJECTED, EEP_REASON_SCALING_503),
                      record->n_rejected);
    if (!generation->clears_503)
        ck_assert_uint_gt(record->n_rejected, 0);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT),
                      incident->n_lost - incident->n_lost_rejected);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_UNFINISHED), 0);
    kit_assert_conserved(run, requests, names[_i]);
}
END_TEST

/* While it prepares the group serves on, and nothing of it is held up but by what the generation
 * refuses from the start. */
START_TEST(a_failed_preparation_is_served_through)
{
    static const char *const names[] = {"g1", "g2", "g2.1", "g3"};
    const EepResizeRecord *record;

    break_phase(eep_generation_find(names[_i]), 5, EEP_PHASE_LAUNCH, EEP_FAULT_KIND_PHASE_FAIL);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    record = find_resize(run, "it");

    ck_assert_str_eq(eep_outcome_names[record->outcome], "failed");
    ck_assert_int_eq(record->left_stall + record->left_reject, 0);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE - record->n_rejected);
    ck_assert_uint_eq(last_size(run), 4);
    ck_assert_str_eq(only_incident(run)->outcome, "unrecovered");
    ck_assert_int_eq(only_incident(run)->degraded, run->end - only_incident(run)->at);
    kit_assert_conserved(run, requests, names[_i]);
}
END_TEST

/* Whatever breaks, however: each request has an end that is one, and the run has its own. */
START_TEST(nothing_is_left_unfinished)
{
    const EepGeneration *generation = generation_of((guint)_i);

    add_experts(6);
    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++)
        for (guint to = 3; to <= 5; to += 2)
            for (guint hangs = 0; hangs < 2 && has_phase(generation, to, kind); hangs++) {
                g_autofree char *context =
                    g_strdup_printf("%s 4->%u, %s %s", generation->name, to, eep_phase_names[kind],
                                    hangs ? "hangs" : "fails");

                break_phase(generation, to, (EepPhaseKind)kind,
                            hangs ? EEP_FAULT_KIND_PHASE_HANG : EEP_FAULT_KIND_PHASE_FAIL);
                g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

                ck_assert_msg(count_fates(run, EEP_FATE_UNFINISHED) == 0, "%s: unfinished",
                              context);
                /* Who drains looks once a second. */
                ck_assert_msg(run->end < (generation->drains_all ? EEP_NS_PER_S : 0) + 12000,
                              "%s: ends at %d", context, (int)run->end);
                kit_assert_conserved(run, requests, context);
            }
}
END_TEST

/* -- other recoveries ------------------------------------------------------------------------- */

/* The configured recovery ends it, at whichever size the group got stuck: everybody is served who
 * tries again. */
static void assert_recovers(const EepGeneration *generation, guint to, EepPhaseKind phase,
                            EepFaultKind kind, EepRecovery recovery)
{
    g_autofree char *context =
        g_strdup_printf("%s 4->%u, %s %s, %s", generation->name, to, eep_phase_names[phase],
                        eep_fault_names[kind], eep_recovery_names[recovery]);
    g_autoptr(GError) error = NULL;

    break_phase(generation, to, phase, kind);
    set_recovery(recovery, EEP_IN_FLIGHT_RETRY);
    g_autoptr(KitRun) run = kit_run(&config, requests, MAX_ARRIVE, &error);
    ck_assert_msg(run != NULL, "%s: %s", context, error != NULL ? error->message : "");
    for (guint i = 0; i < run->incidents->len; i++)
        ck_assert_msg(strcmp(kit_nth(run->incidents, EepIncident, i)->outcome, "recovered") == 0,
                      "%s: %s", context, kit_nth(run->incidents, EepIncident, i)->outcome);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        ck_assert_msg(result->fate == EEP_FATE_COMPLETED ||
                          (result->fate == EEP_FATE_ABORTED &&
                           result->reason == EEP_REASON_SCALE_DOWN && to < 4),
                      "%s: request %u is %s, %s", context, i, eep_fate_names[result->fate],
                      eep_reason_names[result->reason]);
    }
    kit_assert_conserved(run, requests, context);
}

START_TEST(the_recovery_takes_over)
{
    const EepGeneration *generation = generation_of((guint)_i);

    add_experts(6);
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++)
        for (EepRecovery how = EEP_RECOVERY_RESTART; how < EEP_RECOVERY_COUNT; how++) {
            /* Whom a restart has ended already would be missing. */
            if (how == EEP_RECOVERY_MASK_ONLY && generation->replaces_all)
                continue;
            for (guint to = 3; to <= 6; to += 3) {
                if (!has_phase(generation, to, kind))
                    continue;
                assert_recovers(generation, to, (EepPhaseKind)kind, EEP_FAULT_KIND_PHASE_FAIL, how);
                assert_recovers(generation, to, (EepPhaseKind)kind, EEP_FAULT_KIND_PHASE_HANG, how);
            }
        }
}
END_TEST

/* The stuck resize's account ends where the recovery's begins, and the incident is over when the
 * group serves again. */
START_TEST(the_recovery_takes_the_account_over)
{
    const EepResizeRecord *record, *recovery;
    const EepIncident *incident;

    break_phase(eep_generation_find("g2"), 5, EEP_PHASE_SWITCH, EEP_FAULT_KIND_PHASE_FAIL);
    set_recovery(EEP_RECOVERY_SHRINK, EEP_IN_FLIGHT_RETRY);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    record = find_resize(run, "it");
    recovery = find_resize(run, "break");
    incident = only_incident(run);

    ck_assert_int_eq(record->counted_until, recovery->accepted);
    ck_assert_str_eq(recovery->generation, "shrink");
    ck_assert_str_eq(eep_outcome_names[recovery->outcome], "complete");
    ck_assert_uint_eq(recovery->to, 5);
    ck_assert_int_gt(recovery->reject, 0);
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_str_eq(incident->recovery_by, "shrink");
    ck_assert_int_eq(incident->degraded, recovery->serving - incident->at);
    ck_assert_uint_eq(last_size(run), 5);
}
END_TEST

/* -- dying unseen ----------------------------------------------------------------------------- */

/* With nobody looking but the watchdog, an engine that dies at any moment of any resize, beside
 * others or alone, is missed in the end. */
static void assert_missed(const char *context)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KitRun) run = kit_run(&config, requests, MAX_ARRIVE, &error);

    ck_assert_msg(run != NULL, "%s: %s", context, error != NULL ? error->message : "");
    ck_assert_msg(count_fates(run, EEP_FATE_UNFINISHED) == 0, "%s: unfinished", context);
    for (guint i = 0; i < run->incidents->len; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);

        /* In a pool at rest nobody waits for anybody. */
        if (find_resize(run, "it")->complete <= incident->at)
            continue;
        ck_assert_msg(incident->detection != EEP_TIME_NEVER, "%s: %s", context, incident->outcome);
        ck_assert_msg(incident->detection < 4000, "%s: after %d", context,
                      (int)incident->detection);
    }
    kit_assert_conserved(run, requests, context);
}

START_TEST(whoever_dies_is_missed)
{
    static const guint sizes[] = {3, 5, 6};
    const EepGeneration *generation = generation_of((guint)_i);

    add_experts(6);
    break_phase(generation, 5, EEP_PHASE_LAUNCH, EEP_FAULT_KIND_FAIL);
    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++)
        for (guint k = 0; k < G_N_ELEMENTS(sizes); k++)
            for (guint rank = 0; rank < MAX(4, sizes[k]) && has_phase(generation, sizes[k], kind);
                 rank++)
                for (EepTime after = 1; after < 200; after += 97) {
                    g_autofree char *context =
                        g_strdup_printf("%s 4->%u, %u dies %d into %s", generation->name, sizes[k],
                                        rank, (int)after, eep_phase_names[kind]);

                    events[0] = (EepOperatorEvent){.kind = EEP_OPERATOR_FAULT,
                                                   .id = "death",
                                                   .during_resize = "it",
                                                   .during_phase = eep_phase_names[kind],
                                                   .after = after,
                                                   .fault = {.kind = EEP_FAULT_KIND_FAIL,
                                                             .target = EEP_FAULT_OF_ENGINE,
                                                             .index = rank,
                                                             .duration = EEP_TIME_NEVER}};
                    events[1].new_data_parallel_size = sizes[k];
                    assert_missed(context);
                }
}
END_TEST

/* -- cancelling what waits -------------------------------------------------------------------- */

START_TEST(what_waits_is_cancelled)
{
    set_generation("g2.1");
    config.shape.max_engines = 8;
    config.deployment.n_events = 4;
    events[0] = (EepOperatorEvent){.id = "first", .at = 500, .new_data_parallel_size = 5};
    events[1] = (EepOperatorEvent){.id = "second", .at = 510, .new_data_parallel_size = 3};
    events[2] = (EepOperatorEvent){.id = "third", .at = 520, .new_data_parallel_size = 6};
    events[3] = (EepOperatorEvent){
        .kind = EEP_OPERATOR_CANCEL, .id = "stop", .at = 530, .cancels = "second"};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = find_resize(run, "second");

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_str_eq(eep_outcome_names[record->outcome], "cancelled");
    ck_assert_str_eq(record->reason, "cancelled before it began");
    ck_assert_int_eq(record->requested, 510);
    ck_assert_int_eq(record->accepted, EEP_TIME_NEVER);
    ck_assert_str_eq(eep_outcome_names[find_resize(run, "first")->outcome], "complete");
    ck_assert_str_eq(eep_outcome_names[find_resize(run, "third")->outcome], "complete");
    ck_assert_int_eq(find_resize(run, "third")->requested, 520);
    ck_assert_uint_eq(last_size(run), 6);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("stuck");

    tcase_add_checked_fixture(tcase, fault_kit_setup, fault_kit_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_failed_commit_is_accounted_to_its_end, 0, 6);
    tcase_add_loop_test(tcase, a_failed_preparation_is_served_through, 0, 4);
    tcase_add_loop_test(tcase, nothing_is_left_unfinished, 0, 8);
    tcase_add_loop_test(tcase, the_recovery_takes_over, 0, 8);
    tcase_add_test(tcase, the_recovery_takes_the_account_over);
    tcase_add_loop_test(tcase, whoever_dies_is_missed, 0, 8);
    tcase_add_test(tcase, what_waits_is_cancelled);
    return kit_main("stuck", tcase);
}
