/* What `eep calibrate` has a worker time (core/measurement.h): one table of measurements.
 *
 * What runs on the device is timed by two events around n_each operations; collectives begin with a
 * tiny all-gather, so that no rank's lateness is counted. What happens on the host (launches,
 * communicators, captures) is timed by its clock. Memory and matrices are of each measurement's
 * own. The aside lane's thread. */
#include <string.h>

#include "core/measurement.h"
#include "gpu/worker/gemm.h"
#include "gpu/worker/worker_internal.h"
#include "live/clock_real.h"

#define N_MEMORY 3
/* Threads that read memory, and words that each of them reads at least. */
#define MOST_READERS  (1u << 20)
#define LEAST_READERS 256u
#define WORDS_EACH    32
/* Where in the scratch what goes along with a measurement lies. */
#define BARRIER_SEND 0
#define BARRIER_RECV 256
#define ID_AT        (64 << 10)

G_STATIC_ASSERT(BARRIER_RECV + EEP_WIRE_MAX_RANKS * 8 <= ID_AT);

typedef struct {
    EepWorker *worker;
    const EepWireMeasure *ask;
    const EepMembership *group;
    EepWorkerYield *yield;
    EepStream stream;
    cudaEvent_t begin, end;
    gpointer memory[N_MEMORY]; /* of the device */
    gpointer pinned;
    EepGemm *gemm;
    EepGemmShape shape;
    EepGemmGroup *groups; /* [n_groups] */
    EepPiece *pieces;
    guint n_pieces;
    gboolean is_settled; /* nothing of ours is on the stream */
} Bench;

typedef struct {
    gboolean (*prepare)(Bench *bench, GError **error);              /* nullable */
    gboolean (*enqueue)(Bench *bench, guint index, GError **error); /* nullable */
    gboolean (*sample)(Bench *bench, gint64 *ret_ns, GError **error);
} Measure;

static const Measure measures[EEP_MEASURE_COUNT];

static gint64 wait_ns(const Bench *bench)
{
    return (gint64)bench->worker->welcome.wait_ns;
}

static const gint *stop_of(const Bench *bench)
{
    return eep_lane_stop(bench->worker->lanes[EEP_LANE_ASIDE]);
}

static EepComm *comm_of(const Bench *bench)
{
    return bench->group->move;
}

static guint8 *scratch(const Bench *bench, gsize at)
{
    return (guint8 *)bench->worker->scratch + at;
}

static gboolean wait(Bench *bench, GError **error)
{
    EepComm *comm = comm_of(bench);

    bench->is_settled = comm->ops->wait(comm, bench->stream, wait_ns(bench), stop_of(bench),
                                        &bench->yield->suspect, error);
    return bench->is_settled;
}

/* The stream goes on when those of all ranks have come here. */
static gboolean meet(Bench *bench, GError **error)
{
    EepComm *comm = comm_of(bench);

    return comm->n_ranks == 1 ||
           comm->ops->all_gather(comm, scratch(bench, BARRIER_SEND), scratch(bench, BARRIER_RECV),
                                 8, bench->stream, error);
}

/* -- ways to take a sample -- */

static gboolean enqueue_all(Bench *bench, GError **error)
{
    for (guint i = 0; i < bench->ask->n_each; i++)
        if (!measures[bench->ask->kind].enqueue(bench, i, error))
            return FALSE;
    return TRUE;
}

static gboolean on_device(Bench *bench, gint64 *ret_ns, GError **error)
{
    float ms = 0;

    bench->is_settled = FALSE;
    if (!meet(bench, error) || !EEP_CUDA(cudaEventRecord(bench->begin, bench->stream), error) ||
        !enqueue_all(bench, error) ||
        !EEP_CUDA(cudaEventRecord(bench->end, bench->stream), error) || !wait(bench, error) ||
        !EEP_CUDA(cudaEventElapsedTime(&ms, bench->begin, bench->end), error))
        return FALSE;
    *ret_ns = (gint64)((double)ms * 1e6 / bench->ask->n_each);
    return TRUE;
}

static gboolean on_host(Bench *bench, gint64 *ret_ns, GError **error)
{
    gint64 began = eep_monotonic_ns(), ended;

    bench->is_settled = FALSE;
    if (!enqueue_all(bench, error))
        return FALSE;
    ended = eep_monotonic_ns();
    *ret_ns = (ended - began) / bench->ask->n_each;
    return wait(bench, error);
}

/* -- kernels and memory -- */

static gboolean take(Bench *bench, guint index, gsize bytes, GError **error)
{
    bench->memory[index] = eep_device_alloc(bench->worker->device, bytes, error);
    return bench->memory[index] != NULL;
}

static gboolean prepare_kernel(Bench *bench, GError **error)
{
    return take(bench, 0, sizeof(guint64), error);
}

static gboolean launch_kernel(Bench *bench, guint index, GError **error)
{
    const EepWeightRule rule = {index, 4, 0};

    return EEP_CUDA(eep_kernel_fill(bench->memory[0], 1, rule, bench->stream), error);
}

static guint n_readers(const Bench *bench)
{
    return (guint)CLAMP(bench->ask->size / 8 / WORDS_EACH, LEAST_READERS, MOST_READERS);
}

static gboolean prepare_read(Bench *bench, GError **error)
{
    return take(bench, 0, bench->ask->size, error) &&
           take(bench, 1, n_readers(bench) * sizeof(guint64), error);
}

static gboolean read_memory(Bench *bench, guint index, GError **error)
{
    guint64 n_words = MAX(1, bench->ask->size / 8);

    return EEP_CUDA(eep_kernel_read_kv(bench->memory[0], n_words, 0, n_words, bench->memory[1],
                                       n_readers(bench), bench->stream),
                    error);
}

static gboolean prepare_host_copy(Bench *bench, GError **error)
{
    if (!take(bench, 0, bench->ask->size, error) ||
        !EEP_CUDA(cudaMallocHost(&bench->pinned, bench->ask->size), error))
        return FALSE;
    memset(bench->pinned, 1, bench->ask->size);
    return TRUE;
}

static gboolean copy_from_host(Bench *bench, guint index, GError **error)
{
    return EEP_CUDA(cudaMemcpyAsync(bench->memory[0], bench->pinned, bench->ask->size,
                                    cudaMemcpyHostToDevice, bench->stream),
                    error);
}

/* -- GEMMs -- */

/* Numbers as in the model's weights: zeros would take less power than any real step. */
static gboolean fill(Bench *bench, guint index, gsize n_elements, GError **error)
{
    const EepWeightRule rule = {eep_hash(index, n_elements), n_elements, -2};

    return take(bench, index, (n_elements + 3) / 4 * 8, error) &&
           EEP_CUDA(
               eep_kernel_fill(bench->memory[index], (n_elements + 3) / 4, rule, bench->stream),
               error);
}

static gboolean prepare_gemm(Bench *bench, GError **error)
{
    const EepWireMeasure *ask = bench->ask;
    gsize a = (gsize)ask->n_rows * ask->k, b = (gsize)ask->n * ask->k,
          c = (gsize)ask->n_rows * ask->n;

    bench->shape = (EepGemmShape){ask->n, ask->k, ask->k, ask->k, ask->n};
    bench->groups = g_new0(EepGemmGroup, ask->n_groups);
    bench->gemm = eep_gemm_new(bench->worker->device, bench->stream, EEP_GEMM_GROUPED,
                               ask->n_groups, &bench->shape, error);
    if (bench->gemm == NULL || !fill(bench, 0, a * ask->n_groups, error) ||
        !fill(bench, 1, b * ask->n_groups, error) || !take(bench, 2, 2 * c * ask->n_groups, error))
        return FALSE;
    for (guint i = 0; i < ask->n_groups; i++)
        bench->groups[i] = (EepGemmGroup){.a = (guint16 *)bench->memory[0] + i * a,
                                          .b = (guint16 *)bench->memory[1] + i * b,
                                          .c = (guint16 *)bench->memory[2] + i * c,
                                          .n_rows = ask->n_rows};
    return TRUE;
}

static gboolean multiply(Bench *bench, guint index, GError **error)
{
    return eep_gemm_one(bench->gemm, &bench->shape, &bench->groups[0], error);
}

static gboolean prepare_grouped(Bench *bench, GError **error)
{
    if (bench->ask->n_each > EEP_GEMM_N_PLACES) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "a sample of grouped GEMMs has at most %d of them", EEP_GEMM_N_PLACES);
        return FALSE;
    }
    return prepare_gemm(bench, error);
}

static gboolean multiply_groups(Bench *bench, guint index, GError **error)
{
    return eep_gemm_many(bench->gemm, &bench->shape, bench->ask->n_groups, bench->groups, index,
                         error);
}

/* -- between ranks -- */

static void add_piece(Bench *bench, guint peer, gboolean is_send, gpointer data)
{
    bench->pieces[bench->n_pieces++] = (EepPiece){peer, is_send, data, bench->ask->size};
}

static gboolean prepare_exchange(Bench *bench, GError **error)
{
    const EepMembership *group = bench->group;
    gsize bytes = bench->ask->size;

    if (!take(bench, 0, bytes * group->n_ranks, error) ||
        !take(bench, 1, bytes * group->n_ranks, error))
        return FALSE;
    bench->pieces = g_new0(EepPiece, 2 * group->n_ranks);
    for (guint peer = 0; peer < group->n_ranks; peer++) {
        if (peer == group->rank)
            continue;
        add_piece(bench, peer, TRUE, (guint8 *)bench->memory[0] + peer * bytes);
        add_piece(bench, peer, FALSE, (guint8 *)bench->memory[1] + peer * bytes);
    }
    return TRUE;
}

static gboolean prepare_peer_copy(Bench *bench, GError **error)
{
    guint rank = bench->group->rank;

    bench->pieces = g_new0(EepPiece, 1);
    if (rank > 1)
        return TRUE;
    if (!take(bench, 0, bench->ask->size, error))
        return FALSE;
    add_piece(bench, 1 - rank, rank == 0, bench->memory[0]);
    return TRUE;
}

static gboolean exchange(Bench *bench, guint index, GError **error)
{
    EepComm *comm = comm_of(bench);

    return bench->n_pieces == 0 ||
           comm->ops->exchange(comm, bench->n_pieces, bench->pieces, bench->stream, error);
}

static gboolean prepare_gather(Bench *bench, GError **error)
{
    return take(bench, 0, bench->ask->size, error) &&
           take(bench, 1, bench->ask->size * bench->group->n_ranks, error);
}

static gboolean gather(Bench *bench, guint index, GError **error)
{
    EepComm *comm = comm_of(bench);

    return comm->ops->all_gather(comm, bench->memory[0], bench->memory[1], bench->ask->size,
                                 bench->stream, error);
}

/* -- communicators -- */

/* Rank 0's identity of a communicator to be, over the group's own one. */
static gboolean share_id(Bench *bench, EepCommId *id, GError **error)
{
    const EepMembership *group = bench->group;
    EepTransport *transport = bench->worker->transport;
    EepComm *comm = comm_of(bench);
    guint8 *at = scratch(bench, ID_AT);
    g_autofree EepPiece *pieces = g_new0(EepPiece, group->n_ranks);
    guint n = 0;

    if (group->rank == 0 &&
        (!transport->ops->make_id(transport, id, error) ||
         !EEP_CUDA(cudaMemcpyAsync(at, id, sizeof *id, cudaMemcpyHostToDevice, bench->stream),
                   error)))
        return FALSE;
    for (guint peer = 1; group->rank == 0 && peer < group->n_ranks; peer++)
        pieces[n++] = (EepPiece){peer, TRUE, at, sizeof *id};
    if (group->rank > 0)
        pieces[n++] = (EepPiece){0, FALSE, at, sizeof *id};
    /* A download to pageable memory blocks without a deadline: the others are waited for first. */
    return (n == 0 || comm->ops->exchange(comm, n, pieces, bench->stream, error)) &&
           wait(bench, error) &&
           EEP_CUDA(cudaMemcpyAsync(id, at, sizeof *id, cudaMemcpyDeviceToHost, bench->stream),
                    error);
}

static gboolean meet_on_host(Bench *bench, GError **error)
{
    return meet(bench, error) && wait(bench, error);
}

static EepComm *make_comm(Bench *bench, gint64 *ret_ns, GError **error)
{
    const EepMembership *group = bench->group;
    EepTransport *transport = bench->worker->transport;
    EepCommId id;
    EepComm *comm;
    gint64 began;

    if (!share_id(bench, &id, error) || !meet_on_host(bench, error))
        return NULL;
    began = eep_monotonic_ns();
    comm = transport->ops->join(transport, &id, group->rank, group->n_ranks, wait_ns(bench),
                                stop_of(bench), error);
    *ret_ns = eep_monotonic_ns() - began;
    return comm;
}

static gboolean init_comm(Bench *bench, gint64 *ret_ns, GError **error)
{
    EepComm *comm = make_comm(bench, ret_ns, error);

    eep_comm_leave(comm);
    return comm != NULL;
}

static gboolean destroy_comm(Bench *bench, gint64 *ret_ns, GError **error)
{
    gint64 began;
    EepComm *comm = make_comm(bench, &began, error);

    if (comm == NULL)
        return FALSE;
    if (!meet_on_host(bench, error)) {
        comm->ops->abort(comm);
        eep_comm_leave(comm);
        return FALSE;
    }
    began = eep_monotonic_ns();
    eep_comm_leave(comm);
    *ret_ns = eep_monotonic_ns() - began;
    return TRUE;
}

/* The last rank, which goes, takes no time. */
static gboolean shrink_comm(Bench *bench, gint64 *ret_ns, GError **error)
{
    guint last = bench->group->n_ranks - 1;
    gint64 began;
    EepComm *comm = make_comm(bench, &began, error), *rest;
    gboolean is_good = comm != NULL && meet_on_host(bench, error);

    if (comm == NULL)
        return FALSE;
    *ret_ns = 0;
    if (is_good && bench->group->rank != last) {
        began = eep_monotonic_ns();
        rest = comm->ops->shrink(comm, 1, &last, FALSE, wait_ns(bench), NULL, error);
        *ret_ns = eep_monotonic_ns() - began;
        is_good = rest != NULL;
        eep_comm_leave(rest);
    }
    if (!is_good)
        comm->ops->abort(comm);
    eep_comm_leave(comm);
    return is_good;
}

/* -- graphs -- */

static gboolean capture_kernels(Bench *bench, cudaGraph_t *ret_graph, GError **error)
{
    gboolean is_enqueued = TRUE, is_ended;

    if (!EEP_CUDA(cudaStreamBeginCapture(bench->stream, cudaStreamCaptureModeThreadLocal), error))
        return FALSE;
    for (guint64 i = 0; is_enqueued && i < bench->ask->size; i++)
        is_enqueued = launch_kernel(bench, 0, error);
    /* A capture that was begun has to be ended, whatever happened in it. */
    is_ended = EEP_CUDA(cudaStreamEndCapture(bench->stream, ret_graph), is_enqueued ? error : NULL);
    return is_enqueued && is_ended;
}

static gboolean capture_graph(Bench *bench, gint64 *ret_ns, GError **error)
{
    gint64 began = eep_monotonic_ns();
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    gboolean is_good = capture_kernels(bench, &graph, error) &&
                       EEP_CUDA(cudaGraphInstantiate(&exec, graph, 0), error);

    *ret_ns = eep_monotonic_ns() - began;
    if (graph != NULL && !EEP_CUDA(cudaGraphDestroy(graph), is_good ? error : NULL))
        is_good = FALSE;
    if (exec != NULL && !EEP_CUDA(cudaGraphExecDestroy(exec), is_good ? error : NULL))
        is_good = FALSE;
    return is_good;
}

/* -- a measurement -- */

static const Measure measures[EEP_MEASURE_COUNT] = {
    [EEP_MEASURE_KERNEL] = {prepare_kernel, launch_kernel, on_device},
    [EEP_MEASURE_LAUNCH] = {prepare_kernel, launch_kernel, on_host},
    [EEP_MEASURE_MEMORY_READ] = {prepare_read, read_memory, on_device},
    [EEP_MEASURE_HOST_COPY] = {prepare_host_copy, copy_from_host, on_device},
    [EEP_MEASURE_GEMM] = {prepare_gemm, multiply, on_device},
    [EEP_MEASURE_GROUPED_GEMM] = {prepare_grouped, multiply_groups, on_device},
    [EEP_MEASURE_ALL_TO_ALL] = {prepare_exchange, exchange, on_device},
    [EEP_MEASURE_ALL_GATHER] = {prepare_gather, gather, on_device},
    [EEP_MEASURE_PEER_COPY] = {prepare_peer_copy, exchange, on_device},
    [EEP_MEASURE_COMM_INIT] = {NULL, NULL, init_comm},
    [EEP_MEASURE_COMM_SHRINK] = {NULL, NULL, shrink_comm},
    [EEP_MEASURE_COMM_DESTROY] = {NULL, NULL, destroy_comm},
    [EEP_MEASURE_GRAPH_CAPTURE] = {prepare_kernel, NULL, capture_graph},
};

static gboolean open_bench(Bench *bench, GError **error)
{
    const EepMembership *group = bench->group;
    const EepMeasureFacts *facts = &eep_measures[bench->ask->kind];

    if (group == NULL || (facts->needs_peers && group->n_ranks < 2)) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP, "%s needs %s", facts->name,
                    group == NULL ? "a group that this worker is a member of" : "two ranks");
        return FALSE;
    }
    return EEP_CUDA(cudaEventCreateWithFlags(&bench->begin, cudaEventDefault), error) &&
           EEP_CUDA(cudaEventCreateWithFlags(&bench->end, cudaEventDefault), error) &&
           (measures[bench->ask->kind].prepare == NULL ||
            measures[bench->ask->kind].prepare(bench, error)) &&
           wait(bench, error);
}

/* What the device may still use after a failed wait is left to the end of the process. */
static void close_bench(Bench *bench)
{
    cudaEvent_t events[] = {bench->begin, bench->end};
    g_autoptr(GError) failed = NULL;

    g_free(bench->groups);
    g_free(bench->pieces);
    if (!bench->is_settled) {
        eep_device_leave(g_memdup2(bench, sizeof *bench));
        return;
    }
    eep_gemm_free(bench->gemm);
    for (guint i = 0; i < N_MEMORY; i++)
        eep_device_free(bench->worker->device, bench->memory[i]);
    if (bench->pinned != NULL && !EEP_CUDA(cudaFreeHost(bench->pinned), &failed))
        g_debug("%s", failed->message);
    for (guint i = 0; i < G_N_ELEMENTS(events); i++) {
        g_clear_error(&failed);
        if (events[i] != NULL && !EEP_CUDA(cudaEventDestroy(events[i]), &failed))
            g_debug("%s", failed->message);
    }
}

static gboolean take_samples(Bench *bench, guint64 *ret_samples, GError **error)
{
    const EepWireMeasure *ask = bench->ask;

    for (guint i = 0; i < ask->n_warm_ups + ask->n_samples; i++) {
        gint64 ns = 0;

        if (g_atomic_int_get(stop_of(bench)) != 0) {
            g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED, "stopped");
            return FALSE;
        }
        if (!measures[ask->kind].sample(bench, &ns, error))
            return FALSE;
        if (i >= ask->n_warm_ups)
            ret_samples[i - ask->n_warm_ups] = (guint64)MAX(0, ns);
    }
    return TRUE;
}

gboolean eep_worker_measure(EepWorker *worker, const EepWireMeasure *ask, EepWorkerYield *yield,
                            GError **error)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, ask->epoch);
    Bench bench = {.worker = worker,
                   .ask = ask,
                   .group = group,
                   .yield = yield,
                   .stream = worker->streams[EEP_LANE_ASIDE],
                   .is_settled = TRUE};
    g_autofree guint64 *samples = g_new0(guint64, ask->n_samples);
    EepWireMessage answer = {
        .type = EEP_WIRE_MEASURED,
        .measured = {.op = ask->op, .n_samples = ask->n_samples, .samples = samples}};
    gboolean is_good = open_bench(&bench, error) && take_samples(&bench, samples, error);

    if (is_good)
        eep_outbox_send(worker->outbox, &answer);
    close_bench(&bench);
    return is_good;
}
