/* FaultKit: the pool in which the tests of faults, recoveries and stuck resizes break things.
 *
 * Four engines, steps of 10 ns, a request every 25 ns; rank 1 (worker 2) dies at AT. Each test file
 * has its own copy; a test changes what it is about before it runs it. For Check's fixtures. */
#ifndef EEP_TESTS_FAULT_KIT_H
#define EEP_TESTS_FAULT_KIT_H

#include <check.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define MAX_ARRIVE 200
#define MAX_EVENTS 5
#define AT         1003      /* inside the step [1000, 1010) */
#define FOUND      (AT + 50) /* where that is how long a death is not noticed */
#define N_LAYERS   2
#define N_EXPERTS  12

static KitConfig config;
static EepOperatorEvent events[MAX_EVENTS];
static EepArrival requests[MAX_ARRIVE];

static void fault_kit_setup(void)
{
    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_elastic_ep = TRUE;
    config.shape.n_blocks = 500;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100 + i;
    config.deployment.n_events = 1;
    config.deployment.events = events;
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
    events[0] = (EepOperatorEvent){.kind = EEP_OPERATOR_FAULT,
                                   .id = "death",
                                   .at = AT,
                                   .fault = {.kind = EEP_FAULT_KIND_FAIL,
                                             .target = EEP_FAULT_OF_RANK,
                                             .index = 1,
                                             .duration = EEP_TIME_NEVER}};
    for (guint i = 1; i < MAX_EVENTS; i++)
        events[i] = (EepOperatorEvent){.id = ""};
}

static void fault_kit_teardown(void)
{
    kit_config_clear(&config);
}

static void set_detection(EepTime process_exit, EepTime heartbeat, EepTime all2all,
                          EepTime watchdog)
{
    const EepTime detect[EEP_DETECT_COUNT] = {process_exit, heartbeat, all2all, watchdog};

    memcpy(config.options.fault_tolerance.detect, detect, sizeof detect);
}

G_GNUC_UNUSED static void set_recovery(EepRecovery recovery, EepInFlight in_flight)
{
    config.options.fault_tolerance.recovery = (gint)recovery;
    config.options.fault_tolerance.in_flight = (gint)in_flight;
}

G_GNUC_UNUSED static void set_generation(const char *name)
{
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup(name);
}

/* How long these phases take, one after another. */
G_GNUC_UNUSED static EepTime phases(guint n, const EepPhaseKind *kinds)
{
    EepTime sum = 0;

    for (guint i = 0; i < n; i++)
        sum += config.costs.phase[kinds[i]];
    return sum;
}

/* Of a restart. */
G_GNUC_UNUSED static const EepPhaseKind anew[] = {
    EEP_PHASE_DESTROY, EEP_PHASE_LAUNCH,  EEP_PHASE_STANDBY_GROUPS, EEP_PHASE_WEIGHTS_FROM_DISK,
    EEP_PHASE_KV_SYNC, EEP_PHASE_WARM_UP, EEP_PHASE_GRAPH_CAPTURE};

/* Twelve experts in two layers, `slots` of them on each of the four ranks. */
G_GNUC_UNUSED static void add_experts(guint slots)
{
    static double load[N_LAYERS * N_EXPERTS];

    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = 2.0 / N_EXPERTS;
    config.options.enable_eplb = TRUE;
    config.options.fault_tolerance.expert_backup = EEP_BACKUP_DISK;
    config.options.eplb_config.num_redundant_experts = 4 * slots - N_EXPERTS;
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 100;
    config.costs.n_cells = G_N_ELEMENTS(load);
    config.costs.load = load;
    config.costs.move = 30;
}

G_GNUC_UNUSED static const EepIncident *only_incident(const KitRun *run)
{
    ck_assert_uint_eq(run->incidents->len, 1);
    return kit_nth(run->incidents, EepIncident, 0);
}

G_GNUC_UNUSED static guint count_fates(const KitRun *run, EepFate fate)
{
    guint n = 0;

    for (guint i = 0; i < run->n_requests; i++)
        n += run->results[i].fate == fate;
    return n;
}

G_GNUC_UNUSED static guint last_size(const KitRun *run)
{
    return kit_nth(run->sizes, KitSize, run->sizes->len - 1)->n_engines;
}

#endif
