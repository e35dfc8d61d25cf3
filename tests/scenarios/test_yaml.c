/* The tree: marks, overrides on maps and lists, and text that parses to the same tree. */
#include "tests/scenarios/scenario_kit.h"

static EepYamlDocument *parse(const char *text)
{
    GError *error = NULL;
    EepYamlDocument *document = eep_yaml_parse("t.yaml", text, -1, &error);
    ck_assert_msg(document != NULL, "%s", error != NULL ? error->message : "");
    return document;
}

static void set(EepYamlDocument *document, const char *assignment)
{
    GError *error = NULL;
    ck_assert_msg(eep_yaml_set(document, assignment, &error), "%s",
                  error != NULL ? error->message : "");
}

static void expect_text(const EepYamlDocument *document, const char *path, const char *text)
{
    const EepYaml *node = eep_yaml_find_path(document->root, path);
    ck_assert_msg(node != NULL, "no %s", path);
    ck_assert_str_eq(node->text, text);
}

START_TEST(values_remember_their_place)
{
    g_autoptr(EepYamlDocument) document = parse("a: 1\nb:\n  - {c: x, d: \"2\"}\n  - ~\n");
    const EepYaml *d = eep_yaml_find_path(document->root, "b[0].d");
    ck_assert_uint_eq(d->line, 3);
    ck_assert_uint_eq(d->column, 15);
    ck_assert(d->quoted);
    ck_assert_ptr_eq(d, eep_yaml_find_path(document->root, "b.0.d"));
    ck_assert(eep_yaml_is_null(eep_yaml_find_path(document->root, "b[1]")));
    ck_assert(!eep_yaml_is_null(d));
    ck_assert_ptr_null(eep_yaml_find_path(document->root, "b[2]"));
    ck_assert_ptr_null(eep_yaml_find_path(document->root, "a.b"));
    ck_assert_ptr_null(eep_yaml_find_path(document->root, ""));
}
END_TEST

START_TEST(columns_count_characters)
{
    GError *error = NULL;
    ck_assert_ptr_null(eep_yaml_parse("t.yaml", "\xc3\xa4\xc3\xb6: {x: 1, x: 2}", -1, &error));
    ck_assert_str_eq(error->message,
                     "t.yaml:1:12: \"x\" is given twice: once; the first is in line "
                     "1\n  \xc3\xa4\xc3\xb6: {x: 1, x: 2}\n             ^");
    g_error_free(error);
}
END_TEST

START_TEST(overrides_reach_everything)
{
    g_autoptr(EepYamlDocument) document = parse("a: 1\nlist: [{x: 1}, {x: 2}]\n");
    set(document, "a=2");
    expect_text(document, "a", "2");
    set(document, "new.deep.key=v = w");
    expect_text(document, "new.deep.key", "v = w");
    set(document, "list[1].x=3");
    expect_text(document, "list.1.x", "3");
    set(document, "list[2]={x: 4, y: [5, 6]}");
    expect_text(document, "list[2].y[1]", "6");
    ck_assert_str_eq(eep_yaml_find_path(document->root, "list[2].y[1]")->set,
                     "list[2]={x: 4, y: [5, 6]}");
    set(document, "list[0]=null");
    expect_text(document, "list[0].x", "3");
    set(document, "new.deep.key=null");
    ck_assert_ptr_null(eep_yaml_find_path(document->root, "new.deep.key"));
    set(document, "not.there=null");
    ck_assert_ptr_null(eep_yaml_find_path(document->root, "not"));
    set(document, "a={b: 1}");
    set(document, "a.b=2");
    expect_text(document, "a.b", "2");
    set(document, "a=\"null\"");
    expect_text(document, "a", "null");
}
END_TEST

START_TEST(bad_overrides_change_nothing)
{
    static const char *const bad[] = {"=1",        "a",         "a..b=1",   ".a=1",
                                      "a.b=1",     "list[9]=1", "list.x=1", "a=[1",
                                      "a=1\nb: 2", "a=*x",      "a.b.c={",  "\xff=1"};
    g_autoptr(EepYamlDocument) document = parse("a: 1\nlist: [1]\n");
    g_autofree char *before = eep_yaml_to_text(document->root);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!eep_yaml_set(document, bad[i], &error), "%s", bad[i]);
        ck_assert_ptr_nonnull(error);
    }
    g_autofree char *after = eep_yaml_to_text(document->root);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(text_parses_to_the_same_tree)
{
    static const char *const texts[] = {
        "plain",      "a b",  "1.5ms",        "-3",         "- 3",   "null",  "~",    "true",
        "yes",        "x: y", "x:",           "#no",        "a #b",  "a,b",   "[x]",  "{",
        "\"quoted\"", "it's", "\\",           "%",          "@at",   "*a",    "&a",   "!t",
        "|",          ">",    "? k",          "line\nfeed", "tab\t", " lead", "end ", "\xc3\xa4",
        "",           "\x01", "\xe2\x80\xa8", "<<",         "---",   "...",   "=",    "a:b",
    };
    g_autoptr(EepYaml) map = eep_yaml_new_map();
    EepYaml *list = eep_yaml_new_list();
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        EepYaml *item = eep_yaml_new_scalar(texts[i]);
        item->quoted = TRUE;
        eep_yaml_append(list, item);
    }
    eep_yaml_put(map, "texts", list);
    eep_yaml_put(map, "empty map", eep_yaml_new_map());
    eep_yaml_put(map, "empty list", eep_yaml_new_list());
    EepYaml *nested = eep_yaml_new_list();
    for (guint i = 0; i < 3; i++) {
        EepYaml *inner = eep_yaml_new_map();
        EepYaml *value = eep_yaml_new_scalar("a text that is so long that four of them do not fit");
        eep_yaml_put(inner, "x", value);
        eep_yaml_put(inner, "y",
                     eep_yaml_new_scalar("and one more of more than fifty characters, yes"));
        eep_yaml_append(nested, inner);
    }
    eep_yaml_put(map, "nested", nested);
    g_autofree char *text = eep_yaml_to_text(map);
    g_autoptr(EepYamlDocument) document = parse(text);
    const EepYaml *read = eep_yaml_find(document->root, "texts");
    ck_assert_uint_eq(read->items->len, G_N_ELEMENTS(texts));
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        const EepYaml *item = read->items->pdata[i];
        ck_assert_str_eq(item->text, texts[i]);
        ck_assert(!eep_yaml_is_null(item));
    }
    ck_assert_int_eq(eep_yaml_find(document->root, "empty map")->kind, EEP_YAML_MAP);
    ck_assert_int_eq(eep_yaml_find(document->root, "empty list")->kind, EEP_YAML_LIST);
    expect_text(document, "nested[2].y", "and one more of more than fifty characters, yes");
    g_autofree char *again = eep_yaml_to_text(document->root);
    ck_assert_str_eq(again, text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("yaml");
    tcase_add_test(tcase, values_remember_their_place);
    tcase_add_test(tcase, columns_count_characters);
    tcase_add_test(tcase, overrides_reach_everything);
    tcase_add_test(tcase, bad_overrides_change_nothing);
    tcase_add_test(tcase, text_parses_to_the_same_tree);
    return kit_run(tcase);
}
