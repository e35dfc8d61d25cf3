/* A communicator of four ranks becomes one of two: shrunk, with the others alive or dead, or joined
 * anew by a new id, with the same results; and whatever call fails, nobody hangs. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/transport/ranks.h"

#define N_OLD    4
#define N_NEW    2
#define SLOW_NS  (10000 * MS)
#define QUICK_NS (150 * MS)

static const guint gone[] = {1, 3};

typedef enum { SHRUNK, SHRUNK_FROM_THE_DEAD, JOINED, WAY_COUNT } Way;

typedef struct {
    gint has_id; /* atomic: of what is joined anew */
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

static gboolean stays(const Rank *rank)
{
    return rank->rank % 2 == 0;
}

static EepComm *join_anew(Rank *rank, GError **error)
{
    const EepTransportOps *ops = rank->transport->ops;
    if (rank->rank == 0) {
        if (!ops->make_id(rank->transport, &board->id, error))
            return NULL;
        g_atomic_int_set(&board->has_id, 1);
    }
    while (g_atomic_int_get(&board->has_id) == 0)
        g_usleep(200);
    return ops->join(rank->transport, &board->id, rank->rank / 2, N_NEW, SLOW_NS, NULL, error);
}

static gboolean body_fewer(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const Way way = (Way)rank->plan->variant;
    gfloat sums[RANK_N_WORDS];
    guint64 least;
    EepComm *fewer;
    if (!rank_compute(rank, rank->comm, SLOW_NS, sums, &least))
        return FALSE;
    rank_gate(rank, 0, N_OLD);
    if (!stays(rank) && rank->rank == rank->plan->dies)
        return rank_dies(rank);
    if (stays(rank)) {
        fewer = way == JOINED
                    ? join_anew(rank, &error)
                    : rank->comm->ops->shrink(rank->comm, G_N_ELEMENTS(gone), gone,
                                              way == SHRUNK_FROM_THE_DEAD, SLOW_NS, NULL, &error);
        EXPECT(rank, fewer != NULL, TEXT(error));
        EXPECT(rank, fewer->rank == rank->rank / 2 && fewer->n_ranks == N_NEW);
        if (!rank_compute(rank, fewer, SLOW_NS, board->sums[fewer->rank],
                          &board->least[fewer->rank]))
            return FALSE;
        eep_comm_leave(fewer);
    }
    /* A healthy parent goes on; one with dead members is aborted. */
    if (way != SHRUNK_FROM_THE_DEAD)
        return rank_compute(rank, rank->comm, SLOW_NS, sums, &least);
    EXPECT(rank, !stays(rank) ||
                     !rank->comm->ops->all_gather(rank->comm, NULL, NULL, 8, rank->stream, NULL));
    return TRUE;
}

START_TEST(shrunk_and_joined_anew_are_the_same)
{
    static const EepTransportKind kinds[] = {EEP_TRANSPORT_NCCL, EEP_TRANSPORT_LOOPBACK};
    Board of[WAY_COUNT], empty = {0};
    for (Way way = 0; way < WAY_COUNT; way++) {
        Plan plan = {.kind = kinds[_i],
                     .n_ranks = N_OLD,
                     .wait_ns = SLOW_NS,
                     .dies = way == SHRUNK_FROM_THE_DEAD ? 3 : N_OLD,
                     .variant = way,
                     .body = body_fewer};
        *board = empty;
        ck_assert_uint_eq(ranks_run(&plan), 0);
        of[way] = *board;
        ck_assert_int_eq(memcmp(of[way].sums, of[0].sums, sizeof of[0].sums), 0);
        ck_assert_int_eq(memcmp(of[way].least, of[0].least, sizeof of[0].least), 0);
    }
    ck_assert_int_ne(memcmp(of[0].sums, empty.sums, sizeof empty.sums), 0);
}
END_TEST

/* -- what goes wrong -- */

/* Who stays and is stopped does not sit out its wait for another who does not come. */
static gboolean body_stopped(Rank *rank)
{
    static const gint stop = 1;
    g_autoptr(GError) error = NULL;
    if (rank->rank == 0) {
        const gint64 began = g_get_monotonic_time();
        EXPECT(rank, rank->comm->ops->shrink(rank->comm, G_N_ELEMENTS(gone), gone, FALSE, SLOW_NS,
                                             &stop, &error) == NULL);
        EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED),
               TEXT(error));
        EXPECT(rank, g_get_monotonic_time() - began < 3 * G_USEC_PER_SEC);
    }
    rank_gate(rank, 0, N_OLD);
    return TRUE;
}

START_TEST(a_shrink_can_be_stopped)
{
    Plan plan = {.kind = _i == 0 ? EEP_TRANSPORT_NCCL : EEP_TRANSPORT_LOOPBACK,
                 .n_ranks = N_OLD,
                 .wait_ns = SLOW_NS,
                 .dies = N_OLD,
                 .body = body_stopped};
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* Calls of one of those that stay; rank 0 has made the first id by its first two. */
static void prepare_failure(const Rank *rank)
{
    g_autofree char *n = g_strdup_printf("%d", rank->plan->variant / 4 + (rank->rank == 0 ? 3 : 1));
    if ((gint)rank->rank == rank->plan->variant % 2 * 2)
        setenv("EEP_EMULATED_NCCL_FAIL", n, 1);
}

/* Whatever fails: nobody hangs, and nobody is given what is not there. */
static gboolean body_failure(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const gboolean is_broken = rank->plan->variant / 2 % 2 != 0;
    EepComm *fewer = NULL;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank, N_OLD,
                                            QUICK_NS, NULL, &error);
    rank_gate(rank, 0, N_OLD);
    if (rank->comm != NULL && stays(rank)) {
        g_clear_error(&error);
        fewer = rank->comm->ops->shrink(rank->comm, G_N_ELEMENTS(gone), gone, is_broken, QUICK_NS,
                                        NULL, &error);
        EXPECT(rank, (fewer == NULL) == (error != NULL), TEXT(error));
    }
    if (fewer != NULL)
        fewer->ops->abort(fewer);
    eep_comm_leave(fewer);
    rank_gate(rank, 1, N_OLD);
    return TRUE;
}

START_TEST(every_call_may_fail)
{
    Plan plan = {.kind = EEP_TRANSPORT_NCCL,
                 .n_ranks = N_OLD,
                 .wait_ns = QUICK_NS,
                 .dies = N_OLD,
                 .no_join = TRUE,
                 .variant = _i,
                 .prepare = prepare_failure,
                 .body = body_failure};
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shrink");
    TCase *tcase = tcase_create("ranks");
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_loop_test(tcase, shrunk_and_joined_anew_are_the_same, 0, 2);
    tcase_add_loop_test(tcase, a_shrink_can_be_stopped, 0, 2);
    tcase_add_loop_test(tcase, every_call_may_fail, 0, 4 * 12);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
