#include "cli/parity.h"

#include "cli/scenario_difference.h"

#include <math.h>
#include <string.h>

/* -- pairs ------------------------------------------------------------------------------------- */

static void free_pair(gpointer data)
{
    EepParityPair *pair = data;

    g_free(pair->name);
    g_free(pair);
}

typedef struct {
    EepParity *parity;
    GHashTable *places; /* "KIND NAME" to its pair */
    guint run;
    GHashTable *taken; /* pairs that the run being read has filled */
} Collector;

static EepParityPair *find_pair(Collector *collector, EepParityKind kind, const char *name)
{
    g_autofree char *key = g_strdup_printf("%u %s", kind, name);
    EepParityPair *pair = g_hash_table_lookup(collector->places, key);

    if (pair != NULL)
        return pair;
    pair = g_new0(EepParityPair, 1);
    *pair = (EepParityPair){.kind = kind, .name = g_strdup(name), .values = {NAN, NAN}};
    g_hash_table_insert(collector->places, g_steal_pointer(&key), pair);
    g_ptr_array_add(collector->parity->pairs, pair);
    return pair;
}

/* A name that the run has had before gets a number: the second of one run stands beside the second
 * of the other. */
static void add_value(Collector *collector, EepParityKind kind, const char *name, double value)
{
    EepParityPair *pair = find_pair(collector, kind, name);

    for (guint n = 2; !g_hash_table_add(collector->taken, pair); n++) {
        g_autofree char *numbered = g_strdup_printf("%s (%u)", name, n);
        pair = find_pair(collector, kind, numbered);
    }
    pair->values[collector->run] = value;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const char *word(const json_t *object, const char *key)
{
    const char *string = json_string_value(json_object_get(object, key));

    return string != NULL ? string : "";
}

static void collect_phases(Collector *collector, const json_t *summary)
{
    json_t *resizes = json_object_get(summary, "resizes"), *resize, *phase;
    gsize i, k;

    json_array_foreach(resizes, i, resize)
    {
        const char *id = word(resize, "id");
        g_autofree char *size =
            g_strdup_printf("%.0f->%.0f", number(resize, "from"), number(resize, "to"));

        json_array_foreach(json_object_get(resize, "phases"), k, phase)
        {
            g_autofree char *name = g_strdup_printf("%s %s (%s)", *id != '\0' ? id : size,
                                                    word(phase, "name"), word(phase, "who"));
            add_value(collector, EEP_PARITY_PHASE, name,
                      number(phase, "end_s") - number(phase, "start_s"));
        }
    }
}

/* Figures of a distribution, by the ends of their keys. */
static const struct {
    const char *key, *name;
} figures[] = {{"mean", "mean"}, {"median", "p50"}, {"p90", "p90"}, {"p99", "p99"}};

/* More than the tokens that a class can begin with and a screen shows in order. */
#define PLACES 1000000

static char *class_name(const char *kind, double tokens)
{
    if (tokens <= 1.0)
        return g_strdup_printf("%s, %s an engine", kind, tokens < 1.0 ? "no token" : "1 token");
    return g_strdup_printf("%s, %.0f to %.0f tokens an engine", kind, tokens, 2.0 * tokens - 1.0);
}

static void collect_steps(Collector *collector, const json_t *summary)
{
    json_t *kinds = json_object_get(summary, "step_time"), *kind, *steps;
    const char *name;
    guint place = 0;
    gsize i;

    json_object_foreach(kinds, name, kind)
    {
        g_autofree char *count = g_strdup_printf("%s, number", name);

        add_value(collector, EEP_PARITY_STEP, count, number(kind, "n"));
        find_pair(collector, EEP_PARITY_STEP, count)->is_count = TRUE;
        for (guint f = 0; f < G_N_ELEMENTS(figures); f++) {
            g_autofree char *key = g_strconcat(figures[f].key, "_ms", NULL);
            g_autofree char *figure = g_strdup_printf("%s, %s", name, figures[f].name);
            add_value(collector, EEP_PARITY_STEP, figure, number(kind, key));
        }
        json_array_foreach(json_object_get(kind, "by_tokens"), i, steps)
        {
            g_autofree char *of_tokens = class_name(name, number(steps, "tokens"));

            add_value(collector, EEP_PARITY_CLASS, of_tokens, number(steps, "mean_ms"));
            find_pair(collector, EEP_PARITY_CLASS, of_tokens)->place =
                place + (guint)MIN(number(steps, "tokens"), PLACES - 1);
        }
        place += PLACES;
    }
}

static void collect_latencies(Collector *collector, const json_t *summary)
{
    static const char *const latencies[][2] = {
        {"ttft", "TTFT"}, {"tpot", "TPOT"}, {"itl", "ITL"}, {"e2el", "E2EL"}};

    for (guint i = 0; i < G_N_ELEMENTS(latencies); i++)
        for (guint f = 0; f < G_N_ELEMENTS(figures); f++) {
            g_autofree char *key = g_strdup_printf("%s_%s_ms", figures[f].key, latencies[i][0]);
            g_autofree char *name = g_strdup_printf("%s %s", latencies[i][1], figures[f].name);
            add_value(collector, EEP_PARITY_LATENCY, name, number(summary, key));
        }
}

static gint by_kind(gconstpointer a, gconstpointer b)
{
    const EepParityPair *x = *(EepParityPair *const *)a, *y = *(EepParityPair *const *)b;

    return x->kind != y->kind ? (gint)x->kind - (gint)y->kind : (gint)x->place - (gint)y->place;
}

static void collect(EepParity *parity, json_t *const summaries[2])
{
    Collector collector = {.parity = parity,
                           .places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                           .taken = g_hash_table_new(NULL, NULL)};

    for (collector.run = 0; collector.run < 2; collector.run++) {
        g_hash_table_remove_all(collector.taken);
        collect_phases(&collector, summaries[collector.run]);
        collect_steps(&collector, summaries[collector.run]);
        collect_latencies(&collector, summaries[collector.run]);
    }
    g_ptr_array_sort(parity->pairs, by_kind); /* stable: GLib's is a merge sort */
    g_hash_table_unref(collector.places);
    g_hash_table_unref(collector.taken);
}

double eep_parity_ratio(const EepParityPair *pair)
{
    return pair->values[0] > 0.0 ? pair->values[1] / pair->values[0] : (double)NAN;
}

/* -- its life ---------------------------------------------------------------------------------- */

gboolean eep_parity_applies(json_t *const summaries[2])
{
    return strcmp(word(summaries[0], "label"), word(summaries[1], "label")) != 0;
}

static gboolean check_scenario(EepParity *parity, gboolean force, GError **error)
{
    if (!eep_scenario_difference(parity->paths[0], parity->paths[1], &parity->scenario_difference,
                                 error))
        return FALSE;
    if (parity->scenario_difference == NULL || force)
        return TRUE;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                "%s and %s are runs of different scenarios: %s: run one again with the other's, or "
                "give --force",
                parity->paths[0], parity->paths[1], parity->scenario_difference);
    return FALSE;
}

EepParity *eep_parity_new(const char *const folders[2], json_t *const summaries[2], gboolean force,
                          GError **error)
{
    guint predicted = strcmp(word(summaries[1], "label"), "SIMULATED") == 0 ? 1 : 0;
    json_t *const in_order[2] = {summaries[predicted], summaries[1 - predicted]};
    g_autoptr(EepParity) parity = g_new0(EepParity, 1);

    parity->pairs = g_ptr_array_new_with_free_func(free_pair);
    for (guint i = 0; i < 2; i++) {
        parity->paths[i] = g_strdup(folders[i == 0 ? predicted : 1 - predicted]);
        parity->labels[i] = word(in_order[i], "label");
    }
    if (!check_scenario(parity, force, error))
        return NULL;
    for (guint i = 0; i < 2; i++)
        if (!eep_run_decisions_read(&parity->decisions[i], parity->paths[i], error))
            return NULL;
    collect(parity, in_order);
    return g_steal_pointer(&parity);
}

void eep_parity_free(EepParity *parity)
{
    if (parity == NULL)
        return;
    for (guint i = 0; i < 2; i++) {
        eep_run_decisions_clear(&parity->decisions[i]);
        g_free(parity->paths[i]);
    }
    g_free(parity->scenario_difference);
    g_free(parity->picture);
    g_ptr_array_unref(parity->pairs);
    g_free(parity);
}
