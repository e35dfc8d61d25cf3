/* EepNodeGroups: which node holds which of the router's expert groups, and what that costs.
 *
 * Every group lies whole on one node and every node has as many groups (DeepSeek's hierarchical
 * form). Judges a packing by the bound of its hottest node (slot_bound.h) and so serves both the
 * lower bound of a layer and the policy "eep"; places no expert. Owns its memory, borrows nothing,
 * one thread. */
#ifndef EEP_CORE_EPLB_NODE_GROUPS_H
#define EEP_CORE_EPLB_NODE_GROUPS_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

typedef struct EepNodeGroups EepNodeGroups;

/* NULL where groups bind nothing: one group or node, sizes that do not divide, or a node whose
 * active ranks cannot hold its share of the experts. Reads the problem's sizes and active ranks. */
EepNodeGroups *eep_node_groups_new(const EepEplbProblem *problem);
void eep_node_groups_free(EepNodeGroups *groups); /* NULL is allowed */

/* A load that the hottest rank of one layer, weight [E], cannot go below under any packing. Exact
 * over packings while they are few (all of 8 groups on 2, 4 or 8 nodes); else what the heaviest
 * groups prove. */
double eep_node_groups_bound(EepNodeGroups *groups, const double *weight);

/* A packing with a low simple bound, the lowest while packings are few: ret_node [G]. Returns that
 * bound. Same input, same packing. */
double eep_node_groups_pack(EepNodeGroups *groups, const double *weight, guint *ret_node);

/* After _pack() or _repack() of the same loads: what the hottest rank of each node reached with
 * that packing, reached [N], counts from now on instead of the bound of that node's groups, and the
 * best packing may be another: ret_node [G], its bound is returned. G_MAXDOUBLE, and nothing
 * written, where packings are many. */
double eep_node_groups_repack(EepNodeGroups *groups, const double *reached, guint *ret_node);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepNodeGroups, eep_node_groups_free)

G_END_DECLS

#endif
