#include "cli/catalogue.h"

#include "cli/command.h"
#include "cli/data.h"
#include "core/engine/pool_options.h"
#include "core/eplb/policy.h"
#include "core/hardware.h"
#include "core/model.h"
#include "core/suggest.h"
#include "scenarios/profile.h"
#include "sim/all2all.h"

#include <string.h>

#define HELP_WIDTH 160

static void free_item(gpointer data)
{
    EepCatalogueItem *item = (EepCatalogueItem *)data;

    g_free(item->name);
    g_free(item->help);
    g_free(item);
}

static GPtrArray *new_items(void)
{
    return g_ptr_array_new_with_free_func(free_item);
}

static void add(GPtrArray *items, const char *name, const char *kind, const char *help)
{
    EepCatalogueItem *item = g_new(EepCatalogueItem, 1);

    *item = (EepCatalogueItem){g_strdup(name), kind, g_strdup(help)};
    g_ptr_array_add(items, item);
}

/* A profile that cannot be read is listed with the reason: one bad file must not hide the others.
 */
static GPtrArray *list_profiles(const EepProfileKind *kind, gpointer base)
{
    const char *const *folders = eep_data_scenario_folders();
    g_auto(GStrv) names = eep_profile_list(kind, folders);
    GPtrArray *items = new_items();

    for (guint i = 0; names[i] != NULL; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(EepProfile) profile = eep_profile_load(kind, names[i], folders, base, &error);
        g_autofree char *help = NULL;
        if (profile == NULL) {
            g_auto(GStrv) lines = g_strsplit(error->message, "\n", 2);
            help = g_strconcat("cannot be read: ", lines[0], NULL);
        } else if (strcmp(profile->name, names[i]) != 0) {
            help = g_strconcat("another name of ", profile->name, NULL);
        } else {
            help = g_strdup(profile->description != NULL ? profile->description : "");
        }
        add(items, names[i], NULL, help);
        if (profile != NULL)
            eep_options_clear(kind->table, base);
    }
    return items;
}

static GPtrArray *list_models(void)
{
    EepModel model;
    return list_profiles(&eep_profile_model, &model);
}

static GPtrArray *list_hardware(void)
{
    EepHardware hardware;
    return list_profiles(&eep_profile_hardware, &hardware);
}

static GPtrArray *list_generations(void)
{
    GPtrArray *items = new_items();
    guint n;
    const EepGeneration *generations = eep_generation_all(&n);

    for (guint i = 0; i < n; i++)
        add(items, generations[i].name, NULL, generations[i].help);
    return items;
}

static GPtrArray *list_recoveries(void)
{
    GPtrArray *items = new_items();

    for (gint i = 0; i < EEP_RECOVERY_COUNT; i++)
        add(items, eep_recovery_names[i], NULL, eep_catalogue_recovery_help((EepRecovery)i));
    return items;
}

const char *eep_catalogue_router_help(const char *word)
{
    static const char *const helps[][2] = {
        {"waiting4_running", "least of 4 x waiting + running requests (vLLM until July 2026)"},
        {"in_flight_kv", "fewest requests in flight, more for those waiting at a KV cache over "
                         "half full (vLLM since)"},
        {"round_robin", "each engine in turn"},
        {"power_of_two", "the less loaded of two engines drawn at random"},
        {"prefix_affinity", "the engine that served the prompt's prefix before"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(helps); i++)
        if (strcmp(helps[i][0], word) == 0)
            return helps[i][1];
    return NULL;
}

static GPtrArray *list_policies(void)
{
    GPtrArray *items = new_items();
    guint n;
    const EepEplbPolicy *const *policies = eep_eplb_policy_list(&n);
    const EepOption *router = eep_options_find(&eep_pool_options, "router.policy");
    g_auto(GStrv) words = g_strsplit(router->words, "|", -1);

    for (guint i = 0; i < n; i++)
        add(items, policies[i]->name, "eplb", policies[i]->help);
    for (guint i = 0; words[i] != NULL; i++) {
        const char *help = eep_catalogue_router_help(words[i]);
        add(items, words[i], "router", help != NULL ? help : "");
    }
    return items;
}

static GPtrArray *list_all2all(void)
{
    static const char *const kinds[] = {
        [EEP_ALL2ALL_GATHER] = "collectives, every rank gets every token",
        [EEP_ALL2ALL_BROADCAST] = "each rank broadcasts in turn, results are all-reduced",
        [EEP_ALL2ALL_SCATTER] = "tokens go to their experts' ranks only",
    };
    GPtrArray *items = new_items();

    for (gint i = 0; i < EEP_ALL2ALL_COUNT; i++) {
        const EepAll2all *backend = eep_all2all(i);
        g_autofree char *limit = backend->max_ranks > 0
                                     ? g_strdup_printf(", at most %u ranks", backend->max_ranks)
                                     : g_strdup("");
        g_autofree char *help = g_strdup_printf("%s%s%s", kinds[backend->kind],
                                                backend->is_elastic ? "" : ", not elastic", limit);
        add(items, backend->name, NULL, help);
    }
    return items;
}

/* The first sentence of the comment that a scenario opens with. */
static char *scenario_help(const char *name)
{
    g_autofree char *path = eep_data_find_bundled(name, NULL), *contents = NULL;
    GString *help = g_string_new(NULL);

    if (path == NULL || !g_file_get_contents(path, &contents, NULL, NULL))
        return g_string_free(help, FALSE);
    g_auto(GStrv) lines = g_strsplit(contents, "\n", -1);
    for (guint i = 0; lines[i] != NULL && lines[i][0] == '#' && help->len < HELP_WIDTH; i++) {
        const char *line = g_strstrip(lines[i] + 1);
        if (*line == '\0')
            break;
        g_string_append_printf(help, "%s%s", help->len > 0 ? " " : "", line);
        const char *end = strstr(help->str, ". ");
        if (end != NULL) {
            g_string_truncate(help, (gsize)(end - help->str));
            break;
        }
    }
    if (help->len > 0 && help->str[help->len - 1] == '.')
        g_string_truncate(help, help->len - 1);
    return g_string_free(help, FALSE);
}

static GPtrArray *list_scenarios(void)
{
    g_auto(GStrv) names = eep_data_list_scenarios();
    GPtrArray *items = new_items();

    for (guint i = 0; names[i] != NULL; i++) {
        g_autofree char *help = scenario_help(names[i]);
        add(items, names[i], NULL, help);
    }
    return items;
}

static const EepCatalogue catalogues[] = {
    {"models", "model", TRUE, list_models, eep_show_model},
    {"hardware", "hardware profile", TRUE, list_hardware, eep_show_hardware},
    {"generations", "generation", FALSE, list_generations, eep_show_generation},
    {"recoveries", "recovery", FALSE, list_recoveries, eep_show_recovery},
    {"policies", "policy", FALSE, list_policies, eep_show_policy},
    {"all2all-backends", "all2all backend", FALSE, list_all2all, eep_show_all2all},
    {"scenarios", "bundled scenario", FALSE, list_scenarios, eep_show_scenario},
};

/* "scenario" for scenarios, "policy" for policies: who shows one thing calls it by its singular. */
static gboolean is_one_of(const EepCatalogue *catalogue, const char *name)
{
    g_autofree char *plural = g_str_has_suffix(name, "y")
                                  ? g_strdup_printf("%.*sies", (int)strlen(name) - 1, name)
                                  : g_strconcat(name, "s", NULL);
    return strcmp(plural, catalogue->name) == 0;
}

const EepCatalogue *eep_catalogue_find(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(catalogues) + 1] = {NULL};

    for (guint i = 0; i < G_N_ELEMENTS(catalogues); i++) {
        names[i] = catalogues[i].name;
        if (strcmp(name, names[i]) == 0 || is_one_of(&catalogues[i], name))
            return &catalogues[i];
    }
    const char *nearest = eep_suggest_nearest(name, names);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "there are no \"%s\": %s%s%s",
                name, all, nearest != NULL ? "; did you mean " : "",
                nearest != NULL ? nearest : "");
    return NULL;
}

char *eep_catalogue_find_item(const EepCatalogue *catalogue, const char *name, GError **error)
{
    g_autoptr(GPtrArray) items = catalogue->list();
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autofree char *wanted = g_strdelimit(g_strdup(name), "_", '-');

    if (catalogue->has_files && g_str_has_suffix(name, ".yaml"))
        return g_strdup(name);
    for (guint i = 0; i < items->len; i++) {
        const EepCatalogueItem *item = (const EepCatalogueItem *)items->pdata[i];
        g_autofree char *plain = g_strdelimit(g_strdup(item->name), "_", '-');
        if (strcmp(plain, wanted) == 0)
            return g_strdup(item->name);
        g_ptr_array_add(names, item->name);
    }
    g_ptr_array_add(names, NULL);
    const char *nearest = eep_suggest_nearest(name, (const char *const *)names->pdata);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                "there is no %s \"%s\": %s%s%s%s", catalogue->what, name, all,
                catalogue->has_files ? ", or a file NAME.yaml" : "",
                nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
    return NULL;
}
