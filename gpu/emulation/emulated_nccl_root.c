#include "gpu/emulation/emulated_nccl_root.h"

#include "gpu/emulation/emulated_runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CALLERS 1024
#define PATIENCE_US (5 * G_USEC_PER_SEC) /* of a caller that does not say what it wants */

typedef struct {
    int socket;
    gsize n_heard;
    EepNcclCall call;
    gint64 deadline; /* until the call is whole */
} Caller;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gboolean is_open;
static EepNcclAddress own; /* once open */

/* -- addresses -- */

static socklen_t to_socket_address(const EepNcclAddress *address, struct sockaddr_storage *ret)
{
    struct in6_addr ip;
    memcpy(&ip, address->ip, sizeof ip);
    memset(ret, 0, sizeof *ret);
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip + 12, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    in6->sin6_addr = ip;
    return sizeof *in6;
}

static gboolean from_socket_address(const struct sockaddr *from, EepNcclAddress *ret)
{
    *ret = (EepNcclAddress){0};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        ret->ip[10] = ret->ip[11] = 0xff;
        memcpy(ret->ip + 12, &in->sin_addr, 4);
        ret->port = ntohs(in->sin_port);
        return TRUE;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        memcpy(ret->ip, &in6->sin6_addr, sizeof ret->ip);
        ret->port = ntohs(in6->sin6_port);
        return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr); /* means nothing on another host */
    }
    return FALSE;
}

/* NCCL's own syntax: prefixes, "=" before them for whole names, "^" for all but those. */
static gboolean is_named(const char *interface, const char *names)
{
    const gboolean is_not = names[0] == '^';
    names += is_not;
    const gboolean is_exact = names[0] == '=';
    g_auto(GStrv) list = g_strsplit(names + is_exact, ",", -1);
    for (guint i = 0; list[i] != NULL; i++)
        if (is_exact ? strcmp(interface, list[i]) == 0
                     : list[i][0] != '\0' && g_str_has_prefix(interface, list[i]))
            return !is_not;
    return is_not;
}

/* The lower, the rather: networks, containers' bridges, loopback. */
static guint rank_interface(const struct ifaddrs *at)
{
    return (at->ifa_flags & IFF_LOOPBACK) != 0 ? 2 : g_str_has_prefix(at->ifa_name, "docker");
}

/* A switch of the emulation: hosts that are addresses of one machine. */
static gboolean read_address(const char *text, EepNcclAddress *ret_address)
{
    *ret_address = (EepNcclAddress){.ip = {[10] = 0xff, [11] = 0xff}};
    return inet_pton(AF_INET, text, ret_address->ip + 12) == 1 ||
           inet_pton(AF_INET6, text, ret_address->ip) == 1;
}

static gboolean choose(EepNcclAddress *ret_address)
{
    const char *given = g_getenv("EEP_EMULATED_NCCL_ADDRESS");
    if (given != NULL && given[0] != '\0')
        return read_address(given, ret_address);
    const char *names = g_getenv("NCCL_SOCKET_IFNAME"), *family = g_getenv("NCCL_SOCKET_FAMILY");
    struct ifaddrs *all = NULL;
    guint best = G_MAXUINT;
    if (getifaddrs(&all) != 0)
        return FALSE;
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        EepNcclAddress address;
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0 || rank_interface(at) >= best ||
            !from_socket_address(at->ifa_addr, &address) ||
            (names != NULL && names[0] != '\0' && !is_named(at->ifa_name, names)) ||
            (g_strcmp0(family, "AF_INET") == 0 && at->ifa_addr->sa_family != AF_INET) ||
            (g_strcmp0(family, "AF_INET6") == 0 && at->ifa_addr->sa_family != AF_INET6))
            continue;
        best = rank_interface(at);
        *ret_address = address;
    }
    freeifaddrs(all);
    return best != G_MAXUINT;
}

static int new_socket(int family)
{
    const int one = 1;
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int listen_on(EepNcclAddress *address)
{
    struct sockaddr_storage at;
    socklen_t length = to_socket_address(address, &at);
    const int fd = new_socket(at.ss_family);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, length) == 0 && listen(fd, 128) == 0 &&
        getsockname(fd, (struct sockaddr *)&at, &length) == 0) {
        from_socket_address((struct sockaddr *)&at, address);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int eep_nccl_root_listen(EepNcclAddress *ret_address)
{
    pthread_mutex_lock(&lock);
    *ret_address = own;
    pthread_mutex_unlock(&lock);
    ret_address->port = 0;
    return listen_on(ret_address);
}

int eep_nccl_root_call(const EepNcclAddress *address)
{
    struct sockaddr_storage at;
    const socklen_t length = to_socket_address(address, &at);
    const int fd = new_socket(at.ss_family);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, length) == 0 || errno == EINPROGRESS)
        return fd;
    const int number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* -- who calls -- */

static Caller *nth(const GArray *callers, guint i)
{
    return &g_array_index(callers, Caller, i);
}

static gboolean is_whole(const Caller *caller)
{
    return caller->n_heard == sizeof caller->call;
}

static gboolean is_of(const Caller *caller, const guint8 *id)
{
    return is_whole(caller) && memcmp(caller->call.id, id, EEP_NCCL_ID_BYTES) == 0;
}

static void dismiss(GArray *callers, guint i)
{
    close(nth(callers, i)->socket);
    g_array_remove_index_fast(callers, i);
}

/* Tells all who came for this communicator, and lets them go; a fresh socket has room for it. */
static void answer(GArray *callers, const guint8 *id, const EepNcclReply *reply,
                   const EepNcclPlace *places)
{
    struct iovec parts[] = {
        {(gpointer)reply, sizeof *reply},
        {(gpointer)places, places != NULL ? reply->n_ranks * sizeof *places : 0}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = G_N_ELEMENTS(parts)};
    for (guint i = callers->len; i > 0; i--) {
        if (!is_of(nth(callers, i - 1), id))
            continue;
        if (sendmsg(nth(callers, i - 1)->socket, &message, MSG_NOSIGNAL) < 0)
            eep_emulated_report("NCCL: a rank cannot be told of the others: %s", g_strerror(errno));
        dismiss(callers, i - 1);
    }
}

static gboolean disagrees(const EepNcclCall *x, const EepNcclCall *y, EepNcclReply *ret_reply)
{
    if (x->n_ranks != y->n_ranks)
        g_snprintf(ret_reply->reason, sizeof ret_reply->reason,
                   "rank %u joins a communicator of %u ranks, rank %u one of %u", x->rank,
                   x->n_ranks, y->rank, y->n_ranks);
    else if (x->rank == y->rank)
        g_snprintf(ret_reply->reason, sizeof ret_reply->reason,
                   "rank %u of this communicator is already there: two workers took the same rank",
                   x->rank);
    return ret_reply->reason[0] != '\0';
}

/* All of its communicator that have come; if they are all there, or do not fit, they are told. */
static void meet(GArray *callers, guint index)
{
    const EepNcclCall call = nth(callers, index)->call;
    EepNcclReply reply = {.n_ranks = call.n_ranks};
    g_autofree EepNcclPlace *places = g_new0(EepNcclPlace, call.n_ranks);
    guint n = 0;
    gboolean is_wrong = FALSE;
    for (guint i = 0; i < callers->len && !is_wrong; i++) {
        const EepNcclCall *other = &nth(callers, i)->call;
        if (!is_of(nth(callers, i), call.id))
            continue;
        is_wrong = i != index && disagrees(&call, other, &reply);
        if (!is_wrong)
            places[other->rank] = other->place;
        n++;
    }
    if (is_wrong)
        answer(callers, call.id, &reply, NULL);
    else if (n == call.n_ranks)
        answer(callers, call.id, &reply, places);
}

/* Who has said all is heard only to go; nobody is told, and the others wait on, as with NCCL. */
static void hear(GArray *callers, guint index)
{
    Caller *caller = nth(callers, index);
    guint8 more;
    const gssize n = is_whole(caller)
                         ? recv(caller->socket, &more, 1, 0)
                         : recv(caller->socket, (guint8 *)&caller->call + caller->n_heard,
                                sizeof caller->call - caller->n_heard, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || is_whole(caller)) {
        dismiss(callers, index);
        return;
    }
    caller->n_heard += (gsize)n;
    if (!is_whole(caller))
        return;
    if (caller->call.magic != EEP_NCCL_ROOT_MAGIC || caller->call.n_ranks > MAX_CALLERS ||
        caller->call.rank >= caller->call.n_ranks)
        dismiss(callers, index);
    else
        meet(callers, index);
}

static void admit(int listener, GArray *callers)
{
    for (int fd; callers->len < MAX_CALLERS &&
                 (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        const Caller caller = {.socket = fd, .deadline = g_get_monotonic_time() + PATIENCE_US};
        g_array_append_val(callers, caller);
    }
}

/* Each by its socket, since those beside it may go with it. */
static void hear_those(GArray *callers, const struct pollfd *waits, guint n)
{
    const gint64 now = g_get_monotonic_time();
    for (guint k = 0; k < n; k++)
        for (guint i = 0; i < callers->len; i++) {
            const Caller *caller = nth(callers, i);
            if (caller->socket != waits[k].fd)
                continue;
            if (waits[k].revents != 0)
                hear(callers, i);
            else if (!is_whole(caller) && now > caller->deadline)
                dismiss(callers, i);
            break;
        }
}

static void *serve(void *data)
{
    const int listener = GPOINTER_TO_INT(data);
    GArray *callers = g_array_new(FALSE, TRUE, sizeof(Caller));
    for (;;) {
        g_autofree struct pollfd *waits = g_new(struct pollfd, callers->len + 1);
        const guint n = callers->len;
        for (guint i = 0; i < n; i++)
            waits[i] = (struct pollfd){nth(callers, i)->socket, POLLIN, 0};
        waits[n] = (struct pollfd){n < MAX_CALLERS ? listener : -1, POLLIN, 0};
        poll(waits, n + 1, n > 0 ? 1000 : -1);
        hear_those(callers, waits, n);
        if (waits[n].revents != 0)
            admit(listener, callers);
    }
    return NULL;
}

static gboolean start(EepNcclAddress *address)
{
    pthread_t thread;
    const int listener = listen_on(address);
    if (listener < 0)
        return FALSE;
    if (pthread_create(&thread, NULL, serve, GINT_TO_POINTER(listener)) != 0) {
        close(listener);
        return FALSE;
    }
    pthread_detach(thread);
    return TRUE;
}

/* What was asked for and is not there; NULL: nothing was. */
static char *tell_unmet(void)
{
    static const char *const variables[] = {"EEP_EMULATED_NCCL_ADDRESS", "NCCL_SOCKET_IFNAME",
                                            "NCCL_SOCKET_FAMILY"};
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(variables); i++) {
        const char *value = g_getenv(variables[i]);
        if (value != NULL && value[0] != '\0')
            g_string_append_printf(text, "%s%s=%s", text->len > 0 ? " and " : "", variables[i],
                                   value);
    }
    if (text->len > 0)
        g_string_prepend(text, "no interface of this host that is up has an address by ");
    return g_string_free(text, text->len == 0);
}

gboolean eep_nccl_root_open(EepNcclAddress *ret_address, char **ret_text)
{
    EepNcclAddress address = {0};
    char *unmet = NULL;
    pthread_mutex_lock(&lock);
    if (!is_open && choose(&address)) {
        address.port = 0;
        is_open = start(&address);
        if (is_open)
            own = address;
    }
    if (!is_open)
        unmet = tell_unmet();
    *ret_address = own;
    pthread_mutex_unlock(&lock);
    if (unmet != NULL)
        *ret_text = unmet;
    return unmet == NULL;
}
