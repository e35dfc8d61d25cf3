#include "core/eplb/waterfill.h"

#include <math.h>

#include "core/math.h"

#define LOCAL_BIAS 1.1
#define POINTS     48 /* of the quadrature over u = 1 / (1 + s) */

double eep_waterfill_slack(const double *routed, guint n_ranks, double tokens, double *ret_slack)
{
    double sum = tokens;
    for (guint r = 0; r < n_ranks; r++)
        sum += routed[r];
    const double level = ceil(sum / n_ranks);
    for (guint r = 0; r < n_ranks; r++)
        ret_slack[r] = fmax(level - routed[r], 0.0);
    return level;
}

/* Whether visited[i] is neither the token's own rank nor one that came before. */
static gboolean is_new(const guint32 *visited, guint i, guint own)
{
    gboolean known = visited[i] == own;
    for (guint j = 0; j < i; j++)
        known |= visited[j] == visited[i];
    return !known;
}

guint eep_waterfill_rank(const double *routed, const double *slack, const guint32 *visited,
                         guint n_visited, guint own, double u)
{
    double total = slack[own];
    for (guint i = 0; i < n_visited; i++)
        if (is_new(visited, i, own))
            total += slack[visited[i]] / LOCAL_BIAS;
    guint rank = own;
    if (total > 0.0) {
        double left = u * total - slack[own];
        for (guint i = 0; i < n_visited && left >= 0.0; i++)
            if (slack[visited[i]] > 0.0 && is_new(visited, i, own)) {
                rank = visited[i];
                left -= slack[rank] / LOCAL_BIAS;
            }
        return rank;
    }
    double load = routed[own] / LOCAL_BIAS;
    for (guint i = 0; i < n_visited; i++)
        if (routed[visited[i]] < load) {
            rank = visited[i];
            load = routed[rank];
        }
    return rank;
}

/* Rows of tokens that reach slack, up to a factor near 1, for which ret_rows starts at 0. */
static void add_poured(const double *slack, const double *own, const double *visit, guint n_ranks,
                       double scale, double *scratch, double *ret_rows)
{
    double *decay = scratch, *factor = scratch + n_ranks;
    /* 1/Y = integral of exp(-s Y) over s > 0, with s = (1 - u) / u in units of 1 / scale. */
    for (guint i = 0; i < POINTS; i++) {
        const double u = (i + 0.5) / POINTS, s = (1.0 - u) / u / scale;
        double product = 1.0 / (POINTS * u * u * scale), sources = 0.0;
        for (guint r = 0; r < n_ranks; r++) {
            decay[r] = slack[r] > 0.0 ? eep_exp(-s * slack[r] / LOCAL_BIAS) : 1.0;
            factor[r] = fmax(1.0 - visit[r] + visit[r] * decay[r], 1e-9);
            product *= factor[r];
            sources += own[r] * eep_exp(-s * slack[r]) / factor[r];
        }
        for (guint r = 0; r < n_ranks; r++) {
            if (slack[r] <= 0.0)
                continue;
            const double local = own[r] * eep_exp(-s * slack[r]) / factor[r];
            const double others = (sources - local) / factor[r];
            ret_rows[r] += product * slack[r] * (local + others * visit[r] * decay[r] / LOCAL_BIAS);
        }
    }
}

/* Adds the rows of tokens that see no slack. Returns how many. */
static double add_stuck(const double *routed, const double *slack, const double *own,
                        const double *visit, guint n_ranks, guint32 *full, double *ret_rows)
{
    double none = 1.0, sum = 0.0;
    guint n = 0;
    for (guint r = 0; r < n_ranks; r++) {
        if (slack[r] > 0.0) {
            none *= 1.0 - visit[r];
            continue;
        }
        guint at = n++; /* insertion by load */
        for (; at > 0 && routed[full[at - 1]] > routed[r]; at--)
            full[at] = full[at - 1];
        full[at] = r;
    }
    for (guint i = 0; i < n; i++) {
        double left = own[full[i]] * none;
        sum += left;
        for (guint j = 0; j < i && routed[full[j]] < routed[full[i]] / LOCAL_BIAS; j++) {
            ret_rows[full[j]] += left * visit[full[j]];
            left *= 1.0 - visit[full[j]];
        }
        ret_rows[full[i]] += left;
    }
    return sum;
}

void eep_waterfill_expect(const double *routed, const double *slack, const double *own,
                          const double *visit, guint n_ranks, double *scratch, double *ret_rows)
{
    double scale = 0.0, tokens = 0.0, poured = 0.0;
    for (guint r = 0; r < n_ranks; r++) {
        scale += slack[r] * fmax(visit[r], 1.0 / n_ranks);
        tokens += own[r];
        ret_rows[r] = 0.0;
    }
    const double stuck =
        add_stuck(routed, slack, own, visit, n_ranks, (guint32 *)scratch, ret_rows);
    if (scale <= 0.0)
        return;
    double *rows = scratch + 2 * n_ranks;
    for (guint r = 0; r < n_ranks; r++)
        rows[r] = 0.0;
    add_poured(slack, own, visit, n_ranks, scale, scratch, rows);
    for (guint r = 0; r < n_ranks; r++)
        poured += rows[r];
    for (guint r = 0; r < n_ranks; r++)
        ret_rows[r] += rows[r] * (poured > 0.0 ? (tokens - stuck) / poured : 0.0);
}
