/* Damaged files: whatever one byte or the file's end becomes, a row is read or an error set. */
#include "tests/traces/trace_kit.h"

static const char *const texts[] = {
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
    "2024-05-12 00:00:00.001163+00:00,396,109\r\n2024-05-12 00:00:01Z,879,55",
    "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 500, \"hash_ids\": [0, 1]}\n"
    "{\"timestamp\": 2.5, \"input_length\": 7, \"output_length\": 9, \"x\": {\"y\": [\"z\", "
    "1e3]}}\n"
    "{\"timestamp\": 3, \"input_length\": 7, \"output_length\": 9, \"priority\": -3}",
};

/* Reads a copy of exactly `size` bytes, so that the sanitizers see a byte too many. */
static void read_damaged(const char *data, gsize size, const EepTraceOptions *options)
{
    char *copy = g_memdup2(data, size);
    g_autoptr(GError) error = NULL;
    EepTrace *trace = eep_trace_open_bytes("damaged", copy, size, options, &error);
    ck_assert((trace == NULL) == (error != NULL));
    for (int calls = 0; trace != NULL && calls < 8; calls++) {
        EepTraceRow row;
        g_clear_error(&error);
        EepTraceStatus status = eep_trace_next(trace, &row, &error);
        ck_assert_int_eq(status == EEP_TRACE_FAILED, error != NULL);
        if (error != NULL)
            ck_assert(g_str_has_prefix(error->message, "damaged:"));
        if (status == EEP_TRACE_ROW) {
            ck_assert_int_ge(row.arrival, 0);
            ck_assert_uint_ge(row.prompt_tokens, 1);
            ck_assert_uint_ge(row.output_tokens, 1);
        }
    }
    eep_trace_free(trace);
    g_free(copy);
}

START_TEST(survives_every_cut)
{
    for (gsize size = 0; size <= strlen(texts[_i]); size++)
        read_damaged(texts[_i], size, NULL);
}
END_TEST

START_TEST(survives_every_changed_byte)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    gsize size = strlen(texts[_i]);
    for (int skip = 0; skip <= 1; skip++) {
        options.on_error = skip ? EEP_TRACE_ON_ERROR_SKIP : EEP_TRACE_ON_ERROR_FAIL;
        options.spread_batches = skip ? EEP_NS_PER_S : 0;
        for (gsize i = 0; i < size; i++)
            for (int byte = 0; byte < 256; byte += skip ? 11 : 7) {
                g_autofree char *copy = g_memdup2(texts[_i], size);
                copy[i] = (char)byte;
                read_damaged(copy, size, &options);
            }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("damage");
    TCase *tests = tcase_create("damage");
    tcase_add_loop_test(tests, survives_every_cut, 0, G_N_ELEMENTS(texts));
    tcase_add_loop_test(tests, survives_every_changed_byte, 0, G_N_ELEMENTS(texts));
    suite_add_tcase(suite, tests);
    return kit_run(suite, NULL);
}
