/* EepJournalFile: a journal in a file.
 *
 * Recording writes to the file as the run goes on. A replay reads it whole; a torn tail is left out
 * with a warning, and what was recorded from another run is refused with the first difference.
 * Owned by its opener. */
#ifndef EEP_CLI_JOURNAL_FILE_H
#define EEP_CLI_JOURNAL_FILE_H

#include "cli/run_facts.h"
#include "core/loop/journal.h"

G_BEGIN_DECLS

typedef struct EepJournalFile EepJournalFile;

EepJournalFile *eep_journal_file_create(const char *path, const EepRunFacts *facts, GError **error);

/* For a replay: opened first, since it says where the run was recorded; then checked. */
EepJournalFile *eep_journal_file_open(const char *path, GError **error);
char *eep_journal_file_label(const EepJournalFile *file); /* new string, or NULL */
gboolean eep_journal_file_check(const EepJournalFile *file, const EepRunFacts *facts,
                                GError **error);

EepJournal *eep_journal_file_journal(EepJournalFile *file);

/* Writes what is left. Nothing happens for a replay. */
gboolean eep_journal_file_close(EepJournalFile *file, GError **error);
void eep_journal_file_free(EepJournalFile *file); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepJournalFile, eep_journal_file_free)

G_END_DECLS

#endif
