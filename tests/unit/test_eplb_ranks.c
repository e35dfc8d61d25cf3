/* EPLB over some of the ranks: those that leave from the middle, those that died, those that are to
 * join. 12 experts in 3 layers on 4 ranks of 4 slots: at launch rank 0 and rank 3 hold 0..3, rank 1
 * 4..7 and rank 2 8..11. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/eplb.h"

#define L 3
#define E 12
#define N 4
#define S 4

static double load[L * E];

static void setup(void)
{
    for (guint i = 0; i < L * E; i++)
        load[i] = 1.0 + (double)(i * 7 % 11) + (i % E == 5 ? 60.0 : 0.0);
}

static EepEplb *eplb_of(const char *policy)
{
    const EepEplbShape shape = {.n_layers = L, .n_experts = E, .n_ranks = N, .n_groups = 1};
    EepEplbOptions options;
    g_autoptr(GError) error = NULL;

    eep_eplb_options_init(&options);
    options.enabled = TRUE;
    options.policy = policy;
    options.num_redundant_experts = N * S - E;
    EepEplb *eplb = eep_eplb_new(&options, &shape, &error);
    ck_assert_msg(eplb != NULL, "%s", error != NULL ? error->message : "");
    return eplb;
}

static void plan(EepEplb *eplb, const guint8 *ranks, guint n_ranks, gboolean loses)
{
    const EepEplbRequest request = {.load = load,
                                    .n_ranks = n_ranks,
                                    .ranks = ranks,
                                    .loses_unheld = loses,
                                    .max_moves = EEP_EPLB_MOVES_AUTO};
    g_autoptr(GError) error = NULL;

    ck_assert_msg(eep_eplb_plan(eplb, &request, &error), "%s", error != NULL ? error->message : "");
    if (eep_eplb_has_plan(eplb))
        eep_eplb_start_moves(eplb);
}

static void assert_sound(const EepEplb *eplb)
{
    g_autoptr(GError) error = NULL;

    ck_assert_msg(eep_eplb_check(eplb, &error), "%s", error != NULL ? error->message : "");
}

static guint n_filled(const EepPlacement *placement, guint layer, guint rank)
{
    guint n = 0;

    for (guint i = 0; i < S; i++)
        n += eep_placement_layer(placement, layer)[rank * S + i] != EEP_PLACEMENT_EMPTY;
    return n;
}

static const char *const policies[] = {"default", "eep", "naive"};

/* A rank in the middle is emptied layer by layer, every map on the way serves, and once it has gone
 * the others have their slots under new numbers. */
START_TEST(a_rank_leaves_from_the_middle)
{
    static const guint8 ranks[N] = {EEP_EPLB_RANK_HOLDS, EEP_EPLB_RANK_LEAVES, EEP_EPLB_RANK_HOLDS,
                                    EEP_EPLB_RANK_HOLDS};
    static const gint32 source[] = {0, 2, 3};
    g_autoptr(EepEplb) eplb = eplb_of(policies[_i]);
    const EepPlacement *placement = eep_eplb_placement(eplb);
    g_autoptr(EepPlacement) before = eep_placement_copy(placement);
    g_autoptr(GError) error = NULL;

    ck_assert(!eep_eplb_map_ranks(eplb, source, 3, FALSE, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_EXPERT_LOST));
    g_clear_error(&error);
    plan(eplb, ranks, 3, TRUE);
    ck_assert_msg(
        eep_migration_check(eep_eplb_migration(eplb), before, eep_eplb_target(eplb), &error), "%s",
        error != NULL ? error->message : "");
    ck_assert_uint_eq(eep_eplb_migration(eplb)->received[1], 0);
    ck_assert_uint_gt(eep_eplb_migration(eplb)->sent[1], 0);
    for (guint layer = 0; layer < L; layer++) {
        ck_assert_uint_eq(n_filled(placement, layer, 1), S);
        eep_eplb_commit_layer(eplb, layer);
        ck_assert_uint_eq(n_filled(placement, layer, 1), 0);
        ck_assert(eep_placement_check(placement, NULL));
    }
    g_autoptr(EepPlacement) after = eep_placement_copy(placement);
    ck_assert(eep_eplb_map_ranks(eplb, source, 3, FALSE, NULL));
    ck_assert_uint_eq(placement->n_ranks, 3);
    for (guint layer = 0; layer < L; layer++)
        for (guint rank = 0; rank < 3; rank++)
            ck_assert_int_eq(memcmp(eep_placement_layer(placement, layer) + rank * S,
                                    eep_placement_layer(after, layer) + source[rank] * S,
                                    S * sizeof(gint32)),
                             0);
    assert_sound(eplb);
}
END_TEST

/* Stopped after any number of layers the map serves, and the plan can be made again. */
START_TEST(stopping_leaves_a_map_that_serves)
{
    static const guint8 ranks[N] = {EEP_EPLB_RANK_LEAVES, EEP_EPLB_RANK_HOLDS, EEP_EPLB_RANK_HOLDS,
                                    EEP_EPLB_RANK_HOLDS};
    g_autoptr(EepEplb) eplb = eplb_of("default");
    const EepPlacement *placement = eep_eplb_placement(eplb);

    plan(eplb, ranks, 3, TRUE);
    for (guint layer = 0; layer < (guint)_i; layer++)
        eep_eplb_commit_layer(eplb, layer);
    ck_assert_uint_eq(eep_eplb_drain(eplb), (guint)(L - _i));
    ck_assert(eep_placement_check(placement, NULL));
    for (guint layer = 0; layer < L; layer++)
        ck_assert_uint_eq(n_filled(placement, layer, 0), layer < (guint)_i ? 0 : S);
    plan(eplb, ranks, 3, TRUE);
    eep_eplb_commit_all(eplb);
    for (guint layer = 0; layer < L; layer++)
        ck_assert_uint_eq(n_filled(placement, layer, 0), 0);
}
END_TEST

static const guint8 rank_1_died[N] = {EEP_EPLB_RANK_HOLDS, EEP_EPLB_RANK_DEAD, EEP_EPLB_RANK_HOLDS,
                                      EEP_EPLB_RANK_HOLDS};

/* What only a dead rank held comes from outside; nothing comes from it. */
START_TEST(a_copy_outside_restores_what_died)
{
    g_autoptr(EepEplb) eplb = eplb_of(policies[_i]);
    const EepPlacement *placement = eep_eplb_placement(eplb);
    const EepMigration *migration;

    plan(eplb, rank_1_died, 3, FALSE);
    migration = eep_eplb_migration(eplb);
    ck_assert_uint_eq(migration->sent[1], 0);
    ck_assert_uint_eq(migration->received[1], 0);
    ck_assert_uint_ge(migration->n_lost, 4 * L);
    for (guint i = 0; i < migration->n_transfers; i++) {
        const EepExpertTransfer *t = &migration->transfers[i];

        ck_assert_int_eq(t->from_rank == EEP_MIGRATION_NO_SENDER, t->expert >= 4 && t->expert < 8);
    }
    eep_eplb_commit_all(eplb);
    ck_assert(eep_placement_check(placement, NULL));
    ck_assert(eep_eplb_map_ranks(eplb, (const gint32[]){0, 2, 3}, 3, FALSE, NULL));
    ck_assert_uint_eq(placement->n_missing, 0);
}
END_TEST

/* Without one they are lost, known as such, and stay lost, until there is one. */
START_TEST(without_a_copy_experts_are_lost)
{
    g_autoptr(EepEplb) eplb = eplb_of(policies[_i]);
    const EepPlacement *placement = eep_eplb_placement(eplb);

    plan(eplb, rank_1_died, 3, TRUE);
    ck_assert_uint_eq(eep_eplb_migration(eplb)->n_lost, 0);
    eep_eplb_commit_all(eplb);
    assert_sound(eplb);
    ck_assert(!eep_placement_check(placement, NULL));
    ck_assert_uint_eq(placement->n_missing, 4 * L);
    ck_assert(eep_eplb_map_ranks(eplb, (const gint32[]){0, 2, 3}, 3, FALSE, NULL));
    assert_sound(eplb);
    for (guint layer = 0; layer < L; layer++)
        for (guint expert = 0; expert < E; expert++)
            ck_assert_int_eq(placement->logcnt[layer * E + expert] == 0, expert >= 4 && expert < 8);
    plan(eplb, NULL, 3, TRUE);
    eep_eplb_commit_all(eplb);
    ck_assert_uint_eq(placement->n_missing, 4 * L);
    plan(eplb, NULL, 3, FALSE);
    ck_assert_uint_eq(eep_eplb_migration(eplb)->n_lost, 4 * L);
    eep_eplb_commit_all(eplb);
    ck_assert_uint_eq(placement->n_missing, 0);
    /* From now on each one is missed again. */
    ck_assert(!eep_eplb_map_ranks(eplb, (const gint32[]){1, 2}, 2, FALSE, NULL));
}
END_TEST

/* Masked ranks take their experts with them; where the rest cannot hold all, nothing is planned. */
START_TEST(masked_ranks_take_experts_with_them)
{
    g_autoptr(EepEplb) eplb = eplb_of("default");
    const EepPlacement *placement = eep_eplb_placement(eplb);
    guint64 due = eep_eplb_steps_until_due(eplb);

    ck_assert(eep_eplb_map_ranks(eplb, (const gint32[]){0, 2, 3}, 3, TRUE, NULL));
    ck_assert_uint_eq(placement->n_missing, 4 * L);
    assert_sound(eplb);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), due);
    ck_assert(eep_eplb_map_ranks(eplb, (const gint32[]){1, 2}, 2, TRUE, NULL));
    ck_assert_uint_eq(placement->n_missing, 4 * L);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), G_MAXUINT64);
    ck_assert(eep_eplb_map_ranks(eplb, (const gint32[]){0, 1, -1}, 3, FALSE, NULL));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), due);
    assert_sound(eplb);
}
END_TEST

/* -- before they join -- */

static const gint32 two_more[] = {0, 1, 2, 3, -1, -1};

static void preload(EepEplb *eplb)
{
    ck_assert(eep_eplb_plan_preload(eplb, load, two_more, 6, NULL));
    ck_assert(eep_eplb_has_plan(eplb));
    eep_eplb_start_moves(eplb);
}

static void assert_new_ranks_full(const EepPlacement *placement)
{
    for (guint layer = 0; layer < L; layer++)
        for (guint rank = N; rank < 6; rank++) {
            guint seen = 0;

            for (guint i = 0; i < S; i++) {
                gint32 expert = eep_placement_layer(placement, layer)[rank * S + i];

                ck_assert_int_ge(expert, 0);
                ck_assert_msg(!(seen & 1u << expert), "rank %u has expert %d twice", rank, expert);
                seen |= 1u << expert;
            }
        }
}

/* The serving map does not move while layers arrive; then the new ranks come in with their slots
 * filled, and the hottest rank is cooler. */
START_TEST(new_ranks_join_with_experts)
{
    g_autoptr(EepEplb) eplb = eplb_of("default");
    const EepPlacement *placement = eep_eplb_placement(eplb);
    g_autoptr(EepPlacement) before = eep_placement_copy(placement);
    const EepMigration *migration;
    double mean, hottest_before, hottest;

    preload(eplb);
    migration = eep_eplb_migration(eplb);
    ck_assert_uint_eq(migration->n_ranks, 6);
    ck_assert_uint_eq(migration->n_transfers, 2 * S * L);
    ck_assert_uint_eq(migration->n_lost, 0);
    for (guint rank = 0; rank < 6; rank++)
        ck_assert_uint_eq(migration->received[rank], rank < N ? 0 : S * L);
    for (guint layer = 0; layer < L; layer++) {
        ck_assert(eep_eplb_preloaded(eplb) == NULL);
        eep_eplb_commit_layer(eplb, layer);
        ck_assert_uint_eq(placement->generation, before->generation);
    }
    ck_assert(!eep_eplb_running(eplb));
    ck_assert(eep_eplb_preloaded(eplb) != NULL);
    ck_assert(eep_eplb_map_ranks(eplb, two_more, 6, FALSE, NULL));
    assert_new_ranks_full(placement);
    for (guint layer = 0; layer < L; layer++) {
        ck_assert_int_eq(memcmp(eep_placement_layer(placement, layer),
                                eep_placement_layer(before, layer), N * S * sizeof(gint32)),
                         0);
        eep_placement_layer_balancedness(before, layer, load + layer * E, &mean, &hottest_before);
        eep_placement_layer_balancedness(placement, layer, load + layer * E, &mean, &hottest);
        ck_assert_double_lt(hottest, hottest_before);
        /* Expert 5 has most of the load: both new ranks have it. */
        ck_assert_int_eq(placement->logcnt[layer * E + 5], 3);
    }
    ck_assert(eep_eplb_preloaded(eplb) == NULL);
}
END_TEST

/* Stopped at any layer, or meant for another group, nothing of it is left. */
START_TEST(a_preload_can_be_forgotten)
{
    g_autoptr(EepEplb) eplb = eplb_of("default");
    const EepPlacement *placement = eep_eplb_placement(eplb);
    static const gint32 other[] = {0, 1, 2, 3, -1};

    preload(eplb);
    for (guint layer = 0; layer < (guint)_i; layer++)
        eep_eplb_commit_layer(eplb, layer);
    eep_eplb_drain(eplb);
    if (_i == L)
        ck_assert(eep_eplb_preloaded(eplb) != NULL);
    if (_i % 2 == 0)
        eep_eplb_forget_preload(eplb);
    ck_assert(eep_placement_check(placement, NULL));
    if (_i == L) {
        ck_assert(eep_eplb_map_ranks(eplb, other, 5, FALSE, NULL));
        ck_assert_uint_eq(n_filled(placement, 0, 4), 0);
        ck_assert(eep_eplb_preloaded(eplb) == NULL);
        return;
    }
    ck_assert(eep_eplb_map_ranks(eplb, two_more, 6, FALSE, NULL));
    for (guint layer = 0; layer < L; layer++)
        ck_assert_uint_eq(n_filled(placement, layer, 4) + n_filled(placement, layer, 5), 0);
}
END_TEST

/* What the others hold by then counts, not what they held when the preload was planned. */
START_TEST(others_may_move_meanwhile)
{
    g_autoptr(EepEplb) eplb = eplb_of("default");
    const EepPlacement *placement = eep_eplb_placement(eplb);

    preload(eplb);
    eep_eplb_commit_all(eplb);
    g_autoptr(EepPlacement) preloaded = eep_placement_copy(eep_eplb_preloaded(eplb));
    plan(eplb, NULL, N, TRUE);
    ck_assert(eep_eplb_running(eplb));
    eep_eplb_commit_all(eplb);
    g_autoptr(EepPlacement) before = eep_placement_copy(placement);
    ck_assert(eep_eplb_map_ranks(eplb, two_more, 6, FALSE, NULL));
    for (guint layer = 0; layer < L; layer++)
        for (guint slot = 0; slot < 6 * S; slot++)
            ck_assert_int_eq(eep_placement_layer(placement, layer)[slot],
                             slot < N * S ? eep_placement_layer(before, layer)[slot]
                                          : eep_placement_layer(preloaded, layer)[slot]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eplb_ranks");
    TCase *tcase = tcase_create("eplb_ranks");
    SRunner *runner;
    int n_failed;

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, a_rank_leaves_from_the_middle, 0, 3);
    tcase_add_loop_test(tcase, stopping_leaves_a_map_that_serves, 0, L);
    tcase_add_loop_test(tcase, a_copy_outside_restores_what_died, 0, 3);
    tcase_add_loop_test(tcase, without_a_copy_experts_are_lost, 0, 3);
    tcase_add_test(tcase, masked_ranks_take_experts_with_them);
    tcase_add_test(tcase, new_ranks_join_with_experts);
    tcase_add_loop_test(tcase, a_preload_can_be_forgotten, 0, L + 1);
    tcase_add_test(tcase, others_may_move_meanwhile);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
