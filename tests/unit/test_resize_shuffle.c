/* core/resize/: everything that is under way delivered in any order that may happen, from seeds. A
 * resize always ends, nothing stays refused or blocked, and the invariants hold after every event
 * (fake_pool_next() checks them). */
#include <stdlib.h>

#include "core/resize/participant.h"
#include "tests/unit/fake_pool.h"

#define N_SEEDS 500
#define LIMIT   100000

typedef struct {
    const char *generation;
    gboolean use_async;
    EepWeightsFrom weights_from;
    gboolean instant;
} Variant;

static const Variant variants[] = {
    {"g2.1", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},   {"g2.1", FALSE, EEP_WEIGHTS_FROM_DISK, FALSE},
    {"g2.1", TRUE, EEP_WEIGHTS_FROM_DISK, TRUE},    {"restart", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},
    {"m1", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},     {"g1", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},
    {"g2", TRUE, EEP_WEIGHTS_FROM_CACHE, FALSE},    {"g3", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},
    {"masked", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE}, {"eep", TRUE, EEP_WEIGHTS_FROM_PEER, FALSE},
    {"eep", FALSE, EEP_WEIGHTS_FROM_DISK, TRUE},    {"instant", TRUE, EEP_WEIGHTS_FROM_PEER, TRUE},
};

static void start(FakePool *pool, EepResizeParams *params, const Variant *variant, guint n_engines)
{
    fake_params(params, variant->generation);
    params->use_async = variant->use_async;
    params->weights_from = variant->weights_from;
    params->can_mask = TRUE;
    params->can_reuse_graphs = variant->use_async;
    /* Short, so that a random order of events reaches the check without hundreds of steps. */
    params->consensus_cadence = 4;
    fake_pool_init(pool, params, n_engines);
    pool->reshuffle_is_instant = variant->instant;
}

static void check_end(const FakePool *pool, guint n_engines)
{
    const EepGroup *group = eep_resize_group(pool->resize);

    ck_assert_int_eq(pool->record.outcome, EEP_OUTCOME_COMPLETE);
    ck_assert(!pool->is_blocked && !pool->is_refusing);
    ck_assert_uint_eq(group->n_engines, n_engines);
    ck_assert_uint_eq(pool->free_gpus, 8 - n_engines);
    for (guint rank = 0; rank < n_engines; rank++) {
        ck_assert_int_eq(pool->pause[eep_group_worker(group, rank)], EEP_PAUSE_NONE);
        ck_assert_int_eq(pool->gpu_use[eep_group_worker(group, rank)], EEP_GPU_SERVING);
    }
    ck_assert_int_le(pool->record.stall, pool->record.downtime);
    ck_assert_int_le(pool->record.reject, pool->record.downtime);
    ck_assert_int_le(pool->record.downtime, pool->record.stall + pool->record.reject);
    for (guint i = 0; i < pool->record.n_phases; i++)
        ck_assert_int_ne(pool->record.phases[i].end, EEP_TIME_NEVER);
}

/* Three resizes, one queued behind the first. */
START_TEST(always_ends)
{
    const Variant *variant = &variants[_i];

    for (guint seed = 0; seed < N_SEEDS; seed++) {
        EepResizeParams params;
        FakePool pool;
        EepRng rng;
        guint sizes[3];

        eep_rng_init(&rng, seed, "shuffle");
        start(&pool, &params, variant, 1 + (guint)eep_rng_below(&rng, 5));
        /* Work that never ends is never drained. */
        pool.has_work = seed % 3 != 0 && strcmp(variant->generation, "m1") != 0;
        for (guint i = 0; i < 3; i++)
            sizes[i] = 1 + (guint)eep_rng_below(&rng, 8);
        eep_resize_request(pool.resize, sizes[0], NULL, NULL);
        for (guint i = (guint)eep_rng_below(&rng, 30); i > 0; i--)
            fake_pool_next(&pool, &rng);
        eep_resize_request(pool.resize, sizes[1], NULL, NULL);
        fake_pool_run(&pool, &rng, LIMIT);
        eep_resize_request(pool.resize, sizes[2], NULL, NULL);
        fake_pool_run(&pool, &rng, LIMIT);
        ck_assert_uint_eq(pool.n_ended, 3);
        if (pool.record.outcome != EEP_OUTCOME_NOOP)
            check_end(&pool, sizes[2]);
        else
            ck_assert_uint_eq(eep_resize_group(pool.resize)->n_engines, sizes[2]);
        ck_assert_uint_eq(eep_resize_control(pool.resize)->n_dropped, 0);
        fake_pool_clear(&pool);
    }
}
END_TEST

/* Draining with a poll, an end and everything else in any order: complete, or failed with the old
 * size serving. */
START_TEST(drain_ends_either_way)
{
    guint n_complete = 0, n_failed = 0;

    for (guint seed = 0; seed < N_SEEDS; seed++) {
        EepResizeParams params;
        FakePool pool;
        EepRng rng;

        start(&pool, &params, &variants[0], 2);
        eep_resize_free(pool.resize);
        params.drain_requests = TRUE;
        fake_pool_init(&pool, &params, 2);
        eep_rng_init(&rng, seed, "drain");
        pool.has_work = TRUE;
        eep_resize_request(pool.resize, 3, NULL, NULL);
        while (!eep_resize_is_idle(pool.resize)) {
            ck_assert(fake_pool_next(&pool, &rng));
            if (pool.is_refusing && eep_rng_below(&rng, 3) == 0)
                pool.has_work = FALSE;
        }
        ck_assert(!pool.is_blocked && !pool.is_refusing);
        n_complete += pool.record.outcome == EEP_OUTCOME_COMPLETE;
        n_failed += pool.record.outcome == EEP_OUTCOME_FAILED;
        fake_pool_clear(&pool);
    }
    ck_assert_uint_eq(n_complete + n_failed, N_SEEDS);
    ck_assert_uint_gt(n_complete, N_SEEDS / 10);
    ck_assert_uint_gt(n_failed, N_SEEDS / 10);
}
END_TEST

/* Saved in the middle and loaded into another machine, the rest goes the same way. */
START_TEST(save_and_load)
{
    const Variant *variant = &variants[_i];

    for (guint seed = 0; seed < N_SEEDS / 3; seed++) {
        EepResizeParams params;
        FakePool pool, copy;
        EepRng rng;
        GError *error = NULL;
        EepResize *other;
        GBytes *block;
        guint64 hash;

        eep_rng_init(&rng, seed, "save");
        start(&pool, &params, variant, 2);
        pool.has_work = TRUE;
        eep_resize_request(pool.resize, seed % 2 ? 1 : 4, NULL, NULL);
        eep_resize_request(pool.resize, 3, NULL, NULL);
        for (guint i = (guint)eep_rng_below(&rng, 150); i > 0; i--)
            fake_pool_next(&pool, &rng);

        block = eep_resize_save(pool.resize);
        hash = eep_resize_hash(pool.resize);
        copy = pool;
        other = eep_resize_new(&fake_host, &copy, &params, &error);
        g_assert_no_error(error);
        ck_assert(eep_resize_load(other, block, &error));
        g_assert_no_error(error);
        copy.resize = other;
        ck_assert_uint_eq(eep_resize_hash(other), hash);
        ck_assert_int_eq(eep_resize_wants_boundary(other), eep_resize_wants_boundary(pool.resize));
        ck_assert_int_eq(eep_resize_wants_steps(other), eep_resize_wants_steps(pool.resize));
        ck_assert_int_eq(eep_resize_is_idle(other), eep_resize_is_idle(pool.resize));

        EepRng fork = rng;
        while (!eep_resize_is_idle(pool.resize)) {
            ck_assert(fake_pool_next(&pool, &rng));
            ck_assert(fake_pool_next(&copy, &fork));
            ck_assert_uint_eq(pool.trace, copy.trace);
            ck_assert_uint_eq(eep_resize_hash(pool.resize), eep_resize_hash(other));
        }
        ck_assert(eep_resize_is_idle(other));
        g_bytes_unref(block);
        fake_pool_clear(&pool);
        fake_pool_clear(&copy);
    }
}
END_TEST

/* The group after up and down again is the group before, for all that it will do: ids, serials,
 * epochs and times are not in the hash. */
START_TEST(hash_forgets_the_past)
{
    const Variant *variant = &variants[_i];
    EepResizeParams params;
    FakePool pool, young;
    guint64 hash, hash_up, hash_preparing;

    start(&pool, &params, variant, 2);
    hash = eep_resize_hash(pool.resize);
    for (guint round = 0; round < 5; round++) {
        eep_resize_request(pool.resize, 4, NULL, NULL);
        hash_preparing = eep_resize_hash(pool.resize);
        ck_assert_uint_ne(hash_preparing, hash);
        fake_pool_run(&pool, NULL, LIMIT);
        hash_up = eep_resize_hash(pool.resize);
        ck_assert_uint_ne(hash_up, hash);
        eep_resize_request(pool.resize, 2, NULL, NULL);
        fake_pool_run(&pool, NULL, LIMIT);
        ck_assert_uint_eq(eep_resize_hash(pool.resize), hash);
    }
    start(&young, &params, variant, 2);
    eep_resize_request(young.resize, 4, NULL, NULL);
    ck_assert_uint_eq(eep_resize_hash(young.resize), hash_preparing);
    fake_pool_run(&young, NULL, LIMIT);
    ck_assert_uint_eq(eep_resize_hash(young.resize), hash_up);
    fake_pool_clear(&pool);
    fake_pool_clear(&young);
}
END_TEST

START_TEST(load_refuses_what_is_not_its_own)
{
    EepResizeParams params;
    FakePool pool, bigger;
    GError *error = NULL;
    GBytes *block, *noise;

    start(&pool, &params, &variants[0], 2);
    params.max_engines = 16;
    fake_pool_init(&bigger, &params, 2);
    block = eep_resize_save(bigger.resize);
    ck_assert(!eep_resize_load(pool.resize, block, &error));
    ck_assert(g_error_matches(error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_LOAD));
    g_clear_error(&error);
    noise = g_bytes_new_static("noise", 5);
    ck_assert(!eep_resize_load(pool.resize, noise, &error));
    ck_assert(g_error_matches(error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_LOAD));
    g_clear_error(&error);
    g_bytes_unref(noise);
    g_bytes_unref(block);
    fake_pool_clear(&pool);
    fake_pool_clear(&bigger);
}
END_TEST

/* What comes twice, late, or from nowhere is counted and changes nothing. */
START_TEST(strays_are_dropped)
{
    EepResizeParams params;
    FakePool pool;
    guint64 hash;
    const EepNote strays[] = {
        {EEP_NOTE_PREPARE, 0, 0, 77, 1}, /* nobody's worker */
        {EEP_NOTE_READY, 0, 1, 0, 9},    /* of another resize */
        {EEP_NOTE_READY, 0, 1, 0, 1},    /* never sent */
        {EEP_NOTE_COMMIT, 0, 0, 1, 1},   /* never sent */
    };
    EepCompletion completion = {.id = 999};

    start(&pool, &params, &variants[0], 2);
    eep_resize_request(pool.resize, 3, NULL, NULL);
    for (guint i = 0; i < 4; i++)
        fake_pool_next(&pool, NULL);
    hash = eep_resize_hash(pool.resize);
    for (guint i = 0; i < G_N_ELEMENTS(strays); i++)
        eep_resize_note(pool.resize, &strays[i]);
    eep_resize_timer(pool.resize, 4);
    eep_resize_timer(pool.resize, 3);
    eep_resize_reshuffled(pool.resize, 1);
    ck_assert(!eep_resize_op_done(pool.resize, &completion));
    ck_assert_uint_eq(eep_resize_control(pool.resize)->n_dropped, G_N_ELEMENTS(strays) + 3);
    ck_assert_uint_eq(eep_resize_hash(pool.resize), hash);
    fake_pool_run(&pool, NULL, LIMIT);
    check_end(&pool, 3);
    fake_pool_clear(&pool);
}
END_TEST

/* The check finds what is wrong, not only nothing. */
START_TEST(check_finds_what_is_broken)
{
    EepResizeParams params;
    FakePool pool;
    EepControl *control;
    GError *error = NULL;

    start(&pool, &params, &variants[0], 2);
    control = (EepControl *)eep_resize_control(pool.resize);
    control->blocked_by = EEP_BLOCK_PAUSE;
    ck_assert(!eep_resize_check(pool.resize, &error));
    ck_assert_str_eq(error->message, "resize coordinator idle: no step may begin");
    g_clear_error(&error);
    control->blocked_by = 0;
    control->rows[3].op = 5;
    ck_assert(!eep_resize_check(pool.resize, &error));
    g_clear_error(&error);
    control->rows[3].op = 0;
    eep_control_participant(control, 1)->state = EEP_PARTICIPANT_PREPARING;
    ck_assert(!eep_resize_check(pool.resize, &error));
    ck_assert_str_eq(error->message, "resize participant 2 preparing: not serving while idle");
    g_clear_error(&error);
    fake_pool_clear(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_shuffle");
    TCase *tcase = tcase_create("resize_shuffle");
    tcase_add_loop_test(tcase, always_ends, 0, G_N_ELEMENTS(variants));
    tcase_add_test(tcase, drain_ends_either_way);
    tcase_add_loop_test(tcase, save_and_load, 0, G_N_ELEMENTS(variants));
    tcase_add_loop_test(tcase, hash_forgets_the_past, 0, G_N_ELEMENTS(variants));
    tcase_add_test(tcase, load_refuses_what_is_not_its_own);
    tcase_add_test(tcase, strays_are_dropped);
    tcase_add_test(tcase, check_finds_what_is_broken);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
