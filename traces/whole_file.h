/* A whole file in memory, for formats that are read at once: plain, gzip or standard input.
 *
 * Not for traces, which are read line by line (line_source.h). One thread. */
#ifndef EEP_TRACES_WHOLE_FILE_H
#define EEP_TRACES_WHOLE_FILE_H

#include <glib.h>

G_BEGIN_DECLS

/* Longer files, unpacked, are refused: gzip could hide any size. */
#define EEP_WHOLE_FILE_MAX_BYTES ((gsize)1 << 30)

/* The bytes of the file at `path` ("-": standard input), unpacked where it begins as gzip does; the
 * caller's to g_free(). NULL with an EEP_TRACE_ERROR_IO. */
char *eep_whole_file_read(const char *path, gsize *ret_size, GError **error);

/* How messages call the file: valid UTF-8; new string. */
char *eep_whole_file_name(const char *path);

G_END_DECLS

#endif
