/* EepScenarioFacts: what a run's results say of the scenario they come from.
 *
 * Fills the part of EepRunFacts that the scenario decides: names, digests, the bases of the figures
 * that the results rest on. Owned by its maker; the EepRunFacts that it filled borrows from it. */
#ifndef EEP_CLI_SCENARIO_FACTS_H
#define EEP_CLI_SCENARIO_FACTS_H

#include "cli/run_facts.h"
#include "scenarios/scenario.h"

G_BEGIN_DECLS

typedef struct EepScenarioFacts EepScenarioFacts;

/* Reads the trace once for its digest. NULL with an error when it cannot be read. */
EepScenarioFacts *eep_scenario_facts_new(const EepScenario *scenario, GError **error);
void eep_scenario_facts_free(EepScenarioFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepScenarioFacts, eep_scenario_facts_free)

/* Everything but version, notes, interruption and wall clock. */
void eep_scenario_facts_fill(const EepScenarioFacts *facts, EepRunFacts *ret_facts);

G_END_DECLS

#endif
