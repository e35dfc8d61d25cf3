/* Replica choices and waterfill at DeepSeek-V3's sizes; Markdown tables on stdout, for
 * docs/eplb_choice.md.
 *
 * `solver`: microseconds of one layer's exact split. `hottest`: hottest/mean rank of drawn batches
 * under each choice. `steps`: expected step time of decode and prefill batches on H100 under each
 * choice, and with waterfill. No argument: all three. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/dispatch_lp.h"
#include "core/eplb/policy.h"
#include "core/rng.h"
#include "core/skew.h"
#include "sim/expert_sample.h"
#include "sim/step_cost.h"
#include "tests/sim/sim_fixture.h"

enum { E = 256, K = 8, L = 58, DRAWN_LAYERS = 8 };

typedef struct {
    guint ranks, slots;
    double exponent; /* of Zipf's law */
    double stale;    /* popularity was e^(stale * normal) times what it is when placed */
} Case;

static const Case cases[] = {
    {16, 18, 0.8, 0.0}, {16, 18, 0.8, 0.5}, {32, 9, 0.4, 0.5},  {32, 9, 0.8, 0.0},
    {32, 9, 0.8, 0.5},  {32, 9, 1.2, 0.5},  {144, 2, 0.8, 0.0}, {144, 2, 0.8, 0.5},
};

static EepSkew *law_of(const Case *shape, guint layers)
{
    const EepSkewOptions options = {
        .law = EEP_SKEW_ZIPF,
        .exponent = shape->exponent,
        .layers = EEP_SKEW_LAYERS_INDEPENDENT,
    };
    return eep_skew_new(&options, 3, layers, E, NULL, NULL, NULL);
}

/* DeepSeek's placement of what was, and p[layers][E] of what is. */
static EepPlacement *place(const Case *shape, guint layers, double *p)
{
    g_autoptr(EepSkew) skew = law_of(shape, layers);
    g_autofree double *weight = g_new(double, layers *E);
    EepRng rng;
    eep_rng_init(&rng, 11, "stale");
    for (guint l = 0; l < layers; l++) {
        eep_skew_popularity(skew, 0, 0, l, p + l * E);
        for (guint e = 0; e < E; e++)
            weight[l * E + e] = 1e6 * p[l * E + e] * exp(shape->stale * eep_rng_normal(&rng));
    }
    const EepEplbProblem problem = {
        .n_layers = layers,
        .n_experts = E,
        .n_replicas = shape->ranks * shape->slots,
        .n_groups = 1,
        .n_nodes = 1,
        .n_ranks = shape->ranks,
        .weight = weight,
    };
    const guint n_slots = shape->ranks * shape->slots;
    g_autofree gint32 *map = g_new(gint32, (gsize)layers * n_slots);
    g_autoptr(GError) error = NULL;
    if (!eep_eplb_place(&eep_eplb_policy_deepseek, &problem, map, &error))
        g_error("%s", error->message);
    EepPlacement *placement = eep_placement_new(layers, E, shape->ranks, shape->slots);
    for (guint l = 0; l < layers; l++)
        eep_placement_set_layer(placement, l, map + (gsize)l * n_slots);
    return placement;
}

static int compare(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void solver(void)
{
    enum { N = 2001 };
    static const guint sizes[] = {16, 128, 1024};
    printf("| EP | slots | tokens a rank | median us | 99th percentile us |\n|-|-|-|-|-|\n");
    for (guint c = 0; c < G_N_ELEMENTS(cases); c++) {
        if (cases[c].exponent != 0.8 || cases[c].stale == 0.0)
            continue;
        double p[E], us[N];
        g_autoptr(EepPlacement) placement = place(&cases[c], 1, p);
        g_autoptr(EepDispatchLp) lp = eep_dispatch_lp_new(E, cases[c].ranks, cases[c].slots);
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
            EepRng rng;
            eep_rng_init(&rng, 1, "solver");
            for (guint n = 0; n < N; n++) {
                guint32 tokens[E];
                for (guint e = 0; e < E; e++) {
                    double mean = p[e] * K * sizes[i] * cases[c].ranks;
                    tokens[e] = (guint32)fmax(0.0, mean + sqrt(mean) * eep_rng_normal(&rng));
                }
                const gint64 start = g_get_monotonic_time();
                for (guint again = 0; again < 4; again++) {
                    eep_dispatch_lp_set_layer(lp, eep_placement_layer(placement, 0));
                    eep_dispatch_lp_solve(lp, tokens);
                }
                us[n] = (double)(g_get_monotonic_time() - start) / 4.0;
            }
            qsort(us, N, sizeof *us, compare);
            printf("| %u | %u | %u | %.1f | %.1f |\n", cases[c].ranks,
                   cases[c].ranks * cases[c].slots, sizes[i], us[N / 2], us[N * 99 / 100]);
        }
    }
    printf("\n");
}

static double draw_hottest(const Case *shape, const EepPlacement *placement, const double *p,
                           gint choice, guint per_rank)
{
    static const EepSlotCost cost = {1.0, 0.0, 0.0};
    const EepExpertDispatch dispatch = {.choice = choice, .ranks_per_node = 8};
    g_autoptr(EepExpertSample) sample = eep_expert_sample_new(DRAWN_LAYERS, E, K, &cost, 5);
    eep_expert_sample_set_dispatch(sample, &dispatch);
    for (guint l = 0; l < DRAWN_LAYERS; l++)
        eep_expert_sample_set_popularity(sample, l, p + l * E);
    guint32 tokens[144];
    for (guint r = 0; r < shape->ranks; r++)
        tokens[r] = per_rank;
    const guint n = MAX(1, MIN(60, 6000 / (per_rank * shape->ranks)));
    double sum = 0.0;
    for (guint step = 0; step < n; step++) {
        EepSampledStep drawn;
        eep_expert_sample_step(sample, placement, step, tokens, shape->ranks, &drawn);
        sum += drawn.imbalance;
    }
    return sum / n;
}

static void hottest(void)
{
    printf("| EP | Zipf | stale | tokens a rank ");
    for (gint choice = 0; choice < EEP_REPLICA_COUNT; choice++)
        printf("| %s ", eep_replica_choice_name(choice));
    printf("| lp to hash |\n|-|-|-|-|-|-|-|-|-|-|\n");
    for (guint c = 0; c < G_N_ELEMENTS(cases); c++) {
        g_autofree double *p = g_new(double, DRAWN_LAYERS *E);
        g_autoptr(EepPlacement) placement = place(&cases[c], DRAWN_LAYERS, p);
        for (guint n = 1; n <= 4096; n *= 4) {
            double ratio[EEP_REPLICA_COUNT];
            printf("| %u | %.1f | %.1f | %u ", cases[c].ranks, cases[c].exponent, cases[c].stale,
                   n);
            for (gint choice = 0; choice < EEP_REPLICA_COUNT; choice++) {
                ratio[choice] = draw_hottest(&cases[c], placement, p, choice, n);
                printf("| %.3f ", ratio[choice]);
            }
            printf("| %+.1f %% |\n",
                   100.0 * (ratio[EEP_REPLICA_LP] / ratio[EEP_REPLICA_HASH] - 1.0));
        }
    }
    printf("\n");
}

/* Expected seconds of a step of all engines alike. */
static double step_seconds(const Case *shape, const EepPlacement *placement, gint choice,
                           gboolean waterfill, guint tokens, gboolean is_prefill,
                           EepStepModel **model_cache)
{
    static EepModel model;
    static EepHardware hardware;
    static EepPoolOptions options[2 * EEP_REPLICA_COUNT][2];
    EepPoolOptions *pool = &options[2 * choice + waterfill][is_prefill];
    EepEngineWork work[144];
    EepStepPlan plan;
    EepStepCost cost;
    if (*model_cache == NULL) {
        fixture_deepseek_v3(&model);
        fixture_h100(&hardware);
        fixture_pool(pool, shape->ranks);
        pool->all2all_backend =
            is_prefill ? EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT : EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
        pool->eplb_config.num_redundant_experts = shape->ranks * shape->slots - E;
        pool->eplb_config.replica_choice = choice;
        pool->eplb_config.waterfill = waterfill;
        *model_cache = eep_step_model_new(&model, &hardware, pool, law_of(shape, L), FALSE, 1);
    }
    fixture_decodes(&plan, work, shape->ranks, is_prefill ? 0 : tokens, 2000);
    if (is_prefill)
        for (guint r = 0; r < shape->ranks; r++)
            fixture_add_prefill(&work[r], tokens);
    plan.placement = placement;
    eep_step_model_cost(*model_cache, &plan, &cost);
    return eep_time_to_seconds(cost.step);
}

static void steps(void)
{
    static const guint sizes[] = {1, 4, 16, 64, 128, 256, 1024, 4096, 8192};
    static const struct {
        gint choice;
        gboolean waterfill;
    } ways[] = {{EEP_REPLICA_HASH, 0}, {EEP_REPLICA_RANDOM, 0},       {EEP_REPLICA_STATIC, 0},
                {EEP_REPLICA_LP, 0},   {EEP_REPLICA_LEAST_LOADED, 0}, {EEP_REPLICA_HASH, 1},
                {EEP_REPLICA_LP, 1}};
    printf("| EP | Zipf | stale | batch a rank | hash ms | random | static | lp | least_loaded | "
           "hash + waterfill | lp + waterfill |\n|-|-|-|-|-|-|-|-|-|-|-|\n");
    for (guint c = 0; c < G_N_ELEMENTS(cases); c++) {
        g_autofree double *p = g_new(double, L *E);
        g_autoptr(EepPlacement) placement = place(&cases[c], L, p);
        EepStepModel *models[G_N_ELEMENTS(ways)][2] = {{NULL}};
        for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
            const gboolean is_prefill = sizes[i] > 256;
            double base = 0.0;
            printf("| %u | %.1f | %.1f | %u %s ", cases[c].ranks, cases[c].exponent, cases[c].stale,
                   sizes[i], is_prefill ? "prefill" : "decode");
            for (guint w = 0; w < G_N_ELEMENTS(ways); w++) {
                double s = step_seconds(&cases[c], placement, ways[w].choice, ways[w].waterfill,
                                        sizes[i], is_prefill, &models[w][is_prefill]);
                if (w == 0) {
                    base = s;
                    printf("| %.2f ", 1e3 * s);
                } else {
                    printf("| %+.1f %% ", 100.0 * (s / base - 1.0));
                }
            }
            printf("|\n");
        }
        for (guint w = 0; w < G_N_ELEMENTS(ways); w++)
            for (guint is_prefill = 0; is_prefill < 2; is_prefill++)
                eep_step_model_free(models[w][is_prefill]);
    }
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    if (part[0] == '\0' || strcmp(part, "solver") == 0)
        solver();
    if (part[0] == '\0' || strcmp(part, "hottest") == 0)
        hottest();
    if (part[0] == '\0' || strcmp(part, "steps") == 0)
        steps();
    return EXIT_SUCCESS;
}
