#include "core/measurement.h"

const EepMeasureFacts eep_measures[EEP_MEASURE_COUNT] = {
    [EEP_MEASURE_KERNEL] = {"kernel", "", FALSE},
    [EEP_MEASURE_LAUNCH] = {"launch", "", FALSE},
    [EEP_MEASURE_MEMORY_READ] = {"memory_read", "bytes", FALSE},
    [EEP_MEASURE_HOST_COPY] = {"host_copy", "bytes", FALSE},
    [EEP_MEASURE_GEMM] = {"gemm", "shape", FALSE},
    [EEP_MEASURE_GROUPED_GEMM] = {"grouped_gemm", "shape", FALSE},
    [EEP_MEASURE_ALL_TO_ALL] = {"all_to_all", "bytes", TRUE},
    [EEP_MEASURE_ALL_GATHER] = {"all_gather", "bytes", TRUE},
    [EEP_MEASURE_PEER_COPY] = {"peer_copy", "bytes", TRUE},
    [EEP_MEASURE_COMM_INIT] = {"comm_init", "", FALSE},
    [EEP_MEASURE_COMM_SHRINK] = {"comm_shrink", "", TRUE},
    [EEP_MEASURE_COMM_DESTROY] = {"comm_destroy", "", FALSE},
    [EEP_MEASURE_GRAPH_CAPTURE] = {"graph_capture", "kernels", FALSE},
};

char *eep_measurement_size(const EepMeasurement *measurement)
{
    if (measurement->kind == EEP_MEASURE_GEMM || measurement->kind == EEP_MEASURE_GROUPED_GEMM)
        return g_strdup_printf("%ux%ux%ux%u", measurement->n_groups, measurement->n_rows,
                               measurement->n, measurement->k);
    return measurement->size > 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, measurement->size)
                                 : g_strdup("");
}
