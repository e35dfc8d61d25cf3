/* EepLink: one connection that speaks the wire protocol, without ever blocking.
 *
 * Bytes that arrive become decoded messages, in order; what is sent is queued and written as the
 * peer takes it. A peer that sends what the protocol does not allow, or that takes nothing until
 * the queue is full, breaks the link: `closed` is called once, with the reason, and nothing
 * afterwards. Not a worker and not a policy of what may be said when. Loop thread only. */
#ifndef EEP_GPU_COORDINATOR_LINK_H
#define EEP_GPU_COORDINATOR_LINK_H

#include "core/loop/clock.h"
#include "gpu/wire.h"

G_BEGIN_DECLS

typedef struct EepLink EepLink;

typedef struct {
    /* Both may free the link. The message is cleared after the call. */
    void (*message)(gpointer self, EepLink *link, const EepWireMessage *message);
    void (*closed)(gpointer self, EepLink *link, const char *reason);
    /* Nullable: instead of `closed` when the peer did not keep to the protocol. The link can still
     * send, and hears nothing any more. */
    void (*garbage)(gpointer self, EepLink *link, const char *reason);
} EepLinkEvents;

/* What a peer that has not taken its messages may leave behind. */
#define EEP_LINK_MAX_QUEUED (64u << 20)

/* Takes over the connected, non-blocking socket. max_bytes: the longest message that is taken. */
EepLink *eep_link_new(EepClock *clock, int fd, gsize max_bytes, const EepLinkEvents *events,
                      gpointer self);
void eep_link_free(EepLink *link); /* closes; what is queued is lost. NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepLink, eep_link_free)

/* Another one listens from now on. */
void eep_link_hand_over(EepLink *link, gsize max_bytes, const EepLinkEvents *events, gpointer self);

/* Queues; written by the next flush. A broken link takes everything and sends nothing. */
void eep_link_post(EepLink *link, const EepWireMessage *message);
void eep_link_flush(EepLink *link);
void eep_link_send(EepLink *link, const EepWireMessage *message); /* both */

/* What arrives from now on is thrown away; the end of the connection is told. */
void eep_link_stop_hearing(EepLink *link);

gboolean eep_link_is_flushed(const EepLink *link); /* nothing is queued */
gint64 eep_link_heard(const EepLink *link);        /* when bytes came last, monotonic ns */

typedef struct {
    guint64 n_messages_sent, n_messages_received, n_bytes_sent, n_bytes_received;
} EepLinkCounts;
EepLinkCounts eep_link_counts(const EepLink *link);

G_END_DECLS

#endif
