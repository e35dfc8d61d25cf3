/* Arrival times of requests: a renewal process with a rate that may change over time.
 *
 * Draw gaps g1, g2, ... with mean 1 (Poisson: exponential; gamma: Gamma(b)/b, so that their
 * coefficient of variation is 1/sqrt(b); constant: 1), and let u_n = g1 + ... + gn (constant: u_n =
 * n - 1). With L(t) the integral of the rate from 0 to t, request n arrives at L^-1(u_n). For
 * constant rate r this is vLLM's `bench serve` (gaps Gamma of shape b = burstiness and scale 1/(r
 * b)) without its last step that stretches the whole run to n/r; for Poisson and any rate it is the
 * exact inhomogeneous Poisson process (time rescaling: Cox & Lewis, 1966; no thinning, one draw a
 * request). vLLM's ramps go with the share of requests sent, ours with time. One thread; the same
 * options and seed give the same bits anywhere. */
#ifndef EEP_TRACES_ARRIVALS_H
#define EEP_TRACES_ARRIVALS_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct EepArrivals EepArrivals;

typedef enum { EEP_ARRIVALS_POISSON, EEP_ARRIVALS_GAMMA, EEP_ARRIVALS_CONSTANT } EepArrivalsKind;
typedef enum { EEP_RAMP_NONE, EEP_RAMP_LINEAR, EEP_RAMP_EXPONENTIAL } EepRamp;

/* Words of the two enums above, in their order, NULL at the end. */
extern const char *const eep_arrivals_words[];
extern const char *const eep_ramp_words[];

#define EEP_ARRIVALS_RATE_MAX 1e9 /* per s: one request a ns */

typedef struct {
    EepTime from;
    double rate_per_s; /* 0 is allowed: silence */
} EepRatePoint;

/* The rate is given in one of three ways: rate_per_s; a ramp; or points. */
typedef struct {
    EepArrivalsKind kind;
    double burstiness; /* gamma only, > 0: vLLM's; 1 = Poisson, below 1 burstier */
    double rate_per_s; /* > 0; not looked at with a ramp or points */
    EepRamp ramp;      /* from start at time 0 to end at the duration, which must be given */
    double ramp_start_per_s;
    double ramp_end_per_s;
    const EepRatePoint
        *points; /* [n_points], first from 0, then rising; each rate holds until the next */
    guint n_points;
} EepArrivalsOptions;

/* `duration` 0 = no end; only ramps need one. The points are copied. Draws from the stream
 * "arrivals" of `seed`. NULL with error EEP_TRACE_ERROR_OPTION if an option is out of its range. */
EepArrivals *eep_arrivals_new(const EepArrivalsOptions *options, EepTime duration, guint64 seed,
                              GError **error);

/* The next arrival, never before the last; EEP_TIME_NEVER when there is none before the duration.
 */
EepTime eep_arrivals_next(EepArrivals *arrivals);

void eep_arrivals_free(EepArrivals *arrivals); /* NULL is allowed */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepArrivals, eep_arrivals_free)

G_END_DECLS

#endif
