/* The commands of `eep eplb`, a file each, and what they share. Not their input (eplb_input.h) nor
 * their pictures (eplb_picture.h). Main thread. */
#ifndef EEP_CLI_EPLB_COMMANDS_H
#define EEP_CLI_EPLB_COMMANDS_H

#include "cli/command.h"

G_BEGIN_DECLS

int eep_command_eplb_place(int argc, char **argv);
int eep_command_eplb_compare(int argc, char **argv);
int eep_command_eplb_replay(int argc, char **argv);
int eep_command_eplb_fit(int argc, char **argv);

/* What one of them answers, into `text`; FALSE with an error. */
typedef gboolean (*EepEplbAnswer)(gconstpointer options, EepText *text, GError **error);

/* Reads the arguments into what `entries` point to, which is in `options`, and prints the answer,
 * or writes it to the file that *out then names (`out` and *out may be NULL). The exit status. */
int eep_eplb_command(const GOptionEntry *entries, int argc, char **argv, EepEplbAnswer answer,
                     gconstpointer options, char *const *out);

/* The text into the file, in place of an older one; what is no file (a device, a pipe, a link) is
 * written through. FALSE with an error of exit status 1. */
gboolean eep_eplb_write_file(const char *path, const EepText *text, GError **error);

G_END_DECLS

#endif
