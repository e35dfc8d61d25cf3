/* What the loop costs: one JSON object of nanoseconds per operation, best of several rounds. */
#include <stdio.h>
#include <stdlib.h>

#include "core/loop/event_queue.h"
#include "core/loop/journal.h"
#include "core/loop/loop.h"
#include "core/loop/operations.h"

enum { N_ROUNDS = 7 };

static guint64 draw(guint64 *state)
{
    *state =
        *state * G_GUINT64_CONSTANT(6364136223846793005) + G_GUINT64_CONSTANT(1442695040888963407);
    return *state >> 33;
}

/* The hold model: take the first event, put it back at a random later time. */
static double bench_hold(guint n_pending)
{
    g_autoptr(EepEventQueue) queue = eep_event_queue_new();
    guint64 state = 1;
    for (guint i = 0; i < n_pending; i++) {
        EepEvent event = {.time = (EepTime)draw(&state) % 1000000, .source = i % 1000};
        eep_event_queue_push(queue, &event);
    }
    guint n = 1000000;
    double best = G_MAXDOUBLE;
    for (guint round = 0; round < N_ROUNDS; round++) {
        gint64 begin = g_get_monotonic_time();
        for (guint i = 0; i < n; i++) {
            EepEvent event;
            eep_event_queue_pop(queue, &event);
            event.time += 1 + (EepTime)(draw(&state) & 0xfffff);
            eep_event_queue_push(queue, &event);
        }
        best = MIN(best, 1e3 * (double)(g_get_monotonic_time() - begin) / n);
    }
    return best;
}

/* Pools that plan a step, submit it and get its completion, from which they plan the next. */
typedef struct {
    EepLoop *loop;
    EepOperations *operations;
    guint64 n_steps;
} World;

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    if (event->kind == EEP_EVENT_PLAN) {
        EepPoolId pool = (EepPoolId)event->a;
        EepOp op = eep_operations_begin(world->operations, EEP_OP_STEP, pool, 1, 0, EEP_TIME_NEVER);
        eep_loop_record_action(world->loop, 1, op.id, pool);
        EepCompletion completion = {.id = op.id, .kind = EEP_OP_STEP, .epoch = 1, .n_steps = 1};
        EepEvent done;
        eep_completion_to_event(&completion, pool, NULL, &done);
        eep_loop_schedule(world->loop, event->time + 20000000 + (EepTime)(op.id % 1000), &done);
        return TRUE;
    }
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    gboolean is_whole;
    if (!eep_operations_complete(world->operations, &completion, &is_whole) || !is_whole)
        return TRUE;
    world->n_steps++;
    EepPoolId pool = event->source & 0xffffff;
    EepEvent plan = {.source = EEP_SOURCE(EEP_SOURCE_PLAN, pool),
                     .event_class = EEP_CLASS_TIMER,
                     .kind = EEP_EVENT_PLAN,
                     .a = pool};
    eep_loop_schedule(world->loop, event->time, &plan);
    return TRUE;
}

static double bench_steps(guint n_pools, EepJournal *journal)
{
    g_autoptr(EepClock) clock = eep_clock_virtual_new();
    g_autoptr(EepOperations) operations = eep_operations_new();
    World world = {.operations = operations};
    g_autoptr(EepLoop) loop = world.loop = eep_loop_new(clock, handle, &world, NULL, NULL, journal);
    eep_operations_attach(operations, loop);
    for (guint64 i = 1; i <= n_pools; i++) {
        EepEvent plan = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_PLAN, .a = i};
        eep_loop_schedule(loop, 0, &plan);
    }
    double best = G_MAXDOUBLE;
    for (guint round = 0; round < N_ROUNDS; round++) {
        guint64 n_before = world.n_steps;
        EepTime until = eep_loop_now(loop) + 500000ll / n_pools * 20000000;
        gint64 begin = g_get_monotonic_time();
        if (!eep_loop_run(loop, until, NULL))
            abort();
        best = MIN(best, 1e3 * (double)(g_get_monotonic_time() - begin) /
                             (double)(world.n_steps - n_before));
    }
    return best;
}

static gboolean swallow(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    *(gsize *)self += n_bytes;
    return TRUE;
}

int main(void)
{
    gsize n_bytes = 0;
    g_autoptr(EepJournal) journal = eep_journal_new_recording(swallow, &n_bytes, "{}");
    double step = bench_steps(1, NULL), step_64 = bench_steps(64, NULL);
    double journaled = bench_steps(1, journal);
    double journal_bytes = (double)n_bytes / (N_ROUNDS * 1e6);
    printf("{\"hold_4_ns\": %.1f, \"hold_64_ns\": %.1f, \"hold_10000_ns\": %.1f, "
           "\"step_1_pool_ns\": %.1f, \"step_64_pools_ns\": %.1f, \"journal_per_event_ns\": %.1f, "
           "\"journal_per_event_bytes\": %.1f}\n",
           bench_hold(4), bench_hold(64), bench_hold(10000), step, step_64, (journaled - step) / 2,
           journal_bytes);
    return EXIT_SUCCESS;
}
