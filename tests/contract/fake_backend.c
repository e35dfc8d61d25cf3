#include "tests/contract/fake_backend.h"

#include <string.h>

#define MAX_RANKS 8

typedef struct {
    EepOp op;
    EepOpKind kind;
    guint n_workers;
    EepWorkerId workers[MAX_RANKS];
    guint n_handles; /* all its completions; the last one is the whole */
    EepHandle handles[2 * MAX_RANKS + 2];
    EepTime end;
} Work;

typedef struct {
    EepBackend base;
    FakeDefect defect;
    gboolean moves_kv, is_minimal, has_aborted;
    GPtrArray *works; /* Work, in order of submission */
    guint n_steps;
} Fake;

#define NAME(defect) [defect] = #defect
const char *const fake_defect_names[FAKE_DEFECT_COUNT] = {
    NAME(FAKE_GOOD),
    NAME(FAKE_ENDS_TWICE),
    NAME(FAKE_NEVER_ENDS),
    NAME(FAKE_REORDERS_STEPS),
    NAME(FAKE_TAKES_TOO_MANY_STEPS),
    NAME(FAKE_TAKES_TOO_MANY_RANKS),
    NAME(FAKE_REFUSES_STEPS),
    NAME(FAKE_LEAPS_PAST_THE_HORIZON),
    NAME(FAKE_LEAPS_WITHOUT_ENDS),
    NAME(FAKE_LEAPS_SHORT),
    NAME(FAKE_ENDS_WITHOUT_A_STEP),
    NAME(FAKE_WHOLE_BEFORE_WORKERS),
    NAME(FAKE_FORGETS_A_WORKER),
    NAME(FAKE_REPEATS_A_WORKER),
    NAME(FAKE_INVENTS_A_WORKER),
    NAME(FAKE_WORKER_FAILS_IN_AN_OK_PHASE),
    NAME(FAKE_WRONG_EPOCH),
    NAME(FAKE_WRONG_KIND),
    NAME(FAKE_WRONG_ID),
    NAME(FAKE_MOVES_KV_ANYWAY),
    NAME(FAKE_READS_NOTHING),
    NAME(FAKE_READS_ONE_WINDOW),
    NAME(FAKE_MISCOUNTS_WINDOWS),
    NAME(FAKE_READS_NEGATIVE),
    NAME(FAKE_COMPLETES_AFTER_ABORT),
    NAME(FAKE_ABORT_FORGETS),
    NAME(FAKE_ABORT_TAKES_ALL),
    NAME(FAKE_BREAKS_AFTER_ABORT),
    NAME(FAKE_IS_NOT_REPEATABLE),
};
#undef NAME

static Work *add_work(Fake *self, const EepOp *op, EepOpKind kind)
{
    Work *work = g_new0(Work, 1);
    work->op = *op;
    work->kind = kind;
    g_ptr_array_add(self->works, work);
    return work;
}

static void complete(Fake *self, Work *work, EepTime at, EepDone done, EepWorkerId worker,
                     guint32 n_steps, GBytes *blob)
{
    EepCompletion completion = {
        .id = work->op.id + (self->defect == FAKE_WRONG_ID ? 1000000 : 0),
        .kind = self->defect == FAKE_WRONG_KIND ? (work->kind + 1) % EEP_OP_COUNT : work->kind,
        .done = done,
        .worker = worker,
        .epoch = work->op.epoch + (self->defect == FAKE_WRONG_EPOCH),
        .n_steps = n_steps,
    };
    EepEvent event;
    eep_completion_to_event(&completion, work->op.pool, blob, &event);
    work->handles[work->n_handles++] = eep_loop_schedule(self->base.loop, at, &event);
    work->end = MAX(work->end, at);
}

static EepTime now(const Fake *self)
{
    return eep_loop_now(self->base.loop);
}

static void fake_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
}

static void fake_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    const Fake *self = (const Fake *)backend;
    *ret_caps = (EepBackendCaps){
        .size = sizeof *ret_caps,
        .max_steps_in_flight = self->is_minimal ? 1 : 2,
        .max_ranks = MAX_RANKS,
        .can_leap = !self->is_minimal,
        .can_abort_step = !self->is_minimal,
        .moves_during_step = !self->is_minimal,
        .moves_kv = self->moves_kv,
        .phases_during_step = !self->is_minimal,
    };
}

static void fake_free(EepBackend *backend)
{
    Fake *self = (Fake *)backend;
    g_ptr_array_unref(self->works);
    g_free(self);
}

/* Counts the pool's steps that have not ended and finds when the last one will. */
static guint count_steps(const Fake *self, EepPoolId pool, EepTime *ret_last_end)
{
    guint n = 0;
    EepTime last_end = now(self);
    for (guint i = 0; i < self->works->len; i++) {
        const Work *work = g_ptr_array_index(self->works, i);
        if (work->kind != EEP_OP_STEP || work->op.pool != pool || work->end <= now(self))
            continue;
        n++;
        last_end = MAX(last_end, work->end);
    }
    *ret_last_end = last_end;
    return n;
}

static gboolean must_refuse(const Fake *self, const EepStepPlan *plan, guint n_in_flight)
{
    return (n_in_flight >= (self->is_minimal ? 1 : 2) &&
            self->defect != FAKE_TAKES_TOO_MANY_STEPS) ||
           (plan->n_engines > MAX_RANKS && self->defect != FAKE_TAKES_TOO_MANY_RANKS) ||
           self->defect == FAKE_REFUSES_STEPS ||
           (self->defect == FAKE_BREAKS_AFTER_ABORT && self->has_aborted);
}

/* How many steps of the plan happen when the first begins at `begin`. */
static guint32 count_leap(const Fake *self, const EepStepPlan *plan, EepTime begin)
{
    if (self->is_minimal)
        return 1;
    if (self->defect == FAKE_LEAPS_PAST_THE_HORIZON)
        return plan->max_steps;
    guint32 n = 1;
    while (n < plan->max_steps && begin + n * FAKE_STEP < plan->horizon)
        n++;
    return self->defect == FAKE_LEAPS_SHORT && n > 1 ? n - 1 : n;
}

static EepTime jitter(Fake *self)
{
    static EepTime calls; /* outlives the backend: that is the defect */
    return self->defect == FAKE_IS_NOT_REPEATABLE ? ++calls : 0;
}

static void fake_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Fake *self = (Fake *)backend;
    EepTime begin;
    guint n_in_flight = count_steps(self, plan->op.pool, &begin);
    if (must_refuse(self, plan, n_in_flight)) {
        eep_backend_end(backend, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        return;
    }
    Work *work = add_work(self, &plan->op, EEP_OP_STEP);
    work->n_workers = MIN(plan->n_engines, MAX_RANKS);
    for (guint i = 0; i < work->n_workers; i++)
        work->workers[i] = plan->work[i].engine;
    if (self->defect == FAKE_NEVER_ENDS && ++self->n_steps == 7)
        return;
    if (self->defect == FAKE_REORDERS_STEPS && n_in_flight > 0)
        begin -= FAKE_STEP + FAKE_STEP / 2;

    guint32 n = count_leap(self, plan, begin);
    g_autofree EepTime *ends = g_new(EepTime, n);
    for (guint32 i = 0; i < n; i++)
        ends[i] = begin + (EepTime)(i + 1) * FAKE_STEP + jitter(self);
    GBytes *blob = n > 1 && self->defect != FAKE_LEAPS_WITHOUT_ENDS
                       ? g_bytes_new(ends, n * sizeof *ends)
                       : NULL;
    complete(self, work, ends[n - 1], EEP_DONE_OK, 0,
             self->defect == FAKE_ENDS_WITHOUT_A_STEP ? 0 : n, blob);
    if (self->defect == FAKE_ENDS_TWICE)
        complete(self, work, ends[n - 1] + 1, EEP_DONE_OK, 0, n, NULL);
}

/* Each worker's completion, then the whole one. */
static void complete_workers(Fake *self, Work *work)
{
    guint n = work->n_workers;
    EepTime end = now(self) + n * FAKE_WORKER;
    for (guint i = 0; i < n; i++) {
        if (self->defect == FAKE_FORGETS_A_WORKER && i == 1)
            continue;
        EepDone done = self->defect == FAKE_WORKER_FAILS_IN_AN_OK_PHASE && i == 1
                           ? EEP_DONE_WORKER_LOST
                           : EEP_DONE_OK;
        complete(self, work, now(self) + (i + 1) * FAKE_WORKER, done, work->workers[i], 0, NULL);
    }
    if (self->defect == FAKE_REPEATS_A_WORKER)
        complete(self, work, end, EEP_DONE_OK, work->workers[0], 0, NULL);
    if (self->defect == FAKE_INVENTS_A_WORKER)
        complete(self, work, end, EEP_DONE_OK, 4711, 0, NULL);
    complete(self, work, self->defect == FAKE_WHOLE_BEFORE_WORKERS ? end - 1 : end, EEP_DONE_OK, 0,
             0, NULL);
}

static void fake_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Fake *self = (Fake *)backend;
    Work *work = add_work(self, &phase->op, EEP_OP_PHASE);
    work->n_workers = MIN(phase->n_workers, MAX_RANKS);
    memcpy(work->workers, phase->workers, work->n_workers * sizeof *phase->workers);
    complete_workers(self, work);
}

static void fake_move(EepBackend *backend, const EepMove *move)
{
    Fake *self = (Fake *)backend;
    if (move->is_kv && !self->moves_kv && self->defect != FAKE_MOVES_KV_ANYWAY) {
        eep_backend_no_move(backend, move);
        return;
    }
    Work *work = add_work(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS);
    work->n_workers = MIN(move->n_ranks, MAX_RANKS);
    for (guint i = 0; i < work->n_workers; i++)
        work->workers[i] = i + 1;
    complete_workers(self, work);
}

static void fake_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                           guint n_windows)
{
    static const double counts[] = {3, 1, 0, 4};
    Fake *self = (Fake *)backend;
    guint n = self->defect == FAKE_READS_ONE_WINDOW ? 1 : n_windows;
    gsize size = sizeof(EepLoadReport) + n * sizeof counts;
    EepLoadReport *report = g_malloc0(size);
    GBytes *blob = g_bytes_new_take(report, size);
    report->n_windows = n + (self->defect == FAKE_MISCOUNTS_WINDOWS);
    for (guint i = 0; i < n; i++)
        memcpy(report->tokens + i * G_N_ELEMENTS(counts), counts, sizeof counts);
    if (self->defect == FAKE_READS_NEGATIVE)
        report->tokens[3] = -1.0;
    if (self->defect == FAKE_READS_NOTHING)
        g_clear_pointer(&blob, g_bytes_unref);
    complete(self, add_work(self, op, EEP_OP_READ_LOAD), now(self) + FAKE_READ, EEP_DONE_OK, 0, 0,
             blob);
}

static gboolean covers(const Fake *self, const EepScope *scope, const Work *work)
{
    if (self->defect == FAKE_ABORT_TAKES_ALL)
        return TRUE;
    if (scope->op != 0)
        return scope->op == work->op.id;
    gboolean has_worker = scope->worker == 0;
    for (guint i = 0; i < work->n_workers; i++)
        has_worker |= work->workers[i] == scope->worker;
    return has_worker && (scope->pool == 0 || scope->pool == work->op.pool) &&
           (scope->epoch == 0 || scope->epoch == work->op.epoch);
}

static void fake_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Fake *self = (Fake *)backend;
    self->has_aborted = TRUE;
    for (guint i = 0; i < self->works->len; i++) {
        Work *work = g_ptr_array_index(self->works, i);
        if (work->kind == EEP_OP_ABORT || work->n_handles == 0 || !covers(self, scope, work) ||
            self->defect == FAKE_COMPLETES_AFTER_ABORT)
            continue;
        gboolean was_open =
            eep_loop_reschedule(backend->loop, work->handles[work->n_handles - 1], EEP_TIME_NEVER);
        for (guint j = 0; j + 1 < work->n_handles; j++)
            eep_loop_reschedule(backend->loop, work->handles[j], EEP_TIME_NEVER);
        work->n_handles = 0;
        work->end = now(self);
        if (was_open && self->defect != FAKE_ABORT_FORGETS)
            complete(self, work, now(self), EEP_DONE_ABORTED, 0, 0, NULL);
    }
    /* A nanosecond later: at the same instant it could sort before another pool's completions. */
    complete(self, add_work(self, op, EEP_OP_ABORT), now(self) + 1, EEP_DONE_OK, 0, 0, NULL);
}

static const EepBackendOps fake_ops = {
    .size = sizeof(EepBackendOps),
    .name = "fake",
    .attach = fake_attach,
    .query_caps = fake_query_caps,
    .free = fake_free,
    .submit_step = fake_submit_step,
    .start_phase = fake_start_phase,
    .move = fake_move,
    .read_load = fake_read_load,
    .abort = fake_abort,
};

static const EepBackendOps minimal_ops = {
    .size = sizeof(EepBackendOps),
    .name = "minimal",
    .attach = fake_attach,
    .query_caps = fake_query_caps,
    .free = fake_free,
    .submit_step = fake_submit_step,
    .start_phase = eep_backend_no_start_phase,
    .move = eep_backend_no_move,
    .read_load = eep_backend_no_read_load,
    .abort = eep_backend_no_abort,
};

EepBackend *fake_backend_new(FakeDefect defect, gboolean moves_kv)
{
    Fake *self = g_new0(Fake, 1);
    self->base.ops = &fake_ops;
    self->defect = defect;
    self->moves_kv = moves_kv;
    self->works = g_ptr_array_new_with_free_func(g_free);
    return &self->base;
}

EepBackend *fake_backend_new_minimal(void)
{
    EepBackend *backend = fake_backend_new(FAKE_GOOD, FALSE);
    backend->ops = &minimal_ops;
    ((Fake *)backend)->is_minimal = TRUE;
    return backend;
}
