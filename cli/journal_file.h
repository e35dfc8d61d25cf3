/* EepJournalFile: a journal in a file.
 *
 * Recording writes to the file as the run goes on. A replay reads it whole and refuses one that was
 * recorded from another scenario, seed or program version; a torn tail is left out with a warning.
 * Owned by its opener. */
#ifndef EEP_CLI_JOURNAL_FILE_H
#define EEP_CLI_JOURNAL_FILE_H

#include "cli/run_facts.h"
#include "core/loop/journal.h"

G_BEGIN_DECLS

typedef struct EepJournalFile EepJournalFile;

EepJournalFile *eep_journal_file_create(const char *path, const EepRunFacts *facts, GError **error);
EepJournalFile *eep_journal_file_open(const char *path, const EepRunFacts *facts, GError **error);
EepJournal *eep_journal_file_journal(EepJournalFile *file);

/* Writes what is left. Nothing happens for a replay. */
gboolean eep_journal_file_close(EepJournalFile *file, GError **error);
void eep_journal_file_free(EepJournalFile *file); /* NULL is allowed */

G_END_DECLS

#endif
