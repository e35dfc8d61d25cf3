/* One case of the oracle, run by the product: deployment, pool, scheduler, the simulator's backend.
 */
#ifndef EEP_TESTS_POOL_RUN_H
#define EEP_TESTS_POOL_RUN_H

#include "tests/oracle/cases.h"

G_BEGIN_DECLS

/* Totals that can be compared with EagerTotals. */
typedef struct {
    guint64 preemptions, blocks_hit, n_steps;
} PoolRunTotals;

/* Same arguments and results as eager_run(). `fail_every` > 0: every so manieth step fails and is
 * planned again, which must change nothing. FALSE with an error when the run itself fails. */
gboolean pool_run(const EagerConfig *config, const EagerRequest *requests, guint n_requests,
                  guint fail_every, EagerResult *ret_results, PoolRunTotals *ret_totals,
                  GError **error);

G_END_DECLS

#endif
