/* EepSimulation: a scenario put together to run on the simulator: cost models, backend, deployment,
 * loop.
 *
 * It builds and drives; what happens goes to the observer, what is left to say is asked afterwards.
 * Not a reader of scenarios and not a writer of results. Owned by its maker; the scenario, the
 * trace and the observer must outlive it. */
#ifndef EEP_CLI_SIMULATION_H
#define EEP_CLI_SIMULATION_H

#include "cli/skew_records.h"
#include "core/deployment.h"
#include "core/loop/journal.h"
#include "scenarios/scenario.h"
#include "traces/trace.h"

G_BEGIN_DECLS

typedef struct EepSimulation EepSimulation;

/* `journal` NULL: none; else borrowed, a recording or a replay. `records` are not looked at
 * afterwards. */
EepSimulation *eep_simulation_new(const EepScenario *scenario, const EepSkewRecords *records,
                                  EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                  GError **error);
void eep_simulation_free(EepSimulation *simulation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepSimulation, eep_simulation_free)

/* Called now and then while the run goes on; FALSE interrupts it. */
typedef gboolean (*EepSimulationProgress)(gpointer self, EepTime now, guint64 n_submitted);

/* Runs to the end that the scenario asks for. FALSE with an error when the run failed.
 * *ret_interrupted: `progress` ended it; all requests have their fates nevertheless. */
gboolean eep_simulation_run(EepSimulation *simulation, EepSimulationProgress progress,
                            gpointer self, gboolean *ret_interrupted, GError **error);

EepDeployment *eep_simulation_deployment(const EepSimulation *simulation);
EepTime eep_simulation_end(const EepSimulation *simulation); /* of the run */
EepTime
eep_simulation_end_of_traffic(const EepSimulation *simulation); /* the last arrival is before it */
guint64 eep_simulation_n_events(const EepSimulation *simulation);

G_END_DECLS

#endif
