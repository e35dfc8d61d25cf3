/* core/rng.h: known answers of the generators, pinned streams, and moments of the distributions. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"
#include "core/rng.h"

/* First outputs for the state 1, 2, 3, 4, as published with the rand_xoshiro crate's tests, which
 * took them from the authors' C code. */
START_TEST(xoshiro_known_answers)
{
    static const guint64 expected[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
        10595114339597558777u,
        2904607092377533576u,
    };
    EepRng rng = {{1, 2, 3, 4}};
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++)
        ck_assert_uint_eq(eep_rng_next(&rng), expected[i]);
}
END_TEST

/* Widely published outputs for the counter 1234567. */
START_TEST(splitmix_known_answers)
{
    static const guint64 expected[] = {
        6457827717110365317u, 3203168211198807973u,  9817491932198370423u,
        4593380528125082431u, 16408922859458223821u,
    };
    guint64 counter = 1234567;
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++)
        ck_assert_uint_eq(eep_rng_splitmix64(&counter), expected[i]);
}
END_TEST

/* Computed apart, in Python, from the documented rule; FNV-1a-64("foobar") is 0x85944171f73967e8.
 */
START_TEST(seeding_follows_the_rule)
{
    EepRng rng;
    eep_rng_init(&rng, 42, "foobar");
    ck_assert_uint_eq(rng.state[0], 0x74246717ec4740f5u);
    ck_assert_uint_eq(rng.state[1], 0xa3c1c1832476c1a8u);
    ck_assert_uint_eq(rng.state[2], 0x93ff5e592dd30c26u);
    ck_assert_uint_eq(rng.state[3], 0x36cdfe8d7582212fu);
    eep_rng_init(&rng, 0, "arrivals");
    ck_assert_uint_eq(rng.state[0], 0x3a2abb1cf7b217ccu);
    ck_assert_uint_eq(rng.state[3], 0x878fbd797ee487b8u);
}
END_TEST

START_TEST(streams_differ)
{
    EepRng a, b, c;
    eep_rng_init(&a, 1, "arrivals");
    eep_rng_init(&b, 1, "router");
    eep_rng_init(&c, 2, "arrivals");
    guint64 first = eep_rng_next(&a);
    ck_assert_uint_ne(first, eep_rng_next(&b));
    ck_assert_uint_ne(first, eep_rng_next(&c));
}
END_TEST

START_TEST(below_is_even_and_bounded)
{
    enum { BOUND = 7, DRAWS = 700000 };
    guint counts[BOUND] = {0};
    EepRng rng;
    eep_rng_init(&rng, 3, "below");
    for (int i = 0; i < DRAWS; i++) {
        guint64 value = eep_rng_below(&rng, BOUND);
        ck_assert_uint_lt(value, BOUND);
        counts[value]++;
    }
    /* 100,000 each, standard deviation 293: five of them. */
    for (int i = 0; i < BOUND; i++)
        ck_assert_int_lt(abs((int)counts[i] - DRAWS / BOUND), 1465);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(eep_rng_below(&rng, 1), 0);
    guint64 large = ((guint64)1 << 63) + 1;
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_lt(eep_rng_below(&rng, large), large);
}
END_TEST

typedef double (*Draw)(EepRng *rng, double shape);

static double draw_uniform(EepRng *rng, double shape)
{
    return eep_rng_uniform(rng);
}

static double draw_exponential(EepRng *rng, double shape)
{
    return eep_rng_exponential(rng);
}

static double draw_normal(EepRng *rng, double shape)
{
    return eep_rng_normal(rng);
}

/* Mean and variance of a million draws within five standard errors; `kurtosis` is the fourth
 * central moment over the squared variance. */
static void check_moments(Draw draw, double shape, double mean, double variance, double kurtosis)
{
    enum { DRAWS = 1000000 };
    double sum = 0.0, squares = 0.0;
    EepRng rng;
    eep_rng_init(&rng, 11, "moments");
    for (int i = 0; i < DRAWS; i++) {
        double x = draw(&rng, shape) - mean;
        sum += x;
        squares += x * x;
    }
    ck_assert_double_le(fabs(sum / DRAWS), 5 * sqrt(variance / DRAWS));
    ck_assert_double_le(fabs(squares / DRAWS - variance),
                        5 * variance * sqrt((kurtosis - 1) / DRAWS));
}

START_TEST(moments_are_right)
{
    check_moments(draw_uniform, 0, 0.5, 1.0 / 12, 1.8);
    check_moments(draw_exponential, 0, 1.0, 1.0, 9.0);
    check_moments(draw_normal, 0, 0.0, 1.0, 3.0);
    static const double shapes[] = {0.1, 0.5, 1.0, 2.5, 40.0};
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++)
        check_moments(eep_rng_gamma, shapes[i], shapes[i], shapes[i], 3 + 6 / shapes[i]);
}
END_TEST

/* Kolmogorov-Smirnov distance of 100,000 sorted draws; 1.95 / sqrt(n) is exceeded once in a
 * thousand. */
static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance of 100,000 sorted draws; 1.95 / sqrt(n) is exceeded once in a
 * thousand. */
START_TEST(normal_has_its_shape)
{
    enum { DRAWS = 100000 };
    double *draws = g_new(double, DRAWS), worst = 0.0;
    EepRng rng;
    eep_rng_init(&rng, 5, "shape");
    for (int i = 0; i < DRAWS; i++)
        draws[i] = eep_rng_normal(&rng);
    qsort(draws, DRAWS, sizeof *draws, compare);
    for (int i = 0; i < DRAWS; i++)
        worst = fmax(worst, fabs(eep_normal_cdf(draws[i]) - (i + 0.5) / DRAWS));
    ck_assert_double_lt(worst, 1.95 / sqrt(DRAWS));
    g_free(draws);
}
END_TEST

START_TEST(one_draw_each)
{
    EepRng rng, aligned;
    eep_rng_init(&rng, 9, "draws");
    aligned = rng;
    eep_rng_uniform(&rng);
    eep_rng_exponential(&rng);
    eep_rng_normal(&rng);
    for (int i = 0; i < 3; i++)
        eep_rng_next(&aligned);
    ck_assert_mem_eq(&rng, &aligned, sizeof rng);
}
END_TEST

START_TEST(bits_are_pinned)
{
    EepRng rng;
    eep_rng_init(&rng, 1, "pinned");
    ck_assert_double_eq(eep_rng_uniform(&rng), 0x1.d30515896ce6p-5);
    ck_assert_double_eq(eep_rng_exponential(&rng), 0x1.c0c836efadf85p-1);
    ck_assert_double_eq(eep_rng_normal(&rng), 0x1.4796813880a6bp-2);
    ck_assert_double_eq(eep_rng_gamma(&rng, 0.3), 0x1.caf33ea0d51bcp-6);
    ck_assert_double_eq(eep_rng_gamma(&rng, 7.0), 0x1.efa68615363f9p+2);
    ck_assert_uint_eq(eep_rng_below(&rng, 1000000), 640865u);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rng");
    TCase *tcase = tcase_create("rng");
    tcase_add_test(tcase, xoshiro_known_answers);
    tcase_add_test(tcase, splitmix_known_answers);
    tcase_add_test(tcase, seeding_follows_the_rule);
    tcase_add_test(tcase, streams_differ);
    tcase_add_test(tcase, below_is_even_and_bounded);
    tcase_add_test(tcase, moments_are_right);
    tcase_add_test(tcase, normal_has_its_shape);
    tcase_add_test(tcase, one_draw_each);
    tcase_add_test(tcase, bits_are_pinned);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
