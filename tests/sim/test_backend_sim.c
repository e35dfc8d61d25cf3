/* The simulated backend: conformance, order, aborts, load reads. */
#include "sim/backend_sim.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "core/inclusion.h"
#include "core/resize/phase.h"
#include "sim/predictor_sim.h"
#include "tests/contract/contract.h"
#include "tests/sim/sim_fixture.h"

#define N    4
#define STEP (5 * EEP_NS_PER_MS)

static EepModel model;
static EepHardware hardware;
static EepPoolOptions options;
static const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};

static void setup(void)
{
    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, N);
}

/* -- conformance -- */

static gboolean is_broken; /* the backends that are made have a slow worker and a slow link */

static EepBackend *make_backend(gpointer predictor)
{
    EepBackend *backend = eep_sim_backend_new(predictor);
    EepFaultInjector *injector = eep_sim_backend_injector(backend);

    if (is_broken) {
        injector->ops->slow_worker(injector, 5, 2.0);
        injector->ops->set_link(injector, 1, 0, 0.5);
    }
    return backend;
}

START_TEST(test_conforms)
{
    if (_i == 1)
        hardware.constant_step = STEP;
    is_broken = _i == 3;
    options.resize.background = _i == 3 ? 1.0 : 0.0;
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              _i == 2, 1);
    g_autoptr(EepPlacement) placement = eep_placement_new(58, 256, N, 72);
    const EepWorkerId workers[N] = {3, 5, 7, 9};
    EepContractSubject subject = {
        .make_backend = make_backend,
        .self = predictor,
        .pool = 1,
        .epoch = 1,
        .n_workers = N,
        .workers = workers,
        .placement = placement,
        .phase_kind = EEP_PHASE_LAUNCH,
        .limit = EEP_TIME_NEVER,
    };
    GError *error = NULL;
    gboolean ok = eep_contract_run(&subject, &error);
    ck_assert_msg(ok, "%s", ok ? "" : error->message);
}
END_TEST

/* -- a loop that writes down what ends when -- */

typedef struct {
    EepCompletion completion;
    EepTime at;
    guint64 version;
    guint n_windows;
    double *load; /* [n_windows][58][256] */
} Ended;

typedef struct {
    EepClock *clock;
    EepLoop *loop;
    EepPredictor *predictor;
    EepBackend *backend;
    GArray *ended;
    EepEngineWork work[N];
    EepStepPlan plan;
} World;

static gboolean note(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    Ended ended = {.at = event->time};
    eep_completion_from_event(event, &ended.completion);
    if (event->blob) {
        gsize size;
        const EepLoadReport *report = g_bytes_get_data(event->blob, &size);
        ck_assert_uint_eq(size, sizeof *report + report->n_windows * 58 * 256 * sizeof(double));
        ended.version = report->version;
        ended.n_windows = (guint)report->n_windows;
        ended.load = g_memdup2(report->tokens, size - sizeof *report);
    }
    g_array_append_val(world->ended, ended);
    return TRUE;
}

static void world_init(World *world, gboolean sampled)
{
    memset(world, 0, sizeof *world);
    world->clock = eep_clock_virtual_new();
    world->loop = eep_loop_new(world->clock, note, world, NULL, NULL, NULL);
    world->predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              sampled, 1);
    world->backend = eep_sim_backend_new(world->predictor);
    world->backend->ops->attach(world->backend, world->loop);
    world->ended = g_array_new(FALSE, FALSE, sizeof(Ended));
    fixture_decodes(&world->plan, world->work, N, 4, 1000);
}

static void world_clear(World *world)
{
    eep_backend_free(world->backend);
    eep_loop_free(world->loop);
    eep_clock_free(world->clock);
    eep_predictor_free(world->predictor);
    for (guint i = 0; i < world->ended->len; i++)
        g_free(g_array_index(world->ended, Ended, i).load);
    g_array_unref(world->ended);
}

static void submit(World *world, EepOpId id, guint64 step)
{
    world->plan.op.id = id;
    world->plan.first_step = step;
    world->backend->ops->submit_step(world->backend, &world->plan);
}

static void run(World *world)
{
    ck_assert(eep_loop_run(world->loop, EEP_TIME_NEVER - 1, NULL));
}

static const Ended *nth(const World *world, guint i)
{
    ck_assert_uint_lt(i, world->ended->len);
    return &g_array_index(world->ended, Ended, i);
}

START_TEST(test_second_step_begins_when_the_first_ends)
{
    hardware.constant_step = STEP;
    World world;
    world_init(&world, FALSE);
    submit(&world, 1, 0);
    submit(&world, 2, 1);
    submit(&world, 3, 2); /* one too many */
    run(&world);
    ck_assert_uint_eq(world.ended->len, 3);
    ck_assert_uint_eq(nth(&world, 0)->completion.id, 3);
    ck_assert_int_eq(nth(&world, 0)->completion.done, EEP_DONE_REFUSED);
    ck_assert_uint_eq(nth(&world, 1)->completion.id, 1);
    ck_assert_int_eq(nth(&world, 1)->at, STEP);
    ck_assert_uint_eq(nth(&world, 1)->completion.n_steps, 1);
    ck_assert_uint_eq(nth(&world, 2)->completion.id, 2);
    ck_assert_int_eq(nth(&world, 2)->at, 2 * STEP);
    world_clear(&world);
}
END_TEST

START_TEST(test_step_time_is_the_predictor_s)
{
    World world;
    world_init(&world, FALSE);
    EepStepCost cost;
    world.predictor->ops->step(world.predictor, &world.plan, &cost);
    submit(&world, 1, 0);
    run(&world);
    ck_assert_int_eq(nth(&world, 0)->at, cost.step);
    ck_assert_int_gt(cost.step, EEP_NS_PER_MS);
    world_clear(&world);
}
END_TEST

START_TEST(test_abort_ends_steps_and_their_load)
{
    hardware.constant_step = STEP;
    World world;
    world_init(&world, FALSE);
    submit(&world, 1, 0);
    run(&world);
    submit(&world, 2, 1);
    submit(&world, 3, 2);
    EepOp stop = {.id = 4, .pool = 1, .epoch = 1};
    world.backend->ops->abort(world.backend, &stop, &(EepScope){.pool = 1, .epoch = 1});
    run(&world);
    ck_assert_uint_eq(world.ended->len, 4);
    for (guint i = 1; i <= 2; i++) {
        ck_assert_uint_eq(nth(&world, i)->completion.id, i + 1);
        ck_assert_int_eq(nth(&world, i)->completion.done, EEP_DONE_ABORTED);
        ck_assert_uint_eq(nth(&world, i)->completion.n_steps, 0);
        ck_assert_int_eq(nth(&world, i)->at, STEP);
    }
    ck_assert_uint_eq(nth(&world, 3)->completion.id, 4);
    ck_assert_int_eq(nth(&world, 3)->completion.done, EEP_DONE_OK);

    /* The machine is free at once, and only the step that happened counts: 4 engines x 4 tokens x
     * top-8 in each of 58 layers. */
    submit(&world, 5, 1);
    run(&world);
    ck_assert_int_eq(nth(&world, 4)->at, 2 * STEP);
    EepOp read = {.id = 6, .pool = 1, .epoch = 1};
    world.backend->ops->read_load(world.backend, &read, 0, 1, 1);
    run(&world);
    double sum = 0.0;
    for (guint i = 0; i < 58 * 256; i++)
        sum += nth(&world, 5)->load[i];
    ck_assert_double_eq_tol(sum, 58.0 * 16 * 8, 1e-6);
    world_clear(&world);
}
END_TEST

START_TEST(test_load_window)
{
    hardware.constant_step = STEP;
    World world;
    world_init(&world, _i == 1);
    for (guint step = 0; step < 6; step++) {
        world.plan.is_dummy = step == 2;
        world.work[0].n_decodes = step < 4 ? 4 : 8;
        submit(&world, step + 1, step);
        run(&world);
    }
    EepOp read = {.id = 9, .pool = 1, .epoch = 1};
    world.backend->ops->read_load(world.backend, &read, 1, 5, 1);
    run(&world);
    /* Steps 1 and 3 of 16 tokens, 4 of 20; 2 is a dummy. */
    double sum = 0.0;
    for (guint i = 0; i < 58 * 256; i++)
        sum += nth(&world, 6)->load[i];
    ck_assert_double_eq_tol(sum, 58.0 * 8 * (16 + 16 + 20), 1e-6);
    /* Draws of other steps are not proportional to these. */
    if (_i == 1)
        ck_assert_uint_eq(nth(&world, 6)->version, 0);
    else
        ck_assert_uint_eq(nth(&world, 6)->version,
                          world.predictor->ops->popularity_version(world.predictor));
    world_clear(&world);
}
END_TEST

/* Popularity shifts at step 20 and is asked again every period of steps; a window from before to
 * behind is the sum of its steps, each by the popularity and the kinds of tokens it had. */
START_TEST(test_load_window_over_a_shift)
{
    EepSkewOptions drifting = skew;
    drifting.drift.kind = EEP_DRIFT_SHIFT;
    drifting.drift.at = 20 * STEP;
    drifting.drift.period = _i ? 1 : 8;
    drifting.classes = 1;
    drifting.decode_correlation = 0.4;
    hardware.constant_step = STEP;
    g_autoptr(EepSkew) law = eep_skew_new(&drifting, 1, 58, 256, NULL, NULL, NULL);
    World world;
    world_init(&world, FALSE);
    eep_backend_free(world.backend);
    eep_predictor_free(world.predictor);
    world.predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&drifting, 1, 58, 256, NULL, NULL, NULL), FALSE, 1);
    world.backend = eep_sim_backend_new(world.predictor);
    world.backend->ops->attach(world.backend, world.loop);

    g_autofree double *expected = g_new0(double, 58 * 256);
    double p[256], pi[256];
    for (guint step = 0; step < 32; step++) {
        const guint prefill = step % 4 == 3 ? 100 : 0;
        const guint look = step - step % (guint)drifting.drift.period;
        memset(&world.work[1], 0, sizeof world.work[1]);
        world.work[1].n_decodes = 4;
        if (prefill > 0)
            fixture_add_prefill(&world.work[1], prefill);
        submit(&world, step + 1, step);
        run(&world);
        for (guint l = 0; step >= 3 && step < 30 && l < 58; l++)
            for (guint decode = 0; decode < 2; decode++) {
                eep_skew_popularity(law, look * STEP, decode, l, p);
                eep_inclusion(p, 256, 8, pi);
                for (guint e = 0; e < 256; e++)
                    expected[l * 256 + e] += (decode ? 16 : prefill) * pi[e];
            }
    }
    EepOp read = {.id = 99, .pool = 1, .epoch = 1};
    world.backend->ops->read_load(world.backend, &read, 3, 30, 1);
    run(&world);
    for (guint i = 0; i < 58 * 256; i++)
        ck_assert_double_eq_tol(nth(&world, 32)->load[i], expected[i], 1e-9 * expected[i]);
    ck_assert_uint_eq(nth(&world, 32)->version, 0);
    ck_assert_uint_eq(world.predictor->ops->popularity_version(world.predictor), 2);
    world_clear(&world);
}
END_TEST

/* Seven steps in three pieces: two steps, two and the rest; each is what a read of its own steps
 * brings, the third being of steps of two sizes. */
START_TEST(test_load_in_pieces)
{
    static const guint64 begin[] = {1, 3, 5, 8};
    hardware.constant_step = STEP;
    World world;
    world_init(&world, _i == 1);
    for (guint step = 0; step < 9; step++) {
        world.work[0].n_decodes = step < 6 ? 4 : 8;
        submit(&world, step + 1, step);
        run(&world);
    }
    EepOp read = {.id = 20, .pool = 1, .epoch = 1};
    world.backend->ops->read_load(world.backend, &read, 1, 8, 3);
    run(&world);
    const Ended *whole = nth(&world, 9);
    ck_assert_uint_eq(whole->n_windows, 3);
    ck_assert(_i == 1 || whole->version != 0);
    double sum = 0.0;
    for (guint piece = 0; piece < 3; piece++) {
        read.id++;
        world.backend->ops->read_load(world.backend, &read, begin[piece], begin[piece + 1], 1);
        run(&world);
        whole = nth(&world, 9);
        const Ended *part = nth(&world, 10 + piece);
        ck_assert_uint_eq(part->n_windows, 1);
        for (guint i = 0; i < 58 * 256; i++) {
            ck_assert_double_eq(whole->load[piece * 58 * 256 + i], part->load[i]);
            sum += part->load[i];
        }
    }
    ck_assert_double_eq_tol(sum, 58.0 * 8 * (5 * 16 + 2 * 20), 1e-5);
    world_clear(&world);
}
END_TEST

/* More pieces than steps: those without any are empty and spoil nothing. */
START_TEST(test_load_in_more_pieces_than_steps)
{
    hardware.constant_step = STEP;
    World world;
    world_init(&world, FALSE);
    submit(&world, 1, 0);
    run(&world);
    EepOp read = {.id = 20, .pool = 1, .epoch = 1};
    world.backend->ops->read_load(world.backend, &read, 0, 1, 4);
    run(&world);
    const Ended *ended = nth(&world, 1);
    ck_assert_uint_eq(ended->n_windows, 4);
    ck_assert_uint_ne(ended->version, 0);
    double sum[4] = {0};
    for (guint i = 0; i < 4 * 58 * 256; i++)
        sum[i / (58 * 256)] += ended->load[i];
    for (guint piece = 0; piece < 3; piece++)
        ck_assert_double_eq(sum[piece], 0.0);
    ck_assert_double_eq_tol(sum[3], 58.0 * 8 * 16, 1e-6);
    world_clear(&world);
}
END_TEST

START_TEST(test_phase_ends_on_each_worker_then_whole)
{
    World world;
    world_init(&world, FALSE);
    const EepWorkerId workers[] = {11, 12, 13};
    /* Two new engines from one old one: its receivers wait for each other. */
    EepPhase phase = {
        .op = {.id = 1, .pool = 1, .epoch = 1},
        .kind = EEP_PHASE_WEIGHTS_FROM_PEER,
        .n_workers = 3,
        .workers = workers,
        .n_ranks_old = 1,
        .n_ranks_new = 3,
        .bytes = 17000000000,
        .n_receivers = 2,
    };
    world.backend->ops->start_phase(world.backend, &phase);
    run(&world);
    ck_assert_uint_eq(world.ended->len, 4);
    EepTime one = eep_time_from_seconds(17e9 / (450e9 * 0.7) + 4e-6);
    ck_assert_uint_eq(nth(&world, 0)->completion.worker, 12);
    ck_assert_int_eq(nth(&world, 0)->at, one);
    ck_assert_uint_eq(nth(&world, 1)->completion.worker, 11); /* the sender is busy for both */
    ck_assert_uint_eq(nth(&world, 2)->completion.worker, 13);
    ck_assert_int_le(llabs(nth(&world, 2)->at - 2 * one), 1);
    ck_assert_uint_eq(nth(&world, 3)->completion.worker, 0);
    ck_assert_int_eq(nth(&world, 3)->at, nth(&world, 2)->at);
    world_clear(&world);
}
END_TEST

START_TEST(test_abort_of_a_worker)
{
    World world;
    world_init(&world, FALSE);
    const EepWorkerId mine[] = {1}, other[] = {2};
    EepPhase phase = {.op = {.id = 1, .pool = 1, .epoch = 1},
                      .kind = EEP_PHASE_LAUNCH,
                      .n_workers = 1,
                      .workers = mine};
    world.backend->ops->start_phase(world.backend, &phase);
    phase.op.id = 2;
    phase.workers = other;
    world.backend->ops->start_phase(world.backend, &phase);
    EepOp stop = {.id = 3, .pool = 1, .epoch = 1};
    world.backend->ops->abort(world.backend, &stop, &(EepScope){.pool = 1, .worker = 1});
    run(&world);
    ck_assert_uint_eq(world.ended->len, 5);
    ck_assert_uint_eq(nth(&world, 0)->completion.id, 1);
    ck_assert_int_eq(nth(&world, 0)->completion.done, EEP_DONE_ABORTED);
    ck_assert_uint_eq(nth(&world, 1)->completion.id, 1);
    ck_assert_uint_eq(nth(&world, 2)->completion.id, 3);
    ck_assert_uint_eq(nth(&world, 3)->completion.id, 2);
    ck_assert_int_eq(nth(&world, 3)->completion.done, EEP_DONE_OK);
    ck_assert_int_eq(nth(&world, 3)->at, 17 * EEP_NS_PER_S);
    world_clear(&world);
}
END_TEST

START_TEST(test_moves_take_turns)
{
    World world;
    world_init(&world, FALSE);
    EepTransfer transfer = {.from_rank = 0, .to_rank = 1};
    EepMove move = {.op = {.id = 1, .pool = 1, .epoch = 1},
                    .n_transfers = 1,
                    .transfers = &transfer,
                    .bytes_each = 44040192,
                    .n_ranks = N};
    EepTime one = world.predictor->ops->move(world.predictor, &move, NULL);
    world.backend->ops->move(world.backend, &move);
    move.op.id = 2;
    world.backend->ops->move(world.backend, &move);
    run(&world);
    ck_assert_int_eq(nth(&world, 0)->at, one);
    ck_assert_int_eq(nth(&world, 1)->at, 2 * one);
    world_clear(&world);
}
END_TEST

/* Ends of a step that begins at 0 and of a move of `n` experts that begins 1 ms later. */
static void overlap(double contention, guint n, EepTime *ret_step, EepTime *ret_move,
                    EepTime *ret_alone, EepTime *ret_link, double *ret_all2all)
{
    options.eplb_config.contention = contention;
    World world;
    world_init(&world, FALSE);
    g_autoptr(EepPlacement) placement = eep_placement_new(58, 256, N, 72);
    world.plan.placement = placement;
    EepStepCost cost;
    world.predictor->ops->step(world.predictor, &world.plan, &cost);
    *ret_alone = cost.step;
    *ret_all2all = cost.all2all_s / eep_time_to_seconds(cost.step);
    g_autofree EepTransfer *transfers = g_new0(EepTransfer, n);
    for (guint i = 0; i < n; i++)
        transfers[i].to_rank = 1;
    EepMove move = {.op = {.id = 2, .pool = 1, .epoch = 1},
                    .n_transfers = n,
                    .transfers = transfers,
                    .bytes_each = 44040192,
                    .n_ranks = N};
    EepTime link, whole = world.predictor->ops->move(world.predictor, &move, &link);
    *ret_link = link;
    ck_assert_int_gt(whole, link); /* first what needs no links */
    submit(&world, 1, 0);
    world.backend->ops->move(world.backend, &move);
    submit(&world, 3, 1);
    run(&world);
    EepTime second = 0;
    for (guint i = 0; i < world.ended->len; i++) {
        const Ended *ended = nth(&world, i);
        ck_assert_int_eq(ended->completion.done, EEP_DONE_OK);
        EepTime *end = ended->completion.id == 1   ? ret_step
                       : ended->completion.id == 2 ? ret_move
                                                   : &second;
        *end = ended->at;
    }
    ck_assert_uint_eq(world.ended->len, 3);
    /* The step behind follows at once. */
    if (*ret_move <= *ret_step)
        ck_assert_int_eq(second - *ret_step, cost.step);
    else
        ck_assert_int_ge(second - *ret_step, cost.step);
    world_clear(&world);
}

START_TEST(test_moves_and_steps_share_the_links)
{
    EepTime step, move, alone, link;
    double a;
    hardware.eplb_layer_overhead = 1 * EEP_NS_PER_MS;
    overlap(0.0, 10, &step, &move, &alone, &link, &a);
    ck_assert_int_eq(step, alone);
    ck_assert_int_eq(move, EEP_NS_PER_MS + link);
    ck_assert_double_gt(a, 0.02);
    ck_assert_int_lt(move, step); /* the transfers lie within the step */
    overlap(0.5, 10, &step, &move, &alone, &link, &a);
    ck_assert_int_le(ABS(step - alone - (EepTime)(a * (double)link)), 2);
    ck_assert_int_le(ABS(move - EEP_NS_PER_MS - (EepTime)((1 + a) * (double)link)), 2);
    /* Transfers over both steps and beyond: what the steps lose is what they overlap. */
    overlap(0.5, 1000, &step, &move, &alone, &link, &a);
    ck_assert_int_gt(move, 2 * step);
    ck_assert_int_le(
        ABS(step - EEP_NS_PER_MS - (EepTime)((1 + a) * (double)(alone - EEP_NS_PER_MS))), 2);
}
END_TEST

/* A copy of KV takes links from steps as experts do, and waits for moves before it. */
START_TEST(test_kv_shares_the_links)
{
    const gint64 bytes[] = {44040192, 88080384};
    const EepTransfer transfers[] = {{.from_rank = 0, .to_rank = 1},
                                     {.from_rank = 0, .to_rank = 2}};
    options.eplb_config.contention = 0.5;
    World world;
    world_init(&world, FALSE);
    g_autoptr(EepPlacement) placement = eep_placement_new(58, 256, N, 72);
    world.plan.placement = placement;
    EepStepCost cost;
    world.predictor->ops->step(world.predictor, &world.plan, &cost);
    EepMove move = {.op = {.id = 2, .pool = 1, .epoch = 1},
                    .is_kv = TRUE,
                    .n_transfers = 2,
                    .transfers = transfers,
                    .bytes = bytes,
                    .n_ranks = N,
                    .to_pool = 1};
    const double a = cost.all2all_s / eep_time_to_seconds(cost.step);
    const EepTime alone = world.predictor->ops->move(world.predictor, &move, NULL);
    submit(&world, 1, 0);
    world.backend->ops->move(world.backend, &move);
    move.op.id = 3;
    world.backend->ops->move(world.backend, &move);
    run(&world);
    ck_assert_uint_eq(world.ended->len, 3);
    for (guint i = 0; i < 3; i++) {
        const Ended *ended = nth(&world, i);
        const EepOpId id = ended->completion.id;
        const EepTime expected = id == 1 ? cost.step + (EepTime)(2 * a * (double)alone)
                                         : (EepTime)((1 + a) * (double)alone) * (EepTime)(id - 1);
        ck_assert_int_eq(ended->completion.kind, id == 1 ? EEP_OP_STEP : EEP_OP_MOVE_KV);
        ck_assert_int_le(ABS(ended->at - expected), 4);
    }
    world_clear(&world);
}
END_TEST

START_TEST(test_a_single_rank_has_no_all_to_all)
{
    options.eplb_config.contention = 0.5;
    World world;
    world_init(&world, FALSE);
    world.plan.n_engines = 1;
    EepStepCost cost;
    world.predictor->ops->step(world.predictor, &world.plan, &cost);
    EepTransfer transfer = {.from_rank = 0, .to_rank = 1};
    EepMove move = {.op = {.id = 2, .pool = 1, .epoch = 1},
                    .n_transfers = 1,
                    .transfers = &transfer,
                    .bytes_each = 44040192,
                    .n_ranks = N};
    world.backend->ops->move(world.backend, &move);
    submit(&world, 1, 0);
    run(&world);
    ck_assert_int_eq(nth(&world, 1)->at, cost.step);
    world_clear(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend_sim");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, test_conforms, 0, 4);
    tcase_add_test(tcase, test_second_step_begins_when_the_first_ends);
    tcase_add_test(tcase, test_step_time_is_the_predictor_s);
    tcase_add_test(tcase, test_abort_ends_steps_and_their_load);
    tcase_add_loop_test(tcase, test_load_window, 0, 2);
    tcase_add_loop_test(tcase, test_load_window_over_a_shift, 0, 2);
    tcase_add_loop_test(tcase, test_load_in_pieces, 0, 2);
    tcase_add_test(tcase, test_load_in_more_pieces_than_steps);
    tcase_add_test(tcase, test_phase_ends_on_each_worker_then_whole);
    tcase_add_test(tcase, test_abort_of_a_worker);
    tcase_add_test(tcase, test_moves_take_turns);
    tcase_add_test(tcase, test_moves_and_steps_share_the_links);
    tcase_add_test(tcase, test_kv_shares_the_links);
    tcase_add_test(tcase, test_a_single_rank_has_no_all_to_all);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
