/* EepParity on the screen and as JSON. */
#include "cli/parity.h"

#include "cli/parity_decisions.h"
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
    eep_parity_decisions_add_table(parity, &screen);
    for (guint kind = 0; kind < EEP_PARITY_COUNT; kind++)
        add_pairs(parity, (EepParityKind)kind, &screen);
    if (parity->picture != NULL) {
        eep_screen_print(&screen, "Picture: %s", parity->picture);
        eep_screen_end_line(&screen);
    }
    eep_text_add_string(text, eep_text_string(&screen.lines));
}

/* -- JSON -------------------------------------------------------------------------------------- */

void eep_parity_add_json(const EepParity *parity, EepJson *json)
{
    eep_json_begin_object(json, "parity");
    eep_json_add_string(json, "predicted", parity->paths[0]);
    eep_json_add_string(json, "measured", parity->paths[1]);
    eep_json_add_string(json, "predicted_label", parity->labels[0]);
    eep_json_add_string(json, "measured_label", parity->labels[1]);
    eep_json_add_string(json, "scenario_difference", parity->scenario_difference);
    eep_json_add_string(json, "picture", parity->picture);
    eep_parity_decisions_add_json(parity, json);
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
