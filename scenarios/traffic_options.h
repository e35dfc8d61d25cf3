/* EepTrafficOptions: the requests of a run: a recorded trace or a synthetic one, and how clients
 * try again. Plain values, filled by the loader; no reader and no generator (traces/). The words of
 * the enums are in the order of traces/ own. */
#ifndef EEP_SCENARIOS_TRAFFIC_OPTIONS_H
#define EEP_SCENARIOS_TRAFFIC_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

/* How many tokens a prompt or an output has. Exactly one form is given: constant > 0, p50 > 0,
 * uniform_max > 0 or mean > 0. */
typedef struct {
    gint64 constant;
    double p50, p99;                 /* lognormal: median and 99th percentile */
    gint64 uniform_min, uniform_max; /* both inclusive */
    double mean;                     /* exponential */
    gint64 min, max;                 /* a draw beyond becomes the bound; 0: none */
} EepLengthOptions;

typedef enum {
    EEP_LENGTHS_CONSTANT,
    EEP_LENGTHS_UNIFORM,
    EEP_LENGTHS_LOGNORMAL,
    EEP_LENGTHS_EXPONENTIAL,
    EEP_LENGTHS_NONE
} EepLengthForm;

typedef struct {
    struct {
        char *path;  /* NULL: no trace */
        gint format; /* auto, azure, mooncake */
        double rate_scale;
        EepTime until; /* 0: all */
        gint on_error; /* fail, skip */
        gint64 limit;  /* rows; 0: all */
        EepTime spread_batches;
    } trace;
    struct {
        gint arrivals; /* poisson, gamma, constant */
        double rate;   /* per second; with a ramp the first one */
        double burstiness;
        gint ramp; /* none, linear, exponential */
        double end_rate;
        EepTime duration; /* 0: until `requests` */
        gint64 requests;  /* 0: until `duration` */
        EepLengthOptions input_tokens, output_tokens;
        struct {
            gint64 groups, tokens; /* groups 0: no shared prefixes */
            double zipf_exponent;
        } prefix;
        gint64 priority;
        double priority_share; /* of the requests; the others have priority 0 */
    } synthetic;
    struct {
        gint64 attempts; /* in all; 1: never again */
        EepTime backoff; /* before the second attempt; doubles each time */
        double jitter;   /* share of the backoff, either way */
    } retry;
} EepTrafficOptions;

extern const EepOptionTable eep_traffic_options; /* prefix "traffic" */

/* One row of traffic.synthetic.piecewise: from `at` on the rate is `rate`. */
typedef struct {
    EepTime at;
    double rate; /* per second */
} EepRateStep;

extern const EepOptionTable eep_rate_step_options; /* prefix "traffic.synthetic.piecewise[]" */

/* The form that is given; EEP_LENGTHS_NONE for none or more than one. */
EepLengthForm eep_length_options_form(const EepLengthOptions *lengths);

G_END_DECLS

#endif
