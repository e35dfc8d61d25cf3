/* eep explain: what the keys of a scenario mean, from the tables that the loader reads. */
#include "cli/command.h"
#include "core/json.h"
#include "core/options.h"
#include "scenarios/reference.h"
#include "scenarios/scenario.h"

#include <string.h>

static char *full_key(const EepScenarioSection *section, const EepOption *option)
{
    return *section->key != '\0' ? g_strconcat(section->key, ".", option->key, NULL)
                                 : g_strdup(option->key);
}

/* All keys, a group a section: key, default, help. */
static void add_all(EepText *text)
{
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++) {
        g_autofree char *head =
            g_strdup_printf("%s%s%s%s\n", section == eep_scenario_sections ? "" : "\n",
                            section->key, *section->key != '\0' ? ": " : "", section->help);
        eep_text_add_string(text, head);
        for (guint i = 0; i < section->table->n_options; i++) {
            const EepOption *option = &section->table->options[i];
            g_autofree char *key = full_key(section, option);
            g_autofree char *line =
                g_strdup_printf("  %-52s %-12s %s\n", key,
                                option->fallback != NULL ? option->fallback : "-", option->help);
            eep_text_add_string(text, line);
        }
    }
    eep_text_add_string(text, "\n`eep explain KEY` says more: type, bounds, vLLM's flag.\n");
}

/* As eep_scenario_explain() has it. */
static gboolean is_meant(const char *key, const char *wanted)
{
    g_autofree char *above = g_strconcat(wanted, ".", NULL);
    g_autofree char *below = g_strconcat(".", wanted, NULL);
    g_autofree char *inside = g_strconcat(".", above, NULL);

    return strcmp(key, wanted) == 0 || g_str_has_prefix(key, above) ||
           g_str_has_suffix(key, below) || strstr(key, inside) != NULL;
}

/* A pool's key as the deployment's, which it is a copy of. New string. */
static char *plain_key(const char *key)
{
    static const char pools[] = "deployment.pools.";
    const char *rest = g_str_has_prefix(key, pools) ? strchr(key + strlen(pools), '.') : NULL;

    return rest != NULL ? g_strconcat("deployment", rest, NULL) : g_strdup(key);
}

static void add_json(EepText *text, const char *asked)
{
    g_autofree char *wanted = plain_key(asked);
    static const char *const types[] = {
        [EEP_OPTION_BOOL] = "boolean",        [EEP_OPTION_INT] = "integer",
        [EEP_OPTION_DOUBLE] = "number",       [EEP_OPTION_STRING] = "string",
        [EEP_OPTION_PATH] = "path",           [EEP_OPTION_WORD] = "word",
        [EEP_OPTION_TIME] = "time",           [EEP_OPTION_BYTES] = "bytes",
        [EEP_OPTION_BYTES_PER_S] = "bytes/s", [EEP_OPTION_RATE] = "rate",
    };
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_array(&json, NULL);
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++)
        for (guint i = 0; i < section->table->n_options; i++) {
            const EepOption *option = &section->table->options[i];
            g_autofree char *key = full_key(section, option);
            if (!is_meant(key, wanted))
                continue;
            g_autofree char *allowed = eep_option_allowed(option);
            eep_json_begin_object(&json, NULL);
            eep_json_add_string(&json, "key", key);
            eep_json_add_string(&json, "type", types[option->type]);
            eep_json_add_string(&json, "default", option->fallback);
            eep_json_add_string(&json, "allowed", allowed);
            eep_json_add_string(&json, "flag", option->flag);
            eep_json_add_string(&json, "help", option->help);
            eep_json_end_object(&json);
        }
    eep_json_end_array(&json);
}

int eep_command_explain(int argc, char **argv)
{
    gboolean as_json = FALSE, as_markdown = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        {"markdown", 0, 0, G_OPTION_ARG_NONE, &as_markdown, "print docs/scenario.md", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 0, 1, &argc, &argv, &status))
        return status;
    if (as_markdown && (as_json || argc > 1))
        return eep_command_fail(g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                                            "explain: --markdown prints all keys: without KEY and "
                                            "--json"));
    if (argc > 1) {
        /* Also with --json: it knows which keys there are and proposes the nearest. */
        g_autofree char *explained = eep_scenario_explain(argv[1], &error);
        if (explained == NULL)
            return eep_command_fail(error);
        if (as_json)
            add_json(&text, argv[1]);
        else
            eep_text_add_string(&text, explained);
    } else if (as_json || as_markdown) {
        g_autofree char *document = as_json ? eep_scenario_schema() : eep_scenario_reference();
        eep_text_add_string(&text, document);
    } else {
        add_all(&text);
    }
    return eep_command_print(&text);
}
