#include "sim/balance_cost.h"

#include "core/math.h"

double eep_balance_cost_slot(const EepSlotCost *cost, double n)
{
    return fmax(cost->weights_s * (1.0 - eep_exp(-n)), cost->flops_s * n) + cost->activations_s * n;
}

double eep_balance_cost_seconds(const EepSlotCost *cost, const EepPlacement *placement,
                                const double *load, double n_steps)
{
    g_return_val_if_fail(n_steps > 0, 0.0);
    const guint E = placement->n_experts, S = placement->slots_per_rank;
    g_autofree double *slot_s = g_new(double, E); /* of one replica of each expert */
    double total = 0.0;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        const gint32 *row = eep_placement_layer(placement, layer);
        const gint32 *count = placement->logcnt + (gsize)layer * E;
        for (guint e = 0; e < E; e++) {
            double tokens = load[(gsize)layer * E + e] / n_steps;
            slot_s[e] = count[e] > 0 ? eep_balance_cost_slot(cost, tokens / count[e]) : 0.0;
        }
        double most = 0.0;
        for (guint rank = 0; rank < placement->n_ranks; rank++) {
            double sum = 0.0;
            for (guint slot = rank * S; slot < (rank + 1) * S; slot++)
                sum += row[slot] != EEP_PLACEMENT_EMPTY ? slot_s[row[slot]] : 0.0;
            most = fmax(most, sum);
        }
        total += most;
    }
    return total;
}
