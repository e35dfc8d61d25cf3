/* eep compare: puts runs side by side. */
#include "cli/command.h"
#include "cli/compare_runs.h"

int eep_command_compare(int argc, char **argv)
{
    gboolean force = FALSE, json = FALSE;
    const GOptionEntry entries[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force, "compare runs of different traffic too", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "write JSON", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 2, G_MAXINT, &argc, &argv, &status))
        return status;
    g_autoptr(EepCompareRuns) compare =
        eep_compare_runs_open((const char *const *)argv + 1, (guint)argc - 1, force, &error);
    if (compare == NULL)
        return eep_command_fail(error);
    eep_text_init(&text);
    if (json)
        eep_compare_runs_add_json(compare, &text);
    else
        eep_compare_runs_add_table(compare, &text);
    return eep_command_print(&text);
}
