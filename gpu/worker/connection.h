/* A worker's way to its coordinator: an address becomes a connected, non-blocking socket. */
#ifndef EEP_GPU_WORKER_CONNECTION_H
#define EEP_GPU_WORKER_CONNECTION_H

#include <glib.h>

G_BEGIN_DECLS

/* `address` is HOST:PORT or unix:PATH. Tries again until wait_ns are over, since a launcher starts
 * workers and coordinator in any order. Errors (EEP_WORKER_ERROR): USAGE for what is no address,
 * LOST with the last reason. */
gboolean eep_connection_open(const char *address, gint64 wait_ns, int *ret_fd, GError **error);

G_END_DECLS

#endif
