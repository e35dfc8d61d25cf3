#include "cli/scenario_facts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/elastic_range.h"
#include "sim/all2all.h"

struct EepScenarioFacts {
    const EepScenario *scenario;
    char *text; /* of scenario.yaml */
    char *sha256, *traffic_sha256, *trace_sha256, *load_sha256, *drift_load_sha256;
    char *machines, *deployment, *elastic;
    const char **pools;
    GArray *basis; /* EepRunBasis */
};

static char *digest_of_file(const char *path, GError **error)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    guchar bytes[65536];
    gsize n;
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", path,
                    g_strerror(errno));
        return NULL;
    }
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        g_checksum_update(checksum, bytes, (gssize)n);
    fclose(file);
    return g_strdup(g_checksum_get_string(checksum));
}

/* TRUE without a digest where there is no path. */
static gboolean digest_if_any(const char *path, char **ret_digest, GError **error)
{
    if (path == NULL)
        return TRUE;
    *ret_digest = digest_of_file(path, error);
    return *ret_digest != NULL;
}

/* Clients that do not retry have no backoff. */
static gboolean is_idle_retry(const EepScenario *scenario, const char *key)
{
    return scenario->traffic.retry.attempts <= 1 && strcmp(key, "retry.attempts") != 0 &&
           g_str_has_prefix(key, "retry");
}

/* Two runs with this digest in common have met the same clients: the trace's bytes, what is taken
 * of them, the law of a synthetic one, and how often requests are tried again. Paths do not
 * count. */
static char *digest_of_traffic(const EepScenario *scenario, const char *trace_sha256)
{
    g_autoptr(GString) text = g_string_new(trace_sha256 != NULL ? trace_sha256 : "synthetic");

    for (guint i = 0; i < eep_traffic_options.n_options; i++) {
        const EepOption *option = &eep_traffic_options.options[i];
        g_autofree char *value = NULL;

        if (option->type == EEP_OPTION_PATH || is_idle_retry(scenario, option->key) ||
            g_str_has_prefix(option->key, trace_sha256 != NULL ? "synthetic" : "trace"))
            continue;
        value = eep_option_format(option, &scenario->traffic);
        g_string_append_printf(text, "\n%s=%s", option->key, value != NULL ? value : "");
    }
    for (guint i = 0; i < scenario->n_rate_steps; i++)
        for (guint k = 0; k < eep_rate_step_options.n_options; k++) {
            g_autofree char *value =
                eep_option_format(&eep_rate_step_options.options[k], &scenario->rate_steps[i]);

            g_string_append_printf(text, "\n%s", value);
        }
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
}

/* The assumed figures that a run of this scenario rests on: the machine's, and the backend's if
 * nobody measured it. */
static void collect_basis(EepScenarioFacts *facts)
{
    const EepScenario *scenario = facts->scenario;
    const EepProfile *profile = scenario->hardware_profile;
    const EepAll2all *all2all = eep_all2all(scenario->pools[0].options.all2all_backend);

    if (eep_hardware_is_constant(&scenario->hardware))
        return;
    if (!g_str_equal(all2all->basis, "measured")) {
        EepRunBasis basis = {all2all->name, all2all->basis, all2all->source};

        g_array_append_val(facts->basis, basis);
    }
    /* Measured, but on no machine of its kind. */
    if (profile->description != NULL && g_str_has_prefix(profile->description, "emulated:")) {
        EepRunBasis basis = {"an EMULATED device's times, of no GPU", "measured",
                             profile->description};

        g_array_append_val(facts->basis, basis);
    }
    for (guint i = 0; i < profile->kind->table->n_options; i++) {
        const EepProfileFigure *figure = &profile->figures[i];
        EepRunBasis basis = {profile->kind->table->options[i].key, eep_basis_words[figure->basis],
                             figure->source};

        if (figure->given && figure->basis == EEP_BASIS_ASSUMED)
            g_array_append_val(facts->basis, basis);
    }
}

static char *describe_deployment(const EepScenario *scenario)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepPoolOptions *options = &scenario->pools[i].options;

        g_string_append_printf(text, "%s", i > 0 ? " + " : "");
        if (scenario->n_pools > 1)
            g_string_append_printf(text, "%s ", scenario->pools[i].name);
        g_string_append_printf(text, "DP %" G_GINT64_FORMAT, options->data_parallel_size);
        if (options->tensor_parallel_size > 1)
            g_string_append_printf(text, " TP %" G_GINT64_FORMAT, options->tensor_parallel_size);
    }
    if (eep_hardware_is_constant(&scenario->hardware))
        return g_strdup(text->str);
    const EepPoolOptions *first = &scenario->pools[0].options;
    g_string_append_printf(text, ", %s", eep_all2all(first->all2all_backend)->name);
    /* A deployment that cannot be resized has no generation worth a word. */
    if (first->enable_elastic_ep || strcmp(first->resize.generation, "restart") == 0)
        g_string_append_printf(text, ", %s%s", first->resize.generation,
                               eep_run_is_design_study(first->resize.generation) ? " (design study)"
                                                                                 : "");
    return g_strdup(text->str);
}

/* Sizes that the first pool can take, NULL when it cannot be resized. */
static char *describe_elastic(const EepScenario *scenario)
{
    EepElasticRange range = eep_elastic_range(scenario, &scenario->pools[0]);

    if (scenario->n_pools > 1 || !scenario->pools[0].options.enable_elastic_ep ||
        eep_hardware_is_constant(&scenario->hardware))
        return NULL;
    return g_strdup_printf("DP %" G_GINT64_FORMAT "..%" G_GINT64_FORMAT, range.least, range.most);
}

EepScenarioFacts *eep_scenario_facts_new(const EepScenario *scenario, GError **error)
{
    EepScenarioFacts *facts = g_new0(EepScenarioFacts, 1);

    facts->scenario = scenario;
    facts->basis = g_array_new(FALSE, FALSE, sizeof(EepRunBasis));
    facts->pools = g_new0(const char *, scenario->n_pools);
    for (guint i = 0; i < scenario->n_pools; i++)
        facts->pools[i] = scenario->pools[i].name;
    if (!digest_if_any(scenario->traffic.trace.path, &facts->trace_sha256, error) ||
        !digest_if_any(scenario->skew.load.path, &facts->load_sha256, error) ||
        !digest_if_any(scenario->skew.drift.load.path, &facts->drift_load_sha256, error)) {
        eep_scenario_facts_free(facts);
        return NULL;
    }
    facts->text = eep_scenario_write(scenario);
    facts->sha256 = g_compute_checksum_for_string(G_CHECKSUM_SHA256, facts->text, -1);
    facts->traffic_sha256 = digest_of_traffic(scenario, facts->trace_sha256);
    facts->machines = eep_hardware_is_constant(&scenario->hardware)
                          ? g_strdup("constant-step")
                          : g_strdup_printf("%s %" G_GINT64_FORMAT "x%" G_GINT64_FORMAT,
                                            scenario->hardware_profile->name, scenario->nodes,
                                            scenario->hardware.gpus_per_node);
    facts->deployment = describe_deployment(scenario);
    facts->elastic = describe_elastic(scenario);
    collect_basis(facts);
    return facts;
}

void eep_scenario_facts_free(EepScenarioFacts *facts)
{
    if (facts == NULL)
        return;
    g_free(facts->text);
    g_free(facts->sha256);
    g_free(facts->traffic_sha256);
    g_free(facts->trace_sha256);
    g_free(facts->load_sha256);
    g_free(facts->drift_load_sha256);
    g_free(facts->machines);
    g_free(facts->deployment);
    g_free(facts->elastic);
    g_free(facts->pools);
    g_array_free(facts->basis, TRUE);
    g_free(facts);
}

void eep_scenario_facts_fill(const EepScenarioFacts *facts, EepRunFacts *ret_facts)
{
    const EepScenario *scenario = facts->scenario;

    ret_facts->name = scenario->name;
    ret_facts->seed = (guint64)scenario->seed;
    ret_facts->backend = "sim";
    ret_facts->label = "SIMULATED";
    ret_facts->model = scenario->model_profile->name;
    ret_facts->hardware = scenario->hardware_profile->name;
    ret_facts->machines = facts->machines;
    ret_facts->deployment = facts->deployment;
    ret_facts->elastic = facts->elastic;
    ret_facts->scenario = facts->text;
    ret_facts->scenario_sha256 = facts->sha256;
    ret_facts->traffic_sha256 = facts->traffic_sha256;
    ret_facts->trace_sha256 = facts->trace_sha256;
    ret_facts->load_sha256 = facts->load_sha256;
    ret_facts->drift_load_sha256 = facts->drift_load_sha256;
    ret_facts->model_sha256 = scenario->model_profile->sha256;
    ret_facts->hardware_sha256 = scenario->hardware_profile->sha256;
    ret_facts->pools = facts->pools;
    ret_facts->n_pools = scenario->n_pools;
    ret_facts->basis = (const EepRunBasis *)facts->basis->data;
    ret_facts->n_basis = facts->basis->len;
    ret_facts->expect = (const char *const *)scenario->expect;
}
