/* NCCL-like collectives, and the tensor-parallel all-reduce of a layer.
 *
 *   transfer   = max(NVLink bytes / rate, NIC bytes / rate)
 *   all-gather = min(latency + transfer / 0.4, 2.3 latency + transfer)
 *   all-reduce = the same with 1.5 times the latency
 *
 * The two forms are NCCL's low-latency and simple protocols: flags beside the data cost bandwidth,
 * full bandwidth costs start-up. The latency is that of 8 GPUs, the profile's figure, scaled by
 * 0.37 + 0.63 n / 8 for n GPUs of a node. Across nodes every GPU drives a NIC of its own (rails),
 * so each NIC carries its share of what the node needs from outside; latency grows by a NIC hop a
 * further node. Sources: bus-bandwidth conventions of nccl-tests (doc/PERFORMANCE.md); the factors
 * fit all-gathers on A100, H100, H200 and B200 NVLink (docs/costs.md). */
#include "sim/cost.h"

#define LOW_LATENCY_RATE   0.4
#define SIMPLE_LATENCY     2.3
#define LATENCY_BASE       0.37
#define LATENCY_SLOPE      0.63
#define ALL_REDUCE_LATENCY 1.5

/* nvlink, nic: bytes that each GPU moves over either link. */
static double collective_seconds(const EepHardware *hardware, guint n, double nvlink, double nic,
                                 double latency_scale)
{
    const guint node = (guint)hardware->gpus_per_node, n_nodes = (n + node - 1) / node;
    double in_node = LATENCY_BASE + LATENCY_SLOPE * MIN(n, node) / 8.0;
    double latency = latency_scale * (in_node * eep_time_to_seconds(hardware->collective_latency) +
                                      (n_nodes - 1) * eep_time_to_seconds(hardware->nic_latency));
    double transfer = nvlink / (hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency);
    if (n_nodes > 1)
        transfer = fmax(transfer, nic / (hardware->nic_bytes_per_s * hardware->nic_efficiency));
    return fmin(latency + transfer / LOW_LATENCY_RATE, SIMPLE_LATENCY * latency + transfer);
}

double eep_cost_all_gather_seconds(const EepHardware *hardware, guint n, double bytes)
{
    if (n <= 1)
        return 0.0;
    const guint local = MIN(n, (guint)hardware->gpus_per_node);
    return collective_seconds(hardware, n, (n - 1) * bytes, (n - local) * bytes / local, 1.0);
}

double eep_cost_all_reduce_seconds(const EepHardware *hardware, guint n, double bytes)
{
    if (n <= 1)
        return 0.0;
    const guint node = (guint)hardware->gpus_per_node, n_nodes = (n + node - 1) / node;
    return collective_seconds(hardware, n, 2.0 * (n - 1) / n * bytes,
                              2.0 * (n_nodes - 1) / n_nodes * bytes / MIN(n, node),
                              ALL_REDUCE_LATENCY);
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
    .formula = "collective of 2 (tp - 1)/tp * rows hidden * 2 bytes at 1.5 latency",
    .source = "nccl-tests conventions; measured on NVLink",
    .seconds = allreduce_seconds,
};
