#include "gpu/worker/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#define MAX_KEPT (64u << 20)

struct EepOutbox {
    pthread_mutex_t lock;
    int fd;
    GByteArray *kept;
    gsize n_sent; /* of `kept` */
    gboolean is_broken, is_muted;
    void (*wake)(gpointer self);
    gpointer self;
};

EepOutbox *eep_outbox_new(int fd, void (*wake)(gpointer self), gpointer self)
{
    EepOutbox *outbox = g_new0(EepOutbox, 1);

    pthread_mutex_init(&outbox->lock, NULL);
    outbox->fd = fd;
    outbox->kept = g_byte_array_new();
    outbox->wake = wake;
    outbox->self = self;
    return outbox;
}

void eep_outbox_free(EepOutbox *outbox)
{
    if (outbox == NULL)
        return;
    g_byte_array_unref(outbox->kept);
    pthread_mutex_destroy(&outbox->lock);
    g_free(outbox);
}

/* With the lock held. */
static void write_kept(EepOutbox *outbox)
{
    while (!outbox->is_broken && outbox->n_sent < outbox->kept->len) {
        ssize_t n = send(outbox->fd, outbox->kept->data + outbox->n_sent,
                         outbox->kept->len - outbox->n_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            outbox->n_sent += (gsize)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
            outbox->is_broken = TRUE;
    }
    if (outbox->n_sent == outbox->kept->len) {
        g_byte_array_set_size(outbox->kept, 0);
        outbox->n_sent = 0;
    } else if (outbox->kept->len - outbox->n_sent > MAX_KEPT) {
        outbox->is_broken = TRUE;
    }
}

void eep_outbox_send(EepOutbox *outbox, const EepWireMessage *message)
{
    gboolean is_kept;

    pthread_mutex_lock(&outbox->lock);
    if (!outbox->is_muted && !outbox->is_broken) {
        eep_wire_encode(message, outbox->kept);
        write_kept(outbox);
    }
    is_kept = outbox->kept->len > 0 || outbox->is_broken;
    pthread_mutex_unlock(&outbox->lock);
    if (is_kept && outbox->wake != NULL)
        outbox->wake(outbox->self);
}

gboolean eep_outbox_flush(EepOutbox *outbox)
{
    gboolean is_ok;

    pthread_mutex_lock(&outbox->lock);
    write_kept(outbox);
    is_ok = !outbox->is_broken;
    pthread_mutex_unlock(&outbox->lock);
    return is_ok;
}

gboolean eep_outbox_is_empty(EepOutbox *outbox)
{
    gboolean is_empty;

    pthread_mutex_lock(&outbox->lock);
    is_empty = outbox->kept->len == 0;
    pthread_mutex_unlock(&outbox->lock);
    return is_empty;
}

void eep_outbox_mute(EepOutbox *outbox, gboolean is_muted)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->is_muted = is_muted;
    pthread_mutex_unlock(&outbox->lock);
}
