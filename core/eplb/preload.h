/* What ranks that join hold before they serve: replicas of the hottest experts, beside a placement
 * whose other ranks stay as they are.
 *
 * Slot by slot the expert with the highest load a replica gets one more, which is what lowers the
 * hottest ranks soonest while nothing moves on them; then the replicas are spread over the new
 * ranks, hottest first, each to the coolest with room, no rank twice. Not a policy (policy.h),
 * which would rearrange all ranks. A pure function; any thread. */
#ifndef EEP_CORE_EPLB_PRELOAD_H
#define EEP_CORE_EPLB_PRELOAD_H

#include "core/eplb/placement.h"

G_BEGIN_DECLS

/* Fills empty slots of the ranks with is_new[rank], [n_ranks], which hold nothing; load [L][E], any
 * unit, >= 0. Experts without any slot stay without: nobody could send them. Slots stay empty where
 * a rank has more than there are experts. */
void eep_preload_fill(EepPlacement *placement, const guint8 *is_new, const double *load);

G_END_DECLS

#endif
