/* What eep explore prints, for readers and as JSON. */
#ifndef EEP_CLI_EXPLORE_PRINT_H
#define EEP_CLI_EXPLORE_PRINT_H

#include "cli/explore_worlds.h"
#include "core/text.h"

G_BEGIN_DECLS

/* A line a generation, its known flaws, and the first world that ended badly, which is returned;
 * NULL when all are exhausted and clean. `seconds` went by; what a generation took is summed over
 * the threads. */
const EepExploreJob *eep_explore_print(const GArray *jobs, const EepExploreBound *bound,
                                       double seconds, gboolean as_json, EepText *text);

void eep_explore_print_replay(const char *log, const char *violation, gboolean as_json,
                              EepText *text);
void eep_explore_print_plants(gboolean as_json, EepText *text);

G_END_DECLS

#endif
