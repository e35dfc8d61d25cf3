/* core/eplb/policy.c (registry, what is refused) and what sets the policies naive and vllm apart.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/policy.h"

static double ones[64];

static EepEplbProblem problem_of(guint experts, guint replicas, guint groups, guint nodes,
                                 guint ranks)
{
    for (guint i = 0; i < 64; i++)
        ones[i] = 1.0;
    return (EepEplbProblem){.n_layers = 1,
                            .n_experts = experts,
                            .n_replicas = replicas,
                            .n_groups = groups,
                            .n_nodes = nodes,
                            .n_ranks = ranks,
                            .weight = ones};
}

static void assert_refused(const EepEplbPolicy *policy, EepEplbProblem problem, int code,
                           const char *text)
{
    gint32 phy2log[64];
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_eplb_place(policy, &problem, phy2log, &error));
    ck_assert(g_error_matches(error, EEP_EPLB_ERROR, code));
    ck_assert_msg(strstr(error->message, text) != NULL, "\"%s\" lacks \"%s\"", error->message,
                  text);
}

START_TEST(find_knows_names_and_the_alias)
{
    ck_assert_ptr_eq(eep_eplb_policy_find("naive", NULL), &eep_eplb_policy_naive);
    ck_assert_ptr_eq(eep_eplb_policy_find("deepseek", NULL), &eep_eplb_policy_deepseek);
    ck_assert_ptr_eq(eep_eplb_policy_find("vllm", NULL), &eep_eplb_policy_vllm);
    ck_assert_ptr_eq(eep_eplb_policy_find("default", NULL), &eep_eplb_policy_vllm);
    ck_assert_ptr_eq(eep_eplb_policy_find("deepseek_vec", NULL), &eep_eplb_policy_deepseek_vec);
    ck_assert_ptr_eq(eep_eplb_policy_find("elasticity_aware", NULL),
                     &eep_eplb_policy_elasticity_aware);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_eplb_policy_find("Naive", &error));
    ck_assert(
        g_str_has_prefix(error->message, "no EPLB policy is called \"Naive\": known are vllm, "));
    guint n = 0;
    const EepEplbPolicy *const *list = eep_eplb_policy_list(&n);
    for (guint i = 0; i < n; i++)
        ck_assert_ptr_nonnull(strstr(error->message, list[i]->name));
}
END_TEST

START_TEST(list_holds_each_policy_once)
{
    guint n = 0;
    const EepEplbPolicy *const *list = eep_eplb_policy_list(&n);
    ck_assert_uint_ge(n, 5);
    for (guint i = 0; i < n; i++) {
        ck_assert_ptr_eq(eep_eplb_policy_find(list[i]->name, NULL), list[i]);
        ck_assert_ptr_null(strchr(list[i]->help, '\n'));
    }
}
END_TEST

START_TEST(every_policy_refuses_sizes_that_cannot_be)
{
    guint n = 0;
    const EepEplbPolicy *const *list = eep_eplb_policy_list(&n);
    for (guint i = 0; i < n; i++) {
        assert_refused(list[i], problem_of(16, 12, 1, 1, 4), EEP_EPLB_ERROR_SIZES,
                       "12 slots cannot hold 16 experts");
        assert_refused(list[i], problem_of(16, 18, 1, 1, 4), EEP_EPLB_ERROR_SIZES,
                       "18 slots do not divide evenly over 4 ranks");
        assert_refused(list[i], problem_of(16, 16, 1, 1, 0), EEP_EPLB_ERROR_SIZES, "ranks (0)");
        assert_refused(list[i], problem_of(16, 16, 0, 1, 4), EEP_EPLB_ERROR_SIZES, "groups (0)");
        assert_refused(list[i], problem_of(16, 16, 1, 0, 4), EEP_EPLB_ERROR_SIZES, "nodes (0)");
    }
}
END_TEST

START_TEST(hierarchy_refuses_what_does_not_divide)
{
    assert_refused(&eep_eplb_policy_deepseek, problem_of(15, 16, 4, 2, 4), EEP_EPLB_ERROR_SIZES,
                   "15 experts do not divide evenly into 4 groups");
    assert_refused(&eep_eplb_policy_deepseek, problem_of(16, 20, 4, 2, 5), EEP_EPLB_ERROR_SIZES,
                   "5 ranks do not divide evenly over 2 nodes");
    assert_refused(&eep_eplb_policy_deepseek_vec, problem_of(15, 16, 4, 2, 4), EEP_EPLB_ERROR_SIZES,
                   "15 experts do not divide evenly into 4 groups");
    assert_refused(&eep_eplb_policy_deepseek_vec, problem_of(16, 20, 4, 2, 5), EEP_EPLB_ERROR_SIZES,
                   "5 ranks do not divide evenly over 2 nodes");
    assert_refused(&eep_eplb_policy_elasticity_aware, problem_of(16, 20, 4, 2, 5),
                   EEP_EPLB_ERROR_SIZES, "5 ranks do not divide evenly over 2 nodes");
}
END_TEST

/* vLLM counts one node when the ranks do not divide over the nodes. */
START_TEST(vllm_takes_uneven_nodes_for_one)
{
    gint32 uneven[20], one[20];
    EepEplbProblem problem = problem_of(16, 20, 4, 2, 5);
    ck_assert(eep_eplb_place(&eep_eplb_policy_vllm, &problem, uneven, NULL));
    problem.n_nodes = 1;
    ck_assert(eep_eplb_place(&eep_eplb_policy_vllm, &problem, one, NULL));
    ck_assert_mem_eq(uneven, one, sizeof one);
}
END_TEST

START_TEST(global_form_ignores_groups_and_nodes)
{
    /* 3 groups on 2 nodes: global, so neither 16 / 3 nor 5 / 2 matters. */
    gint32 phy2log[20];
    EepEplbProblem problem = problem_of(16, 20, 3, 2, 5);
    ck_assert(eep_eplb_policy_deepseek.place(&problem, phy2log, NULL));
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    ck_assert(eep_eplb_policy_deepseek_vec.place(&problem, phy2log, NULL));
}
END_TEST

START_TEST(loads_must_be_finite_and_not_negative)
{
    const double bad[] = {-1.0, NAN, INFINITY, 1e39};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        EepEplbProblem problem = problem_of(8, 8, 1, 1, 4);
        ones[5] = bad[i];
        assert_refused(&eep_eplb_policy_vllm, problem, EEP_EPLB_ERROR_LOAD, "layer 0, expert 5");
    }
}
END_TEST

START_TEST(naive_repeats_from_the_first_expert)
{
    gint32 phy2log[8];
    EepEplbProblem problem = problem_of(6, 8, 1, 1, 4);
    const gint32 expected[] = {0, 1, 2, 3, 4, 5, 0, 1};
    ck_assert(eep_eplb_policy_naive.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, expected, sizeof expected), 0);
}
END_TEST

/* Loads 8 7 6 5 4 3 2 1 on two ranks: 0 3 4 7 | 1 2 5 6 in that order (8 | 7, 7+6 | 8+5, 13+4 |
 * 13+3, 17 | 16+2). */
static EepEplbProblem descending_problem(double *weight)
{
    for (guint i = 0; i < 8; i++)
        weight[i] = 8 - (double)i;
    EepEplbProblem problem = problem_of(8, 8, 1, 1, 2);
    problem.weight = weight;
    return problem;
}

START_TEST(vllm_without_an_old_map_is_the_plain_algorithm)
{
    double weight[8];
    gint32 phy2log[8];
    EepEplbProblem problem = descending_problem(weight);
    const gint32 expected[] = {0, 3, 4, 7, 1, 2, 5, 6};
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, expected, sizeof expected), 0);
}
END_TEST

START_TEST(vllm_keeps_slots_within_a_rank)
{
    /* Rank 0 keeps 3 and 0 where they were; 4 and 7 fill the holes in index order. Rank 1 held none
     * of its experts but 6, which stays in its last slot, and had an empty slot. */
    double weight[8];
    gint32 phy2log[8];
    EepEplbProblem problem = descending_problem(weight);
    const gint32 old[] = {1, 3, 2, 0, 4, -1, 7, 6};
    const gint32 expected[] = {4, 3, 7, 0, 1, 2, 5, 6};
    problem.old_phy2log = old;
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, expected, sizeof expected), 0);
    ck_assert(eep_eplb_policy_deepseek.place(&problem, phy2log, NULL));
    ck_assert_int_eq(phy2log[0], 0);
}
END_TEST

START_TEST(vllm_keeps_as_many_duplicates_as_there_are)
{
    /* One rank, loads 9 1: experts 0 0 0 1 in falling load 3 3 3 1. The old map had expert 0 in
     * slots 1 and 3 and expert 1 in slot 0: all stay, the third replica of 0 fills slot 2. */
    const double weight[] = {9, 1};
    const gint32 old[] = {1, 0, 1, 0}, expected[] = {1, 0, 0, 0};
    gint32 phy2log[4];
    EepEplbProblem problem = problem_of(2, 4, 1, 1, 1);
    problem.weight = weight;
    problem.old_phy2log = old;
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, expected, sizeof expected), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eplb_policy");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, find_knows_names_and_the_alias);
    tcase_add_test(tcase, list_holds_each_policy_once);
    tcase_add_test(tcase, every_policy_refuses_sizes_that_cannot_be);
    tcase_add_test(tcase, hierarchy_refuses_what_does_not_divide);
    tcase_add_test(tcase, vllm_takes_uneven_nodes_for_one);
    tcase_add_test(tcase, global_form_ignores_groups_and_nodes);
    tcase_add_test(tcase, loads_must_be_finite_and_not_negative);
    tcase_add_test(tcase, naive_repeats_from_the_first_expert);
    tcase_add_test(tcase, vllm_without_an_old_map_is_the_plain_algorithm);
    tcase_add_test(tcase, vllm_keeps_slots_within_a_rank);
    tcase_add_test(tcase, vllm_keeps_as_many_duplicates_as_there_are);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
