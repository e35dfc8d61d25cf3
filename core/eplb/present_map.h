/* What a layer's present map (an EepEplbProblem's old_phy2log) means for the next one: whether it
 * keeps the groups together, what its empty slots can hold at the least cost, and how a map made
 * elsewhere is renumbered so that few replicas travel.
 *
 * One layer at a time: maps are rows [R]. Not a policy. Pure functions, any thread. */
#ifndef EEP_CORE_EPLB_PRESENT_MAP_H
#define EEP_CORE_EPLB_PRESENT_MAP_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* Whether every group of old lies on one node and no node has more than its share of groups; slots
 * of dead ranks do not count. ret_node [G]: where they lie; groups of which nothing is held get a
 * node that has room, in order. Groups are the problem's and must bind (node_groups.h). */
gboolean eep_present_map_groups(const EepEplbProblem *problem, const gint32 *old, guint *ret_node);

/* A map that serves, from old with the fewest new replicas: dead ranks are emptied; an expert that
 * no active rank holds gets an empty slot of the coldest rank, or else the slot of a replica that
 * can best be spared; each further empty slot repeats an expert of its rank, which brings nothing
 * anywhere, and a rank that holds nothing gets one expert. group_node nullable [G]: experts stay on
 * their group's node. weight [E]. */
void eep_present_map_complete(const EepEplbProblem *problem, const double *weight,
                              const guint *group_node, const gint32 *old, gint32 *ret_map);

/* Renumbers whole nodes, if groups bind, and ranks (within their node then; else all) of map, so
 * that ranks hold much of what they held. Greedy; loads are as before, on other ranks. Nodes with
 * dead ranks stay where they are. */
void eep_present_map_relabel(const EepEplbProblem *problem, gboolean groups_bind, const gint32 *old,
                             gint32 *map);

/* Orders each rank's slots: an expert that stays on its rank stays in its slot. */
void eep_present_map_keep_slots(const EepEplbProblem *problem, const gint32 *old, gint32 *map);

G_END_DECLS

#endif
