#include "gpu/emulation/emulated_nccl.h"

#include "gpu/emulation/emulated_nccl_switches.h"
#include "gpu/emulation/emulated_runtime.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Who was built with an older header passes a shorter configuration. */
#define CONFIG_BYTES_2_28 offsetof(ncclConfig_t, graphUsageMode)

typedef struct {
    void (*run)(ncclComm_t comm, gpointer data);
    gpointer data;
} Job;

/* Which pointers are communicators; process-wide, as NCCL's are. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *table;

static gint n_counted; /* atomic */
static __thread char last_error[512];

ncclResult_t eep_nccl_count(const char *call)
{
    const guint64 n = (guint64)g_atomic_int_add(&n_counted, 1) + 1;
    const int fails = eep_emulated_fails(call, ncclSystemError);
    if (fails != 0 || n == eep_nccl_switches()->fails) {
        return eep_nccl_fail(NULL, fails != 0 ? (ncclResult_t)fails : ncclSystemError,
                             "%s fails, as it was told to (NCCL call %" G_GUINT64_FORMAT
                             " of this process)",
                             call, n);
    }
    return ncclSuccess;
}

/* -- errors -- */

ncclResult_t eep_nccl_fail(ncclComm_t comm, ncclResult_t result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    if (comm != NULL) {
        pthread_mutex_lock(&comm->lock);
        g_free(comm->text);
        comm->text = g_strdup(last_error);
        pthread_mutex_unlock(&comm->lock);
    }
    return result;
}

/* Takes over the text. */
static void set_async(ncclComm_t comm, ncclResult_t result, char *text)
{
    pthread_mutex_lock(&comm->lock);
    if (comm->async == ncclSuccess) {
        comm->async = result;
        g_free(comm->text);
        comm->text = text;
    } else {
        g_free(text);
    }
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
}

void eep_nccl_break(ncclComm_t comm, ncclResult_t result, char *text)
{
    eep_emulated_report("NCCL, rank %u of %u: %s", comm->rank, comm->n_ranks, text);
    set_async(comm, result, text);
}

void eep_nccl_break_by(ncclComm_t comm, EepMeshResult result, char *text)
{
    if (result == EEP_MESH_GONE || result == EEP_MESH_MISFIT)
        eep_nccl_break(comm, result == EEP_MESH_GONE ? ncclRemoteError : ncclInvalidUsage, text);
}

const char *ncclGetLastError(ncclComm_t comm)
{
    pthread_mutex_lock(&table_lock);
    if (table != NULL && comm != NULL && g_hash_table_contains(table, comm)) {
        pthread_mutex_lock(&comm->lock);
        if (comm->text != NULL)
            g_strlcpy(last_error, comm->text, sizeof last_error);
        pthread_mutex_unlock(&comm->lock);
    }
    pthread_mutex_unlock(&table_lock);
    return last_error;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const names[] = {
        "no error",
        "unhandled cuda error (emulated)",
        "unhandled system error (emulated)",
        "internal error (emulated)",
        "invalid argument (emulated)",
        "invalid usage (emulated)",
        "remote process exited or there was a network error (emulated)",
        "NCCL operation in progress (emulated)",
    };
    return (guint)result < G_N_ELEMENTS(names) ? names[result] : "unknown result code (emulated)";
}

/* -- communicators -- */

ncclComm_t eep_nccl_ref(ncclComm_t comm)
{
    g_atomic_int_inc(&comm->n_references);
    return comm;
}

void eep_nccl_unref(ncclComm_t comm)
{
    if (!g_atomic_int_dec_and_test(&comm->n_references))
        return;
    eep_mesh_free(comm->mesh);
    pthread_mutex_destroy(&comm->lock);
    pthread_cond_destroy(&comm->changed);
    g_free(comm->text);
    g_free(comm->n_sent);
    g_free(comm->n_received);
    g_free(comm);
}

static ncclComm_t find(ncclComm_t comm, const char *call, ncclResult_t *ret_result)
{
    pthread_mutex_lock(&table_lock);
    const gboolean is_there = comm != NULL && table != NULL && g_hash_table_contains(table, comm);
    if (is_there)
        eep_nccl_ref(comm);
    pthread_mutex_unlock(&table_lock);
    if (!is_there) {
        *ret_result = eep_nccl_fail(NULL, ncclInvalidArgument,
                                    "%s: %p is no communicator, or was destroyed or aborted", call,
                                    (void *)comm);
        eep_emulated_report("NCCL misuse: %s", last_error);
    }
    return is_there ? comm : NULL;
}

ncclComm_t eep_nccl_enter(ncclComm_t comm, const char *call, ncclResult_t *ret_result)
{
    *ret_result = eep_nccl_count(call);
    if (*ret_result != ncclSuccess || find(comm, call, ret_result) == NULL)
        return NULL;
    pthread_mutex_lock(&comm->lock);
    const char *inside = comm->inside;
    const gboolean must_look = comm->must_look;
    if (inside == NULL && !must_look)
        comm->inside = call;
    pthread_mutex_unlock(&comm->lock);
    if (inside == NULL && !must_look)
        return comm;
    *ret_result = inside != NULL
                      ? eep_nccl_fail(comm, ncclInvalidUsage,
                                      "%s while another thread is inside %s", call, inside)
                      : eep_nccl_fail(comm, ncclInvalidArgument,
                                      "%s before the previous call was seen to have ended "
                                      "(ncclCommGetAsyncError)",
                                      call);
    eep_emulated_report("NCCL misuse: %s", last_error);
    eep_nccl_unref(comm);
    return NULL;
}

void eep_nccl_leave(ncclComm_t comm)
{
    pthread_mutex_lock(&comm->lock);
    comm->inside = NULL;
    pthread_mutex_unlock(&comm->lock);
    eep_nccl_unref(comm);
}

/* -- the engine -- */

/* Up to EEP_EMULATED_NCCL_LATENCY microseconds, another time for each rank and call. */
static void delay(ncclComm_t comm)
{
    const guint64 at_most = eep_nccl_switches()->latency_us;
    if (at_most == 0)
        return;
    guint64 mixed = (comm->n_delays++ * 64 + comm->rank + comm->id[0]) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
    mixed *= 0xbf58476d1ce4e5b9u;
    const gint64 end = g_get_monotonic_time() + (gint64)((mixed >> 20) % (at_most + 1));
    for (gint64 left; (left = end - g_get_monotonic_time()) > 0;) {
        if (eep_mesh_is_aborted(comm->mesh))
            return;
        g_usleep((gulong)MIN(left, 1000));
    }
}

static void *engine(void *data)
{
    ncclComm_t comm = data;
    pthread_mutex_lock(&comm->lock);
    while (!comm->is_ending || !g_queue_is_empty(&comm->jobs)) {
        Job *job = g_queue_pop_head(&comm->jobs);
        if (job == NULL) {
            pthread_cond_wait(&comm->changed, &comm->lock);
            continue;
        }
        pthread_mutex_unlock(&comm->lock);
        delay(comm);
        job->run(comm, job->data);
        g_free(job);
        pthread_mutex_lock(&comm->lock);
        comm->n_in_progress--;
        pthread_cond_broadcast(&comm->changed);
    }
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

ncclResult_t eep_nccl_engage(ncclComm_t comm, void (*run)(ncclComm_t, gpointer), gpointer data)
{
    Job *job = g_new(Job, 1);
    *job = (Job){run, data};
    pthread_mutex_lock(&comm->lock);
    g_queue_push_tail(&comm->jobs, job);
    comm->n_in_progress++;
    comm->must_look = !comm->is_blocking;
    pthread_cond_broadcast(&comm->changed);
    while (comm->is_blocking && comm->n_in_progress > 0 && comm->async == ncclSuccess)
        pthread_cond_wait(&comm->changed, &comm->lock);
    const ncclResult_t result = comm->is_blocking ? comm->async : ncclInProgress;
    pthread_mutex_unlock(&comm->lock);
    return result;
}

/* Ends what goes on, takes the communicator out of the table and frees it. */
static void dismiss(ncclComm_t comm)
{
    eep_mesh_abort(comm->mesh);
    pthread_mutex_lock(&table_lock);
    g_hash_table_remove(table, comm);
    pthread_mutex_unlock(&table_lock);
    pthread_mutex_lock(&comm->lock);
    comm->is_ending = TRUE;
    pthread_cond_broadcast(&comm->changed);
    pthread_mutex_unlock(&comm->lock);
    pthread_join(comm->engine, NULL);
    pthread_mutex_lock(&comm->lock);
    while (comm->n_running > 0)
        pthread_cond_wait(&comm->changed, &comm->lock);
    pthread_mutex_unlock(&comm->lock);
    eep_nccl_unref(comm);
}

static void connect_all(ncclComm_t comm, gpointer data)
{
    char *text = NULL;
    const EepMeshResult result = eep_mesh_connect(comm->mesh, &text);
    eep_nccl_break_by(comm, result, text);
}

ncclResult_t eep_nccl_begin(ncclComm_t *ret_comm, const guint8 *id, const EepNcclAddress *root,
                            guint rank, guint n_ranks, guint64 tag, int device,
                            gboolean is_blocking)
{
    char bus_id[32] = "";
    if (eep_nccl_switches()->compares_bus_id &&
        cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, device) != cudaSuccess)
        return eep_nccl_fail(NULL, ncclUnhandledCudaError, "device %d has no bus id", device);
    EepMeshPlace place = {.root = *root,
                          .rank = rank,
                          .n_ranks = n_ranks,
                          .tag = tag,
                          .announces = eep_nccl_switches()->announces,
                          .device = device,
                          .bus_id = bus_id};
    memcpy(place.id, id, EEP_MESH_ID_BYTES);
    ncclComm_t comm = g_new0(struct ncclComm, 1);
    comm->n_references = 1;
    comm->mesh = eep_mesh_new(&place);
    memcpy(comm->id, id, EEP_MESH_ID_BYTES);
    comm->rank = rank;
    comm->n_ranks = n_ranks;
    comm->device = device;
    comm->is_blocking = is_blocking;
    comm->n_sent = g_new0(guint64, n_ranks);
    comm->n_received = g_new0(guint64, n_ranks);
    pthread_mutex_init(&comm->lock, NULL);
    pthread_cond_init(&comm->changed, NULL);
    g_queue_init(&comm->jobs);
    if (pthread_create(&comm->engine, NULL, engine, comm) != 0) {
        eep_nccl_unref(comm);
        return eep_nccl_fail(NULL, ncclSystemError, "no thread can be made");
    }
    pthread_mutex_lock(&table_lock);
    if (table == NULL)
        table = g_hash_table_new(NULL, NULL);
    g_hash_table_add(table, comm);
    pthread_mutex_unlock(&table_lock);
    const ncclResult_t result = eep_nccl_engage(comm, connect_all, NULL);
    /* In progress by now: the caller of a shrink may look at its pointer at any time. */
    __atomic_store_n(ret_comm, comm, __ATOMIC_RELEASE);
    return result;
}

/* -- the calls -- */

ncclResult_t ncclGetVersion(int *version)
{
    const ncclResult_t result = eep_nccl_count("ncclGetVersion");
    if (result == ncclSuccess)
        *version = (int)eep_nccl_switches()->version;
    return result;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    const ncclResult_t result = eep_nccl_count("ncclGetUniqueId");
    if (result != ncclSuccess)
        return result;
    EepNcclAddress root;
    char *text = NULL;
    if (!eep_nccl_root_open(&root, &text)) {
        const ncclResult_t refused = eep_nccl_fail(NULL, ncclInvalidUsage, "%s", text);
        g_free(text);
        return refused;
    }
    memset(id, 0, sizeof *id);
    memcpy(id->internal + EEP_MESH_ID_BYTES, &root, sizeof root);
    if (getrandom(id->internal, EEP_MESH_ID_BYTES, 0) != EEP_MESH_ID_BYTES)
        return eep_nccl_fail(NULL, ncclSystemError, "no random bytes: %s", g_strerror(errno));
    return ncclSuccess;
}

gboolean eep_nccl_check_config(const ncclConfig_t *config, const char *call,
                               ncclResult_t *ret_result)
{
    if (config != NULL && (config->magic != EEP_EMULATED_NCCL_MAGIC ||
                           (config->size != sizeof *config && config->size != CONFIG_BYTES_2_28))) {
        *ret_result = eep_nccl_fail(NULL, ncclInvalidArgument,
                                    "%s: the configuration does not start as "
                                    "NCCL_CONFIG_INITIALIZER",
                                    call);
        return FALSE;
    }
    return TRUE;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    ncclResult_t result = eep_nccl_count("ncclCommInitRankConfig");
    *comm = NULL;
    if (result != ncclSuccess || !eep_nccl_check_config(config, "ncclCommInitRankConfig", &result))
        return result;
    if (n_ranks < 1 || rank < 0 || rank >= n_ranks) {
        return eep_nccl_fail(NULL, ncclInvalidArgument,
                             "ncclCommInitRankConfig: rank %d of %d ranks", rank, n_ranks);
    }
    int device;
    if (cudaGetDevice(&device) != cudaSuccess)
        return eep_nccl_fail(NULL, ncclUnhandledCudaError, "there is no current device");
    EepNcclAddress root;
    memcpy(&root, id.internal + EEP_MESH_ID_BYTES, sizeof root);
    return eep_nccl_begin(comm, (const guint8 *)id.internal, &root, (guint)rank, (guint)n_ranks, 0,
                          device, config == NULL || config->blocking != 0);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *async_error)
{
    ncclResult_t result = ncclSuccess;
    if (find(comm, "ncclCommGetAsyncError", &result) == NULL)
        return result;
    pthread_mutex_lock(&comm->lock);
    *async_error = comm->n_in_progress > 0 ? ncclInProgress : comm->async;
    comm->must_look &= *async_error == ncclInProgress;
    pthread_mutex_unlock(&comm->lock);
    eep_nccl_unref(comm);
    return ncclSuccess;
}

gboolean eep_nccl_await_quiet(ncclComm_t comm)
{
    pthread_mutex_lock(&comm->lock);
    while (comm->n_run < comm->n_calls && comm->async == ncclSuccess &&
           !eep_mesh_is_aborted(comm->mesh)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&comm->changed, &comm->lock, &until);
    }
    const gboolean is_quiet = comm->n_run == comm->n_calls;
    pthread_mutex_unlock(&comm->lock);
    return is_quiet;
}

static void finalize(ncclComm_t comm, gpointer data)
{
    if (!eep_nccl_await_quiet(comm))
        return;
    g_autofree EepMeshItem *items = g_new0(EepMeshItem, 2 * comm->n_ranks);
    guint n = 0;
    for (guint i = 0; i < comm->n_ranks; i++)
        for (guint is_send = 0; is_send < 2 && i != comm->rank; is_send++)
            items[n++] = (EepMeshItem){i, is_send != 0, {.kind = EEP_MESH_FINALIZE}, NULL};
    char *text = NULL;
    const EepMeshResult result = eep_mesh_run(comm->mesh, n, items, &text);
    /* Ranks that have gone before the others end the communicator: an error to the caller, and
     * nothing that is worth a line. */
    if (result == EEP_MESH_GONE)
        set_async(comm, ncclRemoteError, text);
    else
        eep_nccl_break_by(comm, result, text);
}

ncclResult_t eep_nccl_refuse_ended(ncclComm_t comm, const char *call)
{
    const ncclResult_t result =
        eep_nccl_fail(comm, ncclInvalidUsage, "%s after %s: this communicator can only be aborted",
                      call, comm->ended_by);
    eep_emulated_report("NCCL misuse: %s", last_error);
    return result;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    ncclResult_t result;
    if (eep_nccl_enter(comm, "ncclCommFinalize", &result) == NULL)
        return result;
    if (comm->ended_by != NULL || comm->is_finalized) {
        comm->ended_by = comm->ended_by != NULL ? comm->ended_by : "ncclCommFinalize";
        result = eep_nccl_refuse_ended(comm, "ncclCommFinalize");
    } else {
        comm->is_finalized = TRUE;
        result = eep_nccl_engage(comm, finalize, NULL);
    }
    eep_nccl_leave(comm);
    return result;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    ncclResult_t result;
    if (eep_nccl_enter(comm, "ncclCommDestroy", &result) == NULL)
        return result;
    pthread_mutex_lock(&comm->lock);
    const ncclResult_t async = comm->async;
    pthread_mutex_unlock(&comm->lock);
    if (!comm->is_revoked && (comm->ended_by != NULL || async != ncclSuccess)) {
        comm->ended_by = comm->ended_by != NULL ? comm->ended_by : "an error";
        result = eep_nccl_refuse_ended(comm, "ncclCommDestroy");
        eep_nccl_leave(comm);
        return result;
    }
    if (!comm->is_finalized && !comm->is_revoked) {
        comm->is_blocking = TRUE;
        result = eep_nccl_engage(comm, finalize, NULL);
    }
    eep_nccl_leave(comm);
    dismiss(comm);
    return result;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    /* Does its work also when it is told to fail: a caller has no other way out. */
    const ncclResult_t told = eep_nccl_count("ncclCommAbort");
    ncclResult_t result = ncclSuccess;
    if (find(comm, "ncclCommAbort", &result) == NULL)
        return result;
    pthread_mutex_lock(&comm->lock);
    const char *inside = comm->inside;
    pthread_mutex_unlock(&comm->lock);
    if (inside != NULL) {
        result = eep_nccl_fail(comm, ncclInvalidUsage,
                               "ncclCommAbort while another thread is inside %s", inside);
        eep_emulated_report("NCCL misuse: %s", last_error);
    }
    dismiss(comm);
    eep_nccl_unref(comm);
    return told != ncclSuccess ? told : result;
}

static void await_still(ncclComm_t comm, gpointer data)
{
    pthread_mutex_lock(&comm->lock);
    while (comm->n_running > 0)
        pthread_cond_wait(&comm->changed, &comm->lock);
    pthread_mutex_unlock(&comm->lock);
}

ncclResult_t ncclCommRevoke(ncclComm_t comm, int flags)
{
    ncclResult_t result;
    if (eep_nccl_enter(comm, "ncclCommRevoke", &result) == NULL)
        return result;
    if (flags != NCCL_REVOKE_DEFAULT || comm->ended_by != NULL) {
        result =
            eep_nccl_fail(comm, ncclInvalidArgument, "ncclCommRevoke: flags %d, or ended", flags);
    } else {
        comm->ended_by = "ncclCommRevoke";
        comm->is_revoked = TRUE;
        eep_mesh_abort(comm->mesh);
        result = eep_nccl_engage(comm, await_still, NULL);
    }
    eep_nccl_leave(comm);
    return result;
}
