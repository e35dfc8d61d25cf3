#include "cli/compare_text.h"

#include "cli/screen_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS  24
#define VALUE_COLUMNS 12
#define DELTA_COLUMNS 20

static gboolean is_whole(double value)
{
    return isfinite(value) && value == floor(value);
}

/* The size of a value; a count has all its digits. */
static char *figure_of(double value, gboolean is_count)
{
    return is_count && value < 1e7 ? eep_screen_whole((guint64)value) : eep_screen_figure(value);
}

static char *signed_figure(double value, gboolean is_count)
{
    g_autofree char *figure = figure_of(fabs(value), is_count);

    return g_strdup_printf("%s%s", value > 0.0 ? "+" : value < 0.0 ? "-" : "", figure);
}

/* "+1.20 (+3.4 %)"; "=" when nothing changed, "-" when one of them has no value. Of a change whose
 * share does not fit into the column, the change alone. */
static char *delta_text(double base, double value)
{
    if (!isfinite(base) || !isfinite(value))
        return g_strdup("-");
    /* Sums of the same parts may differ in their last bits. */
    if (fabs(value - base) <= 1e-9 * fabs(base))
        return g_strdup("=");
    g_autofree char *delta = signed_figure(value - base, is_whole(value) && is_whole(base));
    if (base == 0.0)
        return g_steal_pointer(&delta);
    g_autofree char *percent = signed_figure(100.0 * (value - base) / fabs(base), FALSE);
    g_autofree char *both = g_strdup_printf("%s (%s %%)", delta, percent);
    return strlen(both) < DELTA_COLUMNS ? g_steal_pointer(&both) : g_steal_pointer(&delta);
}

static void pad(EepText *text, const char *string, int width)
{
    g_autofree char *padded = g_strdup_printf("%*.*s", width, abs(width), string);

    eep_text_add_string(text, padded);
}

static void end_line(EepText *text)
{
    while (text->length > 0 && text->data[text->length - 1] == ' ')
        text->length--;
    eep_text_add_char(text, '\n');
}

void eep_compare_text_add_labels(EepText *text, const char *const *labels, guint n)
{
    /* The first label may begin above the names. */
    pad(text, labels[0], NAME_COLUMNS + VALUE_COLUMNS);
    for (guint i = 1; i < n; i++) {
        eep_text_add_char(text, ' '); /* between two that are cut */
        pad(text, labels[i], VALUE_COLUMNS + DELTA_COLUMNS - 1);
    }
    end_line(text);
}

void eep_compare_text_add_row(EepText *text, const char *name, const double *values, guint n,
                              gboolean is_count)
{
    pad(text, name, -NAME_COLUMNS);
    for (guint i = 0; i < n; i++) {
        g_autofree char *shown =
            figure_of(values[i], is_count && is_whole(values[i]) && values[i] >= 0.0);
        g_autofree char *delta = delta_text(values[0], values[i]);
        pad(text, shown, VALUE_COLUMNS);
        if (i > 0)
            pad(text, delta, DELTA_COLUMNS);
    }
    end_line(text);
}

gboolean eep_compare_text_has_value(const double *values, guint n)
{
    for (guint i = 0; i < n; i++)
        if (isfinite(values[i]) && values[i] != 0.0)
            return TRUE;
    return FALSE;
}

void eep_compare_text_add_words(EepText *text, const char *name, const char *const *words, guint n,
                                gboolean always)
{
    gboolean any = always;

    for (guint i = 1; i < n; i++)
        any |= g_strcmp0(words[0], words[i]) != 0;
    if (!any)
        return;
    pad(text, name, -NAME_COLUMNS);
    for (guint i = 0; i < n; i++) {
        pad(text, words[i] != NULL ? words[i] : "-", VALUE_COLUMNS);
        if (i > 0)
            pad(text, "", DELTA_COLUMNS);
    }
    end_line(text);
}

void eep_compare_text_add_json(EepJson *json, const char *key, const double *values, guint n)
{
    static const char *const members[] = {"values", "delta", "delta_percent"};

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "key", key);
    for (guint m = 0; m < G_N_ELEMENTS(members); m++) {
        eep_json_begin_array(json, members[m]);
        for (guint i = 0; i < n; i++) {
            double delta = i > 0 ? values[i] - values[0] : (double)NAN;
            double percent = values[0] != 0.0 ? 100.0 * delta / fabs(values[0]) : (double)NAN;
            eep_json_add_double(json, NULL, m == 0 ? values[i] : m == 1 ? delta : percent, 0);
        }
        eep_json_end_array(json);
    }
    eep_json_end_object(json);
}
