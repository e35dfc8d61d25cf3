/* EepOperations: the operations that have begun and not ended.
 *
 * Kept by the owner of the loop, not by the backend: gives out ids, arms deadlines as
 * EEP_EVENT_DEADLINE events, and tells a completion that ends something from one that comes too
 * late, because its operation has ended (its deadline) before. Late ones are counted and
 * dropped. Not a contract checker (backend_check.h). Loop thread only; O(1), no allocation but to
 * grow the table. */
#ifndef EEP_CORE_LOOP_OPERATIONS_H
#define EEP_CORE_LOOP_OPERATIONS_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

typedef struct EepOperations EepOperations;

typedef struct {
    EepOp op;
    EepOpKind kind;
    guint n_workers_left; /* per-worker completions still to come */
    EepTime begun;
} EepOperation;

typedef struct {
    guint64 n_begun;
    guint64 n_ended;   /* by a completion */
    guint64 n_expired; /* by their deadline */
    guint64 n_late;    /* completions dropped */
    guint n_outstanding;
} EepOperationsCounts;

EepOperations *eep_operations_new(void);
void eep_operations_free(EepOperations *operations);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepOperations, eep_operations_free)

/* To be called once before the first operation; the loop must outlive their use. */
void eep_operations_attach(EepOperations *operations, EepLoop *loop);

/* A new operation, ready for the `op` of a plan, phase or move. n_workers: per-worker completions
 * before the whole one (0 for steps, read_load and abort). timeout: from now; EEP_TIME_NEVER queues
 * no deadline. */
EepOp eep_operations_begin(EepOperations *operations, EepOpKind kind, EepPoolId pool,
                           EepEpoch epoch, guint n_workers, EepTime timeout);

/* To be asked about every completion. FALSE: late, drop it. *ret_whole (nullable) says whether the
 * operation has ended; its deadline is gone then. */
gboolean eep_operations_complete(EepOperations *operations, const EepCompletion *completion,
                                 gboolean *ret_whole);

/* For EEP_EVENT_DEADLINE with a = id. TRUE: the operation has ended now, and *ret_completion is
 * what the owner should treat as its whole completion (EEP_DONE_TIMED_OUT, no steps). FALSE: it had
 * ended before. */
gboolean eep_operations_expire(EepOperations *operations, EepOpId id,
                               EepCompletion *ret_completion);

/* NULL: not outstanding. Valid until the next begin or end. */
const EepOperation *eep_operations_find(const EepOperations *operations, EepOpId id);

EepOperationsCounts eep_operations_counts(const EepOperations *operations);

G_END_DECLS

#endif
