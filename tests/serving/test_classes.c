/* Tokens by request class in step plans. Each request in turn is made the only one of its class in
 * a run that is otherwise the same; what its class is charged must be what it had by its times, and
 * in a run of four classes each class's tokens must be those of its requests. Runs have
 * preemptions, chunked prefills, failing steps, engines that stand still, requests that starve and
 * asynchronous planning. */
#include <check.h>
#include <string.h>

#include "core/engine/pool_internal.h"
#include "core/rng.h"
#include "tests/serving/serving_kit.h"

#define STEP       10
#define N_REQUESTS 24
#define MAX_STEPS  4096

/* A backend that notes each step's classes before it hands it on. A step that is planned anew
 * overwrites what it was. */
typedef struct {
    EepBackend base;
    EepBackend *inner;
    EepClassTokens steps[MAX_STEPS][EEP_SKEW_MAX_CLASSES];
    guint64 n_steps;
} Recorder;

static Recorder *recorder;

static void recorder_attach(EepBackend *backend, EepLoop *loop)
{
    Recorder *self = (Recorder *)backend;
    backend->loop = loop;
    self->inner->ops->attach(self->inner, loop);
}

static void recorder_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    const EepBackend *inner = ((const Recorder *)backend)->inner;
    inner->ops->query_caps(inner, ret_caps);
}

static void recorder_free(EepBackend *backend)
{
    eep_backend_free(((Recorder *)backend)->inner);
}

static void recorder_submit(EepBackend *backend, const EepStepPlan *plan)
{
    Recorder *self = (Recorder *)backend;
    guint64 decodes = 0, prefills = 0;

    ck_assert_uint_eq(plan->n_classes, EEP_SKEW_MAX_CLASSES);
    ck_assert_uint_lt(plan->first_step, MAX_STEPS);
    for (guint i = 0; i < plan->n_engines; i++) {
        decodes += plan->work[i].n_decodes;
        prefills += plan->work[i].n_prefill_tokens;
    }
    for (guint i = 0; i < plan->n_classes; i++) {
        decodes -= plan->classes[i].n_decodes;
        prefills -= plan->classes[i].n_prefill_tokens;
    }
    ck_assert_uint_eq(decodes, 0);
    ck_assert_uint_eq(prefills, 0);
    memcpy(self->steps[plan->first_step], plan->classes, sizeof self->steps[0]);
    self->n_steps = plan->first_step + 1;
    self->inner->ops->submit_step(self->inner, plan);
}

static void recorder_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    EepBackend *inner = ((Recorder *)backend)->inner;
    inner->ops->abort(inner, op, scope);
}

static const EepBackendOps recorder_ops = {
    .size = sizeof(EepBackendOps),
    .name = "recorder",
    .attach = recorder_attach,
    .query_caps = recorder_query_caps,
    .free = recorder_free,
    .submit_step = recorder_submit,
    .start_phase = eep_backend_no_start_phase,
    .move = eep_backend_no_move,
    .read_load = eep_backend_no_read_load,
    .abort = recorder_abort,
};

/* -- runs -- */

typedef struct {
    EepArrival requests[N_REQUESTS];
    gboolean async_scheduling, by_priority, pauses;
    guint fail_every;
} Case;

static void draw(Case *it, guint seed)
{
    EepRng rng;
    EepTime at = 0;

    eep_rng_init(&rng, seed, "classes");
    *it = (Case){.async_scheduling = seed & 1,
                 .by_priority = seed >> 1 & 1,
                 .fail_every = seed >> 2 & 1 ? 5 : 0,
                 .pauses = seed >> 3 & 1};
    for (guint i = 0; i < N_REQUESTS; i++) {
        at += (EepTime)eep_rng_below(&rng, 40);
        it->requests[i] = (EepArrival){.arrival = at,
                                       .prompt_tokens = 1 + (guint32)eep_rng_below(&rng, 30),
                                       .output_tokens = 1 + (guint32)eep_rng_below(&rng, 40),
                                       .priority = (gint32)eep_rng_below(&rng, 3)};
    }
}

/* The first engine stands still for a while, with all that decodes on it. */
static void stand_still(gpointer self, EepPool *pool, EepTime now)
{
    pool->engines[0]->pause = now >= 15 * STEP && now < 30 * STEP ? EEP_PAUSE_ALL : EEP_PAUSE_NONE;
}

/* The steps that were committed are the first ones of *recorder. */
static KitRun *run_case(const Case *it, const guint8 *classes)
{
    EepArrival requests[N_REQUESTS];
    KitConfig config;

    memcpy(requests, it->requests, sizeof requests);
    for (guint i = 0; i < N_REQUESTS; i++)
        requests[i].request_class = classes[i];
    kit_config_init(&config);
    config.options.data_parallel_size = 2;
    config.options.max_num_batched_tokens = 16;
    config.options.async_scheduling = it->async_scheduling;
    config.options.scheduling_policy =
        it->by_priority ? EEP_SCHEDULING_PRIORITY : EEP_SCHEDULING_FCFS;
    config.shape.max_engines = 2;
    config.shape.n_blocks = 24;
    config.shape.n_classes = EEP_SKEW_MAX_CLASSES;
    config.costs.step = STEP;
    config.fail_every = it->fail_every;
    config.watch = it->pauses ? stand_still : NULL;
    memset(recorder, 0, sizeof *recorder);
    recorder->base.ops = &recorder_ops;
    recorder->inner = desk_backend_new(&config.costs);
    config.backend = &recorder->base;
    KitRun *run = kit_must_run(&config, requests, N_REQUESTS);
    kit_config_clear(&config);
    return run;
}

/* What request `id` had, as the only one of class 1. */
static void check_alone(const KitRun *run, const Case *it, guint id)
{
    const KitResult *result = &run->results[id];
    const guint32 prompt = it->requests[id].prompt_tokens, output = it->requests[id].output_tokens;
    guint64 decodes = 0, prefills = 0;

    for (guint64 step = 0; step < run->n_steps; step++) {
        const EepClassTokens *mine = &recorder->steps[step][1];

        ck_assert_uint_le(mine->n_decodes, 1);
        ck_assert(mine->n_decodes == 0 || mine->n_prefill_tokens == 0);
        decodes += mine->n_decodes;
        prefills += mine->n_prefill_tokens;
    }
    if (result->fate != EEP_FATE_COMPLETED) {
        ck_assert_uint_eq(decodes + prefills, 0);
    } else if (result->preemptions == 0) {
        ck_assert_uint_eq(prefills, prompt);
        ck_assert_uint_eq(decodes, output - 1);
    } else { /* each prefill but the first brings one of the tokens, and computes those known anew
              */
        ck_assert_uint_le(decodes, output - 1);
        ck_assert_uint_ge(decodes + result->preemptions, output - 1);
        ck_assert_uint_ge(prefills, prompt);
    }
}

START_TEST(test_classes_are_sums_of_requests)
{
    static EepClassTokens alone[MAX_STEPS][EEP_SKEW_MAX_CLASSES];
    guint8 classes[N_REQUESTS], one[N_REQUESTS];
    guint n_preemptions = 0;
    Case it;

    draw(&it, (guint)_i);
    memset(alone, 0, sizeof alone);
    for (guint i = 0; i < N_REQUESTS; i++)
        classes[i] = (guint8)((i * 7 + (guint)_i) % EEP_SKEW_MAX_CLASSES);
    for (guint id = 0; id < N_REQUESTS; id++) {
        memset(one, 0, sizeof one);
        one[id] = 1;
        g_autoptr(KitRun) run = run_case(&it, one);
        check_alone(run, &it, id);
        n_preemptions += run->results[id].preemptions;
        for (guint64 step = 0; step < run->n_steps; step++) {
            alone[step][classes[id]].n_decodes += recorder->steps[step][1].n_decodes;
            alone[step][classes[id]].n_prefill_tokens += recorder->steps[step][1].n_prefill_tokens;
        }
    }
    g_autoptr(KitRun) run = run_case(&it, classes);
    for (guint64 step = 0; step < run->n_steps; step++)
        ck_assert_mem_eq(recorder->steps[step], alone[step], sizeof alone[step]);
    ck_assert_uint_gt(n_preemptions, 0);
    if (it.fail_every > 0)
        ck_assert_uint_gt(run->counts.n_discarded_steps, 0);
}
END_TEST

/* A plan keeps how many classes there are, whatever becomes of its step. */
START_TEST(test_plan_keeps_its_classes)
{
    EepPlan plan;

    eep_plan_init(&plan);
    ck_assert_uint_eq(plan.n_classes, 0);
    plan.n_classes = 3;
    eep_plan_reset(&plan, 7, 2);
    ck_assert_uint_eq(plan.n_classes, 3);
    eep_plan_clear(&plan);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("classes");
    recorder = g_new0(Recorder, 1);
    tcase_add_loop_test(tcase, test_classes_are_sums_of_requests, 0, 16);
    tcase_add_test(tcase, test_plan_keeps_its_classes);
    int status = kit_main("classes", tcase);
    g_free(recorder);
    return status;
}
