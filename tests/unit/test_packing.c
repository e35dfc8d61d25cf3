/* core/eplb/packing.c and the policies built on it, against hand-computed cases and against a
 * literal restatement of the published steps that scans instead of keeping heaps, on thousands of
 * small problems full of ties. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/packing.h"

#define MAX_ITEMS 64

static guint64 random_state;

static guint64 random_next(void) /* splitmix64 */
{
    guint64 z = (random_state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static guint random_below(guint bound)
{
    return (guint)(random_next() % bound);
}

/* ---- the literal restatement ---- */

static double sum_float(double a, double b)
{
    float sum = (float)a;
    sum += (float)b;
    return sum;
}

static double add(gboolean single, double a, double b)
{
    return single ? sum_float(a, b) : a + b;
}

static double divide(gboolean single, double a, gint32 n)
{
    float quotient = (float)a / (float)n;
    return single ? quotient : a / n;
}

static void scan_pack(gboolean single, const double *w, guint n, guint m, guint *pack, guint *rank)
{
    const guint k = n / m;
    double sum[MAX_ITEMS] = {0};
    guint held[MAX_ITEMS] = {0};
    gboolean done[MAX_ITEMS] = {FALSE};
    for (guint turn = 0; turn < n; turn++) {
        guint item = n, best = m;
        if (k == 1) {
            pack[turn] = turn;
            rank[turn] = 0;
            continue;
        }
        for (guint i = 0; i < n; i++)
            if (!done[i] && (item == n || w[i] > w[item]))
                item = i;
        for (guint j = 0; j < m; j++)
            if (held[j] < k && (best == m || sum[j] < sum[best]))
                best = j;
        done[item] = TRUE;
        pack[item] = best;
        rank[item] = held[best]++;
        sum[best] = add(single, sum[best], w[item]);
    }
}

static void scan_replicate(gboolean single, const double *w, guint n, guint slots, gint32 *phy2log,
                           gint32 *count)
{
    for (guint i = 0; i < n; i++) {
        phy2log[i] = (gint32)i;
        count[i] = 1;
    }
    for (guint slot = n; slot < slots; slot++) {
        guint best = 0;
        for (guint i = 1; i < n; i++)
            if (divide(single, w[i], count[i]) > divide(single, w[best], count[best]))
                best = i;
        phy2log[slot] = (gint32)best;
        count[best]++;
    }
}

/* torch adds lane by lane of vectors of eight (single numbers below that), four vectors side by
 * side and those left over to the first of the four. Up to 511 numbers. */
static float torch_sum(const double *w, guint n)
{
    const guint width = n < 8 ? 1 : 8, vectors = n / width;
    float sum = 0.0F;
    for (guint i = vectors * width; i < n; i++)
        sum += (float)w[i];
    for (guint lane = 0; lane < width; lane++) {
        float row[4] = {0};
        for (guint v = 0; v < vectors; v++)
            row[v < vectors / 4 * 4 ? v % 4 : 0] += (float)w[v * width + lane];
        sum += row[0] + row[1] + row[2] + row[3];
    }
    return sum;
}

/* numpy adds every eighth number, then the eight sums in pairs, then what is left over. Up to 128
 * numbers. */
static float numpy_sum(const double *w, guint n)
{
    const guint whole = n < 8 ? 0 : n / 8 * 8;
    float part[8] = {0};
    for (guint i = 0; i < whole; i++)
        part[i % 8] += (float)w[i];
    for (guint step = 1; step < 8; step *= 2)
        for (guint i = 0; i < 8; i += 2 * step)
            part[i] += part[i + step];
    for (guint i = whole; i < n; i++)
        part[0] += (float)w[i];
    return part[0];
}

static void scan_place(gboolean single, const EepEplbProblem *p, gint32 *phy2log)
{
    const gboolean hierarchical = p->n_groups % p->n_nodes == 0;
    const guint G = hierarchical ? p->n_groups : 1, N = hierarchical ? p->n_nodes : 1;
    const guint E = p->n_experts, R = p->n_replicas, size = E / G, en = E / N, rn = R / N;
    const guint per_gpu = R / p->n_ranks;
    for (guint layer = 0; layer < p->n_layers; layer++) {
        double w[MAX_ITEMS], group_load[MAX_ITEMS], node_load[MAX_ITEMS], slot_load[MAX_ITEMS];
        guint node[MAX_ITEMS], place[MAX_ITEMS], pack[MAX_ITEMS], rank[MAX_ITEMS];
        gint32 mlog2log[MAX_ITEMS], phy2mlog[MAX_ITEMS], count[MAX_ITEMS];
        for (guint e = 0; e < E; e++)
            w[e] = (double)(float)p->weight[layer * E + e];
        for (guint g = 0; g < G; g++)
            group_load[g] = single ? torch_sum(w + g * size, size) : numpy_sum(w + g * size, size);
        scan_pack(single, group_load, G, N, node, place);
        for (guint e = 0; e < E; e++)
            mlog2log[(node[e / size] * (G / N) + place[e / size]) * size + e % size] = (gint32)e;
        for (guint n = 0; n < N; n++) {
            for (guint i = 0; i < en; i++)
                node_load[i] = w[mlog2log[n * en + i]];
            scan_replicate(single, node_load, en, rn, phy2mlog, count);
            for (guint i = 0; i < rn; i++)
                slot_load[i] = divide(single, node_load[phy2mlog[i]], count[phy2mlog[i]]);
            scan_pack(single, slot_load, rn, p->n_ranks / N, pack, rank);
            for (guint i = 0; i < rn; i++)
                phy2log[layer * R + n * rn + pack[i] * per_gpu + rank[i]] =
                    mlog2log[n * en + phy2mlog[i]];
        }
    }
}

/* ---- tests ---- */

START_TEST(pack_fills_the_lightest_pack_that_is_not_full)
{
    /* 9 8 7 3 2 1 into 2 packs of 3: 9 -> 0, 8 -> 1, 7 -> 1 (8 < 9), 3 -> 0, 2 -> 0 (12 < 15, now
     * full), 1 -> 1. */
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(6, EEP_EPLB_FLOAT64);
    const double weight[] = {7, 1, 9, 2, 8, 3};
    const gint32 expected[] = {4, 5, 0, 2, 3, 1};
    gint32 position[6];
    eep_eplb_packer_pack(packer, weight, 6, 2, position);
    for (guint i = 0; i < 6; i++)
        ck_assert_int_eq(position[i], expected[i]);
}
END_TEST

START_TEST(pack_of_one_each_sorts_nothing)
{
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(3, EEP_EPLB_FLOAT64);
    const double weight[] = {1, 5, 3};
    gint32 position[3];
    eep_eplb_packer_pack(packer, weight, 3, 3, position);
    for (gint32 i = 0; i < 3; i++)
        ck_assert_int_eq(position[i], i);
}
END_TEST

START_TEST(pack_into_one_sorts_by_falling_weight)
{
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(4, EEP_EPLB_FLOAT32);
    const double weight[] = {1, 5, 3, 5};
    const gint32 expected[] = {3, 0, 2, 1}; /* the first of the equal ones stays first */
    gint32 position[4];
    eep_eplb_packer_pack(packer, weight, 4, 1, position);
    for (guint i = 0; i < 4; i++)
        ck_assert_int_eq(position[i], expected[i]);
}
END_TEST

START_TEST(replicate_serves_the_hottest_then_the_first)
{
    /* 12 6 4: expert 0 (12), then 0 and 1 tie at 6 -> 0 (now 4), then 1 (6), then all tie: 0 at 4
     * before 2 at 4. */
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(7, EEP_EPLB_FLOAT64);
    const double weight[] = {12, 6, 4};
    const gint32 expected[] = {0, 1, 2, 0, 0, 1, 0};
    gint32 phy2log[7], count[3];
    eep_eplb_packer_replicate(packer, weight, 3, 7, phy2log, count);
    for (guint i = 0; i < 7; i++)
        ck_assert_int_eq(phy2log[i], expected[i]);
    ck_assert_int_eq(count[0], 4);
    ck_assert_int_eq(count[1], 2);
    ck_assert_int_eq(count[2], 1);
}
END_TEST

START_TEST(replicate_without_load_repeats_the_first_expert)
{
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(6, EEP_EPLB_FLOAT32);
    const double weight[] = {0, 0, 0};
    gint32 phy2log[6], count[3];
    eep_eplb_packer_replicate(packer, weight, 3, 6, phy2log, count);
    ck_assert_int_eq(count[0], 4);
    ck_assert_int_eq(phy2log[5], 0);
}
END_TEST

START_TEST(readme_example_of_the_published_algorithm)
{
    const double weight[] = {90, 132, 40,  61, 104, 165, 39,  4,   73,  56, 183, 86,
                             20, 107, 104, 64, 19,  197, 187, 157, 172, 86, 16,  27};
    const gint32 expected[] = {5, 6,  5, 7, 8, 4,  3, 4, 10, 9, 10, 2, 0, 1, 11, 1,
                               7, 10, 6, 8, 6, 11, 8, 9, 2,  4, 5,  1, 5, 0, 3,  1};
    const EepEplbProblem problem = {.n_layers = 2,
                                    .n_experts = 12,
                                    .n_replicas = 16,
                                    .n_groups = 4,
                                    .n_nodes = 2,
                                    .n_ranks = 8,
                                    .weight = weight};
    gint32 phy2log[32];
    ck_assert(eep_eplb_policy_deepseek.place(&problem, phy2log, NULL));
    for (guint i = 0; i < 32; i++)
        ck_assert_int_eq(phy2log[i], expected[i]);
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    for (guint i = 0; i < 32; i++)
        ck_assert_int_eq(phy2log[i], expected[i]);
}
END_TEST

/* Small loads full of ties, and such that no sum of them is exact. */
static void draw_weights(double *weight, guint n)
{
    const guint kind = random_below(9);
    for (guint i = 0; i < n; i++) {
        switch (kind) {
        case 0:
            weight[i] = random_below(3);
            break;
        case 1:
            weight[i] = random_below(2) * random_below(10);
            break;
        case 2:
            weight[i] = 7;
            break;
        case 3:
            weight[i] = random_below(200000);
            break;
        case 4:
            weight[i] = i == n / 2 ? 1000 : 0;
            break;
        case 5:
            weight[i] = (double)(random_next() >> 11);
            break;
        case 6:
            weight[i] = (1 << 25) + random_below(4);
            break;
        case 7:
            weight[i] = (double)random_below(1000) / 7.0;
            break;
        default:
            weight[i] = 60 / (1 + random_below(60));
            break;
        }
    }
}

static void draw_problem(EepEplbProblem *problem, double *weight)
{
    do {
        problem->n_layers = 1 + random_below(2);
        problem->n_groups = 1 + random_below(6);
        problem->n_nodes = 1 + random_below(4);
        problem->n_ranks = problem->n_nodes * (1 + random_below(5));
        problem->n_experts = problem->n_groups * (1 + random_below(40));
        problem->n_replicas = problem->n_ranks * (1 + random_below(16));
    } while (problem->n_replicas < problem->n_experts || problem->n_replicas > MAX_ITEMS);
    draw_weights(weight, problem->n_layers * problem->n_experts);
    problem->weight = weight;
}

START_TEST(heaps_find_what_scans_find)
{
    random_state = 20240611;
    for (guint round = 0; round < 20000; round++) {
        double weight[2 * MAX_ITEMS];
        gint32 slow[2 * MAX_ITEMS], fast[2 * MAX_ITEMS];
        EepEplbProblem problem = {0};
        draw_problem(&problem, weight);
        const gsize size = problem.n_layers * problem.n_replicas * sizeof(gint32);

        scan_place(TRUE, &problem, slow);
        ck_assert(eep_eplb_policy_deepseek.place(&problem, fast, NULL));
        ck_assert_msg(memcmp(slow, fast, size) == 0, "float32, round %u", round);
        scan_place(FALSE, &problem, slow);
        ck_assert(eep_eplb_policy_vllm.place(&problem, fast, NULL));
        ck_assert_msg(memcmp(slow, fast, size) == 0, "float64, round %u", round);
    }
}
END_TEST

/* The two precisions must at times disagree with each other: else one of them is not what it says.
 */
START_TEST(precision_matters_for_large_loads)
{
    random_state = 7;
    guint differ = 0;
    for (guint round = 0; round < 3000; round++) {
        double weight[MAX_ITEMS];
        gint32 slow[MAX_ITEMS], single[MAX_ITEMS], both[MAX_ITEMS];
        EepEplbProblem problem = {.n_layers = 1,
                                  .n_experts = 32,
                                  .n_replicas = 48,
                                  .n_groups = 1,
                                  .n_nodes = 3,
                                  .n_ranks = 6,
                                  .weight = weight};
        for (guint i = 0; i < 32; i++)
            weight[i] = (double)(30000000 + random_below(64)) + random_below(1000) / 1000.0;
        scan_place(TRUE, &problem, slow);
        ck_assert(eep_eplb_policy_deepseek.place(&problem, single, NULL));
        ck_assert_int_eq(memcmp(slow, single, sizeof(gint32) * 48), 0);
        scan_place(FALSE, &problem, slow);
        ck_assert(eep_eplb_policy_vllm.place(&problem, both, NULL));
        ck_assert_int_eq(memcmp(slow, both, sizeof(gint32) * 48), 0);
        differ += memcmp(single, both, sizeof(gint32) * 48) != 0;
    }
    ck_assert_uint_gt(differ, 0);
}
END_TEST

START_TEST(loads_are_rounded_to_float32_first)
{
    /* 16777217 is not a float32: it becomes 16777216 and ties with it, so the order stays that of
     * the indices. */
    const double weight[] = {16777216, 16777217};
    const EepEplbProblem problem = {.n_layers = 1,
                                    .n_experts = 2,
                                    .n_replicas = 2,
                                    .n_groups = 1,
                                    .n_nodes = 1,
                                    .n_ranks = 1,
                                    .weight = weight};
    gint32 phy2log[2];
    ck_assert(eep_eplb_policy_vllm.place(&problem, phy2log, NULL));
    ck_assert_int_eq(phy2log[0], 0);
    ck_assert_int_eq(phy2log[1], 1);
}
END_TEST

START_TEST(one_group_a_node_stays_in_its_order)
{
    /* One pack an item sorts nothing: the lighter group stays on the first node. */
    const double weight[] = {1, 2, 30, 40};
    const gint32 expected[] = {1, 0, 3, 2};
    const EepEplbProblem problem = {.n_layers = 1,
                                    .n_experts = 4,
                                    .n_replicas = 4,
                                    .n_groups = 2,
                                    .n_nodes = 2,
                                    .n_ranks = 2,
                                    .weight = weight};
    gint32 phy2log[4];
    ck_assert(eep_eplb_policy_deepseek.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, expected, sizeof expected), 0);
    /* deepseek_vec deals groups by load whatever their number: the heavier one comes first. */
    const gint32 by_load[] = {3, 2, 1, 0};
    ck_assert(eep_eplb_policy_deepseek_vec.place(&problem, phy2log, NULL));
    ck_assert_int_eq(memcmp(phy2log, by_load, sizeof by_load), 0);
}
END_TEST

START_TEST(huge_loads_are_placed)
{
    /* Sums overflow float32; every expert must still get its slots. */
    double weight[24];
    for (guint i = 0; i < 24; i++)
        weight[i] = i % 5 ? G_MAXFLOAT : 4.9e-324;
    const EepEplbProblem problem = {.n_layers = 1,
                                    .n_experts = 24,
                                    .n_replicas = 32,
                                    .n_groups = 4,
                                    .n_nodes = 2,
                                    .n_ranks = 8,
                                    .weight = weight};
    gint32 phy2log[32];
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek, &problem, phy2log, NULL));
    ck_assert(eep_eplb_place(&eep_eplb_policy_vllm, &problem, phy2log, NULL));
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek_vec, &problem, phy2log, NULL));
}
END_TEST

START_TEST(long_rows_sort_stably)
{
    enum { N = 1000 };
    static double weight[N];
    static gint32 position[N], order[N];
    random_state = 3;
    for (guint i = 0; i < N; i++)
        weight[i] = random_below(20);
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(N, EEP_EPLB_FLOAT32);
    eep_eplb_packer_pack(packer, weight, N, 1, position);
    for (gint32 i = 0; i < N; i++)
        order[position[i]] = i;
    for (guint i = 1; i < N; i++) {
        const double before = weight[order[i - 1]], here = weight[order[i]];
        ck_assert(before > here || (before == here && order[i - 1] < order[i]));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packing");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, pack_fills_the_lightest_pack_that_is_not_full);
    tcase_add_test(tcase, pack_of_one_each_sorts_nothing);
    tcase_add_test(tcase, pack_into_one_sorts_by_falling_weight);
    tcase_add_test(tcase, replicate_serves_the_hottest_then_the_first);
    tcase_add_test(tcase, replicate_without_load_repeats_the_first_expert);
    tcase_add_test(tcase, readme_example_of_the_published_algorithm);
    tcase_add_test(tcase, heaps_find_what_scans_find);
    tcase_add_test(tcase, precision_matters_for_large_loads);
    tcase_add_test(tcase, loads_are_rounded_to_float32_first);
    tcase_add_test(tcase, one_group_a_node_stays_in_its_order);
    tcase_add_test(tcase, huge_loads_are_placed);
    tcase_add_test(tcase, long_rows_sort_stably);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
