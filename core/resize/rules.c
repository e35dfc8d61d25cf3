/* What may be asked for: the field's own rules, in the field's own words. */
#include "core/resize/resize_machine.h"

/* Slots per rank are constant, so fewer ranks have fewer slots; every expert needs one. The minimum
 * is vLLM's ceil(E * cur / (E + R)), as E + R = slots_per_rank * ranks. (vllm/v1/engine/
 * core_client.py, prepare_elastic_ep.) A fresh start may have more slots a rank, as far as memory
 * goes. */
static char *too_few_slots(const EepResize *resize, const EepGeneration *scheme, gint64 new_dp)
{
    const EepResizeParams *params = &resize->params;
    gint64 slots = eep_resize_slots_at(resize, scheme, new_dp);
    gint64 per_engine = slots * params->tensor_parallel_size;
    gint64 minimum = per_engine > 0 ? (params->n_experts + per_engine - 1) / per_engine : 1;

    if (params->n_experts == 0)
        return NULL;
    if (params->max_slots_per_rank > 0 && slots > params->max_slots_per_rank)
        return g_strdup_printf("cannot scale to %" G_GINT64_FORMAT
                               " data parallel engines: %u experts need %" G_GINT64_FORMAT
                               " slots a rank, and memory holds %u beside a KV block",
                               new_dp, params->n_experts, slots, params->max_slots_per_rank);
    if (new_dp >= minimum)
        return NULL;
    return g_strdup_printf("cannot scale to %" G_GINT64_FORMAT
                           " data parallel engines: %u experts need a slot each and an engine has "
                           "%" G_GINT64_FORMAT "; minimum is %" G_GINT64_FORMAT,
                           new_dp, params->n_experts, per_engine, minimum);
}

static char *not_elastic(const EepResize *resize)
{
    const EepResizeParams *params = &resize->params;
    const char *name = resize->generation->name;

    if (!resize->generation->needs_elastic)
        return NULL;
    if (!params->enable_elastic_ep)
        return g_strdup_printf("generation %s needs enable_elastic_ep", name);
    if (!params->is_elastic_backend)
        return g_strdup_printf("generation %s: all2all_backend %s cannot change its ranks while it "
                               "serves",
                               name, params->all2all_backend);
    if (params->enable_dbo)
        return g_strdup_printf("generation %s: enable_dbo is not supported with elastic EP", name);
    if (resize->generation->needs == EEP_NEEDS_MASK && !params->can_mask)
        return g_strdup_printf("generation %s: all2all_backend %s cannot mask ranks", name,
                               params->all2all_backend);
    return NULL;
}

static char *no_gpus(const EepResize *resize, gint64 new_dp)
{
    const EepControl *control = resize->control;
    gint64 tp = resize->params.tensor_parallel_size;
    gint64 current = eep_control_serving(control)->n_engines;
    gint64 needed = MAX(new_dp - current, 0) * tp;
    gint64 free_gpus = resize->host->free_gpus(resize->host_self);

    /* What was prepared holds its GPUs already. */
    if (control->coordinator.state == EEP_COORDINATOR_PREPARED)
        return NULL;
    if (needed <= free_gpus)
        return NULL;
    return g_strdup_printf("cannot scale to %" G_GINT64_FORMAT
                           " data parallel engines: %" G_GINT64_FORMAT
                           " more GPUs needed, %" G_GINT64_FORMAT " free",
                           new_dp, needed, free_gpus);
}

char *eep_rules_refusal(const EepResize *resize, gint64 new_dp)
{
    const EepResizeParams *params = &resize->params;
    const EepCoordinator *coordinator = &resize->control->coordinator;
    char *reason;

    if (new_dp <= 0)
        return g_strdup("new_data_parallel_size must be a positive integer");
    if (coordinator->state == EEP_COORDINATOR_STUCK)
        return g_strdup("an earlier resize failed and left the group between two sizes");
    if (coordinator->state == EEP_COORDINATOR_PREPARED && new_dp != coordinator->to)
        return g_strdup_printf("already prepared for %u data parallel engines", coordinator->to);
    reason = not_elastic(resize);
    if (reason != NULL)
        return reason;
    if (new_dp > params->max_engines)
        return g_strdup_printf("cannot scale to %" G_GINT64_FORMAT
                               " data parallel engines: maximum is %u",
                               new_dp, params->max_engines);
    if (params->max_ranks > 0 && new_dp * params->tensor_parallel_size > params->max_ranks)
        return g_strdup_printf("cannot scale to %" G_GINT64_FORMAT
                               " data parallel engines: all2all_backend %s has buffers for %u EP "
                               "ranks",
                               new_dp, params->all2all_backend, params->max_ranks);
    reason = too_few_slots(resize, eep_resize_scheme(resize), new_dp);
    return reason != NULL ? reason : no_gpus(resize, new_dp);
}

char *eep_rules_recovery_refusal(const EepResize *resize, EepRecovery recovery, guint n_left)
{
    const EepResizeParams *params = &resize->params;
    const EepGeneration *scheme = eep_generation_of_recovery(recovery);

    if (scheme->replaces_all)
        return NULL;
    if (n_left == 0)
        return g_strdup("no engine is left");
    if (recovery == EEP_RECOVERY_RETRY && n_left < eep_control_serving(resize->control)->n_engines)
        return g_strdup("a dead engine cannot be brought back by retry");
    if (recovery == EEP_RECOVERY_MASK_ONLY && !params->can_mask)
        return g_strdup_printf("all2all_backend %s cannot mask ranks", params->all2all_backend);
    return recovery == EEP_RECOVERY_MASK_ONLY ? NULL : too_few_slots(resize, scheme, n_left);
}
