#include "cli/compare_events.h"

#include "cli/compare_text.h"
#include "cli/screen_text.h"

#include <math.h>
#include <string.h>

#define MAX_SHOWN 8

typedef struct {
    const char *key; /* path into an element */
    const char *name;
    gboolean is_count;
} Figure;

static const Figure resize_figures[] = {
    {"prepare_s", "  prepare s", FALSE},
    {"stall_s", "  stall s", FALSE},
    {"reject_s", "  reject s", FALSE},
    {"downtime_s", "  downtime s", FALSE},
    {"settle_s", "  settle s", FALSE},
    {"total_s", "  total s", FALSE},
    {"experts_ready_s", "  experts ready s", FALSE},
    {"client_downtime_s", "  client downtime s", FALSE},
    {"max_itl_ms", "  ITL max ms", FALSE},
    {"rejected", "  503s", TRUE},
    {"aborted", "  aborted", TRUE},
    {"migrated", "  migrated", TRUE},
    {"dip_tokens", "  dip tokens", TRUE},
    {"recover_s", "  recover s", FALSE},
};

static const Figure incident_figures[] = {
    {"detection_s", "  detection s", FALSE},
    {"recovery_s", "  recovery s", FALSE},
    {"degraded_s", "  degraded s", FALSE},
    {"lost", "  lost", TRUE},
    {"client_retried", "  client retried", TRUE},
    {"retried", "  retried", TRUE},
    {"migrated", "  migrated", TRUE},
    {"degraded_tokens", "  degraded tokens", TRUE},
    {"experts_missing_s", "  experts missing s", FALSE},
};

/* Two words of each that say what it was. */
typedef struct {
    const char *list, *heading;
    const Figure *figures;
    guint n_figures;
    const char *words[2];
} Kind;

static const Kind kinds[] = {
    {"resizes", "resize", resize_figures, G_N_ELEMENTS(resize_figures), {"generation", "outcome"}},
    {"incidents",
     "fault",
     incident_figures,
     G_N_ELEMENTS(incident_figures),
     {"recovery_by", "outcome"}},
};

/* -- who stands beside whom -------------------------------------------------------------------- */

static double number(json_t *element, const char *key)
{
    json_t *value = json_object_get(element, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* What it is called: its id, else what it was and when. New string. */
static char *base_name(json_t *element)
{
    const char *id = json_string_value(json_object_get(element, "id"));
    const char *fault = json_string_value(json_object_get(element, "fault"));

    if (id != NULL && *id != '\0')
        return g_strdup(id);
    double at = number(element, "at_s");
    g_autofree char *clock =
        eep_screen_clock(isfinite(at) && at < 1e9 ? eep_time_from_seconds(at) : EEP_TIME_NEVER);
    if (fault != NULL)
        return g_strdup_printf("%s %s", fault, clock);
    return g_strdup_printf("%.0f->%.0f %s", number(element, "from"), number(element, "to"), clock);
}

/* The names of a list's elements, one that was there before with its number: "mtbf (2)". */
static GPtrArray *names_of(json_t *list)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gsize i;
    json_t *element;

    json_array_foreach(list, i, element)
    {
        char *name = base_name(element);
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, name)) + 1;
        g_hash_table_insert(counts, g_strdup(name), GUINT_TO_POINTER(n));
        if (n > 1) {
            char *numbered = g_strdup_printf("%s (%u)", name, n);
            g_free(name);
            name = numbered;
        }
        g_ptr_array_add(names, name);
    }
    return names;
}

/* One row of elements: NULL where a run has none of the name. */
typedef struct {
    char *name;
    json_t **elements; /* [n] */
} Group;

static void clear_group(gpointer data)
{
    Group *group = data;

    g_free(group->name);
    g_free(group->elements);
}

/* In the order of the first run that has each. */
static GArray *group_elements(const Kind *kind, json_t *const *summaries, guint n)
{
    GArray *groups = g_array_new(FALSE, TRUE, sizeof(Group));
    g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    g_array_set_clear_func(groups, clear_group);
    for (guint run = 0; run < n; run++) {
        json_t *list = json_object_get(summaries[run], kind->list);
        g_autoptr(GPtrArray) names = names_of(list);
        for (guint i = 0; i < names->len; i++) {
            const char *name = names->pdata[i];
            gpointer place;
            if (!g_hash_table_lookup_extended(places, name, NULL, &place)) {
                Group fresh = {g_strdup(name), g_new0(json_t *, n)};
                place = GUINT_TO_POINTER(groups->len);
                g_hash_table_insert(places, g_strdup(name), place);
                g_array_append_val(groups, fresh);
            }
            g_array_index(groups, Group, GPOINTER_TO_UINT(place)).elements[run] =
                json_array_get(list, i);
        }
    }
    return groups;
}

/* -- what is said of them ---------------------------------------------------------------------- */

static void get_values(const Group *group, guint n, const char *key, double *ret_values)
{
    for (guint i = 0; i < n; i++)
        ret_values[i] = number(group->elements[i], key);
}

static const char *word(json_t *element, const char *key)
{
    return json_string_value(json_object_get(element, key));
}

static void add_group(EepText *text, const Kind *kind, const Group *group, guint n)
{
    g_autofree const char **words = g_new0(const char *, n);
    g_autofree double *values = g_new0(double, n);
    g_autofree char *heading = g_strdup_printf("%s %s", kind->heading, group->name);
    gboolean is_study = FALSE;

    for (guint w = 0; w < G_N_ELEMENTS(kind->words); w++) {
        for (guint i = 0; i < n; i++) {
            words[i] = word(group->elements[i], kind->words[w]);
            is_study |= json_is_true(json_object_get(group->elements[i], "design_study"));
        }
        eep_compare_text_add_words(text, w == 0 ? heading : "  outcome", words, n, TRUE);
    }
    for (guint f = 0; f < kind->n_figures; f++) {
        get_values(group, n, kind->figures[f].key, values);
        if (eep_compare_text_has_value(values, n))
            eep_compare_text_add_row(text, kind->figures[f].name, values, n,
                                     kind->figures[f].is_count);
    }
    if (is_study)
        eep_text_add_string(text, "  eep is a DESIGN STUDY: nobody has measured it\n");
}

void eep_compare_events_add_table(EepText *text, json_t *const *summaries, guint n)
{
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(GArray) groups = group_elements(&kinds[k], summaries, n);
        for (guint i = 0; i < MIN(groups->len, MAX_SHOWN); i++)
            add_group(text, &kinds[k], &g_array_index(groups, Group, i), n);
        if (groups->len > MAX_SHOWN) {
            g_autofree char *more = g_strdup_printf("%u more %s: --json has them\n",
                                                    groups->len - MAX_SHOWN, kinds[k].list);
            eep_text_add_string(text, more);
        }
    }
}

static void add_words_json(EepJson *json, const Group *group, guint n, const char *key)
{
    eep_json_begin_array(json, key);
    for (guint i = 0; i < n; i++)
        eep_json_add_string(json, NULL, word(group->elements[i], key));
    eep_json_end_array(json);
}

void eep_compare_events_add_json(EepJson *json, json_t *const *summaries, guint n)
{
    g_autofree double *values = g_new0(double, n);

    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        const Kind *kind = &kinds[k];
        g_autoptr(GArray) groups = group_elements(kind, summaries, n);
        eep_json_begin_array(json, kind->list);
        for (guint i = 0; i < groups->len; i++) {
            const Group *group = &g_array_index(groups, Group, i);
            eep_json_begin_object(json, NULL);
            eep_json_add_string(json, "id", group->name);
            for (guint w = 0; w < G_N_ELEMENTS(kind->words); w++)
                add_words_json(json, group, n, kind->words[w]);
            eep_json_begin_array(json, "figures");
            for (guint f = 0; f < kind->n_figures; f++) {
                get_values(group, n, kind->figures[f].key, values);
                eep_compare_text_add_json(json, kind->figures[f].key, values, n);
            }
            eep_json_end_array(json);
            eep_json_end_object(json);
        }
        eep_json_end_array(json);
    }
}
