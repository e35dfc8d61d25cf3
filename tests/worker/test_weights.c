/* The non-expert weights from old ranks to new ones: every byte arrives, by either way, and bytes
 * that change on the way or do not come are found by whoever receives them. Ranks are threads over
 * the loopback transport; a communicator in front of it damages what it carries. */
#include <check.h>
#include <string.h>

#include "gpu/worker/weights.h"
#include "gpu/worker/worker_internal.h"
#include "tests/run_suite.h"

#define N_RANKS 4
#define EPOCH   7
#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))
#define BIG     4096 /* pieces above are weights, below are checksums */

typedef struct {
    EepWorker worker;
    guint rank;
    GError *error;
} Rank;

static Rank ranks[N_RANKS];
static EepWirePhase phase;
static gboolean is_tree;
static guint n_old; /* ranks that have the weights */

static EepWireModel shape = {.n_layers = 2,
                             .n_experts = 4,
                             .top_k = 2,
                             .hidden = 32,
                             .intermediate = 16,
                             .slots_per_rank = 2,
                             .max_tokens = 8,
                             .kv_cache_bytes = 4096,
                             .seed = 5};

/* -- a communicator that damages -- */

typedef enum { SOUND, FLIPS, LOSES } Damage;

static Damage damage;
static EepCommOps damaging;
static const EepCommOps *sound;

static gboolean exchange(EepComm *comm, guint n, const EepPiece *pieces, EepStream stream,
                         GError **error)
{
    g_autofree EepPiece *left = g_new(EepPiece, n);
    guint n_left = 0;

    for (guint i = 0; i < n; i++)
        if (damage != LOSES || pieces[i].bytes < BIG)
            left[n_left++] = pieces[i];
    if (n_left > 0 && (!sound->exchange(comm, n_left, left, stream, error) ||
                       !sound->wait(comm, stream, WAIT_NS, NULL, NULL, error)))
        return FALSE;
    for (guint i = 0; damage == FLIPS && i < n; i++)
        if (!pieces[i].is_send && pieces[i].bytes > BIG && comm->rank == N_RANKS - 1)
            ((guint8 *)pieces[i].data)[pieces[i].bytes / 2] ^= 1; /* the device is the host */
    return TRUE;
}

static void put_before(EepComm *comm)
{
    if (comm->ops != &damaging)
        sound = comm->ops;
    damaging = *sound;
    damaging.exchange = exchange;
    comm->ops = &damaging;
}

/* -- ranks -- */

static void run(gpointer self, EepLane *lane, const EepWireMessage *message)
{
}
static void drop(gpointer self, const EepWireMessage *message)
{
}
static void aborted(gpointer self, const EepWireAbort *abort)
{
}
static const EepLaneOps no_lane = {"none", NULL, run, drop, aborted};

typedef struct {
    Rank *rank;
    gboolean (*work)(Rank *rank);
} Job;

static gpointer do_job(gpointer data)
{
    const Job *job = data;

    return GINT_TO_POINTER(job->work(job->rank));
}

static gboolean in_all(gboolean (*work)(Rank *rank))
{
    GThread *threads[N_RANKS];
    Job jobs[N_RANKS];
    gboolean is_right = TRUE;

    for (guint i = 0; i < N_RANKS; i++) {
        jobs[i] = (Job){&ranks[i], work};
        threads[i] = g_thread_new("rank", do_job, &jobs[i]);
    }
    for (guint i = 0; i < N_RANKS; i++)
        is_right = GPOINTER_TO_INT(g_thread_join(threads[i])) && is_right;
    return is_right;
}

static void hand_to_all(gpointer self, const EepWireGroupId *id)
{
    for (guint i = 1; i < N_RANKS; i++)
        eep_members_hand_id(ranks[i].worker.members, id);
}

/* What a worker does until it is READY, but for the weights of those who are new. */
static gboolean set_up(Rank *rank)
{
    EepWorker *worker = &rank->worker;
    EepStream *stream = &worker->streams[EEP_LANE_ASIDE];

    worker->welcome = (EepWireWelcome){.wait_ns = WAIT_NS, .model = shape};
    worker->device = eep_device_open(0, &rank->error);
    return worker->device != NULL && eep_device_use(worker->device, &rank->error) &&
           (worker->moe = eep_moe_new(worker->device, &shape, &rank->error)) != NULL &&
           eep_device_make_stream(worker->device, FALSE, stream, &rank->error) &&
           (worker->scratch =
                eep_device_alloc(worker->device, EEP_WORKER_SCRATCH_BYTES, &rank->error)) != NULL &&
           (rank->rank >= n_old || eep_moe_fill_non_expert(worker->moe, *stream, &rank->error)) &&
           eep_device_wait(worker->device, *stream, WAIT_NS, NULL, &rank->error);
}

static gboolean join(Rank *rank)
{
    EepWirePhase mine = phase;

    mine.rank = rank->rank;
    return eep_members_join(rank->worker.members, &mine, WAIT_NS,
                            eep_lane_stop(rank->worker.lanes[EEP_LANE_ASIDE]), hand_to_all, NULL,
                            &rank->error);
}

static gboolean send_weights(Rank *rank)
{
    EepWorkerYield yield = {.suspect = EEP_RANK_NONE};
    EepWirePhase mine = phase;

    mine.rank = rank->rank;
    return eep_device_use(rank->worker.device, &rank->error) &&
           eep_worker_send_weights(&rank->worker, &mine, is_tree, &yield, &rank->error);
}

static gboolean tear_down(Rank *rank)
{
    EepWorker *worker = &rank->worker;

    eep_members_free(worker->members);
    eep_moe_free(worker->moe);
    eep_device_drop_stream(worker->device, worker->streams[EEP_LANE_ASIDE]);
    eep_transport_free(worker->transport);
    eep_lane_free(worker->lanes[EEP_LANE_ASIDE]);
    eep_device_close(worker->device);
    g_clear_error(&rank->error);
    return TRUE;
}

static void expect_all(gboolean (*work)(Rank *rank))
{
    gboolean is_right = in_all(work);

    for (guint i = 0; i < N_RANKS; i++)
        ck_assert_msg(ranks[i].error == NULL, "rank %u: %s", i, ranks[i].error->message);
    ck_assert(is_right);
}

static const gint no_stop;

/* Four ranks in a group, the first n_old of which have the weights. */
static void begin(guint n, const EepWirePeers *routes, guint64 bytes)
{
    memset(ranks, 0, sizeof ranks);
    n_old = n;
    shape.non_expert_bytes = bytes;
    phase = (EepWirePhase){.op = 1,
                           .target_epoch = EPOCH,
                           .n_ranks = N_RANKS,
                           .n_routes = routes[2].to == 0 ? 2 : 3,
                           .routes = routes};
    for (guint i = 0; i < N_RANKS; i++) {
        EepWorker *worker = &ranks[i].worker;

        ranks[i].rank = i;
        worker->transport = eep_transport_loopback_new();
        worker->members = eep_members_new(worker->transport, &no_stop);
        worker->lanes[EEP_LANE_ASIDE] = eep_lane_new(&no_lane, worker);
    }
    expect_all(set_up);
    expect_all(join);
    for (guint i = 0; i < N_RANKS; i++) {
        g_autoptr(EepMembership) group = eep_members_find(ranks[i].worker.members, EPOCH);

        put_before(group->move);
    }
}

static const struct {
    gboolean is_tree;
    guint n_old;
    guint64 bytes;
    EepWirePeers routes[3]; /* the last receives last */
} ways[] = {
    {FALSE, 2, 256 << 10, {{0, 2}, {1, 3}}},
    {FALSE, 1, 256 << 10, {{0, 1}, {0, 2}, {0, 3}}},
    /* In two pieces, the second of which is short. */
    {TRUE, 1, (4 << 20) + (16 << 10), {{0, 1}, {1, 2}, {2, 3}}},
    {TRUE, 1, (4 << 20) + (16 << 10), {{0, 1}, {0, 2}, {1, 3}}},
};

START_TEST(every_byte_arrives)
{
    damage = SOUND;
    is_tree = ways[_i].is_tree;
    begin(ways[_i].n_old, ways[_i].routes, ways[_i].bytes);
    expect_all(send_weights);
    for (guint i = 0; i < N_RANKS; i++) {
        gsize bytes, a_layer;
        const guint8 *weights = eep_moe_non_expert(ranks[i].worker.moe, &bytes);

        ck_assert_uint_eq(bytes, ways[_i].bytes);
        a_layer = bytes / shape.n_layers;
        for (guint layer = 0; layer < shape.n_layers; layer++) {
            EepWeightRule rule = eep_weights_shared(shape.seed, layer, shape.hidden, a_layer);
            const guint64 *words = (const guint64 *)(weights + layer * a_layer);

            gsize at = 0;

            while (at < a_layer / 8 && words[at] == eep_weight_word(&rule, at))
                at++;
            ck_assert_msg(at == a_layer / 8, "rank %u, layer %u: word %zu is wrong", i, layer, at);
        }
    }
    in_all(tear_down);
}
END_TEST

/* Rank 3 receives last, whoever sends. */
START_TEST(what_is_changed_on_the_way_is_found)
{
    damage = FLIPS;
    is_tree = ways[_i].is_tree;
    begin(ways[_i].n_old, ways[_i].routes, ways[_i].bytes);
    ck_assert(!in_all(send_weights));
    for (guint i = 0; i < N_RANKS - 1; i++)
        ck_assert_msg(ranks[i].error == NULL, "rank %u: %s", i, ranks[i].error->message);
    ck_assert(g_error_matches(ranks[3].error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY));
    ck_assert_msg(strstr(ranks[3].error->message, "the non-expert weights came from rank") != NULL,
                  "%s", ranks[3].error->message);
    in_all(tear_down);
}
END_TEST

/* Though the receiver had the right bytes already: it was started by the same program. */
START_TEST(what_does_not_come_is_found)
{
    damage = LOSES;
    is_tree = ways[_i].is_tree;
    begin(ways[_i].n_old, ways[_i].routes, ways[_i].bytes);
    for (guint i = ways[_i].n_old; i < N_RANKS; i++)
        ck_assert(eep_moe_fill_non_expert(ranks[i].worker.moe,
                                          ranks[i].worker.streams[EEP_LANE_ASIDE], NULL));
    ck_assert(!in_all(send_weights));
    /* In a tree, who passes nothing on has the same nothing as who receives it. */
    ck_assert(
        g_error_matches(ranks[ways[_i].n_old].error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY));
    in_all(tear_down);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *tcase = tcase_create("weights");

    tcase_add_loop_test(tcase, every_byte_arrives, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, what_is_changed_on_the_way_is_found, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tcase, what_does_not_come_is_found, 0, G_N_ELEMENTS(ways));
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
