#include "gpu/coordinator/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live/clock_real.h"

#define CHUNK         (64u << 10)
#define READS_AT_ONCE 16 /* chunks, before others have their turn */

struct EepLink {
    EepClock *clock;
    int fd; /* -1: broken */
    const EepLinkEvents *events;
    gpointer self;
    gsize max_bytes;
    GByteArray *in, *out;
    gsize out_begin; /* written up to here */
    gboolean wants_write, is_busy, is_freed, is_deaf;
    gint64 heard;
    EepLinkCounts counts;
};

static void drop(EepLink *link)
{
    if (link->fd < 0)
        return;
    eep_clock_real_unwatch(link->clock, link->fd);
    close(link->fd);
    link->fd = -1;
}

static void destroy(EepLink *link)
{
    drop(link);
    g_byte_array_unref(link->in);
    g_byte_array_unref(link->out);
    g_free(link);
}

static void break_off(EepLink *link, const char *reason)
{
    if (link->fd < 0)
        return;
    drop(link);
    link->events->closed(link->self, link, reason);
}

static void reject(EepLink *link, const char *reason)
{
    if (link->events->garbage == NULL) {
        break_off(link, reason);
        return;
    }
    link->is_deaf = TRUE;
    link->events->garbage(link->self, link, reason);
}

static void want_write(EepLink *link, gboolean wants)
{
    if (link->wants_write == wants)
        return;
    link->wants_write = wants;
    eep_clock_real_want_write(link->clock, link->fd, wants);
}

/* FALSE with errno when the connection is broken. */
static gboolean write_out(EepLink *link)
{
    while (link->out_begin < link->out->len) {
        ssize_t n = send(link->fd, link->out->data + link->out_begin,
                         link->out->len - link->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        link->out_begin += (gsize)n;
        link->counts.n_bytes_sent += (guint64)n;
    }
    link->out_begin = 0;
    g_byte_array_set_size(link->out, 0);
    return TRUE;
}

/* FALSE when the link is broken or freed. */
static gboolean take_message(EepLink *link, gsize begin, gsize bytes)
{
    g_autoptr(GError) error = NULL;
    EepWireMessage message;

    if (!eep_wire_decode(link->in->data + begin, bytes, &message, &error)) {
        reject(link, error->message);
        return FALSE;
    }
    link->counts.n_messages_received++;
    link->events->message(link->self, link, &message);
    eep_wire_clear(&message);
    return !link->is_freed && link->fd >= 0 && !link->is_deaf;
}

/* FALSE as above. */
static gboolean take_messages(EepLink *link)
{
    gsize begin = 0, bytes;

    for (;;) {
        g_autoptr(GError) error = NULL;
        gboolean is_whole =
            eep_wire_frame(link->in->data + begin, link->in->len - begin, &bytes, &error);

        if (error == NULL && bytes > link->max_bytes)
            error = g_error_new(EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE,
                                "a message of %" G_GSIZE_FORMAT " bytes is longer than expected",
                                bytes);
        if (error != NULL) {
            reject(link, error->message);
            return FALSE;
        }
        if (!is_whole)
            break;
        if (!take_message(link, begin, bytes))
            return FALSE;
        begin += bytes;
    }
    if (begin > 0)
        g_byte_array_remove_range(link->in, 0, (guint)begin);
    return TRUE;
}

/* FALSE when the link is broken or freed, or nothing is left to read. */
static gboolean read_chunk(EepLink *link)
{
    guint before = link->in->len;
    ssize_t n;

    g_byte_array_set_size(link->in, before + CHUNK);
    n = recv(link->fd, link->in->data + before, CHUNK, MSG_DONTWAIT);
    g_byte_array_set_size(link->in, before + (guint)MAX(n, 0));
    if (n > 0) {
        link->heard = eep_monotonic_ns();
        link->counts.n_bytes_received += (guint64)n;
        if (link->is_deaf) {
            g_byte_array_set_size(link->in, 0);
            return FALSE;
        }
        return take_messages(link) && n == CHUNK;
    }
    if (n == 0)
        break_off(link, before > 0 ? "it closed the connection in the middle of a message"
                                   : "it closed the connection");
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        break_off(link, g_strerror(errno));
    return FALSE;
}

static void on_ready(gpointer self, int fd, gboolean is_readable, gboolean is_writable)
{
    EepLink *link = self;

    link->is_busy = TRUE;
    if (is_writable)
        eep_link_flush(link);
    for (guint i = 0; is_readable && i < READS_AT_ONCE && link->fd >= 0 && !link->is_freed; i++)
        is_readable = read_chunk(link);
    link->is_busy = FALSE;
    if (link->is_freed)
        destroy(link);
}

EepLink *eep_link_new(EepClock *clock, int fd, gsize max_bytes, const EepLinkEvents *events,
                      gpointer self)
{
    EepLink *link = g_new0(EepLink, 1);
    const int yes = 1;

    link->clock = clock;
    link->fd = fd;
    link->max_bytes = max_bytes;
    link->events = events;
    link->self = self;
    link->in = g_byte_array_new();
    link->out = g_byte_array_new();
    link->heard = eep_monotonic_ns();
    /* A unix socket has no such option and needs none. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0)
        errno = 0;
    eep_clock_real_watch(clock, fd, on_ready, link);
    return link;
}

void eep_link_free(EepLink *link)
{
    if (link == NULL)
        return;
    if (!link->is_busy) {
        destroy(link);
        return;
    }
    drop(link);
    link->is_freed = TRUE;
}

void eep_link_hand_over(EepLink *link, gsize max_bytes, const EepLinkEvents *events, gpointer self)
{
    link->max_bytes = max_bytes;
    link->events = events;
    link->self = self;
}

void eep_link_stop_hearing(EepLink *link)
{
    link->is_deaf = TRUE;
}

void eep_link_post(EepLink *link, const EepWireMessage *message)
{
    if (link->fd < 0)
        return;
    eep_wire_encode(message, link->out);
    link->counts.n_messages_sent++;
}

void eep_link_flush(EepLink *link)
{
    if (link->fd < 0 || link->out->len == 0)
        return;
    if (!write_out(link)) {
        break_off(link, g_strerror(errno));
        return;
    }
    if (link->out->len - link->out_begin > EEP_LINK_MAX_QUEUED) {
        break_off(link, "it takes no messages any more");
        return;
    }
    want_write(link, link->out->len > 0);
}

void eep_link_send(EepLink *link, const EepWireMessage *message)
{
    eep_link_post(link, message);
    eep_link_flush(link);
}

gboolean eep_link_is_flushed(const EepLink *link)
{
    return link->fd < 0 || link->out->len == 0;
}

gint64 eep_link_heard(const EepLink *link)
{
    return link->heard;
}

EepLinkCounts eep_link_counts(const EepLink *link)
{
    return link->counts;
}
