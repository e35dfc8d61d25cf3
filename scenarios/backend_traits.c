#include "scenarios/backend_traits.h"

/* In the order of EepAll2allBackend. NIXL EP's buffers are sized for 32 ranks
 * (VLLM_NIXL_EP_MAX_NUM_RANKS). */
static const EepBackendTraits traits[EEP_ALL2ALL_COUNT] = {
    [EEP_ALL2ALL_ALLGATHER_REDUCESCATTER] = {.is_elastic = TRUE},
    [EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT] = {.is_elastic = TRUE, .has_micro_batches = TRUE},
    [EEP_ALL2ALL_DEEPEP_LOW_LATENCY] = {.is_elastic = TRUE,
                                        .can_mask = TRUE,
                                        .has_micro_batches = TRUE},
    [EEP_ALL2ALL_NIXL_EP] = {.is_elastic = TRUE,
                             .can_mask = TRUE,
                             .keeps_graphs = TRUE,
                             .max_ranks = 32},
    [EEP_ALL2ALL_FLASHINFER_NVLINK_ONE_SIDED] = {.in_one_domain = TRUE},
    [EEP_ALL2ALL_NAIVE] = {.is_elastic = TRUE},
};

static const char *const names[EEP_ALL2ALL_COUNT] = {
    [EEP_ALL2ALL_ALLGATHER_REDUCESCATTER] = "allgather_reducescatter",
    [EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT] = "deepep_high_throughput",
    [EEP_ALL2ALL_DEEPEP_LOW_LATENCY] = "deepep_low_latency",
    [EEP_ALL2ALL_NIXL_EP] = "nixl_ep",
    [EEP_ALL2ALL_FLASHINFER_NVLINK_ONE_SIDED] = "flashinfer_nvlink_one_sided",
    [EEP_ALL2ALL_NAIVE] = "naive",
};

const EepBackendTraits *eep_backend_traits(gint backend)
{
    g_return_val_if_fail(backend >= 0 && backend < EEP_ALL2ALL_COUNT, &traits[0]);
    return &traits[backend];
}

const char *eep_backend_name(gint backend)
{
    g_return_val_if_fail(backend >= 0 && backend < EEP_ALL2ALL_COUNT, names[0]);
    return names[backend];
}

char *eep_backend_names_with(gsize offset)
{
    GString *text = g_string_new(NULL);
    guint last = 0;

    for (guint i = 0; i < EEP_ALL2ALL_COUNT; i++)
        if (*(const gboolean *)((const char *)&traits[i] + offset))
            last = i;
    for (guint i = 0; i <= last; i++)
        if (*(const gboolean *)((const char *)&traits[i] + offset))
            g_string_append_printf(text, "%s%s",
                                   text->len == 0 ? ""
                                   : i == last    ? " or "
                                                  : ", ",
                                   names[i]);
    return g_string_free(text, FALSE);
}
