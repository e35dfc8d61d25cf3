/* exp, log, pow and the normal distribution with the same bits on every machine.
 *
 * libm's results differ with CPU and version, so core/ and sim/ call none of it but sqrt, floor,
 * ceil, fabs, fmin and fmax (exactly rounded or exact everywhere). These use only + - * / and bit
 * operations and are compiled without contraction. Accuracy: see each function. Pure functions, any
 * thread. */
#ifndef EEP_CORE_MATH_H
#define EEP_CORE_MATH_H

#include <glib.h>

G_BEGIN_DECLS

double eep_exp(double x); /* relative error < 1e-15; 0 below -745, +inf above 709.78 */
double eep_log(double x); /* absolute error < 1e-15 * max(1, |log x|); x > 0 */
double eep_pow(double base,
               double exponent);      /* base > 0; relative error < 1e-13 for results in range */
double eep_normal_cdf(double z);      /* P(Z <= z); absolute error < 1e-9 */
double eep_normal_quantile(double p); /* inverse of it, 0 < p < 1; absolute error < 1e-8 */

G_END_DECLS

#endif
