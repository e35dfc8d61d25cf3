/* EepUnixName: the socket address behind unix:PATH, for who listens and who connects.
 *
 * unix:@NAME stands for a name of Linux's abstract space (unix(7)): no file, no folder, gone with
 * its socket. "unix:@" alone is for listening only: the kernel then chooses a name. Any thread. */
#ifndef EEP_GPU_UNIX_NAME_H
#define EEP_GPU_UNIX_NAME_H

#include <glib.h>
#include <sys/socket.h>
#include <sys/un.h>

G_BEGIN_DECLS

#define EEP_UNIX_PREFIX "unix:"

/* What follows the prefix, NULL when `address` has none. */
const char *eep_unix_name(const char *address);

/* FALSE when the name is empty or does not fit into an address. */
gboolean eep_unix_name_address(const char *name, struct sockaddr_un *ret_at, socklen_t *ret_size);

/* The address of a listening socket, as users write it; to be freed. */
char *eep_unix_name_describe(const struct sockaddr_un *at, socklen_t size);

G_END_DECLS

#endif
