#include "cli/run_decisions.h"

#include <jansson.h>
#include <string.h>

const char *const eep_decision_names[EEP_DECISION_COUNT] = {"resizes", "phases", "reshuffles",
                                                            "incidents", "recoveries"};

#define MAX_MEMBERS 5

/* Members that say what was decided; times and amounts are left out. */
static const struct {
    const char *event;
    EepDecisionKind kind;
    const char *members[MAX_MEMBERS];
} events[] = {
    {"resize_accepted", EEP_DECISION_RESIZE, {"id", "from", "to", "generation"}},
    {"resize_cancel", EEP_DECISION_RESIZE, {"cancelled"}},
    {"resize_ended", EEP_DECISION_RESIZE, {"id", "from", "to", "outcome"}},
    {"resize_phase", EEP_DECISION_PHASE, {"id", "phase"}},
    {"eplb_rearranged", EEP_DECISION_RESHUFFLE, {"trigger"}},
    {"fault", EEP_DECISION_INCIDENT, {"id", "fault", "detail"}},
    {"fault_without_target", EEP_DECISION_INCIDENT, {"id", "fault"}},
    {"event_not_reached", EEP_DECISION_INCIDENT, {"id"}},
    {"fault_detected", EEP_DECISION_INCIDENT, {"id", "fault", "detail"}},
    {"fault_recovered", EEP_DECISION_RECOVERY, {"id", "fault", "detail"}},
    {"experts_back", EEP_DECISION_RECOVERY, {"id"}},
    {"no_spare_left", EEP_DECISION_RECOVERY, {"id"}},
    {"incident_ended", EEP_DECISION_RECOVERY, {"id", "fault", "detail"}},
    {"deployment_exited", EEP_DECISION_RECOVERY, {NULL}},
};

static void add_word(GString *words, const json_t *value)
{
    const char *string = json_string_value(value);

    if (json_is_integer(value))
        g_string_append_printf(words, " %" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        g_string_append(words, json_is_true(value) ? " yes" : " no");
    else if (string != NULL && *string != '\0')
        g_string_append_printf(words, " %s", string);
}

static void add_decision(EepRunDecisions *decisions, const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));

    for (guint i = 0; i < G_N_ELEMENTS(events); i++) {
        if (g_strcmp0(event, events[i].event) != 0)
            continue;
        GString *words = g_string_new(event);
        add_word(words, json_object_get(line, "pool"));
        for (guint m = 0; m < MAX_MEMBERS && events[i].members[m] != NULL; m++)
            add_word(words, json_object_get(line, events[i].members[m]));
        g_ptr_array_add(decisions->lists[events[i].kind], g_string_free(words, FALSE));
    }
}

gboolean eep_run_decisions_read(EepRunDecisions *decisions, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "events.jsonl", NULL);
    g_autofree char *contents = NULL;
    guint number = 1;

    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++)
        decisions->lists[kind] = g_ptr_array_new_with_free_func(g_free);
    if (!g_file_get_contents(path, &contents, NULL, error))
        return FALSE;
    for (char *line = contents; *line != '\0'; number++) {
        char *end = strchrnul(line, '\n');
        json_error_t place;
        json_t *root = json_loadb(line, (gsize)(end - line), 0, &place);

        if (root == NULL) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%u:%d: %s", path, number,
                        place.column, place.text);
            return FALSE;
        }
        add_decision(decisions, root);
        json_decref(root);
        line = *end == '\n' ? end + 1 : end;
    }
    return TRUE;
}

void eep_run_decisions_clear(EepRunDecisions *decisions)
{
    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++)
        g_clear_pointer(&decisions->lists[kind], g_ptr_array_unref);
}

gboolean eep_run_decisions_differ(const EepRunDecisions *a, const EepRunDecisions *b,
                                  EepDecisionKind kind, guint *ret_index)
{
    const GPtrArray *x = a->lists[kind], *y = b->lists[kind];
    guint i = 0;

    while (i < x->len && i < y->len && strcmp(x->pdata[i], y->pdata[i]) == 0)
        i++;
    *ret_index = i;
    return i < x->len || i < y->len;
}
