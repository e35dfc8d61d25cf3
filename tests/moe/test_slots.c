/* What slots hold: staged experts, copies within a rank, checksums, and that wrong content shows.
 */
#include <check.h>

#include "tests/moe/moe_group.h"
#include "tests/run_suite.h"

#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))

static const guint mixed[MAX_RANKS] = {3, 0, 16, 1};

static guint64 probe_hash(MoeGroup *group, guint64 step)
{
    gboolean is_right = moe_group_forward(group, step, mixed);
    for (guint i = 0; i < group->n_ranks; i++)
        ck_assert_msg(!group->ranks[i].failure, "rank %u: %s", i, group->ranks[i].failure);
    ck_assert(is_right);
    for (guint i = 1; i < group->n_ranks; i++)
        ck_assert_uint_eq(group->ranks[i].result.probe_hash, group->ranks[0].result.probe_hash);
    return group->ranks[0].result.probe_hash;
}

/* How many slots hold another content than the hash says. */
static guint count_wrong(MoeRank *rank, guint *ret_n)
{
    g_autoptr(GError) error = NULL;
    ck_assert(eep_device_use(rank->device, &error));
    g_autofree EepWireSlotSum *sums = eep_moe_check(rank->moe, rank->stream, ret_n, &error);
    guint n_wrong = 0;
    ck_assert_msg(sums != NULL, "%s", error ? error->message : "");
    for (guint i = 0; i < *ret_n; i++)
        n_wrong += sums[i].checksum !=
                   eep_moe_expected_checksum(&rank->group->shape, sums[i].layer, sums[i].expert);
    return n_wrong;
}

static void expect_sound(MoeGroup *group, guint n_held)
{
    for (guint i = 0; i < group->n_ranks; i++) {
        guint n;
        ck_assert_uint_eq(count_wrong(&group->ranks[i], &n), 0);
        ck_assert_uint_eq(n, n_held);
    }
}

/* The expert into the slot's staging, from the rank that holds it or from the hash. */
static void stage(MoeRank *rank, MoeRank *from, guint layer, guint slot, guint expert)
{
    g_autoptr(GError) error = NULL;
    ck_assert(eep_device_use(rank->device, &error));
    gpointer memory = eep_moe_stage(rank->moe, layer, slot, expert, &error);
    ck_assert_msg(memory != NULL, "%s", error ? error->message : "");
    if (from) {
        guint there = eep_moe_find(from->moe, layer, expert);
        ck_assert_uint_ne(there, G_MAXUINT);
        gconstpointer held = eep_moe_held(from->moe, layer, there, expert);
        ck_assert_ptr_nonnull(held);
        ck_assert(EEP_CUDA(cudaMemcpyAsync(memory, held, eep_moe_expert_bytes(rank->moe),
                                           cudaMemcpyDeviceToDevice, rank->stream),
                           &error));
    } else {
        ck_assert(eep_moe_fill(rank->moe, layer, expert, memory, rank->stream, &error));
    }
    ck_assert(eep_device_wait(rank->device, rank->stream, WAIT_NS, NULL, &error));
}

static EepWireModel shape_of_slots(guint n_slots)
{
    EepWireModel shape = moe_group_shape();
    shape.slots_per_rank = n_slots;
    return shape;
}

/* Every expert changes its rank; before, between layers and after, the probes are the same. */
START_TEST(moved_experts_keep_the_bits)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *before = moe_group_placement(group, 0);
    g_autofree guint32 *after = moe_group_placement(group, 4);
    moe_group_place(group, before);
    guint64 hash = probe_hash(group, 1);
    for (guint layer = 0; layer < 2; layer++) {
        for (guint i = 0; i < 8; i++)
            stage(&group->ranks[i / 4], &group->ranks[1 - i / 4], layer, i % 4, after[i]);
        ck_assert_uint_eq(probe_hash(group, 2), hash); /* staged only */
        expect_sound(group, 8);
        ck_assert_uint_eq(eep_moe_find(group->ranks[0].moe, layer, 0), 0);
        ck_assert(moe_group_map(group, layer, 2, after, FALSE));
        ck_assert_uint_eq(eep_moe_find(group->ranks[0].moe, layer, 0), G_MAXUINT);
        ck_assert_uint_eq(eep_moe_find(group->ranks[0].moe, layer, 5), 1);
        ck_assert_uint_eq(probe_hash(group, 3), hash);
        expect_sound(group, 8);
    }
}
END_TEST

/* Slots of one rank change places, and one expert spreads over several of them. */
START_TEST(copies_within_a_rank)
{
    EepWireModel shape = shape_of_slots(9);
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    moe_group_place(group, experts);
    guint64 hash = probe_hash(group, 1);
    for (guint shift = 1; shift < 4; shift++) {
        g_autofree guint32 *turned = moe_group_placement(group, shift);
        ck_assert(moe_group_map(group, 0, 1 + shift, turned, FALSE));
        ck_assert_uint_eq(probe_hash(group, 1 + shift), hash);
        expect_sound(group, 18);
    }
    /* Expert 7 goes everywhere but where others would be lost; one comes from another's staging. */
    static const guint32 spread[] = {7, 1, 2, 3, 4, 5, 6, 7, 7};
    static const guint32 from_staging[] = {0, 0, 1, 2, 3, 4, 5, 6, 7};
    ck_assert(moe_group_map(group, 0, 9, spread, FALSE));
    expect_sound(group, 18);
    stage(&group->ranks[0], NULL, 0, 1, 0);
    ck_assert(moe_group_map(group, 0, 10, from_staging, FALSE));
    ck_assert_uint_eq(probe_hash(group, 9), hash);
    expect_sound(group, 18);
}
END_TEST

START_TEST(what_is_not_there_is_told)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *before = moe_group_placement(group, 0);
    g_autofree guint32 *after = moe_group_placement(group, 4);
    moe_group_place(group, before);
    guint64 hash = probe_hash(group, 1);
    stage(&group->ranks[0], NULL, 1, 0, 4);
    stage(&group->ranks[0], NULL, 1, 1, 5);
    ck_assert(!moe_group_map(group, 1, 7, after, FALSE));
    ck_assert_str_eq(group->ranks[0].failure, "layer 1, slot 2: version 7 of the map wants expert "
                                              "6, which is neither held nor staged");
    ck_assert_uint_eq(probe_hash(group, 2), hash); /* nothing has changed */
    /* Forgotten staging is not committed. */
    eep_moe_unstage(group->ranks[0].moe, G_MAXUINT);
    ck_assert(!moe_group_map(group, 1, 8, after, FALSE));
    ck_assert_ptr_nonnull(strstr(group->ranks[0].failure, "slot 0"));
    ck_assert(moe_group_map(group, 1, 9, after, TRUE)); /* a fresh worker's */
    ck_assert_uint_eq(probe_hash(group, 3), hash);
    expect_sound(group, 8);
}
END_TEST

/* Moves run ahead of maps: what one has brought the next sends on, and each map finds its own. */
START_TEST(moves_run_ahead_of_maps)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    MoeRank *first = &group->ranks[0], *second = &group->ranks[1];
    moe_group_place(group, experts);
    guint64 hash = probe_hash(group, 1);
    /* 4 and 0 change places, and again, before any map. */
    stage(first, second, 0, 0, 4);
    stage(second, first, 0, 0, 0);
    ck_assert_uint_eq(eep_moe_find(first->moe, 0, 4), G_MAXUINT); /* still under way */
    eep_moe_arrived(first->moe, 0);
    eep_moe_arrived(second->moe, 0);
    ck_assert_uint_eq(eep_moe_find(first->moe, 0, 4), 0);
    stage(first, NULL, 0, 0, 6);
    eep_moe_unstage(first->moe, 0); /* a move that failed takes nothing of the one before */
    ck_assert_uint_eq(eep_moe_find(first->moe, 0, 4), 0);
    stage(first, NULL, 0, 0, 5);
    eep_moe_arrived(first->moe, 0);
    stage(second, first, 0, 1, 4);
    eep_moe_arrived(second->moe, 0);
    static const guint32 maps[][8] = {{4, 1, 2, 3, 0, 5, 6, 7}, {5, 1, 2, 3, 0, 4, 6, 7}};
    for (guint i = 0; i < 2; i++) {
        ck_assert(moe_group_map(group, 0, 2 + i, maps[i], FALSE));
        ck_assert_uint_eq(probe_hash(group, 2 + i), hash);
        expect_sound(group, 8);
    }
    /* What the second map has passed by is forgotten. */
    ck_assert_uint_eq(eep_moe_find(first->moe, 0, 4), G_MAXUINT);
}
END_TEST

/* What a map leaves out gets no tokens and is not told, but is there when the next one wants it. */
START_TEST(empty_slots_remember)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    moe_group_place(group, experts);
    guint64 hash = probe_hash(group, 1);
    guint n;
    for (guint i = 0; i < 4; i++)
        experts[i] = EEP_WIRE_SLOT_EMPTY;
    ck_assert(moe_group_map(group, 0, 2, experts, FALSE));
    ck_assert_uint_ne(probe_hash(group, 2), hash);
    ck_assert_uint_eq(count_wrong(&group->ranks[0], &n), 0);
    ck_assert_uint_eq(n, 4);
    ck_assert_uint_eq(eep_moe_find(group->ranks[0].moe, 0, 2), 2);
    static const guint32 turned[] = {3, 0, 1, 2, 4, 5, 6, 7};
    ck_assert(moe_group_map(group, 0, 3, turned, FALSE));
    ck_assert_uint_eq(probe_hash(group, 3), hash);
    expect_sound(group, 8);
}
END_TEST

START_TEST(bad_maps_are_refused)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    guint32 experts[4] = {0, 1, 2, 8};
    EepWireMap map = {.n_ranks = 1, .n_slots = 4, .experts = experts, .may_load = 1};
    EepMoe *moe = group->ranks[0].moe;
    ck_assert(eep_device_use(group->ranks[0].device, NULL));
    ck_assert(!eep_moe_set_map(moe, &map, 0, NULL)); /* there is no expert 8 */
    experts[3] = 3;
    ck_assert(!eep_moe_set_map(moe, &map, 1, NULL));
    map.n_slots = 3;
    ck_assert(!eep_moe_set_map(moe, &map, 0, NULL));
    map.n_slots = 4;
    map.layer = 2;
    ck_assert(!eep_moe_set_map(moe, &map, 0, NULL));
    map.layer = 1;
    ck_assert(eep_moe_set_map(moe, &map, 0, NULL));
    ck_assert_ptr_null(eep_moe_stage(moe, 0, 4, 0, NULL));
    ck_assert_ptr_null(eep_moe_stage(moe, 2, 0, 0, NULL));
    ck_assert_ptr_null(eep_moe_stage(moe, 0, 0, 8, NULL));
    ck_assert_ptr_null(eep_moe_held(moe, 9, 9, 9));
    ck_assert(!eep_moe_set_popularity(moe, 2, (gfloat[8]){0}, NULL));
}
END_TEST

/* Memory that was staged or replaced is used again: its amount is bounded. */
START_TEST(memory_does_not_grow)
{
    EepWireModel shape = shape_of_slots(4);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    guint64 used = 0;
    for (guint round = 0; round < 6; round++) {
        g_autofree guint32 *experts = moe_group_placement(group, round % 2 * 4);
        for (guint layer = 0; layer < 2; layer++) {
            for (guint slot = 0; round > 0 && slot < 4; slot++)
                for (guint rank = 0; rank < 2; rank++)
                    stage(&group->ranks[rank], NULL, layer, slot, experts[4 * rank + slot]);
        }
        for (guint layer = 0; layer < 2; layer++)
            ck_assert(moe_group_map(group, layer, round + 1, experts, round == 0));
        if (round == 1)
            used = eep_device_used(group->ranks[0].device);
        eep_moe_unstage(group->ranks[0].moe, round % 2 ? 0 : G_MAXUINT);
    }
    ck_assert_uint_gt(used, 0);
    ck_assert_uint_eq(eep_device_used(group->ranks[0].device), used);
    expect_sound(group, 8);
}
END_TEST

typedef enum { WRONG_EXPERT, WRONG_LAYER, FLIPPED_BIT, OLD_NON_EXPERT, N_PLANTS } PlantKind;

/* Puts the wrong thing where a probe token's expert is. */
static void plant(MoeRank *rank, PlantKind kind)
{
    EepMoe *moe = rank->moe;
    guint32 experts[2];
    guint layer = 1;
    g_autoptr(GError) error = NULL;
    eep_probe_experts(&rank->group->shape, layer, 1, experts);
    guint slot = eep_moe_find(moe, layer, experts[0]);
    ck_assert_uint_ne(slot, G_MAXUINT);
    gpointer memory = (gpointer)eep_moe_held(moe, layer, slot, experts[0]);
    ck_assert(eep_device_use(rank->device, &error));
    if (kind == WRONG_EXPERT)
        ck_assert(eep_moe_fill(moe, layer, (experts[0] + 1) % 8, memory, rank->stream, &error));
    else if (kind == WRONG_LAYER)
        ck_assert(eep_moe_fill(moe, 0, experts[0], memory, rank->stream, &error));
    else if (kind == FLIPPED_BIT) /* of the first element */
        ck_assert(EEP_CUDA(cudaMemsetAsync((guint8 *)memory + 1, 0x7f, 1, rank->stream), &error));
    else
        ck_assert(EEP_CUDA(cudaMemsetAsync(moe->at.shared, 0, 64, rank->stream), &error));
    ck_assert(eep_device_wait(rank->device, rank->stream, WAIT_NS, NULL, &error));
}

START_TEST(plants_are_found)
{
    EepWireModel shape = shape_of_slots(8);
    guint n;
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    moe_group_place(group, experts);
    guint64 hash = probe_hash(group, 1);
    EepMoeResult good = group->ranks[0].result;
    plant(&group->ranks[0], _i);
    ck_assert_uint_ne(probe_hash(group, 2), hash);
    ck_assert_uint_eq(count_wrong(&group->ranks[0], &n), _i == OLD_NON_EXPERT ? 0 : 1);
    if (_i == WRONG_EXPERT || _i == WRONG_LAYER) {
        /* A figure moves by more than what rounding is allowed. */
        float most = 0;
        for (guint i = 0; i < EEP_WIRE_N_PROBES; i++) {
            float moved = group->ranks[0].result.probe[i] / good.probe[i] - 1;
            most = MAX(most, ABS(moved));
        }
        ck_assert(most > 0.02f);
    }
}
END_TEST

/* A wrong map: rows go to a slot that its holder knows to be empty. */
static gboolean map_of_its_own(MoeRank *rank, gpointer data, GError **error)
{
    guint32 experts[16];
    memcpy(experts, data, sizeof(experts));
    if (rank->rank == 1)
        experts[8] = EEP_WIRE_SLOT_EMPTY;
    EepWireMap map = {.layer = 1, .version = 2, .n_ranks = 2, .n_slots = 16, .experts = experts};
    return eep_moe_set_map(rank->moe, &map, rank->rank, error);
}

START_TEST(maps_that_differ_are_told)
{
    EepWireModel shape = shape_of_slots(8);
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    guint32 experts[16], probed[2];
    static const guint none[MAX_RANKS] = {0};
    eep_probe_experts(&shape, 1, 0, probed);
    /* The probe's expert is in slot 0 of rank 1, and only there. */
    for (guint i = 0; i < 8; i++)
        experts[i] = experts[8 + i] = i;
    experts[probed[0]] = EEP_WIRE_SLOT_EMPTY;
    experts[8 + probed[0]] = 0;
    experts[8] = probed[0];
    moe_group_place(group, experts);
    ck_assert(moe_group_run(group, map_of_its_own, experts));
    group->wait_ns = G_GINT64_CONSTANT(500000000);
    ck_assert(!moe_group_forward(group, 1, none));
    ck_assert_ptr_nonnull(group->ranks[0].failure);
    ck_assert_msg(group->ranks[1].failure &&
                      strstr(group->ranks[1].failure, "slot 0 of rank 1, which holds no expert"),
                  "%s", group->ranks[1].failure);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, moved_experts_keep_the_bits);
    tcase_add_test(tcase, copies_within_a_rank);
    tcase_add_test(tcase, what_is_not_there_is_told);
    tcase_add_test(tcase, moves_run_ahead_of_maps);
    tcase_add_test(tcase, empty_slots_remember);
    tcase_add_test(tcase, bad_maps_are_refused);
    tcase_add_test(tcase, memory_does_not_grow);
    tcase_add_loop_test(tcase, plants_are_found, 0, N_PLANTS);
    tcase_add_test(tcase, maps_that_differ_are_told);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
