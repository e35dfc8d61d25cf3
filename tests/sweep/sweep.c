/* Runs that nobody wrote: each seed draws a scenario (draw.h), runs it through the command line and
 * holds its run folder to what must be true of every run (check_run.h).
 *
 *     sweep EEP FIRST_SEED COUNT [FOLDER]
 *
 * A failure prints the seed, what is wrong and the line that does it again; the exit status is 1.
 * FOLDER keeps the scenarios and run folders of failures; without it they go to a scratch folder
 * that stays only after a failure. */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sweep/check_run.h"
#include "tests/sweep/draw.h"

/* Seconds of processor time after which a run counts as hanging; of the clock four times that,
 * since the machine may be busy with others. */
#define PATIENCE 60

/* The exit status, or 128 and the signal. */
static int run(const char *program, const char *scenario, const char *out, const char *log)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        setrlimit(RLIMIT_CPU, &(struct rlimit){PATIENCE, PATIENCE});
        alarm(4 * PATIENCE);
        if (freopen(log, "w", stderr) == NULL || freopen("/dev/null", "w", stdout) == NULL)
            _exit(127);
        execl(program, program, "run", scenario, "--out", out, "--quiet", NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 127;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void remove_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        g_unlink(file);
    }
    g_rmdir(path);
}

/* Said once for a seed: what is wrong and how to see it again. */
static void complain(const char *self, const char *program, guint64 seed, const char *scenario,
                     const char *what)
{
    printf("seed %" G_GUINT64_FORMAT ": %s\n"
           "    reproduce: %s %s %" G_GUINT64_FORMAT " 1\n"
           "    scenario:  %s\n",
           seed, what, self, program, seed, scenario);
    fflush(stdout);
}

static gboolean try_seed(const char *self, const char *program, const char *folder, guint64 seed)
{
    g_autofree char *scenario = g_strdup_printf("%s/%" G_GUINT64_FORMAT ".yaml", folder, seed);
    g_autofree char *out = g_strdup_printf("%s/%" G_GUINT64_FORMAT, folder, seed);
    g_autofree char *log = g_strdup_printf("%s/%" G_GUINT64_FORMAT ".err", folder, seed);
    g_autoptr(GError) error = NULL;
    Drawn drawn = draw_scenario(seed);
    g_autofree char *text = drawn.text, *said = NULL, *what = NULL;
    int status;

    if (!g_file_set_contents(scenario, text, -1, &error)) {
        complain(self, program, seed, scenario, error->message);
        return FALSE;
    }
    status = run(program, scenario, out, log);
    if (status != 0) {
        g_file_get_contents(log, &said, NULL, NULL);
        what = g_strdup_printf("exit status %d: %s", status, said != NULL ? g_strchomp(said) : "");
    } else {
        what = check_run(out, &drawn);
    }
    if (what != NULL) {
        complain(self, program, seed, scenario, what);
        return FALSE;
    }
    g_unlink(scenario);
    g_unlink(log);
    remove_folder(out);
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autofree char *scratch = NULL;
    guint64 first, count;
    guint n_failed = 0;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: sweep EEP FIRST_SEED COUNT [FOLDER]\n");
        return 2;
    }
    first = g_ascii_strtoull(argv[2], NULL, 10);
    count = g_ascii_strtoull(argv[3], NULL, 10);
    scratch = argc == 5 ? g_strdup(argv[4]) : g_dir_make_tmp("eep-sweep.XXXXXX", NULL);
    if (scratch == NULL || g_mkdir_with_parents(scratch, 0777) != 0) {
        fprintf(stderr, "sweep: no scratch folder: %s\n", g_strerror(errno));
        return 2;
    }
    for (guint64 seed = first; seed < first + count; seed++)
        if (!try_seed(argv[0], argv[1], scratch, seed))
            n_failed++;
    printf("%" G_GUINT64_FORMAT " seeds from %" G_GUINT64_FORMAT ", %u failed\n", count, first,
           n_failed);
    if (n_failed == 0 && argc < 5)
        g_rmdir(scratch);
    return n_failed > 0;
}
