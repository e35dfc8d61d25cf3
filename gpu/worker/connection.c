#include "gpu/worker/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gpu/unix_name.h"
#include "gpu/worker/worker_options.h"
#include "live/clock_real.h"

#define RETRY_NS   100000000
#define ATTEMPT_NS 2000000000 /* of one address at most, since another may answer */

static int attempt_ms(gint64 end)
{
    return (int)(CLAMP(end - eep_monotonic_ns(), RETRY_NS, ATTEMPT_NS) / 1000000);
}

/* -1 with errno. */
static int try_address(const struct sockaddr *address, socklen_t length, gint64 end)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0, one = 1;
    socklen_t size = sizeof error;
    struct pollfd ready = {fd, POLLOUT, 0};

    if (fd < 0)
        return -1;
    if (connect(fd, address, length) != 0) {
        if (errno != EINPROGRESS)
            error = errno;
        else if (poll(&ready, 1, attempt_ms(end)) != 1)
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* *ret_why: the last reason, static. */
static int try_tcp(const char *host, const char *port, gint64 end, const char **ret_why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int status = getaddrinfo(host, port, &hints, &found), fd = -1;

    if (status != 0) {
        *ret_why = gai_strerror(status);
        return -1;
    }
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = try_address(at->ai_addr, at->ai_addrlen, end);
    *ret_why = g_strerror(errno);
    freeaddrinfo(found);
    return fd;
}

/* getaddrinfo() takes names of services, and numbers modulo 65536. */
static gboolean is_port(const char *text)
{
    guint64 port;

    return g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT16, &port, NULL);
}

gboolean eep_connection_open(const char *address, gint64 wait_ns, int *ret_fd, GError **error)
{
    const char *name = eep_unix_name(address);
    const char *colon = strrchr(address, ':'), *why = "";
    gint64 end = eep_monotonic_ns() + wait_ns;
    g_autofree char *host = NULL;
    struct sockaddr_un at;
    socklen_t size;
    int fd;

    if (name != NULL ? strcmp(name, "@") == 0 || !eep_unix_name_address(name, &at, &size)
                     : colon == NULL || colon == address || !is_port(colon + 1)) {
        g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                    "'%s' is no address: HOST:PORT, with a port from 1 to 65535, or unix:PATH",
                    address);
        return FALSE;
    }
    if (name == NULL)
        /* [::1]:5000 */
        host = address[0] == '[' && colon[-1] == ']'
                   ? g_strndup(address + 1, (gsize)(colon - address - 2))
                   : g_strndup(address, (gsize)(colon - address));
    for (;;) {
        if (name != NULL) {
            fd = try_address((const struct sockaddr *)&at, size, end);
            why = g_strerror(errno);
        } else {
            fd = try_tcp(host, colon + 1, end, &why);
        }
        if (fd >= 0) {
            *ret_fd = fd;
            return TRUE;
        }
        if (eep_monotonic_ns() + RETRY_NS > end)
            break;
        nanosleep(&(struct timespec){0, RETRY_NS}, NULL);
    }
    g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_LOST,
                "no coordinator at %s: %s; is it running, does it listen there (gpu.listen), and "
                "may this host reach it?",
                address, why);
    return FALSE;
}
