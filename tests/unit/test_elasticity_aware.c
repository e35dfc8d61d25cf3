/* core/eplb/elasticity_aware.c: dead ranks stay empty, the live ones get what DeepSeek's global
 * form gives to them alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/policy.h"
#include "core/rng.h"

#define MAX_CELLS 4096

/* As many ranks as drawn die, as long as the rest can hold all experts; how many live. */
static guint kill_ranks(EepRng *rng, const EepEplbProblem *p, guint8 *active)
{
    const guint S = p->n_replicas / p->n_ranks, n_tries = (guint)eep_rng_below(rng, p->n_ranks + 1);
    guint live = p->n_ranks;
    memset(active, 1, p->n_ranks);
    for (guint i = 0; i < n_tries; i++) {
        const guint rank = (guint)eep_rng_below(rng, p->n_ranks);
        if (!active[rank] || (live - 1) * S < p->n_experts)
            continue;
        active[rank] = 0;
        live--;
    }
    return live;
}

static EepEplbProblem draw_problem(EepRng *rng, double *weight)
{
    EepEplbProblem p = {.weight = weight};
    do {
        p.n_layers = 1 + (guint)eep_rng_below(rng, 3);
        p.n_groups = 1 + (guint)eep_rng_below(rng, 8);
        p.n_nodes = 1 + (guint)eep_rng_below(rng, 4);
        p.n_ranks = p.n_nodes * (1 + (guint)eep_rng_below(rng, 6));
        p.n_experts = p.n_groups * (1 + (guint)eep_rng_below(rng, 12));
        p.n_replicas = p.n_ranks * (1 + (guint)eep_rng_below(rng, 10));
    } while (p.n_replicas < p.n_experts);
    const guint64 bound = eep_rng_below(rng, 2) ? 4 : 100000;
    for (guint i = 0; i < p.n_layers * p.n_experts; i++)
        weight[i] = (double)eep_rng_below(rng, bound);
    return p;
}

START_TEST(live_slots_are_the_global_form_of_the_live)
{
    static double weight[MAX_CELLS];
    static gint32 map[MAX_CELLS], expected[MAX_CELLS];
    guint8 active[24];
    guint n_with_dead = 0;
    EepRng rng;
    eep_rng_init(&rng, 9, "dead");
    for (guint round = 0; round < 3000; round++) {
        EepEplbProblem p = draw_problem(&rng, weight), q = p;
        const guint live = kill_ranks(&rng, &p, active), S = p.n_replicas / p.n_ranks;
        p.active = active;
        if (live < p.n_ranks) { /* groups that divide over nodes do not matter any more */
            q.n_groups = q.n_nodes = 1;
            q.n_ranks = live;
            q.n_replicas = live * S;
            n_with_dead++;
        }
        ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek, &q, expected, NULL));
        ck_assert(eep_eplb_place(&eep_eplb_policy_elasticity_aware, &p, map, NULL));
        const gint32 *next = expected;
        for (guint slot = 0; slot < p.n_layers * p.n_replicas; slot++)
            ck_assert_int_eq(map[slot], active[slot % p.n_replicas / S] ? *next++ : -1);
        ck_assert_ptr_eq(next, expected + q.n_layers * q.n_replicas);
    }
    ck_assert_uint_gt(n_with_dead, 1000);
}
END_TEST

START_TEST(too_few_live_ranks_are_refused_with_the_least)
{
    const double weight[10] = {1};
    guint8 active[4] = {1, 0, 0, 1};
    gint32 map[16];
    g_autoptr(GError) error = NULL;
    EepEplbProblem p = {.n_layers = 1,
                        .n_experts = 10,
                        .n_replicas = 16,
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = 4,
                        .weight = weight,
                        .active = active};
    ck_assert(!eep_eplb_place(&eep_eplb_policy_elasticity_aware, &p, map, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES));
    ck_assert_str_eq(error->message,
                     "2 active ranks of 4 slots cannot hold 10 experts: at least 3 ranks");
    active[1] = 1;
    ck_assert(eep_eplb_place(&eep_eplb_policy_elasticity_aware, &p, map, NULL));
    for (guint slot = 8; slot < 12; slot++)
        ck_assert_int_eq(map[slot], -1);
}
END_TEST

START_TEST(other_policies_name_it_when_a_rank_is_dead)
{
    const double weight[4] = {1};
    const guint8 active[2] = {1, 0};
    gint32 map[8];
    guint n;
    const EepEplbPolicy *const *list = eep_eplb_policy_list(&n);
    const EepEplbProblem p = {.n_layers = 1,
                              .n_experts = 4,
                              .n_replicas = 8,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 2,
                              .weight = weight,
                              .active = active};
    for (guint i = 0; i < n; i++) {
        g_autoptr(GError) error = NULL;
        const gboolean placed = eep_eplb_place(list[i], &p, map, &error);
        ck_assert_int_eq(placed, list[i]->takes_dead_ranks);
        if (!placed) {
            ck_assert(g_error_matches(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS));
            ck_assert_ptr_nonnull(strstr(error->message, "elasticity_aware"));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("elasticity_aware");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, live_slots_are_the_global_form_of_the_live);
    tcase_add_test(tcase, too_few_live_ranks_are_refused_with_the_least);
    tcase_add_test(tcase, other_policies_name_it_when_a_rank_is_dead);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
