/* core/units.h: exact values by hand, refusals with their words, and formatting that reads back. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "core/units.h"

static gint64 whole(EepUnits units, const char *text)
{
    gint64 value = -1;
    GError *error = NULL;
    ck_assert_msg(eep_units_parse_whole(units, text, NULL, &value, &error), "%s: %s", text,
                  error != NULL ? error->message : "");
    return value;
}

static double real(EepUnits units, const char *text)
{
    double value = -1;
    GError *error = NULL;
    ck_assert_msg(eep_units_parse_real(units, text, NULL, &value, &error), "%s: %s", text,
                  error != NULL ? error->message : "");
    return value;
}

START_TEST(times_are_exact)
{
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "20ms"), 20000000);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "1.5 ms"), 1500000);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "0.1s"), 100000000);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "2min"), G_GINT64_CONSTANT(120000000000));
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "1h"), G_GINT64_CONSTANT(3600000000000));
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "1d"), G_GINT64_CONSTANT(86400000000000));
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "-3us"), -3000);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "+.5us"), 500);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "1e3ns"), 1000);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "9223372036854775807ns"), G_MAXINT64);
    /* nine decimals of a second that a double would round */
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "8999999999.123456789s"),
                     G_GINT64_CONSTANT(8999999999123456789));
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "0.0000000015s"), 2); /* half away from zero */
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "0s"), 0);
    ck_assert_int_eq(whole(EEP_UNITS_TIME, "0.000000000000000000000000000000s"), 0);
}
END_TEST

START_TEST(sizes_and_rates_by_hand)
{
    ck_assert_int_eq(whole(EEP_UNITS_BYTES, "1kB"), 1000);
    ck_assert_int_eq(whole(EEP_UNITS_BYTES, "1KiB"), 1024);
    ck_assert_int_eq(whole(EEP_UNITS_BYTES, "139.8GiB"), G_GINT64_CONSTANT(150109106995));
    ck_assert_int_eq(whole(EEP_UNITS_BYTES, "2TiB"), G_GINT64_CONSTANT(2199023255552));
    ck_assert(real(EEP_UNITS_BYTES_PER_S, "400Gb/s") == 50e9);
    ck_assert(real(EEP_UNITS_BYTES_PER_S, "4.8TB/s") == 4.8e12);
    ck_assert(real(EEP_UNITS_BYTES_PER_S, "1MiB/s") == 1048576.0);
    ck_assert(real(EEP_UNITS_RATE, "40/s") == 40.0);
    ck_assert(real(EEP_UNITS_RATE, "3/min") == 0.05);
    ck_assert(real(EEP_UNITS_RATE, "3600 /h") == 1.0);
}
END_TEST

START_TEST(refusals_say_what_is_allowed)
{
    static const struct {
        EepUnits units;
        const char *text, *hint, *message;
    } cases[] = {
        {EEP_UNITS_TIME, "20", "s", "\"20\" has no unit: ns, us, ms, s, min, h or d; try 20s"},
        {EEP_UNITS_TIME, "20", NULL, "\"20\" has no unit: ns, us, ms, s, min, h or d; try 20ms"},
        {EEP_UNITS_TIME, "2 MS", NULL,
         "\"MS\" is not a unit here (case matters): ns, us, ms, s, min, h or d; try 2ms"},
        {EEP_UNITS_TIME, "2sec", "s",
         "\"sec\" is not a unit here: ns, us, ms, s, min, h or d; try 2s"},
        {EEP_UNITS_TIME, "", NULL,
         "\"\" is not a number with a unit: a number and ns, us, ms, s, min, h or d"},
        {EEP_UNITS_TIME, "ms", NULL,
         "\"ms\" is not a number with a unit: a number and ns, us, ms, s, min, h or d"},
        {EEP_UNITS_TIME, "0.1ns", NULL, "\"0.1ns\" is too small: 0 or at least 1ns"},
        {EEP_UNITS_TIME, "1e30s", NULL, "\"1e30s\" is too large: below 2^63 of the smallest unit"},
        {EEP_UNITS_TIME, "9223372036854775808ns", NULL,
         "\"9223372036854775808ns\" is too large: below 2^63 of the smallest unit"},
        {EEP_UNITS_TIME, "0x10s", NULL,
         "\"x10s\" is not a unit here: ns, us, ms, s, min, h or d; try 0ms"},
        {EEP_UNITS_BYTES, "1Mb", NULL,
         "\"Mb\" is not a unit here (case matters): B, kB, MB, GB, TB, KiB, MiB, GiB or TiB; try "
         "1MB"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *error = NULL;
        gint64 value = 77;
        ck_assert(
            !eep_units_parse_whole(cases[i].units, cases[i].text, cases[i].hint, &value, &error));
        ck_assert_str_eq(error->message, cases[i].message);
        ck_assert_int_eq(value, 77);
        g_error_free(error);
    }
}
END_TEST

START_TEST(formats_read_back)
{
    static const gint64 values[] = {0, 1, 999, 1000, 1500000, 90 * EEP_NS_PER_S, G_MAXINT64, -5000};
    static const char *const texts[] = {
        "0s", "1ns", "999ns", "1us", "1500us", "90s", "9223372036854775807ns", "-5us"};
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text = eep_units_format_whole(EEP_UNITS_TIME, values[i]);
        ck_assert_str_eq(text, texts[i]);
        ck_assert_int_eq(whole(EEP_UNITS_TIME, text), values[i]);
    }
    g_autofree char *size = eep_units_format_whole(EEP_UNITS_BYTES, 3 * 1024 * 1024);
    ck_assert_str_eq(size, "3MiB");
    static const double rates[] = {0.0, 40.0, 0.05, 1.0 / 3.0, 1e-9, 123456.789};
    for (guint i = 0; i < G_N_ELEMENTS(rates); i++) {
        g_autofree char *text = eep_units_format_real(EEP_UNITS_RATE, rates[i]);
        ck_assert(real(EEP_UNITS_RATE, text) == rates[i]);
        g_autofree char *band = eep_units_format_real(EEP_UNITS_BYTES_PER_S, rates[i] * 1e9);
        ck_assert(real(EEP_UNITS_BYTES_PER_S, band) == rates[i] * 1e9);
    }
}
END_TEST

START_TEST(numbers_are_plain)
{
    static const char *const bad[] = {"",    ".",  "e3", "1e",  "0x1p3", "inf",
                                      "nan", "1 ", " 1", "1,5", "1e999", "--1"};
    double value = 3.0;
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        ck_assert_msg(!eep_units_parse_number(bad[i], &value), "%s", bad[i]);
    ck_assert(value == 3.0);
    ck_assert(eep_units_parse_number("-1.5e-3", &value) && value == -0.0015);
    static const double doubles[] = {0.1, 1e300, 5e-324, 1.0 / 3.0, 671e9, 0.53125, 123456789.0};
    static const char *const texts[] = {"0.1",          "1e+300",  "5e-324",   "0.3333333333333333",
                                        "671000000000", "0.53125", "123456789"};
    for (guint i = 0; i < G_N_ELEMENTS(doubles); i++) {
        g_autofree char *text = eep_units_format_number(doubles[i]);
        ck_assert_str_eq(text, texts[i]);
        ck_assert(eep_units_parse_number(text, &value) && value == doubles[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *tcase = tcase_create("units");
    tcase_add_test(tcase, times_are_exact);
    tcase_add_test(tcase, sizes_and_rates_by_hand);
    tcase_add_test(tcase, refusals_say_what_is_allowed);
    tcase_add_test(tcase, formats_read_back);
    tcase_add_test(tcase, numbers_are_plain);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
