#include "sim/phase_cost.h"

#include <math.h>

#include "sim/graph_mode.h"

/* Exchanges of control messages in which all old and new engines agree to switch: the request, the
 * all-reduce of (running, wave, step), the acknowledgement. */
#define SWITCH_MESSAGES 3

/* Of vLLM's four standby groups (world, dp, ep, eplb) all but world make a device communicator; of
 * a split, dp and ep. */
#define STANDBY_COMMUNICATORS 3
#define SPLIT_COMMUNICATORS   2

/* Masking: the order to all ranks and their answers. */
#define MASK_MESSAGES 2

/* A piece of weights that a rank of the tree sends on as soon as it has it: staged in device
 * memory, and large enough for full bandwidth. */
#define TREE_CHUNK (16.0 * 1024.0 * 1024.0)

static double launch_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    const EepHardware *h = context->hardware;
    return eep_time_to_seconds(h->process_launch + h->cuda_context + h->model_construct);
}

static double standby_groups_seconds(const EepCostContext *context, const EepPhase *phase,
                                     guint index)
{
    const EepHardware *h = context->hardware;
    return STANDBY_COMMUNICATORS *
           (eep_time_to_seconds(h->communicator_base) +
            phase->n_ranks_new * eep_time_to_seconds(h->communicator_per_rank));
}

static double split_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    const EepHardware *h = context->hardware;
    return SPLIT_COMMUNICATORS *
           (eep_time_to_seconds(h->comm_split) +
            phase->n_ranks_new * eep_time_to_seconds(h->communicator_per_rank));
}

static guint tensor_parallel(const EepCostContext *context)
{
    return (guint)MAX(1, context->options->tensor_parallel_size);
}

/* What lies between old ranks and new ones, for one GPU. A worker's TP GPUs have a link each. */
typedef struct {
    double bytes_per_s, latency;
} Path;

static Path path_of(const EepCostContext *context, const EepPhase *phase)
{
    const EepHardware *h = context->hardware;
    gboolean one_node = MAX(phase->n_ranks_old, phase->n_ranks_new) <= h->gpus_per_node;

    return one_node ? (Path){h->nvlink_bytes_per_s * h->nvlink_efficiency,
                             eep_time_to_seconds(h->nvlink_latency)}
                    : (Path){h->nic_bytes_per_s * h->nic_efficiency,
                             eep_time_to_seconds(h->nic_latency)};
}

static double bytes_of_gpu(const EepCostContext *context, const EepPhase *phase)
{
    return (double)phase->bytes / (double)tensor_parallel(context);
}

/* Old engines take contiguous shares of the receivers, of at most this length. */
static guint longest_share(const EepCostContext *context, const EepPhase *phase)
{
    guint senders = MAX(1, phase->n_ranks_old / tensor_parallel(context));
    return (phase->n_receivers + senders - 1) / senders;
}

/* Which of its sender's receivers the worker is, from 1 on; 0: a sender. Receivers are the last
 * n_receivers of the workers (new ranks are the highest). */
static guint place_in_share(const EepPhase *phase, guint index, guint share)
{
    guint first = phase->n_workers > phase->n_receivers ? phase->n_workers - phase->n_receivers : 0;
    return index < first ? 0 : (index - first) % share + 1;
}

/* A sender serves its receivers one after another. */
static double peer_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    if (phase->n_receivers == 0)
        return 0.0;
    const Path path = path_of(context, phase);
    const guint share = longest_share(context, phase);
    const guint place = place_in_share(phase, index, share);
    return (place > 0 ? place : share) *
           (bytes_of_gpu(context, phase) / path.bytes_per_s + path.latency);
}

/* Levels of a tree of `n` ranks below its root that each have `fan_out` children, 1 or 2. */
static guint tree_depth(guint n, guint fan_out)
{
    guint depth = 0;
    if (fan_out == 1)
        return n;
    for (guint held = 0; held < n; depth++)
        held += 2U << depth;
    return depth;
}

/* When the ranks of a level have it all: a rank sends every piece once to each child, and a level
 * is a piece behind the one above it. */
static double tree_level_seconds(const Path *path, double bytes, guint fan_out, guint level)
{
    const double chunk = fmin(TREE_CHUNK, bytes);
    return fan_out * (bytes + (level - 1) * chunk) / path->bytes_per_s + level * path->latency;
}

/* Each old engine is the root of a tree over its share of the receivers, a chain or a binary one:
 * whichever is done first. */
static double tree_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    if (phase->n_receivers == 0)
        return 0.0;
    const Path path = path_of(context, phase);
    const double bytes = bytes_of_gpu(context, phase);
    const guint share = longest_share(context, phase);
    const guint place = place_in_share(phase, index, share);
    const guint fan_out = tree_level_seconds(&path, bytes, 2, tree_depth(share, 2)) <
                                  tree_level_seconds(&path, bytes, 1, share)
                              ? 2
                              : 1;
    /* A root is busy for as long as its children receive. */
    return tree_level_seconds(&path, bytes, MIN(fan_out, share),
                              place > 0 ? tree_depth(place, fan_out) : 1);
}

/* Receivers on one host, as far as they fit it. */
static double receivers_on_host(const EepCostContext *context, const EepPhase *phase)
{
    guint engines =
        MAX(1, (guint)eep_hardware_gpus_per_host(context->hardware) / tensor_parallel(context));
    return (double)MIN(phase->n_receivers, engines);
}

static double disk_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return (double)phase->bytes * receivers_on_host(context, phase) /
           context->hardware->disk_bytes_per_s;
}

static double host_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return bytes_of_gpu(context, phase) / context->hardware->pcie_bytes_per_s;
}

static double cache_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return fmax(host_seconds(context, phase, index), (double)phase->bytes *
                                                         receivers_on_host(context, phase) /
                                                         context->hardware->host_bytes_per_s);
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

static double mask_seconds(const EepCostContext *context, const EepPhase *phase, guint index)
{
    return MASK_MESSAGES * eep_time_to_seconds(context->hardware->control_latency);
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
    {EEP_PHASE_STANDBY_GROUPS, "3 * (communicator_base + communicator_per_rank * new ranks)",
     "vLLM elastic_execute.py: four groups, three with a communicator, one after another; NCCL "
     "initialisation figures",
     standby_groups_seconds},
    {EEP_PHASE_WEIGHTS_FROM_PEER,
     "ceil(receivers / senders) * bytes / link: a sender serves its receivers one after another",
     "vLLM elastic_execute.py: contiguous shares, sequential sends", peer_seconds},
    {EEP_PHASE_WEIGHTS_FROM_DISK, "bytes * receivers on a host / disk rate", "hardware profile",
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
    {EEP_PHASE_RETIRE_GROUPS, "group_destroy, in background",
     "vLLM elastic_execute.py: several seconds for large groups", destroy_seconds},
    {EEP_PHASE_KERNEL_WARM_UP, "kernel_warmup", "hardware profile", warm_up_seconds},
    {EEP_PHASE_DESTROY, "group_destroy: a leaving process waits for its groups to end",
     "vLLM elastic_execute.py: switch_and_remove", destroy_seconds},
    {EEP_PHASE_WEIGHTS_TREE,
     "f * (bytes + (d - 1) * 16 MiB) / link + d * latency, d levels of fan-out f, the better of a "
     "chain and a binary tree below each sender",
     "pipelined trees: Sanders, Speck, Traeff, Two-tree algorithms, Parallel Computing 35 (2009)",
     tree_seconds},
    {EEP_PHASE_WEIGHTS_FROM_CACHE,
     "bytes * receivers on a host / host_bandwidth, at least bytes / pcie_bandwidth",
     "hardware profile", cache_seconds},
    {EEP_PHASE_WEIGHTS_FROM_HOST, "bytes / pcie_bandwidth", "hardware profile", host_seconds},
    {EEP_PHASE_COMM_SPLIT, "2 * (comm_split + communicator_per_rank * new ranks)",
     "vLLM #44994: the dp and ep communicators are split", split_seconds},
    {EEP_PHASE_OFFLOAD, "bytes / pcie_bandwidth", "hardware profile", host_seconds},
    {EEP_PHASE_MASK, "2 control messages", "SGLang #33111: FLIP_MASK and its barrier",
     mask_seconds},
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
