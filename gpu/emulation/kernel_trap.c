#include "gpu/emulation/kernel_trap.h"

#include "gpu/emulation/device_threads.h"
#include <signal.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EEP_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EEP_HAS_SANITIZER 1
#endif
#endif

#ifdef EEP_HAS_SANITIZER

void eep_kernel_trap_arm(void (*trapped)(const char *what, gpointer address))
{
}

#else

/* A handler's own stack: a kernel's may be what ran over. */
#define STACK_BYTES (64 << 10)

static const struct {
    int signal;
    const char *what;
} traps[] = {
    {SIGSEGV, "illegal address"},
    {SIGBUS, "illegal address"},
    {SIGFPE, "division by zero"},
};
static struct sigaction before[G_N_ELEMENTS(traps)];
static void (*on_trap)(const char *what, gpointer address);

static void handle(int number, siginfo_t *info, void *context)
{
    for (guint i = 0; i < G_N_ELEMENTS(traps); i++) {
        if (traps[i].signal != number)
            continue;
        if (eep_emulated_thread != NULL)
            on_trap(traps[i].what, info->si_addr);
        /* Not a kernel's: it happens again, to whom it belongs. */
        sigaction(number, &before[i], NULL);
    }
}

static gpointer install(gpointer trapped)
{
    on_trap = (void (*)(const char *, gpointer))trapped;
    for (guint i = 0; i < G_N_ELEMENTS(traps); i++) {
        struct sigaction action = {.sa_sigaction = handle};
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        if (sigaction(traps[i].signal, &action, &before[i]) != 0)
            g_error("no handler for signal %d", traps[i].signal);
    }
    return NULL;
}

static void drop_stack(gpointer stack)
{
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    g_free(stack);
}

void eep_kernel_trap_arm(void (*trapped)(const char *what, gpointer address))
{
    static GOnce once = G_ONCE_INIT;
    static GPrivate stacks = G_PRIVATE_INIT(drop_stack);
    g_once(&once, install, (gpointer)trapped);
    if (g_private_get(&stacks) != NULL)
        return;
    stack_t stack = {.ss_sp = g_malloc(STACK_BYTES), .ss_size = STACK_BYTES};
    g_private_set(&stacks, stack.ss_sp);
    if (sigaltstack(&stack, NULL) != 0)
        g_error("no stack for signals");
}

#endif
