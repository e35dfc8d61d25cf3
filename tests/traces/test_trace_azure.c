#include "tests/traces/trace_kit.h"

#define HEADER    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
#define CONV_PATH SHARED_TRACES "azure/AzureLLMInferenceTrace_conv.csv"
#define CODE_PATH SHARED_TRACES "azure/AzureLLMInferenceTrace_code.csv"

START_TEST(reads_rows_to_the_last_unit_of_100_ns)
{
    g_autoptr(EepTrace) trace = kit_open_text(HEADER "2023-11-16 18:15:46.6805900,374,44\r\n"
                                                     "2023-11-16 18:15:50.9951690,396,109\r\n"
                                                     "2023-11-16 18:15:50.9951691,879,55",
                                              NULL);
    ck_assert_str_eq(eep_trace_format_name(trace), "azure");
    ck_assert_uint_eq(eep_trace_hash_tokens(trace), 0);
    EepTraceRow row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 0);
    ck_assert_uint_eq(row.prompt_tokens, 374);
    ck_assert_uint_eq(row.output_tokens, 44);
    ck_assert_int_eq(row.priority, 0);
    ck_assert_uint_eq(row.n_hashes, 0);
    ck_assert_ptr_null(row.hashes);
    ck_assert_uint_eq(row.row, 0);
    ck_assert_int_eq(kit_row(trace).arrival, 4314579000);
    row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 4314579100);
    ck_assert_uint_eq(row.output_tokens, 55);
    ck_assert_uint_eq(row.row, 2);
    kit_end(trace);
}
END_TEST

/* Pairs of timestamps and the ns between them. */
static const struct {
    const char *from, *to;
    gint64 ns;
} spans[] = {
    {"2024-05-12 00:00:00+00:00", "2024-05-12 00:00:00.001163+00:00", 1163000},
    {"2024-05-12 00:00:00Z", "2024-05-12T00:00:00.000000001Z", 1},
    {"2024-05-12 00:00:00.9", "2024-05-12 00:00:01", 100000000},
    {"2023-12-31 23:59:59.5", "2024-01-01 00:00:00", 500000000},
    {"2024-02-28 00:00:00", "2024-03-01 00:00:00", 2 * 86400 * EEP_NS_PER_S}, /* leap year */
    {"2023-02-28 00:00:00", "2023-03-01 00:00:00", 86400 * EEP_NS_PER_S},
    {"2100-02-28 00:00:00", "2100-03-01 00:00:00", 86400 * EEP_NS_PER_S}, /* no leap year */
    {"2000-01-01 00:00:00", "2001-01-01 00:00:00", 366 * 86400 * EEP_NS_PER_S},
    {"1970-01-01 00:00:00", "2023-11-16 18:15:46", 1700158546 * EEP_NS_PER_S}, /* date -u +%s */
    {"1678-01-01 00:00:00", "1970-01-01 00:00:00", 9214560000 * EEP_NS_PER_S},
    {"1970-01-01 00:00:00", "2261-12-31 23:59:59", 9214646399 * EEP_NS_PER_S},
};

START_TEST(counts_calendar_time_exactly)
{
    g_autofree char *text =
        g_strdup_printf(HEADER "%s,1,1\n%s,1,1\n", spans[_i].from, spans[_i].to);
    g_autoptr(EepTrace) trace = kit_open_text(text, NULL);
    ck_assert_int_eq(kit_row(trace).arrival, 0);
    ck_assert_int_eq(kit_row(trace).arrival, spans[_i].ns);
}
END_TEST

#define GOOD "2023-11-16 18:15:46.6805900,374,44\n"
#define T    "2023-11-16 18:15:47"

/* Lines that are no row, the column the message must name and words from it. */
static const struct {
    const char *line;
    int column;
    const char *says;
} bad_rows[] = {
    {T ",0,44", 21, "ContextTokens is 0: a whole number from 1 to 4294967295 is allowed"},
    {T ",374,0", 25, "GeneratedTokens is 0"},
    {T ",-3,44", 21, "ContextTokens is not a whole number"},
    {T ",abc,44", 21, "ContextTokens is not a whole number"},
    {T ",3.5,44", 22, "ContextTokens is not a whole number"},
    {T ",4294967296,44", 21, "ContextTokens is 4294967296"},
    {T ",99999999999999999999999,44", 21, "ContextTokens is not a whole number in range"},
    {T ",374,18446744073709551616", 25, "GeneratedTokens is not a whole number in range"},
    {T ",374", 24, "the row ends after ContextTokens"},
    {T ",374,", 25, "GeneratedTokens is not a whole number"},
    {T, 20, "the row ends after TIMESTAMP"},
    {"2023-11-16 18:15", 1, "TIMESTAMP is not a date and time"},
    {T ",374,44,9", 27, "the row goes on after GeneratedTokens"},
    {T ",374,44 ", 27, "the row goes on after GeneratedTokens"},
    {"2023-13-16 18:15:47,1,1", 6, "TIMESTAMP is not a date and time"},
    {"2023-02-29 18:15:47,1,1", 9, "TIMESTAMP is not a date and time"},
    {"2023-11-00 18:15:47,1,1", 9, "TIMESTAMP is not a date and time"},
    {"2023-11-16 24:00:00,1,1", 12, "TIMESTAMP is not a date and time"},
    {"2023-11-16 18:60:00,1,1", 15, "TIMESTAMP is not a date and time"},
    {"2023-11-16 18:15:60,1,1", 18, "TIMESTAMP is not a date and time"},
    {"2023/11/16 18:15:47,1,1", 5, "TIMESTAMP is not a date and time"},
    {"1600-01-01 00:00:00,1,1", 1, "from 1678 to 2261"},
    {"2262-01-01 00:00:00,1,1", 1, "from 1678 to 2261"},
    {T ".,1,1", 20, "TIMESTAMP is not a date and time"},
    {T ".1234567890,1,1", 20, "up to 9 decimals"},
    {T "+02:00,1,1", 20, "TIMESTAMP is not UTC"},
    {"\xff\xfe\x01", 1, "TIMESTAMP is not a date and time"},
    {"2023-11-16 18:15:46.6805899,1,1", 1, "the time goes back by 1e-07 s"},
};

START_TEST(names_row_line_and_column_of_a_bad_row)
{
    g_autofree char *text = g_strdup_printf(HEADER GOOD "\n%s\n" T ",5,6\n", bad_rows[_i].line);
    g_autoptr(EepTrace) trace = kit_open_text(text, NULL);
    kit_row(trace);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    g_autofree char *place = g_strdup_printf("t.txt:4:%d: data row 1: ", bad_rows[_i].column);
    ck_assert_msg(g_str_has_prefix(message, place), "%s\nexpected %s", message, place);
    ck_assert_msg(strstr(message, bad_rows[_i].says) != NULL, "%s", message);
    ck_assert_msg(g_utf8_validate(message, -1, NULL), "not UTF-8");
    /* The caret stands below the column. */
    const char *last_line = strrchr(message, '\n') + 1;
    ck_assert_int_eq((int)strlen(last_line), bad_rows[_i].column);
    ck_assert_int_eq(last_line[strlen(last_line) - 1], '^');
    /* The row behind it is fine. */
    ck_assert_uint_eq(kit_row(trace).row, 2);
    kit_end(trace);
}
END_TEST

START_TEST(refuses_a_span_that_no_time_holds)
{
    g_autoptr(EepTrace) trace =
        kit_open_text(HEADER "1678-01-01 00:00:00,1,1\n2261-12-31 00:00:00,1,1\n", NULL);
    kit_row(trace);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    ck_assert(strstr(message, "t.txt:3:1: data row 1: the time is too far") != NULL);
}
END_TEST

START_TEST(shows_a_whole_message)
{
    g_autoptr(EepTrace) trace = kit_open_text(HEADER T ",0,44\n", NULL);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    ck_assert_str_eq(message,
                     "t.txt:2:21: data row 0: ContextTokens is 0: a whole number from 1 to "
                     "4294967295 is allowed; try correcting it, or on_error: skip to leave such "
                     "rows out\n"
                     "2023-11-16 18:15:47,0,44\n"
                     "                    ^");
}
END_TEST

START_TEST(refuses_a_header_it_does_not_know)
{
    static const char *const texts[] = {
        "TIMESTAMP,ContextTokens\n" GOOD, "timestamp,contexttokens,generatedtokens\n" GOOD, GOOD,
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n", "\r\n\r\nhello"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        for (EepTraceFormatId format = EEP_TRACE_AUTO; format <= EEP_TRACE_AZURE; format++) {
            g_autoptr(GError) error = NULL;
            EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
            options.format = format;
            ck_assert_ptr_null(
                eep_trace_open_bytes("t.csv", texts[i], strlen(texts[i]), &options, &error));
            ck_assert(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT));
            ck_assert(strstr(error->message, "TIMESTAMP,ContextTokens,GeneratedTokens") != NULL);
            ck_assert_msg(g_str_has_prefix(error->message, i == 4 ? "t.csv:3:1: " : "t.csv:1:1: "),
                          "%s", error->message);
        }
}
END_TEST

START_TEST(refuses_files_without_rows)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_trace_open_bytes("t.csv", "", 0, NULL, &error));
    ck_assert(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_FORMAT));
    ck_assert(strstr(error->message, "t.csv:1:1: the file is empty") != NULL);

    g_autoptr(EepTrace) header_only = kit_open_text(HEADER, NULL);
    g_autofree char *message = kit_failure(header_only, EEP_TRACE_ERROR_FORMAT);
    ck_assert(strstr(message, "no good row") != NULL);
}
END_TEST

START_TEST(reads_a_byte_order_mark_and_blank_lines)
{
    g_autoptr(EepTrace) trace =
        kit_open_text("\xef\xbb\xbf" HEADER "\n" GOOD "\r\n\n" GOOD "\n\n", NULL);
    ck_assert_uint_eq(kit_row(trace).row, 0);
    ck_assert_uint_eq(kit_row(trace).row, 1);
    kit_end(trace);
}
END_TEST

START_TEST(reads_the_published_conversation_trace)
{
    if (!kit_have(CONV_PATH))
        return;
    g_autoptr(EepTrace) trace = kit_open_file(CONV_PATH, NULL);
    TraceTotals totals = kit_totals(trace);
    ck_assert_uint_eq(totals.rows, 19366);
    ck_assert_uint_eq(totals.prompt_tokens, 22361870);
    ck_assert_uint_eq(totals.output_tokens, 4088665);
    /* 18:15:46.6805900 to 19:14:08.4025270 */
    ck_assert_int_eq(totals.last, 3501721937000);
}
END_TEST

START_TEST(reads_the_published_code_trace)
{
    if (!kit_have(CODE_PATH))
        return;
    g_autoptr(EepTrace) trace = kit_open_file(CODE_PATH, NULL);
    TraceTotals totals = kit_totals(trace);
    ck_assert_uint_eq(totals.rows, 8819);
    ck_assert_uint_eq(totals.prompt_tokens, 18059974);
    ck_assert_uint_eq(totals.output_tokens, 245896);
}
END_TEST

int main(void)
{
    static const char *const published[] = {CONV_PATH, CODE_PATH, NULL};
    Suite *suite = suite_create("azure");
    TCase *tests = tcase_create("azure");
    tcase_add_test(tests, reads_rows_to_the_last_unit_of_100_ns);
    tcase_add_loop_test(tests, counts_calendar_time_exactly, 0, G_N_ELEMENTS(spans));
    tcase_add_loop_test(tests, names_row_line_and_column_of_a_bad_row, 0, G_N_ELEMENTS(bad_rows));
    tcase_add_test(tests, refuses_a_span_that_no_time_holds);
    tcase_add_test(tests, shows_a_whole_message);
    tcase_add_test(tests, refuses_a_header_it_does_not_know);
    tcase_add_test(tests, refuses_files_without_rows);
    tcase_add_test(tests, reads_a_byte_order_mark_and_blank_lines);
    tcase_add_test(tests, reads_the_published_conversation_trace);
    tcase_add_test(tests, reads_the_published_code_trace);
    suite_add_tcase(suite, tests);
    return kit_run(suite, published);
}
