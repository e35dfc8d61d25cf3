#include "cli/picture_gantt.h"

#include "cli/gantt_rows.h"
#include "cli/gnuplot.h"
#include "cli/run_facts.h"

#include <math.h>
#include <string.h>

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const char *word(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static void clear_phase(gpointer data)
{
    EepPicturePhase *phase = data;

    g_free(phase->name);
}

static void clear_gantt(gpointer data)
{
    EepPictureGantt *gantt = data;

    g_free(gantt->picture);
    g_free(gantt->title);
    g_array_unref(gantt->phases);
    g_array_unref(gantt->rows);
}

static void read_phases(EepPictureGantt *gantt, const json_t *resize)
{
    gsize i;
    json_t *item;

    json_array_foreach(json_object_get(resize, "phases"), i, item)
    {
        EepPicturePhase phase = {.name = g_strdup(word(item, "name")),
                                 .blocks = json_is_true(json_object_get(item, "blocks"))};
        g_array_append_val(gantt->phases, phase);
    }
}

static EepGanttBar *bar_at(const EepGanttRow *row, guint index)
{
    return &g_array_index(row->bars, EepGanttBar, index);
}

/* What never ended is drawn up to the end of the picture. */
static void set_ends(EepPictureGantt *gantt)
{
    for (guint i = 0; i < gantt->rows->len; i++) {
        const EepGanttRow *row = &g_array_index(gantt->rows, EepGanttRow, i);
        for (guint k = 0; k < row->bars->len; k++)
            gantt->end_s = fmax(gantt->end_s, fmax(bar_at(row, k)->start_s, bar_at(row, k)->end_s));
    }
    for (guint i = 0; i < gantt->rows->len; i++) {
        const EepGanttRow *row = &g_array_index(gantt->rows, EepGanttRow, i);
        for (guint k = 0; k < row->bars->len; k++) {
            EepGanttBar *bar = bar_at(row, k);
            EepPicturePhase *phase = &g_array_index(gantt->phases, EepPicturePhase, bar->phase);
            if (isnan(bar->end_s))
                bar->end_s = gantt->end_s;
            phase->longest_s = fmax(phase->longest_s, bar->end_s - bar->start_s);
            phase->is_drawn = TRUE;
        }
    }
}

/* "resize 1, grow: 16 -> 24, g2.1, complete | quickstart". */
static char *title_of(const json_t *summary, const json_t *resize, gsize number_of)
{
    const char *id = word(resize, "id"), *generation = word(resize, "generation");

    return g_strdup_printf("resize %" G_GSIZE_FORMAT "%s%s: %.0f -> %.0f, %s%s, %s | %s | %s",
                           number_of, *id != '\0' ? ", " : "", id, number(resize, "from"),
                           number(resize, "to"), generation,
                           eep_run_is_design_study(generation) ? " (design study)" : "",
                           word(resize, "outcome"), word(summary, "name"), word(summary, "label"));
}

GArray *eep_picture_gantts_read(const json_t *summary)
{
    GArray *gantts = g_array_new(FALSE, TRUE, sizeof(EepPictureGantt));
    gsize i;
    json_t *resize;

    g_array_set_clear_func(gantts, clear_gantt);
    json_array_foreach(json_object_get(summary, "resizes"), i, resize)
    {
        double accepted = number(resize, "accepted_s"), total = number(resize, "total_s");
        if (isnan(accepted) || json_array_size(json_object_get(resize, "phases")) == 0 ||
            gantts->len == EEP_PICTURE_MAX_GANTTS)
            continue;
        EepPictureGantt gantt = {.picture = g_strdup_printf("resize_%" G_GSIZE_FORMAT, i + 1),
                                 .title = title_of(summary, resize, i + 1),
                                 .commit_s = number(resize, "prepare_s"),
                                 .end_s = isnan(total) ? 0.0 : total,
                                 .phases = g_array_new(FALSE, FALSE, sizeof(EepPicturePhase)),
                                 .rows = eep_gantt_rows_read(resize)};
        gantt.serving_s = gantt.commit_s + number(resize, "commit_s");
        g_array_set_clear_func(gantt.phases, clear_phase);
        read_phases(&gantt, resize);
        set_ends(&gantt);
        gantt.end_s = fmax(gantt.end_s, 1e-3);
        g_array_append_val(gantts, gantt);
    }
    return gantts;
}

/* gnuplot knows NaN by that name only. */
static void add_time(EepText *text, const char *name, double value)
{
    if (isfinite(value)) {
        eep_gnuplot_add_number(text, name, value);
    } else {
        eep_text_add_string(text, name);
        eep_text_add_string(text, " = NaN\n");
    }
}

/* The phases by name, those beside serving first; ret_keys[phase] is its place from 1. One that
 * comes twice, as beside serving and not, has two. */
static void add_keys(EepText *script, const EepPictureGantt *gantt, guint *ret_keys)
{
    guint n = 0;

    for (guint blocks = 0; blocks < 2; blocks++) {
        for (guint i = 0; i < gantt->phases->len; i++) {
            const EepPicturePhase *phase = &g_array_index(gantt->phases, EepPicturePhase, i);
            if (!phase->is_drawn || (guint)phase->blocks != blocks)
                continue;
            ret_keys[i] = ++n;
            g_autofree char *name = g_strdup_printf("phase_name[%u]", n);
            g_autofree char *length = g_strdup_printf("phase_length[%u]", n);
            eep_gnuplot_add_string(script, name, phase->name);
            eep_gnuplot_add_number(script, length, phase->longest_s);
        }
        eep_gnuplot_add_number(script, blocks ? "n_phases" : "n_beside", n);
    }
}

static void add_bar(EepText *table, guint row, guint n_lanes, const EepGanttBar *bar, guint key)
{
    const double height = 0.8 / n_lanes, low = row + 0.6 + height * bar->lane;
    const double fields[] = {low, low + height, bar->start_s, bar->end_s, key};

    for (guint k = 0; k < G_N_ELEMENTS(fields); k++) {
        eep_text_add_double(table, fields[k], 9);
        eep_text_add_char(table, k + 1 < G_N_ELEMENTS(fields) ? ' ' : '\n');
    }
}

static void add_times(EepText *script, const EepPictureGantt *gantt)
{
    eep_gnuplot_add_string(script, "resize_title", gantt->title);
    add_time(script, "t_commit", gantt->commit_s);
    eep_gnuplot_add_string(script, "commit_label",
                           isfinite(gantt->serving_s) ? "commit" : "end of prepare");
    add_time(script, "t_serving", gantt->serving_s);
    add_time(script, "t_end", gantt->end_s);
}

/* PICTURE.dat: top and bottom (rows count from 1, downwards), start, end, number of the phase. */
gboolean eep_picture_gantt_write(const EepPictureGantt *gantt, const char *folder, GError **error)
{
    g_auto(EepText) script = {0}, table = {0};
    g_autofree char *script_name = g_strconcat(gantt->picture, ".gp", NULL);
    g_autofree char *table_name = g_strconcat(gantt->picture, ".dat", NULL);
    g_autofree guint *keys = g_new0(guint, gantt->phases->len);
    g_autofree char *arrays = g_strdup_printf(
        "n_rows = %u\narray row_name[%u]\narray phase_name[%u]\n"
        "array phase_length[%u]\n",
        gantt->rows->len, gantt->rows->len + 1, gantt->phases->len + 1, gantt->phases->len + 1);

    add_times(&script, gantt);
    eep_text_add_string(&script, arrays);
    add_keys(&script, gantt, keys);
    for (guint i = 0; i < gantt->rows->len; i++) {
        const EepGanttRow *row = &g_array_index(gantt->rows, EepGanttRow, i);
        g_autofree char *name = g_strdup_printf("row_name[%u]", i + 1);
        eep_gnuplot_add_string(&script, name, row->label);
        for (guint k = 0; k < row->bars->len; k++)
            add_bar(&table, i, row->n_lanes, bar_at(row, k), keys[bar_at(row, k)->phase]);
    }
    return eep_gnuplot_add_table(folder, script_name, &script, error) &&
           eep_gnuplot_add_table(folder, table_name, &table, error);
}
