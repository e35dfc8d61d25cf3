/* Who is there: workers that are started or come by themselves, and how they are lost. */
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/engine/pool.h"
#include "gpu/coordinator/cuda_internal.h"

/* Heartbeats that may be missed before a worker counts as lost, and after how many without a word
 * of ours it takes us for gone. */
#define MISSED_BY_WORKER      3
#define MISSED_BY_COORDINATOR 20
#define MAX_WAITING           1024
/* Until a rank goes to a worker that asked for another one: that part of gpu.start_timeout, before
 * the run begins and later. */
#define WISH_SHARE_OF_START  2
#define WISH_SHARE_OF_RESIZE 24
/* Refusals that are told one by one. */
#define MANY_REFUSED 32

static void on_message(gpointer self, EepLink *link, const EepWireMessage *message);
static void on_closed(gpointer self, EepLink *link, const char *reason);

static const EepLinkEvents worker_events = {on_message, on_closed, NULL};

/* -- starting them -- */

static gboolean is_loopback(const EepCudaBackend *self)
{
    return self->gpu.transport == EEP_TRANSPORT_LOOPBACK;
}

static gboolean is_there(const EepCudaWorker *worker)
{
    return worker != NULL && worker->state != EEP_CUDA_GONE;
}

/* The lowest ordinal that no process of ours has. */
static guint free_gpu(const EepCudaBackend *self)
{
    guint gpu = 0;

    for (guint i = 1; i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (is_there(worker) && worker->is_own_process && worker->gpu == gpu) {
            gpu++;
            i = 0;
        }
    }
    return gpu;
}

static gboolean start_process(EepCudaBackend *self, EepCudaWorker *worker)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = g_strdup_printf("%u", worker->id),
                    *gpu = g_strdup_printf("%u", worker->gpu = free_gpu(self)),
                    *memory = g_strdup_printf("%" G_GINT64_FORMAT, self->gpu.emulated_memory);
    char *argv[] = {self->program,
                    (char *)"--connect",
                    (char *)eep_door_address(self->door),
                    (char *)"--worker",
                    id,
                    (char *)"--device",
                    gpu,
                    NULL};
    g_auto(GStrv) environment = g_get_environ();

    environment = g_environ_setenv(environment, "EEP_TOKEN", eep_door_token(self->door), TRUE);
    environment = g_environ_setenv(environment, "EEP_EMULATED_MEMORY", memory, TRUE);
    worker->is_own_process = eep_crew_start(self->crew, worker->id, argv, environment, &error);
    if (worker->is_own_process) {
        self->counts.n_spawned++;
    } else {
        eep_cuda_say(self, "worker %u: %s", worker->id, error->message);
        eep_cuda_note_failure(self, worker->id, error->message);
    }
    return worker->is_own_process;
}

static EepLink *any_link(const EepCudaBackend *self)
{
    for (guint i = 1; i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (is_there(worker) && worker->link != NULL && worker->state != EEP_CUDA_LEAVING)
            return worker->link;
    }
    return NULL;
}

/* The process that hosts all logical ranks is asked for another one. */
static void ask_for_rank(EepCudaBackend *self, EepLink *link, EepWorkerId id)
{
    EepWireMessage message = {.type = EEP_WIRE_SPAWN, .spawn = {id}};

    eep_link_send(link, &message);
    self->counts.n_spawned++;
}

static gboolean start(EepCudaBackend *self, EepCudaWorker *worker)
{
    EepLink *link = is_loopback(self) ? any_link(self) : NULL;

    if (link != NULL)
        ask_for_rank(self, link, worker->id);
    else if (!is_loopback(self) || eep_crew_n(self->crew) == 0)
        return start_process(self, worker);
    return TRUE; /* asked for as soon as the process connects */
}

static void ask_for_the_others(EepCudaBackend *self, const EepCudaWorker *first)
{
    for (guint i = 1; is_loopback(self) && self->options.spawns && i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (is_there(worker) && worker != first && worker->state == EEP_CUDA_EXPECTED &&
            first->is_own_process)
            ask_for_rank(self, first->link, worker->id);
    }
}

/* -- those who come -- */

static void welcome(EepCudaWorker *worker, EepLink *link, const EepWireHello *hello)
{
    EepCudaBackend *self = worker->backend;
    const EepCudaPoolState *pool = eep_cuda_pool(self, worker->pool);
    EepWireMessage message = {
        .type = EEP_WIRE_WELCOME,
        .welcome = {.worker = worker->id,
                    .transport = (guint32)self->gpu.transport,
                    .captures_graphs = pool->options.captures_graphs,
                    .beat_ns = (guint64)self->gpu.heartbeat_interval,
                    .silence_ns = (guint64)self->gpu.heartbeat_interval * MISSED_BY_COORDINATOR,
                    .wait_ns = (guint64)self->gpu.wait_timeout,
                    .grace_ns = (guint64)self->gpu.grace,
                    .model = pool->model}};

    worker->link = link;
    worker->state = EEP_CUDA_JOINING;
    worker->came_at = eep_monotonic_ns();
    worker->deadline = worker->came_at + self->gpu.start_timeout;
    worker->facts = (EepCudaWorkerFacts){.worker = worker->id,
                                         .device = hello->device,
                                         .host = g_strdup(hello->host),
                                         .pid = hello->pid};
    if (!self->options.spawns)
        eep_cuda_say(self, "rank %u is worker %u: %s, %s (%s)", worker->rank, worker->id,
                     hello->host, hello->device.name, hello->device.bus_id);
    eep_link_hand_over(link, EEP_CUDA_MAX_MESSAGE, &worker_events, worker);
    eep_link_send(link, &message);
    if (worker->link != NULL)
        ask_for_the_others(self, worker);
}

static gboolean is_same_device(const EepWireDevice *x, const EepWireDevice *y)
{
    return x->host_hash == y->host_hash && strcmp(x->bus_id, y->bus_id) == 0;
}

/* Ranks of the loopback transport share one by design. */
EepWorkerId eep_cuda_owner_of(const EepCudaBackend *self, const EepWireDevice *device)
{
    for (guint i = 1; !is_loopback(self) && i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (is_there(worker) && worker->link != NULL &&
            is_same_device(&worker->facts.device, device))
            return worker->id;
    }
    return 0;
}

/* NULL: it may come in. */
static char *objection(const EepCudaBackend *self, const EepWireHello *hello)
{
    const EepCudaWorker *worker = eep_cuda_worker(self, hello->worker);
    gboolean wants_emulated = self->options.device == EEP_GPU_DEVICE_EMULATED;
    EepWorkerId owner = eep_cuda_owner_of(self, &hello->device);

    if (self->is_ending)
        return g_strdup("the run has ended");
    if (hello->worker != 0 && (worker == NULL || worker->state != EEP_CUDA_EXPECTED))
        return g_strdup_printf("nobody expects a worker %u", hello->worker);
    if (hello->worker == 0 && self->options.spawns)
        return g_strdup("this run starts its workers itself: use --workers wait");
    if ((hello->device.is_emulated != 0) != wants_emulated)
        return g_strdup_printf("the worker of host %s has %s, and the run is for --device %s",
                               hello->host, wants_emulated ? "a real GPU" : "an emulated device",
                               wants_emulated ? "emulated" : "gpu");
    if (owner != 0)
        return g_strdup_printf("GPU %s of host %s has worker %u already: start one worker a GPU "
                               "(eep worker --device N)",
                               hello->device.bus_id, hello->host, owner);
    if (hello->worker == 0 && self->waiting->len >= MAX_WAITING)
        return g_strdup("too many workers wait already");
    return NULL;
}

/* One that is expected, for the rank that it wants if it wants one; NULL. */
static EepCudaWorker *place_for(const EepCudaBackend *self, const EepWireHello *hello)
{
    if (hello->worker != 0)
        return eep_cuda_worker(self, hello->worker);
    for (guint i = 1; i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (is_there(worker) && worker->state == EEP_CUDA_EXPECTED &&
            eep_cuda_is_wished(worker, hello))
            return worker;
    }
    return NULL;
}

static void on_arrived(gpointer user_data, EepLink *link, const EepWireHello *hello)
{
    EepCudaBackend *self = user_data;
    g_autofree char *reason = objection(self, hello);
    EepCudaWorker *worker;

    if (reason != NULL) {
        eep_door_refuse(self->door, link, reason);
        return;
    }
    worker = place_for(self, hello);
    if (worker != NULL)
        welcome(worker, link, hello);
    else
        eep_cuda_waiting_add(self, link, hello);
}

static void on_refused(gpointer user_data, const char *reason)
{
    EepCudaBackend *self = user_data;

    guint64 n = ++self->counts.n_refused;

    if (n <= MANY_REFUSED)
        eep_cuda_say(self, "refused a connection: %s", reason);
    else if ((n & (n - 1)) == 0)
        eep_cuda_say(self,
                     "refused %" G_GUINT64_FORMAT " connections, the last: %s; more are told as "
                     "their number doubles",
                     n, reason);
}

const EepDoorEvents eep_cuda_door_events = {on_arrived, on_refused};

/* One that waits takes the place; FALSE: nobody does. */
static gboolean take_waiting(EepCudaBackend *self, EepCudaWorker *worker, gboolean takes_any)
{
    EepWireHello hello;
    EepLink *link = eep_cuda_waiting_take(self, worker, takes_any, &hello);

    if (link != NULL)
        welcome(worker, link, &hello);
    return link != NULL;
}

/* Ranks are given anew when some are lost: who is started in the place of one that is gone asks for
 * a number that nobody needs any more. At the start the others may be on their way. */
static void give_up_wishes(EepCudaBackend *self, EepCudaWorker *worker, gint64 now)
{
    EepTime patience = self->gpu.start_timeout /
                       (self->base.loop != NULL ? WISH_SHARE_OF_RESIZE : WISH_SHARE_OF_START);

    if (worker->state == EEP_CUDA_EXPECTED && now - worker->expected_at > patience)
        take_waiting(self, worker, TRUE);
}

static void ask_for_worker(EepCudaBackend *self, guint rank)
{
    g_autofree char *who =
        rank != EEP_RANK_NONE ? g_strdup_printf("rank %u", rank) : g_strdup("a spare");

    eep_cuda_say(self, "%s needs a worker: start `eep worker --connect` on a free GPU", who);
}

gboolean eep_cuda_worker_expect(EepCudaBackend *self, EepCudaPoolState *pool, EepWorkerId id,
                                guint rank)
{
    EepCudaWorker *worker = g_new0(EepCudaWorker, 1);
    const EepWireModel *model = &pool->model;

    worker->backend = self;
    worker->id = id;
    worker->pool = pool->id;
    worker->rank = rank;
    worker->expected_at = eep_monotonic_ns();
    worker->deadline = worker->expected_at + self->gpu.start_timeout;
    worker->map_versions = g_new0(guint32, MAX(1, model->n_layers));
    worker->map = g_new0(gint32, MAX(1, (gsize)model->n_layers * model->slots_per_rank));
    if (id >= self->workers->len)
        g_ptr_array_set_size(self->workers, (gint)id + 1);
    g_clear_pointer(&self->workers->pdata[id], eep_cuda_worker_free);
    self->workers->pdata[id] = worker;
    if (self->options.spawns)
        return start(self, worker);
    /* Of the first ones the user has been told. */
    if (!take_waiting(self, worker, FALSE) && self->base.loop != NULL)
        ask_for_worker(self, rank);
    return TRUE;
}

/* -- those who go -- */

static void drop_link(EepCudaWorker *worker)
{
    EepCudaBackendCounts *counts = &worker->backend->counts;
    EepLinkCounts of_link;

    if (worker->link == NULL)
        return;
    of_link = eep_link_counts(worker->link);
    counts->n_messages_sent += of_link.n_messages_sent;
    counts->n_messages_received += of_link.n_messages_received;
    counts->n_bytes_sent += of_link.n_bytes_sent;
    counts->n_bytes_received += of_link.n_bytes_received;
    eep_link_free(g_steal_pointer(&worker->link));
}

void eep_cuda_worker_free(gpointer data)
{
    EepCudaWorker *worker = data;

    if (worker == NULL)
        return;
    drop_link(worker);
    g_free(worker->map_versions);
    g_free(worker->map);
    g_free(worker->facts.host);
    g_free(worker->facts.gemm);
    g_free(worker);
}

/* What becomes of a lost worker's part: EEP_DONE_COUNT when whoever waits for it waits on. */
static EepDone end_of_part(const EepTask *task)
{
    if (task->ended != NULL)
        return EEP_DONE_WORKER_LOST;
    if (task->kind == EEP_OP_READ_LOAD)
        return EEP_DONE_OK;
    if (task->kind != EEP_OP_PHASE)
        return EEP_DONE_COUNT;
    if (task->phase == EEP_PHASE_LAUNCH)
        return EEP_DONE_WORKER_LOST;
    return task->phase == EEP_PHASE_DESTROY ? EEP_DONE_OK : EEP_DONE_COUNT;
}

static void end_parts(EepCudaWorker *worker)
{
    EepTasks *tasks = worker->backend->tasks;

    for (guint i = eep_tasks_n(tasks); i > 0; i--) {
        EepTask *task = i <= eep_tasks_n(tasks) ? eep_tasks_nth(tasks, i - 1) : NULL;
        EepDone done = task != NULL ? end_of_part(task) : EEP_DONE_COUNT;

        if (done != EEP_DONE_COUNT)
            eep_tasks_end_part(tasks, task, worker->id, done, done == EEP_DONE_OK ? 0 : worker->id);
    }
}

/* The core learns of what no scenario asked for as of any other fault. */
static void tell_core(const EepCudaWorker *worker, EepFaultKind kind)
{
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_WORKER, worker->id),
                      .event_class = EEP_CLASS_FAULT,
                      .kind = EEP_EVENT_FAULT,
                      .a = worker->pool,
                      .b = EEP_POOL_FAULT_FOUND,
                      .c = worker->id | (guint64)kind << 32};

    eep_mailbox_post(worker->backend->options.mailbox, &event);
}

void eep_cuda_worker_lose(EepCudaWorker *worker, const char *why)
{
    EepCudaBackend *self = worker->backend;
    EepCudaWorkerState before = worker->state;
    gboolean is_known = worker->is_broken_on_purpose || worker->is_silent;

    if (before == EEP_CUDA_GONE)
        return;
    worker->state = EEP_CUDA_GONE;
    drop_link(worker);
    if (worker->is_own_process && before != EEP_CUDA_LEAVING && !is_loopback(self))
        eep_crew_signal(self->crew, worker->id, SIGKILL);
    if (before != EEP_CUDA_LEAVING && !self->is_ending) {
        self->counts.n_lost++;
        eep_cuda_say(self, "worker %u is lost: %s", worker->id, why);
        eep_cuda_note_failure(self, worker->id, why);
    }
    end_parts(worker);
    if (before == EEP_CUDA_READY && !is_known && !self->is_ending)
        tell_core(worker, EEP_FAULT_KIND_FAIL);
}

static void on_closed(gpointer self, EepLink *link, const char *reason)
{
    eep_cuda_worker_lose(self, reason);
}

void eep_cuda_on_exit(gpointer user_data, EepWorkerId id, const char *how)
{
    EepCudaBackend *self = user_data;
    EepCudaWorker *worker = eep_cuda_worker(self, id);

    if (worker == NULL)
        return;
    worker->is_own_process = FALSE;
    /* What it said last may still be on its way: then the end of the connection counts. */
    if (worker->link == NULL)
        eep_cuda_worker_lose(worker, how);
    else if (worker->state != EEP_CUDA_LEAVING && !self->is_ending)
        eep_cuda_say(self, "worker %u: its process has ended: %s", id, how);
}

void eep_cuda_worker_kill(EepCudaWorker *worker)
{
    if (worker->is_own_process && !is_loopback(worker->backend))
        eep_crew_signal(worker->backend->crew, worker->id, SIGKILL);
    if (worker->link == NULL)
        worker->state = EEP_CUDA_GONE;
    else
        eep_cuda_worker_lose(worker, "it did not end by itself");
}

void eep_cuda_worker_dismiss(EepCudaWorker *worker, const char *reason)
{
    EepWireMessage message = {.type = EEP_WIRE_BYE};

    if (worker->state == EEP_CUDA_GONE || worker->state == EEP_CUDA_LEAVING)
        return;
    worker->state = EEP_CUDA_LEAVING;
    worker->deadline = eep_monotonic_ns() + worker->backend->gpu.grace;
    if (worker->link == NULL || worker->is_silent) {
        eep_cuda_worker_kill(worker);
        end_parts(worker);
        return;
    }
    g_strlcpy(message.bye.reason, reason, sizeof message.bye.reason);
    eep_link_send(worker->link, &message);
}

/* -- what they say -- */

static void on_ready(EepCudaWorker *worker, const EepWireReady *ready)
{
    EepCudaBackend *self = worker->backend;
    EepTasks *tasks = self->tasks;

    if (worker->state != EEP_CUDA_JOINING)
        return;
    worker->state = EEP_CUDA_READY;
    worker->facts.memory_used_bytes = (gint64)ready->used_bytes;
    worker->facts.gemm = g_strdup(ready->gemm);
    eep_cuda_post_popularity(eep_cuda_pool(self, worker->pool), worker);
    eep_link_flush(worker->link);
    for (guint i = eep_tasks_n(tasks); i > 0; i--) {
        EepTask *task = i <= eep_tasks_n(tasks) ? eep_tasks_nth(tasks, i - 1) : NULL;

        if (task != NULL && task->kind == EEP_OP_PHASE && task->phase == EEP_PHASE_LAUNCH)
            eep_tasks_end_part(tasks, task, worker->id, EEP_DONE_OK, 0);
    }
}

static void on_message(gpointer self, EepLink *link, const EepWireMessage *message)
{
    EepCudaWorker *worker = self;

    switch (message->type) {
    case EEP_WIRE_READY:
        on_ready(worker, &message->ready);
        break;
    case EEP_WIRE_DONE:
        eep_cuda_on_done(worker, &message->done);
        break;
    case EEP_WIRE_LOAD:
        eep_cuda_on_load(worker, &message->load);
        break;
    case EEP_WIRE_CHECKED:
        eep_cuda_on_checked(worker, &message->checked);
        break;
    case EEP_WIRE_MEASURED:
        eep_cuda_on_measured(worker, &message->measured);
        break;
    case EEP_WIRE_GROUP_ID:
        eep_cuda_on_group_id(worker, message);
        break;
    case EEP_WIRE_SAY:
        eep_cuda_say(worker->backend, "worker %u: %s", worker->id, message->say.text);
        break;
    case EEP_WIRE_BYE:
        eep_cuda_say(worker->backend, "worker %u ends: %s", worker->id, message->bye.reason);
        eep_cuda_note_failure(worker->backend, worker->id, message->bye.reason);
        break;
    case EEP_WIRE_BEAT:
        break;
    default:
        eep_cuda_worker_lose(worker, "it sent a message that only a coordinator sends");
    }
}

/* -- heartbeats -- */

static void send_beats(EepCudaBackend *self, gint64 now)
{
    EepWireMessage message = {.type = EEP_WIRE_BEAT,
                              .beat = {.sequence = ++self->n_beats, .sent_ns = (guint64)now}};

    for (guint i = 1; i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker != NULL && worker->link != NULL)
            eep_link_send(worker->link, &message);
    }
    eep_cuda_waiting_send(self, &message);
}

/* One that joins has nothing that could be resumed, and is waited for: it is lost when it would
 * take us for gone, or is not READY in time. */
static void listen_to_joining(EepCudaWorker *worker, gint64 now)
{
    const EepGpuOptions *gpu = &worker->backend->gpu;
    gint64 heard = worker->link != NULL ? MAX(eep_link_heard(worker->link), worker->came_at)
                                        : worker->deadline;
    g_autofree char *why = NULL;

    if (now - heard > MISSED_BY_COORDINATOR * gpu->heartbeat_interval)
        why = g_strdup_printf("it has not been heard for %.3g s while it joined",
                              eep_time_to_seconds(now - heard));
    else if (now >= worker->deadline)
        why = g_strdup_printf("it was not ready within gpu.start_timeout (%.3g s)",
                              eep_time_to_seconds(gpu->start_timeout));
    if (why != NULL)
        eep_cuda_worker_lose(worker, why);
}

/* For those that come by themselves the start has its own end, which says what to do. */
static gboolean is_joining(const EepCudaWorker *worker)
{
    const EepCudaBackend *self = worker->backend;

    return worker->state == EEP_CUDA_JOINING || (worker->state == EEP_CUDA_EXPECTED &&
                                                 (self->options.spawns || self->base.loop != NULL));
}

/* Whoever was taken for lost and is heard again was only late. */
static void listen_to(EepCudaWorker *worker, gint64 now)
{
    EepTime silence = now - eep_link_heard(worker->link);
    gboolean is_silent = silence > MISSED_BY_WORKER * worker->backend->gpu.heartbeat_interval;

    if (is_silent == worker->is_silent)
        return;
    worker->is_silent = is_silent;
    if (!is_silent) {
        eep_cuda_say(worker->backend, "worker %u is heard again", worker->id);
        return;
    }
    eep_cuda_say(worker->backend, "worker %u has not been heard for %.3g s", worker->id,
                 eep_time_to_seconds(silence));
    worker->backend->counts.n_lost++;
    if (worker->state == EEP_CUDA_READY && !worker->is_broken_on_purpose)
        tell_core(worker, EEP_FAULT_KIND_HANG);
}

void eep_cuda_tick(EepCudaBackend *self)
{
    gint64 now = eep_monotonic_ns(), since = now - self->ticked;

    self->ticked = now;
    if (now - self->beat_at >= self->gpu.heartbeat_interval) {
        self->beat_at = now;
        send_beats(self, now);
    }
    eep_door_tick(self->door);
    for (guint i = 1; i < self->workers->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (!is_there(worker))
            continue;
        give_up_wishes(self, worker, now);
        /* If we were away ourselves, what they said meanwhile has not been read yet. */
        if (since < self->gpu.heartbeat_interval) {
            if (is_joining(worker))
                listen_to_joining(worker, now);
            else if (worker->link != NULL)
                listen_to(worker, now);
        }
        if (worker->state == EEP_CUDA_LEAVING && now >= worker->deadline) {
            eep_cuda_worker_kill(worker);
            end_parts(worker);
        }
    }
}
