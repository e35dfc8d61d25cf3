/* The 126-bit name of a state of the explorer's world.
 *
 * Equal for states that cannot be told apart by what they will do: free of worker and operation
 * ids, serial numbers, epochs and what is only an account. With symmetry, also free of the ranks of
 * workers that differ in nothing else, as soon as nothing will ever ask for them. */
#ifndef EEP_SIM_EXPLORE_HASH_H
#define EEP_SIM_EXPLORE_HASH_H

#include "sim/explore_world.h"

G_BEGIN_DECLS

typedef struct {
    guint64 high, low; /* the two lowest bits of `low` are 0, and the rest of it is not */
} EepExploreHash;

EepExploreHash eep_explore_hash(const EepExploreRig *rig, gboolean with_symmetry);

G_END_DECLS

#endif
