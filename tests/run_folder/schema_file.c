/* Checks a file of a run folder against its schema, for shell tests.
 *
 *     schema_file NAME FILE          the file is as docs/schema/NAME.schema.json says
 *     schema_file NAME FILE lines    each of its lines is */
#include <stdio.h>
#include <string.h>

#include "tests/run_folder/schema_check.h"

static gboolean check_text(json_t *schema, const char *file, guint line, const char *text)
{
    json_error_t place;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &place);
    g_autofree char *difference =
        value != NULL ? schema_check(schema, value) : g_strdup(place.text);

    json_decref(value);
    if (difference != NULL)
        fprintf(stderr, "%s:%u: %s\n", file, line, difference);
    return difference == NULL;
}

int main(int argc, char **argv)
{
    g_autofree char *contents = NULL;
    gboolean is_right = TRUE;

    if (argc < 3 || !g_file_get_contents(argv[2], &contents, NULL, NULL))
        return 2;
    json_t *schema = schema_load(argv[1]);
    if (argc == 3) {
        is_right = check_text(schema, argv[2], 1, contents);
    } else {
        g_auto(GStrv) lines = g_strsplit(g_strchomp(contents), "\n", -1);
        for (guint i = 0; lines[i] != NULL; i++)
            is_right &= check_text(schema, argv[2], i + 1, lines[i]);
    }
    json_decref(schema);
    return is_right ? 0 : 1;
}
