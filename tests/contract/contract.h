/* EepContract: the conformance suite for backends.
 *
 * Drives a backend that it knows only by the table of core/loop/backend.h through steps, leaps,
 * phases, moves, load reads, aborts and refusals, each scenario on a fresh backend, and holds
 * everything that happens against EepBackendCheck and against what the scenario expects. Not a
 * performance test: it never looks at how long anything takes. */
#ifndef EEP_TESTS_CONTRACT_CONTRACT_H
#define EEP_TESTS_CONTRACT_CONTRACT_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

#define EEP_CONTRACT_MAX_WORKERS 16

/* What is tested. The backend must know the pool's epoch and workers when it is made. */
typedef struct {
    EepClock *(*make_clock)(gpointer self); /* NULL: the virtual clock */
    EepBackend *(*make_backend)(gpointer self);
    gpointer self;
    EepPoolId pool;
    EepEpoch epoch;
    guint n_workers; /* 2 .. EEP_CONTRACT_MAX_WORKERS */
    const EepWorkerId *workers;
    const EepPlacement *placement; /* nullable, for the steps */
    guint32 phase_kind;
    EepEpoch target_epoch; /* of the phase; 0: the pool's */
    /* An abort breaks the group of what had begun, as it does with real communicators: a step after
     * it may fail, and must not once standby_groups and switch have made the group anew. */
    gboolean abort_breaks_group;
    EepTime limit; /* a scenario that is not over by then hangs; EEP_TIME_NEVER: no limit */
} EepContractSubject;

/* Runs every scenario that the backend's capabilities allow. FALSE: the error names the first
 * scenario that failed and says why. */
gboolean eep_contract_run(const EepContractSubject *subject, GError **error);

G_END_DECLS

#endif
