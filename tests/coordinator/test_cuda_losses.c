/* Losses and wrong results: what waits goes on waiting, what is aborted ends, nobody is told twice,
 * and a difference is a breach. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/resize/phase.h"
#include "tests/coordinator/coordinator_kit.h"

static Kit *started(guint n, const char *modes)
{
    Kit *kit = kit_new(n, modes);
    g_autoptr(GError) error = NULL;

    kit_use_tcp(kit);
    ck_assert_msg(kit_start(kit, &error), "%s", error != NULL ? error->message : "");
    return kit;
}

static const char *const losses[] = {"2.die_at_step=1", "2.stop_at_step=1", "2.mute_at_step=1",
                                     "2.stall_at_step=1", "2.garbage_at_step=1"};

/* The step waits for the lost worker until it is aborted; the core learns of the loss once. */
START_TEST(a_step_waits_for_the_lost_until_it_is_aborted)
{
    Kit *kit = started(3, losses[_i]);
    EepOpId step = kit_step(kit), stop;

    kit_serve(kit, 900 * EEP_NS_PER_MS);
    ck_assert_ptr_null(kit_whole(kit, step));
    ck_assert_uint_eq(kit->found->len, 1);
    ck_assert_uint_eq((guint32)g_array_index(kit->found, guint64, 0), 2);
    stop = kit_abort(kit, (EepScope){.op = step});
    ck_assert(kit_wait(kit, 2));
    ck_assert_int_eq(kit_whole(kit, step)->done, EEP_DONE_ABORTED);
    ck_assert_int_eq(kit_whole(kit, stop)->done, EEP_DONE_OK);
    kit_serve(kit, 200 * EEP_NS_PER_MS);
    ck_assert_uint_eq(kit_n_of(kit, step), 1);
    ck_assert_uint_eq(kit_n_of(kit, stop), 1);
    ck_assert_uint_eq(kit->found->len, 1);
    kit_free(kit);
}
END_TEST

/* The injector's faults are the core's own: it is not told of them. */
START_TEST(the_injector_kills_and_stops)
{
    Kit *kit = started(3, "");
    EepFaultInjector *injector = eep_cuda_backend_injector(kit->backend);
    EepOpId step;

    injector->ops->stop_worker(injector, 2, _i == 0);
    step = kit_step(kit);
    kit_serve(kit, 900 * EEP_NS_PER_MS);
    ck_assert_ptr_null(kit_whole(kit, step));
    ck_assert_uint_eq(kit->found->len, 0);
    if (_i == 1) {
        injector->ops->heal_worker(injector, 2);
        ck_assert(kit_wait(kit, 1));
        ck_assert_int_eq(kit_whole(kit, step)->done, EEP_DONE_OK);
        kit_serve(kit, 200 * EEP_NS_PER_MS);
        ck_assert_ptr_nonnull(strstr(kit->said->str, "heard again"));
    }
    kit_free(kit);
}
END_TEST

START_TEST(a_group_without_the_lost_goes_on)
{
    static const EepWorkerId left[] = {1, 3};
    Kit *kit = started(3, "2.die_at_step=1");
    EepOpId step = kit_step(kit), phase;

    kit_serve(kit, 200 * EEP_NS_PER_MS);
    kit_abort(kit, (EepScope){.op = step});
    phase = kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 2);
    ck_assert(kit_wait(kit, 5));
    ck_assert_int_eq(kit_whole(kit, phase)->done, EEP_DONE_OK);
    ck_assert_uint_eq(kit_n_of(kit, phase), 3);
    kit_free(kit);
}
END_TEST

/* A launch of one who dies ends; a part of another phase of a dead one waits. */
START_TEST(a_launch_that_dies_ends)
{
    static const EepWorkerId all[] = {3};
    Kit *kit = started(2, "3.die_before_ready");
    EepOpId launch = kit_phase(kit, EEP_PHASE_LAUNCH, 1, all, 2);

    ck_assert(kit_wait(kit, 2));
    ck_assert_int_eq(kit_whole(kit, launch)->done, EEP_DONE_WORKER_LOST);
    ck_assert_uint_eq(kit->found->len, 0);
    kit_free(kit);
}
END_TEST

START_TEST(scales_up_and_down)
{
    static const EepWorkerId joining[] = {3, 4}, all[] = {1, 2, 3, 4}, left[] = {1, 2};
    Kit *kit = started(2, "");
    EepOpId last;

    kit_phase(kit, EEP_PHASE_LAUNCH, 2, joining, 2);
    ck_assert(kit_wait(kit, 3));
    kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 4, all, 2);
    kit_wait(kit, 8);
    kit_phase(kit, EEP_PHASE_WEIGHTS_FROM_PEER, 4, all, 2);
    kit_wait(kit, 13);
    kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 3);
    kit_wait(kit, 16);
    last = kit_phase(kit, EEP_PHASE_DESTROY, 2, joining, 3);
    ck_assert(kit_wait(kit, 19));
    ck_assert_int_eq(kit_whole(kit, last)->done, EEP_DONE_OK);
    for (guint i = 0; i < kit->completions->len; i++)
        ck_assert_int_eq(kit_nth(kit, i)->done, EEP_DONE_OK);
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_lost, 0);
    kit_free(kit);
}
END_TEST

/* KV from rank 0 to rank 1; how it ended. */
static EepDone move_kv(Kit *kit)
{
    static const EepTransfer transfer = {.from_rank = 0, .to_rank = 1};
    static const gint64 bytes = 1 << 20;
    EepMove move = {.op = kit_op(kit),
                    .is_kv = TRUE,
                    .n_transfers = 1,
                    .transfers = &transfer,
                    .bytes = &bytes,
                    .n_ranks = kit->n_engines,
                    .to_pool = KIT_POOL};

    kit->backend->ops->move(kit->backend, &move);
    for (guint i = 0; i < 100 && kit_whole(kit, move.op.id) == NULL; i++)
        kit_serve(kit, 20 * EEP_NS_PER_MS);
    ck_assert_ptr_nonnull(kit_whole(kit, move.op.id));
    return kit_whole(kit, move.op.id)->done;
}

static guint n_mended(const Kit *kit)
{
    g_auto(GStrv) parts = g_strsplit(kit->said->str, "a move of epoch 1 broke", -1);

    return g_strv_length(parts) - 1;
}

/* After a move that broke all members join anew, which the next one waits for; without one of them
 * nobody waits. */
START_TEST(moves_go_on_after_one_that_broke)
{
    Kit *kit = started(3, "1.fail_moves=2");
    EepFaultInjector *injector = eep_cuda_backend_injector(kit->backend);

    ck_assert_int_eq(move_kv(kit), EEP_DONE_GROUP_BROKEN);
    ck_assert_uint_eq(n_mended(kit), 0);
    if (_i == 1) {
        injector->ops->stop_worker(injector, 3, TRUE);
        kit_serve(kit, 500 * EEP_NS_PER_MS);
    }
    ck_assert_int_eq(move_kv(kit), EEP_DONE_GROUP_BROKEN);
    ck_assert_uint_eq(n_mended(kit), _i == 1 ? 0 : 1);
    ck_assert_int_eq(move_kv(kit), EEP_DONE_OK);
    ck_assert_uint_eq(n_mended(kit), _i == 1 ? 0 : 2);
    ck_assert_int_eq(move_kv(kit), EEP_DONE_OK);
    ck_assert_uint_eq(n_mended(kit), _i == 1 ? 0 : 2);
    kit_free(kit);
}
END_TEST

START_TEST(a_phase_breaks_as_the_scenario_says)
{
    static const EepWorkerId all[] = {1, 2};
    Kit *kit = started(2, "");
    EepFaultInjector *injector = eep_cuda_backend_injector(kit->backend);
    EepOpId first, second;

    injector->ops->break_phase(injector, KIT_POOL, EEP_PHASE_KV_SYNC, 2, FALSE);
    first = kit_phase(kit, EEP_PHASE_KV_SYNC, 2, all, 1);
    second = kit_phase(kit, EEP_PHASE_KV_SYNC, 2, all, 1);
    ck_assert(kit_wait(kit, 6));
    ck_assert_int_eq(kit_whole(kit, first)->done, EEP_DONE_OK);
    ck_assert_int_eq(kit_whole(kit, second)->done, EEP_DONE_GROUP_BROKEN);
    kit_free(kit);
}
END_TEST

START_TEST(looks_at_probes_and_checksums)
{
    static const struct {
        const char *modes, *breach;
    } cases[] = {{"", NULL},
                 {"2.wrong_probe", "worker 2 computes the probe tokens"},
                 {"1.wrong_sum", "worker 1, layer 0, slot 0: expert 0 has checksum"}};
    Kit *kit = started(2, cases[_i].modes);
    const char *breach;

    for (guint i = 1; i <= 8; i++) {
        kit_step(kit);
        ck_assert(kit_wait(kit, i));
    }
    eep_cuda_backend_check_experts(kit->backend);
    breach = eep_cuda_backend_breach(kit->backend);
    if (cases[_i].breach == NULL) {
        EepCudaBackendCounts counts = eep_cuda_backend_counts(kit->backend);

        ck_assert_msg(breach == NULL, "%s", breach);
        ck_assert_uint_eq(counts.n_steps, 8);
        ck_assert_uint_eq(counts.n_probes, 16);
        /* At the group's first step and at the end, every slot of every rank. */
        ck_assert_uint_eq(counts.n_checksums, 2 * KIT_LAYERS * KIT_EXPERTS);
    } else {
        ck_assert_ptr_nonnull(breach);
        ck_assert_msg(strstr(breach, cases[_i].breach) != NULL, "%s", breach);
    }
    kit_free(kit);
}
END_TEST

START_TEST(gathers_loads)
{
    Kit *kit = started(2, "");
    EepOp op;
    const EepLoadReport *report;
    gsize size;

    kit->gpu.layers = KIT_LAYERS;
    kit_step(kit);
    ck_assert(kit_wait(kit, 1));
    op = kit_op(kit);
    kit->backend->ops->read_load(kit->backend, &op, 0, 10, 2);
    ck_assert(kit_wait(kit, 2));
    ck_assert_int_eq(kit_whole(kit, op.id)->done, EEP_DONE_OK);
    report = g_bytes_get_data(g_ptr_array_index(kit->blobs, 1), &size);
    ck_assert_uint_eq(size, sizeof *report + 2 * KIT_LAYERS * KIT_EXPERTS * sizeof(double));
    ck_assert_uint_eq(report->n_windows, 2);
    /* Two workers of 3 decodes, top-2, all to expert 0. */
    ck_assert_double_eq(report->tokens[0], 12.0);
    ck_assert_double_eq(report->tokens[KIT_EXPERTS], 12.0);
    ck_assert_double_eq(report->tokens[1], 0.0);
    kit_free(kit);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_losses");
    TCase *tcase = tcase_create("cuda_losses");

    tcase_add_loop_test(tcase, a_step_waits_for_the_lost_until_it_is_aborted, 0,
                        G_N_ELEMENTS(losses));
    tcase_add_loop_test(tcase, the_injector_kills_and_stops, 0, 2);
    tcase_add_test(tcase, a_group_without_the_lost_goes_on);
    tcase_add_test(tcase, a_launch_that_dies_ends);
    tcase_add_test(tcase, scales_up_and_down);
    tcase_add_loop_test(tcase, moves_go_on_after_one_that_broke, 0, 2);
    tcase_add_test(tcase, a_phase_breaks_as_the_scenario_says);
    tcase_add_loop_test(tcase, looks_at_probes_and_checksums, 0, 3);
    tcase_add_test(tcase, gathers_loads);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
