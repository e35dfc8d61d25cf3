#include "gpu/worker/transport_loopback_group.h"

#include "gpu/worker/transport_wait.h"

#include <errno.h>
#include <string.h>

#define STOP_LOOK_NS G_GINT64_CONSTANT(5000000) /* how often a join looks at `stop` */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static GPtrArray *table; /* of EepLoopGroup: those that somebody is in */

/* -- breaking -- */

void eep_loop_group_break(EepLoopGroup *group, EepDeviceError code, guint suspect,
                          const char *format, ...)
{
    if (group->is_broken) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(group->why, sizeof group->why, format, arguments);
    va_end(arguments);
    group->is_broken = TRUE;
    group->code = code;
    group->suspect = suspect;
    pthread_cond_broadcast(&group->changed);
}

gboolean eep_loop_group_tell(const EepLoopGroup *group, GError **error)
{
    g_set_error(error, EEP_DEVICE_ERROR, group->code, "%s", group->why);
    return FALSE;
}

/* Who is the cause if `rank` waits for ever: the end of the chain of those who wait for others. */
static guint find_suspect(const EepLoopGroup *group, guint rank)
{
    for (guint i = 0; i < group->n_ranks; i++) {
        if (group->members[rank].waits_for == EEP_RANK_NONE) {
            break;
        }
        rank = group->members[rank].waits_for;
    }
    return rank;
}

struct timespec eep_loop_in(gint64 wait_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ns / 1000000000;
    until.tv_nsec += wait_ns % 1000000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

gboolean eep_loop_group_look(gpointer object, GError **error)
{
    EepLoopGroup *group = object;
    pthread_mutex_lock(&group->lock);
    const gboolean is_good = !group->is_broken || eep_loop_group_tell(group, error);
    pthread_mutex_unlock(&group->lock);
    return is_good;
}

gboolean eep_loop_group_await(EepLoopGroup *group, guint rank, guint peer,
                              const struct timespec *until)
{
    EepLoopMember *own = &group->members[rank];
    if (!group->is_broken && group->members[peer].has_left) {
        eep_loop_group_break(group, EEP_DEVICE_ERROR_GROUP, peer, "rank %u has left the group",
                             peer);
    }
    if (group->is_broken) {
        return FALSE;
    }
    own->waits_for = peer;
    const gboolean is_late =
        pthread_cond_timedwait(&group->changed, &group->lock, until) == ETIMEDOUT;
    if (is_late && !group->is_broken) {
        const guint suspect = find_suspect(group, peer);
        eep_loop_group_break(group, EEP_DEVICE_ERROR_TIMED_OUT, suspect,
                             "rank %u did not come in time to a call of its group", suspect);
    }
    own->waits_for = EEP_RANK_NONE;
    return !group->is_broken;
}

void eep_loop_offer_give_back(EepLoopOffer *offer)
{
    if (--offer->n_holders == 0) {
        g_free(offer);
    }
}

/* -- in and out -- */

static EepLoopGroup *new_group(const EepCommId *id, guint64 tag, guint n_ranks)
{
    EepLoopGroup *group = g_new0(EepLoopGroup, 1);
    group->id = *id;
    group->tag = tag;
    group->n_ranks = n_ranks;
    group->suspect = EEP_RANK_NONE;
    group->members = g_new0(EepLoopMember, n_ranks);
    for (guint i = 0; i < n_ranks; i++) {
        group->members[i].waits_for = EEP_RANK_NONE;
    }
    group->offers = g_new0(GQueue, n_ranks * n_ranks);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&group->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&group->lock, NULL);
    return group;
}

static void drop_event(cudaEvent_t event)
{
    g_autoptr(GError) error = NULL;
    if (!EEP_CUDA(cudaEventDestroy(event), &error)) {
        g_debug("%s", error->message); /* the device is lost, and its events with it */
    }
}

static void free_group(EepLoopGroup *group)
{
    for (guint i = 0; i < group->n_ranks; i++) {
        if (group->members[i].has_events) {
            drop_event(group->members[i].ready);
            drop_event(group->members[i].taken);
        }
    }
    for (guint i = 0; i < group->n_ranks * group->n_ranks; i++) {
        for (EepLoopOffer *one; (one = g_queue_pop_head(&group->offers[i])) != NULL;) {
            eep_loop_offer_give_back(one);
        }
    }
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
    g_free(group->offers);
    g_free(group->members);
    g_free(group);
}

/* With the table's lock held. */
static EepLoopGroup *find_group(const EepCommId *id)
{
    if (table == NULL) {
        table = g_ptr_array_new();
    }
    for (guint i = 0; i < table->len; i++) {
        EepLoopGroup *group = table->pdata[i];
        if (memcmp(&group->id, id, sizeof *id) == 0) {
            return group;
        }
    }
    return NULL;
}

void eep_loop_group_leave(EepLoopGroup *group, guint rank)
{
    pthread_mutex_lock(&group->lock);
    group->members[rank].has_left = TRUE;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
    pthread_mutex_lock(&table_lock);
    const gboolean is_last = --group->n_holders == 0;
    if (is_last) {
        g_ptr_array_remove_fast(table, group);
    }
    if (table->len == 0) {
        g_clear_pointer(&table, g_ptr_array_unref);
    }
    pthread_mutex_unlock(&table_lock);
    if (is_last) {
        free_group(group);
    }
}

/* Takes the rank's place in the group of that id, which is made by the first who comes. */
static EepLoopGroup *enter_group(const EepCommId *id, guint64 tag, guint rank, guint n_ranks,
                                 GError **error)
{
    pthread_mutex_lock(&table_lock);
    EepLoopGroup *group = find_group(id);
    const char *why = group == NULL                  ? NULL
                      : group->n_ranks != n_ranks    ? "was begun with another number of ranks"
                      : group->tag != tag            ? "is made by shrinking with another list"
                      : group->members[rank].is_here ? "has this rank already"
                                                     : NULL;
    if (group == NULL) {
        group = new_group(id, tag, n_ranks);
        g_ptr_array_add(table, group);
    }
    if (why == NULL) {
        group->members[rank].is_here = TRUE;
        group->n_holders++;
    }
    pthread_mutex_unlock(&table_lock);
    if (why != NULL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "rank %u of %u cannot join: the group %s", rank, n_ranks, why);
        return NULL;
    }
    return group;
}

static gboolean make_events(EepLoopMember *member, GError **error)
{
    if (!EEP_CUDA(cudaEventCreateWithFlags(&member->ready, cudaEventDisableTiming), error)) {
        return FALSE;
    }
    if (!EEP_CUDA(cudaEventCreateWithFlags(&member->taken, cudaEventDisableTiming), error)) {
        drop_event(member->ready);
        return FALSE;
    }
    member->has_events = TRUE;
    return TRUE;
}

/* With the group's lock held. */
static gboolean await_all(EepLoopGroup *group, gint64 wait_ns, const gint *stop, GError **error)
{
    EepPace pace = eep_pace(wait_ns, stop);
    while (group->n_here < group->n_ranks && !group->is_broken) {
        if (stop != NULL && g_atomic_int_get(stop) != 0) {
            eep_loop_group_break(group, EEP_DEVICE_ERROR_STOPPED, EEP_RANK_NONE,
                                 "stopped waiting for the group");
        } else if (g_get_monotonic_time() >= pace.deadline_us) {
            eep_loop_group_break(group, EEP_DEVICE_ERROR_TIMED_OUT, EEP_RANK_NONE,
                                 "only %u of %u ranks joined the group within %" G_GINT64_FORMAT
                                 " ms",
                                 group->n_here, group->n_ranks, wait_ns / 1000000);
        } else {
            const struct timespec until = eep_loop_in(STOP_LOOK_NS);
            pthread_cond_timedwait(&group->changed, &group->lock, &until);
        }
    }
    return !group->is_broken || eep_loop_group_tell(group, error);
}

EepLoopGroup *eep_loop_group_join(const EepCommId *id, guint64 tag, guint rank, guint n_ranks,
                                  gint64 wait_ns, const gint *stop, GError **error)
{
    EepLoopGroup *group = enter_group(id, tag, rank, n_ranks, error);
    if (group == NULL) {
        return NULL;
    }
    gboolean is_good = make_events(&group->members[rank], error);
    pthread_mutex_lock(&group->lock);
    group->n_here += is_good;
    pthread_cond_broadcast(&group->changed);
    is_good = is_good && await_all(group, wait_ns, stop, error);
    pthread_mutex_unlock(&group->lock);
    if (!is_good) {
        eep_loop_group_leave(group, rank);
        return NULL;
    }
    return group;
}
