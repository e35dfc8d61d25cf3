/* exp, log, pow and the normal distribution with the same bits on every machine.
 *
 * libm's results differ with CPU and version, so core/ and sim/ call none of it but sqrt, floor,
 * ceil, fabs, fmin and fmax (exactly rounded or exact everywhere). These use only + - * / sqrt and
 * bit operations and are compiled without contraction. Not a replacement for libm elsewhere: no
 * errno, no floating-point exceptions promised, no rounding mode but to-nearest. Pure functions, no
 * ownership, any thread. */
#ifndef EEP_CORE_MATH_H
#define EEP_CORE_MATH_H

#include <glib.h>

G_BEGIN_DECLS

/* e^x. Relative error < 1e-15 where the result is normal; 0 below -745.14, +inf above 709.79, NaN
 * for NaN. */
double eep_exp(double x);

/* Natural logarithm. Absolute error < 1e-15 * max(1, |log x|). x > 0; -inf for 0, NaN below 0. */
double eep_log(double x);

/* base^exponent. Relative error < 1e-13 where the result is normal; 0 or +inf out of range. base >
 * 0; base 0 gives 0, 1 or +inf for a positive, zero or negative exponent, base below 0 gives NaN.
 * Anything to the power 0 and 1 to any power are 1. */
double eep_pow(double base, double exponent);

/* P(Z <= z) of the standard normal distribution. Absolute error < 1e-14; the lower tail keeps a
 * relative error < 1e-7 down to z = -37 and is 0 below. */
double eep_normal_cdf(double z);

/* The z with P(Z <= z) = p. Absolute error < 1e-14 * max(1, |z|); -inf for p <= 0, +inf for p >= 1,
 * NaN for NaN. */
double eep_normal_quantile(double p);

G_END_DECLS

#endif
