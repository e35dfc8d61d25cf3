/* core/text.h: every formatter against printf, and the escapes by hand. */
#include <check.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rng.h"
#include "core/text.h"

START_TEST(integers_match_printf)
{
    g_auto(EepText) text;
    char expected[32];
    EepRng rng;
    eep_text_init(&text);
    eep_rng_init(&rng, 1, "text");
    for (int i = 0; i < 200000; i++) {
        guint64 value = eep_rng_next(&rng) >> eep_rng_below(&rng, 64);
        eep_text_reset(&text);
        eep_text_add_uint(&text, value);
        eep_text_add_char(&text, ' ');
        eep_text_add_int(&text, (gint64)value);
        char both[64];
        g_snprintf(both, sizeof both, "%" PRIu64 " %" PRId64, value, (gint64)value);
        if (strcmp(eep_text_string(&text), both) != 0)
            ck_assert_str_eq(eep_text_string(&text), both);
    }
    guint64 power = 1;
    for (int i = 0; i < 20; i++, power *= 10) {
        for (int step = -1; step <= 1; step++) {
            eep_text_reset(&text);
            eep_text_add_uint(&text, power + (guint64)(gint64)step);
            g_snprintf(expected, sizeof expected, "%" PRIu64, power + (guint64)(gint64)step);
            ck_assert_str_eq(eep_text_string(&text), expected);
        }
    }
    eep_text_reset(&text);
    eep_text_add_int(&text, G_MININT64);
    eep_text_add_uint(&text, G_MAXUINT64);
    ck_assert_str_eq(eep_text_string(&text), "-922337203685477580818446744073709551615");
}
END_TEST

static void check_decimal(gint64 value, guint decimals, const char *expected)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    eep_text_add_decimal(&text, value, decimals);
    ck_assert_str_eq(eep_text_string(&text), expected);
}

START_TEST(decimals_are_exact)
{
    check_decimal(1234567, 6, "1.234567");
    check_decimal(-5, 3, "-0.005");
    check_decimal(0, 2, "0.00");
    check_decimal(42, 0, "42");
    check_decimal(1000000000123, 9, "1000.000000123");
    check_decimal(G_MININT64, 18, "-9.223372036854775808");
    for (guint decimals = 1; decimals <= 18; decimals++) {
        guint64 scale = 1;
        char expected[48];
        for (guint i = 0; i < decimals; i++)
            scale *= 10;
        for (guint64 value = 1; value < (guint64)G_MAXINT64 / 8; value = value * 7 + 3) {
            g_snprintf(expected, sizeof expected, "%" PRIu64 ".%0*" PRIu64, value / scale,
                       (int)decimals, value % scale);
            check_decimal((gint64)value, decimals, expected);
        }
    }
}
END_TEST

static void check_double(double value, guint digits, const char *expected)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    eep_text_add_double(&text, value, digits);
    ck_assert_str_eq(eep_text_string(&text), expected);
}

START_TEST(doubles_by_hand)
{
    check_double(0.0, 6, "0");
    check_double(-0.0, 6, "0");
    check_double(0.1, 6, "0.1");
    check_double(0.1, 17, "0.10000000000000001");
    check_double(0.1, 0, "0.1");
    check_double(1.0 / 3.0, 0, "0.3333333333333333");
    check_double(0.1 + 0.2, 0, "0.30000000000000004");
    check_double(5e-324, 0, "4.94065645841247e-324");
    check_double(123456.0, 6, "123456");
    check_double(1234567.0, 6, "1.23457e+06");
    check_double(1234567.0, 0, "1234567");
    check_double(-2.5, 3, "-2.5");
    check_double(1e300, 3, "1e+300");
    check_double(NAN, 3, "nan");
    check_double(INFINITY, 3, "inf");
    check_double(-INFINITY, 3, "-inf");
}
END_TEST

START_TEST(doubles_match_printf_and_read_back)
{
    g_auto(EepText) text;
    EepRng rng;
    eep_text_init(&text);
    eep_rng_init(&rng, 2, "text");
    for (int i = 0; i < 20000; i++) {
        double scale[] = {1.0, 1e-9, 1e9, 1e18, 1e-200};
        double value = (eep_rng_uniform(&rng) - 0.5) * scale[i % 5];
        if (i % 7 == 0)
            value = floor(value);
        guint digits = 1 + (guint)eep_rng_below(&rng, 17);
        char expected[40];
        g_snprintf(expected, sizeof expected, "%.*g", (int)digits, value + 0.0);
        eep_text_reset(&text);
        eep_text_add_double(&text, value, digits);
        ck_assert_str_eq(eep_text_string(&text), expected);
        eep_text_reset(&text);
        eep_text_add_double(&text, value, 0);
        ck_assert(strtod(eep_text_string(&text), NULL) == value);
    }
}
END_TEST

START_TEST(json_strings_are_escaped)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    eep_text_add_json_string(&text, "a\"b\\c/\n\r\t\b\f\v\x01\x1f\x7f \xc3\xa9");
    ck_assert_str_eq(eep_text_string(&text),
                     "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u000b\\u0001\\u001f\x7f "
                     "\xc3\xa9\"");
    eep_text_reset(&text);
    eep_text_add_json_string(&text, "");
    eep_text_add_json_string(&text, "x\xff\xc3");
    ck_assert_str_eq(eep_text_string(&text), "\"\"\"x\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

START_TEST(csv_fields_are_quoted_where_needed)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    eep_text_add_csv_field(&text, "plain text");
    eep_text_add_char(&text, ',');
    eep_text_add_csv_field(&text, "a,b");
    eep_text_add_char(&text, ',');
    eep_text_add_csv_field(&text, "say \"hi\"\n");
    ck_assert_str_eq(eep_text_string(&text), "plain text,\"a,b\",\"say \"\"hi\"\"\n\"");
}
END_TEST

START_TEST(grows_and_steals)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    ck_assert_str_eq(eep_text_string(&text), "");
    for (int i = 0; i < 10000; i++)
        eep_text_add_string(&text, "0123456789");
    ck_assert_uint_eq(text.length, 100000);
    g_autofree char *stolen = eep_text_steal(&text);
    ck_assert_uint_eq(strlen(stolen), 100000);
    ck_assert_uint_eq(text.length, 0);
    eep_text_add_string(&text, "again");
    ck_assert_str_eq(eep_text_string(&text), "again");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tcase = tcase_create("text");
    tcase_add_test(tcase, integers_match_printf);
    tcase_add_test(tcase, decimals_are_exact);
    tcase_add_test(tcase, doubles_by_hand);
    tcase_add_test(tcase, doubles_match_printf_and_read_back);
    tcase_add_test(tcase, json_strings_are_escaped);
    tcase_add_test(tcase, csv_fields_are_quoted_where_needed);
    tcase_add_test(tcase, grows_and_steals);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
