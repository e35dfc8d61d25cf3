/* Numbers of replicas for ranks of a few slots, sought for all experts at once.
 *
 * Where every replica matters, a search that changes them one by one (balance_search.h) stays near
 * those that it began with. These are what the game behind the lower bound ends at
 * (joint_prices.h), asked for a load that the ranks should stay at; then each replica goes to the
 * coldest rank. A place to begin a search from, not a result. Pure function, any thread. */
#ifndef EEP_CORE_EPLB_COUNT_PACK_H
#define EEP_CORE_EPLB_COUNT_PACK_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* One layer on equal ranks, all active, of 2 to EEP_JOINT_PRICES_MAX_SLOTS slots. map [R]: left as
 * it is where the load cannot be had or the experts are too many. */
void eep_count_pack_place(const EepEplbProblem *part, double load, gint32 *map);

G_END_DECLS

#endif
