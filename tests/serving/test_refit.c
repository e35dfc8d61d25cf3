/* Restarts that choose the fewest slots, and what is decided by those afterwards. Steps of 10 ns;
 * four engines of 12 experts in 2 layers, 4 slots a rank of 200 bytes; a KV block has a byte and
 * four tokens, so that an engine with S slots has 1300 - 200 S blocks. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define N_LAYERS   2
#define N_EXPERTS  12
#define SLOT_BYTES 200
#define MAX_ARRIVE 400
#define MAX_EVENTS 3

static KitConfig config;
static double load[N_LAYERS * N_EXPERTS];
static EepOperatorEvent events[MAX_EVENTS];
static EepArrival requests[MAX_ARRIVE];

static guint64 blocks_beside(guint slots)
{
    return 1300 - SLOT_BYTES * slots;
}

/* Engines that serve have the slots and the blocks of their size. */
static void watch(gpointer self, EepPool *pool, EepTime now)
{
    const guint slots = eep_eplb_placement(pool->eplb)->slots_per_rank;

    if (pool->n_holds > 0 || pool->has_exited)
        return;
    ck_assert_uint_eq(slots, pool->n_engines == 4 ? 4 : (N_EXPERTS - 1) / pool->n_engines + 1);
    for (guint i = 0; i < pool->n_engines; i++)
        ck_assert_uint_eq(pool->engines[i]->kv.n_blocks, blocks_beside(slots));
}

static void setup(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = 1 + i % 5;
    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_eplb = TRUE;
    config.options.eplb_config.num_redundant_experts = 4;
    config.options.resize.refit = TRUE;
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup("restart");
    config.shape.n_blocks = blocks_beside(4);
    config.shape.memory = (EepMemoryFit){.hbm_bytes = 2000,
                                         .usable_bytes = 1300,
                                         .slots_per_rank = 4,
                                         .n_moe_layers = N_LAYERS,
                                         .expert_bytes = SLOT_BYTES / N_LAYERS,
                                         .block_bytes = 1,
                                         .num_gpu_blocks = (gint64)blocks_beside(4)};
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = SLOT_BYTES / N_LAYERS;
    config.costs.n_cells = G_N_ELEMENTS(load);
    config.costs.load = load;
    config.costs.move = 30;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100 + i;
    config.deployment.n_events = 1;
    config.deployment.events = events;
    config.watch = watch;
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
    events[0] = (EepOperatorEvent){.at = 1003, .id = "first"};
    events[1] = (EepOperatorEvent){.at = 5003, .id = "second"};
    events[2] = (EepOperatorEvent){.id = ""};
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void assert_resize(const KitRun *run, guint nth, guint from, guint to, guint slots)
{
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, nth);

    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_uint_eq(record->from, from);
    ck_assert_uint_eq(record->to, to);
    ck_assert_int_eq(record->expert_bytes, (gint64)to * slots * SLOT_BYTES);
}

/* Fewer engines have more experts each and less room: what fits no longer is rejected. */
START_TEST(shrinking_takes_room_from_kv)
{
    /* 125 blocks: they fit 500, not 100. */
    requests[0].prompt_tokens = requests[MAX_ARRIVE - 1].prompt_tokens = 480;
    events[0].new_data_parallel_size = 2;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    assert_resize(run, 0, 4, 2, 6);
    ck_assert_int_eq(run->results[0].fate, EEP_FATE_COMPLETED);
    ck_assert_int_eq(run->results[MAX_ARRIVE - 1].fate, EEP_FATE_REJECTED);
    ck_assert_int_eq(run->results[MAX_ARRIVE - 1].reason, EEP_REASON_NEVER_FITS);
    ck_assert_int_eq(run->results[MAX_ARRIVE - 2].fate, EEP_FATE_COMPLETED);
    kit_assert_conserved(run, requests, "refit down");
}
END_TEST

/* More engines have fewer experts each and more room. */
START_TEST(growing_leaves_room_for_kv)
{
    requests[0].prompt_tokens = requests[MAX_ARRIVE - 1].prompt_tokens = 3000; /* 755 blocks */
    events[0].new_data_parallel_size = 6;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    assert_resize(run, 0, 4, 6, 2);
    ck_assert_int_eq(run->results[0].reason, EEP_REASON_NEVER_FITS);
    ck_assert_int_eq(run->results[MAX_ARRIVE - 1].fate, EEP_FATE_COMPLETED);
    kit_assert_conserved(run, requests, "refit up");
}
END_TEST

/* Every size has its own slots, whichever came before. */
START_TEST(one_after_the_other)
{
    events[0].new_data_parallel_size = 6;
    events[1].new_data_parallel_size = 3;
    config.deployment.n_events = 2;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(run->resizes->len, 2);
    assert_resize(run, 0, 4, 6, 2);
    assert_resize(run, 1, 6, 3, 4);
    kit_assert_conserved(run, requests, "refit up and down");
}
END_TEST

/* All experts on one rank leave no room for a block. */
START_TEST(memory_bounds_the_sizes)
{
    events[0].new_data_parallel_size = 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_str_eq(eep_outcome_names[record->outcome], "refused");
    ck_assert_str_eq(
        record->reason,
        "cannot scale to 1 data parallel engines: 12 experts need 12 slots a rank, and "
        "memory holds 6 beside a KV block");
    ck_assert_uint_eq(run->sizes->len, 1);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), MAX_ARRIVE);
}
END_TEST

/* Six engines with two slots each hold every expert once: five cannot. With the four of the launch
 * they can. */

START_TEST(recoveries_go_by_the_present_slots)
{
    const gboolean refits = _i == 0;

    config.options.resize.refit = refits;
    config.options.fault_tolerance.recovery = EEP_RECOVERY_SHRINK;
    config.options.fault_tolerance.detect[EEP_DETECT_PROCESS_EXIT] = 50;
    config.watch = refits ? watch : NULL;
    events[0].new_data_parallel_size = 6;
    events[1] = (EepOperatorEvent){.kind = EEP_OPERATOR_FAULT,
                                   .id = "death",
                                   .at = 5003,
                                   .fault = {.kind = EEP_FAULT_KIND_FAIL,
                                             .target = EEP_FAULT_OF_RANK,
                                             .index = 1,
                                             .duration = EEP_TIME_NEVER}};
    config.deployment.n_events = 2;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepIncident *incident = kit_nth(run->incidents, EepIncident, 0);
    const EepResizeRecord *last = kit_nth(run->resizes, EepResizeRecord, 1);

    assert_resize(run, 0, 4, 6, refits ? 2 : 4);
    ck_assert_uint_eq(run->resizes->len, 2);
    ck_assert_str_eq(last->generation, "shrink");
    ck_assert_str_eq(eep_outcome_names[last->outcome], refits ? "refused" : "complete");
    ck_assert(!refits || strstr(last->reason, "minimum is 6") != NULL);
    ck_assert_str_eq(incident->outcome, refits ? "exited" : "recovered");
    kit_assert_conserved(run, requests, "a loss after a refit");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("refit");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, shrinking_takes_room_from_kv);
    tcase_add_test(tcase, growing_leaves_room_for_kv);
    tcase_add_test(tcase, one_after_the_other);
    tcase_add_test(tcase, memory_bounds_the_sizes);
    tcase_add_loop_test(tcase, recoveries_go_by_the_present_slots, 0, 2);
    return kit_main("refit", tcase);
}
