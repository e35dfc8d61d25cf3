#include "core/eplb/preload.h"

#include <string.h>

typedef struct {
    const EepPlacement *placement;
    guint n_new;
    guint *rank;         /* [n_new] */
    const double *load;  /* [E] of the layer */
    const gint32 *count; /* [E] replicas now */
    guint *given;        /* [E] replicas to come */
    guint *order;        /* [E] those given any, by share */
    double *heat;        /* [n_new] */
    guint *n_used;       /* [n_new] slots */
    guint8 *holds;       /* [n_new][E] */
    gint32 *row;         /* [n_slots] */
} Filler;

static double share_of(const Filler *filler, guint expert)
{
    return filler->load[expert] / ((guint)filler->count[expert] + filler->given[expert]);
}

/* Whether one more replica of `a` is worth more than one of `b`. */
static gboolean is_hotter(const Filler *filler, guint a, guint b)
{
    const double share_a = share_of(filler, a), share_b = share_of(filler, b);

    if (share_a != share_b)
        return share_a > share_b;
    return (guint)filler->count[a] + filler->given[a] < (guint)filler->count[b] + filler->given[b];
}

/* How many replicas each expert gets; no more than there are new ranks. */
static void give(Filler *filler)
{
    const guint E = filler->placement->n_experts;
    guint n_free = filler->n_new * filler->placement->slots_per_rank;

    memset(filler->given, 0, E * sizeof *filler->given);
    for (; n_free > 0; n_free--) {
        guint best = E;

        for (guint e = 0; e < E; e++)
            if (filler->count[e] > 0 && filler->given[e] < filler->n_new &&
                (best == E || is_hotter(filler, e, best)))
                best = e;
        if (best == E)
            return;
        filler->given[best]++;
    }
}

static gint by_share(gconstpointer a, gconstpointer b, gpointer data)
{
    const guint one = *(const guint *)a, other = *(const guint *)b;
    const double share_one = share_of(data, one), share_other = share_of(data, other);

    if (share_one != share_other)
        return share_one > share_other ? -1 : 1;
    return one < other ? -1 : 1;
}

static void put(Filler *filler, guint i, guint expert)
{
    const guint S = filler->placement->slots_per_rank;

    filler->row[filler->rank[i] * S + filler->n_used[i]++] = (gint32)expert;
    filler->holds[(gsize)i * filler->placement->n_experts + expert] = TRUE;
    filler->heat[i] += share_of(filler, expert);
}

/* The coolest new rank with room that lacks the expert; n_new: none. */
static guint coolest(const Filler *filler, guint expert)
{
    guint best = filler->n_new;

    for (guint i = 0; i < filler->n_new; i++)
        if (filler->n_used[i] < filler->placement->slots_per_rank &&
            !filler->holds[(gsize)i * filler->placement->n_experts + expert] &&
            (best == filler->n_new || filler->heat[i] < filler->heat[best]))
            best = i;
    return best;
}

static void spread(Filler *filler)
{
    const guint E = filler->placement->n_experts, S = filler->placement->slots_per_rank;
    guint n = 0;

    for (guint e = 0; e < E; e++)
        if (filler->given[e] > 0)
            filler->order[n++] = e;
    g_qsort_with_data(filler->order, (gint)n, sizeof *filler->order, by_share, filler);
    for (guint k = 0; k < n; k++)
        for (guint replica = 0; replica < filler->given[filler->order[k]]; replica++) {
            guint i = coolest(filler, filler->order[k]);

            if (i < filler->n_new)
                put(filler, i, filler->order[k]);
        }
    /* Where only ranks that have an expert had room for its replica, that rank takes another. */
    for (guint i = 0; i < filler->n_new; i++)
        for (guint e = 0; e < E && filler->n_used[i] < S; e++)
            if (filler->count[e] > 0 && !filler->holds[(gsize)i * E + e])
                put(filler, i, e);
}

void eep_preload_fill(EepPlacement *placement, const guint8 *is_new, const double *load)
{
    const guint E = placement->n_experts;
    g_autofree guint *rank = g_new(guint, placement->n_ranks);
    Filler filler = {.placement = placement, .rank = rank};

    for (guint r = 0; r < placement->n_ranks; r++)
        if (is_new[r])
            rank[filler.n_new++] = r;
    g_autofree guint *counts = g_new(guint, 2 * (gsize)E + filler.n_new);
    g_autofree double *heat = g_new(double, filler.n_new);
    g_autofree guint8 *holds = g_new(guint8, (gsize)filler.n_new * E);
    g_autofree gint32 *row = g_new(gint32, placement->n_slots);
    filler.given = counts;
    filler.order = counts + E;
    filler.n_used = counts + 2 * (gsize)E;
    filler.heat = heat;
    filler.holds = holds;
    filler.row = row;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        memcpy(row, eep_placement_layer(placement, layer), placement->n_slots * sizeof *row);
        memset(filler.n_used, 0, filler.n_new * sizeof *filler.n_used);
        memset(heat, 0, filler.n_new * sizeof *heat);
        memset(holds, 0, (gsize)filler.n_new * E);
        filler.load = load + (gsize)layer * E;
        filler.count = placement->logcnt + (gsize)layer * E;
        give(&filler);
        spread(&filler);
        eep_placement_set_layer(placement, layer, row);
    }
}
