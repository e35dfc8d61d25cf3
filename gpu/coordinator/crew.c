#include "gpu/coordinator/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/clock_real.h"

typedef struct {
    EepCrew *crew;
    EepWorkerId worker;
    pid_t pid;
    int pidfd; /* readable when the process has ended */
} Process;

struct EepCrew {
    EepClock *clock;
    EepCrewExited exited;
    gpointer self;
    GPtrArray *processes; /* Process */
};

static Process *find(const EepCrew *crew, EepWorkerId worker)
{
    for (guint i = 0; i < crew->processes->len; i++) {
        Process *process = g_ptr_array_index(crew->processes, i);

        if (process->worker == worker)
            return process;
    }
    return NULL;
}

static char *describe(int status)
{
    if (WIFEXITED(status))
        return g_strdup_printf("exit status %d", WEXITSTATUS(status));
    return g_strdup_printf("killed by signal %d (%s)", WTERMSIG(status),
                           strsignal(WTERMSIG(status)));
}

static int reap(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void process_free(gpointer data)
{
    Process *process = data;

    eep_clock_real_unwatch(process->crew->clock, process->pidfd);
    close(process->pidfd);
    g_free(process);
}

static void on_exit_of(gpointer self, int fd, gboolean is_readable, gboolean is_writable)
{
    Process *process = self;
    EepCrew *crew = process->crew;
    EepWorkerId worker = process->worker;
    g_autofree char *how = describe(reap(process->pid));

    g_ptr_array_remove_fast(crew->processes, process);
    crew->exited(crew->self, worker, how);
}

EepCrew *eep_crew_new(EepClock *clock, EepCrewExited exited, gpointer self)
{
    EepCrew *crew = g_new0(EepCrew, 1);

    crew->clock = clock;
    crew->exited = exited;
    crew->self = self;
    crew->processes = g_ptr_array_new_with_free_func(process_free);
    return crew;
}

static void kill_all(EepCrew *crew)
{
    for (guint i = 0; i < crew->processes->len; i++)
        kill(((const Process *)g_ptr_array_index(crew->processes, i))->pid, SIGKILL);
    for (guint i = 0; i < crew->processes->len; i++)
        reap(((const Process *)g_ptr_array_index(crew->processes, i))->pid);
    g_ptr_array_set_size(crew->processes, 0);
}

void eep_crew_free(EepCrew *crew)
{
    if (crew == NULL)
        return;
    kill_all(crew);
    g_ptr_array_free(crew->processes, TRUE);
    g_free(crew);
}

/* What we ignore or block, the program shall not. */
static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, usual;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &usual);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
}

static int spawn(pid_t *ret_pid, char *const *argv, char *const *environment)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    set_attributes(&attributes);
    status = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv,
                         environment != NULL ? environment : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

gboolean eep_crew_start(EepCrew *crew, EepWorkerId worker, char *const *argv,
                        char *const *environment, GError **error)
{
    pid_t pid;
    int status = spawn(&pid, argv, environment), fd;
    Process *process;

    if (status != 0) {
        g_set_error(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED, "cannot start %s: %s", argv[0],
                    g_strerror(status));
        return FALSE;
    }
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        status = errno;
        kill(pid, SIGKILL);
        reap(pid);
        g_set_error(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED, "cannot watch a process: %s",
                    g_strerror(status));
        return FALSE;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    process = g_new0(Process, 1);
    *process = (Process){crew, worker, pid, fd};
    g_ptr_array_add(crew->processes, process);
    eep_clock_real_watch(crew->clock, fd, on_exit_of, process);
    return TRUE;
}

guint eep_crew_n(const EepCrew *crew)
{
    return crew->processes->len;
}

/* Nobody but us reaps it, so the number is still its own. */
void eep_crew_signal(EepCrew *crew, EepWorkerId worker, int signal_number)
{
    const Process *process = find(crew, worker);

    if (process != NULL)
        kill(process->pid, signal_number);
}

void eep_crew_end(EepCrew *crew, EepTime grace)
{
    gint64 until = eep_monotonic_ns() + grace;

    while (crew->processes->len > 0) {
        gint64 left = until - eep_monotonic_ns();

        if (left <= 0)
            break;
        eep_clock_real_poll(crew->clock, MIN(left, 20 * EEP_NS_PER_MS));
    }
    kill_all(crew);
}
