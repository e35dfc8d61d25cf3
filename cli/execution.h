/* EepExecution: a scenario put together with whatever executes its steps: clock, backend, pools,
 * loop.
 *
 * What simulations (simulation.h) and runs on workers (hardware_run.h) have in common: predictors,
 * the workload, the operators' events, the pools' shapes, and running to the end. It builds and
 * drives; what happens goes to the observer, what is left to say is asked afterwards. Not a reader
 * of scenarios and not a writer of results. Owned by its maker; the scenario, the trace and the
 * observer must outlive it. */
#ifndef EEP_CLI_EXECUTION_H
#define EEP_CLI_EXECUTION_H

#include "cli/skew_records.h"
#include "core/deployment.h"
#include "core/loop/journal.h"
#include "scenarios/scenario.h"
#include "traces/trace.h"

G_BEGIN_DECLS

typedef struct EepExecution EepExecution;

/* Makes the predictors; the rest is put together next. `records` are not looked at afterwards. */
EepExecution *eep_execution_new(const EepScenario *scenario, const EepSkewRecords *records,
                                EepTrace *trace);
void eep_execution_free(EepExecution *execution); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepExecution, eep_execution_free)

EepPredictor *eep_execution_predictor(const EepExecution *execution, EepPoolId pool);

/* Called with the progress; FALSE with an error ends the run as failed. */
typedef gboolean (*EepExecutionLook)(gpointer self, GError **error);

typedef struct {
    EepClock *clock;            /* taken over */
    EepBackend *backend;        /* taken over */
    EepFaultInjector *injector; /* nullable */
    EepObserver *observer;
    EepJournal *journal;   /* NULL: none; else borrowed, a recording or a replay */
    EepExecutionLook look; /* nullable */
    gpointer look_self;
    /* Where time passes by itself: how long operations may hang with nothing else to happen before
     * the run is over. */
    EepTime patience;
} EepExecutionParts;

/* FALSE with an error: the execution can only be freed. */
gboolean eep_execution_put_together(EepExecution *execution, const EepExecutionParts *parts,
                                    GError **error);

/* Called now and then while the run goes on; FALSE interrupts it. */
typedef gboolean (*EepExecutionProgress)(gpointer self, EepTime now, guint64 n_submitted);

/* Runs to the end that the scenario asks for. FALSE with an error when the run failed.
 * *ret_interrupted: `progress` ended it; all requests have their fates nevertheless. */
gboolean eep_execution_run(EepExecution *execution, EepExecutionProgress progress, gpointer self,
                           gboolean *ret_interrupted, GError **error);

EepDeployment *eep_execution_deployment(const EepExecution *execution);
EepTime eep_execution_end(const EepExecution *execution); /* of the run */
EepTime
eep_execution_end_of_traffic(const EepExecution *execution); /* the last arrival is before it */
guint64 eep_execution_n_events(const EepExecution *execution);

G_END_DECLS

#endif
