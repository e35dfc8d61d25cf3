#include "cli/picture_gantt.h"

#include "cli/gnuplot.h"
#include "cli/run_facts.h"

#include <math.h>
#include <string.h>

/* More rows cannot be told apart; no run has so many phases. */
#define MAX_PHASES 64

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

    g_free(phase->who);
    g_free(phase->name);
}

static void clear_gantt(gpointer data)
{
    EepPictureGantt *gantt = data;

    g_free(gantt->picture);
    g_free(gantt->title);
    g_array_unref(gantt->phases);
}

static guint role_of(const char *who)
{
    static const char *const roles[] = {"coordinator", "existing", "remaining",
                                        "new",         "removing", "all"};
    guint role = 0;

    while (role < G_N_ELEMENTS(roles) && strcmp(who, roles[role]) != 0)
        role++;
    return role;
}

static gint compare_phases(gconstpointer a, gconstpointer b)
{
    const EepPicturePhase *x = a, *y = b;
    guint x_role = role_of(x->who), y_role = role_of(y->who);

    if (x_role != y_role)
        return x_role < y_role ? -1 : 1;
    return x->start_s < y->start_s ? -1 : x->start_s > y->start_s;
}

static void read_phases(EepPictureGantt *gantt, const json_t *resize, double accepted)
{
    gsize i;
    json_t *item;

    json_array_foreach(json_object_get(resize, "phases"), i, item)
    {
        double start = number(item, "start_s") - accepted, end = number(item, "end_s") - accepted;
        if (isnan(start) || gantt->phases->len == MAX_PHASES)
            continue;
        EepPicturePhase phase = {g_strdup(word(item, "who")), g_strdup(word(item, "name")), start,
                                 end, json_is_true(json_object_get(item, "blocks"))};
        g_array_append_val(gantt->phases, phase);
        gantt->end_s = fmax(gantt->end_s, isnan(end) ? start : end);
    }
    for (guint k = 0; k < gantt->phases->len; k++) { /* one that never ended */
        EepPicturePhase *phase = &g_array_index(gantt->phases, EepPicturePhase, k);
        if (isnan(phase->end_s))
            phase->end_s = gantt->end_s;
    }
    g_array_sort(gantt->phases, compare_phases);
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
                                 .phases = g_array_new(FALSE, FALSE, sizeof(EepPicturePhase))};
        gantt.serving_s = gantt.commit_s + number(resize, "commit_s");
        g_array_set_clear_func(gantt.phases, clear_phase);
        read_phases(&gantt, resize, accepted);
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

/* PICTURE.dat: row, start, end, 1 for a phase that forwards stood still for. */
gboolean eep_picture_gantt_write(const EepPictureGantt *gantt, const char *folder, GError **error)
{
    g_auto(EepText) script = {0}, table = {0};
    g_autofree char *script_name = g_strconcat(gantt->picture, ".gp", NULL);
    g_autofree char *table_name = g_strconcat(gantt->picture, ".dat", NULL);
    g_autofree char *arrays = g_strdup_printf("n_rows = %u\narray row_name[%u]\n",
                                              gantt->phases->len, gantt->phases->len + 1);

    eep_gnuplot_add_string(&script, "resize_title", gantt->title);
    add_time(&script, "t_commit", gantt->commit_s);
    eep_gnuplot_add_string(&script, "commit_label",
                           isfinite(gantt->serving_s) ? "commit" : "end of prepare");
    add_time(&script, "t_serving", gantt->serving_s);
    add_time(&script, "t_end", gantt->end_s);
    eep_text_add_string(&script, arrays);
    for (guint i = 0; i < gantt->phases->len; i++) {
        const EepPicturePhase *phase = &g_array_index(gantt->phases, EepPicturePhase, i);
        g_autofree char *name = g_strdup_printf("row_name[%u]", i + 1);
        g_autofree char *label = g_strdup_printf("%s: %s", phase->who, phase->name);
        const double fields[] = {i + 1, phase->start_s, phase->end_s, phase->blocks ? 1.0 : 0.0};
        eep_gnuplot_add_string(&script, name, label);
        for (guint k = 0; k < G_N_ELEMENTS(fields); k++) {
            eep_text_add_double(&table, fields[k], 9);
            eep_text_add_char(&table, k + 1 < G_N_ELEMENTS(fields) ? ' ' : '\n');
        }
    }
    return eep_gnuplot_add_table(folder, script_name, &script, error) &&
           eep_gnuplot_add_table(folder, table_name, &table, error);
}
