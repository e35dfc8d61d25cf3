/* What keys mean together: sizes that must divide, features that exclude each other, vLLM's rules
 * for elastic expert parallelism, and the memory fit. Called by the loader on a filled scenario. */
#ifndef EEP_SCENARIOS_SCENARIO_CHECK_H
#define EEP_SCENARIOS_SCENARIO_CHECK_H

#include "scenarios/scenario.h"

G_BEGIN_DECLS

/* All rules; the first that is broken is the error. Resolves limits, the pools of events and the
 * number of nodes, and fills each pool's memory fit. Events must be in the file's order. */
gboolean eep_scenario_check(EepScenario *scenario, GError **error);

/* The rules of traffic, run and measure, for the above. */
gboolean eep_scenario_check_traffic(const EepScenario *scenario, GError **error);

/* FALSE when a run that reaches `end` is too long for its time line or for EepTime. */
gboolean eep_scenario_check_length(const EepScenario *scenario, EepTime end, GError **error);

/* The `expect` comparison: KEY OP VALUE with OP one of < <= > >= == !=. */
gboolean eep_scenario_check_expect(const char *text, GError **error);

G_END_DECLS

#endif
