/* What the resize machine asks of its pool, asked in the middle of a run: experts off ranks in the
 * middle, into ranks that are to join, off ranks that died; engines that leave by least loss; the
 * reserve. Steps of 10 ns; four engines (workers 1 to 4) of 12 experts in 2 layers, 4 slots a rank:
 * ranks 0 and 3 begin with experts 0..3, rank 1 with 4..7, rank 2 with 8..11. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "core/loop/backend_fault.h"
#include "tests/serving/serving_kit.h"

#define N_LAYERS   2
#define N_EXPERTS  12
#define S          4
#define MAX_ARRIVE 200
#define MANY       400

static KitConfig config;
static double load[N_LAYERS * N_EXPERTS];
static EepArrival requests[MANY];

/* How far the test's own sequence has come, and what it saw. */
static struct {
    guint stage;
    EepTime begun, ended;
    guint64 steps_begun, steps_ended, generation;
    guint64 from, to;
    EepPlacement *before;
    guint layer;
    EepReshuffleMode mode;
} seen;

static const EepResizeHost *const host = &eep_pool_resize_host;

static void setup(void)
{
    memset(&seen, 0, sizeof seen);
    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = 1 + i % 5 + (i % N_EXPERTS == 6 ? 30 : 0);
    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_eplb = TRUE;
    config.options.enable_elastic_ep = TRUE;
    config.options.eplb_config.num_redundant_experts = 4;
    config.options.eplb_config.window_size = 10;
    config.options.eplb_config.step_interval = 20;
    config.options.eplb_config.use_async = TRUE;
    config.shape.n_blocks = 500;
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 100;
    config.costs.n_cells = G_N_ELEMENTS(load);
    config.costs.load = load;
    config.costs.move = 35;
    /* One request every 25 ns, of 20 tokens each: always work, everywhere. */
    for (guint i = 0; i < MANY; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
}

static void teardown(void)
{
    g_clear_pointer(&seen.before, eep_placement_free);
    kit_config_clear(&config);
}

static void set_generation(const char *name)
{
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup(name);
}

static EepGroup *group_of(EepEpoch epoch, guint n, const EepWorkerId *workers)
{
    EepGroup *group = g_malloc0(eep_group_size(n));

    eep_group_init(group, n, 1);
    eep_group_set(group, epoch, n, workers);
    return group;
}

static const EepPlacement *placement_of(const EepPool *pool)
{
    return eep_eplb_placement(pool->eplb);
}

static guint n_filled(const EepPlacement *placement, guint rank)
{
    guint n = 0;

    for (guint layer = 0; layer < N_LAYERS; layer++)
        for (guint i = 0; i < S; i++)
            n += eep_placement_layer(placement, layer)[rank * S + i] != EEP_PLACEMENT_EMPTY;
    return n;
}

static void assert_serves(const EepPool *pool)
{
    g_autoptr(GError) error = NULL;

    ck_assert_msg(eep_placement_check(placement_of(pool), &error), "%s",
                  error != NULL ? error->message : "");
}

static gboolean is_done(const EepPool *pool)
{
    return pool->reshuffle.state == EEP_RESHUFFLE_NONE;
}

static void begin(EepPool *pool, EepTime now)
{
    seen.stage++;
    seen.begun = now;
    seen.steps_begun = pool->counts.n_steps;
    seen.generation = placement_of(pool)->generation;
    eep_eplb_window(pool->eplb, &seen.from, &seen.to);
}

/* -- shrinking from the middle -- */

static const EepWorkerId without_2[] = {1, 3, 4};

static void adopt_without_2(EepPool *pool, EepTime now)
{
    g_autofree EepGroup *target = group_of(2, 3, without_2);
    guint64 from, to;

    ck_assert_uint_eq(n_filled(placement_of(pool), 1), 0);
    eep_eplb_window(pool->eplb, &seen.from, &seen.to);
    seen.before = eep_placement_copy(placement_of(pool));
    host->abort_requests(pool, 2, "scale_down");
    host->adopt_group(pool, target, EEP_PLACEMENT_SHRINK);
    host->release_engine(pool, 2);
    seen.ended = now;
    eep_eplb_window(pool->eplb, &from, &to);
    ck_assert_uint_eq(from, seen.from);
    ck_assert_uint_eq(to, seen.to);
    ck_assert_uint_eq(pool->n_engines, 3);
    for (guint rank = 0; rank < 3; rank++) {
        const EepEngine *engine = pool->engines[rank];

        ck_assert_uint_eq(engine->worker, without_2[rank]);
        ck_assert_uint_eq(engine->index, rank);
        ck_assert(engine->is_routable);
        for (const EepRequest *r = engine->running.head; r != NULL; r = r->next)
            ck_assert_uint_eq(r->engine, rank);
        for (guint layer = 0; layer < N_LAYERS; layer++)
            ck_assert_int_eq(
                memcmp(eep_placement_layer(placement_of(pool), layer) + rank * S,
                       eep_placement_layer(seen.before, layer) + (without_2[rank] - 1) * S,
                       S * sizeof(gint32)),
                0);
    }
}

static void watch_shrinking(gpointer self, EepPool *pool, EepTime now)
{
    assert_serves(pool);
    if (seen.stage == 0 && now >= 1000 && is_done(pool)) {
        g_autofree EepGroup *target = group_of(2, 3, without_2);

        begin(pool, now);
        host->set_routable(pool, 2, FALSE);
        ck_assert(!host->reshuffle(pool, target, EEP_RESHUFFLE_ASYNC));
    } else if (seen.stage == 1 && is_done(pool)) {
        seen.stage++;
        seen.ended = now;
        seen.steps_ended = pool->counts.n_steps;
    } else if (seen.stage == 2 && now >= seen.ended + 700 && pool->n_in_flight == 0) {
        seen.stage++;
        adopt_without_2(pool, now);
    }
    /* What is off the leaving rank stays off, however many looks would be due. */
    if (seen.stage == 2)
        ck_assert_uint_eq(n_filled(placement_of(pool), 1), 0);
}

START_TEST(shrinking_from_the_middle)
{
    guint n_after = 0;

    config.watch = watch_shrinking;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(seen.stage, 3);
    /* Two layers, each a move and the rest of a step. */
    ck_assert_uint_ge(seen.steps_ended - seen.steps_begun, 2 * 4);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->worker == 2)
            ck_assert_int_lt(requests[i].arrival, seen.begun + 25);
        n_after += result->worker > 2 && result->queued > seen.ended;
    }
    ck_assert_uint_gt(n_after, 10);
    ck_assert_uint_gt(run->rearranged->len, 0);
    kit_assert_conserved(run, requests, "shrinking from the middle");
}
END_TEST

/* -- experts before the ranks join -- */

static const EepWorkerId with_two_more[] = {1, 2, 3, 4, 5, 6};

static void adopt_two_more(EepPool *pool, EepTime now, guint n_in_new_slots)
{
    g_autofree EepGroup *target = group_of(2, 6, with_two_more);

    seen.before = eep_placement_copy(placement_of(pool));
    host->adopt_group(pool, target, EEP_PLACEMENT_WIDEN);
    seen.ended = now;
    ck_assert_uint_eq(placement_of(pool)->n_ranks, 6);
    for (guint layer = 0; layer < N_LAYERS; layer++)
        ck_assert_int_eq(memcmp(eep_placement_layer(placement_of(pool), layer),
                                eep_placement_layer(seen.before, layer), 4 * S * sizeof(gint32)),
                         0);
    ck_assert_uint_eq(n_filled(placement_of(pool), 4), n_in_new_slots);
    ck_assert_uint_eq(n_filled(placement_of(pool), 5), n_in_new_slots);
    ck_assert_uint_eq(pool->joining->len, 0);
}

static void launch_two(EepPool *pool)
{
    for (guint rank = 4; rank < 6; rank++)
        ck_assert_uint_eq(host->launch_engine(pool, rank), rank + 1);
}

static void watch_preloading(gpointer self, EepPool *pool, EepTime now)
{
    assert_serves(pool);
    if (seen.stage == 0 && now >= 1000 && is_done(pool)) {
        g_autofree EepGroup *target = group_of(2, 6, with_two_more);

        launch_two(pool);
        begin(pool, now);
        ck_assert(!host->reshuffle(pool, target, EEP_RESHUFFLE_PRELOAD));
    } else if (seen.stage == 1 && is_done(pool)) {
        ck_assert_uint_eq(placement_of(pool)->generation, seen.generation);
        seen.stage++;
        seen.steps_ended = pool->counts.n_steps;
    } else if (seen.stage == 2 && now >= seen.begun + 500 && pool->n_in_flight == 0) {
        ck_assert_uint_eq(placement_of(pool)->generation, seen.generation);
        seen.stage++;
        adopt_two_more(pool, now, N_LAYERS * S);
    }
}

START_TEST(new_ranks_serve_experts_at_once)
{
    guint n_new = 0;

    config.watch = watch_preloading;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(seen.stage, 3);
    ck_assert_uint_ge(seen.steps_ended - seen.steps_begun, 2 * 3);
    for (guint i = 0; i < MAX_ARRIVE; i++)
        if (run->results[i].worker > 4) {
            ck_assert_int_ge(run->results[i].queued, seen.ended);
            n_new++;
        }
    ck_assert_uint_gt(n_new, 10);
    for (guint i = 0; i < run->rearranged->len; i++) {
        const EepRearrangement *all = &kit_nth(run->rearranged, KitRearranged, i)->all;

        if (!all->for_resize)
            continue;
        ck_assert_int_eq(all->bytes_moved, 100 * N_LAYERS * 2 * S);
        ck_assert_double_gt(all->balancedness_after, 0.0);
    }
    kit_assert_conserved(run, requests, "preloading");
}
END_TEST

/* -- stopping -- */

static void watch_stopping(gpointer self, EepPool *pool, EepTime now)
{
    gboolean is_preload = seen.mode == EEP_RESHUFFLE_PRELOAD;

    assert_serves(pool);
    if (seen.stage == 0 && now >= 1000 && is_done(pool)) {
        g_autofree EepGroup *target =
            is_preload ? group_of(2, 6, with_two_more) : group_of(2, 3, without_2);

        if (is_preload)
            launch_two(pool);
        begin(pool, now);
        host->reshuffle(pool, target, seen.mode);
    } else if (seen.stage == 1 && ((seen.layer == N_LAYERS && is_done(pool)) ||
                                   (pool->reshuffle.state == EEP_RESHUFFLE_MOVE &&
                                    eep_eplb_next_layer(pool->eplb) == seen.layer))) {
        seen.stage++;
        host->stop_reshuffle(pool);
        ck_assert(is_done(pool));
        ck_assert(!eep_eplb_running(pool->eplb));
        ck_assert(eep_eplb_preloaded(pool->eplb) == NULL);
        if (!is_preload)
            ck_assert_uint_eq(n_filled(placement_of(pool), 1), (N_LAYERS - seen.layer) * S);
        assert_serves(pool);
    } else if (seen.stage == 2 && is_preload && pool->n_in_flight == 0 &&
               now >= seen.begun + 2000 && is_done(pool)) {
        seen.stage++;
        adopt_two_more(pool, now, 0);
    }
}

/* The late end of the move is nobody's, and the pool looks at its load again. */
START_TEST(stopping_at_each_layer)
{
    guint n_own = 0;

    seen.mode = _i & 1 ? EEP_RESHUFFLE_PRELOAD : EEP_RESHUFFLE_ASYNC;
    seen.layer = (guint)_i >> 1;
    config.watch = watch_stopping;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(seen.stage, seen.mode == EEP_RESHUFFLE_PRELOAD ? 3 : 2);
    for (guint i = 0; i < run->rearranged->len; i++) {
        const KitRearranged *rearranged = kit_nth(run->rearranged, KitRearranged, i);

        n_own += !rearranged->all.for_resize && rearranged->at > seen.begun;
    }
    ck_assert_uint_gt(n_own, 0);
    kit_assert_conserved(run, requests, "stopping");
}
END_TEST

/* -- dead ranks -- */

static void watch_losing(gpointer self, EepPool *pool, EepTime now)
{
    if (seen.stage == 0 && now >= 100 && pool->n_in_flight == 0) {
        g_autofree EepGroup *target = group_of(2, 3, without_2);

        begin(pool, now);
        pool->engines[1]->is_dead = pool->engines[1]->is_lost = TRUE;
        eep_pool_set_gpu_use(pool, pool->engines[1], EEP_GPU_DEAD);
        ck_assert_uint_gt(host->abort_requests(pool, 2, "fault"), 0);
        host->set_forwards_blocked(pool, TRUE);
        ck_assert(!host->reshuffle(pool, target, EEP_RESHUFFLE_SYNC));
    } else if (seen.stage == 1 && is_done(pool)) {
        g_autofree EepGroup *target = group_of(2, 3, without_2);

        seen.stage++;
        seen.ended = now;
        ck_assert_uint_eq(n_filled(placement_of(pool), 1), 0);
        host->adopt_group(pool, target, EEP_PLACEMENT_SHRINK);
        host->release_engine(pool, 2);
        host->set_forwards_blocked(pool, FALSE);
    } else if (seen.stage == 2) {
        gboolean is_backed = config.options.fault_tolerance.expert_backup != EEP_BACKUP_NONE;

        ck_assert_uint_eq(placement_of(pool)->n_missing, is_backed ? 0 : 4 * N_LAYERS);
    }
}

START_TEST(what_died_comes_from_the_backup)
{
    const gboolean is_backed = _i != EEP_BACKUP_NONE;
    const EepRearrangement *first;

    config.options.fault_tolerance.expert_backup = _i;
    config.options.eplb_config.step_interval = 80; /* none before the loss */
    config.watch = watch_losing;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(seen.stage, 2);
    first = &kit_nth(run->rearranged, KitRearranged, 0)->all;
    ck_assert(first->for_resize);
    if (is_backed)
        ck_assert_uint_ge(first->n_experts_restored, 4 * N_LAYERS);
    else
        ck_assert_uint_eq(first->n_experts_restored, 0);
    ck_assert_uint_eq(first->n_experts_lost, is_backed ? 0 : 4 * N_LAYERS);
    /* The pool's own rearrangements go on, degraded or not. */
    ck_assert_uint_gt(run->rearranged->len, 1);
    ck_assert_uint_gt(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT), 0);
    ck_assert_int_gt(run->gpu_time[EEP_GPU_DEAD], 0);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_DEAD], seen.ended - seen.begun);
    kit_assert_conserved(run, requests, "losing");
}
END_TEST

/* -- a reshuffle that fails -- */

START_TEST(a_failed_move_is_not_a_done_one)
{
    static const EepFaultRule rule = {
        .kind = EEP_OP_MOVE_EXPERTS, .nth = 2, .action = EEP_FAULT_REFUSE};
    EepOperatorEvent event = {.at = 1003, .id = "resize", .new_data_parallel_size = (guint)_i};

    config.options.eplb_config.step_interval = 100000;
    config.backend = eep_backend_fault_new(desk_backend_new(&config.costs), &rule, 1);
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100;
    config.deployment.n_events = 1;
    config.deployment.events = &event;
    config.cut = 20000;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_uint_eq(run->resizes->len, 1);
    /* Shrinking cannot go on without it; a wider group serves with the maps it has. */
    ck_assert_str_eq(eep_outcome_names[record->outcome], _i < 4 ? "failed" : "complete");
}
END_TEST

/* -- refit -- */

static guint slots_at_end;

static void watch_slots(gpointer self, EepPool *pool, EepTime now)
{
    slots_at_end = placement_of(pool)->slots_per_rank;
    assert_serves(pool);
}

START_TEST(a_restart_may_choose_the_fewest_slots)
{
    static const struct {
        gboolean enable_eplb, refit;
        guint to, slots;
    } cases[] = {{TRUE, FALSE, 6, 4}, {TRUE, TRUE, 6, 2}, {TRUE, TRUE, 5, 3}, {FALSE, TRUE, 6, 2}};
    EepOperatorEvent event = {.at = 1003, .id = "resize", .new_data_parallel_size = cases[_i].to};

    config.options.enable_eplb = cases[_i].enable_eplb;
    if (!cases[_i].enable_eplb)
        config.options.eplb_config.num_redundant_experts = 0;
    set_generation("restart");
    config.options.resize.refit = cases[_i].refit;
    config.deployment.n_events = 1;
    config.deployment.events = &event;
    config.watch = watch_slots;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "complete");
    ck_assert_uint_eq(slots_at_end, cases[_i].slots);
}
END_TEST

/* -- the reserve -- */

static void watch_reserve(gpointer self, EepPool *pool, EepTime now)
{
    if (seen.stage == 0 && now >= 1000) {
        seen.stage++;
        seen.begun = now;
        ck_assert_uint_eq(host->free_gpus(pool), 2);
        ck_assert_uint_eq(host->launch_engine(pool, 4), 5);
        ck_assert_uint_eq(host->free_gpus(pool), 1);
    } else if (seen.stage == 1 && now >= 1500) {
        seen.stage++;
        seen.ended = now;
        host->release_engine(pool, 5);
        ck_assert_uint_eq(host->free_gpus(pool), 2);
    } else if (seen.stage == 2 && now >= 2000) {
        seen.stage++;
        eep_pool_scale(pool, 7, "more", "test");
    }
}

/* Engines of the reserve are paid for from the start to the end, whatever they do. */
START_TEST(reserve_adds_up)
{
    EepTime sum = 0;

    set_generation("masked");
    config.options.resize.reserve = 6;
    config.shape.can_mask = TRUE;
    config.watch = watch_reserve;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_uint_eq(seen.stage, 3);
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++)
        sum += run->gpu_time[use];
    ck_assert_int_eq(sum, 6 * run->end);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_SERVING], 4 * run->end);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_PREPARING], seen.ended - seen.begun);
    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "refused");
}
END_TEST

/* By default it is as large as the cluster. */
START_TEST(reserve_fills_the_cluster)
{
    set_generation("masked");
    config.shape.can_mask = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);

    ck_assert_int_eq(run->gpu_time[EEP_GPU_RESERVED], 4 * run->end);
    ck_assert_int_eq(run->gpu_time[EEP_GPU_SERVING], 4 * run->end);
}
END_TEST

/* -- who leaves -- */

/* In the first step each engine has computed its prompt: 8, 16, 32 and 92 tokens of 10 bytes. Rank
 * 0 holds no expert alone, since rank 3 has them too, and has 80 bytes of KV. With it gone each
 * rank holds 800 bytes of experts alone, and rank 1 has the least KV. */
static void watch_loaded(gpointer self, EepPool *pool, EepTime now)
{
    EepWorkerId workers[2];

    if (seen.stage > 0 || now != 15)
        return;
    seen.stage++;
    host->choose_leaving(pool, 2, workers);
    ck_assert_uint_eq(workers[0], 1);
    ck_assert_uint_eq(workers[1], 2);
}

/* Experts 0..3 are on ranks 0 and 3, of which the higher goes. Then all that are left hold four a
 * layer alone, and the highest goes, and so on. */
static void watch_idle(gpointer self, EepPool *pool, EepTime now)
{
    EepWorkerId workers[3];

    if (seen.stage > 0 || host->has_requests(pool, 0))
        return;
    seen.stage++;
    host->choose_leaving(pool, 3, workers);
    for (guint i = 0; i < 3; i++)
        ck_assert_uint_eq(workers[i], 4 - i);
}

START_TEST(the_least_loss_leaves)
{
    static const EepArrival four[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 20},
                                      {.arrival = 0, .prompt_tokens = 16, .output_tokens = 20},
                                      {.arrival = 0, .prompt_tokens = 32, .output_tokens = 20},
                                      {.arrival = 0, .prompt_tokens = 92, .output_tokens = 20},
                                      {.arrival = 15, .prompt_tokens = 1, .output_tokens = 1}};

    config.options.router.policy = EEP_ROUTER_ROUND_ROBIN;
    config.options.eplb_config.step_interval = 100000;
    config.shape.kv_bytes_per_token = 10;
    config.watch = watch_loaded;
    g_autoptr(KitRun) run = kit_must_run(&config, four, G_N_ELEMENTS(four));

    ck_assert_uint_eq(run->n_submitted, 5);
    ck_assert_uint_eq(seen.stage, 1);
}
END_TEST

START_TEST(an_idle_pool_shrinks_from_the_top)
{
    config.options.eplb_config.step_interval = 100000;
    config.watch = watch_idle;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 1);

    ck_assert_uint_eq(run->n_submitted, 1);
    ck_assert_uint_eq(seen.stage, 1);
}
END_TEST

/* -- by the machine itself -- */

static void set_phases(void)
{
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100 + i;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    config.shape.kv_bytes_per_token = 10;
}

static void watch_generation(gpointer self, EepPool *pool, EepTime now)
{
    assert_serves(pool);
    if (seen.stage == 0 && pool->n_engines == 6) {
        seen.stage++;
        seen.generation = n_filled(placement_of(pool), 4) + n_filled(placement_of(pool), 5);
    }
}

/* Up by two and down by three: what joins and leaves under masks, and beside serving. */
START_TEST(generations_grow_and_shrink)
{
    static const EepOperatorEvent events[] = {
        {.at = 1003, .id = "up", .new_data_parallel_size = 6},
        {.at = 5003, .id = "down", .new_data_parallel_size = 3}};
    const gboolean is_masked = _i & 1;
    EepTime sum = 0;

    set_generation(is_masked ? "masked" : "eep");
    set_phases();
    config.options.eplb_config.use_async = (_i & 2) != 0;
    config.options.async_scheduling = (_i & 4) != 0;
    config.deployment.n_events = 2;
    config.deployment.events = events;
    config.watch = watch_generation;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MANY);

    ck_assert_uint_eq(run->resizes->len, 2);
    for (guint i = 0; i < 2; i++)
        ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, i)->outcome],
                         "complete");
    ck_assert_uint_eq(kit_nth(run->sizes, KitSize, run->sizes->len - 1)->n_engines, 3);
    ck_assert_uint_eq(seen.generation, is_masked ? 0 : 2 * S * N_LAYERS);
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++)
        sum += run->gpu_time[use];
    if (is_masked)
        ck_assert_int_eq(sum, 8 * run->end);
    else
        ck_assert_int_eq(run->gpu_time[EEP_GPU_RESERVED], 0);
    if (!is_masked)
        ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), MANY);
    kit_assert_conserved(run, requests, "generations");
}
END_TEST

static void watch_recovery(gpointer self, EepPool *pool, EepTime now)
{
    EepRecovery recovery = seen.layer;

    if (seen.stage == 0 && now >= 1000 && pool->n_in_flight == 0) {
        begin(pool, now);
        pool->engines[1]->is_dead = pool->engines[1]->is_lost = TRUE;
        eep_pool_set_gpu_use(pool, pool->engines[1], EEP_GPU_DEAD);
        eep_resize_worker_stopped(pool->resize, 2);
        eep_resize_worker_lost(pool->resize, 2);
        host->abort_requests(pool, 2, "fault");
        eep_resize_recover(pool->resize, recovery, "fault");
        eep_pool_follow_wants(pool);
    } else if (seen.stage == 1 && pool->n_engines == 3) {
        gboolean is_backed = config.options.fault_tolerance.expert_backup != EEP_BACKUP_NONE;

        seen.stage++;
        for (guint rank = 0; rank < 3; rank++)
            ck_assert_uint_eq(pool->engines[rank]->worker, without_2[rank]);
        if (recovery == EEP_RECOVERY_MASK_ONLY)
            ck_assert_uint_gt(placement_of(pool)->n_missing, 0);
        else if (is_backed)
            ck_assert_uint_eq(placement_of(pool)->n_missing, 0);
        ck_assert_uint_eq(placement_of(pool)->n_ranks, 3);
    }
}

/* With a copy outside nothing is missing at the end; without, only what was there alone. */
START_TEST(survivors_go_on)
{
    const EepResizeRecord *record;

    seen.layer = _i & 1 ? EEP_RECOVERY_MASK_ONLY : EEP_RECOVERY_SHRINK;
    config.options.fault_tolerance.expert_backup = _i >> 1;
    set_phases();
    config.watch = watch_recovery;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MANY);

    ck_assert_uint_eq(seen.stage, 2);
    ck_assert_uint_eq(run->resizes->len, 1);
    record = kit_nth(run->resizes, EepResizeRecord, 0);
    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_str_eq(record->generation, _i & 1 ? "mask_only" : "shrink");
    ck_assert_int_gt(run->gpu_time[EEP_GPU_DEAD], 0);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE) +
                          kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT),
                      MANY);
    kit_assert_conserved(run, requests, "survivors");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("pool_host");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, shrinking_from_the_middle);
    tcase_add_test(tcase, new_ranks_serve_experts_at_once);
    tcase_add_loop_test(tcase, stopping_at_each_layer, 0, 2 * N_LAYERS + 2);
    tcase_add_loop_test(tcase, what_died_comes_from_the_backup, EEP_BACKUP_NONE,
                        EEP_BACKUP_DISK + 1);
    tcase_add_loop_test(tcase, a_failed_move_is_not_a_done_one, 3, 4);
    tcase_add_loop_test(tcase, a_failed_move_is_not_a_done_one, 6, 7);
    tcase_add_loop_test(tcase, a_restart_may_choose_the_fewest_slots, 0, 4);
    tcase_add_test(tcase, reserve_adds_up);
    tcase_add_test(tcase, reserve_fills_the_cluster);
    tcase_add_test(tcase, the_least_loss_leaves);
    tcase_add_test(tcase, an_idle_pool_shrinks_from_the_top);
    tcase_add_loop_test(tcase, generations_grow_and_shrink, 0, 8);
    tcase_add_loop_test(tcase, survivors_go_on, 0, 6);
    return kit_main("pool_host", tcase);
}
