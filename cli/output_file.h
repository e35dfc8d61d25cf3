/* EepOutputFile: one file of a run folder that has its name only when it is whole.
 *
 * Written through a buffer into a hidden file beside its place; eep_output_file_publish() gives it
 * its name. A failed write is remembered and told at the close, so that writers in the middle of a
 * run need not look. Not for files that others read while they grow. Owned by its opener; one
 * thread. */
#ifndef EEP_CLI_OUTPUT_FILE_H
#define EEP_CLI_OUTPUT_FILE_H

#include "core/text.h"

G_BEGIN_DECLS

typedef struct EepOutputFile EepOutputFile;

/* Files that could not be written: exit 1. */
#define EEP_OUTPUT_ERROR (eep_output_error_quark())
GQuark eep_output_error_quark(void);
typedef enum { EEP_OUTPUT_ERROR_WRITE } EepOutputError;

/* Opens the hidden file for `folder`/`name`; one left over by a run that was killed is replaced. */
EepOutputFile *eep_output_file_open(const char *folder, const char *name, GError **error);

/* Closes, and removes what was not published. NULL is allowed. */
void eep_output_file_free(EepOutputFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepOutputFile, eep_output_file_free)

/* Where to append. Call eep_output_file_added() after each row. */
EepText *eep_output_file_text(EepOutputFile *file);

/* Writes the buffer out when it is large. */
void eep_output_file_added(EepOutputFile *file);

/* Writes the buffer out, for whoever follows the file; an error is told when it is closed. */
void eep_output_file_flush(EepOutputFile *file);

/* Writes what is left and closes. FALSE with the first error of all writes. */
gboolean eep_output_file_close(EepOutputFile *file, GError **error);

/* Gives the closed file its name, in place of an older one. */
gboolean eep_output_file_publish(EepOutputFile *file, GError **error);

/* The hidden name of a file; new string. */
char *eep_output_file_hidden_name(const char *name);

G_END_DECLS

#endif
