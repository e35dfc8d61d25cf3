#include "core/eplb/window_noise.h"

/* Windows that an expert's own scatter must have to count as much as the layer's. */
#define OWN_WINDOWS 8.0
/* Of an expert; sums over a rank stay finite. Windows next to nothing beside large ones get there.
 */
#define MOST_VARIANCE 1e290

/* Load of one window of the layer. */
static double window_load(const EepEplbProblem *p, guint window, guint layer)
{
    const double *row = p->windows + ((gsize)window * p->n_layers + layer) * p->n_experts;
    double sum = 0.0;
    for (guint e = 0; e < p->n_experts; e++)
        sum += row[e];
    return sum;
}

/* Sum over windows of (load - expected)^2 / size of the window, in which expected is the expert's
 * share of that window. */
static double scatter_of(const EepEplbProblem *p, guint layer, guint e, const double *size,
                         double total)
{
    const double share = p->weight[(gsize)layer * p->n_experts + e] / total;
    double sum = 0.0;
    for (guint t = 0; t < p->n_windows; t++) {
        const double off =
            p->windows[((gsize)t * p->n_layers + layer) * p->n_experts + e] - share * size[t];
        if (size[t] > 0.0)
            sum += off * off / size[t];
    }
    return sum;
}

gboolean eep_window_noise(const EepEplbProblem *p, guint layer, double *ret_variance)
{
    if (p->n_windows < 2)
        return FALSE;
    const guint E = p->n_experts;
    const double *weight = p->weight + (gsize)layer * E;
    g_autofree double *size = g_new(double, p->n_windows);
    g_autofree double *scatter = g_new(double, E);
    double total = 0.0, chi_square = 0.0;
    guint n_windows = 0, n_experts = 0;
    for (guint t = 0; t < p->n_windows; t++) {
        size[t] = window_load(p, t, layer);
        total += size[t];
        n_windows += size[t] > 0.0;
    }
    if (n_windows < 2)
        return FALSE;
    for (guint e = 0; e < E; e++) {
        scatter[e] = weight[e] > 0.0 ? scatter_of(p, layer, e, size, total) : 0.0;
        if (weight[e] > 0.0)
            chi_square += scatter[e] / (weight[e] / total);
        n_experts += weight[e] > 0.0;
    }
    if (n_experts < 2 || !(chi_square > 0.0))
        return FALSE;
    const double n_free = n_windows - 1.0;
    const double dispersion = chi_square / (n_free * (n_experts - 1.0));
    const double own = n_free / (n_free + OWN_WINDOWS);
    /* A window of mean size, blown up to the unit of all windows; its mean is known only as well as
     * they tell. */
    const double mean_size = total / n_windows;
    const double blow_up = (double)n_windows * (n_windows + 1.0) * mean_size;
    gboolean is_finite = TRUE;
    for (guint e = 0; e < E; e++) {
        ret_variance[e] =
            blow_up * (own * scatter[e] / n_free + (1.0 - own) * dispersion * weight[e] / total);
        is_finite &= ret_variance[e] <= MOST_VARIANCE; /* false for NaN */
    }
    return is_finite;
}
