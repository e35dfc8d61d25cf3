/* EepRunNotes: an observer that keeps what a run was told to do and could not: events whose moment
 * never came, faults whose target was not there, cancels that came too late.
 *
 * For the summary's notes; events.jsonl has each with its facts. Not for what fails and is recorded
 * as a resize or an incident. Owned by its creator, who frees it after the deployment; loop thread
 * only. */
#ifndef EEP_CLI_RUN_NOTES_H
#define EEP_CLI_RUN_NOTES_H

#include "core/observer.h"

G_BEGIN_DECLS

typedef struct EepRunNotes EepRunNotes;

EepRunNotes *eep_run_notes_new(void);
void eep_run_notes_free(EepRunNotes *notes);

/* The notes as an observer; valid for their life. */
EepObserver *eep_run_notes_observer(EepRunNotes *notes);

/* Appends a new string for each, in the order of the run. */
void eep_run_notes_add(const EepRunNotes *notes, GPtrArray *ret_notes);

G_END_DECLS

#endif
