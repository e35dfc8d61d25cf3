/* eep list: the names that are known. */
#include "cli/catalogue.h"
#include "cli/command.h"

#include <string.h>

static void add_json(EepText *text, const GPtrArray *items)
{
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_array(&json, NULL);
    for (guint i = 0; i < items->len; i++) {
        const EepCatalogueItem *item = (const EepCatalogueItem *)items->pdata[i];
        eep_json_begin_object(&json, NULL);
        eep_json_add_string(&json, "name", item->name);
        if (item->kind != NULL)
            eep_json_add_string(&json, "kind", item->kind);
        eep_json_add_string(&json, "help", item->help);
        eep_json_end_object(&json);
    }
    eep_json_end_array(&json);
}

static void add_lines(EepText *text, const GPtrArray *items)
{
    int width = 0;

    for (guint i = 0; i < items->len; i++)
        width = MAX(width, (int)strlen(((const EepCatalogueItem *)items->pdata[i])->name));
    for (guint i = 0; i < items->len; i++) {
        const EepCatalogueItem *item = (const EepCatalogueItem *)items->pdata[i];
        g_autofree char *kind =
            item->kind != NULL ? g_strdup_printf("%-8s", item->kind) : g_strdup("");
        g_autofree char *line = g_strdup_printf("%-*s  %s%s", width, item->name, kind, item->help);
        eep_text_add_string(text, g_strchomp(line));
        eep_text_add_char(text, '\n');
    }
}

int eep_command_list(int argc, char **argv)
{
    gboolean as_json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 1, 1, &argc, &argv, &status))
        return status;
    const EepCatalogue *catalogue = eep_catalogue_find(argv[1], &error);
    if (catalogue == NULL)
        return eep_command_fail(error);
    g_autoptr(GPtrArray) items = catalogue->list();
    if (as_json)
        add_json(&text, items);
    else
        add_lines(&text, items);
    return eep_command_print(&text);
}
