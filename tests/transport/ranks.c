#include "tests/transport/ranks.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_US (20 * G_USEC_PER_SEC)

gboolean rank_dies(Rank *rank)
{
    if (rank->plan->kind == EEP_TRANSPORT_NCCL)
        kill(getpid(), SIGKILL);
    return TRUE;
}

void rank_gate(Rank *rank, guint gate, guint n)
{
    g_atomic_int_inc(&rank->shared->n_at_gate[gate]);
    while (g_atomic_int_get(&rank->shared->n_at_gate[gate]) < (gint)n)
        g_usleep(500);
}

gboolean rank_put(Rank *rank, gpointer device, gconstpointer host, gsize bytes)
{
    return EEP_CUDA(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, rank->stream),
                    NULL) &&
           eep_device_wait(rank->device, rank->stream, 5000 * MS, NULL, NULL);
}

gboolean rank_get(Rank *rank, gpointer host, gconstpointer device, gsize bytes)
{
    return EEP_CUDA(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, rank->stream),
                    NULL) &&
           eep_device_wait(rank->device, rank->stream, 5000 * MS, NULL, NULL);
}

gpointer rank_alloc(Rank *rank, gsize bytes)
{
    return eep_device_alloc(rank->device, MAX(bytes, 8), NULL);
}

gboolean rank_compute(Rank *rank, EepComm *comm, gint64 wait_ns, gfloat ret_sums[RANK_N_WORDS],
                      guint64 *ret_least)
{
    g_autoptr(GError) error = NULL;
    const guint n = comm->n_ranks;
    gfloat host[4 * RANK_N_WORDS];
    guint64 least = 100 + (comm->rank + 1) % n;
    gfloat *send = rank_alloc(rank, sizeof host), *recv = rank_alloc(rank, sizeof host);
    guint64 *inout = rank_alloc(rank, sizeof least);
    for (guint i = 0; i < n * RANK_N_WORDS; i++)
        host[i] = (comm->rank % 2 == 0 ? 1e8f : -1e8f) + 0.37f * (gfloat)(i + comm->rank);
    EXPECT(rank, rank_put(rank, send, host, sizeof host));
    EXPECT(rank, rank_put(rank, inout, &least, sizeof least));
    EXPECT(rank,
           comm->ops->reduce_scatter(comm, send, recv, RANK_N_WORDS, rank->stream, &error) &&
               comm->ops->all_reduce_min(comm, inout, 1, rank->stream, &error) &&
               comm->ops->wait(comm, rank->stream, wait_ns, NULL, NULL, &error),
           TEXT(error));
    EXPECT(rank, rank_get(rank, ret_sums, recv, RANK_N_WORDS * sizeof *recv));
    EXPECT(rank, rank_get(rank, ret_least, inout, sizeof least));
    EXPECT(rank, *ret_least == 100);
    return TRUE;
}

static gboolean join(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (rank->rank == 0) {
        EXPECT(rank, rank->transport->ops->make_id(rank->transport, &rank->shared->id, &error),
               TEXT(error));
        g_atomic_int_set(&rank->shared->has_id, 1);
    }
    while (!g_atomic_int_get(&rank->shared->has_id))
        g_usleep(200);
    if (rank->plan->no_join)
        return TRUE;
    rank->comm = rank->transport->ops->join(rank->transport, &rank->shared->id, rank->rank,
                                            rank->plan->n_ranks, rank->plan->wait_ns, NULL, &error);
    EXPECT(rank, rank->comm != NULL, TEXT(error));
    return TRUE;
}

static void end_rank(Rank *rank)
{
    eep_comm_leave(rank->comm);
    eep_transport_free(rank->transport);
    eep_device_drop_stream(rank->device, rank->stream);
    eep_device_close(rank->device);
}

static gboolean run_rank(Rank *rank)
{
    g_autoptr(GError) error = NULL;
    if (rank->plan->prepare != NULL)
        rank->plan->prepare(rank);
    rank->device = eep_device_open(0, &error);
    EXPECT(rank, rank->device != NULL, TEXT(error));
    EXPECT(rank, eep_device_use(rank->device, &error), TEXT(error));
    EXPECT(rank, eep_device_make_stream(rank->device, TRUE, &rank->stream, &error), TEXT(error));
    rank->transport = rank->plan->kind == EEP_TRANSPORT_NCCL ? eep_transport_nccl_new()
                                                             : eep_transport_loopback_new();
    const gboolean is_good = join(rank) && rank->plan->body(rank);
    if (rank->rank != rank->plan->dies) /* a thread that is gone closes nothing */
        end_rank(rank);
    return is_good;
}

static void *run_thread(void *data)
{
    return run_rank(data) ? NULL : data;
}

static guint run_threads(Rank *ranks, guint n)
{
    pthread_t threads[MAX_RANKS];
    guint n_failed = 0;
    for (guint i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run_thread, &ranks[i]) != 0)
            abort();
    for (guint i = 0; i < n; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        n_failed += failed != NULL;
    }
    if (ranks->plan->dies < n)
        end_rank(&ranks[ranks->plan->dies]);
    return n_failed;
}

/* The status of a child that ends in time; it is killed otherwise. */
static int await_child(pid_t pid, gint64 until)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (g_get_monotonic_time() > until) {
            fprintf(stderr, "a rank hangs\n");
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        g_usleep(1000);
    }
    return status;
}

static guint run_processes(Rank *ranks, guint n)
{
    pid_t pids[MAX_RANKS];
    guint n_failed = 0;
    fflush(NULL);
    for (guint i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            exit(run_rank(&ranks[i]) ? 0 : 1);
    }
    const gint64 until = g_get_monotonic_time() + RUN_US;
    for (guint i = 0; i < n; i++) {
        const int status = await_child(pids[i], until);
        const gboolean is_killed = status != -1 && WIFSIGNALED(status);
        const gboolean is_right = i == ranks->plan->dies ? is_killed : status == 0;
        if (!is_right)
            fprintf(stderr, "rank %u ended with status 0x%x\n", i, (guint)status);
        n_failed += !is_right;
    }
    return n_failed;
}

guint ranks_run(const Plan *plan)
{
    /* What GLib makes at the first error, before there are threads: their checkers do not see its
     * locks. */
    g_error_free(g_error_new_literal(EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY, ""));
    Rank ranks[MAX_RANKS] = {0};
    Shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (guint i = 0; i < plan->n_ranks; i++)
        ranks[i] = (Rank){.plan = plan, .shared = shared, .rank = i};
    const guint n_failed = plan->kind == EEP_TRANSPORT_NCCL ? run_processes(ranks, plan->n_ranks)
                                                            : run_threads(ranks, plan->n_ranks);
    munmap(shared, sizeof *shared);
    return n_failed;
}
