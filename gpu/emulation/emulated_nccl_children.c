/* Communicators that are made out of others: fewer ranks by ncclCommShrink(), more by
 * ncclCommGrow(). */
#include "gpu/emulation/emulated_nccl.h"
#include "gpu/emulation/emulated_nccl_switches.h"
#include "gpu/emulation/emulated_runtime.h"

#include <string.h>

#define GROW_MAGIC   0x77307267u
#define GROW_VERSION 22900

/* All ranks find the same name without a word: from the parent's, and how many children before. */
static void name_child(ncclComm_t comm, guint n_before, guint8 *ret_id)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize n = sizeof digest;
    g_checksum_update(sum, comm->id, EEP_MESH_ID_BYTES);
    g_checksum_update(sum, (const guchar *)&n_before, sizeof n_before);
    g_checksum_get_digest(sum, digest, &n);
    memcpy(ret_id, digest, EEP_MESH_ID_BYTES);
}

/* -- shrink -- */

typedef struct {
    ncclComm_t *result;
    guint8 id[EEP_MESH_ID_BYTES];
    guint rank, n_ranks;
    guint root; /* the parent's rank at which they find each other: the lowest that stays */
    guint64 tag;
    gboolean is_blocking;
    gboolean must_wait; /* for the parent's operations */
} Shrink;

static void shrink(ncclComm_t comm, gpointer data)
{
    g_autofree Shrink *job = data;
    if (job->must_wait && !eep_nccl_await_quiet(comm))
        return;
    pthread_mutex_lock(&comm->lock);
    const gboolean is_ending = comm->is_ending;
    pthread_mutex_unlock(&comm->lock);
    if (is_ending)
        return;
    const EepNcclAddress root = eep_mesh_root_of(comm->mesh, job->root);
    const ncclResult_t result = eep_nccl_begin(job->result, job->id, &root, job->rank, job->n_ranks,
                                               job->tag, comm->device, job->is_blocking);
    if (result != ncclSuccess && result != ncclInProgress)
        eep_nccl_break(comm, result, g_strdup("the smaller communicator cannot be made"));
}

/* Who stays, and a tag by which ranks with another list are found; FALSE: the list is wrong. */
static gboolean read_list(ncclComm_t comm, const int *excluded, int n_excluded, Shrink *ret_job)
{
    g_autofree gboolean *is_out = g_new0(gboolean, comm->n_ranks);
    for (int i = 0; i < n_excluded; i++) {
        if (excluded[i] < 0 || excluded[i] >= (int)comm->n_ranks || is_out[excluded[i]] ||
            excluded[i] == (int)comm->rank)
            return FALSE;
        is_out[excluded[i]] = TRUE;
    }
    ret_job->tag = 1;
    for (guint i = 0; i < comm->n_ranks; i++) {
        ret_job->tag = ret_job->tag * 0x100000001b3u + (is_out[i] ? i + 2 : 1);
        ret_job->rank += i < comm->rank && !is_out[i];
    }
    while (is_out[ret_job->root])
        ret_job->root++;
    ret_job->n_ranks = comm->n_ranks - (guint)n_excluded;
    return n_excluded > 0;
}

ncclResult_t ncclCommShrink(ncclComm_t comm, int *excluded, int n_excluded, ncclComm_t *new_comm,
                            ncclConfig_t *config, int flags)
{
    ncclResult_t result;
    *new_comm = NULL;
    if (eep_nccl_enter(comm, "ncclCommShrink", &result) == NULL)
        return result;
    Shrink job = {.result = new_comm,
                  .is_blocking = config == NULL ? comm->is_blocking : config->blocking != 0,
                  .must_wait = comm->ended_by == NULL && flags == NCCL_SHRINK_DEFAULT};
    if (!eep_nccl_check_config(config, "ncclCommShrink", &result)) {
        eep_nccl_leave(comm);
        return result;
    }
    if ((flags != NCCL_SHRINK_DEFAULT && flags != NCCL_SHRINK_ABORT) || comm->is_finalized ||
        !read_list(comm, excluded, n_excluded, &job)) {
        result = eep_nccl_fail(comm, ncclInvalidArgument,
                               "ncclCommShrink: flags, list or state are wrong (%d excluded)",
                               n_excluded);
    } else {
        name_child(comm, ++comm->n_children, job.id);
        if (flags == NCCL_SHRINK_ABORT) {
            comm->ended_by = "ncclCommShrink with NCCL_SHRINK_ABORT";
            eep_mesh_abort(comm->mesh);
        }
        result = eep_nccl_engage(comm, shrink, g_memdup2(&job, sizeof job));
    }
    eep_nccl_leave(comm);
    return result;
}

/* -- grow -- */

/* What lies in an id by which a communicator is grown. */
typedef struct {
    guint8 id[EEP_MESH_ID_BYTES]; /* the new communicator's */
    guint32 magic;
    guint32 n_parent;    /* ranks that it grows from */
    EepNcclAddress root; /* where its rank 0, the parent's, is found */
} GrowId;

/* The parent's next, equal on all of its ranks. */
static GrowId make_grow_id(ncclComm_t comm)
{
    GrowId id;

    memset(&id, 0, sizeof id);
    id.magic = GROW_MAGIC;
    id.n_parent = comm->n_ranks;
    id.root = eep_mesh_root_of(comm->mesh, 0);
    name_child(comm, comm->n_children + 1, id.id);
    return id;
}

static ncclResult_t refuse(ncclComm_t comm, ncclResult_t result, const char *call, const char *why)
{
    (void)eep_nccl_fail(comm, result, "%s: %s", call, why);
    eep_emulated_report("NCCL misuse: %s: %s", call, why);
    return result;
}

/* Who may be grown; NULL: this one. */
static const char *why_not(ncclComm_t comm)
{
    pthread_mutex_lock(&comm->lock);
    const gboolean is_quiet = comm->n_run == comm->n_calls;
    const gboolean is_sound = comm->async == ncclSuccess;
    pthread_mutex_unlock(&comm->lock);
    return comm->ended_by != NULL || comm->is_finalized || !is_sound
               ? "the communicator is broken or has ended"
           : comm->n_ranks == 1 ? "a communicator of one rank has no connections to grow from"
           : !is_quiet          ? "operations of the communicator are outstanding"
                                : NULL;
}

ncclResult_t ncclCommGetUniqueId(ncclComm_t comm, ncclUniqueId *id)
{
    static const char call[] = "ncclCommGetUniqueId";
    ncclResult_t result;
    if (eep_nccl_enter(comm, call, &result) == NULL)
        return result;
    const char *why = eep_nccl_switches()->version < GROW_VERSION ? "this NCCL has no such call"
                      : comm->has_grow_id ? "the id that was made before is not used"
                                          : why_not(comm);
    if (why != NULL) {
        result = refuse(comm, ncclInvalidUsage, call, why);
    } else {
        const GrowId made = make_grow_id(comm);
        memset(id, 0, sizeof *id);
        memcpy(id->internal, &made, sizeof made);
        comm->has_grow_id = TRUE;
    }
    eep_nccl_leave(comm);
    return result;
}

/* An existing rank: what it gives is right; NULL: all of it. */
static const char *check_existing(ncclComm_t comm, const GrowId *id, int n_ranks, int rank)
{
    const GrowId mine = make_grow_id(comm);
    return n_ranks <= (int)comm->n_ranks ? "the new communicator is not larger than the old one"
           : rank != -1                  ? "a rank of the old communicator gives rank -1"
           : comm->has_grow_id != (id != NULL)
               ? "the rank that made the id gives it, the old communicator's others give NULL"
           : id != NULL && memcmp(&mine, id, sizeof mine) != 0
               ? "the id is not of this communicator, or was used before"
               : why_not(comm);
}

static const char *check_new(const GrowId *id, int n_ranks, int rank)
{
    return id == NULL                ? "a new rank gives the id"
           : id->magic != GROW_MAGIC ? "the id is not of ncclCommGetUniqueId"
           : rank < (int)id->n_parent || rank >= n_ranks
               ? "a new rank's number is one behind the old communicator's ranks"
               : NULL;
}

static ncclResult_t grow(ncclComm_t comm, const GrowId *id, int n_ranks, int rank,
                         ncclComm_t *new_comm, const ncclConfig_t *config)
{
    const GrowId mine = comm != NULL ? make_grow_id(comm) : *id;
    int device = comm != NULL ? comm->device : 0;
    if (comm != NULL) {
        comm->n_children++;
        comm->has_grow_id = FALSE;
    } else {
        if (cudaGetDevice(&device) != cudaSuccess)
            return eep_nccl_fail(NULL, ncclUnhandledCudaError, "there is no current device");
    }
    const gboolean is_blocking = config != NULL ? config->blocking != 0
                                 : comm != NULL ? comm->is_blocking
                                                : TRUE;
    const ncclResult_t result = eep_nccl_begin(
        new_comm, mine.id, &mine.root, comm != NULL ? comm->rank : (guint)rank, (guint)n_ranks,
        ((guint64)GROW_MAGIC << 32) + mine.n_parent, device, is_blocking);
    /* NCCL returns success and lets only the new communicator be in progress. */
    return result == ncclInProgress ? ncclSuccess : result;
}

ncclResult_t ncclCommGrow(ncclComm_t comm, int n_ranks, const ncclUniqueId *id, int rank,
                          ncclComm_t *new_comm, ncclConfig_t *config)
{
    static const char call[] = "ncclCommGrow";
    GrowId given;
    ncclResult_t result = ncclSuccess;
    *new_comm = NULL;
    if (comm == NULL)
        result = eep_nccl_count(call);
    if (result != ncclSuccess || (comm != NULL && eep_nccl_enter(comm, call, &result) == NULL))
        return result;
    if (id != NULL)
        memcpy(&given, id->internal, sizeof given);
    const GrowId *read = id != NULL ? &given : NULL;
    const char *why = eep_nccl_switches()->version < GROW_VERSION ? "this NCCL has no such call"
                      : comm != NULL ? check_existing(comm, read, n_ranks, rank)
                                     : check_new(read, n_ranks, rank);
    if (why != NULL)
        result = refuse(comm, ncclInvalidArgument, call, why);
    else if (eep_nccl_check_config(config, call, &result))
        result = grow(comm, read, n_ranks, rank, new_comm, config);
    if (comm != NULL)
        eep_nccl_leave(comm);
    return result;
}
