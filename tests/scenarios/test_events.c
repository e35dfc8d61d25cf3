/* Events that load: what they become, the order they come in, whom they need, and the round trip.
 */
#include "tests/scenarios/scenario_kit.h"

#include "core/resize/generation.h"
#include "scenarios/backend_traits.h"
#include "scenarios/scenario_check.h"
#include "sim/all2all.h"

static const char *const every_kind[] = {
    "deployment.resize.generation=eep",
    "events[1]={id: death, during: {resize: grow, phase: commit, after: 200ms}, fail: {rank: 15}}",
    "events[2]={at: 1min, hang: {engine: 3}}",
    "events[3]={at: 1min, hang: {engine: 4}}",
    "events[4]={at: 3min, slow: {node: 1, factor: 2.5, duration: 1min}}",
    "events[5]={at: 3min, link: {node: 0, bandwidth_factor: 0.25, duration: 10s}}",
    "events[6]={at: 90s, phase_fail: {phase: graph_capture, nth: 0}}",
    "events[7]={at: 91s, phase_hang: {phase: weights_tree}}",
    "events[8]={during: {resize: grow, phase: prepare, after: 1s}, cancel: {resize: grow}}",
    "events[9]={id: back, during: {resize: grow, phase: settle}, scale_elastic_ep: "
    "{new_data_parallel_size: 8}}",
    NULL};

static const EepEventOptions *find(const EepScenario *scenario, EepScenarioEventKind kind,
                                   guint nth)
{
    for (guint i = 0; i < scenario->n_events; i++)
        if (scenario->events[i].kind == kind && nth-- == 0)
            return &scenario->events[i];
    ck_abort_msg("no such event");
    return NULL;
}

START_TEST(each_kind_becomes_its_fault)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, every_kind);
    EepFault fault = eep_event_fault(find(scenario, EEP_EVENT_FAIL, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_FAIL);
    ck_assert_int_eq(fault.target, EEP_FAULT_OF_RANK);
    ck_assert_uint_eq(fault.index, 15);
    ck_assert(fault.duration == EEP_TIME_NEVER);
    fault = eep_event_fault(find(scenario, EEP_EVENT_HANG, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_HANG);
    ck_assert_int_eq(fault.target, EEP_FAULT_OF_ENGINE);
    ck_assert_uint_eq(fault.index, 3);
    ck_assert(fault.duration == EEP_TIME_NEVER);
    fault = eep_event_fault(find(scenario, EEP_EVENT_HANG, 1));
    ck_assert_uint_eq(fault.index, 4);
    fault = eep_event_fault(find(scenario, EEP_EVENT_SLOW, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_SLOW);
    ck_assert_int_eq(fault.target, EEP_FAULT_OF_NODE);
    ck_assert_uint_eq(fault.index, 1);
    ck_assert(fault.factor == 2.5);
    ck_assert_int_eq(fault.duration, 60 * EEP_NS_PER_S);
    fault = eep_event_fault(find(scenario, EEP_EVENT_LINK, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_LINK);
    ck_assert_int_eq(fault.target, EEP_FAULT_OF_NODE);
    ck_assert_uint_eq(fault.index, 0);
    ck_assert(fault.factor == 0.25);
    ck_assert_int_eq(fault.duration, 10 * EEP_NS_PER_S);
    fault = eep_event_fault(find(scenario, EEP_EVENT_PHASE_FAIL, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_PHASE_FAIL);
    ck_assert_uint_eq(fault.phase, EEP_PHASE_GRAPH_CAPTURE);
    ck_assert_uint_eq(fault.nth, 0);
    fault = eep_event_fault(find(scenario, EEP_EVENT_PHASE_HANG, 0));
    ck_assert_int_eq(fault.kind, EEP_FAULT_KIND_PHASE_HANG);
    ck_assert_uint_eq(fault.phase, EEP_PHASE_WEIGHTS_TREE);
    ck_assert_uint_eq(fault.nth, 1);
    ck_assert_str_eq(find(scenario, EEP_EVENT_CANCEL, 0)->cancel.resize, "grow");
}
END_TEST

START_TEST(they_come_by_the_earliest_time)
{
    static const EepScenarioEventKind order[] = {EEP_EVENT_HANG,
                                                 EEP_EVENT_HANG,
                                                 EEP_EVENT_PHASE_FAIL,
                                                 EEP_EVENT_PHASE_HANG,
                                                 EEP_EVENT_SCALE_ELASTIC_EP,
                                                 EEP_EVENT_SCALE_ELASTIC_EP,
                                                 EEP_EVENT_FAIL,
                                                 EEP_EVENT_CANCEL,
                                                 EEP_EVENT_SLOW,
                                                 EEP_EVENT_LINK};
    g_autoptr(EepScenario) scenario = kit_load(kit_text, every_kind);
    ck_assert_uint_eq(scenario->n_events, G_N_ELEMENTS(order));
    for (guint i = 0; i < scenario->n_events; i++)
        ck_assert_int_eq(scenario->events[i].kind, order[i]);
    ck_assert_int_eq(find(scenario, EEP_EVENT_FAIL, 0)->earliest,
                     120 * EEP_NS_PER_S + 200 * EEP_NS_PER_MS);
    ck_assert_str_eq(find(scenario, EEP_EVENT_FAIL, 0)->pool, "main");
}
END_TEST

START_TEST(the_round_trip_is_exact)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, every_kind);
    g_autofree char *written = eep_scenario_write(scenario);
    g_autoptr(EepScenario) again = kit_load(written, NULL);
    g_autofree char *twice = eep_scenario_write(again);
    ck_assert_str_eq(written, twice);
    ck_assert_uint_eq(again->n_events, scenario->n_events);
    for (guint i = EEP_EVENT_FAIL; i < EEP_EVENT_KIND_COUNT; i++) {
        EepFault one = eep_event_fault(find(scenario, (EepScenarioEventKind)i, 0));
        EepFault other = eep_event_fault(find(again, (EepScenarioEventKind)i, 0));
        ck_assert_int_eq(one.kind, other.kind);
        ck_assert_int_eq(one.target, other.target);
        ck_assert_uint_eq(one.index, other.index);
        ck_assert(one.factor == other.factor && one.duration == other.duration);
        ck_assert(one.phase == other.phase && one.nth == other.nth);
    }
    ck_assert_ptr_null(strstr(written, "node: 0\n      rank"));
}
END_TEST

/* The rules of scenarios and the simulator's table say the same. */
START_TEST(traits_are_the_simulators)
{
    for (gint i = 0; i < EEP_ALL2ALL_COUNT; i++) {
        const EepAll2all *backend = eep_all2all(i);
        const EepBackendTraits *traits = eep_backend_traits(i);
        ck_assert_str_eq(eep_backend_name(i), backend->name);
        ck_assert_int_eq(traits->is_elastic, backend->is_elastic);
        ck_assert_int_eq(traits->can_mask, backend->can_mask);
        ck_assert_int_eq(traits->keeps_graphs, backend->keeps_graphs);
        ck_assert_int_eq(traits->has_micro_batches, backend->has_micro_batches);
        ck_assert_uint_eq(traits->max_ranks, backend->max_ranks);
    }
    g_autofree char *masking = eep_backend_names_with(offsetof(EepBackendTraits, can_mask));
    ck_assert_str_eq(masking, "deepep_low_latency or nixl_ep");
}
END_TEST

/* Every generation that is listed is taken, and supersede by those that roll back alone. */
START_TEST(every_generation_is_taken)
{
    guint n;
    const EepGeneration *all = eep_generation_all(&n);
    ck_assert_uint_ge(n, 8);
    for (guint i = 0; i < n; i++) {
        g_autofree char *set = g_strconcat("deployment.resize.generation=", all[i].name, NULL);
        const char *const sets[] = {set, NULL};
        const char *const busy[] = {set, "deployment.resize.on_busy=supersede", NULL};
        g_autoptr(EepScenario) scenario = kit_load(kit_text, sets);
        ck_assert_str_eq(scenario->pools[0].options.resize.generation, all[i].name);
        if (all[i].rolls_back) {
            g_autoptr(EepScenario) superseding = kit_load(kit_text, busy);
            ck_assert_int_eq(superseding->pools[0].options.resize.on_busy, 1);
        } else {
            g_autofree char *message = kit_message(kit_text, busy);
            ck_assert_ptr_nonnull(strstr(message, "has no way back"));
        }
    }
}
END_TEST

/* A restart with refit takes sizes that the slots of the first one do not reach, while memory
 * lasts. */
START_TEST(refit_changes_the_slots)
{
    static const char *const small[] = {
        "deployment.resize={generation: restart, restart: {refit: true}}",
        "events[0].scale_elastic_ep.new_data_parallel_size=7", NULL};
    static const char *const tiny[] = {
        "deployment.resize={generation: restart, restart: {refit: true}}",
        "events[0].scale_elastic_ep.new_data_parallel_size=4", NULL};
    g_autoptr(EepScenario) scenario = kit_load(kit_text, small);
    EepMemoryFit fit;
    ck_assert(eep_scenario_fit(scenario, &scenario->pools[0], 7, &fit, NULL));
    ck_assert_int_eq(fit.slots_per_rank, 37); /* ceil(256 / 7) */
    ck_assert(eep_scenario_fit(scenario, &scenario->pools[0], 16, &fit, NULL));
    ck_assert_int_eq(fit.slots_per_rank, 16);
    g_autofree char *message = kit_message(kit_text, tiny);
    ck_assert_ptr_nonnull(strstr(message, "the model does not fit a GPU of h200-sxm"));
}
END_TEST

START_TEST(spares_and_reserve_take_gpus)
{
    static const char *const spare[] = {
        "hardware=h200-sxm", "deployment.fault_tolerance={recovery: replace, spares: {engines: 2}}",
        NULL};
    static const char *const reserve[] = {
        "hardware=h200-sxm", "deployment.resize={generation: masked, reserve: 30}", NULL};
    g_autoptr(EepScenario) spared = kit_load(kit_text, spare);
    ck_assert_int_eq(eep_scenario_gpus(&spared->pools[0], 16), 18);
    ck_assert_int_eq(spared->nodes, 3);
    g_autoptr(EepScenario) reserved = kit_load(kit_text, reserve);
    ck_assert_int_eq(eep_scenario_gpus(&reserved->pools[0], 16), 30);
    ck_assert_int_eq(reserved->nodes, 4);
}
END_TEST

START_TEST(defaults_of_recovery)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, NULL);
    const EepPoolOptions *options = &scenario->pools[0].options;
    ck_assert_int_eq(options->fault_tolerance.recovery, EEP_RECOVERY_NONE);
    ck_assert_int_eq(options->fault_tolerance.detect[EEP_DETECT_PROCESS_EXIT], 500 * EEP_NS_PER_MS);
    ck_assert_int_eq(options->fault_tolerance.detect[EEP_DETECT_HEARTBEAT], 0);
    ck_assert_int_eq(options->fault_tolerance.detect[EEP_DETECT_ALL2ALL_TIMEOUT],
                     30 * EEP_NS_PER_S);
    ck_assert_int_eq(options->fault_tolerance.detect[EEP_DETECT_WATCHDOG], 600 * EEP_NS_PER_S);
    ck_assert_int_eq(options->fault_tolerance.spare_engines, 0);
    ck_assert_int_eq(options->fault_tolerance.mtbf, 0);
    ck_assert(options->resize.background == 1.0);
    ck_assert_int_eq(options->resize.commit_deadline, 60 * EEP_NS_PER_S);
    ck_assert_int_eq(options->resize.leaving_drain, 10 * EEP_NS_PER_S);
    ck_assert(!options->resize.refit && !scenario->run.twin);
    ck_assert_uint_eq(scenario->notes->len, 0);
    /* The words of the tables are the names of the enums. */
    const EepOption *recovery = eep_options_find(&eep_pool_options, "fault_tolerance.recovery");
    g_auto(GStrv) words = g_strsplit(recovery->words, "|", -1);
    ck_assert_uint_eq(g_strv_length(words), EEP_RECOVERY_COUNT);
    for (guint i = 0; i < EEP_RECOVERY_COUNT; i++)
        ck_assert_str_eq(words[i], eep_recovery_names[i]);
    for (guint i = 0; i < EEP_DETECT_COUNT; i++) {
        g_autofree char *key = g_strconcat("fault_tolerance.detect.", eep_detection_names[i], NULL);
        const EepOption *option = eep_options_find(&eep_pool_options, key);
        ck_assert_ptr_nonnull(option);
        ck_assert_uint_eq(option->offset, G_STRUCT_OFFSET(EepPoolOptions, fault_tolerance.detect) +
                                              i * sizeof(EepTime));
    }
    for (guint i = 0; i < EEP_FAULT_KIND_COUNT; i++)
        ck_assert_str_eq(eep_fault_names[i], eep_event_kinds[EEP_EVENT_FAIL + i].key);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("events");
    tcase_add_test(tcase, each_kind_becomes_its_fault);
    tcase_add_test(tcase, they_come_by_the_earliest_time);
    tcase_add_test(tcase, the_round_trip_is_exact);
    tcase_add_test(tcase, traits_are_the_simulators);
    tcase_add_test(tcase, every_generation_is_taken);
    tcase_add_test(tcase, refit_changes_the_slots);
    tcase_add_test(tcase, spares_and_reserve_take_gpus);
    tcase_add_test(tcase, defaults_of_recovery);
    return kit_run(tcase);
}
