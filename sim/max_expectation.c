#include "sim/max_expectation.h"

#include <string.h>

#include "core/math.h"

#define TABLE_REACH 6.0 /* beyond it the distribution function is 0 or 1 */
#define TABLE_STEPS 1024
#define POINTS      24   /* of the quadrature; the integrand is smooth on the scale of sigma */
#define FLAT_SKEW   0.02 /* below it the normal distribution itself */
#define MAX_SKEW    4.0

struct EepMaxExpectation {
    double cdf[TABLE_STEPS + 2];
};

EepMaxExpectation *eep_max_expectation_new(void)
{
    EepMaxExpectation *self = g_new(EepMaxExpectation, 1);
    for (int i = 0; i < TABLE_STEPS + 2; i++)
        self->cdf[i] = eep_normal_cdf(i * (2.0 * TABLE_REACH / TABLE_STEPS) - TABLE_REACH);
    return self;
}

void eep_max_expectation_free(EepMaxExpectation *self)
{
    g_free(self);
}

static inline double table_cdf(const EepMaxExpectation *self, double z)
{
    double position = (z + TABLE_REACH) * (TABLE_STEPS / (2.0 * TABLE_REACH));
    if (position <= 0.0)
        return 0.0;
    if (position >= TABLE_STEPS)
        return 1.0;
    int i = (int)position;
    return self->cdf[i] + (position - i) * (self->cdf[i + 1] - self->cdf[i]);
}

/* Cube root of x > 0 to 1e-12: an estimate from the exponent bits, then Halley's method. */
static inline double cube_root(double x)
{
    guint64 bits;
    memcpy(&bits, &x, sizeof bits);
    bits = bits / 3 + G_GUINT64_CONSTANT(0x2A9F7893782DA1CE);
    double y;
    memcpy(&y, &bits, sizeof y);
    for (int i = 0; i < 2; i++) {
        double cube = y * y * y;
        y *= (cube + 2.0 * x) / (2.0 * cube + x);
    }
    return y;
}

/* One rank prepared for the quadrature. */
typedef struct {
    double mean, inverse_sigma;
    double skew; /* 0: normal */
} Rank;

static inline double rank_cdf(const EepMaxExpectation *self, const Rank *rank, double x)
{
    double y = (x - rank->mean) * rank->inverse_sigma;
    double g = rank->skew;
    if (g == 0.0)
        return table_cdf(self, y);
    double base = 0.5 * g * y + 1.0;
    if (base <= 0.0) /* outside the gamma's support */
        return g > 0.0 ? 0.0 : 1.0;
    return table_cdf(self, 6.0 / g * (cube_root(base) - 1.0) + g / 6.0);
}

/* x to the n by squaring. */
static inline double power(double x, guint n)
{
    double y = 1.0;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            y *= x;
    return y;
}

static inline guint count_equal(const EepMoments *ranks, guint n)
{
    guint same = 1;
    while (same < n && ranks[same].mean == ranks[0].mean &&
           ranks[same].variance == ranks[0].variance && ranks[same].third == ranks[0].third)
        same++;
    return same;
}

static Rank prepare_rank(const EepMoments *moments)
{
    double sigma = sqrt(fmax(0.0, moments->variance));
    Rank rank = {moments->mean, sigma > 0 ? 1.0 / sigma : 1e300, 0.0};
    double skew = sigma > 0 ? moments->third / (sigma * sigma * sigma) : 0.0;
    if (fabs(skew) > FLAT_SKEW)
        rank.skew = fmin(MAX_SKEW, fmax(-MAX_SKEW, skew));
    return rank;
}

/* P(max <= x). */
static double max_cdf(const EepMaxExpectation *self, const EepMoments *ranks, guint n, double x)
{
    double product = 1.0;
    for (guint r = 0; r < n && product > 1e-9;) {
        guint same = count_equal(&ranks[r], n - r);
        Rank rank = prepare_rank(&ranks[r]);
        product *= power(rank_cdf(self, &rank, x), same);
        r += same;
    }
    return product;
}

double eep_max_expectation(const EepMaxExpectation *self, const EepMoments *ranks, guint n_ranks)
{
    g_return_val_if_fail(n_ranks > 0, 0.0);
    /* The maximum lies between the largest "surely at least" and the largest "surely at most". */
    double lo = -G_MAXDOUBLE, hi = -G_MAXDOUBLE, top_mean = -G_MAXDOUBLE;
    for (guint r = 0; r < n_ranks; r++) {
        double sigma = sqrt(fmax(0.0, ranks[r].variance));
        lo = fmax(lo, ranks[r].mean - 4.0 * sigma);
        hi = fmax(hi, ranks[r].mean + 6.0 * sigma);
        top_mean = fmax(top_mean, ranks[r].mean);
    }
    if (hi <= lo || hi - top_mean < 1e-9 * fabs(top_mean))
        return top_mean;
    /* Of many ranks one lies above the mean for certain: spend no points below it. */
    double probe = lo + 0.4 * (hi - lo);
    if (max_cdf(self, ranks, n_ranks, probe) < 1e-5)
        lo = probe;

    double product[POINTS];
    for (int i = 0; i < POINTS; i++)
        product[i] = 1.0;
    const double step = (hi - lo) / POINTS;
    for (guint r = 0; r < n_ranks;) {
        guint same = count_equal(&ranks[r], n_ranks - r);
        Rank rank = prepare_rank(&ranks[r]);
        if (rank.mean + 5.0 / rank.inverse_sigma > lo)
            for (int i = 0; i < POINTS; i++)
                product[i] *= power(rank_cdf(self, &rank, lo + (i + 0.5) * step), same);
        r += same;
    }
    double integral = 0.0;
    for (int i = 0; i < POINTS; i++)
        integral += 1.0 - product[i];
    return lo + integral * step;
}

double eep_max_active(const double *p_active, const guint32 *n_slots, guint n_ranks,
                      double *scratch)
{
    guint most = 0;
    for (guint r = 0; r < n_ranks; r++)
        most = MAX(most, n_slots[r]);
    double *product = scratch, *pmf = scratch + most + 1;
    for (guint a = 0; a <= most; a++)
        product[a] = 1.0;
    for (guint r = 0; r < n_ranks; r++) {
        /* The number of successes among unequal trials, one trial after another. */
        pmf[0] = 1.0;
        for (guint s = 0; s < n_slots[r]; s++) {
            double p = *p_active++;
            pmf[s + 1] = pmf[s] * p;
            for (guint a = s; a > 0; a--)
                pmf[a] += (pmf[a - 1] - pmf[a]) * p;
            pmf[0] *= 1.0 - p;
        }
        double cdf = 0.0;
        for (guint a = 0; a < n_slots[r]; a++) {
            cdf += pmf[a];
            product[a] *= cdf;
        }
    }
    double expected = 0.0;
    for (guint a = 0; a < most; a++)
        expected += 1.0 - product[a];
    return expected;
}
