#include "gpu/coordinator/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/unix_name.h"

#define BACKLOG 128

static int fail(const char *address, const char *what, GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "gpu.listen %s: %s", address, what);
    return -1;
}

static int fail_errno(const char *address, int fd, GError **error)
{
    int number = errno;
    gboolean is_path = eep_unix_name(address) != NULL;
    const char *hint =
        number == EADDRINUSE && is_path ? "; somebody listens there, or it is no socket: "
                                          "choose another path, or remove it"
        : number == EADDRINUSE          ? "; choose another port, or 0 for a free one"
        : number == EADDRNOTAVAIL       ? "; this machine has no such address: 0.0.0.0 is all of "
                                          "its own"
        : number == ENOENT && is_path   ? "; its folder has to be there"
        : number == EACCES              ? "; choose a port above 1023, or a folder of your own"
                                        : "";
    g_autofree char *what = g_strdup_printf("%s%s", g_strerror(number), hint);

    if (fd >= 0)
        close(fd);
    return fail(address, what, error);
}

static int open_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A socket file that nobody listens on any more may go; nothing else that lies there. */
static gboolean is_stale(const struct sockaddr_un *at)
{
    gboolean refuses;
    struct stat status;
    int fd;

    if (at->sun_path[0] == '\0' || lstat(at->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return FALSE;
    fd = open_socket(AF_UNIX);
    if (fd < 0)
        return FALSE;
    refuses = connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refuses;
}

static int listen_unix(const char *address, char **ret_actual, GError **error)
{
    struct sockaddr_un at;
    socklen_t size;
    int fd;

    if (!eep_unix_name_address(eep_unix_name(address), &at, &size))
        return fail(address, "a path of 1 to 107 characters has to follow unix:", error);
    if (is_stale(&at))
        unlink(at.sun_path);
    fd = open_socket(AF_UNIX);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, size) < 0 || listen(fd, BACKLOG) < 0)
        return fail_errno(address, fd, error);
    size = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &size) < 0)
        return fail_errno(address, fd, error);
    *ret_actual = eep_unix_name_describe(&at, size);
    return fd;
}

/* What is wrong with it; NULL: nothing. */
static const char *split(const char *address, char **ret_host, char **ret_port)
{
    const char *colon = strrchr(address, ':');
    gsize length = colon != NULL ? (gsize)(colon - address) : 0;
    gboolean is_bracketed = length > 2 && address[0] == '[' && address[length - 1] == ']';

    if (length == 0 || !g_ascii_string_to_unsigned(colon + 1, 10, 0, G_MAXUINT16, NULL, NULL))
        return "write HOST:PORT, with a port from 0 to 65535, or unix:PATH, as 0.0.0.0:29500";
    if (!is_bracketed && memchr(address, ':', length) != NULL)
        return "write an IPv6 address in brackets, as \"[::]:29500\"";
    *ret_host = is_bracketed ? g_strndup(address + 1, length - 2) : g_strndup(address, length);
    *ret_port = g_strdup(colon + 1);
    return NULL;
}

/* In numbers: a name may stand for several addresses, of which this is the one. */
static char *describe(int fd)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char host[128], port[16];

    if (getsockname(fd, (struct sockaddr *)&at, &size) < 0 ||
        getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    return strchr(host, ':') != NULL ? g_strdup_printf("[%s]:%s", host, port)
                                     : g_strdup_printf("%s:%s", host, port);
}

/* -1 with errno. [::] takes IPv4, too, whatever the machine's default is. */
static int listen_at(const struct addrinfo *at)
{
    const int yes = 1, no = 0;
    int fd = open_socket(at->ai_family), number;

    if (fd < 0)
        return -1;
    if (at->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* The first of the host's addresses that is one of this machine. */
static int listen_tcp(const char *address, const char *host, const char *port, char **ret_actual,
                      GError **error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    int status = getaddrinfo(host, port, &hints, &found), fd = -1;

    if (status != 0) {
        g_autofree char *what =
            g_strdup_printf("%s: this machine does not know the host; 0.0.0.0 is all of its own "
                            "addresses",
                            gai_strerror(status));

        return fail(address, what, error);
    }
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = listen_at(at);
    if (fd < 0 || (*ret_actual = describe(fd)) == NULL)
        fd = fail_errno(address, fd, error);
    freeaddrinfo(found);
    return fd;
}

int eep_address_listen(const char *address, char **ret_actual, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    const char *wrong;

    if (eep_unix_name(address) != NULL)
        return listen_unix(address, ret_actual, error);
    wrong = split(address, &host, &port);
    return wrong != NULL ? fail(address, wrong, error)
                         : listen_tcp(address, host, port, ret_actual, error);
}

void eep_address_forget(const char *actual)
{
    const char *path = eep_unix_name(actual);

    if (path != NULL && path[0] != '@')
        unlink(path);
}
