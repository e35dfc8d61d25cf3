/* Load files: what is read of each format, every kind of bad element by its path, damaged files. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "traces/load_file.h"
#include "traces/trace.h"

/* Beside the project's root; not part of the project. */
#define RECORDED "../shared/expert-load/"

static EepLoadRecord *read_text(const char *name, const char *text, GError **error)
{
    char *copy = g_memdup2(text, strlen(text)); /* exact, for the sanitizers */
    EepLoadRecord *record = eep_load_file_read_bytes(name, copy, strlen(text), NULL, NULL, error);
    g_free(copy);
    ck_assert((record == NULL) == (error != NULL && *error != NULL));
    return record;
}

static const struct {
    const char *text;
    guint n_windows, n_layers, n_experts, top_k;
} good[] = {
    {"{\"weight\": [[1, 2, 3], [4, 5, 6]]}", 1, 2, 3, 0},
    {"{\"weight\": [[[1, 2, 3], [4, 5, 6]]], \"num_gpus\": 4}", 1, 2, 3, 0},
    {"{\"logical_count\": [[[1], [2], [3]], [[4], [5], [6]]], \"rank\": 0}", 2, 3, 1, 0},
    {"{\"topk\": 2, \"counts\": [[1, 2, 3], [4, 5, 6.0]]}", 1, 2, 3, 2},
    {" [[1, 2, 3], [4, 5, 6e0]]", 1, 2, 3, 0},
    {"window,layer,e0,e1,e2\n0,1,1,2,3\n0,2,4,5,6\n", 1, 2, 3, 0},
    {"window,layer,e0,e1\r\n7,1,1,2\r\n\r\n8,1,3,4\r\n9,1,5.0,6e0", 3, 1, 2, 0},
};

START_TEST(reads_what_is_there)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(EepLoadRecord) record = read_text("t", good[_i].text, &error);
    ck_assert_msg(record != NULL, "%s", error != NULL ? error->message : "");
    ck_assert_uint_eq(record->n_windows, good[_i].n_windows);
    ck_assert_uint_eq(record->n_layers, good[_i].n_layers);
    ck_assert_uint_eq(record->n_experts, good[_i].n_experts);
    ck_assert_uint_eq(record->top_k, good[_i].top_k);
    for (guint i = 0; i < 6; i++)
        ck_assert_double_eq(record->tokens[i], i + 1.0);
}
END_TEST

static const struct {
    const char *text, *message; /* the message has this in it */
} bad[] = {
    {"", "t: the file is empty"},
    {"{\"weight\": [[1, -1]]}", "t: weight[0][1]: -1 is negative: loads are finite numbers"},
    {"{\"weight\": [[1], [-0.5]]}", "t: weight[1][0]: -0.5 is negative"},
    {"{\"weight\": [[[1, 2], [3, -4]]]}", "t: weight[0][1][1]: -4 is negative"},
    {"[[0], [-1]]", "t: [1][0]: -1 is negative"},
    {"{\"counts\": [[-7]]}", "t: counts[0][0]: -7 is negative"},
    {"{\"weight\": [[1, 2], [3, NaN]]}", "t:1:27: weight[1][1]: invalid token near 'NaN'"},
    {"{\"weight\": [[1, 2],\n [Infinity, 3]]}", "t:2:10: weight[1][0]: invalid token"},
    {"{\"weight\": [[1, -Infinity]]}", "weight[0][1]: invalid token"},
    {"{\"weight\": [[1, 1e999]]}", "weight[0][1]: real number overflow"},
    {"{\"weight\": [[1, -1e999]]}", "weight[0][1]: real number overflow"},
    {"{\"weight\": [[1, 9007199254740993]]}", "weight[0][1]: 9007199254740993 is above 2^53"},
    {"{\"weight\": [[1, 1e16]]}", "weight[0][1]: 10000000000000000 is above 2^53"},
    {"{\"weight\": [[1, 99999999999999999999]]}", "weight[0][1]: too big integer"},
    {"{\"weight\": [[1, true]]}", "weight[0][1]: true is no number"},
    {"{\"weight\": [[1, null]]}", "weight[0][1]: null is no number"},
    {"{\"weight\": [[1, \"2\"]]}", "weight[0][1]: a string is no number"},
    {"{\"weight\": [[1, [2]]]}", "weight[0][1]: a list is no number"},
    {"{\"weight\": [[1, 2], [3]]}", "weight[1]: 1 entries: as many as the lists before it, 2"},
    {"{\"weight\": [[[1], [2]], [[3]]]}", "weight[1]: 1 entries: as many as the lists before it"},
    {"{\"weight\": [[1, 2], 3]}", "weight[1]: 3: a list with one entry a load"},
    {"{\"weight\": [[1, 2], {}]}", "weight[1]: an object: a list with one entry a load"},
    {"{\"weight\": []}", "weight: the list is empty"},
    {"{\"weight\": [[]]}", "weight[0]: the list is empty"},
    {"{\"weight\": [[1], []]}", "weight[1]: 0 entries"},
    {"{\"weight\": 7}", "weight: loads are lists in lists"},
    {"{\"weight\": null}", "weight: loads are lists in lists"},
    {"{\"weight\": [1, 2]}", "weight[0]: loads are lists in lists"},
    {"{\"weight\": [[[[1]]]]}", "weight[0][0][0]: loads are lists in lists"},
    {"{}", "t: there are no loads: a key of weight, logical_count, counts"},
    {"[]", "t: the list is empty"},
    {"17", "t:1:2: '[' or '{' expected"},
    {"{\"weight\": [[1, 2], [3", "t:1:22: weight[1][0]: ']' expected near end of file"},
    {"{\"weight\": [[1, 2], [3,", "t:1:23: weight[1][1]: ']' expected"},
    {"{\"a\": {\"b]\\\"\": [1, {\"weight\": [x", "a[\"b]\\\\\\\"\"][1].weight[0]: invalid token"},
    {"{\"weight\": [[1]], \"weight\": [[1]]}", "duplicate object key"},
    {"{\"weight\": [[1, 2]], \"top_k\": 3}", "top_k: 3: a whole number from 1 to 2"},
    {"{\"weight\": [[1, 2]], \"top_k\": 1.5}", "top_k: 1.5: a whole number from 1 to 2"},
    {"window,layer\n0,0\n", "t:1:13: no experts"},
    {"window,layer,e1\n", "t:1:13: column 3 is not e0"},
    {"window,layer,e0,e1x\n", "t:1:19: column 5 is not e2"},
    {"window,lay,e0\n", "t:1:1: the header is not that of loads"},
    {"window,layer,e0\n", "there are no loads"},
    {"window,layer,e0\n0,0,-1\n", "t:2:5: window 0, layer 0, e0: -1 is negative"},
    {"window,layer,e0,e1\n0,0,1,nan\n", "t:2:7: window 0, layer 0, e1: nan is not a number"},
    {"window,layer,e0\n0,0,inf\n", "e0: inf is not finite"},
    {"window,layer,e0\n0,0,1e999\n", "e0: 1e999 is not finite"},
    {"window,layer,e0\n0,0,9007199254740993\n", "e0: 9007199254740993 is above 2^53"},
    {"window,layer,e0\n0,0,\n", "e0:  is no number"},
    {"window,layer,e0\n0,0,0x10\n", "e0: 0x10 is no number"},
    {"window,layer,e0\n0,0, 1\n", "e0:  1 is no number"},
    {"window,layer,e0\n0,0,1,2\n", "t:2:6: more loads than the header's 1"},
    {"window,layer,e0,e1\n0,0,1\n", "t:2:6: 1 loads: 2, as in the header"},
    {"window,layer,e0\n0,0,1\n0,2,1\n", "t:3:1: window 0, layer 2: layer 1 comes next"},
    {"window,layer,e0\n0,0,1\n2,0,1\n", "t:3:1: window 2, layer 0 behind window 0"},
    {"window,layer,e0\n0,0,1\n0,1,1\n1,0,1\n", "the last window ends with layer 0: 2 layers"},
    {"window,layer,e0\n0,0,1\n0,1,1\n1,0,1\n2,0,1\n", "t:5:1: window 2, layer 0 behind window 1"},
    {"window,layer,e0\n0,0,1\n1,1,1\n", "every window has layers 0 to 0"},
    {"window,layer,e0\n-1,0,1\n", "t:2:1: no window and layer"},
};

START_TEST(names_what_is_wrong)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(read_text("t", bad[_i].text, &error));
    ck_assert_int_eq(error->domain, EEP_TRACE_ERROR);
    ck_assert_msg(strstr(error->message, bad[_i].message) != NULL, "%s\nlacks %s", error->message,
                  bad[_i].message);
}
END_TEST

/* Deeper than the parser goes, and 8 levels of a path are enough to show. */
START_TEST(survives_deep_nesting)
{
    for (guint depth = 1000; depth <= 1000000; depth *= 10) {
        g_autofree char *text = g_strnfill(depth, '[');
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(read_text("t", text, &error));
        ck_assert_uint_le(strlen(error->message), 200);
    }
}
END_TEST

START_TEST(survives_every_cut_and_changed_byte)
{
    const char *text = good[_i].text;
    for (gsize size = 0; size <= strlen(text); size++) {
        g_autofree char *cut = g_strndup(text, size);
        g_autoptr(GError) error = NULL;
        g_autoptr(EepLoadRecord) record = read_text("t", cut, &error);
        ck_assert(record != NULL || g_utf8_validate(error->message, -1, NULL));
    }
    for (gsize i = 0; i < strlen(text); i++)
        for (int byte = 1; byte < 256; byte++) {
            g_autofree char *copy = g_strdup(text);
            g_autoptr(GError) error = NULL;
            copy[i] = (char)byte;
            g_autoptr(EepLoadRecord) record = read_text("t", copy, &error);
            ck_assert(record != NULL || g_utf8_validate(error->message, -1, NULL));
        }
}
END_TEST

START_TEST(reads_routes)
{
    /* 5 tokens, 2 layers, 2 experts a token; windows of 2, the last token is left out. */
    static const guint8 ids[] = {0, 1, 3, 2, 0, 2, 3, 1, 1, 2, 0, 1, 1, 0, 3, 2, 2, 0, 0, 0};
    static const double expected[2][2][4] = {{{2, 1, 1, 0}, {0, 1, 1, 2}},
                                             {{1, 2, 1, 0}, {1, 1, 1, 1}}};
    EepLoadFileOptions options = {EEP_LOAD_FILE_AUTO, 2, 2, 0, 2};
    g_autoptr(GError) error = NULL;
    g_autoptr(EepLoadRecord) record =
        eep_load_file_read_bytes("a.u8", ids, sizeof ids, &options, NULL, &error);
    ck_assert_msg(record != NULL, "%s", error ? error->message : "");
    ck_assert_uint_eq(record->n_windows, 2);
    ck_assert_uint_eq(record->n_experts, 4);
    ck_assert_uint_eq(record->n_tokens, 5);
    ck_assert_mem_eq(record->tokens, expected, sizeof expected);
    ck_assert_mem_eq(record->routes, ids, sizeof ids);
}
END_TEST

static const struct {
    EepLoadFileOptions options;
    gsize size;
    const char *message;
} bad_routes[] = {
    {{EEP_LOAD_FILE_ROUTES, 0, 2, 0, 512}, 8, "layers (0), experts a token (2)"},
    {{EEP_LOAD_FILE_ROUTES, 2, 0, 0, 512}, 8, "must be given"},
    {{EEP_LOAD_FILE_ROUTES, 2, 2, 0, 0}, 8, "tokens a window (0)"},
    {{EEP_LOAD_FILE_ROUTES, 2, 2, 0, 512}, 7, "7 bytes: a multiple of 4, 2 layers of 2"},
    {{EEP_LOAD_FILE_ROUTES, 2, 2, 0, 512}, 0, "0 bytes: a multiple"},
    {{EEP_LOAD_FILE_ROUTES, 2, 2, 3, 512}, 8, "routes[1][0][1]: expert 9: 0 to 2"},
    {{EEP_LOAD_FILE_ROUTES, G_MAXUINT, G_MAXUINT, 3, 512}, 8, "8 bytes: a multiple of"},
};

START_TEST(names_what_is_wrong_with_routes)
{
    static const guint8 ids[] = {0, 1, 2, 0, 0, 9, 1, 2};
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_load_file_read_bytes("a.u8", ids, bad_routes[_i].size,
                                                &bad_routes[_i].options, NULL, &error));
    ck_assert_msg(strstr(error->message, bad_routes[_i].message) != NULL, "%s", error->message);
}
END_TEST

START_TEST(reads_files_packed_and_plain)
{
    g_autofree char *folder = g_dir_make_tmp("eep-load-XXXXXX", NULL);
    g_autofree char *plain = g_build_filename(folder, "load.json", NULL);
    g_autofree char *packed = g_build_filename(folder, "load.json.gz", NULL);
    g_autoptr(GError) error = NULL;
    ck_assert(g_file_set_contents(plain, good[0].text, -1, NULL));
    gzFile file = gzopen(packed, "wb");
    gzputs(file, good[0].text);
    gzclose(file);
    json_t *fields = NULL;
    EepLoadRecord *a = eep_load_file_read(plain, NULL, &error);
    EepLoadRecord *b = eep_load_file_read_fields(packed, NULL, &fields, &error);
    ck_assert(a != NULL && b != NULL && json_is_object(fields));
    ck_assert_mem_eq(a->tokens, b->tokens, 6 * sizeof(double));
    json_decref(fields);
    eep_load_record_free(a);
    eep_load_record_free(b);

    /* Cut gzip data and folders are refused; the path is named. */
    char *data = NULL;
    gsize size;
    ck_assert(g_file_get_contents(packed, &data, &size, NULL));
    ck_assert(g_file_set_contents(packed, data, (gssize)size - 9, NULL));
    g_free(data);
    ck_assert_ptr_null(eep_load_file_read(packed, NULL, &error));
    ck_assert(strstr(error->message, "load.json.gz: cannot read: ") != NULL);
    g_clear_error(&error);
    ck_assert_ptr_null(eep_load_file_read(folder, NULL, &error));
    ck_assert(strstr(error->message, "cannot open: Is a directory") != NULL);
    remove(plain);
    remove(packed);
    remove(folder);
}
END_TEST

/* The recorded routes, counted here, are the recorded windows and counts. */
START_TEST(recorded_files_agree)
{
    static const char *const tasks[] = {"intent", "law"};
    g_autofree char *routes = g_strdup_printf(RECORDED "esft_dsv2lite_%s_routes.u8", tasks[_i]);
    g_autofree char *windows =
        g_strdup_printf(RECORDED "esft_dsv2lite_%s_windows512.csv", tasks[_i]);
    g_autofree char *counts = g_strdup_printf(RECORDED "esft_dsv2lite_%s_counts.json", tasks[_i]);
    EepLoadFileOptions options = EEP_LOAD_FILE_OPTIONS_INIT;
    g_autoptr(GError) error = NULL;
    if (!g_file_test(routes, G_FILE_TEST_EXISTS))
        return;
    options.n_layers = 26;
    options.top_k = 6;
    g_autoptr(EepLoadRecord) by_routes = eep_load_file_read(routes, &options, &error);
    g_autoptr(EepLoadRecord) by_windows = eep_load_file_read(windows, &options, &error);
    g_autoptr(EepLoadRecord) by_counts = eep_load_file_read(counts, &options, &error);
    ck_assert_msg(error == NULL, "%s", error->message);
    ck_assert_uint_eq(by_routes->n_windows, 16);
    ck_assert_uint_eq(by_windows->n_windows, 16);
    ck_assert_uint_eq(by_counts->top_k, 6);
    ck_assert_mem_eq(by_routes->tokens, by_windows->tokens, 16 * 26 * 64 * sizeof(double));

    options.window_tokens = G_MAXUINT;
    g_autoptr(EepLoadRecord) whole = eep_load_file_read(routes, &options, &error);
    ck_assert_uint_eq(whole->n_windows, 1);
    ck_assert_mem_eq(whole->tokens, by_counts->tokens, 26 * 64 * sizeof(double));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load_file");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, reads_what_is_there, 0, G_N_ELEMENTS(good));
    tcase_add_loop_test(tcase, names_what_is_wrong, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tcase, survives_deep_nesting);
    tcase_add_loop_test(tcase, survives_every_cut_and_changed_byte, 0, G_N_ELEMENTS(good));
    tcase_add_test(tcase, reads_routes);
    tcase_add_loop_test(tcase, names_what_is_wrong_with_routes, 0, G_N_ELEMENTS(bad_routes));
    tcase_add_test(tcase, reads_files_packed_and_plain);
    tcase_add_loop_test(tcase, recorded_files_agree, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
