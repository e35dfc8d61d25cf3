/* eep show: one thing of the catalogue in full. Profiles are in show_profile.c, generations and
 * recoveries in show_generation.c. */
#include "cli/catalogue.h"
#include "cli/command.h"
#include "cli/data.h"
#include "core/engine/pool_options.h"
#include "core/eplb/policy.h"
#include "sim/all2all.h"

#include <string.h>

static void add_flag(const char *key, const char *words, gboolean value, EepText *text,
                     EepJson *json)
{
    eep_command_add_line(text, "%-36s %s", words, value ? "yes" : "no");
    eep_json_add_bool(json, key, value);
}

static void add_capabilities(const EepEplbPolicy *policy, EepText *text, EepJson *json)
{
    add_flag("reads_windows", "plans on pieces of time", policy->reads_windows, text, json);
    add_flag("reads_present_map", "reads the present map", policy->reads_present_map, text, json);
    add_flag("takes_dead_ranks", "leaves dead ranks empty", policy->takes_dead_ranks, text, json);
    add_flag("limits_moves", "keeps to a number of moves", policy->limits_moves, text, json);
}

gboolean eep_show_policy(const char *name, EepText *text, EepJson *json, GError **error)
{
    const char *router = eep_catalogue_router_help(name);
    const char *kind = router != NULL ? "router" : "eplb";
    const char *key = router != NULL ? "deployment.router.policy" : "deployment.eplb_config.policy";
    const EepEplbPolicy *policy = router == NULL ? eep_eplb_policy_find(name, NULL) : NULL;
    const char *help = policy != NULL ? policy->help : router;

    eep_command_add_line(text, "%s - %s", name, help);
    eep_command_add_line(text, "kind  %s", kind);
    eep_command_add_line(text, "key   %s: %s", key, name);
    eep_json_add_string(json, "kind", kind);
    eep_json_add_string(json, "help", help);
    eep_json_add_string(json, "key", key);
    if (policy != NULL)
        add_capabilities(policy, text, json);
    return TRUE;
}

static const EepAll2all *find_all2all(const char *name)
{
    for (gint i = 0; i < EEP_ALL2ALL_COUNT; i++)
        if (strcmp(eep_all2all(i)->name, name) == 0)
            return eep_all2all(i);
    return NULL;
}

static void add_limit(const char *key, const char *words, gint64 value, EepText *text,
                      EepJson *json)
{
    if (value > 0) {
        eep_command_add_line(text, "%-36s %" G_GINT64_FORMAT, words, value);
        eep_json_add_int(json, key, value);
    } else {
        eep_command_add_line(text, "%-36s none", words);
        eep_json_add_null(json, key);
    }
}

/* Two figures, the words say of what. */
static void add_pair(const char *key, const char *words, const double *pair, EepText *text,
                     EepJson *json)
{
    eep_command_add_line(text, "%-36s %g and %g", words, pair[0], pair[1]);
    eep_json_begin_array(json, key);
    eep_json_add_double(json, NULL, pair[0], 6);
    eep_json_add_double(json, NULL, pair[1], 6);
    eep_json_end_array(json);
}

gboolean eep_show_all2all(const char *name, EepText *text, EepJson *json, GError **error)
{
    const EepAll2all *backend = find_all2all(name);

    eep_command_add_line(text, "%s", backend->name);
    add_flag("is_elastic", "works with enable_elastic_ep", backend->is_elastic, text, json);
    add_flag("is_graph_capturable", "in full CUDA graphs", backend->is_graph_capturable, text,
             json);
    add_flag("is_batched", "batched by expert", backend->is_batched, text, json);
    add_flag("sends_padding", "padding travels", backend->sends_padding, text, json);
    add_flag("has_micro_batches", "works with enable_dbo", backend->has_micro_batches, text, json);
    add_limit("max_ranks", "ranks at most", backend->max_ranks, text, json);
    add_limit("max_tokens", "tokens of a rank in one round", backend->max_tokens, text, json);
    add_limit("n_sms", "SMs that it takes", backend->n_sms, text, json);
    eep_command_add_line(text, "%-36s %g and %g", "bytes a value, dispatch, combine",
                         backend->dispatch_bytes, backend->combine_bytes);
    eep_json_add_double(json, "dispatch_bytes", backend->dispatch_bytes, 6);
    eep_json_add_double(json, "combine_bytes", backend->combine_bytes, 6);
    if (backend->kind == EEP_ALL2ALL_SCATTER) {
        add_pair("dispatch_hops", "dispatch, NVLink and NIC messages", backend->dispatch_hops, text,
                 json);
        add_pair("combine_hops", "combine, NVLink and NIC messages", backend->combine_hops, text,
                 json);
    }
    add_pair("nvlink_share", "share of NVLink, dispatch, combine", backend->nvlink_share, text,
             json);
    add_pair("nic_share", "share of NIC, dispatch, combine", backend->nic_share, text, json);
    eep_command_add_line(text, "%-36s %s: %s", "basis", backend->basis, backend->source);
    eep_json_add_string(json, "basis", backend->basis);
    eep_json_add_string(json, "source", backend->source);
    return TRUE;
}

gboolean eep_show_scenario(const char *name, EepText *text, EepJson *json, GError **error)
{
    g_autofree char *path = eep_data_find_bundled(name, error), *contents = NULL;
    gsize length;

    if (path == NULL || !g_file_get_contents(path, &contents, &length, error))
        return FALSE;
    eep_text_add_bytes(text, contents, length);
    eep_json_add_string(json, "text", contents);
    return TRUE;
}

int eep_command_show(int argc, char **argv)
{
    gboolean as_json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0}, data = {0};
    GError *error = NULL;
    EepJson json;
    int status;

    if (!eep_command_parse(entries, 2, 2, &argc, &argv, &status))
        return status;
    const EepCatalogue *catalogue = eep_catalogue_find(argv[1], &error);
    if (catalogue == NULL)
        return eep_command_fail(error);
    g_autofree char *name = eep_catalogue_find_item(catalogue, argv[2], &error);
    if (name == NULL)
        return eep_command_fail(error);
    eep_json_init(&json, &data, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "name", name);
    if (!catalogue->show(name, &text, &json, &error))
        return eep_command_fail(error);
    eep_json_end_object(&json);
    return eep_command_print(as_json ? &data : &text);
}
