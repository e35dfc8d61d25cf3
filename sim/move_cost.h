/* How long a move of experts (or of KV) takes.
 *
 *     a round = max over ranks and ports of bytes / rate + latency of the slowest link it uses
 *     links   = sum over rounds
 *     rest    = eplb_layer_overhead + copies of the busiest rank + loads from disk
 *             + eplb_plan_slot * planned slots
 *
 * Ranks fill nodes in order; each has an NVLink port and a NIC, which send and receive at once; a
 * transfer from a rank to itself is a copy. Not how moves and steps share links (contention.h). A
 * pure function but for scratch memory. */
#ifndef EEP_SIM_MOVE_COST_H
#define EEP_SIM_MOVE_COST_H

#include "core/loop/backend.h"
#include "sim/cost.h"

G_BEGIN_DECLS

/* Duration with nothing else on the links; ret_link (nullable): of it, the part on the links, which
 * comes last. 0 under the constant-step profile and for a move in which nothing happens. */
EepTime eep_move_cost(const EepCostContext *context, const EepMove *move, EepTime *ret_link);

G_END_DECLS

#endif
