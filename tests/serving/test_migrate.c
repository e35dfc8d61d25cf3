/* Requests that move between the engines of a running pool with their KV. Steps of 10 ns, blocks of
 * 4 tokens, a byte of KV a token; a copy takes 12 ns and one more for each byte. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "core/loop/backend_fault.h"
#include "core/rng.h"
#include "tests/serving/serving_kit.h"

#define MAX_JOBS 4

typedef struct {
    EepWorkerId worker;
    guint64 n_requests;
    gint64 bytes;
    EepTime at;
} Ended;

static KitConfig config;
static EepGroup *group; /* of the targets */

/* What a test wants done, and what came of it. */
static struct {
    EepTime at; /* at the first event from then on */
    guint n_workers;
    EepWorkerId workers[MAX_JOBS];
    guint n_routable_before, n_routable; /* 0: as it is */
    gboolean is_instant;
    EepTime stop_at;
    EepTime dead_at; /* at the first step boundary from then on */
    guint dead;      /* engine */
} want;

static struct {
    gboolean has_begun, has_stopped, has_died, was_nothing;
    guint n_ended, n_told;
    Ended ended[MAX_JOBS];
    guint n_migrated; /* when it died or was stopped */
    guint max_departing, max_seats;
} seen;

static void on_ended(EepPool *pool, EepWorkerId worker, guint64 n_requests, gint64 bytes)
{
    ck_assert_uint_lt(seen.n_ended, MAX_JOBS);
    seen.ended[seen.n_ended++] =
        (Ended){worker, n_requests, bytes, eep_loop_now(pool->services->loop)};
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->worker == worker)
            ck_assert_uint_eq(eep_engine_n_requests(pool->engines[i]), 0);
}

/* Only the first n engines get new requests. */
static void set_routable(EepPool *pool, guint n)
{
    for (guint i = 0; i < pool->n_engines; i++)
        pool->engines[i]->is_routable = i < n;
}

static void begin(EepPool *pool)
{
    seen.has_begun = TRUE;
    if (want.n_routable > 0)
        set_routable(pool, want.n_routable);
    pool->migration.ended = on_ended;
    pool->migration.is_instant = want.is_instant;
    for (guint i = 0; i < want.n_workers; i++)
        seen.was_nothing |= eep_pool_migrate(pool, want.workers[i], group);
}

static void die(EepPool *pool)
{
    EepEngine *engine = pool->engines[want.dead];

    seen.has_died = TRUE;
    seen.n_migrated = (guint)pool->counts.n_migrated;
    eep_pool_migrate_lost(pool, engine);
    set_routable(pool, 1);
    eep_pool_end_requests(pool, engine, EEP_FATE_ABORTED, EEP_REASON_FAULT);
    ck_assert_uint_eq(eep_engine_n_requests(engine) + engine->seats.n, 0);
    ck_assert_uint_eq(engine->kv.n_free, engine->kv.n_blocks);
}

static void watch(gpointer self, EepPool *pool, EepTime now)
{
    guint n_departing = 0, n_seats = 0;

    if (want.n_routable_before > 0 && !seen.has_begun)
        set_routable(pool, want.n_routable_before);
    if (!seen.has_begun && now >= want.at)
        begin(pool);
    if (!seen.has_stopped && now >= want.stop_at) {
        seen.has_stopped = TRUE;
        seen.n_migrated = (guint)pool->counts.n_migrated;
        eep_pool_stop_migration(pool);
    }
    if (!seen.has_died && now >= want.dead_at && pool->n_in_flight == 0)
        die(pool);
    for (guint i = 0; i < pool->n_engines; i++) {
        n_departing += pool->engines[i]->departing.n;
        n_seats += pool->engines[i]->seats.n;
    }
    ck_assert_uint_le(n_departing, n_seats);
    seen.max_departing = MAX(seen.max_departing, n_departing);
    seen.max_seats = MAX(seen.max_seats, n_seats);
}

static void set_targets(guint n, const EepWorkerId *workers)
{
    eep_group_set(group, 2, n, workers);
}

static void setup(void)
{
    static const EepWorkerId first[] = {1};

    memset(&want, 0, sizeof want);
    memset(&seen, 0, sizeof seen);
    want.stop_at = want.dead_at = EEP_TIME_NEVER;
    want.at = 20;
    want.n_workers = 1;
    want.workers[0] = 2;
    want.n_routable = 1;
    group = g_malloc0(eep_group_size(8));
    eep_group_init(group, 8, 1);
    set_targets(1, first);
    kit_config_init(&config);
    config.options.data_parallel_size = 2;
    config.options.router.policy = EEP_ROUTER_ROUND_ROBIN;
    config.shape.kv_bytes_per_token = 1;
    config.costs.move = 12;
    config.costs.per_kv_byte = 1;
    config.watch = watch;
}

static void teardown(void)
{
    g_free(group);
    kit_config_clear(&config);
}

static const EepArrival two[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 30},
                                 {.arrival = 0, .prompt_tokens = 8, .output_tokens = 30}};

static KitRun *run_two(void)
{
    KitRun *run = kit_must_run(&config, two, 2);

    kit_assert_conserved(run, two, "two requests");
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE) +
                          kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT),
                      2);
    return run;
}

/* At 20 two tokens are there and 9 known ones computed: they take 21, to 41. At the boundary at 50
 * it stops with five tokens; 3 tokens computed since take 15, to 65; it decodes on at 70, so its
 * sixth token comes at 80 and its 30th at 320. Async, steps of 10 to 20 and 20 to 30 are under way
 * at 20, so all that is ten later, but the tokens are not: the sixth comes at 60, the seventh
 * at 90.
 */
START_TEST(a_copy_then_the_rest)
{
    config.options.async_scheduling = _i;
    g_autoptr(KitRun) run = run_two();
    const KitResult *moved = &run->results[1];

    ck_assert_int_eq(moved->finish, 320);
    ck_assert_int_eq(moved->max_gap, 30);
    ck_assert_uint_eq(moved->worker, 1);
    ck_assert_uint_eq(moved->migrations, 1);
    ck_assert_uint_eq(moved->preemptions, 0);
    ck_assert_int_eq(run->results[0].finish, 300);
    ck_assert_int_eq(run->results[0].max_gap, 10);
    ck_assert_uint_eq(seen.n_ended, 1);
    ck_assert_uint_eq(seen.ended[0].worker, 2);
    ck_assert_uint_eq(seen.ended[0].n_requests, 1);
    ck_assert_int_eq(seen.ended[0].bytes, 12 + _i);
    ck_assert_int_eq(seen.ended[0].at, _i ? 80 : 70);
    ck_assert_uint_eq(run->counts.n_migrated, 1);
    ck_assert_uint_eq(run->counts.kv_bytes_moved, 12 + (guint)_i);
    ck_assert_uint_eq(seen.max_departing, 1);
}
END_TEST

static void on_kv_moved(gpointer self, EepTime now, const char *what, const EepFact *facts,
                        guint n_facts)
{
    ck_assert_str_eq(what, "kv_moved");
    ck_assert_int_eq(now, 70);
    ck_assert_uint_eq(n_facts, 3);
    ck_assert_int_eq(facts[0].integer, 1);
    ck_assert_int_eq(facts[1].integer, 9 + 3);
    ck_assert_int_eq(facts[2].integer, 50);
    seen.n_told++;
}

START_TEST(a_batch_is_told)
{
    config.decision = on_kv_moved;
    g_autoptr(KitRun) run = run_two();

    ck_assert_uint_eq(run->results[1].migrations, 1);
    ck_assert_uint_eq(seen.n_told, 1);
}
END_TEST

/* What is of bounded size goes once, with the rest; both ranks of an engine send. The first copy of
 * 2 * 9 takes 30, to 50; at 50 three tokens and 5 bytes, twice, take 28, to 78; on at 80. */
START_TEST(every_rank_sends_its_part)
{
    config.options.tensor_parallel_size = 2;
    config.shape.kv_bytes_bounded = 5;
    g_autoptr(KitRun) run = run_two();

    ck_assert_int_eq(seen.ended[0].at, 80);
    ck_assert_int_eq(seen.ended[0].bytes, 2 * (9 + 3 + 5));
    ck_assert_int_eq(run->results[1].max_gap, 40);
}
END_TEST

START_TEST(instantly)
{
    want.is_instant = TRUE;
    g_autoptr(KitRun) run = run_two();

    ck_assert_int_eq(seen.ended[0].at, 20);
    ck_assert_uint_eq(run->results[1].migrations, 1);
    ck_assert_int_eq(run->results[1].finish, 300);
    ck_assert_int_eq(run->max_gap, 10);
}
END_TEST

/* The pool has nothing to run but the request that moves: nothing else brings the boundary. */
START_TEST(alone)
{
    const EepArrival one[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 30}};

    config.costs.idle_steps_are_free = TRUE;
    want.workers[0] = 1;
    want.n_routable = 2;
    EepWorkerId second = 2;
    set_targets(1, &second);
    g_autoptr(KitRun) run = kit_must_run(&config, one, 1);

    kit_assert_conserved(run, one, "one request");
    ck_assert_int_eq(seen.ended[0].at, 65);
    ck_assert_int_eq(run->results[0].max_gap, 25); /* 50 to 75 */
    ck_assert_int_eq(run->results[0].finish, 75 + 240);
    ck_assert_uint_eq(run->results[0].worker, 2);
}
END_TEST

/* At any time: the request is at its source or at its target, and loses nothing. */
START_TEST(stopped_at_any_time)
{
    want.stop_at = _i;
    g_autoptr(KitRun) run = run_two();
    gboolean has_moved = _i > 65; /* the next event is at 70 */

    ck_assert_uint_eq(run->results[1].worker, has_moved ? 1 : 2);
    ck_assert_uint_eq(run->results[1].migrations, has_moved);
    ck_assert_uint_eq(seen.n_migrated, has_moved);
    ck_assert_uint_eq(seen.n_ended, has_moved);
    ck_assert_uint_eq(run->counts.n_preemptions, 0);
    /* While it was copied it went on. Afterwards it stands still from 50 to the end of the step. */
    ck_assert_int_eq(run->results[1].max_gap, _i <= 50 ? 10 : _i <= 60 ? 20 : 30);
}
END_TEST

/* The run is cut: whoever is under way then is unfinished like the other, and all blocks are free.
 */
START_TEST(cut_at_any_time)
{
    config.cut = _i;
    g_autoptr(KitRun) run = kit_must_run(&config, two, 2);

    ck_assert_uint_eq(kit_count(run, EEP_FATE_UNFINISHED, EEP_REASON_NONE), 2);
    ck_assert_uint_eq(run->results[0].generated, (guint)_i / 10);
    ck_assert_uint_eq(run->results[1].generated, MIN((guint)_i / 10, 5) + (_i >= 80));
}
END_TEST

/* Dead at the boundary: while copying 30 to 50, standing 60, or moved. */
START_TEST(the_source_dies)
{
    static const EepTime at[] = {30, 40, 50, 60, 70, 80};
    gboolean has_moved = at[_i] >= 70;

    want.dead_at = at[_i];
    want.dead = 1;
    g_autoptr(KitRun) run = run_two();

    ck_assert(seen.has_died);
    ck_assert_int_eq(run->results[0].fate, EEP_FATE_COMPLETED);
    ck_assert_int_eq(run->results[1].fate, has_moved ? EEP_FATE_COMPLETED : EEP_FATE_ABORTED);
    ck_assert_uint_eq(run->results[1].generated, has_moved ? 30 : MIN(at[_i] / 10, 5));
    ck_assert_uint_eq(run->results[1].worker, has_moved ? 1 : 2);
}
END_TEST

START_TEST(the_target_dies)
{
    static const EepTime at[] = {30, 40, 50, 60, 70, 80};
    gboolean has_moved = at[_i] >= 70;

    want.dead_at = at[_i];
    want.dead = 0;
    g_autoptr(KitRun) run = run_two();

    ck_assert_int_eq(run->results[0].fate, EEP_FATE_ABORTED);
    ck_assert_int_eq(run->results[1].fate, has_moved ? EEP_FATE_ABORTED : EEP_FATE_COMPLETED);
    ck_assert_uint_eq(run->results[1].generated, has_moved ? (at[_i] == 70 ? 5 : 6) : 30);
    ck_assert_uint_eq(run->results[1].migrations, has_moved);
    /* It has no target any more and so decodes to its end where it is. */
    if (!has_moved)
        ck_assert_int_eq(run->results[1].max_gap, at[_i] < 50 ? 10 : at[_i] == 50 ? 10 : 20);
}
END_TEST

/* Copies that fail are made again; when they go on failing the request is computed anew. */
START_TEST(copies_fail)
{
    EepFaultRule rules[8];
    guint n = (guint)_i; /* that fail in a row */

    for (guint i = 0; i < n; i++)
        rules[i] = (EepFaultRule){.kind = EEP_OP_MOVE_KV, .nth = i + 1, .action = EEP_FAULT_REFUSE};
    config.backend = eep_backend_fault_new(desk_backend_new(&config.costs), rules, n);
    g_autoptr(KitRun) run = run_two();

    ck_assert_uint_eq(seen.n_ended, 1);
    ck_assert_uint_eq(run->results[1].worker, 1);
    ck_assert_uint_eq(run->results[1].migrations, 1);
    ck_assert_uint_eq(run->counts.n_migrated, n < 3);
    ck_assert_uint_eq(run->counts.n_migrations_recomputed, n >= 3);
    ck_assert_uint_eq(run->results[1].preemptions, n >= 3);
}
END_TEST

/* 20 blocks: the first request has 15 of them and more to come; the second's 7 find no room and it
 * waits there, to be computed anew once the first has ended at 100. */
START_TEST(no_room)
{
    const EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 60, .output_tokens = 10},
                                   {.arrival = 0, .prompt_tokens = 24, .output_tokens = 30}};
    config.shape.n_blocks = 20;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    kit_assert_conserved(run, requests, "no room");
    ck_assert_int_eq(seen.ended[0].at, 20);
    ck_assert_int_eq(seen.ended[0].bytes, 0);
    ck_assert_uint_eq(seen.ended[0].n_requests, 1);
    ck_assert_uint_eq(run->counts.n_migrated, 0);
    ck_assert_uint_eq(run->counts.n_migrations_recomputed, 1);
    ck_assert_uint_eq(run->counts.n_recomputed_tokens, 26);
    ck_assert_uint_eq(run->results[1].preemptions, 1);
    ck_assert_int_eq(run->results[1].max_gap, 90); /* 20 to 110 */
    ck_assert_int_eq(run->results[1].finish, 110 + 270);
}
END_TEST

/* The second engine prefills 350 tokens by 100 a step until 40 and has two that wait: these go at
 * 20, the other goes on, and is copied from 40: 350 + 12 ns. */
START_TEST(waiting_ones_go_at_once_and_prefills_first_end)
{
    const EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 90},
                                   {.arrival = 0, .prompt_tokens = 350, .output_tokens = 90},
                                   {.arrival = 1, .prompt_tokens = 8, .output_tokens = 90},
                                   {.arrival = 2, .prompt_tokens = 8, .output_tokens = 5},
                                   {.arrival = 3, .prompt_tokens = 8, .output_tokens = 90},
                                   {.arrival = 4, .prompt_tokens = 8, .output_tokens = 5}};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 6);

    kit_assert_conserved(run, requests, "waiting");
    for (guint i = 3; i < 6; i += 2) {
        ck_assert_int_eq(run->results[i].first_token, 30);
        ck_assert_uint_eq(run->results[i].worker, 1);
        ck_assert_uint_eq(run->results[i].migrations, 1);
    }
    ck_assert_uint_eq(run->counts.n_rerouted, 2);
    ck_assert_int_eq(run->results[1].first_token, 40);
    /* From 40 to 402, stop at 410; 37 tokens are 49 ns, to 459; at 460 it goes on. */
    ck_assert_int_eq(seen.ended[0].at, 460);
    ck_assert_uint_eq(seen.ended[0].n_requests, 3);
    ck_assert_int_eq(seen.ended[0].bytes, 350 + 37);
    ck_assert_int_eq(run->results[1].max_gap, 60);
}
END_TEST

/* It has its last token while it is copied. */
START_TEST(a_request_ends_under_way)
{
    const EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 30},
                                   {.arrival = 0, .prompt_tokens = 8, .output_tokens = 4}};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    kit_assert_conserved(run, requests, "ends");
    ck_assert_int_eq(run->results[1].finish, 40);
    ck_assert_uint_eq(run->results[1].worker, 2);
    ck_assert_uint_eq(seen.max_seats, 1);
    ck_assert_uint_eq(seen.ended[0].n_requests, 0);
}
END_TEST

START_TEST(nothing_to_move)
{
    const EepArrival one[] = {{.arrival = 0, .prompt_tokens = 8, .output_tokens = 30}};
    g_autoptr(KitRun) run = kit_must_run(&config, one, 1);

    ck_assert_uint_eq(run->results[0].migrations, 0);
    ck_assert(seen.was_nothing);
    ck_assert_uint_eq(seen.n_ended, 0);
}
END_TEST

/* -- many -- */

#define N_MANY 150

static EepArrival many[N_MANY];
static guint64 hashes[N_MANY][8];

static void draw_many(guint64 seed)
{
    EepRng rng;
    EepTime at = 0;

    eep_rng_init(&rng, seed, "many");
    for (guint i = 0; i < N_MANY; i++) {
        guint64 family = eep_rng_below(&rng, 4);

        at += (EepTime)eep_rng_below(&rng, 20);
        many[i] = (EepArrival){.arrival = at,
                               .prompt_tokens = 1 + (guint32)eep_rng_below(&rng, 60),
                               .output_tokens = 1 + (guint32)eep_rng_below(&rng, 60),
                               .priority = (gint32)eep_rng_below(&rng, 3),
                               .hashes = hashes[i]};
        many[i].n_hashes = (many[i].prompt_tokens + 7) / 8;
        for (guint k = 0; k < 8; k++)
            hashes[i][k] = family * 100 + k;
    }
    want.at = 200 + (EepTime)eep_rng_below(&rng, 1000);
    config.costs.move = (EepTime)eep_rng_below(&rng, 40);
}

static void set_many(guint bits)
{
    static const EepWorkerId workers[] = {1, 2, 3, 4};

    set_targets(2, workers);
    config.options.data_parallel_size = 4;
    config.options.router.policy = EEP_ROUTER_IN_FLIGHT_KV;
    config.options.max_num_seqs = 8;
    config.options.max_num_batched_tokens = 24;
    config.options.async_scheduling = bits & 1;
    config.options.enable_prefix_caching = bits >> 1 & 1;
    config.options.scheduling_policy = bits & 4 ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    config.shape.hash_tokens = 8;
    config.shape.n_blocks = 70;
}

/* Two of four engines are emptied at once while requests come: nobody is lost, both become empty
 * and stay so. */
START_TEST(two_engines_are_emptied)
{
    set_many((guint)_i);
    draw_many((guint64)_i);
    want.n_workers = 2;
    want.workers[0] = 3;
    want.workers[1] = 4;
    want.n_routable = 2;
    g_autoptr(KitRun) run = kit_must_run(&config, many, N_MANY);
    guint n_moves = 0;

    kit_assert_conserved(run, many, "two engines");
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), N_MANY);
    ck_assert_uint_eq(seen.n_ended + seen.was_nothing, 2);
    for (guint i = 0; i < N_MANY; i++) {
        n_moves += run->results[i].migrations;
        if (run->results[i].finish > seen.ended[0].at && run->results[i].finish > seen.ended[1].at)
            ck_assert_uint_le(run->results[i].worker, 2);
    }
    ck_assert_uint_eq(n_moves, seen.ended[0].n_requests + seen.ended[1].n_requests);
    ck_assert_uint_eq(n_moves, run->counts.n_migrated + run->counts.n_rerouted +
                                   run->counts.n_migrations_recomputed);
    ck_assert_int_eq(seen.ended[0].bytes + seen.ended[1].bytes, (gint64)run->counts.kv_bytes_moved);
    ck_assert_uint_gt(n_moves, 0);
}
END_TEST

/* The same, stopped in between. */
START_TEST(many_are_stopped)
{
    set_many((guint)_i);
    draw_many((guint64)_i);
    want.n_workers = 2;
    want.workers[0] = 3;
    want.workers[1] = 4;
    want.stop_at = want.at + 1 + _i % 60;
    g_autoptr(KitRun) run = kit_must_run(&config, many, N_MANY);

    kit_assert_conserved(run, many, "stopped");
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), N_MANY);
    ck_assert_uint_eq(run->counts.n_migrated, seen.n_migrated);
}
END_TEST

/* -- evening out -- */

/* 16 requests on two engines, eight each; two more are empty. At 400 each has 49 tokens computed,
 * 13 blocks. With four on each engine they are even. */
START_TEST(running_ones_are_spread)
{
    static const EepWorkerId workers[] = {1, 2, 3, 4};
    EepArrival requests[16];

    for (guint i = 0; i < 16; i++)
        requests[i] = (EepArrival){.arrival = 0, .prompt_tokens = 10, .output_tokens = 200};
    set_targets(4, workers);
    config.options.data_parallel_size = 4;
    config.costs.per_kv_byte = 0;
    want.n_routable_before = 2;
    want.n_routable = 4;
    want.workers[0] = 0;
    want.at = 400;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 16);
    guint n_on[5] = {0};

    kit_assert_conserved(run, requests, "spread");
    for (guint i = 0; i < 16; i++)
        n_on[run->results[i].worker]++;
    for (guint i = 1; i <= 4; i++)
        ck_assert_uint_eq(n_on[i], 4);
    ck_assert_uint_eq(run->counts.n_migrated, 8);
    ck_assert_uint_eq(seen.n_ended, 1);
    ck_assert_uint_eq(seen.ended[0].n_requests, 8);
    ck_assert_uint_eq(run->counts.n_preemptions, 0);
    /* Stopped at 420, 12 ns to 432, on at 440: the token after that of 420 comes at 450. */
    ck_assert_int_eq(run->max_gap, 30);
    ck_assert_int_eq(seen.ended[0].at, 440);
}
END_TEST

/* Waiting ones are spread by number and cost nothing; of the running ones, which have fewer than 64
 * tokens left, none moves. */
START_TEST(waiting_ones_are_spread)
{
    static const EepWorkerId workers[] = {1, 2};
    EepArrival requests[12];

    for (guint i = 0; i < 12; i++)
        requests[i] = (EepArrival){.arrival = 0, .prompt_tokens = 10, .output_tokens = 60};
    set_targets(2, workers);
    config.options.max_num_seqs = 4;
    want.n_routable_before = 1;
    want.n_routable = 2;
    want.workers[0] = 0;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 12);
    guint n_first = 0, n_on[3] = {0};

    kit_assert_conserved(run, requests, "spread");
    for (guint i = 0; i < 12; i++) {
        n_on[run->results[i].worker]++;
        n_first += run->results[i].first_token == 30;
    }
    /* All but the first four wait; two of them stay, and of six that move four are admitted. */
    ck_assert_uint_eq(n_on[1], 6);
    ck_assert_uint_eq(n_on[2], 6);
    ck_assert_uint_eq(n_first, 4);
    ck_assert_uint_eq(run->counts.n_rerouted, 6);
    ck_assert_uint_eq(run->counts.n_migrated, 0);
    ck_assert_uint_eq(seen.ended[0].n_requests, 6);
}
END_TEST

/* Four engines, two of them new, requests drawn: afterwards they differ by little, and nobody has
 * lost anything. */
START_TEST(many_are_spread)
{
    static const EepWorkerId workers[] = {1, 2, 3, 4};

    set_many((guint)_i);
    draw_many((guint64)_i);
    set_targets(4, workers);
    want.workers[0] = 0;
    want.n_routable_before = 2;
    want.n_routable = 4;
    want.stop_at = _i % 3 == 0 ? want.at + _i % 70 : EEP_TIME_NEVER;
    g_autoptr(KitRun) run = kit_must_run(&config, many, N_MANY);

    kit_assert_conserved(run, many, "spread");
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), N_MANY);
    ck_assert_uint_eq(run->counts.n_migrations_recomputed, 0);
    if (want.stop_at == EEP_TIME_NEVER)
        ck_assert_uint_eq(seen.n_ended + seen.was_nothing, 1);
}
END_TEST

/* -- by the resize machine -- */

/* Generation eep from four engines to three and back, while requests come: the leaving one's
 * requests move, some move on to the new one, and nobody is aborted or refused. */
START_TEST(a_resize_moves_requests)
{
    static const EepOperatorEvent events[] = {
        {.at = 503, .new_data_parallel_size = 3, .id = "down"},
        {.at = 2503, .new_data_parallel_size = 4, .id = "up"}};
    EepArrival requests[250];
    guint64 n_moves = 0;

    for (guint i = 0; i < G_N_ELEMENTS(requests); i++)
        requests[i] = (EepArrival){.arrival = i * 20, .prompt_tokens = 8, .output_tokens = 300};
    config.watch = NULL;
    config.options.data_parallel_size = 4;
    config.options.router.policy = EEP_ROUTER_IN_FLIGHT_KV;
    config.options.async_scheduling = _i;
    config.options.enable_elastic_ep = TRUE;
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup("eep");
    config.options.resize.leaving_drain = 40;
    config.shape.n_blocks = 5000;
    config.costs.per_kv_byte = 0;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 50;
    config.deployment.n_events = G_N_ELEMENTS(events);
    config.deployment.events = events;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, G_N_ELEMENTS(requests));
    const EepResizeRecord *down = kit_nth(run->resizes, EepResizeRecord, 0),
                          *up = kit_nth(run->resizes, EepResizeRecord, 1);

    kit_assert_conserved(run, requests, "resizes");
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), G_N_ELEMENTS(requests));
    ck_assert_uint_eq(run->resizes->len, 2);
    ck_assert_int_eq(down->outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_int_eq(up->outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_uint_gt(down->n_migrated, 3);
    ck_assert_uint_gt(up->n_migrated, 3);
    ck_assert_int_gt(down->kv_bytes, 0);
    ck_assert_int_gt(up->kv_bytes, 0);
    ck_assert_int_eq(down->kv_bytes + up->kv_bytes, (gint64)run->counts.kv_bytes_moved);
    for (guint i = 0; i < G_N_ELEMENTS(requests); i++)
        n_moves += run->results[i].migrations;
    ck_assert_uint_eq(n_moves, down->n_migrated + up->n_migrated);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("migrate");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_copy_then_the_rest, 0, 2);
    tcase_add_test(tcase, a_batch_is_told);
    tcase_add_test(tcase, every_rank_sends_its_part);
    tcase_add_test(tcase, instantly);
    tcase_add_test(tcase, alone);
    tcase_add_loop_test(tcase, stopped_at_any_time, 20, 90);
    tcase_add_loop_test(tcase, cut_at_any_time, 20, 85);
    tcase_add_loop_test(tcase, the_source_dies, 0, 6);
    tcase_add_loop_test(tcase, the_target_dies, 0, 6);
    tcase_add_loop_test(tcase, copies_fail, 0, 5);
    tcase_add_test(tcase, no_room);
    tcase_add_test(tcase, waiting_ones_go_at_once_and_prefills_first_end);
    tcase_add_test(tcase, a_request_ends_under_way);
    tcase_add_test(tcase, nothing_to_move);
    tcase_add_loop_test(tcase, two_engines_are_emptied, 0, 64);
    tcase_add_loop_test(tcase, many_are_stopped, 0, 64);
    tcase_add_test(tcase, running_ones_are_spread);
    tcase_add_test(tcase, waiting_ones_are_spread);
    tcase_add_loop_test(tcase, many_are_spread, 0, 64);
    tcase_add_loop_test(tcase, a_resize_moves_requests, 0, 2);
    return kit_main("migrate", tcase);
}
