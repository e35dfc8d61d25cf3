/* eep eplb: the table of its commands. */
#include "cli/eplb_commands.h"

#include "core/suggest.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#define SIZES  "[--replicas R] [--gpus D] [--groups G] [--nodes N]"
#define INDENT "\n           "
#define LOAD_HELP                                                                                  \
    "FILE: JSON with weight, logical_count or counts, [layers][experts] or "                       \
    "[windows][layers][experts];\nCSV window,layer,e0,...; or raw routes (*.u8); gzip or plain.\n"

const EepCommand eep_eplb_commands[] = {
    {"eplb place",
     "--load FILE [--model NAME] [--policy NAME]" INDENT SIZES INDENT
     "[--from OLDMAP] [--expert-bytes N] [--budget BYTES] [--active-ranks LIST]" INDENT
     "[--out FILE] [--csv FILE] [--plot DIR]",
     "a map of experts for the loads of a file",
     LOAD_HELP
     "Sizes may stand in the file: num_replicas, num_groups, num_nodes, num_gpus, active_ranks,\n"
     "expert_bytes; flags override them. The map is printed as JSON.",
     eep_command_eplb_place},
    {"eplb compare",
     "--load FILE [--model NAME] [--policies LIST] [--train N]" INDENT SIZES INDENT
     "[--from OLDMAP] [--expert-bytes N] [--budget BYTES] [--plot DIR] [--json]",
     "all policies on one sequence of loads",
     LOAD_HELP
     "Each policy plans on the windows before and is scored on the next one, from the map "
     "that it made.",
     eep_command_eplb_compare},
    {"eplb replay",
     "--load FILE --model NAME [--hardware NAME] [--policy LIST] [--trigger LIST]" INDENT SIZES
         INDENT "[--from OLDMAP] [--budget BYTES] [--plot DIR] [--json]",
     "recorded loads through policies and triggers: step time saved minus cost",
     LOAD_HELP "Each window stands for so many steps; their experts' time is the cost models', as "
               "is that of the\nmoves. Sizes as for `eep eplb place`.",
     eep_command_eplb_replay},
    {"eplb fit", "--load FILE [--model NAME] [--against FILE] [--window-time TIME] [--json]",
     "the skew of a scenario that recorded loads have",
     LOAD_HELP "Laws and drift are estimated, and the lines of a scenario printed that say them.",
     eep_command_eplb_fit},
    {NULL, NULL, NULL, NULL, NULL},
};

int eep_command_eplb(int argc, char **argv)
{
    const GOptionEntry none[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &(gboolean){FALSE}, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    const char *names[8] = {NULL};
    int at = 1, status;

    while (at < argc && strcmp(argv[at], "--json") == 0)
        at++;
    if (at == argc || argv[at][0] == '-') {
        if (eep_command_parse(none, 1, 1, &argc, &argv, &status))
            status = EEP_EXIT_USAGE;
        return status;
    }
    for (const EepCommand *command = eep_eplb_commands; command->name != NULL; command++) {
        const char *word = command->name + strlen("eplb ");
        names[command - eep_eplb_commands] = word;
        if (strcmp(word, argv[at]) != 0)
            continue;
        /* The command sees its name and what follows it; a leading --json comes after the name. */
        if (at > 1)
            argv[at--] = (char *)"--json";
        argv[at] = (char *)command->name;
        return command->run(argc - at, argv + at);
    }
    const char *nearest = eep_suggest_nearest(argv[at], names);
    g_autofree char *known = g_strjoinv(", ", (char **)names);
    return eep_command_fail(g_error_new(
        EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "there is no command eplb %s: %s%s%s", argv[at],
        known, nearest != NULL ? "; did you mean eep eplb " : "", nearest != NULL ? nearest : ""));
}

/* For devices, pipes and links such as /dev/stdout: a new file in their place would end them. */
static gboolean write_through(const char *path, const char *data, gsize length, GError **error)
{
    FILE *file = fopen(path, "we");
    gboolean good = file != NULL && fwrite(data, 1, length, file) == length;
    int saved = errno;

    if (file != NULL && fclose(file) != 0 && good) {
        saved = errno;
        good = FALSE;
    }
    if (!good)
        g_set_error_literal(error, G_FILE_ERROR, (gint)g_file_error_from_errno(saved),
                            g_strerror(saved));
    return good;
}

gboolean eep_eplb_write_file(const char *path, const EepText *text, GError **error)
{
    const char *data = text->data != NULL ? text->data : "";
    GError *local = NULL;
    GStatBuf found;

    if (g_lstat(path, &found) == 0 && !S_ISREG(found.st_mode)
            ? write_through(path, data, text->length, &local)
            : g_file_set_contents(path, data, (gssize)text->length, &local))
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED, "%s: cannot be written: %s",
                path, local->message);
    g_error_free(local);
    return FALSE;
}

int eep_eplb_command(const GOptionEntry *entries, int argc, char **argv, EepEplbAnswer answer,
                     gconstpointer options, char *const *out)
{
    g_auto(EepText) text = {0};
    GError *error = NULL;
    int status;

    if (!eep_command_parse(entries, 0, 0, &argc, &argv, &status))
        return status;
    if (!answer(options, &text, &error))
        return eep_command_fail(error);
    if (out == NULL || *out == NULL)
        return eep_command_print(&text);
    return eep_eplb_write_file(*out, &text, &error) ? EEP_EXIT_DONE : eep_command_fail(error);
}
