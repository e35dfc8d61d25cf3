/* The simulated backend while workers and links become slow, and themselves again. */
#include <check.h>
#include <stdlib.h>

#include "tests/sim/sim_world.h"

#define N SIM_WORLD_ENGINES
#define S EEP_NS_PER_S

static void run_and_slow(EepTime until, EepWorkerId worker, double factor)
{
    world_pass_to(until);
    sim_world.injector->ops->slow_worker(sim_world.injector, worker, factor);
}

/* Slow from 5 s to 10 s, at half the speed: 2.5 s of work less by then. */
START_TEST(a_phase_is_slow_only_while_its_worker_is)
{
    static const EepWorkerId workers[] = {1, 2};

    world_start_phase(1, EEP_PHASE_LAUNCH, 2, workers);
    run_and_slow(5 * S, 2, 2.0);
    run_and_slow(10 * S, 2, 1.0);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 1, EEP_DONE_OK), 17 * S);
    ck_assert_int_eq(world_end_of(1, 2, EEP_DONE_OK), 17 * S + 5 * S / 2);
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), 17 * S + 5 * S / 2);
    /* Slow before it begins, and until 1 s behind that; a third the speed, then a half. */
    const EepTime now = eep_loop_now(sim_world.loop);
    sim_world.injector->ops->slow_worker(sim_world.injector, 1, 3.0);
    world_start_phase(2, EEP_PHASE_LAUNCH, 2, workers);
    run_and_slow(now + 6 * S, 1, 2.0);
    run_and_slow(now + 12 * S, 1, 1.0);
    world_run_all();
    ck_assert_int_eq(world_end_of(2, 2, EEP_DONE_OK) - now, 17 * S);
    ck_assert_int_eq(world_end_of(2, 1, EEP_DONE_OK) - now, (17 + 4 + 3) * S);
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_OK) - now, (17 + 4 + 3) * S);
}
END_TEST

/* One that hangs goes on hanging, one that fails does so later. */
START_TEST(broken_phases_stay_broken_when_slow)
{
    static const EepWorkerId workers[] = {1, 2};

    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_LAUNCH, 1, TRUE);
    world_start_phase(1, EEP_PHASE_LAUNCH, 2, workers);
    sim_world.injector->ops->break_phase(sim_world.injector, 1, EEP_PHASE_LAUNCH, 1, FALSE);
    world_start_phase(2, EEP_PHASE_LAUNCH, 2, workers);
    sim_world.injector->ops->stop_worker(sim_world.injector, 3, FALSE);
    world_start_phase(3, EEP_PHASE_LAUNCH, 2, (const EepWorkerId[]){2, 3});
    run_and_slow(7 * S, 2, 2.0);
    world_run_all();
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(1, 2, EEP_DONE_OK), EEP_TIME_NEVER);
    ck_assert_int_eq(world_end_of(2, 1, EEP_DONE_TIMED_OUT), 17 * S);
    ck_assert_int_eq(world_end_of(2, 2, EEP_DONE_TIMED_OUT), 27 * S);
    ck_assert_int_eq(world_end_of(2, 0, EEP_DONE_TIMED_OUT), 27 * S);
    ck_assert_int_eq(world_end_of(3, 2, EEP_DONE_OK), 27 * S);
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK), EEP_TIME_NEVER);
}
END_TEST

/* The step that runs, and the one behind it. */
START_TEST(steps_are_slow_only_while_an_engine_is)
{
    EepStepCost cost;
    const EepTime step = world_cost_of_step(&cost);
    EepStepSlowness slowness = {.compute = 1.0, .all2all = 1.0, .cpu = 1.0, .link = 1.0};
    double engines[N];
    EepStepCost slow;

    sim_world.options.eplb_config.contention = _i ? 0.5 : 0.0;
    for (guint i = 0; i < N; i++)
        engines[i] = i == 5 ? 3.0 : 1.0;
    slowness.engines = engines;
    eep_sim_predictor_slowed_step(sim_world.predictor, &sim_world.plan, &slowness, &slow);
    const double rate = (double)step / (double)slow.step;

    world_submit(1);
    world_submit(2);
    run_and_slow(step / 4, 6, 3.0);
    run_and_slow(step / 4 + step / 2, 6, 1.0);
    world_run_all();
    const EepTime end = step + step / 2 - (EepTime)(rate * (double)(step / 2));
    ck_assert_int_gt(end, step + step / 8);
    ck_assert_int_le(llabs(world_end_of(1, 0, EEP_DONE_OK) - end), 2);
    ck_assert_int_le(llabs(world_end_of(2, 0, EEP_DONE_OK) - end - step), 2);
    /* Behind one that becomes slow and well again, the next step begins when it ends. */
    const EepTime now = eep_loop_now(sim_world.loop);
    sim_world.injector->ops->slow_worker(sim_world.injector, 6, 3.0);
    world_submit(3);
    world_submit(4);
    run_and_slow(now + slow.step / 2, 6, 1.0);
    world_submit(5); /* refused: two are in flight */
    world_run_all();
    ck_assert_int_le(llabs(world_end_of(3, 0, EEP_DONE_OK) - now - slow.step / 2 - step / 2), 2);
    ck_assert_int_le(
        llabs(world_end_of(4, 0, EEP_DONE_OK) - world_end_of(3, 0, EEP_DONE_OK) - step), 2);
    world_submit(6);
    world_run_all();
    ck_assert_int_eq(world_end_of(6, 0, EEP_DONE_OK) - world_end_of(4, 0, EEP_DONE_OK), step);
}
END_TEST

static void set_link(EepTime at, guint node, double factor)
{
    world_pass_to(at);
    sim_world.injector->ops->set_link(sim_world.injector, 1, node, factor);
}

/* Of a transfer that takes 4 units: after one of them a quarter of the bandwidth for four units. */
START_TEST(transfers_are_slow_only_while_the_link_is)
{
    static const EepWorkerId old_to_new[] = {1, 9};

    sim_world.options.eplb_config.contention = _i ? 0.5 : 0.0;
    world_submit(1);
    world_run_all();
    sim_world.hardware.nvlink_latency = sim_world.hardware.nic_latency = 0;
    const EepTransfer transfer = {.from_rank = 8, .to_rank = 9};
    const EepMove alone = world_move_of(9, &transfer, 1);
    const EepTime unit = sim_world.predictor->ops->move(sim_world.predictor, &alone, NULL) / 4;
    EepTime now = eep_loop_now(sim_world.loop);
    world_move(2, 8, 9);
    world_move(3, 8, 9); /* behind it */
    set_link(now + unit, 1, 0.25);
    set_link(now + unit, 0, 0.25); /* another node's */
    set_link(now + 5 * unit, 1, 1.0);
    world_run_all();
    ck_assert_int_le(llabs(world_end_of(2, 0, EEP_DONE_OK) - now - 7 * unit), 8);
    ck_assert_int_le(llabs(world_end_of(3, 0, EEP_DONE_OK) - now - 11 * unit), 12);
    sim_world.injector->ops->set_link(sim_world.injector, 1, 0, 1.0);
    /* Alone afterwards. */
    now = eep_loop_now(sim_world.loop);
    world_move(4, 8, 9);
    world_run_all();
    ck_assert_int_le(llabs(world_end_of(4, 0, EEP_DONE_OK) - now - 4 * unit), 4);
    /* Weights from rank 0 to rank 8: 0.2 s, slow from 0.1 s to 0.2 s. */
    EepPhase phase = world_phase_of(5, EEP_PHASE_WEIGHTS_TREE, 2, old_to_new);
    phase.n_receivers = 1;
    phase.bytes = 9000000000;
    now = eep_loop_now(sim_world.loop);
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    set_link(now + S / 10, 1, 0.5);
    set_link(now + S / 5, 1, 1.0);
    world_run_all();
    ck_assert_int_le(llabs(world_end_of(5, 0, EEP_DONE_OK) - now - S / 4), 2);
}
END_TEST

/* A sender that becomes slow sends for longer, and loads the steps until then. */
START_TEST(slow_background_work_loads_for_longer)
{
    static const EepWorkerId serving[] = {1, 2};
    EepStepCost cost;
    EepPhase phase = world_phase_of(1, EEP_PHASE_WEIGHTS_TREE, 2, serving);

    phase.n_receivers = 1;
    phase.bytes = 9000000000; /* 0.2 s */
    sim_world.options.resize.background = 1.0;
    const EepTime step = world_cost_of_step(&cost);
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
    sim_world.injector->ops->slow_worker(sim_world.injector, 2, 10.0);
    world_pass_to(S); /* 0.2 s in the slow worker's account */
    sim_world.injector->ops->slow_worker(sim_world.injector, 2, 1.0);
    ck_assert_int_eq(world_end_of(1, 0, EEP_DONE_OK), EEP_TIME_NEVER);
    world_submit(2);
    world_run_all();
    ck_assert_int_gt(world_end_of(1, 0, EEP_DONE_OK), S);
    ck_assert_int_lt(world_end_of(1, 0, EEP_DONE_OK), S + S / 5);
    ck_assert_int_gt(world_end_of(2, 0, EEP_DONE_OK), S + step);
    const EepTime now = eep_loop_now(sim_world.loop);
    world_submit(3);
    world_run_all();
    ck_assert_int_eq(world_end_of(3, 0, EEP_DONE_OK) - now, step);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend_retime");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_phase_is_slow_only_while_its_worker_is);
    tcase_add_test(tcase, broken_phases_stay_broken_when_slow);
    tcase_add_loop_test(tcase, steps_are_slow_only_while_an_engine_is, 0, 2);
    tcase_add_loop_test(tcase, transfers_are_slow_only_while_the_link_is, 0, 2);
    tcase_add_test(tcase, slow_background_work_loads_for_longer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
