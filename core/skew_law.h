/* Laws of expert popularity: the values that the ranks of popularity have.
 *
 * Who holds which rank is none of its business (skew.c): values here are in falling order, or,
 * where a law says which expert is popular, in the order of experts. Pure functions, no ownership.
 */
#ifndef EEP_CORE_SKEW_LAW_H
#define EEP_CORE_SKEW_LAW_H

#include "core/rng.h"

G_BEGIN_DECLS

/* Rank r, from 1, has a share in proportion to r^-exponent. ret_p [n], falling, sums to 1. */
void eep_law_zipf(double exponent, guint n, double *ret_p);

/* Load at the quantile u in [0, 1] of the density x^-alpha over [1, spread], as in aiconfigurator's
 * docs/POWER_LAW_DISTRIBUTION.md; only the ratio of its bounds matters to popularity. */
double eep_law_power_quantile(double alpha, double spread, double u);

/* n loads drawn from it; alpha 0 is balanced, as there. aiconfigurator's bounds are [0.01, 2] or,
 * with more than one token an expert, [1, 0.8 tokens] (collector/helper.py): a spread of 200, or
 * the same at 250 tokens. ret_p [n], falling, sums to 1. */
void eep_law_power(double alpha, double spread, guint n, EepRng *rng, double *ret_p);

/* n loads exp(sigma z), z normal. ret_p [n], falling, sums to 1. */
void eep_law_lognormal(double sigma, guint n, EepRng *rng, double *ret_p);

/* vLLM's routing simulator (model_executor/layers/fused_moe/routing_simulator.py,
 * "normal_routing"): a choice is floor(n sigmoid(z)), z normal. ret_p [n], by expert, sums to 1. */
void eep_law_normal_routing(guint n, double *ret_p);

/* Popularity that reproduces recorded loads [n] >= 0, one of them > 0. With top_k > 0 tokens have
 * chosen so many distinct experts: expert e was in a share pi_e = top_k load_e / sum of them, and
 * its popularity is in proportion to -log(1 - pi_e), the inverse of core/inclusion.h; with 0 to the
 * load. A load of zero has been seen too rarely rather than never: it counts as 1/2 (what is
 * expected of a count that was 0, under Jeffreys' prior), or as half the smallest load where loads
 * are no counts. ret_p [n], by expert, sums to 1. */
void eep_law_recorded(const double *loads, guint n, guint top_k, double *ret_p);

G_END_DECLS

#endif
