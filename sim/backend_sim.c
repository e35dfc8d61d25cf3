#include "sim/backend_sim.h"

#include <string.h>

#include "sim/contention.h"
#include "sim/load_runs.h"
#include "sim/predictor_sim.h"

#define MAX_IN_FLIGHT 2
#define MAX_POOLS     4096
#define PRUNE_LENGTH  64

/* A step in flight. Its event may have been dispatched already: the backend is not told. */
typedef struct {
    EepOp op;
    EepHandle handle;
    EepTime begin, end;
    EepTime left;   /* of its own time, when the pool's links were settled last */
    double all2all; /* fraction of its time that wants the links */
    guint64 first_step;
    guint32 n_engines;
    gboolean is_open;
    EepWorkerId *engines; /* [n_allocated], of whose first n_engines the step runs */
    guint n_allocated;
} Step;

typedef struct {
    EepPredictor *predictor;
    Step steps[MAX_IN_FLIGHT];
    guint next;       /* slot of the next step: the older one */
    EepTime step_end; /* of the last step submitted */
    EepTime move_end;
    EepTime settled;  /* when `left` of steps and moves was brought up to date */
    EepLoadRuns load; /* made with the first step */
} Pool;

/* A completion to come of an operation other than a step. */
typedef struct {
    EepOp op;
    EepOpKind kind;
    EepWorkerId worker; /* 0: whole */
    EepTime at;
    EepHandle handle;
    EepContentionMove move; /* of a move; what is left of it, see Pool.settled */
} Pending;

typedef struct {
    EepBackend base;
    EepPredictor *predictor;
    GPtrArray *pools; /* Pool by id, NULL where none was seen */
    GArray *pending;  /* Pending, in the order of submission */
} SimBackend;

static Pool *pool_of(SimBackend *self, EepPoolId id)
{
    g_assert(id < MAX_POOLS);
    if (id >= self->pools->len)
        g_ptr_array_set_size(self->pools, (gint)id + 1);
    Pool *pool = g_ptr_array_index(self->pools, id);
    if (!pool) {
        pool = g_new0(Pool, 1);
        pool->predictor = self->predictor;
        self->pools->pdata[id] = pool;
    }
    return pool;
}

static void pool_free(gpointer data)
{
    Pool *pool = data;
    if (!pool)
        return;
    for (guint i = 0; i < MAX_IN_FLIGHT; i++)
        g_free(pool->steps[i].engines);
    eep_load_runs_clear(&pool->load);
    g_free(pool);
}

static EepHandle complete_at(SimBackend *self, EepTime at, const EepOp *op, EepOpKind kind,
                             EepDone done, EepWorkerId worker, guint32 n_steps, GBytes *blob)
{
    EepCompletion completion = {
        .id = op->id,
        .kind = kind,
        .done = done,
        .worker = worker,
        .epoch = op->epoch,
        .n_steps = n_steps,
    };
    EepEvent event;
    eep_completion_to_event(&completion, op->pool, blob, &event);
    return eep_loop_schedule(self->base.loop, at, &event);
}

/* -- links that steps and moves share -- */

typedef struct {
    Step *step[MAX_IN_FLIGHT];
    EepContentionStep steps[MAX_IN_FLIGHT];
    guint n_steps;
    GArray *which; /* guint, into pending */
    GArray *moves; /* EepContentionMove */
} Links;

static inline gboolean is_move(const Pending *pending, EepPoolId pool)
{
    return pending->op.pool == pool &&
           (pending->kind == EEP_OP_MOVE_EXPERTS || pending->kind == EEP_OP_MOVE_KV);
}

/* The pool's steps and moves that go on after `after`, each in their order. */
static void links_init(Links *links, SimBackend *self, EepPoolId id, EepTime after)
{
    Pool *pool = pool_of(self, id);
    *links = (Links){.which = g_array_new(FALSE, FALSE, sizeof(guint)),
                     .moves = g_array_new(FALSE, FALSE, sizeof(EepContentionMove))};
    for (guint i = 0; i < MAX_IN_FLIGHT; i++) {
        Step *step = &pool->steps[(pool->next + i) % MAX_IN_FLIGHT];
        if (!step->is_open || step->end <= after)
            continue;
        links->step[links->n_steps] = step;
        links->steps[links->n_steps++] =
            (EepContentionStep){.begin = step->begin, .left = step->left, .all2all = step->all2all};
    }
    for (guint i = 0; i < self->pending->len; i++) {
        const Pending *pending = &g_array_index(self->pending, Pending, i);
        if (!is_move(pending, id) || pending->at <= after)
            continue;
        g_array_append_val(links->which, i);
        g_array_append_val(links->moves, pending->move);
    }
}

static void links_run(Links *links, SimBackend *self, EepPoolId id, EepTime from, EepTime until)
{
    const EepPredictor *predictor = pool_of(self, id)->predictor;
    eep_contention_run(eep_sim_predictor_options(predictor)->eplb_config.contention, links->steps,
                       links->n_steps, (EepContentionMove *)links->moves->data, links->moves->len,
                       from, until);
}

static void links_clear(Links *links)
{
    g_array_unref(links->which);
    g_array_unref(links->moves);
}

/* Brings what is left of steps and moves up to date; while moves go on, before anything is added
 * or taken away. */
static void settle_links(SimBackend *self, EepPoolId id)
{
    Pool *pool = pool_of(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    Links links;
    links_init(&links, self, id, pool->settled);
    links_run(&links, self, id, pool->settled, now);
    for (guint i = 0; i < links.n_steps; i++)
        links.step[i]->left = links.steps[i].left;
    for (guint i = 0; i < links.which->len; i++)
        g_array_index(self->pending, Pending, g_array_index(links.which, guint, i)).move =
            g_array_index(links.moves, EepContentionMove, i);
    links_clear(&links);
    pool->settled = now;
}

/* New ends for all that goes on, now that something was added. */
static void project_links(SimBackend *self, EepPoolId id)
{
    Pool *pool = pool_of(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    Links links;
    links_init(&links, self, id, now);
    links_run(&links, self, id, now, EEP_TIME_NEVER);
    for (guint i = 0; i < links.n_steps; i++) {
        Step *step = links.step[i];
        if (step->end != links.steps[i].end)
            eep_loop_reschedule(self->base.loop, step->handle, links.steps[i].end);
        step->end = links.steps[i].end;
        pool->step_end = MAX(pool->step_end, step->end);
    }
    for (guint i = 0; i < links.which->len; i++) {
        Pending *pending =
            &g_array_index(self->pending, Pending, g_array_index(links.which, guint, i));
        const EepTime end = g_array_index(links.moves, EepContentionMove, i).end;
        if (pending->at != end)
            eep_loop_reschedule(self->base.loop, pending->handle, end);
        pending->at = end;
        pool->move_end = MAX(pool->move_end, end);
    }
    links_clear(&links);
}

static gboolean links_are_shared(const Pool *pool, EepTime now)
{
    return pool->move_end > now &&
           eep_sim_predictor_options(pool->predictor)->eplb_config.contention > 0.0;
}

static void sim_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
}

static void sim_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    *ret_caps = (EepBackendCaps){
        .size = sizeof(EepBackendCaps),
        .max_steps_in_flight = MAX_IN_FLIGHT,
        .max_ranks = G_MAXUINT32,
        .can_mask = TRUE,
        .can_abort_step = TRUE,
        .moves_during_step = TRUE,
        .moves_kv = TRUE,
        .phases_during_step = TRUE,
    };
}

/* Of a step's time, what it spends in the all-to-all. */
static double all2all_fraction(const Pool *pool, const EepStepPlan *plan, const EepStepCost *cost)
{
    const gint64 tp = eep_sim_predictor_options(pool->predictor)->tensor_parallel_size;
    if (plan->n_engines * tp <= 1 || cost->step == 0)
        return 0.0;
    return CLAMP(cost->all2all_s / eep_time_to_seconds(cost->step), 0.0, 1.0);
}

/* Remembers the step's tokens, `sum` of them. */
static void add_tokens(Pool *pool, const EepStepPlan *plan, guint64 sum)
{
    const EepPopularity *popularity = eep_sim_predictor_popularity(pool->predictor);
    EepTokenMix tokens;
    if (pool->load.n_components == 0)
        eep_load_runs_init(&pool->load, eep_popularity_n_components(popularity));
    if (pool->load.n_components == 1)
        tokens.n[0] = sum;
    else
        eep_popularity_count(popularity, plan, &tokens);
    eep_load_runs_add(&pool->load, plan->first_step, &tokens, eep_popularity_version(popularity));
}

static void sim_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    SimBackend *self = (SimBackend *)backend;
    Pool *pool = pool_of(self, plan->op.pool);
    const EepTime now = eep_loop_now(backend->loop);
    Step *step = &pool->steps[pool->next];
    if (step->is_open && step->end > now) {
        eep_backend_end(backend, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        return;
    }
    const gboolean is_shared = links_are_shared(pool, now);
    if (is_shared)
        settle_links(self, plan->op.pool);
    if (step->n_allocated < plan->n_engines) {
        step->n_allocated = plan->n_engines;
        step->engines = g_renew(EepWorkerId, step->engines, step->n_allocated);
    }
    guint64 tokens = 0;
    for (guint i = 0; i < plan->n_engines; i++) {
        tokens += plan->work[i].n_decodes + plan->work[i].n_prefill_tokens;
        step->engines[i] = plan->work[i].engine;
    }
    EepStepCost cost;
    eep_sim_predictor_advance(pool->predictor, now, plan->first_step);
    pool->predictor->ops->step(pool->predictor, plan, &cost);
    step->begin = MAX(now, pool->step_end);
    step->left = cost.step;
    step->all2all = all2all_fraction(pool, plan, &cost);
    pool->step_end = eep_time_after(step->begin, cost.step);
    step->op = plan->op;
    step->end = pool->step_end;
    step->first_step = plan->first_step;
    step->n_engines = plan->n_engines;
    step->is_open = TRUE;
    step->handle = complete_at(self, step->end, &plan->op, EEP_OP_STEP, EEP_DONE_OK, 0, 1, NULL);
    pool->next = (pool->next + 1) % MAX_IN_FLIGHT;
    if (is_shared)
        project_links(self, plan->op.pool);
    if (!plan->is_dummy && tokens > 0)
        add_tokens(pool, plan, tokens);
}

/* Forgets completions whose time has passed, now and then. */
static void prune(SimBackend *self)
{
    if (self->pending->len < PRUNE_LENGTH)
        return;
    const EepTime now = eep_loop_now(self->base.loop);
    guint kept = 0;
    for (guint i = 0; i < self->pending->len; i++) {
        Pending *pending = &g_array_index(self->pending, Pending, i);
        if (pending->at >= now)
            g_array_index(self->pending, Pending, kept++) = *pending;
    }
    g_array_set_size(self->pending, kept);
}

static void add_pending(SimBackend *self, const EepOp *op, EepOpKind kind, EepWorkerId worker,
                        EepTime at, GBytes *blob)
{
    Pending pending = {
        .op = *op,
        .kind = kind,
        .worker = worker,
        .at = at,
        .handle = complete_at(self, at, op, kind, EEP_DONE_OK, worker, 0, blob),
    };
    g_array_append_val(self->pending, pending);
}

static void sim_start_phase(EepBackend *backend, const EepPhase *phase)
{
    SimBackend *self = (SimBackend *)backend;
    Pool *pool = pool_of(self, phase->op.pool);
    const EepTime now = eep_loop_now(backend->loop);
    g_autofree EepTime *each = g_new(EepTime, phase->n_workers + 1);
    prune(self);
    EepTime whole = pool->predictor->ops->phase(pool->predictor, phase, each);
    for (guint i = 0; i < phase->n_workers; i++)
        add_pending(self, &phase->op, EEP_OP_PHASE, phase->workers[i], eep_time_after(now, each[i]),
                    NULL);
    add_pending(self, &phase->op, EEP_OP_PHASE, 0, eep_time_after(now, whole), NULL);
}

static void sim_move(EepBackend *backend, const EepMove *move)
{
    SimBackend *self = (SimBackend *)backend;
    Pool *pool = pool_of(self, move->op.pool);
    const EepTime now = eep_loop_now(backend->loop);
    settle_links(self, move->op.pool);
    prune(self);
    EepTime link, begin = MAX(now, pool->move_end);
    EepTime whole = pool->predictor->ops->move(pool->predictor, move, &link);
    pool->move_end = eep_time_after(begin, whole);
    add_pending(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, 0,
                pool->move_end, NULL);
    g_array_index(self->pending, Pending, self->pending->len - 1).move =
        (EepContentionMove){.begin = begin, .local = whole - link, .link = link};
    if (links_are_shared(pool, now))
        project_links(self, move->op.pool);
}

static void add_run(EepPredictor *predictor, const EepLoadRun *run, const EepTokenMix *tokens,
                    double *ret_tokens)
{
    if (run->n_steps > 0)
        eep_sim_predictor_add_step_load(predictor, run->version, run->first_step, run->n_steps,
                                        tokens, ret_tokens);
}

static void add_mix(EepTokenMix *sum, const EepTokenMix *tokens, guint64 n_steps)
{
    for (guint i = 0; i < EEP_MAX_COMPONENTS; i++)
        sum->n[i] += tokens->n[i] * n_steps;
}

/* Popularity versions of the runs seen: mixed loads are not proportional. */
typedef struct {
    guint64 version; /* of the last run, 0: none yet */
    gboolean is_mixed;
} Versions;

static void note_version(Versions *versions, guint64 version)
{
    versions->is_mixed |= versions->version != 0 && versions->version != version;
    versions->version = version;
}

/* Adds the counts of the steps [from, to). Those of one popularity version are multiplied out as
 * one step of all their tokens where loads add up. */
static void add_window(const Pool *pool, guint64 from, guint64 to, Versions *versions,
                       double *ret_tokens)
{
    const gboolean adds_up = eep_sim_predictor_loads_add_up(pool->predictor);
    EepLoadRun sum = {0};
    EepTokenMix sum_tokens = {{0}}, tokens;
    for (guint64 i = pool->load.begin; i < pool->load.end; i++) {
        EepLoadRun run = pool->load.runs[i % EEP_LOAD_RUNS];
        guint64 end = MIN(run.first_step + run.n_steps, to);
        run.first_step = MAX(run.first_step, from);
        if (run.first_step >= end)
            continue;
        run.n_steps = end - run.first_step;
        eep_load_runs_tokens(&pool->load, i, &tokens);
        note_version(versions, run.version);
        if (adds_up && sum.n_steps > 0 && run.version == sum.version) {
            add_mix(&sum_tokens, &tokens, run.n_steps);
            continue;
        }
        add_run(pool->predictor, &sum, &sum_tokens, ret_tokens);
        sum = run;
        sum_tokens = tokens;
        if (adds_up) {
            add_mix(&sum_tokens, &tokens, run.n_steps - 1);
            sum.n_steps = 1;
        }
    }
    add_run(pool->predictor, &sum, &sum_tokens, ret_tokens);
}

static void sim_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                          guint n_windows)
{
    SimBackend *self = (SimBackend *)backend;
    Pool *pool = pool_of(self, op->pool);
    const gsize cells = eep_sim_predictor_load_cells(pool->predictor);
    const gsize size = sizeof(EepLoadReport) + n_windows * cells * sizeof(double);
    EepLoadReport *report = g_malloc0(size);
    Versions versions = {.is_mixed = !eep_sim_predictor_loads_are_proportional(pool->predictor)};
    for (guint i = 0; i < n_windows; i++)
        add_window(pool, eep_load_window_begin(from_step, to_step, n_windows, i),
                   eep_load_window_begin(from_step, to_step, n_windows, i + 1), &versions,
                   report->tokens + i * cells);
    report->version = versions.is_mixed ? 0 : versions.version;
    report->n_windows = n_windows;
    prune(self);
    add_pending(self, op, EEP_OP_READ_LOAD, 0, eep_loop_now(backend->loop),
                g_bytes_new_take(report, size));
}

/* Whether the scope names the operation, its workers apart. Id 0 and pool 0 mean any. */
static gboolean scope_has(const EepScope *scope, const EepOp *op)
{
    if (scope->op != 0)
        return scope->op == op->id;
    return (scope->pool == 0 || scope->pool == op->pool) &&
           (scope->epoch == 0 || scope->epoch == op->epoch);
}

static gboolean step_is_in_scope(const Step *step, const EepScope *scope)
{
    if (!scope_has(scope, &step->op))
        return FALSE;
    if (scope->op != 0 || scope->worker == 0)
        return TRUE;
    for (guint i = 0; i < step->n_engines; i++)
        if (step->engines[i] == scope->worker)
            return TRUE;
    return FALSE;
}

/* Ends the steps in scope, oldest first. What was to follow them keeps its time. */
static void abort_steps(SimBackend *self, EepPoolId id, const EepScope *scope)
{
    Pool *pool = pool_of(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    EepTime last_end = now;
    if (links_are_shared(pool, now))
        settle_links(self, id);
    for (guint i = 0; i < MAX_IN_FLIGHT; i++) {
        Step *step = &pool->steps[(pool->next + i) % MAX_IN_FLIGHT];
        if (!step->is_open || step->end < now)
            continue;
        if (!step_is_in_scope(step, scope)) {
            last_end = MAX(last_end, step->end);
            continue;
        }
        step->is_open = FALSE;
        if (!eep_loop_reschedule(self->base.loop, step->handle, EEP_TIME_NEVER))
            continue;
        eep_load_runs_drop_from(&pool->load, step->first_step);
        eep_backend_end(&self->base, &step->op, EEP_OP_STEP, EEP_DONE_ABORTED);
    }
    pool->step_end = MIN(pool->step_end, last_end);
    /* The next step takes a slot that is free. */
    if (pool->steps[pool->next].is_open && !pool->steps[(pool->next + 1) % MAX_IN_FLIGHT].is_open)
        pool->next = (pool->next + 1) % MAX_IN_FLIGHT;
}

/* Whether the operation of `whole` has a part on the scope's worker that has not ended; moves do
 * not tell their workers and count as having one. */
static gboolean operation_is_in_scope(const SimBackend *self, const Pending *whole,
                                      const EepScope *scope)
{
    if (!scope_has(scope, &whole->op))
        return FALSE;
    if (scope->op != 0 || scope->worker == 0 || whole->kind != EEP_OP_PHASE)
        return TRUE;
    for (guint i = 0; i < self->pending->len; i++) {
        const Pending *part = &g_array_index(self->pending, Pending, i);
        if (part->op.id == whole->op.id && part->worker == scope->worker)
            return TRUE;
    }
    return FALSE;
}

static void abort_pending(SimBackend *self, const EepScope *scope)
{
    const EepTime now = eep_loop_now(self->base.loop);
    guint kept = 0;
    g_autoptr(GArray) ended = g_array_new(FALSE, FALSE, sizeof(EepOpId));
    for (guint i = 0; i < self->pending->len; i++) {
        const Pending *pending = &g_array_index(self->pending, Pending, i);
        if (pending->worker == 0 && operation_is_in_scope(self, pending, scope))
            g_array_append_val(ended, pending->op.id);
    }
    for (guint i = 0; i < self->pending->len; i++) {
        Pending pending = g_array_index(self->pending, Pending, i);
        gboolean ends = FALSE;
        for (guint j = 0; j < ended->len; j++)
            ends |= g_array_index(ended, EepOpId, j) == pending.op.id;
        if (!ends)
            g_array_index(self->pending, Pending, kept++) = pending;
        else if (eep_loop_reschedule(self->base.loop, pending.handle, EEP_TIME_NEVER))
            complete_at(self, now, &pending.op, pending.kind, EEP_DONE_ABORTED, pending.worker, 0,
                        NULL);
    }
    g_array_set_size(self->pending, kept);
    /* Links are free again once no move is left. */
    for (guint id = 0; id < self->pools->len; id++) {
        Pool *pool = g_ptr_array_index(self->pools, id);
        EepTime move_end = now;
        for (guint i = 0; i < kept && pool; i++) {
            const Pending *left = &g_array_index(self->pending, Pending, i);
            if (left->op.pool == id && left->kind != EEP_OP_PHASE)
                move_end = MAX(move_end, left->at);
        }
        if (pool)
            pool->move_end = MIN(pool->move_end, move_end);
    }
}

static void sim_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    SimBackend *self = (SimBackend *)backend;
    for (guint id = 0; id < self->pools->len; id++)
        if (g_ptr_array_index(self->pools, id))
            abort_steps(self, (EepPoolId)id, scope);
    abort_pending(self, scope);
    /* Events of one instant are ordered by pool: what spans pools ends after all of them. */
    gboolean spans = scope->op == 0 && scope->pool == 0;
    complete_at(self, eep_loop_now(backend->loop) + (spans ? 1 : 0), op, EEP_OP_ABORT, EEP_DONE_OK,
                0, 0, NULL);
}

static void sim_free(EepBackend *backend)
{
    SimBackend *self = (SimBackend *)backend;
    g_ptr_array_unref(self->pools);
    g_array_unref(self->pending);
    g_free(self);
}

static const EepBackendOps sim_ops = {
    .size = sizeof(EepBackendOps),
    .name = "sim",
    .attach = sim_attach,
    .query_caps = sim_query_caps,
    .free = sim_free,
    .submit_step = sim_submit_step,
    .start_phase = sim_start_phase,
    .move = sim_move,
    .read_load = sim_read_load,
    .abort = sim_abort,
};

EepBackend *eep_sim_backend_new(EepPredictor *predictor)
{
    SimBackend *self = g_new0(SimBackend, 1);
    self->base.ops = &sim_ops;
    self->predictor = predictor;
    self->pools = g_ptr_array_new_with_free_func(pool_free);
    self->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
    return &self->base;
}

void eep_sim_backend_set_predictor(EepBackend *backend, EepPoolId pool, EepPredictor *predictor)
{
    g_return_if_fail(backend->ops == &sim_ops);
    pool_of((SimBackend *)backend, pool)->predictor = predictor;
}
