/* EepFiber: a stack that a thread can leave and come back to. Runs on the thread that switches to
 * it, and only there. Tells the sanitizers of each switch. Knows no kernels. */
#ifndef EEP_GPU_EMULATION_FIBER_H
#define EEP_GPU_EMULATION_FIBER_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct EepFiber EepFiber;

/* `main` starts at the first switch and must never return. */
EepFiber *eep_fiber_new(void (*main)(gpointer data), gpointer data);
/* The calling thread itself, to switch away from and back to. */
EepFiber *eep_fiber_new_for_thread(void);
void eep_fiber_free(EepFiber *fiber); /* one that does not run */

/* Leaves `from`, which runs, for `to`; returns when something switches back. `is_last`: nothing
 * ever will. */
void eep_fiber_switch(EepFiber *from, EepFiber *to, gboolean is_last);

G_END_DECLS

#endif
