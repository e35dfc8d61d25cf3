#include "gpu/emulation/emulated_nccl_mesh.h"

#include "gpu/emulation/emulated_runtime.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HELLO_MAGIC  0x65657068u
#define BUS_ID_BYTES 32
#define LOOK_MS      50   /* how often the device's health is looked at while nothing comes */
#define CONNECT_MS   2    /* how often a rank that does not listen yet is tried */
#define DIAL_MS      1000 /* until a host that does not answer is called anew */
#define SOCKET_BYTES (1 << 20)

typedef struct {
    guint32 magic, rank, n_ranks, pad;
    guint8 id[EEP_MESH_ID_BYTES];
    guint64 tag;
    char bus_id[BUS_ID_BYTES];
} Hello;

typedef struct {
    int socket; /* -1: none, or closed by the peer */
    gboolean is_greeted;
    gboolean is_far; /* came by the TCP port, as anybody might */
    gsize n_heard;
    Hello heard;
} Link;

struct EepMesh {
    EepMeshPlace place;
    Hello hello;
    int wake; /* an eventfd that is readable once aborted */
    gint is_aborted;
    int listener, far_listener;
    EepNcclPlace *peers; /* [n_ranks], as the root said; all 0: it was not asked */
    Link *links;         /* [n_ranks] */
    GArray *arrivals;    /* Link: accepted, and not yet known by name */
};

EepMesh *eep_mesh_new(const EepMeshPlace *place)
{
    EepMesh *mesh = g_new0(EepMesh, 1);
    mesh->place = *place;
    mesh->hello = (Hello){
        .magic = HELLO_MAGIC, .rank = place->rank, .n_ranks = place->n_ranks, .tag = place->tag};
    memcpy(mesh->hello.id, place->id, EEP_MESH_ID_BYTES);
    g_strlcpy(mesh->hello.bus_id, place->bus_id, BUS_ID_BYTES);
    mesh->place.bus_id = mesh->hello.bus_id;
    mesh->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mesh->listener = mesh->far_listener = -1;
    mesh->peers = g_new0(EepNcclPlace, place->n_ranks);
    mesh->links = g_new0(Link, place->n_ranks);
    for (guint i = 0; i < place->n_ranks; i++)
        mesh->links[i].socket = -1;
    mesh->arrivals = g_array_new(FALSE, TRUE, sizeof(Link));
    return mesh;
}

static void close_socket(int *socket)
{
    if (*socket >= 0) {
        close(*socket);
        *socket = -1;
    }
}

static void stop_listening(EepMesh *mesh)
{
    close_socket(&mesh->listener);
    close_socket(&mesh->far_listener);
    for (guint i = 0; i < mesh->arrivals->len; i++)
        close_socket(&g_array_index(mesh->arrivals, Link, i).socket);
    g_array_set_size(mesh->arrivals, 0);
}

void eep_mesh_free(EepMesh *mesh)
{
    stop_listening(mesh);
    for (guint i = 0; i < mesh->place.n_ranks; i++)
        close_socket(&mesh->links[i].socket);
    close_socket(&mesh->wake);
    g_array_unref(mesh->arrivals);
    g_free(mesh->peers);
    g_free(mesh->links);
    g_free(mesh);
}

void eep_mesh_abort(EepMesh *mesh)
{
    g_atomic_int_set(&mesh->is_aborted, 1);
    const guint64 one = 1;
    while (write(mesh->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

gboolean eep_mesh_is_aborted(const EepMesh *mesh)
{
    return g_atomic_int_get(&mesh->is_aborted) != 0;
}

static gboolean is_over(const EepMesh *mesh)
{
    return eep_mesh_is_aborted(mesh) || eep_emulated_health(mesh->place.device) != cudaSuccess;
}

void eep_mesh_hang(EepMesh *mesh)
{
    while (!is_over(mesh)) {
        struct pollfd wake = {mesh->wake, POLLIN, 0};
        poll(&wake, 1, LOOK_MS);
    }
}

/* -- the way in -- */

static socklen_t name_rank(const EepMesh *mesh, guint rank, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    GString *name = g_string_new("eep-nccl-");
    for (guint i = 0; i < EEP_MESH_ID_BYTES; i++)
        g_string_append_printf(name, "%02x", mesh->place.id[i]);
    g_string_append_printf(name, "-%u", rank);
    memcpy(ret_address->sun_path + 1, name->str, name->len);
    const socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + name->len;
    g_string_free(name, TRUE);
    return length;
}

static int new_socket(void)
{
    const int bytes = SOCKET_BYTES;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return fd;
}

static gboolean listen_for_higher(EepMesh *mesh, char **ret_text)
{
    struct sockaddr_un address;
    const socklen_t length = name_rank(mesh, mesh->place.rank, &address);
    mesh->listener = new_socket();
    if (mesh->listener < 0 || bind(mesh->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(mesh->listener, (int)mesh->place.n_ranks) != 0) {
        *ret_text =
            errno == EADDRINUSE
                ? g_strdup_printf("rank %u of this communicator is already there: two "
                                  "workers took the same rank",
                                  mesh->place.rank)
                : g_strdup_printf("cannot listen for the other ranks: %s", g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

static void greet(EepMesh *mesh, Link *link)
{
    /* A fresh socket has room for it; a peer that has gone is seen by the read. */
    if (send(link->socket, &mesh->hello, sizeof mesh->hello, MSG_NOSIGNAL) < 0)
        return;
    link->is_greeted = TRUE;
}

static gboolean is_far(const EepMesh *mesh, guint rank)
{
    const EepNcclAddress *peer = &mesh->peers[rank].mesh;
    return peer->port != 0 && !eep_nccl_is_same_host(peer, &mesh->peers[mesh->place.rank].mesh);
}

/* Connected, or -1 with errno. */
static int dial(const EepMesh *mesh, const EepNcclAddress *address)
{
    int fd = eep_nccl_root_call(address), error = ETIMEDOUT;
    socklen_t size = sizeof error;
    struct pollfd waits[] = {{fd, POLLOUT, 0}, {mesh->wake, POLLIN, 0}};
    if (fd < 0)
        return -1;
    for (guint ms = 0; ms < DIAL_MS && waits[0].revents == 0 && !is_over(mesh); ms += LOOK_MS)
        poll(waits, G_N_ELEMENTS(waits), LOOK_MS);
    if (waits[0].revents != 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
        error == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

static void call_lower(EepMesh *mesh, guint rank)
{
    Link *link = &mesh->links[rank];
    struct sockaddr_un address;
    const socklen_t length = name_rank(mesh, rank, &address);
    if (is_far(mesh, rank)) {
        link->socket = dial(mesh, &mesh->peers[rank].mesh);
    } else {
        link->socket = new_socket();
        if (link->socket >= 0 && connect(link->socket, (struct sockaddr *)&address, length) != 0)
            close_socket(&link->socket);
    }
    if (link->socket >= 0)
        greet(mesh, link);
}

/* TRUE while the socket lives; *ret_is_whole when the peer's hello is complete. */
static gboolean hear(Link *link, gboolean *ret_is_whole)
{
    *ret_is_whole = link->n_heard == sizeof link->heard;
    while (!*ret_is_whole) {
        const gssize n = recv(link->socket, (guint8 *)&link->heard + link->n_heard,
                              sizeof link->heard - link->n_heard, 0);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        link->n_heard += (gsize)n;
        *ret_is_whole = link->n_heard == sizeof link->heard;
    }
    return TRUE;
}

static gboolean fits(const EepMesh *mesh, const Hello *peer, char **ret_text)
{
    const EepMeshPlace *place = &mesh->place;
    if (peer->magic != HELLO_MAGIC || peer->rank >= place->n_ranks || peer->rank == place->rank) {
        *ret_text = g_strdup_printf("something that is no rank of this communicator came to rank "
                                    "%u",
                                    place->rank);
    } else if (peer->n_ranks != place->n_ranks) {
        *ret_text = g_strdup_printf("rank %u joins a communicator of %u ranks, rank %u one of %u",
                                    peer->rank, peer->n_ranks, place->rank, place->n_ranks);
    } else if (peer->tag != place->tag) {
        *ret_text =
            g_strdup_printf("ranks %u and %u shrink by different lists, or grow from different "
                            "communicators",
                            peer->rank, place->rank);
    } else if (place->bus_id[0] != '\0' &&
               strncmp(peer->bus_id, place->bus_id, BUS_ID_BYTES) == 0) {
        *ret_text = g_strdup_printf("Duplicate GPU detected: ranks %u and %u both on %s",
                                    peer->rank, place->rank, place->bus_id);
    }
    return *ret_text == NULL;
}

static EepMeshResult lose(EepMesh *mesh, guint rank, char **ret_text)
{
    close_socket(&mesh->links[rank].socket);
    if (!mesh->place.announces)
        return EEP_MESH_DONE;
    *ret_text = g_strdup_printf("rank %u closed its connection to rank %u", rank, mesh->place.rank);
    return EEP_MESH_GONE;
}

static void admit(EepMesh *mesh, int listener, gboolean is_far)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        const int bytes = SOCKET_BYTES;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        const Link link = {.socket = fd, .is_far = is_far};
        g_array_append_val(mesh->arrivals, link);
    }
}

/* Whoever comes by the TCP port and does not know the id is none of ours. */
static gboolean is_stranger(const EepMesh *mesh, const Link *link)
{
    return link->is_far && (link->heard.magic != HELLO_MAGIC ||
                            memcmp(link->heard.id, mesh->place.id, EEP_MESH_ID_BYTES) != 0);
}

static EepMeshResult accept_higher(EepMesh *mesh, char **ret_text)
{
    admit(mesh, mesh->listener, FALSE);
    if (mesh->far_listener >= 0)
        admit(mesh, mesh->far_listener, TRUE);
    for (guint i = 0; i < mesh->arrivals->len;) {
        Link *link = &g_array_index(mesh->arrivals, Link, i);
        gboolean is_whole;
        if (!hear(link, &is_whole) || (is_whole && is_stranger(mesh, link))) {
            close_socket(&link->socket);
        } else if (!is_whole) {
            i++;
            continue;
        } else {
            greet(mesh, link); /* before the look: the peer finds the same fault */
            if (!fits(mesh, &link->heard, ret_text))
                return EEP_MESH_MISFIT;
            close_socket(&mesh->links[link->heard.rank].socket);
            mesh->links[link->heard.rank] = *link;
        }
        g_array_remove_index_fast(mesh->arrivals, i);
    }
    return EEP_MESH_DONE;
}

/* One look at everybody; *ret_n_missing: whose hello has not come. */
static EepMeshResult connect_round(EepMesh *mesh, guint *ret_n_missing, char **ret_text)
{
    EepMeshResult result = accept_higher(mesh, ret_text);
    *ret_n_missing = 0;
    for (guint i = 0; i < mesh->place.n_ranks && result == EEP_MESH_DONE; i++) {
        Link *link = &mesh->links[i];
        if (i == mesh->place.rank)
            continue;
        if (i < mesh->place.rank && link->socket < 0 && !link->is_greeted)
            call_lower(mesh, i);
        gboolean is_whole = FALSE;
        if (link->socket >= 0 && !hear(link, &is_whole))
            result = lose(mesh, i, ret_text);
        else if (is_whole && i < mesh->place.rank && !fits(mesh, &link->heard, ret_text))
            result = EEP_MESH_MISFIT;
        *ret_n_missing += !is_whole;
    }
    return result;
}

/* -- the root -- */

EepNcclAddress eep_mesh_root_of(const EepMesh *mesh, guint rank)
{
    return mesh->peers[rank].root;
}

/* Where this rank is, if others can be elsewhere at all. */
static EepMeshResult take_place(EepMesh *mesh, char **ret_text)
{
    EepNcclPlace *own = &mesh->peers[mesh->place.rank];
    if (!eep_nccl_root_open(&own->root, ret_text))
        return EEP_MESH_MISFIT;
    if (mesh->place.n_ranks == 1 || mesh->place.root.port == 0)
        return EEP_MESH_DONE;
    mesh->far_listener = own->root.port != 0 ? eep_nccl_root_listen(&own->mesh) : -1;
    if (mesh->far_listener >= 0)
        return EEP_MESH_DONE;
    *ret_text = g_strdup("this host has no address at which ranks of other hosts reach it");
    return EEP_MESH_MISFIT;
}

/* Connected to the root; -1: it is over. */
static int call_root(const EepMesh *mesh)
{
    gboolean is_told = FALSE;
    for (int fd; !is_over(mesh);) {
        struct pollfd wake = {mesh->wake, POLLIN, 0};
        if ((fd = dial(mesh, &mesh->place.root)) >= 0)
            return fd;
        if (!is_told && errno != ECONNREFUSED && !is_over(mesh)) {
            eep_emulated_report("NCCL, rank %u of %u: cannot reach the host of rank 0: %s; "
                                "NCCL_SOCKET_IFNAME names the interface that all hosts share",
                                mesh->place.rank, mesh->place.n_ranks, g_strerror(errno));
            is_told = TRUE;
        }
        poll(&wake, 1, LOOK_MS);
    }
    return -1;
}

/* DONE when so many bytes have come, GONE when the peer has. */
static EepMeshResult read_all(const EepMesh *mesh, int fd, gpointer to, gsize n)
{
    for (gsize n_read = 0; n_read < n;) {
        struct pollfd waits[] = {{fd, POLLIN, 0}, {mesh->wake, POLLIN, 0}};
        const gssize got = recv(fd, (guint8 *)to + n_read, n - n_read, 0);
        if (is_over(mesh))
            return EEP_MESH_ENDED;
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return EEP_MESH_GONE;
        if (got > 0)
            n_read += (gsize)got;
        else
            poll(waits, G_N_ELEMENTS(waits), LOOK_MS);
    }
    return EEP_MESH_DONE;
}

/* Says at the root where this rank is, and hears where the others are, when all have come. */
static EepMeshResult ask_root(EepMesh *mesh, int fd, char **ret_text)
{
    const EepMeshPlace *place = &mesh->place;
    EepNcclCall call = {EEP_NCCL_ROOT_MAGIC,     place->rank, place->n_ranks, 0, {0},
                        mesh->peers[place->rank]};
    EepNcclReply reply = {0};
    memcpy(call.id, place->id, EEP_MESH_ID_BYTES);
    EepMeshResult result = EEP_MESH_GONE;
    if (send(fd, &call, sizeof call, MSG_NOSIGNAL) == sizeof call)
        result = read_all(mesh, fd, &reply, sizeof reply);
    if (result == EEP_MESH_DONE && reply.reason[0] == '\0')
        result = read_all(mesh, fd, mesh->peers, place->n_ranks * sizeof *mesh->peers);
    else if (result == EEP_MESH_DONE)
        result = EEP_MESH_MISFIT;
    if (result == EEP_MESH_GONE || result == EEP_MESH_MISFIT)
        *ret_text = reply.reason[0] != '\0'
                        ? g_strndup(reply.reason, sizeof reply.reason)
                        : g_strdup("whoever made the communicator's id has gone");
    return result;
}

static EepMeshResult find_others(EepMesh *mesh, char **ret_text)
{
    EepMeshResult result = take_place(mesh, ret_text);
    if (result != EEP_MESH_DONE || mesh->far_listener < 0)
        return result;
    int fd = call_root(mesh);
    if (fd < 0)
        return EEP_MESH_ENDED;
    result = ask_root(mesh, fd, ret_text);
    close(fd);
    if (result != EEP_MESH_GONE || mesh->place.announces)
        return result;
    g_clear_pointer(ret_text, g_free);
    eep_mesh_hang(mesh);
    return EEP_MESH_ENDED;
}

EepMeshResult eep_mesh_connect(EepMesh *mesh, char **ret_text)
{
    EepMeshResult result = find_others(mesh, ret_text);
    if (mesh->place.n_ranks == 1 || result != EEP_MESH_DONE)
        return result;
    if (!listen_for_higher(mesh, ret_text))
        return EEP_MESH_MISFIT;
    for (guint n_missing = 1; n_missing > 0 && result == EEP_MESH_DONE;) {
        result = connect_round(mesh, &n_missing, ret_text);
        if (n_missing > 0 && result == EEP_MESH_DONE) {
            struct pollfd waits[] = {{mesh->wake, POLLIN, 0},
                                     {mesh->listener, POLLIN, 0},
                                     {mesh->far_listener, POLLIN, 0}};
            poll(waits, G_N_ELEMENTS(waits), CONNECT_MS);
            result = is_over(mesh) ? EEP_MESH_ENDED : EEP_MESH_DONE;
        }
    }
    stop_listening(mesh);
    return result;
}

/* -- messages -- */

/* The messages to, or from, one peer: where we are in them. */
typedef struct {
    guint at;        /* item; n: all done */
    gsize offset;    /* in head and data of that item */
    EepMeshHead got; /* the head as it arrives */
} Flow;

typedef struct {
    EepMesh *mesh;
    const EepMeshItem *items;
    guint n;
    Flow *sends, *receives; /* [n_ranks] */
    char **ret_text;
} Run;

static void seek(const Run *run, Flow *flow, guint from, guint peer, gboolean is_send)
{
    flow->at = from;
    flow->offset = 0;
    while (flow->at < run->n &&
           (run->items[flow->at].peer != peer || !run->items[flow->at].is_send != !is_send))
        flow->at++;
}

static const char *const kind_names[] = {
    "no call",       "ncclSend or ncclRecv", "ncclAllGather",    "ncclReduceScatter",
    "ncclAllReduce", "ncclBroadcast",        "ncclCommFinalize",
};

static const char *kind_name(guint32 kind)
{
    return kind < G_N_ELEMENTS(kind_names) ? kind_names[kind] : "an unknown call";
}

static gboolean check_head(const Run *run, guint peer, const EepMeshHead *got,
                           const EepMeshHead *wanted)
{
    if (memcmp(got, wanted, sizeof *got) == 0)
        return TRUE;
    *run->ret_text = g_strdup_printf(
        "calls do not match: rank %u makes call %" G_GUINT64_FORMAT " as %s (%" G_GUINT64_FORMAT
        " bytes, type %u, op %u, root %u), rank %u expects call %" G_GUINT64_FORMAT
        " as %s (%" G_GUINT64_FORMAT " bytes, type %u, op %u, root %u)",
        peer, got->call, kind_name(got->kind), got->bytes, got->type, got->op, got->root,
        run->mesh->place.rank, wanted->call, kind_name(wanted->kind), wanted->bytes, wanted->type,
        wanted->op, wanted->root);
    return FALSE;
}

static gboolean is_lost(gssize n)
{
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static EepMeshResult push(const Run *run, guint peer)
{
    Flow *flow = &run->sends[peer];
    while (flow->at < run->n && run->mesh->links[peer].socket >= 0) {
        const EepMeshItem *item = &run->items[flow->at];
        struct iovec parts[2];
        int n_parts = 0;
        const gsize in_head = MIN(flow->offset, sizeof item->head);
        if (in_head < sizeof item->head) {
            parts[n_parts++] =
                (struct iovec){(guint8 *)&item->head + in_head, sizeof item->head - in_head};
        }
        const gsize in_data = flow->offset - in_head;
        if (in_data < item->head.bytes) {
            parts[n_parts++] =
                (struct iovec){(guint8 *)item->data + in_data, item->head.bytes - in_data};
        }
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n_parts};
        const gssize n = sendmsg(run->mesh->links[peer].socket, &message, MSG_NOSIGNAL);
        if (n <= 0)
            return is_lost(n) ? lose(run->mesh, peer, run->ret_text) : EEP_MESH_DONE;
        flow->offset += (gsize)n;
        if (flow->offset == sizeof item->head + item->head.bytes)
            seek(run, flow, flow->at + 1, peer, TRUE);
    }
    return EEP_MESH_DONE;
}

static EepMeshResult pull(const Run *run, guint peer)
{
    Flow *flow = &run->receives[peer];
    while (flow->at < run->n && run->mesh->links[peer].socket >= 0) {
        const EepMeshItem *item = &run->items[flow->at];
        const gboolean is_head = flow->offset < sizeof item->head;
        guint8 *to = is_head ? (guint8 *)&flow->got + flow->offset
                             : (guint8 *)item->data + (flow->offset - sizeof item->head);
        const gsize end = sizeof item->head + (is_head ? 0 : item->head.bytes);
        const gssize n = recv(run->mesh->links[peer].socket, to, end - flow->offset, 0);
        if (n <= 0)
            return is_lost(n) ? lose(run->mesh, peer, run->ret_text) : EEP_MESH_DONE;
        flow->offset += (gsize)n;
        if (is_head && flow->offset == sizeof item->head &&
            !check_head(run, peer, &flow->got, &item->head))
            return EEP_MESH_MISFIT;
        if (flow->offset == sizeof item->head + item->head.bytes)
            seek(run, flow, flow->at + 1, peer, FALSE);
    }
    return EEP_MESH_DONE;
}

/* Waits until a socket with something to do is ready; FALSE: nothing is left to do. */
static gboolean await_peers(const Run *run, struct pollfd *waits)
{
    const guint n_ranks = run->mesh->place.n_ranks;
    gboolean is_left = FALSE;
    for (guint i = 0; i < n_ranks; i++) {
        const gboolean sends = run->sends[i].at < run->n;
        const gboolean receives = run->receives[i].at < run->n;
        is_left |= sends || receives;
        waits[i] = (struct pollfd){sends || receives ? run->mesh->links[i].socket : -1,
                                   (short)((sends ? POLLOUT : 0) | (receives ? POLLIN : 0)), 0};
    }
    waits[n_ranks] = (struct pollfd){run->mesh->wake, POLLIN, 0};
    if (is_left)
        poll(waits, n_ranks + 1, LOOK_MS);
    return is_left;
}

EepMeshResult eep_mesh_run(EepMesh *mesh, guint n, const EepMeshItem *items, char **ret_text)
{
    const guint n_ranks = mesh->place.n_ranks;
    g_autofree Flow *flows = g_new0(Flow, 2 * n_ranks);
    g_autofree struct pollfd *waits = g_new(struct pollfd, n_ranks + 1);
    const Run run = {mesh, items, n, flows, flows + n_ranks, ret_text};
    for (guint i = 0; i < n_ranks; i++) {
        seek(&run, &run.sends[i], 0, i, TRUE);
        seek(&run, &run.receives[i], 0, i, FALSE);
    }
    EepMeshResult result = is_over(mesh) ? EEP_MESH_ENDED : EEP_MESH_DONE;
    while (result == EEP_MESH_DONE) {
        for (guint i = 0; i < n_ranks && result == EEP_MESH_DONE; i++) {
            result = push(&run, i);
            if (result == EEP_MESH_DONE)
                result = pull(&run, i);
        }
        if (result == EEP_MESH_DONE && !await_peers(&run, waits))
            return EEP_MESH_DONE;
        if (result == EEP_MESH_DONE && is_over(mesh))
            result = EEP_MESH_ENDED;
    }
    return result;
}
