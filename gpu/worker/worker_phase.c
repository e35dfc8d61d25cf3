/* What a worker does in each phase. */
#include <string.h>
#include <time.h>

#include "gpu/worker/worker_internal.h"

#define LOOK_NS 1000000

typedef gboolean (*Act)(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error);

static gint64 wait_ns(const EepWorker *worker)
{
    return (gint64)worker->welcome.wait_ns;
}

static const gint *stop_of(const EepWorker *worker, EepLaneKind lane)
{
    return eep_lane_stop(worker->lanes[lane]);
}

static gboolean wait_aside(EepWorker *worker, GError **error)
{
    return eep_device_wait(worker->device, worker->streams[EEP_LANE_ASIDE], wait_ns(worker),
                           stop_of(worker, EEP_LANE_ASIDE), error);
}

/* The group that the phase is about, or an error. */
static EepMembership *target(EepWorker *worker, const EepWirePhase *phase, GError **error)
{
    EepMembership *group = eep_members_find(worker->members, phase->target_epoch);

    if (group == NULL)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "%s needs the group of epoch %u, of which this worker is no member",
                    eep_phase_names[phase->kind], phase->target_epoch);
    return group;
}

/* -- groups -- */

static void tell_id(gpointer self, const EepWireGroupId *id)
{
    EepWorker *worker = self;
    EepWireMessage message = {.type = EEP_WIRE_GROUP_ID, .group_id = *id};

    eep_outbox_send(worker->outbox, &message);
}

static gboolean join(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                     GError **error)
{
    if (phase->rank == EEP_RANK_NONE)
        return TRUE;
    return eep_members_join(worker->members, phase, wait_ns(worker),
                            stop_of(worker, EEP_LANE_ASIDE), tell_id, worker, error);
}

/* The group of the next steps or moves, whose communicator for them is broken. */
static gboolean mend(EepWorker *worker, EepLaneKind lane, const EepWirePhase *phase, GError **error)
{
    return eep_members_mend(worker->members, phase, wait_ns(worker), stop_of(worker, lane), tell_id,
                            worker, error);
}

static gboolean retire(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                       GError **error)
{
    eep_members_retire(worker->members, phase->epoch, phase->has_gone == 0,
                       stop_of(worker, EEP_LANE_ASIDE));
    return TRUE;
}

/* The smallest KV cache of the target group: vLLM agrees on it by an all-reduce. A download to
 * pageable memory blocks until it is done, without a deadline, so the group is waited for first. */
static gboolean sync_kv(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error)
{
    g_autoptr(EepMembership) group = target(worker, phase, error);
    EepStream stream = worker->streams[EEP_LANE_ASIDE];
    guint64 mine = worker->welcome.model.kv_cache_bytes, smallest = 0;

    if (group == NULL ||
        !EEP_CUDA(
            cudaMemcpyAsync(worker->scratch, &mine, sizeof mine, cudaMemcpyHostToDevice, stream),
            error) ||
        !group->move->ops->all_reduce_min(group->move, worker->scratch, 1, stream, error) ||
        !group->move->ops->wait(group->move, stream, wait_ns(worker),
                                stop_of(worker, EEP_LANE_ASIDE), &yield->suspect, error) ||
        !EEP_CUDA(cudaMemcpyAsync(&smallest, worker->scratch, sizeof smallest,
                                  cudaMemcpyDeviceToHost, stream),
                  error) ||
        !wait_aside(worker, error))
        return FALSE;
    if (smallest == mine)
        return TRUE;
    g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                "a rank has a KV cache of %" G_GUINT64_FORMAT
                " bytes, this one of %" G_GUINT64_FORMAT,
                smallest, mine);
    return FALSE;
}

/* Rank 0 sends `bytes` to all others of the target group. */
static gboolean broadcast_map(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                              GError **error)
{
    g_autoptr(EepMembership) group = target(worker, phase, error);
    gsize bytes = MIN(phase->bytes, EEP_WORKER_SCRATCH_BYTES) & ~(gsize)7;
    EepStream stream = worker->streams[EEP_LANE_ASIDE];
    g_autofree EepPiece *pieces = NULL;
    guint n = 0;

    if (group == NULL)
        return FALSE;
    pieces = g_new0(EepPiece, group->n_ranks);
    if (group->rank == 0)
        for (guint peer = 1; peer < group->n_ranks; peer++)
            pieces[n++] = (EepPiece){peer, TRUE, worker->scratch, bytes};
    else
        pieces[n++] = (EepPiece){0, FALSE, worker->scratch, bytes};
    return group->move->ops->exchange(group->move, n, pieces, stream, error) &&
           group->move->ops->wait(group->move, stream, wait_ns(worker),
                                  stop_of(worker, EEP_LANE_ASIDE), &yield->suspect, error);
}

/* -- weights -- */

static gboolean from_peer(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                          GError **error)
{
    return eep_worker_send_weights(worker, phase, FALSE, yield, error);
}

static gboolean from_tree(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                          GError **error)
{
    return eep_worker_send_weights(worker, phase, TRUE, yield, error);
}

static gboolean fill(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                     GError **error)
{
    return eep_moe_fill_non_expert(worker->moe, worker->streams[EEP_LANE_ASIDE], error) &&
           wait_aside(worker, error);
}

static gboolean offload(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error)
{
    gsize bytes;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    if (worker->offloaded == NULL)
        worker->offloaded = g_malloc(bytes);
    return EEP_CUDA(cudaMemcpyAsync(worker->offloaded, weights, bytes, cudaMemcpyDeviceToHost,
                                    worker->streams[EEP_LANE_ASIDE]),
                    error) &&
           wait_aside(worker, error);
}

static gboolean from_host(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                          GError **error)
{
    gsize bytes;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    if (worker->offloaded == NULL)
        return fill(worker, phase, yield, error);
    return EEP_CUDA(cudaMemcpyAsync(weights, worker->offloaded, bytes, cudaMemcpyHostToDevice,
                                    worker->streams[EEP_LANE_ASIDE]),
                    error) &&
           wait_aside(worker, error);
}

/* -- before serving -- */

static gboolean switch_over(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                            GError **error)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, phase->target_epoch);

    eep_moe_keep_graphs(worker->moe, group != NULL ? group->n_ranks : 0);
    return TRUE;
}

/* One forward without requests on the target group; probe tokens take part. */
static gboolean warm_up(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error)
{
    g_autoptr(EepMembership) group = target(worker, phase, error);
    EepWireStep step = {.op = phase->op, .epoch = phase->target_epoch};

    if (worker->welcome.model.n_layers == 0 || group == NULL)
        return group != NULL;
    return eep_moe_forward(worker->moe, group->serve, &step, wait_ns(worker),
                           stop_of(worker, EEP_LANE_STEP), &yield->result, &yield->suspect, error);
}

/* Kernels that need nobody else, once: here those that add up what the slots hold. */
static gboolean warm_up_kernels(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                                GError **error)
{
    gsize bytes;
    guint64 sum;
    gpointer weights = eep_moe_non_expert(worker->moe, &bytes);

    return bytes == 0 || eep_moe_checksum(worker->moe, weights, bytes,
                                          worker->streams[EEP_LANE_ASIDE], &sum, error);
}

static gboolean capture(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error)
{
    guint n;

    return worker->welcome.model.n_layers == 0 || worker->welcome.captures_graphs == 0 ||
           eep_moe_capture(worker->moe, &n, error);
}

static gboolean nothing(EepWorker *worker, const EepWirePhase *phase, EepWorkerYield *yield,
                        GError **error)
{
    return TRUE;
}

static const struct {
    Act act;
    EepLaneKind lane;
} acts[EEP_PHASE_COUNT] = {
    [EEP_PHASE_LAUNCH] = {nothing, EEP_LANE_ASIDE},
    [EEP_PHASE_STANDBY_GROUPS] = {join, EEP_LANE_ASIDE},
    [EEP_PHASE_WEIGHTS_FROM_PEER] = {from_peer, EEP_LANE_ASIDE},
    [EEP_PHASE_WEIGHTS_FROM_DISK] = {fill, EEP_LANE_ASIDE},
    [EEP_PHASE_KV_SYNC] = {sync_kv, EEP_LANE_ASIDE},
    [EEP_PHASE_MAP_BROADCAST] = {broadcast_map, EEP_LANE_ASIDE},
    [EEP_PHASE_SWITCH] = {switch_over, EEP_LANE_STEP},
    [EEP_PHASE_WARM_UP] = {warm_up, EEP_LANE_STEP},
    [EEP_PHASE_GRAPH_CAPTURE] = {capture, EEP_LANE_STEP},
    [EEP_PHASE_RETIRE_GROUPS] = {retire, EEP_LANE_ASIDE},
    [EEP_PHASE_KERNEL_WARM_UP] = {warm_up_kernels, EEP_LANE_ASIDE},
    [EEP_PHASE_DESTROY] = {nothing, EEP_LANE_ASIDE},
    [EEP_PHASE_WEIGHTS_TREE] = {from_tree, EEP_LANE_ASIDE},
    [EEP_PHASE_WEIGHTS_FROM_CACHE] = {fill, EEP_LANE_ASIDE},
    [EEP_PHASE_WEIGHTS_FROM_HOST] = {from_host, EEP_LANE_ASIDE},
    [EEP_PHASE_COMM_SPLIT] = {join, EEP_LANE_ASIDE},
    [EEP_PHASE_OFFLOAD] = {offload, EEP_LANE_ASIDE},
    [EEP_PHASE_MASK] = {join, EEP_LANE_ASIDE},
};

/* A serving group that is there already and is to be made. */
static gboolean mends(const EepWorker *worker, const EepWirePhase *phase)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, phase->epoch);

    return phase->kind == EEP_PHASE_STANDBY_GROUPS && phase->epoch == phase->target_epoch &&
           group != NULL;
}

/* What is to be made anew, steps wait for. */
gboolean eep_worker_phase_is_for_steps(const EepWirePhase *phase)
{
    return acts[phase->kind].lane == EEP_LANE_STEP ||
           (phase->kind == EEP_PHASE_STANDBY_GROUPS && phase->epoch == phase->target_epoch &&
            !phase->mends_moves);
}

gboolean eep_worker_phase(EepWorker *worker, EepLaneKind lane, const EepWirePhase *phase,
                          EepWorkerYield *yield, GError **error)
{
    if (phase->breaks == EEP_WIRE_BREAK_FAIL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT,
                    "phase_fail of the scenario");
        return FALSE;
    }
    if (phase->breaks == EEP_WIRE_BREAK_HANG) {
        while (g_atomic_int_get(stop_of(worker, lane)) == 0)
            nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED,
                    "phase_hang of the scenario");
        return FALSE;
    }
    return mends(worker, phase) ? mend(worker, lane, phase, error)
                                : acts[phase->kind].act(worker, phase, yield, error);
}
