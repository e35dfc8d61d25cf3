/* core/eplb/eplb.c: vLLM's cadence, rearrangements layer by layer, resizes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/eplb.h"

static const EepEplbShape small_shape = {
    .n_layers = 2, .n_experts = 4, .n_ranks = 2, .n_groups = 1, .ranks_per_node = 0};

/* Layer 0 is hot at expert 0, layer 1 at expert 3. */
static const double small_load[] = {9, 2, 3, 4, 1, 2, 3, 9};

static EepEplb *eplb_of(const EepEplbShape *shape, guint redundant)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.enabled = TRUE;
    options.num_redundant_experts = redundant;
    GError *error = NULL;
    EepEplb *eplb = eep_eplb_new(&options, shape, &error);
    ck_assert_msg(eplb != NULL, "%s", error ? error->message : "");
    return eplb;
}

/* A plan whose moves begin. */
static gboolean begin(EepEplb *eplb, const double *load, guint64 version, guint n_ranks,
                      GError **error)
{
    const EepEplbRequest request = {.load = load,
                                    .load_version = version,
                                    .n_ranks = n_ranks,
                                    .max_moves = EEP_EPLB_MOVES_AUTO};
    if (!eep_eplb_plan(eplb, &request, error))
        return FALSE;
    if (eep_eplb_has_plan(eplb))
        eep_eplb_start_moves(eplb);
    return TRUE;
}

static guint steps_to_due(EepEplb *eplb)
{
    for (guint step = 1; step <= 100000; step++)
        if (eep_eplb_count_step(eplb))
            return step;
    return 0;
}

static gboolean count_steps(EepEplb *eplb, guint n)
{
    gboolean is_due = FALSE;

    for (guint i = 0; i < n; i++)
        is_due = eep_eplb_count_step(eplb);
    return is_due;
}

static guint n_redundant(const EepEplb *eplb)
{
    const EepPlacement *placement = eep_eplb_placement((EepEplb *)eplb);

    return placement->n_slots - placement->n_experts;
}

START_TEST(defaults_are_vllms)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    ck_assert(!options.enabled);
    ck_assert_uint_eq(options.window_size, 1000);
    ck_assert_uint_eq(options.step_interval, 3000);
    ck_assert_uint_eq(options.num_redundant_experts, 0);
    ck_assert(options.use_async);
    ck_assert(!options.log_balancedness);
    ck_assert_str_eq(options.policy, "default");
}
END_TEST

START_TEST(first_rearrangement_after_a_quarter_interval)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 0);
    ck_assert_str_eq(eep_eplb_options(eplb)->policy, "vllm");
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 750);
    ck_assert_uint_eq(steps_to_due(eplb), 750);
    ck_assert_uint_eq(steps_to_due(eplb), 3000);
}
END_TEST

START_TEST(odd_intervals_round_the_quarter_down)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.enabled = TRUE;
    const guint interval[] = {1, 3, 10}, first[] = {1, 1, 2};
    for (guint i = 0; i < 3; i++) {
        options.step_interval = interval[i];
        g_autoptr(EepEplb) eplb = eep_eplb_new(&options, &small_shape, NULL);
        ck_assert_uint_eq(steps_to_due(eplb), first[i]);
        ck_assert_uint_eq(steps_to_due(eplb), interval[i]);
    }
}
END_TEST

START_TEST(leaps_count_like_single_steps)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 0);
    ck_assert(!count_steps(eplb, 0));
    ck_assert(!count_steps(eplb, 749));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 1);
    ck_assert(count_steps(eplb, 1));
    ck_assert(count_steps(eplb, 3000));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 3000);
}
END_TEST

START_TEST(recording_covers_the_window_before_it_is_due)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 0);
    ck_assert(eep_eplb_recording(eplb)); /* 750 steps left, window 1000 */
    count_steps(eplb, 750);
    ck_assert(!eep_eplb_recording(eplb));
    count_steps(eplb, 1999);
    ck_assert(!eep_eplb_recording(eplb)); /* 1001 left */
    count_steps(eplb, 1);
    ck_assert(eep_eplb_recording(eplb)); /* 1000 left */
}
END_TEST

START_TEST(balancedness_log_has_an_interval)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.enabled = options.log_balancedness = TRUE;
    options.log_balancedness_interval = 50;
    g_autoptr(EepEplb) eplb = eep_eplb_new(&options, &small_shape, NULL);
    count_steps(eplb, 750);
    ck_assert(eep_eplb_log_due(eplb) && eep_eplb_recording(eplb));
    eep_eplb_count_step(eplb);
    ck_assert(!eep_eplb_log_due(eplb) && !eep_eplb_recording(eplb));
    count_steps(eplb, 49);
    ck_assert(eep_eplb_log_due(eplb) && eep_eplb_recording(eplb));
}
END_TEST

START_TEST(without_eplb_nothing_is_ever_due)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    g_autoptr(EepEplb) eplb = eep_eplb_new(&options, &small_shape, NULL);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), G_MAXUINT64);
    ck_assert_uint_eq(steps_to_due(eplb), 0);
    ck_assert(!eep_eplb_recording(eplb));
}
END_TEST

START_TEST(without_eplb_experts_need_not_divide)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    const EepEplbShape shape = {.n_layers = 1, .n_experts = 8, .n_ranks = 3, .n_groups = 1};
    const gint32 expected[] = {0, 1, 2, 3, 4, 5, 6, 7, -1};
    g_autoptr(EepEplb) eplb = eep_eplb_new(&options, &shape, NULL);
    ck_assert_ptr_nonnull(eplb);
    ck_assert_int_eq(
        memcmp(eep_placement_layer(eep_eplb_placement(eplb), 0), expected, sizeof expected), 0);
}
END_TEST

static void assert_refused(const EepEplbOptions *options, const EepEplbShape *shape,
                           const char *text)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_eplb_new(options, shape, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error->message, text) != NULL, "\"%s\" lacks \"%s\"", error->message,
                  text);
}

START_TEST(bad_options_are_refused_with_the_way_out)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.num_redundant_experts = 2;
    assert_refused(&options, &small_shape, "enable EPLB or make it 0");
    options.enabled = TRUE;
    options.num_redundant_experts = 1;
    assert_refused(&options, &small_shape, "try num_redundant_experts 2");
    options.num_redundant_experts = G_MAXUINT;
    assert_refused(&options, &small_shape, "too many");
    options.num_redundant_experts = 2;
    options.policy = "best";
    assert_refused(&options, &small_shape, "known are");
    options.policy = "vllm";
    options.step_interval = 0;
    assert_refused(&options, &small_shape, "step_interval (0)");
    options.step_interval = 1;
    EepEplbShape shape = small_shape;
    shape.n_groups = 3;
    assert_refused(&options, &shape, "4 experts do not divide evenly into 3 groups");
    shape.n_ranks = 0;
    assert_refused(&options, &shape, "ranks (0)");
}
END_TEST

/* S = 3, R = 2. Layer 0, loads 9 2 3 4: expert 0 gets both redundant slots (9 > 4, then 4.5 > 4).
 * Replicas 3 2 3 4 3 3 (slots 0..5 of experts 0 1 2 3 0 0) in falling order 3 | 0 2 0 0 | 1,
 * packed: 4 -> rank 0, 3 -> 1, 3 -> 1 (3 < 4), 3 -> 0 (4 < 6), 3 -> 1 (6 < 7, full), 2 -> 0. Rank
 * 0: 3 0 1, rank 1: 0 2 0. Old map 0 1 2 | 3 0 1: rank 0 keeps 0 and 1 in slots 0 and 1; rank 1
 * keeps 0 in its slot 1, so 2 and 0 fill slots 0 and 2. */
static const gint32 first_target[] = {0, 1, 3, 2, 0, 0};

START_TEST(begin_plans_and_commits_layer_by_layer)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    EepPlacement *placement = eep_eplb_placement(eplb);
    const gint32 initial[] = {0, 1, 2, 3, 0, 1};
    const guint32 version = placement->version[1];
    ck_assert(begin(eplb, small_load, 0, 2, NULL));
    ck_assert(eep_eplb_running(eplb));
    ck_assert_uint_eq(eep_eplb_next_layer(eplb), 0);
    ck_assert_int_eq(memcmp(eep_placement_layer(placement, 0), initial, sizeof initial), 0);

    guint n;
    const EepExpertTransfer *t = eep_eplb_transfers(eplb, 0, &n);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(t[0].expert, 2);
    ck_assert_int_eq(t[0].from_rank, 0);
    ck_assert_int_eq(t[0].to_slot, 3);
    ck_assert_int_eq(t[1].expert, 3);
    ck_assert_int_eq(t[1].from_rank, 1);
    ck_assert_int_eq(t[1].to_slot, 2);

    eep_eplb_commit_layer(eplb, 0);
    ck_assert_int_eq(memcmp(eep_placement_layer(placement, 0), first_target, sizeof first_target),
                     0);
    ck_assert_uint_eq(placement->version[1], version);
    ck_assert(eep_eplb_running(eplb));
    eep_eplb_commit_layer(eplb, 1);
    ck_assert(!eep_eplb_running(eplb));
    ck_assert_uint_gt(placement->version[1], version);
    ck_assert(eep_placement_check(placement, NULL));
}
END_TEST

START_TEST(nothing_is_due_while_a_rearrangement_runs)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    ck_assert_uint_eq(steps_to_due(eplb), 750);
    ck_assert(begin(eplb, small_load, 0, 2, NULL));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), G_MAXUINT64);
    for (guint step = 0; step < 3500; step++)
        ck_assert(!eep_eplb_count_step(eplb));
    eep_eplb_commit_all(eplb);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 1);
    ck_assert(eep_eplb_count_step(eplb));
    ck_assert_uint_eq(steps_to_due(eplb), 3000);
}
END_TEST

START_TEST(counting_goes_on_through_a_short_rearrangement)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    steps_to_due(eplb);
    ck_assert(begin(eplb, small_load, 0, 2, NULL));
    for (guint layer = 0; layer < 2; layer++) {
        ck_assert(!eep_eplb_count_step(eplb));
        eep_eplb_commit_layer(eplb, layer);
    }
    ck_assert_uint_eq(steps_to_due(eplb), 2998);
}
END_TEST

/* The first ranks stay, new ones come behind them. */
static gboolean resize(EepEplb *eplb, guint n_ranks, GError **error)
{
    gint32 source[64];

    for (guint rank = 0; rank < n_ranks; rank++)
        source[rank] = rank < eep_eplb_placement(eplb)->n_ranks ? (gint32)rank : -1;
    return eep_eplb_map_ranks(eplb, source, n_ranks, FALSE, error);
}

START_TEST(a_second_begin_is_refused)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    g_autoptr(GError) error = NULL;
    ck_assert(begin(eplb, small_load, 0, 2, NULL));
    eep_eplb_commit_layer(eplb, 0);
    ck_assert(!begin(eplb, small_load, 0, 2, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_BUSY));
    ck_assert(strstr(error->message, "1 of 2 layers done") != NULL);
    ck_assert(!resize(eplb, 3, NULL));
    ck_assert(!resize(eplb, 2, NULL));
}
END_TEST

START_TEST(drain_keeps_committed_layers_only)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    EepPlacement *placement = eep_eplb_placement(eplb);
    const gint32 initial[] = {0, 1, 2, 3, 0, 1};
    ck_assert_uint_eq(eep_eplb_drain(eplb), 0);
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    eep_eplb_commit_layer(eplb, 0);
    ck_assert_uint_eq(eep_eplb_drain(eplb), 1);
    ck_assert(!eep_eplb_running(eplb));
    ck_assert_int_eq(memcmp(eep_placement_layer(placement, 0), first_target, sizeof first_target),
                     0);
    ck_assert_int_eq(memcmp(eep_placement_layer(placement, 1), initial, sizeof initial), 0);
    /* the half-made placement does not pass for the one that load version 5 makes */
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    ck_assert(eep_eplb_running(eplb));
    ck_assert_uint_eq(eep_eplb_migration(eplb)->n_changed, 1);
}
END_TEST

START_TEST(the_same_load_moves_nothing_and_runs_no_policy)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    eep_eplb_commit_all(eplb);
    const guint64 generation = eep_eplb_placement(eplb)->generation;
    const double bad[] = {-1, 0, 0, 0, 0, 0, 0, 0}; /* the policy would refuse it */
    count_steps(eplb, 10);
    ck_assert(begin(eplb, bad, 5, 2, NULL));
    ck_assert(!eep_eplb_running(eplb));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 3000);
    ck_assert_uint_eq(eep_eplb_placement(eplb)->generation, generation);

    g_autoptr(GError) error = NULL;
    ck_assert(!begin(eplb, bad, 6, 2, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_LOAD));
    ck_assert(!begin(eplb, bad, 0, 2, NULL));
    ck_assert(!eep_eplb_running(eplb));
}
END_TEST

START_TEST(an_unchanged_placement_ends_at_once)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    eep_eplb_commit_all(eplb);
    ck_assert(begin(eplb, small_load, 6, 2, NULL)); /* slots are kept, so nothing changes */
    ck_assert(!eep_eplb_running(eplb));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 3000);
}
END_TEST

START_TEST(a_placement_changed_from_outside_is_made_anew)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    const gint32 dead[] = {0, -1};
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    eep_eplb_commit_all(eplb);
    eep_placement_map_ranks(eep_eplb_placement(eplb), dead, 2);
    ck_assert(begin(eplb, small_load, 5, 2, NULL));
    ck_assert(eep_eplb_running(eplb));
    ck_assert_uint_gt(eep_eplb_migration(eplb)->n_lost, 0); /* rank 0 lacks expert 2 */
    eep_eplb_commit_all(eplb);
    ck_assert(eep_placement_check(eep_eplb_placement(eplb), NULL));
}
END_TEST

START_TEST(grow_two_to_three_ranks)
{
    /* E = 4, R = 0: S = 2, so rank 2 brings two redundant slots. */
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 0);
    const EepPlacement *placement = eep_eplb_placement(eplb);
    count_steps(eplb, 100);
    ck_assert(resize(eplb, 3, NULL));
    ck_assert_uint_eq(n_redundant(eplb), 2);
    ck_assert(eep_placement_check(placement, NULL));
    ck_assert(begin(eplb, small_load, 1, 3, NULL));
    ck_assert_uint_gt(eep_eplb_migration(eplb)->received[2], 0);
    ck_assert_uint_eq(eep_eplb_migration(eplb)->max_received[0], 2);
    eep_eplb_commit_all(eplb);
    for (guint slot = 0; slot < placement->n_slots; slot++)
        ck_assert_int_ge(eep_placement_layer(placement, 1)[slot], 0);
    ck_assert_int_eq(placement->logcnt[0], 3); /* 9 -> 4.5, still the hottest -> 3 */
    ck_assert_int_eq(placement->logcnt[4 + 3], 3);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 3000);
}
END_TEST

START_TEST(shrink_three_to_two_ranks)
{
    EepEplbShape shape = small_shape;
    shape.n_ranks = 3;
    g_autoptr(EepEplb) eplb = eplb_of(&shape, 2);
    EepPlacement *placement = eep_eplb_placement(eplb);
    const guint S = placement->slots_per_rank;
    ck_assert_uint_eq(S, 2);
    ck_assert(begin(eplb, small_load, 8, 3, NULL));
    eep_eplb_commit_all(eplb);

    ck_assert(begin(eplb, small_load, 8, 2, NULL));
    ck_assert(eep_eplb_running(eplb));
    ck_assert_uint_eq(eep_eplb_migration(eplb)->received[2], 0);
    eep_eplb_commit_all(eplb);
    ck_assert_uint_eq(placement->n_ranks, 3);
    for (guint layer = 0; layer < 2; layer++)
        for (guint slot = 2 * S; slot < 3 * S; slot++)
            ck_assert_int_eq(eep_placement_layer(placement, layer)[slot], EEP_PLACEMENT_EMPTY);
    ck_assert(eep_placement_check(placement, NULL));
    ck_assert(resize(eplb, 2, NULL));
    ck_assert_ptr_eq(eep_eplb_placement(eplb), placement);
    ck_assert_uint_eq(placement->n_ranks, 2);
    ck_assert_uint_eq(n_redundant(eplb), 0);
    /* the placement is the one that this load makes for two ranks */
    ck_assert(begin(eplb, small_load, 8, 2, NULL));
    ck_assert(!eep_eplb_running(eplb));
}
END_TEST

START_TEST(shrink_before_the_experts_moved_is_refused)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 4); /* S = 4: one rank could hold all */
    const gint32 row[] = {0, 1, 2, 0, 3, 1, 2, 0};
    eep_placement_set_layer(eep_eplb_placement(eplb), 1, row);
    g_autoptr(GError) error = NULL;
    ck_assert(!resize(eplb, 1, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_EXPERT_LOST));
    ck_assert(strstr(error->message, "layer 1: expert 3") != NULL);
    ck_assert_uint_eq(eep_eplb_placement(eplb)->n_ranks, 2);
}
END_TEST

START_TEST(minimum_size_is_named)
{
    /* DeepSeek-V3, DP16, R = 0: S = 16; 24 is fine, 15 is not, the minimum is 16. With R = 32 on 32
     * ranks S = 9 and the minimum is ceil(256 * 32 / 288) = 29. */
    EepEplbShape shape = {
        .n_layers = 1, .n_experts = 256, .n_ranks = 16, .n_groups = 8, .ranks_per_node = 8};
    g_autoptr(EepEplb) eplb = eplb_of(&shape, 0);
    g_autoptr(GError) error = NULL;
    ck_assert(eep_eplb_check_ranks(eplb, 24, NULL));
    ck_assert(resize(eplb, 24, NULL));
    ck_assert_uint_eq(n_redundant(eplb), 128);
    ck_assert(eep_eplb_check_ranks(eplb, 16, NULL));
    ck_assert(!eep_eplb_check_ranks(eplb, 15, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS));
    ck_assert(strstr(error->message, "minimum is 16") != NULL);
    ck_assert(!eep_eplb_check_ranks(eplb, 0, NULL));

    shape.n_ranks = 32;
    g_autoptr(EepEplb) wide = eplb_of(&shape, 32);
    g_clear_error(&error);
    ck_assert(!eep_eplb_check_ranks(wide, 28, &error));
    ck_assert(strstr(error->message, "minimum is 29") != NULL);
    ck_assert(eep_eplb_check_ranks(wide, 29, NULL)); /* 4 nodes do not divide 29 ranks: one node */
}
END_TEST

START_TEST(begin_needs_the_ranks_to_be_there)
{
    g_autoptr(EepEplb) eplb = eplb_of(&small_shape, 2);
    g_autoptr(GError) error = NULL;
    ck_assert(!begin(eplb, small_load, 0, 3, &error));
    ck_assert(strstr(error->message, "widen it first") != NULL);
    ck_assert(!begin(eplb, small_load, 0, 1, NULL)); /* S = 3 < 4 experts */
}
END_TEST

START_TEST(nodes_shape_the_placement)
{
    /* Two hosts of one rank, groups {0 1} and {2 3}: groups stay whole, so the ranks carry 2 and 4,
     * as at the start. On one host without groups each rank gets 2 + 1. */
    const EepEplbShape shape = {
        .n_layers = 1, .n_experts = 4, .n_ranks = 2, .n_groups = 2, .ranks_per_node = 1};
    const double load[] = {1, 1, 2, 2};
    g_autoptr(EepEplb) eplb = eplb_of(&shape, 0);
    ck_assert(begin(eplb, load, 0, 2, NULL));
    ck_assert(!eep_eplb_running(eplb));
    ck_assert_double_eq(eep_placement_balancedness(eep_eplb_placement(eplb), load), 0.75);

    const EepEplbShape flat = {.n_layers = 1, .n_experts = 4, .n_ranks = 2, .n_groups = 1};
    g_autoptr(EepEplb) other = eplb_of(&flat, 0);
    ck_assert(begin(other, load, 0, 2, NULL));
    eep_eplb_commit_all(other);
    ck_assert_double_eq(eep_placement_balancedness(eep_eplb_placement(other), load), 1.0);
}
END_TEST

static void add_cadence_tests(TCase *tcase)
{
    tcase_add_test(tcase, defaults_are_vllms);
    tcase_add_test(tcase, first_rearrangement_after_a_quarter_interval);
    tcase_add_test(tcase, odd_intervals_round_the_quarter_down);
    tcase_add_test(tcase, leaps_count_like_single_steps);
    tcase_add_test(tcase, recording_covers_the_window_before_it_is_due);
    tcase_add_test(tcase, balancedness_log_has_an_interval);
    tcase_add_test(tcase, without_eplb_nothing_is_ever_due);
    tcase_add_test(tcase, without_eplb_experts_need_not_divide);
    tcase_add_test(tcase, bad_options_are_refused_with_the_way_out);
}

static void add_rearrangement_tests(TCase *tcase)
{
    tcase_add_test(tcase, begin_plans_and_commits_layer_by_layer);
    tcase_add_test(tcase, nothing_is_due_while_a_rearrangement_runs);
    tcase_add_test(tcase, counting_goes_on_through_a_short_rearrangement);
    tcase_add_test(tcase, a_second_begin_is_refused);
    tcase_add_test(tcase, drain_keeps_committed_layers_only);
    tcase_add_test(tcase, the_same_load_moves_nothing_and_runs_no_policy);
    tcase_add_test(tcase, an_unchanged_placement_ends_at_once);
    tcase_add_test(tcase, a_placement_changed_from_outside_is_made_anew);
    tcase_add_test(tcase, nodes_shape_the_placement);
}

static void add_resize_tests(TCase *tcase)
{
    tcase_add_test(tcase, grow_two_to_three_ranks);
    tcase_add_test(tcase, shrink_three_to_two_ranks);
    tcase_add_test(tcase, shrink_before_the_experts_moved_is_refused);
    tcase_add_test(tcase, minimum_size_is_named);
    tcase_add_test(tcase, begin_needs_the_ranks_to_be_there);
}

/* -- looks that are not vLLM's -- */

static EepEplb *looking_eplb(EepEplbTriggerKind kind, guint window_size, guint check_interval)
{
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.enabled = TRUE;
    options.trigger = kind;
    options.window_size = window_size;
    options.check_interval = check_interval;
    EepEplb *eplb = eep_eplb_new(&options, &small_shape, NULL);
    ck_assert_ptr_nonnull(eplb);
    return eplb;
}

/* The first after a quarter, as vLLM's; 0 is the window. step_interval plays no part. */
START_TEST(looks_have_an_interval_of_their_own)
{
    static const struct {
        EepEplbTriggerKind kind;
        guint window, check, first, next;
    } rows[] = {{EEP_EPLB_TRIGGER_INTERVAL, 100, 40, 750, 3000},
                {EEP_EPLB_TRIGGER_IMBALANCE, 100, 0, 25, 100},
                {EEP_EPLB_TRIGGER_IMBALANCE, 100, 40, 10, 40},
                {EEP_EPLB_TRIGGER_COST_BENEFIT, 100, 400, 100, 400},
                {EEP_EPLB_TRIGGER_COST_BENEFIT, 3, 0, 1, 3},
                {EEP_EPLB_TRIGGER_COST_BENEFIT, 0, 0, 1, 1}};
    g_autoptr(EepEplb) eplb = looking_eplb(rows[_i].kind, rows[_i].window, rows[_i].check);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), rows[_i].first);
    for (guint i = 0; i < 3; i++)
        ck_assert_uint_eq(steps_to_due(eplb), i == 0 ? rows[_i].first : rows[_i].next);
}
END_TEST

/* Steps 0 to 99 and then, a resize in between having kept some from being counted, those from 160
 * on; against a list of what was recorded. */
START_TEST(the_window_is_what_was_recorded)
{
    static const struct {
        guint window, check;
    } rows[] = {{10, 30}, {30, 30}, {50, 30}, {1, 8}, {7, 8}, {8, 8}, {1000, 20}};
    gboolean is_recorded[400] = {FALSE};
    g_autoptr(EepEplb) eplb =
        looking_eplb(EEP_EPLB_TRIGGER_IMBALANCE, rows[_i].window, rows[_i].check);
    guint64 from = 1, to = 1;

    eep_eplb_window(eplb, &from, &to);
    ck_assert(from == 0 && to == 0);
    for (guint step = 0; step < G_N_ELEMENTS(is_recorded); step++) {
        if (step >= 100 && step < 160)
            continue;
        const guint64 left = eep_eplb_steps_until_due(eplb);
        is_recorded[step] = left <= rows[_i].window;
        ck_assert(eep_eplb_recording(eplb) == is_recorded[step]);
        eep_eplb_note_step(eplb, step);
        eep_eplb_count_step(eplb);

        guint end = step + 1, begin;
        while (end > 0 && !is_recorded[end - 1])
            end--;
        for (begin = end; begin > 0 && is_recorded[begin - 1] && end - begin < rows[_i].window;)
            begin--;
        eep_eplb_window(eplb, &from, &to);
        ck_assert_uint_eq(to, end);
        ck_assert_msg(from == begin || end == 0, "step %u: from %u", step, (guint)from);
    }
}
END_TEST

/* A plan that is dropped has touched nothing but the counter; the next may be another, and its
 * moves are those of a plan that never waited. */
START_TEST(a_dropped_plan_leaves_no_trace)
{
    const EepEplbRequest request = {
        .load = small_load, .load_version = 5, .n_ranks = 2, .max_moves = EEP_EPLB_MOVES_AUTO};
    g_autoptr(EepEplb) eplb = looking_eplb(EEP_EPLB_TRIGGER_COST_BENEFIT, 100, 0);
    g_autoptr(EepPlacement) before = eep_placement_copy(eep_eplb_placement(eplb));
    g_autoptr(EepEplb) straight = eplb_of(&small_shape, 0);
    guint n, n_straight;

    for (guint i = 0; i < 2; i++) {
        ck_assert(eep_eplb_plan(eplb, &request, NULL));
        ck_assert(eep_eplb_has_plan(eplb) && !eep_eplb_running(eplb));
        ck_assert_uint_gt(eep_eplb_migration(eplb)->n_transfers, 0);
        ck_assert(eep_placement_check(eep_eplb_target(eplb), NULL));
        ck_assert(!eep_eplb_plan(eplb, &request, NULL)); /* one at a time */
        eep_eplb_drop_plan(eplb);
        ck_assert(!eep_eplb_has_plan(eplb) && !eep_eplb_running(eplb));
        ck_assert_ptr_null(eep_eplb_target(eplb));
        ck_assert_uint_eq(eep_placement_hash(eep_eplb_placement(eplb)), eep_placement_hash(before));
        ck_assert_uint_eq(eep_eplb_placement(eplb)->generation, before->generation);
        ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 100);
    }
    ck_assert(eep_eplb_plan(eplb, &request, NULL));
    eep_eplb_start_moves(eplb);
    ck_assert(eep_eplb_running(eplb) && !eep_eplb_has_plan(eplb));
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), G_MAXUINT64);
    ck_assert(begin(straight, small_load, 5, 2, NULL));
    for (guint layer = 0; layer < 2; layer++) {
        const EepExpertTransfer *a = eep_eplb_transfers(eplb, layer, &n);
        const EepExpertTransfer *b = eep_eplb_transfers(straight, layer, &n_straight);
        ck_assert_uint_eq(n, n_straight);
        ck_assert_int_eq(memcmp(a, b, n * sizeof *a), 0);
    }
    eep_eplb_commit_all(eplb);
    ck_assert_uint_eq(eep_eplb_steps_until_due(eplb), 100);
}
END_TEST

/* Low windows count from 0 again when moves begin, not when a plan is dropped. */
START_TEST(starting_moves_resets_the_trigger)
{
    const EepEplbRequest request = {
        .load = small_load, .n_ranks = 2, .max_moves = EEP_EPLB_MOVES_AUTO};
    g_autoptr(EepEplb) eplb = looking_eplb(EEP_EPLB_TRIGGER_IMBALANCE, 100, 0);
    ck_assert(!eep_eplb_trigger_wants_plan(eep_eplb_trigger(eplb), 0.1));
    ck_assert(eep_eplb_trigger_wants_plan(eep_eplb_trigger(eplb), 0.1));
    ck_assert(eep_eplb_plan(eplb, &request, NULL));
    eep_eplb_drop_plan(eplb);
    ck_assert(eep_eplb_trigger_wants_plan(eep_eplb_trigger(eplb), 0.1));
    ck_assert(eep_eplb_plan(eplb, &request, NULL));
    eep_eplb_start_moves(eplb);
    eep_eplb_commit_all(eplb);
    ck_assert(!eep_eplb_trigger_wants_plan(eep_eplb_trigger(eplb), 0.1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eplb");
    TCase *cadence = tcase_create("cadence"), *rearrangement = tcase_create("rearrangement");
    TCase *resize = tcase_create("resize");
    add_cadence_tests(cadence);
    add_rearrangement_tests(rearrangement);
    add_resize_tests(resize);
    TCase *looks = tcase_create("looks");
    tcase_add_loop_test(looks, looks_have_an_interval_of_their_own, 0, 6);
    tcase_add_loop_test(looks, the_window_is_what_was_recorded, 0, 7);
    tcase_add_test(looks, a_dropped_plan_leaves_no_trace);
    tcase_add_test(looks, starting_moves_resets_the_trigger);
    suite_add_tcase(suite, looks);
    suite_add_tcase(suite, cadence);
    suite_add_tcase(suite, rearrangement);
    suite_add_tcase(suite, resize);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
