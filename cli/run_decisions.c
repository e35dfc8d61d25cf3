#include "cli/run_decisions.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/time.h"

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

static double time_of(const json_t *line)
{
    const json_t *at = json_object_get(line, "t_ns");

    return json_is_integer(at) ? eep_time_to_seconds(json_integer_value(at)) : (double)NAN;
}

static void free_decision(gpointer data)
{
    EepDecision *decision = data;

    g_free(decision->words);
    g_free(decision);
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
        EepDecision *decision = g_new(EepDecision, 1);
        *decision = (EepDecision){time_of(line), g_string_free(words, FALSE)};
        g_ptr_array_add(decisions->lists[events[i].kind], decision);
    }
}

gboolean eep_run_decisions_read(EepRunDecisions *decisions, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "events.jsonl", NULL);
    g_autofree char *contents = NULL;
    guint number = 1;

    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++)
        decisions->lists[kind] = g_ptr_array_new_with_free_func(free_decision);
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

static gboolean is_same(const EepDecision *x, const EepDecision *y)
{
    return x != NULL && y != NULL && strcmp(x->words, y->words) == 0;
}

static const EepDecision *at(const GPtrArray *list, guint index)
{
    return index < list->len ? list->pdata[index] : NULL;
}

/* Of decisions that one has more than the other, those after them stay beside their like. */
GArray *eep_run_decisions_pair(const EepRunDecisions *a, const EepRunDecisions *b,
                               EepDecisionKind kind)
{
    const GPtrArray *x = a->lists[kind], *y = b->lists[kind];
    guint n = MAX(x->len, y->len), shorter = MIN(x->len, y->len), head = 0, tail = 0;
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(EepDecisionRow));

    while (head < shorter && is_same(at(x, head), at(y, head)))
        head++;
    while (head + tail < shorter && is_same(at(x, x->len - 1 - tail), at(y, y->len - 1 - tail)))
        tail++;
    for (guint i = 0; i < n; i++) {
        gboolean is_tail = i + tail >= n;
        guint place[2] = {is_tail ? i + x->len - n : i, is_tail ? i + y->len - n : i};
        EepDecisionRow row = {{is_tail || i + tail < x->len ? at(x, place[0]) : NULL,
                               is_tail || i + tail < y->len ? at(y, place[1]) : NULL},
                              FALSE};

        row.is_same = is_same(row.sides[0], row.sides[1]);
        g_array_append_val(rows, row);
    }
    return rows;
}

guint eep_decision_rows_differing(const GArray *rows, guint first)
{
    guint n = 0;

    for (guint i = first; i < rows->len; i++)
        n += !g_array_index(rows, EepDecisionRow, i).is_same;
    return n;
}
