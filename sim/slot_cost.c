#include "sim/slot_cost.h"

#include "core/math.h"

/* Moments of (n - ridge)+ for normal n: E, E of the square, E of the cube (partial moments of the
 * normal distribution). */
static void excess_moments(double above, double sigma, double *ret_1, double *ret_2, double *ret_3)
{
    const double inverse_sqrt_2pi = 0.3989422804014327;
    double z = above / sigma;
    double cdf = eep_normal_cdf(z);
    double density = inverse_sqrt_2pi * eep_exp(-0.5 * z * z) * sigma;
    double variance = sigma * sigma, square = above * above;
    *ret_1 = above * cdf + density;
    *ret_2 = (square + variance) * cdf + above * density;
    *ret_3 = above * (square + 3.0 * variance) * cdf + (square + 2.0 * variance) * density;
}

void eep_slot_cost_moments(const EepSlotCost *cost, const EepMoments *n, double p_none,
                           EepMoments *ret_moments, EepMoments *ret_rest)
{
    const double w = cost->weights_s, f = cost->flops_s, g = cost->activations_s;
    const double mean = n->mean, variance = n->variance, third = n->third;
    const double above = f > 0 ? mean - w / f : -G_MAXDOUBLE; /* of the ridge */
    const double reach = 6.0 * sqrt(variance);

    if (above > reach) { /* compute bound for certain: linear in n */
        double slope = f + g;
        ret_moments->mean = slope * mean;
        ret_moments->variance = slope * slope * variance;
        ret_moments->third = slope * slope * slope * third;
        *ret_rest = *ret_moments;
        ret_rest->mean -= w;
        return;
    }

    /* c = w * B + g * n, B = [n > 0]; B n = n gives the joint moments. */
    const double q = p_none, b = 1.0 - q;
    const double var_b = q * b, cov = mean * q;
    ret_rest->mean = g * mean;
    ret_rest->variance = g * g * variance;
    ret_rest->third = g * g * g * third;
    ret_moments->mean = w * b + g * mean;
    ret_moments->variance = w * w * var_b + g * g * variance + 2.0 * w * g * cov;
    ret_moments->third = w * w * w * var_b * (q - b) + 3.0 * w * w * g * (q - b) * cov +
                         3.0 * w * g * g * q * (variance - mean * mean) + g * g * g * third;
    if (above < -reach)
        return;

    /* Near the ridge: add f * (n - ridge)+. There B = 1 for certain, or the excess is rare. */
    double x1, x2, x3;
    excess_moments(above, sqrt(variance), &x1, &x2, &x3);
    double var_x = x2 - x1 * x1;
    double cov_xn = x2 - above * x1; /* E[x n] - E[x] mean, with x n = x^2 + ridge x */
    EepMoments excess = {f * x1, f * f * var_x + 2.0 * f * g * cov_xn,
                         f * f * f * (x3 - 3.0 * x1 * x2 + 2.0 * x1 * x1 * x1)};
    eep_moments_add(ret_moments, &excess);
    eep_moments_add(ret_rest, &excess);
}
