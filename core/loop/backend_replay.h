/* EepBackendReplay: the backend of a replay: accepts everything and completes nothing.
 *
 * The journal holds the completions of the recorded run, and the loop dispatches them; so a run
 * recorded on hardware replays where there is none. Not a simulator. Loop thread only. */
#ifndef EEP_CORE_LOOP_BACKEND_REPLAY_H
#define EEP_CORE_LOOP_BACKEND_REPLAY_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

/* `caps`: the recorded backend's, from the journal's header. Free with eep_backend_free(). */
EepBackend *eep_backend_replay_new(const EepBackendCaps *caps);

G_END_DECLS

#endif
