/* eep plot: the pictures of a run folder, drawn by gnuplot. */
#include "cli/command.h"
#include "cli/gnuplot.h"
#include "cli/picture_data.h"
#include "core/json.h"

static const char *const whole_run[] = {"deployment", "latency", "latency_cdf", "rank_imbalance",
                                        "balancedness"};

/* Scripts and the names of what they draw, side by side. */
typedef struct {
    GPtrArray *scripts, *names; /* borrowed strings */
} Pictures;

static void list_pictures(const EepPictureData *data, Pictures *ret_pictures)
{
    *ret_pictures = (Pictures){g_ptr_array_new(), g_ptr_array_new()};
    for (guint i = 0; i < G_N_ELEMENTS(whole_run); i++) {
        g_ptr_array_add(ret_pictures->scripts, (gpointer)whole_run[i]);
        g_ptr_array_add(ret_pictures->names, (gpointer)whole_run[i]);
    }
    for (guint i = 0; i < data->gantts->len; i++) {
        g_ptr_array_add(ret_pictures->scripts, (gpointer) "resize");
        g_ptr_array_add(ret_pictures->names,
                        g_array_index(data->gantts, EepPictureGantt, i).picture);
    }
}

static int report(const char *out, const GPtrArray *names, gboolean as_json)
{
    g_auto(EepText) text = {0};
    EepJson json;

    eep_json_init(&json, &text, EEP_JSON_PRETTY);
    if (as_json) {
        eep_json_begin_object(&json, NULL);
        eep_json_begin_array(&json, "pictures");
    }
    for (guint i = 0; i < names->len; i++)
        for (guint k = 0; k < EEP_GNUPLOT_FORMATS; k++) {
            g_autofree char *file =
                g_strconcat((const char *)names->pdata[i], ".", eep_gnuplot_formats[k], NULL);
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
    char *tables = eep_gnuplot_tables_new(&error);
    if (tables == NULL)
        return eep_command_fail(error);
    g_autofree char *out = g_build_filename(run, "plots", NULL);
    Pictures pictures;
    list_pictures(&data, &pictures);
    gboolean drawn =
        eep_picture_data_write(&data, tables, &error) &&
        eep_gnuplot_draw(tables, out, (const char *const *)pictures.scripts->pdata,
                         (const char *const *)pictures.names->pdata, pictures.names->len, &error);
    eep_gnuplot_tables_free(tables);
    status = drawn ? report(out, pictures.names, as_json) : eep_command_fail(error);
    g_ptr_array_free(pictures.scripts, TRUE);
    g_ptr_array_free(pictures.names, TRUE);
    return status;
}
