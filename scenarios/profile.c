#include "scenarios/profile.h"

#include "core/hardware.h"
#include "core/model.h"
#include "core/suggest.h"
#include "scenarios/fill.h"

#include <string.h>

const char *const eep_basis_words[] = {"measured", "derived", "assumed", NULL};

const EepProfileKind eep_profile_model = {"model", "models", &eep_model_options};
const EepProfileKind eep_profile_hardware = {"hardware", "hardware", &eep_hardware_options};

/* Keys of a profile file that are no figures. */
static const char *const meta_keys[] = {"kind", "description", "basis", "source", "alias_of", NULL};

static char *meta(const EepYamlDocument *document, const char *key)
{
    const EepYaml *node = eep_yaml_find(document->root, key);
    return node != NULL && node->kind == EEP_YAML_SCALAR ? g_strdup(node->text) : NULL;
}

static gboolean read_basis(const EepYamlDocument *document, const EepYaml *node, EepBasis *ret,
                           GError **error)
{
    for (gint i = 0; node->kind == EEP_YAML_SCALAR && eep_basis_words[i] != NULL; i++)
        if (strcmp(node->text, eep_basis_words[i]) == 0) {
            *ret = (EepBasis)i;
            return TRUE;
        }
    return eep_yaml_fail(document, node, EEP_OPTION_ERROR_BOUNDS, error,
                         "\"%s\" is no basis: measured, derived or assumed",
                         node->kind == EEP_YAML_SCALAR ? node->text : "basis");
}

/* Where one figure comes from: {value, basis, source}, or the file's own for a plain value. */
static gboolean read_origin(const EepYamlDocument *document, const EepYaml *item,
                            EepProfileFigure *figure, GError **error)
{
    static const char *const parts[] = {"value", "basis", "source", NULL};
    const EepYaml *origin = item->kind == EEP_YAML_MAP ? item : document->root;
    const EepYaml *basis = eep_yaml_find(origin, "basis");
    const EepYaml *source = eep_yaml_find(origin, "source");

    for (guint i = 0; item->kind == EEP_YAML_MAP && i < item->keys->len; i++) {
        const EepYaml *key = item->keys->pdata[i];
        if (!g_strv_contains(parts, key->text))
            return eep_yaml_fail(document, key, EEP_OPTION_ERROR_UNKNOWN, error,
                                 "unknown key \"%s\": value, basis, source", key->text);
    }
    if (basis == NULL || source == NULL || source->kind != EEP_YAML_SCALAR ||
        eep_yaml_is_null(source))
        return eep_yaml_fail(document, item, EEP_OPTION_ERROR_SYNTAX, error,
                             "the figure has no basis or no source: {value, basis, source}, or "
                             "basis and source of the whole file");
    if (!read_basis(document, basis, &figure->basis, error))
        return FALSE;
    figure->source = g_strdup(source->text);
    figure->given = TRUE;
    return TRUE;
}

/* The file's map with {value, …} replaced by the value, as eep_fill() wants it. */
static EepYaml *plain_map(const EepYaml *root)
{
    EepYaml *plain = eep_yaml_new_map();
    for (guint i = 0; i < root->items->len; i++) {
        const EepYaml *key = root->keys->pdata[i], *item = root->items->pdata[i];
        const EepYaml *value = eep_yaml_find(item, "value");
        if (value == NULL)
            value = item;
        if (g_strv_contains(meta_keys, key->text))
            continue;
        EepYaml *copy = eep_yaml_new_scalar(value->kind == EEP_YAML_SCALAR ? value->text : "");
        copy->line = value->line;
        copy->column = value->column;
        copy->quoted = value->quoted;
        eep_yaml_put(plain, key->text, copy);
    }
    return plain;
}

static gboolean check_complete(const EepYamlDocument *document, const EepProfile *profile,
                               GError **error)
{
    for (guint i = 0; i < profile->kind->table->n_options; i++) {
        const EepOption *option = &profile->kind->table->options[i];
        if (eep_option_is_required(option) && !profile->figures[i].given) {
            g_autofree char *allowed = eep_option_allowed(option);
            return eep_yaml_fail(document, NULL, EEP_OPTION_ERROR_SYNTAX, error,
                                 "\"%s\" (%s) is missing: %s", option->key, option->help, allowed);
        }
    }
    return TRUE;
}

static EepProfile *read_profile(const EepProfileKind *kind, const EepYamlDocument *document,
                                gpointer ret_base, GError **error)
{
    g_autoptr(EepProfile) profile = g_new0(EepProfile, 1);
    const EepOptionTable *table = kind->table;
    g_autofree char *said = meta(document, "kind");
    g_autoptr(EepYaml) plain = plain_map(document->root);
    gboolean good = FALSE;

    profile->kind = kind;
    profile->figures = g_new0(EepProfileFigure, table->n_options);
    profile->description = meta(document, "description");
    profile->sha256 = g_compute_checksum_for_string(G_CHECKSUM_SHA256, document->text, -1);
    if (g_strcmp0(said, kind->kind) != 0) {
        eep_yaml_fail(document, eep_yaml_find(document->root, "kind"), EEP_OPTION_ERROR_SYNTAX,
                      error, "the file is no %s profile: kind: %s", kind->kind, kind->kind);
        return NULL;
    }
    eep_options_init(table, ret_base);
    if (!eep_fill(document, plain, "", table, NULL, ret_base, error))
        goto out;
    for (guint i = 0; i < table->n_options; i++) {
        const EepOption *option = &table->options[i];
        EepProfileFigure *figure = &profile->figures[i];
        const EepYaml *item = eep_yaml_find(document->root, option->key);
        if (item != NULL && strcmp(option->key, "name") != 0 &&
            !read_origin(document, item, figure, error))
            goto out;
        if (figure->source == NULL) {
            figure->basis = EEP_BASIS_ASSUMED;
            figure->source = g_strdup("default, for want of a figure");
        }
        figure->text = eep_option_format(option, ret_base);
    }
    profile->name = g_strdup(eep_profile_figure(profile, "name")->text);
    if (profile->name == NULL) {
        eep_yaml_fail(document, NULL, EEP_OPTION_ERROR_SYNTAX, error,
                      "\"name\" is missing: the profile's name");
        goto out;
    }
    good = check_complete(document, profile, error);
out:
    if (good)
        return g_steal_pointer(&profile);
    eep_options_clear(table, ret_base);
    return NULL;
}

static char *canonical(const char *name)
{
    return g_strdelimit(g_strdup(name), "_", '-');
}

static char *find_file(const EepProfileKind *kind, const char *name, const char *const *folders)
{
    if (g_str_has_suffix(name, ".yaml"))
        return g_strdup(name);
    g_autofree char *plain = canonical(name);
    g_autofree char *file = g_strconcat(plain, ".yaml", NULL);
    if (strpbrk(plain, "/\\") != NULL)
        return NULL;
    for (; folders != NULL && *folders != NULL; folders++) {
        g_autofree char *path = g_build_filename(*folders, kind->folder, file, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&path);
    }
    return NULL;
}

static EepProfile *unknown_name(const EepProfileKind *kind, const char *name,
                                const char *const *folders, GError **error)
{
    g_auto(GStrv) names = eep_profile_list(kind, folders);
    g_autofree char *list = g_strjoinv(", ", names);
    g_autofree char *plain = canonical(name);
    const char *nearest = eep_suggest_nearest(plain, (const char *const *)names);
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_UNKNOWN,
                "unknown %s \"%s\": %s, or a file NAME.yaml%s%s", kind->kind, name,
                names[0] != NULL ? list : "no profile found", nearest != NULL ? "; try " : "",
                nearest != NULL ? nearest : "");
    return NULL;
}

EepProfile *eep_profile_load(const EepProfileKind *kind, const char *name,
                             const char *const *folders, gpointer ret_base, GError **error)
{
    g_autofree char *path = find_file(kind, name, folders);
    if (path == NULL)
        return unknown_name(kind, name, folders, error);
    g_autoptr(EepYamlDocument) document = eep_yaml_load(path, error);
    if (document == NULL)
        return NULL;
    g_autofree char *target = meta(document, "alias_of");
    if (target != NULL) {
        g_clear_pointer(&path, g_free);
        path = find_file(kind, target, folders);
        if (path == NULL)
            return unknown_name(kind, target, folders, error);
        g_clear_pointer(&document, eep_yaml_document_free);
        document = eep_yaml_load(path, error);
        if (document == NULL)
            return NULL;
    }
    EepProfile *profile = read_profile(kind, document, ret_base, error);
    if (profile != NULL)
        profile->reference =
            g_str_has_suffix(name, ".yaml") ? g_path_get_basename(name) : g_strdup(profile->name);
    return profile;
}

void eep_profile_free(EepProfile *profile)
{
    if (profile == NULL)
        return;
    for (guint i = 0; i < profile->kind->table->n_options; i++) {
        g_free(profile->figures[i].text);
        g_free(profile->figures[i].source);
    }
    g_free(profile->figures);
    g_free(profile->name);
    g_free(profile->reference);
    g_free(profile->description);
    g_free(profile->sha256);
    g_free(profile);
}

const EepProfileFigure *eep_profile_figure(const EepProfile *profile, const char *key)
{
    const EepOption *option = eep_options_find(profile->kind->table, key);
    return option == NULL ? NULL : &profile->figures[option - profile->kind->table->options];
}

EepBasis eep_profile_basis(const EepProfile *profile, const char *key)
{
    const EepProfileFigure *figure = eep_profile_figure(profile, key);
    g_return_val_if_fail(figure != NULL, EEP_BASIS_ASSUMED);
    return figure->basis;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **eep_profile_list(const EepProfileKind *kind, const char *const *folders)
{
    GPtrArray *names = g_ptr_array_new();
    for (; folders != NULL && *folders != NULL; folders++) {
        g_autofree char *path = g_build_filename(*folders, kind->folder, NULL);
        GDir *folder = g_dir_open(path, 0, NULL);
        const char *file;
        while (folder != NULL && (file = g_dir_read_name(folder)) != NULL) {
            if (!g_str_has_suffix(file, ".yaml"))
                continue;
            g_autofree char *name = g_strndup(file, strlen(file) - strlen(".yaml"));
            gboolean known = FALSE;
            for (guint i = 0; i < names->len && !known; i++)
                known = strcmp(names->pdata[i], name) == 0;
            if (!known)
                g_ptr_array_add(names, g_steal_pointer(&name));
        }
        if (folder != NULL)
            g_dir_close(folder);
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}
