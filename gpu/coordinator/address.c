#include "gpu/coordinator/address.h"

#include <errno.h>
#include <netdb.h>
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

/* FALSE when it is not HOST:PORT. */
static gboolean split(const char *address, char **ret_host, char **ret_port)
{
    const char *colon = strrchr(address, ':');
    gsize length = colon != NULL ? (gsize)(colon - address) : 0;

    if (length == 0 || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return FALSE;
    if (address[0] == '[' && address[length - 1] == ']')
        *ret_host = g_strndup(address + 1, length - 2);
    else
        *ret_host = g_strndup(address, length);
    *ret_port = g_strdup(colon + 1);
    return TRUE;
}

static char *describe(int fd, const char *host)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char port[16];

    if (getsockname(fd, (struct sockaddr *)&at, &size) < 0 ||
        getnameinfo((struct sockaddr *)&at, size, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0)
        return NULL;
    return strchr(host, ':') != NULL ? g_strdup_printf("[%s]:%s", host, port)
                                     : g_strdup_printf("%s:%s", host, port);
}

int eep_address_listen(const char *address, char **ret_actual, GError **error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    g_autofree char *host = NULL, *port = NULL;
    struct addrinfo *found;
    const int yes = 1;
    int fd, status;

    if (eep_unix_name(address) != NULL)
        return listen_unix(address, ret_actual, error);
    if (!split(address, &host, &port))
        return fail(address, "write HOST:PORT or unix:PATH", error);
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0)
        return fail(address, gai_strerror(status), error);
    fd = open_socket(found->ai_family);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        (*ret_actual = describe(fd, host)) == NULL)
        fd = fail_errno(address, fd, error);
    freeaddrinfo(found);
    return fd;
}

void eep_address_forget(const char *actual)
{
    const char *path = eep_unix_name(actual);

    if (path != NULL && path[0] != '@')
        unlink(path);
}
