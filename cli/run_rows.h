/* The rows of a run folder's tables: requests.csv, events.jsonl and timeline.csv.
 *
 * Pure formatters: each appends one row, or the whole time line, to a text. Columns and members are
 * those of docs/run-folder.md. Values that are absent are empty cells. One thread. */
#ifndef EEP_CLI_RUN_ROWS_H
#define EEP_CLI_RUN_ROWS_H

#include "core/metrics.h"
#include "core/text.h"

G_BEGIN_DECLS

extern const char eep_run_rows_requests_header[];
extern const char eep_run_rows_timeline_header[];

/* `pool` is a name. Times in ms are exact: ns / 10^6; TPOT is rounded to the nanosecond. */
void eep_run_rows_add_request(EepText *text, const EepRequest *request, const char *pool,
                              EepTime now);

/* One line of events.jsonl each. */
void eep_run_rows_add_decision(EepText *text, EepTime now, const char *pool, const char *what,
                               const EepFact *facts, guint n_facts);
void eep_run_rows_add_request_event(EepText *text, const EepRequest *request, const char *pool,
                                    EepTime now);
void eep_run_rows_add_step_event(EepText *text, const EepStepRecord *step, const char *pool);

/* All rows: interval by interval, its pools one after another. */
void eep_run_rows_add_timeline(EepText *text, const EepMetrics *metrics, const char *const *pools,
                               guint n_pools);

G_END_DECLS

#endif
