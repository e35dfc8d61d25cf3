#include "scenarios/scenario.h"

#include "scenarios/fill.h"
#include "scenarios/scenario_check.h"
#include "scenarios/sections.h"

#include <string.h>

/* Sections that the header's fill leaves alone. */
static const char *const section_keys[] = {"model", "hardware", "deployment", "traffic", "skew",
                                           "slo",   "events",   "measure",    "run",     "output",
                                           "gpu",   "expect",   NULL};

typedef struct {
    EepScenario *scenario;
    const EepYamlDocument *document;
    const char *const *folders;
    GError **error;
} Loader;

/* `key: NAME` becomes `key: {inner: NAME}`, so that overrides find a map. */
static void expand_short(EepYaml *map, const char *key, const char *inner)
{
    EepYaml *node = eep_yaml_find(map, key);
    if (node == NULL || node->kind != EEP_YAML_SCALAR || eep_yaml_is_null(node))
        return;
    EepYaml *value = eep_yaml_new_scalar(node->text);
    value->quoted = node->quoted;
    value->line = node->line;
    value->column = node->column;
    value->set = g_strdup(node->set);
    node->kind = EEP_YAML_MAP;
    g_clear_pointer(&node->text, g_free);
    node->keys = g_ptr_array_new_with_free_func((GDestroyNotify)eep_yaml_free);
    node->items = g_ptr_array_new_with_free_func((GDestroyNotify)eep_yaml_free);
    eep_yaml_put(node, inner, value);
}

static void expand_shorts(EepYaml *root)
{
    EepYaml *synthetic = eep_yaml_find_path(root, "traffic.synthetic");
    expand_short(root, "model", "profile");
    expand_short(root, "hardware", "profile");
    if (synthetic != NULL && synthetic->kind == EEP_YAML_MAP) {
        expand_short(synthetic, "input_tokens", "constant");
        expand_short(synthetic, "output_tokens", "constant");
    }
}

/* Reads the map at `key` with the section's own table, then the profile, then changed figures. */
static EepProfile *load_profiled(Loader *loader, const char *key, const EepOptionTable *section,
                                 const EepProfileKind *kind, gpointer ret_base, gint64 *ret_nodes)
{
    const EepYamlDocument *document = loader->document;
    const EepYaml *map = eep_yaml_find(document->root, key);
    const EepYaml *named = eep_yaml_find(map, "profile");
    static const char *const own[] = {"profile", "nodes", NULL};
    static const char *const own_model[] = {"profile", NULL};
    EepProfileOptions options = {0};
    g_autofree char *file = NULL;

    if (named == NULL) {
        eep_yaml_fail(document, map, EEP_OPTION_ERROR_SYNTAX, loader->error,
                      "\"%s\" names no profile: %s: NAME; try eep list %s", key, key, kind->folder);
        return NULL;
    }
    g_autoptr(EepYaml) part = eep_yaml_new_map(); /* the section's own keys alone */
    for (guint i = 0; i < section->n_options; i++) {
        const EepYaml *item = eep_yaml_find(map, section->options[i].key);
        if (item == NULL)
            continue;
        EepYaml *copy = eep_yaml_new_scalar(item->kind == EEP_YAML_SCALAR ? item->text : "");
        copy->line = item->line;
        copy->column = item->column;
        copy->set = g_strdup(item->set);
        eep_yaml_put(part, section->options[i].key, copy);
    }
    if (!eep_fill(document, part, key, section, NULL, &options, loader->error)) {
        g_free(options.profile);
        return NULL;
    }
    file = g_str_has_suffix(options.profile, ".yaml")
               ? eep_fill_resolve(document, named, options.profile)
               : g_strdup(options.profile);
    g_free(options.profile);
    GError *cause = NULL;
    g_autoptr(EepProfile) profile = eep_profile_load(kind, file, loader->folders, ret_base, &cause);
    if (profile == NULL) {
        if (cause->code == EEP_OPTION_ERROR_UNKNOWN && g_str_has_prefix(cause->message, "unknown "))
            eep_yaml_fail_with(document, named, cause, loader->error);
        else
            g_propagate_error(loader->error, cause);
        return NULL;
    }
    if (ret_nodes != NULL)
        *ret_nodes = options.nodes;
    if (!eep_fill(document, map, key, kind->table, ret_nodes != NULL ? own : own_model, ret_base,
                  loader->error)) {
        eep_options_clear(kind->table, ret_base);
        return NULL;
    }
    return g_steal_pointer(&profile);
}

static gboolean is_pool_name(const char *name)
{
    if (*name == '\0' || strlen(name) > 64)
        return FALSE;
    for (; *name != '\0'; name++)
        if (!g_ascii_isalnum(*name) && *name != '_' && *name != '-')
            return FALSE;
    return TRUE;
}

/* One pool: deployment.router (with a pool map), defaults, its own keys. */
static gboolean load_pool(Loader *loader, const char *name, const EepYaml *deployment,
                          const EepYaml *own)
{
    static const char *const not_router[] = {"pools", "defaults", NULL};
    EepScenario *scenario = loader->scenario;
    EepScenarioPool *pool = &scenario->pools[scenario->n_pools++];
    g_autofree char *where = g_strconcat("deployment.pools.", name, NULL);

    memset(pool, 0, sizeof *pool);
    pool->name = g_strdup(name);
    eep_options_init(&eep_pool_options, &pool->options);
    if (own == NULL)
        return eep_fill(loader->document, deployment, "deployment", &eep_pool_options, NULL,
                        &pool->options, loader->error);
    for (guint i = 0; i < deployment->keys->len; i++) {
        const EepYaml *key = deployment->keys->pdata[i];
        g_autofree char *global = g_strconcat("deployment.", key->text, NULL);
        if (strcmp(key->text, "router") != 0 && !g_strv_contains(not_router, key->text) &&
            eep_fill_later(global) == NULL)
            return eep_yaml_fail(loader->document, key, EEP_OPTION_ERROR_UNKNOWN, loader->error,
                                 "\"%s\" stands beside deployment.pools: defaults, pools, router; "
                                 "try deployment.defaults.%s",
                                 key->text, key->text);
    }
    g_autoptr(EepYaml) shared = eep_yaml_new_map();
    for (guint i = 0; i < deployment->keys->len; i++) {
        const EepYaml *key = deployment->keys->pdata[i];
        if (g_strv_contains(not_router, key->text))
            continue;
        g_ptr_array_add(shared->keys, (gpointer)key);
        g_ptr_array_add(shared->items, deployment->items->pdata[i]);
    }
    /* Borrowed children: they stay the document's. */
    g_ptr_array_set_free_func(shared->keys, NULL);
    g_ptr_array_set_free_func(shared->items, NULL);
    return eep_fill(loader->document, shared, "deployment", &eep_pool_options, NULL, &pool->options,
                    loader->error) &&
           eep_fill(loader->document, eep_yaml_find(deployment, "defaults"), "deployment.defaults",
                    &eep_pool_options, NULL, &pool->options, loader->error) &&
           eep_fill(loader->document, own, where, &eep_pool_options, NULL, &pool->options,
                    loader->error);
}

static gboolean load_pools(Loader *loader)
{
    EepScenario *scenario = loader->scenario;
    const EepYaml *deployment = eep_yaml_find(loader->document->root, "deployment");
    const EepYaml *pools = eep_yaml_find(deployment, "pools");

    if (deployment == NULL)
        return eep_yaml_fail(loader->document, NULL, EEP_OPTION_ERROR_SYNTAX, loader->error,
                             "\"deployment\" is missing: a map; try deployment: "
                             "{data_parallel_size: 8}");
    scenario->has_pool_map = pools != NULL;
    if (pools == NULL) {
        scenario->pools = g_new0(EepScenarioPool, 1);
        return load_pool(loader, "main", deployment, NULL);
    }
    if (pools->kind != EEP_YAML_MAP || pools->items->len == 0 ||
        pools->items->len > EEP_SCENARIO_MAX_POOLS)
        return eep_yaml_fail(loader->document, pools, EEP_OPTION_ERROR_SYNTAX, loader->error,
                             "\"pools\" holds no pools: a map of 1 to %d, NAME: {KEYS}",
                             EEP_SCENARIO_MAX_POOLS);
    scenario->pools = g_new0(EepScenarioPool, pools->items->len);
    for (guint i = 0; i < pools->items->len; i++) {
        const EepYaml *key = pools->keys->pdata[i];
        if (!is_pool_name(key->text))
            return eep_yaml_fail(loader->document, key, EEP_OPTION_ERROR_SYNTAX, loader->error,
                                 "\"%s\" is no pool's name: letters, digits, - and _", key->text);
        if (!load_pool(loader, key->text, deployment, pools->items->pdata[i]))
            return FALSE;
    }
    return TRUE;
}

/* FALSE when the list is there but no list. */
static gboolean find_list(Loader *loader, const char *path, const char *what, EepYaml **ret)
{
    EepYaml *node = eep_yaml_find_path(loader->document->root, path);
    *ret = node;
    if (node == NULL || node->kind == EEP_YAML_LIST)
        return TRUE;
    return eep_yaml_fail(loader->document, node, EEP_OPTION_ERROR_SYNTAX, loader->error,
                         "\"%s\" is no list: %s", path, what);
}

static gboolean load_traffic(Loader *loader)
{
    static const char *const also[] = {"synthetic.piecewise", NULL};
    EepScenario *scenario = loader->scenario;
    EepYaml *steps;

    if (!eep_fill(loader->document, eep_yaml_find(loader->document->root, "traffic"), "traffic",
                  &eep_traffic_options, also, &scenario->traffic, loader->error) ||
        !find_list(loader, "traffic.synthetic.piecewise", "[{at: TIME, rate: RATE}, ...]", &steps))
        return FALSE;
    if (steps == NULL)
        return TRUE;
    scenario->rate_steps = g_new0(EepRateStep, steps->items->len + 1);
    for (guint i = 0; i < steps->items->len; i++) {
        EepRateStep *step = &scenario->rate_steps[scenario->n_rate_steps++];
        const EepYaml *item = steps->items->pdata[i];
        eep_options_init(&eep_rate_step_options, step);
        if (!eep_fill(loader->document, item, "traffic.synthetic.piecewise[]",
                      &eep_rate_step_options, NULL, step, loader->error))
            return FALSE;
        if (eep_yaml_find(item, "at") == NULL || eep_yaml_find(item, "rate") == NULL)
            return eep_yaml_fail(loader->document, item, EEP_OPTION_ERROR_SYNTAX, loader->error,
                                 "the step is not whole: {at: TIME, rate: RATE}");
    }
    return TRUE;
}

static gint compare_events(gconstpointer a, gconstpointer b, gpointer unused)
{
    const EepEventOptions *x = a, *y = b;
    return x->earliest < y->earliest ? -1 : x->earliest > y->earliest;
}

static gboolean load_events(Loader *loader)
{
    EepScenario *scenario = loader->scenario;
    EepYaml *events;

    if (!find_list(loader, "events", "[{at: TIME, KIND: {...}}, ...]", &events))
        return FALSE;
    if (events == NULL)
        return TRUE;
    scenario->events = g_new0(EepEventOptions, events->items->len + 1);
    for (guint i = 0; i < events->items->len; i++) {
        EepEventOptions *event = &scenario->events[scenario->n_events++];
        const EepYaml *item = events->items->pdata[i];
        eep_options_init(&eep_event_options, event);
        if (!eep_fill(loader->document, item, "events[]", &eep_event_options, NULL, event,
                      loader->error))
            return FALSE;
    }
    return TRUE;
}

static gboolean load_expect(Loader *loader)
{
    EepYaml *expect;
    GPtrArray *texts = g_ptr_array_new();
    gboolean ok = find_list(loader, "expect", "[\"KEY <= VALUE\", ...]", &expect);

    for (guint i = 0; ok && expect != NULL && i < expect->items->len; i++) {
        const EepYaml *item = expect->items->pdata[i];
        GError *cause = NULL;
        if (item->kind != EEP_YAML_SCALAR) {
            ok = eep_yaml_fail(loader->document, item, EEP_OPTION_ERROR_SYNTAX, loader->error,
                               "the comparison is no text: \"KEY <= VALUE\"");
        } else if (!eep_scenario_check_expect(item->text, &cause)) {
            ok = eep_yaml_fail_with(loader->document, item, cause, loader->error);
        } else {
            g_ptr_array_add(texts, g_strdup(item->text));
        }
    }
    g_ptr_array_add(texts, NULL);
    loader->scenario->expect = (char **)g_ptr_array_free(texts, FALSE);
    return ok;
}

static gboolean load_plain_sections(Loader *loader)
{
    EepScenario *scenario = loader->scenario;
    const struct {
        const EepOptionTable *table;
        gpointer base;
    } sections[] = {
        {&eep_skew_options, &scenario->skew},       {&eep_slo_options, &scenario->slo},
        {&eep_measure_options, &scenario->measure}, {&eep_run_options, &scenario->run},
        {&eep_output_options, &scenario->output},   {&eep_gpu_options, &scenario->gpu},
    };
    for (guint i = 0; i < G_N_ELEMENTS(sections); i++) {
        const char *key = sections[i].table->prefix;
        if (!eep_fill(loader->document, eep_yaml_find(loader->document->root, key), key,
                      sections[i].table, NULL, sections[i].base, loader->error))
            return FALSE;
    }
    return TRUE;
}

static gboolean load_header(Loader *loader)
{
    EepScenario *scenario = loader->scenario;
    if (!eep_fill(loader->document, loader->document->root, "", &eep_scenario_header_options,
                  section_keys, scenario, loader->error))
        return FALSE;
    if (eep_yaml_find(loader->document->root, "eep") == NULL)
        return eep_yaml_fail(loader->document, NULL, EEP_OPTION_ERROR_SYNTAX, loader->error,
                             "\"eep\", the format's version, is missing: eep: %d",
                             EEP_SCENARIO_FORMAT);
    if (scenario->name == NULL) {
        g_autofree char *base = g_path_get_basename(loader->document->name);
        char *dot = g_strrstr(base, ".yaml");
        if (dot != NULL)
            *dot = '\0';
        scenario->name = g_steal_pointer(&base);
    }
    return TRUE;
}

static gboolean load_all(Loader *loader)
{
    EepScenario *scenario = loader->scenario;

    if (!load_header(loader))
        return FALSE;
    scenario->model_profile = load_profiled(loader, "model", &eep_scenario_model_options,
                                            &eep_profile_model, &scenario->model, NULL);
    if (scenario->model_profile == NULL)
        return FALSE;
    scenario->hardware_profile =
        load_profiled(loader, "hardware", &eep_scenario_hardware_options, &eep_profile_hardware,
                      &scenario->hardware, &scenario->nodes);
    if (scenario->hardware_profile == NULL || !load_pools(loader) || !load_traffic(loader) ||
        !load_plain_sections(loader) || !load_events(loader) || !load_expect(loader) ||
        !eep_scenario_check(scenario, loader->error))
        return FALSE;
    /* A merge sort: events of one time keep their order. */
    g_qsort_with_data(scenario->events, (gint)scenario->n_events, sizeof *scenario->events,
                      compare_events, NULL);
    return TRUE;
}

/* An override that a later one takes back. */
static void note_overridden(EepScenario *scenario, const char *const *sets)
{
    gsize length = strcspn(*sets, "=") + 1;

    for (const char *const *later = sets + 1; *later != NULL; later++)
        if (strncmp(*sets, *later, length) == 0)
            eep_scenario_note(scenario, "--set %.*s is given twice: the last one counts",
                              (int)MIN(length - 1, 40), *sets);
}

/* Takes over the document. */
static EepScenario *load_document(EepYamlDocument *document, const char *const *folders,
                                  const char *const *sets, gint64 seed_override, GError **error)
{
    g_autoptr(EepScenario) scenario = g_new0(EepScenario, 1);
    g_autoptr(GPtrArray) places = g_ptr_array_new();
    g_autofree char *own = g_path_get_dirname(document->name);

    eep_options_init(&eep_scenario_header_options, scenario);
    eep_options_init(&eep_traffic_options, &scenario->traffic);
    eep_options_init(&eep_skew_options, &scenario->skew);
    eep_options_init(&eep_slo_options, &scenario->slo);
    eep_options_init(&eep_measure_options, &scenario->measure);
    eep_options_init(&eep_run_options, &scenario->run);
    eep_options_init(&eep_output_options, &scenario->output);
    eep_options_init(&eep_gpu_options, &scenario->gpu);
    scenario->document = document;
    scenario->notes = g_ptr_array_new_with_free_func(g_free);

    expand_shorts(document->root);
    for (; sets != NULL && *sets != NULL; sets++) {
        if (!eep_yaml_set(document, *sets, error))
            return NULL;
        expand_shorts(document->root);
        note_overridden(scenario, sets);
    }
    g_ptr_array_add(places, own);
    for (; folders != NULL && *folders != NULL; folders++)
        g_ptr_array_add(places, (gpointer)*folders);
    g_ptr_array_add(places, NULL);

    Loader loader = {scenario, document, (const char *const *)places->pdata, error};
    if (!load_all(&loader))
        return NULL;
    if (seed_override >= 0)
        scenario->seed = seed_override;
    return g_steal_pointer(&scenario);
}

EepScenario *eep_scenario_load(const char *path, const char *const *folders,
                               const char *const *sets, gint64 seed_override, GError **error)
{
    EepYamlDocument *document = eep_yaml_load(path, error);
    return document == NULL ? NULL : load_document(document, folders, sets, seed_override, error);
}

EepScenario *eep_scenario_parse(const char *name, const char *text, gssize length,
                                const char *const *folders, const char *const *sets,
                                gint64 seed_override, GError **error)
{
    EepYamlDocument *document = eep_yaml_parse(name, text, length, error);
    return document == NULL ? NULL : load_document(document, folders, sets, seed_override, error);
}

void eep_scenario_free(EepScenario *scenario)
{
    if (scenario == NULL)
        return;
    for (guint i = 0; i < scenario->n_pools; i++) {
        g_free(scenario->pools[i].name);
        eep_options_clear(&eep_pool_options, &scenario->pools[i].options);
    }
    g_free(scenario->pools);
    for (guint i = 0; i < scenario->n_events; i++)
        eep_options_clear(&eep_event_options, &scenario->events[i]);
    g_free(scenario->events);
    g_free(scenario->rate_steps);
    g_strfreev(scenario->expect);
    g_ptr_array_unref(scenario->notes);
    if (scenario->model_profile != NULL)
        eep_options_clear(&eep_model_options, &scenario->model);
    if (scenario->hardware_profile != NULL)
        eep_options_clear(&eep_hardware_options, &scenario->hardware);
    eep_profile_free(scenario->model_profile);
    eep_profile_free(scenario->hardware_profile);
    eep_options_clear(&eep_traffic_options, &scenario->traffic);
    eep_options_clear(&eep_skew_options, &scenario->skew);
    eep_options_clear(&eep_gpu_options, &scenario->gpu);
    eep_yaml_document_free(scenario->document);
    g_free(scenario->name);
    g_free(scenario);
}

gint eep_scenario_find_pool(const EepScenario *scenario, const char *name)
{
    for (guint i = 0; i < scenario->n_pools; i++)
        if (strcmp(scenario->pools[i].name, name) == 0)
            return (gint)i;
    return -1;
}

/* Where the key is said, of the pool itself or of all; NULL. */
static const EepYaml *find_key(const EepScenario *scenario, const char *pool, const char *key)
{
    g_autofree char *own = g_strdup_printf("deployment.pools.%s.%s", pool, key);
    g_autofree char *shared = g_strconcat("deployment.defaults.", key, NULL);
    g_autofree char *plain = g_strconcat("deployment.", key, NULL);
    const char *paths[] = {own, shared, plain};
    const EepYaml *node = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(paths) && node == NULL; i++)
        node = eep_yaml_find_path(scenario->document->root, paths[i]);
    return node;
}

gboolean eep_scenario_is_given(const EepScenario *scenario, const char *pool, const char *key)
{
    return find_key(scenario, pool, key) != NULL;
}

const EepYaml *eep_scenario_where(const EepScenario *scenario, const char *pool, const char *key)
{
    const EepYaml *root = scenario->document->root, *node = find_key(scenario, pool, key);
    g_autofree char *pool_path = g_strconcat("deployment.pools.", pool, NULL);

    if (node == NULL)
        node = eep_yaml_find_path(root, pool_path);
    if (node == NULL)
        node = eep_yaml_find_path(root, "deployment");
    return node != NULL ? node : root;
}
