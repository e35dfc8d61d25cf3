#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop/backend_check.h"
#include "core/loop/backend_fault.h"
#include "core/loop/backend_trace.h"
#include "tests/contract/fake_backend.h"

static const EepWorkerId workers[] = {1, 2};

typedef struct {
    EepLoop *loop;
    EepBackend *backend;
    void (*script)(EepBackend *backend);
    GString *log; /* "id:done[/worker]@time " of every completion */
} World;

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    if (event->kind == EEP_EVENT_TIMER) {
        world->script(world->backend);
        return TRUE;
    }
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    g_string_append_printf(world->log, "%d:%s", (int)completion.id,
                           eep_done_names[completion.done]);
    if (completion.worker != 0)
        g_string_append_printf(world->log, "/%u", completion.worker);
    g_string_append_printf(world->log, "@%d ", (int)event->time);
    if (completion.done > EEP_DONE_TIMED_OUT)
        ck_assert_uint_eq(*(const EepWorkerId *)g_bytes_get_data(event->blob, NULL), 2);
    return TRUE;
}

/* Takes over `backend`; runs `script` at 0 and compares what came back. */
static void assert_run(EepBackend *backend, void (*script)(EepBackend *), const char *expected)
{
    World world = {.backend = backend, .script = script, .log = g_string_new(NULL)};
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    backend->ops->attach(backend, world.loop);
    EepEvent begin = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_TIMER};
    eep_loop_schedule(world.loop, 0, &begin);
    ck_assert(eep_loop_run(world.loop, EEP_TIME_NEVER, NULL));
    ck_assert_str_eq(world.log->str, expected);
    eep_backend_free(backend);
    eep_loop_free(world.loop);
    g_string_free(world.log, TRUE);
}

static void submit(EepBackend *backend, EepOpId id)
{
    static const EepEngineWork work[] = {{.engine = 1}, {.engine = 2}};
    EepStepPlan plan = {.op = {.id = id, .pool = 1, .epoch = 1, .deadline = EEP_TIME_NEVER},
                        .n_engines = 2,
                        .work = work,
                        .max_steps = 1,
                        .horizon = EEP_TIME_NEVER};
    backend->ops->submit_step(backend, &plan);
}

static void start_phase(EepBackend *backend, EepOpId id)
{
    EepPhase phase = {.op = {.id = id, .pool = 1, .epoch = 1, .deadline = EEP_TIME_NEVER},
                      .kind = 5,
                      .n_workers = 2,
                      .workers = workers};
    backend->ops->start_phase(backend, &phase);
}

static void two_steps_and_a_phase(EepBackend *backend)
{
    submit(backend, 1);
    submit(backend, 2);
    start_phase(backend, 3);
}

static void two_steps_and_an_abort(EepBackend *backend)
{
    two_steps_and_a_phase(backend);
    EepOp op = {.id = 4, .pool = 1, .epoch = 1, .deadline = EEP_TIME_NEVER};
    EepScope scope = {.pool = 1};
    backend->ops->abort(backend, &op, &scope);
}

START_TEST(packing_round_trips)
{
    EepCompletion completion = {.id = G_MAXUINT64 - 3,
                                .kind = EEP_OP_ABORT,
                                .done = EEP_DONE_GROUP_BROKEN,
                                .worker = 70001,
                                .epoch = 4000000000u,
                                .n_steps = 3999999999u};
    EepEvent event;
    eep_completion_to_event(&completion, 9, NULL, &event);
    ck_assert_uint_eq(event.source, EEP_SOURCE(EEP_SOURCE_WORKER, 70001));
    ck_assert_uint_eq(event.event_class, EEP_CLASS_BACKEND);
    EepCompletion back;
    eep_completion_from_event(&event, &back);
    ck_assert_uint_eq(back.id, completion.id);
    ck_assert_int_eq(back.kind, completion.kind);
    ck_assert_int_eq(back.done, completion.done);
    ck_assert_uint_eq(back.worker, completion.worker);
    ck_assert_uint_eq(back.epoch, completion.epoch);
    ck_assert_uint_eq(back.n_steps, completion.n_steps);
    completion.worker = 0;
    eep_completion_to_event(&completion, 9, NULL, &event);
    ck_assert_uint_eq(event.source, EEP_SOURCE(EEP_SOURCE_POOL, 9));
}
END_TEST

START_TEST(fault_rules)
{
    static const struct {
        EepFaultRule rule;
        const char *expected;
    } cases[] = {
        {{.kind = EEP_OP_READ_LOAD}, /* matches nothing */
         "3:ok/1@300 3:ok/2@600 3:ok@600 1:ok@1000 2:ok@2000 "},
        {{.kind = EEP_OP_STEP, .nth = 2, .action = EEP_FAULT_REFUSE},
         "2:refused@0 3:ok/1@300 3:ok/2@600 3:ok@600 1:ok@1000 "},
        {{.kind = EEP_OP_STEP,
          .nth = 1,
          .action = EEP_FAULT_FAIL,
          .done = EEP_DONE_WORKER_LOST,
          .suspect = 2},
         "3:ok/1@300 3:ok/2@600 3:ok@600 1:worker_lost@1000 2:ok@2000 "},
        {{.kind = EEP_OP_STEP, .nth = 0, .action = EEP_FAULT_DELAY, .delay = 50},
         "3:ok/1@300 3:ok/2@600 3:ok@600 1:ok@1050 2:ok@2050 "},
        /* The second step does not overtake the first. */
        {{.kind = EEP_OP_STEP, .nth = 1, .action = EEP_FAULT_DELAY, .delay = 5000},
         "3:ok/1@300 3:ok/2@600 3:ok@600 1:ok@6000 2:ok@6000 "},
        {{.kind = EEP_OP_PHASE, .nth = 1, .action = EEP_FAULT_DELAY, .delay = 100},
         "3:ok/1@400 3:ok/2@700 3:ok@700 1:ok@1000 2:ok@2000 "},
        {{.kind = EEP_OP_PHASE, .nth = 1, .action = EEP_FAULT_NEVER}, "1:ok@1000 2:ok@2000 "},
    };
    EepBackend *fault =
        eep_backend_fault_new(fake_backend_new(FAKE_GOOD, TRUE), &cases[_i].rule, 1);
    assert_run(fault, two_steps_and_a_phase, cases[_i].expected);
}
END_TEST

/* What was delayed is still in front of the abort's end, as the checker confirms. */
START_TEST(abort_waits_for_what_is_delayed)
{
    EepFaultRule rule = {.kind = EEP_OP_STEP, .nth = 1, .action = EEP_FAULT_DELAY, .delay = 70};
    EepBackend *fault = eep_backend_fault_new(fake_backend_new(FAKE_GOOD, TRUE), &rule, 1);
    assert_run(fault, two_steps_and_an_abort, "3:aborted@0 1:aborted@70 2:aborted@70 4:ok@71 ");
}
END_TEST

START_TEST(fault_counts_its_hits)
{
    EepFaultRule rules[] = {{.kind = EEP_OP_STEP, .nth = 2, .action = EEP_FAULT_REFUSE},
                            {.kind = EEP_OP_STEP, .nth = 0, .action = EEP_FAULT_NEVER}};
    EepBackend *fault = eep_backend_fault_new(fake_backend_new(FAKE_GOOD, TRUE), rules, 2);
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    World world = {.backend = fault};
    g_autoptr(EepLoop) loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    fault->ops->attach(fault, loop);
    submit(fault, 1);
    start_phase(fault, 2);
    ck_assert_uint_eq(eep_backend_fault_n_hits(fault), 1);
    submit(fault, 3);
    ck_assert_uint_eq(eep_backend_fault_n_hits(fault), 2);
    eep_backend_free(fault);
}
END_TEST

static void log_span(gpointer self, const EepTraceSpan *span)
{
    if (span->is_begin)
        g_string_append_printf(self, "+%d:%s ", (int)span->op.id, eep_op_names[span->kind]);
    else
        g_string_append_printf(self, "-%d:%u:%d-%d ", (int)span->op.id, span->worker,
                               (int)span->begin, (int)span->end);
}

START_TEST(trace_reports_every_span)
{
    g_autoptr(GString) spans = g_string_new(NULL);
    EepBackend *trace = eep_backend_trace_new(fake_backend_new(FAKE_GOOD, TRUE), log_span, spans);
    assert_run(trace, two_steps_and_a_phase, "3:ok/1@300 3:ok/2@600 3:ok@600 1:ok@1000 2:ok@2000 ");
    ck_assert_str_eq(spans->str, "+1:step +2:step +3:phase -3:1:0-300 -3:2:0-600 -3:0:0-600 "
                                 "-1:0:0-1000 -2:0:1000-2000 ");
}
END_TEST

/* Decorators stack: the checker outside sees what the faults make of the backend. */
START_TEST(decorators_stack)
{
    EepFaultRule rule = {.kind = EEP_OP_PHASE, .nth = 1, .action = EEP_FAULT_NEVER};
    g_autoptr(GString) spans = g_string_new(NULL);
    EepBackend *inner = eep_backend_trace_new(fake_backend_new(FAKE_GOOD, TRUE), log_span, spans);
    g_autoptr(EepBackend) check = eep_backend_check_new(eep_backend_fault_new(inner, &rule, 1));
    World world = {.backend = check, .script = two_steps_and_a_phase, .log = g_string_new(NULL)};
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    g_autoptr(EepLoop) loop = eep_loop_new(clock, handle, &world, NULL, NULL, NULL);
    check->ops->attach(check, loop);
    EepEvent begin = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_TIMER};
    eep_loop_schedule(loop, 0, &begin);
    ck_assert(eep_loop_run(loop, EEP_TIME_NEVER, NULL));
    ck_assert_str_eq(world.log->str, "1:ok@1000 2:ok@2000 ");
    ck_assert(strstr(spans->str, "-3:0:0-600") != NULL);
    ck_assert_uint_eq(eep_backend_check_n_violations(check), 0);
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_backend_check_finish(check, &error));
    ck_assert_uint_eq(eep_backend_check_n_violations(check), 1);
    ck_assert(strstr(error->message, "phase 3 of pool 1: never ends") != NULL);
    g_string_free(world.log, TRUE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decorators");
    TCase *tcase = tcase_create("decorators");
    tcase_add_test(tcase, packing_round_trips);
    tcase_add_loop_test(tcase, fault_rules, 0, 7);
    tcase_add_test(tcase, abort_waits_for_what_is_delayed);
    tcase_add_test(tcase, fault_counts_its_hits);
    tcase_add_test(tcase, trace_reports_every_span);
    tcase_add_test(tcase, decorators_stack);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
