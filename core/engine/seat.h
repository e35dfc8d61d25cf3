/* EepSeat: a place in one engine for a request that decodes in another, until its KV is there.
 *
 * A seat holds blocks of the target engine, those of the prompt that its prefix cache has already
 * and plain ones for the rest, so that what is sent always has room. The request decodes at the
 * source until it leaves; then both engines hold blocks for it, the source in `departing`, the
 * target in `seats`, and it gets no token until it takes its seat or goes back. Not what carries
 * the bytes and not a choice of target (pool_migrate.c). All functions want no step in flight, and
 * the last three free the seat. Loop thread only; owned by whoever made it. */
#ifndef EEP_CORE_ENGINE_SEAT_H
#define EEP_CORE_ENGINE_SEAT_H

#include "core/engine/engine.h"

G_BEGIN_DECLS

typedef struct {
    EepRequest holder; /* of the target's blocks; no request of anybody's */
    EepRequest *request;
    EepEngine *source, *target;
    guint32 n_shared; /* tokens whose KV the target had already */
    guint32 n_copied; /* tokens, from the first, that need not be sent any more */
    gboolean has_left;
} EepSeat;

/* For a request that decodes in `source`. NULL when the target has not the blocks (beyond its
 * watermark) for what is computed by now, or no place in its running list. */
EepSeat *eep_seat_new(EepEngine *source, EepEngine *target, EepRequest *request);

/* Tokens computed whose KV is not at the target. */
guint32 eep_seat_n_to_copy(const EepSeat *seat);

/* What is computed by now is on its way or there. */
void eep_seat_note_copied(EepSeat *seat);

/* The request stops decoding at the source. FALSE when the target has no blocks for what has been
 * computed since: nothing has changed. */
gboolean eep_seat_leave(EepSeat *seat);

/* All of its KV is there: it decodes on at the target, and the source's blocks are free. */
void eep_seat_take(EepSeat *seat);

/* It stays: it decodes (on) at the source. */
void eep_seat_cancel(EepSeat *seat);

/* The request has its end. It may still be in the source's queues. */
void eep_seat_forget(EepSeat *seat);

G_END_DECLS

#endif
