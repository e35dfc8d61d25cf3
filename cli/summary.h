/* EepSummary: summary.json, every figure of a run under its name.
 *
 * Written from the metrics and the caller's facts, then the scenario's expectations are judged by
 * what was written. Equal runs give equal bytes: no path, host, date or duration of the host is in
 * it. Not the screen (summary_screen.h). Keys: docs/run-folder.md, docs/schema. Owned by its
 * creator; one thread. */
#ifndef EEP_CLI_SUMMARY_H
#define EEP_CLI_SUMMARY_H

#include "cli/expect.h"
#include "cli/run_facts.h"
#include "core/text.h"

G_BEGIN_DECLS

typedef struct {
    char *json;              /* text of summary.json */
    GPtrArray *expectations; /* EepExpectation, in the scenario's order */
    gboolean is_expected;    /* none was missed: exit 0, else 3 */
} EepSummary;

/* `metrics` are finished. NULL with an error (EEP_OPTION_ERROR) for an expectation that cannot be
 * judged. */
EepSummary *eep_summary_new(const EepMetrics *metrics, const EepRunFacts *facts, GError **error);
void eep_summary_free(EepSummary *summary);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepSummary, eep_summary_free)

/* Appends the JSON; `expectations` (EepExpectation) is nullable. */
void eep_summary_write(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts,
                       const GPtrArray *expectations);

G_END_DECLS

#endif
