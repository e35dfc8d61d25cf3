/* EepKernelTrap: what the processor refuses while a kernel runs (a page that is not there, a
 * division by zero) becomes a call, on the kernel's thread, instead of the end of the process.
 * Outside kernels nothing changes. Under a sanitizer it stays disarmed: their own report says more.
 */
#ifndef EEP_GPU_EMULATION_KERNEL_TRAP_H
#define EEP_GPU_EMULATION_KERNEL_TRAP_H

#include <glib.h>

G_BEGIN_DECLS

/* For the calling thread, as long as it lives; `trapped` must not return. */
void eep_kernel_trap_arm(void (*trapped)(const char *what, gpointer address));

G_END_DECLS

#endif
