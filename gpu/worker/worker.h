/* EepWorker: one rank at the service of a coordinator: a device, the model on it, the groups that
 * it is a member of, and a connection.
 *
 * Three threads: control (the caller of run()), the step lane and the aside lane; docs/hardware.md
 * says what each takes. With the loopback transport a process has several workers, one a logical
 * rank. A sticky device error ends the process. Not the coordinator. */
#ifndef EEP_GPU_WORKER_WORKER_H
#define EEP_GPU_WORKER_WORKER_H

#include "gpu/worker/worker_options.h"

G_BEGIN_DECLS

typedef struct EepWorker EepWorker;

typedef enum {
    EEP_WORKER_SENT_HOME,     /* by BYE or a destroy phase */
    EEP_WORKER_FAILED,        /* or lost its coordinator */
    EEP_WORKER_REFUSED,       /* by the coordinator; or no device */
    EEP_WORKER_DEVICE_BROKEN, /* a sticky error */
} EepWorkerEnd;

/* Another logical rank, wanted by the coordinator: starts a worker of that id in this process. */
typedef void (*EepWorkerSpawn)(gpointer self, guint32 worker);

/* Opens the device and the connection, says HELLO. The options must outlive it. */
EepWorker *eep_worker_new(const EepWorkerOptions *options, guint32 worker, EepWorkerSpawn spawn,
                          gpointer self, GError **error);
void eep_worker_free(EepWorker *worker);

/* How long it may take to give everything back: gpu.grace, once the coordinator has told it. */
gint64 eep_worker_grace(const EepWorker *worker);

/* Serves until it is sent home or something ends it; then the error says what. */
EepWorkerEnd eep_worker_run(EepWorker *worker, GError **error);

G_END_DECLS

#endif
