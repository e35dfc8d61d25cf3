/* The conformance suite on the simulator's backend: as it is, and with the decorators around it
 * that a run puts there, which must not break what it promises. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "core/loop/backend_check.h"
#include "core/loop/backend_fault.h"
#include "core/loop/backend_trace.h"
#include "core/resize/phase.h"
#include "sim/backend_sim.h"
#include "sim/predictor_sim.h"
#include "tests/contract/contract.h"
#include "tests/serving/desk_backend.h"
#include "tests/sim/sim_fixture.h"

#define N_ENGINES 4

typedef enum {
    PLAIN,
    FAULTS_THAT_NEVER_HIT,
    FAULT_AND_CHECK,
    CHECK_FAULT_TRACE,
    DELAYED_STEPS,
    DELAYED_EVERYTHING,
    RECIPE_COUNT,
} RecipeKind;

typedef struct {
    RecipeKind kind;
    EepPredictor *predictor;
} Recipe;

static const EepSkewOptions skew = {EEP_SKEW_ZIPF, 0.8, EEP_SKEW_LAYERS_INDEPENDENT};

static void forget_span(gpointer self, const EepTraceSpan *span)
{
}

static EepBackend *delayed(EepBackend *inner, guint n_kinds, EepTime delay)
{
    static const EepOpKind kinds[] = {EEP_OP_STEP, EEP_OP_PHASE, EEP_OP_MOVE_EXPERTS,
                                      EEP_OP_MOVE_KV, EEP_OP_READ_LOAD};
    EepFaultRule rules[G_N_ELEMENTS(kinds)];

    g_assert(n_kinds <= G_N_ELEMENTS(kinds));
    for (guint i = 0; i < n_kinds; i++)
        rules[i] = (EepFaultRule){.kind = kinds[i], .action = EEP_FAULT_DELAY, .delay = delay};
    return eep_backend_fault_new(inner, rules, n_kinds);
}

static EepBackend *make(gpointer self)
{
    static const EepFaultRule never = {
        .kind = EEP_OP_STEP, .nth = G_MAXUINT64, .action = EEP_FAULT_REFUSE};
    const Recipe *recipe = self;
    EepBackend *sim = eep_sim_backend_new(recipe->predictor);

    switch (recipe->kind) {
    case FAULTS_THAT_NEVER_HIT:
        return eep_backend_fault_new(sim, &never, 1);
    case FAULT_AND_CHECK:
        return eep_backend_fault_new(eep_backend_check_new(sim), &never, 1);
    case CHECK_FAULT_TRACE:
        return eep_backend_check_new(
            eep_backend_fault_new(eep_backend_trace_new(sim, forget_span, NULL), &never, 1));
    case DELAYED_STEPS:
        return eep_backend_check_new(delayed(sim, 1, 3 * EEP_NS_PER_MS));
    case DELAYED_EVERYTHING:
        return eep_backend_check_new(delayed(sim, 5, 1));
    default:
        return sim;
    }
}

static gboolean conforms(EepBackend *(*make_backend)(gpointer), gpointer self, GError **error)
{
    static const EepWorkerId workers[N_ENGINES] = {3, 5, 7, 9};
    g_autoptr(EepPlacement) placement = eep_placement_new(58, 256, N_ENGINES, 72);
    EepContractSubject subject = {.make_backend = make_backend,
                                  .self = self,
                                  .pool = 1,
                                  .epoch = 1,
                                  .n_workers = N_ENGINES,
                                  .workers = workers,
                                  .placement = placement,
                                  .phase_kind = EEP_PHASE_LAUNCH,
                                  .limit = EEP_TIME_NEVER};

    return eep_contract_run(&subject, error);
}

/* Each recipe under expected costs, the constant step and sampled experts. */
START_TEST(simulator_conforms)
{
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    g_autoptr(GError) error = NULL;
    guint costs = (guint)_i / RECIPE_COUNT;

    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, N_ENGINES);
    if (costs == 1)
        hardware.constant_step = 5 * EEP_NS_PER_MS;
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              costs == 2, 1);
    Recipe recipe = {(RecipeKind)(_i % RECIPE_COUNT), predictor};
    gboolean ok = conforms(make, &recipe, &error);
    ck_assert_msg(ok, "recipe %d, costs %u: %s", recipe.kind, costs, ok ? "" : error->message);
}
END_TEST

/* A decorator that does break the promise is found out through the simulator, too. */
static EepBackend *make_lossy(gpointer predictor)
{
    static const EepFaultRule loses = {.kind = EEP_OP_STEP, .nth = 3, .action = EEP_FAULT_NEVER};

    return eep_backend_fault_new(eep_sim_backend_new(predictor), &loses, 1);
}

START_TEST(a_lost_step_is_noticed)
{
    EepModel model;
    EepHardware hardware;
    EepPoolOptions options;
    g_autoptr(GError) error = NULL;

    fixture_deepseek_v3(&model);
    fixture_h100(&hardware);
    fixture_pool(&options, N_ENGINES);
    g_autoptr(EepPredictor) predictor =
        eep_sim_predictor_new(&model, &hardware, &options,
                              eep_skew_new(&skew, 1, (guint)eep_model_n_moe_layers(&model),
                                           (guint)model.n_routed_experts, NULL, NULL, NULL),
                              FALSE, 1);
    ck_assert(!conforms(make_lossy, predictor, &error));
    ck_assert_msg(strstr(error->message, "never ends") != NULL, "%s", error->message);
}
END_TEST

static EepBackend *make_desk(gpointer costs)
{
    return desk_backend_new(costs);
}

START_TEST(desk_backend_conforms)
{
    static const double load[] = {1, 2};
    DeskCosts costs = {.step = 1000, .move = 300, .n_cells = 2, .load = load};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        costs.phase[i] = 500;
    gboolean ok = conforms(make_desk, &costs, &error);
    ck_assert_msg(ok, "%s", ok ? "" : error->message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("contract of the simulator");
    TCase *tcase = tcase_create("contract");
    tcase_add_loop_test(tcase, simulator_conforms, 0, 3 * RECIPE_COUNT);
    tcase_add_test(tcase, a_lost_step_is_noticed);
    tcase_add_test(tcase, desk_backend_conforms);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
