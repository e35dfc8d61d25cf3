/* Dispatch and combine of one MoE layer: latency + bytes over the bottleneck link.
 *
 *   scatter: each of dispatch and combine takes
 *     latency + max(tokens * copies over NVLink * bytes / NVLink rate,
 *                   tokens * copies over the NIC * bytes / NIC rate)
 *     tokens = the larger of what the largest rank sends and what the busiest rank receives
 *   gather: all-gather, then reduce-scatter of everyone's tokens
 *   broadcast: one broadcast a rank, then an all-reduce
 *
 * Copies of a token, with k experts spread evenly over R ranks in N nodes of n GPUs:
 *   no dedup    NVLink k (n - 1)/R, NIC k (R - n)/R
 *   rank dedup  k replaced by the expected number of distinct ranks
 *   node dedup  NIC: distinct nodes * (N - 1)/N; NVLink: distinct ranks * (n - 1)/n
 * The router's groups (n_group, topk_group) limit the nodes and ranks that a token can visit.
 * Source: DeepEP's and TensorRT-LLM's layouts; the off-node share 1 - n/R reproduces DeepEP's
 * published low-latency figures at 46 to 48 GB/s a NIC for EP16 to EP256 (docs/costs.md). */
#include "sim/all2all.h"

#include "core/math.h"

/* Distinct bins among n equal ones after k draws. */
static double distinct_of(double n, double k)
{
    return n <= 1.0 ? 1.0 : n * (1.0 - eep_exp(k * eep_log(1.0 - 1.0 / n)));
}

double eep_all2all_distinct(const EepModel *model, guint n_bins)
{
    const gint64 groups = model->n_group, chosen = model->topk_group;
    double reachable = n_bins;
    if (groups > 1 && chosen < groups) {
        if (n_bins >= groups) {
            reachable = (double)n_bins * chosen / groups; /* a group spans whole bins */
        } else {
            /* P(none of a bin's groups is chosen), a bin holding groups / n_bins of them. */
            gint64 held = groups / n_bins;
            double missed = 1.0;
            for (gint64 i = 0; i < chosen; i++)
                missed *= fmax(0.0, (double)(groups - held - i) / (groups - i));
            reachable = n_bins * (1.0 - missed);
        }
    }
    return distinct_of(reachable, model->experts_per_token);
}

double eep_all2all_received_rows(const EepAll2all *backend, const EepCostContext *context,
                                 double total_tokens)
{
    if (backend->kind != EEP_ALL2ALL_SCATTER)
        return total_tokens;
    return total_tokens * eep_all2all_distinct(context->model, context->n_ranks) / context->n_ranks;
}

static double scatter_seconds(const EepAll2all *backend, const EepCostContext *context,
                              const EepCostWork *work, int direction)
{
    const EepHardware *hardware = context->hardware;
    const EepModel *m = context->model;
    const double ranks = context->n_ranks;
    const double node = fmin(ranks, hardware->gpus_per_node);
    const guint n_nodes = (guint)ceil(ranks / hardware->gpus_per_node);
    const double *hops = direction == 0 ? backend->dispatch_hops : backend->combine_hops;
    double latency = hops[0] * eep_time_to_seconds(hardware->nvlink_latency);
    if (n_nodes > 1)
        latency += hops[1] * eep_time_to_seconds(hardware->nic_latency);
    double bytes = backend->combine_bytes;
    if (direction == 0)
        bytes = m->expert_flops_scale > 1.0 ? backend->dispatch_bytes : 2.0;

    /* Waterfill's shared expert is one more choice; with dedup it goes where the token goes. */
    const gint64 choices = m->experts_per_token + (context->options->eplb_config.waterfill ? 1 : 0);
    double copies = backend->dedup == EEP_DEDUP_NONE ? (double)choices
                                                     : eep_all2all_distinct(m, context->n_ranks);
    double nvlink = copies * (node - 1) / ranks;
    double nic = copies * (ranks - node) / ranks;
    if (backend->dedup == EEP_DEDUP_NODE) {
        nvlink = copies * (node - 1) / node;
        nic = eep_all2all_distinct(m, n_nodes) * (n_nodes - 1) / n_nodes;
    }
    double tokens = fmax(work->max_rank_tokens, work->total_tokens / ranks * work->imbalance);
    double volume = tokens * m->hidden_size * bytes;
    double nvlink_rate = hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency *
                         backend->nvlink_share[direction];
    double seconds = volume * nvlink / nvlink_rate;
    if (n_nodes > 1)
        seconds = fmax(seconds, volume * nic /
                                    (hardware->nic_bytes_per_s * hardware->nic_efficiency *
                                     backend->nic_share[direction]));
    return latency + seconds;
}

static double gather_seconds(const EepAll2all *backend, const EepCostContext *context,
                             const EepCostWork *work, int direction)
{
    double bytes = direction == 0 ? backend->dispatch_bytes : backend->combine_bytes;
    double total = work->total_tokens * context->model->hidden_size * bytes;
    const EepHardware *hardware = context->hardware;
    const guint ranks = context->n_ranks;
    if (backend->kind == EEP_ALL2ALL_GATHER)
        return eep_cost_all_gather_seconds(hardware, ranks, total / ranks);
    if (direction == 1)
        return eep_cost_all_reduce_seconds(hardware, ranks, total);
    return eep_cost_all_gather_seconds(hardware, ranks, total / ranks) +
           (ranks - 1) * eep_time_to_seconds(hardware->collective_latency);
}

double eep_all2all_seconds(const EepAll2all *backend, const EepCostContext *context,
                           const EepCostWork *work, double *ret_dispatch, double *ret_combine)
{
    double part[2] = {0.0, 0.0};
    if (context->n_ranks > 1)
        for (int direction = 0; direction < 2; direction++)
            part[direction] = backend->kind == EEP_ALL2ALL_SCATTER
                                  ? scatter_seconds(backend, context, work, direction)
                                  : gather_seconds(backend, context, work, direction);
    if (ret_dispatch)
        *ret_dispatch = part[0];
    if (ret_combine)
        *ret_combine = part[1];
    return part[0] + part[1];
}

static double all2all_seconds(const EepCostContext *context, const EepCostWork *work)
{
    return eep_all2all_seconds(eep_all2all(context->options->all2all_backend), context, work, NULL,
                               NULL);
}

const EepCostOps eep_cost_all2all = {
    .size = sizeof(EepCostOps),
    .name = "all2all",
    .per = "MoE layer and round",
    .formula = "latency + bytes over the bottleneck link, dispatch and combine",
    .source = "one capability table (sim/all2all.c), each row with its own",
    .seconds = all2all_seconds,
};
