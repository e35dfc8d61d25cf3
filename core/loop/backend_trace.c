#include "core/loop/backend_trace.h"

typedef struct {
    EepOpId id; /* the key */
    EepTraceSpan span;
} Open;

typedef struct {
    EepBackend base;
    EepBackend *inner;
    EepTraceSink sink;
    gpointer sink_self;
    GHashTable *open;      /* EepOpId -> Open */
    GHashTable *step_ends; /* pool -> EepTime of its last step's end */
} Trace;

static void begin_span(Trace *self, const EepOp *op, EepOpKind kind, guint32 phase_kind)
{
    EepTime now = eep_loop_now(self->base.loop);
    Open *open = g_new(Open, 1);
    open->id = op->id;
    open->span = (EepTraceSpan){
        .is_begin = TRUE,
        .op = *op,
        .kind = kind,
        .phase_kind = phase_kind,
        .submitted = now,
        .begin = now,
        .end = EEP_TIME_NEVER,
    };
    g_hash_table_replace(self->open, &open->id, open);
    self->sink(self->sink_self, &open->span);
}

static EepTime *step_end(Trace *self, EepPoolId pool)
{
    EepTime *end = g_hash_table_lookup(self->step_ends, GUINT_TO_POINTER(pool));
    if (end == NULL) {
        end = g_new0(EepTime, 1);
        g_hash_table_insert(self->step_ends, GUINT_TO_POINTER(pool), end);
    }
    return end;
}

static EepFilterVerdict trace_filter(gpointer user_data, EepEvent *event)
{
    Trace *self = user_data;
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    const Open *open = g_hash_table_lookup(self->open, &completion.id);
    if (open == NULL)
        return EEP_FILTER_PASS;
    EepTraceSpan span = open->span;
    span.is_begin = FALSE;
    span.end = event->time;
    span.done = completion.done;
    span.worker = completion.worker;
    span.n_steps = completion.n_steps;
    if (span.kind == EEP_OP_STEP) {
        EepTime *last = step_end(self, span.op.pool);
        span.begin = MAX(span.submitted, *last);
        *last = span.end;
    }
    if (completion.worker == 0)
        g_hash_table_remove(self->open, &completion.id);
    self->sink(self->sink_self, &span);
    return EEP_FILTER_PASS;
}

static void trace_attach(EepBackend *backend, EepLoop *loop)
{
    Trace *self = (Trace *)backend;
    backend->loop = loop;
    self->inner->ops->attach(self->inner, loop);
    eep_loop_add_filter(loop, trace_filter, self);
}

static void trace_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    const Trace *self = (const Trace *)backend;
    self->inner->ops->query_caps(self->inner, ret_caps);
}

static void trace_free(EepBackend *backend)
{
    Trace *self = (Trace *)backend;
    eep_backend_free(self->inner);
    g_hash_table_unref(self->open);
    g_hash_table_unref(self->step_ends);
    g_free(self);
}

static void trace_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Trace *self = (Trace *)backend;
    begin_span(self, &plan->op, EEP_OP_STEP, 0);
    self->inner->ops->submit_step(self->inner, plan);
}

static void trace_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Trace *self = (Trace *)backend;
    begin_span(self, &phase->op, EEP_OP_PHASE, phase->kind);
    self->inner->ops->start_phase(self->inner, phase);
}

static void trace_move(EepBackend *backend, const EepMove *move)
{
    Trace *self = (Trace *)backend;
    begin_span(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, 0);
    self->inner->ops->move(self->inner, move);
}

static void trace_read_load(EepBackend *backend, const EepOp *op, guint64 from_step,
                            guint64 to_step, guint n_windows)
{
    Trace *self = (Trace *)backend;
    begin_span(self, op, EEP_OP_READ_LOAD, 0);
    self->inner->ops->read_load(self->inner, op, from_step, to_step, n_windows);
}

static void trace_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Trace *self = (Trace *)backend;
    begin_span(self, op, EEP_OP_ABORT, 0);
    self->inner->ops->abort(self->inner, op, scope);
}

static const EepBackendOps trace_ops = {
    .size = sizeof(EepBackendOps),
    .name = "trace",
    .attach = trace_attach,
    .query_caps = trace_query_caps,
    .free = trace_free,
    .submit_step = trace_submit_step,
    .start_phase = trace_start_phase,
    .move = trace_move,
    .read_load = trace_read_load,
    .abort = trace_abort,
};

EepBackend *eep_backend_trace_new(EepBackend *inner, EepTraceSink sink, gpointer sink_self)
{
    g_return_val_if_fail(inner != NULL && sink != NULL, NULL);
    Trace *self = g_new0(Trace, 1);
    self->base.ops = &trace_ops;
    self->inner = inner;
    self->sink = sink;
    self->sink_self = sink_self;
    self->open = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    self->step_ends = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return &self->base;
}
