#include "tests/serving/desk_backend.h"

#include "core/eplb/placement.h"

#define MAX_IN_FLIGHT 2

typedef struct {
    EepPredictor base;
    const DeskCosts *costs;
} Predictor;

/* A completion that is queued or was; cancelling one that was dispatched does nothing. */
typedef struct {
    EepOp op;
    EepOpKind kind;
    EepWorkerId worker;
    EepTime at;
    EepHandle handle;
} Pending;

typedef struct {
    EepBackend base;
    const DeskCosts *costs;
    GArray *pending;  /* Pending, in the order of submission */
    EepTime step_end; /* of the last step in flight */
} Backend;

/* -- predictor -- */

static EepTime step_time(const DeskCosts *costs, const EepStepPlan *plan)
{
    EepTime most = 0;

    for (guint i = 0; i < plan->n_engines; i++)
        most = MAX(most, costs->per_prefill_token * plan->work[i].n_prefill_tokens +
                             costs->per_decode * plan->work[i].n_decodes);
    return costs->step + most;
}

static void predict_step(EepPredictor *self, const EepStepPlan *plan, EepStepCost *ret_cost)
{
    *ret_cost = (EepStepCost){.step = step_time(((Predictor *)self)->costs, plan),
                              .all2all_s = eep_time_to_seconds(((Predictor *)self)->costs->all2all),
                              .imbalance = plan->is_dummy ? 0.0 : 1.0};
}

static EepTime predict_phase(EepPredictor *self, const EepPhase *phase, EepTime *ret_each)
{
    EepTime time = ((Predictor *)self)->costs->phase[phase->kind];

    for (guint i = 0; i < phase->n_workers && ret_each != NULL; i++)
        ret_each[i] = time;
    return time;
}

static EepTime move_time(const DeskCosts *costs, const EepMove *move)
{
    EepTime time = costs->move;

    for (guint i = 0; i < move->n_transfers && move->bytes != NULL; i++)
        time += costs->per_kv_byte * move->bytes[i];
    return time;
}

static EepTime predict_move(EepPredictor *self, const EepMove *move, EepTime *ret_link)
{
    EepTime time = move_time(((Predictor *)self)->costs, move);

    if (ret_link != NULL)
        *ret_link = time;
    return time;
}

/* As long as the tokens of the busiest rank take, layer by layer. */
static double predict_experts(EepPredictor *self, const EepPlacement *placement, const double *load,
                              double n_steps)
{
    const DeskCosts *costs = ((Predictor *)self)->costs;
    double tokens = 0.0, most;

    for (guint layer = 0; layer < placement->n_layers; layer++) {
        eep_placement_layer_balancedness(placement, layer, load + layer * placement->n_experts,
                                         NULL, &most);
        tokens += most / n_steps;
    }
    return tokens * eep_time_to_seconds(costs->per_expert_token);
}

static void predict_load(EepPredictor *self, guint64 version, double tokens, double *ret_load)
{
    const DeskCosts *costs = ((Predictor *)self)->costs;

    for (guint i = 0; i < costs->n_cells; i++)
        ret_load[i] += tokens * costs->load[i];
}

static guint64 predict_version(const EepPredictor *self)
{
    return 1;
}

static gboolean predict_idle(const EepPredictor *self)
{
    return ((const Predictor *)self)->costs->idle_steps_are_free;
}

static void predictor_free(EepPredictor *self)
{
    g_free(self);
}

static const EepPredictorOps predictor_ops = {
    .size = sizeof(EepPredictorOps),
    .name = "desk",
    .step = predict_step,
    .phase = predict_phase,
    .move = predict_move,
    .experts = predict_experts,
    .add_load = predict_load,
    .popularity_version = predict_version,
    .idle_steps_are_free = predict_idle,
    .free = predictor_free,
};

EepPredictor *desk_predictor_new(const DeskCosts *costs)
{
    Predictor *self = g_new0(Predictor, 1);

    self->base.ops = &predictor_ops;
    self->costs = costs;
    return &self->base;
}

/* -- backend -- */

static void desk_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
}

static void desk_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    *ret_caps = (EepBackendCaps){.size = sizeof(EepBackendCaps),
                                 .max_steps_in_flight = MAX_IN_FLIGHT,
                                 .max_ranks = G_MAXUINT32,
                                 .can_mask = TRUE,
                                 .can_abort_step = TRUE,
                                 .moves_during_step = TRUE,
                                 .moves_kv = TRUE,
                                 .phases_during_step = TRUE};
}

/* What ended before now is forgotten. */
static void forget_ended(Backend *self)
{
    EepTime now = eep_loop_now(self->base.loop);
    guint n_kept = 0;

    for (guint i = 0; i < self->pending->len; i++) {
        Pending pending = g_array_index(self->pending, Pending, i);

        if (pending.at > now)
            g_array_index(self->pending, Pending, n_kept++) = pending;
    }
    g_array_set_size(self->pending, n_kept);
}

static void complete(Backend *self, const EepOp *op, EepOpKind kind, EepWorkerId worker, EepTime at,
                     GBytes *blob)
{
    EepCompletion completion = {.id = op->id,
                                .kind = kind,
                                .done = EEP_DONE_OK,
                                .worker = worker,
                                .epoch = op->epoch,
                                .n_steps = kind == EEP_OP_STEP};
    Pending pending = {.op = *op, .kind = kind, .worker = worker, .at = at};
    EepEvent event;

    eep_completion_to_event(&completion, op->pool, blob, &event);
    pending.handle = eep_loop_schedule(self->base.loop, at, &event);
    g_array_append_val(self->pending, pending);
}

static void desk_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Backend *self = (Backend *)backend;
    guint n_steps = 0;

    forget_ended(self);
    for (guint i = 0; i < self->pending->len; i++)
        n_steps += g_array_index(self->pending, Pending, i).kind == EEP_OP_STEP;
    if (n_steps == MAX_IN_FLIGHT) {
        eep_backend_end(backend, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        return;
    }
    self->step_end =
        (n_steps > 0 ? self->step_end : eep_loop_now(backend->loop)) + step_time(self->costs, plan);
    complete(self, &plan->op, EEP_OP_STEP, 0, self->step_end, NULL);
}

static void desk_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Backend *self = (Backend *)backend;
    EepTime at = eep_loop_now(backend->loop) + self->costs->phase[phase->kind];

    forget_ended(self);
    for (guint i = 0; i < phase->n_workers; i++)
        complete(self, &phase->op, EEP_OP_PHASE, phase->workers[i], at, NULL);
    complete(self, &phase->op, EEP_OP_PHASE, 0, at, NULL);
}

static void desk_move(EepBackend *backend, const EepMove *move)
{
    Backend *self = (Backend *)backend;

    forget_ended(self);
    complete(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, 0,
             eep_loop_now(backend->loop) + move_time(self->costs, move), NULL);
}

static const double *step_load(const DeskCosts *costs, guint64 step)
{
    return costs->later_load != NULL && step >= costs->later_step ? costs->later_load : costs->load;
}

static void desk_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                           guint n_windows)
{
    Backend *self = (Backend *)backend;
    const guint n_cells = self->costs->n_cells;
    gsize size = sizeof(EepLoadReport) + n_windows * n_cells * sizeof(double);
    EepLoadReport *report;

    if (n_cells == 0) {
        eep_backend_no_read_load(backend, op, from_step, to_step, n_windows);
        return;
    }
    report = g_malloc0(size);
    report->n_windows = n_windows;
    for (guint w = 0; w < n_windows; w++)
        for (guint64 step = eep_load_window_begin(from_step, to_step, n_windows, w);
             step < eep_load_window_begin(from_step, to_step, n_windows, w + 1); step++)
            for (guint i = 0; i < n_cells; i++)
                report->tokens[w * n_cells + i] += step_load(self->costs, step)[i];
    complete(self, op, EEP_OP_READ_LOAD, 0, eep_loop_now(backend->loop),
             g_bytes_new_take(report, size));
}

static gboolean covers(const EepScope *scope, const EepOp *op)
{
    if (scope->op != 0)
        return scope->op == op->id;
    return (scope->pool == 0 || scope->pool == op->pool) &&
           (scope->epoch == 0 || scope->epoch == op->epoch);
}

/* Whole operations only; a worker's scope is taken for its pool's. */
static void desk_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Backend *self = (Backend *)backend;
    EepTime last_step = eep_loop_now(backend->loop);

    for (guint i = 0; i < self->pending->len; i++) {
        Pending *pending = &g_array_index(self->pending, Pending, i);

        if (!covers(scope, &pending->op)) {
            if (pending->kind == EEP_OP_STEP)
                last_step = MAX(last_step, pending->at);
            continue;
        }
        pending->at = 0;
        if (eep_loop_reschedule(backend->loop, pending->handle, EEP_TIME_NEVER) &&
            pending->worker == 0)
            eep_backend_end(backend, &pending->op, pending->kind, EEP_DONE_ABORTED);
    }
    self->step_end = last_step;
    forget_ended(self);
    /* A nanosecond later, behind completions of every pool. */
    complete(self, op, EEP_OP_ABORT, 0, eep_loop_now(backend->loop) + 1, NULL);
}

static void desk_free(EepBackend *backend)
{
    Backend *self = (Backend *)backend;

    g_array_free(self->pending, TRUE);
    g_free(self);
}

static const EepBackendOps backend_ops = {
    .size = sizeof(EepBackendOps),
    .name = "desk",
    .attach = desk_attach,
    .query_caps = desk_query_caps,
    .free = desk_free,
    .submit_step = desk_submit_step,
    .start_phase = desk_start_phase,
    .move = desk_move,
    .read_load = desk_read_load,
    .abort = desk_abort,
};

EepBackend *desk_backend_new(const DeskCosts *costs)
{
    Backend *self = g_new0(Backend, 1);

    self->base.ops = &backend_ops;
    self->costs = costs;
    self->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
    return &self->base;
}
