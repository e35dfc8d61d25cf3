/* EepWorkerGroups: the group epochs of one pool that have been made and not retired.
 *
 * Who has which rank in each. A group of a number that exists takes the old one's place. Not the
 * communicators, which are the workers'. Plain data; loop thread only. */
#ifndef EEP_GPU_COORDINATOR_GROUPS_H
#define EEP_GPU_COORDINATOR_GROUPS_H

#include "core/resize/group.h"

G_BEGIN_DECLS

/* Each has a communicator. */
typedef enum { EEP_GROUP_STEPS, EEP_GROUP_MOVES, EEP_GROUP_USE_COUNT } EepGroupUse;

typedef struct {
    EepEpoch epoch;
    guint n_members;
    EepWorkerId *members; /* [n_members], by rank */
    /* What went over its communicator did not end well: its members have to join anew. */
    gboolean is_broken[EEP_GROUP_USE_COUNT];
    /* Some of its members know of a communicator out of that for moves of which others do not:
     * there is no other out of it. */
    gboolean is_spent;
} EepWorkerGroup;

typedef struct EepWorkerGroups EepWorkerGroups;

EepWorkerGroups *eep_worker_groups_new(void);
void eep_worker_groups_free(EepWorkerGroups *groups);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepWorkerGroups, eep_worker_groups_free)

/* What is returned is valid until the next make or retire. */
const EepWorkerGroup *eep_worker_groups_make(EepWorkerGroups *groups, EepEpoch epoch, guint n,
                                             const EepWorkerId *members);
const EepWorkerGroup *eep_worker_groups_find(const EepWorkerGroups *groups, EepEpoch epoch);

/* The group made last of those that have all these members (0 among them is nobody); NULL: none. */
const EepWorkerGroup *eep_worker_groups_newest_with(const EepWorkerGroups *groups, guint n,
                                                    const EepWorkerId *workers);

/* Nothing if there is no such group. Who joins anew for moves is not spent. */
void eep_worker_groups_set_broken(EepWorkerGroups *groups, EepEpoch epoch, EepGroupUse use,
                                  gboolean is_broken);

/* Until its communicator for moves is made anew. */
void eep_worker_groups_spend(EepWorkerGroups *groups, EepEpoch epoch);

/* Forgets all but this one. */
void eep_worker_groups_retire(EepWorkerGroups *groups, EepEpoch kept);

/* EEP_RANK_NONE: not a member. */
guint eep_worker_group_rank(const EepWorkerGroup *group, EepWorkerId worker);

/* Whether any group has it. */
gboolean eep_worker_groups_have(const EepWorkerGroups *groups, EepWorkerId worker);
/* Whether any but that of the epoch has. */
gboolean eep_worker_groups_others_have(const EepWorkerGroups *groups, EepEpoch kept,
                                       EepWorkerId worker);

G_END_DECLS

#endif
