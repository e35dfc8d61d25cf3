/* EepThreadBlock: runs the blocks of a kernel, one after the other, on the calling thread, with a
 * fiber for each of a block's threads that blocks. What kernels call of it is in device_threads.h.
 * Not a GPU: blocks never run at once, and memory is sequentially consistent. */
#ifndef EEP_GPU_EMULATION_THREAD_BLOCK_H
#define EEP_GPU_EMULATION_THREAD_BLOCK_H

#include "gpu/emulation/device_threads.h"
#include <glib.h>

G_BEGIN_DECLS

/* FALSE: a thread failed, what is wrong was told and `device` is broken. `random` (nullable): the
 * order of blocks and threads is drawn from it. */
gboolean eep_thread_block_run(const EepEmulatedLaunch *launch, int device, guint64 *random);

G_END_DECLS

#endif
