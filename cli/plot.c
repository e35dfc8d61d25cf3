/* eep plot: the pictures of a run folder, drawn by gnuplot. */
#include "cli/command.h"
#include "cli/data.h"
#include "cli/picture_data.h"
#include "core/json.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

static const char *const pictures[] = {"deployment", "latency", "latency_cdf", "rank_imbalance"};
static const char *const formats[] = {"png", "svg"};

/* Empties and removes the folder, which holds files only. */
static void remove_folder(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_unlink(file);
    }
    g_rmdir(path);
}

/* In a gnuplot string in single quotes. */
static char *quoted(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "'", -1);
    g_autofree char *doubled = g_strjoinv("''", parts);
    return g_strconcat("'", doubled, "'", NULL);
}

/* The script that draws every picture in every format: one gnuplot for all. */
static gboolean write_script(const char *scripts, const char *tables, const char *out,
                             const char *path, GError **error)
{
    g_autofree char *from = quoted(scripts), *data = quoted(tables), *to = quoted(out);
    g_autoptr(GString) script = g_string_new(NULL);

    g_string_append_printf(script, "scripts = %s\ndata = %s\nout = %s\n", from, data, to);
    g_string_append(script, "load data.'/run.gp'\n");
    for (guint i = 0; i < G_N_ELEMENTS(pictures); i++)
        for (guint k = 0; k < G_N_ELEMENTS(formats); k++)
            g_string_append_printf(script,
                                   "format = '%s'\nload scripts.'/style.gp'\n"
                                   "set output out.'/%s.%s'\nload scripts.'/%s.gp'\nset output\n",
                                   formats[k], pictures[i], formats[k], pictures[i]);
    return g_file_set_contents(path, script->str, -1, error);
}

static gboolean run_gnuplot(const char *script, GError **error)
{
    const char *arguments[] = {"gnuplot", "--default-settings", script, NULL};
    g_autofree char *messages = NULL;
    int status;
    GError *local = NULL;

    if (!g_spawn_sync(NULL, (char **)arguments, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &messages,
                      &status, &local)) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED,
                    "plot: gnuplot cannot be started: %s; install it (Debian: gnuplot-nox)",
                    local->message);
        g_error_free(local);
        return FALSE;
    }
    if (g_spawn_check_wait_status(status, &local))
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "plot: gnuplot: %s%s%s",
                local->message, *messages != '\0' ? ": " : "", g_strstrip(messages));
    g_error_free(local);
    return FALSE;
}

/* Draws from the tables in `tables`, a scratch folder, into `out`. */
static gboolean draw(const EepPictureData *data, const char *tables, const char *out,
                     GError **error)
{
    g_autofree char *scripts = eep_data_find("plots", error);
    g_autofree char *script = g_build_filename(tables, "draw.gp", NULL);

    if (scripts == NULL)
        return FALSE;
    if (g_mkdir_with_parents(out, 0777) != 0) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "%s: cannot be written: %s",
                    out, g_strerror(errno));
        return FALSE;
    }
    return eep_picture_data_write(data, tables, error) &&
           write_script(scripts, tables, out, script, error) && run_gnuplot(script, error);
}

static int report(const char *out, gboolean as_json)
{
    g_auto(EepText) text = {0};
    EepJson json;

    eep_json_init(&json, &text, EEP_JSON_PRETTY);
    if (as_json) {
        eep_json_begin_object(&json, NULL);
        eep_json_begin_array(&json, "pictures");
    }
    for (guint i = 0; i < G_N_ELEMENTS(pictures); i++)
        for (guint k = 0; k < G_N_ELEMENTS(formats); k++) {
            g_autofree char *file = g_strconcat(pictures[i], ".", formats[k], NULL);
            g_autofree char *path = g_build_filename(out, file, NULL);
            if (as_json) {
                eep_json_add_string(&json, NULL, path);
            } else {
                eep_text_add_string(&text, path);
                eep_text_add_char(&text, '\n');
            }
        }
    if (as_json) {
        eep_json_end_array(&json);
        eep_json_end_object(&json);
    }
    return eep_command_print(&text);
}

int eep_command_plot(int argc, char **argv)
{
    gboolean as_json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepPictureData) data = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 1, 1, &argc, &argv, &status))
        return status;
    const char *run = argv[1];
    if (!g_file_test(run, G_FILE_TEST_IS_DIR))
        return eep_command_fail(
            g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                        "%s: there is no such run folder: a folder that `eep run` wrote", run));
    if (!eep_picture_data_read(&data, run, &error))
        return eep_command_fail(error);
    g_autofree char *tables = g_dir_make_tmp("eep-plot-XXXXXX", &error);
    if (tables == NULL)
        return eep_command_fail(error);
    g_autofree char *out = g_build_filename(run, "plots", NULL);
    gboolean drawn = draw(&data, tables, out, &error);
    remove_folder(tables);
    return drawn ? report(out, as_json) : eep_command_fail(error);
}
