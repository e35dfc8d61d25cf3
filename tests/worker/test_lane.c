/* A lane: order, aborts of what waits and of what runs, and its end. */
#include <check.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "gpu/worker/lane.h"
#include "tests/run_suite.h"

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GString
        *log; /* "r3" ran, "s3" was stopped while it ran, "d3" dropped, "a9" abort gone through */
    guint64 blocks; /* this operation runs until it is stopped */
    gboolean is_running;
} World;

static void note(World *world, const char *what, guint64 op)
{
    pthread_mutex_lock(&world->lock);
    g_string_append_printf(world->log, "%s%" G_GUINT64_FORMAT " ", what, op);
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void run(gpointer self, EepLane *lane, const EepWireMessage *message)
{
    World *world = self;

    if (message->type == EEP_WIRE_MAP) {
        note(world, "m", message->map.n_slots + message->map.experts[1]);
        return;
    }
    if (message->step.op != world->blocks) {
        note(world, "r", message->step.op);
        return;
    }
    pthread_mutex_lock(&world->lock);
    world->is_running = TRUE;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
    while (g_atomic_int_get(eep_lane_stop(lane)) == 0)
        nanosleep(&(struct timespec){0, 100000}, NULL);
    note(world, "s", message->step.op);
}

static void drop(gpointer self, const EepWireMessage *message)
{
    note(self, "d", message->step.op);
}

static void aborted(gpointer self, const EepWireAbort *abort)
{
    note(self, "a", abort->op);
}

static const EepLaneOps ops = {"test", NULL, run, drop, aborted};

static void put(EepLane *lane, guint64 op, guint32 epoch)
{
    EepWireMessage message = {.type = EEP_WIRE_STEP, .step = {.op = op, .epoch = epoch}};

    eep_lane_put(lane, &message);
}

static void until_running(World *world)
{
    pthread_mutex_lock(&world->lock);
    while (!world->is_running)
        pthread_cond_wait(&world->changed, &world->lock);
    pthread_mutex_unlock(&world->lock);
}

static void until_logged(World *world, const char *end)
{
    pthread_mutex_lock(&world->lock);
    while (!g_str_has_suffix(world->log->str, end))
        pthread_cond_wait(&world->changed, &world->lock);
    pthread_mutex_unlock(&world->lock);
}

static World *world_new(guint64 blocks)
{
    World *world = g_new0(World, 1);

    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    world->log = g_string_new("");
    world->blocks = blocks;
    return world;
}

static void expect_and_free(World *world, const char *log)
{
    ck_assert_str_eq(world->log->str, log);
    g_string_free(world->log, TRUE);
    g_free(world);
}

START_TEST(test_order)
{
    World *world = world_new(0);
    EepLane *lane = eep_lane_new(&ops, world);

    for (guint64 op = 1; op <= 5; op++)
        put(lane, op, 1);
    until_logged(world, "r5 ");
    eep_lane_free(lane);
    expect_and_free(world, "r1 r2 r3 r4 r5 ");
}
END_TEST

START_TEST(test_arrays_go_along)
{
    World *world = world_new(0);
    EepLane *lane = eep_lane_new(&ops, world);
    guint32 *experts = g_new0(guint32, 2);
    EepWireMessage message = {
        .type = EEP_WIRE_MAP, .map = {.n_slots = 2, .experts = experts}, .arrays = experts};

    experts[1] = 40;
    eep_lane_put(lane, &message);
    ck_assert_ptr_null(message.arrays);
    until_logged(world, "m42 ");
    eep_lane_free(lane);
    expect_and_free(world, "m42 ");
}
END_TEST

START_TEST(test_abort_of_what_waits)
{
    World *world = world_new(1);
    EepLane *lane = eep_lane_new(&ops, world);
    EepWireAbort one = {.op = 90, .scope = 3}, running = {.op = 91, .scope = 1};

    put(lane, 1, 1);
    put(lane, 2, 1);
    put(lane, 3, 1);
    put(lane, 4, 1);
    until_running(world);
    ck_assert(!eep_lane_abort(lane, &one));
    ck_assert(eep_lane_abort(lane, &running));
    until_logged(world, "r4 ");
    eep_lane_free(lane);
    /* The lane looks at aborts between two messages; what it did not name goes on. */
    expect_and_free(world, "s1 d3 a90 a91 r2 r4 ");
}
END_TEST

START_TEST(test_abort_of_an_epoch)
{
    World *world = world_new(1);
    EepLane *lane = eep_lane_new(&ops, world);
    EepWireAbort epoch = {.op = 90, .epoch = 7}, all = {.op = 91};

    put(lane, 1, 7);
    put(lane, 2, 8);
    put(lane, 3, 7);
    until_running(world);
    ck_assert(eep_lane_abort(lane, &epoch));
    until_logged(world, "r2 ");
    ck_assert_str_eq(world->log->str, "s1 d3 a90 r2 ");
    /* Whether operation 2 still counts as running is a matter of luck. */
    eep_lane_abort(lane, &all);
    until_logged(world, "a91 ");
    put(lane, 4, 7);
    until_logged(world, "r4 ");
    eep_lane_free(lane);
    expect_and_free(world, "s1 d3 a90 r2 a91 r4 ");
}
END_TEST

START_TEST(test_end_with_work_left)
{
    World *world = world_new(1);
    EepLane *lane = eep_lane_new(&ops, world);

    put(lane, 1, 1);
    put(lane, 2, 1);
    until_running(world);
    eep_lane_free(lane);
    expect_and_free(world, "s1 ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lane");
    TCase *lanes = tcase_create("lanes");

    tcase_add_test(lanes, test_order);
    tcase_add_test(lanes, test_arrays_go_along);
    tcase_add_test(lanes, test_abort_of_what_waits);
    tcase_add_test(lanes, test_abort_of_an_epoch);
    tcase_add_test(lanes, test_end_with_work_left);
    suite_add_tcase(suite, lanes);
    return run_suite(suite, CK_NOFORK);
}
