#include "cli/scenario_difference.h"

#include "scenarios/yaml.h"

#define SCENARIO "scenario.yaml"

static const char *const free_to_differ[] = {"gpu", "output"};

static char *show(const EepYaml *node)
{
    if (node == NULL)
        return g_strdup("nothing");
    if (node->kind != EEP_YAML_SCALAR)
        return g_strdup_printf("a %s of %u", node->kind == EEP_YAML_LIST ? "list" : "map",
                               node->items->len);
    return g_strdup(node->text);
}

static char *tell(const char *path, const EepYaml *a, const EepYaml *b)
{
    g_autofree char *there = show(a), *here = show(b);

    return g_strdup_printf("%s: %s and %s", path, there, here);
}

static char *difference(const char *path, const EepYaml *a, const EepYaml *b);

static char *difference_of_items(const char *path, const EepYaml *a, const EepYaml *b)
{
    char *found = NULL;

    for (guint i = 0; i < a->items->len && found == NULL; i++) {
        const EepYaml *key = a->kind == EEP_YAML_MAP ? a->keys->pdata[i] : NULL;
        const EepYaml *other = key != NULL         ? eep_yaml_find(b, key->text)
                               : i < b->items->len ? b->items->pdata[i]
                                                   : NULL;
        g_autofree char *name = key != NULL ? g_strdup(key->text) : g_strdup_printf("%u", i);
        g_autofree char *below =
            *path != '\0' ? g_strconcat(path, ".", name, NULL) : g_strdup(name);

        found = difference(below, a->items->pdata[i], other);
    }
    return found;
}

/* Depth and size are bounded by the parser. */
static char *difference(const char *path, const EepYaml *a, const EepYaml *b)
{
    if (a == NULL || b == NULL || a->kind != b->kind)
        return a == b ? NULL : tell(path, a, b);
    if (a->kind == EEP_YAML_SCALAR)
        return g_strcmp0(a->text, b->text) == 0 ? NULL : tell(path, a, b);
    char *found = difference_of_items(path, a, b);
    /* What only the second has. */
    if (found == NULL && b->items->len > a->items->len) {
        for (guint i = 0; i < b->items->len && b->kind == EEP_YAML_MAP && found == NULL; i++) {
            const char *key = ((const EepYaml *)b->keys->pdata[i])->text;
            g_autofree char *below = *path != '\0' ? g_strconcat(path, ".", key, NULL) : NULL;

            if (eep_yaml_find(a, key) == NULL)
                found = tell(below != NULL ? below : key, NULL, b->items->pdata[i]);
        }
        if (found == NULL)
            found = tell(path, a, b);
    }
    return found;
}

gboolean eep_scenario_difference(const char *folder_a, const char *folder_b, char **ret_difference,
                                 GError **error)
{
    g_autofree char *path_a = g_build_filename(folder_a, SCENARIO, NULL);
    g_autofree char *path_b = g_build_filename(folder_b, SCENARIO, NULL);
    g_autoptr(EepYamlDocument) a = eep_yaml_load(path_a, error);
    g_autoptr(EepYamlDocument) b = a != NULL ? eep_yaml_load(path_b, error) : NULL;

    if (b == NULL)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(free_to_differ); i++) {
        eep_yaml_remove(a->root, free_to_differ[i]);
        eep_yaml_remove(b->root, free_to_differ[i]);
    }
    *ret_difference = difference("", a->root, b->root);
    return TRUE;
}
