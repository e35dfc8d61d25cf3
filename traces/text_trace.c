#include "traces/text_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "traces/format.h"
#include "traces/stream.h"

static const EepTraceFormat *const formats[] = {
    [EEP_TRACE_AUTO] = NULL,
    [EEP_TRACE_AZURE] = &eep_trace_format_azure,
    [EEP_TRACE_MOONCAKE] = &eep_trace_format_mooncake,
};

typedef struct {
    EepTrace base;
    char *name; /* for messages, valid UTF-8 */
    EepLineSource *source;
    const EepTraceFormat *format;
    void *state;
    gboolean skip_bad_rows;
    const char *pending; /* first line, if it is a row and not a header: not parsed yet */
    gsize pending_length;
    EepLineStatus pending_status;
    guint64 next_row;
    gboolean has_origin;
    EepTime origin; /* absolute time of the first good row */
    EepTime last;   /* absolute time of the last good row */
} TextTrace;

gboolean eep_row_fault_set(EepRowFault *fault, gsize offset, const char *allowed, const char *what,
                           ...)
{
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(fault->what, sizeof fault->what, what, arguments);
    va_end(arguments);
    for (char *c = fault->what; *c != '\0'; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    g_strlcpy(fault->allowed, allowed, sizeof fault->allowed);
    fault->offset = offset;
    return FALSE;
}

#define EXCERPT_BEFORE 60 /* most bytes of the line shown before and after the caret */
#define EXCERPT_AFTER  30

/* Appends the part of the line around `offset`, one column a byte, and a caret below it. */
static void append_excerpt(GString *text, const char *line, gsize length, gsize offset)
{
    offset = MIN(offset, length);
    gsize from = offset > EXCERPT_BEFORE ? offset - EXCERPT_BEFORE : 0;
    gsize to = MIN(length, MAX(offset + EXCERPT_AFTER, from + EXCERPT_BEFORE + EXCERPT_AFTER));
    const char *lead = from > 0 ? "... " : "";
    g_string_append_printf(text, "\n%s", lead);
    for (gsize i = from; i < to; i++)
        g_string_append_c(text, g_ascii_isprint(line[i]) ? line[i] : line[i] == '\t' ? ' ' : '?');
    g_string_append_printf(text, "%s\n%*s^", to < length ? " ..." : "",
                           (int)(strlen(lead) + offset - from), "");
}

/* The one form of all messages about a line. `subject` may be NULL. */
static char *line_message(const TextTrace *trace, const char *line, gsize length,
                          const char *subject, const EepRowFault *fault, const char *hint)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text,
                    "%s:%" G_GUINT64_FORMAT ":%" G_GSIZE_FORMAT ": %s%s%s: %s is allowed; try %s",
                    trace->name, eep_line_source_number(trace->source), fault->offset + 1,
                    subject != NULL ? subject : "", subject != NULL ? ": " : "", fault->what,
                    fault->allowed, hint);
    append_excerpt(text, line, length, fault->offset);
    return g_string_free(text, FALSE);
}

static char *row_message(const TextTrace *trace, const char *line, gsize length, guint64 row,
                         const EepRowFault *fault)
{
    char subject[40];
    g_snprintf(subject, sizeof subject, "data row %" G_GUINT64_FORMAT, row);
    return line_message(trace, line, length, subject, fault,
                        "correcting it, or on_error: skip to leave such rows out");
}

/* Checks the row's place in time and turns its arrival into time since the first good row. */
static gboolean place_row(TextTrace *trace, EepTraceRow *row, EepRowFault *fault)
{
    if (!trace->has_origin) {
        trace->origin = trace->last = row->arrival;
        trace->has_origin = TRUE;
    }
    EepTime arrival;
    if (row->arrival < trace->last)
        return eep_row_fault_set(fault, 0, "a time not before that of the row above",
                                 "the time goes back by %.9g s",
                                 (double)((guint64)trace->last - (guint64)row->arrival) / 1e9);
    if (__builtin_sub_overflow(row->arrival, trace->origin, &arrival) || arrival == EEP_TIME_NEVER)
        return eep_row_fault_set(fault, 0, "a time less than 292 years after the first row's",
                                 "the time is too far from the first row's");
    trace->last = row->arrival;
    row->arrival = arrival;
    return TRUE;
}

/* The next line that is not blank; a first line put back by the opener comes first. */
static EepLineStatus next_line(TextTrace *trace, const char **ret_line, gsize *ret_length,
                               GError **error)
{
    if (trace->pending != NULL) {
        *ret_line = trace->pending;
        *ret_length = trace->pending_length;
        trace->pending = NULL;
        return trace->pending_status;
    }
    EepLineStatus status;
    do
        status = eep_line_source_next(trace->source, ret_line, ret_length, error);
    while (status == EEP_LINE_READ && *ret_length == 0);
    return status;
}

static EepTraceStatus finish(TextTrace *trace, GError **error)
{
    if (trace->has_origin)
        return EEP_TRACE_END;
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
                "%s:%" G_GUINT64_FORMAT ":1: the trace has no good row: at least one is allowed; "
                "try another path%s%s",
                trace->name, eep_line_source_number(trace->source),
                trace->base.first_skipped != NULL ? "; the first row left out was\n" : "",
                trace->base.first_skipped != NULL ? trace->base.first_skipped : "");
    return EEP_TRACE_FAILED;
}

static EepTraceStatus text_next(EepTrace *base, EepTraceRow *ret_row, GError **error)
{
    TextTrace *trace = (TextTrace *)base;
    for (;;) {
        const char *line;
        gsize length;
        EepLineStatus status = next_line(trace, &line, &length, error);
        if (status == EEP_LINE_FAILED)
            return EEP_TRACE_FAILED;
        if (status == EEP_LINE_END)
            return finish(trace, error);
        EepRowFault fault;
        guint64 row = trace->next_row++;
        if (status == EEP_LINE_TOO_LONG)
            eep_row_fault_set(&fault, EEP_LINE_MAX_BYTES, "at most 1000000 bytes",
                              "the line is too long");
        else if (trace->format->parse(trace->state, line, length, ret_row, &fault) &&
                 place_row(trace, ret_row, &fault)) {
            ret_row->row = row;
            return EEP_TRACE_ROW;
        }
        if (!trace->skip_bad_rows) {
            g_autofree char *message = row_message(trace, line, length, row, &fault);
            g_set_error_literal(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_ROW, message);
            return EEP_TRACE_FAILED;
        }
        if (trace->base.skipped++ == 0)
            trace->base.first_skipped = row_message(trace, line, length, row, &fault);
    }
}

static void text_free(EepTrace *base)
{
    TextTrace *trace = (TextTrace *)base;
    if (trace->format != NULL && trace->format->state_free != NULL)
        trace->format->state_free(trace->state);
    eep_line_source_free(trace->source);
    g_free(trace->name);
    g_free(trace);
}

static const EepTraceOps text_ops = {.next = text_next, .free = text_free};

/* The format wanted, or with AUTO the one that accepts the line; NULL with error set. */
static const EepTraceFormat *choose_format(const TextTrace *trace, EepTraceFormatId wanted,
                                           const char *line, gsize length, GError **error)
{
    EepRowFault fault;
    const char *hint;
    if (wanted != EEP_TRACE_AUTO) {
        if (!formats[wanted]->has_header || formats[wanted]->accepts(line, length))
            return formats[wanted];
        eep_row_fault_set(&fault, 0, formats[wanted]->first_line,
                          "the header is not that of format %s", formats[wanted]->name);
        hint = "format: auto, or adding the header";
    } else {
        GString *allowed = g_string_new(NULL);
        for (gsize i = 1; i < G_N_ELEMENTS(formats); i++) {
            if (formats[i]->accepts(line, length)) {
                g_string_free(allowed, TRUE);
                return formats[i];
            }
            g_string_append_printf(allowed, "%s%s (%s)", i > 1 ? " or " : "",
                                   formats[i]->first_line, formats[i]->name);
        }
        eep_row_fault_set(&fault, 0, allowed->str,
                          "the first line is that of no known trace format");
        g_string_free(allowed, TRUE);
        hint = "converting the file to one of these";
    }
    g_autofree char *message = line_message(trace, line, length, NULL, &fault, hint);
    g_set_error_literal(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT, message);
    return NULL;
}

EepTrace *eep_text_trace_new(const char *name, EepLineSource *source,
                             const EepTraceOptions *options, GError **error)
{
    TextTrace *trace = g_new0(TextTrace, 1);
    eep_trace_init(&trace->base, &text_ops);
    trace->name = g_filename_display_name(name);
    trace->source = source;
    trace->skip_bad_rows = options->on_error == EEP_TRACE_ON_ERROR_SKIP;

    const char *line = NULL;
    gsize length = 0;
    EepLineStatus status = next_line(trace, &line, &length, error);
    if (status == EEP_LINE_END)
        g_set_error(
            error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT,
            "%s:1:1: the file is empty: a trace with at least one row is allowed; try another path",
            trace->name);
    if (status == EEP_LINE_READ || status == EEP_LINE_TOO_LONG)
        trace->format = choose_format(trace, options->format, line, length, error);
    if (trace->format == NULL) {
        eep_trace_free(&trace->base);
        return NULL;
    }
    trace->base.format_name = trace->format->name;
    trace->base.hash_tokens = trace->format->hash_tokens;
    if (trace->format->state_new != NULL)
        trace->state = trace->format->state_new();
    if (!trace->format->has_header) {
        trace->pending = line;
        trace->pending_length = length;
        trace->pending_status = status;
    }
    return &trace->base;
}
