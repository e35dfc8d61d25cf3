/* EepPace: waiting by looking again and again, with a deadline.
 *
 * For what tells its end only when asked: a stream, a communicator. The pauses grow from
 * microseconds, so that a short operation is seen soon and a long one costs no core. Plain values;
 * the calling thread's. */
#ifndef EEP_GPU_WORKER_TRANSPORT_WAIT_H
#define EEP_GPU_WORKER_TRANSPORT_WAIT_H

#include "gpu/worker/device.h"

G_BEGIN_DECLS

typedef struct {
    gint64 wait_ns;
    gint64 deadline_us;
    const gint *stop; /* atomic, nullable */
    guint n_looks;
} EepPace;

EepPace eep_pace(gint64 wait_ns, const gint *stop);

/* Pauses until the next look; FALSE with TIMED_OUT or STOPPED, which name `what`. */
gboolean eep_pace_next(EepPace *pace, const char *what, GError **error);

/* Waits for the stream. `look` (nullable) is asked between: FALSE, with an error, ends the wait. */
gboolean eep_pace_stream(EepPace *pace, EepStream stream,
                         gboolean (*look)(gpointer object, GError **error), gpointer object,
                         GError **error);

G_END_DECLS

#endif
