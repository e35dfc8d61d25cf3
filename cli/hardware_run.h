/* EepHardwareRun: an EepExecution on worker processes: real clock, cuda backend; or the replay of
 * one, which needs neither.
 *
 * Looks for what cannot work before anything is started, starts the pools' workers, watches over
 * results while the run goes on. Owned by its maker, who frees it; scenario, trace, observer and
 * journal must outlive it. */
#ifndef EEP_CLI_HARDWARE_RUN_H
#define EEP_CLI_HARDWARE_RUN_H

#include "cli/execution.h"
#include "cli/run_facts.h"
#include "core/json.h"
#include "gpu/coordinator/backend_cuda.h"

G_BEGIN_DECLS

typedef struct EepHardwareRun EepHardwareRun;

typedef struct {
    EepGpuDevice device;
    gboolean spawns; /* else workers are waited for */
    gboolean is_quiet;
} EepHardwareOptions;

/* FALSE (G_OPTION_ERROR) with what the scenario has that workers cannot do, and what to change. */
gboolean eep_hardware_check(const EepScenario *scenario, GError **error);

/* The worker's program for the device: EEP_WORKER, or beside this one. NULL with an error that says
 * how to build it. New string. */
char *eep_hardware_find_worker(EepGpuDevice device, GError **error);

/* The device by the label of its runs; FALSE, and nothing written, for a simulation's or none. */
gboolean eep_hardware_find_device(const char *label, EepGpuDevice *ret_device);

/* Backend, label and what has to be said about the run. */
void eep_hardware_fill_facts(EepGpuDevice device, EepRunFacts *ret_facts);
char *eep_hardware_note(const EepScenario *scenario); /* new string */

/* Workers are up when it returns; a replay starts none. NULL with an error. */
EepHardwareRun *eep_hardware_run_new(const EepScenario *scenario, const EepSkewRecords *records,
                                     EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                     const EepHardwareOptions *options, GError **error);
void eep_hardware_run_free(EepHardwareRun *run); /* NULL is allowed; ends all workers */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepHardwareRun, eep_hardware_run_free)

EepExecution *eep_hardware_run_execution(EepHardwareRun *run);

/* Time begins; runs to the end; looks at every expert once more. As eep_execution_run(). */
gboolean eep_hardware_run_run(EepHardwareRun *run, EepExecutionProgress progress, gpointer self,
                              gboolean *ret_interrupted, GError **error);

/* EepWallclock.write_workers: which workers it ran on, what was checked; nothing of a replay. */
void eep_hardware_run_write(gconstpointer run, EepJson *json);

/* What happened on workers, one line; NULL for a replay. New string. */
char *eep_hardware_run_describe(const EepHardwareRun *run);

G_END_DECLS

#endif
