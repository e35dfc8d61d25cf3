/* What keys mean together: sizes that must divide, features that exclude each other, vLLM's rules
 * for elastic expert parallelism, and the memory fit. Called by the loader on a filled scenario. */
#ifndef EEP_SCENARIOS_SCENARIO_CHECK_H
#define EEP_SCENARIOS_SCENARIO_CHECK_H

#include "scenarios/scenario.h"

G_BEGIN_DECLS

/* All rules; the first that is broken is the error. Resolves limits, the pools of events and the
 * number of nodes, and fills each pool's memory fit. Events must be in the file's order. */
gboolean eep_scenario_check(EepScenario *scenario, GError **error);

/* The rules of one pool's resizes and recoveries, and those of all events. The latter resolve
 * kinds, targets, pools and the earliest times of events, and the number of nodes. */
gboolean eep_scenario_check_resizing(EepScenario *scenario, EepScenarioPool *pool, GError **error);
gboolean eep_scenario_check_events(EepScenario *scenario, GError **error);

/* Phases that resolved events wait for or break: those that no resize or recovery has are refused.
 */
gboolean eep_scenario_check_phases(const EepScenario *scenario, GError **error);

/* What an all-to-all backend can span; `node` is the key that asks for so many ranks. */
gboolean eep_scenario_check_ranks(const EepScenario *scenario, const EepPoolOptions *options,
                                  gint64 ranks, const EepYaml *node, GError **error);

/* The memory of a pool of `engines`, which a restart with refit launches with other slots. */
gboolean eep_scenario_fit(const EepScenario *scenario, const EepScenarioPool *pool, gint64 engines,
                          EepMemoryFit *ret_fit, GError **error);

/* Fewest engines whose slots hold all experts; most that the pool is ever told to have; GPUs that a
 * pool of `engines` takes with those that it keeps in reserve. */
gint64 eep_scenario_least_engines(const EepScenario *scenario, const EepScenarioPool *pool);
gint64 eep_scenario_most_engines(const EepScenario *scenario, const EepScenarioPool *pool);
gint64 eep_scenario_gpus(const EepScenarioPool *pool, gint64 engines);

/* What a reader should know of a scenario that can run, in at most 88 characters; once. */
void eep_scenario_note(EepScenario *scenario, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Notes which keys nobody reads, as others choose a way without them. */
void eep_scenario_note_idle_keys(EepScenario *scenario);

/* The rules of traffic, run and measure, for the above. */
gboolean eep_scenario_check_traffic(const EepScenario *scenario, GError **error);

/* FALSE when a run that reaches `end` is too long for its time line or for EepTime. */
gboolean eep_scenario_check_length(const EepScenario *scenario, EepTime end, GError **error);

/* The `expect` comparison: KEY OP VALUE with OP one of < <= > >= == !=. */
gboolean eep_scenario_check_expect(const char *text, GError **error);

G_END_DECLS

#endif
