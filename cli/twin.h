/* EepTwin: the run's twin, in which every resize is applied at once and costs nothing.
 *
 * The same traffic and seed on a scenario of its own: each resize that the run completed is applied
 * at the moment at which the run accepted it, by the hidden generation "instant"; faults are left
 * out. Of the twin only its tokens are kept, and what each resize of the run cost beside it. Writes
 * no files. Owned by its creator; one thread. */
#ifndef EEP_CLI_TWIN_H
#define EEP_CLI_TWIN_H

#include "cli/simulation.h"
#include "core/metrics.h"
#include "core/token_curve.h"

G_BEGIN_DECLS

typedef struct {
    EepTwinFigures *figures; /* one a resize of the run, in the metrics' order; NULL: none */
    char *note;              /* why there are none, for the summary; NULL: nothing to say */
} EepTwin;

/* Makes `scenario`, a copy of the run's that is the caller's, the twin's, and runs it. `metrics`
 * are the run's, finished, `curve` its tokens, finished. Where the run had no resize nothing is
 * simulated. *ret_interrupted: `progress` ended it, and there are no figures. FALSE with an error
 * when it failed. */
gboolean eep_twin_run(EepTwin *twin, EepScenario *scenario, const EepSkewRecords *records,
                      const EepMetrics *metrics, const EepTokenCurve *curve,
                      EepExecutionProgress progress, gpointer self, gboolean *ret_interrupted,
                      GError **error);
void eep_twin_clear(EepTwin *twin);

G_END_DECLS

#endif
