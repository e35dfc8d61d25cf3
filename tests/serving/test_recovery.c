/* Recoveries of whole pools from lost engines: how long they take, who pays, what serves after
 * them. Steps of 10 ns; four engines, a request every 25 ns; rank 1 (worker 2) dies at 1003 and is
 * found dead 50 ns later. */
#include "tests/serving/fault_kit.h"

static void setup(void)
{
    fault_kit_setup();
    set_detection(50, 0, 0, 0);
}

static const EepPhaseKind recapture[] = {EEP_PHASE_STANDBY_GROUPS, EEP_PHASE_SWITCH,
                                         EEP_PHASE_WARM_UP, EEP_PHASE_GRAPH_CAPTURE};
static const EepPhaseKind mask[] = {EEP_PHASE_MASK, EEP_PHASE_SWITCH};
static const EepPhaseKind rebuild[] = {EEP_PHASE_STANDBY_GROUPS, EEP_PHASE_MASK};

static const struct {
    EepRecovery recovery;
    EepFaultKind kind;
    gboolean can_mask; /* and keep graphs */
    guint n_phases;
    const EepPhaseKind *phases;
    guint size;
} modes[] = {
    {EEP_RECOVERY_SHRINK, EEP_FAULT_KIND_FAIL, FALSE, G_N_ELEMENTS(recapture), recapture, 3},
    {EEP_RECOVERY_SHRINK, EEP_FAULT_KIND_FAIL, TRUE, G_N_ELEMENTS(mask), mask, 3},
    {EEP_RECOVERY_MASK_ONLY, EEP_FAULT_KIND_FAIL, TRUE, G_N_ELEMENTS(mask), mask, 3},
    {EEP_RECOVERY_RETRY, EEP_FAULT_KIND_HANG, TRUE, G_N_ELEMENTS(rebuild), rebuild, 4},
    {EEP_RECOVERY_RESTART, EEP_FAULT_KIND_FAIL, FALSE, G_N_ELEMENTS(anew), anew, 4},
};

static void set_mode(guint i)
{
    set_detection(50, modes[i].kind == EEP_FAULT_KIND_HANG ? 50 : 0, 0, 0);
    set_recovery(modes[i].recovery, EEP_IN_FLIGHT_ABORT);
    events[0].fault.kind = modes[i].kind;
    config.shape.can_mask = config.shape.can_reuse_graphs = modes[i].can_mask;
}

/* -- each mode -------------------------------------------------------------------------------- */

/* Forwards stand still from the step in which it died to the end of the recovery's phases, and the
 * dead engine's GPU is dead until it is released. */
START_TEST(recovery_takes_its_phases)
{
    EepTime length = 50 + phases(modes[_i].n_phases, modes[_i].phases), last = 0, first = 0;

    set_mode((guint)_i);
    config.keeps_steps = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_str_eq(incident->recovery_by, eep_recovery_names[modes[_i].recovery]);
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_int_eq(incident->recovery, length);
    ck_assert_int_eq(incident->degraded, modes[_i].size == 4 ? length : run->end - AT);
    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(record->generation, eep_recovery_names[modes[_i].recovery]);
    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_int_eq(record->serving, AT + length);
    ck_assert_uint_eq(last_size(run), modes[_i].size);
    for (guint i = 0; i < run->steps->len; i++) {
        const EepStepRecord *step = kit_nth(run->steps, EepStepRecord, i);

        if (step->end <= AT)
            last = step->end;
        else if (first == 0)
            first = step->begin;
        ck_assert(step->end <= AT || step->begin >= AT + length);
    }
    ck_assert_int_eq(last, 1000);
    ck_assert_int_ge(first, AT + length);
    ck_assert_int_ge(run->gpu_time[EEP_GPU_DEAD], 50);
    ck_assert_int_le(run->gpu_time[EEP_GPU_DEAD],
                     (record->complete > record->serving ? record->complete : record->serving) -
                         AT);
    kit_assert_conserved(run, requests, eep_recovery_names[modes[_i].recovery]);
}
END_TEST

/* Aborted are those of the dead engine, or everybody where all start anew; whoever came before it
 * was noticed was still sent there. */
START_TEST(requests_of_the_dead_are_aborted)
{
    gboolean all = modes[_i].size == 4;
    guint n_aborted = 0;

    set_mode((guint)_i);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate == EEP_FATE_ABORTED) {
            n_aborted++;
            ck_assert_str_eq(eep_reason_names[result->reason], "fault");
            ck_assert(all || result->worker == 2);
            ck_assert_int_eq(result->finish, FOUND);
        } else if (result->fate == EEP_FATE_COMPLETED) {
            ck_assert(result->finish > AT || result->finish <= 1000);
            ck_assert(result->finish <= 1000 || result->worker != 2 ||
                      modes[_i].recovery == EEP_RECOVERY_RETRY);
        } else {
            ck_assert_str_eq(eep_reason_names[result->reason], "scaling_503");
            ck_assert(all);
        }
    }
    ck_assert_uint_gt(n_aborted, 0);
    ck_assert_uint_eq(incident->n_lost - incident->n_lost_rejected, n_aborted);
    ck_assert_uint_eq(incident->n_lost_rejected, count_fates(run, EEP_FATE_REJECTED));
    ck_assert_uint_eq(incident->n_retried, 0);
    ck_assert_uint_gt(incident->n_lost_kv_tokens, 0);
}
END_TEST

/* The server takes them to where there are engines, from their prompts: nobody is lost, no attempt
 * is used up. */
START_TEST(requests_of_the_dead_are_retried)
{
    guint n_retried = 0;

    set_mode((guint)_i);
    set_recovery(modes[_i].recovery, EEP_IN_FLIGHT_RETRY);
    config.deployment.retry_attempts = 20; /* for those refused meanwhile */
    config.deployment.retry_backoff = 50;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        n_retried += result->retries;
        ck_assert_uint_le(result->retries, 1);
        if (result->retries == 0)
            continue;
        ck_assert_uint_eq(result->attempts, 1);
        ck_assert_int_lt(result->queued, FOUND);
        ck_assert_int_gt(result->finish, FOUND);
        ck_assert_uint_eq(result->wasted_tokens, 0);
    }
    ck_assert_uint_gt(n_retried, 0);
    ck_assert_uint_eq(incident->n_retried, n_retried);
    ck_assert_uint_eq(incident->n_lost, 0);
    ck_assert_uint_eq(run->counts.n_preemptions, 0);
    ck_assert_uint_gt(run->counts.n_recomputed_tokens, 0);
    kit_assert_conserved(run, requests, "server's retry");
}
END_TEST

/* -- replace ---------------------------------------------------------------------------------- */

/* A spare joins after the survivors have recovered. A warm one has been paid for since the start
 * and is launched; a cold one is launched now. */
START_TEST(a_spare_joins)
{
    gboolean is_warm = _i == 0;

    set_recovery(EEP_RECOVERY_REPLACE, EEP_IN_FLIGHT_RETRY);
    config.options.fault_tolerance.spare_engines = 1;
    config.options.fault_tolerance.spare_state = is_warm ? EEP_SPARE_WARM : EEP_SPARE_COLD;
    config.costs.phase[EEP_PHASE_LAUNCH] = 700;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);
    const EepResizeRecord *grow = kit_nth(run->resizes, EepResizeRecord, 1);
    EepTime preparing = grow->commit - grow->accepted;

    ck_assert_uint_eq(run->resizes->len, 2);
    ck_assert_str_eq(grow->by, "recovery");
    ck_assert_str_eq(grow->id, "death-replace");
    ck_assert_str_eq(grow->generation, "g2.1");
    ck_assert_str_eq(eep_outcome_names[grow->outcome], "complete");
    ck_assert_uint_eq(last_size(run), 4);
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_str_eq(incident->recovery_by, "replace");
    ck_assert_int_eq(incident->recovery, 50 + phases(G_N_ELEMENTS(recapture), recapture));
    ck_assert_int_eq(incident->degraded, grow->serving - AT);
    ck_assert(is_warm ? preparing < 700 : preparing > 700);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_RESERVED], is_warm ? grow->accepted : 0);
    kit_assert_conserved(run, requests, "replace");
}
END_TEST

/* Nobody else gets a spare, and without one nobody joins. */
START_TEST(spares_are_kept)
{
    set_recovery(EEP_RECOVERY_REPLACE, EEP_IN_FLIGHT_RETRY);
    config.options.fault_tolerance.spare_engines = _i;
    config.shape.max_engines = 4 + (guint)_i;
    config.deployment.n_events = 2;
    events[1] = (EepOperatorEvent){.id = "grow", .at = 500, .new_data_parallel_size = 5};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "refused");
    ck_assert_uint_eq(last_size(run), _i == 0 ? 3 : 4);
    ck_assert_str_eq(only_incident(run)->outcome, "recovered");
    ck_assert_str_eq(only_incident(run)->note, _i == 0 ? "shrunk: no spare was left" : "");
    ck_assert_int_eq(strstr(run->decisions->str, "no_spare_left") != NULL, _i == 0);
}
END_TEST

/* -- what cannot be recovered from ------------------------------------------------------------ */

START_TEST(it_gives_up)
{
    static const EepRecovery how[] = {EEP_RECOVERY_RETRY, EEP_RECOVERY_SHRINK, EEP_RECOVERY_SHRINK};
    EepTime at = FOUND;

    set_recovery(how[_i], EEP_IN_FLIGHT_RETRY);
    if (_i == 1) { /* slower than it may be */
        config.options.fault_tolerance.deadline = 100;
        at = FOUND + 100;
    } else if (_i == 2) { /* nobody is left */
        events[0].fault.target = EEP_FAULT_OF_NODE;
        events[0].fault.index = 0;
    }
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_str_eq(only_incident(run)->outcome, "exited");
    ck_assert_uint_eq(last_size(run), 0);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (requests[i].arrival >= at)
            ck_assert_str_eq(eep_reason_names[result->reason], "unavailable");
        else if (result->fate == EEP_FATE_ABORTED)
            ck_assert_int_eq(result->finish, at);
    }
    kit_assert_conserved(run, requests, "gives up");
}
END_TEST

/* Nobody is left, and nobody has to be: the GPUs of dead processes are free, and a hang is over
 * with the communicators. */
START_TEST(a_lost_node_comes_back)
{
    gboolean hangs = _i == 1;

    set_recovery(hangs ? EEP_RECOVERY_RETRY : EEP_RECOVERY_RESTART, EEP_IN_FLIGHT_RETRY);
    set_detection(50, 50, 0, 0);
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    config.shape.gpus_per_node = config.shape.max_engines = 4;
    events[0].fault.kind = hangs ? EEP_FAULT_KIND_HANG : EEP_FAULT_KIND_FAIL;
    events[0].fault.target = EEP_FAULT_OF_NODE;
    events[0].fault.index = 0;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(only_incident(run)->n_engines, 4);
    ck_assert_str_eq(only_incident(run)->outcome, "recovered");
    ck_assert_uint_eq(last_size(run), 4);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    kit_assert_conserved(run, requests, "node");
}
END_TEST

/* Long enough: forwards run again before the deadline, whatever is tidied up behind it. */
START_TEST(the_deadline_is_the_servings)
{
    set_recovery(EEP_RECOVERY_SHRINK, EEP_IN_FLIGHT_RETRY);
    config.options.fault_tolerance.deadline = phases(G_N_ELEMENTS(recapture), recapture) + 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_str_eq(only_incident(run)->outcome, "recovered");
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
}
END_TEST

/* A second engine is lost while the first loss is being recovered from, at any time. */
START_TEST(a_second_loss)
{
    set_recovery(_i & 1 ? EEP_RECOVERY_SHRINK : EEP_RECOVERY_REPLACE, EEP_IN_FLIGHT_RETRY);
    config.options.fault_tolerance.spare_engines = 2;
    config.deployment.retry_attempts = 20; /* for those refused when the spares join */
    config.deployment.retry_backoff = 50;
    config.deployment.n_events = 2;
    events[1] = events[0];
    events[1].id = "second";
    events[1].fault.index = 2;
    events[1].at = AT + 13 * _i;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->incidents->len, 2);
    for (guint i = 0; i < 2; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);

        ck_assert_msg(strcmp(incident->outcome, "recovered") == 0, "%d: %s is %s", _i, incident->id,
                      incident->outcome);
        ck_assert_int_eq(incident->detection, 50);
        ck_assert_int_lt(incident->recovery, 2000);
    }
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    ck_assert_uint_eq(last_size(run), _i & 1 ? 2 : 4);
    kit_assert_conserved(run, requests, "second loss");
}
END_TEST

/* A spare whose launch always fails: three tries, and the run has its end. */
START_TEST(a_spare_never_joins)
{
    static const char *const generations[] = {"g2.1", "eep"};
    guint n_asked = 0;

    set_generation(generations[_i]);
    set_recovery(EEP_RECOVERY_REPLACE, EEP_IN_FLIGHT_RETRY);
    set_detection(50, 0, 0, 500);
    config.options.fault_tolerance.spare_engines = 1;
    config.options.fault_tolerance.spare_state = 1;
    config.deployment.n_events = 2;
    events[1] = (EepOperatorEvent){
        .kind = EEP_OPERATOR_FAULT,
        .id = "broken",
        .at = 10,
        .fault = {.kind = EEP_FAULT_KIND_PHASE_FAIL, .phase = EEP_PHASE_LAUNCH, .nth = 0}};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *death = kit_nth(run->incidents, EepIncident, 0);

    for (guint i = 0; i < run->resizes->len; i++)
        n_asked += g_str_has_suffix(kit_nth(run->resizes, EepResizeRecord, i)->id, "-replace");
    ck_assert_str_eq(death->id, "death");
    ck_assert_uint_eq(n_asked, 3);
    ck_assert_str_eq(death->note, "shrunk: no spare joined in three tries");
    ck_assert_str_eq(death->outcome, "recovered");
    ck_assert_int_eq(death->degraded, run->end - death->at);
    ck_assert_uint_eq(last_size(run), 3);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
    kit_assert_conserved(run, requests, "never joins");
}
END_TEST

/* A new engine dies beside others, who fail in their phase before it is found dead: the resize
 * is stuck by then, and it is this loss that is recovered from. */
START_TEST(others_fail_first)
{
    static const char *const generations[] = {"g2.1", "restart"};

    set_generation(generations[_i]);
    set_recovery(EEP_RECOVERY_SHRINK, EEP_IN_FLIGHT_RETRY);
    config.costs.announces_deaths = TRUE;
    config.shape.max_engines = 8;
    config.deployment.n_events = 3;
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    events[0].during_resize = "it";
    events[0].during_phase = "kv_sync";
    events[0].after = 3;
    events[0].fault.index = 4;
    events[1] = (EepOperatorEvent){.id = "it", .at = 1500, .new_data_parallel_size = 5};
    events[2] = (EepOperatorEvent){.id = "later", .at = 3600, .new_data_parallel_size = 3};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    ck_assert_uint_eq(run->resizes->len, 3);
    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "failed");
    ck_assert_str_eq(kit_nth(run->resizes, EepResizeRecord, 1)->generation,
                     _i == 0 ? "shrink" : "restart");
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_int_lt(incident->recovery, EEP_TIME_NEVER);
    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 2)->outcome],
                     "complete");
    ck_assert_uint_eq(last_size(run), 3);
    kit_assert_conserved(run, requests, generations[_i]);
}
END_TEST

/* -- experts ----------------------------------------------------------------------------------
 */

/* With no replica of them the experts of rank 1 are nowhere from its death on: in each of the
 * two layers three, until that layer's map switches. */
START_TEST(missing_experts_are_counted)
{
    static const EepPhaseKind before[] = {EEP_PHASE_STANDBY_GROUPS};
    EepTime first;

    add_experts(4);
    /* Ranks hold 0-3, 4-7, 8-11, 0-3: the four of rank 1 are alone. */
    set_recovery(EEP_RECOVERY_SHRINK, EEP_IN_FLIGHT_RETRY);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    first = 50 + phases(1, before) + config.costs.move;
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_double_eq_tol(incident->experts_missing_s * 1e9,
                            (double)(4 * first + 4 * (first + config.costs.move)), 1e-3);
    ck_assert_uint_eq(incident->degraded_tokens, 0);
    ck_assert_int_eq(incident->recovery, 50 + phases(G_N_ELEMENTS(recapture), recapture) +
                                             N_LAYERS * config.costs.move);
    ck_assert_uint_eq(count_fates(run, EEP_FATE_COMPLETED), MAX_ARRIVE);
}
END_TEST

/* mask_only goes on without them: with two choices a layer among twelve alike, four of them
 * missing, a token is whole with probability ((8/12)^2)^2. */
START_TEST(degraded_tokens_are_counted)
{
    guint64 n_tokens = 0;
    double share = 1.0 - (8.0 / 12.0) * (8.0 / 12.0) * (8.0 / 12.0) * (8.0 / 12.0);

    add_experts(4);
    config.keeps_steps = TRUE;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    set_recovery(EEP_RECOVERY_MASK_ONLY, EEP_IN_FLIGHT_RETRY);
    config.options.eplb_config.step_interval = 1000000;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = only_incident(run);

    for (guint i = 0; i < run->steps->len; i++) {
        const EepStepRecord *step = kit_nth(run->steps, EepStepRecord, i);

        n_tokens += step->end > AT ? step->n_decodes + step->n_prefill_tokens : 0;
    }
    ck_assert_uint_gt(n_tokens, 1000);
    ck_assert_str_eq(incident->outcome, "degraded");
    ck_assert_uint_eq(incident->degraded_tokens, (guint64)((double)n_tokens * share + 0.5));
    ck_assert_double_eq_tol(incident->experts_missing_s * 1e9,
                            (double)(N_LAYERS * 4 * (run->end - AT)), 1e-3);
    ck_assert_int_eq(incident->degraded, run->end - AT);
}
END_TEST

/* -- any rank at any moment of any resize -----------------------------------------------------
 */

/* Names of the moments at which a fault may strike: spans and phases of the undisturbed resize.
 */
static GPtrArray *moments(guint to)
{
    static const char *const spans[] = {"prepare", "commit", "settle"};
    GPtrArray *names = g_ptr_array_new();

    config.deployment.n_events = 2;
    events[0].during_resize = "grow";
    events[0].during_phase = "never";
    events[1] = (EepOperatorEvent){.id = "grow", .at = 1500, .new_data_parallel_size = to};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    for (guint i = 0; i < G_N_ELEMENTS(spans); i++)
        g_ptr_array_add(names, (gpointer)spans[i]);
    for (guint i = 0; i < record->n_phases; i++)
        g_ptr_array_add(names, (gpointer)record->phases[i].name);
    return names;
}

/* The run ends served: with the server's retry nobody is lost to the fault, and clients that
 * try again get through. */
static void assert_served(const char *context)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KitRun) run = kit_run(&config, requests, MAX_ARRIVE, &error);

    ck_assert_msg(run != NULL, "%s: %s", context, error != NULL ? error->message : "");
    for (guint i = 0; i < run->incidents->len; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);

        ck_assert_msg(strcmp(incident->outcome, "recovered") == 0, "%s: %s", context,
                      incident->outcome);
        ck_assert_uint_eq(incident->n_lost, 0);
    }
    for (guint i = 0; i < MAX_ARRIVE; i++)
        ck_assert_msg(run->results[i].fate == EEP_FATE_COMPLETED, "%s: request %u is %s, %s",
                      context, i, eep_fate_names[run->results[i].fate],
                      eep_reason_names[run->results[i].reason]);
    kit_assert_conserved(run, requests, context);
}

static void strike(const EepGeneration *generation, guint to, const EepRecovery mode)
{
    g_autoptr(GPtrArray) names = NULL;

    set_generation(generation->name);
    set_recovery(mode, EEP_IN_FLIGHT_RETRY);
    names = moments(to);
    for (guint i = 0; i < names->len; i++)
        for (guint rank = 0; rank < MAX(4, to); rank++)
            for (EepTime after = 0; after < 60; after += 53) {
                g_autofree char *context =
                    g_strdup_printf("%s 4->%u, %s, rank %u fails %d ns into %s", generation->name,
                                    to, eep_recovery_names[mode], rank, (int)after,
                                    (const char *)g_ptr_array_index(names, i));

                events[0].during_phase = g_ptr_array_index(names, i);
                events[0].after = after;
                events[0].fault.index = rank;
                assert_served(context);
            }
}

START_TEST(any_rank_at_any_moment)
{
    static const EepRecovery recoveries[] = {EEP_RECOVERY_SHRINK, EEP_RECOVERY_REPLACE,
                                             EEP_RECOVERY_RESTART};
    guint n;
    const EepGeneration *all = eep_generation_all(&n);

    if ((guint)_i >= n)
        return;
    add_experts(6);
    config.shape.max_engines = 12;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    config.options.fault_tolerance.spare_engines = 2;
    config.deployment.retry_attempts = 1000;
    config.deployment.retry_backoff = 50;
    for (guint i = 0; i < G_N_ELEMENTS(recoveries); i++) {
        strike(&all[_i], 6, recoveries[i]);
        strike(&all[_i], 3, recoveries[i]);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("recovery");

    tcase_add_checked_fixture(tcase, setup, fault_kit_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, recovery_takes_its_phases, 0, G_N_ELEMENTS(modes));
    tcase_add_loop_test(tcase, requests_of_the_dead_are_aborted, 0, G_N_ELEMENTS(modes));
    tcase_add_loop_test(tcase, requests_of_the_dead_are_retried, 0, G_N_ELEMENTS(modes));
    tcase_add_loop_test(tcase, a_spare_joins, 0, 2);
    tcase_add_loop_test(tcase, spares_are_kept, 0, 2);
    tcase_add_loop_test(tcase, it_gives_up, 0, 3);
    tcase_add_loop_test(tcase, a_lost_node_comes_back, 0, 2);
    tcase_add_test(tcase, the_deadline_is_the_servings);
    tcase_add_loop_test(tcase, a_second_loss, 0, 60);
    tcase_add_loop_test(tcase, a_spare_never_joins, 0, 2);
    tcase_add_loop_test(tcase, others_fail_first, 0, 2);
    tcase_add_test(tcase, missing_experts_are_counted);
    tcase_add_test(tcase, degraded_tokens_are_counted);
    tcase_add_loop_test(tcase, any_rank_at_any_moment, 0, 10);
    return kit_main("recovery", tcase);
}
