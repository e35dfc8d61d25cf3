/* EepCommand: one command of `eep`, and what all of them share.
 *
 * Each command is a function in a file of its own; main.c holds their table. A command parses its
 * own arguments with eep_command_parse() and hands every error to eep_command_fail(), the only
 * place that prints one. Not a parser of scenarios. One thread; nothing here is owned by a command
 * unless a function says so. */
#ifndef EEP_CLI_COMMAND_H
#define EEP_CLI_COMMAND_H

#include "core/text.h"

#include <stdio.h>

G_BEGIN_DECLS

/* Exit statuses of the program. */
typedef enum {
    EEP_EXIT_DONE = 0,
    EEP_EXIT_FAILED = 1,      /* the run failed or an invariant broke */
    EEP_EXIT_USAGE = 2,       /* bad input or usage */
    EEP_EXIT_EXPECTATION = 3, /* the run is right and an `expect` was missed */
    EEP_EXIT_INTERRUPTED = 130,
} EepExit;

typedef struct {
    const char *name;    /* "run" */
    const char *usage;   /* what follows the name: "SCENARIO [--set KEY=VALUE]…"; may be "" */
    const char *summary; /* one line, for the list of commands */
    const char *help;    /* lines after the usage; without a final line feed */
    /* argv[0] is the command's name; returns the exit status (an EepExit). */
    int (*run)(int argc, char **argv);
} EepCommand;

/* Errors of usage: unknown words, missing arguments, files that are not there. Exit 2, as are
 * EEP_OPTION_ERROR, G_OPTION_ERROR, G_FILE_ERROR, EEP_TRACE_ERROR and a damaged journal. */
#define EEP_COMMAND_ERROR (eep_command_error_quark())
GQuark eep_command_error_quark(void);
typedef enum {
    EEP_COMMAND_ERROR_USAGE,      /* bad input or usage: exit 2 */
    EEP_COMMAND_ERROR_FAILED,     /* the command could not do its work: exit 1 */
    EEP_COMMAND_ERROR_INTERRUPTED /* the user wanted no more of it: exit 130 */
} EepCommandError;

/* Parses the options of the command argv[0] in place: afterwards (*argv)[1..*argc - 1] are the
 * plain arguments, of which there must be min_arguments to max_arguments. `entries` is
 * NULL-terminated;
 * --help is added. FALSE: the command returns *ret_exit at once (help was printed, or an error).
 * Strings that options took are the command's to free. */
gboolean eep_command_parse(const GOptionEntry *entries, int min_arguments, int max_arguments,
                           int *argc, char ***argv, int *ret_exit);

/* Prints the error on stderr and frees it. A message that says where it is from (FILE:LINE:COL: …)
 * keeps its form, others get the program's name in front. Returns the exit status. */
int eep_command_fail(GError *error);

/* Adds a line, as printf would, without blanks at its end. */
void eep_command_add_line(EepText *text, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Writes the text to stdout and empties it. Returns EEP_EXIT_DONE, or what eep_command_fail() says
 * when stdout could not be written. */
int eep_command_print(EepText *text);

/* ANSI colour is wanted on this stream: a terminal, TERM is not "dumb" and NO_COLOR not set. */
gboolean eep_command_is_coloured(FILE *stream);

int eep_command_run(int argc, char **argv);
int eep_command_init(int argc, char **argv);
int eep_command_check(int argc, char **argv);
int eep_command_explain(int argc, char **argv);
int eep_command_list(int argc, char **argv);
int eep_command_show(int argc, char **argv);
int eep_command_plot(int argc, char **argv);
int eep_command_compare(int argc, char **argv);
int eep_command_eplb(int argc, char **argv);
int eep_command_explore(int argc, char **argv);
int eep_command_worker(int argc, char **argv);
int eep_command_generations(int argc, char **argv);
int eep_command_calibrate(int argc, char **argv);

/* Commands of two words, "eplb place": those of `eep eplb`, with a last row of NULLs. */
extern const EepCommand eep_eplb_commands[];

G_END_DECLS

#endif
