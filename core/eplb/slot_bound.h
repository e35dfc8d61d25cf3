/* EepSlotBound: a load that the hottest of some equal ranks cannot go below, for one set of experts
 * that all lie on these ranks.
 *
 * Every expert has one replica or more, its load is split evenly over them, a rank holds at most S
 * replicas; nothing else is assumed. The bound is that of bin packing with cardinality S in which
 * the number of pieces of each item is free too (docs/eplb.md, "Lower bound"). Not an algorithm
 * that finds a map. Owns its memory, one thread. */
#ifndef EEP_CORE_EPLB_SLOT_BOUND_H
#define EEP_CORE_EPLB_SLOT_BOUND_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct EepSlotBound EepSlotBound;

EepSlotBound *eep_slot_bound_new(guint max_experts);
void eep_slot_bound_free(EepSlotBound *bound); /* NULL is allowed */

/* The problem of the calls below: weight [n_experts] >= 0, copied and sorted; n_ranks > 0 ranks of
 * S > 0 slots. */
void eep_slot_bound_set(EepSlotBound *bound, const double *weight, guint n_experts, guint n_ranks,
                        guint S);

/* The larger of the mean over the ranks and the largest replica that the best counts leave; the
 * exact answer for S = 1. G_MAXDOUBLE when the slots cannot hold the experts. O(E log E). */
double eep_slot_bound_simple(const EepSlotBound *bound);

/* At least eep_slot_bound_simple(), by dual feasible functions. O(E * thresholds * halvings). */
double eep_slot_bound_proven(EepSlotBound *bound);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepSlotBound, eep_slot_bound_free)

G_END_DECLS

#endif
