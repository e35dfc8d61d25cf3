/* Communication calls: a group of them becomes one operation of a stream. */
#include "gpu/emulation/emulated_nccl.h"
#include "gpu/emulation/emulated_nccl_sum.h"
#include "gpu/emulation/emulated_runtime.h"

#include <string.h>
#include <time.h>

typedef struct {
    EepMeshKind kind;
    const char *name;
    gboolean is_send; /* EEP_MESH_P2P */
    const guint8 *send;
    guint8 *recv;
    gsize bytes; /* of one block */
    gsize count; /* of one block */
    ncclDataType_t type;
    ncclRedOp_t op;
    guint peer;   /* or root */
    guint64 call; /* its number: in the group, or between the two */
} Part;

/* One operation: what was called between ncclGroupStart() and ncclGroupEnd(). */
typedef struct {
    ncclComm_t comm;
    cudaStream_t stream;
    guint64 ticket;
    GArray *parts; /* Part */
} Operation;

/* The group that this thread is making. */
static __thread guint group_depth;
static __thread Operation *group;
static __thread ncclResult_t group_result;

/* -- running -- */

static void add_item(GArray *items, const Part *part, guint peer, gboolean is_send, gpointer data)
{
    const gboolean is_p2p = part->kind == EEP_MESH_P2P;
    const EepMeshItem item = {
        peer,
        is_send,
        {part->kind, part->type, part->op, is_p2p ? 0 : part->peer, part->call, part->bytes},
        data};
    g_array_append_val(items, item);
}

/* The messages of a part. `scratch`: what comes for a sum, a block a rank. */
static void plan(ncclComm_t comm, const Part *part, guint8 *scratch, GArray *items)
{
    guint8 *send = (guint8 *)part->send; /* a send item only reads it */
    if (part->kind == EEP_MESH_P2P) {
        if (part->peer != comm->rank)
            add_item(items, part, part->peer, part->is_send, part->is_send ? send : part->recv);
        return;
    }
    for (guint i = 0; i < comm->n_ranks; i++) {
        if (i == comm->rank)
            continue;
        switch (part->kind) {
        case EEP_MESH_BROADCAST:
            if (part->peer == comm->rank)
                add_item(items, part, i, TRUE, send);
            else if (part->peer == i)
                add_item(items, part, i, FALSE, part->recv);
            break;
        case EEP_MESH_ALL_GATHER:
            add_item(items, part, i, TRUE, send);
            add_item(items, part, i, FALSE, part->recv + i * part->bytes);
            break;
        case EEP_MESH_REDUCE_SCATTER:
            add_item(items, part, i, TRUE, send + i * part->bytes);
            add_item(items, part, i, FALSE, scratch + i * part->bytes);
            break;
        default:
            add_item(items, part, i, TRUE, send);
            add_item(items, part, i, FALSE, scratch + i * part->bytes);
            break;
        }
    }
}

/* What is left to do on this rank once all messages have come. */
static void complete(ncclComm_t comm, const Part *part, guint8 *scratch)
{
    const gsize own = comm->rank * part->bytes;
    switch (part->kind) {
    case EEP_MESH_ALL_GATHER:
        memmove(part->recv + own, part->send, part->bytes);
        break;
    case EEP_MESH_BROADCAST:
        if (part->peer == comm->rank)
            memmove(part->recv, part->send, part->bytes);
        break;
    case EEP_MESH_REDUCE_SCATTER:
        memcpy(scratch + own, part->send + own, part->bytes);
        eep_nccl_sum(part->recv, scratch, comm->n_ranks, part->count, part->type, part->op);
        break;
    case EEP_MESH_ALL_REDUCE:
        memcpy(scratch + own, part->send, part->bytes);
        eep_nccl_sum(part->recv, scratch, comm->n_ranks, part->count, part->type, part->op);
        break;
    default:
        break;
    }
}

/* The n-th message of a rank to itself, or what it receives of itself; NULL: there are not so many.
 */
static const Part *find_own(const Operation *operation, guint n, gboolean is_send)
{
    for (guint i = 0; i < operation->parts->len; i++) {
        const Part *part = &g_array_index(operation->parts, Part, i);
        if (part->kind == EEP_MESH_P2P && part->peer == operation->comm->rank &&
            part->is_send == is_send && n-- == 0)
            return part;
    }
    return NULL;
}

static void copy_own(const Operation *operation)
{
    const Part *from;
    for (guint n = 0; (from = find_own(operation, n, TRUE)) != NULL; n++)
        memmove(find_own(operation, n, FALSE)->recv, from->send, from->bytes);
}

static EepMeshResult exchange(const Operation *operation, char **ret_text)
{
    ncclComm_t comm = operation->comm;
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(EepMeshItem));
    g_autoptr(GPtrArray) scratches = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < operation->parts->len; i++) {
        const Part *part = &g_array_index(operation->parts, Part, i);
        const gboolean sums =
            part->kind == EEP_MESH_REDUCE_SCATTER || part->kind == EEP_MESH_ALL_REDUCE;
        g_ptr_array_add(scratches, sums ? g_malloc(comm->n_ranks * part->bytes + 1) : NULL);
        plan(comm, part, scratches->pdata[i], items);
    }
    const EepMeshResult result =
        eep_mesh_run(comm->mesh, items->len, (const EepMeshItem *)(void *)items->data, ret_text);
    for (guint i = 0; i < operation->parts->len && result == EEP_MESH_DONE; i++)
        complete(comm, &g_array_index(operation->parts, Part, i), scratches->pdata[i]);
    if (result == EEP_MESH_DONE)
        copy_own(operation);
    return result;
}

/* Waits for the operations that were called before; FALSE: it will never be this one's turn. */
static gboolean await_turn(const Operation *operation)
{
    ncclComm_t comm = operation->comm;
    gboolean is_hopeless = FALSE;
    while (comm->n_run < operation->ticket && !is_hopeless) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&comm->changed, &comm->lock, &until);
        is_hopeless =
            eep_mesh_is_aborted(comm->mesh) || eep_emulated_health(comm->device) != cudaSuccess;
    }
    return !is_hopeless;
}

static void run_operation(gpointer data)
{
    Operation *operation = data;
    ncclComm_t comm = operation->comm;
    pthread_mutex_lock(&comm->lock);
    comm->n_running++;
    const gboolean is_turn = await_turn(operation);
    const gboolean is_broken = comm->async != ncclSuccess;
    pthread_mutex_unlock(&comm->lock);
    char *text = NULL;
    EepMeshResult result = EEP_MESH_ENDED;
    if (is_turn && !is_broken) {
        result = exchange(operation, &text);
        eep_nccl_break_by(comm, result, text);
    }
    if (result != EEP_MESH_DONE)
        eep_mesh_hang(comm->mesh);
    pthread_mutex_lock(&comm->lock);
    comm->n_running--;
    comm->n_run += result == EEP_MESH_DONE;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
}

static void free_operation(gpointer data)
{
    Operation *operation = data;
    g_array_unref(operation->parts);
    eep_nccl_unref(operation->comm);
    g_free(operation);
}

static void launch(ncclComm_t comm, gpointer data)
{
    Operation *operation = data;
    const cudaStream_t stream = operation->stream;
    const cudaError_t status =
        eep_emulated_enqueue(stream, "NCCL", run_operation, operation, free_operation);
    /* The operation may be over, and gone. */
    if (status == cudaSuccess) {
        eep_emulated_waits_for_peers(stream);
    } else {
        eep_nccl_break(
            comm, ncclUnhandledCudaError,
            g_strdup_printf("cannot be put on the stream: %s", cudaGetErrorString(status)));
    }
}

/* -- calling -- */

/* Each send to oneself has its receive of the same size in the group. */
static gboolean is_own_matched(const Operation *operation)
{
    for (guint n = 0;; n++) {
        const Part *from = find_own(operation, n, TRUE), *to = find_own(operation, n, FALSE);
        if (from == NULL || to == NULL || from->bytes != to->bytes)
            return from == NULL && to == NULL;
    }
}

static ncclResult_t end_group(void)
{
    Operation *operation = g_steal_pointer(&group);
    ncclResult_t result = group_result;
    group_result = ncclSuccess;
    if (operation == NULL)
        return result;
    ncclComm_t comm = operation->comm;
    if (result == ncclSuccess && !is_own_matched(operation)) {
        result = eep_nccl_fail(comm, ncclInvalidUsage,
                               "a send of rank %u to itself has no receive of its size in the "
                               "group",
                               comm->rank);
    }
    if (result == ncclSuccess) {
        operation->ticket = comm->n_calls;
        pthread_mutex_lock(&comm->lock);
        comm->n_calls++;
        pthread_mutex_unlock(&comm->lock);
        eep_nccl_ref(comm);
        result = eep_nccl_engage(comm, launch, operation);
    } else {
        eep_nccl_ref(comm);
        free_operation(operation);
    }
    eep_nccl_leave(comm);
    return result;
}

ncclResult_t ncclGroupStart(void)
{
    const ncclResult_t result = eep_nccl_count("ncclGroupStart");
    if (result == ncclSuccess)
        group_depth++;
    return result;
}

ncclResult_t ncclGroupEnd(void)
{
    if (group_depth == 0)
        return eep_nccl_fail(NULL, ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    /* Closes the group also when it is told to fail: nothing is launched then. */
    const ncclResult_t told = eep_nccl_count("ncclGroupEnd");
    group_result = group_result == ncclSuccess ? told : group_result;
    return --group_depth > 0 ? ncclSuccess : end_group();
}

static ncclResult_t check_part(ncclComm_t comm, const Part *part, cudaStream_t stream)
{
    if (comm->ended_by != NULL || comm->is_finalized) {
        comm->ended_by = comm->ended_by != NULL ? comm->ended_by : "ncclCommFinalize";
        return eep_nccl_refuse_ended(comm, part->name);
    }
    if (part->peer >= comm->n_ranks) {
        return eep_nccl_fail(comm, ncclInvalidArgument, "%s: rank %u of %u ranks", part->name,
                             part->peer, comm->n_ranks);
    }
    const gboolean sums =
        part->kind == EEP_MESH_REDUCE_SCATTER || part->kind == EEP_MESH_ALL_REDUCE;
    if (eep_nccl_type_bytes(part->type) == 0 || (sums && !eep_nccl_can_sum(part->type, part->op))) {
        return eep_nccl_fail(comm, ncclInvalidArgument,
                             "%s: the emulation has no type %d with operation %d", part->name,
                             (int)part->type, (int)part->op);
    }
    if (eep_emulated_stream_device(stream) != comm->device) {
        return eep_nccl_fail(comm, ncclInvalidUsage, "%s: the stream is not of device %d",
                             part->name, comm->device);
    }
    if (eep_emulated_is_capturing(stream)) {
        return eep_nccl_fail(comm, ncclInvalidUsage, "%s: the emulation captures no NCCL",
                             part->name);
    }
    const gsize n_in = part->kind == EEP_MESH_REDUCE_SCATTER ? comm->n_ranks : 1;
    const gsize n_out = part->kind == EEP_MESH_ALL_GATHER ? comm->n_ranks : 1;
    const struct {
        const guint8 *memory;
        gsize bytes;
    } buffers[] = {{part->send, part->bytes * n_in}, {part->recv, part->bytes * n_out}};
    for (guint i = 0; i < G_N_ELEMENTS(buffers); i++) {
        if (buffers[i].memory != NULL && buffers[i].bytes > 0 &&
            eep_emulated_check_memory(comm->device, buffers[i].memory, buffers[i].bytes,
                                      part->name) != cudaSuccess) {
            return eep_nccl_fail(comm, ncclInvalidArgument, "%s: not memory of device %d",
                                 part->name, comm->device);
        }
    }
    return ncclSuccess;
}

/* Adds to the open group; outside of one, the call is a group of its own. */
static ncclResult_t call_part(ncclComm_t comm, Part part, cudaStream_t stream)
{
    ncclResult_t result = ncclSuccess;
    const gboolean joins = group != NULL && group->comm == comm;
    if (group != NULL && (group->comm != comm || group->stream != stream)) {
        result = eep_nccl_fail(NULL, ncclInvalidUsage,
                               "%s: the emulation's groups have one communicator and one stream",
                               part.name);
    } else if (joins) {
        result = eep_nccl_count(part.name);
    } else if (eep_nccl_enter(comm, part.name, &result) != NULL) {
        group = g_new0(Operation, 1);
        *group = (Operation){comm, stream, 0, g_array_new(FALSE, FALSE, sizeof(Part))};
    }
    if (result == ncclSuccess) {
        part.bytes = part.count * eep_nccl_type_bytes(part.type);
        result = check_part(comm, &part, stream);
    }
    if (result == ncclSuccess) {
        part.call = part.kind != EEP_MESH_P2P ? comm->n_collectives++
                    : part.is_send            ? comm->n_sent[part.peer]++
                                              : comm->n_received[part.peer]++;
        g_array_append_val(group->parts, part);
    }
    group_result = group_result == ncclSuccess ? result : group_result;
    return group_depth > 0 ? result : end_group();
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return call_part(comm,
                     (Part){.kind = EEP_MESH_P2P,
                            .name = "ncclSend",
                            .is_send = TRUE,
                            .send = data,
                            .count = count,
                            .type = type,
                            .peer = (guint)peer},
                     stream);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return call_part(comm,
                     (Part){.kind = EEP_MESH_P2P,
                            .name = "ncclRecv",
                            .recv = data,
                            .count = count,
                            .type = type,
                            .peer = (guint)peer},
                     stream);
}

/* Of all ranks; `part` says what differs between them. */
static ncclResult_t call_all(Part part, const void *send, void *recv, size_t count,
                             ncclDataType_t type, ncclComm_t comm, cudaStream_t stream)
{
    part.send = send;
    part.recv = recv;
    part.count = count;
    part.type = type;
    return call_part(comm, part, stream);
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t n_each, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    const Part part = {.kind = EEP_MESH_ALL_GATHER, .name = "ncclAllGather"};
    return call_all(part, send, recv, n_each, type, comm, stream);
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t n_each, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    const Part part = {.kind = EEP_MESH_REDUCE_SCATTER, .name = "ncclReduceScatter", .op = op};
    return call_all(part, send, recv, n_each, type, comm, stream);
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    const Part part = {.kind = EEP_MESH_ALL_REDUCE, .name = "ncclAllReduce", .op = op};
    return call_all(part, send, recv, count, type, comm, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream)
{
    const Part part = {.kind = EEP_MESH_BROADCAST, .name = "ncclBroadcast", .peer = (guint)root};
    return call_all(part, send, recv, count, type, comm, stream);
}
