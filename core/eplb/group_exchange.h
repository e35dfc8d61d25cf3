/* One exchange of expert groups between two nodes, the one that evens out the hottest node most.
 *
 * From a present packing of groups to nodes towards a better one in small steps, each of which
 * moves two groups; node_groups.h packs anew. Pure, any thread. */
#ifndef EEP_CORE_EPLB_GROUP_EXCHANGE_H
#define EEP_CORE_EPLB_GROUP_EXCHANGE_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* group_node [G]: the node of each group, equally many on each; weight [E] of one layer. Changes
 * the nodes of two groups so that, of these two nodes, the hotter one's load an active rank gets as
 * low as it can; FALSE with nothing changed where the hottest node would not cool. Groups bind
 * (node_groups.h). O(E + G^2). */
gboolean eep_group_exchange(const EepEplbProblem *problem, const double *weight, guint *group_node);

G_END_DECLS

#endif
