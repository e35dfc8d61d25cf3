#include "cli/gnuplot.h"

#include "cli/command.h"
#include "cli/data.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

const char *const eep_gnuplot_formats[EEP_GNUPLOT_FORMATS] = {"png", "svg"};

char *eep_gnuplot_tables_new(GError **error)
{
    return g_dir_make_tmp("eep-plot-XXXXXX", error);
}

void eep_gnuplot_tables_free(char *tables)
{
    g_autofree char *path = tables;
    if (path == NULL)
        return;
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
                             const char *const *pictures, const char *const *names,
                             guint n_pictures, const char *path, GError **error)
{
    g_autofree char *from = quoted(scripts), *data = quoted(tables), *to = quoted(out);
    g_autoptr(GString) script = g_string_new(NULL);

    g_string_append_printf(script, "scripts = %s\ndata = %s\nout = %s\n", from, data, to);
    g_string_append(script, "load data.'/run.gp'\n");
    for (guint i = 0; i < n_pictures; i++)
        for (guint k = 0; k < EEP_GNUPLOT_FORMATS; k++)
            g_string_append_printf(script,
                                   "format = '%s'\npicture = '%s'\nload scripts.'/style.gp'\n"
                                   "set output out.'/%s.%s'\nload scripts.'/%s.gp'\nset output\n",
                                   eep_gnuplot_formats[k], names[i], names[i],
                                   eep_gnuplot_formats[k], pictures[i]);
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
                    "gnuplot cannot be started: %s; install it (Debian: gnuplot-nox)",
                    local->message);
        g_error_free(local);
        return FALSE;
    }
    if (g_spawn_check_wait_status(status, &local))
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "gnuplot: %s%s%s",
                local->message, *messages != '\0' ? ": " : "", g_strstrip(messages));
    g_error_free(local);
    return FALSE;
}

/* Single quotes, which gnuplot doubles inside; what enhanced text would read as markup and line
 * breaks are left out. */
void eep_gnuplot_add_string(EepText *text, const char *name, const char *value)
{
    eep_text_add_string(text, name);
    eep_text_add_string(text, " = '");
    for (; *value != '\0'; value++) {
        if (g_ascii_iscntrl(*value))
            continue;
        if (*value == '\'')
            eep_text_add_char(text, '\'');
        eep_text_add_char(text, *value);
    }
    eep_text_add_string(text, "'\n");
}

void eep_gnuplot_add_number(EepText *text, const char *name, double value)
{
    eep_text_add_string(text, name);
    eep_text_add_string(text, " = ");
    eep_text_add_double(text, value, 9);
    eep_text_add_char(text, '\n');
}

gboolean eep_gnuplot_add_table(const char *tables, const char *name, EepText *text, GError **error)
{
    g_autofree char *path = g_build_filename(tables, name, NULL);
    const char *string = eep_text_string(text);

    return g_file_set_contents(path, string, (gssize)text->length, error);
}

gboolean eep_gnuplot_draw(const char *tables, const char *out, const char *const *pictures,
                          const char *const *names, guint n_pictures, GError **error)
{
    if (names == NULL)
        names = pictures;

    g_autofree char *scripts = eep_data_find("plots", error);
    g_autofree char *script = g_build_filename(tables, "draw.gp", NULL);

    if (scripts == NULL)
        return FALSE;
    if (g_mkdir_with_parents(out, 0777) != 0) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "%s: cannot be written: %s",
                    out, g_strerror(errno));
        return FALSE;
    }
    return write_script(scripts, tables, out, pictures, names, n_pictures, script, error) &&
           run_gnuplot(script, error);
}
