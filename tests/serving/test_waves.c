/* Waves, dummy steps, lockstep and async scheduling, to the nanosecond. Idle steps cost as much as
 * others here: 10 ns. */

#include <check.h>

#include "tests/serving/serving_kit.h"

static KitConfig config;

static void setup(void)
{
    kit_config_init(&config);
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void assert_times(const KitRun *run, guint i, EepTime first_token, EepTime finish)
{
    ck_assert_int_eq(run->results[i].first_token, first_token);
    ck_assert_int_eq(run->results[i].finish, finish);
}

/* Three steps of work from 7 on, then dummies to the finish check of the 32nd. */
START_TEST(a_wave_ends_at_a_multiple_of_32_steps)
{
    static const struct {
        guint32 output;
        guint64 n_steps, n_dummies;
    } rows[] = {{3, 32, 29}, {31, 32, 1}, {32, 32, 0}, {33, 64, 31}, {64, 64, 0}, {65, 96, 31}};
    EepArrival request = {.arrival = 7, .prompt_tokens = 5, .output_tokens = rows[_i].output};
    g_autoptr(KitRun) run = kit_must_run(&config, &request, 1);

    assert_times(run, 0, 17, 7 + 10 * rows[_i].output);
    ck_assert_uint_eq(run->n_steps, rows[_i].n_steps);
    ck_assert_uint_eq(run->n_dummies, rows[_i].n_dummies);
    ck_assert_uint_eq(run->counts.n_steps, rows[_i].n_steps);
    ck_assert_uint_eq(run->counts.n_dummy_steps, rows[_i].n_dummies);
    ck_assert_uint_eq(run->counts.n_waves, 1);
    ck_assert_int_eq(run->end, 7 + 10 * (EepTime)rows[_i].n_steps);
}
END_TEST

/* Free idle steps (the constant-step profile) are not performed at all. */
START_TEST(free_idle_steps_are_left_out)
{
    EepArrival requests[] = {{.arrival = 7, .prompt_tokens = 5, .output_tokens = 3},
                             {.arrival = 42, .prompt_tokens = 5, .output_tokens = 1}};
    config.costs.idle_steps_are_free = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    assert_times(run, 0, 17, 37);
    assert_times(run, 1, 52, 52);
    ck_assert_uint_eq(run->n_steps, 4);
    ck_assert_uint_eq(run->n_dummies, 0);
    ck_assert_uint_eq(run->counts.n_waves, 2);
}
END_TEST

/* A uses one step of the wave, [0, 10]; the dummies' grid is then a multiple of 10 up to 320. */
START_TEST(an_arrival_waits_for_the_dummy_step_in_flight)
{
    static const struct {
        EepTime arrival, first_token;
        guint64 n_steps, n_waves;
    } rows[] = {
        {45, 60, 32, 1},     /* inside the dummy step [40, 50] */
        {50, 60, 32, 1},     /* when one begins: seen by it */
        {51, 70, 32, 1},     /* just after */
        {309, 320, 32, 1},   /* its own step is the 32nd: the wave ends with it */
        {311, 330, 64, 1},   /* inside the 32nd: at the check there is work, the wave goes on */
        {319, 330, 64, 1},   /* the same */
        {320, 330, 64, 2},   /* at the end of the wave: a new one begins at once */
        {1003, 1013, 64, 2}, /* idle: a step begins with the arrival */
    };
    EepArrival requests[] = {{.prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = rows[_i].arrival, .prompt_tokens = 4, .output_tokens = 1}};
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    assert_times(run, 0, 10, 10);
    assert_times(run, 1, rows[_i].first_token, rows[_i].first_token);
    ck_assert_uint_eq(run->n_steps, rows[_i].n_steps);
    ck_assert_uint_eq(run->n_dummies, rows[_i].n_steps - 2);
    ck_assert_uint_eq(run->counts.n_waves, rows[_i].n_waves);
}
END_TEST

/* With prefill_schedule_interval 4 admission shows where the wave's step counter stands. B arrives
 * in step 4 of the wave and waits for step 8, [80, 90]. C starts a wave of its own at 1003, whose
 * counter begins with 0 again; D, in step 1 of it, waits for step 4, [1043, 1053]. */
START_TEST(the_step_counter_begins_anew_with_each_wave)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 45, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 1003, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 1015, .prompt_tokens = 4, .output_tokens = 1}};
    config.options.prefill_schedule_interval = 4;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, G_N_ELEMENTS(requests));

    assert_times(run, 0, 10, 10);
    assert_times(run, 1, 90, 90);
    assert_times(run, 2, 1013, 1013);
    assert_times(run, 3, 1053, 1053);
    ck_assert_uint_eq(run->counts.n_waves, 2);
}
END_TEST

/* A decodes on engine 0 while B's prompt of 100 goes through engine 1 in chunks of 60 and 40, at 1
 * ns a token. A's tokens: 11, 21, 91, 141, 151, 161. */
START_TEST(one_engine_s_prefill_stretches_every_engine_s_gap)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 1, .output_tokens = 6},
                             {.arrival = 12, .prompt_tokens = 100, .output_tokens = 1}};
    config.options.data_parallel_size = 2;
    config.options.router.policy = EEP_ROUTER_ROUND_ROBIN;
    config.options.max_num_batched_tokens = 60;
    config.costs.per_prefill_token = 1;
    config.keeps_steps = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    assert_times(run, 0, 11, 161);
    assert_times(run, 1, 141, 141);
    ck_assert_int_eq(run->results[0].max_gap, 70);
    ck_assert_uint_eq(run->results[0].worker, 1);
    ck_assert_uint_eq(run->results[1].worker, 2);
    static const EepTime ends[] = {11, 21, 91, 141, 151, 161};
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++)
        ck_assert_int_eq(kit_nth(run->steps, EepStepRecord, i)->end, ends[i]);
    ck_assert_uint_eq(kit_nth(run->steps, EepStepRecord, 2)->n_prefill_tokens, 60);
    ck_assert_uint_eq(kit_nth(run->steps, EepStepRecord, 2)->n_decodes, 1);
    kit_assert_conserved(run, requests, "lockstep");
}
END_TEST

/* B arrives while step [0, 10] runs. Synchronous: it joins the next one. Asynchronous: that one was
 * planned already when the first began, so B joins a step later; A is not delayed. */
START_TEST(async_scheduling_lets_an_arrival_join_a_step_later)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 5},
                             {.arrival = 3, .prompt_tokens = 4, .output_tokens = 1}};
    config.options.async_scheduling = _i;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    assert_times(run, 0, 10, 50);
    assert_times(run, 1, _i ? 30 : 20, _i ? 30 : 20);
}
END_TEST

/* Two seats: A's is free at 20. Asynchronously step [20, 30] was planned at 10, when A's last token
 * was still to come, so B gets the seat one step later. */
START_TEST(async_scheduling_frees_a_seat_a_step_later)
{
    EepArrival requests[] = {{.prompt_tokens = 4, .output_tokens = 2},
                             {.prompt_tokens = 4, .output_tokens = 6},
                             {.prompt_tokens = 4, .output_tokens = 1}};
    config.options.max_num_seqs = 2;
    config.options.async_scheduling = _i;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 3);

    assert_times(run, 0, 10, 20);
    assert_times(run, 1, 10, 60);
    assert_times(run, 2, _i ? 40 : 30, _i ? 40 : 30);
}
END_TEST

/* Dummy steps are not planned ahead: an arrival in one joins the next, async or not. */
START_TEST(dummy_steps_are_not_planned_ahead)
{
    EepArrival requests[] = {{.arrival = 0, .prompt_tokens = 4, .output_tokens = 1},
                             {.arrival = 45, .prompt_tokens = 4, .output_tokens = 1}};
    config.options.async_scheduling = TRUE;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, 2);

    assert_times(run, 1, 60, 60);
    ck_assert_uint_eq(run->n_steps, 32);
    ck_assert_uint_eq(run->counts.n_waves, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("waves");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_wave_ends_at_a_multiple_of_32_steps, 0, 6);
    tcase_add_test(tcase, free_idle_steps_are_left_out);
    tcase_add_loop_test(tcase, an_arrival_waits_for_the_dummy_step_in_flight, 0, 8);
    tcase_add_test(tcase, the_step_counter_begins_anew_with_each_wave);
    tcase_add_test(tcase, one_engine_s_prefill_stretches_every_engine_s_gap);
    tcase_add_loop_test(tcase, async_scheduling_lets_an_arrival_join_a_step_later, 0, 2);
    tcase_add_loop_test(tcase, async_scheduling_frees_a_seat_a_step_later, 0, 2);
    tcase_add_test(tcase, dummy_steps_are_not_planned_ahead);
    return kit_main("waves", tcase);
}
