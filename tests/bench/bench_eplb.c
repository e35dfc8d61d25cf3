/* Time of one whole placement (all layers) of every EPLB policy at the sizes of DeepSeek-V3 and
 * Kimi-K2, and of a stationary pool's rearrangement. Loads are Zipf 0.8, shuffled per layer;
 * policies that read windows get as many as N_WINDOWS, in each of which every load is off by up to
 * a half. JSON on stdout: median and least of the runs in ms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/eplb/eplb.h"

#define N_RUNS    51
#define N_WINDOWS 8

static const struct {
    const char *name;
    guint layers, experts, replicas, groups, nodes, ranks;
} configs[] = {
    {"dsv3_prefill_ep32_hierarchical", 58, 256, 288, 8, 4, 32},
    {"dsv3_ep32_global", 58, 256, 288, 8, 3, 32},
    {"dsv3_decode_ep144_global", 58, 256, 288, 8, 18, 144},
    {"kimi_k2_ep96_global", 60, 384, 480, 1, 12, 96},
};

static guint64 state;

static guint draw(guint bound)
{
    state = state * G_GUINT64_CONSTANT(6364136223846793005) + 1442695040888963407;
    return (guint)((state >> 33) % bound);
}

static double *zipf_loads(guint layers, guint experts)
{
    double *load = g_new(double, (gsize)layers *experts);
    state = 1;
    for (guint layer = 0; layer < layers; layer++) {
        double *row = load + (gsize)layer * experts;
        for (guint e = 0; e < experts; e++)
            row[e] = floor(1e6 / pow(e + 1.0, 0.8));
        for (guint e = experts - 1; e > 0; e--) {
            const guint other = draw(e + 1);
            const double swap = row[e];
            row[e] = row[other];
            row[other] = swap;
        }
    }
    return load;
}

/* [N_WINDOWS][n], of which load becomes the sum. */
static double *split_loads(double *load, gsize n)
{
    double *windows = g_new(double, N_WINDOWS *n);
    for (gsize i = 0; i < n; i++) {
        double sum = 0.0;
        for (guint t = 0; t < N_WINDOWS; t++) {
            windows[t * n + i] = floor(load[i] / N_WINDOWS * (0.5 + draw(1000) / 1000.0));
            sum += windows[t * n + i];
        }
        load[i] = sum;
    }
    return windows;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    double wall[N_RUNS], cpu[N_RUNS]; /* ms; while a run lasts, when it began */
} Times;

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void begin(Times *times, guint run)
{
    times->wall[run] = (double)g_get_monotonic_time() / 1e3;
    times->cpu[run] = cpu_ms();
}

static void end(Times *times, guint run)
{
    times->cpu[run] = cpu_ms() - times->cpu[run];
    times->wall[run] = (double)g_get_monotonic_time() / 1e3 - times->wall[run];
}

static void report(const char *name, const char *policy, Times *times, gboolean last)
{
    qsort(times->wall, N_RUNS, sizeof(double), compare_doubles);
    qsort(times->cpu, N_RUNS, sizeof(double), compare_doubles);
    printf("  {\"config\": \"%s\", \"policy\": \"%s\", \"median_ms\": %.4f, \"min_ms\": %.4f, "
           "\"cpu_median_ms\": %.4f}%s\n",
           name, policy, times->wall[N_RUNS / 2], times->wall[0], times->cpu[N_RUNS / 2],
           last ? "" : ",");
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
    g_autofree double *windows = split_loads(load, (gsize)shape.n_layers * shape.n_experts);
    Times times;
    problem.weight = load;
    if (policy->reads_windows) {
        problem.n_windows = N_WINDOWS;
        problem.windows = windows;
    }
    for (guint run = 0; run < N_RUNS; run++) {
        g_autoptr(GError) error = NULL;
        begin(&times, run);
        if (!eep_eplb_place(policy, &problem, map, &error)) {
            fprintf(stderr, "bench_eplb: %s: %s\n", configs[config].name, error->message);
            return FALSE;
        }
        end(&times, run);
    }
    report(configs[config].name, policy->name, &times, FALSE);
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
    Times times;
    if (!eplb || !plan_and_commit(eplb, load, 1))
        return FALSE;
    for (guint run = 0; run < N_RUNS; run++) {
        const guint shift = stationary ? 0 : (run + 1) % shape.n_layers;
        begin(&times, run);
        if (!plan_and_commit(eplb, load + shift, 1 + shift))
            return FALSE;
        end(&times, run);
    }
    report(stationary ? "rearrange_stationary" : "rearrange_drifted",
           eep_eplb_options(eplb)->policy, &times, !stationary);
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
