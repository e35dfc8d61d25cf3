/* What the machine of a resize does itself breaks: reshuffle, preload, spread, drain, migrate,
 * pause. Steps of 10 ns; four engines, a request every 25 ns; no experts, so that their acts are
 * empty. */
#include <check.h>
#include <string.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define N_REQUESTS       200
#define LEAVING_DRAIN    300
#define PREPARE_DEADLINE 1500
#define COMMIT_DEADLINE  400

static KitConfig config;
static EepOperatorEvent events[2];
static EepArrival requests[N_REQUESTS];

static void setup(void)
{
    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_elastic_ep = TRUE;
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup("eep");
    config.options.resize.leaving_drain = LEAVING_DRAIN;
    config.options.resize.prepare_deadline = PREPARE_DEADLINE;
    config.options.resize.commit_deadline = COMMIT_DEADLINE;
    config.shape.n_blocks = 500;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 20 + i;
    config.deployment.n_events = G_N_ELEMENTS(events);
    config.deployment.events = events;
    for (guint i = 0; i < N_REQUESTS; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void arrange(EepBreakable act, gboolean hangs, guint to)
{
    events[0] = (EepOperatorEvent){
        .kind = EEP_OPERATOR_FAULT,
        .id = "break",
        .at = 10,
        .fault = {.kind = hangs ? EEP_FAULT_KIND_PHASE_HANG : EEP_FAULT_KIND_PHASE_FAIL,
                  .phase = act,
                  .nth = 1}};
    events[1] = (EepOperatorEvent){.id = "resize", .at = 1003, .new_data_parallel_size = to};
}

/* How the resize ends, who noticed and how long after the act began, at least. What is past the
 * point of no return is given up; what comes before it takes the resize back. */
static const struct {
    EepBreakable act;
    gboolean hangs;
    guint to;
    const char *outcome, *detected_by;
    EepTime detection;
} cases[] = {
    {EEP_BREAKABLE_PRELOAD, FALSE, 6, "rolled_back", "completion", 0},
    {EEP_BREAKABLE_RESHUFFLE, FALSE, 6, "complete", "completion", 0},
    {EEP_BREAKABLE_RESHUFFLE, FALSE, 3, "rolled_back", "completion", 0},
    {EEP_BREAKABLE_SPREAD, FALSE, 6, "complete", "completion", 0},
    {EEP_BREAKABLE_DRAIN, FALSE, 3, "complete", "completion", 0},
    {EEP_BREAKABLE_MIGRATE, FALSE, 3, "rolled_back", "completion", 0},
    {EEP_BREAKABLE_PAUSE, FALSE, 6, "rolled_back", "completion", 0},
    {EEP_BREAKABLE_PAUSE, FALSE, 3, "rolled_back", "completion", 0},
    {EEP_BREAKABLE_PRELOAD, TRUE, 6, "rolled_back", "deadline", 1},
    {EEP_BREAKABLE_RESHUFFLE, TRUE, 3, "rolled_back", "deadline", 1},
    {EEP_BREAKABLE_RESHUFFLE, TRUE, 6, "complete", "deadline", PREPARE_DEADLINE},
    {EEP_BREAKABLE_SPREAD, TRUE, 6, "complete", "deadline", PREPARE_DEADLINE},
    {EEP_BREAKABLE_DRAIN, TRUE, 3, "complete", "deadline", 1},
    {EEP_BREAKABLE_MIGRATE, TRUE, 3, "rolled_back", "deadline", 1},
    {EEP_BREAKABLE_PAUSE, TRUE, 6, "rolled_back", "deadline", 1},
    {EEP_BREAKABLE_PAUSE, TRUE, 3, "rolled_back", "deadline", 1},
};

START_TEST(an_act_breaks)
{
    arrange(cases[_i].act, cases[_i].hangs, cases[_i].to);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);
    const EepResizeRecord *resize = kit_nth(run->resizes, EepResizeRecord, 0);
    const EepIncident *incident = kit_nth(run->incidents, EepIncident, 0);

    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_uint_eq(run->incidents->len, 1);
    ck_assert_str_eq(eep_outcome_names[resize->outcome], cases[_i].outcome);
    ck_assert_str_eq(incident->detected_by, cases[_i].detected_by);
    ck_assert_str_eq(incident->outcome, "recovered");
    ck_assert_int_ge(incident->detection, cases[_i].detection);
    ck_assert(cases[_i].hangs || incident->detection == 0);
    /* Nothing of it is lost: whoever came is served. */
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), N_REQUESTS);
    kit_assert_conserved(run, requests, eep_breakable_name(cases[_i].act));
}
END_TEST

static EepTime start_of(const EepResizeRecord *record, const char *name)
{
    for (guint i = 0; i < record->n_phases; i++)
        if (strcmp(record->phases[i].name, name) == 0)
            return record->phases[i].start;
    ck_abort_msg("no phase %s", name);
    return 0;
}

/* A drain that nobody sees end takes all its time; one that fails takes none. */
START_TEST(a_drain_takes_its_time)
{
    gboolean hangs = _i == 1;

    arrange(EEP_BREAKABLE_DRAIN, hangs, 3);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);
    const EepResizeRecord *resize = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_int_eq(start_of(resize, "migrate") - start_of(resize, "drain"),
                     hangs ? LEAVING_DRAIN : 0);
}
END_TEST

/* Steps go on while a pause is not agreed on, up to the deadline. */
START_TEST(a_pause_hangs_until_its_deadline)
{
    arrange(EEP_BREAKABLE_PAUSE, TRUE, 6);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);
    const EepResizeRecord *resize = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_int_eq(resize->given_up - resize->commit, COMMIT_DEADLINE);
}
END_TEST

/* What is given up in the preparation took until then. */
START_TEST(a_preparation_that_is_undone_has_a_length)
{
    arrange(EEP_BREAKABLE_PRELOAD, TRUE, 6);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);
    const EepResizeRecord *resize = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_int_eq(resize->commit, EEP_TIME_NEVER);
    ck_assert_int_eq(eep_resize_record_prepare(resize), PREPARE_DEADLINE);
}
END_TEST

/* Every one of them, each an incident of its own. */
START_TEST(every_act_breaks)
{
    arrange(EEP_BREAKABLE_PRELOAD, FALSE, 6);
    events[0].fault.nth = 0;
    EepOperatorEvent three[] = {
        events[0], events[1], {.id = "again", .at = 3003, .new_data_parallel_size = 5}};
    config.deployment.n_events = 3;
    config.deployment.events = three;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);

    ck_assert_uint_eq(run->incidents->len, 2);
    for (guint i = 0; i < 2; i++)
        ck_assert_int_eq(kit_nth(run->resizes, EepResizeRecord, i)->outcome,
                         EEP_OUTCOME_ROLLED_BACK);
}
END_TEST

/* Where nothing has a deadline the watchdog of the collective sees it, and the deployment ends:
 * whether forwards wait for the reshuffle (to 3) or it runs beside them (to 6). */
START_TEST(a_reshuffle_hangs_for_good)
{
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup("g2.1");
    config.options.fault_tolerance.detect[EEP_DETECT_WATCHDOG] = 250;
    arrange(EEP_BREAKABLE_RESHUFFLE, TRUE, _i == 0 ? 3 : 6);
    g_autoptr(KitRun) run = kit_must_run(&config, requests, N_REQUESTS);
    const EepIncident *incident = kit_nth(run->incidents, EepIncident, 0);

    ck_assert_str_eq(incident->detected_by, "watchdog");
    ck_assert_int_eq(incident->detection, 250);
    ck_assert_str_eq(incident->outcome, "exited");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("acts");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, an_act_breaks, 0, G_N_ELEMENTS(cases));
    tcase_add_loop_test(tcase, a_drain_takes_its_time, 0, 2);
    tcase_add_test(tcase, a_pause_hangs_until_its_deadline);
    tcase_add_test(tcase, a_preparation_that_is_undone_has_a_length);
    tcase_add_test(tcase, every_act_breaks);
    tcase_add_loop_test(tcase, a_reshuffle_hangs_for_good, 0, 2);
    return kit_main("acts", tcase);
}
