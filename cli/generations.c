/* eep generations: what a resize is with each generation, beside each other. */
#include "cli/command.h"
#include "cli/generation_tables.h"
#include "core/suggest.h"

#include <string.h>

typedef struct {
    char *steps, *traffic, *backends, *generations;
    gboolean sensitivity, brief, json;
} Options;

/* TRUE at the index of each word of `list` in `words`; all where the list is NULL. */
static gboolean choose(const char *flag, const char *list, const char *const *words, guint n,
                       gboolean *ret_has, GError **error)
{
    if (list == NULL) {
        for (guint i = 0; i < n; i++)
            ret_has[i] = TRUE;
        return TRUE;
    }
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);
    for (char **part = parts; *part != NULL; part++) {
        guint at = 0;
        while (at < n && strcmp(words[at], *part) != 0)
            at++;
        if (at < n) {
            ret_has[at] = TRUE;
            continue;
        }
        const char *nearest = eep_suggest_nearest(*part, words);
        g_autofree char *all = g_strjoinv(", ", (char **)words);
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s: \"%s\" is unknown: %s%s%s", flag, *part, all,
                    nearest != NULL ? "; try " : "", nearest != NULL ? nearest : "");
        return FALSE;
    }
    if (parts[0] == NULL)
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s: the list is empty: words with commas between them", flag);
    return parts[0] != NULL;
}

static gboolean choose_generations(const char *list, EepGenerationChoice *choice, GError **error)
{
    guint n, n_chosen = 0;
    const EepGeneration *all = eep_generation_all(&n);
    g_autofree const char **names = g_new0(const char *, n + 1);
    g_autofree gboolean *has = g_new0(gboolean, n);

    for (guint i = 0; i < n; i++)
        names[i] = all[i].name;
    choice->generations = g_new0(const EepGeneration *, n + 1);
    if (!choose("--generation", list, names, n, has, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (has[i])
            choice->generations[n_chosen++] = &all[i];
    return TRUE;
}

static gboolean choose_all(const Options *options, EepGenerationChoice *choice, GError **error)
{
    const char *steps[EEP_GENERATION_N_STEPS + 1] = {NULL},
                                               *backends[EEP_GENERATION_N_BACKENDS + 1] = {NULL},
                                               *traffics[EEP_GENERATION_N_TRAFFICS + 1] = {NULL};
    const char *traffic = options->traffic == NULL && options->brief
                              ? eep_generation_traffics[EEP_GENERATION_HEAVY]
                              : options->traffic;

    for (guint i = 0; i < EEP_GENERATION_N_STEPS; i++)
        steps[i] = eep_generation_steps[i].name;
    for (guint i = 0; i < EEP_GENERATION_N_BACKENDS; i++)
        backends[i] = eep_all2all((gint)eep_generation_backends[i])->name;
    for (guint i = 0; i < EEP_GENERATION_N_TRAFFICS; i++)
        traffics[i] = eep_generation_traffics[i];
    choice->with_sensitivity = options->sensitivity;
    choice->has_published = options->brief && options->traffic == NULL && !options->json;
    return choose("--steps", options->steps, steps, EEP_GENERATION_N_STEPS, choice->has_step,
                  error) &&
           choose("--traffic", traffic, traffics, EEP_GENERATION_N_TRAFFICS, choice->has_traffic,
                  error) &&
           choose("--backend", options->backends, backends, EEP_GENERATION_N_BACKENDS,
                  choice->has_backend, error) &&
           choose_generations(options->generations, choice, error);
}

static int print(const Options *options, const EepGenerationGrid *grid)
{
    g_auto(EepScreenText) screen = {0};
    EepJson json;

    eep_screen_init(&screen);
    if (options->json) {
        eep_json_init(&json, &screen.lines, EEP_JSON_PRETTY);
        eep_generation_tables_add_json(&json, grid);
    } else if (options->brief) {
        eep_generation_tables_add_brief(&screen, grid);
    } else {
        eep_generation_tables_add(&screen, grid);
    }
    return eep_command_print(&screen.lines);
}

static int compare_generations(const Options *options)
{
    EepGenerationChoice choice = {{FALSE}};
    GError *error = NULL;
    g_autoptr(EepGenerationGrid) grid = NULL;

    if (choose_all(options, &choice, &error))
        grid = eep_generation_grid_new(&choice, &error);
    if (grid != NULL && grid->cells->len == 0)
        error = g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                            "nothing to compare: none of the generations works with the backend: "
                            "see eep show generation NAME");
    if (error == NULL)
        eep_generation_grid_run(grid, &error);
    g_free(choice.generations);
    return error != NULL ? eep_command_fail(error) : print(options, grid);
}

int eep_command_generations(int argc, char **argv)
{
    Options options = {NULL};
    const GOptionEntry entries[] = {
        {"steps", 0, 0, G_OPTION_ARG_STRING, &options.steps, "sizes, for example 4-5,8-4", "LIST"},
        {"traffic", 0, 0, G_OPTION_ARG_STRING, &options.traffic, "of no, light, heavy", "LIST"},
        {"backend", 0, 0, G_OPTION_ARG_STRING, &options.backends,
         "of nixl_ep, allgather_reducescatter", "LIST"},
        {"generation", 0, 0, G_OPTION_ARG_STRING, &options.generations, "of eep list generations",
         "LIST"},
        {"sensitivity", 0, 0, G_OPTION_ARG_NONE, &options.sensitivity,
         "does the order survive each assumed constant halved and doubled", NULL},
        {"brief", 0, 0, G_OPTION_ARG_NONE, &options.brief,
         "downtime and total alone, with heavy traffic", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    int status;

    if (eep_command_parse(entries, 0, 0, &argc, &argv, &status))
        status = compare_generations(&options);
    g_free(options.steps);
    g_free(options.traffic);
    g_free(options.backends);
    g_free(options.generations);
    return status;
}
