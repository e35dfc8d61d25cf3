/* The worker as a whole: its life, and the control thread. */
#include "gpu/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fault.h"
#include "gpu/worker/connection.h"
#include "gpu/worker/worker_internal.h"
#include "live/clock_real.h"

/* Until WELCOME a coordinator sends heartbeats, too, and what to expect of them only --wait can
 * say; it is of some use without a second of it. */
#define LEAST_SILENCE_NS G_GINT64_CONSTANT(2000000000)
/* For the last words, once it has been decided to end: a part of gpu.grace. */
#define FLUSH_SHARE 10
/* Of gpu.grace, while nobody has told it. */
#define GRACE_NS G_GINT64_CONSTANT(5000000000)
/* To give back a device that is in order, even if nobody would wait for it. */
#define LEAST_GRACE_NS 200000000

static void wake(gpointer self)
{
    const EepWorker *worker = self;
    guint64 one = 1;

    while (write(worker->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void eep_worker_end(EepWorker *worker, EepWorkerEnd end, const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&worker->lock);
    if (!worker->has_ended) {
        va_start(arguments, format);
        worker->last_word = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        worker->end = end;
        worker->has_ended = TRUE;
    }
    pthread_mutex_unlock(&worker->lock);
    wake(worker);
}

static gboolean has_ended(EepWorker *worker, EepWorkerEnd *ret_end)
{
    gboolean answer;

    pthread_mutex_lock(&worker->lock);
    answer = worker->has_ended;
    *ret_end = worker->end;
    pthread_mutex_unlock(&worker->lock);
    return answer;
}

/* -- what the coordinator says -- */

static void on_refuse(EepWorker *worker, EepWireMessage *message)
{
    eep_worker_end(worker, EEP_WORKER_REFUSED, "the coordinator refuses: %s",
                   message->refuse.reason);
}

static void on_welcome(EepWorker *worker, EepWireMessage *message)
{
    if (worker->members != NULL) {
        eep_worker_end(worker, EEP_WORKER_FAILED, "welcomed twice");
        return;
    }
    worker->welcome = message->welcome;
    worker->id = message->welcome.worker;
    worker->transport = message->welcome.transport == EEP_TRANSPORT_LOOPBACK
                            ? eep_transport_loopback_new()
                            : eep_transport_nccl_new();
    worker->next_beat = eep_monotonic_ns();
    worker->lanes[EEP_LANE_STEP] = eep_lane_new(&eep_worker_step_lane, worker);
    worker->members =
        eep_members_new(worker->transport, eep_lane_stop(worker->lanes[EEP_LANE_STEP]));
    worker->lanes[EEP_LANE_ASIDE] = eep_lane_new(&eep_worker_aside_lane, worker);
}

static void on_beat(EepWorker *worker, EepWireMessage *message)
{
    /* Having come is all that it says. */
}

static void on_group_id(EepWorker *worker, EepWireMessage *message)
{
    eep_members_hand_id(worker->members, &message->group_id);
}

static void on_work(EepWorker *worker, EepWireMessage *message)
{
    eep_lane_put(worker->lanes[eep_worker_lane_of(message)], message);
}

static void on_abort(EepWorker *worker, EepWireMessage *message)
{
    EepAbortLeft left = {message->abort.op, EEP_LANE_COUNT};

    pthread_mutex_lock(&worker->lock);
    g_array_append_val(worker->aborts, left);
    pthread_mutex_unlock(&worker->lock);
    for (guint i = 0; i < EEP_LANE_COUNT; i++)
        eep_lane_abort(worker->lanes[i], &message->abort);
}

/* A process of its own breaks for real; a logical rank of a shared one falls silent. */
static void on_fault(EepWorker *worker, EepWireMessage *message)
{
    gboolean is_shared = worker->welcome.transport == EEP_TRANSPORT_LOOPBACK;

    switch (message->fault.kind) {
    case EEP_FAULT_KIND_FAIL:
        if (!is_shared)
            raise(SIGKILL);
        eep_outbox_mute(worker->outbox, TRUE);
        eep_worker_end(worker, EEP_WORKER_FAILED, "a fault of the scenario");
        break;
    case EEP_FAULT_KIND_HANG:
        if (!is_shared)
            raise(SIGSTOP);
        g_atomic_int_set(&worker->is_hung, 1);
        eep_outbox_mute(worker->outbox, TRUE);
        break;
    case EEP_FAULT_KIND_SLOW:
        pthread_mutex_lock(&worker->lock);
        worker->slow_factor = MAX(1.0, message->fault.factor);
        pthread_mutex_unlock(&worker->lock);
        break;
    case EEP_FAULT_KIND_COUNT:
        eep_outbox_mute(worker->outbox, FALSE);
        g_atomic_int_set(&worker->is_hung, 0);
        break;
    default:
        break;
    }
}

static void on_spawn(EepWorker *worker, EepWireMessage *message)
{
    worker->spawn(worker->spawn_self, message->spawn.worker);
}

static void on_bye(EepWorker *worker, EepWireMessage *message)
{
    eep_worker_end(worker, EEP_WORKER_SENT_HOME, "%s", message->bye.reason);
}

static const struct {
    void (*act)(EepWorker *worker, EepWireMessage *message);
    gboolean is_early; /* before WELCOME */
} handlers[EEP_WIRE_TYPE_END] = {
    [EEP_WIRE_REFUSE] = {on_refuse, TRUE},      [EEP_WIRE_WELCOME] = {on_welcome, TRUE},
    [EEP_WIRE_BEAT] = {on_beat, TRUE},          [EEP_WIRE_POPULARITY] = {on_work, FALSE},
    [EEP_WIRE_GROUP_ID] = {on_group_id, FALSE}, [EEP_WIRE_MAP] = {on_work, FALSE},
    [EEP_WIRE_STEP] = {on_work, FALSE},         [EEP_WIRE_PHASE] = {on_work, FALSE},
    [EEP_WIRE_MOVE] = {on_work, FALSE},         [EEP_WIRE_READ_LOAD] = {on_work, FALSE},
    [EEP_WIRE_CHECK] = {on_work, FALSE},        [EEP_WIRE_MEASURE] = {on_work, FALSE},
    [EEP_WIRE_ABORT] = {on_abort, FALSE},       [EEP_WIRE_FAULT] = {on_fault, FALSE},
    [EEP_WIRE_SPAWN] = {on_spawn, FALSE},       [EEP_WIRE_BYE] = {on_bye, TRUE},
};

static void handle(EepWorker *worker, EepWireMessage *message)
{
    if (handlers[message->type].act == NULL)
        eep_worker_end(worker, EEP_WORKER_FAILED, "a coordinator does not say %s",
                       eep_wire_type_name(message->type));
    else if (worker->members == NULL && !handlers[message->type].is_early)
        eep_worker_end(worker, EEP_WORKER_FAILED, "%s before WELCOME",
                       eep_wire_type_name(message->type));
    else
        handlers[message->type].act(worker, message);
}

static void take_messages(EepWorker *worker)
{
    g_autoptr(GError) error = NULL;
    gsize at = 0, bytes;
    EepWorkerEnd end;

    while (!has_ended(worker, &end) && eep_wire_frame(worker->received->data + at,
                                                      worker->received->len - at, &bytes, &error)) {
        EepWireMessage message;

        if (!eep_wire_decode(worker->received->data + at, bytes, &message, &error))
            break;
        handle(worker, &message);
        eep_wire_clear(&message);
        at += bytes;
    }
    if (error != NULL)
        eep_worker_end(worker, EEP_WORKER_FAILED, "from the coordinator: %s", error->message);
    g_byte_array_remove_range(worker->received, 0, (guint)at);
}

static void receive(EepWorker *worker)
{
    for (;;) {
        guint8 bytes[65536];
        ssize_t n = recv(worker->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (n > 0) {
            worker->last_heard = eep_monotonic_ns();
            g_byte_array_append(worker->received, bytes, (guint)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        take_messages(worker);
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            eep_worker_end(worker, EEP_WORKER_FAILED, "the coordinator has closed the connection");
        return;
    }
}

/* -- time -- */

static void beat(EepWorker *worker)
{
    gint64 now = eep_monotonic_ns();
    EepWireMessage message = {.type = EEP_WIRE_BEAT, .beat = {worker->n_beats, (guint64)now}};

    if (worker->members == NULL || now < worker->next_beat)
        return;
    worker->n_beats++;
    worker->next_beat = now + (gint64)worker->welcome.beat_ns;
    eep_outbox_send(worker->outbox, &message);
}

/* How long may be waited, and whether it has been waited for too long. */
static int look_at_time(EepWorker *worker)
{
    gint64 now = eep_monotonic_ns();
    gint64 silence = worker->members != NULL ? (gint64)worker->welcome.silence_ns
                                             : MAX(LEAST_SILENCE_NS, worker->options->connect_ns);
    gint64 until = worker->last_heard + silence;

    if (now >= until)
        eep_worker_end(worker, EEP_WORKER_FAILED, "no word from the coordinator for %.3g s",
                       (double)silence / 1e9);
    if (worker->members != NULL)
        until = MIN(until, worker->next_beat);
    return (int)CLAMP((until - now) / 1000000 + 1, 0, 60000);
}

static void wait_for_something(EepWorker *worker)
{
    short wanted = eep_outbox_is_empty(worker->outbox) ? POLLIN : POLLIN | POLLOUT;
    struct pollfd fds[] = {{worker->fd, wanted, 0}, {worker->wake_fd, POLLIN, 0}};
    guint64 unused;

    if (poll(fds, G_N_ELEMENTS(fds), look_at_time(worker)) < 0)
        return;
    if (fds[1].revents != 0 && read(worker->wake_fd, &unused, sizeof unused) < 0)
        eep_worker_end(worker, EEP_WORKER_FAILED, "cannot read an event counter: %s",
                       g_strerror(errno));
    if (fds[0].revents != 0)
        receive(worker);
    if (!eep_outbox_flush(worker->outbox))
        eep_worker_end(worker, EEP_WORKER_FAILED, "cannot send to the coordinator");
}

/* -- life -- */

/* Machines that bear one name ("localhost") are told apart by when they were started. */
static guint64 hash_host(const char *name)
{
    g_autofree char *boot = NULL;

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL))
        return g_str_hash(name);
    return (guint64)g_str_hash(name) << 32 | g_str_hash(boot);
}

static void say_hello(EepWorker *worker, guint32 nccl_version)
{
    const EepDeviceFacts *facts = eep_device_facts(worker->device);
    EepWireMessage message = {.type = EEP_WIRE_HELLO};
    EepWireHello *hello = &message.hello;

    *hello = (EepWireHello){.magic = EEP_WIRE_MAGIC,
                            .version = EEP_WIRE_VERSION,
                            .rank = worker->options->rank,
                            .pid = (guint64)getpid(),
                            .worker = worker->id};
    eep_wire_parse_token(worker->options->token, hello->token);
    g_strlcpy(hello->program, EEP_VERSION, sizeof hello->program);
    gethostname(hello->host, sizeof hello->host - 1);
    g_strlcpy(hello->device.name, facts->name, sizeof hello->device.name);
    g_strlcpy(hello->device.bus_id, facts->bus_id, sizeof hello->device.bus_id);
    hello->device.host_hash = hash_host(hello->host);
    hello->device.index = facts->index;
    hello->device.cc_major = facts->cc_major;
    hello->device.cc_minor = facts->cc_minor;
    hello->device.n_sms = facts->n_sms;
    hello->device.memory_bytes = facts->memory_bytes;
    hello->device.runtime_version = (guint32)facts->runtime_version;
    hello->device.driver_version = (guint32)facts->driver_version;
    hello->device.nccl_version = nccl_version;
    hello->device.is_emulated = facts->is_emulated;
    eep_outbox_send(worker->outbox, &message);
}

/* Of four tasks on a node that each see one device, all have device 0. */
static guint device_of(const EepWorkerOptions *options)
{
    guint n = options->is_local_rank ? eep_device_count(NULL) : 0;

    return n > 0 ? options->device % n : options->device;
}

EepWorker *eep_worker_new(const EepWorkerOptions *options, guint32 id, EepWorkerSpawn spawn,
                          gpointer self, GError **error)
{
    EepWorker *worker = g_new0(EepWorker, 1);

    worker->options = options;
    worker->id = id;
    worker->spawn = spawn;
    worker->spawn_self = self;
    worker->fd = -1;
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->received = g_byte_array_new();
    worker->aborts = g_array_new(FALSE, FALSE, sizeof(EepAbortLeft));
    worker->slow_factor = 1.0;
    pthread_mutex_init(&worker->lock, NULL);
    worker->device = eep_device_open(device_of(options), error);
    if (worker->device == NULL ||
        !eep_connection_open(options->connect, options->connect_ns, &worker->fd, error)) {
        eep_worker_free(worker);
        return NULL;
    }
    worker->outbox = eep_outbox_new(worker->fd, wake, worker);
    worker->last_heard = eep_monotonic_ns();
    say_hello(worker, eep_transport_nccl_version());
    return worker;
}

gint64 eep_worker_grace(const EepWorker *worker)
{
    return worker->members != NULL ? MAX(LEAST_GRACE_NS, (gint64)worker->welcome.grace_ns)
                                   : GRACE_NS;
}

/* What has been said is sent, for a bounded time. */
static void say_bye(EepWorker *worker)
{
    EepWireMessage message = {.type = EEP_WIRE_BYE};
    gint64 end = eep_monotonic_ns() + eep_worker_grace(worker) / FLUSH_SHARE;

    g_strlcpy(message.bye.reason, worker->last_word, sizeof message.bye.reason);
    eep_outbox_send(worker->outbox, &message);
    while (eep_outbox_flush(worker->outbox) && !eep_outbox_is_empty(worker->outbox) &&
           eep_monotonic_ns() < end) {
        struct pollfd fd = {worker->fd, POLLOUT, 0};

        poll(&fd, 1, 10);
    }
}

EepWorkerEnd eep_worker_run(EepWorker *worker, GError **error)
{
    EepWorkerEnd end;

    while (!has_ended(worker, &end)) {
        wait_for_something(worker);
        beat(worker);
    }
    say_bye(worker);
    if (end != EEP_WORKER_SENT_HOME)
        g_set_error(error, EEP_WORKER_ERROR,
                    end == EEP_WORKER_REFUSED ? EEP_WORKER_ERROR_REFUSED : EEP_WORKER_ERROR_LOST,
                    "%s", worker->last_word);
    return end;
}

void eep_worker_free(EepWorker *worker)
{
    if (worker == NULL)
        return;
    for (guint i = 0; i < EEP_LANE_COUNT; i++)
        eep_lane_free(worker->lanes[i]);
    eep_members_free(worker->members);
    g_clear_pointer(&worker->moe, eep_moe_free);
    if (worker->transport != NULL)
        eep_transport_free(worker->transport);
    for (guint i = 0; i < EEP_LANE_COUNT; i++)
        if (worker->streams[i] != NULL)
            eep_device_drop_stream(worker->device, worker->streams[i]);
    if (worker->device != NULL)
        eep_device_close(worker->device);
    eep_outbox_free(worker->outbox);
    if (worker->fd >= 0)
        close(worker->fd);
    close(worker->wake_fd);
    g_byte_array_unref(worker->received);
    g_array_unref(worker->aborts);
    g_free(worker->offloaded);
    g_free(worker->map_error);
    g_free(worker->last_word);
    pthread_mutex_destroy(&worker->lock);
    g_free(worker);
}
