/* core/resize/: whatever goes wrong, at every point of every generation's way up and down, one
 * point after the other: a cancelled resize, a phase that fails, a lost engine. Either the resize
 * is complete, or it is rolled back, or it is stuck where the generation has no way back, and then
 * a recovery gets out of it. */
#include <stdlib.h>

#include "core/resize/coordinator.h"
#include "tests/unit/fake_pool.h"

#define LIMIT 20000

typedef struct {
    const char *generation;
    guint from, to;
} Way;

static const Way ways[] = {
    {"restart", 2, 3}, {"restart", 3, 2}, {"m1", 2, 3},     {"m1", 3, 2},     {"g1", 2, 3},
    {"g1", 3, 2},      {"g2", 2, 3},      {"g2", 3, 2},     {"g2.1", 2, 3},   {"g2.1", 3, 2},
    {"g3", 2, 3},      {"g3", 3, 2},      {"masked", 2, 3}, {"masked", 3, 2}, {"eep", 2, 3},
    {"eep", 3, 2},     {"eep", 2, 4},     {"eep", 4, 2},
};

static void start(FakePool *pool, const Way *way)
{
    EepResizeParams params;

    fake_params(&params, way->generation);
    params.consensus_cadence = 4;
    params.can_mask = params.can_reuse_graphs = TRUE;
    params.leaving_drain = EEP_NS_PER_S;
    fake_pool_init(pool, &params, way->from);
    /* Few steps, since every event is a point to begin from. */
    pool->step_time = 400 * EEP_NS_PER_MS;
    pool->has_work = g_strcmp0(way->generation, "m1") != 0;
    eep_resize_request(pool->resize, way->to, "way", "test");
}

/* How many events the undisturbed resize takes. */
static guint length(const Way *way)
{
    FakePool pool;
    guint n = 0;

    start(&pool, way);
    for (; !eep_resize_is_idle(pool.resize); n++)
        ck_assert(fake_pool_next(&pool, NULL));
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    fake_pool_clear(&pool);
    return n;
}

static gboolean rolls_back(const Way *way)
{
    return eep_generation_find(way->generation)->rolls_back;
}

/* It serves, as it should when nothing is left to do. */
static void check_serves(const FakePool *pool)
{
    const EepGroup *group = eep_resize_group(pool->resize);

    ck_assert(!pool->is_blocked && !pool->is_refusing && !pool->is_eplb_suspended);
    ck_assert_uint_eq(pool->free_gpus, 8 - group->n_engines);
    for (guint rank = 0; rank < group->n_engines; rank++) {
        EepWorkerId worker = eep_group_worker(group, rank);

        ck_assert(pool->is_alive[worker] && !pool->is_dead[worker]);
        ck_assert_int_eq(pool->pause[worker], EEP_PAUSE_NONE);
        ck_assert_int_eq(pool->gpu_use[worker], EEP_GPU_SERVING);
    }
}

static void advance(FakePool *pool, guint n)
{
    while (n-- > 0)
        ck_assert(fake_pool_next(pool, NULL));
}

START_TEST(cancelled_anywhere)
{
    const Way *way = &ways[_i];
    guint n = length(way), n_cancelled = 0;

    for (guint point = 0; point < n; point++) {
        FakePool pool;
        gboolean is_cancelled;

        start(&pool, way);
        advance(&pool, point);
        is_cancelled = eep_resize_cancel(pool.resize, NULL);
        n_cancelled += is_cancelled;
        fake_pool_run(&pool, NULL, LIMIT);
        check_serves(&pool);
        ck_assert_int_eq(pool.record.outcome,
                         is_cancelled ? EEP_OUTCOME_ROLLED_BACK : EEP_OUTCOME_COMPLETE);
        ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines,
                          is_cancelled ? way->from : way->to);
        if (is_cancelled)
            ck_assert_uint_eq(pool.n_aborts, 0);
        fake_pool_clear(&pool);
    }
    if (rolls_back(way))
        ck_assert_uint_gt(n_cancelled, n / 2);
    else
        ck_assert_uint_eq(n_cancelled, 0);
}
END_TEST

START_TEST(superseded_anywhere)
{
    const Way *way = &ways[_i];
    guint n;

    if (!rolls_back(way))
        return;
    n = length(way);
    for (guint point = 0; point < n; point++) {
        EepResizeParams params;
        FakePool pool;

        fake_params(&params, way->generation);
        params.consensus_cadence = 4;
        params.can_mask = params.can_reuse_graphs = TRUE;
        params.leaving_drain = EEP_NS_PER_S;
        params.on_busy = EEP_ON_BUSY_SUPERSEDE;
        fake_pool_init(&pool, &params, way->from);
        pool.step_time = 400 * EEP_NS_PER_MS;
        pool.has_work = TRUE;
        eep_resize_request(pool.resize, way->to, "first", "test");
        advance(&pool, point);
        eep_resize_request(pool.resize, 5, "second", "test");
        eep_resize_request(pool.resize, 1, "third", "test");
        fake_pool_run(&pool, NULL, LIMIT);
        check_serves(&pool);
        ck_assert_str_eq(pool.record.id, "third");
        ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
        ck_assert_uint_eq(pool.n_ended, 3);
        fake_pool_clear(&pool);
    }
}
END_TEST

START_TEST(any_phase_fails)
{
    const Way *way = &ways[_i];

    for (guint kind = 0; kind < EEP_PHASE_COUNT; kind++) {
        FakePool pool;
        EepCoordinatorState state;

        start(&pool, way);
        pool.fails_phase = TRUE;
        pool.failing = kind;
        fake_pool_run(&pool, NULL, LIMIT);
        state = eep_resize_control(pool.resize)->coordinator.state;
        if (pool.record.outcome == EEP_OUTCOME_FAILED) {
            ck_assert(!rolls_back(way));
            ck_assert_int_eq(state, EEP_COORDINATOR_STUCK);
            pool.fails_phase = FALSE;
            while (pool.is_stepping)
                advance(&pool, 1);
            eep_resize_recover(pool.resize, EEP_RECOVERY_RESTART, "again");
            fake_pool_run(&pool, NULL, LIMIT);
            ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
        } else if (pool.record.outcome == EEP_OUTCOME_ROLLED_BACK) {
            ck_assert(rolls_back(way));
            ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines, way->from);
        }
        check_serves(&pool);
        fake_pool_clear(&pool);
    }
}
END_TEST

/* The engine that is lost, by its number: a member of the old group or one that was launched. */
static void lose(FakePool *pool, EepWorkerId worker)
{
    fake_pool_kill(pool, worker);
    eep_resize_worker_lost(pool->resize, worker);
}

static void check_recovered(const FakePool *pool, const Way *way, gboolean was_member,
                            gboolean is_restarted)
{
    guint n = eep_resize_group(pool->resize)->n_engines;

    check_serves(pool);
    ck_assert_uint_ge(n, MIN(way->from, way->to) - was_member);
    ck_assert_uint_le(n, MAX(way->from, way->to));
    if (rolls_back(way) && !is_restarted)
        ck_assert_uint_eq(pool->n_aborts, 0);
}

static void lose_at(const Way *way, guint point, EepWorkerId worker, EepRecovery recovery)
{
    FakePool pool;
    gboolean was_member;

    start(&pool, way);
    advance(&pool, point);
    if (worker >= pool.next_worker || !pool.is_alive[worker]) {
        fake_pool_clear(&pool);
        return;
    }
    was_member = eep_group_rank(eep_resize_group(pool.resize), worker) != EEP_RANK_NONE;
    lose(&pool, worker);
    if (was_member || eep_resize_control(pool.resize)->coordinator.state == EEP_COORDINATOR_STUCK)
        eep_resize_recover(pool.resize, recovery, "recovery");
    fake_pool_run(&pool, NULL, LIMIT);
    /* A restart has no way back: where it has ended engines, only another one helps. */
    if (pool.record.outcome == EEP_OUTCOME_REFUSED) {
        ck_assert_str_eq(way->generation, "restart");
        eep_resize_recover(pool.resize, EEP_RECOVERY_RESTART, "again");
        fake_pool_run(&pool, NULL, LIMIT);
    }
    check_recovered(&pool, way, was_member, recovery == EEP_RECOVERY_RESTART);
    fake_pool_clear(&pool);
}

START_TEST(any_engine_lost_anywhere)
{
    const Way *way = &ways[_i];
    guint n = length(way);

    for (guint point = 0; point < n; point++)
        for (EepWorkerId worker = 1; worker <= way->from + way->to; worker++) {
            lose_at(way, point, worker, EEP_RECOVERY_SHRINK);
            lose_at(way, point, worker, EEP_RECOVERY_RESTART);
            lose_at(way, point, worker, EEP_RECOVERY_MASK_ONLY);
        }
}
END_TEST

/* One that hung, wherever it was then, and is itself again when all try again. A restart may have
 * ended the others by then. */
START_TEST(any_hang_healed_by_retry)
{
    const Way *way = &ways[_i];
    guint n = length(way);

    for (guint point = 0; point < n; point++)
        for (EepWorkerId worker = 1; worker <= way->from; worker++) {
            FakePool pool;

            start(&pool, way);
            advance(&pool, point);
            if (pool.is_alive[worker] &&
                eep_group_rank(eep_resize_group(pool.resize), worker) != EEP_RANK_NONE) {
                lose(&pool, worker);
                pool.is_dead[worker] = FALSE;
                eep_resize_worker_healed(pool.resize, worker);
                eep_resize_recover(pool.resize, EEP_RECOVERY_RETRY, "again");
                fake_pool_run(&pool, NULL, LIMIT);
                if (pool.record.outcome == EEP_OUTCOME_REFUSED) {
                    ck_assert_str_eq(way->generation, "restart");
                    eep_resize_recover(pool.resize, EEP_RECOVERY_RESTART, "anew");
                    fake_pool_run(&pool, NULL, LIMIT);
                }
                check_serves(&pool);
            }
            fake_pool_clear(&pool);
        }
}
END_TEST

/* A second engine at every point of the first one's recovery. */
START_TEST(lost_while_recovering)
{
    const Way way = {"eep", 4, 5};
    const EepRecovery recoveries[] = {EEP_RECOVERY_SHRINK, EEP_RECOVERY_RESTART};

    for (guint i = 0; i < G_N_ELEMENTS(recoveries); i++)
        for (guint point = 0; point < 60; point++) {
            FakePool pool;

            start(&pool, &way);
            advance(&pool, 30);
            lose(&pool, 2);
            eep_resize_recover(pool.resize, recoveries[i], "first");
            for (guint k = 0; k < point && !eep_resize_is_idle(pool.resize); k++)
                ck_assert(fake_pool_next(&pool, NULL));
            for (EepWorkerId worker = pool.next_worker - 1; worker > 0; worker--)
                if (pool.is_alive[worker] && !pool.is_dead[worker]) {
                    lose(&pool, worker);
                    break;
                }
            eep_resize_recover(pool.resize, recoveries[i], "second");
            fake_pool_run(&pool, NULL, LIMIT);
            check_serves(&pool);
            ck_assert_uint_ge(eep_resize_group(pool.resize)->n_engines, 2);
            fake_pool_clear(&pool);
        }
}
END_TEST

static gboolean has_begun(const EepResizeRecord *record, const char *phase)
{
    for (guint i = 0; i < record->n_phases; i++)
        if (strcmp(record->phases[i].name, phase) == 0)
            return TRUE;
    return FALSE;
}

/* Phases take 1 s and notes 1 ms: the recovery begins when the undo has been told to everybody, not
 * when the new engine is destroyed and the groups retired; likewise with what settles a resize that
 * serves already. */
START_TEST(no_recovery_waits_for_tidying_up)
{
    const Way way = {"eep", 2, 3};
    const char *until = _i == 0 ? "standby_groups" : "retire_groups";
    const EepResizeRecord *record;
    EepTime lost;
    FakePool pool;

    start(&pool, &way);
    record = eep_resize_record(pool.resize);
    while (!has_begun(record, until))
        ck_assert(fake_pool_next(&pool, NULL));
    lost = pool.now;
    lose(&pool, 2);
    eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "death");
    while (pool.n_ended == 0)
        ck_assert(fake_pool_next(&pool, NULL));
    ck_assert_str_eq(pool.record.id, "way");
    ck_assert_int_eq(pool.record.outcome, _i == 0 ? EEP_OUTCOME_ROLLED_BACK : EEP_OUTCOME_COMPLETE);
    /* A group that serves without the move of its experts says so. */
    ck_assert_str_eq(eep_resize_record_reason(&pool.record),
                     _i == 0 ? "an engine was lost" : "the reshuffle of experts was left undone");
    ck_assert_int_lt(pool.now - lost, 10 * EEP_NS_PER_MS);
    ck_assert_str_eq(eep_resize_record(pool.resize)->id, "death");
    fake_pool_run(&pool, NULL, LIMIT);
    check_serves(&pool);
    fake_pool_clear(&pool);
}
END_TEST

/* Without a way back, and while the last rank's part of the phase was still under way. */
START_TEST(a_resize_stuck_by_a_loss_says_so)
{
    const Way way = {"g2.1", 2, 3};
    FakePool pool;

    start(&pool, &way);
    while (!has_begun(eep_resize_record(pool.resize), "switch"))
        ck_assert(fake_pool_next(&pool, NULL));
    lose(&pool, 2);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
    ck_assert_str_eq(pool.record.reason, "an engine was lost");
    ck_assert_uint_eq(pool.record.n_ranks, 2);
    ck_assert_str_eq(pool.record.ranks[0].role_name, "existing");
    ck_assert_uint_eq(pool.record.ranks[0].n, 2);
    ck_assert_str_eq(pool.record.ranks[1].role_name, "new");
    ck_assert_uint_eq(pool.record.ranks[1].first, 2);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(lost_while_idle)
{
    const Way way = {"g2.1", 3, 3};
    FakePool pool;

    start(&pool, &way);
    pool.n_ended = 0;
    lose(&pool, 2);
    ck_assert(pool.is_blocked);
    /* Nothing else begins before the recovery. */
    eep_resize_request(pool.resize, 4, "later", "test");
    ck_assert(eep_resize_is_idle(pool.resize));
    eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "death");
    while (pool.n_ended < 2)
        ck_assert(fake_pool_next(&pool, NULL));
    check_serves(&pool);
    ck_assert_str_eq(pool.record.id, "later");
    ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines, 4);
    ck_assert_uint_eq(pool.n_adopted, 2);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(retry_needs_the_process)
{
    const Way way = {"g2.1", 3, 3};
    FakePool pool;

    start(&pool, &way);
    lose(&pool, 2);
    eep_resize_recover(pool.resize, EEP_RECOVERY_RETRY, "hopeless");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason, "a dead engine cannot be brought back by retry");
    ck_assert(pool.is_blocked);
    pool.is_dead[2] = FALSE;
    eep_resize_worker_healed(pool.resize, 2);
    eep_resize_recover(pool.resize, EEP_RECOVERY_RETRY, "hang");
    fake_pool_run(&pool, NULL, LIMIT);
    check_serves(&pool);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_str_eq(pool.record.generation, "retry");
    ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines, 3);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(nobody_is_left)
{
    const Way way = {"eep", 1, 1};
    FakePool pool;

    start(&pool, &way);
    lose(&pool, 1);
    eep_resize_recover(pool.resize, EEP_RECOVERY_SHRINK, "last");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason, "no engine is left");
    eep_resize_recover(pool.resize, EEP_RECOVERY_RESTART, "last");
    fake_pool_run(&pool, NULL, LIMIT);
    check_serves(&pool);
    ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines, 1);
    fake_pool_clear(&pool);
}
END_TEST

/* A wait that runs out takes a resize with a way back there. */
START_TEST(deadline_rolls_back)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "eep");
    params.deadline[EEP_WAIT_PREPARE] = 2 * EEP_NS_PER_S;
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 3, NULL, NULL);
    fake_pool_run(&pool, NULL, LIMIT);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_ROLLED_BACK);
    ck_assert_str_eq(pool.record.reason, "a wait of the resize ran out of time");
    ck_assert_int_eq(pool.record.stall, 0);
    ck_assert_int_eq(pool.record.reject, 0);
    check_serves(&pool);
    fake_pool_clear(&pool);
}
END_TEST

/* A start takes what it takes: the deadlines of the resizes are not its own. */
START_TEST(deadline_lets_a_start_be)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "eep");
    params.deadline[EEP_WAIT_STOP] = params.deadline[EEP_WAIT_COMMIT] = EEP_NS_PER_MS;
    fake_pool_init(&pool, &params, 2);
    lose(&pool, 2);
    eep_resize_recover(pool.resize, EEP_RECOVERY_RESTART, "long");
    fake_pool_run(&pool, NULL, LIMIT);
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_str_eq(pool.record.id, "long");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_int_gt(pool.record.stall, EEP_NS_PER_MS);
    check_serves(&pool);
    fake_pool_clear(&pool);
}
END_TEST

/* g1's barrier: a member that learns of the open counter one step late costs the first pass and one
 * more step, and all meet in the second. */
START_TEST(staged_barrier)
{
    EepResizeParams params;
    FakePool pool;
    EepTime held = 0;

    fake_params(&params, "g1");
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    pool.late_note = EEP_NOTE_OPEN;
    pool.late_worker = 2;
    pool.late_by = pool.step_time;
    eep_resize_request(pool.resize, 3, NULL, NULL);
    while (!eep_resize_is_idle(pool.resize)) {
        EepTime before = pool.now;
        gboolean was_held = eep_resize_control(pool.resize)->blocked_by == EEP_BLOCK_BARRIER;

        ck_assert(fake_pool_next(&pool, NULL));
        held += was_held ? pool.now - before : 0;
    }
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    check_serves(&pool);
    /* Three staged rows, 5 s each for the one that is late. */
    ck_assert_int_ge(held, 15 * EEP_NS_PER_S);
    ck_assert_int_lt(held, 16 * EEP_NS_PER_S);
    fake_pool_clear(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_losses");
    TCase *tcase = tcase_create("resize_losses");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, cancelled_anywhere, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, superseded_anywhere, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, any_phase_fails, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, any_hang_healed_by_retry, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, any_engine_lost_anywhere, 0, G_N_ELEMENTS(ways));
    tcase_add_test(tcase, lost_while_recovering);
    tcase_add_loop_test(tcase, no_recovery_waits_for_tidying_up, 0, 2);
    tcase_add_test(tcase, a_resize_stuck_by_a_loss_says_so);
    tcase_add_test(tcase, lost_while_idle);
    tcase_add_test(tcase, retry_needs_the_process);
    tcase_add_test(tcase, nobody_is_left);
    tcase_add_test(tcase, deadline_rolls_back);
    tcase_add_test(tcase, deadline_lets_a_start_be);
    tcase_add_test(tcase, staged_barrier);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
