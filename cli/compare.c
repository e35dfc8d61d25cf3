/* eep compare: puts runs side by side. */
#include "cli/command.h"
#include "cli/compare_runs.h"
#include "cli/parity_picture.h"

static gboolean draw(const EepCompareRuns *compare, const char *folder, GError **error)
{
    EepParity *parity = eep_compare_runs_parity(compare);

    if (folder == NULL)
        return TRUE;
    if (parity != NULL)
        return eep_parity_picture_draw(parity, folder, error);
    g_set_error_literal(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                        "--plot draws what a run on workers measured over what a simulation "
                        "predicted: give one of each");
    return FALSE;
}

int eep_command_compare(int argc, char **argv)
{
    gboolean force = FALSE, json = FALSE;
    g_autofree char *plot = NULL;
    const GOptionEntry entries[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force,
         "compare runs of different traffic or scenarios too", NULL},
        {"plot", 0, 0, G_OPTION_ARG_FILENAME, &plot, "draw parity.png and .svg there", "FOLDER"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "write JSON", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 2, G_MAXINT, &argc, &argv, &status))
        return status;
    g_autoptr(EepCompareRuns) compare =
        eep_compare_runs_open((const char *const *)argv + 1, (guint)argc - 1, force, &error);
    if (compare == NULL || !draw(compare, plot, &error))
        return eep_command_fail(error);
    eep_text_init(&text);
    if (json)
        eep_compare_runs_add_json(compare, &text);
    else
        eep_compare_runs_add_table(compare, &text);
    return eep_command_print(&text);
}
