/* What a step on workers costs its coordinator: CPU time of its process and wall time, with workers
 * that do no work. Prints one JSON object. Usage: bench_coordinator [WORKERS [STEPS [ADDRESS]]]
 *
 * From the submission of a step to its completion's dispatch by the loop, one step in flight; of
 * the core only loop and seam are in it. The workers are tests/coordinator/fake_worker.c. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/coordinator/coordinator_kit.h"

static gint64 cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (gint64)now.tv_sec * EEP_NS_PER_S + now.tv_nsec;
}

static int compare(const void *x, const void *y)
{
    gint64 a = *(const gint64 *)x, b = *(const gint64 *)y;

    return a < b ? -1 : a > b;
}

static double median_us(gint64 *values, guint n)
{
    qsort(values, n, sizeof *values, compare);
    return (double)values[n / 2] / 1000.0;
}

typedef struct {
    guint n_steps;
    gint64 cpu_before, before;
    gint64 *cpu, *wall;
} Bench;

static void begin(Kit *kit)
{
    Bench *bench = kit->self;

    bench->cpu_before = cpu_ns();
    bench->before = eep_monotonic_ns();
    kit_step(kit);
}

static void ended(Kit *kit)
{
    Bench *bench = kit->self;
    guint i = kit->completions->len - 1;

    bench->cpu[i] = cpu_ns() - bench->cpu_before;
    bench->wall[i] = eep_monotonic_ns() - bench->before;
    if (i + 1 < bench->n_steps)
        begin(kit);
    else
        eep_loop_stop(kit->loop);
}

int main(int argc, char **argv)
{
    guint n_workers = argc > 1 ? (guint)atoi(argv[1]) : 8;
    guint n_steps = argc > 2 ? (guint)atoi(argv[2]) : 10000;
    g_autofree gint64 *cpu = g_new0(gint64, n_steps), *wall = g_new0(gint64, n_steps);
    Bench bench = {.n_steps = n_steps, .cpu = cpu, .wall = wall};
    g_autoptr(GError) error = NULL;
    Kit *kit = kit_new(n_workers, "");

    kit->gpu.layers = 0;
    kit->gpu.heartbeat_interval = 500 * EEP_NS_PER_MS;
    if (argc > 3)
        kit->gpu.listen = argv[3];
    kit->self = &bench;
    kit->ended = ended;
    if (!kit_start(kit, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    begin(kit);
    eep_loop_run(kit->loop, EEP_TIME_NEVER, NULL);
    printf("{\"workers\": %u, \"steps\": %u, \"median_cpu_us\": %.1f, \"median_wall_us\": %.1f}\n",
           n_workers, n_steps, median_us(cpu, n_steps), median_us(wall, n_steps));
    kit_free(kit);
    return 0;
}
