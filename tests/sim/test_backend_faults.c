/* The simulated backend with parts of it broken, and with work in background. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/eplb/placement.h"
#include "core/resize/phase.h"
#include "sim/backend_sim.h"
#include "sim/broken_parts.h"
#include "sim/predictor_sim.h"
#include "tests/sim/sim_fixture.h"
#include "tests/sim/sim_world.h"

#define N SIM_WORLD_ENGINES
#define S EEP_NS_PER_S

/* -- stopped workers -- */

START_TEST(steps_hang_until_they_are_aborted)
{
    EepStepCost cost;
    const EepTime step = world_cost_of_step(&cost);

    world_submit(1);
    world_submit(2);
    world_run(step); /* the first has ended, the second runs */
    world_submit(3);
    sim_world.injector->ops->stop_worker(sim_world.injector, 7, TRUE);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), step);
    ck_assert_uint_eq(sim_world.ended->len, 1);
    /* The machine is full of steps that hang. */
    world_submit(4);
    world_run_all();
    ck_assert_int_ne(world_end_of(4, 0, EEP_DONE_REFUSED), EEP_TIME_NEVER);
    world_abort_all(5);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_ABORTED), step);
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_ABORTED), step);
    ck_assert_int_eq(world_end_of(5, 0, EEP_DONE_OK), step);
    /* Without it, steps go on; with it, one that is submitted hangs. */
    sim_world.plan.n_engines = 6;
    world_submit(6);
    world_run_all();
    ck_assert_int_ne(world_end_of(6, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    sim_world.plan.n_engines = N;
    world_submit(7);
    world_run_all();
    ck_assert_int_eq(world_end_of(7, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world_abort_all(8);
    world_run_all();
    sim_world.injector->ops->heal_worker(sim_world.injector, 7);
    const EepTime now = eep_loop_now(sim_world.loop);
    world_submit(9);
    world_run_all();
    ck_assert_int_eq(world_end_of(9, 0, EEP_DONE_OK) - now, step);
}
END_TEST

START_TEST(a_worker_that_no_step_has_stops_nothing)
{
    EepStepCost cost;

    world_submit(1);
    sim_world.injector->ops->stop_worker(sim_world.injector, 99, FALSE);
    world_submit(2);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK), 2 * world_cost_of_step(&cost));
}
END_TEST

START_TEST(a_phase_lacks_the_stopped_part)
{
    static const EepWorkerId workers[] = {1, 2, 3};

    world_start_phase(1, EEP_PHASE_LAUNCH, 3, workers);
    sim_world.injector->ops->stop_worker(sim_world.injector, 2, FALSE);
    world_start_phase(2, EEP_PHASE_LAUNCH, 3, workers);
    world_run_all();
    for (EepOpId id = 1; id <= 2; id++) {
        ck_assert_int_eq(world_end_of(id, 1, EEP_DONE_OK), 17 * S);
        ck_assert_int_eq(world_end_of(id, 3, EEP_DONE_OK), 17 * S);
        ck_assert_int_eq(world_end_of(id, 2, EEP_DONE_OK), EEP_TIME_NEVER);
        ck_assert_int_eq(world_end_of(id, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    }
    /* The parts that have ended stay so; the rest is aborted. */
    const EepOp op = {.id = 3, .pool = 1, .epoch = 1};
    sim_world.backend->ops->abort(sim_world.backend, &op, &(EepScope){.op = 1});
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 1, EEP_DONE_OK), 17 * S);
    ck_assert_int_eq(world_end_of(1, 2, EEP_DONE_ABORTED), 17 * S);
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_ABORTED), 17 * S);
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

START_TEST(moves_of_its_rank_hang)
{
    sim_world.options.eplb_config.contention = _i ? 0.5 : 0.0;
    world_submit(1); /* tells who has which rank */
    world_run_all();
    sim_world.injector->ops->stop_worker(sim_world.injector, 4, TRUE);
    world_move(2, 0, 1);
    world_run_all();
    ck_assert_int_ne(world_end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world_move(3, 0, 3);
    world_move(4, 0, 1); /* queued behind it */
    world_run_all();
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world_abort_all(5);
    world_run_all();
    ck_assert_int_ne(world_end_of(3, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    ck_assert_int_ne(world_end_of(4, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    world_move(6, 1, 2);
    world_run_all();
    ck_assert_int_ne(world_end_of(6, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

START_TEST(moves_under_way_hang_too)
{
    sim_world.options.eplb_config.contention = _i ? 0.5 : 0.0;
    world_submit(1);
    world_run_all();
    const EepTime now = eep_loop_now(sim_world.loop);
    EepStepCost cost;
    world_move(2, 0, 1);
    world_move(3, 2, 1);
    world_submit(4);
    world_move(5, 0, 1);
    sim_world.injector->ops->stop_worker(sim_world.injector, 99, TRUE);
    world_run(now + 1);
    sim_world.injector->ops->stop_worker(sim_world.injector, 3, TRUE); /* rank 2, in the step too */
    world_run_all();
    ck_assert_int_ne(world_end_of(2, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(5, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    /* Alone on the links, the move goes on at full speed. */
    const EepTransfer transfer = {.from_rank = 0, .to_rank = 1};
    const EepMove alone = world_move_of(9, &transfer, 1);
    const EepTime whole = sim_world.predictor->ops->move(sim_world.predictor, &alone, NULL);
    world_cost_of_step(&cost);
    ck_assert_int_le(llabs(world_end_of(2, 0, EEP_DONE_OK) - now - whole), 2);
}
END_TEST

START_TEST(a_joining_worker_has_a_rank)
{
    static const EepWorkerId workers[] = {101, 102};
    EepPhase phase = world_phase_of(2, EEP_PHASE_LAUNCH, 2, workers);

    world_submit(1);
    world_run_all();
    phase.n_ranks_new = N + 2;
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_run_all();
    sim_world.injector->ops->stop_worker(sim_world.injector, 102, TRUE);
    world_move(3, 0, N);
    world_run_all();
    ck_assert_int_ne(world_end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world_move(4, 0, N + 1);
    world_run_all();
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

/* -- slow workers and links -- */

START_TEST(a_step_waits_for_its_slowest_engine)
{
    EepStepCost cost, slow;
    const EepTime step = world_cost_of_step(&cost);
    EepStepSlowness slowness = {.compute = 1.0, .all2all = 1.0, .cpu = 1.0, .link = 1.0};
    double engines[N];

    for (guint i = 0; i < N; i++)
        engines[i] = 1.0;
    slowness.engines = engines;
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    ck_assert_int_eq(slow.step, step);
    ck_assert_double_eq(slow.attention_s, cost.attention_s);
    engines[5] = 2.0;
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    ck_assert_double_eq_tol(slow.attention_s, 2 * cost.attention_s, 1e-12);
    ck_assert_double_eq_tol(slow.other_s, 2 * cost.other_s, 1e-12);
    ck_assert_double_eq(slow.all2all_s, cost.all2all_s);
    ck_assert_double_eq_tol(slow.experts_s, cost.experts_s * fmax(1.0, 2.0 / cost.imbalance),
                            1e-12);
    /* An engine with little to do may be slow for nothing, as far as attention goes. */
    sim_world.work[5] = (EepEngineWork){.engine = 6};
    sim_world.plan.n_engines = N;
    engines[5] = 1.0001;
    world_cost_of_step(&cost);
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    ck_assert_double_eq(slow.attention_s, cost.attention_s);
    fixture_decodes(&sim_world.plan, sim_world.work, N, 64, 2000);
    sim_world.plan.placement = sim_world.placement;

    /* Through the backend: from the next step on, and back. */
    engines[5] = 3.0;
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    world_submit(1);
    world_run_all();
    sim_world.injector->ops->slow_worker(sim_world.injector, 6, 3.0);
    world_submit(2);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), step);
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK), step + slow.step);
    sim_world.injector->ops->slow_worker(sim_world.injector, 6, 1.0);
    world_submit(3);
    world_run_all();
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK), 2 * step + slow.step);
}
END_TEST

START_TEST(a_slow_worker_s_phases_take_longer)
{
    static const EepWorkerId workers[] = {1, 2};

    sim_world.injector->ops->slow_worker(sim_world.injector, 2, 1.5);
    world_start_phase(1, EEP_PHASE_LAUNCH, 2, workers);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 1, EEP_DONE_OK), 17 * S);
    ck_assert_int_eq(world_end_of(1, 2, EEP_DONE_OK), 17 * S + 17 * S / 2);
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), 17 * S + 17 * S / 2);
}
END_TEST

START_TEST(the_slowest_link_bounds_the_exchange)
{
    EepStepCost cost, slow;
    const EepTime step = world_cost_of_step(&cost);
    EepHardware half = sim_world.hardware;

    half.nvlink_bytes_per_s /= 2;
    half.nic_bytes_per_s /= 2;
    g_autoptr(EepPredictor) expected = eep_sim_predictor_new(
        &sim_world.model, &half, &sim_world.options,
        eep_skew_new(&sim_world.skew, 1, 58, 256, NULL, NULL, NULL), FALSE, 1);
    expected->ops->step(expected, &sim_world.plan, &slow);
    ck_assert_double_gt(slow.all2all_s, 1.5 * cost.all2all_s);
    sim_world.injector->ops->set_link(sim_world.injector, 2, 1, 0.5); /* another pool's */
    sim_world.injector->ops->set_link(sim_world.injector, 1, 5, 0.5); /* a node that is not used */
    world_submit(1);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), step);
    sim_world.injector->ops->set_link(sim_world.injector, 1, 1, 0.5);
    world_submit(2);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK) - step, slow.step);
    sim_world.injector->ops->set_link(sim_world.injector, 1, 1, 1.0);
    const EepTime now = eep_loop_now(sim_world.loop);
    world_submit(3);
    world_run_all();
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK) - now, step);
}
END_TEST

START_TEST(moves_and_weights_over_a_slow_link)
{
    static const EepWorkerId old_to_new[] = {1, 9};
    const double gb = 44040192.0 / (450e9 * 0.7);
    EepTime now;

    world_submit(1);
    world_run_all();
    sim_world.injector->ops->set_link(sim_world.injector, 1, 1, 0.25);
    now = eep_loop_now(sim_world.loop);
    world_move(2, 0, 1);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK) - now, eep_time_from_seconds(gb + 4e-6));
    now = eep_loop_now(sim_world.loop);
    world_move(3, 8, 9); /* both on node 1 */
    world_run_all();
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK) - now, eep_time_from_seconds(4 * gb + 4e-6));
    /* Weights from rank 0 to rank 8. */
    EepPhase phase = world_phase_of(4, EEP_PHASE_WEIGHTS_TREE, 2, old_to_new);
    phase.n_receivers = 1;
    phase.bytes = 9000000000;
    now = eep_loop_now(sim_world.loop);
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_run_all();
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK) - now,
                     eep_time_from_seconds(4 * 9e9 / (50e9 * 0.9) + 10e-6));
}
END_TEST

/* -- phases -- */

START_TEST(the_nth_phase_fails_or_hangs)
{
    static const EepWorkerId workers[] = {1, 2};
    static const EepDone ok = EEP_DONE_OK;

    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_LAUNCH, 2, FALSE);
    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_LAUNCH, 4, TRUE);
    for (EepOpId id = 1; id <= 5; id++)
        world_start_phase(id, EEP_PHASE_LAUNCH, 2, workers);
    world_start_phase(6, EEP_PHASE_WARM_UP, 2, workers);
    world_run_all();
    for (EepWorkerId worker = 0; worker <= 2; worker++) {
        ck_assert_int_eq(world_end_of(1, worker, ok), 17 * S);
        ck_assert_int_eq(world_end_of(2, worker, EEP_DONE_TIMED_OUT), 17 * S);
        ck_assert_int_eq(world_end_of(3, worker, ok), 17 * S);
        ck_assert_int_eq(world_end_of(4, worker, ok), EEP_TIME_NEVER);
        ck_assert_int_eq(world_end_of(5, worker, ok), 17 * S);
        ck_assert_int_eq(world_end_of(6, worker, ok), 3 * S);
    }
}
END_TEST

START_TEST(every_phase_of_a_kind_fails)
{
    static const EepWorkerId workers[] = {1};

    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_MASK, 0, FALSE);
    for (EepOpId id = 1; id <= 3; id++)
        world_start_phase(id, EEP_PHASE_MASK, 1, workers);
    world_run_all();
    for (EepOpId id = 1; id <= 3; id++)
        ck_assert_int_eq(world_end_of(id, 0, EEP_DONE_TIMED_OUT), 2 * EEP_NS_PER_MS);
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
    const EepTime step = world_cost_of_step(&cost);
    const EepStepSlowness slowness = {
        .compute = 1.0 / (1.0 - 0.2), .all2all = 2.0, .cpu = 1.0, .link = 1.0};

    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    ck_assert_double_eq_tol(slow.all2all_s, 2 * cost.all2all_s, 1e-12);
    ck_assert_double_eq_tol(slow.experts_s, cost.experts_s / 0.8, 1e-12);
    EepPhase phase = world_phase_of(1, EEP_PHASE_WEIGHTS_TREE, 2, others);
    phase.n_receivers = 1;
    phase.bytes = 9000000000; /* 0.2 s */
    sim_world.options.resize.background = 1.0;
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_submit(2); /* nobody of it sends */
    world_run(step);
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK), step);
    phase.op.id = 3;
    phase.workers = serving;
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_submit(4);
    world_run(step + slow.step);
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK), step + slow.step);
    sim_world.options.resize.background = 0.0;
    world_submit(5);
    world_run(step + slow.step + step);
    ck_assert_int_eq(world_end_of(5, 0, EEP_DONE_OK), step + slow.step + step);
    sim_world.options.resize.background = 1.0;
    world_run_all();
    ck_assert_int_ne(world_end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    const EepTime now = eep_loop_now(sim_world.loop);
    world_submit(6); /* it is over */
    world_run_all();
    ck_assert_int_eq(world_end_of(6, 0, EEP_DONE_OK) - now, step);
}
END_TEST

/* New engines start on a host of which old ones have a part, or on one of their own. */
START_TEST(starting_engines_load_their_host)
{
    static const EepWorkerId workers[] = {50};
    EepStepCost cost, slow;

    sim_world.hardware.cpu_step = 300 * EEP_NS_PER_MS; /* the CPU decides */
    if (_i == 1)
        sim_world.hardware.gpus_per_host = 16;
    const EepTime step = world_cost_of_step(&cost);
    const EepStepSlowness slowness = {.compute = 1.0, .all2all = 1.0, .cpu = 4.0 / 3, .link = 1.0};
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    ck_assert_int_ge(slow.step - step, 100 * EEP_NS_PER_MS);
    EepPhase phase = world_phase_of(1, EEP_PHASE_LAUNCH, 1, workers);
    phase.n_ranks_old = 8;
    phase.n_ranks_new = 9;
    sim_world.options.resize.background = 1.0;
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_submit(2);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK), _i == 1 ? slow.step : step);
}
END_TEST

/* An abort of what loads the steps sets them free, and one that hangs loads them until then. */
START_TEST(aborted_work_loads_nothing)
{
    static const EepWorkerId serving[] = {1};
    EepStepCost cost;
    const EepTime step = world_cost_of_step(&cost);
    EepTime now;

    sim_world.options.resize.background = 1.0;
    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_WEIGHTS_TREE, 1, TRUE);
    EepPhase phase = world_phase_of(1, EEP_PHASE_WEIGHTS_TREE, 1, serving);
    phase.n_receivers = 1;
    phase.bytes = 1000000;
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    world_run(10 * S);
    now = eep_loop_now(sim_world.loop);
    world_submit(2);
    world_run_all();
    ck_assert_int_gt(world_end_of(2, 0, EEP_DONE_OK) - now, step);
    world_abort_all(3);
    world_run_all();
    ck_assert_int_ne(world_end_of(1, 0, EEP_DONE_ABORTED), EEP_TIME_NEVER);
    now = eep_loop_now(sim_world.loop);
    world_submit(4);
    world_run_all();
    ck_assert_int_eq(world_end_of(4, 0, EEP_DONE_OK) - now, step);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend_faults");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
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
