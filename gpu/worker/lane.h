/* EepLane: a thread that carries out messages one after the other.
 *
 * put() hands over a message; the lane calls `run` with it. What is queued can be aborted: then
 * `drop` is called with it instead; what runs is asked to stop by its flag, which every wait on
 * device and group looks at. Not a scheduler: it knows of a message only its operation and epoch.
 * put() and abort() on any thread; run() and drop() are called on the lane's. */
#ifndef EEP_GPU_WORKER_LANE_H
#define EEP_GPU_WORKER_LANE_H

#include "gpu/wire.h"

G_BEGIN_DECLS

typedef struct EepLane EepLane;

typedef struct {
    const char *name;
    /* Once, before the first message; nullable. */
    void (*begin)(gpointer self);
    void (*run)(gpointer self, EepLane *lane, const EepWireMessage *message);
    void (*drop)(gpointer self, const EepWireMessage *message);
    /* An abort() has been gone through: nothing of its scope is in the lane any more. */
    void (*aborted)(gpointer self, const EepWireAbort *abort);
} EepLaneOps;

/* The operation that the message asks for, which ends with a DONE of that kind (what measures and
 * checks goes as a read); 0: none, and nothing ends. *ret_epoch 0: of no group. */
guint64 eep_lane_op_of(const EepWireMessage *message, EepOpKind *ret_kind, guint32 *ret_epoch);

EepLane *eep_lane_new(const EepLaneOps *ops, gpointer self);

/* What is queued is dropped, what runs is stopped; waits for the thread. */
void eep_lane_free(EepLane *lane);

/* Takes over what hangs on the message, which is cleared. */
void eep_lane_put(EepLane *lane, EepWireMessage *message);

/* Everything in scope that is queued will be dropped, and if something in scope runs it is stopped.
 * TRUE in the latter case: the caller may have to wake it from a wait that does not look. */
gboolean eep_lane_abort(EepLane *lane, const EepWireAbort *abort);

/* The atomic that waits have to look at. */
const gint *eep_lane_stop(const EepLane *lane);

G_END_DECLS

#endif
