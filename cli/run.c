/* eep run: reads and checks the scenario. */
#include "cli/command.h"
#include "cli/data.h"
#include "scenarios/scenario.h"

int eep_command_run(int argc, char **argv)
{
    g_auto(GStrv) sets = NULL;
    const GOptionEntry entries[] = {
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &sets, "override one key", "KEY=VALUE"},
        G_OPTION_ENTRY_NULL};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 1, 1, &argc, &argv, &status))
        return status;
    g_autofree char *path = eep_data_find_scenario(argv[1], &error);
    g_autoptr(EepScenario) scenario =
        path == NULL ? NULL
                     : eep_scenario_load(path, eep_data_scenario_folders(),
                                         (const char *const *)sets, -1, &error);
    return scenario != NULL ? EEP_EXIT_DONE : eep_command_fail(error);
}
