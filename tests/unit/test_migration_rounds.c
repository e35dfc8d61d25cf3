/* core/eplb/exchange.c and migration_check.c: rounds within a bound on staging, plans carried out
 * on symbols, and planted defects that the check has to find. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/migration.h"

static EepPlacement *placement_of(guint experts, guint ranks, guint slots, const gint32 *row)
{
    EepPlacement *placement = eep_placement_new(1, experts, ranks, slots);
    eep_placement_set_layer(placement, 0, row);
    return placement;
}

static EepMigration *plan(const EepPlacement *old, const EepPlacement *target, guint staging_rows)
{
    const EepMigrationOptions options = {EEP_SENDERS_VLLM, 0, staging_rows};
    return eep_migration_new(old, target, &options);
}

static void assert_holds(const EepMigration *migration, const EepPlacement *old,
                         const EepPlacement *target)
{
    GError *error = NULL;
    const gboolean holds = eep_migration_check(migration, old, target, &error);
    ck_assert_msg(holds, "%s", error ? error->message : "");
}

/* The plan does not hold, and the message says this. */
static void assert_found(const EepMigration *migration, const EepPlacement *old,
                         const EepPlacement *target, const char *says)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(!eep_migration_check(migration, old, target, &error), "not found: %s", says);
    ck_assert_msg(strstr(error->message, says) != NULL, "'%s' does not say '%s'", error->message,
                  says);
}

START_TEST(all_at_once_is_one_round_through_staging)
{
    /* Rank 0 gets expert 2 (twice) and swaps nothing; its expert 1 moves from slot 1 to slot 2. */
    const gint32 old_row[] = {0, 1, 0, 2, 3, 3}, new_row[] = {2, 2, 1, 0, 3, 3};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 3, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 3, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 0);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->rounds[0], 1);
    ck_assert_uint_eq(migration->n_transfers, 2);
    ck_assert_uint_eq(migration->staged[0], 2); /* expert 2 from rank 1, expert 1 from slot 1 */
    ck_assert_uint_eq(migration->staged[1], 1);
    ck_assert_uint_eq(migration->max_staged[0], 2);
    ck_assert_uint_eq(migration->n_local, 2); /* the second slot of 2, and 1 */
    ck_assert_int_eq(migration->copies[0].expert, 1);
    ck_assert_int_eq(migration->copies[0].to_slot, EEP_MIGRATION_STAGED);
}
END_TEST

START_TEST(a_swap_of_two_rows_takes_two_rounds_of_one)
{
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {2, 3, 0, 1};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) two = plan(old, target, 2);
    g_autoptr(EepMigration) one = plan(old, target, 1);
    assert_holds(two, old, target);
    assert_holds(one, old, target);
    ck_assert_uint_eq(two->rounds[0], 1);
    ck_assert_uint_eq(one->rounds[0], 2);
    ck_assert_uint_eq(one->max_staged[0], 1);
}
END_TEST

START_TEST(a_chain_is_one_round)
{
    /* Expert 2 goes to rank 0, whose row of 0 goes to rank 1, whose row of 1 goes to rank 2, which
     * has a free one. Every read comes before every write: one staging row and one round do. */
    const gint32 old_row[] = {0, 3, 1, 3, 2, -1}, new_row[] = {2, 3, 0, 3, 2, 1};
    g_autoptr(EepPlacement) old = placement_of(4, 3, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 3, 2, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->n_transfers, 3);
    ck_assert_uint_eq(migration->rounds[0], 1);
    ck_assert_uint_eq(migration->max_staged[0], 1);
}
END_TEST

START_TEST(cutting_a_chain_keeps_its_order)
{
    /* Ranks 0 and 1 exchange two rows each, and rank 1 takes a third: with one row a round, three
     * rounds, as many as rank 1 receives. */
    const gint32 old_row[] = {0, 1, 2, 3, 4, -1}, new_row[] = {3, 4, 2, 0, 1, 2};
    g_autoptr(EepPlacement) old = placement_of(5, 2, 3, old_row);
    g_autoptr(EepPlacement) target = placement_of(5, 2, 3, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->received[1], 3);
    ck_assert_uint_eq(migration->rounds[0], 3);
    ck_assert_uint_eq(migration->max_staged[0], 1);
}
END_TEST

START_TEST(a_cycle_within_a_rank_needs_one_row)
{
    const gint32 old_row[] = {0, 1, 2, 3, 4, 5}, new_row[] = {1, 2, 0, 4, 3, 5};
    g_autoptr(EepPlacement) old = placement_of(6, 1, 6, old_row);
    g_autoptr(EepPlacement) target = placement_of(6, 1, 6, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->rounds[0], 1);
    ck_assert_uint_eq(migration->max_staged[0], 1);
    ck_assert_uint_eq(migration->copy_start[1], 5 + 2); /* a slot each, and one more a cycle */
}
END_TEST

START_TEST(moves_without_a_cycle_need_no_staging_within_a_rank)
{
    const gint32 old_row[] = {0, 1, 2, -1}, new_row[] = {-1, 0, 1, 2};
    g_autoptr(EepPlacement) old = placement_of(3, 1, 4, old_row);
    g_autoptr(EepPlacement) target = placement_of(3, 1, 4, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->max_staged[0], 0);
}
END_TEST

START_TEST(a_cycle_that_visits_a_rank_twice_needs_one_row)
{
    /* Rows 0 -> 2 -> 1 -> 3 -> 0: the one cycle visits each of the two ranks twice. */
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {3, 2, 0, 1};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    assert_holds(migration, old, target);
    ck_assert_uint_eq(migration->rounds[0], 2);
    ck_assert_uint_eq(migration->max_staged[0], 1);
}
END_TEST

/* -- random pairs of maps -- */

/* Any map at all: experts may be missing, double on a rank, slots empty, ranks without anything. */
static EepPlacement *random_placement(guint layers, guint experts, guint ranks, guint slots)
{
    EepPlacement *placement = eep_placement_new(layers, experts, ranks, slots);
    g_autofree gint32 *row = g_new(gint32, ranks * slots);
    const int empty = rand() % 3 == 0 ? 20 : 0, dead = rand() % 4 == 0 ? 30 : 0;
    for (guint layer = 0; layer < layers; layer++) {
        for (guint rank = 0; rank < ranks; rank++) {
            const gboolean is_dead = rand() % 100 < dead;
            for (guint i = 0; i < slots; i++)
                row[rank * slots + i] =
                    is_dead || rand() % 100 < empty ? -1 : rand() % (int)experts;
        }
        eep_placement_set_layer(placement, layer, row);
    }
    return placement;
}

/* The same map with its slots exchanged at random: cycles all over. */
static EepPlacement *shuffled(const EepPlacement *placement)
{
    EepPlacement *copy = eep_placement_copy(placement);
    g_autofree gint32 *row = g_new(gint32, placement->n_slots);
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        memcpy(row, eep_placement_layer(placement, layer), placement->n_slots * sizeof(gint32));
        for (guint i = placement->n_slots - 1; i > 0; i--) {
            const guint j = (guint)(rand() % (int)(i + 1));
            const gint32 swap = row[i];
            row[i] = row[j];
            row[j] = swap;
        }
        eep_placement_set_layer(copy, layer, row);
    }
    return copy;
}

typedef struct {
    EepPlacement *old, *target;
    EepMigrationOptions options;
    EepMigration *migration;
} Case;

static void case_init(Case *one)
{
    const guint S = 1 + (guint)rand() % 6, ranks = 1 + (guint)rand() % 8;
    const guint kind = (guint)rand() % 3;
    if (kind == 0) { /* every expert once: rows are all needed */
        one->old = eep_placement_new(2, S * ranks, ranks, S);
        one->target = shuffled(one->old);
    } else {
        const guint experts = 1 + (guint)rand() % (2 * S * ranks);
        const guint other = kind == 1 ? ranks : 1 + (guint)rand() % 8;
        const guint few = MIN(experts, S * MIN(ranks, other)); /* as eep_placement_new() demands */
        one->old = random_placement(2, few, ranks, S);
        one->target = kind == 1 ? shuffled(one->old) : random_placement(2, few, other, S);
    }
    one->options = (EepMigrationOptions){rand() % 2 ? EEP_SENDERS_VLLM : EEP_SENDERS_TOPOLOGY,
                                         (guint)rand() % 4, (guint)rand() % (S + 2)};
    one->migration = eep_migration_new(one->old, one->target, &one->options);
}

static void case_clear(Case *one)
{
    eep_placement_free(one->old);
    eep_placement_free(one->target);
    eep_migration_free(one->migration);
}

START_TEST(plans_hold_for_random_maps_and_bounds)
{
    srand(5);
    guint most_rounds = 0, n_cut = 0;
    for (guint i = 0; i < 6000; i++) {
        Case one;
        case_init(&one);
        assert_holds(one.migration, one.old, one.target);
        for (guint layer = 0; layer < 2; layer++) {
            const guint rounds = one.migration->rounds[layer];
            most_rounds = MAX(most_rounds, rounds);
            n_cut += rounds > 1;
            /* A round is never empty, and whole staging is one round. */
            ck_assert_uint_le(rounds, MAX(1, one.migration->layer_start[layer + 1] -
                                                 one.migration->layer_start[layer]));
            if (one.migration->staging_rows >= one.old->slots_per_rank)
                ck_assert_uint_le(rounds, 1);
        }
        case_clear(&one);
    }
    ck_assert_uint_ge(most_rounds, 6);
    ck_assert_uint_ge(n_cut, 1000);
}
END_TEST

/* -- planted defects -- */

typedef gboolean (*Plant)(Case *one); /* FALSE: this plan has no place for it */

static EepExpertTransfer *any_transfer(Case *one)
{
    const guint n = one->migration->n_transfers;
    return n ? &one->migration->transfers[(guint)rand() % n] : NULL;
}

static gboolean plant_other_expert(Case *one)
{
    EepExpertTransfer *t = any_transfer(one);
    if (!t || one->old->n_experts < 2)
        return FALSE;
    t->expert = (t->expert + 1) % (gint32)one->old->n_experts;
    return TRUE;
}

static gboolean plant_wrong_row(Case *one)
{
    EepExpertTransfer *t = any_transfer(one);
    const guint S = one->old->slots_per_rank;
    if (!t || t->from_rank < 0)
        return FALSE;
    for (guint i = 0; i < S; i++) {
        const gint32 slot = t->from_rank * (gint32)S + (gint32)i;
        if (eep_placement_layer(one->old, t->layer)[slot] != t->expert) {
            t->from_slot = slot;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean plant_late_transfer(Case *one)
{
    EepExpertTransfer *t = any_transfer(one);
    if (!t || t->round + 1 >= one->migration->rounds[t->layer])
        return FALSE;
    t->round++;
    return TRUE;
}

static gboolean plant_copy_elsewhere(Case *one)
{
    const EepMigration *m = one->migration;
    const guint n = m->copy_start[m->n_layers], S = one->old->slots_per_rank;
    if (n == 0 || S < 2)
        return FALSE;
    EepExpertCopy *copy = &m->copies[(guint)rand() % n];
    if (copy->to_slot < 0)
        return FALSE;
    const guint rank = (guint)copy->to_slot / S, row = (guint)copy->to_slot % S;
    copy->to_slot = (gint32)(rank * S + (row + 1) % S);
    return TRUE;
}

static gboolean plant_lower_bound(Case *one)
{
    const guint most = MAX(one->migration->max_staged[0], one->migration->max_staged[1]);
    one->migration->staging_rows = most - 1;
    return most > 0;
}

static gboolean plant_second_delivery(Case *one)
{
    EepMigration *m = one->migration;
    if (m->layer_start[1] < 2)
        return FALSE;
    m->transfers[1] = m->transfers[0];
    return TRUE;
}

static gboolean plant_kept_staging(Case *one)
{
    const EepMigration *m = one->migration;
    for (guint i = 0; i < m->copy_start[m->n_layers]; i++)
        if (m->copies[i].frees) {
            m->copies[i].frees = FALSE;
            return TRUE;
        }
    return FALSE;
}

static gboolean plant_wrong_account(Case *one)
{
    EepMigration *m = one->migration;
    guint *const totals[] = {&m->sent[0],   &m->received[0],   &m->sent_nic[0], &m->received_nic[0],
                             &m->n_local,   &m->n_inter_node,  &m->n_lost,      &m->n_intra_node,
                             &m->staged[0], &m->max_staged[1], &m->rounds[0]};
    const guint which = (guint)rand() % G_N_ELEMENTS(totals);
    if (totals[which] == &m->rounds[0])
        m->rounds[0] = m->rounds[0] > 0 ? m->rounds[0] - 1 : 0;
    else
        ++*totals[which];
    return totals[which] != &m->rounds[0] || m->copy_start[1] > 0;
}

START_TEST(planted_defects_are_found)
{
    static const Plant plants[] = {plant_other_expert,   plant_wrong_row,    plant_late_transfer,
                                   plant_copy_elsewhere, plant_lower_bound,  plant_second_delivery,
                                   plant_kept_staging,   plant_wrong_account};
    guint n_planted = 0;
    srand(100 + _i);
    for (guint i = 0; i < 1500; i++) {
        Case one;
        case_init(&one);
        if (plants[_i](&one)) {
            n_planted++;
            ck_assert_msg(!eep_migration_check(one.migration, one.old, one.target, NULL),
                          "defect %d of plan %u is not found", _i, i);
        }
        case_clear(&one);
    }
    ck_assert_uint_ge(n_planted, 100);
}
END_TEST

START_TEST(a_row_overwritten_before_a_peer_has_read_it_is_named)
{
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {2, 3, 0, 1};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    /* Round 0 exchanges 0 and 2. Rank 0 puts 2 over 1 instead, which rank 1 reads in round 1. */
    for (guint i = 0; i < migration->copy_start[1]; i++)
        if (migration->copies[i].expert == 2)
            migration->copies[i].to_slot = 1;
    assert_found(migration, old, target, "sends expert 1 in round 1 from slot 1, which holds 2");
}
END_TEST

START_TEST(too_much_staging_is_named)
{
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {2, 3, 0, 1};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 0);
    migration->staging_rows = 1;
    assert_found(migration, old, target, "stages 2 experts, at most 1 are allowed");
}
END_TEST

START_TEST(a_copy_that_reads_too_late_is_named)
{
    const gint32 old_row[] = {0, 1}, new_row[] = {1, 0};
    g_autoptr(EepPlacement) old = placement_of(2, 1, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(2, 1, 2, new_row);
    g_autoptr(EepMigration) migration = plan(old, target, 1);
    /* 0 is staged, 1 goes to slot 0, 0 leaves staging: without staging, 0 would be read from the
     * slot that has just been overwritten. */
    EepExpertCopy *last = &migration->copies[migration->copy_start[1] - 1];
    last->from_slot = 0;
    last->frees = FALSE;
    assert_found(migration, old, target, "slot 0 holds expert 1 when expert 0 is copied from it");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migration_rounds");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, all_at_once_is_one_round_through_staging);
    tcase_add_test(tcase, a_swap_of_two_rows_takes_two_rounds_of_one);
    tcase_add_test(tcase, a_chain_is_one_round);
    tcase_add_test(tcase, cutting_a_chain_keeps_its_order);
    tcase_add_test(tcase, a_cycle_within_a_rank_needs_one_row);
    tcase_add_test(tcase, moves_without_a_cycle_need_no_staging_within_a_rank);
    tcase_add_test(tcase, a_cycle_that_visits_a_rank_twice_needs_one_row);
    tcase_add_test(tcase, plans_hold_for_random_maps_and_bounds);
    tcase_add_loop_test(tcase, planted_defects_are_found, 0, 8);
    tcase_add_test(tcase, a_row_overwritten_before_a_peer_has_read_it_is_named);
    tcase_add_test(tcase, too_much_staging_is_named);
    tcase_add_test(tcase, a_copy_that_reads_too_late_is_named);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
