/* EepLoopGroup: the ranks of a group of the loopback transport, which are threads of one process.
 *
 * They find each other by the group's id in a table of the process. The group has a lock, a
 * condition that tells each change, what ranks offer to each other, and why it is broken if it is.
 * The last rank to leave frees it. Not the operations: transport_loopback.c. Fields are read and
 * written with the lock held, but for those that never change; functions say whether they want it.
 */
#ifndef EEP_GPU_WORKER_TRANSPORT_LOOPBACK_GROUP_H
#define EEP_GPU_WORKER_TRANSPORT_LOOPBACK_GROUP_H

#include "gpu/worker/transport.h"

#include <pthread.h>
#include <time.h>

G_BEGIN_DECLS

/* What a rank lets another one read. Lives until both have given it back. */
typedef struct {
    const char *call;
    guint to;
    gconstpointer data;
    gsize bytes;
    cudaEvent_t ready; /* the bytes are there */
    cudaEvent_t taken; /* they have been read; NULL: not enqueued yet */
    guint n_holders;
} EepLoopOffer;

typedef struct {
    gboolean is_here, has_left;
    gboolean has_events;
    cudaEvent_t ready, taken;
    guint waits_for; /* rank; EEP_RANK_NONE */
} EepLoopMember;

typedef struct {
    EepCommId id;
    guint64 tag; /* of the ranks that a shrink left out */
    guint n_ranks;
    guint n_here, n_holders;
    gboolean is_broken;
    gint code; /* EepDeviceError */
    char why[160];
    guint suspect;
    EepLoopMember *members; /* [n_ranks] */
    GQueue *offers;         /* [from * n_ranks + to], of EepLoopOffer */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} EepLoopGroup;

/* -- in and out, without the lock -- */

/* Takes the rank's place in the group of that id, made by the first who comes, and waits for the
 * others. All of them give the same `tag`. */
EepLoopGroup *eep_loop_group_join(const EepCommId *id, guint64 tag, guint rank, guint n_ranks,
                                  gint64 wait_ns, const gint *stop, GError **error);
void eep_loop_group_leave(EepLoopGroup *group, guint rank);

/* FALSE with an error: it is broken. */
gboolean eep_loop_group_look(gpointer group, GError **error);

/* -- with the lock -- */

/* The first to break it says why. */
void eep_loop_group_break(EepLoopGroup *group, EepDeviceError code, guint suspect,
                          const char *format, ...) G_GNUC_PRINTF(4, 5);
/* Always FALSE. */
gboolean eep_loop_group_tell(const EepLoopGroup *group, GError **error);
/* Waits for a change that `peer` has to make; FALSE: it is broken, at the deadline at the latest.
 */
gboolean eep_loop_group_await(EepLoopGroup *group, guint rank, guint peer,
                              const struct timespec *until);

void eep_loop_offer_give_back(EepLoopOffer *offer);

/* A deadline for eep_loop_group_await(). */
struct timespec eep_loop_in(gint64 wait_ns);

G_END_DECLS

#endif
