#include "live/clock_real.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* While the loop has work that is due, descriptors are looked at this often. */
#define LOOK_NS 50000

/* One watched descriptor; polls[i] and watches[i] belong together, and entry 0 is the wake-up. */
typedef struct {
    EepWatcher watcher;
    gpointer self;
    guint64 serial; /* tells it from an earlier watch of the same number */
} Watch;

typedef struct {
    EepClock base;
    gint64 started; /* 0: not yet */
    gint64 looked;  /* when descriptors were polled last */
    GArray *polls;  /* struct pollfd */
    GArray *watches;
    GArray *index_of; /* by descriptor: its place in both, 0: not watched */
    GArray *ready;    /* Ready, while they are served */
    guint64 last_serial;
    int wake_fd;
    gint is_waiting, is_woken; /* atomic */
} RealClock;

typedef struct {
    int fd;
    short revents;
    guint64 serial;
} Ready;

gint64 eep_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (gint64)now.tv_sec * EEP_NS_PER_S + now.tv_nsec;
}

static EepTime real_now(const EepClock *clock)
{
    const RealClock *self = (const RealClock *)clock;

    return self->started != 0 ? eep_monotonic_ns() - self->started : 0;
}

static guint place_of(const RealClock *self, int fd)
{
    return (guint)fd < self->index_of->len ? g_array_index(self->index_of, guint, fd) : 0;
}

static struct pollfd *poll_at(const RealClock *self, guint place)
{
    return &g_array_index(self->polls, struct pollfd, place);
}

static Watch *watch_at(const RealClock *self, guint place)
{
    return &g_array_index(self->watches, Watch, place);
}

/* A watcher may take away those behind it, so who is ready is noted before any of them is called.
 */
static void serve_ready(RealClock *self)
{
    g_array_set_size(self->ready, 0);
    for (guint i = 1; i < self->polls->len; i++) {
        const struct pollfd *polled = poll_at(self, i);
        Ready ready = {polled->fd, polled->revents, watch_at(self, i)->serial};

        if (polled->revents != 0)
            g_array_append_val(self->ready, ready);
    }
    for (guint i = 0; i < self->ready->len; i++) {
        Ready ready = g_array_index(self->ready, Ready, i);
        guint place = place_of(self, ready.fd);
        Watch watch;

        if (place == 0 || watch_at(self, place)->serial != ready.serial)
            continue;
        watch = *watch_at(self, place);
        watch.watcher(watch.self, ready.fd, (ready.revents & ~POLLOUT) != 0,
                      (ready.revents & POLLOUT) != 0);
    }
}

static void take_wake(RealClock *self)
{
    guint64 count;

    if (poll_at(self, 0)->revents != 0 && read(self->wake_fd, &count, sizeof count) < 0 &&
        errno != EAGAIN && errno != EINTR)
        g_error("cannot read the clock's own descriptor: %s", g_strerror(errno));
}

/* One poll of at most timeout_ns, negative: without end. TRUE when anything was served or somebody
 * woke the clock. */
static gboolean poll_once(RealClock *self, gint64 timeout_ns)
{
    struct timespec timeout = {timeout_ns / EEP_NS_PER_S, timeout_ns % EEP_NS_PER_S};
    const struct timespec none = {0};
    gboolean is_forever = timeout_ns < 0, was_woken;
    int n;

    g_atomic_int_set(&self->is_waiting, 1);
    if (g_atomic_int_get(&self->is_woken))
        n = ppoll((struct pollfd *)self->polls->data, self->polls->len, &none, NULL);
    else
        n = ppoll((struct pollfd *)self->polls->data, self->polls->len,
                  is_forever ? NULL : &timeout, NULL);
    g_atomic_int_set(&self->is_waiting, 0);
    self->looked = eep_monotonic_ns();
    if (n > 0) {
        take_wake(self);
        serve_ready(self);
    }
    /* What a watcher posted is seen by whoever waited. */
    was_woken = g_atomic_int_compare_and_exchange(&self->is_woken, 1, 0);
    return n > 0 || was_woken;
}

static EepWake real_wait_until(EepClock *clock, EepTime deadline)
{
    RealClock *self = (RealClock *)clock;

    for (;;) {
        gint64 now = eep_monotonic_ns();
        gint64 left = -1; /* without end */

        if (self->started != 0 && deadline != EEP_TIME_NEVER)
            left = MAX(deadline - (now - self->started), 0);
        if (left == 0 && now - self->looked < LOOK_NS && !g_atomic_int_get(&self->is_woken))
            return EEP_WAKE_DEADLINE;
        if (poll_once(self, left))
            return EEP_WAKE_POSTED;
        if (left == 0)
            return EEP_WAKE_DEADLINE;
    }
}

static void real_free(EepClock *clock)
{
    RealClock *self = (RealClock *)clock;

    close(self->wake_fd);
    g_array_free(self->polls, TRUE);
    g_array_free(self->watches, TRUE);
    g_array_free(self->index_of, TRUE);
    g_array_free(self->ready, TRUE);
    g_free(self);
}

static const EepClockOps real_ops = {
    .size = sizeof(EepClockOps),
    .name = "real",
    .foresees = FALSE,
    .now = real_now,
    .wait_until = real_wait_until,
    .free = real_free,
};

static RealClock *real_of(EepClock *clock)
{
    g_assert(clock != NULL && clock->ops == &real_ops);
    return (RealClock *)clock;
}

EepClock *eep_clock_real_new(GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RealClock *self;

    if (fd < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot make an event descriptor: %s", g_strerror(errno));
        return NULL;
    }
    self = g_new0(RealClock, 1);
    self->base.ops = &real_ops;
    self->wake_fd = fd;
    self->polls = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    self->watches = g_array_new(FALSE, TRUE, sizeof(Watch));
    self->index_of = g_array_new(FALSE, TRUE, sizeof(guint));
    self->ready = g_array_new(FALSE, FALSE, sizeof(Ready));
    g_array_set_size(self->polls, 1);
    g_array_set_size(self->watches, 1);
    *poll_at(self, 0) = (struct pollfd){.fd = fd, .events = POLLIN};
    return &self->base;
}

void eep_clock_real_start(EepClock *clock)
{
    RealClock *self = real_of(clock);

    g_return_if_fail(self->started == 0);
    self->started = eep_monotonic_ns();
}

void eep_clock_real_watch(EepClock *clock, int fd, EepWatcher watcher, gpointer user_data)
{
    RealClock *self = real_of(clock);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    Watch watch = {watcher, user_data, ++self->last_serial};

    g_return_if_fail(fd >= 0 && watcher != NULL && place_of(self, fd) == 0);
    if ((guint)fd >= self->index_of->len)
        g_array_set_size(self->index_of, (guint)fd + 1);
    g_array_index(self->index_of, guint, fd) = self->polls->len;
    g_array_append_val(self->polls, polled);
    g_array_append_val(self->watches, watch);
}

void eep_clock_real_want_write(EepClock *clock, int fd, gboolean wants)
{
    RealClock *self = real_of(clock);
    guint place = place_of(self, fd);

    g_return_if_fail(place != 0);
    poll_at(self, place)->events = (short)(wants ? POLLIN | POLLOUT : POLLIN);
}

void eep_clock_real_unwatch(EepClock *clock, int fd)
{
    RealClock *self = real_of(clock);
    guint place = place_of(self, fd), last = self->polls->len - 1;

    g_return_if_fail(place != 0);
    *poll_at(self, place) = *poll_at(self, last);
    *watch_at(self, place) = *watch_at(self, last);
    g_array_index(self->index_of, guint, poll_at(self, place)->fd) = place;
    g_array_index(self->index_of, guint, fd) = 0;
    g_array_set_size(self->polls, last);
    g_array_set_size(self->watches, last);
}

void eep_clock_real_wake(EepClock *clock)
{
    RealClock *self = real_of(clock);
    const guint64 one = 1;

    g_atomic_int_set(&self->is_woken, 1);
    /* A full counter wakes as well. */
    if (g_atomic_int_get(&self->is_waiting) && write(self->wake_fd, &one, sizeof one) < 0)
        return;
}

void eep_clock_real_poll(EepClock *clock, EepTime timeout)
{
    poll_once(real_of(clock), timeout == EEP_TIME_NEVER ? -1 : timeout);
}
