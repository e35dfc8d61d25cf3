#include "gpu/coordinator/tasks.h"

/* The core counts its operations from 1. */
#define OWN_IDS (G_GUINT64_CONSTANT(1) << 63)

struct EepTasks {
    EepMailbox *mailbox;
    GPtrArray *running; /* EepTask */
    guint64 n_own;
};

static void task_free(gpointer data)
{
    EepTask *task = data;

    if (task->suspects != NULL)
        g_array_unref(task->suspects);
    g_free(task->report);
    g_free(task->parts);
    g_free(task);
}

EepTasks *eep_tasks_new(EepMailbox *mailbox)
{
    EepTasks *tasks = g_new0(EepTasks, 1);

    tasks->mailbox = mailbox;
    tasks->running = g_ptr_array_new_with_free_func(task_free);
    return tasks;
}

void eep_tasks_free(EepTasks *tasks)
{
    g_ptr_array_free(tasks->running, TRUE);
    g_free(tasks);
}

EepOpId eep_tasks_own_id(EepTasks *tasks)
{
    return OWN_IDS | ++tasks->n_own;
}

EepTask *eep_tasks_begin(EepTasks *tasks, const EepOp *op, EepOpKind kind, guint n,
                         const EepWorkerId *workers)
{
    EepTask *task = g_new0(EepTask, 1);

    task->op = *op;
    task->kind = kind;
    task->n_parts = task->n_left = n;
    task->parts = g_new0(EepTaskPart, MAX(1, n));
    for (guint i = 0; i < n; i++)
        task->parts[i].worker = workers[i];
    g_ptr_array_add(tasks->running, task);
    return task;
}

EepTask *eep_tasks_find(const EepTasks *tasks, EepOpId id)
{
    for (guint i = 0; i < tasks->running->len; i++) {
        EepTask *task = g_ptr_array_index(tasks->running, i);

        if (task->op.id == id)
            return task;
    }
    return NULL;
}

EepTaskPart *eep_task_part(const EepTask *task, EepWorkerId worker)
{
    for (guint i = 0; i < task->n_parts; i++)
        if (task->parts[i].worker == worker)
            return &task->parts[i];
    return NULL;
}

static void post(EepTasks *tasks, const EepOp *op, EepOpKind kind, EepDone done, EepWorkerId worker,
                 GBytes *blob)
{
    EepCompletion completion = {.id = op->id,
                                .kind = kind,
                                .done = done,
                                .worker = worker,
                                .epoch = op->epoch,
                                .n_steps = kind == EEP_OP_STEP && done == EEP_DONE_OK ? 1 : 0};
    EepEvent event;

    eep_completion_to_event(&completion, op->pool, blob, &event);
    eep_mailbox_post(tasks->mailbox, &event);
}

static gboolean tells_parts(const EepTask *task)
{
    return task->ended == NULL && task->kind != EEP_OP_STEP && task->kind != EEP_OP_READ_LOAD;
}

/* What the whole's event brings; NULL: nothing. */
static GBytes *take_blob(EepTask *task)
{
    if (task->done == EEP_DONE_OK && task->report != NULL)
        return g_bytes_new_take(g_steal_pointer(&task->report), task->report_bytes);
    if (task->done != EEP_DONE_OK && task->suspects != NULL)
        return g_bytes_new(task->suspects->data, task->suspects->len * sizeof(EepWorkerId));
    return NULL;
}

static void end(EepTasks *tasks, EepTask *task)
{
    guint index;

    if (task->ended != NULL)
        task->ended(task->self, task);
    else
        post(tasks, &task->op, task->kind, task->done, 0, take_blob(task));
    if (g_ptr_array_find(tasks->running, task, &index))
        g_ptr_array_remove_index(tasks->running, index);
}

void eep_tasks_end_if_over(EepTasks *tasks, EepTask *task)
{
    if (task->n_left == 0)
        end(tasks, task);
}

static void note_suspect(EepTask *task, EepWorkerId suspect)
{
    if (suspect == 0)
        return;
    if (task->suspects == NULL)
        task->suspects = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    for (guint i = 0; i < task->suspects->len; i++)
        if (g_array_index(task->suspects, EepWorkerId, i) == suspect)
            return;
    g_array_append_val(task->suspects, suspect);
}

void eep_tasks_end_part(EepTasks *tasks, EepTask *task, EepWorkerId worker, EepDone done,
                        EepWorkerId suspect)
{
    EepTaskPart *part = eep_task_part(task, worker);

    if (part == NULL || part->has_ended)
        return;
    /* To the core a refusal says that nothing happened, anywhere. */
    if (done == EEP_DONE_REFUSED)
        done = EEP_DONE_GROUP_BROKEN;
    part->has_ended = TRUE;
    task->n_left--;
    task->done = MAX(task->done, done);
    note_suspect(task, suspect);
    if (tells_parts(task))
        post(tasks, &task->op, task->kind, done, worker, NULL);
    eep_tasks_end_if_over(tasks, task);
}

void eep_tasks_abort(EepTasks *tasks, EepTask *task)
{
    for (guint i = 0; i < task->n_parts; i++) {
        EepTaskPart *part = &task->parts[i];

        if (part->has_ended)
            continue;
        part->has_ended = TRUE;
        if (tells_parts(task))
            post(tasks, &task->op, task->kind, EEP_DONE_ABORTED, part->worker, NULL);
    }
    task->n_left = 0;
    task->done = EEP_DONE_ABORTED;
    end(tasks, task);
}

void eep_tasks_forget(EepTasks *tasks, gpointer self)
{
    for (guint i = tasks->running->len; i > 0; i--)
        if (eep_tasks_nth(tasks, i - 1)->ended != NULL && eep_tasks_nth(tasks, i - 1)->self == self)
            g_ptr_array_remove_index(tasks->running, i - 1);
}

void eep_tasks_end_at_once(EepTasks *tasks, const EepOp *op, EepOpKind kind, EepDone done)
{
    post(tasks, op, kind, done, 0, NULL);
}

guint eep_tasks_n(const EepTasks *tasks)
{
    return tasks->running->len;
}

EepTask *eep_tasks_nth(const EepTasks *tasks, guint index)
{
    return g_ptr_array_index(tasks->running, index);
}
