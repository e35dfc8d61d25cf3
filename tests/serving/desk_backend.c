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
    GArray *workers; /* EepWorkerId of those without whom it does not come; owned */
    EepTime at;
    EepHandle handle;
    gboolean hangs; /* it is not queued, and waits to be aborted */
} Pending;

typedef struct {
    EepWorkerId worker;
    double factor;
} Slow;

typedef struct {
    guint kind, n_left;
    gboolean is_each, hangs;
} Break;

typedef struct {
    EepBackend base;
    const DeskCosts *costs;
    GArray *pending;  /* Pending, in the order of submission */
    EepTime step_end; /* of the last step in flight */
    EepFaultInjector injector;
    GArray *stopped; /* EepWorkerId */
    GArray *slow;    /* Slow */
    GArray *breaks;  /* Break */
    GArray *ranks;   /* EepWorkerId by rank, of the last step */
    double link;     /* factor of the links' bandwidth */
} Backend;

static gboolean has_worker(const GArray *workers, EepWorkerId worker)
{
    for (guint i = 0; i < workers->len; i++)
        if (g_array_index(workers, EepWorkerId, i) == worker)
            return TRUE;
    return FALSE;
}

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
        else
            g_array_free(pending.workers, TRUE);
    }
    g_array_set_size(self->pending, n_kept);
}

static gboolean is_any_stopped(const Backend *self, const GArray *workers)
{
    for (guint i = 0; i < workers->len; i++)
        if (has_worker(self->stopped, g_array_index(workers, EepWorkerId, i)))
            return TRUE;
    return FALSE;
}

/* Takes over `workers` and `blob`. */
static void complete(Backend *self, const EepOp *op, EepOpKind kind, EepWorkerId worker,
                     GArray *workers, EepTime at, EepDone done, GBytes *blob)
{
    EepCompletion completion = {.id = op->id,
                                .kind = kind,
                                .done = done,
                                .worker = worker,
                                .epoch = op->epoch,
                                .n_steps = kind == EEP_OP_STEP};
    Pending pending = {.op = *op, .kind = kind, .worker = worker, .workers = workers, .at = at};
    EepEvent event;

    if (is_any_stopped(self, workers))
        pending.at = EEP_TIME_NEVER;
    pending.hangs = pending.at == EEP_TIME_NEVER;
    eep_completion_to_event(&completion, op->pool, blob, &event);
    pending.handle = eep_loop_schedule(self->base.loop, pending.at, &event);
    g_array_append_val(self->pending, pending);
}

static GArray *workers_new(const EepWorkerId *workers, guint n)
{
    GArray *copy = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));

    return n > 0 ? g_array_append_vals(copy, workers, n) : copy;
}

static double slowness(const Backend *self, const GArray *workers)
{
    double most = 1.0;

    for (guint i = 0; i < self->slow->len; i++) {
        const Slow *slow = &g_array_index(self->slow, Slow, i);

        if (has_worker(workers, slow->worker))
            most = MAX(most, slow->factor);
    }
    return most;
}

static void desk_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Backend *self = (Backend *)backend;
    GArray *workers = workers_new(NULL, 0);
    guint n_steps = 0;
    EepTime time;

    forget_ended(self);
    for (guint i = 0; i < self->pending->len; i++)
        n_steps += g_array_index(self->pending, Pending, i).kind == EEP_OP_STEP;
    if (n_steps == MAX_IN_FLIGHT) {
        eep_backend_end(backend, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        g_array_free(workers, TRUE);
        return;
    }
    for (guint i = 0; i < plan->n_engines; i++)
        g_array_append_val(workers, plan->work[i].engine);
    g_array_set_size(self->ranks, 0);
    g_array_append_vals(self->ranks, workers->data, workers->len);
    time = (EepTime)((double)step_time(self->costs, plan) * slowness(self, workers));
    self->step_end =
        eep_time_after(n_steps > 0 ? self->step_end : eep_loop_now(backend->loop), time);
    if (is_any_stopped(self, workers))
        self->step_end = EEP_TIME_NEVER;
    complete(self, &plan->op, EEP_OP_STEP, 0, workers, self->step_end, EEP_DONE_OK, NULL);
}

/* What becomes of a phase of this kind that begins now. */
static void meet_breaks(Backend *self, guint kind, gboolean *ret_fails, gboolean *ret_hangs)
{
    *ret_fails = *ret_hangs = FALSE;
    for (guint i = 0; i < self->breaks->len; i++) {
        Break *rule = &g_array_index(self->breaks, Break, i);

        if (rule->kind != kind || (!rule->is_each && rule->n_left == 0) ||
            (!rule->is_each && --rule->n_left > 0))
            continue;
        *ret_hangs |= rule->hangs;
        *ret_fails |= !rule->hangs;
    }
}

static void desk_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Backend *self = (Backend *)backend;
    EepTime cost = self->costs->phase[phase->kind], now = eep_loop_now(backend->loop), at;
    GArray *all = workers_new(phase->workers, phase->n_workers);
    gboolean fails, hangs;

    forget_ended(self);
    meet_breaks(self, phase->kind, &fails, &hangs);
    for (guint i = 0; i < phase->n_workers && !fails; i++) {
        GArray *one = workers_new(&phase->workers[i], 1);

        at = hangs ? EEP_TIME_NEVER : now + (EepTime)((double)cost * slowness(self, one));
        complete(self, &phase->op, EEP_OP_PHASE, phase->workers[i], one, at, EEP_DONE_OK, NULL);
    }
    at = hangs ? EEP_TIME_NEVER : now + (EepTime)((double)cost * slowness(self, all));
    complete(self, &phase->op, EEP_OP_PHASE, 0, all, at,
             fails ? EEP_DONE_GROUP_BROKEN : EEP_DONE_OK, NULL);
}

static void add_rank(const Backend *self, const EepMove *move, GArray *workers, guint rank)
{
    guint engine = move->n_engines > 0 ? rank / (move->n_ranks / move->n_engines) : rank;

    if (engine < move->n_engines)
        g_array_append_val(workers, move->engines[engine]);
    else if (move->n_engines == 0 && rank < self->ranks->len)
        g_array_append_val(workers, g_array_index(self->ranks, EepWorkerId, rank));
}

static void desk_move(EepBackend *backend, const EepMove *move)
{
    Backend *self = (Backend *)backend;
    GArray *workers = workers_new(NULL, 0);

    forget_ended(self);
    for (guint i = 0; i < move->n_transfers; i++) {
        add_rank(self, move, workers, move->transfers[i].from_rank);
        add_rank(self, move, workers, move->transfers[i].to_rank);
    }
    complete(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, 0, workers,
             eep_loop_now(backend->loop) +
                 (EepTime)((double)move_time(self->costs, move) / self->link),
             EEP_DONE_OK, NULL);
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
    complete(self, op, EEP_OP_READ_LOAD, 0, workers_new(NULL, 0), eep_loop_now(backend->loop),
             EEP_DONE_OK, g_bytes_new_take(report, size));
}

static gboolean covers(const EepScope *scope, const EepOp *op)
{
    if (scope->op != 0)
        return scope->op == op->id;
    return (scope->pool == 0 || scope->pool == op->pool) &&
           (scope->epoch == 0 || scope->epoch == op->epoch);
}

/* Whole operations only; a worker's scope is taken for its pool's. */
static void end_scope(Backend *self, const EepScope *scope, EepDone done)
{
    EepLoop *loop = self->base.loop;
    EepTime last_step = eep_loop_now(loop);

    for (guint i = 0; i < self->pending->len; i++) {
        Pending *pending = &g_array_index(self->pending, Pending, i);

        if (!covers(scope, &pending->op)) {
            if (pending->kind == EEP_OP_STEP)
                last_step = MAX(last_step, pending->at);
            continue;
        }
        pending->at = 0;
        if ((pending->hangs || eep_loop_reschedule(loop, pending->handle, EEP_TIME_NEVER)) &&
            pending->worker == 0)
            eep_backend_end(&self->base, &pending->op, pending->kind, done);
    }
    self->step_end = last_step;
    forget_ended(self);
}

static void desk_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Backend *self = (Backend *)backend;

    end_scope(self, scope, EEP_DONE_ABORTED);
    /* A nanosecond later, behind completions of every pool. */
    complete(self, op, EEP_OP_ABORT, 0, workers_new(NULL, 0), eep_loop_now(backend->loop) + 1,
             EEP_DONE_OK, NULL);
}

/* -- injector -- */

static Backend *broken(EepFaultInjector *injector)
{
    return (Backend *)((char *)injector - offsetof(Backend, injector));
}

/* Phases that others share with the worker. */
static void fail_phases(Backend *self, EepWorkerId worker)
{
    for (guint i = 0; i < self->pending->len; i++) {
        const Pending *pending = &g_array_index(self->pending, Pending, i);
        EepScope scope = {.op = pending->op.id};

        if (pending->kind != EEP_OP_PHASE || pending->worker != 0 || pending->workers->len == 1 ||
            !has_worker(pending->workers, worker))
            continue;
        end_scope(self, &scope, EEP_DONE_GROUP_BROKEN);
        i = 0;
    }
}

static void inject_stop(EepFaultInjector *injector, EepWorkerId worker, gboolean is_gone)
{
    Backend *self = broken(injector);

    g_array_append_val(self->stopped, worker);
    forget_ended(self);
    if (self->costs->announces_deaths && is_gone)
        fail_phases(self, worker);
    for (guint i = 0; i < self->pending->len; i++) {
        Pending *pending = &g_array_index(self->pending, Pending, i);

        /* A step behind one that hangs never begins. */
        if (!has_worker(pending->workers, worker) ||
            !eep_loop_reschedule(self->base.loop, pending->handle, EEP_TIME_NEVER))
            continue;
        pending->hangs = TRUE;
        pending->at = EEP_TIME_NEVER;
        if (pending->kind == EEP_OP_STEP)
            self->step_end = EEP_TIME_NEVER;
    }
}

static void inject_heal(EepFaultInjector *injector, EepWorkerId worker)
{
    Backend *self = broken(injector);

    for (guint i = self->stopped->len; i-- > 0;)
        if (g_array_index(self->stopped, EepWorkerId, i) == worker)
            g_array_remove_index(self->stopped, i);
}

static void inject_slow(EepFaultInjector *injector, EepWorkerId worker, double factor)
{
    Backend *self = broken(injector);
    Slow slow = {worker, factor};

    for (guint i = self->slow->len; i-- > 0;)
        if (g_array_index(self->slow, Slow, i).worker == worker)
            g_array_remove_index(self->slow, i);
    g_array_append_val(self->slow, slow);
}

static void inject_link(EepFaultInjector *injector, EepPoolId pool, guint node, double factor)
{
    broken(injector)->link = factor;
}

static void inject_break(EepFaultInjector *injector, EepPoolId pool, guint phase_kind, guint nth,
                         gboolean hangs)
{
    Break rule = {phase_kind, nth, nth == 0, hangs};

    g_array_append_val(broken(injector)->breaks, rule);
}

static const EepFaultInjectorOps injector_ops = {
    .size = sizeof(EepFaultInjectorOps),
    .stop_worker = inject_stop,
    .heal_worker = inject_heal,
    .slow_worker = inject_slow,
    .set_link = inject_link,
    .break_phase = inject_break,
};

static void desk_free(EepBackend *backend)
{
    Backend *self = (Backend *)backend;

    for (guint i = 0; i < self->pending->len; i++)
        g_array_free(g_array_index(self->pending, Pending, i).workers, TRUE);
    g_array_free(self->pending, TRUE);
    g_array_free(self->stopped, TRUE);
    g_array_free(self->slow, TRUE);
    g_array_free(self->breaks, TRUE);
    g_array_free(self->ranks, TRUE);
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
    self->injector.ops = &injector_ops;
    self->stopped = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    self->slow = g_array_new(FALSE, FALSE, sizeof(Slow));
    self->breaks = g_array_new(FALSE, FALSE, sizeof(Break));
    self->ranks = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    self->link = 1.0;
    return &self->base;
}

EepFaultInjector *desk_backend_injector(EepBackend *backend)
{
    return &((Backend *)backend)->injector;
}
