#include "core/eplb/score.h"

#include <string.h>

/* Slots of each expert in one layer. */
static void count_replicas(const EepEplbProblem *problem, const gint32 *phy2log, guint *ret_count)
{
    memset(ret_count, 0, problem->n_experts * sizeof *ret_count);
    for (guint slot = 0; slot < problem->n_replicas; slot++)
        if (phy2log[slot] >= 0)
            ret_count[phy2log[slot]]++;
}

static void add_rank_loads(const EepEplbProblem *problem, const double *weight,
                           const gint32 *phy2log, const guint *count, double *ret_load)
{
    const guint S = problem->n_replicas / problem->n_ranks;
    for (guint rank = 0, slot = 0; rank < problem->n_ranks; rank++) {
        double load = 0.0;
        for (guint end = slot + S; slot < end; slot++)
            if (phy2log[slot] >= 0)
                load += weight[phy2log[slot]] / count[phy2log[slot]];
        ret_load[rank] = load;
    }
}

void eep_eplb_rank_loads(const EepEplbProblem *problem, const double *weight, const gint32 *phy2log,
                         double *ret_load)
{
    g_autofree guint *count = g_new(guint, problem->n_experts);
    count_replicas(problem, phy2log, count);
    add_rank_loads(problem, weight, phy2log, count, ret_load);
}

void eep_eplb_score(const EepEplbProblem *problem, const double *weight, const gint32 *phy2log,
                    double *ret_hottest, EepEplbScore *ret_score)
{
    const guint n_active = eep_eplb_problem_n_active(problem);
    g_autofree guint *count = g_new(guint, problem->n_experts);
    g_autofree double *load = g_new(double, problem->n_ranks);
    double sum_mean = 0.0, sum_highest = 0.0, sum = 0.0, worst = 1.0;
    for (guint layer = 0; layer < problem->n_layers; layer++) {
        const gint32 *row = phy2log + (gsize)layer * problem->n_replicas;
        double total = 0.0, highest = 0.0;
        count_replicas(problem, row, count);
        add_rank_loads(problem, weight + (gsize)layer * problem->n_experts, row, count, load);
        for (guint rank = 0; rank < problem->n_ranks; rank++) {
            total += load[rank];
            highest = MAX(highest, load[rank]);
        }
        const double mean = total / n_active, balance = highest > 0.0 ? mean / highest : 1.0;
        sum += balance;
        worst = MIN(worst, balance);
        sum_mean += mean;
        sum_highest += highest;
        if (ret_hottest)
            ret_hottest[layer] = highest;
    }
    ret_score->balancedness = sum / problem->n_layers;
    ret_score->worst = worst;
    ret_score->balancedness_vllm = sum_highest > 0.0 ? sum_mean / sum_highest : 0.0;
}

guint64 eep_eplb_count_moves(const EepEplbProblem *problem, const gint32 *old,
                             const gint32 *phy2log, guint64 *ret_layer)
{
    const guint S = problem->n_replicas / problem->n_ranks;
    /* held[e]: the last (layer, rank) whose slots were seen to hold or get e. */
    g_autofree guint64 *held = g_new0(guint64, problem->n_experts);
    guint64 n_moves = 0, place = 0;
    for (guint layer = 0; layer < problem->n_layers; layer++) {
        const guint64 before = n_moves;
        for (guint rank = 0; rank < problem->n_ranks; rank++, old += S, phy2log += S) {
            place++;
            for (guint i = 0; i < S; i++)
                if (old[i] >= 0)
                    held[old[i]] = place;
            for (guint i = 0; i < S; i++) {
                if (phy2log[i] < 0 || held[phy2log[i]] == place)
                    continue;
                held[phy2log[i]] = place;
                n_moves++;
            }
        }
        if (ret_layer)
            ret_layer[layer] = n_moves - before;
    }
    return n_moves;
}
