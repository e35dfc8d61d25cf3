/* NCCL-like collectives, and the tensor-parallel all-reduce of a layer.
 *
 *   all-gather = latency + max(NVLink: (n - 1) bytes / rate, NIC: rows of other nodes / rate)
 *   all-reduce = latency * 1.5 + 2 (n - 1)/n bytes / rate of the slower link
 *
 * Across nodes every GPU drives a NIC of its own (rails), so each NIC carries its share of what the
 * node needs from outside; latency grows by a NIC hop a further node. Source: bus-bandwidth
 * conventions of nccl-tests (doc/PERFORMANCE.md); measured on A100, H100, H200, B200 NVLink
 * (docs/costs.md), where the latency of an all-reduce is about 1.5 that of an all-gather. */
#include "sim/cost.h"

static double latency_seconds(const EepHardware *hardware, guint n_nodes)
{
    return eep_time_to_seconds(hardware->collective_latency) +
           (n_nodes - 1) * eep_time_to_seconds(hardware->nic_latency);
}

double eep_cost_all_gather_seconds(const EepHardware *hardware, guint n, double bytes)
{
    if (n <= 1)
        return 0.0;
    const guint node = (guint)hardware->gpus_per_node;
    const guint n_nodes = (n + node - 1) / node;
    const guint local = MIN(n, node);
    double nvlink = (n - 1) * bytes / (hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency);
    double nic = n_nodes > 1 ? (n - local) * bytes / local /
                                   (hardware->nic_bytes_per_s * hardware->nic_efficiency)
                             : 0.0;
    return latency_seconds(hardware, n_nodes) + fmax(nvlink, nic);
}

double eep_cost_all_reduce_seconds(const EepHardware *hardware, guint n, double bytes)
{
    if (n <= 1)
        return 0.0;
    const guint node = (guint)hardware->gpus_per_node;
    const guint n_nodes = (n + node - 1) / node;
    double nvlink =
        2.0 * (n - 1) / n * bytes / (hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency);
    double nic = n_nodes > 1 ? 2.0 * (n_nodes - 1) / n_nodes * bytes / MIN(n, node) /
                                   (hardware->nic_bytes_per_s * hardware->nic_efficiency)
                             : 0.0;
    return 1.5 * latency_seconds(hardware, n_nodes) + fmax(nvlink, nic);
}

static double allreduce_seconds(const EepCostContext *context, const EepCostWork *work)
{
    guint tp = (guint)context->options->tensor_parallel_size;
    return eep_cost_all_reduce_seconds(context->hardware, tp,
                                       work->rows * context->model->hidden_size * 2.0);
}

const EepCostOps eep_cost_allreduce = {
    .size = sizeof(EepCostOps),
    .name = "allreduce",
    .per = "layer, two a dense layer",
    .formula = "1.5 latency + 2 (tp - 1)/tp * rows hidden * 2 bytes / link",
    .source = "nccl-tests conventions; measured on NVLink",
    .seconds = allreduce_seconds,
};
