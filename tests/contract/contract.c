#include "tests/contract/contract.h"

#include <stdarg.h>

#include "core/eplb/placement.h"
#include "core/loop/backend_check.h"
#include "core/loop/operations.h"
#include "core/resize/phase.h"

#define N_STEPS 20
#define GRACE   (50 * EEP_NS_PER_MS)

typedef struct World World;

typedef struct {
    const char *name;
    gboolean (*applies)(const EepBackendCaps *caps); /* NULL: always */
    void (*begin)(World *world);
    void (*ended)(World *world, const EepCompletion *completion); /* nullable; whole ones only */
    void (*finish)(World *world);                                 /* nullable */
} Scenario;

struct World {
    const EepContractSubject *subject;
    const Scenario *scenario;
    EepClock *clock;
    EepLoop *loop;
    EepBackend *backend;
    EepBackendCaps caps;
    EepOperations *operations;
    EepEngineWork *work;
    guint n_submitted; /* steps */
    guint64 forward;   /* steps that happened */
    guint n_done[EEP_OP_COUNT][EEP_DONE_COUNT];
    EepOpId first, second; /* whatever the scenario keeps */
    guint n_rejoined;      /* phases of rejoin() and its step */
    guint64 hash;          /* of all completions and their times */
    char *failure;
};

G_GNUC_PRINTF(3, 4)
static void expect(World *world, gboolean is_true, const char *format, ...)
{
    if (is_true || world->failure != NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    world->failure = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

static void expect_count(World *world, EepOpKind kind, EepDone done, guint n)
{
    expect(world, world->n_done[kind][done] == n, "%u %s ended %s instead of %u",
           world->n_done[kind][done], eep_op_names[kind], eep_done_names[done], n);
}

/* What a backend may also not support. */
static void expect_ok_or_refused(World *world, EepOpKind kind, guint n)
{
    guint n_ok = world->n_done[kind][EEP_DONE_OK],
          n_refused = world->n_done[kind][EEP_DONE_REFUSED];
    expect(world, n_ok == n || n_refused == n, "of %u %s %u ended ok and %u refused", n,
           eep_op_names[kind], n_ok, n_refused);
}

static EepOp new_op(World *world, EepOpKind kind, guint n_workers)
{
    return eep_operations_begin(world->operations, kind, world->subject->pool,
                                world->subject->epoch, n_workers, EEP_TIME_NEVER);
}

static EepOpId submit(World *world, guint n_engines, guint32 max_steps, EepTime horizon)
{
    EepStepPlan plan = {
        .op = new_op(world, EEP_OP_STEP, 0),
        .n_engines = n_engines,
        .work = world->work,
        .placement = world->subject->placement,
        .first_step = world->n_submitted++,
        .max_steps = max_steps,
        .horizon = horizon,
    };
    world->backend->ops->submit_step(world->backend, &plan);
    return plan.op.id;
}

static EepOpId submit_one(World *world)
{
    return submit(world, world->subject->n_workers, 1, EEP_TIME_NEVER);
}

static EepOpId start_phase_of(World *world, guint32 kind, EepEpoch target)
{
    guint n = world->subject->n_workers;
    EepPhase phase = {
        .op = new_op(world, EEP_OP_PHASE, n),
        .kind = kind,
        .n_workers = n,
        .workers = world->subject->workers,
        .n_ranks_old = n,
        .n_ranks_new = n,
        .target_epoch = target,
        .n_members = world->subject->n_workers,
        .members = world->subject->workers,
    };
    world->backend->ops->start_phase(world->backend, &phase);
    return phase.op.id;
}

static void start_phase(World *world)
{
    const EepContractSubject *subject = world->subject;

    start_phase_of(world, subject->phase_kind,
                   subject->target_epoch != 0 ? subject->target_epoch : subject->epoch);
}

/* What the rank's first slot of layer 0 holds, so that it can send it. */
static guint32 expert_of(const World *world, guint rank)
{
    const EepPlacement *placement = world->subject->placement;

    return placement != NULL
               ? (guint32)eep_placement_layer(placement, 0)[rank * placement->slots_per_rank]
               : 0;
}

static EepOpId move(World *world, gboolean is_kv)
{
    EepTransfer transfers[] = {{.from_rank = 0, .to_rank = 1, .expert = expert_of(world, 0)},
                               {.from_rank = 1, .to_rank = 0, .expert = expert_of(world, 1)}};
    const gint64 bytes[] = {1 << 20, 3 << 20};
    EepMove expert_move = {
        .op =
            new_op(world, is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS, world->subject->n_workers),
        .is_kv = is_kv,
        .new_version = 1,
        .n_transfers = G_N_ELEMENTS(transfers),
        .transfers = transfers,
        .bytes_each = is_kv ? 0 : 1 << 20,
        .bytes = is_kv ? bytes : NULL,
        .n_ranks = world->subject->n_workers,
        .to_pool = world->subject->pool,
    };
    world->backend->ops->move(world->backend, &expert_move);
    return expert_move.op.id;
}

static void stop(World *world, EepScope scope)
{
    EepOp op = new_op(world, EEP_OP_ABORT, 0);
    world->backend->ops->abort(world->backend, &op, &scope);
}

/* -- scenarios -- */

static void begin_one(World *world)
{
    submit_one(world);
}

static void submit_next(World *world, const EepCompletion *completion)
{
    if (world->n_submitted < N_STEPS)
        submit_one(world);
}

static void finish_steps(World *world)
{
    expect_count(world, EEP_OP_STEP, EEP_DONE_OK, N_STEPS);
    expect(world, world->forward == N_STEPS, "%" G_GUINT64_FORMAT " steps happened instead of %d",
           world->forward, N_STEPS);
}

static gboolean allows_two(const EepBackendCaps *caps)
{
    return caps->max_steps_in_flight >= 2;
}

static void begin_two(World *world)
{
    world->first = submit_one(world);
    world->second = submit_one(world);
}

static gboolean has_step_limit(const EepBackendCaps *caps)
{
    return caps->max_steps_in_flight <= 64;
}

static void begin_too_many(World *world)
{
    for (guint i = 0; i <= world->caps.max_steps_in_flight; i++)
        submit_one(world);
}

static void finish_too_many(World *world)
{
    expect_count(world, EEP_OP_STEP, EEP_DONE_OK, world->caps.max_steps_in_flight);
    expect_count(world, EEP_OP_STEP, EEP_DONE_REFUSED, 1);
}

static void begin_leap(World *world)
{
    submit(world, world->subject->n_workers, 8, EEP_TIME_NEVER);
}

/* Once more with a horizon in the middle, from what the first leap took. */
static void ended_leap(World *world, const EepCompletion *completion)
{
    EepTime now = eep_loop_now(world->loop);
    if (world->n_submitted == 1)
        submit(world, world->subject->n_workers, 8, now + now / 2);
}

static void finish_leap(World *world)
{
    expect_count(world, EEP_OP_STEP, EEP_DONE_OK, 2);
    expect(world,
           world->caps.can_leap ? world->forward > 8 && world->forward < 16 : world->forward == 2,
           "leaps of 8 steps and to its middle made %" G_GUINT64_FORMAT " steps", world->forward);
}

static void begin_dummy(World *world)
{
    for (guint i = 0; i < world->subject->n_workers; i++)
        world->work[i] = (EepEngineWork){.engine = world->work[i].engine};
    EepStepPlan plan = {
        .op = new_op(world, EEP_OP_STEP, 0),
        .n_engines = world->subject->n_workers,
        .work = world->work,
        .placement = world->subject->placement,
        .max_steps = 1,
        .horizon = EEP_TIME_NEVER,
        .is_dummy = TRUE,
    };
    world->backend->ops->submit_step(world->backend, &plan);
}

static void finish_one(World *world)
{
    expect_count(world, EEP_OP_STEP, EEP_DONE_OK, 1);
}

static gboolean has_rank_limit(const EepBackendCaps *caps)
{
    return caps->max_ranks <= 4096;
}

static void begin_too_wide(World *world)
{
    guint n = world->caps.max_ranks + 1;
    world->work = g_renew(EepEngineWork, world->work, n);
    for (guint i = 0; i < n; i++)
        world->work[i] = (EepEngineWork){.engine = i + 1, .n_decodes = 1};
    submit(world, n, 1, EEP_TIME_NEVER);
}

static void finish_too_wide(World *world)
{
    expect_count(world, EEP_OP_STEP, EEP_DONE_REFUSED, 1);
}

static void finish_phase(World *world)
{
    expect_ok_or_refused(world, EEP_OP_PHASE, 1);
}

static gboolean allows_phases_during_step(const EepBackendCaps *caps)
{
    return caps->phases_during_step;
}

static void begin_phase_during_step(World *world)
{
    submit_one(world);
    start_phase(world);
}

static void finish_phase_during_step(World *world)
{
    finish_phase(world);
    finish_one(world);
}

static void begin_moves(World *world)
{
    move(world, FALSE);
    move(world, TRUE);
}

static void finish_moves(World *world)
{
    expect_ok_or_refused(world, EEP_OP_MOVE_EXPERTS, 1);
    expect_count(world, EEP_OP_MOVE_KV, world->caps.moves_kv ? EEP_DONE_OK : EEP_DONE_REFUSED, 1);
}

static gboolean allows_moves_during_step(const EepBackendCaps *caps)
{
    return caps->moves_during_step;
}

static void begin_move_during_step(World *world)
{
    submit_one(world);
    move(world, FALSE);
}

static void finish_move_during_step(World *world)
{
    expect_ok_or_refused(world, EEP_OP_MOVE_EXPERTS, 1);
    finish_one(world);
}

static void read_after_step(World *world, const EepCompletion *completion)
{
    if (completion->kind != EEP_OP_STEP)
        return;
    EepOp op = new_op(world, EEP_OP_READ_LOAD, 0);
    world->backend->ops->read_load(world->backend, &op, 0, 1, 1);
    op = new_op(world, EEP_OP_READ_LOAD, 0);
    world->backend->ops->read_load(world->backend, &op, 0, 1, 3);
}

static void finish_read(World *world)
{
    expect_ok_or_refused(world, EEP_OP_READ_LOAD, 2);
}

static void begin_abort_nothing(World *world)
{
    stop(world, (EepScope){.pool = world->subject->pool});
}

static void finish_abort(World *world)
{
    expect_ok_or_refused(world, EEP_OP_ABORT, 1);
}

static void begin_abort_all(World *world)
{
    submit_one(world);
    if (world->caps.max_steps_in_flight >= 2)
        submit_one(world);
    if (world->caps.phases_during_step)
        start_phase(world);
    if (world->caps.moves_during_step)
        move(world, FALSE);
    stop(world, (EepScope){.pool = world->subject->pool, .epoch = world->subject->epoch});
}

/* What makes a group whole again, in its order; then a step. */
static void rejoin(World *world)
{
    static const guint32 kinds[] = {EEP_PHASE_STANDBY_GROUPS, EEP_PHASE_SWITCH};

    if (world->n_rejoined < G_N_ELEMENTS(kinds))
        world->second = start_phase_of(world, kinds[world->n_rejoined], world->subject->epoch);
    else
        world->first = submit_one(world);
    world->n_rejoined++;
}

/* The pool goes on after an abort; so a step must be possible, once all have ended. */
static void step_after_abort(World *world, const EepCompletion *completion)
{
    gboolean is_ok = completion->done == EEP_DONE_OK;

    if (completion->kind == EEP_OP_ABORT && is_ok)
        world->first = submit_one(world);
    else if (world->second != 0 && completion->id == world->second && is_ok)
        rejoin(world);
    else if (completion->id == world->first && !is_ok && world->n_rejoined == 0 &&
             world->subject->abort_breaks_group)
        rejoin(world);
    else if (world->first != 0 &&
             (completion->id == world->first || completion->id == world->second))
        expect(world, is_ok, "%s after the abort ended %s", eep_op_names[completion->kind],
               eep_done_names[completion->done]);
}

static void begin_abort_second(World *world)
{
    begin_two(world);
    stop(world, (EepScope){.op = world->second});
}

static void ended_abort_second(World *world, const EepCompletion *completion)
{
    if (completion->id == world->first)
        expect(world, completion->done == EEP_DONE_OK, "the step that was not aborted ended %s",
               eep_done_names[completion->done]);
}

static void finish_abort_second(World *world)
{
    finish_abort(world);
    guint n = 0;
    for (guint i = 0; i < EEP_DONE_COUNT; i++)
        n += world->n_done[EEP_OP_STEP][i];
    expect(world, n == 2, "%u of two steps ended", n);
}

static gboolean allows_kv_moves(const EepBackendCaps *caps)
{
    return caps->moves_kv;
}

static void begin_abort_move(World *world)
{
    stop(world, (EepScope){.op = move(world, TRUE)});
}

/* Who stays can move on, without a new group. */
static void ended_abort_move(World *world, const EepCompletion *completion)
{
    if (completion->kind == EEP_OP_ABORT && completion->done == EEP_DONE_OK)
        world->first = move(world, TRUE);
    else if (world->first != 0 && completion->id == world->first)
        expect(world, completion->done == EEP_DONE_OK, "a move after an aborted one ended %s",
               eep_done_names[completion->done]);
}

static void begin_phase(World *world)
{
    start_phase(world);
}

static const Scenario scenarios[] = {
    {"one step after another", NULL, begin_one, submit_next, finish_steps},
    {"two steps in flight", allows_two, begin_two, submit_next, finish_steps},
    {"one step in flight too many", has_step_limit, begin_too_many, NULL, finish_too_many},
    {"leaps", NULL, begin_leap, ended_leap, finish_leap},
    {"a dummy step", NULL, begin_dummy, NULL, finish_one},
    {"one rank too many", has_rank_limit, begin_too_wide, NULL, finish_too_wide},
    {"a phase", NULL, begin_phase, NULL, finish_phase},
    {"a phase during a step", allows_phases_during_step, begin_phase_during_step, NULL,
     finish_phase_during_step},
    {"moves", NULL, begin_moves, NULL, finish_moves},
    {"a move during a step", allows_moves_during_step, begin_move_during_step, NULL,
     finish_move_during_step},
    {"a load read", NULL, begin_one, read_after_step, finish_read},
    {"an abort of nothing", NULL, begin_abort_nothing, NULL, finish_abort},
    {"an abort of everything", NULL, begin_abort_all, step_after_abort, finish_abort},
    {"an abort of the second step", allows_two, begin_abort_second, ended_abort_second,
     finish_abort_second},
    {"an abort of a move", allows_kv_moves, begin_abort_move, ended_abort_move, finish_abort},
};

/* -- the machinery -- */

static void hash_event(World *world, const EepEvent *event)
{
    const guint64 words[] = {(guint64)event->time, event->a, event->b, event->c};
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        world->hash = (world->hash ^ words[i]) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
        world->hash ^= world->hash >> 32;
    }
}

enum { TIMER_BEGIN, TIMER_END };

static void schedule_timer(World *world, EepTime at, guint64 timer)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_MEASURE, 0),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_TIMER,
                      .a = timer};
    eep_loop_schedule(world->loop, at, &event);
}

static gboolean is_over(const World *world)
{
    return eep_operations_counts(world->operations).n_outstanding == 0;
}

/* A loop whose clock foresees ends by itself; others wait a while for what must not come. */
static void schedule_end(World *world)
{
    if (is_over(world) && !world->clock->ops->foresees)
        schedule_timer(world, eep_loop_now(world->loop) + GRACE, TIMER_END);
}

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    if (event->kind == EEP_EVENT_TIMER) {
        if (event->a == TIMER_BEGIN)
            world->scenario->begin(world);
        else if (is_over(world))
            eep_loop_stop(world->loop);
        return TRUE;
    }
    hash_event(world, event);
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    gboolean is_whole;
    /* A breach of which the checker knows must not upset the scenario's own counts. */
    if (!eep_operations_complete(world->operations, &completion, &is_whole) || !is_whole ||
        completion.kind >= EEP_OP_COUNT || completion.done >= EEP_DONE_COUNT)
        return TRUE;
    world->n_done[completion.kind][completion.done]++;
    world->forward += completion.n_steps;
    if (world->scenario->ended != NULL)
        world->scenario->ended(world, &completion);
    schedule_end(world);
    return TRUE;
}

static World *world_new(const EepContractSubject *subject, const Scenario *scenario)
{
    World *world = g_new0(World, 1);
    world->subject = subject;
    world->scenario = scenario;
    world->clock =
        subject->make_clock != NULL ? subject->make_clock(subject->self) : eep_clock_virtual_new();
    world->loop = eep_loop_new(world->clock, handle, world, NULL, NULL, NULL);
    world->operations = eep_operations_new();
    eep_operations_attach(world->operations, world->loop);
    world->backend = eep_backend_check_new(subject->make_backend(subject->self));
    world->backend->ops->attach(world->backend, world->loop);
    world->backend->ops->query_caps(world->backend, &world->caps);
    world->work = g_new0(EepEngineWork, subject->n_workers);
    for (guint i = 0; i < subject->n_workers; i++)
        world->work[i] = (EepEngineWork){
            .engine = subject->workers[i], .n_decodes = 4, .decode_context_tokens = 4000};
    return world;
}

static void world_free(World *world)
{
    eep_backend_free(world->backend);
    eep_operations_free(world->operations);
    eep_loop_free(world->loop);
    eep_clock_free(world->clock);
    g_free(world->work);
    g_free(world->failure);
    g_free(world);
}

/* *ret_hash also when the scenario fails. */
static gboolean run_scenario(const EepContractSubject *subject, const Scenario *scenario,
                             guint64 *ret_hash, GError **error)
{
    World *world = world_new(subject, scenario);
    g_autoptr(GError) failure = NULL;
    if (scenario->applies == NULL || scenario->applies(&world->caps)) {
        schedule_timer(world, 0, TIMER_BEGIN);
        eep_loop_run(world->loop, subject->limit, &failure);
        if (failure == NULL && eep_backend_check_finish(world->backend, &failure)) {
            if (scenario->finish != NULL)
                scenario->finish(world);
            if (world->failure != NULL)
                g_set_error_literal(&failure, EEP_BACKEND_CHECK_ERROR,
                                    EEP_BACKEND_CHECK_ERROR_BROKEN, world->failure);
        }
    }
    *ret_hash = world->hash;
    world_free(world);
    if (failure == NULL)
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&failure),
                               "scenario \"%s\": ", scenario->name);
    return FALSE;
}

/* A clock that foresees makes runs repeatable to the nanosecond. */
static gboolean run_again(const EepContractSubject *subject, const Scenario *scenario, guint64 hash,
                          GError **error)
{
    if (subject->make_clock != NULL)
        return TRUE;
    guint64 hash_again;
    if (!run_scenario(subject, scenario, &hash_again, error))
        return FALSE;
    if (hash_again == hash)
        return TRUE;
    g_set_error(error, EEP_BACKEND_CHECK_ERROR, EEP_BACKEND_CHECK_ERROR_BROKEN,
                "scenario \"%s\": the second run differs from the first", scenario->name);
    return FALSE;
}

/* With work outstanding nothing may crash or leak; sanitizers do the looking. */
static void free_early(const EepContractSubject *subject)
{
    static const Scenario early = {"freed early", NULL, begin_abort_all, NULL, NULL};
    World *world = world_new(subject, &early);
    begin_abort_all(world);
    world_free(world);
}

gboolean eep_contract_run(const EepContractSubject *subject, GError **error)
{
    g_return_val_if_fail(subject->n_workers >= 2 && subject->n_workers <= EEP_CONTRACT_MAX_WORKERS,
                         FALSE);
    for (guint i = 0; i < G_N_ELEMENTS(scenarios); i++) {
        guint64 hash;
        if (!run_scenario(subject, &scenarios[i], &hash, error) ||
            !run_again(subject, &scenarios[i], hash, error))
            return FALSE;
    }
    free_early(subject);
    return TRUE;
}
