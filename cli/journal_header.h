/* The header of a run's journal: what decides the run, and how two of them differ.
 *
 * Two runs with equal headers decide alike when they are told the same. JSON text; the journal
 * keeps it as it is. Not the journal (core/loop/journal.h). Pure functions. */
#ifndef EEP_CLI_JOURNAL_HEADER_H
#define EEP_CLI_JOURNAL_HEADER_H

#include "cli/run_facts.h"

G_BEGIN_DECLS

char *eep_journal_header_new(const EepRunFacts *facts); /* new string */

/* Where the run was recorded, "SIMULATED", "EMULATED" or "GPU"; NULL when the header does not say.
 * New string. */
char *eep_journal_header_label(const char *header);

/* The first difference in words, NULL for equal headers. New string. */
char *eep_journal_header_difference(const char *recorded, const char *header);

G_END_DECLS

#endif
