/* Lines of a text file, gzip file or memory block, through one large buffer.
 *
 * Not a tokenizer: a line is bytes, NUL and invalid UTF-8 included. Lines end in LF or CRLF, the
 * last one perhaps in nothing; a byte order mark at the file's start is dropped. One thread. */
#ifndef EEP_TRACES_LINE_SOURCE_H
#define EEP_TRACES_LINE_SOURCE_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct EepLineSource EepLineSource;

#define EEP_LINE_MAX_BYTES 1000000

typedef enum {
    EEP_LINE_READ,
    EEP_LINE_TOO_LONG, /* the line's first EEP_LINE_MAX_BYTES bytes; the rest of it has been dropped
                        */
    EEP_LINE_END,
    EEP_LINE_FAILED, /* error is set; stays so */
} EepLineStatus;

/* Opens a file; gzip is told by its magic number, or by the name ".gz" where the file cannot be
 * read twice (a pipe). NULL with an error of EEP_TRACE_ERROR_IO. */
EepLineSource *eep_line_source_open(const char *path, GError **error);

/* Lines of `size` bytes at `data`, which must outlive the source. Never NULL. */
EepLineSource *eep_line_source_open_bytes(const void *data, gsize size);

/* The next line without its end. ret_line is valid until the next call, and for EEP_LINE_READ
 * ret_line[ret_length] may be read: it is CR, LF or NUL, so a scanner that stops at these needs no
 * other bound. */
EepLineStatus eep_line_source_next(EepLineSource *source, const char **ret_line, gsize *ret_length,
                                   GError **error);

/* Number of the line returned last, from 1. */
guint64 eep_line_source_number(const EepLineSource *source);

void eep_line_source_free(EepLineSource *source); /* NULL is allowed */

G_END_DECLS

#endif
