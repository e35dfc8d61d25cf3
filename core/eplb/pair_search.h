/* Numbers of replicas for ranks of two slots, where they decide everything.
 *
 * With the numbers given, pairing the largest replica with the smallest, and so on inwards, is
 * best; so the search changes numbers alone: one replica more of an expert, one fewer of another.
 * It finds what a search that moves replicas (balance_search.h) cannot reach, since all pairs
 * change at once. Not for other numbers of slots. Pure functions, any thread. */
#ifndef EEP_CORE_EPLB_PAIR_SEARCH_H
#define EEP_CORE_EPLB_PAIR_SEARCH_H

#include <glib.h>

G_BEGIN_DECLS

/* Improves count [n_experts], each at least 1 and 2 * n_ranks in sum, of experts of weight
 * [n_experts]. Stops at good_enough or after that many candidates, each of O(n_ranks) at most.
 * Returns the load of the hottest rank. */
double eep_pair_search_run(const double *weight, guint n_experts, guint n_ranks, double good_enough,
                           guint max_candidates, guint *count);

/* The pairs of these numbers: ret_map [2 * n_ranks], hottest rank in no particular place. */
void eep_pair_search_place(const double *weight, guint n_experts, guint n_ranks, const guint *count,
                           gint32 *ret_map);

G_END_DECLS

#endif
