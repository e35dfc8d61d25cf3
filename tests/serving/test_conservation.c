/* What must hold in every run, in scenarios drawn from a seed: KV blocks, queues and the placement
 * are consistent after every event; every request ends once; every token is counted once; every gap
 * is some request's; a resize asked for gets an answer. Every feature of a pool is drawn, alone and
 * with the others. A failure names its seed: make it FIRST_SEED, and
 * N_SEEDS 1, to see it alone. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "core/rng.h"
#include "tests/serving/serving_kit.h"

#define FIRST_SEED   0
#define N_SEEDS      2500
#define MAX_REQUESTS 80
#define MAX_EVENTS   8
#define MAX_RESIZES  4
#define MAX_HASHES   12
#define N_LAYERS     2
#define N_EXPERTS    12

typedef struct {
    KitConfig config;
    EepArrival requests[MAX_REQUESTS];
    guint64 hashes[MAX_REQUESTS][MAX_HASHES];
    EepOperatorEvent events[MAX_EVENTS];
    guint n_requests, n_resizes;
    double load[N_LAYERS * N_EXPERTS];
} Scenario;

static gboolean chance(EepRng *rng, guint percent)
{
    return eep_rng_below(rng, 100) < percent;
}

static gint64 between(EepRng *rng, gint64 low, gint64 high)
{
    return low + (gint64)eep_rng_below(rng, (guint64)(high - low + 1));
}

static void draw_options(EepRng *rng, KitConfig *config)
{
    EepPoolOptions *options = &config->options;
    static const EepTime staleness[] = {0, 0, 35, 200};

    options->data_parallel_size = between(rng, 1, 4);
    options->block_size = between(rng, 1, 5);
    options->max_num_batched_tokens = between(rng, 1, 60);
    options->max_num_seqs = between(rng, 1, 12);
    options->enable_prefix_caching = chance(rng, 50);
    options->async_scheduling = chance(rng, 50);
    options->scheduling_policy = chance(rng, 30) ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    options->watermark = chance(rng, 20) ? 0.1 : 0.0;
    options->prefill_schedule_interval = chance(rng, 20) ? between(rng, 2, 6) : 1;
    options->router.policy = (gint)between(rng, 0, 4);
    options->router.staleness = staleness[eep_rng_below(rng, G_N_ELEMENTS(staleness))];
    options->router.client_count = chance(rng, 20) ? 3 : 1;
    options->queue_limit = chance(rng, 25) ? between(rng, 1, 4) : 0;
    config->shape.n_blocks = (guint64)between(rng, 6, 60);
    config->shape.hash_tokens = (guint32)(options->block_size * between(rng, 1, 4));
    config->shape.max_engines = 6;
    config->shape.control_latency = chance(rng, 50) ? between(rng, 1, 30) : 0;
    config->fail_every = chance(rng, 25) ? (guint)between(rng, 1, 9) : 0;
    config->deployment.seed = eep_rng_next(rng);
    config->deployment.retry_attempts = (guint)between(rng, 1, 4);
    config->deployment.retry_backoff = between(rng, 1, 300);
    config->deployment.retry_jitter = chance(rng, 50) ? 0.5 : 0.0;
    if (chance(rng, 15))
        config->cut = between(rng, 0, 1500);
}

static void draw_costs(EepRng *rng, KitConfig *config)
{
    config->costs.idle_steps_are_free = chance(rng, 30);
    config->costs.step = between(rng, 1, 12);
    config->costs.per_prefill_token = between(rng, 0, 2);
    config->costs.per_decode = between(rng, 0, 1);
    config->costs.move = between(rng, 0, 40);
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config->costs.phase[i] = between(rng, 0, 120);
}

/* E + R divides over the ranks; some of the sizes asked for later cannot hold all experts and are
 * refused. */
static void draw_experts(EepRng *rng, Scenario *scenario)
{
    KitConfig *config = &scenario->config;
    guint n_ranks = (guint)config->options.data_parallel_size, slots;

    config->options.enable_eplb = TRUE;
    config->options.eplb_config.use_async = chance(rng, 60);
    config->options.eplb_config.step_interval = between(rng, 4, 60);
    config->options.eplb_config.window_size = between(rng, 1, 40);
    slots = N_EXPERTS / n_ranks + (N_EXPERTS % n_ranks != 0) + (guint)between(rng, 0, 6);
    config->options.eplb_config.num_redundant_experts = slots * n_ranks - N_EXPERTS;
    config->shape.n_moe_layers = N_LAYERS;
    config->shape.n_experts = N_EXPERTS;
    config->shape.expert_bytes = 100;
    for (guint i = 0; i < G_N_ELEMENTS(scenario->load); i++)
        scenario->load[i] = (double)between(rng, 0, 100);
    config->costs.n_cells = G_N_ELEMENTS(scenario->load);
    config->costs.load = scenario->load;
}

static void draw_events(EepRng *rng, Scenario *scenario)
{
    KitConfig *config = &scenario->config;

    config->options.enable_elastic_ep = TRUE;
    config->options.resize.drain_requests = chance(rng, 30);
    config->options.resize.drain_timeout = between(rng, 1, 3000);
    config->options.resize.on_busy = chance(rng, 30) ? 2 : 0;
    if (chance(rng, 30)) {
        g_free(config->options.resize.generation);
        config->options.resize.generation = g_strdup("restart");
    }
    config->deployment.n_events = scenario->n_resizes = (guint)between(rng, 1, MAX_RESIZES);
    for (guint i = 0; i < config->deployment.n_events; i++)
        scenario->events[i] =
            (EepOperatorEvent){.at = between(rng, 0, 1200),
                               .new_data_parallel_size = (guint)between(rng, 1, 7),
                               .id = "drawn"};
    config->deployment.events = scenario->events;
}

/* Anything may break, and be recovered from in any way, or in none. */
static void draw_faults(EepRng *rng, Scenario *scenario)
{
    KitConfig *config = &scenario->config;
    EepPoolOptions *options = &config->options;
    guint n = (guint)between(rng, 1, MAX_EVENTS - MAX_RESIZES);

    options->fault_tolerance.recovery = (gint)between(rng, 0, EEP_RECOVERY_COUNT - 1);
    for (guint i = 0; i < EEP_DETECT_COUNT; i++)
        options->fault_tolerance.detect[i] = chance(rng, 60) ? between(rng, 1, 200) : 0;
    options->fault_tolerance.deadline = chance(rng, 50) ? between(rng, 50, 2000) : 0;
    options->fault_tolerance.spare_engines = between(rng, 0, 2);
    options->fault_tolerance.spare_state = (gint)between(rng, 0, 1);
    options->fault_tolerance.in_flight = (gint)between(rng, 0, 1);
    options->fault_tolerance.mtbf = chance(rng, 20) ? between(rng, 500, 20000) : 0;
    config->shape.can_mask = config->shape.can_reuse_graphs = chance(rng, 50);
    config->shape.gpus_per_node = (guint)between(rng, 1, 3);
    for (guint i = config->deployment.n_events; n > 0; n--, i++) {
        EepOperatorEvent *event = &scenario->events[i];

        *event = (EepOperatorEvent){
            .kind = EEP_OPERATOR_FAULT,
            .id = "broken",
            .at = between(rng, 0, 1200),
            .fault = {.kind = (EepFaultKind)between(rng, 0, EEP_FAULT_KIND_COUNT - 1),
                      .target = (EepFaultTarget)between(rng, 0, 2),
                      .index = (guint)between(rng, 0, 5),
                      .factor = (double)between(rng, 1, 4),
                      .duration = between(rng, 1, 500),
                      .phase = (guint)between(rng, 0, EEP_PHASE_COUNT - 1),
                      .nth = (guint)between(rng, 0, 2)}};
        if (event->fault.kind == EEP_FAULT_KIND_LINK)
            event->fault.factor = 0.5;
        if (chance(rng, 30) && scenario->n_resizes > 0) {
            event->during_resize = "drawn";
            event->during_phase = chance(rng, 50) ? "commit" : "prepare";
            event->after = between(rng, 0, 300);
        }
        config->deployment.n_events = i + 1;
    }
    config->deployment.events = scenario->events;
}

/* Prompts of one family share their first hashes. */
static void draw_requests(EepRng *rng, Scenario *scenario)
{
    EepTime at = 0;
    gint64 mean_wait = between(rng, 0, 40);

    scenario->n_requests = (guint)between(rng, 1, MAX_REQUESTS);
    for (guint i = 0; i < scenario->n_requests; i++) {
        EepArrival *request = &scenario->requests[i];
        guint64 family = eep_rng_below(rng, 4), n_shared = eep_rng_below(rng, MAX_HASHES);

        at += between(rng, 0, 2 * mean_wait);
        *request = (EepArrival){.arrival = at,
                                .prompt_tokens = (guint32)between(rng, 1, 50),
                                .output_tokens = (guint32)between(rng, 1, 40),
                                .priority = (gint32)between(rng, 0, 3)};
        request->n_hashes =
            MIN(MAX_HASHES, request->prompt_tokens / scenario->config.shape.hash_tokens);
        request->hashes = scenario->hashes[i];
        for (guint h = 0; h < request->n_hashes; h++)
            scenario->hashes[i][h] = h < n_shared ? 1 + family * 100 + h : 1000 + i * 100 + h;
    }
}

/* A resize asked for gets an answer, and everybody is served or told why not, unless something
 * broke for good. */
static void assert_answered(const KitRun *run, guint n_resizes, const char *context)
{
    gboolean is_well = TRUE;
    guint n_answers = 0;

    for (guint i = 0; i < run->incidents->len; i++) {
        const char *outcome = kit_nth(run->incidents, EepIncident, i)->outcome;

        is_well &= strcmp(outcome, "unrecovered") != 0 && strcmp(outcome, "exited") != 0;
    }
    for (guint i = 0; i < run->resizes->len; i++)
        n_answers += strcmp(kit_nth(run->resizes, EepResizeRecord, i)->by, "scenario") == 0;
    ck_assert_msg(n_answers == n_resizes || (!is_well && n_answers < n_resizes),
                  "%s: %u resizes ended of %u asked for", context, n_answers, n_resizes);
    ck_assert_msg(!is_well || kit_count(run, EEP_FATE_UNFINISHED, EEP_REASON_NONE) == 0,
                  "%s: unfinished requests without a cut", context);
}

/* Whoever a fault has aborted is laid to one. */
static void assert_charged(const KitRun *run, const char *context)
{
    guint64 n_aborted = 0, n_rejected = 0, n_retried = 0, all_rejected = 0, all_completed = 0;

    for (guint i = 0; i < run->incidents->len; i++) {
        const EepIncident *incident = kit_nth(run->incidents, EepIncident, i);

        n_aborted += incident->n_lost - incident->n_lost_rejected;
        n_rejected += incident->n_lost_rejected;
        n_retried += incident->n_client_retried;
    }
    for (guint i = 0; i < run->n_requests; i++) {
        all_rejected += run->results[i].fate == EEP_FATE_REJECTED;
        all_completed += run->results[i].fate == EEP_FATE_COMPLETED && run->results[i].attempts > 1;
    }
    ck_assert_msg(n_aborted == kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT),
                  "%s: %u laid to faults, %u aborted by them", context, (guint)n_aborted,
                  kit_count(run, EEP_FATE_ABORTED, EEP_REASON_FAULT));
    ck_assert_msg(n_rejected <= all_rejected && n_retried <= all_completed,
                  "%s: more laid to faults than there are", context);
}

static void run_seed(guint64 seed)
{
    static Scenario scenario;
    g_autofree char *context = g_strdup_printf("seed %" G_GUINT64_FORMAT, seed);
    g_autoptr(GError) error = NULL;
    g_autoptr(KitRun) run = NULL;
    EepRng rng;

    eep_rng_init(&rng, seed, "conservation");
    kit_config_init(&scenario.config);
    scenario.n_resizes = 0;
    draw_options(&rng, &scenario.config);
    draw_costs(&rng, &scenario.config);
    if (chance(&rng, 60))
        draw_experts(&rng, &scenario);
    if (chance(&rng, 60))
        draw_events(&rng, &scenario);
    if (chance(&rng, 40))
        draw_faults(&rng, &scenario);
    draw_requests(&rng, &scenario);
    run = kit_run(&scenario.config, scenario.requests, scenario.n_requests, &error);
    ck_assert_msg(run != NULL, "%s: %s", context, error != NULL ? error->message : "");
    kit_assert_conserved(run, scenario.requests, context);
    assert_charged(run, context);
    if (scenario.config.cut == EEP_TIME_NEVER) {
        ck_assert_msg(run->n_submitted == scenario.n_requests, "%s: %u requests of %u came",
                      context, run->n_submitted, scenario.n_requests);
        assert_answered(run, scenario.n_resizes, context);
    }
    kit_config_clear(&scenario.config);
}

START_TEST(everything_is_conserved)
{
    for (guint64 seed = FIRST_SEED + (guint64)_i; seed < FIRST_SEED + N_SEEDS; seed += 10)
        run_seed(seed);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conservation");
    tcase_add_loop_test(tcase, everything_is_conserved, 0, 10);
    return kit_main("conservation", tcase);
}
