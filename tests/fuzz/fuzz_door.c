/* Any bytes from a stranger at a coordinator's door: framing, handshake, refusal and the hand-over
 * of a link neither crash nor leak, and everybody is either let in or told off once. Bytes after a
 * HELLO that lets in are read by the link as a worker's. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gpu/coordinator/door.h"
#include "live/clock_real.h"

#define MAX_MESSAGE (1u << 20)
#define MAX_POLLS   1000

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

typedef struct {
    EepLink *link; /* who was let in */
    guint n_arrived, n_refused;
    gboolean is_over;
} Seen;

static void on_message(gpointer self, EepLink *link, const EepWireMessage *message)
{
}

static void on_closed(gpointer self, EepLink *link, const char *reason)
{
    ((Seen *)self)->is_over = TRUE;
}

static const EepLinkEvents worker_events = {on_message, on_closed, NULL};

static void on_arrived(gpointer self, EepLink *link, const EepWireHello *hello)
{
    Seen *seen = self;

    seen->link = link;
    seen->n_arrived++;
    eep_link_hand_over(link, MAX_MESSAGE, &worker_events, seen);
}

static void on_refused(gpointer self, const char *reason)
{
    Seen *seen = self;

    g_assert(reason != NULL && reason[0] != '\0');
    seen->n_refused++;
    seen->is_over = TRUE;
}

static const EepDoorEvents door_events = {on_arrived, on_refused};

static char *address_of_this_process(void)
{
    return g_strdup_printf("unix:%s/eep-fuzz-door-%d", g_get_tmp_dir(), (int)getpid());
}

static int come_in(const char *address)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(at.sun_path, address + strlen("unix:"), sizeof at.sun_path);
    g_assert(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    g_autofree char *address = address_of_this_process();
    /* That of the HELLO in the corpus. */
    g_autofree char *token = g_strnfill(2 * EEP_WIRE_TOKEN_BYTES, '4');
    EepClock *clock = eep_clock_real_new(NULL);
    Seen seen = {0};
    EepDoor *door = eep_door_new(clock, address, token, EEP_NS_PER_S, &door_events, &seen, NULL);
    int fd;

    g_assert(door != NULL);
    fd = come_in(address);
    if (size > 0 && send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        size = 0;
    shutdown(fd, SHUT_WR);
    for (guint i = 0; i < MAX_POLLS && !seen.is_over; i++)
        eep_clock_real_poll(clock, EEP_NS_PER_MS);
    g_assert(seen.is_over && seen.n_arrived + seen.n_refused == 1);
    close(fd);
    eep_link_free(seen.link);
    eep_door_free(door);
    eep_clock_free(clock);
    return 0;
}
