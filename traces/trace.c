#include "traces/trace.h"

#include <math.h>

#include "traces/stream.h"
#include "traces/text_trace.h"

const char *const eep_trace_format_words[] = {"auto", "azure", "mooncake", NULL};
const char *const eep_trace_on_error_words[] = {"fail", "skip", NULL};

G_DEFINE_QUARK(eep - trace - error - quark, eep_trace_error)

void eep_trace_init(EepTrace *trace, const EepTraceOps *ops)
{
    *trace = (EepTrace){.ops = ops, .until = EEP_TIME_NEVER, .rows_left = G_MAXUINT64};
}

/* A double is mantissa * 2^exponent, so that arrival / rate_scale is a quotient of two integers: no
 * rounding but the last, whatever the scale. rate_scale <= 2^30 and >= 2^-20 keeps the divisor
 * below 2^84 and the shift at or below 72. */
static void set_rate_scale(EepTrace *trace, double rate_scale)
{
    if (rate_scale == 1.0)
        return;
    int exponent;
    guint64 mantissa = (guint64)ldexp(frexp(rate_scale, &exponent), 53);
    exponent -= 53;
    while ((mantissa & 1) == 0) {
        mantissa >>= 1;
        exponent++;
    }
    trace->scale_shift = exponent < 0 ? (guint)-exponent : 0;
    trace->scale_divisor = (unsigned __int128)mantissa << (exponent > 0 ? exponent : 0);
}

/* FALSE if the result has no place in EepTime. */
static gboolean scale_arrival(const EepTrace *trace, EepTime arrival, EepTime *ret_arrival)
{
    unsigned __int128 numerator = (unsigned __int128)arrival;
    if (trace->scale_shift > 0 && numerator >> (125 - trace->scale_shift) != 0)
        return FALSE;
    numerator = (numerator << (trace->scale_shift + 1)) + trace->scale_divisor;
    unsigned __int128 quotient = numerator / (2 * trace->scale_divisor);
    if (quotient >= (unsigned __int128)EEP_TIME_NEVER)
        return FALSE;
    *ret_arrival = (EepTime)quotient;
    return TRUE;
}

static gboolean check_options(const EepTraceOptions *options, GError **error)
{
    if (!(options->rate_scale >= EEP_TRACE_RATE_SCALE_MIN &&
          options->rate_scale <= EEP_TRACE_RATE_SCALE_MAX)) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
                    "rate_scale is %g: %g to %g is allowed; try 1", options->rate_scale,
                    EEP_TRACE_RATE_SCALE_MIN, EEP_TRACE_RATE_SCALE_MAX);
        return FALSE;
    }
    if (options->until < 0 || options->spread_batches < 0) {
        g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
                    "%s is negative: a time from 0 is allowed; try leaving it out",
                    options->until < 0 ? "until" : "spread_batches");
        return FALSE;
    }
    return TRUE;
}

/* Puts what the options ask for on top of a text trace; takes over `text`, which may be NULL. */
static EepTrace *finish_open(EepTrace *text, const EepTraceOptions *options)
{
    if (text == NULL)
        return NULL;
    EepTrace *trace = text;
    if (options->spread_batches > 0)
        trace = eep_batch_spread_new(text, options->spread_batches);
    set_rate_scale(trace, options->rate_scale);
    trace->until = options->until;
    if (options->limit > 0)
        trace->rows_left = options->limit;
    return trace;
}

static const EepTraceOptions default_options = EEP_TRACE_OPTIONS_INIT;

EepTrace *eep_trace_open(const char *path, const EepTraceOptions *options, GError **error)
{
    g_return_val_if_fail(path != NULL, NULL);
    if (options == NULL)
        options = &default_options;
    if (!check_options(options, error))
        return NULL;
    EepLineSource *source = eep_line_source_open(path, error);
    if (source == NULL)
        return NULL;
    return finish_open(eep_text_trace_new(path, source, options, error), options);
}

EepTrace *eep_trace_open_bytes(const char *name, const void *data, gsize size,
                               const EepTraceOptions *options, GError **error)
{
    g_return_val_if_fail(name != NULL && (data != NULL || size == 0), NULL);
    if (options == NULL)
        options = &default_options;
    if (!check_options(options, error))
        return NULL;
    EepLineSource *source = eep_line_source_open_bytes(data, size);
    return finish_open(eep_text_trace_new(name, source, options, error), options);
}

EepTraceStatus eep_trace_next(EepTrace *trace, EepTraceRow *ret_row, GError **error)
{
    g_return_val_if_fail(trace != NULL && ret_row != NULL, EEP_TRACE_END);
    if (trace->rows_left == 0)
        return EEP_TRACE_END;
    EepTraceRow row;
    EepTraceStatus status = trace->ops->next(trace, &row, error);
    if (status == EEP_TRACE_END)
        trace->rows_left = 0;
    if (status != EEP_TRACE_ROW)
        return status;
    if (trace->scale_divisor != 0 && !scale_arrival(trace, row.arrival, &row.arrival)) {
        if (trace->until == EEP_TIME_NEVER) {
            g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
                        "data row %" G_GUINT64_FORMAT
                        " arrives more than 292 years after the first: "
                        "times below that are allowed; try a larger rate_scale",
                        row.row);
            return EEP_TRACE_FAILED;
        }
        row.arrival = EEP_TIME_NEVER;
    }
    if (row.arrival >= trace->until) {
        trace->rows_left = 0;
        return EEP_TRACE_END;
    }
    trace->rows_left--;
    *ret_row = row;
    return EEP_TRACE_ROW;
}

static const EepTrace *innermost(const EepTrace *trace)
{
    while (trace->inner != NULL)
        trace = trace->inner;
    return trace;
}

guint64 eep_trace_skipped(const EepTrace *trace)
{
    g_return_val_if_fail(trace != NULL, 0);
    return innermost(trace)->skipped;
}

const char *eep_trace_first_skipped(const EepTrace *trace)
{
    g_return_val_if_fail(trace != NULL, NULL);
    return innermost(trace)->first_skipped;
}

guint32 eep_trace_hash_tokens(const EepTrace *trace)
{
    g_return_val_if_fail(trace != NULL, 0);
    return innermost(trace)->hash_tokens;
}

const char *eep_trace_format_name(const EepTrace *trace)
{
    g_return_val_if_fail(trace != NULL, NULL);
    return innermost(trace)->format_name;
}

void eep_trace_free(EepTrace *trace)
{
    while (trace != NULL) {
        EepTrace *inner = trace->inner;
        g_free(trace->first_skipped);
        trace->ops->free(trace);
        trace = inner;
    }
}
