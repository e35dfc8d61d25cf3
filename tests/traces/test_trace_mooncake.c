#include "tests/traces/trace_kit.h"

#define CONVERSATION_PATH SHARED_TRACES "mooncake/conversation_trace.jsonl"
#define SYNTHETIC_PATH    SHARED_TRACES "mooncake/synthetic_trace.jsonl"

START_TEST(reads_rows_and_rebases_to_the_first)
{
    g_autoptr(EepTrace) trace =
        kit_open_text("{\"timestamp\": 27482, \"input_length\": 513, \"output_length\": 52, "
                      "\"hash_ids\": [46, 47]}\n"
                      "{\"timestamp\":27482.5,\"input_length\":512,\"output_length\":1,\"hash_"
                      "ids\":[18446744073709551615]}\n"
                      "{ \"hash_ids\" : [ 1 , 2 , 3 ] , \"output_length\" : 9 , \"input_length\" : "
                      "1025 , \"timestamp\" : "
                      "30000.0000015 , \"priority\" : -2 } \n"
                      "{\"timestamp\": 30001, \"input_length\": 7, \"output_length\": 8}",
                      NULL);
    ck_assert_str_eq(eep_trace_format_name(trace), "mooncake");
    ck_assert_uint_eq(eep_trace_hash_tokens(trace), 512);
    EepTraceRow row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 0);
    ck_assert_uint_eq(row.prompt_tokens, 513);
    ck_assert_uint_eq(row.output_tokens, 52);
    ck_assert_uint_eq(row.n_hashes, 2);
    ck_assert_uint_eq(row.hashes[0], 46);
    ck_assert_uint_eq(row.hashes[1], 47);
    row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 500000);
    ck_assert_uint_eq(row.n_hashes, 1);
    ck_assert(row.hashes[0] == G_MAXUINT64);
    row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 2518000002); /* half a ns rounds up */
    ck_assert_int_eq(row.priority, -2);
    ck_assert_uint_eq(row.n_hashes, 3);
    ck_assert_uint_eq(row.hashes[2], 3);
    row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 2519000000);
    ck_assert_int_eq(row.priority, 0);
    ck_assert_uint_eq(row.n_hashes, 0);
    ck_assert_ptr_null(row.hashes);
    ck_assert_uint_eq(row.row, 3);
    kit_end(trace);
}
END_TEST

/* The same row in spellings that only a JSON parser reads. */
static const char *const spellings[] = {
    "{\"session_id\": \"a, \\\"timestamp\\\": 9}\", \"timestamp\": 1500, \"input_length\": 600, "
    "\"output_length\": 5, \"hash_ids\": [1, 2], \"priority\": 4}",
    "{\"time\\u0073tamp\": 1.5e3, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, "
    "2], "
    "\"priority\": 4, \"x\": {\"timestamp\": [3, {\"hash_ids\": null}]}}",
    "\t{\"timestamp\":\t1500.0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": "
    "[1,\t2], "
    "\"priority\": 4, \"delay\": null}\t",
};

START_TEST(reads_unusual_lines_through_json)
{
    g_autofree char *text = g_strdup_printf(
        "{\"timestamp\": 1000, \"input_length\": 1, \"output_length\": 1}\n%s\n", spellings[_i]);
    g_autoptr(EepTrace) trace = kit_open_text(text, NULL);
    kit_row(trace);
    EepTraceRow row = kit_row(trace);
    ck_assert_int_eq(row.arrival, 500 * EEP_NS_PER_MS);
    ck_assert_uint_eq(row.prompt_tokens, 600);
    ck_assert_uint_eq(row.output_tokens, 5);
    ck_assert_int_eq(row.priority, 4);
    ck_assert_uint_eq(row.n_hashes, 2);
    ck_assert_uint_eq(row.hashes[1], 2);
    kit_end(trace);
}
END_TEST

START_TEST(treats_null_as_missing)
{
    g_autoptr(EepTrace) trace = kit_open_text(
        "{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": null, "
        "\"priority\": null}\n",
        NULL);
    EepTraceRow row = kit_row(trace);
    ck_assert_uint_eq(row.n_hashes, 0);
    ck_assert_int_eq(row.priority, 0);
}
END_TEST

#define IN  "\"input_length\": 513"
#define OUT "\"output_length\": 52"
#define TS  "\"timestamp\": 9"

static const struct {
    const char *line;
    int column;
    const char *says;
} bad_rows[] = {
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [46]}", 60,
     "hash_ids has 1 ids for 513 tokens: one id for each"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [1, 2, 3]}", 60, "hash_ids has 3 ids for 513 tokens"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": []}", 60, "hash_ids has 0 ids for 513 tokens"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [1, -2]}", 60, "a list of whole numbers from 0"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [1, 2.5]}", 60, "a list of whole numbers from 0"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": 7}", 60, "a list of whole numbers from 0"},
    {"{" TS ", \"input_length\": 0, " OUT "}", 18, "input_length is 0"},
    {"{" TS ", \"input_length\": -5, " OUT "}", 18, "input_length has a wrong value"},
    {"{" TS ", \"input_length\": 5.5, " OUT "}", 18, "input_length has a wrong value"},
    {"{" TS ", \"input_length\": \"5\", " OUT "}", 18, "input_length has a wrong value"},
    {"{" TS ", \"input_length\": 4294967296, " OUT "}", 18, "input_length is 4294967296"},
    {"{" TS ", " IN ", \"output_length\": 0}", 39, "output_length is 0"},
    {"{" TS ", " IN "}", 1, "output_length is missing"},
    {"{" TS ", " OUT "}", 1, "input_length is missing"},
    {"{" IN ", " OUT "}", 1, "timestamp is missing"},
    {"{}", 1, "timestamp is missing"},
    {"{\"timestamp\": -1, " IN ", " OUT "}", 2,
     "timestamp has a wrong value: a number of milliseconds"},
    {"{\"timestamp\": 9.3e12, " IN ", " OUT "}", 2, "timestamp has a wrong value"},
    {"{\"timestamp\": 9300000000000, " IN ", " OUT "}", 2, "timestamp has a wrong value"},
    {"{\"timestamp\": \"9\", " IN ", " OUT "}", 2, "timestamp has a wrong value"},
    {"{" TS ", " TS ", " IN ", " OUT "}", 0, "not valid JSON: duplicate object key"},
    {"{" TS ", " IN ", " OUT ", \"priority\": 3000000000}", 60, "a whole number of 32 bits"},
    {"{" TS ", " IN ", " OUT ", \"priority\": 1.5}", 60, "a whole number of 32 bits"},
    {"{" TS ", " IN ", " OUT, 0, "not valid JSON"},
    {"{" TS ", \"inp", 0, "not valid JSON"},
    {"{" TS ", " IN ", " OUT "} x", 0, "not valid JSON"},
    {"{" TS ", " IN ", " OUT ",}", 0, "not valid JSON"},
    {"{\"timestamp\": 09, " IN ", " OUT "}", 0, "not valid JSON"},
    {"{\"timestamp\": 9., " IN ", " OUT "}", 0, "not valid JSON"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [1 2]}", 0, "not valid JSON"},
    {"{" TS ", " IN ", " OUT ", \"hash_ids\": [1, 18446744073709551616]}", 0, "not valid JSON"},
    {"{" TS ", " IN ", " OUT ", \"x\": \"\xff\"}", 0, "not valid JSON"},
    {"[1, 2]", 1, "JSON but not an object"},
    {"{\"timestamp\": 1, " IN ", " OUT "}", 1, "the time goes back by 0.001 s"},
};

START_TEST(names_row_line_and_column_of_a_bad_row)
{
    g_autofree char *text = g_strdup_printf("{\"timestamp\": 2, " IN ", " OUT
                                            "}\n%s\n{\"timestamp\": 3, " IN ", " OUT "}\n",
                                            bad_rows[_i].line);
    g_autoptr(EepTrace) trace = kit_open_text(text, NULL);
    kit_row(trace);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    g_autofree char *place = bad_rows[_i].column > 0
                                 ? g_strdup_printf("t.txt:2:%d: data row 1: ", bad_rows[_i].column)
                                 : g_strdup("t.txt:2:");
    ck_assert_msg(g_str_has_prefix(message, place), "%s\nexpected %s", message, place);
    ck_assert_msg(strstr(message, bad_rows[_i].says) != NULL, "%s", message);
    ck_assert_msg(g_utf8_validate(message, -1, NULL), "not UTF-8");
    ck_assert_int_eq(kit_row(trace).arrival, EEP_NS_PER_MS);
    kit_end(trace);
}
END_TEST

START_TEST(refuses_a_nul_byte)
{
    static const char text[] = "{" TS ", " IN ", " OUT "}\n{" TS ", \0" IN ", " OUT "}\n";
    g_autoptr(EepTrace) trace = eep_trace_open_bytes("t", text, sizeof text - 1, NULL, NULL);
    kit_row(trace);
    g_autofree char *message = kit_failure(trace, EEP_TRACE_ERROR_ROW);
    ck_assert(strstr(message, "t:2:") == message);
}
END_TEST

START_TEST(reads_the_published_conversation_trace)
{
    if (!kit_have(CONVERSATION_PATH))
        return;
    g_autoptr(EepTrace) trace = kit_open_file(CONVERSATION_PATH, NULL);
    TraceTotals totals = kit_totals(trace);
    ck_assert_uint_eq(totals.rows, 12031);
    ck_assert_uint_eq(totals.prompt_tokens, 144793823);
    ck_assert_uint_eq(totals.output_tokens, 4122048);
    ck_assert_uint_eq(totals.hashes, 288500);
    ck_assert_int_eq(totals.last, 3536999 * EEP_NS_PER_MS);
}
END_TEST

START_TEST(reads_the_published_synthetic_trace)
{
    if (!kit_have(SYNTHETIC_PATH))
        return;
    g_autoptr(EepTrace) trace = kit_open_file(SYNTHETIC_PATH, NULL);
    TraceTotals totals = kit_totals(trace);
    ck_assert_uint_eq(totals.rows, 3993);
    ck_assert_uint_eq(totals.prompt_tokens, 61194628);
    ck_assert_uint_eq(totals.output_tokens, 595432);
    ck_assert_uint_eq(totals.hashes, 121877);
}
END_TEST

/* Blocks seen before, in a cache that forgets nothing. */
static void check_unbounded_hits(const char *path, guint64 blocks, guint64 unique,
                                 double hit_percent)
{
    if (!kit_have(path))
        return;
    g_autoptr(EepTrace) trace = kit_open_file(path, NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    EepTraceRow row;
    guint64 hits = 0, count = 0;
    while (eep_trace_next(trace, &row, NULL) == EEP_TRACE_ROW)
        for (guint32 i = 0; i < row.n_hashes; i++, count++)
            hits += !g_hash_table_add(seen, g_memdup2(&row.hashes[i], sizeof row.hashes[i]));
    ck_assert_uint_eq(count, blocks);
    ck_assert_uint_eq(g_hash_table_size(seen), unique);
    ck_assert_double_eq_tol(100.0 * (double)hits / (double)count, hit_percent, 0.05);
}

START_TEST(has_the_published_prefix_reuse)
{
    check_unbounded_hits(CONVERSATION_PATH, 288500, 182790, 36.6);
    check_unbounded_hits(SYNTHETIC_PATH, 121877, 43924, 64.0);
}
END_TEST

/* Recorded every 3 s; spread out, no two arrivals coincide but where a batch outnumbers its ns. */
START_TEST(spreads_the_published_batches)
{
    if (!kit_have(CONVERSATION_PATH))
        return;
    EepTraceOptions options = EEP_TRACE_OPTIONS_INIT;
    options.spread_batches = 3 * EEP_NS_PER_S;
    g_autoptr(EepTrace) plain = kit_open_file(CONVERSATION_PATH, NULL);
    g_autoptr(EepTrace) spread = kit_open_file(CONVERSATION_PATH, &options);
    ck_assert_uint_eq(eep_trace_hash_tokens(spread), 512);
    EepTime last = -1;
    for (guint i = 0; i < 12031; i++) {
        EepTraceRow a = kit_row(plain), b = kit_row(spread);
        ck_assert_int_gt(b.arrival, last);
        ck_assert_int_ge(b.arrival, a.arrival);
        ck_assert_int_lt(b.arrival, a.arrival + options.spread_batches);
        ck_assert_uint_eq(a.row, b.row);
        ck_assert_uint_eq(a.n_hashes, b.n_hashes);
        ck_assert_mem_eq(a.hashes, b.hashes, a.n_hashes * sizeof *a.hashes);
        last = b.arrival;
    }
    kit_end(spread);
}
END_TEST

int main(void)
{
    static const char *const published[] = {CONVERSATION_PATH, SYNTHETIC_PATH, NULL};
    Suite *suite = suite_create("mooncake");
    TCase *tests = tcase_create("mooncake");
    tcase_add_test(tests, reads_rows_and_rebases_to_the_first);
    tcase_add_loop_test(tests, reads_unusual_lines_through_json, 0, G_N_ELEMENTS(spellings));
    tcase_add_test(tests, treats_null_as_missing);
    tcase_add_loop_test(tests, names_row_line_and_column_of_a_bad_row, 0, G_N_ELEMENTS(bad_rows));
    tcase_add_test(tests, refuses_a_nul_byte);
    tcase_add_test(tests, reads_the_published_conversation_trace);
    tcase_add_test(tests, reads_the_published_synthetic_trace);
    tcase_add_test(tests, has_the_published_prefix_reuse);
    tcase_add_test(tests, spreads_the_published_batches);
    suite_add_tcase(suite, tests);
    return kit_run(suite, published);
}
