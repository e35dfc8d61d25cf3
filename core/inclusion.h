/* How often a token picks each expert: inclusion probabilities of top-k draws.
 *
 * A token takes k distinct experts, drawn one after another in proportion to their popularity
 * (Gumbel top-k draws the same). As a race of exponential clocks of rates p_e, the set is who has
 * rung when k have; with the stopping time's spread neglected, pi_e = 1 - exp(-p_e tau) with tau
 * such that the pi_e sum to k. Exact for uniform p; tests give its error for Zipf. Pure. */
#ifndef EEP_CORE_INCLUSION_H
#define EEP_CORE_INCLUSION_H

#include <glib.h>

G_BEGIN_DECLS

/* p[n] > 0 sums to 1; 0 < k <= n. Fills ret_pi[n], in (0, 1], summing to k. */
void eep_inclusion(const double *p, guint n, guint k, double *ret_pi);

G_END_DECLS

#endif
