#include "core/eplb/count_pack.h"

#include <math.h>
#include <stdlib.h>

#include "core/eplb/joint_prices.h"

typedef struct {
    double share;
    guint expert;
} Replica;

static int falling(const void *a, const void *b)
{
    const Replica *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

/* Replicas in falling order, each to the coldest rank that has a slot. */
static void pack(const EepEplbProblem *part, const guint *count, gint32 *map)
{
    const guint S = part->n_replicas / part->n_ranks;
    g_autofree Replica *replica = g_new(Replica, part->n_replicas);
    g_autofree double *load = g_new0(double, part->n_ranks);
    g_autofree guint *held = g_new0(guint, part->n_ranks);
    guint n = 0;
    for (guint e = 0; e < part->n_experts; e++)
        for (guint i = 0; i < count[e]; i++)
            replica[n++] = (Replica){part->weight[e] / count[e], e};
    qsort(replica, n, sizeof *replica, falling);
    for (guint i = 0; i < n; i++) {
        guint coldest = part->n_ranks;
        for (guint rank = 0; rank < part->n_ranks; rank++)
            if (held[rank] < S && (coldest == part->n_ranks || load[rank] < load[coldest]))
                coldest = rank;
        map[coldest * S + held[coldest]++] = (gint32)replica[i].expert;
        load[coldest] += replica[i].share;
    }
}

/* Expert with the largest replicas. */
static guint largest(const EepEplbProblem *part, const guint *count)
{
    guint pick = 0;
    for (guint e = 1; e < part->n_experts; e++)
        if (part->weight[e] / count[e] > part->weight[pick] / count[pick])
            pick = e;
    return pick;
}

/* Expert whose replicas stay smallest with one fewer; there are more replicas than experts. */
static guint easiest_to_spare(const EepEplbProblem *part, const guint *count)
{
    guint pick = part->n_experts;
    for (guint e = 0; e < part->n_experts; e++)
        if (count[e] > 1 && (pick == part->n_experts || part->weight[e] / (count[e] - 1) <
                                                            part->weight[pick] / (count[pick] - 1)))
            pick = e;
    return pick;
}

void eep_count_pack_place(const EepEplbProblem *part, double load, gint32 *map)
{
    const guint n = part->n_experts, S = part->n_replicas / part->n_ranks;
    if (n > EEP_JOINT_PRICES_MAX_EXPERTS || !(load > 0.0))
        return;
    g_autofree guint *count = g_new(guint, n);
    g_autofree guint *least = g_new(guint, n);
    g_autoptr(EepJointPrices) prices = eep_joint_prices_new(n);
    double needed = 0.0;
    for (guint e = 0; e < n; e++) {
        const double replicas = fmax(1.0, ceil(part->weight[e] / load * (1.0 - 1e-12)));
        needed += replicas;
        if (needed > part->n_replicas)
            return;
        least[e] = (guint)replicas;
    }
    eep_joint_prices_reset(prices);
    eep_joint_prices_prove(prices, part->weight, least, n, part->n_ranks, S, load);
    eep_joint_prices_counts(prices, count);
    guint sum = 0;
    for (guint e = 0; e < n; e++)
        sum += count[e];
    for (; sum < part->n_replicas; sum++)
        count[largest(part, count)]++;
    for (; sum > part->n_replicas; sum--)
        count[easiest_to_spare(part, count)]--;
    pack(part, count, map);
}
