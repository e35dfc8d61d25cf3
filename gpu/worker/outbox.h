/* EepOutbox: the sending side of a worker's connection, shared by its threads.
 *
 * send() writes at once what the socket takes and keeps the rest, which the control thread flushes
 * when the socket is writable. Bounded: a coordinator that does not read is one that has gone. Not
 * the reading side (control.c). Any thread. */
#ifndef EEP_GPU_WORKER_OUTBOX_H
#define EEP_GPU_WORKER_OUTBOX_H

#include "gpu/wire.h"

G_BEGIN_DECLS

typedef struct EepOutbox EepOutbox;

/* The socket is non-blocking and stays the caller's. `wake` (nullable) is called when something was
 * kept, by the thread that sent it. */
EepOutbox *eep_outbox_new(int fd, void (*wake)(gpointer self), gpointer self);
void eep_outbox_free(EepOutbox *outbox);

void eep_outbox_send(EepOutbox *outbox, const EepWireMessage *message);

/* Writes what can be written. FALSE when the connection is broken or too much was kept. */
gboolean eep_outbox_flush(EepOutbox *outbox);
gboolean eep_outbox_is_empty(EepOutbox *outbox);

/* From now on nothing is sent or kept: what a process that hangs or died would say. */
void eep_outbox_mute(EepOutbox *outbox, gboolean is_muted);

G_END_DECLS

#endif
