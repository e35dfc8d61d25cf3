#include "cli/journal_header.h"

#include <jansson.h>
#include <string.h>

#include "core/json.h"

/* Of a line that differs, what is quoted. */
#define MAX_QUOTED 60

/* In the order in which differences are looked for: what comes first explains what follows. */
static const struct {
    const char *key, *name;
    gboolean is_shown; /* else it is a checksum */
} members[] = {
    {"version", "version of eep", TRUE},
    {"backend", "backend", TRUE},
    {"label", "label", TRUE},
    {"scenario", NULL, FALSE},
    {"seed", "seed", TRUE},
    {"traffic_sha256", "traffic", FALSE},
    {"model_sha256", "model's profile", FALSE},
    {"hardware_sha256", "hardware profile", FALSE},
    {"load_sha256", "file of skew.load", FALSE},
    {"drift_load_sha256", "file of skew.drift", FALSE},
    {"scenario_sha256", "scenario", FALSE},
};

char *eep_journal_header_new(const EepRunFacts *facts)
{
    EepText text;
    EepJson json;

    eep_text_init(&text);
    eep_json_init(&json, &text, EEP_JSON_COMPACT);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "version", EEP_VERSION);
    eep_json_add_string(&json, "backend", facts->backend);
    eep_json_add_string(&json, "label", facts->label);
    eep_json_add_uint(&json, "seed", facts->seed);
    eep_json_add_string(&json, "scenario_sha256", facts->scenario_sha256);
    eep_json_add_string(&json, "traffic_sha256", facts->traffic_sha256);
    eep_json_add_string(&json, "model_sha256", facts->model_sha256);
    eep_json_add_string(&json, "hardware_sha256", facts->hardware_sha256);
    if (facts->load_sha256 != NULL)
        eep_json_add_string(&json, "load_sha256", facts->load_sha256);
    if (facts->drift_load_sha256 != NULL)
        eep_json_add_string(&json, "drift_load_sha256", facts->drift_load_sha256);
    eep_json_add_string(&json, "scenario", facts->scenario);
    eep_json_end_object(&json);
    return eep_text_steal(&text);
}

char *eep_journal_header_label(const char *header)
{
    json_t *root = json_loads(header, 0, NULL);
    char *label = g_strdup(json_string_value(json_object_get(root, "label")));

    json_decref(root);
    return label;
}

/* Both texts up to the first line in which they differ. */
static char *line_difference(const char *recorded, const char *scenario)
{
    g_auto(GStrv) there = g_strsplit(recorded, "\n", -1);
    g_auto(GStrv) here = g_strsplit(scenario, "\n", -1);
    guint line = 0;

    while (there[line] != NULL && g_strcmp0(there[line], here[line]) == 0)
        line++;
    if (there[line] == NULL && here[line] == NULL)
        return NULL;
    return g_strdup_printf("line %u of its scenario.yaml was \"%.*s\" and is \"%.*s\"", line + 1,
                           MAX_QUOTED, there[line] != NULL ? there[line] : "", MAX_QUOTED,
                           here[line] != NULL ? here[line] : "");
}

static char *member_difference(guint member, const json_t *there, const json_t *here)
{
    const char *name = members[member].name;

    if (json_equal(there, here))
        return NULL;
    if (name == NULL) {
        const char *recorded = json_string_value(there), *scenario = json_string_value(here);
        return line_difference(recorded != NULL ? recorded : "", scenario != NULL ? scenario : "");
    }
    if (!members[member].is_shown)
        return g_strdup_printf("the %s has changed since", name);
    g_autofree char *was = json_dumps(there, JSON_ENCODE_ANY);
    g_autofree char *is = json_dumps(here, JSON_ENCODE_ANY);
    return g_strdup_printf("the %s was %s and is %s", name, was != NULL ? was : "not there",
                           is != NULL ? is : "not there");
}

char *eep_journal_header_difference(const char *recorded, const char *header)
{
    char *difference = NULL;

    if (strcmp(recorded, header) == 0)
        return NULL;
    json_t *there = json_loads(recorded, 0, NULL), *here = json_loads(header, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(members) && difference == NULL && there != NULL; i++)
        difference = member_difference(i, json_object_get(there, members[i].key),
                                       json_object_get(here, members[i].key));
    json_decref(there);
    json_decref(here);
    return difference != NULL ? difference : g_strdup("its header is of another kind");
}
