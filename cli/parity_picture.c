#include "cli/parity_picture.h"

#include "cli/gnuplot.h"

#include <math.h>

/* A point each, in ms; what took no time in one of them has no place on a logarithmic axis. */
static guint add_points(const EepParity *parity, EepParityKind kind, double unit_ms, EepText *text,
                        double *ret_low, double *ret_high)
{
    guint n = 0;

    for (guint i = 0; i < parity->pairs->len; i++) {
        const EepParityPair *pair = parity->pairs->pdata[i];
        double x = pair->values[0] * unit_ms, y = pair->values[1] * unit_ms;

        if (pair->kind != kind || !(x > 0.0 && y > 0.0))
            continue;
        eep_text_add_double(text, x, 9);
        eep_text_add_char(text, ' ');
        eep_text_add_double(text, y, 9);
        eep_text_add_char(text, '\n');
        *ret_low = fmin(*ret_low, fmin(x, y));
        *ret_high = fmax(*ret_high, fmax(x, y));
        n++;
    }
    return n;
}

static gboolean write_tables(const EepParity *parity, const char *tables, GError **error)
{
    g_auto(EepText) phases = {0}, steps = {0}, run = {0};
    g_autofree char *title = g_strdup_printf("%s: %s against %s", parity->paths[1],
                                             parity->labels[1], parity->labels[0]);
    double low = INFINITY, high = 0.0;

    eep_text_init(&phases);
    eep_text_init(&steps);
    eep_text_init(&run);
    eep_gnuplot_add_string(&run, "title", title);
    eep_gnuplot_add_number(&run, "end_s", 1.0); /* style.gp has a time axis and resizes */
    eep_gnuplot_add_number(&run, "n_resizes", 0.0);
    eep_gnuplot_add_number(&run, "n_phases",
                           add_points(parity, EEP_PARITY_PHASE, 1e3, &phases, &low, &high));
    eep_gnuplot_add_number(&run, "n_steps",
                           add_points(parity, EEP_PARITY_CLASS, 1.0, &steps, &low, &high));
    eep_gnuplot_add_number(&run, "low", high > 0.0 ? low : 1.0);
    eep_gnuplot_add_number(&run, "high", high > 0.0 ? high : 1000.0);
    eep_gnuplot_add_string(&run, "measured_label", parity->labels[1]);
    return eep_gnuplot_add_table(tables, "phases.dat", &phases, error) &&
           eep_gnuplot_add_table(tables, "steps.dat", &steps, error) &&
           eep_gnuplot_add_table(tables, "run.gp", &run, error);
}

gboolean eep_parity_picture_draw(EepParity *parity, const char *folder, GError **error)
{
    const char *const pictures[] = {"parity"};
    char *tables = eep_gnuplot_tables_new(error);

    if (tables == NULL)
        return FALSE;
    gboolean drawn = write_tables(parity, tables, error) &&
                     eep_gnuplot_draw(tables, folder, pictures, NULL, 1, error);
    eep_gnuplot_tables_free(tables);
    if (drawn) {
        g_free(parity->picture);
        parity->picture = g_build_filename(folder, "parity.png", NULL);
    }
    return drawn;
}
