/* core/eplb/bound.c against the optimum that trying every map finds. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/bound.h"
#include "core/rng.h"

#define MAX_SLOTS 9
#define MAX_RANKS 6

/* Every map of one layer: slots in order, an expert or -1 each, not falling within a rank. */
typedef struct {
    const EepEplbProblem *p;
    gint32 map[MAX_SLOTS];
    gboolean groups_bind;
    double best;
} Trial;

static gboolean keeps_groups(const Trial *trial)
{
    const EepEplbProblem *p = trial->p;
    const guint size = p->n_experts / p->n_groups, slots = p->n_replicas / p->n_nodes;
    gint node_of[MAX_SLOTS], n_on[MAX_SLOTS] = {0};
    memset(node_of, -1, sizeof node_of);
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        if (trial->map[slot] < 0)
            continue;
        const guint group = (guint)trial->map[slot] / size;
        if (node_of[group] >= 0 && node_of[group] != (gint)(slot / slots))
            return FALSE;
        node_of[group] = (gint)(slot / slots);
    }
    for (guint group = 0; group < p->n_groups; group++)
        n_on[node_of[group]]++;
    for (guint node = 0; node < p->n_nodes; node++)
        if (n_on[node] != (gint)(p->n_groups / p->n_nodes))
            return FALSE;
    return TRUE;
}

static void judge(Trial *trial)
{
    const EepEplbProblem *p = trial->p;
    const guint S = p->n_replicas / p->n_ranks;
    guint count[MAX_SLOTS] = {0};
    double hottest = 0.0;
    for (guint slot = 0; slot < p->n_replicas; slot++)
        if (trial->map[slot] >= 0)
            count[trial->map[slot]]++;
    for (guint e = 0; e < p->n_experts; e++)
        if (!count[e])
            return;
    for (guint rank = 0; rank < p->n_ranks; rank++) {
        double load = 0.0;
        for (guint slot = rank * S; slot < (rank + 1) * S; slot++)
            if (trial->map[slot] >= 0)
                load += p->weight[trial->map[slot]] / count[trial->map[slot]];
        hottest = MAX(hottest, load);
    }
    if (hottest < trial->best && (!trial->groups_bind || keeps_groups(trial)))
        trial->best = hottest;
}

static void try_all(Trial *trial, guint slot)
{
    const EepEplbProblem *p = trial->p;
    const guint S = p->n_replicas / p->n_ranks;
    if (slot == p->n_replicas) {
        judge(trial);
        return;
    }
    const gboolean is_active = eep_eplb_problem_is_active(p, slot / S);
    const gint32 first = slot % S ? trial->map[slot - 1] : -1;
    const gint32 end = is_active ? (gint32)p->n_experts : 0;
    for (gint32 e = first; e < end; e++) {
        trial->map[slot] = e;
        try_all(trial, slot + 1);
    }
}

static double optimum(const EepEplbProblem *p, gboolean groups_bind)
{
    Trial trial = {.p = p, .groups_bind = groups_bind, .best = G_MAXDOUBLE};
    try_all(&trial, 0);
    return trial.best;
}

static void draw_loads(EepRng *rng, guint n, double *ret_weight)
{
    const guint kind = (guint)eep_rng_below(rng, 4);
    for (guint e = 0; e < n; e++) {
        const double u = eep_rng_uniform(rng);
        ret_weight[e] = kind == 0   ? (double)eep_rng_below(rng, 5)
                        : kind == 1 ? 1.0 / (u + 0.01)
                        : kind == 2 ? u
                                    : (double)(1 + eep_rng_below(rng, 60));
    }
}

/* The sizes of _i, loads at random. ret_slack: optimum / bound - 1. */
static void check_one(const EepEplbProblem *p, gboolean groups_bind, double *ret_slack)
{
    double bound = -1.0;
    eep_eplb_lower_bound(p, &bound);
    const double best = optimum(p, groups_bind);
    ck_assert_msg(best < G_MAXDOUBLE, "no map");
    ck_assert_msg(bound <= best * (1.0 + 1e-14),
                  "bound %.17g above the optimum %.17g: E %u, R %u, D %u", bound, best,
                  p->n_experts, p->n_replicas, p->n_ranks);
    double sum = 0.0, largest = 0.0;
    for (guint e = 0; e < p->n_experts; e++) {
        sum += p->weight[e];
        largest = MAX(largest, p->weight[e]);
    }
    ck_assert_double_ge(bound, sum / eep_eplb_problem_n_active(p) * (1.0 - 1e-11));
    *ret_slack = best > 0.0 ? best / bound - 1.0 : 0.0;
}

static const guint sizes[][3] = {/* E, R, D */
                                 {2, 4, 2}, {3, 6, 3}, {3, 6, 2}, {4, 6, 3}, {4, 4, 2},
                                 {5, 6, 2}, {5, 6, 3}, {3, 8, 4}, {4, 8, 4}, {2, 6, 6},
                                 {3, 6, 6}, {4, 5, 5}, {6, 8, 4}, {7, 8, 4}, {2, 8, 4},
                                 {2, 4, 2}, {4, 6, 2}, {3, 9, 3}, {5, 9, 3}};

START_TEST(never_above_the_optimum)
{
    EepRng rng;
    double weight[MAX_SLOTS], sum = 0.0, slack;
    eep_rng_init(&rng, (guint64)_i, "bound");
    const guint n = sizes[_i][1] == 9 ? 12 : sizes[_i][1] == 8 ? 60 : 400;
    for (guint run = 0; run < n; run++) {
        const EepEplbProblem p = {.n_layers = 1,
                                  .n_experts = sizes[_i][0],
                                  .n_replicas = sizes[_i][1],
                                  .n_groups = 1,
                                  .n_nodes = 1,
                                  .n_ranks = sizes[_i][2],
                                  .weight = weight};
        draw_loads(&rng, p.n_experts, weight);
        check_one(&p, FALSE, &slack);
        sum += slack;
        if (p.n_replicas == p.n_ranks) /* one slot a rank: exact */
            ck_assert_double_lt(slack, 1e-9);
    }
    ck_assert_msg(sum / n < 0.06, "mean slack %g", sum / n);
}
END_TEST

START_TEST(dead_ranks_do_not_serve)
{
    EepRng rng;
    double weight[MAX_SLOTS], slack;
    eep_rng_init(&rng, (guint64)_i, "dead");
    for (guint run = 0; run < 300; run++) {
        guint8 active[MAX_RANKS];
        const EepEplbProblem p = {.n_layers = 1,
                                  .n_experts = sizes[_i][0],
                                  .n_replicas = sizes[_i][1],
                                  .n_groups = 1,
                                  .n_nodes = 1,
                                  .n_ranks = sizes[_i][2],
                                  .weight = weight,
                                  .active = active};
        for (guint rank = 0; rank < p.n_ranks; rank++)
            active[rank] = eep_rng_below(&rng, 3) > 0;
        if (eep_eplb_problem_n_active(&p) * (p.n_replicas / p.n_ranks) < p.n_experts)
            continue;
        draw_loads(&rng, p.n_experts, weight);
        check_one(&p, FALSE, &slack);
    }
}
END_TEST

static const guint group_sizes[][5] = {/* E, R, D, G, N */
                                       {4, 8, 4, 4, 2}, {4, 6, 2, 4, 2}, {4, 8, 4, 2, 2},
                                       {4, 6, 6, 4, 2}, {2, 6, 6, 2, 2}, {4, 8, 8, 4, 4},
                                       {6, 6, 2, 6, 2}};

START_TEST(groups_bind_it)
{
    EepRng rng;
    double weight[MAX_SLOTS], slack, sum = 0.0;
    guint n = 0, n_above = 0;
    eep_rng_init(&rng, (guint64)_i, "groups");
    for (guint run = 0; run < 150; run++) {
        guint8 active[MAX_SLOTS];
        EepEplbProblem p = {.n_layers = 1,
                            .n_experts = group_sizes[_i][0],
                            .n_replicas = group_sizes[_i][1],
                            .n_groups = group_sizes[_i][3],
                            .n_nodes = group_sizes[_i][4],
                            .n_ranks = group_sizes[_i][2],
                            .weight = weight};
        const guint ranks = p.n_ranks / p.n_nodes;
        gboolean fits = TRUE;
        for (guint rank = 0; rank < p.n_ranks; rank++)
            active[rank] = run % 2 == 0 || eep_rng_below(&rng, 4) > 0;
        p.active = active;
        for (guint node = 0; node < p.n_nodes; node++) {
            guint n_active = 0;
            for (guint i = 0; i < ranks; i++)
                n_active += active[node * ranks + i];
            fits = fits && n_active * (p.n_replicas / p.n_ranks) >= p.n_experts / p.n_nodes;
        }
        if (!fits)
            continue;
        draw_loads(&rng, p.n_experts, weight);
        check_one(&p, TRUE, &slack);
        EepEplbProblem loose = p;
        double bound, free_bound;
        loose.n_groups = loose.n_nodes = 1;
        eep_eplb_lower_bound(&p, &bound);
        eep_eplb_lower_bound(&loose, &free_bound);
        ck_assert_double_ge(bound, free_bound);
        n_above += bound > free_bound * (1.0 + 1e-9);
        sum += slack;
        n++;
    }
    ck_assert_msg(sum / n < 0.06, "mean slack %g", sum / n);
    ck_assert_uint_gt(n_above, n / 10);
}
END_TEST

/* 34 groups are too many to try their packings: what the heaviest prove must hold for a packing
 * that is known to be best, two equal groups a node. */
START_TEST(many_groups_have_a_weaker_bound)
{
    double weight[68], bound;
    for (guint e = 0; e < 68; e++)
        weight[e] = 1.0 + e / 2 % 17; /* groups g and g + 17 alike */
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 68,
                              .n_replicas = 68,
                              .n_groups = 34,
                              .n_nodes = 17,
                              .n_ranks = 34,
                              .weight = weight};
    eep_eplb_lower_bound(&p, &bound);
    /* Heaviest with lightest: 17 + 1 a rank. The heaviest group alone proves 17. */
    ck_assert_double_le(bound, 18.0);
    ck_assert_double_ge(bound, 17.0 * (1.0 - 1e-9));
}
END_TEST

/* No redundancy, two slots a rank: the best pairing is heaviest with lightest, and proven so. */
START_TEST(pairs_are_exact)
{
    const double weight[] = {100, 30, 20, 11, 10, 9, 8, 7};
    double bound;
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 8,
                              .n_replicas = 8,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 4,
                              .weight = weight};
    eep_eplb_lower_bound(&p, &bound);
    ck_assert_double_le(bound, 107.0);
    ck_assert_double_ge(bound, 107.0 * (1.0 - 1e-3));
}
END_TEST

/* Two slots a rank: with counts given, heaviest with lightest is best, so the optimum is the least
 * over all counts. The bound has to judge all thresholds at once to come near. */
typedef struct {
    const double *weight;
    guint n_experts, n_slots;
    guint count[12];
    double best;
} Pairs;

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void try_counts(Pairs *pairs, guint expert, guint left)
{
    double share[24] = {0}, hottest = 0.0;
    guint n = 0;
    if (expert < pairs->n_experts) {
        for (guint c = 1; c + (pairs->n_experts - expert - 1) <= left; c++) {
            pairs->count[expert] = c;
            try_counts(pairs, expert + 1, left - c);
        }
        return;
    }
    for (guint e = 0; e < pairs->n_experts; e++)
        for (guint i = 0; i < pairs->count[e]; i++)
            share[n++] = pairs->weight[e] / pairs->count[e];
    qsort(share, pairs->n_slots, sizeof *share, falling);
    for (guint i = 0; i < pairs->n_slots / 2; i++)
        hottest = MAX(hottest, share[i] + share[pairs->n_slots - 1 - i]);
    pairs->best = MIN(pairs->best, hottest);
}

START_TEST(counts_of_pairs_are_judged_together)
{
    EepRng rng;
    double weight[12], sum = 0.0;
    const guint n_experts = 8 + (guint)_i, n_slots = 14;
    eep_rng_init(&rng, (guint64)_i, "pairs");
    for (guint run = 0; run < 60; run++) {
        double bound = -1.0;
        for (guint e = 0; e < n_experts; e++)
            weight[e] = 1.0 / (eep_rng_uniform(&rng) + 0.1);
        const EepEplbProblem p = {.n_layers = 1,
                                  .n_experts = n_experts,
                                  .n_replicas = n_slots,
                                  .n_groups = 1,
                                  .n_nodes = 1,
                                  .n_ranks = n_slots / 2,
                                  .weight = weight};
        Pairs pairs = {
            .weight = weight, .n_experts = n_experts, .n_slots = n_slots, .best = G_MAXDOUBLE};
        try_counts(&pairs, 0, n_slots);
        eep_eplb_lower_bound(&p, &bound);
        ck_assert_double_le(bound, pairs.best * (1.0 + 1e-14));
        sum += pairs.best / bound - 1.0;
    }
    ck_assert_msg(sum / 60 < 0.015, "mean slack %g", sum / 60);
}
END_TEST

START_TEST(layers_are_apart_and_zeros_are_zero)
{
    const double weight[] = {0, 0, 0, 9, 0, 0};
    double bound[2];
    const EepEplbProblem p = {.n_layers = 2,
                              .n_experts = 3,
                              .n_replicas = 6,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 3,
                              .weight = weight};
    eep_eplb_lower_bound(&p, bound);
    ck_assert_double_eq(bound[0], 0.0);
    ck_assert_double_eq_tol(bound[1], 3.0, 1e-9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bound");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, never_above_the_optimum, 0, G_N_ELEMENTS(sizes));
    tcase_add_loop_test(tcase, dead_ranks_do_not_serve, 0, G_N_ELEMENTS(sizes));
    tcase_add_loop_test(tcase, groups_bind_it, 0, G_N_ELEMENTS(group_sizes));
    tcase_add_test(tcase, many_groups_have_a_weaker_bound);
    tcase_add_test(tcase, pairs_are_exact);
    tcase_add_loop_test(tcase, counts_of_pairs_are_judged_together, 0, 4);
    tcase_add_test(tcase, layers_are_apart_and_zeros_are_zero);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
