/* A worker for tests of the coordinator: it speaks the protocol, does no work and misbehaves as
 * told.
 *
 * EEP_FAKE is a list "WORKER.MODE[=ARGUMENT],...", WORKER a worker id or *: what each mode does
 * stands in `modes`. Started as a real worker is. One thread, one connection; a rank that SPAWN
 * asks for is a child process. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/resize/phase.h"
#include "gpu/wire.h"
#include "gpu/worker/connection.h"
#include "gpu/worker/weights.h"
#include "live/clock_real.h"

#define MAX_LAYERS 8
#define MAX_GROUPS 64

typedef struct {
    EepEpoch epoch;
    EepOpId waits; /* the phase that waits for the group's id; 0: none */
    guint rank, n_ranks;
} Group;

typedef struct {
    int fd;
    guint32 worker, device;
    EepWireWelcome welcome;
    GByteArray *in;
    gint64 beat_at;
    gint32 *slots[MAX_LAYERS]; /* [slots_per_rank], what each holds */
    Group groups[MAX_GROUPS];
    guint n_groups, n_steps, n_moves, n_checks;
    gboolean is_mute;
    guint64 tokens; /* of all steps */
} Fake;

static const char *address, *token;

/* The argument of the mode, "" without one; NULL: not asked for. */
static const char *mode(const Fake *fake, const char *name)
{
    static char argument[64];
    const char *list = g_getenv("EEP_FAKE");
    g_auto(GStrv) entries = g_strsplit(list != NULL ? list : "", ",", -1);

    for (char **entry = entries; *entry != NULL; entry++) {
        g_auto(GStrv) who = g_strsplit(*entry, ".", 2);
        g_auto(GStrv) what = who[0] != NULL && who[1] != NULL ? g_strsplit(who[1], "=", 2) : NULL;

        if (what == NULL || strcmp(what[0], name) != 0 ||
            (strcmp(who[0], "*") != 0 && strtoul(who[0], NULL, 10) != fake->worker))
            continue;
        g_strlcpy(argument, what[1] != NULL ? what[1] : "", sizeof argument);
        return argument;
    }
    return NULL;
}

static gboolean is_mode_now(const Fake *fake, const char *name, const char *now)
{
    const char *argument = mode(fake, name);

    return argument != NULL && strcmp(argument, now) == 0;
}

/* -- sending -- */

static void send_bytes(Fake *fake, const guint8 *data, gsize n)
{
    while (n > 0 && !fake->is_mute) {
        ssize_t sent = send(fake->fd, data, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN) {
            struct pollfd ready = {fake->fd, POLLOUT, 0};

            poll(&ready, 1, 100);
        } else if (sent <= 0) {
            exit(1);
        } else {
            data += sent;
            n -= (gsize)sent;
        }
    }
}

static void tell(Fake *fake, const EepWireMessage *message)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    eep_wire_encode(message, out);
    send_bytes(fake, out->data, out->len);
}

/* Half a message, and then nothing any more. */
static void stall(Fake *fake, const EepWireMessage *message)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    eep_wire_encode(message, out);
    send_bytes(fake, out->data, out->len / 2);
    fake->is_mute = TRUE;
}

static void done(Fake *fake, EepOpId op, EepOpKind kind, EepDone how, EepEpoch epoch)
{
    EepWireMessage message = {
        .type = EEP_WIRE_DONE,
        .done = {.op = op, .kind = kind, .done = how, .epoch = epoch, .suspect = G_MAXUINT32}};

    if (mode(fake, "wrong_kind") != NULL && fake->n_steps > 0)
        message.done.kind = EEP_OP_MOVE_KV;

    if (how != EEP_DONE_OK)
        g_strlcpy(message.done.reason, "as told", sizeof message.done.reason);
    if (kind == EEP_OP_STEP && how == EEP_DONE_OK && fake->welcome.model.n_layers > 0) {
        message.done.probe_hash = mode(fake, "wrong_probe") != NULL && fake->n_steps > 3 ? 7 : 42;
        message.done.probe[0] = 1.5f;
    }
    tell(fake, &message);
}

static void say(Fake *fake, const char *text)
{
    EepWireMessage message = {.type = EEP_WIRE_SAY};

    g_strlcpy(message.say.text, text, sizeof message.say.text);
    tell(fake, &message);
}

/* -- groups and phases -- */

static Group *group_of(Fake *fake, EepEpoch epoch)
{
    for (guint i = 0; i < fake->n_groups; i++)
        if (fake->groups[i].epoch == epoch)
            return &fake->groups[i];
    return NULL;
}

static void tell_id(Fake *fake, const EepWirePhase *phase)
{
    EepWireMessage message = {.type = EEP_WIRE_GROUP_ID,
                              .group_id = {.op = phase->op, .epoch = phase->target_epoch}};

    tell(fake, &message);
}

static void join(Fake *fake, const EepWirePhase *phase)
{
    Group *group = group_of(fake, phase->target_epoch);

    if (group == NULL)
        group = &fake->groups[fake->n_groups++ % MAX_GROUPS];
    *group = (Group){phase->target_epoch, phase->op, phase->rank, phase->n_ranks};
    if (phase->rank == 0) {
        tell_id(fake, phase);
        group->waits = 0;
        done(fake, phase->op, EEP_OP_PHASE, EEP_DONE_OK, phase->epoch);
    }
}

static void on_phase(Fake *fake, const EepWirePhase *phase)
{
    const char *kind = eep_phase_names[phase->kind];

    if (is_mode_now(fake, "die_at_phase", kind))
        raise(SIGKILL);
    if (is_mode_now(fake, "hang_at_phase", kind) || phase->breaks == EEP_WIRE_BREAK_HANG)
        return;
    if (is_mode_now(fake, "fail_at_phase", kind) || phase->breaks == EEP_WIRE_BREAK_FAIL) {
        done(fake, phase->op, EEP_OP_PHASE, EEP_DONE_GROUP_BROKEN, phase->epoch);
        return;
    }
    if (phase->n_old > 0 && mode(fake, "hang_at_shrink") != NULL)
        return;
    if (phase->n_old > 0 && mode(fake, "fail_at_shrink") != NULL) {
        if (phase->rank == 0)
            tell_id(fake, phase);
        done(fake, phase->op, EEP_OP_PHASE, EEP_DONE_GROUP_BROKEN, phase->epoch);
        return;
    }
    if (phase->has_gone && phase->n_old == 0)
        say(fake, "leaves groups whose members are gone");
    if (phase->kind == EEP_PHASE_STANDBY_GROUPS || phase->kind == EEP_PHASE_COMM_SPLIT)
        join(fake, phase);
    else
        done(fake, phase->op, EEP_OP_PHASE, EEP_DONE_OK, phase->epoch);
}

static void on_group_id(Fake *fake, const EepWireGroupId *id)
{
    Group *group = group_of(fake, id->epoch);

    if (group == NULL || group->waits == 0)
        return;
    done(fake, group->waits, EEP_OP_PHASE, EEP_DONE_OK, 0);
    group->waits = 0;
}

/* -- experts and steps -- */

static void on_map(Fake *fake, const EepWireMap *map)
{
    const Group *group = group_of(fake, map->epoch);
    guint n = fake->welcome.model.slots_per_rank;

    if (group == NULL || group->n_ranks != map->n_ranks || map->layer >= MAX_LAYERS)
        exit(9);
    for (guint i = 0; i < n; i++) {
        guint32 expert = map->experts[group->rank * n + i];

        fake->slots[map->layer][i] = expert == EEP_WIRE_SLOT_EMPTY ? -1 : (gint32)expert;
    }
}

static void on_step(Fake *fake, const EepWireStep *step)
{
    g_autofree char *now = g_strdup_printf("%u", ++fake->n_steps);
    const char *pause = mode(fake, "step_us");

    if (is_mode_now(fake, "die_at_step", now))
        raise(SIGKILL);
    if (is_mode_now(fake, "stop_at_step", now))
        raise(SIGSTOP);
    if (is_mode_now(fake, "hang_at_step", now))
        return;
    if (is_mode_now(fake, "mute_at_step", now))
        fake->is_mute = TRUE;
    if (is_mode_now(fake, "garbage_at_step", now))
        send_bytes(fake, (const guint8 *)"GET / HTTP/1.1\r\n\r\n", 18);
    if (is_mode_now(fake, "stall_at_step", now)) {
        EepWireMessage message = {.type = EEP_WIRE_SAY, .say = {0, "never heard"}};

        stall(fake, &message);
        return;
    }
    if (pause != NULL)
        g_usleep(strtoul(pause, NULL, 10));
    fake->tokens += step->n_decodes + step->n_prefill_tokens;
    done(fake, step->op, EEP_OP_STEP,
         is_mode_now(fake, "fail_at_step", now) ? EEP_DONE_GROUP_BROKEN : EEP_DONE_OK, step->epoch);
}

/* All tokens went to expert 0. */
static void on_read_load(Fake *fake, const EepWireReadLoad *read)
{
    g_autofree guint64 *tokens = g_new0(guint64, fake->welcome.model.n_experts);

    for (guint layer = 0; layer < fake->welcome.model.n_layers; layer++) {
        EepWireMessage message = {.type = EEP_WIRE_LOAD,
                                  .load = {.op = read->op,
                                           .window = 0,
                                           .layer = layer,
                                           .n_experts = fake->welcome.model.n_experts,
                                           .tokens = tokens}};

        tokens[0] = fake->tokens * fake->welcome.model.top_k;
        tell(fake, &message);
    }
    done(fake, read->op, EEP_OP_READ_LOAD, EEP_DONE_OK, 0);
}

static void on_check(Fake *fake, const EepWireCheck *check)
{
    const EepWireModel *model = &fake->welcome.model;
    g_autoptr(GArray) sums = g_array_new(FALSE, FALSE, sizeof(EepWireSlotSum));
    EepWireMessage message = {.type = EEP_WIRE_CHECKED};
    const char *n_failing = mode(fake, "cannot_tell");

    fake->n_checks++;
    if (n_failing != NULL && fake->n_checks <= strtoul(n_failing, NULL, 10)) {
        done(fake, check->op, EEP_OP_READ_LOAD, EEP_DONE_REFUSED, 0);
        return;
    }
    if (mode(fake, "die_at_check") != NULL && fake->n_checks == 2)
        raise(SIGKILL);
    for (guint layer = 0; layer < model->n_layers; layer++)
        for (guint slot = 0; slot < model->slots_per_rank; slot++) {
            gint32 expert = fake->slots[layer][slot];
            EepExpertLayout layout;
            EepWireSlotSum sum = {layer, slot, (guint32)expert, 0};

            if (expert < 0)
                continue;
            eep_weights_expert(model->seed, layer, (guint32)expert, model->hidden,
                               model->intermediate, &layout);
            sum.checksum = eep_weights_expert_checksum(&layout);
            sum.checksum ^= mode(fake, "wrong_sum") != NULL && slot == 0;
            g_array_append_val(sums, sum);
        }
    if (mode(fake, "never_checked") != NULL)
        return;
    message.checked =
        (EepWireChecked){check->op, sums->len, (const EepWireSlotSum *)(gconstpointer)sums->data};
    tell(fake, &message);
    done(fake, check->op, EEP_OP_READ_LOAD, EEP_DONE_OK, 0);
}

/* -- the connection -- */

static void hello(Fake *fake)
{
    EepWireMessage message = {.type = EEP_WIRE_HELLO};
    EepWireHello *body = &message.hello;

    *body = (EepWireHello){.magic = EEP_WIRE_MAGIC,
                           .version = EEP_WIRE_VERSION + (mode(fake, "version") != NULL),
                           .rank = G_MAXUINT32,
                           .program = "fake",
                           .host = "here",
                           .pid = (guint64)getpid(),
                           .worker = mode(fake, "anonymous") != NULL ? 0 : fake->worker,
                           .device = {.name = "none", .host_hash = 1, .index = fake->device}};
    body->device.is_emulated = mode(fake, "real") == NULL;
    g_snprintf(body->device.bus_id, sizeof body->device.bus_id, "0000:%02x:00.0",
               mode(fake, "same_gpu") != NULL ? 0 : fake->device);
    for (guint i = 0; i < EEP_WIRE_TOKEN_BYTES; i++)
        body->token[i] = (char)(g_ascii_xdigit_value(token[2 * i]) << 4 |
                                g_ascii_xdigit_value(token[2 * i + 1]));
    if (mode(fake, "wrong_token") != NULL)
        body->token[EEP_WIRE_TOKEN_BYTES - 1] ^= 1;
    if (mode(fake, "silent") != NULL)
        return;
    if (mode(fake, "garbage") != NULL)
        send_bytes(fake, (const guint8 *)"GET / HTTP/1.1\r\n\r\n", 18);
    else if (mode(fake, "stall") != NULL)
        stall(fake, &message);
    else
        tell(fake, &message);
}

static void on_welcome(Fake *fake, const EepWireWelcome *welcome)
{
    EepWireMessage message = {.type = EEP_WIRE_READY, .ready = {.used_bytes = 1, .gemm = "none"}};

    fake->welcome = *welcome;
    fake->worker = welcome->worker;
    for (guint i = 0; i < MAX_LAYERS; i++)
        fake->slots[i] = g_new0(gint32, welcome->model.slots_per_rank);
    if (mode(fake, "die_before_ready") != NULL)
        raise(SIGKILL);
    if (mode(fake, "stall_ready") != NULL)
        stall(fake, &message);
    else if (mode(fake, "never_ready") == NULL)
        tell(fake, &message);
}

static void serve(guint32 worker, guint32 device) G_GNUC_NORETURN;

static void on_spawn(const Fake *fake, guint32 worker)
{
    if (fork() != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(fake->fd);
    serve(worker, fake->device);
}

static void on_fault(Fake *fake, const EepWireFault *fault)
{
    if (fault->kind == EEP_FAULT_KIND_FAIL)
        raise(SIGKILL);
    fake->is_mute = fault->kind == EEP_FAULT_KIND_HANG;
}

/* fail_moves=N: the first N of them break. */
static void on_move(Fake *fake, const EepWireMove *move)
{
    const char *fails = mode(fake, "fail_moves");
    gboolean is_broken = fails != NULL && fake->n_moves < strtoul(fails, NULL, 10);

    if (mode(fake, "die_at_move") != NULL)
        raise(SIGKILL);
    fake->n_moves++;
    done(fake, move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS,
         is_broken ? EEP_DONE_GROUP_BROKEN : EEP_DONE_OK, move->epoch);
}

static void on_message(Fake *fake, const EepWireMessage *message)
{
    switch (message->type) {
    case EEP_WIRE_REFUSE:
        fprintf(stderr, "refused: %s\n", message->refuse.reason);
        exit(2);
    case EEP_WIRE_WELCOME:
        on_welcome(fake, &message->welcome);
        break;
    case EEP_WIRE_GROUP_ID:
        on_group_id(fake, &message->group_id);
        break;
    case EEP_WIRE_MAP:
        on_map(fake, &message->map);
        break;
    case EEP_WIRE_STEP:
        on_step(fake, &message->step);
        break;
    case EEP_WIRE_PHASE:
        on_phase(fake, &message->phase);
        break;
    case EEP_WIRE_MOVE:
        on_move(fake, &message->move);
        break;
    case EEP_WIRE_READ_LOAD:
        on_read_load(fake, &message->read_load);
        break;
    case EEP_WIRE_CHECK:
        on_check(fake, &message->check);
        break;
    case EEP_WIRE_ABORT:
        done(fake, message->abort.op, EEP_OP_ABORT, EEP_DONE_OK, 0);
        break;
    case EEP_WIRE_FAULT:
        on_fault(fake, &message->fault);
        break;
    case EEP_WIRE_SPAWN:
        on_spawn(fake, message->spawn.worker);
        break;
    case EEP_WIRE_BYE:
        if (mode(fake, "never_leaves") == NULL)
            exit(0);
        break;
    default:
        break;
    }
}

static void take_messages(Fake *fake)
{
    gsize bytes;

    while (eep_wire_frame(fake->in->data, fake->in->len, &bytes, NULL)) {
        EepWireMessage message;

        if (!eep_wire_decode(fake->in->data, bytes, &message, NULL))
            exit(8);
        g_byte_array_remove_range(fake->in, 0, (guint)bytes);
        on_message(fake, &message);
        eep_wire_clear(&message);
    }
}

static void receive(Fake *fake)
{
    guint8 bytes[65536];
    ssize_t n = recv(fake->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n == 0)
        exit(0);
    if (n > 0)
        g_byte_array_append(fake->in, bytes, (guint)n);
    take_messages(fake);
}

static void beat(Fake *fake)
{
    EepWireMessage message = {.type = EEP_WIRE_BEAT};

    if (fake->welcome.beat_ns == 0 || eep_monotonic_ns() < fake->beat_at)
        return;
    fake->beat_at = eep_monotonic_ns() + (gint64)fake->welcome.beat_ns;
    tell(fake, &message);
}

static void serve(guint32 worker, guint32 device)
{
    g_autoptr(GError) error = NULL;
    Fake *fake = g_new0(Fake, 1);

    fake->worker = worker;
    fake->device = device;
    fake->in = g_byte_array_new();
    if (!eep_connection_open(address, 5 * EEP_NS_PER_S, &fake->fd, &error)) {
        fprintf(stderr, "fake worker: %s\n", error->message);
        exit(1);
    }
    hello(fake);
    for (;;) {
        struct pollfd ready = {fake->fd, POLLIN, 0};
        int timeout = fake->welcome.beat_ns != 0 ? (int)(fake->welcome.beat_ns / 1000000) : 1000;

        if (poll(&ready, 1, MAX(1, timeout)) > 0)
            receive(fake);
        beat(fake);
    }
}

int main(int argc, char **argv)
{
    guint32 worker = 0, device = 0;

    token = g_getenv("EEP_TOKEN");
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--connect") == 0)
            address = argv[i + 1];
        else if (strcmp(argv[i], "--worker") == 0)
            worker = (guint32)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--device") == 0)
            device = (guint32)strtoul(argv[i + 1], NULL, 10);
    }
    if (address == NULL || token == NULL || strlen(token) != 2 * EEP_WIRE_TOKEN_BYTES)
        return 2;
    serve(worker, device);
}
