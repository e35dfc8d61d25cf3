/* core/eplb/migration.c: senders by hand, and its laws on random pairs of maps. */
#include <check.h>
#include <stdlib.h>

#include "core/eplb/migration.h"

static EepPlacement *placement_of(guint experts, guint ranks, guint slots, const gint32 *row)
{
    EepPlacement *placement = eep_placement_new(1, experts, ranks, slots);
    eep_placement_set_layer(placement, 0, row);
    return placement;
}

static void assert_transfer(const EepExpertTransfer *t, gint32 from, gint32 to, gint32 expert,
                            gint32 slot)
{
    ck_assert_int_eq(t->from_rank, from);
    ck_assert_int_eq(t->to_rank, to);
    ck_assert_int_eq(t->expert, expert);
    ck_assert_int_eq(t->to_slot, slot);
    ck_assert_uint_eq(t->layer, 0);
}

/* The first ranks stay, new ones come behind them. */
static void resize(EepPlacement *placement, guint n_ranks)
{
    gint32 source[32];
    for (guint rank = 0; rank < n_ranks; rank++)
        source[rank] = rank < placement->n_ranks ? (gint32)rank : -1;
    eep_placement_map_ranks(placement, source, n_ranks);
}

START_TEST(equal_maps_move_nothing)
{
    g_autoptr(EepPlacement) old = eep_placement_new(3, 4, 4, 2);
    g_autoptr(EepMigration) migration = eep_migration_new(old, old, NULL);
    guint n = 1;
    eep_migration_layer(migration, 1, &n);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(migration->n_transfers, 0);
    ck_assert_uint_eq(migration->n_changed, 0);
}
END_TEST

START_TEST(holders_share_receivers_in_order)
{
    /* Expert 0 on ranks 0 and 2, wanted by 1 3 4 5 6 as well: q = 5 div 2 = 2, so rank 0 serves 1 3
     * and the one left over, 6; rank 2 serves 4 5. Expert 1 stays where it is. */
    const gint32 old_row[] = {0, 1, 0, 1, 1, 1, 1}, new_row[] = {0, 0, 1, 0, 0, 0, 0};
    g_autoptr(EepPlacement) old = placement_of(2, 7, 1, old_row);
    g_autoptr(EepPlacement) target = placement_of(2, 7, 1, new_row);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 6);
    assert_transfer(&t[0], 0, 1, 0, 1);
    assert_transfer(&t[1], 0, 3, 0, 3);
    assert_transfer(&t[2], 0, 6, 0, 6);
    assert_transfer(&t[3], 2, 4, 0, 4);
    assert_transfer(&t[4], 2, 5, 0, 5);
    assert_transfer(&t[5], 1, 2, 1, 2);
    ck_assert_uint_eq(migration->sent[0], 3);
    ck_assert_uint_eq(migration->sent[2], 2);
    ck_assert_uint_eq(migration->sent[1], 1);
    ck_assert_uint_eq(migration->received[2], 1);
    ck_assert_uint_eq(migration->max_sent[0], 3);
    ck_assert_uint_eq(migration->max_received[0], 1);
    ck_assert_uint_eq(migration->n_changed, 1);
    ck_assert_uint_eq(migration->n_lost, 0);
}
END_TEST

START_TEST(more_holders_than_receivers_use_the_first)
{
    const gint32 old_row[] = {0, 0, 0, 1}, new_row[] = {1, 0, 0, 0};
    g_autoptr(EepPlacement) old = placement_of(2, 4, 1, old_row);
    g_autoptr(EepPlacement) target = placement_of(2, 4, 1, new_row);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 2);
    assert_transfer(&t[0], 0, 3, 0, 3);
    assert_transfer(&t[1], 3, 0, 1, 0);
}
END_TEST

START_TEST(a_rank_receives_once_and_copies_locally)
{
    /* Rank 1 gets two slots of expert 0 (one transfer, to the first) and swaps nothing else over
     * the wire; the move of expert 1 from slot 1 to slot 0 of rank 0 is local. */
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {1, 0, 0, 0};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 1);
    assert_transfer(&t[0], 0, 1, 0, 2);
}
END_TEST

START_TEST(local_moves_change_a_layer_without_transfers)
{
    const gint32 old_row[] = {0, 1, 2, 3}, new_row[] = {1, 0, 3, 2};
    g_autoptr(EepPlacement) old = placement_of(4, 2, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    ck_assert_uint_eq(migration->n_transfers, 0);
    ck_assert_uint_eq(migration->n_changed, 1);
}
END_TEST

START_TEST(scale_up_two_to_three_ranks)
{
    /* E = 4, S = 2: rank 2 joins empty and gets experts 1 and 2. */
    const gint32 new_row[] = {0, 1, 2, 3, 2, 1};
    g_autoptr(EepPlacement) old = eep_placement_new(1, 4, 2, 2);
    g_autoptr(EepPlacement) target = placement_of(4, 3, 2, new_row);
    g_autoptr(EepMigration) direct = eep_migration_new(old, target, NULL);
    resize(old, 3);
    g_autoptr(EepMigration) widened = eep_migration_new(old, target, NULL);
    const EepMigration *const both[] = {direct, widened};
    for (guint i = 0; i < 2; i++) {
        guint n;
        const EepExpertTransfer *t = eep_migration_layer(both[i], 0, &n);
        ck_assert_uint_eq(n, 2);
        assert_transfer(&t[0], 0, 2, 1, 5);
        assert_transfer(&t[1], 1, 2, 2, 4);
        ck_assert_uint_eq(both[i]->received[2], 2);
        ck_assert_uint_eq(both[i]->max_received[0], 2);
        ck_assert_uint_eq(both[i]->max_sent[0], 1);
    }
}
END_TEST

START_TEST(scale_down_three_to_two_ranks)
{
    const gint32 old_row[] = {0, 1, 2, 0, 3, 1}, new_row[] = {0, 1, 2, 3};
    g_autoptr(EepPlacement) old = placement_of(4, 3, 2, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 2, 2, new_row);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 1);
    assert_transfer(&t[0], 2, 1, 3, 3);
    ck_assert_uint_eq(migration->sent[2], 1);
}
END_TEST

START_TEST(an_expert_that_nobody_holds_has_no_sender)
{
    const gint32 dead[] = {-1, 1}, new_row[] = {0, 1};
    g_autoptr(EepPlacement) old = placement_of(2, 2, 1, new_row);
    g_autoptr(EepPlacement) target = placement_of(2, 2, 1, new_row);
    eep_placement_map_ranks(old, dead, 2);
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 1);
    assert_transfer(&t[0], EEP_MIGRATION_NO_SENDER, 0, 0, 0);
    ck_assert_uint_eq(migration->n_lost, 1);
    ck_assert_uint_eq(migration->max_sent[0], 0);
}
END_TEST

static gboolean rank_holds(const EepPlacement *placement, guint layer, gint32 rank, gint32 expert)
{
    const guint S = placement->slots_per_rank;
    if (rank >= (gint32)placement->n_ranks)
        return FALSE;
    for (guint i = 0; i < S; i++)
        if (eep_placement_layer(placement, layer)[(guint)rank * S + i] == expert)
            return TRUE;
    return FALSE;
}

static void shuffle_layers(EepPlacement *placement)
{
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        g_autofree gint32 *row =
            g_memdup2(eep_placement_layer(placement, layer), placement->n_slots * sizeof(gint32));
        for (guint i = placement->n_slots - 1; i > 0; i--) {
            const guint j = (guint)(rand() % (int)(i + 1));
            const gint32 swap = row[i];
            row[i] = row[j];
            row[j] = swap;
        }
        eep_placement_set_layer(placement, layer, row);
    }
}

START_TEST(laws_hold_for_random_maps)
{
    srand(11);
    for (guint round = 0; round < 500; round++) {
        const guint S = 1 + (guint)rand() % 4, ranks = 2 + (guint)rand() % 6;
        const guint experts = 1 + (guint)rand() % (S * ranks);
        const guint other = (experts + S - 1) / S + (guint)rand() % 4;
        g_autoptr(EepPlacement) old = eep_placement_new(2, experts, ranks, S);
        g_autoptr(EepPlacement) target = eep_placement_new(2, experts, other, S);
        shuffle_layers(old);
        shuffle_layers(target);
        g_autoptr(EepMigration) migration = eep_migration_new(old, target, NULL);
        guint expected = 0, in = 0, out = 0;
        for (guint layer = 0; layer < 2; layer++)
            for (gint32 rank = 0; rank < (gint32)other; rank++)
                for (gint32 e = 0; e < (gint32)experts; e++)
                    expected +=
                        rank_holds(target, layer, rank, e) && !rank_holds(old, layer, rank, e);
        ck_assert_uint_eq(migration->n_transfers, expected);
        for (guint i = 0; i < migration->n_transfers; i++) {
            const EepExpertTransfer *t = &migration->transfers[i];
            ck_assert(rank_holds(old, t->layer, t->from_rank, t->expert));
            ck_assert(!rank_holds(old, t->layer, t->to_rank, t->expert));
            ck_assert_int_eq(eep_placement_layer(target, t->layer)[t->to_slot], t->expert);
            ck_assert_int_eq(t->to_slot / (gint32)S, t->to_rank);
        }
        for (guint rank = 0; rank < migration->n_ranks; rank++) {
            in += migration->received[rank];
            out += migration->sent[rank];
        }
        ck_assert_uint_eq(in, expected);
        ck_assert_uint_eq(out, expected);
    }
}
END_TEST

START_TEST(topology_prefers_the_node_then_the_idlest)
{
    /* Nodes {0 1} {2 3} {4 5}. Expert 0 is on ranks 0 and 2, expert 1 on rank 1 alone. Rank 1 takes
     * 0 from its neighbour 0, rank 3 from 2, rank 4 (no holder on its node) from 0 or 2, which both
     * send one: the lower. Rank 5 then from 2. vLLM has 0 serve ranks 1 3 and 2 serve 4 5. */
    const gint32 old_row[] = {0, 1, 0, 1, 1, 1}, new_row[] = {0, 0, 0, 0, 0, 0};
    const gint32 from_topology[] = {0, 2, 0, 2}, from_vllm[] = {0, 0, 2, 2};
    const gint32 to[] = {1, 3, 4, 5};
    g_autoptr(EepPlacement) old = placement_of(2, 6, 1, old_row);
    g_autoptr(EepPlacement) target = placement_of(2, 6, 1, new_row);
    for (guint i = 0; i < 2; i++) {
        const gint32 *from = i ? from_topology : from_vllm;
        const EepMigrationOptions options = {i ? EEP_SENDERS_TOPOLOGY : EEP_SENDERS_VLLM, 2, 0};
        g_autoptr(EepMigration) migration = eep_migration_new(old, target, &options);
        guint n;
        const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
        ck_assert_uint_eq(n, 4);
        for (guint j = 0; j < n; j++)
            assert_transfer(&t[j], from[j], to[j], 0, to[j]);
        ck_assert_uint_eq(migration->n_intra_node, i ? 2 : 1);
        ck_assert_uint_eq(migration->n_inter_node, i ? 2 : 3);
        ck_assert_uint_eq(migration->sent_nic[0], 1);
        ck_assert_uint_eq(migration->sent_nic[2], i ? 1 : 2);
        ck_assert_uint_eq(migration->received_nic[4], 1);
        ck_assert_uint_eq(migration->received_nic[3], i ? 0 : 1);
        ck_assert_uint_eq(migration->n_local, 0);
    }
}
END_TEST

START_TEST(topology_counts_what_has_no_choice_first)
{
    /* Experts 1 and 2 can come from rank 0 alone, so rank 1 sends expert 0, though it comes first
     * and rank 0 is the lower. */
    const gint32 old_row[] = {0, 1, 2, 0, 3, 3, 3, -1, -1};
    const gint32 new_row[] = {0, 1, 2, 0, 3, 3, 0, 1, 2};
    g_autoptr(EepPlacement) old = placement_of(4, 3, 3, old_row);
    g_autoptr(EepPlacement) target = placement_of(4, 3, 3, new_row);
    const EepMigrationOptions options = {EEP_SENDERS_TOPOLOGY, 0, 0};
    g_autoptr(EepMigration) migration = eep_migration_new(old, target, &options);
    guint n;
    const EepExpertTransfer *t = eep_migration_layer(migration, 0, &n);
    ck_assert_uint_eq(n, 3);
    assert_transfer(&t[0], 1, 2, 0, 6);
    assert_transfer(&t[1], 0, 2, 1, 7);
    assert_transfer(&t[2], 0, 2, 2, 8);
}
END_TEST

START_TEST(topology_sends_no_more_between_nodes)
{
    guint n_less = 0;
    srand(12);
    for (guint round = 0; round < 500; round++) {
        const guint S = 1 + (guint)rand() % 4, ranks = 2 + (guint)rand() % 10;
        const guint experts = (S * ranks - 1) / (1 + (guint)rand() % 4) + 1;
        g_autoptr(EepPlacement) old = eep_placement_new(2, experts, ranks, S);
        g_autoptr(EepPlacement) target = eep_placement_new(2, experts, ranks, S);
        shuffle_layers(old);
        shuffle_layers(target);
        const EepMigrationOptions near = {EEP_SENDERS_TOPOLOGY, 1 + (guint)rand() % 4, 0};
        const EepMigrationOptions vllm = {EEP_SENDERS_VLLM, near.ranks_per_node, 0};
        g_autoptr(EepMigration) a = eep_migration_new(old, target, &near);
        g_autoptr(EepMigration) b = eep_migration_new(old, target, &vllm);
        ck_assert_uint_eq(a->n_transfers, b->n_transfers);
        ck_assert_uint_eq(a->n_local, b->n_local);
        ck_assert_uint_le(a->n_inter_node, b->n_inter_node);
        n_less += a->n_inter_node < b->n_inter_node;
        /* Between nodes only where the receiver's node holds none. */
        for (guint i = 0; i < a->n_transfers; i++) {
            const EepExpertTransfer *t = &a->transfers[i];
            const gint32 node = t->to_rank / (gint32)near.ranks_per_node;
            gboolean is_near = FALSE;
            for (gint32 rank = 0; rank < (gint32)ranks; rank++)
                is_near |= rank / (gint32)near.ranks_per_node == node &&
                           rank_holds(old, t->layer, rank, t->expert);
            ck_assert_int_eq(t->from_rank / (gint32)near.ranks_per_node == node, is_near);
        }
    }
    ck_assert_uint_ge(n_less, 50);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migration");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, equal_maps_move_nothing);
    tcase_add_test(tcase, holders_share_receivers_in_order);
    tcase_add_test(tcase, more_holders_than_receivers_use_the_first);
    tcase_add_test(tcase, a_rank_receives_once_and_copies_locally);
    tcase_add_test(tcase, local_moves_change_a_layer_without_transfers);
    tcase_add_test(tcase, scale_up_two_to_three_ranks);
    tcase_add_test(tcase, scale_down_three_to_two_ranks);
    tcase_add_test(tcase, an_expert_that_nobody_holds_has_no_sender);
    tcase_add_test(tcase, laws_hold_for_random_maps);
    tcase_add_test(tcase, topology_prefers_the_node_then_the_idlest);
    tcase_add_test(tcase, topology_counts_what_has_no_choice_first);
    tcase_add_test(tcase, topology_sends_no_more_between_nodes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
