/* EPLB through a pool: when it is due, what it costs the steps, what is moved when. Two engines, 8
 * experts, 3 MoE layers; the first four experts carry nearly all load and lie on the first rank, so
 * every layer has something to move. Steps of 10 ns. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define N_LAYERS  3
#define N_EXPERTS 8

static KitConfig config;
static double load[N_LAYERS * N_EXPERTS];

/* When layers' maps changed, by the placement itself. */
static struct {
    EepTime at[64];
    guint layer[64], n;
    guint32 version[N_LAYERS];
    gboolean was_stepping; /* a step was in flight when the last map changed */
} changes;

static void watch(gpointer self, EepPool *pool, EepTime now)
{
    const EepPlacement *placement = eep_eplb_placement(pool->eplb);

    for (guint layer = 0; layer < N_LAYERS; layer++) {
        if (placement->version[layer] == changes.version[layer])
            continue;
        changes.version[layer] = placement->version[layer];
        changes.was_stepping = pool->n_in_flight > 0;
        ck_assert_uint_lt(changes.n, G_N_ELEMENTS(changes.at));
        changes.at[changes.n] = now;
        changes.layer[changes.n++] = layer;
    }
}

static void setup(void)
{
    memset(&changes, 0, sizeof changes);
    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = i % N_EXPERTS < 4 ? 100 + i % N_EXPERTS : 1;
    kit_config_init(&config);
    config.options.data_parallel_size = 2;
    config.options.enable_eplb = TRUE;
    config.options.router.policy = EEP_ROUTER_ROUND_ROBIN;
    config.shape.n_blocks = 10000;
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 1000;
    config.costs.move = 1;
    config.costs.n_cells = N_LAYERS * N_EXPERTS;
    config.costs.load = load;
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void assert_rearranged(const KitRun *run, guint i, EepTime at, guint64 n_steps)
{
    ck_assert_uint_lt(i, run->rearranged->len);
    ck_assert_int_eq(kit_nth(run->rearranged, KitRearranged, i)->at, at);
    ck_assert_uint_eq(kit_nth(run->rearranged, KitRearranged, i)->n_steps, n_steps);
}

static void watch_initial(gpointer self, EepPool *pool, EepTime now)
{
    if (changes.n == 0 && changes.version[0] == 0)
        memcpy(changes.version, eep_eplb_placement(pool->eplb)->version, sizeof changes.version);
    watch(self, pool, now);
}

/* The defaults: an interval of 3000 steps, three quarters of which have passed at the start
 * (eplb_state.py). The first moves something; the others find nothing to do. */
START_TEST(first_after_750_steps_then_every_3000)
{
    EepArrival request = {.prompt_tokens = 4, .output_tokens = 7000};
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);

    ck_assert_uint_eq(run->rearranged->len, 3);
    /* Moves take a nanosecond: a layer switches with each of the next three ends of steps. */
    assert_rearranged(run, 0, 7530, 753);
    ck_assert_uint_gt(kit_nth(run->rearranged, KitRearranged, 0)->n_experts_moved, 0);
    assert_rearranged(run, 1, 37500, 3750);
    ck_assert_uint_eq(kit_nth(run->rearranged, KitRearranged, 1)->n_experts_moved, 0);
    assert_rearranged(run, 2, 67500, 6750);
    ck_assert_uint_eq(run->counts.n_reshuffles, 3);
}
END_TEST

/* A wave of 32 steps, 12 of them dummies, for each request: the 750th step is the 14th of the 24th
 * wave. Those of the wave's beginnings lie 1000 ns apart. */
START_TEST(dummy_steps_count)
{
    EepArrival requests[30];

    for (guint i = 0; i < G_N_ELEMENTS(requests); i++)
        requests[i] = (EepArrival){.arrival = i * 1000, .prompt_tokens = 4, .output_tokens = 20};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, G_N_ELEMENTS(requests));

    ck_assert_uint_eq(run->n_steps, 30 * 32);
    ck_assert_uint_eq(run->n_dummies, 30 * 12);
    ck_assert_uint_eq(run->rearranged->len, 1);
    assert_rearranged(run, 0, 23 * 1000 + (14 + 3) * 10, 753);
}
END_TEST

/* Due with the tenth step, at 100. Asynchronously steps go on; a layer's map switches at the first
 * end of a step at or after the end of its move, never two in one step. Async or sync scheduling
 * makes no difference. */
START_TEST(asynchronously_one_layer_a_step_at_most)
{
    static const struct {
        EepTime move, switches[N_LAYERS];
    } rows[] = {{1, {110, 120, 130}},
                {3, {110, 120, 130}},
                {9, {110, 120, 130}},
                {11, {120, 140, 160}},
                {25, {130, 160, 190}}};
    EepArrival request = {.prompt_tokens = 4, .output_tokens = 60};

    config.options.eplb_config.step_interval = 40;
    config.options.async_scheduling = (guint)_i % 2;
    config.costs.move = rows[_i / 2].move;
    config.watch = watch_initial;
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);

    for (guint layer = 0; layer < N_LAYERS; layer++) {
        ck_assert_uint_eq(changes.layer[layer], layer);
        ck_assert_int_eq(changes.at[layer], rows[_i / 2].switches[layer]);
    }
    ck_assert_int_eq(kit_nth(run->rearranged, KitRearranged, 0)->at, rows[_i / 2].switches[2]);
    ck_assert_int_eq(run->results[0].finish, 600);
    ck_assert_int_eq(run->results[0].max_gap, 10);
}
END_TEST

/* Synchronously nothing runs while the three layers move, one after the other, 25 ns each. With
 * async scheduling one more step is in flight already when the load is read. */
START_TEST(synchronously_serving_stands_still)
{
    EepArrival request = {.prompt_tokens = 4, .output_tokens = 30};
    EepTime begin = _i ? 110 : 100;

    config.options.eplb_config.step_interval = 40;
    config.options.eplb_config.use_async = FALSE;
    config.options.async_scheduling = _i;
    config.costs.move = 25;
    config.watch = watch_initial;
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);

    ck_assert_uint_eq(changes.n, N_LAYERS);
    for (guint layer = 0; layer < N_LAYERS; layer++)
        ck_assert_int_eq(changes.at[layer], begin + 25 * (layer + 1));
    ck_assert_int_eq(run->results[0].finish, 300 + 75);
    ck_assert_int_eq(run->results[0].max_gap, 10 + 75);
    assert_rearranged(run, 0, begin + 75, (guint64)begin / 10);
    kit_assert_conserved(run, &request, "sync");
}
END_TEST

/* Without EPLB nothing is ever due. */
START_TEST(disabled_means_never)
{
    EepArrival request = {.prompt_tokens = 4, .output_tokens = 4000};

    config.options.enable_eplb = FALSE;
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);
    ck_assert_uint_eq(run->rearranged->len, 0);
}
END_TEST

/* A load that cannot be read leaves everything as it is; the next is tried an interval later. */
START_TEST(a_failed_read_is_tried_again)
{
    EepArrival request = {.prompt_tokens = 4, .output_tokens = 100};

    config.options.eplb_config.step_interval = 40;
    config.costs.n_cells = 0;
    config.watch = watch_initial;
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);
    ck_assert_uint_eq(run->rearranged->len, 0);
    ck_assert_uint_eq(changes.n, 0);
    ck_assert_int_eq(run->results[0].finish, 1000);
}
END_TEST

/* A resize is asked for at 105 and its preparation costs nothing, so that its commit begins with
 * the engines' next boundary: at 110, the end of the step in flight, or at once where none is. By
 * then the rearrangement that was due at 100 has switched no layer, since a move takes 200; what
 * switches later is the resize's own. */
START_TEST(a_resize_drains_a_rearrangement)
{
    static const EepOperatorEvent up = {.at = 105, .new_data_parallel_size = 4, .id = "up"};
    EepArrival requests[] = {{.prompt_tokens = 4, .output_tokens = 60},
                             {.prompt_tokens = 4, .output_tokens = 60}};

    config.options.eplb_config.step_interval = 40;
    config.options.enable_elastic_ep = TRUE;
    config.options.eplb_config.use_async = _i;
    config.costs.move = 200;
    config.deployment.n_events = 1;
    config.deployment.events = &up;
    config.watch = watch_initial;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    ck_assert_uint_eq(run->resizes->len, 1);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);
    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_int_eq(record->commit, _i ? 110 : 105);
    for (guint i = 0; i < changes.n; i++)
        ck_assert_msg(changes.at[i] >= record->commit && changes.at[i] != 300,
                      "layer %u switched at %" G_GINT64_FORMAT, changes.layer[i], changes.at[i]);
    ck_assert_uint_ge(run->rearranged->len, 1);
    ck_assert_int_ge(kit_nth(run->rearranged, KitRearranged, 0)->at, record->commit + 3 * 200);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), 2);
    kit_assert_conserved(run, requests, "drained");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("rearranging");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, first_after_750_steps_then_every_3000);
    tcase_add_test(tcase, dummy_steps_count);
    tcase_add_loop_test(tcase, asynchronously_one_layer_a_step_at_most, 0, 10);
    tcase_add_loop_test(tcase, synchronously_serving_stands_still, 0, 2);
    tcase_add_test(tcase, disabled_means_never);
    tcase_add_test(tcase, a_failed_read_is_tried_again);
    tcase_add_loop_test(tcase, a_resize_drains_a_rearrangement, 0, 2);
    return kit_main("rearranging", tcase);
}
