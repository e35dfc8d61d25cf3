/* EepJointPrices: proves that no map keeps all ranks at a load, where the numbers of replicas are
 * what matters: ranks of two or three slots.
 *
 * The price of a replica is made of many thresholds at once, where slot_bound.h judges one at a
 * time; which, a search finds. What it finds is checked against every number of replicas, so what
 * is proven does not depend on how well it searches. Owns its memory, one thread. */
#ifndef EEP_CORE_EPLB_JOINT_PRICES_H
#define EEP_CORE_EPLB_JOINT_PRICES_H

#include <glib.h>

G_BEGIN_DECLS

/* Slots of a rank that it is for, and experts. */
#define EEP_JOINT_PRICES_MAX_SLOTS   4
#define EEP_JOINT_PRICES_MAX_EXPERTS 1024

typedef struct EepJointPrices EepJointPrices;

EepJointPrices *eep_joint_prices_new(guint max_experts);
void eep_joint_prices_free(EepJointPrices *prices); /* NULL is allowed */

/* What follows is about other experts; due before the first proof. */
void eep_joint_prices_reset(EepJointPrices *prices);

/* Whether it is proven that n experts of weight [n] have no map on n_ranks ranks of S slots, 2 to
 * the most above, that keeps all ranks at load or below. least [n]: replicas that each needs for
 * none to exceed the load, within the slots in sum. O(n * S) each of some ten to two hundred
 * rounds. */
gboolean eep_joint_prices_prove(EepJointPrices *prices, const double *weight, const guint *least,
                                guint n, guint n_ranks, guint S, double load);

/* After a proof was asked for: the number of replicas [n] of each expert that the search against
 * that load ended at; not within the slots in sum. */
void eep_joint_prices_counts(const EepJointPrices *prices, guint *ret_count);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepJointPrices, eep_joint_prices_free)

G_END_DECLS

#endif
