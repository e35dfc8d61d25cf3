/* Exchange: the rounds and copies of one layer of a migration, within a bound on staging.
 *
 * Given who sends what to whom, it sets each transfer's round and appends every rank's copies
 * (migration.h says what both mean). Not the choice of senders (migration.c) and not a check
 * (migration_check.c). A pure function; any thread. */
#ifndef EEP_CORE_EPLB_EXCHANGE_H
#define EEP_CORE_EPLB_EXCHANGE_H

#include "core/eplb/migration.h"

G_BEGIN_DECLS

typedef struct {
    guint layer, n_ranks, slots_per_rank, n_experts;
    const gint32 *old, *target; /* [n_ranks * S], EEP_PLACEMENT_EMPTY where a placement ends */
    EepExpertTransfer *transfers;
    guint n_transfers;
    guint staging_rows; /* >= 1 */
} EepExchange;

/* Returns the number of rounds; 0 when nothing is to be done. Appends EepExpertCopy to `copies`;
 * ret_staged [n_ranks] is the most staging rows that each rank uses at once. */
guint eep_exchange_schedule(const EepExchange *exchange, GArray *copies, guint *ret_staged);

G_END_DECLS

#endif
