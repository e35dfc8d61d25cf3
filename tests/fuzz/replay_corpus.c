/* A main() for a fuzz target without libFuzzer: runs the empty input and every file of the folders
 * named on the command line, in name order. A folder that does not exist counts as empty. */
#include "tests/fuzz/fuzz_target.h"

#include <glib.h>

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

/* The paths of the files in folder, sorted; an empty array where there is no such folder. */
static GPtrArray *list_folder(const char *folder)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
    g_ptr_array_sort(paths, compare_names);
    return paths;
}

static gboolean replay_file(const char *path)
{
    g_autofree char *data = NULL;
    g_autofree uint8_t *exact = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;

    if (!g_file_get_contents(path, &data, &size, &error)) {
        g_printerr("%s\n", error->message);
        return FALSE;
    }
    /* GLib adds a terminator that fuzzed input has not; a copy of the right size lets the address
     * sanitizer see a parser that reads beyond its end. */
    exact = g_malloc(MAX(size, 1));
    memcpy(exact, data, size);
    g_print("%s\n", path);
    LLVMFuzzerTestOneInput(exact, size);
    return TRUE;
}

int main(int argc, char **argv)
{
    guint count = 0;

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        g_autoptr(GPtrArray) paths = list_folder(argv[i]);
        for (guint j = 0; j < paths->len; j++, count++)
            if (!replay_file(g_ptr_array_index(paths, j)))
                return 1;
    }
    g_print("%u inputs and the empty one\n", count);
    return 0;
}
