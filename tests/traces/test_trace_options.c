#include "tests/traces/trace_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#define HEADER "TIMESTAMP,ContextTokens,GeneratedTokens\n"

/* Rows at 0, 1 ns, 30 ns, 1 s, 2 s, 3 s; the one at 1 s is bad. */
#define ROWS                                                                                       \
    HEADER "2023-11-16 18:00:00,1,1\n"                                                             \
           "2023-11-16 18:00:00.000000001,2,1\n"                                                   \
           "2023-11-16 18:00:00.00000003,3,1\n"                                                    \
           "2023-11-16 18:00:01,0,1\n"                                                             \
           "2023-11-16 18:00:02,5,1\n"                                                             \
           "2023-11-16 18:00:03,6,1\n"

static EepTrace *open_with(double rate_scale, EepTime until, guint64 limit)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.rate_scale = rate_scale;
    options.until = until;
    options.limit = limit;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    return kit_open_text(ROWS, &options);
}

static void expect_arrivals(EepTrace *trace, const EepTime *arrivals, gsize n)
{
    for (gsize i = 0; i < n; i++)
        ck_assert_int_eq(kit_row(trace).arrival, arrivals[i]);
    kit_end(trace);
}

#define EXPECT(trace, ...)                                                                         \
    do {                                                                                           \
        const EepTime expected[] = {__VA_ARGS__};                                                  \
        g_autoptr(EepTrace) under_test = (trace);                                                  \
        expect_arrivals(under_test, expected, G_N_ELEMENTS(expected));                             \
    } while (0)

START_TEST(scales_the_rate_and_rounds_half_up)
{
    EXPECT(open_with(1, EEP_TIME_NEVER, 0), 0, 1, 30, 2000000000, 3000000000);
    EXPECT(open_with(2, EEP_TIME_NEVER, 0), 0, 1, 15, 1000000000, 1500000000);
    EXPECT(open_with(20, EEP_TIME_NEVER, 0), 0, 0, 2, 100000000, 150000000);
    EXPECT(open_with(0.5, EEP_TIME_NEVER, 0), 0, 2, 60, 4000000000, 6000000000);
    EXPECT(open_with(3, EEP_TIME_NEVER, 0), 0, 0, 10, 666666667, 1000000000);
    EXPECT(open_with(0.001, EEP_TIME_NEVER, 0), 0, 1000, 30000, 2000000000000, 3000000000000);
    EXPECT(open_with(1e9, EEP_TIME_NEVER, 0), 0, 0, 0, 2, 3);
}
END_TEST

/* A double has no such ns. */
START_TEST(scales_large_times_without_losing_ns)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.rate_scale = 3;
    g_autoptr(EepTrace) trace = kit_open_text(HEADER "1970-01-01 00:00:00,1,1\n"
                                                     "2255-01-01 00:00:00.000000002,1,1\n",
                                              &options);
    kit_row(trace);
    /* 285 years with 69 leap days are 104,094 days; (104,094 * 86,400 s + 2 ns) / 3 */
    ck_assert_int_eq(kit_row(trace).arrival, G_GINT64_CONSTANT(104094) * 28800 * EEP_NS_PER_S + 1);
}
END_TEST

START_TEST(refuses_times_that_scaling_makes_too_large)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.rate_scale = 1e-6;
    const char *text = HEADER "1970-01-01 00:00:00,1,1\n2025-01-01 00:00:00,1,1\n";
    g_autoptr(EepTrace) trace = kit_open_text(text, &options);
    kit_row(trace);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_OPTION);
    ck_assert(strstr(message, "data row 1 ") != NULL);

    options.until = EEP_NS_PER_S;
    g_autoptr(EepTrace) cut = kit_open_text(text, &options);
    kit_row(cut);
    kit_end(cut);
}
END_TEST

START_TEST(stops_at_until_and_limit)
{
    EXPECT(open_with(1, 2000000000, 0), 0, 1, 30);
    EXPECT(open_with(1, 2000000001, 0), 0, 1, 30, 2000000000);
    EXPECT(open_with(2, 1000000001, 0), 0, 1, 15, 1000000000);
    EXPECT(open_with(1, EEP_TIME_NEVER, 2), 0, 1);
    g_autoptr(EepTrace) none = open_with(1, 0, 0);
    kit_end(none);
}
END_TEST

START_TEST(counts_skipped_rows_and_keeps_the_first_reason)
{
    g_autoptr(EepTrace) trace = open_with(1, EEP_TIME_NEVER, 0);
    for (int i = 0; i < 3; i++)
        kit_row(trace);
    ck_assert_uint_eq(eep_trace_skipped(trace), 0);
    ck_assert_ptr_null(eep_trace_first_skipped(trace));
    ck_assert_uint_eq(kit_row(trace).row, 4);
    ck_assert_uint_eq(eep_trace_skipped(trace), 1);
    ck_assert(g_str_has_prefix(eep_trace_first_skipped(trace),
                               "t.txt:5:21: data row 3: ContextTokens is 0"));
}
END_TEST

START_TEST(takes_time_zero_from_the_first_good_row)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    g_autoptr(EepTrace) trace = kit_open_text(HEADER "2023-11-16 18:00:00,x,1\n"
                                                     "2023-11-16 18:00:05,1,1\n"
                                                     "2023-11-16 18:00:04,1,1\n"
                                                     "2023-11-16 18:00:06,1,1\n",
                                              &options);
    ck_assert_int_eq(kit_row(trace).arrival, 0);
    ck_assert_int_eq(kit_row(trace).arrival, EEP_NS_PER_S);
    kit_end(trace);
    ck_assert_uint_eq(eep_trace_skipped(trace), 2);
}
END_TEST

START_TEST(fails_if_every_row_was_skipped)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    g_autoptr(EepTrace) trace = kit_open_text(HEADER "a\nb\n", &options);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_FORMAT);
    ck_assert_uint_eq(eep_trace_skipped(trace), 2);
    ck_assert(strstr(message, "no good row") != NULL);
    ck_assert(strstr(message, "t.txt:2:1: data row 0: TIMESTAMP is not") != NULL);
}
END_TEST

#define LINE(t, n)                                                                                 \
    "{\"timestamp\": " t ", \"input_length\": " n ", \"output_length\": 1, \"hash_ids\": [" n "]}" \
    "\n"

START_TEST(spreads_rows_of_one_time)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.spread_batches = 3 * EEP_NS_PER_S;
    const char *text =
        LINE("0", "1") LINE("0", "2") LINE("0", "3") LINE("1000", "4") LINE("1000", "5")
            LINE("9000", "6") LINE("20000", "7") LINE("20000", "8") LINE("20000", "9");
    /* The second of 3 in 1 s; 2 in 3 s; one alone; the last batch has 3 s. */
    static const EepTime arrivals[] = {0,          333333333,   666666666,   1000000000, 2500000000,
                                       9000000000, 20000000000, 21000000000, 22000000000};
    g_autoptr(EepTrace) trace = kit_open_text(text, &options);
    ck_assert_str_eq(eep_trace_format_name(trace), "mooncake");
    for (guint i = 0; i < G_N_ELEMENTS(arrivals); i++) {
        EepTraceRow row = kit_row(trace);
        ck_assert_int_eq(row.arrival, arrivals[i]);
        ck_assert_uint_eq(row.prompt_tokens, i + 1);
        ck_assert_uint_eq(row.n_hashes, 1);
        ck_assert_uint_eq(row.hashes[0], i + 1);
        ck_assert_uint_eq(row.row, i);
    }
    kit_end(trace);

    /* Spreading comes before scaling. */
    options.rate_scale = 10;
    g_autoptr(EepTrace) scaled = kit_open_text(text, &options);
    kit_row(scaled);
    ck_assert_int_eq(kit_row(scaled).arrival, 33333333);
}
END_TEST

START_TEST(spreads_on_behind_a_bad_row)
{
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.spread_batches = EEP_NS_PER_S;
    g_autoptr(EepTrace) trace =
        kit_open_text(LINE("0", "1") "x\n" LINE("0", "2") LINE("5000", "3"), &options);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    ck_assert(g_str_has_prefix(message, "t.txt:2:"));
    ck_assert_int_eq(kit_row(trace).arrival, 0);
    ck_assert_int_eq(kit_row(trace).arrival, 500000000);
    ck_assert_int_eq(kit_row(trace).arrival, 5000000000);
    kit_end(trace);
}
END_TEST

START_TEST(refuses_options_out_of_range)
{
    static const EepTraceOptions bad[] = {
        {.rate_scale = 0, .until = 1},
        {.rate_scale = -1, .until = 1},
        {.rate_scale = 1e10, .until = 1},
        {.rate_scale = 1e-7, .until = 1},
        {.rate_scale = 0.0 / 0.0, .until = 1},
        {.rate_scale = 1, .until = -1},
        {.rate_scale = 1, .until = 1, .spread_batches = -1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(eep_trace_open_bytes("t", ROWS, strlen(ROWS), &bad[i], &error));
        ck_assert(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION));
    }
}
END_TEST

/* A folder of its own for files; g_free() the path after remove_folder(). */
static char *make_folder(void)
{
    char *folder = g_dir_make_tmp("eep-traces-XXXXXX", NULL);
    ck_assert_ptr_nonnull(folder);
    return folder;
}

static char *write_gzip(const char *folder, gsize keep_bytes)
{
    g_autofree char *data = NULL;
    gsize size;
    char *path = g_build_filename(folder, "trace", NULL); /* told by content, not by name */
    gzFile file = gzopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    gzputs(file, HEADER);
    for (int i = 0; i < 20000; i++)
        gzprintf(file, "2023-11-16 18:%02d:%02d.%03d,%d,1\r\n", i / 1000, i % 1000 / 20, i % 20,
                 i % 97 + 1);
    gzclose(file);
    ck_assert(g_file_get_contents(path, &data, &size, NULL));
    if (keep_bytes > 0)
        ck_assert(g_file_set_contents(path, data, (gssize)(size - keep_bytes), NULL));
    return path;
}

START_TEST(reads_gzip)
{
    g_autofree char *folder = make_folder();
    g_autofree char *path = write_gzip(folder, 0);
    {
        g_autoptr(EepTrace) trace = kit_open_file(path, NULL);
        TraceTotals totals = kit_totals(trace);
        ck_assert_uint_eq(totals.rows, 20000);
        ck_assert_int_eq(totals.last, (19 * 60 + 49) * EEP_NS_PER_S + 19 * EEP_NS_PER_MS);
    }
    unlink(path);
    rmdir(folder);
}
END_TEST

START_TEST(reports_gzip_cut_short)
{
    g_autofree char *folder = make_folder();
    g_autofree char *path = write_gzip(folder, 200);
    {
        g_autoptr(EepTrace) trace = kit_open_file(path, NULL);
        g_autoptr(GError) error = NULL;
        EepTraceRow row;
        EepTraceStatus status;
        while ((status = eep_trace_next(trace, &row, &error)) == EEP_TRACE_ROW)
            ;
        ck_assert_int_eq(status, EEP_TRACE_FAILED);
        ck_assert_msg(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_IO), "%s",
                      error->message);
        ck_assert(strstr(error->message, "cannot decompress") != NULL);
    }
    unlink(path);
    rmdir(folder);
}
END_TEST

START_TEST(reports_files_that_cannot_be_read)
{
    static const char *const paths[] = {"/nowhere/trace.csv", "tests"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(eep_trace_open(paths[i], NULL, &error));
        ck_assert(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_IO));
        ck_assert(g_str_has_prefix(error->message, paths[i]));
    }
}
END_TEST

/* Lines of the greatest length and one byte more, inside a file and at its end, read in pieces. */
START_TEST(limits_the_length_of_a_line)
{
    static const char good[] = "2023-11-16 18:00:00,1,1\n";
    for (int longer = 0; longer <= 1; longer++)
        for (int at_end = 0; at_end <= 1; at_end++) {
            GString *text = g_string_new(HEADER);
            g_string_append(text, good);
            for (int i = 0; i < 1000000 + longer; i++)
                g_string_append_c(text, 'x');
            if (!at_end)
                g_string_append_printf(text, "\r\n%s", good);
            g_autoptr(EepTrace) trace = kit_open_text(text->str, NULL);
            kit_row(trace);
            g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
            ck_assert_msg(g_str_has_prefix(
                              message, longer ? "t.txt:3:1000001: data row 1: the line is too long"
                                              : "t.txt:3:5: data row 1: TIMESTAMP is not"),
                          "%s", message);
            ck_assert_uint_lt(strlen(message), 500);
            if (!at_end)
                ck_assert_uint_eq(kit_row(trace).row, 2);
            kit_end(trace);
            g_string_free(text, TRUE);
        }
}
END_TEST

START_TEST(limits_the_length_of_a_first_line_too)
{
    GString *text = g_string_new("{\"timestamp\": ");
    for (int i = 0; i < 2000000; i++)
        g_string_append_c(text, '7');
    g_string_append(text, "\n" LINE("5", "6"));
    g_autoptr(EepTrace) trace = kit_open_text(text->str, NULL);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    ck_assert(g_str_has_prefix(message, "t.txt:1:1000001: data row 0: the line is too long"));
    ck_assert_uint_eq(kit_row(trace).prompt_tokens, 6);
    kit_end(trace);
    g_string_free(text, TRUE);
}
END_TEST

START_TEST(drops_a_line_many_times_too_long)
{
    GString *text = g_string_new(HEADER "2023-11-16 18:00:00,1,1\n");
    gsize from = text->len;
    g_string_set_size(text, from + 5000000);
    memset(text->str + from, '{', 5000000);
    g_string_append(text, "\n2023-11-16 18:00:09,1,1");
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.on_error = EEP_TRACE_ON_ERROR_SKIP;
    g_autoptr(EepTrace) trace = kit_open_text(text->str, &options);
    kit_row(trace);
    ck_assert_int_eq(kit_row(trace).arrival, 9 * EEP_NS_PER_S);
    kit_end(trace);
    ck_assert_uint_eq(eep_trace_skipped(trace), 1);
    g_string_free(text, TRUE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace options");
    TCase *tests = tcase_create("trace options");
    tcase_add_test(tests, scales_the_rate_and_rounds_half_up);
    tcase_add_test(tests, scales_large_times_without_losing_ns);
    tcase_add_test(tests, refuses_times_that_scaling_makes_too_large);
    tcase_add_test(tests, stops_at_until_and_limit);
    tcase_add_test(tests, counts_skipped_rows_and_keeps_the_first_reason);
    tcase_add_test(tests, takes_time_zero_from_the_first_good_row);
    tcase_add_test(tests, fails_if_every_row_was_skipped);
    tcase_add_test(tests, spreads_rows_of_one_time);
    tcase_add_test(tests, spreads_on_behind_a_bad_row);
    tcase_add_test(tests, refuses_options_out_of_range);
    tcase_add_test(tests, reads_gzip);
    tcase_add_test(tests, reports_gzip_cut_short);
    tcase_add_test(tests, reports_files_that_cannot_be_read);
    tcase_add_test(tests, limits_the_length_of_a_line);
    tcase_add_test(tests, limits_the_length_of_a_first_line_too);
    tcase_add_test(tests, drops_a_line_many_times_too_long);
    suite_add_tcase(suite, tests);
    return kit_run(suite, NULL);
}
