/* eep-worker, eep-worker-emulated: one GPU (or, over the loopback transport, one GPU under several
 * logical ranks) at the service of a coordinator. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "gpu/worker/device.h"
#include "gpu/worker/self_check.h"
#include "gpu/worker/worker.h"

#ifdef EEP_EMULATED
#define PROGRAM "eep-worker-emulated"
#else
#define PROGRAM "eep-worker"
#endif

typedef struct {
    EepWorkerOptions options;
    pthread_mutex_t lock;
    pthread_cond_t one_ended;
    guint n_running;
    int status; /* of the process: the first that is not 0 */
} Process;

typedef struct {
    Process *process;
    guint32 worker;
} Start;

static void spawn(gpointer self, guint32 worker);

static int status_of(EepWorkerEnd end)
{
    static const int statuses[] = {[EEP_WORKER_SENT_HOME] = 0,
                                   [EEP_WORKER_FAILED] = 1,
                                   [EEP_WORKER_REFUSED] = 2,
                                   [EEP_WORKER_DEVICE_BROKEN] = 3};

    return statuses[end];
}

static int status_of_error(const GError *error)
{
    if (g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE) ||
        g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE))
        return 2;
    return 1;
}

static void set_alarm(gint64 ns)
{
    const struct itimerval in = {{0, 0}, {ns / 1000000000, ns % 1000000000 / 1000}};

    setitimer(ITIMER_REAL, &in, NULL);
}

static int serve(Process *process, guint32 id)
{
    g_autoptr(GError) error = NULL;
    EepWorker *worker = eep_worker_new(&process->options, id, spawn, process, &error);
    EepWorkerEnd end;

    if (worker == NULL) {
        fprintf(stderr, PROGRAM ": %s\n", error->message);
        return status_of_error(error);
    }
    end = eep_worker_run(worker, &error);
    if (error != NULL)
        fprintf(stderr, PROGRAM ": %s\n", error->message);
    /* Nothing that is still on a broken device can be waited for. */
    if (end == EEP_WORKER_DEVICE_BROKEN)
        _exit(status_of(end));
    /* Nor on one that hangs, which nobody may have noticed: then the process is killed. */
    set_alarm(eep_worker_grace(worker));
    eep_worker_free(worker);
    set_alarm(0);
    return status_of(end);
}

static void *serve_thread(void *data)
{
    Start *start = data;
    Process *process = start->process;
    int status = serve(process, start->worker);

    g_free(start);
    pthread_mutex_lock(&process->lock);
    if (process->status == 0)
        process->status = status;
    process->n_running--;
    pthread_cond_signal(&process->one_ended);
    pthread_mutex_unlock(&process->lock);
    return NULL;
}

static void spawn(gpointer self, guint32 worker)
{
    Process *process = self;
    Start *start = g_new(Start, 1);
    pthread_t thread;

    *start = (Start){process, worker};
    pthread_mutex_lock(&process->lock);
    process->n_running++;
    pthread_mutex_unlock(&process->lock);
    if (pthread_create(&thread, NULL, serve_thread, start) != 0) {
        fprintf(stderr, PROGRAM ": no thread for worker %u\n", worker);
        exit(1);
    }
    pthread_detach(thread);
}

static int check(const EepWorkerOptions *options)
{
    g_autoptr(GError) error = NULL;

    if (eep_self_check(options->device, &error))
        return 0;
    fprintf(stderr, PROGRAM ": %s\n", error->message);
    return status_of_error(error);
}

int main(int argc, char **argv)
{
    Process process = {.lock = PTHREAD_MUTEX_INITIALIZER, .one_ended = PTHREAD_COND_INITIALIZER};
    g_autoptr(GError) error = NULL;

    if (!eep_worker_options_parse(argc, argv, g_getenv, &process.options, &error)) {
        fprintf(stderr, PROGRAM ": %s\n", error->message);
        return 2;
    }
    if (process.options.shows_help || process.options.shows_version) {
        if (process.options.shows_help)
            fputs(eep_worker_options_help(), stdout);
        else
            puts(PROGRAM " " EEP_VERSION);
        return 0;
    }
    if (process.options.checks_itself)
        return check(&process.options);
    spawn(&process, process.options.worker);
    pthread_mutex_lock(&process.lock);
    while (process.n_running > 0)
        pthread_cond_wait(&process.one_ended, &process.lock);
    pthread_mutex_unlock(&process.lock);
    eep_worker_options_clear(&process.options);
    return process.status;
}
