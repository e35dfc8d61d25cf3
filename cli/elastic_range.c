#include "cli/elastic_range.h"

#include "core/resize/generation.h"
#include "scenarios/scenario_check.h"
#include "sim/all2all.h"

/* Least: every expert needs a slot, and slots of a rank do not change. Most: the GPUs that the
 * other pools leave at their first sizes, and what the all2all backend can span. */
EepElasticRange eep_elastic_range(const EepScenario *scenario, const EepScenarioPool *pool)
{
    const EepPoolOptions *options = &pool->options;
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    gint64 tp = options->tensor_parallel_size, domain = scenario->hardware.gpus_per_node;
    gint64 gpus = scenario->nodes * domain - options->fault_tolerance.spare_engines * tp;
    const EepAll2all *backend = eep_all2all(options->all2all_backend);
    gint64 ranks = backend->max_ranks > 0 ? (gint64)backend->max_ranks : G_MAXINT64;
    gint64 reserve = generation->has_reserve ? options->resize.reserve : 0;

    if (options->all2all_backend == EEP_ALL2ALL_FLASHINFER_NVLINK_ONE_SIDED)
        ranks = MIN(ranks, domain);
    for (guint i = 0; i < scenario->n_pools; i++)
        if (&scenario->pools[i] != pool)
            gpus -= eep_scenario_gpus(&scenario->pools[i],
                                      scenario->pools[i].options.data_parallel_size);
    EepElasticRange range = {
        .least = eep_scenario_least_engines(scenario, pool),
        .most = MIN(gpus, ranks) / tp,
        .is_resizable = options->enable_elastic_ep || !generation->needs_elastic,
        .most_because = ranks < gpus ? "ranks of the all2all backend" : "GPUs",
    };
    if (reserve > 0 && reserve < range.most) {
        range.most = reserve;
        range.most_because = "resize.reserve";
    }
    return range;
}
