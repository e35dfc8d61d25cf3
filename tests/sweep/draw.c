#include "tests/sweep/draw.h"

#include "core/rng.h"

#include <string.h>

typedef struct {
    const char *name;
    guint n_experts;
    guint min_ranks; /* fewest GPUs of 80 GB whose memory holds it with a slot to spare */
    guint max_tp;    /* a divisor of its heads */
    gboolean has_shared;
} Model;

static const Model models[] = {
    {"deepseek-v2-lite", 64, 1, 4, TRUE}, {"qwen3-30b-a3b", 128, 4, 4, FALSE},
    {"mixtral-8x7b", 8, 4, 4, FALSE},     {"gpt-oss-120b", 128, 4, 4, FALSE},
    {"llama-4-scout", 16, 8, 4, TRUE},
};

typedef struct {
    guint engines, tp, slots, min_engines, max_engines, n_spares;
    gboolean is_elastic, has_eplb, can_mask;
    const char *generation, *backend, *recovery;
} Shape;

static guint draw(EepRng *rng, guint low, guint high)
{
    return low + (guint)eep_rng_below(rng, high - low + 1);
}

static gboolean chance(EepRng *rng, guint percent)
{
    return draw(rng, 0, 99) < percent;
}

static const char *pick(EepRng *rng, const char *const *words)
{
    guint n = g_strv_length((char **)words);

    return words[draw(rng, 0, n - 1)];
}

static const char *truth(EepRng *rng)
{
    return chance(rng, 50) ? "true" : "false";
}

/* A generation that the pool's backend allows, and a recovery that its options allow. */
static void draw_resizing(EepRng *rng, Shape *shape)
{
    static const char *const generations[] = {"g2.1", "restart", "m1",     "g1", "g2",
                                              "g3",   "eep",     "masked", NULL};
    static const char *const recoveries[] = {"none",      "restart", "shrink", "replace",
                                             "mask_only", "retry",   NULL};

    do
        shape->generation = shape->is_elastic ? pick(rng, generations) : "restart";
    while (strcmp(shape->generation, "masked") == 0 && !shape->can_mask);
    do
        shape->recovery = pick(rng, recoveries);
    while ((strchr("sm", shape->recovery[0]) != NULL && !shape->has_eplb) ||
           (strcmp(shape->recovery, "replace") == 0 && !shape->is_elastic) ||
           (strcmp(shape->recovery, "shrink") == 0 && !shape->is_elastic) ||
           ((strcmp(shape->recovery, "mask_only") == 0 || strcmp(shape->recovery, "retry") == 0) &&
            !shape->can_mask));
    shape->n_spares = strcmp(shape->recovery, "replace") == 0 ? draw(rng, 1, 2) : 0;
}

/* Engines and slots of a pool: sizes that hold the model, with all the slots in use. */
static Shape draw_shape(EepRng *rng, const Model *model)
{
    static const char *const backends[] = {"allgather_reducescatter",
                                           "allgather_reducescatter",
                                           "deepep_high_throughput",
                                           "deepep_low_latency",
                                           "nixl_ep",
                                           "nixl_ep",
                                           "naive",
                                           NULL};
    Shape shape = {.tp = 1u << draw(rng, 0, 2)};
    guint ranks;

    if (shape.tp > model->max_tp || chance(rng, 60))
        shape.tp = 1;
    do {
        shape.engines = draw(rng, 1, 16);
        ranks = shape.engines * shape.tp;
    } while (ranks < model->min_ranks || ranks > 32);
    shape.slots = (model->n_experts + ranks - 1) / ranks + (chance(rng, 40) ? 1 : 0);
    shape.is_elastic = chance(rng, 70);
    shape.min_engines = (model->n_experts + shape.slots * shape.tp - 1) / (shape.slots * shape.tp);
    shape.max_engines = shape.engines + draw(rng, 0, 8);
    shape.max_engines = MIN(shape.max_engines, 32 / shape.tp);
    shape.backend = pick(rng, backends);
    shape.can_mask =
        strcmp(shape.backend, "nixl_ep") == 0 || strcmp(shape.backend, "deepep_low_latency") == 0;
    /* Without redundant experts and resizes a pool may do without EPLB. */
    shape.has_eplb = shape.is_elastic || shape.slots * ranks > model->n_experts || chance(rng, 60);
    draw_resizing(rng, &shape);
    return shape;
}

/* What an EPLB does besides its cadence, key by key; more keys on the line of eplb_config. */
static void add_eplb_details(GString *text, EepRng *rng, const char *policy)
{
    static const char *const triggers[] = {"interval", "imbalance", "cost_benefit", NULL};
    static const char *const choices[] = {"hash", "random", "static", "least_loaded", "lp", NULL};
    static const char *const senders[] = {"vllm", "topology", NULL};

    if (chance(rng, 60))
        g_string_append_printf(text,
                               ", trigger: %s, trigger_threshold: 0.%02u, trigger_windows: %u, "
                               "check_interval: %u",
                               pick(rng, triggers), draw(rng, 0, 99), draw(rng, 1, 4),
                               draw(rng, 0, 200));
    if (chance(rng, 60))
        g_string_append_printf(text, ", replica_choice: %s", pick(rng, choices));
    if (chance(rng, 50))
        g_string_append_printf(text, ", senders: %s, staging_experts: %u", pick(rng, senders),
                               draw(rng, 0, 6));
    if (chance(rng, 50))
        g_string_append_printf(text, ", contention: %s",
                               pick(rng, (const char *const[]){"0", "0.25", "1", NULL}));
    if (chance(rng, 50))
        g_string_append_printf(text, ", window_parts: %u", draw(rng, 1, 400));
    if (strcmp(policy, "eep") == 0 && chance(rng, 50))
        g_string_append_printf(text, ", max_bytes_moved: %uGB", draw(rng, 1, 40));
}

static void add_eplb(GString *text, EepRng *rng, const Model *model, const Shape *shape)
{
    static const char *const policies[] = {"vllm",  "deepseek", "deepseek_vec", "elasticity_aware",
                                           "naive", "default",  "eep",          NULL};
    guint redundant = shape->slots * shape->engines * shape->tp - model->n_experts;
    gboolean has_waterfill = model->has_shared && chance(rng, 30);
    const char *policy = pick(rng, policies), *is_async;
    gboolean has_nccl;

    if (!shape->has_eplb) {
        if (has_waterfill)
            g_string_append(text, "  eplb_config: {waterfill: true}\n");
        return;
    }
    is_async = truth(rng);
    has_nccl = shape->is_elastic && chance(rng, 15);
    g_string_append_printf(text,
                           "  enable_eplb: true\n"
                           "  eplb_config: {policy: %s, num_redundant_experts: %u, window_size: %u,"
                           " step_interval: %u, use_async: %s, waterfill: %s",
                           policy, redundant, draw(rng, 1, 300), draw(rng, 20, 600),
                           has_nccl ? "false" : is_async, has_waterfill ? "true" : "false");
    if (has_nccl)
        g_string_append(text, ", communicator: pynccl");
    add_eplb_details(text, rng, policy);
    g_string_append(text, "}\n");
}

/* More keys on the line of resize, and its end. */
static void add_resize_details(GString *text, EepRng *rng, const Shape *shape)
{
    if (chance(rng, 30) &&
        (strcmp(shape->generation, "restart") == 0 || strcmp(shape->recovery, "restart") == 0))
        g_string_append_printf(text, ", restart: {refit: %s}", truth(rng));
    if (chance(rng, 40))
        g_string_append_printf(text, ", leaving_drain: %ums", draw(rng, 0, 20000));
    if (chance(rng, 25))
        g_string_append_printf(text, ", prepare_deadline: %ums", draw(rng, 0, 60000));
    if (chance(rng, 25))
        g_string_append_printf(text, ", commit_deadline: %ums", draw(rng, 0, 20000));
    if (chance(rng, 40))
        g_string_append_printf(text, ", background: 0.%u", draw(rng, 0, 9));
    if (chance(rng, 40) && strcmp(shape->generation, "masked") == 0)
        g_string_append_printf(text, ", reserve: %u", chance(rng, 50) ? 0 : shape->max_engines);
    g_string_append(text, "}\n");
}

/* The watchdog always looks, so that whatever is lost is missed. */
static void add_recovery(GString *text, EepRng *rng, const Shape *shape)
{
    static const char *const backups[] = {"none", "host_memory", "disk", NULL};

    g_string_append_printf(text,
                           "  fault_tolerance: {recovery: %s, spares: {engines: %u, state: %s}",
                           shape->recovery, shape->n_spares, chance(rng, 50) ? "warm" : "cold");
    g_string_append_printf(
        text,
        ", expert_backup: %s, in_flight: %s, deadline: %us, detect: {process_exit: %ums, "
        "heartbeat: %ums, all2all_timeout: %ums, watchdog: %us}",
        pick(rng, backups), chance(rng, 50) ? "abort" : "retry",
        chance(rng, 60) ? 0 : draw(rng, 1, 60), draw(rng, 0, 3000), draw(rng, 0, 5000),
        draw(rng, 0, 8000), draw(rng, 1, 60));
    if (chance(rng, 10))
        g_string_append_printf(text, ", mtbf: %umin", draw(rng, 1, 60));
    g_string_append(text, "}\n");
}

static void add_pool(GString *text, EepRng *rng, const Model *model, const Shape *shape,
                     gboolean is_constant)
{
    static const char *const routers[] = {"waiting4_running", "in_flight_kv",    "round_robin",
                                          "power_of_two",     "prefix_affinity", NULL};
    static const char *const sources[] = {"peer", "peer", "disk", "page_cache", NULL};
    static const char *const busy[] = {"queue", "refuse", "supersede", NULL};
    gboolean rolls_back = strcmp(shape->generation, "eep") == 0;

    g_string_append_printf(text,
                           "  tensor_parallel_size: %u\n  data_parallel_size: %u\n"
                           "  enable_expert_parallel: true\n  enable_elastic_ep: %s\n"
                           "  all2all_backend: %s\n",
                           shape->tp, shape->engines, shape->is_elastic ? "true" : "false",
                           shape->backend);
    g_string_append_printf(text,
                           "  max_num_seqs: %u\n  max_num_batched_tokens: %u\n"
                           "  enable_prefix_caching: %s\n  async_scheduling: %s\n"
                           "  enforce_eager: %s\n",
                           chance(rng, 30) ? draw(rng, 1, 4) : draw(rng, 5, 128),
                           draw(rng, 16, 4096), truth(rng), truth(rng), truth(rng));
    if (is_constant || chance(rng, 40))
        g_string_append_printf(text, "  num_gpu_blocks_override: %u\n", draw(rng, 40, 2000));
    if (chance(rng, 20))
        g_string_append_printf(text, "  queue_limit: %u\n", draw(rng, 1, 10));
    if (chance(rng, 20))
        g_string_append_printf(text, "  watermark: 0.%02u\n", draw(rng, 0, 30));
    if (chance(rng, 15))
        g_string_append_printf(text, "  prefill_schedule_interval: %u\n", draw(rng, 1, 8));
    if (chance(rng, 15))
        g_string_append(text, "  scheduling_policy: priority\n");
    if (chance(rng, 20))
        g_string_append_printf(text, "  max_model_len: %u\n", draw(rng, 64, 8192));
    g_string_append_printf(text, "  router: {policy: %s, staleness: %ums}\n", pick(rng, routers),
                           chance(rng, 50) ? 0 : draw(rng, 1, 500));
    g_string_append_printf(
        text,
        "  resize: {generation: %s, weights_from: %s, on_busy: %s, drain_requests: %s, "
        "drain_timeout: %us",
        shape->generation, pick(rng, sources), busy[draw(rng, 0, rolls_back ? 2 : 1)],
        chance(rng, 25) && !rolls_back ? "true" : "false", draw(rng, 1, 30));
    add_resize_details(text, rng, shape);
    add_recovery(text, rng, shape);
    add_eplb(text, rng, model, shape);
}

static void add_lengths(GString *text, EepRng *rng, const char *name, guint high)
{
    guint low = draw(rng, 1, high);

    switch (draw(rng, 0, 3)) {
    case 0:
        g_string_append_printf(text, "    %s: %u\n", name, low);
        break;
    case 1:
        g_string_append_printf(text, "    %s: {uniform: {min: %u, max: %u}}\n", name, low,
                               low + draw(rng, 0, high));
        break;
    case 2:
        g_string_append_printf(text, "    %s: {lognormal: {p50: %u, p99: %u}}\n", name, low,
                               low * draw(rng, 1, 8));
        break;
    default:
        g_string_append_printf(text, "    %s: {exponential: {mean: %u}, max: %u}\n", name, low,
                               high * 8);
    }
}

static void add_traffic(GString *text, EepRng *rng, guint seconds)
{
    static const char *const laws[] = {"poisson", "constant", "gamma", NULL};
    const char *law = pick(rng, laws);

    g_string_append_printf(text, "traffic:\n  synthetic:\n    arrivals: %s\n    duration: %us\n",
                           law, seconds);
    if (law[0] == 'g')
        g_string_append_printf(text, "    burstiness: 0.%u\n", draw(rng, 1, 9));
    if (chance(rng, 30))
        g_string_append_printf(text,
                               "    piecewise: [{at: 0s, rate: %u/s}, {at: %ums, rate: %u/s}]\n",
                               draw(rng, 0, 20), draw(rng, 1, seconds * 1000), draw(rng, 1, 30));
    else
        g_string_append_printf(text, "    rate: %u/s\n", draw(rng, 1, 20));
    if (chance(rng, 20))
        g_string_append_printf(text, "    prefix: {groups: %u, tokens: %u, zipf_exponent: 0.%u}\n",
                               draw(rng, 1, 20), draw(rng, 16, 800), draw(rng, 0, 9));
    add_lengths(text, rng, "input_tokens", 1000);
    add_lengths(text, rng, "output_tokens", 200);
    if (chance(rng, 60))
        g_string_append_printf(text, "  retry: {attempts: %u, backoff: %ums, jitter: 0.%u}\n",
                               draw(rng, 1, 6), draw(rng, 0, 3000), draw(rng, 0, 9));
}

/* Whom a fault names: somebody there is at some size. */
static void add_target(GString *text, EepRng *rng, const Shape *shape)
{
    switch (draw(rng, 0, 9)) {
    case 0:
        g_string_append(text, "node: 0");
        break;
    case 1:
    case 2:
    case 3:
        g_string_append_printf(text, "rank: %u", draw(rng, 0, shape->engines * shape->tp - 1));
        break;
    default:
        g_string_append_printf(text, "engine: %u", draw(rng, 0, shape->engines - 1));
    }
}

/* Phases that a pool's resizes surely have, those of one direction where there is one. */
static const struct {
    const char *generations;
    const char *both[4], *up[8], *down[6];
} phases[] = {
    {" restart ", {"launch", "kv_sync", "destroy"}, {NULL}, {NULL}},
    {" m1 ", {"standby_groups", "switch", "reshuffle"}, {"launch", "kv_sync"}, {"destroy"}},
    {" g1 g2 ",
     {"standby_groups", "switch", "reshuffle"},
     {"launch", "map_broadcast"},
     {"destroy", "retire_groups"}},
    {" g2.1 g3 ",
     {"standby_groups", "switch", "retire_groups"},
     {"launch", "kernel_warm_up", "reshuffle"},
     {"destroy", "reshuffle"}},
    {" masked ", {"comm_split", "mask"}, {"kv_sync", "reshuffle"}, {"drain", "offload"}},
    {" eep ",
     {"standby_groups", "switch", "retire_groups"},
     {"launch", "preload", "spread", "map_broadcast"},
     {"drain", "migrate", "reshuffle"}},
};

static const char *pick_phase(EepRng *rng, const Shape *shape, gboolean is_up, gboolean is_down)
{
    g_autofree char *word = g_strdup_printf(" %s ", shape->generation);
    guint i = 0;

    while (strstr(phases[i].generations, word) == NULL)
        i++;
    if (is_up && phases[i].up[0] != NULL && chance(rng, 40))
        return pick(rng, phases[i].up);
    if (is_down && phases[i].down[0] != NULL && chance(rng, 60))
        return pick(rng, phases[i].down);
    return pick(rng, phases[i].both);
}

/* `is_up`, `is_down`: the pool has a resize that grows or shrinks it for sure. */
static void add_fault(GString *text, EepRng *rng, const Shape *shape, gboolean is_up,
                      gboolean is_down)
{
    switch (draw(rng, 0, is_up || is_down ? 5 : 3)) {
    case 0:
        g_string_append(text, "fail: {");
        add_target(text, rng, shape);
        break;
    case 1:
        g_string_append(text, "hang: {");
        add_target(text, rng, shape);
        break;
    case 2:
        g_string_append(text, "slow: {");
        add_target(text, rng, shape);
        g_string_append_printf(text, ", factor: %u.5, duration: %ums", draw(rng, 1, 4),
                               draw(rng, 0, 20000));
        break;
    case 3:
        g_string_append_printf(text, "link: {node: 0, bandwidth_factor: 0.%02u, duration: %ums",
                               draw(rng, 1, 99), draw(rng, 0, 20000));
        break;
    default:
        g_string_append_printf(text, "phase_%s: {phase: %s, nth: %u",
                               chance(rng, 50) ? "fail" : "hang",
                               pick_phase(rng, shape, is_up, is_down), draw(rng, 0, 3));
    }
    g_string_append_c(text, '}');
}

/* When: at a time, or during a resize before it in the list, of the same pool. */
static void add_time(GString *text, EepRng *rng, guint seconds, gint resize)
{
    static const char *const spans[] = {"prepare", "commit", "settle", NULL};

    if (resize < 0 || chance(rng, 40))
        g_string_append_printf(text, "at: %ums", draw(rng, 0, seconds * 1300));
    else
        g_string_append_printf(text, "during: {resize: e%d, phase: %s, after: %ums}", resize,
                               pick(rng, spans), chance(rng, 30) ? 0 : draw(rng, 1, 5000));
}

/* Resizes have ids e0, e1, ...; then come the faults and cancels. */
static void add_events(GString *text, EepRng *rng, const Shape *shapes, const char *const *pools,
                       guint n_pools, guint seconds, Drawn *drawn)
{
    guint n = chance(rng, 25) ? 0 : draw(rng, 1, 4),
          n_faults = chance(rng, 60) ? 0 : draw(rng, 1, 3);
    gint last[2] = {-1, -1}, changes[2] = {-1, -1};
    gboolean is_up[2] = {FALSE, FALSE}, is_down[2] = {FALSE, FALSE};

    if (n + n_faults > 0)
        g_string_append(text, "events:\n");
    for (guint i = 0; i < n; i++) {
        guint pool = draw(rng, 0, n_pools - 1);
        const Shape *shape = &shapes[pool];
        guint at = draw(rng, 0, seconds * 1300),
              to = draw(rng, shape->min_engines, shape->max_engines);

        g_string_append_printf(text,
                               "  - {id: e%u, at: %ums, pool: %s, scale_elastic_ep: "
                               "{new_data_parallel_size: %u}}\n",
                               i, at, pools[pool], to);
        last[pool] = (gint)i;
        is_up[pool] |= to > shape->engines;
        is_down[pool] |= to < shape->engines;
        if (to != shape->engines)
            changes[pool] = (gint)i;
    }
    for (guint i = 0; i < n_faults; i++) {
        guint pool = draw(rng, 0, n_pools - 1);
        const Shape *shape = &shapes[pool];

        g_string_append_printf(text, "  - {id: f%u, pool: %s, ", i, pools[pool]);
        add_time(text, rng, seconds, changes[pool]);
        g_string_append(text, ", ");
        if (last[pool] >= 0 && strcmp(shape->generation, "eep") == 0 && chance(rng, 30))
            g_string_append_printf(text, "cancel: {resize: e%d}", last[pool]);
        else
            add_fault(text, rng, shape, is_up[pool], is_down[pool]);
        g_string_append(text, "}\n");
    }
    drawn->n_resizes = n;
}

static void add_drift(GString *text, EepRng *rng, guint classes, guint seconds)
{
    g_string_append_printf(text, ", drift: {period: %u", draw(rng, 1, 300));
    switch (draw(rng, 0, classes > 1 ? 3 : 2)) {
    case 0:
        g_string_append_printf(text, ", kind: random_walk, half_life: %ums",
                               draw(rng, 1, seconds * 1000));
        break;
    case 1:
        g_string_append_printf(text, ", kind: rotation, interval: %ums",
                               draw(rng, 1, seconds * 1000));
        break;
    case 2:
        g_string_append_printf(text, ", kind: shift, at: %ums, every: %ums, correlation: 0.%u",
                               draw(rng, 1, seconds * 1000),
                               chance(rng, 50) ? 0 : draw(rng, 1, seconds * 500), draw(rng, 0, 9));
        break;
    default:
        g_string_append_printf(text, ", kind: mixture, interval: %ums",
                               draw(rng, 1, seconds * 1000));
    }
    g_string_append_c(text, '}');
}

/* Every law but the recorded one, which needs a file. */
static void add_skew(GString *text, EepRng *rng, guint seconds)
{
    static const char *const laws[] = {
        "uniform", "zipf", "uniform_random", "normal_routing", "power_law", "lognormal", NULL};
    guint classes = chance(rng, 40) ? draw(rng, 2, 4) : 1;

    g_string_append_printf(text,
                           "skew: {law: %s, exponent: 0.%u, alpha: 1.%u, spread: %u, sigma: "
                           "0.%u, classes: %u, class_correlation: 0.%02u",
                           pick(rng, laws), draw(rng, 1, 9), draw(rng, 0, 99), draw(rng, 1, 500),
                           draw(rng, 0, 99), classes, draw(rng, 0, 99));
    if (chance(rng, 50))
        g_string_append_printf(text, ", layer_correlation: 0.%u", draw(rng, 0, 9));
    else
        g_string_append(text, ", layers: same");
    if (chance(rng, 40))
        g_string_append_printf(text, ", decode_correlation: 0.%u", draw(rng, 0, 9));
    if (chance(rng, 40))
        g_string_append_printf(text, ", stickiness: 0.%02u", draw(rng, 0, 99));
    if (seconds <= 8 && chance(rng, 30)) /* slow */
        g_string_append(text, ", mode: sampled");
    if (chance(rng, 60))
        add_drift(text, rng, classes, seconds);
    g_string_append(text, "}\n");
}

Drawn draw_scenario(guint64 seed)
{
    static const char *const machines[] = {"h100-sxm", "h200-sxm", "h20-sxm", "h800-sxm", NULL};
    static const char *const names[] = {"main", "other"};
    GString *text = g_string_new(NULL);
    EepRng rng;
    Drawn drawn = {0};
    Shape shapes[2];

    eep_rng_init(&rng, seed, "sweep");
    const Model *model = &models[draw(&rng, 0, G_N_ELEMENTS(models) - 1)];
    gboolean is_constant = chance(&rng, 20);
    guint n_pools = chance(&rng, 20) ? 2 : 1, n_gpus = 0, seconds = draw(&rng, 2, 60);
    for (guint i = 0; i < n_pools; i++) {
        shapes[i] = draw_shape(&rng, model);
        n_gpus += ((shapes[i].max_engines + shapes[i].n_spares) * shapes[i].tp + 7) / 8 * 8;
    }
    g_string_append_printf(text, "eep: 1\nname: sweep-%" G_GUINT64_FORMAT "\nseed: %u\nmodel: %s\n",
                           seed, draw(&rng, 0, 1000000), model->name);
    if (is_constant)
        g_string_append_printf(text,
                               "hardware: {profile: constant-step, nodes: %u, step_time: %uus}\n",
                               (n_gpus + 7) / 8, draw(&rng, 1, 50000));
    else
        g_string_append_printf(text, "hardware: {profile: %s, nodes: %u}\n", pick(&rng, machines),
                               (n_gpus + 7) / 8);
    g_string_append(text, "deployment:\n");
    for (guint i = 0; i < n_pools; i++) {
        g_autoptr(GString) pool = g_string_new(NULL);
        add_pool(pool, &rng, model, &shapes[i], is_constant);
        if (n_pools > 1) {
            g_string_replace(pool, "\n  ", "\n      ", 0);
            g_string_append_printf(text, "%s    %s:\n    ", i == 0 ? "  pools:\n" : "", names[i]);
        }
        g_string_append(text, pool->str);
    }
    add_traffic(text, &rng, seconds);
    if (chance(&rng, 70))
        add_skew(text, &rng, seconds);
    g_string_append_printf(text, "slo: {ttft: %ums, tpot: %ums, target: 0.9}\n",
                           draw(&rng, 100, 5000), draw(&rng, 5, 200));
    add_events(text, &rng, shapes, names, n_pools, seconds, &drawn);
    g_string_append_printf(text, "measure: {warmup: %ums, bucket: %ums}\n",
                           draw(&rng, 0, seconds * 500), draw(&rng, 100, 5000));
    drawn.n_gpus = (n_gpus + 7) / 8 * 8;
    drawn.is_cut = chance(&rng, 25);
    if (drawn.is_cut)
        g_string_append_printf(text, "run: {end: cut, duration: %ums}\n",
                               draw(&rng, 1, seconds * 1500));
    drawn.text = g_string_free(text, FALSE);
    return drawn;
}
