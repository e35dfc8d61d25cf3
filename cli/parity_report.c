/* EepParity on the screen and as JSON. */
#include "cli/parity.h"

#include "cli/screen_text.h"

#include <math.h>
#include <string.h>

/* Of each kind, on the screen. */
#define MAX_SHOWN 40

static const struct {
    const char *heading, *member;
} kinds[EEP_PARITY_COUNT] = {
    {"Phases of resizes, s", "phases"},
    {"Steps, ms", "step_time"},
    {"Steps, mean by tokens, ms", "step_time_by_tokens"},
    {"Latency, ms", "latency"},
};

static void add_line(EepScreenText *screen, const char *name, const char *predicted,
                     const char *measured, const char *last)
{
    eep_screen_print(screen, "%-46.46s%16s%16s  %s", name, predicted, measured, last);
    eep_screen_end_line(screen);
}

static const char *decision(const EepParity *parity, guint run, EepDecisionKind kind, guint index)
{
    const GPtrArray *list = parity->decisions[run].lists[kind];

    return index < list->len ? list->pdata[index] : NULL;
}

static void add_decisions(const EepParity *parity, EepScreenText *screen)
{
    add_line(screen, "Decisions, in order", "", "", "");
    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++) {
        guint n[2], first;
        gboolean differ = eep_run_decisions_differ(&parity->decisions[0], &parity->decisions[1],
                                                   (EepDecisionKind)kind, &first);
        g_autofree char *name = g_strdup_printf("  %s", eep_decision_names[kind]);

        for (guint run = 0; run < 2; run++)
            n[run] = parity->decisions[run].lists[kind]->len;
        g_autofree char *predicted = eep_screen_whole(n[0]), *measured = eep_screen_whole(n[1]);
        add_line(screen, name, predicted, measured, differ ? "differ" : "the same");
        for (guint run = 0; run < 2 && differ; run++) {
            const char *what = decision(parity, run, (EepDecisionKind)kind, first);
            eep_screen_print(screen, "    no. %u %-9s %s", first + 1,
                             run == 0 ? "predicted" : "measured", what != NULL ? what : "-");
            eep_screen_end_line(screen);
        }
    }
}

static char *figure_of(const EepParityPair *pair, guint run)
{
    double value = pair->values[run];

    return pair->is_count && isfinite(value) ? eep_screen_whole((guint64)value)
                                             : eep_screen_figure(value);
}

/* A pair without any value says nothing on a screen. */
static gboolean is_shown(const EepParityPair *pair)
{
    return isfinite(pair->values[0]) || isfinite(pair->values[1]);
}

static void add_pairs(const EepParity *parity, EepParityKind kind, EepScreenText *screen)
{
    guint n = 0;

    for (guint i = 0; i < parity->pairs->len; i++) {
        const EepParityPair *pair = parity->pairs->pdata[i];
        if (pair->kind != kind || !is_shown(pair) || n++ >= MAX_SHOWN)
            continue;
        g_autofree char *name = g_strdup_printf("  %s", pair->name);
        g_autofree char *predicted = figure_of(pair, 0), *measured = figure_of(pair, 1);
        g_autofree char *ratio = eep_screen_figure(eep_parity_ratio(pair));
        if (n == 1)
            add_line(screen, kinds[kind].heading, "", "", "");
        add_line(screen, name, predicted, measured, ratio);
    }
    if (n > MAX_SHOWN) {
        eep_screen_print(screen, "  %u more: --json has them", n - MAX_SHOWN);
        eep_screen_end_line(screen);
    }
}

void eep_parity_add_table(const EepParity *parity, EepText *text)
{
    g_auto(EepScreenText) screen;

    eep_screen_init(&screen);
    eep_screen_end_line(&screen);
    if (parity->scenario_difference != NULL) {
        eep_screen_print(&screen, "NOT THE SAME SCENARIO: %s", parity->scenario_difference);
        eep_screen_end_line(&screen);
    }
    add_line(&screen, "Measured / predicted", parity->labels[0], parity->labels[1], "ratio");
    if (strcmp(parity->labels[1], "EMULATED") == 0) {
        eep_screen_print(&screen, "  EMULATED: the ratios say nothing about a GPU; the order of "
                                  "decisions does");
        eep_screen_end_line(&screen);
    }
    add_decisions(parity, &screen);
    for (guint kind = 0; kind < EEP_PARITY_COUNT; kind++)
        add_pairs(parity, (EepParityKind)kind, &screen);
    eep_text_add_string(text, eep_text_string(&screen.lines));
}

/* -- JSON -------------------------------------------------------------------------------------- */

static void add_decisions_json(const EepParity *parity, EepJson *json)
{
    eep_json_begin_array(json, "decisions");
    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++) {
        guint first;
        gboolean differ = eep_run_decisions_differ(&parity->decisions[0], &parity->decisions[1],
                                                   (EepDecisionKind)kind, &first);

        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "kind", eep_decision_names[kind]);
        eep_json_add_uint(json, "predicted", parity->decisions[0].lists[kind]->len);
        eep_json_add_uint(json, "measured", parity->decisions[1].lists[kind]->len);
        eep_json_add_bool(json, "same_order", !differ);
        if (differ) {
            eep_json_begin_object(json, "first_difference");
            eep_json_add_uint(json, "index", first);
            eep_json_add_string(json, "predicted",
                                decision(parity, 0, (EepDecisionKind)kind, first));
            eep_json_add_string(json, "measured",
                                decision(parity, 1, (EepDecisionKind)kind, first));
            eep_json_end_object(json);
        } else {
            eep_json_add_null(json, "first_difference");
        }
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

void eep_parity_add_json(const EepParity *parity, EepJson *json)
{
    eep_json_begin_object(json, "parity");
    eep_json_add_string(json, "predicted", parity->paths[0]);
    eep_json_add_string(json, "measured", parity->paths[1]);
    eep_json_add_string(json, "predicted_label", parity->labels[0]);
    eep_json_add_string(json, "measured_label", parity->labels[1]);
    eep_json_add_string(json, "scenario_difference", parity->scenario_difference);
    add_decisions_json(parity, json);
    for (guint kind = 0; kind < EEP_PARITY_COUNT; kind++) {
        eep_json_begin_array(json, kinds[kind].member);
        for (guint i = 0; i < parity->pairs->len; i++) {
            const EepParityPair *pair = parity->pairs->pdata[i];
            if (pair->kind != kind)
                continue;
            eep_json_begin_object(json, NULL);
            eep_json_add_string(json, "name", pair->name);
            eep_json_add_double(json, "predicted", pair->values[0], 0);
            eep_json_add_double(json, "measured", pair->values[1], 0);
            eep_json_add_double(json, "ratio", eep_parity_ratio(pair), 0);
            eep_json_end_object(json);
        }
        eep_json_end_array(json);
    }
    eep_json_end_object(json);
}
