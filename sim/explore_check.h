/* What has to hold in every state of the explorer's world, and in every state at rest.
 *
 * The invariants I1 to I9 as far as a state shows them; what an op shows when it is called, the
 * world notes itself (explore_world.c). The upstream flaws of a generation that is modelled as it
 * is are told apart from violations by a table. No state of its own. */
#ifndef EEP_SIM_EXPLORE_CHECK_H
#define EEP_SIM_EXPLORE_CHECK_H

#include "sim/explore_world.h"

G_BEGIN_DECLS

#define EEP_EXPLORE_MAX_FLAWS 8

/* What a group that a failed resize has left stuck suffers from. */
typedef enum {
    EEP_EXPLORE_STUCK_NOT, /* the flaw is another */
    EEP_EXPLORE_STUCK_503, /* new requests are refused */
    EEP_EXPLORE_STUCK_FOR_GOOD,
} EepExploreStuck;

typedef struct {
    const char *name, *source;
    const char *generations; /* names between blanks, a blank at both ends */
    gboolean (*holds)(const EepExploreRig *rig);
    EepExploreStuck stuck;
} EepExploreFlaw;

extern const EepExploreFlaw eep_explore_flaws[];
extern const guint eep_explore_n_flaws;

/* The known flaw of a generation's resize that has failed between two sizes, new requests refused
 * or not, for who has seen that in a run; NULL: none is known. */
const EepExploreFlaw *eep_explore_flaw_of_stuck(const char *generation, gboolean is_refusing);

/* Of any state; violations are noted in the rig. */
void eep_explore_check(EepExploreRig *rig);

/* Of a state in which nothing has to happen any more. Returns the index of the known flaw that it
 * shows, eep_explore_n_flaws if none. */
guint eep_explore_check_rest(EepExploreRig *rig);

G_END_DECLS

#endif
