/* The conformance suite of core/loop/backend.h on the backend of real workers: with fake ones,
 * which do no work, or with those of the program that the arguments name.
 *
 *   coordinator_test_cuda_contract [PROGRAM emulated|gpu nccl|loopback]
 *
 * With loopback all ranks share one GPU; with nccl each has its own. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/resize/phase.h"
#include "tests/contract/contract.h"
#include "tests/coordinator/coordinator_kit.h"

#define N 3
/* A real device has a context to make. */
#define START_TIMEOUT (90 * EEP_NS_PER_S)

typedef struct {
    Kit *kit; /* of the scenario that runs: the suite owns its clock and backend */
} Maker;

static const char *program; /* NULL: fake workers */
static gboolean is_gpu, is_loopback;

static void choose_workers(Kit *kit)
{
    if (program == NULL)
        return;
    kit->options.worker_program = program;
    kit->options.device = is_gpu ? EEP_GPU_DEVICE_GPU : EEP_GPU_DEVICE_EMULATED;
    kit->gpu.transport = is_loopback ? EEP_TRANSPORT_LOOPBACK : EEP_TRANSPORT_NCCL;
    kit->gpu.start_timeout = START_TIMEOUT;
    kit->gpu.grace = 5 * EEP_NS_PER_S;
}

static EepClock *make_clock(gpointer self)
{
    Maker *maker = self;

    kit_free_rest(maker->kit);
    maker->kit = kit_new(N, "*.step_us=2000");
    choose_workers(maker->kit);
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
                        .kv_cache_bytes = 1 << 20,
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
    static const struct {
        guint32 kind;
        EepEpoch target;
    } phases[] = {{EEP_PHASE_KV_SYNC, KIT_EPOCH}, {EEP_PHASE_STANDBY_GROUPS, KIT_EPOCH + 1}};
    Maker maker = {NULL};
    Kit *shape = kit_new(N, "");

    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        EepContractSubject subject = {.make_clock = make_clock,
                                      .make_backend = make_backend,
                                      .self = &maker,
                                      .pool = KIT_POOL,
                                      .epoch = KIT_EPOCH,
                                      .n_workers = N,
                                      .workers = workers,
                                      .placement = shape->placement,
                                      .phase_kind = phases[i].kind,
                                      .target_epoch = phases[i].target,
                                      .abort_breaks_group = program != NULL,
                                      .limit = 20 * EEP_NS_PER_S};
        g_autoptr(GError) error = NULL;

        ck_assert_msg(eep_contract_run(&subject, &error), "%s; said:\n%s",
                      error ? error->message : "", maker.kit->said->str);
    }
    kit_free_rest(maker.kit);
    kit_free(shape);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("cuda_contract");
    TCase *tcase = tcase_create("cuda_contract");

    if (argc != 1 && argc != 4) {
        fprintf(stderr, "usage: %s [PROGRAM emulated|gpu nccl|loopback]\n", argv[0]);
        return 2;
    }
    if (argc == 4) {
        program = argv[1];
        is_gpu = strcmp(argv[2], "gpu") == 0;
        is_loopback = strcmp(argv[3], "loopback") == 0;
    }
    tcase_add_test(tcase, keeps_the_contract);
    tcase_set_timeout(tcase, 550);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
