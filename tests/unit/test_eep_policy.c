/* core/eplb/eep_policy.c: what it promises, on drawn problems of every shape, and small cases with
 * known answers. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/bound.h"
#include "core/eplb/score.h"
#include "core/rng.h"

#define N_DRAWN 400

/* A problem with everything that it points to. */
typedef struct {
    EepEplbProblem p;
    double *weight, *windows;
    gint32 *old, *map;
    guint8 *active;
} Case;

static void case_clear(Case *c)
{
    g_free(c->weight);
    g_free(c->windows);
    g_free(c->old);
    g_free(c->map);
    g_free(c->active);
}

static double draw_load(EepRng *rng, guint kind, guint e)
{
    if (kind == 0)
        return floor(1e5 / (1.0 + (double)eep_rng_below(rng, 50)));
    if (kind == 1)
        return exp(eep_rng_normal(rng));
    if (kind == 2)
        return e == 0 ? 1e6 : (double)eep_rng_below(rng, 2);
    if (kind == 3)
        return 7.0;
    return 0.0;
}

static void draw_sizes(EepRng *rng, EepEplbProblem *p)
{
    static const guint groups[] = {1, 1, 2, 4, 3, 8}, nodes[] = {1, 2, 2, 4, 3, 1};
    const guint pick = (guint)eep_rng_below(rng, G_N_ELEMENTS(groups));
    const guint S = 1 + (guint)eep_rng_below(rng, 6);
    p->n_layers = 1 + (guint)eep_rng_below(rng, 3);
    p->n_groups = groups[pick];
    p->n_nodes = nodes[pick];
    p->n_ranks = eep_rng_below(rng, 4) ? p->n_nodes * (1 + (guint)eep_rng_below(rng, 5))
                                       : 1 + (guint)eep_rng_below(rng, 12);
    p->n_replicas = p->n_ranks * S;
    p->n_experts = 1 + (guint)eep_rng_below(rng, p->n_replicas);
    if (eep_rng_below(rng, 3) && p->n_experts > p->n_groups)
        p->n_experts -= p->n_experts % p->n_groups;
}

static void draw_loads(EepRng *rng, Case *c)
{
    const gsize cells = (gsize)c->p.n_layers * c->p.n_experts;
    c->p.n_windows = (guint)eep_rng_below(rng, 4);
    c->weight = g_new0(double, cells);
    c->windows = g_new0(double, cells *MAX(c->p.n_windows, 1));
    for (guint t = 0; t < MAX(c->p.n_windows, 1); t++) {
        for (guint layer = 0; layer < c->p.n_layers; layer++) {
            const guint kind = (guint)eep_rng_below(rng, 5);
            for (guint e = 0; e < c->p.n_experts; e++) {
                const gsize i = (gsize)layer * c->p.n_experts + e;
                c->windows[t * cells + i] = draw_load(rng, kind, e);
                c->weight[i] += c->windows[t * cells + i];
            }
        }
    }
    c->p.weight = c->weight;
    c->p.windows = c->windows;
}

/* Dead ranks, as many as the experts leave. */
static void draw_ranks(EepRng *rng, Case *c)
{
    const guint S = c->p.n_replicas / c->p.n_ranks;
    c->active = g_new(guint8, c->p.n_ranks);
    memset(c->active, 1, c->p.n_ranks);
    c->p.active = c->active;
    for (guint rank = 0; rank < c->p.n_ranks && eep_rng_below(rng, 2); rank++) {
        c->active[rank] = 0;
        if (eep_eplb_problem_n_active(&c->p) * S < c->p.n_experts)
            c->active[rank] = 1;
    }
}

/* A present map: any experts anywhere, with holes or without, at times not even every expert. */
static void draw_old(EepRng *rng, Case *c)
{
    const gsize n = (gsize)c->p.n_layers * c->p.n_replicas;
    const guint holes = (guint)eep_rng_below(rng, 3), contiguous = (guint)eep_rng_below(rng, 2);
    c->old = g_new(gint32, n);
    for (gsize i = 0; i < n; i++) {
        c->old[i] = contiguous ? (gint32)(i % c->p.n_replicas % c->p.n_experts)
                               : (gint32)eep_rng_below(rng, c->p.n_experts);
        if (holes && eep_rng_below(rng, 4) < holes)
            c->old[i] = -1;
    }
    c->p.old_phy2log = eep_rng_below(rng, 4) ? c->old : NULL;
    c->p.max_moves = eep_rng_below(rng, 3) ? (gint64)eep_rng_below(rng, 40) : EEP_EPLB_MOVES_AUTO;
}

static Case draw_case(guint64 seed)
{
    EepRng rng;
    Case c = {.p = {.n_layers = 1}};
    eep_rng_init(&rng, seed, "eep");
    draw_sizes(&rng, &c.p);
    draw_loads(&rng, &c);
    draw_ranks(&rng, &c);
    draw_old(&rng, &c);
    c.map = g_new(gint32, (gsize)c.p.n_layers * c.p.n_replicas);
    return c;
}

static void place(const EepEplbProblem *p, gint32 *map)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(eep_eplb_place(&eep_eplb_policy_eep, p, map, &error), "%s",
                  error ? error->message : "");
}

/* Nothing to fill or find: every active slot holds an expert and every expert has one. */
static gboolean old_serves(const EepEplbProblem *p, guint layer)
{
    const guint S = p->n_replicas / p->n_ranks;
    guint n_seen = 0;
    g_autofree guint8 *seen = g_new0(guint8, p->n_experts);
    const gint32 *row = p->old_phy2log + (gsize)layer * p->n_replicas;
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        if (!eep_eplb_problem_is_active(p, slot / S))
            continue;
        if (row[slot] < 0)
            return FALSE;
        n_seen += !seen[row[slot]];
        seen[row[slot]] = 1;
    }
    return n_seen == p->n_experts;
}

static gboolean groups_bind(const EepEplbProblem *p)
{
    const guint S = p->n_replicas / p->n_ranks;
    if (p->n_groups < 2 || p->n_nodes < 2 || p->n_groups % p->n_nodes ||
        p->n_experts % p->n_groups || p->n_ranks % p->n_nodes)
        return FALSE;
    for (guint node = 0; node < p->n_nodes; node++) {
        guint slots = 0;
        for (guint rank = 0; rank < p->n_ranks; rank++)
            if (rank / (p->n_ranks / p->n_nodes) == node && eep_eplb_problem_is_active(p, rank))
                slots += S;
        if (slots < p->n_experts / p->n_nodes)
            return FALSE;
    }
    return TRUE;
}

static gboolean keeps_groups(const EepEplbProblem *p, const gint32 *row)
{
    const guint size = p->n_experts / p->n_groups, slots = p->n_replicas / p->n_nodes;
    for (guint a = 0; a < p->n_replicas; a++)
        for (guint b = 0; b < a; b++)
            if (row[a] >= 0 && row[b] >= 0 && (guint)row[a] / size == (guint)row[b] / size &&
                a / slots != b / slots)
                return FALSE;
    for (guint node = 0; node < p->n_nodes; node++) {
        guint64 held = 0;
        for (guint slot = node * slots; slot < (node + 1) * slots; slot++)
            if (row[slot] >= 0)
                held |= (guint64)1 << ((guint)row[slot] / size);
        if (__builtin_popcountll(held) > (int)(p->n_groups / p->n_nodes))
            return FALSE;
    }
    return TRUE;
}

START_TEST(drawn_problems_get_what_is_promised)
{
    for (guint64 seed = (guint64)_i * N_DRAWN; seed < ((guint64)_i + 1) * N_DRAWN; seed++) {
        Case c = draw_case(seed);
        const EepEplbProblem *p = &c.p;
        const guint R = p->n_replicas, S = R / p->n_ranks;
        const gboolean bind = groups_bind(p);
        g_autofree double *bound = g_new(double, p->n_layers);
        g_autofree double *hottest = g_new(double, p->n_layers), *load = g_new(double, p->n_ranks);
        g_autofree guint64 *moves = g_new0(guint64, p->n_layers);
        EepEplbScore score;
        gboolean is_forced = FALSE;
        place(p, c.map); /* valid: eep_eplb_place() has checked */
        eep_eplb_score(p, p->weight, c.map, hottest, &score);
        eep_eplb_lower_bound(p, bound);
        if (p->old_phy2log)
            eep_eplb_count_moves(p, p->old_phy2log, c.map, moves);
        for (guint layer = 0; layer < p->n_layers; layer++) {
            const gint32 *row = c.map + (gsize)layer * R, *old = c.old + (gsize)layer * R;
            ck_assert_msg(hottest[layer] >= bound[layer], "seed %" G_GUINT64_FORMAT, seed);
            ck_assert_msg(!bind || keeps_groups(p, row), "seed %" G_GUINT64_FORMAT, seed);
            if (!p->old_phy2log || !old_serves(p, layer) || (bind && !keeps_groups(p, old))) {
                is_forced = TRUE;
                continue;
            }
            g_autofree gint32 *alive = g_memdup2(old, R * sizeof *old);
            for (guint slot = 0; slot < R; slot++)
                if (!eep_eplb_problem_is_active(p, slot / S))
                    alive[slot] = -1;
            double before = 0.0;
            eep_eplb_rank_loads(p, p->weight + (gsize)layer * p->n_experts, alive, load);
            for (guint rank = 0; rank < p->n_ranks; rank++)
                before = MAX(before, load[rank]);
            ck_assert_msg(hottest[layer] <= before * (1.0 + 1e-12), "seed %" G_GUINT64_FORMAT,
                          seed);
        }
        if (p->old_phy2log && !is_forced && p->max_moves >= 0) {
            guint64 sum = 0;
            for (guint layer = 0; layer < p->n_layers; layer++)
                sum += moves[layer];
            ck_assert_msg(sum <= (guint64)p->max_moves, "seed %" G_GUINT64_FORMAT, seed);
        }
        case_clear(&c);
    }
}
END_TEST

START_TEST(same_problem_same_map)
{
    for (guint64 seed = 0; seed < 100; seed++) {
        Case a = draw_case(seed), b = draw_case(seed);
        place(&a.p, a.map);
        place(&b.p, b.map);
        ck_assert_mem_eq(a.map, b.map, (gsize)a.p.n_layers * a.p.n_replicas * sizeof *a.map);
        case_clear(&a);
        case_clear(&b);
    }
}
END_TEST

START_TEST(never_hotter_than_deepseek_with_free_moves)
{
    for (guint64 seed = 0; seed < 600; seed++) {
        Case c = draw_case(seed + 100000);
        g_autofree double *ours = g_new(double, c.p.n_layers),
                          *theirs = g_new(double, c.p.n_layers);
        EepEplbScore score;
        c.p.active = NULL;
        if (eep_eplb_policy_deepseek.place(&c.p, c.map, NULL)) {
            eep_eplb_score(&c.p, c.p.weight, c.map, theirs, &score);
            c.p.max_moves = G_MAXINT64;
            if (seed % 2)
                c.p.old_phy2log = NULL;
            place(&c.p, c.map);
            eep_eplb_score(&c.p, c.p.weight, c.map, ours, &score);
            for (guint layer = 0; layer < c.p.n_layers; layer++)
                ck_assert_msg(ours[layer] <= theirs[layer] * (1.0 + 1e-12),
                              "seed %" G_GUINT64_FORMAT, seed);
        }
        case_clear(&c);
    }
}
END_TEST

/* A map that serves and a budget of nothing: it stays, slot by slot. */
START_TEST(no_moves_no_change)
{
    const double weight[] = {9, 5, 1, 1, 1, 1};
    const gint32 old[] = {0, 1, 2, 3, 4, 5, 2, 3};
    gint32 map[8];
    EepEplbProblem p = {.n_layers = 1,
                        .n_experts = 6,
                        .n_replicas = 8,
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = 4,
                        .weight = weight,
                        .old_phy2log = old};
    place(&p, map);
    ck_assert_mem_eq(map, old, sizeof old);
}
END_TEST

/* 0 and 1 share a rank: one exchange of two moves parts them, and the others stay in their slots.
 */
START_TEST(one_exchange_parts_two_hot_experts)
{
    const double weight[] = {8, 8, 1, 1, 1, 1};
    const gint32 old[] = {0, 1, 2, 3, 4, 5};
    gint32 map[6];
    EepEplbProblem p = {.n_layers = 1,
                        .n_experts = 6,
                        .n_replicas = 6,
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = 3,
                        .weight = weight,
                        .old_phy2log = old,
                        .max_moves = EEP_EPLB_MOVES_AUTO};
    place(&p, map);
    ck_assert_uint_eq(eep_eplb_count_moves(&p, old, map, NULL), 2);
    guint kept = 0;
    for (guint slot = 0; slot < 6; slot++)
        kept += map[slot] == old[slot];
    ck_assert_uint_eq(kept, 4);
    ck_assert((map[0] == 0) != (map[1] == 1));
    p.max_moves = 1; /* half an exchange is none */
    place(&p, map);
    ck_assert_mem_eq(map, old, sizeof old);
}
END_TEST

/* Two layers, moves for one: the one that gains more gets them. */
START_TEST(moves_go_where_they_buy_most)
{
    const double weight[] = {8, 8, 1, 1, 1, 1, 9, 3, 6, 4, 4, 4};
    const gint32 old[] = {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5};
    gint32 map[12];
    const EepEplbProblem p = {.n_layers = 2,
                              .n_experts = 6,
                              .n_replicas = 12 / 2,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 3,
                              .weight = weight,
                              .old_phy2log = old,
                              .max_moves = 2};
    guint64 moves[2];
    place(&p, map);
    eep_eplb_count_moves(&p, old, map, moves);
    ck_assert_uint_eq(moves[0], 2);
    ck_assert_uint_eq(moves[1], 0);
}
END_TEST

/* Four ranks become six: without moves each new rank gets one expert, and no rank is hotter. */
START_TEST(new_ranks_are_filled)
{
    const double weight[] = {6, 4, 3, 3, 2, 2, 1, 1};
    const gint32 old[] = {0, 7, 1, 6, 2, 5, 3, 4, -1, -1, -1, -1};
    gint32 map[12];
    double load[6];
    EepEplbProblem p = {.n_layers = 1,
                        .n_experts = 8,
                        .n_replicas = 12,
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = 6,
                        .weight = weight,
                        .old_phy2log = old};
    place(&p, map);
    ck_assert_mem_eq(map, old, 8 * sizeof *map);
    ck_assert_uint_eq(eep_eplb_count_moves(&p, old, map, NULL), 2);
    eep_eplb_rank_loads(&p, weight, map, load);
    for (guint rank = 0; rank < 6; rank++)
        ck_assert_double_le(load[rank], 7.0);
    p.max_moves = EEP_EPLB_MOVES_AUTO;
    place(&p, map);
    eep_eplb_rank_loads(&p, weight, map, load);
    for (guint rank = 0; rank < 6; rank++)
        ck_assert_double_le(load[rank], 4.5); /* mean 22 / 6 */
}
END_TEST

/* A dead rank held the only replica of 3: it is placed elsewhere even without a budget. */
START_TEST(lost_experts_are_placed)
{
    const double weight[] = {4, 3, 2, 1};
    const gint32 old[] = {0, 1, 2, 3, 0, 2};
    const guint8 active[] = {1, 0, 1};
    gint32 map[6];
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 4,
                              .n_replicas = 6,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 3,
                              .weight = weight,
                              .old_phy2log = old,
                              .active = active};
    place(&p, map);
    ck_assert_int_eq(map[2], -1);
    ck_assert_int_eq(map[3], -1);
    ck_assert_uint_eq(eep_eplb_count_moves(&p, old, map, NULL), 1);
}
END_TEST

/* Groups {0 1} {2 3} on two nodes, but 1 and 2 lie on the wrong ones: planned anew without budget.
 */
START_TEST(a_map_that_breaks_groups_is_planned_anew)
{
    const double weight[] = {4, 3, 2, 1};
    const gint32 old[] = {0, 2, 1, 3};
    gint32 map[4];
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 4,
                              .n_replicas = 4,
                              .n_groups = 2,
                              .n_nodes = 2,
                              .n_ranks = 2,
                              .weight = weight,
                              .old_phy2log = old};
    place(&p, map);
    ck_assert(keeps_groups(&p, map));
    ck_assert_uint_eq(eep_eplb_count_moves(&p, old, map, NULL), 2);
}
END_TEST

/* Four equal experts on two ranks fit any way; DeepSeek's order puts 0 and 2 together, which
 * scatter between windows. */
START_TEST(experts_that_scatter_are_parted)
{
    const double windows[] = {90, 50, 10, 50, 10, 50, 90, 50, 90, 50, 10, 50, 10, 50, 90, 50};
    const double weight[] = {200, 200, 200, 200};
    gint32 map[4];
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 4,
                              .n_replicas = 4,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 2,
                              .weight = weight,
                              .n_windows = 4,
                              .windows = windows,
                              .max_moves = EEP_EPLB_MOVES_AUTO};
    place(&p, map);
    ck_assert(map[0] % 2 != map[1] % 2);
}
END_TEST

START_TEST(refuses_what_would_not_fit)
{
    const guint n = 16384;
    g_autofree double *weight = g_new0(double, n);
    g_autofree gint32 *map = g_new(gint32, n);
    g_autoptr(GError) error = NULL;
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = n,
                              .n_replicas = n,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = n,
                              .weight = weight,
                              .max_moves = EEP_EPLB_MOVES_AUTO};
    ck_assert(!eep_eplb_place(&eep_eplb_policy_eep, &p, map, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eep_policy");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, drawn_problems_get_what_is_promised, 0, 8);
    tcase_add_test(tcase, same_problem_same_map);
    tcase_add_test(tcase, never_hotter_than_deepseek_with_free_moves);
    tcase_add_test(tcase, no_moves_no_change);
    tcase_add_test(tcase, one_exchange_parts_two_hot_experts);
    tcase_add_test(tcase, moves_go_where_they_buy_most);
    tcase_add_test(tcase, new_ranks_are_filled);
    tcase_add_test(tcase, lost_experts_are_placed);
    tcase_add_test(tcase, a_map_that_breaks_groups_is_planned_anew);
    tcase_add_test(tcase, experts_that_scatter_are_parted);
    tcase_add_test(tcase, refuses_what_would_not_fit);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
