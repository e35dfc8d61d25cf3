/* json_value FILE PATH...: the values at dotted paths ("resizes.0.outcome"), one a line: strings
 * bare, the rest as JSON, "-" where there is nothing. */
#include <glib.h>
#include <jansson.h>
#include <stdio.h>

static const json_t *find(const json_t *value, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);

    for (char **key = keys; *key != NULL && value != NULL; key++)
        value = json_is_array(value)
                    ? json_array_get(value, (size_t)g_ascii_strtoull(*key, NULL, 10))
                    : json_object_get(value, *key);
    return value;
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *root = argc > 2 ? json_load_file(argv[1], 0, &error) : NULL;

    if (root == NULL) {
        fprintf(stderr, "%s\n", argc > 2 ? error.text : "usage: json_value FILE PATH...");
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        const json_t *value = find(root, argv[i]);
        char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

        if (json_is_string(value))
            puts(json_string_value(value));
        else
            puts(text != NULL ? text : "-");
        free(text);
    }
    json_decref(root);
    return 0;
}
