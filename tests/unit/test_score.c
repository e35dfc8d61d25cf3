/* core/eplb/score.c against scans over all slots, and cases by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/score.h"
#include "core/rng.h"

#define MAX_CELLS 2048

/* ---- scans ---- */

static guint slots_of(const EepEplbProblem *p, const gint32 *row, gint32 expert)
{
    guint n = 0;
    for (guint slot = 0; slot < p->n_replicas; slot++)
        n += row[slot] == expert;
    return n;
}

static double scan_rank(const EepEplbProblem *p, const double *weight, const gint32 *row,
                        guint rank)
{
    double load = 0.0;
    for (guint slot = 0; slot < p->n_replicas; slot++)
        if (slot / (p->n_replicas / p->n_ranks) == rank && row[slot] >= 0)
            load += weight[row[slot]] / slots_of(p, row, row[slot]);
    return load;
}

static gboolean has(const EepEplbProblem *p, const gint32 *row, guint rank, gint32 expert)
{
    const guint S = p->n_replicas / p->n_ranks;
    for (guint i = 0; i < S; i++)
        if (row[rank * S + i] == expert)
            return TRUE;
    return FALSE;
}

static guint64 scan_moves(const EepEplbProblem *p, const gint32 *old, const gint32 *row)
{
    guint64 n = 0;
    for (guint rank = 0; rank < p->n_ranks; rank++)
        for (gint32 expert = 0; expert < (gint32)p->n_experts; expert++)
            n += has(p, row, rank, expert) && !has(p, old, rank, expert);
    return n;
}

/* ---- random problems ---- */

static void draw_map(EepRng *rng, const EepEplbProblem *p, gboolean may_be_empty, gint32 *map)
{
    const guint S = p->n_replicas / p->n_ranks;
    for (guint layer = 0; layer < p->n_layers; layer++)
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            const gboolean empty = !eep_eplb_problem_is_active(p, slot / S) ||
                                   (may_be_empty && eep_rng_below(rng, 4) == 0);
            *map++ = empty ? -1 : (gint32)eep_rng_below(rng, p->n_experts);
        }
}

static EepEplbProblem draw_problem(EepRng *rng, double *weight, guint8 *active)
{
    EepEplbProblem p = {.n_groups = 1, .n_nodes = 1, .weight = weight, .active = active};
    p.n_layers = 1 + (guint)eep_rng_below(rng, 4);
    p.n_experts = 1 + (guint)eep_rng_below(rng, 20);
    p.n_ranks = 1 + (guint)eep_rng_below(rng, 8);
    p.n_replicas = p.n_ranks * (1 + (guint)eep_rng_below(rng, 8));
    const gboolean has_dead = eep_rng_below(rng, 2);
    for (guint rank = 0; rank < p.n_ranks; rank++)
        active[rank] = rank == 0 || !has_dead || eep_rng_below(rng, 2);
    for (guint i = 0; i < p.n_layers * p.n_experts; i++)
        weight[i] = (double)eep_rng_below(rng, 50);
    if (eep_rng_below(rng, 3) == 0)
        memset(weight, 0, p.n_experts * sizeof *weight);
    return p;
}

static void check_score(const EepEplbProblem *p, const gint32 *map)
{
    double hottest[4], sum = 0.0, worst = 1.0, means = 0.0, maxima = 0.0, load[8];
    EepEplbScore score;
    eep_eplb_score(p, p->weight, map, hottest, &score);
    for (guint layer = 0; layer < p->n_layers; layer++) {
        const double *weight = p->weight + layer * p->n_experts;
        const gint32 *row = map + layer * p->n_replicas;
        double total = 0.0, highest = 0.0;
        eep_eplb_rank_loads(p, weight, row, load);
        for (guint rank = 0; rank < p->n_ranks; rank++) {
            const double expected = scan_rank(p, weight, row, rank);
            ck_assert_double_eq_tol(load[rank], expected, 1e-9);
            total += expected;
            highest = expected > highest ? expected : highest;
        }
        const double mean = total / eep_eplb_problem_n_active(p);
        const double balance = highest > 0.0 ? mean / highest : 1.0;
        ck_assert_double_eq_tol(hottest[layer], highest, 1e-9);
        sum += balance;
        worst = balance < worst ? balance : worst;
        means += mean;
        maxima += highest;
    }
    ck_assert_double_eq_tol(score.balancedness, sum / p->n_layers, 1e-12);
    ck_assert_double_eq_tol(score.worst, worst, 1e-12);
    ck_assert_double_eq_tol(score.balancedness_vllm, maxima > 0.0 ? means / maxima : 0.0, 1e-12);
}

START_TEST(scores_are_those_of_a_scan)
{
    double weight[MAX_CELLS];
    gint32 map[MAX_CELLS];
    guint8 active[8];
    EepRng rng;
    eep_rng_init(&rng, 2, "score");
    for (guint round = 0; round < 3000; round++) {
        const EepEplbProblem p = draw_problem(&rng, weight, active);
        draw_map(&rng, &p, FALSE, map);
        check_score(&p, map);
    }
}
END_TEST

START_TEST(moves_are_those_of_a_scan)
{
    double weight[MAX_CELLS];
    gint32 old[MAX_CELLS], map[MAX_CELLS];
    guint8 active[8];
    EepRng rng;
    eep_rng_init(&rng, 3, "moves");
    for (guint round = 0; round < 3000; round++) {
        const EepEplbProblem p = draw_problem(&rng, weight, active);
        guint64 per_layer[4], sum = 0;
        draw_map(&rng, &p, TRUE, old);
        draw_map(&rng, &p, TRUE, map);
        const guint64 n = eep_eplb_count_moves(&p, old, map, per_layer);
        for (guint layer = 0; layer < p.n_layers; layer++) {
            const guint at = layer * p.n_replicas;
            ck_assert_uint_eq(per_layer[layer], scan_moves(&p, old + at, map + at));
            sum += per_layer[layer];
        }
        ck_assert_uint_eq(n, sum);
        ck_assert_uint_eq(eep_eplb_count_moves(&p, map, map, NULL), 0);
    }
}
END_TEST

START_TEST(by_hand)
{
    /* Layer 0: loads 6 2 4 on ranks {0 1} {0 2} {-}: 3 + 2 and 3 + 4, the third is dead. Mean 6,
     * hottest 7. Layer 1 has no load. vLLM's: (6 + 0) / (7 + 0). */
    const double weight[] = {6, 2, 4, 0, 0, 0};
    const gint32 map[] = {0, 1, 0, 2, -1, -1, 0, 1, 2, 2, -1, -1};
    const gint32 old[] = {1, 0, 1, 2, 0, 0, -1, -1, 2, -1, -1, -1};
    const guint8 active[] = {1, 1, 0};
    const EepEplbProblem p = {.n_layers = 2,
                              .n_experts = 3,
                              .n_replicas = 6,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 3,
                              .weight = weight,
                              .active = active};
    double hottest[2], load[3];
    guint64 per_layer[2];
    EepEplbScore score;
    eep_eplb_rank_loads(&p, weight, map, load);
    ck_assert_double_eq(load[0], 5.0);
    ck_assert_double_eq(load[1], 7.0);
    ck_assert_double_eq(load[2], 0.0);
    eep_eplb_score(&p, weight, map, hottest, &score);
    ck_assert_double_eq(hottest[0], 7.0);
    ck_assert_double_eq(hottest[1], 0.0);
    ck_assert_double_eq_tol(score.balancedness, (6.0 / 7.0 + 1.0) / 2.0, 1e-15);
    ck_assert_double_eq_tol(score.worst, 6.0 / 7.0, 1e-15);
    ck_assert_double_eq_tol(score.balancedness_vllm, 6.0 / 7.0, 1e-15);
    /* Layer 0: rank 0 swaps within itself, rank 1 needs 0. Layer 1: rank 0 needs 0 and 1, rank 1
     * copies 2 within itself. */
    ck_assert_uint_eq(eep_eplb_count_moves(&p, old, map, per_layer), 3);
    ck_assert_uint_eq(per_layer[0], 1);
    ck_assert_uint_eq(per_layer[1], 2);
}
END_TEST

START_TEST(without_load_all_is_balanced)
{
    const double weight[] = {0, 0};
    const gint32 map[] = {0, 1};
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 2,
                              .n_replicas = 2,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 2,
                              .weight = weight};
    EepEplbScore score;
    eep_eplb_score(&p, weight, map, NULL, &score);
    ck_assert_double_eq(score.balancedness, 1.0);
    ck_assert_double_eq(score.worst, 1.0);
    /* vLLM's own definition, as eep_placement_balancedness(). */
    ck_assert_double_eq(score.balancedness_vllm, 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("score");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, scores_are_those_of_a_scan);
    tcase_add_test(tcase, moves_are_those_of_a_scan);
    tcase_add_test(tcase, by_hand);
    tcase_add_test(tcase, without_load_all_is_balanced);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
