#include "scenarios/scenario.h"

#include <string.h>

/* Puts a scalar at a dotted path below `map`, making the maps on the way. */
static void put_path(EepYaml *map, const char *path, const char *text)
{
    const char *dot;
    while ((dot = strchr(path, '.')) != NULL) {
        g_autofree char *part = g_strndup(path, (gsize)(dot - path));
        EepYaml *next = eep_yaml_find(map, part);
        if (next == NULL) {
            next = eep_yaml_new_map();
            eep_yaml_put(map, part, next);
        }
        map = next;
        path = dot + 1;
    }
    EepYaml *value = eep_yaml_new_scalar(text);
    value->quoted = TRUE; /* never to be read as null */
    eep_yaml_put(map, path, value);
}

static gboolean is_below(const char *key, const char *const *prefixes)
{
    for (; prefixes != NULL && *prefixes != NULL; prefixes++)
        if (g_str_has_prefix(key, *prefixes))
            return TRUE;
    return FALSE;
}

/* The whole struct as a map, but keys that begin with one of `skip`. Files lose their folders. */
static EepYaml *write_table(const EepOptionTable *table, gconstpointer base,
                            const char *const *skip)
{
    EepYaml *map = eep_yaml_new_map();
    for (guint i = 0; i < table->n_options; i++) {
        const EepOption *option = &table->options[i];
        g_autofree char *text = eep_option_format(option, base);
        if (text == NULL || is_below(option->key, skip))
            continue;
        if (option->type == EEP_OPTION_PATH) {
            g_autofree char *file = g_path_get_basename(text);
            put_path(map, option->key, file);
        } else {
            put_path(map, option->key, text);
        }
    }
    return map;
}

/* The profile by name and the figures that differ from it. */
static EepYaml *write_profile(const EepProfile *profile, gconstpointer base)
{
    EepYaml *map = eep_yaml_new_map();
    put_path(map, "profile", profile->reference);
    for (guint i = 0; i < profile->kind->table->n_options; i++) {
        const EepOption *option = &profile->kind->table->options[i];
        g_autofree char *text = eep_option_format(option, base);
        if (text != NULL && g_strcmp0(text, profile->figures[i].text) != 0)
            put_path(map, option->key, text);
    }
    return map;
}

static EepYaml *write_deployment(const EepScenario *scenario)
{
    if (!scenario->has_pool_map)
        return write_table(&eep_pool_options, &scenario->pools[0].options, NULL);
    EepYaml *deployment = eep_yaml_new_map(), *pools = eep_yaml_new_map();
    for (guint i = 0; i < scenario->n_pools; i++)
        eep_yaml_put(pools, scenario->pools[i].name,
                     write_table(&eep_pool_options, &scenario->pools[i].options, NULL));
    eep_yaml_put(deployment, "pools", pools);
    return deployment;
}

/* Keys of the length laws that are not in use, and of bounds that are none. */
static void skip_lengths(GPtrArray *skip, const char *name, const EepLengthOptions *lengths)
{
    static const char *const forms[] = {"constant", "uniform", "lognormal", "exponential"};
    for (guint i = 0; i < G_N_ELEMENTS(forms); i++)
        if (eep_length_options_form(lengths) != (EepLengthForm)i)
            g_ptr_array_add(skip, g_strdup_printf("synthetic.%s.%s", name, forms[i]));
}

static EepYaml *write_traffic(const EepScenario *scenario)
{
    const EepTrafficOptions *traffic = &scenario->traffic;
    g_autoptr(GPtrArray) skip = g_ptr_array_new_with_free_func(g_free);
    gboolean is_trace = traffic->trace.path != NULL;

    g_ptr_array_add(skip, g_strdup(is_trace ? "synthetic." : "trace."));
    if (!is_trace) {
        skip_lengths(skip, "input_tokens", &traffic->synthetic.input_tokens);
        skip_lengths(skip, "output_tokens", &traffic->synthetic.output_tokens);
    }
    if (scenario->n_rate_steps > 0) {
        g_ptr_array_add(skip, g_strdup("synthetic.rate"));
        g_ptr_array_add(skip, g_strdup("synthetic.ramp"));
        g_ptr_array_add(skip, g_strdup("synthetic.end_rate"));
    }
    g_ptr_array_add(skip, NULL);
    EepYaml *map = write_table(&eep_traffic_options, traffic, (const char *const *)skip->pdata);
    if (scenario->n_rate_steps > 0) {
        EepYaml *steps = eep_yaml_new_list();
        for (guint i = 0; i < scenario->n_rate_steps; i++)
            eep_yaml_append(steps,
                            write_table(&eep_rate_step_options, &scenario->rate_steps[i], NULL));
        eep_yaml_put(eep_yaml_find(map, "synthetic"), "piecewise", steps);
    }
    return map;
}

/* An event as a file says it: its own kind alone, and who is meant by one number. */
static EepYaml *write_event(const EepEventOptions *event)
{
    EepYaml *map = eep_yaml_new_map();
    for (guint i = 0; i < eep_event_options.n_options; i++) {
        const EepOption *option = &eep_event_options.options[i];
        g_autofree char *text = eep_option_format(option, event);
        if (text != NULL && eep_event_has_key(event, option->key))
            put_path(map, option->key, text);
    }
    return map;
}

char *eep_scenario_write(const EepScenario *scenario)
{
    g_autoptr(EepYaml) root = eep_yaml_new_map();
    g_autofree char *format = g_strdup_printf("%" G_GINT64_FORMAT, scenario->format);
    g_autofree char *seed = g_strdup_printf("%" G_GINT64_FORMAT, scenario->seed);
    g_autofree char *nodes = g_strdup_printf("%" G_GINT64_FORMAT, scenario->nodes);

    put_path(root, "eep", format);
    put_path(root, "name", scenario->name);
    put_path(root, "seed", seed);
    eep_yaml_put(root, "model", write_profile(scenario->model_profile, &scenario->model));
    eep_yaml_put(root, "hardware", write_profile(scenario->hardware_profile, &scenario->hardware));
    put_path(root, "hardware.nodes", nodes);
    eep_yaml_put(root, "deployment", write_deployment(scenario));
    eep_yaml_put(root, "traffic", write_traffic(scenario));
    eep_yaml_put(root, "skew", write_table(&eep_skew_options, &scenario->skew, NULL));
    eep_yaml_put(root, "slo", write_table(&eep_slo_options, &scenario->slo, NULL));
    if (scenario->n_events > 0) {
        EepYaml *events = eep_yaml_new_list();
        for (guint i = 0; i < scenario->n_events; i++)
            eep_yaml_append(events, write_event(&scenario->events[i]));
        eep_yaml_put(root, "events", events);
    }
    eep_yaml_put(root, "measure", write_table(&eep_measure_options, &scenario->measure, NULL));
    eep_yaml_put(root, "run", write_table(&eep_run_options, &scenario->run, NULL));
    if (scenario->expect[0] != NULL) {
        EepYaml *expect = eep_yaml_new_list();
        for (char **text = scenario->expect; *text != NULL; text++)
            eep_yaml_append(expect, eep_yaml_new_scalar(*text));
        eep_yaml_put(root, "expect", expect);
    }
    eep_yaml_put(root, "output", write_table(&eep_output_options, &scenario->output, NULL));
    /* Nothing of it counts in a simulation: only who speaks of it means it. */
    if (eep_yaml_find(scenario->document->root, "gpu") != NULL)
        eep_yaml_put(root, "gpu", write_table(&eep_gpu_options, &scenario->gpu, NULL));
    g_autofree char *text = eep_yaml_to_text(root);
    return g_strconcat("# The effective scenario: every default and override. A trace is named "
                       "without its folder:\n# give it with --set traffic.trace.path=FILE; "
                       "summary.json holds its SHA-256.\n",
                       text, NULL);
}
