/* EepTransport: how the ranks of a group exchange bytes that lie in device memory.
 *
 * A transport makes communicators; a communicator belongs to one rank of one group epoch. Every
 * group has two, one for steps and one for moves, used from different threads; one communicator is
 * used by one thread at a time, but for abort(). Calls on a communicator are made by all its ranks
 * in one order. Nothing blocks longer than `wait_ns`: what does not come in time breaks the
 * communicator, and a broken one can only be aborted. Not a topology and not a schedule. The ops
 * tables are transport_nccl.c (a process a rank) and transport_loopback.c (threads of one process
 * on one device: the reference, bit for bit). EepTransportKind (core/gpu_options.h) names them. */
#ifndef EEP_GPU_WORKER_TRANSPORT_H
#define EEP_GPU_WORKER_TRANSPORT_H

#include "core/resize/group.h"
#include "gpu/worker/device.h"

G_BEGIN_DECLS

#define EEP_COMM_ID_BYTES 128

typedef struct {
    guint8 bytes[EEP_COMM_ID_BYTES];
} EepCommId;

typedef struct EepTransport EepTransport;
typedef struct EepComm EepComm;

/* A piece of a grouped exchange. */
typedef struct {
    guint peer;
    gboolean is_send;
    gpointer data; /* device memory; read by a send */
    gsize bytes;   /* 0: nothing happens */
} EepPiece;

typedef struct {
    gsize size;
    const char *name;
    /* A group's identity, made by its rank 0, carried to the others by the coordinator. */
    gboolean (*make_id)(EepTransport *self, EepCommId *ret_id, GError **error);
    /* Waits for all n_ranks, at most wait_ns; `stop` (an atomic, nullable) ends it early. */
    EepComm *(*join)(EepTransport *self, const EepCommId *id, guint rank, guint n_ranks,
                     gint64 wait_ns, const gint *stop, GError **error);
    /* join() of a communicator that is grown: `parent` is the one whose make_grow_id() made the
     * id, at its own ranks, which keep their numbers; NULL at a rank that is new. The parent stays
     * and is not used meanwhile. Nullable: this transport grows nothing. */
    EepComm *(*grow)(EepTransport *self, EepComm *parent, const EepCommId *id, guint rank,
                     guint n_ranks, gint64 wait_ns, const gint *stop, GError **error);
    void (*free)(EepTransport *self);
} EepTransportOps;

struct EepTransport {
    const EepTransportOps *ops;
};

typedef struct {
    gsize size;
    /* Enqueue on `stream`; FALSE at once when the communicator is broken. What fails here has
     * broken it, as with wait(). In an exchange a rank without pieces need not call; pieces of a
     * pair are matched in their order and have the same size on both sides. */
    gboolean (*exchange)(EepComm *self, guint n, const EepPiece *pieces, EepStream stream,
                         GError **error);
    gboolean (*all_gather)(EepComm *self, gconstpointer send, gpointer recv, gsize bytes_each,
                           EepStream stream, GError **error);
    /* Sums `n` floats a rank; the order of the sum is the transport's. */
    gboolean (*reduce_scatter)(EepComm *self, const gfloat *send, gfloat *recv, gsize n_each,
                               EepStream stream, GError **error);
    gboolean (*all_reduce_min)(EepComm *self, guint64 *inout, gsize n, EepStream stream,
                               GError **error);
    /* Waits for what was enqueued on `stream`, at most wait_ns, and looks at the communicator's
     * health meanwhile. *ret_suspect (nullable): a rank that is known to be the cause, or
     * EEP_RANK_NONE. On FALSE the communicator is broken and has been aborted, unless may_shrink is
     * set: then what is enqueued may hang until shrink(), abort() or leave(). */
    gboolean (*wait)(EepComm *self, EepStream stream, gint64 wait_ns, const gint *stop,
                     guint *ret_suspect, GError **error);
    /* A communicator of the ranks not listed, in their order; all of those call it, with the same
     * list. `is_broken`: the others are dead; the parent is aborted by it. Else it stays, if all
     * went well, but is not grown any more. NULL on error; others may have got one. */
    EepComm *(*shrink)(EepComm *self, guint n_gone, const guint *gone, gboolean is_broken,
                       gint64 wait_ns, const gint *stop, GError **error);
    /* At rank 0, with nothing enqueued on it: an id for grow(). FALSE: this communicator cannot be
     * grown (now, or by this library), and all have to join() by an id of make_id(); nothing is
     * broken. Nullable, as grow(). */
    gboolean (*make_grow_id)(EepComm *self, EepCommId *ret_id, GError **error);
    /* From any thread, but not beside leave(): everything enqueued ends soon, in error. */
    void (*abort)(EepComm *self);
    /* Destroys. Waits for what is enqueued and for the other ranks to leave, as long as join() was
     * allowed to wait, unless it was aborted; `stop` (an atomic, nullable) ends that early. FALSE:
     * not all came. */
    gboolean (*leave)(EepComm *self, const gint *stop);
} EepCommOps;

struct EepComm {
    const EepCommOps *ops;
    EepTransport *transport;
    guint rank, n_ranks;
    gboolean is_bit_exact; /* reduce_scatter adds in the order of the ranks, always */
    gboolean may_shrink;   /* set by who will shrink() it when it breaks */
    const gint *stop; /* an atomic, nullable; set by its user: ends early what an operation's call
                         waits for, since the first one of a pair connects the two */
};

/* NCCL, one rank a process. */
EepTransport *eep_transport_nccl_new(void);

/* The library's version as NCCL counts it (22809); 0 if it does not say. */
guint eep_transport_nccl_version(void);
/* FALSE: the library is too old. */
gboolean eep_transport_nccl_is_usable(GError **error);

/* Threads of this process; every logical rank makes one and they find each other by the id. */
EepTransport *eep_transport_loopback_new(void);

void eep_transport_free(EepTransport *transport);
void eep_comm_leave(EepComm *comm); /* does nothing with NULL */

G_END_DECLS

#endif
