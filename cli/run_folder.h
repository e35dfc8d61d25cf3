/* EepRunFolder: the folder that a run leaves behind.
 *
 * Chooses the folder, writes the tables while the run goes on and the rest at its end. Every file
 * is written under a hidden name and named at the end, summary.json last, so that a folder with a
 * summary.json is whole; when something cannot be written, or the folder is freed before it is
 * finished, nothing of this run stays and an earlier run in the folder is untouched. What each file
 * holds: docs/run-folder.md. Nothing but wallclock.json depends on the host. Not a reader of run
 * folders. Owned by its opener, who frees it after the deployment; loop thread only. */
#ifndef EEP_CLI_RUN_FOLDER_H
#define EEP_CLI_RUN_FOLDER_H

#include "cli/run_facts.h"
#include "cli/summary.h"
#include "core/run_options.h"

G_BEGIN_DECLS

typedef struct EepRunFolder EepRunFolder;

typedef struct {
    EepOutputEvents events;   /* what events.jsonl holds; with steps, trace.json holds them too */
    const char *const *pools; /* names by pool id; borrowed for the folder's life */
    guint n_pools;
} EepRunFolderOptions;

/* `out` NULL: runs/NAME, NAME-2, ... below the current folder. Else `out`, which is made, or is
 * empty, or holds an earlier run, which this one will replace. NULL with an error: G_FILE_ERROR
 * (bad input) when the folder is refused, EEP_OUTPUT_ERROR when it cannot be made or written to. */
EepRunFolder *eep_run_folder_open(const char *out, const char *name,
                                  const EepRunFolderOptions *options, GError **error);

/* NULL is allowed. A folder that this run made and did not finish goes. */
void eep_run_folder_free(EepRunFolder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepRunFolder, eep_run_folder_free)

EepObserver *eep_run_folder_observer(EepRunFolder *folder);

/* What has happened so far can be read in the hidden events.jsonl. */
void eep_run_folder_flush(EepRunFolder *folder);

/* As the user would write it: "runs/burst-elastic-2". */
const char *eep_run_folder_path(const EepRunFolder *folder);

/* TRUE when runs/latest will point to it. */
gboolean eep_run_folder_has_link(const EepRunFolder *folder);

/* Writes what is left and names all files. FALSE with an EEP_OUTPUT_ERROR: the run then leaves
 * nothing. Once only. */
gboolean eep_run_folder_finish(EepRunFolder *folder, const EepMetrics *metrics,
                               const EepRunFacts *facts, const EepSummary *summary, GError **error);

G_END_DECLS

#endif
