/* Policy "eep" against "deepseek", planned and scored on the same load without a present map: the
 * reference vectors, the largest of them in other shapes, recorded loads, drawn problems. Prints a
 * line each; exits 1 when a layer is hotter than DeepSeek's or below its bound, or when on any
 * line, over the layers whose gap (hottest / bound - 1) exceeds 0.5 % with DeepSeek's, eep's mean
 * gap is more than half of it; over the vectors more than a tenth, over all more than a fifth. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/eplb/bound.h"
#include "core/eplb/score.h"
#include "tests/eplb/eep_data.h"

#define WIDE_GAP 0.005
#define N_DRAWN  3000

typedef struct {
    guint n, n_wide;
    double deepseek, eep;           /* sums of gaps, all layers */
    double wide_deepseek, wide_eep; /* of those that are wide with DeepSeek's */
    double ms, bound_ms;
    guint n_hotter, n_below_bound;
} Gaps;

static void add_layer(Gaps *gaps, double deepseek, double eep, double bound)
{
    gaps->n++;
    gaps->n_hotter += eep > deepseek * (1.0 + 1e-12);
    gaps->n_below_bound += eep < bound;
    if (bound <= 0.0)
        return;
    gaps->deepseek += deepseek / bound - 1.0;
    gaps->eep += eep / bound - 1.0;
    if (deepseek / bound - 1.0 <= WIDE_GAP)
        return;
    gaps->n_wide++;
    gaps->wide_deepseek += deepseek / bound - 1.0;
    gaps->wide_eep += eep / bound - 1.0;
}

static double now_ms(void)
{
    return (double)g_get_monotonic_time() / 1e3;
}

static Gaps compare(const EepEplbProblem *p)
{
    Gaps gaps = {0};
    EepEplbScore score;
    g_autofree gint32 *map = g_new(gint32, (gsize)p->n_layers * p->n_replicas);
    g_autofree double *deepseek = g_new(double, p->n_layers), *eep = g_new(double, p->n_layers);
    g_autofree double *bound = g_new(double, p->n_layers);
    if (!eep_eplb_place(&eep_eplb_policy_deepseek, p, map, NULL))
        return gaps;
    eep_eplb_score(p, p->weight, map, deepseek, &score);
    const double start = now_ms();
    if (!eep_eplb_place(&eep_eplb_policy_eep, p, map, NULL))
        g_error("eep refuses");
    const double placed = now_ms();
    eep_eplb_score(p, p->weight, map, eep, &score);
    const double scored = now_ms();
    eep_eplb_lower_bound(p, bound);
    gaps.bound_ms = now_ms() - scored;
    gaps.ms = placed - start;
    for (guint layer = 0; layer < p->n_layers; layer++)
        add_layer(&gaps, deepseek[layer], eep[layer], bound[layer]);
    return gaps;
}

static void add(Gaps *all, const Gaps *one)
{
    all->n += one->n;
    all->n_wide += one->n_wide;
    all->deepseek += one->deepseek;
    all->eep += one->eep;
    all->wide_deepseek += one->wide_deepseek;
    all->wide_eep += one->wide_eep;
    all->ms += one->ms;
    all->bound_ms += one->bound_ms;
    all->n_hotter += one->n_hotter;
    all->n_below_bound += one->n_below_bound;
}

static void print(const char *name, const Gaps *gaps)
{
    printf("%-44s %5u %8.3f %7.3f | %5u %8.3f %7.3f %6.2f | %8.1f %8.1f\n", name, gaps->n,
           100.0 * gaps->deepseek / MAX(gaps->n, 1), 100.0 * gaps->eep / MAX(gaps->n, 1),
           gaps->n_wide, 100.0 * gaps->wide_deepseek / MAX(gaps->n_wide, 1),
           100.0 * gaps->wide_eep / MAX(gaps->n_wide, 1),
           gaps->n_wide ? gaps->wide_eep / gaps->wide_deepseek : 0.0, gaps->ms, gaps->bound_ms);
}

/* Lines on which the gap is not halved. */
static guint n_missed;

static Gaps report(const char *name, const EepEplbProblem *p)
{
    g_autofree char *title = g_strdup_printf("%s %u to %u, G%u N%u D%u", name, p->n_experts,
                                             p->n_replicas, p->n_groups, p->n_nodes, p->n_ranks);
    const Gaps gaps = compare(p);
    print(title, &gaps);
    n_missed += gaps.wide_eep > 0.5 * gaps.wide_deepseek;
    return gaps;
}

static Gaps compare_vectors(const GPtrArray *names)
{
    Gaps all = {0};
    for (guint i = 0; i < names->len; i++) {
        double *weight = NULL;
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *title = g_strndup(name, 2);
        const EepEplbProblem p = data_vector(name, &weight);
        const Gaps gaps = report(title, &p);
        add(&all, &gaps);
        g_free(weight);
    }
    print("all vectors", &all);
    return all;
}

/* The loads of DeepSeek-V3's size on other machines. */
static Gaps compare_shapes(void)
{
    static const guint shapes[][4] = {/* R, G, N, D */
                                      {288, 8, 2, 32}, {288, 8, 8, 32},  {320, 8, 4, 32},
                                      {288, 1, 1, 32}, {288, 1, 1, 48},  {288, 1, 1, 72},
                                      {288, 1, 1, 96}, {288, 1, 1, 144}, {320, 1, 1, 160}};
    Gaps all = {0};
    double *weight = NULL;
    EepEplbProblem p = data_vector("g5_large_hier_dsv3_prefill.json", &weight);
    for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
        p.n_replicas = shapes[i][0];
        p.n_groups = shapes[i][1];
        p.n_nodes = shapes[i][2];
        p.n_ranks = shapes[i][3];
        const Gaps gaps = report("g5's loads", &p);
        add(&all, &gaps);
    }
    print("all shapes", &all);
    g_free(weight);
    return all;
}

static Gaps compare_recorded(void)
{
    static const char *const tasks[] = {"intent", "law"};
    static const guint shapes[][2] = {{64, 8},  {72, 8},  {96, 8},  {80, 16},
                                      {96, 16}, {72, 24}, {96, 32}, {128, 32}};
    Gaps all = {0};
    for (guint i = 0; i < G_N_ELEMENTS(tasks); i++) {
        DataWindows w;
        if (!data_windows(tasks[i], 512, &w))
            continue;
        g_autofree double *sum = data_sum(&w, 0, w.n_windows);
        for (guint k = 0; k < G_N_ELEMENTS(shapes); k++) {
            const EepEplbProblem p = {.n_layers = w.n_layers,
                                      .n_experts = w.n_experts,
                                      .n_replicas = shapes[k][0],
                                      .n_groups = 1,
                                      .n_nodes = 1,
                                      .n_ranks = shapes[k][1],
                                      .weight = sum};
            const Gaps gaps = report(tasks[i], &p);
            add(&all, &gaps);
        }
        g_free(w.tokens);
    }
    print("all recorded", &all);
    return all;
}

static Gaps compare_drawn(void)
{
    static const guint nodes[] = {1, 2, 4}, groups[] = {1, 4, 8};
    Gaps all = {0};
    EepRng rng;
    eep_rng_init(&rng, 1, "same load");
    for (guint i = 0; i < N_DRAWN; i++) {
        double weight[128];
        const guint hierarchy = (guint)eep_rng_below(&rng, 3);
        const guint ranks = 4 << eep_rng_below(&rng, 3);
        const guint S = 1 + (guint)eep_rng_below(&rng, 6);
        const guint experts = ranks * S * (6 + (guint)eep_rng_below(&rng, 3)) / 8 / 8 * 8;
        if (experts == 0 || experts > 128)
            continue;
        const EepEplbProblem p = {.n_layers = 1,
                                  .n_experts = experts,
                                  .n_replicas = ranks * S,
                                  .n_groups = groups[hierarchy],
                                  .n_nodes = nodes[hierarchy],
                                  .n_ranks = ranks,
                                  .weight = weight};
        data_draw(&rng, experts, weight);
        const Gaps gaps = compare(&p);
        add(&all, &gaps);
    }
    print("drawn: Zipf, log-normal, one hot, ties, zeros", &all);
    return all;
}

int main(void)
{
    g_autoptr(GPtrArray) names = data_vectors();
    if (names->len == 0) {
        printf("skipped: no reference vectors\n");
        return DATA_SKIP;
    }
    printf("gap = hottest / bound - 1, %%; wide: layers where DeepSeek's exceeds 0.5 %%; ms: all "
           "layers\n%-44s layers deepseek     eep |  wide deepseek     eep  ratio |      eep    "
           "bound\n",
           "");
    const Gaps vectors = compare_vectors(names);
    Gaps all = vectors;
    const Gaps others[] = {compare_shapes(), compare_recorded(), compare_drawn()};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        add(&all, &others[i]);
    print("everything", &all);
    printf("layers hotter than DeepSeek's: %u, below the bound: %u\n", all.n_hotter,
           all.n_below_bound);
    return all.n_hotter > 0 || all.n_below_bound > 0 || n_missed > 0 ||
           vectors.wide_eep > 0.1 * vectors.wide_deepseek || all.wide_eep > 0.2 * all.wide_deepseek;
}
