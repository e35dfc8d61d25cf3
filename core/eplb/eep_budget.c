#include "core/eplb/eep_budget.h"

#include <string.h>

typedef struct {
    guint64 moves;
    double cost;
} Point;

struct EepEplbBudget {
    guint n_layers, n_slots;
    GArray *points; /* Point, by layer */
    GArray *maps;   /* gint32, [points][n_slots] */
    guint *first;   /* [L + 1], index of the layer's first point */
    guint *chosen;  /* [L] */
};

EepEplbBudget *eep_eplb_budget_new(guint n_layers, guint n_slots)
{
    EepEplbBudget *budget = g_new0(EepEplbBudget, 1);
    budget->n_layers = n_layers;
    budget->n_slots = n_slots;
    budget->points = g_array_new(FALSE, FALSE, sizeof(Point));
    budget->maps = g_array_new(FALSE, FALSE, sizeof(gint32));
    budget->first = g_new0(guint, n_layers + 1);
    budget->chosen = g_new0(guint, n_layers);
    return budget;
}

void eep_eplb_budget_free(EepEplbBudget *budget)
{
    if (!budget)
        return;
    g_array_unref(budget->points);
    g_array_unref(budget->maps);
    g_free(budget->first);
    g_free(budget->chosen);
    g_free(budget);
}

void eep_eplb_budget_add(EepEplbBudget *budget, guint layer, guint64 moves, double cost,
                         const gint32 *map)
{
    g_return_if_fail(layer < budget->n_layers);
    const Point point = {moves, cost};
    g_array_append_val(budget->points, point);
    g_array_append_vals(budget->maps, map, budget->n_slots);
    for (guint after = layer + 1; after <= budget->n_layers; after++)
        budget->first[after] = budget->points->len;
}

static const Point *point_at(const EepEplbBudget *budget, guint i)
{
    return &g_array_index(budget->points, Point, i);
}

void eep_eplb_budget_choose(EepEplbBudget *budget, double price)
{
    for (guint layer = 0; layer < budget->n_layers; layer++) {
        double least = G_MAXDOUBLE;
        for (guint i = budget->first[layer]; i < budget->first[layer + 1]; i++) {
            const double cost = point_at(budget, i)->cost + price * point_at(budget, i)->moves;
            if (cost > least ||
                (cost == least &&
                 point_at(budget, i)->moves >= point_at(budget, budget->chosen[layer])->moves))
                continue;
            least = cost;
            budget->chosen[layer] = i;
        }
    }
}

/* The layer's step that lowers its cost most a move; 0 when none fits into left. */
static double best_step(const EepEplbBudget *budget, guint layer, guint64 left, guint *ret_point)
{
    const Point *now = point_at(budget, budget->chosen[layer]);
    double best = 0.0;
    for (guint i = budget->first[layer]; i < budget->first[layer + 1]; i++) {
        const Point *point = point_at(budget, i);
        if (point->cost >= now->cost || point->moves > now->moves + left)
            continue;
        const double moves = point->moves > now->moves ? (double)(point->moves - now->moves) : 0.5;
        const double gain = (now->cost - point->cost) / moves;
        if (gain > best) {
            best = gain;
            *ret_point = i;
        }
    }
    return best;
}

void eep_eplb_budget_spend(EepEplbBudget *budget, guint64 max_moves)
{
    guint64 used = 0;
    for (guint layer = 0; layer < budget->n_layers; layer++) {
        budget->chosen[layer] = budget->first[layer];
        used += point_at(budget, budget->chosen[layer])->moves;
    }
    for (;;) {
        const guint64 left = used < max_moves ? max_moves - used : 0;
        double best = 0.0;
        guint best_layer = 0, best_point = 0;
        for (guint layer = 0; layer < budget->n_layers; layer++) {
            guint point = 0;
            const double gain = best_step(budget, layer, left, &point);
            if (gain > best) {
                best = gain;
                best_layer = layer;
                best_point = point;
            }
        }
        if (best <= 0.0)
            return;
        used -= point_at(budget, budget->chosen[best_layer])->moves;
        used += point_at(budget, best_point)->moves;
        budget->chosen[best_layer] = best_point;
    }
}

const gint32 *eep_eplb_budget_map(const EepEplbBudget *budget, guint layer)
{
    return &g_array_index(budget->maps, gint32, (gsize)budget->chosen[layer] * budget->n_slots);
}
