/* The conformance suite of core/loop/backend.h on the backend of real workers, with fake ones. */
#include <check.h>
#include <stdlib.h>

#include "core/resize/phase.h"
#include "tests/contract/contract.h"
#include "tests/coordinator/coordinator_kit.h"

#define N 3

typedef struct {
    Kit *kit; /* of the scenario that runs: the suite owns its clock and backend */
} Maker;

static EepClock *make_clock(gpointer self)
{
    Maker *maker = self;

    kit_free_rest(maker->kit);
    maker->kit = kit_new(N, "*.step_us=2000");
    eep_clock_real_start(maker->kit->clock);
    return maker->kit->clock;
}

static void popularity(gpointer self, guint layer, EepTime now, double *ret_popularity)
{
    for (guint i = 0; i < KIT_EXPERTS; i++)
        ret_popularity[i] = 1.0 / KIT_EXPERTS;
}

static EepBackend *make_backend(gpointer self)
{
    Kit *kit = ((Maker *)self)->kit;
    EepCudaPool pool = {.model = &kit->model,
                        .n_moe_layers = KIT_LAYERS,
                        .slots_per_rank = kit->placement->slots_per_rank,
                        .max_tokens = 64,
                        .n_engines = N,
                        .popularity = popularity};
    g_autoptr(GError) error = NULL;
    EepBackend *backend = eep_cuda_backend_new(&kit->options, &error);

    ck_assert_msg(backend != NULL, "%s", error != NULL ? error->message : "");
    ck_assert_msg(eep_cuda_backend_start_pool(backend, KIT_POOL, &pool, &error), "%s\n%s",
                  error != NULL ? error->message : "", kit->said->str);
    return backend;
}

START_TEST(keeps_the_contract)
{
    static const EepWorkerId workers[N] = {1, 2, 3};
    static const guint32 kinds[] = {EEP_PHASE_KV_SYNC, EEP_PHASE_STANDBY_GROUPS};
    Maker maker = {NULL};
    Kit *shape = kit_new(N, "");

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        EepContractSubject subject = {.make_clock = make_clock,
                                      .make_backend = make_backend,
                                      .self = &maker,
                                      .pool = KIT_POOL,
                                      .epoch = KIT_EPOCH,
                                      .n_workers = N,
                                      .workers = workers,
                                      .placement = shape->placement,
                                      .phase_kind = kinds[i],
                                      .limit = 20 * EEP_NS_PER_S};
        g_autoptr(GError) error = NULL;

        ck_assert_msg(eep_contract_run(&subject, &error), "%s", error ? error->message : "");
    }
    kit_free_rest(maker.kit);
    kit_free(shape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_contract");
    TCase *tcase = tcase_create("cuda_contract");

    tcase_add_test(tcase, keeps_the_contract);
    tcase_set_timeout(tcase, 110);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
