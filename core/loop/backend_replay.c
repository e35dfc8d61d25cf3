#include "core/loop/backend_replay.h"

typedef struct {
    EepBackend base;
    EepBackendCaps caps;
} Replay;

static void replay_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
}

static void replay_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    *ret_caps = ((const Replay *)backend)->caps;
}

static void replay_free(EepBackend *backend)
{
    g_free(backend);
}

static void replay_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
}

static void replay_start_phase(EepBackend *backend, const EepPhase *phase)
{
}

static void replay_move(EepBackend *backend, const EepMove *move)
{
}

static void replay_read_load(EepBackend *backend, const EepOp *op, guint64 from_step,
                             guint64 to_step, guint n_windows)
{
}

static void replay_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
}

static const EepBackendOps replay_ops = {
    .size = sizeof(EepBackendOps),
    .name = "replay",
    .attach = replay_attach,
    .query_caps = replay_query_caps,
    .free = replay_free,
    .submit_step = replay_submit_step,
    .start_phase = replay_start_phase,
    .move = replay_move,
    .read_load = replay_read_load,
    .abort = replay_abort,
};

EepBackend *eep_backend_replay_new(const EepBackendCaps *caps)
{
    g_return_val_if_fail(caps != NULL, NULL);
    Replay *self = g_new0(Replay, 1);
    self->base.ops = &replay_ops;
    self->caps = *caps;
    return &self->base;
}
