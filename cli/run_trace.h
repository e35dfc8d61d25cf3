/* trace.json: a run for the Perfetto viewer, as Chrome trace events.
 *
 * One process a pool: a track of resizes, one of faults, one for each rank that takes part in a
 * resize, with its phases; counters of engines and of running and waiting requests an interval;
 * steps where they were asked for. `otherData` says whose times these are. Pure formatters that
 * append to a text; times are microseconds with three decimals, exact. */
#ifndef EEP_CLI_RUN_TRACE_H
#define EEP_CLI_RUN_TRACE_H

#include "cli/run_facts.h"
#include "core/metrics.h"
#include "core/text.h"

G_BEGIN_DECLS

/* The opening, up to where events are appended. */
void eep_run_trace_begin(EepText *text);

void eep_run_trace_add_step(EepText *text, const EepStepRecord *step);

/* Everything else, what kind of run it was, and the closing. */
void eep_run_trace_end(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts);

G_END_DECLS

#endif
