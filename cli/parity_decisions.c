#include "cli/parity_decisions.h"

#include <math.h>
#include <string.h>

/* Lines of a kind: alike ones without a break, and all. */
#define MAX_ALIKE 30
#define MAX_LINES 48

/* Two sides, a mark before each: 100 columns. */
#define WORDS 38

/* What every line of its heading begins with says nothing. */
static const char *shown_words(const char *words)
{
    return g_str_has_prefix(words, "resize_") ? words + strlen("resize_") : words;
}

static void add_side(EepScreenText *screen, const EepDecision *side)
{
    if (side == NULL)
        eep_screen_print(screen, "%9s %-*s", "-", WORDS, "-");
    else if (isfinite(side->at_s))
        eep_screen_print(screen, "%9.3f %-*.*s", side->at_s, WORDS, WORDS,
                         shown_words(side->words));
    else
        eep_screen_print(screen, "%9s %-*.*s", "-", WORDS, WORDS, shown_words(side->words));
}

static void add_row(EepScreenText *screen, const EepDecisionRow *row)
{
    eep_screen_print(screen, "%c", row->is_same ? ' ' : '!');
    add_side(screen, row->sides[0]);
    eep_screen_print(screen, " %c", row->is_same ? ' ' : '!');
    add_side(screen, row->sides[1]);
    eep_screen_end_line(screen);
}

static void add_left_out(EepScreenText *screen, guint n, guint n_differ)
{
    if (n == 0)
        return;
    if (n_differ == 0)
        eep_screen_print(screen, "          ... %u more, all the same", n);
    else
        eep_screen_print(screen, "          ... %u more, %u of them differ: --json has all", n,
                         n_differ);
    eep_screen_end_line(screen);
}

static void add_rows(EepScreenText *screen, const GArray *rows)
{
    guint i, n_lines = 0, n_alike = 0, n_left_out = 0;

    for (i = 0; i < rows->len && n_lines < MAX_LINES; i++) {
        const EepDecisionRow *row = &g_array_index(rows, EepDecisionRow, i);

        n_alike = row->is_same ? n_alike + 1 : 0;
        if (n_alike > MAX_ALIKE) {
            n_left_out++;
            continue;
        }
        add_left_out(screen, n_left_out, 0);
        n_left_out = 0;
        add_row(screen, row);
        n_lines++;
    }
    add_left_out(screen, n_left_out + rows->len - i, eep_decision_rows_differing(rows, i));
}

void eep_parity_decisions_add_table(const EepParity *parity, EepScreenText *screen)
{
    eep_screen_print(screen, "Decisions, in order; at s, what; ! where they differ");
    eep_screen_end_line(screen);
    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++) {
        g_autoptr(GArray) rows = eep_run_decisions_pair(
            &parity->decisions[0], &parity->decisions[1], (EepDecisionKind)kind);
        guint n_differ = eep_decision_rows_differing(rows, 0);
        g_autofree char *name = g_strdup_printf("  %s", eep_decision_names[kind]),
                        *differ =
                            g_strdup_printf("%u differ%s", n_differ, n_differ == 1 ? "s" : "");

        eep_screen_print(screen, "%-46s%16u%16u  %s", name, parity->decisions[0].lists[kind]->len,
                         parity->decisions[1].lists[kind]->len, n_differ > 0 ? differ : "the same");
        eep_screen_end_line(screen);
        add_rows(screen, rows);
    }
}

/* -- JSON -------------------------------------------------------------------------------------- */

static const char *words_of(const EepDecision *side)
{
    return side != NULL ? side->words : NULL;
}

static void add_row_json(EepJson *json, const EepDecisionRow *row)
{
    static const char *const times[] = {"predicted_s", "measured_s"};
    static const char *const words[] = {"predicted", "measured"};

    eep_json_begin_object(json, NULL);
    eep_json_add_bool(json, "same", row->is_same);
    for (guint run = 0; run < 2; run++) {
        const EepDecision *side = row->sides[run];

        eep_json_add_double(json, times[run], side != NULL ? side->at_s : (double)NAN, 0);
        eep_json_add_string(json, words[run], words_of(side));
    }
    eep_json_end_object(json);
}

static void add_first_difference(EepJson *json, const GArray *rows)
{
    for (guint i = 0; i < rows->len; i++) {
        const EepDecisionRow *row = &g_array_index(rows, EepDecisionRow, i);

        if (row->is_same)
            continue;
        eep_json_begin_object(json, "first_difference");
        eep_json_add_uint(json, "index", i);
        eep_json_add_string(json, "predicted", words_of(row->sides[0]));
        eep_json_add_string(json, "measured", words_of(row->sides[1]));
        eep_json_end_object(json);
        return;
    }
    eep_json_add_null(json, "first_difference");
}

void eep_parity_decisions_add_json(const EepParity *parity, EepJson *json)
{
    eep_json_begin_array(json, "decisions");
    for (guint kind = 0; kind < EEP_DECISION_COUNT; kind++) {
        g_autoptr(GArray) rows = eep_run_decisions_pair(
            &parity->decisions[0], &parity->decisions[1], (EepDecisionKind)kind);

        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "kind", eep_decision_names[kind]);
        eep_json_add_uint(json, "predicted", parity->decisions[0].lists[kind]->len);
        eep_json_add_uint(json, "measured", parity->decisions[1].lists[kind]->len);
        eep_json_add_bool(json, "same_order", eep_decision_rows_differing(rows, 0) == 0);
        add_first_difference(json, rows);
        eep_json_begin_array(json, "rows");
        for (guint i = 0; i < rows->len; i++)
            add_row_json(json, &g_array_index(rows, EepDecisionRow, i));
        eep_json_end_array(json);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}
