/* core/resize/resize.h: whole resizes, with the times worked out by hand. Every phase takes 1 s, a
 * note 1 ms, a step 10 ms. */
#include <stdlib.h>

#include "tests/unit/fake_pool.h"

#define MS(n) ((n)*EEP_NS_PER_MS)

static const EepResizePhase *phase_of(const EepResizeRecord *record, const char *name)
{
    for (guint i = 0; i < record->n_phases; i++)
        if (strcmp(record->phases[i].name, name) == 0)
            return &record->phases[i];
    ck_abort_msg("no phase %s", name);
    return NULL;
}

static void check_phase(const EepResizeRecord *record, const char *name, const char *who,
                        EepTime start, EepTime end, gboolean blocks)
{
    const EepResizePhase *phase = phase_of(record, name);

    ck_assert_str_eq(phase->who, who);
    ck_assert_int_eq(phase->start, start);
    ck_assert_int_eq(phase->end, end);
    ck_assert_int_eq(phase->blocks, blocks);
}

static void check_serving(const FakePool *pool, guint n_engines)
{
    const EepGroup *group = eep_resize_group(pool->resize);

    ck_assert(!pool->is_blocked && !pool->is_refusing && !pool->is_eplb_suspended);
    ck_assert_uint_eq(group->n_engines, n_engines);
    for (guint rank = 0; rank < n_engines; rank++) {
        EepWorkerId worker = eep_group_worker(group, rank);

        ck_assert(pool->is_alive[worker]);
        ck_assert_int_eq(pool->pause[worker], EEP_PAUSE_NONE);
    }
}

/* Steps end at multiples of 10 ms until the pause: 502 of them when it is seen, so the check that
 * finds everybody paused is the one after step 512. */
START_TEST(g2_1_up)
{
    EepResizeParams params;
    FakePool pool;
    const EepResizeRecord *record = &pool.record;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 3, "grow", "scenario");
    ck_assert(!eep_resize_is_idle(pool.resize));
    fake_pool_run(&pool, NULL, 5000);

    ck_assert_int_eq(record->outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_str_eq(record->id, "grow");
    ck_assert_uint_eq(record->from, 2);
    ck_assert_uint_eq(record->to, 3);
    ck_assert_int_eq(record->accepted, 0);
    ck_assert_int_eq(record->commit, MS(5011));
    ck_assert_int_eq(record->serving, MS(9125));
    ck_assert_int_eq(record->complete, MS(10125));
    ck_assert_int_eq(eep_resize_record_prepare(record), MS(5011));
    ck_assert_int_eq(eep_resize_record_settle(record), MS(1000));
    ck_assert_int_eq(eep_resize_record_total(record), MS(10125));
    ck_assert_int_eq(eep_resize_record_experts_ready(record), MS(10124));
    ck_assert_int_eq(record->stall, MS(9124 - 5020));
    ck_assert_int_eq(record->reject, MS(9125 - 5011));
    ck_assert_int_eq(record->downtime, MS(9125 - 5011));

    ck_assert_uint_eq(record->n_phases, 12);
    check_phase(record, "launch", "new", MS(1), MS(1001), FALSE);
    check_phase(record, "standby_groups", "all", MS(1001), MS(2001), FALSE);
    check_phase(record, "weights_from_peer", "all", MS(2010), MS(3010), FALSE);
    check_phase(record, "kv_sync", "all", MS(3010), MS(4010), FALSE);
    check_phase(record, "kernel_warm_up", "new", MS(4010), MS(5010), FALSE);
    check_phase(record, "pause", "all", MS(5020), MS(5121), TRUE);
    check_phase(record, "map_broadcast", "all", MS(5122), MS(6122), TRUE);
    check_phase(record, "switch", "all", MS(6122), MS(7122), TRUE);
    check_phase(record, "warm_up", "all", MS(7122), MS(8122), TRUE);
    check_phase(record, "graph_capture", "all", MS(8122), MS(9122), TRUE);
    check_phase(record, "retire_groups", "existing", MS(9124), MS(10124), FALSE);
    check_phase(record, "reshuffle", "all", MS(9124), MS(10124), FALSE);

    ck_assert_int_eq(record->non_expert_bytes, 1000);
    ck_assert_int_eq(record->expert_bytes, 5000);
    ck_assert_int_eq(record->peak_extra_bytes, 512);
    ck_assert_int_eq(record->n_aborted, 0);
    ck_assert_int_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_PEER].bytes, 1000);
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_PEER].n_receivers, 1);
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_PEER].n_ranks_old, 2);
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_PEER].n_ranks_new, 3);
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_PEER].epoch, 1);
    ck_assert_uint_eq(pool.works[EEP_PHASE_SWITCH].epoch, 2);
    ck_assert_int_eq(pool.works[EEP_PHASE_MAP_BROADCAST].bytes, 8 * 26 * 64 * 2);
    ck_assert_int_eq(pool.placement, EEP_PLACEMENT_WIDEN);
    ck_assert_uint_eq(pool.n_adopted, 1);
    check_serving(&pool, 3);
    fake_pool_clear(&pool);
}
END_TEST

/* An idle pool: everybody acts at once, and 32 dummy steps are run for the consensus alone. */
START_TEST(g2_1_down)
{
    EepResizeParams params;
    FakePool pool;
    const EepResizeRecord *record = &pool.record;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 3);
    eep_resize_request(pool.resize, 2, NULL, NULL);
    fake_pool_run(&pool, NULL, 5000);

    ck_assert_int_eq(record->outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_int_eq(record->commit, MS(1002));
    ck_assert_uint_eq(pool.n_steps, 32);
    check_phase(record, "standby_groups", "remaining", MS(1), MS(1001), FALSE);
    check_phase(record, "pause", "all", MS(1003), MS(1324), TRUE);
    check_phase(record, "reshuffle", "all", MS(1325), MS(2325), TRUE);
    check_phase(record, "destroy", "removing", MS(2325), MS(3325), FALSE);
    check_phase(record, "switch", "remaining", MS(2325), MS(3325), TRUE);
    check_phase(record, "graph_capture", "remaining", MS(4325), MS(5325), TRUE);
    check_phase(record, "retire_groups", "remaining", MS(5327), MS(6327), FALSE);
    ck_assert_int_eq(record->serving, MS(5328));
    ck_assert_int_eq(record->complete, MS(6328));
    ck_assert_int_eq(record->experts_ready, MS(2325));
    ck_assert_int_eq(record->stall, MS(5327 - 1003));
    ck_assert_int_eq(record->reject, MS(5328 - 1002));
    ck_assert_int_eq(record->n_aborted, 3);
    ck_assert_uint_eq(pool.n_aborts, 1);
    ck_assert_uint_eq(pool.n_routable_off, 1);
    ck_assert_uint_eq(pool.n_released, 1);
    ck_assert_int_eq(pool.placement, EEP_PLACEMENT_SHRINK);
    /* Nobody who stays changes its rank. */
    ck_assert_uint_eq(eep_group_worker(eep_resize_group(pool.resize), 0), 1);
    ck_assert_uint_eq(eep_group_worker(eep_resize_group(pool.resize), 1), 2);
    check_serving(&pool, 2);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(restart_up)
{
    EepResizeParams params;
    FakePool pool;
    const EepResizeRecord *record = &pool.record;

    fake_params(&params, "restart");
    params.enable_elastic_ep = FALSE;
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 4, NULL, NULL);
    fake_pool_run(&pool, NULL, 5000);

    ck_assert_int_eq(record->outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_int_eq(record->commit, 0);
    check_phase(record, "destroy", "removing", MS(10), MS(1010), TRUE);
    check_phase(record, "launch", "new", MS(1012), MS(2012), TRUE);
    check_phase(record, "weights_from_disk", "new", MS(3012), MS(4012), TRUE);
    check_phase(record, "graph_capture", "new", MS(6012), MS(7012), TRUE);
    ck_assert_int_eq(record->experts_ready, MS(5012));
    ck_assert_int_eq(record->serving, MS(7015));
    ck_assert_int_eq(record->complete, MS(7015));
    ck_assert_int_eq(record->stall, MS(7014 - 10));
    ck_assert_int_eq(record->reject, MS(7015));
    ck_assert_int_eq(record->downtime, MS(7015));
    ck_assert_int_eq(record->n_aborted, 6);
    ck_assert_int_eq(record->non_expert_bytes, 4 * 1000);
    ck_assert_int_eq(record->expert_bytes, 4 * 7000);
    ck_assert_int_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_DISK].bytes, 8000);
    ck_assert_uint_eq(pool.works[EEP_PHASE_DESTROY].n_ranks_old, 2);
    ck_assert_uint_eq(pool.works[EEP_PHASE_LAUNCH].n_ranks_old, 0);
    ck_assert_int_eq(pool.placement, EEP_PLACEMENT_RESET);
    /* A process that starts anew is another worker. */
    ck_assert_uint_eq(eep_group_worker(eep_resize_group(pool.resize), 0), 3);
    ck_assert_uint_eq(pool.n_released, 2);
    check_serving(&pool, 4);
    fake_pool_clear(&pool);
}
END_TEST

/* 16 -> 64 -> 20, as a wide deployment does: one operation a phase, whatever the size. */
START_TEST(many_engines)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.max_engines = 64;
    fake_pool_init(&pool, &params, 16);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 64, NULL, NULL);
    eep_resize_request(pool.resize, 20, NULL, NULL);
    fake_pool_run(&pool, NULL, 50000);
    ck_assert_uint_eq(pool.n_ended, 2);
    ck_assert_uint_eq(pool.next_op - 1, 10 + 6);
    ck_assert_uint_eq(pool.n_released, 44);
    ck_assert_uint_eq(pool.n_aborts, 44);
    ck_assert_uint_eq(pool.free_gpus, 44);
    for (guint rank = 0; rank < 20; rank++)
        ck_assert_uint_eq(eep_group_worker(eep_resize_group(pool.resize), rank), rank + 1);
    check_serving(&pool, 20);
    fake_pool_clear(&pool);
}
END_TEST

/* The options that change which rows there are. */
START_TEST(options_choose_rows)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.use_async = FALSE;
    params.captures_graphs = FALSE;
    params.weights_from = EEP_WEIGHTS_FROM_DISK;
    params.tensor_parallel_size = 2;
    params.slots_per_rank = 32;
    fake_pool_init(&pool, &params, 2);
    pool.reshuffle_is_instant = TRUE;
    eep_resize_request(pool.resize, 4, NULL, NULL);
    fake_pool_run(&pool, NULL, 5000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert(phase_of(&pool.record, "reshuffle")->blocks);
    ck_assert_int_eq(phase_of(&pool.record, "reshuffle")->start, pool.record.experts_ready);
    ck_assert_str_eq(phase_of(&pool.record, "weights_from_disk")->who, "new");
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_DISK].n_workers, 2);
    ck_assert_uint_eq(pool.works[EEP_PHASE_WEIGHTS_FROM_DISK].n_ranks_new, 8);
    for (guint i = 0; i < pool.record.n_phases; i++) {
        ck_assert_str_ne(pool.record.phases[i].name, "graph_capture");
        ck_assert_str_ne(pool.record.phases[i].name, "weights_from_peer");
    }
    fake_pool_clear(&pool);
}
END_TEST

/* Brings the pool to the moment when both engines of a group of two have READY behind them and the
 * PAUSE notes are under way, with `steps` steps done. */
static void go_to_pausing(FakePool *pool, guint64 steps)
{
    EepResizeParams params;

    fake_params(&params, "g2.1");
    fake_pool_init(pool, &params, 2);
    eep_resize_request(pool->resize, 1, NULL, NULL);
    while (!pool->is_refusing)
        ck_assert(fake_pool_next(pool, NULL));
    pool->step_counter = steps;
    pool->has_work = TRUE;
    /* The test decides when steps end. */
    pool->step_time = 1000 * EEP_NS_PER_S;
}

static void take_note_to(FakePool *pool, EepWorkerId worker)
{
    for (guint i = 0; i < pool->n_items; i++)
        if (pool->items[i].kind == ITEM_NOTE && pool->items[i].note.to == worker) {
            Item item = pool->items[i];

            pool->items[i] = pool->items[--pool->n_items];
            fake_deliver(pool, item);
            return;
        }
    ck_abort_msg("no note to %u", worker);
}

static void step_to(FakePool *pool, guint64 counter)
{
    while (pool->step_counter < counter && !pool->is_blocked) {
        pool->is_stepping = TRUE;
        fake_end_step(pool);
    }
}

START_TEST(consensus_at_the_next_multiple)
{
    FakePool pool;

    go_to_pausing(&pool, 4);
    pool.is_stepping = TRUE;
    take_note_to(&pool, 1);
    take_note_to(&pool, 2);
    ck_assert_int_eq(pool.pause[1], EEP_PAUSE_NONE);
    ck_assert(eep_resize_wants_boundary(pool.resize));
    ck_assert(!eep_resize_wants_steps(pool.resize));
    step_to(&pool, 5);
    /* Seen at the end of step 5: the scheduler stands still, the steps go on as dummies. */
    ck_assert_int_eq(pool.pause[1], EEP_PAUSE_ALL);
    ck_assert_int_eq(pool.pause[2], EEP_PAUSE_NEW);
    ck_assert(eep_resize_wants_steps(pool.resize));
    step_to(&pool, 31);
    ck_assert(!pool.is_blocked);
    step_to(&pool, 100);
    ck_assert(pool.is_blocked);
    ck_assert_uint_eq(pool.step_counter, 32);
    ck_assert(!eep_resize_wants_steps(pool.resize));
    fake_pool_clear(&pool);
}
END_TEST

/* One sees the pause before step 32's check, the other only at it, which is too late for it. */
START_TEST(consensus_straddles_a_check)
{
    FakePool pool;

    go_to_pausing(&pool, 30);
    pool.is_stepping = TRUE;
    take_note_to(&pool, 1);
    step_to(&pool, 31);
    pool.is_stepping = TRUE;
    take_note_to(&pool, 2);
    step_to(&pool, 32);
    ck_assert(!pool.is_blocked);
    ck_assert_int_eq(pool.pause[2], EEP_PAUSE_NEW);
    step_to(&pool, 100);
    ck_assert_uint_eq(pool.step_counter, 64);
    ck_assert(pool.is_blocked);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(busy_requests_queue)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 4, "a", NULL);
    pool.now = 5;
    eep_resize_request(pool.resize, 4, "b", NULL);
    eep_resize_request(pool.resize, 0, "c", NULL);
    eep_resize_request(pool.resize, 3, "d", "scenario");
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_uint_eq(pool.n_ended, 4);
    ck_assert_uint_eq(pool.n_told, 6); /* a and d were accepted first */
    ck_assert_str_eq(pool.record.id, "d");
    ck_assert_str_eq(pool.record.by, "scenario");
    ck_assert_int_eq(pool.record.requested, 5);
    ck_assert_int_gt(pool.record.accepted, EEP_NS_PER_S);
    ck_assert_uint_eq(pool.record.from, 4);
    check_serving(&pool, 3);
    fake_pool_clear(&pool);

    params.on_busy = EEP_ON_BUSY_REFUSE;
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 4, "a", NULL);
    eep_resize_request(pool.resize, 3, "b", NULL);
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_ptr_nonnull(strstr(pool.record.reason, "another resize is running"));
    fake_pool_run(&pool, NULL, 20000);
    check_serving(&pool, 4);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(queue_has_an_end)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    for (guint i = 0; i < EEP_CONTROL_MAX_QUEUE + 1; i++)
        eep_resize_request(pool.resize, 3, NULL, NULL);
    ck_assert_uint_eq(pool.n_ended, 0);
    eep_resize_request(pool.resize, 3, NULL, NULL);
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_uint_eq(pool.n_ended, EEP_CONTROL_MAX_QUEUE + 2);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_NOOP);
    fake_pool_clear(&pool);
}
END_TEST

/* Who waits is told of an end, whatever it is that ends. */
START_TEST(queue_is_told_of_the_end)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 4, "a", NULL);
    eep_resize_request(pool.resize, 3, "b", NULL);
    eep_resize_request(pool.resize, 1, "c", NULL);
    eep_resize_finish(pool.resize);
    ck_assert_uint_eq(pool.n_ended, 3);
    ck_assert_str_eq(pool.record.id, "c");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_UNFINISHED);
    ck_assert_str_eq(pool.record.reason, "the run ended before the resize began");
    fake_pool_clear(&pool);

    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 4, "a", NULL);
    eep_resize_request(pool.resize, 3, "b", NULL);
    eep_resize_refuse_queued(pool.resize, "nobody is left");
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_str_eq(pool.record.id, "b");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason, "nobody is left");
    fake_pool_run(&pool, NULL, 20000);
    check_serving(&pool, 4);
    fake_pool_clear(&pool);
}
END_TEST

/* Looked at once a second: what is done after 2.5 s is seen after 3. */
START_TEST(drain)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.drain_requests = TRUE;
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 1, NULL, NULL);
    while (pool.now < MS(3500))
        ck_assert(fake_pool_next(&pool, NULL));
    ck_assert(pool.is_refusing && !pool.is_blocked);
    ck_assert_uint_eq(pool.n_routable_off, 1); /* whence the host knows that it drains */
    ck_assert_int_eq(pool.gpu_use[1], EEP_GPU_SERVING);
    pool.has_work = FALSE;
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    check_phase(&pool.record, "drain", "coordinator", pool.record.commit,
                pool.record.commit + 3 * EEP_NS_PER_S, FALSE);
    ck_assert_int_eq(pool.gpu_use[1], EEP_GPU_SERVING);
    check_serving(&pool, 1);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(drain_timeout_keeps_what_is_prepared)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.drain_requests = TRUE;
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 4, NULL, NULL);
    fake_pool_run(&pool, NULL, 200000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
    ck_assert_str_eq(pool.record.reason,
                     "Scale failed due to request drain timeout after 120 seconds");
    ck_assert_int_eq(pool.record.reject, 120 * EEP_NS_PER_S);
    ck_assert_int_eq(pool.record.stall, 0);
    ck_assert_int_eq(pool.record.complete, EEP_TIME_NEVER);
    ck_assert_uint_eq(pool.n_launched, 2);
    check_serving(&pool, 2);

    eep_resize_request(pool.resize, 3, NULL, NULL);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason, "already prepared for 4 data parallel engines");
    eep_resize_request(pool.resize, 2, NULL, NULL);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_NOOP);

    pool.has_work = FALSE;
    eep_resize_request(pool.resize, 4, NULL, NULL);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert_int_eq(eep_resize_record_prepare(&pool.record), 0);
    ck_assert_uint_eq(pool.n_launched, 2);
    check_serving(&pool, 4);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(restart_drain_timeout_keeps_nothing)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "restart");
    params.drain_requests = TRUE;
    fake_pool_init(&pool, &params, 2);
    pool.has_work = TRUE;
    eep_resize_request(pool.resize, 4, NULL, NULL);
    fake_pool_run(&pool, NULL, 200000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
    check_serving(&pool, 2);
    pool.has_work = FALSE;
    eep_resize_request(pool.resize, 3, NULL, NULL);
    fake_pool_run(&pool, NULL, 20000);
    check_serving(&pool, 3);
    fake_pool_clear(&pool);
}
END_TEST

/* vLLM has no way back: what was refused stays refused. */
START_TEST(failure_leaves_it_stuck)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    pool.fails_phase = TRUE;
    pool.failing = EEP_PHASE_SWITCH;
    eep_resize_request(pool.resize, 3, NULL, NULL);
    eep_resize_request(pool.resize, 4, "next", NULL);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_uint_eq(pool.n_ended, 2);
    ck_assert_str_eq(pool.record.id, "next");
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason,
                     "an earlier resize failed and left the group between two sizes");
    while (fake_pool_next(&pool, NULL))
        ;
    ck_assert(pool.is_refusing && pool.is_blocked);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(failure_while_preparing_goes_on_serving)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    fake_pool_init(&pool, &params, 2);
    pool.fails_phase = TRUE;
    pool.failing = EEP_PHASE_STANDBY_GROUPS;
    eep_resize_request(pool.resize, 3, NULL, NULL);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
    ck_assert_str_eq(pool.record.reason, "a phase of the resize failed");
    ck_assert(!pool.is_refusing && !pool.is_blocked);
    fake_pool_clear(&pool);
}
END_TEST

START_TEST(deadline)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.deadline[EEP_WAIT_COMMIT] = MS(2500);
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 3, NULL, NULL);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_FAILED);
    ck_assert_str_eq(pool.record.reason, "a wait of the resize ran out of time");
    ck_assert_int_eq(pool.now, phase_of(&pool.record, "pause")->end + MS(2500));
    fake_pool_clear(&pool);

    params.deadline[EEP_WAIT_COMMIT] = MS(25000);
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 3, NULL, NULL);
    fake_pool_run(&pool, NULL, 20000);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_COMPLETE);
    fake_pool_clear(&pool);
}
END_TEST

/* A client's downtime is from its first 503 to the first answer after one. */
START_TEST(client_view)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "restart");
    fake_pool_init(&pool, &params, 2);
    eep_resize_request(pool.resize, 4, NULL, NULL);
    pool.now = MS(100);
    eep_resize_saw_rejected(pool.resize);
    pool.now = MS(200);
    eep_resize_saw_rejected(pool.resize);
    pool.now = MS(300);
    eep_resize_saw_success(pool.resize);
    pool.now = MS(400);
    eep_resize_saw_success(pool.resize);
    ck_assert_int_eq(eep_resize_record(pool.resize)->n_rejected, 2);
    ck_assert_int_eq(eep_resize_record_client_downtime(eep_resize_record(pool.resize)), MS(200));
    fake_pool_clear(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize");
    TCase *tcase = tcase_create("resize");
    tcase_add_test(tcase, g2_1_up);
    tcase_add_test(tcase, g2_1_down);
    tcase_add_test(tcase, restart_up);
    tcase_add_test(tcase, many_engines);
    tcase_add_test(tcase, options_choose_rows);
    tcase_add_test(tcase, consensus_at_the_next_multiple);
    tcase_add_test(tcase, consensus_straddles_a_check);
    tcase_add_test(tcase, busy_requests_queue);
    tcase_add_test(tcase, queue_has_an_end);
    tcase_add_test(tcase, queue_is_told_of_the_end);
    tcase_add_test(tcase, drain);
    tcase_add_test(tcase, drain_timeout_keeps_what_is_prepared);
    tcase_add_test(tcase, restart_drain_timeout_keeps_nothing);
    tcase_add_test(tcase, failure_leaves_it_stuck);
    tcase_add_test(tcase, failure_while_preparing_goes_on_serving);
    tcase_add_test(tcase, deadline);
    tcase_add_test(tcase, client_view);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
