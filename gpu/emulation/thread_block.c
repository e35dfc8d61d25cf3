#include "gpu/emulation/thread_block.h"

#include "gpu/emulation/emulated_runtime.h"
#include "gpu/emulation/emulated_switches.h"
#include "gpu/emulation/fiber.h"
#include "gpu/emulation/kernel_trap.h"
#include <stdarg.h>
#include <string.h>

typedef enum {
    NEW,
    READY, /* in the queue, or it runs */
    AT_BARRIER,
    IN_WARP,
    ENDED,
} State;

typedef struct Runner Runner;

typedef struct {
    EepEmulatedThread seen; /* first: kernels see this part of it */
    State state;
    Runner *runner;
    int line; /* of the barrier */
    EepEmulatedWarpOp op;
    guint mask, source;
    guint64 value, result;
} Thread;

typedef struct {
    const EepEmulatedLaunch *launch;
    int device;
    guint64 *random;
    guint n_threads;
    Thread *threads;
    guint *order; /* in which threads start */
    guint *ready; /* a ring, n_threads wide */
    guint first_ready, n_ready;
    guint n_started, n_ended, n_at_barrier;
    EepEmulatedIndex index;
    gpointer shared;
    gboolean has_failed;
} Block;

/* A fiber that runs one thread of a block after the other. */
struct Runner {
    EepFiber *fiber;
    Thread *thread;
};

/* Of a host thread. */
typedef struct {
    EepFiber *here;
    GPtrArray *idle; /* of Runner */
    Block *block;
} Host;

__thread EepEmulatedThread *eep_emulated_thread;

static void runner_free(gpointer data)
{
    Runner *runner = data;
    eep_fiber_free(runner->fiber);
    g_free(runner);
}

static void host_free(gpointer data)
{
    Host *host = data;
    g_ptr_array_unref(host->idle);
    eep_fiber_free(host->here);
    g_free(host);
}

static Host *this_host(void)
{
    static GPrivate hosts = G_PRIVATE_INIT(host_free);
    Host *host = g_private_get(&hosts);
    if (host == NULL) {
        host = g_new0(Host, 1);
        host->here = eep_fiber_new_for_thread();
        host->idle = g_ptr_array_new_with_free_func(runner_free);
        g_private_set(&hosts, host);
    }
    return host;
}

static Thread *this_thread(void)
{
    return (Thread *)eep_emulated_thread;
}

/* -- failures -- */

static void G_GNUC_NORETURN leave(Thread *thread)
{
    eep_fiber_switch(thread->runner->fiber, this_host()->here, TRUE);
    g_error("a thread that failed was switched to");
}

/* The block ends here and now. On a thread of it, or, `is_leaving` FALSE, on the scheduler. */
static void G_GNUC_PRINTF(4, 5)
    fail(Block *block, cudaError_t status, gboolean is_leaving, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    block->has_failed = TRUE;
    eep_emulated_fault(block->device, status, "kernel %s, block (%u,%u,%u): %s",
                       block->launch->name, block->index.x, block->index.y, block->index.z, text);
    g_clear_pointer(&text, g_free);
    if (!is_leaving)
        return;
    this_thread()->state = READY; /* its runner is not idle, even if it ended */
    leave(this_thread());
}

static void trap(const char *what, gpointer address)
{
    const EepEmulatedIndex *at = &eep_emulated_thread->thread;
    fail(this_host()->block, cudaErrorIllegalAddress, TRUE, "thread (%u,%u,%u): %s at %p", at->x,
         at->y, at->z, what, address);
}

/* -- scheduling -- */

static void make_ready(Block *block, Thread *thread)
{
    guint at = (block->first_ready + block->n_ready++) % block->n_threads;
    block->ready[at] = thread->seen.linear;
    thread->state = READY;
}

static Thread *take_ready(Block *block)
{
    if (block->n_ready == 0)
        return NULL;
    if (block->random != NULL) {
        guint drawn = (guint)(eep_emulated_random(block->random) % block->n_ready);
        guint *a = &block->ready[block->first_ready];
        guint *b = &block->ready[(block->first_ready + drawn) % block->n_threads];
        guint kept = *a;
        *a = *b;
        *b = kept;
    }
    Thread *thread = &block->threads[block->ready[block->first_ready]];
    block->first_ready = (block->first_ready + 1) % block->n_threads;
    block->n_ready--;
    return thread;
}

static Thread *take_new(Block *block)
{
    if (block->n_started == block->n_threads)
        return NULL;
    return &block->threads[block->order[block->n_started++]];
}

/* The running thread waits until somebody makes it ready and the scheduler comes to it. */
static void wait_here(Thread *thread)
{
    eep_fiber_switch(thread->runner->fiber, this_host()->here, FALSE);
}

static void check_warp(Block *block, guint first);

static void end_thread(Block *block, Thread *thread)
{
    thread->state = ENDED;
    block->n_ended++;
    if (block->n_at_barrier > 0 && block->n_at_barrier + block->n_ended == block->n_threads)
        fail(block, cudaErrorLaunchFailure, TRUE,
             "divergent barrier: %u threads wait for one that %u never come to (%u ended last)",
             block->n_at_barrier, block->n_ended, thread->seen.linear);
    check_warp(block, thread->seen.linear / EEP_EMULATED_WARP * EEP_EMULATED_WARP);
}

static void runner_main(gpointer data)
{
    Runner *runner = data;
    for (;;) {
        Host *host = this_host();
        Block *block = host->block;
        while (runner->thread != NULL) {
            Thread *thread = runner->thread;
            thread->runner = runner;
            thread->state = READY;
            eep_emulated_thread = &thread->seen;
            block->launch->call(block->launch->arguments);
            end_thread(block, thread);
            /* Without a seed the next thread needs no switch. */
            runner->thread = block->random == NULL ? take_new(block) : NULL;
        }
        g_ptr_array_add(host->idle, runner);
        eep_fiber_switch(runner->fiber, host->here, FALSE);
    }
}

static Runner *take_runner(Host *host)
{
    if (host->idle->len > 0)
        return g_ptr_array_steal_index_fast(host->idle, host->idle->len - 1);
    Runner *runner = g_new0(Runner, 1);
    runner->fiber = eep_fiber_new(runner_main, runner);
    return runner;
}

static void start(Host *host, Thread *thread)
{
    Runner *runner = take_runner(host);
    runner->thread = thread;
    thread->runner = runner;
    eep_emulated_thread = &thread->seen;
    eep_fiber_switch(host->here, runner->fiber, FALSE);
}

static void resume(Host *host, Thread *thread)
{
    eep_emulated_thread = &thread->seen;
    eep_fiber_switch(host->here, thread->runner->fiber, FALSE);
}

static gboolean wants_new(Block *block)
{
    guint n_new = block->n_threads - block->n_started;
    if (block->random == NULL || n_new == 0)
        return FALSE;
    return eep_emulated_random(block->random) % (n_new + block->n_ready) < n_new;
}

static void tell_deadlock(Block *block)
{
    const Thread *waiting = NULL;
    gboolean has_barrier = block->n_at_barrier > 0;
    for (guint i = 0; waiting == NULL && i < block->n_threads; i++)
        if (block->threads[i].state == IN_WARP)
            waiting = &block->threads[i];
    g_assert(waiting != NULL); /* threads at a barrier alone are told when the last one ends */
    fail(block, cudaErrorLaunchFailure, FALSE,
         "divergent: thread %u waits for the lanes of mask 0x%x, which do not all come%s",
         waiting->seen.linear, waiting->mask, has_barrier ? "; others wait at a barrier" : "");
}

static void run_threads(Host *host, Block *block)
{
    while (!block->has_failed) {
        Thread *thread = wants_new(block) ? NULL : take_ready(block);
        if (thread != NULL) {
            resume(host, thread);
            continue;
        }
        thread = take_new(block);
        if (thread == NULL)
            break;
        start(host, thread);
    }
    if (!block->has_failed && block->n_ended < block->n_threads)
        tell_deadlock(block);
    eep_emulated_thread = NULL;
}

/* -- barriers -- */

static void release_barrier(Block *block, Thread *last)
{
    for (guint i = 0; i < block->n_threads; i++)
        if (block->threads[i].line != last->line)
            fail(block, cudaErrorLaunchFailure, TRUE,
                 "divergent barrier: thread %u waits at line %d, thread %u at line %d", i,
                 block->threads[i].line, last->seen.linear, last->line);
    block->n_at_barrier = 0;
    for (guint i = 0; i < block->n_threads; i++)
        if (&block->threads[i] != last || block->random != NULL)
            make_ready(block, &block->threads[i]);
    last->state = READY;
}

void eep_emulated_sync_threads(int line)
{
    Block *block = this_host()->block;
    Thread *thread = this_thread();
    thread->state = AT_BARRIER;
    thread->line = line;
    block->n_at_barrier++;
    gboolean is_last = block->n_at_barrier == block->n_threads;
    if (is_last)
        release_barrier(block, thread);
    else if (block->n_at_barrier + block->n_ended == block->n_threads)
        fail(block, cudaErrorLaunchFailure, TRUE,
             "divergent barrier: %u threads wait at line %d, %u ended without it",
             block->n_at_barrier, line, block->n_ended);
    if (!is_last || block->random != NULL)
        wait_here(thread);
}

/* -- warps -- */

static gboolean takes_part(const Block *block, guint first, guint mask, guint lane)
{
    guint at = first + lane;
    return (mask >> lane & 1) != 0 && at < block->n_threads && block->threads[at].state != ENDED;
}

/* Have all that `leader` waits for come? */
static gboolean is_complete(Block *block, guint first, const Thread *leader)
{
    for (guint lane = 0; lane < EEP_EMULATED_WARP; lane++) {
        const Thread *thread = &block->threads[first + lane];
        if (!takes_part(block, first, leader->mask, lane))
            continue;
        if (thread->state != IN_WARP)
            return FALSE;
        if (thread->op != leader->op || thread->mask != leader->mask)
            fail(block, cudaErrorLaunchFailure, TRUE,
                 "divergent: threads %u and %u are in different warp operations, with the masks "
                 "0x%x and 0x%x",
                 leader->seen.linear, thread->seen.linear, leader->mask, thread->mask);
    }
    return TRUE;
}

static guint64 warp_result(Block *block, guint first, const Thread *thread)
{
    if (thread->op == EEP_EMULATED_WARP_SHUFFLE) {
        if (thread->source >= EEP_EMULATED_WARP ||
            !takes_part(block, first, thread->mask, thread->source))
            fail(block, cudaErrorLaunchFailure, TRUE,
                 "thread %u reads lane %u, which takes no part (mask 0x%x)", thread->seen.linear,
                 thread->source, thread->mask);
        return block->threads[first + thread->source].value;
    }
    guint64 bits = 0;
    for (guint lane = 0; lane < EEP_EMULATED_WARP; lane++)
        if (takes_part(block, first, thread->mask, lane) && block->threads[first + lane].value != 0)
            bits |= (guint64)1 << lane;
    return bits;
}

static gboolean try_complete(Block *block, guint first, const Thread *leader)
{
    if (!is_complete(block, first, leader))
        return FALSE;
    guint mask = leader->mask;
    for (guint lane = 0; lane < EEP_EMULATED_WARP; lane++)
        if (takes_part(block, first, mask, lane))
            block->threads[first + lane].result =
                warp_result(block, first, &block->threads[first + lane]);
    for (guint lane = 0; lane < EEP_EMULATED_WARP; lane++)
        if (takes_part(block, first, mask, lane))
            make_ready(block, &block->threads[first + lane]);
    return TRUE;
}

/* A thread of the warp ended: others may have waited for it alone. */
static void check_warp(Block *block, guint first)
{
    guint end = MIN(first + EEP_EMULATED_WARP, block->n_threads);
    for (guint i = first; i < end; i++)
        if (block->threads[i].state == IN_WARP)
            try_complete(block, first, &block->threads[i]);
}

uint64_t eep_emulated_warp(EepEmulatedWarpOp op, unsigned int mask, uint64_t value,
                           unsigned int source)
{
    Block *block = this_host()->block;
    Thread *thread = this_thread();
    if ((mask >> thread->seen.lane & 1) == 0)
        fail(block, cudaErrorLaunchFailure, TRUE, "thread %u is not in its own mask 0x%x",
             thread->seen.linear, mask);
    thread->op = op;
    thread->mask = mask;
    thread->value = value;
    thread->source = source;
    thread->state = IN_WARP;
    try_complete(block, thread->seen.linear - thread->seen.lane, thread);
    wait_here(thread);
    return thread->result;
}

/* -- blocks -- */

static void reset(Block *block, EepEmulatedIndex index)
{
    const dim3 *size = &block->launch->block, *grid = &block->launch->grid;
    block->index = index;
    block->first_ready = block->n_ready = 0;
    block->n_started = block->n_ended = block->n_at_barrier = 0;
    for (guint i = 0; i < block->n_threads; i++) {
        block->order[i] = i;
        block->threads[i] = (Thread){
            .seen =
                {
                    .thread = {i % size->x, i / size->x % size->y, i / size->x / size->y},
                    .block = index,
                    .block_dim = {size->x, size->y, size->z},
                    .grid_dim = {grid->x, grid->y, grid->z},
                    .linear = i,
                    .lane = i % EEP_EMULATED_WARP,
                    .shared = block->shared,
                },
        };
    }
    for (guint i = block->n_threads - 1; block->random != NULL && i > 0; i--) {
        guint other = (guint)(eep_emulated_random(block->random) % (i + 1));
        guint kept = block->order[i];
        block->order[i] = block->order[other];
        block->order[other] = kept;
    }
    memset(block->shared, 0xff, block->launch->shared_bytes); /* not a number */
}

/* Blocks in their order, or, with a seed, from a drawn one on and maybe backwards. */
static guint64 pick_block(guint64 at, guint64 n, guint64 drawn)
{
    guint64 shifted = (at + drawn / 2) % n;
    return drawn % 2 != 0 ? n - 1 - shifted : shifted;
}

gboolean eep_thread_block_run(const EepEmulatedLaunch *launch, int device, guint64 *random)
{
    const dim3 *grid = &launch->grid;
    guint64 n_blocks = (guint64)grid->x * grid->y * grid->z;
    Host *host = this_host();
    Block block = {.launch = launch, .device = device, .random = random};
    block.n_threads = launch->block.x * launch->block.y * launch->block.z;
    block.threads = g_new(Thread, block.n_threads);
    block.order = g_new(guint, block.n_threads);
    block.ready = g_new(guint, block.n_threads);
    block.shared = g_malloc(MAX(launch->shared_bytes, 1));
    host->block = &block;
    eep_kernel_trap_arm(trap);
    guint64 drawn = random != NULL ? eep_emulated_random(random) % (2 * n_blocks) : 0;
    for (guint64 i = 0; i < n_blocks && !block.has_failed; i++) {
        guint64 at = pick_block(i, n_blocks, drawn);
        reset(&block, (EepEmulatedIndex){(guint)(at % grid->x), (guint)(at / grid->x % grid->y),
                                         (guint)(at / grid->x / grid->y)});
        run_threads(host, &block);
    }
    for (guint i = 0; block.has_failed && i < block.n_threads; i++)
        if (block.threads[i].state != NEW && block.threads[i].state != ENDED)
            runner_free(block.threads[i].runner);
    g_free(block.threads);
    g_free(block.order);
    g_free(block.ready);
    g_free(block.shared);
    return !block.has_failed;
}
