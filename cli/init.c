/* eep init: a copy of a bundled scenario to begin with. */
#include "cli/command.h"
#include "cli/data.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Creates the file, which must not exist; a partial one does not stay. */
static gboolean write_new(const char *path, const char *contents, gsize length, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        if (errno == EEXIST)
            g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                        "%s is there already and is not replaced: move it away or copy by hand",
                        path);
        else
            g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED,
                        "%s: cannot be written: %s", path, g_strerror(errno));
        return FALSE;
    }
    gboolean written = write(fd, contents, length) == (gssize)length;
    if (close(fd) == 0 && written)
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "%s: cannot be written: %s",
                path, g_strerror(errno));
    unlink(path);
    return FALSE;
}

static int report(const char *scenario, const char *file, gboolean as_json)
{
    g_auto(EepText) text = {0};

    if (as_json) {
        EepJson json;
        eep_json_init(&json, &text, EEP_JSON_PRETTY);
        eep_json_begin_object(&json, NULL);
        eep_json_add_string(&json, "scenario", scenario);
        eep_json_add_string(&json, "file", file);
        eep_json_end_object(&json);
    } else {
        g_autofree char *lines =
            g_strdup_printf("Wrote %s, a copy of the bundled scenario %s.\n\n"
                            "Next      eep check %s\n"
                            "          eep run %s\n"
                            "          eep explain deployment     (what each key means)\n",
                            file, scenario, file, file);
        eep_text_add_string(&text, lines);
    }
    return eep_command_print(&text);
}

/* The copy names a bundled trace by its place: relative paths are relative to the file. */
static char *adapt(const char *contents, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *whole = g_canonicalize_filename(folder, NULL);
    g_autofree char *there = g_strdup_printf("path: %s/traces/", whole);
    GString *copy = g_string_new(contents);

    g_string_replace(copy, "path: traces/", there, 0);
    return g_string_free(copy, FALSE);
}

int eep_command_init(int argc, char **argv)
{
    gboolean as_json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 0, 1, &argc, &argv, &status))
        return status;
    g_autofree char *path = eep_data_find_bundled(argc > 1 ? argv[1] : "quickstart", &error);
    if (path == NULL)
        return eep_command_fail(error);
    g_autofree char *contents = NULL;
    if (!g_file_get_contents(path, &contents, NULL, &error))
        return eep_command_fail(error);
    g_autofree char *copy = adapt(contents, path);
    g_autofree char *file = g_path_get_basename(path);
    if (!write_new(file, copy, strlen(copy), &error))
        return eep_command_fail(error);
    g_autofree char *scenario = g_strndup(file, strlen(file) - strlen(".yaml"));
    return report(scenario, file, as_json);
}
