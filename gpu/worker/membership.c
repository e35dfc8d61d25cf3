#include "gpu/worker/membership.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "live/clock_real.h"

/* How long one wait for an id lasts until `stop` is looked at again. */
#define LOOK_NS 10000000

/* Which of a group's communicators are to be made. */
enum { FOR_STEPS = 1, FOR_MOVES = 2 };

struct EepMembers {
    EepTransport *transport;
    const gint *stop_steps;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    GPtrArray *groups; /* EepMembership, owned */
    GArray *ids;       /* EepWireGroupId that nobody has used */
};

G_STATIC_ASSERT(EEP_WIRE_ID_BYTES == EEP_COMM_ID_BYTES);

EepMembers *eep_members_new(EepTransport *transport, const gint *stop_steps)
{
    EepMembers *members = g_new0(EepMembers, 1);
    pthread_condattr_t attributes;

    members->transport = transport;
    members->stop_steps = stop_steps;
    members->groups = g_ptr_array_new();
    members->ids = g_array_new(FALSE, FALSE, sizeof(EepWireGroupId));
    pthread_mutex_init(&members->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&members->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
    return members;
}

static void abort_both(EepMembership *group)
{
    group->serve->ops->abort(group->serve);
    group->move->ops->abort(group->move);
}

/* The last user leaves. FALSE: somebody did not come, and is not waited for twice. */
static gboolean give_back(EepMembership *group, const gint *stop)
{
    gboolean is_good;

    if (!g_atomic_int_dec_and_test(&group->n_users))
        return TRUE;
    is_good = group->serve->ops->leave(group->serve, stop);
    if (!is_good)
        group->move->ops->abort(group->move);
    is_good = group->move->ops->leave(group->move, stop) && is_good;
    g_free(group);
    return is_good;
}

void eep_membership_unref(EepMembership *group)
{
    give_back(group, NULL);
}

void eep_members_free(EepMembers *members)
{
    if (members == NULL)
        return;
    for (guint i = 0; i < members->groups->len; i++) {
        EepMembership *group = g_ptr_array_index(members->groups, i);

        abort_both(group);
        eep_membership_unref(group);
    }
    g_ptr_array_unref(members->groups);
    g_array_unref(members->ids);
    pthread_cond_destroy(&members->arrived);
    pthread_mutex_destroy(&members->lock);
    g_free(members);
}

void eep_members_hand_id(EepMembers *members, const EepWireGroupId *id)
{
    pthread_mutex_lock(&members->lock);
    g_array_append_vals(members->ids, id, 1);
    pthread_cond_broadcast(&members->arrived);
    pthread_mutex_unlock(&members->lock);
}

/* Ids of operations that were given up stay behind, until the same epoch is joined again. Those of
 * others are for the other lane, which may join another group meanwhile. */
static gboolean take_id(EepMembers *members, const EepWirePhase *phase, EepWireGroupId *ret_id)
{
    gboolean is_found = FALSE;

    for (guint i = members->ids->len; i-- > 0;) {
        const EepWireGroupId *id = &g_array_index(members->ids, EepWireGroupId, i);

        if (id->epoch != phase->target_epoch)
            continue;
        if (id->op == phase->op) {
            *ret_id = *id;
            is_found = TRUE;
        }
        if (id->op <= phase->op)
            g_array_remove_index_fast(members->ids, i);
    }
    return is_found;
}

static gboolean wait_for_id(EepMembers *members, const EepWirePhase *phase, gint64 wait_ns,
                            const gint *stop, EepWireGroupId *ret_id, GError **error)
{
    gint64 end = eep_monotonic_ns() + wait_ns;
    gboolean is_there;

    pthread_mutex_lock(&members->lock);
    while (!(is_there = take_id(members, phase, ret_id)) && eep_monotonic_ns() < end &&
           g_atomic_int_get(stop) == 0) {
        gint64 until = MIN(end, eep_monotonic_ns() + LOOK_NS);
        struct timespec time = {until / 1000000000, until % 1000000000};

        pthread_cond_timedwait(&members->arrived, &members->lock, &time);
    }
    pthread_mutex_unlock(&members->lock);
    if (is_there)
        return TRUE;
    if (g_atomic_int_get(stop) != 0)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED, "stopped");
    else
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT,
                    "rank 0 of epoch %u has sent no id within %.1f s", phase->target_epoch,
                    (double)wait_ns / 1e9);
    return FALSE;
}

/* An id by which `parent` grows; FALSE: it does not, which is no error. */
static gboolean make_grow_id(const EepMembership *parent, EepCommId *ret_id)
{
    g_autoptr(GError) why = NULL;

    if (parent == NULL || parent->move->ops->make_grow_id == NULL)
        return FALSE;
    if (parent->move->ops->make_grow_id(parent->move, ret_id, &why))
        return TRUE;
    g_debug("joining anew instead of growing: %s", why->message);
    return FALSE;
}

/* The ids that are needed, and no others: NCCL keeps a thread and a socket for each until all ranks
 * have come. */
static gboolean make_id(EepMembers *members, const EepWirePhase *phase, const EepMembership *parent,
                        guint needs, EepWireGroupId *ret_id, GError **error)
{
    EepTransport *transport = members->transport;
    EepCommId serve = {{0}}, move = {{0}};
    gboolean is_grown = phase->n_old == 0 && make_grow_id(parent, &move);

    if (((needs & FOR_STEPS) != 0 && !transport->ops->make_id(transport, &serve, error)) ||
        ((needs & FOR_MOVES) != 0 && !is_grown &&
         !transport->ops->make_id(transport, &move, error)))
        return FALSE;
    *ret_id = (EepWireGroupId){.op = phase->op, .epoch = phase->target_epoch, .is_grown = is_grown};
    memcpy(ret_id->serve, serve.bytes, sizeof serve.bytes);
    memcpy(ret_id->move, move.bytes, sizeof move.bytes);
    return TRUE;
}

static EepComm *join(EepMembers *members, const guint8 *bytes, const EepWirePhase *phase,
                     gint64 wait_ns, const gint *stop, GError **error)
{
    EepTransport *transport = members->transport;
    EepCommId id;

    memcpy(id.bytes, bytes, sizeof id.bytes);
    return transport->ops->join(transport, &id, phase->rank, phase->n_ranks, wait_ns, stop, error);
}

/* The communicator for moves out of the larger one of the phase's epoch. */
static EepComm *shrink(const EepWirePhase *phase, const EepMembership *parent, gint64 wait_ns,
                       const gint *stop, GError **error)
{
    g_autofree guint *gone = g_new(guint, phase->n_old);
    guint n_gone = 0;

    if (parent == NULL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "this worker has no group of epoch %u to shrink", phase->epoch);
        return NULL;
    }
    for (guint rank = 0; rank < phase->n_old; rank++)
        if (eep_wire_is_left_out(phase, rank))
            gone[n_gone++] = rank;
    return parent->move->ops->shrink(parent->move, n_gone, gone, phase->has_gone != 0, wait_ns,
                                     stop, error);
}

/* The communicator for moves: shrunk, as the coordinator said, grown, as rank 0 said, or joined. */
static EepComm *make_for_moves(EepMembers *members, const EepWireGroupId *id,
                               const EepWirePhase *phase, const EepMembership *parent,
                               gint64 wait_ns, const gint *stop, GError **error)
{
    EepTransport *transport = members->transport;
    EepCommId bytes;

    if (phase->n_old > 0)
        return shrink(phase, parent, wait_ns, stop, error);
    if (!id->is_grown)
        return join(members, id->move, phase, wait_ns, stop, error);
    if (transport->ops->grow == NULL || (parent == NULL && phase->rank < phase->n_kept)) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "rank 0 grows the group of epoch %u: %s", phase->epoch,
                    transport->ops->grow == NULL
                        ? "this worker was built with an NCCL that cannot; give all of them one"
                        : "this worker does not have it");
        return NULL;
    }
    memcpy(bytes.bytes, id->move, sizeof bytes.bytes);
    return transport->ops->grow(transport, parent != NULL ? parent->move : NULL, &bytes,
                                phase->rank, phase->n_ranks, wait_ns, stop, error);
}

/* Takes out of the list the group of the epoch, or all `others`. */
static GPtrArray *take_groups(EepMembers *members, guint32 epoch, gboolean others)
{
    GPtrArray *taken = g_ptr_array_new();

    pthread_mutex_lock(&members->lock);
    for (guint i = members->groups->len; i-- > 0;) {
        EepMembership *group = g_ptr_array_index(members->groups, i);

        if ((group->epoch != epoch) == others)
            g_ptr_array_add(taken, g_ptr_array_remove_index(members->groups, i));
    }
    pthread_mutex_unlock(&members->lock);
    return taken;
}

/* In good order, as long as the others come; whom one group has missed the next one does not wait
 * for. */
static void leave_all(GPtrArray *groups, gboolean waits, const gint *stop)
{
    for (guint i = 0; i < groups->len; i++) {
        EepMembership *group = g_ptr_array_index(groups, i);

        if (!waits)
            abort_both(group);
        waits = give_back(group, stop) && waits;
    }
    g_ptr_array_unref(groups);
}

/* Rank 0 makes the ids of the communicators, the others wait for them. */
static gboolean agree_on_id(EepMembers *members, const EepWirePhase *phase,
                            const EepMembership *parent, guint needs, gint64 wait_ns,
                            const gint *stop, EepMembersTell tell, gpointer self,
                            EepWireGroupId *ret_id, GError **error)
{
    if (phase->rank != 0)
        return wait_for_id(members, phase, wait_ns, stop, ret_id, error);
    if (!make_id(members, phase, parent, needs, ret_id, error))
        return FALSE;
    tell(self, ret_id);
    return TRUE;
}

/* The rank among those that stay of the old group. */
static guint rank_among_left(const EepWirePhase *phase, guint old_rank)
{
    guint rank = 0;

    for (guint i = 0; i < MIN(old_rank, phase->n_old); i++)
        rank += !eep_wire_is_left_out(phase, i);
    return rank;
}

/* The group out of which the target group grows or shrinks; NULL: it does not, or this rank is new.
 */
static EepMembership *find_parent(EepMembers *members, const EepWirePhase *phase)
{
    g_autoptr(EepMembership) parent = phase->n_old > 0 || phase->rank < phase->n_kept
                                          ? eep_members_find(members, phase->epoch)
                                          : NULL;
    gboolean fits =
        parent != NULL &&
        (phase->n_old > 0 ? parent->n_ranks == phase->n_old &&
                                rank_among_left(phase, parent->rank) == phase->rank
                          : parent->n_ranks == phase->n_kept && parent->rank == phase->rank);

    return fits ? g_steal_pointer(&parent) : NULL;
}

gboolean eep_members_join(EepMembers *members, const EepWirePhase *phase, gint64 wait_ns,
                          const gint *stop, EepMembersTell tell, gpointer self, GError **error)
{
    g_autoptr(EepMembership) parent = find_parent(members, phase);
    EepMembership *group;
    EepWireGroupId id;
    EepComm *serve, *move;

    if (!agree_on_id(members, phase, parent, phase->n_old > 0 ? FOR_STEPS : FOR_STEPS | FOR_MOVES,
                     wait_ns, stop, tell, self, &id, error))
        return FALSE;
    /* What was undone; its members join this one, or are gone. */
    leave_all(take_groups(members, phase->target_epoch, FALSE), FALSE, NULL);
    serve = join(members, id.serve, phase, wait_ns, stop, error);
    if (serve == NULL)
        return FALSE;
    move = make_for_moves(members, &id, phase, parent, wait_ns, stop, error);
    if (move == NULL) {
        serve->ops->abort(serve);
        eep_comm_leave(serve);
        return FALSE;
    }
    serve->stop = members->stop_steps;
    move->stop = stop;
    group = g_new(EepMembership, 1);
    *group = (EepMembership){.epoch = phase->target_epoch,
                             .rank = phase->rank,
                             .n_ranks = phase->n_ranks,
                             .serve = serve,
                             .move = move,
                             .n_users = 1};
    pthread_mutex_lock(&members->lock);
    g_ptr_array_add(members->groups, group);
    pthread_mutex_unlock(&members->lock);
    return TRUE;
}

/* With the lock held. */
static EepMembership *find(EepMembers *members, guint32 epoch)
{
    for (guint i = 0; i < members->groups->len; i++) {
        EepMembership *group = g_ptr_array_index(members->groups, i);

        if (group->epoch == epoch)
            return group;
    }
    return NULL;
}

EepMembership *eep_members_find(EepMembers *members, guint32 epoch)
{
    EepMembership *group;

    pthread_mutex_lock(&members->lock);
    group = find(members, epoch);
    if (group != NULL)
        g_atomic_int_inc(&group->n_users);
    pthread_mutex_unlock(&members->lock);
    return group;
}

static void abort_and_leave(EepComm *comm)
{
    comm->ops->abort(comm);
    eep_comm_leave(comm);
}

gboolean eep_members_mend(EepMembers *members, const EepWirePhase *phase, gint64 wait_ns,
                          const gint *stop, EepMembersTell tell, gpointer self, GError **error)
{
    EepWireGroupId id;
    EepComm *fresh, **used;
    EepMembership *group;

    if (!agree_on_id(members, phase, NULL, phase->mends_moves ? FOR_MOVES : FOR_STEPS, wait_ns,
                     stop, tell, self, &id, error))
        return FALSE;
    fresh = join(members, phase->mends_moves ? id.move : id.serve, phase, wait_ns, stop, error);
    if (fresh == NULL)
        return FALSE;
    fresh->stop = stop;
    pthread_mutex_lock(&members->lock);
    group = find(members, phase->target_epoch);
    if (group != NULL) {
        EepComm *broken;

        used = phase->mends_moves ? &group->move : &group->serve;
        broken = *used;
        *used = fresh;
        fresh = broken;
    }
    pthread_mutex_unlock(&members->lock);
    abort_and_leave(fresh);
    if (group == NULL)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "the group of epoch %u was left while it was joined anew", phase->target_epoch);
    return group != NULL;
}

void eep_members_retire(EepMembers *members, guint32 epoch, gboolean waits, const gint *stop)
{
    leave_all(take_groups(members, epoch, TRUE), waits, stop);
}
