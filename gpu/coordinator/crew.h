/* EepCrew: the worker processes that the coordinator has started itself.
 *
 * Starts a program, tells when a process has ended and how, sends signals, and leaves no process
 * behind, not even a zombie. A process is known by the worker that it was started for. Children of
 * others are none of its business: no signal handler, no wait for any child. Loop thread only. */
#ifndef EEP_GPU_COORDINATOR_CREW_H
#define EEP_GPU_COORDINATOR_CREW_H

#include "core/loop/clock.h"

G_BEGIN_DECLS

typedef struct EepCrew EepCrew;

/* `how`: "exit status 1", "killed by signal 9 (Killed)". */
typedef void (*EepCrewExited)(gpointer self, EepWorkerId worker, const char *how);

EepCrew *eep_crew_new(EepClock *clock, EepCrewExited exited, gpointer self);
/* Kills and reaps who is left; nothing is told. */
void eep_crew_free(EepCrew *crew);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepCrew, eep_crew_free)

/* Its standard input is empty, its standard output is our standard error; a Ctrl-C of the terminal
 * does not reach it. argv[0] is the path; environment NULL: ours. */
gboolean eep_crew_start(EepCrew *crew, EepWorkerId worker, char *const *argv,
                        char *const *environment, GError **error);

guint eep_crew_n(const EepCrew *crew); /* processes that run */
void eep_crew_signal(EepCrew *crew, EepWorkerId worker, int signal_number);

/* Serves the clock until all have ended, at most so long; kills and reaps the rest. */
void eep_crew_end(EepCrew *crew, EepTime grace);

G_END_DECLS

#endif
