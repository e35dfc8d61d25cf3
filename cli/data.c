#include "cli/data.h"

#include "cli/command.h"
#include "core/suggest.h"

#include <string.h>

static gboolean is_folder(const char *path)
{
    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

/* <prefix>/share/eep for the running <prefix>/bin/eep; links to the program are followed. */
static char *folder_beside_program(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    if (program == NULL)
        return NULL;
    g_autofree char *bin = g_path_get_dirname(program);
    g_autofree char *prefix = g_path_get_dirname(bin);
    return g_build_filename(prefix, "share", "eep", NULL);
}

static const char *const *data_folders(void)
{
    static const char *folders[3];

    if (folders[0] != NULL)
        return folders;
    guint n = 0;
    const char *environment = g_getenv("EEP_DATA_DIR");
    if (environment != NULL && *environment != '\0')
        folders[n++] = g_strdup(environment);
    char *beside = folder_beside_program();
    const char *candidates[] = {beside != NULL ? beside : "", EEP_SOURCE_DATA_DIR,
                                EEP_INSTALL_DATA_DIR};
    for (guint i = 0; i < G_N_ELEMENTS(candidates); i++) {
        g_autofree char *scenarios = g_build_filename(candidates[i], "scenarios", NULL);
        if (is_folder(scenarios)) {
            folders[n++] = g_strdup(candidates[i]);
            break;
        }
    }
    g_free(beside);
    return folders;
}

gboolean eep_data_check(GError **error)
{
    const char *environment = g_getenv("EEP_DATA_DIR");

    if (environment == NULL || *environment == '\0' || is_folder(environment))
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                "EEP_DATA_DIR: %s is no folder: a folder with scenarios and plots", environment);
    return FALSE;
}

const char *const *eep_data_scenario_folders(void)
{
    static const char *folders[3];
    const char *const *data = data_folders();

    for (guint i = 0; folders[0] == NULL && data[i] != NULL; i++)
        for (guint k = i; data[k] != NULL; k++)
            folders[k] = g_build_filename(data[k], "scenarios", NULL);
    return folders;
}

char *eep_data_find(const char *name, GError **error)
{
    const char *const *data = data_folders();

    for (guint i = 0; data[i] != NULL; i++) {
        char *path = g_build_filename(data[i], name, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return path;
        g_free(path);
    }
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED,
                "%s of this program is not installed: set EEP_DATA_DIR to the folder that holds it",
                name);
    return NULL;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **eep_data_list_scenarios(void)
{
    const char *const *folders = eep_data_scenario_folders();
    GPtrArray *names = g_ptr_array_new();

    for (guint i = 0; folders[i] != NULL; i++) {
        g_autoptr(GDir) folder = g_dir_open(folders[i], 0, NULL);
        const char *file;
        while (folder != NULL && (file = g_dir_read_name(folder)) != NULL) {
            if (!g_str_has_suffix(file, ".yaml"))
                continue;
            g_autofree char *name = g_strndup(file, strlen(file) - strlen(".yaml"));
            if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                g_ptr_array_add(names, g_steal_pointer(&name));
        }
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

/* The file of the bundled scenario, or NULL. */
static char *bundled_path(const char *name)
{
    g_autofree char *plain = g_strdelimit(g_strdup(name), "_", '-');
    const char *const *folders = eep_data_scenario_folders();
    g_autofree char *file = g_strconcat(plain, ".yaml", NULL);

    for (guint i = 0; strchr(name, '/') == NULL && folders[i] != NULL; i++) {
        char *path = g_build_filename(folders[i], file, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return path;
        g_free(path);
    }
    return NULL;
}

/* ": did you mean X; try `eep list scenarios`" for a name that is no bundled scenario. */
static char *propose(const char *name)
{
    g_autofree char *stem = g_path_get_basename(name);
    if (g_str_has_suffix(stem, ".yaml"))
        stem[strlen(stem) - strlen(".yaml")] = '\0';
    g_auto(GStrv) names = eep_data_list_scenarios();
    const char *nearest = eep_suggest_nearest(stem, (const char *const *)names);

    if (nearest == NULL)
        return g_strdup("try `eep list scenarios`");
    return g_strdup_printf("did you mean the bundled %s; try `eep list scenarios`", nearest);
}

char *eep_data_find_bundled(const char *name, GError **error)
{
    char *path = bundled_path(name);

    if (path != NULL)
        return path;
    g_autofree char *proposal = propose(name);
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                "there is no bundled scenario %s: %s", name, proposal);
    return NULL;
}

char *eep_data_find_scenario(const char *argument, GError **error)
{
    /* A file or folder of that name must not hide the bundled scenario. */
    char *bundled = g_str_has_suffix(argument, ".yaml") ? NULL : bundled_path(argument);

    if (bundled != NULL)
        return bundled;
    if (is_folder(argument)) {
        g_autofree char *inside = g_build_filename(argument, "scenario.yaml", NULL);
        gboolean is_run = g_file_test(inside, G_FILE_TEST_EXISTS);
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s is a folder: a scenario file or a bundled scenario's name%s%s", argument,
                    is_run ? "; try " : "", is_run ? inside : "");
        return NULL;
    }
    if (!g_file_test(argument, G_FILE_TEST_EXISTS)) {
        g_autofree char *proposal = propose(argument);
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s: there is no such file and no such bundled scenario: %s", argument,
                    proposal);
        return NULL;
    }
    return g_strdup(argument);
}
