#include "sim/backend_sim.h"

#include <string.h>

#include "sim/backend_sim_internal.h"
#include "sim/phase_load.h"

#define MAX_POOLS    4096
#define PRUNE_LENGTH 64

EepSimPool *eep_sim_pool(EepSimBackend *self, EepPoolId id)
{
    g_assert(id < MAX_POOLS);
    if (id >= self->pools->len)
        g_ptr_array_set_size(self->pools, (gint)id + 1);
    EepSimPool *pool = g_ptr_array_index(self->pools, id);
    if (!pool) {
        pool = g_new0(EepSimPool, 1);
        pool->predictor = self->predictor;
        self->pools->pdata[id] = pool;
    }
    return pool;
}

static void pool_free(gpointer data)
{
    EepSimPool *pool = data;
    if (!pool)
        return;
    for (guint i = 0; i < EEP_SIM_STEPS_IN_FLIGHT; i++)
        g_free(pool->steps[i].work);
    eep_load_runs_clear(&pool->load);
    if (pool->joined)
        g_array_unref(pool->joined);
    g_free(pool);
}

static void clear_pending(gpointer data)
{
    EepSimPending *pending = data;
    if (pending->phase)
        g_free((gpointer)pending->phase->workers);
    if (pending->plan) {
        g_free((gpointer)pending->plan->transfers);
        g_free((gpointer)pending->plan->bytes);
    }
    g_free(pending->phase);
    g_free(pending->plan);
    g_free(pending->workers);
}

/* Phase and move as asked for, to be priced again. */
static EepPhase *copy_phase(const EepPhase *phase)
{
    EepPhase *copy = g_memdup2(phase, sizeof *phase);
    copy->workers = g_memdup2(phase->workers, phase->n_workers * sizeof *phase->workers);
    return copy;
}

static EepMove *copy_move(const EepMove *move)
{
    EepMove *copy = g_memdup2(move, sizeof *move);
    copy->transfers = g_memdup2(move->transfers, move->n_transfers * sizeof *move->transfers);
    copy->bytes = g_memdup2(move->bytes, move->n_transfers * sizeof *move->bytes);
    copy->engines = NULL;
    copy->n_engines = 0;
    return copy;
}

static void keep_plan(EepSimStep *step, const EepStepPlan *plan)
{
    if (step->n_allocated < plan->n_engines) {
        step->n_allocated = plan->n_engines;
        step->work = g_renew(EepEngineWork, step->work, step->n_allocated);
    }
    memcpy(step->work, plan->work, plan->n_engines * sizeof *plan->work);
    step->plan = *plan;
    step->plan.work = step->work;
    if (plan->classes != NULL) {
        memcpy(step->classes, plan->classes, plan->n_classes * sizeof *plan->classes);
        step->plan.classes = step->classes;
    }
}

static EepHandle complete_at(EepSimBackend *self, EepTime at, const EepOp *op, EepOpKind kind,
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

static void sim_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
}

static void sim_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    *ret_caps = (EepBackendCaps){
        .size = sizeof(EepBackendCaps),
        .max_steps_in_flight = EEP_SIM_STEPS_IN_FLIGHT,
        .max_ranks = G_MAXUINT32,
        .can_mask = TRUE,
        .can_abort_step = TRUE,
        .moves_during_step = TRUE,
        .moves_kv = TRUE,
        .phases_during_step = TRUE,
    };
}

double eep_sim_all2all_fraction(const EepSimPool *pool, const EepStepPlan *plan,
                                const EepStepCost *cost)
{
    const gint64 tp = eep_sim_predictor_options(pool->predictor)->tensor_parallel_size;
    if (plan->n_engines * tp <= 1 || cost->step == 0)
        return 0.0;
    return CLAMP(cost->all2all_s / eep_time_to_seconds(cost->step), 0.0, 1.0);
}

static void sim_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    EepSimBackend *self = (EepSimBackend *)backend;
    EepSimPool *pool = eep_sim_pool(self, plan->op.pool);
    const EepTime now = eep_loop_now(backend->loop);
    EepSimStep *step = &pool->steps[pool->next];
    if (step->is_open && step->end > now) {
        eep_backend_end(backend, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        return;
    }
    const gboolean is_shared = eep_sim_links_are_shared(pool, now);
    if (is_shared)
        eep_sim_links_settle(self, plan->op.pool);
    keep_plan(step, plan);
    guint64 tokens = 0;
    for (guint i = 0; i < plan->n_engines; i++)
        tokens += plan->work[i].n_decodes + plan->work[i].n_prefill_tokens;
    EepStepCost cost;
    eep_sim_predictor_advance(pool->predictor, now, plan->first_step);
    step->begin = MAX(now, pool->step_end);
    step->load = 0;
    if (G_LIKELY(!self->is_broken && now >= pool->loaded_until)) {
        pool->predictor->ops->step(pool->predictor, plan, &cost);
    } else {
        step->load = eep_sim_load_of_step(self, plan, step->begin);
        eep_sim_price_step(self, plan, step->load, &cost);
    }
    step->left = cost.step;
    step->all2all = eep_sim_all2all_fraction(pool, plan, &cost);
    pool->step_end = eep_time_after(step->begin, cost.step);
    step->end = pool->step_end;
    step->is_open = TRUE;
    step->handle = complete_at(self, step->end, &plan->op, EEP_OP_STEP, EEP_DONE_OK, 0, 1, NULL);
    pool->next = (pool->next + 1) % EEP_SIM_STEPS_IN_FLIGHT;
    if (is_shared)
        eep_sim_links_project(self, plan->op.pool);
    if (!plan->is_dummy && tokens > 0)
        eep_sim_load_add(pool, plan, tokens);
}

/* Keeps those of `pending` for which `kept` says so, in their order. */
static void keep_pending(EepSimBackend *self, const gboolean *kept)
{
    guint n_kept = 0;
    for (guint i = 0; i < self->pending->len; i++) {
        if (!kept[i])
            continue;
        /* Swapped, so that each owns its workers once when the rest is cut off. */
        const EepSimPending mine = *eep_sim_pending(self, i);
        *eep_sim_pending(self, i) = *eep_sim_pending(self, n_kept);
        *eep_sim_pending(self, n_kept++) = mine;
    }
    g_array_set_size(self->pending, n_kept);
}

/* Forgets completions whose time has passed, now and then. */
static void prune(EepSimBackend *self)
{
    if (self->pending->len < PRUNE_LENGTH)
        return;
    const EepTime now = eep_loop_now(self->base.loop);
    g_autofree gboolean *kept = g_new(gboolean, self->pending->len);
    for (guint i = 0; i < self->pending->len; i++)
        kept[i] = eep_sim_pending(self, i)->at >= now;
    keep_pending(self, kept);
}

static EepSimPending *add_pending(EepSimBackend *self, const EepOp *op, EepOpKind kind,
                                  EepWorkerId worker, EepTime at, EepDone done, GBytes *blob)
{
    EepSimPending pending = {
        .op = *op,
        .kind = kind,
        .worker = worker,
        .at = at,
        .handle = complete_at(self, at, op, kind, done, worker, 0, blob),
    };
    g_array_append_val(self->pending, pending);
    return eep_sim_pending(self, self->pending->len - 1);
}

static void sim_start_phase(EepBackend *backend, const EepPhase *phase)
{
    EepSimBackend *self = (EepSimBackend *)backend;
    EepSimPool *pool = eep_sim_pool(self, phase->op.pool);
    const EepHardware *hardware = eep_sim_predictor_hardware(pool->predictor);
    const EepTime now = eep_loop_now(backend->loop);
    const gboolean loads = eep_sim_predictor_options(pool->predictor)->resize.background > 0.0 &&
                           !eep_hardware_is_constant(hardware);
    EepDone done = EEP_DONE_OK;
    EepTime whole;
    guint8 any = 0;
    g_autofree EepTime *each = g_new(EepTime, phase->n_workers + 1);
    prune(self);
    eep_sim_note_joining(self, phase);
    if (self->is_broken)
        whole = eep_sim_price_phase(self, phase, each, &done);
    else
        whole = pool->predictor->ops->phase(pool->predictor, phase, each);
    for (guint i = 0; i < phase->n_workers; i++) {
        EepSimPending *part = add_pending(self, &phase->op, EEP_OP_PHASE, phase->workers[i],
                                          eep_time_after(now, each[i]), done, NULL);
        any |= part->load = loads ? eep_phase_load_on_worker(phase) : 0;
    }
    EepSimPending *all =
        add_pending(self, &phase->op, EEP_OP_PHASE, 0, eep_time_after(now, whole), done, NULL);
    all->phase = copy_phase(phase);
    any |= all->load = loads ? eep_phase_load_on_others(hardware, phase) : 0;
    if (any != 0)
        pool->loaded_until = MAX(pool->loaded_until, all->at);
}

static void sim_move(EepBackend *backend, const EepMove *move)
{
    EepSimBackend *self = (EepSimBackend *)backend;
    EepSimPool *pool = eep_sim_pool(self, move->op.pool);
    const EepTime now = eep_loop_now(backend->loop);
    EepSimPending who = {0};
    eep_sim_links_settle(self, move->op.pool);
    prune(self);
    EepTime link, whole, begin = MAX(now, pool->move_end);
    eep_sim_name_workers(self, move, &who);
    if (self->is_broken)
        whole = eep_sim_price_move(self, move, &link);
    else
        whole = pool->predictor->ops->move(pool->predictor, move, &link);
    if (self->is_broken && eep_sim_move_hangs(self, &who)) {
        whole = EEP_TIME_NEVER;
        link = 0;
    }
    pool->move_end = eep_time_after(begin, whole);
    EepSimPending *pending =
        add_pending(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, 0,
                    pool->move_end, EEP_DONE_OK, NULL);
    pending->plan = copy_move(move);
    pending->move = (EepContentionMove){.begin = begin, .local = whole - link, .link = link};
    pending->n_workers = who.n_workers;
    pending->workers = who.workers;
    if (eep_sim_links_are_shared(pool, now))
        eep_sim_links_project(self, move->op.pool);
}

static void sim_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                          guint n_windows)
{
    EepSimBackend *self = (EepSimBackend *)backend;
    GBytes *report =
        eep_sim_load_report(eep_sim_pool(self, op->pool), from_step, to_step, n_windows);
    prune(self);
    add_pending(self, op, EEP_OP_READ_LOAD, 0, eep_loop_now(backend->loop), EEP_DONE_OK, report);
}

/* Whether the scope names the operation, its workers apart. Id 0 and pool 0 mean any. */
static gboolean scope_has(const EepScope *scope, const EepOp *op)
{
    if (scope->op != 0)
        return scope->op == op->id;
    return (scope->pool == 0 || scope->pool == op->pool) &&
           (scope->epoch == 0 || scope->epoch == op->epoch);
}

static gboolean step_is_in_scope(const EepSimStep *step, const EepScope *scope)
{
    return scope_has(scope, &step->plan.op) &&
           (scope->op != 0 || scope->worker == 0 || eep_sim_step_has(step, scope->worker));
}

/* Ends the steps in scope, oldest first. What was to follow them keeps its time. */
static void abort_steps(EepSimBackend *self, EepPoolId id, const EepScope *scope)
{
    EepSimPool *pool = eep_sim_pool(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    EepTime last_end = now;
    if (eep_sim_links_are_shared(pool, now))
        eep_sim_links_settle(self, id);
    for (guint i = 0; i < EEP_SIM_STEPS_IN_FLIGHT; i++) {
        EepSimStep *step = &pool->steps[(pool->next + i) % EEP_SIM_STEPS_IN_FLIGHT];
        if (!step->is_open || step->end < now)
            continue;
        if (!step_is_in_scope(step, scope)) {
            last_end = MAX(last_end, step->end);
            continue;
        }
        step->is_open = FALSE;
        if (step->end != EEP_TIME_NEVER &&
            !eep_loop_reschedule(self->base.loop, step->handle, EEP_TIME_NEVER))
            continue;
        eep_load_runs_drop_from(&pool->load, step->plan.first_step);
        eep_backend_end(&self->base, &step->plan.op, EEP_OP_STEP, EEP_DONE_ABORTED);
    }
    pool->step_end = MIN(pool->step_end, last_end);
    /* The next step takes a slot that is free. */
    if (pool->steps[pool->next].is_open &&
        !pool->steps[(pool->next + 1) % EEP_SIM_STEPS_IN_FLIGHT].is_open)
        pool->next = (pool->next + 1) % EEP_SIM_STEPS_IN_FLIGHT;
}

/* Whether the operation of `whole` has a part on the scope's worker that has not ended; moves do
 * not tell their workers and count as having one. */
static gboolean operation_is_in_scope(const EepSimBackend *self, const EepSimPending *whole,
                                      const EepScope *scope)
{
    if (!scope_has(scope, &whole->op))
        return FALSE;
    if (scope->op != 0 || scope->worker == 0 || whole->kind != EEP_OP_PHASE)
        return TRUE;
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *part = eep_sim_pending(self, i);
        if (part->op.id == whole->op.id && part->worker == scope->worker)
            return TRUE;
    }
    return FALSE;
}

void eep_sim_note_ends(EepSimBackend *self, EepTime now)
{
    for (guint id = 0; id < self->pools->len; id++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, id);
        EepTime move_end = now, loaded_until = 0;
        for (guint i = 0; i < self->pending->len && pool; i++) {
            const EepSimPending *left = eep_sim_pending(self, i);
            if (left->op.pool == id && left->kind != EEP_OP_PHASE)
                move_end = MAX(move_end, left->at);
            if (left->op.pool == id && left->load != 0)
                loaded_until = MAX(loaded_until, left->at);
        }
        if (!pool)
            continue;
        pool->move_end = MIN(pool->move_end, move_end);
        pool->loaded_until = loaded_until;
    }
}

static void abort_pending(EepSimBackend *self, const EepScope *scope)
{
    const EepTime now = eep_loop_now(self->base.loop);
    g_autofree gboolean *kept = g_new(gboolean, self->pending->len + 1);
    g_autoptr(GArray) ended = g_array_new(FALSE, FALSE, sizeof(EepOpId));
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *pending = eep_sim_pending(self, i);
        if (pending->worker == 0 && operation_is_in_scope(self, pending, scope))
            g_array_append_val(ended, pending->op.id);
    }
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *pending = eep_sim_pending(self, i);
        kept[i] = TRUE;
        for (guint j = 0; j < ended->len; j++)
            kept[i] &= g_array_index(ended, EepOpId, j) != pending->op.id;
        if (!kept[i] && (pending->at == EEP_TIME_NEVER ||
                         eep_loop_reschedule(self->base.loop, pending->handle, EEP_TIME_NEVER)))
            complete_at(self, now, &pending->op, pending->kind, EEP_DONE_ABORTED, pending->worker,
                        0, NULL);
    }
    keep_pending(self, kept);
    eep_sim_note_ends(self, now);
}

static void sim_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    EepSimBackend *self = (EepSimBackend *)backend;
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
    EepSimBackend *self = (EepSimBackend *)backend;
    g_ptr_array_unref(self->pools);
    g_array_unref(self->pending);
    eep_broken_parts_free(self->broken);
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
    EepSimBackend *self = g_new0(EepSimBackend, 1);
    self->base.ops = &sim_ops;
    self->predictor = predictor;
    self->pools = g_ptr_array_new_with_free_func(pool_free);
    self->pending = g_array_new(FALSE, FALSE, sizeof(EepSimPending));
    g_array_set_clear_func(self->pending, clear_pending);
    eep_sim_injector_init(self);
    return &self->base;
}

void eep_sim_backend_set_predictor(EepBackend *backend, EepPoolId pool, EepPredictor *predictor)
{
    g_return_if_fail(backend->ops == &sim_ops);
    eep_sim_pool((EepSimBackend *)backend, pool)->predictor = predictor;
}
