/* What a run's records say of the invariants that the core cannot assert because generations of the
 * field break them: I8, nobody is left refused or frozen by a resize that has ended.
 *
 * Not the checks of the core, which end a run, and not the explorer's, which has no times. Static
 * functions of finished metrics. */
#ifndef EEP_CLI_INVARIANTS_H
#define EEP_CLI_INVARIANTS_H

#include "core/metrics.h"

G_BEGIN_DECLS

/* Adds a line for each that broke (g_free()), with the flaw's name where the generation is known to
 * have it. TRUE when none broke but by a known flaw. */
gboolean eep_invariants_add_notes(const EepMetrics *metrics, GPtrArray *notes);

G_END_DECLS

#endif
