/* EepAddress: where the coordinator listens, as users write it.
 *
 * HOST:PORT (a name, an address, [IPv6]; port 0: any free one) or unix:PATH (unix_name.h). Opens
 * listening sockets and nothing else: workers connect with code of their own. Any thread. */
#ifndef EEP_GPU_COORDINATOR_ADDRESS_H
#define EEP_GPU_COORDINATOR_ADDRESS_H

#include <glib.h>

G_BEGIN_DECLS

/* A free port of the loopback interface; a name that only this host knows, cheaper a message. */
#define EEP_ADDRESS_ANY     "127.0.0.1:0"
#define EEP_ADDRESS_PRIVATE "unix:@"

/* A listening, non-blocking socket; -1 with an error that says what to do. *ret_actual: the address
 * with the port or name that it got, to be freed. A socket file left behind by nobody is replaced.
 */
int eep_address_listen(const char *address, char **ret_actual, GError **error);

/* Takes the socket's file away, if it has one. */
void eep_address_forget(const char *actual);

G_END_DECLS

#endif
