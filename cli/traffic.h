/* The requests that a scenario asks for, as a trace: opened from its file or generated.
 *
 * Turns scenarios/traffic_options.h into the options of traces/. No retries, no clients. */
#ifndef EEP_CLI_TRAFFIC_H
#define EEP_CLI_TRAFFIC_H

#include "scenarios/scenario.h"
#include "traces/trace.h"

G_BEGIN_DECLS

/* The trace; NULL with an error that says what to get when the file is not there. Free with
 * eep_trace_free(). Generated traffic draws from the scenario's seed. */
EepTrace *eep_traffic_open(const EepScenario *scenario, GError **error);

G_END_DECLS

#endif
