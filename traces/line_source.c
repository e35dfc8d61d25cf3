#include "traces/line_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "traces/trace.h"

/* The buffer grows to this when a line is long; few are. */
#define BUFFER_BYTES (EEP_LINE_MAX_BYTES + (256 << 10))

/* Refills come in pieces that stay in a core's cache until they are parsed. */
#define READ_BYTES (128 << 10)

struct EepLineSource {
    char *path;       /* NULL for memory */
    int fd;           /* -1 for memory and gzip */
    gzFile gzip;      /* NULL unless gzip */
    const char *data; /* memory not yet read */
    gsize data_left;
    gsize start, scanned, end; /* buffer: next line begins, no LF before here, data ends */
    guint64 number;
    gboolean at_end;
    gsize capacity;
    char *buffer; /* [capacity + 1]: one byte more for the NUL behind a last line without LF */
};

static EepLineSource *source_new(gsize capacity)
{
    EepLineSource *source = g_new0(EepLineSource, 1);
    source->fd = -1;
    source->capacity = capacity;
    source->buffer = g_malloc(capacity + 1);
    return source;
}

static void set_io_error(GError **error, const char *path, const char *what, const char *why)
{
    g_autofree char *name = g_filename_display_name(path);
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_IO,
                "%s: %s: %s: a readable file, plain or gzip, is allowed; try another path", name,
                what, why);
}

static gboolean looks_like_gzip(int fd, const char *path)
{
    unsigned char magic[2];
    ssize_t n = pread(fd, magic, sizeof magic, 0);
    if (n < 0)
        return g_str_has_suffix(path, ".gz");
    return n == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

EepLineSource *eep_line_source_open(const char *path, GError **error)
{
    g_return_val_if_fail(path != NULL, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not wait for a writer */
    if (fd < 0) {
        set_io_error(error, path, "cannot open", g_strerror(errno));
        return NULL;
    }
    struct stat status;
    /* A trace is gone through more than once, and a device may have no end. */
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        set_io_error(error, path, "cannot open",
                     S_ISDIR(status.st_mode) ? g_strerror(EISDIR) : "Not a regular file");
        close(fd);
        return NULL;
    }
    EepLineSource *source = source_new(2 * READ_BYTES);
    source->path = g_strdup(path);
    if (!looks_like_gzip(fd, path)) {
        source->fd = fd;
        return source;
    }
    source->gzip = gzdopen(fd, "rb");
    if (source->gzip == NULL) {
        set_io_error(error, path, "cannot open", "zlib is out of memory");
        close(fd);
        eep_line_source_free(source);
        return NULL;
    }
    gzbuffer(source->gzip, READ_BYTES);
    return source;
}

EepLineSource *eep_line_source_open_bytes(const void *data, gsize size)
{
    g_return_val_if_fail(data != NULL || size == 0, NULL);
    EepLineSource *source = source_new(MIN(size + 1, 2 * READ_BYTES));
    source->data = data;
    source->data_left = size;
    return source;
}

static void grow(EepLineSource *source, gsize capacity)
{
    source->capacity = capacity;
    source->buffer = g_realloc(source->buffer, capacity + 1);
}

/* Bytes put at `to`, 0 at the end, -1 with error set. */
static gssize read_bytes(EepLineSource *source, char *to, gsize size, GError **error)
{
    if (source->gzip != NULL) {
        int n = gzread(source->gzip, to, (unsigned)size);
        int code = Z_OK;
        /* A file cut short is no error of gzread(): it returns what there is and sets the code. */
        const char *text = n <= 0 ? gzerror(source->gzip, &code) : NULL;
        if (n < 0 || code != Z_OK) {
            set_io_error(error, source->path, "cannot decompress",
                         code == Z_ERRNO ? g_strerror(errno) : text);
            return -1;
        }
        return n;
    }
    if (source->fd >= 0) {
        ssize_t n;
        do
            n = read(source->fd, to, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            set_io_error(error, source->path, "cannot read", g_strerror(errno));
        return n;
    }
    gsize n = MIN(size, source->data_left);
    if (n == 0)
        return 0;
    memcpy(to, source->data, n);
    source->data += n;
    source->data_left -= n;
    return (gssize)n;
}

/* Reads more behind the data in the buffer, which must have room. */
static gboolean read_more(EepLineSource *source, GError **error)
{
    gsize room = MIN(source->capacity - source->end, READ_BYTES);
    gssize n = read_bytes(source, source->buffer + source->end, room, error);
    if (n < 0)
        return FALSE;
    source->at_end = n == 0;
    source->end += (gsize)n;
    return TRUE;
}

/* Moves what is left to the buffer's front, so that short lines touch few pages, and reads more. */
static gboolean fill(EepLineSource *source, GError **error)
{
    if (source->start > 0) {
        memmove(source->buffer, source->buffer + source->start, source->end - source->start);
        source->end -= source->start;
        source->scanned -= source->start;
        source->start = 0;
    }
    if (source->end == source->capacity)
        grow(source, MIN(2 * source->capacity, BUFFER_BYTES));
    return read_more(source, error);
}

/* Drops everything up to and with the next LF. */
static gboolean drop_rest_of_line(EepLineSource *source, GError **error)
{
    for (;;) {
        char *lf = memchr(source->buffer + source->start, '\n', source->end - source->start);
        if (lf != NULL) {
            source->start = source->scanned = (gsize)(lf + 1 - source->buffer);
            return TRUE;
        }
        /* The excerpt of the long line lies at the buffer's front; refill behind it. */
        source->start = source->scanned = source->end = EEP_LINE_MAX_BYTES;
        if (source->at_end)
            return TRUE;
        if (!read_more(source, error))
            return FALSE;
    }
}

static EepLineStatus give_up_on_line(EepLineSource *source, const char **ret_line,
                                     gsize *ret_length, GError **error)
{
    memmove(source->buffer, source->buffer + source->start, source->end - source->start);
    source->end -= source->start;
    source->start = EEP_LINE_MAX_BYTES;
    if (source->capacity < BUFFER_BYTES)
        grow(source, BUFFER_BYTES);
    source->number++;
    if (!drop_rest_of_line(source, error))
        return EEP_LINE_FAILED;
    *ret_line = source->buffer;
    *ret_length = EEP_LINE_MAX_BYTES;
    return EEP_LINE_TOO_LONG;
}

static void drop_byte_order_mark(const char **line, gsize *length)
{
    if (*length >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
        *line += 3;
        *length -= 3;
    }
}

EepLineStatus eep_line_source_next(EepLineSource *source, const char **ret_line, gsize *ret_length,
                                   GError **error)
{
    char *lf;
    while ((lf = memchr(source->buffer + source->scanned, '\n', source->end - source->scanned)) ==
           NULL) {
        source->scanned = source->end;
        if (source->end - source->start > EEP_LINE_MAX_BYTES + 1)
            return give_up_on_line(source, ret_line, ret_length, error);
        if (source->at_end) {
            if (source->start == source->end)
                return EEP_LINE_END;
            lf = source->buffer + source->end;
            *lf = '\0';
            break;
        }
        if (!fill(source, error))
            return EEP_LINE_FAILED;
    }
    const char *line = source->buffer + source->start;
    gsize length = (gsize)(lf - line);
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length > EEP_LINE_MAX_BYTES)
        return give_up_on_line(source, ret_line, ret_length, error);
    source->start = source->scanned = MIN((gsize)(lf + 1 - source->buffer), source->end);
    if (source->number++ == 0)
        drop_byte_order_mark(&line, &length);
    *ret_line = line;
    *ret_length = length;
    return EEP_LINE_READ;
}

guint64 eep_line_source_number(const EepLineSource *source)
{
    return source->number;
}

void eep_line_source_free(EepLineSource *source)
{
    if (source == NULL)
        return;
    if (source->gzip != NULL)
        gzclose(source->gzip);
    if (source->fd >= 0)
        close(source->fd);
    g_free(source->path);
    g_free(source->buffer);
    g_free(source);
}
