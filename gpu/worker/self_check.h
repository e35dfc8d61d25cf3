/* What a worker can find out about its GPU alone, without a coordinator (`eep worker --check`):
 * facts of device and libraries; which GEMM its start-up self-test chose; that expert weights have
 * the checksums that the host computes; that a forward of one rank gives the same result again. A
 * line for each on standard output. Not a benchmark. One thread. */
#ifndef EEP_GPU_WORKER_SELF_CHECK_H
#define EEP_GPU_WORKER_SELF_CHECK_H

#include <glib.h>

G_BEGIN_DECLS

/* FALSE: the error says what cannot be used or is wrong. */
gboolean eep_self_check(guint device, GError **error);

G_END_DECLS

#endif
