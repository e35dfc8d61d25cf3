#include "traces/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "traces/trace.h"

#define FIRST_BYTES (64 << 10)

char *eep_whole_file_name(const char *path)
{
    return strcmp(path, "-") == 0 ? g_strdup("standard input") : g_filename_display_name(path);
}

static void set_io_error(GError **error, const char *path, const char *what, const char *why)
{
    g_autofree char *name = eep_whole_file_name(path);
    g_set_error(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_IO,
                "%s: %s: %s: a readable file of at most 1 GiB, plain or gzip, is allowed", name,
                what, why);
}

/* A descriptor of the file, -1 with error set. A pipe is read as any file is; a device may have no
 * end, but the size has. */
static int open_file(const char *path, GError **error)
{
    if (strcmp(path, "-") == 0) {
        int fd = dup(STDIN_FILENO);
        if (fd < 0)
            set_io_error(error, path, "cannot open", g_strerror(errno));
        return fd;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        set_io_error(error, path, "cannot open", g_strerror(errno));
    } else if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        set_io_error(error, path, "cannot open", g_strerror(EISDIR));
        close(fd);
        fd = -1;
    }
    return fd;
}

/* zlib hands plain files through and looks for the magic number itself. */
char *eep_whole_file_read(const char *path, gsize *ret_size, GError **error)
{
    g_return_val_if_fail(path != NULL && ret_size != NULL, NULL);
    int fd = open_file(path, error);
    if (fd < 0)
        return NULL;
    gzFile file = gzdopen(fd, "rb");
    if (file == NULL) {
        set_io_error(error, path, "cannot open", "zlib is out of memory");
        close(fd);
        return NULL;
    }
    gsize size = 0, capacity = FIRST_BYTES;
    g_autofree char *data = g_malloc(capacity);
    int n, code = Z_OK;
    while ((n = gzread(file, data + size, (unsigned)MIN(capacity - size, FIRST_BYTES))) > 0) {
        size += (gsize)n;
        if (size > EEP_WHOLE_FILE_MAX_BYTES)
            break;
        if (size == capacity)
            data = g_realloc(data, capacity *= 2);
    }
    /* A file cut short is no error of gzread(): it returns what there is and sets the code. */
    const char *text = gzerror(file, &code);
    const char *why = code == Z_ERRNO ? g_strerror(errno) : text;
    const gboolean failed = n < 0 || (code != Z_OK && code != Z_STREAM_END);
    if (failed)
        set_io_error(error, path, "cannot read", why);
    else if (size > EEP_WHOLE_FILE_MAX_BYTES)
        set_io_error(error, path, "cannot read", "it is longer than that");
    gzclose(file);
    if (failed || size > EEP_WHOLE_FILE_MAX_BYTES)
        return NULL;
    *ret_size = size;
    return g_steal_pointer(&data);
}
