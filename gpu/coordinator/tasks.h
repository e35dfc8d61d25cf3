/* EepTasks: the operations that workers have been given and not all ended.
 *
 * A task has a part for each worker that takes part; when the last part has ended, the whole ends,
 * and each end is told once: phases and moves tell their parts too, as core/loop/backend.h says.
 * The end of a task goes to the loop's mailbox, or, for what the coordinator asks on its own
 * account, to a function. Not a sender of messages. Loop thread only. */
#ifndef EEP_GPU_COORDINATOR_TASKS_H
#define EEP_GPU_COORDINATOR_TASKS_H

#include "live/mailbox.h"

#include "core/loop/backend.h"

G_BEGIN_DECLS

typedef struct EepTasks EepTasks;
typedef struct EepTask EepTask;

typedef struct {
    EepWorkerId worker;
    gboolean has_ended;
} EepTaskPart;

typedef void (*EepTaskEnded)(gpointer self, const EepTask *task);

struct EepTask {
    EepOp op;
    EepOpKind kind;
    guint32 phase;         /* EepPhaseKind, of phases */
    EepEpoch target_epoch; /* of phases; of moves: the group that they go over */
    guint n_parts, n_left;
    EepTaskPart *parts;
    EepDone done;          /* the widest thing broken so far */
    GArray *suspects;      /* EepWorkerId, nullable */
    EepLoadReport *report; /* nullable: what a load read brings */
    gsize report_bytes;
    /* Nullable: told instead of the mailbox, before the task goes. */
    EepTaskEnded ended;
    gpointer self;
    EepOpId tries_for; /* a first try of that task, which begins if it fails; 0: none */
    EepEpoch parent;   /* phases: out of whose communicator one is made; 0: none is */
    /* Steps: what the first worker said of the probe tokens. */
    gboolean compares_probes;
    guint64 probe_hash;
    gfloat probe[4];
    EepWorkerId probed_by; /* 0: nobody yet */
};

EepTasks *eep_tasks_new(EepMailbox *mailbox);
void eep_tasks_free(EepTasks *tasks); /* nothing more is told */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepTasks, eep_tasks_free)

/* Ids for what the coordinator asks on its own account: no operation of the core has them. */
EepOpId eep_tasks_own_id(EepTasks *tasks);

/* A new task; without workers it ends with the next eep_tasks_end_if_over(). Valid until it ends.
 */
EepTask *eep_tasks_begin(EepTasks *tasks, const EepOp *op, EepOpKind kind, guint n,
                         const EepWorkerId *workers);

EepTask *eep_tasks_find(const EepTasks *tasks, EepOpId id); /* NULL: has ended */
/* NULL: the worker has no part in it. */
EepTaskPart *eep_task_part(const EepTask *task, EepWorkerId worker);

/* The worker's part ends; nothing happens if it has. `suspect` 0: none. The task may be gone
 * afterwards. */
void eep_tasks_end_part(EepTasks *tasks, EepTask *task, EepWorkerId worker, EepDone done,
                        EepWorkerId suspect);
void eep_tasks_end_if_over(EepTasks *tasks, EepTask *task);
/* All of it, as aborted. */
void eep_tasks_abort(EepTasks *tasks, EepTask *task);

/* Drops those of whose end `self` was to be told. */
void eep_tasks_forget(EepTasks *tasks, gpointer self);

/* An operation that never had a part ends so, at once. */
void eep_tasks_end_at_once(EepTasks *tasks, const EepOp *op, EepOpKind kind, EepDone done);

/* In the order in which they began; a function may end the one that it was given. */
guint eep_tasks_n(const EepTasks *tasks);
EepTask *eep_tasks_nth(const EepTasks *tasks, guint index);

G_END_DECLS

#endif
