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

/* Who leaves a group with some that are gone, or about to go, is told not to wait for them; where
 * all are well, they leave in good order. */
START_TEST(nobody_waits_to_leave_with_the_gone)
{
    static const EepWorkerId left[] = {1, 3}, leaving[] = {2};
    static const char *const modes[] = {"", "", "2.die_at_phase=kv_sync", "2.mute_at_step=1"};
    Kit *kit = started(3, modes[_i]);
    EepPhase retire = {.kind = EEP_PHASE_RETIRE_GROUPS, .n_workers = 2, .workers = left};
    guint n;

    kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 2);
    ck_assert(kit_wait(kit, n = 3));
    if (_i == 1)
        kit_phase(kit, EEP_PHASE_DESTROY, 1, leaving, 2);
    else if (_i == 2)
        kit_phase(kit, EEP_PHASE_KV_SYNC, 1, leaving, 1);
    else if (_i == 3)
        kit_step(kit);
    kit_serve(kit, 900 * EEP_NS_PER_MS);
    n = kit->completions->len + 3;
    retire.op = (EepOp){.id = ++kit->last_op, .pool = KIT_POOL, .epoch = 2};
    kit->backend->ops->start_phase(kit->backend, &retire);
    ck_assert(kit_wait(kit, n));
    ck_assert_int_eq(kit_whole(kit, retire.op.id)->done, EEP_DONE_OK);
    ck_assert_int_eq(strstr(kit->said->str, "members are gone") != NULL, _i > 0);
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

/* So does one of whoever comes and is never READY: without a word, or with nothing but heartbeats.
 */
START_TEST(a_launch_that_nobody_ends_is_bounded)
{
    static const struct {
        const char *modes, *said;
    } cases[] = {{"3.stall_ready", "worker 3 is lost: it has not been heard for"},
                 {"3.never_ready", "worker 3 is lost: it was not ready within gpu.start_timeout"},
                 {"3.silent", "no HELLO within 0.4 s"}};
    static const EepWorkerId joining[] = {3};
    Kit *kit = kit_new(2, cases[_i].modes);
    EepOpId launch, step;

    kit->gpu.heartbeat_interval = 40 * EEP_NS_PER_MS;
    kit->gpu.start_timeout = 1500 * EEP_NS_PER_MS;
    ck_assert(kit_start(kit, NULL));
    launch = kit_phase(kit, EEP_PHASE_LAUNCH, 1, joining, 2);
    ck_assert(kit_wait(kit, 2));
    ck_assert_int_eq(kit_whole(kit, launch)->done, EEP_DONE_WORKER_LOST);
    ck_assert_msg(strstr(kit->said->str, cases[_i].said) != NULL, "%s", kit->said->str);
    ck_assert_uint_eq(kit->found->len, 0);
    step = kit_step(kit);
    ck_assert(kit_wait(kit, 3));
    ck_assert_int_eq(kit_whole(kit, step)->done, EEP_DONE_OK);
    kit_free(kit);
}
END_TEST

/* An answer to what was not asked ends nothing but the trust in who gave it. */
START_TEST(an_answer_to_another_question_is_a_loss)
{
    Kit *kit = started(2, "2.wrong_kind");
    EepOpId step = kit_step(kit);

    kit_serve(kit, 300 * EEP_NS_PER_MS);
    ck_assert_ptr_null(kit_whole(kit, step));
    ck_assert_uint_eq(kit->found->len, 1);
    ck_assert_msg(
        strstr(kit->said->str, "it said that a move_kv has ended, and was asked for none"), "%s",
        kit->said->str);
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

static guint n_said(const Kit *kit, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(kit->said->str, what, -1);

    return MAX(1, g_strv_length(parts)) - 1;
}

/* A call of one rank fails while that of the other is done, or goes on: both join anew, at once,
 * and the core is told of one phase that went well, in parts that end once. */
START_TEST(who_cannot_shrink_joins_anew)
{
    static const EepWorkerId left[] = {1, 3};
    static const char *const modes[] = {"", "1.fail_at_shrink", "3.fail_at_shrink",
                                        "1.hang_at_shrink,3.fail_at_shrink"};
    Kit *kit = started(3, modes[_i]);
    EepOpId phase = kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 2), again;

    ck_assert(kit_wait(kit, 3));
    kit_serve(kit, 100 * EEP_NS_PER_MS);
    ck_assert_uint_eq(kit->completions->len, 3);
    ck_assert_uint_eq(kit_n_of(kit, phase), 3);
    for (guint i = 0; i < 3; i++)
        ck_assert_int_eq(kit_nth(kit, i)->done, EEP_DONE_OK);
    ck_assert_uint_eq(n_said(kit, "epoch 2 shrinks out of the one before"), _i == 0);
    ck_assert_uint_eq(n_said(kit, "epoch 2 does not shrink: its 2 workers join anew"), _i != 0);
    /* Not all of the old group know of it: there is no second one out of that. */
    again = kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 3);
    ck_assert(kit_wait(kit, 6));
    ck_assert_int_eq(kit_whole(kit, again)->done, EEP_DONE_OK);
    ck_assert_uint_eq(n_said(kit, "epoch 3"), 0);
    kit_free(kit);
}
END_TEST

/* What is given up while its members still try is given up at once, and nothing begins anew. */
START_TEST(a_shrink_is_given_up_with_its_phase)
{
    static const EepWorkerId left[] = {1, 2};
    Kit *kit = started(3, "2.hang_at_shrink");
    EepOpId phase = kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 2), again;

    kit_serve(kit, 100 * EEP_NS_PER_MS);
    ck_assert_uint_eq(kit->completions->len, 0);
    kit_abort(kit, (EepScope){.op = phase});
    ck_assert(kit_wait(kit, 4));
    ck_assert_int_eq(kit_whole(kit, phase)->done, EEP_DONE_ABORTED);
    ck_assert_uint_eq(kit_n_of(kit, phase), 3);
    again = kit_phase(kit, EEP_PHASE_STANDBY_GROUPS, 2, left, 3);
    ck_assert(kit_wait(kit, 7));
    ck_assert_int_eq(kit_whole(kit, again)->done, EEP_DONE_OK);
    ck_assert_uint_eq(n_said(kit, "shrink"), 0);
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
                 {"1.wrong_sum", "worker 1, layer 0, slot 0: expert 0 has checksum"},
                 {"2.cannot_tell=99", "not every worker has told"},
                 {"2.die_at_check", "worker 2 was lost before it told"}};
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
        /* Nobody who only did not answer is said to be wrong. */
        ck_assert_int_eq(strstr(breach, "a result is wrong") != NULL, _i < 3);
    }
    kit_free(kit);
}
END_TEST

static gboolean yes(gpointer self)
{
    return TRUE;
}

/* Whoever can answer and does not is named; whoever is not heard of any more, and a user who does
 * not want to know, are no wrong result. */
START_TEST(waits_for_checksums_while_it_makes_sense)
{
    static const struct {
        const char *modes, *breach;
        gboolean is_interrupted;
    } cases[] = {
        {"2.never_checked",
         "not every result is checked: worker 2 has not told the checksums of its experts within 4 "
         "gpu.wait_timeout (0.3 s)",
         FALSE},
        {"2.stop_at_step=2", NULL, FALSE},
        {"2.never_checked", NULL, TRUE}};
    Kit *kit = kit_new(2, cases[_i].modes);
    const char *breach;
    gint64 begin;

    kit->gpu.wait_timeout = (cases[_i].is_interrupted ? 20000 : 300) * EEP_NS_PER_MS;
    ck_assert(kit_start(kit, NULL));
    kit_step(kit);
    ck_assert(kit_wait(kit, 1));
    kit_step(kit);
    kit_serve(kit, 100 * EEP_NS_PER_MS);
    begin = eep_monotonic_ns();
    kit_interrupt(kit, cases[_i].is_interrupted ? yes : NULL);
    eep_cuda_backend_check_experts(kit->backend);
    ck_assert_double_lt(kit_since(begin), 2.0);
    breach = eep_cuda_backend_breach(kit->backend);
    ck_assert_msg(g_strcmp0(breach, cases[_i].breach) == 0, "%s", breach);
    kit_free(kit);
}
END_TEST

/* During the run with the next step, and at the end at once. */
START_TEST(asks_again_who_could_not_tell)
{
    Kit *kit = started(2, _i == 0 ? "2.cannot_tell=1" : "2.cannot_tell=2");
    guint n_steps = _i == 0 ? 8 : 1;

    for (guint i = 1; i <= n_steps; i++) {
        kit_step(kit);
        ck_assert(kit_wait(kit, i));
    }
    kit_serve(kit, 50 * EEP_NS_PER_MS);
    eep_cuda_backend_check_experts(kit->backend);
    ck_assert_ptr_null(eep_cuda_backend_breach(kit->backend));
    /* Each slot twice at least, of the one that told always once more. */
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_checksums,
                      _i == 0 ? 5 * KIT_LAYERS * KIT_EXPERTS / 2
                              : 4 * KIT_LAYERS * KIT_EXPERTS / 2);
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
    tcase_add_loop_test(tcase, nobody_waits_to_leave_with_the_gone, 0, 4);
    tcase_add_test(tcase, a_group_without_the_lost_goes_on);
    tcase_add_test(tcase, a_launch_that_dies_ends);
    tcase_add_loop_test(tcase, a_launch_that_nobody_ends_is_bounded, 0, 3);
    tcase_add_test(tcase, an_answer_to_another_question_is_a_loss);
    tcase_add_test(tcase, scales_up_and_down);
    tcase_add_loop_test(tcase, who_cannot_shrink_joins_anew, 0, 4);
    tcase_add_test(tcase, a_shrink_is_given_up_with_its_phase);
    tcase_add_loop_test(tcase, moves_go_on_after_one_that_broke, 0, 2);
    tcase_add_test(tcase, a_phase_breaks_as_the_scenario_says);
    tcase_add_loop_test(tcase, waits_for_checksums_while_it_makes_sense, 0, 3);
    tcase_add_loop_test(tcase, looks_at_probes_and_checksums, 0, 5);
    tcase_add_loop_test(tcase, asks_again_who_could_not_tell, 0, 2);
    tcase_add_test(tcase, gathers_loads);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
