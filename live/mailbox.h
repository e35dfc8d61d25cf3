/* EepMailbox: events on their way to a loop, from any thread.
 *
 * The loop's inbox (core/loop/loop.h): post() from anywhere, take() on the loop's thread in order
 * of posting. Wakes a real clock, if it was given one, when the box was empty. Not a channel back.
 */
#ifndef EEP_LIVE_MAILBOX_H
#define EEP_LIVE_MAILBOX_H

#include "core/loop/loop.h"

G_BEGIN_DECLS

typedef struct EepMailbox EepMailbox;

EepMailbox *eep_mailbox_new(EepClock *clock); /* nullable: nobody is woken */
void eep_mailbox_free(EepMailbox *mailbox);   /* with what was never taken */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMailbox, eep_mailbox_free)

/* A copy; takes over the blob's reference. The time is the taker's to stamp. */
void eep_mailbox_post(EepMailbox *mailbox, const EepEvent *event);
gboolean eep_mailbox_take(gpointer mailbox, EepEvent *ret_event); /* an EepInboxTake */

G_END_DECLS

#endif
