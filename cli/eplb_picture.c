#include "cli/eplb_picture.h"

#include "cli/gnuplot.h"
#include "core/eplb/score.h"

#include <math.h>

static void add_field(EepText *text, double value, char end)
{
    eep_text_add_double(text, value, 6);
    eep_text_add_char(text, end);
}

/* What every run.gp has for style.gp: a time axis and resizes, of which these pictures have none.
 */
static void add_head(EepText *text, const char *title)
{
    eep_gnuplot_add_string(text, "title", title);
    eep_gnuplot_add_number(text, "end_s", 1.0);
    eep_gnuplot_add_number(text, "n_resizes", 0.0);
}

/* A line an expert, a column a rank: the load that the rank has of the expert, in mean rank loads;
 * nan where the rank holds none of it. Returns the highest. */
static double add_heat(EepText *text, const EepEplbProblem *p, guint layer, const gint32 *map)
{
    const guint S = p->n_replicas / p->n_ranks;
    const double *weight = p->weight + (gsize)layer * p->n_experts;
    g_autofree double *cell = g_new(double, (gsize)p->n_experts * p->n_ranks);
    g_autofree guint *count = g_new0(guint, p->n_experts);
    double total = 0.0, highest = 0.0;

    map += (gsize)layer * p->n_replicas;
    for (guint slot = 0; slot < p->n_replicas; slot++)
        if (map[slot] >= 0)
            count[map[slot]]++;
    for (guint e = 0; e < p->n_experts; e++)
        total += weight[e];
    for (gsize i = 0; i < (gsize)p->n_experts * p->n_ranks; i++)
        cell[i] = NAN;
    const double mean = total > 0.0 ? total / eep_eplb_problem_n_active(p) : 1.0;
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        if (map[slot] < 0)
            continue;
        double *at = &cell[(gsize)map[slot] * p->n_ranks + slot / S];
        *at = (isnan(*at) ? 0.0 : *at) + weight[map[slot]] / count[map[slot]] / mean;
        highest = fmax(highest, *at);
    }
    for (gsize i = 0; i < (gsize)p->n_experts * p->n_ranks; i++)
        add_field(text, cell[i], (i + 1) % p->n_ranks == 0 ? '\n' : ' ');
    return highest;
}

/* Loads of the layer by rank, in means; the highest is returned. */
static double layer_peak(const EepEplbProblem *p, guint layer, const gint32 *map, double *ret_mean)
{
    g_autofree double *load = g_new(double, p->n_ranks);
    double total = 0.0, highest = 0.0;
    eep_eplb_rank_loads(p, p->weight + (gsize)layer * p->n_experts,
                        map + (gsize)layer * p->n_replicas, load);
    for (guint e = 0; e < p->n_experts; e++)
        total += p->weight[(gsize)layer * p->n_experts + e];
    for (guint rank = 0; rank < p->n_ranks; rank++)
        highest = fmax(highest, load[rank]);
    *ret_mean = total / eep_eplb_problem_n_active(p);
    return *ret_mean > 0.0 ? highest / *ret_mean : 1.0;
}

/* layers.dat: layer, highest rank load before, after, lower bound, all in mean rank loads. */
static guint add_layers(EepText *text, const EepEplbProblem *p, const gint32 *before,
                        const gint32 *after, const double *bound)
{
    guint worst = 0;
    double highest = 0.0, mean;
    for (guint layer = 0; layer < p->n_layers; layer++) {
        const double peak = layer_peak(p, layer, before, &mean);
        if (peak > highest) {
            highest = peak;
            worst = layer;
        }
        add_field(text, layer, ' ');
        add_field(text, peak, ' ');
        add_field(text, layer_peak(p, layer, after, &mean), ' ');
        add_field(text, mean > 0.0 ? bound[layer] / mean : 1.0, '\n');
    }
    return worst;
}

static gboolean write_maps(const char *tables, const char *title, const EepEplbProblem *p,
                           const char *before_name, const gint32 *before, const gint32 *after,
                           const double *bound, GError **error)
{
    g_auto(EepText) run = {0}, layers = {0}, left = {0}, right = {0};
    const guint layer = add_layers(&layers, p, before, after, bound);
    const double a = add_heat(&left, p, layer, before), b = add_heat(&right, p, layer, after);
    add_head(&run, title);
    eep_gnuplot_add_string(&run, "before_name", before_name);
    eep_gnuplot_add_number(&run, "n_layers", p->n_layers);
    eep_gnuplot_add_number(&run, "n_experts", p->n_experts);
    eep_gnuplot_add_number(&run, "n_ranks", p->n_ranks);
    eep_gnuplot_add_number(&run, "layer", layer);
    eep_gnuplot_add_number(&run, "highest", fmax(fmax(a, b), 1e-6));
    return eep_gnuplot_add_table(tables, "layers.dat", &layers, error) &&
           eep_gnuplot_add_table(tables, "before.dat", &left, error) &&
           eep_gnuplot_add_table(tables, "after.dat", &right, error) &&
           eep_gnuplot_add_table(tables, "run.gp", &run, error);
}

gboolean eep_eplb_picture_maps(const char *folder, const char *title, const EepEplbProblem *problem,
                               const char *before_name, const gint32 *before, const gint32 *after,
                               const double *bound, GError **error)
{
    static const char *const pictures[] = {"expert_rank", "layer_imbalance"};
    char *tables = eep_gnuplot_tables_new(error);
    if (tables == NULL)
        return FALSE;
    const gboolean drawn =
        write_maps(tables, title, problem, before_name, before, after, bound, error) &&
        eep_gnuplot_draw(tables, folder, pictures, NULL, G_N_ELEMENTS(pictures), error);
    eep_gnuplot_tables_free(tables);
    return drawn;
}

/* windows_N.dat: window, balancedness, the same where experts were moved before it; and run.gp. */
static gboolean write_windows(const char *tables, const char *title, guint n_windows,
                              const EepEplbLine *lines, guint n_lines, GError **error)
{
    g_auto(EepText) run = {0};
    double lowest = 1.0;
    add_head(&run, title);
    eep_gnuplot_add_number(&run, "n_windows", n_windows);
    eep_gnuplot_add_number(&run, "n_lines", n_lines);
    g_autofree char *names = g_strdup_printf("array line_name[%u]\n", n_lines + 1);
    eep_text_add_string(&run, names);
    for (guint i = 0; i < n_lines; i++) {
        g_auto(EepText) text = {0};
        g_autofree char *file = g_strdup_printf("windows_%u.dat", i + 1);
        g_autofree char *name = g_strdup_printf("line_name[%u]", i + 1);
        eep_gnuplot_add_string(&run, name, lines[i].name);
        for (guint window = 0; window < n_windows; window++) {
            const double balance = lines[i].balance[window];
            add_field(&text, window, ' ');
            add_field(&text, balance, ' ');
            add_field(&text, lines[i].moved[window] > 0 ? balance : (double)NAN, '\n');
            lowest = isnan(balance) ? lowest : fmin(lowest, balance);
        }
        if (!eep_gnuplot_add_table(tables, file, &text, error))
            return FALSE;
    }
    eep_gnuplot_add_number(&run, "lowest", lowest);
    return eep_gnuplot_add_table(tables, "run.gp", &run, error);
}

gboolean eep_eplb_picture_windows(const char *folder, const char *name, const char *title,
                                  guint n_windows, const EepEplbLine *lines, guint n_lines,
                                  GError **error)
{
    static const char *const pictures[] = {"balance_windows"};
    char *tables = eep_gnuplot_tables_new(error);
    if (tables == NULL)
        return FALSE;
    gboolean drawn = write_windows(tables, title, n_windows, lines, n_lines, error) &&
                     eep_gnuplot_draw(tables, folder, pictures, &name, 1, error);
    eep_gnuplot_tables_free(tables);
    return drawn;
}
