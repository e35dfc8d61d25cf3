/* NCCL, one rank a process. Communicators are non-blocking: a call only begins something, and is
 * followed by looking at ncclCommGetAsyncError() until a deadline.
 *
 *      NEW --> JOINING --> READY <---------+
 *                 |          |             | (the child)
 *                 |          v             |
 *                 |        BROKEN --> SHRINKING
 *                 |          |             | (the parent)
 *                 +----------+--> ABORTED <+
 *
 * A communicator that grows stays READY; the larger one is JOINING like any other.
 *
 * NEW is a communicator before ncclCommInitRankConfig(), JOINING until all ranks are there. READY
 * is the only state with operations; a healthy one may go to SHRINKING and back. BROKEN is passed
 * through, unless somebody will shrink it. ABORTED keeps no NCCL object.
 *
 * ncclCommAbort() must not run beside another call on the communicator (NVIDIA's user guide, fault
 * tolerance). So each call is made under the communicator's lock, and abort() takes the handle away
 * under it; since no call blocks, the lock is never held for long. ncclCommAbort() itself was seen
 * to hang (NCCL issue 863): it has a thread of its own and a deadline. */
#include "gpu/worker/transport.h"
#include "gpu/worker/transport_wait.h"

#include <nccl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define MIN_VERSION  22700 /* the first with ncclCommShrink() */
#define GROW_VERSION 22900 /* the first with ncclCommGrow(), in the header and in the library */
#define NS_PER_S     1000000000
#define END_NS       2000000000 /* how long NCCL may take at most to free a communicator */

typedef enum { NEW, JOINING, READY, BROKEN, SHRINKING, ABORTED } State;

typedef struct {
    EepComm base;
    gint64 wait_ns; /* of join(): for what has no deadline of its own */
    pthread_mutex_t lock;
    ncclComm_t handle; /* NULL: ABORTED */
    State state;
    gboolean is_left_alone; /* NCCL did not end it in time */
    gboolean may_not_grow;  /* not all of its ranks know of every child that was begun */
} NcclComm;

static const EepCommOps comm_ops;

/* -- single calls -- */

/* A call may have begun something (ncclInProgress). What failed says so in NCCL's own words. */
static gboolean passes(ncclComm_t handle, ncclResult_t status, const char *call, GError **error)
{
    if (status == ncclInProgress ||
        eep_device_check_nccl((int)status, call, __FILE__, __LINE__, error))
        return TRUE;
    g_prefix_error(error, "%s: ", ncclGetLastError(handle));
    return FALSE;
}

gboolean eep_transport_nccl_is_usable(GError **error)
{
    int version = 0;
    if (!passes(NULL, ncclGetVersion(&version), "ncclGetVersion", error))
        return FALSE;
    if (version < MIN_VERSION) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE,
                    "NCCL %d is too old: %d or later is needed; put a newer libnccl.so.2 first in "
                    "LD_LIBRARY_PATH",
                    version, MIN_VERSION);
        return FALSE;
    }
    return TRUE;
}

static void set_gone(const NcclComm *self, GError **error)
{
    g_set_error(error, EEP_DEVICE_ERROR,
                self->state == ABORTED ? EEP_DEVICE_ERROR_STOPPED : EEP_DEVICE_ERROR_GROUP,
                "the communicator of rank %u of %u %s", self->base.rank, self->base.n_ranks,
                self->state == ABORTED ? "was aborted" : "is broken");
}

/* Takes the lock for one call; FALSE without it if there is nothing to call any more. */
static gboolean enter(NcclComm *self, GError **error)
{
    pthread_mutex_lock(&self->lock);
    if (self->state == READY)
        return TRUE;
    set_gone(self, error);
    pthread_mutex_unlock(&self->lock);
    return FALSE;
}

static void leave_call(NcclComm *self)
{
    pthread_mutex_unlock(&self->lock);
}

/* -- the end -- */

static void *abort_handle(void *handle)
{
    g_autoptr(GError) error = NULL;
    if (!passes(NULL, ncclCommAbort(handle), "ncclCommAbort", &error))
        g_warning("%s", error->message);
    return NULL;
}

static void *destroy_handle(void *handle)
{
    g_autoptr(GError) error = NULL;
    if (!passes(NULL, ncclCommDestroy(handle), "ncclCommDestroy", &error))
        g_warning("%s", error->message);
    return NULL;
}

/* FALSE: it did not end; NCCL may still write where it was told to. */
static gboolean end_in_time(void *(*end)(void *), ncclComm_t handle, gint64 wait_ns)
{
    const gint64 limit = MIN(wait_ns, END_NS);
    pthread_t thread;
    struct timespec until;
    if (pthread_create(&thread, NULL, end, handle) != 0) {
        end(handle);
        return TRUE;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += limit % NS_PER_S;
    until.tv_sec += limit / NS_PER_S + until.tv_nsec / NS_PER_S;
    until.tv_nsec %= NS_PER_S;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0)
        return TRUE;
    g_warning("NCCL does not end a communicator; it is left alone");
    pthread_detach(thread);
    return FALSE;
}

static void nccl_abort(EepComm *base)
{
    NcclComm *self = (NcclComm *)base;
    pthread_mutex_lock(&self->lock);
    ncclComm_t handle = g_steal_pointer(&self->handle);
    self->state = ABORTED;
    pthread_mutex_unlock(&self->lock);
    if (handle != NULL && !end_in_time(abort_handle, handle, self->wait_ns))
        self->is_left_alone = TRUE;
}

/* After something went wrong. */
static void break_up(NcclComm *self)
{
    if (!self->base.may_shrink) {
        nccl_abort(&self->base);
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->state = self->state == ABORTED ? ABORTED : BROKEN;
    pthread_mutex_unlock(&self->lock);
}

/* What NCCL was told to write a handle into outlives the one that it does not end. */
static void free_comm(NcclComm *self)
{
    if (self->is_left_alone)
        return;
    pthread_mutex_destroy(&self->lock);
    g_free(self);
}

/* -- waiting for what a call began -- */

/* One look: *ret_async is ncclInProgress while it goes on. FALSE: it went wrong, or was aborted. */
static gboolean look(NcclComm *self, ncclResult_t *ret_async, GError **error)
{
    pthread_mutex_lock(&self->lock);
    gboolean is_good = self->handle != NULL;
    if (!is_good) {
        set_gone(self, error);
    } else {
        is_good = passes(self->handle, ncclCommGetAsyncError(self->handle, ret_async),
                         "ncclCommGetAsyncError", error) &&
                  passes(self->handle, *ret_async, "NCCL", error);
    }
    pthread_mutex_unlock(&self->lock);
    return is_good;
}

static gboolean await_call(NcclComm *self, EepPace *pace, const char *what, GError **error)
{
    ncclResult_t async = ncclSuccess;
    while (look(self, &async, error)) {
        if (async != ncclInProgress)
            return TRUE;
        if (!eep_pace_next(pace, what, error))
            return FALSE;
    }
    return FALSE;
}

/* After an operation was called: `is_good`, so far. It is on the stream when this returns. */
static gboolean finish(NcclComm *self, gboolean is_good, GError **error)
{
    EepPace pace = eep_pace(self->wait_ns, self->base.stop);
    if (is_good && await_call(self, &pace, "the launch of an NCCL operation", error))
        return TRUE;
    break_up(self);
    return FALSE;
}

static gboolean look_at_health(gpointer object, GError **error)
{
    NcclComm *self = object;
    ncclResult_t async = ncclSuccess;
    return look(self, &async, error);
}

static gboolean nccl_wait(EepComm *base, EepStream stream, gint64 wait_ns, const gint *stop,
                          guint *ret_suspect, GError **error)
{
    NcclComm *self = (NcclComm *)base;
    EepPace pace = eep_pace(wait_ns, stop);
    if (ret_suspect != NULL)
        *ret_suspect = EEP_RANK_NONE; /* NCCL does not know */
    if (eep_pace_stream(&pace, stream, look_at_health, self, error))
        return TRUE;
    break_up(self);
    if (!base->may_shrink) {
        /* What the aborted operations still write must not meet the memory's next use. */
        EepPace drain = eep_pace(wait_ns, NULL);
        (void)eep_pace_stream(&drain, stream, NULL, NULL, NULL);
    }
    return FALSE;
}

/* -- operations -- */

static gboolean add_pieces(NcclComm *self, guint n, const EepPiece *pieces, EepStream stream,
                           GError **error)
{
    for (guint i = 0; i < n; i++) {
        const EepPiece *piece = &pieces[i];
        const int peer = (int)piece->peer;
        if (piece->bytes == 0)
            continue;
        const ncclResult_t status =
            piece->is_send
                ? ncclSend(piece->data, piece->bytes, ncclUint8, peer, self->handle, stream)
                : ncclRecv(piece->data, piece->bytes, ncclUint8, peer, self->handle, stream);
        if (!passes(self->handle, status, piece->is_send ? "ncclSend" : "ncclRecv", error))
            return FALSE;
    }
    return TRUE;
}

static gboolean nccl_exchange(EepComm *base, guint n, const EepPiece *pieces, EepStream stream,
                              GError **error)
{
    NcclComm *self = (NcclComm *)base;
    gsize bytes = 0;
    for (guint i = 0; i < n; i++)
        bytes += pieces[i].bytes;
    if (!enter(self, error))
        return FALSE;
    if (bytes == 0) {
        leave_call(self);
        return TRUE;
    }
    gboolean is_good = passes(self->handle, ncclGroupStart(), "ncclGroupStart", error);
    if (is_good) {
        is_good = add_pieces(self, n, pieces, stream, error);
        /* A group that was begun is ended whatever happened in it. */
        const ncclResult_t status = ncclGroupEnd();
        is_good = is_good && passes(self->handle, status, "ncclGroupEnd", error);
    }
    leave_call(self);
    return finish(self, is_good, error);
}

static gboolean nccl_all_gather(EepComm *base, gconstpointer send, gpointer recv, gsize bytes_each,
                                EepStream stream, GError **error)
{
    NcclComm *self = (NcclComm *)base;
    if (!enter(self, error))
        return FALSE;
    const ncclResult_t status =
        ncclAllGather(send, recv, bytes_each, ncclUint8, self->handle, stream);
    const gboolean is_good = passes(self->handle, status, "ncclAllGather", error);
    leave_call(self);
    return finish(self, is_good, error);
}

static gboolean nccl_reduce_scatter(EepComm *base, const gfloat *send, gfloat *recv, gsize n_each,
                                    EepStream stream, GError **error)
{
    NcclComm *self = (NcclComm *)base;
    if (!enter(self, error))
        return FALSE;
    const ncclResult_t status =
        ncclReduceScatter(send, recv, n_each, ncclFloat32, ncclSum, self->handle, stream);
    const gboolean is_good = passes(self->handle, status, "ncclReduceScatter", error);
    leave_call(self);
    return finish(self, is_good, error);
}

static gboolean nccl_all_reduce_min(EepComm *base, guint64 *inout, gsize n, EepStream stream,
                                    GError **error)
{
    NcclComm *self = (NcclComm *)base;
    if (!enter(self, error))
        return FALSE;
    const ncclResult_t status =
        ncclAllReduce(inout, inout, n, ncclUint64, ncclMin, self->handle, stream);
    const gboolean is_good = passes(self->handle, status, "ncclAllReduce", error);
    leave_call(self);
    return finish(self, is_good, error);
}

/* -- in and out -- */

static NcclComm *new_comm(EepTransport *transport, guint rank, guint n_ranks, gint64 wait_ns)
{
    NcclComm *self = g_new0(NcclComm, 1);
    self->base = (EepComm){.ops = &comm_ops,
                           .transport = transport,
                           .rank = rank,
                           .n_ranks = n_ranks,
#ifdef EEP_EMULATED
                           .is_bit_exact = TRUE
#endif
    };
    self->wait_ns = wait_ns;
    self->state = NEW;
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

/* A communicator whose making was begun becomes READY, or is aborted. */
static gboolean make_ready(NcclComm *self, gboolean is_good, EepPace *pace, GError **error)
{
    if (self->handle != NULL && is_good && await_call(self, pace, "joining a group", error)) {
        self->state = READY;
        return TRUE;
    }
    nccl_abort(&self->base);
    return FALSE;
}

static EepComm *ready_or_free(NcclComm *self, gboolean is_good, EepPace *pace, GError **error)
{
    if (make_ready(self, is_good, pace, error))
        return &self->base;
    free_comm(self);
    return NULL;
}

static EepComm *nccl_join(EepTransport *transport, const EepCommId *id, guint rank, guint n_ranks,
                          gint64 wait_ns, const gint *stop, GError **error)
{
    if (!eep_transport_nccl_is_usable(error))
        return NULL;
    EepPace pace = eep_pace(wait_ns, stop);
    NcclComm *self = new_comm(transport, rank, n_ranks, wait_ns);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclUniqueId unique;
    G_STATIC_ASSERT(sizeof unique == sizeof *id);
    memcpy(&unique, id, sizeof unique);
    self->state = JOINING;
    const ncclResult_t status =
        ncclCommInitRankConfig(&self->handle, (int)n_ranks, unique, (int)rank, &config);
    const gboolean is_good = passes(self->handle, status, "ncclCommInitRankConfig", error);
    return ready_or_free(self, is_good, &pace, error);
}

#if NCCL_VERSION_CODE >= GROW_VERSION

/* A second id is not made while one is unused, and whoever missed a grow counts the next one
 * differently (nccl.h; childCount in NVIDIA's init.cc): one that came to nothing was the last. */
static gboolean nccl_make_grow_id(EepComm *base, EepCommId *ret_id, GError **error)
{
    NcclComm *self = (NcclComm *)base;
    ncclUniqueId unique;
    if (eep_transport_nccl_version() < GROW_VERSION || self->may_not_grow || base->n_ranks == 1) {
        /* One rank alone has no connections to grow from (torchcomms pull request 2464). */
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "the communicator of %u ranks cannot be grown", base->n_ranks);
        return FALSE;
    }
    if (!enter(self, error))
        return FALSE;
    self->may_not_grow = TRUE;
    const gboolean is_made = passes(self->handle, ncclCommGetUniqueId(self->handle, &unique),
                                    "ncclCommGetUniqueId", error);
    leave_call(self);
    if (is_made)
        memcpy(ret_id, &unique, sizeof *ret_id);
    return is_made;
}

/* Begins it under the parent's lock. Of the parent's ranks only the one that made the id gives it;
 * all of them leave the rank out. */
static gboolean begin_grow(NcclComm *parent, NcclComm *self, const ncclUniqueId *id, GError **error)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const int n_ranks = (int)self->base.n_ranks;
    if (parent == NULL)
        return passes(NULL,
                      ncclCommGrow(NULL, n_ranks, id, (int)self->base.rank, &self->handle, &config),
                      "ncclCommGrow", error);
    if (!enter(parent, error))
        return FALSE;
    parent->may_not_grow = TRUE;
    const gboolean is_good =
        passes(parent->handle,
               ncclCommGrow(parent->handle, n_ranks, parent->base.rank == 0 ? id : NULL, -1,
                            &self->handle, &config),
               "ncclCommGrow", error);
    leave_call(parent);
    return is_good;
}

/* Neither used nor ended any more. */
static void forget(NcclComm *self)
{
    pthread_mutex_lock(&self->lock);
    self->handle = NULL;
    self->state = ABORTED;
    pthread_mutex_unlock(&self->lock);
}

static EepComm *nccl_grow(EepTransport *transport, EepComm *parent, const EepCommId *id, guint rank,
                          guint n_ranks, gint64 wait_ns, const gint *stop, GError **error)
{
    if (!eep_transport_nccl_is_usable(error))
        return NULL;
    EepPace pace = eep_pace(wait_ns, stop);
    NcclComm *self = new_comm(transport, rank, n_ranks, wait_ns), *from = (NcclComm *)parent;
    ncclUniqueId unique;
    memcpy(&unique, id, sizeof unique);
    self->state = JOINING;
    const gboolean is_good = begin_grow(from, self, &unique, error);
    if (make_ready(self, is_good, &pace, error)) {
        if (from != NULL)
            from->may_not_grow = FALSE;
        return &self->base;
    }
    /* A grow that NCCL does not end works on its parent: nobody touches that any more. */
    if (self->is_left_alone && from != NULL)
        forget(from);
    free_comm(self);
    return NULL;
}

#endif

/* Begins the shrink under the lock. *ret_child's handle may come only when the parent is done. */
static gboolean begin_shrink(NcclComm *self, guint n_gone, const guint *gone, gboolean is_broken,
                             NcclComm *child, GError **error)
{
    g_autofree int *list = g_new(int, n_gone);
    for (guint i = 0; i < n_gone; i++)
        list[i] = (int)gone[i];
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    pthread_mutex_lock(&self->lock);
    gboolean is_good = self->state == READY || (is_broken && self->state == BROKEN);
    if (!is_good) {
        set_gone(self, error);
    } else {
        self->state = SHRINKING;
        const ncclResult_t status =
            ncclCommShrink(self->handle, list, (int)n_gone, &child->handle, &config,
                           is_broken ? NCCL_SHRINK_ABORT : NCCL_SHRINK_DEFAULT);
        is_good = passes(self->handle, status, "ncclCommShrink", error);
    }
    pthread_mutex_unlock(&self->lock);
    return is_good;
}

/* The parent is in progress until NCCL gives the child's handle, from a thread of its own. A broken
 * parent may tell its old error meanwhile, which is no news. */
static gboolean await_child(NcclComm *self, NcclComm *child, gboolean is_broken, EepPace *pace,
                            GError **error)
{
    for (;;) {
        g_autoptr(GError) failure = NULL;
        ncclResult_t async = ncclSuccess;
        const gboolean is_good = look(self, &async, &failure);
        const gboolean is_over = !is_good || async != ncclInProgress;
        if (is_over && g_atomic_pointer_get(&child->handle) != NULL)
            return TRUE;
        if (!is_good &&
            !(is_broken && g_error_matches(failure, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP))) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
        if (is_good && is_over) {
            g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                        "the group of %u ranks could not be shrunk: %s", self->base.n_ranks,
                        ncclGetLastError(NULL));
            return FALSE;
        }
        if (!eep_pace_next(pace, "shrinking a group", error))
            return FALSE;
    }
}

static EepComm *nccl_shrink(EepComm *base, guint n_gone, const guint *gone, gboolean is_broken,
                            gint64 wait_ns, const gint *stop, GError **error)
{
    NcclComm *self = (NcclComm *)base;
    guint rank = base->rank;
    for (guint i = 0; i < n_gone; i++)
        rank -= gone[i] < base->rank;
    EepPace pace = eep_pace(wait_ns, stop);
    NcclComm *child = new_comm(base->transport, rank, base->n_ranks - n_gone, wait_ns);
    self->may_not_grow = TRUE; /* who is left out does not count this child */
    const gboolean is_good = begin_shrink(self, n_gone, gone, is_broken, child, error) &&
                             await_child(self, child, is_broken, &pace, error);
    /* After NCCL_SHRINK_ABORT the parent must be aborted, never finalized or destroyed: with NCCL
     * 2.31.2 and later the survivors hang otherwise (PyTorch issue 194775). */
    if (is_broken || !is_good)
        nccl_abort(base);
    child->is_left_alone = self->is_left_alone;
    EepComm *result = ready_or_free(child, is_good, &pace, error);
    pthread_mutex_lock(&self->lock);
    self->state = self->state == SHRINKING ? READY : self->state;
    pthread_mutex_unlock(&self->lock);
    return result;
}

/* Finalizing waits for the other ranks, so it has a deadline; who does not come is not waited for.
 */
static gboolean finalize(NcclComm *self, const gint *stop, GError **error)
{
    EepPace pace = eep_pace(self->wait_ns, stop);
    if (!enter(self, error))
        return FALSE;
    const gboolean is_good =
        passes(self->handle, ncclCommFinalize(self->handle), "ncclCommFinalize", error);
    leave_call(self);
    if (!is_good || !await_call(self, &pace, "leaving a group", error))
        return FALSE;
    pthread_mutex_lock(&self->lock);
    ncclComm_t handle = g_steal_pointer(&self->handle);
    self->state = ABORTED;
    pthread_mutex_unlock(&self->lock);
    if (handle != NULL)
        self->is_left_alone = !end_in_time(destroy_handle, handle, self->wait_ns);
    return TRUE;
}

static gboolean nccl_leave(EepComm *base, const gint *stop)
{
    NcclComm *self = (NcclComm *)base;
    g_autoptr(GError) error = NULL;
    const gboolean is_good = finalize(self, stop, &error);
    if (!is_good) {
        g_debug("leaving a group: %s", error->message);
        nccl_abort(base);
    }
    free_comm(self);
    return is_good;
}

static const EepCommOps comm_ops = {
    .size = sizeof(EepCommOps),
    .exchange = nccl_exchange,
    .all_gather = nccl_all_gather,
    .reduce_scatter = nccl_reduce_scatter,
    .all_reduce_min = nccl_all_reduce_min,
    .wait = nccl_wait,
    .shrink = nccl_shrink,
#if NCCL_VERSION_CODE >= GROW_VERSION
    .make_grow_id = nccl_make_grow_id,
#endif
    .abort = nccl_abort,
    .leave = nccl_leave,
};

/* -- the transport -- */

static gboolean nccl_make_id(EepTransport *self, EepCommId *ret_id, GError **error)
{
    ncclUniqueId unique;
    if (!eep_transport_nccl_is_usable(error) ||
        !passes(NULL, ncclGetUniqueId(&unique), "ncclGetUniqueId", error))
        return FALSE;
    memcpy(ret_id, &unique, sizeof *ret_id);
    return TRUE;
}

static void nccl_free(EepTransport *self)
{
    g_free(self);
}

static const EepTransportOps transport_ops = {
    .size = sizeof(EepTransportOps),
    .name = "nccl",
    .make_id = nccl_make_id,
    .join = nccl_join,
#if NCCL_VERSION_CODE >= GROW_VERSION
    .grow = nccl_grow,
#endif
    .free = nccl_free,
};

EepTransport *eep_transport_nccl_new(void)
{
    EepTransport *transport = g_new0(EepTransport, 1);
    transport->ops = &transport_ops;
    return transport;
}

guint eep_transport_nccl_version(void)
{
    int version = 0;
    return passes(NULL, ncclGetVersion(&version), "ncclGetVersion", NULL) ? (guint)version : 0;
}
