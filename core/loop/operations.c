#include "core/loop/operations.h"

typedef struct {
    EepOperation operation; /* operation.op.id 0: the entry is free */
    EepHandle deadline;     /* 0: none */
} Entry;

/* An operation lives at entries[id & mask]; ids whose entry is taken are skipped. The table is at
 * most half full, so that few are. */
struct EepOperations {
    EepLoop *loop;
    Entry *entries;
    guint capacity; /* a power of two */
    EepOpId last_id;
    EepOperationsCounts counts;
};

EepOperations *eep_operations_new(void)
{
    EepOperations *operations = g_new0(EepOperations, 1);
    operations->capacity = 64;
    operations->entries = g_new0(Entry, operations->capacity);
    return operations;
}

void eep_operations_free(EepOperations *operations)
{
    if (operations == NULL)
        return;
    g_free(operations->entries);
    g_free(operations);
}

void eep_operations_attach(EepOperations *operations, EepLoop *loop)
{
    operations->loop = loop;
}

static inline Entry *find(const EepOperations *operations, EepOpId id)
{
    Entry *entry = &operations->entries[id & (operations->capacity - 1)];
    return id != 0 && entry->operation.op.id == id ? entry : NULL;
}

/* Ids that differ in their low bits still do so with one bit more. */
static void grow(EepOperations *operations)
{
    guint capacity = 2 * operations->capacity;
    Entry *entries = g_new0(Entry, capacity);
    for (guint i = 0; i < operations->capacity; i++) {
        EepOpId id = operations->entries[i].operation.op.id;
        if (id != 0)
            entries[id & (capacity - 1)] = operations->entries[i];
    }
    g_free(operations->entries);
    operations->entries = entries;
    operations->capacity = capacity;
}

static EepHandle arm(EepOperations *operations, const EepOp *op)
{
    if (op->deadline == EEP_TIME_NEVER)
        return 0;
    EepEvent event = {
        .source = EEP_SOURCE(EEP_SOURCE_DEADLINE, op->pool),
        .event_class = EEP_CLASS_TIMER,
        .kind = EEP_EVENT_DEADLINE,
        .a = op->id,
    };
    return eep_loop_schedule(operations->loop, op->deadline, &event);
}

EepOp eep_operations_begin(EepOperations *operations, EepOpKind kind, EepPoolId pool,
                           EepEpoch epoch, guint n_workers, EepTime timeout)
{
    g_assert(operations->loop != NULL && timeout >= 0);
    if (G_UNLIKELY(2 * operations->counts.n_outstanding >= operations->capacity))
        grow(operations);
    Entry *entry;
    do
        entry = &operations->entries[++operations->last_id & (operations->capacity - 1)];
    while (entry->operation.op.id != 0);

    EepTime now = eep_loop_now(operations->loop);
    EepOp op = {
        .id = operations->last_id,
        .pool = pool,
        .epoch = epoch,
        .deadline = timeout < EEP_TIME_NEVER - now ? now + timeout : EEP_TIME_NEVER,
    };
    entry->operation =
        (EepOperation){.op = op, .kind = kind, .n_workers_left = n_workers, .begun = now};
    entry->deadline = arm(operations, &op);
    operations->counts.n_begun++;
    operations->counts.n_outstanding++;
    return op;
}

static void end(EepOperations *operations, Entry *entry)
{
    if (entry->deadline != 0)
        eep_loop_reschedule(operations->loop, entry->deadline, EEP_TIME_NEVER);
    entry->operation.op.id = 0;
    operations->counts.n_outstanding--;
}

gboolean eep_operations_complete(EepOperations *operations, const EepCompletion *completion,
                                 gboolean *ret_whole)
{
    Entry *entry = find(operations, completion->id);
    gboolean is_whole = completion->worker == 0;
    if (entry == NULL || (!is_whole && entry->operation.n_workers_left == 0)) {
        operations->counts.n_late++;
        return FALSE;
    }
    if (is_whole) {
        end(operations, entry);
        operations->counts.n_ended++;
    } else {
        entry->operation.n_workers_left--;
    }
    if (ret_whole != NULL)
        *ret_whole = is_whole;
    return TRUE;
}

gboolean eep_operations_expire(EepOperations *operations, EepOpId id, EepCompletion *ret_completion)
{
    Entry *entry = find(operations, id);
    if (entry == NULL)
        return FALSE;
    *ret_completion = (EepCompletion){
        .id = id,
        .kind = entry->operation.kind,
        .done = EEP_DONE_TIMED_OUT,
        .epoch = entry->operation.op.epoch,
    };
    end(operations, entry);
    operations->counts.n_expired++;
    return TRUE;
}

const EepOperation *eep_operations_find(const EepOperations *operations, EepOpId id)
{
    Entry *entry = find(operations, id);
    return entry != NULL ? &entry->operation : NULL;
}

EepOperationsCounts eep_operations_counts(const EepOperations *operations)
{
    return operations->counts;
}
