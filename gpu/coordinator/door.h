/* EepDoor: where workers come in.
 *
 * A listening socket and those who have connected but not yet shown who they are. Whoever says
 * HELLO with the right magic, version and token within the time allowed is handed over; everybody
 * else is told why not and closed. Nobody gets memory beyond a HELLO before that. Not a judge of
 * whether a worker is wanted: whoever takes it over may still refuse it. Loop thread only. */
#ifndef EEP_GPU_COORDINATOR_DOOR_H
#define EEP_GPU_COORDINATOR_DOOR_H

#include "gpu/coordinator/link.h"

G_BEGIN_DECLS

typedef struct EepDoor EepDoor;

/* From connecting to HELLO at most, and for a refusal to be read, while others have to wait. */
#define EEP_DOOR_HURRY      (200 * EEP_NS_PER_MS)
#define EEP_DOOR_MAX_GUESTS 64 /* that have not said HELLO; more have to wait */

typedef struct {
    /* Takes over the link: hands it to itself (eep_link_hand_over()) or gives it back refused. */
    void (*arrived)(gpointer self, EepLink *link, const EepWireHello *hello);
    void (*refused)(gpointer self, const char *reason); /* one who came was sent away */
} EepDoorEvents;

/* `address` as in address.h. `token` in hexadecimal, NULL: drawn. `patience`: from connecting to
 * HELLO. */
EepDoor *eep_door_new(EepClock *clock, const char *address, const char *token, EepTime patience,
                      const EepDoorEvents *events, gpointer self, GError **error);
void eep_door_free(EepDoor *door); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepDoor, eep_door_free)

/* Says why not and closes in a bounded time; takes over the link. */
void eep_door_refuse(EepDoor *door, EepLink *link, const char *reason);

/* To be called now and then: sends away who took too long. */
void eep_door_tick(EepDoor *door);

const char *eep_door_address(const EepDoor *door);
const char *eep_door_token(const EepDoor *door); /* hexadecimal */

G_END_DECLS

#endif
