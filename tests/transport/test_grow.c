/* A communicator of two ranks becomes one of four: grown by a library that can, else joined anew by
 * a new id, with the same results; and what the emulated NCCL says of a grow that is wrong. */
#include <check.h>
#include <nccl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/transport/ranks.h"
#include "tests/transport/settle.h"

#define N_OLD    2
#define N_NEW    4
#define QUICK_NS (300 * MS)
#define SLOW_NS  (10000 * MS)

/* What the ranks of one run leave for the test, and tell each other. */
typedef struct {
    gint n_told;    /* atomic: ids that rank 0 told */
    gboolean grows; /* the last of them is for grow() */
    EepCommId id;
    gfloat sums[N_NEW][RANK_N_WORDS];
    guint64 least[N_NEW];
} Board;

static Board *board;

static void set_up(void)
{
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
}

static void prepare_version(const Rank *rank)
{
    setenv("EEP_EMULATED_NCCL_VERSION", rank->plan->variant ? "22903" : "22809", 1);
}

/* Rank 0 of `parent` tells all by what they become more: grown if it can be. */
static gboolean tell_id(Rank *rank, EepComm *parent)
{
    g_autoptr(GError) error = NULL, why = NULL;
    board->grows = parent->ops->make_grow_id(parent, &board->id, &why);
    EXPECT(rank, board->grows || g_error_matches(why, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY),
           TEXT(why));
    EXPECT(rank, board->grows || rank->transport->ops->make_id(rank->transport, &board->id, &error),
           TEXT(error));
    g_atomic_int_inc(&board->n_told);
    return TRUE;
}

static EepComm *become_more(Rank *rank, EepComm *parent, gint64 wait_ns, GError **error)
{
    const EepTransportOps *ops = rank->transport->ops;
    if (board->grows)
        return ops->grow(rank->transport, parent, &board->id, rank->rank, N_NEW, wait_ns, NULL,
                         error);
    return ops->join(rank->transport, &board->id, rank->rank, N_NEW, wait_ns, NULL, error);
}

static gboolean compute(Rank *rank, EepComm *comm)
{
    return rank_compute(rank, comm, SLOW_NS, board->sums[comm->rank], &board->least[comm->rank]);
}

static gboolean join_parent(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (rank->rank >= N_OLD)
        return TRUE;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank, N_OLD,
                                            SLOW_NS, NULL, &error);
    EXPECT(rank, rank->comm != NULL, TEXT(error));
    return compute(rank, rank->comm);
}

/* Twice from the same parent, as after a resize that was undone; the parent goes on between. */
static gboolean body_more(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (!join_parent(rank))
        return FALSE;
    for (gint round = 1; round <= 2; round++) {
        if (rank->rank == 0 && !tell_id(rank, rank->comm))
            return FALSE;
        while (g_atomic_int_get(&board->n_told) < round)
            g_usleep(200);
        EepComm *more = become_more(rank, rank->comm, SLOW_NS, &error);
        EXPECT(rank, more != NULL, TEXT(error));
        EXPECT(rank, more->rank == rank->rank && more->n_ranks == N_NEW);
        EXPECT(rank, board->grows == (rank->plan->variant != 0), "grows %d", board->grows);
        if (rank->comm != NULL && !compute(rank, rank->comm))
            return FALSE;
        rank_gate(rank, (guint)round, N_NEW);
        if (!compute(rank, more))
            return FALSE;
        eep_comm_leave(more);
    }
    return TRUE;
}

START_TEST(grown_and_joined_anew_are_the_same)
{
    Plan plan = {.kind = EEP_TRANSPORT_NCCL,
                 .n_ranks = N_NEW,
                 .wait_ns = SLOW_NS,
                 .dies = N_NEW,
                 .no_join = TRUE,
                 .prepare = prepare_version,
                 .body = body_more};
    Board anew, empty = {0};
    ck_assert_uint_eq(ranks_run(&plan), 0);
    anew = *board;
    *board = empty;
    plan.variant = 1;
    ck_assert_uint_eq(ranks_run(&plan), 0);
    ck_assert_int_eq(memcmp(anew.sums, board->sums, sizeof anew.sums), 0);
    ck_assert_int_eq(memcmp(anew.least, board->least, sizeof anew.least), 0);
    ck_assert_int_ne(memcmp(anew.sums, empty.sums, sizeof anew.sums), 0);
}
END_TEST

/* The last rank does not come: the others give up in time, keep the parent, and it is not grown a
 * second time. */
static gboolean body_missing(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (!join_parent(rank) || (rank->rank == 0 && !tell_id(rank, rank->comm)))
        return FALSE;
    while (g_atomic_int_get(&board->n_told) < 1)
        g_usleep(200);
    if (rank->rank + 1 == N_NEW)
        return TRUE;
    const gint64 began = g_get_monotonic_time();
    EXPECT(rank, become_more(rank, rank->comm, QUICK_NS, &error) == NULL);
    EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT), TEXT(error));
    EXPECT(rank, g_get_monotonic_time() - began < 2 * G_USEC_PER_SEC);
    if (rank->comm != NULL && !compute(rank, rank->comm))
        return FALSE;
    if (rank->rank == 0) {
        EXPECT(rank, tell_id(rank, rank->comm));
        EXPECT(rank, !board->grows);
    }
    return TRUE;
}

START_TEST(who_does_not_come_is_not_waited_for)
{
    Plan plan = {.kind = EEP_TRANSPORT_NCCL,
                 .n_ranks = N_NEW,
                 .wait_ns = SLOW_NS,
                 .dies = N_NEW,
                 .no_join = TRUE,
                 .variant = 1,
                 .prepare = prepare_version,
                 .body = body_missing};
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- calls that fail -- */

/* Rank 0 has made the first id by its first two calls. */
static void prepare_failure(const Rank *rank)
{
    g_autofree char *n =
        g_strdup_printf("%d", rank->plan->variant / N_NEW + (rank->rank == 0 ? 3 : 1));
    setenv("EEP_EMULATED_NCCL_VERSION", "22903", 1);
    if ((gint)rank->rank == rank->plan->variant % N_NEW)
        setenv("EEP_EMULATED_NCCL_FAIL", n, 1);
}

/* Whatever fails at whichever rank: nobody hangs, and nobody is given what is not there. */
static gboolean body_failure(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    EepComm *more = NULL;
    if (rank->rank < N_OLD)
        rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank,
                                                N_OLD, rank->plan->wait_ns, NULL, &error);
    if (rank->rank == 0) {
        board->grows =
            rank->comm != NULL && rank->comm->ops->make_grow_id(rank->comm, &board->id, NULL);
        if (!board->grows && !rank->transport->ops->make_id(rank->transport, &board->id, NULL))
            memset(&board->id, 7, sizeof board->id);
        g_atomic_int_inc(&board->n_told);
    }
    while (g_atomic_int_get(&board->n_told) < 1)
        g_usleep(200);
    g_clear_error(&error);
    if (rank->rank >= N_OLD || rank->comm != NULL)
        more = become_more(rank, rank->comm, rank->plan->wait_ns, &error);
    EXPECT(rank, (more == NULL) == (error != NULL) || rank->comm == NULL, TEXT(error));
    if (more != NULL)
        more->ops->abort(more);
    eep_comm_leave(more);
    return TRUE;
}

START_TEST(every_call_may_fail)
{
    Plan plan = {.kind = EEP_TRANSPORT_NCCL,
                 .n_ranks = N_NEW,
                 .wait_ns = 150 * MS,
                 .dies = N_NEW,
                 .no_join = TRUE,
                 .variant = _i,
                 .prepare = prepare_failure,
                 .body = body_failure};
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- the emulated calls themselves -- */

static ncclConfig_t not_blocking(void)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return config;
}

static void make_pair(ncclComm_t *ret_pair)
{
    ncclUniqueId id;
    ncclConfig_t config = not_blocking();
    setenv("EEP_EMULATED_NCCL_VERSION", "22903", 1);
    ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
    ck_assert_int_eq(ncclGetUniqueId(&id), ncclSuccess);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(ncclCommInitRankConfig(&ret_pair[i], 2, id, i, &config), ncclInProgress);
    for (int i = 0; i < 2; i++)
        ck_assert(settle(ret_pair[i], ncclSuccess));
}

static void check_refused(ncclResult_t result, ncclResult_t wanted, const char *why)
{
    ck_assert_int_eq(result, wanted);
    ck_assert_msg(strstr(ncclGetLastError(NULL), why) != NULL, "%s", ncclGetLastError(NULL));
}

START_TEST(wrong_grows_are_named)
{
    ncclComm_t pair[2], child = NULL, others[2], alone;
    ncclUniqueId id, other, plain;
    ncclConfig_t config = not_blocking();
    make_pair(pair);
    make_pair(others);
    ck_assert_int_eq(ncclGetUniqueId(&plain), ncclSuccess);
    ck_assert_int_eq(ncclCommGetUniqueId(pair[0], &id), ncclSuccess);
    ck_assert_int_eq(ncclCommGetUniqueId(others[0], &other), ncclSuccess);
    check_refused(ncclCommGetUniqueId(pair[0], &id), ncclInvalidUsage, "not used");
    check_refused(ncclCommGrow(pair[0], 2, &id, -1, &child, &config), ncclInvalidArgument,
                  "not larger");
    check_refused(ncclCommGrow(pair[0], 3, &id, 0, &child, &config), ncclInvalidArgument,
                  "rank -1");
    check_refused(ncclCommGrow(pair[0], 3, NULL, -1, &child, &config), ncclInvalidArgument,
                  "gives it");
    check_refused(ncclCommGrow(pair[1], 3, &id, -1, &child, &config), ncclInvalidArgument,
                  "give NULL");
    check_refused(ncclCommGrow(pair[0], 3, &other, -1, &child, &config), ncclInvalidArgument,
                  "not of this communicator");
    check_refused(ncclCommGrow(NULL, 3, NULL, 2, &child, &config), ncclInvalidArgument,
                  "gives the id");
    check_refused(ncclCommGrow(NULL, 3, &plain, 2, &child, &config), ncclInvalidArgument,
                  "not of ncclCommGetUniqueId");
    check_refused(ncclCommGrow(NULL, 3, &id, 1, &child, &config), ncclInvalidArgument, "behind");
    check_refused(ncclCommGrow(NULL, 3, &id, 3, &child, &config), ncclInvalidArgument, "behind");
    ck_assert_ptr_null(child);
    ck_assert_int_eq(ncclGetUniqueId(&plain), ncclSuccess);
    ck_assert_int_eq(ncclCommInitRankConfig(&alone, 1, plain, 0, &config), ncclInProgress);
    ck_assert(settle(alone, ncclSuccess));
    check_refused(ncclCommGetUniqueId(alone, &id), ncclInvalidUsage, "one rank");
}
END_TEST

/* The three ranks of a grow in one process; the new communicator alone is in progress. */
START_TEST(a_parent_stays)
{
    ncclComm_t pair[2], grown[3];
    ncclUniqueId id;
    ncclConfig_t config = not_blocking();
    gpointer memory;
    cudaStream_t stream;
    make_pair(pair);
    ck_assert_int_eq(cudaMalloc(&memory, 4096), cudaSuccess);
    ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    ck_assert_int_eq(ncclCommGetUniqueId(pair[1], &id), ncclSuccess); /* any rank may be root */
    ck_assert_int_eq(ncclCommGrow(NULL, 3, &id, 2, &grown[2], &config), ncclSuccess);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ncclCommGrow(pair[i], 3, i == 1 ? &id : NULL, -1, &grown[i], &config),
                         ncclSuccess);
        ck_assert(settle(pair[i], ncclSuccess));
    }
    for (int i = 0; i < 3; i++)
        ck_assert(settle(grown[i], ncclSuccess));
    check_refused(ncclCommGrow(pair[1], 3, &id, -1, &grown[1], &config), ncclInvalidArgument,
                  "gives it");
    /* With an operation under way there is no id. */
    ck_assert_int_eq(ncclAllReduce(memory, memory, 8, ncclUint64, ncclMin, pair[0], stream),
                     ncclInProgress);
    ck_assert(settle(pair[0], ncclSuccess));
    check_refused(ncclCommGetUniqueId(pair[0], &id), ncclInvalidUsage, "outstanding");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(ncclCommAbort(pair[i]), ncclSuccess);
}
END_TEST

/* Ranks that do not agree on how many they become. */
START_TEST(grows_that_differ_are_named)
{
    ncclComm_t pair[2], grown[2];
    ncclUniqueId id;
    ncclConfig_t config = not_blocking();
    make_pair(pair);
    ck_assert_int_eq(ncclCommGetUniqueId(pair[0], &id), ncclSuccess);
    ck_assert_int_eq(ncclCommGrow(pair[0], 3, &id, -1, &grown[0], &config), ncclSuccess);
    ck_assert_int_eq(ncclCommGrow(pair[1], 4, NULL, -1, &grown[1], &config), ncclSuccess);
    ck_assert(settle(grown[0], ncclInvalidUsage));
    ck_assert(strstr(ncclGetLastError(grown[0]), "of 3") != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grow");
    TCase *ranks = tcase_create("ranks"), *calls = tcase_create("calls");
    tcase_add_checked_fixture(ranks, set_up, NULL);
    tcase_add_test(ranks, grown_and_joined_anew_are_the_same);
    tcase_add_test(ranks, who_does_not_come_is_not_waited_for);
    tcase_add_loop_test(ranks, every_call_may_fail, 0, 10 * N_NEW);
    suite_add_tcase(suite, ranks);
    tcase_add_test(calls, wrong_grows_are_named);
    tcase_add_test(calls, a_parent_stays);
    tcase_add_test(calls, grows_that_differ_are_named);
    suite_add_tcase(suite, calls);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
