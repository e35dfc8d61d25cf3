/* EepCompareRuns: runs side by side, by their summary.json.
 *
 * The first run is the base; every other one is shown with its difference, absolute and in per
 * cent. Runs are comparable when they had the same seed and the same traffic. Reads summaries only,
 * but of a simulation beside a run on workers, whose scenarios must be the same (cli/parity.h).
 * Owned by its opener; one thread. */
#ifndef EEP_CLI_COMPARE_RUNS_H
#define EEP_CLI_COMPARE_RUNS_H

#include "cli/parity.h"
#include "core/text.h"

G_BEGIN_DECLS

typedef struct EepCompareRuns EepCompareRuns;

/* Reads the run folders (or summary.json files) of `paths` [n_paths >= 2]. With `force`, runs of
 * different seeds, traffic or scenarios are taken too. NULL with a G_FILE_ERROR that says which
 * folder is not a run, or how the runs differ. */
EepCompareRuns *eep_compare_runs_open(const char *const *paths, guint n_paths, gboolean force,
                                      GError **error);
void eep_compare_runs_free(EepCompareRuns *compare); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepCompareRuns, eep_compare_runs_free)

/* NULL where that is not what is compared; owned by `compare`. */
EepParity *eep_compare_runs_parity(const EepCompareRuns *compare);

/* A table for people, at most 100 columns wide for up to three runs. */
void eep_compare_runs_add_table(const EepCompareRuns *compare, EepText *text);

/* {"runs": [...], "same_traffic": ..., "figures": [{key, values, delta, delta_percent}],
 * "resizes": [{id, generation, outcome, figures}], "incidents": [...]}; arrays are in the order of
 * the runs, deltas of the base are null. "parity" of a simulation beside a run on workers. */
void eep_compare_runs_add_json(const EepCompareRuns *compare, EepText *text);

G_END_DECLS

#endif
