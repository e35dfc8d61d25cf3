/* EepMembers: the groups that one rank is a member of, by epoch: two communicators each, one for
 * the step lane and one for the aside lane.
 *
 * A group is made by join(), on the aside lane; rank 0 makes the ids, the others wait for them.
 * Ids that arrive early are kept. A group is used by the lanes, ended by retire(), and can be
 * broken from any thread: its communicators are aborted, whoever waits in them comes back. Not the
 * coordinator's list of groups. */
#ifndef EEP_GPU_WORKER_MEMBERSHIP_H
#define EEP_GPU_WORKER_MEMBERSHIP_H

#include "gpu/wire.h"
#include "gpu/worker/transport.h"

G_BEGIN_DECLS

typedef struct EepMembers EepMembers;

typedef struct {
    guint32 epoch;
    guint rank, n_ranks;
    EepComm *serve, *move;
    gint n_users; /* atomic; the list is one of them */
} EepMembership;

/* Borrows the transport, and what ends the waits of steps early (`stop` of join() is that of
 * moves). */
EepMembers *eep_members_new(EepTransport *transport, const gint *stop_steps);
/* Breaks and leaves all groups. */
void eep_members_free(EepMembers *members);

/* An id that the coordinator handed on. Any thread. */
void eep_members_hand_id(EepMembers *members, const EepWireGroupId *id);

typedef void (*EepMembersTell)(gpointer self, const EepWireGroupId *id);

/* Joins the phase's target group, whose rank and size it says; takes the place of a group of the
 * same epoch. Where the group of the phase's epoch becomes larger and the transport can, `move`
 * grows out of that group's; where the phase says that it becomes smaller (n_old), `move` shrinks
 * out of it, or nothing is joined: whoever asks has to ask all members for a group that is joined
 * anew if one of them fails. `serve` is always new, since steps go on in the old one. `tell` sends
 * the ids that rank 0 made to the coordinator. */
gboolean eep_members_join(EepMembers *members, const EepWirePhase *phase, gint64 wait_ns,
                          const gint *stop, EepMembersTell tell, gpointer self, GError **error);

/* Joins a group anew whose `serve` communicator, or `move` if the phase mends moves, may be broken;
 * the group has to be there. Only for the lane that uses it. */
gboolean eep_members_mend(EepMembers *members, const EepWirePhase *phase, gint64 wait_ns,
                          const gint *stop, EepMembersTell tell, gpointer self, GError **error);

/* NULL: not a member of that epoch. Kept for the caller, who gives it back: a group that is retired
 * or replaced meanwhile is left by its last user. */
EepMembership *eep_members_find(EepMembers *members, guint32 epoch);
void eep_membership_unref(EepMembership *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMembership, eep_membership_unref)

/* Leaves every group but that of `epoch`. `waits`: for the others to leave, too, until `stop` (an
 * atomic); who does not come is not waited for again. */
void eep_members_retire(EepMembers *members, guint32 epoch, gboolean waits, const gint *stop);

G_END_DECLS

#endif
