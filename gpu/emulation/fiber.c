#include "gpu/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__) || defined(EEP_FIBER_PORTABLE)
#include <ucontext.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EEP_HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define EEP_HAS_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define EEP_HAS_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define EEP_HAS_TSAN 1
#endif
#ifdef EEP_HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EEP_HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES (256 << 10)

struct EepFiber {
    void (*main)(gpointer data);
    gpointer data;
    guint8 *mapping; /* a page that traps, then the stack; NULL: a thread's own */
    gsize n_mapped;
#if defined(__x86_64__) && !defined(EEP_FIBER_PORTABLE)
    gpointer sp;
#else
    ucontext_t context;
#endif
#ifdef EEP_HAS_ASAN
    void *fake_stack;
    const void *bottom;
    size_t n_stack;
    EepFiber *left; /* the one whose bounds the next one to run learns */
#endif
#ifdef EEP_HAS_TSAN
    void *tsan;
#endif
};

static __thread EepFiber *arriving;

/* -- the sanitizers -- */

static void before_switch(EepFiber *from, EepFiber *to, gboolean is_last)
{
#ifdef EEP_HAS_ASAN
    to->left = from;
    __sanitizer_start_switch_fiber(is_last ? NULL : &from->fake_stack, to->bottom, to->n_stack);
#endif
#ifdef EEP_HAS_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

static void after_switch(EepFiber *here)
{
#ifdef EEP_HAS_ASAN
    EepFiber *left = here->left;
    const void *bottom;
    size_t n_stack;
    __sanitizer_finish_switch_fiber(here->fake_stack, &bottom, &n_stack);
    if (left->mapping == NULL) {
        left->bottom = bottom;
        left->n_stack = n_stack;
    }
#endif
}

/* -- the switch itself -- */

static void G_GNUC_NORETURN fiber_main(void)
{
    EepFiber *fiber = arriving;
    after_switch(fiber);
    fiber->main(fiber->data);
    g_error("a fiber's main function returned");
}

#if defined(__x86_64__) && !defined(EEP_FIBER_PORTABLE)

/* Saves what a called function must keep (System V ABI, x86-64), on the stack that is left. */
void eep_fiber_swap(gpointer *ret_left, gpointer entered);
__asm__(".text\n"
        ".globl eep_fiber_swap\n"
        ".type eep_fiber_swap, @function\n"
        "eep_fiber_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size eep_fiber_swap, .-eep_fiber_swap\n");

static void prepare(EepFiber *fiber)
{
    gpointer *top = (gpointer *)(fiber->mapping + fiber->n_mapped);
    top[-1] = NULL; /* where fiber_main() would return to */
    top[-2] = (gpointer)fiber_main;
    fiber->sp = top - 8; /* six registers below */
}

static void swap(EepFiber *from, EepFiber *to)
{
    eep_fiber_swap(&from->sp, to->sp);
}

#else

static void prepare(EepFiber *fiber)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->mapping + page;
    fiber->context.uc_stack.ss_size = fiber->n_mapped - page;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, fiber_main, 0);
}

static void swap(EepFiber *from, EepFiber *to)
{
    swapcontext(&from->context, &to->context);
}

#endif

void eep_fiber_switch(EepFiber *from, EepFiber *to, gboolean is_last)
{
    before_switch(from, to, is_last);
    arriving = to;
    swap(from, to);
    after_switch(from);
}

/* -- life -- */

EepFiber *eep_fiber_new(void (*main)(gpointer data), gpointer data)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE), n_mapped = STACK_BYTES + page;
    guint8 *mapping = mmap(NULL, n_mapped, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0)
        g_error("no memory for the stack of an emulated thread");
    EepFiber *fiber = g_new0(EepFiber, 1);
    fiber->main = main;
    fiber->data = data;
    fiber->mapping = mapping;
    fiber->n_mapped = n_mapped;
#ifdef EEP_HAS_ASAN
    fiber->bottom = mapping + page;
    fiber->n_stack = n_mapped - page;
#endif
#ifdef EEP_HAS_TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
    prepare(fiber);
    return fiber;
}

EepFiber *eep_fiber_new_for_thread(void)
{
    EepFiber *fiber = g_new0(EepFiber, 1);
#ifdef EEP_HAS_TSAN
    fiber->tsan = __tsan_get_current_fiber();
#endif
    return fiber;
}

void eep_fiber_free(EepFiber *fiber)
{
    if (fiber->mapping != NULL) {
#ifdef EEP_HAS_TSAN
        __tsan_destroy_fiber(fiber->tsan);
#endif
#ifdef EEP_HAS_ASAN
        ASAN_UNPOISON_MEMORY_REGION(fiber->mapping, fiber->n_mapped);
#endif
        munmap(fiber->mapping, fiber->n_mapped);
    }
    g_free(fiber);
}
