/* EepEplbBudget: which map each layer takes, when moves are limited over all layers together.
 *
 * Every layer has a few maps, each with its moves and its cost; the first is the one it gets in any
 * case. Moves go where the next one buys most. Not a search. Owns copies of the maps; one thread.
 */
#ifndef EEP_CORE_EPLB_EEP_BUDGET_H
#define EEP_CORE_EPLB_EEP_BUDGET_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct EepEplbBudget EepEplbBudget;

EepEplbBudget *eep_eplb_budget_new(guint n_layers, guint n_slots);
void eep_eplb_budget_free(EepEplbBudget *budget); /* NULL is allowed */

/* One more map of the layer, [n_slots], copied. cost: any unit that layers share. Layers in rising
 * order. */
void eep_eplb_budget_add(EepEplbBudget *budget, guint layer, guint64 moves, double cost,
                         const gint32 *map);

/* Of each layer the map with the least cost + price * moves; the one with fewer moves on a tie. */
void eep_eplb_budget_choose(EepEplbBudget *budget, double price);

/* At most max_moves over all layers, first maps apart: again and again the step from a layer's
 * chosen map to another that lowers its cost most a move. */
void eep_eplb_budget_spend(EepEplbBudget *budget, guint64 max_moves);

/* [n_slots], after _choose() or _spend(). */
const gint32 *eep_eplb_budget_map(const EepEplbBudget *budget, guint layer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepEplbBudget, eep_eplb_budget_free)

G_END_DECLS

#endif
