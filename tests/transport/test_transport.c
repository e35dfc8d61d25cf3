/* What a transport promises, of both of them: the right bytes, and no wait without an end. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/transport/ranks.h"

#define BIG (3u << 20) /* more than a socket takes at once */

static const guint sizes[] = {1, 2, 3, 5, 8};

#define N_SIZES  ((int)G_N_ELEMENTS(sizes))
#define QUICK_NS (300 * MS)
#define SLOW_NS  (10000 * MS)

static EepTransportKind kind_of(int i)
{
    return i % 2 == 0 ? EEP_TRANSPORT_NCCL : EEP_TRANSPORT_LOOPBACK;
}

static Plan plan_of(int i, guint n_ranks, gint64 wait_ns, gboolean (*body)(Rank *))
{
    return (Plan){
        .kind = kind_of(i), .n_ranks = n_ranks, .wait_ns = wait_ns, .dies = n_ranks, .body = body};
}

static gboolean wait_for(Rank *rank, gint64 wait_ns, guint *ret_suspect, GError **error)
{
    return rank->comm->ops->wait(rank->comm, rank->stream, wait_ns, NULL, ret_suspect, error);
}

/* -- the right bytes -- */

static gsize piece_bytes(guint from, guint to)
{
    if (from == 0 && to == 1)
        return BIG;
    return (from * 7 + to * 3) % 5 * 1001; /* 0 for some */
}

static guint8 piece_byte(guint from, guint to, guint round, gsize i)
{
    return (guint8)(from * 31 + to * 17 + round * 5 + i + i / 251);
}

/* Several rounds on the stream before the first wait: buffers are only used again behind events. */
static gboolean body_exchange(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const guint n = rank->plan->n_ranks;
    guint8 *out[MAX_RANKS], *in[MAX_RANKS];
    g_autofree guint8 *host = g_malloc(BIG);
    for (guint i = 0; i < n; i++) {
        out[i] = rank_alloc(rank, piece_bytes(rank->rank, i));
        in[i] = rank_alloc(rank, piece_bytes(i, rank->rank));
    }
    for (guint round = 0; round < 3; round++) {
        EepPiece pieces[2 * MAX_RANKS];
        for (guint i = 0; i < n; i++) {
            const gsize bytes = piece_bytes(rank->rank, i);
            for (gsize b = 0; b < bytes; b++)
                host[b] = piece_byte(rank->rank, i, round, b);
            EXPECT(rank, rank_put(rank, out[i], host, bytes));
            pieces[2 * i] = (EepPiece){i, TRUE, out[i], bytes};
            pieces[2 * i + 1] = (EepPiece){i, FALSE, in[i], piece_bytes(i, rank->rank)};
        }
        EXPECT(rank, rank->comm->ops->exchange(rank->comm, 2 * n, pieces, rank->stream, &error),
               TEXT(error));
        EXPECT(rank, wait_for(rank, SLOW_NS, NULL, &error), TEXT(error));
        for (guint i = 0; i < n; i++) {
            const gsize bytes = piece_bytes(i, rank->rank);
            EXPECT(rank, rank_get(rank, host, in[i], bytes));
            for (gsize b = 0; b < bytes; b++)
                EXPECT(rank, host[b] == piece_byte(i, rank->rank, round, b), "byte %zu from %u", b,
                       i);
        }
    }
    return TRUE;
}

START_TEST(exchange_carries_every_byte)
{
    Plan plan = plan_of(_i, sizes[_i / 2], SLOW_NS, body_exchange);
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* Floats whose sum depends on the order. */
static gfloat addend(guint from, guint to, guint i)
{
    return (from % 2 == 0 ? 1e8f : -1e8f) + 1.25f * (gfloat)(from + to) + 0.37f * (gfloat)i;
}

static gboolean body_collectives(Rank *rank)
{
    enum { N = 300 };
    g_autoptr(GError) error = NULL;
    const guint n = rank->plan->n_ranks;
    gfloat host[MAX_RANKS * N], sums[N];
    guint64 least[N], words[MAX_RANKS * N];
    gfloat *send = rank_alloc(rank, sizeof host), *recv = rank_alloc(rank, sizeof sums);
    guint64 *inout = rank_alloc(rank, sizeof least), *all = rank_alloc(rank, sizeof words);
    const EepCommOps *ops = rank->comm->ops;
    for (guint i = 0; i < n * N; i++)
        host[i] = addend(rank->rank, i / N, i % N);
    for (guint i = 0; i < N; i++)
        least[i] = (rank->rank * 5 + i) % n + 1000 * i + (G_GUINT64_CONSTANT(1) << 40);
    EXPECT(rank, rank_put(rank, send, host, n * N * sizeof *host));
    EXPECT(rank, rank_put(rank, inout, least, sizeof least));
    /* One after the other on the stream, with one wait: in place, and behind each other. */
    EXPECT(rank, ops->reduce_scatter(rank->comm, send, recv, N, rank->stream, &error), TEXT(error));
    EXPECT(rank, ops->all_gather(rank->comm, inout, all, sizeof least, rank->stream, &error),
           TEXT(error));
    EXPECT(rank, ops->all_reduce_min(rank->comm, inout, N, rank->stream, &error), TEXT(error));
    EXPECT(rank, wait_for(rank, SLOW_NS, NULL, &error), TEXT(error));
    EXPECT(rank, rank_get(rank, sums, recv, sizeof sums));
    EXPECT(rank, rank_get(rank, least, inout, sizeof least));
    EXPECT(rank, rank_get(rank, words, all, n * sizeof least));
    EXPECT(rank, rank->comm->is_bit_exact);
    for (guint i = 0; i < N; i++) {
        gfloat sum = addend(0, rank->rank, i);
        guint64 expected = G_MAXUINT64;
        for (guint r = 0; r < n; r++) {
            const guint64 word = (r * 5 + i) % n + 1000 * i + (G_GUINT64_CONSTANT(1) << 40);
            sum += r > 0 ? addend(r, rank->rank, i) : 0;
            expected = MIN(expected, word);
            EXPECT(rank, words[r * N + i] == word, "word %u of rank %u", i, r);
        }
        EXPECT(rank, memcmp(&sum, &sums[i], sizeof sum) == 0, "sum %u: %a, not %a", i, sums[i],
               sum);
        EXPECT(rank, least[i] == expected, "least %u", i);
    }
    return TRUE;
}

START_TEST(collectives_give_the_values)
{
    Plan plan = plan_of(_i, sizes[_i / 2], SLOW_NS, body_collectives);
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

static void prepare_latency(const Rank *rank)
{
    setenv("EEP_EMULATED_NCCL_LATENCY", "3000", 1);
}

START_TEST(collectives_bear_delays)
{
    Plan plan = plan_of(0, 4, SLOW_NS, body_collectives);
    plan.prepare = prepare_latency;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- ranks that are gone -- */

/* Everybody sends 8 bytes to everybody; TRUE if they came. */
static gboolean round_trip(Rank *rank, EepComm *comm, gint64 wait_ns, guint *ret_suspect,
                           GError **error)
{
    guint64 *out = rank_alloc(rank, 8), *in = rank_alloc(rank, 8 * comm->n_ranks);
    guint64 words[MAX_RANKS] = {comm->rank + 77};
    EepPiece pieces[2 * MAX_RANKS];
    for (guint i = 0; i < comm->n_ranks; i++) {
        pieces[2 * i] = (EepPiece){i, TRUE, out, 8};
        pieces[2 * i + 1] = (EepPiece){i, FALSE, in + i, 8};
    }
    if (ret_suspect != NULL)
        *ret_suspect = EEP_RANK_NONE;
    gboolean is_good = rank_put(rank, out, words, 8) &&
                       comm->ops->exchange(comm, 2 * comm->n_ranks, pieces, rank->stream, error);
    /* A wait tells who, also where the call itself failed. */
    g_autoptr(GError) second = NULL;
    is_good = comm->ops->wait(comm, rank->stream, wait_ns, NULL, ret_suspect,
                              is_good ? error : &second) &&
              is_good;
    for (guint i = 0; i < comm->n_ranks && is_good; i++)
        is_good = rank_get(rank, words, in + i, 8) && words[0] == i + 77;
    return is_good;
}

enum { ANNOUNCED, SILENT };

static void prepare_detection(const Rank *rank)
{
    setenv("EEP_EMULATED_NCCL_DETECT", rank->plan->variant == ANNOUNCED ? "1" : "0", 1);
}

/* Rank 1 dies between two calls; the others see it in time, with the right class, and go on without
 * it. */
static gboolean body_death(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const guint n = rank->plan->n_ranks;
    const guint gone = rank->plan->dies;
    guint suspect;
    rank->comm->may_shrink = TRUE;
    EXPECT(rank, round_trip(rank, rank->comm, SLOW_NS, NULL, &error), TEXT(error));
    if (rank->rank == gone)
        return rank_dies(rank);
    const gint64 began = g_get_monotonic_time();
    EXPECT(rank, !round_trip(rank, rank->comm, QUICK_NS, &suspect, &error));
    const gint64 took = g_get_monotonic_time() - began;
    rank_gate(rank, 0, n - 1); /* who shrinks closes connections, which others may see */
    EXPECT(rank, took < 3 * G_USEC_PER_SEC, "%d us", (int)took);
    if (rank->plan->kind == EEP_TRANSPORT_NCCL) {
        const gint code =
            rank->plan->variant == ANNOUNCED ? EEP_DEVICE_ERROR_GROUP : EEP_DEVICE_ERROR_TIMED_OUT;
        EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, code), TEXT(error));
        EXPECT(rank,
               rank->plan->variant == SILENT || strstr(error->message, "ncclRemoteError") != NULL,
               TEXT(error));
        EXPECT(rank, rank->plan->variant == SILENT || strstr(error->message, "rank 1") != NULL,
               TEXT(error));
        EXPECT(rank, suspect == EEP_RANK_NONE);
    } else {
        EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT),
               TEXT(error));
        EXPECT(rank, suspect == gone, "%u", suspect);
    }
    g_clear_error(&error);
    EXPECT(rank, !rank->comm->ops->exchange(rank->comm, 0, NULL, rank->stream, &error));
    g_clear_error(&error);
    EepComm *rest = rank->comm->ops->shrink(rank->comm, 1, &gone, TRUE, SLOW_NS, NULL, &error);
    EXPECT(rank, rest != NULL, TEXT(error));
    EXPECT(rank, rest->n_ranks == n - 1 && rest->rank == rank->rank - (rank->rank > gone));
    EXPECT(rank, round_trip(rank, rest, SLOW_NS, NULL, &error), TEXT(error));
    eep_comm_leave(rest);
    return TRUE;
}

START_TEST(death_is_seen_and_survived)
{
    Plan plan = plan_of(_i, 4, QUICK_NS, body_death);
    plan.dies = 1;
    plan.variant = _i / 2 == 0 ? ANNOUNCED : SILENT;
    plan.prepare = prepare_detection;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* Without may_shrink it is aborted at once: the stream is free, leaving does not wait. */
static gboolean body_broken_is_aborted(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (rank->rank == rank->plan->dies)
        return rank_dies(rank);
    EXPECT(rank, !round_trip(rank, rank->comm, QUICK_NS, NULL, &error));
    EXPECT(rank, cudaStreamQuery(rank->stream) == cudaSuccess);
    const gint64 began = g_get_monotonic_time();
    eep_comm_leave(g_steal_pointer(&rank->comm));
    EXPECT(rank, g_get_monotonic_time() - began < G_USEC_PER_SEC);
    return TRUE;
}

START_TEST(broken_is_aborted)
{
    Plan plan = plan_of(_i, 3, QUICK_NS, body_broken_is_aborted);
    plan.dies = 2;
    plan.variant = SILENT;
    plan.prepare = prepare_detection;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* The last rank is left out while all live. */
static gboolean body_shrink(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const guint gone = rank->plan->n_ranks - 1;
    EXPECT(rank, round_trip(rank, rank->comm, SLOW_NS, NULL, &error), TEXT(error));
    if (rank->rank != gone) {
        EepComm *rest = rank->comm->ops->shrink(rank->comm, 1, &gone, FALSE, SLOW_NS, NULL, &error);
        EXPECT(rank, rest != NULL, TEXT(error));
        EXPECT(rank, round_trip(rank, rest, SLOW_NS, NULL, &error), TEXT(error));
        eep_comm_leave(rest);
    }
    EXPECT(rank, round_trip(rank, rank->comm, SLOW_NS, NULL, &error), TEXT(error));
    return TRUE;
}

START_TEST(shrink_leaves_the_parent)
{
    Plan plan = plan_of(_i, 4, SLOW_NS, body_shrink);
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- ends of waits -- */

static gboolean body_mismatch(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    guint64 *memory = rank_alloc(rank, 64);
    const EepPiece piece = {1 - rank->rank, rank->rank == 0, memory,
                            rank->rank == 0 ? (gsize)24 : (gsize)40};
    const gboolean is_good =
        rank->comm->ops->exchange(rank->comm, 1, &piece, rank->stream, &error) &&
        wait_for(rank, QUICK_NS, NULL, &error);
    if (rank->rank == 0 && rank->plan->kind == EEP_TRANSPORT_NCCL)
        return TRUE; /* what a sender sends has gone */
    EXPECT(rank, !is_good);
    EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP), TEXT(error));
    EXPECT(rank,
           strstr(error->message, "24 bytes") && strstr(error->message, "40 bytes") &&
               strstr(error->message, "rank 0"),
           TEXT(error));
    return TRUE;
}

START_TEST(mismatch_is_named)
{
    Plan plan = plan_of(_i, 2, QUICK_NS, body_mismatch);
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

static void *abort_later(void *data)
{
    Rank *rank = data;
    g_usleep(50000);
    rank->comm->ops->abort(rank->comm);
    return NULL;
}

/* Rank 0 waits for a message that never comes; another thread of it aborts. */
static gboolean body_abort(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (rank->rank == 0) {
        const EepPiece piece = {1, FALSE, rank_alloc(rank, 64), 64};
        pthread_t thread;
        const gint64 began = g_get_monotonic_time();
        EXPECT(rank, pthread_create(&thread, NULL, abort_later, rank) == 0);
        const gboolean is_good =
            rank->comm->ops->exchange(rank->comm, 1, &piece, rank->stream, &error) &&
            wait_for(rank, SLOW_NS, NULL, &error);
        pthread_join(thread, NULL);
        EXPECT(rank, !is_good);
        EXPECT(rank, g_get_monotonic_time() - began < 2 * G_USEC_PER_SEC);
        EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED),
               TEXT(error));
        g_clear_error(&error);
        EXPECT(rank, !rank->comm->ops->exchange(rank->comm, 1, &piece, rank->stream, &error));
    }
    rank_gate(rank, 0, 2);
    if (rank->rank == 1)
        rank->comm->ops->abort(rank->comm);
    return TRUE;
}

START_TEST(abort_from_another_thread)
{
    Plan plan = plan_of(_i, 2, SLOW_NS, body_abort);
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* An operation whose launch takes its time (it connects two ranks, say) is given up when its user
 * says so. */
static void prepare_slow_calls(const Rank *rank)
{
    setenv("EEP_EMULATED_NCCL_LATENCY", "400000", 1);
}

static gboolean body_stop(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const gint stop = 1;
    const EepPiece piece = {1 - rank->rank, rank->rank == 0, rank_alloc(rank, 64), 64};
    rank->comm->stop = &stop;
    EXPECT(rank, !rank->comm->ops->exchange(rank->comm, 1, &piece, rank->stream, &error));
    EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED), TEXT(error));
    return TRUE;
}

START_TEST(a_launch_is_given_up)
{
    Plan plan = plan_of(0, 2, SLOW_NS, body_stop);
    plan.prepare = prepare_slow_calls;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- two ranks on one GPU -- */

static void prepare_bus_ids(const Rank *rank)
{
    setenv("EEP_EMULATED_NCCL_BUS_IDS", rank->plan->variant & 1 ? "1" : "0", 1);
}

/* All ranks open device 0. */
static gboolean body_same_gpu(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const gboolean compares = (rank->plan->variant & 1) != 0;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank,
                                            rank->plan->n_ranks, QUICK_NS, NULL, &error);
    EXPECT(rank, (rank->comm == NULL) == compares, TEXT(error));
    if (!compares)
        return round_trip(rank, rank->comm, SLOW_NS, NULL, &error);
    /* Who meets its twin says so; who only waits for them gives up, or sees them go. */
    if (strstr(error->message, "Duplicate GPU detected") != NULL)
        EXPECT(rank, strstr(error->message, "both on 0000:") != NULL, TEXT(error));
    else
        EXPECT(rank, rank->plan->n_ranks > 2, TEXT(error));
    return TRUE;
}

START_TEST(two_ranks_on_one_gpu_are_refused)
{
    Plan plan = plan_of(0, _i < 2 ? 2 : 4, QUICK_NS, body_same_gpu);
    plan.no_join = TRUE;
    plan.variant = _i;
    plan.prepare = prepare_bus_ids;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* Nobody has the last rank: the others give up in time, or when they are told to stop. */
static gboolean body_join(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    gint stop = rank->plan->variant;
    const gint64 began = g_get_monotonic_time();
    rank->comm =
        rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank,
                                   rank->plan->n_ranks + 1, rank->plan->wait_ns, &stop, &error);
    EXPECT(rank, rank->comm == NULL);
    EXPECT(rank, g_get_monotonic_time() - began < 2 * G_USEC_PER_SEC);
    EXPECT(rank,
           g_error_matches(error, EEP_DEVICE_ERROR,
                           stop ? EEP_DEVICE_ERROR_STOPPED : EEP_DEVICE_ERROR_TIMED_OUT),
           TEXT(error));
    return TRUE;
}

START_TEST(join_gives_up)
{
    Plan plan = plan_of(_i, 3, _i / 2 == 0 ? QUICK_NS : SLOW_NS, body_join);
    plan.no_join = TRUE;
    plan.variant = _i / 2;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* Two ranks that disagree on how many there are. */
static gboolean body_disagree(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank,
                                            2 + rank->rank, QUICK_NS, NULL, &error);
    EXPECT(rank, rank->comm == NULL);
    if (rank->plan->kind == EEP_TRANSPORT_NCCL) {
        EXPECT(rank, g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP), TEXT(error));
        EXPECT(rank, strstr(error->message, "ranks") != NULL, TEXT(error));
    }
    return TRUE;
}

START_TEST(disagreement_is_named)
{
    Plan plan = plan_of(_i, 2, QUICK_NS, body_disagree);
    plan.no_join = TRUE;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

/* -- calls that fail -- */

static void prepare_failure(const Rank *rank)
{
    g_autofree char *n = g_strdup_printf("%d", rank->plan->variant);
    if (rank->rank == 1)
        setenv("EEP_EMULATED_NCCL_FAIL", n, 1);
}

/* Whatever fails: no wrong result is called right, and no rank hangs. */
static gboolean body_failure(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    const guint n = rank->plan->n_ranks;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank, n,
                                            rank->plan->wait_ns, NULL, &error);
    if (rank->comm == NULL)
        return error != NULL;
    for (guint i = 0; i < 2; i++) {
        if (!round_trip(rank, rank->comm, rank->plan->wait_ns, NULL, &error)) {
            EXPECT(rank, error != NULL);
            return TRUE;
        }
    }
    return TRUE;
}

START_TEST(every_call_may_fail)
{
    Plan plan = plan_of(0, 2, 150 * MS, body_failure);
    plan.no_join = TRUE;
    plan.variant = _i + 1;
    plan.prepare = prepare_failure;
    ck_assert_uint_eq(ranks_run(&plan), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport");
    TCase *right = tcase_create("right");
    tcase_add_loop_test(right, exchange_carries_every_byte, 0, 2 * N_SIZES);
    tcase_add_loop_test(right, collectives_give_the_values, 0, 2 * N_SIZES);
    tcase_add_test(right, collectives_bear_delays);
    tcase_add_loop_test(right, shrink_leaves_the_parent, 0, 2);
    suite_add_tcase(suite, right);
    TCase *wrong = tcase_create("wrong");
    tcase_add_loop_test(wrong, death_is_seen_and_survived, 0, 4);
    tcase_add_loop_test(wrong, broken_is_aborted, 0, 2);
    tcase_add_loop_test(wrong, mismatch_is_named, 0, 2);
    tcase_add_loop_test(wrong, abort_from_another_thread, 0, 2);
    tcase_add_test(wrong, a_launch_is_given_up);
    tcase_add_loop_test(wrong, two_ranks_on_one_gpu_are_refused, 0, 4);
    tcase_add_loop_test(wrong, join_gives_up, 0, 4);
    tcase_add_loop_test(wrong, disagreement_is_named, 0, 2);
    tcase_add_loop_test(wrong, every_call_may_fail, 0, 24);
    suite_add_tcase(suite, wrong);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
