/* All ranks in one process on one device: threads that find each other by the id.
 *
 * A call has three parts. A rank offers what it sends, with an event that says when the bytes are
 * there; it takes what the others offer to it, as copies or a kernel on its own stream behind those
 * events; and it waits until what it offered is taken, so that its stream goes on behind the
 * takers' events and the bytes may be overwritten. The threads meet on the host, each wait with a
 * deadline; on the device all is ordered by events alone. Sums are made in the order of ranks.
 *
 *      READY (of all ranks) --> BROKEN: a rank did not come, left, aborted, or does not match
 *
 * The group belongs to all its ranks; the last one to leave frees it. */
#include "gpu/worker/transport.h"
#include "gpu/worker/transport_kernels.h"
#include "gpu/worker/transport_loopback_group.h"
#include "gpu/worker/transport_wait.h"

#include <string.h>

typedef struct {
    EepComm base;
    EepLoopGroup *group;
    gint64 wait_ns;
    guint n_shrinks;
} LoopComm;

static const EepCommOps comm_ops;

/* -- a call -- */

/* Something that a rank takes from another one in a call. */
typedef struct {
    guint peer;
    gpointer to; /* where it is copied; NULL: a kernel reads it */
    gsize bytes;
    EepLoopOffer *offer;
} Want;

typedef struct {
    LoopComm *self;
    const char *name;
    EepStream stream;
    struct timespec until;
    GArray *wants;     /* Want */
    GPtrArray *offers; /* EepLoopOffer, of this rank */
} Call;

static gboolean begin(Call *call, EepComm *base, const char *name, EepStream stream, GError **error)
{
    LoopComm *self = (LoopComm *)base;
    *call = (Call){self,
                   name,
                   stream,
                   eep_loop_in(self->wait_ns),
                   g_array_new(FALSE, FALSE, sizeof(Want)),
                   g_ptr_array_new()};
    /* The events of the previous call are free: all that was offered had been taken. */
    gboolean is_good =
        EEP_CUDA(cudaEventRecord(self->group->members[base->rank].ready, stream), error);
    pthread_mutex_lock(&self->group->lock);
    if (!is_good) {
        eep_loop_group_break(self->group, EEP_DEVICE_ERROR_GROUP, base->rank,
                             "rank %u could not use its device", base->rank);
    } else if (self->group->is_broken) {
        is_good = eep_loop_group_tell(self->group, error);
    }
    pthread_mutex_unlock(&self->group->lock);
    return is_good;
}

static void offer(Call *call, guint peer, gconstpointer data, gsize bytes)
{
    EepLoopGroup *group = call->self->group;
    const guint rank = call->self->base.rank;
    EepLoopOffer *one = g_new0(EepLoopOffer, 1);
    *one = (EepLoopOffer){call->name, peer, data, bytes, group->members[rank].ready, NULL, 2};
    g_ptr_array_add(call->offers, one);
    pthread_mutex_lock(&group->lock);
    g_queue_push_tail(&group->offers[rank * group->n_ranks + peer], one);
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

static void want(Call *call, guint peer, gpointer to, gsize bytes)
{
    const Want one = {peer, to, bytes, NULL};
    g_array_append_val(call->wants, one);
}

/* Waits for all that is wanted; with the lock held. */
static gboolean collect(Call *call)
{
    EepLoopGroup *group = call->self->group;
    const guint rank = call->self->base.rank;
    for (guint i = 0; i < call->wants->len; i++) {
        Want *one = &g_array_index(call->wants, Want, i);
        GQueue *from = &group->offers[one->peer * group->n_ranks + rank];
        while (g_queue_is_empty(from))
            if (!eep_loop_group_await(group, rank, one->peer, &call->until))
                return FALSE;
        one->offer = g_queue_pop_head(from);
        if (one->offer->bytes != one->bytes || strcmp(one->offer->call, call->name) != 0) {
            eep_loop_group_break(group, EEP_DEVICE_ERROR_GROUP, one->peer,
                                 "calls do not match: rank %u makes %s of %" G_GSIZE_FORMAT
                                 " bytes, rank %u expects %s of %" G_GSIZE_FORMAT " bytes",
                                 one->peer, one->offer->call, one->offer->bytes, rank, call->name,
                                 one->bytes);
            return FALSE;
        }
    }
    return !group->is_broken;
}

/* The copies behind the events of those who offered; kernels are the caller's. */
static gboolean take(const Call *call, GError **error)
{
    for (guint i = 0; i < call->wants->len; i++) {
        const Want *one = &g_array_index(call->wants, Want, i);
        if (!EEP_CUDA(cudaStreamWaitEvent(call->stream, one->offer->ready, 0), error))
            return FALSE;
        if (one->to != NULL && one->to != one->offer->data && one->bytes > 0 &&
            !EEP_CUDA(cudaMemcpyAsync(one->to, one->offer->data, one->bytes,
                                      cudaMemcpyDeviceToDevice, call->stream),
                      error))
            return FALSE;
    }
    return TRUE;
}

/* Says that everything is taken, and waits until the own offers are; with the lock held. */
static gboolean settle(Call *call)
{
    EepLoopGroup *group = call->self->group;
    for (guint i = 0; i < call->wants->len; i++) {
        g_array_index(call->wants, Want, i).offer->taken =
            group->members[call->self->base.rank].taken;
    }
    pthread_cond_broadcast(&group->changed);
    for (guint i = 0; i < call->offers->len; i++) {
        const EepLoopOffer *one = call->offers->pdata[i];
        while (one->taken == NULL)
            if (!eep_loop_group_await(group, call->self->base.rank, one->to, &call->until))
                return FALSE;
    }
    return TRUE;
}

/* The stream goes on behind those who read what it offered. */
static gboolean follow(const Call *call, GError **error)
{
    for (guint i = 0; i < call->offers->len; i++) {
        const EepLoopOffer *one = call->offers->pdata[i];
        if (one->to != call->self->base.rank &&
            !EEP_CUDA(cudaStreamWaitEvent(call->stream, one->taken, 0), error))
            return FALSE;
    }
    return TRUE;
}

typedef cudaError_t (*Kernel)(const EepSources *sources, void *out, size_t n, cudaStream_t stream);

static gboolean reduce(const Call *call, Kernel kernel, gpointer out, gsize n, GError **error)
{
    EepSources sources = {.n = call->wants->len};
    for (guint i = 0; i < call->wants->len; i++)
        sources.from[i] = g_array_index(call->wants, Want, i).offer->data;
    return EEP_CUDA(kernel(&sources, out, n, call->stream), error);
}

static void end(Call *call)
{
    EepLoopGroup *group = call->self->group;
    pthread_mutex_lock(&group->lock);
    for (guint i = 0; i < call->wants->len; i++) {
        EepLoopOffer *one = g_array_index(call->wants, Want, i).offer;
        if (one != NULL)
            eep_loop_offer_give_back(one);
    }
    for (guint i = 0; i < call->offers->len; i++)
        eep_loop_offer_give_back(call->offers->pdata[i]);
    pthread_mutex_unlock(&group->lock);
    g_array_unref(call->wants);
    g_ptr_array_unref(call->offers);
}

/* Everything offered and wanted is known. `kernel` (nullable) reduces what is wanted. */
static gboolean run(Call *call, Kernel kernel, gpointer out, gsize n, GError **error)
{
    EepLoopGroup *group = call->self->group;
    const EepLoopMember *own = &group->members[call->self->base.rank];
    pthread_mutex_lock(&group->lock);
    gboolean is_good = collect(call) || eep_loop_group_tell(group, error);
    pthread_mutex_unlock(&group->lock);
    gboolean has_device = TRUE;
    if (is_good) {
        has_device = take(call, error) && (kernel == NULL || reduce(call, kernel, out, n, error)) &&
                     EEP_CUDA(cudaEventRecord(own->taken, call->stream), error);
        pthread_mutex_lock(&group->lock);
        is_good = has_device && (settle(call) || eep_loop_group_tell(group, error));
        pthread_mutex_unlock(&group->lock);
    }
    if (is_good)
        is_good = has_device = follow(call, error);
    if (!has_device) {
        pthread_mutex_lock(&group->lock);
        eep_loop_group_break(group, EEP_DEVICE_ERROR_GROUP, call->self->base.rank,
                             "rank %u could not use its device", call->self->base.rank);
        pthread_mutex_unlock(&group->lock);
    }
    return is_good;
}

/* -- operations -- */

static gboolean loop_exchange(EepComm *base, guint n, const EepPiece *pieces, EepStream stream,
                              GError **error)
{
    Call call;
    gboolean is_good = begin(&call, base, "exchange", stream, error);
    for (guint i = 0; i < n && is_good; i++) {
        if (pieces[i].bytes == 0)
            continue;
        if (pieces[i].is_send)
            offer(&call, pieces[i].peer, pieces[i].data, pieces[i].bytes);
        else
            want(&call, pieces[i].peer, pieces[i].data, pieces[i].bytes);
    }
    is_good = is_good && run(&call, NULL, NULL, 0, error);
    end(&call);
    return is_good;
}

static gboolean loop_all_gather(EepComm *base, gconstpointer send, gpointer recv, gsize bytes_each,
                                EepStream stream, GError **error)
{
    Call call;
    gboolean is_good = begin(&call, base, "all_gather", stream, error);
    for (guint i = 0; i < base->n_ranks && is_good; i++) {
        offer(&call, i, send, bytes_each);
        want(&call, i, (guint8 *)recv + i * bytes_each, bytes_each);
    }
    is_good = is_good && run(&call, NULL, NULL, 0, error);
    end(&call);
    return is_good;
}

static gboolean loop_reduce_scatter(EepComm *base, const gfloat *send, gfloat *recv, gsize n_each,
                                    EepStream stream, GError **error)
{
    Call call;
    gboolean is_good = begin(&call, base, "reduce_scatter", stream, error);
    for (guint i = 0; i < base->n_ranks && is_good; i++) {
        offer(&call, i, send + i * n_each, n_each * sizeof *send);
        want(&call, i, NULL, n_each * sizeof *send);
    }
    is_good = is_good && run(&call, eep_transport_sum, recv, n_each, error);
    end(&call);
    return is_good;
}

/* Rank 0 reduces in place, then the others copy its result: no memory beside the ranks' own. */
static gboolean loop_all_reduce_min(EepComm *base, guint64 *inout, gsize n, EepStream stream,
                                    GError **error)
{
    const gsize bytes = n * sizeof *inout;
    gboolean is_good = TRUE;
    for (guint round = 0; round < 2 && is_good; round++) {
        Call call;
        is_good = begin(&call, base, "all_reduce_min", stream, error);
        const gboolean reduces = round == 0 && base->rank == 0;
        for (guint i = 0; i < base->n_ranks && is_good && base->rank == 0; i++)
            if (round == 0)
                want(&call, i, NULL, bytes);
            else if (i != 0)
                offer(&call, i, inout, bytes);
        if (is_good && round == 0)
            offer(&call, 0, inout, bytes);
        else if (is_good && base->rank != 0)
            want(&call, 0, inout, bytes);
        is_good = is_good && run(&call, reduces ? eep_transport_min : NULL, inout, n, error);
        end(&call);
    }
    return is_good;
}

static gboolean loop_wait(EepComm *base, EepStream stream, gint64 wait_ns, const gint *stop,
                          guint *ret_suspect, GError **error)
{
    EepLoopGroup *group = ((LoopComm *)base)->group;
    EepPace pace = eep_pace(wait_ns, stop);
    g_autoptr(GError) failure = NULL;
    if (eep_pace_stream(&pace, stream, eep_loop_group_look, group, &failure))
        return TRUE;
    pthread_mutex_lock(&group->lock);
    eep_loop_group_break(group, (EepDeviceError)failure->code, EEP_RANK_NONE,
                         "rank %u of the group: %s", base->rank, failure->message);
    if (ret_suspect != NULL)
        *ret_suspect = group->suspect;
    pthread_mutex_unlock(&group->lock);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static void loop_abort(EepComm *base)
{
    EepLoopGroup *group = ((LoopComm *)base)->group;
    pthread_mutex_lock(&group->lock);
    eep_loop_group_break(group, EEP_DEVICE_ERROR_STOPPED, EEP_RANK_NONE,
                         "rank %u aborted the group", base->rank);
    pthread_mutex_unlock(&group->lock);
}

/* -- in and out -- */

static EepComm *join_tagged(EepTransport *transport, const EepCommId *id, guint64 tag, guint rank,
                            guint n_ranks, gint64 wait_ns, const gint *stop, GError **error)
{
    if (n_ranks > EEP_LOOPBACK_MAX_RANKS || rank >= n_ranks) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "the loopback transport has ranks 0 to %u, not rank %u of %u",
                    EEP_LOOPBACK_MAX_RANKS - 1, rank, n_ranks);
        return NULL;
    }
    EepLoopGroup *group = eep_loop_group_join(id, tag, rank, n_ranks, wait_ns, stop, error);
    if (group == NULL)
        return NULL;
    LoopComm *self = g_new0(LoopComm, 1);
    self->base = (EepComm){.ops = &comm_ops,
                           .transport = transport,
                           .rank = rank,
                           .n_ranks = n_ranks,
                           .is_bit_exact = TRUE};
    self->group = group;
    self->wait_ns = wait_ns;
    return &self->base;
}

static EepComm *loop_join(EepTransport *transport, const EepCommId *id, guint rank, guint n_ranks,
                          gint64 wait_ns, const gint *stop, GError **error)
{
    return join_tagged(transport, id, 0, rank, n_ranks, wait_ns, stop, error);
}

static EepComm *loop_shrink(EepComm *base, guint n_gone, const guint *gone, gboolean is_broken,
                            gint64 wait_ns, const gint *stop, GError **error)
{
    LoopComm *self = (LoopComm *)base;
    if (is_broken)
        loop_abort(base);
    else if (!eep_loop_group_look(self->group, error))
        return NULL;
    /* All who stay find the same id, without a word. */
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA512);
    EepCommId id = {{0}};
    gsize n_bytes = sizeof id;
    self->n_shrinks++;
    g_checksum_update(sum, self->group->id.bytes, sizeof id);
    g_checksum_update(sum, (const guchar *)&self->n_shrinks, sizeof self->n_shrinks);
    g_checksum_get_digest(sum, id.bytes, &n_bytes);
    guint rank = base->rank;
    guint64 tag = 1;
    for (guint i = 0; i < n_gone; i++) {
        rank -= gone[i] < base->rank;
        tag += G_GUINT64_CONSTANT(1) << (gone[i] % EEP_LOOPBACK_MAX_RANKS);
    }
    return join_tagged(base->transport, &id, tag, rank, base->n_ranks - n_gone, wait_ns, stop,
                       error);
}

/* Waits for nobody: the last one frees the group. */
static gboolean loop_leave(EepComm *base, const gint *stop)
{
    LoopComm *self = (LoopComm *)base;
    eep_loop_group_leave(self->group, base->rank);
    g_free(self);
    return TRUE;
}

static const EepCommOps comm_ops = {
    .size = sizeof(EepCommOps),
    .exchange = loop_exchange,
    .all_gather = loop_all_gather,
    .reduce_scatter = loop_reduce_scatter,
    .all_reduce_min = loop_all_reduce_min,
    .wait = loop_wait,
    .shrink = loop_shrink,
    .abort = loop_abort,
    .leave = loop_leave,
};

/* -- the transport -- */

static gboolean loop_make_id(EepTransport *self, EepCommId *ret_id, GError **error)
{
    for (gsize i = 0; i < sizeof *ret_id; i += sizeof(guint32)) {
        const guint32 random = g_random_int();
        memcpy(ret_id->bytes + i, &random, sizeof random);
    }
    return TRUE;
}

static void loop_free(EepTransport *self)
{
    g_free(self);
}

static const EepTransportOps transport_ops = {
    .size = sizeof(EepTransportOps),
    .name = "loopback",
    .make_id = loop_make_id,
    .join = loop_join,
    .free = loop_free,
};

EepTransport *eep_transport_loopback_new(void)
{
    EepTransport *transport = g_new0(EepTransport, 1);
    transport->ops = &transport_ops;
    return transport;
}
