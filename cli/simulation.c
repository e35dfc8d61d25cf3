#include "cli/simulation.h"

#include "sim/backend_sim.h"

EepExecution *eep_simulation_new(const EepScenario *scenario, const EepSkewRecords *records,
                                 EepTrace *trace, EepObserver *observer, EepJournal *journal,
                                 GError **error)
{
    g_autoptr(EepExecution) execution = eep_execution_new(scenario, records, trace);
    EepBackend *backend = eep_sim_backend_new(eep_execution_predictor(execution, 0));
    gboolean is_replay = journal != NULL && eep_journal_is_replay(journal);
    EepExecutionParts parts = {.clock =
                                   is_replay ? eep_clock_replay_new(TRUE) : eep_clock_virtual_new(),
                               .backend = backend,
                               .injector = eep_sim_backend_injector(backend),
                               .observer = observer,
                               .journal = journal};

    for (guint i = 0; i < scenario->n_pools; i++)
        eep_sim_backend_set_predictor(backend, i, eep_execution_predictor(execution, i));
    if (!eep_execution_put_together(execution, &parts, error))
        return NULL;
    return g_steal_pointer(&execution);
}
