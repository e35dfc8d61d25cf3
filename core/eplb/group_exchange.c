#include "core/eplb/group_exchange.h"

gboolean eep_group_exchange(const EepEplbProblem *p, const double *weight, guint *group_node)
{
    const guint size = p->n_experts / p->n_groups, n_ranks = p->n_ranks / p->n_nodes;
    g_autofree double *group = g_new0(double, p->n_groups);
    g_autofree double *node = g_new0(double, p->n_nodes);
    g_autofree double *width = g_new0(double, p->n_nodes); /* active ranks */
    for (guint rank = 0; rank < p->n_ranks; rank++)
        width[rank / n_ranks] += eep_eplb_problem_is_active(p, rank);
    for (guint e = 0; e < p->n_experts; e++)
        group[e / size] += weight[e];
    for (guint g = 0; g < p->n_groups; g++)
        node[group_node[g]] += group[g];
    guint hot = 0;
    for (guint n = 1; n < p->n_nodes; n++)
        if (node[n] / width[n] > node[hot] / width[hot])
            hot = n;

    double best = node[hot] / width[hot];
    guint given = p->n_groups, taken = p->n_groups;
    for (guint a = 0; a < p->n_groups; a++) {
        for (guint b = 0; b < p->n_groups && group_node[a] == hot; b++) {
            const guint other = group_node[b];
            const double shift = group[a] - group[b];
            const double heat =
                MAX((node[hot] - shift) / width[hot], (node[other] + shift) / width[other]);
            if (other == hot || heat >= best)
                continue;
            best = heat;
            given = a;
            taken = b;
        }
    }
    if (given == p->n_groups)
        return FALSE;
    group_node[given] = group_node[taken];
    group_node[taken] = hot;
    return TRUE;
}
