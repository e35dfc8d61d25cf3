/* The Mooncake JSONL reader. The scanner for usual lines and the JSON parser must agree: each line
 * is read as it is and with a tab added, which only the JSON parser reads. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "traces/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EepTrace *open_first_row(const char *data, gsize size, EepTraceRow *ret_row, GError **error)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.format = EEP_TRACE_MOONCAKE;
    EepTrace *trace = eep_trace_open_bytes("fuzz", data, size, &options, error);
    if (trace != NULL && eep_trace_next(trace, ret_row, error) == EEP_TRACE_ROW)
        return trace;
    eep_trace_free(trace);
    return NULL;
}

/* Both readings of one line that begins with '{'; ids above 63 bits are the scanner's alone. */
static void compare_readings(const char *line, gsize length)
{
    EepTraceRow plain, keyed;
    g_autoptr(GString) text = g_string_new("{\t");
    g_string_append_len(text, line + 1, (gssize)length - 1);
    EepTrace *by_scanner = open_first_row(line, length, &plain, NULL);
    EepTrace *by_json = open_first_row(text->str, text->len, &keyed, NULL);
    g_assert(by_json == NULL || by_scanner != NULL);
    if (by_json != NULL) {
        g_assert(plain.prompt_tokens == keyed.prompt_tokens &&
                 plain.output_tokens == keyed.output_tokens);
        g_assert(plain.priority == keyed.priority && plain.n_hashes == keyed.n_hashes);
        g_assert(plain.n_hashes == 0 ||
                 memcmp(plain.hashes, keyed.hashes, plain.n_hashes * sizeof *plain.hashes) == 0);
    }
    gboolean large_id = FALSE;
    for (guint32 i = 0; by_scanner != NULL && i < plain.n_hashes; i++)
        large_id |= plain.hashes[i] > G_MAXINT64;
    g_assert(by_scanner == NULL || by_json != NULL || large_id);
    eep_trace_free(by_scanner);
    eep_trace_free(by_json);
}

static void read_all(const char *data, gsize size)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.format = EEP_TRACE_MOONCAKE;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    options.spread_batches = 3 * EEP_NS_PER_S;
    GError *error = NULL;
    EepTrace *trace = eep_trace_open_bytes("fuzz", data, size, &options, &error);
    EepTraceRow row;
    EepTime last = 0;
    if (trace != NULL)
        while (eep_trace_next(trace, &row, &error) == EEP_TRACE_ROW) {
            g_assert(row.arrival >= last && row.prompt_tokens >= 1 && row.output_tokens >= 1);
            g_assert(row.n_hashes == 0 || row.n_hashes == (row.prompt_tokens + (guint64)511) / 512);
            last = row.arrival;
        }
    g_assert(error == NULL || g_utf8_validate(error->message, -1, NULL));
    g_clear_error(&error);
    eep_trace_free(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    read_all(text, size);
    const char *lf = size > 0 ? memchr(text, '\n', size) : NULL;
    gsize length = lf != NULL ? (gsize)(lf - text) : size;
    if (length >= 2 && text[0] == '{')
        compare_readings(text, length);
    return 0;
}
