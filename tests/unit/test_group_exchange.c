/* Exchanges of two expert groups: against all of them, and in the policy that uses them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/group_exchange.h"
#include "core/eplb/score.h"
#include "core/rng.h"

#define E 32
#define G 8

static void draw(EepRng *rng, double *weight)
{
    for (guint e = 0; e < E; e++)
        weight[e] = (double)eep_rng_below(rng, 1000);
}

/* Highest load an active rank over the two nodes given, or all. */
static double heat(const EepEplbProblem *p, const double *weight, const guint *group_node)
{
    const guint n_ranks = p->n_ranks / p->n_nodes;
    double highest = 0.0;
    for (guint node = 0; node < p->n_nodes; node++) {
        double load = 0.0, width = 0.0;
        for (guint rank = node * n_ranks; rank < (node + 1) * n_ranks; rank++)
            width += eep_eplb_problem_is_active(p, rank);
        for (guint e = 0; e < E; e++)
            load += group_node[e / (E / G)] == node ? weight[e] : 0.0;
        highest = MAX(highest, load / width);
    }
    return highest;
}

/* With two nodes the hottest after the best of all exchanges is what one exchange gives. */
START_TEST(test_best_of_all)
{
    EepRng rng;
    eep_rng_init(&rng, (guint64)_i, "exchange");
    const guint8 active[8] = {1, 1, 1, 1, 1, 1, 1, _i % 2 == 0};
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = E,
                              .n_replicas = 48,
                              .n_groups = G,
                              .n_nodes = 2,
                              .n_ranks = 8,
                              .active = active};
    for (guint round = 0; round < 200; round++) {
        double weight[E], least;
        guint node[G], changed[G];
        draw(&rng, weight);
        for (guint g = 0; g < G; g++)
            node[g] = g % 2;
        least = heat(&p, weight, node);
        const double before = least;
        for (guint a = 0; a < G; a++)
            for (guint b = 0; b < G; b++) {
                memcpy(changed, node, sizeof node);
                changed[a] = node[b];
                changed[b] = node[a];
                least = MIN(least, heat(&p, weight, changed));
            }
        const gboolean exchanged = eep_group_exchange(&p, weight, node);
        ck_assert_int_eq(exchanged, least < before);
        ck_assert_double_eq_tol(heat(&p, weight, node), least, 1e-9);
        guint held = 0;
        for (guint g = 0; g < G; g++)
            held += node[g];
        ck_assert_uint_eq(held, G / 2);
    }
}
END_TEST

/* Loads change altogether: the packing of groups that was made for the old ones would keep a node
 * hot, planning anew would move nearly everything. */
START_TEST(test_policy_leaves_a_packing)
{
    EepRng rng;
    eep_rng_init(&rng, 5, "exchange");
    double before[E], after[E];
    gint32 old[40], map[40], anew[40];
    EepEplbProblem p = {.n_layers = 1,
                        .n_experts = E,
                        .n_replicas = 40,
                        .n_groups = G,
                        .n_nodes = 2,
                        .n_ranks = 4,
                        .weight = before,
                        .max_moves = EEP_EPLB_MOVES_AUTO};
    guint64 moves = 0, anew_moves = 0;
    for (guint round = 0; round < 50; round++) {
        EepEplbScore score, anew_score;
        draw(&rng, before);
        draw(&rng, after);
        /* Half of the groups hot: those of one node, by the old packing. */
        p.weight = before;
        p.old_phy2log = NULL;
        ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek, &p, old, NULL));
        for (guint slot = 0; slot < 20; slot++)
            after[old[slot]] = 1000.0 + (double)eep_rng_below(&rng, 1000);
        p.weight = after;
        ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek, &p, anew, NULL));
        p.old_phy2log = old;
        ck_assert(eep_eplb_place(&eep_eplb_policy_eep, &p, map, NULL));
        eep_eplb_score(&p, after, map, NULL, &score);
        eep_eplb_score(&p, after, anew, NULL, &anew_score);
        ck_assert_double_ge(score.balancedness, 0.93 * anew_score.balancedness);
        moves += eep_eplb_count_moves(&p, old, map, NULL);
        anew_moves += eep_eplb_count_moves(&p, old, anew, NULL);
    }
    ck_assert_uint_lt(moves, anew_moves);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_exchange");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, test_best_of_all, 0, 2);
    tcase_add_test(tcase, test_policy_leaves_a_packing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
