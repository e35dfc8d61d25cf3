/* core/json.h: whole documents, both styles, and misuse. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "core/json.h"

static void write_sample(EepText *text, EepJsonStyle style)
{
    EepJson json;
    eep_json_init(&json, text, style);
    eep_json_begin_object(&json, NULL);
    eep_json_add_int(&json, "i", -5);
    eep_json_add_uint(&json, "u", G_MAXUINT64);
    eep_json_add_double(&json, "d", 0.125, 6);
    eep_json_add_double(&json, "nan", NAN, 6);
    eep_json_add_double(&json, "inf", INFINITY, 6);
    eep_json_add_decimal(&json, "ms", 1500000, 6);
    eep_json_add_string(&json, "s\"", "line\n");
    eep_json_add_string(&json, "none", NULL);
    eep_json_add_bool(&json, "t", TRUE);
    eep_json_add_bool(&json, "f", FALSE);
    eep_json_begin_array(&json, "list");
    eep_json_add_int(&json, NULL, 1);
    eep_json_begin_object(&json, NULL);
    eep_json_end_object(&json);
    eep_json_begin_array(&json, NULL);
    eep_json_end_array(&json);
    eep_json_add_null(&json, NULL);
    ck_assert(!eep_json_is_complete(&json));
    eep_json_end_array(&json);
    eep_json_add_int(&json, "last", 0);
    eep_json_end_object(&json);
    ck_assert(eep_json_is_complete(&json));
}

START_TEST(compact)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    write_sample(&text, EEP_JSON_COMPACT);
    ck_assert_str_eq(eep_text_string(&text),
                     "{\"i\":-5,\"u\":18446744073709551615,\"d\":0.125,\"nan\":null,\"inf\":null,"
                     "\"ms\":1.500000,\"s\\\"\":\"line\\n\",\"none\":null,\"t\":true,\"f\":false,"
                     "\"list\":[1,{},[],null],\"last\":0}\n");
}
END_TEST

START_TEST(pretty)
{
    g_auto(EepText) text;
    eep_text_init(&text);
    write_sample(&text, EEP_JSON_PRETTY);
    ck_assert_str_eq(eep_text_string(&text), "{\n"
                                             "  \"i\": -5,\n"
                                             "  \"u\": 18446744073709551615,\n"
                                             "  \"d\": 0.125,\n"
                                             "  \"nan\": null,\n"
                                             "  \"inf\": null,\n"
                                             "  \"ms\": 1.500000,\n"
                                             "  \"s\\\"\": \"line\\n\",\n"
                                             "  \"none\": null,\n"
                                             "  \"t\": true,\n"
                                             "  \"f\": false,\n"
                                             "  \"list\": [\n"
                                             "    1,\n"
                                             "    {},\n"
                                             "    [],\n"
                                             "    null\n"
                                             "  ],\n"
                                             "  \"last\": 0\n"
                                             "}\n");
}
END_TEST

START_TEST(lines)
{
    g_auto(EepText) text;
    EepJson json;
    eep_text_init(&text);
    eep_json_init(&json, &text, EEP_JSON_COMPACT);
    for (int i = 0; i < 2; i++) {
        eep_json_begin_object(&json, NULL);
        eep_json_add_int(&json, "at", i);
        eep_json_end_object(&json);
    }
    eep_json_add_string(&json, NULL, "x");
    ck_assert_str_eq(eep_text_string(&text), "{\"at\":0}\n{\"at\":1}\n\"x\"\n");
}
END_TEST

START_TEST(deepest_nesting)
{
    g_auto(EepText) text;
    EepJson json;
    eep_text_init(&text);
    eep_json_init(&json, &text, EEP_JSON_COMPACT);
    for (int i = 0; i < EEP_JSON_MAX_DEPTH; i++)
        eep_json_begin_array(&json, NULL);
    eep_json_add_int(&json, NULL, 1);
    for (int i = 0; i < EEP_JSON_MAX_DEPTH; i++)
        eep_json_end_array(&json);
    ck_assert(eep_json_is_complete(&json));
    ck_assert_uint_eq(text.length, 2 * EEP_JSON_MAX_DEPTH + 2);
}
END_TEST

static void open_object(EepJson *json, EepText *text)
{
    eep_text_init(text);
    eep_json_init(json, text, EEP_JSON_COMPACT);
    eep_json_begin_object(json, NULL);
}

START_TEST(misuse_member_without_key)
{
    EepText text;
    EepJson json;
    open_object(&json, &text);
    eep_json_add_int(&json, NULL, 1);
}
END_TEST

START_TEST(misuse_key_in_array)
{
    EepText text;
    EepJson json;
    open_object(&json, &text);
    eep_json_begin_array(&json, "a");
    eep_json_add_int(&json, "b", 1);
}
END_TEST

START_TEST(misuse_wrong_end)
{
    EepText text;
    EepJson json;
    open_object(&json, &text);
    eep_json_end_array(&json);
}
END_TEST

START_TEST(misuse_end_without_begin)
{
    EepText text;
    EepJson json;
    open_object(&json, &text);
    eep_json_end_object(&json);
    eep_json_end_object(&json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");
    tcase_add_test(tcase, compact);
    tcase_add_test(tcase, pretty);
    tcase_add_test(tcase, lines);
    tcase_add_test(tcase, deepest_nesting);
    tcase_add_test_raise_signal(tcase, misuse_member_without_key, SIGABRT);
    tcase_add_test_raise_signal(tcase, misuse_key_in_array, SIGABRT);
    tcase_add_test_raise_signal(tcase, misuse_wrong_end, SIGABRT);
    tcase_add_test_raise_signal(tcase, misuse_end_without_begin, SIGABRT);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
