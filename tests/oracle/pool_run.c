#include "tests/oracle/pool_run.h"

#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"
#include "tests/serving/serving_kit.h"

static void set_options(const EagerConfig *config, EepPoolOptions *options)
{
    options->data_parallel_size = config->n_engines;
    options->block_size = config->block_size;
    options->max_num_batched_tokens = config->max_num_batched_tokens;
    options->max_num_seqs = config->max_num_seqs;
    options->enable_prefix_caching = config->prefix_caching;
    options->async_scheduling = config->async_scheduling;
    options->watermark = config->watermark;
    options->scheduling_policy =
        config->priority_policy ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    options->prefill_schedule_interval = MAX(1, config->prefill_schedule_interval);
    options->router.policy =
        config->router == EAGER_ROUND_ROBIN ? EEP_ROUTER_ROUND_ROBIN : EEP_ROUTER_WAITING4_RUNNING;
}

static EagerResult result_of(const KitResult *result)
{
    gboolean completed = result->fate == EEP_FATE_COMPLETED;

    return (EagerResult){
        .rejected = result->fate == EEP_FATE_REJECTED,
        .engine = completed ? (gint)result->worker - 1 : -1,
        .first_token = completed ? result->first_token : -1,
        .finish = completed ? result->finish : -1,
        .preemptions = result->preemptions,
        .cached_tokens = result->cached_tokens,
        .max_itl = result->max_gap,
    };
}

gboolean pool_run(const EagerConfig *config, const EagerRequest *requests, guint n_requests,
                  guint fail_every, EagerResult *ret_results, PoolRunTotals *ret_totals,
                  GError **error)
{
    /* Under a constant step the shape only has to be valid. */
    EepModel model = {.name = "any",
                      .n_layers = 1,
                      .moe_every = 1,
                      .hidden_size = 64,
                      .moe_intermediate_size = 64,
                      .n_routed_experts = 2,
                      .experts_per_token = 1,
                      .n_group = 1,
                      .topk_group = 1};
    EepHardware hardware = {
        .name = "constant-step", .gpus_per_node = 8, .constant_step = config->step_time};
    EepSkewOptions skew = {0};
    g_autofree EepArrival *arrivals = g_new0(EepArrival, n_requests);
    g_autoptr(EepPredictor) predictor = NULL;
    g_autoptr(KitRun) run = NULL;
    KitConfig kit;

    for (guint i = 0; i < n_requests; i++)
        arrivals[i] = (EepArrival){.arrival = requests[i].arrival,
                                   .prompt_tokens = requests[i].prompt,
                                   .output_tokens = requests[i].output,
                                   .priority = requests[i].priority,
                                   .n_hashes = requests[i].n_hashes,
                                   .hashes = requests[i].hashes};
    kit_config_init(&kit);
    set_options(config, &kit.options);
    kit.shape.max_engines = config->n_engines;
    kit.shape.n_blocks = config->num_blocks;
    kit.shape.hash_tokens = config->prefix_caching ? config->hash_tokens : 0;
    kit.fail_every = fail_every;
    kit.checks = FALSE;
    predictor = eep_sim_predictor_new(&model, &hardware, &kit.options,
                                      eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                                   (guint)model.n_routed_experts, NULL, NULL, NULL),
                                      FALSE, 1);
    kit.predictor = predictor;
    kit.backend = eep_sim_backend_new(predictor);
    run = kit_run(&kit, arrivals, n_requests, error);
    if (run != NULL) {
        for (guint i = 0; i < n_requests; i++)
            ret_results[i] = result_of(&run->results[i]);
        *ret_totals =
            (PoolRunTotals){run->counts.n_preemptions, run->counts.n_hit_blocks, run->n_steps};
    }
    kit_config_clear(&kit);
    return run != NULL;
}
