#include "cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define BUFFER_BYTES ((gsize)256 << 10)

struct EepOutputFile {
    EepText text;
    char *path, *hidden;
    int fd;      /* -1: closed */
    int failure; /* errno of the first failed write, 0: none */
    gboolean is_published;
};

G_DEFINE_QUARK(eep - output - error, eep_output_error)

static void set_error(GError **error, const char *verb, const char *path, int number)
{
    g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot be %s: %s", path, verb,
                g_strerror(number));
}

char *eep_output_file_hidden_name(const char *name)
{
    return g_strdup_printf(".%s.partial", name);
}

EepOutputFile *eep_output_file_open(const char *folder, const char *name, GError **error)
{
    g_autofree char *hidden_name = eep_output_file_hidden_name(name);
    g_autofree char *hidden = g_build_filename(folder, hidden_name, NULL);
    /* What a run that was killed has left goes; a link of that name must not lead out of here. */
    g_unlink(hidden);
    int fd = g_open(hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0) {
        set_error(error, "created", hidden, errno);
        return NULL;
    }
    EepOutputFile *file = g_new0(EepOutputFile, 1);
    eep_text_init(&file->text);
    eep_text_reserve(&file->text, BUFFER_BYTES + 4096);
    file->path = g_build_filename(folder, name, NULL);
    file->hidden = g_steal_pointer(&hidden);
    file->fd = fd;
    return file;
}

void eep_output_file_free(EepOutputFile *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (!file->is_published)
        g_unlink(file->hidden);
    eep_text_clear(&file->text);
    g_free(file->path);
    g_free(file->hidden);
    g_free(file);
}

EepText *eep_output_file_text(EepOutputFile *file)
{
    return &file->text;
}

void eep_output_file_flush(EepOutputFile *file)
{
    const char *data = file->text.data;
    gsize left = file->text.length;

    while (left > 0 && file->failure == 0) {
        gssize written = write(file->fd, data, left);
        if (written < 0) {
            if (errno != EINTR)
                file->failure = errno;
            continue;
        }
        data += written;
        left -= (gsize)written;
    }
    eep_text_reset(&file->text);
}

void eep_output_file_added(EepOutputFile *file)
{
    if (G_UNLIKELY(file->text.length >= BUFFER_BYTES))
        eep_output_file_flush(file);
}

gboolean eep_output_file_close(EepOutputFile *file, GError **error)
{
    g_return_val_if_fail(file->fd >= 0, FALSE);
    eep_output_file_flush(file);
    if (close(file->fd) != 0 && file->failure == 0)
        file->failure = errno;
    file->fd = -1;
    if (file->failure != 0) {
        set_error(error, "written", file->path, file->failure);
        return FALSE;
    }
    return TRUE;
}

gboolean eep_output_file_publish(EepOutputFile *file, GError **error)
{
    g_return_val_if_fail(file->fd < 0 && file->failure == 0, FALSE);
    if (g_rename(file->hidden, file->path) != 0) {
        set_error(error, "created", file->path, errno);
        return FALSE;
    }
    file->is_published = TRUE;
    return TRUE;
}
