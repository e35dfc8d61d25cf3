#include <check.h>
#include <stdlib.h>

#include "core/loop/backend_fault.h"
#include "core/loop/backend_replay.h"
#include "core/loop/journal.h"
#include "core/loop/operations.h"
#include "tests/contract/fake_backend.h"

#define N_STEPS 10
#define TIMEOUT 5000

/* A core in small: one step after another, each with a deadline, until ten have ended. */
typedef struct {
    EepLoop *loop;
    EepBackend *backend;
    EepOperations *operations;
    guint n_steps, n_failed;
    GString *log;
} World;

static gboolean append(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    g_byte_array_append(self, bytes, (guint)n_bytes);
    return TRUE;
}

static void submit(World *world)
{
    static const EepEngineWork work[] = {{.engine = 1}};
    EepStepPlan plan = {
        .op = eep_operations_begin(world->operations, EEP_OP_STEP, 1, 1, 0, TIMEOUT),
        .n_engines = 1,
        .work = work,
        .max_steps = 4,
        .horizon = eep_loop_now(world->loop) + 2 * FAKE_STEP,
    };
    eep_loop_record_action(world->loop, EEP_OP_STEP, plan.op.id, world->n_failed);
    world->backend->ops->submit_step(world->backend, &plan);
}

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    g_string_append_printf(world->log, "%s@%d ", eep_event_names[event->kind], (int)event->time);
    EepCompletion completion;
    if (event->kind == EEP_EVENT_OP_DONE) {
        eep_completion_from_event(event, &completion);
        if (!eep_operations_complete(world->operations, &completion, NULL))
            return TRUE;
        if (completion.n_steps > 1)
            g_string_append_printf(world->log, "(%d) ",
                                   (int)*(const EepTime *)g_bytes_get_data(event->blob, NULL));
    } else if (event->kind == EEP_EVENT_DEADLINE &&
               !eep_operations_expire(world->operations, event->a, &completion)) {
        return TRUE;
    } else if (event->kind == EEP_EVENT_TIMER) {
        completion.done = EEP_DONE_OK;
    }
    world->n_failed += completion.done != EEP_DONE_OK;
    if (world->n_steps++ < N_STEPS)
        submit(world);
    return TRUE;
}

/* Takes over `backend`; what happened as text. */
static char *run(EepBackend *backend, EepJournal *journal)
{
    g_autoptr(EepClock) clock = eep_clock_replay_new(TRUE);
    g_autoptr(EepOperations) operations = eep_operations_new();
    World world = {.backend = backend, .operations = operations, .log = g_string_new(NULL)};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, journal);
    eep_operations_attach(operations, loop);
    backend->ops->attach(backend, loop);
    EepEvent begin = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_TIMER};
    eep_loop_schedule(loop, 0, &begin);
    g_autoptr(GError) error = NULL;
    gboolean is_ok = eep_loop_run(loop, EEP_TIME_NEVER, &error);
    ck_assert_msg(is_ok, "%s", error != NULL ? error->message : "");
    ck_assert(eep_journal_flush(journal, NULL));
    ck_assert_uint_eq(world.n_steps, N_STEPS + 1);
    ck_assert_uint_eq(world.n_failed, 2);
    eep_backend_free(backend);
    return g_string_free(world.log, FALSE);
}

/* Recorded with a backend that refuses one step, loses another, and is late with a third. */
START_TEST(recorded_faults_replay_without_the_backend)
{
    static const EepFaultRule rules[] = {
        {.kind = EEP_OP_STEP, .nth = 3, .action = EEP_FAULT_REFUSE},
        {.kind = EEP_OP_STEP, .nth = 5, .action = EEP_FAULT_NEVER},
        {.kind = EEP_OP_STEP, .nth = 7, .action = EEP_FAULT_DELAY, .delay = 700},
    };
    GByteArray *array = g_byte_array_new();
    g_autoptr(EepJournal) recording = eep_journal_new_recording(append, array, "{}");
    EepBackendCaps caps;
    EepBackend *fault = eep_backend_fault_new(fake_backend_new(FAKE_GOOD, TRUE), rules, 3);
    fault->ops->query_caps(fault, &caps);
    g_autofree char *recorded = run(fault, recording);
    ck_assert(g_str_has_prefix(recorded, "timer@0 op_done@2000 (1000) op_done@4000 (3000) "
                                         "op_done@4000 op_done@6000 (5000) deadline@11000 "));

    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(array);
    g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, NULL, NULL);
    g_autofree char *replayed = run(eep_backend_replay_new(&caps), journal);
    ck_assert_str_eq(replayed, recorded);
    ck_assert_uint_eq(eep_journal_hash(journal), eep_journal_hash(recording));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *tcase = tcase_create("replay");
    tcase_add_test(tcase, recorded_faults_replay_without_the_backend);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
