/* Reductions of the emulated NCCL, in the order of ranks, so that their bits do not depend on who
 * comes first. Pure functions, any thread. */
#ifndef EEP_GPU_EMULATION_EMULATED_NCCL_SUM_H
#define EEP_GPU_EMULATION_EMULATED_NCCL_SUM_H

#include <glib.h>
#include <nccl.h>

G_BEGIN_DECLS

gsize eep_nccl_type_bytes(ncclDataType_t type); /* 0: no such type */

/* ncclSum, ncclMin, ncclMax of 32- and 64-bit types. */
gboolean eep_nccl_can_sum(ncclDataType_t type, ncclRedOp_t op);

/* out[i] = blocks[0][i] op blocks[1][i] op ..., from the left; `blocks` is no part of `out`. */
void eep_nccl_sum(gpointer out, gconstpointer blocks, guint n_blocks, gsize count,
                  ncclDataType_t type, ncclRedOp_t op);

G_END_DECLS

#endif
