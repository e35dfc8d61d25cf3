/* EepSkewRecords: the files of expert load that a scenario's skew names, read.
 *
 * Both are NULL where the scenario names none. Not the file format (traces/load_file.h) and not
 * popularity (core/skew.h), which is made of them here, as often as it is needed. Owned by whoever
 * read them; a skew does not look at them once it is made. */
#ifndef EEP_CLI_SKEW_RECORDS_H
#define EEP_CLI_SKEW_RECORDS_H

#include "core/load_record.h"
#include "scenarios/scenario.h"

G_BEGIN_DECLS

typedef struct {
    EepLoadRecord *load, *shifted; /* skew.load, skew.drift.load */
} EepSkewRecords;

/* Reads the files and tries whether a skew comes of them. NULL with an error that names the place
 * in the file or in the scenario, a bad input. */
EepSkewRecords *eep_skew_records_read(const EepScenario *scenario, GError **error);
void eep_skew_records_free(EepSkewRecords *records); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepSkewRecords, eep_skew_records_free)

/* A skew of the scenario; never NULL. */
EepSkew *eep_skew_records_make_skew(const EepSkewRecords *records, const EepScenario *scenario);

G_END_DECLS

#endif
