/* core/eplb/placement.c against maps and loads small enough to do by hand. */
#include <check.h>
#include <stdlib.h>

#include "core/eplb/placement.h"
#include "core/eplb/policy.h"

static void assert_row(const EepPlacement *placement, guint layer, const gint32 *expected)
{
    const gint32 *row = eep_placement_layer(placement, layer);
    for (guint slot = 0; slot < placement->n_slots; slot++)
        ck_assert_msg(row[slot] == expected[slot], "layer %u slot %u: %d, expected %d", layer, slot,
                      row[slot], expected[slot]);
}

/* The first ranks stay, new ones come behind them. */
static void resize(EepPlacement *placement, guint n_ranks)
{
    gint32 source[32];
    for (guint rank = 0; rank < n_ranks; rank++)
        source[rank] = rank < placement->n_ranks ? (gint32)rank : -1;
    eep_placement_map_ranks(placement, source, n_ranks);
}

START_TEST(initial_map_repeats_from_the_first_expert)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 6, 4, 2);
    const gint32 row[] = {0, 1, 2, 3, 4, 5, 0, 1};
    const gint32 count[] = {2, 2, 1, 1, 1, 1};
    ck_assert_uint_eq(placement->n_slots, 8);
    for (guint layer = 0; layer < 2; layer++) {
        assert_row(placement, layer, row);
        for (guint e = 0; e < 6; e++)
            ck_assert_int_eq(placement->logcnt[layer * 6 + e], count[e]);
    }
    ck_assert(eep_placement_check(placement, NULL));
}
END_TEST

START_TEST(redundant_slots_wrap_more_than_once)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(1, 2, 5, 1);
    const gint32 row[] = {0, 1, 0, 1, 0};
    assert_row(placement, 0, row);
}
END_TEST

START_TEST(set_layer_touches_only_what_changes)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 3, 2, 2);
    const guint32 before[] = {placement->version[0], placement->version[1]};
    const guint64 generation = placement->generation;
    const gint32 same[] = {0, 1, 2, 0}, other[] = {2, 1, 2, 0};

    eep_placement_set_layer(placement, 1, same);
    ck_assert_uint_eq(placement->version[1], before[1]);
    ck_assert_uint_eq(placement->generation, generation);

    eep_placement_set_layer(placement, 1, other);
    ck_assert_uint_eq(placement->version[0], before[0]);
    ck_assert_uint_eq(placement->version[1], before[1] + 1);
    ck_assert_uint_eq(placement->generation, generation + 1);
    assert_row(placement, 1, other);
    assert_row(placement, 0, same);
    ck_assert_int_eq(placement->logcnt[3], 1);
    ck_assert_int_eq(placement->logcnt[4], 1);
    ck_assert_int_eq(placement->logcnt[5], 2);
}
END_TEST

START_TEST(widen_two_to_three_ranks_appends_empty_slots)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 4, 2, 2);
    const guint32 version = placement->version[0];
    resize(placement, 3);
    const gint32 row[] = {0, 1, 2, 3, -1, -1};
    ck_assert_uint_eq(placement->n_ranks, 3);
    ck_assert_uint_eq(placement->n_slots, 6);
    ck_assert_uint_eq(placement->slots_per_rank, 2);
    assert_row(placement, 0, row);
    assert_row(placement, 1, row);
    ck_assert_uint_gt(placement->version[0], version);
    ck_assert(eep_placement_check(placement, NULL));
}
END_TEST

START_TEST(shrink_drops_the_tail_and_check_names_what_is_gone)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 4, 3, 2);
    resize(placement, 2);
    const gint32 row[] = {0, 1, 2, 3};
    assert_row(placement, 1, row);
    ck_assert_int_eq(placement->logcnt[0], 1);
    ck_assert(eep_placement_check(placement, NULL));

    resize(placement, 1);
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_placement_check(placement, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_EXPERT_LOST));
    ck_assert_str_eq(error->message, "layer 0: expert 2 has no slot on any of 1 ranks");
}
END_TEST

START_TEST(map_ranks_renumbers_survivors)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(1, 4, 3, 2);
    const gint32 source[] = {2, -1, 1}; /* rank 0 died, rank 2 takes its number */
    eep_placement_map_ranks(placement, source, 3);
    const gint32 row[] = {0, 1, -1, -1, 2, 3};
    assert_row(placement, 0, row);
    ck_assert(eep_placement_check(placement, NULL));
}
END_TEST

START_TEST(replicas_are_listed_in_slot_order)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(1, 3, 4, 2);
    gint32 slots[3];
    ck_assert_uint_eq(eep_placement_replicas(placement, 0, 1, slots), 3);
    ck_assert_int_eq(slots[0], 1);
    ck_assert_int_eq(slots[1], 4);
    ck_assert_int_eq(slots[2], 7);
}
END_TEST

START_TEST(hash_sees_maps_and_sizes_but_not_versions)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 4, 2, 3);
    g_autoptr(EepPlacement) copy = eep_placement_copy(placement);
    g_autoptr(EepPlacement) reshaped = eep_placement_new(2, 4, 3, 2);
    const gint32 other[] = {1, 0, 2, 3, 0, 1}, first[] = {0, 1, 2, 3, 0, 1};
    const guint64 hash = eep_placement_hash(placement);
    ck_assert_uint_eq(eep_placement_hash(copy), hash);
    ck_assert_uint_ne(eep_placement_hash(reshaped), hash);
    eep_placement_set_layer(copy, 1, other);
    ck_assert_uint_ne(eep_placement_hash(copy), hash);
    eep_placement_set_layer(copy, 1, first);
    ck_assert_uint_ne(copy->generation, placement->generation);
    ck_assert_uint_eq(eep_placement_hash(copy), hash);
}
END_TEST

START_TEST(balancedness_is_mean_over_max_of_layer_sums)
{
    /* Slots 0 1 | 2 0 on both layers. Layer 0: expert 0 has 4 over two replicas, so ranks carry 2 +
     * 1 = 3 and 5 + 2 = 7: mean 5, max 7. Layer 1: 3 + 3 = 6 and 0 + 3 = 3: mean 4.5, max 6. */
    g_autoptr(EepPlacement) placement = eep_placement_new(2, 3, 2, 2);
    const double load[] = {4, 1, 5, 6, 3, 0};
    double mean, highest;
    ck_assert_double_eq(eep_placement_layer_balancedness(placement, 0, load, &mean, &highest),
                        5.0 / 7.0);
    ck_assert_double_eq(mean, 5.0);
    ck_assert_double_eq(highest, 7.0);
    ck_assert_double_eq(eep_placement_balancedness(placement, load), 9.5 / 13.0);
}
END_TEST

START_TEST(balancedness_without_load)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(1, 2, 2, 1);
    const double load[] = {0, 0};
    ck_assert_double_eq(eep_placement_balancedness(placement, load), 0.0);
    ck_assert_double_eq(eep_placement_layer_balancedness(placement, 0, load, NULL, NULL), 1.0);
}
END_TEST

START_TEST(empty_ranks_count_in_the_mean)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(1, 2, 2, 1);
    const double load[] = {3, 3};
    resize(placement, 3);
    ck_assert_double_eq(eep_placement_balancedness(placement, load), 2.0 / 3.0);
}
END_TEST

START_TEST(missing_experts_are_counted)
{
    g_autoptr(EepPlacement) placement = eep_placement_new(3, 3, 3, 1);
    const gint32 rows[][3] = {{0, 1, -1}, {1, 1, -1}, {1, -1, 0}};
    for (guint layer = 0; layer < 3; layer++)
        eep_placement_set_layer(placement, layer, rows[layer]);
    ck_assert_uint_eq(eep_placement_n_missing(placement, 0), 1);
    ck_assert_uint_eq(eep_placement_n_missing(placement, 1), 2);
    ck_assert_uint_eq(placement->n_missing, 4);
    /* Rank 1 goes, and with it expert 1, everywhere but in layer 1; then all is back. */
    eep_placement_map_ranks(placement, (const gint32[]){0, 2}, 2);
    ck_assert_uint_eq(placement->n_missing, 2 + 2 + 1);
    eep_placement_map_ranks(placement, (const gint32[]){0, 1, -1}, 3);
    for (guint layer = 0; layer < 3; layer++)
        eep_placement_set_layer(placement, layer, (const gint32[]){0, 1, 2});
    ck_assert_uint_eq(placement->n_missing, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("placement");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, initial_map_repeats_from_the_first_expert);
    tcase_add_test(tcase, redundant_slots_wrap_more_than_once);
    tcase_add_test(tcase, set_layer_touches_only_what_changes);
    tcase_add_test(tcase, widen_two_to_three_ranks_appends_empty_slots);
    tcase_add_test(tcase, shrink_drops_the_tail_and_check_names_what_is_gone);
    tcase_add_test(tcase, map_ranks_renumbers_survivors);
    tcase_add_test(tcase, replicas_are_listed_in_slot_order);
    tcase_add_test(tcase, hash_sees_maps_and_sizes_but_not_versions);
    tcase_add_test(tcase, balancedness_is_mean_over_max_of_layer_sums);
    tcase_add_test(tcase, balancedness_without_load);
    tcase_add_test(tcase, empty_ranks_count_in_the_mean);
    tcase_add_test(tcase, missing_experts_are_counted);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
