#include "traces/arrivals.h"

#include <math.h>

#include "core/math.h"
#include "core/rng.h"
#include "traces/trace.h"

const char *const eep_arrivals_words[] = {"poisson", "gamma", "constant", NULL};
const char *const eep_ramp_words[] = {"none", "linear", "exponential", NULL};

/* One piece of the rate: r(s) = rate + slope s, or rate e^(growth s), s seconds after `start_s`. */
typedef struct {
    double start_s;
    double rate;   /* per s */
    double slope;  /* per s^2; 0 unless a linear ramp */
    double growth; /* per s; 0 unless an exponential ramp */
    double before; /* L(start): requests expected before the piece */
    double behind; /* L(end); infinity if the piece has no end */
} Piece;

struct EepArrivals {
    EepRng rng;
    EepArrivalsKind kind;
    double burstiness;
    EepTime duration; /* EEP_TIME_NEVER if none */
    EepTime last;
    double expected; /* u: requests expected before the next arrival */
    guint64 count;   /* arrivals returned */
    guint piece;     /* the one that `expected` lies in */
    guint n_pieces;
    Piece pieces[];
};

G_GNUC_PRINTF(2, 3)
static gboolean option_wrong(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION, message);
    return FALSE;
}

static gboolean rate_in_range(double rate)
{
    return rate > 0 && rate <= EEP_ARRIVALS_RATE_MAX;
}

static gboolean check_ramp(const EepArrivalsOptions *options, EepTime duration, GError **error)
{
    double start = options->ramp_start_per_s, end = options->ramp_end_per_s;
    if (options->n_points > 0)
        return option_wrong(error,
                            "synthetic.ramp is given with a list of rates: one of them is allowed; "
                            "try leaving out the ramp");
    if (duration == 0)
        return option_wrong(error,
                            "synthetic.ramp has no duration: a ramp over the duration is allowed; "
                            "try duration: 10min");
    gboolean zero_allowed = options->ramp == EEP_RAMP_LINEAR && start + end > 0;
    if ((!rate_in_range(start) && !(zero_allowed && start == 0)) ||
        (!rate_in_range(end) && !(zero_allowed && end == 0)))
        return option_wrong(
            error,
            "synthetic.ramp goes from %g/s to %g/s: rates above 0 to 1e9/s (one end of a "
            "linear ramp may be 0) is allowed; try 1/s to 10/s",
            start, end);
    return TRUE;
}

static gboolean check_points(const EepArrivalsOptions *options, GError **error)
{
    for (guint i = 0; i < options->n_points; i++) {
        const EepRatePoint *point = &options->points[i];
        if (point->rate_per_s != 0 && !rate_in_range(point->rate_per_s))
            return option_wrong(error,
                                "synthetic.piecewise[%u] is %g/s: 0 to 1e9/s is allowed; try 10/s",
                                i, point->rate_per_s);
        if (i == 0 ? point->from != 0 : point->from <= point[-1].from)
            return option_wrong(
                error,
                "synthetic.piecewise[%u] begins at %g s: 0 s for the first and a time after the "
                "one before for the others is allowed; try sorting the list",
                i, eep_time_to_seconds(point->from));
    }
    return TRUE;
}

static gboolean check(const EepArrivalsOptions *options, EepTime duration, GError **error)
{
    if (duration < 0)
        return option_wrong(error,
                            "synthetic.duration is negative: a time above 0 is allowed; try 10min");
    if (options->kind == EEP_ARRIVALS_GAMMA &&
        !(options->burstiness >= 1e-3 && options->burstiness <= 1e6))
        return option_wrong(error,
                            "synthetic.burstiness is %g: 0.001 to 1e6 is allowed; try 1 (Poisson)",
                            options->burstiness);
    if (options->ramp != EEP_RAMP_NONE)
        return check_ramp(options, duration, error);
    if (options->n_points > 0)
        return check_points(options, error);
    if (!rate_in_range(options->rate_per_s))
        return option_wrong(error, "synthetic.rate is %g/s: above 0 to 1e9/s is allowed; try 10/s",
                            options->rate_per_s);
    return TRUE;
}

static void set_ramp(Piece *piece, const EepArrivalsOptions *options, EepTime duration)
{
    double start = options->ramp_start_per_s, end = options->ramp_end_per_s;
    double seconds = eep_time_to_seconds(duration);
    piece->rate = start;
    if (options->ramp == EEP_RAMP_EXPONENTIAL)
        piece->growth = eep_log(end / start) / seconds;
    else
        piece->slope = (end - start) / seconds;
    piece->behind =
        piece->growth != 0 ? (end - start) / piece->growth : (start + end) / 2 * seconds;
}

static void set_points(Piece *pieces, const EepRatePoint *points, guint n_points)
{
    double expected = 0;
    for (guint i = 0; i < n_points; i++) {
        pieces[i] = (Piece){.start_s = eep_time_to_seconds(points[i].from),
                            .rate = points[i].rate_per_s,
                            .before = expected};
        if (i + 1 < n_points)
            expected +=
                points[i].rate_per_s * eep_time_to_seconds(points[i + 1].from - points[i].from);
        else if (points[i].rate_per_s > 0)
            expected = INFINITY;
        pieces[i].behind = expected;
    }
}

EepArrivals *eep_arrivals_new(const EepArrivalsOptions *options, EepTime duration, guint64 seed,
                              GError **error)
{
    g_return_val_if_fail(options != NULL, NULL);
    if (!check(options, duration, error))
        return NULL;
    guint n_pieces = MAX(1, options->n_points);
    EepArrivals *arrivals = g_malloc0(sizeof *arrivals + n_pieces * sizeof arrivals->pieces[0]);
    eep_rng_init(&arrivals->rng, seed, "arrivals");
    arrivals->kind = options->kind;
    arrivals->burstiness = options->burstiness;
    arrivals->duration = duration > 0 ? duration : EEP_TIME_NEVER;
    arrivals->n_pieces = n_pieces;
    if (options->ramp != EEP_RAMP_NONE)
        set_ramp(&arrivals->pieces[0], options, duration);
    else if (options->n_points > 0)
        set_points(arrivals->pieces, options->points, options->n_points);
    else
        arrivals->pieces[0] = (Piece){.rate = options->rate_per_s, .behind = INFINITY};
    return arrivals;
}

/* Seconds s with L(start + s) = expected, for expected in [before, behind):
 * linear       rate s + slope s^2 / 2 = v       =>  s = 2 v / (rate + sqrt(rate^2 + 2 slope v))
 * exponential  rate (e^(growth s) - 1) / growth = v  =>  s = log(1 + growth v / rate) / growth */
static double seconds_into(const Piece *piece, double expected)
{
    double v = expected - piece->before;
    if (piece->growth != 0)
        return eep_log(MAX(1 + piece->growth * v / piece->rate, G_MINDOUBLE)) / piece->growth;
    if (piece->slope == 0)
        return v / piece->rate;
    if (v <= 0)
        return 0;
    return 2 * v / (piece->rate + sqrt(MAX(piece->rate * piece->rate + 2 * piece->slope * v, 0)));
}

/* u of the next arrival. Constant gaps count instead of adding up, so that they cannot drift. */
static double next_expected(EepArrivals *arrivals)
{
    switch (arrivals->kind) {
    case EEP_ARRIVALS_POISSON:
        return arrivals->expected + eep_rng_exponential(&arrivals->rng);
    case EEP_ARRIVALS_GAMMA:
        return arrivals->expected +
               eep_rng_gamma(&arrivals->rng, arrivals->burstiness) / arrivals->burstiness;
    case EEP_ARRIVALS_CONSTANT:
        return (double)arrivals->count;
    }
    g_assert_not_reached();
}

EepTime eep_arrivals_next(EepArrivals *arrivals)
{
    g_return_val_if_fail(arrivals != NULL, EEP_TIME_NEVER);
    if (arrivals->last == EEP_TIME_NEVER)
        return EEP_TIME_NEVER;
    arrivals->expected = next_expected(arrivals);
    arrivals->count++;
    while (arrivals->piece < arrivals->n_pieces &&
           arrivals->expected >= arrivals->pieces[arrivals->piece].behind)
        arrivals->piece++;
    EepTime time = EEP_TIME_NEVER;
    if (arrivals->piece < arrivals->n_pieces) {
        const Piece *piece = &arrivals->pieces[arrivals->piece];
        time = eep_time_from_seconds(piece->start_s + seconds_into(piece, arrivals->expected));
    }
    if (time >= arrivals->duration)
        time = EEP_TIME_NEVER;
    arrivals->last = MAX(arrivals->last, time);
    return arrivals->last;
}

void eep_arrivals_free(EepArrivals *arrivals)
{
    g_free(arrivals);
}
