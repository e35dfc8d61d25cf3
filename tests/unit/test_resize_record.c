/* core/resize/record.h, group.h, and the rules of resize.h: arithmetic. */
#include <stdlib.h>

#include "tests/unit/fake_pool.h"

START_TEST(downtime_is_the_union)
{
    EepResizeRecord record;

    /* reject 10..50, stall 20..30 inside, stall 45..80 across, a gap, reject 100..101 */
    eep_resize_record_init(&record, 1, "id", NULL, 5);
    eep_resize_record_set_rejecting(&record, TRUE, 10);
    eep_resize_record_set_stalled(&record, TRUE, 20);
    eep_resize_record_set_stalled(&record, FALSE, 30);
    eep_resize_record_set_stalled(&record, TRUE, 45);
    eep_resize_record_set_rejecting(&record, FALSE, 50);
    eep_resize_record_set_stalled(&record, FALSE, 80);
    eep_resize_record_set_rejecting(&record, TRUE, 100);
    eep_resize_record_set_rejecting(&record, FALSE, 101);
    ck_assert_int_eq(record.stall, 10 + 35);
    ck_assert_int_eq(record.reject, 40 + 1);
    ck_assert_int_eq(record.downtime, 70 + 1);
}
END_TEST

START_TEST(stretches)
{
    EepResizeRecord record;

    eep_resize_record_init(&record, 1, NULL, "slo", 5);
    ck_assert_str_eq(record.id, "");
    ck_assert_str_eq(record.by, "slo");
    ck_assert_int_eq(eep_resize_record_total(&record), EEP_TIME_NEVER);
    record.accepted = 10;
    record.commit = 25;
    ck_assert_int_eq(eep_resize_record_prepare(&record), 15);
    ck_assert_int_eq(eep_resize_record_commit(&record), EEP_TIME_NEVER);
    record.serving = 65;
    record.complete = 165;
    record.experts_ready = 150;
    ck_assert_int_eq(eep_resize_record_commit(&record), 40);
    ck_assert_int_eq(eep_resize_record_settle(&record), 100);
    ck_assert_int_eq(eep_resize_record_total(&record), 155);
    ck_assert_int_eq(eep_resize_record_experts_ready(&record), 140);
    ck_assert_int_eq(eep_resize_record_client_downtime(&record), EEP_TIME_NEVER);
    eep_resize_record_saw_success(&record, 20);
    eep_resize_record_saw_rejected(&record, 30);
    ck_assert_int_eq(eep_resize_record_client_downtime(&record), EEP_TIME_NEVER);
    eep_resize_record_saw_success(&record, 70);
    ck_assert_int_eq(eep_resize_record_client_downtime(&record), 40);
}
END_TEST

START_TEST(phases_have_an_end)
{
    EepResizeRecord record;

    eep_resize_record_init(&record, 1, NULL, NULL, 0);
    for (guint i = 0; i < EEP_RESIZE_MAX_PHASES; i++)
        ck_assert_uint_eq(eep_resize_record_begin_phase(&record, "x", "all", FALSE, i), i);
    ck_assert_uint_eq(eep_resize_record_begin_phase(&record, "x", "all", FALSE, 1),
                      EEP_RESIZE_MAX_PHASES);
    eep_resize_record_end_phase(&record, EEP_RESIZE_MAX_PHASES, 100);
    eep_resize_record_end_phase(&record, 3, 100);
    eep_resize_record_end_phase(&record, 3, 200);
    ck_assert_int_eq(record.phases[3].end, 100);
    ck_assert_int_eq(record.phases[4].end, EEP_TIME_NEVER);
}
END_TEST

static void assert_part(const GArray *parts, guint index, const char *role, guint first, guint n,
                        EepTime end)
{
    const EepResizePart *part = &g_array_index(parts, EepResizePart, index);

    ck_assert_str_eq(part->ranks.role_name, role);
    ck_assert_uint_eq(part->ranks.first, first);
    ck_assert_uint_eq(part->ranks.n, n);
    ck_assert_int_eq(part->end, end);
}

START_TEST(ranks_have_ends_of_their_own)
{
    EepResizeRecord record;
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(EepResizePart));

    eep_resize_record_init(&record, 1, NULL, NULL, 0);
    for (guint rank = 0; rank < 6; rank++)
        eep_resize_record_add_rank(&record, rank < 4 ? 1 : 2, rank < 4 ? "existing" : "new", rank);
    ck_assert_uint_eq(record.n_ranks, 2);
    eep_resize_record_begin_phase(&record, "x", "all", FALSE, 10);
    eep_resize_record_begin_phase(&record, "y", "new", FALSE, 10);
    record.phases[0].roles = 3;
    record.phases[1].roles = 2;
    eep_resize_record_end_part(&record, 0, 1, 3, 10);
    eep_resize_record_end_part(&record, 0, 1, 1, 20);
    eep_resize_record_end_part(&record, 0, 1, 2, 20);
    eep_resize_record_end_part(&record, 0, 2, 5, 30);
    eep_resize_record_end_phase(&record, 0, 30);
    eep_resize_record_end_part(&record, 0, 1, 0, 25);
    ck_assert_uint_eq(record.n_ends, 2);
    eep_resize_record_add_parts(&record, 0, parts);
    ck_assert_uint_eq(parts->len, 3);
    assert_part(parts, 0, "existing", 0, 1, 30);
    assert_part(parts, 1, "existing", 1, 2, 20);
    assert_part(parts, 2, "new", 4, 2, 30);
    g_array_set_size(parts, 0);
    eep_resize_record_end_part(&record, 1, 2, 4, 40);
    eep_resize_record_add_parts(&record, 1, parts);
    ck_assert_uint_eq(parts->len, 2);
    assert_part(parts, 0, "new", 4, 1, 40);
    assert_part(parts, 1, "new", 5, 1, EEP_TIME_NEVER);
}
END_TEST

START_TEST(long_names_are_cut)
{
    EepResizeRecord record;
    char id[200];

    memset(id, 'a', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    eep_resize_record_init(&record, 1, id, id, 0);
    ck_assert_uint_eq(strlen(record.id), sizeof record.id - 1);
    ck_assert_uint_eq(strlen(record.by), sizeof record.by - 1);
}
END_TEST

static void check_chain(guint n_old, guint n_new, guint sender, guint first, guint length)
{
    guint ret_first;

    ck_assert_uint_eq(eep_group_weight_receivers(n_old, n_new, sender, &ret_first), length);
    ck_assert_uint_eq(ret_first, first);
}

START_TEST(weight_senders)
{
    /* 2 -> 3: rank 0 serves rank 2, rank 1 nobody. */
    check_chain(2, 1, 0, 0, 1);
    check_chain(2, 1, 1, 1, 0);
    ck_assert_uint_eq(eep_group_weight_chain(2, 1), 1);
    /* 3 -> 10: 7 new ones in blocks of 3, 2, 2. */
    check_chain(3, 7, 0, 0, 3);
    check_chain(3, 7, 1, 3, 2);
    check_chain(3, 7, 2, 5, 2);
    ck_assert_uint_eq(eep_group_weight_chain(3, 7), 3);
    /* 4 -> 8 */
    check_chain(4, 4, 3, 3, 1);
    ck_assert_uint_eq(eep_group_weight_chain(4, 4), 1);
    for (guint n_old = 1; n_old < 20; n_old++)
        for (guint n_new = 0; n_new < 40; n_new++) {
            guint next = 0, longest = 0;

            for (guint sender = 0; sender < n_old; sender++) {
                guint first, n = eep_group_weight_receivers(n_old, n_new, sender, &first);

                ck_assert_uint_eq(first, next);
                next += n;
                longest = MAX(longest, n);
            }
            ck_assert_uint_eq(next, n_new);
            ck_assert_uint_eq(longest, eep_group_weight_chain(n_old, n_new));
        }
}
END_TEST

START_TEST(ranks_and_workers)
{
    guint64 room[16];
    EepGroup *group = (EepGroup *)room;
    const EepWorkerId workers[] = {9, 4, 7};

    ck_assert_uint_le(eep_group_size(5), sizeof room);
    ck_assert_uint_eq(eep_group_size(5) % 8, 0);
    eep_group_init(group, 5, 2);
    eep_group_set(group, 3, 3, workers);
    ck_assert_uint_eq(group->epoch, 3);
    ck_assert_uint_eq(eep_group_n_ranks(group), 6);
    ck_assert_uint_eq(eep_group_worker(group, 1), 4);
    ck_assert_uint_eq(eep_group_rank(group, 7), 2);
    ck_assert_uint_eq(eep_group_rank(group, 8), EEP_RANK_NONE);
    ck_assert_uint_eq(eep_group_worker_of_ep_rank(group, 3), 4);
    ck_assert_uint_eq(eep_group_worker_of_ep_rank(group, 4), 7);
    eep_group_set(group, 4, 2, group->workers);
    ck_assert_uint_eq(eep_group_rank(group, 7), EEP_RANK_NONE);
    ck_assert_uint_eq(group->workers[2], 0);
}
END_TEST

static void check_refused(EepResizeParams *params, guint n_engines, gint64 new_dp,
                          const char *reason)
{
    FakePool pool;
    guint64 hash;

    fake_pool_init(&pool, params, n_engines);
    hash = eep_resize_hash(pool.resize);
    eep_resize_request(pool.resize, new_dp, "x", NULL);
    ck_assert_uint_eq(pool.n_ended, 1);
    ck_assert_int_eq(pool.record.outcome, EEP_OUTCOME_REFUSED);
    ck_assert_str_eq(pool.record.reason, reason);
    ck_assert_int_eq(pool.record.accepted, EEP_TIME_NEVER);
    ck_assert(eep_resize_is_idle(pool.resize));
    ck_assert_uint_eq(eep_resize_hash(pool.resize), hash);
    fake_pool_clear(&pool);
}

/* DeepSeek-V3, E = 256: DP 16 without redundancy has 16 slots a rank; 15 is too few. With 32
 * redundant ones, 18 slots a rank: ceil(256 * 16 / 288) = 15. */
START_TEST(minimum_size)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.max_engines = 40;
    params.n_experts = 256;
    params.slots_per_rank = 16;
    check_refused(&params, 16, 15,
                  "cannot scale to 15 data parallel engines: 256 experts need a slot each and an "
                  "engine has 16; minimum is 16");
    params.slots_per_rank = 18;
    check_refused(&params, 16, 14,
                  "cannot scale to 14 data parallel engines: 256 experts need a slot each and an "
                  "engine has 18; minimum is 15");
    fake_pool_init(&pool, &params, 16);
    eep_resize_request(pool.resize, 15, NULL, NULL);
    ck_assert_uint_eq(pool.n_ended, 0);
    ck_assert_ptr_nonnull(eep_resize_record(pool.resize));
    fake_pool_clear(&pool);
    params.max_ranks = 32;
    params.all2all_backend = "nixl_ep";
    check_refused(&params, 16, 33,
                  "cannot scale to 33 data parallel engines: all2all_backend nixl_ep has buffers "
                  "for 32 EP ranks");
    check_refused(&params, 16, 41, "cannot scale to 41 data parallel engines: maximum is 40");
    check_refused(&params, 16, 0, "new_data_parallel_size must be a positive integer");
    check_refused(&params, 16, -3, "new_data_parallel_size must be a positive integer");
}
END_TEST

START_TEST(gpus_and_backend)
{
    EepResizeParams params;
    FakePool pool;

    fake_params(&params, "g2.1");
    params.tensor_parallel_size = 2;
    fake_pool_init(&pool, &params, 4);
    pool.free_gpus = 3;
    eep_resize_request(pool.resize, 6, NULL, NULL);
    ck_assert_str_eq(pool.record.reason,
                     "cannot scale to 6 data parallel engines: 4 more GPUs needed, 3 free");
    fake_pool_clear(&pool);
    params.is_elastic_backend = FALSE;
    params.all2all_backend = "deepep_low_latency";
    check_refused(&params, 4, 6,
                  "generation g2.1: all2all_backend deepep_low_latency cannot change its ranks "
                  "while it serves");
    params.enable_elastic_ep = FALSE;
    check_refused(&params, 4, 6, "generation g2.1 needs enable_elastic_ep");
    params.enable_elastic_ep = params.is_elastic_backend = params.enable_dbo = TRUE;
    check_refused(&params, 4, 6, "generation g2.1: enable_dbo is not supported with elastic EP");
    /* What is started anew need not be elastic. */
    params.generation = "restart";
    params.enable_elastic_ep = params.is_elastic_backend = FALSE;
    fake_pool_init(&pool, &params, 4);
    eep_resize_request(pool.resize, 6, NULL, NULL);
    ck_assert_uint_eq(pool.n_ended, 0);
    fake_pool_clear(&pool);
}
END_TEST

static void check_params(const EepResizeParams *params, const char *message)
{
    GError *error = NULL;

    ck_assert_ptr_null(eep_resize_new(&fake_host, NULL, params, &error));
    ck_assert(g_error_matches(error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_PARAMS));
    ck_assert_msg(strstr(error->message, message) != NULL, "%s", error->message);
    g_clear_error(&error);
}

START_TEST(wrong_params)
{
    EepResizeParams params;

    fake_params(&params, "g9");
    check_params(&params, "generation g9: no such generation");
    fake_params(&params, NULL);
    check_params(&params, "no such generation");
    fake_params(&params, "g2.1");
    params.max_engines = 0;
    check_params(&params, "max_engines");
    fake_params(&params, "g2.1");
    params.tensor_parallel_size = 0;
    check_params(&params, "tensor_parallel_size");
    fake_params(&params, "g2.1");
    params.consensus_cadence = 0;
    check_params(&params, "consensus_cadence");
    fake_params(&params, "g2.1");
    params.on_busy = EEP_ON_BUSY_SUPERSEDE;
    check_params(&params, "supersede");
    fake_params(&params, "g2.1");
    params.drain_poll = 0;
    check_params(&params, "drain_poll");
    fake_params(&params, "g2.1");
    params.control_latency = -1;
    check_params(&params, "control_latency");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize_record");
    TCase *tcase = tcase_create("resize_record");
    tcase_add_test(tcase, downtime_is_the_union);
    tcase_add_test(tcase, stretches);
    tcase_add_test(tcase, phases_have_an_end);
    tcase_add_test(tcase, ranks_have_ends_of_their_own);
    tcase_add_test(tcase, long_names_are_cut);
    tcase_add_test(tcase, weight_senders);
    tcase_add_test(tcase, ranks_and_workers);
    tcase_add_test(tcase, minimum_size);
    tcase_add_test(tcase, gpus_and_backend);
    tcase_add_test(tcase, wrong_params);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
