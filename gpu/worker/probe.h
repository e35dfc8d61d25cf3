/* Probe: the fixed tokens that ride through every forward, and what is told of their result.
 *
 * Each rank has EEP_WIRE_N_PROBES of them, the same everywhere; what goes in and which experts they
 * take depends on the seed only. Their outputs are hashed bit by bit, and told as a figure each for
 * GEMMs whose last bits may differ: 4 + sum / sqrt(hidden), so that a wrong expert moves it by far
 * more than 1e-2 of itself and rounding by far less. Not the comparison, that is the coordinator's.
 * Pure functions. */
#ifndef EEP_GPU_WORKER_PROBE_H
#define EEP_GPU_WORKER_PROBE_H

#include "gpu/wire.h"
#include "gpu/worker/route.h"

G_BEGIN_DECLS

/* The experts that probe token `probe` takes in the layer, best first. */
void eep_probe_experts(const EepWireModel *shape, guint layer, guint probe, guint32 *ret_experts);

/* The hash of all probes' rows, never 0, and a figure each; rows are bf16, `pitch` apart. */
guint64 eep_probe_result(const guint16 *rows, guint hidden, guint pitch,
                         gfloat ret_figures[EEP_WIRE_N_PROBES]);

G_END_DECLS

#endif
