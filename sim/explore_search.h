/* The explorer: every interleaving of events around one resize machine, breadth first.
 *
 * It runs the machine of core/resize/ itself, in a world of plain values (explore_world.h), from
 * one first state through all that may happen in any order, and checks every state
 * (explore_check.h) and that from each one a state at rest can be reached. States that have been
 * seen are known by a hash, so that a space is exhausted but for the chance of a clash. Breadth
 * first: the first violation found is one of the shortest. Not a proof of more engines, faults or
 * experts than the setting has. One thread a call; no clock. */
#ifndef EEP_SIM_EXPLORE_SEARCH_H
#define EEP_SIM_EXPLORE_SEARCH_H

#include "sim/explore_check.h"
#include "sim/explore_plant.h"

G_BEGIN_DECLS

typedef enum {
    EEP_EXPLORE_EXHAUSTED,
    EEP_EXPLORE_VIOLATED,
    EEP_EXPLORE_OUT_OF_MEMORY,
} EepExploreVerdict;

typedef struct {
    guint64 max_bytes; /* of the table and the frontiers together */
    /* Runs call(data); FALSE if that ended in an assertion that failed, with its message (256
     * bytes). NULL: called directly. */
    gboolean (*guard)(void (*call)(gpointer data), gpointer data, char *ret_message);
} EepExploreOptions;

typedef struct {
    EepExploreVerdict verdict;
    guint64 n_states, n_transitions, n_rests;
    guint64 n_outcomes[EEP_OUTCOME_COUNT];   /* states at rest by how the last resize ended */
    guint64 n_flawed[EEP_EXPLORE_MAX_FLAWS]; /* states at rest that show a known flaw */
    guint64 rests; /* a sum of the names of all states at rest, the same with and without
                      reduction */
    guint depth;
    guint64 peak_bytes;
    char violation[256];
    GPtrArray *path; /* of char*: the events that lead to the violation; owned, NULL without one */
} EepExploreResult;

/* FALSE with the machine's error if the setting makes none. */
gboolean eep_explore_run(const EepExploreSetting *setting, const EepExplorePlant *plant,
                         const EepExploreOptions *options, EepExploreResult *ret_result,
                         GError **error);
void eep_explore_result_clear(EepExploreResult *result);

/* Makes the events of `path` happen one after the other, each named as the explorer prints it, and
 * logs what the machine does. *ret_violation: what went wrong, "" if nothing; 256 bytes. FALSE with
 * an error (G_OPTION_ERROR) when an event is not one of those that may happen then. */
gboolean eep_explore_replay(const EepExploreSetting *setting, const EepExplorePlant *plant,
                            const char *const *path, GString *log, char *ret_violation,
                            GError **error);

/* What a generation is explored with. */
void eep_explore_setting_init(EepExploreSetting *setting, const char *generation, guint n_engines,
                              guint target, guint max_engines, guint n_faults);

G_END_DECLS

#endif
