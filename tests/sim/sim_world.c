#include "tests/sim/sim_world.h"

#include <check.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "tests/sim/sim_fixture.h"

#define N SIM_WORLD_ENGINES

typedef struct {
    EepCompletion completion;
    EepTime at;
} Ended;

SimWorld sim_world;

static gboolean note(gpointer self, const EepEvent *event, GError **error)
{
    Ended ended = {.at = event->time};

    if (event->kind == EEP_EVENT_OP_DONE) {
        eep_completion_from_event(event, &ended.completion);
        g_array_append_val(sim_world.ended, ended);
    }
    return TRUE;
}

void world_setup(void)
{
    memset(&sim_world, 0, sizeof sim_world);
    fixture_deepseek_v3(&sim_world.model);
    fixture_h100(&sim_world.hardware);
    fixture_pool(&sim_world.options, N);
    sim_world.options.all2all_backend = EEP_ALL2ALL_DEEPEP_LOW_LATENCY;
    sim_world.skew = (EepSkewOptions){EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};
    sim_world.clock = eep_clock_virtual_new();
    sim_world.loop = eep_loop_new(sim_world.clock, note, NULL, NULL, NULL, NULL);
    sim_world.predictor = eep_sim_predictor_new(
        &sim_world.model, &sim_world.hardware, &sim_world.options,
        eep_skew_new(&sim_world.skew, 1, 58, 256, NULL, NULL, NULL), FALSE, 1);
    sim_world.backend = eep_sim_backend_new(sim_world.predictor);
    sim_world.backend->ops->attach(sim_world.backend, sim_world.loop);
    sim_world.injector = eep_sim_backend_injector(sim_world.backend);
    sim_world.placement = eep_placement_new(58, 256, N, 18);
    sim_world.ended = g_array_new(FALSE, FALSE, sizeof(Ended));
    fixture_decodes(&sim_world.plan, sim_world.work, N, 64, 2000);
    sim_world.plan.placement = sim_world.placement;
}

void world_teardown(void)
{
    eep_backend_free(sim_world.backend);
    eep_loop_free(sim_world.loop);
    eep_clock_free(sim_world.clock);
    eep_predictor_free(sim_world.predictor);
    eep_placement_free(sim_world.placement);
    g_array_unref(sim_world.ended);
}

void world_submit(EepOpId id)
{
    sim_world.plan.op.id = id;
    sim_world.plan.first_step = id;
    sim_world.backend->ops->submit_step(sim_world.backend, &sim_world.plan);
}

EepPhase world_phase_of(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers)
{
    return (EepPhase){.op = {.id = id, .pool = 1, .epoch = 1},
                      .kind = kind,
                      .n_workers = n,
                      .workers = workers,
                      .n_ranks_old = N,
                      .n_ranks_new = N};
}

void world_start_phase(EepOpId id, EepPhaseKind kind, guint n, const EepWorkerId *workers)
{
    const EepPhase phase = world_phase_of(id, kind, n, workers);
    sim_world.backend->ops->start_phase(sim_world.backend, &phase);
}

EepMove world_move_of(EepOpId id, const EepTransfer *transfers, guint n)
{
    return (EepMove){.op = {.id = id, .pool = 1, .epoch = 1},
                     .n_transfers = n,
                     .transfers = transfers,
                     .bytes_each = 44040192,
                     .n_ranks = N};
}

void world_move(EepOpId id, guint from, guint to)
{
    const EepTransfer transfer = {.from_rank = from, .to_rank = to};
    const EepMove all = world_move_of(id, &transfer, 1);
    sim_world.backend->ops->move(sim_world.backend, &all);
}

void world_abort_all(EepOpId id)
{
    const EepOp op = {.id = id, .pool = 1, .epoch = 1};
    sim_world.backend->ops->abort(sim_world.backend, &op, &(EepScope){.pool = 1, .epoch = 1});
}

void world_run(EepTime until)
{
    ck_assert(eep_loop_run(sim_world.loop, until, NULL));
}

void world_run_all(void)
{
    world_run(EEP_TIME_NEVER - 1);
}

void world_pass_to(EepTime at)
{
    const EepEvent event = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_TIMER};

    eep_loop_schedule(sim_world.loop, at, &event);
    world_run(at);
}

EepTime world_end_of(EepOpId id, EepWorkerId worker, EepDone done)
{
    EepTime at = EEP_TIME_NEVER;

    for (guint i = 0; i < sim_world.ended->len; i++) {
        const Ended *ended = &g_array_index(sim_world.ended, Ended, i);
        if (ended->completion.id != id || ended->completion.worker != worker)
            continue;
        ck_assert_msg(at == EEP_TIME_NEVER, "operation %u ended twice", (guint)id);
        ck_assert_int_eq(ended->completion.done, done);
        at = ended->at;
    }
    return at;
}

EepTime world_cost_of_step(EepStepCost *ret_cost)
{
    sim_world.predictor->ops->step(sim_world.predictor, &sim_world.plan, ret_cost);
    return ret_cost->step;
}
