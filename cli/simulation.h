/* Simulations: an EepExecution on the simulator: virtual clock, cost models, simulated backend. */
#ifndef EEP_CLI_SIMULATION_H
#define EEP_CLI_SIMULATION_H

#include "cli/execution.h"

G_BEGIN_DECLS

/* `journal` NULL: none; else borrowed, a recording or a replay. `records` are not looked at
 * afterwards. */
EepExecution *eep_simulation_new(const EepScenario *scenario, const EepSkewRecords *records,
                                 EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                 GError **error);

G_END_DECLS

#endif
