#include "sim/phase_cost.h"

#include "sim/graph_mode.h"

/* Exchanges of control messages in which all old and new engines agree to switch: the request, the
 * all-reduce of (running, wave, step), the acknowledgement. */
#define SWITCH_MESSAGES 3

static double launch_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    const EepHardware *h = context->hardware;
    return eep_time_to_seconds(h->process_launch + h->cuda_context + h->model_construct);
}

static double standby_groups_seconds(const EepCostContext *context, const EepPhase *phase,
                                     guint index)
{
    const EepHardware *h = context->hardware;
    return eep_time_to_seconds(h->communicator_base) +
           phase->n_ranks_new * eep_time_to_seconds(h->communicator_per_rank);
}

static guint tensor_parallel(const EepCostContext *context)
{
    return (guint)MAX(1, context->options->tensor_parallel_size);
}

/* Seconds to move a worker's bytes to it from another; its TP GPUs have a link each. */
static double receive_seconds(const EepCostContext *context, const EepPhase *phase)
{
    const EepHardware *h = context->hardware;
    gboolean one_node = MAX(phase->n_ranks_old, phase->n_ranks_new) <= h->gpus_per_node;
    double rate = one_node ? h->nvlink_bytes_per_s * h->nvlink_efficiency
                           : h->nic_bytes_per_s * h->nic_efficiency;
    return phase->bytes / (double)tensor_parallel(context) / rate +
           eep_time_to_seconds(one_node ? h->nvlink_latency : h->nic_latency);
}

/* Receivers are the last n_receivers of the workers (new ranks are the highest). Old engines take
 * contiguous shares of them and serve them one after another. */
static double peer_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    if (phase->n_receivers == 0)
        return 0.0;
    guint senders = MAX(1, phase->n_ranks_old / tensor_parallel(context));
    guint queue = (phase->n_receivers + senders - 1) / senders;
    guint first = phase->n_workers > phase->n_receivers ? phase->n_workers - phase->n_receivers : 0;
    guint served = index < first ? queue : (index - first) % queue + 1;
    return served * receive_seconds(context, phase);
}

static double disk_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    const EepHardware *h = context->hardware;
    guint engines_per_node = MAX(1, (guint)h->gpus_per_node / tensor_parallel(context));
    return phase->bytes * (double)MIN(phase->n_receivers, engines_per_node) / h->disk_bytes_per_s;
}

static double kv_sync_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return 2.0 * eep_time_to_seconds(context->hardware->control_latency);
}

static double broadcast_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    const EepHardware *h = context->hardware;
    return eep_time_to_seconds(h->control_latency) +
           phase->bytes / (h->nic_bytes_per_s * h->nic_efficiency);
}

static double switch_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return SWITCH_MESSAGES * eep_time_to_seconds(context->hardware->control_latency);
}

static double warm_up_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return eep_time_to_seconds(context->hardware->kernel_warmup);
}

static double capture_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return eep_graph_n_sizes(context->options) *
           eep_time_to_seconds(context->hardware->graph_capture_size);
}

static double destroy_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return eep_time_to_seconds(context->hardware->group_destroy);
}

const EepPhaseCost eep_phase_costs[EEP_PHASE_COUNT] = {
    {EEP_PHASE_LAUNCH, "process_launch + cuda_context + model_construct", "hardware profile",
     launch_seconds},
    {EEP_PHASE_STANDBY_GROUPS, "communicator_base + communicator_per_rank * new ranks",
     "NCCL initialisation figures, hardware profile", standby_groups_seconds},
    {EEP_PHASE_WEIGHTS_FROM_PEER,
     "ceil(receivers / senders) * bytes / link: a sender serves its receivers one after another",
     "vLLM elastic_execute.py: contiguous shares, sequential sends", peer_seconds},
    {EEP_PHASE_WEIGHTS_FROM_DISK, "bytes * receivers on a node / disk rate", "hardware profile",
     disk_seconds},
    {EEP_PHASE_KV_SYNC, "2 control messages", "vLLM elastic_state.py: one gloo all-reduce",
     kv_sync_seconds},
    {EEP_PHASE_MAP_BROADCAST, "control message + bytes / NIC", "vLLM elastic_execute.py",
     broadcast_seconds},
    {EEP_PHASE_SWITCH, "3 control messages", "vLLM elastic_state.py: commit, all-reduce, answer",
     switch_seconds},
    {EEP_PHASE_WARM_UP, "kernel_warmup", "hardware profile", warm_up_seconds},
    {EEP_PHASE_GRAPH_CAPTURE, "capture sizes * graph_capture_size", "hardware profile",
     capture_seconds},
    {EEP_PHASE_RETIRE_GROUPS, "group_destroy", "hardware profile", destroy_seconds},
    {EEP_PHASE_KERNEL_WARM_UP, "kernel_warmup", "hardware profile", warm_up_seconds},
    {EEP_PHASE_DESTROY, "group_destroy", "hardware profile", destroy_seconds},
    {EEP_PHASE_WEIGHTS_TREE, "as weights_from_peer", "", peer_seconds},
    {EEP_PHASE_WEIGHTS_FROM_CACHE, "as weights_from_disk", "", disk_seconds},
    {EEP_PHASE_WEIGHTS_FROM_HOST, "as weights_from_disk", "", disk_seconds},
    {EEP_PHASE_COMM_SPLIT, "as standby_groups", "", standby_groups_seconds},
    {EEP_PHASE_OFFLOAD, "as weights_from_disk", "", disk_seconds},
    {EEP_PHASE_MASK, "3 control messages", "", switch_seconds},
};

EepTime eep_phase_cost(const EepCostContext *context, const EepPhase *phase, EepTime *ret_each)
{
    gboolean is_free =
        phase->kind >= EEP_PHASE_COUNT || eep_hardware_is_constant(context->hardware);
    EepTime slowest = 0;
    for (guint i = 0; i < phase->n_workers; i++) {
        EepTime mine =
            is_free
                ? 0
                : eep_time_from_seconds(eep_phase_costs[phase->kind].seconds(context, phase, i));
        slowest = MAX(slowest, mine);
        if (ret_each)
            ret_each[i] = mine;
    }
    return slowest;
}
