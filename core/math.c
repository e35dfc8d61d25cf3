#include "core/math.h"

#include <math.h>
#include <string.h>

/* ln 2 in two parts. The first has 32 significant bits, so that its product with any binary
 * exponent is exact; together they hold 86 bits. */
#define LN2_HI        0x1.62e42feep-1
#define LN2_LO        0x1.a39ef35793c76p-33
#define INV_LN2       0x1.71547652b82fep+0
#define SQRT_2        0x1.6a09e667f3bcdp+0
#define EXP_MAX       0x1.62e42fefa39efp+9  /* log of the largest double */
#define EXP_MIN       -0x1.74910d52d3051p+9 /* log of half the smallest subnormal, rounded up */
#define EXPONENT_BIAS 1023

static guint64 bits_of(double x)
{
    guint64 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(guint64 bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^exponent for a normal result. */
static double power_of_two(int exponent)
{
    return double_of((guint64)(exponent + EXPONENT_BIAS) << 52);
}

/* a * b = product + *ret_error exactly, without FMA. Dekker, "A floating-point technique for
 * extending the available precision" (1971); needs |a|, |b| < 2^995. */
static double two_product(double a, double b, double *ret_error)
{
    const double split = 0x1p27 + 1.0;
    double a_big = split * a, b_big = split * b;
    double a_hi = a_big - (a_big - a), b_hi = b_big - (b_big - b);
    double a_lo = a - a_hi, b_lo = b - b_hi;
    double product = a * b;

    *ret_error = ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo;
    return product;
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
static inline double polynomial(const double *c, int n, double x)
{
    double sum = c[n - 1];

    for (int i = n - 2; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

/* e^(x + x_lo), |x_lo| tiny beside x. Reduction to |r| <= ln2 / 2, then r's Taylor series to degree
 * 13 (remainder below 5e-18). */
static double exp_extended(double x, double x_lo)
{
    static const double inverse_factorial[] = {
        1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
        1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
        1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0,
    };

    if (!(x <= EXP_MAX))
        return x != x ? x : INFINITY;
    if (x < EXP_MIN)
        return 0.0;

    int k = (int)(x * INV_LN2 + (x < 0.0 ? -0.5 : 0.5));
    double r = ((x - k * LN2_HI) - k * LN2_LO) + x_lo;
    double y =
        1.0 + (r + r * r * polynomial(inverse_factorial, G_N_ELEMENTS(inverse_factorial), r));

    /* Two factors: 2^k itself may be subnormal or 2^1024. The first product is exact. */
    int half = k / 2;
    return y * power_of_two(half) * power_of_two(k - half);
}

/* log x = value + *ret_low to about 2^-58 relative, for finite x > 0. With x = 2^k m, m in
 * [sqrt(1/2), sqrt(2)) and s = (m - 1) / (m + 1): log m = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172.
 */
static double log_extended(double x, double *ret_low)
{
    static const double odd_reciprocal[] = {
        2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
        2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23,
    };
    int k = 0;

    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    guint64 bits = bits_of(x);
    k += (int)(bits >> 52) - EXPONENT_BIAS;
    double m = double_of((bits & (((guint64)1 << 52) - 1)) | ((guint64)EXPONENT_BIAS << 52));
    if (m >= SQRT_2) {
        m *= 0.5;
        k++;
    }

    /* s in two parts: the quotient, and what its remainder says was lost. m - 1 is exact. */
    double f = m - 1.0, d = m + 1.0, d_low = m - (d - 1.0);
    double s = f / d;
    double error, back = two_product(s, d, &error);
    double s_low = (((f - back) - error) - s * d_low) / d;
    double s2 = s * s;
    double tail = s * s2 * polynomial(odd_reciprocal, G_N_ELEMENTS(odd_reciprocal), s2);

    /* k LN2_HI is exact, and 0 or larger than the rest: the fast two-sum holds. */
    double big = k * LN2_HI, small = 2.0 * s;
    if (k == 0) {
        big = small;
        small = 0.0;
    }
    double sum = big + small;
    double low = (small - (sum - big)) + (tail + (2.0 * s_low + k * LN2_LO));
    double value = sum + low;

    *ret_low = low - (value - sum);
    return value;
}

double eep_exp(double x)
{
    return exp_extended(x, 0.0);
}

double eep_log(double x)
{
    double low;

    if (!(x > 0.0))
        return x == 0.0 ? -INFINITY : NAN;
    if (x == INFINITY)
        return x;
    return log_extended(x, &low);
}

double eep_pow(double base, double exponent)
{
    if (exponent == 0.0 || base == 1.0)
        return 1.0;
    if (!(base >= 0.0) || exponent != exponent)
        return NAN;
    if (base == 0.0 || base == INFINITY)
        return (base == 0.0) == (exponent > 0.0) ? 0.0 : INFINITY;

    double log_low, error;
    double log_base = log_extended(base, &log_low);
    double product = exponent * log_base;
    /* Beyond any result in range; also keeps two_product's operands within its bounds, for
     * |log base| >= 2^-53 here. */
    if (!(product > -750.0))
        return 0.0;
    if (product > 750.0)
        return INFINITY;
    product = two_product(exponent, log_base, &error);
    return exp_extended(product, error + exponent * log_low);
}

/* Hart et al., "Computer Approximations" (1968), algorithm 5666, with the continued fraction for
 * the far tail, as tabulated in West, "Better approximations to cumulative normal functions"
 * (2005). */
double eep_normal_cdf(double z)
{
    static const double numerator[] = {
        220.206867912376, 221.213596169931,  112.079291497871,   33.912866078383,
        6.37396220353165, 0.700383064443688, 0.0352624965998911,
    };
    static const double denominator[] = {
        440.413735824752, 793.826512519948, 637.333633378831, 296.564248779674,
        86.7807322029461, 16.064177579207,  1.75566716318264, 0.0883883476483184,
    };
    double distance = fabs(z), tail;

    if (z != z)
        return z;
    if (distance > 37.0) {
        tail = 0.0;
    } else if (distance < 7.07106781186547) {
        tail = eep_exp(-0.5 * distance * distance) *
               polynomial(numerator, G_N_ELEMENTS(numerator), distance) /
               polynomial(denominator, G_N_ELEMENTS(denominator), distance);
    } else {
        double fraction = distance + 0.65;
        for (int i = 4; i >= 1; i--)
            fraction = distance + i / fraction;
        tail = eep_exp(-0.5 * distance * distance) / (fraction * 2.506628274631000502);
    }
    return z > 0.0 ? 1.0 - tail : tail;
}

/* Wichura, "Algorithm AS 241: The percentage points of the normal distribution" (1988), PPND16. */
double eep_normal_quantile(double p)
{
    static const double centre_over[] = {
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3,
    };
    static const double centre_under[] = {
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    };
    static const double near_over[] = {
        1.42343711074968357734e0,  4.63033784615654529590e0,  5.76949722146069140550e0,
        3.64784832476320460504e0,  1.27045825245236838258e0,  2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4,
    };
    static const double near_under[] = {
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    };
    static const double far_over[] = {
        6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7,
    };
    static const double far_under[] = {
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    };

    if (p != p)
        return p;
    if (p <= 0.0 || p >= 1.0)
        return p <= 0.0 ? -INFINITY : INFINITY;

    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(centre_over, 8, r) / polynomial(centre_under, 8, r);
    }
    double r = sqrt(-eep_log(q < 0.0 ? p : 1.0 - p));
    double z = r <= 5.0 ? polynomial(near_over, 8, r - 1.6) / polynomial(near_under, 8, r - 1.6)
                        : polynomial(far_over, 8, r - 5.0) / polynomial(far_under, 8, r - 5.0);
    return q < 0.0 ? -z : z;
}
