/* What a deployment's options say of its resizes and recoveries: the field's own rules. */
#include "scenarios/scenario_check.h"

#include "core/fault.h"
#include "core/resize/resize.h"
#include "scenarios/backend_traits.h"

#include <stddef.h>
#include <string.h>

#define D G_GINT64_FORMAT

/* Failures that come faster than this are no mean time between failures but a mistake. */
#define LEAST_MTBF (60 * EEP_NS_PER_S)

typedef struct {
    gboolean broken;
    const char *key, *text; /* of the pool */
} Rule;

static gboolean refuse(const EepScenario *scenario, const EepScenarioPool *pool, const Rule *rules,
                       guint n_rules, GError **error)
{
    for (guint i = 0; i < n_rules; i++)
        if (rules[i].broken)
            return eep_yaml_fail(scenario->document,
                                 eep_scenario_where(scenario, pool->name, rules[i].key),
                                 EEP_OPTION_ERROR_BOUNDS, error, "%s", rules[i].text);
    return TRUE;
}

/* vllm/config/parallel.py, __post_init__, and what its switch asserts. */
static gboolean check_elastic(const EepScenario *scenario, const EepScenarioPool *pool,
                              GError **error)
{
    const EepPoolOptions *options = &pool->options;
    gboolean elastic = options->enable_elastic_ep;
    const Rule rules[] = {
        {elastic && !options->enable_eplb, "enable_elastic_ep",
         "enable_elastic_ep needs enable_eplb, which moves the experts: enable_eplb: true"},
        {elastic && !options->enable_expert_parallel, "enable_elastic_ep",
         "enable_elastic_ep needs enable_expert_parallel: enable_expert_parallel: true"},
        {elastic && options->pipeline_parallel_size > 1, "pipeline_parallel_size",
         "enable_elastic_ep does not work with pipeline_parallel_size above 1, in vLLM neither: 1"},
        {options->pipeline_parallel_size > 1, "pipeline_parallel_size",
         "not yet: pipelines of several stages are not supported by this version: 1"},
        {elastic && options->data_parallel_external_lb, "data_parallel_external_lb",
         "enable_elastic_ep does not work with data_parallel_external_lb, in vLLM neither (vllm "
         "#43202 is open): one of the two; try data_parallel_external_lb: false"},
        {elastic && options->data_parallel_hybrid_lb, "data_parallel_hybrid_lb",
         "enable_elastic_ep does not work with data_parallel_hybrid_lb, in vLLM neither: one of "
         "the two; try data_parallel_hybrid_lb: false"},
        {options->data_parallel_external_lb, "data_parallel_external_lb",
         "not yet: engines that are balanced from outside are not supported by this version: "
         "false; try router.policy"},
        {options->data_parallel_hybrid_lb, "data_parallel_hybrid_lb",
         "not yet: nodes that are balanced from outside are not supported by this version: false; "
         "try router.policy"},
        {elastic && options->enable_dbo, "enable_dbo",
         "enable_dbo does not work with enable_elastic_ep, in vLLM neither: one of the two; try "
         "enable_dbo: false"},
    };
    return refuse(scenario, pool, rules, G_N_ELEMENTS(rules), error);
}

/* Whose reserve is all that the others leave: one pool's at most. */
static gboolean shares_reserve(const EepScenario *scenario, const EepScenarioPool *pool)
{
    guint n = 0;

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepPoolOptions *options = &scenario->pools[i].options;
        const EepGeneration *generation = eep_generation_find(options->resize.generation);

        n += generation != NULL && generation->has_reserve && options->resize.reserve == 0;
    }
    return n > 1 && eep_generation_find(pool->options.resize.generation)->has_reserve &&
           pool->options.resize.reserve == 0;
}

static gboolean check_generation(const EepScenario *scenario, const EepScenarioPool *pool,
                                 GError **error)
{
    const EepPoolOptions *options = &pool->options;
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    const EepBackendTraits *backend = eep_backend_traits(options->all2all_backend);
    gboolean elastic = options->enable_elastic_ep && generation->needs_elastic;
    g_autofree char *elastic_ones = eep_backend_names_with(offsetof(EepBackendTraits, is_elastic));
    g_autofree char *masking_ones = eep_backend_names_with(offsetof(EepBackendTraits, can_mask));
    g_autofree char *reusing_ones =
        eep_backend_names_with(offsetof(EepBackendTraits, keeps_graphs));
    g_autofree char *not_elastic = g_strdup_printf(
        "%s cannot change its ranks while it serves, and generation %s does that: %s",
        eep_backend_name(options->all2all_backend), generation->name, elastic_ones);
    g_autofree char *no_mask =
        g_strdup_printf("%s cannot mask ranks, and generation %s does that: %s",
                        eep_backend_name(options->all2all_backend), generation->name, masking_ones);
    g_autofree char *no_reuse = g_strdup_printf(
        "%s cannot change its ranks under captured graphs, and generation %s does that: %s",
        eep_backend_name(options->all2all_backend), generation->name, reusing_ones);
    g_autofree char *no_way_back = g_strdup_printf(
        "generation %s has no way back, so that a newer resize cannot take the place of one that "
        "runs: queue or refuse; try generation: eep",
        generation->name);
    g_autofree char *never_drained = g_strdup_printf(
        "drain_requests waits until no request is left, and generation %s refuses none meanwhile: "
        "false (it drains leaving engines, see resize.leaving_drain); try drain_requests: false",
        generation->name);
    g_autofree char *no_reserve = g_strdup_printf(
        "generation %s launches engines when it needs them and keeps none in reserve: generation "
        "masked, or 0; try resize.generation: masked",
        generation->name);
    g_autofree char *no_refit = g_strdup_printf(
        "generation %s keeps its slots a rank, only a fresh start can choose them: generation "
        "restart, or recovery restart; try restart: {refit: false}",
        generation->name);
    g_autofree char *small =
        g_strdup_printf("the reserve of %" D " engines is smaller than the deployment of %" D
                        ": at least data_parallel_size, or 0",
                        options->resize.reserve, options->data_parallel_size);
    const Rule rules[] = {
        {elastic && !backend->is_elastic, "all2all_backend", not_elastic},
        {elastic && generation->needs == EEP_NEEDS_MASK && !backend->can_mask, "all2all_backend",
         no_mask},
        {elastic && generation->needs == EEP_NEEDS_REUSE && !backend->keeps_graphs,
         "all2all_backend", no_reuse},
        {options->resize.on_busy == EEP_ON_BUSY_SUPERSEDE && !generation->rolls_back,
         "resize.on_busy", no_way_back},
        {options->resize.drain_requests && generation->refuses == EEP_REFUSES_NEVER,
         "resize.drain_requests", never_drained},
        {options->resize.reserve > 0 && !generation->has_reserve, "resize.reserve", no_reserve},
        {options->resize.refit && !generation->replaces_all &&
             options->fault_tolerance.recovery != EEP_RECOVERY_RESTART,
         "resize.restart.refit", no_refit},
        {generation->has_reserve && options->resize.reserve > 0 &&
             options->resize.reserve < options->data_parallel_size,
         "resize.reserve", small},
        {shares_reserve(scenario, pool), "resize.generation",
         "two pools keep all GPUs that are left in reserve: resize.reserve of at least "
         "data_parallel_size for one of them"},
    };
    return refuse(scenario, pool, rules, G_N_ELEMENTS(rules), error);
}

/* Only NIXL moves experts of an elastic group beside its steps. vLLM takes use_async back where it
 * finds none (config/parallel.py), and so is the default here; who asks for it is told. It refuses
 * NCCL behind the steps of a fixed group (#44978). */
static gboolean check_communicator(EepScenario *scenario, EepScenarioPool *pool, GError **error)
{
    EepPoolOptions *options = &pool->options;
    gint communicator = options->eplb_config.communicator;
    gboolean no_async =
        options->enable_eplb && options->enable_elastic_ep && communicator != EEP_EPLB_NIXL;
    const Rule rules[] = {
        {options->enable_eplb && options->enable_elastic_ep && communicator == EEP_EPLB_TORCH_GLOO,
         "eplb_config.communicator",
         "torch_gloo cannot join the groups of enable_elastic_ep, in vLLM neither: nixl or pynccl"},
        {options->enable_eplb && !options->enable_elastic_ep && communicator == EEP_EPLB_PYNCCL &&
             options->eplb_config.use_async,
         "eplb_config.communicator",
         "pynccl beside running steps may hang, and vLLM refuses it with use_async (vllm #44978): "
         "nixl or torch_gloo, or eplb_config.use_async: false"},
        {no_async && options->eplb_config.use_async &&
             eep_scenario_is_given(scenario, pool->name, "eplb_config.use_async"),
         "eplb_config.use_async",
         "beside running steps an elastic group moves experts by nixl alone, in vLLM too: "
         "eplb_config.communicator: nixl, or use_async: false"},
    };

    if (!refuse(scenario, pool, rules, G_N_ELEMENTS(rules), error))
        return FALSE;
    if (no_async && options->eplb_config.use_async) {
        options->eplb_config.use_async = FALSE;
        eep_scenario_note(scenario,
                          "use_async is false: beside running steps an elastic group moves experts "
                          "by nixl alone");
    }
    return TRUE;
}

static gboolean check_recovery(EepScenario *scenario, const EepScenarioPool *pool, GError **error)
{
    const EepPoolOptions *options = &pool->options;
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    EepRecovery recovery = (EepRecovery)options->fault_tolerance.recovery;
    const char *name = eep_recovery_names[recovery];
    gboolean shrinks = recovery == EEP_RECOVERY_SHRINK || recovery == EEP_RECOVERY_REPLACE;
    gboolean masks = recovery == EEP_RECOVERY_MASK_ONLY || recovery == EEP_RECOVERY_RETRY;
    const EepBackendTraits *backend = eep_backend_traits(options->all2all_backend);
    g_autofree char *masking = eep_backend_names_with(offsetof(EepBackendTraits, can_mask));
    g_autofree char *elastic = eep_backend_names_with(offsetof(EepBackendTraits, is_elastic));
    g_autofree char *no_eplb = g_strdup_printf(
        "recovery %s needs enable_eplb, which knows where experts are: enable_eplb: true", name);
    g_autofree char *no_elastic =
        g_strdup_printf("recovery %s needs enable_elastic_ep, whose groups can change: "
                        "enable_elastic_ep: true; try recovery: restart",
                        name);
    g_autofree char *no_mask =
        g_strdup_printf("recovery %s needs an all2all_backend that masks ranks: %s", name, masking);
    g_autofree char *not_elastic = g_strdup_printf(
        "recovery %s needs an all2all_backend whose ranks can change: %s", name, elastic);
    EepTime mtbf = options->fault_tolerance.mtbf;
    const Rule rules[] = {
        {(shrinks || recovery == EEP_RECOVERY_MASK_ONLY) && !options->enable_eplb,
         "fault_tolerance.recovery", no_eplb},
        {shrinks && !options->enable_elastic_ep, "fault_tolerance.recovery", no_elastic},
        {shrinks && !backend->is_elastic, "fault_tolerance.recovery", not_elastic},
        {masks && !backend->can_mask, "fault_tolerance.recovery", no_mask},
        {recovery == EEP_RECOVERY_REPLACE && options->fault_tolerance.spare_engines == 0,
         "fault_tolerance.recovery",
         "recovery replace has no spare: fault_tolerance.spares.engines of at least 1; try spares: "
         "{engines: 1, state: warm}"},
        {recovery != EEP_RECOVERY_REPLACE && options->fault_tolerance.spare_engines > 0,
         "fault_tolerance.spares.engines",
         "spares stand by for recovery replace alone: recovery: replace, or engines: 0"},
        {mtbf > 0 && mtbf < LEAST_MTBF, "fault_tolerance.mtbf",
         "a mean time between failures below 1min: at least 1min, or 0s for none; try mtbf: 30d"},
    };

    if (!refuse(scenario, pool, rules, G_N_ELEMENTS(rules), error))
        return FALSE;
    if (recovery != EEP_RECOVERY_NONE) {
        const char *status = eep_recovery_status(generation, recovery);
        if (!g_str_has_prefix(status, "upstream") || strstr(status, "but not") != NULL)
            eep_scenario_note(scenario, "recovery %s (%s): %s", name, generation->name, status);
    }
    return TRUE;
}

gboolean eep_scenario_check_resizing(EepScenario *scenario, EepScenarioPool *pool, GError **error)
{
    return check_elastic(scenario, pool, error) && check_generation(scenario, pool, error) &&
           check_communicator(scenario, pool, error) && check_recovery(scenario, pool, error);
}
