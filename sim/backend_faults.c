/* What is slow or stops in the simulated backend: the fault injector, and the prices of operations
 * while something is broken or background work loads their workers. */
#include <math.h>

#include "sim/backend_sim.h"
#include "sim/backend_sim_internal.h"
#include "sim/phase_load.h"

/* -- who is where -- */

static gboolean has_worker(const EepWorkerId *workers, guint n, EepWorkerId worker)
{
    for (guint i = 0; i < n; i++)
        if (workers[i] == worker)
            return TRUE;
    return FALSE;
}

gboolean eep_sim_step_has(const EepSimStep *step, EepWorkerId worker)
{
    for (guint i = 0; i < step->plan.n_engines; i++)
        if (step->work[i].engine == worker)
            return TRUE;
    return FALSE;
}

static guint tensor_parallel(const EepSimPool *pool)
{
    return (guint)MAX(1, eep_sim_predictor_options(pool->predictor)->tensor_parallel_size);
}

static const EepSimStep *last_step(const EepSimPool *pool)
{
    const EepSimStep *last = &pool->steps[0];

    for (guint i = 1; i < EEP_SIM_STEPS_IN_FLIGHT; i++)
        if (pool->steps[i].plan.op.id > last->plan.op.id)
            last = &pool->steps[i];
    return last;
}

/* The worker of an engine of the last step's group, or of one that joins it; 0: unknown. */
static EepWorkerId worker_of(const EepSimPool *pool, guint engine)
{
    const EepSimStep *step = last_step(pool);

    if (engine < step->plan.n_engines)
        return step->work[engine].engine;
    engine -= step->plan.n_engines;
    return pool->joined && engine < pool->joined->len
               ? g_array_index(pool->joined, EepWorkerId, engine)
               : 0;
}

static guint engine_of(const EepSimPool *pool, EepWorkerId worker)
{
    const EepSimStep *step = last_step(pool);
    const guint n = step->plan.n_engines + (pool->joined ? pool->joined->len : 0);

    for (guint i = 0; i < n; i++)
        if (worker_of(pool, i) == worker)
            return i;
    return G_MAXUINT;
}

void eep_sim_note_joining(EepSimBackend *self, const EepPhase *phase)
{
    EepSimPool *pool = eep_sim_pool(self, phase->op.pool);
    const EepTime now = eep_loop_now(self->base.loop);
    const EepSimStep *step = last_step(pool);
    gboolean is_first = TRUE;

    if (phase->n_ranks_new <= phase->n_ranks_old)
        return;
    /* All is started anew: nobody of the old group has a rank any more. */
    for (guint i = 0; phase->n_ranks_old == 0 && i < EEP_SIM_STEPS_IN_FLIGHT; i++)
        if (pool->steps[i].end <= now)
            pool->steps[i].plan.n_engines = 0;
    for (guint i = 0; i < phase->n_workers; i++) {
        if (eep_sim_step_has(step, phase->workers[i]))
            continue;
        if (!pool->joined)
            pool->joined = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
        if (is_first)
            g_array_set_size(pool->joined, 0);
        is_first = FALSE;
        g_array_append_val(pool->joined, phase->workers[i]);
    }
}

void eep_sim_name_workers(EepSimBackend *self, const EepMove *move, EepSimPending *pending)
{
    const EepSimPool *pool = eep_sim_pool(self, move->op.pool);
    const EepSimPool *other = move->is_kv ? eep_sim_pool(self, move->to_pool) : pool;
    GArray *workers = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));

    for (guint i = 0; i < 2 * move->n_transfers; i++) {
        const EepTransfer *transfer = &move->transfers[i / 2];
        const guint rank = i % 2 ? transfer->to_rank : transfer->from_rank;
        const EepSimPool *at = i % 2 ? other : pool;
        const guint engine = rank / tensor_parallel(at);
        const EepWorkerId worker = rank == EEP_TRANSFER_FROM_DISK ? 0
                                   : engine < move->n_engines     ? move->engines[engine]
                                                                  : worker_of(at, engine);
        const gboolean is_new =
            worker != 0 &&
            !has_worker((const EepWorkerId *)(gpointer)workers->data, workers->len, worker);
        if (is_new)
            g_array_append_val(workers, worker);
    }
    pending->n_workers = workers->len;
    pending->workers = (EepWorkerId *)(gpointer)g_array_free(workers, FALSE);
}

/* What the links of an engine's ranks carry. */
static double link_of(const EepSimBackend *self, EepPoolId id, guint engine)
{
    const EepSimPool *pool = g_ptr_array_index(self->pools, id);
    const guint tp = tensor_parallel(pool);
    const guint node = (guint)eep_sim_predictor_hardware(pool->predictor)->gpus_per_node;
    double least = 1.0;

    if (engine == G_MAXUINT)
        return least;
    for (guint i = engine * tp / node; i <= (engine * tp + tp - 1) / node; i++)
        least = fmin(least, eep_broken_parts_link(self->broken, id, i));
    return least;
}

/* -- prices -- */

guint8 eep_sim_load_of_step(const EepSimBackend *self, const EepStepPlan *plan, EepTime begin)
{
    guint8 load = 0;

    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *pending = eep_sim_pending(self, i);
        if (pending->load == 0 || pending->op.pool != plan->op.pool || pending->at <= begin)
            continue;
        gboolean is_mine = pending->worker == 0;
        for (guint j = 0; j < plan->n_engines && !is_mine; j++)
            is_mine = plan->work[j].engine == pending->worker;
        if (is_mine)
            load |= pending->load;
    }
    return load;
}

void eep_sim_price_step(EepSimBackend *self, const EepStepPlan *plan, guint8 load,
                        EepStepCost *ret_cost)
{
    const EepSimPool *pool = eep_sim_pool(self, plan->op.pool);
    g_autofree double *engines = g_new(double, plan->n_engines);
    EepStepSlowness slowness = {.engines = engines, .link = 1.0};
    gboolean hangs = FALSE;

    for (guint i = 0; i < plan->n_engines; i++) {
        const EepWorkerId worker = plan->work[i].engine;
        engines[i] = eep_broken_parts_slowness(self->broken, worker);
        hangs |= eep_broken_parts_is_stopped(self->broken, worker);
        if (plan->n_engines > 1 || tensor_parallel(pool) > 1)
            slowness.link = fmin(slowness.link, link_of(self, plan->op.pool, i));
    }
    eep_phase_load_slow(eep_sim_predictor_hardware(pool->predictor),
                        eep_sim_predictor_options(pool->predictor)->resize.background, load,
                        &slowness);
    eep_sim_predictor_slowed_step(pool->predictor, plan, &slowness, ret_cost);
    if (hangs)
        ret_cost->step = EEP_TIME_NEVER;
}

void eep_sim_price_parts(EepSimBackend *self, const EepPhase *phase, EepTime *ret_each)
{
    const EepSimPool *pool = eep_sim_pool(self, phase->op.pool);
    double link = 1.0;

    for (guint i = 0; i < phase->n_workers; i++)
        link = fmin(link, link_of(self, phase->op.pool, engine_of(pool, phase->workers[i])));
    eep_sim_predictor_slowed_phase(pool->predictor, phase, link, ret_each);
    for (guint i = 0; i < phase->n_workers; i++) {
        const double slowness = eep_broken_parts_slowness(self->broken, phase->workers[i]);
        if (slowness > 1.0)
            ret_each[i] = eep_time_from_seconds(eep_time_to_seconds(ret_each[i]) * slowness);
    }
}

EepTime eep_sim_price_phase(EepSimBackend *self, const EepPhase *phase, EepTime *ret_each,
                            EepDone *ret_done)
{
    const EepPhaseFate fate =
        eep_broken_parts_begin_phase(self->broken, phase->op.pool, phase->kind);
    EepTime whole = 0;

    eep_sim_price_parts(self, phase, ret_each);
    for (guint i = 0; i < phase->n_workers; i++) {
        if (fate == EEP_PHASE_HANGS || eep_broken_parts_is_stopped(self->broken, phase->workers[i]))
            ret_each[i] = EEP_TIME_NEVER;
        whole = MAX(whole, ret_each[i]);
    }
    *ret_done = fate == EEP_PHASE_FAILS ? EEP_DONE_TIMED_OUT : EEP_DONE_OK;
    self->is_broken = !eep_broken_parts_is_empty(self->broken);
    return fate == EEP_PHASE_HANGS ? EEP_TIME_NEVER : whole;
}

EepTime eep_sim_price_move(EepSimBackend *self, const EepMove *move, EepTime *ret_link)
{
    const EepSimPool *pool = eep_sim_pool(self, move->op.pool);
    const EepPoolId other = move->is_kv ? move->to_pool : move->op.pool;
    double link = 1.0;

    for (guint i = 0; i < move->n_transfers; i++) {
        const EepTransfer *t = &move->transfers[i];
        if (t->from_rank == EEP_TRANSFER_FROM_DISK)
            continue;
        link = fmin(link, link_of(self, move->op.pool, t->from_rank / tensor_parallel(pool)));
        link = fmin(link,
                    link_of(self, other, t->to_rank / tensor_parallel(eep_sim_pool(self, other))));
    }
    return eep_sim_predictor_slowed_move(pool->predictor, move, link, ret_link);
}

gboolean eep_sim_move_hangs(const EepSimBackend *self, const EepSimPending *pending)
{
    for (guint i = 0; i < pending->n_workers; i++)
        if (eep_broken_parts_is_stopped(self->broken, pending->workers[i]))
            return TRUE;
    return FALSE;
}

/* -- the injector -- */

static gboolean step_is_stopped(const EepSimStep *step, EepWorkerId worker, EepTime now)
{
    return step->is_open && step->end >= now && eep_sim_step_has(step, worker);
}

/* Steps follow each other: behind one that hangs, all do. */
static void hang_steps(EepSimBackend *self, EepSimPool *pool, EepWorkerId worker)
{
    const EepTime now = eep_loop_now(self->base.loop);
    gboolean is_behind = FALSE;

    for (guint i = 0; i < EEP_SIM_STEPS_IN_FLIGHT; i++) {
        EepSimStep *step = &pool->steps[(pool->next + i) % EEP_SIM_STEPS_IN_FLIGHT];
        if (!step_is_stopped(step, worker, now) && !(is_behind && step->is_open && step->end > now))
            continue;
        if (!eep_loop_reschedule(self->base.loop, step->handle, EEP_TIME_NEVER))
            continue;
        is_behind = TRUE;
        step->end = pool->step_end = EEP_TIME_NEVER;
    }
}

/* Whether something that hangs keeps the entry from ending: a part of its operation, or a move in
 * front of it. */
static gboolean is_held_up(const EepSimBackend *self, guint index)
{
    const EepSimPending *pending = eep_sim_pending(self, index);
    const gboolean is_move = eep_sim_pending_is_move(pending);

    for (guint i = 0; i < index; i++) {
        const EepSimPending *before = eep_sim_pending(self, i);
        if (before->at == EEP_TIME_NEVER &&
            (is_move ? eep_sim_pending_is_move(before) && before->op.pool == pending->op.pool
                     : pending->worker == 0 && before->op.id == pending->op.id))
            return TRUE;
    }
    return FALSE;
}

static void hang_pending(EepSimBackend *self, EepWorkerId worker)
{
    for (guint i = 0; i < self->pending->len; i++) {
        EepSimPending *pending = eep_sim_pending(self, i);
        EepSimPool *pool = eep_sim_pool(self, pending->op.pool);
        const gboolean is_move = eep_sim_pending_is_move(pending);
        const gboolean takes_part =
            is_move ? has_worker(pending->workers, pending->n_workers, worker)
                    : pending->kind == EEP_OP_PHASE && pending->worker == worker;

        if ((!takes_part && !is_held_up(self, i)) ||
            !eep_loop_reschedule(self->base.loop, pending->handle, EEP_TIME_NEVER))
            continue;
        pending->at = EEP_TIME_NEVER;
        if (is_move)
            pool->move_end = EEP_TIME_NEVER;
        if (pending->load != 0)
            pool->loaded_until = EEP_TIME_NEVER;
    }
}

static EepSimBackend *backend_of(EepFaultInjector *injector)
{
    return ((EepSimInjector *)injector)->backend;
}

static void note_broken(EepSimBackend *self)
{
    self->is_broken = !eep_broken_parts_is_empty(self->broken);
}

static void stop_worker(EepFaultInjector *injector, EepWorkerId worker, gboolean is_gone)
{
    EepSimBackend *self = backend_of(injector);
    const EepTime now = eep_loop_now(self->base.loop);

    for (guint id = 0; id < self->pools->len; id++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, id);
        if (pool && eep_sim_links_are_shared(pool, now))
            eep_sim_links_settle(self, (EepPoolId)id);
        if (pool)
            hang_steps(self, pool, worker);
    }
    hang_pending(self, worker);
    /* What hangs leaves the links to the others. */
    for (guint id = 0; id < self->pools->len; id++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, id);
        if (pool && eep_sim_links_are_shared(pool, now))
            eep_sim_links_project(self, (EepPoolId)id);
    }
    eep_broken_parts_stop(self->broken, worker, TRUE);
    note_broken(self);
}

static void heal_worker(EepFaultInjector *injector, EepWorkerId worker)
{
    EepSimBackend *self = backend_of(injector);
    eep_broken_parts_stop(self->broken, worker, FALSE);
    note_broken(self);
}

static void slow_worker(EepFaultInjector *injector, EepWorkerId worker, double factor)
{
    EepSimBackend *self = backend_of(injector);
    EepSimPrices *before = eep_sim_prices_new(self);
    eep_broken_parts_slow(self->broken, worker, factor);
    note_broken(self);
    eep_sim_retime(self, before);
}

static void set_link(EepFaultInjector *injector, EepPoolId pool, guint node, double factor)
{
    EepSimBackend *self = backend_of(injector);
    EepSimPrices *before = eep_sim_prices_new(self);
    eep_broken_parts_set_link(self->broken, pool, node, factor);
    note_broken(self);
    eep_sim_retime(self, before);
}

static void break_phase(EepFaultInjector *injector, EepPoolId pool, guint phase_kind, guint nth,
                        gboolean hangs)
{
    EepSimBackend *self = backend_of(injector);
    eep_broken_parts_break_phase(self->broken, pool, phase_kind, nth, hangs);
    note_broken(self);
}

static const EepFaultInjectorOps injector_ops = {
    .size = sizeof(EepFaultInjectorOps),
    .stop_worker = stop_worker,
    .heal_worker = heal_worker,
    .slow_worker = slow_worker,
    .set_link = set_link,
    .break_phase = break_phase,
};

void eep_sim_injector_init(EepSimBackend *self)
{
    self->broken = eep_broken_parts_new();
    self->injector = (EepSimInjector){{&injector_ops}, self};
}

EepFaultInjector *eep_sim_backend_injector(EepBackend *backend)
{
    return &((EepSimBackend *)backend)->injector.base;
}
