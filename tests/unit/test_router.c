/* Each policy's choice by scores worked out by hand. The engines hold no requests: the router looks
 * at their counts only, which are written down here. */
#include "core/engine/router.h"

#include <check.h>
#include <stdlib.h>

#define N 4

static EepPoolOptions options;
static EepStepHistory history;
static EepEngine *engines[N];
static const EepRequest request;

static void setup(void)
{
    eep_options_init(&eep_pool_options, &options);
    options.block_size = 4;
    options.enable_prefix_caching = TRUE;
    options.router.staleness = 0;
    for (guint i = 0; i < N; i++) {
        engines[i] = eep_engine_new(&options, 100, 16, i + 1, &history);
        engines[i]->index = (guint16)i;
    }
}

static void teardown(void)
{
    for (guint i = 0; i < N; i++)
        eep_engine_free(engines[i]);
    eep_options_clear(&eep_pool_options, &options);
}

static EepRouter *router_of(EepRouterPolicy policy, guint64 seed)
{
    EepRouter *router;

    options.router.policy = policy;
    router = eep_router_new(&options, seed);
    eep_router_map_engines(router, NULL, N);
    return router;
}

static void load(guint i, guint32 waiting, guint32 running, guint64 n_used)
{
    engines[i]->waiting.n = waiting;
    engines[i]->running.n = running;
    engines[i]->kv.n_free = 100 - n_used;
}

static guint pick(EepRouter *router)
{
    return eep_router_pick(router, engines, N, &request, 0);
}

/* 4 * waiting + running: 5, 8, 4, 6. */
START_TEST(waiting4_running)
{
    EepRouter *router = router_of(EEP_ROUTER_WAITING4_RUNNING, 1);

    load(0, 0, 5, 90);
    load(1, 2, 0, 0);
    load(2, 1, 0, 99);
    load(3, 1, 2, 0);
    ck_assert_uint_eq(pick(router), 2);
    load(2, 1, 1, 99); /* 5 and 5: the lowest index */
    ck_assert_uint_eq(pick(router), 0);
    ck_assert_uint_eq(pick(router), 0);
    eep_router_free(router);
}
END_TEST

/* max(in flight, waiting + running) + waiting * 6 * max(0, kv usage - 0.5), one client:
 * 5 + 2 * 6 * 0.4 = 9.8; 9 + 0; 3 + 3 * 6 * 0.5 = 12; 10 + 0 (usage below a half). */
START_TEST(in_flight_kv)
{
    EepRouter *router = router_of(EEP_ROUTER_IN_FLIGHT_KV, 1);

    load(0, 2, 3, 90);
    load(1, 0, 9, 95);
    load(2, 3, 0, 100);
    load(3, 10, 0, 50);
    ck_assert_uint_eq(pick(router), 1);
    load(1, 0, 10, 95);
    ck_assert_uint_eq(pick(router), 0);
    load(0, 3, 3, 90); /* 13.2 */
    load(2, 3, 0, 80); /* 3 + 5.4 */
    ck_assert_uint_eq(pick(router), 2);
    eep_router_free(router);
}
END_TEST

/* Among equals the scan begins one engine further with each pick. */
START_TEST(the_scan_rotates)
{
    EepRouter *router = router_of(EEP_ROUTER_IN_FLIGHT_KV, 1);

    for (guint i = 0; i < 2 * N; i++)
        ck_assert_uint_eq(pick(router), i % N);
    load(1, 0, 1, 0); /* begins at 0, 1 (which loses), 2 */
    ck_assert_uint_eq(pick(router), 0);
    ck_assert_uint_eq(pick(router), 2);
    ck_assert_uint_eq(pick(router), 2);
    eep_router_free(router);
}
END_TEST

START_TEST(round_robin)
{
    EepRouter *router = router_of(EEP_ROUTER_ROUND_ROBIN, 1);

    load(2, 7, 9, 99); /* whatever the load */
    for (guint i = 0; i < 3 * N; i++)
        ck_assert_uint_eq(pick(router), i % N);
    load(0, 3, 0, 0); /* full, and so is 2 */
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 3), 1);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 3), 3);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 3), 1);
    /* Only the first two get requests, as when the others are about to leave. */
    ck_assert_uint_eq(eep_router_pick(router, engines, 2, &request, 0), 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, 2, &request, 0), 1);
    eep_router_free(router);
}
END_TEST

/* The snapshot is what the router believes, plus client_count for each request that it sent since.
 */
START_TEST(stale_counts_and_local_increments)
{
    EepRouter *router;

    options.router.staleness = 100;
    options.router.client_count = 3;
    router = router_of(EEP_ROUTER_WAITING4_RUNNING, 1);
    /* Nothing published yet: all empty, whatever is true. */
    load(0, 50, 50, 0);
    ck_assert_uint_eq(pick(router), 0);
    ck_assert_uint_eq(pick(router), 1); /* 12, 0, 0, 0 */
    ck_assert_uint_eq(pick(router), 2);
    ck_assert_uint_eq(pick(router), 3);
    ck_assert_uint_eq(pick(router), 0); /* 12 each */
    /* Published: 250, 10, 11, 30. Each pick adds 12: 250, 22, 11, 30, then 250, 22, 23, 30. */
    load(1, 2, 2, 0);
    load(2, 2, 3, 0);
    load(3, 5, 10, 0);
    eep_router_publish(router, engines, N);
    ck_assert_uint_eq(pick(router), 1);
    load(1, 0, 0, 0); /* not seen */
    ck_assert_uint_eq(pick(router), 2);
    ck_assert_uint_eq(pick(router), 1); /* 34 */
    ck_assert_uint_eq(pick(router), 2); /* 35 */
    ck_assert_uint_eq(pick(router), 3); /* 30 */
    eep_router_publish(router, engines, N);
    ck_assert_uint_eq(pick(router), 1);
    eep_router_free(router);
}
END_TEST

/* Engines that join start with empty snapshots; those that stay keep theirs. */
START_TEST(a_wider_group_attracts_requests)
{
    EepRouter *router;

    options.router.staleness = 100;
    router = router_of(EEP_ROUTER_WAITING4_RUNNING, 1);
    eep_router_map_engines(router, NULL, 2);
    load(0, 1, 1, 0);
    load(1, 1, 0, 0);
    eep_router_publish(router, engines, 2);
    eep_router_map_engines(router, (const gint32[]){0, 1, -1, -1}, N);
    load(2, 9, 9, 0); /* true, but not published */
    ck_assert_uint_eq(pick(router), 2);
    ck_assert_uint_eq(pick(router), 3);
    ck_assert_uint_eq(pick(router), 1); /* 5, 4, 4, 4 */
    eep_router_free(router);
}
END_TEST

/* Snapshots follow their engines to other indices. */
START_TEST(snapshots_follow_their_engines)
{
    EepRouter *router;

    options.router.staleness = 100;
    router = router_of(EEP_ROUTER_WAITING4_RUNNING, 1);
    load(0, 0, 7, 0);
    load(1, 0, 9, 0);
    load(2, 0, 8, 0);
    load(3, 0, 6, 0);
    eep_router_publish(router, engines, N);
    /* Number 1 leaves: 7, 8, 6, and then 7, 8, 10. */
    eep_router_map_engines(router, (const gint32[]){0, 2, 3}, 3);
    ck_assert_uint_eq(eep_router_pick(router, engines, 3, &request, 0), 2);
    ck_assert_uint_eq(eep_router_pick(router, engines, 3, &request, 0), 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, 3, &request, 0), 1);
    eep_router_free(router);
}
END_TEST

/* Engines in the middle that are about to leave get nothing, whatever the policy. */
START_TEST(only_routable_engines)
{
    static const EepRouterPolicy policies[] = {EEP_ROUTER_WAITING4_RUNNING, EEP_ROUTER_IN_FLIGHT_KV,
                                               EEP_ROUTER_ROUND_ROBIN, EEP_ROUTER_POWER_OF_TWO,
                                               EEP_ROUTER_PREFIX_AFFINITY};
    EepRouter *router = router_of(policies[_i], 1);
    guint n[N] = {0};

    load(0, 0, 2, 0);
    load(3, 0, 2, 0); /* the idle ones are those that leave */
    engines[1]->is_routable = engines[2]->is_routable = FALSE;
    for (guint i = 0; i < 20; i++)
        n[pick(router)]++;
    ck_assert_uint_eq(n[0] + n[3], 20);
    ck_assert_uint_eq(n[1] + n[2], 0);
    engines[0]->is_routable = engines[3]->is_routable = FALSE;
    ck_assert_uint_eq(pick(router), EEP_ROUTER_NONE);
    engines[2]->is_routable = TRUE;
    ck_assert_uint_eq(pick(router), 2);
    eep_router_free(router);
}
END_TEST

START_TEST(full_queues)
{
    static const EepRouterPolicy policies[] = {EEP_ROUTER_WAITING4_RUNNING, EEP_ROUTER_IN_FLIGHT_KV,
                                               EEP_ROUTER_ROUND_ROBIN, EEP_ROUTER_POWER_OF_TWO,
                                               EEP_ROUTER_PREFIX_AFFINITY};
    EepRouter *router = router_of(policies[_i], 1);

    load(0, 2, 0, 0);
    load(1, 2, 0, 0);
    load(2, 1, 90, 0); /* the only one with room, though the busiest */
    load(3, 5, 0, 0);
    for (guint i = 0; i < 20; i++)
        ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 2), 2);
    load(2, 2, 0, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 2), EEP_ROUTER_NONE);
    ck_assert_uint_ne(eep_router_pick(router, engines, N, &request, 6), EEP_ROUTER_NONE);
    ck_assert_uint_ne(eep_router_pick(router, engines, N, &request, 0), EEP_ROUTER_NONE);
    eep_router_free(router);
}
END_TEST

/* The better of two drawn ones: the least loaded of four is among them in half of all draws, the
 * most loaded one is never taken. */
START_TEST(power_of_two)
{
    guint n[N] = {0}, n_equal = 0, first[200];
    EepRouter *router = router_of(EEP_ROUTER_POWER_OF_TWO, 5);

    for (guint i = 0; i < N; i++)
        load(i, i, 0, 0);
    for (guint i = 0; i < 12000; i++)
        n[pick(router)]++;
    /* 3/6, 2/6 and 1/6 of the pairs; four standard deviations are 220. */
    ck_assert_int_lt(abs((int)n[0] - 6000), 220);
    ck_assert_int_lt(abs((int)n[1] - 4000), 220);
    ck_assert_int_lt(abs((int)n[2] - 2000), 220);
    ck_assert_uint_eq(n[3], 0);
    eep_router_free(router);

    for (guint pass = 0; pass < 3; pass++) {
        router = router_of(EEP_ROUTER_POWER_OF_TWO, pass < 2 ? 9 : 10);
        for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
            guint picked = pick(router);

            if (pass == 0)
                first[i] = picked;
            else if (pass == 1)
                ck_assert_uint_eq(picked, first[i]); /* the seed decides */
            else
                n_equal += picked == first[i];
        }
        eep_router_free(router);
    }
    ck_assert_uint_lt(n_equal, G_N_ELEMENTS(first));
    router = router_of(EEP_ROUTER_POWER_OF_TWO, 1);
    ck_assert_uint_eq(eep_router_pick(router, engines, 1, &request, 0), 0);
    eep_router_free(router);
}
END_TEST

/* Gives the engine the first n blocks of the hashes, as a request that has gone left them. */
static void cache(guint i, guint64 *hashes, guint n_hashes, guint n)
{
    EepRequest owner = {.hashes = hashes, .n_hashes = (guint16)n_hashes};

    eep_prefix_cache_take(engines[i]->kv.prefix, n);
    eep_prefix_cache_publish(engines[i]->kv.prefix, &owner, 0, n);
    eep_prefix_cache_release(engines[i]->kv.prefix, &owner, n);
    g_free(owner.runs);
}

/* Hashes stand for 16 tokens, four blocks. */
START_TEST(prefix_affinity)
{
    guint64 hashes[] = {1, 2, 3}, others[] = {1, 9, 8};
    EepRequest asker = {.hashes = hashes, .n_hashes = 3};
    EepRouter *router = router_of(EEP_ROUTER_PREFIX_AFFINITY, 1);

    load(0, 0, 3, 0);
    load(1, 0, 2, 0);
    load(2, 0, 1, 0);
    load(3, 0, 2, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 2); /* nobody has it */
    cache(0, hashes, 3, 7);
    cache(1, others, 3, 12); /* 4 blocks in common */
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &request, 0), 2); /* no hashes */
    /* Full, so the next best. */
    load(0, 4, 3, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 4), 1);
    /* Overloaded: more than 32 above the least loaded one and more than 1.1 times it. */
    load(0, 0, 33, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 0); /* 33 = 1 + 32 */
    load(0, 0, 34, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 1);
    load(1, 0, 400, 0);
    load(2, 0, 400, 0);
    load(3, 0, 410, 0);
    load(0, 0, 440, 0); /* 40 above, 1.1 times: not overloaded */
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 0);
    load(0, 0, 441, 0);
    ck_assert_uint_eq(eep_router_pick(router, engines, N, &asker, 0), 1);
    eep_router_free(router);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("router");
    TCase *tcase = tcase_create("router");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, waiting4_running);
    tcase_add_test(tcase, in_flight_kv);
    tcase_add_test(tcase, the_scan_rotates);
    tcase_add_test(tcase, round_robin);
    tcase_add_test(tcase, stale_counts_and_local_increments);
    tcase_add_test(tcase, a_wider_group_attracts_requests);
    tcase_add_test(tcase, snapshots_follow_their_engines);
    tcase_add_loop_test(tcase, only_routable_engines, 0, 5);
    tcase_add_loop_test(tcase, full_queues, 0, 5);
    tcase_add_test(tcase, power_of_two);
    tcase_add_test(tcase, prefix_affinity);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
