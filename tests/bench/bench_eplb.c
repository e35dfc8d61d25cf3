/* Time of one whole placement (all layers) of the EPLB policies at DeepSeek-V3's sizes, and of a
 * stationary pool's rearrangement. Loads are Zipf 0.8, shuffled per layer. JSON on stdout: median
 * and least of the runs in ms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/eplb/eplb.h"

#define N_RUNS 51

static const struct {
    const char *name;
    guint layers, experts, replicas, groups, nodes, ranks;
} configs[] = {
    {"dsv3_prefill_ep32_hierarchical", 58, 256, 288, 8, 4, 32},
    {"dsv3_ep32_global", 58, 256, 288, 8, 3, 32},
    {"dsv3_decode_ep144_global", 58, 256, 288, 8, 18, 144},
};

static double *zipf_loads(guint layers, guint experts)
{
    double *load = g_new(double, (gsize)layers *experts);
    guint64 state = 1;
    for (guint layer = 0; layer < layers; layer++) {
        double *row = load + (gsize)layer * experts;
        for (guint e = 0; e < experts; e++)
            row[e] = floor(1e6 / pow(e + 1.0, 0.8));
        for (guint e = experts - 1; e > 0; e--) {
            state = state * G_GUINT64_CONSTANT(6364136223846793005) + 1442695040888963407;
            const guint other = (guint)((state >> 33) % (e + 1));
            const double swap = row[e];
            row[e] = row[other];
            row[other] = swap;
        }
    }
    return load;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, const char *policy, double *ms, gboolean last)
{
    qsort(ms, N_RUNS, sizeof *ms, compare_doubles);
    printf("  {\"config\": \"%s\", \"policy\": \"%s\", \"median_ms\": %.4f, \"min_ms\": %.4f}%s\n",
           name, policy, ms[N_RUNS / 2], ms[0], last ? "" : ",");
}

static double elapsed_ms(gint64 start_us)
{
    return (double)(g_get_monotonic_time() - start_us) / 1e3;
}

static gboolean bench_policy(guint config, const EepEplbPolicy *policy)
{
    const EepEplbProblem shape = {.n_layers = configs[config].layers,
                                  .n_experts = configs[config].experts,
                                  .n_replicas = configs[config].replicas,
                                  .n_groups = configs[config].groups,
                                  .n_nodes = configs[config].nodes,
                                  .n_ranks = configs[config].ranks};
    EepEplbProblem problem = shape;
    g_autofree double *load = zipf_loads(shape.n_layers, shape.n_experts);
    g_autofree gint32 *map = g_new(gint32, (gsize)shape.n_layers * shape.n_replicas);
    double ms[N_RUNS];
    problem.weight = load;
    for (guint run = 0; run < N_RUNS; run++) {
        const gint64 start_us = g_get_monotonic_time();
        g_autoptr(GError) error = NULL;
        if (!eep_eplb_place(policy, &problem, map, &error)) {
            fprintf(stderr, "bench_eplb: %s: %s\n", configs[config].name, error->message);
            return FALSE;
        }
        ms[run] = elapsed_ms(start_us);
    }
    report(configs[config].name, policy->name, ms, FALSE);
    return TRUE;
}

static gboolean plan_and_commit(EepEplb *eplb, const double *load, guint64 version)
{
    const EepEplbRequest request = {.load = load,
                                    .load_version = version,
                                    .n_ranks = eep_eplb_placement(eplb)->n_ranks,
                                    .max_moves = EEP_EPLB_MOVES_AUTO};
    if (!eep_eplb_plan(eplb, &request, NULL))
        return FALSE;
    if (eep_eplb_has_plan(eplb))
        eep_eplb_start_moves(eplb);
    eep_eplb_commit_all(eplb);
    return TRUE;
}

/* What a due rearrangement costs: when popularity stands still, and when it has changed (plan and
 * commit). */
static gboolean bench_rearrangement(gboolean stationary)
{
    const EepEplbShape shape = {
        .n_layers = 58, .n_experts = 256, .n_ranks = 32, .n_groups = 8, .ranks_per_node = 8};
    EepEplbOptions options;
    eep_eplb_options_init(&options);
    options.enabled = TRUE;
    options.num_redundant_experts = 32;
    g_autoptr(EepEplb) eplb = eep_eplb_new(&options, &shape, NULL);
    g_autofree double *load = zipf_loads(shape.n_layers, shape.n_experts + 1);
    double ms[N_RUNS];
    if (!eplb || !plan_and_commit(eplb, load, 1))
        return FALSE;
    for (guint run = 0; run < N_RUNS; run++) {
        const gint64 start_us = g_get_monotonic_time();
        const guint shift = stationary ? 0 : (run + 1) % shape.n_layers;
        if (!plan_and_commit(eplb, load + shift, 1 + shift))
            return FALSE;
        ms[run] = elapsed_ms(start_us);
    }
    report(stationary ? "rearrange_stationary" : "rearrange_drifted",
           eep_eplb_options(eplb)->policy, ms, !stationary);
    return TRUE;
}

int main(void)
{
    guint n_policies;
    const EepEplbPolicy *const *policies = eep_eplb_policy_list(&n_policies);
    printf("{\"benchmark\": \"eplb\", \"runs\": %d, \"results\": [\n", N_RUNS);
    for (guint config = 0; config < G_N_ELEMENTS(configs); config++)
        for (guint i = 0; i < n_policies; i++)
            if (!bench_policy(config, policies[i]))
                return EXIT_FAILURE;
    if (!bench_rearrangement(TRUE) || !bench_rearrangement(FALSE))
        return EXIT_FAILURE;
    printf("]}\n");
    return EXIT_SUCCESS;
}
