#include "scenarios/reference.h"

#include "core/suggest.h"
#include "scenarios/scenario.h"

#include <string.h>

static const char *const lists[][2] = {
    {"expect", "comparisons over the keys of summary.json, \"KEY OP VALUE\" with <, <=, >, >=, == "
               "or !=; a missed one is exit 3"},
    {"deployment.pools", "several pools: a map NAME: {the keys of deployment}"},
    {"deployment.defaults", "keys of deployment that all pools of deployment.pools share"},
};

static char *full_key(const EepScenarioSection *section, const EepOption *option)
{
    return *section->key == '\0' ? g_strdup(option->key)
                                 : g_strconcat(section->key, ".", option->key, NULL);
}

static char *default_text(const EepOption *option)
{
    if (option->fallback != NULL)
        return g_strdup(option->fallback);
    return g_strdup(eep_option_is_required(option) ? "required" : "unset");
}

/* The key of the single-pool form, and without list indexes: "events.0.at" is "events[].at". */
static char *canonical_key(const char *key)
{
    GString *plain = g_string_new(NULL);
    if (g_str_has_prefix(key, "deployment.pools.") ||
        g_str_has_prefix(key, "deployment.defaults.")) {
        gboolean named = key[strlen("deployment.")] == 'p';
        const char *rest = strchr(key + strlen("deployment."), '.') + 1;
        const char *dot = named ? strchr(rest, '.') : rest - 1;
        if (dot != NULL)
            g_string_append_printf(plain, "deployment%s", dot);
        else
            g_string_append(plain, "deployment.pools");
    } else {
        g_string_append(plain, key);
    }
    static const char *const list_keys[] = {"events", "traffic.synthetic.piecewise"};
    for (guint i = 0; i < G_N_ELEMENTS(list_keys); i++) {
        gsize length = strlen(list_keys[i]);
        if (strncmp(plain->str, list_keys[i], length) != 0)
            continue;
        gsize end = length;
        while (plain->str[end] == '[' || plain->str[end] == ']' ||
               g_ascii_isdigit(plain->str[end]) ||
               (plain->str[end] == '.' && g_ascii_isdigit(plain->str[end + 1])))
            end++;
        if (plain->str[end] == '\0' || plain->str[end] == '.') {
            g_string_erase(plain, (gssize)length, (gssize)(end - length));
            g_string_insert(plain, (gssize)length, "[]");
        }
    }
    return g_string_free(plain, FALSE);
}

/* The key itself, one below it, one that ends in it, or one below a section that ends in it. */
static gboolean matches(const char *full, const char *key)
{
    g_autofree char *inside = g_strconcat(".", key, ".", NULL);
    gsize length = strlen(full), tail = strlen(key);
    if (strcmp(full, key) == 0 || (strncmp(full, key, tail) == 0 && full[tail] == '.'))
        return TRUE;
    if (strstr(full, inside) != NULL)
        return TRUE;
    return length > tail && strcmp(full + length - tail, key) == 0 &&
           full[length - tail - 1] == '.';
}

static void explain_option(GString *out, const EepScenarioSection *section, const EepOption *option)
{
    g_autofree char *full = full_key(section, option);
    g_autofree char *allowed = eep_option_allowed(option);
    g_autofree char *fallback = default_text(option);
    g_string_append_printf(out, "%s\n    %s\n    accepts %s; default %s%s%s\n", full, option->help,
                           allowed, fallback, option->flag != NULL ? "; vLLM " : "",
                           option->flag != NULL ? option->flag : "");
}

static gint compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **eep_scenario_keys(void)
{
    GPtrArray *keys = g_ptr_array_new();
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++)
        for (guint i = 0; i < section->table->n_options; i++)
            g_ptr_array_add(keys, full_key(section, &section->table->options[i]));
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_add(keys, g_strdup(lists[i][0]));
    g_ptr_array_sort(keys, compare_keys);
    g_ptr_array_add(keys, NULL);
    return (char **)g_ptr_array_free(keys, FALSE);
}

/* The nearest among full keys and, for short ones, their last parts. */
static char *nearest_key(const char *key)
{
    g_auto(GStrv) keys = eep_scenario_keys();
    const char *nearest = eep_suggest_nearest(key, (const char *const *)keys);
    if (nearest != NULL || strchr(key, '.') != NULL)
        return g_strdup(nearest);
    GPtrArray *tails = g_ptr_array_new();
    for (char **full = keys; *full != NULL; full++) {
        const char *dot = strrchr(*full, '.');
        g_ptr_array_add(tails, dot != NULL ? (gpointer)(dot + 1) : *full);
    }
    g_ptr_array_add(tails, NULL);
    char *found = g_strdup(eep_suggest_nearest(key, (const char *const *)tails->pdata));
    g_ptr_array_unref(tails);
    return found;
}

char *eep_scenario_explain(const char *key, GError **error)
{
    g_autofree char *plain = canonical_key(key);
    g_autoptr(GString) out = g_string_new(NULL);
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++) {
        if (*plain != '\0' && strcmp(section->key, plain) == 0)
            g_string_append_printf(out, "%s: %s\n", section->key, section->help);
        for (guint i = 0; i < section->table->n_options; i++) {
            g_autofree char *full = full_key(section, &section->table->options[i]);
            if (matches(full, plain))
                explain_option(out, section, &section->table->options[i]);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        if (matches(lists[i][0], plain))
            g_string_append_printf(out, "%s\n    %s\n", lists[i][0], lists[i][1]);
    if (out->len > 0)
        return g_strdup(out->str);
    g_autofree char *nearest = nearest_key(plain);
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_UNKNOWN,
                "there is no key \"%s\": a section or a key of docs/scenario.md%s%s", key,
                nearest != NULL ? "; try " : "", nearest != NULL ? nearest : "");
    return NULL;
}

/* A cell of a table: "|" would end it. */
static char *cell(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "|", -1);
    return g_strjoinv("\\|", parts);
}

char *eep_scenario_reference(void)
{
    GString *out = g_string_new(
        "# Scenario files\n\nGenerated from the tables that the loader reads with; do not edit. "
        "`eep explain KEY` prints the same.\n\n"
        "Times need a unit (ns us ms s min h d), so do sizes (B kB MB GB TB KiB MiB GiB TiB), "
        "bandwidths (the same per s, and Gb/s for bits) and rates (/s /min /h); case matters. "
        "Truth values are true and false. A path is relative to its file, in `--set` to the "
        "current folder. `--set KEY=VALUE` takes any key below, list elements as `events[0].at`, "
        "and `null` to remove one.\n");
    for (const EepScenarioSection *section = eep_scenario_sections; section->table != NULL;
         section++) {
        g_string_append_printf(out,
                               "\n## %s\n\n%s\n\n| key | accepts | default | vLLM | meaning |\n"
                               "|-|-|-|-|-|\n",
                               *section->key != '\0' ? section->key : "top level", section->help);
        for (guint i = 0; i < section->table->n_options; i++) {
            const EepOption *option = &section->table->options[i];
            g_autofree char *allowed = eep_option_allowed(option);
            g_autofree char *accepts = cell(allowed);
            g_autofree char *fallback = default_text(option);
            g_autofree char *help = cell(option->help);
            g_string_append_printf(out, "| `%s` | %s | %s | %s | %s |\n", option->key, accepts,
                                   fallback, option->flag != NULL ? option->flag : "", help);
        }
    }
    g_string_append(out, "\n## Others\n\n| key | meaning |\n|-|-|\n");
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        g_string_append_printf(out, "| `%s` | %s |\n", lists[i][0], lists[i][1]);
    return g_string_free(out, FALSE);
}
