#include "gpu/coordinator/door.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gpu/coordinator/address.h"
#include "live/clock_real.h"

/* Of the longest HELLO, with room. */
#define MAX_HELLO 1024
/* For a refusal to be read. */
#define FAREWELL EEP_NS_PER_S
typedef struct {
    EepDoor *door;
    EepLink *link;
    gint64 since, deadline; /* since it came, or was refused */
    gboolean is_refused;
} Guest;

struct EepDoor {
    EepClock *clock;
    const EepDoorEvents *events;
    gpointer self;
    int fd;
    EepTime patience;
    gboolean is_watched;
    gboolean is_exhausted; /* no descriptor is free: until the next tick */
    char *address;
    char token[EEP_WIRE_TOKEN_BYTES];         /* random bytes, as they are sent */
    char shown[2 * EEP_WIRE_TOKEN_BYTES + 1]; /* the same in hexadecimal */
    GPtrArray *guests;                        /* Guest */
};

static void guest_free(gpointer data)
{
    Guest *guest = data;

    eep_link_free(guest->link);
    g_free(guest);
}

static void on_connection(gpointer self, int fd, gboolean is_readable, gboolean is_writable);

/* While too many wait at the door, the kernel keeps those behind them. */
static void follow_guests(EepDoor *door)
{
    gboolean wants = door->guests->len < EEP_DOOR_MAX_GUESTS && !door->is_exhausted;

    if (wants == door->is_watched)
        return;
    door->is_watched = wants;
    if (wants)
        eep_clock_real_watch(door->clock, door->fd, on_connection, door);
    else
        eep_clock_real_unwatch(door->clock, door->fd);
}

static void send_away(Guest *guest, const char *reason)
{
    EepWireMessage message = {.type = EEP_WIRE_REFUSE};

    g_strlcpy(message.refuse.reason, reason, sizeof message.refuse.reason);
    guest->is_refused = TRUE;
    guest->since = eep_monotonic_ns();
    guest->deadline = guest->since + FAREWELL;
    eep_link_stop_hearing(guest->link);
    guest->door->events->refused(guest->door->self, reason);
    eep_link_send(guest->link, &message); /* last: a broken link takes the guest with it */
}

static void on_garbage(gpointer self, EepLink *link, const char *reason)
{
    g_autofree char *text = g_strdup_printf("%s: this is where eep's workers of version %d come in",
                                            reason, EEP_WIRE_VERSION);

    send_away(self, text);
}

static void on_closed(gpointer self, EepLink *link, const char *reason)
{
    Guest *guest = self;
    EepDoor *door = guest->door;

    if (!guest->is_refused)
        door->events->refused(door->self, reason);
    g_ptr_array_remove_fast(door->guests, guest);
    follow_guests(door);
}

/* How long it takes does not tell how much of it is right. */
static gboolean is_same_token(const char *x, const char *y)
{
    guint8 difference = 0;

    for (guint i = 0; i < EEP_WIRE_TOKEN_BYTES; i++)
        difference |= (guint8)(x[i] ^ y[i]);
    return difference == 0;
}

/* NULL: welcome so far. */
static char *objection(const EepDoor *door, const EepWireMessage *message)
{
    const EepWireHello *hello = &message->hello;

    if (message->type != EEP_WIRE_HELLO)
        return g_strdup_printf("%s before HELLO", eep_wire_type_name(message->type));
    if (hello->magic != EEP_WIRE_MAGIC)
        return g_strdup("not a worker of eep");
    if (hello->version != EEP_WIRE_VERSION)
        return g_strdup_printf("the worker of host %s speaks version %u of the protocol (%s), this "
                               "coordinator version %d: use programs of one build",
                               hello->host, hello->version, hello->program, EEP_WIRE_VERSION);
    if (!is_same_token(hello->token, door->token))
        return g_strdup_printf("the worker of host %s has no valid token: give it the one that "
                               "this run printed (EEP_TOKEN)",
                               hello->host);
    return NULL;
}

static void on_message(gpointer self, EepLink *link, const EepWireMessage *message)
{
    Guest *guest = self;
    EepDoor *door = guest->door;
    g_autofree char *reason = objection(door, message);

    if (reason != NULL) {
        send_away(guest, reason);
        return;
    }
    guest->link = NULL;
    g_ptr_array_remove_fast(door->guests, guest);
    follow_guests(door);
    door->events->arrived(door->self, link, &message->hello);
}

static const EepLinkEvents guest_events = {on_message, on_closed, on_garbage};

static void on_connection(gpointer self, int fd, gboolean is_readable, gboolean is_writable)
{
    EepDoor *door = self;

    while (door->guests->len < EEP_DOOR_MAX_GUESTS) {
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        Guest *guest;

        /* Whatever is wrong with a connection is that connection's business; what the process
         * lacks would have the kernel call at once again. */
        if (accepted < 0) {
            door->is_exhausted =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            break;
        }
        guest = g_new0(Guest, 1);
        guest->door = door;
        guest->since = eep_monotonic_ns();
        guest->deadline = guest->since + door->patience;
        guest->link = eep_link_new(door->clock, accepted, MAX_HELLO, &guest_events, guest);
        g_ptr_array_add(door->guests, guest);
    }
    follow_guests(door);
}

/* A launcher that starts coordinator and workers at once gives both the same. */
static gboolean take_token(EepDoor *door, const char *hex, GError **error)
{
    if (!eep_wire_parse_token(hex, door->token)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "EEP_TOKEN is no token: %d hexadecimal digits in lower case, as of "
                    "`openssl rand -hex %d`; or unset it, and one is drawn",
                    2 * EEP_WIRE_TOKEN_BYTES, EEP_WIRE_TOKEN_BYTES);
        return FALSE;
    }
    g_strlcpy(door->shown, hex, sizeof door->shown);
    return TRUE;
}

static gboolean draw_token(EepDoor *door, GError **error)
{
    if (getrandom(door->token, sizeof door->token, 0) != sizeof door->token) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot draw a token: %s",
                    g_strerror(errno));
        return FALSE;
    }
    for (guint i = 0; i < EEP_WIRE_TOKEN_BYTES; i++)
        g_snprintf(door->shown + 2 * i, 3, "%02x", (guint8)door->token[i]);
    return TRUE;
}

EepDoor *eep_door_new(EepClock *clock, const char *address, const char *token, EepTime patience,
                      const EepDoorEvents *events, gpointer self, GError **error)
{
    EepDoor *door = g_new0(EepDoor, 1);

    door->clock = clock;
    door->patience = patience;
    door->events = events;
    door->self = self;
    door->guests = g_ptr_array_new_with_free_func(guest_free);
    door->fd = eep_address_listen(address, &door->address, error);
    if (door->fd < 0 ||
        !(token != NULL ? take_token(door, token, error) : draw_token(door, error))) {
        eep_door_free(door);
        return NULL;
    }
    follow_guests(door);
    return door;
}

void eep_door_free(EepDoor *door)
{
    if (door == NULL)
        return;
    g_ptr_array_free(door->guests, TRUE);
    if (door->is_watched)
        eep_clock_real_unwatch(door->clock, door->fd);
    if (door->fd >= 0) {
        close(door->fd);
        eep_address_forget(door->address);
    }
    g_free(door->address);
    g_free(door);
}

void eep_door_refuse(EepDoor *door, EepLink *link, const char *reason)
{
    Guest *guest = g_new0(Guest, 1);

    guest->door = door;
    guest->link = link;
    eep_link_hand_over(link, MAX_HELLO, &guest_events, guest);
    g_ptr_array_add(door->guests, guest);
    follow_guests(door);
    send_away(guest, reason);
}

/* A worker says HELLO as it comes: whoever idles gives way to those behind. */
static gint64 deadline_of(const Guest *guest, gboolean hurries)
{
    return hurries ? MIN(guest->deadline, guest->since + EEP_DOOR_HURRY) : guest->deadline;
}

static void send_away_late(Guest *guest, gboolean hurries)
{
    gint64 limit = deadline_of(guest, hurries) - guest->since;
    g_autofree char *reason = g_strdup_printf(
        "no HELLO within %.3g s%s", eep_time_to_seconds(limit), hurries ? ", and others wait" : "");

    send_away(guest, reason);
}

/* From the end, since whoever is sent away may go at once. */
void eep_door_tick(EepDoor *door)
{
    gint64 now = eep_monotonic_ns();
    gboolean hurries = !door->is_watched;

    for (guint i = door->guests->len; i > 0; i--) {
        Guest *guest = i <= door->guests->len ? g_ptr_array_index(door->guests, i - 1) : NULL;

        if (guest == NULL || now < deadline_of(guest, hurries))
            continue;
        if (guest->is_refused)
            g_ptr_array_remove_index_fast(door->guests, i - 1);
        else
            send_away_late(guest, hurries);
    }
    door->is_exhausted = FALSE;
    follow_guests(door);
}

const char *eep_door_address(const EepDoor *door)
{
    return door->address;
}

const char *eep_door_token(const EepDoor *door)
{
    return door->shown;
}
