/* core/math.h against libm's long double functions over dense grids, and pinned bits for a few
 * arguments: a machine or compiler that computes other bits fails here, before any golden run does.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"

static guint64 bits_of(double x)
{
    guint64 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static long double relative_error(double value, long double exact)
{
    return fabsl((value - exact) / exact);
}

START_TEST(exp_is_accurate)
{
    long double worst = 0;
    for (double x = -708.3; x < 709.78; x += 0.00137)
        worst = fmaxl(worst, relative_error(eep_exp(x), expl(x)));
    for (double x = 1e-300; x < 1.0; x *= 1.01) {
        worst = fmaxl(worst, relative_error(eep_exp(x), expl(x)));
        worst = fmaxl(worst, relative_error(eep_exp(-x), expl(-x)));
    }
    ck_assert_msg(worst < 2.5e-16L, "worst relative error %Lg", worst);
}
END_TEST

START_TEST(exp_at_the_edges)
{
    ck_assert_double_eq(eep_exp(0.0), 1.0);
    ck_assert_double_eq(eep_exp(-0.0), 1.0);
    ck_assert_double_eq(eep_exp(-746.0), 0.0);
    ck_assert_double_eq(eep_exp(-INFINITY), 0.0);
    ck_assert_double_eq(eep_exp(-745.1), 0x1p-1074);
    ck_assert_double_infinite(eep_exp(709.79));
    ck_assert_double_infinite(eep_exp(INFINITY));
    ck_assert_double_finite(eep_exp(709.78));
    ck_assert_double_nan(eep_exp(NAN));
    /* Subnormal results keep half a unit in the last place. */
    for (double x = -745.0; x < -708.4; x += 0.01)
        ck_assert(fabsl(eep_exp(x) - expl(x)) < 0x1p-1074 * 0.51 + expl(x) * 3e-16L);
}
END_TEST

START_TEST(log_is_accurate)
{
    long double worst = 0;
    for (double x = 1e-320; x < 1e308; x *= 1.0173)
        worst = fmaxl(worst, relative_error(eep_log(x), logl(x)));
    for (double x = 0.5; x < 2.0; x += 1.0 / 1048573)
        worst = fmaxl(worst, relative_error(eep_log(x), logl(x)));
    for (double d = 0x1p-52; d < 0.5; d *= 1.07) {
        worst = fmaxl(worst, relative_error(eep_log(1.0 + d), logl(1.0 + d)));
        worst = fmaxl(worst, relative_error(eep_log(1.0 - d), logl(1.0 - d)));
    }
    ck_assert_msg(worst < 1.2e-16L, "worst relative error %Lg", worst);
}
END_TEST

START_TEST(log_at_the_edges)
{
    ck_assert_double_eq(eep_log(1.0), 0.0);
    ck_assert(eep_log(0.0) == -INFINITY);
    ck_assert(eep_log(INFINITY) == INFINITY);
    ck_assert_double_nan(eep_log(-1.0));
    ck_assert_double_nan(eep_log(NAN));
}
END_TEST

START_TEST(pow_is_accurate)
{
    long double worst = 0;
    for (double base = 1e-300; base < 1e300; base *= 1.37) {
        for (double exponent = -40.03; exponent < 40.0; exponent += 0.117) {
            long double exact = powl(base, exponent);
            if (exact > 1e-307L && exact < 1e307L)
                worst = fmaxl(worst, relative_error(eep_pow(base, exponent), exact));
        }
    }
    for (double base = 0.9; base < 1.1; base += 0.00113) {
        for (double exponent = 1.0; exponent < 6000.0; exponent *= 1.31)
            worst = fmaxl(worst, relative_error(eep_pow(base, exponent), powl(base, exponent)));
    }
    ck_assert_msg(worst < 1e-14L, "worst relative error %Lg", worst);
}
END_TEST

START_TEST(pow_at_the_edges)
{
    ck_assert_double_eq(eep_pow(3.7, 0.0), 1.0);
    ck_assert_double_eq(eep_pow(1.0, 1e300), 1.0);
    ck_assert_double_eq(eep_pow(2.0, 10.0), 1024.0);
    ck_assert_double_eq(eep_pow(2.0, -1.0), 0.5);
    ck_assert_double_eq(eep_pow(0.0, 2.0), 0.0);
    ck_assert_double_eq(eep_pow(0.0, 0.0), 1.0);
    ck_assert(eep_pow(0.0, -1.0) == INFINITY);
    ck_assert(eep_pow(2.0, 1025.0) == INFINITY);
    ck_assert(eep_pow(2.0, 1e300) == INFINITY);
    ck_assert(eep_pow(2.0, INFINITY) == INFINITY);
    ck_assert(eep_pow(INFINITY, 0.5) == INFINITY);
    ck_assert_double_eq(eep_pow(INFINITY, -0.5), 0.0);
    ck_assert_double_eq(eep_pow(2.0, -1100.0), 0.0);
    ck_assert_double_eq(eep_pow(0.5, G_MAXDOUBLE), 0.0);
    ck_assert_double_nan(eep_pow(-2.0, 0.5));
    ck_assert_double_nan(eep_pow(2.0, NAN));
}
END_TEST

START_TEST(normal_cdf_is_accurate)
{
    long double worst = 0, worst_tail = 0;
    for (double z = -37.0; z <= 37.0; z += 0.0007) {
        long double exact = erfcl(-z / sqrtl(2.0L)) / 2.0L;
        worst = fmaxl(worst, fabsl(eep_normal_cdf(z) - exact));
        worst_tail = fmaxl(worst_tail, relative_error(eep_normal_cdf(z), exact));
    }
    ck_assert_msg(worst < 1e-14L, "worst absolute error %Lg", worst);
    ck_assert_msg(worst_tail < 1e-7L, "worst relative error %Lg", worst_tail);
    ck_assert_double_eq(eep_normal_cdf(-INFINITY), 0.0);
    ck_assert_double_eq(eep_normal_cdf(INFINITY), 1.0);
    ck_assert_double_nan(eep_normal_cdf(NAN));
}
END_TEST

/* The error in z is the error in probability over the density at z. */
static long double quantile_error(double p)
{
    double z = eep_normal_quantile(p);
    long double back = erfcl(-z / sqrtl(2.0L)) / 2.0L;
    long double density = expl(-0.5L * z * z) / 2.50662827463100050242L;
    return fabsl(back - p) / density / fmaxl(1.0L, fabsl(z));
}

START_TEST(normal_quantile_is_accurate)
{
    long double worst = 0;
    for (double p = 1e-300; p < 0.1; p *= 1.013)
        worst = fmaxl(worst, quantile_error(p));
    for (double p = 0.0001; p < 0.9999; p += 0.0000137)
        worst = fmaxl(worst, quantile_error(p));
    ck_assert_msg(worst < 1e-14L, "worst error %Lg", worst);
    for (double p = 0x1p-40; p < 0.5; p *= 2)
        ck_assert_double_eq(eep_normal_quantile(p), -eep_normal_quantile(1.0 - p));
    ck_assert_double_eq(eep_normal_quantile(0.5), 0.0);
    ck_assert_double_eq_tol(eep_normal_quantile(0.975), 1.959963984540054, 1e-14);
    ck_assert(eep_normal_quantile(0.0) == -INFINITY);
    ck_assert(eep_normal_quantile(1.0) == INFINITY);
    ck_assert_double_nan(eep_normal_quantile(NAN));
}
END_TEST

START_TEST(bits_are_pinned)
{
    static const struct {
        double x;
        guint64 exp, log, pow, cdf, quantile;
    } pins[] = {
        {0.001, 0x3ff0041919b7ee34, 0xc01ba18a998fffa0, 0x3fb999999999999b, 0x3fdff976b70f3f9f,
         0xc00eb058d4aae00e},
        {0.1, 0x3ff1aec7b35a00d4, 0xc0026bb1bbb55515, 0x3fddb4c7760bcff3, 0x3fdd7375f15b2f1e,
         0xc003fb4d01fd2164},
        {0.75, 0x4000ef9db467dcf8, 0xbfd269621134db92, 0x3fed12ed0af1a27f, 0x3fcd0220056b3a50,
         0xbffad0a62bb61165},
        {1.1, 0x400808883244d593, 0x3fb8663f793c46cc, 0x3ff08438278323a4, 0x3fc15d8167788ec0,
         0xbff7c33cdaa8bbf9},
        {3.14159, 0x4037240068789162, 0x3ff250cf662abf9a, 0x3ff76ef7787faad6, 0x3f4b87d247313572,
         0xbfeb59f9e176be6f},
        {7.3, 0x4097213320377b28, 0x3fffce55551e156e, 0x3fff09bce65df1ed, 0x3d443ff66598a854,
         0xbfbc21789fa45bdf},
        {15.5, 0x41548f609e7b6bbe, 0x4005ed3d88d29cde, 0x4003f24f62645865, 0x34c543b184202632,
         0x3ffdcdbfee3cb020},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pins); i++) {
        double x = pins[i].x;
        ck_assert_uint_eq(bits_of(eep_exp(x)), pins[i].exp);
        ck_assert_uint_eq(bits_of(eep_log(x)), pins[i].log);
        ck_assert_uint_eq(bits_of(eep_pow(x, 1.0 / 3.0)), pins[i].pow);
        ck_assert_uint_eq(bits_of(eep_normal_cdf(-x)), pins[i].cdf);
        ck_assert_uint_eq(bits_of(eep_normal_quantile(x / 16.0)), pins[i].quantile);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("math");
    TCase *tcase = tcase_create("math");
    tcase_add_test(tcase, exp_is_accurate);
    tcase_add_test(tcase, exp_at_the_edges);
    tcase_add_test(tcase, log_is_accurate);
    tcase_add_test(tcase, log_at_the_edges);
    tcase_add_test(tcase, pow_is_accurate);
    tcase_add_test(tcase, pow_at_the_edges);
    tcase_add_test(tcase, normal_cdf_is_accurate);
    tcase_add_test(tcase, normal_quantile_is_accurate);
    tcase_add_test(tcase, bits_are_pinned);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
