/* core/options.h and core/suggest.h: each type parsed, refused, formatted; structs filled, copied,
 * cleared. */
#include <check.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "core/suggest.h"

typedef struct {
    gboolean flag;
    gint64 count, size;
    double share, bandwidth, rate;
    char *name, *path;
    gint word;
    EepTime time;
} Sample;

#define AT(field) offsetof(Sample, field)

static const EepOption rows[] = {
    {"flag", EEP_OPTION_BOOL, AT(flag), "true", EEP_NO_BOUNDS, NULL, NULL, "a truth"},
    {"count", EEP_OPTION_INT, AT(count), NULL, 1, 9, NULL, "--count", "a number"},
    {"share", EEP_OPTION_DOUBLE, AT(share), "0.5", 0, 1, NULL, NULL, "a share"},
    {"name", EEP_OPTION_STRING, AT(name), "n", EEP_NO_BOUNDS, NULL, NULL, "a text"},
    {"path", EEP_OPTION_PATH, AT(path), NULL, EEP_NO_BOUNDS, NULL, NULL, "a file"},
    {"deep.word", EEP_OPTION_WORD, AT(word), "two", EEP_NO_BOUNDS, "one|two|three", NULL, "a word"},
    {"time", EEP_OPTION_TIME, AT(time), "20s", 0, 1e11, NULL, NULL, "a time"},
    {"size", EEP_OPTION_BYTES, AT(size), "1MiB", EEP_NO_BOUNDS, NULL, NULL, "a size"},
    {"bandwidth", EEP_OPTION_BYTES_PER_S, AT(bandwidth), "8Gb/s", EEP_NO_BOUNDS, NULL, NULL,
     "a bw"},
    {"rate", EEP_OPTION_RATE, AT(rate), "30/min", EEP_NO_BOUNDS, NULL, NULL, "a rate"},
};
static const EepOptionTable table = {"sample", sizeof(Sample), rows, G_N_ELEMENTS(rows)};

START_TEST(defaults_are_filled)
{
    Sample sample;
    memset(&sample, 0xa5, sizeof sample);
    eep_options_init(&table, &sample);
    ck_assert(sample.flag);
    ck_assert_int_eq(sample.count, 0);
    ck_assert(sample.share == 0.5);
    ck_assert_str_eq(sample.name, "n");
    ck_assert_ptr_null(sample.path);
    ck_assert_int_eq(sample.word, 1);
    ck_assert_int_eq(sample.time, 20 * EEP_NS_PER_S);
    ck_assert_int_eq(sample.size, 1048576);
    ck_assert(sample.bandwidth == 1e9);
    ck_assert(sample.rate == 0.5);
    eep_options_clear(&table, &sample);
    ck_assert_ptr_null(sample.name);
    ck_assert(eep_option_is_required(&rows[1]));
    ck_assert(!eep_option_is_required(&rows[2]));
    ck_assert(!eep_option_is_required(&rows[4]));
}
END_TEST

START_TEST(values_parse_and_format)
{
    static const char *const good[][3] = {
        {"flag", "false", "false"},
        {"count", "9", "9"},
        {"count", "+3", "3"},
        {"share", "1e-1", "0.1"},
        {"name", "", ""},
        {"name", "a b", "a b"},
        {"path", "x/y.csv", "x/y.csv"},
        {"deep.word", "three", "three"},
        {"time", "0.5s", "500ms"},
        {"size", "2000B", "2kB"},
        {"bandwidth", "16Gb/s", "2GB/s"},
        {"rate", "2/s", "2/s"},
    };
    Sample sample;
    eep_options_init(&table, &sample);
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        const EepOption *option = eep_options_find(&table, good[i][0]);
        GError *error = NULL;
        ck_assert_msg(eep_option_parse(option, &sample, good[i][1], &error), "%s",
                      error != NULL ? error->message : "");
        g_autofree char *text = eep_option_format(option, &sample);
        ck_assert_str_eq(text, good[i][2]);
    }
    eep_options_clear(&table, &sample);
    ck_assert_ptr_null(eep_options_find(&table, "word"));
}
END_TEST

START_TEST(bad_values_store_nothing)
{
    static const char *const bad[][3] = {
        {"flag", "yes", "\"yes\" is not a truth value: true or false; try true"},
        {"flag", "off", "\"off\" is not a truth value: true or false; try false"},
        {"flag", "maybe", "\"maybe\" is not a truth value: true or false"},
        {"count", "0", "\"0\" is too small: at least 1"},
        {"count", "10", "\"10\" is too large: at most 9"},
        {"count", "3.0", "\"3.0\" is not a whole number: a whole number from 1 to 9"},
        {"count", "", "\"\" is not a whole number: a whole number from 1 to 9"},
        {"count", "99999999999999999999",
         "\"99999999999999999999\" does not fit 64 bits: a whole number from 1 to 9"},
        {"share", "nan", "\"nan\" is not a number: a number from 0 to 1"},
        {"share", "1.01", "\"1.01\" is too large: at most 1"},
        {"deep.word", "tree", "\"tree\" is unknown: one, two or three; try three"},
        {"deep.word", "Two", "\"Two\" is unknown: one, two or three; try two"},
        {"deep.word", "seventeen", "\"seventeen\" is unknown: one, two or three"},
        {"time", "5", "\"5\" has no unit: ns, us, ms, s, min, h or d; try 5s"},
        {"time", "500", "\"500\" has no unit: ns, us, ms, s, min, h or d; try 100s"},
        {"time", "200s", "\"200s\" is too large: at most 100s"},
        {"name", "\xff", "the text is not UTF-8: UTF-8"},
    };
    Sample sample, before;
    eep_options_init(&table, &sample);
    before = sample;
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        ck_assert(
            !eep_option_parse(eep_options_find(&table, bad[i][0]), &sample, bad[i][1], &error));
        ck_assert_str_eq(error->message, bad[i][2]);
        ck_assert(error->domain == EEP_OPTION_ERROR);
        g_error_free(error);
    }
    ck_assert_mem_eq(&sample, &before, sizeof sample);
    eep_options_clear(&table, &sample);
}
END_TEST

START_TEST(a_copy_has_its_own_strings)
{
    Sample sample, copy;
    eep_options_init(&table, &sample);
    ck_assert(eep_option_parse(&rows[4], &sample, "p", NULL));
    eep_options_copy(&table, &copy, &sample);
    ck_assert_ptr_ne(copy.name, sample.name);
    ck_assert_str_eq(copy.name, "n");
    ck_assert_str_eq(copy.path, "p");
    ck_assert_int_eq(copy.time, sample.time);
    eep_options_clear(&table, &sample);
    ck_assert_str_eq(copy.name, "n");
    eep_options_clear(&table, &copy);
}
END_TEST

START_TEST(the_nearest_word)
{
    static const char *const words[] = {"data_parallel_size", "tensor_parallel_size", "nixl_ep",
                                        "h200-sxm", NULL};
    ck_assert_str_eq(eep_suggest_nearest("data_paralel_size", words), "data_parallel_size");
    ck_assert_str_eq(eep_suggest_nearest("Data-Parallel-Size", words), "data_parallel_size");
    ck_assert_str_eq(eep_suggest_nearest("nixl_pe", words), "nixl_ep");
    ck_assert_ptr_null(eep_suggest_nearest("zzzzzzzz", words));
    ck_assert_ptr_null(eep_suggest_nearest("", words));
    g_autofree char *lengthy = g_strnfill(1000, 'a');
    ck_assert_ptr_null(eep_suggest_nearest(lengthy, words));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_test(tcase, defaults_are_filled);
    tcase_add_test(tcase, values_parse_and_format);
    tcase_add_test(tcase, bad_values_store_nothing);
    tcase_add_test(tcase, a_copy_has_its_own_strings);
    tcase_add_test(tcase, the_nearest_word);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
