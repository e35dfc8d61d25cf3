#include "core/skew_law.h"

#include <math.h>
#include <stdlib.h>

#include "core/math.h"

/* Nearer to 1, alpha is taken as 1: the general formula's powers of 1 - alpha cancel there. */
#define NEAR_ONE 1e-7

/* Of an expert that was in (nearly) every token: -log(1 - pi) must stay finite. */
#define MAX_INCLUSION 0.999

#define ZERO_COUNT 0.5

static void normalise(guint n, double *p)
{
    double sum = 0.0;
    for (guint e = 0; e < n; e++)
        sum += p[e];
    for (guint e = 0; e < n; e++)
        p[e] /= sum;
}

static int falling(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

void eep_law_zipf(double exponent, guint n, double *ret_p)
{
    for (guint e = 0; e < n; e++)
        ret_p[e] = eep_pow(e + 1.0, -exponent);
    normalise(n, ret_p);
}

double eep_law_power_quantile(double alpha, double spread, double u)
{
    const double rest = 1.0 - alpha;
    if (fabs(rest) < NEAR_ONE)
        return eep_pow(spread, u);
    return eep_pow((eep_pow(spread, rest) - 1.0) * u + 1.0, 1.0 / rest);
}

void eep_law_power(double alpha, double spread, guint n, EepRng *rng, double *ret_p)
{
    for (guint e = 0; e < n; e++)
        ret_p[e] = alpha > 0.0 ? eep_law_power_quantile(alpha, spread, eep_rng_uniform(rng)) : 1.0;
    normalise(n, ret_p);
    qsort(ret_p, n, sizeof *ret_p, falling);
}

void eep_law_lognormal(double sigma, guint n, EepRng *rng, double *ret_p)
{
    for (guint e = 0; e < n; e++)
        ret_p[e] = eep_exp(sigma * eep_rng_normal(rng));
    normalise(n, ret_p);
    qsort(ret_p, n, sizeof *ret_p, falling);
}

/* floor(n sigmoid(z)) is e for z between the logits of e/n and (e + 1)/n. The upper half is the
 * lower one mirrored, which keeps the digits of its small probabilities. */
void eep_law_normal_routing(guint n, double *ret_p)
{
    double below = 0.0;
    for (guint e = 0; e < (n + 1) / 2; e++) {
        const double share = (e + 1.0) / n;
        const double upto = e + 1 < n ? eep_normal_cdf(eep_log(share / (1.0 - share))) : 1.0;
        ret_p[e] = upto - below;
        ret_p[n - 1 - e] = ret_p[e];
        below = upto;
    }
    normalise(n, ret_p);
}

void eep_law_recorded(const double *loads, guint n, guint top_k, double *ret_p)
{
    double least = 2.0 * ZERO_COUNT;
    for (guint e = 0; e < n; e++)
        if (loads[e] > 0.0)
            least = fmin(least, loads[e]);
    for (guint e = 0; e < n; e++)
        ret_p[e] = loads[e] > 0.0 ? loads[e] : ZERO_COUNT * least;
    normalise(n, ret_p);
    if (top_k == 0 || top_k >= n)
        return;
    for (guint e = 0; e < n; e++)
        ret_p[e] = -eep_log(1.0 - fmin(top_k * ret_p[e], MAX_INCLUSION));
    normalise(n, ret_p);
}
