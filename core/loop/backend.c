#include "core/loop/backend.h"

const char *const eep_op_names[EEP_OP_COUNT] = {
    [EEP_OP_STEP] = "step",
    [EEP_OP_PHASE] = "phase",
    [EEP_OP_MOVE_EXPERTS] = "move_experts",
    [EEP_OP_MOVE_KV] = "move_kv",
    [EEP_OP_READ_LOAD] = "read_load",
    [EEP_OP_ABORT] = "abort",
};

const char *const eep_done_names[EEP_DONE_COUNT] = {
    [EEP_DONE_OK] = "ok",
    [EEP_DONE_REFUSED] = "refused",
    [EEP_DONE_ABORTED] = "aborted",
    [EEP_DONE_TIMED_OUT] = "timed_out",
    [EEP_DONE_WORKER_LOST] = "worker_lost",
    [EEP_DONE_GROUP_BROKEN] = "group_broken",
};

G_STATIC_ASSERT(EEP_OP_COUNT == EEP_OP_ABORT + 1);
G_STATIC_ASSERT(EEP_DONE_COUNT == EEP_DONE_GROUP_BROKEN + 1);

void eep_completion_to_event(const EepCompletion *completion, EepPoolId pool, GBytes *blob,
                             EepEvent *ret_event)
{
    *ret_event = (EepEvent){
        .source = completion->worker != 0 ? EEP_SOURCE(EEP_SOURCE_WORKER, completion->worker)
                                          : EEP_SOURCE(EEP_SOURCE_POOL, pool),
        .event_class = EEP_CLASS_BACKEND,
        .kind = EEP_EVENT_OP_DONE,
        .a = completion->id,
        .b = (guint64)completion->kind | (guint64)completion->done << 8 |
             (guint64)completion->worker << 32,
        .c = completion->epoch | (guint64)completion->n_steps << 32,
        .blob = blob,
    };
}

void eep_completion_from_event(const EepEvent *event, EepCompletion *ret_completion)
{
    *ret_completion = (EepCompletion){
        .id = event->a,
        .kind = (EepOpKind)(event->b & 0xff),
        .done = (EepDone)(event->b >> 8 & 0xff),
        .worker = (EepWorkerId)(event->b >> 32),
        .epoch = (EepEpoch)event->c,
        .n_steps = (guint32)(event->c >> 32),
    };
}

void eep_backend_end(EepBackend *self, const EepOp *op, EepOpKind kind, EepDone done)
{
    EepCompletion completion = {.id = op->id, .kind = kind, .done = done, .epoch = op->epoch};
    EepEvent event;
    eep_completion_to_event(&completion, op->pool, NULL, &event);
    eep_loop_schedule(self->loop, eep_loop_now(self->loop), &event);
}

void eep_backend_no_start_phase(EepBackend *self, const EepPhase *phase)
{
    eep_backend_end(self, &phase->op, EEP_OP_PHASE, EEP_DONE_REFUSED);
}

void eep_backend_no_move(EepBackend *self, const EepMove *move)
{
    eep_backend_end(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS,
                    EEP_DONE_REFUSED);
}

void eep_backend_no_read_load(EepBackend *self, const EepOp *op, guint64 from_step, guint64 to_step,
                              guint n_windows)
{
    eep_backend_end(self, op, EEP_OP_READ_LOAD, EEP_DONE_REFUSED);
}

void eep_backend_no_abort(EepBackend *self, const EepOp *op, const EepScope *scope)
{
    eep_backend_end(self, op, EEP_OP_ABORT, EEP_DONE_REFUSED);
}

void eep_backend_free(EepBackend *backend)
{
    if (backend != NULL)
        backend->ops->free(backend);
}
