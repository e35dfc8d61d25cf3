/* core/eplb/deepseek_vec.c against a hand-computed case and against a restatement that scans: for
 * every slot the peak of every window after a replica more of every expert. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/policy.h"
#include "core/rng.h"

#define MAX_E 48
#define MAX_R 96
#define MAX_T 24
#define MAX_L 2

/* ---- the restatement ---- */

typedef struct {
    guint T, E, R, first; /* of one node; first: its first expert in the dealt order */
    float load[MAX_T][MAX_E], distinct[MAX_T][MAX_E];
    guint count[MAX_E];
    guint holds[MAX_R];
} Node;

static float score(const Node *n, guint t, guint e)
{
    return n->distinct[t][e] / (float)n->count[e];
}

static guint hottest(const Node *n, guint t)
{
    guint best = 0;
    for (guint e = 1; e < n->E; e++)
        if (score(n, t, e) > score(n, t, best))
            best = e;
    return best;
}

/* The window's peak if e got a replica more. Only the hottest expert's own replica changes it. */
static float peak_with(const Node *n, guint t, guint e)
{
    const guint top = hottest(n, t);
    if (e != top)
        return score(n, t, top);
    float peak = n->load[t][e] / (float)(n->count[e] + 1);
    for (guint other = 0; other < n->E; other++)
        if (other != e && score(n, t, other) > peak)
            peak = score(n, t, other);
    return peak;
}

/* Sixteen at a time; fewer than 256 windows here, so one level of partial sums is all there is. */
static float sum_in_time(const float *values, guint n)
{
    float whole = 0.0F, rest = 0.0F;
    guint i = 0;
    while (n - i >= 16) {
        float part = 0.0F;
        for (guint j = 0; j < 16; j++)
            part += values[i++];
        whole += part;
    }
    while (i < n)
        rest += values[i++];
    return rest + whole;
}

static void scan_replicate(Node *n)
{
    for (guint e = 0; e < n->E; e++) {
        n->holds[e] = e;
        n->count[e] = 1;
    }
    for (guint slot = n->E; slot < n->R; slot++) {
        guint best = 0;
        float least = 0.0F;
        for (guint e = 0; e < n->E; e++) {
            float peaks[MAX_T];
            for (guint t = 0; t < n->T; t++)
                peaks[t] = peak_with(n, t, e);
            const float sum = sum_in_time(peaks, n->T);
            if (e == 0 || sum < least) {
                best = e;
                least = sum;
            }
        }
        n->holds[slot] = best;
        n->count[best]++;
    }
}

/* Positions by falling value; the first of equal ones first. */
static void scan_order(const float *values, guint n, guint *ret_order)
{
    gboolean taken[MAX_R] = {FALSE};
    for (guint turn = 0; turn < n; turn++) {
        guint best = n;
        for (guint i = 0; i < n; i++)
            if (!taken[i] && (best == n || values[i] > values[best]))
                best = i;
        taken[best] = TRUE;
        ret_order[turn] = best;
    }
}

static void scan_groups(const float *group_load, guint G, guint N, guint *ret_place)
{
    guint order[MAX_R], held[MAX_R] = {0};
    float sum[MAX_R] = {0};
    scan_order(group_load, G, order);
    for (guint turn = 0; turn < G; turn++) {
        guint best = N;
        for (guint node = 0; node < N; node++)
            if (held[node] < G / N && (best == N || sum[node] < sum[best]))
                best = node;
        ret_place[order[turn]] = best * (G / N) + held[best]++;
        sum[best] += group_load[order[turn]];
    }
}

static void scan_node(const EepEplbProblem *p, guint layer, guint node, guint N, const guint *dealt,
                      const float *total, gint32 *out)
{
    static Node n;
    const guint width = p->n_ranks / N, S = p->n_replicas / p->n_ranks;
    n.T = p->n_windows;
    n.E = p->n_experts / N;
    n.R = p->n_replicas / N;
    for (guint t = 0; t < n.T; t++)
        for (guint e = 0; e < n.E; e++) {
            const gsize row = ((gsize)t * p->n_layers + layer) * p->n_experts;
            n.load[t][e] = (float)p->windows[row + dealt[node * n.E + e]];
            n.distinct[t][e] = n.load[t][e] + (float)(node * n.E + e) * 1e-4F;
        }
    scan_replicate(&n);
    float slot_load[MAX_R];
    guint order[MAX_R];
    for (guint slot = 0; slot < n.R; slot++) {
        const guint e = n.holds[slot];
        slot_load[slot] = total[dealt[node * n.E + e]] / (float)n.count[e];
        order[slot] = slot;
    }
    if (S > 1)
        scan_order(slot_load, n.R, order);
    for (guint row = 0, i = 0; row < S; row++)
        for (guint column = 0; column < width; column++, i++) {
            const guint rank = row % 2 == 0 ? column : width - 1 - column;
            out[rank * S + row] = (gint32)dealt[node * n.E + n.holds[order[i]]];
        }
}

/* Loads are small enough that sums over windows and groups are exact. */
static void scan_place(const EepEplbProblem *p, gint32 *out)
{
    const gboolean is_split = p->n_groups % p->n_nodes == 0;
    const guint G = is_split ? p->n_groups : 1, N = is_split ? p->n_nodes : 1;
    const guint E = p->n_experts, size = E / G;
    for (guint layer = 0; layer < p->n_layers; layer++, out += p->n_replicas) {
        float total[MAX_E] = {0}, group_load[MAX_E] = {0};
        guint place[MAX_E], dealt[MAX_E];
        for (guint t = 0; t < p->n_windows; t++)
            for (guint e = 0; e < E; e++)
                total[e] += (float)p->windows[((gsize)t * p->n_layers + layer) * E + e];
        for (guint e = 0; e < E; e++)
            group_load[e / size] += total[e];
        scan_groups(group_load, G, N, place);
        for (guint e = 0; e < E; e++)
            dealt[place[e / size] * size + e % size] = e;
        for (guint node = 0; node < N; node++)
            scan_node(p, layer, node, N, dealt, total, out + node * (p->n_replicas / N));
    }
}

/* ---- tests ---- */

START_TEST(slots_go_where_they_lower_the_sum_of_peaks_most)
{
    /* Two windows, loads 10 0 9 and 0 12 9. As sums (10 12 18) expert 2 is the hottest, but it is
     * no window's peak. A replica of 0 lowers 10 to 9, one of 1 lowers 12 to 9: 1 it is. Totals per
     * replica 10 6 18 6, all on one rank: 2 0 1 1. */
    const double windows[] = {10, 0, 9, 0, 12, 9}, weight[] = {10, 12, 18};
    const gint32 expected[] = {2, 0, 1, 1};
    const EepEplbProblem problem = {.n_layers = 1,
                                    .n_experts = 3,
                                    .n_replicas = 4,
                                    .n_groups = 1,
                                    .n_nodes = 1,
                                    .n_ranks = 1,
                                    .weight = weight,
                                    .n_windows = 2,
                                    .windows = windows};
    gint32 map[4];
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek_vec, &problem, map, NULL));
    for (guint i = 0; i < 4; i++)
        ck_assert_int_eq(map[i], expected[i]);
}
END_TEST

START_TEST(without_windows_the_sum_is_the_only_one)
{
    /* 8 7 6 5 4 3 2 1 on two ranks, in snake order: 8 | 7, then 5 | 6, 4 | 3, 1 | 2. */
    const double weight[] = {8, 7, 6, 5, 4, 3, 2, 1};
    const gint32 expected[] = {0, 3, 4, 7, 1, 2, 5, 6};
    EepEplbProblem problem = {.n_layers = 1,
                              .n_experts = 8,
                              .n_replicas = 8,
                              .n_groups = 1,
                              .n_nodes = 1,
                              .n_ranks = 2,
                              .weight = weight};
    gint32 map[8];
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek_vec, &problem, map, NULL));
    ck_assert_int_eq(memcmp(map, expected, sizeof expected), 0);
    problem.n_windows = 1;
    problem.windows = weight;
    ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek_vec, &problem, map, NULL));
    ck_assert_int_eq(memcmp(map, expected, sizeof expected), 0);
}
END_TEST

static double draw_load(EepRng *rng, guint kind)
{
    switch (kind) {
    case 0:
        return (double)eep_rng_below(rng, 3);
    case 1:
        return eep_rng_below(rng, 4) == 0 ? (double)eep_rng_below(rng, 1000) : 0.0;
    case 2:
        return 7.0;
    case 3:
        return 0.0;
    case 4:
        return (double)(1 + eep_rng_below(rng, 4)) / 8.0;
    default:
        return (double)eep_rng_below(rng, 10000);
    }
}

START_TEST(heaps_find_what_scans_find)
{
    static double windows[MAX_T * MAX_L * MAX_E];
    gint32 slow[MAX_L * MAX_R], fast[MAX_L * MAX_R];
    guint n_split = 0;
    EepRng rng;
    eep_rng_init(&rng, 5, "vec");
    for (guint round = 0; round < 4000; round++) {
        EepEplbProblem p = {.weight = windows, .windows = windows};
        do {
            p.n_layers = 1 + (guint)eep_rng_below(&rng, MAX_L);
            p.n_groups = 1 + (guint)eep_rng_below(&rng, 6);
            p.n_nodes = 1 + (guint)eep_rng_below(&rng, 4);
            p.n_ranks = p.n_nodes * (1 + (guint)eep_rng_below(&rng, 5));
            p.n_experts = p.n_groups * (1 + (guint)eep_rng_below(&rng, 8));
            p.n_replicas = p.n_ranks * (1 + (guint)eep_rng_below(&rng, 8));
        } while (p.n_replicas < p.n_experts || p.n_replicas > MAX_R);
        p.n_windows = 1 + (guint)eep_rng_below(&rng, MAX_T);
        const guint kind = (guint)eep_rng_below(&rng, 6);
        for (guint i = 0; i < p.n_windows * p.n_layers * p.n_experts; i++)
            windows[i] = draw_load(&rng, kind);
        n_split += p.n_groups % p.n_nodes == 0 && p.n_nodes > 1;
        scan_place(&p, slow);
        ck_assert(eep_eplb_place(&eep_eplb_policy_deepseek_vec, &p, fast, NULL));
        ck_assert_msg(memcmp(slow, fast, p.n_layers * p.n_replicas * sizeof(gint32)) == 0,
                      "round %u: E %u R %u G %u N %u D %u T %u kind %u", round, p.n_experts,
                      p.n_replicas, p.n_groups, p.n_nodes, p.n_ranks, p.n_windows, kind);
    }
    ck_assert_uint_gt(n_split, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deepseek_vec");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, slots_go_where_they_lower_the_sum_of_peaks_most);
    tcase_add_test(tcase, without_windows_the_sum_is_the_only_one);
    tcase_add_test(tcase, heaps_find_what_scans_find);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
