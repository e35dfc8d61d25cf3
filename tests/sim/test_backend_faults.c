/* The simulated backend with parts of it broken, and with work in background. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "core/resize/phase.h"
#include "sim/backend_sim.h"
#include "sim/broken_parts.h"
#include "sim/predictor_sim.h"
#include "tests/sim/sim_fixture.h"

#define N    16 /* engines on two nodes of 8; the worker of rank r is r + 1 */
#define STEP (5 * EEP_NS_PER_MS)
#define S    EEP_NS_PER_S

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};

typedef struct {
    EepCompletion completion;
    EepTime at;
} Ended;

typedef struct {
    EepClock *clock;
    EepLoop *loop;
    EepPredictor *predictor;
    EepBackend *backend;
    EepFaultInjector *injector;
    EepPlacement *placement;
    GArray *ended;
    EepEngineWork work[N];
    EepStepPlan plan;
} World;

static World world;

static gboolean note(gpointer self, const EepEvent *event, GError **error)
{
    Ended ended = {.at = event->time};

    if (event->kind == EEP_EVENT_OP_DONE) {
        eep_completion_from_event(event, &ended.completion);
        g_array_append_val(world.ended, ended);
    }
    return TRUE;
}

static void world_init(void)
{
    memset(&world, 0, sizeof world);
    world.clock = eep_clock_virtual_new();
    world.loop = eep_loop_new(world.clock, note, NULL, NULL, NULL, NULL);
    world.predictor = eep_sim_predictor_new(
        &model, &hardware, &options, eep_skew_new(&skew, 1, 58, 256, NULL, NULL, NULL), FALSE, 1);
    world.backend = eep_sim_backend_new(world.predictor);
    world.backend->ops->attach(world.backend, world.loop);
    world.injector = eep_sim_backend_injector(world.backend);
    world.placement = eep_placement_new(58, 256, N, 18);
    world.ended = g_array_new(FALSE, FALSE, sizeof(Ended));
    fixture_decodes(&world.plan, world.work, N, 64, 2000);
    world.plan.placement = world.placement;
}

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, N);
    options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
}

static void setup_world(void)
{
    setup();
    world_init();
}

static void teardown(void)
{
    eep_backend_free(world.backend);
    eep_loop_free(world.loop);
    eep_clock_free(world.clock);
    eep_predictor_free(world.predictor);
    eep_placement_free(world.placement);
    g_array_unref(world.ended);
}

static void submit(EepOpId id)
{
    world.plan.op.id = id;
    world.plan.first_step = id;
    world.backend->ops->submit_step(world.backend, &world.plan);
}

static EepPhase phase_of(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers)
{
    return (EepPhase){.op = {.id = id, .pool = 1, .epoch = 1},
                      .kind = kind,
                      .n_workers = n,
                      .workers = workers,
                      .n_ranks_old = N,
                      .n_ranks_new = N};
}

static void start_phase(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers)
{
    const EepPhase phase = phase_of(id, kind, n, workers);
    world.backend->ops->start_phase(world.backend, &phase);
}

static EepMove move_of(EepOpId id, const EepTransfer *transfers, guint n)
{
    return (EepMove){.op = {.id = id, .pool = 1, .epoch = 1},
                     .n_transfers = n,
                     .transfers = transfers,
                     .bytes_each = 44040192,
                     .n_ranks = N};
}

static void move(EepOpId id, guint from, guint to)
{
    const EepTransfer transfer = {.from_rank = from, .to_rank = to};
    const EepMove all = move_of(id, &transfer, 1);
    world.backend->ops->move(world.backend, &all);
}

static void abort_all(EepOpId id)
{
    const EepOp op = {.id = id, .pool = 1, .epoch = 1};
    world.backend->ops->abort(world.backend, &op, &(EepScope){.pool = 1, .epoch = 1});
}

static void run(EepTime until)
{
    ck_assert(eep_loop_run(world.loop, until, NULL));
}

static void run_all(void)
{
    run(EEP_TIME_NEVER - 1);
}

/* When the operation's part of `worker` (0: whole) ended; EEP_TIME_NEVER: it has not. */
static EepTime end_of(EepOpId id, EepWorkerId worker, EepDone done)
{
    EepTime at = EEP_TIME_NEVER;

    for (guint i = 0; i < world.ended->len; i++) {
        const Ended *ended = &g_array_index(world.ended, Ended, i);
        if (ended->completion.id != id || ended->completion.worker != worker)
            continue;
        ck_assert_msg(at == EEP_TIME_NEVER, "operation %u ended twice", (guint)id);
        ck_assert_int_eq(ended->completion.done, done);
        at = ended->at;
    }
    return at;
}

static EepTime cost_of_step(EepStepCost *ret_cost)
{
    world.predictor->ops->step(world.predictor, &world.plan, ret_cost);
    return ret_cost->step;
}

/* -- stopped workers -- */

START_TEST(steps_hang_until_they_are_aborted)
{
    EepStepCost cost;
    const EepTime step = cost_of_step(&cost);

    submit(1);
    submit(2);
    run(step); /* the first has ended, the second runs */
    submit(3);
    world.injector->ops->stop_worker(world.injector, 7, TRUE);
    run_all();
    ck_assert_int_eq(end_of(1, 0, EEP_DONE_OK), step);
    ck_assert_uint_eq(world.ended->len, 1);
    /* The machine is full of steps that hang. */
    submit(4);
    run_all();
    ck_assert_int_ne(end_of(4, 0, EEP_DONE_REFUSED), EEP_TIME_NEVER);
    abort_all(5);
    run_all();
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_ABORTED), step);
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_ABORTED), step);
    ck_assert_int_eq(end_of(5, 0, EEP_DONE_OK), step);
    /* Without it, steps go on; with it, one that is submitted hangs. */
    world.plan.n_engines = 6;
    submit(6);
    run_all();
    ck_assert_int_ne(end_of(6, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world.plan.n_engines = N;
    submit(7);
    run_all();
    ck_assert_int_eq(end_of(7, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    abort_all(8);
    run_all();
    world.injector->ops->heal_worker(world.injector, 7);
    const EepTime now = eep_loop_now(world.loop);
    submit(9);
    run_all();
    ck_assert_int_eq(end_of(9, 0, EEP_DONE_OK) - now, step);
}
END_TEST

START_TEST(a_worker_that_no_step_has_stops_nothing)
{
    EepStepCost cost;

    submit(1);
    world.injector->ops->stop_worker(world.injector, 99, FALSE);
    submit(2);
    run_all();
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK), 2 * cost_of_step(&cost));
}
END_TEST

START_TEST(a_phase_lacks_the_stopped_part)
{
    static const EepWorkerId workers[] = {1, 2, 3};

    start_phase(1, EEP_PHASE_LAUNCH, 3, workers);
    world.injector->ops->stop_worker(world.injector, 2, FALSE);
    start_phase(2, EEP_PHASE_LAUNCH, 3, workers);
    run_all();
    for (EepOpId id = 1; id <= 2; id++) {
        ck_assert_int_eq(end_of(id, 1, EEP_DONE_OK), 17 * S);
        ck_assert_int_eq(end_of(id, 3, EEP_DONE_OK), 17 * S);
        ck_assert_int_eq(end_of(id, 2, EEP_DONE_OK), EEP_TIME_NEVER);
        ck_assert_int_eq(end_of(id, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    }
    /* The parts that have ended stay so; the rest is aborted. */
    const EepOp op = {.id = 3, .pool = 1, .epoch = 1};
    world.backend->ops->abort(world.backend, &op, &(EepScope){.op = 1});
    run_all();
    ck_assert_int_eq(end_of(1, 1, EEP_DONE_OK), 17 * S);
    ck_assert_int_eq(end_of(1, 2, EEP_DONE_ABORTED), 17 * S);
    ck_assert_int_eq(end_of(1, 0, EEP_DONE_ABORTED), 17 * S);
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

START_TEST(moves_of_its_rank_hang)
{
    options.eplb_config.contention = _i ? 0.5 : 0.0;
    submit(1); /* tells who has which rank */
    run_all();
    world.injector->ops->stop_worker(world.injector, 4, TRUE);
    move(2, 0, 1);
    run_all();
    ck_assert_int_ne(end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    move(3, 0, 3);
    move(4, 0, 1); /* queued behind it */
    run_all();
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    abort_all(5);
    run_all();
    ck_assert_int_ne(end_of(3, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    ck_assert_int_ne(end_of(4, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    move(6, 1, 2);
    run_all();
    ck_assert_int_ne(end_of(6, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

START_TEST(moves_under_way_hang_too)
{
    options.eplb_config.contention = _i ? 0.5 : 0.0;
    submit(1);
    run_all();
    const EepTime now = eep_loop_now(world.loop);
    EepStepCost cost;
    move(2, 0, 1);
    move(3, 2, 1);
    submit(4);
    move(5, 0, 1);
    world.injector->ops->stop_worker(world.injector, 99, TRUE);
    run(now + 1);
    world.injector->ops->stop_worker(world.injector, 3, TRUE); /* rank 2, in the step too */
    run_all();
    ck_assert_int_ne(end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(end_of(5, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    /* Alone on the links, the move goes on at full speed. */
    const EepTransfer transfer = {.from_rank = 0, .to_rank = 1};
    const EepMove alone = move_of(9, &transfer, 1);
    const EepTime whole = world.predictor->ops->move(world.predictor, &alone, NULL);
    cost_of_step(&cost);
    ck_assert_int_le(llabs(end_of(2, 0, EEP_DONE_OK) - now - whole), 2);
}
END_TEST

START_TEST(a_joining_worker_has_a_rank)
{
    static const EepWorkerId workers[] = {101, 102};
    EepPhase phase = phase_of(2, EEP_PHASE_LAUNCH, 2, workers);

    submit(1);
    run_all();
    phase.n_ranks_new = N + 2;
    world.backend->ops->start_phase(world.backend, &phase);
    run_all();
    world.injector->ops->stop_worker(world.injector, 102, TRUE);
    move(3, 0, N);
    run_all();
    ck_assert_int_ne(end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    move(4, 0, N + 1);
    run_all();
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

/* -- slow workers and links -- */

START_TEST(a_step_waits_for_its_slowest_engine)
{
    EepStepCost cost, slow;
    const EepTime step = cost_of_step(&cost);
    EepStepSlowness slowness = {.compute = 1.0, .all2all = 1.0, .cpu = 1.0, .link = 1.0};
    double engines[N];

    for (guint i = 0; i < N; i++)
        engines[i] = 1.0;
    slowness.engines = engines;
    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    ck_assert_int_eq(slow.step, step);
    ck_assert_double_eq(slow.attention_s, cost.attention_s);
    engines[5] = 2.0;
    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    ck_assert_double_eq_tol(slow.attention_s, 2 * cost.attention_s, 1e-12);
    ck_assert_double_eq_tol(slow.other_s, 2 * cost.other_s, 1e-12);
    ck_assert_double_eq(slow.all2all_s, cost.all2all_s);
    ck_assert_double_eq_tol(slow.experts_s, cost.experts_s * fmax(1.0, 2.0 / cost.imbalance),
                            1e-12);
    /* An engine with little to do may be slow for nothing, as far as attention goes. */
    world.work[5] = (EepEngineWork){.engine = 6};
    world.plan.n_engines = N;
    engines[5] = 1.0001;
    cost_of_step(&cost);
    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    ck_assert_double_eq(slow.attention_s, cost.attention_s);
    fixture_decodes(&world.plan, world.work, N, 64, 2000);
    world.plan.placement = world.placement;

    /* Through the backend: from the next step on, and back. */
    engines[5] = 3.0;
    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    submit(1);
    world.injector->ops->slow_worker(world.injector, 6, 3.0);
    submit(2);
    run_all();
    ck_assert_int_eq(end_of(1, 0, EEP_DONE_OK), step);
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK), step + slow.step);
    world.injector->ops->slow_worker(world.injector, 6, 1.0);
    submit(3);
    run_all();
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_OK), 2 * step + slow.step);
}
END_TEST

START_TEST(a_slow_worker_s_phases_take_longer)
{
    static const EepWorkerId workers[] = {1, 2};

    world.injector->ops->slow_worker(world.injector, 2, 1.5);
    start_phase(1, EEP_PHASE_LAUNCH, 2, workers);
    run_all();
    ck_assert_int_eq(end_of(1, 1, EEP_DONE_OK), 17 * S);
    ck_assert_int_eq(end_of(1, 2, EEP_DONE_OK), 17 * S + 17 * S / 2);
    ck_assert_int_eq(end_of(1, 0, EEP_DONE_OK), 17 * S + 17 * S / 2);
}
END_TEST

START_TEST(the_slowest_link_bounds_the_exchange)
{
    EepStepCost cost, slow;
    const EepTime step = cost_of_step(&cost);
    EepHardware half = hardware;

    half.nvlink_bytes_per_s /= 2;
    half.nic_bytes_per_s /= 2;
    g_autoptr(EepPredictor) expected = eep_sim_predictor_new(
        &model, &half, &options, eep_skew_new(&skew, 1, 58, 256, NULL, NULL, NULL), FALSE, 1);
    expected->ops->step(expected, &world.plan, &slow);
    ck_assert_double_gt(slow.all2all_s, 1.5 * cost.all2all_s);
    world.injector->ops->set_link(world.injector, 2, 1, 0.5); /* another pool's */
    world.injector->ops->set_link(world.injector, 1, 5, 0.5); /* a node that is not used */
    submit(1);
    run_all();
    ck_assert_int_eq(end_of(1, 0, EEP_DONE_OK), step);
    world.injector->ops->set_link(world.injector, 1, 1, 0.5);
    submit(2);
    run_all();
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK) - step, slow.step);
    world.injector->ops->set_link(world.injector, 1, 1, 1.0);
    const EepTime now = eep_loop_now(world.loop);
    submit(3);
    run_all();
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_OK) - now, step);
}
END_TEST

START_TEST(moves_and_weights_over_a_slow_link)
{
    static const EepWorkerId old_to_new[] = {1, 9};
    const double gb = 44040192.0 / (450e9 * 0.7);
    EepTime now;

    submit(1);
    run_all();
    world.injector->ops->set_link(world.injector, 1, 1, 0.25);
    now = eep_loop_now(world.loop);
    move(2, 0, 1);
    run_all();
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK) - now, eep_time_from_seconds(gb + 4e-6));
    now = eep_loop_now(world.loop);
    move(3, 8, 9); /* both on node 1 */
    run_all();
    ck_assert_int_eq(end_of(3, 0, EEP_DONE_OK) - now, eep_time_from_seconds(4 * gb + 4e-6));
    /* Weights from rank 0 to rank 8. */
    EepPhase phase = phase_of(4, EEP_PHASE_WEIGHTS_TREE, 2, old_to_new);
    phase.n_receivers = 1;
    phase.bytes = 9000000000;
    now = eep_loop_now(world.loop);
    world.backend->ops->start_phase(world.backend, &phase);
    run_all();
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK) - now,
                     eep_time_from_seconds(4 * 9e9 / (50e9 * 0.9) + 10e-6));
}
END_TEST

/* -- phases -- */

START_TEST(the_nth_phase_fails_or_hangs)
{
    static const EepWorkerId workers[] = {1, 2};
    static const EepDone ok = EEP_DONE_OK;

    world.injector->ops->break_phase(world.injector, 1, EEP_PHASE_LAUNCH, 2, FALSE);
    world.injector->ops->break_phase(world.injector, 1, EEP_PHASE_LAUNCH, 4, TRUE);
    for (EepOpId id = 1; id <= 5; id++)
        start_phase(id, EEP_PHASE_LAUNCH, 2, workers);
    start_phase(6, EEP_PHASE_WARM_UP, 2, workers);
    run_all();
    for (EepWorkerId worker = 0; worker <= 2; worker++) {
        ck_assert_int_eq(end_of(1, worker, ok), 17 * S);
        ck_assert_int_eq(end_of(2, worker, EEP_DONE_TIMED_OUT), 17 * S);
        ck_assert_int_eq(end_of(3, worker, ok), 17 * S);
        ck_assert_int_eq(end_of(4, worker, ok), EEP_TIME_NEVER);
        ck_assert_int_eq(end_of(5, worker, ok), 17 * S);
        ck_assert_int_eq(end_of(6, worker, ok), 3 * S);
    }
}
END_TEST

START_TEST(every_phase_of_a_kind_fails)
{
    static const EepWorkerId workers[] = {1};

    world.injector->ops->break_phase(world.injector, 1, EEP_PHASE_MASK, 0, FALSE);
    for (EepOpId id = 1; id <= 3; id++)
        start_phase(id, EEP_PHASE_MASK, 1, workers);
    run_all();
    for (EepOpId id = 1; id <= 3; id++)
        ck_assert_int_eq(end_of(id, 0, EEP_DONE_TIMED_OUT), 2 * EEP_NS_PER_MS);
}
END_TEST

START_TEST(the_register_forgets)
{
    EepBrokenParts *parts = eep_broken_parts_new();

    ck_assert(eep_broken_parts_is_empty(parts));
    eep_broken_parts_stop(parts, 3, TRUE);
    eep_broken_parts_slow(parts, 3, 2.0);
    eep_broken_parts_stop(parts, 3, FALSE);
    ck_assert_double_eq(eep_broken_parts_slowness(parts, 3), 2.0);
    ck_assert(!eep_broken_parts_is_stopped(parts, 3));
    eep_broken_parts_slow(parts, 3, 1.0);
    eep_broken_parts_set_link(parts, 1, 0, 0.5);
    eep_broken_parts_set_link(parts, 1, 0, 0.25);
    ck_assert_double_eq(eep_broken_parts_link(parts, 1, 0), 0.25);
    ck_assert_double_eq(eep_broken_parts_link(parts, 1, 1), 1.0);
    eep_broken_parts_set_link(parts, 1, 0, 1.0);
    eep_broken_parts_break_phase(parts, 1, EEP_PHASE_MASK, 1, FALSE);
    ck_assert(!eep_broken_parts_is_empty(parts));
    ck_assert_int_eq(eep_broken_parts_begin_phase(parts, 2, EEP_PHASE_MASK), EEP_PHASE_GOES_WELL);
    ck_assert_int_eq(eep_broken_parts_begin_phase(parts, 1, EEP_PHASE_MASK), EEP_PHASE_FAILS);
    ck_assert(eep_broken_parts_is_empty(parts));
    eep_broken_parts_free(parts);
}
END_TEST

/* -- background work -- */

START_TEST(steps_beside_background_work_take_longer)
{
    static const EepWorkerId serving[] = {1, 2}, others[] = {50, 51};
    EepStepCost cost, slow;
    const EepTime step = cost_of_step(&cost);
    const EepStepSlowness slowness = {
        .compute = 1.0 / (1.0 - 0.2), .all2all = 2.0, .cpu = 1.0, .link = 1.0};

    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    ck_assert_double_eq_tol(slow.all2all_s, 2 * cost.all2all_s, 1e-12);
    ck_assert_double_eq_tol(slow.experts_s, cost.experts_s / 0.8, 1e-12);
    EepPhase phase = phase_of(1, EEP_PHASE_WEIGHTS_TREE, 2, others);
    phase.n_receivers = 1;
    phase.bytes = 9000000000; /* 0.2 s */
    options.resize.background = 1.0;
    world.backend->ops->start_phase(world.backend, &phase);
    submit(2); /* nobody of it sends */
    run(step);
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK), step);
    phase.op.id = 3;
    phase.workers = serving;
    world.backend->ops->start_phase(world.backend, &phase);
    submit(4);
    run(step + slow.step);
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK), step + slow.step);
    options.resize.background = 0.0;
    submit(5);
    run(step + slow.step + step);
    ck_assert_int_eq(end_of(5, 0, EEP_DONE_OK), step + slow.step + step);
    options.resize.background = 1.0;
    run_all();
    ck_assert_int_ne(end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    const EepTime now = eep_loop_now(world.loop);
    submit(6); /* it is over */
    run_all();
    ck_assert_int_eq(end_of(6, 0, EEP_DONE_OK) - now, step);
}
END_TEST

/* New engines start on a host of which old ones have a part, or on one of their own. */
START_TEST(starting_engines_load_their_host)
{
    static const EepWorkerId workers[] = {50};
    EepStepCost cost, slow;

    hardware.cpu_step = 300 * EEP_NS_PER_MS; /* the CPU decides */
    if (_i == 1)
        hardware.gpus_per_host = 16;
    const EepTime step = cost_of_step(&cost);
    const EepStepSlowness slowness = {.compute = 1.0, .all2all = 1.0, .cpu = 4.0 / 3, .link = 1.0};
    eep_sim_predictor_slowed_step(world.predictor, &world.plan, &slowness, &slow);
    ck_assert_int_ge(slow.step - step, 100 * EEP_NS_PER_MS);
    EepPhase phase = phase_of(1, EEP_PHASE_LAUNCH, 1, workers);
    phase.n_ranks_old = 8;
    phase.n_ranks_new = 9;
    options.resize.background = 1.0;
    world.backend->ops->start_phase(world.backend, &phase);
    submit(2);
    run_all();
    ck_assert_int_eq(end_of(2, 0, EEP_DONE_OK), _i == 1 ? slow.step : step);
}
END_TEST

/* An abort of what loads the steps sets them free, and one that hangs loads them until then. */
START_TEST(aborted_work_loads_nothing)
{
    static const EepWorkerId serving[] = {1};
    EepStepCost cost;
    const EepTime step = cost_of_step(&cost);
    EepTime now;

    options.resize.background = 1.0;
    world.injector->ops->break_phase(world.injector, 1, EEP_PHASE_WEIGHTS_TREE, 1, TRUE);
    EepPhase phase = phase_of(1, EEP_PHASE_WEIGHTS_TREE, 1, serving);
    phase.n_receivers = 1;
    phase.bytes = 1000000;
    world.backend->ops->start_phase(world.backend, &phase);
    run(10 * S);
    now = eep_loop_now(world.loop);
    submit(2);
    run_all();
    ck_assert_int_gt(end_of(2, 0, EEP_DONE_OK) - now, step);
    abort_all(3);
    run_all();
    ck_assert_int_ne(end_of(1, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    now = eep_loop_now(world.loop);
    submit(4);
    run_all();
    ck_assert_int_eq(end_of(4, 0, EEP_DONE_OK) - now, step);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend_faults");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup_world, teardown);
    tcase_add_test(tcase, steps_hang_until_they_are_aborted);
    tcase_add_test(tcase, a_worker_that_no_step_has_stops_nothing);
    tcase_add_test(tcase, a_phase_lacks_the_stopped_part);
    tcase_add_loop_test(tcase, moves_of_its_rank_hang, 0, 2);
    tcase_add_loop_test(tcase, moves_under_way_hang_too, 0, 2);
    tcase_add_test(tcase, a_joining_worker_has_a_rank);
    tcase_add_test(tcase, a_step_waits_for_its_slowest_engine);
    tcase_add_test(tcase, a_slow_worker_s_phases_take_longer);
    tcase_add_test(tcase, the_slowest_link_bounds_the_exchange);
    tcase_add_test(tcase, moves_and_weights_over_a_slow_link);
    tcase_add_test(tcase, the_nth_phase_fails_or_hangs);
    tcase_add_test(tcase, every_phase_of_a_kind_fails);
    tcase_add_test(tcase, the_register_forgets);
    tcase_add_test(tcase, steps_beside_background_work_take_longer);
    tcase_add_loop_test(tcase, starting_engines_load_their_host, 0, 2);
    tcase_add_test(tcase, aborted_work_loads_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
