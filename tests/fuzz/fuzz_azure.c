/* The Azure CSV reader, strict and skipping; also the choice of a format from the first line. */
#include <stddef.h>
#include <stdint.h>

#include "traces/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const uint8_t *data, size_t size, const EepTraceOptions *options)
{
    GError *error = NULL;
    EepTrace *trace = eep_trace_open_bytes("fuzz", data, size, options, &error);
    g_assert((trace == NULL) == (error != NULL));
    EepTraceRow row;
    EepTime last = 0;
    EepTraceStatus status = EEP_TRACE_END;
    if (trace != NULL)
        while ((status = eep_trace_next(trace, &row, &error)) == EEP_TRACE_ROW) {
            g_assert(row.arrival >= last && row.prompt_tokens >= 1 && row.output_tokens >= 1);
            last = row.arrival;
        }
    g_assert(trace == NULL || (status == EEP_TRACE_FAILED) == (error != NULL));
    g_assert(error == NULL || g_utf8_validate(error->message, -1, NULL));
    g_clear_error(&error);
    eep_trace_free(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    read_all(data, size, &options);
    options.format = EEP_TRACE_AZURE;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    options.rate_scale = 0.3;
    read_all(data, size, &options);
    return 0;
}
