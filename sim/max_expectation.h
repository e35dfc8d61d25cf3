/* E[max] over independent ranks: the expected busiest rank, which is what a barrier waits for.
 *
 * Each rank is known by its first three moments and taken as a shifted gamma distribution
 * (Pearson III), whose distribution function comes from the normal one by the cube-root
 * transformation (Wilson and Hilferty, "The distribution of chi-square", PNAS 17, 1931). Then
 * E[max] = lo + integral over x > lo of 1 - prod_r F_r(x).
 * Ranks of a MoE layer are not independent (a token's choices sum to top-k), but for exchangeable
 * ranks X_r = Y_r - share * (sum Y - total) with independent Y, so E[max X] = E[max Y].
 * The object holds a table of the normal distribution only; read-only after new, one owner. */
#ifndef EEP_SIM_MAX_EXPECTATION_H
#define EEP_SIM_MAX_EXPECTATION_H

#include "sim/slot_cost.h"

G_BEGIN_DECLS

typedef struct EepMaxExpectation EepMaxExpectation;

EepMaxExpectation *eep_max_expectation_new(void);
void eep_max_expectation_free(EepMaxExpectation *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMaxExpectation, eep_max_expectation_free)

/* n_ranks > 0. Relative error below 1 % against exact maxima for the loads of MoE layers (tests).
 * No allocation; O(ranks that matter). */
double eep_max_expectation(const EepMaxExpectation *self, const EepMoments *ranks, guint n_ranks);

/* E[max over ranks of the number of active slots], exactly: the slots of rank r are active
 * independently with the next n_slots[r] probabilities of p_active. scratch: room for twice the
 * largest n_slots plus 2. */
double eep_max_active(const double *p_active, const guint32 *n_slots, guint n_ranks,
                      double *scratch);

G_END_DECLS

#endif
