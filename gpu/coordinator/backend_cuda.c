#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "gpu/coordinator/address.h"
#include "gpu/coordinator/cuda_internal.h"
#include "gpu/coordinator/expert_sums.h"

#define SHORTEST_TICK (2 * EEP_NS_PER_MS)
#define LONGEST_TICK  (100 * EEP_NS_PER_MS)
/* A worker says HELLO as soon as it is connected: whoever takes longer is none. */
#define BEATS_TO_HELLO 10
#define FIRST_EPOCH    1 /* of every pool: its first group */

G_DEFINE_QUARK(eep - cuda - backend - error - quark, eep_cuda_backend_error)

static const EepBackendOps cuda_ops;

static EepCudaBackend *backend_of(const EepBackend *backend)
{
    g_assert(backend->ops == &cuda_ops);
    return (EepCudaBackend *)backend;
}

static gpointer entry_of(const GPtrArray *array, guint index)
{
    return index < array->len ? g_ptr_array_index(array, index) : NULL;
}

EepCudaPoolState *eep_cuda_pool(const EepCudaBackend *self, EepPoolId id)
{
    return entry_of(self->pools, id);
}

EepCudaWorker *eep_cuda_worker(const EepCudaBackend *self, EepWorkerId id)
{
    return entry_of(self->workers, id);
}

void eep_cuda_say(EepCudaBackend *self, const char *format, ...)
{
    g_autofree char *line = NULL;
    va_list arguments;

    va_start(arguments, format);
    line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (self->options.say != NULL)
        self->options.say(self->options.self, line);
}

gboolean eep_cuda_is_interrupted(const EepCudaBackend *self)
{
    return self->options.is_interrupted != NULL && self->options.is_interrupted(self->options.self);
}

void eep_cuda_note_failure(EepCudaBackend *self, EepWorkerId worker, const char *why)
{
    if (self->failure == NULL)
        self->failure = g_strdup_printf("worker %u: %s", worker, why);
}

/* -- steps -- */

static gboolean is_group_of(const EepWorkerGroup *group, const EepStepPlan *plan)
{
    if (group == NULL || group->n_members != plan->n_engines)
        return FALSE;
    for (guint i = 0; i < plan->n_engines; i++)
        if (group->members[i] != plan->work[i].engine)
            return FALSE;
    return TRUE;
}

static void note_step(EepCudaPoolState *pool, const EepStepPlan *plan)
{
    guint32 n_tokens = 0;

    for (guint i = 0; i < plan->n_engines; i++)
        n_tokens += plan->work[i].n_decodes + plan->work[i].n_prefill_tokens;
    eep_cuda_note_tokens(pool, plan->first_step, n_tokens);
    if (pool->last_epoch != plan->op.epoch) {
        pool->last_epoch = plan->op.epoch;
        g_array_set_size(pool->last_members, 0);
        for (guint i = 0; i < plan->n_engines; i++)
            g_array_append_val(pool->last_members, plan->work[i].engine);
        pool->is_check_due = TRUE;
    }
    if (plan->placement != NULL)
        eep_cuda_keep_layout(pool, plan->placement);
}

static EepWireMessage step_of(const EepStepPlan *plan)
{
    return (EepWireMessage){
        .type = EEP_WIRE_STEP,
        .step = {.op = plan->op.id, .epoch = plan->op.epoch, .step = plan->first_step}};
}

static void send_step(EepCudaBackend *self, EepCudaPoolState *pool, const EepStepPlan *plan)
{
    EepWireMessage message = step_of(plan);

    for (guint i = 0; i < plan->n_engines; i++) {
        const EepEngineWork *work = &plan->work[i];
        EepCudaWorker *worker = eep_cuda_worker(self, work->engine);

        if (worker == NULL || worker->link == NULL)
            continue;
        if (plan->placement != NULL)
            eep_cuda_post_maps(pool, worker, i, plan->op.epoch, plan->placement);
        message.step.n_decodes = work->n_decodes;
        message.step.n_prefill_chunks = work->n_prefill_chunks;
        message.step.n_prefill_tokens = work->n_prefill_tokens;
        message.step.decode_context_tokens = (guint64)work->decode_context_tokens;
        message.step.prefill_pairs = (guint64)work->prefill_query_key_pairs;
        eep_link_send(worker->link, &message);
    }
}

/* What the worker allocates for, and what the protocol can say. */
static gboolean fits(const EepCudaPoolState *pool, const EepStepPlan *plan)
{
    const EepPlacement *placement = plan->placement;

    return placement == NULL ||
           (placement->slots_per_rank == pool->model.slots_per_rank &&
            placement->n_ranks == plan->n_engines && placement->n_slots <= EEP_WIRE_MAX_SLOTS);
}

static guint n_steps_in_flight(const EepCudaBackend *self, EepPoolId pool)
{
    guint n = 0;

    for (guint i = 0; i < eep_tasks_n(self->tasks); i++) {
        const EepTask *task = eep_tasks_nth(self->tasks, i);

        n += task->kind == EEP_OP_STEP && task->op.pool == pool;
    }
    return n;
}

static void cuda_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    EepCudaBackend *self = backend_of(backend);
    EepCudaPoolState *pool = eep_cuda_pool(self, plan->op.pool);
    EepWorkerId members[EEP_WIRE_MAX_RANKS];
    EepTask *task;

    if (pool == NULL || plan->n_engines > EEP_WIRE_MAX_RANKS ||
        n_steps_in_flight(self, plan->op.pool) >= EEP_CUDA_STEPS_IN_FLIGHT ||
        !is_group_of(eep_worker_groups_find(pool->groups, plan->op.epoch), plan) ||
        !fits(pool, plan)) {
        eep_tasks_end_at_once(self->tasks, &plan->op, EEP_OP_STEP, EEP_DONE_REFUSED);
        return;
    }
    for (guint i = 0; i < plan->n_engines; i++)
        members[i] = plan->work[i].engine;
    task = eep_tasks_begin(self->tasks, &plan->op, EEP_OP_STEP, plan->n_engines, members);
    /* With experts that are nowhere the result is another one. */
    task->compares_probes = plan->placement != NULL && plan->placement->n_missing == 0;
    note_step(pool, plan);
    eep_cuda_follow_popularity(self, pool);
    eep_cuda_mend_group(self, pool, plan->op.epoch, EEP_GROUP_STEPS);
    send_step(self, pool, plan);
    eep_cuda_check_experts(self, pool);
}

/* -- ends of operations -- */

static EepWorkerId suspect_of(const EepCudaWorker *worker, const EepWireDone *done)
{
    const EepCudaPoolState *pool = eep_cuda_pool(worker->backend, worker->pool);
    const EepWorkerGroup *group = eep_worker_groups_find(pool->groups, done->epoch);

    return group != NULL && done->suspect < group->n_members ? group->members[done->suspect] : 0;
}

/* A launch ends with READY, and who is destroyed does not answer any more. */
static gboolean is_asked(const EepTask *task, const EepWireDone *done)
{
    return done->kind == task->kind &&
           (task->kind != EEP_OP_PHASE ||
            (task->phase != EEP_PHASE_LAUNCH && task->phase != EEP_PHASE_DESTROY));
}

/* Nobody is waited for: what a worker still says of it comes too late for anybody to hear. Who
 * joins anew for a step or a move that is given up gives up, too. */
static void abort_task(EepCudaBackend *self, EepTask *task, EepOpId id)
{
    EepWireMessage message = {.type = EEP_WIRE_ABORT, .abort = {id, task->op.id, task->op.epoch}};
    EepTask *mending = NULL;

    for (guint i = 0; i < task->n_parts; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, task->parts[i].worker);

        if (!task->parts[i].has_ended && worker != NULL && worker->link != NULL &&
            worker->state == EEP_CUDA_READY)
            eep_link_send(worker->link, &message);
    }
    eep_cuda_note_broken(self, task);
    mending = eep_cuda_mending(self, task);
    eep_tasks_abort(self->tasks, task);
    if (mending != NULL)
        abort_task(self, mending, id);
}

void eep_cuda_on_done(EepCudaWorker *worker, const EepWireDone *done)
{
    EepCudaBackend *self = worker->backend;
    EepTask *task = eep_tasks_find(self->tasks, done->op);
    EepTaskPart *part = task != NULL ? eep_task_part(task, worker->id) : NULL;

    /* Of an operation that was aborted. */
    if (part == NULL || part->has_ended)
        return;
    if (!is_asked(task, done)) {
        g_autofree char *why = g_strdup_printf(
            "it said that a %s has ended, and was asked for none", eep_op_names[done->kind]);

        eep_cuda_worker_lose(worker, why);
        return;
    }
    if (done->done != EEP_DONE_OK) {
        eep_cuda_say(self, "worker %u: %s of epoch %u ended %s: %s", worker->id,
                     task->kind == EEP_OP_PHASE ? eep_phase_names[task->phase]
                                                : eep_op_names[task->kind],
                     done->epoch, eep_done_names[done->done], done->reason);
        eep_cuda_note_failure(self, worker->id, done->reason);
        eep_cuda_note_broken(self, task);
        if (task->tries_for != 0) {
            /* What it is a try of can begin at once. */
            abort_task(self, task, eep_tasks_own_id(self->tasks));
            return;
        }
    } else if (task->kind == EEP_OP_STEP || task->phase == EEP_PHASE_WARM_UP) {
        worker->has_stepped = TRUE;
        worker->has_old_maps = FALSE;
    }
    if (task->kind == EEP_OP_STEP) {
        eep_cuda_note_probe(worker, task, done);
        self->counts.n_steps +=
            task->n_left == 1 && task->done == EEP_DONE_OK && done->done == EEP_DONE_OK;
    }
    eep_tasks_end_part(self->tasks, task, worker->id, (EepDone)done->done,
                       suspect_of(worker, done));
}

/* -- aborts -- */

static gboolean is_in_scope(const EepTask *task, const EepScope *scope)
{
    if (task->ended != NULL)
        return FALSE;
    if (scope->op != 0)
        return scope->op == task->op.id;
    return (scope->pool == 0 || scope->pool == task->op.pool) &&
           (scope->epoch == 0 || scope->epoch == task->op.epoch) &&
           (scope->worker == 0 || eep_task_part(task, scope->worker) != NULL);
}

static void cuda_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    EepCudaBackend *self = backend_of(backend);

    for (guint i = 0; i < eep_tasks_n(self->tasks);) {
        EepTask *task = eep_tasks_nth(self->tasks, i++);

        if (!is_in_scope(task, scope))
            continue;
        abort_task(self, task, op->id);
        i = 0;
    }
    eep_tasks_end_at_once(self->tasks, op, EEP_OP_ABORT, EEP_DONE_OK);
}

/* -- life -- */

static void cuda_attach(EepBackend *backend, EepLoop *loop)
{
    backend->loop = loop;
    eep_loop_set_inbox(loop, eep_mailbox_take, backend_of(backend)->options.mailbox);
}

void eep_cuda_backend_caps(EepBackendCaps *ret_caps)
{
    *ret_caps = (EepBackendCaps){
        .size = sizeof(EepBackendCaps),
        .max_steps_in_flight = EEP_CUDA_STEPS_IN_FLIGHT,
        .max_ranks = EEP_WIRE_MAX_RANKS,
        .can_abort_step = TRUE,
        .moves_during_step = TRUE,
        .moves_kv = TRUE,
        .phases_during_step = TRUE,
        .launches_spares = TRUE,
    };
}

static void cuda_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    eep_cuda_backend_caps(ret_caps);
}

static void on_timer(gpointer user_data, int fd, gboolean is_readable, gboolean is_writable)
{
    guint64 n;

    if (read(fd, &n, sizeof n) == sizeof n)
        eep_cuda_tick(user_data);
}

static gboolean start_timer(EepCudaBackend *self, GError **error)
{
    EepTime tick = CLAMP(self->gpu.heartbeat_interval / 4, SHORTEST_TICK, LONGEST_TICK);
    struct timespec every = {tick / EEP_NS_PER_S, tick % EEP_NS_PER_S};
    struct itimerspec timer = {every, every};

    self->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->timer_fd < 0 || timerfd_settime(self->timer_fd, 0, &timer, NULL) < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot make a timer: %s",
                    g_strerror(errno));
        return FALSE;
    }
    eep_clock_real_watch(self->options.clock, self->timer_fd, on_timer, self);
    return TRUE;
}

static void pool_free(gpointer data)
{
    EepCudaPoolState *pool = data;

    if (pool == NULL)
        return;
    eep_worker_groups_free(pool->groups);
    g_array_unref(pool->last_members);
    g_array_unref(pool->breaks);
    g_free(pool->layout);
    g_free(pool->popularity);
    g_free(pool->step_tokens);
    g_free(pool->step_of);
    g_free(pool);
}

/* Everybody is told to end; who does not in time is killed. */
static void end_workers(EepCudaBackend *self)
{
    const EepWireMessage bye = {.type = EEP_WIRE_BYE, .bye = {"the run is over"}};

    self->is_ending = TRUE;
    for (guint i = 1; i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker == NULL || worker->state == EEP_CUDA_GONE)
            continue;
        if (worker->is_broken_on_purpose)
            eep_cuda_worker_kill(worker);
        else
            eep_cuda_worker_dismiss(worker, bye.bye.reason);
    }
    eep_cuda_waiting_send(self, &bye);
    eep_crew_end(self->crew, self->gpu.grace);
}

/* Workers of other hosts go by themselves; their farewell has to leave the machine. */
static gboolean has_unsent(const EepCudaBackend *self)
{
    for (guint i = 1; i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker != NULL && worker->link != NULL && !eep_link_is_flushed(worker->link))
            return TRUE;
    }
    return !eep_cuda_waiting_are_told(self);
}

static void cuda_free(EepBackend *backend)
{
    EepCudaBackend *self = backend_of(backend);
    gint64 until = eep_monotonic_ns() + self->gpu.grace;

    if (self->crew != NULL)
        end_workers(self);
    while (has_unsent(self) && eep_monotonic_ns() < until)
        eep_clock_real_poll(self->options.clock, 20 * EEP_NS_PER_MS);
    if (self->timer_fd >= 0) {
        if (self->base.ops != NULL && self->ticked != 0)
            eep_clock_real_unwatch(self->options.clock, self->timer_fd);
        close(self->timer_fd);
    }
    g_ptr_array_unref(self->waiting);
    g_ptr_array_unref(self->workers);
    eep_cuda_drop_questions(self);
    eep_tasks_free(self->tasks);
    eep_crew_free(self->crew);
    eep_door_free(self->door);
    g_ptr_array_unref(self->pools);
    g_hash_table_unref(self->sums);
    g_free(self->program);
    g_free(self->breach);
    g_free(self->failure);
    g_free(self);
}

static const EepBackendOps cuda_ops = {
    .size = sizeof(EepBackendOps),
    .name = "cuda",
    .attach = cuda_attach,
    .query_caps = cuda_query_caps,
    .free = cuda_free,
    .submit_step = cuda_submit_step,
    .start_phase = eep_cuda_start_phase,
    .move = eep_cuda_move,
    .read_load = eep_cuda_read_load,
    .abort = cuda_abort,
};

/* Nobody but those whom it spawns has to find the way. */
static const char *door_address(const EepCudaBackend *self)
{
    return self->gpu.listen != NULL ? self->gpu.listen
           : self->options.spawns   ? EEP_ADDRESS_PRIVATE
                                    : EEP_ADDRESS_ANY;
}

EepBackend *eep_cuda_backend_new(const EepCudaBackendOptions *options, GError **error)
{
    EepCudaBackend *self = g_new0(EepCudaBackend, 1);

    self->base.ops = &cuda_ops;
    self->options = *options;
    self->gpu = *options->gpu;
    self->program = g_strdup(options->worker_program);
    self->tasks = eep_tasks_new(options->mailbox);
    self->pools = g_ptr_array_new_with_free_func(pool_free);
    self->workers = g_ptr_array_new_with_free_func(eep_cuda_worker_free);
    self->waiting = g_ptr_array_new_with_free_func(eep_cuda_waiting_free);
    self->sums = eep_expert_sums_new();
    self->injector = (EepCudaInjector){{&eep_cuda_injector_ops}, self};
    self->timer_fd = -1;
    self->crew = eep_crew_new(options->clock, eep_cuda_on_exit, self);
    self->door = eep_door_new(options->clock, door_address(self), options->token,
                              BEATS_TO_HELLO * self->gpu.heartbeat_interval, &eep_cuda_door_events,
                              self, error);
    if (self->door == NULL || !start_timer(self, error)) {
        cuda_free(&self->base);
        return NULL;
    }
    self->ticked = eep_monotonic_ns();
    return &self->base;
}

/* -- the start of a pool -- */

static EepCudaPoolState *add_pool(EepCudaBackend *self, EepPoolId id, const EepCudaPool *options)
{
    EepCudaPoolState *pool = g_new0(EepCudaPoolState, 1);

    pool->options = *options;
    pool->id = id;
    pool->model = eep_cuda_wire_model(options, &self->gpu, self->options.seed);
    pool->groups = eep_worker_groups_new();
    pool->last_members = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    pool->breaks = g_array_new(FALSE, FALSE, sizeof(EepCudaBreak));
    pool->popularity = g_new0(gfloat, MAX(1, (gsize)pool->model.n_layers * pool->model.n_experts));
    pool->step_tokens = g_new0(guint32, EEP_CUDA_STEPS_KEPT);
    pool->step_of = g_new0(guint64, EEP_CUDA_STEPS_KEPT);
    if (id >= self->pools->len)
        g_ptr_array_set_size(self->pools, (gint)id + 1);
    g_clear_pointer(&self->pools->pdata[id], pool_free);
    self->pools->pdata[id] = pool;
    return pool;
}

typedef struct {
    gboolean has_ended;
    EepDone done;
} Outcome;

static void on_ended(gpointer self, const EepTask *task)
{
    Outcome *outcome = self;

    outcome->has_ended = TRUE;
    outcome->done = task->done;
}

/* Whoever waits for a rank that has failed would wait in vain. */
static void look_for_failure(const EepCudaBackend *self, Outcome *outcome)
{
    for (guint i = 0; i < eep_tasks_n(self->tasks); i++) {
        const EepTask *task = eep_tasks_nth(self->tasks, i);

        if (task->self == outcome && task->done != EEP_DONE_OK)
            on_ended(outcome, task);
    }
}

static void set_start_error(const EepCudaBackend *self, EepPhaseKind kind, const Outcome *outcome,
                            GError **error)
{
    const char *phase = eep_phase_names[kind];

    if (eep_cuda_is_interrupted(self))
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_INTERRUPTED,
                    "interrupted while the workers started");
    else if (outcome->has_ended)
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                    "the workers did not come up: %s ended %s%s%s; what they said stands above",
                    phase, eep_done_names[outcome->done], self->failure != NULL ? ", " : "",
                    self->failure != NULL ? self->failure : "");
    else
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                    "not all workers were ready within gpu.start_timeout (%.3g s): %s had not "
                    "ended; %s",
                    eep_time_to_seconds(self->gpu.start_timeout), phase,
                    self->options.spawns ? "what they said stands above"
                                         : "start `eep worker --connect` on every GPU");
}

/* FALSE with an error when the phase failed, was not over in time or is not wanted any more. */
static gboolean run_phase(EepCudaBackend *self, EepPoolId pool, EepPhaseKind kind, GArray *members,
                          gint64 until, GError **error)
{
    Outcome outcome = {0};

    eep_cuda_own_phase(self, pool, kind, FIRST_EPOCH, members, on_ended, &outcome);
    while (!outcome.has_ended && eep_monotonic_ns() < until && !eep_cuda_is_interrupted(self)) {
        eep_clock_real_poll(self->options.clock, 20 * EEP_NS_PER_MS);
        look_for_failure(self, &outcome);
    }
    if (outcome.has_ended && outcome.done == EEP_DONE_OK)
        return TRUE;
    set_start_error(self, kind, &outcome, error);
    eep_tasks_forget(self->tasks, &outcome);
    return FALSE;
}

gboolean eep_cuda_backend_start_pool(EepBackend *backend, EepPoolId id, const EepCudaPool *options,
                                     GError **error)
{
    EepCudaBackend *self = backend_of(backend);
    EepCudaPoolState *pool = add_pool(self, id, options);
    gint64 until = eep_monotonic_ns() + self->gpu.start_timeout;
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    EepWorkerId first = MAX(1, self->workers->len);

    for (guint i = 0; i < options->n_engines; i++) {
        EepWorkerId worker = first + i;

        g_array_append_val(members, worker);
    }
    g_clear_pointer(&self->failure, g_free);
    eep_cuda_follow_popularity(self, pool);
    if (!run_phase(self, id, EEP_PHASE_LAUNCH, members, until, error) ||
        !run_phase(self, id, EEP_PHASE_STANDBY_GROUPS, members, until, error))
        return FALSE;
    /* Before the switch, which comes behind them on the same lane: who moves experts before the
     * first step has them. */
    eep_cuda_post_derived_maps(self, pool, eep_worker_groups_find(pool->groups, FIRST_EPOCH));
    return run_phase(self, id, EEP_PHASE_SWITCH, members, until, error);
}

/* -- questions -- */

const char *eep_cuda_backend_address(const EepBackend *backend)
{
    return eep_door_address(backend_of(backend)->door);
}

const char *eep_cuda_backend_token(const EepBackend *backend)
{
    return eep_door_token(backend_of(backend)->door);
}

EepFaultInjector *eep_cuda_backend_injector(EepBackend *backend)
{
    return &backend_of(backend)->injector.base;
}

void eep_cuda_backend_check_experts(EepBackend *backend)
{
    eep_cuda_check_at_end(backend_of(backend));
}

const char *eep_cuda_backend_breach(const EepBackend *backend)
{
    return backend_of(backend)->breach;
}

static gboolean has_come(const EepCudaWorker *worker)
{
    return worker != NULL && worker->facts.host != NULL;
}

guint eep_cuda_backend_n_workers(const EepBackend *backend)
{
    const EepCudaBackend *self = backend_of(backend);
    guint n = 0;

    for (guint i = 1; i < self->workers->len; i++)
        n += has_come(eep_cuda_worker(self, i));
    return n;
}

const EepCudaWorkerFacts *eep_cuda_backend_worker(const EepBackend *backend, guint index)
{
    const EepCudaBackend *self = backend_of(backend);

    for (guint i = 1; i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (has_come(worker) && index-- == 0)
            return &worker->facts;
    }
    return NULL;
}

EepCudaBackendCounts eep_cuda_backend_counts(const EepBackend *backend)
{
    const EepCudaBackend *self = backend_of(backend);
    EepCudaBackendCounts counts = self->counts;

    for (guint i = 1; i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);
        EepLinkCounts link;

        if (worker == NULL || worker->link == NULL)
            continue;
        link = eep_link_counts(worker->link);
        counts.n_messages_sent += link.n_messages_sent;
        counts.n_messages_received += link.n_messages_received;
        counts.n_bytes_sent += link.n_bytes_sent;
        counts.n_bytes_received += link.n_bytes_received;
    }
    return counts;
}
