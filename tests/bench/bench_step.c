/* What a step costs an engine while nothing arrives and nothing ends: a whole pool with its
 * scheduler, cost models, backend, loop and metrics, DeepSeek-V3 with EPLB.
 *
 * `bench_step` prints nanoseconds an engine-step for several batch sizes and group sizes as JSON.
 * `bench_step RUNNING ENGINES` runs one of them for callgrind: under
 * --toggle-collect=measured_steps only the steps count, whose number it prints. */
#include <stdio.h>
#include <stdlib.h>

#include "core/deployment.h"
#include "core/metrics.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"
#include "tests/sim/sim_fixture.h"

enum { N_STEPS = 2000, N_ROUNDS = 7, N_SLOTS = 18, OUTPUT_TOKENS = 1000000 };

typedef struct {
    EepObserver base;
    EepObserverOps ops;
    guint64 n_steps;
    EepStepRecord last;
} StepCounter;

/* One pool whose engines all run `running` requests. */
typedef struct {
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    EepSkewOptions skew;
    guint n_requests, n_queued;
    StepCounter counter;
    EepMetrics *metrics;
    EepObserver *fan;
    EepPredictor *predictor;
    EepBackend *backend;
    EepDeployment *deployment;
    EepClock *clock;
    EepLoop *loop;
} World;

static void count_step(EepObserver *self, const EepStepRecord *step)
{
    StepCounter *counter = (StepCounter *)self;

    counter->n_steps++;
    counter->last = *step;
}

/* Prompts of many lengths, so that every step some of the decodes need a block. */
static EepWorkloadStatus next_arrival(gpointer self, EepArrival *ret_arrival, GError **error)
{
    World *world = self;

    if (world->n_queued == world->n_requests)
        return EEP_WORKLOAD_END;
    *ret_arrival = (EepArrival){.id = world->n_queued,
                                .prompt_tokens = 100 + world->n_queued % 97,
                                .output_tokens = OUTPUT_TOKENS};
    world->n_queued++;
    return EEP_WORKLOAD_ARRIVAL;
}

static void fail(GError *error)
{
    fprintf(stderr, "bench_step: %s\n", error != NULL ? error->message : "the pool stands still");
    exit(EXIT_FAILURE);
}

static void set_options(World *world, guint running, guint engines)
{
    EepPoolOptions *options = &world->options;

    fixture_deepseek_v3(&world->model);
    fixture_h100(&world->hardware);
    world->skew = (EepSkewOptions){EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    eep_options_init(&eep_pool_options, options);
    options->data_parallel_size = engines;
    options->all2all_backend = EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT;
    options->max_num_seqs = running;
    options->max_num_batched_tokens = 8192;
    options->router.policy = EEP_ROUTER_ROUND_ROBIN;
    options->enable_eplb = TRUE;
    options->eplb_config.step_interval = 1000000000; /* placement is not what is measured */
    options->eplb_config.num_redundant_experts =
        (gint64)engines * MAX(N_SLOTS, (255 + engines) / engines) - 256;
}

static void build(World *world, guint running, guint engines)
{
    EepDeploymentOptions options = {.seed = 1, .retry_attempts = 1};
    EepSloOptions slo = {0};
    EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    EepWorkload workload = {next_arrival, world};
    GError *error = NULL;

    set_options(world, running, engines);
    world->n_requests = running * engines;
    world->counter.ops = eep_observer_none;
    world->counter.ops.step = count_step;
    world->counter.base.ops = &world->counter.ops;
    world->metrics = eep_metrics_new(&slo, &measure);
    world->fan = eep_observer_fan_new();
    eep_observer_fan_add(world->fan, eep_metrics_observer(world->metrics));
    eep_observer_fan_add(world->fan, &world->counter.base);
    world->predictor = eep_sim_predictor_new(
        &world->model, &world->hardware, &world->options,
        eep_skew_new(&world->skew, 1, (guint)eep_model_n_moe_layers(&world->model),
                     (guint)world->model.n_routed_experts, NULL, NULL, NULL),
        FALSE, 1);
    world->backend = eep_sim_backend_new(world->predictor);
    world->deployment = eep_deployment_new(&options, world->backend, world->predictor, world->fan);
    world->clock = eep_clock_virtual_new();
    world->loop =
        eep_loop_new(world->clock, eep_deployment_handle, world->deployment, NULL, NULL, NULL);
    eep_deployment_attach(world->deployment, world->loop);
    EepPoolShape shape = {.n_moe_layers = (guint)eep_model_n_moe_layers(&world->model),
                          .n_experts = (guint)world->model.n_routed_experts,
                          .n_groups = 1,
                          .gpus_per_node = 8,
                          .max_engines = engines,
                          .n_blocks = (guint64)running * OUTPUT_TOKENS / 8,
                          .max_model_len = G_MAXINT64,
                          .all2all_name = "deepep_high_throughput"};
    if (!eep_deployment_add_pool(world->deployment, "main", &world->options, &shape, &error) ||
        !eep_deployment_start(world->deployment, &workload, &error))
        fail(error);
}

static void clear(World *world)
{
    eep_loop_free(world->loop);
    eep_deployment_free(world->deployment);
    eep_backend_free(world->backend);
    eep_predictor_free(world->predictor);
    eep_clock_free(world->clock);
    eep_observer_fan_free(world->fan);
    eep_metrics_free(world->metrics);
}

/* Until everything decodes. */
static void warm_up(World *world)
{
    GError *error = NULL;

    for (EepTime until = 0; until < 10000 * EEP_NS_PER_S; until += EEP_NS_PER_S) {
        if (!eep_loop_run(world->loop, until, &error))
            fail(error);
        if (world->counter.last.n_decodes == world->n_requests)
            return;
    }
    fail(NULL);
}

/* By its name the caller's profiler knows what to count. */
__attribute__((noinline)) gboolean measured_steps(EepLoop *loop, EepTime until, GError **error);
gboolean measured_steps(EepLoop *loop, EepTime until, GError **error)
{
    return eep_loop_run(loop, until, error);
}

/* About N_STEPS; returns how many. */
static guint64 run_steps(World *world)
{
    guint64 before = world->counter.n_steps;
    EepTime step = world->counter.last.end - world->counter.last.begin;
    GError *error = NULL;

    if (!measured_steps(world->loop, eep_loop_now(world->loop) + N_STEPS * step, &error))
        fail(error);
    return world->counter.n_steps - before;
}

static double time_steps(guint running, guint engines)
{
    World world = {0};
    double best = G_MAXDOUBLE;

    build(&world, running, engines);
    warm_up(&world);
    for (guint round = 0; round < N_ROUNDS; round++) {
        gint64 begin = g_get_monotonic_time();
        guint64 n = run_steps(&world) * engines;

        best = MIN(best, 1e3 * (double)(g_get_monotonic_time() - begin) / (double)n);
    }
    clear(&world);
    return best;
}

static void print_table(void)
{
    static const guint running[] = {16, 256, 1024}, engines[] = {8, 16, 64, 256, 1024};

    printf("{\"benchmark\": \"step\", \"results\": [\n");
    for (guint e = 0; e < G_N_ELEMENTS(engines); e++)
        for (guint r = 0; r < G_N_ELEMENTS(running); r++) {
            gboolean is_last = e + 1 == G_N_ELEMENTS(engines) && r + 1 == G_N_ELEMENTS(running);

            printf("  {\"engines\": %u, \"running\": %u, \"ns_per_engine_step\": %.1f}%s\n",
                   engines[e], running[r], time_steps(running[r], engines[e]), is_last ? "" : ",");
        }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    World world = {0};
    guint running, engines;

    if (argc == 1) {
        print_table();
        return EXIT_SUCCESS;
    }
    running = argc == 3 ? (guint)strtoul(argv[1], NULL, 10) : 0;
    engines = argc == 3 ? (guint)strtoul(argv[2], NULL, 10) : 0;
    if (running < 1 || running > 4096 || engines < 1 || engines > 1024) {
        fprintf(stderr, "usage: bench_step [RUNNING ENGINES], up to 4096 and 1024\n");
        return EXIT_FAILURE;
    }
    build(&world, running, engines);
    warm_up(&world);
    printf("%" G_GUINT64_FORMAT "\n", run_steps(&world) * engines);
    clear(&world);
    return EXIT_SUCCESS;
}
