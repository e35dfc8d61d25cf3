/* Prints a JSON document of standard input as lines "path=value": resizes.0.outcome=complete. Exit
 * status 1 if it is none. */
#include <glib.h>
#include <jansson.h>
#include <stdio.h>

static void print(const char *path, const json_t *value)
{
    const char *dot = *path != '\0' ? "." : "";
    const char *key;
    json_t *inner;
    size_t index;

    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, inner)
        {
            g_autofree char *below = g_strconcat(path, dot, key, NULL);

            print(below, inner);
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, inner)
        {
            g_autofree char *below = g_strdup_printf("%s%s%zu", path, dot, index);

            print(below, inner);
        }
    } else if (json_is_string(value)) {
        printf("%s=%s\n", path, json_string_value(value));
    } else {
        g_autofree char *text = json_dumps(value, JSON_ENCODE_ANY);

        printf("%s=%s\n", path, text);
    }
}

int main(void)
{
    json_error_t error;
    json_t *document = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);

    if (document == NULL) {
        fprintf(stderr, "line %d: %s\n", error.line, error.text);
        return 1;
    }
    print("", document);
    json_decref(document);
    return 0;
}
