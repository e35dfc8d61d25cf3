/* eep: the table of commands, --help and --version, and the one place that prints errors. */
#include "cli/command.h"
#include "cli/data.h"
#include "core/json.h"
#include "core/loop/journal.h"
#include "core/options.h"
#include "core/suggest.h"
#include "traces/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#define THINGS "models|hardware|generations|recoveries|policies|all2all-backends|scenarios"

static const EepCommand commands[] = {
    {"run", "SCENARIO [--set KEY=VALUE]... [--out DIR] [--seed N] [--json] [--quiet]",
     "run a scenario and print its summary",
     "SCENARIO is a file or the name of a bundled scenario (eep list scenarios).\n"
     "Without --out the run folder is runs/NAME, NAME-2, ...; runs/latest points to it.\n"
     "--backend cuda runs it on worker processes: on this host's GPUs, without any with --device\n"
     "emulated, or with --workers wait on those that `eep worker` starts elsewhere.",
     eep_command_run},
    {"init", "[NAME] [--json]", "copy a bundled scenario into the current folder",
     "Writes NAME.yaml, a commented scenario to change and run; quickstart without a NAME.\n"
     "A file that exists is never replaced.",
     eep_command_init},
    {"check", "SCENARIO [--set KEY=VALUE]... [--json]",
     "say whether a scenario can run, without running it",
     "Reads and resolves it: memory, the range of sizes the deployment can take, every event, and\n"
     "how much there is to simulate.",
     eep_command_check},
    {"explain", "[KEY] [--json] [--markdown]", "what a scenario key means",
     "Type, unit, default and bounds of KEY, or of all keys below it; without KEY all keys.\n"
     "--json prints the keys as a JSON Schema, --markdown as docs/scenario.md.",
     eep_command_explain},
    {"list", THINGS " [--json]", "the names that are known", "For example: eep list models",
     eep_command_list},
    {"show", THINGS " NAME [--json]", "one of them in full",
     "Every figure of a profile with its basis and source. For example: eep show models "
     "deepseek-v3",
     eep_command_show},
    {"plot", "RUN [--json]", "draw the pictures of a run folder",
     "Writes RUN/plots/*.png and *.svg with gnuplot. RUN is a run folder, for example runs/latest.",
     eep_command_plot},
    {"compare", "RUN RUN... [--force] [--plot FOLDER] [--json]", "put runs side by side",
     "The first RUN is the base. Runs of other traffic or another seed need --force. A simulation\n"
     "beside a run on workers also gets ratios of phases, steps and latencies.",
     eep_command_compare},
    {"generations",
     "[--steps LIST] [--traffic LIST] [--backend LIST] [--generation LIST] [--sensitivity] "
     "[--brief] [--json]",
     "put all generations of resizes side by side",
     "Simulates every resize of a table, generation by step by traffic by backend, on the bundled\n"
     "scenarios resize-v2-lite and resize-v3-gb200, all at one set of costs. Lists have commas.",
     eep_command_generations},
    {"eplb", "place|compare|replay|fit ... [--json]", "place experts by recorded loads",
     "  place    a map of experts for the loads of a file\n"
     "  compare  all policies on one sequence of loads\n"
     "  replay   recorded loads through policies and triggers: step time saved minus cost\n"
     "  fit      the skew of a scenario that recorded loads have\n"
     "`eep eplb place --help` says more of one of them.",
     eep_command_eplb},
    {"explore", "[--generation NAME|all] [--engines A..B] [--faults K] [--deep] [--json]",
     "go through every interleaving of events of small resizes",
     "Drives the resize machine through all that may happen in any order, with up to K faults at\n"
     "any point, and checks every state. Exit 0: exhausted and clean; 1: a violation, printed as\n"
     "the shortest sequence of events. --plant puts in a bug of --list-plants.",
     eep_command_explore},
    {"worker", "--connect HOST:PORT [--token HEX] [--rank N] [--device N] [--emulated]",
     "be one GPU at the service of a run on workers",
     "Becomes eep-worker (with --emulated eep-worker-emulated), found beside eep or named by\n"
     "EEP_WORKER, with the same options. Launchers' variables stand in for what is not given.",
     eep_command_worker},
    {"calibrate",
     "[--device gpu|emulated] [--ranks N] [--model PROFILE] [--base PROFILE] [--out DIR] [--quick] "
     "[--json]",
     "measure the devices at hand and write a hardware profile",
     "Starts N workers on this host and times GEMMs, memory, launches, collectives, copies,\n"
     "communicators and captures. DIR/NAME.yaml is a profile for hardware.profile, "
     "DIR/samples.csv\n"
     "has every sample.",
     eep_command_calibrate},
};

/* Commands of the format's description that this version does not have yet. */
static const char *const later[] = {"report", "trace", "cost",   "validate",
                                    "sweep",  "serve", "import", NULL};

G_DEFINE_QUARK(eep - command - error - quark, eep_command_error)

static const EepCommand *find_command(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    for (const EepCommand *command = eep_eplb_commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

int eep_command_fail(GError *error)
{
    gboolean is_input = error->domain == G_OPTION_ERROR || error->domain == EEP_OPTION_ERROR ||
                        error->domain == G_FILE_ERROR || error->domain == EEP_TRACE_ERROR ||
                        g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT) ||
                        g_error_matches(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE);
    /* FILE:LINE:COL: is for editors to read, so nothing stands before it. */
    gboolean has_place = g_regex_match_simple("^[^\n]*?:[0-9]+:[0-9]+: ", error->message, 0, 0);
    gboolean colour = eep_command_is_coloured(stderr);
    gsize length = strlen(error->message);
    gboolean ended = length > 0 && error->message[length - 1] == '\n';

    fprintf(stderr, "%s%s%s%s%s", colour ? "\033[31m" : "",
            has_place ? "" : "eep: ", error->message, colour ? "\033[0m" : "", ended ? "" : "\n");
    g_error_free(error);
    return is_input ? EEP_EXIT_USAGE : EEP_EXIT_FAILED;
}

void eep_command_add_line(EepText *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    eep_text_add_string(text, g_strchomp(line));
    eep_text_add_char(text, '\n');
}

int eep_command_print(EepText *text)
{
    gboolean written = fwrite(text->data, 1, text->length, stdout) == text->length;
    eep_text_reset(text);
    if (fflush(stdout) == 0 && written)
        return EEP_EXIT_DONE;
    return eep_command_fail(g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED,
                                        "cannot write to standard output: %s", g_strerror(errno)));
}

gboolean eep_command_is_coloured(FILE *stream)
{
    const char *no_color = g_getenv("NO_COLOR");
    return (no_color == NULL || *no_color == '\0') && g_strcmp0(g_getenv("TERM"), "dumb") != 0 &&
           isatty(fileno(stream));
}

/* usage(), for an argument list that does not fit. */
static int fail_usage(const char *name, const char *problem)
{
    return eep_command_fail(g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                                        "%s: %s: eep %s %s; try `eep %s --help`", name, problem,
                                        name, find_command(name)->usage, name));
}

/* GLib names the unknown option at the end of its message. */
static int fail_option(const char *name, const GOptionEntry *entries, GError *error)
{
    const char *unknown = strrchr(error->message, ' ') + 1;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++)
        g_ptr_array_add(names, g_strconcat("--", entry->long_name, NULL));
    g_ptr_array_add(names, g_strdup("--help"));
    g_ptr_array_add(names, NULL);
    if (!g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION)) {
        g_prefix_error(&error, "%s: ", name);
        return eep_command_fail(error);
    }
    const char *nearest = eep_suggest_nearest(unknown, (const char *const *)names->pdata);
    g_autofree char *all = g_strjoinv(" ", (char **)names->pdata);
    GError *better = g_error_new(
        EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s: unknown option %s: %s%s%s", name, unknown,
        all, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
    g_error_free(error);
    return eep_command_fail(better);
}

static char *flag_of(const GOptionEntry *entry)
{
    return entry->arg_description == NULL
               ? g_strdup_printf("--%s", entry->long_name)
               : g_strdup_printf("--%s %s", entry->long_name, entry->arg_description);
}

static int print_command_help(const EepCommand *command, const GOptionEntry *entries)
{
    g_auto(EepText) text = {0};
    g_autofree char *head = g_strdup_printf("Usage: eep %s %s\n\n%s\n\nOptions:\n", command->name,
                                            command->usage, command->help);

    gsize width = 0;

    eep_text_add_string(&text, head);
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++) {
        g_autofree char *flag = flag_of(entry);

        width = MAX(width, strlen(flag));
    }
    width = MAX(width, strlen("--help"));
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++) {
        g_autofree char *flag = flag_of(entry);

        eep_command_add_line(&text, "  %-*s  %s", (int)width, flag, entry->description);
    }
    eep_command_add_line(&text, "  %-*s  %s", (int)width, "--help", "print this");
    return eep_command_print(&text);
}

/* As the parser leaves them when it finds a mistake itself: the caller has nothing to free. */
static void clear_options(const GOptionEntry *entries)
{
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++)
        switch (entry->arg) {
        case G_OPTION_ARG_STRING:
        case G_OPTION_ARG_FILENAME:
            g_clear_pointer((char **)entry->arg_data, g_free);
            break;
        case G_OPTION_ARG_STRING_ARRAY:
        case G_OPTION_ARG_FILENAME_ARRAY:
            g_clear_pointer((char ***)entry->arg_data, g_strfreev);
            break;
        default:
            break;
        }
}

gboolean eep_command_parse(const GOptionEntry *entries, int min_arguments, int max_arguments,
                           int *argc, char ***argv, int *ret_exit)
{
    const char *name = (*argv)[0];
    gboolean help = FALSE;
    GOptionEntry own[] = {{"help", 'h', 0, G_OPTION_ARG_NONE, &help, "print this", NULL},
                          G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    GError *error = NULL;

    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, own, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        *ret_exit = fail_option(name, entries, error);
        return FALSE;
    }
    if (help) {
        *ret_exit = print_command_help(find_command(name), entries);
        clear_options(entries);
        return FALSE;
    }
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
        (*argv)[1] = (*argv)[0];
        ++*argv;
        --*argc;
    }
    if (*argc - 1 < min_arguments)
        *ret_exit = fail_usage(name, "something is missing");
    else if (*argc - 1 > max_arguments)
        *ret_exit = fail_usage(name, "too many arguments");
    else
        return TRUE;
    clear_options(entries);
    return FALSE;
}

static void add_help(EepText *text)
{
    eep_text_add_string(text,
                        "Usage: eep COMMAND ...\n\n"
                        "Testbed for elastic expert parallelism in Mixture-of-Experts serving.\n\n"
                        "Commands:\n");
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *line =
            g_strdup_printf("  %-11s %s\n", commands[i].name, commands[i].summary);
        eep_text_add_string(text, line);
    }
    eep_text_add_string(
        text,
        "\n`eep COMMAND --help` says more. --json makes the output of any command data for\n"
        "programs. `eep --version` prints the version.\n\n"
        "Exit status: 0 done, 1 the run failed, 2 bad input or usage, 3 an expectation of the\n"
        "scenario was missed, 130 interrupted.\n");
}

static int print_version(gboolean as_json)
{
    g_auto(EepText) text = {0};

    if (as_json) {
        EepJson json;
        eep_json_init(&json, &text, EEP_JSON_PRETTY);
        eep_json_begin_object(&json, NULL);
        eep_json_add_string(&json, "version", EEP_VERSION);
        eep_json_add_string(&json, "commit", *EEP_COMMIT != '\0' ? EEP_COMMIT : NULL);
        eep_json_add_string(&json, "compiler", COMPILER);
        eep_json_add_string(&json, "build_type", EEP_BUILD_TYPE);
        eep_json_end_object(&json);
    } else {
        g_autofree char *line = g_strdup_printf("eep %s%s%s\nbuilt by %s, %s\n", EEP_VERSION,
                                                *EEP_COMMIT != '\0' ? ", commit " : "", EEP_COMMIT,
                                                COMPILER, EEP_BUILD_TYPE);
        eep_text_add_string(&text, line);
    }
    return eep_command_print(&text);
}

static int fail_command(const char *name, const char *argument)
{
    const char *names[G_N_ELEMENTS(commands) + 1] = {NULL};
    GError *error;

    if (strcmp(name, "validate") == 0 && argument != NULL)
        error = g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                            "validate is not yet in this version: did you mean `eep check %s`",
                            argument);
    else if (g_strv_contains(later, name))
        error = g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                            "%s is not yet in this version: try `eep --help`", name);
    else {
        for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
            names[i] = commands[i].name;
        const char *nearest = eep_suggest_nearest(name, names);
        g_autofree char *meant =
            nearest == NULL ? NULL : g_strconcat("did you mean `eep ", nearest, "`", NULL);
        error =
            g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "there is no command %s: %s",
                        name, meant != NULL ? meant : "try `eep --help`");
    }
    return eep_command_fail(error);
}

/* Options before the command: --json belongs to it, the others end the program. */
static int run_global_option(const char *option, gboolean as_json)
{
    g_auto(EepText) text = {0};

    if (strcmp(option, "--version") == 0)
        return print_version(as_json);
    if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0) {
        add_help(&text);
        return eep_command_print(&text);
    }
    return eep_command_fail(
        g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "unknown option %s before the command: --help, --version or --json", option));
}

/* A standard stream that is closed would be the number of the first file that is opened, and what
 * is printed would go into that file. What holds the place can only fail. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(EEP_EXIT_FAILED);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    int at = 1;
    gboolean as_json = FALSE;

    hold_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(), like a full disk */
    for (; at < argc && strcmp(argv[at], "--json") == 0; at++)
        as_json = TRUE;
    if (at < argc && argv[at][0] == '-')
        return run_global_option(argv[at],
                                 as_json || (at + 1 < argc && strcmp(argv[at + 1], "--json") == 0));
    if (at == argc) {
        g_auto(EepText) text = {0};
        add_help(&text);
        fputs(eep_text_string(&text), stderr);
        return EEP_EXIT_USAGE;
    }
    const EepCommand *command = find_command(argv[at]);
    if (command == NULL)
        return fail_command(argv[at], at + 1 < argc ? argv[at + 1] : NULL);
    if (!eep_data_check(&error))
        return eep_command_fail(error);
    /* The command sees its name and what follows it; a leading --json comes after the name. */
    if (as_json) {
        argv[at - 1] = argv[at];
        argv[at] = (char *)"--json";
        at--;
    }
    return command->run(argc - at, argv + at);
}
